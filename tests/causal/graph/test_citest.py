import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from causallearn.utils.cit import CIT

from scripts.causal.graph.citest import TEST_NAME, WilksTest, encode_table
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
