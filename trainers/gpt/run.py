"""What a configuration means to the loop: its schedule, its batches and its validation.

Shared by the trainer and by the program inside a submission, so that both run the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from trainers.adaptation import (
    DocumentAdapters,
    ScoreFirst,
    evaluate_documents,
    evaluate_score_first,
)
from trainers.batches import Batches, first_tokens
from trainers.data import DataSet
from trainers.difficulty import read_difficulty
from trainers.engine import Engine
from trainers.evaluation import Score, Tally, Validation, evaluate, side_by_side
from trainers.gpt.config import GPTConfig
from trainers.gpt.objectives import Alterations
from trainers.loop import Schedule

EVAL_BATCH_TOKENS = 65536
Progress = Callable[[float], None]


def schedule_of(config: GPTConfig, seed: int = 0) -> Schedule:
    """The loop's view of a configuration; the seed decides what is done to which batch."""
    return Schedule(
        iterations=config.iterations,
        warmup_iters=config.warmup_iters,
        warmdown_iters=round(config.warmdown_frac * config.iterations) or config.warmdown_iters,
        momentum=config.muon_momentum,
        momentum_start=config.muon_momentum_warmup_start,
        momentum_steps=config.muon_momentum_warmup_steps,
        val_points=config.val_points,
        qat_below=config.qat_below if config.qat else 0.0,
        mtp_weight=config.mtp_weight if config.mtp else 0.0,
        mtp_start=config.mtp_start,
        alterations=Alterations(config, seed),
        recurrence_start=config.recurrence_start if config.depth_recurrence else 0.0,
    )


def batches_of(config: GPTConfig, data: DataSet, seed: int) -> Batches:
    """The training batches in the order of this seed.

    Raises:
        InputError: the curriculum's scores are missing or do not fit.
    """
    scores, time, tokens = config.curriculum_scores, config.train_seq_len, data.train_tokens()
    return Batches(
        first_tokens(tokens, config.train_data_tokens) if config.train_data_tokens else tokens,
        time,
        config.train_batch_tokens,
        seed,
        vocab_size=config.vocab_size,
        easy_first=config.iterations * config.batch_sequences if config.curriculum else 0,
        difficulty=read_difficulty(data, time, scores) if scores else None,
    )


def final_score(
    engine: Engine,
    config: GPTConfig,
    data: DataSet,
    progress: Progress | None = None,
    tally: Tally | None = None,
) -> Score:
    """The evaluation that the configuration asks for, on all of validation.

    The engine's weights may end up adapted.

    Args:
        tally: where the losses are counted; None for a new one.
    """
    plain = validation_of(config, data)
    validation = dataclasses.replace(plain, stride=config.sliding_window_eval)
    if config.ttt == "score_first":
        method = ScoreFirst(
            lr=config.ttt_lr, epochs=config.ttt_epochs, chunk_tokens=config.ttt_chunk_tokens
        )
        # No batch of windows may reach past a chunk that is to be learnt from first.
        new = config.sliding_window_eval or config.train_seq_len
        together = max(1, min(validation.batch_sequences, config.ttt_chunk_tokens // new))
        validation = dataclasses.replace(validation, batch_sequences=together)
        return evaluate_score_first(engine, validation, method, progress, tally)
    if config.ttt == "lora":
        adapters = DocumentAdapters(
            lr=config.lora_lr, rank=config.lora_rank, chunk_tokens=config.lora_chunk_tokens
        )
        return evaluate_documents(engine, validation, adapters, progress, tally)
    return evaluate(engine, validation, progress, tally)


def evaluates_plainly(config: GPTConfig) -> bool:
    """Whether the final evaluation is of sequences side by side, by fixed weights."""
    return config.ttt == "none" and not config.sliding_window_eval


def validation_of(config: GPTConfig, data: DataSet, max_tokens: int | None = None) -> Validation:
    """All validation tokens, or the first `max_tokens`, in sequences side by side.

    What training gave is measured on it, in every run alike.
    """
    return side_by_side(data, config.train_seq_len, EVAL_BATCH_TOKENS, max_tokens)
