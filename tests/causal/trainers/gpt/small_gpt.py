"""A GPT small enough to be quantized in a moment, for tests of what is done to its weights."""

import numpy as np

from trainers.gpt.init import initial_weights

SMALL = {
    "num_layers": 2,
    "model_dim": 32,
    "num_heads": 4,
    "num_kv_heads": 2,
    "vocab_size": 300,
    "train_seq_len": 16,
    "train_batch_tokens": 64,
    "iterations": 4,
    "val_points": 1,
    "calibration_tokens": 256,
}


def weights_of(config):
    """Initial weights with noise, so that none are zero or alike."""
    draw = np.random.default_rng(1).standard_normal
    start = initial_weights(config, seed=0).items()
    return {name: v + np.float32(0.1) * draw(v.shape, np.float32) for name, v in start}
