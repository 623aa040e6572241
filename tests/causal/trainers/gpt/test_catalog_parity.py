"""Every entry of the catalog: torch trains as MLX does, and nothing looks ahead."""

import numpy as np
import pytest

from interventions.catalog import load_catalog
from scripts.causal.files import InputError
from trainers.gpt.config import gpt_config
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.init import initial_weights
from trainers.gpt.run import schedule_of
from trainers.gpt.trainer import GptTrainer

TIME, VOCAB, STEPS = 16, 48, 3
CONTROL = {
    "vocab_size": VOCAB,
    "num_layers": 3,
    "model_dim": 32,
    "num_heads": 4,
    "num_kv_heads": 2,
    "train_seq_len": TIME,
    "train_batch_tokens": 4 * TIME,
    "iterations": STEPS,
    "warmdown_iters": 40,  # all of the run is late in it, and so is what begins there
    "bigram_dim": 8,
    "value_embedding_dim": 8,
}


def entries():
    trainer = GptTrainer()
    control = trainer.resolve("tiny", CONTROL)
    for intervention in load_catalog().values():
        changed = intervention.apply(control)
        if intervention.stage == "train" and set(changed) <= set(control):
            try:
                values = trainer.resolve("tiny", {**control, **changed})
            except InputError:  # fields that this reduction cannot have
                continue
            yield pytest.param(gpt_config(values), id=intervention.id)


each_entry = pytest.mark.parametrize("config", list(entries()))


def weights_of(config):
    draw = np.random.default_rng(1).standard_normal
    start = initial_weights(config, seed=0).items()
    return {name: v + np.float32(0.1) * draw(v.shape, np.float32) for name, v in start}


def trained(engine, config):
    engine.configure(vars(config))
    engine.load(weights_of(config))
    schedule, generator = schedule_of(config, seed=3), np.random.default_rng(0)
    shape = (config.batch_sequences, config.train_seq_len + 1)
    return [
        engine.step(generator.integers(0, VOCAB, shape), schedule.settings(step))
        for step in range(STEPS)
    ]


def test_most_of_the_catalog_is_here():
    assert len(list(entries())) >= 50


@each_entry
def test_torch_and_mlx_train_alike(config):
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    from trainers.gpt.engine_mlx import MlxEngine

    mx.disable_compile()
    expected = trained(TorchEngine(config, "torch-cpu-float32"), config)
    losses = trained(MlxEngine(config, "mlx-cpu-float32"), config)
    mx.enable_compile()
    assert losses == pytest.approx(expected, abs=1e-4)


@each_entry
def test_a_later_token_changes_no_earlier_loss(config):
    engine = TorchEngine(config, "torch-cpu-float32")
    trained(engine, config)
    rows = np.random.default_rng(2).integers(0, VOCAB, (2, config.train_seq_len + 1))
    changed = rows.copy()
    changed[:, 6:] = (changed[:, 6:] + 7) % VOCAB
    before, after = engine.losses(rows), engine.losses(changed)
    assert np.abs(before[:, :5] - after[:, :5]).max() < 1e-6
    assert np.abs(before[:, 5:] - after[:, 5:]).min() > 0
