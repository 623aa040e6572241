"""Mechanisms that are off leave no trace: the upstream baseline, written out, bit for bit.

The two functions below are the model as it was before there was anything to switch on. A run
with them gives the very losses and weights of a run with the model as it is.
"""

import math

import numpy as np
import pytest

from trainers.engine import StepSettings
from trainers.gpt.config import GPTConfig, gpt_config
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.init import RMS_EPS, initial_weights, parameter_shapes
from trainers.gpt.kernels_torch import pair_order

SMALL = {
    "num_layers": 3,
    "model_dim": 16,
    "num_heads": 2,
    "num_kv_heads": 1,
    "vocab_size": 32,
    "train_seq_len": 8,
    "train_batch_tokens": 32,
}
CONFIG = gpt_config(SMALL)
BATCHES = np.random.default_rng(0).integers(0, 32, (5, 4, 9))


def curve(engine):
    engine.load(initial_weights(CONFIG, seed=0))
    losses = [engine.step(batch, StepSettings(1.0, 0.9)) for batch in BATCHES]
    return losses, engine.losses(BATCHES[0]), engine.weights()


def assert_identical(first, second):
    assert first[0] == second[0]
    assert np.array_equal(first[1], second[1])
    assert all(np.array_equal(first[2][name], second[2][name]) for name in first[2])


def torch_baseline(model, p, tokens):
    """tokens (batch, time) → final states, of the parameters p by name."""
    heads, kv, dim, time = CONFIG.num_heads, CONFIG.num_kv_heads, CONFIG.head_dim, tokens.size(1)
    kernels, order, skips = model.kernels, pair_order(heads + kv, dim, kv * dim), []
    angles = kernels.angles(model.cos[:time], model.sin[:time], heads + kv)
    x = x0 = kernels.looked_up(tokens, p["embed"])
    for layer in range(3):
        w = {n.removeprefix(f"blocks.{layer}."): v for n, v in p.items()}
        if layer == 1:
            x = x + p["skip_weights"][0] * skips.pop()
        x, normal = kernels.normed((x, x0), w["resid_mix"])
        matrices = w["attn.q"], w["attn.k"], w["attn.v"]
        q, k, v = kernels.heads(normal, matrices, order, w["attn.q_gain"], angles)
        y = kernels.attention(q, k, v.view(*v.shape[:2], kv, dim)).flatten(2)
        x, normal = kernels.normed((x, kernels.product(y, w["attn.proj"], w["attn_scale"])))
        x = x + kernels.squared_mlp(normal, w["mlp.fc"], w["mlp.proj"], w["mlp_scale"], 0.0)
        if layer == 0:
            skips.append(x)
    return kernels.normed((x,))[1]


@pytest.mark.parametrize("backend", ["torch-cpu-float32", "torch-cpu-bfloat16"])
def test_torch(backend):
    engine = TorchEngine(CONFIG, backend)
    actual = curve(engine)
    model, parameters = engine._model, engine._parameters
    model.hidden = lambda tokens, *_, **__: (torch_baseline(model, parameters, tokens), None)
    assert_identical(actual, curve(engine))


def test_mlx(monkeypatch):
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    from trainers.gpt import model_mlx
    from trainers.gpt.engine_mlx import MlxEngine
    from trainers.gpt.kernels_mlx import lookup, rotate

    def norm(x):
        return mx.fast.rms_norm(x, None, RMS_EPS)

    def mlx_baseline(config, p, tokens, cos, sin, **_):
        batch, time = tokens.shape
        x = x0 = norm(lookup(p["embed"], tokens))
        skips = []
        for layer in range(3):
            w = {n.removeprefix(f"blocks.{layer}."): v for n, v in p.items()}
            if layer == 1:
                x = x + p["skip_weights"][0] * skips.pop()
            x = w["resid_mix"][0] * x + w["resid_mix"][1] * x0
            normal = norm(x)
            q, k, v = (
                (normal @ w[f"attn.{part}"].T)
                .reshape(batch, time, -1, config.head_dim)
                .transpose(0, 2, 1, 3)
                for part in "qkv"
            )
            q = rotate(norm(q), cos[:time], sin[:time]) * w["attn.q_gain"][:, None, None]
            k = rotate(norm(k), cos[:time], sin[:time])
            scale = 1.0 / math.sqrt(config.head_dim)
            y = mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask="causal")
            y = y.transpose(0, 2, 1, 3).reshape(batch, time, -1)
            x = x + w["attn_scale"] * (y @ w["attn.proj"].T)
            hidden = mx.square(mx.maximum(norm(x) @ w["mlp.fc"].T, 0.0))
            x = x + w["mlp_scale"] * (hidden @ w["mlp.proj"].T)
            if layer == 0:
                skips.append(x)
        return norm(x), None

    mx.disable_compile()
    try:
        actual = curve(MlxEngine(CONFIG))
        monkeypatch.setattr(model_mlx, "hidden_states", mlx_baseline)
        assert_identical(actual, curve(MlxEngine(CONFIG)))
    finally:
        mx.enable_compile()


def test_the_baseline_has_no_parameter_of_a_mechanism():
    block = {
        *("resid_mix", "attn_scale", "mlp_scale", "mlp.fc", "mlp.proj"),
        *(f"attn.{name}" for name in ("q", "k", "v", "proj", "q_gain")),
    }
    blocks = {f"blocks.{layer}.{name}" for layer in range(9) for name in block}
    assert set(parameter_shapes(GPTConfig())) == {"embed", "skip_weights", *blocks}
