"""The rules that say how a run ended."""

import numpy as np
import pytest

from trainers.vocab_space.status import status_of

FALLING = list(np.linspace(6.0, 3.0, 100))
FLAT = [*np.linspace(6.0, 3.0, 50), *[3.0] * 50]


@pytest.mark.parametrize(
    "train, val_bpb, val_loss, expected",
    [
        (FALLING, [3.0, 2.5, 2.2, 2.0, 1.8, 1.6, 1.5, 1.4], 3.1, "descending"),
        (FLAT, [3.0, 2.0, 1.5, 1.5, 1.5, 1.5, 1.5, 1.499], 3.1, "plateaued"),
        (FLAT, [3.0, 2.0, 1.9, 1.9, 1.9, 1.9, 1.9, 1.9], 4.0, "memorized"),
        ([*FALLING[:70], *[6.0] * 10, *FALLING[80:]], [3.0, 2.0, 1.5, 1.0], 3.1, "unstable"),
        ([*FALLING[:-1], float("nan")], [3.0, 2.0], 3.1, "failed"),
        ([], [], 3.0, "failed"),
    ],
)
def test_a_run_ends_as_its_curves_say(train, val_bpb, val_loss, expected):
    assert status_of(train, val_bpb, val_loss) == expected
