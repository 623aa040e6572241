"""Reductions of the family by name: the fields in which each differs from what was published."""

from __future__ import annotations

from trainers.api import ConfigValue
from trainers.vocab_space.config import OWN_RATE

SCALES: dict[str, dict[str, ConfigValue]] = {
    "published": {},
    # Minutes on a laptop for all seventeen. Every step of the model is there, and every word, and
    # the 100 optimizer steps that the best was published with; what shrinks is the batch, the
    # context and what is evaluated. Here alone each architecture has its own rate: it was measured
    # with these batches and steps.
    "fast": {
        "learning_rate": OWN_RATE,
        "train_seq_len": 128,
        "train_batch_tokens": 256,
        "iterations": 100,
        "warmup_iters": 5,
        "val_tokens": 1024,
        "val_points": 4,
        "final_tokens": 8192,
    },
    # For tests: its results mean nothing.
    "tiny": {
        "num_steps": 2,
        "train_seq_len": 16,
        "train_batch_tokens": 64,
        "iterations": 4,
        "warmup_iters": 1,
        "val_tokens": 256,
        "val_points": 2,
    },
}
