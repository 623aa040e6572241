"""The program between us and a training script: ``python script_guard.py COMMAND...``.

It runs the command and ends it, with everything it started, when standard input closes: because
the run is given up, or because whoever wanted it is gone, however that came about (a killed
campaign must not leave eight GPUs busy). Killing a process group would not do: torchrun gives
each of its workers a session of its own. Reads nothing of this project, so that it starts at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

PR_SET_CHILD_SUBREAPER = 36
KILL_SECONDS = 10.0


def main() -> NoReturn:
    """Run the command of the command line, and end as it ended."""
    _adopt_orphans()
    try:
        command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"cannot be started: {error}", flush=True)
        os._exit(127)
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    code = command.wait()
    _kill_descendants()
    if code < 0:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def _end_with_standard_input() -> None:
    while os.read(0, 4096):
        pass
    _kill_descendants()
    os._exit(1)


def _adopt_orphans() -> None:
    """On Linux, a process whose parent dies becomes our child, so that none can slip away."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _kill_descendants() -> None:
    deadline = time.monotonic() + KILL_SECONDS
    while (alive := _descendants()) and time.monotonic() < deadline:
        for process in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


def _descendants() -> list[int]:
    """Every living process that we started, and those that they started."""
    parents = _parents_in_proc() if Path("/proc/self/stat").exists() else _parents_by_ps()
    found: list[int] = []
    last = {os.getpid()}
    while last:
        last = {process for process, parent in parents.items() if parent in last}
        found += last
    return found


def _parents_in_proc() -> dict[int, int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # pid (name) state parent ...; the name may hold anything, so count from its end
            state, parent = path.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state not in "ZX":
                parents[int(path.parent.name)] = int(parent)
    return parents


def _parents_by_ps() -> dict[int, int]:
    listed = subprocess.Popen(
        ["ps", "-A", "-o", "pid=,ppid=,stat="], stdout=subprocess.PIPE, text=True
    )
    text = listed.communicate()[0]
    rows = [line.split() for line in text.splitlines()]
    return {
        int(row[0]): int(row[1])
        for row in rows
        if len(row) == 3 and row[2][0] != "Z" and int(row[0]) != listed.pid
    }


if __name__ == "__main__":
    main()
