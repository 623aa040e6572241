"""How far a place of a README speaks of the submission itself."""

from __future__ import annotations

import re
from functools import lru_cache

from interventions.keywords import fold, guarded
from scripts.causal.leaderboard.document import Block

# The more, the more surely a place describes the submission rather than something it talks of.
STATED, COMMAND, SETTING, CHANGED, CONFIG, TITLE, PROSE, ASIDE = 90, 80, 75, 72, 70, 60, 50, 30

_SKIPPED = guarded(
    r"did ?n[o']?t work|negative|fail(?:ed|ure)|tried|dead ends?|future|next steps?|what's next|"
    r"planned|limitation|rejected|todo|roadmap|not (?:used|included)|discarded|related work|"
    r"reference|acknowledg|ideas|why .{0,30} (?:fails|hurts)|lessons?|^(?:included )?files?\b|"
    r"reported contrasts|why it failed|related prs|contents$|doesn'?t (?:work|help)|what hurt|"
    r"\bi'd (?:do|try)\b|\bwould (?:do|try)\b|with more (?:compute|time)",
    re.IGNORECASE,
)
# In a title these are said of one part ("TTT disabled"), below it of all that follows.
_GONE = guarded(
    r"\b(?:dropped|removed|ruled out|abandoned|killed|superseded|retired|disabled)\b|"
    r"\bnot (?:in|part of) (?:this|the)\b",
    re.IGNORECASE,
)
_ASIDE = guarded(
    r"ablation|contrast|compar|result|history|previous|baseline|background|motivation|sweep|experiment|"
    r"analysis|finding|observ|prior|discussion|lineage|credit|legality|compliance|files?\b|note",
    re.IGNORECASE,
)
_CONFIG = guarded(
    r"architect|config|hyper|setup|training|stack|technique|model|optimi[sz]|quanti[sz]|"
    r"what's in|method|approach|summary|overview|key (?:change|innov|comp|feat)|component|"
    r"run command|reproduc",
    re.IGNORECASE,
)
_OTHERS_ROW = guarded(
    r"^(?:PR ?)?#\d{2,5}|\b(?:discard|reverted|rejected|abandoned)", re.IGNORECASE
)


def weight_of(block: Block) -> int:
    """How far a block speaks of the submission; 0 for what was tried, rejected or is planned."""
    gone, skipped, aside, config = _kind_of_section(block.section)
    if skipped or (gone and len(block.section) > 1):
        return 0
    if block.kind == "heading":
        if not block.section:
            return TITLE
        if block.text and _SKIPPED.search(block.text):
            return 0
    if block.kind == "row" and _OTHERS_ROW.search(block.text):
        return 0
    if block.kind == "row" and aside:
        return ASIDE
    if config:
        return CONFIG if block.kind in ("row", "item") else PROSE
    return ASIDE if aside else PROSE


def is_skipped(headings: str) -> bool:
    """Whether headings announce what is not in the submission."""
    return _SKIPPED.search(headings) is not None


@lru_cache(maxsize=256)  # every block below a heading asks
def _kind_of_section(section: tuple[str, ...]) -> tuple[bool, bool, bool, bool]:
    """Whether a section tells of what is gone, of what is not in the submission, of results, of
    what is in it."""
    headings = " / ".join(section[1:] if len(section) > 1 else section)
    folded = fold(headings)
    gone, skipped, aside, config = (
        kind.search(headings, folded) is not None for kind in (_GONE, _SKIPPED, _ASIDE, _CONFIG)
    )
    return gone, skipped, aside, config
