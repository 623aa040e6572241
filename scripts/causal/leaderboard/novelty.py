"""What is new in a submission: the one technique that its title or a heading puts forward."""

from __future__ import annotations

import re
from collections.abc import Sequence

from scripts.causal.leaderboard.document import Block, Document
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.topics import subject_in

_KEY = re.compile(  # "Key Innovation: SLOT", no list of innovations
    r"\W*(?:\d{1,2}[.)] )?"
    r"(?:(?:the|our|single|only|key|core|main|novel|new|central|primary|sole) )+"
    r"(?:technique|innovation|contribution|idea|change|addition|novelty|modification)"
    r"\W{1,4}(?=[A-Za-z\d])",
    re.IGNORECASE,
)
_LABELLED = re.compile(  # what stands before a title that says what kind of text it is
    r"^\W*(?:(?:non-?)?record|negative result|submission)(?: submission| candidate)?s?\b"
    r"[^:]{0,20}: |^\W*\[[^\[\]]{0,40}\] ",
    re.IGNORECASE,
)
_REMARK = re.compile(r"\([^()]*\)|\s(?:-{1,2}|—|\|) .*|\b(?:on|over|vs|for) (?:the )?(?:PR|#).*")
_PARTS = re.compile(r"\s[+&x]\s|,\s|\band\b|\bwith\b")
_NO_CHANGE = re.compile(  # a size, or what it is built on
    r"\W*(?:(?:SP|BPE)?\d{1,5}(?:L|k|d)?(?: [Ll]ayers?)?|(?:PR ?)?#\d+(?: (?:base|stack))?)\W*$"
)
_MARGIN = re.compile(
    r"#\d|\bPR\b|\bSOTA\b|\bbaseline|\brecord\b|\breference\b|\bparent\b|\banchor\b|"
    r"\bthis (?:submission|run|work|PR)\b|\bours?\b",
    re.IGNORECASE,
)
_TOGETHER = re.compile(r"\b(?:total|together|combined|jointly|all)\b", re.IGNORECASE)


def novelty_of(document: Document) -> str | None:
    """The variable of the one technique that a README presents as what is new in it."""
    headings = [block for block in document.blocks if block.kind == "heading"]
    keys = [block.text[match.end() :] for block in headings if (match := _KEY.match(block.text))]
    if len(keys) == 1 and (named := _one_in(keys[0])):
        return named
    return _titled(headings)


def by_novelty(found: Sequence[Ablation], document: Document) -> list[Ablation]:
    """Name the submission's margin over another run by its novelty, where it has one."""
    if not any(one.variable == "other:bundle" for one in found):
        return list(found)
    novelty = novelty_of(document)
    if novelty is None:
        return list(found)
    return [
        one.model_copy(update={"variable": novelty}) if _is_margin(one) else one for one in found
    ]


def _is_margin(one: Ablation) -> bool:
    """Whether a contrast is of the whole submission with what it is built on."""
    if one.variable != "other:bundle" or one.kind == "cumulative":
        return False
    said = " ".join(filter(None, (one.quote, one.from_, one.to)))
    return bool(_MARGIN.search(said)) and not _TOGETHER.search(said)


def _titled(headings: Sequence[Block]) -> str | None:
    """The technique of a title that names one, alone or before all else: no list of a stack."""
    if not headings:
        return None
    title = _REMARK.sub("", _LABELLED.sub("", headings[0].text))
    parts = [part for part in _PARTS.split(title) if not _NO_CHANGE.match(part)]
    return _one_in(parts[0]) if len(parts) == 1 else None


def _one_in(words: str) -> str | None:
    names = {name for name, _, _ in subject_in(words)}
    return names.pop() if len(names) == 1 else None
