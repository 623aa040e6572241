"""Contrasts: the treatment is the control with the named fields replaced and nothing else."""

from dataclasses import replace

import pytest

from interventions.catalog import Intervention, load_catalog
from scripts.causal.campaign.contrast import (
    aa_contrast,
    build_contrast,
    first_difference,
    parse_fields,
    run_flops,
    specs_of,
    together,
)
from scripts.causal.campaign.schema import Platform
from scripts.causal.files import InputError
from trainers.api import load_trainer

PLATFORM = Platform(
    trainer="toy", backend="numpy-cpu-float64", scale="tiny", data="toy-data", machine="here"
)


def intervention(stage="train", **how):
    return Intervention(id="x", variable="model_dim", label="X", stage=stage, **how)


def differing(contrast):
    return {
        name: value
        for name, value in contrast.treatment.items()
        if contrast.control[name] != value
    }


def test_equal_cost_means_equal_steps(toy):
    contrast = build_contrast(
        intervention(set={"activation": "tanh"}), "tiny", toy, reason="A guess."
    )
    assert contrast.changes == {"activation": "tanh"} == differing(contrast)
    assert contrast.flops_per_pair == 2 * 40 * 800.0
    assert contrast.reason == "A guess."


def test_a_change_may_name_its_control_its_outcome_and_its_matching(toy):
    asked = intervention(
        set={"model_dim": 32},
        control={"model_dim": 16},
        outcome="spread",
        matched_by="steps",
    )
    contrast = build_contrast(asked, "tiny", toy, control_overrides={"activation": "tanh"})
    assert contrast.control == toy.resolve("tiny", {"activation": "tanh", "model_dim": 16})
    assert contrast.changes == {"model_dim": 32} == differing(contrast)
    assert (contrast.matched_by, contrast.outcome) == ("steps", "spread")
    assert not contrast.of_bpb


def test_changes_that_ask_different_things_do_not_go_together():
    one = intervention(set={"activation": "tanh"})
    for other in ({"control": {"model_dim": 16}}, {"outcome": "spread"}, {"matched_by": "steps"}):
        beside = replace(one, variable="other", set={"width": 3}, **other)
        with pytest.raises(InputError, match="different controls, outcomes or matchings"):
            together(one, beside)


@pytest.mark.parametrize(("factor", "steps", "warmdown"), [(2.0, 20, 10), (0.5, 80, 40)])
def test_matched_by_flops_a_dearer_step_means_fewer(toy, factor, steps, warmdown):
    contrast = build_contrast(
        intervention(multiply={"model_dim": factor}), "tiny", toy, reason="A guess."
    )
    assert contrast.changes == {"model_dim": 8 * factor}
    assert differing(contrast) == {
        "model_dim": 8 * factor,
        "iterations": steps,
        "warmdown_iters": warmdown,
    }
    assert contrast.flops_per_pair == 2 * 40 * 800.0
    assert contrast.reason == (
        f"A guess. Matched by FLOPs: {steps} steps against the control's 40, the schedule in "
        "proportion."
    )


def test_a_schedule_point_that_the_intervention_sets_is_its_own(toy):
    contrast = build_contrast(
        intervention(set={"model_dim": 16, "warmdown_iters": 15}), "tiny", toy
    )
    assert differing(contrast) == {"model_dim": 16, "iterations": 20, "warmdown_iters": 15}


def test_matched_by_steps_nothing_else_changes(toy):
    contrast = build_contrast(intervention(multiply={"model_dim": 2.0}), "tiny", toy, "steps")
    assert differing(contrast) == {"model_dim": 16}
    assert contrast.flops_per_pair == 40 * 800.0 + 40 * 1600.0


def test_overrides_are_in_both_arms(toy):
    contrast = build_contrast(
        intervention(add={"model_dim": 1}),
        "tiny",
        toy,
        "steps",
        control_overrides={"model_dim": 5},
    )
    assert (contrast.control["model_dim"], contrast.treatment["model_dim"]) == (5, 6)


def test_a_late_stage_costs_one_training(toy):
    contrast = build_contrast(intervention("quantize", set={"quant_bits": 4}), "tiny", toy)
    assert contrast.flops_per_pair == 40 * 800.0
    control, treatment = specs_of(contrast, 3, PLATFORM)
    assert first_difference(toy, control, treatment) == "quantize"
    assert (control.seed, control.config["quant_bits"]) == (3, 8)
    assert (treatment.backend, treatment.config["quant_bits"]) == ("numpy-cpu-float64", 4)


def test_a_value_that_cannot_be_built_exactly_is_said_so():
    entry = load_catalog()["model_dim_x0.75"]
    wider = {"model_dim": 52}
    contrast = build_contrast(entry, "fast", load_trainer("gpt"), control_overrides=wider)
    assert contrast.changes == {"model_dim": 40}
    assert "model_dim is 40, the nearest to 39 that can be built." in contrast.reason


def test_the_control_against_itself_is_one_run(toy):
    contrast = aa_contrast("tiny", toy)
    control, treatment = specs_of(contrast, 3, PLATFORM)
    assert control == treatment
    assert first_difference(toy, control, treatment) is None
    assert contrast.flops_per_pair == 40 * 800.0


@pytest.mark.parametrize("entry", load_catalog().values(), ids=lambda entry: entry.id)
def test_every_catalog_entry_makes_a_contrast_of_equal_cost(entry):
    gpt = load_trainer("gpt")
    # The fast scale has one KV head.
    scale = "standard" if entry.multiply.get("num_kv_heads") == 0.5 else "fast"
    contrast = build_contrast(entry, scale, gpt)
    costs = [run_flops(gpt, config) for config in (contrast.control, contrast.treatment)]
    assert costs[1] / costs[0] == pytest.approx(1, abs=0.6 / contrast.treatment["iterations"])
    schedule = {"iterations", "warmup_iters", "warmdown_iters", "muon_momentum_warmup_steps"}
    assert set(differing(contrast)) - schedule == set(contrast.changes) - schedule


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"set": {"model_dim": 8}}, "'x' changes nothing: the control has model_dim=8 already"),
        ({"multiply": {"model_dim": 1.01}}, "changes nothing"),
        ({"set": {"colour": 1}}, "no field 'colour'"),
        ({"multiply": {"activation": 2.0}}, "needs a number in field 'activation'"),
        ({"set": {"iterations": 80}}, "matching by FLOPs would undo"),
    ],
)
def test_what_is_no_contrast_is_refused(toy, how, message):
    with pytest.raises(InputError, match=message):
        build_contrast(intervention(**how), "tiny", toy)


def test_a_trainer_that_changes_more_than_was_asked_is_refused(toy, monkeypatch):
    resolve = toy.resolve

    def generous(scale, overrides):
        values = resolve(scale, overrides)
        return {**values, "learning_rate": 0.4 / values["model_dim"]}

    monkeypatch.setattr(toy, "resolve", generous)
    with pytest.raises(InputError, match="would change 'learning_rate' too"):
        build_contrast(intervention(set={"model_dim": 16}), "tiny", toy)


def test_fields_are_read_in_the_type_they_have():
    known = {"wide": True, "layers": 2, "rate": 0.5, "activation": "gelu"}
    assert parse_fields("wide=false, layers=3,rate=1,activation=silu", known) == {
        "wide": False,
        "layers": 3,
        "rate": 1.0,
        "activation": "silu",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layers", "expected field=value"),
        ("layers=", "expected field=value"),
        ("layers=2,", "expected field=value"),
        ("layer=2", r"unknown field 'layer' \(known: layers\)"),
        ("layers=2,layers=3", "given twice"),
        ("layers=2.5", "must be a whole number, but got '2.5'"),
        ("wide=1", "must be true or false"),
        ("rate=fast", "must be a number"),
    ],
)
def test_fields_that_cannot_be_read_are_named(text, message):
    with pytest.raises(InputError, match=message):
        parse_fields(text, {"wide": True, "layers": 2, "rate": 0.5})


def named(name, variable, **how):
    return Intervention(id=name, variable=variable, label=name.upper(), stage="train", **how)


def test_two_changes_at_once_are_one_contrast(toy):
    pair = together(
        named("tanh", "activation", set={"activation": "tanh"}),
        named("wide", "model_dim", multiply={"model_dim": 2.0}),
    )
    contrast = build_contrast(pair, "tiny", toy)
    assert (contrast.id, contrast.variable) == ("tanh+wide", "activation+model_dim")
    assert contrast.label == "TANH with WIDE"
    assert contrast.changes == {"activation": "tanh", "model_dim": 16}
    assert contrast.treatment["iterations"] == 20


def test_three_changes_cost_what_the_control_does(toy):
    changes = (
        named("wide", "model_dim", multiply={"model_dim": 2.0}),
        named("tanh", "activation", set={"activation": "tanh"}),
        named("coarse", "quant_bits", set={"quant_bits": 4}),
    )
    three = build_contrast(together(*changes), "tiny", toy)
    assert three.parts == ("wide", "tanh", "coarse")
    assert three.label == "WIDE with TANH with COARSE"
    spent = [
        toy.flops_per_step(arm) * arm["iterations"] for arm in (three.control, three.treatment)
    ]
    assert spent[1] == pytest.approx(spent[0], rel=0.5 / three.treatment["iterations"])


def test_a_pair_begins_where_its_first_change_does():
    coarse = Intervention("coarse", "quant_bits", "4 bits", "quantize", set={"quant_bits": 4})
    tanh = named("tanh", "activation", set={"activation": "tanh"})
    assert together(coarse, tanh).stage == together(tanh, coarse).stage == "train"


def test_two_changes_of_one_thing_are_no_pair():
    tanh = named("tanh", "activation", set={"activation": "tanh"})
    with pytest.raises(InputError, match="would vary 'activation' twice"):
        together(tanh, named("sin", "activation", set={"activation": "sin"}))
    with pytest.raises(InputError, match="would change 'activation' twice"):
        together(tanh, named("odd", "odd", set={"activation": "sin"}))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    "other",
    [
        named("wide", "model_dim", multiply={"model_dim": 2.0}),
        named("shape", "mlp", set={"layers": 3}, add={"model_dim": 8}),
    ],
    ids=["by its variable", "by a field beside it"],
)
def test_what_one_of_two_excludes_makes_no_pair(other, turned):
    alone = named("tanh", "activation", set={"activation": "tanh"}, excludes=("model_dim",))
    pair = (other, alone) if turned else (alone, other)
    message = f"'tanh' excludes 'model_dim', which '{other.id}' changes"
    with pytest.raises(InputError, match=message):
        together(*pair)


def test_every_exclusion_of_the_catalog_is_kept():
    catalog = load_catalog()
    for one in catalog.values():
        for name in one.excludes:
            others = [other for other in catalog.values() if other.variable == name]
            assert others, f"{one.id} excludes {name}, which nothing varies"
            for other in others:
                with pytest.raises(InputError, match=r"excludes|twice"):
                    together(one, other)
