"""A run's parts: the same numbers on torch and MLX, and checkpoints that are read or refused."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from scripts.causal.files import InputError
from trainers.api import RunSpec
from trainers.gpt.trainer import GptTrainer
from trainers.script import ScriptTrainer
from trainers.workbench import read_checkpoint

CHANGES = {"vocab_size": 300, "bigram_hash": 64, "bigram_dim": 8, "depth_recurrence": True}


def spec_of(small_data, backend="torch-cpu-float32", **changes):
    config = GptTrainer().resolve("tiny", {**CHANGES, **changes})
    return RunSpec("gpt", backend, "tiny", config, 1, str(small_data))


def test_torch_and_mlx_look_alike_into_a_checkpoint(small_data, tmp_path):
    mx = pytest.importorskip("mlx.core", reason="mlx is not installed")
    mx.disable_compile()
    gpt = GptTrainer()
    torch, mlx = (
        gpt.workbench(spec_of(small_data, backend))
        for backend in ("torch-cpu-float32", "mlx-cpu-float32")
    )
    torch.engine.load(torch.start)
    for step in range(6):
        torch.engine.step(torch.batches.batch(step), torch.schedule.settings(step))
    save_file(torch.engine.weights(), tmp_path / "weights.safetensors")
    weights = read_checkpoint(tmp_path / "weights.safetensors")
    rows = torch.batches.batch(7)
    assert np.array_equal(rows, mlx.batches.batch(7))
    shares = np.random.default_rng(0).random(rows[:, 1:].shape, dtype=np.float32)
    for bench in (torch, mlx):
        bench.engine.load(weights)
    assert mlx.engine.losses(rows) == pytest.approx(torch.engine.losses(rows), abs=1e-4)
    theirs = mlx.engine.gradient(rows, shares)
    mx.enable_compile()
    for name, slope in torch.engine.gradient(rows, shares).items():
        assert theirs[name] == pytest.approx(slope, abs=1e-4), name
        assert slope.any(), name


def test_what_cannot_be_laid_out(small_data, tmp_path):
    gpt = GptTrainer()
    with pytest.raises(InputError, match="not on this machine"):
        gpt.workbench(spec_of(small_data, "torch-tpu-float32"))
    with pytest.raises(InputError, match="vocab_size"):
        gpt.workbench(spec_of(small_data, vocab_size=512))
    with pytest.raises(InputError, match="no such folder"):
        gpt.workbench(spec_of(tmp_path / "none"))
    with pytest.raises(InputError, match=r"train_gpt\.py.*cannot be looked into"):
        ScriptTrainer(f"{tmp_path}/train_gpt.py").workbench(spec_of(small_data))


def test_a_checkpoint_is_read_whole(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"a": np.arange(6, dtype=np.float16).reshape(2, 3)}, path)
    (values,) = read_checkpoint(path).values()
    assert values.dtype == np.float32 and values.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([1, 2]), "no finite number"),
        (np.array([1, np.nan], dtype=np.float32), "no finite number"),
    ],
)
def test_weights_that_are_none(tmp_path, values, message):
    save_file({"a": values}, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match=message):
        read_checkpoint(tmp_path / "weights.safetensors")


def test_damaged_files(tmp_path):
    path = tmp_path / "weights.safetensors"
    with pytest.raises(InputError, match="no such checkpoint"):
        read_checkpoint(path)
    save_file({"a": np.ones((4, 4), np.float32)}, path)
    whole = path.read_bytes()
    header = b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    for broken in (
        b"",
        whole[:-1],
        whole[:20],
        b"\xff" * 8 + whole[8:],
        whole.replace(b"F32", b"F99"),
        len(header).to_bytes(8, "little") + header + b"1234",
    ):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="not a whole safetensors file"):
            read_checkpoint(path)
