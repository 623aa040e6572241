"""What a submission states about itself: every number read from a ledger, none a default.

``submission.json`` holds all of it, and README.md is made of ``submission.json`` alone, so that
the one can be held to the other word for word. Write its JSON Schema anew with:
python -m scripts.causal.submission.facts
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.causal.files import write_json
from scripts.causal.forms import Record

Value = bool | int | float | str
CAP_BYTES = 16_000_000
SCHEMA_FILE = Path(__file__).with_name("submission.schema.json")


class SeedScore(Record):
    """One seed's results: bpb and nats per token of the quantized model on all of validation."""

    val_bpb: float
    val_loss: float
    pre_quant_bpb: float
    artifact_bytes: int
    train_seconds: float


class Effect(Record):
    """A confirmed effect of the campaign, as the ablation table of the README has it.

    Attributes:
        effect, low, high: bits per byte, treatment minus control, and the interval at `level`.
        seeds: fresh ones, that took no part in choosing the contrast.
        adjusted_p: by Holm–Bonferroni within the cycle.
    """

    label: str
    verdict: str
    effect: float
    low: float
    high: float
    level: float
    seeds: int
    adjusted_p: float


class Step(Record):
    """One step of the way from the baseline to what is submitted.

    Attributes:
        name: a few words for people.
        changes: fields that it changed.
        sources: who has published it, as the catalog of interventions has it.
    """

    name: str
    changes: dict[str, Value] = {}
    sources: tuple[str, ...] = ()


class ListedFile(Record):
    """A file of the folder: its bytes, and their SHA-256 in hexadecimal digits."""

    size: int
    sha256: str


class SubmissionJson(Record):
    """``submission.json``: the fields of the competition's leaderboard, then ours.

    Attributes:
        val_bpb, val_loss: means over the seeds.
        bytes_total: bytes of every file that counts, counted on disk.
        bytes_code: of these, the program's.
        seeds: the model that ships is the first one's.
        record: False, always, until a run at the competition's own scale says otherwise.
        files: every file but README.md and submission.json: the program, the model, the logs and
            requirements.txt.
        same_code: whether the modules bundled are, to the letter, those that the runs were
            recorded with; their versions are part of the runs' keys.
        packages: what it needs → version.
    """

    author: str
    github_id: str
    name: str
    blurb: str
    date: str
    track: str
    val_loss: float
    val_bpb: float
    bytes_total: int
    bytes_code: int
    bytes_model: int
    seeds: tuple[int, ...]
    seed_results: dict[int, SeedScore]
    record: bool
    backend: str
    scale: str
    machine: str
    configuration: dict[str, Value]
    files: dict[str, ListedFile]
    same_code: bool
    packages: dict[str, str]
    lineage: tuple[Step, ...]
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class TrainingLog:
    """What one seed's training log holds: its versions and machine, and its curves."""

    seed: int
    header: Mapping[str, str]
    curves: Mapping[str, list[float]]
    score: SeedScore


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of ``submission.json``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **SubmissionJson.model_json_schema(mode="serialization"),
    }


if __name__ == "__main__":
    write_json(SCHEMA_FILE, json_schema())
