"""Where submissions come from: a tree of files by path, whatever holds it, and what is in it.

A tree is a folder (here), an archive (`archive.py`) or a git repository (`git_objects.py`).
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scripts.causal.files import InputError

README, DESCRIBED, SCRIPT = "README.md", "submission.json", "train_gpt.py"
WANTED = frozenset((README, DESCRIBED, SCRIPT))
# The largest file of each name that is read. The longest README upstream has 0.1 MB.
LIMITS = {README: 1024 * 1024, DESCRIBED: 2 * 1024 * 1024, SCRIPT: 512 * 1024}
MAX_FILES = 200_000

_PULL = re.compile(r"[1-9]\d{0,6}")
# What stands before a track or a pull request's number, in a clone and in an archive of one.
_BRANCH = re.compile(r"^(?:(?:main/)?records/|pulls/(?=[1-9]\d{0,6}/))(?=.)")


class Tree(Protocol):
    """Files by `/`-separated path below one root.

    Attributes:
        name: what the facts' source is called.
        pull_requests: folder → the pull request that brought it, where the tree knows.
    """

    name: str
    pull_requests: Mapping[str, int]

    def paths(self) -> Iterable[str]:
        """Return the paths of all files named in `WANTED`."""
        ...

    def where(self, path: str) -> str:
        """Return how an error message names the file."""
        ...

    def read(self, path: str) -> bytes:
        """Return the file's bytes.

        Raises:
            InputError: it cannot be read, or is larger than `LIMITS` allow its name.
        """
        ...


@dataclass(frozen=True)
class Place:
    """One submission's folder in a tree.

    Attributes:
        folder: its path in the tree.
        id: `TRACK/FOLDER` of a merged record, `PR/TRACK/FOLDER` in a pull request; the path
            itself where a tree is laid out otherwise.
        pr: the pull request that it stands in.
        names: which of the wanted files it has.
    """

    folder: str
    id: str
    pr: int | None
    names: frozenset[str]

    def path(self, name: str) -> str:
        """Return the path of one of its files."""
        return f"{self.folder}/{name}" if self.folder else name


class FolderTree:
    """A folder on disk; links to folders are not followed, hidden folders are passed over."""

    def __init__(self, folder: Path) -> None:
        """Open a folder; of a clone of the leaderboard, its records.

        Raises:
            InputError: no such folder.
        """
        if not folder.is_dir():
            raise InputError(
                "no such folder", where=folder, mend="give --input a folder of records"
            )
        clone = (folder / ".git").exists() and (folder / "records").is_dir()
        self._folder = folder / "records" if clone else folder
        self.name = folder.resolve().name
        self.pull_requests: Mapping[str, int] = {}

    def paths(self) -> Iterable[str]:
        """Return the wanted files' paths in walking order."""
        found: list[str] = []
        for place, names, files in os.walk(self._folder):
            names[:] = sorted(name for name in names if not name.startswith("."))
            relative = Path(place).relative_to(self._folder).as_posix()
            start = "" if relative == "." else f"{relative}/"
            found += [start + name for name in files if name in WANTED]
            if len(found) > MAX_FILES:
                raise InputError(f"more than {MAX_FILES:,} files to read", where=self._folder)
        return found

    def where(self, path: str) -> str:
        """Return the file's path on disk."""
        return str(self._folder / path)

    def read(self, path: str) -> bytes:
        """Return a file's bytes."""
        file = self._folder / path
        try:
            if not file.is_file():
                raise InputError("no such file", where=file)
            check_size(file.stat().st_size, path, self.where(path))
            return file.read_bytes()
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=file) from error


def check_size(size: int, path: str, where: str) -> None:
    """Refuse a file that is larger than its name allows.

    Raises:
        InputError: it is.
    """
    limit = LIMITS[path.rpartition("/")[2]]
    if size > limit:
        raise InputError(f"{size:,} bytes, more than the {limit:,} that are read", where=where)


def find_places(tree: Tree) -> list[Place]:
    """Return the submissions' folders in path order.

    A submission is a folder with README.md and submission.json; a folder beside one that has
    only its README.md is one too (some upstream records carry no submission.json).

    Raises:
        InputError: there is none.
    """
    names: defaultdict[str, set[str]] = defaultdict(set)
    for path in tree.paths():
        folder, _, name = path.rpartition("/")
        names[folder].add(name)
    pairs = {folder for folder, held in names.items() if {README, DESCRIBED} <= held}
    if not pairs:
        raise InputError(
            "holds no submission", where=tree.where(""),
            mend="a submission is a folder with README.md and submission.json",
        )  # fmt: skip
    shelves = {folder.rpartition("/")[0] for folder in pairs if folder}
    alone = {
        folder
        for folder, held in names.items()
        if README in held and folder and folder.rpartition("/")[0] in shelves
    }
    folders = sorted(pairs | alone, key=lambda folder: folder.split("/"))
    return _identified(folders, names, tree.pull_requests)


def _identified(
    folders: Sequence[str], names: Mapping[str, set[str]], known: Mapping[str, int]
) -> list[Place]:
    """Give each folder its id; where two would get the same, every id is the whole path."""
    ids = [_BRANCH.sub("", folder) or "." for folder in folders]
    if len(set(ids)) < len(ids):
        ids = [folder or "." for folder in folders]
    places = []
    for folder, identity in zip(folders, ids, strict=True):
        pr = known.get(folder)
        head, _, rest = identity.partition("/")
        if pr is None and rest and _PULL.fullmatch(head):
            pr = int(head)
        places.append(Place(folder, identity, pr, frozenset(names[folder])))
    return places
