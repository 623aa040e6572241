"""What a sentence is about that does not say so itself: the title or the heading above tells."""

from __future__ import annotations

import re

from interventions.vocabulary import Value
from scripts.causal.leaderboard.changed import changes_in
from scripts.causal.leaderboard.contrasts import Reading
from scripts.causal.leaderboard.document import Block
from scripts.causal.leaderboard.sentences import BROUGHT, REFERS, STAGE
from scripts.causal.leaderboard.techniques import variables_in

FOREIGN = re.compile(r"#\d|\bPR\b|baseline|SOTA|reference|record", re.IGNORECASE)
_ITEM_TITLE = re.compile(r"\W*([A-Za-z][^—:\n]{2,60}?)(?:\s?—|:| - )")
_NUMBERED = re.compile(r"\W*\d{1,2}[.):] (?=[A-Z])([\w/+² -]{3,60})")
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
SIZES = {
    "num_layers", "model_dim", "mlp_mult", "num_heads", "num_kv_heads", "vocab_size",
    "train_seq_len", "train_batch_tokens",
}  # fmt: skip
_OPENS = 12  # characters: "Switching to", "- Add an"
_UNDER = re.compile(r"\b(?:on|at|for|our|under)\s(?:our |the |a |an )?\W{0,3}$", re.IGNORECASE)
_GROWN = re.compile(  # before a size
    r"->|→|\b(?:vs|versus|instead|over|more|fewer|extra|add\w*|(?:in|de)creas\w*|reduc\w*|large\w?|"
    r"bigger|wider|deeper|smaller|longer|expan\w*|switch\w*|going|grow\w*|from|to|doubl\w*|"
    r"halv\w*|beats?|sav\w*|drop\w*|fund\w*)\b",
    re.IGNORECASE,
)
_GROWS = re.compile(
    r"->|→|\b(?:vs|versus|instead|over|from|expan\w*|capacity|beats?|than|outperform\w*|wins?|"
    r"hurts?|helps?|improv\w*|giv\w*|add\w*|sav\w*|cost\w*)\b",
    re.IGNORECASE,
)
_ELIDED = re.compile(  # "Surprisingly acts as regularization, improving BPB by 0.028"
    r"\W*(?:\w+ly,? )?(?:acts|gives|provides|improves|saves|costs|hurts|adds|reduces|lowers|"
    r"worsens|contributes|delivers|yields|helps|recovers|boosts)\b",
    re.IGNORECASE,
)
_BARE = re.compile(  # "Provides -0.003 BPB on top", "Solo improvement: ...", "-0.006 BPB"
    r"\W*(?:(?:provid|contribut|deliver|giv|sav|cost|yield|recover|add|improv)\w*|[+-]\d|~?\d?\.\d|"
    r"(?:zero|no)[- ](?:additional |extra )?(?:bytes?|param\w*|cost)|"
    r"(?:a |an |the )?(?:consistent|solo|total|net|small|measured|free|observed|typical)\b|"
    r"(?:contribution|improvement|impact|effect|gain|benefit|delta|penalty)\b)",
    re.IGNORECASE,
)


def topics_of(
    block: Block, topic: str, text: str, lead: str
) -> list[tuple[str, Value | None, int]]:
    """What "this was a free -0.0016 bpb" is about: the block's opening or the heading above."""
    refers = REFERS.match(text) or _ELIDED.match(text)
    if refers and topic and (named := variables_in(topic)) and len(named) <= 2:
        return named
    title = _ITEM_TITLE.match(topic) if block.kind == "item" else None
    quoted = _QUOTED.search(text)  # "#413 showed -0.015 in a dev ablation"
    for words in (title.group(1) if title else "", lead):
        named = subject_in(words)
        if len(named) == 1 and (quoted or not FOREIGN.search(text)):
            return named  # "MuonEq-R — normalizes rows. Costs no bytes, ~0.001 BPB improvement."
    headed = headed_by(block)
    if len(headed) != 1:
        return []
    if refers or quoted or (BROUGHT.match(text) and not FOREIGN.search(text)):
        return headed
    opens = not topic or (_BARE.match(text) and not _elsewhere(topic, block.section[-1]))
    return headed if opens and not FOREIGN.search(text) else []


def headed_by(block: Block) -> list[tuple[str, Value | None, int]]:
    """The techniques in the heading above a block, below the README's own title."""
    return subject_in(block.section[-1]) if block.section[1:] else []


def numbered_title(block: Block) -> str:
    """What a heading "6. LR Floor (0.05)" above a block names: the sixth change of several."""
    match = _NUMBERED.match(block.section[-1]) if block.section[1:] else None
    return match.group(1) if match else ""


def lead_of(reading: Reading, block: Block) -> str:
    """The words in bold that a block opens with: its title."""
    line = reading.document.lines[block.line - 1]
    match = _BOLD.match(line) if "**" in line[:24] else None
    return match.group(1) if match else ""


def names_a_change(lead: str) -> bool:
    """Whether a title in bold is a thing that was changed, and no remark on the results."""
    return bool(_NAMES.match(lead)) and not _REMARK.search(lead)


def title_above(block: Block, lead: str) -> str:
    """The change that the words in bold before a sentence name, else a numbered heading."""
    return lead if names_a_change(lead) else numbered_title(block)


def of_the_model(named: tuple[str, Value | None, int], text: str) -> bool:
    """Whether a size says of which model a change is: "on all 11 layers", "at 10L 3x MLP".

    What a sentence opens with, and what it says to grow, to shrink or to be compared, is varied.
    """
    name, _, at = named
    if name == "num_layers" and _WHERE.search(text[:at]):
        return True
    if name not in SIZES:
        return False
    if _UNDER.search(text[:at]):
        return True
    if at <= _OPENS:
        return False
    return not (_GROWN.search(text[max(0, at - 22) : at]) or _GROWS.search(text[at : at + 30]))


def subject_in(title: str) -> list[tuple[str, Value | None, int]]:
    """The techniques that a title names, but for the size of the model that they are tried on."""
    if not title:
        return []
    title = STAGE.sub("", title)
    return [one for one in changes_in(title) if not of_the_model(one, title)]


def _elsewhere(topic: str, title: str) -> bool:
    """Whether a block opens with another technique than the heading above it names."""
    opened, headed = ({name for name, _, _ in variables_in(text)} for text in (topic, title))
    return bool(opened) and not opened & headed
