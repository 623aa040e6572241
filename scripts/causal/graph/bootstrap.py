"""How firmly the data holds each edge: its frequency over resampled lineages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np

from scripts.causal.graph.citest import Encoded, WilksTest
from scripts.causal.graph.fci import run_fci
from scripts.causal.graph.schema import PairFrequency


def edge_frequencies(
    encoded: Encoded,
    clusters: Sequence[str],
    *,
    tiers: Mapping[str, int],
    alpha: float,
    depth: int,
    bootstraps: int,
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> tuple[PairFrequency, ...]:
    """Return how often each pair is adjacent when whole lineage clusters are drawn again.

    A variable that a resample leaves constant, or makes a copy of one before it, is left out of
    that resample, and its pairs are counted over the other resamples only. A cluster drawn twice
    weighs twice without counting as new evidence (see `WilksTest`), which halves the effective
    number of rows: frequencies err on the side of too low.

    Args:
        encoded: the encoded table.
        clusters: lineage label per row.
        tiers: variable → place in time.
        alpha, depth: as in `run_fci`.
        bootstraps: number of resamples.
        seed: of the resampling.
        progress: told the fraction done.
    """
    labels = sorted(set(clusters))
    owner = np.array([labels.index(label) for label in clusters])
    generator = np.random.default_rng(seed)
    adjacent: Counter[tuple[str, str]] = Counter()
    arrows: Counter[tuple[str, str]] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    for turn in range(bootstraps):
        drawn = generator.integers(len(labels), size=len(labels))
        weights = np.bincount(drawn, minlength=len(labels))[owner].astype(float)
        test = WilksTest(encoded, weights)
        kept = test.separable()
        if len(kept) > 1:
            names = [encoded.names[one] for one in kept]
            pag = run_fci(
                WilksTest(encoded.subset(kept), weights),
                alpha=alpha,
                depth=depth,
                tiers={name: tiers[name] for name in names},
            )
            together.update(combinations(names, 2))
            adjacent.update((edge.a, edge.b) for edge in pag.edges)
            arrows.update((edge.a, edge.b) for edge in pag.edges if edge.mark_a == "arrow")
            arrows.update((edge.b, edge.a) for edge in pag.edges if edge.mark_b == "arrow")
        if progress is not None:
            progress((turn + 1) / bootstraps)
    return tuple(
        PairFrequency(
            a=a,
            b=b,
            frequency=count / together[a, b],
            arrow_a=arrows[a, b] / together[a, b],
            arrow_b=arrows[b, a] / together[a, b],
            resamples=together[a, b],
        )
        for (a, b), count in sorted(adjacent.items())
    )
