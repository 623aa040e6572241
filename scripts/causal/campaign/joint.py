"""Contrasts that could be run, and a joint normal belief about all of their effects.

Conditioning on what was tested is Gaussian regression (Rasmussen & Williams 2006, eq. 2.25–26),
with each test's own noise. Where the belief comes from: `scripts.causal.campaign.hierarchy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A contrast that could be run, and what its own evidence says of it.

    Attributes:
        parts: ids of the single changes it makes: its own, or those of the two it combines.
        variables: what each part varies.
        step: treatment − control where both are numbers, else 0.
        mean, sd: belief from evidence alone, bpb; for a combination, of the interaction.
        prior: of a single change, the standard deviation in bpb of its belief, about zero, before
            that evidence; `sd` itself where there is none.
    """

    id: str
    parts: tuple[str, ...]
    variables: tuple[str, ...]
    step: float
    mean: float
    sd: float
    prior: float


@dataclass(frozen=True)
class Measurement:
    """A measured effect in bpb with its standard error; the standard error may be 0."""

    effect: float
    se: float


@dataclass(frozen=True)
class Joint:
    """Means (k,) and covariances (k, k) of the candidates' effects, in bpb."""

    ids: tuple[str, ...]
    mean: Numbers
    covariance: Numbers

    def sd(self, place: int) -> float:
        """Standard deviation of one candidate's effect."""
        return float(np.sqrt(max(self.covariance[place, place], 0.0)))

    def given(self, tested: Mapping[str, Measurement]) -> Joint:
        """Return the belief after these measurements; ids that are not here tell nothing."""
        places = [place for place, name in enumerate(self.ids) if name in tested]
        if not places:
            return self
        seen = [tested[self.ids[place]] for place in places]
        noise = np.diag([one.se**2 for one in seen])
        towards = self.covariance[:, places]
        inner = self.covariance[np.ix_(places, places)] + noise
        # A pseudo-inverse: a combination is exactly its parts where nothing interacts.
        gain = towards @ np.linalg.pinv(inner, hermitian=True)
        surprise = np.array([one.effect for one in seen]) - self.mean[places]
        return Joint(self.ids, self.mean + gain @ surprise, self.covariance - gain @ towards.T)
