"""What the seventeen architectures are put together from: parts with parameters of their own.

A part is two functions: which parameters it has in a vocabulary of this size, and what it makes
of the state. States are (batch, time, words): how strongly each word is active at each position.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Parameters = Mapping[str, Tensor]


class Start(NamedTuple):
    """A parameter at the start of training: `value` plus normal noise of standard deviation `std`.

    With `last`, it rises in a line from `value` to there. `fan` is how many inputs it sums over.
    """

    shape: tuple[int, ...]
    std: float = 0.0
    value: float = 0.0
    last: float | None = None
    fan: int = 1


Starts = Callable[[int, int], dict[str, Start]]


@dataclass
class Pass:
    """One pass of the model over a batch: what its parts may know beside the state.

    Attributes:
        rank: `interaction_rank` of the configuration.
        temperature: of soft choices.
        noise: source of Gumbel noise; None outside training, where choices are by weight alone.
        halted: probability that a position has halted, (batch, time, 1); 0 until something halts.
    """

    rank: int
    temperature: float
    noise: torch.Generator | None = None
    halted: Tensor = field(default_factory=lambda: torch.zeros(()))


@dataclass(frozen=True)
class Part:
    """A piece of an architecture.

    Attributes:
        starts: (words, rank) → its parameters by name.
        apply: (parameters, state, pass) → what it adds to the state.
        shared: (words, rank) → those parameters of which all steps have one set.
        reads: the parameter (words, r) through which alone it reads the state, if there is one:
            `apply` is given state @ that.
        writes: the parameter (r, words) through which alone it adds to the state, if there is one:
            what `apply` makes is to be multiplied with that.
    """

    starts: Starts
    apply: Callable[[Parameters, Tensor, Pass], Tensor]
    shared: Starts = lambda count, rank: {}
    reads: str = ""
    writes: str = ""


def dense(rows: int, columns: int, gain: float = 1.0) -> Start:
    """A matrix that keeps the size of what it multiplies: x (…, rows) @ it (rows, columns)."""
    return Start((rows, columns), std=gain / math.sqrt(rows), fan=rows)


def blank(rows: int, columns: int) -> Start:
    """A matrix that writes nothing at the start."""
    return Start((rows, columns), fan=rows)


def words(count: int, value: float = 1.0) -> Start:
    """One number per word."""
    return Start((count,), value=value)


def product_type(values: Tensor) -> torch.dtype:
    """The type that these are multiplied in as matrices: autocast's, where it is on."""
    kind = values.device.type
    if torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return values.dtype


@cache
def cosines(words_count: int, frequencies: int) -> Tensor:
    """The first rows of the orthonormal DCT-II over the words, (frequencies, words).

    A real Fourier basis: few of its coefficients stand for all words at once.
    """
    place = (torch.arange(words_count, dtype=torch.float64) + 0.5) / words_count
    order = torch.arange(frequencies, dtype=torch.float64)[:, None]
    rows = torch.cos(math.pi * order * place) * math.sqrt(2 / words_count)
    rows[0] /= math.sqrt(2)
    return rows.float()


def waves(state: Tensor, frequencies: int) -> Tensor:
    """Fourier coefficients of a state, (…, words) → (…, frequencies)."""
    return state @ cosines(state.shape[-1], frequencies).to(state).mT


def from_waves(coefficients: Tensor, words_count: int) -> Tensor:
    """The state that has these Fourier coefficients, (…, frequencies) → (…, words)."""
    return coefficients @ cosines(words_count, coefficients.shape[-1]).to(coefficients)


def grouped(values: Tensor, groups: int) -> Tensor:
    """The last axis cut into equal groups: (…, words) → (…, groups, words / groups)."""
    return values.reshape(*values.shape[:-1], groups, -1)


def earlier(state: Tensor) -> Tensor:
    """The state one position before, nothing before the first."""
    return F.pad(state, (0, 0, 1, 0))[:, :-1]


def choice(logits: Tensor, run: Pass, *, hard: bool = False) -> Tensor:
    """A choice along the last axis that a gradient can pass (Jang et al. 2017, Gumbel-softmax).

    Args:
        logits: of the options.
        run: gives temperature and, in training, noise.
        hard: all weight on one option, with the gradient of the soft choice (straight-through).
    """
    if run.noise is not None:
        uniform = torch.rand(logits.shape, generator=run.noise, device=logits.device)
        logits = logits - (-(uniform.clamp(1e-6, 1 - 1e-6)).log()).log()
    soft = torch.softmax(logits / run.temperature, dim=-1)
    if not hard:
        return soft
    picked = F.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft)
    return picked + soft - soft.detach()


def memories(count: int, shortest: float = 4.0, longest: float = 256.0) -> Start:
    """Parameters for `fade` of memories that last from so many positions to so many."""
    return Start((count,), value=math.log(shortest - 1), last=math.log(longest - 1))


def fade(raw: Tensor) -> Tensor:
    """Log decay per position from an unbounded parameter, always below 0."""
    return F.logsigmoid(raw.float())
