"""A stranger's program in a clean process: its files alone, no network, bounded in everything.

What holds it, and where:

- the files that count, copied to a folder of their own, and nothing of the caller's environment;
  ``python -I``; modules of this project are not found: everywhere, against Python code;
- no network: on Linux a network namespace of its own, if unprivileged ones are allowed, on a Mac
  sandbox-exec; else only Python's own sockets are closed, which native code can go around;
- address space, file size and processor time: the kernel's resource limits (a Mac's kernel does
  not hold to the first); with CUDA no limit on address space, since CUDA maps more than it uses;
- time: the process and all it started in its session are killed.

Other files that the user may read can be read: for a program that is feared rather than doubted,
run the whole check in a container.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scripts.causal.submission.folder import PROGRAM, Folder

GUARD = Path(__file__).with_name("guard.py")
SECONDS = 1800.0
MEMORY_BYTES = 16 * 1024**3
FILE_BYTES = 2 * 1024**3
TAIL_BYTES = 64 * 1024
KERNEL_CHOICE = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_CBWR", "ATEN_CPU_CAPABILITY")

# Tried in this order; the first that starts Python at all is taken.
_NO_NETWORK: dict[str, tuple[str, ...]] = {
    "a network namespace of its own": (
        "unshare", "--user", "--map-current-user", "--net", "--pid", "--fork",
        "--kill-child=SIGKILL", "--",
    ),
    "sandbox-exec": ("sandbox-exec", "-p", "(version 1)(allow default)(deny network*)"),
}  # fmt: skip
_CUDA = Path("/dev/nvidiactl")
_PYTHON_ONLY = "Python's sockets closed, native code not held"


class SandboxError(Exception):
    """The program failed, ran too long, or printed too much: the message says which."""


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Attributes:
        seconds: wall time; processor time is bounded by it on every core.
        memory_bytes: address space; None for no limit, as CUDA needs.
    """

    seconds: float = SECONDS
    memory_bytes: int | None = None if _CUDA.exists() else MEMORY_BYTES

    @property
    def memory(self) -> str:
        """The bound on memory, in words."""
        if self.memory_bytes is None or sys.platform == "darwin":
            return "memory not bounded"
        return f"at most {self.memory_bytes // 2**30} GiB of address space"

    def bounds(self) -> dict[str, int]:
        """The resource limits by name."""
        bounds = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": FILE_BYTES}
        bounds["RLIMIT_CPU"] = int(self.seconds * (os.cpu_count() or 1)) + 1
        if self.memory_bytes is not None:
            bounds["RLIMIT_AS"] = self.memory_bytes
        return bounds


@dataclass(frozen=True)
class Finished:
    """A program that ended well: the end of what it printed, how long it took, what held it."""

    output: str
    seconds: float
    held: str


class Sandbox:
    """A folder of its own for a submission's counted files, to run its program in, repeatedly."""

    def __init__(self, root: Path, limits: Limits):
        self.root, self._limits = root, limits
        self.folder = root / "submission"

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Finished:
        """Run the program to its end.

        Args:
            arguments: its own.
            environment: added to an empty one. Of the caller's, only which arithmetic the machine
                is told to use is kept: other kernels round otherwise, and test-time training
                makes 1e-5 bpb of that.

        Raises:
            SandboxError: it fails, or runs into a limit.
        """
        network, launcher = no_network()
        said = {
            "PATH": os.defpath,
            "HOME": str(self.root),
            "TMPDIR": str(self.root),
            "OMP_NUM_THREADS": "1",
            **{name: os.environ[name] for name in KERNEL_CHOICE if name in os.environ},
            **environment,
        }
        bounds = json.dumps(self._limits.bounds())
        command = [*launcher, sys.executable, "-I", str(GUARD), bounds, PROGRAM, *arguments]
        printed, complained = self.root / "stdout", self.root / "stderr"
        started = time.monotonic()
        with printed.open("wb") as out, complained.open("wb") as err:
            try:
                process = subprocess.Popen(
                    command,
                    cwd=self.folder,
                    env=said,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
            except OSError as error:
                raise SandboxError(f"could not be started: {error.strerror}") from error
            try:
                code = process.wait(self._limits.seconds)
            except subprocess.TimeoutExpired as error:
                raise SandboxError(f"did not end within {self._limits.seconds:g} s") from error
            finally:
                _kill_session(process)
        if code:
            last = (_tail(complained).strip().splitlines() or ["no message"])[-1]
            raise SandboxError(f"exited with code {code}: {last[:500]}")
        held = f"no network: {network}; {self._limits.memory}"
        return Finished(_tail(printed), time.monotonic() - started, held)


@contextlib.contextmanager
def sandbox(folder: Folder, limits: Limits) -> Iterator[Sandbox]:
    """Copy the files that count to a new folder; it is gone afterwards.

    Raises:
        SandboxError: the copy is not what was counted.
    """
    with tempfile.TemporaryDirectory(prefix="referee-") as scratch:
        root = Path(scratch)
        for name, size in folder.counted.items():
            target = root / "submission" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder.path / name, target, follow_symlinks=False)
            if target.is_symlink() or target.stat().st_size != size:
                raise SandboxError(f"{name} changed while it was copied")
        yield Sandbox(root, limits)


@cache
def no_network() -> tuple[str, tuple[str, ...]]:
    """How a process is kept from the network on this machine: in words, and what starts it."""
    for words, launcher in _NO_NETWORK.items():
        if shutil.which(launcher[0]) is None:
            continue
        tried = subprocess.run(
            [*launcher, sys.executable, "-I", "-c", ""], capture_output=True, check=False
        )
        if not tried.returncode:
            return words, launcher
    return _PYTHON_ONLY, ()


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return file.read().decode("utf-8", errors="replace")
