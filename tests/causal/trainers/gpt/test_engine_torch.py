"""The torch engine: exact reruns, batches split any way, and several processes as one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts.causal.files import InputError
from trainers.engine import StepSettings
from trainers.gpt import engine_torch
from trainers.gpt.config import config_values, gpt_config
from trainers.gpt.engine_torch import TorchEngine, torch_backends
from trainers.gpt.init import initial_weights
from trainers.gpt.run import schedule_of

SMALL = {
    "num_layers": 2,
    "model_dim": 32,
    "num_heads": 4,
    "num_kv_heads": 2,
    "vocab_size": 64,
    "train_seq_len": 16,
    "train_batch_tokens": 128,
}
CONFIG = gpt_config(SMALL)
ALTERED = gpt_config(
    {
        **SMALL,
        "selective_loss": True,
        "selective_margin": 0.05,
        "embedding_mask": True,
        "embedding_mask_margin": 0.05,
        "corrupted_context": 0.3,
        "token_dropout": 0.2,
        "iterations": 8,
        "val_points": 1,
    }
)
BATCHES = np.random.default_rng(0).integers(0, 64, (8, 8, 17))


def run(engine, steps=8, config=CONFIG):
    engine.configure(config_values(config))
    engine.load(initial_weights(config, seed=0))
    return [
        engine.step(BATCHES[i], StepSettings(lr_scale=1 - i / 10, muon_momentum=0.85 + i / 100))
        for i in range(steps)
    ]


def run_altered(engine):
    """Losses of a run whose loss is no plain mean, and one gradient by weights of their own."""
    engine.load(initial_weights(ALTERED, seed=0))
    schedule = schedule_of(ALTERED, seed=1)
    losses = [engine.step(BATCHES[i], schedule.settings(i)) for i in range(8)]
    shares = np.linspace(0, 1, 5 * 16, dtype=np.float32).reshape(5, 16)
    return [*losses, *engine.gradient(BATCHES[0][:5], shares)["embed"][0].tolist()]


@pytest.mark.parametrize("backend", ["torch-cpu-float32", "torch-cpu-bfloat16"])
def test_a_warm_engine_reruns_bit_for_bit(backend):
    engine = TorchEngine(CONFIG, backend)
    first, weights = run(engine), engine.weights()
    other = gpt_config({**SMALL, "matrix_lr": 0.01, "qk_gain": 1.0, "logit_softcap": 10.0})
    assert run(engine, config=other) != first
    assert run(engine) == first
    assert all(np.array_equal(value, weights[name]) for name, value in engine.weights().items())
    assert run(TorchEngine(CONFIG, backend)) == first


def test_training_lowers_the_loss():
    engine = TorchEngine(CONFIG, "torch-cpu-float32")
    engine.load(initial_weights(CONFIG, seed=0))
    losses = [engine.step(BATCHES[0], StepSettings(1.0, 0.9)) for _ in range(30)]
    assert losses[0] == pytest.approx(np.log(64), abs=0.1)
    assert losses[-1] < losses[0] - 1


def test_bfloat16_follows_float32():
    exact = run(TorchEngine(CONFIG, "torch-cpu-float32"))
    rounded = run(TorchEngine(CONFIG, "torch-cpu-bfloat16"))
    assert exact != rounded
    assert np.abs(np.array(exact) - np.array(rounded)).max() < 0.02


def test_an_accumulated_batch_is_one_batch(monkeypatch):
    whole = run(TorchEngine(CONFIG, "torch-cpu-float32"))
    monkeypatch.setitem(engine_torch.MICRO_TOKENS, "cpu", 32)
    split = TorchEngine(CONFIG, "torch-cpu-float32")
    assert split._micro == 2
    assert np.abs(np.array(run(split)) - np.array(whole)).max() < 1e-4


def test_losses_of_any_number_of_sequences(monkeypatch):
    monkeypatch.setitem(engine_torch.MICRO_TOKENS, "cpu", 48)
    engine = TorchEngine(CONFIG, "torch-cpu-float32")
    engine.load(initial_weights(CONFIG, seed=0))
    rows = BATCHES.reshape(-1, 17)[:11]
    together = engine.losses(rows)
    assert together.shape == (11, 16)
    alone = np.concatenate([engine.losses(row[None]) for row in rows])
    assert np.abs(together - alone).max() < 1e-5


def test_what_does_not_fit_is_refused():
    engine = TorchEngine(CONFIG, "torch-cpu-float32")
    with pytest.raises(InputError, match="this engine has num_layers=2, but got num_layers=3"):
        engine.configure({**SMALL, "num_layers": 3})
    weights = initial_weights(CONFIG, seed=0)
    with pytest.raises(InputError, match="'embed' must have shape"):
        engine.load({**weights, "embed": weights["embed"][:-1]})
    del weights["skip_weights"]
    with pytest.raises(InputError, match="weights do not fit the model: skip_weights"):
        engine.load(weights)
    with pytest.raises(InputError, match="no torch backend"):
        TorchEngine(CONFIG, "torch-cpu-float16")


def test_backends_of_this_machine_are_built(monkeypatch):
    for backend in torch_backends():
        assert len(run(TorchEngine(CONFIG, backend), steps=1)) == 1


PROCESS = """
import json, os, sys
sys.path.insert(0, {folder!r})
from test_engine_torch import ALTERED, BATCHES, CONFIG, run, run_altered
from trainers.gpt.engine_torch import TorchEngine, join_processes, leave_processes
join_processes("torch-cpu-float32")
engine = TorchEngine(CONFIG, "torch-cpu-float32")
curve = run(engine)
held_out = engine.losses(BATCHES.reshape(-1, 17)[:7]).tolist()
altered = run_altered(TorchEngine(ALTERED, "torch-cpu-float32"))
print(json.dumps([curve, held_out, altered]))
leave_processes()
"""


def test_two_processes_train_as_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    program = tmp_path / "process.py"
    program.write_text(PROCESS.format(folder=str(Path(__file__).parent)))
    processes = [
        subprocess.Popen(
            [sys.executable, program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": "2",
                "OMP_NUM_THREADS": "1",
            },
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    results = [json.loads(output.splitlines()[-1]) for output, _ in outputs]
    engine = TorchEngine(CONFIG, "torch-cpu-float32")
    curve = run(engine)
    held_out = engine.losses(BATCHES.reshape(-1, 17)[:7])
    assert results[0] == results[1]
    assert np.abs(np.array(results[0][0]) - np.array(curve)).max() < 1e-4
    assert np.abs(np.array(results[0][1]) - held_out).max() < 1e-3
    altered = run_altered(TorchEngine(ALTERED, "torch-cpu-float32"))
    assert np.abs(np.array(results[0][2]) - np.array(altered)).max() < 1e-3
