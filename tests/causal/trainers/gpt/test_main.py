"""The program of a run: what it logs and writes, and that a submission's file reproduces it."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from scripts.causal.submission.bundle import bundle
from trainers.api import RunSpec
from trainers.gpt.config import config_values, gpt_config
from trainers.gpt.main import _steps_within, main
from trainers.gpt.run import schedule_of
from trainers.gpt.trainer import GptTrainer

CONFIG = {
    "num_layers": 2,
    "model_dim": 32,
    "num_heads": 2,
    "num_kv_heads": 1,
    "vocab_size": 300,
    "train_seq_len": 16,
    "train_batch_tokens": 64,
    "iterations": 6,
    "warmdown_iters": 3,
    "val_points": 2,
    "val_tokens": 64,
}
FINAL = re.compile(
    r"final_int8_zlib_roundtrip_exact val_loss:(\d+\.\d{8}) val_bpb:(\d+\.\d{8})", re.ASCII
)


@pytest.fixture(scope="module")
def data(small_data):
    return small_data


@pytest.fixture
def run_file(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"backend": "torch-cpu-float32", "config": CONFIG}))
    return path


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("DATA_PATH", "TOKENIZER_PATH", "SEED", "MAX_WALLCLOCK_SECONDS", "RANK"):
        monkeypatch.delenv(name, raising=False)


def final_line(text):
    loss, bpb = FINAL.search(text.splitlines()[-1]).groups()
    return float(loss), float(bpb)


def test_a_run_logs_itself_and_its_artifact_reproduces_the_score(
    data, run_file, tmp_path, capsys, monkeypatch
):
    output = tmp_path / "out"
    shared = ["--config", str(run_file), "--data", str(data)]
    main([*shared, "--seed", "42", "--output", str(output)])
    printed = capsys.readouterr().out
    log = (output / "train_seed42.log").read_text()
    assert log.startswith('"""The program of a run')
    assert "class TorchEngine" in log  # the engine's source, not only the program's
    assert log.endswith(printed)
    assert re.findall(r"^step:(\d+) train_loss:\d\.\d{6}$", printed, re.M) == list("123456")
    assert re.findall(r"^step:(\d+) val_subset_bpb:", printed, re.M) == ["3", "6"]
    assert "\nseed: 42\n" in printed
    loss, bpb = final_line(printed)

    # The ledger's way to the same run: its submission must retrain to what was recorded.
    spec = RunSpec(
        trainer="gpt",
        backend="torch-cpu-float32",
        scale="tiny",
        config=config_values(gpt_config(CONFIG)),
        seed=42,
        data=str(data),
    )
    trainer, parent = GptTrainer(), None
    for plan in trainer.stages(spec):
        folder = tmp_path / plan.kind
        folder.mkdir()
        recorded = trainer.execute(plan, parent, folder)
        parent = folder
    assert recorded.metrics["val_bpb"] == pytest.approx(bpb, abs=1e-8)
    artifact = tmp_path / "quantize" / "model.int8.zlib"
    assert artifact.read_bytes() == (output / "model.int8.zlib").read_bytes()

    main([*shared, "--eval", "--artifact", str(output / "model.int8.zlib")])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["val_bpb"] == pytest.approx(bpb, abs=1e-7)
    assert result["val_loss"] == pytest.approx(loss, abs=1e-7)
    assert result["bytes_model"] == (output / "model.int8.zlib").stat().st_size

    monkeypatch.setenv("SEED", "43")
    monkeypatch.setenv("DATA_PATH", str(data))
    main(["--config", str(run_file), "--output", str(output)])
    assert final_line(capsys.readouterr().out) != (loss, bpb)
    assert (output / "train_seed43.log").is_file()


@pytest.mark.parametrize(
    "changes",
    [
        {"ema": 0.95, "sliding_window_eval": 4, "ttt": "score_first", "ttt_chunk_tokens": 256},
        {"swa": True, "ttt": "lora", "lora_chunk_tokens": 4, "mtp": True, "token_dropout": 0.1},
    ],
    ids=["ema, sliding, score-first", "swa, lora, mtp, dropout"],
)
def test_the_program_averages_and_evaluates_as_the_ledger_does(data, tmp_path, capsys, changes):
    config = gpt_config({**CONFIG, **changes})
    run_file, output = tmp_path / "run.json", tmp_path / "out"
    run_file.write_text(
        json.dumps({"backend": "torch-cpu-float32", "config": config_values(config)})
    )
    shared = ["--config", str(run_file), "--data", str(data)]
    main([*shared, "--seed", "42", "--output", str(output)])
    _, bpb = final_line(capsys.readouterr().out)
    main([*shared, "--eval", "--artifact", str(output / "model.int8.zlib")])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["val_bpb"] == pytest.approx(bpb, abs=1e-7)

    values = config_values(config)
    spec = RunSpec("gpt", "torch-cpu-float32", "tiny", values, 42, str(data))
    trainer, parent = GptTrainer(), None
    for plan in trainer.stages(spec):
        folder = tmp_path / plan.kind
        folder.mkdir()
        recorded = trainer.execute(plan, parent, folder)
        parent = folder
    assert recorded.metrics["val_bpb"] == pytest.approx(bpb, abs=1e-8)


@pytest.mark.parametrize("family", ["torch", "mlx"])
def test_a_submission_trains_and_evaluates_in_one_file(data, tmp_path, family):
    if find_spec(family) is None:
        pytest.skip(f"{family} is not installed")
    backend = f"{family}-cpu-float32"
    program = tmp_path / "train_gpt.py"
    program.write_text(
        bundle(
            GptTrainer().source_modules(backend),
            title="One run.",
            constants={"RUN": {"backend": backend, "scale": "tiny", "config": CONFIG, "seed": 7}},
            entry="main(run=RUN)",
        )
    )
    environment = {
        "PATH": os.defpath,
        "DATA_PATH": str(data),
        "TOKENIZER_PATH": str(data / "small.model"),
        "OMP_NUM_THREADS": "1",
        "MLX_DISABLE_COMPILE": "1",
        "HOME": str(tmp_path),
    }

    def alone(*options):
        done = subprocess.run(
            [sys.executable, "-I", program.name, *options],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    loss, bpb = final_line(alone("--output", "."))
    log = (tmp_path / "train_seed7.log").read_text()
    assert log.startswith(program.read_text())
    assert f"\nbackend: {backend}\n" in log
    result = json.loads(alone("--eval").splitlines()[-1])
    assert result["val_bpb"] == pytest.approx(bpb, abs=1e-6)
    assert result["val_loss"] == pytest.approx(loss, abs=1e-6)
    model = (tmp_path / "model.int8.zlib").stat().st_size
    assert result["bytes_total"] == model + program.stat().st_size


def test_a_wall_clock_cap_shortens_the_run(data, run_file, tmp_path, capsys, monkeypatch):
    command = ["--config", str(run_file), "--data", str(data), "--seed", "1"]
    command += ["--output", str(tmp_path)]
    monkeypatch.setenv("MAX_WALLCLOCK_SECONDS", "0.000001")
    main(command)
    printed = capsys.readouterr().out
    assert "max_wallclock_seconds:1e-06 steps:1 of 6\n" in printed
    assert re.findall(r"^step:(\d+) train_loss", printed, re.M) == ["1"]

    monkeypatch.setenv("MAX_WALLCLOCK_SECONDS", "3600")
    main(command)
    assert "steps:6 of 6\n" in capsys.readouterr().out


def test_a_cap_counts_repeated_layers_for_the_share_of_the_steps_that_has_them(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("trainers.gpt.main.time.perf_counter", lambda: clock[0])

    class Slow:
        def step(self, tokens, settings):
            clock[0] += 2.0 if settings.recurrent else 1.0

        def batch(self, step):
            return step

    config = gpt_config({"depth_recurrence": True, "recurrence_start": 0.5})
    assert _steps_within(150.0, Slow(), Slow(), schedule_of(config)) == 98  # 98 % of 150 / 1.5
    assert _steps_within(150.0, Slow(), Slow(), schedule_of(gpt_config({}))) == 73


@pytest.mark.slow
def test_two_processes_share_a_batch_and_agree_on_the_steps(data, run_file, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node=2", "-m", "trainers.gpt.main"]
    command += ["--config", str(run_file), "--data", str(data), "--seed", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MAX_WALLCLOCK_SECONDS": "3600"}

    def losses(command, output):
        done = subprocess.run(
            [*command, "--output", str(output)],
            env=environment,
            cwd=Path(__file__).parents[4],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert [path.name for path in output.glob("*.log")] == ["train_seed1.log"]
        return [float(x) for x in re.findall(r"train_loss:(\S+)", done.stdout)]

    alone = [sys.executable, *command[command.index("trainers.gpt.main") - 1 :]]
    shared = losses(command, tmp_path / "two")
    assert len(shared) == 6
    assert shared == pytest.approx(losses(alone, tmp_path / "one"), abs=1e-4)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, ["--data", "nowhere", "--seed", "1"], "nowhere: no such folder"),
        ({}, [], "a run needs a seed (give --seed or SEED)"),
        ({"backend": None}, ["--seed", "1"], "a run needs `backend`"),
        ({"backend": "jax-tpu"}, ["--seed", "1"], "no backend 'jax-tpu'"),
        ({"config": None}, ["--seed", "1"], "a run needs `config`, an object of fields"),
        ({"config": CONFIG | {"num_layers": -1}}, ["--seed", "1"], "num_layers=-1"),
        (
            {"config": CONFIG | {"vocab_size": 512}},
            ["--seed", "1"],
            "512 tokens, the data's 300",
        ),
        ({"seed": "x"}, [], "a seed must be a whole number, but got 'x'"),
        ({}, ["--eval", "--artifact", "gone.zlib"], "gone.zlib: cannot be read"),
        ({}, ["--eval", "--artifact", __file__], "not an artifact of this version"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_one_line_and_exit_2(data, tmp_path, capsys, changes, options, message):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"backend": "torch-cpu-float32", "config": CONFIG} | changes))
    if "--data" not in options:
        options = [*options, "--data", str(data)]
    with pytest.raises(SystemExit) as stopped:
        main(["--config", str(path), "--output", str(tmp_path / "out"), *options])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "out").exists()


def test_a_cap_that_is_no_number_is_refused(data, run_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MAX_WALLCLOCK_SECONDS", "ten")
    with pytest.raises(SystemExit):
        main(["--config", str(run_file), "--data", str(data), "--seed", "1"])
    assert "MAX_WALLCLOCK_SECONDS must be a number of seconds" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [{}, {"sliding_window_eval": 4}, {"ttt": "lora", "lora_chunk_tokens": 4}],
    ids=["plain", "sliding", "lora"],
)
def test_trained_without_validation_it_writes_the_loss_of_every_target(
    data, tmp_path, capsys, changes
):
    blind, run_file, losses = tmp_path / "blind", tmp_path / "run.json", tmp_path / "losses.npy"
    blind.mkdir()
    for path in (*data.glob("fineweb_train_*.bin"), *data.glob("*.model")):
        (blind / path.name).symlink_to(path)
    run_file.write_text(
        json.dumps({"backend": "torch-cpu-float32", "config": {**CONFIG, **changes}})
    )
    train = ["--config", str(run_file), "--seed", "1", "--steps", "3"]
    main([*train, "--data", str(blind), "--output", str(tmp_path / "a"), "--train-only"])
    main([*train, "--data", str(data), "--output", str(tmp_path / "b")])
    printed = capsys.readouterr().out
    assert len(re.findall(r"^step:\d+ train_loss:", printed, re.M)) == 6
    artifact = tmp_path / "a" / "model.int8.zlib"
    assert artifact.read_bytes() == (tmp_path / "b" / "model.int8.zlib").read_bytes()

    shared = ["--config", str(run_file), "--artifact", str(artifact), "--data", str(data)]
    main([*shared, "--eval", "--losses", str(losses)])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    kept = np.load(losses)
    assert kept.dtype == np.float32
    assert float(kept.mean(dtype=np.float64)) == pytest.approx(result["val_loss"], abs=1e-9)


@pytest.mark.parametrize(
    "options", [["--eval", "--steps", "3"], ["--eval", "--train-only"], ["--losses", "x.npy"]]
)
def test_options_at_odds_are_refused(run_file, options):
    with pytest.raises(SystemExit):
        main(["--config", str(run_file), *options])
