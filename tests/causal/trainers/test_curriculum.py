"""A curriculum orders the windows that a run would see anyway, from easy to hard."""

import numpy as np
import pytest

from trainers.batches import Batches, window_difficulty
from trainers.gpt.config import gpt_config
from trainers.gpt.run import schedule_of

TIME = 8
FREQUENT, RARE = 2, np.arange(3, 60)


def shard(windows, seed):
    """Windows with a growing share of rare tokens, shuffled."""
    generator = np.random.default_rng(seed)
    rows = np.full((windows, TIME), FREQUENT)
    for row in rows:
        count = int(generator.integers(0, TIME + 1))
        row[:count] = generator.choice(RARE, count)
    return np.append(rows.ravel(), FREQUENT).astype(np.uint16)


SHARDS = [shard(30, 0), shard(50, 1)]


def seen(batches, steps):
    return np.concatenate([batches.batch(step) for step in range(steps)])


def rare(rows):
    return (rows[:, :-1] != FREQUENT).sum(axis=1)


def test_difficulty_grows_with_rare_tokens():
    scores = window_difficulty(SHARDS, TIME, 64)
    assert scores.shape == (80,)
    windows = np.concatenate([part[:-1].reshape(-1, TIME) for part in SHARDS])
    counts = np.bincount(np.concatenate(SHARDS), minlength=64)
    nats = -np.log(counts[windows] / counts.sum())
    assert scores == pytest.approx(nats.mean(axis=1))
    assert np.corrcoef(scores, (windows != FREQUENT).sum(axis=1))[0, 1] > 0.95


@pytest.mark.parametrize("steps", [5, 20])
def test_the_same_windows_from_easy_to_hard(steps):
    plain = Batches(SHARDS, TIME, 4 * TIME, 7, vocab_size=64)
    ordered = Batches(SHARDS, TIME, 4 * TIME, 7, vocab_size=64, easy_first=4 * steps)
    before, after = seen(plain, steps), seen(ordered, steps)
    assert sorted(map(tuple, before)) == sorted(map(tuple, after))
    assert not np.array_equal(before, after)
    half = 2 * steps
    assert rare(after[:half]).mean() < rare(after[half:]).mean() - 2
    tenth = max(1, 4 * steps // 10)
    assert rare(after[:tenth]).max() <= rare(after[-tenth:]).min()


def test_every_epoch_begins_anew_in_an_order_of_its_own():
    ordered = Batches(SHARDS, TIME, 4 * TIME, 7, vocab_size=64, easy_first=10**9)
    first, second = seen(ordered, 20), np.concatenate([ordered.batch(i) for i in range(20, 40)])
    assert sorted(map(tuple, first)) == sorted(map(tuple, second))
    assert not np.array_equal(first, second)
    assert rare(second[:8]).max() <= rare(second[-8:]).min()


def test_off_is_the_order_as_it_was():
    plain = Batches(SHARDS, TIME, 4 * TIME, 7, vocab_size=64)
    assert np.array_equal(
        seen(plain, 20), seen(Batches(SHARDS, TIME, 4 * TIME, 7, easy_first=0), 20)
    )


def test_a_warmdown_may_be_a_part_of_the_run():
    config = gpt_config({"iterations": 40, "warmdown_iters": 10, "warmdown_frac": 0.5})
    assert schedule_of(config).warmdown_iters == 20
    assert schedule_of(gpt_config({"warmdown_iters": 10})).warmdown_iters == 10
