"""Effects from child and parent: what a submission changed against what it built on.

Whatever both share, said or unsaid, cancels in the difference of their scores. A pair changes
several things at once, so all changes are estimated together, those not asked about shrunk.
Only what is told on both sides is a change; where the parent's value is unknown, an indicator of
its own takes the child's statement. Errors are robust within families of children; that a score
enters the pair with its parent and, with the other sign, those with its children is not allowed
for where these are of two families.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scripts.causal.graph.design import OUTCOME, Design
from scripts.causal.graph.features import Panel, context_columns, features
from scripts.causal.graph.observed import estimate, told_levels
from scripts.causal.graph.regression import fit_model
from scripts.causal.graph.schema import Estimate

LEAST_PAIRS = 20  # as many as submissions for `observed`
LEAST_CHANGES = 5  # pairs; fewer are hardly ever of LEAST_CLUSTERS families


def pairs_panel(design: Design, least_tau2: float = 0.0) -> tuple[Panel, int]:
    """Return the model over all (child, parent) pairs with two scores, and their number.

    Pairs on different tracks are under different conditions and do not count.
    """
    track = design.table["track"].tolist() if "track" in design.table else None
    pairs = [
        (row, parent)
        for row, parent in enumerate(design.parents)
        if parent is not None and (track is None or track[row] == track[parent])
    ]
    if len(pairs) < LEAST_PAIRS:
        named = f"{len(pairs)} submissions name a scored parent on their track"
        why = f"{named}; at least {LEAST_PAIRS} are needed"
        return Panel({}, {}, {}, None, why), len(pairs)
    child, parent = (np.array(side) for side in zip(*pairs, strict=True))
    blocks, unknown, places, moves, taken = [], [], {}, {}, 0
    found = features(design)
    for name, feature in list(found.items()):
        both = feature.told[child] & feature.told[parent]
        block = np.where(both[:, None], feature.columns[child] - feature.columns[parent], 0.0)
        one_sided = feature.told[child] & ~feature.told[parent]
        if 0 < one_sided.sum() < len(pairs):
            unknown.append(one_sided.astype(float)[:, None])
        moved = np.any(block != 0, axis=1)
        if moved.sum() < LEAST_CHANGES:
            if moved.any():
                unknown.append(block)
            del found[name]
            continue
        blocks.append(block)
        moves[name] = moved
        places[name] = tuple(range(taken, taken + len(feature.levels)))
        taken += len(feature.levels)
    if not blocks:
        why = f"no variable is changed in {LEAST_CHANGES} of {len(pairs)} pairs"
        return Panel({}, {}, {}, None, why), len(pairs)
    outcome = design.table[OUTCOME].to_numpy(dtype=float)
    model = fit_model(
        outcome[child] - outcome[parent],
        _context_steps(design, child, parent),
        np.hstack([*blocks, *unknown]),
        [design.clusters[row] for row in child],
        least_tau2,
    )
    why = "" if model else "no pair's score differs from its parent's"
    return Panel(found, places, moves, model, why), len(pairs)


def _context_steps(
    design: Design, child: NDArray[np.intp], parent: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return an intercept, for what any next try gains, and how far the context moved, (n, q)."""
    context = context_columns(design)
    steps = context[child] - context[parent]
    moved = steps[:, np.ptp(steps, axis=0) > 1e-9]
    return np.hstack([np.ones((len(steps), 1)), moved])


def difference_effects(
    design: Design, least_tau2: float = 0.0
) -> tuple[dict[str, tuple[Estimate, ...]], dict[str, str]]:
    """Return per variable its contrasts with `off` over child − parent pairs, and who has none.

    Args:
        design: the submissions with their parents.
        least_tau2: variance of an effect over all submissions, which tell it better.
    """
    panel, pairs = pairs_panel(design, least_tau2)
    if panel.model is None:
        return {}, dict.fromkeys(design.coded, panel.why)
    found: dict[str, tuple[Estimate, ...]] = {}
    refused: dict[str, str] = {}
    for name, feature in panel.features.items():
        changes = int(panel.moves[name].sum())
        told, why = told_levels(panel, name)
        if not told:
            refused[name] = why
            continue
        detail = f"child − parent, changed in {changes} of {pairs} pairs; heavy-tailed errors"
        found[name] = tuple(
            estimate(feature, level, answer, changes, detail=detail, method="differences")
            for level, answer in told
        )
    for name in design.coded:
        if name not in panel.features:
            refused[name] = (
                f"fewer than {LEAST_CHANGES} of {pairs} pairs change it, as far as told"
            )
    return found, refused
