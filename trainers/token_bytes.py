"""The exact UTF-8 bytes behind every token, by which losses become bits per byte.

Miscounting them is how leaderboard scores went wrong (byte-fallback tokens taken for three bytes,
leading spaces counted twice), so a data set is opened only if its counts add up to the length of
the decoded text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from scripts.causal.files import InputError

MAX_TOKENIZER_BYTES = 64 * 1024 * 1024


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


def load_tokenizer(path: Path) -> sentencepiece.SentencePieceProcessor:
    """Open a SentencePiece model of at most 64 MiB and 65,536 pieces.

    Raises:
        InputError: the file is missing, too large or not such a model.
    """
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
    return _token_bytes(load_tokenizer(tokenizer_path))


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
    tokenizer = load_tokenizer(tokenizer_path)
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
