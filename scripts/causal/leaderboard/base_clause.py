"""The one score of a clause that may be that of a submission's base, weighed by its words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from interventions.keywords import guarded
from scripts.causal.leaderboard.lineage_patterns import PR
from scripts.causal.leaderboard.sentences import blank

PARENT = 5.0  # the weight of a clause, row or column that names a parent
TURNED = 4.5  # of the number that turned into the own score
_FAR = 120  # characters between a pull request and its score
_SAME_SCORE = 6e-4  # bpb: a README rounds to three or four digits
ROUNDED = 6e-5  # bpb: nearer to the own score, a number is that score again

DECIMAL = re.compile(r"\d\.\d\d")  # asked first: most texts hold no score
_SCORE = re.compile(
    r"(?<![\d.,/#v_+-])(\d\.\d{3,10})(?![\d%]|\.\d)(?!\W{0,3}(?:nats|(?:val_)?loss))|(?<=~)(\d\.\d{2})(?![\d%x]|\.\d)"
)
# Numbers that are no scores: losses, weights' averages, rates and the like.
_NO_SCORE = guarded(
    r"\b(?:(?:val_|train_)?loss|ema|swa|momentum|decay|beta\d?|lr|wd|alpha|gain|temp\w*|std|sigma)"
    r"\W{0,4}\d\.\d+",
    re.IGNORECASE,
)
_ARROW = re.compile(
    r"(?<![\w.])(\d\.\d{3,10})(?: ?bpb)?\s?(?:->|→)\s?(\d\.\d{2,10})(?![\d%])", re.IGNORECASE
)
# One run's stages: its score before one of them is no other's.
STAGE = re.compile(
    r"\b(?:ttt|gptq|quant\w*|hedge|ema|swa|sliding|roundtrip|cache|n-gram|recover\w*|export)\b",
    re.IGNORECASE,
)
MIDWAY = re.compile(
    r"\b(?:pre-?quant\w*|pre-?ttt|post-?ema|round-?trip|raw|float)\b", re.IGNORECASE
)
# The rule's bar ("requires beating 1.2193 to claim a record"), or a run that is not at its end.
_BAR = guarded(r"\brequires? beating\b|\b(?:at|per) (?:step|iter)|\bearly\b", re.IGNORECASE)
_CLAUSE_END = re.compile(r"(?<=[.;])\s")

# What a clause needs to speak of the base at all: a pull request, or one of these words.
_CAN_BE_BASE = (
    "#", "pr", "pull/", "base", "parent", "control", "sota", "leader", "record", "earlier", "buil",
    "standard", "same", "without", "before", "unchanged", "naive", "publish", "original", "source",
    "chang", "differ",
)  # fmt: skip
# What a clause says of the score in it: the first that holds gives the weight.
_EVIDENCE = tuple(
    (weight, re.compile(words, re.IGNORECASE))
    for weight, words in (
        # built upon
        (
            4,
            r"\b(?:builds?|built|building|based) on\b(?! baseline scaling)|\bunchanged from\b|"
            r"^\W*(?:\w+ )?(?:changes?|changed|differences?)\s(?:from|vs\.?|over)\b"
            r"[^.;]{0,40}\(\d\.\d{3}|"
            r"\bbase (?:model(?! params)|stack|run|is|was|of|adapted)\b|"
            r"^\W*(?:the )?(?:base|parent)\b[^.;]{0,60}:|"
            r"(?:^|\(|(?<!than )the )parent\b(?:'s)?(?: [\w-]+){0,4} \(?\d\.\d{3}",
        ),
        # the same run without what is new
        (
            4,
            r"\bsame (?:stack|setup|config\w*|run|model|checkpoint)\b.{0,40}\b"
            r"(?:without|with standard|gives)|"
            r"\bstandard final eval|\b(?:without|before) (?:this|the) change",
        ),
        # what a reproduction reproduces
        (
            3.5,
            r"\bpublished\b\W{0,3}\d\.\d{3}|"
            r"\b(?:source|original) (?:record|run|submission|result)\b(?:'s)?[^.;]{0,40}\d\.\d{3}",
        ),
        # measured against another's work, or the own earlier one
        (
            3,
            r"\b(?:over|vs\.?|versus|than|compar(?:ed|ison|ing) (?:to|with|against)|against|"
            r"improv\w+ (?:on|over|upon))\b[^.;|]{0,60}#\d{2,4}|"
            r"\b(?:improv\w+|extends?|over|vs)\b[^.;]{0,50}\b(?:prior|previous|earlier)\b",
        ),
        # the leader of the day
        (
            3,
            r"^(?=.*\b(?:sota|leader(?:board)?|record)\b)(?:.*#\d{2,4}|.*\b(?:current|merged|"
            r"prev(?:ious)?|prior|vs|target|over|compared|against|beat\w*)\b|"
            r".*\bleaderboard top \(|.*\bsota\W{0,3}\((?:val_bpb|~?\d))",
        ),
        (2, r"\bbaseline\b"),
        (0.5, r"^\W*(?:\w+ ){0,2}control\b"),
    )
)
# The base, and then its score.
_BASE_THEN = re.compile(
    r"\b(?:baseline|base|sota|leader(?:board)?|record)\b(?:[^.;\d|]|#\d{1,4}|\d(?![.\d])){0,30}"
    r"(\d\.\d{2,10})",
    re.IGNORECASE,
)
# "beating the naive baseline (1.2244)", "does not match the baseline of 1.2244"
_AGAINST = guarded(
    r"\b(?:beat(?:s|ing)?|match(?:es|ing)?|outperform(?:s|ing)?|surpass(?:es|ing)?|"
    r"improv(?:es|ing|ement)\s(?:on|over|upon))\b(?:[^.;\d|]|\d+(?![.\d])){0,40}\bbaseline\b"
    r"[^.;\d|]{0,30}(\d\.\d{3,10})",
    re.IGNORECASE,
)
# "1.1252 bpb, worse than the baseline": the number before is another's.
_THAN_BASE = re.compile(
    r"\bwithin [\d.]+(?: bpb)? of\b|"
    r"\b(?:worse|better|lower|higher|above|below|behind|beats?)\b(?:\sthan)?\s(?:[\w'’]+\s){0,2}?"
    r"(?:baseline|sota|record)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Child:
    """The submission whose base is sought: its score, its parents' numbers and its README."""

    score: float | None
    parents: frozenset[str]
    readme: str

    def is_own(self, value: float | None, within: float = _SAME_SCORE) -> bool:
        """Whether a number is the submission's score."""
        return value is not None and self.score is not None and (abs(value - self.score) <= within)

    def is_near(self, value: float) -> bool:
        """Whether a number is within a tenth of the submission's score."""
        return self.score is not None and abs(value - self.score) < 0.1 * self.score

    def names_parent(self, text: str) -> bool:
        """Whether a text names one of the parents."""
        if not any(number in text for number in self.parents):
            return False
        return any(match.group(1) in self.parents for match in PR.finditer(text))

    def parent_weight(self, text: str) -> float:
        """The weight of a text that names parents: a later one's is a little greater."""
        named = {int(match.group(1)) for match in PR.finditer(text)}
        return PARENT - 0.01 * sum(int(parent) > max(named, default=0) for parent in self.parents)

    def is_other(self, value: float, *, exact: bool = False) -> bool:
        """Whether a number can be another run's score: of the own one's size, and not it again.

        With `exact` two numbers of five digits or more that differ are two runs' scores.
        """
        own = self.score
        if own is None:
            return 0.9 < value < 0.99 or 1 < value < 5
        exact = exact and round(value, 4) != value and round(own, 4) != own
        if abs(value - own) <= (1.5e-5 if exact else ROUNDED):
            return False
        if own < 0.9:  # a cache beside the model: the base has none, or a lesser one
            return 0.6 * own < value < 1.3
        if value < 1 < own - 0.02:  # rather a rate or a decay
            return False
        return 0.4 * own < value < 1.8 * own


def in_line(line: str, child: Child) -> Iterator[tuple[float, float, int]]:
    """The scores of one line that may be the base's: weight, value and where it stands."""
    if not DECIMAL.search(line):
        return
    if arrow := _turned(line, child):
        yield TURNED, float(arrow.group(1)), arrow.start()
    start = 0
    for clause in _CLAUSE_END.split(line):
        if DECIMAL.search(clause) and (read := _in_clause(clause, child)):
            weight, value, at = read
            yield weight, value, start + at
        start += len(clause) + 1


def _turned(line: str, child: Child) -> re.Match[str] | None:
    """`1.2472 → 1.2000`, the own score, unless some line calls the former a stage of the run."""
    arrow = _ARROW.search(line) if "->" in line or "→" in line else None
    if arrow is None or not child.is_own(float(arrow.group(2))) or "nats" in line[: arrow.start()]:
        return None
    lines = [line, *child.readme.split("\n")]
    return None if any(arrow.group(1) in at and STAGE.search(at) for at in lines) else arrow


def _in_clause(clause: str, child: Child) -> tuple[float, float, int] | None:
    """The one score of a clause that may be the base's: weight, value and where it stands."""
    low = clause.lower()
    if not any(word in low for word in _CAN_BE_BASE) or _BAR.search(clause):
        return None
    scores = _scores(clause, child)
    if not scores:
        return None
    if (against := _AGAINST.search(clause)) and against.start(1) in scores:
        return 4, scores[against.start(1)], against.start(1)
    first = min(scores)
    if child.names_parent(clause):
        if (at := _of_parent(clause, child, scores)) is not None:
            weight = child.parent_weight(clause) - 0.25 * bool(MIDWAY.search(clause))
            return weight, scores[at], at
        weight = 4.0
    else:
        weight = next((weight for weight, words in _EVIDENCE if words.search(clause)), 0)
        if (named := _BASE_THEN.search(clause)) and named.start(1) in scores:
            first = named.start(1)
        elif clause[first - 1] == "~" or (weight < 4 and _THAN_BASE.search(clause)):
            return None
    lead = re.split(r"\d\.\d", clause[:first])[-1]  # since the number before
    return (weight, scores[first], first) if weight and not MIDWAY.search(lead) else None


def _scores(clause: str, child: Child) -> dict[int, float]:
    """Place → number, of the clause's numbers that can be another run's score."""
    text = _NO_SCORE.sub(blank, clause)
    text = _ARROW.sub(  # what turned into another number is a stage of some run
        lambda arrow: arrow.group() if child.is_own(float(arrow.group(2))) else blank(arrow), text
    )
    found = {match.start(): float(match.group()) for match in _SCORE.finditer(text)}
    return {at: value for at, value in found.items() if child.is_other(value, exact=True)}


def _of_parent(clause: str, child: Child, scores: dict[int, float]) -> int | None:
    """Where the score stands that is nearest to the first parent that has one.

    It lies between that and the pull requests beside it. In a chain of arrows (`PR #1 -> PR #2 ->
    this`) the last parent is the nearest kin.
    """
    mentions = list(PR.finditer(clause))
    order = list(enumerate(mentions))
    for index, mention in reversed(order) if re.search("->|→", clause) else order:
        if mention.group(1) not in child.parents:
            continue
        start = mentions[index - 1].end() if index else 0
        end = mentions[index + 1].start() if index + 1 < len(mentions) else len(clause)
        if clause.rfind("(", start, mention.start()) > clause.rfind(")", start, mention.start()):
            closed = clause.find(")", mention.end(), end)  # a bracket speaks of what is before it
            end = closed if closed > 0 else end
        near = [
            (at - mention.end() if at > mention.start() else mention.start() - at - 6, at)
            for at in scores
            if start <= at < end
        ]
        if near and min(near)[0] <= _FAR:
            return min(near)[1]
    return None
