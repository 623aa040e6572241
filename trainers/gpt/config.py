"""Every field of a GPT run, named as in the vocabulary of causal variables where it has one.

The defaults are the upstream naive baseline: 9 layers of 512 channels, 17,059,912 parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from trainers.averaging import EMA_DECAYS, SWA, ema
from trainers.fields import ARCHITECTURE, HYPERPARAMETER, SCHEDULE, check, config_from, setting
from trainers.gpt.config_rules import RULES

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


@dataclass(frozen=True)
class GPTConfig:
    """One run of the parameter-golf GPT, complete.

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
        trellis_states: of the trellis that makes those steps' grids finer at the same bits; 0 for
            none (`trainers.quantize.trellis`).
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
    num_layers: int = setting(9, ARCHITECTURE, within=(1, 256))
    model_dim: int = setting(512, ARCHITECTURE, within=(2, 16384))
    mlp_mult: float = setting(2.0, ARCHITECTURE, within=(0.125, 64))
    num_heads: int = setting(8, ARCHITECTURE, within=(1, 256))
    num_kv_heads: int = setting(4, ARCHITECTURE, within=(1, 256))
    vocab_size: int = setting(1024, ARCHITECTURE, within=(2, 65536))
    train_seq_len: int = setting(1024, ARCHITECTURE, within=(1, 131072))
    train_batch_tokens: int = setting(524288, ARCHITECTURE, within=(1, 2**26))
    activation: str = setting("relu_sq", ARCHITECTURE, among=(*ACTIVATIONS, *MLP_KINDS))
    bigram_hash: int = setting(0, ARCHITECTURE, within=(0, 2**22))
    bigram_dim: int = setting(112, ARCHITECTURE, within=(1, 16384))
    smear_gate: bool = setting(False, ARCHITECTURE)
    xsa_layers: int = setting(0, ARCHITECTURE, within=(0, 256))
    value_residual: bool = setting(False, ARCHITECTURE)
    value_embedding: bool = setting(False, ARCHITECTURE)
    value_embedding_dim: int = setting(128, ARCHITECTURE, within=(1, 16384))
    value_embedding_layers: int = setting(2, ARCHITECTURE, within=(1, 256))
    gated_attention: bool = setting(False, ARCHITECTURE)
    ln_scale: bool = setting(False, ARCHITECTURE)
    parallel_residuals: bool = setting(False, ARCHITECTURE)
    parallel_layers: int = setting(4, ARCHITECTURE, within=(1, 256))
    depth_recurrence: bool = setting(False, ARCHITECTURE)
    recurrence_layers: int = setting(3, ARCHITECTURE, within=(1, 256))
    recurrence_passes: int = setting(2, ARCHITECTURE, within=(2, 16))
    unet_skips: bool = setting(True, ARCHITECTURE)
    tied_embeddings: bool = setting(True, ARCHITECTURE)
    optimizer: str = setting("muon", ARCHITECTURE, among=OPTIMIZERS)
    qat_bits: str = setting("int8", ARCHITECTURE, among=QAT_BITS)
    selective_loss: bool = setting(False, ARCHITECTURE)
    mtp: bool = setting(False, ARCHITECTURE)
    embedding_mask: bool = setting(False, ARCHITECTURE)
    muon_ns_steps: int = setting(5, ARCHITECTURE, within=(1, 20))

    # Hyperparameters of the model and the optimizer.
    rope_base: float = setting(10000.0, HYPERPARAMETER, within=(1, 1e9))
    rope_dims: str = setting("full", HYPERPARAMETER, among=ROPE_DIMS)
    barlow_weight: float = setting(0.01, HYPERPARAMETER, within=(0, 1e3))
    logit_softcap: float = setting(30.0, HYPERPARAMETER, within=(1e-3, 1e3))
    qk_gain: float = setting(1.5, HYPERPARAMETER, within=(0, 1e3))
    embed_init_std: float = setting(0.005, HYPERPARAMETER, within=(0, 10))
    matrix_lr: float = setting(0.04, HYPERPARAMETER, within=(0, 10))
    tied_embed_lr: float = setting(0.05, HYPERPARAMETER, within=(0, 10))
    embed_lr: float = setting(0.6, HYPERPARAMETER, within=(0, 10))
    head_lr: float = setting(0.008, HYPERPARAMETER, within=(0, 10))
    scalar_lr: float = setting(0.04, HYPERPARAMETER, within=(0, 10))
    muon_momentum: float = setting(0.95, HYPERPARAMETER, within=(0, 0.9999))
    beta1: float = setting(0.9, HYPERPARAMETER, within=(0, 0.9999))
    beta2: float = setting(0.95, HYPERPARAMETER, within=(0, 0.99999))
    adam_eps: float = setting(1e-8, HYPERPARAMETER, within=(1e-20, 1))
    weight_decay: float = setting(0.0, HYPERPARAMETER, within=(0, 10))
    grad_clip: float = setting(0.0, HYPERPARAMETER, within=(0, 1e6))
    selective_margin: float = setting(2.0, HYPERPARAMETER, within=(0, 1e3))
    mtp_margin: float = setting(2.0, HYPERPARAMETER, within=(0, 1e3))
    embedding_mask_margin: float = setting(2.0, HYPERPARAMETER, within=(0, 1e3))

    # Schedule.
    iterations: int = setting(20000, SCHEDULE, within=(1, 10**8))
    warmup_iters: int = setting(0, SCHEDULE, within=(0, 10**8))
    warmdown_iters: int = setting(1200, SCHEDULE, within=(0, 10**8))
    warmdown_frac: float = setting(0.0, SCHEDULE, within=(0, 1))
    muon_momentum_warmup_start: float = setting(0.85, SCHEDULE, within=(0, 0.9999))
    muon_momentum_warmup_steps: int = setting(500, SCHEDULE, within=(0, 10**8))
    recurrence_start: float = setting(0.35, SCHEDULE, within=(0, 0.9))
    qat: bool = setting(False, SCHEDULE)
    qat_below: float = setting(0.15, SCHEDULE, within=(0, 1))
    qat_k: float = setting(0.0, SCHEDULE, within=(0, 1e3))
    curriculum: bool = setting(False, SCHEDULE)
    curriculum_scores: str = setting("", SCHEDULE)
    train_data_tokens: int = setting(0, SCHEDULE, within=(0, 2**40))
    token_dropout: float = setting(0.0, SCHEDULE, within=(0, 0.9))
    token_dropout_graduated: bool = setting(False, SCHEDULE)
    corrupted_context: float = setting(0.0, SCHEDULE, within=(0, 1))
    corrupted_context_graduated: bool = setting(False, SCHEDULE)
    position_loss: float = setting(0.0, SCHEDULE, within=(-1, 1))
    mtp_weight: float = setting(0.5, SCHEDULE, within=(0, 10))
    mtp_start: float = setting(0.2, SCHEDULE, within=(0, 1))
    val_tokens: int = setting(1048576, SCHEDULE, within=(1, 2**34))
    val_points: int = setting(20, SCHEDULE, within=(1, 10000))

    # What happens to the trained weights.
    ema: float = setting(0.0, SCHEDULE, stage="average", among=(0.0, *EMA_DECAYS))
    swa: bool = setting(False, SCHEDULE, stage="average")
    quant_bits: str = setting("int8", SCHEDULE, stage="quantize", among=QUANT_BITS)
    quant_group: int = setting(0, SCHEDULE, stage="quantize", among=(0, 64))
    quant_k: float = setting(0.0, SCHEDULE, stage="quantize", within=(0, 1e3))
    gptq: str = setting("none", SCHEDULE, stage="quantize", among=GPTQ)
    sdclip: bool = setting(False, SCHEDULE, stage="quantize")
    curvature_steps: bool = setting(False, SCHEDULE, stage="quantize")
    trellis_states: int = setting(0, SCHEDULE, stage="quantize", among=(0, 4, 8, 16, 32, 64))
    distill_steps: int = setting(0, SCHEDULE, stage="quantize", within=(0, 10**6))
    awq: bool = setting(False, SCHEDULE, stage="quantize")
    lqer: bool = setting(False, SCHEDULE, stage="quantize")
    lqer_rank: int = setting(4, SCHEDULE, stage="quantize", within=(1, 256))
    lqer_count: int = setting(3, SCHEDULE, stage="quantize", within=(1, 4096))
    calibration: str = setting("training", SCHEDULE, stage="quantize", among=CALIBRATION)
    calibration_tokens: int = setting(65536, SCHEDULE, stage="quantize", within=(1, 2**24))
    compressor: str = setting("zlib", SCHEDULE, stage="quantize", among=COMPRESSORS)
    artifact_cap: int = setting(0, SCHEDULE, stage="quantize", within=(0, 2**30))
    sliding_window_eval: int = setting(0, SCHEDULE, stage="evaluate", within=(0, 131072))
    ttt: str = setting("none", SCHEDULE, stage="evaluate", among=TTT)
    ttt_lr: float = setting(0.002, SCHEDULE, stage="evaluate", within=(0, 10))
    ttt_epochs: int = setting(3, SCHEDULE, stage="evaluate", within=(1, 100))
    ttt_chunk_tokens: int = setting(32768, SCHEDULE, stage="evaluate", within=(1, 2**34))
    lora_lr: float = setting(0.04, SCHEDULE, stage="evaluate", within=(0, 10))
    lora_rank: int = setting(8, SCHEDULE, stage="evaluate", within=(1, 1024))
    lora_chunk_tokens: int = setting(256, SCHEDULE, stage="evaluate", within=(1, 131072))

    def __post_init__(self) -> None:
        check(self, RULES)

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
