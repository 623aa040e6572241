"""Every entry of the catalog on both backends: the same loss, no look ahead, no trace when off."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from engine_overhead import Setting
from numpy.typing import NDArray

from interventions.catalog import Intervention, load_catalog
from interventions.vocabulary import load_variables
from scripts.causal.files import InputError
from trainers.averaging import TRACKED, checkpoint_steps
from trainers.data import DataSet, open_dataset
from trainers.engine import Engine, Weights
from trainers.gpt.config import GPTConfig, gpt_config
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.init import initial_weights
from trainers.gpt.run import batches_of, evaluates_plainly, final_score, schedule_of

MODEL = {"num_layers": 4, "train_seq_len": 16, "train_batch_tokens": 64}
STEPS = 6
Make = Callable[[GPTConfig], Engine]
Curve = tuple[list[float], NDArray[np.float32]]


@contextmanager
def backends() -> Iterator[dict[str, Make]]:
    """Makers of a float32 engine by backend; MLX uncompiled, which gives the same losses."""
    makes: dict[str, Make] = {"torch": lambda config: TorchEngine(config, "torch-cpu-float32")}
    try:
        import mlx.core as mx

        from trainers.gpt.engine_mlx import MlxEngine
    except ImportError:
        yield makes
        return
    mx.disable_compile()
    try:
        yield makes | {"mlx": lambda config: MlxEngine(config, "mlx-cpu-float32")}
    finally:
        mx.enable_compile()


def parity(place: Setting, entries: int | None = None) -> list[dict[str, Any]]:
    """One row for each entry, in catalog order.

    Args:
        place: with a validation of a few thousand tokens.
        entries: only so many, spread over the catalog.
    """
    data = open_dataset(Path(place.data))
    overrides = {**place.overrides, **MODEL, "iterations": STEPS, "warmdown_iters": STEPS // 2}
    control = place.trainer.resolve("tiny", overrides)
    catalog = list(load_catalog().values())
    if entries is not None:
        picks = np.linspace(0, len(catalog) - 1, entries).round().astype(int)
        catalog = [catalog[pick] for pick in picks]
    with backends() as makes:
        bare = {name: curve(make, gpt_config(control), data) for name, make in makes.items()}
        return [row(place, entry, control, data, makes, bare) for entry in catalog]


def row(
    place: Setting,
    entry: Intervention,
    control: Mapping[str, Any],
    data: DataSet,
    makes: Mapping[str, Make],
    bare: Mapping[str, Curve],
) -> dict[str, Any]:
    """The entry's figures.

    Returns:
        `gap`: largest |torch − MLX| of its losses, nats. `ahead`: largest change of an earlier
        loss when later tokens change. `neutral`: with the entry's settings in place but its switch
        off, a run after the treatment's in the same process gives the control's bits.
    """
    told: dict[str, Any] = {"id": entry.id, "stage": entry.stage}
    try:
        config = gpt_config(place.trainer.resolve("tiny", {**control, **entry.apply(control)}))
    except InputError as error:
        return told | {"error": str(error)}
    if config == gpt_config(dict(control)):
        return told | {"error": "changes nothing in this model"}
    weights, seen, ahead, neutral = scattered(config), {}, 0.0, True
    settings = {name: v for name, v in entry.set.items() if name not in load_variables()}
    try:
        off = gpt_config({**control, **settings})
    except InputError:  # settings that may not stand without the switch
        off = gpt_config(dict(control))
    for name, make in makes.items():
        engine = make(config)
        seen[name] = losses_of(engine, config, weights, data)
        ahead = max(ahead, look_ahead(engine, config, weights))
        again = curve(make, off, data)
        neutral &= again[0] == bare[name][0] and np.array_equal(again[1], bare[name][1])
    told |= {"ahead": ahead, "neutral": bool(neutral)}
    if len(seen) == 2:
        told["gap"] = float(np.abs(seen["torch"] - seen["mlx"]).max())
    return told


def scattered(config: GPTConfig) -> Weights:
    """Weights with nothing at 0 or 1, where a term could be lost unnoticed."""
    noise = np.random.default_rng(1)
    return {
        name: (value + 0.1 * noise.standard_normal(value.shape)).astype(np.float32)
        for name, value in initial_weights(config, seed=1).items()
    }


def losses_of(
    engine: Engine, config: GPTConfig, weights: Weights, data: DataSet
) -> NDArray[np.float64]:
    """Every loss that the entry can move, each from these weights, nats.

    The training loss at the first, a middle and the last step of the schedule, the loss of each
    token, and where the entry says so the loss of the averaged weights and the final score.
    """
    batches, schedule = batches_of(config, data, 0), schedule_of(config)
    found = []
    for step in (0, STEPS // 2, STEPS - 1):
        engine.load(weights)
        found.append(engine.step(batches.batch(step), schedule.settings(step)))
    if config.averaged:
        engine.load(weights)
        checkpoints = checkpoint_steps(schedule.lr_scales())
        (kept,) = (average for average in TRACKED if average.name == config.averaged)
        for step in range(STEPS):
            engine.step(batches.batch(step), schedule.settings(step))
            if share := kept.share(step + 1, checkpoints):
                engine.average(kept.name, share)
        engine.load(engine.averages()[kept.name])
        found += engine.losses(batches.batch(0)).ravel().tolist()
    engine.load(weights)
    found += engine.losses(batches.batch(0)).ravel().tolist()
    if not evaluates_plainly(config):
        engine.load(briefly_trained(config, data))
        found.append(final_score(engine, config, data).loss)
    return np.array(found, dtype=np.float64)


def briefly_trained(config: GPTConfig, data: DataSet) -> Weights:
    """Weights that torch reaches in a few steps, for evaluations that go on training."""
    engine = TorchEngine(config, "torch-cpu-float32")
    batches, schedule = batches_of(config, data, 0), schedule_of(config)
    engine.load(initial_weights(config, seed=1))
    for step in range(STEPS):
        engine.step(batches.batch(step), schedule.settings(step))
    return engine.weights()


def look_ahead(engine: Engine, config: GPTConfig, weights: Weights) -> float:
    """Largest change of a loss when only tokens after its target change."""
    time = config.train_seq_len
    tokens = np.random.default_rng(0).integers(3, config.vocab_size, (4, time + 1))
    changed = tokens.copy()
    changed[:, time // 2 :] = np.random.default_rng(2).integers(3, config.vocab_size)
    engine.load(weights)
    before, after = engine.losses(tokens), engine.losses(changed)
    assert not np.array_equal(before, after), "the change reached no loss at all"
    return float(np.abs(before - after)[:, : time // 2 - 1].max())


def curve(make: Make, config: GPTConfig, data: DataSet) -> Curve:
    """Training losses of three steps, and the losses of every token after them."""
    config = dataclasses.replace(config, iterations=STEPS)
    engine, batches, schedule = make(config), batches_of(config, data, 0), schedule_of(config)
    engine.load(initial_weights(config, seed=0))
    steps = [engine.step(batches.batch(step), schedule.settings(step)) for step in range(3)]
    return steps, engine.losses(batches.batch(0))
