"""Every field of a GPT run, named as in the vocabulary of causal variables where it has one.

The defaults are the upstream naive baseline: 9 layers of 512 channels, 17,059,912 parameters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from trainers.averaging import EMA_DECAYS, SWA, ema
from trainers.fields import check_ranges, check_types, config_from, require

ACTIVATIONS = ("relu_sq", "leaky_relu_sq", "gelu", "silu", "sin", "sin_sq")
# Levels of `activation` that are MLPs of their own shape: `trainers.gpt.mlp_shapes`.
MLP_KINDS = (
    "swiglu",
    "fan",
    "dml_gated",
    "dml_orth",
    "fan_dml",
    "causal_wide",
    "dml_causal_wide",
)
ROPE_DIMS = ("full", "partial")
TTT = ("none", "score_first", "lora")
OPTIMIZERS = ("muon", "muoneq_r", "adamw")
QUANT_BITS = ("int8", "int7", "int6", "int5", "int4", "ternary", "int6_int8", "int5_int6")
QAT_BITS = ("int8", "int6", "int5")
GPTQ = ("none", "lite", "full")
CALIBRATION = ("training", "self_generated")
COMPRESSORS = ("zlib", "zstd", "lzma", "brotli", "ans", "best")
ARCHITECTURE, HYPERPARAMETER, SCHEDULE = "architecture", "hyperparameter", "schedule"


def _field(default: Any, role: str, stage: str = "train") -> Any:
    return field(default=default, metadata={"role": role, "stage": stage})


@dataclass(frozen=True)
class GPTConfig:
    """One run of the parameter-golf GPT, complete.

    Each field's metadata says which stage reads it first (``stage``: train, average, quantize,
    evaluate) and what a change of it costs (``role``): "architecture" changes the compiled step,
    "hyperparameter" reaches the compiled step as a tensor, "schedule" is read by the loop alone.

    Attributes:
        tied_embeddings: the embedding is the output layer too, and learns at `tied_embed_lr`;
            otherwise it learns at `embed_lr` and the output layer, from zero, at `head_lr`.
        bigram_hash, bigram_dim: buckets and channels of the hashed bigram table; 0 buckets: none.
        xsa_layers: the last so many layers have exclusive self-attention.
        value_embedding_layers: the last so many layers take the value embedding.
        parallel_layers: the last so many layers are parallel under `parallel_residuals`.
        recurrence_layers, recurrence_passes, recurrence_start: under `depth_recurrence` so many
            layers in the middle run so many times, from this fraction of the training on.
        barlow_weight: of the loss that decorrelates the paths of an MLP that has several.
        iterations: optimizer steps.
        warmup_iters: steps of linear learning-rate warm-up (upstream has none; the warm-up
            steps of its script only compile).
        qat: once the warmdown has brought the learning rates below `qat_below` of their full
            value, gradients are taken with the weights on the grid they will be stored on.
        qat_bits: that grid: of int8, int6 or int5, one step per row.
        qat_k: or, above 0, the grid of `curvature_steps` with this knob, taken from the weights
            when training on it begins, and stored as it was trained on.
        selective_loss: targets that the model is sure of, by a margin between its two largest
            logits above `selective_margin`, are left out of the training loss.
        mtp: where the margin is above `mtp_margin` the token after the next is predicted too and
            counts `mtp_weight`, from the fraction `mtp_start` of the training on.
        embedding_mask: embeddings become zero at the places of the batch at which the model was
            sure at the last step, by a margin above `embedding_mask_margin`.
        curriculum: each epoch goes from easy text to hard.
        curriculum_scores: name of the windows' difficulty scores that lie beside the shards
            (`trainers.difficulty`); empty for the rarity of their tokens.
        train_data_tokens: only so many tokens from the start of the training data, which a longer
            run repeats; 0 for all there are.
        token_dropout: share of the places removed from each training sequence, the same ones
            throughout a batch; graduated, it falls from there to 0 in a line.
        corrupted_context: share of the input tokens replaced by the model's own predictions;
            graduated, that is the top of half a sine over the training.
        position_loss: targets count from 1 − a at the start of a sequence to 1 + a at its end.
        warmdown_frac: the last part of the steps, over which the learning rates fall to zero; 0
            takes the number of `warmdown_iters`.
        val_tokens: size of the validation subset that the trajectory is measured on.
        val_points: evaluations on that subset, evenly spaced, the last one at the end.
        ema: decay of the exponential average of the weights that takes their place, one of
            EMA_DECAYS; 0 for none.
        swa: the mean of checkpoints late in the warmdown takes the weights' place.
        quant_bits: of the stored matrices; "int6_int8" has the embeddings in int8, "int5_int6" the
            MLPs in int5.
        quant_group: 64 for a step for every 64 weights of a row, 0 for one step per row.
        quant_k: the knob of `sdclip` (clip in standard deviations of the row) and of
            `curvature_steps` (steps, in units of the loss's curvature); 0 for the usual one.
        gptq: "lite" tries five clips, "full" compensates rounding errors by the Hessian.
        curvature_steps: steps of rows and columns as the loss allows them, codes in a byte.
        distill_steps: of training towards the unquantized model's predictions while matrices are
            put on their grids a part at a time (`trainers.gpt.distilling`); 0 for GPTQ at once.
        lqer_rank, lqer_count: of the low-rank correction, and of so many matrices.
        calibration, calibration_tokens: text for Hessians and curvature, never of validation.
        compressor: "ans" is our own adaptive coder; "best" tries all that need no package beyond
            the competition's and keeps, for each kind of tensor, the smallest.
        artifact_cap: bytes; the knob is turned until the artifact lies just under it. 0: as it is.
        sliding_window_eval: stride in tokens; 0 for sequences side by side.
        ttt: how the model goes on learning from text it has scored (`trainers.adaptation`), with
            the settings ttt_… for score_first and lora_… for lora.
    """

    # Architecture (equal architectures share one engine and its compiled step).
    num_layers: int = _field(9, ARCHITECTURE)
    model_dim: int = _field(512, ARCHITECTURE)
    mlp_mult: float = _field(2.0, ARCHITECTURE)
    num_heads: int = _field(8, ARCHITECTURE)
    num_kv_heads: int = _field(4, ARCHITECTURE)
    vocab_size: int = _field(1024, ARCHITECTURE)
    train_seq_len: int = _field(1024, ARCHITECTURE)
    train_batch_tokens: int = _field(524288, ARCHITECTURE)
    activation: str = _field("relu_sq", ARCHITECTURE)
    bigram_hash: int = _field(0, ARCHITECTURE)
    bigram_dim: int = _field(112, ARCHITECTURE)
    smear_gate: bool = _field(False, ARCHITECTURE)
    xsa_layers: int = _field(0, ARCHITECTURE)
    value_residual: bool = _field(False, ARCHITECTURE)
    value_embedding: bool = _field(False, ARCHITECTURE)
    value_embedding_dim: int = _field(128, ARCHITECTURE)
    value_embedding_layers: int = _field(2, ARCHITECTURE)
    gated_attention: bool = _field(False, ARCHITECTURE)
    ln_scale: bool = _field(False, ARCHITECTURE)
    parallel_residuals: bool = _field(False, ARCHITECTURE)
    parallel_layers: int = _field(4, ARCHITECTURE)
    depth_recurrence: bool = _field(False, ARCHITECTURE)
    recurrence_layers: int = _field(3, ARCHITECTURE)
    recurrence_passes: int = _field(2, ARCHITECTURE)
    unet_skips: bool = _field(True, ARCHITECTURE)
    tied_embeddings: bool = _field(True, ARCHITECTURE)
    optimizer: str = _field("muon", ARCHITECTURE)
    qat_bits: str = _field("int8", ARCHITECTURE)
    selective_loss: bool = _field(False, ARCHITECTURE)
    mtp: bool = _field(False, ARCHITECTURE)
    embedding_mask: bool = _field(False, ARCHITECTURE)
    muon_ns_steps: int = _field(5, ARCHITECTURE)

    # Hyperparameters of the model and the optimizer.
    rope_base: float = _field(10000.0, HYPERPARAMETER)
    rope_dims: str = _field("full", HYPERPARAMETER)
    barlow_weight: float = _field(0.01, HYPERPARAMETER)
    logit_softcap: float = _field(30.0, HYPERPARAMETER)
    qk_gain: float = _field(1.5, HYPERPARAMETER)
    embed_init_std: float = _field(0.005, HYPERPARAMETER)
    matrix_lr: float = _field(0.04, HYPERPARAMETER)
    tied_embed_lr: float = _field(0.05, HYPERPARAMETER)
    embed_lr: float = _field(0.6, HYPERPARAMETER)
    head_lr: float = _field(0.008, HYPERPARAMETER)
    scalar_lr: float = _field(0.04, HYPERPARAMETER)
    muon_momentum: float = _field(0.95, HYPERPARAMETER)
    beta1: float = _field(0.9, HYPERPARAMETER)
    beta2: float = _field(0.95, HYPERPARAMETER)
    adam_eps: float = _field(1e-8, HYPERPARAMETER)
    weight_decay: float = _field(0.0, HYPERPARAMETER)
    grad_clip: float = _field(0.0, HYPERPARAMETER)
    selective_margin: float = _field(2.0, HYPERPARAMETER)
    mtp_margin: float = _field(2.0, HYPERPARAMETER)
    embedding_mask_margin: float = _field(2.0, HYPERPARAMETER)

    # Schedule.
    iterations: int = _field(20000, SCHEDULE)
    warmup_iters: int = _field(0, SCHEDULE)
    warmdown_iters: int = _field(1200, SCHEDULE)
    warmdown_frac: float = _field(0.0, SCHEDULE)
    muon_momentum_warmup_start: float = _field(0.85, SCHEDULE)
    muon_momentum_warmup_steps: int = _field(500, SCHEDULE)
    recurrence_start: float = _field(0.35, SCHEDULE)
    qat: bool = _field(False, SCHEDULE)
    qat_below: float = _field(0.15, SCHEDULE)
    qat_k: float = _field(0.0, SCHEDULE)
    curriculum: bool = _field(False, SCHEDULE)
    curriculum_scores: str = _field("", SCHEDULE)
    train_data_tokens: int = _field(0, SCHEDULE)
    token_dropout: float = _field(0.0, SCHEDULE)
    token_dropout_graduated: bool = _field(False, SCHEDULE)
    corrupted_context: float = _field(0.0, SCHEDULE)
    corrupted_context_graduated: bool = _field(False, SCHEDULE)
    position_loss: float = _field(0.0, SCHEDULE)
    mtp_weight: float = _field(0.5, SCHEDULE)
    mtp_start: float = _field(0.2, SCHEDULE)
    val_tokens: int = _field(1048576, SCHEDULE)
    val_points: int = _field(20, SCHEDULE)

    # What happens to the trained weights.
    ema: float = _field(0.0, SCHEDULE, stage="average")
    swa: bool = _field(False, SCHEDULE, stage="average")
    quant_bits: str = _field("int8", SCHEDULE, stage="quantize")
    quant_group: int = _field(0, SCHEDULE, stage="quantize")
    quant_k: float = _field(0.0, SCHEDULE, stage="quantize")
    gptq: str = _field("none", SCHEDULE, stage="quantize")
    sdclip: bool = _field(False, SCHEDULE, stage="quantize")
    curvature_steps: bool = _field(False, SCHEDULE, stage="quantize")
    distill_steps: int = _field(0, SCHEDULE, stage="quantize")
    awq: bool = _field(False, SCHEDULE, stage="quantize")
    lqer: bool = _field(False, SCHEDULE, stage="quantize")
    lqer_rank: int = _field(4, SCHEDULE, stage="quantize")
    lqer_count: int = _field(3, SCHEDULE, stage="quantize")
    calibration: str = _field("training", SCHEDULE, stage="quantize")
    calibration_tokens: int = _field(65536, SCHEDULE, stage="quantize")
    compressor: str = _field("zlib", SCHEDULE, stage="quantize")
    artifact_cap: int = _field(0, SCHEDULE, stage="quantize")
    sliding_window_eval: int = _field(0, SCHEDULE, stage="evaluate")
    ttt: str = _field("none", SCHEDULE, stage="evaluate")
    ttt_lr: float = _field(0.002, SCHEDULE, stage="evaluate")
    ttt_epochs: int = _field(3, SCHEDULE, stage="evaluate")
    ttt_chunk_tokens: int = _field(32768, SCHEDULE, stage="evaluate")
    lora_lr: float = _field(0.04, SCHEDULE, stage="evaluate")
    lora_rank: int = _field(8, SCHEDULE, stage="evaluate")
    lora_chunk_tokens: int = _field(256, SCHEDULE, stage="evaluate")

    def __post_init__(self) -> None:
        check_types(self)
        _check_rules(self)

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.model_dim // self.num_heads

    @property
    def mlp_hidden(self) -> int:
        """Hidden channels of the MLP."""
        return round(self.mlp_mult * self.model_dim)

    @property
    def embedding_lr(self) -> float:
        """Learning rate of the token embedding."""
        return self.tied_embed_lr if self.tied_embeddings else self.embed_lr

    @property
    def encoder_layers(self) -> int:
        """Blocks that push their output for a later block; with the middle one left over."""
        return self.num_layers // 2

    @property
    def num_skips(self) -> int:
        """U-Net skip connections: one for each pair of an encoder and a decoder block."""
        return len(self.layer_order(recurrent=True)) // 2 if self.unet_skips else 0

    def layer_order(self, *, recurrent: bool) -> tuple[int, ...]:
        """The layers in the order they run: each once, or with the middle span repeated.

        Args:
            recurrent: the recurrence is switched on; without `depth_recurrence` it is nothing.
        """
        layers = tuple(range(self.num_layers))
        if not (recurrent and self.depth_recurrence):
            return layers
        span = min(self.recurrence_layers, self.num_layers)
        first = (self.num_layers - span) // 2
        again = layers[first : first + span] * self.recurrence_passes
        return layers[:first] + again + layers[first + span :]

    @property
    def averaged(self) -> str:
        """Name of the average that takes the weights' place (`trainers.averaging`), or none."""
        if self.ema:
            return ema(self.ema).name
        return SWA if self.swa else ""

    @property
    def batch_sequences(self) -> int:
        """Sequences in one optimizer step."""
        return self.train_batch_tokens // self.train_seq_len


def gpt_config(values: Mapping[str, Any]) -> GPTConfig:
    """Return the configuration with these fields; the ones left out keep their defaults.

    Raises:
        InputError: an unknown field, a value of the wrong type or out of range, or fields at
            odds.
    """
    return config_from(GPTConfig, values, "gpt")


def config_values(config: GPTConfig) -> dict[str, bool | int | float | str]:
    """Return the fields as plain values, in the order of their declaration."""
    return dict(vars(config))  # all are plain: `asdict` would copy each deeply, in far more time


def fields_with(*, role: str | None = None, stage: str | None = None) -> tuple[str, ...]:
    """Names of the fields with this role, or first read by this stage."""
    return tuple(
        item.name
        for item in fields(GPTConfig)
        if role in (None, item.metadata["role"]) and stage in (None, item.metadata["stage"])
    )


# Bounds are wide: they keep a stranger's file from asking for a model no machine can hold.
_RANGES: dict[str, tuple[float, float]] = {
    "num_layers": (1, 256),
    "model_dim": (2, 16384),
    "mlp_mult": (0.125, 64),
    "num_heads": (1, 256),
    "num_kv_heads": (1, 256),
    "vocab_size": (2, 65536),
    "bigram_hash": (0, 2**22),
    "bigram_dim": (1, 16384),
    "xsa_layers": (0, 256),
    "value_embedding_dim": (1, 16384),
    "value_embedding_layers": (1, 256),
    "parallel_layers": (1, 256),
    "recurrence_layers": (1, 256),
    "recurrence_passes": (2, 16),
    "recurrence_start": (0, 0.9),
    "barlow_weight": (0, 1e3),
    "train_seq_len": (1, 131072),
    "train_batch_tokens": (1, 2**26),
    "muon_ns_steps": (1, 20),
    "rope_base": (1, 1e9),
    "logit_softcap": (1e-3, 1e3),
    "qk_gain": (0, 1e3),
    "embed_init_std": (0, 10),
    "matrix_lr": (0, 10),
    "tied_embed_lr": (0, 10),
    "embed_lr": (0, 10),
    "head_lr": (0, 10),
    "scalar_lr": (0, 10),
    "muon_momentum": (0, 0.9999),
    "muon_momentum_warmup_start": (0, 0.9999),
    "beta1": (0, 0.9999),
    "beta2": (0, 0.99999),
    "adam_eps": (1e-20, 1),
    "weight_decay": (0, 10),
    "grad_clip": (0, 1e6),
    "iterations": (1, 10**8),
    "warmup_iters": (0, 10**8),
    "warmdown_iters": (0, 10**8),
    "muon_momentum_warmup_steps": (0, 10**8),
    "val_tokens": (1, 2**34),
    "val_points": (1, 10000),
    "qat_below": (0, 1),
    "qat_k": (0, 1e3),
    "selective_margin": (0, 1e3),
    "mtp_margin": (0, 1e3),
    "embedding_mask_margin": (0, 1e3),
    "warmdown_frac": (0, 1),
    "train_data_tokens": (0, 2**40),
    "mtp_weight": (0, 10),
    "mtp_start": (0, 1),
    "token_dropout": (0, 0.9),
    "corrupted_context": (0, 1),
    "position_loss": (-1, 1),
    "sliding_window_eval": (0, 131072),
    "ttt_lr": (0, 10),
    "ttt_epochs": (1, 100),
    "ttt_chunk_tokens": (1, 2**34),
    "lora_lr": (0, 10),
    "lora_rank": (1, 1024),
    "lora_chunk_tokens": (1, 131072),
    "quant_k": (0, 1e3),
    "distill_steps": (0, 10**6),
    "lqer_rank": (1, 256),
    "lqer_count": (1, 4096),
    "calibration_tokens": (1, 2**24),
    "artifact_cap": (0, 2**30),
}


def _check_rules(config: GPTConfig) -> None:
    check_ranges(config, _RANGES)
    for name, levels in (
        ("activation", (*ACTIVATIONS, *MLP_KINDS)),
        ("rope_dims", ROPE_DIMS),
        ("quant_bits", QUANT_BITS),
        ("qat_bits", QAT_BITS),
        ("quant_group", (0, 64)),
        ("gptq", GPTQ),
        ("calibration", CALIBRATION),
        ("compressor", COMPRESSORS),
        ("ema", (0.0, *EMA_DECAYS)),
        ("optimizer", OPTIMIZERS),
        ("ttt", TTT),
    ):
        known = f"{name} in {{{', '.join(map(str, levels))}}}"
        require(getattr(config, name) in levels, known, config, name)
    for rule, holds, names in (
        (
            "model_dim % (2 * num_heads) == 0",  # whole heads, each halved by the rotation
            config.model_dim % (2 * config.num_heads) == 0,
            ("model_dim", "num_heads"),
        ),
        (
            "num_heads % num_kv_heads == 0",
            config.num_heads % config.num_kv_heads == 0,
            ("num_heads", "num_kv_heads"),
        ),
        (
            "train_batch_tokens % train_seq_len == 0",
            config.train_batch_tokens % config.train_seq_len == 0,
            ("train_batch_tokens", "train_seq_len"),
        ),
        (
            "xsa_layers <= num_layers",
            config.xsa_layers <= config.num_layers,
            ("xsa_layers", "num_layers"),
        ),
        (
            "bigram_hash != 1",  # one bucket is for the first position alone
            config.bigram_hash != 1,
            ("bigram_hash",),
        ),
        (
            "val_points <= iterations",
            config.val_points <= config.iterations,
            ("val_points", "iterations"),
        ),
        (
            "at most one of gptq = lite, sdclip, curvature_steps",  # each is a rule for the steps
            (config.gptq == "lite") + config.sdclip + config.curvature_steps <= 1,
            ("gptq", "sdclip", "curvature_steps"),
        ),
        (
            "artifact_cap == 0 or sdclip or curvature_steps",  # else there is no knob to turn
            config.artifact_cap == 0 or config.sdclip or config.curvature_steps,
            ("artifact_cap", "sdclip", "curvature_steps"),
        ),
        (
            "quant_group == 0 or not curvature_steps",
            config.quant_group == 0 or not config.curvature_steps,
            ("quant_group", "curvature_steps"),
        ),
        (
            "qat_bits == quant_bits if qat",  # it trains on the grid that is exported
            not config.qat or config.qat_bits == config.quant_bits,
            ("qat", "qat_bits", "quant_bits"),
        ),
        (
            "qat and curvature_steps if qat_k, and nothing else that moves codes or steps",
            config.qat_k == 0  # the grid that was trained on is the grid that is stored
            or (
                config.qat
                and config.curvature_steps
                and config.gptq == "none"
                and config.artifact_cap == 0
                and config.quant_k == 0
                and not (config.awq or config.lqer)
            ),
            ("qat_k", "qat", "curvature_steps", "gptq", "artifact_cap", "quant_k", "awq", "lqer"),
        ),
        (
            "curvature_steps and gptq = full and not lqer if distill_steps",
            config.distill_steps == 0
            or (config.curvature_steps and config.gptq == "full" and not config.lqer),
            ("distill_steps", "curvature_steps", "gptq", "lqer"),
        ),
        (
            "one step per row, at its largest weight, if qat without qat_k",
            not config.qat
            or config.qat_k > 0
            or (
                config.quant_group == 0
                and config.gptq != "lite"
                and not (config.sdclip or config.curvature_steps or config.awq or config.lqer)
            ),
            ("quant_group", "gptq", "sdclip", "curvature_steps", "awq", "lqer"),
        ),
        (
            "curriculum_scores is 32 hex digits or empty",  # it becomes a file's name
            re.fullmatch(r"([0-9a-f]{32})?", config.curriculum_scores) is not None,
            ("curriculum_scores",),
        ),
        (
            "curriculum or not curriculum_scores",
            config.curriculum or not config.curriculum_scores,
            ("curriculum", "curriculum_scores"),
        ),
        ("ema == 0 or not swa", config.ema == 0 or not config.swa, ("ema", "swa")),
        (
            "ttt != lora or not sliding_window_eval",  # its windows follow the documents
            config.ttt != "lora" or not config.sliding_window_eval,
            ("ttt", "sliding_window_eval"),
        ),
        (
            "train_data_tokens == 0 or train_data_tokens > train_seq_len",
            config.train_data_tokens == 0 or config.train_data_tokens > config.train_seq_len,
            ("train_data_tokens", "train_seq_len"),
        ),
        (
            "sliding_window_eval <= train_seq_len",
            config.sliding_window_eval <= config.train_seq_len,
            ("sliding_window_eval", "train_seq_len"),
        ),
    ):
        require(holds, rule, config, *names)
