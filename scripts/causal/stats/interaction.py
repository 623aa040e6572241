"""Do two changes add up? The interaction of a 2 × 2 factorial run on the same seeds.

At each seed four runs: the control c, each change alone a and b, both ab. The interaction is
(ab − c) − (a − c) − (b − c) = ab − a − b + c: what both together bring beyond the sum of the two
(Yates 1937; Wu & Hamada 2009, Experiments, section 4.3).

| answer      | rule, first that applies                                                   |
|-------------|----------------------------------------------------------------------------|
| reinforce   | adjusted p of the moderated t ≤ share, and the interaction is below 0      |
| hinder      | adjusted p of the moderated t ≤ share, and the interaction is above 0      |
| add_up      | adjusted p of the TOST at ±MDE ≤ share, or every interaction is exactly 0  |
| cannot_tell | otherwise                                                                  |

bpb falls as a model improves, so an interaction below 0 makes the two worth more together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scripts.causal.stats.moderated import Prior

Answer = Literal["reinforce", "hinder", "add_up", "cannot_tell"]


@dataclass(frozen=True)
class Cell:
    """The four runs of one seed, in bpb."""

    control: float
    one: float
    other: float
    both: float

    @property
    def interaction(self) -> float:
        """What both bring beyond the sum of each alone, bpb."""
        return (self.both - self.other) - (self.one - self.control)


def interaction_prior(prior: Prior | None) -> Prior | None:
    """The prior of a paired difference, for an interaction: twice its variance.

    An interaction is the difference of two paired differences; the noise that a run has beside
    its seed's is taken to be independent between the four runs.
    """
    return None if prior is None else Prior(2 * prior.variance, prior.df)


def answer(
    interactions: Sequence[float],
    *,
    p_adjusted: float | None,
    p_equivalence_adjusted: float | None,
    share: float,
) -> Answer:
    """The answer by the table above, at the cycle's `share` of alpha."""
    if len(interactions) < 2:
        return "cannot_tell"
    if not any(interactions):
        return "add_up"
    if p_adjusted is not None and p_adjusted <= share:
        return "reinforce" if sum(interactions) < 0 else "hinder"
    if p_equivalence_adjusted is not None and p_equivalence_adjusted <= share:
        return "add_up"
    return "cannot_tell"
