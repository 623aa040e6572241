import math
import os
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from scripts.causal.graph import bootstrap
from scripts.causal.graph.bootstrap import _one_thread_each, edge_frequencies
from scripts.causal.graph.citest import WilksTest, encode_table
from scripts.causal.graph.fci import run_fci


def frequencies(table, clusters, **changes):
    settings = {
        "tiers": dict.fromkeys(table.columns, 0),
        "alpha": 0.05,
        "depth": 2,
        "bootstraps": 30,
        "seed": 1,
        **changes,
    }
    found = edge_frequencies(encode_table(table), clusters, **settings)
    return {(one.a, one.b): one for one in found}


def table(n=80, seed=0):
    rng = np.random.default_rng(seed)
    a, b, c = rng.standard_normal((3, n))
    return pd.DataFrame({"a": a, "b": b, "c": a + 0.5 * c})


def test_a_true_edge_is_frequent_and_a_false_one_is_not():
    found = frequencies(table(), [str(i) for i in range(80)])
    assert found["a", "c"].frequency > 0.9
    others = [one.frequency for pair, one in found.items() if pair != ("a", "c")]
    assert max(others, default=0.0) < 0.4
    assert found["a", "c"].resamples == 30


def test_the_seed_decides():
    clusters = [str(i) for i in range(80)]
    once = frequencies(table(seed=3), clusters, alpha=0.2)
    assert once == frequencies(table(seed=3), clusters, alpha=0.2)
    assert once != frequencies(table(seed=3), clusters, alpha=0.2, seed=2)


def test_families_are_drawn_whole():
    # Ten copies of eight rows: independent rows would make any chance edge firm.
    rng = np.random.default_rng(4)
    few = pd.DataFrame({"a": rng.standard_normal(8), "b": rng.standard_normal(8)})
    many = pd.concat([few] * 10, ignore_index=True) + 1e-6 * rng.standard_normal((80, 2))
    alone = frequencies(many, [str(i) for i in range(80)], alpha=0.3)
    families = frequencies(many, [str(i % 8) for i in range(80)], alpha=0.3)
    assert alone != families


def test_a_resample_in_which_a_column_is_constant_does_not_count():
    rng = np.random.default_rng(5)
    rows = pd.DataFrame({"rare": ["x"] * 4 + ["y"] * 36, "z": rng.standard_normal(40)})
    rows.loc[:3, "z"] += 5
    found = frequencies(rows, ["family"] * 4 + [str(i) for i in range(36)])
    assert found["rare", "z"].resamples < 30
    assert found["rare", "z"].frequency > 0.5


def test_arrowheads_are_counted_at_their_end():
    found = frequencies(table(), [str(i) for i in range(80)], tiers={"a": 0, "b": 0, "c": 1})
    edge = found["a", "c"]
    assert edge.arrow_b == edge.frequency
    assert edge.arrow_a <= edge.frequency


def test_progress_reaches_one():
    told = []
    frequencies(table(), ["f"] * 40 + ["g"] * 40, bootstraps=3, progress=told.append)
    assert told[-1] == 1.0


def test_the_number_of_workers_does_not_matter(monkeypatch):
    monkeypatch.setattr(bootstrap, "WORTH_WORKERS", 0.0)
    clusters = [str(i) for i in range(80)]
    alone = frequencies(table(seed=3), clusters, alpha=0.2, bootstraps=6)
    told = []
    shared = frequencies(
        table(seed=3), clusters, alpha=0.2, bootstraps=6, workers=2, progress=told.append
    )
    assert shared == alone
    assert told == pytest.approx([(turn + 1) / 6 for turn in range(6)])


def test_no_process_is_started_for_little_work(monkeypatch):
    monkeypatch.setattr(bootstrap, "ProcessPoolExecutor", None)
    clusters = [str(i) for i in range(80)]
    alone = frequencies(table(seed=3), clusters, bootstraps=6)
    assert frequencies(table(seed=3), clusters, bootstraps=6, workers=2) == alone


def test_workers_leave_the_environment_as_it_was(monkeypatch):
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with _one_thread_each():
        assert os.environ["MKL_NUM_THREADS"] == os.environ["OMP_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ


def test_no_resample_gives_no_frequency():
    assert frequencies(table(), [str(i) for i in range(80)], bootstraps=0) == {}


def test_each_resample_is_the_graph_of_its_weights():
    rows, clusters = table(n=60, seed=6), [str(i // 2) for i in range(60)]
    found = frequencies(rows, clusters, bootstraps=5, seed=7)
    generator = np.random.default_rng(7)
    expected = Counter()
    for _ in range(5):
        counts = np.bincount(generator.integers(30, size=30), minlength=30)
        # Clusters are numbered in the order of their labels.
        weights = np.array([counts[sorted(set(clusters)).index(one)] for one in clusters])
        # 30 clusters of 2 rows: between Kish's number and 30.
        told = math.sqrt(weights.sum() ** 2 / (weights**2).sum() * 30)
        test = WilksTest(encode_table(rows), weights.astype(float), told)
        pag = run_fci(test, alpha=0.05, depth=2, engine="causal-learn")
        expected.update((edge.a, edge.b) for edge in pag.edges)
    assert {pair: round(5 * one.frequency) for pair, one in found.items()} == expected
