"""A submission from real tiny runs: verified, and refused when anything in it does not hold."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.causal import submission_assembly
from scripts.causal.campaign.chosen import choose_runs
from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.schema import RawRuns
from scripts.causal.experiment_runner import main as run_experiment
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file
from scripts.causal.referee.check import RefereeError
from scripts.causal.submission_assembly import assemble, main


@pytest.fixture(scope="module")
def recorded(small_data, tmp_path_factory) -> Path:
    """A folder with raw_runs.json and the ledger of GELU against the baseline on two seeds."""
    folder = tmp_path_factory.mktemp("recorded")
    run_experiment(
        treatment="activation=gelu",
        control="vocab_size=300",
        output=folder / "raw_runs.json",
        seeds="42,1337",
        platform="torch-cpu-float32",
        scale="tiny",
        workers=0,
        ledger=str(folder / "ledger.sqlite"),
        data=small_data,
        quiet=True,
    )
    return folder


def build(recorded: Path, output: Path):
    raw = parse_file(RawRuns, recorded / "raw_runs.json")
    ledger = open_ledger(recorded / "ledger.sqlite")
    try:
        return assemble(
            choose_runs([raw], [], contrast="activation=gelu"),
            [],
            ledger,
            name='Tiny "GELU"',
            author="Somebody",
            github_id="somebody",
            output=output,
        )
    finally:
        ledger.close()


def test_the_folder_holds_what_the_ledger_has_and_reproduces_it(recorded, tmp_path):
    done = build(recorded, tmp_path / "submission")
    raw = parse_file(RawRuns, recorded / "raw_runs.json")
    runs = {pair.seed: pair.treatment for pair in raw.runs[0].pairs}
    stated = json.loads((done.folder / "submission.json").read_text())
    assert stated["seed_results"]["42"]["val_bpb"] == runs[42].metrics["val_bpb"]
    assert done.measured_bpb == pytest.approx(runs[42].metrics["val_bpb"], abs=1e-6)
    assert stated["bytes_code"] == (done.folder / PROGRAM).stat().st_size
    assert stated["bytes_model"] == (done.folder / MODEL).stat().st_size
    assert stated["configuration"]["activation"] == "gelu"
    log = (done.folder / "train_seed1337.log").read_text()
    assert log.startswith((done.folder / PROGRAM).read_text().rstrip("\n"))
    assert f"val_bpb:{runs[1337].metrics['val_bpb']:.8f}" in log.splitlines()[-1]


def test_a_model_that_is_not_the_recorded_one_is_refused(recorded, tmp_path, monkeypatch):
    raw = parse_file(RawRuns, recorded / "raw_runs.json")
    ledger = open_ledger(recorded / "ledger.sqlite")
    other = ledger.get(ledger.get(raw.runs[0].pairs[1].treatment.key).parent)
    swapped = ledger.folder(other.key) / MODEL
    ledger.close()
    monkeypatch.setattr(submission_assembly, "_artifact", lambda ledger, row: swapped)
    with pytest.raises(RefereeError, match="the ledger has"):
        build(recorded, tmp_path / "submission")
    assert not list(tmp_path.iterdir())


def test_over_the_cap_nothing_is_left_behind(recorded, tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.causal.submission.referee.CAP_BYTES", 1000)
    with pytest.raises(RefereeError, match="exceed the cap of 1,000"):
        build(recorded, tmp_path / "submission")
    assert not list(tmp_path.iterdir())


def test_an_older_submission_of_the_name_is_replaced_whole(recorded, tmp_path):
    older = tmp_path / "submission"
    older.mkdir()
    (older / "left_over.txt").write_text("old")
    build(recorded, older)
    assert not (older / "left_over.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["submission"]


def test_the_command_names_what_is_missing(recorded, tmp_path):
    with pytest.raises(InputError, match="the ledger has no run"):
        main(
            name="x",
            results=recorded / "raw_runs.json",
            output=tmp_path / "out",
            author="a",
            ledger=str(tmp_path / "empty.sqlite"),
        )


def test_the_shipped_program_trains_again_to_the_same_score(recorded, tmp_path, small_data):
    done = build(recorded, tmp_path / "submission")
    command = [sys.executable, "-I", PROGRAM, "--data", str(small_data), "--output", "again"]
    subprocess.run(command, cwd=done.folder, check=True, capture_output=True)
    log = (done.folder / "again" / "train_seed42.log").read_text()
    assert f"val_bpb:{done.recorded_bpb:.8f}" in log.splitlines()[-1]
