import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from scripts.causal.extract_interventions import EVIDENCE, RECORDS, extract_leaderboard
from scripts.causal.files import InputError
from scripts.causal.leaderboard.schema import load_leaderboard

SCRIPT = Path(__file__).parents[3] / "scripts" / "causal" / "extract_interventions.py"


def write(folder: Path, readme: str = "# X\n\n- 11L\n", described: str = '{"val_bpb": 1.1}'):
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(readme)
    (folder / "submission.json").write_text(described)


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True
    )


def test_any_tree_of_pairs_is_read_in_path_order(tmp_path):
    write(tmp_path / "b" / "2026-03-02_second")
    write(tmp_path / "a" / "deep" / "first")
    (tmp_path / "README.md").write_text("# not a submission\n")
    read = extract_leaderboard(tmp_path)
    assert [s.id for s in read.submissions] == ["a/deep/first", "b/2026-03-02_second"]
    assert read == extract_leaderboard(tmp_path)


def test_a_readme_beside_pairs_is_a_submission_without_json(tmp_path):
    write(tmp_path / "t" / "one")
    (tmp_path / "t" / "two").mkdir()
    (tmp_path / "t" / "two" / "README.md").write_text("# Two\n\n**val_bpb: 1.2345**\n")
    two = extract_leaderboard(tmp_path).submissions[1]
    assert (two.id, two.val_bpb) == ("t/two", 1.2345)
    assert two.problems == ("no submission.json beside README.md",)


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.touch()])
def test_no_folder_or_no_pair_is_one_clear_error(tmp_path, make):
    make(tmp_path / "in")
    with pytest.raises(InputError, match="in: "):
        extract_leaderboard(tmp_path / "in")


def test_malformed_json_stops_by_default_and_is_noted_on_request(tmp_path):
    write(tmp_path / "t" / "bad", described='{"val_bpb": ')
    write(tmp_path / "t" / "good", described="{}")
    with pytest.raises(InputError, match=r"bad/submission\.json: is not valid JSON"):
        extract_leaderboard(tmp_path)
    bad, good = extract_leaderboard(tmp_path, keep_going=True).submissions
    assert (bad.id, good.id) == ("t/bad", "t/good")
    assert bad.techniques == good.techniques == {"num_layers": 11}  # of the README
    assert bad.problems[0].startswith("submission.json: is not valid JSON")


def test_the_command_writes_a_checked_file(tmp_path):
    write(tmp_path / "in" / "t" / "one")
    done = run("--input", tmp_path / "in", "--output", tmp_path / "out.json", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert load_leaderboard(tmp_path / "out.json").submissions[0].techniques == {"num_layers": 11}


def test_without_an_input_the_whole_leaderboard_is_read(tmp_path):
    done = run("--output", tmp_path / "out.json", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    written = load_leaderboard(tmp_path / "out.json")
    assert written == extract_leaderboard(EVIDENCE)
    assert len(written.submissions) > 10 * len(extract_leaderboard(RECORDS).submissions)


def test_without_an_input_a_readme_is_explained_from_the_records():
    done = run("--explain", "2026-03-17_NaiveBaseline")
    assert done.returncode == 0
    assert "2026-03-17_NaiveBaseline" in done.stdout


def test_bad_input_is_one_line_exit_2_and_nothing_written(tmp_path):
    write(tmp_path / "in" / "t" / "bad", described="[1, 2]")
    done = run("--input", tmp_path / "in", "--output", tmp_path / "out.json")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "submission.json: holds a JSON list, not an object" in done.stderr
    assert not (tmp_path / "out.json").exists()


def test_an_archive_of_others_is_read_past_what_is_broken_and_says_so(tmp_path):
    write(tmp_path / "in" / "t" / "bad", described="[1, 2]")
    write(tmp_path / "in" / "t" / "good")
    with tarfile.open(tmp_path / "in.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "in", arcname=".")
    done = run("--input", tmp_path / "in.tar.gz", "--output", tmp_path / "out.json")
    assert done.returncode == 0
    assert "t/bad: read without submission.json: holds a JSON list" in done.stderr
    assert len(load_leaderboard(tmp_path / "out.json").submissions) == 2
    strict = run("--input", tmp_path / "in.tar.gz", "--output", tmp_path / "no.json", "--strict")
    assert strict.returncode == 2
    assert not (tmp_path / "no.json").exists()


def test_every_fact_of_the_bundle_has_its_line():
    for submission in extract_leaderboard(RECORDS).submissions:
        for name in ("val_bpb", "base_bpb", "artifact_bytes"):
            assert (getattr(submission, name) is None) == (name not in submission.sources)
        assert bool(submission.seeds) == ("seeds" in submission.sources)
        assert bool(submission.parent_prs) == ("parent_prs" in submission.sources)
        for variable in submission.techniques:
            source = submission.sources[f"techniques.{variable}"]
            lines = (RECORDS / submission.id / source.file).read_text().splitlines()
            assert variable in lines[source.line - 1], (submission.id, variable, source)
        json.dumps(submission.model_dump(mode="json"), allow_nan=False)
