"""Sentences that set the submission against another run."""

import pytest

from scripts.causal.leaderboard.compared import set_against


@pytest.mark.parametrize(
    ("text", "following", "final", "delta"),
    [
        ("vs #549 (SOTA, 1.1194): improvement = 0.0049 nats", "", 1.1145, -0.0049),
        ("SOTA (PR #1493): 1.0810 BPB / 2.7920 nats", " Delta: -0.0082 nats.", 1.0777, -0.0033),
        ("Merged SOTA (PR #1493): 1.0810 BPB", " Delta: -0.0032 BPB.", 1.07768, -0.0032),
        ("Mean improvement: 1.1228 - 1.1175 = 0.0053 nats", "", 1.1175, -0.0053),
        ("3-seed mean improved from 0.9984 (PR #1028) to 0.8822", "", 0.88216, -0.1162),
        ("Seed 7 is 1.06699 (this PR) vs 1.06986 (PR #1790)", "", 1.0677, -0.00287),
        ("val_bpb 1.5070 - worse than the unmodified baseline (1.3599)", "", 1.2774, 0.1471),
        ("val_bpb: 1.3428 | 600s | Beats #1403 by 0.0057 BPB", "", 1.3428, -0.0057),
    ],
)  # fmt: skip
def test_the_difference_of_two_printed_scores_counts(text, following, final, delta):
    found = set_against(text, following, final)
    assert found is not None and found.delta == pytest.approx(delta, abs=5e-6)


@pytest.mark.parametrize(
    "text",
    [
        "This should beat the baseline (1.2244) by 0.03 BPB",  # a hope
        "Pre-quant 1.1385 improves to 1.1175 over the baseline run",  # two stages of one run
        "1.1252 BPB, +0.005 worse than the baseline of PR #3",  # a third run's score
        "EMA=0.9965, WD=0.095 (PR #1445)",  # settings are no scores
        "worst seed: 1.1179 vs SOTA 1.1228",
        "Baseline gap of two seeds: 1.1197 - 1.1175 = 0.0022, our noise floor",
        "PR #1 has 1.2244, PR #2 has 1.1748, ours 1.1175: better than both",
    ],
)
def test_other_numbers_are_left_alone(text):
    assert set_against(text, "", 1.1175) is None


def test_a_direction_in_words_must_agree_with_the_numbers():
    assert set_against("1.30 was 1.3010, better than the baseline (1.2244)", "", 1.1) is None
