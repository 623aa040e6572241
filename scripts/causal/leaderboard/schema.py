"""The form of ``interventions.json``: what submissions claim, each fact with its source line."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from scripts.causal.forms import Record, parse_file

Value = bool | int | float | str


class Source(Record):
    """Where a fact was read: file relative to the submission's folder, 1-based line."""

    file: str
    line: int


class SeedResult(Record):
    """One seed's final score; bpb is None when only the seed is named."""

    seed: int
    val_bpb: float | None = None


class Ablation(Record):
    """A reported contrast. delta is treatment minus control: negative is better."""

    variable: str
    from_: str | None = Field(alias="from")
    to: str | None
    delta: float
    unit: Literal["bpb", "nats"]
    kind: Literal["single", "cumulative", "bundle"]
    quote: str | None
    source: Source

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)


class Submission(Record):
    """One submission's facts; field names as in the hand labels.

    Attributes:
        id: path of its folder below the input.
        techniques: vocabulary id or ``other:<slug>`` → value; True when no value is stated.
        absent: ids the author says are not used.
        sources: field name (for techniques ``techniques.<id>``) → where it was read.
        problems: what could not be read, in words.
    """

    id: str
    name: str | None = None
    author: str | None = None
    date: str | None = None
    track: str | None = None
    pr: int | None = None
    val_bpb: float | None = None
    base_bpb: float | None = None
    parent_prs: tuple[int, ...] = ()
    seeds: tuple[SeedResult, ...] = ()
    artifact_bytes: int | None = None
    techniques: dict[str, Value] = {}
    absent: tuple[str, ...] = ()
    ablations: tuple[Ablation, ...] = ()
    sources: dict[str, Source] = {}
    problems: tuple[str, ...] = ()


class Leaderboard(Record):
    """``interventions.json`` as a whole."""

    schema_version: Literal[1] = 1
    source: str
    submissions: tuple[Submission, ...]
    unreadable: dict[str, str] = {}


def load_leaderboard(path: Path) -> Leaderboard:
    """Read and check an ``interventions.json``.

    Raises:
        InputError: missing, not JSON, or a field breaks the schema (the message names it).
    """
    return parse_file(Leaderboard, path)
