"""What a stated change is a change of, where the words that say so stand elsewhere."""

from __future__ import annotations

import pytest
from small_readme import found

from scripts.causal.leaderboard.changed import changes_in
from scripts.causal.leaderboard.compared import set_against


def test_code_names_are_told_apart_by_the_setting_that_differs() -> None:
    text = (
        "## Sweep\n\n| Config | val_bpb |\n|---|---|\n| mlp3_9L_512d | 1.4530 |\n"
        "| deep_12L_512d | 1.4613 |\n| base_9L_512d | 1.4659 |\n| warm50_9L_512d | 1.4661 |"
    )
    assert found(text) == [
        ("mlp_mult", -0.0129),
        ("num_layers", -0.0046),
        ("other:warm50_9l_512d", 0.0002),
    ]


def test_an_ablation_that_opens_with_the_submission_is_read_from_what_it_lacks() -> None:
    text = (
        "## Ablation\n\n| Config | Mean BPB |\n|---|---|\n| This (SGD m=0.95) | 1.0362 |\n"
        "| SGD m=0.9 (prev PR) | 1.0450 |\n| No mixer | ~1.156 |\n| No TTT | ~1.121 |"
    )
    assert found(text) == [
        ("other:bundle", -0.0088),
        ("ngram_mix", -0.1198),
        ("ttt", -0.0848),
    ]


def test_ways_of_one_technique_are_settings_of_it() -> None:
    text = (
        "## Log\n\n| TTT variant | val_bpb |\n|---|---|\n| Baseline AdamW | 1.1026 |\n"
        "| Full-weight SGD | 1.1058 |\n| LoRA rank-4 | 1.1033 |"
    )
    assert found(text) == [("other:ttt_variant", 0.0032), ("ttt", 0.0007)]


def test_a_sweep_is_read_at_the_last_stage_that_its_rows_are_scored_at() -> None:
    text = (
        "## Ablation\n\n| Run | Pre-quant BPB | Post-quant BPB |\n|---|---|---|\n"
        "| no-STE baseline | 1.3824 | 1.6760 |\n| STE QAT | 1.1155 | 1.7996 |"
    )
    assert [delta for name, delta in found(text) if name == "qat"] == [0.1236]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**Partial RoPE** (0.5): rotates half.\nEmpirically -0.003 BPB.", ("rope_dims", -0.003)),
        ("**1. Wider MLP (3x)**\n\nNow 21.8M. Improves BPB by 0.019.", ("mlp_mult", -0.019)),
        ("### 1. XSA on All 11 Layers\n\nIt was a free -0.0016 BPB.", ("xsa_layers", -0.0016)),
        ("### EMA\n\nObserved improvement: ~0.003 bpb at equal steps.", ("ema", -0.003)),
        ("### EMA\n\nObserved improvement: ~0.034 bpb (1.2453 → 1.2111).", ("ema", -0.0342)),
        ("- **Layer drop**: random. Caused 0.06 BPB regression.", ("other:layer_drop", 0.06)),
        ("Hedge gives -0.051 bpb over sliding window (1.1834 → 1.1324).", ("ngram_mix", -0.051)),
        ("Mean pre-TTT bpb: 1.12184 → 1.12334 (worse)", ("other:bundle", 0.0015)),
    ],
)  # fmt: skip
def test_a_sentence_is_about_its_title_or_heading(text: str, expected: tuple[str, float]) -> None:
    assert found(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "- **EMA decay**: 0.997 → 0.999",
        "Improvement over baseline: 0.118 nats (p << 0.01).",
        "Sliding window eval typically gives ~0.03 bpb improvement.",
        "AdamW TTT, cosine LR 0.0005->0.00005 (post-TTT BPB: 1.1189)",
        "## What we'd change with more compute\n\n- Increase BigramHash to 10240 (~0.005 bpb)",
    ],
)
def test_settings_margins_in_nats_and_plans_are_no_contrasts(text: str) -> None:
    assert found(text) == []


def test_another_run_is_told_from_the_submission_by_the_difference_stated() -> None:
    against = set_against("This improves PR #1736's 1.06549 by 0.00043 BPB.", "", 1.06505)
    assert against is not None
    assert against.delta == -0.00043


def test_a_margin_is_no_score_of_a_third_run() -> None:
    against = set_against("val_bpb 0.6680, beating SOTA (1.1147) by 0.4467 BPB.", "", 0.668)
    assert against is not None
    assert against.delta == pytest.approx(-0.4467)


def test_a_headline_may_state_only_the_margin() -> None:
    against = set_against("val_bpb: 1.0687 (3-seed mean), -0.01228 from SOTA", "", 1.0687)
    assert against is not None
    assert against.delta == -0.01228


@pytest.mark.parametrize(
    ("label", "variable"),
    [
        ("+ N-gram order-9 backoff (chunks)", "ngram_mix"),
        ("+ 2-5gram cache", "ngram_mix"),
        ("Only 6-gram", "ngram_mix"),
        ("Fixed 6-gram only, weight 0.3", "ngram_mix"),
        ("Multi-order backoff, fixed weight", "ngram_mix"),
        ("Byte mixer", "ngram_mix"),
        ("Substring matching", "ngram_mix"),
        ("MLP rrelu2", "activation"),
        ("TTT T = 0.98", "other:ttt_t"),
    ],
)
def test_what_a_label_names(label: str, variable: str) -> None:
    assert [name for name, _, _ in changes_in(label)] == [variable]


def test_a_row_that_repeats_one_further_up_stands_alone() -> None:
    text = (
        "## Ablation\n\n| Change | val_bpb | Delta |\n|---|---|---|\n| Baseline | 1.2649 | - |\n"
        "| + LeakyReLU2 | 1.2641 | -0.0008 |\n| + Gated attention | 1.2653 | +0.0004 |\n"
        "| + LeakyReLU2 + headwise | 1.2642 | -0.0007 |"
    )
    assert [delta for _, delta in found(text)] == [-0.0008, 0.0004, -0.0007]


def test_what_gives_way_to_something_new_is_not_what_changed() -> None:
    text = (
        "## Changes\n\n| Change | Impact |\n|---|---|\n"
        "| BigramHash(1536) → EngramLite(3072) | -0.003 |\n| Muon → Mousse | -0.002 |"
    )
    assert found(text) == [("other:bigramhash_engramlite", -0.003), ("optimizer", -0.002)]


def test_paired_seeds_with_a_difference_in_thousandths() -> None:
    text = (
        "## Head to head\n\n| Seed | This PR | PR #1886 | Δ (mBPB) |\n|---|---|---|---|\n"
        "| 1 | 1.06900 | 1.07000 | -1.00 |\n| 2 | 1.06844 | 1.06914 | -0.70 |\n"
        "| Mean | 1.06872 | 1.06957 | -0.85 |"
    )
    assert found(text) == [("other:bundle", -0.00085)]
