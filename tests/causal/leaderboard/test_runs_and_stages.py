"""Whose stages a README tells: of the submission, of runs side by side, of seeds."""

from __future__ import annotations

from scripts.causal.leaderboard.ablations import read_ablations
from scripts.causal.leaderboard.document import parse_document

QUANT, SLIDING, TTT = "quant_bits", "sliding_window_eval", "ttt"


def found(text: str, final: float | None = None) -> list[tuple[str, float]]:
    read = read_ablations(parse_document(f"# Run\n\n{text}\n"), [], final)
    return [(a.variable, round(a.delta, 6)) for a in read]


def stages(text: str, final: float | None = None) -> list[tuple[str, float]]:
    return [one for one in found(text, final) if one[0] in (QUANT, SLIDING, TTT, "ema")]


FIVE_RUNS = (
    "## Runs\n\n| Run | Pre-quant BPB | Post-quant BPB |\n|---|---|---|\n"
    "| alpha | 1.1000 | 1.1100 |\n| beta | 1.1010 | 1.1120 |\n| gamma | 1.1020 | 1.1140 |\n"
    "| epsilon | 1.1030 | 1.1160 |\n{last}\n"
)


def test_of_a_long_table_of_runs_the_submission_s_stages_are_told() -> None:
    named = FIVE_RUNS.format(last="| This submission | 1.0900 | 1.0980 |")
    assert stages(named) == [(QUANT, 0.008)]
    scored = FIVE_RUNS.format(last="| omega | 1.0900 | 1.0980 |")
    assert stages(scored, final=1.1140) == [(QUANT, 0.012)]
    bold = FIVE_RUNS.format(last="| **omega** | **1.0900** | **1.0980** |")
    assert stages(bold) == [(QUANT, 0.008)]


def test_a_run_beside_it_is_not_told_again_from_a_smaller_table() -> None:
    text = FIVE_RUNS.format(last="| This submission | 1.0900 | 1.0980 |")
    text += (
        "\n## Detail\n\n| Run | Pre-quant BPB | Post-quant BPB |\n|---|---|---|\n"
        "| beta | 1.1010 | 1.1120 |\n"
    )
    assert stages(text) == [(QUANT, 0.008)]


def test_a_column_for_each_seed_is_one_run() -> None:
    text = (
        "| Stage | Seed 42 | Seed 1337 | Mean |\n|---|---|---|---|\n"
        "| Pre-quant | 1.0800 | 1.0900 | 1.0850 |\n| Quantized | 1.0900 | 1.1000 | 1.0950 |\n"
        "| Sliding | 1.0700 | 1.0820 | 1.0760 |\n"
    )
    assert stages(text) == [(QUANT, 0.01), (SLIDING, -0.019)]
    without = text.replace(" Mean |", " Note |").replace("1.0850", "ok").replace("1.0950", "ok")
    assert stages(without.replace("1.0760", "ok")) == [(QUANT, 0.01), (SLIDING, -0.019)]


def test_the_parts_of_a_log_that_name_seeds_are_one_run() -> None:
    text = (
        "```\nseed 42:\npre-quant val_bpb:1.1000\nfinal_int8_roundtrip val_bpb:1.1100\n"
        "seed 1337:\npre-quant val_bpb:1.1020\nfinal_int8_roundtrip val_bpb:1.1160\n```\n"
    )
    assert stages(text) == [(QUANT, 0.012)]


def test_a_line_that_tells_several_stages() -> None:
    text = "Pre-quant 1.2373, roundtrip 1.2398, sliding window 1.2065 bpb."
    assert stages(text) == [(QUANT, 0.0025), (SLIDING, -0.0333)]
    assert stages("Pre-quant EMA: val_bpb=1.2249, sliding_bpb=1.2090") == []
    assert stages("SLOT mean 1.136399, TTT mean 0.000184") == []


def test_raw_weights_may_name_their_step() -> None:
    text = (
        "| Metric | Value |\n|---|---|\n| {} val_bpb (step 4000) | 1.3410 |\n"
        "| EMA val_bpb | 1.3134 |"
    )
    assert stages(text.format("Raw")) == [("ema", -0.0276)]
    assert stages(text.format("Pre-quant")) == []


def test_one_score_before_quantization_told_twice_is_no_averaging() -> None:
    text = (
        "- Pre-quant bpb: 1.0915\n\n| Eval stage | BPB |\n|---|---|\n"
        "| Pre-quantization post-EMA | 1.0915 |\n| Quantized | 1.1013 |\n"
    )
    assert stages(text) == [(QUANT, 0.0098)]


def test_a_table_s_rounded_scores_give_way_to_exact_ones() -> None:
    text = (
        "| Seed | Sliding bpb | TTT bpb |\n|---|---|---|\n| 1337 | 1.1176 | 1.1157 |\n\n"
        "- Sliding window eval bpb: `1.11762571`\n- Legal TTT bpb: `1.11565196`\n"
    )
    assert stages(text) == [(TTT, -0.001974)]


def test_each_run_s_gain_of_a_stage_beside_the_difference_of_the_gains() -> None:
    text = (
        "## Comparison\n\n| Metric | PR #456 (10L) | This (11L) | Δ |\n|---|---|---|---|\n"
        "| val_bpb | 1.15321 | 1.14458 | -0.00863 |\n| TTT gain | -0.0068 | -0.0165 | 2.4x |\n"
        "| Layers | 10 | 11 | +1 |\n| BigramHash | 10240 | 2048 | -8192 |\n"
    )
    assert found(text) == [("other:bundle", -0.00863), (TTT, -0.0068), (TTT, -0.0165)]


def test_rows_that_count_from_this_submission_are_turned() -> None:
    text = (
        "## Comparison\n\n| Submission | BPB | Delta vs Ours |\n|---|---|---|\n"
        "| This | 1.00995 | - |\n| PR #1687 | 1.04090 | +0.031 |\n"
        "| #1 leader | 1.08100 | +0.071 |\n"
    )
    assert found(text) == [("other:bundle", -0.03095), ("other:bundle", -0.07105)]


def test_closing_rows_of_two_columns() -> None:
    text = (
        "## vs. Prior SOTA\n\n| Run | val_bpb |\n|---|---|\n| Prior, best seed | 1.1598 |\n"
        "| This run, best seed | 1.1419 |\n| Delta (best vs best) | -0.0179 |\n"
    )
    assert ("other:bundle", -0.0179) in found(text)


def test_a_margin_above_another_run_and_one_of_a_named_change() -> None:
    margin = "Not a record: 0.10023 BPB above current leaderboard tip (~1.0611)."
    assert found(margin, final=1.16133) == [("other:bundle", 0.10023)]
    named = (
        "**Test-Time Training (TTT):**\n\n"
        "- Improves from 1.07399 BPB baseline to 1.07068 BPB final (0.0033 BPB gain)\n"
    )
    assert found(named, final=1.07068) == [(TTT, -0.00331)]
    equals = "Prior SOTA 1.0810.\n\nΔ = -0.00810 BPB, well above the 0.005-nat threshold."
    assert ("other:bundle", -0.0081) in found(equals, final=1.0729)


def test_similarities_and_energies_are_no_scores() -> None:
    text = (
        "## Results\n\n| Locations | Cosine sim |\n|---|---|\n| 10000 | 0.768 |\n"
        "| 20000 | 0.805 |\n\n| Run | Energy (kWh) |\n|---|---|\n| baseline | 1.201 |\n"
        "| with TTT | 1.346 |\n"
    )
    assert found(text) == []


def test_a_score_in_the_title_is_subtracted_from_the_rows() -> None:
    text = (
        "## Tuning\n\n| Config | int8_bpb | vs 128K Baseline (1.667) |\n|---|---|---|\n"
        "| Matrix LR 0.08 | 1.6414 | -0.025 |\n| MLP mult 3 | 1.6596 | -0.007 |\n"
    )
    assert found(text) == [("matrix_lr", -0.0256), ("mlp_mult", -0.0074)]


def test_decays_and_extrapolations_are_no_scores() -> None:
    assert found("The optimal EMA decay fell: 0.9965 (default) → 0.995.", final=1.05) == []
    assert found("Extrapolation: the SOTA of 1.0611 is 1.25 mbpb below.", final=1.0623) == []
