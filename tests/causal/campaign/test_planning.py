"""From options to a plan: seeds that can decide, schedules in proportion, a telling name."""

import pytest

from scripts.causal.campaign.planning import (
    decisive,
    fresh_seeds,
    make_plan,
    parse_seeds,
    rescaled_schedule,
    scale_overrides,
)
from scripts.causal.files import InputError
from trainers.api import load_trainer


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("42", r"one seed \(42\) cannot tell .*give two or more"),
        ("1,2,1", "seed 1 is given twice"),
        ("1,two", "must be whole numbers, but got '1,two'"),
        ("", "must be whole numbers"),
        ("1,-2", "`0 <= seed < 2"),
    ],
)
def test_seeds_that_cannot_be_used_are_named(text, message):
    with pytest.raises(InputError, match=message):
        parse_seeds(text)
    assert parse_seeds("42, 1337") == (42, 1337)


@pytest.fixture(scope="module")
def gpt():
    return load_trainer("gpt")


def plan(gpt, tmp_path, **changes):
    options = {
        "records": tmp_path,
        "backend": "torch-cpu-float32",
        "scale": "tiny",
        "overrides": {},
        "data": None,
        "matched_by": "flops",
        "alpha": 0.05,
        "mde": 0.005,
        "max_cycles": 3,
        "max_per_cycle": 2,
        "max_confirm": 1,
        "screen_seeds": (1, 2),
        "confirm_seeds": (42, 1337, 2024),
    }
    return make_plan(gpt, **{**options, **changes})


def test_fewer_steps_keep_the_shape_of_the_schedule():
    config = {"iterations": 600, "warmdown_iters": 200, "muon_momentum_warmup_steps": 50}
    assert rescaled_schedule(config, 300) == {
        "warmdown_iters": 100,
        "muon_momentum_warmup_steps": 25,
    }


def test_options_of_the_scale_become_fields(gpt):
    fields = scale_overrides(gpt, "tiny", iterations=40, batch_tokens=1024, layers=3)
    assert (fields["iterations"], fields["train_batch_tokens"], fields["num_layers"]) == (
        40,
        1024,
        3,
    )
    assert fields["warmdown_iters"] == 2 * gpt.resolve("tiny", {})["warmdown_iters"]
    assert scale_overrides(gpt, "tiny", iterations=None, batch_tokens=None, layers=None) == {}


def test_the_cost_is_the_most_a_campaign_can_come_to(gpt, tmp_path):
    made = plan(gpt, tmp_path)
    singles, pairs = 2 * (1 + 3 * 2) + 3 * (1 + 3 * 1), 3 * 2 * (1 + 2 * 1)
    assert made.planned_runs == singles + pairs
    config = gpt.resolve("tiny", {})
    one = gpt.flops_per_step(config) * config["iterations"]
    assert made.planned_flops == pytest.approx(made.planned_runs * one)


def test_equal_options_give_one_name_and_others_another(gpt, tmp_path):
    assert plan(gpt, tmp_path).name == plan(gpt, tmp_path).name
    assert plan(gpt, tmp_path).name != plan(gpt, tmp_path, alpha=0.01).name
    assert plan(gpt, tmp_path, name="mine").name == "mine"
    assert decisive(plan(gpt, tmp_path, name="mine")) == decisive(plan(gpt, tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"confirm_seeds": (1, 9)}, "seed 1 is both a screening and a confirmation seed"),
        ({"alpha": 1.5}, "--alpha: "),
        ({"mde": 0.0}, "--mde: "),
        ({"matched_by": "luck"}, "--matched-by: "),
    ],
)
def test_options_at_odds_are_named(gpt, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        plan(gpt, tmp_path, **changes)


def test_each_cycle_is_decided_on_seeds_that_nothing_before_it_used(gpt, tmp_path):
    made = plan(gpt, tmp_path, screen_seeds=(1, 2), confirm_seeds=(0, 5, 7))
    assert [fresh_seeds(made, cycle) for cycle in (1, 2, 3)] == [
        (0, 5, 7),
        (3, 4, 6),
        (8, 9, 10),
    ]
