import numpy as np
import pytest

from interventions.vocabulary import load_variables
from scripts.causal.graph.design import build_design
from scripts.causal.graph.features import features
from scripts.causal.leaderboard.schema import Leaderboard


def only(submission, name, values):
    rows = tuple(
        submission(number, techniques={} if value is None else {name: value})
        for number, value in enumerate(values)
    )
    variables = {name: load_variables()[name]}
    return features(build_design(Leaderboard(source="", submissions=rows), variables=variables))


def test_numbers_are_a_line_broken_at_common_values(submission):
    found = only(submission, "num_layers", [9] * 8 + [11] * 6 + [13] * 5 + [10, 20, 12])[
        "num_layers"
    ]
    assert found.off == 9
    assert found.levels == (11.0, 13.0)
    assert found.columns[0].tolist() == [0, 0]
    assert found.columns[8].tolist() == [1, 0]
    assert found.columns[-1].tolist() == [0.5, 0.5]
    assert found.columns[-3].tolist() == [0.5, 0]
    assert found.columns[-2].tolist() == [0, 1]  # as far as enough of them went


def test_nearly_equal_numbers_are_one_knot(submission):
    values = [524288] * 8 + [786432] * 6 + [786000] * 5
    assert only(submission, "train_batch_tokens", values)["train_batch_tokens"].levels == (786432,)


def test_levels_are_compared_with_off_and_silence_is_neither(submission):
    values = ["none"] * 6 + ["lora"] * 5 + [None] * 4
    found = only(submission, "ttt", values)["ttt"]
    assert (found.off, found.levels, found.guessed) == ("none", ("lora",), False)
    assert found.told.sum() == 11
    assert found.columns[:, 0].sum() == 5


def test_where_nobody_says_no_silence_is_taken_for_it(submission):
    found = only(submission, "qat", [True] * 6 + [None] * 8)["qat"]
    assert found.guessed
    assert np.array_equal(found.columns[:, 0], [1.0] * 6 + [0.0] * 8)


@pytest.mark.parametrize("values", [[9] * 20, [9] * 18 + [10, 11], [None] * 20])
def test_what_hardly_anyone_changes_is_no_feature(submission, values):
    assert only(submission, "num_layers", values) == {}
