"""Tokens on disk, batches from them, and the exact bytes behind every token.

Shards are the competition's: 256 little-endian int32 (magic, version, token count, zeros), then
one uint16 per token. A data set is a folder of shards with the SentencePiece model that made
them, so the embedded corpus and a FineWeb download are read by the same lines.

Bits per byte needs the UTF-8 length of every target token. Miscounting it is how leaderboard
scores went wrong (byte-fallback tokens taken for three bytes, leading spaces counted twice), so a
data set is opened only if its counts add up to the length of the decoded text.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sentencepiece
from numpy.typing import ArrayLike, NDArray

from scripts.causal.files import InputError, atomic_path
from trainers.seeds import stream

SHARD_MAGIC = 20240520
SHARD_VERSION = 1
SHARD_HEADER_BYTES = 1024
TRAIN_SHARDS = "fineweb_train_*.bin"
VAL_SHARDS = "fineweb_val_*.bin"
MAX_TOKENIZER_BYTES = 64 * 1024 * 1024

HASHED_WHOLE_BYTES = 64 * 1024 * 1024  # larger shards are fingerprinted by sampled blocks
CHECKED_TOKENS = 2**18  # of validation, for the byte gate: 0.1 s, and a wrong rule fails in 100


# --------------------------------------------------------------------------------------------
# Shards


def write_shard(path: Path, tokens: ArrayLike) -> None:
    """Write tokens as one shard, atomically.

    Raises:
        InputError: a token does not fit in 16 bits, or the folder cannot be written.
    """
    values = np.asarray(tokens)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise InputError("a shard takes one row of whole numbers", where=path)
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= 0xFFFF:
        raise InputError("a token is outside 0..65535", where=path)
    header = np.zeros(SHARD_HEADER_BYTES // 4, dtype="<i4")
    header[:3] = SHARD_MAGIC, SHARD_VERSION, values.size
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(header.tobytes())
        file.write(values.astype("<u2").tobytes())


def read_shard(path: Path, vocab_size: int | None = None) -> NDArray[np.uint16]:
    """Return a shard's tokens, shape (tokens,), mapped from disk and not read until used.

    Args:
        path: the shard.
        vocab_size: where given, every token is read once and must be below it.

    Raises:
        InputError: missing, not a shard, of another version, truncated or with bytes left over,
            or a token outside the vocabulary.
    """
    again = "fetch or prepare this shard again"
    try:
        with path.open("rb") as file:
            head = file.read(SHARD_HEADER_BYTES)
            size = path.stat().st_size
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    if len(head) < SHARD_HEADER_BYTES:
        raise InputError(f"only {len(head)} bytes, a shard's header has 1,024", where=path)
    magic, version, count = np.frombuffer(head, dtype="<i4")[:3].tolist()
    if magic != SHARD_MAGIC:
        raise InputError(f"not a token shard: magic {magic}, not {SHARD_MAGIC}", where=path)
    if version != SHARD_VERSION:
        raise InputError(f"shard version {version}; only {SHARD_VERSION} is known", where=path)
    expected = SHARD_HEADER_BYTES + 2 * count
    if count < 0 or size != expected:
        state = "truncated" if 0 <= size < expected else "of another length than it says"
        what = f"{state}: {count:,} tokens need {expected:,} bytes, the file has {size:,}"
        raise InputError(what, where=path, mend=again)
    if count == 0:
        return np.zeros(0, dtype=np.uint16)
    tokens = np.memmap(path, dtype="<u2", mode="r", offset=SHARD_HEADER_BYTES, shape=(count,))
    if vocab_size is not None:
        _require_in_vocabulary(tokens, vocab_size, path)
    return tokens


def _require_in_vocabulary(tokens: NDArray[np.uint16], vocab_size: int, where: Path) -> None:
    step = 2**24  # bounds memory: the comparison of a whole shard would double it
    for start in range(0, len(tokens), step):
        part = tokens[start : start + step]
        if int(part.max()) >= vocab_size:
            at = start + int(np.argmax(part >= vocab_size))
            raise InputError(
                f"token {int(tokens[at])} at position {at:,} is outside the vocabulary of "
                f"{vocab_size:,}",
                where=where,
                mend="is this the tokenizer the shard was made with?",
            )


# --------------------------------------------------------------------------------------------
# Bytes of tokens


@dataclass(frozen=True)
class TokenBytes:
    """How many UTF-8 bytes of text every token of a vocabulary stands for.

    Attributes:
        size: bytes of each token, its spaces included, shape (vocab,). A byte-fallback token
            is one byte, a control token none.
        leading_space: the token begins with a space, shape (vocab,).
        boundary: control tokens, which separate documents, shape (vocab,).
        drops_first_space: decoding drops a space at the start of a document, as models trained
            with a dummy prefix or with whitespace removal do.
    """

    size: NDArray[np.int64]
    leading_space: NDArray[np.bool_]
    boundary: NDArray[np.bool_]
    drops_first_space: bool

    def count_bytes(
        self, previous: NDArray[np.integer], target: NDArray[np.integer]
    ) -> NDArray[np.int64]:
        """Bytes of each target token after its previous token: arrays of one shape, any shape.

        A leading space counts unless the previous token is a boundary and decoding drops it.
        """
        count: NDArray[np.int64] = self.size[target]
        if self.drops_first_space:
            count = count - (self.leading_space[target] & self.boundary[previous])
        return count


def _load_tokenizer(path: Path) -> sentencepiece.SentencePieceProcessor:
    try:
        if path.stat().st_size > MAX_TOKENIZER_BYTES:
            raise InputError("too large for a SentencePiece model", where=path)
        model = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    try:
        if not model:  # the library takes no bytes for no model, and says nothing
            raise ValueError
        tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model)
        if not 0 < tokenizer.vocab_size() <= 2**16:
            raise InputError("a vocabulary must have 1 to 65,536 pieces", where=path)
        tokenizer.id_to_piece(list(range(tokenizer.vocab_size())))  # fails on pieces not UTF-8
    except (RuntimeError, OSError, ValueError, TypeError) as error:
        raise InputError("is not a SentencePiece model", where=path) from error
    return tokenizer


def token_bytes(tokenizer_path: Path) -> TokenBytes:
    """Read the byte count of every token from a SentencePiece model.

    Raises:
        InputError: the file is missing or is not a SentencePiece model.
    """
    return _token_bytes(_load_tokenizer(tokenizer_path))


def _token_bytes(tokenizer: sentencepiece.SentencePieceProcessor) -> TokenBytes:
    vocab = tokenizer.vocab_size()
    size = np.zeros(vocab, dtype=np.int64)
    leading_space = np.zeros(vocab, dtype=np.bool_)
    boundary = np.zeros(vocab, dtype=np.bool_)
    drops_first_space = False
    for token in range(vocab):
        if tokenizer.is_control(token) or tokenizer.is_unknown(token):
            boundary[token] = True
        elif tokenizer.is_byte(token):
            size[token] = 1
        else:
            text = tokenizer.id_to_piece(token).replace("\u2581", " ")
            size[token] = len(text.encode("utf-8"))
            leading_space[token] = text.startswith(" ")
            if leading_space[token] and not drops_first_space:
                # Asked of the decoder itself: two options of the model decide it together.
                drops_first_space = not tokenizer.decode([token]).startswith(" ")
    return TokenBytes(size, leading_space, boundary, drops_first_space)


def check_bytes(tokens: NDArray[np.integer], tokenizer_path: Path) -> int:
    """The gate: counted bytes must equal the length of the decoded text, document by document.

    Args:
        tokens: whole documents, shape (tokens,), separated by control tokens.
        tokenizer_path: the SentencePiece model they were made with.

    Returns:
        The bytes of the text.

    Raises:
        InputError: a document's count is off, or it holds an unknown token, which has no text.
    """
    tokenizer = _load_tokenizer(tokenizer_path)
    table = _token_bytes(tokenizer)
    values = np.asarray(tokens, dtype=np.int64)
    if not values.size:
        return 0
    if int(values.max()) >= len(table.size) or int(values.min()) < 0:
        raise InputError("a token is outside the vocabulary", where=tokenizer_path)
    unknown = tokenizer.unk_id()
    if unknown >= 0 and bool((values == unknown).any()):
        raise InputError(
            "unknown tokens stand for text of unknown length, so bits per byte cannot be exact",
            where=tokenizer_path,
            mend="use a tokenizer with byte fallback",
        )
    # The first token has no previous one: whatever it is, it opens a document.
    counts = np.empty(len(values), dtype=np.int64)
    counts[1:] = table.count_bytes(values[:-1], values[1:])
    counts[0] = table.size[values[0]]
    counts[0] -= table.drops_first_space and table.leading_space[values[0]]

    starts = np.unique(np.concatenate(([0], np.flatnonzero(table.boundary[values]))))
    documents = np.split(values, starts[1:])
    counted = np.add.reduceat(counts, starts)
    # A control token decodes to nothing, but after one the decoder no longer sees a start.
    texts = tokenizer.decode([part[int(table.boundary[part[0]]) :].tolist() for part in documents])
    for number, (text, count) in enumerate(zip(texts, counted.tolist(), strict=True)):
        length = len(text.encode("utf-8"))
        if length != count:
            raise InputError(
                f"token bytes of document {number} add up to {count:,}, its text has {length:,}",
                where=tokenizer_path,
                mend="is this the tokenizer the tokens were made with?",
            )
    return int(counts.sum())


def bits_per_byte(nats: float, byte_count: int) -> float:
    """Σ nats / ln 2 / Σ bytes, both sums over the same target tokens.

    Raises:
        ValueError: no bytes.
    """
    if byte_count <= 0:
        raise ValueError(f"bits per byte needs at least one byte, but got {byte_count=}")
    return nats / math.log(2) / byte_count


# --------------------------------------------------------------------------------------------
# Data sets


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
    vocab_size = int(_load_tokenizer(model).vocab_size())
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


# --------------------------------------------------------------------------------------------
# Batches


def first_tokens(shards: Sequence[NDArray[np.uint16]], count: int) -> list[NDArray[np.uint16]]:
    """The first `count` tokens of shards in order, cut in the shard where they end."""
    taken: list[NDArray[np.uint16]] = []
    for shard in shards:
        if count <= 0:
            break
        taken.append(shard[:count])
        count -= len(taken[-1])
    return taken


class Batches:
    """Training batches in an order fixed by the seed alone, readable at any step.

    Every shard is cut into windows of seq_len + 1 tokens, the last target of one being the first
    input of the next. Each epoch visits all windows once, in an order of its own from
    ``stream(seed, "data", epoch)``. Nothing is kept but that order (8 bytes per window), so a
    run resumes at any step, and every rank of a distributed run takes its contiguous part of the
    same global batch.
    """

    def __init__(
        self,
        tokens: NDArray[np.uint16] | Sequence[NDArray[np.uint16]],
        seq_len: int,
        batch_tokens: int,
        seed: int,
        *,
        vocab_size: int = 2**16,
        rank: int = 0,
        world_size: int = 1,
        easy_first: int = 0,
        difficulty: NDArray[np.floating] | None = None,
    ):
        """Lay out the windows.

        Args:
            tokens: one array of tokens or several shards, memory-mapped or not.
            seq_len: targets per sequence.
            batch_tokens: targets per global batch, a multiple of seq_len × world_size.
            seed: root seed of the run.
            vocab_size: every token of a batch must be below it.
            rank: which part of the batch this process takes.
            world_size: number of processes.
            easy_first: so many windows from the start of each epoch's order (all of them, where
                there are fewer) are visited from easy to hard, by tenths; 0 for as they come.
            difficulty: of every window, (windows,); left out, `window_difficulty`'s.

        Raises:
            InputError: batch_tokens does not divide, or the tokens fill no window.
        """
        if seq_len < 1 or world_size < 1 or not 0 <= rank < world_size:
            raise InputError(
                f"seq_len and world_size must be at least 1 and rank below world_size, but got "
                f"{seq_len=}, {world_size=}, {rank=}"
            )
        if batch_tokens < 1 or batch_tokens % (seq_len * world_size):
            raise InputError(
                f"batch_tokens must be a multiple of seq_len × processes, but got "
                f"{batch_tokens=}, {seq_len=}, {world_size=}"
            )
        self._shards = [tokens] if isinstance(tokens, np.ndarray) else list(tokens)
        windows = [max(0, (len(shard) - 1) // seq_len) for shard in self._shards]
        self._ends = np.cumsum(windows, dtype=np.int64)
        self.windows = int(self._ends[-1]) if windows else 0
        if self.windows == 0:
            raise InputError(
                f"the training tokens fill no window of {seq_len + 1}",
                mend="use more data or a shorter sequence",
            )
        self._seq_len, self._seed, self._vocab_size = seq_len, seed, vocab_size
        self._sequences = batch_tokens // seq_len
        share = self._sequences // world_size
        self._rows = np.arange(rank * share, (rank + 1) * share, dtype=np.int64)
        self._orders: dict[int, NDArray[np.int64]] = {}
        self._easy_first = min(easy_first, self.windows)
        self._difficulty = difficulty if easy_first else None
        if easy_first and difficulty is None:
            self._difficulty = window_difficulty(self._shards, seq_len, vocab_size)

    def batch(self, step: int) -> NDArray[np.int64]:
        """Tokens of this process at a step, shape (sequences, seq_len + 1).

        Raises:
            InputError: a token is outside the vocabulary.
        """
        if step < 0:
            raise ValueError(f"step must not be negative, but got {step=}")
        epochs, places = np.divmod(step * self._sequences + self._rows, self.windows)
        out = np.empty((len(self._rows), self._seq_len + 1), dtype=np.int64)
        for row, (epoch, place) in enumerate(zip(epochs.tolist(), places.tolist(), strict=True)):
            window = int(self._order(epoch)[place])
            shard = int(np.searchsorted(self._ends, window, side="right"))
            before = int(self._ends[shard - 1]) if shard else 0
            start = (window - before) * self._seq_len
            out[row] = self._shards[shard][start : start + self._seq_len + 1]
        if int(out.max()) >= self._vocab_size:
            raise InputError(
                f"training token {int(out.max())} is outside the vocabulary of {self._vocab_size}",
                mend="is this the tokenizer the shards were made with?",
            )
        return out

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._orders:
            # A batch may span the end of one epoch: only its two orders are worth keeping.
            self._orders = {e: o for e, o in self._orders.items() if abs(e - epoch) == 1}
            generator = stream(self._seed, "data", str(epoch))
            order = generator.permutation(self.windows).astype(np.int64)
            if self._difficulty is not None:
                order = _by_tenths(order, self._easy_first, self._difficulty)
            self._orders[epoch] = order
        return self._orders[epoch]


def window_difficulty(
    shards: Sequence[NDArray[np.uint16]], seq_len: int, vocab_size: int
) -> NDArray[np.float64]:
    """Mean nats of each window's tokens by their frequency in all of the data: (windows,).

    A score that asks no model: text of rare tokens is hard (Kocmi & Bojar 2017).
    """
    counts = np.zeros(max(vocab_size, 2**16), dtype=np.int64)
    for shard in shards:
        counts += np.bincount(shard, minlength=len(counts))
    nats = -np.log(np.maximum(counts, 1) / max(1, counts.sum()))
    scores = []
    for shard in shards:
        windows = max(0, (len(shard) - 1) // seq_len)
        for start in range(0, windows, 4096):  # bounds memory
            tokens = shard[start * seq_len : min(windows, start + 4096) * seq_len]
            scores.append(nats[tokens].reshape(-1, seq_len).mean(axis=1))
    return np.concatenate(scores)


def _by_tenths(
    order: NDArray[np.int64], count: int, difficulty: NDArray[np.floating]
) -> NDArray[np.int64]:
    """The first `count` windows of the order, its easiest tenth first; within one as they came."""
    head = order[:count]
    rank = np.empty(count, dtype=np.int64)
    rank[np.argsort(difficulty[head], kind="stable")] = np.arange(count)
    easy_first = head[np.argsort(rank * 10 // count, kind="stable")]
    return np.concatenate((easy_first, order[count:]))


def validation_batches(
    tokens: NDArray[np.uint16],
    seq_len: int,
    batch_sequences: int,
    *,
    max_sequences: int | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[NDArray[np.int64]]:
    """Validation tokens in order, each target once: arrays (≤ batch_sequences, seq_len + 1).

    As in the competition, the tokens after the last full sequence (fewer than seq_len targets)
    are left out.

    Args:
        tokens: shape (tokens,).
        seq_len: targets per sequence.
        batch_sequences: sequences per array; the last may be shorter.
        max_sequences: only the first so many sequences, for a quick look during training.
        rank: which contiguous part of the sequences this process takes.
        world_size: number of processes.

    Raises:
        InputError: the tokens fill no sequence.
    """
    total = (len(tokens) - 1) // seq_len if len(tokens) else 0
    if total < 1:
        raise InputError(
            f"{len(tokens):,} validation tokens fill no sequence of {seq_len}",
            mend="use more data or a shorter sequence",
        )
    if max_sequences is not None:
        total = min(total, max_sequences)
    first, last = total * rank // world_size, total * (rank + 1) // world_size

    def batches() -> Iterator[NDArray[np.int64]]:
        for start in range(first, last, batch_sequences):
            stop = min(start + batch_sequences, last)
            rows = tokens[start * seq_len : stop * seq_len + 1].astype(np.int64)
            yield np.lib.stride_tricks.sliding_window_view(rows, seq_len + 1)[::seq_len].copy()

    return batches()
