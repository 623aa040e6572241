"""Putting a model on its grid part by part: what is learnt from, what comes out, what it gives."""

import numpy as np
import pytest
import torch
from small_gpt import SMALL, weights_of

from scripts.causal.files import InputError
from trainers.data import DataSet, open_dataset
from trainers.gpt.calibration import calibrate, float_model, load_weights
from trainers.gpt.config import gpt_config
from trainers.gpt.distilling import (
    LAST_RATE,
    LONG,
    LONGEST,
    GradientClip,
    distilled,
    pull,
    rate_share,
)
from trainers.gpt.init import initial_weights
from trainers.gpt.quantizing import quantized_artifact, training_tokens
from trainers.gpt.run import batches_of
from trainers.quantize.artifact import read_artifact, restored
from trainers.quantize.int8 import ArtifactError, is_quantized
from trainers.quantize.lattice import lattice
from trainers.quantize.pack import parts_of
from trainers.quantize.recipe import Recipe, quantized

TUNED = {
    **SMALL,
    "train_batch_tokens": 256,
    "calibration_tokens": 1024,
    "curvature_steps": True,
    "gptq": "full",
    "compressor": "ans",
    "quant_k": 0.02,
}


def config_with(**fields):
    return gpt_config({**TUNED, **fields})


@pytest.fixture(scope="module")
def data(small_data):
    return open_dataset(small_data)


@pytest.fixture(scope="module")
def weights():
    return weights_of(config_with())


def model_of(weights):
    model = float_model(config_with())
    load_weights(model, weights)
    return model


def lattices_of(weights, data, k, states=0):
    config = config_with()
    inputs = calibrate(config, weights, training_tokens(config, data, 64, 0), seed=0)
    return inputs, {
        name: lattice(weights[name], known, k, states=states)
        for name, known in inputs.items()
        if is_quantized(weights[name].shape)
    }


def divergence(teacher, student, tokens):
    """Mean KL(teacher ‖ student) of predictions in nats, as it is defined."""

    def log_chances(model):
        logits = model.hidden(tokens)[0].flatten(0, 1) @ model.output_matrix().T
        softcap = config_with().logit_softcap
        return (softcap * torch.tanh(logits / softcap)).log_softmax(-1)

    aim = log_chances(teacher).detach()
    return (aim.exp() * (aim - log_chances(student))).sum(-1).mean()


def test_it_is_pulled_by_the_gradient_of_the_divergence(data, weights):
    moved = {name: np.float32(1.05) * value for name, value in weights.items()}
    teacher, student, plain = model_of(weights), model_of(moved), model_of(moved)
    tokens = torch.from_numpy(batches_of(config_with(), data, 3).batch(0)[:, :-1])
    pull(teacher, student, tokens)
    divergence(teacher, plain, tokens).backward()
    for one, other in zip(student.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-3, atol=1e-7)


def test_one_long_gradient_is_cut_and_what_is_usual_hardly_moves():
    clip = GradientClip()
    assert [clip.share(length) for length in (2.0, 2.0, 1.0)] == [1.0, 1.0, 1.0]
    usual = clip.usual
    assert clip.share(90.0) == pytest.approx(LONGEST * usual / 90)
    assert clip.usual == pytest.approx((0.9 + 0.1 * LONGEST) * usual)
    assert clip.share(0.0) == 1.0


def test_long_runs_take_smaller_steps_and_fall_further():
    assert rate_share(0, 100, LONG) == rate_share(0, 10, 10) == 1.0
    assert rate_share(99, 100, LONG) == LAST_RATE
    assert rate_share(0, 100, 8 * LONG) == pytest.approx(0.5)
    assert rate_share(99, 100, 8 * LONG) == pytest.approx(LAST_RATE / 16)


@pytest.mark.parametrize("states", [0, 8])
def test_matrices_end_on_their_lattices_and_come_back_as_they_were(data, weights, states):
    config = config_with()
    inputs, lattices = lattices_of(weights, data, 0.02, states)
    batch = batches_of(config, data, 0).batch
    tuned = distilled(config, weights, inputs, lattices, batch, steps=6)
    stored = restored(parts_of(quantized(tuned, Recipe(), lattices=lattices)))
    for name in lattices:
        assert np.allclose(tuned[name], stored[name], rtol=1e-5, atol=1e-7)
    assert not np.array_equal(tuned["blocks.0.attn_scale"], weights["blocks.0.attn_scale"])


def test_it_diverges_less_than_gptq_on_tokens_it_has_not_seen(data, weights):
    held = torch.from_numpy(batches_of(config_with(), data, 9).batch(40)[:, :-1])
    found = []
    for steps in (0, 50):
        # So fine that the curvature tells the loss.
        config = config_with(distill_steps=steps, quant_k=0.01)
        stored = read_artifact(quantized_artifact(config, weights, data, seed=0))
        found.append(float(divergence(model_of(weights), model_of(stored), held).detach()))
    assert 0 < found[1] < 0.9 * found[0]


def test_the_same_seed_gives_the_same_artifact_and_validation_is_never_read(
    data, weights, monkeypatch
):
    def refuse(self):
        raise AssertionError("validation was read")

    monkeypatch.setattr(DataSet, "val_tokens", refuse)
    config = config_with(distill_steps=6)
    first = quantized_artifact(config, weights, data, seed=0)
    assert first == quantized_artifact(config, weights, data, seed=0)
    assert first != quantized_artifact(config, weights, data, seed=1)


def test_a_table_that_is_only_looked_up_is_tuned_too(data):
    config = config_with(distill_steps=8, bigram_hash=64, bigram_dim=16)
    start = initial_weights(config, seed=0)
    stored = read_artifact(quantized_artifact(config, start, data, seed=0))
    assert stored.keys() == start.keys()
    assert all(np.isfinite(value).all() for value in stored.values())


def test_no_token_is_a_target(data, weights):
    """The last token of a sequence is nothing but a target: nothing depends on it."""
    config = config_with()
    inputs, lattices = lattices_of(weights, data, 0.02)
    found = []
    for last in (0, 7):

        def batch(step, last=last):
            tokens = batches_of(config, data, 0).batch(step)
            tokens[:, -1] = last
            return tokens

        found.append(distilled(config, weights, inputs, lattices, batch, steps=6))
    assert all(np.array_equal(found[0][name], found[1][name]) for name in weights)


def test_the_cap_is_kept_in_training_too(data, weights):
    config = config_with(distill_steps=6, artifact_cap=16_000)
    size = len(quantized_artifact(config, weights, data, seed=0))
    assert 0.98 * 16_000 <= size <= 16_000


def test_training_that_diverges_is_told(data, weights, monkeypatch):
    monkeypatch.setattr("trainers.gpt.distilling.TUNING_RATE", 1e30)
    with pytest.raises(ArtifactError, match="diverged"):
        quantized_artifact(config_with(distill_steps=12), weights, data, seed=0)


def test_a_trellis_diverges_less_at_about_the_same_bytes(data, weights):
    held = torch.from_numpy(batches_of(config_with(), data, 9).batch(40)[:, :-1])
    found, sizes = [], []
    for states in (0, 8):
        config = config_with(distill_steps=6, quant_k=0.001, trellis_states=states)
        artifact = quantized_artifact(config, weights, data, seed=0)
        sizes.append(len(artifact))
        stored = model_of(read_artifact(artifact))
        found.append(float(divergence(model_of(weights), stored, held).detach()))
    assert found[1] < 0.85 * found[0]
    assert sizes[1] < 1.01 * sizes[0]


@pytest.mark.parametrize("fields", [{"gptq": "none"}, {"lqer": True}])
def test_it_needs_the_grid_of_the_curvature_and_gptq(fields):
    with pytest.raises(InputError, match="if distill_steps"):
        config_with(distill_steps=5, **fields)
