"""Reading the registers: which words are active at a position, step by step."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from scripts.causal.files import InputError

MAX_CHARACTERS = 2000


@dataclass(frozen=True)
class Active:
    """One word that is active: its piece of text and its probability were this the last step."""

    piece: str
    probability: float


@dataclass(frozen=True)
class Reading:
    """What the registers hold while a text is read.

    Attributes:
        pieces: the text's tokens, (time,).
        steps: the most active words, [step][position], most active first; step 0 is the input.
    """

    pieces: tuple[str, ...]
    steps: tuple[tuple[tuple[Active, ...], ...], ...]


def tokens_of(text: str, tokenizer: Path, most: int) -> NDArray[np.int64]:
    """Return a text's tokens after the one that opens a document, shape (1, time).

    Raises:
        InputError: nothing to read, or more than the model was trained to see at once.
    """
    if not text.strip() or len(text) > MAX_CHARACTERS:
        raise InputError(f"a text to read has 1 to {MAX_CHARACTERS} characters")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))
    found = [pieces.bos_id(), *pieces.encode(text)]
    if len(found) > most:
        raise InputError(
            f"the text has {len(found)} tokens, but sequences have {most}", mend="give less text"
        )
    return np.array([found], dtype=np.int64)


def read_states(
    tokens: NDArray[np.int64], states: NDArray[np.float32], tokenizer: Path, top: int = 5
) -> Reading:
    """Return the most active words.

    Args:
        tokens: (1, time).
        states: soft-capped, (steps + 1, 1, time, words), as the engine gives them.
        tokenizer: SentencePiece model of the words.
        top: how many words.
    """
    names = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))

    def shown(token: int) -> str:
        return str(names.id_to_piece(token)).replace("▁", " ")

    steps = []
    for state in states[:, 0].astype(np.float64):
        weights = np.exp(state - state.max(axis=-1, keepdims=True))
        chances = weights / weights.sum(axis=-1, keepdims=True)
        order = np.argsort(-chances, axis=-1, kind="stable")[:, :top]
        steps.append(
            tuple(
                tuple(Active(shown(int(word)), float(row[word])) for word in best)
                for row, best in zip(chances, order, strict=True)
            )
        )
    return Reading(tuple(shown(int(token)) for token in tokens[0]), tuple(steps))


def as_text(reading: Reading, position: int = -1) -> str:
    """The most active words at one position, a line for each step."""
    lines = [f"after {''.join(reading.pieces)!r}, at {reading.pieces[position]!r}:"]
    for number, step in enumerate(reading.steps):
        words = "  ".join(f"{one.piece!r} {one.probability:.3f}" for one in step[position])
        lines.append(f"step {number}: {words}")
    return "\n".join(lines)


def as_page(reading: Reading, title: str) -> str:
    """The whole reading as one HTML page that loads nothing: a row per position."""
    heads = "".join(f"<th>step {number}</th>" for number in range(len(reading.steps)))
    rows = []
    for place, piece in enumerate(reading.pieces):
        cells = "".join(f"<td>{_cell(step[place])}</td>" for step in reading.steps)
        rows.append(f"<tr><th><code>{html.escape(piece)}</code></th>{cells}</tr>")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>
body {{ font: 15px/1.4 sans-serif; margin: 2rem; color: #1f2530; background: #fff; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .3rem .6rem; border-bottom: 1px solid #d9d6cf; text-align: left; }}
td {{ vertical-align: top; white-space: nowrap; }}
span {{ display: block; background: linear-gradient(to right,
  #cfe0ee calc(100% * var(--p)), transparent calc(100% * var(--p))); }}
</style></head><body><h1>{html.escape(title)}</h1>
<p>Each cell: the words most active at that position after that step, with the probability that
each would have, were this step the last.</p>
<table><thead><tr><th>read</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>
</body></html>
"""


def _cell(words: tuple[Active, ...]) -> str:
    return "".join(
        f'<span style="--p:{one.probability:.3f}"><code>{html.escape(one.piece)}</code> '
        f"{one.probability:.2f}</span>"
        for one in words
    )
