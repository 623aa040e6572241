"""Graph, effects, catalog and own results → the contrasts worth running next, with reasons.

Usage: python scripts/causal/select_interventions.py --dag causal_dag.json
           --identifiability identifiability_report.json --output selection.json
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, get_args

import typer

from interventions.catalog import Intervention, catalog_of, load_catalog
from scripts.causal.campaign.choice import Choice, rank
from scripts.causal.campaign.contrast import build_contrast, together
from scripts.causal.campaign.hierarchy import believe_jointly
from scripts.causal.campaign.joint import Candidate, Joint, Measurement
from scripts.causal.campaign.pairs import Synergy, propose_pairs
from scripts.causal.campaign.published import published_prior
from scripts.causal.campaign.schema import (
    AblationResults,
    Contrast,
    ContrastResult,
    MatchedBy,
    Precision,
    Selection,
    Value,
)
from scripts.causal.campaign.trial import Trial
from scripts.causal.campaign.worth import Belief, believe
from scripts.causal.cli import run_command
from scripts.causal.extract_interventions import EVIDENCE, extract_leaderboard
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file, write_file
from scripts.causal.graph.schema import CausalDag, Identifiability, IdentifiabilityReport
from scripts.causal.stats.looks import level_at, planned_looks
from scripts.causal.stats.power import minimum_detectable_effect, power
from trainers.api import Trainer, load_trainer


@dataclass(frozen=True)
class Setting:
    """What every contrast of a campaign has in common, and how each is decided.

    Attributes:
        overrides: fields of both arms, on top of the scale.
        screen, confirm: paired seeds of the two phases.
        alpha: level at which a contrast must be confirmed in its cycle.
        mde: smallest effect of interest, bpb.
        looks: points of the fresh seeds at which a contrast may be decided.
    """

    trainer: Trainer
    scale: str
    matched_by: MatchedBy
    overrides: Mapping[str, Value]
    screen: int = 2
    confirm: int = 4
    alpha: float = 0.05
    mde: float = 0.005
    looks: int = 1


@dataclass(frozen=True)
class Option:
    """A contrast that can be built, with what is known of it before own tests."""

    contrast: Contrast
    candidate: Candidate
    words: str


def select(
    dag: CausalDag,
    report: IdentifiabilityReport,
    catalog: Mapping[str, Intervention],
    setting: Setting,
    *,
    limit: int,
    decided: Sequence[AblationResults] = (),
    synergies: Mapping[frozenset[str], Synergy] | None = None,
    cycle: int = 1,
) -> Selection:
    """Return up to `limit` contrasts, most expected improvement per training FLOP first.

    Expected is what survives screening and confirmation (`scripts.causal.campaign.trial`) under
    the belief about all contrasts together, after what was tested
    (`scripts.causal.campaign.hierarchy`). What nobody can tell has a wide belief and is explored
    for it; a tested contrast changes what its kin are worth, and what evidence as a whole is worth
    here; pairs are proposed where something speaks for them (`scripts.causal.campaign.pairs`).

    Args:
        decided: results of this campaign's earlier cycles.
        synergies: pairs of catalog ids → what somebody reports of them together. READMEs hardly
            ever name the members of a bundle, so the pipeline has none to give.
        limit: at least 1.

    Raises:
        InputError: the limit is below 1.
    """
    if limit < 1:
        raise InputError(f"at least one contrast per cycle is needed, got {limit}")
    results = {item.contrast.id: item for file in decided for item in file.results}
    noise = paired_noise(decided)
    tested = {
        name: measured
        for name, item in results.items()
        if (measured := _measured(item, noise)) is not None
    }
    passed_over: dict[str, str] = {}
    options = _singles(dag, report, catalog, setting, passed_over)
    candidates = [option.candidate for option in options.values()]
    joint = believe_jointly(candidates, tested)
    for proposal in propose_pairs(candidates, joint, tested, synergies):
        one, other = (catalog[part] for part in proposal.candidate.parts)
        try:
            contrast = _build(together(one, other), setting)
        except InputError as error:
            passed_over[proposal.candidate.id] = str(error)
            continue
        options[contrast.id] = Option(contrast, proposal.candidate, proposal.reason)
    candidates = [option.candidate for option in options.values()]
    ranked = rank(
        candidates,
        believe_jointly(candidates, tested),
        {name: _trial(option.contrast, setting, noise) for name, option in options.items()},
        tried=results,
        held=_held(results.values()),
    )
    for name, item in results.items():
        passed_over[name] = f"already tested in cycle {item.cycle}: {item.verdict}"
    before = believe_jointly(candidates)
    chosen = []
    for place, choice in enumerate(ranked[:limit]):
        option = options[choice.candidate.id]
        words = f"{_worth(choice, place)} {_learnt(choice, before, tested)}{option.words}"
        if not option.contrast.of_bpb:
            words = f"What is claimed of its {option.contrast.outcome_words} is tested."
        words = f"{words} {option.contrast.reason}".rstrip()
        chosen.append(option.contrast.model_copy(update={"reason": words}))
    last = ranked[:limit][-1].worth if ranked else 0.0
    for choice in ranked[limit:]:
        passed_over[choice.candidate.id] = _less(choice, last)
    seen = {choice.candidate.id for choice in ranked}
    for name in options.keys() - seen - passed_over.keys():
        passed_over[name] = "waits for another combination with one of its variables"
    return Selection(
        cycle=cycle,
        contrasts=tuple(chosen),
        passed_over=passed_over,
        precision=foresee(setting, decided),
    )


def foresee(setting: Setting, decided: Sequence[AblationResults] = ()) -> Precision:
    """Return what the fresh seeds of a contrast can show, from what is known of the noise now.

    For a contrast that differs in training, by its last look alone: earlier ones add to it.
    """
    noise = paired_noise(decided)
    own = (setting.screen - 1) + (setting.confirm - 1)
    prior = next((file.prior for file in reversed(decided) if file.prior is not None), None)
    borrowed = 0.0 if prior is None else prior.df
    origin = (
        f"the campaign's {prior.origin}"
        if prior is not None
        else "what the campaign's contrasts showed"
        if noise != published_noise()
        else "the records' seed spread at full scale; small runs scatter more"
    )
    counts = planned_looks(setting.confirm, setting.looks)
    alpha = level_at(setting.alpha, counts, len(counts) - 1)
    df, pairs = own + borrowed, setting.confirm
    return Precision(
        sd=noise,
        df=df,
        pairs=pairs,
        alpha=alpha,
        power=power(setting.mde, sd=noise, pairs=pairs, df=df, alpha=alpha),
        detectable=minimum_detectable_effect(sd=noise, pairs=pairs, df=df, alpha=alpha),
        origin=origin,
    )


def paired_noise(decided: Sequence[AblationResults]) -> float:
    """Return the standard deviation in bpb of one paired difference, as the campaign measured it.

    The latest variance prior; before there is one, what contrasts that differ in training showed;
    before any has run, the records' seed spread.
    """
    for file in reversed(decided):
        if file.prior is not None and file.prior.scale > 0:
            return file.prior.pooled or file.prior.scale
    shown = [
        (item.df, item.sd**2)
        for file in decided
        for item in file.results
        if item.contrast.stage == "train" and item.sd and item.df
    ]
    if not shown:
        return published_noise()
    return float(
        (sum(df * variance for df, variance in shown) / sum(df for df, _ in shown)) ** 0.5
    )


@cache
def published_noise() -> float:
    """Return what a paired difference scatters by at full scale, bpb, by the bundled records.

    Raises:
        InputError: they cannot be read, or tell no seed spread.
    """
    prior = published_prior(extract_leaderboard(EVIDENCE))
    if prior is None:
        raise InputError("the bundled records tell no seed spread", where=EVIDENCE)
    return prior.scale


def _measured(result: ContrastResult, noise: float) -> Measurement | None:
    """Return what a result says of its contrast's bpb; None where no seed has both arms."""
    if result.effect is None or not result.seeds_used or not result.contrast.of_bpb:
        return None
    if result.phase == "screen" and result.main_effect is not None:
        return Measurement(result.effect, result.main_effect.standard_error)
    return Measurement(result.effect, (result.sd or noise) / len(result.seeds_used) ** 0.5)


def _held(results: Iterable[ContrastResult]) -> dict[str, float]:
    held: dict[str, float] = {}
    for item in results:
        better = item.verdict == "confirmed_better" and item.contrast.of_bpb
        if better and item.effect is not None:
            variable = item.contrast.variable
            held[variable] = max(held.get(variable, 0.0), -item.effect)
    return held


def _trial(contrast: Contrast, setting: Setting, noise: float) -> Trial:
    single = Trial(
        noise=noise,
        screen=setting.screen,
        confirm=setting.confirm,
        alpha=setting.alpha,
        mde=setting.mde,
        cost=contrast.flops_per_pair,
    )
    return single.of_pair() if contrast.parts else single


def _build(intervention: Intervention, setting: Setting) -> Contrast:
    return build_contrast(
        intervention,
        setting.scale,
        setting.trainer,
        matched_by=setting.matched_by,
        control_overrides=setting.overrides,
    )


def _singles(
    dag: CausalDag,
    report: IdentifiabilityReport,
    catalog: Mapping[str, Intervention],
    setting: Setting,
    passed_over: dict[str, str],
) -> dict[str, Option]:
    """Return what the catalog offers at this scale; why not goes into `passed_over`."""
    verdicts = {item.variable: item for item in report.variables}
    options: dict[str, Option] = {}
    for intervention in catalog.values():
        if intervention.buys != "bpb":
            passed_over[intervention.id] = (
                f"it buys {intervention.buys} at a price in bpb, and bpb alone is the outcome"
            )
            continue
        try:
            contrast = _build(intervention, setting)
        except InputError as error:
            passed_over[intervention.id] = str(error)
            continue
        belief = believe(contrast, dag)
        options[contrast.id] = Option(
            contrast, _candidate(contrast, belief), _known(belief, verdicts.get(contrast.variable))
        )
    return options


def _candidate(contrast: Contrast, belief: Belief) -> Candidate:
    ends = (arm.get(contrast.variable) for arm in (contrast.control, contrast.treatment))
    before, after = (
        0.0 if end is None or isinstance(end, bool | str) else float(end) for end in ends
    )
    return Candidate(
        contrast.id,
        (contrast.id,),
        (contrast.variable,),
        after - before,
        belief.mean,
        belief.sd,
        belief.prior,
    )


def _known(belief: Belief, verdict: Identifiability | None) -> str:
    graph = verdict.explanation if verdict else "The graph says nothing about this variable."
    return f"From the leaderboard: {belief.basis}. {graph}"


def _worth(choice: Choice, place: int) -> str:
    so_far = "" if place == 0 else ", once those before it are known"
    belief = f"Believed effect {choice.mean:+.4f} ± {choice.sd:.4f} bpb{so_far}"
    if choice.worth <= 0:
        return f"{belief}: no improvement that could be confirmed is expected, nor of any other."
    words = (
        f"{belief}; trying it should bring {choice.gain:.4f} bpb that can be confirmed, for about "
        f"{choice.seeds:.1f} seeds, {choice.gain / choice.worth / 1e12:.2f} TFLOP in all"
    )
    if choice.stacked:
        words += (
            ", with the trial of both together, should it be confirmed: on top of the best that "
            "is confirmed it promises more for its cost than in its place"
        )
    return f"{words}."


def _learnt(choice: Choice, before: Joint, tested: Mapping[str, Measurement]) -> str:
    """Say what own tests changed about a contrast that was not tested itself."""
    place = before.ids.index(choice.candidate.id)
    mean, sd = float(before.mean[place]), before.sd(place)
    if not tested or abs(choice.mean - mean) < 0.1 * sd:
        return ""
    return (
        f"Own tests of other contrasts moved it there from {mean:+.4f} ± {sd:.4f}: what they "
        "showed of the same variable, and of how far the leaderboard's numbers hold here. "
    )


def _less(choice: Choice, last: float) -> str:
    share = choice.worth / last if last > 0 else 0.0
    return (
        f"worth less per FLOP than those chosen ({share:.0%} of the last): believed effect "
        f"{choice.mean:+.4f} ± {choice.sd:.4f} bpb, to bring {choice.gain:.4f} bpb"
    )


def main(
    dag: Annotated[Path, typer.Option(help="causal_dag.json from estimate_dag.py")],
    identifiability: Annotated[
        Path, typer.Option(help="identifiability_report.json from identifiability_check.py")
    ],
    output: Annotated[Path, typer.Option(help="where to write selection.json")],
    catalog: Annotated[
        Path | None, typer.Option(help="folder of intervention files (default: the family's)")
    ] = None,
    results: Annotated[
        list[Path] | None, typer.Option(help="ablation_results.json of earlier cycles")
    ] = None,
    scale: Annotated[str, typer.Option(help="scale the contrasts are built at")] = "fast",
    trainer: Annotated[str, typer.Option(help="model family")] = "gpt",
    max_per_cycle: Annotated[int, typer.Option(help="most contrasts to choose")] = 3,
    matched_by: Annotated[str, typer.Option(help="flops, steps or wall_time")] = "flops",
    screen: Annotated[int, typer.Option(min=1, help="seeds that screen")] = 2,
    confirm: Annotated[int, typer.Option(min=2, help="fresh seeds that decide")] = 4,
    alpha: Annotated[float, typer.Option(help="the cycle's share of alpha")] = 0.0125,
    mde: Annotated[float, typer.Option(help="smallest effect that matters, bpb")] = 0.005,
) -> None:
    """Choose the contrasts that are worth running next."""
    matching = next((each for each in get_args(MatchedBy) if each == matched_by), None)
    if matching is None:
        raise InputError(
            f"must be one of {list(get_args(MatchedBy))}, got {matched_by!r}", where="--matched-by"
        )
    if not 0 < alpha < 1 or not mde > 0:
        raise InputError(f"0 < alpha < 1 and mde > 0 must hold, got {alpha} and {mde}")
    decided = [parse_file(AblationResults, path) for path in results or []]
    selection = select(
        parse_file(CausalDag, dag),
        parse_file(IdentifiabilityReport, identifiability),
        load_catalog(catalog) if catalog else catalog_of(trainer),
        Setting(
            load_trainer(trainer),
            scale,
            matching,
            {},
            screen=screen,
            confirm=confirm,
            alpha=alpha,
            mde=mde,
        ),
        limit=max_per_cycle,
        decided=decided,
        cycle=1 + len(decided),
    )
    write_file(output, selection)
    for contrast in selection.contrasts:
        print(f"{contrast.id}: {contrast.reason}")


if __name__ == "__main__":
    run_command(main)
