"""What a number in a sentence is of, where the words beside it tell."""

from __future__ import annotations

import re

from scripts.causal.leaderboard.changed import Named, changes_in
from scripts.causal.leaderboard.contrasts import slug
from scripts.causal.leaderboard.sentences import PRONOUN, SUBJECT
from scripts.causal.leaderboard.stated_deltas import StatedDelta
from scripts.causal.leaderboard.topics import of_the_model

_COMES_FROM = re.compile(  # "-0.003 BPB from shard ordering alone"
    r"(?: (?:improvement|gain|contribution|reduction|benefit|drop|win|delta|degradation|hit))?"
    r"(?: (?:that )?(?:comes?|came|stems?))?(?: (?:mostly|mainly|almost|entirely|purely|largely))*"
    r" (?:from|due to|thanks to) (?:the |our |a |an |its )?([A-Za-z][^,;:.()|\n]{2,60})"
)
_NO_SOURCE = re.compile(  # a run, a score or what somebody reported
    r"#\d|\bPR\b|baseline|SOTA|record|reference|\bruns?\b|\bthis\b|quanti[sz]|round-?trip|"
    r"\d\.\d{3}|^(?:step|seed|start|scratch|one|there|here|it|previous|prior|here|first|int\d|fp\d\d)\b|"
    r"'s\b|\bto\b",
    re.IGNORECASE,
)
_ENDS = re.compile(r" (?:alone|and|is|was|are|on|at|in|with|for|by|over|which|that|rather)\b.*")
_MANY = re.compile(r"\b(?:two|three|four|five|several|both|all|combin\w*|changes)\b|\+", re.I)
_ALONE = " alone"
_ARTICLE = re.compile(r"\W*(?:the|our|an?)\s", re.IGNORECASE)
_BREAK = re.compile(r"[,;:]| - |—|\b(?:and|but|while|then|where|which)\b", re.IGNORECASE)


def brought_by(text: str, delta: StatedDelta) -> str | None:
    """The variable of "0.18 BPB improvement comes from the cache".

    What the vocabulary does not know counts where it is said to do so alone.
    """
    match = _COMES_FROM.match(text, delta.end)
    if match is None or _NO_SOURCE.search(match.group(1)):
        return None
    if _MANY.search(match.group(1)):
        return "other:bundle"
    source = _ENDS.sub("", match.group(1))
    named = changes_in(source)
    if named or _ALONE not in match.group(1):
        return named[0][0] if len({name for name, _, _ in named}) == 1 else None
    return f"other:{slug(source)}"


def bracketed(text: str, delta: StatedDelta) -> Named:
    """What stands right before the brackets that a number is in: "EMA (from PR #1, -0.003 bpb)"."""
    opened = text.rfind("(", 0, delta.start)
    if opened < 0 or ")" in text[opened : delta.start]:
        return []
    host = text[:opened]
    host = host[max((m.end() for m in _BREAK.finditer(host)), default=0) :]
    at = opened - len(host)
    named = [one for one in changes_in(host) if not of_the_model(one, host)]
    return [(name, value, at + offset) for name, value, offset in named]


def subject_of(clause: str) -> str | None:
    """The variable of a clause's subject that the vocabulary does not know: "the gate adds"."""
    match = SUBJECT.match(clause)
    if match is None or PRONOUN.match(match.group(1)):
        return None
    return named_by(match.group(1))


def named_by(subject: str) -> str:
    """The variable that a few words are the name of: "the warmdown"."""
    named = changes_in(_ARTICLE.sub("", subject))
    return named[0][0] if len(named) == 1 else f"other:{slug(subject)}"
