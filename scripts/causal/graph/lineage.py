"""Which submissions are kin: those that build on the same pull request vary together."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.causal.leaderboard.schema import Submission

CLUSTER_RULE = (
    "family: submissions that name the same first parent pull request, with that parent; "
    "a submission without a parent or child goes with its author's others"
)


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
