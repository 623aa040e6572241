"""The whole campaign on small real input: what it leaves, what it repeats, what it refuses."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.schema import AblationResults
from scripts.causal.cli import run_command
from scripts.causal.forms import parse_file
from scripts.causal.graph.schema import CausalDag
from scripts.causal.run_pipeline import main

PROGRAM = Path(__file__).parents[2] / "scripts" / "causal" / "run_pipeline.py"
TABLES = ("ablation_results.json", "causal_dag.json", "identifiability_report.json")


def command(records: Path, data: Path, output: Path, *more: str) -> list[str]:
    options = {
        "--input": records,
        "--data": data,
        "--output": output,
        "--scale": "tiny",
        "--max-cycles": 2,
        "--max-per-cycle": 1,
        "--seeds": "42,1337",
        "--platform": "cpu",
        "--name": "trial",
    }
    words = [str(word) for pair in options.items() for word in pair]
    return [sys.executable, str(PROGRAM), *words, "--quiet", *more]


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def refused(monkeypatch, capsys):
    """Return a function that runs the command in this process and gives its one error line."""

    def call(*arguments) -> str:
        monkeypatch.setattr(sys, "argv", command(*arguments)[1:])
        with pytest.raises(SystemExit) as ended:
            run_command(main)
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    return call


def finished(output: Path) -> dict[str, float | None]:
    ledger = open_ledger(output / "ledger.sqlite")
    rows = {row.key: row.finished for row in ledger.rows()}
    ledger.close()
    return rows


def done(output: Path) -> int:
    """How many stages are finished."""
    if not (output / "ledger.sqlite").exists():
        return 0
    return sum(moment is not None for moment in finished(output).values())


def tables(output: Path) -> list[str]:
    return [(output / "trial" / name).read_text() for name in TABLES]


def test_a_campaign_leaves_everything_and_a_second_one_trains_nothing(
    small_records, small_data, tmp_path
):
    first = run(small_records, small_data, tmp_path / "out", "--workers", "0")
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "out" / "trial"
    results = parse_file(AblationResults, folder / "ablation_results.json")
    assert {result.cycle for result in results.results} == {1, 2}
    assert results.alpha_spent + results.alpha_left == pytest.approx(0.05)
    dag = parse_file(CausalDag, folder / "causal_dag.json")
    assert {"bpb", "activation"} <= {node.id for node in dag.nodes}
    for name in ("plan.json", "interventions.json", "dag_diff.json", "causal_dag.svg"):
        assert (folder / name).stat().st_size
    assert "<html" in (folder / "report.html").read_text()
    stated = json.loads((folder / "submission" / "trial" / "submission.json").read_text())
    assert 0 < stated["bytes_total"] <= 16_000_000
    seeds = stated["seed_results"]
    assert stated["val_bpb"] == pytest.approx(
        sum(score["val_bpb"] for score in seeds.values()) / len(seeds)
    )

    before, rows = tables(tmp_path / "out"), finished(tmp_path / "out")
    again = run(small_records, small_data, tmp_path / "out", "--workers", "0")
    assert again.returncode == 0, again.stderr
    assert finished(tmp_path / "out") == rows
    assert tables(tmp_path / "out") == before

    other = run(small_records, small_data, tmp_path / "out", "--alpha", "0.01")
    assert other.returncode == 2
    assert "another campaign has this name" in other.stderr


@pytest.fixture(scope="module")
def calm(shared_records, small_data, tmp_path_factory) -> Path:
    """Output of a campaign that nothing disturbed."""
    output = tmp_path_factory.mktemp("calm")
    undisturbed = run(shared_records, small_data, output, "--workers", "0")
    assert undisturbed.returncode == 0, undisturbed.stderr
    return output


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_or_out_of_time_it_goes_on_to_the_same_tables(
    shared_records, small_data, tmp_path, calm, kills
):
    moments, stages = random.Random(kills), len(finished(calm))
    for number in range(kills):
        victim = subprocess.Popen(
            command(shared_records, small_data, tmp_path / "shot", "--workers", "1"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        goal, give_up = stages * (number + 1) // (kills + 1), time.monotonic() + 60
        while victim.poll() is None and done(tmp_path / "shot") < goal:
            assert time.monotonic() < give_up
            time.sleep(0.02)
        time.sleep(moments.uniform(0.0, 3.0))
        if number % 2:  # with its workers at the same moment, as by a cut of power
            os.killpg(victim.pid, signal.SIGKILL)
        victim.kill()
        victim.wait()
    assert_out_of_time_is_no_end(shared_records, small_data, tmp_path / "shot")
    last = run(shared_records, small_data, tmp_path / "shot", "--workers", "1")
    assert last.returncode == 0, last.stderr
    assert tables(tmp_path / "shot") == tables(calm)
    assert set(finished(tmp_path / "shot")) == set(finished(calm))
    assert None not in finished(tmp_path / "shot").values()


def assert_out_of_time_is_no_end(records: Path, data: Path, output: Path) -> None:
    folder = output / "trial"
    if (folder / "ablation_results.json").exists():
        return  # the last kill came when everything was done
    short = run(records, data, output, "--workers", "0", "--minutes", "0.02")
    assert (short.returncode, short.stderr) == (0, "")
    assert not (folder / "ablation_results.json").exists()
    ledger = open_ledger(output / "ledger.sqlite")
    held = [row.key for row in ledger.rows() if row.status == "claimed"]
    ledger.close()
    assert len(held) <= 1  # what was killed; nothing was begun


@pytest.mark.slow
def test_a_campaign_may_be_matched_by_wall_time(small_records, small_data, tmp_path):
    more = ("--workers", "0", "--matched-by", "wall_time", "--screen-iterations", "60")
    first = run(small_records, small_data, tmp_path, *more)
    assert first.returncode == 0, first.stderr
    results = parse_file(AblationResults, tmp_path / "trial" / "ablation_results.json")
    for result in results.results:
        contrast = result.contrast
        assert contrast.matched_by == "wall_time"
        assert contrast.control["iterations"] == 60
        if contrast.stage == "train":
            ours, theirs = contrast.step_seconds
            assert contrast.treatment["iterations"] == pytest.approx(60 * ours / theirs, rel=0.15)
    before = tables(tmp_path)
    assert run(small_records, small_data, tmp_path, *more).returncode == 0
    assert tables(tmp_path) == before
    report = (tmp_path / "trial" / "report.html").read_text()
    assert "wall time, measured on warm runs of both" in report


def test_a_dry_run_prints_the_plan_and_writes_nothing(small_records, small_data, tmp_path):
    done = run(small_records, small_data, tmp_path / "out", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "nothing was trained" in done.stdout
    assert "TFLOP" in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--seeds", "42"), "--seeds: one seed (42) cannot tell"),
        (("--seeds", "1,9"), "both a screening and a confirmation seed"),
        (("--seeds", "a,b"), "must be whole numbers"),
        (("--input", "nowhere"), "nowhere: no such folder"),
        (("--platform", "abacus"), "no backend 'abacus'"),
        (("--scale", "huge"), "no scale 'huge'"),
        (("--alpha", "2"), "--alpha: "),
        (("--screen-layers", "0"), "must be at least 1"),
        (("--resume-from", "nowhere"), "no campaign here"),
    ],
)
def test_bad_options_end_with_one_line_and_nothing_written(
    small_records, small_data, tmp_path, monkeypatch, refused, more, message
):
    monkeypatch.chdir(tmp_path)
    assert message in refused(small_records, small_data, tmp_path / "out", *more)
    assert not (tmp_path / "out").exists()


def test_a_malformed_submission_is_named(small_records, small_data, tmp_path, refused):
    broken = next(small_records.glob("*/*/submission.json"))
    broken.write_text("{")
    assert str(broken) in refused(small_records, small_data, tmp_path / "out")


def test_an_unknown_variable_in_the_catalog_is_named(
    small_records, small_data, tmp_path, monkeypatch, refused
):
    broken = tmp_path / "catalog" / "mine.toml"
    broken.parent.mkdir()
    broken.write_text(
        '[[intervention]]\nid = "x"\nvariable = "colour"\nlabel = "X"\nstage = "train"\n'
        "set = { colour = 1 }\n"
    )
    monkeypatch.setattr("interventions.catalog.CATALOG_DIR", broken.parent)
    error = refused(small_records, small_data, tmp_path / "out")
    assert str(broken) in error
    assert "unknown variable 'colour'" in error
    assert not (tmp_path / "out").exists()


def test_a_truncated_shard_is_named(small_records, small_data, tmp_path, refused):
    shards = tmp_path / "data"
    shards.mkdir()
    for path in small_data.iterdir():
        (shards / path.name).write_bytes(path.read_bytes())
    shard = shards / "fineweb_train_000000.bin"
    shard.write_bytes(shard.read_bytes()[:-7])
    assert shard.name in refused(small_records, shards, tmp_path / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_results_folder_is_named(small_records, small_data, tmp_path, refused):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert "locked" in refused(small_records, small_data, locked / "out")


def test_results_that_are_a_file_are_named(small_records, small_data, tmp_path, refused):
    (tmp_path / "out").write_text("")
    assert str(tmp_path / "out") in refused(small_records, small_data, tmp_path / "out")
