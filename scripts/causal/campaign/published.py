"""What the leaderboard's own runs say of noise: the spread over seeds of full-scale scores."""

from __future__ import annotations

import math

import numpy as np

from scripts.causal.campaign.schema import VariancePrior
from scripts.causal.leaderboard.schema import Leaderboard
from scripts.causal.stats.moderated import Prior, fit_prior

TRACK = "track_10min_16mb"


def published_spread(leaderboard: Leaderboard) -> tuple[Prior, int] | None:
    """The variance of a single full-scale run over seeds, and how many records tell it.

    From the merged records of the ten-minute track with two or more scored seeds; None where
    fewer than three differ.
    """
    scores = [
        [seed.val_bpb for seed in one.seeds if seed.val_bpb is not None]
        for one in leaderboard.submissions
        if one.id.startswith(f"{TRACK}/")
    ]
    told = [runs for runs in scores if len(runs) > 1]
    prior = fit_prior([float(np.var(runs, ddof=1)) for runs in told], [len(r) - 1 for r in told])
    return None if prior is None else (prior, len(told))


def published_prior(leaderboard: Leaderboard) -> VariancePrior | None:
    """What a paired difference of two full-scale runs scatters by.

    Twice the variance of a run: pairing by seed buys nothing there. Where different code shares
    seed numbers the correlation was measured at 0.06 (seven records), and taking it for 0 errs
    on the safe side.
    """
    found = published_spread(leaderboard)
    if found is None:
        return None
    spread, records = found
    return VariancePrior(
        scale=math.sqrt(2 * spread.variance),
        df=spread.df,
        origin=f"seed spread {math.sqrt(spread.variance):.5f} bpb of {records} published records",
    )
