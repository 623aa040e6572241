"""What runs must satisfy before anything is decided on them."""

from __future__ import annotations

from scripts.causal.campaign.schema import RawRuns
from scripts.causal.files import InputError


def check_runs(raw: RawRuns) -> None:
    """Refuse runs on which no verdict can rest.

    Raises:
        InputError: a seed both screens and confirms, a contrast is listed twice in one phase,
            or the looks are no plan that its contrasts kept to.
    """
    confirmed = {
        pair.seed for runs in raw.runs if runs.phase == "confirm" for pair in runs.pairs
    } | set(raw.confirm_seeds)
    screened = {
        pair.seed for runs in raw.runs if runs.phase == "screen" for pair in runs.pairs
    } | set(raw.screen_seeds)
    if stale := confirmed & screened:
        raise InputError(
            f"seed {min(stale)} is both a screening and a confirmation seed",
            mend="confirm on seeds that took no part in the choice",
        )
    _check_looks(raw)
    names = [(runs.contrast.id, runs.phase) for runs in raw.runs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"contrast {twice[0]!r} is listed twice in phase {twice[1]!r}")


def _check_looks(raw: RawRuns) -> None:
    """Refuse looks that are no plan, and a contrast that stopped between them."""
    looks, seeds = raw.looks, raw.confirm_seeds
    if not looks:
        return
    if sorted(set(looks)) != list(looks) or looks[0] < 2 or looks[-1] != len(seeds):
        raise InputError(
            f"looks must grow from 2 or more to the {len(seeds)} confirmation seeds, "
            f"but got {list(looks)}"
        )
    for runs in raw.runs:
        if runs.phase == "confirm" and {pair.seed for pair in runs.pairs} not in (
            set(seeds[:count]) for count in looks
        ):
            raise InputError(
                f"contrast {runs.contrast.id!r} was not run on the seeds of a planned look"
            )
