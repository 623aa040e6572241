"""Which pull requests a submission builds on, apart from those it merely credits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from interventions.keywords import Guarded, fold
from scripts.causal.leaderboard import lineage_patterns as say
from scripts.causal.leaderboard.document import Block, Document
from scripts.causal.leaderboard.schema import Source
from scripts.causal.leaderboard.submission_json import Fact

PR = say.PR
_MAX_TEXT = 20_000  # characters of one block, and of one field of submission.json below
_MAX_FIELD = 2_000
_MOST = 10  # pull requests of one list: a longer one tells a history, and opens with the base
_BARE = re.compile(r"\s{0,9}#?(\d{2,5})\s{0,9}")
_IN_LIST = (
    say.BUILT,
    say.BUILT_FIRST,
    say.ON_TOP,
    say.TAKES,
    say.NAMED,
    say.WHOLE_FROM,
    say.HEADED,
)
_CREDITED = (say.BUILT, say.BUILT_FIRST, say.ON_TOP, say.TAKES, say.WHOLE_FROM)
_VERBS = (say.BUILT, say.WHOLE_FROM)


def parent_prs(
    document: Document, facts: Iterable[Fact], own: int | None = None
) -> tuple[tuple[int, ...], Source | None]:
    """Return the PRs the submission builds on, as found, and where the first was read."""
    found: dict[int, Source] = {}
    facts = [fact for fact in facts if _can_name(fact)]

    def take(read: Iterable[tuple[int, int]], file: str = document.name) -> None:
        for number, line in read:
            if number != own and 10 <= number < 100_000:
                found.setdefault(number, Source(file=file, line=line))

    blocks = [block for block in document.blocks if block.kind != "code" and _mentions(block.text)]
    take(_in_fields(facts), "submission.json")
    told = len(found)
    for block in blocks:
        take(_in_block(block))
    # Weaker, each asked only where nothing before it named a parent: what submission.json says in
    # words, whose base the credits name and then whose stack, whom the title names, whom the
    # author measures the changes from, and at last whose record.
    if len(found) == told:
        take(_in_opened_lists(document.blocks))
    if len(found) == told:
        take(_in_words(facts), "submission.json")
    if not found:
        take(_in_fields(facts, credits=True), "submission.json")
        among = [block for block in blocks if block.kind == "row" or _is_credit(block)]
        for block in among:
            take(_in_block(block, credits=1))
        for block in () if found else among:
            take(_in_block(block, credits=2))
    if not found and not say.OWN_BEFORE.search(document.text[:_MAX_TEXT]):
        take(_in_fields(facts, say.LAST_KEYS, credits=True), "submission.json")
    if not found:
        take(_in_title(document, facts))
    for pattern in (say.CHANGES, say.MEASURED):
        for block in () if found else blocks:
            near = pattern.search(block.text)
            if near and not found:
                number = next(int(group) for group in near.groups() if group)
                if pattern is say.CHANGES or _credited(number, blocks):
                    take([(number, block.line + block.text.count("\n", 0, near.start()))])
    return tuple(found), next(iter(found.values()), None)


def _credited(number: int, blocks: Iterable[Block]) -> bool:
    """Whether the credits name a pull request: a record that is beaten need be no parent."""
    return any(re.search(rf"#{number}\b", block.text) for block in blocks if _is_credit(block))


def _is_credit(block: Block) -> bool:
    return any(say.CREDIT_SECTION.search(title) for title in block.section)


def _mentions(text: str) -> bool:
    return ("#" in text or "PR" in text or "pull/" in text) and PR.search(text) is not None


def _can_name(fact: Fact) -> bool:
    """Whether a field holds what can be a pull request."""
    value = fact.value
    if isinstance(value, str):
        return _mentions(value) or _BARE.fullmatch(value) is not None
    return type(value) is int and value >= 10


def _in_fields(
    facts: Iterable[Fact], keys: re.Pattern[str] = say.BASE_KEYS, *, credits: bool = False
) -> Iterator[tuple[int, int]]:
    """The parents that fields of submission.json hold, by the fields' names or first words.

    What it files under its credits counts only on request.
    """
    for fact in facts:
        value = fact.value
        path = [part.lower() for part in fact.path]
        if any(say.COMPARED.search(part) for part in path):
            continue
        if say.CREDIT_KEYS.search(path[0]) and not credits:
            continue
        named = any(keys.match(part) for part in path)
        if isinstance(value, str):
            text = value[:500]
            first = say.JSON_BASE.match(text)
            if named:
                first = _BARE.fullmatch(text) or PR.search(text)
            for number, _ in _listed(text, first) if first else ():
                yield number, fact.line
            continue
        bare = len(path) == 1 or say.NUMBER_KEY.search(fact.key.lower())
        if isinstance(value, int) and named and bare:
            yield value, fact.line


def _in_words(facts: Iterable[Fact]) -> Iterator[tuple[int, int]]:
    """The parents that submission.json's texts name (its blurb, its summary)."""
    for fact in facts:
        if isinstance(fact.value, str) and len(fact.path) == 1:
            text = fact.value[:_MAX_FIELD]
            for number, _ in _matches(text, (say.BUILT, say.ON_TOP, say.TAKES, say.STACK)):
                yield number, fact.line


def _in_title(document: Document, facts: Iterable[Fact]) -> Iterator[tuple[int, int]]:
    """The pull requests that the work's title names."""
    titles = [(block.text, block.line) for block in document.blocks[:1] if block.kind == "heading"]
    for fact in facts:
        if fact.path == ("name",) and isinstance(fact.value, str):
            titles.append((fact.value[:_MAX_FIELD], fact.line))
    for text, line in titles:
        for match in PR.finditer(text):
            if not say.LEARNT.match(text, match.end(1)):
                yield int(match.group(1)), line


def _in_opened_lists(blocks: Iterable[Block]) -> Iterator[tuple[int, int]]:
    """Every pull request of a list that a line such as `Built on the work of:` opens."""
    opened = False
    for block in blocks:
        if block.kind != "item":
            opened = block.kind == "paragraph" and bool(say.OPENS_LIST.search(block.text[-120:]))
        elif opened:
            text = block.text[:_MAX_TEXT]
            for match in PR.finditer(text):
                yield int(match.group(1)), block.line + text.count("\n", 0, match.start())


def _in_block(block: Block, *, credits: int = 0) -> list[tuple[int, int]]:
    """The parents that a block names, each with its line.

    Among credits, `Base: PR #1` counts only on request, and `PR #1: its stack` on a second one:
    where nothing else names a parent.
    """
    text = block.text[:_MAX_TEXT]
    text = text.replace("\n", " ") if block.kind == "item" else say.unwrap(text)
    patterns: tuple[Guarded, ...]
    patterns = (say.BUILT, say.ON_TOP, say.TAKES, say.WHOLE_FROM, say.HEADED)
    stacks: tuple[Guarded, ...] = (say.STACK,)
    named: tuple[Guarded, ...] = (say.NAMED,)
    if block.kind == "row" and not credits:  # among the sources of its parts
        named = ()
    if _is_credit(block):
        patterns = (say.BUILT_FIRST,)
        named = named if credits else ()
        stacks = stacks if credits > 1 else ()
    elif len(block.section) > 1 and _on_a_part(block.section[-1]):
        patterns = (say.ON_TOP,)
    patterns = (*patterns, *named, *stacks)
    if block.kind == "heading":
        patterns = (*patterns, say.CHANGED)
    return [
        (number, block.line + block.text.count("\n", 0, at))
        for number, at in _matches(text, patterns)
    ]


def _on_a_part(title: str) -> bool:
    return bool(say.PART_SECTION.search(title)) and not say.WHOLE.search(title)


def _matches(text: str, patterns: Iterable[Guarded]) -> Iterator[tuple[int, int]]:
    """Every parent named in a text, with where it stands."""
    folded = fold(text)
    for pattern in patterns:
        for match in pattern.finditer(text, folded):
            if pattern in _CREDITED and say.CREDIT.search(match.group(0)):
                continue
            if pattern is say.STACK and say.AGAINST.search(text[: match.start()][-60:]):
                continue
            if pattern in _VERBS and say.PART_BEFORE.search(_same_line(text, match.start())):
                continue
            if pattern is say.TAKES and say.PART.search(match.group(0)):
                continue
            if say.LEARNT.match(text, match.end(1)) or _of_another(text, match):
                continue
            if pattern in _IN_LIST:
                yield from _listed(text, match)
            else:
                yield int(match.group(1)), match.start(1)
            if pattern is say.STACK:
                yield from _before(text, match.start())


def _same_line(text: str, end: int) -> str:
    """What stands before `end` on its line, 80 characters at most."""
    return text[max(0, end - 80) : end].rpartition("\n")[2]


def _of_another(text: str, match: re.Match[str]) -> bool:
    """Whether what another builds on is told in brackets: `PR #2 (PR #1 base + gates)`."""
    before = text[: match.start()].rpartition("\n")[2]
    before, opens, inside = before.rpartition("(")
    return bool(opens) and ")" not in inside and PR.search(before) is not None


def _listed(text: str, match: re.Match[str]) -> list[tuple[int, int]]:
    """The PR matched and those listed after it; of a chain of arrows the last alone."""
    found = [(int(match.group(1)), match.start(1))]
    first = found[0]
    end = match.end(1)
    while more := say.MORE.match(text, end):
        if more.group(1) in ("->", "→"):
            found.clear()
        found.append((int(more.group(2)), more.start(2)))
        end = more.end(2)
    return found if len(found) <= _MOST else [first]


def _before(text: str, end: int) -> Iterator[tuple[int, int]]:
    """The PRs of a bare list that ends in the one matched."""
    while match := say.BEFORE.search(text, max(0, end - 40), end):
        yield int(match.group(1)), match.start(1)
        end = match.start()
