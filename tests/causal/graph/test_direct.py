import pytest

from scripts.causal.graph.direct import direct_status, doubtful, left_out_sets, opened
from scripts.causal.graph.pag import make_pag


def pag(*edges):
    marks = {}
    for a, mark_a, mark_b, b in edges:
        marks[a, b], marks[b, a] = mark_a, mark_b
    nodes = sorted({node for pair in marks for node in pair})
    return make_pag(nodes, marks)


T, A, O = "tail", "arrow", "circle"  # noqa: E741


@pytest.mark.parametrize(
    ("edges", "status"),
    [
        ([("d", O, A, "x"), ("x", T, A, "y")], "identified"),
        ([("x", T, A, "y")], "confounded"),  # directed, but may hide a common cause
        ([("x", A, A, "y")], "confounded"),
        ([("x", O, A, "y")], "undirected"),
        ([("d", O, A, "x"), ("z", T, A, "y")], "disconnected"),
        # adjusting for m opens x → m ↔ y
        ([("d", O, A, "x"), ("x", T, A, "y"), ("x", T, A, "m"), ("m", A, A, "y")], "undirected"),
        # m shares nothing hidden with y: adjusting for it only takes out what runs through it
        (
            [
                ("d", O, A, "x"),
                ("x", T, A, "y"),
                ("x", T, A, "m"),
                ("e", O, A, "m"),
                ("m", T, A, "y"),
            ],
            "identified",
        ),
        # a chain of colliders: x → m ↔ n ↔ y
        (
            [
                ("d", O, A, "x"),
                ("x", T, A, "y"),
                ("x", T, A, "m"),
                ("m", A, A, "n"),
                ("n", A, A, "y"),
            ],
            "undirected",
        ),
    ],
)
def test_the_direct_effect_is_identified_where_no_hidden_cause_gets_in(edges, status):
    assert direct_status(pag(*edges), "x", "y") == status


def test_the_nodes_that_adjusting_may_open_are_named():
    graph = pag(("x", T, A, "m"), ("m", A, A, "y"), ("z", T, A, "x"), ("z", A, A, "y"))
    assert opened(graph, "x", "y") == ("m",)


def test_circles_leave_open_what_to_adjust_for():
    graph = pag(("x", O, O, "z"), ("x", T, A, "m"), ("m", A, A, "y"))
    assert doubtful(graph, "x", "y") == ("m", "z")
    assert set(left_out_sets(graph, "x", "y")) == {(), ("m",), ("z",), ("m", "z")}


def test_many_doubts_are_not_multiplied_out():
    graph = pag(*(("x", O, O, f"z{number}") for number in range(7)))
    sets = list(left_out_sets(graph, "x", "y"))
    assert len(sets) == 9
    assert sets[-1] == tuple(f"z{number}" for number in range(7))
