import itertools

import pytest

from scripts.causal.graph.picture import choose_drawn
from scripts.causal.graph.render import render
from scripts.causal.graph.schema import CausalDag, Edge, Estimate, FciSettings, Node

SETTINGS = FciSettings(
    test="t", alpha=0.01, depth=2, bootstraps=40, cluster="c", submissions=9, clusters=9, seed=0
)
NAMES = [f"v{number}" for number in range(20)]


def edge(a, b, frequency=0.9, origin="data", estimates=()):
    return Edge(
        source=a,
        target=b,
        source_mark="tail",
        target_mark="arrow",
        origin=origin,
        tag="uncertain",
        frequency=frequency,
        estimates=estimates,
    )


def graph(edges):
    tiers = dict.fromkeys(NAMES, 1) | {"date": 0, "track": 0, "bpb": 4}
    return CausalDag(
        outcome="bpb",
        nodes=tuple(
            Node(id=name, label=f"<{name}>", kind="numeric", group="g", tier=tier)
            for name, tier in tiers.items()
        ),
        edges=tuple(edges),
        fci=SETTINGS,
        set_aside=(),
        imputed={},
        statement="All of it.",
    )


@pytest.fixture
def large():
    tested = Estimate(
        source="tested", before=1, after=2, effect=-0.01, low=-0.02, high=-0.001, n=4
    )
    everything = [edge(a, b, 0.6) for a, b in itertools.combinations(NAMES, 2)]
    at_outcome = [edge("v0", "bpb", 0.2), edge("v1", "bpb"), edge("date", "bpb")]
    at_outcome += [edge("track", "bpb"), edge("v2", "bpb", origin="expert", estimates=(tested,))]
    beliefs = [edge(name, "bpb", 0.0, "expert") for name in NAMES[3:]]
    weak = [edge("date", "v0", 0.3), edge("date", "track", 1.0), edge("date", "v1", 0.9)]
    return graph([*everything, *at_outcome, *beliefs, *weak])


def test_a_small_graph_is_drawn_whole_and_needs_no_words():
    small = graph([edge("v0", "bpb"), edge("v1", "v2", 0.1)])
    picture = choose_drawn(small)
    assert picture.dag is small
    assert picture.words == ""


def test_of_a_large_graph_the_outcome_its_neighbours_and_firm_edges_among_them_are_drawn(large):
    picture = choose_drawn(large)
    assert {node.id for node in picture.dag.nodes} == {"v0", "v1", "v2", "date", "track", "bpb"}
    assert {(one.source, one.target) for one in picture.dag.edges} == {
        ("v0", "bpb"), ("v1", "bpb"), ("date", "bpb"), ("track", "bpb"), ("v2", "bpb"),
        ("v0", "v1"), ("v0", "v2"), ("v1", "v2"), ("date", "v1"),
    }  # fmt: skip


def test_it_says_how_many_edges_are_not_drawn(large):
    words = choose_drawn(large).words
    assert f"9 of {len(large.edges)} edges" in words
    data = sum(one.origin == "data" for one in large.edges)
    assert f"{data} edges of the data" in words
    assert f"{len(large.edges) - data} of belief" in words


def test_room_goes_to_the_firmest_and_never_from_the_outcome(large):
    tight = choose_drawn(large, most_edges=6).dag.edges
    assert sum(one.target == "bpb" for one in tight) == 5
    assert [(one.source, one.target) for one in tight if one.target != "bpb"] == [("date", "v1")]
    assert len(choose_drawn(large, most_edges=2).dag.edges) == 5


def test_the_dot_keeps_the_whole_graph_and_the_picture_escapes_labels(tmp_path, large):
    dot, svg, _ = render(large, tmp_path, system_dot=False)
    assert dot.read_text().count(" -> ") == len(large.edges)
    assert "<v0>" not in svg.read_text()
