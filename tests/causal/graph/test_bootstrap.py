import numpy as np
import pandas as pd

from scripts.causal.graph.bootstrap import edge_frequencies
from scripts.causal.graph.citest import encode_table


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
