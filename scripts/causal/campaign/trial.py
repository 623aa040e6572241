"""What trying a contrast brings and costs: screened on a few seeds, confirmed on fresh ones.

Only what is confirmed may be adopted, so the gain of trying is not E[max(0, −effect)] (Mockus
1975), which a noiseless trial would bring, but the improvement that survives the decision: with
effect δ ~ Normal(μ, σ²), measured mean T = δ + noise, and adoption where T ≤ −c,

    E[(−δ − b) · 1(T ≤ −c)] = −(μ + b) Φ(a) + σ²/s φ(a),  a = −(c + μ)/s,  s² = Var T,

where b is the improvement already held (the knowledge gradient of Frazier, Powell & Dayanik 2008,
with a decision threshold instead of a best arm). T is the mean over the fresh seeds; that a screen
may stop a change before them is counted in what a trial costs, not in what it brings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from scipy.special import ndtr, ndtri

from scripts.causal.stats.screening import THRESHOLD


@dataclass(frozen=True)
class Trial:
    """How a contrast is tried.

    Attributes:
        noise: standard deviation of one paired difference, bpb; above 0.
        screen, confirm: seeds of the two phases.
        alpha: two-sided level at which a contrast must be confirmed.
        mde: smallest effect of interest, bpb.
        cost: of one paired seed; in FLOPs, or 1 to count seeds.
        fresh: what a fresh seed costs beside one that screens; more for a combination (`of_pair`).
    """

    noise: float
    screen: int
    confirm: int
    alpha: float
    mde: float
    cost: float = 1.0
    fresh: float = 1.0

    def of_pair(self) -> Trial:
        """Return how a combination of two is tried, at this cost of a seed.

        Its parts run alone beside it on the fresh seeds: four arms instead of two.
        """
        return replace(self, fresh=2.0)

    @property
    def most(self) -> float:
        """Cost of all seeds, where the screen lets it go on."""
        return self.cost * (self.screen + self.fresh * self.confirm)

    @property
    def hurdle(self) -> float:
        """The improvement in bpb that confirmation asks for, variance taken as known."""
        return -float(ndtri(self.alpha / 2)) * self.noise / math.sqrt(self.confirm)

    @property
    def se(self) -> float:
        """Standard error in bpb of the mean over both phases."""
        return self.noise / math.sqrt(self.screen + self.confirm)

    def gain(self, mean: float, sd: float, held: float = 0.0) -> float:
        """Expected improvement in bpb that the trial lets one adopt, beyond what is `held`."""
        least = max(self.hurdle, held)
        spread = math.hypot(sd, self.noise / math.sqrt(self.confirm))
        a = -(least + mean) / spread
        return max(0.0, float(-(mean + held) * ndtr(a) + sd**2 / spread * _density(a)))

    def chance(self, mean: float, sd: float, held: float = 0.0) -> float:
        """Probability that the trial confirms more than what is `held`."""
        spread = math.hypot(sd, self.noise / math.sqrt(self.confirm))
        return float(ndtr(-(max(self.hurdle, held) + mean) / spread))

    def seeds(self, mean: float, sd: float) -> float:
        """Expected number of paired seeds: the screen's, and the others if it says so.

        By the screening rule of `scripts.causal.stats.screening`: possible improvements go on,
        and clear harms.
        """
        se = self.noise / math.sqrt(self.screen)
        spread = math.hypot(sd, se)
        margin = -float(ndtri(THRESHOLD)) * se
        better = ndtr((margin - self.mde - mean) / spread)
        worse = ndtr((mean - self.mde - margin) / spread)
        return self.screen + self.confirm * float(better + worse)

    def price(self, mean: float, sd: float) -> float:
        """Expected cost of all its seeds, in the unit of `cost`."""
        screen = self.screen
        return self.cost * (screen + self.fresh * (self.seeds(mean, sd) - screen))


def _density(z: float) -> float:
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
