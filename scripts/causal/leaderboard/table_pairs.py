"""Tables and rows that set one thing against another: columns, metrics, closing rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from statistics import fmean

from scripts.causal.leaderboard.changed import changes_in
from scripts.causal.leaderboard.contrasts import (
    GAIN,
    WORSE,
    Reading,
    at_line,
    slug,
)
from scripts.causal.leaderboard.document import Row, Table
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.stages import STAGE_CONTRASTS, stage_of
from scripts.causal.leaderboard.table_roles import (
    ABSENT,
    BASELINE,
    OURS,
    PULL_REQUEST,
    bpb_row,
    stage_row,
)
from scripts.causal.leaderboard.table_signs import gap_contrast, penalty_variable, signed
from scripts.causal.leaderboard.tables import (
    Columns,
    cell,
    cell_delta,
    cell_score,
    mean_row,
)
from scripts.causal.leaderboard.techniques import variables_in

_COMPARES = re.compile(
    r"\bgain|\bimprove|\bdelta|Δ|\bpenalty|\bgap\b|\bbenefit|\bdegradation|\bvs\.?\b|\bcost\b",
    re.IGNORECASE,
)
_UNIT = re.compile(r"\W*(?:val_?)?\bbp[bp]\b\W*", re.IGNORECASE)
_MEAN_OF = re.compile(r"\bmean|\baverage|\bavg", re.IGNORECASE)
_SINGLE = re.compile(r"\bbest\b|\bworst\b|\bseed \d", re.IGNORECASE)
_SAME = 6e-4  # bpb: what rounding leaves between a difference and the column that states it
_WITH = re.compile(r"^(?:with|\+)\s", re.IGNORECASE)
_THOUSANDTHS = re.compile(r"\bm-?bp[bp]\b", re.IGNORECASE)
_NATS = re.compile(r"^(?!.*\bbp[bp]\b).*\bnats?\b", re.IGNORECASE | re.DOTALL)
_AGAINST = re.compile(
    r"^\W*(?:improvement|delta|gain|Δ)\W*(?:(?:val_)?bp[bp]\W*)?$|"
    r"\bvs\b|\bover\b|baseline|SOTA|#\d{2,5}",
    re.IGNORECASE,
)
_CHANGE = re.compile(r"\W{0,4}[+-]?0?\.\d{3,8}(?![\d%])(?!\s?(?:s\b|ms|MB|nats|\())")
_STAGE_GAIN = re.compile(
    r"\W*(?:(?:legal|score-first) )?(sliding(?: window)?|TTT|n-?gram|SLOT) "
    r"(?:gain|benefit|improvement)\b",
    re.IGNORECASE,
)
_OUR_OTHER = re.compile(r"\bour (?:\w+ )?(?:PR )?#\d", re.IGNORECASE)  # an earlier submission
_VS_OURS = re.compile(r"\b(?:vs\.?|to|from|over) (?:ours?|this|us)\b", re.IGNORECASE)
_DIFFERENCE = re.compile(
    r"\W*(?:Δ|delta|difference|improvement|change|gain)\W*"
    r"(?:$|vs|over|from|against|(?<=\()[^()]{1,20} vs\b)",
    re.I,
)


def paired_columns(reading: Reading, table: Table) -> Iterator[Ablation]:
    """| Metric | Control | Treatment | with rows of scores: the last such row's contrast."""
    titles = (table.header[1], table.header[2])
    turned = bool(ABSENT.search(titles[1])) and not ABSENT.search(titles[0])
    turned = turned or bool(
        (OURS.search(titles[0]) or not BASELINE.search(titles[0]))
        and BASELINE.search(titles[1])
        and not OURS.search(titles[1])
    )
    control, treatment = (2, 1) if turned else (1, 2)
    stages = [stage_of(title) for title in titles]
    between = _between_stages(table)
    means = [row for row in table.rows if bpb_row(row) and _MEAN_OF.search(cell(row, 0))]
    for row in table.rows:
        if row in between or (means and row not in means and _SINGLE.search(cell(row, 0))):
            continue
        before, after = cell_score(row, control), cell_score(row, treatment)
        if (
            not (bpb_row(row) or stage_row(row))
            or before is None
            or after is None
            or abs(after - before) > 1
        ):
            continue
        if all(stages) and stages[0] != stages[1] and stages[1] in STAGE_CONTRASTS:
            variable, kind = STAGE_CONTRASTS[stages[1]][0], "single"
        else:
            variable, kind = _difference_of(table, control, treatment)
        yield at_line(
            reading,
            row.line,
            variable=variable,
            control=table.header[control][:80],
            treatment=table.header[treatment][:80],
            delta=after - before,
            kind=kind,
        )


def _between_stages(table: Table) -> list[Row]:
    """The stages between the first and the last of two runs: they tell one difference again."""
    staged = [
        row
        for row in table.rows
        if stage_of(cell(row, 0))
        and cell_score(row, 1) is not None
        and cell_score(row, 2) is not None
    ]
    return staged[1:-1]


def _difference_of(table: Table, control: int, treatment: int) -> tuple[str, str]:
    """Return the variable two columns differ in, as their titles tell, and the contrast's kind."""
    title = table.header[treatment]
    absent = ABSENT.search(table.header[control])
    known = set() if absent else {item[:2] for item in changes_in(table.header[control])}
    named = list(dict.fromkeys(item[0] for item in changes_in(title) if item[:2] not in known))
    if len(named) == 1 and not (_whole_run(title) and _differ(table, control, treatment)):
        return named[0], "single"
    if named or (not absent and _whole(title, table)):
        return "other:bundle", "bundle"
    return f"other:{slug(_UNIT.sub('', _WITH.sub('', title)))}", "single"


def _whole_run(title: str) -> bool:
    return bool(OURS.search(title) or PULL_REQUEST.search(title))


def _differ(table: Table, control: int, treatment: int) -> bool:
    """Whether the rows tell several settings in which two columns' runs differ."""
    told = [
        row
        for row in table.rows
        if variables_in(cell(row, 0))
        and not (bpb_row(row) or stage_row(row))
        and cell(row, control) != cell(row, treatment)
    ]
    return len(told) > 1


def paired_seeds(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    """| Seed | Control | Treatment | Δ |, each seed run twice: the difference of the means.

    The column of differences tells which of the two is the treatment.
    """
    if len(columns.bpb) != 2 or len(columns.delta) != 1:
        return
    first, second = columns.bpb
    gains = GAIN.search(table.header[columns.delta[0]])
    thousandths = 1000 if _THOUSANDTHS.search(table.header[columns.delta[0]]) else 1
    rows, turned, apart = [], 0, 0
    for row in table.rows:
        one, other, delta = (
            cell_score(row, first),
            cell_score(row, second),
            cell_delta(row, columns.delta[0]),
        )
        if one is None or other is None or delta is None:
            continue
        delta /= thousandths
        rows.append((row, one, other))
        apart += abs(other - one - delta) < _SAME
        turned += abs(one - other - delta) < _SAME
    titles = table.header[first], table.header[second]
    if max(apart, turned) < 2 or apart == turned or all(map(stage_of, titles)):
        return
    if re.match(r"\W*pre[- ]", titles[0], re.IGNORECASE):
        return  # stages of one run
    mean = fmean(other - one for _, one, other in rows)
    backwards = mean > 0 if gains else turned > apart
    control, treatment = (second, first) if backwards else (first, second)
    at = mean_row(table)
    row = table.rows[at] if at is not None else rows[-1][0]
    scores = [(one, other) for found, one, other in rows if at is None or found is row]
    if not scores:
        return
    delta = fmean(other - one for one, other in scores)
    variable, kind = _difference_of(table, control, treatment)
    yield at_line(
        reading,
        row.line,
        variable=variable,
        control=table.header[control][:80],
        treatment=table.header[treatment][:80],
        delta=-delta if backwards else delta,
        kind=kind,
    )


def _whole(title: str, table: Table) -> bool:
    """Whether a column is a whole submission rather than one change of it."""
    return bool(OURS.search(title) or PULL_REQUEST.search(title) or len(table.rows) > 4)


def metric_rows(reading: Reading, table: Table) -> Iterator[Ablation]:
    """| Metric | Value | with rows such as "TTT gain" or "Delta vs SOTA"."""
    for row in table.rows:
        label, text = cell(row, 0), cell(row, 1)
        if not _COMPARES.search(label) or re.search(r"size|bytes|time|step|loss|ppl", label, re.I):
            continue
        delta = cell_delta(row, 1)
        if delta is None or abs(delta) > 1:
            continue
        if stage := penalty_variable(label):
            yield gap_contrast(reading, row, stage, delta, text, reading.positive_is_better)
            continue
        against = _AGAINST.search(label)
        subject = re.split(r"\bvs\b|\bover\b|\bfrom\b|\(", label, maxsplit=1)[0]
        named = variables_in(subject)
        if named or against:
            yield at_line(
                reading,
                row.line,
                variable=named[0][0] if named else "other:bundle",
                control=None,
                treatment=None,
                delta=signed(delta, text, label, reading.positive_is_better),
                unit="nats" if _NATS.search(f"{label} {text}") else "bpb",
                kind="single" if named else "bundle",
            )


def gain_rows(reading: Reading, table: Table, beside: Sequence[int] = ()) -> Iterator[Ablation]:
    """Rows such as "| TTT gain | -0.041 BPB | -0.0025 BPB |" in tables of settings: each run's.

    Columns `beside` the runs' tell how the gains differ.
    """
    for row in table.rows:
        column = penalty_variable(cell(row, 0))
        gain = _STAGE_GAIN.match(cell(row, 0))
        stage_named = stage_of(gain.group(1)) if gain else None
        column = STAGE_CONTRASTS.get(stage_named or "", column)
        for index in range(1, len(table.header) if column else 0):
            if index in beside:
                continue
            delta, text = cell_delta(row, index), cell(row, index)
            told = "bpb" in f"{row.cells[0]} {text}".lower() or _CHANGE.match(text)
            if column is None or delta is None or not told:
                continue
            variable, control, treatment = column
            stage = (variable, control, f"{treatment} ({table.header[index][:40]})")
            delta = -abs(delta) if gain else delta
            flipped = reading.positive_is_better and not gain
            yield gap_contrast(reading, row, stage, delta, text, flipped)


def stage_changes(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    """Stages of one run with the change each brought, no scores beside it."""
    for row in table.rows:
        stage = stage_of(cell(row, columns.label))
        delta = cell_delta(row, columns.delta[-1]) if columns.delta else None
        if stage in STAGE_CONTRASTS and delta is not None and abs(delta) <= 3:
            variable, control, treatment = STAGE_CONTRASTS[stage]
            text = cell(row, columns.delta[-1])
            yield at_line(
                reading,
                row.line,
                variable=variable,
                control=control,
                treatment=treatment,
                delta=abs(delta) if WORSE.search(text) else delta,
            )


def others_rows(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    """Other submissions, each with its distance to this one: | PR #555 | 1.0916 | +0.0218 |.

    Scores less distances are then one number: the score of this submission's row, or of no row.
    """
    if not (columns.bpb and columns.delta):
        return
    told, own = [], []
    for row in table.rows:
        score, delta = cell_score(row, columns.bpb[-1]), cell_delta(row, columns.delta[-1])
        label = cell(row, columns.label)
        if score is not None and OURS.search(label) and not _OUR_OTHER.search(label):
            own.append(score)
        elif score is not None and delta and PULL_REQUEST.search(label):
            told.append((row, score, delta))
    if own and _VS_OURS.search(table.header[columns.delta[-1]]):
        yield from _others_of(reading, table, columns, own[0])
        return
    for sign in (1, -1):
        ours = [score - sign * delta for _, score, delta in told]
        if len(ours) < 2 or max(ours) - min(ours) > 2 * _SAME:
            continue
        if own and abs(own[0] - ours[0]) > _SAME:
            continue
        for row, _, delta in told:
            yield at_line(
                reading,
                row.line,
                variable="other:bundle",
                control=cell(row, columns.label)[:80],
                treatment=None,
                delta=-sign * delta,
                kind="bundle",
            )
        return


def _others_of(reading: Reading, table: Table, columns: Columns, own: float) -> Iterator[Ablation]:
    """Each row of a table whose changes are said to count from this submission's score."""
    for row in table.rows:
        score, delta = cell_score(row, columns.bpb[-1]), cell_delta(row, columns.delta[-1])
        label = cell(row, columns.label)
        if score is None or not delta or OURS.search(label):
            continue
        if abs(abs(score - own) - abs(delta)) > 2 * _SAME or re.search("~", row.cells[-1]):
            continue
        yield at_line(
            reading,
            row.line,
            variable="other:bundle",
            control=label[:80],
            treatment=None,
            delta=own - score,
            kind="bundle",
        )


def difference_rows(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    """A closing row such as "| Delta vs SOTA | | -0.0050 |"."""
    if not columns.bpb:
        return
    for row in table.rows:
        text = cell(row, columns.bpb[-1])
        where = next((c for c in row.cells if _DIFFERENCE.match(c)), None)
        delta = cell_delta(row, columns.bpb[-1])
        if where is None or where is text or delta is None or not 0 < abs(delta) < 0.6:
            continue
        if penalty_variable(where) or not re.match(r"\W{0,4}\d", text) or _NATS.search(text):
            continue
        yield at_line(
            reading,
            row.line,
            variable="other:bundle",
            control=None,
            treatment=None,
            delta=signed(delta, text, where, reading.positive_is_better),
            kind="bundle",
        )
