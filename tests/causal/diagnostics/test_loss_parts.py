"""Parts of a loss are of the right targets, and add up to the whole."""

import numpy as np
import pytest

from scripts.causal import token_loss_decompose
from scripts.causal.diagnostics import loss_parts
from scripts.causal.diagnostics.loss_parts import (
    by_frequency,
    by_position,
    by_word,
    decompose,
    token_counts,
)
from scripts.causal.forms import parse_file
from scripts.causal.token_loss_decompose import TokenLosses
from trainers.evaluation import Validation
from trainers.token_bytes import TokenBytes

# Token 0 opens documents, 1 is " a", 2 is "b", 3 is "ccc".
TABLE = TokenBytes(
    size=np.array([0, 2, 1, 3]),
    leading_space=np.array([False, True, False, False]),
    boundary=np.array([True, False, False, False]),
    drops_first_space=False,
)
TOKENS = np.array([0, 2, 3, 1, 2, 0, 1, 3, 2], dtype=np.uint16)
VALIDATION = Validation(TOKENS, TABLE, seq_len=4, batch_sequences=1)


class Literal:
    """The loss of a target is its number plus one."""

    def losses(self, tokens):
        return tokens[:, 1:].astype(np.float32) + 1


def parts(grouping):
    whole, (breakdown,) = decompose(Literal(), VALIDATION, [grouping])
    assert sum(part.bpb for part in breakdown.parts) == pytest.approx(whole.score().bpb, abs=1e-12)
    assert sum(part.targets for part in breakdown.parts) == whole.targets == 8
    assert sum(part.bytes for part in breakdown.parts) == whole.byte_count == 13
    return {part.label: (part.targets, part.bytes, part.nats) for part in breakdown.parts}


def test_by_word():
    assert parts(by_word(TABLE)) == {
        "opens a document": (1, 0, 1.0),
        "begins a word": (3, 1 + 2 + 2, 3.0 + 2 + 2),  # a document's first token among them
        "goes on": (4, 3 + 1 + 3 + 1, 4.0 + 3 + 4 + 3),
    }


def test_by_position():
    assert parts(by_position(4)) == {
        "1": (2, 1, 3.0 + 1),
        "2": (2, 5, 4.0 + 2),
        "3–4": (4, 7, 2.0 + 3 + 4 + 3),
    }


def test_by_frequency():
    counts = token_counts([np.repeat([0, 1, 2, 3], [5, 20, 0, 10**6 - 25]).astype(np.uint16)], 4)
    assert counts.tolist() == [5, 20, 0, 10**6 - 25]
    assert parts(by_frequency(counts)) == {
        "under 10": (4, 3, 3 * 3.0 + 1),
        "from 10": (2, 4, 4.0),
        "from 100,000": (2, 6, 8.0),
    }


def test_counting_stops_where_it_is_told_to(monkeypatch):
    monkeypatch.setattr(loss_parts, "COUNTED_TOKENS", 5)
    monkeypatch.setattr(loss_parts, "BLOCK", 2)
    shards = [np.array([1, 1, 0], np.uint16), np.array([2, 2, 3], np.uint16)]
    assert token_counts(shards, 4).tolist() == [1, 2, 2, 0]


def test_parts_that_miss_the_whole_are_refused(monkeypatch):
    broken = by_word(TABLE)
    monkeypatch.setattr(loss_parts, "bits_per_byte", lambda nats, count: nats + 1)
    with pytest.raises(ArithmeticError, match="miss the whole"):
        decompose(Literal(), VALIDATION, [broken])


def test_a_run_in_parts_is_what_it_recorded(recorded, tmp_path, capsys):
    output = tmp_path / "parts.json"
    token_loss_decompose.main(output=output, run=recorded[1], ledger=recorded[0])
    report = parse_file(TokenLosses, output)
    assert report.bpb == pytest.approx(report.recorded_bpb, abs=1e-12)
    assert [breakdown.by for breakdown in report.breakdowns] == ["frequency", "word", "position"]
    for breakdown in report.breakdowns:
        assert sum(part.bpb for part in breakdown.parts) == pytest.approx(report.bpb, abs=1e-9)
    assert "by position" in (tmp_path / "parts.svg").read_text()
    assert "begins a word" in capsys.readouterr().out
