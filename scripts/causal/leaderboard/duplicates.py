"""One submission that stands in several pull requests, or was merged later, becomes one.

Two folders hold the same submission when

- they bear the same track and folder name, and the name is dated, or both are by one author or in
  one pull request (a plain name such as ``run_v1`` may be two people's);
- or their README.md is the same text;
- or their submission.json is the same text and tells a score.

The rule is transitive. Of the copies the merged record stands before a pull request, a pull
request with fewer submissions before one that carries others along, and a newer before an older;
its facts are taken whole, and the ids of the rest are kept in `also`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from scripts.causal.files import digest
from scripts.causal.leaderboard.schema import Submission

_DATED = re.compile(r"20\d\d[-_]?[01]\d[-_]?[0-3X]")
# Shorter texts are templates and stubs: that they agree says nothing.
_LEAST_README, _LEAST_JSON = 200, 60


@dataclass(frozen=True)
class Fingerprint:
    """Digests of a submission's files; None where a file is absent or too short to tell."""

    readme: str | None
    described: str | None


def fingerprint(readme: str, described: bytes | None) -> Fingerprint:
    """Return the digests; line ends and outer spaces do not count."""
    text = readme.replace("\r\n", "\n").strip()
    raw = (described or b"").replace(b"\r\n", b"\n").strip()
    return Fingerprint(
        digest(text) if len(text) >= _LEAST_README else None,
        digest(raw) if len(raw) >= _LEAST_JSON else None,
    )


def merge_duplicates(
    submissions: Sequence[Submission], fingerprints: Sequence[Fingerprint]
) -> tuple[Submission, ...]:
    """Return every submission once, in the order of the copies kept.

    Args:
        submissions: as read, with ids `TRACK/FOLDER` or `PR/TRACK/FOLDER`.
        fingerprints: one for each.
    """
    carried = Counter(submission.pr for submission in submissions)
    kept = []
    for group in _groups(submissions, fingerprints):
        best = min(
            group,
            key=lambda index: (
                _in_pull(submissions[index]),
                carried[submissions[index].pr] if _in_pull(submissions[index]) else 0,
                -(submissions[index].pr or 0),
                submissions[index].id,
            ),
        )
        kept.append((best, _merged(submissions[best], [submissions[index] for index in group])))
    return tuple(submission for _, submission in sorted(kept, key=itemgetter(0)))


def _merged(best: Submission, copies: Sequence[Submission]) -> Submission:
    """Return `best` with the others' ids and pull request; it is no child of its own copies."""
    others = sorted(copy.id for copy in copies if copy.id != best.id)
    if not others:
        return best
    update: dict[str, object] = {"also": tuple(others)}
    numbers = {copy.pr for copy in copies if copy.pr is not None}
    if best.pr is None and numbers:
        update["pr"] = min(numbers)
    parents = tuple(number for number in best.parent_prs if number not in numbers)
    if parents != best.parent_prs:
        update["parent_prs"] = parents
        if not parents:
            update["sources"] = {k: v for k, v in best.sources.items() if k != "parent_prs"}
    return best.model_copy(update=update)


def _groups(
    submissions: Sequence[Submission], fingerprints: Sequence[Fingerprint]
) -> list[list[int]]:
    """Return the positions of each submission's copies (union-find over shared keys)."""
    leader = list(range(len(submissions)))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    first: dict[Hashable, int] = {}
    for index, (submission, prints) in enumerate(zip(submissions, fingerprints, strict=True)):
        for key in _keys(submission, prints):
            leader[find(index)] = find(first.setdefault(key, index))
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for index in range(len(submissions)):
        groups[find(index)].append(index)
    return list(groups.values())


def _keys(submission: Submission, prints: Fingerprint) -> list[Hashable]:
    """Return what a submission shares with its copies and with nothing else."""
    keys: list[Hashable] = []
    place = _place(submission)
    if _DATED.match(place.rpartition("/")[2]):
        keys.append(("place", place))
    else:
        if submission.author:
            keys.append(("place of author", place, submission.author.casefold()))
        if submission.pr is not None:
            keys.append(("place in pull request", place, submission.pr))
    if prints.readme:
        keys.append(("readme", prints.readme))
    if prints.described and submission.val_bpb is not None:
        keys.append(("described", prints.described))
    return keys


def _place(submission: Submission) -> str:
    """Return the id without the pull request: `TRACK/FOLDER`."""
    head, _, rest = submission.id.partition("/")
    return (rest if head.isdigit() and rest else submission.id).removeprefix("records/")


def _in_pull(submission: Submission) -> bool:
    return submission.id.partition("/")[0].isdigit()
