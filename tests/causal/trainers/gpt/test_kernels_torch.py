"""Each operation by hand equals its definition, in value and in every gradient."""

import pytest
import torch
import torch.nn.functional as F

from trainers.gpt.attention_cpu import _ShortAttention, attend
from trainers.gpt.init import RMS_EPS
from trainers.gpt.kernels_cpu import CpuKernels
from trainers.gpt.kernels_torch import Kernels, pair_order

PLAIN, BY_HAND = Kernels(torch.float32), CpuKernels(torch.float32)


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


def of_both(name):
    """The same operation of either kind; of several results the products of all are told apart."""

    def asked(kernels):
        def run(*args):
            found = getattr(kernels, name)(*args)
            parts = found if isinstance(found, tuple) else (found,)
            return torch.cat([(i + 1) * part.flatten() for i, part in enumerate(parts)])

        return run

    return asked(BY_HAND), asked(PLAIN)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 0.0])
def test_norm(scale):
    x, grad = scale * draw(3, 5, 12), draw(3 * 5 * 12, seed=1)

    def by_hand(x):
        return BY_HAND.normed((x,))[1].flatten()

    def defined(x):
        return (x / (x.square().mean(-1, keepdim=True) + RMS_EPS).sqrt()).flatten()

    assert_same(by_hand, defined, [x], grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_norm_of_a_sum(count, weighted):
    terms = [draw(3, 5, 12, seed=i) for i in range(count)]
    weights = [draw(count, 12, seed=9)] if weighted else []

    def run(kernels):
        return lambda *args: torch.cat(kernels.normed(args[:count], *args[count:])).flatten()

    grad = draw(2 * 3 * 5 * 12, seed=10)
    assert_same(run(BY_HAND), run(PLAIN), [*terms, *weights], grad, rtol=1e-4, atol=1e-5)


def test_norm_of_one_tensor_twice():
    def run(kernels):
        return lambda x, weights: torch.cat(kernels.normed((x, x), weights)).flatten()

    inputs, grad = [draw(3, 5, 12), draw(2, 12, seed=1)], draw(2 * 3 * 5 * 12, seed=2)
    assert_same(run(BY_HAND), run(PLAIN), inputs, grad, rtol=1e-4, atol=1e-5)


def test_norm_of_rows_looked_up():
    tokens = torch.tensor([[0, 3, 3], [1, 0, 3]])

    def run(kernels):
        return lambda table: kernels.looked_up(tokens, table)

    grad = draw(2, 3, 12, seed=1)
    assert_same(run(BY_HAND), run(PLAIN), [draw(5, 12)], grad, rtol=1e-4, atol=1e-5)


def test_product():
    inputs, grad = [draw(2, 5, 8), draw(6, 8, seed=1), draw(6, seed=2)], draw(60, seed=3)
    assert_same(*of_both("product"), inputs, grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_squared_mlp(slope):
    inputs = [draw(2, 5, 8), draw(12, 8, seed=1), draw(8, 12, seed=2), draw(8, seed=3)]
    by_hand, plain = of_both("squared_mlp")
    assert_same(
        lambda *args: by_hand(*args, slope),
        lambda *args: plain(*args, slope),
        inputs,
        draw(80, seed=4),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize(("heads", "kv_heads", "dim"), [(4, 2, 12), (2, 1, 2), (1, 1, 8)])
def test_attention_of_heads(heads, kv_heads, dim):
    """Their channels are in another order by hand, so they are compared by what comes of them."""
    angle = draw(7, dim // 2)
    rows = pair_order(heads + kv_heads, dim, kv_heads * dim)
    assert sorted(rows.tolist()) == list(range((heads + 2 * kv_heads) * dim))

    def run(kernels):
        def attended(x, q, k, v, gain):
            angles = kernels.angles(angle.cos(), angle.sin(), heads + kv_heads)
            q, k, v = kernels.heads(x, (q, k, v), rows, gain, angles)
            return kernels.attention(q, k, v.unflatten(2, (kv_heads, dim)))

        return attended

    sizes = [heads * dim, kv_heads * dim, kv_heads * dim]
    matrices = [draw(size, 10, seed=i + 1) for i, size in enumerate(sizes)]
    inputs, grad = [draw(2, 7, 10), *matrices, draw(heads, seed=4)], draw(2, 7, heads, dim, seed=5)
    assert_same(run(BY_HAND), run(PLAIN), inputs, grad, rtol=1e-4, atol=1e-4)


def plain_attention(q, k, v):
    repeats = q.size(2) // k.size(2)
    q, k, v = (value.float().transpose(1, 2) for value in (q, k, v))
    k, v = (value.repeat_interleave(repeats, dim=1) for value in (k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1.0).transpose(1, 2)


@pytest.mark.parametrize("short", [8, 512])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.04)], ids=str
)
def test_attention(monkeypatch, kv_heads, dtype, tolerance, short):
    monkeypatch.setattr("trainers.gpt.attention_cpu.SHORT", short)
    shapes = ((2, 9, 4, 6), (2, 9, kv_heads, 6), (2, 9, kv_heads, 6))
    inputs = [draw(*shape, seed=i).to(dtype) for i, shape in enumerate(shapes)]
    grad = draw(2, 9, 4, 6, seed=5)
    assert_same(attend, plain_attention, inputs, grad, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("rows", [2, 3, 9, 64])
def test_short_attention_without_rounding(monkeypatch, rows):
    """The products behind the bfloat16 path, without its rounding."""
    monkeypatch.setattr("trainers.gpt.attention_cpu.ROWS", rows)
    inputs = [draw(2, 9, heads, 6, seed=heads).double() for heads in (4, 2, 2)]
    grad = draw(2, 9, 4, 6, seed=5).double()

    def short(*args):
        return _ShortAttention.apply(*args)

    assert_same(short, plain_attention, inputs, grad, rtol=1e-5, atol=1e-5)
