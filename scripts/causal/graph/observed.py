"""Effects read off the submissions table, where the graph says that they can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from statsmodels.regression.linear_model import OLS

from scripts.causal.graph.coding import CodedVariable
from scripts.causal.graph.design import CONTEXT, OUTCOME, RARE, Design
from scripts.causal.graph.encode import Matrix
from scripts.causal.graph.identify import adjustment_set, identification
from scripts.causal.graph.pag import Pag
from scripts.causal.graph.schema import Estimate, Level

LEAST_RESIDUAL_ROWS = 8
LEAST_CLUSTERS = 8


def _numbers(design: Design, name: str) -> Matrix:
    """Return a column of the table in its own units, or its drop-one indicators; (n, p)."""
    cells = design.table[name].tolist()
    if cells and isinstance(cells[0], str):
        levels = sorted(set(cells))
        return np.array([[float(cell == level) for level in levels[1:]] for cell in cells])
    return np.array(cells, dtype=float)[:, None]


def _treatments(design: Design, name: str) -> list[tuple[Level, Level, Matrix, float]]:
    """Return (before, after, columns with the treatment first, multiplier) per contrast."""
    coded = design.coded[name]
    if coded.kind == "numeric":
        off, typical = float(coded.off), float(coded.typical)
        if off == typical:
            return []
        return [(off, typical, _numbers(design, name), typical - off)]
    cells = design.table[name].tolist()
    control = str(coded.off)
    if control not in cells:
        return []
    levels = sorted({cell for cell in cells if cell not in (control, RARE)})
    found = []
    for level in levels:
        others = [one for one in sorted(set(cells)) if one not in (control, level)]
        columns = np.array([[float(cell == one) for one in (level, *others)] for cell in cells])
        found.append((_value(coded, control), _value(coded, level), columns, 1.0))
    return found


def _value(coded: CodedVariable, level: str) -> Level:
    """Return what a cell's text stands for."""
    return level == "True" if coded.kind == "binary" else level


def _fit(
    design: Design,
    contrast: tuple[Level, Level],
    treatment: Matrix,
    factor: float,
    adjusted: Sequence[str],
) -> Estimate | None:
    """Return the least-squares estimate, None when rows or clusters are too few."""
    blocks = [_numbers(design, name) for name in adjusted]
    columns = np.hstack([treatment, *blocks]) if blocks else treatment
    centred = columns - columns.mean(axis=0)
    scale = np.where(centred.std(axis=0) > 0, centred.std(axis=0), 1.0)
    predictors = np.hstack([np.ones((len(columns), 1)), centred / scale])
    rows = len(predictors)
    labels = sorted(set(design.clusters))
    full = np.linalg.matrix_rank(predictors) == predictors.shape[1]
    if (
        not full
        or rows - predictors.shape[1] < LEAST_RESIDUAL_ROWS
        or len(labels) < LEAST_CLUSTERS
    ):
        return None
    groups = np.array([labels.index(one) for one in design.clusters])
    outcome = design.table[OUTCOME].to_numpy(dtype=float)
    fit = OLS(outcome, predictors).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    multiplier = factor / float(scale[0])
    effect = float(fit.params[1]) * multiplier
    low, high = sorted(float(one) * multiplier for one in fit.conf_int(alpha=0.05)[1])
    if not np.isfinite([effect, low, high]).all():
        return None
    line = "" if isinstance(contrast[0], bool | str) else "on a line, "
    given = ", ".join(adjusted) or "nothing"
    return Estimate(
        source="observed",
        before=contrast[0],
        after=contrast[1],
        effect=effect,
        low=low,
        high=high,
        n=rows,
        detail=f"{line}adjusted for {given}",
    )


def observed_effects(design: Design, pag: Pag) -> dict[str, tuple[Estimate, ...]]:
    """Return per factor its adjusted association with bpb, only where the graph identifies it.

    Least squares on the context and the factor's neighbours that it cannot have changed, with
    errors robust to dependence within lineage clusters.
    """
    found = {}
    for name in design.factors:
        if name not in pag.nodes or identification(pag, name, OUTCOME) != "identified":
            continue
        near = adjustment_set(pag, name, OUTCOME)
        adjusted = [one for one in design.columns if one in near or one in CONTEXT]
        fits = [
            _fit(design, (before, after), columns, factor, adjusted)
            for before, after, columns, factor in _treatments(design, name)
        ]
        estimates = tuple(fit for fit in fits if fit is not None)
        if estimates:
            found[name] = estimates
    return found
