"""What an artifact says of its arrays: deflated JSON, a line for matrices alike in all layers.

The header is two lists. The first has for each group of weights their name, in which * stands for
a number; these numbers, none for a name as it stands; and the arrays of each: role, kind, shape,
stream. The second has for each stream its coder and its bytes.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainers.quantize.int8 import MAX_HEADER_BYTES, ArtifactError
from trainers.quantize.numbers import KINDS, stored_size
from trainers.quantize.trellis import CHECKS

CODERS = ("raw", "zlib", "lzma", "zstd", "brotli", "ans")
CODE, UNDER = "code", "code of "  # under a trellis of so many states
# What an array is to its weight.
ROLES = ("whole", CODE, *(f"{UNDER}{states}" for states in CHECKS), "fine", "step", "column")
MAX_ARRAYS, MAX_NAME = 1 << 16, 1 << 10
WINDOW = -15  # zlib's largest, without a frame: the artifact has a checksum
# A number that is written as it is read again.
NUMBER = re.compile(r"(?<!\d)(0|[1-9]\d{0,8})(?!\d)", re.ASCII)
Streams = Sequence[tuple[str, int]]


def code_role(states: int) -> str:
    """The role of codes under a trellis of so many states, 0 for none."""
    return f"{UNDER}{states}" if states else CODE


@dataclass(frozen=True)
class Described:
    """One array: whose it is, what it is, and in which stream."""

    name: str
    role: str
    kind: str
    shape: tuple[int, ...]
    stream: int

    @property
    def count(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)

    @property
    def stored_bytes(self) -> int:
        """Bytes before a coder."""
        return stored_size(self.kind, self.count)


def grouped(arrays: Sequence[Described]) -> list[list[Any]]:
    """The header's first list."""
    layouts: dict[str, list[list[Any]]] = {}
    for array in arrays:
        entry: list[Any] = [array.role, array.kind, list(array.shape), array.stream]
        layouts.setdefault(array.name, []).append(entry)
    groups: dict[str, tuple[str, list[int], list[list[Any]]]] = {}
    for name, layout in layouts.items():
        number = NUMBER.search(name)
        if "*" in name or not number or len(name) > MAX_NAME:
            groups[name] = (name, [], layout)
            continue
        pattern = f"{name[: number.start()]}*{name[number.end() :]}"
        group = groups.setdefault(json.dumps([pattern, layout]), (pattern, [], layout))
        group[1].append(int(number[0]))
    return [list(group) for group in groups.values()]


def ungrouped(groups: Sequence[Any]) -> list[Described]:
    """The arrays, in the order in which those of a stream follow each other.

    Raises:
        ArtifactError: what is told is no array, or no end of them.
    """
    found = list[Described]()
    for pattern, numbers, layout in groups:
        for number in numbers or [None]:
            name = pattern if number is None else _numbered(pattern, number)
            found += [_described(name, entry) for entry in layout]
            if len(found) > MAX_ARRAYS:
                raise ArtifactError("the header describes too many arrays")
    if len({(array.name, array.role) for array in found}) < len(found):
        raise ArtifactError("an array occurs twice")
    return found


def _numbered(pattern: Any, number: Any) -> str:
    match pattern, number:
        case str(), int() if len(pattern) <= MAX_NAME and 0 <= number < 2**32:
            return pattern.replace("*", str(int(number)))
    raise ArtifactError(f"the header names nothing: {str(pattern)[:80]}")


def _described(name: Any, entry: Any) -> Described:
    match [name, *entry]:
        case [str(), str(role), str(kind), list(shape), int(stream)] if (
            role in ROLES and kind in KINDS
        ):
            sides = all(type(side) is int and 0 <= side < 2**32 for side in shape)
            if sides and len(shape) <= 8 and stream >= 0 and math.prod(shape) < 2**40:
                return Described(name, role, kind, tuple(shape), stream)
    raise ArtifactError(f"the header describes no array: {str(entry)[:80]}")


def header_bytes(arrays: Sequence[Described], streams: Streams) -> bytes:
    """The header, as `read_header` takes it."""
    told = json.dumps([grouped(arrays), list(streams)], separators=(",", ":"))
    deflate = zlib.compressobj(9, zlib.DEFLATED, WINDOW)
    return deflate.compress(told.encode("utf-8")) + deflate.flush()


def read_header(packed: bytes) -> tuple[list[Described], Streams]:
    """The arrays and the streams.

    Raises:
        ArtifactError: damaged, too long, or not a header.
    """
    header = inflated(packed, MAX_HEADER_BYTES, WINDOW)
    try:
        groups, told = json.loads(header.decode("utf-8"))
        arrays = ungrouped(groups)
        streams = [(str(coder), int(length)) for coder, length in told]
    except (OverflowError, TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"the header cannot be read: {error}"[:200]) from error
    if any(coder not in CODERS or length < 0 for coder, length in streams):
        raise ArtifactError("the header names a coder that does not exist")
    if any(array.stream >= len(streams) for array in arrays):
        raise ArtifactError("the header names a stream that does not exist")
    return arrays, streams


def inflated(packed: bytes, limit: int, window: int = zlib.MAX_WBITS) -> bytes:
    """What zlib unpacks to, at most `limit` bytes.

    Raises:
        ArtifactError: damaged, longer, or with bytes left over.
    """
    stream = zlib.decompressobj(window)
    try:
        raw = stream.decompress(packed, limit + 1)
    except zlib.error as error:
        raise ArtifactError(f"damaged: {error}") from error
    if len(raw) > limit or not stream.eof or stream.unused_data:
        raise ArtifactError("truncated, or of another size than it should be")
    return raw
