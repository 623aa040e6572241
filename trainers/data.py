"""Data sets: folders of token shards with the SentencePiece model that made them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.causal.files import InputError
from trainers.shards import read_shard
from trainers.token_bytes import check_bytes, load_tokenizer, token_bytes

TRAIN_SHARDS = "fineweb_train_*.bin"
VAL_SHARDS = "fineweb_val_*.bin"

HASHED_WHOLE_BYTES = 64 * 1024 * 1024  # larger shards are fingerprinted by sampled blocks
CHECKED_TOKENS = 2**18  # of validation, for the byte gate: 0.1 s, and a wrong rule fails in 100


@dataclass(frozen=True)
class DataSet:
    """A tokenized data set on disk.

    Attributes:
        folder: where the shards lie.
        train, val: shards in order.
        tokenizer: the SentencePiece model.
        vocab_size: number of pieces.
        fingerprint: SHA-256 of the tokenizer and of the shards' names and contents (of sampled
            blocks of shards above 64 MiB).
    """

    folder: Path
    train: tuple[Path, ...]
    val: tuple[Path, ...]
    tokenizer: Path
    vocab_size: int
    fingerprint: str

    def train_tokens(self) -> list[NDArray[np.uint16]]:
        """The training shards, mapped; tokens are checked as batches are drawn."""
        return [read_shard(path) for path in self.train]

    def val_tokens(self) -> NDArray[np.uint16]:
        """All validation tokens in order, shape (tokens,).

        Raises:
            InputError: a shard is damaged or holds a token outside the vocabulary.
        """
        shards = [read_shard(path, self.vocab_size) for path in self.val]
        return shards[0] if len(shards) == 1 else np.concatenate(shards)


def open_dataset(
    folder: Path, tokenizer: Path | None = None, *, validation: bool = True
) -> DataSet:
    """Open a folder of shards and pass it through the byte gate.

    Args:
        folder: holds fineweb_train_*.bin and fineweb_val_*.bin.
        tokenizer: SentencePiece model. Left out, it is the one ``*.model`` in the folder, or in
            the competition's layout the one of ``../../tokenizers`` whose name fits the folder's
            (fineweb10B_sp1024 goes with fineweb_1024_bpe.model).
        validation: False to train without it: no validation shard is looked for or opened, and
            there are no bytes to count.

    Raises:
        InputError: shards or tokenizer missing or damaged, or the byte gate fails.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("no such folder", where=folder)
    train = tuple(sorted(folder.glob(TRAIN_SHARDS)))
    val = tuple(sorted(folder.glob(VAL_SHARDS))) if validation else ()
    for name, found in ((TRAIN_SHARDS, train), (VAL_SHARDS, val)):
        if not found and (validation or name == TRAIN_SHARDS):
            raise InputError(f"holds no {name}", where=folder, mend="give a prepared data folder")
    model = Path(tokenizer) if tokenizer is not None else _find_tokenizer(folder)
    vocab_size = int(load_tokenizer(model).vocab_size())
    for path in train:
        read_shard(path)
    fingerprint = hashlib.sha256(model.read_bytes())
    for path in (*train, *val):
        fingerprint.update(path.name.encode("utf-8"))
        _hash_shard(path, fingerprint)
    dataset = DataSet(folder, train, val, model, vocab_size, fingerprint.hexdigest())
    if validation:
        check_bytes(_whole_words(dataset.val_tokens(), model), model)
    return dataset


def _find_tokenizer(folder: Path) -> Path:
    places = (folder, folder.parent.parent / "tokenizers")
    for place in places:
        found = sorted(place.glob("*.model"))
        if len(found) > 1:
            size = folder.name.rpartition("_sp")[2]
            found = [path for path in found if path.name == f"fineweb_{size}_bpe.model"]
        if len(found) == 1:
            return found[0]
    raise InputError(
        f"no single tokenizer (*.model) in {places[0]} or {places[1]}",
        where=folder,
        mend="name the tokenizer",
    )


def _hash_shard(path: Path, total: hashlib._Hash) -> None:
    size = path.stat().st_size
    total.update(size.to_bytes(8, "big"))
    with path.open("rb") as file:
        if size <= HASHED_WHOLE_BYTES:
            while block := file.read(2**20):
                total.update(block)
        else:
            for part in range(64):
                file.seek(part * (size - 2**14) // 63)
                total.update(file.read(2**14))


def _whole_words(tokens: NDArray[np.uint16], tokenizer_path: Path) -> NDArray[np.uint16]:
    """The first CHECKED_TOKENS tokens, cut where no character can be cut in two."""
    if len(tokens) <= CHECKED_TOKENS:
        return tokens
    table = token_bytes(tokenizer_path)
    sample = tokens[:CHECKED_TOKENS]
    cuts = np.flatnonzero(table.boundary[sample] | table.leading_space[sample])
    return sample[: int(cuts[-1])] if cuts.size else sample
