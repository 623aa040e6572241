"""What is published about the effect of a change, beside what scores and own runs say of it."""

from __future__ import annotations

from dataclasses import dataclass

from scripts.causal.graph.schema import CausalDag, CombinedEffect, Level, level_words

VERDICTS = {
    "supported": "The data supports it",
    "contradicted": "The data contradicts it",
    "cannot_tell": "The data cannot tell",
}


@dataclass(frozen=True)
class BeliefRow:
    """One published belief.

    Attributes:
        change: the variable and the two values compared.
        words: what is reported and what the data says.
        effect: everything together.
        weights: (source, share of the posterior's precision), the largest first.
    """

    change: str
    words: str
    effect: CombinedEffect
    weights: tuple[tuple[str, float], ...]


def _level(level: Level, other: Level) -> str:
    """Return a value in words, beside the value it is compared with."""
    if True in (level, other) and level in (0, "none") and level is not True:
        return "without"
    return level_words(level)


def _row(effect: CombinedEffect) -> BeliefRow:
    shares: dict[str, float] = {}
    for part in effect.weights:
        name = f"{part.source}, {part.words}" if part.words else str(part.source)
        name = "typical size" if part.source == "prior" else name
        shares[name] = shares.get(name, 0.0) + part.weight
    before, after = _level(effect.before, effect.after), _level(effect.after, effect.before)
    return BeliefRow(
        change=f"{effect.variable}: {before} → {after}",
        words=effect.words.rpartition(": ")[0] or effect.words,
        effect=effect,
        weights=tuple(sorted(shares.items(), key=lambda pair: -pair[1])),
    )


def published_beliefs(dag: CausalDag | None) -> list[tuple[str, str, list[BeliefRow]]]:
    """Return (verdict, its words, beliefs) for every verdict that occurs, best effect first."""
    if dag is None:
        return []
    groups = []
    for verdict, title in VERDICTS.items():
        rows = [_row(one) for one in dag.effects if one.belief == verdict]
        if rows:
            groups.append((verdict, title, sorted(rows, key=lambda row: row.effect.mean)))
    return groups
