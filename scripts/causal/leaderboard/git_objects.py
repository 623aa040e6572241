"""Submissions read straight from git objects: merged records and pull-request heads, no checkout.

A pull request's head holds the whole repository as its author saw it. Its own submissions are the
files below records/ that it has and the commits it left the main branch at have not; where those
commits are unknown (heads fetched one commit deep), the files that main has not today.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from scripts.causal.files import InputError
from scripts.causal.leaderboard.sources import LIMITS, MAX_FILES, README, WANTED, check_size

TIMEOUT_SECONDS = 600
MAX_LISTING = 512 * 1024 * 1024

_PULL_REF = re.compile(
    r"refs/pull/([1-9]\d{0,6})/head|refs/remotes/([^/]+)/(?:pr|pull)/([1-9]\d{0,6})(?:/head)?"
)
# How the commit that brings a pull request in names it: by merge button, or squashed.
_MERGED = re.compile(r"Merge pull request #(\d{1,7})\b|\(#(\d{1,7})\)\s*$")


@dataclass(frozen=True)
class _Head:
    """A pull request's newest commit and its tree."""

    pr: int
    commit: str
    tree: str


class GitTree:
    """The records of a repository's main branch, and on request those of its pull requests.

    Paths are `records/...` for the main branch and `PR/...` (below records/) for a pull request.
    A context manager: leaving it ends git.
    """

    def __init__(self, repository: Path, *, pulls: bool = False) -> None:
        """List what is to be read.

        Args:
            repository: a clone or a bare repository.
            pulls: read the heads below refs/pull/ and refs/remotes/*/pr/ too.

        Raises:
            InputError: git is missing or fails, no repository, or no pull requests in it.
        """
        if shutil.which("git") is None:
            raise InputError(
                "git is not installed", mend="install git, or use the bundled records/"
            )
        if not repository.is_dir():
            raise InputError("no such folder", where=repository, mend="give --git a clone")
        self._repository = repository
        self._batch: subprocess.Popen[bytes] | None = None
        self.name = repository.resolve().name.removesuffix(".git")
        heads = self._heads() if pulls else []
        main = self._main_commit()
        merged = self._listing(main)
        self._blobs = {path: blob for path, blob in merged.items() if _wanted(path)}
        self.pull_requests: Mapping[str, int] = self._merged_by(main)
        if pulls:
            self._blobs |= self._pull_blobs(heads, main, merged)
        if len(self._blobs) > MAX_FILES:
            raise InputError(f"more than {MAX_FILES:,} files to read", where=repository)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._batch is not None:
            self._batch.kill()
            self._batch.communicate()
            self._batch = None

    def paths(self) -> Iterable[str]:
        """Return the wanted files' paths."""
        return list(self._blobs)

    def where(self, path: str) -> str:
        """Return the repository's path and the file's."""
        return f"{self._repository}:{path}" if path else str(self._repository)

    def read(self, path: str) -> bytes:
        """Return a file's bytes; one `git cat-file` process serves all of them."""
        if self._batch is None:
            self._batch = subprocess.Popen(
                ["git", "cat-file", "--batch"],
                cwd=self._repository,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
        asked, answer = self._batch.stdin, self._batch.stdout
        assert asked is not None and answer is not None
        try:
            asked.write(f"{self._blobs[path]}\n".encode())
            asked.flush()
            header = answer.readline().split()
            if len(header) != 3 or header[1] != b"blob":
                raise InputError("git does not have the file", where=self.where(path))
            size = int(header[2])
            if size > LIMITS[path.rpartition("/")[2]]:
                _skip(answer, size + 1)
                check_size(size, path, self.where(path))
            data = answer.read(size)
            answer.read(1)
        except OSError as error:
            raise InputError("git ended unexpectedly", where=self.where(path)) from error
        return data

    def _git(self, *arguments: str, asked: str = "") -> str:
        """Run git in the repository and return its output.

        Raises:
            InputError: git failed or took too long; the message carries git's last line.
        """
        try:
            done = subprocess.run(
                ["git", *arguments],
                cwd=self._repository,
                check=False,
                capture_output=True,
                input=asked.encode(),
                timeout=TIMEOUT_SECONDS,
                env=_environment(),
            )
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"git {arguments[0]} took too long", where=self._repository
            ) from error
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else "git gave no reason"
            raise InputError(f"git {arguments[0]} failed: {reason}", where=self._repository)
        if len(done.stdout) > MAX_LISTING:
            raise InputError(f"git {arguments[0]} lists too much", where=self._repository)
        return done.stdout.decode("utf-8", errors="replace")

    def _heads(self) -> list[_Head]:
        """Return every pull request's head in the order of its number."""
        listing = self._git(
            "for-each-ref", "--format=%(refname) %(objectname) %(tree)",
            "refs/pull", "refs/remotes",
        )  # fmt: skip
        heads: dict[int, _Head] = {}
        self._remotes: list[str] = []
        for line in listing.splitlines():
            name, commit, tree = (*line.split(" "), "")[:3]
            match = _PULL_REF.fullmatch(name)
            if match and tree:
                number = int(match.group(1) or match.group(3))
                heads.setdefault(number, _Head(number, commit, tree))
                if match.group(2) and match.group(2) not in self._remotes:
                    self._remotes.append(match.group(2))
        if not heads:
            raise InputError(
                "holds no pull-request heads", where=self._repository,
                mend="fetch refs/pull/*/head, as fetch_records.py --pulls does",
            )  # fmt: skip
        return [heads[number] for number in sorted(heads)]

    def _main_commit(self) -> str:
        """Return the main branch: the remote's that the pull requests come from, else HEAD."""
        remotes = [*getattr(self, "_remotes", []), "origin"]
        names = [
            f"refs/remotes/{remote}/{branch}"
            for remote in remotes
            for branch in ("HEAD", "main", "master")
        ]
        for name in [*names, "HEAD"]:
            try:
                return self._git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()
            except InputError:
                continue
        raise InputError("is no git repository with a commit", where=self._repository)

    def _listing(self, commit: str) -> dict[str, str]:
        """Return the files below records/ of a commit: path → blob."""
        files = {}
        for entry in self._git("ls-tree", "-r", "-z", commit, "records/").split("\0"):
            described, _, path = entry.partition("\t")
            if described[:3] == "100":  # a regular file; links and submodules are left out
                files[path] = described.split(" ")[2]
        return files

    def _merged_by(self, main: str) -> dict[str, int]:
        """Return which pull request brought each folder of the main branch, as its log says."""
        log = self._git(
            "log", "-m", "--first-parent", "--no-renames", "--diff-filter=A", "--name-only", "-z",
            "--format=%x01%P%x02%s", main, "--", "records",
        )  # fmt: skip
        brought: dict[str, int] = {}
        number: int | None = None
        for token in log.split("\0"):
            token = token.lstrip("\n")
            if token.startswith("\x01"):
                parents, _, subject = token[1:].partition("\x02")
                match = _MERGED.search(subject) if parents else None  # no parent: history's edge
                number = int(match.group(1) or match.group(2)) if match else None
            elif number is not None and token.endswith(f"/{README}"):
                brought[token.removesuffix(f"/{README}")] = number
        return brought

    def _pull_blobs(
        self, heads: Sequence[_Head], main: str, merged: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the files that each pull request adds below records/: `PR/...` → blob."""
        bases = self._bases(heads, main)
        here = self._git("rev-parse", f"{main}^{{tree}}").strip()
        pairs = [(base, head.tree) for head in heads for base in (bases[head.commit] or (here,))]
        added = self._added(pairs)
        known = {blob for path, blob in merged.items() if path.endswith(f"/{README}")}
        blobs = {}
        for head in heads:
            of_bases = [added[base, head.tree] for base in (bases[head.commit] or (here,))]
            own = {
                path: blob
                for path, blob in of_bases[0].items()
                if all(path in other for other in of_bases[1:])
            }
            if not bases[head.commit]:  # a record that main has moved since is not the author's
                moved = {
                    _folder(p) for p, b in own.items() if p.endswith(f"/{README}") and b in known
                }
                own = {path: blob for path, blob in own.items() if _folder(path) not in moved}
            for path, blob in own.items():
                if _wanted(path):
                    blobs[f"{head.pr}/{path.removeprefix('records/')}"] = blob
        return blobs

    def _bases(self, heads: Sequence[_Head], main: str) -> dict[str, tuple[str, ...]]:
        """Return for every head the trees of the main-branch commits that it grew from.

        One listing of all commits outside the main branch serves every head: the commits of
        main that a walk from the head meets first. Empty where the history ends before main.
        """
        asked = "\n".join([*(head.commit for head in heads), f"^{main}"]) + "\n"
        listing = self._git("rev-list", "--parents", "--stdin", asked=asked)
        parents = {
            commit: rest for commit, *rest in (line.split(" ") for line in listing.splitlines())
        }
        borders = {head.commit: _border(head.commit, parents) for head in heads}
        commits = sorted({commit for border in borders.values() for commit in border})
        trees = dict(zip(commits, self._trees(commits), strict=True))
        return {
            head: tuple(sorted({trees[commit] for commit in border}))
            for head, border in borders.items()
        }

    def _trees(self, commits: Sequence[str]) -> list[str]:
        if not commits:
            return []
        asked = "".join(f"{commit}^{{tree}}\n" for commit in commits)
        listing = self._git("cat-file", "--batch-check=%(objectname)", asked=asked)
        return listing.split("\n")[: len(commits)]

    def _added(self, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], dict[str, str]]:
        """Return (base tree, head tree) → the regular files only the head has: path → blob."""
        asked = "".join(f"{base} {head}\n" for base, head in sorted(set(pairs)))
        listing = self._git(
            "diff-tree", "--stdin", "-r", "-z", "--no-renames", "--no-ext-diff",
            "--diff-filter=A", "--", "records", asked=asked,
        )  # fmt: skip
        found: dict[tuple[str, str], dict[str, str]] = {pair: {} for pair in pairs}
        files: dict[str, str] = {}
        for header, described, path in _raw_diff(listing):
            if header:
                base, head = header.split(" ")
                files = found[base, head]
            elif described.split(" ")[1].startswith("100"):
                files[path] = described.split(" ")[3]
        return found


def _border(start: str, parents: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the first commits outside `parents` on every way back from `start`."""
    border, seen, ahead = set(), {start}, [start]
    while ahead:
        commit = ahead.pop()
        if commit not in parents:
            border.add(commit)
            continue
        fresh = [parent for parent in parents[commit] if parent not in seen]
        seen.update(fresh)
        ahead += fresh
    return border - {start}


def _raw_diff(listing: str) -> Iterator[tuple[str, str, str]]:
    """Yield (header, "", "") for each pair of trees and ("", description, path) for each file."""
    at = 0
    while at < len(listing):
        if listing[at] == ":":
            middle = listing.index("\0", at)
            end = listing.index("\0", middle + 1)
            yield "", listing[at:middle], listing[middle + 1 : end]
        else:
            end = listing.index("\n", at)
            yield listing[at:end], "", ""
        at = end + 1


def _wanted(path: str) -> bool:
    return path.rpartition("/")[2] in WANTED


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _skip(stream: object, count: int) -> None:
    """Read `count` bytes and forget them."""
    while count > 0:
        chunk = stream.read(min(count, 1 << 20))  # type: ignore[attr-defined]
        if not chunk:
            return
        count -= len(chunk)


def _environment() -> dict[str, str]:
    """The caller's environment without git's own variables, which point at another repository."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
