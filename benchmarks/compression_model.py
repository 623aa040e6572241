"""The model that `compression` measures on: trained once, kept, and asked for its bpb.

How long it is trained was fixed before anything was quantized, by the run whose loss to int8 is
published (record 2026-03-17): its 423 tokens for a parameter (7.22 G for 17.06 M), its learning
rates, its warmdown's share of the steps (1,200 of 13,780). The shape is what twenty minutes of one
core can train for so long. The data come round ten times (7.6 M tokens).

On the way there, by shorter runs with a warmdown of their own (seed 42; bytes at a gap no larger
than that of int8 + zlib, by GPTQ at curvature steps and by any code of fixed normal weights):

    tokens for a parameter         25        50       100       200       424
    bpb                         1.897     1.801     1.719     1.655     1.615
    gap of int8 + zlib, bpb   0.00040   0.00064   0.00108   0.00218   0.00372
    fewer bytes, GPTQ          20.0 %    22.0 %    24.7 %    25.3 %    27.1 %
    fewer bytes, at most       30.7 %    35.2 %    32.5 %    32.9 %    35.3 %

Gaps below 0.001 hardly follow the steps any more (what rounding does to the loss has a sign), so
the bytes at 25 and 50 tokens are rough. At 100 tokens with a weight decay of 0.09, as the records
have: bpb 1.709, gap 0.00102, 24.7 % and 37.1 %. Twice as wide, at 34 tokens with a warmdown of a
third: bpb 1.418, gap 0.00109, 26.5 % and 32.9 %. Training as it quantizes for 2,400 steps spared
35.5 % at 424 (gap 0.0033). All that was before there were a trellis and one coder for all whole
numbers: with them, trained anew on another machine (bpb 1.613, gap 0.0036), 30.9 % at once and
39.2 % with training (gap 0.0030). With long gradients cut, 64 states and calibration on 524,288
tokens: 41.4 % (gap 0.0044), 40.6 % (0.0043), of 3,200 steps 40.6 % (0.0038), and with rows' steps
that differed a little 39.8 % (0.0027). Of 2,400 steps at a finer grid 39.5 % (0.0036), of 4,800
slower ones 39.9 % (0.0033), with codes around their columns' means and small tensors as fine as
the loss asks 40.5 % (0.0041). Of 9,600 steps 41.0 % (0.0042), 40.2 % (0.0038) and 40.0 % (0.0035),
as the knob went from 0.0021 to 0.0020 and 0.00199.

Validation has 139,033 tokens, so the gap of one run is chance to 0.0002, a sixteenth of int8's.
How far predictions diverge is known better: there to a fiftieth, most of that being a few places
after bytes that training hardly had, on 327,680 training tokens to a 250th. int8 diverges by
0.00590 nats (training text: 0.00567), the last of these runs by 0.00612 (0.00567): at int8's
divergence it spares 39.7 % (40.0 %).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from compression_divergence import divergence
from numpy.typing import NDArray
from safetensors.numpy import load_file

from scripts.causal.files import canonical_json, digest
from trainers.api import ConfigValue, RunSpec
from trainers.data import DataSet, open_dataset
from trainers.engine import Engine
from trainers.evaluation import Validation, evaluate
from trainers.gpt.config import GPTConfig, fields_with, gpt_config
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.quantizing import calibration_of
from trainers.gpt.run import validation_of
from trainers.gpt.trainer import GptTrainer
from trainers.quantize.statistics import Inputs
from trainers.workbench import WEIGHTS_FILE

Weights = Mapping[str, NDArray[np.float32]]
SEED = 42
SHAPE: dict[str, int | float] = {
    "num_layers": 3,
    "model_dim": 64,
    "num_heads": 4,
    "num_kv_heads": 2,
    "mlp_mult": 3.0,
    "train_batch_tokens": 8192,
    "iterations": 9150,
    "warmdown_iters": 797,
    "muon_momentum_warmup_steps": 332,
    "calibration_tokens": 524288,
    "val_points": 8,
}


@dataclass(frozen=True)
class Subject:
    """Trained weights, what calibration found on training tokens, and how to score others."""

    weights: Weights
    inputs: dict[str, Inputs]
    described: dict[str, Any]
    engine: Engine
    validation: Validation
    config: GPTConfig
    data: DataSet

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(value.size for value in self.weights.values())

    def gap(self, weights: Weights) -> float:
        """bpb with these weights, less that of the trained ones."""
        self.engine.load(weights)
        before: float = self.described["pre_quant_bpb"]
        return evaluate(self.engine, self.validation).bpb - before

    def divergence(self, weights: Weights) -> float:
        """Of the predictions with these weights from those of the trained ones, in nats."""
        length, tokens = self.validation.seq_len, self.validation.tokens
        count = min(len(tokens) // length, self.validation.max_sequences or len(tokens))
        sequences = tokens[: count * length].reshape(-1, length).astype(np.int64)
        return divergence(self.config, self.weights, weights, sequences)


def subject(output: Path, *, backend: str, val_tokens: int, quick: bool) -> Subject:
    """Train the model, or find it under its key: what it is and what it was trained on.

    The version of the code is no part of the key: what is compared is weights, and the bpb before
    quantization is measured again.
    """
    folder, spec = trained(output, {}, backend=backend, quick=quick)
    weights, config = load_file(folder / WEIGHTS_FILE), gpt_config(spec.config)
    opened = open_dataset(Path(spec.data))
    engine = TorchEngine(config, "torch-cpu-float32")
    validation = validation_of(config, opened, 2048 if quick else val_tokens or None)
    engine.load(weights)
    described = {
        "key": folder.name,
        "backend": spec.backend,
        "seed": SEED,
        "parameters": sum(value.size for value in weights.values()),
        "steps": config.iterations,
        "tokens": config.iterations * config.train_batch_tokens,
        "val_tokens": val_tokens or len(opened.val_tokens()),
        "pre_quant_bpb": evaluate(engine, validation).bpb,
    }
    inputs = calibration_of(config, weights, opened, seed=SEED)
    return Subject(weights, inputs, described, engine, validation, config, opened)


def trained(
    output: Path, changes: Mapping[str, ConfigValue], *, backend: str, quick: bool
) -> tuple[Path, RunSpec]:
    """Folder of the model, or of one that differs from it in these fields; trained if need be."""
    trainer, scale = GptTrainer(), "tiny" if quick else "standard"
    backend = backend or next(b for b in trainer.backends() if b.startswith("torch"))
    values = trainer.resolve(scale, {**({} if quick else SHAPE), **changes})
    spec = RunSpec("gpt", backend, scale, values, SEED, trainer.default_data())
    fields = {name: values[name] for name in fields_with(stage="train")}
    fingerprint = open_dataset(Path(spec.data)).fingerprint
    key = digest(canonical_json([fields, SEED, backend, fingerprint]))[:16]
    folder = output / key
    if not (folder / WEIGHTS_FILE).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        trainer.execute(trainer.stages(spec)[0], None, folder)
    return folder, spec
