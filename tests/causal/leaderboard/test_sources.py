"""Trees of submissions: what is found in a folder, a clone and an archive, and under which id."""

import gzip
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from scripts.causal.extract_interventions import extract_leaderboard
from scripts.causal.files import InputError
from scripts.causal.leaderboard import archive, sources
from scripts.causal.leaderboard.archive import ArchiveTree
from scripts.causal.leaderboard.git_objects import GitTree
from scripts.causal.leaderboard.reading import open_tree, read_leaderboard
from scripts.causal.leaderboard.sources import find_places

CORPUS = Path(__file__).parents[4] / "shared" / "corpus" / "leaderboard.tar.gz"
TRACK = "track_10min_16mb"


def write(folder: Path, bpb: float = 1.1, readme: str | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(readme or f"# {folder.name}\n\n- {bpb}\n\n- 11L\n")
    (folder / "submission.json").write_text(json.dumps({"val_bpb": bpb, "author": "ada"}))


def places(path: Path) -> list[tuple[str, int | None]]:
    return [(place.id, place.pr) for place in find_places(open_tree(path))]


def pack(path: Path, members: dict[str, bytes | None], mode: str = "w:gz") -> Path:
    """Write a tar of files; None makes a link."""
    with tarfile.open(path, mode) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            if data is None:
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                member.size = len(data)
            tar.addfile(member, io.BytesIO(data or b""))
    return path


def test_ids_are_the_same_wherever_the_tree_is_cut(tmp_path):
    write(tmp_path / "main" / "records" / TRACK / "2026-03-01_A")
    write(tmp_path / "pulls" / "12" / TRACK / "2026-03-02_B")
    expected = [(f"{TRACK}/2026-03-01_A", None), (f"12/{TRACK}/2026-03-02_B", 12)]
    assert places(tmp_path) == expected
    assert places(tmp_path / "main") == expected[:1]
    assert places(tmp_path / "main" / "records") == expected[:1]
    assert places(tmp_path / "pulls") == expected[1:]


def test_of_a_clone_the_records_are_read(tmp_path):
    write(tmp_path / "records" / TRACK / "2026-03-01_A")
    write(tmp_path / "examples" / "other")
    (tmp_path / ".git").mkdir()
    assert places(tmp_path) == [(f"{TRACK}/2026-03-01_A", None)]


def test_two_folders_never_get_one_id(tmp_path):
    write(tmp_path / "records" / "t" / "a")
    write(tmp_path / "t" / "a")
    assert places(tmp_path) == [("records/t/a", None), ("t/a", None)]


def test_the_pull_request_of_the_place_wins(tmp_path):
    folder = tmp_path / "77" / TRACK / "2026-03-02_B"
    write(folder, readme="# B\n\nBuilt on PR #5 and on PR #77.\n")
    (folder / "submission.json").write_text('{"val_bpb": 1.1, "pr": 5000}')
    read = extract_leaderboard(tmp_path).submissions[0]
    assert read.pr == 77
    assert 77 not in read.parent_prs


def test_a_folders_name_dates_what_its_json_does_not(tmp_path):
    write(tmp_path / TRACK / "2026-03-02_B")
    write(tmp_path / TRACK / "2026-03-XX_C")
    assert [s.date for s in extract_leaderboard(tmp_path).submissions] == ["2026-03-02", None]


def test_an_archive_reads_like_the_folder_it_was_made_of(tmp_path):
    write(tmp_path / "in" / "pulls" / "3" / TRACK / "2026-03-02_B")
    write(tmp_path / "in" / "main" / "records" / TRACK / "2026-03-01_A", 1.2)
    for name, mode in (("a.tar.gz", "w:gz"), ("a.tar", "w")):
        with tarfile.open(tmp_path / name, mode) as tar:
            tar.add(tmp_path / "in", arcname=".")
        read = extract_leaderboard(tmp_path / name)
        assert read.submissions == extract_leaderboard(tmp_path / "in").submissions
        assert read.source == name


def test_links_and_climbing_paths_in_an_archive_are_left_out(tmp_path):
    readme, described = b"# A\n", b'{"val_bpb": 1.1}'
    path = pack(tmp_path / "a.tar.gz", {
        "t/a/README.md": readme, "t/a/submission.json": described,
        "t/link/README.md": None, "t/link/submission.json": described,
        "../t/up/README.md": readme, "../t/up/submission.json": described,
        "/t/root/README.md": readme, "/t/root/submission.json": described,
    })  # fmt: skip
    assert list(ArchiveTree(path).paths()) == [
        "t/a/README.md", "t/a/submission.json", "t/link/submission.json",
    ]  # fmt: skip
    assert [s.id for s in extract_leaderboard(path).submissions] == ["t/a"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar.gz"]


def test_an_archive_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_UNPACKED", 1_000_000)
    path = pack(tmp_path / "a.tar.gz", {"t/a/weights.bin": bytes(2_000_000)})
    assert path.stat().st_size < 10_000
    with pytest.raises(InputError, match="unpacks to more than 1,000,000 bytes"):
        ArchiveTree(path)


def test_a_readme_too_large_to_be_one_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sources.LIMITS, "README.md", 1000)
    path = pack(tmp_path / "a.tar.gz", {
        "t/a/README.md": b"x" * 2000, "t/a/submission.json": b"{}",
        "t/b/README.md": b"# B", "t/b/submission.json": b"{}",
    })  # fmt: skip
    with pytest.raises(InputError, match=r"a\.tar\.gz:t/a/README\.md: 2,000 bytes"):
        extract_leaderboard(path)
    assert list(extract_leaderboard(path, keep_going=True).unreadable) == ["t/a"]


@pytest.mark.parametrize("content", [b"", b"no tar", gzip.compress(b"no tar" * 200), b"\x1f\x8b!"])
def test_a_file_that_is_no_archive_is_one_clear_error(tmp_path, content):
    (tmp_path / "x.tar.gz").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.tar\.gz: "):
        extract_leaderboard(tmp_path / "x.tar.gz")


def test_a_torn_archive_is_one_clear_error(tmp_path):
    path = pack(tmp_path / "a.tar.gz", {"t/a/README.md": bytes(range(256)) * 400})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"a\.tar\.gz: "):
        ArchiveTree(path)


# Git: an upstream with a merged record and pull requests, made with git itself.


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path, subject: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", subject)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def upstream(tmp_path_factory) -> Path:
    """Main has A from the start, and C by the squashed PR 3; PRs 2 and 3 forked before, 4 after.

    PR 2 adds B, alters A and brings a link; PR 4 adds D and an example outside records/.
    """
    folder = tmp_path_factory.mktemp("upstream")
    git(folder, "init", "--quiet", "-b", "main")
    records = folder / "records" / TRACK
    write(records / "2026-03-01_A")
    commit(folder, "Begin")
    git(folder, "checkout", "--quiet", "-b", "b")
    write(records / "2026-03-02_B", 1.2)
    (records / "2026-03-02_B" / "train_gpt.py").write_text(
        'from os import environ\nimport os\nd = int(os.environ.get("MODEL_DIM", 448))\n'
        'n = int(os.environ.get("NUM_LAYERS", 13))\n'
    )
    (records / "2026-03-01_A" / "README.md").write_text("# A, altered\n")
    (records / "2026-03-02_L").symlink_to("2026-03-02_B")
    git(folder, "update-ref", "refs/pull/2/head", commit(folder, "Add B"))
    git(folder, "checkout", "--quiet", "-b", "c", "main")
    write(records / "2026-03-03_C", 1.3)
    git(folder, "update-ref", "refs/pull/3/head", commit(folder, "Add C"))
    git(folder, "checkout", "--quiet", "main")
    write(records / "2026-03-03_C", 1.3)
    commit(folder, "Record: C (#3)")
    git(folder, "checkout", "--quiet", "-b", "d")
    write(records / "2026-03-04_D é", 1.4)
    write(folder / "examples" / "2026-03-04_E", 1.5)
    git(folder, "update-ref", "refs/pull/4/head", commit(folder, "Add D"))
    git(folder, "update-ref", "refs/pull/4/merge", "main")
    git(folder, "checkout", "--quiet", "main")
    return folder


def ids(repository: Path, **how: bool) -> dict[str, int | None]:
    with GitTree(repository, **how) as tree:
        return {place.id: place.pr for place in find_places(tree)}


A, B, C, D = (f"{TRACK}/2026-03-0{n}" for n in ("1_A", "2_B", "3_C", "4_D é"))


def test_the_main_branch_is_read_from_its_objects(upstream):
    assert ids(upstream) == {A: None, C: 3}


def test_a_pull_request_brings_what_it_adds_and_nothing_else(upstream):
    assert ids(upstream, pulls=True) == {
        A: None, C: 3, f"2/{B}": 2, f"3/{C}": 3, f"4/{D}": 4,
    }  # fmt: skip


def test_git_and_checkout_tell_the_same_facts(upstream):
    with GitTree(upstream, pulls=True) as tree:
        read = read_leaderboard(tree)
    assert [s.id for s in read.submissions] == [f"2/{B}", f"4/{D}", A, C]
    merged = read.submissions[3]
    assert (merged.pr, merged.also) == (3, (f"3/{C}",))
    on_disk = extract_leaderboard(upstream).submissions[1]
    assert merged.model_copy(update={"also": (), "pr": None}) == on_disk
    b = read.submissions[0]
    assert (b.techniques["num_layers"], b.defaults) == (11, {"model_dim": 448})
    assert b.sources["defaults.model_dim"].line == 3


def test_a_pull_request_that_merged_main_adds_only_its_own(upstream, tmp_path):
    clone = tmp_path / "c"
    git(tmp_path, "clone", "--quiet", "--mirror", str(upstream), str(clone))
    work = tmp_path / "w"
    git(tmp_path, "clone", "--quiet", str(upstream), str(work))
    git(work, "fetch", "--quiet", "origin", "refs/pull/2/head")
    git(work, "checkout", "--quiet", "FETCH_HEAD")
    git(work, "merge", "--quiet", "-m", "Merge main", "origin/main")
    git(work, "push", "--quiet", "--force", str(clone), "HEAD:refs/pull/2/head")
    assert ids(clone, pulls=True) == ids(upstream, pulls=True)


def test_heads_fetched_one_commit_deep_are_read_against_main(upstream, tmp_path):
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth", "1", upstream.as_uri(), str(clone))
    git(clone, "fetch", "--quiet", "--depth", "1", "origin", "+refs/pull/*/head:refs/pull/*/head")
    assert ids(clone, pulls=True) == {A: None, C: None, f"2/{B}": 2, f"4/{D}": 4}


def test_heads_below_remotes_are_found_and_main_is_the_remotes(upstream, tmp_path):
    git(tmp_path, "init", "--quiet")
    commit(tmp_path, "My own work")
    git(tmp_path, "remote", "add", "golf", str(upstream))
    git(tmp_path, "fetch", "--quiet", "golf", "main:refs/remotes/golf/main",
        "+refs/pull/*/head:refs/remotes/golf/pr/*")  # fmt: skip
    assert ids(tmp_path, pulls=True) == ids(upstream, pulls=True)


def test_an_oversized_file_in_git_is_named_and_the_next_still_read(upstream, monkeypatch):
    monkeypatch.setitem(sources.LIMITS, "README.md", 20)
    with GitTree(upstream) as tree:
        with pytest.raises(InputError, match="more than the 20 that are read"):
            tree.read(f"records/{C}/README.md")
        assert json.loads(tree.read(f"records/{C}/submission.json"))["val_bpb"] == 1.3


def test_what_is_no_repository_or_has_no_heads_is_one_clear_error(tmp_path, upstream):
    with pytest.raises(InputError, match="no such folder"):
        GitTree(tmp_path / "none")
    with pytest.raises(InputError, match="no git repository"):
        GitTree(tmp_path)
    git(tmp_path, "clone", "--quiet", str(upstream), "plain")
    with pytest.raises(InputError, match="no pull-request heads"):
        GitTree(tmp_path / "plain", pulls=True)


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS.is_file(), reason=f"no development corpus: {CORPUS}")
def test_the_whole_corpus_is_found_in_its_archive():
    tree = ArchiveTree(CORPUS)
    found = find_places(tree)
    assert len(found) > 1_450
    assert len({place.id for place in found}) == len(found)
    assert sum(place.pr is None for place in found) == 59
    assert all(len(tree.read(place.path("README.md"))) < 200_000 for place in found)
