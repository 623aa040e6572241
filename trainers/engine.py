"""What a backend offers the training loop: one model with its optimizer, in NumPy terms."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[np.float32]]
# Of each matrix the steps of its rows and of its columns; an entry's step is their product.
Grids = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class Alteration:
    """What is done to the batch of one step before its loss is taken.

    Attributes:
        shares: how much the target at each place counts, in the new order, shape (time,).
        order: places of a sequence in the order they are read, shape (time,); None as they are.
        corrupted: inputs to be replaced by the model's own predictions, shape (sequences, time).
    """

    shares: NDArray[np.float32]
    order: NDArray[np.int64] | None = None
    corrupted: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class StepSettings:
    """What changes from step to step. Reaches the compiled step as tensors, never as constants.

    Attributes:
        lr_scale: factor on every learning rate (warm-up, warmdown).
        muon_momentum: momentum of this step (it warms up).
        recurrent: depth recurrence is on, where the architecture has it. The one choice between
            two graphs: a tensor would mean computing the repeated layers before they are wanted.
        mtp_weight: how much the token after the next counts, where it is predicted.
        quantized: the gradient is taken with the weights on the artifact's grid.
        alteration: of this step's batch; None leaves it as it is.
    """

    lr_scale: float
    muon_momentum: float
    recurrent: bool = True
    mtp_weight: float = 0.0
    quantized: bool = False
    alteration: Alteration | None = None


class Engine(Protocol):
    """A model and its optimizer on one backend. Made once per architecture and used for many runs.

    Hyperparameters that do not change shapes may be replaced with `configure` at no compile cost.
    """

    def configure(self, config: Mapping[str, bool | int | float | str]) -> None:
        """Take the hyperparameters of the next run; the architecture must be the engine's own."""
        ...

    def load(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Replace every weight and reset the optimizer's state."""
        ...

    def step(self, tokens: Tokens, settings: StepSettings) -> float:
        """One optimizer step on tokens (sequences, time + 1); returns the mean loss in nats."""
        ...

    def losses(self, tokens: Tokens) -> NDArray[np.float32]:
        """Loss in nats of every target: tokens (sequences, time + 1) → (sequences, time)."""
        ...

    def weights(self) -> Weights:
        """Every weight by name, float32."""
        ...

    def on_grid(self) -> AbstractContextManager[None]:
        """Within, the weights are as the int8 artifact would have them; afterwards as before."""
        ...

    def gradient(self, tokens: Tokens, shares: NDArray[np.float32]) -> Weights:
        """The gradient by every weight of Σ shares · losses / Σ shares, by name.

        Args:
            tokens: shape (sequences, time + 1).
            shares: how much each target counts, shape (sequences, time).
        """
        ...

    def average(self, name: str, share: float) -> None:
        """Move the average of this name towards the weights, 1 being all the way.

        An average begins at its first call, at the weights, and ends with the next `load`.
        """
        ...

    def averages(self) -> dict[str, Weights]:
        """The averages by name, each as `weights`."""
        ...


class GridEngine(Engine, Protocol):
    """An `Engine` that can train on other grids than its configuration's."""

    def set_grids(self, grids: Grids) -> None:
        """Until the next `load`, a step that is `quantized` has matrices on these grids instead.

        What has none here stays whole, and codes go from −127 to 127.
        """
        ...
