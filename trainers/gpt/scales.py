"""Reductions of the GPT by name: the fields in which each differs from the full baseline."""

from __future__ import annotations

from trainers.api import ConfigValue

SCALES: dict[str, dict[str, ConfigValue]] = {
    "baseline": {},
    "fast": {
        "num_layers": 2,
        "model_dim": 48,
        "num_heads": 4,
        "num_kv_heads": 2,
        "train_seq_len": 128,
        "train_batch_tokens": 4096,
        "iterations": 400,
        "warmdown_iters": 160,
        "muon_momentum_warmup_steps": 50,
        "val_tokens": 32768,
        "val_points": 10,
    },
    "tiny": {
        "num_layers": 2,
        "model_dim": 32,
        "num_heads": 4,
        "num_kv_heads": 2,
        "train_seq_len": 32,
        "train_batch_tokens": 512,
        "iterations": 20,
        "warmdown_iters": 10,
        "muon_momentum_warmup_steps": 5,
        "val_tokens": 1024,
        "val_points": 4,
    },
}
