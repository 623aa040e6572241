"""Stage scores that lines hold: lists, two-column metric tables, logs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from statistics import fmean

from interventions.keywords import guarded
from scripts.causal.leaderboard.document import Document
from scripts.causal.leaderboard.numbers import scores
from scripts.causal.leaderboard.schema import Source
from scripts.causal.leaderboard.stages import NO_SCORE, Score, Stages, stage_of

Line = tuple[int, str, str, str]  # number, text, kind, the last line that ended in ":"
MAX_LINE = 200  # characters; longer lines are prose

_PLANNED = guarded(r"\btarget|\bexpect|\bestimat|\bproject(?:ed|ion)", re.IGNORECASE)
_BPB = guarded(r"bpb(?:[^\d|;,\n]{0,50}:)?\W{0,12}(\d\.\d{3,10})", re.IGNORECASE)
_CODED = re.compile(  # final_int6_roundtrip_exact: 1.14068680
    r"(?!.*loss)\W*([a-z][a-z0-9]*(?:_[a-z0-9]+)+)\W{1,6}([01]\.\d{4,10})\W*$"
)
_EXACT = re.compile(  # roundtrip exact 2.15605819, in the list of one run
    r"(?!.*loss)\W*([A-Za-z][\w-]*(?: [\w-]+){0,4})\W{1,4}([0-4]\.\d{6,10})\W*$", re.IGNORECASE
)
_BARE = re.compile(
    r"\W*(?:val_loss\W{0,3}[\d.]{3,12}\W{0,4})?(?:(?:exact|final|mean) )?(?:val_?)?bpb\W*$",
    re.IGNORECASE,
)
_NOTE = re.compile(r" ?\((?![^()]*(?:mean|seed|record))([^()]{3,60})\)")
_SETTING = re.compile(r"loss|decay|\blr\b|rate|momentum|weight|scale|temp|ratio|alpha", re.I)
_OF_SEED = re.compile(r"\bseed\W{0,3}\d", re.IGNORECASE)
_BEFORE = re.compile(r"\W*(?:pre-?(?:quant|export)|post-?ema)", re.IGNORECASE)
_LEAST = 0.3  # bits per byte: less is a gain
_PART = re.compile(  # a label of a few words and its score, between bars, commas or stops
    r"(?:^|[|;,.→>(] )\W{0,4}([A-Za-z][\w+-]*(?: [\w+-]+){0,3}(?: \([^()]{1,20}\))?)"
    r"(?::? |: ?|=)(?:val_bpb ?[=:] ?)?([01]\.\d{3,8})(?![\d%])"
)
_SCORE_NOTE = re.compile(r"(?<![\d.])([01]\.\d{3,10})\W{0,4}\(([^()]{3,60})\)")
_OTHER_RUN = guarded(r"\bbaseline|\bsota\b|\bprevious|\bprior\b|#\d", re.IGNORECASE)


def runs_of_lines(document: Document) -> tuple[list[Stages], list[Stages]]:
    """Read `Pre-TTT bpb | 1.1208`; a bare `val_bpb: 1.1208` is of the stage its intro names.

    Returns:
        The run that a README's lines tell as a whole, and those of parts below headings of their
        own; seeds' parts are one run.
    """
    told = list(_lines(document))
    parts: dict[tuple[str, ...], list[Line]] = {}
    for section, line in told:
        parts.setdefault((*section, line[3]), []).append(line)
    runs: list[Stages] = []
    seeds: list[Stages] = []
    of_seeds: list[Line] = []
    for titles, lines in parts.items():
        run = _stages_of(document, lines, _EXACT)
        if len(run) > 1 and any(_OF_SEED.search(title) for title in titles[-2:]):
            seeds.append(run)
            of_seeds += lines
        elif len(run) > 1:
            runs.append(run)
    mean = _averaged(seeds)
    apart = {line[0] for line in of_seeds} if len(mean) < len(seeds) else set()
    whole = [line for _, line in told if line[0] not in apart]
    return [_stages_of(document, whole, _CODED)], [*runs, *mean]


def _averaged(seeds: list[Stages]) -> list[Stages]:
    """One run of which each seed's part tells the same stages: their means."""
    if len(seeds) < 2 or any(set(seed) != set(seeds[0]) for seed in seeds):
        return seeds
    return [
        {
            stage: score._replace(value=fmean(seed[stage].value for seed in seeds))
            for stage, score in seeds[0].items()
        }
    ]


def _stages_of(document: Document, lines: list[Line], wording: re.Pattern[str]) -> Stages:
    stages: Stages = {}
    for number, line, kind, intro in lines:
        if len(line) > MAX_LINE:
            continue
        if "bpb" not in line.lower() and (kind != "row" or line.count(" | ") > 1):
            if kind == "item" and (named := wording.match(line)):
                line = f"{named.group(1)} bpb: {named.group(2)}"
            else:
                continue
        if not (found := scores(line)):
            continue
        for noted_stage, noted_score in (
            *_noted(document, number, line),
            *_in_parts(document, number, line, kind),
        ):
            stages.setdefault(noted_stage, noted_score)
        bpb = _BPB.search(line)
        if (not bpb and kind != "row") or (kind == "row" and line.count(" | ") > 1):
            continue
        value = float(bpb.group(1)) if bpb else found[0]
        label = line[: bpb.start(1) if bpb else line.find("|")]
        if intro and _BARE.match(label) and not _OTHER_RUN.search(intro):
            label = f"{intro} bpb"
        elif bpb and _BARE.match(label) and (noted := _NOTE.match(line, bpb.end())):
            label = f"{noted.group(1)} bpb"
        stage = stage_of(label)
        if (
            stage is None
            or not ("bpb" in line.lower() or (kind == "row" and _metric(stage, line)))
            or _PLANNED.search(line)
            or re.search(r"[<≤]\W*$", label)
            or _OTHER_RUN.search(label)
            or NO_SCORE.search(label.replace("val_loss", ""))
        ):
            continue
        score = Score(value, Source(file=document.name, line=number), label)
        known = stages.get(stage)
        logged = stage == "raw" and re.search(r"\bstep\b|^\W*\d+/\d+ ", label, re.IGNORECASE)
        if known is None or logged or _same_but_exact(known.value, value):
            stages[stage] = score  # of a training log the last step counts
    return stages


def _noted(document: Document, number: int, line: str) -> list[tuple[str, Score]]:
    """ "val_bpb 1.1093 (pre-quant) | 1.1190 (int6) | 1.1026 (sliding)", two stages at least."""
    if "bpb" not in line.lower() or _PLANNED.search(line) or _OTHER_RUN.search(line):
        return []
    source = Source(file=document.name, line=number)
    found = [
        (stage, Score(float(match.group(1)), source, match.group(2)))
        for match in _SCORE_NOTE.finditer(line)
        if (stage := stage_of(f"{match.group(2)} bpb"))
    ]
    return found if len({stage for stage, _ in found}) > 1 else []


def _in_parts(document: Document, number: int, line: str, kind: str) -> list[tuple[str, Score]]:
    """ "Pre-quant 1.2373, roundtrip 1.2398, sliding window 1.2065": two stages at least."""
    if kind == "row" or _PLANNED.search(line) or _OTHER_RUN.search(line):
        return []
    source = Source(file=document.name, line=number)
    found = [
        (stage, Score(float(part.group(2)), source, part.group(1)))
        for part in _PART.finditer(line)
        if (stage := stage_of(f"{part.group(1)} bpb")) and not NO_SCORE.search(part.group(1))
    ]
    stages = {stage for stage, _ in found}
    # A window over weights that are not yet quantized is no stage of the run.
    told = "quantized" in stages or not stages & {"raw", "averaged"}
    told = told and len(stages) == len(found) > 1
    return found if told and min(score.value for _, score in found) > _LEAST else []


def _metric(stage: str, row: str) -> bool:
    """Whether a row of a table of metrics is a score though it does not say so."""
    label, _, text = row.partition(" | ")
    value = re.match(r"\W{0,3}([01]\.\d{3,8})\b", text)
    return (
        (stage not in ("raw", "averaged") or _BEFORE.match(label) is not None)
        and value is not None
        and 0.5 < float(value.group(1)) < 2
        and not _SETTING.search(label)
    )


def _lines(document: Document) -> Iterator[tuple[tuple[str, ...], Line]]:
    """Yield the headings above each line, its number, text and kind, the last that ends in ":"."""
    intro = ""
    for block in document.blocks:
        if block.kind == "heading":
            intro = ""
            continue
        for number, line in enumerate(block.text.split("\n")):
            if line.endswith(":") and len(line) < 120:
                intro = line
            elif block.kind == "paragraph":
                intro = ""
            yield block.section, (block.line + number, line, block.kind, intro)


def _same_but_exact(known: float, value: float) -> bool:
    """Whether a later line gives an earlier line's score with more decimals."""
    decimals = len(f"{known:.10f}".rstrip("0").partition(".")[2])
    return 3 < decimals < 8 and known != value and round(value, decimals) == known
