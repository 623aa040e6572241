"""Runs at full scale put to the competition's test, and what keeps them from being a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from scripts.causal.campaign.full_scale import Target
from scripts.causal.campaign.schema import ArmRun, ContrastRuns, Platform
from scripts.causal.campaign.validation import RecordTest, ValidatedContrast
from scripts.causal.stats.record import ALPHA, MARGIN_NATS, beats
from scripts.causal.submission.facts import CAP_BYTES
from trainers.script import CAP, CAP_SECONDS, ScriptTrainer
from trainers.script_env import environment

RECORD_BACKEND = "torch-cuda-8"


def judge(runs: ContrastRuns, trainer: ScriptTrainer, record: Target) -> ValidatedContrast:
    """Put a contrast's runs to the competition's test.

    A seed that failed is not left out, which would choose by outcome: without every run of the
    treatment there is no test against the record, without every control none against that.
    """
    treated, controls = ([getattr(pair, arm) for pair in runs.pairs] for arm in _ARMS)
    faults = [
        f"seed {pair.seed}: {pair.treatment.failure}"
        for pair in runs.pairs
        if pair.treatment.failure is not None
    ]
    for pair in runs.pairs:
        size = pair.treatment.metrics.get("submission_bytes")
        if size is not None and size > CAP_BYTES:
            faults.append(f"seed {pair.seed}: {size:,.0f} bytes, over the {CAP_BYTES:,} allowed")
    tests = []
    if not any(run.failure for run in treated):
        if not any(run.failure for run in controls):
            measured = tuple(run.metrics["val_bpb"] for run in controls)
            tests.append(_test("control", "the script as it stands, run here", measured, treated))
        tests.append(_test("record", record.name, record.bpb, treated))
    settings, contrast = trainer.settings(), runs.contrast
    return ValidatedContrast(
        id=contrast.id,
        label=contrast.label,
        environment=_added(
            environment(settings, contrast.treatment), environment(settings, contrast.control)
        ),
        pairs=runs.pairs,
        tests=tuple(tests),
        faults=tuple(faults),
        words=_words(contrast.label, tests, faults),
    )


_ARMS = ("treatment", "control")


def _test(
    against: str, name: str, theirs: tuple[float, ...], treated: Sequence[ArmRun]
) -> RecordTest:
    ours = [run.metrics["val_bpb"] for run in treated]
    # Bits per byte per nat: the leaderboard gives bpb, the rule its margin in nats per token.
    ratio = fmean(ours) / fmean(run.metrics["val_loss"] for run in treated)
    found = beats(ours, theirs, MARGIN_NATS * ratio)
    return RecordTest.model_validate(
        {
            "against": against,
            "name": name,
            "bpb": theirs,
            "method": found.method,
            "improvement_bpb": found.improvement,
            "improvement_nats": found.improvement / ratio,
            "margin_bpb": MARGIN_NATS * ratio,
            "p": found.p,
            "df": found.df,
            "passed": found.p is not None and found.p < ALPHA,
        }
    )


def _added(treatment: Mapping[str, str], control: Mapping[str, str]) -> dict[str, str]:
    """What the treatment's environment says otherwise; empty text for what it leaves unsaid."""
    names = sorted({*treatment, *control})
    changed = [name for name in names if treatment.get(name) != control.get(name)]
    return {name: treatment.get(name, "") for name in changed}


def _words(label: str, tests: Sequence[RecordTest], faults: Sequence[str]) -> str:
    if not tests:
        return f"{label}: not tested, since runs of it failed ({'; '.join(faults)})."
    parts = []
    for test in tests:
        size = f"{abs(test.improvement_nats):.4f} nats ({abs(test.improvement_bpb):.4f} bpb)"
        side = "better" if test.improvement_nats > 0 else "worse"
        chance = "no spread to test" if test.p is None else f"p = {test.p:.2g} ({test.method})"
        met = "met" if test.passed else "not met"
        parts.append(f"{size} {side} than {test.name}, margin {met}, {chance}")
    stop = f" It cannot be submitted: {'; '.join(faults)}." if faults else ""
    return f"{label}: {'; '.join(parts)}.{stop}"


def departures(platform: Platform, cap: object) -> tuple[str, ...]:
    """How the conditions differ from the competition's: ten minutes on eight H100s."""
    found = []
    if platform.backend != RECORD_BACKEND:
        found.append(f"run on {platform.backend}, not on eight GPUs ({RECORD_BACKEND})")
    if "H100" not in platform.machine:
        found.append(f"run on {platform.machine}, not on H100s")
    if cap is None:
        found.append(f"the script reads no {CAP}; that it trained for ten minutes is its own word")
    elif cap != CAP_SECONDS:
        found.append(f"training was capped at {cap} s, not at {CAP_SECONDS:g} s")
    return tuple(found)
