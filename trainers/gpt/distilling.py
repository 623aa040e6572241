"""Puts a model on its grid a part at a time, while what is still free makes good what that spoils.

GPTQ rounds a column and has later columns of the same matrix make up for it. Here the first
columns of every matrix are rounded so, then everything that is free yet, in every matrix, is
trained, and so on until nothing is left: incremental quantization (Zhou et al. 2017), with what a
matrix spoils made good by the others as in end-to-end tuning (Malinovskii et al. 2024).

The loss is the divergence of the model's predictions from its own before quantization, on tokens
of the training split. No token is a target: nothing of the text can be learnt that the weights
did not hold, and validation is never seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.engine import Tokens, Weights
from trainers.gpt.calibration import float_model, load_weights
from trainers.gpt.config import GPTConfig
from trainers.gpt.kernels_cpu import CpuKernels
from trainers.gpt.model_torch import GPT
from trainers.quantize.gptq import compensated, inverse_factor, order_taken
from trainers.quantize.int8 import ArtifactError
from trainers.quantize.lattice import Lattice
from trainers.quantize.statistics import Inputs

# Share of each matrix's columns that is on the grid, and share of the steps that follow: the
# earlier a part is rounded, the more is left to make up for it, and to be trained.
PARTS = (
    *((0.2, 0.12), (0.4, 0.2), (0.55, 0.16), (0.65, 0.12), (0.75, 0.1), (0.82, 0.08)),
    *((0.88, 0.07), (0.92, 0.05), (0.95, 0.04), (0.97, 0.03), (0.99, 0.02), (1.0, 0.01)),
)
# Of full steps by K-FAC's curvature, with a tenth of its mean added: at 0.15 it ends farther off.
TUNING_RATE, TUNING_MOMENTUM, TUNING_DAMPING = 0.07, 0.9, 0.1
SMALL_RATE = 1e-3  # Adam's, for what is stored whole
RISE, LAST_RATE = 10, 0.5  # steps to the full rate; share of it that is left at the end
# The longer a run, the more of what is left to learn is chance, against which small steps help:
# at 4,800 of them .05 and .15 ended nearer than .07 and .5 did at 9,600; at 400 farther off.
LONG, SLOWER = 1600, 1 / 3  # steps above which rates fall; the power of the length by which
# Now and then a gradient is many times as long as usual: one was 45 times as long, and after its
# step the model diverged five times as far as before.
LONGEST, USUAL_MEMORY = 1.5, 0.9
TUNING_TOKENS = 4096  # of a step
LOSS_TOKENS = 256  # whose logits are held at once


def distilled(
    config: GPTConfig,
    weights: Mapping[str, NDArray[np.float32]],
    inputs: Mapping[str, Inputs],
    lattices: Mapping[str, Lattice],
    batch: Callable[[int], Tokens],
    *,
    steps: int,
) -> Weights:
    """Weights of which these matrices lie on their lattices, the rest trained along with them.

    Args:
        inputs: what calibration found, of each of these matrices.
        batch: the tokens of a training step, (sequences, time + 1); they are taken in order.
        steps: of training, over all parts, each on at most TUNING_TOKENS of them.

    Raises:
        ArtifactError: training diverged.
    """
    if not torch.cuda.is_available():
        torch.set_num_threads(1)  # as in training: one result, whatever the machine
    teacher, student = (_fast_model(config) for _ in range(2))
    load_weights(teacher, weights)
    load_weights(student, weights)
    teacher.requires_grad_(False)
    parameters = dict(student.named_parameters())
    matrices = [
        _Matrix(parameters[name], inputs[name], lattices[name]) for name in sorted(lattices)
    ]
    batches = _portions(batch)
    small = [parameter for name, parameter in parameters.items() if name not in lattices]
    clip = GradientClip()
    for share, part in PARTS:
        for matrix in matrices:
            matrix.put_on_grid(share)
        _train(teacher, student, matrices, small, batches, clip, round(part * steps), steps)
    return {name: value.detach().cpu().numpy().copy() for name, value in parameters.items()}


def _portions(batch: Callable[[int], Tokens]) -> Iterator[Tokens]:
    for step in itertools.count():
        tokens = batch(step)
        predicted = tokens[:, 1:].size
        yield from np.array_split(tokens, -(-predicted // TUNING_TOKENS))


@dataclass
class _Matrix:
    """A matrix (rows, columns), some of whose columns lie on its lattice.

    Attributes:
        free: columns that are not, those of large inputs first, as GPTQ takes them.
        pull: what multiplies a gradient by the free columns, (free, free), and by rows.
        move: the gradient by the free columns, so multiplied, (rows, free).
    """

    parameter: Tensor
    known: Inputs
    lattice: Lattice
    free: NDArray[np.int64] = field(init=False)
    pull: tuple[Tensor, Tensor] = field(init=False)
    move: Tensor = field(init=False)
    momentum: Tensor = field(init=False)

    def __post_init__(self) -> None:
        rows = self.known.row_weights()
        self._hessian = self.known.curvature()
        self._rows = 1 / (rows / (rows.mean() or 1.0) + TUNING_DAMPING)
        self._rounding = self.lattice.rounding(self.known.outputs)
        self.free = order_taken(self._hessian)

    @torch.no_grad()
    def put_on_grid(self, share: float) -> None:
        """Round until this share of the columns is on the grid; the free ones make up for it."""
        wide = self.parameter.size(1)
        count = len(self.free) - (wide - round(share * wide))
        if not count:  # a narrow matrix has nothing for so small a part
            return
        offset = self.lattice.offset()
        value = (self.parameter.cpu().numpy() - offset).astype(np.float64)
        if not np.isfinite(value).all():
            raise ArtifactError("training while quantizing diverged: use a finer grid")
        rest, grid = value[:, self.free], self.lattice.grid[:, self.free].astype(np.float64)
        factor = inverse_factor(self._hessian[np.ix_(self.free, self.free)])
        points = compensated(rest, grid, factor, count, self._rounding)
        value[:, self.free] = rest
        value[:, self.free[:count]] = points * grid[:, :count]
        self.parameter.copy_(torch.from_numpy(value + offset))
        self.free = self.free[count:]
        self._restart()

    def _restart(self) -> None:
        like, count = self.parameter, len(self.free)
        part = self._hessian[np.ix_(self.free, self.free)]
        damping = TUNING_DAMPING * (float(np.diag(self._hessian).mean()) or 1.0)
        inverse = np.linalg.inv(part + damping * np.eye(count))
        self.pull = (torch.from_numpy(inverse).to(like), torch.from_numpy(self._rows).to(like))
        self.momentum = like.new_zeros((like.size(0), count))

    @torch.no_grad()
    def turn(self) -> Tensor:
        """Multiply the gradient by the inverse of K-FAC's curvature; its square by that metric."""
        if not len(self.free) or self.parameter.grad is None:
            self.move = torch.zeros_like(self.momentum)
            return self.move.sum()
        columns, rows = self.pull
        gradient = self.parameter.grad[:, self.free]
        self.move = gradient @ columns * rows[:, None]
        return (self.move * gradient).sum()

    @torch.no_grad()
    def step(self, rate: float, share: float) -> None:
        """Go on by the last move's share of the momentum."""
        self.momentum.lerp_(share * self.move, 1 - TUNING_MOMENTUM)
        self.parameter[:, self.free] -= rate * self.momentum


@dataclass
class GradientClip:
    """Keeps a gradient from being much longer than those before it (Pascanu et al. 2013).

    Attributes:
        usual: the mean length of those before it, as far as they were let through.
    """

    usual: float = 0.0

    def share(self, length: float) -> float:
        """How much of a gradient of this length is let through, at most 1."""
        kept = min(length, LONGEST * self.usual) if self.usual else length
        self.usual = USUAL_MEMORY * self.usual + (1 - USUAL_MEMORY) * kept if self.usual else kept
        return kept / length if length else 1.0


def _train(
    teacher: GPT,
    student: GPT,
    matrices: list[_Matrix],
    small: Sequence[Tensor],
    batches: Iterator[Tokens],
    clip: GradientClip,
    steps: int,
    of: int,
) -> None:
    optimizer = torch.optim.Adam(small, lr=SMALL_RATE, betas=(0.9, 0.99))
    device = next(student.parameters()).device
    for step in range(steps):
        student.zero_grad(set_to_none=True)
        tokens = torch.from_numpy(next(batches)[:, :-1]).to(device)
        pull(teacher, student, tokens)
        square = torch.stack([matrix.turn() for matrix in matrices]).sum()
        share = clip.share(float(square.clamp(min=0).sqrt()))
        falling = rate_share(step, steps, of)
        for matrix in matrices:
            matrix.step(TUNING_RATE * min(1.0, (step + 1) / RISE) * falling, share)
        for parameter in small:
            if parameter.grad is not None:
                parameter.grad *= share
        optimizer.param_groups[0]["lr"] = SMALL_RATE * falling
        optimizer.step()


def rate_share(step: int, steps: int, of: int) -> float:
    """Share of the full rate that a step is taken at.

    Args:
        step: of the part, from 0.
        steps: of the part.
        of: steps of the whole run.
    """
    longer = max(1.0, of / LONG)
    return float(longer**-SLOWER * max(LAST_RATE / longer, 1 - step / steps))


def pull(teacher: GPT, student: GPT, tokens: Tensor) -> None:
    """Add to the student's gradients those of KL(teacher ‖ student), tokens (batch, time).

    The divergence is that of predictions, its mean in nats. It is not itself worked out: all that
    training wants is its gradient, and that takes half the passes over the logits.
    """
    with torch.no_grad():
        known, known_head = teacher.hidden(tokens)[0].flatten(0, 1), teacher.output_matrix()
    own, head = student.hidden(tokens)[0].flatten(0, 1), student.output_matrix()
    gradients = _gradients(own, head, known, known_head, float(student.softcap))
    torch.autograd.backward((own, head), gradients)


@torch.no_grad()
def _gradients(
    own: Tensor, head: Tensor, known: Tensor, known_head: Tensor, softcap: float
) -> tuple[Tensor, Tensor]:
    """By hidden states (tokens, channels) and output matrix (vocabulary, channels)."""
    by_state, by_head = torch.empty_like(own), torch.zeros_like(head)
    # c · tanh(z / c) = 2c · σ(2z / c) − c, and softmax does not see the −c.
    near, far = head.t() * (2 / softcap), known_head.t() * (2 / softcap)
    for first in range(0, len(own), LOSS_TOKENS):
        here = slice(first, first + LOSS_TOKENS)
        gate = (own[here] @ near).sigmoid_()
        slope = (gate * (2 * softcap)).softmax(-1)
        slope.sub_((known[here] @ far).sigmoid_().mul_(2 * softcap).softmax(-1))
        slope.mul_(gate.addcmul_(gate, gate, value=-1))
        torch.mm(slope, head, out=by_state[here])
        by_head.addmm_(slope.t(), own[here])
    return by_state.mul_(4 / len(own)), by_head.mul_(4 / len(own))


def _fast_model(config: GPTConfig) -> GPT:
    cpu = None if torch.cuda.is_available() else CpuKernels(torch.float32)
    return float_model(config, cpu)
