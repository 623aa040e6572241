"""Nats per token into bits per byte, by the one ratio that a submission states itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

from scripts.causal.leaderboard.document import Document
from scripts.causal.leaderboard.found import json_number
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.submission_json import Fact

_LOSS_AND_BPB = re.compile(
    r"val_loss\W{1,4}(\d\.\d{3,10})\W{1,6}(?:final_)?val_bpb\W{1,4}(\d\.\d{3,10})", re.IGNORECASE
)
LEAST, MOST = 0.15, 1.5
"""Between a vocabulary of many long tokens and one byte per token, which is 1 / ln 2."""


def bpb_per_nat(document: Document, facts: Sequence[Fact]) -> float | None:
    """Return val_bpb / val_loss of one evaluation; None where no such pair is stated."""
    top = {fact.key: json_number(fact) for fact in facts if len(fact.path) == 1}
    bpb, loss = top.get("val_bpb"), top.get("val_loss")
    if not (bpb and loss) and "val_loss" in document.text:
        match = _LOSS_AND_BPB.search(document.text)
        loss, bpb = (float(match.group(1)), float(match.group(2))) if match else (None, None)
    return bpb / loss if bpb and loss and LEAST < bpb / loss < MOST else None


def with_bpb(
    ablations: Sequence[Ablation], document: Document, facts: Sequence[Fact]
) -> list[Ablation]:
    """Return the contrasts, those in nats with their delta in bits per byte where it is known."""
    if all(one.unit == "bpb" for one in ablations):
        return list(ablations)
    ratio = bpb_per_nat(document, facts)
    if ratio is None:
        return list(ablations)
    return [
        one if one.unit == "bpb" else one.model_copy(update={"delta_bpb": one.delta * ratio})
        for one in ablations
    ]
