"""The MLX optimizer against the torch one, and Muon against its promise."""

import numpy as np
import pytest
import torch

mx = pytest.importorskip("mlx.core", reason="mlx is not installed")

from trainers.engine import StepSettings  # noqa: E402
from trainers.gpt.config import GPTConfig  # noqa: E402
from trainers.gpt.init import initial_weights  # noqa: E402
from trainers.gpt.optim_mlx import newton_schulz, optimizer_state, optimizer_step  # noqa: E402
from trainers.gpt.optim_torch import Optimizer  # noqa: E402

SHAPE = {
    "num_layers": 2,
    "model_dim": 16,
    "num_heads": 2,
    "num_kv_heads": 1,
    "vocab_size": 32,
    "train_seq_len": 8,
    "train_batch_tokens": 64,
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"weight_decay": 0.5},
        {"grad_clip": 0.01},
        {"beta1": 0.0, "beta2": 0.5, "adam_eps": 1e-3},
        {"muon_ns_steps": 2, "mlp_mult": 0.5},
        {"optimizer": "muoneq_r", "weight_decay": 0.1},
        {"optimizer": "adamw", "weight_decay": 0.5, "matrix_lr": 0.01},
    ],
    ids=str,
)
def test_three_steps_from_the_same_gradients_give_torchs_weights(change):
    config = GPTConfig(**SHAPE, **change)
    start = initial_weights(config, seed=3)
    settings = StepSettings(lr_scale=0.7, muon_momentum=0.9)

    parameters = {name: torch.tensor(value) for name, value in start.items()}
    rules = {"ns_steps": config.muon_ns_steps, "rule": config.optimizer}
    twin = Optimizer(parameters, dtype=torch.float32, **rules)
    weights = {name: mx.array(value) for name, value in start.items()}
    state = optimizer_state(weights, config.optimizer)
    hyper = {
        name: mx.array(getattr(config, name))
        for name in ("weight_decay", "beta1", "beta2", "adam_eps", "grad_clip")
    }
    for name in ("matrix_lr", "embedding_lr", "scalar_lr"):
        hyper[name] = mx.array(getattr(config, name) * settings.lr_scale)
    hyper["momentum"] = mx.array(settings.muon_momentum)

    noise = np.random.default_rng(5)
    for _ in range(3):
        grads = {
            name: 0.01 * noise.standard_normal(value.shape).astype(np.float32)
            for name, value in start.items()
        }
        for name, parameter in parameters.items():
            parameter.grad = torch.from_numpy(grads[name].copy())
        twin.step(config, settings)
        weights, state = optimizer_step(
            weights,
            state,
            {name: mx.array(value) for name, value in grads.items()},
            hyper,
            **rules,
        )
    for name, parameter in parameters.items():
        assert np.abs(np.array(weights[name]) - parameter.numpy()).max() < 1e-5, name
        assert not np.array_equal(np.array(weights[name]), start[name]), name


def test_newton_schulz_brings_singular_values_near_one():
    matrices = np.random.default_rng(0).standard_normal((3, 8, 24)).astype(np.float32)
    values = np.linalg.svd(np.array(newton_schulz(mx.array(matrices), 5)), compute_uv=False)
    assert values.min() > 0.6
    assert values.max() < 1.3
