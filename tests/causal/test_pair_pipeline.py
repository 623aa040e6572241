"""A contrast of two changes at once, through every stage that handles contrasts."""

import json
from pathlib import Path

import pytest

from interventions.catalog import load_catalog
from scripts.causal.campaign.chosen import choose_runs
from scripts.causal.campaign.contrast import build_contrast, together
from scripts.causal.campaign.executor import open_executor
from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.planning import make_plan
from scripts.causal.campaign.schema import RawRuns, Selection
from scripts.causal.experiment_runner import main as run_experiment
from scripts.causal.extract_interventions import extract_leaderboard
from scripts.causal.forms import parse_file, write_file
from scripts.causal.graph.assemble import assemble_dag
from scripts.causal.graph.estimate import estimate_data_graph
from scripts.causal.report import write_report
from scripts.causal.run_cycle import Campaign, experiment
from scripts.causal.run_pipeline import prepare
from scripts.causal.statistical_analysis import analyse
from scripts.causal.submission_assembly import assemble, confirmed_effects
from trainers.api import load_trainer

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


def test_a_square_is_run_and_judged_from_the_command_line(small_data, tmp_path):
    output = tmp_path / "raw_runs.json"
    run_experiment(
        treatment="model_dim_x1.25",
        partner="qk_gain=4.0",
        control="vocab_size=300",
        output=output,
        seeds="42,1337",
        platform="torch-cpu-float32",
        scale="tiny",
        workers=0,
        ledger=str(tmp_path / "ledger.sqlite"),
        data=small_data,
        quiet=True,
    )
    one, other, both = parse_file(RawRuns, output).runs
    assert both.contrast.parts == (one.contrast.id, other.contrast.id)
    # The wider model pays for its width alone and beside the other change.
    assert one.contrast.treatment["iterations"] == both.contrast.treatment["iterations"] < 20
    results = analyse(parse_file(RawRuns, output), alpha=0.05, mde=0.005)
    found = results.results[2].interaction
    cells = [
        (pair.control, one.pairs[n].treatment, other.pairs[n].treatment, pair.treatment)
        for n, pair in enumerate(both.pairs)
    ]
    expected = [[arm.metrics["val_bpb"] for arm in arms] for arms in cells]
    assert found.effect == pytest.approx(sum(c - a - b + ab for c, a, b, ab in expected) / 2)


def test_a_campaign_runs_a_pairs_changes_alone_on_its_cycle_s_fresh_seeds(
    small_data, small_records, tmp_path
):
    trainer = load_trainer("gpt")
    plan = make_plan(
        trainer,
        records=small_records,
        backend="torch-cpu-float32",
        scale="tiny",
        overrides={"vocab_size": 300},
        data=str(small_data),
        matched_by="flops",
        alpha=0.05,
        mde=1e-6,  # every screened contrast is promising
        max_cycles=2,
        max_per_cycle=1,
        max_confirm=1,
        screen_seeds=(1, 2),
        confirm_seeds=(42, 1337),
    )
    catalog = load_catalog()
    pair = build_contrast(
        together(catalog["activation_gelu"], catalog["softcap_20"]),
        "tiny",
        trainer,
        control_overrides=plan.overrides,
    )
    ledger = open_ledger(tmp_path / "ledger.sqlite")
    campaign = Campaign(plan, tmp_path, trainer, catalog, ledger, quiet=True)
    with open_executor(trainer, ledger, plan.backend, 0) as executor:
        chosen = Selection(cycle=2, contrasts=(pair,))
        raw = experiment(campaign, executor, chosen, prepare(campaign), 2)
    ledger.close()
    assert [[p.seed for p in runs.pairs] for runs in raw.runs] == [[1, 2], [0, 3]]
    assert [runs.contrast.id for runs in raw.parts] == ["activation_gelu", "softcap_20"]
    (result,) = analyse(raw, alpha=0.05, mde=0.005, cycles=2).results
    assert result.interaction.seeds == (0, 3)
