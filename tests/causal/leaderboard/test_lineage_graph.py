"""Who builds on whom: nodes, edges with their differences, and what cannot be a graph."""

import json
import subprocess
import sys
from pathlib import Path

import networkx as nx
import pytest
from pydantic import ValidationError

from scripts.causal.files import InputError
from scripts.causal.forms import write_file
from scripts.causal.leaderboard.lineage_graph import (
    SCHEMA_FILE,
    Change,
    Lineage,
    changes_between,
    json_schema,
    load_lineage,
    read_lineage,
    to_graph,
)
from scripts.causal.leaderboard.schema import Leaderboard, Source, Submission

SCRIPT = Path(__file__).parents[3] / "scripts" / "causal" / "extract_interventions.py"


def one(pr, *parents, name="x", **facts):
    return Submission(id=f"{pr}/track/{name}", pr=pr, parent_prs=parents, **facts)


def lineage(*submissions):
    return read_lineage(Leaderboard(source="here", snapshot="2026-05-01", submissions=submissions))


def links(read):
    return [(edge.parent, edge.child) for edge in read.edges]


def test_edges_run_from_the_parent_and_keep_the_order_of_naming():
    read = lineage(
        one(10), one(20), one(30, 20, 10, sources={"parent_prs": Source(file="README.md", line=7)})
    )
    assert links(read) == [("20/track/x", "30/track/x"), ("10/track/x", "30/track/x")]
    assert [edge.place for edge in read.edges] == [0, 1]
    assert read.edges[0].source.line == 7
    graph = to_graph(read)
    assert set(graph.successors("10/track/x")) == {"30/track/x"}
    assert graph.nodes["20/track/x"]["node"].pull_requests == (20,)


def test_a_parent_outside_the_leaderboard_is_a_bare_node():
    read = lineage(one(30, 414), one(40, 414))
    assert links(read) == [("#414", "30/track/x"), ("#414", "40/track/x")]
    bare = [node for node in read.nodes if not node.known]
    assert [(node.id, node.pull_requests, node.val_bpb) for node in bare] == [
        ("#414", (414,), None)
    ]
    assert read.edges[0].bpb is None
    assert read.edges[0].changes == ()


def test_a_child_may_name_any_pull_request_the_parent_stands_in():
    read = lineage(one(10, also=("15/track/x",)), one(30, 15, 10))
    assert links(read) == [("10/track/x", "30/track/x")]  # once, although named twice
    assert read.edges[0].named_as == 15


def test_of_several_submissions_in_a_pull_request_the_best_is_the_parent():
    read = lineage(
        one(10, name="a", val_bpb=1.3), one(10, name="b", val_bpb=1.2), one(10, name="c"),
        one(30, 10),
    )  # fmt: skip
    assert links(read) == [("10/track/b", "30/track/x")]
    assert read.edges[0].candidates == 3


def test_a_difference_needs_both_scores():
    read = lineage(one(10, val_bpb=1.2), one(20, 10, val_bpb=1.15), one(30, 10), one(40, 30))
    assert [edge.bpb for edge in read.edges] == [pytest.approx(-0.05), None, None]


def test_changes_tell_a_silence_from_an_absence():
    parent = one(10, techniques={"a": 3, "b": True, "c": "gelu", "only": 1, "g": 2}, absent=("d",))
    child = one(20, techniques={"a": 4, "b": 2, "d": True, "new": True, "g": 2}, absent=("c",))
    found = changes_between(parent, child)
    assert [(c.variable, c.from_, c.to, c.told) for c in found] == [
        ("a", 3, 4, True),
        ("c", "gelu", False, True),
        ("d", False, True, True),
        ("new", None, True, False),
        ("only", 1, None, False),
    ]  # b is used by both, of no stated value; g is the same


def test_used_and_zero_are_neither_absent_nor_each_other():
    parent, child = (
        one(10, techniques={"a": 0, "b": 0}),
        one(20, absent=("a",), techniques={"b": 1}),
    )
    assert [(c.variable, c.from_, c.to) for c in changes_between(parent, child)] == [
        ("a", 0, False), ("b", 0, 1)
    ]  # fmt: skip


def test_a_submission_that_names_itself_is_reported():
    read = lineage(one(30, 31, also=("31/track/x",)))
    assert read.edges == ()
    assert [(d.parent, d.child, d.reason) for d in read.dropped] == [
        ("30/track/x", "30/track/x", "names itself")
    ]


def test_a_cycle_is_broken_against_time_and_reported():
    read = lineage(
        one(10, 30, date="2026-03-02"), one(20, 10, date="2026-03-02"),
        one(30, 20, date="2026-03-01"), one(40, 30, date="2026-02-01"),
    )  # fmt: skip
    assert nx.is_directed_acyclic_graph(to_graph(read))
    assert [(d.parent, d.child) for d in read.dropped] == [("20/track/x", "30/track/x")]
    # outside the cycle an edge against the dates stays: folders keep their first date
    assert ("30/track/x", "40/track/x") in links(read)


def test_any_tangle_of_parents_becomes_a_graph_without_cycles():
    numbers = range(10, 40)
    tangle = [one(n, *(m for m in numbers if (n * m) % 3 == 1)) for n in numbers]
    read = lineage(*tangle)
    assert read.dropped
    assert nx.is_directed_acyclic_graph(to_graph(read))
    assert len(read.edges) + len(read.dropped) == sum(len(t.parent_prs) for t in tangle)


def test_the_file_is_read_back_as_it_was_written(tmp_path):
    read = lineage(one(10, techniques={"a": 1}), one(20, 10, 99, techniques={"a": 2}))
    write_file(tmp_path / "lineage.json", read)
    assert load_lineage(tmp_path / "lineage.json") == read
    change = json.loads((tmp_path / "lineage.json").read_text())["edges"][0]["changes"][0]
    assert change == {"variable": "a", "from": 1, "to": 2}
    (tmp_path / "lineage.json").write_text('{"nodes": 3}')
    with pytest.raises(InputError, match="field"):
        load_lineage(tmp_path / "lineage.json")


def test_the_schema_that_ships_is_in_step_with_the_form():
    assert json.loads(SCHEMA_FILE.read_text()) == json_schema(), (
        "write it anew: python -m scripts.causal.leaderboard.lineage_graph"
    )
    with pytest.raises(ValidationError):
        Lineage.model_validate({"source": "x", "nodes": [], "edges": [], "more": 1})
    assert Change(variable="a", from_=None, to=1).model_dump(mode="json")["from"] is None


def test_the_command_writes_the_graph_and_its_drawing(tmp_path):
    for number, readme in ((10, "# A\n"), (20, "# B\n\nBuilt on PR #10.\n")):
        folder = tmp_path / "in" / str(number) / "track" / "x"
        folder.mkdir(parents=True)
        (folder / "README.md").write_text(readme)
        (folder / "submission.json").write_text(f'{{"val_bpb": 1.{number}}}')
    arguments = ["--input", str(tmp_path / "in"), "--quiet", "--lineage"]
    run = [sys.executable, str(SCRIPT), *arguments]
    done = subprocess.run([*run, str(tmp_path / "l.json")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert links(load_lineage(tmp_path / "l.json")) == [("10/track/x", "20/track/x")]
    assert (tmp_path / "l.svg").read_text().startswith("<svg")
    wrong = subprocess.run([*run, str(tmp_path / "m.svg")], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "name the .json file" in wrong.stderr
    assert not (tmp_path / "m.svg").exists()
