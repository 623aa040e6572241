"""How firmly the data holds each edge: its frequency over resampled lineages."""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from scripts.causal.graph.citest import Encoded, WilksTest, kish
from scripts.causal.graph.descent import Descent
from scripts.causal.graph.fci import Engine, run_fci
from scripts.causal.graph.pag import Pag
from scripts.causal.graph.schema import PairFrequency

WORTH_WORKERS = 8.0  # seconds of work; a process takes about 2 to import what it needs
TASKS_PER_WORKER = 4  # chunks handed to each, so that a slow resample holds up little


def effective_rows(weights: NDArray[np.float64], clusters: int) -> float:
    """Return how many independent rows a resample of clusters is taken for.

    Kish's number, which halves them, leaves a frequency below the chance that the edge is there;
    all rows put it far above. The geometric mean of the two lies between: expected calibration
    error 0.035 against 0.047 and 0.053 (latent), 0.066 against 0.070 and 0.085 (missing; five
    worlds of each class in benchmarks/worlds.py). Where rows copy each other, in worlds of
    lineage, every number above Kish's is worse, and so clusters are counted, not rows; but what
    rows have beyond their parents (`descent`) is their own, and there rows are counted.
    """
    return math.sqrt(kish(weights) * min(clusters, len(weights)))


@dataclass(frozen=True)
class _Resampling:
    """All that a worker needs to know; the same for every resample."""

    encoded: Encoded
    descent: Descent | None
    owner: NDArray[np.intp]  # cluster of each row
    tiers: Mapping[str, int]
    alpha: float
    depth: int
    engine: Engine

    def pag(self, drawn: NDArray[np.intp]) -> Pag:
        """Return the PAG of the clusters drawn; none over fewer than two columns to compare."""
        weights = np.bincount(drawn, minlength=len(drawn))[self.owner].astype(float)
        allowed: Sequence[int] = range(len(self.encoded.names))
        if self.descent is not None:
            weights *= self.descent.known
            allowed = self.descent.kept
        kept = WilksTest(self.encoded, weights).separable() if weights.any() else []
        kept = [one for one in kept if one in allowed]
        if len(kept) < 2:
            return Pag((), ())
        tiers = {name: self.tiers[name] for name in (self.encoded.names[one] for one in kept)}
        return run_fci(
            self._test(weights, kept, tiers, len(drawn)),
            alpha=self.alpha,
            depth=self.depth,
            tiers=tiers,
            engine=self.engine,
        )

    def _test(
        self,
        weights: NDArray[np.float64],
        kept: Sequence[int],
        tiers: Mapping[str, int],
        clusters: int,
    ) -> WilksTest:
        if self.descent is None:
            rows = effective_rows(weights, clusters)
            return WilksTest(self.encoded.subset(kept), weights, rows)
        rows = effective_rows(weights, self.descent.rows)
        return self.descent.test(tiers, weights, rows, kept)


_worker: _Resampling | None = None


def _start_worker(resampling: _Resampling) -> None:
    global _worker
    _worker = resampling


def _worker_pag(drawn: NDArray[np.intp]) -> Pag:
    assert _worker is not None
    return _worker.pag(drawn)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes started here use one thread each for linear algebra."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _pags(
    resampling: _Resampling, draws: Sequence[NDArray[np.intp]], workers: int
) -> Iterator[Pag]:
    """Yield the PAG of each draw, in order.

    The first is computed here, to see whether the rest is worth the start of processes.
    """
    here = 1 if workers > 1 else len(draws)
    start = time.perf_counter()
    yield from map(resampling.pag, draws[:here])
    draws = draws[here:]
    if not draws or len(draws) * (time.perf_counter() - start) < WORTH_WORKERS:
        yield from map(resampling.pag, draws)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(draws)),
        mp_context=multiprocessing.get_context("spawn"),  # safe beside torch's threads
        initializer=_start_worker,
        initargs=(resampling,),
    )
    with pool:
        chunk = max(1, len(draws) // (workers * TASKS_PER_WORKER))
        with _one_thread_each():
            pags = pool.map(_worker_pag, draws, chunksize=chunk)
        yield from pags


def edge_frequencies(
    encoded: Encoded,
    clusters: Sequence[str],
    *,
    tiers: Mapping[str, int],
    alpha: float,
    depth: int,
    bootstraps: int,
    seed: int,
    workers: int = 1,
    engine: Engine = "own",
    descent: Descent | None = None,
    progress: Callable[[float], None] | None = None,
) -> tuple[PairFrequency, ...]:
    """Return how often each pair is adjacent when whole lineage clusters are drawn again.

    A variable that a resample leaves constant, or makes a copy of one before it, is left out of
    that resample, and its pairs are counted over the other resamples only. A cluster drawn twice
    weighs twice without counting as new evidence (see `effective_rows`).

    Args:
        encoded: the encoded table.
        clusters: lineage label per row.
        tiers: variable → place in time.
        alpha, depth, engine: as in `run_fci`.
        bootstraps: number of resamples.
        seed: of the resampling.
        workers: processes at most; more than one needs a main module that is safe to import
            (guarded by ``if __name__ == "__main__"``). The result does not depend on it.
        descent: the table beside its parents', to count only what rows have beyond them.
        progress: told the fraction done.
    """
    labels, owner = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    generator = np.random.default_rng(seed)
    draws = [generator.integers(len(labels), size=len(labels)) for _ in range(bootstraps)]
    resampling = _Resampling(encoded, descent, owner, dict(tiers), alpha, depth, engine)
    adjacent: Counter[tuple[str, str]] = Counter()
    arrows: Counter[tuple[str, str]] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    for turn, pag in enumerate(_pags(resampling, draws, workers)):
        together.update(combinations(pag.nodes, 2))
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
