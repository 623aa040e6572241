"""The script trainer against real subprocesses: what a run says, and every way it can go wrong."""

import os
import time
from pathlib import Path

import pytest
from fake_script import FINAL, GOOD, good_until, without_final, write_script

from scripts.causal.files import InputError
from trainers.api import RunFailed, RunSpec, load_trainer
from trainers.script import ScriptTrainer

QUICK = {"grace": 20.0, "silence": 15.0}
UNDER_TORCHRUN = {"grace": 60.0, "silence": 60.0}


def spec_of(trainer, data, seed=1, backend="torch-cpu-1", **overrides):
    return RunSpec(
        trainer=trainer.name,
        backend=backend,
        scale="record",
        config=trainer.resolve("record", overrides),
        seed=seed,
        data=str(data),
    )


@pytest.fixture
def run(tmp_path, small_data):
    """Run a script of this text and return what it measured; its files lie in tmp_path/out."""

    def run_text(text=GOOD, seed=1, backend="torch-cpu-1", limits=QUICK, **overrides):
        trainer = ScriptTrainer(str(write_script(tmp_path, text)), **limits)
        plan = trainer.stages(spec_of(trainer, small_data, seed, backend, **overrides))[0]
        output = tmp_path / "out"
        output.mkdir(exist_ok=True)
        return trainer.execute(plan, None, output)

    return run_text


def test_a_good_run_gives_score_sizes_and_curves(run, tmp_path):
    result = run()
    assert result.metrics["val_bpb"] == pytest.approx(1.251)
    assert result.metrics["val_loss"] == pytest.approx(2.502)
    assert result.metrics["pre_quant_bpb"] == pytest.approx(1.351)
    assert result.metrics["artifact_bytes"] == 15863489
    assert result.metrics["submission_bytes"] == 15911131
    assert result.metrics["parameters"] == 17059912
    assert result.metrics["seconds"] == pytest.approx(0.2)
    assert result.metrics["tokens"] == 20 * 512
    assert result.curves["step"] == [float(step) for step in range(1, 21)]
    assert result.curves["val_step"] == [0.0, 10.0, 20.0]
    assert result.curves["val_tokens"] == [0.0, 5120.0, 10240.0]
    console = (tmp_path / "out" / "console.log").read_text()
    assert "SEED=1" in console.splitlines()[0]
    assert "final_int8_zlib_roundtrip_exact" in console
    assert (tmp_path / "out" / "final_model.int8.ptz").stat().st_size == 100
    assert (tmp_path / "out" / "train_gpt.py").read_text() == GOOD


def test_interventions_reach_the_script_as_environment_variables(run):
    assert run(matrix_lr=0.06).metrics["val_bpb"] == pytest.approx(1.261)
    assert run(smear_gate=True).metrics["val_bpb"] == pytest.approx(1.241)
    assert run(seed=3).metrics["val_bpb"] == pytest.approx(1.253)


def test_the_callers_environment_tells_the_script_nothing(run, monkeypatch):
    monkeypatch.setenv("MATRIX_LR", "0.5")
    monkeypatch.setenv("SEED", "4")
    assert run().metrics["val_bpb"] == pytest.approx(1.251)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (without_final(), "ended without its final line"),
        (
            good_until(7, "print('step:7/20 train_loss:nan train_time:70ms')"),
            "diverged: train_loss is nan at step 7",
        ),
        (good_until(5, "raise ValueError('no flash')"), "code 1: ValueError: no flash"),
        (good_until(5, "sys.exit(3)"), "ended with code 3"),
        (good_until(5, "os.kill(os.getpid(), 9)"), "was killed by SIGKILL"),
        ("print('step:1/2 train_loss:')\nprint('\\x00\\x1b[2J' * 50)", "without its final line"),
        ("", "without its final line"),
        ("print('final_x_exact val_loss:2.0 val_bpb:-1.0')", "which cannot be"),
        ("print('final_x_exact val_loss:2.0 val_bpb:inf')", "diverged: val_bpb is inf"),
        (FINAL.replace("bpb", "1.2") + "\nprint('step:3/9 train_loss:2.0')", "without its final"),
        (GOOD.replace("{step * 10}ms", "{step * 60000}ms"), "trained for 1200.0 s, over the cap"),
    ],
)
def test_a_run_that_goes_wrong_fails_with_its_reason(run, text, reason):
    with pytest.raises(RunFailed, match=r"^[^\x00-\x1f]+$") as failure:
        run(text)
    assert reason in str(failure.value)


def test_a_run_that_says_nothing_is_killed_with_everything_it_started(run, tmp_path):
    child = (
        "import subprocess; print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid, "
        "file=open('pid', 'w'), flush=True); time.sleep(600)"
    )
    began = time.monotonic()
    with pytest.raises(RunFailed, match="hung: no line for 1 s; its last line: step:4/20"):
        run(good_until(4, child), limits={"grace": 20.0, "silence": 1.0})
    assert time.monotonic() - began < 15
    assert not _alive(int((tmp_path / "out" / "pid").read_text()))


def test_a_stream_without_line_ends_counts_as_silence(run):
    endless = "import sys\nwhile True:\n    sys.stdout.write('x' * 65536)"
    with pytest.raises(RunFailed, match="hung: no line for 1 s; it printed nothing"):
        run(endless, limits={"grace": 20.0, "silence": 1.0})


def test_a_run_over_its_wall_time_is_killed(run):
    chatter = "import time\nwhile True:\n    print('still here')\n    time.sleep(0.05)"
    # The cap on training is 600 s; a grace below 0 leaves a second of it.
    with pytest.raises(RunFailed, match="was still running after 1 s; its last line: still here"):
        run(chatter, limits={"grace": -599.0, "silence": 15.0})


def test_a_huge_line_is_cut_and_the_run_goes_on(run, tmp_path):
    text = good_until(2, "print('step:2/20 train_loss:9.0 ' + 'y' * 30_000_000)")
    result = run(text)
    assert result.metrics["val_bpb"] == pytest.approx(1.251)
    assert (tmp_path / "out" / "console.log").stat().st_size < 20_000


def test_raw_weights_and_links_are_not_kept(run, tmp_path):
    extra = "open('final_model.pt', 'wb').truncate(16_000_001); os.symlink('/etc', 'link')"
    run(good_until(1, extra))
    kept = {path.name for path in (tmp_path / "out").iterdir()}
    assert kept == {"console.log", "train_gpt.py", "final_model.int8.ptz"}


def test_two_processes_under_torchrun(run):
    both = (
        "args = Hyperparameters()\n"
        "if os.environ['RANK'] != '0': sys.exit(0)\n"
        "print('model_params:' + os.environ['WORLD_SIZE'])"
    )
    text = GOOD.replace('print("model_params:17059912")\n', "")
    text = text.replace("args = Hyperparameters()", both)
    result = run(text, backend="torch-cpu-2", limits=UNDER_TORCHRUN)
    assert result.metrics["parameters"] == 2
    assert result.metrics["val_bpb"] == pytest.approx(1.251)


@pytest.mark.slow
def test_two_processes_reduce_over_gloo_and_one_failing_ends_both(run):
    reduced = (
        "args = Hyperparameters()\n"
        "import torch, torch.distributed as dist\n"
        "dist.init_process_group('gloo')\n"
        "total = torch.ones(()); dist.all_reduce(total)\n"
        "print('model_params:%d' % total)\n"
    )
    text = GOOD.replace('print("model_params:17059912")\n', "")
    ended = text.replace("args = Hyperparameters()", f"{reduced}dist.destroy_process_group()\n")
    result = run(ended, backend="torch-cpu-2", limits=UNDER_TORCHRUN)
    assert result.metrics["parameters"] == 2
    crash = f"{reduced}if dist.get_rank(): raise ValueError('rank 1 is ill')\ntime.sleep(600)\n"
    with pytest.raises(RunFailed, match="ended with code 1: ValueError: rank 1 is ill"):
        run(
            text.replace("args = Hyperparameters()", crash),
            backend="torch-cpu-2",
            limits=UNDER_TORCHRUN,
        )


def test_a_key_holds_script_environment_seed_and_data(tmp_path, small_data):
    trainer = ScriptTrainer(str(write_script(tmp_path)))

    def key(**options):
        return trainer.stages(spec_of(trainer, small_data, **options))[0].key

    first = key()
    assert key() == first
    assert key(matrix_lr=0.04) == first  # the script's own default, said or not
    assert len({first, key(seed=2), key(matrix_lr=0.05), key(backend="torch-cpu-2")}) == 4
    (tmp_path / "elsewhere").mkdir()
    moved = ScriptTrainer(str(write_script(tmp_path / "elsewhere")))
    assert moved.stages(spec_of(moved, small_data))[0].key == first
    write_script(tmp_path, GOOD + "# another\n")
    assert key() != first


def test_a_module_beside_the_script_is_part_of_the_key(tmp_path, small_data):
    (tmp_path / "kernels.py").write_text("FAST = 1\n")
    trainer = ScriptTrainer(str(write_script(tmp_path, "import kernels\n" + GOOD)))
    before = trainer.stages(spec_of(trainer, small_data))[0].key
    (tmp_path / "kernels.py").write_text("FAST = 2\n")
    assert trainer.stages(spec_of(trainer, small_data))[0].key != before


def test_a_script_changed_meanwhile_is_not_run(tmp_path, small_data):
    trainer = ScriptTrainer(str(write_script(tmp_path)))
    plan = trainer.stages(spec_of(trainer, small_data))[0]
    write_script(tmp_path, GOOD + "# another\n")
    with pytest.raises(InputError, match="has changed since the campaign started"):
        trainer.execute(plan, None, tmp_path)


def test_the_command_is_python_for_one_and_torchrun_for_more(tmp_path):
    trainer = ScriptTrainer(str(tmp_path / "train_gpt.py"))
    assert trainer.command("mlx-gpu-1")[1:] == [str(tmp_path / "train_gpt.py")]
    command = trainer.command("torch-cuda-8")
    assert command[1:] == [
        *("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=8"),
        str(tmp_path / "train_gpt.py"),
    ]
    with pytest.raises(InputError, match="no backend 'torch-cuda'"):
        trainer.command("torch-cuda")


def test_an_mlx_script_runs_on_mlx(tmp_path):
    path = write_script(tmp_path, "import mlx.core as mx\n", name="train_gpt_mlx.py")
    assert ScriptTrainer(str(path)).backends()[0].startswith("mlx-")


def test_no_script_and_no_scale_are_said(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        ScriptTrainer(str(tmp_path / "train_gpt.py")).resolve("record", {})
    trainer = ScriptTrainer(str(write_script(tmp_path)))
    with pytest.raises(InputError, match=r"no scale 'fast' \(record, minute\)"):
        trainer.resolve("fast", {})


def test_it_is_registered_and_takes_its_script(tmp_path, monkeypatch):
    info = tmp_path / "site" / "causal_script-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: causal-script\nVersion: 1\n")
    project = Path(__file__).parents[3] / "pyproject.toml"
    line = next(x for x in project.read_text().splitlines() if "trainers.script:" in x)
    (info / "entry_points.txt").write_text(f"[causal_trainers]\n{line.replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    trainer = load_trainer(f"script:{write_script(tmp_path)}")
    assert isinstance(trainer, ScriptTrainer)
    assert load_trainer(trainer.name).name == trainer.name
    with pytest.raises(InputError, match="the gpt trainer takes no argument"):
        load_trainer("gpt:x")


def _alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
