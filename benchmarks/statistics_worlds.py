"""Campaigns whose truth is known: simulated scores put through the code that decides real ones.

A world says how the scores of a control and of its treatments scatter over seeds. A campaign in it
is what `run_pipeline` does: contrasts that share a control are screened, `choose_for_confirmation`
picks, `confirm` takes what it picked to fresh seeds look by look, `analyse` decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scripts.causal.campaign.schema import (
    AblationResults,
    ArmRun,
    Contrast,
    ContrastRuns,
    Pair,
    Phase,
    Platform,
    RawRuns,
    VariancePrior,
)
from scripts.causal.campaign.screened import choose_for_confirmation, fit_prior
from scripts.causal.statistical_analysis import analyse, confirm
from scripts.causal.stats import paired
from scripts.causal.stats.family import holm
from scripts.causal.stats.looks import planned_looks

Numbers = NDArray[np.float64]
PLATFORM = Platform(trainer="none", backend="none", scale="simulated", data="none", machine="none")
LEVEL = 2.0  # bpb that every score is drawn about; only differences matter


@dataclass(frozen=True)
class World:
    """How scores scatter over seeds.

    Attributes:
        covariance: (1 + k, 1 + k) of control and treatments over seeds, bpb².
    """

    name: str
    covariance: Numbers

    @property
    def contrasts(self) -> int:
        """How many there are."""
        return len(self.covariance) - 1

    @property
    def difference_sd(self) -> Numbers:
        """Standard deviation in bpb of each contrast's paired difference."""
        c = self.covariance
        return np.asarray(np.sqrt(np.diag(c)[1:] + c[0, 0] - 2 * c[0, 1:]))

    def led_by(self, place: int) -> World:
        """The same world with this contrast, counted from 0, and those behind it put first."""
        order = [0, *((np.arange(self.contrasts) + place) % self.contrasts + 1)]
        return World(self.name, self.covariance[np.ix_(order, order)])

    def scores(self, rng: np.random.Generator, seeds: int, effects: Numbers) -> Numbers:
        """Draw (seeds, 1 + k) scores, the effects added to the treatments."""
        noise = rng.multivariate_normal(
            np.zeros(len(self.covariance)), self.covariance, size=seeds, method="cholesky"
        )
        return np.asarray(LEVEL + noise + np.concatenate([[0.0], effects]))


def world_of(name: str, scores: Numbers) -> World:
    """The normal world with the covariances of real scores (seeds, 1 + k)."""
    return World(name, np.cov(scores.T))


def independent_world(name: str, run_sd: float, contrasts: int) -> World:
    """Runs of one spread whose seeds have nothing in common, as at full scale."""
    return World(name, run_sd**2 * np.eye(1 + contrasts))


@dataclass(frozen=True)
class Design:
    """How a campaign is run: seeds, family, levels, looks.

    Attributes:
        forced: take the first contrasts to fresh seeds whatever the screen says.
        prior: what the moderated t borrows; None for what the screens give.
    """

    screen: int
    seeds: int
    confirm: int
    mde: float
    alpha: float = 0.05
    looks: int = 1
    forced: bool = False
    prior: VariancePrior | None = None


@dataclass(frozen=True)
class Outcome:
    """One confirmed contrast: what was decided by us, and by the plain paired t with Holm.

    The plain test has all the seeds planned, ours those up to the look that decided. `planned` is
    the effect on all of them.
    """

    truth: float
    verdict: str
    effect: float
    planned: float
    interval: tuple[float, float] | None
    seeds: int
    plain_confirmed: bool
    plain_interval: tuple[float, float] | None
    prior: VariancePrior | None = field(default=None, compare=False)

    @property
    def confirmed(self) -> bool:
        """Whether an effect was claimed."""
        return self.verdict.startswith("confirmed")


def _contrast(place: int) -> Contrast:
    return Contrast(
        id=f"c{place}",
        variable=f"v{place}",
        label=f"contrast {place}",
        changes={},
        control={},
        treatment={},
        stage="train",
        matched_by="steps",
        flops_per_pair=0.0,
        reason="",
    )


def _runs(scores: Numbers, places: Sequence[int], first: int, phase: Phase) -> list[ContrastRuns]:
    """The pairs of contrasts on seeds `first`, `first` + 1, …"""
    arms = [
        [ArmRun(key=f"{first + row}/{arm}", metrics={"val_bpb": value}) for arm, value in told]
        for row, told in enumerate(map(enumerate, scores.tolist()))
    ]
    return [
        ContrastRuns(
            contrast=_contrast(place),
            phase=phase,
            pairs=tuple(
                Pair(seed=first + row, control=arm[0], treatment=arm[1 + place])
                for row, arm in enumerate(arms)
            ),
        )
        for place in places
    ]


def run_campaign(
    world: World,
    effects: Numbers,
    design: Design,
    rng: np.random.Generator,
    *,
    mirrored: bool = False,
) -> list[Outcome]:
    """Simulate a campaign of one cycle; the contrasts that were taken to fresh seeds.

    Args:
        mirrored: turn the noise of the fresh seeds round.
    """
    everyone = range(world.contrasts)
    screened = _runs(world.scores(rng, design.screen, effects), everyone, 0, "screen")
    fresh = world.scores(rng, design.seeds, effects)
    if mirrored:
        fresh = 2 * (LEVEL + np.concatenate([[0.0], effects])) - fresh
    if design.forced:
        promising = [f"c{place}" for place in range(design.confirm)]
    else:
        promising = choose_for_confirmation(screened, mde=design.mde, max_confirm=design.confirm)
    prior = design.prior or fit_prior(screened)
    raw = RawRuns(
        cycle=1,
        platform=PLATFORM,
        screen_seeds=tuple(range(design.screen)),
        confirm_seeds=tuple(range(design.screen, design.screen + design.seeds)),
        looks=planned_looks(design.seeds, design.looks),
        runs=tuple(screened),
    )

    def run(names: Sequence[str], seeds: Sequence[int]) -> list[ContrastRuns]:
        places = sorted(int(name[1:]) for name in names)
        return _runs(fresh[: len(seeds)], places, design.screen, "confirm")

    terms = {"alpha": design.alpha, "mde": design.mde}
    raw = confirm(raw, promising, run, cycles=1, prior=prior, **terms)
    return outcomes(analyse(raw, prior=prior, **terms), effects, fresh, design)


def outcomes(
    found: AblationResults, effects: Numbers, fresh: Numbers, design: Design
) -> list[Outcome]:
    """Hold the verdicts on fresh seeds against the truth, the plain test beside them."""
    tested = [result for result in found.results if result.phase == "confirm"]
    places = [int(result.contrast.id[1:]) for result in tested]
    plain = [paired.plain_estimate(fresh[:, 1 + place] - fresh[:, 0]) for place in places]
    adjusted = holm([paired.p_value(one) for one in plain])
    return [
        Outcome(
            truth=float(effects[place]),
            verdict=result.verdict,
            effect=float(result.effect or 0.0),
            planned=float(np.mean(fresh[:, 1 + place] - fresh[:, 0])),
            interval=None
            if result.interval is None
            else (result.interval.low, result.interval.high),
            seeds=len(result.seeds_used),
            plain_confirmed=p is not None and p <= design.alpha,
            plain_interval=paired.interval(estimate, 1 - design.alpha),
            prior=found.prior,
        )
        for result, place, estimate, p in zip(tested, places, plain, adjusted, strict=True)
    ]
