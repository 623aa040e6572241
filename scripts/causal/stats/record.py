"""The competition's own test: does a submission beat a score by the margin asked for?

A new record must be better than the old one by at least 0.005 nats per token at p < 0.01
(openai/parameter-golf, README, "Submission Process"). The null hypothesis is an improvement of
the margin or less, one-sided: Welch's t (1947) against several runs, whose spread need not be
the same, and a one-sample t against a single published score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from scripts.causal.stats.paired import finite

MARGIN_NATS = 0.005
ALPHA = 0.01


@dataclass(frozen=True)
class MarginTest:
    """What a test against a score says.

    Attributes:
        method: Welch, or one-sample where the other side is one score.
        improvement: their mean minus ours; positive is better.
        p: one-sided, for an improvement above the margin; None where nothing varies.
        df: degrees of freedom; None as `p`.
    """

    method: Literal["Welch", "one-sample"]
    improvement: float
    p: float | None
    df: float | None


def beats(ours: Sequence[float], theirs: Sequence[float], margin: float) -> MarginTest:
    """Test whether our scores are lower than theirs by more than the margin.

    Args:
        ours: scores of our runs, two or more.
        theirs: scores of theirs; one is taken for exact.
        margin: in the scores' unit.

    Raises:
        ValueError: fewer than two scores of ours, none of theirs, or one that is not finite.
    """
    us, them = finite(ours), finite(theirs)
    if us.size < 2:
        raise ValueError(f"at least two runs are needed, got {us.size}")
    parts = [side.var(ddof=1) / side.size for side in (us, them) if side.size > 1]
    method: Literal["Welch", "one-sample"] = "Welch" if them.size > 1 else "one-sample"
    improvement = float(them.mean() - us.mean())
    error = math.sqrt(sum(parts))
    # Equal scores have no spread; rounding must not pass for one.
    if error <= 1e-12 * float(np.abs(us).max()):
        return MarginTest(method, improvement, None, None)
    sizes = [side.size for side in (us, them) if side.size > 1]
    df = error**4 / sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
    p = float(stats.t.sf((improvement - margin) / error, df))
    return MarginTest(method, improvement, p, float(df))
