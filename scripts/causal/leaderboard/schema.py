"""The form of ``interventions.json``: what submissions claim, each fact with its source line.

Write its JSON Schema anew with: python -m scripts.causal.leaderboard.schema
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from scripts.causal.files import write_json
from scripts.causal.forms import Record, parse_file

SCHEMA_FILE = Path(__file__).with_name("interventions.schema.json")

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
    """A reported contrast, treatment minus control: negative is better.

    Attributes:
        delta: as it is written, in `unit`.
        delta_bpb: of a delta in nats, what it is in bits per byte by the submission's own ratio
            of val_bpb to val_loss; None where it states no such pair.
    """

    variable: str
    from_: str | None = Field(alias="from")
    to: str | None
    delta: float
    unit: Literal["bpb", "nats"]
    delta_bpb: float | None = None
    kind: Literal["single", "cumulative", "bundle"]
    quote: str | None
    source: Source

    @property
    def effect_bpb(self) -> float | None:
        """The delta in bits per byte; None where it cannot be known."""
        return self.delta if self.unit == "bpb" else self.delta_bpb

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)


class Submission(Record):
    """One submission's facts; field names as in the hand labels.

    Attributes:
        id: path of its folder below the input.
        also: ids of its other copies: the same submission in further pull requests.
        techniques: vocabulary id or ``other:<slug>`` → value; True when no value is stated.
        absent: ids the author says are not used.
        defaults: vocabulary id → what its train_gpt.py does when nothing else is said, for ids
            that neither `techniques` nor `absent` holds; a run command may have said otherwise.
        sources: field name (for techniques ``techniques.<id>``) → where it was read.
        problems: what could not be read, in words.
    """

    id: str
    also: tuple[str, ...] = ()
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
    defaults: dict[str, Value] = {}
    ablations: tuple[Ablation, ...] = ()
    sources: dict[str, Source] = {}
    problems: tuple[str, ...] = ()

    @property
    def pull_requests(self) -> tuple[int, ...]:
        """Every pull request that it stands in, its own first: a child may name any of them."""
        heads = (copy.partition("/")[0] for copy in (self.id, *self.also))
        numbers = [int(head) for head in heads if head.isdigit()]
        return tuple(dict.fromkeys([*([self.pr] if self.pr is not None else []), *numbers]))


class Leaderboard(Record):
    """``interventions.json`` as a whole.

    Attributes:
        source: what was read: a folder, an archive, a repository.
        snapshot: the day its newest facts are of (YYYY-MM-DD), where it is known.
        unreadable: id → why the submission could not be read.
    """

    schema_version: Literal[1] = 1
    source: str
    snapshot: str | None = None
    submissions: tuple[Submission, ...]
    unreadable: dict[str, str] = {}


def load_leaderboard(path: Path) -> Leaderboard:
    """Read and check an ``interventions.json``.

    Raises:
        InputError: missing, not JSON, or a field breaks the schema (the message names it).
    """
    return parse_file(Leaderboard, path)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of ``interventions.json``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Leaderboard.model_json_schema(by_alias=True, mode="serialization"),
    }


if __name__ == "__main__":
    write_json(SCHEMA_FILE, json_schema())
