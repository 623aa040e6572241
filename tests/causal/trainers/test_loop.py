"""The training loop on an engine of arithmetic: schedule, trajectory, divergence, exact bpb."""

import math
from contextlib import contextmanager

import numpy as np
import pytest

from trainers.batches import Batches
from trainers.engine import StepSettings
from trainers.evaluation import Validation, evaluate
from trainers.loop import Diverged, Schedule, train, warm_up
from trainers.token_bytes import TokenBytes

SCHEDULE = Schedule(
    iterations=10,
    warmup_iters=2,
    warmdown_iters=4,
    momentum=0.95,
    momentum_start=0.85,
    momentum_steps=5,
    val_points=3,
)
TABLE = TokenBytes(
    size=np.arange(100, dtype=np.int64) % 5,
    leading_space=np.zeros(100, dtype=np.bool_),
    boundary=np.zeros(100, dtype=np.bool_),
    drops_first_space=False,
)
TOKENS = np.random.default_rng(0).integers(0, 100, 1000).astype(np.uint16)


class Arithmetic:
    """Loss of a target = target / 10; the training loss counts the steps."""

    def __init__(self, nan_at=None, nan_validation=False):
        self.calls, self.nan_at, self.nan_validation = [], nan_at, nan_validation

    def configure(self, config):
        pass

    def load(self, weights):
        self.calls.append("load")
        self.steps = 0

    def step(self, tokens, settings):
        self.steps += 1
        self.calls.append(settings)
        return math.nan if self.steps == self.nan_at else float(self.steps)

    def losses(self, tokens):
        self.calls.append(len(tokens))
        losses = (tokens[:, 1:] / 10).astype(np.float32)
        return np.full_like(losses, np.inf) if self.nan_validation else losses

    def weights(self):
        return {}

    @contextmanager
    def on_grid(self):
        self.calls.append("rounded")
        yield
        self.calls.append("exact")


def batches():
    return Batches(TOKENS, 8, 32, 0)


def validation(**changes):
    return Validation(
        **{"tokens": TOKENS, "table": TABLE, "seq_len": 8, "batch_sequences": 7, **changes}
    )


def test_rates_rise_hold_and_fall_to_the_last_step():
    scales = [SCHEDULE.settings(step).lr_scale for step in range(10)]
    assert scales == [0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]


def test_momentum_warms_up():
    momenta = [SCHEDULE.settings(step).muon_momentum for step in range(10)]
    assert momenta == pytest.approx([0.85, 0.87, 0.89, 0.91, 0.93] + 5 * [0.95])


def test_without_warm_up_or_warmdown_the_rates_stand():
    flat = Schedule(10, 0, 0, 0.9, 0.8, 0, 1)
    assert [flat.settings(step) for step in (0, 9)] == 2 * [StepSettings(1.0, 0.9)]


def test_the_last_look_is_at_the_end():
    assert SCHEDULE.validation_steps() == {3, 6, 10}
    assert Schedule(2, 0, 0, 0.9, 0.8, 0, 5).validation_steps() == {1, 2}


def test_training_keeps_every_loss_and_every_look():
    engine, fractions = Arithmetic(), []
    curve = train(engine, {}, batches(), SCHEDULE, validation(max_sequences=5), fractions.append)
    assert curve.train_loss == [float(step) for step in range(1, 11)]
    assert curve.val_step == [3, 6, 10]
    assert len(set(curve.val_bpb)) == 1
    assert curve.seconds > 0
    assert fractions == pytest.approx([step / 10 for step in range(1, 11)])
    assert engine.calls[0] == "load"
    assert [call for call in engine.calls if isinstance(call, StepSettings)] == [
        SCHEDULE.settings(step) for step in range(10)
    ]


def test_each_look_may_be_taken_as_int8_too():
    engine, plain = Arithmetic(), Arithmetic()
    curve = train(engine, {}, batches(), SCHEDULE, validation(), int8_looks=True)
    assert curve.val_bpb_int8 == curve.val_bpb
    looks = [call for call in engine.calls if isinstance(call, str)]
    assert looks == ["load", *3 * ["rounded", "exact"]]
    assert train(plain, {}, batches(), SCHEDULE, validation()).val_bpb_int8 == []


def test_validation_is_not_on_the_clock(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr("trainers.loop.time.perf_counter", lambda: float(next(clock)))
    assert train(Arithmetic(), {}, batches(), SCHEDULE, validation()).seconds == 10.0


def test_a_loss_that_is_no_number_ends_the_run_with_its_step():
    with pytest.raises(Diverged, match="nan at step 4"):
        train(Arithmetic(nan_at=4), {}, batches(), SCHEDULE, validation())
    with pytest.raises(Diverged, match="validation loss is inf after step 3"):
        train(Arithmetic(nan_validation=True), {}, batches(), SCHEDULE, validation())


def test_warming_up_moves_nothing():
    engine = Arithmetic()
    warm_up(engine, {}, batches())
    assert engine.calls == ["load", StepSettings(0.0, 0.0), 4]


def test_bits_per_byte_is_the_ratio_of_two_sums_over_the_same_targets():
    targets = TOKENS[1 : 124 * 8 + 1].astype(np.int64)
    score = evaluate(Arithmetic(), validation())
    assert score.bpb == pytest.approx(
        (targets / 10).sum() / math.log(2) / (targets % 5).sum(), rel=1e-7
    )
    assert score.loss == pytest.approx((targets / 10).mean(), rel=1e-7)


def test_a_subset_is_the_first_sequences():
    targets = TOKENS[1:25].astype(np.int64)
    score = evaluate(Arithmetic(), validation(max_sequences=3))
    assert score.loss == pytest.approx((targets / 10).mean(), rel=1e-7)
