"""The stage ladder every run reports: raw → averaged → quantized → sliding window → test-time.

The difference between two neighbouring stages of one run is a contrast on the same weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from scripts.causal.leaderboard.contrasts import contrast
from scripts.causal.leaderboard.document import Document, Table
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.stage_lines import stages_of_lines
from scripts.causal.leaderboard.stage_names import ORDER, STAGE_CONTRASTS, Score, Stages
from scripts.causal.leaderboard.stage_tables import (
    before_and_after,
    last_column,
    table_ladders,
)

_ONE = 5.5e-4  # bpb: what seeds and rounding leave between two tellings
_APART = 0.1  # bpb: more than quantization and evaluation make of one run


def stage_contrasts(
    document: Document, listed: Sequence[Table] = (), final: float | None = None
) -> list[Ablation]:
    """Contrasts between neighbouring stages of every run whose stages the README gives.

    Where nothing but the score before quantization is told, `final` is what came of it.
    """
    tables = (*document.tables, *listed)
    ladders = [ladder for table in tables for ladder in table_ladders(document, table)]
    runs = _joined([*ladders, stages_of_lines(document)])
    if final is not None and runs and len(runs[0]) == 1 and (raw := runs[0].get("raw")):
        lost = final - raw.value
        windowed = re.search(r"\bsliding", document.text, re.IGNORECASE)
        if 5e-6 < abs(lost) < _APART and (lost > 0 or windowed):
            stage = "quantized" if lost > 0 else "sliding"
            runs[0] = {"raw": raw, stage: Score(final, raw.source, "")}
    found: list[Ablation] = []
    for run in runs:
        found += [
            one for one in _contrasts(document, run) if not any(_same(one, o) for o in found)
        ]
    beyond = [one for table in document.tables for one in last_column(document, table)]
    return [*before_and_after(document), *found, *beyond]


def _joined(ladders: Iterable[Stages]) -> list[Stages]:
    """Runs with their stages, the one with most first; what shares a score is one run."""
    runs: list[Stages] = []
    for ladder in sorted(ladders, key=len, reverse=True):
        run = next((run for run in runs if _one_run(run, ladder)), None)
        if run is None:
            runs.append(ladder)
        else:
            run.update({stage: score for stage, score in ladder.items() if stage not in run})
    return runs


def _one_run(run: Stages, ladder: Stages) -> bool:
    shared = [stage for stage in ladder if stage in run]
    return any(abs(run[stage].value - ladder[stage].value) < 6e-5 for stage in shared)


def _same(one: Ablation, other: Ablation) -> bool:
    """Whether two runs' contrasts are one but for the seeds that they are of."""
    return one.variable == other.variable and abs(one.delta - other.delta) < _ONE


def _contrasts(document: Document, stages: Stages) -> list[Ablation]:
    for later in ("sliding", "ttt"):  # a log's "roundtrip" line that already is the later stage
        before, after = stages.get("quantized"), stages.get(later)
        if before and after and abs(before.value - after.value) < 5e-6:
            stages = {name: found for name, found in stages.items() if name != "quantized"}
    known = [stage for stage in ORDER if stage in stages]
    found = []
    for stage, following in pairwise(known):
        variable, control, treatment = STAGE_CONTRASTS[following]
        value, source, label = stages[following]
        delta = round(value - stages[stage].value, 8)
        if following == "sliding" and delta > 0 and stage in ("raw", "averaged"):
            variable, control, treatment = STAGE_CONTRASTS["quantized"]  # "Pre-TTT" of int6
        if following == "averaged" and re.search(
            r"\bswa\b(?!.*\bema\b)", label.replace("_", " "), re.I
        ):
            variable = "swa"
        if abs(delta) > 3:
            continue
        skipped = ORDER.index(following) - ORDER.index(stage) > 1
        bundle = skipped and (stage, following) in (
            ("raw", "sliding"),
            ("averaged", "ttt"),
            ("raw", "ttt"),
        )
        found.append(
            contrast(
                variable=variable,
                control=control,
                treatment=treatment,
                delta=delta,
                kind="bundle" if bundle else "single",
                quote=document.quote(source.line) if source.file == document.name else None,
                source=source,
            )
        )
    return found
