"""Reductions of the GPT by name: the fields in which each differs from the full baseline."""

from __future__ import annotations

from trainers.api import ConfigValue

SCALES: dict[str, dict[str, ConfigValue]] = {
    "baseline": {},
    # For minutes on a laptop: 47,400 parameters seeing 24 tokens each. That ratio, not size, is
    # what lets a screen predict, so the model is small. Widths × 0.75 and × 1.25 are exact. A run
    # took 16 s here on one of two busy CPU threads. Half the batch at the same tokens was better
    # in bpb (2.40 against 2.45) and steadier over seeds (sd 0.004 against 0.016, four seeds); a
    # change of no consequence (softcap 30.01) moved a run by 0.0024 (sd of four differences).
    # Upstream's learning rates stand: halved or doubled they were no better at width 48.
    "fast": {
        "num_layers": 2,
        "model_dim": 32,
        "num_heads": 4,
        "num_kv_heads": 2,
        "train_seq_len": 128,
        "train_batch_tokens": 2048,
        "iterations": 560,
        "warmdown_iters": 224,
        "muon_momentum_warmup_steps": 60,
        "val_tokens": 32768,
        "val_points": 8,
    },
    # For an hour on a laptop or minutes on a GPU: 123,464 parameters seeing 80 tokens each.
    "standard": {
        "num_layers": 2,
        "model_dim": 64,
        "num_heads": 4,
        "num_kv_heads": 2,
        "train_seq_len": 256,
        "train_batch_tokens": 4096,
        "iterations": 2400,
        "warmdown_iters": 800,
        "muon_momentum_warmup_steps": 150,
        "val_tokens": 65536,
        "val_points": 16,
    },
    # For tests: a run in a quarter of a second. Its results mean nothing.
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
