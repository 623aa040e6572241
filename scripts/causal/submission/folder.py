"""A submission's folder as it lies on disk: plain files, bounded, read without following links."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scripts.causal.files import InputError
from scripts.causal.submission.facts import ListedFile

MAX_FILES = 2000
MAX_DEPTH = 8
MAX_READ_BYTES = 32 * 1024 * 1024
PROGRAM = "train_gpt.py"
README = "README.md"
DESCRIPTION = "submission.json"
REQUIREMENTS = "requirements.txt"

# What people read. It does not count against the cap, and no program that is judged finds it.
_DOCUMENT_NAMES = frozenset({DESCRIPTION, REQUIREMENTS, "LICENSE"})
_DOCUMENT_ENDINGS = frozenset({".md", ".log", ".png", ".svg", ".jpg", ".jpeg"})
_LOG_NAME_STARTS = ("train", "eval", "log")


@dataclass(frozen=True)
class Folder:
    """What lies in a submission's folder.

    Attributes:
        sizes: path below the folder, `/`-separated → bytes, of every plain file.
        refused: path → why it is not read.
    """

    path: Path
    sizes: Mapping[str, int]
    refused: Mapping[str, str]

    @property
    def counted(self) -> dict[str, int]:
        """The files that count against the cap, and that a program which is judged may see."""
        return {name: size for name, size in self.sizes.items() if not is_document(name)}

    @property
    def logs(self) -> list[str]:
        """Names of the training logs."""
        return [name for name in self.sizes if _is_log(name)]

    def read(self, name: str) -> str:
        """Return a file's text, undecodable bytes replaced.

        Raises:
            InputError: as `read_bytes`.
        """
        return self.read_bytes(name).decode("utf-8", errors="replace")

    def read_bytes(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            InputError: not there, no plain file, or larger than 32 MiB.
        """
        where = self.path / name
        if name not in self.sizes:
            raise InputError(self.refused.get(name, "no such file"), where=where)
        try:
            handle = os.open(where, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise InputError("is not a plain file", where=where)
                data = file.read(MAX_READ_BYTES + 1)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=where) from error
        if len(data) > MAX_READ_BYTES:
            raise InputError(f"more than {MAX_READ_BYTES:,} bytes", where=where)
        return data


def list_files(folder: Folder) -> dict[str, ListedFile]:
    """Every plain file but the two documents that list the others, with its SHA-256.

    Raises:
        InputError: one cannot be read, or is too large to be.
    """
    return {
        name: ListedFile(size=size, sha256=hashlib.sha256(folder.read_bytes(name)).hexdigest())
        for name, size in folder.sizes.items()
        if name not in (README, DESCRIPTION)
    }


def open_folder(path: Path) -> Folder:
    """List a folder's files, links and all else that is no plain file apart.

    Raises:
        InputError: it is no folder, cannot be read, or holds too many files.
    """
    if not path.is_dir():
        raise InputError("no such folder", where=path)
    sizes: dict[str, int] = {}
    refused: dict[str, str] = {}
    _list(path, "", sizes, refused)
    return Folder(path, dict(sorted(sizes.items())), dict(sorted(refused.items())))


def is_document(name: str) -> bool:
    """Whether a file is only for people: then it is not counted, and no program sees it."""
    last = PurePosixPath(name)
    return (
        last.name in _DOCUMENT_NAMES or last.suffix.lower() in _DOCUMENT_ENDINGS or _is_log(name)
    )


def _is_log(name: str) -> bool:
    last = PurePosixPath(name)
    named = last.name.lower().startswith(_LOG_NAME_STARTS)
    return last.suffix.lower() == ".log" or (last.suffix.lower() == ".txt" and named)


def _list(path: Path, below: str, sizes: dict[str, int], refused: dict[str, str]) -> None:
    try:
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    for entry in entries:
        name = f"{below}{entry.name}"
        if len(sizes) + len(refused) >= MAX_FILES:
            raise InputError(f"more than {MAX_FILES:,} files", where=path)
        if entry.is_symlink():
            refused[name] = "a link"
        elif entry.is_dir(follow_symlinks=False):
            if name.count("/") >= MAX_DEPTH:
                refused[name] = "a folder too deep"
            else:
                _list(path / entry.name, f"{name}/", sizes, refused)
        elif entry.is_file(follow_symlinks=False):
            state = entry.stat(follow_symlinks=False)
            sizes[name] = state.st_size
        else:
            refused[name] = "neither a file nor a folder"
