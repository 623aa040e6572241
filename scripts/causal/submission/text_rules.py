"""Rules on what lies beside the numbers: README, logs, requirements."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence

from scripts.causal.submission.claims import Claims
from scripts.causal.submission.compact import CompactError, unwrap, without_comments
from scripts.causal.submission.documents import RULER
from scripts.causal.submission.folder import PROGRAM, REQUIREMENTS
from scripts.causal.submission.verdicts import Verdict, failed, open_question, passed


def readme_is_made_of(readme: str | None, expected: str | None) -> Verdict:
    """A README of ours is submission.json in other words, and nothing else."""
    rule = "README is submission.json's"
    if expected is None:
        return open_question(rule, "submission.json does not follow our schema")
    if readme is None:
        return failed(rule, "there is no README.md")
    if readme == expected:
        return passed(rule, "word for word")
    lines = zip(readme.split("\n"), expected.split("\n"), strict=False)
    at = next((n for n, (one, other) in enumerate(lines, start=1) if one != other), None)
    return failed(rule, f"line {at} is another" if at else "it is longer or shorter")


def logs_are_there(described: Claims | None, logs: Sequence[Claims]) -> Verdict:
    """Every seed has its training log."""
    rule = "a log per seed"
    seeds = set(described.seeds) if described else set()
    found = {seed for log in logs for seed in log.seeds}
    if not logs:
        return open_question(rule, "no logs in the folder")
    if not seeds:
        return open_question(rule, f"{len(logs)} logs, but no seeds are stated")
    missing = sorted(seeds - found)
    if missing:
        return failed(rule, f"no log of seed {', '.join(map(str, missing))}")
    return passed(rule, f"logs of seeds {', '.join(map(str, sorted(seeds)))}")


def logs_hold_the_source(logs: Mapping[str, str], shipped: str | None, hidden: bool) -> Verdict:
    """A log begins with the program that ships, or with the readable form of what it unpacks.

    Args:
        logs: name → text.
        shipped: the program's text.
        hidden: it runs text that cannot be read here.
    """
    rule = "logs begin with the source"
    if not logs or shipped is None:
        return open_question(rule, "no log, or no program, in the folder")
    unpacked = unwrap(shipped)
    faults = [
        name for name, text in logs.items() if not _begins_with_program(text, shipped, unpacked)
    ]
    if faults and hidden and unpacked is None:
        return open_question(rule, f"{PROGRAM} runs text that cannot be read here")
    if faults:
        return failed(rule, f"{', '.join(faults)}: begin with another text than {PROGRAM}")
    return passed(rule, f"{len(logs)} logs begin with {PROGRAM}")


def _begins_with_program(log: str, shipped: str, unpacked: str | None) -> bool:
    if log.startswith(shipped.rstrip("\n")):
        return True
    if unpacked is None:
        return False
    try:
        return without_comments(log.partition(f"\n{RULER}\n")[0]) == unpacked
    except CompactError:
        return False


def needs_only(imports: set[str] | None, requirements: str | None, local: set[str]) -> Verdict:
    """The program imports the standard library and what requirements.txt names.

    Args:
        imports: top-level names; None where there is no program, or it cannot be read.
        local: modules that lie in the folder, and are counted.
    """
    rule = "requirements name every import"
    if imports is None:
        return open_question(rule, "no program in the folder that could be read")
    foreign = {name for name in imports if name not in sys.stdlib_module_names} - local
    if requirements is None:
        return open_question(rule, f"no {REQUIREMENTS}; imported: {', '.join(sorted(foreign))}")
    named = {
        re.split(r"[=<>!~\[; ]", line.strip(), maxsplit=1)[0].lower().replace("-", "_")
        for line in requirements.splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    }
    missing = sorted(name for name in foreign if name.lower() not in named)
    if missing:
        return failed(rule, f"not in {REQUIREMENTS}: {', '.join(missing)}")
    return passed(rule, ", ".join(sorted(foreign)) or "the standard library alone")
