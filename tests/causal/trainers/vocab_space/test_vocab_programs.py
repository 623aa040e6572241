"""The family's programs on a small data set: run, table, reading."""

import json
import subprocess
import sys

import pytest

from scripts.causal.campaign.ledger import open_ledger
from trainers.vocab_space.registers import Active, Reading, as_page, as_text
from trainers.vocab_space.train import ended, reading_of, run, spec_of
from trainers.vocab_space.trainer import VocabSpaceTrainer


@pytest.fixture
def trained(words_data, tmp_path):
    trainer, ledger = VocabSpaceTrainer(), open_ledger(tmp_path / "ledger.sqlite")
    fields = {"vocab_size": 320}
    spec = spec_of(trainer, "tiny", fields, 7, str(words_data), "torch-cpu-float32")
    yield trainer, spec, ledger
    ledger.close()


def test_a_run_is_computed_once_and_says_how_it_ended(trained):
    trainer, spec, ledger = trained
    first = run(trainer, spec, ledger, "", quiet=True)
    assert first.failure is None
    assert ended(first) in ("descending", "plateaued", "unstable", "memorized")
    assert first.metrics["parameters"] == trainer.parameters(spec.config)
    assert run(VocabSpaceTrainer(), spec, ledger, "", quiet=True) == first


def test_registers_start_as_the_words_that_were_read(trained):
    trainer, spec, ledger = trained
    run(trainer, spec, ledger, "", quiet=True)
    reading = reading_of(trainer, spec, ledger, "the quick brown", top=3)
    assert len(reading.steps) == 3
    assert [step[0].piece for step in reading.steps[0]] == list(reading.pieces)
    assert all(len(words) == 3 for step in reading.steps for words in step)


def test_a_page_escapes_what_was_read():
    word = Active("<script>", 0.5)
    page = as_page(Reading(("<b>",), (((word,),),)), "<i>")
    assert "<script>" not in page
    assert "<b>" not in page
    assert "<i>" not in page
    assert "'<script>' 0.500" in as_text(Reading(("<b>",), (((word,),),)))


def test_the_benchmark_leaves_table_and_plot(words_data, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "trainers.vocab_space.benchmark", "--scale", "tiny"),
            *("--versions", "v8_graph,v2_conv", "--data", str(words_data), "--json", "--quiet"),
            *("--output", str(tmp_path / "out"), "--ledger", str(tmp_path / "ledger.sqlite")),
            *("--workers", "0"),
        ],
        capture_output=True,
        text=True,
        env={"VOCAB_SIZE": "320", "PATH": "", "OMP_NUM_THREADS": "1"},
        check=True,
    )
    rows = json.loads(done.stdout.splitlines()[-1])
    assert {row["version"] for row in rows} == {"v8_graph", "v2_conv"}
    assert rows == json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert (tmp_path / "out" / "benchmark.png").stat().st_size > 1000


def test_an_unknown_version_is_refused(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "trainers.vocab_space.benchmark", "--versions", "v99"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no version 'v99'" in done.stderr
