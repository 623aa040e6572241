import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.causal.files import InputError
from trainers.batches import Batches, first_tokens, validation_batches


def test_every_window_comes_once_an_epoch_in_an_order_of_the_seed():
    tokens = np.arange(101, dtype=np.uint16)
    batches = Batches(tokens, 10, 20, seed=1)
    first = np.concatenate([batches.batch(step) for step in range(5)])
    second = np.concatenate([batches.batch(step) for step in range(5, 10)])
    assert sorted(first[:, 0].tolist()) == list(range(0, 100, 10))
    assert sorted(second[:, 0].tolist()) == list(range(0, 100, 10))
    assert first[:, 0].tolist() != second[:, 0].tolist()
    assert (np.diff(first, axis=1) == 1).all()  # windows are contiguous, 11 tokens each
    other = Batches(tokens, 10, 20, seed=2)
    assert other.batch(0).tolist() != batches.batch(0).tolist()


def test_a_step_can_be_read_without_the_ones_before():
    tokens = np.arange(1000, dtype=np.uint16)
    expected = [Batches(tokens, 9, 36, seed=3).batch(step).tolist() for step in range(60)]
    batches = Batches(tokens, 9, 36, seed=3)
    for step in (59, 0, 28, 27, 27, 58):
        assert batches.batch(step).tolist() == expected[step]
        assert len(batches._orders) <= 2  # memory does not grow with epochs


def test_a_batch_larger_than_the_data_repeats_epochs():
    batches = Batches(np.arange(31, dtype=np.uint16), 10, 100, seed=0)
    starts = batches.batch(0)[:, 0].tolist()
    assert [sorted(starts[i : i + 3]) for i in (0, 3, 6)] == [[0, 10, 20]] * 3


def test_windows_stay_within_their_shard():
    shards = [np.arange(25, dtype=np.uint16), np.arange(100, 131, dtype=np.uint16)]
    batches = Batches([*shards, np.zeros(3, dtype=np.uint16)], 10, 10, seed=0)
    assert batches.windows == 5
    starts = sorted(int(batches.batch(step)[0, 0]) for step in range(5))
    assert starts == [0, 10, 100, 110, 120]


@given(
    length=st.integers(8, 200),
    seq_len=st.integers(1, 7),
    share=st.integers(1, 4),
    world_size=st.integers(1, 4),
    step=st.integers(0, 1000),
)
def test_ranks_share_one_global_batch(length, seq_len, share, world_size, step):
    tokens = np.arange(length, dtype=np.uint16)
    size = seq_len * share * world_size
    whole = Batches(tokens, seq_len, size, seed=5).batch(step)
    parts = [
        Batches(tokens, seq_len, size, seed=5, rank=rank, world_size=world_size).batch(step)
        for rank in range(world_size)
    ]
    assert np.concatenate(parts).tolist() == whole.tolist()
    assert whole.dtype == np.int64


def test_batches_check_what_they_are_given():
    tokens = np.arange(100, dtype=np.uint16)
    with pytest.raises(InputError, match="multiple"):
        Batches(tokens, 10, 25, seed=0)
    with pytest.raises(InputError, match="multiple"):
        Batches(tokens, 10, 20, seed=0, rank=1, world_size=4)
    with pytest.raises(InputError, match="fill no window"):
        Batches(tokens[:10], 10, 20, seed=0)
    with pytest.raises(InputError, match="outside the vocabulary of 50"):
        Batches(tokens, 99, 99, seed=0, vocab_size=50).batch(0)


def test_validation_covers_every_target_once_and_drops_the_tail():
    tokens = np.arange(38, dtype=np.uint16)
    rows = np.concatenate(list(validation_batches(tokens, 5, 3)))
    assert rows[:, 1:].ravel().tolist() == list(range(1, 36))
    assert rows[:, :-1].ravel().tolist() == list(range(35))
    quick = np.concatenate(list(validation_batches(tokens, 5, 3, max_sequences=2)))
    assert quick.tolist() == rows[:2].tolist()


def test_validation_is_shared_between_ranks():
    tokens = np.arange(38, dtype=np.uint16)
    whole = np.concatenate(list(validation_batches(tokens, 5, 7)))
    parts = [list(validation_batches(tokens, 5, 2, rank=rank, world_size=3)) for rank in range(3)]
    assert np.concatenate([row for part in parts for row in part]).tolist() == whole.tolist()


def test_too_little_validation_is_an_error_at_once():
    with pytest.raises(InputError, match="fill no sequence"):
        validation_batches(np.arange(5, dtype=np.uint16), 5, 1)


def test_the_first_tokens_of_shards_end_where_the_count_does():
    shards = [np.arange(5, dtype=np.uint16), np.arange(5, 9, dtype=np.uint16)]
    taken = [part.tolist() for part in first_tokens(shards, 7)]
    assert taken == [[0, 1, 2, 3, 4], [5, 6]]
    assert [part.tolist() for part in first_tokens(shards, 5)] == [[0, 1, 2, 3, 4]]
    assert sum(map(len, first_tokens(shards, 100))) == 9
