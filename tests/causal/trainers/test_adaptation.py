"""Test-time training: scored before learnt from, whatever the text behind; torch as MLX."""

import numpy as np
import pytest

from trainers.adaptation import (
    Adapters,
    DocumentAdapters,
    ScoreFirst,
    evaluate_documents,
    evaluate_score_first,
)
from trainers.evaluation import Tally, Validation, evaluate
from trainers.gpt.config import gpt_config
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.init import initial_weights
from trainers.token_bytes import TokenBytes

TIME, VOCAB = 8, 32
CONFIG = gpt_config(
    {
        "num_layers": 2,
        "model_dim": 16,
        "num_heads": 2,
        "num_kv_heads": 1,
        "vocab_size": VOCAB,
        "train_seq_len": TIME,
        "train_batch_tokens": 4 * TIME,
    }
)
TABLE = TokenBytes(
    size=np.ones(VOCAB, dtype=np.int64),
    leading_space=np.zeros(VOCAB, dtype=np.bool_),
    boundary=np.arange(VOCAB) == 1,
    drops_first_space=False,
)
SCORE_FIRST = ScoreFirst(lr=0.5, epochs=2, chunk_tokens=3 * TIME, batch_sequences=2)
ADAPTERS = DocumentAdapters(lr=0.05, rank=2, chunk_tokens=3)


def text(length=105):
    """Documents that repeat a phrase of their own, opened by token 1."""
    generator, parts = np.random.default_rng(0), []
    while sum(map(len, parts)) < length:
        phrase = generator.integers(2, VOCAB, 3)
        parts.append([1, *np.tile(phrase, int(generator.integers(1, 9)))])
    return np.concatenate(parts)[:length].astype(np.uint16)


TOKENS = text()


def validation(**changes):
    return Validation(
        **{"tokens": TOKENS, "table": TABLE, "seq_len": TIME, "batch_sequences": 3, **changes}
    )


def weights():
    draw = np.random.default_rng(1).standard_normal
    start = initial_weights(CONFIG, seed=0).items()
    return {name: value + np.float32(0.2) * draw(value.shape, np.float32) for name, value in start}


class Recorder:
    """An engine that notes, in order, which targets were scored and which learnt from."""

    def __init__(self, tokens):
        # Every token is its own index, so a row shows its place in the text.
        self.tokens, self.events = tokens, []

    def losses(self, rows):
        self.events.append(("score", rows[:, 1:].copy()))
        return np.ones(rows[:, 1:].shape, dtype=np.float32)

    def gradient(self, rows, shares):
        self.events.append(("learn", rows[:, 1:][shares > 0]))
        return {"x.attn.q": np.ones((2, 2), dtype=np.float32)}

    def load(self, weights):
        self.events.append(("load", None))

    def weights(self):
        return {"x.attn.q": np.zeros((2, 2), dtype=np.float32)}


def recorded(evaluation, method, **changes):
    size = len(TOKENS)
    places = np.arange(size, dtype=np.uint16)
    boundary = TOKENS == 1
    table = TokenBytes(
        size=np.ones(size, dtype=np.int64),
        leading_space=np.zeros(size, dtype=np.bool_),
        boundary=boundary,
        drops_first_space=False,
    )
    recorder = Recorder(places)
    score = evaluation(recorder, validation(tokens=places, table=table, **changes), method)
    assert score.loss == 1.0
    return recorder.events


@pytest.mark.parametrize("stride", [0, 3, 8])
def test_no_target_is_learnt_from_before_it_is_scored(stride):
    scored, learnt, loads = set(), set(), 0
    for kind, places in recorded(evaluate_score_first, SCORE_FIRST, stride=stride):
        if kind == "score":
            scored |= set(places.ravel().tolist())
        elif kind == "learn":
            assert set(places.tolist()) <= scored
            learnt |= set(places.tolist())
        else:
            loads += 1
    assert scored == set(range(1, 105))
    assert loads > 2
    assert len(learnt) >= 3 * 3 * TIME  # of four chunks and a bit, all but the last
    assert max(learnt) < 104


def test_adapters_learn_from_scored_targets_of_the_same_document_alone():
    scored, documents = set(), set()
    document = np.cumsum(TOKENS == 1)
    for kind, places in recorded(evaluate_documents, ADAPTERS):
        if kind == "score":
            scored |= set(places[places > 0].ravel().tolist())
        elif kind == "learn":
            learnt = set(places.tolist())
            assert learnt <= scored
            # The opening of the next document is the last target of this one.
            mine = {int(document[place - 1]) for place in learnt}
            assert len(mine) == 1
            documents |= mine
    assert scored == set(range(1, 105))
    assert len(documents) > 2


@pytest.mark.parametrize(
    ("evaluation", "method"),
    [(evaluate_score_first, SCORE_FIRST), (evaluate_documents, ADAPTERS)],
    ids=["score_first", "lora"],
)
def test_a_later_token_changes_no_earlier_loss(evaluation, method, monkeypatch):
    added, add = [], Tally.add

    def note(tally, validation, rows, losses, scored=None, at=None):
        everywhere = np.ones(losses.shape, dtype=np.bool_)
        mask = everywhere if scored is None else scored
        added.append((rows[:, 1:][mask], losses[mask]))
        add(tally, validation, rows, losses, scored, at)

    monkeypatch.setattr(Tally, "add", note)
    recorded(evaluation, method)
    places = np.concatenate([targets for targets, _ in added])
    engine, losses = TorchEngine(CONFIG, "torch-cpu-float32"), []
    changed = TOKENS.copy()
    changed[80] = 2 + (changed[80] - 1) % 29
    assert changed[80] != TOKENS[80]
    for tokens in (TOKENS, changed):
        added.clear()
        engine.load(weights())
        evaluation(engine, validation(tokens=tokens), method)
        by_place = np.empty(105, dtype=np.float32)
        by_place[places] = np.concatenate([values for _, values in added])
        losses.append(by_place[1:])
    differs = np.flatnonzero(losses[0] != losses[1]) + 1
    assert differs.min() == 80  # to the bit
    assert len(differs) > 3


@pytest.mark.parametrize("stride", [0, 2])
def test_learning_nothing_is_the_plain_evaluation(stride):
    engine = TorchEngine(CONFIG, "torch-cpu-float32")
    engine.load(weights())
    plain = evaluate(engine, validation(stride=stride))
    still = ScoreFirst(lr=0.0, chunk_tokens=16)
    assert evaluate_score_first(engine, validation(stride=stride), still) == plain


def test_both_kinds_learn_a_text_that_repeats_itself():
    engine = TorchEngine(CONFIG, "torch-cpu-float32")
    engine.load(weights())
    frozen = evaluate_documents(engine, validation(), DocumentAdapters(0.0, 2, 3))
    plain = evaluate(engine, validation())
    assert evaluate_documents(engine, validation(), ADAPTERS).loss < frozen.loss - 0.01
    for name, value in weights().items():
        assert np.array_equal(engine.weights()[name], value), name  # reset after the last
    assert evaluate_score_first(engine, validation(), SCORE_FIRST).loss < plain.loss - 0.01


def test_adapters_follow_the_gradient_of_the_product():
    base = {"0.attn.q": np.zeros((3, 4), dtype=np.float32), "0.attn.k": np.ones((2, 2))}
    target = np.random.default_rng(2).standard_normal((3, 4)).astype(np.float32)
    adapters = Adapters(base, DocumentAdapters(lr=0.05, rank=3))
    now = base
    for _ in range(800):  # descent on |W − target|² through W = B·A
        now = adapters.step({"0.attn.q": now["0.attn.q"] - target})
    assert np.abs(now["0.attn.q"] - target).max() < 0.05
    assert now["0.attn.k"] is base["0.attn.k"]
    assert not base["0.attn.q"].any()


def test_a_gradient_that_is_nothing_but_rounding_moves_nothing():
    base = {"0.attn.q": np.zeros((3, 4), dtype=np.float32)}
    gradient = np.ones((3, 4), dtype=np.float32)
    gradient[0] = 1e-7
    adapters, before, moves = Adapters(base, DocumentAdapters(lr=0.1, rank=2)), 0.0, []
    for _ in range(64):
        now = adapters.step({"0.attn.q": gradient})["0.attn.q"]
        assert np.abs(now[0]).max() < 1e-5 * np.abs(now[1:]).max()
        moves.append(np.abs(now - before).max())
        before = now
    assert moves[0] > 1e-3
    assert moves[-1] < moves[0]


@pytest.mark.parametrize("shared", ["all", "some"])
def test_the_engines_agree_on_a_gradient(shared):
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    from trainers.gpt.engine_mlx import MlxEngine

    mx.disable_compile()
    rows = np.random.default_rng(3).integers(0, VOCAB, (5, TIME + 1))
    shares = np.ones((5, TIME), dtype=np.float32)
    if shared == "some":
        shares[np.random.default_rng(4).random((5, TIME)) < 0.5] = 0
    found = []
    for engine in (TorchEngine(CONFIG, "torch-cpu-float32"), MlxEngine(CONFIG)):
        engine.load(weights())
        found.append(engine.gradient(rows, shares))
    mx.enable_compile()
    for name, slope in found[0].items():
        assert np.abs(slope - found[1][name]).max() < 1e-5, name
    # And on what it is: a small step along it lowers the weighted loss as much as it should.
    engine = TorchEngine(CONFIG, "torch-cpu-float32")
    start, step = weights(), 1e-3
    sizes = []
    for sign in (-1, 1):
        engine.load({n: v + np.float32(sign * step) * found[0][n] for n, v in start.items()})
        sizes.append(float((engine.losses(rows) * shares).sum() / shares.sum()))
    slope = sum(float(np.square(value, dtype=np.float64).sum()) for value in found[0].values())
    assert (sizes[1] - sizes[0]) / (2 * step) == pytest.approx(slope, rel=0.02)


@pytest.mark.parametrize(
    ("evaluation", "method"),
    [(evaluate_score_first, SCORE_FIRST), (evaluate_documents, ADAPTERS)],
    ids=["score_first", "lora"],
)
def test_torch_and_mlx_adapt_alike(evaluation, method):
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    from trainers.gpt.engine_mlx import MlxEngine

    mx.disable_compile()
    scores = []
    for engine in (TorchEngine(CONFIG, "torch-cpu-float32"), MlxEngine(CONFIG)):
        engine.load(weights())
        scores.append(evaluation(engine, validation(), method).loss)
    mx.enable_compile()
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
