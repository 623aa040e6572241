"""What anybody's README, submission.json and logs state, and the leaderboard's own records."""

import json
import tarfile
from pathlib import Path

import pytest

from scripts.causal.leaderboard.evidence import load_evidence
from scripts.causal.leaderboard.submission_json import parse_submission_json
from scripts.causal.referee.check import check_folder, find_folders
from scripts.causal.referee.stated import read_stated, stated_in_json, stated_in_readme
from scripts.causal.submission.claims import Score
from scripts.causal.submission.folder import open_folder
from scripts.causal.submission.verdicts import Reports

ARCHIVE = Path(__file__).parents[4] / "shared" / "corpus" / "leaderboard.tar.gz"
EVIDENCE = Path(__file__).parents[3] / "records" / "evidence.json.xz"

DESCRIBED = {
    "author": "A",
    "name": "11L",
    "date": "2026-04-27",
    "track": "10min_16mb",
    "val_loss": 2.32202732,
    "val_bpb": 1.06107587,
    "seeds": [42, 0],
    "seed_results": {
        "42": {"val_loss": 2.31944212, "val_bpb": 1.05989454, "artifact_bytes": 15897259},
        "0": {"val_loss": 2.32461252, "val_bpb": 1.0622572, "artifact_bytes": 15900947},
    },
    "bytes_total": 15900947,
    "bytes_code": 32000,
    "bytes_model_int6_brotli": 15868947,
}
README = """# 11L

**val_bpb: 1.0611** (2-seed mean)

| Seed | val_bpb | Artifact bytes |
|---|---|---|
| 42 | 1.05989 | 15,897,259 |
| 0 | 1.06226 | 15,900,947 |
| **Mean** | **1.06108** | |
"""


def write(folder: Path, described=DESCRIBED, readme=README) -> Path:
    folder.mkdir(parents=True)
    (folder / "submission.json").write_text(json.dumps(described))
    (folder / "README.md").write_text(readme)
    return folder


def outcomes(folder: Path, **options) -> dict[str, str]:
    return {one.rule: one.outcome for one in check_folder(folder, **options).verdicts}


def test_a_submission_json_of_any_form_is_read():
    facts = parse_submission_json(json.dumps(DESCRIBED), "submission.json")
    stated = stated_in_json(facts)
    assert (stated.bpb, stated.loss) == (1.06107587, 2.32202732)
    assert stated.seeds == {42: Score(1.05989454, 2.31944212), 0: Score(1.0622572, 2.32461252)}
    assert (stated.total, stated.code, stated.model) == (15900947, 32000, 15868947)


def test_a_readme_of_any_form_is_read():
    stated = stated_in_readme(README)
    assert stated.bpb == 1.0611
    assert stated.seeds == {42: Score(1.05989), 0: Score(1.06226)}
    assert stated.total == 15900947


def test_documents_that_agree_are_confirmed_and_the_rest_is_left_open(tmp_path):
    found = outcomes(write(tmp_path / "track_10min_16mb" / "2026-04-27_A"))
    confirmed = {rule for rule, outcome in found.items() if outcome == "pass"}
    assert confirmed == {
        "plain files",
        "README and submission.json can be read",
        "bytes as stated",
        "mean over seeds",
        "one ratio of bpb to nats",
        "documents agree",
    }
    assert "fail" not in found.values()


@pytest.mark.parametrize(
    ("described", "readme", "rule"),
    [
        ({**DESCRIBED, "val_bpb": 1.0599}, README, "mean over seeds"),
        (DESCRIBED, README.replace("1.05989", "1.05889"), "documents agree"),
        ({**DESCRIBED, "bytes_code": 31000}, README, "bytes as stated"),
        ({**DESCRIBED, "val_loss": 2.33}, README, "one ratio of bpb to nats"),
    ],
)
def test_a_number_that_another_contradicts_is_found(tmp_path, described, readme, rule):
    assert outcomes(write(tmp_path / "a", described, readme))[rule] == "fail"


def test_a_record_is_held_to_the_best_before_it(tmp_path):
    board = load_evidence(EVIDENCE)
    rule = "record margin, or named non-record"
    track = tmp_path / "track_10min_16mb"
    better = json.loads(json.dumps(DESCRIBED).replace("1.0", "1.00"))
    assert outcomes(write(track / "2026-04-27_A"), board=board)[rule] == "fail"
    assert outcomes(write(track / "2026-04-27_B", better), board=board)[rule] == "pass"
    early = {**DESCRIBED, "date": "2026-03-20"}
    assert outcomes(write(track / "2026-03-20_C", early), board=board)[rule] == "pass"
    named = {**DESCRIBED, "name": "Non-record: 11L"}
    assert outcomes(write(track / "2026-04-27_D", named), board=board)[rule] == "pass"


def test_hidden_code_is_known_to_be_hidden(tmp_path):
    folder = write(tmp_path / "a")
    (folder / "train_gpt.py").write_text("exec(open('second.py').read())\n")
    assert read_stated(open_folder(folder)).hides
    (folder / "train_gpt.py").write_text("print(1)\n")
    assert not read_stated(open_folder(folder)).hides


@pytest.mark.corpus
@pytest.mark.skipif(not ARCHIVE.is_file(), reason=f"no corpus: {ARCHIVE}")
def test_the_merged_records(tmp_path):
    with tarfile.open(ARCHIVE) as archive:
        members = [one for one in archive if one.name.startswith("main/records/")]
        archive.extractall(tmp_path, members, filter="data")
    board = load_evidence(EVIDENCE)
    reports = Reports(
        reports=tuple(check_folder(path, board=board) for path in find_folders(tmp_path))
    )
    counts = reports.counts()
    assert len(reports.reports) == 59
    assert counts["README and submission.json can be read"]["fail"] == 4  # no submission.json
    assert counts["documents agree"]["pass"] >= 45
    found = {(Path(one.folder).name[:10], v.rule) for one in reports.reports for v in one.failures}
    # By hand: the best seed is stated for the mean; nats that are not of their seeds.
    assert ("2026-03-22", "mean over seeds") in found
    assert ("2026-04-06", "one ratio of bpb to nats") in found
