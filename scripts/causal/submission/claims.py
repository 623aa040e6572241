"""What a document of a submission states: scores and bytes, to be held against the others."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

LEAST_DIGITS = 3  # a score written with fewer is taken as written with so many


@dataclass(frozen=True)
class Score:
    """One seed's numbers, as far as they are stated: bits per byte, nats, bytes of the model."""

    bpb: float | None = None
    loss: float | None = None
    model: int | None = None


@dataclass(frozen=True)
class Claims:
    """What one document states.

    Attributes:
        file: the document.
        bpb, loss: the submission's score, a mean over seeds.
        seeds: seed → its numbers.
        total, code, model: bytes.
    """

    file: str
    bpb: float | None = None
    loss: float | None = None
    seeds: Mapping[int, Score] = field(default_factory=dict)
    total: int | None = None
    code: int | None = None
    model: int | None = None


def digits(value: float) -> int:
    """Decimals that a number was written with, as far as a float remembers; three or more."""
    text = repr(value)
    return max(LEAST_DIGITS, len(text.partition(".")[2])) if "e" not in text else LEAST_DIGITS


def same(first: float, second: float) -> bool:
    """Whether two numbers are one, the one with fewer decimals rounded or cut off."""
    rough, exact = sorted((first, second), key=digits)
    unit = 10.0 ** digits(rough)
    shortened = (round(exact * unit), math.floor(exact * unit + 1e-6))
    return round(rough * unit) in shortened


# --------------------------------------------------------------------------------------------
# Logs

_FINAL = re.compile(
    r"^\w{0,40}?(?:final|quantized|roundtrip|ttt|sliding)\w{0,60}\b[^\n]{0,80}?\bval_loss\s?[:=]\s?(\d{1,3}\.\d{1,16})"
    r"[^\n]{0,40}?\bval_bpb\s?[:=]\s?(\d{1,3}\.\d{1,16})",
    re.IGNORECASE | re.MULTILINE,
)
_MODEL = re.compile(r"^(?:artifact_bytes|Serialized model [^\s:]{1,40})\s?:\s?(\d{1,12})\b", re.M)
_SEED = re.compile(r"^\s*seed\s?[:=]\s?(\d{1,9})\s*$", re.MULTILINE | re.IGNORECASE)
_SEED_IN_NAME = re.compile(r"seed[_-]?(\d{1,9})", re.IGNORECASE)


def read_log(name: str, text: str) -> Claims:
    """The seed, the last final score and the model's bytes that a training log states."""
    scores = _FINAL.findall(text)
    seed = _SEED.findall(text) or _SEED_IN_NAME.findall(name)
    sizes = _MODEL.findall(text)
    loss, bpb = (float(part) for part in scores[-1]) if scores else (None, None)
    model = int(sizes[-1]) if sizes else None
    if bpb is not None and not (math.isfinite(bpb) and bpb > 0):
        bpb = loss = None
    one = Score(bpb, loss, model)
    if seed:  # its score is its seed's, not the submission's
        return Claims(name, seeds={int(seed[-1]): one})
    return Claims(name, bpb=bpb, loss=loss, model=model)


def scores_in(text: str) -> list[float]:
    """Every number of a text with three decimals or more."""
    return [float(part) for part in re.findall(r"(?<![\d.])\d{1,2}\.\d{3,16}(?![\d.]*\d)", text)]
