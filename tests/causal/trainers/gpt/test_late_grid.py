"""Late training on the grid of curvature steps: exported as trained on, the same everywhere."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from scripts.causal.files import InputError
from trainers.api import RunFailed, RunSpec
from trainers.data import open_dataset
from trainers.engine import StepSettings
from trainers.gpt.config import config_values, gpt_config
from trainers.gpt.engine_torch import TorchEngine
from trainers.gpt.init import initial_weights
from trainers.gpt.main import main
from trainers.gpt.qat_torch import nearest_on
from trainers.gpt.quantizing import TrainedGrid
from trainers.gpt.run import batches_of, schedule_of
from trainers.gpt.stage_files import read_grids
from trainers.gpt.trainer import GptTrainer
from trainers.quantize.artifact import read_artifact

BACKEND = "torch-cpu-float32"
PLAIN = {
    "num_layers": 2,
    "model_dim": 32,
    "num_heads": 2,
    "num_kv_heads": 1,
    "vocab_size": 300,
    "train_seq_len": 16,
    "train_batch_tokens": 64,
    "iterations": 8,
    "warmdown_iters": 8,
    "val_points": 1,
    "val_tokens": 64,
}
LATE = {
    **PLAIN,
    "qat": True,
    "qat_below": 0.6,
    "qat_k": 0.002,
    "curvature_steps": True,
    "compressor": "ans",
}
CONFIG = gpt_config(LATE)


@pytest.fixture(scope="module")
def stages(small_data, tmp_path_factory):
    """Folders of every stage by kind."""
    trainer, parent, folders = GptTrainer(), None, {}
    config = config_values(gpt_config({**LATE, "ema": 0.95}))
    spec = RunSpec("gpt", BACKEND, "tiny", config, 42, str(small_data))
    for plan in trainer.stages(spec):
        folders[plan.kind.value] = tmp_path_factory.mktemp(plan.kind.value)
        trainer.execute(plan, parent, folders[plan.kind.value])
        parent = folders[plan.kind.value]
    return folders


def rounded(weight, grid):
    """As training has it."""
    return nearest_on(torch.from_numpy(weight), *map(torch.from_numpy, grid)).numpy()


def run(engine, config, small_data):
    """The losses of a run's steps, and the grid that it went on last."""
    data = open_dataset(small_data)
    batches, schedule = batches_of(config, data, 0), schedule_of(config)
    grid, losses = TrainedGrid(config, data, 0, schedule), []
    engine.configure(vars(config))
    engine.load(initial_weights(config, seed=0))
    for step in range(config.iterations):
        grid.before_step(step, engine)
        losses.append(engine.step(batches.batch(step), schedule.settings(step)))
    return losses, grid.grids


def test_what_is_exported_lies_where_training_had_it(stages):
    """The average of the weights, which takes their place, on the grid that they ended on."""
    grids, weights = (
        read_grids(CONFIG, stages["train"]),
        load_file(stages["average"] / "weights.safetensors"),
    )
    assert read_grids(CONFIG, stages["average"]).keys() == grids.keys()
    assert set(grids) == {
        name for name, value in weights.items() if min(value.shape) >= 16 and value.ndim == 2
    }
    exported = read_artifact((stages["quantize"] / "model.int8.ans").read_bytes())
    for name, grid in grids.items():
        assert np.array_equal(exported[name], rounded(weights[name], grid)), name
        assert not np.array_equal(exported[name], weights[name]), name


def test_the_loss_is_of_the_exported_weights(small_data):
    engine, data = TorchEngine(CONFIG, BACKEND), open_dataset(small_data)
    losses, grids = run(engine, CONFIG, small_data)
    batch, weights = batches_of(CONFIG, data, 0).batch(8), engine.weights()
    engine.set_grids(grids)
    loss = engine.step(batch, StepSettings(0.0, 0.9, quantized=True))
    for name, value in engine.weights().items():
        assert np.array_equal(value, weights[name]), name  # rate 0: back to the bit
    engine.load(weights | {name: rounded(weights[name], grid) for name, grid in grids.items()})
    assert loss == pytest.approx(float(engine.losses(batch).mean()), abs=1e-6)
    assert loss != pytest.approx(losses[-1], abs=1e-6)


def test_before_it_begins_nothing_differs_and_a_load_forgets_it(small_data):
    engine = TorchEngine(CONFIG, BACKEND)
    on_grid, grids = run(engine, CONFIG, small_data)
    plain, none = run(engine, gpt_config(PLAIN), small_data)
    assert grids and not none
    assert on_grid[:4] == plain[:4]  # to the bit
    assert on_grid[4] != plain[4]
    rows = gpt_config({**PLAIN, "qat": True, "qat_below": 0.6})
    assert run(engine, rows, small_data)[0] == run(TorchEngine(rows, BACKEND), rows, small_data)[0]


def test_torch_and_mlx_train_alike_on_it(mlx_engine, small_data):
    expected, grids = run(TorchEngine(CONFIG, BACKEND), CONFIG, small_data)
    found, others = run(mlx_engine(CONFIG), CONFIG, small_data)
    assert found == pytest.approx(expected, abs=1e-4)
    assert grids.keys() == others.keys()


def test_the_program_exports_the_same(small_data, tmp_path, stages):
    run_file, output = tmp_path / "run.json", tmp_path / "out"
    config = config_values(gpt_config({**LATE, "ema": 0.95}))
    run_file.write_text(json.dumps({"backend": BACKEND, "config": config}))
    shared = ["--config", str(run_file), "--data", str(small_data)]
    main([*shared, "--seed", "42", "--output", str(output)])
    artifact = (output / "model.int8.ans").read_bytes()
    assert artifact == (stages["quantize"] / "model.int8.ans").read_bytes()


def test_without_its_grid_nothing_is_exported(stages, small_data, tmp_path):
    trainer = GptTrainer()
    spec = RunSpec("gpt", BACKEND, "tiny", config_values(CONFIG), 42, str(small_data))
    (tmp_path / "weights.safetensors").symlink_to(stages["average"] / "weights.safetensors")
    with pytest.raises(InputError, match="were trained on is missing"):
        trainer.execute(trainer.stages(spec)[1], tmp_path, tmp_path)


def test_a_run_that_ends_before_it_begins_fails(small_data, tmp_path):
    trainer = GptTrainer()
    config = config_values(gpt_config({**LATE, "qat_below": 0.1}))
    spec = RunSpec("gpt", BACKEND, "tiny", config, 42, str(small_data))
    with pytest.raises(RunFailed, match="never fall below qat_below"):
        trainer.execute(trainer.stages(spec)[0], None, tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"qat": False},
        {"curvature_steps": False},
        {"gptq": "full"},
        {"artifact_cap": 9000},
        {"quant_k": 0.01},
        {"lqer": True},
    ],
)
def test_fields_that_would_move_codes_or_steps_are_refused(fields):
    with pytest.raises(InputError, match="qat and curvature_steps if qat_k"):
        gpt_config({**LATE, **fields})
