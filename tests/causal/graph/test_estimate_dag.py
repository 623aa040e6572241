import json
import subprocess
import sys
from pathlib import Path

import pytest
from graph_results import result, results

from interventions.vocabulary import load_variables
from scripts.causal.cli import run_command
from scripts.causal.estimate_dag import estimate_dag
from scripts.causal.estimate_dag import main as estimate_main
from scripts.causal.files import InputError
from scripts.causal.forms import write_file
from scripts.causal.graph.assemble import assemble_dag
from scripts.causal.graph.design import build_design
from scripts.causal.graph.effects import leaderboard_effects
from scripts.causal.graph.estimate import default_alpha, estimate_data_graph, pag_of
from scripts.causal.graph.identifiability import check_identifiability
from scripts.causal.graph.schema import DataEdge, DataGraph, Node, PairFrequency
from scripts.causal.identifiability_check import main as identifiability_main
from scripts.causal.leaderboard.schema import Leaderboard

QUANT = ("quant_bits", "qat")
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def graph(planted):
    return estimate_data_graph(planted, bootstraps=10, seed=1)


def edges(dag):
    return {(edge.source, edge.target): edge for edge in dag.edges}


def verdicts(leaderboard, dag):
    return {item.variable: item for item in check_identifiability(leaderboard, dag).variables}


def test_the_planted_causes_and_no_others_touch_the_outcome(graph):
    touching = {
        edge.source if edge.target == "bpb" else edge.target
        for edge in graph.edges
        if "bpb" in (edge.source, edge.target)
    }
    assert touching == {"sliding_window_eval", "vocab_size"}
    assert all(pag_of(graph).mark("bpb", one) == "arrow" for one in touching)


def test_the_same_arguments_give_the_same_graph_and_it_survives_a_file(graph, planted):
    again = estimate_data_graph(planted, bootstraps=10, seed=1)
    assert again == graph
    assert DataGraph.model_validate_json(graph.model_dump_json()) == graph


def test_causal_learns_own_search_gives_the_same_adjacencies(graph, planted):
    theirs = estimate_data_graph(planted, bootstraps=10, seed=1, engine="causal-learn")
    ends = [[(one.source, one.target) for one in edges] for edges in (theirs.edges, graph.edges)]
    assert ends[0] == ends[1]
    found = [
        [(one.a, one.b, one.frequency) for one in side.frequencies] for side in (theirs, graph)
    ]
    assert found[0] == found[1]
    assert theirs.fci.test.endswith("causal-learn's search and rules")


def test_the_level_falls_with_the_rows_unless_it_is_given(graph, planted):
    assert default_alpha(10) == 0.05
    assert default_alpha(1000) == pytest.approx(0.0086, abs=1e-4)
    assert graph.fci.alpha == default_alpha(80)
    assert estimate_data_graph(planted, alpha=0.2, bootstraps=0).fci.alpha == 0.2


def test_effects_of_the_leaderboard_can_be_kept_over_the_cycles(graph, planted):
    variables = load_variables()
    kept = leaderboard_effects(planted, build_design(planted), pag_of(graph), variables)
    ours = [results(result("ema", "confirmed_better"))]
    for decided in ([], ours):
        again = assemble_dag(graph, planted, decided, effects=kept)
        assert again == assemble_dag(graph, planted, decided)
    assert any(one.source == "tested" for one in edges(again)["ema", "bpb"].estimates)


def test_beliefs_stay_apart_from_the_data(graph, planted):
    dag = assemble_dag(graph, planted)
    found = edges(dag)
    assert found["vocab_size", "bpb"].origin == "data"
    assert found["vocab_size", "bpb"].tag == "data_confirmed"
    assert "believed" in found["vocab_size", "bpb"].note
    assert found["ttt", "bpb"].origin == "expert"
    assert found["ttt", "bpb"].tag == "expert_imposed"
    assert found["ema", "bpb"].tag == "uncertain"
    assert found["ema", "bpb"].frequency is not None


def test_an_experiment_enters_the_next_graph(graph, planted):
    dag = assemble_dag(
        graph,
        planted,
        [
            results(
                result("vocab_size", "confirmed_better"),
                result("ema", "equivalent", 0.0001),
                result("rope_base", "confirmed_worse", 0.02),
            )
        ],
    )
    found = edges(dag)
    confirmed = found["vocab_size", "bpb"]
    assert (confirmed.tag, confirmed.source_mark) == ("experiment_confirmed", "tail")
    assert confirmed.estimates[0].source == "tested"
    assert found["ema", "bpb"].tag == "data_contradicted"
    assert (found["rope_base", "bpb"].origin, found["rope_base", "bpb"].tag) == (
        "experiment",
        "experiment_confirmed",
    )
    assert "own experiments confirmed 2" in dag.statement
    report = verdicts(planted, dag)
    assert (report["vocab_size"].verdict, report["vocab_size"].reason) == ("proceed", "tested")
    assert report["ema"].verdict == "experiment_first"


def test_a_result_for_an_unknown_variable_changes_nothing(graph, planted):
    strange = results(result("other:thing", "confirmed_better"))
    assert assemble_dag(graph, planted, [strange]) == assemble_dag(graph, planted)


def test_a_belief_is_read_from_its_cause_whichever_way_the_data_edge_was_written(graph, planted):
    nodes = [Node(id=n, label=n, kind="binary", group="quantization", tier=2) for n in QUANT]
    edge = DataEdge(source="quant_bits", target="qat", source_mark="tail", target_mark="arrow")
    shares = PairFrequency(
        a="quant_bits", b="qat", frequency=0.9, arrow_a=0.0, arrow_b=0.8, resamples=10
    )
    turned = graph.model_copy(
        update={
            "nodes": (*graph.nodes, *nodes),
            "edges": (*graph.edges, edge),
            "frequencies": (*graph.frequencies, shares),
        }
    )
    found = edges(assemble_dag(turned, planted))["qat", "quant_bits"]
    assert (found.source_mark, found.target_mark) == ("arrow", "tail")
    assert (found.origin, found.tag) == ("data", "data_contradicted")


def test_every_variable_gets_a_verdict_and_a_reason_in_words(graph, planted):
    report = verdicts(planted, assemble_dag(graph, planted))
    assert len(report) == len(load_variables())
    assert report["moe"].reason == "never_varied"
    assert report["ema"].reason == "disconnected"
    assert report["vocab_size"].reason in ("undirected", "confounded", "identified")
    assert all(item.explanation.endswith(".") for item in report.values())


def confounded(submission):
    """Adoption follows the date, and so does the score; gptq and qat always go together."""
    rows = []
    for i in range(60):
        used = (i * 37 % 60) / 60 < i / 60
        rows.append(
            submission(
                i,
                1.2 - 0.002 * i + 0.004 * (i * 7 % 5),
                date=f"2026-{3 + i // 28:02d}-{1 + i % 28:02d}",
                techniques={
                    "gptq": "full" if used else "none",
                    "qat": used,
                    "smear_gate": i % 3 == 0,
                },
            )
        )
    return Leaderboard(source="", submissions=tuple(rows))


def test_twins_are_named_to_each_other(submission):
    leaderboard = confounded(submission)
    dag = estimate_dag(leaderboard, bootstraps=3)
    report = verdicts(leaderboard, dag)
    twins = {report["qat"].reason, report["gptq"].reason}
    assert "collinear" in twins
    lost = report["qat"] if report["qat"].reason == "collinear" else report["gptq"]
    assert lost.confounded_with in (("gptq",), ("qat",))
    assert all(item.verdict == "experiment_first" for item in report.values())


def five(submission):
    return [submission(i, 1.2 - i / 100, techniques={"qat": i > 2}) for i in range(5)]


def one_variable(submission):
    return [
        submission(i, 1.2 + (i * 7 % 11) / 100, date=None, techniques={"qat": i % 2 == 0})
        for i in range(30)
    ]


def equal_scores(submission):
    return [submission(i, 1.2, techniques={"qat": i % 2 == 0}) for i in range(30)]


def duplicates(submission):
    return [
        submission(
            i,
            1.2 + (i * 7 % 11) / 100,
            techniques={"qat": i % 2 == 0, "swa": i % 2 == 0, "ema": 0.9 * (i % 2)},
        )
        for i in range(30)
    ]


def nothing(submission):
    return []


def unscored(submission):
    return [submission(i, None, techniques={"qat": i % 2 == 0}) for i in range(30)]


def no_variation(submission):
    return [submission(i, 1.2 + i / 1000) for i in range(30)]


def copies(submission):
    row = submission(1, 1.2, techniques={"qat": True})
    return [row] * 30


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (five, "5 scored submissions are too few"),
        (equal_scores, "all 30 submissions have the same score"),
        (nothing, "0 scored submissions are too few"),
        (unscored, "0 scored submissions are too few"),
        (no_variation, "no variable varies enough"),
        (copies, "all 30 submissions have the same score"),
    ],
)
def test_what_cannot_be_estimated_is_said_and_no_edge_is_made_up(submission, make, words):
    leaderboard = Leaderboard(source="", submissions=tuple(make(submission)))
    dag = estimate_dag(leaderboard, bootstraps=3)
    assert [edge for edge in dag.edges if edge.origin == "data"] == []
    assert words in dag.statement
    assert all(edge.frequency is None for edge in dag.edges)
    report = check_identifiability(leaderboard, dag)
    assert all(item.verdict == "experiment_first" for item in report.variables)


def test_one_variable_is_compared_alone(submission):
    leaderboard = Leaderboard(source="", submissions=tuple(one_variable(submission)))
    dag = estimate_dag(leaderboard, bootstraps=3)
    assert "let 1 variables be compared" in dag.statement
    assert [edge for edge in dag.edges if edge.origin == "data"] == []


def test_duplicated_columns_are_set_aside_not_tied_together(submission):
    leaderboard = Leaderboard(source="", submissions=tuple(duplicates(submission)))
    dag = estimate_dag(leaderboard, bootstraps=3)
    aside = {one.variable: one.reason for one in dag.set_aside}
    named = {"qat", "swa", "ema"}
    assert len(named & set(aside)) == 2
    assert sum("cannot be told apart" in aside[one] for one in named & set(aside)) == 2
    assert not [e for e in dag.edges if e.origin == "data" and {e.source, e.target} <= named]


@pytest.mark.parametrize(
    "change", [{"alpha": 0.0}, {"alpha": 1.5}, {"depth": -2}, {"bootstraps": -1}]
)
def test_settings_that_mean_nothing_are_refused(planted, change):
    with pytest.raises(InputError, match=f"--{next(iter(change))}"):
        estimate_dag(planted, **change)


def call(monkeypatch, capsys, main, *arguments):
    """Run a command in this process; (exit code, stdout, stderr)."""
    monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        run_command(main)
    return (stopped.value.code or 0, *capsys.readouterr())


def test_estimate_dag_runs_as_a_program_and_writes_its_files(planted, tmp_path):
    board, before, ours = (tmp_path / name for name in ("board.json", "before.json", "ours.json"))
    write_file(board, planted)
    write_file(before, estimate_dag(planted, bootstraps=2, alpha=0.01))
    write_file(ours, results(result("vocab_size", "confirmed_better")))
    out = tmp_path / "out"
    command = [
        *(sys.executable, "scripts/causal/estimate_dag.py", "--input", board),
        *("--output-dir", out, "--previous-dag", before, "--results", ours),
        *("--cycle", "2", "--bootstraps", "2", "--quiet", "--json"),
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json.loads((out / "causal_dag.json").read_text())
    assert sorted(path.name for path in out.iterdir()) == [
        "causal_dag.dot",
        "causal_dag.json",
        "causal_dag.png",
        "causal_dag.svg",
        "dag_diff.json",
    ]
    difference = json.loads((out / "dag_diff.json").read_text())
    assert difference["cycle"] == 2
    assert "experiment_confirmed" in json.dumps(difference["changes"])


def test_identifiability_check_writes_its_report(planted, tmp_path, monkeypatch, capsys):
    board, graph, report = (tmp_path / name for name in ("board.json", "dag.json", "report.json"))
    write_file(board, planted)
    ours = results(result("vocab_size", "confirmed_better"))
    write_file(graph, estimate_dag(planted, bootstraps=2, results=[ours]))
    code, told, error = call(
        *(monkeypatch, capsys, identifiability_main, "--interventions", board),
        *("--dag", graph, "--output", report),
    )
    assert (code, error) == (0, "")
    assert told.startswith(f"proceed: 1, experiment first: {len(load_variables()) - 1} ")
    assert len(json.loads(report.read_text())["variables"]) == len(load_variables())


def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    bad = tmp_path / "bad.json"
    bad.write_text('{"source": 3}')
    code, _, error = call(
        *(monkeypatch, capsys, estimate_main, "--input", bad, "--output-dir", tmp_path / "out"),
    )
    assert code == 2
    assert error.startswith(f"error: {bad}: field source")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
