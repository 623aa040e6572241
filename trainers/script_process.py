"""Run a stranger's program under watch: its lines as they come, its end when it hangs."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainers.api import RunFailed

MAX_LINE_BYTES = 4096
TAIL_LINES = 200
MAX_REASON = 300
MAX_KEPT_BYTES = 16_000_000  # a submission's cap: whatever is larger is no artifact
READ_BYTES = 1 << 16
CLOSE_SECONDS = 20.0
GUARD = Path(__file__).with_name("script_guard.py")
# "[rank0]: torch.OutOfMemoryError: CUDA out of memory": what an error line looks like.
_ERROR = re.compile(r"\b[\w.]{0,80}(?:Error|Exception|Interrupt)\b(?:: .*|$)")
_TORCHRUN = "ChildFailedError"  # says only that a worker failed; the worker's own line says why


@dataclass(frozen=True)
class Limits:
    """When a program is given up.

    Attributes:
        wall: seconds it may take as a whole.
        silence: seconds without a complete line after which it counts as hanging.
    """

    wall: float
    silence: float


def watch(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    limits: Limits,
    hear: Callable[[str], None],
) -> None:
    """Run a command to its end, calling `hear` with each line of its output.

    Output is text for `hear` and nothing else. Lines are cut at `MAX_LINE_BYTES`; carriage
    returns end a line too. An exception of `hear` ends the command, and so does the end of this
    process. Every process that the command started ends with it.

    Raises:
        RunFailed: it ended with another code than 0, said nothing for too long or took too long.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(GUARD), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,  # Ctrl-C is ours to answer
    )
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    try:
        _listen(process, limits, tail, hear)
        code = process.wait(CLOSE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise RunFailed("closed its output and did not end") from error
    finally:
        _end(process)
    if code != 0:
        raise RunFailed(f"{_how_it_ended(code)}{_why(tail)}")


class LineSplitter:
    """Bytes in, complete lines out, each cut at `MAX_LINE_BYTES`."""

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that these bytes complete; blank ones are left out."""
        pieces = data.replace(b"\r", b"\n").split(b"\n")
        lines = []
        for piece in pieces[:-1]:
            lines.append(self._begun + piece[: MAX_LINE_BYTES - len(self._begun)])
            self._begun = b""
        self._begun += pieces[-1][: MAX_LINE_BYTES - len(self._begun)]
        texts = (line.decode("utf-8", errors="replace").strip() for line in lines)
        return [text for text in texts if text]

    def rest(self) -> list[str]:
        """Return the line that the end of the output cut off, if there is one."""
        return self.feed(b"\n")


def _listen(
    process: subprocess.Popen[bytes],
    limits: Limits,
    tail: deque[str],
    hear: Callable[[str], None],
) -> None:
    assert process.stdout is not None
    splitter = LineSplitter()
    started = heard = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            if now >= started + limits.wall:
                raise RunFailed(f"was still running after {limits.wall:g} s{_last(tail)}")
            if now >= heard + limits.silence:
                raise RunFailed(f"hung: no line for {limits.silence:g} s{_last(tail)}")
            if not selector.select(min(started + limits.wall, heard + limits.silence) - now):
                continue
            data = os.read(process.stdout.fileno(), READ_BYTES)
            lines = splitter.feed(data) if data else splitter.rest()
            for line in lines:
                heard = time.monotonic()
                tail.append(line)
                hear(line)
            if not data:
                return


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the guard kill what is left, and see to it that the guard itself goes."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(CLOSE_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finally:
        process.stdout.close()


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _why(tail: Sequence[str]) -> str:
    found = [match[0] for line in tail if (match := _ERROR.search(line))]
    own = [line for line in found if _TORCHRUN not in line]
    return f": {printable(own[-1])}" if own else _last(tail)


def _last(tail: Sequence[str]) -> str:
    return f"; its last line: {printable(tail[-1])}" if tail else "; it printed nothing"


def printable(line: str) -> str:
    """A stranger's line, short and without control characters."""
    text = "".join(mark if mark.isprintable() else " " for mark in line[: 2 * MAX_REASON])
    text = " ".join(text.split())
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}…"


def command_line(said: Mapping[str, str], command: Sequence[str]) -> str:
    """A command with what the environment says, to be pasted into a shell."""
    return " ".join([*(f"{k}={shlex.quote(v)}" for k, v in said.items()), shlex.join(command)])


def keep_small_files(folder: Path) -> None:
    """Remove what is no artifact: raw weights above a submission's size, links."""
    for path in folder.rglob("*"):
        if path.is_symlink() or (path.is_file() and path.stat().st_size > MAX_KEPT_BYTES):
            path.unlink()
