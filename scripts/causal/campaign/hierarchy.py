"""What is believed of all contrasts together, so that a tested one changes what its kin are worth.

What the leaderboard says of a contrast is an estimate y ± e of its published effect (its belief
without the prior). The effects δ at the campaign's scale are the unknown, and five things tie
contrasts to each other:

- **Size.** Some variables matter and most do little: each has its own size s, log-normal about a
  median that the campaign's own tests move, and δ ~ Normal(0, s²) given it. A variable that showed
  nothing is hardly worth a second contrast; one large effect promises more of the same variable.
- **Kin.** Contrasts of one variable share the part KIN of their variance. Numbers moved in
  opposite directions share it with opposite signs.
- **Carry-over.** Published effects stem from full-size runs; at the campaign's scale they may be
  weaker, absent or reversed, all together: y estimates c·δ, c ~ Normal(1, CARRY_SD²). The first
  tests tell c, and with it reorder everything that rests on evidence alone.
- **Stray.** All that is said of one variable may be off by a common amount (its users share a
  stack, or a hope), Normal(0, t²); t is nothing or a typical effect, as the tests tell. Without it
  a few variables that are praised in vain would speak against every report.
- **Parts.** The effect of two changes together is the sum of theirs and an interaction.

Given c, t and the median, variables are independent, and given its size each is Gaussian: the
posterior is a sum over a grid of these (a hierarchical scale mixture: Gelman et al. 2013, Bayesian
Data Analysis, chapter 5), handed on as a normal belief of its mean and covariance. The figures
below are guesses about what nobody has measured, in units of a typical effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import logsumexp

from scripts.causal.campaign.joint import Candidate, Joint, Measurement, Numbers

KIN = 0.5
CARRY_SD = 0.7
CARRIES = np.arange(-1.0, 2.25, 0.5)
STRAYS = np.array([0.0, 1.0])  # of typical
STRAY_SHARES = np.array([0.75, 0.25])  # their probabilities
SIZES = 2.0 ** np.arange(-3, 4)  # of typical
SIZE_SD = 0.7  # of the natural logarithm, of sizes about their median and of the median
CENTRE = 0.5  # of the medians, of typical: the few large sizes lift the root mean square to it
MEDIANS = CENTRE * np.array([0.5, 1.0, 2.0])
UNTOLD = 1e-6  # evidence that takes less than this share of the prior's precision is none


def believe_jointly(
    candidates: Sequence[Candidate], tested: Mapping[str, Measurement] | None = None
) -> Joint:
    """Return the belief after these tests.

    Args:
        candidates: single changes and combinations of them, k in all, in the order of the result.
        tested: candidate → what was measured; ids that are not among them tell nothing.

    Raises:
        ValueError: a combination of a change that is not among the candidates.
    """
    seen = tested or {}
    singles = [one for one in candidates if len(one.parts) == 1]
    place = {one.id: number for number, one in enumerate(singles)}
    mean, covariance = _singles(singles, seen)
    rows = np.zeros((len(candidates), len(singles)))
    shift, extra = np.zeros(len(candidates)), np.zeros(len(candidates))
    for number, one in enumerate(candidates):
        for part in one.parts:
            if part not in place:
                raise ValueError(f"{one.id!r} combines {part!r}, which is not a candidate")
            rows[number, place[part]] = 1.0
        if len(one.parts) > 1:
            shift[number], extra[number] = one.mean, one.sd**2
    joint = Joint(
        tuple(one.id for one in candidates),
        rows @ mean + shift,
        rows @ covariance @ rows.T + np.diag(extra),
    )
    return joint.given({name: one for name, one in seen.items() if name not in place})


def _singles(
    singles: Sequence[Candidate], tested: Mapping[str, Measurement]
) -> tuple[Numbers, Numbers]:
    """Return mean (k,) and covariance (k, k) of single changes after their tests, bpb."""
    covariance = np.zeros((len(singles), len(singles)))
    if not singles:
        return np.zeros(0), covariance
    typical = min(one.prior for one in singles)
    members: dict[str, list[int]] = {}
    for number, one in enumerate(singles):
        members.setdefault(one.variables[0], []).append(number)
    each = [
        _of_variable(
            tuple(singles[number] for number in numbers),
            tuple(tested.get(singles[number].id) for number in numbers),
            typical,
        )
        for numbers in members.values()
    ]
    # Axes: variable, carry, stray, median, size.
    shape = -0.5 * (np.log(SIZES / MEDIANS[:, None]) / SIZE_SD) ** 2
    shape -= logsumexp(shape, axis=1, keepdims=True)
    fit = np.stack([variable.fit for variable in each])[:, :, :, None, :] + shape
    evidence = logsumexp(fit, axis=-1)
    common = (
        evidence.sum(axis=0)
        - 0.5 * ((CARRIES - 1) / CARRY_SD)[:, None, None] ** 2
        + np.log(STRAY_SHARES)[:, None]
        - 0.5 * (np.log(MEDIANS / CENTRE) / SIZE_SD) ** 2
    )
    weight = np.exp(common - logsumexp(common)).ravel()
    sizes = np.exp(fit - evidence[..., None])
    given = np.zeros((weight.size, len(singles)))  # the mean for each common setting
    for numbers, variable, share in zip(members.values(), each, sizes, strict=True):
        first = np.einsum("ctmz,ctzk->ctmk", share, variable.mean)
        second = np.einsum("ctmz,ctzkl->ctmkl", share, variable.square)
        first = first.reshape(weight.size, len(numbers))
        second = second.reshape(weight.size, len(numbers), len(numbers))
        given[:, numbers] = first
        covariance[np.ix_(numbers, numbers)] = np.tensordot(
            weight, second - first[:, :, None] * first[:, None, :], axes=1
        )
    mean = weight @ given
    apart = given - mean
    return mean, covariance + (weight[:, None] * apart).T @ apart


@dataclass(frozen=True)
class _Variable:
    """The k contrasts of one variable for every carry, stray and size (C, T, Z).

    Attributes:
        fit: logarithm of the probability density of all that was said and measured, (C, T, Z).
        mean: of the effects, (C, T, Z, k).
        square: mean of their products, (C, T, Z, k, k).
    """

    fit: Numbers
    mean: Numbers
    square: Numbers


@lru_cache(maxsize=4096)  # a cycle changes a few variables
def _of_variable(
    kin: tuple[Candidate, ...], measured: tuple[Measurement | None, ...], typical: float
) -> _Variable:
    said = [(place, *told) for place, one in enumerate(kin) if (told := _told(one)) is not None]
    seen = [(place, one.effect, one.se) for place, one in enumerate(measured) if one is not None]
    towards = np.zeros((len(CARRIES), len(said) + len(seen), len(kin)))
    for row, (place, _, _) in enumerate(said):
        towards[:, row, place] = CARRIES
    for row, (place, _, _) in enumerate(seen, start=len(said)):
        towards[:, row, place] = 1.0
    values = np.array([value for _, value, _ in (*said, *seen)])
    noise = np.zeros((len(STRAYS), len(values), len(values)))
    noise += np.diag([se**2 for _, _, se in (*said, *seen)])
    noise[:, : len(said), : len(said)] += (typical * STRAYS)[:, None, None] ** 2
    prior = (typical * SIZES)[:, None, None] ** 2 * _kinship(kin)
    reach = np.einsum("cnk,zkl->cznl", towards, prior)
    spread = np.einsum("cznl,cml->cznm", reach, towards)[:, None] + noise[None, :, None]
    inverse = np.linalg.inv(spread)
    weights = inverse @ values
    mean = np.einsum("cznl,ctzn->ctzl", reach, weights)
    left = prior - np.einsum("cznl,ctznm,czmo->ctzlo", reach, inverse, reach)
    fit = -0.5 * (np.linalg.slogdet(spread)[1] + weights @ values)
    return _Variable(fit, mean, left + mean[..., :, None] * mean[..., None, :])


def _told(one: Candidate) -> tuple[float, float] | None:
    """Return the estimate and its standard error that turned the prior into the belief, bpb."""
    precision = 1 / one.sd**2 - 1 / one.prior**2
    if precision <= UNTOLD / one.prior**2:
        return None
    return one.mean / one.sd**2 / precision, precision**-0.5


def _kinship(kin: Sequence[Candidate]) -> Numbers:
    """Correlations that being of one variable implies, shape (k, k)."""
    signs = np.array([-1.0 if one.step < 0 else 1.0 for one in kin])
    shared: Numbers = KIN * np.outer(signs, signs)
    np.fill_diagonal(shared, 1.0)
    return shared
