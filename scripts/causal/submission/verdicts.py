"""What a referee says: one verdict per rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from scripts.causal.forms import Record

Outcome = Literal["pass", "fail", "cannot tell"]
OUTCOMES: tuple[Outcome, ...] = ("pass", "fail", "cannot tell")


MAX_REASON = 1000


class Verdict(Record):
    """The outcome of one rule, and why."""

    rule: str
    outcome: Outcome
    reason: str


class Report(Record):
    """Every verdict on one submission folder."""

    folder: str
    verdicts: tuple[Verdict, ...]

    @property
    def failures(self) -> tuple[Verdict, ...]:
        """The rules that are broken."""
        return tuple(one for one in self.verdicts if one.outcome == "fail")


class Reports(Record):
    """``--json``: the verdicts on one folder, or on every folder of a tree."""

    schema_version: Literal[1] = 1
    reports: tuple[Report, ...]

    def counts(self) -> dict[str, Counter[Outcome]]:
        """Rule → how many folders passed, failed, or left it open, in the order of the rules."""
        found: dict[str, Counter[Outcome]] = {}
        for report in self.reports:
            for one in report.verdicts:
                found.setdefault(one.rule, Counter())[one.outcome] += 1
        return found


def passed(rule: str, reason: str) -> Verdict:
    """The rule is kept."""
    return Verdict(rule=rule, outcome="pass", reason=plain(reason))


def failed(rule: str, reason: str) -> Verdict:
    """The rule is broken."""
    return Verdict(rule=rule, outcome="fail", reason=plain(reason))


def open_question(rule: str, reason: str) -> Verdict:
    """What there is does not decide it."""
    return Verdict(rule=rule, outcome="cannot tell", reason=plain(reason))


def decided(rule: str, faults: Sequence[str], kept: Sequence[str], unknown: str) -> Verdict:
    """Broken by any fault; kept where something was compared; else undecided."""
    if faults:
        return failed(rule, "; ".join(faults))
    if kept:
        return passed(rule, "; ".join(kept))
    return open_question(rule, unknown)


def plain(text: str) -> str:
    """What strangers wrote, without what a terminal would obey, and no longer than one reads."""
    cut = text if len(text) <= MAX_REASON else text[:MAX_REASON] + " …"
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in cut)
