"""Raw runs → verdicts: paired differences on fresh seeds, one confirmatory family per cycle.

Reads ``raw_runs.json`` of one cycle, writes ``ablation_results.json``. The methods, each with its
source and rule, are in `scripts.causal.stats`; what this stage adds is which numbers go where.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from scripts.causal.campaign.checks import check_runs
from scripts.causal.campaign.confirmatory import PValues, Terms, family_p_values
from scripts.causal.campaign.factorial_screen import with_main_effects
from scripts.causal.campaign.interactions import with_interactions
from scripts.causal.campaign.ladder import carry_over, ladder_transfers
from scripts.causal.campaign.measured import Measured, measure
from scripts.causal.campaign.result import contrast_result, decide
from scripts.causal.campaign.schema import (
    AblationResults,
    ContrastRuns,
    Platform,
    RawRuns,
    VariancePrior,
)
from scripts.causal.campaign.screened import (
    borrows,
    fit_prior,
    worth_confirming,
)
from scripts.causal.cli import run_command
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file, write_file
from scripts.causal.stats import paired, screening
from scripts.causal.stats.family import spend


def analyse(
    raw: RawRuns,
    *,
    alpha: float,
    mde: float,
    cycles: int = 1,
    prior: VariancePrior | None = None,
    screen_threshold: float = screening.THRESHOLD,
    ladder: Sequence[RawRuns] = (),
) -> AblationResults:
    """The verdict on every contrast of one cycle.

    Args:
        raw: the cycle's runs.
        alpha: bound on wrong confirmations in the whole campaign.
        mde: smallest effect of interest, bpb; the equivalence margin.
        cycles: how many cycles share alpha, fixed before the first.
        prior: what the moderated t borrows; by default fitted from the cycle's screening runs.
            It must not come from the confirmation seeds.
        screen_threshold: see `scripts.causal.stats.screening`.
        ladder: runs of the same contrasts at other scales; they decide on nothing but what is
            claimed of full scale.

    Raises:
        InputError: alpha, mde, cycles or threshold out of range; a confirmation seed that took
            part in screening; a seed or a contrast twice; a run with neither result nor failure.
    """
    share = _share(alpha, mde, cycles, raw.cycle)
    check_runs(raw)
    screens = {runs.contrast.id: measure(runs) for runs in raw.runs if runs.phase == "screen"}
    confirms = {runs.contrast.id: measure(runs) for runs in raw.runs if runs.phase == "confirm"}
    if prior is None:
        screened = [runs for runs in raw.runs if runs.phase == "screen"]
        prior = fit_prior(screened, [raw.factorial] if raw.factorial else [])
    looks = raw.looks or (max(len(raw.confirm_seeds), 1),)
    terms = Terms(share, len(confirms), mde, prior, raw.confirm_seeds, looks)
    p_values = family_p_values(confirms, screens, terms)
    # Without a confirmation phase in the file, what is promising is not screened out yet.
    promising = worth_confirming(screens, prior, mde, screen_threshold)
    pending = set() if raw.confirm_seeds else set(promising)

    carried = carry_over((raw, *ladder))
    results = []
    for name in dict.fromkeys(runs.contrast.id for runs in raw.runs):
        measured = confirms[name] if name in confirms else screens[name]
        decided = decide(measured, p_values.get(name, PValues()), terms)
        if decided == "screened_out" and name in pending:
            decided = "inconclusive"
        results.append(
            contrast_result(
                measured,
                screens.get(name),
                decided,
                p_values.get(name, PValues()),
                terms,
                cycle=raw.cycle,
                platform=raw.platform,
                carried=carried.get(name),
                on_ladder=bool(ladder),
            )
        )
    spent = share if confirms else 0.0
    together = _correlation([*screens.values(), *confirms.values()])
    return AblationResults(
        alpha=alpha,
        alpha_spent=spent,
        alpha_left=alpha - spent,
        mde=mde,
        platform=raw.platform,
        prior=prior,
        results=with_interactions(
            with_main_effects(results, raw, mde), raw, share=share, mde=mde, prior=prior
        ),
        transfers=ladder_transfers((raw, *ladder)),
        correlation=None if together is None else together[0],
        correlation_df=0 if together is None else together[1],
    )


def confirm(
    screened: RawRuns,
    promising: Sequence[str],
    run: Callable[[Sequence[str], Sequence[int]], Sequence[ContrastRuns]],
    *,
    alpha: float,
    mde: float,
    cycles: int,
    prior: VariancePrior | None,
) -> RawRuns:
    """Take contrasts to fresh seeds, as far as the planned looks ask for.

    At every look those that are clear stop, so that later seeds go where they still decide.

    Args:
        screened: the cycle's screening runs, its confirmation seeds and looks.
        promising: ids of the contrasts that make up the family.
        run: contrasts and seeds → their runs.
        alpha, mde, cycles, prior: as `analyse` will be told.

    Raises:
        InputError: as `analyse`.
    """
    seeds, raw = screened.confirm_seeds, screened
    confirmed: dict[str, ContrastRuns] = {}
    still_open = list(promising)
    for count in screened.looks or (len(seeds),):
        if not still_open:
            break
        confirmed |= {runs.contrast.id: runs for runs in run(still_open, seeds[:count])}
        raw = raw.model_copy(update={"runs": (*screened.runs, *confirmed.values())})
        if count < len(seeds):
            found = analyse(raw, alpha=alpha, mde=mde, cycles=cycles, prior=prior)
            still_open = [
                result.contrast.id
                for result in found.results
                if result.phase == "confirm" and result.verdict == "inconclusive"
            ]
    return raw


def combine(cycles: Sequence[AblationResults]) -> AblationResults:
    """The campaign's results: every cycle's verdicts in order, alpha summed.

    Each verdict stands as its cycle gave it, since alpha was split over cycles beforehand; the
    prior shown is the last one used.

    Raises:
        InputError: no cycle; cycles that differ in alpha, MDE or platform; a cycle given twice;
            or more alpha spent than there is.
    """
    if not cycles:
        raise InputError("no cycle to combine")
    first = cycles[0]
    seen: set[int] = set()
    for results in cycles:
        if (results.alpha, results.mde) != (first.alpha, first.mde):
            raise InputError("cycles of one campaign must share alpha and the MDE")
        if not _comparable(results.platform, first.platform):
            raise InputError("cycles of one campaign must share trainer, backend, scale and data")
        numbers = {result.cycle for result in results.results}
        if twice := numbers & seen:
            raise InputError(f"cycle {min(twice)} is given twice")
        seen |= numbers
    spent = sum(results.alpha_spent for results in cycles)
    if spent > first.alpha * (1 + 1e-9):
        raise InputError(
            f"the cycles spent alpha {spent:g} of {first.alpha:g}",
            mend="analyse every cycle with the number of cycles planned",
        )
    merged = [result for results in cycles for result in results.results]
    priors = [results.prior for results in cycles if results.prior is not None]
    told = [(one.correlation, one.correlation_df) for one in cycles if one.correlation is not None]
    correlation_df = sum(df for _, df in told)
    return AblationResults(
        alpha=first.alpha,
        alpha_spent=spent,
        alpha_left=max(first.alpha - spent, 0.0),
        mde=first.mde,
        platform=cycles[-1].platform,
        prior=priors[-1] if priors else None,
        results=tuple(sorted(merged, key=lambda result: result.cycle)),
        correlation=sum(r * df for r, df in told) / correlation_df if told else None,
        correlation_df=correlation_df,
    )


def _share(alpha: float, mde: float, cycles: int, cycle: int) -> float:
    if not mde > 0 or not math.isfinite(mde):
        raise InputError(
            f"the MDE must be a positive number of bpb, got {mde}", mend="--mde 0.002"
        )
    try:
        shares = spend(alpha, cycles)
    except ValueError as error:
        raise InputError(str(error), mend="--alpha 0.05 --cycles 1") from error
    if cycle > cycles:
        raise InputError(
            f"these are the runs of cycle {cycle}, but alpha is split over {cycles}",
            mend="give --cycles the number of cycles planned",
        )
    return shares[0]


def _correlation(measured: Sequence[Measured]) -> tuple[float, int] | None:
    """Of the arms over seeds, where they differ in training: later stages share the training."""
    return paired.pooled_correlation(
        [one.arms for one in measured if borrows(one.contrast) and not one.identical]
    )


def _comparable(one: Platform, other: Platform) -> bool:
    return (one.trainer, one.backend, one.scale, one.data) == (
        other.trainer,
        other.backend,
        other.scale,
        other.data,
    )


def pooled_prior(raw: RawRuns, others: Sequence[tuple[Path, RawRuns]]) -> VariancePrior | None:
    """The prior from the screening runs of this cycle and of other files of the campaign.

    Raises:
        InputError: a file from another trainer, backend, scale or data, or one that screened on
            a seed which this cycle confirms on.
    """
    fresh = {pair.seed for runs in raw.runs if runs.phase == "confirm" for pair in runs.pairs}
    screens = [runs for runs in raw.runs if runs.phase == "screen"]
    for path, other in others:
        if not _comparable(raw.platform, other.platform):
            raise InputError("was run on another trainer, backend, scale or data", where=path)
        theirs = [runs for runs in other.runs if runs.phase == "screen"]
        if stale := fresh & {pair.seed for runs in theirs for pair in runs.pairs}:
            raise InputError(
                f"screened on seed {min(stale)}, on which the input confirms", where=path
            )
        screens += theirs
    return fit_prior(screens)


def main(
    input: Annotated[Path, typer.Option(help="raw_runs.json of one cycle")],
    output: Annotated[Path, typer.Option(help="where ablation_results.json is written")],
    mde: Annotated[float, typer.Option(help="smallest effect of interest, bpb")],
    alpha: Annotated[float, typer.Option(help="bound on wrong confirmations in the campaign")],
    cycles: Annotated[int, typer.Option(help="cycles that share alpha, as planned")] = 1,
    screen_threshold: Annotated[
        float, typer.Option(help="least probability of a useful effect worth fresh seeds")
    ] = screening.THRESHOLD,
    prior_from: Annotated[
        list[Path] | None,
        typer.Option(help="raw_runs.json of other cycles whose screening variances are pooled in"),
    ] = None,
    ladder: Annotated[
        list[Path] | None,
        typer.Option(help="raw_runs.json of the same contrasts at other scales"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the results as JSON")] = False,
) -> None:
    """Turn a cycle's raw runs into verdicts with effects, intervals and adjusted p-values."""
    raw = parse_file(RawRuns, input)
    others = [(path, parse_file(RawRuns, path)) for path in prior_from or []]
    try:
        results = analyse(
            raw,
            alpha=alpha,
            mde=mde,
            cycles=cycles,
            prior=pooled_prior(raw, others),
            screen_threshold=screen_threshold,
            ladder=[parse_file(RawRuns, path) for path in ladder or []],
        )
    except InputError as error:
        raise InputError(error.what, where=error.where or input, mend=error.mend) from error
    write_file(output, results)
    if as_json:
        print(results.model_dump_json(indent=1))
    elif not quiet:
        _print(results)


def _print(results: AblationResults) -> None:
    table = Table("contrast", "verdict", "effect, bpb", "interval", "adjusted p", "seeds", "trend")
    for result in results.results:
        band = result.interval
        table.add_row(
            result.contrast.label,
            result.verdict.replace("_", " "),
            "" if result.effect is None else f"{result.effect:+.5f}",
            "" if band is None else f"{band.low:+.5f} … {band.high:+.5f}",
            "" if result.p_adjusted is None else f"{result.p_adjusted:.2g}",
            str(len(result.seeds_used)),
            result.trend.replace("_", " "),
        )
    console = Console()
    console.print(table)
    for interaction in (result.interaction for result in results.results):
        if interaction is not None:
            console.print(interaction.words, markup=False, highlight=False)
    console.print(f"alpha {results.alpha:g}: {results.alpha_spent:g} spent here", highlight=False)


if __name__ == "__main__":
    run_command(main)
