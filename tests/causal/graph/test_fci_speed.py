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
    table = fci_speed.beside_causal_learn(data(), unbounded=True)
    assert set(table) == {"causal-learn", "causal-learn, bounded"}
    for theirs in table.values():
        same = theirs["readings"]["the same"]
        assert same["of"] > 0
        assert same["marks"] == 0


def test_what_marks_differ_in():
    none, arrow, circle, tail = 0, 1, 2, -1
    ours = np.array([[none, circle, arrow], [tail, none, none], [arrow, none, none]])
    theirs = np.array([[none, arrow, none], [arrow, none, tail], [none, circle, none]])
    assert fci_speed.differing(ours, theirs) == {
        "marks": 6,
        "of": 4,
        "edges_only_ours": 1,
        "edges_only_theirs": 1,
        "left_open": 1,
        "settled": 0,
        "contrary": 1,
    }


def test_the_last_line_is_json(monkeypatch, capsys):
    monkeypatch.setattr(fci_speed, "BOOTSTRAPS", 1)
    fci_speed.main(sizes="4", json_only=True)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["marks_differing"] == 0
    assert told["sizes"][0]["variables"] == 4
