"""Time that a command may take: when it is nearly over, no new run is started."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from scripts.causal.files import InputError


class OutOfTime(Exception):
    """The time is up before all runs are done; those that are done are in the ledger."""

    def __init__(self, done: int, total: int):
        self.done, self.total = done, total
        super().__init__(f"time is up: {done} of {total} runs are done")


class Budget:
    """Counts from its making.

    Args:
        minutes: None for as long as it takes.
        clock: seconds.

    Raises:
        InputError: minutes not above 0.
    """

    def __init__(
        self, minutes: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if minutes is not None and not 0 < minutes < math.inf:
            raise InputError(f"`minutes > 0` must hold, but got {minutes}", where="--minutes")
        self._clock, self._longest = clock, 0.0
        self._end = math.inf if minutes is None else clock() + 60 * minutes

    def learn(self, seconds: float) -> None:
        """Take note of how long a run took; the next may take as long as the longest."""
        self._longest = max(self._longest, seconds)

    def is_spent(self) -> bool:
        """Whether a run that is started now would end too late."""
        return self._clock() + self._longest > self._end
