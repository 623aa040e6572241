"""What quantization must know of a model: its layers' inputs and how the loss feels their outputs.

Full-Hessian quantizers need Σ x xᵀ of every matrix's inputs (Frantar et al. 2022), and bits are
shared out by the mean square of the loss's gradient at the outputs, the other factor of K-FAC's
curvature (Martens & Grosse 2015). Both come from tokens of the training split, or from text that
the model writes itself; validation is never seen. It runs on torch, for weights of either
backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode

from trainers.engine import Tokens
from trainers.gpt.config import GPTConfig
from trainers.gpt.init import parameter_shapes
from trainers.gpt.kernels_torch import Kernels
from trainers.gpt.model_torch import GPT
from trainers.quantize.int8 import is_quantized
from trainers.quantize.statistics import Inputs
from trainers.seeds import stream

SEQUENCES_AT_ONCE = 16
MAX_OUTPUTS = 2048  # of a matrix, all pairs of which are kept: 32 MiB
Rows = dict[str, tuple[Tensor, Tensor]]  # parameter → rows of a product's matrix, rows of its own


def calibrate(
    config: GPTConfig, weights: Mapping[str, NDArray[np.float32]], tokens: Tokens, *, seed: int
) -> dict[str, Inputs]:
    """Statistics of every matrix that the model multiplies by or looks rows up in, by name.

    And of what is no matrix: that is one column, its input 1.

    The gradient is that of the loss at tokens drawn, by `seed`, from the model's own prediction
    (the Fisher information).

    Args:
        tokens: shape (sequences, time + 1), of the training split or self-generated.
    """
    model = float_model(config)
    owners = _owners_of_products(model, config)
    load_weights(model, weights)
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    sums = _Sums(config, device)
    for part in np.array_split(tokens, -(-len(tokens) // SEQUENCES_AT_ONCE)):
        calls: list[tuple[Tensor, Tensor]] = []

        def keep(x: Tensor, _: Tensor, y: Tensor, calls: Any = calls) -> None:
            y.retain_grad()
            calls.append((x.detach(), y))

        with _Products(keep):
            logits = logits_of(model, config, torch.from_numpy(part[:, :-1]).to(device))
        drawn = torch.multinomial(logits.detach().softmax(-1), 1, generator=generator)
        F.cross_entropy(logits, drawn[:, 0], reduction="sum").backward()  # type: ignore[no-untyped-call]
        for (x, y), rows in zip(calls, owners, strict=True):
            assert y.grad is not None
            sums.add(x, y.grad, rows)
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and not is_quantized(parameter.shape):
                sums.add_small(name, parameter.grad)
        model.zero_grad(set_to_none=True)
    return sums.means(tokens.shape[0] * (tokens.shape[1] - 1))


class _Sums:
    """Second moments of inputs and output gradients over all tokens, by parameter."""

    def __init__(self, config: GPTConfig, device: torch.device):
        self._shapes, self._device = parameter_shapes(config), device
        self._moments: dict[str, Tensor] = {}
        self._slopes: dict[str, Tensor] = {}
        self._lookups: dict[str, Tensor] = {}
        self._outputs: dict[str, Tensor] = {}
        self._small: dict[str, Tensor] = {}

    def add(self, x: Tensor, grad: Tensor, rows: Rows) -> None:
        """One product x Wᵀ, or one lookup of rows x, and the gradient at what came out."""
        slopes = grad.flatten(0, -2).double()
        squares = slopes.square()
        if not x.is_floating_point():
            (name,) = rows
            mine = self._zeros(self._lookups, name)
            mine.index_add_(0, x.flatten(), squares.mean(1))
            return
        flat = x.flatten(0, -2).double()
        moment, slope = flat.T @ flat, squares.sum(0)
        for name, (there, own) in rows.items():
            self._moments[name] = self._moments.get(name, 0) + moment
            self._zeros(self._slopes, name)[own] += slope[there]
            looked_up = name in self._lookups  # then a row's curvature is mostly its own
            if len(own) == self._shapes[name][0] <= MAX_OUTPUTS and not looked_up:
                mine = torch.empty(len(own), len(own), dtype=torch.float64, device=self._device)
                mine[own[:, None], own] = slopes[:, there].T @ slopes[:, there]
                self._outputs[name] = self._outputs.get(name, 0) + mine

    def add_small(self, name: str, grad: Tensor) -> None:
        """The gradient of some tokens' losses by what is no matrix.

        The square of their sum is on the mean the sum of their squares, as they are independent:
        each token's is 0 on the mean over what may be drawn there.
        """
        self._small[name] = self._small.get(name, 0) + grad.flatten().double().square()

    def means(self, count: int) -> dict[str, Inputs]:
        """Per token."""
        found, nothing = {}, torch.zeros(0, 0, dtype=torch.float64)
        for name in sorted({*self._moments, *self._lookups}):
            wide = self._shapes[name][1]
            moment = self._moments.get(name, torch.zeros(wide, wide))
            found[name] = Inputs(
                hessian=(moment / count).cpu().numpy().astype(np.float64),
                slope=(self._zeros(self._slopes, name) / count).cpu().numpy(),
                lookup=(self._zeros(self._lookups, name) / count).cpu().numpy(),
                outputs=(self._outputs.get(name, nothing) / count).cpu().numpy(),
            )
        for name, squares in self._small.items():
            slope = (squares / count).cpu().numpy()
            found[name] = Inputs(np.ones((1, 1)), slope, np.zeros_like(slope))
        return found

    def _zeros(self, of: dict[str, Tensor], name: str) -> Tensor:
        rows = self._shapes[name][0]
        return of.setdefault(name, torch.zeros(rows, dtype=torch.float64, device=self._device))


def self_generated(
    config: GPTConfig,
    weights: Mapping[str, NDArray[np.float32]],
    *,
    sequences: int,
    seed: int,
) -> Tokens:
    """Text that the model writes from nothing, shape (sequences, train_seq_len + 1)."""
    model = float_model(config)
    load_weights(model, weights)
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    first = stream(seed, "first tokens").integers(0, config.vocab_size, (sequences, 1))
    text = torch.from_numpy(first).to(device)
    with torch.no_grad():
        for _ in range(config.train_seq_len):
            logits = logits_of(model, config, text).view(sequences, text.size(1), -1)[:, -1]
            drawn = torch.multinomial(logits.softmax(-1), 1, generator=generator)
            text = torch.cat((text, drawn), dim=1)
    return text.cpu().numpy()


def float_model(config: GPTConfig, kernels: Kernels | None = None) -> GPT:
    """The model in float32, on CUDA where there is any; its weights are still to be loaded."""
    model = GPT(config, torch.float32, torch.float32, kernels)
    if torch.cuda.is_available():
        model = model.cuda()
    model.configure(config)
    return model


def load_weights(model: GPT, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Copy weights into the model's parameters of these names."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(weights[name])))


def logits_of(model: GPT, config: GPTConfig, tokens: Tensor) -> Tensor:
    """tokens (batch, time) → (batch · time, vocabulary)."""
    hidden, _ = model.hidden(tokens)
    logits = F.linear(hidden.flatten(0, 1), model.output_matrix())
    return config.logit_softcap * torch.tanh(logits / config.logit_softcap)


class _Products(TorchFunctionMode):
    """Within, every product with a matrix and every lookup is shown: input, matrix, output."""

    def __init__(self, show: Callable[[Tensor, Tensor, Tensor], None]):
        super().__init__()
        self._show = show

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in (F.linear, F.embedding):
            self._show(args[0], args[1], out)
        return out


def _owners_of_products(model: GPT, config: GPTConfig) -> list[Rows]:
    """Of each product in turn, whose rows its matrix holds.

    The model joins and reorders matrices before it multiplies. So that this need not be known
    here, it is run once with weights whose rows are all different, and they are recognized.
    """
    draw = stream(0, "recognizable weights").standard_normal
    shapes = parameter_shapes(config)
    load_weights(model, {name: draw(shape, dtype=np.float32) for name, shape in shapes.items()})
    owner = {
        row.tobytes(): (name, index)
        for name, parameter in model.named_parameters()
        if parameter.dim() == 2
        for index, row in enumerate(parameter.detach().cpu().numpy())
    }
    found: list[Rows] = []

    def recognize(_: Tensor, weight: Tensor, y: Tensor) -> None:
        places: dict[str, list[tuple[int, int]]] = {}
        for at, row in enumerate(weight.detach().cpu().numpy()):
            if (known := owner.get(row.tobytes())) is not None:
                places.setdefault(known[0], []).append((at, known[1]))
        pairs = {name: torch.tensor(rows, device=y.device).T for name, rows in places.items()}
        found.append({name: (there, own) for name, (there, own) in pairs.items()})

    with torch.no_grad(), _Products(recognize):
        device = next(model.parameters()).device
        logits_of(model, config, torch.zeros((1, 1), dtype=torch.long, device=device))
    return found
