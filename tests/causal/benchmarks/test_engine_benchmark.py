"""The engine's benchmark: its plain loop is the engine's model, and its judgements can fail."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trainers.engine import StepSettings
from trainers.gpt.config import gpt_config
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.init import initial_weights

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.mark.parametrize("layers", [2, 3])
def test_the_plain_loop_trains_the_engines_model(layers):
    from plain_gpt import PlainLoop

    config = gpt_config(
        {
            "num_layers": layers,
            "model_dim": 16,
            "num_heads": 2,
            "num_kv_heads": 1,
            "vocab_size": 32,
            "train_seq_len": 8,
            "train_batch_tokens": 32,
        }
    )
    batches = np.random.default_rng(0).integers(0, 32, (6, 4, 9))
    plain, engine = PlainLoop(config, 0), TorchEngine(config, "torch-cpu-float32")
    engine.load(initial_weights(config, seed=0))
    for number, batch in enumerate(batches):
        settings = StepSettings(1 - 0.1 * number, 0.9)
        assert plain.step(batch, settings) == pytest.approx(engine.step(batch, settings), abs=1e-5)
    assert np.abs(plain.losses(batches[0]) - engine.losses(batches[0])).max() < 1e-4


def test_promises_are_kept_or_missed():
    from engine import judge

    speed = {
        "profile_of": "b",
        "loops": {"b": {"times_plain_quickest_ms": 2.9}},
        "curve_gap": {"b": 0.001},
        "curve_gap_of_two_starts": 0.01,
    }
    rows = [
        {"id": "a", "gap": 1e-6, "ahead": 0.0, "neutral": True},
        {"id": "b", "gap": 2e-4, "ahead": 0.1, "neutral": False},
        {"id": "c", "error": "cannot be built"},
    ]
    scales = [{"backend": "x", "rows": {"mini": {"times": 6.9}, "fast": {"times": 2.0}}}]
    told = judge(
        {"speed": speed, "scales": scales, "parity": rows, "faults": {"a": ["t"], "b": []}}
    )
    assert {name: (row["figure"], row["kept"]) for name, row in told.items()} == {
        "x: three steps, times less, best at mini": (6.9, False),
        "speed: times the plain loop's quickest step": (2.9, False),
        "speed: curves apart, nats": (0.001, True),
        "parity: entries not measured": (1, False),
        "parity: largest gap, nats": (2e-4, False),
        "parity: largest look ahead, nats": (0.1, False),
        "parity: entries that leave a trace": (1, False),
        "faults: without a test": (1, False),
    }


def test_every_fault_has_tests_that_are_there():
    from engine import FAULTS, name_faults

    found = name_faults("fast", "torch-cpu-float32", False)
    assert found == {fault: list(tests) for fault, tests in FAULTS.items()}


def test_it_runs_and_ends_with_one_object():
    program = [sys.executable, str(BENCHMARKS / "engine.py")]
    done = subprocess.run(
        [*program, "--part", "faults", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    told = json.loads(line)
    assert told["promises"]["faults: without a test"]["kept"]
    done = subprocess.run(
        [*program, "--part", "fualts"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "no part 'fualts'" in done.stderr
