"""The vocabulary-space benchmark: what its plain models compute is what ours do."""

import numpy as np
import pytest
import torch

from trainers.vocab_space.config import VocabConfig
from trainers.vocab_space.memory import BLOCK
from trainers.vocab_space.model import VocabModel, initial_weights
from trainers.vocab_space.versions import VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_the_plain_model_has_our_loss_and_gradients(version):
    from plain_vocab import PlainModel

    fields = {"vocab_size": 64, "num_steps": 2, "train_seq_len": 8, "train_batch_tokens": 8}
    config = VocabConfig(architecture=version, **fields)
    draw = np.random.default_rng(0)
    weights = {
        name: (value + 0.05 * draw.standard_normal(value.shape)).astype(np.float32)
        for name, value in initial_weights(config, seed=1).items()
    }
    tokens = torch.from_numpy(draw.integers(0, 64, (2, BLOCK + 10)))
    ours, plain = VocabModel(config, torch.float32), PlainModel(config, weights, torch.float32)
    with torch.no_grad():
        for name, parameter in ours.named().items():
            parameter.copy_(torch.from_numpy(weights[name]))
    aim, _ = ours(tokens, torch.Generator().manual_seed(3))
    plain.noise.manual_seed(3)
    expected, _ = plain(tokens)
    torch.testing.assert_close(aim, expected)
    aim.backward()
    expected.backward()
    for name, parameter in plain.named.items():
        if parameter.grad is None:  # what halts the last step is never read
            assert ours.named()[name].grad is None
        else:
            difference = (ours.named()[name].grad - parameter.grad).norm()
            assert difference < 1e-3 * parameter.grad.norm() + 1e-6, name


def test_a_timing_tells_whether_the_promise_is_kept():
    from vocab_space import config_at, throughput

    told = throughput("v2_conv", config_at("v2_conv", 16, 32), "torch-cpu-float32", repeats=1)
    assert told["speedup"] == pytest.approx(told["plain_seconds"] / told["seconds"])
    assert told["kept"] == (told["speedup"] >= told["asked"] == 1.0)
    assert told["loss_difference"] < 1e-4
