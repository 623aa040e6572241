"""The torch model against a plain float64 transcription of its definition."""

import math

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounter

from trainers.gpt.config import ACTIVATIONS, config_values, gpt_config
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.init import parameter_shapes
from trainers.gpt.model_torch import GPT

SMALL = {
    "num_layers": 3,
    "model_dim": 16,
    "num_heads": 4,
    "num_kv_heads": 2,
    "vocab_size": 20,
    "train_seq_len": 6,
    "train_batch_tokens": 24,
}
TOKENS = np.random.default_rng(0).integers(0, 20, (3, 7))


def random_weights(config, seed=0):
    """Nothing at its initial value: zeros and ones would hide a missing term."""
    generator = np.random.default_rng(seed)
    return {
        name: (0.5 * generator.standard_normal(shape) + 0.2).astype(np.float32)
        for name, shape in parameter_shapes(config).items()
    }


def engine_with(changes, weights=None, backend="torch-cpu-float32"):
    config = gpt_config({**SMALL, **changes})
    engine = TorchEngine(config, backend)
    engine.load(weights if weights is not None else random_weights(config))
    return engine


def norm(x):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1.1920929e-07)


NONLINEAR = {
    "relu_sq": lambda x: np.maximum(x, 0) ** 2,
    "leaky_relu_sq": lambda x: np.where(x > 0, x, 0.5 * x) ** 2,
    "gelu": lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "sin": np.sin,
    "sin_sq": lambda x: np.sin(x) ** 2,
}


def expected_losses(config, weights, tokens):
    """Token by token and head by head, in float64."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    heads, kv, dim = config.num_heads, config.num_kv_heads, config.head_dim
    half = dim // 2

    def rotated(vector, position):
        angle = position * config.rope_base ** (-np.arange(half) / half)
        a, b = vector[:half], vector[half:]
        cos, sin = np.cos(angle), np.sin(angle)
        return np.concatenate((a * cos + b * sin, b * cos - a * sin))

    def attention(x, name):
        q, k, v = (x @ w[f"{name}.{part}"].T for part in "qkv")
        out = np.zeros_like(x)
        for head in range(heads):
            mine = slice(head * dim, (head + 1) * dim)
            group = head // (heads // kv)
            theirs = slice(group * dim, (group + 1) * dim)
            for t in range(len(x)):
                gain = w[f"{name}.q_gain"][head]
                query = gain * rotated(norm(q[t, mine]), t)
                keys = [rotated(norm(k[s, theirs]), s) for s in range(t + 1)]
                score = np.array([query @ key for key in keys]) / math.sqrt(dim)
                weight = np.exp(score - score.max())
                out[t, mine] = (weight / weight.sum()) @ v[: t + 1, theirs]
        return out @ w[f"{name}.proj"].T

    losses = []
    for row in tokens:
        x = x0 = norm(w["embed"][row[:-1]])
        skips, encoder = [], config.num_layers // 2
        for layer in range(config.num_layers):
            name = f"blocks.{layer}"
            if layer >= encoder and skips and config.unet_skips:
                x = x + w["skip_weights"][layer - encoder] * skips.pop()
            mix = w[f"{name}.resid_mix"]
            x = mix[0] * x + mix[1] * x0
            x = x + w[f"{name}.attn_scale"] * attention(norm(x), f"{name}.attn")
            hidden = NONLINEAR[config.activation](norm(x) @ w[f"{name}.mlp.fc"].T)
            x = x + w[f"{name}.mlp_scale"] * (hidden @ w[f"{name}.mlp.proj"].T)
            if layer < encoder:
                skips.append(x)
        cap = config.logit_softcap
        logits = cap * np.tanh(norm(x) @ w["embed"].T / cap)
        chance = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        losses.append(-np.log(chance[np.arange(len(row) - 1), row[1:]]))
    return np.array(losses)


@pytest.mark.parametrize(
    "changes",
    [
        *({"activation": name} for name in ACTIVATIONS),
        {"num_layers": 1},
        {"num_layers": 4, "unet_skips": False},
        {"num_layers": 4, "num_kv_heads": 1},
        {"num_layers": 5, "num_kv_heads": 4, "mlp_mult": 1.5},
        {"logit_softcap": 3.0, "rope_base": 50.0},
    ],
    ids=str,
)
def test_losses_equal_the_definition(changes):
    config = gpt_config({**SMALL, **changes})
    weights = random_weights(config)
    losses = engine_with(changes, weights).losses(TOKENS)
    assert losses.dtype == np.float32
    assert np.abs(losses - expected_losses(config, weights, TOKENS)).max() < 1e-4


@pytest.mark.parametrize("backend", ["torch-cpu-float32", "torch-cpu-bfloat16"])
def test_a_later_token_changes_no_earlier_loss(backend):
    engine = engine_with({}, backend=backend)
    changed = TOKENS.copy()
    changed[:, 4] = (changed[:, 4] + 1) % 20
    before, after = engine.losses(TOKENS), engine.losses(changed)
    assert np.array_equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).any(axis=0).all()


def test_softcap_and_rope_arrive_without_a_new_engine():
    config = gpt_config({**SMALL, "logit_softcap": 3.0, "rope_base": 50.0})
    weights = random_weights(config)
    engine = engine_with({}, weights)
    engine.configure(config_values(config))
    fresh = engine_with({"logit_softcap": 3.0, "rope_base": 50.0}, weights)
    assert np.array_equal(engine.losses(TOKENS), fresh.losses(TOKENS))


def test_gradients_equal_finite_differences():
    config = gpt_config(SMALL)
    weights = random_weights(config)
    engine = engine_with({}, weights)
    engine._model(torch.from_numpy(TOKENS)).backward()
    generator = np.random.default_rng(1)
    for name in weights:
        direction = generator.standard_normal(weights[name].shape).astype(np.float32)
        step = 1e-3 / np.abs(direction).max()
        ends = []
        for sign in (1, -1):
            moved = {**weights, name: weights[name] + sign * step * direction}
            ends.append(expected_losses(config, moved, TOKENS).mean())
        slope = float((engine._parameters[name].grad.numpy() * direction).sum())
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=0.02, abs=2e-3), name


# torch itself looks at the gradient of a non-leaf while it traces.
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
def test_one_graph_serves_every_depth():
    """What CUDA compiles, traced on the meta device: no graph break, none more for more layers."""
    counter, graphs = CompileCounter(), []
    tokens = torch.zeros(2, 7, dtype=torch.long, device="meta")
    for layers in (3, 5):
        config = gpt_config({**SMALL, "num_layers": layers})
        model = GPT(config, torch.bfloat16, torch.bfloat16).to("meta")
        model.compile_regions(backend=counter)
        for softcap in (30.0, 20.0):
            model.softcap.fill_(softcap)
            model(tokens).backward()
            assert model.losses(tokens).shape == (2, 6)
            graphs.append(counter.frame_count)
    assert graphs[0] == graphs[1] == graphs[2] == graphs[3]
    assert all(p.grad.dtype == torch.float32 for p in model.parameters())


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
def test_a_campaign_may_compile_many_widths():
    """torch's own limit of eight graphs for one function would end the ninth with an error."""
    counter = CompileCounter()
    for heads in range(1, 11):
        changes = {"num_layers": 1, "num_heads": heads, "num_kv_heads": 1, "model_dim": 4 * heads}
        model = GPT(gpt_config({**SMALL, **changes}), torch.bfloat16, torch.bfloat16).to("meta")
        model.compile_regions(backend=counter)
        model(torch.zeros(2, 7, dtype=torch.long, device="meta"))
    assert counter.frame_count >= 20
