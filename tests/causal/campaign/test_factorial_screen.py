"""Screens of several changes: who shares a design, what its runs cost, what it leads to."""

import pytest

from interventions.catalog import load_catalog
from scripts.causal.campaign.contrast import build_contrast
from scripts.causal.campaign.factorial_screen import (
    plan_screen,
    screen_effects,
    screen_prior,
)
from scripts.causal.campaign.planning import most_screened
from scripts.causal.campaign.schema import (
    ArmRun,
    ContrastRuns,
    FactorialRuns,
    Pair,
    Platform,
    RawRuns,
)
from scripts.causal.campaign.screened import choose_for_confirmation
from scripts.causal.statistical_analysis import analyse
from trainers.api import load_trainer

CATALOG = load_catalog()
GPT = load_trainer("gpt")
WANTED = ("qk_gain_4", "model_dim_x1.25", "mlp_3x", "softcap_20", "grad_clip_0.3")
EFFECTS = {
    "qk_gain_4": -0.020,
    "model_dim_x1.25": 0.015,
    "mlp_3x": 0.0,
    "softcap_20": -0.001,
    "grad_clip_0.3": 0.0005,
}
PLATFORM = Platform(
    trainer="gpt", backend="torch-cpu-float32", scale="tiny", data="embedded", machine="laptop"
)


def contrasts(*names):
    return [build_contrast(CATALOG[name], "tiny", GPT) for name in names]


def planned(*names, seeds=(1, 2)):
    return plan_screen(contrasts(*names), CATALOG, GPT, "tiny", {}, seeds)


def test_every_run_of_a_design_costs_what_the_control_does():
    design, rest = planned(*WANTED)
    assert not rest
    assert [each.id for each in design.factors] == list(WANTED)
    assert len(design.pairs) == 8
    control = design.factors[0].control
    budget = GPT.flops_per_step(control) * control["iterations"]
    for pair, _ in design.pairs:
        for arm in (pair.control, pair.treatment):
            step = GPT.flops_per_step(arm)
            assert step * arm["iterations"] == pytest.approx(budget, abs=step / 2)
    wide = [pair.treatment["model_dim"] > pair.control["model_dim"] for pair, _ in design.pairs]
    assert wide == [bool(row[1]) for row in design.levels]


def test_the_first_run_makes_every_change_and_its_mirror_none():
    design, _ = planned(*WANTED)
    everything = next(row for row, _ in zip(design.levels, design.pairs, strict=True) if all(row))
    pair = design.pairs[design.levels.index(everything)][0]
    assert pair.control == design.factors[0].control


def test_what_cannot_be_together_is_screened_by_itself():
    names = ("adamw", "muon_momentum_0.98", "qk_gain_4", "qk_gain_5", "ema_0.997", "softcap_20")
    design, rest = planned(*names)
    assert [each.id for each in design.factors] == ["adamw", "qk_gain_4", "softcap_20"]
    # excluded by AdamW; a second level of one variable; of another stage
    assert [each.id for each in rest] == ["muon_momentum_0.98", "qk_gain_5", "ema_0.997"]


def test_two_changes_are_no_screen():
    design, rest = planned("qk_gain_4", "softcap_20")
    assert design is None
    assert len(rest) == 2


def screened(fail=()):
    design, _ = planned(*WANTED)
    runs = []
    for number, (row, (contrast, seeds)) in enumerate(
        zip(design.levels, design.pairs, strict=True)
    ):
        shares = [level - 0.5 for level in row]
        half = sum(EFFECTS[name] * share for name, share in zip(WANTED, shares, strict=True))
        wobble = 0.0004 * (number % 3 - 1)
        arms = []
        for name, bpb in (("c", 2.0 - half), ("t", 2.0 + half + wobble)):
            key = f"{name}{number}"
            failed = key in fail
            arms.append(
                ArmRun(
                    key=key,
                    metrics={} if failed else {"val_bpb": bpb},
                    failure="diverged" if failed else None,
                )
            )
        pairs = tuple(Pair(seed=seed, control=arms[0], treatment=arms[1]) for seed in seeds)
        runs.append(ContrastRuns(contrast=contrast, phase="screen", pairs=pairs))
    return FactorialRuns(factors=design.factors, levels=design.levels, runs=tuple(runs))


def test_effects_lead_to_fresh_seeds():
    effects = {name: each.mean for name, each in screen_effects(screened()).items()}
    assert effects == pytest.approx(EFFECTS, abs=4e-4)
    chosen = choose_for_confirmation((), mde=0.005, max_confirm=2, factorial=screened())
    assert chosen == ["qk_gain_4", "model_dim_x1.25"]


def test_a_lost_run_is_borne_and_too_many_are_not():
    assert screen_effects(screened(fail=("t3",))).keys() == EFFECTS.keys()
    assert screen_effects(screened(fail={f"t{n}" for n in range(8)} | {"c0", "c1", "c2"})) == {}


def test_a_screen_ends_in_results_and_lends_its_error():
    raw = RawRuns(
        cycle=1,
        platform=PLATFORM,
        screen_seeds=(1, 2),
        confirm_seeds=(42, 1337),
        runs=(),
        factorial=screened(),
    )
    results = analyse(raw, alpha=0.05, mde=0.005)
    assert {result.verdict for result in results.results} == {"screened_out"}
    by_id = {result.contrast.id: result for result in results.results}
    told = by_id["qk_gain_4"].main_effect
    assert (told.runs, told.changes, told.resolution) == (16, 5, "IV")
    assert told.interval.low < -0.020 < told.interval.high
    assert "4 other changes made and not made" in by_id["qk_gain_4"].words
    assert results.prior == screen_prior([screened()])
    assert results.prior.df == pytest.approx(0.5 * (16 - 2 - 5))


def test_the_most_that_a_cycle_can_screen():
    assert most_screened(8, 2) == 24  # 5 in a design of 16 runs, 3 and a control on 2 seeds
    assert most_screened(3, 2) == 8
