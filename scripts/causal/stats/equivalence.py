"""Two one-sided tests: the way to say "no effect worth having" (Schuirmann 1987)."""

from __future__ import annotations

from scipy.special import stdtr

from scripts.causal.stats.paired import Estimate


def tost_p(estimate: Estimate, margin: float) -> float | None:
    """p of "the true mean difference is at least `margin` away from 0"; None without a t.

    The larger of the two one-sided p-values. Equivalence at level a is the same as the 1 − 2a
    interval lying within ±margin. Works alike on the plain and on the moderated estimate.

    Raises:
        ValueError: `margin` is not positive.
    """
    if not margin > 0:
        raise ValueError(f"the margin must be positive, got {margin}")
    if not estimate.testable:
        return None
    se = estimate.standard_error
    above_low = stdtr(estimate.df, -(estimate.mean + margin) / se)
    below_high = stdtr(estimate.df, (estimate.mean - margin) / se)
    return float(max(above_low, below_high))
