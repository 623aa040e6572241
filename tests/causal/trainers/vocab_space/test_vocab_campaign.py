"""The family's claims, from the catalog through the pipeline to the report."""

import subprocess
import sys
from pathlib import Path

import pytest

from interventions.catalog import BPB, catalog_of
from interventions.vocabulary import load_variables
from scripts.causal.campaign.contrast import build_contrast
from scripts.causal.campaign.schema import AblationResults, RawRuns
from scripts.causal.forms import parse_file
from trainers.vocab_space.config import MIXINGS
from trainers.vocab_space.trainer import VocabSpaceTrainer
from trainers.vocab_space.versions import VERSIONS

ROOT = Path(__file__).parents[4]
CATALOG = ROOT / "interventions" / "catalog" / "vocab_space"


@pytest.mark.parametrize("claim", catalog_of("vocab_space").values(), ids=lambda entry: entry.id)
def test_a_claim_differs_from_its_own_control_in_what_it_names(claim):
    contrast = build_contrast(claim, "fast", VocabSpaceTrainer(), "steps")
    assert contrast.changes == dict(claim.set)
    assert claim.control.items() <= contrast.control.items()
    assert claim.claims
    assert claim.matched_by == contrast.matched_by
    assert claim.outcome == contrast.outcome


def test_the_vocabulary_knows_every_architecture_and_mixing():
    variables = load_variables(CATALOG / "variables.toml")
    assert set(variables["architecture"].levels) == set(VERSIONS)
    assert set(variables["mixing"].levels) == MIXINGS


def test_the_pipeline_gives_every_claim_a_verdict(shared_records, words_data, tmp_path):
    options = {
        "--trainer": "vocab_space",
        "--scale": "tiny",
        "--input": shared_records,
        "--data": words_data,
        "--output": tmp_path,
        "--name": "claims",
        "--seeds": "42,1337",
        "--max-cycles": 1,
        "--max-per-cycle": 9,
        "--max-confirm": 2,
        "--platform": "cpu",
        "--workers": 0,
    }
    words = [str(word) for pair in options.items() for word in pair]
    program = ROOT / "scripts" / "causal" / "run_pipeline.py"
    done = subprocess.run(
        [sys.executable, str(program), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "claims"
    results = parse_file(AblationResults, folder / "ablation_results.json").results
    catalog = catalog_of("vocab_space")
    assert {one.contrast.id for one in results} == set(catalog)
    assert {one.contrast.outcome for one in results} == {BPB, "generalization_gap", "loss_spike"}
    raw = parse_file(RawRuns, folder / "cycle_1" / "raw_runs.json")
    screened = {runs.contrast.id: runs for runs in raw.runs if runs.phase == "screen"}
    for one in results:
        assert one.verdict != "failed"
        pairs = screened[one.contrast.id].pairs
        outcome = one.contrast.outcome
        measured = [p.treatment.metrics[outcome] - p.control.metrics[outcome] for p in pairs]
        assert one.screen_effect == pytest.approx(sum(measured) / len(measured))
    page = (folder / "report.html").read_text()
    assert "generalization gap" in page
    assert "A claim about architecture=v8_graph, train_data_tokens=2048, which both arms" in page
    assert catalog["rank_64_memorizes"].claims[0].source in page
    assert not (folder / "submission").exists()
