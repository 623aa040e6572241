"""Nats per token into bits per byte, by the one ratio that a submission states itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

from scripts.causal.leaderboard.document import Document, Table
from scripts.causal.leaderboard.found import json_number
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.tables import cell

_LOSS_AND_BPB = re.compile(
    r"val_loss\W{1,4}(\d\.\d{3,10})\W{1,6}(?:final_)?val_bpb\W{1,4}(\d\.\d{3,10})", re.IGNORECASE
)
_LOSS = re.compile(r"\b(?:val|eval|validation|final)[_ ]loss\b|^\W*loss\W*$", re.IGNORECASE)
LEAST, MOST = 0.15, 1.5
"""Between a vocabulary of many long tokens and one byte per token, which is 1 / ln 2."""


def loss_columns(table: Table) -> tuple[int, ...]:
    """Columns of validation losses, for a table that states no score in bits per byte."""
    return tuple(
        index
        for index, title in enumerate(table.header)
        if index
        and _LOSS.search(title)
        and sum(bool(re.match(r"\W{0,4}\d\.\d{3}", cell(row, index))) for row in table.rows) >= 2
    )


def in_nats(ablations: Sequence[Ablation]) -> list[Ablation]:
    """Return contrasts of losses with the unit they are in."""
    return [one.model_copy(update={"unit": "nats"}) for one in ablations]


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
