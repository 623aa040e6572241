"""Defaults of a training script, by its syntax tree alone."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.causal.extract_interventions import extract_leaderboard
from scripts.causal.files import InputError
from scripts.causal.leaderboard import script_defaults
from scripts.causal.leaderboard.script_defaults import read_defaults

SCRIPT = """\
import os

class Hyperparameters:
    num_layers = int(os.environ.get("NUM_LAYERS", 11))
    model_dim = int(os.environ.get("MODEL_DIM", str(8 * 64)))
    train_batch_tokens = int(os.environ.get("TRAIN_BATCH_TOKENS", 1 << 19))
    rope_base = float(os.getenv("ROPE_BASE", "1e4"))
    vocab_size = int(os.environ.get("VOCAB_SIZE", model_dim))
    num_heads = int(os.environ.get("NUM_HEADS"))
    num_kv_heads = int(os.environ.get("NUM_KV_HEADS", "four"))
    mlp_mult = int(settings.get("MLP_MULT", 3))

num_layers = os.environ.get("NUM_LAYERS", 12)
os.environ.get("SOMETHING_ELSE", 3)
"""


def test_literal_defaults_are_read_with_their_lines_and_the_first_counts():
    found = {name: (default.value, default.line) for name, default in
             read_defaults(SCRIPT, "train_gpt.py").items()}  # fmt: skip
    assert found == {
        "num_layers": (11, 4),
        "model_dim": (512, 5),
        "train_batch_tokens": (524288, 6),
        "rope_base": (10000, 7),
    }


def test_nothing_is_executed(tmp_path):
    mark = tmp_path / "executed"
    read_defaults(f"open({str(mark)!r}, 'w')\nimport os\nos.environ.get('NUM_LAYERS', "
                  f"__import__('pathlib').Path({str(mark)!r}).touch())\n", "x")  # fmt: skip
    assert not mark.exists()


@pytest.mark.parametrize(
    "source",
    ["def f(:\n", "x = 1\0", "(" * 5_000, "-" * 200_000 + "1", "f" + "(1)" * 50_000, "[" * 90,
     "x" + ".a" * 100_000, "1" + "+1" * 100_000, "if 1:\n\tx\n        y", "\ud800"],
)  # fmt: skip
def test_broken_and_hostile_scripts_end_in_one_error_or_in_nothing(source):
    try:
        assert read_defaults(source, "x/train_gpt.py") == {}
    except InputError as error:
        assert str(error).startswith("x/train_gpt.py: ")


def test_huge_arithmetic_is_not_done():
    for default in ("9**9**9**9", "1 << 10**9", "2**40**2", "'9'*10**9", "1e308*10", "-(10**400)"):
        assert read_defaults(f"import os\nos.environ.get('NUM_LAYERS', {default})", "x") == {}


def test_a_script_is_read_no_further_than_its_bound(monkeypatch):
    monkeypatch.setattr(script_defaults, "MAX_NODES", 50)
    filler = "1;" * 60
    assert read_defaults(f"{filler}\nos.environ.get('NUM_LAYERS', 5)", "x") == {}


@given(st.text(max_size=200))
def test_no_text_crashes_it(text):
    with contextlib.suppress(InputError):
        read_defaults(text, "x")


def submission(tmp_path: Path, script: str) -> Path:
    folder = tmp_path / "t" / "one"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("# X\n\nNUM_LAYERS=9 python train_gpt.py\n")
    (folder / "submission.json").write_text('{"val_bpb": 1.1}')
    (folder / "train_gpt.py").write_text(script)
    return tmp_path


def test_the_readme_stands_before_the_script(tmp_path):
    read = extract_leaderboard(submission(tmp_path, SCRIPT)).submissions[0]
    assert read.techniques["num_layers"] == 9
    assert "num_layers" not in read.defaults
    assert (read.defaults["model_dim"], read.sources["defaults.model_dim"].line) == (512, 5)


def test_a_script_that_is_no_python_is_a_problem_and_not_a_failure(tmp_path):
    read = extract_leaderboard(submission(tmp_path, "def f(:\n")).submissions[0]
    assert (read.val_bpb, read.defaults) == (1.1, {})
    assert read.problems[0].startswith("train_gpt.py: is not Python: ")
    assert "line 1" in read.problems[0]
