"""What a script reads from the environment, told from its text alone."""

import tomllib

import pytest
from fake_script import write_script

from interventions.vocabulary import load_variables
from scripts.causal.files import InputError
from trainers.gpt.config import GPTConfig, config_values
from trainers.script_env import ENV_FILE, env_names, environment, read_settings

TEXT = """
import os
from os import environ
num_layers = int(os.environ.get("NUM_LAYERS", 9))
beta = float(os.getenv("BETA1", "0.9"))
tied = bool(int(os.environ.get("TIE_EMBEDDINGS", "1")))
smear = os.environ.get("SMEAR_GATE", "0") == "1"
rope = int(environ.get("ROPE_DIMS", 16))
batch = int(os.environ.get("TRAIN_BATCH_TOKENS", 524_288))
wd = float(os.environ.get("WEIGHT_DECAY", -0.0))
own = os.environ.get("MY_KNOB", "soft")
steps = int(os.environ.get("VAL_STEPS", os.environ.get("OTHER", 3)))
plain = os.environ["NO_DEFAULT"]
e = os.environ.get
short = e("QK_GAIN_INIT", 1.5)
def flag(name: str, default: int) -> bool:
    return bool(int(os.environ.get(name, default)))
swa = flag("SWA_ENABLED", 1)
seed = int(os.environ.get("SEED", 1))
os.environ["WRITTEN_ONLY"] = "1"
# os.environ.get("LOGIT_SOFTCAP", 30.0)
"""


@pytest.fixture
def settings(tmp_path):
    return read_settings(write_script(tmp_path, TEXT))


def test_fields_kinds_and_defaults_of_a_script(settings):
    assert {name: (s.env, s.kind, s.default) for name, s in settings.items()} == {
        "num_layers": ("NUM_LAYERS", "int", 9),
        "beta1": ("BETA1", "float", 0.9),
        "tied_embeddings": ("TIE_EMBEDDINGS", "bool", True),
        "smear_gate": ("SMEAR_GATE", "bool", False),
        "rope_dims": ("ROPE_DIMS", "int", "partial"),
        "train_batch_tokens": ("TRAIN_BATCH_TOKENS", "int", 524288),
        "weight_decay": ("WEIGHT_DECAY", "float", 0.0),
        "MY_KNOB": ("MY_KNOB", "text", "soft"),
        "VAL_STEPS": ("VAL_STEPS", "int", None),
        "OTHER": ("OTHER", "int", 3),
        "NO_DEFAULT": ("NO_DEFAULT", "text", None),
        "qk_gain": ("QK_GAIN_INIT", "float", 1.5),
        "swa": ("SWA_ENABLED", "bool", True),
    }


def test_only_what_differs_from_the_script_is_said(settings):
    config = {"num_layers": 9, "beta1": 0.95, "tied_embeddings": False, "rope_dims": "full"}
    assert environment(settings, config) == {
        "BETA1": "0.95",
        "ROPE_DIMS": "0",
        "TIE_EMBEDDINGS": "0",
    }
    assert environment(settings, {"num_layers": 11.0, "MY_KNOB": "hard"}) == {
        "MY_KNOB": "hard",
        "NUM_LAYERS": "11",
    }


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("num_layers", 9.5, "takes a whole number as NUM_LAYERS, but got num_layers=9.5"),
        ("beta1", "high", "takes a number as BETA1"),
        ("beta1", True, "takes a number as BETA1"),
        ("tied_embeddings", 2, "takes true or false as TIE_EMBEDDINGS"),
        ("logit_softcap", 20.0, r"does not read 'logit_softcap' .*\(LOGIT_SOFTCAP\)"),
        ("gated_attention", True, "does not read 'gated_attention' .*GATED_ATTENTION or"),
        ("activation", "gelu", r"does not read 'activation' .*\(no variable is known for it\)"),
    ],
)
def test_what_a_script_cannot_take_is_refused(settings, field, value, words):
    with pytest.raises(InputError, match=words):
        environment(settings, {field: value})


def test_a_script_that_is_no_python_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"train_gpt.py: is not Python: .*, line 1"):
        read_settings(write_script(tmp_path, "def ("))
    with pytest.raises(InputError, match=r"cannot be parsed|is not Python"):
        read_settings(write_script(tmp_path, "(" * 100_000))


def test_the_table_names_only_fields_that_exist_and_repeats_no_vocabulary():
    table = tomllib.loads(ENV_FILE.read_text())
    variables = load_variables()
    known = {*variables, *config_values(GPTConfig())}
    assert set(table) <= known
    for field, entry in table.items():
        own = variables[field].env if field in variables else None
        assert own not in entry["names"]
        assert env_names(field)[-1] == entry["names"][-1]
        for level in entry.get("levels", {}):
            variables[field].check(level)
    names = [name for field in known for name in env_names(field)]
    assert len(names) == len(set(names))
