"""The configuration, under its own and its published names."""

import pytest

from scripts.causal.files import InputError
from trainers.vocab_space.config import VocabConfig, from_environment, vocab_config
from trainers.vocab_space.trainer import VocabSpaceTrainer


def test_the_published_setting_is_the_default():
    config = VocabConfig()
    assert (config.vocab_size, config.num_steps) == (1024, 8)
    assert config.train_batch_tokens == 491_520
    assert config.batch_sequences == 480


def test_environment_variables_set_fields():
    found = from_environment(
        {"MODEL_VERSION": "v2_conv", "INTERACTION_RANK": "64", "LEARNING_RATE": "0.02", "X": "1"}
    )
    assert found == {"architecture": "v2_conv", "interaction_rank": 64, "learning_rate": 0.02}


def test_a_variable_that_is_no_number_is_named():
    with pytest.raises(InputError, match=r"\$NUM_STEPS"):
        from_environment({"NUM_STEPS": "many"})


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"architecture": "v99"}, "architecture in"),
        ({"vocab_size": 100}, "vocab_size % 64"),
        ({"num_steps": 0}, "num_steps"),
        ({"learning_rate": float("nan")}, "finite"),
        ({"num_layers": 3}, "no field 'num_layers'"),
        ({"train_seq_len": 1000}, "train_batch_tokens % train_seq_len"),
    ],
)
def test_what_cannot_be_built_is_refused(fields, message):
    with pytest.raises(InputError, match=message):
        vocab_config(fields)


def test_a_scale_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="no scale 'huge'"):
        VocabSpaceTrainer().resolve("huge", {})


def test_a_step_costs_flops_in_proportion_to_its_batch():
    trainer = VocabSpaceTrainer()
    one = trainer.resolve("tiny", {"vocab_size": 64})
    two = trainer.resolve("tiny", {"vocab_size": 64, "train_batch_tokens": 128})
    assert trainer.flops_per_step(two) == 2 * trainer.flops_per_step(one) > 0
