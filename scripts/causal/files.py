"""Reading what strangers wrote and writing what nobody may find half-finished.

Everything that enters from disk goes through a size bound; everything that leaves is written
under a temporary name in the same folder and renamed, so a reader sees the old file or the new
one and never a part.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_TEXT_BYTES = 16 * 1024 * 1024


class InputError(Exception):
    """Something the user gave cannot be used: the message names what, where and the mend.

    Stage commands print it as one line on standard error and exit with code 2.
    """

    def __init__(self, what: str, *, where: str | Path | None = None, mend: str | None = None):
        self.what, self.where, self.mend = what, where, mend
        place = f"{where}: " if where is not None else ""
        hint = f" ({mend})" if mend else ""
        super().__init__(f"{place}{what}{hint}".replace("\n", " "))


def read_text(path: Path, *, limit: int = MAX_TEXT_BYTES) -> str:
    """Return the file's text, undecodable bytes replaced.

    Raises:
        InputError: the file is missing, is not a regular file, or is larger than `limit` bytes.
    """
    try:
        if not path.is_file():
            raise InputError("no such file", where=path)
        size = path.stat().st_size
        if size > limit:
            raise InputError(f"{size:,} bytes, more than the {limit:,} that are read", where=path)
        return path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error


def read_json(path: Path, *, limit: int = MAX_TEXT_BYTES) -> Any:
    """Return the parsed JSON of a file.

    Raises:
        InputError: as `read_text`, or the text is not JSON.
    """
    text = read_text(path, limit=limit)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not valid JSON: {error}", where=path) from error


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s name, else it is gone.

    Raises:
        InputError: the folder cannot be created or written.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", where=path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, keys in the order given, non-finite numbers refused.

    Raises:
        ValueError: the value holds NaN or an infinity, which JSON cannot carry.
    """
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no spaces, no NaN. The form that hashes are taken of."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(*parts: str | bytes) -> str:
    """SHA-256 over the parts, each length-prefixed so that no two lists of parts collide."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8") if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()
