"""A submission's results: final bpb, per-seed bpb, the base it compares with, artifact bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from scripts.causal.leaderboard.document import Block, Document, Table
from scripts.causal.leaderboard.numbers import byte_counts
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
_LEAD = 8  # blocks that open a README
_PARALLEL_KEYS = (
    "val_bpb_seeds", "val_bpb_per_seed", "seed_scores", "seed_bpbs", "seed_results",
    "per_seed_val_bpb", "seed_val_bpb", "val_bpbs", "seed_val_bpbs", "per_seed_bpb",
)  # fmt: skip
_SIZE_MB_KEYS = ("artifact_mb", "artifact_size_mb", "size_mb", "artifact_mb_max")
_ELSEWHERE = re.compile(r"baseline|compar|previous|prior|ablation|base_|history|negative|control")
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
_SAME_SETUP = re.compile(
    r"\bsame (?:stack|setup|config\w*|run|model|checkpoint)\b.{0,40}\b"
    r"(?:without|with standard|gives)|"
    r"\bstandard final eval|\b(?:without|before) (?:this|the) change",
    re.IGNORECASE,
)
_SEED_LINE = re.compile(
    r"\bseed[ =:_-]{0,3}(\d{1,6})\b(?:(?!seed)[^\n]){0,50}?(?<![\d.])(\d\.\d{4,10})(?![\d%])",
    re.IGNORECASE,
)
_SINGLE_SEED = re.compile(
    r"\bseed\s{0,4}(?:[:=]|of|\()?\s{0,4}(\d{1,6})\b|\bSEED=(\d{1,6})\b", re.IGNORECASE
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
    nested = [
        Found(value, _json_source(fact))
        for fact in facts
        if fact.key in _FINAL_KEYS[:5]
        and len(fact.path) <= 3
        and not _ELSEWHERE.search("/".join(fact.path).lower())
        and not any(part.isdigit() for part in fact.path)
        and (value := _score(fact)) is not None
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


def seed_results(
    document: Document, facts: Sequence[Fact], final: Found | None
) -> tuple[tuple[SeedResult, ...], Source | None]:
    """Per-seed scores from submission.json, else from the table whose mean is the final score."""
    for reader in (_seeds_by_key, _seeds_in_lists, _seeds_parallel):
        seeds, source = reader(facts)
        if seeds:
            return _results(seeds), source
    for search in (_seeds_in_tables, _seeds_in_lines):
        seeds, source = search(document, final)
        if seeds:
            return _results(seeds), source
    return _single_seed(document, facts, final)


def settle_final(
    final: Found | None, seeds: Sequence[SeedResult], source: Source | None
) -> Found | None:
    """Where a README leads with one of its seeds' scores, or with none, take the seeds' mean."""
    values = [seed.val_bpb for seed in seeds if seed.val_bpb is not None]
    if final is None and values and source is not None:
        return Found(round(fmean(values), 8), source)
    if final is None or final.source.file == "submission.json" or len(values) < 2:
        return final
    return Found(round(fmean(values), 8), final.source) if final.value in values else final


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


def _seeds_in_lines(
    document: Document, final: Found | None
) -> tuple[dict[int, float], Source | None]:
    """`SEED=1338`: `1.2062` and the like, for two seeds or more, near the final score."""
    seeds: dict[int, float] = {}
    first = None
    for block in document.blocks if final else ():
        if block.kind == "row":
            continue
        for number, line in enumerate(block.text.split("\n")):
            for match in _SEED_LINE.finditer(line):
                value = float(match.group(2))
                if final and abs(value - final.value) < 0.02:
                    first = first or Source(file=document.name, line=block.line + number)
                    seeds.setdefault(int(match.group(1)), value)
    return (seeds, first) if len(seeds) >= 2 else ({}, None)


def _seeds_across(
    document: Document, table: Table, final: Found | None
) -> tuple[dict[int, float], Source | None]:
    columns = {
        index: int(match.group(1))
        for index, title in enumerate(table.header)
        if (match := re.search(r"\bseed\s{0,4}=?\s{0,4}(\d{1,6})\b", title, re.IGNORECASE))
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
            largest = max(found, key=lambda f: f.value)
            seeds = _largest_of_seeds(document)
            close = seeds is not None and largest.value < seeds.value < 1.05 * largest.value
            return seeds if close else largest
    for fact in facts:
        value = _number(fact)
        if fact.key in _SIZE_MB_KEYS and value and 0.1 < value < 1000:
            return Found(round(value * 1e6), _json_source(fact))
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
            if fact.key == key and (value := _score(fact)) is not None:
                return Found(value, _json_source(fact))
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
            if arrow and own is not None and abs(float(arrow.group(2)) - own) <= 6e-4:
                yield 6, Found(float(arrow.group(1)), source)
            for clause in re.split(r"(?<=[.;])\s", line):
                values = [v for v in _exact_scores(clause) if _other_score(v, own)]
                if values and (weight := _base_weight(clause, parents)):
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


def _exact_scores(text: str) -> list[float]:
    """Scores written to three decimals or more: not a rate, a momentum or a version."""
    return [float(number) for number in _THREE.findall(_LOSS.sub(" ", text))]


def _other_score(value: float, own: float | None) -> bool:
    """Whether a number can be another run's score: of the same size as the own one."""
    if own is None:
        return 0.9 < value < 3
    return abs(value - own) > 2e-5 and 0.4 * own < value < 2.5 * own


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
