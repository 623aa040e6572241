"""One contrast's verdict with all that is reported beside it."""

from __future__ import annotations

from scripts.causal.campaign.confirmatory import PValues, Terms, claim
from scripts.causal.campaign.courses import courses
from scripts.causal.campaign.measured import Measured
from scripts.causal.campaign.schema import CarryOver, ContrastResult, Interval, Platform
from scripts.causal.campaign.screened import moderated_estimate
from scripts.causal.stats import paired, sentences, verdict
from scripts.causal.stats.looks import level_at
from scripts.causal.stats.power import minimum_detectable_effect, power


def decide(measured: Measured, p_values: PValues, terms: Terms) -> verdict.Verdict:
    """Return the verdict on one contrast from its p-values in the family."""
    evidence = verdict.Evidence(
        tested=measured.phase == "confirm",
        pairs=len(measured.pairs),
        effect=None if measured.estimate is None else measured.estimate.mean,
        identical=measured.identical,
        treatment_failures=measured.treatment_failures,
        p_adjusted=p_values.difference_adjusted,
        p_equivalence_adjusted=p_values.equivalence_adjusted,
    )
    return verdict.decide(evidence, terms.share)


def contrast_result(
    measured: Measured,
    screened: Measured | None,
    decided: verdict.Verdict,
    p_values: PValues,
    terms: Terms,
    *,
    cycle: int,
    platform: Platform,
    carried: CarryOver | None,
    on_ladder: bool,
) -> ContrastResult:
    """Return a verdict with its effect, interval, power and course, and the words for them.

    Args:
        measured: the runs it rests on: those on fresh seeds, else those that screened.
        screened: those that screened, if any.
        decided: the verdict.
        p_values: as the family gave them.
        terms: what the cycle judges by.
        cycle: its number.
        platform: where the runs were computed.
        carried: what is claimed of full scale.
        on_ladder: the same contrast was run at other scales too.
    """
    tested = measured.phase == "confirm"
    plain = measured.estimate
    fresh = claim(measured, screened, terms.prior)
    screen = None if screened is None else moderated_estimate(screened, terms.prior)
    spread = fresh if tested or screen is None or not screen.testable else screen
    heading = measured.trend.answer
    size = measured.control_size

    level = terms.level(measured)
    band = None if fresh is None else paired.interval(fresh, 1 - level)
    if tested and measured.identical:
        band = (0.0, 0.0)
    interval = None if band is None else Interval(level=1 - terms.share, low=band[0], high=band[1])
    chance = detectable = None
    taken = terms.taken(measured) if tested else 1
    if fresh is not None:
        # Holm's hardest step: what the contrast is sure to have, whatever the others do.
        alpha = level_at(terms.share / terms.family_size, terms.looks, taken - 1)
        sd, pairs, df = fresh.sd, fresh.pairs, fresh.df
        chance = power(terms.mde, sd=sd, pairs=pairs, df=df, alpha=alpha)
        detectable = minimum_detectable_effect(sd=sd, pairs=pairs, df=df, alpha=alpha)

    return ContrastResult(
        contrast=measured.contrast,
        cycle=cycle,
        verdict=decided,
        phase=measured.phase,
        effect=None if plain is None else plain.mean,
        interval=interval,
        p_moderated=p_values.difference,
        p_plain=None if plain is None or fresh is None else paired.p_value(plain),
        p_sign_flip=None if fresh is None else paired.sign_flip_p(measured.differences),
        p_adjusted=p_values.difference_adjusted,
        p_equivalence=p_values.equivalence,
        p_equivalence_adjusted=p_values.equivalence_adjusted,
        detectable=detectable,
        looks_taken=taken,
        looks_planned=len(terms.looks),
        df=None if spread is None else spread.df,
        sd=None if spread is None else spread.sd,
        power=chance,
        mde=terms.mde,
        seeds_used=tuple(pair.seed for pair in measured.pairs),
        seeds_discarded=measured.discarded,
        screen_effect=None if screen is None else screen.mean,
        stage_effects=measured.stage_effects,
        correlation=measured.correlation,
        trend=heading,
        transfer=sentences.transfer(
            verdict=decided,
            scale=platform.scale,
            backend=platform.backend,
            size=size,
            trend=heading,
            carried=carried.words if carried is not None and on_ladder else None,
        ),
        courses=courses(measured),
        carry=carried,
        words=sentences.finding(
            sentences.Finding(
                label=measured.contrast.label,
                verdict=decided,
                effect=None if plain is None else plain.mean,
                interval=None if band is None else (1 - terms.share, *band),
                fresh_seeds=len(measured.pairs) if tested else 0,
                screen=screen,
                p_adjusted=p_values.difference_adjusted,
                power=chance,
                mde=terms.mde,
                identical=measured.identical,
                discarded=measured.discarded,
                trend=heading,
                stopped=(taken, len(terms.looks)) if taken < len(terms.looks) else None,
                outcome=measured.contrast.outcome_words,
            )
        ),
    )
