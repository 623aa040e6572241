import dataclasses

from scripts.causal.graph.schema import CombinedEffect, SourceWeight
from scripts.causal.report import render_report
from scripts.causal.reporting.beliefs import published_beliefs
from scripts.causal.reporting.campaign_files import load_campaign


def effect(variable, mean, belief, **more):
    return CombinedEffect(
        **{
            "variable": variable,
            "before": False,
            "after": True,
            "mean": mean,
            "sd": 0.001,
            "low": mean - 0.002,
            "high": mean + 0.002,
            "weights": (
                SourceWeight(source="prior", weight=0.25, effect=0.0, se=0.0, between=0.005),
                SourceWeight(
                    source="observed",
                    weight=0.75,
                    effect=mean,
                    se=0.001,
                    between=0.0,
                    words="child − parent",
                ),
            ),
            "belief": belief,
            "words": "reported -0.0100 bpb, observed and tested -0.0110 [a, b]: the data says",
            **more,
        }
    )


def with_effects(folder, *effects):
    campaign = load_campaign(folder)
    return campaign, campaign.dag.model_copy(update={"effects": effects})


def test_beliefs_stand_under_their_verdict_with_the_largest_weight_first(campaign_folder):
    _, dag = with_effects(
        campaign_folder,
        effect("qat", 0.002, "contradicted"),
        effect("ema", -0.004, "supported"),
        effect("swa", -0.006, "supported", before=0.0),
        effect("ssm", -0.006, None),
    )
    (first, title, rows), (second, _, others) = published_beliefs(dag)
    assert (first, second) == ("supported", "contradicted")
    assert title == "The data supports it"
    assert [row.change for row in rows] == ["swa: without → with", "ema: without → with"]
    assert rows[0].weights == (("observed, child − parent", 0.75), ("typical size", 0.25))
    assert rows[0].words == "reported -0.0100 bpb, observed and tested -0.0110 [a, b]"
    assert [row.change for row in others] == ["qat: without → with"]


def test_levels_are_written_as_values(campaign_folder):
    _, dag = with_effects(
        campaign_folder, effect("num_layers", -0.1, "supported", before=9.0, after=11.0)
    )
    assert published_beliefs(dag)[0][2][0].change == "num_layers: 9 → 11"


def test_the_page_holds_the_table_only_where_beliefs_are_on_file(campaign_folder):
    campaign, dag = with_effects(campaign_folder, effect("<b>ema</b>", -0.004, "supported"))
    title = "Published beliefs and what the data says"
    page = render_report(dataclasses.replace(campaign, dag=dag))
    assert title in page
    assert "<b>ema</b>" not in page
    assert "&lt;b&gt;ema" in page
    assert title not in render_report(dataclasses.replace(campaign, dag=None))
