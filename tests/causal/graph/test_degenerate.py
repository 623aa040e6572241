"""Leaderboards that can say nothing: a plain statement, never a crash, never a made-up edge."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interventions.vocabulary import load_variables
from scripts.causal.graph.assemble import assemble_dag
from scripts.causal.graph.estimate import estimate_data_graph
from scripts.causal.graph.identifiability import check_identifiability
from scripts.causal.leaderboard.schema import Leaderboard, Submission


def board(submissions):
    return Leaderboard(source="test", submissions=tuple(submissions))


def conclude(leaderboard):
    """Return the data graph, what is left out of it and why, and the verdict of each variable."""
    graph = estimate_data_graph(leaderboard, bootstraps=3)
    dag = assemble_dag(graph, leaderboard)
    report = check_identifiability(leaderboard, dag)
    data = [edge for edge in dag.edges if edge.origin == "data"]
    assert len(data) == len(graph.edges)
    assert dag.statement
    return (
        graph,
        {one.variable: one.reason for one in graph.set_aside},
        {one.variable: one for one in report.variables},
    )


def says_nothing(leaderboard, words):
    graph, _, verdicts = conclude(leaderboard)
    assert words in graph.fallback
    assert not graph.edges
    assert not graph.frequencies
    assert {one.verdict for one in verdicts.values()} == {"experiment_first"}


def test_no_submission(submission):
    says_nothing(board([]), "0 scored submissions are too few")
    says_nothing(board([submission(i, None) for i in range(30)]), "0 scored submissions")


def test_five_submissions(submission):
    rows = [submission(i, 1 + i / 10, techniques={"smear_gate": i < 2}) for i in range(5)]
    says_nothing(board(rows), "5 scored submissions are too few to tell anything apart")


def test_all_scores_equal(submission):
    rows = [submission(i, 1.1, techniques={"smear_gate": i % 2 == 0}) for i in range(40)]
    says_nothing(board(rows), "all 40 submissions have the same score")


def test_nobody_says_anything(submission):
    rows = [
        submission(i, 1 + i / 100, author=None, date=None, track=None).model_copy(
            update={"pr": None}
        )
        for i in range(40)
    ]
    says_nothing(board(rows), "no variable varies enough over the 40 submissions")
    _, aside, _ = conclude(board(rows))
    assert aside["date"] == "the same in all 40 scored submissions"
    assert set(load_variables()) <= set(aside)


def test_one_submission_many_times(submission):
    rows = [submission(1, 1.1, techniques={"smear_gate": True, "num_layers": 11})] * 40
    says_nothing(board(rows), "all 40 submissions have the same score")


def test_one_variable_that_does_nothing_gets_no_edge(submission):
    rows = [
        submission(i, 1 + (i * 7 % 40) / 100, date="2026-04-01", techniques={"qat": i % 2 == 0})
        for i in range(40)
    ]
    graph, aside, verdicts = conclude(board(rows))
    assert [node.id for node in graph.nodes] == ["qat", "bpb"]
    assert graph.fallback == ""
    assert graph.edges == ()
    assert verdicts["qat"].reason == "disconnected"
    assert "no submission of 40 mentions it" in aside["moe"]


def test_one_variable_that_alone_moves_the_score_gets_the_only_edge(submission):
    rows = [
        submission(
            i,
            1 + (i * 7 % 40) / 1000 - 0.03 * (i % 2 == 0),
            date="2026-04-01",
            techniques={"qat": i % 2 == 0},
        )
        for i in range(40)
    ]
    graph, _, _ = conclude(board(rows))
    assert [(edge.source, edge.target) for edge in graph.edges] == [("qat", "bpb")]
    assert graph.edges[0].source_mark == "circle"


def test_copies_of_a_column_are_one_node_and_named(submission):
    rows = [
        submission(
            i,
            1 + (i * 7 % 40) / 1000 - 0.03 * (i % 2 == 0),
            date="2026-04-01",
            techniques={"qat": i % 2 == 0, "swa": i % 2 == 0, "num_layers": 9 + i % 2},
        )
        for i in range(40)
    ]
    graph, aside, verdicts = conclude(board(rows))
    assert [node.id for node in graph.nodes] == ["num_layers", "bpb"]
    assert aside["qat"] == aside["swa"] == "cannot be told apart from num_layers in these rows"
    assert verdicts["qat"].reason == "collinear"
    assert verdicts["qat"].confounded_with == ("num_layers",)


def test_a_score_that_is_a_copy_of_a_factor_is_said_to_be_determined(submission):
    rows = [
        submission(i, 1.0 + 0.1 * (i % 2), date="2026-04-01", techniques={"num_layers": 9 + i % 2})
        for i in range(40)
    ]
    says_nothing(board(rows), "determine the score exactly")


def test_what_most_submissions_do_not_say_is_said_to_be_so(submission):
    rows = [
        submission(
            i,
            1 + (i * 7 % 40) / 100,
            techniques={"qat": True} if i % 4 == 0 else {"num_layers": 9 + i % 3},
        )
        for i in range(40)
    ]
    _, _, verdicts = conclude(board(rows))
    words = "30 of 40 submissions do not say it and are taken to be as the baseline."
    assert words in verdicts["qat"].explanation
    assert "do not say it" not in verdicts["num_layers"].explanation


VALUES = {
    "num_layers": st.sampled_from([9, 10, 11, True, False]),
    "quant_bits": st.sampled_from(["int8", "int6", "int5", "words", True]),
    "smear_gate": st.booleans(),
    "ema": st.sampled_from([0.997, 0.5, True, False]),
    "ttt": st.sampled_from(["lora", "none", "score_first", False]),
    "ngram_mix": st.booleans(),
}


@st.composite
def boards(draw):
    count = draw(st.sampled_from([0, 2, 13, 25, 40]))
    return board(
        Submission(
            id=f"{number}/x",
            pr=draw(st.sampled_from([None, number, number + 1])),
            author=draw(st.sampled_from([None, "ada", "bob"])),
            date=draw(st.sampled_from([None, "2026-04-01", "2026-04-09", "never"])),
            track=draw(st.sampled_from([None, "a", "track_a", "b"])),
            parent_prs=tuple(draw(st.lists(st.integers(0, 27), max_size=2))),
            base_bpb=draw(st.sampled_from([None, 1.0, 1.2])),
            val_bpb=draw(st.sampled_from([None, 1.0, 1.1, 1.2, 1e-7, 9.0])),
            absent=tuple(draw(st.sets(st.sampled_from(["ema", "qat"])))),
            techniques=draw(st.fixed_dictionaries({}, optional=VALUES)),
        )
        for number in range(count)
    )


@settings(max_examples=40, deadline=None)
@given(boards())
def test_whatever_is_written_every_variable_is_a_node_or_set_aside(leaderboard):
    graph, aside, verdicts = conclude(leaderboard)
    nodes = {node.id for node in graph.nodes}
    assert set(load_variables()) <= nodes | set(aside)
    assert not nodes & set(aside)
    assert set(verdicts) == set(load_variables())
    for edge in graph.edges:
        assert {edge.source, edge.target} <= nodes
    if graph.fallback:
        assert not graph.edges


@pytest.mark.parametrize("rows", [12, 20])
def test_as_many_factors_as_rows_are_never_all_taken(submission, rows):
    names = [one.id for one in load_variables().values() if one.kind == "binary"]
    some = [
        submission(
            i,
            1 + (i * 5 % rows) / 100,
            techniques={name: bool(hash_bit(i, place)) for place, name in enumerate(names)},
        )
        for i in range(rows)
    ]
    graph, aside, _ = conclude(board(some))
    taken = [node.id for node in graph.nodes if node.id in names]
    assert len(taken) <= rows // 4
    assert all(name in aside for name in names if name not in taken)


def hash_bit(row, place):
    """Return a bit that looks random and is always the same."""
    return ((row + 1) * 2654435761 + (place + 1) * 40503 * (row + 7)) >> 13 & 1
