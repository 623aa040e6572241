import json

import numpy as np
import pytest
from statsmodels.regression.linear_model import OLS

from benchmarks.worlds import CLASSES, draw_world, inherits
from scripts.causal.graph.design import CONTEXT, build_design
from scripts.causal.leaderboard.schema import Leaderboard


def draw_sample(*arguments):
    from worlds_sample import draw_sample as draw  # imports what lies beside it

    return draw(*arguments)


@pytest.mark.parametrize("name", CLASSES)
def test_a_world_has_the_shape_that_it_promises(name):
    for seed in range(8):
        world = draw_world(name, seed)
        kinds = [factor.variable.kind for factor in world.factors]
        assert 15 <= len(world.factors) <= 25
        assert {"numeric", "binary", "categorical"} == set(kinds)
        assert (len(world.hidden) == 0) if name == "iid" else (2 <= len(world.hidden) <= 4)
        for hidden in world.hidden:
            assert sum(cause == hidden for cause, _ in world.dag) >= 2
        for factor in world.factors:
            assert factor.levels[0] == factor.variable.baseline
            assert factor.effects[0] == 0
            assert sum(factor.shares) == pytest.approx(1)
            if factor.variable.kind != "binary":
                assert 3 <= len(factor.levels) <= 5
                assert len(set(factor.levels)) == len(factor.levels)


def test_causes_come_before_effects_in_tiers_and_in_order():
    for seed in range(8):
        world = draw_world("mixed-all", seed)
        order = [*world.hidden, *world.observed]
        for cause, effect in world.dag:
            assert order.index(cause) < order.index(effect)
            if cause not in world.hidden:
                assert world.tiers[cause] <= world.tiers[effect]


def test_the_same_seed_gives_the_same_leaderboard_and_another_another():
    world = draw_world("mixed-all", 3)
    first = draw_sample(world, 60, 0).leaderboard
    assert first == draw_sample(draw_world("mixed-all", 3), 60, 0).leaderboard
    assert first != draw_sample(world, 60, 1).leaderboard
    assert first != draw_sample(draw_world("mixed-all", 4), 60, 0).leaderboard


@pytest.mark.parametrize("name", CLASSES)
def test_a_sample_is_a_leaderboard_like_any_other(name):
    sample = draw_sample(draw_world(name, 1), 300, 0)
    text = json.dumps(sample.leaderboard.model_dump(mode="json"))
    assert Leaderboard.model_validate_json(text) == sample.leaderboard
    design = build_design(sample.leaderboard, most_factors=30)
    assert len(design.table) == 300
    assert len(design.factors) >= 10


def test_where_everything_is_stated_the_design_holds_the_truth():
    for name in ("latent", "lineage"):
        sample = draw_sample(draw_world(name, 2), 300, 5)
        design = build_design(sample.leaderboard, most_factors=30)
        for factor in sample.world.factors:
            true = [factor.levels[code] for code in sample.rows.codes[factor.id]]
            assert list(design.coded[factor.id].values) == true
        assert not design.imputed


def test_a_readme_with_gaps_never_says_what_is_not_so():
    sample = draw_sample(draw_world("missing", 2), 300, 5)
    unstated = 0
    for row, submission in enumerate(sample.leaderboard.submissions):
        for factor in sample.world.factors:
            value = factor.levels[sample.rows.codes[factor.id][row]]
            if factor.id in submission.techniques:
                assert submission.techniques[factor.id] in (value, True)
            elif factor.id in submission.absent:
                assert value is False
            else:
                unstated += 1
    assert 0.15 < unstated / (300 * len(sample.world.factors)) < 0.6


def test_departures_are_stated_more_often_than_the_baseline():
    sample = draw_sample(draw_world("missing", 0), 1000, 0)
    stated = {True: [], False: []}
    for row, submission in enumerate(sample.leaderboard.submissions):
        for factor in sample.world.factors:
            said = factor.id in submission.techniques or factor.id in submission.absent
            stated[bool(sample.rows.codes[factor.id][row])].append(said)
    assert np.mean(stated[True]) > 0.84
    assert np.mean(stated[False]) < 0.55


def test_children_copy_their_parents_and_good_ones_have_more():
    sample = draw_sample(draw_world("lineage", 0), 1000, 0)
    rows = sample.rows
    children = np.flatnonzero(rows.parents >= 0)
    assert 0.85 < len(children) / 1000 < 0.99
    assert (rows.parents[children] < children).all()
    changed = sum(
        (codes[children] != codes[rows.parents[children]]).astype(int)
        for codes in rows.codes.values()
    )
    assert 0.5 < changed.mean() < 3
    asked = [sample.leaderboard.submissions[child].parent_prs for child in children]
    assert asked == [(1000 + int(rows.parents[child]),) for child in children]
    # Among contemporaries, those that were copied had the better score.
    copied = np.isin(np.arange(1000), rows.parents)
    gaps = [
        rows.bpb[(rows.date == day) & copied].mean()
        - rows.bpb[(rows.date == day) & ~copied].mean()
        for day in range(43)
        if copied[rows.date == day].any() and not copied[rows.date == day].all()
    ]
    assert np.mean(gaps) < -0.002


def test_independent_rows_have_no_parents():
    for name in ("iid", "latent", "missing"):
        assert not inherits(name)
        submissions = draw_sample(draw_world(name, 0), 60, 0).leaderboard.submissions
        assert not any(one.parent_prs for one in submissions)


@pytest.mark.parametrize("name", ["iid", "latent", "lineage"])
def test_regression_on_everything_hidden_included_finds_the_direct_effects(name):
    world = draw_world(name, 4)
    rows = draw_sample(world, 1400, 1).rows
    columns, truth = [], []
    for factor in world.factors:
        for code, level in enumerate(factor.levels[1:], 1):
            columns.append(rows.codes[factor.id] == code)
            truth.append(world.direct_effect(factor.id, factor.levels[0], level))
    blocks = [*columns, rows.date, rows.track, *rows.hidden.values()]
    fit = OLS(rows.bpb, np.column_stack([np.ones(1400), *blocks]).astype(float)).fit()
    z = (fit.params[1 : len(truth) + 1] - truth) / fit.bse[1 : len(truth) + 1]
    assert np.sqrt(np.mean(z**2)) == pytest.approx(1, abs=0.35)
    assert fit.mse_resid**0.5 == pytest.approx(world.noise, rel=0.1)


def test_between_levels_of_a_number_the_effect_is_read_off_straight_lines():
    for seed in range(20):
        world = draw_world("iid", seed)
        for factor in world.factors:
            if factor.variable.kind == "numeric" and any(factor.effects):
                low, high = factor.levels[0], factor.levels[1]
                middle = world.direct_effect(factor.id, low, (low + high) / 2)
                assert middle == pytest.approx(world.direct_effect(factor.id, low, high) / 2)
                return
    pytest.fail("no numeric cause in 20 worlds")


def test_reported_ablations_are_near_the_truth_and_lean_to_good_news():
    errors = []
    for seed in range(6):
        sample = draw_sample(draw_world("lineage", seed), 1000, 0)
        for row, submission in enumerate(sample.leaderboard.submissions):
            for ablation in submission.ablations:
                factor = sample.world.by_id[ablation.variable]
                codes = sample.rows.codes[factor.id]
                parent = sample.rows.parents[row]
                before = codes[parent] if parent >= 0 else 0
                true = factor.effects[codes[row]] - factor.effects[before]
                errors.append(ablation.delta - true)
    assert len(errors) > 200
    assert np.std(errors) < 0.002
    assert np.mean(errors) < -0.0001


def test_the_context_columns_are_the_pipelines():
    assert draw_world("iid", 0).observed[:2] == CONTEXT[:2]


def test_an_unknown_class_is_refused():
    with pytest.raises(ValueError, match="no world class 'flat'"):
        draw_world("flat", 0)
