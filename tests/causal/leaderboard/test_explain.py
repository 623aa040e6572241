"""A README with its facts at their lines, and nothing in it that moves the terminal."""

import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.causal.files import InputError
from scripts.causal.leaderboard.explain import MAX_WIDTH, explain, find_place, printable
from scripts.causal.leaderboard.extract import extract_submission
from scripts.causal.leaderboard.schema import Source, Submission
from scripts.causal.leaderboard.sources import Place

SCRIPT = Path(__file__).parents[3] / "scripts" / "causal" / "extract_interventions.py"
README = "# Wide MLP\n\nBuilt on PR #12.\n\n- 11L\n- val_bpb: **1.1234**\n"


def test_every_fact_stands_below_its_line():
    read = extract_submission("7/t/b", README, [])
    lines = explain(read, README).splitlines()
    below: dict[str, list[str]] = {}
    shown = ""
    for line in lines[lines.index("") + 1 :]:
        if "│" in line:
            shown = line.split("│ ", 1)[1]
        else:
            below.setdefault(shown, []).append(line.split("◀ ", 1)[1])
    assert below["Built on PR #12."] == ["parent_prs = #12"]
    assert below["- 11L"] == ["techniques.num_layers = 11"]
    assert below["- val_bpb: **1.1234**"] == ["val_bpb = 1.1234"]
    assert [line.split("│ ", 1)[1] for line in lines if "│" in line] == README.splitlines()


def test_facts_of_other_files_stand_in_front_with_their_place():
    read = Submission(
        id="7/t/b", also=("9/t/b",), pr=7, date="2026-03-02", author="ada", problems=("odd",),
        sources={"author": Source(file="submission.json", line=3)},
    )  # fmt: skip
    head = explain(read, "x\n").split("\n\n")[0].splitlines()
    assert head[:3] == ["7/t/b", "also 9/t/b", "problem: odd"]
    assert "  ◀ author = ada   (submission.json:3)" in head
    assert "  ◀ pr = 7   (its folder)" in head


def test_controls_and_bidi_marks_are_shown_and_not_done():
    readme = "a\x1b[31mred\x07 \u202egpj.exe\u2066 \u200bz\x9b1A\n"
    shown = explain(Submission(id="t/\x1b]0;x\x07"), readme)
    assert "\\u{1b}[31mred\\u{7} \\u{202e}gpj.exe\\u{2066} \\u{200b}z\\u{9b}1A" in shown
    assert "t/\\u{1b}]0;x\\u{7}" in shown


@given(st.text())
def test_nothing_unseen_reaches_the_terminal(text):
    shown = explain(Submission(id=text or "x"), text)
    hidden = [mark for mark in shown if unicodedata.category(mark)[0] in "C" and mark != "\n"]
    assert [mark for mark in hidden if unicodedata.category(mark) != "Cn"] == []
    assert printable("é ✓ 漢 | [bold]") == "é ✓ 漢 | [bold]"


def test_long_lines_are_cut():
    shown = explain(Submission(id="x"), "y" * 60_000)
    assert max(map(len, shown.splitlines())) < MAX_WIDTH + 40


def test_a_submission_is_found_by_id_folder_and_number():
    def place(identity, pr):
        return Place(identity, identity, pr, frozenset())

    one, two, three = place("7/t/b", 7), place("8/t/c", 8), place("8/t/d", 8)
    for name in ("7/t/b", "b", "7", "#7"):
        assert find_place([one, two, three], name) is one
    with pytest.raises(InputError, match="2 submissions match: 8/t/c, 8/t/d"):
        find_place([one, two, three], "#8")
    with pytest.raises(InputError, match="no submission 'z"):
        find_place([one], "z\x1b")


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True
    )


def test_the_command_explains_and_exports(tmp_path):
    folder = tmp_path / "in" / "7" / "t" / "b"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(README)
    (folder / "submission.json").write_text(json.dumps({"author": "ada"}))
    done = run("--input", tmp_path / "in", "--explain", "b", "--csv", tmp_path / "x.csv")
    assert (done.returncode, done.stderr) == (0, "")
    assert "◀ techniques.num_layers = 11" in done.stdout
    assert (tmp_path / "x.csv").read_text().startswith("id,also,pr,")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "nothing to write"),
        (["--explain", "zzz"], "no submission 'zzz'"),
        (["--pulls", "--csv", "x.csv"], "needs --git PATH"),
        (["--git", ".", "--input", ".", "--csv", "x.csv"], "either --input or --git"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(options, said):
    done = run(*options)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_bundled_record_is_found_by_its_pull_request():
    shown = subprocess.run(
        [sys.executable, SCRIPT, "--explain", "549"], capture_output=True, text=True, check=True
    )
    other = subprocess.run(
        [sys.executable, SCRIPT, "--explain", "99999"], capture_output=True, text=True
    )
    assert shown.stdout.startswith("track_10min_16mb/")
    assert "pr = 549" in shown.stdout
    assert other.returncode == 2
