from test_render import dag, edge, node

from scripts.causal.graph.diff import diff_dags, edge_text

NODES = (node("a"), node("b"), node("bpb", 4))


def test_appeared_vanished_changed_and_unchanged():
    before = dag(NODES, (edge("a", "bpb", ("circle", "arrow")), edge("a", "b")))
    after = dag(
        NODES,
        (
            edge("a", "bpb", ("tail", "arrow"), "experiment_confirmed"),
            edge("b", "bpb"),
        ),
    )
    found = diff_dags(before, after, cycle=3)
    assert found.cycle == 3
    assert [(one.source, one.target, one.before, one.after) for one in found.changes] == [
        ("a", "b", "a --> b [uncertain]", ""),
        ("a", "bpb", "a o-> bpb [uncertain]", "a --> bpb [experiment_confirmed]"),
        ("b", "bpb", "", "b --> bpb [uncertain]"),
    ]


def test_the_same_edge_written_from_its_other_end_is_no_change():
    one = edge("a", "b", ("circle", "arrow"))
    other = edge("b", "a", ("arrow", "circle"))
    assert edge_text(one) == edge_text(other) == "a o-> b [uncertain]"
    assert diff_dags(dag(NODES, (one,)), dag(NODES, (other,)), cycle=1).unchanged == 1
