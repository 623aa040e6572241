import numpy as np
import pytest

from interventions.vocabulary import load_variables
from scripts.causal.graph.design import build_design
from scripts.causal.graph.differences import difference_effects
from scripts.causal.leaderboard.schema import Leaderboard

VARIABLES = {name: load_variables()[name] for name in ("qat", "smear_gate", "swa", "num_layers")}


def chain(submission, rng, count=240, both=False, hidden=0.05, stray=0):
    """Lines of descent: each line's own hidden worth is shared and unsaid; good ones use QAT."""
    rows, state = [], {}
    for number in range(count):
        line = number % 30
        worth = hidden * (line % 5)
        first = line % 5 < 2
        qat, smear, layers, _ = state.get(line, (first, both and first, 9, None))
        parent = state.get(line, (0, 0, 0, None))[3]
        if parent is not None:
            qat = bool(rng.integers(2)) if rng.random() < 0.5 else qat
            smear = qat if both else bool(rng.integers(2))
            layers = int(rng.choice([9, 10, 11]))
        bpb = 1.1 + worth - 0.004 * qat - 0.002 * (layers - 9) + 0.0005 * rng.standard_normal()
        if number < stray:
            bpb -= 0.4
        rows.append(
            submission(
                number,
                float(bpb),
                author=f"author {line}",
                parent_prs=() if parent is None else (parent,),
                techniques={"qat": qat, "smear_gate": smear, "num_layers": layers},
            )
        )
        state[line] = (qat, smear, layers, 1000 + number)
    return Leaderboard(source="", submissions=tuple(rows))


def by_level(estimates):
    return {one.after: one for one in estimates}


def test_what_parent_and_child_share_cancels(submission):
    board = chain(submission, np.random.default_rng(1))
    design = build_design(board, variables=VARIABLES)
    found, refused = difference_effects(design)
    (qat,) = found["qat"]
    assert qat.low < -0.004 < qat.high
    assert qat.high - qat.low < 0.001
    assert qat.method == "differences"
    assert "of 210 pairs" in qat.detail
    (smear,) = found["smear_gate"]
    assert smear.low < 0 < smear.high
    layers = by_level(found["num_layers"])
    assert layers[11.0].effect == pytest.approx(-0.004, abs=0.0005)
    assert "fewer than 5" in refused["swa"]


def test_a_few_scores_of_another_kind_change_nothing(submission):
    board = chain(submission, np.random.default_rng(2), stray=12)
    found, _ = difference_effects(build_design(board, variables=VARIABLES))
    assert found["num_layers"][-1].effect == pytest.approx(-0.004, abs=0.0005)


def test_what_always_changes_together_is_refused_by_name(submission):
    board = chain(submission, np.random.default_rng(3), both=True)
    found, refused = difference_effects(build_design(board, variables=VARIABLES))
    assert "qat" not in found
    assert "smear_gate" not in found
    assert refused["qat"] == "cannot be told apart: it always goes with smear_gate"


def test_silence_is_no_change(submission):
    board = chain(submission, np.random.default_rng(4))
    quiet = [
        one
        if not one.parent_prs or one.techniques["qat"]
        else one.model_copy(
            update={"techniques": {k: v for k, v in one.techniques.items() if k != "qat"}}
        )
        for one in board.submissions
    ]
    design = build_design(Leaderboard(source="", submissions=tuple(quiet)), variables=VARIABLES)
    found, _ = difference_effects(design)
    changes = int(found["qat"][0].n) if "qat" in found else 0
    full, _ = difference_effects(build_design(board, variables=VARIABLES))
    assert changes < full["qat"][0].n


def test_a_pair_on_two_tracks_is_no_pair(submission):
    board = chain(submission, np.random.default_rng(6))
    moved = [
        one.model_copy(update={"track": "another" if number % 60 < 30 else "one"})
        for number, one in enumerate(board.submissions)  # a line's next stands 30 further on
    ]
    design = build_design(Leaderboard(source="", submissions=tuple(moved)), variables=VARIABLES)
    found, refused = difference_effects(design)
    assert found == {}
    assert (
        refused["qat"]
        == "0 submissions name a scored parent on their track; at least 20 are needed"
    )


def test_too_few_pairs_are_refused_in_words(submission):
    board = chain(submission, np.random.default_rng(5), count=40)
    found, refused = difference_effects(build_design(board, variables=VARIABLES))
    assert found == {}
    assert (
        refused["qat"]
        == "10 submissions name a scored parent on their track; at least 20 are needed"
    )
