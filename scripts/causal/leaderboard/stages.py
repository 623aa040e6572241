"""The stage ladder every run reports: raw → averaged → quantized → sliding window → test-time.

The difference between two neighbouring stages of one run is a contrast on the same weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from scripts.causal.leaderboard.contrasts import contrast
from scripts.causal.leaderboard.document import Document, Table
from scripts.causal.leaderboard.schema import Ablation, Source
from scripts.causal.leaderboard.stage_lines import stages_of_lines
from scripts.causal.leaderboard.stage_names import ORDER, STAGE_CONTRASTS, Stages, stage_of
from scripts.causal.leaderboard.stage_tables import (
    before_and_after,
    last_column,
    stages_of_columns,
    stages_of_rows,
)
from scripts.causal.leaderboard.submission_json import Fact

_APART = 0.1  # bpb: more than quantization and evaluation make of one run


def stage_contrasts(
    document: Document,
    facts: Sequence[Fact],
    listed: Sequence[Table] = (),
    final: float | None = None,
) -> list[Ablation]:
    """Contrasts between neighbouring stages, from the place that reports most of them.

    Where nothing but the score before quantization is told, `final` is what came of it.
    """
    places = [stages_of_columns(document, table) for table in document.tables]
    places += [stages_of_rows(document, table) for table in (*document.tables, *listed)]
    places += [stages_of_lines(document), _from_json(facts)]
    most = max(places, key=len)  # the first of equals: tables of seeds come with means
    if final is not None and len(most) == 1 and (raw := most.get("raw")):
        lost = final - raw[0]
        windowed = re.search(r"\bsliding", document.text, re.IGNORECASE)
        if raw[1].file == document.name and 5e-6 < abs(lost) < _APART and (lost > 0 or windowed):
            most = {"raw": raw, "quantized" if lost > 0 else "sliding": (final, raw[1])}
    ladder = _contrasts(document, most) if len(most) >= 2 else []
    beyond = [found for table in document.tables for found in last_column(document, table)]
    return [*before_and_after(document), *ladder, *beyond]


def _from_json(facts: Iterable[Fact]) -> Stages:
    stages: Stages = {}
    for fact in facts:
        if len(fact.path) != 1 or not isinstance(fact.value, float) or "bpb" not in fact.key:
            continue
        source = Source(file="submission.json", line=fact.line)
        if fact.key == "val_bpb":
            continue
        if (stage := stage_of(fact.key)) and not re.search(
            "std|delta|gain|gap|base|best", fact.key
        ):
            stages.setdefault(stage, (fact.value, source))
    return stages


def _contrasts(document: Document, stages: Stages) -> list[Ablation]:
    for later in ("sliding", "ttt"):  # a log's "roundtrip" line that already is the later stage
        before, after = stages.get("quantized"), stages.get(later)
        if before and after and abs(before[0] - after[0]) < 5e-6:
            stages = {name: found for name, found in stages.items() if name != "quantized"}
    known = [stage for stage in ORDER if stage in stages]
    found = []
    for stage, following in pairwise(known):
        variable, control, treatment = STAGE_CONTRASTS[following]
        value, source = stages[following]
        delta = round(value - stages[stage][0], 8)
        if following == "sliding" and delta > 0 and stage in ("raw", "averaged"):
            variable, control, treatment = STAGE_CONTRASTS["quantized"]  # "Pre-TTT" of int6
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
