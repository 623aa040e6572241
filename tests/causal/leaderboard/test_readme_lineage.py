"""Which pull requests count as parents, and which score as the base."""

import pytest

from scripts.causal.leaderboard.extract import extract_submission
from scripts.causal.leaderboard.submission_json import parse_submission_json


def read(body, own="1.2000"):
    facts = parse_submission_json(f'{{"val_bpb": {own}}}', "x")
    return extract_submission("track_10min_16mb/2026-03-25_X", f"# Run {own}\n\n{body}\n", facts)


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
        ("This run uses the SOTA configuration from PR #77.", (77,)),
        ("Hyperparameters sourced from PR #41 (ann), #42 (bob), #43 (eve).", (41, 42, 43)),
        ("Extends the current SOTA (PR #77, val_bpb=1.0810) by one loop.", (77,)),
        ("Takes PR #77 (@ann) + PR #78 cache and adds a gain.", (77, 78)),
        ("Built on the merged 1.1233 record (PR #77) with more.", (77,)),
        ("## Architecture (from PR #77)\n\n11 layers.", (77,)),
        ("- Base model stack: PR #77 by @ann", (77,)),
        ("Cache: PR #76 (ann). Base model architecture: PR #77 (bob).", (77,)),
        ("## Credits\n\n- Base: PR #77, PR #78 (@ann)", (77, 78)),
        ("Two changes on top of the PR #77 + PR #78 stack.", (77, 78)),
        ("A CUDA port of the work in PR #77.", (77,)),
        ("Extends PR #77.\n\nBoth are in `train_gpt.py` (the variant from PR #78).", (77,)),
        # what another pull request builds on
        ("Built on PR #77 (PR #70 base + gates).", (77,)),
        # one part of the submission, and what is learnt rather than taken
        ("The TTT was implemented based on PR #77.", ()),
        ("Quantization as in the same class of bug as PR #77.", ()),
        ("## Changes\n\n### 2. LeakyReLU(0.75)^2\n\nVariant of the one from PR #77.", ()),
        ("We raise the gain, based on PR #77's 45-experiment sweep.", ()),
        ("1. XSA on three layers. Based on PR #77's implementation.", ()),
        ("### PR #77 hparam stack does not transfer\n\nWorse.", ()),
        ("## Credits\n\nThanks. We built on the shoulders of PR #77 and PR #78.", (77, 78)),
        ("## Credits\n\n- PR #77: Triton fusion baseline", ()),
        ("## Credits\n\n- @ann - PR #77: the base stack", (77,)),
        ("Built on PR #80.\n\n## Credits\n\n- @ann - PR #77: the base stack", (80,)),
        ("This follows the rules of Issue #77 on top of issue #78.", ()),
        ("**Comparison baseline:** PR #77 (ann, 1.2473 bpb)", ()),
        # a history opens with the base
        (f"Built on PR #77, {', '.join(f'PR #{number}' for number in range(10, 21))}.", (77,)),
        ("Expected values are based on studies from related PRs (#77, #78).", ()),
        ("PR #77 in a different base did help.", ()),
        # a list that its opening line makes one
        ("Built on the foundation from:\n- **@ann** - gates (PR #77)\n- @bob (PR #78)", (77, 78)),
        ("This builds on techniques from many:\n- gates: PR #77\n- loops: PR #78", ()),
        # credits give way to the body, and a table's sources to both
        ("Built on PR #80.\n\n## Lineage\n\n- PR #77: Base architecture", (80,)),
        ("Built on PR #80.\n\n## Credits\n\n- Base model: PR #77", (80,)),
        ("Built on PR #80.\n\n| Part | From |\n|---|---|\n| Base model | PR #77 |", (80,)),
        ("Extends [PR #77](https://x.test/pull/77) (gates) with PR #78.", (77, 78)),
        ("Extends PR #77 with PR #78's optimizer.", (77,)),
        ("Based on PR #77. Gains were validated on the #78 base.", (77,)),
        # where nothing else is named
        ("## What changed vs the former run (#77)\n\nOne fix.", (77,)),
        ("Merged SOTA (PR #77): **1.2147 BPB**. Delta: **-0.0147 BPB**.", ()),
        ("Merged SOTA (PR #77): 1.2147. Delta: -0.0147.\n\n## Credits\n\nPR #77 @ann", (77,)),
        ("Based on PR #80.\n\nMerged SOTA (PR #77): 1.2147. Delta: -0.0147.", (80,)),
        ("- References: SOTA is PR #77 (BigramHash), 1.2147 BPB", ()),
        ("Beats PR #77 (1.2247) by 0.02 BPB.\n\n## Credits\n\nPR #77, PR #76", (77,)),
        ("## Improvements over Previous Submission (PR #77, 1.5633 bpb)\n\n- loops", (77,)),
        ("## Attribution\n\n- Trunk forked from\n  [`records/x`](../x/)\n  (Ann, PR #77).", (77,)),
    ],
)
def test_parents_are_built_on_not_credited_or_beaten(body, parents):
    assert read(body).parent_prs == parents


@pytest.mark.parametrize(
    ("text", "body", "parents"),
    [
        ('"name": "PR77 rerun"', "One of the runs.", (77,)),
        ('"name": "PR77 rerun"', "Based on PR #78.", (78,)),
        ('"blurb": "Gates on PR #77 stack"', "Built on PR #78 stack.", (78,)),
        ('"blurb": "Gates on PR #77 stack"', "Gates.", (77,)),
        ('"credits": {"base_architecture": "PR #77, #78 by @ann"}', "Gates.", (77, 78)),
        ('"credits": {"base_architecture": "PR #77, #78 by @ann"}', "Based on PR #80.", (80,)),
        ('"base_prs": [77, 78]', "Gates.", (77, 78)),
    ],
)
def test_what_the_readme_says_goes_before_names_and_blurbs(text, body, parents):
    facts = parse_submission_json(f'{{"val_bpb": 1.2, {text}}}', "x")
    found = extract_submission("track_10min_16mb/2026-03-25_X", f"# Run\n\n{body}\n", facts)
    assert found.parent_prs == parents


@pytest.mark.parametrize(
    ("body", "base"),
    [
        ("An improvement of 0.024 over the prior 10-min track baseline (1.2244).", 1.2244),
        ("**val_bpb: 1.2000** (published: 1.2003)", 1.2003),
        ("The source record's seed-42 line reports `1.2003` BPB.", 1.2003),
        ("Building on our previous run (1.2047 BPB), we add LoRA-based TTT.", 1.2047),
        ("## Difference from Best Record (1.2271)\n\nA longer warmup.", 1.2271),
        ("Not competitive with the leaderboard top (1.1428 bpb on March 20).", 1.1428),
        ("A wider run got 1.4143, which is below the organizers' baseline.", None),
        ("| Run | BPB |\n|---|---|\n| wide | **1.2000** |\n| base_9L | 1.2159 |", 1.2159),
        (
            "| Run | BPB | Delta |\n|---|---|---|\n| Podracer | 1.2362 | -- |\n"
            "| this | 1.2000 | -0.0362 |",
            1.2362,
        ),
        (
            "| Epochs | BPB | Delta |\n|---|---|---|\n| 0 | 1.2362 | -- |\n"
            "| 3 | 1.2000 | -0.0362 |",
            None,
        ),
        ("| Seed | Base val_bpb | TTT val_bpb |\n|---|---|---|\n| 42 | 1.2476 | 1.2000 |", 1.2476),
        ("| Seed | Sliding bpb | Cache bpb |\n|---|---|---|\n| 42 | 1.2876 | 1.2000 |", 1.2876),
        ("| Seed | Sliding bpb | TTT bpb |\n|---|---|---|\n| 42 | 1.2043 | 1.2000 |", None),
        ("## New Over Previous MixedQAT Submission (1.2478 bpb)\n\n- depth", 1.2478),
        ("| Run | BPB (est.) |\n|---|---|\n| Baseline | 1.2200 |", None),
        (
            "Keeps the PR #78 stack of the #77 lineage.\n\n"
            "- vs merged PR #77 (1.2600)\n- vs open PR #78 (1.2300)\n\nBuilt on PR #78, #77.",
            1.23,
        ),
        ("Final 1.2000 vs 1.2409.\n\nBefore TTT: 1.2409.", None),
        ("The base carryover result was:\n\n- `1.2005`\n- `15,963,300` bytes", 1.2005),
        ("Baseline:\n\n- Naive, 2000 s: `val_bpb 1.3600`", None),
        ("We reach 1.2000, beating the naive baseline (1.2244).", 1.2244),
        ("It does not match the dense baseline (1.1800).", 1.18),
        ("The adapter gains 0.034 nats (1.2472 → 1.2000).", None),
        ("The score fell from 1.2472 → 1.2000 bpb.", 1.2472),
        (
            "| Run | bpb | Note |\n|---|---|---|\n| B0 | 1.2300 | baseline |\n| B1 | 1.2000 | |",
            1.23,
        ),
        ("Built on PR #77 (ann, 1.2100) and PR #78 (bob, 1.2300).", 1.21),
        ("Based on PR #78: PR #77 (1.2500) -> PR #78 (1.2300) -> this (1.2000).", 1.23),
        ("Compared to the 2026-04-09 base record's mean of 1.2810 BPB, it gains.", 1.281),
        ("The score is not competitive with SOTA (~1.10).", 1.1),
        ("The aim is about ~1.10 after tuning, based on scaling.", None),
        ("- Main leaderboard target: 1.1147\n- Naive baseline: 1.2244", 1.1147),
        ("Merged SOTA (PR #77): 1.88218 nats. Delta: -0.7733 nats.", None),
        ("Based on PR #77: EMA 0.9965, wider.", None),
        ("| Parameter | SOTA (1.2428) | Ours |\n|---|---|---|\n| lr | 0.02 | 0.03 |", 1.2428),
        ("Improves the prior staged three-seed artifact `run` (1.2171 BPB).", 1.2171),
        ("Significance vs baseline (2.0727 val_loss): large.", None),
        (
            "Based on PR #77.\n\n| Stage | This | PR #77 |\n|---|---|---|\n"
            "| Raw | 1.25 | 1.26 |\n| Final sliding | 1.2000 | 1.2150 |",
            1.215,
        ),
        ("It reaches 1.2500 (worse than the baseline) with that setting.", None),
        ("It reaches 1.2500, within 0.013 of the baseline.", None),
        ("The live public leaderboard has moved to 1.1428 by now.", None),
        ("This does not attempt to beat the 1.1985 SOTA.", 1.1985),
        ("Code unchanged from the record 1.2271, aims below 1.1194 (vs best record).", 1.2271),
        ("| What | Value |\n|---|---|\n| previous leaderboard | 1.2810 (ann, PR #77) |", 1.281),
        ("| Order | bpb |\n|---|---|\n| 9 (previous) | 1.2517 |\n| 16 | 1.2000 |", 1.2517),
        (
            "Unchanged from PR #77. Mixing brings 1.2400 → 1.2000.\n\n"
            "| Run | bpb |\n|---|---|\n| + depth (#77) | 1.2380 |\n| + mixer | 1.2000 |",
            1.238,
        ),
        # a stage of the run gives way to a baseline, and like is compared with like
        ("TTT gains 0.06 (1.2600 → 1.2000).\n\nIt beats the baseline (1.2244).", 1.2244),
        # the run before one of its own stages is nobody else's
        ("TTT gains 0.06 (1.2600 → 1.2000).", None),
        ("- Before TTT: 1.2600 bpb\n\nIt improves 1.2600 → 1.2000.", None),
        ("Rounding costs the baseline little (1.1750 → 1.2070 bpb).", None),
        ("PR #77 is 1.2500 post-EMA.\n\nBuilt on PR #77 (1.2300).", 1.23),
        ("| | Sliding | Cache |\n|---|---|---|\n| val_bpb | 1.2300 | 1.2000 |", 1.23),
        ("| | Pre-quant | Final |\n|---|---|---|\n| val_bpb | 1.2300 | 1.2000 |", None),
        ("t-test vs current SOTA (ten layers, 1.2748): t=143.", 1.2748),
        ("Well below the leaderboard #1 (ann: 1.2228), the current one.", 1.2228),
        ("## What failed\n\nThe first PR #77 try hit 1.2439. Built on PR #77.", None),
        ("- Naive: 1.2208\n- muon: 1.2000", None),
        ("It has a pre-quant bpb of 1.2268, not far off the baseline.", None),
        ("The baseline is at 1.2268 (after the roundtrip).", 1.2268),
        ("| Run | bpb | |\n|---|---|---|\n| 5200 | 1.2611 | Pre-TTT baseline |", None),
        ("| Steps | Float base | Final |\n|---|---|---|\n| 9k | 1.2300 | 1.2000 |", None),
        ("The gap: 1.20 here vs leaderboard best ~1.11. It may need more.", 1.11),
        ("| Run | bpb |\n|---|---|\n| PR #77 (prev SOTA) | 1.2231 |\n| x | 1.2000 |", 1.2231),
        (
            "| Run | post bpb | pre bpb |\n|---|---|---|\n| Baseline | 1.2300 | 1.2200 |\n"
            "| Ours | 1.2000 | 1.1900 |",
            1.23,
        ),
        ("On top of PR #77, whose factors (3.4445, 2.3315) are kept.", None),
        ("Based on PR #77. It drops from 1.2842 (record, PR #77) to 1.2627 raw.", 1.2842),
        ("Beats merged SOTA (PR #77, 1.2147) by far.", 1.2147),
        ("Naive baseline: 1.2244.\n\nIt requires beating 1.2194 to claim a record.", 1.2244),
        ("| Run | bpb |\n|---|---|\n| Full control | 1.2000 |\n| Slim control | 1.2300 |", None),
        (
            "| Run | Estimated BPB |\n|---|---|\n| Base model | 1.1300 |\n| + table | 1.0500 |",
            None,
        ),
    ],
)
def test_the_base_is_what_the_score_is_compared_with(body, base):
    assert read(body).base_bpb == base


def test_a_cache_may_build_on_a_score_many_times_its_own():
    assert read("Two changes on top of PR #77 (0.0942 bpb).", own="0.0003").base_bpb == 0.0942


def test_the_own_score_rounded_is_no_base():
    assert read("Baseline export: 1.2001 bpb.", own="1.20005").base_bpb is None


def test_the_base_of_one_seed_gives_way_to_the_mean_of_its_column():
    body = (
        "| Seed | Before bpb | After bpb |\n|---|---|---|\n| 1 | 1.2310 | 1.1990 |\n"
        "| 2 | 1.2330 | 1.2010 |\n| Mean | 1.2320 | 1.2000 |\n\n"
        "| Configuration | BPB |\n|---|---|\n| Base | 1.2310 |\n| + cache | 1.1990 |"
    )
    assert read(body).base_bpb == 1.232


def test_a_base_may_score_far_from_one_where_no_score_is_known():
    body = "| Mode | BPB | |\n|---|---|---|\n| Neural | 4.5070 | baseline |\n| + Rules | TBD | |"
    assert read(body, own="null").base_bpb == 4.507


def test_a_column_of_changes_starts_from_the_base():
    body = "| Component | BPB impact |\n|---|---|\n| Baseline | 1.2244 |\n| + a | -0.005 |"
    assert read(body, own="null").base_bpb == 1.2244


def test_submission_json_names_parents_and_bases_in_words():
    facts = parse_submission_json(
        '{"val_bpb": 0.66, "blurb": "Neural base 1.1371 BPB, built on PR #77 (ann).",'
        ' "credits": {"base_stack": "@ann (PR #71), @bob (PR #72)", "idea": "PR #73"}}', "x"
    )  # fmt: skip
    found = extract_submission("track_10min_16mb/2026-03-25_X", "# Run\n", facts)
    assert found.parent_prs == (77,)  # its credits count where it names none
    assert found.base_bpb == 1.1371
    assert found.sources["base_bpb"].file == "submission.json"


@pytest.mark.parametrize(
    ("fields", "base"),
    [
        ('"merged_sota_bpb": 1.3, "parent_val_bpb": 1.4', 1.4),
        ('"vs": {"previous_sota_bpb": 1.3}, "seeds": {"42": {"baseline_bpb": 1.4}}', 1.3),
        ('"base_seed42_bpb": 1.3, "delta_vs_base_bpb": 0.1, "naive_baseline_bpb": 1.4', None),
        ('"ablations_seed42": {"baseline_bpb": 1.3}', None),
    ],
)
def test_fields_of_submission_json_hold_the_base(fields, base):
    facts = parse_submission_json(f'{{"val_bpb": 1.2, {fields}}}', "x")
    assert extract_submission("track_10min_16mb/2026-03-25_X", "# Run\n", facts).base_bpb == base


def test_numbers_and_comparisons_in_submission_json_are_no_parents():
    facts = parse_submission_json(
        '{"val_bpb": 1.2, "parent": {"pr": "#77", "parent_3seed_mean_bpb": 1.21},'
        ' "deltas_vs_parent": {"GROUP": {"parent": 64}}, "knob": {"base": 32},'
        ' "comparison_to_sota": {"baseline_pr": "#79"}}', "x"
    )  # fmt: skip
    found = extract_submission("track_10min_16mb/2026-03-25_X", "# Run\n", facts)
    assert found.parent_prs == (77,)
    assert found.base_bpb == 1.21


def test_sentences_go_on_over_wrapped_lines():
    body = (
        "It reaches a score that is better than the April base record\n"
        "reported in the leaderboard (`1.2856`), and it is built on the stack of the\n"
        "PR #77 branch.\n"
    )
    found = read(body)
    assert (found.base_bpb, found.sources["base_bpb"].line) == (1.2856, 4)
    assert (found.parent_prs, found.sources["parent_prs"].line) == ((77,), 5)


def test_a_base_of_five_digits_may_score_next_to_the_own():
    assert read("Builds on PR #70's stack (val_bpb 1.07219).", own="1.07217").base_bpb == 1.07219
