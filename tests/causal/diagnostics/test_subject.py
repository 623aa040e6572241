"""A diagnostic's model is the one that was named, or an error says what is wrong."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from scripts.causal import (
    gradient_attribution,
    influence_proxy,
    quant_gap_analysis,
    score_and_reorder,
    token_loss_decompose,
)
from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.diagnostics.command import named_subject
from scripts.causal.diagnostics.subject import find_run, given_checkpoint
from scripts.causal.files import InputError


def test_a_run_is_found_by_the_key_of_any_stage(recorded):
    path, last = recorded
    ledger = open_ledger(path)
    chain = {row.kind: row.key for row in ledger.rows()}
    ledger.close()
    assert chain["evaluate"] == last
    for stage, left_by in (
        ("evaluate", "average"),
        ("quantize", "average"),
        ("average", "average"),
        ("train", "train"),
    ):
        found = find_run(chain[stage], path)
        assert found.run == chain[left_by]
        assert found.path.parent.name == chain[left_by]
        assert "artifact_bytes" not in found.metrics
        assert len(found.curves["train_loss"]) == 20


def test_the_facts_are_those_of_the_file(subject):
    bench, weights = subject.open()
    facts = subject.facts(bench, weights)
    assert facts.sha256 == hashlib.sha256(subject.path.read_bytes()).hexdigest()
    assert facts.parameters == sum(values.size for values in weights.values())
    assert facts.fingerprint == bench.data.fingerprint


def test_a_checkpoint_by_its_file(subject, small_data, tmp_path):
    run = {"backend": "torch-cpu-float32", "config": dict(subject.spec.config), "seed": 3}
    (tmp_path / "run.json").write_text(json.dumps(run))
    given = given_checkpoint(subject.path, tmp_path / "run.json", str(small_data))
    rows = np.arange(66).reshape(2, 33)
    ours, theirs = given.open()[0].engine, subject.open()[0].engine
    assert np.array_equal(ours.losses(rows), theirs.losses(rows))
    (tmp_path / "run.json").write_text(json.dumps({**run, "sede": 3}))
    with pytest.raises(InputError, match="sede"):
        given_checkpoint(subject.path, tmp_path / "run.json", str(small_data))


def test_what_cannot_be_looked_at(subject, recorded, small_data, tmp_path):
    with pytest.raises(InputError, match="no such ledger"):
        find_run(recorded[1], str(tmp_path / "none.sqlite"))
    assert not (tmp_path / "none.sqlite").exists()
    with pytest.raises(InputError, match=r"no run abc.*raw_runs\.json"):
        find_run("abc", recorded[0])
    with pytest.raises(InputError, match=r"not on this machine.*torch-cpu-float32"):
        subject.on("torch-tpu-float32", None).open()
    with pytest.raises(InputError, match="no such folder"):
        subject.on(None, tmp_path / "no_data").open()
    (tmp_path / "run.json").write_text(
        json.dumps({"backend": "torch-cpu-float32", "config": dict(subject.spec.config)})
    )
    save_file({"embed": np.zeros((4, 4), np.float32)}, tmp_path / "other.safetensors")
    other = given_checkpoint(
        tmp_path / "other.safetensors", tmp_path / "run.json", str(small_data)
    )
    with pytest.raises(InputError, match=r"other\.safetensors.*do not fit"):
        other.open()


def test_one_model_has_to_be_named(tmp_path):
    nothing = dict.fromkeys(("run", "checkpoint", "config", "data", "backend"))
    for given in ({}, {"run": "a", "checkpoint": tmp_path / "b"}):
        with pytest.raises(InputError, match="either --run or --checkpoint"):
            named_subject(**{**nothing, **given}, ledger="x", quiet=True)
    with pytest.raises(InputError, match="needs --config"):
        named_subject(**{**nothing, "checkpoint": tmp_path / "b"}, ledger="x", quiet=True)


@pytest.mark.parametrize(
    "stage",
    [
        token_loss_decompose,
        quant_gap_analysis,
        influence_proxy,
        gradient_attribution,
        score_and_reorder,
    ],
)
def test_every_command_refuses_before_it_writes(stage, recorded, subject, tmp_path):
    damaged = tmp_path / "cut.safetensors"
    damaged.write_bytes(subject.path.read_bytes()[:-100])
    run = {"backend": "torch-cpu-float32", "config": dict(subject.spec.config)}
    (tmp_path / "run.json").write_text(json.dumps(run))
    named = {"checkpoint": damaged, "config": tmp_path / "run.json"}
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match="not a whole safetensors file"):
        stage.main(output=tmp_path / "a.json", **named, data=Path(subject.spec.data))
    with pytest.raises(InputError, match=r"must end in \.json"):
        stage.main(output=tmp_path / "a.txt", run=recorded[1], ledger=recorded[0])
    assert sorted(tmp_path.iterdir()) == before


def test_bad_input_is_one_line_and_exit_code_2(tmp_path):
    script = Path(token_loss_decompose.__file__)
    arguments = ["--run", "0" * 32, "--ledger", tmp_path / "none.sqlite"]
    done = subprocess.run(
        [sys.executable, script, *arguments, "--output", tmp_path / "a.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
