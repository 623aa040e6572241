"""Difficulty scores are bound to their data and windows, and order what a run trains on."""

import shutil

import numpy as np
import pytest

from scripts.causal.files import InputError
from trainers.batches import Batches
from trainers.data import open_dataset
from trainers.difficulty import read_difficulty, write_difficulty
from trainers.gpt.config import gpt_config
from trainers.gpt.run import batches_of

TIME = 32


@pytest.fixture
def data(small_data, tmp_path):
    return open_dataset(shutil.copytree(small_data, tmp_path / "data"))


@pytest.fixture
def scores(data):
    windows = sum((len(shard) - 1) // TIME for shard in data.train_tokens())
    return np.random.default_rng(0).random(windows).astype(np.float32)


def test_what_is_written_is_read(data, scores):
    name = write_difficulty(data, TIME, scores)
    assert np.array_equal(read_difficulty(data, TIME, name), scores)
    assert write_difficulty(data, TIME, scores) == name
    assert write_difficulty(data, TIME, scores + 1) != name
    assert open_dataset(data.folder).fingerprint == data.fingerprint


def test_scores_of_something_else_are_refused(data, scores, tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_difficulty(data, TIME, "0" * 32)
    name = write_difficulty(data, TIME, scores)
    path = data.folder / f"difficulty_{name}.f32"
    with pytest.raises(InputError, match="windows of 16 need"):
        read_difficulty(data, 16, name)
    raw = path.read_bytes()
    path.write_bytes(raw[:-4])
    with pytest.raises(InputError, match="windows of 32 need"):
        read_difficulty(data, TIME, name)
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(InputError, match="damaged, or the scores of other data"):
        read_difficulty(data, TIME, name)


@pytest.mark.parametrize("repeated", [0, 60 * TIME])
def test_a_run_follows_the_scores(data, scores, repeated):
    name = write_difficulty(data, TIME, scores)
    fields = {
        "vocab_size": 300,
        "train_seq_len": TIME,
        "train_batch_tokens": 4 * TIME,
        "iterations": 10,
        "val_points": 1,
    }
    fields["train_data_tokens"] = repeated
    config = gpt_config({**fields, "curriculum": True, "curriculum_scores": name})
    ordered, plain = batches_of(config, data, 5), batches_of(gpt_config(fields), data, 5)
    (tokens,) = data.train_tokens()
    score_of = {
        tuple(tokens[place * TIME : (place + 1) * TIME + 1].tolist()): score
        for place, score in enumerate(scores.tolist())
    }

    def seen(batches: Batches) -> list[float]:
        return [score_of[tuple(row)] for step in range(10) for row in batches.batch(step).tolist()]

    assert sorted(seen(ordered)) == sorted(seen(plain))
    tenths = np.array(seen(ordered)).reshape(10, 4)
    assert (tenths[:-1].max(axis=1) < tenths[1:].min(axis=1)).all()


def test_a_configuration_names_scores_of_a_curriculum():
    for fields in (
        {"curriculum_scores": "0" * 32},
        {"curriculum": True, "curriculum_scores": "../../etc/passwd"},
        {"curriculum": True, "curriculum_scores": "0" * 31},
    ):
        with pytest.raises(InputError, match="curriculum_scores"):
            gpt_config(fields)
