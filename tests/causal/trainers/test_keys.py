"""Keys of stages: everything an output depends on is in them, and nothing else."""

import sys

import pytest

from trainers import keys
from trainers.keys import code_version, stage_key

PARTS = {
    "stage": "train",
    "trainer": "gpt",
    "backend": "torch-cpu-float32",
    "fields": {"num_layers": 2, "matrix_lr": 0.04},
    "seed": 0,
    "data": "d1",
    "code": "c1",
    "parent": None,
}


def test_a_key_is_the_same_everywhere():
    assert stage_key(**PARTS) == stage_key(**PARTS)
    assert stage_key(**PARTS) == "fa0bbe46dbca40a85b641a79ba074d13"
    turned = {**PARTS, "fields": {"matrix_lr": 0.04, "num_layers": 2}}
    assert stage_key(**turned) == stage_key(**PARTS)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("stage", "quantize"),
        ("trainer", "script"),
        ("backend", "torch-cpu-bfloat16"),
        ("fields", {"num_layers": 3, "matrix_lr": 0.04}),
        ("fields", {"num_layers": 2}),
        ("seed", 1),
        ("data", "d2"),
        ("code", "c2"),
        ("parent", "p"),
    ],
)
def test_every_part_counts(part, value):
    assert stage_key(**{**PARTS, part: value}) != stage_key(**PARTS)


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "keyed_module.py").write_text("raise RuntimeError('read, not run')\n")
    monkeypatch.syspath_prepend(tmp_path)
    code_version.cache_clear()
    yield tmp_path / "keyed_module.py"
    code_version.cache_clear()


def test_code_version_follows_the_source_and_runs_nothing(module):
    before = code_version(("keyed_module",))
    assert code_version(("keyed_module",)) == before
    module.write_text("x = 1\n")
    code_version.cache_clear()
    assert code_version(("keyed_module",)) != before
    assert "keyed_module" not in sys.modules


def test_code_version_follows_the_packages(module, monkeypatch):
    before = code_version(("keyed_module",), ("torch",))
    assert code_version(("keyed_module",), ("no-such-package",)) != before
    monkeypatch.setattr(keys, "version", lambda package: "99.0")
    code_version.cache_clear()
    assert code_version(("keyed_module",), ("torch",)) != before


def test_a_module_without_source_is_named():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        code_version(("no_such_module",))
