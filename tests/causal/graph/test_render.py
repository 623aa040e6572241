import itertools
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from scripts.causal.graph.layout import lay_out
from scripts.causal.graph.render import dot_source, render
from scripts.causal.graph.schema import CausalDag, Edge, FciSettings, Node

SETTINGS = FciSettings(
    test="t", alpha=0.05, depth=2, bootstraps=1, cluster="c", submissions=1, clusters=1, seed=0
)


def dag(nodes, edges, statement="Said plainly."):
    return CausalDag(
        outcome="bpb",
        nodes=nodes,
        edges=edges,
        fci=SETTINGS,
        set_aside=(),
        imputed={},
        statement=statement,
    )


def node(name, tier=1, label=None):
    return Node(id=name, label=label or name, kind="numeric", group="architecture", tier=tier)


def edge(a, b, marks=("tail", "arrow"), tag="uncertain", origin="data"):
    return Edge(
        source=a,
        target=b,
        source_mark=marks[0],
        target_mark=marks[1],
        origin=origin,
        tag=tag,
        frequency=0.5,
    )


@pytest.fixture
def large():
    rng = np.random.default_rng(0)
    names = [f"variable {i}" for i in range(30)]
    nodes = [node(name, tier=1 + i % 3) for i, name in enumerate(names)]
    edges = [edge(name, "bpb", tag="expert_imposed", origin="expert") for name in names]
    pairs = rng.choice(list(itertools.combinations(names, 2)), 25, replace=False)
    edges += [edge(a, b, ("circle", "arrow"), "data_confirmed") for a, b in pairs]
    return dag((*nodes, node("bpb", 4)), tuple(edges))


def test_boxes_do_not_overlap_and_the_outcome_is_at_the_right(large):
    boxes = lay_out(large).boxes
    for a, b in itertools.combinations(boxes.values(), 2):
        apart = abs(a.x - b.x) > a.half_width + b.half_width
        assert apart or abs(a.y - b.y) > a.half_height + b.half_height
    assert max(boxes, key=lambda name: boxes[name].x) == "bpb"


def test_no_edge_runs_behind_a_box(large):
    layout = lay_out(large)
    for drawn, path in zip(large.edges, layout.paths, strict=True):
        for name, box in layout.boxes.items():
            if name in (drawn.source, drawn.target):
                continue
            inside = (np.abs(path[:, 0] - box.x) < box.half_width) & (
                np.abs(path[:, 1] - box.y) < box.half_height
            )
            assert not inside.any(), (drawn.source, drawn.target, name)


def test_every_path_starts_and_ends_at_its_boxes(large):
    layout = lay_out(large)
    for drawn, path in zip(large.edges, layout.paths, strict=True):
        for name, point in ((drawn.source, path[0]), (drawn.target, path[-1])):
            box = layout.boxes[name]
            assert abs(abs(point[0] - box.x) - box.half_width) < 1e-9
            assert abs(point[1] - box.y) <= box.half_height + 1e-9


def test_marks_colours_and_lines_are_in_the_dot():
    source = dot_source(
        dag(
            (node("a"), node("bpb", 4)),
            (edge("a", "bpb", ("circle", "arrow"), "experiment_confirmed"),),
        )
    )
    assert "arrowtail=odot" in source
    assert "arrowhead=normal" in source
    assert "#0072B2" in source


HOSTILE = '<b>"x"</b> -> y; $\\alpha$ \\N <script>alert(1)</script>'


def test_labels_cannot_become_markup_or_syntax(tmp_path):
    graph = dag((node("a", label=HOSTILE), node("bpb", 4)), (edge("a", "bpb"),), HOSTILE)
    dot, svg, _ = render(graph, tmp_path, system_dot=False)
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")
    assert "<script" not in svg.read_text()
    assert "label=<" not in dot.read_text()
    assert '"x"' not in dot.read_text().replace('\\"', "")


def test_pictures_are_made_without_graphviz_and_are_the_same_twice(tmp_path, large, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    first = render(large, tmp_path / "one")
    second = render(large, tmp_path / "two")
    assert [path.name for path in first] == [
        "causal_dag.dot",
        "causal_dag.svg",
        "causal_dag.png",
    ]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True))
    assert first[2].read_bytes().startswith(b"\x89PNG")


def test_a_failing_dot_is_replaced(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "dot"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    graph = dag((node("a"), node("bpb", 4)), (edge("a", "bpb"),))
    _, svg, png = render(graph, tmp_path)
    assert svg.stat().st_size > 0
    assert png.read_bytes().startswith(b"\x89PNG")


def test_a_graph_without_edges_is_drawn(tmp_path):
    render(dag((node("bpb", 4),), ()), tmp_path, system_dot=False)
    render(dag((node("a"), node("bpb", 4)), ()), tmp_path, system_dot=False)
