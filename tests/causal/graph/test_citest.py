from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from causallearn.utils.cit import CIT

from scripts.causal.graph.causal_learn import TEST_NAME
from scripts.causal.graph.citest import WilksTest, encode_table
from scripts.causal.graph.encode import encode_column, normal_scores


def wilks(**columns):
    return WilksTest(encode_table(pd.DataFrame(columns)))


def rejections(draw, *, given, runs=600, alpha=0.05):
    rng = np.random.default_rng(11)
    return np.mean([wilks(**draw(rng)).p_value(0, 1, given) < alpha for _ in range(runs)])


def test_type_one_error_with_a_three_level_factor_at_45_rows():
    def draw(rng):
        z = rng.standard_normal(45)
        level = np.clip(np.round(z + rng.standard_normal(45)), -1, 1)
        names = np.array(["a", "b", "c"])[(level + 1).astype(int)]
        return {"x": names.tolist(), "y": z + rng.standard_normal(45), "z": z}

    # 600 runs of a 5 % test: 0.032 to 0.068 is ±2 standard errors.
    assert 0.032 <= rejections(draw, given=[2]) <= 0.068


def test_type_one_error_of_two_factors_given_a_third_at_40_rows():
    def draw(rng):
        c = rng.integers(2, size=40)
        x = (c + rng.integers(3, size=40)) % 3
        y = (c + rng.integers(2, size=40)) % 2
        return {name: [f"l{v}" for v in one] for name, one in zip("xyc", (x, y, c), strict=True)}

    assert rejections(draw, given=[2]) <= 0.072


def test_type_one_error_under_wild_scores():
    def draw(rng):
        return {"x": rng.integers(2, size=40).astype(str).tolist(), "y": rng.standard_cauchy(40)}

    assert 0.03 <= rejections(draw, given=[]) <= 0.07


def test_one_node_per_factor_keeps_the_edge_that_one_hot_columns_kill():
    rng = np.random.default_rng(3)
    level = rng.integers(3, size=60)
    bpb = np.array([1.20, 1.15, 1.10])[level] + 0.01 * rng.standard_normal(60)
    one_node = wilks(bits=[f"int{v}" for v in level], bpb=bpb)
    assert one_node.p_value(0, 1) < 1e-10
    dummies = np.eye(3)[level]
    full = wilks(a=dummies[:, 0], b=dummies[:, 1], c=dummies[:, 2], bpb=bpb)
    # Given the other two, a dummy says nothing; the test must not take that for independence.
    assert [full.p_value(one, 3, {0, 1, 2} - {one}) for one in range(3)] == [0.0, 0.0, 0.0]


def test_symmetric_and_cached():
    rng = np.random.default_rng(5)
    test = wilks(x=rng.standard_normal(30), y=list("abc" * 10), z=rng.standard_normal(30))
    assert test.p_value(0, 1, [2]) == test.p_value(1, 0, [2])
    assert len(test.cache) == 1


def test_agrees_with_the_f_test_of_regression():
    rng = np.random.default_rng(2)
    n = 400
    z, x = rng.standard_normal((2, n))
    y = 0.12 * x + z + rng.standard_normal(n)
    a, b, c = (normal_scores(one) for one in (x, y, z))
    fit = sm.OLS(b, sm.add_constant(np.column_stack([a, c]))).fit()
    assert wilks(x=x, y=y, z=z).p_value(0, 1, [2]) == pytest.approx(fit.pvalues[1], rel=0.05)


def test_what_the_condition_determines_cannot_be_tested_and_removes_no_edge():
    x = ["a", "b"] * 20
    y = np.random.default_rng(1).standard_normal(40)
    test = wilks(x=x, y=y, copy=[{"a": 1.0, "b": 2.0}[one] for one in x])
    assert test.p_value(0, 1, [2]) == 0.0


def test_too_few_rows_for_the_condition_remove_no_edge():
    rng = np.random.default_rng(1)
    columns = {f"c{i}": rng.standard_normal(6) for i in range(6)}
    assert wilks(**columns).p_value(0, 1, [2, 3, 4, 5]) == 0.0


def test_a_constant_column_is_refused_by_name():
    with pytest.raises(ValueError, match="'still' is constant"):
        wilks(still=[1.0] * 10, y=np.arange(10.0))


def test_copies_of_rows_are_no_new_evidence():
    rng = np.random.default_rng(8)
    table = encode_table(
        pd.DataFrame({"x": rng.standard_normal(40), "y": rng.standard_normal(40)})
    )
    once, twice = WilksTest(table), WilksTest(table, np.full(40, 2.0))
    assert twice.rows == once.rows == 40
    assert twice.p_value(0, 1) == pytest.approx(once.p_value(0, 1))


def test_the_bootstrap_keeps_the_size_of_the_test():
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(400):
        table = encode_table(
            pd.DataFrame({"x": rng.standard_normal(50), "y": rng.standard_normal(50)})
        )
        weights = np.bincount(rng.integers(50, size=50), minlength=50).astype(float)
        hits += WilksTest(table, weights).p_value(0, 1) < 0.05
    assert hits / 400 <= 0.075


def test_causal_learn_can_call_it():
    rng = np.random.default_rng(6)
    test = wilks(x=rng.standard_normal(30), y=rng.standard_normal(30))
    called = CIT(np.zeros((2, 2)), TEST_NAME, test=test.p_value)
    assert called(0, 1, ()) == test.p_value(0, 1)


def test_encoding_forgets_scale_and_drops_one_level():
    assert encode_column([1.0, 2.0, 3.0]).ravel() == pytest.approx(
        encode_column([1.0, 50.0, 1e9]).ravel()
    )
    assert encode_column(["a", "b", "c", "a"]).shape == (4, 2)
    assert encode_column(["a", "a"]).shape == (2, 0)
    assert encode_column([4.0, 4.0]).shape == (2, 0)


def mixed(rng, n=150):
    """Numbers, levels, a flag, a close copy and a level that others determine."""
    a, b, c = rng.standard_normal((3, n))
    level = np.digitize(a + rng.standard_normal(n), [-1, 0, 1])
    flag = b + rng.standard_normal(n) > 0
    return {
        "a": a,
        "b": b + 0.5 * a,
        "level": [f"l{one}" for one in level],
        "flag": [str(one) for one in flag],
        "near": a + 0.01 * c,
        "both": [f"{one}{two}" for one, two in zip(level, flag, strict=True)],
        "c": c,
    }


def every_test(count, size):
    found = [
        (x, y, *given)
        for x, y in combinations(range(count), 2)
        for given in combinations(sorted(set(range(count)) - {x, y}), size)
    ]
    return np.array(found)


@pytest.mark.parametrize("size", range(5))
@pytest.mark.parametrize("weighted", [False, True])
def test_many_tests_at_once_give_what_each_gives(size, weighted):
    rng = np.random.default_rng(20 + size)
    weights = rng.integers(0, 3, size=150).astype(float) if weighted else None
    test = WilksTest(encode_table(pd.DataFrame(mixed(rng))), weights)
    tests = every_test(7, size)
    together = test.p_values(tests[:, 0], tests[:, 1], tests[:, 2:])
    alone = [test.p_value(int(x), int(y), given) for x, y, *given in tests.tolist()]
    assert together == pytest.approx(alone, rel=1e-7, abs=1e-10)
    assert np.ptp(together) > 0.5


def test_what_determinants_cannot_judge_is_tested_alone():
    # The level and the flag are functions of both; with it no determinant is positive.
    test = wilks(**mixed(np.random.default_rng(9)))
    level, flag, both = np.array([[2], [3], [5]])
    assert test.p_values(level, both, flag[:, None]) == [0.0]
    assert (2, 5, (3,)) in test.cache


def test_a_test_is_the_same_whatever_was_asked_before():
    rng = np.random.default_rng(30)
    table = encode_table(pd.DataFrame(mixed(rng)))
    tests = every_test(7, 2)
    shuffled = rng.permutation(len(tests))
    whole, parts = WilksTest(table), WilksTest(table)
    at_once = whole.p_values(tests[:, 0], tests[:, 1], tests[:, 2:])
    for place in shuffled:
        x, y, *given = tests[place]
        part = parts.p_values(np.array([y]), np.array([x]), np.array([given[::-1]]))
        assert part[0] == at_once[place]
