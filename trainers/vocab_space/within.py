"""Transforms within a position: what the active words make of one another."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from trainers.vocab_space.fused import entropy, most_active, scaled
from trainers.vocab_space.parts import (
    Parameters,
    Part,
    Pass,
    Start,
    blank,
    choice,
    dense,
    from_waves,
    grouped,
    waves,
    words,
)
from trainers.vocab_space.spectra import active_spectrum

COSINES = 128
GOLF_RANK = 4
BANDS, GATE_RANK = 16, 8
REGISTERS, INSTRUCTIONS = 128, 84
BOTTLENECK = 192
NARROW, WIDENED = 64, 4
EXPERTS, EXPERT_RANK = 4, 8
SPARSE = 64
COLUMN, BRANCHES = 16, 4


def _fourier_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "into": dense(COSINES, COSINES),
        "bias": Start((COSINES,)),
        "out": blank(COSINES, COSINES),
        "diagonal": words(count, 0.0),
    }


def _fourier(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """Two layers between cosines of the state: whatever they do, they do to smooth waves."""
    hidden = F.gelu(waves(x, COSINES) @ p["into"] + p["bias"])
    return scaled(x, p["diagonal"], from_waves(hidden @ p["out"], x.shape[-1]))


def _factored_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "into": dense(count, GOLF_RANK),
        "out": blank(GOLF_RANK, count),
        "diagonal": words(count, 0.0),
        "bias": words(count, 0.0),
    }


def _factored(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """A diagonal and a matrix of low rank."""
    return scaled(x, p["diagonal"], (x @ p["into"]) @ p["out"]) + p["bias"]


def _interaction_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "u": dense(count, rank),
        "v": blank(rank, count),
        "diagonal": words(count, 0.0),
    }


def _interaction(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """Words × words of rank `interaction_rank`, U Vᵀ + diagonal, on the words that are active."""
    active = F.relu(x)
    return scaled(active, p["diagonal"], (active @ p["u"]) @ p["v"])


def _spectrum_starts(count: int, rank: int) -> dict[str, Start]:
    half = count // 2 + 1
    return {
        "real": Start((half,), std=0.02),
        "imaginary": Start((half,), std=0.02),
        "gain": words(count),
        "bias": words(count, 0.0),
    }


def _spectrum(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """A filter over the words: a product after an FFT, of what is active."""
    return active_spectrum(x, p["gain"], p["bias"], p["real"], p["imaginary"])


def _bands_starts(count: int, rank: int) -> dict[str, Start]:
    width = count // BANDS
    return {
        "operator": Start((BANDS, width, width), std=0.1 / math.sqrt(width), fan=width),
        "gain": words(count),
        "diagonal": words(count, 0.0),
    }


def _bands(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """Each band of words has an operator of its own."""
    bands = grouped(torch.tanh(p["gain"] * x), BANDS)
    moved = torch.einsum("btgi,gij->btgj", bands, p["operator"].to(bands.dtype))
    return scaled(x, p["diagonal"], moved.flatten(2))


def _operated(a: Tensor, b: Tensor, chosen: Tensor) -> Tensor:
    """All that an instruction may do to its operands, by how far each is chosen."""
    plus, minus, times, larger, bent, positive = chosen.to(a.dtype).unbind(-1)
    linear = (plus + minus) * a + (plus - minus) * b + times * (a * b)
    return linear + larger * torch.maximum(a, b) + bent * torch.tanh(a) + positive * F.relu(a)


OPERATIONS = 6


def _program_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "first": Start((INSTRUCTIONS, REGISTERS), std=0.5),
        "second": Start((INSTRUCTIONS, REGISTERS), std=0.5),
        "target": Start((INSTRUCTIONS, REGISTERS), std=0.02, fan=INSTRUCTIONS),
        "operation": Start((INSTRUCTIONS, OPERATIONS)),
        "bias": Start((REGISTERS,)),
        "diagonal": words(count, 0.0),
    }


def _program(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """A linear genetic program made soft: which registers, which operation, is learnt.

    Registers are cosines of the state. Operands and operations are chosen by Gumbel-softmax.
    """
    registers = waves(x, REGISTERS)
    first = registers @ choice(p["first"], run).mT.to(registers.dtype)
    second = registers @ choice(p["second"], run).mT.to(registers.dtype)
    results = _operated(first, second, choice(p["operation"], run))
    mixed = from_waves(results @ p["target"] + p["bias"], x.shape[-1])
    return scaled(x, p["diagonal"], mixed)


def _bottleneck_starts(count: int, rank: int) -> dict[str, Start]:
    return {"into": dense(count, BOTTLENECK), "out": blank(BOTTLENECK, count)}


def _bottleneck(p: Parameters, low: Tensor, run: Pass) -> Tensor:
    """A dense two-layer perceptron through a bottleneck: between its layers, `into` and `out`."""
    return F.gelu(low)


def _policy_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "read": dense(count, 2 * NARROW),
        "policy": dense(NARROW, OPERATIONS),
        "gate": dense(NARROW, NARROW),
        "write": blank(NARROW, count),
    }


def _policy(p: Parameters, read: Tensor, run: Pass) -> Tensor:
    """The state decides what is read, which operation is applied and how much is written."""
    first, second = read.chunk(2, dim=-1)
    chosen = torch.softmax(first @ p["policy"], dim=-1)[..., None, :]
    results = _operated(first, second, chosen)
    return results * torch.sigmoid(first @ p["gate"])


def _oscillators_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "frequency": Start((count,), value=0.5, last=2.0),
        "phase": words(count, 0.0),
        "amplitude": words(count, 0.05),
        "gate_in": dense(count, GATE_RANK),
        "gate_out": blank(GATE_RANK, count),
        "u": dense(count, GATE_RANK),
        "v": blank(GATE_RANK, count),
    }


def _oscillators(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """Every word is an oscillator that the others push, and a gate lets it be heard."""
    pushed = p["frequency"] * (x + (x @ p["u"]) @ p["v"]) + p["phase"]
    gate = torch.sigmoid((x @ p["gate_in"]) @ p["gate_out"])
    return p["amplitude"] * torch.sin(pushed) * gate


def _teams_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "route": dense(count, EXPERTS, 0.1),
        "halt": blank(count, 1),
        "halt_bias": Start((1,), value=-3.0),
        "into": Start((EXPERTS, count, EXPERT_RANK), std=1 / math.sqrt(count), fan=count),
        "out": Start((EXPERTS, EXPERT_RANK, count), fan=EXPERT_RANK),
        "diagonal": words(count, 0.0),
    }


def _teams(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """Tangled programs: a position bids for one of several programs, or has halted.

    The choice is hard, with the gradient of the soft one; halting is a probability that adds up
    over the steps and takes its share of what is still written (Graves 2016).
    """
    chosen = choice(x @ p["route"], run, hard=True)
    hidden = F.gelu(torch.einsum("btw,ewr->bter", x, p["into"].to(x.dtype)))
    written = torch.einsum("bter,erw->btw", hidden * chosen[..., None], p["out"].to(hidden.dtype))
    going = 1 - run.halted
    run.halted = run.halted + going * torch.sigmoid(x @ p["halt"] + p["halt_bias"])
    return going * (written + p["diagonal"] * x)


def _narrow_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "down": dense(count, NARROW),
        "into": dense(NARROW, WIDENED * NARROW),
        "out": dense(WIDENED * NARROW, NARROW),
        "up": blank(NARROW, count),
    }


def _narrow(p: Parameters, low: Tensor, run: Pass) -> Tensor:
    """A two-layer perceptron inside a subspace of the words, read by `down`, left by `up`."""
    return F.gelu(low @ p["into"]) @ p["out"]


def _predictive(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """As `_narrow`, of the most active words alone, and writing most where least is settled.

    How unsettled a position is, is the entropy of its state as a prediction, over its maximum.
    """
    unsettled = entropy(x) / math.log(x.shape[-1])
    return _narrow(p, most_active(x, SPARSE) @ p["down"], run) * unsettled


def _cosine_mix_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "filter": words(count, 0.0),
        "mix": blank(NARROW, NARROW),
        "gain": words(count),
    }


def _cosine_mix(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """A gain for every cosine of what is active, and a dense mix of the lowest."""
    count = x.shape[-1]
    found = waves(F.gelu(scaled(x, p["gain"])), count)
    lowest = found[..., :NARROW] @ p["mix"]
    mixed = scaled(found, p["filter"]) + F.pad(lowest, (0, count - NARROW))
    return from_waves(mixed, count)


def _dendrites_starts(count: int, rank: int) -> dict[str, Start]:
    return {
        "into": dense(count, BRANCHES * EXPERT_RANK),
        "branch": Start((BRANCHES, EXPERT_RANK, count), fan=EXPERT_RANK),
        "gate": Start((BRANCHES, count), std=0.1),
        "inhibition": Start((count // COLUMN,), value=0.5),
        "diagonal": words(count, 0.0),
    }


def _dendrites(p: Parameters, x: Tensor, run: Pass) -> Tensor:
    """Each word has several branches, gated by its own activity, and inhibits its column."""
    inputs = grouped(x @ p["into"], BRANCHES)
    branches = torch.einsum("btnr,nrw->btnw", inputs, p["branch"].to(inputs.dtype))
    gates = torch.sigmoid(x[:, :, None] * p["gate"])
    excited = (branches * gates).sum(2) + p["diagonal"] * x
    columns = grouped(excited, x.shape[-1] // COLUMN)
    inhibited = columns - p["inhibition"][:, None] * columns.mean(-1, keepdim=True)
    return inhibited.flatten(2)


WITHIN: dict[str, Part] = {
    "fourier": Part(_fourier_starts, _fourier),
    "factored": Part(_factored_starts, _factored),
    "interaction": Part(_interaction_starts, _interaction),
    "spectrum": Part(_spectrum_starts, _spectrum),
    "bands": Part(_bands_starts, _bands),
    "program": Part(_program_starts, _program),
    "bottleneck": Part(_bottleneck_starts, _bottleneck, reads="into", writes="out"),
    "policy": Part(_policy_starts, _policy, reads="read", writes="write"),
    "oscillators": Part(_oscillators_starts, _oscillators),
    "teams": Part(_teams_starts, _teams),
    "narrow": Part(_narrow_starts, _narrow, reads="down", writes="up"),
    "predictive": Part(_narrow_starts, _predictive, writes="up"),
    "cosine_mix": Part(_cosine_mix_starts, _cosine_mix),
    "dendrites": Part(_dendrites_starts, _dendrites),
}
