"""A delta in nats keeps what was written and gains what it is in bits per byte."""

import pytest

from scripts.causal.leaderboard.ablations import read_ablations
from scripts.causal.leaderboard.document import parse_document
from scripts.causal.leaderboard.submission_json import parse_submission_json

NATS = "# Run\n\n- EMA: −0.0050 nats\n"


def only(text, facts=()):
    (found,) = read_ablations(parse_document(text), facts)
    return found


def test_by_the_ratio_of_submission_json():
    facts = parse_submission_json('{"val_loss": 2.0, "val_bpb": 1.2}', "x")
    found = only(NATS, facts)
    assert (found.delta, found.unit) == (-0.005, "nats")
    assert found.effect_bpb == pytest.approx(-0.003)


def test_by_the_ratio_of_a_log_line():
    found = only(NATS + "\n```\nval_loss:2.0000 val_bpb:1.2000\n```\n")
    assert found.effect_bpb == pytest.approx(-0.003)


@pytest.mark.parametrize("pair", ['{"val_bpb": 1.2}', '{"val_loss": 90.0, "val_bpb": 1.2}'])
def test_without_a_pair_that_makes_sense_it_stays_unknown(pair):
    assert only(NATS, parse_submission_json(pair, "x")).effect_bpb is None


def test_a_delta_in_bits_is_its_own_effect():
    found = only("# Run\n\n- EMA: −0.0050 bpb\n")
    assert found.effect_bpb == found.delta == -0.005
    assert found.delta_bpb is None
