"""Each kernel equals the plain expression it stands for, in value and in every gradient."""

import pytest
import torch
import torch.nn.functional as F

from trainers.gpt.attention_torch import rotate
from trainers.gpt.init import RMS_EPS
from trainers.gpt.kernels_torch import (
    _ShortAttention,
    causal_attention,
    pair_order,
    rms_norm,
    rotated_pairs,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gradients(function, inputs, grad):
    leaves = [value.clone().requires_grad_() for value in inputs]
    output = function(*leaves)
    output.backward(grad.to(output.dtype))
    return [output.detach(), *(leaf.grad for leaf in leaves)]


def assert_same(function, plain, inputs, grad, **tolerance):
    pairs = zip(gradients(function, inputs, grad), gradients(plain, inputs, grad), strict=True)
    for ours, expected in pairs:
        torch.testing.assert_close(ours.float(), expected.float(), **tolerance)


def plain_norm(x):
    return x / (x.square().mean(-1, keepdim=True) + RMS_EPS).sqrt()


@pytest.mark.parametrize("scale", [1.0, 1e-3, 0.0])
def test_rms_norm(scale):
    x = scale * draw(3, 5, 12)
    grad = draw(3, 5, 12, seed=1)
    assert_same(rms_norm, plain_norm, [x], grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("heads", "dim"), [(6, 12), (3, 2), (1, 8)])
def test_rotated_pairs(heads, dim):
    angle = draw(7, dim // 2)
    cos, sin = angle.cos(), angle.sin()
    order = pair_order(heads, dim)
    x, gain = draw(2, 7, heads * dim, seed=1), draw(heads, seed=2)
    grad = draw(2, 7, heads * dim, seed=3)

    def plain(x, gain):
        y = rotate(plain_norm(x.unflatten(-1, (heads, dim))), cos, sin) * gain[:, None]
        return y.flatten(-2)[..., order]

    def ours(x, gain):
        return rotated_pairs(x[..., order], gain, cos, sin)

    assert_same(ours, plain, [x, gain], grad, rtol=1e-4, atol=1e-5)
    assert sorted(order.tolist()) == list(range(heads * dim))


def plain_attention(q, k, v):
    repeats = q.size(2) // k.size(2)
    q, k, v = (value.float().transpose(1, 2) for value in (q, k, v))
    k, v = (value.repeat_interleave(repeats, dim=1) for value in (k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


@pytest.mark.parametrize("short", [8, 512])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.04)], ids=str
)
def test_attention(monkeypatch, kv_heads, dtype, tolerance, short):
    monkeypatch.setattr("trainers.gpt.kernels_torch.SHORT", short)
    shapes = ((2, 9, 4, 6), (2, 9, kv_heads, 6), (2, 9, kv_heads, 6))
    inputs = [draw(*shape, seed=i).to(dtype) for i, shape in enumerate(shapes)]
    grad = draw(2, 9, 4, 6, seed=5)
    assert_same(causal_attention, plain_attention, inputs, grad, rtol=tolerance, atol=tolerance)


def test_short_attention_without_rounding():
    """The products behind the bfloat16 path, without its rounding."""
    inputs = [draw(2, 9, heads, 6, seed=heads).double() for heads in (4, 2, 2)]
    grad = draw(2, 9, 4, 6, seed=5).double()

    def short(*args):
        return _ShortAttention.apply(*args)

    assert_same(short, plain_attention, inputs, grad, rtol=1e-5, atol=1e-5)
