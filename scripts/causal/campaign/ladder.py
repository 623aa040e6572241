"""The same contrasts at several scales: what carries over from one to the next, and further."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

import numpy as np

from interventions.catalog import Intervention
from scripts.causal.campaign.measured import Measured, measure, shared_noise
from scripts.causal.campaign.schema import (
    CarryOver,
    CarryRule,
    ContrastRuns,
    RawRuns,
    ScaleTransfer,
)
from scripts.causal.campaign.validation import Validation
from scripts.causal.stats import carry, moderated, paired
from scripts.causal.stats.paired import Estimate
from scripts.causal.stats.transfer import Effects, Transfer, effects, transfer

FULL_SCALE = "8×H100"
NO_OP = Intervention(
    id="no_op",
    variable="logit_softcap",
    label="softcap 30.01, a change of no consequence",
    stage="train",
    set={"logit_softcap": 30.01},
)


def deciding(*files: RawRuns) -> dict[str, Measured]:
    """Each contrast with a complete pair, by id: on its fresh seeds, else on those of screening.

    Args:
        files: of one scale, one per cycle.

    Raises:
        InputError: malformed runs.
    """
    found: dict[str, Measured] = {}
    for phase in ("screen", "confirm"):
        for runs in (each for raw in files for each in raw.runs):
            if not runs.contrast.of_bpb:
                continue  # what is known of carrying over is known of bpb
            if runs.phase == phase and (measured := measure(runs)).pairs:
                found[runs.contrast.id] = measured
    return found


def platform_transfer(cycles: Sequence[RawRuns], validation: Validation) -> ScaleTransfer | None:
    """From a campaign to the runs that validated it; None below three contrasts at both.

    Raises:
        InputError: malformed runs.
    """
    here = deciding(*cycles)
    there = {}
    for one in validation.results:
        if one.id in here:
            again = ContrastRuns(contrast=here[one.id].contrast, phase="confirm", pairs=one.pairs)
            if (measured := measure(again)).pairs:
                there[one.id] = measured
    found = measured_transfer({name: here[name] for name in there}, there)
    if found is None:
        return None
    return transfer_record(found, cycles[0].platform.scale, validation.platform.machine)


def estimates(contrasts: Mapping[str, Measured], part: str | None = None) -> dict[str, Estimate]:
    """Each contrast's effect, or its part by stage, with the variance moderated over them all.

    Later stages run on the same checkpoints, where noise is another: they keep their own.
    """
    values = {
        name: measured.differences if part is None else measured.stage_differences.get(part, [])
        for name, measured in contrasts.items()
    }
    plain = {name: paired.plain_estimate(found) for name, found in values.items() if found}
    lenders = [
        name
        for name, one in plain.items()
        if one.testable and contrasts[name].contrast.stage == "train"
    ]
    prior = moderated.fit_prior(
        [plain[name].sd ** 2 for name in lenders],
        [plain[name].df for name in lenders],
        shared_noise([contrasts[name] for name in lenders]),
    )
    return {
        name: moderated.moderate(one, prior) if name in lenders else one
        for name, one in plain.items()
    }


def effects_of(contrasts: Mapping[str, Measured], names: Sequence[str]) -> Effects:
    """The effects of these contrasts with the covariance that a shared control gives them."""
    found = estimates(contrasts)
    errors = np.array([found[name].standard_error for name in names])
    shared = shared_noise([contrasts[name] for name in names])
    return effects([found[name].mean for name in names], shared * np.outer(errors, errors))


def measured_transfer(
    here: Mapping[str, Measured], there: Mapping[str, Measured]
) -> Transfer | None:
    """The coefficient over the contrasts measured at both; None where they are too few."""
    names = [name for name in here if name in there and name != NO_OP.id]
    if not names:
        return None
    return transfer(effects_of(here, names), effects_of(there, names))


def transfer_record(found: Transfer, here: str, there: str) -> ScaleTransfer:
    """The transfer as the results file has it."""
    bounds = f"{found.low:.2f} to {found.high:.2f}" if found.bounded else "not bounded"
    return ScaleTransfer(
        here=here,
        there=there,
        coefficient=found.coefficient,
        low=found.low if math.isfinite(found.low) else None,
        high=found.high if math.isfinite(found.high) else None,
        level=found.level,
        spread=found.spread,
        contrasts=found.contrasts,
        same_sign=found.same_sign,
        words=(
            f"An effect of 1 at {here} was {found.coefficient:.2f} at {there} "
            f"({100 * found.level:.0f} % interval {bounds}; {found.contrasts} contrasts, "
            f"{found.same_sign} with the same sign; single ones depart from that by "
            f"{found.spread:.4f} bpb)."
        ),
    )


def ladder_transfers(rungs: Sequence[RawRuns]) -> tuple[ScaleTransfer, ...]:
    """From each rung to the next larger, where enough contrasts were measured at both."""
    ordered = _by_size(rungs)
    found = []
    for (here, smaller), (there, larger) in pairwise(ordered):
        known = measured_transfer(smaller, larger)
        if known is not None:
            found.append(transfer_record(known, here, there))
    return tuple(found)


def carry_over(rungs: Sequence[RawRuns]) -> dict[str, CarryOver]:
    """The decision on every contrast of the ladder, by id (rules in `scripts.causal.stats.carry`).

    Only fresh seeds count: what was seen while choosing is claimed of nothing.

    Args:
        rungs: one file per scale; contrasts of the same id are the same change.
    """
    seen: dict[str, list[carry.Rung]] = {}
    ordered = _by_size(rungs)
    onward = None
    if len(ordered) > 1:
        (_, smaller), (_, larger) = ordered[-2:]
        onward = measured_transfer(smaller, larger)
    for scale, contrasts in ordered:
        totals = estimates(contrasts)
        parts = {name: estimates(contrasts, name) for name in ("training", "quantization")}
        parts["evaluation"] = estimates(contrasts, "evaluation")
        for name, measured in contrasts.items():
            size = measured.control_size
            if size is None or measured.phase != "confirm" or name == NO_OP.id:
                continue
            rung = carry.Rung(
                scale=scale,
                parameters=size[0],
                tokens_per_parameter=size[1],
                effect=totals[name],
                stages={stage: each[name] for stage, each in parts.items() if name in each},
                trend=measured.trend.answer,
                floor=_floor(contrasts),
                penalty=control_penalty(measured),
            )
            seen.setdefault(name, []).append(rung)
    return {
        name: _record(carry.decide(ladder, onward, family=len(seen)))
        for name, ladder in seen.items()
    }


def _floor(contrasts: Mapping[str, Measured]) -> Estimate | None:
    null = contrasts.get(NO_OP.id)
    return None if null is None else null.estimate


def control_penalty(measured: Measured) -> float | None:
    """What int8 costs the control, mean over seeds, bpb; None where it was not measured."""
    arms = [pair.control.metrics for pair in measured.pairs]
    if any("pre_quant_bpb" not in arm or "post_quant_bpb" not in arm for arm in arms):
        return None
    return fmean(arm["post_quant_bpb"] - arm["pre_quant_bpb"] for arm in arms)


def _by_size(rungs: Sequence[RawRuns]) -> list[tuple[str, dict[str, Measured]]]:
    """Scale and contrasts of each file, smallest control first."""
    found = [(raw.platform.scale, deciding(raw)) for raw in rungs]

    def size(contrasts: Mapping[str, Measured]) -> float:
        sizes = [one.control_size for one in contrasts.values()]
        return max((one[0] for one in sizes if one is not None), default=0.0)

    return sorted(found, key=lambda rung: size(rung[1]))


def _record(decision: carry.Decision) -> CarryOver:
    if decision.direction is None:
        words = f"Nothing is claimed of {FULL_SCALE}: {'; '.join(decision.reasons)}."
    else:
        words = (
            f"Expected to be {decision.direction} at {FULL_SCALE} too, by a size that cannot be "
            f"told from here: {'; '.join(rule.words for rule in decision.rules)}."
        )
    return CarryOver(
        direction=decision.direction,
        rules=tuple(CarryRule(name=r.name, holds=r.holds, words=r.words) for r in decision.rules),
        words=words,
    )
