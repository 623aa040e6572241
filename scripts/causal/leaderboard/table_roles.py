"""What a results table is: decided from its header, its cells and the headings above it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from scripts.causal.leaderboard.contrasts import NOT_RUN
from scripts.causal.leaderboard.document import Document, Row, Table
from scripts.causal.leaderboard.nearest_run import varies_one_run
from scripts.causal.leaderboard.numbers import parse_number
from scripts.causal.leaderboard.stages import stage_of, stage_rows
from scripts.causal.leaderboard.tables import (
    Columns,
    cell,
    cell_score,
    columns_of,
    is_index,
    is_log,
    parse_seed,
)
from scripts.causal.leaderboard.techniques import variables_in

Role = Literal[
    "seeds", "stages", "versus", "ladder", "leave_one_out", "deltas", "sweep", "metrics", "none"
]

STUDY = re.compile(
    r"ablat|sweep|ladder|progress|contribut|what (?:stacked|worked|didn't|helped|changed)|effect|"
    r"impact|experiment|negative|tried|did ?n[o']t work|journey|improvement|gain|breakdown|"
    r"leave-one|increment|evolution|stack(?:ed|ing)|delta|compar|history|versus|\bvs\b|why it|"
    r"result|findings|failed|scan|tuning|trajectory|explor|\bstud(?:y|ies)|analysis|probe|variant|"
    r"candidate|confirmation|changes?\b",
    re.IGNORECASE,
)
BASELINE = re.compile(
    r"\bsota\b|\bbaseline|\bbase\b|\bcontrol|\breference|\bnone\b|\bdefault|\bstandard|"
    r"\bstart(?:ing)?\b|\bparent|\bcurrent sota|\boriginal|\banchor|\bvanilla|\bbefore\b|"
    r"\bprevious\b",
    re.IGNORECASE,
)
OURS = re.compile(
    r"\bthis\b|\bours?\b|\bnew\b|\bafter\b|\bsubmission|\bproposed|\btuned|\bmine\b", re.IGNORECASE
)
PLUS = re.compile(r"^\W{0,4}(?:\+|&|and |add(?:ed|ing)? |then )", re.IGNORECASE)
MINUS = re.compile(
    r"^\W{0,3}(?:-\s|−|without |w/o |no |remov\w+ |drop\w* |minus |disable\w* )", re.IGNORECASE
)
CONDITION = re.compile(
    rf"^(?:with|without|w/o?|no|\+)\b|\b(?:on|off|enabled|disabled)$|{BASELINE.pattern}|{OURS.pattern}",
    re.IGNORECASE,
)
ABSENT = re.compile(r"^(?:without|w/o|no)\b|\b(?:off|disabled)$", re.IGNORECASE)
METRIC = re.compile(r"^\W*(?:metric|measure|quantity|stat\w*|key)\b", re.IGNORECASE)
PULL_REQUEST = re.compile(r"#\d{2,5}|\bPR\b")
SUBMISSION = re.compile(
    r"#\d{2,5}|\bPR\b|\bsubmission|\bleaderboard|\brecord\b|\bSOTA\b|\bthis\b|\bours?\b|\bmerged\b",
    re.IGNORECASE,
)
VALUE = re.compile(r"\W*\d[\d.,]{0,7}[A-Za-z%]{0,2}\W*(?:\([^()\n]{0,60}\)\W*)?$")  # 48 (default)
_ONE_RUN_VARIED = re.compile(
    r"ablat|sweep|ladder|scan|why it|failed|tried|did ?n[o']t work|compar", re.IGNORECASE
)
_CONTROL_ROW = re.compile(
    r"\W*(?:(?:naive|the|our|plain|dense|uniform)\s)?(?:baseline|control|default|vanilla)\b|"
    r"\W*none\W*$|\W*(?:no|without|w/o)\s[A-Za-z]|"
    r"\W*(?:neural|NN|model|LM|base model)[ -](?:only|alone)\b",
    re.IGNORECASE,
)
_CALLED_DEFAULT = re.compile(r"\((?:the )?(?:default|control)\b[^()]*\)", re.IGNORECASE)
_LEADS = re.compile(
    r"ablat|sweep|\bscan\b|\bgrid\b|variants|tried|negative|failed|tested|contribut|each change",
    re.IGNORECASE,
)
_ABLATED = re.compile(r"leave[- ]one|ablat|remov|without", re.IGNORECASE)
_LEAST_STEPS = 100  # of training: fewer are steps of something else
_SETTING = re.compile(r"decay|frac|\brate\b|\blr\b|start|momentum|every|scale", re.IGNORECASE)
LONGER = "train steps"  # what a run is varied in that is but trained longer
LENGTH = re.compile(r"\W*(?:train(?:ing)? )?steps\W*$", re.IGNORECASE)
_NO_PAIR = re.compile(
    r"\bseed|^\W*(?:limit|target|threshold|cap|bar|budget)\W*$|\bmean\b|\bstd|\bσ|\bmin\b|\bmax\b|\bstep|\bepoch|\bnote",
    re.I,
)


@lru_cache(maxsize=128)
def role_of(table: Table, columns: Columns) -> Role:
    """Decide what the table reports; "none" where it holds no contrast."""
    if NOT_RUN.search(titles_of(table)) or any(
        NOT_RUN.search(table.header[index]) for index in (*columns.bpb, *columns.delta)
    ):
        return "none"
    if columns.seed is not None and not _one_seed_study(table, columns):
        return "seeds"
    if _pairs(table):
        return "versus"
    if not (columns.delta or columns.bpb):
        return "metrics" if len(table.header) == 2 else "none"
    if len(table.header) == 2 and METRIC.match(table.header[0]):
        return "metrics"
    labels = [cell(row, columns.label) for row in table.rows]
    if sum(bool(PLUS.match(label)) for label in labels) >= 2:
        return "ladder"
    if stage_rows(labels):
        return "stages"  # one run's stages, not variations of it
    if columns.delta:
        without = sum(bool(MINUS.match(label)) for label in labels)
        one_out = without * 2 > len(labels) and _ABLATED.search(titles_of(table))
        return "leave_one_out" if one_out else "deltas"
    if STUDY.search(titles_of(table)) or _values_of_one_setting(table, columns):
        return "sweep"
    if _controlled(labels):
        return "sweep"
    return "none"


def _values_of_one_setting(table: Table, columns: Columns) -> bool:
    """Whether rows are the values 20, 30 of "Epochs", not numbers of steps, times or ranks."""
    title = table.header[columns.label]
    values = [cell(row, columns.label) for row in table.rows]
    return (
        len(values) >= 2
        and bool(re.search("[A-Za-z]{2}", title))
        and not (is_log(table, columns.label) or is_index(title))
        and all(map(VALUE.match, values))
    )


def _controlled(labels: list[str]) -> bool:
    """Whether the first row, or one in brackets, is a control and no row another's submission."""
    if not 2 <= len(labels) <= 12 or any(PULL_REQUEST.search(label) for label in labels):
        return False
    if sum(bool(_CALLED_DEFAULT.search(label)) for label in labels) == 1:
        return True
    if any(SUBMISSION.search(label) for label in labels):
        return False
    return bool(_CONTROL_ROW.match(labels[0])) and not any(
        _CONTROL_ROW.match(label) for label in labels[1:]
    )


def runs_by_length(table: Table, columns: Columns) -> bool:
    """Whether rows numbered by steps are runs so long, each taken to its end: no course of one."""
    if columns.seed is not None or columns.label or not LENGTH.match(table.header[0]):
        return False
    lengths = [parse_number(cell(row, 0)) or 0.0 for row in table.rows]
    if not lengths or min(lengths) < _LEAST_STEPS:
        return False
    return len(columns.bpb) > 1 and any(stage_of(table.header[index]) for index in columns.bpb)


def introduced(document: Document) -> Iterator[Table]:
    """Yield the tables, the line that leads to one ("Chunk size sweep:") as its last title."""
    intros = {
        following.line: before.text.rstrip().rsplit("\n", 1)[-1][-120:]
        for before, following in pairwise(document.blocks)
        if following.kind == "row"
        and before.kind in ("paragraph", "item")
        and before.text.rstrip(" *_").endswith(":")
        and _LEADS.search(before.text.rstrip().rsplit("\n", 1)[-1][-120:])
    }
    for table in document.tables:
        intro = intros.get(table.line)
        logged = is_log(table, columns_of(table).label)
        yield table if intro is None or logged else replace(table, section=(*table.section, intro))


def titles_of(table: Table) -> str:
    """The headings above a table, without the README's own title."""
    return " / ".join(table.section[1:] or table.section)


def bpb_row(row: Row) -> bool:
    """Whether a row's first cell says that its other cells are scores."""
    first = row.cells[0] if row.cells else ""
    return bool(
        re.fullmatch(r".{0,40}(?<![a-z])bpb\b\W*(?:\([^()]{0,40}\))?\W*", first, re.IGNORECASE)
        and not re.search(r"delta|Δ|gap|gain|penalty|improvement|\bvs\b|\bstd\b", first, re.I)
    )


def stage_row(row: Row) -> bool:
    """Whether a row's first cell names a stage and the next a score: not EMA decay | 0.997."""
    named = stage_of(cell(row, 0)) is not None and not _SETTING.search(cell(row, 0))
    return named and bool(re.search(r"\d\.\d{3}", cell(row, 1)))


def _pairs(table: Table) -> bool:
    """| Metric | Control | Treatment | with a row of scores."""
    if not 3 <= len(table.header) <= 4 or any(map(_no_pair, table.header[1:3])):
        return False
    conditions = all(CONDITION.search(title) for title in table.header[1:3])
    return any(
        (bpb_row(row) or (conditions and stage_row(row)))
        and cell_score(row, 1) is not None
        and cell_score(row, 2) is not None
        for row in table.rows
    )


def _no_pair(title: str) -> bool:
    """Whether a column is no condition; "Baseline seed 42" is one, "Seed 42" is not."""
    rest = re.sub(r"\W*\bseed \d+\W*|(?<=[A-Za-z\d] )mean$", "", title, flags=re.IGNORECASE)
    return not re.search("[A-Za-z]", rest) or bool(_NO_PAIR.search(rest))


def _one_seed_study(table: Table, columns: Columns) -> bool:
    """Whether every row ran the same seed and another column tells the rows apart."""
    seed = columns.seed
    if seed is None or not columns.bpb or columns.label == seed:
        return False
    seeds = [parse_seed(cell(row, seed)) for row in table.rows]
    labels = {cell(row, columns.label) for row in table.rows}
    return len(seeds) >= 2 and len(set(seeds)) == 1 and len(labels) == len(seeds)


def comparable(labels: list[str], base: int, titles: str) -> bool:
    """Whether the rows vary one run, rather than being whole submissions side by side."""
    others = [label for index, label in enumerate(labels) if index != base]
    whole = sum(bool(SUBMISSION.search(label)) for label in others)
    if _CALLED_DEFAULT.search(labels[base]):
        return True
    if whole * 2 > len(others):
        return False
    if _ONE_RUN_VARIED.search(titles) or varies_one_run(labels, base):
        return True
    if not whole and _CONTROL_ROW.match(labels[base]):
        return True
    if whole * 3 <= len(others) and not SUBMISSION.search(labels[base]):
        return True
    return sum(bool(variables_in(label)) for label in others) * 2 >= len(others)
