"""A tree of submissions → the leaderboard's facts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scripts.causal.files import InputError
from scripts.causal.leaderboard.archive import ArchiveTree
from scripts.causal.leaderboard.duplicates import Fingerprint, fingerprint, merge_duplicates
from scripts.causal.leaderboard.extract import collection_paused, extract_submission
from scripts.causal.leaderboard.schema import Leaderboard, Source, Submission
from scripts.causal.leaderboard.script_defaults import read_defaults
from scripts.causal.leaderboard.sources import (
    DESCRIBED,
    README,
    SCRIPT,
    FolderTree,
    Place,
    Tree,
    find_places,
)
from scripts.causal.leaderboard.submission_json import Fact, parse_submission_json


def open_tree(path: Path) -> Tree:
    """Return a folder of submissions, a clone's records, or a tar archive, as a tree.

    Raises:
        InputError: no such folder or file, or a file that is no tar archive.
    """
    return ArchiveTree(path) if path.is_file() else FolderTree(path)


@collection_paused()
def read_leaderboard(
    tree: Tree,
    *,
    keep_going: bool = False,
    merge: bool = True,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Leaderboard:
    """Read every submission of a tree, in path order.

    Args:
        tree: where they are.
        keep_going: rather than raise, note a README that cannot be read in `unreadable` and a
            submission.json in its submission's `problems`, and go on.
        merge: make one of the copies of one submission (see `duplicates`).
        progress: told the fraction done.

    Raises:
        InputError: no submission in it, or (unless `keep_going`) a file in it that cannot be read.
    """
    places = find_places(tree)
    submissions: list[Submission] = []
    prints: list[Fingerprint] = []
    unreadable: dict[str, str] = {}
    for done, place in enumerate(places):
        try:
            submission, digests = read_submission(tree, place, keep_going=keep_going)
            submissions.append(submission)
            prints.append(digests)
        except InputError as error:
            if not keep_going:
                raise
            unreadable[place.id] = str(error)
        progress((done + 1) / len(places))
    read = merge_duplicates(submissions, prints) if merge else tuple(submissions)
    return Leaderboard(source=tree.name, submissions=read, unreadable=unreadable)


def read_submission(
    tree: Tree, place: Place, *, keep_going: bool = False
) -> tuple[Submission, Fingerprint]:
    """Read one submission's facts, and the digests that tell its copies.

    Args:
        tree: where it is.
        place: its folder.
        keep_going: read the README alone where submission.json cannot be read.

    Raises:
        InputError: README.md or (unless `keep_going`) submission.json cannot be read or parsed.
    """
    readme = read_readme(tree, place)
    described: bytes | None = None
    facts: list[Fact] = []
    problems = []
    if DESCRIBED in place.names:
        try:
            described = tree.read(place.path(DESCRIBED))
            text = described.decode("utf-8", errors="replace")
            facts = parse_submission_json(text, tree.where(place.path(DESCRIBED)))
        except InputError as error:
            if not keep_going:
                raise
            problems.append(f"{DESCRIBED}: {error.what}")
    else:
        problems.append(f"no {DESCRIBED} beside {README}")
    read = extract_submission(place.id, readme, facts, problems)
    return _with_defaults(_placed(read, place), tree, place), fingerprint(readme, described)


def read_readme(tree: Tree, place: Place) -> str:
    """Return a submission's README.

    Raises:
        InputError: it cannot be read.
    """
    return tree.read(place.path(README)).decode("utf-8", errors="replace")


def _placed(read: Submission, place: Place) -> Submission:
    """Return the submission with the pull request it stands in, whatever it says itself."""
    if place.pr is None or place.pr == read.pr:
        return read
    return read.model_copy(
        update={
            "pr": place.pr,
            "parent_prs": tuple(number for number in read.parent_prs if number != place.pr),
            "sources": {name: source for name, source in read.sources.items() if name != "pr"},
        }
    )


def _with_defaults(read: Submission, tree: Tree, place: Place) -> Submission:
    """Return the submission with its script's defaults; a script nobody can read is a problem."""
    if SCRIPT not in place.names:
        return read
    try:
        text = tree.read(place.path(SCRIPT)).decode("utf-8", errors="replace")
        found = read_defaults(text, tree.where(place.path(SCRIPT)))
    except InputError as error:
        return read.model_copy(update={"problems": (*read.problems, f"{SCRIPT}: {error.what}")})
    told = {*read.techniques, *read.absent}
    own = {name: default for name, default in found.items() if name not in told}
    lines = {
        f"defaults.{name}": Source(file=SCRIPT, line=default.line) for name, default in own.items()
    }
    return read.model_copy(
        update={
            "defaults": {name: default.value for name, default in own.items()},
            "sources": {**read.sources, **lines},
        }
    )
