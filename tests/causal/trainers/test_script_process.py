"""Programs under watch: lines as they come, and nothing left running, whoever dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainers.api import RunFailed
from trainers.script_process import MAX_LINE_BYTES, Limits, LineSplitter, printable, watch

LIMITS = Limits(wall=30.0, silence=15.0)


def lines_of(code, tmp_path, limits=LIMITS):
    lines = []
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    watch([sys.executable, "-c", code], env=env, cwd=tmp_path, limits=limits, hear=lines.append)
    return lines


def test_both_streams_are_heard_in_order(tmp_path):
    code = "import sys; print('one'); print('two', file=sys.stderr); print('three', end='')"
    assert lines_of(code, tmp_path) == ["one", "two", "three"]


def test_a_line_is_heard_before_the_program_ends(tmp_path):
    def stop(line):
        raise RunFailed(f"heard {line}")

    began = time.monotonic()
    with pytest.raises(RunFailed, match="heard first"):
        watch(
            [sys.executable, "-uc", "import time; print('first'); time.sleep(600)"],
            env=os.environ,
            cwd=tmp_path,
            limits=LIMITS,
            hear=stop,
        )
    assert time.monotonic() - began < 10


def test_standard_input_is_empty(tmp_path):
    assert lines_of("import sys; print(len(sys.stdin.read()))", tmp_path) == ["0"]


def test_a_program_that_is_not_there(tmp_path):
    with pytest.raises(RunFailed, match=r"code 127; its last line: cannot be started: .*No such"):
        watch(["/no/such"], env={}, cwd=tmp_path, limits=LIMITS, hear=lambda line: None)


@pytest.mark.parametrize("size", [1, 7, 65536])
def test_lines_are_cut_and_put_together(size):
    splitter, lines = LineSplitter(), []
    data = b"a\r\nb\rprogress\n\n" + b"x" * 10_000 + b"\nlast\xff"
    for start in range(0, len(data), size):
        lines += splitter.feed(data[start : start + size])
    lines += splitter.rest()
    assert lines == ["a", "b", "progress", "x" * MAX_LINE_BYTES, "last\ufffd"]


def test_what_a_program_leaves_running_ends_with_it(tmp_path):
    code = (
        "import subprocess; print(subprocess.Popen(['sleep', '600'], start_new_session=True, "
        "stdout=subprocess.DEVNULL).pid)"
    )
    process = int(lines_of(code, tmp_path)[0])
    assert _gone(process)


def test_a_killed_campaign_leaves_nothing_running(tmp_path):
    inner = "import os, time; print(os.getpid()); time.sleep(600)"
    outer = (
        "import os, sys\nfrom pathlib import Path\n"
        "from trainers.script_process import Limits, watch\n"
        f"watch([sys.executable, '-uc', {inner!r}], env=os.environ, cwd=Path('.'), "
        "limits=Limits(60.0, 60.0), hear=lambda line: print(line, flush=True))"
    )
    process = subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    training = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert _gone(training)


def test_a_strangers_line_is_printable_and_short():
    assert printable("a\x1b[2J\tb\u202ec") == "a [2J b c"
    assert len(printable("z" * 5000)) == 301


def _gone(process):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
            state = Path(f"/proc/{process}/stat")
            if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
