"""Rules on the scores that the documents of a folder state, held against one another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from statistics import fmean

from scripts.causal.stats.record import ALPHA, MARGIN_NATS, beats
from scripts.causal.submission.claims import Claims, digits, same, scores_in
from scripts.causal.submission.folder import README
from scripts.causal.submission.verdicts import Verdict, decided, failed, open_question, passed

# By how much bytes per token may differ between seeds that were evaluated on one text: scores
# are published with four or five digits.
RATIO_TOLERANCE = 2e-4
NEAR = 0.02  # bpb; what lies farther off is another run's or another model's


def seeds_make_the_mean(described: Claims | None, in_readme: Claims | None) -> Verdict:
    """The score is the mean of all seeds' scores, not the best one.

    The README's seeds stand in where submission.json has none.
    """
    rule = "mean over seeds"
    if described is None or described.bpb is None:
        return open_question(rule, "no score is stated")
    for one in (described, in_readme):
        scores = [seed.bpb for seed in one.seeds.values() if seed.bpb] if one else []
        if one is not None and len(scores) > 1:
            break
    else:
        return open_question(rule, "one run, or no scores per seed")
    mean = fmean(scores)
    unit = 10.0 ** -min(digits(described.bpb), max(map(digits, scores)))
    words = (
        f"{described.bpb:.8g} stated, the mean of {len(scores)} seeds of {one.file} is {mean:.6f}"
    )
    if abs(described.bpb - mean) < 1.001 * unit:  # of scores that were rounded themselves
        return passed(rule, words)
    if one is not described and abs(described.bpb - mean) > NEAR:
        return open_question(rule, f"{words}: those are other runs")
    return failed(rule, words)


def one_bytes_per_token(described: Claims | None) -> Verdict:
    """bpb and nats are of the same tokens: their ratio is the text's, whatever the seed."""
    rule = "one ratio of bpb to nats"
    if described is None:
        return open_question(rule, "no scores are stated")
    pairs: list[tuple[str, float | None, float | None]] = [
        ("mean", described.bpb, described.loss),
        *((f"seed {seed}", one.bpb, one.loss) for seed, one in described.seeds.items()),
    ]
    ratios = {name: loss / math.log(2) / bpb for name, bpb, loss in pairs if bpb and loss}
    if len(ratios) < 2:
        return open_question(rule, "bpb and nats are stated together fewer than two times")
    low, high = (choose(ratios, key=ratios.__getitem__) for choose in (min, max))
    words = f"{ratios[low]:.5f} bytes a token ({low}) to {ratios[high]:.5f} ({high})"
    if ratios[high] / ratios[low] - 1 > RATIO_TOLERANCE:
        return failed(rule, words)
    return passed(rule, words)


def documents_agree(claims: Sequence[Claims], readme: str | None) -> Verdict:
    """No two documents state another score for the submission or for one of its seeds.

    A README may lead with another of its numbers, or report several stages; what is read from it
    contradicts another document only if it says that document's number nowhere.
    """
    faults: list[str] = []
    kept: list[str] = []
    numbers = scores_in(readme or "")
    for first, second in combinations(claims, 2):
        for what, one, other in _pairs(first, second):
            words = f"{what}: {first.file} {one}, {second.file} {other}"
            if one == other if isinstance(one, int) else same(one, other):
                kept.append(words)
            elif README not in (first.file, second.file):
                faults.append(words)
            elif any(same(number, other if first.file == README else one) for number in numbers):
                kept.append(words)
            elif abs(one - other) < NEAR:
                faults.append(words)
    agree = [f"{len(kept)} pairs of numbers agree"] if kept else []
    return decided("documents agree", faults, agree, "no number stands in two documents")


def record_margin(
    is_record: bool | None, described: Claims | None, target: tuple[str, Sequence[float]] | None
) -> Verdict:
    """A record beats the one before by 0.005 nats a token at p < 0.01; else it is not named so.

    Args:
        target: the record to beat: its name, and its scores in bpb.
    """
    rule = "record margin, or named non-record"
    if is_record is False:
        return passed(rule, "named non-record")
    if is_record is None:
        return open_question(rule, "nothing says whether it is meant as a record")
    if described is None or target is None or not described.bpb or not described.loss:
        return open_question(rule, "no score in bpb and nats, or no record before it")
    scores = [seed.bpb for seed in described.seeds.values() if seed.bpb is not None]
    if len(scores) < 2:
        return open_question(rule, "fewer than two seeds are stated")
    ratio = described.bpb / described.loss
    found = beats(scores, target[1], MARGIN_NATS * ratio)
    chance = "no spread to test" if found.p is None else f"p = {found.p:.2g} ({found.method})"
    words = (
        f"{found.improvement / ratio:+.4f} nats better than {target[0]}, "
        f"{MARGIN_NATS} asked for, {chance}"
    )
    if found.p is not None and found.p < ALPHA:
        return passed(rule, words)
    return failed(rule, words)


def _pairs(first: Claims, second: Claims) -> Iterator[tuple[str, float, float]]:
    """What both state: its name, and the two numbers."""
    stated = [("score in bpb", first.bpb, second.bpb)]
    for seed in sorted(first.seeds.keys() & second.seeds.keys()):
        one, other = first.seeds[seed], second.seeds[seed]
        stated += [
            (f"seed {seed}, bpb", one.bpb, other.bpb),
            (f"seed {seed}, nats", one.loss, other.loss),
            (f"seed {seed}, bytes of model", one.model, other.model),
        ]
    for what, mine, theirs in stated:
        if mine is not None and theirs is not None:
            yield what, mine, theirs
