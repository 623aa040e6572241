"""Scores of shards are first-order effects, and their spread is held against chance."""

import numpy as np
import pytest
from scipy.stats import f_oneway

from scripts.causal import influence_proxy
from scripts.causal.diagnostics.influence import (
    Shard,
    Spread,
    drawn_batches,
    inner_product,
    mean_gradient,
    shards_of,
    spread,
    what_follows,
)
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file
from scripts.causal.influence_proxy import Influence, influence


def test_a_score_is_what_a_small_step_does_for_the_target(subject):
    bench, weights = subject.open()
    rows = bench.batches.batch(0), bench.batches.batch(1)
    step, target = (mean_gradient(bench.engine, batch) for batch in rows)
    before, rate = bench.engine.losses(rows[1]).mean(dtype=np.float64), 0.003
    bench.engine.load({name: weights[name] - np.float32(rate) * step[name] for name in weights})
    fall = before - bench.engine.losses(rows[1]).mean(dtype=np.float64)
    assert fall / rate == pytest.approx(inner_product(step, target), rel=0.05)


def test_files_are_cut_into_shards(subject):
    data = subject.open()[0].data
    (file,) = data.train_tokens()
    shards = shards_of(data, 3, 32)
    assert len(shards) == 3
    assert np.array_equal(np.concatenate([shard.tokens for shard in shards]), file)
    assert shards[1].start == len(shards[0].tokens)
    assert len(shards_of(data, 1, 32)) == 1
    assert shards_of(data, 3, len(file)) == ()


def test_no_window_is_drawn_twice():
    tokens = np.arange(10 * 4 + 1, dtype=np.uint16)
    first = np.concatenate(list(drawn_batches(Shard("a", tokens, 0), 3, 2, 4, seed=0)))
    assert first.shape == (6, 5)
    assert len(set(first[:, 0])) == 6 and set(first[:, 0] % 4) == {0}
    again = np.concatenate(list(drawn_batches(Shard("a", tokens, 0), 3, 2, 4, seed=0)))
    other = np.concatenate(list(drawn_batches(Shard("a", tokens, 0), 3, 2, 4, seed=1)))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    few = list(drawn_batches(Shard("a", tokens, 0), 4, 9, 4, seed=0))
    assert [len(batch) for batch in few] == [2, 2, 2, 2]


def test_the_spread_is_that_of_an_analysis_of_variance():
    scores = np.array([[1.0, 1.4, 1.2], [2.0, 2.1, 2.5], [0.7, 1.0, 1.1], [1.5, 1.4, 1.9]])
    found = spread(scores)
    reference = f_oneway(*scores)
    assert (found.f, found.p) == pytest.approx((reference.statistic, reference.pvalue))
    assert found.cv == pytest.approx(scores.mean(axis=1).std(ddof=1) / scores.mean())
    assert found.cv_shards**2 + found.cv_noise**2 == pytest.approx(found.cv**2)


def test_shards_that_are_alike_are_not_told_apart():
    generator = np.random.default_rng(0)
    told = [spread(generator.normal(1, 0.3, (12, 6))).p < 0.05 for _ in range(400)]
    assert np.mean(told) == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"mean": 1, "p": 0.4, "cv_shards": 0.3}, "would follow noise"),
        ({"mean": 1, "p": 0.001, "cv_shards": 0.02}, "too little for a choice"),
        ({"mean": 1, "p": 0.001, "cv_shards": 0.3}, "training on validation"),
        ({"mean": -1, "p": 0.001, "cv_shards": 0.3}, "would not lower the validation loss"),
    ],
)
def test_what_follows(found, words):
    assert words in what_follows(Spread(cv=0.3, cv_noise=0.1, f=2.0, **found))


def test_the_command(recorded, tmp_path, capsys):
    output = tmp_path / "influence.json"
    influence_proxy.main(
        output=output,
        run=recorded[1],
        ledger=recorded[0],
        shards=4,
        batches=3,
        batch_tokens=128,
        json=True,
    )
    report = parse_file(Influence, output)
    assert (len(report.shards), report.batches, report.batch_tokens) == (4, 3, 128)
    means = [shard.score for shard in report.shards]
    assert report.spread.mean == pytest.approx(np.mean(means))
    assert all(-1 <= shard.cosine <= 1 for shard in report.shards)
    assert Influence.model_validate_json(capsys.readouterr().out) == report
    assert "cos " in (tmp_path / "influence.svg").read_text()


def test_too_little_to_compare(subject):
    with pytest.raises(InputError, match="at least 2"):
        influence(subject, shards=1)
    with pytest.raises(InputError, match="fewer than 2 shards"):
        influence(subject, batches=10**6)
    with pytest.raises(InputError, match="vanish"):
        spread(np.zeros((3, 3)))
