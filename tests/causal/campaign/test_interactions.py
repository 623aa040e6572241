"""Pairs with their changes alone, from literal runs to a record."""

import pytest

from scripts.causal.campaign.schema import (
    ArmRun,
    Contrast,
    ContrastRuns,
    Pair,
    Platform,
    RawRuns,
)
from scripts.causal.forms import write_file
from scripts.causal.report import write_report
from scripts.causal.statistical_analysis import analyse

SEEDS = (3, 4, 5, 6)
CONTROL = {3: 2.010, 4: 2.004, 5: 2.013, 6: 2.007}
NOISE = {3: 0.0002, 4: -0.0003, 5: 0.0003, 6: -0.0001}
PLATFORM = Platform(
    trainer="gpt", backend="torch-cpu-float32", scale="tiny", data="embedded", machine="laptop"
)


def runs(name, effect, wobble=1.0, failing=(), control="c"):
    parts = tuple(name.split("+")) if "+" in name else ()
    contrast = Contrast(
        id=name,
        variable=name,
        label=name,
        changes={"activation": name},
        control={"activation": "relu_sq"},
        treatment={"activation": name},
        stage="train",
        matched_by="flops",
        flops_per_pair=1e12,
        reason="test",
        parts=parts,
    )
    pairs = []
    for seed in SEEDS:
        bpb = CONTROL[seed] + effect + wobble * NOISE[seed]
        treatment = ArmRun(key=f"{name}{seed}", metrics={"val_bpb": bpb})
        if seed in failing:
            treatment = ArmRun(key=f"{name}{seed}", failure="diverged")
        ours = ArmRun(key=f"{control}{seed}", metrics={"val_bpb": CONTROL[seed]})
        pairs.append(Pair(seed=seed, control=ours, treatment=treatment))
    return ContrastRuns(contrast=contrast, phase="confirm", pairs=tuple(pairs))


def judged(*cycle, parts=()):
    raw = RawRuns(
        cycle=1,
        platform=PLATFORM,
        screen_seeds=(),
        confirm_seeds=SEEDS,
        runs=cycle,
        parts=parts,
    )
    results = analyse(raw, alpha=0.05, mde=0.002)
    return {result.contrast.id: result for result in results.results}


def test_two_gains_that_overlap_are_said_to_hinder_each_other():
    results = judged(runs("a+b", -0.012), parts=(runs("a", -0.010, -1.0), runs("b", -0.008, 0.5)))
    assert set(results) == {"a+b"}
    result = results["a+b"]
    assert result.verdict == "confirmed_better"
    found = result.interaction
    assert found.answer == "hinder"
    assert found.alone == pytest.approx((-0.010, -0.008), abs=1e-4)
    assert found.effect == pytest.approx(0.006, abs=1e-4)
    assert found.interval.low > 0
    assert found.seeds == SEEDS
    assert "less than the sum of each alone" in result.words


def test_parts_that_are_contrasts_of_the_cycle_serve_as_well():
    results = judged(runs("a", -0.010), runs("b", -0.008), runs("a+b", -0.018, 2.1))
    assert results["a+b"].interaction.answer == "add_up"
    assert results["a"].interaction is None


def test_a_seed_without_all_four_runs_is_left_out():
    parts = (runs("a", -0.01, failing=(4,)), runs("b", -0.008))
    assert judged(runs("a+b", -0.02), parts=parts)["a+b"].interaction.seeds == (3, 5, 6)


def test_another_control_is_no_square():
    parts = (runs("a", -0.01, control="other"), runs("b", -0.008))
    assert judged(runs("a+b", -0.02), parts=parts)["a+b"].interaction is None
    assert judged(runs("a+b", -0.02))["a+b"].interaction is None


def test_the_report_shows_the_square(tmp_path):
    parts = (runs("a", -0.010, -1.0), runs("b", -0.008, 0.5))
    raw = RawRuns(
        cycle=1,
        platform=PLATFORM,
        screen_seeds=(),
        confirm_seeds=SEEDS,
        runs=(runs("a+b", -0.012),),
        parts=parts,
    )
    write_file(tmp_path / "cycle_1" / "raw_runs.json", raw)
    write_file(tmp_path / "cycle_1" / "ablation_results.json", analyse(raw, alpha=0.05, mde=0.002))
    page = write_report(tmp_path).read_text()
    assert "“a+b”: together they bring less than each alone, added up." in page
    assert "less than the sum" in page
