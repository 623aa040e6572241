"""Selection: most worth first, one contrast per variable, nothing twice, and a reason for each."""

import pytest

from interventions.catalog import load_catalog
from scripts.causal.files import InputError
from scripts.causal.graph.schema import (
    CausalDag,
    Edge,
    Estimate,
    FciSettings,
    IdentifiabilityReport,
    Level,
)
from scripts.causal.select_interventions import Setting, select
from trainers.api import load_trainer

REPORT = IdentifiabilityReport(outcome="bpb", variables=())
CATALOG = load_catalog()


def graph(**effects: tuple[Level, Level, float]) -> CausalDag:
    """A graph in which each variable has one narrow reported estimate: its levels and effect."""
    edges = tuple(
        Edge(
            source=variable,
            target="bpb",
            source_mark="tail",
            target_mark="arrow",
            origin="data",
            tag="uncertain",
            frequency=0.5,
            estimates=(
                Estimate(
                    source="reported",
                    before=before,
                    after=after,
                    effect=effect,
                    low=effect - 0.0001,
                    high=effect + 0.0001,
                    n=9,
                ),
            ),
        )
        for variable, (before, after, effect) in effects.items()
    )
    settings = FciSettings(
        test="t",
        alpha=0.05,
        depth=2,
        bootstraps=1,
        cluster="lineage",
        submissions=9,
        clusters=9,
        seed=0,
    )
    return CausalDag(
        outcome="bpb",
        nodes=(),
        edges=edges,
        fci=settings,
        set_aside=(),
        imputed={},
        statement="",
    )


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting(load_trainer("gpt"), "tiny", "flops", {})


def names(selection) -> list[str]:
    return [contrast.id for contrast in selection.contrasts]


def test_what_the_evidence_favours_comes_first(setting):
    dag = graph(activation=("relu_sq", "gelu", -0.02), logit_softcap=(30, 20, 0.02))
    chosen = select(dag, REPORT, CATALOG, setting, limit=1)
    assert names(chosen) == ["activation_gelu"]
    assert "reported -0.0200" in chosen.contrasts[0].reason
    assert "TFLOP a pair" in chosen.contrasts[0].reason


def test_every_variable_has_its_turn_before_one_has_two(setting):
    dag = graph(activation=("relu_sq", "gelu", -0.02))
    chosen = select(dag, REPORT, CATALOG, setting, limit=6)
    variables = [contrast.variable for contrast in chosen.contrasts]
    assert len(set(variables)) == 6
    later = select(dag, REPORT, CATALOG, setting, limit=1, tested={"activation_silu"})
    assert later.contrasts[0].variable != "activation"


def test_nothing_is_chosen_twice_and_everything_left_out_has_its_reason(setting):
    tested = {"softcap_20", "mlp_3x"}
    chosen = select(graph(), REPORT, CATALOG, setting, limit=3, tested=tested)
    assert not tested & set(names(chosen))
    assert set(names(chosen)) | set(chosen.passed_over) == set(CATALOG)
    assert chosen.passed_over["softcap_20"] == "already tested in this campaign"


def test_arms_differ_in_what_the_intervention_names_and_cost_the_same(setting):
    everything = select(graph(), REPORT, CATALOG, setting, limit=len(CATALOG))
    for contrast in everything.contrasts:
        differing = {
            name for name in contrast.control if contrast.control[name] != contrast.treatment[name]
        }
        schedule = {"iterations", "warmdown_iters", "muon_momentum_warmup_steps"}
        assert differing - schedule == set(contrast.changes)
        cost = [
            setting.trainer.flops_per_step(arm) * arm["iterations"]
            for arm in (contrast.control, contrast.treatment)
        ]
        assert cost[1] == pytest.approx(cost[0], rel=0.05)


def test_a_cycle_of_no_contrasts_is_refused(setting):
    with pytest.raises(InputError, match="at least one contrast"):
        select(graph(), REPORT, CATALOG, setting, limit=0)
