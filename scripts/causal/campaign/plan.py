"""The form of ``plan.json``: what a campaign was asked to do, written before it runs anything."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from scripts.causal.forms import Record


class CampaignPlan(Record):
    """The options of a campaign and what they were expected to cost.

    Attributes:
        name: name of the campaign, which is the name of its folder.
        records: the folder or address the submissions were read from.
        trainer: registered name of the trainer.
        backend: where and in what precision the runs are computed.
        scale: name of the reduction, as the trainer knows it.
        matched_by: what control and treatment have in common, flops or steps.
        alpha: family-wise error rate of the whole campaign, split over the cycles.
        mde: smallest effect in bpb that matters; the bounds of the equivalence test.
        screen_seeds: how many seeds a contrast is screened on.
        confirm_seeds: how many fresh seeds a contrast is confirmed on.
        created: day the plan was made (in UTC).
        planned_runs: training runs the plan may come to, shared controls counted once.
        planned_flops: training FLOPs of those runs.
        seconds_estimate: their expected duration on this machine; None where not estimated.
        code_version: version of the code that planned the campaign.
    """

    schema_version: Literal[1] = 1
    name: str
    records: str
    trainer: str
    backend: str
    scale: str
    matched_by: Literal["flops", "steps"]
    alpha: Annotated[float, Field(gt=0, lt=1)]
    mde: Annotated[float, Field(gt=0)]
    max_cycles: Annotated[int, Field(ge=1)]
    max_per_cycle: Annotated[int, Field(ge=1)]
    screen_seeds: Annotated[int, Field(ge=1)]
    confirm_seeds: Annotated[int, Field(ge=2)]
    created: date
    planned_runs: Annotated[int, Field(ge=0)]
    planned_flops: Annotated[float, Field(ge=0)]
    seconds_estimate: Annotated[float, Field(ge=0)] | None = None
    code_version: str
