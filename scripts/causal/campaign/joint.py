"""What is believed of all contrasts together, so that a tested one changes what its kin are worth.

The effects are jointly normal. A contrast's own evidence gives its mean m and its spread s (see
`scripts.causal.campaign.worth`); four things tie contrasts to each other:

- **Carry-over.** Published effects stem from full-size runs; at the campaign's scale they may be
  weaker, absent or reversed, all together (a common factor, Normal(1, CARRY_SD²)) and each by
  itself (Normal(0, STRAY_SD²), times its own m). The first tests tell the common factor, and with
  it reorder everything that rests on evidence alone.
- **Kin.** Contrasts of one variable share the part KIN of their variance: it says whether the
  variable matters at all. Numbers moved in opposite directions share it with opposite signs.
- **Size.** All spreads may be off by a common factor (log-normal, SCALE_SD), since effects at the
  campaign's scale need not be of the leaderboard's size; it is set where the tests make it most
  probable, at no less than a half: where most changes do nothing, a spread fitted to them would
  rule out the few that matter.
- **Parts.** The effect of two changes together is the sum of theirs and an interaction.

Conditioning on what was tested is Gaussian regression (Rasmussen & Williams 2006, eq. 2.25–26),
with each test's own noise. The figures below are guesses about what nobody has measured; in the
campaigns of benchmarks/selection.py halving or doubling any of them changes little, while leaving
out the common factor or the kin costs up to a fifth more runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CARRY_SD = 1.0
STRAY_SD = 0.5
KIN = 0.5
SCALE_SD = 1.0  # of the natural logarithm
# From a half to 16 times, in steps of the square root of two.
SCALES = tuple(float(2.0**power) for power in np.arange(-1, 4.25, 0.5))

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A contrast that could be run, and what its own evidence says of it.

    Attributes:
        parts: ids of the single changes it makes: its own, or those of the two it combines.
        variables: what each part varies.
        step: treatment − control where both are numbers, else 0.
        mean, sd: belief from evidence alone, bpb; for a combination, of the interaction.
    """

    id: str
    parts: tuple[str, ...]
    variables: tuple[str, ...]
    step: float
    mean: float
    sd: float


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


def believe_jointly(
    candidates: Sequence[Candidate], tested: Mapping[str, Measurement] | None = None
) -> Joint:
    """Return the belief before any test, its spreads at the size that the tests speak for.

    Args:
        candidates: single changes and combinations of them, k in all, in the order of the result.
        tested: candidate → what was measured; only the spreads' common size is learnt from it, and
            `Joint.given` conditions on it.

    Raises:
        ValueError: a combination of a change that is not among the candidates.
    """
    singles = [one for one in candidates if len(one.parts) == 1]
    place = {one.id: number for number, one in enumerate(singles)}
    joint = _singles(singles, tested or {})
    rows = np.zeros((len(candidates), len(singles)))
    shift, extra = np.zeros(len(candidates)), np.zeros(len(candidates))
    for number, one in enumerate(candidates):
        for part in one.parts:
            if part not in place:
                raise ValueError(f"{one.id!r} combines {part!r}, which is not a candidate")
            rows[number, place[part]] = 1.0
        if len(one.parts) > 1:
            shift[number], extra[number] = one.mean, one.sd**2
    return Joint(
        tuple(one.id for one in candidates),
        rows @ joint.mean + shift,
        rows @ joint.covariance @ rows.T + np.diag(extra),
    )


def _singles(singles: Sequence[Candidate], tested: Mapping[str, Measurement]) -> Joint:
    """Return the belief over single changes: carry-over, kin and size (see above)."""
    means = np.array([one.mean for one in singles])
    own = np.array([one.sd for one in singles]) ** 2 + (STRAY_SD * means) ** 2
    covariance = CARRY_SD**2 * np.outer(means, means)
    covariance += np.sqrt(np.outer(own, own)) * _kinship(singles)
    joint = Joint(tuple(one.id for one in singles), means, covariance)
    return Joint(joint.ids, means, _scale(joint, tested) ** 2 * covariance)


def _scale(joint: Joint, tested: Mapping[str, Measurement]) -> float:
    """Return the factor by which effects here are larger than believed, maximum a posteriori."""
    places = [place for place, name in enumerate(joint.ids) if name in tested]
    if not places:
        return 1.0
    seen = [tested[joint.ids[place]] for place in places]
    surprise = np.array([one.effect for one in seen]) - joint.mean[places]
    noise = np.diag([one.se**2 for one in seen])
    known = joint.covariance[np.ix_(places, places)]

    def cost(scale: float) -> float:
        matrix = scale**2 * known + noise
        fit = surprise @ np.linalg.solve(matrix, surprise)
        return float(np.linalg.slogdet(matrix)[1] + fit + (np.log(scale) / SCALE_SD) ** 2)

    return min(SCALES, key=cost)


def _kinship(singles: Sequence[Candidate]) -> Numbers:
    """Correlations that being of one variable implies, shape (k, k)."""
    names = np.array([one.variables[0] for one in singles])
    signs = np.array([-1.0 if one.step < 0 else 1.0 for one in singles])
    kin: Numbers = KIN * np.outer(signs, signs) * (names[:, None] == names[None, :])
    np.fill_diagonal(kin, 1.0)
    return kin
