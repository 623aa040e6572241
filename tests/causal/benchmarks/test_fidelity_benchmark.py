"""The fidelity figures: agreement with a reference, and claims held against it."""

import tomllib

import pytest

from trainers.api import load_trainer


def test_the_reference_has_every_change_and_its_source():
    from fidelity import BASELINE, REFERENCE, changes

    reference = tomllib.loads(REFERENCE.read_text(encoding="utf-8"))
    assert {one.id for one in changes()} | {BASELINE} == set(reference["runs"])
    assert len(changes()) == 7
    assert all(run["after"] > run["before"] > 1 for run in reference["runs"].values())
    assert reference["commit"] and reference["log"]


def test_the_same_order_agrees_fully_and_the_reverse_not_at_all():
    from fidelity import agreement

    there = {"a": -0.01, "b": 0.02, "c": 0.03}
    assert agreement({"a": -1.0, "b": 1.0, "c": 2.0}, there) == {
        "tau": 1.0,
        "signs_right": 3,
        "of": 3,
    }
    assert agreement({name: -value for name, value in there.items()}, there)["tau"] == -1.0


def test_the_control_takes_part_in_the_ranking():
    from fidelity import agreement

    # Both orders put b after a; only with the control at 0 is the sign of a seen to be wrong.
    found = agreement({"a": 0.01, "b": 0.02}, {"a": -0.01, "b": 0.02})
    assert found["tau"] == pytest.approx(1 / 3)
    assert found["signs_right"] == 1


def test_the_interval_over_seeds_holds_what_each_draw_of_them_would_have_shown():
    from fidelity import over_seeds

    there = {"a": -0.01, "b": 0.02}
    sure = over_seeds({"a": [-1.0, -2.0], "b": [1.0, 2.0]}, there)
    assert (sure["tau"], sure["tau_interval"]) == (1.0, [1.0, 1.0])
    # The second seed turns the sign of a, and their mean has the first one's.
    torn = over_seeds({"a": [-2.0, 1.0], "b": [3.0, 3.0]}, there)
    assert (torn["tau"], torn["signs_right"]) == (1.0, 2)
    assert torn["tau_interval"] == pytest.approx([1 / 3, 1.0], abs=0.1)


def test_halves_of_the_seeds_are_held_against_each_other():
    from fidelity import split_half

    assert split_half({"a": [-1.0, -2.0], "b": [1.0, 2.0]}) == 1.0
    assert split_half({"a": [-1.0, 2.0], "b": [1.0, -2.0]}) == -1.0
    # Of three, one against the mean of two: 1 and 0.5 agree, 3 and -0.5 do not, nor -2 and 2.
    assert split_half({"a": [1.0, 3.0, -2.0]}) == pytest.approx(-1 / 3)
    assert split_half({"a": [1.0]}) is None


def test_another_horizon_keeps_the_schedule_in_proportion():
    from fidelity import both_arms

    trainer = load_trainer("gpt")
    own = trainer.resolve("standard", {})
    half = trainer.resolve("standard", both_arms(trainer, "standard", 40))
    batch = half["train_batch_tokens"]
    assert half["iterations"] * batch / trainer.parameters(own) == pytest.approx(40, rel=1e-3)
    for name in ("warmdown_iters", "muon_momentum_warmup_steps"):
        assert half[name] / half["iterations"] == pytest.approx(
            own[name] / own["iterations"], rel=0.01
        )
