"""Rows, gaps and settings whose subject is not the first technique that a line names."""

from __future__ import annotations

import pytest
from small_readme import found

from scripts.causal.leaderboard.compared import set_against


def test_scores_beside_percentages_are_set_against_the_control() -> None:
    text = (
        "## Dives\n\n| Config | BPB | vs Baseline |\n|---|---|---|\n| No TTT | 1.4859 | - |\n"
        "| TTT 5ep SGD | 1.4850 | -0.06% |\n| TTT AdamW | 1.4842 | -0.11% |"
    )
    assert found(text) == [("ttt", -0.0009), ("ttt", -0.0017)]


def test_a_row_that_names_what_it_lacks_is_turned() -> None:
    text = (
        "## Ablation\n\n| Change | Delta |\n|---|---|\n| Remove SmearGate | +0.0020 |\n"
        "| No change | +0.0001 |\n| Without EMA | +0.0030 |"
    )
    read = found(text)
    assert ("smear_gate", -0.002) in read
    assert ("ema", -0.003) in read


def test_a_gap_between_two_stages_is_no_quantization() -> None:
    text = (
        "## Results\n\n| Config | TTT-Loop BPB | Sliding BPB | Gap |\n|---|---|---|---|\n"
        "| 3 epochs | 1.1032 | 1.0476 | -0.056 |\n| 5 epochs | 1.0101 | 1.0022 | -0.008 |"
    )
    assert found(text) == [("sliding_window_eval", -0.0556), ("sliding_window_eval", -0.0079)]


def test_a_row_named_after_the_control_is_not_the_control() -> None:
    text = (
        "## Ablations\n\n| Run | BPB |\n|---|---|\n| Local base reproduction | 1.0796 |\n"
        "| Muon 0.98 only | 1.0790 |\n| Control-only TTT | 1.0801 |"
    )
    assert [delta for _, delta in found(text)] == [-0.0006, 0.0005]


def test_what_a_row_shares_with_its_control_is_not_its_change() -> None:
    text = (
        "## Sweep\n\n| Config | BPB |\n|---|---|\n| 6 layers, baseline | 1.9591 |\n"
        "| 6 layers, 2 passes | 1.6390 |\n| 6 layers, dim 384 | 1.7000 |"
    )
    assert found(text)[0] == ("depth_recurrence", -0.3201)
    assert all(variable != "num_layers" for variable, _ in found(text))


def test_stages_are_means_over_the_seeds_that_ran_all_of_them() -> None:
    text = (
        "| Seed | Sliding BPB | TTT BPB |\n|---|---|---|\n| 1 | 1.1152 | 1.1116 |\n"
        "| 2 | 1.1157 | 1.1123 |\n| 3 | - | 1.1190 |"
    )
    assert found(text) == [("ttt", -0.0035)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SWA reduces the quantization gap from 0.032 to 0.008 BPB.", ("swa", -0.024)),
        ("Int6 degradation drops: quant degradation (~0.007 -> ~0.0005).",
         ("other:quantization_gap", -0.0065)),
        ("Quantization gap: -0.004 BPB (near-zero).", ("quant_bits", -0.004)),
        ("The sweep over LeakyReLU slopes: slope 0.9 beats 0.5 by 0.013 BPB.",
         ("other:activation_slope", -0.013)),
        ("TTT uses AdamW not SGD (SGD hurts by +0.030 BPB).", ("other:ttt_optimizer", 0.03)),
        ("Warm-start embeddings (+0.038 worse): the mean of parts vs the baseline.",
         ("other:bundle", 0.038)),
    ],
)  # fmt: skip
def test_what_a_sentence_compares(text: str, expected: tuple[str, float]) -> None:
    assert found(text) == [expected]


def test_a_target_for_the_gap_is_no_result() -> None:
    assert found("QAT should cut the quantization gap from 0.032 to 0.008 BPB.") == []


def test_a_score_that_falls_over_a_course_is_no_change() -> None:
    assert found("1. **Float base improves** (1.135 → 1.109)") == []


def test_a_stage_gives_an_unnamed_difference_its_name() -> None:
    text = "Improvement: 1.1600 → 1.1532 BPB.\n\n- Sliding bpb: 1.1600\n- TTT bpb: 1.1532"
    assert found(text) == [("ttt", -0.0068)]


def test_the_difference_of_two_scores_goes_before_its_rounding() -> None:
    told = set_against("Beats PR #1321 (0.7406) by 0.014 BPB", "", 0.7271)
    assert told is not None and told.delta == pytest.approx(-0.0135)


def test_two_columns_that_set_one_thing_differ_in_that() -> None:
    text = (
        "| Metric | Baseline (int6) | This (int5) |\n|---|---|---|\n"
        "| Best BPB | 1.0810 | 1.0900 |\n| Mean BPB | 1.0829 | 1.0942 |"
    )
    assert found(text) == [("quant_bits", 0.0113)]


def test_a_row_is_about_the_setting_that_its_control_has_otherwise() -> None:
    text = (
        "## Sweep\n\n| Config | val_bpb |\n|---|---|\n| 3 shared, 3 passes, MLP 2x | 2.3003 |\n"
        "| 3 shared, 3 passes, MLP 3x | 2.3288 |"
    )
    assert found(text) == [("mlp_mult", 0.0285)]


def test_a_column_of_means_may_say_that_it_tells_their_spread() -> None:
    text = (
        "## Ablation\n\n| Condition | Seed 1337 | Seed 42 | Mean ± std |\n|---|---|---|---|\n"
        "| TanHop | 1.6645 | 1.7101 | 1.6873 ± 0.0228 |\n"
        "| Baseline | 1.7638 | 1.7568 | 1.7603 ± 0.0035 |"
    )
    assert found(text) == [("other:tanhop", -0.073)]


def test_a_signed_improvement_at_a_cost_in_bytes_is_an_improvement() -> None:
    text = "BigramHash gives a consistent improvement (+0.001 BPB) at a small artifact cost."
    assert found(text) == [("bigram_hash", -0.001)]


def test_a_stage_whose_score_is_an_estimate_is_none() -> None:
    text = (
        "| Configuration | BPB | Source |\n|---|---|---|\n"
        "| Post-EMA (no TTT) | 1.1028 | This submission |\n"
        "| Post-GPTQ sliding (with TTT) | 1.0587 | This submission |\n"
        "| Post-GPTQ sliding (no TTT) | ~1.106 | Estimated: post-EMA + 0.003 |"
    )
    assert found(text) == [("ttt", -0.0441)]


def test_the_whole_and_its_one_row_are_told_once_though_rounded() -> None:
    text = (
        "Delta: +0.01431 bpb (regression) vs the baseline.\n\n## Ablation\n\n"
        "| Run | val_bpb |\n|---|---|\n| baseline | 1.1442 |\n| sigma two | 1.1585 |"
    )
    assert len(found(text)) == 1


def test_a_future_token_is_no_plan() -> None:
    text = (
        "An ablation of the loss that predicts future byte embeddings:\n\n"
        "| Config | BPB | Δ vs none |\n|---|---|---|\n| None | 1.2146 | - |\n"
        "| JEPA | 1.2390 | +0.0244 |"
    )
    assert found(text) == [("other:jepa", 0.0244)]
