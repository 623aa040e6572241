"""What must hold between the fields of `trainers.gpt.config.GPTConfig`."""

from __future__ import annotations

import re

from trainers.fields import TRAINING_RULES, Rule

_SHAPES = (
    Rule(
        "model_dim % (2 * num_heads) == 0",  # whole heads, each halved by the rotation
        ("model_dim", "num_heads"),
        lambda config: config.model_dim % (2 * config.num_heads) == 0,
    ),
    Rule(
        "num_heads % num_kv_heads == 0",
        ("num_heads", "num_kv_heads"),
        lambda config: config.num_heads % config.num_kv_heads == 0,
    ),
    Rule(
        "xsa_layers <= num_layers",
        ("xsa_layers", "num_layers"),
        lambda config: config.xsa_layers <= config.num_layers,
    ),
    Rule(
        "bigram_hash != 1",  # one bucket is for the first position alone
        ("bigram_hash",),
        lambda config: config.bigram_hash != 1,
    ),
)
_TRAINING = (
    Rule(
        "curriculum_scores is 32 hex digits or empty",  # it becomes a file's name
        ("curriculum_scores",),
        lambda config: re.fullmatch(r"([0-9a-f]{32})?", config.curriculum_scores) is not None,
    ),
    Rule(
        "curriculum or not curriculum_scores",
        ("curriculum", "curriculum_scores"),
        lambda config: config.curriculum or not config.curriculum_scores,
    ),
    Rule(
        "train_data_tokens == 0 or train_data_tokens > train_seq_len",
        ("train_data_tokens", "train_seq_len"),
        lambda config: (
            config.train_data_tokens == 0 or config.train_data_tokens > config.train_seq_len
        ),
    ),
    Rule("ema == 0 or not swa", ("ema", "swa"), lambda config: config.ema == 0 or not config.swa),
)
_QUANTIZATION = (
    Rule(
        "at most one of gptq = lite, sdclip, curvature_steps",  # each is a rule for the steps
        ("gptq", "sdclip", "curvature_steps"),
        lambda config: (config.gptq == "lite") + config.sdclip + config.curvature_steps <= 1,
    ),
    Rule(
        "artifact_cap == 0 or sdclip or curvature_steps",  # else there is no knob to turn
        ("artifact_cap", "sdclip", "curvature_steps"),
        lambda config: config.artifact_cap == 0 or config.sdclip or config.curvature_steps,
    ),
    Rule(
        "quant_group == 0 or not curvature_steps",
        ("quant_group", "curvature_steps"),
        lambda config: config.quant_group == 0 or not config.curvature_steps,
    ),
    Rule(
        "trellis_states == 0 or curvature_steps and qat_k == 0",
        ("trellis_states", "curvature_steps", "qat_k"),
        lambda config: (
            config.trellis_states == 0 or (config.curvature_steps and config.qat_k == 0)
        ),
    ),
    Rule(
        "qat_bits == quant_bits if qat",  # it trains on the grid that is exported
        ("qat", "qat_bits", "quant_bits"),
        lambda config: not config.qat or config.qat_bits == config.quant_bits,
    ),
    Rule(
        "qat and curvature_steps if qat_k, and nothing else that moves codes or steps",
        ("qat_k", "qat", "curvature_steps", "gptq", "artifact_cap", "quant_k", "awq", "lqer"),
        lambda config: (
            config.qat_k == 0  # the grid that was trained on is the grid that is stored
            or (
                config.qat
                and config.curvature_steps
                and config.gptq == "none"
                and config.artifact_cap == 0
                and config.quant_k == 0
                and not (config.awq or config.lqer)
            )
        ),
    ),
    Rule(
        "curvature_steps and gptq = full and not lqer if distill_steps",
        ("distill_steps", "curvature_steps", "gptq", "lqer"),
        lambda config: (
            config.distill_steps == 0
            or (config.curvature_steps and config.gptq == "full" and not config.lqer)
        ),
    ),
    Rule(
        "one step per row, at its largest weight, if qat without qat_k",
        ("quant_group", "gptq", "sdclip", "curvature_steps", "awq", "lqer"),
        lambda config: (
            not config.qat
            or config.qat_k > 0
            or (
                config.quant_group == 0
                and config.gptq != "lite"
                and not (config.sdclip or config.curvature_steps or config.awq or config.lqer)
            )
        ),
    ),
)
_EVALUATION = (
    Rule(
        "ttt != lora or not sliding_window_eval",  # its windows follow the documents
        ("ttt", "sliding_window_eval"),
        lambda config: config.ttt != "lora" or not config.sliding_window_eval,
    ),
    Rule(
        "sliding_window_eval <= train_seq_len",
        ("sliding_window_eval", "train_seq_len"),
        lambda config: config.sliding_window_eval <= config.train_seq_len,
    ),
)
RULES = (*_SHAPES, *TRAINING_RULES, *_TRAINING, *_QUANTIZATION, *_EVALUATION)
