"""The family's programs on a small data set: run, table, reading."""

import json
import subprocess
import sys

import numpy as np
import pytest

from scripts.causal.campaign.ledger import open_ledger
from trainers.data import open_dataset
from trainers.evaluation import target_count
from trainers.vocab_space.config import vocab_config
from trainers.vocab_space.registers import Active, Reading, as_page, as_text
from trainers.vocab_space.status import largest_rise, late_loss
from trainers.vocab_space.train import ended, reading_of, run, spec_of
from trainers.vocab_space.trainer import VocabSpaceTrainer, batches_of, validation_of


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


def test_what_claims_are_judged_by_follows_from_the_curves_by_the_rules(trained):
    trainer, spec, ledger = trained
    arm = run(trainer, spec, ledger, "", quiet=True)
    stored, before = arm.metrics["val_loss"], arm.metrics["pre_quant_bpb"]
    bits = arm.metrics["val_bpb"] / stored  # the same text, so the same bits of a nat per token
    losses = arm.curves["train_loss"]
    assert arm.metrics["generalization_gap"] == pytest.approx(before - bits * late_loss(losses))
    assert arm.metrics["loss_spike"] == pytest.approx(bits * largest_rise(losses))


def test_little_text_comes_again_and_again_and_the_final_scores_are_of_so_much(words_data):
    data = open_dataset(words_data)
    few = small(train_data_tokens=33, final_tokens=48)
    seen = np.concatenate([batches_of(few, data, 1).batch(step).ravel() for step in range(4)])
    assert set(seen.tolist()) <= set(data.train_tokens()[0][:33].tolist())
    assert target_count(validation_of(few, data)) == 48
    assert target_count(validation_of(few, data, 16)) == 16
    assert target_count(validation_of(small(), data)) > 500


def small(**fields):
    config = VocabSpaceTrainer().resolve("tiny", {"vocab_size": 320, **fields})
    return vocab_config(config)


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
