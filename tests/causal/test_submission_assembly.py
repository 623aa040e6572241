"""A submission from real tiny runs: refereed, and refused when anything in it does not hold."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.causal import submission_assembly
from scripts.causal.campaign.chosen import choose_runs
from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.schema import RawRuns
from scripts.causal.campaign.submitted import submitted
from scripts.causal.experiment_runner import main as run_experiment
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file
from scripts.causal.referee.check import RefereeError
from scripts.causal.submission.verdicts import passed
from scripts.causal.submission_assembly import assemble, main

MODEL = "model.int8.zlib"
TREATMENT = "activation=gelu,ttt=score_first,ttt_chunk_tokens=256"


@pytest.fixture(scope="module")
def recorded(small_data, tmp_path_factory) -> Path:
    """A folder with raw_runs.json and the ledger of a treatment on two seeds.

    It is GELU, and learns at test time, piece after scored piece.
    """
    folder = tmp_path_factory.mktemp("recorded")
    run_experiment(
        treatment=TREATMENT,
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


@pytest.fixture(scope="module")
def assembled(recorded, tmp_path_factory):
    """The whole way: packed, refereed, run."""
    return build(recorded, tmp_path_factory.mktemp("assembled") / "submission", minify=True)


@pytest.fixture
def unreferred(monkeypatch):
    """Leave out what takes a dozen seconds: running the program, tested beside this."""
    real = submission_assembly.check_folder
    monkeypatch.setattr(
        submission_assembly,
        "check_folder",
        lambda folder, trial, ledger: real(folder, ledger=ledger),
    )
    monkeypatch.setattr(submission_assembly, "require", lambda report: None)


def build(recorded: Path, output: Path, **options):
    raw = parse_file(RawRuns, recorded / "raw_runs.json")
    ledger = open_ledger(recorded / "ledger.sqlite")
    try:
        return assemble(
            choose_runs([raw], [], contrast=TREATMENT),
            [],
            ledger,
            name='Tiny "GELU"',
            author="Somebody",
            github_id="somebody",
            output=output,
            **options,
        )
    finally:
        ledger.close()


def test_the_folder_holds_what_the_ledger_has_and_keeps_every_rule(recorded, assembled):
    raw = parse_file(RawRuns, recorded / "raw_runs.json")
    runs = {pair.seed: pair.treatment for pair in raw.runs[0].pairs}
    folder = assembled.folder
    assert {one.outcome for one in assembled.report.verdicts} == {"pass"}, assembled.report
    stated = json.loads((folder / "submission.json").read_text())
    assert stated["seed_results"]["42"]["val_bpb"] == runs[42].metrics["val_bpb"]
    assert stated["bytes_code"] == (folder / "train_gpt.py").stat().st_size
    assert stated["bytes_model"] == (folder / MODEL).stat().st_size
    assert stated["configuration"]["activation"] == "gelu"
    assert stated["same_code"] is True
    assert [step["name"] for step in stated["lineage"]] == [
        "the baseline at scale tiny",
        "the campaign's control",
        TREATMENT,
    ]
    log = (folder / "train_seed1337.log").read_text()
    assert log.startswith('"""Tiny \'GELU\': model, training and evaluation in one file."""\n')
    assert "\nmachine: " in log and "\ntorch: " in log
    assert f"val_bpb:{runs[1337].metrics['val_bpb']:.8f}" in log.splitlines()[-1]
    required = (folder / "requirements.txt").read_text()
    assert re.findall(r"^(\w+)==\d", required, re.M) == ["numpy", "sentencepiece", "torch"]


def test_the_packed_loader_is_what_ships_and_is_counted(recorded, assembled):
    shipped = assembled.folder / "train_gpt.py"
    source, _, _ = (assembled.folder / "train_seed42.log").read_text().partition("=" * 99)
    assert assembled.facts.bytes_code == shipped.stat().st_size < len(source) / 4
    assert len(shipped.read_text().splitlines()) == 3


@pytest.mark.usefixtures("unreferred")
def test_unpacked_the_program_is_readable_and_begins_the_logs(recorded, tmp_path):
    done = build(recorded, tmp_path / "submission")
    program = (done.folder / "train_gpt.py").read_text()
    assert "# " in program and "class GPT" in program
    assert (done.folder / "train_seed42.log").read_text().startswith(program.rstrip("\n"))
    outcomes = {one.rule: one.outcome for one in done.report.verdicts}
    assert "fail" not in outcomes.values()
    assert outcomes["logs begin with the source"] == "pass"


def test_a_model_that_is_not_the_recorded_one_is_refused(recorded, tmp_path, monkeypatch):
    def with_another_model(chosen, ledger, title):
        runs = submitted(chosen, ledger, title=title)
        return replace(runs, artifact=ledger.folder(runs.rows[1337].parent) / MODEL)

    monkeypatch.setattr(submission_assembly, "submitted", with_another_model)
    for probe in ("is_causal", "trains_without_validation"):  # each takes seconds, and is tested
        monkeypatch.setattr(f"scripts.causal.referee.probes.{probe}", lambda *_: passed("", ""))
    with pytest.raises(RefereeError, match=r"reproduces its score: 0\.\d{8} bpb measured"):
        build(recorded, tmp_path / "submission")
    assert not list(tmp_path.iterdir())


def test_over_the_cap_nothing_is_left_behind(recorded, tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.causal.submission.byte_rules.CAP_BYTES", 1000)
    monkeypatch.setattr(
        submission_assembly, "Trial", lambda data: None
    )  # what lies on disk is enough
    with pytest.raises(RefereeError, match="bytes under the cap"):
        build(recorded, tmp_path / "submission")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("unreferred")
def test_an_older_submission_of_the_name_is_replaced_whole(recorded, tmp_path):
    older = tmp_path / "submission"
    older.mkdir()
    (older / "left_over.txt").write_text("old")
    build(recorded, older)
    assert not (older / "left_over.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["submission"]


@pytest.mark.usefixtures("unreferred")
def test_code_that_has_changed_since_the_runs_is_said_to_have(recorded, tmp_path, monkeypatch):
    monkeypatch.setattr("trainers.gpt.trainer.code_version", lambda modules, packages: "other")
    done = build(recorded, tmp_path / "submission")
    assert done.facts.same_code is False
    assert "have changed since the runs" in (done.folder / "README.md").read_text()
    log = (done.folder / "train_seed42.log").read_text()
    assert "\ncode: changed since this run" in log
    assert "\ntorch: " not in log  # the version that is installed now is not the run's


def test_the_command_names_what_is_missing(recorded, tmp_path):
    where = {"name": "x", "output": tmp_path / "out", "author": "a"}
    results = recorded / "raw_runs.json"
    with pytest.raises(InputError, match="the ledger has no run"):
        main(**where, results=results, ledger=str(tmp_path / "empty.sqlite"))
    with pytest.raises(InputError, match="needs --name, --results"):
        main(**where)
    with pytest.raises(InputError, match="--run needs the data"):
        main(check=tmp_path, run=True)


def test_a_scripts_runs_are_sent_to_the_check(recorded, monkeypatch):
    class Script:
        def source_modules(self, backend):
            return ()

    monkeypatch.setattr("scripts.causal.campaign.submitted.load_trainer", lambda name: Script())
    raw = parse_file(RawRuns, recorded / "raw_runs.json")
    ledger = open_ledger(recorded / "ledger.sqlite")
    with pytest.raises(InputError, match="--check"):
        submitted(choose_runs([raw], [], contrast=TREATMENT), ledger, title="t")
    ledger.close()


def test_check_prints_a_verdict_per_rule(assembled, capsys):
    main(check=assembled.folder, json=True)
    (report,) = json.loads(capsys.readouterr().out)["reports"]
    assert {one["rule"]: one["outcome"] for one in report["verdicts"]}["files as listed"] == "pass"
    main(check=assembled.folder.parent, quiet=True)
    assert "what is missing" in capsys.readouterr().out


def test_the_shipped_program_trains_again_to_the_same_score(assembled, tmp_path, small_data):
    folder = Path(shutil.copytree(assembled.folder, tmp_path / "copy"))
    command = [
        sys.executable,
        "-I",
        "train_gpt.py",
        "--data",
        str(small_data),
        "--output",
        "again",
    ]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    log = (folder / "again" / "train_seed42.log").read_text()
    score = assembled.facts.seed_results[42].val_bpb
    assert f"val_bpb:{score:.8f}" in log.splitlines()[-1]
    assert (folder / "again" / MODEL).read_bytes() == (folder / MODEL).read_bytes()
