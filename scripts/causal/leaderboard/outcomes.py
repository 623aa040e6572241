"""A submission's final score in bits per byte."""

from __future__ import annotations

import re
from collections.abc import Sequence

from interventions.keywords import Guarded, guarded
from scripts.causal.leaderboard.document import Block, Document
from scripts.causal.leaderboard.found import (
    Found,
    is_elsewhere,
    json_number,
    json_score,
    json_source,
)
from scripts.causal.leaderboard.schema import Source
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.tables import (
    cell_score,
    columns_of,
    mean_row,
)

_MEAN_KEYS = (
    "mean_val_bpb", "val_bpb_mean", "mean_bpb", "val_bpb_3seed_mean", "three_seed_mean_bpb",
)  # fmt: skip
_FINAL_KEYS = (
    *_MEAN_KEYS, "val_bpb", "val_bpb_exact", "final_val_bpb", "bpb", "score", "final_bpb",
    "ttt_val_bpb",
)  # fmt: skip
_NESTED_KEYS = ("val_bpb", "mean_val_bpb", "val_bpb_mean", "mean_bpb", "val_bpb_exact")
_LEAD, _LEAD_MEAN = 8, 12  # blocks that open a README
_SEED_MEAN = guarded(
    r"\b(?:\d[- ](?:seed|run)s? |seeds? )?(?:mean|average)\b[^.;\n|]{0,40}?(\d\.\d{3,10})"
    r"(?=[^\n|]{0,40}\bseed)|"
    r"\b\d[- ](?:seed|run)s? (?:mean|average)\b[^.;\n|]{0,40}?(\d\.\d{3,10})|"
    r"(\d\.\d{3,10})\s{0,4}(?:val[_ ]?bpb\s{0,4})?\((?:mean|average)[^()\n|]{0,12}\bseeds|"
    r"(\d\.\d{3,10})\W{1,4}mean\b[^.;\n|]{0,20} (?:across|over) \w{1,6} (?:logs|runs|seeds)|"
    r"(\d\.\d{3,10})\s{0,4}(?:val[_ ]?bpb\s{0,4})?\(?[^()\n|]{0,12}\bseeds?[- ](?:mean|average)",
    re.IGNORECASE,
)
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
_NOT_YET = re.compile(r"\bval[_ ]?bpb\b\W{0,6}(?:TBD|TODO|pending|N/A)\b", re.IGNORECASE)
# The upstream script's last line.
_LAST_LINE = re.compile(r"\bfinal_\w{0,40}roundtrip\w* [^\n]{0,60}\bval_bpb:(\d\.\d{3,10})")
_OF_ANOTHER = re.compile(
    r"baseline|sota|previous|beats?|\bbuil[dt]s? on|\bbased on|#\d{2,4}", re.IGNORECASE
)
_BECOMES = re.compile(r"\s?(?:bpb )?(?:->|→)\s?(\d\.\d{2,10})(?![\d%])", re.IGNORECASE)
HOPED = guarded(
    r"\bexpect|\btarget|\best\b|\bestimat|\bproject(?:ed|ion)|\bcriteria|<\s?$", re.IGNORECASE
)
_PLAIN = re.compile(r"\W*val[_ ]?bpb\W*", re.IGNORECASE)
_ROUND_TRIP = re.compile(r"\bround-?trip|\bpost-?quant", re.IGNORECASE)


def final_bpb(document: Document, facts: Sequence[Fact]) -> Found | None:
    """The submission's own score: submission.json's, else what the README leads with.

    The README's is the later word where it leads with a mean over seeds (unless its title says
    submission.json's), or where what submission.json says is nowhere in it.
    """
    found = _final_bpb(document, facts)
    return found and (_after_round_trip(document, found) or found)


def _final_bpb(document: Document, facts: Sequence[Fact]) -> Found | None:
    written = _score_in_json(facts)
    if written is None:
        return None if _none_yet(facts) or _none_stated(document) else _headline(document)
    mean = _stated_score(document, document.blocks[:_LEAD_MEAN], (_SEED_MEAN,))
    if mean is not None and 6e-5 < abs(mean.value - written.value) < 0.02:
        title = document.blocks[0].text
        entitled = f"{written.value:.4f}" in title and f"{mean.value:.4f}" not in title
        return written if entitled else mean
    if not _repeated(document, written.value):
        return _stated_score(document, document.blocks[:_LEAD]) or _last_line(document) or written
    return written


def _after_round_trip(document: Document, found: Found) -> Found | None:
    """Where the score is a table's before quantization, the mean of its column after that."""
    for table in document.tables:
        columns, at = columns_of(table), mean_row(table)
        if columns.seed is None or at is None:
            continue
        means = {index: cell_score(table.rows[at], index) for index in columns.bpb}
        after = [i for i in columns.bpb if _ROUND_TRIP.search(table.header[i])]
        before = [i for i in columns.bpb if _PLAIN.fullmatch(table.header[i])]
        if len(columns.bpb) != 2 or not after or not before or after < before:
            continue
        plain, final = means[before[0]], means[after[0]]
        if plain is None or final is None or abs(final - plain) > 0.1:
            continue
        if abs(plain - found.value) < 6e-5:
            return Found(final, Source(file=document.name, line=table.rows[at].line))
    return None


def _repeated(document: Document, score: float) -> bool:
    """Whether a README says the score, however it rounds it."""
    return f"{score:.3f}" in document.text or f"{int(score * 1000) / 1000:.3f}" in document.text


def _none_yet(facts: Sequence[Fact]) -> bool:
    """Whether submission.json says "TBD", "pending", null or 0.0 in the score's place."""
    return any(fact.key == "val_bpb" and not json_number(fact) for fact in facts)


def _none_stated(document: Document) -> bool:
    """Whether a README leads with "val_bpb: TBD"."""
    return any(_NOT_YET.search(block.text) for block in document.blocks[:_LEAD])


def _last_line(document: Document) -> Found | None:
    """The one score that a README quotes from the end of its logs."""
    found: dict[float, Source] = {}
    for block in document.blocks if "val_bpb:" in document.text else ():
        for match in _LAST_LINE.finditer(block.text):
            line = block.line + block.text.count("\n", 0, match.start())
            found.setdefault(float(match.group(1)), Source(file=document.name, line=line))
    return Found(*next(iter(found.items()))) if len(found) == 1 else None


def scores_another_run(facts: Sequence[Fact], final: Found | None) -> bool:
    """Whether submission.json's score is not the final one, nor near it."""
    written = _score_in_json(facts)
    return written is not None and final is not None and abs(written.value - final.value) > 0.02


def _score_in_json(facts: Sequence[Fact]) -> Found | None:
    """A mean over seeds before one score, as exactly as it is written anywhere."""
    top = [
        (_FINAL_KEYS.index(fact.key), Found(value, json_source(fact)))
        for fact in facts
        if len(fact.path) == 1
        and fact.key in _FINAL_KEYS
        and (value := json_score(fact)) is not None
    ]
    if top:
        first = min(top, key=lambda one: one[0])[1]
        same = [found for _, found in top if abs(found.value - first.value) < 6e-5]
        return max(same, key=lambda found: (len(str(found.value)), found is first))
    nested = [
        Found(value, json_source(fact))
        for fact in facts
        if fact.key in _NESTED_KEYS
        and len(fact.path) <= 3
        and not is_elsewhere(fact.path)
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
    return bool(_OF_ANOTHER.search(lead + match.group()) or HOPED.search(lead))


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
