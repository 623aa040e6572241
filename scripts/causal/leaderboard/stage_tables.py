"""Stage scores that tables hold: one column per stage, or one row per stage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean

from scripts.causal.leaderboard.document import Document, Row, Table
from scripts.causal.leaderboard.numbers import parse_number
from scripts.causal.leaderboard.schema import Source
from scripts.causal.leaderboard.stages import (
    NO_SCORE,
    ORDER,
    Score,
    Stages,
    stage_of,
    stage_rows,
)
from scripts.causal.leaderboard.table_roles import OURS
from scripts.causal.leaderboard.tables import (
    Columns,
    cell,
    cell_score,
    columns_of,
    is_log,
    mean_row,
    parse_seed,
)

STARTS = re.compile(
    r"\b(?:base|static|raw|bf16|training|checkpoint|last|live|neural|standard|non-overlap\w*|"
    r"full eval)\b|\bpre-(?:oracle|cache|mix\w*|hedge|n-?gram|ppm)\b",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(r"\dx?[- ]?(?:step|GPU|[HA]\d00)|baseline|best", re.IGNORECASE)
_FINAL = re.compile(r"^\W*(?:final\b(?!.*\d-?gram)|submission bpb|submitted)", re.IGNORECASE)
_ENDS = re.compile(r"\W*(pre|post)\W+(?:val )?bpb\W*$", re.IGNORECASE)
_SPOKEN = (("mixed", r"\b(?:n|\d)-?gram\b|\bPPM\b"), ("ttt", r"\bTTT\b"), ("sliding", r"sliding"))
_NO_RUN = re.compile(r"^\W*(?:(?:val|train)_)?loss\b|delta|Δ|^\W*std\b", re.IGNORECASE)
_RANGE = re.compile(r"\d\.\d+ ?(?:(?:-|to) ?~?\d\.\d|~)")
_CHANGE = re.compile(r"\bgain|\bdelta|Δ|\bgap\b|\bimprove", re.IGNORECASE)
_ESTIMATED = re.compile(r"\W*(?:estimat|project(?:ed|ion)|expected|extrapolat)", re.IGNORECASE)
_MEAN = re.compile(r"\bmean|\bavg|\baverage|-seed\b", re.IGNORECASE)
_ROUNDED = 6e-4  # bpb: three decimals
_LEAST = 5e-3  # bpb: less is no sliding window
_SURE = 2e-3  # bpb: so much better with every seed
_BROUGHT = {"mixed": -0.01, "ttt": 0.0, "sliding": -_LEAST}  # bpb: what a stage brings at least
_MIXED = 0.1  # bpb: more than test-time training makes of one run
_BARE = re.compile(r"^\W*(?:(?:final|score-first) )?val[_ ]?bpb\W*$", re.IGNORECASE)


def table_ladders(document: Document, table: Table) -> list[Stages]:
    """The stages of each run that a table tells of, the submission's own first.

    A table of seeds is one run: its mean. Other tables have a column or a row for each stage, and
    a row or a column for each run.
    """
    columns = columns_of(table)
    mean = mean_row(table)
    seeds = [parse_seed(cell(row, columns.seed)) for row in table.rows if columns.seed is not None]
    if columns.seed is not None and (mean is not None or len(set(seeds)) == len(seeds)):
        return [_of_seeds(document, table, columns, columns.seed)]
    labels = [cell(row, columns.label) for row in table.rows]
    if turned := _of_seed_columns(document, table, labels):
        return [turned]
    titles = _staged(document, table, columns, guessed=False)
    if len(set(titles.values())) > 1 and not is_log(table, columns.label):
        rows = table.rows if mean is None else (table.rows[mean],)
        called = {0, columns.label}
        rows = tuple(row for row in rows if not any(_NO_RUN.search(cell(row, i)) for i in called))
        return [
            _ladder(document, [(s, row, i, table.header[i]) for i, s in titles.items()])
            for row in rows
        ]
    if columns.seed is not None:
        return []
    named = stage_rows(labels) or _end_of_log(table, columns)
    runs: Iterable[int] = columns.bpb
    if (
        not (named and columns.bpb) and len(table.header) > 2
    ):  # rows of metrics, a column for each run
        named = {i: s for i, label in enumerate(labels) if (s := _metric(label))}
        whole = set(range(columns.label + 1, len(table.header)))
        runs = sorted(whole.difference(columns.delta))
    return [
        _ladder(document, [(s, table.rows[i], at, labels[i]) for i, s in named.items()])
        for at in runs
    ]


def _of_seed_columns(document: Document, table: Table, labels: Sequence[str]) -> Stages:
    """One row per stage, one column per seed: the column of means, else the mean of the seeds'."""
    seeds = [i for i, title in enumerate(table.header) if i and parse_seed(title) is not None]
    if len(seeds) < 2 or len({*map(table.header.__getitem__, seeds)}) < 2:
        return {}
    means = [i for i, title in enumerate(table.header) if i > seeds[-1] and _MEAN.search(title)]
    stages: Stages = {}
    for row, label in zip(table.rows, labels, strict=True):
        stage = stage_of(label)
        values = [v for i in means[:1] or seeds if (v := cell_score(row, i)) is not None]
        if stage and values and not NO_SCORE.search(label):
            source = Source(file=document.name, line=row.line)
            stages.setdefault(stage, Score(fmean(values), source, label))
    return stages if len(stages) > 1 else {}


def own_run(
    document: Document, rows: Sequence[Row], ladders: Sequence[Stages], final: float | None
) -> int:
    """Which row is the submission: the one that has its score, says so, or stands in bold."""

    def likeness(at: int) -> tuple[bool, bool, bool, int]:
        values = [score.value for score in ladders[at].values()]
        scored = final is not None and any(abs(value - final) < _ROUNDED for value in values)
        label = " ".join(rows[at].cells[:2])
        bold = "**" in "|".join(document.lines[rows[at].line - 1].split("|")[1:3])
        return scored, bool(OURS.search(label)), bold, -at

    return max((at for at, ladder in enumerate(ladders) if len(ladder) > 1), key=likeness)


def _metric(label: str) -> str | None:
    scored = re.search(r"bpb", label, re.IGNORECASE) and not NO_SCORE.search(label)
    return stage_of(label) if scored else None


def _ladder(document: Document, cells: Iterable[tuple[str, Row, int, str]]) -> Stages:
    """The stages whose cells hold a score: of steps the last, of all else the first of equals."""
    stages: Stages = {}
    for stage, row, index, label in cells:
        value = cell_score(row, index)
        if value is not None and not _RANGE.search(cell(row, index)) and not _guessed(row):
            earlier = stage in stages and re.search("step", stages[stage].label, re.IGNORECASE)
            if stage not in stages or (earlier and stage == "raw"):
                source = Source(file=document.name, line=row.line)
                stages[stage] = Score(value, source, label)
    return stages


def _guessed(row: Row) -> bool:
    """Whether a row's remark says that its score was not measured."""
    return any(_ESTIMATED.match(text) for text in row.cells[1:])


def _end_of_log(table: Table, columns: Columns) -> dict[int, str]:
    """The last step of a training log and the row after it that names what came of the weights."""
    labels = [cell(row, columns.label) for row in table.rows]
    if len(labels) < 3 or not is_log(table, columns.label):
        return {}
    stage = stage_of(labels[-1])
    last = parse_number(labels[-2].removeprefix("step ").strip())
    return {len(labels) - 2: "raw", len(labels) - 1: stage} if stage and last else {}


def _of_seeds(document: Document, table: Table, columns: Columns, seed: int) -> Stages:
    """One column per stage, one row per seed: the mean row, else the mean over the rows."""
    stages: Stages = {}
    mean = mean_row(table)
    staged = _staged(document, table, columns)
    if whole := _common(table, list(staged), seed, mean):
        table, mean = replace(table, rows=whole), None
    for index, stage in staged.items():
        if mean is not None and (value := cell_score(table.rows[mean], index)) is not None:
            line = table.rows[mean].line
        else:
            values = [v for row in table.rows if (v := cell_score(row, index)) is not None]
            if not values:
                continue
            value, line = fmean(values), table.rows[0].line
        source = Source(file=document.name, line=line)
        stages.setdefault(stage, Score(value, source, table.header[index]))
    return stages


def _common(table: Table, columns: Sequence[int], seed: int, mean: int | None) -> tuple[Row, ...]:
    """The seeds that ran every stage, where others did not and no mean is told of all stages."""
    if mean is not None and all(cell_score(table.rows[mean], i) is not None for i in columns):
        return ()
    rows = [row for row in table.rows if parse_seed(cell(row, seed)) is not None]
    whole = [row for row in rows if all(cell_score(row, i) is not None for i in columns)]
    return tuple(whole) if len(whole) < len(rows) else ()


def _staged(
    document: Document, table: Table, columns: Columns, guessed: bool = True
) -> dict[int, str]:
    """Index → stage of a table's score columns; those that only a seed table has if `guessed`.

    A "Base val_bpb" is what the first stage beside it starts from; "Final" is what comes after
    a "Pre-TTT" or, of quantized weights, what the submission evaluates with.
    """
    titles = {
        index: title.replace("_", " ")
        for index in columns.bpb
        if not _CHANGE.search(title := table.header[index])
    }
    stages = {index: stage for index, title in titles.items() if (stage := stage_of(title))}
    stages |= _before_and_after_quantization(document, titles)
    stages |= _trained_before_the_window(table, stages)
    unknown = [index for index in titles if index not in stages]
    if len(unknown) != 1 or not stages:
        return stages
    index, others = unknown[0], list(stages.values())
    if index < min(stages) and _starts(titles[index], guessed):
        follows = ORDER.index(others[0])
        stages[index] = "raw" if follows <= ORDER.index("quantized") else ORDER[follows - 1]
    elif _FINAL.search(titles[index]) and index > max(stages):
        if re.search(r"\bpre[- ]?ttt", titles[max(stages)], re.IGNORECASE):
            stages[index] = "ttt"
        elif last := _last(document, table, index, max(stages.items())):
            stages[index] = last
    elif (
        (guessed or others == ["quantized"])
        and len(others) == 1
        and _BARE.match(titles[index])
        and (last := _last(document, table, index, next(iter(stages.items()))))
    ):
        stages[index] = last
    return dict(sorted(stages.items()))


def _trained_before_the_window(table: Table, stages: dict[int, str]) -> dict[int, str]:
    """ "Pre-TTT | Post-TTT | Sliding", where the window betters what was trained at test time."""
    trained = next((i for i, stage in stages.items() if stage == "ttt"), None)
    window = max((i for i, stage in stages.items() if stage == "sliding"), default=-1)
    if trained is None or window < trained or "slid" not in table.header[window].lower():
        return {}
    gaps = [
        after - before
        for row in table.rows
        if (before := cell_score(row, trained)) is not None
        and (after := cell_score(row, window)) is not None
    ]
    if not gaps or max(gaps) > -_SURE:
        return {}
    earlier = {i: "raw" for i, stage in stages.items() if stage == "sliding" and i < trained}
    return {trained: "adapted", **earlier}


def _before_and_after_quantization(document: Document, titles: dict[int, str]) -> dict[int, str]:
    """ "Pre BPB | Post BPB", where nothing else can be meant."""
    found = {i: match.group(1).lower() for i, t in titles.items() if (match := _ENDS.match(t))}
    if "post" not in found.values() or re.search(r"\bTTT\b", document.text):
        return {}
    return {index: "raw" if end == "pre" else "quantized" for index, end in found.items()}


def _starts(title: str, of_seeds: bool) -> bool:
    """Whether a column is what the stages begin with; of other runs, where they ran the same."""
    return bool(STARTS.search(title)) and (of_seeds or not _ELSEWHERE.search(title))


def _last(document: Document, table: Table, index: int, known: tuple[int, str]) -> str | None:
    """The stage of a "Final" or a bare "val_bpb" column beside one whose stage is known."""
    at, stage = known
    gaps = [
        one - other
        for row in table.rows
        if (one := cell_score(row, index)) is not None
        and (other := cell_score(row, at)) is not None
    ]
    gap = fmean(gaps) if gaps else 0.0
    if stage == "quantized" and index < at and max(gaps, default=0.0) > -_LEAST:
        return "raw"  # a window betters every run
    if gap > 0 and stage != "raw":
        return "raw" if stage == "quantized" else ORDER[max(0, ORDER.index(stage) - 1)]
    later = [
        name
        for name, word in _SPOKEN
        if re.search(word, document.text, re.IGNORECASE)
        and gap < _BROUGHT[name]
        and ORDER.index(name) > ORDER.index(stage)
    ]
    if later and gap > -_MIXED:
        later.sort(key="mixed".__eq__)  # so little is rather made by training
    if later and gap <= 0:
        return later[0]
    return "quantized" if stage == "raw" and gap > -_LEAST else None
