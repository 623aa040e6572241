"""READMEs of a few lines, and what is read of them."""

from __future__ import annotations

from scripts.causal.leaderboard.ablations import read_ablations
from scripts.causal.leaderboard.document import parse_document


def found(text: str, final: float | None = None) -> list[tuple[str, float]]:
    """Variable and delta of every contrast below a title."""
    read = read_ablations(parse_document(f"# Run\n\n{text}\n"), [], final)
    return [(a.variable, a.delta) for a in read]


def table(header: str, *rows: str, title: str = "Results") -> str:
    """A table under a heading, cells parted by bars."""
    lines = [header, "|".join("-" for _ in header.split("|")), *rows]
    return f"## {title}\n\n" + "\n".join(f"| {line} |" for line in lines)
