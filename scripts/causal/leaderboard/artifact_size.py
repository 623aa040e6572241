"""The bytes of a submission's artifact."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from interventions.keywords import fold, guarded
from scripts.causal.leaderboard.document import Block, Document
from scripts.causal.leaderboard.found import Found, is_elsewhere, json_number, json_source
from scripts.causal.leaderboard.numbers import byte_counts
from scripts.causal.leaderboard.outcomes import HOPED, scores_another_run
from scripts.causal.leaderboard.schema import Source
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.tables import SPREAD, cell, columns_of

_SIZE_KEYS = (
    "artifact_bytes_max", "bytes_total_max", "bytes_total", "total_counted_bytes",
    "raw_script_plus_model_bytes", "total_submission_size_bytes", "total_submission_bytes",
    "artifact_bytes", "artifact_size_bytes", "total_bytes", "artifact_bytes_mean",
    "submission_bytes", "total_artifact_bytes", "artifact_size", "compressed_size_bytes",
    "model_size_bytes", "compressed_bytes", "submission_size_bytes",
)  # fmt: skip
_SIZE_MB_KEYS = ("artifact_mb", "artifact_size_mb", "size_mb", "artifact_mb_max")
_SIZE_LINE = guarded(
    r"(?:artifact|total|submission)(?:[^.;\n]|\.\d){0,50}?(?:size|bytes|artifact|submission|MB)|"
    r"\d ?Mi?B (?:artifact|total)\b",
    re.IGNORECASE,
)
_SIZE_NOT = re.compile(
    r"limit|cap\b|budget|under 16|< ?16|16,000,000|16\.0 ?MB|headroom|margin|uncompress|"
    r"pre-?compress|before compress|\bprior\b",
    re.I,
)
_ALONE = re.compile(r"(?:^|[|*(·,:–—-]\s?)~?\d[\d.,]{0,12}\s?(?:Mi?B|bytes|B)\b", re.MULTILINE)
_TOTAL = re.compile(r"\btotal\b", re.IGNORECASE)
_ARTIFACT = re.compile(r"\bartifact\b", re.IGNORECASE)
_NOT_STORED = re.compile(r"uncompress|pre-?compress|before compress|headroom|margin|raw", re.I)
_CODE = 200_000  # bytes that a training script may have


def artifact_bytes(document: Document, facts: Sequence[Fact], final: Found | None) -> Found | None:
    """Bytes of the largest artifact reported: code plus compressed model.

    submission.json's count, unless the README counts a little more (another seed's), or states
    a total to the byte and never mentions that of submission.json, or scores another run.
    """
    written = _size_in_json(facts)
    sized = [block for block in document.blocks if _SIZE_LINE.may_match(fold(block.text))]
    blocks = list(_measured(document, sized))
    if written is None or scores_another_run(facts, final):
        return _size_in_readme(document, blocks) or written
    seeds = _largest_of_seeds(document)
    if seeds is not None and written.value < seeds.value < 1.05 * written.value:
        return seeds
    count = int(written.value)
    total = _size_in_lines(document, blocks, _TOTAL)
    if total is not None and 0 < total.value - written.value < _CODE:
        return total  # submission.json leaves the code out
    if f"{count:,}" in document.text or str(count) in document.text:
        return written
    for words, slack in ((_TOTAL, 0), (_ARTIFACT, _CODE)):  # an artifact may leave the code out
        stated = _size_in_lines(document, blocks, words)
        if stated is not None and 0.8 < stated.value / written.value < 1.2:
            return stated if not 0 < written.value - stated.value < slack else written
    return written


def _size_in_json(facts: Sequence[Fact]) -> Found | None:
    for key in _SIZE_KEYS:
        found = [
            Found(value, json_source(fact))
            for fact in facts
            if fact.key == key
            and (value := json_number(fact))
            and 1e5 < value < 1e9
            and not is_elsewhere(fact.path)
        ]
        if found:
            return max(found, key=lambda f: f.value)
    for fact in facts:
        value = json_number(fact)
        if fact.key in _SIZE_MB_KEYS and value and 0.1 < value < 1000:
            return Found(round(value * 1e6), json_source(fact))
    return None


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


def _size_in_readme(document: Document, blocks: Sequence[Block]) -> Found | None:
    if (largest := _largest_of_seeds(document) or _size_in_lines(document, blocks)) is not None:
        return largest
    for block in _measured(document, document.blocks[:6]):
        counts = byte_counts(block.text)
        if counts and _ALONE.search(block.text) and not _SIZE_NOT.search(block.text):
            return Found(float(counts[0]), Source(file=document.name, line=block.line))
    return None


def _size_in_lines(
    document: Document, blocks: Sequence[Block], words: re.Pattern[str] | None = None
) -> Found | None:
    """The first line that states the size; with `words`, one that says these and counts bytes."""
    not_this = _NOT_STORED if words else _SIZE_NOT
    for block in blocks:
        if block.kind == "code" and words:
            continue
        for number, line in enumerate(block.text.split("\n")):
            if not _SIZE_LINE.search(line) or not_this.search(line):
                continue
            counts = byte_counts(line)
            if HOPED.search(line) and not any(count % 1000 for count in counts):
                continue
            if words:
                counts = [count for count in counts if count % 1000 and words.search(line)]
            if counts and 1e5 < max(counts) < 1e8:
                source = Source(file=document.name, line=block.line + number)
                return Found(float(max(counts)), source)
    return None


def _measured(document: Document, blocks: Sequence[Block]) -> Iterator[Block]:
    """Those of the blocks that stand in no section or table of targets and estimates."""
    hoped = {
        row.line
        for table in document.tables
        if any(HOPED.search(title) for title in table.header)
        for row in table.rows
    }
    for block in blocks:
        if block.line not in hoped and not any(HOPED.search(t) for t in block.section[1:]):
            yield block
