"""The registered trainer "gpt": TRAIN → AVERAGE → QUANTIZE → EVALUATE on torch or MLX."""

from __future__ import annotations

import platform
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TypeGuard

from scripts.causal.files import InputError, atomic_path
from trainers.api import (
    Config,
    ConfigValue,
    Progress,
    RunFailed,
    RunSpec,
    StageKind,
    StagePlan,
    StageResult,
)
from trainers.averaging import TRACKED
from trainers.engine import GridEngine
from trainers.evaluation import evaluate, target_count
from trainers.family import dataset, failures_recorded, fitting_dataset
from trainers.gpt.config import GPTConfig, config_values, fields_with, gpt_config
from trainers.gpt.cost import training_flops_per_step
from trainers.gpt.init import initial_weights, parameter_count
from trainers.gpt.modules import modules_of_stage, modules_of_submission
from trainers.gpt.quantizing import TrainedGrid, artifact_name, quantized_artifact
from trainers.gpt.run import (
    batches_of,
    evaluates_plainly,
    final_score,
    schedule_of,
    validation_of,
)
from trainers.gpt.scales import SCALES
from trainers.gpt.stage_files import (
    read_average,
    read_grids,
    read_weights,
    save_averages,
    save_grids,
    save_weights,
    stored_weights,
)
from trainers.keys import code_version, stage_key
from trainers.loop import train, warm_up
from trainers.quantize.int8 import ArtifactError
from trainers.workbench import Workbench


class GptTrainer:
    """Implements `trainers.api.Trainer`. Engines stay warm between runs, one per architecture."""

    name = "gpt"

    def __init__(self) -> None:
        self._engines: dict[tuple[str, tuple[ConfigValue, ...]], GridEngine] = {}

    def resolve(self, scale: str, overrides: Config) -> dict[str, ConfigValue]:
        """The complete configuration at a scale, with the overrides on top.

        Four fields are fitted: model_dim goes to the nearest multiple of 2 · num_heads (a head
        has an even number of channels), val_points to at most iterations, the stride of a
        sliding window to at most half the sequence, and xsa_layers to at most num_layers.

        Raises:
            InputError: unknown scale or field, a value out of its range, or fields at odds.
        """
        if scale not in SCALES:
            raise InputError(f"the gpt trainer has no scale {scale!r}", mend=", ".join(SCALES))
        wanted = {**config_values(GPTConfig()), **SCALES[scale], **overrides}
        dim, heads = wanted["model_dim"], wanted["num_heads"]
        if _is_number(dim) and _is_number(heads) and heads >= 1:
            unit = 2 * int(heads)
            wanted["model_dim"] = max(1, int(dim / unit + 0.5)) * unit
        exclusive, layers = wanted["xsa_layers"], wanted["num_layers"]
        if _is_number(exclusive) and _is_number(layers):
            wanted["xsa_layers"] = min(exclusive, layers)
        points, iterations = wanted["val_points"], wanted["iterations"]
        stride, seq_len = wanted["sliding_window_eval"], wanted["train_seq_len"]
        if _is_number(stride) and _is_number(seq_len) and stride:
            wanted["sliding_window_eval"] = min(stride, max(1, int(seq_len) // 2))
        if _is_number(points) and _is_number(iterations) and "val_points" not in overrides:
            wanted["val_points"] = max(1, min(points, iterations))
        return config_values(gpt_config(wanted))

    def backends(self) -> list[str]:
        """Backends that can run on this machine, best first."""
        from trainers.gpt.engine_torch import torch_backends

        found = torch_backends()
        if find_spec("mlx") is None:
            return found
        if sys.platform == "darwin" and platform.machine() == "arm64":
            return ["mlx-gpu-float32", *found]
        return [*found, "mlx-cpu-float32"]

    def default_data(self, progress: Progress | None = None) -> str:
        """Folder of the embedded corpus, tokenized on first use."""
        from trainers.corpus import default_dataset

        return str(default_dataset(progress))

    def stages(self, spec: RunSpec) -> tuple[StagePlan, ...]:
        """TRAIN, then AVERAGE where it is used, QUANTIZE, EVALUATE, each with its key.

        Raises:
            InputError: an invalid configuration, or data that does not fit it.
        """
        config = gpt_config(spec.config)
        data = fitting_dataset(spec.data, config.vocab_size)
        packages = ("numpy", spec.backend.partition("-")[0])
        values = config_values(config)
        plans: list[StagePlan] = []
        for kind in (
            StageKind.TRAIN,
            *([StageKind.AVERAGE] if config.averaged else []),
            StageKind.QUANTIZE,
            StageKind.EVALUATE,
        ):
            parent = plans[-1].key if plans else None
            key = stage_key(
                stage=kind.value,
                trainer=self.name,
                backend=spec.backend,
                fields={name: values[name] for name in fields_with(stage=kind.value)},
                seed=spec.seed,
                data=data.fingerprint,
                code=code_version(modules_of_stage(kind, config, spec.backend), packages),
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
            InputError: the parent's files are missing or damaged.
        """
        with failures_recorded():
            if plan.kind is StageKind.TRAIN:
                return self._train(plan.spec, output, progress)
            if parent is None:
                raise ValueError(f"stage {plan.kind} continues another, but got no parent folder")
            if plan.kind is StageKind.AVERAGE:
                return self._average(plan.spec, parent, output)
            if plan.kind is StageKind.QUANTIZE:
                return _quantize(plan.spec, parent, output)
            if plan.kind is StageKind.EVALUATE:
                return self._evaluate(plan.spec, parent, progress)
        raise ValueError(f"the gpt trainer has no stage {plan.kind}")

    def flops_per_step(self, config: Config) -> float:
        """Training FLOPs of one optimizer step (formula in `trainers.gpt.cost`)."""
        return training_flops_per_step(gpt_config(config))

    def parameters(self, config: Config) -> int:
        """Number of trained parameters of a configuration."""
        return parameter_count(gpt_config(config))

    def artifact_file(self, config: Config) -> str:
        """Name of the file that the quantize stage leaves and that a submission ships."""
        return artifact_name(gpt_config(config))

    def workbench(self, spec: RunSpec) -> Workbench:
        """The parts of a run, for those who look inside it; see `trainers.api.Trainer`."""
        config = gpt_config(spec.config)
        data = fitting_dataset(spec.data, config.vocab_size)
        if spec.backend not in (found := self.backends()):
            raise InputError(
                f"backend {spec.backend!r} is not on this machine",
                mend=f"here there is {', '.join(found)}",
            )
        return Workbench(
            engine=self._engine(config, spec.backend)[0],
            start=initial_weights(config, seed=spec.seed),
            batches=batches_of(config, data, spec.seed),
            schedule=schedule_of(config, spec.seed),
            validation=validation_of(config, data),
            data=data,
            stored_weights=stored_weights,
        )

    def source_modules(self, backend: str) -> tuple[str, ...]:
        """Names of the modules that train and evaluate on a backend, dependencies first."""
        return modules_of_submission(backend)

    def _train(self, spec: RunSpec, output: Path, progress: Progress | None) -> StageResult:
        cpu_started = time.process_time()
        config, data = gpt_config(spec.config), dataset(spec.data)
        weights = initial_weights(config, seed=spec.seed)
        batches = batches_of(config, data, spec.seed)
        schedule = schedule_of(config, spec.seed)
        if config.qat_k and not schedule.quantized_steps():
            raise RunFailed("too few steps: learning rates never fall below qat_below")
        grid = TrainedGrid(config, data, spec.seed, schedule)
        engine, is_new = self._engine(config, spec.backend)
        if is_new:
            warm_up(engine, weights, batches, schedule)
        whole = validation_of(config, data)
        looked_at = validation_of(config, data, config.val_tokens)
        curve = train(
            engine,
            weights,
            batches,
            schedule,
            looked_at,
            progress,
            TRACKED,  # all of them, whatever the run asks for: they lie in a stage of their own
            int8_looks=True,  # an effect is followed along the run stage by stage
            before_step=lambda step: grid.before_step(step, engine),
        )
        # The last look is at the finished weights; at a validation this short, at all of it.
        same = target_count(looked_at) == target_count(whole)
        pre_quant_bpb = curve.val_bpb[-1] if same else evaluate(engine, whole).bpb
        save_weights(engine.weights(), output)
        save_averages(engine.averages(), output)
        save_grids(grid.grids, output)
        steps, batch = config.iterations, config.train_batch_tokens
        return StageResult(
            metrics={
                "pre_quant_bpb": pre_quant_bpb,
                "parameters": float(parameter_count(config)),
                "tokens": float(steps * batch),
                "flops": steps * training_flops_per_step(config),
                "seconds": curve.seconds,
                "cpu_seconds": time.process_time() - cpu_started,  # of the whole stage
            },
            curves={
                "step": [float(step + 1) for step in range(steps)],
                "train_loss": curve.train_loss,
                "val_step": [float(step) for step in curve.val_step],
                "val_tokens": [float(step * batch) for step in curve.val_step],
                "val_bpb": curve.val_bpb,
                "val_bpb_int8": curve.val_bpb_int8,
            },
        )

    def _average(self, spec: RunSpec, parent: Path, output: Path) -> StageResult:
        """One of the averages that training kept becomes the weights, and is measured as such."""
        config = gpt_config(spec.config)
        weights = read_average(config.averaged, parent)
        engine, _ = self._engine(config, spec.backend)
        engine.load(weights)
        pre_quant_bpb = evaluate(engine, validation_of(config, dataset(spec.data))).bpb
        save_weights(weights, output)
        save_grids(read_grids(config, parent), output)
        return StageResult(metrics={"pre_quant_bpb": pre_quant_bpb})

    def _evaluate(self, spec: RunSpec, parent: Path, progress: Progress | None) -> StageResult:
        config, weights = gpt_config(spec.config), stored_weights(parent)
        engine, _ = self._engine(config, spec.backend)
        engine.load(weights)
        data, post_quant_bpb = dataset(spec.data), None
        if not evaluates_plainly(config):
            post_quant_bpb = evaluate(engine, validation_of(config, data)).bpb
        score = final_score(engine, config, data, progress)
        return StageResult(
            metrics={
                "val_bpb": score.bpb,
                "val_loss": score.loss,
                # Beside pre_quant_bpb what quantization cost, beside val_bpb what this stage gave.
                "post_quant_bpb": score.bpb if post_quant_bpb is None else post_quant_bpb,
            }
        )

    def _engine(self, config: GPTConfig, backend: str) -> tuple[GridEngine, bool]:
        """The engine of this architecture, configured; and whether it was made just now."""
        values = config_values(config)
        key = (backend, tuple(values[name] for name in fields_with(role="architecture")))
        is_new = key not in self._engines
        if is_new:
            self._engines[key] = _make_engine(config, backend)
        self._engines[key].configure(values)
        return self._engines[key], is_new


def _make_engine(config: GPTConfig, backend: str) -> GridEngine:
    if backend.startswith("mlx"):
        from trainers.gpt.engine_mlx import MlxEngine

        return MlxEngine(config, backend)
    from trainers.gpt.engine_torch import TorchEngine, join_processes

    join_processes(backend)
    return TorchEngine(config, backend)


def _quantize(spec: RunSpec, parent: Path, output: Path) -> StageResult:
    config, weights = gpt_config(spec.config), read_weights(parent)
    try:
        artifact = quantized_artifact(
            config,
            weights,
            dataset(spec.data),
            seed=spec.seed,
            grids=read_grids(config, parent),
        )
    except ArtifactError as error:  # no grid fits under the cap, or a weight is not finite
        raise RunFailed(f"cannot be quantized: {error}") from error
    with atomic_path(output / artifact_name(config)) as temporary:
        temporary.write_bytes(artifact)
    return StageResult(metrics={"artifact_bytes": float(len(artifact))})


def _is_number(value: ConfigValue) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
