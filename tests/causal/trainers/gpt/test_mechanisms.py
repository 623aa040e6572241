"""Every architecture mechanism: torch and MLX agree, nothing looks ahead, and off means off."""

import dataclasses
import math
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounter

from trainers.engine import StepSettings
from trainers.gpt.attention_torch import without_own_value
from trainers.gpt.config import MLP_KINDS, gpt_config
from trainers.gpt.cost import training_flops_per_step
from trainers.gpt.embedding_torch import bigram_buckets
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.init import (
    DOCUMENT_START,
    MATRIX,
    initial_weights,
    parameter_count,
    parameter_group,
    parameter_shapes,
    rotary_table,
)
from trainers.gpt.mlp_kinds import decorrelation_loss, orthogonal_to
from trainers.gpt.mlp_shapes import decorrelated_widths, mlp_shapes
from trainers.gpt.mlp_torch import TORCH
from trainers.gpt.model_torch import GPT
from trainers.gpt.run import schedule_of

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
    "untied_embeddings": {"tied_embeddings": False},
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


@pytest.mark.parametrize(
    ("change", "recurrent"),
    [
        (change, recurrent)
        for change in MECHANISMS.values()
        for recurrent in ((True, False) if "depth_recurrence" in change else (True,))
    ],
    ids=str,
)
def test_mlx_gives_torchs_losses_and_gradients(change, recurrent):
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    from trainers.gpt.model_mlx import token_losses, training_loss

    config = gpt_config(SMALL | change)
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
    assert (before[:, 6] != after[:, 6]).any()  # two targets may have one logit in bfloat16


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
    assert (before[:, 6] != after[:, 6]).any()  # two targets may have one logit in bfloat16


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
    free = {
        "tied_embeddings",
        "rope_dims",
        "ln_scale",
        "parallel_residuals",
        "parallel_layers",
        "xsa_layers",
    }
    assert (flops != before) == (not set(change) <= free)


def test_gates_that_start_closed_start_as_the_control():
    """Whatever the other weights, the first losses are the control's, bit for bit."""
    plain = gpt_config(SMALL)
    control = scattered_weights(plain)
    for name in ("bigram_hash", "smear_gate", "value_embedding", "gated_attention"):
        config = gpt_config(SMALL | MECHANISMS[name])
        weights = {**initial_weights(config, seed=1), **control}
        assert len(weights) > len(control)
        assert np.array_equal(torch_losses(config, weights), torch_losses(plain, control)), name


@each_mechanism
def test_arms_share_every_parameter_of_one_shape(change):
    control = initial_weights(gpt_config(SMALL), seed=3)
    treatment = initial_weights(gpt_config(SMALL | change), seed=3)
    for name, value in control.items():
        if name == "embed" and "tied_embeddings" in change:  # the same at another scale
            assert np.allclose(0.005 * treatment[name], value)
        elif name in treatment and treatment[name].shape == value.shape:
            assert np.array_equal(treatment[name], value), name


@pytest.mark.parametrize("kind", MLP_KINDS)
@pytest.mark.parametrize("shape", [(512, 2.0), (48, 2.0), (640, 3.0)], ids=str)
def test_every_kind_of_mlp_has_about_the_baselines_parameters(kind, shape):
    dim, mult = shape
    config = gpt_config({"model_dim": dim, "mlp_mult": mult, "activation": kind})
    size = sum(math.prod(part) for part in mlp_shapes(config).values())
    low, high = (0.7, 1.0) if kind in ("dml_orth", "fan") else (0.97, 1.03)
    assert low <= size / (2 * dim * config.mlp_hidden) <= high


def test_exclusive_attention_keeps_nothing_along_the_own_value():
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(2, 5, 6, 8, generator=generator)
    v = torch.randn(2, 5, 3, 8, generator=generator)
    rest = without_own_value(y, v)
    own = v.repeat_interleave(2, dim=2)  # heads 0 and 1 share the first value
    assert (rest * own).sum(-1).abs().max() < 1e-4
    along = (y * own).sum(-1, keepdim=True) / own.square().sum(-1, keepdim=True)
    assert torch.allclose(rest, y - along * own, atol=1e-5)


def test_a_first_token_attends_to_nothing_but_itself():
    """Under exclusive attention it therefore hears nothing at all."""
    y = torch.randn(1, 4, 2, 8, generator=torch.Generator().manual_seed(0))
    assert without_own_value(y, y).abs().max() < 1e-5


def test_no_smearing_across_the_start_of_a_document():
    config = gpt_config(SMALL | MECHANISMS["smear_gate"])
    model = model_with(config, scattered_weights(config))
    tokens = torch.tensor([[5, 6, DOCUMENT_START, 7, 8]])
    x = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(0))
    moved = (model.smear(x, tokens) - x).abs().amax(-1)[0] > 1e-6
    assert moved.tolist() == [False, True, False, True, True]


def test_bigram_buckets():
    tokens = torch.randint(0, 65536, (3, 40), generator=torch.Generator().manual_seed(0))
    tokens[:, 7], tokens[:, 8] = 65535, 65535
    buckets = bigram_buckets(tokens, 3072)
    assert (buckets[:, 0] == 3071).all()
    assert 0 <= buckets[:, 1:].min() <= buckets[:, 1:].max() < 3071
    turned = bigram_buckets(tokens.flip(1), 3072)
    assert (buckets[:, 2] != turned[:, -2]).any()  # the order of the two tokens counts
    pairs = torch.cartesian_prod(torch.arange(100), torch.arange(100))
    counts = bigram_buckets(pairs, 1001)[:, 1].bincount(minlength=1000)
    assert counts.max() < 60  # of 10 expected
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    from trainers.gpt.embedding_mlx import bigram_buckets as mlx_buckets

    found = mlx_buckets(mx.array(tokens.numpy().astype(np.int32)), 3072)
    assert np.array_equal(np.array(found), buckets.numpy())


def test_a_value_residual_starts_at_an_even_mix():
    config = gpt_config(SMALL | MECHANISMS["value_residual"])
    model = model_with(config, initial_weights(config, seed=0))
    v, first = torch.full((1, 2, 16), 2.0), torch.full((1, 2, 16), 4.0)
    assert (model.blocks[1].attn._mixed(v, first, None) == 3.0).all()
    assert model.blocks[0].attn.value_mix is None


def test_partial_rotation_leaves_three_quarters_of_a_head_alone():
    config = gpt_config({"rope_dims": "partial", "rope_base": 10000.0})
    cos, sin = rotary_table(config)
    assert cos.shape == (1024, 32)
    assert (cos[:, 8:] == 1).all()
    assert not sin[:, 8:].any()
    assert np.allclose(sin[1, :8], np.sin(10000.0 ** (-np.arange(8) / 8)))


def test_gram_schmidt_removes_the_span():
    x, a, b = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    rest = orthogonal_to(TORCH, x, a, b)
    assert (rest * a).sum(-1).abs().max() < 1e-4
    assert (rest * b).sum(-1).abs().max() < 1e-4
    span = torch.stack((a, b), dim=-1).double()
    expected = x - (span @ torch.linalg.lstsq(span, x.double().unsqueeze(-1)).solution).squeeze(-1)
    assert torch.allclose(rest, expected.float(), atol=1e-4)


def test_decorrelation_counts_squared_correlations_off_the_diagonal():
    one, other = torch.randn(2, 4, 50, 3, generator=torch.Generator().manual_seed(0))
    other = other + one.roll(1, dims=-1)
    matrix = np.corrcoef(one.flatten(0, 1).T, other.flatten(0, 1).T)[:3, 3:]
    expected = ((matrix**2).sum() - (matrix.diagonal() ** 2).sum()) / 3
    assert decorrelation_loss([(one, other)], TORCH).item() == pytest.approx(expected, rel=1e-4)
    assert decorrelation_loss([(one, other), (other, one)], TORCH).item() == pytest.approx(
        2 * expected, rel=1e-4
    )


def test_the_auxiliary_loss_belongs_to_training_alone():
    config = gpt_config(SMALL | MECHANISMS["fan_dml"])
    weights = scattered_weights(config)
    tokens = torch.from_numpy(TOKENS)
    means, losses = [], []
    for weight in (0.0, 0.01, 1.0):
        model = model_with(config, weights)
        model.barlow_weight.fill_(weight)
        means.append(model(tokens).item())
        losses.append(model.losses(tokens))
    assert means[0] == pytest.approx(losses[0].mean().item(), abs=1e-6)
    assert means[2] - means[0] == pytest.approx(100 * (means[1] - means[0]), rel=1e-3)
    assert means[2] > means[0] + 0.1
    assert torch.equal(losses[0], losses[2])


def test_training_drives_the_paths_apart():
    config = gpt_config(SMALL | MECHANISMS["dml_gated"] | {"barlow_weight": 10.0})
    tokens = torch.from_numpy(TOKENS)

    def penalty(engine):
        return engine._model.hidden(tokens[:, :-1], train=True)[1].item()

    engine = TorchEngine(config, "torch-cpu-float32")
    engine.load(initial_weights(config, seed=0))
    before = penalty(engine)
    for _ in range(10):
        engine.step(TOKENS, StepSettings(1.0, 0.9))
    assert penalty(engine) < 0.7 * before


def test_depth_recurrence_repeats_the_middle():
    full = gpt_config({"num_layers": 11, "depth_recurrence": True})
    assert full.layer_order(recurrent=False) == tuple(range(11))
    order = (0, 1, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8, 9, 10)
    assert full.layer_order(recurrent=True) == order
    two = gpt_config({"num_layers": 2, "depth_recurrence": True, "recurrence_passes": 3})
    assert two.layer_order(recurrent=True) == (0, 1, 0, 1, 0, 1)
    assert gpt_config({}).layer_order(recurrent=True) == tuple(range(9))


def test_depth_recurrence_switches_on_once():
    config = gpt_config({**SMALL, "depth_recurrence": True, "iterations": 20, "val_points": 1})
    on = [schedule_of(config).settings(step).recurrent for step in range(20)]
    assert on == [False] * 7 + [True] * 13
    short = dataclasses.replace(schedule_of(config), iterations=1)
    assert short.settings(0).recurrent  # the last step has what the evaluation will have
    assert schedule_of(gpt_config(SMALL)).settings(0).recurrent


@pytest.mark.usefixtures("eager")
@each_mechanism
def test_three_steps_on_mlx_follow_torch(change):
    """Every parameter is moved, and by the same rule."""
    config = gpt_config(SMALL | change)
    weights = initial_weights(config, seed=0)
    curves = []
    for backend in ("torch-cpu-float32", "mlx-cpu-float32"):
        engine = engine_on(config, backend)
        engine.load(weights)
        curves.append([engine.step(TOKENS, StepSettings(0.1, 0.9, step > 0)) for step in range(3)])
        moved = engine.weights()
        assert [name for name in weights if np.array_equal(moved[name], weights[name])] == []
    assert curves[0] == pytest.approx(curves[1], abs=1e-3)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("backend", ["torch-cpu-float32", "mlx-cpu-float32"])
def test_an_engine_evaluates_as_it_last_trained(backend):
    config = gpt_config(SMALL | MECHANISMS["depth_recurrence"])
    weights = scattered_weights(config)
    plain, looped = (torch_losses(config, weights, recurrent=on) for on in (False, True))
    engine = engine_on(config, backend)
    engine.load(weights)
    assert np.abs(engine.losses(TOKENS) - looped).max() < 1e-4
    engine.step(TOKENS, StepSettings(0.0, 0.0, recurrent=False))
    assert np.abs(engine.losses(TOKENS) - plain).max() < 1e-4
    engine.step(TOKENS, StepSettings(0.0, 0.0, recurrent=True))
    assert np.abs(engine.losses(TOKENS) - looped).max() < 1e-4
    engine.step(TOKENS, StepSettings(0.0, 0.0, recurrent=False))
    engine.load(weights)
    assert np.abs(engine.losses(TOKENS) - looped).max() < 1e-4


@pytest.fixture
def eager():
    """Uncompiled: on Linux MLX compiles with g++, half a second for each of some 50 kernels."""
    if find_spec("mlx") is None:
        yield
        return
    mx = import_module("mlx.core")
    mx.disable_compile()
    yield
    mx.enable_compile()


def engine_on(config, backend):
    if backend.startswith("torch"):
        return TorchEngine(config, backend)
    pytest.importorskip("mlx.core", reason="mlx is not installed")
    from trainers.gpt.engine_mlx import MlxEngine

    return MlxEngine(config, backend)


def test_flops_of_a_recurrence_and_of_a_correlation():
    plain = gpt_config({"num_layers": 3, "unet_skips": False})
    looped = dataclasses.replace(plain, depth_recurrence=True, recurrence_layers=1)
    block = sum(math.prod(s) for n, s in parameter_shapes(plain).items() if "blocks.1." in n)
    extra = training_flops_per_step(looped) - training_flops_per_step(plain)
    assert extra == pytest.approx(0.65 * 6 * (block + 512 * 1024) * 524288)
    gated, swiglu = (dataclasses.replace(plain, activation=k) for k in ("dml_gated", "swiglu"))
    extra = training_flops_per_step(gated) - training_flops_per_step(swiglu)
    assert extra == 3 * 6 * 680**2 * 524288


def test_flops_leave_tables_out_that_are_only_looked_up():
    plain = gpt_config({})
    hashed = dataclasses.replace(plain, bigram_hash=3072)
    extra = training_flops_per_step(hashed) - training_flops_per_step(plain)
    assert extra == 6 * (512 * 112 + 1) * 524288
    assert parameter_count(hashed) - parameter_count(plain) == 3072 * 112 + 512 * 112 + 1


# torch itself looks at the gradient of a non-leaf while it traces.
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize("name", ["depth_recurrence", "dml_causal_wide", "many"])
def test_cuda_compiles_it_whole_and_recurrence_adds_no_graph(name):
    """Traced on the meta device, where a graph break would be an error."""
    counter, graphs = CompileCounter(), []
    config = gpt_config(SMALL | {"num_layers": 3} | MECHANISMS[name] | {"xsa_layers": 0})
    model = GPT(config, torch.bfloat16, torch.bfloat16).to("meta")
    model.compile_regions(backend=counter)
    tokens = torch.zeros(2, 17, dtype=torch.long, device="meta")
    for recurrent in (False, True):
        model(tokens, recurrent).backward()
        assert model.losses(tokens, recurrent).shape == (2, 16)
        graphs.append(counter.frame_count)
    if name == "depth_recurrence":
        assert graphs[0] == graphs[1]
    assert all(p.grad is not None for p in model.parameters())


def test_mlx_traces_once_for_each_state_of_the_recurrence_and_never_for_a_number():
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    from trainers.gpt.engine_mlx import MlxEngine

    config = gpt_config(SMALL | MECHANISMS["depth_recurrence"] | {"activation": "dml_gated"})
    mx.enable_compile()
    engine = MlxEngine(config)
    engine.load(initial_weights(config, seed=0))
    rows = mx.array(TOKENS.astype(np.int32))
    traces = []
    for change in ({}, {"barlow_weight": 0.5}, {"rope_dims": "partial", "recurrence_start": 0.1}):
        engine.configure(vars(config) | change)
        hyper = engine._hyper | {"share": mx.array(1.0)}
        for recurrent in (False, True, False):  # traced and, without an evaluation, not built
            engine._functions.gradient(engine._weights, hyper, rows, recurrent)
        traces.append(engine.traces)
    assert traces == [2, 2, 2]


@pytest.mark.parametrize(
    "change", [{"barlow_weight": 0.5}, {"rope_dims": "partial"}, {"rope_base": 100.0}], ids=str
)
def test_an_engine_takes_a_new_number(change):
    config = gpt_config(SMALL | {"activation": "causal_wide"})
    weights = scattered_weights(config)
    engine, fresh = (
        TorchEngine(one, "torch-cpu-float32")
        for one in (config, dataclasses.replace(config, **change))
    )
    engine.load(weights)
    fresh.load(weights)
    before = engine.step(TOKENS, StepSettings(0.0, 0.0))
    engine.configure(vars(config) | change)
    after = engine.step(TOKENS, StepSettings(0.0, 0.0))
    assert after == fresh.step(TOKENS, StepSettings(0.0, 0.0)) != before
