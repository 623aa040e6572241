from scripts.causal.graph.identify import identification, paths_to
from scripts.causal.graph.pag import Pag, make_pag, notation

_MARKS = {"-": "tail", "<": "arrow", ">": "arrow", "o": "circle"}


def pag(nodes, *edges):
    """Build a PAG of ``a o-> b`` texts."""
    marks = {}
    for edge in edges:
        a, link, b = edge.split()
        marks[a, b], marks[b, a] = _MARKS[link[0]], _MARKS[link[-1]]
    return make_pag(nodes.split(), marks)


def test_marks_survive_and_read_as_they_are_written():
    graph = pag("a b c", "a o-> b", "c <-> b")
    assert [str(edge) for edge in graph.edges] == ["a o-> b", "b <-> c"]
    assert (graph.mark("a", "b"), graph.mark("b", "a")) == ("circle", "arrow")
    assert graph.mark("a", "c") is None
    assert notation("x", "tail", "tail", "y") == "x --- y"


def test_an_arrowhead_rules_the_cause_out():
    graph = pag("a b c d", "a o-> b", "b <-> c", "c o-o d")
    assert graph.may_cause("a", "b")
    assert not graph.may_cause("b", "a")
    assert not graph.may_cause("b", "c")
    assert graph.possible_descendants("a") == {"a", "b"}
    assert graph.possible_descendants("d") == {"d", "c"}


def test_an_edge_is_visible_only_when_something_else_points_in():
    lone = pag("x y", "x --> y")
    assert not lone.visible("x", "y")
    pointed = pag("z x y", "z o-> x", "x --> y")
    assert pointed.visible("x", "y")
    shielded = pag("z x y", "z o-> x", "x --> y", "z o-> y")
    assert not shielded.visible("x", "y")


def test_visibility_along_a_collider_path():
    graph = pag("c d x y", "c o-> d", "d <-> x", "d --> y", "x --> y")
    assert graph.visible("x", "y")


def test_what_a_pag_identifies():
    assert identification(pag("z x y", "z o-> x", "x --> y"), "x", "y") == "identified"
    assert identification(pag("x y", "x --> y"), "x", "y") == "confounded"
    assert identification(pag("x y", "x <-> y"), "x", "y") == "confounded"
    assert identification(pag("x y", "x o-> y"), "x", "y") == "undirected"
    assert identification(pag("x y"), "x", "y") == "disconnected"
    assert identification(pag("x m y", "x o-> m", "m --> y"), "x", "y") == "undirected"


def test_a_bidirected_edge_beside_a_directed_path_does_not_hide_the_path():
    graph = pag("z x m y", "z o-> x", "x --> m", "m --> y", "x <-> y")
    assert paths_to(graph, "x", "y") == ("m",)
    assert identification(graph, "x", "y") == "identified"


def test_an_empty_graph_has_nothing_to_say():
    assert Pag((), ()).neighbours("x") == ()
