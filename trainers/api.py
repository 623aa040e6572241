"""The contract between campaigns and trainers: a RunSpec goes in, stage results come out.

A run is a chain of pure stages, train → average → quantize → evaluate. Each stage has a key, a
hash of everything its output depends on, so equal stages of different runs are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from scripts.causal.files import InputError

if TYPE_CHECKING:  # its libraries take a fifth of a second, which every command would pay
    from trainers.workbench import Workbench

ConfigValue = bool | int | float | str
Config = Mapping[str, ConfigValue]
ENTRY_POINTS = "causal_trainers"


class StageKind(StrEnum):
    """The stages of a run, in order. A trainer leaves out those its configuration does not use."""

    TRAIN = "train"
    AVERAGE = "average"
    QUANTIZE = "quantize"
    EVALUATE = "evaluate"


@dataclass(frozen=True)
class RunSpec:
    """One run, complete: two equal specs are the same run.

    Attributes:
        trainer: name that `load_trainer` takes, for example "gpt" or "script:train_gpt.py".
        backend: where and in what precision it computes, for example "torch-cpu-float32".
        scale: name of the reduction the configuration was resolved at, for labels only.
        config: every field of the trainer's configuration, scale already applied.
        seed: root of every random stream of the run.
        data: folder of the tokenized data set.
    """

    trainer: str
    backend: str
    scale: str
    config: Config
    seed: int
    data: str


@dataclass(frozen=True)
class StagePlan:
    """One stage of one run: `key` identifies its output, `parent` the stage it continues."""

    kind: StageKind
    key: str
    parent: str | None
    spec: RunSpec


@dataclass(frozen=True)
class StageResult:
    """What a stage measured. JSON values only; tensors lie as files in the stage's folder.

    Attributes:
        metrics: scalars by name (train: pre_quant_bpb, parameters, tokens, flops, seconds of
            the steps, cpu_seconds of the stage;
            quantize: artifact_bytes; evaluate: val_bpb, val_loss in nats).
        curves: named lists of numbers of equal length (train: step, train_loss; and val_step,
            val_tokens, val_bpb on the validation subset, and val_bpb_int8, the same of the weights
            rounded to int8).
    """

    metrics: Mapping[str, float]
    curves: Mapping[str, list[float]] = field(default_factory=dict)


class RunFailed(Exception):
    """The run itself failed (diverged, out of memory). A recorded outcome, not a crash."""


Progress = Callable[[float], None]
"""Called with the fraction of a stage that is done, 0 to 1."""


class Trainer(Protocol):
    """What a model family implements to be usable by every campaign."""

    name: str

    def resolve(self, scale: str, overrides: Config) -> dict[str, ConfigValue]:
        """The complete configuration at a scale, with the overrides on top.

        Raises:
            InputError: unknown scale or field, a value out of its range, or fields at odds.
        """
        ...

    def backends(self) -> list[str]:
        """Backends that can run on this machine, best first."""
        ...

    def default_data(self, progress: Progress | None = None) -> str:
        """Folder of the default data set, prepared on first use."""
        ...

    def stages(self, spec: RunSpec) -> tuple[StagePlan, ...]:
        """The run's stages in order, each with its key."""
        ...

    def execute(
        self,
        plan: StagePlan,
        parent: Path | None,
        output: Path,
        progress: Progress | None = None,
    ) -> StageResult:
        """Compute one stage.

        Args:
            plan: the stage.
            parent: folder of the parent stage's files; None for the first stage.
            output: an empty folder for this stage's files.

        Raises:
            RunFailed: the run diverged or ran out of memory.
        """
        ...

    def flops_per_step(self, config: Config) -> float:
        """Training FLOPs of one optimizer step (forward and backward); 0 where unknown."""
        ...

    def parameters(self, config: Config) -> int:
        """Number of trained parameters of a configuration."""
        ...

    def artifact_file(self, config: Config) -> str:
        """Name of the file that the quantize stage leaves and that a submission ships."""
        ...

    def workbench(self, spec: RunSpec) -> Workbench:
        """The parts of a run, for those who look inside it: nothing of it has run yet.

        Raises:
            InputError: the backend is not on this machine, the data does not fit, or this
                trainer's runs cannot be looked into.
        """
        ...

    def source_modules(self, backend: str) -> tuple[str, ...]:
        """Names of the modules that train and evaluate on a backend, dependencies first.

        They import nothing of this project but one another, so that a submission can carry
        them as one file. None where no submission can be made of its runs.
        """
        ...


def load_trainer(name: str) -> Trainer:
    """Return the trainer registered under `name` (entry-point group ``causal_trainers``).

    ``family:argument`` hands the argument to the family's factory, as in
    ``script:records/mine/train_gpt.py``.

    Raises:
        InputError: no trainer of that name is installed, or it takes no argument.
    """
    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    family, colon, argument = name.partition(":")
    if family not in found:
        known = ", ".join(sorted(found)) or "none"
        raise InputError(f"no trainer named {family!r}", mend=f"installed trainers: {known}")
    factory: Callable[..., Trainer] = found[family].load()
    if not colon:
        return factory()
    try:
        return factory(argument)
    except TypeError as error:
        raise InputError(f"the {family} trainer takes no argument, but got {name!r}") from error
