"""What a submission states about itself: every number read from a ledger, none a default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scripts.causal.forms import Record

Value = bool | int | float | str
CAP_BYTES = 16_000_000


class SeedScore(Record):
    """One seed's results: bpb and nats per token of the quantized model on all of validation."""

    val_bpb: float
    val_loss: float
    pre_quant_bpb: float
    artifact_bytes: int
    train_seconds: float


class SubmissionJson(Record):
    """``submission.json``: the fields of the competition's leaderboard, then ours.

    Attributes:
        val_bpb: mean over the seeds.
        bytes_total: bytes of train_gpt.py and of the model file, counted on disk.
        record: False, always, until a run at the competition's own scale says otherwise.
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


@dataclass(frozen=True)
class Effect:
    """A confirmed effect of the campaign, as the ablation table of the README has it."""

    label: str
    verdict: str
    effect: float
    low: float
    high: float
    level: float
    seeds: int
    adjusted_p: float


@dataclass(frozen=True)
class TrainingLog:
    """What one seed's training log holds: its versions and machine, and its curves."""

    seed: int
    header: Mapping[str, str]
    curves: Mapping[str, list[float]]
    score: SeedScore
