"""Sliding windows: every target once, with all the context that the stride promises."""

import math

import numpy as np
import pytest

from scripts.causal.files import InputError
from trainers.evaluation import Validation, evaluate, scored_windows, window_ends
from trainers.gpt.config import gpt_config
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.init import initial_weights
from trainers.token_bytes import TokenBytes

TABLE = TokenBytes(
    size=np.arange(100, dtype=np.int64) % 5 + 1,
    leading_space=np.zeros(100, dtype=np.bool_),
    boundary=np.zeros(100, dtype=np.bool_),
    drops_first_space=False,
)
TOKENS = np.random.default_rng(0).integers(0, 100, 205).astype(np.uint16)


class Places:
    """The loss of a target is its index in TOKENS: shows which targets were scored where."""

    def __init__(self):
        self.context = {}

    def losses(self, tokens):
        assert tokens.shape[1] == 17
        out = np.empty((len(tokens), 16), dtype=np.float32)
        for row, values in enumerate(tokens):
            views = np.lib.stride_tricks.sliding_window_view(TOKENS, 17)
            (start,) = np.flatnonzero((views == values).all(axis=1))
            out[row] = start + 1 + np.arange(16)
        return out


def validation(**changes):
    return Validation(
        **{"tokens": TOKENS, "table": TABLE, "seq_len": 16, "batch_sequences": 5, **changes}
    )


@pytest.mark.parametrize("stride", [1, 3, 4, 8, 15, 16])
def test_each_target_is_scored_once_with_the_promised_context(stride):
    seen = []
    for rows, scored in scored_windows(validation(stride=stride)):
        losses = Places().losses(rows)
        for values, mask in zip(losses, scored, strict=True):
            seen += [(int(values[place]), place) for place in np.flatnonzero(mask)]
    assert [target for target, _ in seen] == list(range(1, 193))  # 12 whole sequences
    assert all(context >= 16 - stride for target, context in seen if target > 16)


@pytest.mark.parametrize("stride", [0, 4, 16])
def test_the_same_targets_and_bytes_whatever_the_stride(stride):
    score = evaluate(Places(), validation(stride=stride))
    targets = np.arange(1, 193)
    assert score.loss == pytest.approx(targets.mean(), rel=1e-7)
    bytes_of = TABLE.size[TOKENS[targets]].sum()
    assert score.bpb == pytest.approx(targets.sum() / math.log(2) / bytes_of, rel=1e-7)


def test_a_subset_of_sequences_slides_too():
    score = evaluate(Places(), validation(stride=4, max_sequences=3))
    assert score.loss == pytest.approx(np.arange(1, 49).mean(), rel=1e-7)


def test_the_last_window_ends_with_the_targets():
    ends, last = window_ends(40, 16, 5)
    assert ends.tolist() == [16, 21, 26, 31, 36, 40]
    assert last.tolist() == [16, 5, 5, 5, 5, 4]
    assert window_ends(16, 16, 4)[0].tolist() == [16]


def test_a_stride_of_the_sequence_is_no_sliding_at_all():
    config = gpt_config(
        {
            "num_layers": 1,
            "model_dim": 16,
            "num_heads": 2,
            "num_kv_heads": 1,
            "vocab_size": 100,
            "train_seq_len": 16,
            "train_batch_tokens": 64,
        }
    )
    engine = TorchEngine(config, "torch-cpu-float32")
    draw = np.random.default_rng(1).standard_normal
    weights = initial_weights(config, seed=0).items()
    engine.load({name: value + 0.1 * draw(value.shape, np.float32) for name, value in weights})
    whole = evaluate(engine, validation())
    assert evaluate(engine, validation(stride=16)) == whole
    assert evaluate(engine, validation(stride=4)) != whole


def test_too_few_tokens_fill_no_window():
    with pytest.raises(InputError, match="fill no sequence"):
        evaluate(Places(), validation(tokens=TOKENS[:16], stride=4))
