"""FCI with knowledge of time: a table goes in, a frozen PAG comes out.

The algorithm is causal-learn's (release 0.1.4.8), on arrays of tests and a matrix of end marks
in place of one test and one edge object at a time; `AS_CAUSAL_LEARN` gives its PAG mark for mark
(where it walks a set of nodes in the order of string hashes, this takes that of the positions).
The default gives the same graph where every test is right, and differs on finite data in what
hangs on the order of the columns or cannot end:

- the possible-d-sep search takes all subsets of any size there (two minutes at 17 columns of a
  real leaderboard, doubling with each column), edge by edge on the graph that is left, misses the
  first subset of each size, records a separating set for one order of the pair only, and goes no
  further than two steps. Here it stops at the stated depth, takes all edges on one graph, both
  orders, and paths of any length;
- rules R4, R8 and R10 are applied wherever they apply (see `orientation`), and R5 to R7, which
  only selection could call for, nowhere;
- a collider, and what follows from there being none, asks for more than one set (see `SETTLED`).

Background knowledge, which there does what no PAG may suffer, is kept apart from it:

- a forbidden direction is turned into a full ``-->``, which asserts that there is no hidden
  common cause. Here a tier order adds an arrowhead at the later node and nothing else, before
  the rules propagate (arrowheads then follow, as in Spirtes, Glymour & Scheines 2000, ch. 6);
- required edges are lost to the adjacency search and to the possible-d-sep search. Here a
  required pair is never tested, and its edge is put back as ``-->``;
- knowledge is matched by name or by prefix, and a misspelt name is ignored. Here every name must
  be a column, and matching is by position;
- constant and collinear columns give a singular matrix or a silent answer. Here they are refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from scripts.causal.graph.citest import WilksTest
from scripts.causal.graph.determinants import Places
from scripts.causal.graph.orientation import (
    Evidence,
    apply_knowledge,
    orient_clear_colliders,
    orient_colliders,
    propagate,
)
from scripts.causal.graph.pag import Pag, make_pag
from scripts.causal.graph.schema import Mark
from scripts.causal.graph.skeleton import (
    ARROW,
    CIRCLE,
    NONE,
    TAIL,
    Marks,
    adjacency_search,
    possible_d_sep_search,
    remove_as_causal_learn,
    separating_p_values,
)

_MARKS: dict[int, Mark] = {TAIL: "tail", ARROW: "arrow", CIRCLE: "circle"}
Engine = Literal["own", "causal-learn"]


@dataclass(frozen=True)
class Procedure:
    """How the algorithm is read where causal-learn's reading hangs on the order of the columns.

    Attributes:
        stable_removal: search possible-d-sep sets on one graph, for both orders of a pair.
        bounded: stop that search at the depth, not at the largest set there is.
        r4_at_once: try R4 in the first round, whatever R1 to R3 did.
        both_ways: apply R8 and R10 in both directions.
        selection: apply R5 to R7. They read a ring of edges that no collider breaks as selection,
            and a graph whose colliders are left open is full of such rings.
        margin: how many times more probable, by their best sets, a and c must be apart without b
            than with b for a collider at b, and with b than without it for R1 and R3 to go on
            through b. What is in between stays a circle. None takes the one set that the search
            found, as causal-learn does.
        strong_margin: the same for R4 and for an arrowhead at the end that comes first in time.
    """

    stable_removal: bool = True
    bounded: bool = True
    r4_at_once: bool = True
    both_ways: bool = True
    selection: bool = False
    margin: float | None = 3.0
    strong_margin: float = 1e12


SETTLED = Procedure()
"""What the pipeline uses.

A weak chain a → b → bpb passes for a ⟂ bpb without any set. To read the one set that the search
found then makes b a collider: over nine in ten of the arrowheads so set against time at bpb were
false. So all sets of up to `depth` neighbours are asked, as in the conservative rule (Ramsey,
Zhang & Spirtes 2006, UAI), and the best p-values with and without b are compared (Ramsey 2016,
arXiv:1610.00378), with a margin in between. What still fails is an edge that was missed, which
makes every test of its pair err alike, so what is most dearly wrong, an arrowhead against time,
asks for far more. Means over 20 worlds of a class in benchmarks/worlds.py (n = 1,000, level 0.05,
depth 2, tiers known), marks equal to the truth's and claims that the truth bears out:

                         latent          missing         iid
    causal-learn         0.666  0.867    0.649  0.859    0.724  0.894
    ONE_SET              0.656  0.740    0.655  0.735    0.686  0.750
    both margins 3       0.703  0.815    0.733  0.817    0.778  0.851
    3 and 1e12           0.743  0.891    0.772  0.896    0.842  0.934
"""
ONE_SET = Procedure(selection=True, margin=None)
"""The default's adjacencies, oriented by one separating set a pair."""
AS_CAUSAL_LEARN = replace(
    ONE_SET, stable_removal=False, bounded=False, r4_at_once=False, both_ways=False
)


class IndependenceTest(Protocol):
    """P-values of x ⟂ y | given, by position: one, and many with sets of one size."""

    def p_value(self, x: int, y: int, given: Sequence[int]) -> float:
        """Return the p-value of one test."""

    def p_values(self, x: Places, y: Places, given: Places) -> NDArray[np.float64]:
        """Return those of (k,), (k,) and (k, size), in order."""


def _check(
    test: WilksTest,
    names: Sequence[str],
    tiers: Mapping[str, int],
    required: Collection[tuple[str, str]],
) -> None:
    """Refuse what would give a silent wrong answer.

    Raises:
        ValueError: a constant column, collinear columns, a name that is no column, a column
            without a tier, or a required edge against the tiers.
    """
    spoken = {*tiers, *(name for pair in required for name in pair)}
    unknown = sorted(spoken - set(names))
    if unknown:
        raise ValueError(f"background knowledge names {unknown}, which are no columns of {names}")
    missing = sorted(set(names) - set(tiers))
    if tiers and missing:
        raise ValueError(f"columns {missing} have no tier")
    for cause, effect in required:
        if cause == effect or tiers.get(cause, 0) > tiers.get(effect, 0):
            raise ValueError(f"required edge {cause} -> {effect} runs against the tiers")
    constant = [name for place, name in enumerate(names) if not test.varies(place)]
    if constant:
        raise ValueError(f"columns {constant} are constant and cannot be tested")
    determined = sorted(set(range(len(names))) - set(test.separable()))
    if determined:
        raise ValueError(f"columns {[names[one] for one in determined]} are collinear with others")


class _Tiered:
    """The test as the search may use it: no required pair, no conditioning on the future.

    If two variables can be separated at all, then by their ancestors; a variable of a tier after
    both is no ancestor of either, and conditioning on it can only mislead.
    """

    def __init__(
        self,
        test: IndependenceTest,
        alpha: float,
        tiers: Sequence[int],
        required: Collection[tuple[int, int]],
    ):
        self.test, self.alpha = test, alpha
        self.tiers = np.asarray(tiers, dtype=np.intp)
        self.required = np.zeros((len(tiers), len(tiers)), dtype=bool)
        for cause, effect in required:
            self.required[cause, effect] = self.required[effect, cause] = True

    def p_value(self, x: int, y: int, given: Sequence[int]) -> float:
        latest = max(self.tiers[x], self.tiers[y])
        if self.required[x, y] or any(self.tiers[one] > latest for one in given):
            return 0.0
        return self.test.p_value(x, y, given)

    def separates(self, x: int, y: int, given: Sequence[int]) -> bool:
        return self.p_value(x, y, given) > self.alpha

    def p_values(self, x: Places, y: Places, given: Places) -> NDArray[np.float64]:
        latest = np.maximum(self.tiers[x], self.tiers[y])
        allowed = ~self.required[x, y] & (self.tiers[given] <= latest[:, None]).all(axis=1)
        result = np.zeros(len(x))
        if allowed.any():
            result[allowed] = self.test.p_values(x[allowed], y[allowed], given[allowed])
        return result

    def independent(self, x: Places, y: Places, given: Places) -> NDArray[np.bool_]:
        separated: NDArray[np.bool_] = self.p_values(x, y, given) > self.alpha
        return separated


def search(
    test: IndependenceTest,
    names: Sequence[str],
    *,
    alpha: float,
    depth: int = -1,
    tiers: Sequence[int] = (),
    required: Collection[tuple[int, int]] = (),
    procedure: Procedure = SETTLED,
) -> Marks:
    """Return the end marks of the PAG, (k, k): [a, b] is the mark at a on its edge with b.

    Args:
        test: conditional independence by position.
        names: of the k variables; only `AS_CAUSAL_LEARN` looks at them.
        alpha, depth: as in `run_fci`.
        tiers: place in time of each variable; none for all the same.
        required: (cause, effect) positions.
        procedure: how causal-learn's gaps are read.
    """
    tiers = tiers or [0] * len(names)
    tiered = _Tiered(test, alpha, tiers, required)
    adjacent, separators = adjacency_search(len(names), tiered.independent, depth)
    marks: Marks = np.where(adjacent, CIRCLE, NONE).astype(np.int8)
    orient_colliders(marks, separators)
    most = depth if procedure.bounded else -1
    if procedure.stable_removal:
        for (x, y), found in possible_d_sep_search(marks, tiered.independent, most).items():
            separators[x, y] = separators[y, x] = found
            marks[x, y] = marks[y, x] = NONE
    else:
        remove_as_causal_learn(marks, tiered.independent, separators, names, most)
    evidence = None
    if procedure.margin is None:
        orient_colliders(marks, separators)
    else:
        tables = separating_p_values(marks != NONE, tiered.p_values, separators, depth)
        evidence = Evidence(*tables, separators, alpha, procedure.margin, procedure.strong_margin)
        orient_clear_colliders(marks, evidence, tiers)
    apply_knowledge(marks, tiers, required)
    return propagate(
        marks,
        separators,
        tiered.separates,
        r4_at_once=procedure.r4_at_once,
        both_ways=procedure.both_ways,
        selection=procedure.selection,
        evidence=evidence,
    )


def run_fci(
    test: WilksTest,
    *,
    alpha: float,
    depth: int = -1,
    tiers: Mapping[str, int] | None = None,
    required: Collection[tuple[str, str]] = (),
    procedure: Procedure = SETTLED,
    engine: Engine = "own",
) -> Pag:
    """Return the PAG over the test's variables.

    Args:
        test: conditional independence over the encoded table.
        alpha: level of the single test.
        depth: largest conditioning set, in both searches; -1 for no bound.
        tiers: variable → place in time; a later one does not cause an earlier one. None for none.
        required: (cause, effect) pairs that are known.
        procedure: how causal-learn's gaps are read, for the own engine.
        engine: "causal-learn" takes that library's adjacency search and rules, hundreds of times
            slower, in the reading `replace(ONE_SET, both_ways=False)`.

    Raises:
        ValueError: as listed under `_check`.
    """
    names = test.encoded.names
    _check(test, names, tiers or {}, required)
    order = [(tiers or {}).get(name, 0) for name in names]
    place = {name: index for index, name in enumerate(names)}
    pairs = [(place[cause], place[effect]) for cause, effect in required]
    if engine == "own":
        marks = search(
            test,
            names,
            alpha=alpha,
            depth=depth,
            tiers=order,
            required=pairs,
            procedure=procedure,
        )
    else:
        # Imported when asked for: it takes longer than the search.
        from scripts.causal.graph import causal_learn

        tiered = _Tiered(test, alpha, order, pairs)
        marks = causal_learn.search(
            tiered.p_value, len(names), alpha=alpha, depth=depth, tiers=order, required=pairs
        )
    return _freeze(marks, names)


def _freeze(marks: Marks, names: Sequence[str]) -> Pag:
    found = {
        (names[a], names[b]): _MARKS[int(marks[a, b])] for a, b in np.argwhere(marks).tolist()
    }
    return make_pag(names, found)
