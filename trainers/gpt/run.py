"""What a configuration means to the loop: its schedule, its batches and its validation.

Shared by the trainer and by the program inside a submission, so that both run the same.
"""

from __future__ import annotations

from trainers.data import Batches, DataSet, token_bytes
from trainers.evaluation import Validation
from trainers.gpt.config import GPTConfig
from trainers.loop import Schedule

EVAL_BATCH_TOKENS = 65536


def schedule_of(config: GPTConfig) -> Schedule:
    """The loop's view of a configuration."""
    return Schedule(
        iterations=config.iterations,
        warmup_iters=config.warmup_iters,
        warmdown_iters=config.warmdown_iters,
        momentum=config.muon_momentum,
        momentum_start=config.muon_momentum_warmup_start,
        momentum_steps=config.muon_momentum_warmup_steps,
        val_points=config.val_points,
        recurrence_start=config.recurrence_start if config.depth_recurrence else 0.0,
    )


def batches_of(config: GPTConfig, data: DataSet, seed: int) -> Batches:
    """The training batches in the order of this seed."""
    return Batches(
        data.train_tokens(),
        config.train_seq_len,
        config.train_batch_tokens,
        seed,
        vocab_size=config.vocab_size,
    )


def validation_of(
    config: GPTConfig, data: DataSet, max_tokens: int | None = None, *, final: bool = False
) -> Validation:
    """All validation tokens, or the first `max_tokens` in whole sequences.

    Args:
        final: as the evaluation stage has it; otherwise sequences side by side, whatever the
            configuration says, so that what training gave is measured alike in every run.
    """
    seq_len = config.train_seq_len
    return Validation(
        tokens=data.val_tokens(),
        table=token_bytes(data.tokenizer),
        seq_len=seq_len,
        batch_sequences=max(1, EVAL_BATCH_TOKENS // seq_len),
        max_sequences=None if max_tokens is None else max(1, max_tokens // seq_len),
        stride=config.sliding_window_eval if final else 0,
    )
