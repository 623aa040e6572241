"""Time that is nearly over: what runs ends, nothing begins, and the next call goes on."""

import subprocess
import sys

import pytest

import scripts.causal.experiment_runner as runner
from scripts.causal.campaign.budget import Budget, OutOfTime
from scripts.causal.campaign.contrast import aa_contrast
from scripts.causal.campaign.executor import InProcessExecutor
from scripts.causal.campaign.platform import choose_platform
from scripts.causal.files import InputError


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_run_is_begun_only_where_the_longest_so_far_would_still_fit():
    clock = Clock()
    budget = Budget(2, clock)
    assert not budget.is_spent()
    budget.learn(50)
    budget.learn(30)
    clock.now = 70
    assert not budget.is_spent()
    clock.now = 71
    assert budget.is_spent()
    assert not Budget(None, clock).is_spent()


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_minutes_that_are_none_are_named(minutes):
    with pytest.raises(InputError, match="--minutes: `minutes > 0` must hold"):
        Budget(minutes)


def test_what_is_done_when_time_is_up_is_not_done_again(toy, ledger, monkeypatch):
    clock, place = Clock(), choose_platform(toy, scale="tiny")
    execute = toy.execute

    def hour(plan, *rest):
        clock.now += 3600 if plan.kind == "train" else 0
        return execute(plan, *rest)

    monkeypatch.setattr(toy, "execute", hour)
    contrast, seeds = aa_contrast("tiny", toy), (1, 2, 3, 4)
    arguments = ([contrast], seeds, "confirm", place, ledger)
    with InProcessExecutor(toy, ledger) as executor:
        with pytest.raises(OutOfTime) as out:
            runner.run_contrasts(*arguments, executor, budget=Budget(150, clock))
        # The third began when only half an hour was left: the ledger's clock is not this one.
        assert (out.value.done, out.value.total) == (3, 4)
        first = ledger.rows()
        (runs,) = runner.run_contrasts(*arguments, executor, budget=Budget(150, clock))
    assert [pair.seed for pair in runs.pairs] == list(seeds)
    assert ledger.rows()[: len(first)] == first
    assert {row.attempts for row in ledger.rows()} == {1}


def test_a_ledger_that_has_everything_needs_no_time(toy, ledger):
    clock, place = Clock(), choose_platform(toy, scale="tiny")
    budget = Budget(1, clock)
    arguments = ([aa_contrast("tiny", toy)], (1, 2), "confirm", place, ledger)
    with InProcessExecutor(toy, ledger) as executor:
        first = runner.run_contrasts(*arguments, executor)
        clock.now = 1e6
        assert runner.run_contrasts(*arguments, executor, budget=budget) == first


def test_the_command_ends_cleanly_and_goes_on(toy_installed, tmp_path):
    command = [
        *(sys.executable, runner.__file__, "--trainer", "toy", "--scale", "tiny"),
        *("--treatment", "activation=tanh", "--control", "step_seconds=0.02"),
        *("--seeds", "1,2,3,4", "--workers", "2", "--ledger", str(tmp_path / "ledger.sqlite")),
        *("--output", str(tmp_path / "raw.json")),
    ]
    out = subprocess.run(
        [*command, "--minutes", "0.04"], capture_output=True, text=True, check=True
    )
    assert "time is up: " in out.stderr
    assert " of 8 runs are done; the same command goes on" in out.stderr
    assert not (tmp_path / "raw.json").exists()
    subprocess.run([*command, "--quiet"], check=True)
    assert (tmp_path / "raw.json").exists()
