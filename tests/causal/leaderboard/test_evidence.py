"""The evidence file: every fact kept, no words kept, and nothing but facts accepted."""

import json
import lzma
import re

import pytest

from scripts.causal.extract_interventions import RECORDS, extract_leaderboard
from scripts.causal.files import InputError
from scripts.causal.leaderboard.evidence import (
    MAX_ID,
    MAX_TEXT,
    evidence_of,
    load_evidence,
    write_evidence,
)
from scripts.causal.leaderboard.schema import Ablation, Leaderboard, Source, Submission

BUNDLED = RECORDS / "evidence.json.xz"
SENTENCE = "We found that the wider MLP (3x, not 2x) clearly helps in every single run we tried."
LINE = Source(file="README.md", line=4)


def submission(**fields) -> Submission:
    return Submission(**{"id": "7/track_10min_16mb/2026-03-02_B", "pr": 7} | fields)


WORDY = submission(
    name=SENTENCE, author="Ada Lovelace (@ada)", date="2026-03-02", val_bpb=1.1234,
    parent_prs=(3,), techniques={"mlp_mult": 3, "optimizer_note": SENTENCE}, absent=("swa",),
    ablations=(Ablation(variable="mlp_mult", from_="2", to=SENTENCE, delta=-0.004, unit="bpb",
                        kind="single", quote=SENTENCE, source=LINE),),
    sources={"val_bpb": LINE, "name": LINE}, problems=(SENTENCE,),
)  # fmt: skip


def test_facts_stay_and_words_go(tmp_path):
    whole = Leaderboard(source="x", submissions=(WORDY,), unreadable={"8/t/x": SENTENCE})
    evidence = evidence_of(whole, snapshot="2026-05-02", source="here")
    write_evidence(tmp_path / "e.json.xz", evidence)
    read = extract_leaderboard(tmp_path / "e.json.xz")
    assert read == evidence
    kept = read.submissions[0]
    assert (kept.val_bpb, kept.parent_prs, kept.absent, kept.author) == (
        1.1234, (3,), ("swa",), "Ada Lovelace",
    )  # fmt: skip
    assert kept.techniques == {"mlp_mult": 3, "optimizer_note": "We found that the wider MLP"}
    contrast = kept.ablations[0]
    assert (contrast.delta, contrast.from_, contrast.quote, contrast.source.line) == (
        -0.004, "2", None, 4,
    )  # fmt: skip
    assert (kept.name, kept.problems, kept.sources) == (None, (), {"val_bpb": LINE})
    assert (read.snapshot, list(read.unreadable)) == ("2026-05-02", ["8/t/x"])
    assert "clearly" not in lzma.decompress((tmp_path / "e.json.xz").read_bytes()).decode()


def test_the_same_facts_give_the_same_bytes(tmp_path):
    evidence = evidence_of(
        Leaderboard(source="x", submissions=(WORDY,)), snapshot="2026-05-02", source="here"
    )
    for name in "ab":
        write_evidence(tmp_path / name, evidence)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"author": SENTENCE}, "author"),
        ({"techniques": {"x": SENTENCE}}, "techniques"),
        ({"absent": (SENTENCE,)}, "absent"),
        ({"also": ("x" * (MAX_ID + 1),)}, "id"),
        ({"name": "B"}, "name"),
        ({"problems": ("x",)}, "problems"),
        ({"sources": {"val_bpb": Source(file=SENTENCE, line=1)}}, "sources"),
        ({"ablations": (WORDY.ablations[0].model_copy(update={"to": "x"}),)}, "quote"),
    ],
)
def test_prose_is_refused_when_written_and_when_read(tmp_path, fields, named):
    prose = Leaderboard(source="x", snapshot="2026-05-02", submissions=(submission(**fields),))
    with pytest.raises(InputError, match=named):
        write_evidence(tmp_path / "e.json.xz", prose)
    (tmp_path / "e.json.xz").write_bytes(lzma.compress(prose.model_dump_json().encode()))
    with pytest.raises(InputError, match=rf"e\.json\.xz: .*{named}"):
        load_evidence(tmp_path / "e.json.xz")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "no valid JSON"),
        (b"[1]", "field top level"),
        (b'{"submissions": 3, "source": "x"}', "field submissions"),
        (b'{"submissions": [], "source": "x", "extra": 1}', "field extra"),
        (b'{"submissions": [], "source": "x"}', "field snapshot"),
        (b"[" * 100_000, "no valid JSON"),
    ],
)
def test_what_breaks_the_schema_is_one_clear_error(tmp_path, text, said):
    (tmp_path / "e.json.xz").write_bytes(lzma.compress(text))
    with pytest.raises(InputError, match=rf"e\.json\.xz: .*{said}"):
        load_evidence(tmp_path / "e.json.xz")


def test_torn_and_swollen_files_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "e.json.xz"
    packed = lzma.compress(b" " * 3_000_000)
    path.write_bytes(packed[:-30])
    with pytest.raises(InputError, match=r"e\.json\.xz: "):
        load_evidence(path)
    path.write_bytes(packed)
    monkeypatch.setattr("scripts.causal.leaderboard.evidence.MAX_UNPACKED", 1_000_000)
    with pytest.raises(InputError, match="unpacks to over"):
        load_evidence(path)


def test_a_snapshot_is_a_day():
    with pytest.raises(InputError, match="YYYY-MM-DD"):
        evidence_of(Leaderboard(source="x", submissions=()), snapshot="May", source="x")


def strings(node) -> list[str]:
    if isinstance(node, dict):
        return [*node, *(text for value in node.values() for text in strings(value))]
    if isinstance(node, list):
        return [text for value in node for text in strings(value)]
    return [node] if isinstance(node, str) else []


def test_the_bundled_evidence_holds_facts_and_no_prose():
    assert BUNDLED.stat().st_size < 600_000
    evidence = load_evidence(BUNDLED)
    assert len(evidence.submissions) > 1_350
    assert evidence.source.startswith("https://github.com/")
    assert len({s.id for s in evidence.submissions}) == len(evidence.submissions)
    texts = strings(json.loads(lzma.decompress(BUNDLED.read_bytes())))
    paths = [text for text in texts if "/" in text]
    assert max(map(len, paths)) <= MAX_ID
    assert max(len(text) for text in texts if "/" not in text) <= MAX_TEXT
    ids = {i for s in evidence.submissions for i in (s.id, *s.also)} | set(evidence.unreadable)
    words = [len(re.findall(r"\s+", text)) + 1 for text in texts if text not in ids]
    assert max(words) <= 8


def test_the_bundled_evidence_agrees_with_the_bundled_records():
    evidence = {s.id: s for s in load_evidence(BUNDLED).submissions}
    for record in extract_leaderboard(RECORDS).submissions:
        known = evidence[record.id]
        for field in ("val_bpb", "seeds"):
            assert getattr(known, field) == getattr(record, field), (record.id, field)
