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
from scripts.causal.leaderboard.numbers import scores
from scripts.causal.leaderboard.schema import Ablation, Source
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.tables import (
    Columns,
    cell,
    cell_score,
    columns_of,
    mean_row,
    parse_seed,
)
from scripts.causal.leaderboard.techniques import variables_in

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
_BRACKET = re.compile(
    r"\(?\b(?:s|stride) ?= ?\d{1,4}\b\)?|\([^()]*(?:\bM?B\b|layer|\d[xL])[^()]*\)"
)
_STAGE_WORD = re.compile(
    r"\bpre[- ]|\bpost[- ]|round-?trip|\braw\b|\bfinal\b|\bbefore\b|\bafter\b|\bsliding\b|"
    r"quantized\b|\bstop\b|\bfloat\b|\bfp32\b|\bTTT\b",
    re.IGNORECASE,
)
_START = re.compile(
    r"\b(?:base|static|raw|bf16|training|checkpoint|last|live|standard|non-overlap\w*|"
    r"full eval)\b",
    re.IGNORECASE,
)
_FINAL = re.compile(r"^\W*final\b(?!.*\d-?gram)", re.IGNORECASE)
_PLANNED = re.compile(r"\btarget|\bexpect|\bestimat|\bproject(?:ed|ion)", re.IGNORECASE)
_SPOKEN = (("mixed", r"\b(?:n|\d)-?gram\b|\bPPM\b"), ("ttt", r"\bTTT\b"), ("sliding", r"sliding"))
_APART = 0.1  # bpb: more than quantization and evaluation make of one run
_BARE = re.compile(r"^\W*(?:final )?val_?bpb\W*$", re.IGNORECASE)
_SCORE_WORD = re.compile(r"\W*(?:val_)?bp[bp]\b\W*", re.IGNORECASE)
_GENERIC = re.compile(
    r"\b(?:best|final|exact|official|reported?|claim\w*|full|standard|chunked|reference|this|ours?|pr|"
    r"seed|rt|score|gain|improvement|delta|submission|value|post|pre|total|peak|mean|pass|training|checkpoint|val|eval)\b|#\d",
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
        if re.search(r"\bema\b|\bswa\b", text) and not re.search(r"slid|quant|int\d", text):
            return "averaged"
        return "sliding" if "slid" in text or "quant" not in text else "quantized"
    if re.search(r"\bslot\b", text):
        return None if re.search(r"\bpre[ -]|\bno\b|w/o|without|before", text) else "slot"
    if re.search(r"(?:n|\d)-?gram|\bppm\b|\bcache\b|\bmixer\b|\bblend", text) or (
        re.search(r"\bmix(?:ed|ture)?\b", text)
        and not re.search(r"quant|int\d|precision|round", text)
    ):
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
        r"\bpre[ -]?(?:quant|gptq|export|round-?trip)|\bstep[ :]{0,2}\d+|\btrain-time|"
        r"\bstop[ -]time|\bpre[ -]?ema|bpb \(train\)|\bunquantized|\bat stop|\bbefore quant|"
        r"\bfull precision|\bfp32|\bfloat",
        text,
    ):
        return "raw"
    if re.search(
        r"round ?-?trip|\bquantized|\bpost[ -]?(?:quant|gptq)|\bint[4-8]\b|\bquant\b", text
    ):
        return "quantized"
    return None


def stage_contrasts(
    document: Document,
    facts: Sequence[Fact],
    listed: Sequence[Table] = (),
    final: float | None = None,
) -> list[Ablation]:
    """Contrasts between neighbouring stages, from the place that reports most of them.

    Where nothing but the score before quantization is told, `final` is what came of it.
    """
    places = [_from_columns(document, table) for table in document.tables]
    places += [_from_rows(document, table) for table in (*document.tables, *listed)]
    places += [_from_metrics(document), _from_json(facts)]
    most = max(places, key=len)  # the first of equals: tables of seeds come with means
    if final is not None and len(most) == 1 and (raw := most.get("raw")):
        lost = final - raw[0]
        windowed = re.search(r"\bsliding", document.text, re.IGNORECASE)
        if raw[1].file == document.name and 5e-6 < abs(lost) < _APART and (lost > 0 or windowed):
            most = {"raw": raw, "quantized" if lost > 0 else "sliding": (final, raw[1])}
    ladder = _contrasts(document, most) if len(most) >= 2 else []
    beyond = [found for table in document.tables for found in _beyond(document, table)]
    return [*_before_and_after(document), *ladder, *beyond]


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
    seeds = [parse_seed(cell(row, columns.seed)) for row in table.rows]
    if mean is None and len(set(seeds)) < len(seeds):
        return {}  # several runs, each with a seed
    for index, stage in _staged(document, table, columns).items():
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


def _beyond(document: Document, table: Table) -> list[Ablation]:
    """A seed table's last score column, where it names what no stage is: "Sliding | ETLB BPB"."""
    columns = columns_of(table)
    mean = mean_row(table)
    if columns.seed is None or mean is None or len(columns.bpb) < 2 or columns.delta:
        return []
    before, after = columns.bpb[-2:]
    title = _SCORE_WORD.sub(" ", table.header[after])
    was, value = (cell_score(table.rows[mean], index) for index in (before, after))
    if (
        not (stage_of(table.header[before]) and re.search("[A-Za-z]{3}", title))
        or stage_of(table.header[after])
        or _GENERIC.search(title)
        or was is None
        or value is None
    ):
        return []
    named = variables_in(title)
    line = table.rows[mean].line
    return [
        contrast(
            variable=named[0][0] if named else f"other:{slug(title)}",
            control=table.header[before][:80],
            treatment=title.strip()[:80],
            delta=value - was,
            quote=document.quote(line),
            source=Source(file=document.name, line=line),
        )
    ]


def _staged(document: Document, table: Table, columns: Columns) -> dict[int, str]:
    """Index → stage of a seed table's score columns.

    A "Base val_bpb" is what the first stage beside it starts from; "Final" is what comes after
    a "Pre-TTT" or, of quantized weights, what the submission evaluates with.
    """
    titles = {index: table.header[index] for index in columns.bpb}
    stages = {index: stage for index, title in titles.items() if (stage := stage_of(title))}
    unknown = [index for index in titles if index not in stages]
    if len(unknown) != 1 or not stages:
        return stages
    index, others = unknown[0], list(stages.values())
    if _START.search(titles[index]) and index < min(stages):
        follows = ORDER.index(others[0])
        stages[index] = "raw" if follows <= ORDER.index("quantized") else ORDER[follows - 1]
    elif _FINAL.search(titles[index]) and index > max(stages):
        if re.search(r"\bpre[- ]?ttt", titles[max(stages)], re.IGNORECASE):
            stages[index] = "ttt"
        elif others[-1] == "quantized":
            stages[index] = "ttt" if re.search(r"\bTTT\b", document.text) else "sliding"
    elif _BARE.match(titles[index]) and others == ["raw"]:
        stages[index] = _evaluated(document)
    return dict(sorted(stages.items()))


def _evaluated(document: Document) -> str:
    """The last stage that a README speaks of at all."""
    return next(
        (stage for stage, word in _SPOKEN if re.search(word, document.text, re.IGNORECASE)),
        "quantized",
    )


def stage_rows(labels: Sequence[str]) -> dict[int, str]:
    """Index → stage of the rows, where most of the labels name the stages of one run."""
    stages = {
        index: stage
        for index, label in enumerate(labels)
        for bare in [_BRACKET.sub(" ", label)]
        if not _RUN.search(bare) and (stage := stage_of(bare or label))
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
                and not _PLANNED.search(line)
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
