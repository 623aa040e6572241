"""The learning rate of each architecture: the table in `rates.toml`, and the rule behind it.

Every architecture is trained at every rate of `GRID` at the scale `SCALE`, those that claims set
against each other (`COMPARED`, `MIXED`) on all `SEEDS`, the others on the first; its rate is the
one with the lowest validation loss, averaged over the seeds, and of equals the larger. No claim is
tested on these seeds. Grid and rule were set before the first run; to save time the second seed of
those that no claim compares was dropped after the first runs at the lowest rate. The grid is not
stretched where the best is at its end. `trainers.vocab_space.tune` computes the table anew. An
architecture that has no line keeps the published rate.

A claim that changes the architecture thus has another rate in each arm: a fair comparison is of
each at its best. For the same reason an architecture with the mixing of another has a line of its
own where a claim sets it against its own mixing (`MIXED`): at the rate that suits the mixing it
gave up, it would be judged by the step size. What changes neither, such as the rank of the word
graph, keeps the rate.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

PUBLISHED = 0.01
GRID = (0.001, 0.003, 0.01, 0.03)
SEEDS = (9001, 9002)
SCALE = "fast"
COMPARED = ("v1_attention", "v2_conv", "v3_assoc", "v5_gauss", "v7_lgp", "v8_graph")
MIXED = (("v3_assoc", "dense_memory"), ("v5_gauss", "dense_memory"))
TABLE = Path(__file__).with_name("rates.toml")


def name_of(architecture: str, mixing: str) -> str:
    """The line of an architecture with the mixing of another."""
    return f"{architecture}+{mixing}"


def best_rate(losses: Sequence[float]) -> float:
    """The rate with the lowest loss, of equals the larger; losses in the order of `GRID`."""
    return min(zip(losses, GRID, strict=True), key=lambda each: (each[0], -each[1]))[1]


def own_rate(architecture: str, mixing: str) -> float:
    """The architecture's rate; with another mixing its own where it was measured."""
    table = _measured()
    line = table.get(name_of(architecture, mixing)) or table.get(architecture)
    return PUBLISHED if line is None else float(line["rate"])


@cache
def _measured() -> Mapping[str, Any]:
    measured: dict[str, Any] = tomllib.loads(TABLE.read_text(encoding="utf-8"))["measured"]
    return measured
