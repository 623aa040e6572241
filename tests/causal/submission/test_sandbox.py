"""What a program in the sandbox finds, and what it cannot do there."""

import os
import subprocess
import sys
import time

import pytest

from scripts.causal.submission import sandbox as module
from scripts.causal.submission.folder import open_folder
from scripts.causal.submission.sandbox import Limits, SandboxError, no_network, sandbox


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a program in the sandbox, beside a model and a README."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"weights")
    (folder / "README.md").write_text("# for people\n")

    def judge(program: str, *arguments: str, limits: Limits | None = None, **environment: str):
        (folder / "train_gpt.py").write_text(program)
        with sandbox(open_folder(folder), limits or Limits(seconds=60)) as box:
            return box.run(arguments, environment).output

    return judge


def test_it_finds_the_files_that_count_and_nothing_else(run):
    assert run("import os; print(sorted(os.listdir()))") == "['model.bin', 'train_gpt.py']\n"


def test_it_sees_nothing_of_the_callers_environment(run, monkeypatch):
    monkeypatch.setenv("SECRET", "1")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    program = "import os, sys; print(sorted(set(os.environ) - {'LC_CTYPE'}), sys.argv)"
    kept = sorted(name for name in module.KERNEL_CHOICE if name in os.environ)
    names = sorted(["HOME", "OMP_NUM_THREADS", "PATH", "TMPDIR", "DATA_PATH", *kept])
    assert run(program, "--eval", DATA_PATH="/d") == f"{names} ['train_gpt.py', '--eval']\n"


def test_it_is_the_main_program_and_may_import_its_own_files(run):
    program = (
        "from __future__ import annotations\n"
        "import dataclasses, pathlib\n"
        "pathlib.Path('own.py').write_text('VALUE = 3')\n"
        "import own\n"
        "@dataclasses.dataclass\n"
        "class A:\n    x: int = own.VALUE\n"
        "if __name__ == '__main__': print(A(), pathlib.Path(__file__).name)\n"
    )
    assert run(program) == "A(x=3) train_gpt.py\n"


@pytest.mark.parametrize("name", ["trainers.data", "scripts.causal.files", "interventions"])
def test_this_projects_modules_are_not_there(run, name):
    with pytest.raises(SandboxError, match="no part of the submission"):
        run(f"import {name}")


@pytest.mark.parametrize(
    "program",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9), 1)",
        "import urllib.request; urllib.request.urlopen('http://example.com', timeout=1)",
        "import socket as s; s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))",
    ],
)
def test_there_is_no_network_for_python(run, program):
    with pytest.raises(SandboxError, match="there is no network here"):
        run(program)


def test_there_is_no_network_for_other_programs(run):
    if not no_network()[1]:
        pytest.skip("this machine cannot take the network away from native code")
    program = (
        "import subprocess, sys\n"
        "said = 'import socket; socket.create_connection((\"1.1.1.1\", 53), 2)'\n"
        "print(subprocess.run([sys.executable, '-c', said], stderr=-1, text=True).stderr)\n"
    )
    assert "Network is unreachable" in run(program)


def test_it_ends_when_its_time_is_up_with_all_it_started(run, tmp_path):
    mark = tmp_path / "alive"
    program = (
        "import subprocess, sys, time\n"
        f"said = \"import time; time.sleep(4); open({str(mark)!r}, 'w')\"\n"
        "subprocess.Popen([sys.executable, '-c', said])\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(SandboxError, match=r"did not end within 2 s"):
        run(program, limits=Limits(seconds=2))
    time.sleep(4)
    assert not mark.exists()


def test_a_child_that_holds_the_output_open_does_not_hold_the_referee(run):
    program = "import subprocess, sys; subprocess.Popen(['sleep', '30']); print('done')"
    began = time.monotonic()
    assert run(program) == "done\n"
    assert time.monotonic() - began < 25


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac's kernel does not hold to this limit")
def test_memory_is_bounded(run):
    with pytest.raises(SandboxError, match="MemoryError"):
        run("bytearray(2**33)", limits=Limits(seconds=60, memory_bytes=2**31))


def test_what_it_writes_is_bounded_and_only_the_end_is_read(run, monkeypatch):
    assert len(run("print('x' * 1_000_000)")) == module.TAIL_BYTES
    monkeypatch.setattr(module, "FILE_BYTES", 2**20)
    with pytest.raises(SandboxError, match=r"exited with code"):
        run("print('x' * 2**22)")


def test_limits_cannot_be_raised_again(run):
    program = (
        "import resource\n"
        "try: resource.setrlimit(resource.RLIMIT_FSIZE, (2**40, 2**40)); print('raised')\n"
        "except (ValueError, OSError): print('held')\n"
    )
    if os.getuid() == 0 and not no_network()[1]:
        pytest.skip("root may raise any limit")
    assert run(program) == "held\n"


def test_a_failure_gives_its_last_line(run):
    with pytest.raises(SandboxError, match="code 1: no data"):
        run("raise SystemExit('no data')")


def test_a_file_that_grows_after_it_was_counted_is_refused(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"1")
    folder = open_folder(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"22")
    with pytest.raises(SandboxError, match="changed"), sandbox(folder, Limits()):
        pass


def test_where_nothing_takes_the_network_away_that_is_said(monkeypatch):
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    no_network.cache_clear()
    try:
        assert no_network() == ("Python's sockets closed, native code not held", ())
    finally:
        no_network.cache_clear()
    failed = subprocess.CompletedProcess([], 1)
    monkeypatch.undo()
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: failed)
    try:
        assert no_network()[1] == ()
    finally:
        no_network.cache_clear()
