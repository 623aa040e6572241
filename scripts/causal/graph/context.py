"""What a submission did not choose and what may yet stand behind both its choices and its score.

The date (everybody learns), the track (its rules), how long the line is that it builds on and how
good its parent scored (a good base goes on to what is copied and what is scored), and how many
submissions its author had made before (skill). Each is known of every row, or says that it is not.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np

from scripts.causal.graph.lineage import oldest_first
from scripts.causal.leaderboard.schema import Submission

LABELS = {
    "date": "date",
    "track": "track",
    "ancestors": "ancestors in line",
    "parent_bpb": "parent's score",
    "earlier": "author's earlier submissions",
}
TRACK_PREFIX = "track_"
NONE_NAMED = "none named"
THIRDS = ("best third", "middle third", "worst third")


@dataclass(frozen=True)
class Context:
    """One context column over the chosen submissions.

    Attributes:
        cells: one per submission; text for a categorical one.
        guessed: how many of them are guesses.
    """

    id: str
    kind: Literal["numeric", "categorical"]
    cells: list[float] | list[str]
    guessed: int = 0


def days(date: str | None) -> float | None:
    """Return an ISO date as days since 1970, None when it is not one."""
    try:
        return float(datetime.date.fromisoformat((date or "")[:10]).toordinal() - 719163)
    except ValueError:
        return None


def read_context(
    submissions: Sequence[Submission], parents: Sequence[int | None], rows: Sequence[int]
) -> tuple[Context, ...]:
    """Return the context columns of some of the submissions.

    Args:
        submissions: all of them: parents and earlier ones need not be among the chosen.
        parents: place of each one's parent (`lineage.parent_rows`).
        rows: places of the chosen ones.
    """
    chosen = [submissions[row] for row in rows]
    dates, guessed = _dates(chosen)
    generations = _generations(parents)
    earlier = _earlier(submissions)
    return (
        Context("date", "numeric", dates, guessed),
        Context("track", "categorical", [_track(one) for one in chosen]),
        Context("ancestors", "numeric", [float(generations[row]) for row in rows]),
        Context("parent_bpb", "categorical", _parents_score(submissions, parents, rows)),
        Context("earlier", "categorical", [earlier[row] for row in rows]),
    )


def _dates(submissions: Sequence[Submission]) -> tuple[list[float], int]:
    """Return the days, and how many are guessed.

    Pull requests are numbered in order: an undated submission is of the day of the dated one
    whose number is nearest; without a number, of the median day.
    """
    given = [days(one.date) for one in submissions]
    known = [day for day in given if day is not None]
    usual = float(median(known)) if known else 0.0
    numbered = [
        (min(one.pull_requests), day)
        for one, day in zip(submissions, given, strict=True)
        if day is not None and one.pull_requests
    ]

    def guess(one: Submission) -> float:
        if not numbered or not one.pull_requests:
            return usual
        own = min(one.pull_requests)
        return min(numbered, key=lambda pair: (abs(pair[0] - own), pair[0]))[1]

    filled = [
        guess(one) if day is None else day for one, day in zip(submissions, given, strict=True)
    ]
    return filled, given.count(None)


def _track(submission: Submission) -> str:
    return (submission.track or "unstated").removeprefix(TRACK_PREFIX)


def _generations(parents: Sequence[int | None]) -> list[int]:
    """Return how many ancestors each can be followed back through; 0 names none that is there."""
    found = [0] * len(parents)
    for row in oldest_first(parents):
        parent = parents[row]
        found[row] = 0 if parent is None else found[parent] + 1
    return found


def _parents_score(
    submissions: Sequence[Submission], parents: Sequence[int | None], rows: Sequence[int]
) -> list[str]:
    """Return in which third of the known ones the score built on lies: as stated, else as read."""
    scores: list[float | None] = []
    for row in rows:
        own, parent = submissions[row], parents[row]
        read = None if parent is None else submissions[parent].val_bpb
        scores.append(own.base_bpb if own.base_bpb is not None else read)
    known = [score for score in scores if score is not None]
    bounds = np.quantile(known, (1 / 3, 2 / 3)) if known else np.zeros(2)
    return [
        NONE_NAMED if score is None else THIRDS[int(np.searchsorted(bounds, score))]
        for score in scores
    ]


def _earlier(submissions: Sequence[Submission]) -> list[str]:
    """Return how many submissions of lower number, or date, each one's author has."""
    moments = [(min(one.pull_requests, default=0), one.date or "") for one in submissions]
    made: Counter[str] = Counter()
    found = ["author unnamed"] * len(submissions)
    for row in sorted(range(len(submissions)), key=lambda row: (moments[row], row)):
        author = (submissions[row].author or "").strip().casefold()
        if author:
            count = made[author]
            found[row] = "none" if count == 0 else "1 to 3" if count < 4 else "4 or more"
            made[author] += 1
    return found
