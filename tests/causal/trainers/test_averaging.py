"""Averages of weights: exact shares, and a stage that both arms' training is shared before."""

import numpy as np
import pytest

from trainers.averaging import SWA, SWA_CHECKPOINTS, TRACKED, Average, checkpoint_steps, ema
from trainers.engine import StepSettings
from trainers.gpt.config import gpt_config
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.init import initial_weights

CONFIG = gpt_config(
    {
        "num_layers": 1,
        "model_dim": 16,
        "num_heads": 2,
        "num_kv_heads": 1,
        "vocab_size": 32,
        "train_seq_len": 8,
        "train_batch_tokens": 32,
    }
)
BATCHES = np.random.default_rng(0).integers(0, 32, (6, 4, 9))
SETTINGS = StepSettings(lr_scale=1.0, muon_momentum=0.9)


def moved(average, values, checkpoints=frozenset()):
    """The average of these values, one after each step."""
    kept = values[0]
    for finished, value in enumerate(values, start=1):
        kept += average.share(finished, checkpoints) * (value - kept)
    return kept


def test_the_exponential_average_is_free_of_its_start():
    values = np.random.default_rng(1).normal(size=40)
    weights = 0.9 ** np.arange(40)[::-1]
    expected = (weights * values).sum() / weights.sum()
    assert moved(ema(0.9), values) == pytest.approx(expected, rel=1e-12)
    assert ema(0.997).share(1, ()) == pytest.approx(1.0)


def test_the_mean_of_checkpoints_is_a_plain_mean():
    values = np.random.default_rng(2).normal(size=20)
    kept = moved(Average(SWA), values, {8, 14, 20})
    assert kept == pytest.approx(values[[7, 13, 19]].mean(), rel=1e-12)


def test_checkpoints_lie_in_the_last_fifth_of_the_warmdown_and_end_with_it():
    long = [min(1.0, (1000 - step) / 600) for step in range(1000)]
    steps = checkpoint_steps(long)
    assert len(steps) == SWA_CHECKPOINTS
    assert max(steps) == 1000
    assert min(steps) > 880
    assert all(long[step - 1] <= 0.2 for step in steps)
    assert set(np.diff(sorted(steps))) == {10}
    assert checkpoint_steps([1.0] * 50) == {50}
    assert checkpoint_steps([0.1] * 50) == {50}  # never falls: no warmdown to be late in
    assert checkpoint_steps([1.0, 0.6, 0.3, 0.2, 0.1]) == {4, 5}


def curve_of(engine, averages):
    engine.load(initial_weights(CONFIG, seed=0))
    losses, seen = [], []
    for finished, tokens in enumerate(BATCHES, start=1):
        losses.append(engine.step(tokens, SETTINGS))
        seen.append(engine.weights())
        for average in averages:
            if share := average.share(finished, {3, 6}):
                engine.average(average.name, share)
    return losses, seen


@pytest.mark.parametrize("backend", ["torch-cpu-float32", "mlx-cpu-float32"])
def test_an_engine_keeps_averages_beside_the_weights(backend):
    if backend.startswith("mlx"):
        mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
        from trainers.gpt.engine_mlx import MlxEngine

        mx.disable_compile()
        engine = MlxEngine(CONFIG, backend)
    else:
        engine = TorchEngine(CONFIG, backend)
    plain, _ = curve_of(engine, ())
    assert engine.averages() == {}
    averaged, seen = curve_of(engine, TRACKED)
    assert averaged == plain  # to the bit: training never reads them
    kept = engine.averages()
    assert list(kept) == ["ema0.95", "ema0.99", "ema0.997", "swa"]
    decay = 0.99 ** np.arange(6)[::-1]
    for name in seen[0]:
        values = np.stack([weights[name] for weights in seen]).astype(np.float64)
        exact = np.tensordot(decay / decay.sum(), values, axes=1)
        assert np.abs(kept["ema0.99"][name] - exact).max() < 1e-6
        assert np.abs(kept["swa"][name] - values[[2, 5]].mean(axis=0)).max() < 1e-6
    engine.load(seen[0])
    assert engine.averages() == {}
    if backend.startswith("mlx"):
        mx.enable_compile()
