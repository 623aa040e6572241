"""A campaign in a world of known truth: what is tried, what it costs, what is held in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import numpy as np
from selection_worlds import Truth

from scripts.causal.campaign.joint import Measurement
from scripts.causal.campaign.trial import Trial
from scripts.causal.stats import moderated, paired, screening

Measure = Literal["all", "best"]
NOISE = 0.001  # bpb: sd of a paired difference
MDE = 0.001
PRIOR = moderated.Prior(NOISE**2, 8.0)
SCREEN, CONFIRM, PER_CYCLE = 2, 4, 2
ALPHA = 0.05 / 20 / PER_CYCLE
TRIAL = Trial(noise=NOISE, screen=SCREEN, confirm=CONFIRM, alpha=ALPHA, mde=MDE)


@dataclass(frozen=True)
class Outcome:
    """A contrast tried: what was measured, what it cost, and whether it is confirmed better."""

    tested: Measurement
    fresh: float | None
    runs: int
    better: bool


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


def forget() -> None:
    """Let go of the outcomes of worlds that are done with."""
    _outcome.cache_clear()
