"""Runs on Ray: the same numbers as here, whichever node is killed in the middle."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import scripts.causal.experiment_runner as runner
from scripts.causal.campaign.executor import open_executor
from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.schema import RawRuns
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file

CLUSTER = Path(__file__).with_name("ray_cluster.py")
KEYS = 4 * 2 * 3  # seeds, arms, stages


def command(folder, *more):
    return [
        *(sys.executable, runner.__file__, "--trainer", "toy", "--scale", "tiny", "--quiet"),
        *("--treatment", "activation=tanh", "--control", "step_seconds=0.05"),
        *("--seeds", "1,2,3,4", "--ledger", str(folder / "ledger.sqlite")),
        *("--output", str(folder / "raw.json"), *more),
    ]


def outcome(path):
    raw = parse_file(RawRuns, path)
    for pair in raw.runs[0].pairs:
        for arm in (pair.control, pair.treatment):
            arm.metrics.pop("seconds")
    return raw


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="Ray is not installed (pip install -e .[ray])",
)
def test_a_node_killed_in_the_middle_loses_nothing(toy_installed, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    subprocess.run(command(here, "--workers", "2"), check=True)
    there.mkdir()
    done = subprocess.run(
        [sys.executable, CLUSTER, there / "ledger.sqlite", *command(there, "--executor", "ray")],
        env={name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"},
        capture_output=True,
        text=True,
        timeout=240,
        cwd=there,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    seen = json.loads(done.stdout)  # and nothing else: Ray's own words go to standard error
    assert (seen["returncode"], seen["nodes"]) == (0, 3), seen["said"]
    assert outcome(there / "raw.json") == outcome(here / "raw.json")

    (deadly,) = parse_file(RawRuns, there / "deadly.json").runs
    for pair in deadly.pairs:
        assert pair.control.failure is None
        assert pair.treatment.failure.startswith("train: crashed 2 times: The actor is dead")

    ledger = open_ledger(there / "ledger.sqlite")
    rows = {row.key: row for row in ledger.rows() if not row.spec["config"]["accident"]}
    ledger.close()
    assert len(rows) == KEYS
    assert {row.status for row in rows.values()} == {"done"}
    lost = rows.pop(seen["key"])
    assert (lost.attempts, lost.crashes) == (2, 0)
    assert lost.owner != seen["owner"]
    assert {row.attempts for row in rows.values()} == {1}


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_it_is_said_what_is_missing(toy, ledger):
    with pytest.raises(InputError, match=r"Ray is not installed \(pip install"):
        open_executor(toy, ledger, "toy-cpu", kind="ray")
