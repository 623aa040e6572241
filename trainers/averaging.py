"""Averages of the weights along a run: exponential and over late checkpoints.

Both are running weighted means: after some steps the average moves by a share of its distance to
the current weights. Training itself never reads them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

SWA = "swa"
SWA_BELOW = 0.2  # "tight" averaging: the last fifth of the warmdown (PR 374)
SWA_CHECKPOINTS = 12  # a checkpoint every 50 of 3,000 warmdown steps, in that fifth
# Every step moves the average; 0.997 looks 333 steps back, 5 % of a full run. The shorter ones
# are that fraction of the reduced scales' runs.
EMA_DECAYS = (0.95, 0.99, 0.997)


@dataclass(frozen=True)
class Average:
    """One average of a run's weights.

    Attributes:
        name: under which an engine keeps it.
        decay: of the exponential average of every step's weights; 0 for the plain mean of
            checkpoints late in the warmdown (Izmailov et al. 2018).
    """

    name: str
    decay: float = 0.0

    def share(self, finished: int, checkpoints: Collection[int]) -> float:
        """How far it moves towards the weights after this many finished steps, 0 to 1.

        The exponential average is freed of its start, as Adam's moments are: after t steps the
        weights of step s count d^(t−s) · (1−d) / (1−d^t), the initial ones nothing. In a run
        much longer than 1/(1−d) steps that is the usual average.

        Args:
            finished: steps done, from 1.
            checkpoints: numbers of finished steps of which the plain mean is taken.
        """
        if self.decay:
            return float((1 - self.decay) / (1 - self.decay**finished))
        if finished not in checkpoints:
            return 0.0
        return 1 / sum(1 for step in checkpoints if step <= finished)


def ema(decay: float) -> Average:
    """The exponential average of this decay."""
    return Average(f"ema{decay:g}", decay)


def checkpoint_steps(lr_scales: list[float]) -> frozenset[int]:
    """Finished steps whose weights the plain mean takes, evenly spaced, the last one among them.

    Args:
        lr_scales: learning-rate factor of every step.

    Returns:
        At most SWA_CHECKPOINTS of the steps at SWA_BELOW or less of the full rate at the end of
        the run; the last step alone, where the rate never falls so far.
    """
    late = 1
    while late < len(lr_scales) and lr_scales[-1 - late] <= SWA_BELOW < max(lr_scales):
        late += 1
    count, last = min(late, SWA_CHECKPOINTS), len(lr_scales)
    return frozenset(last - late * i // count for i in range(count))


TRACKED = (*(ema(decay) for decay in EMA_DECAYS), Average(SWA))
