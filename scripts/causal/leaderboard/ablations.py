"""Reported contrasts of tables and sentences, under one sign: negative is better."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scripts.causal.leaderboard.contrasts import reading_of
from scripts.causal.leaderboard.document import Document
from scripts.causal.leaderboard.listed import listed_tables
from scripts.causal.leaderboard.nats import with_bpb
from scripts.causal.leaderboard.novelty import by_novelty
from scripts.causal.leaderboard.prose_contrasts import prose_contrasts
from scripts.causal.leaderboard.prose_pairs import stage_arrows
from scripts.causal.leaderboard.schema import Ablation, Source
from scripts.causal.leaderboard.stage_ladders import stage_contrasts
from scripts.causal.leaderboard.stages import STAGE_VARIABLES
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.table_contrasts import metric_contrasts, table_contrasts

MAX_ABLATIONS = 200
_LARGE = 0.01  # bpb: so much, twice, is one thing
_ROUNDED = 5.1e-4  # bpb: three decimals
_MANY = 3  # numbers that two tables share: no chance
_PLAIN = 5e-3  # bpb: of less, many a change is by chance


def read_ablations(
    document: Document,
    facts: Sequence[Fact] = (),
    final: float | None = None,
    used: Iterable[str] = (),
) -> list[Ablation]:
    """Contrasts of all tables and sentences, then the stage ladder; each reported once.

    What one table or one block states twice differs in something; a repetition is elsewhere, and
    of the two the one with more decimals stays.
    """
    reading = reading_of(document, used)
    found: list[Ablation] = []
    listed = listed_tables(document)
    groups = [*table_contrasts(reading, listed), *prose_contrasts(reading, final)]
    groups += [
        stage_contrasts(document, listed, final),
        stage_arrows(reading),
        *metric_contrasts(reading),
    ]
    for group in groups:
        others = list(range(len(found)))  # what one group says twice is two things
        again = _told_again(group, found)
        for ablation in group:
            if again and ablation.delta in again:
                continue
            twin = next((i for i in others if _same(ablation, found[i])), None)
            named = next((i for i in others if _named_now(ablation, found[i])), None)
            if any(_backwards(ablation, found[i]) for i in others):
                continue
            if twin is None and named is not None:
                twin = named
                found[twin] = ablation
            elif twin is not None and _decimals(found[twin]) <= 3 < _decimals(ablation):
                found[twin] = ablation
            elif twin is None and len(found) < MAX_ABLATIONS:
                found.append(ablation)
            if twin is not None and found[twin] is ablation:
                others.remove(twin)
    return by_novelty(with_bpb(found, document, facts), document)


def stated_techniques(ablations: Sequence[Ablation]) -> dict[str, Source]:
    """Techniques outside the vocabulary that a submission adds, each with its line.

    A step of a cumulative ladder that lowered the score is part of the submission that the ladder
    ends in; a single contrast may as well have been tried and left out.
    """
    steps = [a for a in ablations if a.kind == "cumulative" and a.delta < 0]
    return {a.variable: a.source for a in steps if a.variable.startswith("other:")}


def _same(one: Ablation, other: Ablation) -> bool:
    """Whether two places report one contrast, one of them perhaps rounded."""
    if one.variable != other.variable:
        precise = min(_decimals(one), _decimals(other)) > 3
        exact = precise and one.delta == other.delta
        if _retold(one, other):
            return True
        if one.variable == "other:bundle" and _decimals(one) >= 3 and one.delta == other.delta:
            return True  # "this combination yields -0.0165" of what a row names
        unknown = {one.variable, other.variable} - STAGE_VARIABLES
        whole = "other:bundle" in unknown and all(name.startswith("other:") for name in unknown)
        if precise and whole and len(unknown) == 2 and abs(one.delta - other.delta) <= 6e-5:
            return True
        if _rounded_whole(one, other) or _rounded_whole(other, one):
            return True
        return exact and _one_named_shorter(one.variable, other.variable)
    gap = abs(one.delta - other.delta)
    coarse, fine = sorted(map(_decimals, (one, other)))
    if one.variable == "sliding_window_eval" and coarse <= 2 < fine and gap <= 5.1e-3:
        return True  # "free ~0.03 bpb" beside the two scores
    exact = min(_decimals(one), _decimals(other)) > 3
    if gap <= max(6e-5, (2e-3 if exact else 0.03) * abs(other.delta)):
        return True
    rounded = min(_decimals(one), _decimals(other)) <= 3
    return gap <= 5.5e-4 and (rounded or (abs(one.delta) > 0.004 and one.source != other.source))


def _told_again(group: Sequence[Ablation], found: Sequence[Ablation]) -> set[float]:
    """The changes of a table that sums up another's: most of its rows have the same numbers."""
    if not all((one.quote or "").startswith("|") for one in group):
        return set()
    known = {one.delta for one in found if (one.quote or "").startswith("|")}
    changes = {one.delta for one in group if one.delta}
    same = changes & known
    return {*same, 0.0} if len(same) >= _MANY and len(same) * 2 > len(changes) else set()


def _retold(one: Ablation, other: Ablation) -> bool:
    """Whether a sentence tells of a table's row again, by another name and perhaps rounded.

    Where both name a technique of the vocabulary two changes may well be as large.
    """
    told = [(a.quote or "").startswith("|") for a in (one, other)]
    unknown = any(a.variable.startswith("other:") for a in (one, other))
    decimals = _decimals(one)
    if told != [False, True] or not unknown or one.variable == "other:bundle":
        return False  # a margin over another run is no row of a table
    if abs(one.delta) < _PLAIN or decimals < 3:
        return False
    return abs(one.delta - other.delta) <= max(0.51 * 10.0**-decimals, 6e-5)


def _rounded_whole(one: Ablation, other: Ablation) -> bool:
    """Whether "0.041 better in all" is the rounded delta of what the vocabulary does not know."""
    rounded = one.variable == "other:bundle" and _decimals(one) <= 3 and abs(one.delta) >= _LARGE
    gap = abs(one.delta - other.delta)
    return rounded and other.variable.startswith("other:") and gap <= 2 * _ROUNDED


def _backwards(one: Ablation, other: Ablation) -> bool:
    """Whether one row's difference of two stages has been told already, the other way round."""
    apart = abs(one.delta + other.delta) <= _ROUNDED < abs(one.delta)
    return (
        apart and one.source == other.source and {one.variable, other.variable} <= STAGE_VARIABLES
    )


def _named_now(one: Ablation, other: Ablation) -> bool:
    """Whether `one` names the stage that an exact difference of unnamed things is of."""
    exact = other.variable == "other:bundle" and _decimals(other) > 3
    return exact and one.delta == other.delta and one.variable in STAGE_VARIABLES


def _one_named_shorter(one: str, other: str) -> bool:
    """Whether one technique outside the vocabulary is the other, more briefly: lr, ttt_lr."""
    if not (one.startswith("other:") and other.startswith("other:")):
        return False
    words = [set(name.removeprefix("other:").split("_")) for name in (one, other)]
    return words[0] <= words[1] or words[1] <= words[0]


def _decimals(ablation: Ablation) -> int:
    return len(f"{ablation.delta:.8f}".rstrip("0").partition(".")[2])
