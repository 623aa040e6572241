"""The MLX engine: torch's loss curve, exact reruns, and hyperparameters that cost no trace."""

import shutil
import threading

import numpy as np
import pytest

mx = pytest.importorskip("mlx.core", reason="mlx is not installed")

from scripts.causal.files import InputError  # noqa: E402
from trainers.engine import StepSettings  # noqa: E402
from trainers.gpt import engine_mlx  # noqa: E402
from trainers.gpt.config import GPTConfig, config_values, fields_with  # noqa: E402
from trainers.gpt.engine_mlx import MlxEngine, mlx_backends  # noqa: E402
from trainers.gpt.engine_torch import TorchEngine  # noqa: E402
from trainers.gpt.init import initial_weights  # noqa: E402

TINY = GPTConfig(
    num_layers=2,
    model_dim=16,
    num_heads=2,
    num_kv_heads=1,
    vocab_size=32,
    train_seq_len=8,
    train_batch_tokens=64,
    matrix_lr=0.02,
    tied_embed_lr=0.01,
    scalar_lr=0.01,
)
STEPS = 20
OTHER_LEVEL = {"rope_dims": "partial"}  # of a hyperparameter that is a word
BATCHES = np.random.default_rng(0).integers(0, 32, (STEPS, 8, 9))
HELD_OUT = np.random.default_rng(1).integers(0, 32, (11, 9))


@pytest.fixture
def eager():
    """Uncompiled: on Linux MLX compiles with g++, half a second for each of some 50 kernels."""
    mx.disable_compile()
    yield
    mx.enable_compile()


@pytest.fixture
def compiled():
    if not mx.metal.is_available() and shutil.which("g++") is None:
        pytest.skip("mlx compiles with g++ here, and there is none")
    mx.enable_compile()


def run(engine, config=TINY, steps=STEPS):
    """Training losses of a run with a schedule that moves at every step."""
    engine.configure(config_values(config))
    engine.load(initial_weights(config, seed=7))
    return [
        engine.step(BATCHES[step], StepSettings(1.0 - 0.02 * step, 0.85 + 0.005 * step))
        for step in range(steps)
    ]


def test_twenty_steps_follow_torch(eager):
    torch_engine, engine = TorchEngine(TINY, "torch-cpu-float32"), MlxEngine(TINY)
    expected, losses = run(torch_engine), run(engine)
    assert expected[-1] < expected[0] - 0.01
    assert np.abs(np.array(losses) - np.array(expected)).max() < 1e-4
    torch_weights = torch_engine.weights()
    for name, value in engine.weights().items():
        assert np.abs(value - torch_weights[name]).max() < 1e-4, name
    held_out = engine.losses(HELD_OUT)
    assert held_out.shape == (11, 8)
    assert np.abs(held_out - torch_engine.losses(HELD_OUT)).max() < 1e-3


def test_a_rerun_is_bit_identical(eager):
    engine = MlxEngine(TINY)
    first, weights = run(engine), engine.weights()
    other = run(MlxEngine(TINY), GPTConfig(**(vars(TINY) | {"matrix_lr": 0.03})), steps=3)
    assert other != first[:3]
    assert run(engine) == first
    assert all(np.array_equal(value, weights[name]) for name, value in engine.weights().items())


def test_a_batch_in_parts_is_the_batch(eager, monkeypatch):
    whole = run(MlxEngine(TINY), steps=3)
    monkeypatch.setattr(engine_mlx, "MICRO_TOKENS", 3 * TINY.train_seq_len)  # 2 of 8 sequences
    assert run(MlxEngine(TINY), steps=3) == pytest.approx(whole, abs=1e-5)


def traced_losses(engine):
    """Trace the evaluation, without the g++ that computing it would cost."""
    tokens = mx.array(HELD_OUT[:8].astype(np.int32))
    return engine._functions.losses(engine._weights, engine._hyper, tokens, False)


def test_hyperparameters_take_effect_without_a_new_trace(compiled):
    changes = [TINY]
    for name in fields_with(role="hyperparameter"):
        # The first reaches the step through StepSettings; the others are idle in this model.
        idle = (
            "barlow_weight",
            "embed_lr",
            "head_lr",
            "selective_margin",
            "mtp_margin",
            "embedding_mask_margin",
        )
        if name not in ("muon_momentum", *idle):
            value = getattr(TINY, name)
            if isinstance(value, str):
                changes.append(GPTConfig(**(vars(TINY) | {name: OTHER_LEVEL[name]})))
                continue
            changes.append(GPTConfig(**(vars(TINY) | {name: 0.7 * value if value else 0.05})))
    engine = MlxEngine(TINY)
    mx.disable_compile()
    plain = [run(engine, config, steps=4) for config in changes]
    assert all(losses != plain[0] for losses in plain[1:])

    mx.enable_compile()
    first = run(engine, steps=4)
    traced_losses(engine)
    traces = engine.traces
    for config, expected in zip(changes, plain, strict=True):
        assert run(engine, config, steps=4) == pytest.approx(expected, abs=1e-5)
        traced_losses(engine)
    assert run(MlxEngine(TINY), steps=4) == first  # a second engine shares the compiled step
    assert engine.traces == traces


def test_another_thread_is_refused():
    engine, caught = MlxEngine(TINY), []

    def use():
        try:
            engine.load(initial_weights(TINY, seed=1))
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert caught == ["an MlxEngine must be used on the thread that made it (mlx#3940)"]


def test_what_does_not_fit_the_engine_is_refused():
    engine = MlxEngine(TINY)
    with pytest.raises(InputError, match="this engine has num_layers=2, but got num_layers=3"):
        engine.configure(vars(TINY) | {"num_layers": 3})
    weights = initial_weights(TINY, seed=1)
    with pytest.raises(InputError, match=r"'embed' must have shape \(32, 16\), but got \(32, 8\)"):
        engine.load(weights | {"embed": weights["embed"][:, :8]})
    with pytest.raises(InputError, match="do not fit the model: embed"):
        engine.load({name: value for name, value in weights.items() if name != "embed"})
    with pytest.raises(InputError, match="no MLX backend 'mlx-tpu' here"):
        MlxEngine(TINY, "mlx-tpu")
    assert mlx_backends()[-1] == "mlx-cpu-float32"
