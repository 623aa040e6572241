"""Worlds and oracles for the tests of FCI: d-separation, Fisher's z, causal-learn's own driver."""

import contextlib
import io
from itertools import combinations

import numpy as np
from causallearn.graph.GraphNode import GraphNode
from causallearn.search.ConstraintBased import FCI
from causallearn.utils.cit import CIT

from scripts.causal.graph import causal_learn


class OneByOne:
    """Any p-value of (x, y, given) as a test that our search can call."""

    def __init__(self, p_value):
        self.asked = {}
        self._p_value = p_value

    def p_value(self, x, y, given=()):
        key = (min(x, y), max(x, y), tuple(sorted(int(one) for one in given)))
        if key not in self.asked:
            self.asked[key] = self._p_value(*key)
        return self.asked[key]

    def p_values(self, x, y, given):
        rows = zip(x.tolist(), y.tolist(), given.tolist(), strict=True)
        return np.array([self.p_value(*row) for row in rows])


def random_dag(rng, observed, hidden, degree=2.5):
    """Parents of each node, in no causal order of the columns; the last ones are hidden."""
    count = observed + hidden
    order = rng.permutation(count)
    share = degree / (count - 1)
    parents = {int(node): set() for node in order}
    for first, second in combinations(order.tolist(), 2):
        if second < observed and rng.random() < (2 * share if first >= observed else share):
            parents[second].add(first)
    return parents


def d_separation(parents):
    """1.0 where x and y are d-separated by given: apart in the moral graph of the ancestors."""

    def p_value(x, y, given):
        waiting = [x, y, *given]
        kept = set()
        while waiting:
            node = waiting.pop()
            if node not in kept:
                kept.add(node)
                waiting.extend(parents[node])
        near = {node: set() for node in kept}
        for child in kept:
            for one, other in combinations([child, *parents[child]], 2):
                near[one].add(other)
                near[other].add(one)
        reached, waiting = set(given), [x]
        while waiting:
            node = waiting.pop()
            if node not in reached:
                reached.add(node)
                waiting.extend(near[node])
        return float(y not in reached)

    return OneByOne(p_value)


def linear_data(rng, parents, observed, rows):
    """Rows of a linear Gaussian world with these parents, its observed columns."""
    values, waiting = {}, list(parents)
    while waiting:
        node = next(one for one in waiting if parents[one] <= set(values))
        waiting.remove(node)
        weights = {one: rng.uniform(0.3, 1.0) * rng.choice([-1, 1]) for one in parents[node]}
        values[node] = rng.standard_normal(rows) + sum(
            weight * values[one] for one, weight in weights.items()
        )
    return np.column_stack([values[one] for one in range(observed)])


def fisher_z(data):
    """causal-learn's own test on the data."""
    return OneByOne(CIT(data, "fisherz"))


@contextlib.contextmanager
def placed_nodes():
    """Let causal-learn's nodes hash by position, so that it walks a set alike in every run."""
    by_name = GraphNode.__hash__
    GraphNode.__hash__ = lambda node: int(node.name.lstrip("X")) - 1
    try:
        yield
    finally:
        GraphNode.__hash__ = by_name


def causal_learn_fci(test, count, alpha=0.05, depth=-1, largest=None):
    """The end marks that causal-learn's own `fci` gives.

    Args:
        largest: bound on the sets of its possible-d-sep search, which has no such option.
    """
    subsets = FCI.DepthChoiceGenerator
    if largest is not None:
        FCI.DepthChoiceGenerator = lambda a, b: subsets(a, min(b, largest))
    try:
        with placed_nodes(), contextlib.redirect_stdout(io.StringIO()):
            graph, _ = FCI.fci(
                np.zeros((count + 1, count)),
                causal_learn.TEST_NAME,
                alpha,
                depth=depth,
                show_progress=False,
                test=test.p_value,
            )
    finally:
        FCI.DepthChoiceGenerator = subsets
    return graph.graph
