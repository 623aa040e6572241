"""A folder is read as plain files, bounded; what counts is everything that is not for people."""

import os

import pytest

from scripts.causal.files import InputError
from scripts.causal.submission import folder as module
from scripts.causal.submission.folder import is_document, list_files, open_folder


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("README.md", True),
        ("notes/why.md", True),
        ("submission.json", True),
        ("requirements.txt", True),
        ("train_seed42.log", True),
        ("train_seed42.txt", True),
        ("curve.svg", True),
        ("train_gpt.py", False),
        ("helper.py", False),
        ("model.int8.zlib", False),
        ("weights.txt", False),
        ("data/submission.json.gz", False),
        ("tokenizer.model", False),
    ],
)
def test_what_counts(name, document):
    assert is_document(name) is document


def test_files_are_listed_by_path_and_links_apart(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "model.bin").write_bytes(b"123")
    (tmp_path / "train_gpt.py").write_text("x = 1\n")
    (tmp_path / "link.bin").symlink_to("/etc/passwd")
    (tmp_path / "folder_link").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe.bin")
    found = open_folder(tmp_path)
    assert found.sizes == {"a/model.bin": 3, "train_gpt.py": 6}
    assert found.refused == {
        "link.bin": "a link",
        "folder_link": "a link",
        "pipe.bin": "neither a file nor a folder",
    }
    for name in ("link.bin", "folder_link/passwd", "../a", "pipe.bin"):
        with pytest.raises(InputError):
            found.read(name)


def test_a_file_that_has_become_a_link_is_not_followed(tmp_path):
    (tmp_path / "README.md").write_text("x")
    found = open_folder(tmp_path)
    (tmp_path / "README.md").unlink()
    (tmp_path / "README.md").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="cannot be read"):
        found.read("README.md")


def test_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_FILES", 3)
    monkeypatch.setattr(module, "MAX_READ_BYTES", 10)
    (tmp_path / "README.md").write_text("x" * 11)
    with pytest.raises(InputError, match="more than 10 bytes"):
        open_folder(tmp_path).read("README.md")
    for number in range(4):
        (tmp_path / f"{number}.bin").write_bytes(b"")
    with pytest.raises(InputError, match="more than 3 files"):
        open_folder(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        open_folder(tmp_path / "none")


def test_the_list_leaves_out_what_lists(tmp_path):
    for name in ("README.md", "submission.json", "train.log", "model.bin"):
        (tmp_path / name).write_bytes(b"")
    listed = list_files(open_folder(tmp_path))
    assert set(listed) == {"train.log", "model.bin"}
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert listed["model.bin"].sha256 == empty
