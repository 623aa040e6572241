"""Which submissions are kin: who builds on whom, and who varies together."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.causal.leaderboard.schema import Submission

CLUSTER_RULE = (
    "family: submissions that name the same first parent pull request, with that parent; "
    "a submission without a parent or child goes with its author's others"
)


def parent_rows(submissions: Sequence[Submission]) -> tuple[int | None, ...]:
    """Return for each submission the place of the one it builds on, None when it is not there.

    The first parent pull request that stands in the list counts, under any of the numbers that a
    submission has. Of several submissions in one pull request the best score is what was built
    on. A pull request of a higher number is no parent, so no chain comes back to where it began.
    """
    standing: dict[int, list[int]] = {}
    for row, submission in enumerate(submissions):
        for number in submission.pull_requests:
            standing.setdefault(number, []).append(row)

    def parent(row: int) -> int | None:
        child = submissions[row]
        for number in child.parent_prs:
            earlier = [one for one in standing.get(number, ()) if _before(submissions[one], child)]
            if earlier:
                return min(earlier, key=lambda one: (_score(submissions[one]), one))
        return None

    return tuple(parent(row) for row in range(len(submissions)))


def _score(submission: Submission) -> float:
    return float("inf") if submission.val_bpb is None else submission.val_bpb


def _before(one: Submission, child: Submission) -> bool:
    """Say whether a submission that has a pull request came before the child.

    By the lowest of its numbers; a child without any can be nobody's parent and close no chain.
    """
    numbers = child.pull_requests
    return not numbers or min(one.pull_requests) < min(numbers)


def oldest_first(parents: Sequence[int | None]) -> tuple[int, ...]:
    """Return the rows in an order in which every parent stands before its children."""
    order: list[int] = []
    placed = [False] * len(parents)
    for start in range(len(parents)):
        chain = []
        row: int | None = start
        while row is not None and not placed[row]:
            placed[row] = True
            chain.append(row)
            row = parents[row]
        order.extend(reversed(chain))
    return tuple(order)


def lineage_clusters(submissions: Sequence[Submission]) -> tuple[str, ...]:
    """Return one cluster label per submission, in order.

    Connected components over the parent links would be the textbook choice, but a leaderboard
    is one long chain of forks and falls into a single component; families (a parent and those
    that build on it directly) keep the closest kin together and leave enough blocks to resample.
    """
    parents = {parent for one in submissions for parent in one.parent_prs[:1]}
    labels = []
    for submission in submissions:
        if submission.parent_prs:
            labels.append(f"pr {submission.parent_prs[0]}")
        elif submission.pr is not None and submission.pr in parents:
            labels.append(f"pr {submission.pr}")
        elif submission.author:
            labels.append(f"author {submission.author}")
        elif submission.pr is not None:
            labels.append(f"pr {submission.pr}")
        else:
            labels.append(f"submission {submission.id}")
    return tuple(labels)
