"""The registered trainer "vocab_space": TRAIN → QUANTIZE → EVALUATE on torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from safetensors.numpy import load_file, save_file
from torch.utils.flop_counter import FlopCounterMode

from scripts.causal.files import InputError, atomic_path
from trainers.api import (
    Config,
    ConfigValue,
    Progress,
    RunSpec,
    StageKind,
    StagePlan,
    StageResult,
)
from trainers.batches import Batches, first_tokens
from trainers.data import DataSet
from trainers.engine import StepSettings, Weights
from trainers.evaluation import Validation, evaluate, side_by_side
from trainers.family import dataset, failures_recorded, fitting_dataset
from trainers.gpt.engine_torch import torch_backends
from trainers.keys import code_version, stage_key
from trainers.loop import Schedule, train
from trainers.quantize.int8 import dequantize, quantize
from trainers.vocab_space.config import VocabConfig, config_values, fields_with, vocab_config
from trainers.vocab_space.engine import VocabEngine
from trainers.vocab_space.model import VocabModel, initial_weights, parameter_count
from trainers.vocab_space.scales import SCALES
from trainers.vocab_space.status import largest_rise, late_loss
from trainers.workbench import WEIGHTS_FILE, Workbench

ARTIFACT_FILE = "model.int8.zlib"
EVAL_BATCH_TOKENS = 16384

_MODEL_MODULES = (
    "scripts.causal.files",
    "trainers.seeds",
    "trainers.fields",
    "trainers.engine",
    "trainers.shards",
    "trainers.token_bytes",
    "trainers.data",
    "trainers.batches",
    "trainers.evaluation",
    "trainers.vocab_space.versions",
    "trainers.vocab_space.config",
    "trainers.vocab_space.parts",
    "trainers.vocab_space.memory",
    "trainers.vocab_space.across",
    "trainers.vocab_space.within",
    "trainers.vocab_space.model",
)
_TRAIN_MODULES = (
    *_MODEL_MODULES,
    "trainers.gpt.optim_torch",
    "trainers.gpt.qat_torch",
    "trainers.vocab_space.engine",
    "trainers.vocab_space.status",
    "trainers.loop",
)
_QUANTIZE_MODULES = ("trainers.quantize.int8",)


class VocabSpaceTrainer:
    """Implements `trainers.api.Trainer`. Engines stay warm between runs, one per architecture."""

    name = "vocab_space"

    def __init__(self) -> None:
        self._engines: dict[tuple[str, tuple[ConfigValue, ...]], VocabEngine] = {}

    def resolve(self, scale: str, overrides: Config) -> dict[str, ConfigValue]:
        """The complete configuration at a scale, with the overrides on top.

        Raises:
            InputError: unknown scale or field, a value out of its range, or fields at odds.
        """
        if scale not in SCALES:
            raise InputError(
                f"the vocab_space trainer has no scale {scale!r}", mend=", ".join(SCALES)
            )
        wanted = {**config_values(VocabConfig()), **SCALES[scale], **overrides}
        points, iterations = wanted["val_points"], wanted["iterations"]
        if "val_points" not in overrides and isinstance(points, int):
            wanted["val_points"] = max(1, min(points, int(iterations)))
        return config_values(vocab_config(wanted))

    def backends(self) -> list[str]:
        """Backends that can run on this machine, best first."""
        return torch_backends()

    def default_data(self, progress: Progress | None = None) -> str:
        """Folder of the embedded corpus, tokenized on first use."""
        from trainers.corpus import default_dataset

        return str(default_dataset(progress))

    def stages(self, spec: RunSpec) -> tuple[StagePlan, ...]:
        """TRAIN, QUANTIZE, EVALUATE, each with its key.

        Raises:
            InputError: an invalid configuration, or data that does not fit it.
        """
        config = vocab_config(spec.config)
        data = fitting_dataset(spec.data, config.vocab_size)
        plans: list[StagePlan] = []
        for kind, modules in (
            (StageKind.TRAIN, _TRAIN_MODULES),
            (StageKind.QUANTIZE, _QUANTIZE_MODULES),
            (StageKind.EVALUATE, (*_TRAIN_MODULES, *_QUANTIZE_MODULES)),
        ):
            parent = plans[-1].key if plans else None
            key = stage_key(
                stage=kind.value,
                trainer=self.name,
                backend=spec.backend,
                # by the number: another table of rates makes another run, a stated rate the same
                fields={**config_values(config), "learning_rate": config.rate}
                if kind is StageKind.TRAIN
                else {},
                seed=spec.seed,
                data=data.fingerprint,
                code=code_version(modules, ("numpy", "torch")),
                parent=parent,
            )
            plans.append(StagePlan(kind=kind, key=key, parent=parent, spec=spec))
        return tuple(plans)

    def execute(
        self,
        plan: StagePlan,
        parent: Path | None,
        output: Path,
        progress: Progress | None = None,
    ) -> StageResult:
        """Compute one stage; see `trainers.api.Trainer.execute`.

        Raises:
            RunFailed: the run diverged or ran out of memory.
        """
        with failures_recorded():
            if plan.kind is StageKind.TRAIN:
                return self._train(plan.spec, output, progress)
            if parent is None:
                raise ValueError(f"stage {plan.kind} continues another, but got no parent folder")
            if plan.kind is StageKind.QUANTIZE:
                return _quantize(parent, output)
            return self._evaluate(plan.spec, parent, progress)

    def flops_per_step(self, config: Config) -> float:
        """Training FLOPs of one optimizer step: the matrix products, backward twice forward.

        What acts word by word is left out, though on a CPU it may take longer.
        """
        wanted = vocab_config(config)
        values = config_values(wanted)
        shape = tuple(values[name] for name in fields_with(role="architecture"))
        return 3 * _forward_flops(shape) * wanted.batch_sequences

    def parameters(self, config: Config) -> int:
        """Number of trained parameters of a configuration."""
        return parameter_count(vocab_config(config))

    def artifact_file(self, config: Config) -> str:
        """Name of the file that the quantize stage leaves and that a submission ships."""
        return ARTIFACT_FILE

    def workbench(self, spec: RunSpec) -> Workbench:
        """The parts of a run, for those who look inside it; see `trainers.api.Trainer`."""
        config, data = vocab_config(spec.config), dataset(spec.data)
        return Workbench(
            engine=self.engine(config, spec.backend),
            start=initial_weights(config, seed=spec.seed),
            batches=batches_of(config, data, spec.seed),
            schedule=schedule_of(config),
            validation=validation_of(config, data),
            data=data,
            stored_weights=_stored_weights,
        )

    def source_modules(self, backend: str) -> tuple[str, ...]:
        """None: the family has no program that a submission could carry."""
        return ()

    def engine(self, config: VocabConfig, backend: str) -> VocabEngine:
        """The engine of this architecture, configured; made where there is none yet."""
        values = config_values(config)
        key = (backend, tuple(values[name] for name in fields_with(role="architecture")))
        if key not in self._engines:
            self._engines[key] = VocabEngine(config, backend)
        self._engines[key].configure(values)
        return self._engines[key]

    def _train(self, spec: RunSpec, output: Path, progress: Progress | None) -> StageResult:
        config, data = vocab_config(spec.config), dataset(spec.data)
        weights = initial_weights(config, seed=spec.seed)
        batches = batches_of(config, data, spec.seed)
        engine = self.engine(config, spec.backend)
        engine.load(weights)
        engine.step(batches.batch(0), StepSettings(0.0, 0.0))  # kernels warm before the clock
        curve = train(
            engine,
            weights,
            batches,
            schedule_of(config),
            validation_of(config, data, config.val_tokens),
            progress,
        )
        score = evaluate(engine, validation_of(config, data))
        bits = score.bpb / score.loss  # per byte, of a nat per token
        with atomic_path(output / WEIGHTS_FILE) as temporary:
            save_file(engine.weights(), temporary)
        steps, batch = config.iterations, config.train_batch_tokens
        return StageResult(
            metrics={
                "pre_quant_bpb": score.bpb,
                "generalization_gap": bits * (score.loss - late_loss(curve.train_loss)),
                "loss_spike": bits * largest_rise(curve.train_loss),
                "parameters": float(parameter_count(config)),
                "tokens": float(steps * batch),
                "flops": steps * self.flops_per_step(spec.config),
                "seconds": curve.seconds,
            },
            curves={
                "step": [float(step + 1) for step in range(steps)],
                "train_loss": curve.train_loss,
                "val_step": [float(step) for step in curve.val_step],
                "val_tokens": [float(step * batch) for step in curve.val_step],
                "val_bpb": curve.val_bpb,
            },
        )

    def _evaluate(self, spec: RunSpec, parent: Path, progress: Progress | None) -> StageResult:
        config = vocab_config(spec.config)
        engine = self.engine(config, spec.backend)
        engine.load(_stored_weights(parent))
        score = evaluate(engine, validation_of(config, dataset(spec.data)), progress)
        return StageResult(
            metrics={"val_bpb": score.bpb, "val_loss": score.loss, "post_quant_bpb": score.bpb}
        )


def schedule_of(config: VocabConfig) -> Schedule:
    """The loop's view of a configuration."""
    return Schedule(
        iterations=config.iterations,
        warmup_iters=config.warmup_iters,
        warmdown_iters=round(config.warmdown_frac * config.iterations),
        momentum=0.0,
        momentum_start=0.0,
        momentum_steps=0,
        val_points=config.val_points,
    )


def batches_of(config: VocabConfig, data: DataSet, seed: int) -> Batches:
    """The training batches in the order of this seed."""
    tokens = data.train_tokens()
    if config.train_data_tokens:
        tokens = first_tokens(tokens, config.train_data_tokens)
    return Batches(tokens, config.train_seq_len, config.train_batch_tokens, seed)


def validation_of(config: VocabConfig, data: DataSet, max_tokens: int | None = None) -> Validation:
    """What the final scores are of, or the first `max_tokens` of validation."""
    most = max_tokens or config.final_tokens or None
    return side_by_side(data, config.train_seq_len, EVAL_BATCH_TOKENS, most)


def _quantize(parent: Path, output: Path) -> StageResult:
    artifact = quantize(load_file(parent / WEIGHTS_FILE))
    with atomic_path(output / ARTIFACT_FILE) as temporary:
        temporary.write_bytes(artifact)
    return StageResult(metrics={"artifact_bytes": float(len(artifact))})


def _stored_weights(folder: Path) -> Weights:
    return dequantize((folder / ARTIFACT_FILE).read_bytes())


@cache
def _forward_flops(shape: tuple[ConfigValue, ...]) -> float:
    config = vocab_config(dict(zip(fields_with(role="architecture"), shape, strict=True)))
    model = VocabModel(config, torch.float32)
    tokens = torch.zeros((1, config.train_seq_len + 1), dtype=torch.int64)
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        model.losses(tokens)
    return float(counted.get_total_flops())
