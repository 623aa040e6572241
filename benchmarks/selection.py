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

World classes: what the leaderboard says (of `carry` times the true effect, plus its errors)
informative  carry 0.9: most of it holds at the campaign's scale
wrong-sign   carry -0.6: what helps there harms here
biased       carry 0.5, and half of the variables are made out to be better than they are
none         nothing is said
sparse       as informative, one variable in eight matters
interacting  as informative, five pairs are worth more than the sum, of which four are reported,
             beside five bundles that are only reported to be
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Literal, get_args

import numpy as np
import typer
from numpy.typing import NDArray

from scripts.causal.campaign.choice import rank
from scripts.causal.campaign.hierarchy import believe_jointly
from scripts.causal.campaign.joint import Candidate, Measurement
from scripts.causal.campaign.pairs import Synergy, propose_pairs
from scripts.causal.campaign.trial import Trial
from scripts.causal.cli import run_command
from scripts.causal.stats import moderated, paired, screening

CLASSES = ("informative", "wrong-sign", "biased", "none", "sparse", "interacting")
Measure = Literal["all", "best"]
RULES = ("uniform", "prototype", "belief", "ours", "truth")
VARIABLES = 24
TYPICAL = 0.003  # bpb: scale of the true effects (Student's t with 4 degrees of freedom)
NOISE = 0.001  # bpb: sd of a paired difference
MDE = 0.001
PRIOR = moderated.Prior(NOISE**2, 8.0)
SCREEN, CONFIRM, PER_CYCLE = 2, 4, 2
ALPHA = 0.05 / 20 / PER_CYCLE
TRIAL = Trial(noise=NOISE, screen=SCREEN, confirm=CONFIRM, alpha=ALPHA, mde=MDE)
SHARE = 0.9
CARRY = {"wrong-sign": -0.6, "biased": 0.5}


@dataclass(frozen=True)
class Change:
    """One single contrast: what is true of it, and what is said.

    Attributes:
        naive: difference of means over the submissions; None where none have it.
        said: (effect, standard error + spread between sources) of reports and adjusted estimates.
    """

    id: str
    variable: str
    step: float
    effect: float
    naive: float | None
    said: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Bundle:
    """Two changes together: the interaction that is true, and the one that is reported."""

    id: str
    parts: tuple[str, str]
    naive: float | None
    said: tuple[float, float] | None


@dataclass(frozen=True)
class Truth:
    """A world: changes, reported bundles, and the true interactions of pairs (else 0)."""

    changes: Mapping[str, Change]
    bundles: Mapping[str, Bundle]
    interactions: Mapping[frozenset[str], float]
    seed: int

    def effect(self, parts: Sequence[str]) -> float:
        """True effect of changes made together."""
        total = sum(self.changes[name].effect for name in parts)
        made = set(parts)
        return total + sum(value for pair, value in self.interactions.items() if pair <= made)

    def variables(self, parts: Sequence[str]) -> tuple[str, ...]:
        """What each part varies."""
        return tuple(self.changes[name].variable for name in parts)


@dataclass(frozen=True)
class Outcome:
    """A contrast tried: what was measured, what it cost, and whether it is confirmed better."""

    tested: Measurement
    fresh: float | None
    runs: int
    better: bool


def draw_world(name: str, seed: int) -> Truth:
    """Return the world of this class and seed.

    Raises:
        ValueError: a class that does not exist.
    """
    if name not in CLASSES:
        raise ValueError(f"no world class {name!r}; there are {', '.join(CLASSES)}")
    rng = np.random.default_rng([CLASSES.index(name), seed])
    changes: dict[str, Change] = {}
    for number in range(VARIABLES):
        matters = rng.random() < (0.125 if name == "sparse" else 0.6)
        size = TYPICAL * np.sqrt(4 / rng.chisquare(4)) if matters else 0.1 * TYPICAL
        count = int(rng.choice((1, 2, 3), p=(0.5, 0.3, 0.2)))
        ordered = count > 1 and rng.random() < 0.5
        steps = [(-1.0, 1.0, 2.0)[k] if ordered else 0.0 for k in range(count)]
        common = rng.standard_normal()
        deceives = name == "biased" and rng.random() < 0.5
        for step in steps:
            towards = -common if step < 0 else common
            effect = float(size * (np.sqrt(0.5) * towards + np.sqrt(0.5) * rng.standard_normal()))
            told = CARRY.get(name, 0.9) * effect - 0.004 * deceives
            change = f"c{rng.integers(10**9):09d}"  # ids in no order that means anything
            naive, said = (None, ()) if name == "none" else _said(told, rng)
            changes[change] = Change(change, f"v{number}", step, effect, naive, said)
    bundles, interactions = _bundles(changes, rng) if name == "interacting" else ({}, {})
    return Truth(changes, bundles, interactions, int(rng.integers(2**31)))


def _said(
    told: float, rng: np.random.Generator
) -> tuple[float | None, tuple[tuple[float, float], ...]]:
    """Return the naive difference, and the estimates: a report, an adjusted difference."""
    confounding = rng.normal(0, 0.004)
    naive = float(told + confounding + rng.normal(0, 0.0015)) if rng.random() < 0.8 else None
    said = []
    if naive is not None and rng.random() < 0.6:
        said.append((float(told + 0.5 * confounding + rng.normal(0, 0.0015)), 0.0025))
    report = float(told + rng.normal(0, 0.0015))
    if rng.random() < (0.7 if report < -0.0005 else 0.3):
        said.append((report, 0.0015))
    return naive, tuple(said)


def _bundles(
    changes: Mapping[str, Change], rng: np.random.Generator
) -> tuple[dict[str, Bundle], dict[frozenset[str], float]]:
    """Return ten pairs over distinct variables, five of which interact."""
    by_variable = {change.variable: change for change in changes.values()}
    order = [by_variable[name] for name in rng.permutation(sorted(by_variable))]
    bundles, interactions = {}, {}
    for number in range(10):
        one, other = order[2 * number], order[2 * number + 1]
        true = float(-rng.uniform(0.004, 0.01)) if number < 5 else 0.0
        said = float((true or rng.normal(0, 0.003)) + rng.normal(0, 0.002))
        if true:
            interactions[frozenset((one.id, other.id))] = true
        together = one.effect + other.effect + true
        name = "+".join(sorted((one.id, other.id)))
        naive = float(together + rng.normal(0, 0.0045))
        if number > 0:
            first, second = sorted((one.id, other.id))
            bundles[name] = Bundle(name, (first, second), naive, (said, 0.003))
    return bundles, interactions


@dataclass
class Campaign:
    """One campaign in progress: what was tried, and what came of it."""

    world: Truth
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    runs: int = 0

    def try_(self, name: str) -> None:
        """Screen and, where promising, confirm one contrast; at one seed it always ends alike."""
        parts = tuple(name.split("+"))
        outcome = _outcome(self.world.effect(parts), name, self.world.seed)
        self.outcomes[name], self.parts[name] = outcome, parts
        beside = len(parts) if len(parts) > 1 and outcome.fresh is not None else 0
        self.runs += outcome.runs + CONFIRM * beside

    @property
    def adopted(self) -> dict[str, tuple[float, tuple[str, ...]]]:
        """Variable → (measured effect, changes) of the best that was confirmed."""
        held: dict[str, tuple[float, tuple[str, ...]]] = {}
        better = [name for name, outcome in self.outcomes.items() if outcome.better]
        for name in sorted(better, key=lambda name: (len(self.parts[name]), name)):
            parts, measured = self.parts[name], self.outcomes[name].fresh or 0.0
            variables = self.world.variables(parts)
            rivals = {held[v][1]: held[v][0] for v in variables if v in held}
            if measured < sum(rivals.values()):
                held = {v: kept for v, kept in held.items() if kept[1] not in rivals}
                held |= dict.fromkeys(variables, (measured, parts))
        return held

    def improvement(self, measure: Measure) -> float:
        """What is held is truly worth this, bpb."""
        adopted = self.adopted.values()
        if measure == "all":
            made = {name for _, parts in adopted for name in parts}
        else:
            made = set(min(adopted, default=(0.0, ()))[1])
        return -self.world.effect(sorted(made))


@cache
def _outcome(effect: float, name: str, seed: int) -> Outcome:
    rng = np.random.default_rng([seed, *name.encode()])
    screen = rng.normal(effect, NOISE, SCREEN)
    first = paired.plain_estimate(screen.tolist())
    judged = moderated.moderate(first, PRIOR)
    if not screening.worth_confirming({name: judged}, mde=MDE):
        se = NOISE / np.sqrt(SCREEN)
        return Outcome(Measurement(first.mean, float(se)), None, SCREEN, False)
    confirm = rng.normal(effect, NOISE, CONFIRM)
    fresh = moderated.moderate(
        moderated.pool(paired.plain_estimate(confirm.tolist()), first), PRIOR
    )
    p = paired.p_value(fresh)
    better = p is not None and p <= ALPHA and fresh.mean < 0
    tested = Measurement(fresh.mean, NOISE / float(np.sqrt(CONFIRM)))
    return Outcome(tested, fresh.mean, SCREEN + CONFIRM, better)


Rule = Callable[[Campaign, Sequence[str], Measure, np.random.Generator], list[str]]


def uniform(
    campaign: Campaign, left: Sequence[str], measure: Measure, rng: np.random.Generator
) -> list[str]:
    """Any of those left."""
    return [left[place] for place in rng.permutation(len(left))[:PER_CYCLE]]


def prototype(
    campaign: Campaign, left: Sequence[str], measure: Measure, rng: np.random.Generator
) -> list[str]:
    """Largest |naive difference| first."""
    world = campaign.world

    def size(name: str) -> float:
        told = (world.bundles if name in world.bundles else world.changes)[name].naive
        return -abs(told or 0.0)

    return sorted(left, key=lambda name: (size(name), name))[:PER_CYCLE]


def truth(
    campaign: Campaign, left: Sequence[str], measure: Measure, rng: np.random.Generator
) -> list[str]:
    """Largest true improvement first."""
    return sorted(left, key=lambda name: (campaign.world.effect(name.split("+")), name))[
        :PER_CYCLE
    ]


def belief(
    campaign: Campaign, left: Sequence[str], measure: Measure, rng: np.random.Generator
) -> list[str]:
    """Largest improvement by the evidence, not learning from what was tried."""
    candidates = candidates_of(campaign.world)
    joint = believe_jointly(candidates)
    mean = dict(zip(joint.ids, joint.mean, strict=True))
    return sorted(left, key=lambda name: (mean[name], name))[:PER_CYCLE]


def ours(
    campaign: Campaign, left: Sequence[str], measure: Measure, rng: np.random.Generator
) -> list[str]:
    """The rule of the pipeline; it alone may propose pairs that nobody reported."""
    singles = [one for one in candidates_of(campaign.world) if len(one.parts) == 1]
    tested = {name: outcome.tested for name, outcome in campaign.outcomes.items()}
    known = {
        frozenset(bundle.parts): Synergy(*bundle.said, "reported")
        for bundle in campaign.world.bundles.values()
        if bundle.said
    }
    pairs = propose_pairs(singles, believe_jointly(singles, tested), tested, known)
    candidates = [*singles, *(pair.candidate for pair in pairs)]
    choices = rank(
        candidates,
        believe_jointly(candidates, tested),
        {one.id: TRIAL.of_pair() if len(one.parts) > 1 else TRIAL for one in candidates},
        tried=campaign.outcomes,
        held={variable: -effect for variable, (effect, _) in campaign.adopted.items()},
        additive=measure == "all",
        limit=PER_CYCLE,
    )
    return [choice.candidate.id for choice in choices]


def candidates_of(world: Truth) -> list[Candidate]:
    """Return every contrast with the belief that its evidence gives."""
    found = []
    for change in world.changes.values():
        precision = 1 / TYPICAL**2 + sum(1 / se**2 for _, se in change.said)
        mean = sum(effect / se**2 for effect, se in change.said) / precision
        found.append(
            Candidate(
                change.id,
                (change.id,),
                (change.variable,),
                change.step,
                mean,
                precision**-0.5,
                TYPICAL,
            )
        )
    for bundle in world.bundles.values():
        said, se = bundle.said or (0.0, TYPICAL)
        precision = 1 / TYPICAL**2 + 1 / se**2
        found.append(
            Candidate(
                bundle.id,
                bundle.parts,
                world.variables(bundle.parts),
                0.0,
                said / se**2 / precision,
                precision**-0.5,
                TYPICAL,
            )
        )
    return found


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
    rules: dict[str, Rule] = dict(
        zip(RULES, (uniform, prototype, belief, ours, truth), strict=True)
    )
    needed: dict[str, list[int]] = {rule: [] for rule in rules}
    number = 0
    while len(needed["ours"]) < campaigns:
        world = draw_world(name, seed * 1_000_003 + number)
        number += 1
        for title, rule in rules.items():
            runs = runs_needed(world, rule, measure, np.random.default_rng([seed, number]))
            if runs is not None:  # for all rules alike
                needed[title].append(runs)
        _outcome.cache_clear()
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
