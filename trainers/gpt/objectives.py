"""What a training step does to its batch: which inputs it sees and how much each target counts.

Decided here in NumPy, from streams of the run's seed, so that torch and MLX see the same. The
choices that need the model itself (margins, its own predictions) are the engines' part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.engine import Alteration, Tokens
from trainers.gpt.config import GPTConfig
from trainers.seeds import stream

Shares = NDArray[np.float32]


@dataclass(frozen=True)
class Alterations:
    """The alteration of every step of a run; a call gives None for a step that has none.

    Args:
        config: the run's configuration.
        seed: root of the run's random streams.
    """

    config: GPTConfig
    seed: int

    def __call__(self, step: int, iterations: int) -> Alteration | None:
        """The alteration of a step, counted from 0, of so many."""
        config, done = self.config, step / iterations
        if not (config.token_dropout or config.corrupted_context or config.position_loss):
            return None
        order, shares = None, position_shares(config)
        if config.token_dropout:
            rate = config.token_dropout * (1 - done if config.token_dropout_graduated else 1)
            order = self._kept_first(step, rate)
            removed = round(rate * config.train_seq_len)
            shares = shares[order]
            shares[config.train_seq_len - removed :] = 0
        corrupted = None
        if config.corrupted_context:
            arch = math.sin(math.pi * done) if config.corrupted_context_graduated else 1
            corrupted = self._corrupted(step, config.corrupted_context * arch)
        return Alteration(shares=shares, order=order, corrupted=corrupted)

    def _kept_first(self, step: int, rate: float) -> NDArray[np.int64]:
        """Places of a sequence, the first always kept, with those to be removed at the end.

        Behind all others they are seen by none, and the shape of the batch stays what it was.
        """
        time = self.config.train_seq_len
        removed = round(rate * time)
        drawn = 1 + stream(self.seed, "token_dropout", str(step)).permutation(time - 1)
        gone = np.sort(drawn[:removed])
        return np.concatenate((np.setdiff1d(np.arange(time), gone), gone))

    def _corrupted(self, step: int, rate: float) -> NDArray[np.bool_]:
        shape = (self.config.batch_sequences, self.config.train_seq_len)
        mask = stream(self.seed, "corrupted_context", str(step)).random(shape) < rate
        mask[:, 0] = False
        return mask


def position_shares(config: GPTConfig) -> Shares:
    """How much the target at each place counts: a line through 1 in the middle of the sequence.

    With `position_loss` = a it runs from 1 − a to 1 + a: above 0 the places with more context
    count more.
    """
    slope = np.linspace(-1, 1, config.train_seq_len) if config.train_seq_len > 1 else np.zeros(1)
    return (1 + config.position_loss * slope).astype(np.float32)


@dataclass(frozen=True)
class Examples:
    """A batch as the loss sees it; every array has shape (sequences, time).

    Attributes:
        inputs: tokens that are read.
        targets: the token after each.
        after: the token after that; where there is none, the target again.
        shares: how much each target counts.
        after_shares: how much the token after it does.
        keep: factor on each input's embedding.
    """

    inputs: Tokens
    targets: Tokens
    after: Tokens
    shares: Shares
    after_shares: Shares
    keep: Shares


def examples_of(
    tokens: Tokens,
    alteration: Alteration | None,
    predictions: Tokens | None = None,
    sure: NDArray[np.bool_] | None = None,
) -> Examples:
    """Lay out tokens (sequences, time + 1) as the alteration of their step says.

    Args:
        tokens: the batch.
        alteration: None for none.
        predictions: the model's likeliest next token at each place, (sequences, time); needed
            where context is to be corrupted with them.
        sure: where the model was sure at the last step, (sequences, time): embeddings there
            become zero, but never the first.
    """
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    after = np.concatenate((tokens[:, 2:], tokens[:, -1:]), axis=1)
    shares = np.ones(inputs.shape, dtype=np.float32)
    after_shares = shares.copy()
    after_shares[:, -1] = 0
    keep = np.ones(inputs.shape, dtype=np.float32)
    if sure is not None:
        keep[:, 1:][sure[:, 1:]] = 0
    if alteration is None:
        return Examples(inputs, targets, after, shares, after_shares, keep)
    if alteration.corrupted is not None:
        assert predictions is not None, "context is corrupted with the model's predictions"
        inputs = inputs.copy()
        inputs[:, 1:] = np.where(alteration.corrupted[:, 1:], predictions[:, :-1], inputs[:, 1:])
    if alteration.order is not None:
        order = alteration.order
        inputs, targets, after = inputs[:, order], targets[:, order], after[:, order]
        after_shares = after_shares[:, order]
    shares = shares * alteration.shares
    after_shares = after_shares * alteration.shares
    return Examples(inputs, targets, after, shares, after_shares, keep)


def is_altered(config: GPTConfig, alteration: Alteration | None) -> bool:
    """Whether a step's loss is anything but the mean over its batch."""
    model_decides = config.selective_loss or config.mtp or config.embedding_mask
    return model_decides or alteration is not None
