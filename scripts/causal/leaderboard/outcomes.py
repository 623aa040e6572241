"""A submission's results: final bpb, per-seed bpb, the base it compares with, artifact bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from scripts.causal.leaderboard.document import Document, Table
from scripts.causal.leaderboard.numbers import byte_counts, scores
from scripts.causal.leaderboard.schema import SeedResult, Source
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.tables import (
    SPREAD,
    cell,
    cell_score,
    columns_of,
    parse_seed,
)

_FINAL_KEYS = (
    "val_bpb", "mean_val_bpb", "val_bpb_mean", "mean_bpb", "val_bpb_exact", "final_val_bpb",
    "bpb", "score", "final_bpb", "ttt_val_bpb", "val_bpb_3seed_mean", "three_seed_mean_bpb",
)  # fmt: skip
_SEED_FINAL = (
    "val_bpb", "ttt_val_bpb", "final_val_bpb", "bpb", "val_bpb_exact", "sliding_val_bpb",
    "ttt_bpb", "final_bpb", "score", "sliding_window_val_bpb", "sliding_bpb", "post_ttt_bpb",
    "post_ttt_val_bpb", "quantized_ttt_val_bpb",
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
_PARALLEL_KEYS = (
    "val_bpb_seeds", "val_bpb_per_seed", "seed_scores", "seed_bpbs", "seed_results",
    "per_seed_val_bpb", "seed_val_bpb", "val_bpbs", "seed_val_bpbs", "per_seed_bpb",
)  # fmt: skip
_SIZE_MB_KEYS = ("artifact_mb", "artifact_size_mb", "size_mb", "artifact_mb_max")
_ELSEWHERE = re.compile(r"baseline|compar|previous|prior|ablation|base_|history|negative|control")
_HEAD = re.compile(
    r"\bval[_ ]?bpb\b\s*(?:\([^()\n]{0,60}\))?\s*(?:of|is|[:=|~])*\s*(\d\.\d{2,10})|"
    r"(\d\.\d{3,10})\s*(?:val[_ ]?)?bpb\b",
    re.IGNORECASE,
)
_MEAN_HEAD = re.compile(
    r"(?:mean|average)\b[^.;\n|]{0,40}?(\d\.\d{3,10})|"
    r"(\d\.\d{3,10})\s*(?:val[_ ]?bpb\s*)?\(?[^()\n|]{0,12}\bmean",
    re.IGNORECASE,
)
_SIZE_LINE = re.compile(
    r"(?:artifact|total|submission)[^.;\n]{0,50}?(?:size|bytes|artifact|submission|MB)",
    re.IGNORECASE,
)
_SIZE_NOT = re.compile(
    r"limit|cap\b|budget|under 16|< ?16|16,000,000|16\.0 ?MB|headroom|margin|uncompress", re.I
)
_BASE_LINE = re.compile(
    r"\b(?:baseline|base|sota|record|prior|previous|current|leader(?:board)?|builds? on|built on|"
    r"based on|vs\.?|compared|over|beats?|beating|from|parent|control|merged)\b|#\d{2,4}",
    re.IGNORECASE,
)
_SINGLE_SEED = re.compile(
    r"\bseed\s*(?:[:=]|of|\()?\s*(\d{1,6})\b|\bSEED=(\d{1,6})\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Found:
    """A number and where it stands."""

    value: float
    source: Source


def _json_source(fact: Fact) -> Source:
    return Source(file="submission.json", line=fact.line)


def _number(fact: Fact) -> float | None:
    if isinstance(fact.value, bool) or not isinstance(fact.value, int | float):
        return None
    return float(fact.value)


def _score(fact: Fact) -> float | None:
    value = _number(fact)
    return value if value is not None and 0.05 < value < 15 else None


def final_bpb(document: Document, facts: Sequence[Fact]) -> Found | None:
    """The submission's own score: submission.json first, else what the README leads with."""
    for key in _FINAL_KEYS:
        for fact in facts:
            if len(fact.path) == 1 and fact.key == key and (value := _score(fact)) is not None:
                return Found(value, _json_source(fact))
    for fact in facts:
        if (
            fact.key in _FINAL_KEYS[:5]
            and len(fact.path) <= 3
            and not _ELSEWHERE.search("/".join(fact.path).lower())
            and not any(part.isdigit() for part in fact.path)
            and (value := _score(fact)) is not None
        ):
            return Found(value, _json_source(fact))
    if any(fact.key == "val_bpb" and isinstance(fact.value, str) for fact in facts):
        return None  # "TBD", "pending": the author says there is none yet
    if any(fact.key == "val_bpb" and fact.value in (0, 0.0, None) for fact in facts):
        return None
    for pattern in (_HEAD, _MEAN_HEAD):
        for block in document.blocks:
            if block.kind == "code":
                continue
            match = pattern.search(block.text)
            if match and not re.search(
                r"baseline|sota|previous|beats?", block.text[: match.start()], re.I
            ):
                line = block.line + block.text.count("\n", 0, match.start())
                value = float(next(group for group in match.groups() if group))
                return Found(value, Source(file=document.name, line=line))
    return None


def seed_results(
    document: Document, facts: Sequence[Fact], final: Found | None
) -> tuple[tuple[SeedResult, ...], Source | None]:
    """Per-seed scores from submission.json, else from the table whose mean is the final score."""
    for reader in (_seeds_by_key, _seeds_in_lists, _seeds_parallel):
        seeds, source = reader(facts)
        if seeds:
            return _results(seeds), source
    seeds, source = _seeds_in_tables(document, final)
    if seeds:
        return _results(seeds), source
    return _single_seed(document, facts, final)


def _results(seeds: dict[int, float]) -> tuple[SeedResult, ...]:
    return tuple(SeedResult(seed=seed, val_bpb=bpb) for seed, bpb in seeds.items())


def _seeds_by_key(facts: Sequence[Fact]) -> tuple[dict[int, float], Source | None]:
    """{"seed_results": {"1337": {"val_bpb": …}}}, {"seed_1337": 1.1}, and the like."""
    best: dict[int, tuple[int, float, Source]] = {}
    for fact in facts:
        if _ELSEWHERE.search("/".join(fact.path).lower()) or "disclosure" in "/".join(fact.path):
            continue
        for depth, part in enumerate(fact.path):
            match = re.fullmatch(r"(?:seed[_ ]?)?(\d{1,6})", part)
            parent = "/".join(fact.path[:depth]).lower()
            if (
                not match
                or ("seed" not in parent and "seed" not in part)
                or depth < len(fact.path) - 2
            ):
                continue
            key = "val_bpb" if depth == len(fact.path) - 1 else fact.key
            if key not in _SEED_FINAL or (value := _score(fact)) is None:
                continue
            if depth == len(fact.path) - 1 and fact.path[-1].isdigit() and _is_list(facts, fact):
                continue
            rank = _SEED_FINAL.index(key)
            seed = int(match.group(1))
            if seed not in best or rank < best[seed][0]:
                best[seed] = (rank, value, _json_source(fact))
    if not best or (list(best) == list(range(len(best))) and _positions(facts, best)):
        return {}, None
    return {seed: value for seed, (_, value, _) in best.items()}, next(iter(best.values()))[2]


def _is_list(facts: Sequence[Fact], fact: Fact) -> bool:
    """Whether the scalar stands in a list (its siblings are numbered from 0)."""
    siblings = [
        f.path[-1]
        for f in facts
        if f.path[:-1] == fact.path[:-1] and len(f.path) == len(fact.path)
    ]
    return siblings == [str(i) for i in range(len(siblings))]


def _positions(facts: Sequence[Fact], best: dict[int, tuple[int, float, Source]]) -> bool:
    """Whether 0, 1, 2 are list positions: then each element names its own seed."""
    return any(
        fact.key == "seed" and any(part.isdigit() and int(part) in best for part in fact.path)
        for fact in facts
    )


def _seeds_in_lists(facts: Sequence[Fact]) -> tuple[dict[int, float], Source | None]:
    """[{"seed": 1337, "val_bpb": …}, …]."""
    seeds: dict[int, float] = {}
    source = None
    for fact in facts:
        number = _number(fact)
        if fact.key != "seed" or len(fact.path) < 2 or number is None:
            continue
        if _ELSEWHERE.search("/".join(fact.path).lower()):
            continue
        siblings = {f.key: f for f in facts if f.path[:-1] == fact.path[:-1]}
        for key in _SEED_FINAL:
            if key in siblings and (value := _score(siblings[key])) is not None:
                seeds.setdefault(int(number), value)
                source = source or _json_source(siblings[key])
                break
    return seeds, source


def _seeds_parallel(facts: Sequence[Fact]) -> tuple[dict[int, float], Source | None]:
    """ "seeds": [1, 2], "val_bpb_seeds": [1.1, 1.2]."""
    names = [
        int(value)
        for fact in facts
        if fact.path[0].lower() in ("seeds", "seed_list") and len(fact.path) == 2
        and (value := _number(fact)) is not None and value == int(value)
    ]  # fmt: skip
    for key in _PARALLEL_KEYS:
        values = [f for f in facts if len(f.path) == 2 and f.path[0].lower() == key]
        numbers = [value for f in values if (value := _score(f)) is not None]
        if names and len(numbers) == len(names):
            return dict(zip(names, numbers, strict=True)), _json_source(values[0])
    return {}, None


def _seeds_in_tables(
    document: Document, final: Found | None
) -> tuple[dict[int, float], Source | None]:
    candidates: list[tuple[float, int, dict[int, float], Source]] = []
    for table in document.tables:
        columns = columns_of(table)
        if columns.seed is None:
            continue
        for index in columns.bpb:
            seeds: dict[int, float] = {}
            first = None
            for row in table.rows:
                seed = parse_seed(cell(row, columns.seed))
                value = cell_score(row, index)
                if seed is not None and value is not None and seed not in seeds:
                    seeds[seed] = value
                    first = first or Source(file=document.name, line=row.line)
            if seeds and first:
                distance = abs(fmean(seeds.values()) - final.value) if final else 0.0
                candidates.append((round(distance, 4), -index, seeds, first))
    for table in document.tables:  # seeds across the columns: | Metric | Seed 1337 | Seed 42 |
        seeds, source = _seeds_across(document, table, final)
        if seeds and source:
            distance = abs(fmean(seeds.values()) - final.value) if final else 0.0
            candidates.append((round(distance, 4), 0, seeds, source))
    if not candidates:
        return {}, None
    distance, _, seeds, source = min(candidates, key=lambda c: (c[0], c[1]))
    return ({}, None) if final and distance > 0.02 else (seeds, source)


def _seeds_across(
    document: Document, table: Table, final: Found | None
) -> tuple[dict[int, float], Source | None]:
    columns = {
        index: int(match.group(1))
        for index, title in enumerate(table.header)
        if (match := re.search(r"\bseed\s*=?\s*(\d{1,6})\b", title, re.IGNORECASE))
    }
    best: tuple[float, dict[int, float], Source] | None = None
    for row in table.rows if columns else ():
        values = {seed: cell_score(row, index) for index, seed in columns.items()}
        known = {seed: value for seed, value in values.items() if value is not None}
        if len(known) == len(columns) and re.search(
            "bpb", row.cells[0] if row.cells else "", re.I
        ):
            distance = abs(fmean(known.values()) - final.value) if final else 0.0
            if best is None or distance <= best[0]:
                best = (distance, known, Source(file=document.name, line=row.line))
    return (best[1], best[2]) if best else ({}, None)


def _single_seed(
    document: Document, facts: Sequence[Fact], final: Found | None
) -> tuple[tuple[SeedResult, ...], Source | None]:
    """One seed, named beside a run of one seed: its score is the submission's."""
    if final is None:
        return (), None
    named: dict[int, Source] = {}
    for fact in facts:
        value = _number(fact)
        if value is not None and (
            fact.path == ("seed",) or (fact.path[0] == "seeds" and len(fact.path) <= 2)
        ):
            named.setdefault(int(value), _json_source(fact))
    if not named:
        for block in document.blocks:
            for match in _SINGLE_SEED.finditer(block.text):
                line = block.line + block.text.count("\n", 0, match.start())
                seed = int(match.group(1) or match.group(2))
                named.setdefault(seed, Source(file=document.name, line=line))
    if len(named) != 1:
        return (), None
    seed, source = next(iter(named.items()))
    return (SeedResult(seed=seed, val_bpb=final.value),), source


def artifact_bytes(document: Document, facts: Sequence[Fact]) -> Found | None:
    """Bytes of the largest artifact reported: code plus compressed model."""
    found: list[Found] = []
    for key in _SIZE_KEYS:
        for fact in facts:
            path = "/".join(fact.path).lower()
            value = _number(fact)
            if fact.key == key and value and 1e5 < value < 1e9 and not _ELSEWHERE.search(path):
                found.append(Found(value, _json_source(fact)))
        if found:
            return max(found, key=lambda f: f.value)
    for fact in facts:
        value = _number(fact)
        if fact.key in _SIZE_MB_KEYS and value and 0.1 < value < 1000:
            return Found(round(value * 1e6), _json_source(fact))
    return _size_in_readme(document)


def _size_in_readme(document: Document) -> Found | None:
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
            if fact.key == key and (value := _score(fact)) is not None:
                return Found(value, _json_source(fact))
    own = final.value if final else None
    candidates: list[tuple[int, int, Found]] = []
    wanted = {str(number) for number in parents}
    for order, block in enumerate(document.blocks):
        if block.kind == "code":
            continue
        for number, line in enumerate(block.text.split("\n")):
            for clause in re.split(r"(?<=[.;])\s", line):
                weight = _base_weight(clause, wanted)
                if not weight:
                    continue
                values = [v for v in scores(clause) if own is None or abs(v - own) > 2e-5]
                values = [v for v in values if v > 0.1]
                if values:
                    source = Source(file=document.name, line=block.line + number)
                    candidates.append((-weight, order, Found(values[0], source)))
    if not candidates:
        return None
    return min(candidates, key=lambda c: (c[0], c[1]))[2]


def _base_weight(clause: str, parents: set[str]) -> int:
    if not scores(clause):
        return 0
    if any(re.search(rf"#{number}\b", clause) for number in parents):
        return 5
    if re.search(r"\b(?:builds?|built|based) on\b|\bbase\b", clause, re.I):
        return 4
    if re.search(
        r"\b(?:merged |current |previous |prior )?(?:sota|leader(?:board)?|record)\b", clause, re.I
    ) and (re.search(r"#\d{2,4}|current|merged|previous|prior|vs", clause, re.I)):
        return 3
    if re.search(r"\bbaseline\b", clause, re.I):
        return 2
    return 0
