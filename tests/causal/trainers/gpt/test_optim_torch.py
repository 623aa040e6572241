"""Muon and Adam: what they do to matrices of known spectrum, and against torch's own Adam."""

import numpy as np
import pytest
import torch

from trainers.engine import StepSettings
from trainers.gpt.config import gpt_config
from trainers.gpt.optim_torch import Adam, Muon, Optimizer, newton_schulz


def matrix(rows, cols, seed=0):
    return torch.randn(rows, cols, generator=torch.Generator().manual_seed(seed))


def parameter(value, grad):
    leaf = value.clone().requires_grad_()
    leaf.grad = grad.clone()
    return leaf


def orthogonal_factor(value):
    left, _, right = torch.linalg.svd(value, full_matrices=False)
    return left @ right


def test_newton_schulz_pushes_singular_values_towards_one():
    value = matrix(24, 40)
    result = newton_schulz(value, 5)
    singular = torch.linalg.svdvals(result)
    assert 0.65 < float(singular.min()) <= float(singular.max()) < 1.25
    # The singular vectors stay: the result lies within the spread of the values of U·Vᵀ.
    assert torch.linalg.matrix_norm(result - orthogonal_factor(value), 2) < 0.35


def test_newton_schulz_of_nothing_is_nothing():
    assert not newton_schulz(torch.zeros(2, 3, 5), 5).any()


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (12, 12)])
def test_muon_takes_an_orthogonal_step(shape):
    value, grad = matrix(*shape), matrix(*shape, seed=1)
    moved = parameter(value, grad)
    Muon([moved], ns_steps=5, dtype=torch.float32).step(lr=0.1, momentum=0.9, weight_decay=0.0)
    step = (value - moved.detach()) / (0.1 * max(1, shape[0] / shape[1]) ** 0.5)
    assert torch.linalg.matrix_norm(step - orthogonal_factor(grad), 2) < 0.4


def test_matrices_of_one_shape_do_not_mix():
    shapes = [(8, 20), (20, 8), (8, 20), (5, 5)]
    together = [
        parameter(matrix(*s, seed=i), matrix(*s, seed=i + 9)) for i, s in enumerate(shapes)
    ]
    alone = [parameter(p.detach(), p.grad) for p in together]
    settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}
    Muon(together, ns_steps=5, dtype=torch.float32).step(**settings)
    for one, expected in zip(together, alone, strict=True):
        Muon([expected], ns_steps=5, dtype=torch.float32).step(**settings)
        torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-6)


def test_nesterov_momentum_and_weight_decay():
    first, second = matrix(6, 6, seed=1), matrix(6, 6, seed=2)
    moved = parameter(matrix(6, 6), first)
    muon = Muon([moved], ns_steps=5, dtype=torch.float32)
    muon.step(lr=0.1, momentum=0.8, weight_decay=0.5)
    before = moved.detach().clone()
    moved.grad = second.clone()
    muon.step(lr=0.1, momentum=0.8, weight_decay=0.5)
    direction = second + 0.8 * (0.8 * first + second)
    expected = before * (1 - 0.1 * 0.5) - 0.1 * newton_schulz(direction, 5)
    torch.testing.assert_close(moved.detach(), expected, rtol=1e-5, atol=1e-6)


def test_muoneq_r_gives_every_row_one_voice():
    value, grad = matrix(6, 10), matrix(6, 10, seed=1)
    loud = grad * torch.tensor([1.0, 100.0, 1e-3, 1.0, 5.0, 1.0])[:, None]
    steps = {}
    for name, gradient in (("even", grad), ("loud", loud)):
        for equal in (True, False):
            moved = parameter(value, gradient)
            muon = Muon([moved], ns_steps=5, dtype=torch.float32, equal_rows=equal)
            muon.step(lr=0.1, momentum=0.9, weight_decay=0.0)
            steps[name, equal] = value - moved.detach()
    torch.testing.assert_close(steps["even", True], steps["loud", True], rtol=1e-4, atol=1e-6)
    assert (steps["even", False] - steps["loud", False]).abs().max() > 0.01
    rows = grad / grad.norm(dim=1, keepdim=True)
    torch.testing.assert_close(steps["even", True], 0.1 * newton_schulz(rows, 5))


def test_rows_are_outputs_whatever_the_shape():
    value, grad = matrix(10, 6), matrix(10, 6, seed=1)
    moved = parameter(value, grad)
    muon = Muon([moved], ns_steps=5, dtype=torch.float32, equal_rows=True)
    muon.step(lr=0.1, momentum=0.9, weight_decay=0.0)
    rows = grad / grad.norm(dim=1, keepdim=True)
    expected = newton_schulz(rows.mT, 5).mT * 0.1 * (10 / 6) ** 0.5
    torch.testing.assert_close(value - moved.detach(), expected, rtol=1e-4, atol=1e-6)


def test_adamw_of_matrices_equals_torchs():
    names = ("blocks.0.attn.q", "embed", "skip_weights")
    ours = {name: matrix(4, 6).requires_grad_() for name in names}
    theirs = matrix(4, 6).requires_grad_()
    optimizer = Optimizer(ours, ns_steps=5, dtype=torch.float32, rule="adamw")
    reference = torch.optim.AdamW([theirs], 0.05, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.3)
    config = gpt_config({"matrix_lr": 0.1, "weight_decay": 0.3, "optimizer": "adamw"})
    for step in range(5):
        for value in (*ours.values(), theirs):
            value.grad = matrix(4, 6, seed=step)
        optimizer.step(config, StepSettings(lr_scale=0.5, muon_momentum=0.9))
        reference.step()
    torch.testing.assert_close(ours["blocks.0.attn.q"], theirs, rtol=1e-5, atol=1e-6)
    optimizer.reset()
    assert not torch.stack(optimizer._matrices._steps).any()


def test_adam_equals_torchs():
    shapes = [(7,), (3, 4)]
    ours = [matrix(*(s if len(s) == 2 else (1, *s)), seed=i) for i, s in enumerate(shapes)]
    ours = [value.clone().requires_grad_() for value in ours]
    theirs = [value.detach().clone().requires_grad_() for value in ours]
    adam = Adam(ours)
    reference = torch.optim.Adam(theirs, lr=0.05, betas=(0.9, 0.95), eps=1e-8)
    for step in range(5):
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            a.grad = matrix(*a.shape, seed=10 * step + i)
            b.grad = a.grad.clone()
        adam.step(lr=0.05, beta1=0.9, beta2=0.95, eps=1e-8)
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def optimizer_of(names):
    parameters = {name: parameter(matrix(8, 8), matrix(8, 8, seed=1)) for name in names}
    return parameters, Optimizer(parameters, ns_steps=5, dtype=torch.float32)


def test_each_group_has_its_own_learning_rate():
    names = ("embed", "blocks.0.attn.q", "blocks.0.resid_mix")
    for moving, rates in (
        ("embed", {"tied_embed_lr": 0.1}),
        ("blocks.0.attn.q", {"matrix_lr": 0.1}),
        ("blocks.0.resid_mix", {"scalar_lr": 0.1}),
    ):
        parameters, optimizer = optimizer_of(names)
        still = {"tied_embed_lr": 0.0, "matrix_lr": 0.0, "scalar_lr": 0.0}
        optimizer.step(gpt_config({**still, **rates}), StepSettings(1.0, 0.9))
        changed = [n for n, p in parameters.items() if not torch.equal(p, matrix(8, 8))]
        assert changed == [moving]


def test_learning_rates_scale_together():
    parameters, optimizer = optimizer_of(("embed", "blocks.0.attn.q", "skip_weights"))
    optimizer.step(gpt_config({}), StepSettings(lr_scale=0.0, muon_momentum=0.9))
    assert all(torch.equal(p, matrix(8, 8)) for p in parameters.values())


def test_clipping_bounds_the_norm_of_all_gradients_together():
    parameters, optimizer = optimizer_of(("embed", "blocks.0.attn.q", "skip_weights"))
    optimizer.step(gpt_config({"grad_clip": 0.5}), StepSettings(1.0, 0.9))
    norms = [float(p.grad.norm()) for p in parameters.values()]
    assert np.linalg.norm(norms) == pytest.approx(0.5, rel=1e-4)
    parameters, optimizer = optimizer_of(("embed", "blocks.0.attn.q", "skip_weights"))
    optimizer.step(gpt_config({"grad_clip": 1e3}), StepSettings(1.0, 0.9))
    assert torch.equal(parameters["embed"].grad, matrix(8, 8, seed=1))
