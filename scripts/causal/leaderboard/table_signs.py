"""The sign of a table's numbers, whatever its author calls better."""

from __future__ import annotations

import re

from scripts.causal.leaderboard.contrasts import (
    BETTER,
    GAIN,
    WORSE,
    Reading,
    at_line,
    author_sign,
)
from scripts.causal.leaderboard.document import Row, Table
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.tables import Columns, cell, cell_delta
from scripts.causal.leaderboard.techniques import variables_in

_ALWAYS_BETTER = "sliding_window_eval"  # the same weights see more context
_SURE = 0.01  # bpb: less may be the step from one stride to another


def flipped_by(reading: Reading, table: Table, columns: Columns) -> bool:
    """Whether this table's author writes improvements as positive numbers."""
    sign = author_sign(table, columns)
    if sign is not None:
        return sign < 0
    known = [
        delta
        for row in table.rows
        if {name for name, _, _ in variables_in(cell(row, columns.label))} == {_ALWAYS_BETTER}
        and abs(delta := cell_delta(row, columns.delta[-1]) or 0.0) >= _SURE
        and re.match(r"\W{0,3}[+-]", cell(row, columns.delta[-1]))
    ]
    return min(known) > 0 if known else reading.positive_is_better


def signed(delta: float, text: str, title: str, flipped: bool) -> float:
    """Turn a cell's number into treatment minus control."""
    worse = WORSE.search(text)
    gains = bool(GAIN.search(title)) and not re.search("vs|Δ|delta", title, re.I)
    if not re.search(r"[+-]\s?\d", text):
        if worse:
            return abs(delta)
        return -abs(delta) if gains or flipped or BETTER.search(text) else delta
    if flipped:
        return -delta
    if re.search(r"-\s?\d?\.\d+\W*(?:bpb )?(?:worse|regression|degradation)", text, re.I):
        return abs(delta)
    if gains and re.match(r"\W{0,3}\+", text) and not worse:
        return -abs(delta)
    return delta


def gap_sign(variable: str, delta: float, text: str, flipped: bool) -> float:
    """Turn a stage's gain or gap, as its column writes it, into treatment minus control."""
    if variable == "ttt" and not re.search(r"[+-]\s?\d", text):
        return -abs(delta)
    if variable == "ttt" and delta > 0 and re.match(r"\W{0,3}\+", text):
        return -delta  # a gain written as a gain
    return -delta if flipped and variable != "quant_bits" else delta


def gap_contrast(
    reading: Reading,
    row: Row,
    stage: tuple[str, str, str],
    delta: float,
    text: str,
    flipped: bool,
    unit: str = "bpb",
) -> Ablation:
    """Return the contrast of one run before and after a stage: variable, control, treatment."""
    variable, control, treatment = stage
    return at_line(
        reading,
        row.line,
        variable=variable,
        control=control,
        treatment=treatment,
        delta=gap_sign(variable, delta, text, flipped),
        unit=unit,
    )


def penalty_variable(title: str) -> tuple[str, str, str] | None:
    """The stage contrast a column reports of every row's run, such as "Quant gap"."""
    if re.search(
        r"\bquant\w*\W{0,3}(?:gap|penalty|degradation|cost|loss|delta|damage)|"
        r"^\W*(?:RT |roundtrip )?gap\b(?!.*\b(?:to|vs|from|over|with|baseline|SOTA|record|PR)\b)",
        title,
        re.I,
    ):
        return "quant_bits", "before quantization", "quantized"
    if re.search(r"\bTTT\W{0,3}(?:gain|delta|benefit|effect|improvement|recovery)", title, re.I):
        return "ttt", "none", "test-time trained"
    return None
