"""Scores are the model's own losses of training windows, and a run trains in their order."""

import shutil

import numpy as np
import pytest
from scipy.stats import spearmanr

from scripts.causal import score_and_reorder as stage
from scripts.causal.diagnostics.subject import find_run
from scripts.causal.forms import parse_file
from trainers.data import open_dataset
from trainers.difficulty import read_difficulty
from trainers.gpt.trainer import GptTrainer
from trainers.shards import read_shard, write_shard


@pytest.fixture
def own_data(small_data, tmp_path):
    """A copy of the data, since scores are put beside the shards."""
    return shutil.copytree(small_data, tmp_path / "data")


def test_windows_are_scored_as_batches_cut_them(recorded, own_data):
    subject = find_run(recorded[1], recorded[0]).on(None, own_data)
    report = stage.score_and_reorder(subject)
    bench, _ = subject.open()
    scores = read_difficulty(bench.data, report.seq_len, report.treatment["curriculum_scores"])
    assert len(scores) == report.windows == bench.batches.windows
    (tokens,) = bench.data.train_tokens()
    window = tokens[7 * 32 : 8 * 32 + 1].astype(np.int64)[None]
    assert scores[7] == pytest.approx(bench.engine.losses(window).mean(), abs=1e-6)
    assert list(report.tenths) == sorted(report.tenths)
    assert report.tenths[0] < report.rarity_tenths[0]


def test_validation_text_plays_no_part(recorded, own_data, tmp_path):
    other = shutil.copytree(own_data, tmp_path / "other")
    (val,) = open_dataset(own_data).val
    tokens = read_shard(val)
    half = int(np.flatnonzero(tokens == 1)[10])  # where a document opens
    write_shard(other / val.name, tokens[half:])
    found = []
    for folder in (own_data, other):
        subject = find_run(recorded[1], recorded[0]).on(None, folder)
        report = stage.score_and_reorder(subject)
        bench, _ = subject.open()
        name = report.treatment["curriculum_scores"]
        found.append((bench.data.fingerprint, read_difficulty(bench.data, report.seq_len, name)))
    assert found[0][0] != found[1][0]
    assert np.array_equal(found[0][1], found[1][1])


def test_the_command_leaves_a_treatment_that_trains(recorded, own_data, tmp_path, capsys):
    output = tmp_path / "scores.json"
    stage.main(output=output, run=recorded[1], ledger=recorded[0], data=own_data)
    report = parse_file(stage.Scores, output)
    name = report.treatment["curriculum_scores"]
    assert f"--treatment curriculum=true,curriculum_scores={name}" in capsys.readouterr().out
    assert "easiest first" in (tmp_path / "scores.svg").read_text()
    subject = find_run(recorded[1], recorded[0]).on(None, own_data)
    gpt = GptTrainer()
    config = gpt.resolve("tiny", {"vocab_size": 300, "iterations": 8, **report.treatment})
    spec = type(subject.spec)("gpt", "torch-cpu-float32", "tiny", config, 3, str(own_data))
    model, ordered = subject.open()[0].engine, gpt.workbench(spec).batches
    seen = np.concatenate([model.losses(ordered.batch(step)).mean(axis=1) for step in range(8)])
    assert spearmanr(seen, np.arange(len(seen))).statistic > 0.95
