"""Which modules' text decides what a stage computes: they enter its key, and a submission."""

from __future__ import annotations

from scripts.causal.files import InputError
from trainers.api import StageKind
from trainers.gpt.config import GPTConfig

_SHARED = (
    "scripts.causal.files",
    "trainers.seeds",
    "trainers.engine",
    "trainers.shards",
    "trainers.token_bytes",
    "trainers.data",
    "trainers.batches",
    "trainers.difficulty",
    "trainers.averaging",
    "trainers.evaluation",
    "trainers.fields",
    "trainers.gpt.config_rules",
    "trainers.gpt.config",
    "trainers.gpt.mlp_shapes",
    "trainers.gpt.mlp_kinds",
    "trainers.gpt.init",
    "trainers.gpt.objectives",
)
_ENGINES = {
    "torch": (
        "trainers.gpt.kernels_torch",
        "trainers.gpt.attention_cpu",
        "trainers.gpt.kernels_cpu",
        "trainers.gpt.loss_torch",
        "trainers.gpt.attention_torch",
        "trainers.gpt.embedding_torch",
        "trainers.gpt.mlp_torch",
        "trainers.gpt.model_torch",
        "trainers.gpt.objectives_torch",
        "trainers.gpt.optim_torch",
        "trainers.gpt.qat_torch",
        "trainers.gpt.engine_torch",
    ),
    "mlx": (
        "trainers.gpt.kernels_mlx",
        "trainers.gpt.attention_mlx",
        "trainers.gpt.embedding_mlx",
        "trainers.gpt.mlp_mlx",
        "trainers.gpt.model_mlx",
        "trainers.gpt.objectives_mlx",
        "trainers.gpt.optim_mlx",
        "trainers.gpt.qat_mlx",
        "trainers.gpt.engine_mlx",
    ),
}
_STORING = (
    "trainers.quantize.int8",
    "trainers.quantize.magnitudes",
    "trainers.quantize.ans",
    "trainers.quantize.numbers",
    "trainers.quantize.trellis",
    "trainers.quantize.header",
    "trainers.quantize.coded",
    "trainers.quantize.artifact",  # the last module that an evaluation needs
    "trainers.quantize.ans_encode",
    "trainers.quantize.pack",
    "trainers.quantize.statistics",
    "trainers.quantize.gptq",
    "trainers.quantize.trellis_search",
    "trainers.quantize.joined_rows",
    "trainers.quantize.grids",
    "trainers.quantize.lattice",
    "trainers.quantize.corrections",
    "trainers.quantize.recipe",
    "trainers.quantize.knob",
    "trainers.gpt.quantizing",
)
_TUNING = ("trainers.gpt.calibration", "trainers.gpt.distilling")  # need the torch model
_ADAPTATION = ("trainers.adaptation",)  # part of an evaluation that adapts, of no other


def modules_of_stage(kind: StageKind, config: GPTConfig, backend: str) -> tuple[str, ...]:
    """Modules whose text decides what this stage of a run computes.

    Raises:
        InputError: no such backend.
    """
    calibrating = (*_STORING, *_TUNING)
    if kind is StageKind.TRAIN:
        return (*_engine(backend), *(calibrating if config.qat_k else ()))
    if kind is StageKind.QUANTIZE:
        return calibrating
    if kind is StageKind.EVALUATE:
        adapting = () if config.ttt == "none" else _ADAPTATION
        return (*_engine(backend), *_STORING, *adapting)
    return _engine(backend)


def modules_of_submission(backend: str) -> tuple[str, ...]:
    """Modules that train and evaluate on a backend, dependencies first.

    Raises:
        InputError: no such backend.
    """
    *engine, run = _engine(backend)
    stored = (*_STORING, *(_TUNING if backend.startswith("torch") else ()))
    return (*engine, *_ADAPTATION, run, *stored, "trainers.gpt.run_log", "trainers.gpt.main")


def _engine(backend: str) -> tuple[str, ...]:
    family = backend.partition("-")[0]
    if family not in _ENGINES:
        raise InputError(f"the gpt trainer has no backend {backend!r}")
    return (*_SHARED, *_ENGINES[family], "trainers.loop", "trainers.gpt.run")
