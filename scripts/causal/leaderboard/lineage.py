"""Which pull requests a submission builds on, apart from those it merely credits."""

from __future__ import annotations

import re
from collections.abc import Iterable

from scripts.causal.leaderboard.document import Block, Document
from scripts.causal.leaderboard.schema import Source
from scripts.causal.leaderboard.submission_json import Fact

_PR = r"(?:PRs?\s?#?\s?|pull/|#)(\d{2,5})\b"
PR = re.compile(_PR, re.IGNORECASE)
# The verb, then the PR within the same clause.
_BUILT = re.compile(
    r"\b(?:buil[dt]s?|building|based|stack(?:s|ed)|fork(?:s|ed)?|derive[sd]?|rebased?|start(?:s|ed|ing)?|"
    r"extend(?:s|ed|ing)?|layered|port|rerun|re-run|reproduc(?:es|tion|ed|ing)|inherit(?:s|ed)?|same|"
    r"identical|unchanged|modif(?:y|ies|ied)|variant|follow-?up|continu(?:es|ation)|adds|takes|appl(?:y|ies|ied))\b"
    r"[^.;\n|]{0,30}?\b(?:on|upon|from|of|to|as|over|with|directly|onto|off)\b[^.;\n|]{0,90}?"
    + _PR,
    re.IGNORECASE,
)
# A credit that opens with what the whole work stands on.
_BUILT_FIRST = re.compile(
    r"(?m)^\W{0,6}(?:this (?:submission|work|record|pr|run)\s)?(?:is\s)?(?:directly\s)?"
    r"(?:buil[dt]s?|based)\s(?:directly\s)?(?:up)?on\b[^.;\n|]{0,90}?" + _PR,
    re.IGNORECASE,
)
# What stands before "PR #1 baseline" when it is only measured against.
_AGAINST = re.compile(
    r"\b(?:beat(?:s|ing)?|outperform(?:s|ing)?|surpass(?:es|ing)?|vs\.?|versus|than|"
    r"(?:improv\w{2,8}|compared?|gain|win)\s(?:over|to|with|against|on|upon))"
    r"\s(?:the\s)?(?:merged\s|current\s)?\[?$",
    re.IGNORECASE,
)
# The base as it is named: "Base: PR #1", "base PR #1".
_NAMED = re.compile(
    r"\b(?:base|baseline|parent|foundation|starting point|base (?:stack|model|pr|submission|"
    r"code|architecture|record|branch)|base_pr|lineage base|upstream)\b"
    r"\s{0,2}(?:\([^()\n]{0,40}\))?\s{0,2}"
    r"(?:is|was|[:=|])\s{0,2}[^.;\n|]{0,60}?" + _PR,
    re.IGNORECASE,
)
_STACK = re.compile(
    _PR + r"(?:'s)?(?: \([^()\n]{0,60}\))?(?: by @\w+)?[^.;\n|,]{0,20}?\s"
    r"(?:stack|base|baseline|codebase|submission stack|foundation|record folder|scaffold)\b",
    re.IGNORECASE,
)
_CHANGES = re.compile(
    r"\b(?:chang(?:es?|ed)|differences?|different|new|delta|diff|modifications?)\b[^.;\n|]{0,30}?"
    r"\b(?:vs\.?|from|over|versus|relative to|compared (?:to|with))\s[^.;\n|]{0,20}?" + _PR,
    re.IGNORECASE,
)
_TITLE_ON = re.compile(r"\b(?:on(?: top of)?|over)\s(?:the )?" + _PR, re.IGNORECASE)
_INTEGRATED = re.compile(
    r"\b(?:stack (?:assembly|integration)|full stack|base (?:work|code|stack))\b[^.;\n|]{0,30}?"
    + _PR,
    re.IGNORECASE,
)
_CREDIT = re.compile(
    r"\b(?:credit|thank|acknowledg|inspir|technique|idea|recipe|framework|first|original|concept|"
    r"mechanism|approach|framing|legality|illegal|comparison|previous|similar|see also)\b",
    re.IGNORECASE,
)
_CREDIT_SECTION = re.compile(
    r"^\W*(?:\w+ )?(?:credit|acknowledg|attribution|reference|related|thanks|legality|compliance)",
    re.IGNORECASE,
)
_JSON_BASE = re.compile(
    _PR + r"(?: \([^()\n]{0,60}\))?\s(?:stack|base|baseline|codebase|sp\d{4} stack)\b",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(r"\bnanogpt PR\s?#?\d+", re.IGNORECASE)
_MORE = re.compile(
    r"(?:\]\([^()\s]{0,120}\))?\)?\s{0,2}(?:\([^()\n]{0,60}\))?\s{0,2}"
    r"(?:/|\+|,\sand|,|and|&|->|→)\s{0,2}(?:the )?(?:@?[\w-]{2,40}\s\()?\[?" + _PR,
    re.IGNORECASE,
)
_BASE_KEYS = re.compile(
    r"^(?:base_prs?|based_on|based_on_prs?|base|base_submission|parent(?:_prs?)?|parents|baseline_pr|"
    r"base_record|builds_on|base_stack|base_model|implementation_lineage_pr|forked_from|basis)$"
)


def parent_prs(
    document: Document, facts: Iterable[Fact], own: int | None = None
) -> tuple[tuple[int, ...], Source | None]:
    """Return the PRs the submission builds on, as found, and where the first was read."""
    found: dict[int, Source] = {}
    for fact in facts:
        source = Source(file="submission.json", line=fact.line)
        if not any(_BASE_KEYS.match(part.lower()) for part in fact.path):
            if isinstance(fact.value, str) and len(fact.path) == 1:
                for match in _JSON_BASE.finditer(fact.value[:2000]):
                    found.setdefault(int(match.group(1)), source)
            continue
        if isinstance(fact.value, int) and not isinstance(fact.value, bool):
            found.setdefault(fact.value, source)
        elif isinstance(fact.value, str):
            text = fact.value[:500]
            bare = re.fullmatch(r"#?(\d{2,5})", text.strip())
            for number in [bare.group(1)] if bare else PR.findall(text)[:2]:
                found.setdefault(int(number), source)
    for block in document.blocks:
        if block.kind == "code":
            continue
        for number, line in _in_block(block):
            found.setdefault(number, Source(file=document.name, line=line))
    if not found:  # weaker: whom the author measures the changes from, or whose run it repeats
        for pattern in (_CHANGES, _INTEGRATED):
            for block in document.blocks:
                near = pattern.search(block.text) if block.kind != "code" else None
                if near and not found:
                    line = block.line + block.text.count("\n", 0, near.start(1))
                    found[int(near.group(1))] = Source(file=document.name, line=line)
    parents = [n for n in found if n != own and 10 <= n < 100_000]
    first = found[parents[0]] if parents else None
    return tuple(parents), first


def _in_block(block: Block) -> list[tuple[int, int]]:
    # Another repository's pull requests are blanked out, so that offsets stay true.
    text = _ELSEWHERE.sub(lambda match: " " * len(match.group(0)), block.text[:20_000])
    if not PR.search(text):
        return []
    credit = any(_CREDIT_SECTION.search(title) for title in block.section)
    patterns: tuple[re.Pattern[str], ...]
    patterns = (_BUILT_FIRST if credit else _BUILT, _NAMED, _STACK)
    if block.kind == "heading" and not block.section:
        patterns = (*patterns, _TITLE_ON)
    found = []
    for pattern in patterns:
        for match in pattern.finditer(text):
            if pattern is not _STACK and _CREDIT.search(match.group(0)):
                continue
            if pattern is _STACK and _AGAINST.search(text[: match.start()][-60:]):
                continue
            found.append((int(match.group(1)), block.line + text.count("\n", 0, match.start(1))))
            end = match.end(1)
            while pattern in (_BUILT, _BUILT_FIRST) and (more := _MORE.match(text, end)):
                found.append((int(more.group(1)), block.line + text.count("\n", 0, end)))
                end = more.end(1)
    return found
