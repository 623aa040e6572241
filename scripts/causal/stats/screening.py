"""Which screened contrasts deserve fresh seeds. Picks; proves nothing.

With m the mean difference on the screening seeds (moderated where a prior fits), and the
probabilities of a flat prior on the true effect δ:

- a possible improvement has P(δ ≤ −MDE) ≥ `threshold`; these go first, lowest m first;
- a clear harm has P(δ ≥ MDE) ≥ 1 − `threshold`: worth knowing as a cause, so it takes the places
  that are left, most probable first;
- everything else, bit-identical arms included, is screened out.

The threshold is low because the errors are unequal: a good change that is dropped is lost for the
campaign, one that is taken up wrongly costs a few runs. Where no spread is known (one seed and no
prior) the point estimate decides alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scipy.special import stdtr

from scripts.causal.stats.paired import Estimate

THRESHOLD = 0.1


@dataclass(frozen=True)
class Promise:
    """Probabilities that the true effect is an improvement, or a harm, of at least the MDE."""

    gain: float
    harm: float


def promise(estimate: Estimate, mde: float) -> Promise:
    """How probable an effect worth having, or worth avoiding, is under a flat prior.

    Raises:
        ValueError: `mde` is not positive.
    """
    if not mde > 0:
        raise ValueError(f"the smallest effect of interest must be positive, got {mde}")
    if not estimate.testable:
        return Promise(float(estimate.mean <= -mde), float(estimate.mean >= mde))
    se = estimate.standard_error
    gain = stdtr(estimate.df, (-mde - estimate.mean) / se)
    harm = stdtr(estimate.df, (estimate.mean - mde) / se)
    return Promise(float(gain), float(harm))


def worth_confirming(
    estimates: Mapping[str, Estimate], *, mde: float, threshold: float = THRESHOLD
) -> list[str]:
    """Names that pass the rule, in the order in which they should get fresh seeds.

    Raises:
        ValueError: `mde` is not positive, or `threshold` is outside (0, 0.5).
    """
    if not 0 < threshold < 0.5:
        raise ValueError(f"the screening threshold must lie between 0 and 0.5, got {threshold}")
    promises = {name: promise(estimate, mde) for name, estimate in estimates.items()}
    gains = [name for name, value in promises.items() if value.gain >= threshold]
    harms = [
        name
        for name, value in promises.items()
        if value.gain < threshold and value.harm >= 1 - threshold
    ]
    gains.sort(key=lambda name: estimates[name].mean)
    harms.sort(key=lambda name: -promises[name].harm)
    return gains + harms
