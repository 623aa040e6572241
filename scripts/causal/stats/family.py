"""Many contrasts, several cycles, one promise: wrong confirmations at most alpha.

The cycles of a campaign share alpha by a plan made before the first one (Bonferroni over cycles);
within a cycle all confirmed contrasts form one family under Holm (1979) at the cycle's share. By
the union bound the chance of any wrong confirmation in the whole campaign is at most alpha,
whatever the dependence between contrasts that share controls and whatever made a cycle choose
its contrasts, as long as it did not look at that cycle's confirmation seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def spend(alpha: float, cycles: int) -> tuple[float, ...]:
    """The share of alpha of each cycle, equal and fixed in advance.

    Raises:
        ValueError: alpha outside (0, 1) or no cycle.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
    if cycles < 1:
        raise ValueError(f"at least one cycle is needed, got {cycles}")
    return (alpha / cycles,) * cycles


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm-adjusted p-values of a family, in the order given.

    A member without a p-value (its runs failed, or have no spread) stays in the family as p = 1,
    so that the family's size is the one planned; its own adjusted value is None.

    Written out because statsmodels' ``multipletests``, the oracle of its test, collects garbage
    over the whole process on every call (0.14 s with torch loaded).
    """
    filled = np.array([1.0 if p is None else p for p in p_values])
    order = np.argsort(filled)
    steps = filled[order] * np.arange(len(filled), 0, -1)
    adjusted = np.empty_like(filled)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [
        None if p is None else float(value) for p, value in zip(p_values, adjusted, strict=True)
    ]
