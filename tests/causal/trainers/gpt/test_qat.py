"""Training on the artifact's grid: the very grid, a straight-through gradient, and only late."""

import numpy as np
import pytest
import torch

from trainers.engine import StepSettings
from trainers.gpt.config import gpt_config
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.init import initial_weights
from trainers.gpt.qat_torch import fake_quantize
from trainers.gpt.run import schedule_of
from trainers.quantize.artifact import read_artifact
from trainers.quantize.int8 import dequantize, quantize
from trainers.quantize.pack import pack
from trainers.quantize.recipe import Recipe, quantized

SMALL = {
    "num_layers": 1,
    "model_dim": 32,
    "num_heads": 2,
    "num_kv_heads": 1,
    "vocab_size": 48,
    "train_seq_len": 8,
    "train_batch_tokens": 64,
    "iterations": 4,
    "warmdown_iters": 4,
    "val_points": 1,
    "qat": True,
    "qat_below": 0.6,
}
CONFIG = gpt_config(SMALL)
BATCHES = np.random.default_rng(0).integers(0, 48, (4, 8, 9))


def weights_of(config=CONFIG):
    draw = np.random.default_rng(1).standard_normal
    start = initial_weights(config, seed=0).items()
    return {name: v + np.float32(0.1) * draw(v.shape, np.float32) for name, v in start}


def stored(weights, bits="int8"):
    """As they come back from the artifact."""
    if bits == "int8":
        return dequantize(quantize(weights))
    return read_artifact(pack(quantized(weights, Recipe(bits)), "zlib"))


def run(engine, config):
    engine.configure(vars(config))
    engine.load(weights_of(config))
    schedule = schedule_of(config)
    return [engine.step(batch, schedule.settings(i)) for i, batch in enumerate(BATCHES)]


@pytest.mark.parametrize("bits", ["int8", "int6", "int5"])
@pytest.mark.parametrize("scale", [1e-9, 1e-4, 1.0, 300.0])
def test_the_grid_is_the_artifacts(scale, bits):
    draw = np.random.default_rng(2).standard_normal
    weights = {
        "square": draw((40, 40), np.float32),
        "wide": draw((16, 200), np.float32),
        **({"thin": draw((2, 200), np.float32)} if bits == "int8" else {}),  # else float16
        **({"vector": draw((50,), np.float32)} if bits == "int8" else {}),
        "zero rows": np.zeros((16, 16), dtype=np.float32),
    }
    weights = {name: np.float32(scale) * value for name, value in weights.items()}
    exported = stored(weights, bits)
    for name, value in weights.items():
        ours = fake_quantize(torch.from_numpy(value), bits)
        assert np.array_equal(ours.numpy(), exported[name]), name
        assert torch.equal(fake_quantize(ours, bits), ours), name


@pytest.mark.parametrize("bits", ["int8", "int6", "int5"])
def test_mlx_has_the_same_grid(bits):
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    from trainers.gpt.qat_mlx import on_grid

    large = {name: v for name, v in weights_of().items() if v.ndim == 2 and min(v.shape) >= 16}
    weights = weights_of() if bits == "int8" else large  # else float16
    ours = on_grid({name: mx.array(value) for name, value in weights.items()}, bits)
    for name, value in stored(weights, bits).items():
        assert np.abs(np.array(ours[name]) - value).max() < 1e-7, name


def test_the_loss_is_of_the_stored_weights_and_the_step_is_of_the_others():
    engine = TorchEngine(CONFIG, "torch-cpu-float32")
    weights = weights_of()
    engine.load(stored(weights))
    expected = float(engine.losses(BATCHES[0]).mean())
    on_grid = engine.gradient(BATCHES[0], np.ones((8, 8), dtype=np.float32))
    engine.load(weights)
    assert float(engine.losses(BATCHES[0]).mean()) != pytest.approx(expected, abs=1e-5)
    loss = engine.step(BATCHES[0], StepSettings(0.0, 0.9, quantized=True))
    assert loss == pytest.approx(expected, abs=1e-6)
    for name, value in engine.weights().items():
        assert np.array_equal(value, weights[name]), name  # rate 0: back to the bit
    for name, parameter in engine._parameters.items():
        assert np.abs(parameter.grad.numpy() - on_grid[name]).max() < 1e-6, name


def test_it_begins_late_in_the_warmdown():
    config = gpt_config({**SMALL, "iterations": 40, "warmup_iters": 20, "warmdown_iters": 20})
    late = gpt_config({**vars(config), "qat_below": 0.15})
    flags = [schedule_of(late).settings(step).quantized for step in range(40)]
    assert flags == 38 * [False] + 2 * [True]
    off = gpt_config({**vars(config), "qat": False})
    assert not any(schedule_of(off).settings(step).quantized for step in range(40))


def test_before_it_begins_nothing_differs():
    engine = TorchEngine(CONFIG, "torch-cpu-float32")
    quantized = run(engine, CONFIG)
    plain = run(engine, gpt_config({**SMALL, "qat": False}))
    assert quantized[:2] == plain[:2]  # to the bit
    assert quantized[2] != plain[2]


def test_torch_and_mlx_train_alike_on_the_grid(mlx_engine):
    expected = run(TorchEngine(CONFIG, "torch-cpu-float32"), CONFIG)
    assert run(mlx_engine(CONFIG), CONFIG) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("backend", ["torch", "mlx"])
def test_a_look_on_the_grid_leaves_the_weights_as_they_were(backend, request):
    if backend == "torch":
        engine = TorchEngine(CONFIG, "torch-cpu-float32")
    else:
        engine = request.getfixturevalue("mlx_engine")(CONFIG)
    engine.load(weights_of())
    before = engine.losses(BATCHES[0])
    with engine.on_grid():
        within, rounded = engine.weights(), engine.losses(BATCHES[0])
    for name, value in stored(weights_of()).items():
        np.testing.assert_allclose(within[name], value, atol=1e-6)
    assert (rounded != before).any()
    np.testing.assert_array_equal(engine.losses(BATCHES[0]), before)
    for name, value in weights_of().items():
        np.testing.assert_array_equal(engine.weights()[name], value)
