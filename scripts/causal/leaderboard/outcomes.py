"""A submission's results: its final bpb and the bytes of its artifact."""

from __future__ import annotations

import re
from collections.abc import Sequence

from interventions.keywords import Guarded, fold, guarded
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
_SIZE_KEYS = (
    "artifact_bytes_max", "bytes_total_max", "bytes_total", "total_counted_bytes",
    "raw_script_plus_model_bytes", "total_submission_size_bytes", "total_submission_bytes",
    "artifact_bytes", "artifact_size_bytes", "total_bytes", "artifact_bytes_mean",
    "submission_bytes", "total_artifact_bytes", "artifact_size", "compressed_size_bytes",
    "model_size_bytes", "compressed_bytes", "submission_size_bytes",
)  # fmt: skip
_LEAD = 8  # blocks that open a README
_SEED_MEAN = guarded(
    r"\b(?:\d[- ](?:seed|run)s? |seeds? )?(?:mean|average)\b[^.;\n|]{0,40}?(\d\.\d{3,10})"
    r"(?=[^\n|]{0,40}\bseed)|"
    r"\b\d[- ](?:seed|run)s? (?:mean|average)\b[^.;\n|]{0,40}?(\d\.\d{3,10})|"
    r"(\d\.\d{3,10})\s{0,4}(?:val[_ ]?bpb\s{0,4})?\((?:mean|average)[^()\n|]{0,12}\bseeds|"
    r"(\d\.\d{3,10})\s{0,4}(?:val[_ ]?bpb\s{0,4})?\(?[^()\n|]{0,12}\bseeds?[- ](?:mean|average)",
    re.IGNORECASE,
)
_SIZE_MB_KEYS = ("artifact_mb", "artifact_size_mb", "size_mb", "artifact_mb_max")
_HEAD = guarded(
    r"\bval[_ ]?bpb\b\s{0,4}(?:\([^()\n]{0,60}\))?\s{0,4}(?:of|is|[:=|~])*\s{0,4}(\d\.\d{2,10})|"
    r"(?<![-+~.\d])(\d\.\d{3,10})\s{0,4}(?:val[_ ]?)?bpb\b",
    re.IGNORECASE,
)
_MEAN_HEAD = guarded(
    r"(?:mean|average)\b[^.;\n|]{0,40}?(\d\.\d{3,10})|"
    r"(\d\.\d{3,10})\s{0,4}(?:val[_ ]?bpb\s{0,4})?\(?[^()\n|]{0,12}\bmean",
    re.IGNORECASE,
)
_SIZE_LINE = guarded(
    r"(?:artifact|total|submission)(?:[^.;\n]|\.\d){0,50}?(?:size|bytes|artifact|submission|MB)|"
    r"\d ?Mi?B (?:artifact|total)\b",
    re.IGNORECASE,
)
_SIZE_NOT = re.compile(
    r"limit|cap\b|budget|under 16|< ?16|16,000,000|16\.0 ?MB|headroom|margin|uncompress|"
    r"pre-?compress|before compress",
    re.I,
)
_TOTAL = re.compile(r"\btotal\b", re.IGNORECASE)
_ARTIFACT = re.compile(r"\bartifact\b", re.IGNORECASE)
_NOT_STORED = re.compile(r"uncompress|pre-?compress|before compress|headroom|margin|raw", re.I)
_CODE = 200_000  # bytes that a training script may have
_OF_ANOTHER = re.compile(
    r"baseline|sota|previous|beats?|\bbuil[dt]s? on|\bbased on|#\d{2,4}", re.IGNORECASE
)
_BECOMES = re.compile(r"\s?(?:bpb )?(?:->|→)\s?(\d\.\d{2,10})(?![\d%])", re.IGNORECASE)
_HOPED = re.compile(r"\bexpect|\btarget|\bestimat|\bproject(?:ed|ion)|<\s?$", re.IGNORECASE)


def final_bpb(document: Document, facts: Sequence[Fact]) -> Found | None:
    """The submission's own score: submission.json's, else what the README leads with.

    The README's is the later word where it leads with a mean over seeds (unless its title says
    submission.json's), or where what submission.json says is nowhere in it.
    """
    written = _score_in_json(facts)
    if written is None:
        return None if _none_yet(facts) else _headline(document)
    mean = _stated_score(document, document.blocks[:_LEAD], (_SEED_MEAN,))
    if mean is not None and 6e-5 < abs(mean.value - written.value) < 0.02:
        title = document.blocks[0].text
        entitled = f"{written.value:.4f}" in title and f"{mean.value:.4f}" not in title
        return written if entitled else mean
    if not _repeated(document, written.value):
        return _stated_score(document, document.blocks[:_LEAD]) or written
    return written


def _repeated(document: Document, score: float) -> bool:
    """Whether a README says the score, however it rounds it."""
    return f"{score:.3f}" in document.text or f"{int(score * 1000) / 1000:.3f}" in document.text


def _none_yet(facts: Sequence[Fact]) -> bool:
    """Whether submission.json says "TBD", "pending", null or 0.0 in the score's place."""
    return any(fact.key == "val_bpb" and not json_number(fact) for fact in facts)


def _score_in_json(facts: Sequence[Fact]) -> Found | None:
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
    return None


def _headline(document: Document) -> Found | None:
    """The score the README leads with: in its first blocks, in its first table, else anywhere."""
    head = document.blocks[:_LEAD]
    return (
        _stated_score(document, head)
        or _best_of_first_table(document)
        or _stated_score(document, document.blocks)
    )


def _stated_score(
    document: Document, blocks: Sequence[Block], patterns: Sequence[Guarded] = ()
) -> Found | None:
    """The first score stated as the own, as exactly as it is repeated in these blocks."""
    for pattern in patterns or (_HEAD, _MEAN_HEAD):
        first: tuple[str, Source] | None = None
        for block in blocks:
            match = pattern.search(block.text) if block.kind != "code" else None
            if match is None or _of_another(block, match):
                continue
            written = next(group for group in match.groups() if group)
            if after := _BECOMES.match(block.text, match.end()):
                written = after.group(1)  # "val_bpb 4.49 -> 2.51"
            line = block.line + block.text.count("\n", 0, match.start())
            source = Source(file=document.name, line=line)
            same = first is not None and abs(float(written) - float(first[0])) < 6e-5
            if first is None or (same and len(written) > len(first[0])):
                first = (written, source)
        if first is not None:
            return Found(float(first[0]), first[1])
    return None


def _of_another(block: Block, match: re.Match[str]) -> bool:
    """Whether the score is a baseline's, a record's, or one that was only hoped for."""
    lead = block.text[: match.start()]
    if not block.section and block.kind == "heading":  # "X for a Baseline — 1.5096 BPB"
        lead = re.split(r"[—:;(|]", lead)[-1]
    return bool(_OF_ANOTHER.search(lead + match.group()) or _HOPED.search(lead))


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
    """Bytes of the largest artifact reported: code plus compressed model.

    submission.json's count, unless the README counts a little more (another seed's), or states
    a total to the byte and never mentions that of submission.json.
    """
    written = _size_in_json(facts)
    if written is None:
        return _size_in_readme(document)
    seeds = _largest_of_seeds(document)
    if seeds is not None and written.value < seeds.value < 1.05 * written.value:
        return seeds
    count = int(written.value)
    if f"{count:,}" in document.text or str(count) in document.text:
        return written
    for words, slack in ((_TOTAL, 0), (_ARTIFACT, _CODE)):  # an artifact may leave the code out
        stated = _size_in_lines(document, words)
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
            and not ELSEWHERE.search("/".join(fact.path).lower())
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


def _size_in_readme(document: Document) -> Found | None:
    if (largest := _largest_of_seeds(document) or _size_in_lines(document)) is not None:
        return largest
    for block in document.blocks[:6]:
        counts = byte_counts(block.text)
        if counts and not _SIZE_NOT.search(block.text):
            return Found(float(counts[0]), Source(file=document.name, line=block.line))
    return None


def _size_in_lines(document: Document, words: re.Pattern[str] | None = None) -> Found | None:
    """The first line that states the size; with `words`, one that says these and counts bytes."""
    not_this = _NOT_STORED if words else _SIZE_NOT
    for block in document.blocks:
        if (block.kind == "code" and words) or not _SIZE_LINE.may_match(fold(block.text)):
            continue
        for number, line in enumerate(block.text.split("\n")):
            if not _SIZE_LINE.pattern.search(line) or not_this.search(line):
                continue
            counts = byte_counts(line)
            if words:
                counts = [count for count in counts if count % 1000 and words.search(line)]
            if counts and 1e5 < max(counts) < 1e8:
                source = Source(file=document.name, line=block.line + number)
                return Found(float(max(counts)), source)
    return None
