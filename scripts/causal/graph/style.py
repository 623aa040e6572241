"""How edges look, in one place for every renderer: colour and line by tag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from scripts.causal.graph.schema import Edge, Tag


@dataclass(frozen=True)
class EdgeStyle:
    """Colour (from the palette of Okabe & Ito, safe for the colour-blind), line and width."""

    colour: str
    line: Literal["solid", "dashed", "dotted"]
    width: float
    words: str


STYLES: dict[Tag, EdgeStyle] = {
    "experiment_confirmed": EdgeStyle("#0072B2", "solid", 2.6, "confirmed by own experiment"),
    "data_confirmed": EdgeStyle("#009E73", "solid", 1.8, "held firmly by the data"),
    "uncertain": EdgeStyle("#B07400", "dashed", 1.2, "uncertain"),
    "data_contradicted": EdgeStyle("#D55E00", "dashed", 1.8, "contradicted"),
    "expert_imposed": EdgeStyle("#8A8A8A", "dotted", 1.2, "believed only, data cannot speak"),
}
TIER_NAMES = ("context", "design", "quantization\nand encoding", "evaluation", "outcome")
MARK_WORDS = (
    "marks: ▷ does not cause the other end   ○ cannot be told   none: does cause it      "
    "bold lines: in the submissions' own graph   thin lines: believed, claimed or tested"
)
THIN = 0.6


def line_width(edge: Edge) -> float:
    """Return the width in points: edges of the data stand out over mere beliefs."""
    return STYLES[edge.tag].width * (1.0 if edge.origin == "data" else THIN)


assert set(STYLES) == set(get_args(Tag))
