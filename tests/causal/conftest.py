"""Small real inputs that several rooms test on."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from trainers.shards import write_shard

VOCAB_SIZE = 300


@pytest.fixture(scope="session")
def small_data(tmp_path_factory) -> Path:
    """A folder of shards with a tokenizer of 300 pieces: 400 short lines, 50 of them held out."""
    return write_data(tmp_path_factory.mktemp("small_data"), VOCAB_SIZE)


@pytest.fixture(scope="session")
def words_data(tmp_path_factory) -> Path:
    """The same lines in 320 pieces, a number that splits into bands and columns."""
    return write_data(tmp_path_factory.mktemp("words_data"), 320)


def write_data(folder: Path, vocab_size: int) -> Path:
    lines = [f"Line {i}: the quick brown fox, {i * 37 % 101} times." for i in range(400)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=vocab_size,
        model_type="bpe",
        byte_fallback=True,
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        num_threads=1,
        minloglevel=2,
    )
    (folder / "small.model").write_bytes(model.getvalue())
    tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    tokens = [[tokenizer.bos_id(), *tokenizer.encode(line)] for line in lines]
    write_shard(folder / "fineweb_train_000000.bin", np.concatenate(tokens[:350]))
    write_shard(folder / "fineweb_val_000000.bin", np.concatenate(tokens[350:]))
    return folder


@pytest.fixture
def small_records(tmp_path) -> Path:
    """A folder of six submissions that differ in layers, activation and score."""
    return write_records(tmp_path / "records")


@pytest.fixture(scope="session")
def shared_records(tmp_path_factory) -> Path:
    """The same folder, for those who only read it."""
    return write_records(tmp_path_factory.mktemp("shared") / "records")


def write_records(records: Path) -> Path:
    for number in range(6):
        folder = records / "track_10min_16mb" / f"2026-03-{number + 17}_Try{number}"
        folder.mkdir(parents=True)
        layers, bpb = 9 + number % 3, 1.22 - 0.004 * number
        activation = "LeakyReLU(0.5)²" if number % 2 else "relu²"
        (folder / "README.md").write_text(
            f"# Try {number}\n\nval_bpb: {bpb:.4f}\n\n- {layers} layers, 512 dim\n"
            f"- {activation} MLP\n\n| Change | Delta |\n|---|---|\n| LeakyReLU(0.5)² | -0.0021 |\n"
        )
        described = {"author": f"a{number}", "val_bpb": bpb, "date": f"2026-03-{number + 17}"}
        (folder / "submission.json").write_text(json.dumps(described))
    return records
