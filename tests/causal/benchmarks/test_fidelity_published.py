"""Effects of other kinds of change, held against what the catalog says was published."""

from literal_results import literal_contrast, literal_result

from interventions.catalog import Claim, Intervention
from scripts.causal.campaign.schema import Interval

CATALOG = {
    one.id: one
    for one in (
        Intervention("a", "v", "", "train", claims=(Claim("PR 1", -0.01), Claim("PR 2", -0.03))),
        Intervention("b", "v", "", "train", claims=(Claim("PR 3", 0.004),)),
        Intervention("c", "v", "", "evaluate", claims=(Claim("PR 4", -0.03),)),
        Intervention("d", "v", "", "train", claims=(Claim("PR 5", note="−0.4 training loss"),)),
    )
}


def result(name, effect, low, high):
    interval = Interval(level=0.95, low=low, high=high)
    return literal_result(literal_contrast(name), "inconclusive", effect, interval=interval)


def test_signs_are_counted_by_stage_and_apart_where_they_are_clear():
    from fidelity_published import beside_published

    found = beside_published(
        [
            result("a", 0.002, -0.001, 0.005),
            result("b", 0.02, 0.01, 0.03),
            result("c", -0.01, -0.02, -0.005),
            result("d", -0.01, -0.02, -0.005),
        ],
        CATALOG,
    )
    assert found["changes"]["a"]["published"] == -0.02  # between its two
    assert "d" not in found["changes"]
    assert (found["all"]["signs_right"], found["all"]["of"]) == (2, 3)
    assert (found["all"]["clear_signs_right"], found["all"]["clear"]) == (2, 2)
    assert found["by_stage"]["train"]["signs_right"] == 1
    assert found["all"]["spearman"] is None  # of three


def test_nothing_is_said_where_nothing_was_published():
    from fidelity_published import beside_published

    assert beside_published([result("d", -0.01, -0.02, -0.005)], CATALOG) is None
