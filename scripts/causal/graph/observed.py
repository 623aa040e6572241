"""Effects read off the submissions table: what a change does with everything else held.

Every design variable but the one in question is adjusted for, shrunk, beside date and track
(`regression`); whether the number may be read as an effect is asked of the graph (`direct`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scripts.causal.graph.design import CONTEXT, OUTCOME, Design
from scripts.causal.graph.direct import direct_status, left_out_sets
from scripts.causal.graph.features import Feature, Panel, context_columns, features
from scripts.causal.graph.pag import Pag
from scripts.causal.graph.regression import Answer, fit_model
from scripts.causal.graph.schema import Estimate, Level

LEAST_ROWS = 20
LEAST_CLUSTERS = 4  # at 3 the 95 % quantile of t is 4.3, at 2 it is 12.7
LEAST_SHARE = 0.02  # below, a standard error is 7 times that of a column of its own
ALWAYS = 0.97  # not 1: one slip of the reading in thirty rows makes no contrast


def submissions_panel(design: Design) -> Panel:
    """Return the model over all scored submissions."""
    found = features(design)
    if not found:
        return Panel({}, {}, {}, None, "no variable varies enough to be compared")
    blocks, places, taken = [], {}, 0
    for name, feature in found.items():
        blocks.append(feature.columns)
        places[name] = tuple(range(taken, taken + len(feature.levels)))
        taken += len(feature.levels)
    for feature in found.values():
        if not feature.guessed and 0 < np.sum(~feature.told) < len(feature.told):
            blocks.append(np.where(feature.told, 0.0, 1.0)[:, None])
    rows = len(design.table)
    model = None
    if rows >= LEAST_ROWS:
        outcome = design.table[OUTCOME].to_numpy(dtype=float)
        model = fit_model(outcome, context_columns(design), np.hstack(blocks), design.clusters)
    moves = {name: np.any(one.columns != 0, axis=1) for name, one in found.items()}
    why = "" if model else f"{rows} scored submissions are too few, or all have the same score"
    return Panel(found, places, moves, model, why)


def fault_of_answer(answer: Answer | None, together: Sequence[str]) -> str:
    """Return why an answer is none, in words; empty when it is one.

    Args:
        answer: of the regression.
        together: variables that move when it does, and hardly ever without it.
    """
    if together:
        return f"cannot be told apart: it always goes with {', '.join(together)}"
    if answer is None or answer.share < LEAST_SHARE:
        return "cannot be told apart: the others together say when it is used"
    if answer.clusters < LEAST_CLUSTERS:
        return (
            f"its users are too much of one family: they count for {answer.clusters:.1f} "
            f"independent ones, and {LEAST_CLUSTERS} are needed"
        )
    return ""


def partners(panel: Panel, variable: str, least: float = ALWAYS) -> tuple[str, ...]:
    """Return the variables that move in at least this share of the rows in which it does.

    Only such as hardly ever move without it, for what everyone changes is nobody's partner.
    """
    mine = panel.moves[variable]
    found = []
    for other, theirs in panel.moves.items():
        both = float(np.sum(mine & theirs))
        if other != variable and both >= least * mine.sum() and both >= least * theirs.sum():
            found.append(other)
    return tuple(found)


def ask_levels(panel: Panel, variable: str) -> list[tuple[Level, Answer | None]]:
    """Return the answer for each level of the variable against its `off`."""
    if panel.model is None:
        return []
    answers = panel.model.ask(panel.places[variable])
    return list(zip(panel.features[variable].levels, answers, strict=True))


def told_levels(panel: Panel, variable: str) -> tuple[list[tuple[Level, Answer]], str]:
    """Return the levels with an answer that holds; where there is none, why, in words."""
    together = partners(panel, variable)
    told: list[tuple[Level, Answer]] = []
    faults = []
    for level, answer in ask_levels(panel, variable):
        fault = fault_of_answer(answer, together)
        if answer is not None and not fault:
            told.append((level, answer))
        else:
            faults.append(fault)
    return told, "" if told else faults[0]


def estimate(
    feature: Feature, level: Level, answer: Answer, rows: int, **more: object
) -> Estimate:
    """Return an answer as an observed estimate of off → level, with its 95 % interval.

    Args:
        feature: the variable's columns.
        level: what `off` is compared with.
        answer: of the regression.
        rows: submissions, or pairs that change the variable.
        more: other fields of `Estimate`.
    """
    half = answer.half_width()
    return Estimate(
        source="observed",
        before=feature.off,
        after=level,
        effect=answer.effect,
        low=answer.effect - half,
        high=answer.effect + half,
        n=rows,
        **more,  # type: ignore[arg-type]
    )


def _bounds(panel: Panel, pag: Pag, variable: str) -> dict[Level, tuple[float, float]]:
    """Return per level the range over the adjustment sets that the graph allows, if several."""
    sets = list(left_out_sets(pag, variable, OUTCOME))
    if len(sets) < 2:
        return {}
    per_set = []
    for nodes in sets:
        without = [place for one in nodes for place in panel.places.get(one, ())]
        effects = panel.model.effects(panel.places[variable], without) if panel.model else None
        per_set += [effects.tolist()] if effects is not None else []
    if len(per_set) < 2:
        return {}
    ranges = [(min(known), max(known)) for known in zip(*per_set, strict=True)]
    return dict(zip(panel.features[variable].levels, ranges, strict=True))


def adjusted_effects(
    design: Design, pag: Pag, panel: Panel | None = None
) -> tuple[dict[str, tuple[Estimate, ...]], dict[str, str]]:
    """Return per variable its adjusted contrasts with `off`, and why others have none.

    Also those that the graph does not identify: `identified` is false then, and `bounds` holds
    their range over the adjustment sets that the graph leaves open.
    """
    panel = submissions_panel(design) if panel is None else panel
    found: dict[str, tuple[Estimate, ...]] = {}
    refused: dict[str, str] = {}
    if panel.model is None:
        return {}, dict.fromkeys(design.coded, panel.why)
    given = [one for one in CONTEXT if one in design.columns]
    others = len(panel.features) - 1
    beside = f"{others} other variable{'s' if others != 1 else ''}"
    detail = f"adjusted for {', '.join([*given, beside])}; heavy-tailed errors"
    for name, feature in panel.features.items():
        told, why = told_levels(panel, name)
        if not told:
            refused[name] = why
            continue
        status = direct_status(pag, name, OUTCOME) if name in pag.nodes else None
        # Without an edge the graph says that there is no direct effect: the number is sound, and
        # there is nothing to read as an effect.
        identified = None if status == "disconnected" else status == "identified"
        bounds = _bounds(panel, pag, name) if status and identified is False else {}
        unsaid = "; where nobody says, taken to be without" if feature.guessed else ""
        found[name] = tuple(
            estimate(
                feature,
                level,
                answer,
                len(design.table),
                detail=detail + unsaid,
                method="adjusted",
                identified=identified,
                bounds=bounds.get(level),
            )
            for level, answer in told
        )
    for name in design.coded:
        if name not in panel.features:
            refused[name] = "too few submissions depart from its commonest value"
    return found, refused


def by_variable(
    sources: Sequence[Mapping[str, Sequence[Estimate]]],
) -> dict[str, tuple[Estimate, ...]]:
    """Return the estimates of several sources together, by variable."""
    names = sorted({name for source in sources for name in source})
    return {
        name: tuple(one for source in sources for one in source.get(name, ())) for name in names
    }
