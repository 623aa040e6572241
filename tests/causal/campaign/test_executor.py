"""Executors: every run comes to its end in the ledger, whatever becomes of the workers."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.causal.campaign.devices import available_cores, default_workers, gpu_groups
from scripts.causal.campaign.executor import InProcessExecutor, open_executor
from scripts.causal.campaign.owner import is_gone
from scripts.causal.campaign.pool import ProcessExecutor
from scripts.causal.campaign.run import read_chain
from scripts.causal.files import InputError

LONG = {"iterations": 400, "step_seconds": 0.002}


def drain(executor, keys, progress=None, deadline=30.0):
    """Poll until all these runs have ended; returns the keys in the order they ended."""
    ended, give_up = [], time.monotonic() + deadline
    while not keys <= set(ended):
        assert time.monotonic() < give_up, f"only {ended} of {keys} ended"
        ended.extend(executor.poll(progress))
    return ended


def claimed(ledger):
    return [row for row in ledger.rows() if row.status == "claimed"]


def wait_until(condition, deadline=20.0):
    give_up = time.monotonic() + deadline
    while not (found := condition()):
        assert time.monotonic() < give_up
        time.sleep(0.01)
    return found


@pytest.fixture(params=["in process", "processes"])
def executor(request, toy, ledger, toy_installed):
    with (
        InProcessExecutor(toy, ledger)
        if request.param == "in process"
        else ProcessExecutor(toy, ledger, workers=2)
    ) as executor:
        yield executor


def test_submitted_runs_end_in_the_ledger(executor, toy, ledger, make_spec):
    specs = [make_spec(seed) for seed in (1, 2, 3)] + [make_spec(1), make_spec(learning_rate=5.0)]
    heard = []
    keys = {executor.submit(spec) for spec in specs}
    assert len(keys) == 4
    ended = drain(executor, keys, lambda key, fraction: heard.append((key, fraction)))
    assert sorted(ended) == sorted(keys)
    assert {key for key, _ in heard} == keys
    assert all(0 <= fraction <= 1 for _, fraction in heard)
    runs = [read_chain(toy, spec, ledger) for spec in specs]
    assert runs[0] == runs[3]
    assert "diverged" in runs[4].failure
    assert executor.poll() == []


def test_a_cancelled_run_is_not_computed(executor, toy, ledger, make_spec):
    dropped, kept = executor.submit(make_spec(1)), executor.submit(make_spec(2))
    executor.cancel(dropped)
    assert drain(executor, {kept}) == [kept]
    assert read_chain(toy, make_spec(1), ledger) is None


def test_what_is_withdrawn_is_not_computed_and_what_has_begun_ends(
    executor, toy, ledger, make_spec
):
    keys = [executor.submit(make_spec(seed, **LONG)) for seed in (1, 2, 3, 4, 5)]
    ended = executor.poll()
    withdrawn = executor.withdraw()
    assert withdrawn
    ended += drain(executor, set(keys) - set(withdrawn) - set(ended))
    assert sorted(ended + withdrawn) == sorted(keys)
    assert executor.poll() == []
    assert {row.spec["seed"] for row in ledger.rows()} == {
        seed for seed, key in enumerate(keys, 1) if key in ended
    }
    assert executor.withdraw() == []


def test_a_fault_of_the_ledgers_or_the_data_comes_to_the_caller(
    executor, toy, ledger, make_spec, tmp_path
):
    executor.submit(make_spec())
    ledger.close()
    (tmp_path / "ledger.sqlite").write_bytes(b"overwritten by something else " * 100)
    for rest in ("-wal", "-shm"):
        (tmp_path / f"ledger.sqlite{rest}").unlink(missing_ok=True)
    with pytest.raises(InputError, match="the ledger cannot be used"):
        for _ in range(100):
            executor.poll()


@pytest.mark.parametrize("workers", [0, 1])
def test_the_machine_rests_between_runs(toy, ledger, make_spec, toy_installed, workers):
    with open_executor(toy, ledger, "toy-cpu", workers, cooldown=0.5) as executor:
        drain(executor, {executor.submit(make_spec(1)), executor.submit(make_spec(2))})
    ended = max(row.finished for row in ledger.rows() if row.spec["seed"] == 1)
    begun = min(row.started for row in ledger.rows() if row.spec["seed"] == 2)
    assert begun - ended >= 0.5


def test_workers_stay_warm_and_have_one_thread(toy, ledger, make_spec, toy_installed):
    with ProcessExecutor(toy, ledger, workers=1) as executor:
        drain(executor, {executor.submit(make_spec(1))})
        (worker,) = executor._workers
        pid = worker.process.pid
        drain(executor, {executor.submit(make_spec(2))})
        assert [item.process.pid for item in executor._workers] == [pid]
    assert {row.owner.split("|")[1] for row in ledger.rows()} == {str(pid)}
    assert read_chain(toy, make_spec(2), ledger).metrics["threads"] == 1
    assert worker.process.returncode is not None


def test_a_worker_that_is_killed_is_replaced_and_its_run_retried(
    toy, ledger, make_spec, toy_installed
):
    with ProcessExecutor(toy, ledger, workers=1) as executor:
        key = executor.submit(make_spec(**LONG))
        executor.poll()
        (row,) = wait_until(lambda: claimed(ledger))
        os.kill(int(row.owner.split("|")[1]), signal.SIGKILL)
        assert drain(executor, {key}) == [key]
    train = ledger.get(row.key)
    assert (train.status, train.attempts, train.crashes) == ("done", 2, 1)
    assert train.owner != row.owner


def test_a_run_that_kills_its_workers_fails_and_the_others_go_on(
    toy, ledger, make_spec, toy_installed
):
    with ProcessExecutor(toy, ledger, workers=2) as executor:
        deadly = make_spec(accident="/nowhere/always")
        keys = {executor.submit(spec) for spec in (deadly, make_spec(2), make_spec(3))}
        drain(executor, keys)
    run = read_chain(toy, deadly, ledger)
    assert run.failure == ("train: crashed 2 times: the worker process was killed by SIGKILL")
    assert read_chain(toy, make_spec(2), ledger).failure is None


def test_cancelling_a_running_run_frees_its_worker(toy, ledger, make_spec, toy_installed):
    with ProcessExecutor(toy, ledger, workers=1) as executor:
        endless = executor.submit(make_spec(step_seconds=1.0))
        executor.poll()
        (row,) = wait_until(lambda: claimed(ledger))
        executor.cancel(endless)
        key = executor.submit(make_spec(2))
        assert drain(executor, {key}) == [key]
    assert is_gone(row.owner, heartbeat=0, lease=1e9, now=1)
    assert ledger.get(row.key).crashes == 0


def test_a_worker_that_cannot_start_says_why(toy, ledger, make_spec):
    with ProcessExecutor(toy, ledger, workers=1) as executor:  # "toy" is not installed
        executor.submit(make_spec())
        with pytest.raises(InputError, match="no trainer named 'toy'"):
            for _ in range(100):
                executor.poll()


def test_code_that_changes_under_a_campaign_is_noticed(
    toy, ledger, make_spec, toy_installed, monkeypatch
):
    stages = toy.stages

    def stages_of_older_code(spec):
        return tuple(replace(plan, key=plan.key[::-1]) for plan in stages(spec))

    monkeypatch.setattr(toy, "stages", stages_of_older_code)
    with ProcessExecutor(toy, ledger, workers=1) as executor:
        executor.submit(make_spec())
        with pytest.raises(InputError, match="code has changed since the campaign started"):
            for _ in range(200):
                executor.poll()
    assert ledger.rows() == []


def test_workers_that_die_at_once_are_not_started_for_ever(
    toy, ledger, make_spec, toy_installed, tmp_path, monkeypatch
):
    (tmp_path / "toy_trainer.py").write_text("raise SystemExit('broken installation')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ['PYTHONPATH']}")
    with ProcessExecutor(toy, ledger, workers=1) as executor:
        executor.submit(make_spec())
        with pytest.raises(InputError, match="ended with code 1: broken installation"):
            for _ in range(200):
                executor.poll()


PARENT = """
import sys, time
from toy_trainer import ToyTrainer
from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.pool import ProcessExecutor
from trainers.api import RunSpec

toy = ToyTrainer()
config = toy.resolve("tiny", {"step_seconds": 1.0})
with ProcessExecutor(toy, open_ledger(sys.argv[1]), workers=2) as executor:
    for seed in (1, 2):
        executor.submit(RunSpec("toy", "numpy-cpu-float64", "tiny", config, seed, "toy-data"))
    while True:
        executor.poll()
"""


def test_workers_end_with_their_parent_even_when_it_is_killed(ledger, toy_installed, tmp_path):
    address = str(tmp_path / "ledger.sqlite")
    with subprocess.Popen([sys.executable, "-c", PARENT, address]) as parent:
        rows = wait_until(lambda: len(claimed(ledger)) == 2 and claimed(ledger))
        parent.kill()
    for row in rows:
        wait_until(lambda row=row: is_gone(row.owner, heartbeat=0, lease=1e9, now=1), 5.0)


@pytest.fixture
def four_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,GPU-6,7")


def test_the_backend_chooses(toy, ledger, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with open_executor(toy, ledger, "torch-cpu-float32") as executor:
        assert isinstance(executor, ProcessExecutor)
        assert executor.devices == min(available_cores(), 8)
    for backend in ("torch-cuda-bfloat16", "mlx-gpu-float32"):
        assert isinstance(open_executor(toy, ledger, backend), InProcessExecutor)
    assert isinstance(open_executor(toy, ledger, "torch-cpu-float32", 0), InProcessExecutor)
    assert open_executor(toy, ledger, "torch-cuda-bfloat16", 3).devices == 3
    with pytest.raises(InputError, match="workers >= 1"):
        open_executor(toy, ledger, "torch-cpu-float32", -1)


def test_a_kind_may_be_asked_for(toy, ledger):
    cpu, metal = "torch-cpu-float32", "mlx-gpu-float32"
    assert isinstance(open_executor(toy, ledger, cpu, kind="in-process"), InProcessExecutor)
    assert open_executor(toy, ledger, metal, kind="processes").devices == 1
    with pytest.raises(InputError, match="--executor: must be one of"):
        open_executor(toy, ledger, cpu, kind="slurm")
    for kind, workers in (("in-process", 2), ("processes", 0)):
        with pytest.raises(InputError, match=f"'{kind}' and --workers {workers} are at odds"):
            open_executor(toy, ledger, cpu, workers, kind=kind)


@pytest.mark.parametrize(
    ("backend", "groups"),
    [
        ("torch-cuda-bfloat16", ["4", "5", "GPU-6", "7"]),
        ("torch-cuda-2", ["4,5", "GPU-6,7"]),
        ("torch-cuda-8", []),
        ("torch-cpu-float32", []),
    ],
)
def test_gpus_are_dealt_out_to_runs_side_by_side(four_gpus, backend, groups):
    assert gpu_groups(backend) == groups
    if "cuda" in backend:
        assert default_workers(backend) == len(groups)


def test_every_gpu_has_a_process_of_its_own(toy, ledger, make_spec, toy_installed, four_gpus):
    backend = "torch-cuda-2"
    with open_executor(toy, ledger, backend) as executor:
        for seed in (1, 2):
            executor.submit(make_spec(seed, **LONG))
        executor.poll()
        pids = [worker.process.pid for worker in executor._workers]
        environments = [Path(f"/proc/{pid}/environ").read_text().split("\0") for pid in pids]
        seen = {line for lines in environments for line in lines if line.startswith("CUDA_VIS")}
    assert seen == {"CUDA_VISIBLE_DEVICES=4,5", "CUDA_VISIBLE_DEVICES=GPU-6,7"}
