"""The bundled records: readable by the extractor, own words only, facts as upstream has them."""

import re
import tarfile
from pathlib import Path

import pytest

from scripts.causal.extract_interventions import RECORDS, extract_leaderboard
from scripts.causal.leaderboard.bundle import (
    bundle,
    correct,
    label,
    load_corrections,
    render_readme,
)
from scripts.causal.leaderboard.extract import extract_submission
from scripts.causal.leaderboard.schema import Submission

CORPUS = Path(__file__).parents[4] / "shared" / "corpus" / "leaderboard.tar.gz"
needs_corpus = pytest.mark.skipif(not CORPUS.is_file(), reason=f"no development corpus: {CORPUS}")
FACTS = ("name", "author", "date", "track", "val_bpb", "base_bpb", "parent_prs", "seeds",
         "artifact_bytes", "techniques", "absent")  # fmt: skip


def facts(submission: Submission, fields=FACTS):
    contrasts = sorted((a.variable, a.delta, a.unit, a.kind) for a in submission.ablations)
    return {**{name: getattr(submission, name) for name in fields}, "ablations": contrasts}


@pytest.fixture(scope="module")
def bundled():
    return extract_leaderboard(RECORDS)


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    """The merged records as upstream has them."""
    folder = tmp_path_factory.mktemp("corpus")
    with tarfile.open(CORPUS) as archive:
        members = [m for m in archive if m.name.startswith("main/records/")]
        archive.extractall(folder, members, filter="data")
    return folder / "main" / "records"


def test_all_merged_records_of_both_tracks_are_there(bundled):
    tracks = [s.id.split("/")[0] for s in bundled.submissions]
    assert tracks.count("track_10min_16mb") == 45
    assert tracks.count("track_non_record_16mb") == 14
    assert sum(s.val_bpb is not None for s in bundled.submissions) >= 57


def test_writing_what_was_read_gives_the_same_facts(bundled, tmp_path):
    assert bundle(bundled, tmp_path) == len(bundled.submissions)
    again = extract_leaderboard(tmp_path)
    assert [facts(s) for s in again.submissions] == [facts(s) for s in bundled.submissions]


def test_the_readme_alone_tells_the_facts(bundled):
    told = ("base_bpb", "parent_prs", "seeds", "artifact_bytes", "techniques", "absent")
    for submission in bundled.submissions:
        alone = extract_submission(submission.id, render_readme(submission), [])
        assert facts(alone, told) == facts(submission, told), submission.id
        if submission.val_bpb is not None:  # of several seeds the README tells the mean
            assert alone.val_bpb == pytest.approx(submission.val_bpb, abs=2e-3)


def test_the_bundle_is_small():
    files = [path for path in RECORDS.rglob("*.*") if path.suffix in (".md", ".json")]
    assert sum(path.stat().st_size for path in files) < 400_000


def test_labels_are_a_handful_of_words():
    text = label(
        "Full **Hessian** GPTQ (replaces | lite), which we found to be much better overall"
    )
    assert text == "Full Hessian GPTQ which we found"
    assert label(None) == ""


def test_a_correction_replaces_fields_and_merges_techniques():
    read = Submission(id="t/x", val_bpb=1.1, techniques={"swa": True, "num_layers": 9})
    fixed = correct(read, {"base_bpb": 1.2, "techniques": {"swa": False, "num_layers": 11},
                           "parent_prs": [5], "source": "README.md line 3"})  # fmt: skip
    assert fixed.techniques == {"num_layers": 11}
    assert (fixed.base_bpb, fixed.parent_prs) == (1.2, (5,))


@pytest.mark.corpus
@needs_corpus
def test_the_bundle_tells_what_the_originals_tell(bundled, upstream):
    corrections = load_corrections().get("correct", {})
    originals = {s.id: s for s in extract_leaderboard(upstream).submissions}
    assert sorted(originals) == sorted(s.id for s in bundled.submissions)
    for submission in bundled.submissions:
        original = correct(originals[submission.id], corrections.get(submission.id, {}))
        assert facts(submission) == facts(original), submission.id


@pytest.mark.corpus
@needs_corpus
def test_no_sentence_of_the_originals_is_copied(upstream):
    for path in sorted(RECORDS.glob("*/*/README.md")):
        original = " ".join((upstream / path.relative_to(RECORDS)).read_text().split())
        _title, *lines = path.read_text().splitlines()
        for line in lines:
            for cell in re.split(r"\s*\|\s*", line.strip("|- ")):
                copied = len(cell.split()) > 7 and cell in original
                assert not copied, (path, cell)
