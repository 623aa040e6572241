"""The referee counts what lies on disk and believes only what the folder's own program prints."""

from pathlib import Path

import pytest

from scripts.causal.submission.facts import CAP_BYTES
from scripts.causal.submission.referee import (
    MODEL,
    PROGRAM,
    RefereeError,
    compare,
    count_bytes,
    evaluate_alone,
)

HONEST = "import json\nprint('noise')\nprint(json.dumps({'val_bpb': 1.25}))\n"


def submission(folder: Path, program: str = HONEST, model: bytes = b"weights") -> Path:
    (folder / PROGRAM).write_text(program)
    (folder / MODEL).write_bytes(model)
    return folder


def judge(folder: Path) -> float:
    return evaluate_alone(folder, data=folder, tokenizer=folder / "tokenizer.model")


def test_bytes_are_those_on_disk(tmp_path):
    count = count_bytes(submission(tmp_path))
    assert (count.code, count.model, count.total) == (len(HONEST), 7, len(HONEST) + 7)


def test_one_byte_over_the_cap_is_refused(tmp_path):
    folder = submission(tmp_path)
    with (folder / MODEL).open("wb") as file:
        file.truncate(CAP_BYTES - len(HONEST))
    assert count_bytes(folder).total == CAP_BYTES
    with (folder / MODEL).open("wb") as file:
        file.truncate(CAP_BYTES - len(HONEST) + 1)
    with pytest.raises(RefereeError, match="exceed the cap of 16,000,000"):
        count_bytes(folder)


def test_a_missing_model_is_named(tmp_path):
    submission(tmp_path)
    (tmp_path / MODEL).unlink()
    with pytest.raises(RefereeError, match=MODEL):
        count_bytes(tmp_path)


def test_the_program_runs_alone(tmp_path):
    assert judge(submission(tmp_path)) == 1.25


def test_the_program_sees_nothing_of_the_callers_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("SECRET", "1")
    program = (
        "import json, os, pathlib\n"
        "assert not {'PYTHONPATH', 'SECRET'} & set(os.environ)\n"
        "assert pathlib.Path('model.int8.zlib').read_bytes() == b'weights'\n"
        "pathlib.Path('left_behind').touch()\n"
        "print(json.dumps({'val_bpb': 1}))\n"
    )
    assert judge(submission(tmp_path, program)) == 1.0
    assert not (tmp_path / "left_behind").exists()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("raise SystemExit('no data')", "code 1: no data"),
        ("print('done')", "no JSON line"),
        ("", "no JSON line"),
        ("print('{\"val_bpb\": NaN}')", "nan as val_bpb"),
        ("print('[1]')", "no JSON line"),
    ],
)
def test_a_program_without_a_result_is_refused(tmp_path, program, message):
    with pytest.raises(RefereeError, match=message):
        judge(submission(tmp_path, program))


def test_a_recorded_score_must_be_reproduced():
    compare(1.25, 1.25 + 9e-7)
    with pytest.raises(RefereeError, match=r"evaluates to 1\.25000200"):
        compare(1.25, 1.250002)
