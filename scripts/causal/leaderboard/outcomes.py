"""A submission's results: final bpb, the base it compares with, artifact bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from scripts.causal.leaderboard.document import Block, Document
from scripts.causal.leaderboard.found import ELSEWHERE, Found, json_number, json_score, json_source
from scripts.causal.leaderboard.numbers import byte_counts
from scripts.causal.leaderboard.schema import Source
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.tables import (
    SPREAD,
    cell,
    cell_score,
    columns_of,
)

_FINAL_KEYS = (
    "val_bpb", "mean_val_bpb", "val_bpb_mean", "mean_bpb", "val_bpb_exact", "final_val_bpb",
    "bpb", "score", "final_bpb", "ttt_val_bpb", "val_bpb_3seed_mean", "three_seed_mean_bpb",
)  # fmt: skip
_BASE_KEYS = (
    "base_val_bpb", "base_bpb", "comparison_baseline_bpb", "baseline_val_bpb", "baseline_bpb",
    "merged_leaderboard_baseline_bpb", "sota_bpb", "parent_bpb",
)  # fmt: skip
_SIZE_KEYS = (
    "artifact_bytes_max", "bytes_total_max", "bytes_total", "total_counted_bytes",
    "raw_script_plus_model_bytes", "total_submission_size_bytes", "total_submission_bytes",
    "artifact_bytes", "artifact_size_bytes", "total_bytes", "artifact_bytes_mean",
    "submission_bytes", "total_artifact_bytes", "artifact_size", "compressed_size_bytes",
)  # fmt: skip
_LEAD = 8  # blocks that open a README
_SIZE_MB_KEYS = ("artifact_mb", "artifact_size_mb", "size_mb", "artifact_mb_max")
_HEAD = re.compile(
    r"\bval[_ ]?bpb\b\s{0,4}(?:\([^()\n]{0,60}\))?\s{0,4}(?:of|is|[:=|~])*\s{0,4}(\d\.\d{2,10})|"
    r"(?<![-+~.\d])(\d\.\d{3,10})\s{0,4}(?:val[_ ]?)?bpb\b",
    re.IGNORECASE,
)
_MEAN_HEAD = re.compile(
    r"(?:mean|average)\b[^.;\n|]{0,40}?(\d\.\d{3,10})|"
    r"(\d\.\d{3,10})\s{0,4}(?:val[_ ]?bpb\s{0,4})?\(?[^()\n|]{0,12}\bmean",
    re.IGNORECASE,
)
_SIZE_LINE = re.compile(
    r"(?:artifact|total|submission)[^.;\n]{0,50}?(?:size|bytes|artifact|submission|MB)",
    re.IGNORECASE,
)
_SIZE_NOT = re.compile(
    r"limit|cap\b|budget|under 16|< ?16|16,000,000|16\.0 ?MB|headroom|margin|uncompress", re.I
)
_OF_ANOTHER = re.compile(
    r"baseline|sota|previous|beats?|\bbuil[dt]s? on|\bbased on|#\d{2,4}", re.IGNORECASE
)
_ARROW = re.compile(r"(?<![\w.])(\d\.\d{3,8})\s?(?:->|→)\s?(\d\.\d{3,8})(?![\d%])")
_THREE = re.compile(r"(?<![\d.,/#v_])(\d\.\d{3,10})(?![\d%]|\.\d)")
_LOSS = re.compile(r"\b(?:val_)?loss\W{0,4}\d\.\d+", re.IGNORECASE)
_BASE_THEN = re.compile(r"\b(?:baseline|base)\b[^.;\d|]{0,30}(\d\.\d{3,10})", re.IGNORECASE)
_BASE_ROW = re.compile(
    r"\bbaseline|\bbase\b|\bcontrol\b|\bdefault|\bcurrent sota|\bmerged sota|"
    r"\bstandard|\bparent\b",
    re.I,
)
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


def final_bpb(document: Document, facts: Sequence[Fact]) -> Found | None:
    """The submission's own score: submission.json first, else what the README leads with."""
    for key in _FINAL_KEYS:
        for fact in facts:
            if len(fact.path) == 1 and fact.key == key and (value := json_score(fact)) is not None:
                return Found(value, json_source(fact))
    nested = [
        Found(value, json_source(fact))
        for fact in facts
        if fact.key in _FINAL_KEYS[:5]
        and len(fact.path) <= 3
        and not ELSEWHERE.search("/".join(fact.path).lower())
        and not any(part.isdigit() for part in fact.path)
        and (value := json_score(fact)) is not None
    ]
    if len({found.value for found in nested}) == 1:  # several runs' scores: none is the one
        return nested[0]
    if any(fact.key == "val_bpb" and isinstance(fact.value, str) for fact in facts):
        return None  # "TBD", "pending": the author says there is none yet
    if any(fact.key == "val_bpb" and fact.value in (0, 0.0, None) for fact in facts):
        return None
    return _headline(document)


def _headline(document: Document) -> Found | None:
    """The score the README leads with: in its first blocks, in its first table, else anywhere."""
    head = document.blocks[:_LEAD]
    return (
        _stated_score(document, head)
        or _best_of_first_table(document)
        or _stated_score(document, document.blocks)
    )


def _stated_score(document: Document, blocks: Sequence[Block]) -> Found | None:
    """The first score stated as the own, as exactly as it is repeated in these blocks."""
    for pattern in (_HEAD, _MEAN_HEAD):
        first: tuple[str, Source] | None = None
        for block in blocks:
            match = pattern.search(block.text) if block.kind != "code" else None
            if match is None or _OF_ANOTHER.search(block.text[: match.start()]):
                continue
            written = next(group for group in match.groups() if group)
            line = block.line + block.text.count("\n", 0, match.start())
            source = Source(file=document.name, line=line)
            same = first is not None and abs(float(written) - float(first[0])) < 6e-5
            if first is None or (same and len(written) > len(first[0])):
                first = (written, source)
        if first is not None:
            return Found(float(first[0]), first[1])
    return None


def _best_of_first_table(document: Document) -> Found | None:
    """The lowest score of a table that opens the README, before the first subsection."""
    for table in document.tables[:1]:
        columns = columns_of(table)
        if len(table.section) > 1 or columns.seed is not None:
            return None
        found = [
            Found(value, Source(file=document.name, line=row.line))
            for row in table.rows
            for index in columns.bpb
            if (value := cell_score(row, index)) is not None
        ]
        if found:
            return min(found, key=lambda f: f.value)
    return None


def artifact_bytes(document: Document, facts: Sequence[Fact]) -> Found | None:
    """Bytes of the largest artifact reported: code plus compressed model."""
    found: list[Found] = []
    for key in _SIZE_KEYS:
        for fact in facts:
            path = "/".join(fact.path).lower()
            value = json_number(fact)
            if fact.key == key and value and 1e5 < value < 1e9 and not ELSEWHERE.search(path):
                found.append(Found(value, json_source(fact)))
        if found:
            largest = max(found, key=lambda f: f.value)
            seeds = _largest_of_seeds(document)
            close = seeds is not None and largest.value < seeds.value < 1.05 * largest.value
            return seeds if close else largest
    for fact in facts:
        value = json_number(fact)
        if fact.key in _SIZE_MB_KEYS and value and 0.1 < value < 1000:
            return Found(round(value * 1e6), json_source(fact))
    return _size_in_readme(document)


def _largest_of_seeds(document: Document) -> Found | None:
    """The largest artifact in a table of seeds."""
    for table in document.tables:
        columns = columns_of(table)
        if columns.seed is None:
            continue
        for index in columns.size:
            sizes = [
                Found(float(counts[0]), Source(file=document.name, line=row.line))
                for row in table.rows
                if (counts := byte_counts(cell(row, index))) and not SPREAD.search(row.cells[0])
            ]
            if sizes:
                return max(sizes, key=lambda f: f.value)
    return None


def _size_in_readme(document: Document) -> Found | None:
    if (largest := _largest_of_seeds(document)) is not None:
        return largest
    for block in document.blocks:
        for number, line in enumerate(block.text.split("\n")):
            if (
                _SIZE_LINE.search(line)
                and not _SIZE_NOT.search(line)
                and (counts := byte_counts(line))
            ):
                value = float(max(counts))
                if 1e5 < value < 1e8:
                    return Found(value, Source(file=document.name, line=block.line + number))
    for block in document.blocks[:6]:
        counts = byte_counts(block.text)
        if counts and not _SIZE_NOT.search(block.text):
            return Found(float(counts[0]), Source(file=document.name, line=block.line))
    return None


def base_bpb(
    document: Document, facts: Sequence[Fact], final: Found | None, parents: Iterable[int]
) -> Found | None:
    """The score of what the submission builds on or names as its baseline."""
    for key in _BASE_KEYS:
        for fact in facts:
            if fact.key == key and (value := json_score(fact)) is not None:
                return Found(value, json_source(fact))
    own = final.value if final else None
    wanted = {str(number) for number in parents}
    candidates = [
        *_base_in_tables(document, own, wanted),
        *_base_in_prose(document, own, wanted),
    ]
    if not candidates:
        return None
    return max(candidates, key=lambda c: (c[0], -c[1].source.line))[1]


def _base_in_prose(
    document: Document, own: float | None, parents: set[str]
) -> Iterator[tuple[int, Found]]:
    for block in document.blocks:
        if block.kind in ("code", "row"):
            continue
        for number, line in enumerate(block.text.split("\n")):
            source = Source(file=document.name, line=block.line + number)
            arrow = _ARROW.search(line)
            if (
                arrow
                and own is not None
                and abs(float(arrow.group(2)) - own) <= 6e-4
                and "nats" not in line[: arrow.start()]
            ):
                yield 6, Found(float(arrow.group(1)), source)
            for clause in re.split(r"(?<=[.;])\s", line):
                values = [v for v in _exact_scores(clause) if _other_score(v, own)]
                against = _AGAINST.search(clause)
                if against and float(against.group(1)) in values:
                    yield 4, Found(float(against.group(1)), source)
                elif values and (weight := _base_weight(clause, parents)):
                    named = _BASE_THEN.search(clause)
                    near = float(named.group(1)) if named and weight < 5 else None
                    yield weight, Found(near if near in values else values[0], source)


def _base_in_tables(
    document: Document, own: float | None, parents: set[str]
) -> Iterator[tuple[int, Found]]:
    """The baseline's row, or column, of a table that also holds the submission's own score."""
    for table in document.tables:
        columns = columns_of(table)
        if columns.seed is not None:
            continue
        for row in table.rows:
            found = [(i, v) for i in columns.bpb if (v := cell_score(row, i)) is not None]
            source = Source(file=document.name, line=row.line)
            text = " ".join(row.cells)
            if (
                len(found) == 2
                and own is not None
                and re.match(r"\W*(?:val[_ ]?)?bpb\W*$", row.cells[0], re.I)
            ):
                if abs(found[1][1] - own) <= 6e-4 and _other_score(found[0][1], own):
                    yield 5, Found(found[0][1], source)
                continue
            if not found or not _other_score(found[-1][1], own):
                continue
            if any(re.search(rf"#{number}\b", text) for number in parents):
                yield 5, Found(found[-1][1], source)
            elif re.search(r"\bnaive\b", text, re.IGNORECASE):
                yield 1, Found(found[-1][1], source)
            elif _BASE_ROW.search(cell(row, columns.label)):
                yield 4, Found(found[-1][1], source)
            elif re.search(r"\bbaseline\b", text, re.IGNORECASE):  # in a column of notes
                yield 2, Found(found[-1][1], source)


def _exact_scores(text: str) -> list[float]:
    """Scores written to three decimals or more: not a rate, a momentum or a version."""
    return [float(number) for number in _THREE.findall(_LOSS.sub(" ", text))]


def _other_score(value: float, own: float | None) -> bool:
    """Whether a number can be another run's score: of the own one's size, and not it rounded."""
    if own is None:
        return 0.9 < value < 3
    return abs(value - own) > 6e-5 and 0.4 * own < value < 2.5 * own


def _base_weight(clause: str, parents: set[str]) -> int:
    if any(re.search(rf"#{number}\b", clause) for number in parents):
        return 5
    if re.search(
        r"\b(?:builds?|built|based) on\b|\bbase (?:model|stack|run|is|was|of)\b", clause, re.I
    ):
        return 4
    if _SAME_SETUP.search(clause):
        return 4
    if re.search(r"\b(?:sota|leader(?:board)?|record)\b", clause, re.I) and (
        re.search(r"#\d{2,4}|current|merged|previous|prior|\bvs\b", clause, re.I)
    ):
        return 3
    if re.search(r"\bnaive\b", clause, re.I):
        return 1
    if re.search(r"\bbaseline\b", clause, re.I):
        return 2
    return 0
