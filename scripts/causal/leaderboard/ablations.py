"""Reported contrasts from tables and sentences, under one sign: negative is better."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from interventions.vocabulary import Value, load_variables
from scripts.causal.leaderboard.document import Block, Document, Row, Table
from scripts.causal.leaderboard.schema import Ablation, Source
from scripts.causal.leaderboard.stages import contrast, stage_of
from scripts.causal.leaderboard.tables import (
    MEAN,
    SPREAD,
    Columns,
    cell,
    cell_delta,
    cell_score,
    columns_of,
)
from scripts.causal.leaderboard.techniques import own_column, variables_in

MAX_ABLATIONS = 200
Named = list[tuple[str, Value | None, int]]
_STUDY = re.compile(
    r"ablat|sweep|ladder|progress|contribut|what (?:stacked|worked|didn't|helped|changed)|effect|"
    r"impact|experiment|negative|tried|did ?n[o']t work|journey|improvement|gain|breakdown|"
    r"leave-one|increment|evolution|stack(?:ed|ing)|delta|compar|history|versus|\bvs\b|why it|"
    r"result|findings|failed|scan|tuning|trajectory",
    re.IGNORECASE,
)
_NOT_RUN = re.compile(
    r"\bexpected|\bproject(?:ed|ion)|\bestimat|\bplanned|\bfuture", re.IGNORECASE
)
_NOT_A_CHANGE = re.compile(
    r"\W*(?:val[_ ]loss|loss|artifact|size|bytes|time|steps?|params|std|throughput|memory)\b",
    re.IGNORECASE,
)
_BASELINE = re.compile(
    r"\bsota\b|\bbaseline|\bbase\b|\bcontrol|\breference|\bnone\b|\bdefault|\bstandard|\bstart(?:ing)?\b|"
    r"\bparent|\bcurrent sota|\boriginal|\bmain\b",
    re.IGNORECASE,
)
_PLUS = re.compile(r"^\W{0,4}(?:\+|&|and |add(?:ed|ing)? |then )", re.IGNORECASE)
_MINUS = re.compile(
    r"^\W{0,3}(?:-\s|−|without |w/o |no |remov\w+ |drop\w* |minus |disable\w* )", re.I
)
_BETTER_HEAD = re.compile(r"gain|improve|benefit|reduction|saving", re.IGNORECASE)
_NATS = re.compile(r"\bnats?\b|val_loss|\bloss\b", re.IGNORECASE)
_WORSE = re.compile(
    r"\bwors|\bhurts?\b|\bdegrad|\bregress|\bcosts?\b|\bpenalt|\bharm|\blos[est]|\bhigher\b", re.I
)
_BETTER = re.compile(
    r"\bimprov|\bbetter|\bgain|\bsav(?:es|ing)|\bhelp|\breduc|\blower|\bdrop|\bbenefit|\bboost|\bwins?\b|"
    r"\bcontribut|\bbeats?\b|\bdelivers?\b|\bgives?\b|\bcut",
    re.IGNORECASE,
)
_TOTAL = re.compile(
    r"^\W*(?:total|overall|sum|combined|net)\b|^\W*(?:this|ours|final|full)\b", re.IGNORECASE
)
_HYPOTHETICAL = re.compile(
    r"\b(?:would|should|could|might|expect\w*|estimat\w*|predict\w*|projected|potential\w*|"
    r"if these)\b",
    re.IGNORECASE,
)
_PROSE_DELTA = re.compile(
    r"(?<![\w.,])(?<!\d-)(?<!\d to )(~|about |roughly )?([+-]|±)?\s?(\d?\.\d{3,8}|0\.\d{2})\s{0,4}"
    r"(?:val[_ ])?(bpb|bits|nats?)\b",
    re.I,
)
_PENALTY = re.compile(
    r"\b(?:quant\w*|int\d|export|roundtrip|RT)\W{0,3}(?:loss|penalty|gap|degradation|cost)",
    re.IGNORECASE,
)
_STATED_ITEM = re.compile(
    r"\W*([A-Za-z][^:\n]{2,50}): ?[~+-]{0,2}\d?\.\d{2,8} ?bpb\W*$", re.IGNORECASE
)
_PROSE_TO = re.compile(
    r"(?<![\w.])(\d\.\d{3,8})\s?(?:\([^()\n]{0,30}\)\s?)?(?:->|→)\s?(\d\.\d{3,8})(?![\d%])"
)
_CHANGE = re.compile(
    r"\b(?:up|down|reduced|increased|changed|raised|lowered|was|from)\s(?:from )?([\w.,^]+)"
    r"|([\w.,^]+)\s?(?:->|→)\s?([\w.,^]+)",
    re.IGNORECASE,
)
_SPLIT = re.compile(r"(?<=[a-z)\]0-9%])[.;](?=\s|$)|\n(?=[A-Z•-])")


def read_ablations(document: Document, stages: list[Ablation]) -> list[Ablation]:
    """Contrasts of all tables and sentences, then the stage ladder; each reported once.

    What one table or one block states twice differs in something; a repetition is elsewhere.
    """
    found: list[Ablation] = []
    for group in [*_from_tables(document), *_from_prose(document), stages]:
        known = len(found)
        for ablation in group:
            if len(found) >= MAX_ABLATIONS:
                return found
            if not any(_same(ablation, other) for other in found[:known]):
                found.append(ablation)
    return found


def _same(one: Ablation, other: Ablation) -> bool:
    tolerance = max(6e-5, 0.03 * abs(other.delta))
    rounded = abs(one.delta - other.delta) <= 6e-4 and one.source != other.source
    return one.variable == other.variable and (
        abs(one.delta - other.delta) <= tolerance or (rounded and abs(one.delta) > 0.004)
    )


def _from_tables(document: Document) -> Iterator[list[Ablation]]:
    for table in document.tables:
        columns = columns_of(table)
        if columns.seed is not None or not (columns.delta or columns.bpb):
            continue
        titles = " / ".join(table.section[1:] or table.section)
        if _NOT_RUN.search(titles):
            continue
        if columns.delta:
            yield list(_delta_rows(document, table, columns))
        elif len(columns.bpb) == 2 and any(_versus_row(row) for row in table.rows):
            yield list(_versus(document, table, columns))
        elif _STUDY.search(titles) or any(_PLUS.match(cell(r, columns.label)) for r in table.rows):
            yield list(_score_rows(document, table, columns))


def _delta_rows(document: Document, table: Table, columns: Columns) -> Iterator[Ablation]:
    index = columns.delta[-1]
    title = table.header[index]
    unit = "nats" if re.search("nats", title, re.I) and "bpb" not in title.lower() else "bpb"
    flipped = bool(_BETTER_HEAD.search(title)) and not re.search("vs|Δ|delta", title, re.I)
    cumulative = sum(bool(_PLUS.match(cell(row, columns.label))) for row in table.rows) >= 2
    running = _stepwise(table, columns) if cumulative else {}
    column_variable = _penalty_variable(title) or _between_columns(table, columns)
    for row in table.rows:
        label = cell(row, columns.label)
        delta = cell_delta(row, index)
        if delta is None or SPREAD.search(label) or MEAN.search(label) or _NOT_RUN.search(label):
            continue
        if _NOT_A_CHANGE.match(label):
            continue
        if _versus_row(row):
            yield contrast(
                variable="other:bundle",
                control=_header(table, 1),
                treatment=_header(table, 2),
                delta=delta,
                kind="bundle",
                quote=document.quote(row.line),
                source=Source(file=document.name, line=row.line),
            )
            continue
        if column_variable:
            yield contrast(
                variable=column_variable[0],
                control=column_variable[1],
                treatment=column_variable[2],
                delta=delta,
                unit=unit,
                kind="single",
                quote=document.quote(row.line),
                source=Source(file=document.name, line=row.line),
            )
            continue
        text = cell(row, index)
        if re.search(r"[+-]\s?\d", text):
            pass
        elif _WORSE.search(text):
            delta = abs(delta)
        elif flipped:
            delta = -abs(delta)
        if flipped and re.match(r"\W{0,3}\+", text) and not _WORSE.search(text):
            delta = -abs(delta)
        delta = running.get(row.line, delta)
        if abs(delta) > 2:
            continue
        kind = "cumulative" if cumulative and _PLUS.match(label) else "single"
        if stated := _stated(document, row, columns, label, delta, unit):
            yield stated
        else:
            named_by = table.header[columns.label]
            label = label if re.search("[A-Za-z]{2}", label) else f"{named_by} = {label}"
            ends = None
            if (mine := own_column(table)) is not None and len(row.cells) > mine:
                ends = (cell(row, mine - 1)[:80], cell(row, mine)[:80])
            yield from _contrast(document, row, label, delta, unit, kind, ends)


def _header(table: Table, index: int) -> str | None:
    return table.header[index][:80] if index < len(table.header) - 1 else None


def _penalty_variable(title: str) -> tuple[str, str, str] | None:
    """The stage contrast a column reports of every row's run, such as "Quant gap"."""
    if re.search(
        r"\bquant\w*\W{0,3}(?:gap|penalty|degradation|cost|loss|delta)|"
        r"^\W*(?:RT |roundtrip )?gap\b",
        title,
        re.I,
    ):
        return "quant_bits", "before quantization", "quantized"
    if re.search(r"\bTTT\W{0,3}(?:gain|delta|benefit|effect|improvement)", title, re.I):
        return "ttt", "none", "test-time trained"
    return None


def _between_columns(table: Table, columns: Columns) -> tuple[str, str, str] | None:
    """What a delta column compares, where it is the difference of the two score columns."""
    if len(columns.bpb) != 2 or len(columns.delta) != 1:
        return None
    first, second = columns.bpb
    gaps = []
    for row in table.rows:
        delta = cell_delta(row, columns.delta[0])
        before, after = cell_score(row, first), cell_score(row, second)
        if delta is not None and before is not None and after is not None:
            gaps.append(abs(after - before - delta) < 6e-4)
    if len(gaps) < 2 or not all(gaps):
        return None
    title = table.header[second]
    named = variables_in(title)
    variable = named[0][0] if named else f"other:{slug(title)}"
    return variable, table.header[first][:80], title[:80]


def _stepwise(table: Table, columns: Columns) -> dict[int, float]:
    """Step-to-step changes of a ladder whose delta column counts from the first row.

    Returns row line → change against the row before; empty where the column counts steps already
    or the scores do not tell.
    """
    if not columns.bpb:
        return {}
    rows = [
        (row, score, delta)
        for row in table.rows
        if (score := cell_score(row, columns.bpb[-1])) is not None
        for delta in [cell_delta(row, columns.delta[-1])]
    ]
    if len(rows) < 3:
        return {}
    first = rows[0][1]
    totals = sum(d is not None and abs(s - first - d) < 6e-4 for _, s, d in rows[2:])
    steps = sum(
        d is not None and abs(s - before - d) < 6e-4
        for (_, before, _), (_, s, d) in pairwise(rows[1:])
    )
    if totals <= steps:
        return {}
    return {row.line: round(s - before, 8) for (_, before, _), (row, s, _) in pairwise(rows)}


def _stated(
    document: Document, row: Row, columns: Columns, label: str, delta: float, unit: str
) -> Ablation | None:
    """A row that names a vocabulary id and gives both ends and the kind needs no reading."""
    if label not in load_variables() and not re.fullmatch(r"other:[a-z0-9_]{1,60}", label):
        return None
    ends = [
        cell(row, index) if index is not None else ""
        for index in (columns.control, columns.treatment)
    ]
    kind = cell(row, columns.kind) if columns.kind is not None else ""
    return contrast(
        variable=label,
        control=ends[0] or None,
        treatment=ends[1] or None,
        delta=delta,
        unit=unit,
        kind=kind if kind in ("single", "cumulative", "bundle") else "single",
        quote=document.quote(row.line),
        source=Source(file=document.name, line=row.line),
    )


def _score_rows(document: Document, table: Table, columns: Columns) -> Iterator[Ablation]:
    index = columns.bpb[-1]
    rows = [
        (row, value)
        for row in table.rows
        if (value := cell_score(row, index)) is not None
        and not MEAN.search(cell(row, columns.label))
    ]
    labels = [cell(row, columns.label) for row, _ in rows]
    if len(rows) < 2:
        return
    unit = "bpb"
    if sum(bool(_PLUS.match(label)) for label in labels) >= 2:
        for (_, before), (row, after) in pairwise(rows):
            if _PLUS.match(cell(row, columns.label)):
                label = cell(row, columns.label)
                yield from _contrast(document, row, label, after - before, unit, "cumulative")
        return
    if sum(bool(stage_of(label)) for label in labels) >= 2:
        return  # one run's stages, not variations of it
    base = next((i for i, label in enumerate(labels) if _BASELINE.search(label)), None)
    if base is None:
        base = next(
            (i for i, (r, _) in enumerate(rows) if _BASELINE.search(" ".join(r.cells))), None
        )
    titles = " / ".join(table.section[1:] or table.section)
    if base is None or not _comparable(labels, base, titles):
        return
    for position, (row, value) in enumerate(rows):
        if position != base:
            label = cell(row, columns.label)
            named_by = table.header[columns.label]
            if not variables_in(label) and variables_in(f"{named_by} = {label}"):
                label = f"{named_by} = {label}"
            yield from _contrast(document, row, label, value - rows[base][1], unit, "single")


def _comparable(labels: list[str], base: int, titles: str) -> bool:
    """Whether the rows vary one run: said so above, or most of them name a technique."""
    others = [label for index, label in enumerate(labels) if index != base]
    if any(re.search(r"#\d{2,5}|\bPR\b", label) for label in others):
        return False
    if re.search(
        r"ablat|sweep|ladder|scan|why it|failed|tried|did ?n[o']t work|compar", titles, re.I
    ):
        return True
    return sum(bool(variables_in(label)) for label in others) * 2 >= len(others)


def _versus_row(row: Row) -> bool:
    return bool(row.cells and re.fullmatch(r"\W*(?:val[_ ]?)?bpb\W*", row.cells[0], re.IGNORECASE))


def _versus(document: Document, table: Table, columns: Columns) -> Iterator[Ablation]:
    """| Metric | Control | Treatment | with a val_bpb row: one contrast."""
    control, treatment = columns.bpb
    for row in table.rows:
        before, after = cell_score(row, control), cell_score(row, treatment)
        if _versus_row(row) and before is not None and after is not None:
            title = table.header[treatment]
            named = variables_in(title)
            yield contrast(
                variable=named[0][0] if named else f"other:{slug(title)}",
                control=table.header[control][:80],
                treatment=title[:80],
                delta=after - before,
                kind="single",
                quote=document.quote(row.line),
                source=Source(file=document.name, line=row.line),
            )


def _contrast(
    document: Document,
    row: Row,
    label: str,
    delta: float,
    unit: str,
    kind: str,
    ends: tuple[str, str] | None = None,
) -> Iterator[Ablation]:
    if not re.search(r"[A-Za-z]", label) or re.search(r"\bpr\b.{0,4}#?\d+\s{0,4}$", label, re.I):
        return
    named = variables_in(label)
    if _TOTAL.match(label) or (len(named) > 1 and re.search(r"\s[+&]\s|\band\b", label)):
        kind = "bundle"
    if _TOTAL.match(label) or len(named) > 2:
        variable = "other:bundle"
    else:
        variable = named[0][0] if named else f"other:{slug(label)}"
    control, treatment = ends or _ends(label, named)
    yield contrast(
        variable=variable,
        control=control,
        treatment=treatment,
        delta=delta,
        unit=unit,
        kind=kind,
        quote=document.quote(row.line),
        source=Source(file=document.name, line=row.line),
    )


def _ends(label: str, named: Named) -> tuple[str | None, str | None]:
    """What the contrast goes from and to, where the label says."""
    text = _PLUS.sub("", label).strip()
    if _MINUS.match(label):
        thing = _MINUS.sub("", label).strip()[:80]
        return thing or None, "none"
    match = _CHANGE.search(label)
    if match and match.group(2):
        return match.group(2), match.group(3)
    value = next((str(v) for _, v, _ in named if v is not None), None)
    return (match.group(1) if match else None), value or text[:80] or None


def _from_prose(document: Document) -> Iterator[list[Ablation]]:
    for block in document.blocks:
        if block.kind not in ("paragraph", "item") or len(block.text) > 4000:
            continue
        start = 0
        for stop in [*(m.end() for m in _SPLIT.finditer(block.text)), len(block.text)]:
            yield list(_sentence(document, block, start, block.text[start:stop]))
            start = stop


def _sentence(document: Document, block: Block, start: int, text: str) -> Iterator[Ablation]:
    deltas = list(_PROSE_DELTA.finditer(text))
    arrow = _PROSE_TO.search(text)
    if arrow and not stage_of(text[arrow.start() : arrow.end() + 30]):
        yield from _arrow(document, block, start, text, arrow)
        return
    if _HYPOTHETICAL.search(text):
        return
    if len(deltas) != 1 or re.search(
        r"\bstd\b|±|threshold|noise|budget|within|variance|p ?[<=]", text, re.I
    ):
        return
    match = deltas[0]
    number = float(match.group(3))
    if number > 0.5 or number == 0:
        return
    named = variables_in(text)
    against = re.search(r"\b(?:vs\.?|over|versus|than|against|delta)\b", text, re.IGNORECASE)
    if _PENALTY.search(text):
        line = block.line + block.text.count("\n", 0, start + match.start())
        yield contrast(
            variable="quant_bits",
            control="before quantization",
            treatment="quantized",
            delta=number,
            quote=document.quote(line),
            source=Source(file=document.name, line=line),
        )
        return
    stated = _STATED_ITEM.match(text)
    if not named and not against and not stated:
        return
    sign = match.group(2)
    if sign in ("+", "-"):
        delta = -number if sign == "-" else number
    elif _WORSE.search(text) and not _BETTER.search(text[: match.start()]):
        delta = number
    elif _BETTER.search(text):
        delta = -number
    else:
        return
    if sign == "+" and _BETTER.search(text) and not _WORSE.search(text):
        delta = -number
    before = [name for name, _, at in named if at < match.start()]
    if stated and not named:
        variable = f"other:{slug(stated.group(1))}"
    else:
        variable = before[0] if before else named[0][0] if named else "other:bundle"
    line = block.line + block.text.count("\n", 0, start + match.start())
    unit = "nats" if match.group(4).lower().startswith("nat") else "bpb"
    kind = "bundle" if len(named) > 2 or variable == "other:bundle" else "single"
    value = next((str(v) for name, v, _ in named if name == variable and v is not None), None)
    yield contrast(
        variable=variable,
        control=None,
        treatment=value,
        delta=delta,
        unit=unit,
        kind=kind,
        quote=document.quote(line),
        source=Source(file=document.name, line=line),
    )


def _arrow(
    document: Document, block: Block, start: int, text: str, match: re.Match[str]
) -> Iterator[Ablation]:
    """A sentence that says "1.4472 -> 1.4135"."""
    before, after = float(match.group(1)), float(match.group(2))
    if not (0.3 < before < 5 and 0.3 < after < 5) or abs(after - before) > 0.5:
        return
    named = variables_in(text)
    total = bool(_TOTAL.match(text)) or not named
    line = block.line + block.text.count("\n", 0, start + match.start())
    yield contrast(
        variable="other:bundle" if total else named[0][0],
        control=match.group(1),
        treatment=match.group(2),
        delta=after - before,
        kind="bundle" if total or len(named) > 2 else "single",
        quote=document.quote(line),
        source=Source(file=document.name, line=line),
    )


def slug(label: str) -> str:
    """A short id for a technique outside the vocabulary."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"\([^()]*\)", " ", label.lower()))
    return "_".join(words[:5])[:48] or "unnamed"
