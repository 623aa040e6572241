"""Whether the sign of an effect may be carried to full scale: committed, or silent with a reason.

A confident wrong sign is the worst outcome, so every rule must hold; the first that does not is
the reason for silence. All estimates are differences in bpb, treatment minus control.

| rule    | holds where                                                                        |
|---------|------------------------------------------------------------------------------------|
| horizon | every rung saw at least `ENOUGH_TOKENS_PER_PARAMETER` tokens per parameter         |
| ladder  | there are at least two sizes, and the effect has one sign on all of them           |
| noise   | the rungs' weighted mean is clear of zero, at `LEVEL` for all contrasts of the     |
|         | ladder together (Bonferroni)                                                       |
| floor   | the largest rung's effect is beyond what a change of no consequence moves there    |
| stages  | no stage clearly (`LEVEL`) pulls the other way, and what rounding adds would not   |
|         | turn the sign if it grew as the control's own penalty does up to full scale        |
| trend   | the largest rung's effect does not point through zero: not `may_flip`              |
| size    | drawn one rung further by the line of effect on log parameters it keeps its sign   |
| transfer| where at least three contrasts were measured on the two largest rungs: what the    |
|         | one told of the other, told once more of the next, excludes zero                   |

The transfer speaks of single contrasts' departures from the common coefficient, which the line
cannot know. The rules speak of the sign; the size of the effect at full scale needs a transfer
that was measured up to there. No threshold was fitted to effects at full scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from scripts.causal.stats.paired import Estimate, interval
from scripts.causal.stats.sentences import ENOUGH_TOKENS_PER_PARAMETER
from scripts.causal.stats.transfer import Transfer, predict
from scripts.causal.stats.trend import Answer

LEVEL = 0.9
FULL_SCALE_PENALTY = 0.0072
"""What int8 costs the baseline on 8×H100, bpb: 1.2172 → 1.2244 (record 2026-03-17_NaiveBaseline).
Here it costs a few thousandths at most, so what a change does to it is seen small."""

Direction = Literal["better", "worse"]


@dataclass(frozen=True)
class Rung:
    """One contrast at one scale of the ladder.

    Attributes:
        scale: its name.
        parameters, tokens_per_parameter: of the control.
        effect: of the final outcome.
        stages: its parts by stage; a part that is exactly 0 may be left out.
        trend: of the outcome along the run.
        floor: the difference that a change of no consequence makes here; None where unmeasured.
        penalty: what rounding costs the control here, bpb; None where unknown.
    """

    scale: str
    parameters: float
    tokens_per_parameter: float
    effect: Estimate
    stages: dict[str, Estimate]
    trend: Answer
    floor: Estimate | None = None
    penalty: float | None = None


@dataclass(frozen=True)
class Rule:
    """One rule of the table: whether it holds, and the figures it was decided by."""

    name: str
    holds: bool
    words: str


@dataclass(frozen=True)
class Decision:
    """`direction` is what is claimed of full scale; None is silence, for the rules that fail."""

    direction: Direction | None
    rules: tuple[Rule, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why nothing is claimed; empty where something is."""
        return tuple(rule.words for rule in self.rules if not rule.holds)


def decide(
    rungs: Sequence[Rung],
    onward: Transfer | None = None,
    *,
    family: int = 1,
) -> Decision:
    """Apply the rules of the module's table.

    Args:
        rungs: the contrast at each scale, in any order.
        onward: between the two largest of them, where it could be measured.
        family: contrasts that are decided on together; the rule on noise shares its error.

    Raises:
        ValueError: no rung.
    """
    if not rungs:
        raise ValueError("a decision needs at least one rung")
    ladder = sorted(rungs, key=lambda rung: rung.parameters)
    top = ladder[-1]
    sign = math.copysign(1.0, top.effect.mean) if top.effect.mean else 0.0
    rules = [
        _horizon(ladder),
        _signs(ladder, sign),
        _noise(ladder, sign, 1 - (1 - LEVEL) / family),
        _floor(top),
        _stages(ladder, sign),
        _trend(top),
        _size(ladder, sign),
    ]
    if onward is not None:
        rules.append(_onward(top, onward, sign))
    if not all(rule.holds for rule in rules):
        return Decision(None, tuple(rules))
    return Decision("worse" if sign > 0 else "better", tuple(rules))


def combined(ladder: Sequence[Rung], level: float = LEVEL) -> tuple[float, float]:
    """Mean of the rungs' effects weighted by precision, and half of its interval at `level`.

    What is asked is whether there is an effect on the rungs at all: how it differs between them
    is for the rules on signs and size. Infinite where a rung's effect has no known error.
    """
    means = np.array([rung.effect.mean for rung in ladder])
    if not means.any():
        return 0.0, 0.0
    if not all(rung.effect.testable for rung in ladder):
        return float(means.mean()), math.inf
    weights = np.array([rung.effect.standard_error for rung in ladder]) ** -2.0
    df = min(rung.effect.df for rung in ladder)
    half = float(stats.t.isf((1 - level) / 2, df)) / math.sqrt(weights.sum())
    return float((weights * means).sum() / weights.sum()), half


def _horizon(ladder: Sequence[Rung]) -> Rule:
    least = min(rung.tokens_per_parameter for rung in ladder)
    holds = least >= ENOUGH_TOKENS_PER_PARAMETER - 0.5
    return Rule("horizon", holds, f"{least:.3g} tokens per parameter were seen")


def _signs(ladder: Sequence[Rung], sign: float) -> Rule:
    shown = ", ".join(f"{rung.effect.mean:+.4f} at {rung.scale}" for rung in ladder)
    if len({rung.parameters for rung in ladder}) < 2:
        return Rule("ladder", False, f"tested at one size only ({shown})")
    if all(rung.effect.mean * sign > 0 for rung in ladder):
        return Rule("ladder", True, f"one sign at every size ({shown})")
    return Rule("ladder", False, f"the sign is not the same at every size ({shown})")


def _noise(ladder: Sequence[Rung], sign: float, level: float) -> Rule:
    mean, half = combined(ladder, level)
    holds = sign != 0 and sign * mean > half
    what = "clear of zero" if holds else "not clear of zero"
    return Rule("noise", holds, f"{mean:+.4f} ± {half:.4f} over the sizes is {what}")


def _floor(top: Rung) -> Rule:
    if top.floor is None:
        return Rule("floor", False, "what a change of no consequence moves was not measured")
    # Its true mean is 0 by design, so its own mean counts as noise too.
    spread = math.hypot(top.floor.mean, top.floor.sd * math.sqrt(1 - 1 / top.floor.pairs))
    t = float(stats.t.isf((1 - LEVEL) / 2, top.floor.pairs))
    reach = t * spread / math.sqrt(top.effect.pairs)
    holds = abs(top.effect.mean) > reach
    where = "beyond" if holds else "within"
    return Rule(
        "floor",
        holds,
        f"{top.effect.mean:+.4f} is {where} the ±{reach:.4f} of a change of no consequence",
    )


def _stages(ladder: Sequence[Rung], sign: float) -> Rule:
    against = []
    for rung in ladder:
        for stage, part in rung.stages.items():
            band = interval(part, LEVEL)
            if band is not None and max(sign * band[0], sign * band[1]) < 0:
                against.append(f"{stage} {part.mean:+.4f} at {rung.scale}")
    if against:
        return Rule("stages", False, f"a stage pulls the other way ({', '.join(against)})")
    grown = _grown(ladder[-1], sign)
    if grown is not None and sign * grown <= 0:
        return Rule(
            "stages",
            False,
            f"with rounding as dear as at full scale it may be {grown:+.4f}, the other sign",
        )
    return Rule("stages", True, "no stage pulls the other way")


def _grown(top: Rung, sign: float) -> float | None:
    """The effect with the rounding's part in proportion to the control's penalty at full scale.

    Of the part's interval the end that speaks against the sign is taken.
    """
    part = top.stages.get("quantization")
    if part is None or not top.penalty or top.penalty <= 0:
        return None
    band = interval(part, LEVEL) or (part.mean, part.mean)
    worst = sign * min(sign * band[0], sign * band[1])
    growth = max(1.0, FULL_SCALE_PENALTY / top.penalty)
    return top.effect.mean - part.mean + growth * worst


def _trend(top: Rung) -> Rule:
    words = {
        "steady": "the trend keeps its sign",
        "unknown": "the trend does not point through zero, though its band holds zero",
        "may_flip": "the trend points through zero: the effect may flip",
    }
    return Rule("trend", top.trend != "may_flip", words[top.trend])


def _size(ladder: Sequence[Rung], sign: float) -> Rule:
    sizes = np.log([rung.parameters for rung in ladder])
    if np.ptp(sizes) == 0:
        return Rule("size", False, "one size shows no trend with size")
    effects = np.array([rung.effect.mean for rung in ladder])
    slope, level = np.polyfit(sizes, effects, 1)
    further = float(level + slope * (sizes[-1] + np.ptp(sizes) / (len(ladder) - 1)))
    holds = sign * further > 0
    words = "keeps its sign" if holds else "changes sign"
    return Rule("size", holds, f"drawn one size further the effect is {further:+.4f}, {words}")


def _onward(top: Rung, known: Transfer, sign: float) -> Rule:
    predicted = predict(known, top.effect.mean, top.effect.standard_error)
    if predicted is None:
        return Rule("transfer", False, "how effects carry from size to size cannot be told")
    centre, low, high = predicted
    return Rule(
        "transfer",
        min(sign * low, sign * high) > 0,
        f"carried one size further it is {centre:+.4f} ({low:+.4f} to {high:+.4f})",
    )
