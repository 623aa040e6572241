"""Which pull requests count as parents, and which score as the base."""

import pytest

from scripts.causal.leaderboard.extract import extract_submission
from scripts.causal.leaderboard.submission_json import parse_submission_json


def read(body, own="1.2000"):
    facts = parse_submission_json(f'{{"val_bpb": {own}}}', "x")
    return extract_submission("track_10min_16mb/2026-03-25_X", f"# Run\n\n{body}\n", facts)


@pytest.mark.parametrize(
    ("body", "parents"),
    [
        ("Built on PR #414 (Ann) and PR #549 (Bob).", (414, 549)),
        ("Based on PRs #569 (@ann), #576 (@bob), #505 (@eve).", (569, 576, 505)),
        ("## Credits\n\nBuilt on ann (PR #414), bob (PR #549), and others.", (414, 549)),
        ("## Credits\n\nThe cache idea builds on PR #77.", ()),
        ("Hashing uses the same approach as PR #727.", ()),
        ("We clearly beat the PR #549 baseline.", ()),
        ("A gain over [PR #549](https://x.test/pull/549) (LeakyReLU baseline).", ()),
        ("This keeps the PR #549 stack.", (549,)),
    ],
)
def test_parents_are_built_on_not_credited_or_beaten(body, parents):
    assert read(body).parent_prs == parents


@pytest.mark.parametrize(
    ("body", "base"),
    [
        ("We reach 1.2000, beating the naive baseline (1.2244).", 1.2244),
        ("It does not match the dense baseline (1.1800).", 1.18),
        ("The adapter gains 0.034 nats (1.2472 → 1.2000).", None),
        ("The score fell from 1.2472 → 1.2000 bpb.", 1.2472),
        (
            "| Run | bpb | Note |\n|---|---|---|\n| B0 | 1.2300 | baseline |\n| B1 | 1.2000 | |",
            1.23,
        ),
    ],
)
def test_the_base_is_what_the_score_is_compared_with(body, base):
    assert read(body).base_bpb == base


def test_the_own_score_rounded_is_no_base():
    assert read("Baseline export: 1.2001 bpb.", own="1.20005").base_bpb is None
