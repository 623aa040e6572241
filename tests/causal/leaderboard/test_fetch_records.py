import subprocess

import pytest

from scripts.causal import fetch_records as stage
from scripts.causal.files import InputError

fetch_records = stage.fetch_records


def git(folder, *arguments):
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def upstream(tmp_path):
    """A bare repository with one record on its main branch and two pull-request heads."""
    work = tmp_path / "work"
    record = work / "records" / "track" / "one"
    record.mkdir(parents=True)
    (record / "README.md").write_text("# One\n")
    (record / "submission.json").write_text('{"val_bpb": 1.2}')
    git(work, "init", "--quiet", "--initial-branch", "main")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "-m", "one")
    bare = tmp_path / "upstream.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(work), str(bare))
    for number in (7, 12):
        (record / "README.md").write_text(f"# Pull {number}\n")
        git(work, "commit", "--quiet", "-am", f"pull {number}")
        git(work, "push", "--quiet", str(bare), f"HEAD:refs/pull/{number}/head")
    return bare, work


def test_the_clone_holds_the_records_and_no_pull_request(upstream, tmp_path):
    bare, _ = upstream
    fetched = fetch_records(tmp_path / "out", repository=bare.as_uri())
    assert (fetched.records / "track" / "one" / "README.md").read_text() == "# One\n"
    assert fetched.pulls == 0
    assert len(fetched.commit) == 40


def test_pull_request_heads_come_as_refs_without_a_checkout(upstream, tmp_path):
    bare, _ = upstream
    fetched = fetch_records(tmp_path / "out", repository=bare.as_uri(), pulls=True)
    assert fetched.pulls == 2
    readme = git(tmp_path / "out", "show", "refs/pull/12/head:records/track/one/README.md")
    assert readme == "# Pull 12"
    assert (fetched.records / "track" / "one" / "README.md").read_text() == "# One\n"


def test_a_second_fetch_brings_the_clone_up_to_date(upstream, tmp_path):
    bare, work = upstream
    first = fetch_records(tmp_path / "out", repository=bare.as_uri())
    git(work, "push", "--quiet", str(bare), "HEAD:main")
    second = fetch_records(tmp_path / "out", repository=bare.as_uri())
    assert second.commit != first.commit
    assert (second.records / "track" / "one" / "README.md").read_text() == "# Pull 12\n"


def test_an_unreachable_repository_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="git clone failed"):
        fetch_records(tmp_path / "out", repository=(tmp_path / "nowhere").as_uri())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_things_is_not_touched(upstream, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="neither empty nor an earlier clone"):
        fetch_records(tmp_path / "out", repository=upstream[0].as_uri())
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"


def test_a_clone_of_something_else_is_refused(upstream, tmp_path):
    fetch_records(tmp_path / "out", repository=upstream[0].as_uri())
    with pytest.raises(InputError, match="is a clone of"):
        fetch_records(tmp_path / "out", repository="https://example.org/other")


def test_no_git_is_said_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(stage.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="git is not installed"):
        fetch_records(tmp_path / "out")
