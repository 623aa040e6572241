"""Verdicts in words: a table for one folder, counts and findings for a tree of them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from rich.table import Table
from rich.text import Text

from scripts.causal.submission.verdicts import Outcome, Report, Reports, plain

_STYLE: dict[Outcome, str] = {"pass": "green", "fail": "bold red", "cannot tell": "yellow"}
_OF_TREE: dict[Outcome, str] = {
    "pass": "confirmed",
    "fail": "disagrees",
    "cannot tell": "cannot be told",
}


def one_folder(report: Report) -> Table:
    """A row per rule: verdict and reason."""
    table = Table(title=Text(plain(report.folder)), title_justify="left")
    for column in ("rule", "verdict", "reason"):
        table.add_column(column, overflow="fold")
    for one in report.verdicts:
        table.add_row(
            Text(one.rule), Text(one.outcome, style=_STYLE[one.outcome]), Text(one.reason)
        )
    return table


def disagreements(reports: Reports) -> Table:
    """A row per broken rule of each folder."""
    table = Table(title="What disagrees", title_justify="left")
    for column in ("submission", "rule", "what"):
        table.add_column(column, overflow="fold")
    for report in reports.reports:
        for one in report.failures:
            table.add_row(Text(plain(Path(report.folder).name)), Text(one.rule), Text(one.reason))
    return table


def all_folders(reports: Reports) -> Table:
    """A row per rule: of how many folders it is confirmed, broken, or left open."""
    title = f"{len(reports.reports)} submissions"
    table = Table(title=title, title_justify="left")
    table.add_column("rule")
    for outcome in _OF_TREE:
        table.add_column(_OF_TREE[outcome], justify="right")
    table.add_column("what is missing")
    for rule, counts in reports.counts().items():
        numbers = (str(counts[outcome]) for outcome in _OF_TREE)
        table.add_row(Text(rule), *numbers, Text(_missing(reports, rule)))
    return table


def _missing(reports: Reports, rule: str) -> str:
    """The most frequent reasons for which a rule is left open, with their numbers."""
    reasons = Counter(
        re.sub(r"[\d,.]*\d", "…", one.reason)
        for report in reports.reports
        for one in report.verdicts
        if one.rule == rule and one.outcome == "cannot tell"
    )
    return "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
