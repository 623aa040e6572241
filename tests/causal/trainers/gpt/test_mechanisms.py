"""Every architecture mechanism: torch and MLX agree, nothing looks ahead, and off means off."""


import numpy as np
import pytest
import torch

from trainers.gpt.config import MLP_KINDS, gpt_config
from trainers.gpt.cost import training_flops_per_step
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.init import (
    DOCUMENT_START,
    MATRIX,
    initial_weights,
    parameter_group,
    parameter_shapes,
    rotary_table,
)
from trainers.gpt.mlp_shapes import decorrelated_widths
from trainers.gpt.model_torch import GPT

SMALL = {
    "num_layers": 4,
    "model_dim": 32,
    "num_heads": 4,
    "num_kv_heads": 2,
    "vocab_size": 48,
    "train_seq_len": 16,
    "train_batch_tokens": 64,
}
MECHANISMS = {
    **{kind: {"activation": kind} for kind in MLP_KINDS},
    "bigram_hash": {"bigram_hash": 50, "bigram_dim": 12},
    "bigram_hash of two": {"bigram_hash": 2, "bigram_dim": 3},
    "smear_gate": {"smear_gate": True},
    "xsa on the last": {"xsa_layers": 2},
    "xsa on all": {"xsa_layers": 4},
    "value_residual": {"value_residual": True},
    "value_embedding": {"value_embedding": True, "value_embedding_dim": 6},
    "gated_attention": {"gated_attention": True},
    "rope_dims": {"rope_dims": "partial"},
    "ln_scale": {"ln_scale": True},
    "parallel_residuals": {"parallel_residuals": True, "parallel_layers": 3},
    "depth_recurrence": {"depth_recurrence": True},
    "depth_recurrence without skips": {
        "depth_recurrence": True,
        "recurrence_layers": 2,
        "recurrence_passes": 3,
        "unet_skips": False,
    },
    "many": {
        "activation": "fan_dml",
        "bigram_hash": 50,
        "smear_gate": True,
        "xsa_layers": 4,
        "value_residual": True,
        "value_embedding": True,
        "gated_attention": True,
        "rope_dims": "partial",
        "ln_scale": True,
        "parallel_residuals": True,
        "parallel_layers": 2,
        "depth_recurrence": True,
        "recurrence_layers": 4,
    },
}
TOKENS = np.random.default_rng(0).integers(0, 48, (4, 17))
TOKENS[1, 5] = TOKENS[2, 0] = DOCUMENT_START
each_mechanism = pytest.mark.parametrize("change", MECHANISMS.values(), ids=MECHANISMS)


def scattered_weights(config, seed=1):
    """No parameter at 0 or 1, where a term could be lost unnoticed."""
    noise = np.random.default_rng(seed)
    return {
        name: (value + 0.3 * noise.standard_normal(value.shape)).astype(np.float32)
        for name, value in initial_weights(config, seed=seed).items()
    }


def model_with(config, weights):
    model = GPT(config, torch.float32, torch.float32)
    model.configure(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(weights[name]))
    return model


def torch_losses(config, weights, tokens=TOKENS, **options):
    model = model_with(config, weights)
    return model.losses(torch.from_numpy(tokens), **options).numpy()


@each_mechanism
def test_the_model_has_the_parameters_of_the_table(change):
    config = gpt_config(SMALL | change)
    found = {
        n: tuple(p.shape) for n, p in GPT(config, torch.float32, torch.float32).named_parameters()
    }
    assert found == parameter_shapes(config)
    weights = initial_weights(config, seed=0)
    assert {n: v.shape for n, v in weights.items()} == found
    assert all(len(s) == 2 for n, s in found.items() if parameter_group(n) == MATRIX)


@each_mechanism
@pytest.mark.parametrize("recurrent", [True, False])
def test_mlx_gives_torchs_losses_and_gradients(change, recurrent):
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    from trainers.gpt.model_mlx import token_losses, training_loss

    config = gpt_config(SMALL | change)
    if not (recurrent or config.depth_recurrence):
        pytest.skip("the same with and without")
    weights = scattered_weights(config)
    model = model_with(config, weights)
    tokens = torch.from_numpy(TOKENS)
    expected = model.losses(tokens, recurrent).numpy()
    loss = model(tokens, recurrent)
    loss.backward()

    cos, sin = rotary_table(config)
    hyper = {"softcap": 30.0, "cos": cos, "sin": sin, "barlow_weight": config.barlow_weight}
    hyper = {name: mx.array(value) for name, value in hyper.items()}
    arrays = {name: mx.array(value) for name, value in weights.items()}
    rows = mx.array(TOKENS.astype(np.int32))
    losses = np.array(token_losses(config, arrays, hyper, rows, recurrent=recurrent))
    assert np.abs(losses - expected).max() < 1e-4
    value, grads = mx.value_and_grad(
        lambda w: training_loss(config, w, hyper, rows, recurrent=recurrent)
    )(arrays)
    assert abs(value.item() - loss.item()) < 1e-5
    assert (loss.item() > expected.mean() + 1e-3) == bool(decorrelated_widths(config))
    for name, parameter in model.named_parameters():
        scale = max(1.0, parameter.grad.abs().max().item())
        assert np.abs(np.array(grads[name]) - parameter.grad.numpy()).max() < 3e-5 * scale, name


@each_mechanism
@pytest.mark.parametrize("backend", ["torch-cpu-float32", "torch-cpu-bfloat16"])
def test_a_later_token_changes_no_earlier_loss(change, backend):
    config = gpt_config(SMALL | change)
    engine = TorchEngine(config, backend)
    engine.load(scattered_weights(config))
    changed = TOKENS.copy()
    changed[:, 7] = (changed[:, 7] + 1) % 48
    before, after = engine.losses(TOKENS), engine.losses(changed)
    assert np.array_equal(before[:, :6], after[:, :6])
    assert (before[:, 6] != after[:, 6]).all()


@each_mechanism
def test_mlx_looks_at_no_later_token(change):
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    from trainers.gpt.model_mlx import token_losses

    config = gpt_config(SMALL | change)
    cos, sin = rotary_table(config)
    hyper = {"softcap": mx.array(30.0), "cos": mx.array(cos), "sin": mx.array(sin)}
    arrays = {name: mx.array(value) for name, value in scattered_weights(config).items()}
    changed = TOKENS.copy()
    changed[:, 7] = (changed[:, 7] + 1) % 48
    before, after = (
        np.array(token_losses(config, arrays, hyper, mx.array(tokens.astype(np.int32))))
        for tokens in (TOKENS, changed)
    )
    assert np.array_equal(before[:, :6], after[:, :6])
    assert (before[:, 6] != after[:, 6]).all()


@each_mechanism
def test_it_changes_the_model(change):
    """With scattered weights, where no gate stands at nothing."""
    config, plain = gpt_config(SMALL | change), gpt_config(SMALL)
    weights, control = scattered_weights(config), scattered_weights(plain)
    control |= {n: v for n, v in weights.items() if n in control and v.shape == control[n].shape}
    assert np.abs(torch_losses(config, weights) - torch_losses(plain, control)).max() > 1e-3


@each_mechanism
def test_its_cost_is_counted(change):
    config, plain = gpt_config(SMALL | change), gpt_config(SMALL)
    flops, before = training_flops_per_step(config), training_flops_per_step(plain)
    free = {"rope_dims", "ln_scale", "parallel_residuals", "parallel_layers", "xsa_layers"}
    assert (flops != before) == (not set(change) <= free)
