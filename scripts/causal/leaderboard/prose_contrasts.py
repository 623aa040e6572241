"""Contrasts that sentences and list items state."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scripts.causal.leaderboard.compared import Against, all_beaten, set_against
from scripts.causal.leaderboard.contrasts import NOT_RUN, Reading, at_line
from scripts.causal.leaderboard.document import Block
from scripts.causal.leaderboard.numbers import in_bits
from scripts.causal.leaderboard.prose_changes import DELTA_ONLY, one_change, several_changes
from scripts.causal.leaderboard.prose_pairs import (
    against_contrast,
    against_in,
    arrow_contrast,
    left_out,
    moves_what_is_titled,
    pair_in,
)
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.sentences import (
    HYPOTHETICAL,
    MAX_BLOCK,
    NOT_A_CHANGE,
    line_of,
    unwrapped,
)
from scripts.causal.leaderboard.stated_deltas import (
    stated_deltas,
)
from scripts.causal.leaderboard.topics import (
    lead_of,
    names_a_change,
    subject_in,
)

_SPLIT = re.compile(r"(?<=[A-Za-z)\]0-9%])[.;](?=\s|$)|\n(?=[A-Z•]|-(?![\d.]))")
_FRACTION = re.compile(r"\.\d\d")  # in every delta and every score: most sentences have neither
_HEADLINE = re.compile(
    r"\W*(?:(?:\d-seed|mean|net|total|overall) ){0,2}(?:improvement|delta|Δ|gain)\b"
    r"[^.:=]{0,40}[:=]",
    re.IGNORECASE,
)
_FOREIGN_RUN = re.compile(r"#\d|\bPR\b|SOTA|record", re.IGNORECASE)


def prose_contrasts(reading: Reading, final: float | None = None) -> Iterator[list[Ablation]]:
    """Yield each block's contrasts; `final` is the score the submission claims."""
    above = ""
    for block in reading.document.blocks:
        if block.kind not in ("paragraph", "item", "heading") or len(block.text) > MAX_BLOCK:
            continue
        lead = "" if block.kind == "heading" else lead_of(reading, block)
        if block.kind == "heading" or lead:
            above = lead if lead and len(lead) + 12 > len(block.text) else ""
        if not _FRACTION.search(in_bits(block.text)) or (
            block.kind == "heading" and not block.section
        ):
            continue
        if NOT_RUN.search(" / ".join(block.section[1:])):
            continue
        start, topic, told = 0, "", False
        whole_text = unwrapped(block.text)
        for stop in [*(m.end() for m in _SPLIT.finditer(whole_text)), len(whole_text)]:
            text = in_bits(whole_text[start:stop])
            if not _FRACTION.search(text):
                start, topic, told = stop, topic or text, False
                continue
            whole = set_against(text, whole_text[stop : stop + 60], final or None)
            beaten = all_beaten(text, final) if final else []
            if whole is not None and moves_what_is_titled(text, lead or above):
                whole = None
            if beaten or whole is not None:
                compared = beaten or ([whole] if whole is not None else [])
                yield [
                    _as_a_whole(reading, block, start, text, one, lead or above)
                    for one in compared
                ]
            elif not (told and DELTA_ONLY.match(text)):
                yield list(_sentence(reading, block, start, text, topic, lead or above))
            told = whole is not None
            if final is not None:
                yield list(left_out(reading, block, start, text, final))
            topic = topic or text
            start = stop


def _as_a_whole(
    reading: Reading, block: Block, start: int, text: str, found: Against, lead: str
) -> Ablation:
    """The submission against another run: by what the words in bold above name, if they do."""
    told = names_a_change(lead) and not _FOREIGN_RUN.search(text)
    named = subject_in(lead) if told else []
    return at_line(
        reading,
        line_of(block, start + found.at),
        variable=named[0][0] if len(named) == 1 else "other:bundle",
        control=found.other or None,
        treatment=found.own,
        delta=found.delta,
        kind="single" if len(named) == 1 else "bundle",
    )


def _sentence(
    reading: Reading, block: Block, start: int, text: str, topic: str, lead: str
) -> Iterator[Ablation]:
    if pair := pair_in(text, block, lead):
        yield from arrow_contrast(reading, block, start, text, pair, lead, topic)
        return
    if HYPOTHETICAL.search(text):
        return
    if pair := against_in(text):
        against = against_contrast(reading, block, start, text, pair, lead)
        if against is not None or min(float(pair.group(1)), float(pair.group(2))) < 0.3:
            yield from [against] if against is not None else []
            return
    deltas = stated_deltas(text)
    if not deltas or (NOT_A_CHANGE.search(text) and not _HEADLINE.match(text)):
        return
    if len(deltas) == 1:
        found = one_change(reading, block, start, text, deltas[0], topic, lead)
        if found is not None:
            yield found
        return
    yield from several_changes(reading, block, start, text, deltas, topic, lead)
