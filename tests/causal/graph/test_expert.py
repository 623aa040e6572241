import pytest

from interventions.vocabulary import load_variables
from scripts.causal.files import InputError
from scripts.causal.graph.expert import Standing, load_expert_edges, tag_edge

KNOWN = {*load_variables(), "date", "track", "bpb"}
DIRECTED, BIDIRECTED = ("tail", "arrow"), ("arrow", "arrow")


def tag(believed=True, marks=None, frequency=0.0, rows=59, arrow=0.0, finding=None, judged=None):
    return tag_edge(Standing(believed, marks, frequency, rows, arrow, finding, judged))


def test_an_experiment_overrules_everything():
    assert tag(marks=BIDIRECTED, frequency=1.0, arrow=1.0, finding="confirmed") == (
        "experiment_confirmed"
    )
    assert tag(marks=DIRECTED, frequency=1.0, finding="equivalent") == "data_contradicted"
    assert tag(frequency=None, finding="undecided") == "uncertain"


def test_a_firm_edge_that_allows_the_belief_confirms_it():
    assert tag(marks=("circle", "arrow"), frequency=0.6) == "data_confirmed"
    assert tag(marks=("circle", "arrow"), frequency=0.4) == "uncertain"


def test_a_firm_edge_nobody_expected_is_confirmed_as_it_stands():
    assert tag(believed=False, marks=BIDIRECTED, frequency=0.6) == "data_confirmed"


def test_an_arrowhead_at_the_supposed_cause_contradicts_only_when_it_is_firm():
    assert tag(marks=BIDIRECTED, frequency=0.9, arrow=0.6) == "data_contradicted"
    assert tag(marks=BIDIRECTED, frequency=0.9, arrow=0.3) == "uncertain"


def test_absence_in_a_few_dozen_rows_refutes_nothing():
    assert tag(frequency=0.0, rows=59) == "uncertain"
    assert tag(frequency=0.0, rows=1400) == "data_contradicted"
    assert tag(frequency=0.2, rows=1400) == "uncertain"


def test_absence_refutes_no_published_size_that_scores_cannot_refute():
    assert tag(frequency=0.0, rows=1400, judged="cannot_tell") == "uncertain"
    assert tag(frequency=0.0, rows=1400, judged="supported") == "uncertain"
    assert tag(frequency=0.0, rows=1400, judged="contradicted") == "data_contradicted"


def test_what_the_data_cannot_speak_of_is_imposed():
    assert tag(frequency=None) == "expert_imposed"


def test_the_shipped_edges_are_well_formed_and_say_why():
    edges = load_expert_edges(KNOWN)
    assert len(edges) > 15
    assert all(edge.reason and edge.source for edge in edges)
    assert all(edge.cause != "bpb" for edge in edges)


ENTRY = '[[edge]]\ncause = "{}"\neffect = "{}"\nreason = "r"\nsource = "s"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ENTRY.format("emma", "bpb"), "edge 1 names 'emma'"),
        (ENTRY.format("ema", "ema"), "ema and ema twice"),
        (ENTRY.format("ema", "bpb") + ENTRY.format("bpb", "ema"), "edge 2"),
        ('[[edge]]\ncause = "ema"\n', "edge 1: "),
        ("[[edge", "is not valid TOML"),
    ],
)
def test_a_malformed_edge_is_named(tmp_path, text, message):
    path = tmp_path / "edges.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"edges\.toml") as error:
        load_expert_edges(KNOWN, path)
    assert message in str(error.value)
