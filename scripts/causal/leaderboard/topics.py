"""What a sentence is about that does not say so itself: the title or the heading above tells."""

from __future__ import annotations

import re

from interventions.vocabulary import Value
from scripts.causal.leaderboard.contrasts import Reading
from scripts.causal.leaderboard.document import Block
from scripts.causal.leaderboard.sentences import BROUGHT, REFERS
from scripts.causal.leaderboard.techniques import variables_in

FOREIGN = re.compile(r"#\d|\bPR\b|baseline|SOTA|reference|record", re.IGNORECASE)
_ITEM_TITLE = re.compile(r"\W*([A-Za-z][^—:\n]{2,60}?)(?:\s?—|:| - )")
_BOLD = re.compile(r"\W{0,8}(?:\d{1,2}[.)]\s{1,3})?\*\*([^*\n]{3,80})\*\*")
_NAMES = re.compile(r"[A-Za-z0-9][\w:./=²^-]*(?: [\w()./=²^%-]+){0,4}\W*$")
_REMARK = re.compile(  # a title in bold that says something, or announces a remark
    r"\b(?:is|are|was|were|has|had|gave|gives|made|hurts?|loses?|helps?|wins?|matters?|beats?|"
    r"notes?|caveats?|conclusion|confidence|results?|findings?|improvements?|gains?|summary|"
    r"decomposition|weakness(?:es)?|strengths?|convention|cost|returns|tl|hardening|navigate|"
    r"reduction|impact|effect|key|score|submission|why|what|how|hardware|limitations?|status|"
    r"important|insight|takeaway|reading|interpretation|baseline|bpb|delta)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"\b(?:confirmed|showed|shows|reported|reports|measured|found|ablat\w*|validated|shown|"
    r"proven|documented)\b",
    re.IGNORECASE,
)
_WHERE = re.compile(r"\b(?:all|last|first|every|on|to|over|at)\s(?:the )?\W{0,3}$", re.IGNORECASE)
_BARE = re.compile(  # "Provides -0.003 BPB on top", "Solo improvement: ...", "-0.006 BPB"
    r"\W*(?:(?:provid|contribut|deliver|giv|sav|cost|yield|recover|add|improv)\w*|[+-]\d|~?\d?\.\d|"
    r"(?:a |an |the )?(?:consistent|solo|total|net|small|measured|free|observed|typical)\b|"
    r"(?:contribution|improvement|impact|effect|gain|benefit|delta|penalty)\b)",
    re.IGNORECASE,
)


def topics_of(
    block: Block, topic: str, text: str, lead: str
) -> list[tuple[str, Value | None, int]]:
    """What "this was a free -0.0016 bpb" is about: the block's opening or the heading above."""
    refers = REFERS.match(text)
    if refers and topic and (named := variables_in(topic)) and len(named) <= 2:
        return named
    title = _ITEM_TITLE.match(topic) if block.kind == "item" else None
    quoted = _QUOTED.search(text)  # "#413 showed -0.015 in a dev ablation"
    for words in (title.group(1) if title else "", lead):
        named = _subject_of(words)
        if len(named) == 1 and (quoted or not FOREIGN.search(text)):
            return named  # "MuonEq-R — normalizes rows. Costs no bytes, ~0.001 BPB improvement."
    headed = _subject_of(block.section[-1]) if block.section[1:] else []
    if len(headed) != 1:
        return []
    if refers or quoted or (BROUGHT.match(text) and not FOREIGN.search(text)):
        return headed
    opens = not topic or (_BARE.match(text) and not _elsewhere(topic, headed[0][0]))
    return headed if opens and not FOREIGN.search(text) else []


def lead_of(reading: Reading, block: Block) -> str:
    """The words in bold that a block opens with: its title."""
    line = reading.document.lines[block.line - 1]
    match = _BOLD.match(line) if "**" in line[:24] else None
    return match.group(1) if match else ""


def names_a_change(lead: str) -> bool:
    """Whether a title in bold is a thing that was changed, and no remark on the results."""
    return bool(_NAMES.match(lead)) and not _REMARK.search(lead)


def some_layers(named: tuple[str, Value | None, int], text: str) -> bool:
    """Whether "11 layers" says where a technique is applied: on all 11 layers."""
    return named[0] == "num_layers" and bool(_WHERE.search(text[: named[2]]))


def _subject_of(title: str) -> list[tuple[str, Value | None, int]]:
    return [one for one in variables_in(title) if not some_layers(one, title)] if title else []


def _elsewhere(topic: str, variable: str) -> bool:
    """Whether a block opens with another technique than the one in the heading above it."""
    named = {name for name, _, _ in variables_in(topic)}
    return bool(named) and variable not in named
