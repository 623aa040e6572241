"""Graph, effects and catalog → the contrasts worth running next, each with its reason and cost.

Usage: python scripts/causal/select_interventions.py --dag causal_dag.json --output selection.json
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from interventions.catalog import CATALOG_DIR, Intervention, load_catalog
from scripts.causal.campaign.contrast import build_contrast
from scripts.causal.campaign.schema import AblationResults, Contrast, Selection, Value
from scripts.causal.campaign.worth import Belief, believe
from scripts.causal.cli import run_command
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file, write_file
from scripts.causal.graph.schema import CausalDag, Identifiability, IdentifiabilityReport
from trainers.api import Trainer, load_trainer


@dataclass(frozen=True)
class Setting:
    """What every contrast of a campaign has in common."""

    trainer: Trainer
    scale: str
    matched_by: Literal["flops", "steps"]
    overrides: Mapping[str, Value]


def select(
    dag: CausalDag,
    report: IdentifiabilityReport,
    catalog: Mapping[str, Intervention],
    setting: Setting,
    *,
    limit: int,
    tested: Collection[str] = (),
    cycle: int = 1,
) -> Selection:
    """Return up to `limit` contrasts, most worth per FLOP first, one per variable if possible.

    Worth is the expected improvement in bpb per training FLOP of a pair. Contrasts of one
    variable answer nearly the same question, so a second one waits until every other variable
    has had its turn; what the data cannot identify has the widest belief and so is explored.

    Args:
        tested: catalog ids that this campaign has already run.
        limit: at least 1.

    Raises:
        InputError: the limit is below 1.
    """
    if limit < 1:
        raise InputError(f"at least one contrast per cycle is needed, got {limit}")
    verdicts = {item.variable: item for item in report.variables}
    ranked: list[tuple[float, Contrast]] = []
    passed_over: dict[str, str] = {}
    for intervention in catalog.values():
        if intervention.id in tested:
            passed_over[intervention.id] = "already tested in this campaign"
            continue
        try:
            contrast = build_contrast(
                intervention,
                setting.scale,
                setting.trainer,
                matched_by=setting.matched_by,
                control_overrides=setting.overrides,
            )
        except InputError as error:
            passed_over[intervention.id] = str(error)
            continue
        belief = believe(contrast, intervention.claims, dag)
        worth = belief.expected_improvement() / contrast.flops_per_pair
        reason = _reason(belief, verdicts.get(intervention.variable), contrast)
        ranked.append((worth, contrast.model_copy(update={"reason": reason})))
    chosen = _take_turns(ranked, limit, {catalog[name].variable for name in tested})
    ids = {contrast.id for contrast in chosen}
    for _, contrast in ranked:
        if contrast.id not in ids:
            passed_over[contrast.id] = "worth less per FLOP than those chosen"
    return Selection(cycle=cycle, contrasts=tuple(chosen), passed_over=passed_over)


def _reason(belief: Belief, verdict: Identifiability | None, contrast: Contrast) -> str:
    known = verdict.explanation if verdict else "The graph says nothing about this variable."
    words = (
        f"Believed effect {belief.mean:+.4f} ± {belief.sd:.4f} bpb ({belief.basis}); expected "
        f"improvement {belief.expected_improvement():.4f} bpb for "
        f"{contrast.flops_per_pair / 1e12:.2f} TFLOP a pair. {known}"
    )
    return f"{words} {contrast.reason}".rstrip()


def _take_turns(
    ranked: list[tuple[float, Contrast]], limit: int, seen: set[str]
) -> list[Contrast]:
    """The best contrast of each variable first, variables not yet tested before the others."""
    order = sorted(ranked, key=lambda item: (-item[0], item[1].id))
    rounds: dict[str, int] = dict.fromkeys(seen, 1)
    turns: list[tuple[int, int, Contrast]] = []
    for place, (_, contrast) in enumerate(order):
        turn = rounds.get(contrast.variable, 0)
        rounds[contrast.variable] = turn + 1
        turns.append((turn, place, contrast))
    turns.sort(key=lambda item: item[:2])
    return [contrast for _, _, contrast in turns[:limit]]


def main(
    dag: Annotated[Path, typer.Option(help="causal_dag.json from estimate_dag.py")],
    identifiability: Annotated[
        Path, typer.Option(help="identifiability_report.json from identifiability_check.py")
    ],
    output: Annotated[Path, typer.Option(help="where to write selection.json")],
    catalog: Annotated[Path, typer.Option(help="folder of intervention files")] = CATALOG_DIR,
    results: Annotated[
        list[Path] | None, typer.Option(help="ablation_results.json of earlier cycles")
    ] = None,
    scale: Annotated[str, typer.Option(help="scale the contrasts are built at")] = "fast",
    trainer: Annotated[str, typer.Option(help="model family")] = "gpt",
    max_per_cycle: Annotated[int, typer.Option(help="most contrasts to choose")] = 3,
    matched_by: Annotated[str, typer.Option(help="flops or steps")] = "flops",
) -> None:
    """Choose the contrasts that are worth running next."""
    earlier = [parse_file(AblationResults, path) for path in results or []]
    if matched_by not in ("flops", "steps"):
        raise InputError(f"--matched-by must be flops or steps, got {matched_by!r}")
    selection = select(
        parse_file(CausalDag, dag),
        parse_file(IdentifiabilityReport, identifiability),
        load_catalog(catalog),
        Setting(load_trainer(trainer), scale, "steps" if matched_by == "steps" else "flops", {}),
        limit=max_per_cycle,
        tested={result.contrast.id for item in earlier for result in item.results},
        cycle=1 + len(earlier),
    )
    write_file(output, selection)
    for contrast in selection.contrasts:
        print(f"{contrast.id}: {contrast.reason}")


if __name__ == "__main__":
    run_command(main)
