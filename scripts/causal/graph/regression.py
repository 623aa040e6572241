"""One robust regression with many small nuisance effects and dependence within families.

y = fixed effects + nuisance effects + error. The error is Student's t with its degrees of freedom
and scale estimated (Lange, Little & Taylor 1989, JASA 84), so that scores of another kind (an
n-gram cache, an unfinished run) pull little. Nuisance effects are Normal(0, τ²) with τ² estimated
by restricted likelihood (empirical Bayes, a ridge). The effects asked for are not shrunk. Errors
are robust to dependence within clusters (Liang & Zeger 1986, Biometrika 73).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize_scalar
from scipy.special import gammaln
from scipy.stats import t as student

Numbers = NDArray[np.float64]
TAILS = (1.5, 2.0, 3.0, 5.0, 10.0, 50.0)  # df tried; the last is normal for all that matters
ROUNDS = 25  # at the most, of weights and variances in turn
SPARE_ROWS = 8  # beyond the fixed columns, for a scale and a tail to be seen at all
LEAST_SHARPNESS = 0.3  # of the mean slope over the mean weight; it is squared and divided by


@dataclass(frozen=True)
class Answer:
    """An effect with its standard error.

    Attributes:
        clusters: how many equally large clusters would carry the same weight (Carter, Schnepel &
            Steigerwald 2017, REStat 99); the interval is on t with one fewer df.
        share: the precision that it has, of what it would have beside the fixed and the asked
            columns alone; near 0 where nuisance columns say when it is used.
    """

    effect: float
    se: float
    clusters: float
    share: float

    def half_width(self, level: float = 0.95) -> float:
        """Return half the interval's width."""
        df = max(self.clusters - 1, 1.0)
        return float(student.ppf((1 + level) / 2, df)) * self.se


@dataclass(frozen=True)
class Model:
    """The fitted regression.

    Attributes:
        outcome: (n,), bpb.
        fixed: (n, q) columns without shrinkage, the intercept among them.
        nuisance: (n, m) columns with effects of like size.
        groups: (n,) number of each row's cluster.
        tau2: variance of a nuisance effect.
        scale2: squared scale of the errors.
        df: tail of the errors.
        weights: (n,) weight of each row, about 1 for an ordinary one.
    """

    outcome: Numbers
    fixed: Numbers
    nuisance: Numbers
    groups: NDArray[np.int64]
    tau2: float
    scale2: float
    df: float
    weights: Numbers

    @cached_property
    def columns(self) -> Numbers:
        """All columns, fixed first."""
        return np.hstack([self.fixed, self.nuisance])

    @cached_property
    def gram(self) -> Numbers:
        """The weighted cross-products of all columns."""
        product: Numbers = self.columns.T @ (self.weights[:, None] * self.columns)
        return product

    @cached_property
    def freedom(self) -> float:
        """The effective number of parameters of the fit."""
        ridge = np.full(self.columns.shape[1], self.scale2 / self.tau2)
        ridge[: self.fixed.shape[1]] = 0.0
        inverse = np.linalg.pinv(self.gram + np.diag(ridge), hermitian=True)
        return float(np.sum(inverse * self.gram))

    @cached_property
    def moments(self) -> Numbers:
        """The weighted cross-products of all columns with the outcome."""
        product: Numbers = self.columns.T @ (self.weights * self.outcome)
        return product

    def effects(self, places: Sequence[int], without: Sequence[int] = ()) -> Numbers | None:
        """Return the effects of nuisance columns, these unshrunk; None where they cannot be told.

        Args:
            places: the columns asked about; all others stay shrunk.
            without: columns that are taken out of the fit.
        """
        solved = self._solve(places, without)
        return None if solved is None else solved[1][solved[2]]

    def _solve(
        self, places: Sequence[int], without: Sequence[int] = ()
    ) -> tuple[Numbers, Numbers, list[int], Numbers] | None:
        """Solve the penalised normal equations with the asked columns unshrunk.

        Returns:
            The k kept columns' places among all; their coefficients, (k,); where the a asked stand
            among the kept; and the columns of the inverse that belong to the asked, (k, a). None
            where the equations have no one solution.
        """
        q = self.fixed.shape[1]
        out = {q + place for place in without}
        kept = np.array([place for place in range(self.columns.shape[1]) if place not in out])
        order = {int(place): number for number, place in enumerate(kept)}
        asked = [order[q + place] for place in places]
        ridge = np.full(len(kept), self.scale2 / self.tau2)
        ridge[:q] = 0.0
        ridge[asked] = 0.0
        gram = self.gram[np.ix_(kept, kept)]
        size = np.sqrt(np.maximum(np.diag(gram) + ridge, 1e-300))
        try:
            solver = cho_factor((gram + np.diag(ridge)) / np.outer(size, size))
        except np.linalg.LinAlgError:
            return None
        targets = np.zeros((len(kept), len(asked)))
        targets[asked, range(len(asked))] = 1.0
        both = np.column_stack([self.moments[kept], targets]) / size[:, None]
        found = cho_solve(solver, both) / size[:, None]
        return kept, found[:, 0], asked, found[:, 1:]

    def ask(self, places: Sequence[int]) -> list[Answer | None]:
        """Return the effect of each of these nuisance columns, with all of these left unshrunk.

        An answer is None when the column cannot be told from the others. Its variance is the
        larger of the one robust to clusters and the one that takes rows for independent, times
        rows per row beyond the effective parameters, plus what shrinking the others may cost
        (their prior variance along this direction), over the squared mean slope of the score
        function as a share of the mean weight (Huber & Ronchetti 2009, Robust Statistics, section
        7.6).
        """
        solved = self._solve(places)
        if solved is None:
            return [None] * len(places)
        _, beta, asked, directions = solved
        q = self.fixed.shape[1]
        ridge = np.full(len(beta), self.scale2 / self.tau2)
        ridge[:q] = 0.0
        ridge[asked] = 0.0
        residuals = self.outcome - self.columns @ beta
        u2 = residuals**2 / self.scale2
        slope = float(np.mean((self.df + 1) * (self.df - u2) / (self.df + u2) ** 2))
        sharp = min(max(slope / float(np.mean(self.weights)), LEAST_SHARPNESS), 1.0)
        rows = len(residuals)
        used = rows / max(rows - self.freedom, 1.0)
        near = [*range(q), *asked]
        free = np.linalg.pinv(self.gram[np.ix_(near, near)], hermitian=True)
        answers: list[Answer | None] = []
        for number, place in enumerate(asked):
            direction = directions[:, number]
            influence = self.columns @ direction
            sums = np.bincount(self.groups, weights=influence * self.weights * residuals)
            between = float(sums @ sums) * len(sums) / max(len(sums) - 1, 1)
            alone = float(np.sum(influence**2) * np.mean((self.weights * residuals) ** 2))
            prior = float(np.sum(direction**2 * ridge)) * self.scale2
            variance = (max(between, alone) * used + prior) / sharp**2
            mass = np.bincount(self.groups, weights=influence**2)
            got, best = float(direction[place]), float(free[q + number, q + number])
            if not np.isfinite(variance) or variance <= 0 or got <= 0 or best <= 0:
                answers.append(None)
                continue
            clusters = float(mass.sum() ** 2 / np.sum(mass**2))
            share = min(best / got, 1.0)
            answers.append(Answer(float(beta[place]), float(np.sqrt(variance)), clusters, share))
        return answers


def _project(fixed: Numbers, weights: Numbers, block: Numbers) -> Numbers:
    """Return the weighted block less what the fixed columns explain of it."""
    root = np.sqrt(weights)[:, None]
    basis, _ = np.linalg.qr(root * fixed)
    weighted = root * block
    left: Numbers = weighted - basis @ (basis.T @ weighted)
    return left


def _spread(values: Numbers, vectors: Numbers, y: Numbers, df: int) -> tuple[float, float]:
    """Return (τ²/σ², σ²) by restricted likelihood from eigenvalues of X X' and rotated y."""
    rotated = (vectors.T @ y) ** 2
    rest = max(float(y @ y) - float(rotated.sum()), 0.0)

    def cost(log_ratio: float) -> float:
        inflation = 1 + np.exp(log_ratio) * values
        sigma2 = (float(np.sum(rotated / inflation)) + rest) / df
        return float(df * np.log(max(sigma2, 1e-300)) + np.sum(np.log(inflation)))

    found = minimize_scalar(cost, bounds=(-14.0, 10.0), method="bounded")
    ratio = float(np.exp(found.x))
    sigma2 = (float(np.sum(rotated / (1 + ratio * values))) + rest) / df
    return ratio, sigma2


def _independent(columns: Numbers) -> Numbers:
    """Return the columns that the ones before them do not determine."""
    kept: list[int] = []
    for place in range(columns.shape[1]):
        block = columns[:, [*kept, place]]
        size = np.sqrt(np.sum(block**2, axis=0))
        if size[-1] > 0 and np.linalg.matrix_rank(block / size, tol=1e-6) == len(kept) + 1:
            kept.append(place)
    return columns[:, kept]


def fit_model(
    outcome: Numbers,
    fixed: Numbers,
    nuisance: Numbers,
    clusters: Sequence[object],
    least_tau2: float = 0.0,
) -> Model | None:
    """Return the fitted model, None when rows are too few or the outcome does not vary.

    Args:
        outcome: (n,).
        fixed: (n, q) columns, the intercept first; those that others determine are left out.
        nuisance: (n, m) columns whose effects are of like size.
        clusters: one label per row.
        least_tau2: variance of a nuisance effect that is known from elsewhere; few rows of heavy
            tails would put it at zero, and adjust for nothing.

    Returns:
        None also where a round finds no spread left to explain.
    """
    fixed = _independent(fixed)
    n, q = fixed.shape
    if n < q + SPARE_ROWS or nuisance.shape[1] == 0 or np.ptp(outcome) == 0:
        return None
    groups = np.unique(np.array([str(one) for one in clusters]), return_inverse=True)[1]
    weights, scale2, tau2, df = np.ones(n), 1.0, 1.0, TAILS[-1]
    both = np.hstack([fixed, nuisance])
    for turn in range(ROUNDS):
        x = _project(fixed, weights, nuisance)
        y = _project(fixed, weights, outcome[:, None])[:, 0]
        left, singular, _ = np.linalg.svd(x, full_matrices=False)
        keep = singular > 1e-8 * max(singular[0], 1e-12)
        ratio, sigma2 = _spread(singular[keep] ** 2, left[:, keep], y, n - q)
        if sigma2 <= 0:
            return None
        ridge = np.r_[np.zeros(q), np.full(nuisance.shape[1], 1 / max(ratio, least_tau2 / sigma2))]
        gram = both.T @ (weights[:, None] * both) + np.diag(ridge)
        beta = np.linalg.lstsq(gram, both.T @ (weights * outcome), rcond=None)[0]
        residuals = outcome - both @ beta
        df, scale2 = tail_of(residuals)
        previous, weights = weights, (df + 1) / (df + residuals**2 / scale2)
        tau2 = max(ratio * sigma2, least_tau2)
        if turn > 2 and float(np.max(np.abs(weights - previous))) < 0.01:
            break
    return Model(outcome, fixed, nuisance, groups.astype(np.int64), tau2, scale2, df, weights)


def tail_of(residuals: Numbers) -> tuple[float, float]:
    """Return the degrees of freedom and squared scale of the t that fits the residuals best."""
    squares = residuals**2
    start = (1.4826 * float(np.median(np.abs(residuals)))) ** 2
    start = start if start > 0 else float(np.mean(squares))
    df = np.array(TAILS)[:, None]  # all at once: this is called hundreds of times
    scale2 = np.full(df.shape, start)
    for _ in range(30):
        scale2 = np.mean((df + 1) / (df + squares / scale2) * squares, axis=1, keepdims=True)
    peak = gammaln((df + 1) / 2) - gammaln(df / 2) - np.log(df * np.pi * scale2) / 2
    heights = np.mean(peak - (df + 1) / 2 * np.log1p(squares / (df * scale2)), axis=1)
    best = int(np.argmax(heights))
    return float(df[best, 0]), float(scale2[best, 0])
