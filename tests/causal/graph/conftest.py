from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scripts.causal.leaderboard.schema import Leaderboard, Submission

MakeSubmission = Callable[..., Submission]


@pytest.fixture
def submission() -> MakeSubmission:
    """A submission with the given fields; `techniques` by keyword."""

    def make(number: int, bpb: float | None = 1.2, **fields: Any) -> Submission:
        return Submission(
            id=f"track/{number:03d}",
            pr=1000 + number,
            author=fields.pop("author", f"author {number}"),
            date=fields.pop("date", f"2026-04-{1 + number % 28:02d}"),
            track=fields.pop("track", "track_10min_16mb"),
            val_bpb=bpb,
            **fields,
        )

    return make


@pytest.fixture
def planted(submission: MakeSubmission) -> Leaderboard:
    """Eighty submissions in which only the evaluation stride and the vocabulary move bpb."""
    rng = np.random.default_rng(7)
    submissions = []
    for number in range(80):
        sliding, big, ema, smear = (bool(one) for one in rng.integers(2, size=4))
        layers = int(rng.choice([9, 10, 11]))
        bpb = 1.2 - 0.03 * sliding - 0.05 * big + 0.008 * rng.standard_normal()
        submissions.append(
            submission(
                number,
                float(bpb),
                date=f"2026-04-{rng.integers(1, 29):02d}",
                techniques={
                    "sliding_window_eval": 64 if sliding else 0,
                    "vocab_size": 8192 if big else 1024,
                    "ema": 0.997 if ema else 0.0,
                    "smear_gate": smear,
                    "num_layers": layers,
                },
            )
        )
    return Leaderboard(source="planted", submissions=tuple(submissions))
