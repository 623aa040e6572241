from pathlib import Path

from scripts.causal.campaign.schema import ContrastRuns
from scripts.causal.reporting.campaign_files import load_campaign
from scripts.causal.reporting.cost import campaign_cost


def test_shared_controls_are_counted_once(campaign_folder: Path) -> None:
    cost = campaign_cost(load_campaign(campaign_folder).runs)
    assert cost.arms == 28
    assert cost.runs == 19  # 5 control seeds, 3 + 3 + 3 + 2 + 2 treatments, 1 failed
    assert cost.shared_controls == 4  # seeds 1, 11, 12 and 13
    assert cost.failed == 1
    assert cost.flops == 18 * 8.2e12
    assert cost.tokens_per_parameter == (20.0, 20.0)


def test_training_that_both_arms_share_is_counted_once(campaign_folder: Path) -> None:
    leaky = load_campaign(campaign_folder).runs[0]
    quantizer = ContrastRuns(
        contrast=leaky.contrast.model_copy(update={"stage": "quantize"}),
        phase=leaky.phase,
        pairs=leaky.pairs,
    )
    cost = campaign_cost([quantizer])
    assert cost.runs == 6
    assert cost.tokens == 3 * 5_242_880


def test_no_runs_cost_nothing_and_claim_nothing() -> None:
    cost = campaign_cost([])
    assert cost.runs == 0
    assert cost.flops is None
    assert cost.tokens_per_parameter is None
