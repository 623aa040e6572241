"""Which rule finds the improvements with the fewest runs, in campaigns whose truth is known.

    python benchmarks/selection.py [--campaigns 200] [--seed 0] [--json]

A world has some 24 variables with one to three contrasts each, their true effects, and what a
leaderboard says of them. A rule picks two contrasts a cycle; each is screened on 2 paired seeds,
the promising ones are confirmed on 4 fresh seeds, with the campaign's own screening rule and
moderated t (variance prior worth 8 degrees of freedom). Counted are the treatments' runs (the
control's serve every contrast; the parts of a pair run again on its fresh seeds) until what the
campaign holds is worth 90 % of what it holds once everything has been tried. Held is either

all    the best confirmed change of each variable, taken to add up, or a combination that measured
       better than its parts; what such a stack is truly worth, interactions included
best   the one confirmed contrast that measured best: what a submission is made of

Simplified: each contrast is judged at Holm's first step (alpha over cycles, over two contrasts),
so that its verdict does not hang on its neighbours; the paired differences of two contrasts are
independent; no run fails; all contrasts cost the same.

Rules
uniform    any untried contrast
prototype  largest |naive difference of means|, ties by id
belief     largest believed improvement, evidence as `ours` has it, nothing learnt on the way
ours       scripts.causal.campaign.choice
truth      largest true effect: no rule can know it
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, get_args

import numpy as np
import typer
from numpy.typing import NDArray
from selection_campaign import Campaign, Measure, forget
from selection_rules import RULES, Rule
from selection_worlds import CLASSES, Truth, draw_world

from scripts.causal.cli import run_command

SHARE = 0.9


def runs_needed(
    world: Truth, rule: Rule, measure: Measure, rng: np.random.Generator
) -> int | None:
    """Runs until 90 % of what trying everything brings; None where that is nothing."""
    everything = Campaign(world)
    for name in (*world.changes, *world.bundles):
        everything.try_(name)
    goal = SHARE * everything.improvement(measure)
    if goal <= 0:
        return None
    campaign = Campaign(world)
    left = sorted((*world.changes, *world.bundles))
    while left and campaign.improvement(measure) < goal:
        for name in rule(campaign, left, measure, rng):
            campaign.try_(name)
            if name in left:
                left.remove(name)
    return campaign.runs


def compare(name: str, measure: Measure, campaigns: int, seed: int) -> dict[str, list[int]]:
    """Return the runs each rule needs in the same worlds of one class."""
    needed: dict[str, list[int]] = {rule: [] for rule in RULES}
    number = 0
    while len(needed["ours"]) < campaigns:
        world = draw_world(name, seed * 1_000_003 + number)
        number += 1
        for title, rule in RULES.items():
            runs = runs_needed(world, rule, measure, np.random.default_rng([seed, number]))
            if runs is not None:  # for all rules alike
                needed[title].append(runs)
        forget()
    return needed


def summarise(needed: Mapping[str, Sequence[int]]) -> dict[str, dict[str, float]]:
    """Return mean and standard error per rule, and `ours` against the others campaign by campaign.

    `ratio` is of the means, its error by the delta method.
    """
    mine = np.array(needed["ours"], float)
    summary: dict[str, dict[str, float]] = {}
    for title, runs in needed.items():
        theirs = np.array(runs, float)
        ratio = mine.mean() / theirs.mean()
        summary[title] = {
            "runs": round(float(theirs.mean()), 1),
            "se": round(_error(theirs), 1),
            "ratio": round(float(ratio), 3),
            "ratio_se": round(_error(mine - ratio * theirs) / float(theirs.mean()), 3),
            "difference": round(float((mine - theirs).mean()), 1),
            "difference_se": round(_error(mine - theirs), 1),
        }
    return summary


def _error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def report(measure: str, found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Print one line per class: runs of every rule, ours to uniform, ours minus prototype."""
    print(f"{'runs to 90 % of ' + measure:24}" + "".join(f"{rule:>13}" for rule in RULES))
    for name, summary in found.items():
        cells = (f"{summary[r]['runs']:.0f} ± {summary[r]['se']:.1f}" for r in RULES)
        half, least = summary["uniform"], summary["prototype"]
        print(
            f"{name:24}"
            + "".join(f"{cell:>13}" for cell in cells)
            + f"   ours/uniform {half['ratio']:.2f} ± {half['ratio_se']:.2f}"
            + f", ours - prototype {least['difference']:+.0f} ± {least['difference_se']:.0f}"
        )


def main(
    campaigns: Annotated[int, typer.Option(min=2, help="simulated campaigns per class")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="of the worlds")] = 0,
    json_only: Annotated[bool, typer.Option("--json", help="print the JSON line only")] = False,
) -> None:
    """Count the runs that each rule needs, class by class."""
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for measure in get_args(Measure):
        runs = {name: compare(name, measure, campaigns, seed) for name in CLASSES}
        found[measure] = {name: summarise(needed) for name, needed in runs.items()}
        pooled = {
            rule: [one for needed in runs.values() for one in needed[rule]] for rule in RULES
        }
        found[measure]["every class"] = summarise(pooled)
        if not json_only:
            report(measure, found[measure])
    print(json.dumps({"campaigns": campaigns, "seed": seed, "runs": found}))


if __name__ == "__main__":
    run_command(main)
