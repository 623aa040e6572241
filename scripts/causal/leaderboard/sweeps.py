"""Runs with their scores, set against the control among them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, pairwise

from scripts.causal.leaderboard.contrasts import (
    Reading,
)
from scripts.causal.leaderboard.document import Row, Table
from scripts.causal.leaderboard.nearest_run import nearest_before
from scripts.causal.leaderboard.numbers import parse_number
from scripts.causal.leaderboard.row_contrasts import held, left_out, row_contrast, scored
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.table_roles import (
    BASELINE,
    LENGTH,
    LONGER,
    MINUS,
    PLUS,
    PULL_REQUEST,
    comparable,
    titles_of,
)
from scripts.causal.leaderboard.tables import (
    Columns,
    cell,
    cell_delta,
    cell_score,
    is_log,
)
from scripts.causal.leaderboard.techniques import variables_in

_COURSE = re.compile(  # each row goes on from the row before
    r"\bprogress(?:ion)?\b|journey|timeline|evolution|history|trajectory|ladder|incremental|"
    r"cumulative|stack(?:ed|ing)",
    re.IGNORECASE,
)
_DISCARDED = re.compile(r"\bdiscard|\breject|\brevert|\babandon", re.IGNORECASE)
_VARIED = re.compile(r"sweep|ablat|\bscan\b|\bgrid\b", re.IGNORECASE)
_CODE_NAME = re.compile(r"\W*(?=\w*[A-Za-z])\w*[_\d]\w*\W*$")  # AB3_011: says nothing of the run
_VALUE = re.compile(r"\W*\d[\w.,%]{0,9}\W*(?:\([^()\n]{0,60}\)\W*)?$")
_CHANGES = re.compile(
    r"\W*(?:changes?|variants?|modification|variation|difference|what changed)\b", re.IGNORECASE
)
_CONTROL = re.compile(
    r"\bbaseline|\bcontrol\b(?!-|\s?\+)|\breference\b|\bdefaults?\b|\bchosen\)", re.IGNORECASE
)
_CALLED = re.compile(
    r"\W*(?:naive |the )?(?:baseline|control|default|none|"
    r"(?:neural|NN|model|LM)[ -](?:only|alone))\b"
    r"(?!-\w|\s?\+)",
    re.IGNORECASE,
)
_BARE_CODE = re.compile(r"\W*[A-Za-z]{1,3}[-_ ]?\d{1,3}[a-z]?\W*$")  # R2, exp 12
_SAID = re.compile(
    rf"\W*(?:\w+ ){{0,2}}(?:{BASELINE.pattern})", re.IGNORECASE
)  # of a remark, its subject
_MEASURED = re.compile(
    r"time|\bsteps?\b|gpus?\b|hardware|\bHBM\b|params|\bms\b|size|memory|note|status|\bvs\b|date|delta|Δ|loss|speed|"
    r"\bfits?\b|complian|legal|learning|valid|result|reason|\bwhy\b|comment|verdict|artifact|\bMB\b",
    re.IGNORECASE,
)
_ASSIGNS = re.compile(r"\W*[A-Za-z][A-Za-z_]{2,}\s?=")
_ALL_OF_THEM = re.compile(
    r"\(all\b|\ball (?:above|below|combined)\b|\beverything\b", re.IGNORECASE
)
_BASELINE_RUN = re.compile(
    r"\b(?:naive|official|public|\d+[- ]?(?:h|hours?|min\w*))\b.*"
    r"\bbaselines?\W*(?:\([^()]*\)\W*)?$",
    re.IGNORECASE,
)
_THIS = re.compile(r"\W*(?:this|ours?|full|final)\b", re.IGNORECASE)
_EARLIER = re.compile(r"\((?:the |our )?(?:prev\w*|prior|first|old|earlier)\b", re.IGNORECASE)
_GAINED, _RUINED = 1.0, 3.0  # bpb: no change betters a score by so much, or worsens it
_STEPS = 100  # a lesser number counts the rows themselves
_AS_LONG = 1.2  # times the steps: less is a faster machine
_VARIANTS = re.compile(r"\bvariants?\b|\bsetting\b|\bconfig", re.IGNORECASE)
SWEPT = re.compile(r"sweep|ablat|\bscan|tuning|\bvs\b", re.IGNORECASE)


def of_something_else(table: Table, columns: Columns) -> bool:
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
    scores = [score for row in table.rows if (score := cell_score(row, columns.bpb[-1]))]
    if all(any(abs(score - delta - other) < 6e-4 for other in scores) for score, delta in pairs):
        return False  # each row has a control of its own
    if len(pairs) < 3 or max(agreeing) * 2 >= len(pairs):
        return False
    controls = (sorted(score - sign * delta for score, delta in pairs) for sign in (1, -1))
    return all(b - a > 1.1e-3 for found in controls for a, b in pairwise(found))


def score_rows(reading: Reading, table: Table, columns: Columns) -> Iterator[Ablation]:
    """Variations of one run: every row against the row that is called the baseline."""
    rows = scored(table, columns)
    titles, log = titles_of(table), is_log(table, columns.label)
    bare = [cell(row, columns.label) for row, _ in rows]
    base = _control(table, columns, rows)
    labels = _labels(table, columns, [row for row, _ in rows], base or 0)
    numbered = _numbered(table) and (parse_number(cell(table.rows[-1], 0)) or 0) >= _STEPS
    course_of_one = (numbered or (log and labels != bare)) and not SWEPT.search(titles)
    if len(rows) < 2 or course_of_one or "seed" in table.header[columns.label].lower():
        return
    varies = all(map(_VALUE.match, bare)) or _CHANGES.match(table.header[columns.label])
    if base is None or not (varies or comparable(labels, base, titles)):
        return
    if _is_ranking(table, bare, [value for _, value in rows]):
        return
    if base == len(rows) - 1 > 2 and re.search(r"\bSOTA\b", labels[base]):
        return  # the leaderboard's best, for orientation
    grid = _is_grid(bare) or (_are_codes(bare) and bool(_varying(table, columns, rows)))
    ours = bool(_THIS.match(bare[base]))
    course = base == 0 and _is_course(table, [value for _, value in rows])
    failed, above = left_out(reading, table), set[str]()
    for position, (row, value) in enumerate(rows):
        above |= held(bare[position - 1 : position])
        label = labels[position]
        former = ours and bool(_EARLIER.search(label))
        if position == base or (_BARE_CODE.match(label) and not grid):
            continue
        if (PULL_REQUEST.search(label) and not former) or _is_another_control(label, bare[base]):
            continue
        if grid:
            label, onto_row, one = _nearest(
                table, columns, [row for row, _ in rows], position, base, course
            )
            if not label:
                label = _longer(table, row, rows[onto_row][0])
            if label and _comparable(value - rows[onto_row][1]):
                delta = value - rows[onto_row][1]
                kind = "single" if one else "bundle"
                yield from row_contrast(reading, row, label, delta, "bpb", kind)
            continue
        follows = position > 0 and (course or bool(PLUS.match(label)))
        before = position - 1
        while course and before > base and _DISCARDED.search(" ".join(rows[before][0].cells)):
            before -= 1
        if not follows:
            before = nearest_before(bare, position, base)
        onto = rows[before][1]
        kind = "cumulative" if follows and before != base else "single"
        if _comparable(value - onto):
            control = bare[before]
            had = {*failed, *(above if follows else ())}
            if former or (ours and MINUS.match(label)):
                label = bare[base] if former else MINUS.sub("", label).strip()
                yield from row_contrast(reading, row, label, onto - value, "bpb", kind)
                continue
            yield from row_contrast(
                reading, row, label, value - onto, "bpb", kind, None, control, had
            )
    yield from _stopped_early(reading, table, columns, rows[base][0])


def _comparable(delta: float) -> bool:
    """Whether two scores are of one kind: one may be ruined, not bettered by a whole bit."""
    return -_GAINED < delta < _RUINED


def _is_ranking(table: Table, labels: list[str], scores: list[float]) -> bool:
    """Whether runs with code names are listed by their rank, the best first."""
    coded = sum(bool(_CODE_NAME.match(label)) for label in labels)
    ranked = re.match(r"\W*(?:rank|#|place)\W*$", table.header[0], re.IGNORECASE)
    return bool(ranked) and coded * 2 >= len(labels) and scores == sorted(scores)


def _is_another_control(label: str, control: str) -> bool:
    """Whether a row is one more run to compare with: "4-hour baseline" below "naive baseline"."""
    return bool(_BASELINE_RUN.search(label) and _BASELINE_RUN.search(control))


def _is_course(table: Table, scores: list[float]) -> bool:
    """Whether rows go on from one another, as the heading says and, below others, the scores."""
    if not _COURSE.search(titles_of(table)):
        return False
    if table.section and _COURSE.search(table.section[-1]):
        return True
    falls = sum(after <= before for before, after in pairwise(scores))
    return falls * 3 >= 2 * (len(scores) - 1)


def _stopped_early(
    reading: Reading, table: Table, columns: Columns, control: Row
) -> Iterator[Ablation]:
    """Rows without the last score, against the control at the last stage they were scored at."""
    called = (row for row in table.rows if _CALLED.match(cell(row, columns.label)))
    control = next(called, control)  # it may have been stopped early itself
    for row in table.rows:
        label = cell(row, columns.label)
        if cell_score(row, columns.bpb[-1]) is not None or not re.search("[A-Za-z]{3}", label):
            continue
        if row is control:
            continue
        for index in reversed(columns.bpb[:-1]):
            before, after = cell_score(control, index), cell_score(row, index)
            if before is not None and after is not None:
                yield from row_contrast(reading, row, label, after - before, "bpb", "single")
                break


def _numbered(table: Table) -> bool:
    """Whether rows are numbered by step or time: | 1000 | 2000 | 3000."""
    numbers = [parse_number(cell(row, 0)) for row in table.rows]
    rising = all(
        one is not None and other is not None and one < other for one, other in pairwise(numbers)
    )
    return is_log(table, 0) and rising


def _control(table: Table, columns: Columns, rows: list[tuple[Row, float]]) -> int | None:
    """Index of the row that the others are set against.

    It is the row called so; in a sweep without one, the row of value zero, else the first: a sweep
    starts from what was there.
    """
    bare = [cell(row, columns.label) for row, _ in rows]
    called = next((i for i, text in enumerate(bare) if _CALLED.match(text)), None)
    if called is not None:
        return called
    if bare and _THIS.match(bare[0]) and re.search("ablat", titles_of(table), re.IGNORECASE):
        return 0  # and what it would be without each of its parts
    spoken = [text.replace("_", " ") for text in bare]
    named = next((i for i, text in enumerate(spoken) if _CONTROL.search(text)), None)
    if named is not None:
        return named
    remarks = [[text.replace("_", " ") for text in row.cells] for row, _ in rows]
    titled = (i for i, text in enumerate(bare) if BASELINE.search(text))
    said = (i for i, texts in enumerate(remarks) if any(map(_SAID.match, texts)))
    if (base := next(chain(titled, said), None)) is not None:
        return base
    alone = bool(bare) and bare.count(bare[0]) == 1 and _is_grid(bare)
    told = _are_codes(bare) and bool(_varying(table, columns, rows))
    if (alone or told) and _VARIED.search(" / ".join(table.section)):
        return 0  # CE, then P2 with one gamma after the other
    coded = sum(
        bool(_CODE_NAME.match(label)) and not variables_in(_named(label, title))
        for label in bare
        for title in [table.header[columns.label]]
    )
    valued = all(map(_VALUE.match, bare))
    swept = SWEPT.search(titles_of(table))
    if (is_log(table, columns.label) and not swept) or (coded * 2 >= len(bare) == len(set(bare))):
        return None
    title = table.header[columns.label]
    if bare and _ALL_OF_THEM.search(bare[0]):
        return None  # of single changes below it, from what is not told
    if len(bare) == 2 and not any(map(_THIS.match, bare)) and not valued:
        return 0  # two runs: the new one is told last
    if not (valued or _VARIED.search(titles_of(table)) or _VARIANTS.search(title)):
        return None
    return next((i for i, label in enumerate(bare) if valued and parse_number(label) == 0), 0)


def _labels(table: Table, columns: Columns, rows: list[Row], base: int) -> list[str]:
    """What each row varies: its label, or where labels repeat, each cell that the control's lacks.

    | cosine | 0.95 | beside | cosine | 0.99 | varies the second column's setting only.
    """
    bare = [cell(row, columns.label) for row in rows]
    if not _is_grid(bare):
        return [_named(label, table.header[columns.label]) for label in bare]
    free = _settings(table, columns)
    return [_changes(table, free, row, rows[base]) for row in rows]


def _is_grid(labels: list[str]) -> bool:
    """Whether labels repeat: the rows differ in other columns too."""
    return len(set(labels)) < len(labels)


def _are_codes(labels: list[str]) -> bool:
    """Whether most rows are called R2, V2b or exp 12: what they are the other columns tell."""
    return sum(bool(_BARE_CODE.match(label)) for label in labels) * 2 > len(labels)


def _varying(table: Table, columns: Columns, rows: list[tuple[Row, float]]) -> list[int]:
    """The columns of what was set besides the label, in which the rows differ."""
    return [
        index
        for index in _settings(table, columns)
        if index != columns.label and len({cell(row, index) for row, _ in rows}) > 1
    ]


def _settings(table: Table, columns: Columns) -> list[int]:
    """The columns of what was set, from the label on."""
    taken = {*columns.bpb, *columns.delta, *columns.size}
    return [
        index
        for index in range(columns.label, len(table.header))
        if index not in taken and not _MEASURED.search(table.header[index])
    ]


def _changes(table: Table, settings: list[int], row: Row, other: Row) -> str:
    changed = []
    for i in settings:
        mine, theirs = cell(row, i), cell(other, i)
        parts = [part for part in mine.split(", ") if part not in theirs.split(", ")]
        if mine == theirs:
            continue
        told = len(parts) < len(mine.split(", ")) and all(map(_ASSIGNS.match, parts))
        changed.append(", ".join(parts) if told else f"{table.header[i]} = {mine}")
    return ", ".join(changed)


def _longer(table: Table, row: Row, other: Row) -> str:
    """What a row changes that is set as its control is: how long it trained, if told."""
    steps = next((i for i, title in enumerate(table.header) if LENGTH.match(title)), None)
    if steps is None:
        return ""
    mine, theirs = (parse_number(cell(one, steps)) or 0.0 for one in (row, other))
    return LONGER if max(mine, theirs) > _AS_LONG * min(mine, theirs) > 0 else ""


def _nearest(
    table: Table, columns: Columns, rows: list[Row], at: int, base: int, course: bool
) -> tuple[str, int, bool]:
    """Of a grid's row: what it changes, against which row, and whether that is one setting.

    The control where the row differs from it in one column, else the last row before that it so
    differs from, else the control.
    """
    labels = [cell(row, columns.label) for row in rows]
    settings = [
        i for i in _settings(table, columns) if i != columns.label or not _are_codes(labels)
    ]
    if course and at:
        base = at - 1
    for other in (base,) if course else (base, *range(at - 1, -1, -1)):
        differing = [i for i in settings if cell(rows[at], i) != cell(rows[other], i)]
        if len(differing) == 1 and other != at:
            return _changes(table, settings, rows[at], rows[other]), other, True
    return _changes(table, settings, rows[at], rows[base]), base, False


def _named(label: str, title: str) -> str:
    """A row's label, with its column's title where that says what the bare value is of."""
    if (
        not variables_in(label)
        and not _ASSIGNS.match(label)
        and (
            variables_in(f"{title} = {label}")
            or not re.search("[A-Za-z]", label.partition("(")[0])
        )
    ):
        return f"{title} = {label}"
    return label
