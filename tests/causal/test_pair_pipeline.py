"""A contrast of two changes at once, through every stage that handles contrasts."""

import json
from pathlib import Path

import pytest

from scripts.causal.campaign.chosen import choose_runs
from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.schema import RawRuns
from scripts.causal.experiment_runner import main as run_experiment
from scripts.causal.extract_interventions import extract_leaderboard
from scripts.causal.forms import parse_file, write_file
from scripts.causal.graph.assemble import assemble_dag
from scripts.causal.graph.estimate import estimate_data_graph
from scripts.causal.report import write_report
from scripts.causal.statistical_analysis import analyse
from scripts.causal.submission_assembly import assemble, confirmed_effects

PAIR = "activation_gelu+softcap_20"


@pytest.fixture(scope="module")
def campaign(small_data, tmp_path_factory) -> Path:
    """A campaign's folder with real tiny runs of the pair, confirmed on two seeds."""
    folder = tmp_path_factory.mktemp("pair")
    run_experiment(
        treatment=PAIR,
        control="vocab_size=300",
        output=folder / "cycle_1" / "raw_runs.json",
        seeds="42,1337",
        platform="torch-cpu-float32",
        scale="tiny",
        workers=0,
        ledger=str(folder / "ledger.sqlite"),
        data=small_data,
        quiet=True,
    )
    return folder


@pytest.fixture(scope="module")
def raw(campaign) -> RawRuns:
    return parse_file(RawRuns, campaign / "cycle_1" / "raw_runs.json")


def confirmed(raw: RawRuns):
    """The verdict, made one that everything acts on."""
    results = analyse(raw, alpha=0.05, mde=0.005)
    (result,) = results.results
    better = result.model_copy(update={"verdict": "confirmed_better", "p_adjusted": 0.001})
    return results.model_copy(update={"results": (better,)})


def test_both_changes_are_in_the_treatment_and_nothing_else(raw):
    contrast = raw.runs[0].contrast
    assert (contrast.id, contrast.variable) == (PAIR, "activation+logit_softcap")
    assert contrast.changes == {"activation": "gelu", "logit_softcap": 20.0}
    assert all(pair.control.metrics and pair.treatment.metrics for pair in raw.runs[0].pairs)


def test_the_graph_takes_it_for_an_effect_of_neither_variable(raw, small_records):
    leaderboard = extract_leaderboard(small_records)
    graph = estimate_data_graph(leaderboard)
    without = assemble_dag(graph, leaderboard)
    assert assemble_dag(graph, leaderboard, [confirmed(raw)]) == without


def test_the_report_shows_both_changes(raw, campaign):
    results = confirmed(raw)
    write_file(campaign / "cycle_1" / "ablation_results.json", results)
    write_file(campaign / "ablation_results.json", results)
    page = write_report(campaign).read_text()
    assert "GELU with softcap 20" in page
    assert "activation: relu_sq → gelu; logit_softcap: 30 → 20" in page


def test_the_submission_made_of_it_is_verified(raw, campaign, tmp_path):
    results = confirmed(raw).results
    ledger = open_ledger(campaign / "ledger.sqlite")
    try:
        done = assemble(
            choose_runs([raw], results),
            confirmed_effects(results),
            ledger,
            name="pair",
            author="Somebody",
            github_id="somebody",
            output=tmp_path / "submission",
        )
    finally:
        ledger.close()
    stated = json.loads((done.folder / "submission.json").read_text())
    assert stated["configuration"]["activation"] == "gelu"
    assert stated["configuration"]["logit_softcap"] == 20.0
    readme = (done.folder / "README.md").read_text()
    assert "GELU with softcap 20" in readme
    assert not done.report.failures
