"""Contrasts that tables report, read by the table's role."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from interventions.vocabulary import Value, load_variables
from scripts.causal.leaderboard.contrasts import (
    NOT_RUN,
    Reading,
    at_line,
    slug,
)
from scripts.causal.leaderboard.document import Row, Table
from scripts.causal.leaderboard.numbers import parse_number
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.stages import STAGE_CONTRASTS, stage_of
from scripts.causal.leaderboard.table_pairs import (
    difference_rows,
    metric_rows,
    paired_columns,
    stage_changes,
)
from scripts.causal.leaderboard.table_roles import (
    BASELINE,
    MINUS,
    PLUS,
    PULL_REQUEST,
    comparable,
    role_of,
    titles_of,
)
from scripts.causal.leaderboard.table_signs import flipped_by, gap_sign, penalty_variable, signed
from scripts.causal.leaderboard.tables import (
    MEAN,
    SPREAD,
    Columns,
    cell,
    cell_delta,
    cell_score,
    columns_of,
    is_log,
)
from scripts.causal.leaderboard.techniques import own_column, variables_in

Named = list[tuple[str, Value | None, int]]
Ends = tuple[str | None, str | None]

_NOT_A_CHANGE = re.compile(
    r"\W*(?:val[_ ]loss|loss|artifact|size|bytes|time|steps?|params|std|throughput|memory)\b",
    re.IGNORECASE,
)
_ANOTHER = re.compile(  # a whole submission of somebody, set beside this one
    r"\W*(?:(?:merged|current|official|our|prior|previous|naive|leaderboard|best)\s)*"
    r"(?:PR ?#?\d|#\d|SOTA\b|baseline\b|leaderboard\b|record\b)",
    re.IGNORECASE,
)
_COURSE = re.compile(  # each row goes on from the row before
    r"\bprogress(?:ion)?\b|journey|timeline|evolution|history|trajectory|ladder|incremental|"
    r"cumulative|stack(?:ed|ing)",
    re.IGNORECASE,
)
_DISCARDED = re.compile(r"\bdiscard|\breject|\brevert|\babandon", re.IGNORECASE)
_VARIED = re.compile(r"sweep|ablat|\bscan\b|\bgrid\b", re.IGNORECASE)
_CODE_NAME = re.compile(r"\W*(?=\w*[A-Za-z])\w*[_\d]\w*\W*$")  # AB3_011: says nothing of the run
_VALUE = re.compile(r"\W*\d[\w.,%]{0,9}\W*$")
_CHANGES = re.compile(r"\W*(?:changes?|modification|variation|difference|what changed)\b", re.I)
_FULL = re.compile(r"\W{0,4}(\d\.\d{4,8})(?!\d)")
_CALLED = re.compile(r"\W*(?:naive |the )?(?:baseline|control|default|none)\b", re.IGNORECASE)
_BARE_CODE = re.compile(r"\W*[A-Za-z]{1,3}[-_ ]?\d{1,3}[a-z]?\W*$")  # R2, exp 12
_MEASURED = re.compile(
    r"time|\bsteps?\b|params|\bms\b|size|memory|note|status|\bvs\b|date|delta|Δ|loss|speed",
    re.IGNORECASE,
)
_VARIANTS = re.compile(r"\bvariants?\b|\bsetting\b|\bconfig", re.IGNORECASE)
_SWEPT = re.compile(r"sweep|ablat|\bscan|tuning|\bvs\b", re.IGNORECASE)
_JOINED = re.compile(r"^\W*(?:both|all|combined|everything)\b", re.IGNORECASE)
TOTAL = re.compile(
    r"^\W*(?:total|overall|sum|combined|net|all)\b|^\W*(?:this|ours|final)\b|"
    r"^\W*full\b(?! (?:GPTQ|Hessian|rope|MHA|attention|XSA|precision))",
    re.IGNORECASE,
)
_CHANGE = re.compile(
    r"\b(?:up|down|reduced|increased|changed|raised|lowered|was|from)\s(?:from )?([\w.,^]+)"
    r"|([\w.,^]+)\s?(?:->|→)\s?([\w.,^]+)",
    re.IGNORECASE,
)


def table_contrasts(reading: Reading, listed: Sequence[Table] = ()) -> Iterator[list[Ablation]]:
    """Yield the contrasts of each table, and of each list that stands for one."""
    for table in (*reading.document.tables, *listed):
        columns = columns_of(table)
        role = role_of(table, columns)
        if role == "versus":
            yield list(paired_columns(reading, table))
        elif role == "stages" and len(table.header) <= 3 and not columns.bpb:
            yield list(stage_changes(reading, table, columns))
        elif role in ("ladder", "leave_one_out", "deltas") and columns.delta:
            told = columns.bpb and role == "deltas" and _of_something_else(table, columns)
            rows = _score_rows if told else _delta_rows
            yield list(rows(reading, table, columns))
        elif role == "ladder":
            yield list(_steps(reading, table, columns))
        elif role == "sweep":
            yield list(_score_rows(reading, table, columns))
        yield list(difference_rows(reading, table, columns))


def metric_contrasts(reading: Reading) -> Iterator[list[Ablation]]:
    """Yield what two-column tables of metrics say of gains and penalties."""
    for table in reading.document.tables:
        if role_of(table, columns_of(table)) == "metrics":
            yield list(metric_rows(reading, table))


def _delta_rows(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    index = columns.delta[-1]
    title = table.header[index]
    unit = "nats" if re.search("nats", title, re.I) and "bpb" not in title.lower() else "bpb"
    flipped = flipped_by(reading, table, columns)
    ladder = sum(bool(PLUS.match(cell(row, columns.label))) for row in table.rows) >= 2
    ladder = ladder and not _restated(table, columns)
    running = _stepwise(table, columns) if ladder else {}
    column_variable = penalty_variable(title) or _between_columns(table, columns)
    rows = table.rows
    if is_log(table, columns.label) and _between_columns(table, columns):
        rows = rows[-1:]  # two courses side by side: where they end counts
    for row in rows:
        label = cell(row, columns.label)
        delta = cell_delta(row, index)
        if delta is None or SPREAD.search(label) or MEAN.search(label) or NOT_RUN.search(label):
            continue
        if _NOT_A_CHANGE.match(label):
            continue
        if column_variable:
            variable, control, treatment = column_variable
            yield at_line(
                reading,
                row.line,
                variable=variable,
                control=control,
                treatment=treatment,
                delta=gap_sign(variable, delta, cell(row, index), flipped),
                unit=unit,
            )
            continue
        if _ANOTHER.match(label):
            continue
        delta = signed(delta, cell(row, index), title, flipped)
        delta = running.get(row.line, _exact(table, columns, row, delta))
        if abs(delta) > 2:
            continue
        kind = "cumulative" if ladder and PLUS.match(label) else "single"
        if stated := _stated(reading, row, columns, label, delta, unit):
            yield stated
        else:
            if not re.search("[A-Za-z]{2}", label):
                if is_log(table, columns.label) and not _SWEPT.search(titles_of(table)):
                    continue
                label = f"{table.header[columns.label]} = {label}"
            ends = None
            if (mine := own_column(table)) is not None and len(row.cells) > mine:
                ends = (cell(row, mine - 1)[:80], cell(row, mine)[:80])
            yield from _contrast(reading, row, label, delta, unit, kind, ends)


def _exact(table: Table, columns: Columns, row: Row, delta: float) -> float:
    """A rounded change, computed anew from the two scores that it is the difference of."""
    at = table.rows.index(row)
    for index in columns.bpb[-1:]:
        onto, score = (
            [match for other in rows if (match := _FULL.match(cell(other, index)))]
            for rows in ((*table.rows[max(0, at - 1) : at], table.rows[0]), (row,))
        )
        for other in onto if score else ():
            exact = float(score[0].group(1)) - float(other.group(1))
            if abs(exact - delta) <= 5.1e-4 and abs(delta * 1e3 - round(delta * 1e3)) < 1e-6:
                return round(exact, 8)
    return delta


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
    stage = stage_of(title)
    if stage in STAGE_CONTRASTS and stage_of(table.header[first]):
        return STAGE_CONTRASTS[stage]
    named = variables_in(title)
    variable = named[0][0] if named else f"other:{slug(title)}"
    return variable, table.header[first][:80], title[:80]


def _restated(table: Table, columns: Columns) -> bool:
    """Whether a later row names what an earlier one added: each row then stands alone."""
    rows = [cell(row, columns.label) for row in table.rows]
    if any(_JOINED.match(PLUS.sub("", row)) for row in rows if PLUS.match(row)):
        return True
    named = [{name for name, _, _ in variables_in(row)} for row in rows if PLUS.match(row)]
    return any(earlier and earlier < later for earlier, later in pairwise(named)) or any(
        earlier and earlier < later for earlier, later in zip(named, named[2:], strict=False)
    )


def _stepwise(table: Table, columns: Columns) -> dict[int, float]:
    """Step-to-step changes of a ladder whose delta column counts from the first row.

    Returns row line → change against the row before; empty where the column counts steps already
    or the scores do not tell. A row whose delta counts from elsewhere keeps it.
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
    return {
        row.line: round(s - before, 8)
        for (_, before, _), (row, s, d) in pairwise(rows)
        if d is not None and abs(s - first - d) < 6e-4
    }


def _stated(
    reading: Reading, row: Row, columns: Columns, label: str, delta: float, unit: str
) -> Ablation | None:
    """A row that names a vocabulary id and gives both ends and the kind needs no reading."""
    if label not in load_variables() and not re.fullmatch(r"other:[a-z0-9_]{1,60}", label):
        return None
    ends = [
        cell(row, index) if index is not None else ""
        for index in (columns.control, columns.treatment)
    ]
    kind = cell(row, columns.kind) if columns.kind is not None else ""
    return at_line(
        reading,
        row.line,
        variable=label,
        control=ends[0] or None,
        treatment=ends[1] or None,
        delta=delta,
        unit=unit,
        kind=kind if kind in ("single", "cumulative", "bundle") else "single",
    )


def _scored(table: Table, columns: Columns) -> list[tuple[Row, float]]:
    index = columns.bpb[-1]
    return [
        (row, value)
        for row in table.rows
        if (value := cell_score(row, index)) is not None
        and not MEAN.search(cell(row, columns.label))
        and not SPREAD.match(cell(row, columns.label))
    ]


def _steps(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    """A cumulative ladder of scores: every row against the row before.

    Where most steps raise the score the rows are alternatives: each adds to the first row.
    """
    rows = _scored(table, columns)
    added = [(a, b) for (_, a), (row, b) in pairwise(rows) if PLUS.match(cell(row, columns.label))]
    ladder = sum(after > before for before, after in added) * 2 <= len(added)
    begun = False
    for (_, before), (row, after) in pairwise(rows):
        label = cell(row, columns.label)
        begun = begun or bool(PLUS.match(label))
        other = _ANOTHER.match(label) or TOTAL.match(label) or PULL_REQUEST.search(label)
        if begun and (PLUS.match(label) or not other):
            onto, kind = (before, "cumulative") if ladder else (rows[0][1], "single")
            yield from _contrast(reading, row, label, after - onto, "bpb", kind)


def _of_something_else(table: Table, columns: Columns) -> bool:
    """Whether a sweep's delta column is no difference of its scores: of a gap within each run."""
    if not _VARIED.search(titles_of(table)):
        return False
    pairs = [
        (score, delta)
        for row in table.rows
        if (score := cell_score(row, columns.bpb[-1])) is not None
        and (delta := cell_delta(row, columns.delta[-1])) is not None
    ]
    agreeing = (
        sum(abs(abs(score - control) - abs(delta)) < 6e-4 for score, delta in pairs)
        for control, _ in pairs
    )
    if len(pairs) < 3 or max(agreeing) * 2 >= len(pairs):
        return False
    controls = (sorted(score - sign * delta for score, delta in pairs) for sign in (1, -1))
    return all(b - a > 1.1e-3 for found in controls for a, b in pairwise(found))


def _score_rows(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    """Variations of one run: every row against the row that is called the baseline."""
    rows = _scored(table, columns)
    titles, log = titles_of(table), is_log(table, columns.label)
    bare = [cell(row, columns.label) for row, _ in rows]
    base = _control(table, columns, rows)
    labels = _labels(table, columns, [row for row, _ in rows], base or 0)
    course_of_one = (log or _numbered(table)) and labels != bare and not _SWEPT.search(titles)
    if len(rows) < 2 or course_of_one or "seed" in table.header[columns.label].lower():
        return
    varies = all(map(_VALUE.match, bare)) or _CHANGES.match(table.header[columns.label])
    if base is None or not (varies or comparable(labels, base, titles)):
        return
    if base == len(rows) - 1 > 2 and re.search(r"\bSOTA\b", labels[base]):
        return  # the leaderboard's best, for orientation
    course = bool(_COURSE.search(titles)) and base == 0
    for position, (row, value) in enumerate(rows):
        label = labels[position]
        if position == base or PULL_REQUEST.search(label) or _BARE_CODE.match(label):
            continue
        follows = position > 0 and (course or bool(PLUS.match(label)))
        before = position - 1
        while course and before > base and _DISCARDED.search(" ".join(rows[before][0].cells)):
            before -= 1
        onto = rows[before][1] if follows else rows[base][1]
        kind = "cumulative" if follows and before != base else "single"
        if abs(value - onto) < 1:
            yield from _contrast(reading, row, label, value - onto, "bpb", kind)
    yield from _stopped_early(reading, table, columns, rows[base][0])


def _stopped_early(
    reading: Reading, table: Table, columns: Columns, control: Row
) -> Iterator[Ablation]:
    """Rows without the last score, against the control at the last stage they were scored at."""
    for row in table.rows:
        label = cell(row, columns.label)
        if cell_score(row, columns.bpb[-1]) is not None or not re.search("[A-Za-z]{3}", label):
            continue
        for index in reversed(columns.bpb[:-1]):
            before, after = cell_score(control, index), cell_score(row, index)
            if before is not None and after is not None:
                yield from _contrast(reading, row, label, after - before, "bpb", "single")
                break


def _numbered(table: Table) -> bool:
    """Whether rows are numbered by step or time: | 1000 | 2000 | 3000."""
    numbers = [parse_number(cell(row, 0)) for row in table.rows]
    return is_log(table, 0) and all(
        one is not None and other is not None and one < other for one, other in pairwise(numbers)
    )


def _control(table: Table, columns: Columns, rows: list[tuple[Row, float]]) -> int | None:
    """Index of the row that the others are set against.

    It is the row called so; in a sweep without one, the row of value zero, else the first: a sweep
    starts from what was there.
    """
    bare = [cell(row, columns.label) for row, _ in rows]
    called = next((i for i, text in enumerate(bare) if _CALLED.match(text)), None)
    if called is not None:
        return called
    for texts in (bare, [" ".join(row.cells).replace("_", " ") for row, _ in rows]):
        base = next((i for i, text in enumerate(texts) if BASELINE.search(text)), None)
        if base is not None:
            return base
    coded = sum(
        bool(_CODE_NAME.match(label)) and not variables_in(_named(label, title))
        for label in bare
        for title in [table.header[columns.label]]
    )
    valued = all(map(_VALUE.match, bare))
    swept = _SWEPT.search(titles_of(table))
    if (is_log(table, columns.label) and not swept) or (coded * 2 >= len(bare) == len(set(bare))):
        return None
    title = table.header[columns.label]
    if not (valued or _VARIED.search(titles_of(table)) or _VARIANTS.search(title)):
        return None
    return next((i for i, label in enumerate(bare) if valued and parse_number(label) == 0), 0)


def _labels(table: Table, columns: Columns, rows: list[Row], base: int) -> list[str]:
    """What each row varies: its label, or where labels repeat, each cell that the control's lacks.

    | cosine | 0.95 | beside | cosine | 0.99 | varies the second column's setting only.
    """
    bare = [cell(row, columns.label) for row in rows]
    if len(set(bare)) == len(bare):
        return [_named(label, table.header[columns.label]) for label in bare]
    taken = {*columns.bpb, *columns.delta, *columns.size}
    free = [
        index
        for index in range(columns.label, len(table.header))
        if index not in taken and not _MEASURED.search(table.header[index])
    ]
    return [
        ", ".join(
            f"{table.header[i]} = {cell(row, i)}"
            for i in free
            if cell(row, i) != cell(rows[base], i)
        )
        for row in rows
    ]


def _named(label: str, title: str) -> str:
    """A row's label, with its column's title where that says what the bare value is of."""
    if not variables_in(label) and (
        variables_in(f"{title} = {label}") or not re.search("[A-Za-z]", label)
    ):
        return f"{title} = {label}"
    return label


def _contrast(
    reading: Reading,
    row: Row,
    label: str,
    delta: float,
    unit: str,
    kind: str,
    ends: Ends | None = None,
) -> Iterator[Ablation]:
    if not re.search(r"[A-Za-z]", label) or re.search(r"\bpr\b.{0,4}#?\d+\s{0,4}$", label, re.I):
        return
    named = _subjects(label)
    if TOTAL.match(label) or (len(named) > 1 and re.search(r"\s[+&]\s|\band\b", label)):
        kind = "bundle"
    if TOTAL.match(label) or len(named) > 2:
        variable, kind = "other:bundle", "bundle"
    else:
        variable = named[0][0] if named else f"other:{slug(PLUS.sub('', label))}"
    control, treatment = ends or _ends(label, named)
    yield at_line(
        reading,
        row.line,
        variable=variable,
        control=control,
        treatment=treatment,
        delta=delta,
        unit=unit,
        kind=kind,
    )


def _subjects(label: str) -> Named:
    """The techniques a row is about; one named only in an aside is not its subject."""
    named = variables_in(label)
    head = re.split(r"[,;]", PLUS.sub("", label), maxsplit=1)[0].strip()
    start = label.find(head) + len(head) if head else 0
    if (
        re.search(r"[A-Za-z]{3}", head)
        and not BASELINE.search(head)
        and not TOTAL.match(head)
        and named
        and min(at for _, _, at in named) >= start
    ):
        return []
    return named


def _ends(label: str, named: Named) -> Ends:
    """What the contrast goes from and to, where the label says."""
    text = PLUS.sub("", label).strip()
    if MINUS.match(label):
        thing = MINUS.sub("", label).strip()[:80]
        return thing or None, "none"
    match = _CHANGE.search(label)
    if match and match.group(2):
        return match.group(2), match.group(3)
    value = next((str(v) for _, v, _ in named if v is not None), None)
    return (match.group(1) if match else None), value or text[:80] or None
