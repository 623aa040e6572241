"""The stage ladder every run reports: raw → averaged → quantized → sliding window → test-time.

The difference between two neighbouring stages of one run is a contrast on the same weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

from scripts.causal.leaderboard.contrasts import contrast
from scripts.causal.leaderboard.document import Document, Table
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.stage_gaps import stated_gaps
from scripts.causal.leaderboard.stage_lines import runs_of_lines
from scripts.causal.leaderboard.stage_tables import own_run, table_ladders
from scripts.causal.leaderboard.stages import ORDER, STAGE_CONTRASTS, Score, Stages
from scripts.causal.leaderboard.tables import columns_of
from scripts.causal.leaderboard.unnamed_stages import before_and_after, last_column

Told = tuple[tuple[str, float], ...]  # stages and their scores
_EXACT = 6e-5  # bpb: what rounding leaves of one score
_SEEDS = 5.5e-4  # of one contrast, told of other seeds elsewhere
_ABOUT = 1.5e-3  # of a gap in words
# A log's "roundtrip" line may already be the later stage.
_TOLD_TWICE = (("quantized", "sliding"), ("quantized", "ttt"))
_SEVERAL = (("raw", "sliding"), ("averaged", "ttt"), ("raw", "ttt"))  # steps told as one
_NEAR = 80  # lines: further on a README tells of other runs
_SWA = re.compile(r"\bswa\b(?!.*\bema\b)", re.IGNORECASE)
_STEP = re.compile(r"\bstep[ :]{0,2}\d", re.IGNORECASE)
_SLID = re.compile(r"slid|stride|\bs64\b", re.IGNORECASE)
_FEW = 3  # runs beside the submission's: of fewer each one's evaluation is told
_BEFORE = re.compile(r"\W*pre-?quant(?!.*\b(?:step|stop))", re.IGNORECASE)
_RAW = re.compile(r"\braw\b|\blive\b|\bbefore ", re.IGNORECASE)
_BETTER = 5e-3  # bpb: more than averaging or quantization gains
_GAP = re.compile(r"\bquant\w* (?:gap|penalty)[^\d\n]{0,30}(0?\.\d{2,8})", re.IGNORECASE)
_LOST = 3e-3  # bpb: more than a window makes up for was lost to quantization
_APART = 0.1  # bpb: more than quantization and evaluation make of one run


def stage_contrasts(
    document: Document, listed: Sequence[Table] = (), final: float | None = None
) -> list[Ablation]:
    """Contrasts between neighbouring stages of every run whose stages the README gives.

    Where nothing but the score before quantization is told, `final` is what came of it.
    """
    tables = (*document.tables, *listed)
    places = [table_ladders(document, table) for table in tables]
    compared = [_beside_own(document, t, at, final) for t, at in zip(tables, places, strict=True)]
    many = (ladder for ladders in compared if len(ladders) >= _FEW for ladder in ladders)
    others = {part for ladder in many for part in _parts_of(ladder)}
    places = [
        [_evaluated(one) if one in beside else one for one in place if _told(one) not in others]
        for place, beside in zip(places, compared, strict=True)
    ]
    runs = _joined([*places, *runs_of_lines(document)])
    if final is not None and runs and len(runs[0][1]) == 1 and (raw := runs[0][1].get("raw")):
        lost = final - raw.value
        windowed = re.search(r"\bsliding", document.text, re.IGNORECASE)
        if 5e-6 < abs(lost) < _APART and (lost > 0 or windowed):
            stage = "quantized" if lost > 0 else "sliding"
            runs[0][1][stage] = Score(final, raw.source, "")
    if (
        final is not None
        and runs
        and len(runs[0][1]) == 1
        and (got := runs[0][1].get("quantized"))
    ):
        windowed = re.search(r"\bsliding|\bTTT\b|\bSLOT\b", document.text, re.IGNORECASE)
        if 5e-6 < got.value - final < _APART and not windowed:
            runs[0][1]["raw"] = Score(final, got.source, "")  # the claim is of the raw weights
    found: list[tuple[int, Ablation]] = []
    means = {at for at, table in enumerate(tables) if columns_of(table).seed is not None}
    for place, run in _without_sums(runs):
        for one in _contrasts(document, run):
            twins = (
                i
                for i, (at, o) in enumerate(found)
                if _same(one, o, _SEEDS if place != at else _EXACT)
            )
            if (twin := next(twins, None)) is None:
                found.append((place, one))
            elif place in means and found[twin][0] not in means:
                found[twin] = (place, one)  # of all seeds, not of one
    stages = [one for _, one in found]
    gaps: list[Ablation] = []
    for gap in stated_gaps(document):
        known = any(_same(gap, o, _ABOUT) or _lost(gap, o) for o in stages)
        if not known and not any(_same(gap, o, _EXACT) for o in gaps):
            gaps.append(gap)
    beyond = [one for table in document.tables for one in last_column(document, table)]
    return [*before_and_after(document), *stages, *gaps, *beyond]


def _joined(places: Sequence[Sequence[Stages]]) -> list[tuple[int, Stages]]:
    """Places and runs, the one with most stages first; what shares a score is one run."""
    runs: list[tuple[int, Stages]] = []
    each = [(place, ladder) for place, ladders in enumerate(places) for ladder in ladders]
    for place, ladder in sorted(each, key=lambda one: len(one[1]), reverse=True):
        run = next((run for at, run in runs if at != place and _one_run(run, ladder)), None)
        if run is None:
            runs.append((place, dict(ladder)))
            continue
        for stage, score in ladder.items():
            known = run.get(stage)
            if _rounds_to(known.value, score.value) if known else _beside(score, ladder, run):
                run[stage] = score
    return runs


def _without_sums(runs: Sequence[tuple[int, Stages]]) -> list[tuple[int, Stages]]:
    """Leave out what precedes a window over weights whose quantized score is not told.

    Where another run tells all three, the difference is but the sum of two that are known.
    """
    weights = {"raw", "averaged"}
    if not any(weights & run.keys() and {"quantized", "sliding"} <= run.keys() for _, run in runs):
        return list(runs)
    summed = {
        at for at, (_, run) in enumerate(runs) if "sliding" in run and "quantized" not in run
    }
    return [
        (
            place,
            {name: one for name, one in run.items() if at not in summed or name not in weights},
        )
        for at, (place, run) in enumerate(runs)
    ]


def _rounds_to(rounded: float, exact: float) -> bool:
    """Whether a score of four decimals is told elsewhere with more."""
    return round(rounded, 4) == rounded != exact and round(exact, 4) == rounded


def _beside_own(
    document: Document, table: Table, ladders: Sequence[Stages], final: float | None
) -> list[Stages]:
    """The runs of a table but the submission's: a long one compares them, and tells no stages."""
    lines = {row.line: row for row in table.rows}
    told = [(lines[at], one) for one in ladders if len(one) > 1 and (at := _line_of(one)) in lines]
    if len(told) < 2:
        return []
    own = own_run(document, [row for row, _ in told], [one for _, one in told], final)
    return [ladder for at, (_, ladder) in enumerate(told) if at != own]


def _evaluated(ladder: Stages) -> Stages:
    """What the evaluation made of another run; quantization's cost where nothing else is told."""
    later = {stage: one for stage, one in ladder.items() if stage not in ("raw", "averaged")}
    return later if len(later) > 1 else ladder


def _line_of(ladder: Stages) -> int:
    """The line that tells all of a run's stages, 0 where several do."""
    lines = {score.source.line for score in ladder.values()}
    return lines.pop() if len(lines) == 1 else 0


def _parts_of(ladder: Stages) -> Iterator[Told]:
    """All that another place may tell of a run."""
    for size in range(1, len(ladder) + 1):
        yield from combinations(_told(ladder), size)


def _told(ladder: Stages) -> Told:
    return tuple(sorted((stage, round(score.value, 4)) for stage, score in ladder.items()))


def _beside(score: Score, ladder: Stages, run: Stages) -> bool:
    """Whether a place tells a new score near one that it shares with the run."""
    shared = [one for stage, one in ladder.items() if stage in run and _equal(run[stage], one)]
    near = any(abs(one.source.line - score.source.line) <= _NEAR for one in shared)
    return near and not any(_equal(score, known) for known in run.values())


def _one_run(run: Stages, ladder: Stages) -> bool:
    """Whether two places agree in most of the stages that both tell."""
    shared = [_equal(run[stage], score) for stage, score in ladder.items() if stage in run]
    return sum(shared) * 2 > len(shared)


def _equal(one: Score, other: Score) -> bool:
    return abs(one.value - other.value) < _EXACT


def _same(one: Ablation, other: Ablation, room: float) -> bool:
    """Whether two runs' contrasts are one but for the seeds that they are of."""
    return one.variable == other.variable and abs(abs(one.delta) - abs(other.delta)) < room


def _lost(gap: Ablation, stage: Ablation) -> bool:
    """Whether a stated gap is what quantization left of a run that a window then scored."""
    return stage.variable == "sliding_window_eval" and abs(stage.delta - gap.delta) < _ABOUT


def _windowed(document: Document, delta: float) -> bool:
    """Whether a score that quantization bettered is one of a sliding window, and no stated gap."""
    stated = (float(gap) for gap in _GAP.findall(document.text))
    windowed = re.search(r"\bsliding", document.text, re.IGNORECASE)
    return bool(windowed) and not any(abs(gap + delta) < _ABOUT for gap in stated)


def _contrasts(document: Document, stages: Stages) -> list[Ablation]:
    for early, later in _TOLD_TWICE:
        before, after = stages.get(early), stages.get(later)
        if before and after and _equal(before, after):
            stages = {name: found for name, found in stages.items() if name != early}
    raw, averaged = stages.get("raw"), stages.get("averaged")
    if raw and averaged and _equal(raw, averaged) and _BEFORE.match(averaged.label):
        stages = {name: found for name, found in stages.items() if name != "raw"}
    known = [stage for stage in ORDER if stage in stages]
    found = []
    for stage, following in pairwise(known):
        variable, control, treatment = STAGE_CONTRASTS[following]
        value, source, label = stages[following]
        delta = round(value - stages[stage].value, 8)
        weights = following in ("averaged", "quantized")
        earlier = _STEP.search(stages[stage].label)
        if following == "averaged" and _RAW.search(stages[stage].label):
            earlier = None  # "Raw weights (step 4000)"
        if weights and delta < -_BETTER and earlier:
            continue
        if following == "quantized" and delta < -_BETTER:
            if "sliding" in stages:
                continue
            following = "sliding" if _windowed(document, delta) else following
            variable, control, treatment = STAGE_CONTRASTS[following]
        skipped = ORDER.index(following) - ORDER.index(stage) > 1
        bundle = skipped and (stage, following) in _SEVERAL
        windowed = bundle or (stage, following) == ("averaged", "sliding")
        may_gain = _SLID.search(label) and not bundle
        if windowed and delta > (_LOST if may_gain else 0):
            variable, control, treatment = STAGE_CONTRASTS["quantized"]  # it alone makes it worse
        if following == "averaged" and _SWA.search(label.replace("_", " ")):
            variable = "swa"
        if abs(delta) > 3:
            continue
        found.append(
            contrast(
                variable=variable,
                control=control,
                treatment=treatment,
                delta=delta,
                kind="bundle" if bundle else "single",
                quote=document.quote(source.line) if source.file == document.name else None,
                source=source,
            )
        )
    return found
