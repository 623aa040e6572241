"""The MLX model against the torch model: same weights, same losses, same gradients."""

import numpy as np
import pytest
import torch

mx = pytest.importorskip("mlx.core", reason="mlx is not installed")

from trainers.gpt.config import ACTIVATIONS, GPTConfig  # noqa: E402
from trainers.gpt.engine_torch import TorchEngine  # noqa: E402
from trainers.gpt.init import initial_weights, rotary_table  # noqa: E402
from trainers.gpt.model_mlx import token_losses  # noqa: E402

TINY = {
    "num_layers": 3,
    "model_dim": 16,
    "num_heads": 4,
    "num_kv_heads": 2,
    "vocab_size": 48,
    "train_seq_len": 12,
    "train_batch_tokens": 48,
}
VARIANTS = [
    *({"activation": name} for name in ACTIVATIONS),
    {"unet_skips": False},
    {"num_layers": 4},
    {"num_kv_heads": 1},
    {"num_kv_heads": 4},
    {"mlp_mult": 3.0},
    {"logit_softcap": 5.0, "rope_base": 100.0},
]


def scattered_weights(config, seed=1):
    """No parameter at 0 or 1, where a term could be lost unnoticed."""
    noise = np.random.default_rng(seed)
    return {
        name: (value + 0.3 * noise.standard_normal(value.shape)).astype(np.float32)
        for name, value in initial_weights(config, seed=seed).items()
    }


def mlx_inputs(config, weights):
    cos, sin = rotary_table(config)
    hyper = {"softcap": config.logit_softcap, "cos": cos, "sin": sin}
    as_mlx = lambda arrays: {name: mx.array(value) for name, value in arrays.items()}  # noqa: E731
    return as_mlx(weights), as_mlx(hyper)


def random_tokens(config, sequences=4):
    shape = (sequences, config.train_seq_len + 1)
    return np.random.default_rng(0).integers(0, config.vocab_size, shape)


@pytest.mark.parametrize("change", VARIANTS, ids=str)
def test_same_weights_give_torchs_losses_and_gradients(change):
    config = GPTConfig(**(TINY | change))
    weights, tokens = scattered_weights(config), random_tokens(config)

    engine = TorchEngine(config, "torch-cpu-float32")
    engine.load(weights)
    expected = engine.losses(tokens)
    engine._model(torch.from_numpy(tokens)).backward()

    arrays, hyper = mlx_inputs(config, weights)
    rows = mx.array(tokens.astype(np.int32))
    losses = np.array(token_losses(config, arrays, hyper, rows))
    assert losses.shape == (4, 12)
    assert np.abs(losses - expected).max() < 1e-4
    assert abs(losses.mean() - expected.mean()) < 1e-5

    grads = mx.grad(lambda w: token_losses(config, w, hyper, rows).mean())(arrays)
    for name, parameter in engine._parameters.items():
        assert np.abs(np.array(grads[name]) - parameter.grad.numpy()).max() < 1e-5, name


def test_a_later_token_changes_no_earlier_loss():
    config = GPTConfig(**TINY)
    arrays, hyper = mlx_inputs(config, scattered_weights(config))
    tokens = random_tokens(config, sequences=1)
    before = np.array(token_losses(config, arrays, hyper, mx.array(tokens)))[0]
    tokens[0, 7] = (tokens[0, 7] + 1) % config.vocab_size
    after = np.array(token_losses(config, arrays, hyper, mx.array(tokens)))[0]
    assert np.array_equal(before[:6], after[:6])
    assert (before[6:] != after[6:]).all()  # token 7 is target 6, and input from then on


def test_an_unknown_activation_is_refused():
    from trainers.gpt.mlp_mlx import MLX

    with pytest.raises(ValueError, match="no activation named 'cube'"):
        MLX.activate(mx.zeros(2), "cube")
