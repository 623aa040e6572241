"""What holds for all seventeen architectures."""

import numpy as np
import pytest
import torch

from trainers.engine import StepSettings
from trainers.quantize.int8 import dequantize, quantize
from trainers.vocab_space.config import VocabConfig
from trainers.vocab_space.engine import VocabEngine
from trainers.vocab_space.model import initial_weights, parameter_count
from trainers.vocab_space.versions import VERSIONS

WORDS = 64
# Parameters at the published setting, 1,024 words and 8 steps, to the digits that were published.
PUBLISHED = {
    "v1_attention": (3.4e6, 0.05e6),
    "v2_conv": (353e3, 500),
    "v3_assoc": (329e3, 500),
    "v4_golf": (102e3, 500),
    "v6_wave": (824e3, 500),
    "v7_lgp": (329e3, 500),
    "v8_graph": (164e3, 500),
    "v9_meta": (4.2e6, 0.05e6),
}


def small(version: str, **changes) -> VocabConfig:
    fields = {
        "vocab_size": WORDS,
        "num_steps": 2,
        "train_seq_len": 20,
        "train_batch_tokens": 80,
        "iterations": 30,
        "val_points": 1,
    }
    return VocabConfig(architecture=version, **{**fields, **changes})


def tokens(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, WORDS, (4, 21))


def trained(config: VocabConfig, steps: int, seed: int = 1) -> tuple[VocabEngine, list[float]]:
    engine = VocabEngine(config, "torch-cpu-float32")
    engine.load(initial_weights(config, seed=seed))
    return engine, [engine.step(tokens(), StepSettings(1.0, 0.0)) for _ in range(steps)]


def test_there_are_seventeen():
    assert len(VERSIONS) == 17


@pytest.mark.parametrize("version", PUBLISHED)
def test_as_many_parameters_as_published(version):
    published, rounding = PUBLISHED[version]
    assert parameter_count(VocabConfig(architecture=version)) == pytest.approx(
        published, abs=rounding
    )


def test_rank_64_of_the_graph_has_as_many_as_published():
    config = VocabConfig(architecture="v8_graph", interaction_rank=64)
    assert parameter_count(config) == pytest.approx(1.1e6, abs=0.05e6)


def test_mixing_takes_the_place_of_the_architectures_own_and_of_nothing_else():
    def parts(kind, **fields):
        return {
            name: weight.shape
            for name, weight in initial_weights(VocabConfig(**fields), seed=1).items()
            if f".{kind}." in name
        }

    mixed = {"architecture": "v3_assoc", "mixing": "dense_memory"}
    assert parts("across", **mixed) == parts("across", architecture="v9_meta")
    assert parts("across", **mixed) != parts("across", architecture="v3_assoc")
    assert parts("within", **mixed) == parts("within", architecture="v3_assoc")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_later_token_changes_no_earlier_loss(version):
    # Soft choices make their noise in training only: losses are of the model alone.
    engine, _ = trained(small(version), 3)
    rows = tokens(5)
    before = engine.losses(rows)
    for changed in (7, 20):
        other = rows.copy()
        other[:, changed] = (other[:, changed] + 1) % WORDS
        after = engine.losses(other)
        np.testing.assert_array_equal(after[:, : changed - 1], before[:, : changed - 1])
        assert (after[:, changed - 1] != before[:, changed - 1]).all()


@pytest.mark.parametrize("version", VERSIONS)
def test_it_learns_the_same_from_the_same_seed(version):
    _, first = trained(small(version), 12)
    _, again = trained(small(version), 12)
    _, other = trained(small(version), 12, seed=2)
    assert first == again != other
    assert min(first[-3:]) < first[0] - 0.1


@pytest.mark.parametrize("version", VERSIONS)
def test_every_parameter_learns(version):
    config = small(version)
    engine, _ = trained(config, 3)
    before = initial_weights(config, seed=1)
    last = f"steps.{config.num_steps - 1}."
    still = [name for name, now in engine.weights().items() if np.array_equal(now, before[name])]
    # Whoever halts at the last step has nothing left to skip.
    assert still == ([f"{last}within.halt", f"{last}within.halt_bias"] if "tpg" in version else [])


@pytest.mark.parametrize("version", VERSIONS)
def test_it_fits_the_cap_and_comes_back_from_its_artifact(version):
    whole = initial_weights(VocabConfig(architecture=version), seed=1)
    assert len(quantize(whole)) < 16_000_000
    engine, _ = trained(small(version), 12)
    exact = engine.losses(tokens())
    with engine.on_grid():
        on_grid = engine.losses(tokens())
    np.testing.assert_array_equal(engine.losses(tokens()), exact)
    engine.load(dequantize(quantize(engine.weights())))
    stored = engine.losses(tokens())
    np.testing.assert_array_equal(stored, on_grid)
    assert np.abs(stored - exact).mean() < 0.1


def test_the_gradient_is_that_of_the_weighted_losses():
    engine, _ = trained(small("v8_graph"), 2)
    rows, shares = tokens(3), np.random.default_rng(1).random((4, 20), dtype=np.float32)
    found = engine.gradient(rows, shares)
    weights, name = engine.weights(), "steps.1.within.diagonal"
    step = np.zeros(WORDS, dtype=np.float32)
    most = np.abs(found[name]).argmax()  # far above what rounding of the losses leaves
    step[most] = 1e-2

    def loss(moved):
        engine.load({**weights, name: moved})
        return float((engine.losses(rows) * shares).sum() / shares.sum())

    slope = (loss(weights[name] + step) - loss(weights[name] - step)) / 2e-2
    assert found[name][most] == pytest.approx(slope, rel=0.02, abs=1e-5)


def test_the_state_is_the_prediction_at_every_step():
    engine, _ = trained(small("v2_conv"), 3)
    rows = tokens(4)
    states = engine.states(rows[:, :-1])
    assert states.shape == (3, 4, 20, WORDS)
    assert (states[0].argmax(-1) == rows[:, :-1]).all()  # it starts as the word that was read
    log_p = torch.log_softmax(torch.from_numpy(states[-1]), dim=-1)
    picked = -log_p.gather(-1, torch.from_numpy(rows[:, 1:, None]))[..., 0]
    np.testing.assert_allclose(picked, engine.losses(rows), rtol=1e-5, atol=1e-5)
