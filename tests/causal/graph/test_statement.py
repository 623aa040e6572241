from scripts.causal.graph.schema import DataGraph, Edge, FciSettings, Node
from scripts.causal.graph.statement import describe_graph

SETTINGS = FciSettings(
    test="t", alpha=0.01, depth=2, bootstraps=40, cluster="c", submissions=200, clusters=90, seed=0
)
LABELS = {"date": "day", "ema": "weight averaging", "ngram_mix": "ngram mix", "bpb": "bits"}


def graph(**more):
    return DataGraph(
        outcome="bpb",
        nodes=tuple(
            Node(id=name, label=label, kind="numeric", group="g", tier=tier)
            for tier, (name, label) in enumerate(LABELS.items())
        ),
        edges=(),
        frequencies=(),
        fci=SETTINGS,
        set_aside=(),
        **{"imputed": {}, **more},
    )


def edge(a, b, marks, frequency=0.9, tag="data_confirmed"):
    return Edge(
        source=a,
        target=b,
        source_mark=marks[0],
        target_mark=marks[1],
        origin="data",
        tag=tag,
        frequency=frequency,
    )


def test_the_marks_at_the_outcome_are_put_in_words():
    edges = [
        edge("date", "bpb", ("arrow", "arrow")),
        edge("bpb", "ngram_mix", ("arrow", "tail")),
        edge("ema", "bpb", ("circle", "arrow"), 0.1, "uncertain"),
    ]
    said = describe_graph(graph(), edges)
    assert "200 submissions in 90 lineage clusters let 2 variables be compared" in said
    assert "3 edges, 2 of them firmly" in said
    assert "read as causes of it: ngram mix;" in said
    assert "cannot be told: weight averaging;" in said
    assert "hidden common cause: day." in said


def test_an_outcome_without_neighbours_is_no_proof():
    said = describe_graph(graph(), [edge("date", "ema", ("tail", "arrow"))])
    assert "Nothing is adjacent to bpb, which is not proof" in said


def test_silence_is_counted_and_the_worst_named():
    said = describe_graph(graph(imputed={"ema": 150, "ngram_mix": 50, "date": 3}), [])
    assert "50% of the rows for the median variable" in said
    assert "most for ema (75%) and ngram mix (25%)." in said
    assert "taken to be as the baseline" not in describe_graph(graph(), [])


def test_what_makes_scores_incomparable_is_named():
    assert "columns of their own (ngram mix)" in describe_graph(graph(), [])


def test_experiments_are_counted_and_a_fallback_says_why():
    confirmed = edge("ema", "bpb", ("tail", "arrow"), tag="experiment_confirmed")
    assert "own experiments confirmed 1." in describe_graph(graph(), [confirmed])
    assert describe_graph(graph(fallback="too few rows"), []).startswith(
        "The data graph has no edges: too few rows."
    )


def test_many_neighbours_are_named_up_to_a_point():
    names = [f"v{number}" for number in range(12)]
    nodes = [Node(id=n, label=n, kind="binary", group="g", tier=1) for n in names]
    wide = graph().model_copy(update={"nodes": (*graph().nodes, *nodes)})
    said = describe_graph(wide, [edge(name, "bpb", ("tail", "arrow")) for name in names])
    assert "v6, v7 and 4 more" in said
