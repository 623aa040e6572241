"""Initial weights: the baseline's distributions, and shared by arms wherever shapes agree."""

import numpy as np

from trainers.gpt.config import gpt_config
from trainers.gpt.init import (
    EMBEDDING,
    MATRIX,
    SCALAR,
    initial_weights,
    parameter_count,
    parameter_group,
    parameter_shapes,
    rotary_table,
)

SMALL = {
    "num_layers": 3,
    "model_dim": 64,
    "num_heads": 4,
    "num_kv_heads": 2,
    "vocab_size": 256,
    "train_seq_len": 16,
    "train_batch_tokens": 64,
}


def test_arms_share_every_parameter_that_both_have():
    control = initial_weights(gpt_config(SMALL), seed=3)
    for change in (
        {"num_layers": 4},
        {"mlp_mult": 4.0},
        {"num_kv_heads": 4},
        {"activation": "gelu", "logit_softcap": 20.0},
        {"unet_skips": False},
    ):
        treatment = initial_weights(gpt_config({**SMALL, **change}), seed=3)
        shared = [n for n in control if n in treatment and treatment[n].shape == control[n].shape]
        assert len(shared) >= len(control) - 9
        for name in shared:
            assert np.array_equal(control[name], treatment[name]), (change, name)


def test_seeds_and_layers_differ():
    first, second = (initial_weights(gpt_config(SMALL), seed=seed) for seed in (0, 1))
    assert not np.array_equal(first["embed"], second["embed"])
    assert not np.array_equal(first["blocks.0.attn.q"], first["blocks.1.attn.q"])


def test_distributions():
    weights = initial_weights(gpt_config({**SMALL, "qk_gain": 2.5}), seed=0)
    assert abs(weights["embed"].std() - 0.005) < 0.0002
    assert abs(weights["embed"].mean()) < 0.0002
    for name, fan_in in (("attn.q", 64), ("attn.v", 64), ("mlp.fc", 64)):
        value, bound = weights[f"blocks.0.{name}"], fan_in**-0.5
        assert 0.95 * bound < np.abs(value).max() <= bound
        assert abs(value.std() - bound / 3**0.5) < 0.05 * bound
    assert not weights["blocks.2.attn.proj"].any()
    assert not weights["blocks.2.mlp.proj"].any()
    assert (weights["blocks.1.attn.q_gain"] == 2.5).all()
    assert (weights["blocks.1.resid_mix"] == np.array([[1.0], [0.0]])).all()
    for name in ("skip_weights", "blocks.0.attn_scale", "blocks.0.mlp_scale"):
        assert (weights[name] == 1).all()


def test_shapes_count_and_groups():
    config = gpt_config(SMALL)
    weights, shapes = initial_weights(config, seed=0), parameter_shapes(config)
    assert {name: value.shape for name, value in weights.items()} == shapes
    assert all(value.dtype == np.float32 for value in weights.values())
    assert sum(value.size for value in weights.values()) == parameter_count(config)
    assert parameter_group("embed") == EMBEDDING
    assert [n for n in shapes if n.startswith("blocks.0") and parameter_group(n) == MATRIX] == [
        "blocks.0.attn.q",
        "blocks.0.attn.k",
        "blocks.0.attn.v",
        "blocks.0.attn.proj",
        "blocks.0.mlp.fc",
        "blocks.0.mlp.proj",
    ]
    assert parameter_group("skip_weights") == parameter_group("blocks.1.resid_mix") == SCALAR


def test_one_layer_has_no_skips():
    assert "skip_weights" not in parameter_shapes(gpt_config({**SMALL, "num_layers": 1}))


def test_rotary_table_turns_each_pair_at_its_own_rate():
    cos, sin = rotary_table(gpt_config({**SMALL, "rope_base": 10000.0}))
    assert cos.shape == sin.shape == (16, 8)
    assert np.allclose(cos**2 + sin**2, 1)
    assert np.isclose(sin[3, 0], np.sin(3.0))
    assert np.isclose(sin[3, 4], np.sin(3.0 / 100))
