"""One random stream per purpose: asking for a new one shifts none of the others."""

from __future__ import annotations

import numpy as np

from scripts.causal.files import digest


def stream(seed: int, *purpose: str) -> np.random.Generator:
    """Return the generator of one purpose of one run, for example ``stream(7, "init", "head")``.

    Philox takes its key from SHA-256 over the seed and the purpose, so two runs of equal seed
    draw the same data order and the same initial value for every parameter they share, whatever
    else either of them draws. Philox is counter-based (Salmon et al. 2011): any two keys give
    independent streams, and its numbers are the same on every platform.

    Args:
        seed: root of the run, any whole number.
        purpose: names from the general to the particular; an empty purpose is a purpose too.
    """
    key = int.from_bytes(bytes.fromhex(digest(str(int(seed)), *purpose))[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))
