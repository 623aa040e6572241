"""Mechanisms that are off leave no trace: the upstream baseline, written out, bit for bit.

The two functions below are the model as it was before there was anything to switch on. A run
with them gives the very losses and weights of a run with the model as it is.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trainers.engine import StepSettings
from trainers.gpt.config import GPTConfig, gpt_config
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.init import RMS_EPS, initial_weights, parameter_shapes
from trainers.gpt.kernels_torch import causal_attention, pair_order, rms_norm, rotated_pairs

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
    batch, time = tokens.shape
    heads, kv, dim, dtype = CONFIG.num_heads, CONFIG.num_kv_heads, CONFIG.model_dim, model.dtype
    shape = (batch, time, -1, dim // heads)
    x = x0 = rms_norm(F.embedding(tokens, p["embed"])).to(model.stream)
    order, skips = pair_order(heads + kv, CONFIG.head_dim), []

    def product(y, weight):
        return F.linear(y.to(dtype), weight.to(dtype))

    for layer in range(3):
        w = {n.removeprefix(f"blocks.{layer}."): v for n, v in p.items()}
        if layer == 1:
            x = x + p["skip_weights"][0] * skips.pop()
        x = w["resid_mix"][0] * x + w["resid_mix"][1] * x0
        weight = torch.cat((w["attn.q"], w["attn.k"]))[order]
        qkv = product(rms_norm(x), torch.cat((weight, w["attn.v"])))
        qk, v = torch.split(qkv, [weight.size(0), dim // heads * kv], dim=2)
        gain = torch.cat((w["attn.q_gain"], torch.ones(kv)))
        qk = rotated_pairs(qk, gain, model.cos[:time], model.sin[:time]).to(dtype).view(shape)
        q, k = torch.split(qk, [heads, kv], dim=2)
        y = causal_attention(q, k, v.view(shape)).reshape(batch, time, dim)
        x = x + w["attn_scale"] * product(y, w["attn.proj"])
        hidden = F.relu(product(rms_norm(x), w["mlp.fc"])).square()
        x = x + w["mlp_scale"] * product(hidden, w["mlp.proj"])
        if layer == 0:
            skips.append(x)
    return rms_norm(x).to(dtype)


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
