"""Reductions of the GPT by name: the fields in which each differs from the full baseline."""

from __future__ import annotations

from trainers.api import ConfigValue

SCALES: dict[str, dict[str, ConfigValue]] = {
    "baseline": {},
    # For minutes on a laptop: 81,844 parameters seeing 20 tokens each. That ratio, not size, is
    # what lets a screen predict, so the model is small; at 32 channels a run costs half, but the
    # differences of paired runs scatter twice as much (sd 0.009 bpb against 0.004). A run took
    # 15 s on one CPU thread here with bfloat16 products. Two heads make widths × 0.75 and × 1.25
    # exact. Upstream's learning rates stand: halved or doubled they were no better at one seed.
    "fast": {
        "num_layers": 2,
        "model_dim": 48,
        "num_heads": 2,
        "num_kv_heads": 1,
        "train_seq_len": 128,
        "train_batch_tokens": 4096,
        "iterations": 400,
        "warmdown_iters": 160,
        "muon_momentum_warmup_steps": 50,
        "val_tokens": 16384,
        "val_points": 10,
    },
    # Three rungs below "standard" at its 80 tokens per parameter: 20,116, 47,396 and 81,844
    # parameters. An effect that keeps its sign from rung to rung is one that may be carried
    # further. The least takes a third of the time of the next.
    "mini": {
        "num_layers": 2,
        "model_dim": 16,
        "num_heads": 2,
        "num_kv_heads": 1,
        "train_seq_len": 128,
        "train_batch_tokens": 4096,
        "iterations": 393,
        "warmdown_iters": 131,
        "muon_momentum_warmup_steps": 25,
        "val_tokens": 32768,
        "val_points": 16,
    },
    "small": {
        "num_layers": 2,
        "model_dim": 32,
        "num_heads": 2,
        "num_kv_heads": 1,
        "train_seq_len": 128,
        "train_batch_tokens": 4096,
        "iterations": 926,
        "warmdown_iters": 309,
        "muon_momentum_warmup_steps": 58,
        "val_tokens": 32768,
        "val_points": 16,
    },
    "medium": {
        "num_layers": 2,
        "model_dim": 48,
        "num_heads": 2,
        "num_kv_heads": 1,
        "train_seq_len": 128,
        "train_batch_tokens": 4096,
        "iterations": 1600,
        "warmdown_iters": 533,
        "muon_momentum_warmup_steps": 100,
        "val_tokens": 32768,
        "val_points": 16,
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
    # Deep and narrow, for ranking changes of the model: 114,536 parameters seeing 28 tokens each.
    # Here, in large batches of short sequences at three quarters of upstream's learning rates,
    # activations and softcaps differ as they do at full size; in two layers SiLU and GELU do as
    # well as relu² (benchmarks/fidelity.py).
    "deep": {
        "num_layers": 4,
        "model_dim": 48,
        "num_heads": 2,
        "num_kv_heads": 1,
        "train_seq_len": 64,
        "train_batch_tokens": 8192,
        "iterations": 391,
        "warmdown_iters": 130,
        "muon_momentum_warmup_steps": 24,
        "matrix_lr": 0.03,
        "tied_embed_lr": 0.0375,
        "scalar_lr": 0.03,
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
