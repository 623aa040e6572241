"""Turns the one knob until the artifact lies just under the cap."""

from __future__ import annotations

import math
from collections.abc import Callable

from trainers.quantize.int8 import ArtifactError

SLACK = 0.005  # of the cap that may be left
TRIES = 24


def solved_knob(size: Callable[[float], int], cap: int, *, start: float, weights: int) -> float:
    """A knob k with (1 − SLACK) · cap ≤ size(k) ≤ cap.

    Entropy falls by a bit for every weight when the steps double, so from any point the next is
    told by a line in log k; where the line leaves the bracket found so far, it is halved.

    Args:
        size: bytes of the artifact at a knob, less the larger the knob.
        cap: bytes.
        start: where to begin.
        weights: how many share the knob.

    Raises:
        ArtifactError: no knob does it: what does not depend on it is larger than the cap, or the
            finest grid smaller.
    """
    low, high = -math.inf, math.inf  # of log2 k: too many bytes at low, too few at high
    at, slope = math.log2(start), weights / 8
    found = dict[float, int]()
    for _ in range(TRIES):
        bytes_here = found[at] = size(2.0**at)
        if (1 - SLACK) * cap <= bytes_here <= cap:
            return float(2.0**at)
        low, high = (at, high) if bytes_here > cap else (low, at)
        nearest = sorted(found, key=lambda other: abs(found[other] - cap))[:2]
        if len(nearest) == 2 and found[nearest[0]] != found[nearest[1]]:
            one, other = nearest
            slope = max((found[one] - found[other]) / (other - one), weights / 64)
        aim = at + max(-3.0, min(3.0, (bytes_here - (1 - SLACK / 2) * cap) / slope))
        if not low < aim < high:
            aim = (low + high) / 2
        if aim == at or abs(aim) > 40:
            break
        at = aim
    raise ArtifactError(
        f"no grid packs into {cap:,} bytes and leaves less than {SLACK:.1%} of them: "
        f"tried {min(found.values()):,} to {max(found.values()):,} bytes"
    )
