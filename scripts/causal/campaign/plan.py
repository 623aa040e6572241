"""The form of ``plan.json``: what a campaign was asked to do, written before it runs anything."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from scripts.causal.campaign.schema import MatchedBy, Value
from scripts.causal.forms import Record

ScreenDesign = Literal["one-at-a-time", "factorial"]
Count = Annotated[int, Field(ge=1)]


class CampaignPlan(Record):
    """The options of a campaign, all that its decisions depend on, and its expected cost.

    Attributes:
        name: name of the campaign, which is the name of its folder.
        records: the folder the submissions are read from.
        trainer: registered name of the trainer.
        backend: where and in what precision the runs are computed.
        scale: name of the reduction, as the trainer knows it.
        overrides: configuration fields replaced in both arms, on top of the scale.
        data: folder of the tokenized data set; None for the trainer's embedded default.
        matched_by: what control and treatment have in common: flops, steps or wall_time.
        alpha: family-wise error rate of the whole campaign, split over the cycles.
        mde: smallest effect in bpb that matters; the bounds of the equivalence test.
        max_per_cycle: most contrasts screened in a cycle.
        max_confirm: most contrasts taken to fresh seeds in a cycle.
        screen_seeds: seeds every chosen contrast is screened on.
        confirm_seeds: fresh seeds that decide the first cycle; each later one has as many others.
        screen_design: one-at-a-time, or factorial: all changes of a cycle that go together.
        looks: at how many points of them a contrast may be decided, the last one included.
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
    overrides: dict[str, Value]
    data: str | None = None
    matched_by: MatchedBy
    alpha: Annotated[float, Field(gt=0, lt=1)]
    mde: Annotated[float, Field(gt=0)]
    max_cycles: Count
    max_per_cycle: Count
    max_confirm: Count
    screen_seeds: tuple[int, ...]
    confirm_seeds: tuple[int, ...]
    looks: Count = 1
    created: date
    planned_runs: Annotated[int, Field(ge=0)]
    planned_flops: Annotated[float, Field(ge=0)]
    seconds_estimate: Annotated[float, Field(ge=0)] | None = None
    code_version: str
    screen_design: ScreenDesign = "one-at-a-time"
