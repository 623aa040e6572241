"""How a run ended, by rule: descending, plateaued, unstable or memorized.

| status     | rule, the first that holds                                                         |
|------------|------------------------------------------------------------------------------------|
| failed     | a loss was no finite number, or the run ended with an error                        |
| unstable   | after its first quarter the training loss, averaged over a twentieth of the run,   |
|            | once stood more than `RISE` nats above its lowest so far                           |
| memorized  | over its last tenth the training loss is below validation's by more than `GAP`     |
| descending | over the last quarter of its points validation still fell by more than `FALL`      |
| plateaued  | none of these                                                                      |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

Status = Literal["descending", "plateaued", "unstable", "memorized", "failed"]

RISE = 0.3  # nats
GAP = 0.1  # of validation's loss
FALL = 0.01  # of validation's bpb


def status_of(train_loss: Sequence[float], val_bpb: Sequence[float], val_loss: float) -> Status:
    """Return how a run ended (rules in the module's text).

    Args:
        train_loss: of every step, nats per token.
        val_bpb: along the run, evenly spaced.
        val_loss: at its end, nats per token.
    """
    losses = np.asarray(train_loss, dtype=np.float64)
    if not (losses.size and np.isfinite(losses).all() and np.isfinite(val_loss)):
        return "failed"
    if largest_rise(train_loss) > RISE:
        return "unstable"
    if late_loss(train_loss) < (1 - GAP) * val_loss:
        return "memorized"
    late = list(val_bpb)[-max(2, round(len(val_bpb) / 4) + 1) :]
    return "descending" if late[-1] < (1 - FALL) * late[0] else "plateaued"


def largest_rise(train_loss: Sequence[float]) -> float:
    """How far the training loss, smoothed, once stood above its lowest so far, in nats.

    Averaged over a twentieth of the run; its first quarter is left out.
    """
    losses = np.asarray(train_loss, dtype=np.float64)
    window = max(1, losses.size // 20)
    smooth = np.convolve(losses, np.full(window, 1 / window), mode="valid")
    return float((smooth - np.minimum.accumulate(smooth))[losses.size // 4 :].max(initial=0.0))


def late_loss(train_loss: Sequence[float]) -> float:
    """The training loss over the last tenth of a run, in nats."""
    return float(np.mean(train_loss[-max(1, len(train_loss) // 10) :]))
