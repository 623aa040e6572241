"""What a README puts forward as new names its margin over what it is built on."""

from __future__ import annotations

import pytest

from scripts.causal.leaderboard.ablations import read_ablations
from scripts.causal.leaderboard.document import parse_document
from scripts.causal.leaderboard.novelty import novelty_of

MARGIN = "Merged SOTA (PR #77): **1.0910 BPB**. Delta: **-0.0042 BPB**."


def found(text: str) -> list[tuple[str, float]]:
    return [(a.variable, a.delta) for a in read_ablations(parse_document(text), final=1.0868)]


@pytest.mark.parametrize(
    "heading",
    [
        "# Record: SLOT on PR #77",
        "# PR #77 + SLOT (one seed)",
        "# Record: SP8192 + SLOT — val_bpb 1.0868",
        "# Our stack, again\n\n## Key Innovation: SLOT, a shift of the hidden state",
        "# Stack + Muon + EMA\n\n### 2. The Single Change: SLOT",
    ],
)
def test_a_margin_over_the_base_is_named_by_what_is_new(heading: str) -> None:
    assert found(f"{heading}\n\n{MARGIN}\n") == [("slot", -0.0042)]


@pytest.mark.parametrize(
    "heading",
    [
        "# Record: SLOT + EMA + Muon",
        "# Record: Loader + SLOT",
        "# Our stack\n\n## Key Innovations: SLOT",
        "# Our stack\n\n## Key Innovation: SLOT\n\n## Key Innovation: EMA",
        "# Our stack\n\n## Key Innovation: SLOT and EMA",
    ],
)
def test_of_several_things_none_names_the_margin(heading: str) -> None:
    assert novelty_of(parse_document(f"{heading}\n")) is None
    assert found(f"{heading}\n\n{MARGIN}\n") == [("other:bundle", -0.0042)]


def test_what_changes_bring_together_keeps_its_name() -> None:
    text = "# SLOT on PR #77\n\nAll three of this run together give -0.012 BPB.\n"
    assert found(text) == [("other:bundle", -0.012)]
