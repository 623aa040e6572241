"""A program made smaller computes the same, and its loader can be looked into unrun."""

import lzma
import subprocess
import sys

import pytest

from scripts.causal.submission import compact
from scripts.causal.submission.compact import (
    CompactError,
    runs_what_it_hides,
    unwrap,
    without_comments,
    wrap,
)

SOURCE = '''"""Title."""
from __future__ import annotations
from dataclasses import dataclass


@dataclass
class Point:
    """A point."""

    x: int = 1  # why


def f():
    """Only a docstring."""


text = "# no comment"
if __name__ == "__main__":
    print(Point(), f(), text, __file__.rsplit("/", 1)[-1])
'''


def test_comments_and_docstrings_go_and_nothing_else():
    small = without_comments(SOURCE)
    assert "why" not in small and "docstring" not in small and "Title" not in small
    assert "# no comment" in small
    assert without_comments(small) == small


def test_the_loader_runs_as_the_program_itself(tmp_path):
    small = without_comments(SOURCE)
    path = tmp_path / "train_gpt.py"
    path.write_text(wrap(small, title="One file."))
    assert path.read_text().startswith('"""One file."""\n')
    done = subprocess.run([sys.executable, "-I", path], capture_output=True, text=True, check=True)
    assert done.stdout == "Point(x=1) None # no comment train_gpt.py\n"
    assert unwrap(path.read_text()) == small


@pytest.mark.parametrize(
    "text",
    ["print(1)", "import inspect\ninspect.getsource(f)", "f.__doc__", "def f(:", "x" * 9 + "("],
)
def test_what_would_change_is_refused(text):
    if text == "print(1)":
        assert without_comments(text) == "print(1)\n"
        return
    with pytest.raises(CompactError):
        without_comments(text)


def test_another_text_and_a_damaged_loader_unpack_to_nothing(monkeypatch):
    good = wrap("x = 1\n" * 100, title="t")
    assert unwrap(SOURCE) is None
    assert all(unwrap(good[:at]) is None for at in range(len(good)))
    assert unwrap('"""t"""; import os' + good.partition('"""t"""')[2]) is None
    assert unwrap(good + "import os\n") is None
    assert unwrap("import os\n" + good) is None
    monkeypatch.setattr(compact, "MAX_SOURCE_BYTES", 100)
    assert unwrap(good) is None


def test_a_small_file_that_unpacks_to_gigabytes_is_bounded(monkeypatch):
    monkeypatch.setattr(compact, "MAX_SOURCE_BYTES", 2**16)
    packed = lzma.compress(b"#" * 2**24, format=lzma.FORMAT_ALONE)
    assert len(packed) < 5000
    assert unwrap(wrap("#" * 2**24, title="bomb")) is None


@pytest.mark.parametrize(
    ("text", "hides"),
    [("x = 1", False), ("exec(open('b').read())", True), ("model.eval()", False), ("(", True)],
)
def test_what_runs_other_text_is_known(text, hides):
    assert runs_what_it_hides(text) is hides
