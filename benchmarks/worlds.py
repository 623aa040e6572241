"""Worlds of known truth: random leaderboards whose every cause and effect is on record.

A world is a structural causal model over the real vocabulary: the date and the track, 15 to 25
factors in tiers (architecture, data, optimization and loss; quantization and encoding;
evaluation), hidden common causes, and bpb. `worlds_sample.draw_sample` draws submissions from it.

The classes differ in one thing each; a class keeps what the one before it adds, except `missing`,
whose rows are independent:

iid        every submission is drawn anew, everything is stated, no hidden causes
latent     2 to 4 hidden causes, each of at least two of the factors and bpb
lineage    submissions come in time; each copies an earlier one, good and recent ones rather than
           others, and draws a few factors anew; the first hidden cause belongs to the author
           (skill), the others travel down the lineage
missing    `latent`, and a README states a factor only with some probability, higher where it
           departs from the baseline; some techniques are named without their value; of what is
           not stated, six scripts in ten tell the truth with probability 0.9
mixed-all  `lineage` and `missing` together; numeric effects may level off, a parent may be unnamed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from interventions.vocabulary import Value, Variable, load_variables
from scripts.causal.files import InputError
from scripts.causal.graph.design import OUTCOME, TIERS

CLASSES = ("iid", "latent", "lineage", "missing", "mixed-all")
SIZES = (60, 300, 1000, 1400)
# The step from one level of a numeric factor to the next, where a baseline of 0 gives no scale.
STEPS = {
    "weight_decay": 0.02,
    "ema": 0.2,
    "grad_clip": 0.25,
    "token_dropout": 0.05,
    "corrupted_context": 0.05,
    "xsa_layers": 2,
    "bigram_hash": 2048,
    "sliding_window_eval": 64,
}
Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Factor:
    """One factor and the mechanism by which authors come to its level.

    Attributes:
        levels: the values it takes, the baseline first; numbers in rising order.
        shares: how often each would be taken if nothing acted on it.
        parents: (observed cause, weight) pairs.
        loads: (hidden cause, weight) pairs.
        scores: per level, what its children see of it.
        slopes: per level of a categorical factor, how its causes favour it; empty for others,
            whose levels are steps of one scale.
        effects: per level the direct effect on bpb against the baseline.
    """

    variable: Variable
    levels: tuple[Value, ...]
    shares: tuple[float, ...]
    parents: tuple[tuple[str, float], ...]
    loads: tuple[tuple[str, float], ...]
    scores: tuple[float, ...]
    slopes: tuple[float, ...]
    effects: tuple[float, ...]

    @property
    def id(self) -> str:
        """The vocabulary id."""
        return self.variable.id

    def draw(self, index: Numbers, rng: np.random.Generator) -> Codes:
        """Return a level (its place) per row, given the summed pull of its causes; (n,) → (n,)."""
        if self.slopes:
            noise = rng.gumbel(size=(len(index), len(self.levels)))
            utility = np.log(self.shares) + np.outer(index, self.slopes) + noise
            return np.asarray(utility.argmax(axis=1), dtype=np.int64)
        spread = np.sqrt(1 + sum(w**2 for _, w in (*self.parents, *self.loads)))
        cuts = ndtri(np.cumsum(self.shares)[:-1])
        strength = (index + rng.standard_normal(len(index))) / spread
        return np.asarray(np.searchsorted(cuts, strength), dtype=np.int64)


@dataclass(frozen=True)
class World:
    """A structural causal model; factors in causal order.

    Attributes:
        hidden: hidden cause → its effect on bpb per standard deviation.
        date_effect: on bpb, per standard deviation of the date.
        track_effect: on bpb, of the second track against the first.
        noise: standard deviation of what nothing explains.
    """

    name: str
    seed: int
    factors: tuple[Factor, ...]
    hidden: Mapping[str, float]
    date_effect: float
    track_effect: float
    noise: float

    @cached_property
    def by_id(self) -> dict[str, Factor]:
        """Factors by vocabulary id."""
        return {factor.id: factor for factor in self.factors}

    @property
    def observed(self) -> tuple[str, ...]:
        """The columns that can be seen: context, factors, outcome."""
        return ("date", "track", *self.by_id, OUTCOME)

    @cached_property
    def dag(self) -> tuple[tuple[str, str], ...]:
        """(cause, effect) pairs, hidden causes included."""
        edges = [
            (cause, one.id) for one in self.factors for cause, _ in (*one.parents, *one.loads)
        ]
        edges += [(one.id, OUTCOME) for one in self.factors if any(one.effects)]
        edges += [(name, OUTCOME) for name, effect in self.hidden.items() if effect]
        context = (("date", self.date_effect), ("track", self.track_effect))
        return (*edges, *((name, OUTCOME) for name, effect in context if effect))

    @property
    def tiers(self) -> dict[str, int]:
        """Observed column → its place in time."""
        groups = {one.id: one.variable.group for one in self.factors}
        return {
            "date": 0,
            "track": 0,
            **{name: TIERS[group] for name, group in groups.items()},
            OUTCOME: TIERS["outcome"],
        }

    def direct_effect(self, variable: str, before: Value, after: Value) -> float:
        """Return what changing nothing but `variable` does to bpb.

        Between the levels of a numeric factor the effect is read off straight lines.

        Raises:
            ValueError: a level that the world does not have.
        """
        factor = self.by_id[variable]

        def place(value: Value) -> float:
            if factor.variable.kind == "numeric":
                return float(np.interp(float(value), np.array(factor.levels, float), effects))
            return effects[factor.levels.index(value)]

        effects = factor.effects
        return place(after) - place(before)

    def contrasts(self) -> tuple[tuple[str, Value, Value], ...]:
        """Return (factor, baseline, level) for every level of every factor."""
        return tuple((f.id, f.levels[0], level) for f in self.factors for level in f.levels[1:])


def inherits(name: str) -> bool:
    """Say whether submissions of this class copy earlier ones."""
    return name in ("lineage", "mixed-all")


def chosen_classes(names: str) -> tuple[str, ...]:
    """Return the classes that a comma-separated option names; ``all`` names every one.

    Raises:
        InputError: a name that is no class.
    """
    chosen = CLASSES if names == "all" else tuple(names.split(","))
    for name in chosen:
        if name not in CLASSES:
            raise InputError(
                f"--classes names {name!r}", mend=f"choose of {', '.join(CLASSES)}, or all"
            )
    return chosen


def draw_world(name: str, seed: int) -> World:
    """Return the world of this class and seed.

    Raises:
        ValueError: a class that does not exist.
    """
    if name not in CLASSES:
        raise ValueError(f"no world class {name!r}; there are {', '.join(CLASSES)}")
    rng = np.random.default_rng([CLASSES.index(name), seed])
    hidden = [] if name == "iid" else [f"hidden_{k + 1}" for k in range(rng.integers(2, 5))]
    chosen = _choose(rng)
    outcome_loads = dict.fromkeys(hidden, 0.0)
    for number, one in enumerate(hidden):
        if number == 0 or rng.random() < 0.5:
            outcome_loads[one] = float(rng.choice((-1, 1)) * rng.uniform(0.003, 0.006))
    loads: dict[str, list[tuple[str, float]]] = {one.id: [] for one in chosen}
    for one in hidden:
        for place in rng.choice(len(chosen), size=rng.integers(2, 5), replace=False):
            loads[chosen[place].id].append((one, _weight(rng)))
    causes = rng.permutation(len(chosen))[: round(0.45 * len(chosen))]
    factors: list[Factor] = []
    for place, variable in enumerate(chosen):
        parents = _draw_parents([one.id for one in factors], rng)
        factors.append(
            _draw_factor(variable, parents, loads[variable.id], place in causes, name, rng)
        )
    return World(
        name=name,
        seed=seed,
        factors=tuple(factors),
        hidden=outcome_loads,
        date_effect=float(-rng.uniform(0.002, 0.004) * (rng.random() < 0.5)),
        track_effect=float(rng.uniform(0.005, 0.01) * (rng.random() < 0.5)),
        noise=float(rng.uniform(0.004, 0.007)),
    )


def _weight(rng: np.random.Generator) -> float:
    return float(rng.choice((-1, 1)) * rng.uniform(0.5, 1.0))


def _choose(rng: np.random.Generator) -> list[Variable]:
    """Return 15 to 25 vocabulary variables of all kinds, in an order that keeps the tiers."""
    vocabulary = load_variables().values()
    pools = {
        "categorical": [v for v in vocabulary if len(v.levels) >= 3],
        "numeric": [v for v in vocabulary if v.kind == "numeric"],
        "binary": [v for v in vocabulary if v.kind == "binary"],
    }
    total = int(rng.integers(15, 26))
    counts = {"categorical": int(rng.integers(3, 6)), "numeric": round(0.35 * total)}
    counts["binary"] = total - sum(counts.values())
    chosen = [
        pool[place]
        for kind, pool in pools.items()
        for place in rng.choice(len(pool), size=counts[kind], replace=False)
    ]
    order = rng.permutation(total)
    return sorted((chosen[place] for place in order), key=lambda v: TIERS[v.group])


def _draw_parents(before: Sequence[str], rng: np.random.Generator) -> list[tuple[str, float]]:
    """Return up to two earlier factors, and in a third of cases the date or the track."""
    count = min(int(rng.choice((0, 1, 2), p=(0.3, 0.45, 0.25))), len(before))
    names = [before[place] for place in rng.choice(len(before), size=count, replace=False)]
    if rng.random() < 1 / 3:
        names.insert(0, str(rng.choice(("date", "track"))))
    return [(name, _weight(rng)) for name in names]


def _levels(variable: Variable, rng: np.random.Generator) -> tuple[Value, ...]:
    """Return the values that the world's authors use, the baseline first."""
    if variable.kind == "binary":
        return (variable.baseline, not variable.baseline)
    count = int(rng.integers(3, 6))
    if variable.kind == "categorical":
        others = [one for one in variable.levels if one != variable.baseline]
        picked = rng.choice(len(others), size=min(count - 1, len(others)), replace=False)
        return (variable.baseline, *(others[place] for place in sorted(picked)))
    base = float(variable.baseline)
    step = base / 4 if base else STEPS.get(variable.id, 1)
    if isinstance(variable.baseline, int):
        return tuple(round(base) + max(1, round(step)) * place for place in range(count))
    return tuple(round(base + step * place, 6) for place in range(count))


def _draw_factor(
    variable: Variable,
    parents: Sequence[tuple[str, float]],
    loads: Sequence[tuple[str, float]],
    causes: bool,
    name: str,
    rng: np.random.Generator,
) -> Factor:
    levels = _levels(variable, rng)
    rest = rng.dirichlet(np.full(len(levels) - 1, 4.0))
    base = rng.uniform(0.35, 0.65)
    shares = np.array([base, *((1 - base) * rest)])
    shares = np.maximum(shares, 0.06)
    shares /= shares.sum()
    count = len(levels)
    steps = np.arange(count) / (count - 1)
    slopes: tuple[float, ...] = ()
    if variable.kind == "categorical":
        slopes = tuple(float(one) for one in rng.permutation(np.linspace(-1.5, 1.5, count)))
        scores = rng.permutation(np.linspace(-1.0, 1.0, count))
        effects = rng.uniform(0.003, 0.012, count) * rng.choice((-1, 1), count, p=(0.65, 0.35))
        effects = effects - effects[0]
    else:
        bend = rng.uniform(0.4, 1.0) if name == "mixed-all" else 1.0
        scores = 2 * steps - 1
        size = rng.uniform(0.005, 0.014) * rng.choice((-1, 1), p=(0.65, 0.35))
        effects = size * steps**bend
    return Factor(
        variable=variable,
        levels=levels,
        shares=tuple(map(float, shares)),
        parents=tuple(parents),
        loads=tuple(loads),
        scores=tuple(map(float, scores)),
        slopes=slopes,
        effects=tuple(map(float, effects if causes else np.zeros(count))),
    )
