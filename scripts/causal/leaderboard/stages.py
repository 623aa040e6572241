"""What stage of one run a label speaks of: raw → averaged → quantized → sliding → test-time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from interventions.keywords import Guarded, guarded
from scripts.causal.leaderboard.schema import Source

ORDER = ("raw", "averaged", "adapted", "quantized", "sliding", "ttt", "slot", "mixed")
STAGE_CONTRASTS = {
    "averaged": ("ema", "raw weights", "averaged weights"),
    "adapted": ("ttt", "none", "test-time trained before quantization"),
    "quantized": ("quant_bits", "before quantization", "quantized"),
    "sliding": ("sliding_window_eval", "non-overlapping", "sliding window"),
    "ttt": ("ttt", "none", "test-time trained"),
    "slot": ("slot", "none", "sample-specific output tuning"),
    "mixed": ("ngram_mix", "model alone", "mixed with n-gram statistics"),
}
STAGE_VARIABLES = frozenset(variable for variable, _, _ in STAGE_CONTRASTS.values())
_RUN = re.compile(r"baseline|sota|\bours?\b|\bthis\b|#\d|=|^\W*\+", re.IGNORECASE)
_BRACKET = re.compile(
    r"\(?\b(?:s|stride) ?= ?\d{1,4}\b\)?|\([^()]*(?:\bM?B\b|layer|\d[xL])[^()]*\)"
)
_SETTING = re.compile(r"\([^()]*=[^()]*\)")
_UNIT = re.compile(r"(?:val_)?(?:bpb|loss)|exact|\W|_")
_STAGE_WORD = guarded(
    r"\bpre[- ]|\bpost[- ]|round-?trip|\braw\b|\bfinal\b|\bbefore\b|\bafter\b|\bsliding\b|"
    r"quantized\b|\bnon-?overlap|\bstop\b|\bfloat\b|\bfp32\b|\bTTT\b",
    re.IGNORECASE,
)
NO_SCORE = guarded(
    r"loss|\bstd|gap|gain|improve|delta|Δ|(?<!stop-)(?<!stop )(?<!eval-)(?<!test-)times?\b|"
    r"bytes|size|penalty|degrad",
    re.IGNORECASE,
)


class Score(NamedTuple):
    """A stage's score, where it stands, and what its label says."""

    value: float
    source: Source
    label: str


Stages = dict[str, Score]


@lru_cache(maxsize=4096)  # the same labels again and again, of one table and of many
def stage_of(label: str) -> str | None:
    """Return the stage a column title, metric name or log line reports, or None."""
    text = label.lower().replace("_", " ")
    if "loss /" in text:
        return None  # "val_loss / val_bpb" has two numbers
    if NO_SCORE.search(text) and "bpb" not in text:
        return None
    if _says(r"\bpre[ -]?ttt|\bbefore ttt|\bno[ -]ttt|\bw/o ttt|\bwithout ttt", text):
        if _says(r"\bema\b|\bswa\b", text) and not _says(r"slid|quant|int\d", text):
            return "averaged"
        return "sliding" if "slid" in text or "quant" not in text else "quantized"
    if _says(r"\bslot\b", text):
        return None if _says(r"\bpre[ -]|\bno\b|w/o|without|before", text) else "slot"
    if _says(r"(?:n|\d)-?gram|\bppm\b|\bcache\b|\bmixer\b|\boracle\b|\bblend", text) or (
        _says(r"\bmix(?:ed|ture)?\b", text) and not _says(r"quant|int\d|precision|round", text)
    ):
        return None if _says(r"\bpre[ -]|\bno\b|without|before", text) else "mixed"
    if _says(r"\bpre-?q[ -]?ttt", text):
        return "quantized" if _says(r"round|int\d", text) else "adapted"
    if _says(r"ttt\b|test[ -]time", text):
        return "adapted" if _says(r"pre[ -]?quant", text) else "ttt"
    if _says(
        r"\bnon-?(?:overlap|sliding)|\bstandard (?:eval|round)|"
        r"bpb \(standard\)|\bchunked\b|\(full\)",
        text,
    ):
        return "quantized"
    if _says(r"\bslid|\bstride|\bs64\b|\bsw\b", text):
        return None if _says(r"pre[ -]?quant|float|fp32", text) else "sliding"
    if _says(r"\bpost[ -]?ema|\bema\b|\bswa\b", text) and not _says(
        r"int\d|quantized|round|\bpre[ -]?ema", text
    ):
        return "averaged"
    if _says(
        r"\bpre[ -]?(?:quant|q\b|gptq|export|round-?trip)|\bstep[ :]{0,2}\d+|"
        r"\b(?:final|last) step|\btrain-time|\bend of train|"
        r"\btrain(?:ing)? (?:end|final)\b|\btraining (?:val )?bpb \(?(?:final|end)|"
        r"\bstop[ -]time|^\W*\d+/\d+ |\bbefore (?:export|quant)|\bpre[ -]?ema|"
        r"\b(?:live|raw) (?:model|weights)|\braw (?:val )?bpb|"
        r"bpb \((?:train|live)\)|\bin[- ]run\b|"
        r"\bunquantized|\b(?:at|wallclock)[ -]stop|\bfull precision|\bfp32|\bfloat",
        text,
    ):
        return "raw"
    if _says(
        r"round ?-?trip|\brt\b|\bquantized|\bpost[ -]?(?:quant|gptq|export|q\b)|"
        r"\bint[4-8]\b|\bquant\b",
        text,
    ):
        return "quantized"
    return None


def _says(words: str, text: str) -> bool:
    """Whether a text in lower case matches a pattern."""
    return _guarded(words).search(text, text) is not None


@cache
def _guarded(words: str) -> Guarded:
    return guarded(words)


def stage_rows(labels: Sequence[str]) -> dict[int, str]:
    """Index → stage of the rows, where most of the labels name the stages of one run."""
    return _stage_rows(tuple(labels))


@lru_cache(maxsize=128)  # each reader of a table asks
def _stage_rows(labels: tuple[str, ...]) -> dict[int, str]:
    stages = {
        index: stage
        for index, label in enumerate(labels)
        for bare in [_BRACKET.sub(" ", label)]
        if not _RUN.search(_SETTING.sub(" ", bare)) and (stage := stage_of(bare or label))
    }
    spoken = sum(bool(_STAGE_WORD.search(label)) for label in labels)
    enough = len(stages) * 2 >= len(labels) and spoken >= 2
    apart = len(set(stages.values()))
    told = {(stage, _UNIT.sub("", labels[index].lower())) for index, stage in stages.items()}
    # One stage's variations are no ladder.
    varied = len(told) > apart if apart == 2 else apart * 2 <= len(told)
    return stages if enough and apart >= 2 and not varied else {}
