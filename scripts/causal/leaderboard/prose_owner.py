"""What a number in a sentence is of, where the words beside it tell."""

from __future__ import annotations

import re
from collections.abc import Sequence

from scripts.causal.leaderboard.changed import Named, changes_in
from scripts.causal.leaderboard.contrasts import slug
from scripts.causal.leaderboard.sentences import PRONOUN, SUBJECT
from scripts.causal.leaderboard.stated_deltas import StatedDelta
from scripts.causal.leaderboard.topics import of_the_model

_COMES_FROM = re.compile(  # "-0.003 BPB from shard ordering alone"
    r"(?: mean)?(?: (?:improvement|gain|contribution|reduction|benefit|drop|win|delta|"
    r"degradation|hit))?"
    r"(?: (?:that )?(?:comes?|came|stems?))?(?: (?:mostly|mainly|almost|entirely|purely|largely))*"
    r" (?:from|due to|thanks to) (?:the |our |a |an |its )?([A-Za-z][^,;:.()|\n]{2,60})"
)
_DELTA_FROM = re.compile(  # "Delta from sequence matching: -0.0018 BPB"
    r"\b(?:delta|improvement|gain|contribution|Δ) from "
    r"(?:the )?([A-Za-z][^,;:.()|\n]{2,40}): ?\W{0,3}$",
    re.IGNORECASE,
)
_GAIN_FROM = re.compile(  # "the capacity gain from the additional layer (~0.01 bpb)"
    r"\b(?:gain|loss|benefit|improvement|contribution|penalty|cost) (?:from|of) "
    r"(?:the |a |an )?([A-Za-z][^,;:.()|\n]{2,40}) \(\W{0,2}$",
    re.IGNORECASE,
)
_THAT_GIVES = re.compile(  # "our old stack with a new cache that provides -0.49 BPB"
    r"\b(?:with|and|of|by|using|adds?|adding|a|an|the) ([A-Za-z][^,;:.()|\n]{2,40}),? "
    r"(?:that|which) (?:provides?|gives?|yields?|brings?|delivers?|saves?|costs?|adds?|improves?) "
    r"(?:[a-z]+ ){0,2}\W{0,3}$",
    re.IGNORECASE,
)
_NO_SOURCE = re.compile(  # a run, a score or what somebody reported
    r"#\d|\bPR\b|baseline|SOTA|record|reference|\bruns?\b|\bthis\b|quanti[sz]|round-?trip|"
    r"\d\.\d{3}|^(?:step|seed|start|scratch|one|there|here|it|previous|prior|first|int\d|"
    r"fp\d\d)\b|'s\b|\bto\b",
    re.IGNORECASE,
)
_ENDS = re.compile(r" (?:alone|and|is|was|are|on|at|in|with|for|by|over|which|that|rather)\b.*")
_MANY = re.compile(r"\b(?:two|three|four|five|several|both|all|combin\w*|changes)\b|\+", re.I)
_ALONE = " alone"
_WORD = re.compile(r"[A-Za-z]{3,}")
_ARTICLE = re.compile(r"\W*(?:the|our|an?)\s", re.IGNORECASE)
_BREAK = re.compile(r"[,;:]| - |—|\b(?:and|but|while|then|where|which)\b", re.IGNORECASE)


def brought_by(text: str, delta: StatedDelta) -> str | None:
    """The variable of "0.18 BPB improvement comes from the cache".

    What the vocabulary does not know counts where it is said to do so alone.
    """
    before = (said.search(text[: delta.start]) for said in (_DELTA_FROM, _GAIN_FROM, _THAT_GIVES))
    match = _COMES_FROM.match(text, delta.end) or next(filter(None, before), None)
    if match is None or _NO_SOURCE.search(match.group(1)):
        return None
    if _MANY.search(match.group(1)):
        return "other:bundle"
    source = _ENDS.sub("", match.group(1))
    named = changes_in(source)
    if named or (match.re is _COMES_FROM and _ALONE not in match.group(1)):
        return named[0][0] if len({name for name, _, _ in named}) == 1 else None
    return f"other:{slug(source)}"


def bracketed(text: str, delta: StatedDelta) -> Named:
    """What stands before the brackets that a number is in: "EMA (from PR #1, -0.003 bpb)"."""
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


def named_by(subject: str, headed: Named | None = None, title: Sequence[str] = ()) -> str:
    """The variable that a few words are the name of: "the warmdown".

    Args:
        subject: the words.
        headed: the techniques in the heading above.
        title: that heading, whose technique it is where both speak of one thing.
    """
    named = changes_in(_ARTICLE.sub("", subject))
    if not named and headed and len(headed) == 1:
        words = {word.lower() for word in _WORD.findall(" ".join(title))}
        named = headed if words & {word.lower() for word in _WORD.findall(subject)} else []
    return named[0][0] if len(named) == 1 else f"other:{slug(subject)}"
