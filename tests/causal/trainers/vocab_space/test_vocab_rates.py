"""Each architecture has the learning rate that the rule gives it, unless another is stated."""

import tomllib
from datetime import date

import pytest

from interventions.catalog import catalog_of
from scripts.causal.campaign.contrast import build_contrast
from trainers.api import RunSpec
from trainers.vocab_space.config import OWN, OWN_RATE, VocabConfig, vocab_config
from trainers.vocab_space.rates import (
    COMPARED,
    GRID,
    MIXED,
    PUBLISHED,
    SCALE,
    SEEDS,
    TABLE,
    best_rate,
    name_of,
)
from trainers.vocab_space.trainer import VocabSpaceTrainer
from trainers.vocab_space.tune import as_toml
from trainers.vocab_space.versions import VERSIONS

MEASURED = tomllib.loads(TABLE.read_text(encoding="utf-8"))


def resolved(scale, **fields):
    return vocab_config(VocabSpaceTrainer().resolve(scale, fields))


def test_the_lowest_loss_wins_and_of_equals_the_larger_rate():
    assert best_rate([5.0, 4.0, 4.5, 9.0]) == GRID[1]
    assert best_rate([4.0, 4.0, 4.5, float("inf")]) == GRID[1]


def test_the_table_is_what_the_rule_makes_of_its_losses():
    assert MEASURED["scale"] == SCALE
    assert (tuple(MEASURED["grid"]), tuple(MEASURED["seeds"])) == (GRID, SEEDS)
    lines = MEASURED["measured"]
    compared = {*COMPARED, *(name_of(*each) for each in MIXED)}
    assert compared <= set(lines) <= {*VERSIONS, *compared}
    for line in lines.values():
        assert line["rate"] == best_rate(line["val_loss"])


def test_a_table_written_is_read_as_it_was():
    losses = {"v2_conv": [5.5, 5.25, 5.125, float("inf")]}
    read = tomllib.loads(as_toml(losses, date(2026, 1, 2)))
    assert read["measured"] == {"v2_conv": {"rate": 0.01, "val_loss": losses["v2_conv"]}}
    assert read["date"] == date(2026, 1, 2)


@pytest.mark.parametrize("architecture", VERSIONS)
def test_an_architecture_has_its_own_rate_unless_one_is_stated(architecture):
    rate = MEASURED["measured"].get(architecture, {"rate": PUBLISHED})["rate"]
    assert resolved("fast", architecture=architecture).rate == rate
    assert resolved("fast", architecture=architecture, learning_rate=0.02).rate == 0.02


def test_with_the_mixing_of_another_it_has_the_rate_measured_so_or_else_its_own():
    lines = MEASURED["measured"]
    for architecture, mixing in MIXED:
        config = resolved("fast", architecture=architecture, mixing=mixing)
        assert config.rate == lines[name_of(architecture, mixing)]["rate"]
    other = resolved("fast", architecture="v8_graph", mixing="waves")
    assert other.rate == lines["v8_graph"]["rate"]


def test_the_published_rate_stays_where_no_other_was_measured():
    assert VocabConfig().rate == VocabConfig().learning_rate == PUBLISHED
    assert resolved("published", architecture="v8_graph").rate == PUBLISHED


def test_a_run_is_known_by_the_number_however_it_came_to_it(words_data):
    def key(**fields):
        config = trainer.resolve("tiny", {"vocab_size": 320, **fields})
        spec = RunSpec("vocab_space", "torch-cpu-float32", "tiny", config, 7, str(words_data))
        return trainer.stages(spec)[0].key

    trainer = VocabSpaceTrainer()
    own = MEASURED["measured"]["v8_graph"]["rate"]
    assert key(learning_rate=OWN_RATE) == key(learning_rate=own)
    assert key(learning_rate=own) != key(learning_rate=2 * own)


@pytest.mark.parametrize("claim", catalog_of("vocab_space").values(), ids=lambda entry: entry.id)
def test_both_arms_of_a_claim_have_rates_measured_on_every_seed(claim):
    contrast = build_contrast(claim, "fast", VocabSpaceTrainer(), "steps")
    for arm in (contrast.control, contrast.treatment):
        assert arm["learning_rate"] == OWN_RATE
        pair = (arm["architecture"], arm["mixing"])
        assert pair in MIXED or (pair[0] in COMPARED and pair[1] == OWN)
