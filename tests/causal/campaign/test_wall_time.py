"""Arms matched by wall time: what the clock says decides how many steps a treatment gets."""

from dataclasses import replace

import pytest

import scripts.causal.experiment_runner as runner
from interventions.catalog import Intervention
from scripts.causal.campaign.contrast import aa_contrast, build_contrast
from scripts.causal.campaign.executor import InProcessExecutor
from scripts.causal.campaign.pool import ProcessExecutor
from scripts.causal.campaign.schema import Platform, RawRuns
from scripts.causal.campaign.wall_time import PROBE_STEPS, match_by_wall_time
from scripts.causal.experiment_runner import run_contrasts, timed_contrasts
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file

PLACE = Platform(
    trainer="toy", backend="numpy-cpu-float64", scale="tiny", data="toy-data", machine="this one"
)


def contrast_of(toy, stage="train", **fields):
    name = next(iter(fields))
    changed = Intervention(id=name, variable=name, label=name, stage=stage, set=fields)
    return build_contrast(changed, "tiny", toy, "wall_time", "Asked for.")


@pytest.fixture
def slow_when_wide(toy, monkeypatch):
    """A step takes 1 ms per 8 channels, said exactly, whatever the machine is busy with."""
    execute = toy.execute

    def told(plan, *rest):
        result = execute(plan, *rest)
        if plan.kind != "train":
            return result
        config = plan.spec.config
        seconds = 1e-3 * config["iterations"] * config["model_dim"] / 8
        return replace(result, metrics={**result.metrics, "seconds": seconds})

    monkeypatch.setattr(toy, "execute", told)


def test_a_slower_step_means_fewer(toy, ledger, slow_when_wide):
    contrast = contrast_of(toy, model_dim=20)
    assert contrast.treatment["iterations"] == 40
    with InProcessExecutor(toy, ledger) as executor:
        (matched,) = timed_contrasts([contrast], PLACE, ledger, executor)
        rows = ledger.rows()
        (again,) = timed_contrasts([contrast], PLACE, ledger, executor)
    assert again == matched
    assert ledger.rows() == rows
    assert matched.control == contrast.control
    assert matched.treatment == {
        **contrast.control,
        "model_dim": 20,
        "iterations": 16,
        "warmdown_iters": 8,
    }
    assert matched.matched_by == "wall_time"
    assert matched.step_seconds == pytest.approx((1e-3, 2.5e-3))
    assert matched.reason == (
        "Asked for. Matched by wall time: a step takes 2.5 ms against the control's 1 ms (medians "
        "of 3 warm runs each); 16 steps against 40, the schedule in proportion."
    )


def test_the_short_runs_are_few_steps_of_both_arms_and_shared(toy, ledger, slow_when_wide):
    contrasts = [contrast_of(toy, model_dim=20), contrast_of(toy, model_dim=12)]
    with InProcessExecutor(toy, ledger) as executor:
        timed_contrasts(contrasts, PLACE, ledger, executor)
    configs = [row.spec["config"] for row in ledger.rows() if row.kind == "train"]
    assert {config["iterations"] for config in configs} == {PROBE_STEPS}
    assert {config["warmdown_iters"] for config in configs} == {10}
    assert [config["model_dim"] for config in configs] == [8, 20, 12] * 4


def test_another_machine_reads_its_own_clock(toy, ledger, slow_when_wide):
    with InProcessExecutor(toy, ledger) as executor:
        for machine in ("this one", "that one"):
            place = PLACE.model_copy(update={"machine": machine})
            timed_contrasts([contrast_of(toy, model_dim=20)], place, ledger, executor)
    assert len({row.spec["seed"] for row in ledger.rows()}) == 8


def test_clocks_that_cannot_be_told_apart_leave_the_steps(toy, ledger, slow_when_wide):
    with InProcessExecutor(toy, ledger) as executor:
        (matched,) = timed_contrasts(
            [contrast_of(toy, activation="tanh")], PLACE, ledger, executor
        )
    assert matched.treatment["iterations"] == 40
    assert "too alike to change the 40 steps" in matched.reason


def test_what_trains_alike_is_not_timed(toy, ledger):
    late, same = contrast_of(toy, "quantize", quant_bits=4), aa_contrast("tiny", toy)
    with InProcessExecutor(toy, ledger) as executor:
        assert timed_contrasts([late, same], PLACE, ledger, executor) == (late, same)
    assert ledger.rows() == []


def test_an_arm_that_fails_keeps_its_steps_and_says_why(toy, ledger):
    with InProcessExecutor(toy, ledger) as executor:
        (matched,) = timed_contrasts(
            [contrast_of(toy, learning_rate=5.0)], PLACE, ledger, executor
        )
    assert matched.treatment["iterations"] == 40
    assert matched.step_seconds is None
    assert "Not matched by wall time: a short run failed (train: diverged" in matched.reason


def test_a_trainer_without_a_clock_is_named(toy):
    def run(contrasts, seeds):
        from scripts.causal.campaign.schema import ArmRun, ContrastRuns, Pair

        arm = ArmRun(key="aa", metrics={"val_bpb": 1.0})
        pairs = tuple(Pair(seed=seed, control=arm, treatment=arm) for seed in seeds)
        return [ContrastRuns(contrast=each, phase="screen", pairs=pairs) for each in contrasts]

    with pytest.raises(InputError, match="does not tell the seconds of a run"):
        match_by_wall_time([contrast_of(toy, model_dim=20)], PLACE, toy, run)


def test_steps_cannot_be_varied_and_matched(toy):
    with pytest.raises(InputError, match="which matching by wall time would undo"):
        contrast_of(toy, iterations=80)


def test_a_real_clock_is_read_in_the_workers(toy, ledger, toy_installed):
    slow = {"step_seconds": 0.02, "model_dim": 12}
    changed = Intervention(id="slow", variable="model_dim", label="slow", stage="train", set=slow)
    contrast = build_contrast(
        changed, "tiny", toy, "wall_time", control_overrides={"step_seconds": 0.005}
    )
    with ProcessExecutor(toy, ledger, workers=2) as executor:
        (matched,) = timed_contrasts([contrast], PLACE, ledger, executor)
        run_contrasts([matched], (1, 2), "screen", PLACE, ledger, executor)
    assert 7 <= matched.treatment["iterations"] <= 20  # a quarter, if the machine were idle


def test_the_command_matches_by_wall_time(toy_installed, tmp_path):
    runner.main(
        "model_dim=12,step_seconds=0.02",
        tmp_path / "raw.json",
        control="step_seconds=0.005",
        matched_by="wall_time",
        seeds="1,2",
        scale="tiny",
        trainer="toy",
        workers=0,
        ledger=str(tmp_path / "ledger.sqlite"),
        quiet=True,
    )
    (runs,) = parse_file(RawRuns, tmp_path / "raw.json").runs
    assert runs.contrast.matched_by == "wall_time"
    assert runs.contrast.treatment["iterations"] < 30
    assert runs.contrast.step_seconds is not None
    assert "Matched by wall time" in runs.contrast.reason
