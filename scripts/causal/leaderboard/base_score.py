"""The score of what a submission builds on or compares itself with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from scripts.causal.leaderboard.document import Document, Row, Table
from scripts.causal.leaderboard.found import Found, json_score, json_source
from scripts.causal.leaderboard.lineage_patterns import PR, unwrap
from scripts.causal.leaderboard.schema import Source
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.tables import cell, cell_score, columns_of, mean_row

_KEYS = (
    "base_val_bpb", "base_bpb", "comparison_baseline_bpb", "baseline_val_bpb", "baseline_bpb",
    "merged_leaderboard_baseline_bpb", "sota_bpb", "parent_bpb",
)  # fmt: skip
_PARENT_KEY = re.compile(r"^parent_(?:\w+_)?mean_(?:\w+_)?bpb$|^parent_val_bpb$")
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
_FAR = 120  # characters between a pull request and its score
_SAME_SCORE = 6e-4  # bpb: a README rounds to three or four digits

_NUMBER = r"\d\.\d{3,10}"
# What one run's score changes by between its own stages: rather that than another's score.
_STAGE = re.compile(
    r"\b(?:ttt|gptq|quant\w*|hedge|ema|swa|sliding|roundtrip|cache|n-gram|recover\w*|export)\b",
    re.IGNORECASE,
)
_DECIMAL = re.compile(r"\d\.\d\d")  # asked first: most lines hold no score
_CLAUSE_END = re.compile(r"(?<=[.;])\s")
_ARROW = re.compile(rf"(?<![\w.])({_NUMBER})\s?(?:->|→)\s?({_NUMBER})(?![\d%])")
_SCORE = re.compile(
    r"(?<![\d.,/#v_+-])(\d\.\d{3,10})(?![\d%]|\.\d)(?!\W{0,3}(?:nats|(?:val_)?loss))|(?<=~)(\d\.\d{2})(?![\d.%x])"
)
# Numbers that are no scores: losses, weights' averages, rates and the like.
_NO_SCORE = re.compile(
    r"\b(?:(?:val_|train_)?loss|ema|swa|momentum|decay|beta\d?|lr|wd|alpha|gain|temp\w*|std|sigma)"
    r"\W{0,4}\d\.\d+",
    re.IGNORECASE,
)
_PREDICTED = re.compile(rf"({_NUMBER})[^.;\d|]{{0,8}}(?:->|→)\s?(\d\.\d{{2,10}})")
_STEP = re.compile(r"\b(?:at|per) (?:step|iter)|\bearly\b", re.IGNORECASE)
# The rule's bar, not anybody's score: "requires beating 1.2193 to claim a record".
_BAR = re.compile(r"\brequires? beating\b|\bt-test\b", re.IGNORECASE)
_BASE_THEN = re.compile(
    r"\b(?:baseline|base|sota|leader(?:board)?|record)\b(?:[^.;\d|]|#\d{2,4}){0,30}"
    r"(\d\.\d{2,10})",
    re.IGNORECASE,
)
# "1.1252 bpb, worse than the baseline": the number before is another's.
_THAN_BASE = re.compile(
    r"\bwithin [\d.]+(?: bpb)? of\b|"
    r"\b(?:worse|better|lower|higher|above|below|behind|beats?)\b(?:\sthan)?\s(?:\w+\s){0,2}?"
    r"(?:baseline|sota|record)\b",
    re.IGNORECASE,
)
_BASE_ROW = re.compile(
    r"\bbaseline|\bbase\b|\bcontrol\b|\bdefault|\bcurrent sota|\bmerged sota|"
    r"\bprevious|\bprior|\bstandard|\bparent\b",
    re.IGNORECASE,
)
_BASE_COLUMN = re.compile(
    r"\b(?:baseline|base|sota|parent|control|record|without)\b(?! (?:bpb|loss))", re.IGNORECASE
)
# "SOTA (1.1428)", "vs control (1.1929)" at the head of a column
_TITLED = re.compile(
    r"\b(?:baseline|base|sota|parent|control)\b[^()]{0,20}\((?:val_bpb\W{0,2})?(\d\.\d{3,10})",
    re.IGNORECASE,
)
_BPB_ROW = re.compile(r"\W*(?:val[_ ]?)?bpb\W*$", re.IGNORECASE)
_OWN_BASE_ROW = re.compile(r"\b(?:baseline|control)\b", re.IGNORECASE)
_PREDICTED_COLUMN = re.compile(r"estimat|expect|predict|project", re.IGNORECASE)
# "beating the naive baseline (1.2244)", "does not match the baseline of 1.2244"
_AGAINST = re.compile(
    r"\b(?:beat(?:s|ing)?|match(?:es|ing)?|outperform(?:s|ing)?|surpass(?:es|ing)?|"
    r"improv(?:es|ing|ement)\s(?:on|over|upon))\b[^.;\d|]{0,40}\bbaseline\b"
    r"[^.;\d|]{0,30}(\d\.\d{3,10})",
    re.IGNORECASE,
)
_SAME_SETUP = re.compile(
    r"\bsame (?:stack|setup|config\w*|run|model|checkpoint)\b.{0,40}\b"
    r"(?:without|with standard|gives)|"
    r"\bstandard final eval|\b(?:without|before) (?:this|the) change",
    re.IGNORECASE,
)
_BUILT = re.compile(
    r"\b(?:builds?|built|based) on\b(?! baseline scaling)|\bunchanged from\b|"
    r"\bbase (?:model(?! params)|stack|run|is|was|of)\b|"
    r"^\W*(?:base|parent)\b[^.;]{0,60}:|"
    r"(?:^|\(|(?<!than )the )parent\b(?:'s)?(?: [\w-]+){0,4} \(?\d\.\d{3}",
    re.IGNORECASE,
)
_MEASURED_FROM = re.compile(
    r"\b(?:over|vs\.?|versus|than|compar(?:ed|ison|ing) (?:to|with|against)|against|"
    r"improv\w+ (?:on|over|upon))\b"
    r"[^.;|]{0,60}#\d{2,4}",
    re.IGNORECASE,
)
_OWN_EARLIER = re.compile(
    r"\b(?:improv\w+|extends?)\b[^.;]{0,50}\b(?:prior|previous|earlier)\b", re.IGNORECASE
)
# What a clause needs to speak of the base at all: a pull request, or one of these words.
_CAN_BE_BASE = (
    "#", "pr", "pull/", "base", "parent", "control", "sota", "leader", "record", "earlier", "buil",
    "standard", "same", "without", "before", "unchanged", "naive",
)  # fmt: skip
_LEADER = re.compile(r"\b(?:sota|leader(?:board)?|record)\b", re.IGNORECASE)
_WHICH_LEADER = re.compile(
    r"#\d{2,4}|\b(?:current|merged|previous|prior|vs|target|over|compared|against|beat\w*)\b|"
    r"\bsota\W{0,3}\((?:val_bpb|~?\d)",
    re.IGNORECASE,
)


def base_bpb(
    document: Document, facts: Sequence[Fact], final: Found | None, parents: Iterable[int]
) -> Found | None:
    """The score of what the submission builds on or names as its baseline.

    Every number that may be it gets a weight: 6 for the one that turned into the own score, 5
    for that of a parent, then what is called the base, the leader, a baseline; of the heaviest
    the first is taken.
    """
    for key in _KEYS:
        for fact in facts:
            if fact.key == key and (value := json_score(fact)) is not None:
                return Found(value, json_source(fact))
    for fact in facts:
        if _PARENT_KEY.match(fact.key.lower()) and (value := json_score(fact)) is not None:
            return Found(value, json_source(fact))
    own = final.value if final else None
    wanted = {str(number) for number in parents}
    candidates = [*_in_tables(document, own, wanted), *_in_prose(document, own, wanted)]
    if _is_baseline_itself(document, own):
        candidates = [(weight, found) for weight, found in candidates if weight >= 3]
    candidates = candidates or list(_in_json(facts, own, wanted))
    if not candidates:
        return None
    found = max(candidates, key=lambda c: (c[0], -c[1].source.line))[1]
    return _mean_of_its_column(document, found, own)


def _mean_of_its_column(document: Document, found: Found, own: float | None) -> Found:
    """One seed's score read as the base → the mean of its column, where a table holds both."""
    for table in document.tables:
        columns = columns_of(table)
        at = mean_row(table)
        if columns.seed is None or at is None:
            continue
        for index in columns.bpb:
            seeds = [cell_score(row, index) for row in table.rows[:at]]
            mean = cell_score(table.rows[at], index)
            if mean is not None and found.value in seeds and _other_score(mean, own):
                return Found(mean, Source(file=document.name, line=table.rows[at].line))
    return found


def _in_prose(
    document: Document, own: float | None, parents: set[str]
) -> Iterator[tuple[float, Found]]:
    for block in document.blocks:
        if block.kind in ("code", "row") or not _DECIMAL.search(block.text):
            continue
        start = 0
        for line in unwrap(block.text).split("\n"):
            place = block.line + block.text.count("\n", 0, start)
            for weight, value, at in _in_line(line, own, parents):
                number = place + block.text.count("\n", start, start + at)
                yield weight, Found(value, Source(file=document.name, line=number))
            start += len(line) + 1


def _in_json(
    facts: Sequence[Fact], own: float | None, parents: set[str]
) -> Iterator[tuple[float, Found]]:
    """What submission.json says in words, where the README names no base."""
    for fact in facts:
        if isinstance(fact.value, str) and fact.key in _TEXTS:
            text = f"{fact.key.replace('_', ' ')}: {fact.value[:2000]}"
            for weight, value, _ in _in_line(text, own, parents):
                yield weight, Found(value, json_source(fact))


def _in_line(
    line: str, own: float | None, parents: set[str]
) -> Iterator[tuple[float, float, int]]:
    """The scores of one line that may be the base's: weight, value and where its clause starts."""
    if not _DECIMAL.search(line):
        return
    arrow = _ARROW.search(line) if "->" in line or "→" in line else None
    if arrow and own is not None and "nats" not in line[: arrow.start()]:
        apart = abs(float(arrow.group(2)) - own)
        if apart <= _SAME_SCORE:
            weight = 2.5 if _STAGE.search(line) else 4.5
            yield weight, float(arrow.group(1)), arrow.start()
    start = 0
    for clause in _CLAUSE_END.split(line):
        at, start = start, start + len(clause) + 1
        low = clause.lower()
        if not any(word in low for word in _CAN_BE_BASE) or not _DECIMAL.search(clause):
            continue
        values = _scores(clause, own)
        if not values:
            continue
        against = _AGAINST.search(clause)
        if against and float(against.group(1)) in values:
            yield 4, float(against.group(1)), at + against.start(1)
        elif weight := _weight(clause, parents):
            near = _of_parent(clause, parents) if weight == 5 else _after_base(clause)
            if near in values:
                yield weight, near, at + _place(clause, near)
            elif _exact(clause, values[0]) and (weight >= 4 or not _THAN_BASE.search(clause)):
                yield min(weight, 4), values[0], at + _place(clause, values[0])


def _place(clause: str, value: float) -> int:
    """Where a score stands in its clause."""
    found = (m for m in _SCORE.finditer(clause) if float(m.group(1) or m.group(2)) == value)
    return next((match.start() for match in found), 0)


def _exact(clause: str, value: float) -> bool:
    """Whether a score is written to three decimals or more."""
    return any(
        match.group(1) and float(match.group(1)) == value for match in _SCORE.finditer(clause)
    )


def _after_base(clause: str) -> float | None:
    named = _BASE_THEN.search(clause)
    return float(named.group(1)) if named else None


def _of_parent(clause: str, parents: set[str]) -> float | None:
    """The score nearest to the first parent that has one, between it and the PRs beside it.

    In a chain of arrows (`PR #1 -> PR #2 -> this`) the last parent is the nearest kin.
    """
    mentions = list(PR.finditer(clause))
    order = list(enumerate(mentions))
    for index, mention in reversed(order) if re.search("->|→", clause) else order:
        if mention.group(1) not in parents:
            continue
        start = mentions[index - 1].end() if index else 0
        end = mentions[index + 1].start() if index + 1 < len(mentions) else len(clause)
        if clause.rfind("(", start, mention.start()) > clause.rfind(")", start, mention.start()):
            closed = clause.find(")", mention.end(), end)  # a bracket speaks of what is before it
            end = closed if closed > 0 else end
        after = _SCORE.search(clause, mention.end(), end)
        before = list(_SCORE.finditer(clause, start, mention.start()))[-1:]
        near = [(match.start() - mention.end(), match) for match in ([after] if after else [])]
        near += [(mention.start() - match.end(), match) for match in before]
        near = [(apart, match) for apart, match in near if apart <= _FAR]
        if near:
            match = min(near, key=lambda pair: pair[0])[1]
            return float(match.group(1) or match.group(2))
    return None


def _scores(clause: str, own: float | None) -> list[float]:
    """The clause's numbers that can be another run's score: not a rate, a momentum, a version."""
    if _STEP.search(clause) or _BAR.search(clause):
        return []
    text = _NO_SCORE.sub(" ", clause)
    predicted = {
        float(match.group(1))
        for match in _PREDICTED.finditer(text)
        if own is not None and abs(float(match.group(2)) - own) > 6e-3
    }
    found = [float(match.group(1) or match.group(2)) for match in _SCORE.finditer(text)]
    return [value for value in found if _other_score(value, own) and value not in predicted]


def _other_score(value: float, own: float | None) -> bool:
    """Whether a number can be another run's score: of the own one's size, and not it rounded."""
    if own is None:
        return 0.9 < value < 0.99 or 1 < value < 3
    if own < 0.9:  # a cache beside the model: the base has none, or a lesser one
        return abs(value - own) > 6e-5 and 0.6 * own < value < 1.3
    if value < 1 < own - 0.02:  # rather a rate or a decay
        return False
    return abs(value - own) > 6e-5 and 0.4 * own < value < 1.8 * own


def _weight(clause: str, parents: set[str]) -> float:
    if _names(clause, parents):
        return 5
    if _BUILT.search(clause) or _SAME_SETUP.search(clause):
        return 4
    if _MEASURED_FROM.search(clause) or _OWN_EARLIER.search(clause):
        return 3
    if _LEADER.search(clause) and _WHICH_LEADER.search(clause):
        return 3
    if re.search(r"\bnaive\b", clause, re.I):
        return 1
    if re.search(r"\bbaseline\b", clause, re.I):
        return 2
    if re.search(r"^\W*(?:\w+ ){0,2}control\b", clause, re.I):
        return 0.5
    return 0


def _in_tables(
    document: Document, own: float | None, parents: set[str]
) -> Iterator[tuple[float, Found]]:
    """The baseline's row, or column, of a table that may also hold the submission's own score."""
    for table in document.tables:
        columns = columns_of(table)
        if columns.seed == 0:
            continue
        if len(table.header) == 2 and not columns.bpb:  # a list of facts: "previous | 1.0810"
            for row in table.rows:
                for weight, value, _ in _in_line(": ".join(row.cells), own, parents):
                    yield weight, Found(value, Source(file=document.name, line=row.line))
        yield from _beside_own(document, table, own, parents)
        for title in table.header:
            titled = _TITLED.search(title)
            if titled and _other_score(float(titled.group(1)), own):
                yield 3, Found(float(titled.group(1)), Source(file=document.name, line=table.line))
        scored = [
            index
            for index in columns.bpb
            if own is None or not _PREDICTED_COLUMN.search(table.header[index])
        ]
        own_is_base = _names_own_as_base(table, own)
        own_column = _column_of(table, scored, own)
        for row in table.rows:
            found = [(i, v) for i in scored if (v := cell_score(row, i)) is not None]
            source = Source(file=document.name, line=row.line)
            if len(found) == 2 and own is not None and _BPB_ROW.match(row.cells[0]):
                if abs(found[1][1] - own) <= _SAME_SCORE and _other_score(found[0][1], own):
                    yield 5, Found(found[0][1], source)
                continue
            if not found:
                found = _first_of_changes(table, row, columns.delta)
            if not found:
                continue
            value = dict(found).get(own_column, found[-1][1])
            if not _other_score(value, own):
                continue
            weight = _row_weight(row, cell(row, columns.label), parents)
            if weight == 5 or (weight and not own_is_base):
                yield weight, Found(value, source)


def _column_of(table: Table, columns: Sequence[int], own: float | None) -> int:
    """The last of the columns that holds the own score, -1 where none does."""
    if own is None:
        return -1
    return max(
        (
            index
            for row in table.rows
            for index in columns
            if (value := cell_score(row, index)) is not None and abs(value - own) <= _SAME_SCORE
        ),
        default=-1,
    )


def _beside_own(
    document: Document, table: Table, own: float | None, parents: set[str]
) -> Iterator[tuple[float, Found]]:
    """The score in a parent's or the baseline's column, in the row that holds the own one."""
    if own is None:
        return
    weights = {
        index: 5 if _names(title, parents) else 4.5
        for index, title in enumerate(table.header)
        if index and (_names(title, parents) or _BASE_COLUMN.search(title))
    }
    for row in table.rows if weights else ():
        scores = [cell_score(row, index) for index in range(len(row.cells))]
        at = [
            index
            for index, value in enumerate(scores)
            if index and value is not None and abs(value - own) <= _SAME_SCORE
        ]
        for index, weight in weights.items():
            value = scores[index] if index < len(scores) else None
            if value is not None and set(at[:2]) - {index} and _other_score(value, own):
                yield weight, Found(value, Source(file=document.name, line=row.line))


def _names(text: str, parents: set[str]) -> bool:
    """Whether a text names one of the parents."""
    return any(match.group(1) in parents for match in PR.finditer(text))


def _row_weight(row: Row, label: str, parents: set[str]) -> float:
    text = " ".join(row.cells)
    if _names(text, parents):
        return 5
    if re.search(r"\bnaive\b", text, re.IGNORECASE):
        return 1
    if _BASE_ROW.search(label):
        return 4
    if re.search(r"(?<!near-)\bbaseline\b", text, re.IGNORECASE):  # in a column of notes
        return 2
    return 0


def _is_baseline_itself(document: Document, own: float | None) -> bool:
    """Whether a table names the submission's own run as the baseline or control of others."""
    return any(_names_own_as_base(table, own) for table in document.tables)


def _names_own_as_base(table: Table, own: float | None) -> bool:
    columns = columns_of(table)
    return own is not None and any(
        _OWN_BASE_ROW.search(cell(row, columns.label))
        and any(
            (value := cell_score(row, index)) is not None and abs(value - own) <= 6e-5
            for index in columns.bpb
        )
        for row in table.rows
    )


def _first_of_changes(table: Table, row: Row, columns: tuple[int, ...]) -> list[tuple[int, float]]:
    """The score that a column of changes starts from."""
    if row is not table.rows[0]:
        return []
    return [
        (index, float(match.group(1)))
        for index in columns
        if (match := re.fullmatch(r"\W{0,3}(\d\.\d{3,10})\W{0,3}(?:bpb)?\W*", cell(row, index)))
        and float(match.group(1)) > 0.5
    ]
