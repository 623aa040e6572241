"""The changes in bits or nats that a sentence states, and their sign."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from interventions.keywords import guarded
from scripts.causal.leaderboard.contrasts import BETTER, WORSE
from scripts.causal.leaderboard.document import Block
from scripts.causal.leaderboard.sentences import blank

MAX_DELTAS = 6  # in one sentence; more are a log
_NUMBER = r"(~|about |roughly )?([+-]|±)?\s?(\d?\.\d{3,8}|0\.\d{2})"
_DELTA = guarded(
    r"(?<![\w.,])(?<!\d-)(?<!\d to )(?<!to [+-])(?<!/)(?<![≥≤<>])(?<![≥≤<>] )"
    + _NUMBER
    + r"\$?\s{0,4}(?:val[_ ])?(bp[bp]|bits|nats?)\b",
    re.IGNORECASE,
)
_BY = guarded(
    r"(?<![a-z])(bpb)\s(?:by|of|gain of|improvement of)\s(?:an? )?(?:only )?" + _NUMBER
    + r"(?![\d%])(?!\s?(?:->|→|bpb|nats?|ms|s\b|MB))",
    re.IGNORECASE,
)  # fmt: skip
_SOURCED = re.compile(  # "of which -0.003 from LR, -0.002 from EMA"
    r"(?<![\w.,])([+-])(\d?\.\d{3,8})(?= (?:mean )?from (?:the )?[A-Za-z])(?! from (?:the )?"
    r"(?:PR|baseline|SOTA|prior|previous|base|control|its|our|this|step|train\w*|\w* ?run)\b)",
    re.IGNORECASE,
)
_UNIT_BEFORE = re.compile(  # "residual embeddings: TTT BPB +0.030 vs none"
    r"\bbp[bp] ([+-])(\d?\.\d{3,8}|0\.\d\d)(?![\d%])(?! ?(?:->|→|-|to\b|±|bp[bp]|nats?))",
    re.IGNORECASE,
)
_WORDED = re.compile(r"(?<![\w.,])([+-])(\d?\.\d{3,8})(?= (?:worse|better)\b)", re.IGNORECASE)
_NO_UNIT = (
    r"(?![\d%])(?!\s?(?:->|→|- ?~?[+-]?\.?\d|-(?!\w)|to\b|~|"
    r"bp[bp]|nats?|bits|ms|s\b|MB|x\b|m-?bp|std))"
)
_TITLED = re.compile(  # "Mean delta vs control: -0.11750", without a unit
    r"\W{0,4}(?:[\w-]+ ){0,3}(?:improvement|delta|Δ|gain|difference|contribution)\b"
    r"(?![^:=]{0,60}\b(?:std|seeds|requir\w*|loss|nats|parameters?|threshold)\b)"
    r"[^:=.(\n]{0,60}(?:[:=]|\bof\b) {0,2}\(?~?([+-])?(\d?\.\d{3,8})" + _NO_UNIT,
    re.IGNORECASE,
)
_SAID = re.compile(  # "gradient clipping gives -0.019", with its sign for a unit
    r"\b(?:gives?|gave|gain(?:s|ed)?|hurts?|improv\w*|costs?|adds?|added|saves?|degrad\w*|yields?|"
    r"provid\w*|contribut\w*|worth|effect|impact|by)\s(?:(?:of|about|only|a|is|was|it|another)\s){0,2}"
    r"([+-])(\d?\.\d{3,8})" + _NO_UNIT,
    re.IGNORECASE,
)
_SCORE_OF = re.compile(r"(?:#\d{2,5}|\bSOTA|\bbaseline|\brecord)\s?\(\s?$", re.IGNORECASE)
_GOOD_SECTION = re.compile(
    r"what (?:worked|helped|stacked)|impact|improvement|contribut|gains?\b", re.I
)
_IMPACT = re.compile(r"\W*(?:(?:measured|net|bpb) )?(?:impact|contribution)\b", re.IGNORECASE)
_BAD_SECTION = re.compile(r"did ?n[o']t|not work|negative|failed|hurt|dead end", re.IGNORECASE)
_WORSE_BY = re.compile(
    r"\W*(?:(?!improv|gain|better|(?:at|an?|the|with|for|but|and|to|no|zero|in|of)\b)[\w-]+ ){0,2}"
    r"(?:worse|regression|degradation|penalty|cost|"
    r"damage|hit)\b",
    re.IGNORECASE,
)
_FULL = re.compile(r"(?<![\d.,+~-])\d\.\d{4,8}(?![\d%])")
_LOSS = re.compile(r"\bloss(?:es)?\b", re.IGNORECASE)
_THAN = re.compile(r"\b(?:more|less) than\b[^.;()]{0,80}", re.IGNORECASE)
_GAINED = re.compile(r"[ *`)-]{0,4}(?:[\w-]+ )?(?:improvement|gain|benefit)\b", re.IGNORECASE)
_BETTER_BY = re.compile(
    r"\W*(?:(?!quant|(?:at|an?|the|with|for|but|and|to|no|zero|in|of)\b)[\w-]+ ){0,2}"
    r"(?:improvement|gain|better|reduction|benefit|win)\b",
    re.I,
)


@dataclass(frozen=True)
class StatedDelta:
    """One number with its unit: offset in the sentence, sign as written ("" when none)."""

    start: int
    end: int
    sign: str
    number: float
    unit: str


def stated_deltas(text: str) -> list[StatedDelta]:
    """Return the changes a sentence states, in its order, at most six."""
    found = [
        StatedDelta(m.start(), m.end(), m.group(2) or "", float(m.group(3)), m.group(4).lower())
        for m in _DELTA.finditer(text)
        if m.group(2) or not _SCORE_OF.search(text[max(0, m.start() - 30) : m.start()])
    ]
    found += [
        StatedDelta(m.start(), m.end(), m.group(3) or "", float(m.group(4)), "bpb")
        for m in _BY.finditer(text)
        if not any(other.start < m.end() and m.start() < other.end for other in found)
    ]
    found += [
        StatedDelta(m.start(), m.end(), m.group(1), float(m.group(2)), "bpb")
        for m in _WORDED.finditer(text)
    ]
    for wording in (_SOURCED, _SAID, _UNIT_BEFORE):
        found = found or [
            StatedDelta(m.start(1), m.end(), m.group(1), float(m.group(2)), "bpb")
            for m in wording.finditer(text)
        ]
    if not found and (m := _TITLED.match(text)):
        found = [
            StatedDelta(
                m.start(1 if m.group(1) else 2),
                m.end(),
                m.group(1) or "",
                float(m.group(2)),
                "bpb",
            )
        ]
    found = sorted((d for d in found if _may_be(d)), key=lambda delta: delta.start)
    if len(found) == 2 and {d.unit[:3] for d in found} == {"bpb", "nat"}:
        found = [delta for delta in found if delta.unit == "bpb"]  # one change in both units
    return found[:MAX_DELTAS]


def exactly(change: float, text: str) -> float:
    """A rounded change, computed anew where one pair of the sentence's scores is so far apart."""
    decimals = len(f"{change:.8f}".rstrip("0").partition(".")[2])
    found = [] if decimals > 3 or "." not in text else [float(m) for m in _FULL.findall(text)[:6]]
    apart = {
        round(abs(one - other), 8)
        for at, one in enumerate(found)
        for other in found[at + 1 :]
        if abs(abs(one - other) - abs(change)) <= 0.51 * 10.0 ** -max(decimals, 2)
    }
    return math.copysign(apart.pop(), change) if len(apart) == 1 else change


def _may_be(delta: StatedDelta) -> bool:
    """Whether a number is a change, not a score: more than half a bit only with its sign."""
    sure = delta.sign in ("+", "-") and not delta.unit.startswith("nat")
    return 0 < delta.number <= (1.5 if sure else 0.5)


def _last(word: re.Pattern[str], text: str) -> int:
    """Where a word stands last, -1 where it does not.

    "The loss" is no word of regret, and "more than it gains" is not told of the change.
    """
    text = _THAN.sub(blank, _LOSS.sub(blank, text))
    return max((match.start() for match in word.finditer(text)), default=-1)


def is_gain(delta: StatedDelta, text: str) -> bool:
    """Whether the words right after a change call it an improvement."""
    return bool(_GAINED.match(text[delta.end : delta.end + 40]))


def signed_by_words(delta: StatedDelta, text: str, block: Block) -> float | None:
    """Treatment minus control: the sign as written, else what the words say of it."""
    worse, better = WORSE.search(text), BETTER.search(text)
    if delta.sign == "-":
        after = text[delta.end : delta.end + 40]
        return delta.number if _WORSE_BY.match(after) else -delta.number
    after = text[delta.end : delta.end + 40]
    last = _last(WORSE, text[: delta.start]), _last(BETTER, text[: delta.start])
    if delta.sign == "+":
        gained = better and (not worse or (last[1] > last[0] and not _WORSE_BY.match(after)))
        return -delta.number if gained else delta.number
    if not delta.sign and _WORSE_BY.match(after):
        return delta.number
    if _BETTER_BY.match(after):
        return -delta.number  # "zero-byte cost, 0.001 BPB improvement"
    if worse and (last[1] < 0 or last[0] > last[1]):
        return delta.number  # "a small gain but hurt by 0.002 bpb"
    if better:
        return -delta.number
    if block.kind == "heading" and text[delta.end : delta.end + 1] in ("", ")", ","):
        return -delta.number  # "### EMA (~0.002 bpb)" is what it brings
    titles = block.section[-1] if block.section else ""
    if _BAD_SECTION.search(titles):
        return delta.number
    if _GOOD_SECTION.search(titles) or (not delta.sign and _IMPACT.match(text)):
        return -delta.number
    return None
