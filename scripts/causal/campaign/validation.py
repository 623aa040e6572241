"""The form of ``validation.json``: what a campaign confirmed, at full scale and tested there."""

from __future__ import annotations

from typing import Literal

from scripts.causal.campaign.schema import (
    Interval,
    Pair,
    Platform,
    ScaleTransfer,
    VariancePrior,
)
from scripts.causal.forms import Record


class RecordTest(Record):
    """The competition's test of one treatment against one score.

    Attributes:
        against: the script's own control, run beside it, or the leaderboard's record.
        name: what that is, in words.
        bpb: the scores it stands for.
        method: Welch, or one-sample where `bpb` is a single score.
        improvement_bpb, improvement_nats: its mean minus the treatment's; positive is better.
        margin_bpb: what 0.005 nats per token are in bits per byte, by the treatment's own ratio.
        p, df: one-sided, for an improvement above the margin; None where it cannot be tested.
        passed: p is below 0.01.
    """

    against: Literal["control", "record"]
    name: str
    bpb: tuple[float, ...]
    method: Literal["Welch", "one-sample"]
    improvement_bpb: float
    improvement_nats: float
    margin_bpb: float
    p: float | None
    df: float | None
    passed: bool


class PairedEffect(Record):
    """Treatment minus control at full scale by the moderated paired t; no part of the record rule.

    Attributes:
        effect: mean paired difference, bpb; negative is better.
        interval: at 1 − alpha of the validation, for this contrast alone.
        sd, df: of the moderated test, the published seed spread put in.
        p: two-sided, of no effect; `p_adjusted` is Holm's over the contrasts validated.
        detectable: true effect in bpb that these seeds confirm with a chance of 80 %, at Holm's
            hardest step.
    """

    effect: float
    interval: Interval
    sd: float
    df: float
    p: float
    p_adjusted: float
    detectable: float


class ValidatedContrast(Record):
    """One contrast at full scale.

    Attributes:
        id, label: as in the campaign.
        environment: what the treatment's runs are told beyond the control's.
        pairs: control and treatment per seed; the control's runs are the same in all contrasts.
        tests: empty unless every planned run of the treatment has a result.
        faults: why the runs cannot make a record whatever they score.
        p_adjusted: p against the record, Holm-adjusted over the contrasts validated; the rule
            itself asks for the raw one.
        words: the outcome in a sentence.
        paired: the effect against the control; None with fewer than two pairs, a failed run, or
            arms that do not differ.
    """

    id: str
    label: str
    environment: dict[str, str]
    pairs: tuple[Pair, ...]
    tests: tuple[RecordTest, ...] = ()
    faults: tuple[str, ...] = ()
    p_adjusted: float | None = None
    words: str
    paired: PairedEffect | None = None


class Validation(Record):
    """``validation.json``: what became of a campaign's confirmed contrasts at full scale.

    Attributes:
        script: path of the training script; `script_digest` its SHA-256.
        seeds: seeds that took no part in the campaign.
        cap_seconds: what a run may train for.
        margin_nats, alpha: of the competition's rule.
        departures: how the runs' conditions differ from the competition's.
        passed_over: contrasts that this script cannot be told, or that were not confirmed as
            better → why.
        transfer: effect here per unit of effect in the campaign; None below three contrasts.
        prior: what the moderated t borrows: the spread of the leaderboard's records over seeds.
    """

    schema_version: Literal[1] = 1
    campaign: str
    script: str
    script_digest: str
    platform: Platform
    seeds: tuple[int, ...]
    cap_seconds: float
    margin_nats: float
    alpha: float
    departures: tuple[str, ...]
    results: tuple[ValidatedContrast, ...]
    passed_over: dict[str, str] = {}
    transfer: ScaleTransfer | None = None
    prior: VariancePrior | None = None
