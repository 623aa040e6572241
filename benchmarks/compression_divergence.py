"""How far weights predict from the trained ones, of which a gap in bpb is a noisy reading.

What a gap would be on endless text that the trained model predicts as often as it comes is the
divergence KL(trained ‖ other). On tokens of which there are only so many it scatters far less than
the gap, since all of the vocabulary is asked and not only the token that came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainers.engine import Tokens
from trainers.gpt.calibration import SEQUENCES_AT_ONCE, float_model, load_weights, logits_of
from trainers.gpt.config import GPTConfig

Weights = Mapping[str, NDArray[np.float32]]


@torch.no_grad()
def divergence(config: GPTConfig, trained: Weights, other: Weights, tokens: Tokens) -> float:
    """Mean of KL(trained ‖ other) over predictions, in nats.

    Args:
        tokens: (sequences, time), all of which are predicted from.
    """
    first, second = (float_model(config) for _ in range(2))
    load_weights(first, trained)
    load_weights(second, other)
    device, total = next(first.parameters()).device, 0.0
    for part in np.array_split(tokens, -(-len(tokens) // SEQUENCES_AT_ONCE)):
        here = torch.from_numpy(part).to(device)
        sure, unsure = (logits_of(m, config, here).log_softmax(-1) for m in (first, second))
        total += float((sure.exp() * (sure - unsure)).sum(dtype=torch.float64))
    return total / tokens.size


def fewer_at_divergence(ours: Mapping[str, Any], theirs: Mapping[str, Any], weights: int) -> float:
    """Share of their bytes that ours would spare at their divergence.

    Half a bit of every weight halves the divergence, as it does a squared error at high rate.

    Args:
        ours, theirs: with "bytes" and "divergence".
        weights: of the model.
    """
    more = weights / 8 * 0.5 * np.log2(ours["divergence"] / theirs["divergence"])
    return float(1 - (ours["bytes"] + more) / theirs["bytes"])
