"""Which of a campaign's recorded runs a submission is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.causal.campaign.schema import (
    AblationResults,
    ArmRun,
    Contrast,
    ContrastResult,
    ContrastRuns,
    Platform,
    RawRuns,
    Value,
)
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file


@dataclass(frozen=True)
class Recorded:
    """One configuration's recorded runs, one per seed, with where they were computed.

    Attributes:
        id: the contrast whose treatment it is; empty for the campaign's control.
        label: what the configuration is, in a few words.
        changes: fields in which it differs from the campaign's control.
        runs: seed → run; every run has its metrics.
    """

    id: str
    label: str
    changes: dict[str, Value]
    platform: Platform
    runs: dict[int, ArmRun]


def load_results(path: Path) -> tuple[list[RawRuns], list[ContrastResult]]:
    """Read a campaign's folder, or one raw_runs.json.

    Raises:
        InputError: neither, or a file in it is malformed.
    """
    if path.is_file():
        return [parse_file(RawRuns, path)], []
    files = sorted(path.glob("cycle_*/raw_runs.json"))
    if not files:
        raise InputError(
            "no campaign here (cycle_*/raw_runs.json)", where=path, mend="give --results"
        )
    results = parse_file(AblationResults, path / "ablation_results.json").results
    return [parse_file(RawRuns, file) for file in files], list(results)


def choose_runs(
    raw: Sequence[RawRuns],
    results: Sequence[ContrastResult],
    *,
    contrast: str | None = None,
    arm: str = "treatment",
) -> Recorded:
    """Return the runs to submit: a named arm, else the best confirmed treatment, else the control.

    Only confirmation seeds are taken where there are any: screening seeds took part in a choice.

    Raises:
        InputError: the named contrast has no runs, or no run has a result.
    """
    every = [(file, runs) for file in raw for runs in file.runs]
    confirmed = [runs for runs in every if runs[1].phase == "confirm"]
    pool = confirmed or every
    if contrast is not None:
        if arm not in ("control", "treatment"):
            raise InputError(f"--arm must be control or treatment, got {arm!r}")
        pool = [runs for runs in pool if runs[1].contrast.id == contrast] or [
            runs for runs in every if runs[1].contrast.id == contrast
        ]
        if not pool:
            known = sorted({runs.contrast.id for _, runs in every})
            raise InputError(f"no runs of contrast {contrast!r}", mend=f"there are: {known}")
        return _recorded(pool[0][0], pool[0][1], arm)
    better = [
        item for item in results if item.verdict == "confirmed_better" and item.contrast.of_bpb
    ]
    if better:
        best = min(better, key=lambda item: item.effect or 0.0)
        for file, runs in pool:
            if runs.contrast.id == best.contrast.id:
                return _recorded(file, runs, "treatment")
    if not pool:
        raise InputError("there are no runs to make a submission of")
    return _recorded(*pool[0], "control")


def _recorded(file: RawRuns, runs: ContrastRuns, arm: str) -> Recorded:
    treated = arm == "treatment"
    chosen = {pair.seed: pair.treatment if treated else pair.control for pair in runs.pairs}
    finished = {seed: run for seed, run in chosen.items() if run.failure is None}
    if not finished:
        raise InputError(f"no {arm} run of contrast {runs.contrast.id!r} has a result")
    return Recorded(
        id=runs.contrast.id if treated else "",
        label=runs.contrast.label if treated else "baseline",
        changes=_changes(runs.contrast) if treated else {},
        platform=file.platform,
        runs=finished,
    )


def _changes(contrast: Contrast) -> dict[str, Value]:
    return {
        name: value
        for name, value in contrast.treatment.items()
        if contrast.control.get(name) != value
    }
