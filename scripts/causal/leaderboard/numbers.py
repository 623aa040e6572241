"""Numbers as people write them: 786K, 32,768, 15.93 MB, -0.0026 BPB."""

from __future__ import annotations

import re
from functools import lru_cache

_SCALE = {"k": 1_000.0, "m": 1_000_000.0}
_WRITTEN = re.compile(r"(-?)(\d{0,3}(?:,\d{3})+|\d*)(\.\d+)?(e-?\d{1,2})?\s{0,4}([kKmM])?")

# A bits-per-byte score: one digit, a point, at least two more. Not part of a version or a time.
# What may not stand before a number is asked behind its first digit, to which a search can skip.
BPB = re.compile(r"(\d(?<![\d.,/#v_]\d)\.\d{2,10})(?![\d%]|\.\d|[a-zA-Z]{1,2}\b)")
SIGNED = re.compile(r"(?<![\w.,])([+-]|±)\s?(\d?\.\d{2,10}|\d\.\d)(?![\d%]|\.\d)")

_MILLI = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d{1,4})?)\s?m-?BP[BP]\b", re.IGNORECASE)
_BYTES = re.compile(r"(\d(?<![\w.,]\d)(?:\d{0,2}(?:,\d{3}){2}|\d{6,7}))(?![\w,])")
_MEGABYTES = re.compile(r"(\d(?<![\w.,]\d)\d{0,2}(?:\.\d+)?)\s?(MB|MiB)\b")


@lru_cache(maxsize=4096)  # a table's cells, for each reader of the table
def parse_number(text: str) -> float | None:
    """Return the number that `text` is, with thousands commas and K/M suffixes, or None."""
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        return None
    sign, whole, fraction, exponent, suffix = match.groups()
    if not whole and not fraction:
        return None
    value = float(f"{whole.replace(',', '') or '0'}{fraction or ''}{exponent or ''}")
    return (-value if sign else value) * _SCALE.get((suffix or "").lower(), 1.0)


def tidy(value: float) -> int | float:
    """Return whole numbers as int."""
    return int(value) if value == int(value) else value


def byte_counts(text: str) -> list[int]:
    """Return the artifact-sized byte counts in `text`, exact ones before rounded megabytes."""
    exact = [int(found.replace(",", "")) for found in _BYTES.findall(text)]
    exact = [count for count in exact if count != 16_000_000]  # the limit, not an artifact
    if exact:
        return exact
    return [
        round(float(number) * (1 << 20 if unit == "MiB" else 1_000_000))
        for number, unit in _MEGABYTES.findall(text)
        if float(number) != 16
    ]


def in_bits(text: str) -> str:
    """Return the text with changes in thousandths, `-1.7 mBPB`, written in bits: `-0.0017 BPB`."""
    if "bp" not in text and "BP" not in text:
        return text
    low = text.lower()
    if "mbp" not in low and "m-bp" not in low:
        return text
    return _MILLI.sub(lambda found: f"{float(found.group(1)) / 1000:.6f} BPB", text)


def scores(text: str) -> list[float]:
    """Return the numbers in `text` that are written like a bpb score and lie in (0.01, 10)."""
    return [value for value in map(float, BPB.findall(text)) if 0.01 < value < 10]
