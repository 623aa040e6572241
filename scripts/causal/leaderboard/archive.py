"""A tar archive of submissions, read in one pass into memory; nothing is written to disk."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, cast

from scripts.causal.files import InputError
from scripts.causal.leaderboard.sources import LIMITS, MAX_FILES, WANTED, check_size

MAX_UNPACKED = 512 * 1024 * 1024  # of everything in the archive, wanted or not
MAX_KEPT = 256 * 1024 * 1024
MAX_NAME = 1_000
GZIP = b"\x1f\x8b"


class ArchiveTree:
    """The regular files of a .tar or .tar.gz; links, devices and paths that climb are left out."""

    def __init__(self, path: Path) -> None:
        """Read the archive.

        Raises:
            InputError: missing, no tar archive, broken, or larger than the bounds.
        """
        self._path = path
        self.name = path.name
        self.pull_requests: Mapping[str, int] = {}
        self._files: dict[str, bytes] = {}
        self._sizes: dict[str, int] = {}
        try:
            with path.open("rb") as raw:
                packed = raw.read(2) == GZIP
                raw.seek(0)
                stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw) if packed else raw)
                bounded = _Bounded(stream, path)
                with tarfile.open(fileobj=bounded, mode="r|") as archive:  # type: ignore[call-overload]
                    self._collect(archive)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"cannot be read: {reason}", where=path) from error
        except (tarfile.TarError, EOFError, zlib.error, ValueError, OverflowError) as error:
            raise InputError(f"is not a whole tar archive: {error}", where=path) from error

    def _collect(self, archive: tarfile.TarFile) -> None:
        kept = 0
        for count, member in enumerate(archive):
            if count >= MAX_FILES:
                raise InputError(f"more than {MAX_FILES:,} members", where=self._path)
            parts = [part for part in member.name.split("/") if part not in ("", ".")]
            unsafe = member.name.startswith("/") or ".." in parts or len(member.name) > MAX_NAME
            if unsafe or not parts or not member.isreg() or parts[-1] not in WANTED:
                continue
            name = "/".join(parts)
            self._sizes[name] = member.size
            self._files[name] = b""
            if member.size > LIMITS[parts[-1]]:
                continue  # named when it is asked for
            kept += member.size
            if kept > MAX_KEPT:
                raise InputError(f"more than {MAX_KEPT:,} bytes to read", where=self._path)
            content = archive.extractfile(member)
            self._files[name] = content.read() if content is not None else b""

    def paths(self) -> Iterable[str]:
        """Return the wanted members' paths in the archive's order."""
        return list(self._files)

    def where(self, path: str) -> str:
        """Return the archive's path and the member's."""
        return f"{self._path}:{path}" if path else str(self._path)

    def read(self, path: str) -> bytes:
        """Return a member's bytes."""
        check_size(self._sizes[path], path, self.where(path))
        return self._files[path]


class _Bounded:
    """A stream that ends with an error where a small archive unpacks into a large one."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream, self._path, self._left = stream, path, MAX_UNPACKED

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise InputError(f"unpacks to more than {MAX_UNPACKED:,} bytes", where=self._path)
        return data
