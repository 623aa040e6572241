"""What READMEs report of a contrast: their ablation rows read as effects between two values.

A report is what one author says of one contrast: the same number in several of an author's (or a
family's) submissions is a copy, and different ones are averaged.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from interventions.vocabulary import Variable
from scripts.causal.graph.lineage import lineage_clusters
from scripts.causal.graph.schema import Level
from scripts.causal.leaderboard.schema import Ablation, Leaderboard

OFF_WORDS = frozenset({"none", "no", "off", "without", "false", "disabled", "baseline"})
UNIT_WORDS = frozenset(
    {"layers", "layer", "blocks", "tokens", "token", "steps", "iters", "buckets", "stride"}
    | {"heads", "bits", "rate", "decay", "lr", "k", "x"}
)
LEAST_STATED = 5  # submissions that state a number, before others are held to their range
# A step of a ladder is measured on what the steps before left. Over the leaderboard of April 2026
# such steps lie a median 0.0102 bpb (75 %: 0.031, n = 57) from the middle of the single ablations
# of the same contrast, single ones 0.0084 (0.024, n = 602), with the sign right in 75 % of both.
# So they count, at twice the variance. Bundles change several things and never count.
LADDER_VARIANCE = 2.0
SAME_NUMBER = 5e-5  # two deltas nearer than half the last digit printed are one number


@dataclass(frozen=True)
class Report:
    """One author's effect for one contrast, in bpb.

    Attributes:
        inflation: of its variance; 1 for single ablations.
    """

    author: str
    contrast: tuple[Level, Level]
    effect: float
    inflation: float = 1.0


@dataclass(frozen=True)
class Reports:
    """All that READMEs report, and how many rows are no evidence, by the reason in words."""

    by_contrast: Mapping[tuple[str, tuple[Level, Level]], tuple[Report, ...]]
    left_out: Mapping[str, int]


def can_be_off(variable: Variable) -> bool:
    """Say whether not using the variable is one of its values."""
    return variable.kind == "binary" or variable.baseline in (0, "none")


def off_level(variable: Variable) -> Level:
    """Return the value that stands for not using the variable."""
    return False if variable.kind == "binary" else variable.baseline


def read_level(variable: Variable, text: str | None) -> Level | None:
    """Return the value that an ablation row's words mean, None when they name none.

    A number must stand alone but for a unit ("stride 64", "4 layers"); "int6 roundtrip" is no 6,
    and 1.1036 is a score, not a number of layers.
    """
    words = re.findall(r"[a-z]+|\d+(?:[.,]\d+)*(?:e-?\d+)?", (text or "").casefold())
    if not words:
        return None
    if words[0] in OFF_WORDS:
        return off_level(variable)
    if variable.kind == "binary":
        return True
    if variable.kind == "categorical":
        plain = "_".join(re.findall(r"[a-z0-9]+", (text or "").casefold()))
        found = [one for one in variable.levels if re.search(rf"(^|_){one}(_|$)", plain)]
        return max(found, key=len) if found else None
    known = UNIT_WORDS | set(variable.id.split("_"))
    numbers = [word for word in words if word[0].isdigit()]
    if len(numbers) != 1 or any(word not in known for word in words if not word[0].isdigit()):
        return None
    try:
        value = float(numbers[0].replace(",", ""))
    except ValueError:
        return None
    if isinstance(variable.baseline, int) and round(value, 2) != value:
        return None
    if "k" in words:
        value *= 1000
    return value


def _rank(variable: Variable, level: Level) -> tuple[int, float, str]:
    """Order of levels, so that a → b and b → a become one contrast."""
    if level == off_level(variable):
        return (0, 0.0, "")
    return (1, 0.0, level) if isinstance(level, str) else (1, float(level), "")


def read_contrast(variable: Variable, row: Ablation) -> tuple[tuple[Level, Level], float] | None:
    """Return the contrast and its effect in bpb, control first; None when it is not clear.

    Rows in nats are left out where the submission does not state its ratio of bpb to nats.
    """
    effect = row.effect_bpb
    if row.kind == "bundle" or effect is None:
        return None
    before, after = read_level(variable, row.from_), read_level(variable, row.to)
    off = off_level(variable)
    if can_be_off(variable):
        if variable.kind != "categorical":
            after = True if after is None else after
        elif after is None and row.to and (before == off or not row.from_):
            after = True  # used, in a way that the row does not name
        before = off if before is None else before
    if before is None or after is None or before == after:
        return None
    if variable.kind == "numeric" and can_be_off(variable) and off in (before, after):
        before, after = (off if one == off else True for one in (before, after))
    if _rank(variable, before) > _rank(variable, after):
        before, after, effect = after, before, -effect
    return (before, after), effect


def stated_ranges(
    leaderboard: Leaderboard, variables: Mapping[str, Variable]
) -> dict[str, tuple[float, float]]:
    """Return the smallest and largest number that submissions state, per numeric variable."""
    ranges = {}
    for name, variable in variables.items():
        if variable.kind != "numeric":
            continue
        values = [one.techniques.get(name) for one in leaderboard.submissions]
        numbers = [float(v) for v in values if isinstance(v, int | float) and v is not True]
        if len(numbers) >= LEAST_STATED:
            numbers.append(float(variable.baseline))
            ranges[name] = min(numbers), max(numbers)
    return ranges


def _within(contrast: tuple[Level, Level], limits: tuple[float, float] | None) -> bool:
    return limits is None or all(
        isinstance(one, bool | str) or limits[0] <= one <= limits[1] for one in contrast
    )


def _why_not(variables: Mapping[str, Variable], row: Ablation) -> str:
    if row.kind == "bundle":
        return "several changes at once"
    if row.variable not in variables:
        return "about nothing in the vocabulary"
    return "in nats, without the factor to bpb" if row.effect_bpb is None else "values not named"


def collect_reports(leaderboard: Leaderboard, variables: Mapping[str, Variable]) -> Reports:
    """Return one report per author and contrast; copies of a number count once.

    Rows of one submission are averaged. A number that stands for the same contrast in another
    submission of the author, or of the same family, is a copy; an author's others are averaged. A
    table copied further down a line of descent, by another author, is not seen to be one.
    """
    families = lineage_clusters(leaderboard.submissions)
    ranges = stated_ranges(leaderboard, variables)
    rows: dict[tuple[str, tuple[Level, Level]], dict[int, list[tuple[float, float]]]]
    rows = defaultdict(lambda: defaultdict(list))
    left_out: Counter[str] = Counter()
    for place, submission in enumerate(leaderboard.submissions):
        for row in submission.ablations:
            variable = variables.get(row.variable)
            read = read_contrast(variable, row) if variable else None
            if read is None:
                left_out[_why_not(variables, row)] += 1
                continue
            if not _within(read[0], ranges.get(row.variable)):
                left_out["a value that no submission has: a score, taken for a setting"] += 1
                continue
            inflation = LADDER_VARIANCE if row.kind == "cumulative" else 1.0
            rows[row.variable, read[0]][place].append((read[1], inflation))
    authors = [one.author or one.id for one in leaderboard.submissions]
    found = {}
    for key, by_submission in rows.items():
        found[key], copies = _per_author(key[1], by_submission, authors, families)
        if copies:
            left_out["a number that the author or the family reports elsewhere"] += copies
    return Reports(found, dict(left_out))


def _per_author(
    contrast: tuple[Level, Level],
    by_submission: Mapping[int, Sequence[tuple[float, float]]],
    authors: Sequence[str],
    families: Sequence[str],
) -> tuple[tuple[Report, ...], int]:
    """Return one report per author of a contrast, and how many submissions give a copy.

    Args:
        contrast: control and treatment.
        by_submission: place → its rows' (effect in bpb, inflation).
        authors: of every submission.
        families: of every submission.
    """
    seen: list[tuple[float, str, str]] = []
    by_author: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for place, pieces in by_submission.items():
        author, family = authors[place], families[place]
        effect = fmean(piece[0] for piece in pieces)
        if any(
            abs(effect - one) < SAME_NUMBER and (author == other or family == kin)
            for one, other, kin in seen
        ):
            continue
        seen.append((effect, author, family))
        by_author[author].append((effect, max(piece[1] for piece in pieces)))
    reports = tuple(
        Report(author, contrast, fmean(piece[0] for piece in own), min(piece[1] for piece in own))
        for author, own in by_author.items()
    )
    return reports, len(by_submission) - len(seen)
