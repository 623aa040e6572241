"""The stage ladder every run reports: raw → averaged → quantized → sliding window → test-time.

The difference between two neighbouring stages of one run is a contrast on the same weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import fmean

from scripts.causal.leaderboard.contrasts import contrast, slug
from scripts.causal.leaderboard.document import Document, Table
from scripts.causal.leaderboard.mentions import variables_in
from scripts.causal.leaderboard.numbers import scores
from scripts.causal.leaderboard.schema import Ablation, Source
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.tables import cell, cell_score, columns_of, mean_row, parse_seed

ORDER = ("raw", "averaged", "adapted", "quantized", "sliding", "ttt", "slot", "mixed")
STAGE_CONTRASTS = {
    "averaged": ("ema", "raw weights", "averaged weights"),
    "adapted": ("ttt", "none", "test-time trained before quantization"),
    "quantized": ("quant_bits", "before quantization", "quantized"),
    "sliding": ("sliding_window_eval", "non-overlapping", "sliding window"),
    "ttt": ("ttt", "none", "test-time trained"),
    "slot": ("slot", "none", "sample-specific output tuning"),
    "mixed": ("ngram_mix", "model alone", "mixed with n-gram statistics"),
}
_RUN = re.compile(r"baseline|sota|\bours?\b|\bthis\b|#\d|=|^\W*\+", re.IGNORECASE)
_BRACKET = re.compile(r"\([^()]*(?:\bM?B\b|layer|\d[xL])[^()]*\)")
_STAGE_WORD = re.compile(
    r"\bpre[- ]|\bpost[- ]|round-?trip|\braw\b|\bfinal\b|\bbefore\b|\bafter\b|\bsliding\b|"
    r"quantized\b|\bstop\b|\bfloat\b|\bfp32\b|\bTTT\b",
    re.IGNORECASE,
)
_NO_SCORE = re.compile(
    r"loss|\bstd|gap|gain|delta|Δ|(?<!stop-)(?<!stop )time|bytes|size|penalty|degrad",
    re.IGNORECASE,
)


def stage_of(label: str) -> str | None:
    """Return the stage a column title, metric name or log line reports, or None."""
    text = label.lower().replace("_", " ")
    if (
        _NO_SCORE.search(text.replace("val loss", "").replace("val loss:", ""))
        and "bpb" not in text
    ):
        return None
    if re.search(r"\bpre[ -]?ttt|\bbefore ttt|\bno ttt|\bw/o ttt|\bwithout ttt", text):
        return "sliding" if "slid" in text or "quant" not in text else "quantized"
    if re.search(r"\bslot\b", text):
        return None if re.search(r"\bpre[ -]|\bno\b|w/o|without|before", text) else "slot"
    if re.search(r"n-?gram|\bppm\b|\bcache\b|\bmixer\b", text):
        return None if re.search(r"\bpre[ -]|\bno\b|without|before", text) else "mixed"
    if re.search(r"ttt\b|test[ -]time", text):
        return "adapted" if re.search(r"pre[ -]?quant", text) else "ttt"
    if re.search(r"\bslid|\bstride|\bs64\b|\bsw\b", text):
        return None if re.search(r"pre[ -]?quant|float|fp32", text) else "sliding"
    if re.search(r"\bpost[ -]?ema|\bema\b|\bswa\b", text) and not re.search(
        r"int\d|quantized|round", text
    ):
        return "averaged"
    if re.search(
        r"\bpre[ -]?(?:quant|gptq)|\bstep[ :]{0,2}\d+|\btrain-time|\bstop[ -]time|"
        r"\bpre[ -]?ema|bpb \(train\)|\bunquantized|\bat stop|\bbefore quant|\bfull precision|"
        r"\bfp32|\bfloat",
        text,
    ):
        return "raw"
    if re.search(
        r"round ?-?trip|\bquantized|\bpost[ -]?(?:quant|gptq)|\bint[4-8]\b|\bquant\b", text
    ):
        return "quantized"
    return None


def stage_contrasts(
    document: Document, facts: Sequence[Fact], listed: Sequence[Table] = ()
) -> list[Ablation]:
    """Contrasts between neighbouring stages, from the place that reports most of them."""
    places = [_from_columns(document, table) for table in document.tables]
    places += [_from_rows(document, table) for table in (*document.tables, *listed)]
    places += [_from_metrics(document), _from_json(facts)]
    most = max(places, key=len)  # the first of equals: tables of seeds come with means
    ladder = _contrasts(document, most) if len(most) >= 2 else []
    return [*_before_and_after(document), *ladder]


def _before_and_after(document: Document) -> list[Ablation]:
    """Seed tables with a "Pre-X bpb" and a "Post-X bpb" column, for X outside the ladder."""
    found = []
    for table in document.tables:
        columns = columns_of(table)
        mean = mean_row(table)
        titles = {table.header[index].lower(): index for index in columns.bpb}
        for title, index in titles.items():
            match = re.match(r"\W*pre[- ]([a-z0-9-]+)", title)
            after = next((t for t in titles if match and f"post-{match.group(1)}" in t), None)
            if match is None or after is None or stage_of(title) or not table.rows:
                continue
            row = table.rows[mean if mean is not None else 0]
            before, value = cell_score(row, index), cell_score(row, titles[after])
            if before is None or value is None:
                continue
            named = variables_in(match.group(1)) or variables_in(f"{match.group(1)} cache")
            found.append(
                contrast(
                    variable=named[0][0] if named else f"other:{slug(match.group(1))}",
                    control="none",
                    treatment=match.group(1),
                    delta=value - before,
                    quote=document.quote(row.line),
                    source=Source(file=document.name, line=row.line),
                )
            )
    return found


Stages = dict[str, tuple[float, Source]]


def _from_columns(document: Document, table: Table) -> Stages:
    """One column per stage, one row per seed: the mean row, else the mean over the rows."""
    columns = columns_of(table)
    if columns.seed is None:
        return {}
    stages: Stages = {}
    mean = mean_row(table)
    for index in columns.bpb:
        stage = stage_of(table.header[index])
        if stage is None:
            continue
        each = [
            v
            for row in table.rows
            if parse_seed(cell(row, columns.seed)) is not None
            and (v := cell_score(row, index)) is not None
        ]
        if mean is not None and (value := cell_score(table.rows[mean], index)) is not None:
            line = table.rows[mean].line
            if each and abs(fmean(each) - value) < 6e-5:
                value = fmean(each)  # the same mean before it was rounded
        else:
            values = [v for row in table.rows if (v := cell_score(row, index)) is not None]
            if not values:
                continue
            value, line = fmean(values), table.rows[0].line
        stages.setdefault(stage, (value, Source(file=document.name, line=line)))
    return stages


def stage_rows(labels: Sequence[str]) -> dict[int, str]:
    """Index → stage of the rows, where most of the labels name the stages of one run."""
    stages = {
        index: stage
        for index, label in enumerate(labels)
        if not _RUN.search(label) and (stage := stage_of(_BRACKET.sub(" ", label)))
    }
    spoken = sum(bool(_STAGE_WORD.search(label)) for label in labels)
    enough = len(stages) * 2 >= len(labels) and spoken >= 2
    return stages if enough and len(set(stages.values())) >= 2 else {}


def _from_rows(document: Document, table: Table) -> Stages:
    """One row per stage under a column of scores."""
    columns = columns_of(table)
    if columns.seed is not None or not columns.bpb:
        return {}
    stages: Stages = {}
    labels = [cell(row, columns.label) for row in table.rows]
    for index, stage in stage_rows(labels).items():
        row = table.rows[index]
        value = cell_score(row, columns.bpb[0])
        if value is not None:
            stages.setdefault(stage, (value, Source(file=document.name, line=row.line)))
    return stages


def _from_metrics(document: Document) -> Stages:
    """Two-column metric tables, bullet lists and log lines: `Pre-TTT bpb | 1.1208`."""
    stages: Stages = {}
    for block in document.blocks:
        if block.kind == "heading" or "bpb" not in block.text.lower():
            continue
        for number, line in enumerate(block.text.split("\n")):
            if len(line) > 200 or not (found := scores(line)):
                continue
            if block.kind == "row" and line.count(" | ") > 1:
                continue
            bpb = re.search(r"bpb\W{0,12}(\d\.\d{3,10})", line, re.IGNORECASE)
            if not bpb and block.kind != "row":
                continue
            value = float(bpb.group(1)) if bpb else found[0]
            label = line[: line.find(str(bpb.group(1)) if bpb else "|")]
            stage = stage_of(label)
            if (
                stage
                and "bpb" in line.lower()
                and not _NO_SCORE.search(label.replace("val_loss", ""))
            ):
                source = Source(file=document.name, line=block.line + number)
                if stage == "raw" and re.search(r"\bstep\b", label, re.IGNORECASE):
                    stages[stage] = (value, source)  # of the training log the last step counts
                else:
                    stages.setdefault(stage, (value, source))
    return stages


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
