"""The fields of a run: upstream's defaults, one form per value, and errors that say the rule."""

from dataclasses import fields

import pytest

from interventions.vocabulary import load_variables
from scripts.causal.files import InputError
from trainers.gpt.config import (
    ACTIVATIONS,
    COMPRESSORS,
    MLP_KINDS,
    OPTIMIZERS,
    QUANT_BITS,
    ROPE_DIMS,
    TTT,
    GPTConfig,
    config_values,
    fields_with,
    gpt_config,
)
from trainers.gpt.cost import training_flops_per_step
from trainers.gpt.init import parameter_count


def test_defaults_are_the_vocabularys_baseline():
    variables, config = load_variables(), config_values(GPTConfig())
    shared = set(variables) & set(config)
    assert len(shared) >= 21
    assert {name: config[name] for name in shared} == {
        name: variables[name].baseline for name in shared
    }


def test_fields_outside_the_vocabulary_are_the_known_ones():
    assert set(config_values(GPTConfig())) - set(load_variables()) == {
        "iterations",
        "warmup_iters",
        "muon_momentum_warmup_start",
        "muon_momentum_warmup_steps",
        "train_data_tokens",
        "muon_ns_steps",
        *("quant_k", "qat_bits", "qat_k", "lqer_rank", "lqer_count", "artifact_cap"),
        *("awq", "quant_group", "curvature_steps", "trellis_states", "distill_steps"),
        *("calibration", "calibration_tokens"),
        "bigram_dim",
        "value_embedding_dim",
        "value_embedding_layers",
        "parallel_layers",
        "recurrence_layers",
        "recurrence_passes",
        "recurrence_start",
        "barlow_weight",
        "tied_embed_lr",
        "embed_lr",
        "head_lr",
        "scalar_lr",
        "beta1",
        "beta2",
        "adam_eps",
        "embed_init_std",
        "val_tokens",
        "val_points",
        "curriculum_scores",
        "selective_margin",
        "mtp_margin",
        "embedding_mask_margin",
        "warmdown_frac",
        "qat_below",
        "mtp_weight",
        "mtp_start",
        "token_dropout_graduated",
        "corrupted_context_graduated",
        "ttt_lr",
        "ttt_epochs",
        "ttt_chunk_tokens",
        "lora_lr",
        "lora_rank",
        "lora_chunk_tokens",
    }


def test_levels_are_levels_of_the_vocabulary():
    variables = load_variables()
    assert {*ACTIVATIONS, *MLP_KINDS} <= set(variables["activation"].levels)
    assert set(ROPE_DIMS) == set(variables["rope_dims"].levels)
    assert set(QUANT_BITS) <= set(variables["quant_bits"].levels)
    assert set(OPTIMIZERS) <= set(variables["optimizer"].levels)
    assert set(TTT) <= set(variables["ttt"].levels)
    assert set(COMPRESSORS) <= set(variables["compressor"].levels)


def test_baseline_has_the_published_number_of_parameters():
    assert parameter_count(GPTConfig()) == 17_059_912


def test_flops_of_the_baseline():
    # 6 · (17,059,912 + 9 · 512 · 1024) FLOPs for each of 524,288 tokens
    assert training_flops_per_step(GPTConfig()) == 6 * 21_778_504 * 524_288


def test_every_field_has_a_stage_and_a_role():
    stages = {item.metadata["stage"] for item in fields(GPTConfig)}
    assert stages == {"train", "average", "quantize", "evaluate"}
    roles = {
        role: fields_with(role=role) for role in ("architecture", "hyperparameter", "schedule")
    }
    assert sum(map(len, roles.values())) == len(fields(GPTConfig))
    assert "activation" in roles["architecture"]
    assert "logit_softcap" in roles["hyperparameter"]
    quantizing = fields_with(stage="quantize")
    assert (quantizing[0], quantizing[-1], len(quantizing)) == ("quant_bits", "artifact_cap", 16)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"num_kv_heads": 3},
            "`num_heads % num_kv_heads == 0` must hold, but got num_heads=8, num_kv_heads=3",
        ),
        (
            {"model_dim": 520},
            "`model_dim % (2 * num_heads) == 0` must hold, but got model_dim=520, num_heads=8",
        ),
        ({"activation": "reglu"}, "got activation='reglu'"),
        ({"xsa_layers": 10}, "`xsa_layers <= num_layers` must hold"),
        ({"bigram_hash": 1}, "`bigram_hash != 1` must hold"),
        ({"rope_dims": "half"}, "`rope_dims in {full, partial}` must hold"),
        ({"train_seq_len": 1000}, "`train_batch_tokens % train_seq_len == 0` must hold"),
        ({"num_layers": 0}, "`1 <= num_layers <= 256` must hold, but got num_layers=0"),
        ({"num_layers": 2.5}, "`num_layers` must be a whole number, but got num_layers=2.5"),
        ({"num_layers": True}, "`num_layers` must be a whole number, but got num_layers=True"),
        ({"unet_skips": 1}, "`unet_skips` must be true or false"),
        ({"matrix_lr": "fast"}, "`matrix_lr` must be a number, but got matrix_lr='fast'"),
        ({"matrix_lr": float("nan")}, "`matrix_lr` must be finite"),
        ({"iterations": 5, "val_points": 6}, "`val_points <= iterations` must hold"),
        ({"model_dims": 512}, "no field 'model_dims'"),
    ],
)
def test_what_cannot_be_built_is_refused_with_rule_and_values(values, message):
    with pytest.raises(InputError) as error:
        gpt_config(values)
    assert message in str(error.value)


def test_a_value_has_one_form_wherever_it_came_from():
    config = gpt_config({"mlp_mult": 3, "num_layers": 4.0, "logit_softcap": 20})
    assert config == GPTConfig(mlp_mult=3.0, num_layers=4, logit_softcap=20.0)
    assert isinstance(config.num_layers, int)
    assert isinstance(config.mlp_mult, float)
    assert gpt_config(config_values(config)) == config


def test_derived_shapes():
    config = gpt_config({"num_layers": 9, "mlp_mult": 1.5})
    assert (config.head_dim, config.mlp_hidden, config.num_skips) == (64, 768, 4)
    assert gpt_config({"unet_skips": False}).num_skips == 0
