"""What the quantize stage makes of a configuration; what calibration sees, and never sees."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_gpt import SMALL, weights_of

from scripts.causal.files import InputError
from trainers.data import DataSet, open_dataset
from trainers.gpt.calibration import calibrate, self_generated
from trainers.gpt.config import gpt_config
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.quantizing import quantized_artifact, recipe_of, training_tokens
from trainers.quantize.artifact import read_artifact
from trainers.quantize.int8 import is_quantized, quantize

CURVED = {"curvature_steps": True, "gptq": "full", "compressor": "ans"}


def config_with(**fields):
    return gpt_config({**SMALL, **fields})


@pytest.fixture(scope="module")
def data(small_data):
    return open_dataset(small_data)


def test_neutral_fields_leave_the_artifact_as_it_was(data):
    config = config_with()
    weights = weights_of(config)
    assert quantized_artifact(config, weights, data, seed=0) == quantize(weights)


@pytest.mark.parametrize(
    "fields",
    [
        {"quant_bits": "int6"},
        {"quant_bits": "int5", "quant_group": 64, "compressor": "best"},
        {"gptq": "lite", "quant_bits": "ternary"},
        {"gptq": "full", "awq": True, "lqer": True, "quant_bits": "int5_int6"},
        {"sdclip": True, "compressor": "lzma"},
        {**CURVED, "calibration": "self_generated"},
        {**CURVED, "trellis_states": 4},
    ],
)
def test_every_field_gives_an_artifact_of_this_model(data, fields):
    config = config_with(**fields)
    weights = weights_of(config)
    artifact = quantized_artifact(config, weights, data, seed=0)
    assert artifact == quantized_artifact(config, weights, data, seed=0)
    TorchEngine(config, "torch-cpu-float32").load(read_artifact(artifact))
    assert len(artifact) < len(quantize(weights))


def test_the_cap_is_kept(data):
    config = config_with(**CURVED, artifact_cap=16_000)
    size = len(quantized_artifact(config, weights_of(config), data, seed=0))
    assert 0.995 * 16_000 <= size <= 16_000


def test_calibration_never_reads_validation(data, monkeypatch):
    def refuse(self):
        raise AssertionError("validation was read")

    monkeypatch.setattr(DataSet, "val_tokens", refuse)
    for source in ("training", "self_generated"):
        config = config_with(**CURVED, calibration=source)
        quantized_artifact(config, weights_of(config), data, seed=0)


def test_training_tokens_are_those_that_training_saw_first(data):
    config = config_with()
    tokens = training_tokens(config, data, 6, seed=3)
    assert tokens.shape == (6, 17)
    assert np.array_equal(tokens[:4], training_tokens(config, data, 4, seed=3))


def test_calibration_sees_the_inputs_and_gradients_of_each_matrix(data):
    """Against a model of one layer written out, its last matrix and its embedding."""
    config = config_with(num_layers=1, smear_gate=True, bigram_hash=64, bigram_dim=16)
    weights = weights_of(config)
    tokens = training_tokens(config, data, 6, seed=3)
    found = calibrate(config, weights, tokens, seed=5)
    assert {name for name in found if is_quantized(weights[name].shape)} == {
        *("embed", "bigram.table", "bigram.up"),
        *(f"blocks.0.attn.{name}" for name in ("q", "k", "v", "proj")),
        *("blocks.0.mlp.fc", "blocks.0.mlp.proj"),
    }
    engine = TorchEngine(config, "torch-cpu-float32")
    engine.load(weights)
    hidden, _ = engine._model.hidden(torch.from_numpy(tokens[:, :-1]))
    hidden = hidden.detach().flatten(0, 1)
    logits = F.linear(hidden, engine._model.embed.detach()).requires_grad_()
    capped = config.logit_softcap * torch.tanh(logits / config.logit_softcap)
    drawn = torch.multinomial(
        capped.detach().softmax(-1), 1, generator=torch.Generator().manual_seed(5)
    )
    F.cross_entropy(capped, drawn[:, 0], reduction="sum").backward()
    moment = (hidden.double().T @ hidden.double() / len(hidden)).numpy()
    assert np.allclose(found["embed"].hessian, moment, rtol=1e-4, atol=1e-6)
    slope = logits.grad.double().square().mean(0).numpy()
    assert np.allclose(found["embed"].slope, slope, rtol=1e-3, atol=1e-9)
    never = np.setdiff1d(np.arange(300), tokens[:, :-1])
    assert (found["embed"].lookup[never] == 0).all()
    assert found["embed"].lookup[tokens[0, 0]] > 0
    assert not found["bigram.table"].hessian.any() and found["bigram.table"].lookup.any()
    q, k = found["blocks.0.attn.q"], found["blocks.0.attn.k"]
    assert np.array_equal(q.hessian, k.hessian) and (q.slope > 0).all()
    assert np.allclose(np.diag(q.outputs), q.slope, rtol=1e-9)
    assert np.allclose(q.outputs, q.outputs.T) and np.abs(q.outputs[0, 1:]).max() > 0
    assert found["embed"].outputs.size == found["bigram.table"].outputs.size == 0


def test_what_is_no_matrix_is_felt_as_much_as_a_change_of_it_shows(data):
    """The divergence after a change is half the curvature times its square."""
    config, change = config_with(), 0.02
    weights = weights_of(config)
    tokens = training_tokens(config, data, 64, seed=3)
    felt = calibrate(config, weights, tokens, seed=5)["blocks.1.mlp_scale"].slope
    engine, found = TorchEngine(config, "torch-cpu-float32"), []

    def predicted(changed):
        engine.load(changed)
        hidden, _ = engine._model.hidden(torch.from_numpy(tokens[:, :-1]))
        logits = F.linear(hidden.flatten(0, 1), engine._model.embed) / config.logit_softcap
        return (config.logit_softcap * torch.tanh(logits)).double().log_softmax(-1).detach()

    before = predicted(weights)
    for seed in range(8):
        signs = np.random.default_rng(seed).choice([-1, 1], felt.shape)
        moved = (weights["blocks.1.mlp_scale"] + change * signs).astype(np.float32)
        after = predicted({**weights, "blocks.1.mlp_scale": moved})
        found.append(float((before.exp() * (before - after)).sum(-1).mean()))
    assert np.mean(found) == pytest.approx(change**2 * felt.sum() / 2, rel=0.3)


def test_a_matrix_used_twice_is_counted_twice(data):
    once = config_with(num_layers=3)
    twice = config_with(num_layers=3, depth_recurrence=True, recurrence_layers=1)
    weights, tokens = weights_of(once), training_tokens(once, data, 4, seed=3)
    normal = [calibrate(config, weights, tokens, seed=5) for config in (once, twice)]
    traces = [np.trace(found["blocks.1.mlp.fc"].hessian) for found in normal]
    assert traces[1] == pytest.approx(2 * traces[0], rel=1e-3)  # its input is normalised


def test_self_generated_text_is_the_models_own():
    config = config_with()
    weights = weights_of(config)
    text = self_generated(config, weights, sequences=3, seed=7)
    assert text.shape == (3, 17) and text.min() >= 0 and text.max() < 300
    assert np.array_equal(text, self_generated(config, weights, sequences=3, seed=7))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"quant_bits": "int9"}, "quant_bits in"),
        ({"quant_group": 32}, "quant_group in"),
        ({"gptq": "lite", "sdclip": True}, "at most one of gptq = lite"),
        ({"artifact_cap": 1000}, "artifact_cap == 0 or"),
        ({"trellis_states": 8}, "trellis_states == 0 or"),
        ({"qat": True, "quant_bits": "int6"}, "qat_bits == quant_bits if qat"),
        ({"qat": True, "quant_group": 64}, "one step per row"),
    ],
)
def test_fields_at_odds_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        config_with(**fields)


def test_a_recipe_says_what_the_fields_say():
    recipe = recipe_of(config_with(quant_bits="int6", sdclip=True))
    assert (recipe.bits, recipe.clip, recipe.k) == ("int6", "deviation", 12.85)
    assert recipe_of(config_with(curvature_steps=True, quant_k=0.01)).k == 0.01
    assert recipe_of(config_with(curvature_steps=True, trellis_states=8)).trellis == 8
