"""The score of what a submission builds on or compares itself with.

Every number that may be it gets a weight by what stands about it; of the heaviest the first is
taken. Weights fitted to 118 labelled READMEs (conditional logistic regression, cross-validated)
read unseen READMEs worse than this fixed order does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from scripts.causal.leaderboard.base_clause import DECIMAL, Child, in_line
from scripts.causal.leaderboard.base_tables import in_table, own_is_base
from scripts.causal.leaderboard.document import Block, Document
from scripts.causal.leaderboard.found import Found, json_score, json_source
from scripts.causal.leaderboard.lineage_patterns import unwrap
from scripts.causal.leaderboard.schema import Source
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.tables import cell_score, columns_of, mean_row

_FIELD = re.compile(
    r"^(?!.*(?:delta|naive|hour))(?:\w+_)?(parent|base|baseline|sota)"
    r"(?:_pr_score|_val|_3seed|_mean)*_bpb$"
)
_FIELDS = ("parent", "base", "baseline", "sota")
_TEXTS = (
    "blurb",
    "description",
    "summary",
    "notes",
    "note",
    "base_submission",
    "base",
    "based_on",
)
# A line whose list holds the results of the base.
_OF_BASE = re.compile(
    r"\b(?:base|baseline|parent|control|reference|published|original)\b", re.IGNORECASE
)
_FAILED = re.compile(r"\b(?:fail|negative|not work|abandon|dead end|rejected)", re.IGNORECASE)


def base_bpb(
    document: Document, facts: Sequence[Fact], final: Found | None, parents: Iterable[int]
) -> Found | None:
    """The score of what the submission builds on or names as its baseline.

    submission.json's where it has a field for it; else the heaviest candidate of the README; else
    that of submission.json's texts.
    """
    if found := _in_fields(facts):
        return found
    child = Child(final.value if final else None, frozenset(map(str, parents)), document.text)
    candidates = [
        (weight, Found(value, Source(file=document.name, line=line)))
        for weight, value, line in _in_readme(document, child)
    ]
    strong = [(weight, found) for weight, found in candidates if weight >= 3]
    if len(strong) < len(candidates) and any(own_is_base(t, child) for t in document.tables):
        candidates = strong
    candidates = candidates or list(_in_texts(facts, child))
    if not candidates:
        return None
    found = max(candidates, key=lambda c: (c[0], -c[1].source.line))[1]
    return _mean_of_its_column(document, found, child)


def _in_fields(facts: Sequence[Fact]) -> Found | None:
    """A parent's score before a baseline's before the leader's; one seed's only at last."""
    found = [
        (any(part.isdigit() for part in fact.path), _FIELDS.index(match.group(1)), fact.line, fact)
        for fact in facts
        if "_bpb" in fact.key
        and (match := _FIELD.match(fact.key))
        and "ablat" not in fact.path[0]
        and json_score(fact)
    ]
    if not found:
        return None
    fact = min(found, key=lambda f: f[:3])[3]
    value = json_score(fact)
    return None if value is None else Found(value, json_source(fact))


def _in_texts(facts: Sequence[Fact], child: Child) -> Iterator[tuple[float, Found]]:
    for fact in facts:
        if isinstance(fact.value, str) and fact.key in _TEXTS:
            text = f"{fact.key.replace('_', ' ')}: {fact.value[:2000]}"
            for weight, value, _ in in_line(text, child):
                yield weight, Found(value, json_source(fact))


def _in_readme(document: Document, child: Child) -> Iterator[tuple[float, float, int]]:
    for table in document.tables:
        yield from in_table(table, child)
    lead = ""
    for block in document.blocks:
        told = block.kind not in ("code", "row") and DECIMAL.search(block.text)
        if told and not any(_FAILED.search(title) for title in block.section[1:]):
            yield from _in_block(block, child)
            if lead and block.kind == "item":  # "The base PR #1 scored:", and its list
                for weight, value, _ in in_line(f"{lead} {block.text}", child):
                    if child.is_near(value):  # of the same setting
                        yield weight, value, block.line
                lead = ""
        if block.kind != "item":
            opens = block.kind == "paragraph" and block.text.endswith(":")
            lead = block.text[-200:].rpartition("\n")[2] if opens else ""
            lead = lead if lead and _OF_BASE.search(lead) else ""


def _in_block(block: Block, child: Child) -> Iterator[tuple[float, float, int]]:
    start = 0
    for line in unwrap(block.text).split("\n"):
        for weight, value, at in in_line(line, child):
            yield weight, value, block.line + block.text.count("\n", 0, start + at)
        start += len(line) + 1


def _mean_of_its_column(document: Document, found: Found, child: Child) -> Found:
    """One seed's score read as the base → the mean of its column, where a table holds both."""
    for table in document.tables:
        columns = columns_of(table)
        at = mean_row(table)
        if columns.seed is None or at is None:
            continue
        for index in columns.bpb:
            seeds = [cell_score(row, index) for row in table.rows[:at]]
            mean = cell_score(table.rows[at], index)
            if mean is not None and found.value in seeds and child.is_other(mean):
                return Found(mean, Source(file=document.name, line=table.rows[at].line))
    return found
