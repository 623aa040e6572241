"""A submission's seeds with their scores, in whatever form they are reported."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from statistics import fmean

from interventions.keywords import fold
from scripts.causal.leaderboard.document import Document, Table
from scripts.causal.leaderboard.found import (
    Found,
    is_elsewhere,
    json_number,
    json_score,
    json_source,
)
from scripts.causal.leaderboard.schema import SeedResult, Source
from scripts.causal.leaderboard.stages import stage_of
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.tables import (
    MEAN,
    Columns,
    cell,
    cell_score,
    columns_of,
    parse_seed,
)

_SEED_FINAL = (
    "val_bpb", "ttt_val_bpb", "final_val_bpb", "bpb", "val_bpb_exact", "sliding_val_bpb",
    "ttt_bpb", "final_bpb", "score", "sliding_window_val_bpb", "sliding_bpb", "post_ttt_bpb",
    "post_ttt_val_bpb", "quantized_ttt_val_bpb",
)  # fmt: skip
_PARALLEL_KEYS = (
    "val_bpb_seeds", "val_bpb_per_seed", "seed_scores", "seed_bpbs", "seed_results",
    "per_seed_val_bpb", "seed_val_bpb", "val_bpbs", "seed_val_bpbs", "per_seed_bpb",
)  # fmt: skip
_SAME_MEAN = 6e-4  # bpb: a mean is rounded to three or four digits
_OTHER = 0.02  # bpb: farther from the final score are another run's
_SEED_KEY = re.compile(r"(?:seed[_ ]?)?(\d{1,6})")
_SEED_LINE = re.compile(
    r"\bseed[ =:_-]{0,3}(\d{1,6})\b(?:(?!seed)[^\n]){0,50}?(?<![\d.])(\d\.\d{4,10})(?![\d%])",
    re.IGNORECASE,
)
_SINGLE_SEED = re.compile(
    r"\bseed\s{0,4}(?:[:=]|of|\()?\s{0,4}(\d{1,6})\b|\bSEED=(\d{1,6})\b", re.IGNORECASE
)


def seed_results(
    document: Document, facts: Sequence[Fact], final: Found | None
) -> tuple[tuple[SeedResult, ...], Source | None]:
    """Per-seed scores from submission.json or from the table whose mean is the final score.

    submission.json's, unless the table's mean comes clearly closer to the final score: then they
    are of another stage or an earlier run.
    """
    tabled, row = _seeds_in_tables(document, final)
    keyed = list(_seeds_by_key(facts))
    if _are_positions(facts, {seed for seed, _, _ in keyed}):
        keyed = []
    for seeds, source in (
        _one_score_each(keyed, final),
        _one_score_each(list(_seeds_in_lists(facts)), final),
        _seeds_parallel(facts),
    ):
        if seeds:
            closer = final and tabled and _off(tabled, final) + 4e-4 < _off(seeds, final)
            if closer and len(tabled) >= len(seeds):
                break
            if final and _adds_to(tabled, seeds) and _off(tabled, final) < _off(seeds, final):
                break
            if final and final.source.file != "submission.json" and _off(seeds, final) > _OTHER:
                break  # submission.json is of another run than the README
            return _results(seeds), source
    for seeds, source in ((tabled, row), _seeds_in_lines(document, final)):
        if seeds:
            return _results(seeds), source
    return _single_seed(document, facts, final)


def _adds_to(more: dict[int, float], seeds: dict[int, float]) -> bool:
    """Whether these are the same seeds with the same scores, and others."""
    return len(more) > len(seeds) and all(
        abs(more.get(seed, 9) - score) < _SAME_MEAN for seed, score in seeds.items()
    )


def _off(seeds: dict[int, float], final: Found) -> float:
    return abs(fmean(seeds.values()) - final.value)


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


def _seeds_by_key(facts: Sequence[Fact]) -> Iterator[tuple[int, str, Found]]:
    """{"seed_results": {"1337": {"val_bpb": …}}}, {"seed_1337": 1.1}: seed, key, score."""
    for fact in facts:
        if is_elsewhere(fact.path) or "disclosure" in "/".join(fact.path):
            continue
        for depth, part in enumerate(fact.path[-2:], start=max(0, len(fact.path) - 2)):
            match = _SEED_KEY.fullmatch(part)
            above = "/".join(fact.path[:depth]).lower()
            last = depth == len(fact.path) - 1
            if not match or ("seed" not in above and "seed" not in part):
                continue
            if last and part.isdigit() and _is_list(facts, fact):
                continue
            if (value := json_score(fact)) is not None:
                key = "val_bpb" if last else fact.key
                yield int(match.group(1)), key, Found(value, json_source(fact))


def _one_score_each(
    read: Sequence[tuple[int, str, Found]], final: Found | None
) -> tuple[dict[int, float], Source | None]:
    """Of several scores of each seed the final one: by its name, or as their mean says.

    A key with a name of its own (`val_bpb_nelbo_k256`) is taken where its mean is the final score
    and that of the usual names is not.
    """
    best: dict[int, Found] = {}
    for name in _SEED_FINAL:
        for seed, key, found in read:
            if key == name:
                best.setdefault(seed, found)
    best = {seed: best[seed] for seed, _, _ in read if seed in best}  # in the file's order
    for name in dict.fromkeys(key for _, key, _ in read if "bpb" in key and final):
        other = {seed: found for seed, key, found in read if key == name}
        near = final is not None and _far(other, final) < _SAME_MEAN
        if near and final is not None and not (best and _far(best, final) < _SAME_MEAN):
            best = other
    source = next(iter(best.values())).source if best else None
    return {seed: found.value for seed, found in best.items()}, source


def _far(seeds: dict[int, Found], final: Found) -> float:
    return _off({seed: found.value for seed, found in seeds.items()}, final)


def _is_list(facts: Sequence[Fact], fact: Fact) -> bool:
    """Whether the scalar stands in a list (its siblings are numbered from 0)."""
    siblings = [
        f.path[-1]
        for f in facts
        if f.path[:-1] == fact.path[:-1] and len(f.path) == len(fact.path)
    ]
    return siblings == [str(i) for i in range(len(siblings))]


def _are_positions(facts: Sequence[Fact], seeds: set[int]) -> bool:
    """Whether 0, 1, 2 are list positions: then each element names its own seed."""
    return seeds == set(range(len(seeds))) and any(
        fact.key == "seed" and any(part.isdigit() and int(part) in seeds for part in fact.path)
        for fact in facts
    )


def _seeds_in_lists(facts: Sequence[Fact]) -> Iterator[tuple[int, str, Found]]:
    """[{"seed": 1337, "val_bpb": …}, …]: seed, key, score."""
    for fact in facts:
        number = json_number(fact)
        if fact.key != "seed" or len(fact.path) < 2 or number is None:
            continue
        if is_elsewhere(fact.path):
            continue
        for beside in facts:
            if beside.path[:-1] == fact.path[:-1] and (value := json_score(beside)) is not None:
                yield int(number), beside.key, Found(value, json_source(beside))


def _seeds_parallel(facts: Sequence[Fact]) -> tuple[dict[int, float], Source | None]:
    """ "seeds": [1, 2], "val_bpb_seeds": [1.1, 1.2]."""
    names = [
        int(value)
        for fact in facts
        if fact.path[0].lower() in ("seeds", "seed_list") and len(fact.path) == 2
        and (value := json_number(fact)) is not None and value == int(value)
    ]  # fmt: skip
    for key in _PARALLEL_KEYS:
        values = [f for f in facts if len(f.path) == 2 and f.path[0].lower() == key]
        numbers = [value for f in values if (value := json_score(f)) is not None]
        if names and len(numbers) == len(names):
            return dict(zip(names, numbers, strict=True)), json_source(values[0])
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
            if final is None and stage_of(table.header[index]) == "raw":
                continue  # of a run that got no further
            for seeds, line in _runs(table, columns, index):
                source = Source(file=document.name, line=line)
                candidates.append((_distance(seeds, final), -index, seeds, source))
    for table in document.tables:  # seeds across the columns: | Metric | Seed 1337 | Seed 42 |
        across, row = _seeds_across(document, table, final)
        if across and row:
            candidates.append((_distance(across, final), 0, across, row))
    if not candidates:
        return {}, None
    last = min(c[0] for c in candidates) > _SAME_MEAN  # no mean is the final score: the last stage
    distance, _, seeds, source = min(
        candidates, key=lambda c: (c[0] > 0.02, c[1], c[0]) if last else (c[0] > 0.02, c[0], c[1])
    )
    return ({}, None) if final and distance > 0.02 else (seeds, source)


def _distance(seeds: dict[int, float], final: Found | None) -> float:
    """How far the final score lies from the seeds' mean; not at all where it is one of theirs."""
    if final is None or any(abs(value - final.value) < 6e-5 for value in seeds.values()):
        return 0.0
    return round(_off(seeds, final), 4)


def _runs(table: Table, columns: Columns, index: int) -> list[tuple[dict[int, float], int]]:
    """A column's scores by seed, with their first line; apart where rows name different runs.

    Only a table that has one seed more than once holds several runs, each by its label.
    """
    read = [
        (seed, value, cell(row, columns.label), row.line)
        for row in table.rows
        if (seed := parse_seed(cell(row, columns.seed or 0))) is not None
        and not MEAN.search(cell(row, columns.seed or 0))  # of 3 seeds
        and (value := cell_score(row, index)) is not None
    ]
    several = len({seed for seed, *_ in read}) < len(read) and columns.label != columns.seed
    runs: dict[str, tuple[dict[int, float], int]] = {}
    for seed, value, label, line in read:
        seeds, _ = runs.setdefault(label if several else "", ({}, line))
        seeds.setdefault(seed, value)
    most = max((len(seeds) for seeds, _ in runs.values()), default=0)
    return [run for run in runs.values() if len(run[0]) == most]


def _seeds_in_lines(
    document: Document, final: Found | None
) -> tuple[dict[int, float], Source | None]:
    """`SEED=1338`: `1.2062` and the like, for two seeds or more, near the final score."""
    seeds: dict[int, float] = {}
    first = None
    for block in document.blocks if final else ():
        if block.kind == "row" or "seed" not in fold(block.text):
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
        value = json_number(fact)
        if value is not None and (
            fact.path == ("seed",) or (fact.path[0] == "seeds" and len(fact.path) <= 2)
        ):
            named.setdefault(int(value), json_source(fact))
    if not named:
        for block in document.blocks:
            if "seed" not in fold(block.text):
                continue
            for match in _SINGLE_SEED.finditer(block.text):
                line = block.line + block.text.count("\n", 0, match.start())
                seed = int(match.group(1) or match.group(2))
                named.setdefault(seed, Source(file=document.name, line=line))
    if len(named) != 1:
        return (), None
    seed, source = next(iter(named.items()))
    return (SeedResult(seed=seed, val_bpb=final.value),), source
