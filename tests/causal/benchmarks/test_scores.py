import numpy as np
import pytest

from benchmarks.scores import (
    adjacency,
    calibration_error,
    mean_and_error,
    orientation,
    outcomes,
    reliability,
)
from scripts.causal.graph.pag import make_pag

CIRCLE, TAIL, ARROW = "circle", "tail", "arrow"


def pag(*edges):
    marks = {}
    for a, mark_a, mark_b, b in edges:
        marks[a, b], marks[b, a] = mark_a, mark_b
    return make_pag("abcd", marks)


TRUTH = pag(("a", TAIL, ARROW, "b"), ("b", CIRCLE, ARROW, "c"), ("c", ARROW, ARROW, "d"))
CAUSES = {("a", "b"), ("b", "c"), ("a", "c")}


def test_the_truth_itself_scores_one():
    assert adjacency(TRUTH, TRUTH) == {"precision": 1, "recall": 1, "f1": 1}
    marks = orientation(TRUTH, TRUTH, CAUSES)
    assert marks == {"accuracy": 1, "recall": 1, "definite": 1, "claims": pytest.approx(5 / 3)}


def test_a_missing_and_a_false_edge_cost_recall_and_precision():
    found = pag(("a", TAIL, ARROW, "b"), ("b", CIRCLE, ARROW, "c"), ("a", CIRCLE, ARROW, "d"))
    score = adjacency(found, TRUTH)
    assert score == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3})
    assert adjacency(found, TRUTH, "d") == {"precision": 0, "recall": 0, "f1": 0}
    marks = orientation(found, TRUTH, CAUSES)
    assert marks["accuracy"] == 1  # of the two true edges that were found
    assert marks["recall"] == pytest.approx(4 / 6)
    assert marks["definite"] == 1  # d indeed does not cause a


def test_a_false_claim_counts_against_the_claims_and_a_circle_does_not():
    backwards = pag(("a", ARROW, TAIL, "b"))
    assert orientation(backwards, TRUTH, CAUSES)["definite"] == 0
    silent = pag(("a", CIRCLE, CIRCLE, "b"))
    assert orientation(silent, TRUTH, CAUSES)["definite"] == 1
    assert orientation(silent, TRUTH, CAUSES)["claims"] == 0
    assert orientation(silent, TRUTH, CAUSES)["accuracy"] == 0


def test_every_pair_is_asked_and_an_unnamed_one_has_frequency_zero():
    told = outcomes("abcd", {frozenset("ab"): 0.9, frozenset("ac"): 0.2}, TRUTH)
    assert len(told) == 6
    assert sorted(told) == [
        (0.0, False), (0.0, False), (0.0, True), (0.0, True), (0.2, False), (0.9, True)
    ]  # fmt: skip


def test_chances_that_come_true_are_calibrated_and_boasts_are_not():
    rng = np.random.default_rng(0)
    chances = rng.random(20000)
    honest = [(float(p), bool(rng.random() < p)) for p in chances]
    boasting = [(float(p), bool(rng.random() < p / 2)) for p in chances]
    assert calibration_error(reliability(honest)) < 0.02
    assert calibration_error(reliability(boasting)) == pytest.approx(0.25, abs=0.02)
    table = reliability(honest)
    assert len(table) == 10
    assert sum(one.count for one in table) == 20000


def test_a_frequency_of_one_falls_into_the_last_bin():
    (only,) = reliability([(1.0, True), (1.0, False)])
    assert (only.low, only.high, only.count, only.true_share) == (0.9, 1.0, 2, 0.5)


def test_the_error_of_a_mean():
    assert mean_and_error([1.0, 3.0]) == pytest.approx((2.0, 1.0))
    assert np.isnan(mean_and_error([1.0])[1])
