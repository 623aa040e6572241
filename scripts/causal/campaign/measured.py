"""What one contrast showed in one phase: the step from recorded runs to plain numbers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from scripts.causal.campaign.schema import (
    ArmRun,
    Contrast,
    ContrastRuns,
    Pair,
    Phase,
    StageEffects,
)
from scripts.causal.files import InputError
from scripts.causal.stats import paired
from scripts.causal.stats.paired import Estimate
from scripts.causal.stats.trend import Curve, Trajectory, Trend, trajectory, trend

LOOKS, INT8_LOOKS = "val_bpb", "val_bpb_int8"


@dataclass(frozen=True)
class Measured:
    """The pairs with a result in both arms, and why the other seeds have none.

    Attributes:
        contrast: what was compared.
        phase: screen or confirm.
        pairs: complete pairs.
        discarded: other seeds → which arm failed, and how.
        treatment_failures: seeds at which the treatment failed.
    """

    contrast: Contrast
    phase: Phase
    pairs: tuple[Pair, ...]
    discarded: dict[int, str]
    treatment_failures: int

    @property
    def seeds(self) -> set[int]:
        """Every seed that was run, complete or not."""
        return {pair.seed for pair in self.pairs} | set(self.discarded)

    def among(self, seeds: Collection[int]) -> Measured:
        """What the pairs on these seeds alone show."""
        return replace(self, pairs=tuple(pair for pair in self.pairs if pair.seed in seeds))

    @property
    def differences(self) -> list[float]:
        """Treatment minus control in the contrast's outcome, one per complete pair."""
        return [_difference(pair, self.contrast.outcome) for pair in self.pairs]

    @property
    def identical(self) -> bool:
        """Every difference is exactly 0."""
        return bool(self.pairs) and not any(self.differences)

    @property
    def estimate(self) -> Estimate | None:
        """The plain estimate; None without a complete pair."""
        return paired.plain_estimate(self.differences) if self.pairs else None

    @property
    def arms(self) -> tuple[list[float], list[float]]:
        """The outcome of the control and of the treatment, one per complete pair."""
        outcome = self.contrast.outcome
        return (
            [pair.control.metrics[outcome] for pair in self.pairs],
            [pair.treatment.metrics[outcome] for pair in self.pairs],
        )

    @property
    def correlation(self) -> float | None:
        """Correlation of the arms over seeds; None below 3 pairs."""
        return paired.correlation(*self.arms) if self.pairs else None

    @property
    def stage_effects(self) -> StageEffects | None:
        """The effect split by stages; None where what goes before quantization is unknown.

        Without a plain evaluation after it, all that comes later counts as quantization.
        """
        arms = [run for pair in self.pairs for run in (pair.control, pair.treatment)]
        if not arms or any("pre_quant_bpb" not in run.metrics for run in arms):
            return None
        if not self.contrast.of_bpb:
            return None
        training = fmean(_difference(pair, "pre_quant_bpb") for pair in self.pairs)
        stored = total = fmean(self.differences)
        if all("post_quant_bpb" in run.metrics for run in arms):
            stored = fmean(_difference(pair, "post_quant_bpb") for pair in self.pairs)
        return StageEffects(
            training=training, quantization=stored - training, evaluation=total - stored
        )

    @property
    def trend(self) -> Trend:
        """Where the effect is heading: after int8 where the runs were looked at so.

        Raises:
            InputError: a curve is malformed.
        """
        return trend(self.path(INT8_LOOKS) or self.path(LOOKS))

    def path(self, curve: str) -> Trajectory | None:
        """The paired differences along the runs in this curve; None where it was not recorded.

        Only for the seeds with the curve in both arms. Curves are of bpb, so that they say
        nothing of another outcome.

        Raises:
            InputError: a curve is malformed.
        """
        curves: list[tuple[Curve, Curve]] = []
        for pair in self.pairs if self.contrast.of_bpb else ():
            control, treatment = _curve(pair.control, curve), _curve(pair.treatment, curve)
            if control is not None and treatment is not None:
                curves.append((control, treatment))
        try:
            return trajectory(curves)
        except ValueError as error:
            raise InputError(f"contrast {self.contrast.id!r}: {error}") from error

    @property
    def stage_differences(self) -> dict[str, list[float]]:
        """The differences of every pair split by stages; empty where a part is unknown."""
        names = ("pre_quant_bpb", "post_quant_bpb", "val_bpb")
        arms = [run for pair in self.pairs for run in (pair.control, pair.treatment)]
        if not arms or any(name not in run.metrics for run in arms for name in names):
            return {}
        trained, stored, final = ([_difference(p, name) for p in self.pairs] for name in names)
        return {
            "training": trained,
            "quantization": [b - a for a, b in zip(trained, stored, strict=True)],
            "evaluation": [b - a for a, b in zip(stored, final, strict=True)],
        }

    @property
    def control_size(self) -> tuple[float, float] | None:
        """Parameters of the control and its training tokens per parameter; None if unrecorded."""
        sizes = [
            (run.metrics["parameters"], run.metrics["tokens"])
            for run in (pair.control for pair in self.pairs)
            if run.metrics.get("parameters", 0) > 0 and "tokens" in run.metrics
        ]
        if not sizes:
            return None
        return fmean(size for size, _ in sizes), fmean(tokens / size for size, tokens in sizes)


def measure(runs: ContrastRuns) -> Measured:
    """Sort a contrast's pairs into complete ones and discarded seeds.

    Raises:
        InputError: no pair, a seed twice, or a run with neither the outcome nor a failure.
    """
    name, outcome = runs.contrast.id, runs.contrast.outcome
    if not runs.pairs:
        raise InputError(f"contrast {name!r} has no pair in phase {runs.phase!r}")
    if len({pair.seed for pair in runs.pairs}) < len(runs.pairs):
        raise InputError(f"contrast {name!r} has a seed twice in phase {runs.phase!r}")
    complete: list[Pair] = []
    discarded: dict[int, str] = {}
    for pair in runs.pairs:
        reasons = []
        for arm, run in (("control", pair.control), ("treatment", pair.treatment)):
            if run.failure is not None:
                reasons.append(f"{arm} failed ({run.failure})")
            elif outcome not in run.metrics:
                raise InputError(
                    f"contrast {name!r}, seed {pair.seed}: the {arm} has neither "
                    f"metrics.{outcome} nor a failure"
                )
        if reasons:
            discarded[pair.seed] = ", ".join(reasons)
        else:
            complete.append(pair)
    failures = sum(pair.treatment.failure is not None for pair in runs.pairs)
    return Measured(runs.contrast, runs.phase, tuple(complete), discarded, failures)


def shared_noise(contrasts: Sequence[Measured]) -> NDArray[np.float64]:
    """Correlations between the contrasts' differences that shared runs imply, shape (k, k).

    Two differences with one run in common correlate by ±1/2 when all runs of a seed are
    exchangeable, whatever the correlation between arms.
    """
    matrix = np.eye(len(contrasts))
    for i, first in enumerate(contrasts):
        for j, second in enumerate(contrasts[:i]):
            theirs = {pair.seed: pair for pair in second.pairs}
            shared = sum(
                _runs_in_common(pair, theirs[pair.seed])
                for pair in first.pairs
                if pair.seed in theirs
            )
            size = (len(first.pairs) * len(second.pairs)) ** 0.5
            matrix[i, j] = matrix[j, i] = shared / (2 * size)
    return matrix


def _runs_in_common(one: Pair, other: Pair) -> int:
    return (
        (one.control.key == other.control.key)
        + (one.treatment.key == other.treatment.key)
        - (one.control.key == other.treatment.key)
        - (one.treatment.key == other.control.key)
    )


def _difference(pair: Pair, metric: str) -> float:
    return pair.treatment.metrics[metric] - pair.control.metrics[metric]


def _curve(run: ArmRun, name: str) -> Curve | None:
    tokens, bpb = run.curves.get("val_tokens"), run.curves.get(name)
    return (tokens, bpb) if tokens and bpb else None
