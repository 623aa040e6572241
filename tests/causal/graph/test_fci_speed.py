import json

import numpy as np
import pytest
from causallearn.utils.cit import CIT

from benchmarks import fci_speed


def data(count=7, rows=300, seed=1):
    rng = np.random.default_rng(seed)
    columns = [rng.standard_normal(rows)]
    for _ in range(count - 1):
        columns.append(rng.standard_normal(rows) + 0.7 * columns[rng.integers(len(columns))])
    return np.column_stack(columns)


def test_fisher_z_is_causal_learns():
    ours, theirs = fci_speed.FisherZ(data()), CIT(data(), "fisherz")
    for x, y, given in [(0, 1, []), (2, 5, [1]), (6, 3, [0, 4, 5])]:
        assert ours.p_value(x, y, given) == pytest.approx(theirs(x, y, given), abs=1e-12)


def test_no_mark_differs_from_causal_learns():
    row = fci_speed.beside_causal_learn(data(), unbounded=True)
    assert row["marks"] > 0
    assert row["marks_differing_from_causal_learn"] == 0
    assert row["marks_differing_from_causal_learn_d2"] == 0


def test_the_last_line_is_json(monkeypatch, capsys):
    monkeypatch.setattr(fci_speed, "BOOTSTRAPS", 1)
    fci_speed.main(sizes="4", json_only=True)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["marks_differing"] == 0
    assert told["sizes"][0]["variables"] == 4
