"""Altered training losses: torch as MLX, nothing looks ahead, off means off, and what each is."""

import dataclasses
import math
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trainers.engine import Alteration, StepSettings
from trainers.gpt import engine_torch
from trainers.gpt.config import GPTConfig, gpt_config
from trainers.gpt.cost import training_flops_per_step
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.init import initial_weights
from trainers.gpt.loss_torch import confidence
from trainers.gpt.objectives import Alterations, examples_of, is_altered
from trainers.gpt.run import schedule_of

TIME, VOCAB, STEPS = 16, 32, 4
SMALL = {
    "num_layers": 2,
    "model_dim": 16,
    "num_heads": 2,
    "num_kv_heads": 1,
    "vocab_size": VOCAB,
    "train_seq_len": TIME,
    "train_batch_tokens": 8 * TIME,
    "iterations": STEPS,
    "val_points": 1,
    "matrix_lr": 0.02,
    "tied_embed_lr": 0.01,
    "scalar_lr": 0.01,
}
ENTRIES = {
    "token_dropout": {"token_dropout": 0.2},
    "token_dropout graduated": {"token_dropout": 0.4, "token_dropout_graduated": True},
    "corrupted_context": {"corrupted_context": 0.3},
    "corrupted_context graduated": {
        "corrupted_context": 0.5,
        "corrupted_context_graduated": True,
    },
    "selective_loss": {"selective_loss": True, "selective_margin": 0.3},
    "mtp": {"mtp": True, "mtp_margin": 0.3, "mtp_start": 0.25},
    "position_loss": {"position_loss": 0.7},
    "embedding_mask": {"embedding_mask": True, "embedding_mask_margin": 0.3},
    "all": {
        "token_dropout": 0.2,
        "corrupted_context": 0.3,
        "selective_loss": True,
        "selective_margin": 0.5,
        "mtp": True,
        "mtp_margin": 0.3,
        "mtp_start": 0.0,
        "position_loss": -0.5,
        "activation": "dml_gated",
        "smear_gate": True,
        "tied_embeddings": False,
    },
}
each_entry = pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
BATCHES = np.random.default_rng(0).integers(0, VOCAB, (STEPS, 8, TIME + 1))


def config_of(entry):
    return gpt_config({**SMALL, **entry})


def weights_of(config):
    draw = np.random.default_rng(1).standard_normal
    start = initial_weights(config, seed=0).items()
    return {name: v + np.float32(0.2) * draw(v.shape, np.float32) for name, v in start}


def run(engine, config, batches=BATCHES):
    engine.configure(vars(config))
    engine.load(weights_of(config))
    schedule = schedule_of(config, seed=3)
    return [engine.step(batch, schedule.settings(i)) for i, batch in enumerate(batches)]


@each_entry
def test_torch_and_mlx_train_alike(entry, mlx_engine):
    config = config_of(entry)
    engine, twin = TorchEngine(config, "torch-cpu-float32"), mlx_engine(config)
    expected, losses = run(engine, config), run(twin, config)
    assert np.abs(np.array(losses) - np.array(expected)).max() < 1e-4
    for name, value in engine.weights().items():
        assert np.abs(value - twin.weights()[name]).max() < 5e-4, name


@each_entry
def test_every_entry_changes_the_training_and_reruns_to_the_bit(entry):
    config = config_of(entry)
    engine = TorchEngine(config, "torch-cpu-float32")
    first = run(engine, config)
    assert run(engine, config) == first
    plain = dataclasses.replace(
        config, **{name: getattr(gpt_config(SMALL), name) for name in entry if name != "mtp_start"}
    )
    assert run(TorchEngine(plain, "torch-cpu-float32"), plain) != first


def test_off_means_off():
    config = gpt_config(SMALL)
    schedule = schedule_of(config, seed=3)
    for step in range(STEPS):
        settings = schedule.settings(step)
        assert settings.alteration is None
        assert settings.mtp_weight == 0
        assert not is_altered(config, settings.alteration)
    engine = TorchEngine(config, "torch-cpu-float32")
    plain = run(engine, config)
    # The general path with nothing to do is the same loss, though not the same sums.
    ones = Alteration(shares=np.ones(TIME, dtype=np.float32))
    engine.load(weights_of(config))
    general = [
        engine.step(batch, dataclasses.replace(schedule.settings(i), alteration=ones))
        for i, batch in enumerate(BATCHES)
    ]
    assert general == pytest.approx(plain, abs=1e-5)


@each_entry
def test_a_later_token_changes_no_earlier_loss(entry):
    """Only targets before place 9 count; tokens from 11 on, targets of none of them, change."""
    config = config_of(entry)
    engine, changed = TorchEngine(config, "torch-cpu-float32"), BATCHES[0].copy()
    changed[:, 11:] = (changed[:, 11:] + 5) % VOCAB
    alteration = schedule_of(config, seed=3).settings(2).alteration
    whole = alteration or Alteration(shares=np.ones(TIME, dtype=np.float32))
    places = np.arange(TIME) if whole.order is None else whole.order
    early = dataclasses.replace(whole, shares=np.where(places < 9, whole.shares, np.float32(0)))
    for shares, same in ((early, True), (whole, False)):
        settings = StepSettings(0.0, 0.0, mtp_weight=0.5, alteration=shares)
        found = []
        for batch in (BATCHES[0], changed):
            engine.load(weights_of(config))
            found.append(engine.step(batch, settings))
        if config.activation == "dml_gated":  # decorrelation is a statistic of the whole batch
            assert (abs(found[0] - found[1]) < 0.01) == same
        else:
            assert (found[0] == pytest.approx(found[1], abs=1e-7)) == same


@each_entry
def test_parts_of_a_batch_are_the_batch(entry, monkeypatch):
    if entry.get("activation"):
        pytest.skip("decorrelation is a statistic of the part that is computed together")
    config = config_of(entry)
    whole = run(TorchEngine(config, "torch-cpu-float32"), config)
    monkeypatch.setitem(engine_torch.MICRO_TOKENS, "cpu", 2 * TIME)
    split = TorchEngine(config, "torch-cpu-float32")
    assert split._micro == 2
    assert run(split, config) == pytest.approx(whole, abs=1e-5)


def logits_of(config):
    """Softcapped logits of the first batch, by the plain expression."""
    engine = TorchEngine(config, "torch-cpu-float32")
    engine.load(weights_of(config))
    model = engine._model
    with torch.no_grad():
        hidden, _ = model.hidden(torch.from_numpy(BATCHES[0][:, :-1]))
        return config.logit_softcap * torch.tanh(
            F.linear(hidden, model.embed) / config.logit_softcap
        )


def losses_of(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(8, -1)


def test_selective_loss_is_the_mean_over_the_unsure():
    config = config_of(ENTRIES["selective_loss"])
    logits, targets = logits_of(config), torch.from_numpy(BATCHES[0][:, 1:])
    top = logits.sort(dim=-1, descending=True).values
    unsure = top[..., 0] - top[..., 1] <= 0.3
    assert 0.1 < unsure.float().mean() < 0.9
    expected = losses_of(logits, targets)[unsure].mean()
    assert run(TorchEngine(config, "torch-cpu-float32"), config)[0] == pytest.approx(
        float(expected), abs=1e-5
    )


def test_mtp_adds_the_token_after_next_where_the_model_is_sure():
    config = config_of({**ENTRIES["mtp"], "mtp_start": 0.0})
    logits, batch = logits_of(config), torch.from_numpy(BATCHES[0])
    top = logits.sort(dim=-1, descending=True).values
    sure = (top[..., 0] - top[..., 1] > 0.3)[:, :-1]
    next_but_one = losses_of(logits[:, :-1], batch[:, 2:])
    expected = losses_of(logits, batch[:, 1:]).mean() + 0.5 * next_but_one[sure].sum() / (8 * TIME)
    assert run(TorchEngine(config, "torch-cpu-float32"), config)[0] == pytest.approx(
        float(expected), abs=1e-5
    )


def test_mtp_waits_for_its_part_of_the_training():
    config = gpt_config({**SMALL, "iterations": 10, "mtp": True})
    weights = [schedule_of(config).settings(step).mtp_weight for step in range(10)]
    assert weights == [0, 0] + 8 * [0.5]
    waiting = config_of({"mtp": True, "mtp_margin": 0.0, "mtp_start": 1.0})
    engine, plain = TorchEngine(waiting, "torch-cpu-float32"), gpt_config(SMALL)
    assert run(engine, waiting) == pytest.approx(
        run(TorchEngine(plain, "torch-cpu-float32"), plain), abs=1e-5
    )


def test_token_dropout_removes_places_from_input_and_target_alike():
    config = config_of({"token_dropout": 0.25})
    alteration = Alterations(config, seed=5)(0, STEPS)
    kept, gone = alteration.order[:12], alteration.order[12:]
    assert kept[0] == 0
    assert (np.diff(kept) > 0).all()
    assert sorted([*kept, *gone]) == list(range(TIME))
    assert alteration.shares.tolist() == 12 * [1.0] + 4 * [0.0]
    examples = examples_of(BATCHES[0], alteration)
    assert np.array_equal(examples.inputs[:, :12], BATCHES[0][:, kept])
    assert np.array_equal(examples.targets[:, :12], BATCHES[0][:, kept + 1])
    # What is left is the loss of the shorter sequences: what was removed is seen by nobody.
    engine = TorchEngine(config, "torch-cpu-float32")
    engine.load(weights_of(config))
    model, (inputs, targets) = engine._model, (examples.inputs[:, :12], examples.targets[:, :12])
    with torch.no_grad():
        hidden, _ = model.hidden(torch.from_numpy(inputs.copy()))
        cap = config.logit_softcap
        logits = cap * torch.tanh(F.linear(hidden, model.embed) / cap)
        short = losses_of(logits, torch.from_numpy(targets.copy())).mean()
    loss = engine.step(BATCHES[0], StepSettings(0.0, 0.0, alteration=alteration))
    assert loss == pytest.approx(float(short), abs=1e-5)


def test_dropout_differs_from_step_to_step_and_not_from_run_to_run():
    alterations = Alterations(config_of({"token_dropout": 0.25}), seed=5)
    orders = [alterations(step, STEPS).order.tolist() for step in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert Alterations(alterations.config, seed=6)(0, STEPS).order.tolist() != orders[0]


def test_graduated_rates():
    dropout = config_of({"token_dropout": 0.5, "token_dropout_graduated": True})
    removed = [int((Alterations(dropout, 0)(step, 8).shares == 0).sum()) for step in range(8)]
    assert removed == [8, 7, 6, 5, 4, 3, 2, 1]
    wide = {"corrupted_context": 0.8, "corrupted_context_graduated": True}
    corrupted = gpt_config({**SMALL, **wide, "train_batch_tokens": 2000 * TIME})
    rates = [Alterations(corrupted, 0)(step, 8).corrupted[:, 1:].mean() for step in range(8)]
    assert rates == pytest.approx([0.8 * math.sin(math.pi * i / 8) for i in range(8)], abs=0.02)


def test_corrupted_inputs_are_the_models_own_predictions():
    config = config_of({"corrupted_context": 0.4})
    alteration = Alterations(config, seed=5)(1, STEPS)
    assert not alteration.corrupted[:, 0].any()
    with torch.no_grad():
        best = logits_of(config).argmax(dim=-1).numpy()
    examples = examples_of(BATCHES[0], alteration, best)
    rows, places = np.nonzero(alteration.corrupted)
    assert 0.25 < len(rows) / (8 * TIME) < 0.55
    assert np.array_equal(examples.inputs[rows, places], best[rows, places - 1])
    kept = ~alteration.corrupted
    assert np.array_equal(examples.inputs[kept], BATCHES[0][:, :-1][kept])
    assert np.array_equal(examples.targets, BATCHES[0][:, 1:])
    # The engine asks its own model for them.
    engine = TorchEngine(config, "torch-cpu-float32")
    engine.load(weights_of(config))
    loss = engine.step(BATCHES[0], StepSettings(0.0, 0.0, alteration=alteration))
    engine.load(weights_of(config))
    rows = np.concatenate((examples.inputs, BATCHES[0][:, -1:]), axis=1)
    with torch.no_grad():
        hidden, _ = engine._model.hidden(torch.from_numpy(rows[:, :-1].copy()))
        logits = 30 * torch.tanh(F.linear(hidden, engine._model.embed) / 30)
        expected = losses_of(logits, torch.from_numpy(BATCHES[0][:, 1:].copy())).mean()
    assert loss == pytest.approx(float(expected), abs=1e-5)


def test_position_loss_leans_along_the_sequence():
    config = config_of({"position_loss": 0.5})
    shares = Alterations(config, 0)(0, STEPS).shares
    assert shares[[0, -1]].tolist() == [0.5, 1.5]
    assert shares.mean() == pytest.approx(1.0)
    engine = TorchEngine(config, "torch-cpu-float32")
    engine.load(weights_of(config))
    losses = engine.losses(BATCHES[0])
    assert run(engine, config)[0] == pytest.approx(float((losses * shares).mean()), abs=1e-5)


def test_embeddings_are_zeroed_where_the_model_was_sure_at_the_last_step():
    config = config_of(ENTRIES["embedding_mask"])
    engine = TorchEngine(config, "torch-cpu-float32")
    engine.load(weights_of(config))
    still = StepSettings(0.0, 0.0)
    first = engine.step(BATCHES[0], still)
    assert first == pytest.approx(float(engine.losses(BATCHES[0]).mean()), abs=1e-5)
    top = logits_of(config).sort(dim=-1, descending=True).values
    sure = (top[..., 0] - top[..., 1] > 0.3).numpy()
    assert np.array_equal(engine._sure, sure)
    examples = examples_of(BATCHES[1], None, sure=sure)
    assert examples.keep[:, 0].all()
    assert np.array_equal(examples.keep[:, 1:] == 0, sure[:, 1:])
    inputs, keep = torch.from_numpy(BATCHES[1][:, :-1].copy()), torch.from_numpy(examples.keep)
    model = engine._model
    with torch.no_grad():
        x = model._embedded(inputs, keep)
        assert not x[keep == 0].any()
        assert torch.equal(x[keep == 1], model._embedded(inputs)[keep == 1])
    assert engine.step(BATCHES[1], still) > 0
    engine.load(weights_of(config))
    assert engine.step(BATCHES[0], still) == first  # a new run starts with nothing masked


def test_confidence_is_the_gap_between_the_two_largest():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(50, 8, generator=generator)
    embed = torch.randn(VOCAB, 8, generator=generator)
    margin, best = confidence(hidden, embed, torch.tensor(5.0))
    logits = 5 * torch.tanh(hidden @ embed.T / 5)
    top = logits.sort(dim=-1, descending=True)
    torch.testing.assert_close(margin, top.values[:, 0] - top.values[:, 1])
    assert torch.equal(best, top.indices[:, 0])


def test_the_validation_loss_stays_the_full_one():
    plain, engine = gpt_config(SMALL), None
    expected = None
    for entry in ({}, *ENTRIES.values()):
        if entry.get("activation"):
            continue
        config = config_of(entry)
        engine = TorchEngine(config, "torch-cpu-float32")
        engine.load(weights_of(plain))
        losses = engine.losses(BATCHES[0])
        expected = losses if expected is None else expected
        assert np.array_equal(losses, expected)


def test_what_a_loss_costs():
    base = training_flops_per_step(GPTConfig())
    for entry, share in (
        ({"token_dropout": 0.1}, 0.0),
        ({"corrupted_context": 0.1}, 1 / 3),
        ({"embedding_mask": True}, 2 * 1024 * 512 * 524288 / base),
        ({"selective_loss": True}, 2 * 1024 * 512 * 524288 / base),
        ({"mtp": True}, (2 + 0.8 * 6) * 1024 * 512 * 524288 / base),
    ):
        assert training_flops_per_step(gpt_config(entry)) / base - 1 == pytest.approx(share)


def test_thresholds_rates_and_weights_cost_no_new_trace():
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    if not mx.metal.is_available() and shutil.which("g++") is None:
        pytest.skip("mlx compiles with g++ here, and there is none")
    from trainers.gpt.engine_mlx import MlxEngine

    mx.enable_compile()
    both = {"selective_loss": True, "mtp": True, "mtp_start": 0.5, "num_layers": 1}
    graded = {"token_dropout": 0.4, "token_dropout_graduated": True, "corrupted_context": 0.3}
    config = config_of({**both, **graded})
    engine = MlxEngine(config)
    first = run(engine, config)
    traces = engine.traces
    other = dataclasses.replace(
        config, selective_margin=0.2, mtp_margin=0.1, mtp_weight=0.9, token_dropout=0.1
    )
    assert run(engine, other) != first
    assert engine.traces == traces
