"""Other kinds of change, run small, beside what was published of them at full scale.

No 8×H100 run of ours or of one author covers them, so the catalog's claims stand in: most of one
seed, in models of other authors. Where a change has several, their median counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from scipy.stats import spearmanr

from interventions.catalog import Intervention
from scripts.causal.campaign.schema import ContrastResult

FEWEST = 4  # changes, below which a rank correlation says nothing


def beside_published(
    results: Sequence[ContrastResult], catalog: Mapping[str, Intervention]
) -> dict[str, Any] | None:
    """Effects here and as published, in bpb, and how many have one sign.

    A change is clear here where its interval leaves out 0.

    Returns:
        None where no change that was run has a published effect in bpb.
    """
    rows = {}
    for one in results:
        known = catalog.get(one.contrast.id)
        told = [each.delta_bpb for each in known.claims if each.delta_bpb] if known else []
        if known is None or not told or one.effect is None:
            continue
        rows[known.id] = {
            "stage": known.stage,
            "effect": one.effect,
            "published": median(told),
            "clear": one.interval is not None and not one.interval.low <= 0 <= one.interval.high,
            "verdict": one.verdict,
        }
    if not rows:
        return None
    stages = {row["stage"] for row in rows.values()}
    return {
        "changes": rows,
        "all": _agreement(list(rows.values())),
        "by_stage": {
            stage: _agreement([row for row in rows.values() if row["stage"] == stage])
            for stage in sorted(stages)
        },
    }


def _agreement(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many changes have the published sign, and the rank correlation of all."""
    clear = [row for row in rows if row["clear"]]
    here, there = [row["effect"] for row in rows], [row["published"] for row in rows]
    return {
        "signs_right": sum(map(_same_sign, rows)),
        "of": len(rows),
        "clear_signs_right": sum(map(_same_sign, clear)),
        "clear": len(clear),
        "spearman": float(spearmanr(here, there).statistic) if len(rows) >= FEWEST else None,
    }


def _same_sign(row: Mapping[str, Any]) -> bool:
    return bool(row["effect"] * row["published"] > 0)


def show_published(found: Mapping[str, Any]) -> None:
    """A line for each change and each stage."""
    for name, row in found["changes"].items():
        print(
            f"{name:26}{row['stage']:10}{row['effect']:+.4f} here"
            f"{'' if row['clear'] else ' (not clear)'}, {row['published']:+.4f} published"
        )
    for stage, told in (("all", found["all"]), *found["by_stage"].items()):
        rank = "" if told["spearman"] is None else f", Spearman {told['spearman']:.2f}"
        print(
            f"{stage}: {told['signs_right']} of {told['of']} with the published sign, "
            f"{told['clear_signs_right']} of {told['clear']} that are clear here{rank}"
        )
