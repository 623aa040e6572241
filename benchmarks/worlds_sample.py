"""Leaderboards drawn from worlds of known truth: what the pipeline eats, and what none may see."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from worlds import Codes, Factor, Numbers, World, inherits

from interventions.vocabulary import Value
from scripts.causal.leaderboard.schema import Ablation, Leaderboard, SeedResult, Source, Submission

FIRST_DAY, DAYS = datetime.date(2026, 3, 18), 44
TRACKS = ("10min_16mb", "non_record_16mb")
BASE_BPB = 1.2244
SEED_SD = 0.0007  # within a submission, as pooled over the real records


@dataclass(frozen=True)
class Rows:
    """What is true of each submission, complete.

    Attributes:
        codes: factor → place of its level, per row.
        date: days since FIRST_DAY.
        track: place in TRACKS.
        hidden: hidden cause → value per row.
        bpb: outcome.
        parents: row of the parent, -1 for none.
        authors: number of the author.
    """

    codes: Mapping[str, Codes]
    date: Codes
    track: Codes
    hidden: Mapping[str, Numbers]
    bpb: Numbers
    parents: Codes
    authors: Codes


@dataclass(frozen=True)
class Sample:
    """A leaderboard drawn from a world, and the truth of its rows."""

    world: World
    rows: Rows
    leaderboard: Leaderboard


def draw_sample(world: World, n: int, seed: int) -> Sample:
    """Return a leaderboard of `n` submissions; the same arguments give the same one."""
    rng = np.random.default_rng([world.seed, n, seed])
    rows = _by_lineage(world, n, rng) if inherits(world.name) else _independent(world, n, rng)
    return Sample(world, rows, _written(world, rows, rng))


def _context(date: Codes, track: Codes) -> dict[str, Numbers]:
    """Return the context as factors see it: centred, on about unit scale."""
    days = np.asarray(date, dtype=np.float64)
    return {
        "date": (days - (DAYS - 1) / 2) / (DAYS / 12**0.5),
        "track": 2 * np.asarray(track, dtype=np.float64) - 1,
    }


@dataclass(frozen=True)
class _Causes:
    """What has been drawn so far of everything that acts on factors and bpb, a value per row.

    Attributes:
        context: as factors see it (`_context`).
    """

    world: World
    codes: Mapping[str, Codes]
    context: Mapping[str, Numbers]
    hidden: Mapping[str, Numbers]

    def pull(self, factor: Factor, rows: slice) -> Numbers:
        """Return the summed pull of a factor's causes on the chosen rows."""
        total = np.zeros(len(self.context["date"][rows]))
        for cause, weight in factor.parents:
            if cause in self.context:
                total += weight * self.context[cause][rows]
            else:
                scores = np.array(self.world.by_id[cause].scores)
                total += weight * scores[self.codes[cause][rows]]
        for cause, weight in factor.loads:
            total += weight * self.hidden[cause][rows]
        return total

    def bpb(self, rows: slice) -> Numbers:
        """Return bpb without noise on the chosen rows."""
        world = self.world
        bpb = BASE_BPB + world.date_effect * self.context["date"][rows]
        bpb = bpb + world.track_effect * (self.context["track"][rows] > 0)
        for factor in world.factors:
            bpb = bpb + np.array(factor.effects)[self.codes[factor.id][rows]]
        for name, effect in world.hidden.items():
            bpb = bpb + effect * self.hidden[name][rows]
        return np.asarray(bpb)


def _independent(world: World, n: int, rng: np.random.Generator) -> Rows:
    """Return rows that know nothing of each other, in order of date."""
    date = np.sort(rng.integers(DAYS, size=n))
    track = (rng.random(n) < 0.35).astype(np.int64)
    hidden = {name: rng.standard_normal(n) for name in world.hidden}
    codes: dict[str, Codes] = {}
    causes, everything = _Causes(world, codes, _context(date, track), hidden), slice(None)
    for factor in world.factors:
        codes[factor.id] = factor.draw(causes.pull(factor, everything), rng)
    bpb = causes.bpb(everything) + world.noise * rng.standard_normal(n)
    alone = np.full(n, -1)
    return Rows(codes, date, track, hidden, bpb, alone, np.arange(n))


def _by_lineage(world: World, n: int, rng: np.random.Generator) -> Rows:
    """Return rows in order of time, each a changed copy of an earlier one.

    One in 16 starts from the baseline. A parent is drawn with weight exp(-bpb / 0.01) and halves
    its weight every 5 days; a child has its track, and with probability 0.85 each of its hidden
    traits. 1 + Poisson(1.5) factors are drawn anew from their causes.
    """
    date = (np.arange(n) * DAYS) // n
    track = np.zeros(n, dtype=np.int64)
    people = max(8, n // 4)
    authors = np.minimum(rng.geometric(6 / people, size=n) - 1, people - 1)
    skill = rng.standard_normal(people)
    names = list(world.hidden)
    hidden = {name: rng.standard_normal(n) for name in names}
    if names:
        hidden[names[0]] = skill[authors]
    codes = {factor.id: np.zeros(n, dtype=np.int64) for factor in world.factors}
    bpb, parents = np.zeros(n), np.full(n, -1)
    for row in range(n):
        if row >= 4 and rng.random() > 1 / 16:
            appeal = -bpb[:row] / 0.01 - np.log(2) * (date[row] - date[:row]) / 5
            weight = np.exp(appeal - appeal.max())
            parent = int(rng.choice(row, p=weight / weight.sum()))
            parents[row], track[row] = parent, track[parent]
            for one in codes.values():
                one[row] = one[parent]
            for name in names[1:]:
                if rng.random() < 0.85:
                    hidden[name][row] = hidden[name][parent]
        else:
            track[row] = rng.random() < 0.35
        here = slice(row, row + 1)
        causes = _Causes(world, codes, _context(date, track), hidden)
        count = min(1 + rng.poisson(1.5), len(world.factors))
        for place in sorted(rng.choice(len(world.factors), size=count, replace=False)):
            factor = world.factors[place]
            codes[factor.id][row] = factor.draw(causes.pull(factor, here), rng)[0]
        bpb[row] = causes.bpb(here)[0] + world.noise * rng.standard_normal()
    return Rows(codes, date, track, hidden, bpb, parents, authors)


def _written(world: World, rows: Rows, rng: np.random.Generator) -> Leaderboard:
    """Return what the submissions' READMEs let one read of the rows."""
    gaps = world.name in ("missing", "mixed-all")
    stated_if_changed = rng.uniform(0.85, 0.98, len(world.factors)) if gaps else None
    stated_if_not = rng.uniform(0.15, 0.5, len(world.factors)) if gaps else None
    submissions = []
    for row in range(len(rows.bpb)):
        techniques: dict[str, Value] = {}
        absent: list[str] = []
        defaults: dict[str, Value] = {}
        script = rng.random() < 0.6
        for place, factor in enumerate(world.factors):
            code = int(rows.codes[factor.id][row])
            value = factor.levels[code]
            if stated_if_changed is not None and stated_if_not is not None:
                chance = stated_if_changed[place] if code else stated_if_not[place]
                if rng.random() > chance:
                    if script:
                        honest = rng.random() < 0.9
                        defaults[factor.id] = value if honest else factor.levels[0]
                    continue
                if code and factor.variable.kind == "numeric" and rng.random() < 0.05:
                    techniques[factor.id] = True
                    continue
            if value is False and rng.random() < 0.5:
                absent.append(factor.id)
            else:
                techniques[factor.id] = value
        parent = int(rows.parents[row])
        named = parent >= 0 and (world.name != "mixed-all" or rng.random() < 0.85)
        scatter = rng.normal(0, SEED_SD, 3)
        score = float(rows.bpb[row])
        submissions.append(
            Submission(
                id=f"{1000 + row}/world",
                name=f"submission {row}",
                author=f"author_{rows.authors[row]}",
                date=(FIRST_DAY + datetime.timedelta(days=int(rows.date[row]))).isoformat(),
                track=TRACKS[rows.track[row]],
                pr=1000 + row,
                val_bpb=score,
                base_bpb=float(rows.bpb[parent]) if named else None,
                parent_prs=(1000 + parent,) if named else (),
                seeds=tuple(
                    SeedResult(seed=number, val_bpb=score + float(one))
                    for number, one in zip((42, 1337, 2024), scatter - scatter.mean(), strict=True)
                ),
                techniques=techniques,
                absent=tuple(absent),
                defaults=defaults,
                ablations=_ablations(world, rows, row, rng),
            )
        )
    return Leaderboard(
        source=f"world {world.name} {world.seed}",
        snapshot=(FIRST_DAY + datetime.timedelta(days=DAYS)).isoformat(),
        submissions=tuple(submissions),
    )


def _words(value: Value) -> str:
    """Return a level as an ablation table writes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, int | float) else value


def _ablations(
    world: World, rows: Rows, row: int, rng: np.random.Generator
) -> tuple[Ablation, ...]:
    """Return the ablations that one README in five reports of what it changed.

    Against the parent where there is one, else against the baseline. The measured effect has the
    noise of two single runs and differs from place to place; an improvement is reported with
    probability 0.85, anything else with 0.25 (publication bias).
    """
    if rng.random() > 0.2:
        return ()
    parent = int(rows.parents[row])
    found: list[Ablation] = []
    for factor in world.factors:
        codes = rows.codes[factor.id]
        before = int(codes[parent]) if parent >= 0 else 0
        after = int(codes[row])
        if before == after or len(found) == 3:
            continue
        delta = factor.effects[after] - factor.effects[before]
        delta += float(rng.normal(0, np.hypot(2**0.5 * SEED_SD, 0.001)))
        if rng.random() < (0.85 if delta < -0.001 else 0.25):
            found.append(
                Ablation(
                    variable=factor.id,
                    **{"from": _words(factor.levels[before])},
                    to=_words(factor.levels[after]),
                    delta=delta,
                    unit="bpb",
                    kind="single",
                    quote=None,
                    source=Source(file="README.md", line=1),
                )
            )
    return tuple(found)
