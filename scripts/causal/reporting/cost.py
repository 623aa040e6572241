"""What a campaign ran and what it cost, read from its raw runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.causal.campaign.schema import ArmRun, ContrastRuns


@dataclass(frozen=True)
class Cost:
    """Totals over distinct runs: a run that several contrasts use is counted once.

    Attributes:
        runs: distinct runs.
        arms: arms of all pairs, so `arms - runs` were reused.
        shared_controls: distinct control runs that serve more than one pair.
        failed: distinct runs that ended without a result.
        tokens, flops, seconds: of training, summed over runs; None when no run recorded it.
        parameters, tokens_per_parameter: smallest and largest over runs; None as above.
    """

    runs: int
    arms: int
    shared_controls: int
    failed: int
    tokens: float | None
    flops: float | None
    seconds: float | None
    parameters: tuple[float, float] | None
    tokens_per_parameter: tuple[float, float] | None


def campaign_cost(runs: Sequence[ContrastRuns]) -> Cost:
    """Add up what the runs recorded.

    A contrast that changes nothing before, say, quantization shares its trained model between
    the arms; the training is then counted with the control alone.
    """
    distinct: dict[str, ArmRun] = {}
    trained: dict[str, ArmRun] = {}
    control_uses: dict[str, int] = {}
    arms = 0
    for contrast in runs:
        for pair in contrast.pairs:
            arms += 2
            control_uses[pair.control.key] = control_uses.get(pair.control.key, 0) + 1
            for run in (pair.control, pair.treatment):
                distinct[run.key] = run
            trained[pair.control.key] = pair.control
            if contrast.contrast.stage == "train":
                trained[pair.treatment.key] = pair.treatment
    measured = list(trained.values())
    sizes = [run.metrics["parameters"] for run in measured if run.metrics.get("parameters")]
    ratios = [
        run.metrics["tokens"] / run.metrics["parameters"]
        for run in measured
        if "tokens" in run.metrics and run.metrics.get("parameters")
    ]
    return Cost(
        runs=len(distinct),
        arms=arms,
        shared_controls=sum(uses > 1 for uses in control_uses.values()),
        failed=sum(run.failure is not None for run in distinct.values()),
        tokens=_total(measured, "tokens"),
        flops=_total(measured, "flops"),
        seconds=_total(measured, "seconds"),
        parameters=(min(sizes), max(sizes)) if sizes else None,
        tokens_per_parameter=(min(ratios), max(ratios)) if ratios else None,
    )


def _total(runs: Sequence[ArmRun], metric: str) -> float | None:
    values = [run.metrics[metric] for run in runs if metric in run.metrics]
    return sum(values) if values else None
