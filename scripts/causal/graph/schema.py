"""The forms of ``causal_dag.json``, ``identifiability_report.json`` and ``dag_diff.json``."""

from __future__ import annotations

from typing import Literal

from scripts.causal.forms import Record

Mark = Literal["tail", "arrow", "circle"]
Level = bool | int | float | str
QUANTILE = 1.959963984540054  # of the standard normal, for 95 % intervals
Tag = Literal[
    "data_confirmed",
    "data_contradicted",
    "expert_imposed",
    "uncertain",
    "experiment_confirmed",
]


def level_words(level: Level) -> str:
    """Return a variable's value as a reader writes it."""
    if isinstance(level, bool):
        return "with" if level else "without"
    return level if isinstance(level, str) else f"{level:g}"


def _is_off(level: Level) -> bool:
    return level in (0, "none")


class Estimate(Record):
    """An effect in bpb (after minus before, negative is better) with its 95 % interval.

    Attributes:
        source: reported (meta-analysis of README ablations), observed (from the submissions
            table) or tested (our own paired runs).
        before, after: the two values of the variable; `after` is True where it is used at
            whatever value.
        n: reports, submissions, pairs of child and parent, or seed pairs behind it.
        detail: how it was estimated, in words.
        method: differences (child − parent) or adjusted (over all submissions) where it is
            observed; empty for other sources.
        identified: whether the graph lets an adjusted number be read as an effect; None where no
            graph is asked, or where it holds no edge and so no effect.
        bounds: smallest and largest effect over the adjustment sets that the graph allows; holds
            where no hidden cause is shared. Not a confidence interval.
        tau: between-report standard deviation (reported).
        i_squared: share of the reports' variance that lies between them, 0 to 1 (reported).
    """

    source: Literal["reported", "observed", "tested"]
    before: Level
    after: Level
    effect: float
    low: float
    high: float
    n: int
    detail: str = ""
    method: Literal["", "differences", "adjusted"] = ""
    identified: bool | None = None
    bounds: tuple[float, float] | None = None
    tau: float | None = None
    i_squared: float | None = None

    @property
    def se(self) -> float:
        """Standard error, as the 95 % interval of a normal estimate would have it."""
        return (self.high - self.low) / 2 / QUANTILE

    @property
    def contrast(self) -> str:
        """What is compared with what, in words."""
        ends = self.before, self.after
        used = any(one is True for one in ends)
        before, after = ("without" if used and _is_off(one) else level_words(one) for one in ends)
        return f"{before} → {after}" + (f", {self.detail}" if self.detail else "")

    def turned(self) -> Estimate:
        """Return the same evidence for the opposite change."""
        return self.model_copy(
            update={
                "before": self.after,
                "after": self.before,
                "effect": -self.effect,
                "low": -self.high,
                "high": -self.low,
                "bounds": self.bounds and (-self.bounds[1], -self.bounds[0]),
            }
        )


class SourceWeight(Record):
    """What one source adds to a combined effect.

    Attributes:
        weight: its share of the posterior's precision; the shares add up to 1.
        effect, se: its own estimate.
        between: standard deviation added because a source of this kind is not about this very
            contrast on this very stack.
        words: which estimate it is.
    """

    source: Literal["reported", "observed", "tested", "prior"]
    weight: float
    effect: float
    se: float
    between: float
    words: str = ""


class CombinedEffect(Record):
    """What all sources together say of one contrast, in bpb (negative is better).

    Attributes:
        mean, sd: of the normal posterior; of the mean over stacks, or of the stack of own runs
            where there are any.
        low, high: its 95 % interval.
        tau: standard deviation of one stack's effect about that mean, as reports tell it.
        belief: what observed and tested evidence says of the published one; None where nobody
            published any.
        words: the belief and the evidence in a sentence.
    """

    variable: str
    before: Level
    after: Level
    mean: float
    sd: float
    low: float
    high: float
    weights: tuple[SourceWeight, ...]
    tau: float = 0.0
    belief: Literal["supported", "contradicted", "cannot_tell"] | None = None
    words: str = ""


class Node(Record):
    """A variable of the graph; `tier` is its place in time (0 = context)."""

    id: str
    label: str
    kind: Literal["numeric", "categorical", "binary"]
    group: str
    tier: int


class Edge(Record):
    """An edge with the mark at each end: tail (—), arrow (>) or circle (could be either).

    Attributes:
        frequency: share of bootstrap graphs in which the pair is adjacent; None when the data
            could not speak (expert edges between variables left out of the estimate).
        estimates: effects along this edge, by source; empty when none can be given.
    """

    source: str
    target: str
    source_mark: Mark
    target_mark: Mark
    origin: Literal["data", "expert", "experiment"]
    tag: Tag
    frequency: float | None
    estimates: tuple[Estimate, ...] = ()
    note: str = ""


class FciSettings(Record):
    """How the data graph was estimated."""

    test: str
    alpha: float
    depth: int
    bootstraps: int
    cluster: str
    submissions: int
    clusters: int
    seed: int


class SetAside(Record):
    """A variable that could not enter the estimate, and why, in words."""

    variable: str
    reason: str


class DataEdge(Record):
    """An edge of the data graph: marks as FCI left them, frequency over the bootstrap."""

    source: str
    target: str
    source_mark: Mark
    target_mark: Mark


class PairFrequency(Record):
    """How often a pair is adjacent over the resamples in which both variables still vary.

    Attributes:
        frequency: share of those resamples in which it is adjacent.
        arrow_a, arrow_b: share in which it is adjacent with an arrowhead at that end.
    """

    a: str
    b: str
    frequency: float
    arrow_a: float
    arrow_b: float
    resamples: int


class DataGraph(Record):
    """What the submissions alone say: costly to compute, and untouched by own experiments.

    Attributes:
        nodes: context, factors and outcome that entered the estimate.
        edges: the PAG of all rows.
        frequencies: every pair of nodes that is adjacent in some resample; a pair that is
            missing was adjacent in none.
        fallback: why there are no edges to be had, in words; empty when the estimate was made.
    """

    schema_version: Literal[1] = 1
    outcome: str
    nodes: tuple[Node, ...]
    edges: tuple[DataEdge, ...]
    frequencies: tuple[PairFrequency, ...]
    fci: FciSettings
    set_aside: tuple[SetAside, ...]
    imputed: dict[str, int]
    unquantified: dict[str, int] = {}
    fallback: str = ""


class CausalDag(Record):
    """``causal_dag.json``. The data graph is a PAG: circles stay circles.

    Attributes:
        outcome: id of the outcome node.
        set_aside: variables left out with the reason.
        imputed: variable → number of submissions whose value was not stated and was taken to
            be the baseline's.
        unquantified: variable → number of submissions that use it without stating a value and
            were given the usual one of those that do.
        effects: per contrast what all sources together say.
        refused: variable → why the submissions give no number of their own for it, in words.
        statement: plain sentences on what the graph does and does not show.
    """

    schema_version: Literal[1] = 1
    outcome: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    fci: FciSettings
    set_aside: tuple[SetAside, ...]
    imputed: dict[str, int]
    unquantified: dict[str, int] = {}
    effects: tuple[CombinedEffect, ...] = ()
    refused: dict[str, str] = {}
    statement: str


class Identifiability(Record):
    """What the data can tell of one variable's effect on the outcome.

    Attributes:
        verdict: proceed (the data identifies an effect worth acting on) or experiment_first.
        reason: never_varied, too_few (it varies, in too few submissions), collinear,
            confounded, disconnected, undirected, identified, tested.
        confounded_with: variables it cannot be told apart from.
    """

    variable: str
    verdict: Literal["proceed", "experiment_first"]
    reason: Literal[
        "never_varied",
        "too_few",
        "collinear",
        "confounded",
        "disconnected",
        "undirected",
        "identified",
        "tested",
    ]
    explanation: str
    confounded_with: tuple[str, ...] = ()
    estimates: tuple[Estimate, ...] = ()


class IdentifiabilityReport(Record):
    """``identifiability_report.json``."""

    schema_version: Literal[1] = 1
    outcome: str
    variables: tuple[Identifiability, ...]


class EdgeChange(Record):
    """An edge that differs between two graphs, each side written ``a o-> b [tag]`` or empty."""

    source: str
    target: str
    before: str
    after: str


class DagDiff(Record):
    """``dag_diff.json``: what changed from the previous cycle's graph to this one's."""

    schema_version: Literal[1] = 1
    cycle: int
    changes: tuple[EdgeChange, ...]
    unchanged: int
