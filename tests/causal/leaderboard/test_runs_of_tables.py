"""Tables of runs: several seeds, the run a row differs from, histories, two runs side by side."""

from __future__ import annotations

import pytest
from small_readme import found, table

from scripts.causal.leaderboard.changed import changes_in
from scripts.causal.leaderboard.compared import all_beaten, set_against
from scripts.causal.leaderboard.document import parse_document
from scripts.causal.leaderboard.nearest_run import nearest_before, varies_one_run
from scripts.causal.leaderboard.tables import columns_of


def test_a_column_for_each_seed_is_their_mean() -> None:
    rows = ("baseline | 1.101 | 1.121 | 1.141", "zeta loss | 1.091 | 1.111 | 1.131")
    read = found(table("Method | Seed 42 | Seed 314 | Seed 999", *rows))
    assert read == [("other:zeta_loss", -0.01)]


def test_a_row_for_each_seed_of_each_run_is_folded() -> None:
    rows = (
        "baseline | 1 | 1.200", "bank linear | 1 | 1.190",
        "baseline | 2 | 1.300", "bank linear | 2 | 1.284",
    )  # fmt: skip
    assert found(table("Model | Seed | val_bpb", *rows)) == [("other:bank_linear", -0.013)]


def test_a_column_for_each_run_is_turned_into_rows() -> None:
    rows = ("1 | 1.200 | 1.190 | 1.180", "2 | 1.300 | 1.286 | 1.282")
    read = found(table("Seed | baseline | + zeta scale | + theta gate", *rows))
    assert read == [("other:zeta_scale", -0.012), ("other:theta_gate", -0.007)]


def test_seeds_of_runs_that_another_table_sums_up_are_left_alone() -> None:
    summed = table("Run | val_bpb | Δ", "control | 1.250 | -", "zeta | 1.2400 | -0.0100")
    rows = ("control | 1 | 1.20", "zeta | 1 | 1.19", "control | 2 | 1.30", "zeta | 2 | 1.28")
    each = table("Run | Seed | val_bpb", *rows, title="Each seed")
    assert found(f"{summed}\n\n{each}") == [("other:zeta", -0.01)]


def test_a_table_that_sums_up_anothers_rows_is_told_once() -> None:
    rows = ("control | 1.2289 | -", "half rate | 1.2298 | +0.0009", "deep | 1.2352 | +0.0063")
    first = table("Run | val_bpb | Δ", *rows, "wide | 1.2383 | +0.0094")
    again = ("Path A | +0.0009", "Path A and covariance | +0.0063", "Path B | +0.0094")
    second = table("Component | Effect on bpb", *again, title="Verdict")
    assert [name for name, _ in found(f"{first}\n\n{second}")] == [
        "other:half_rate",
        "other:deep",
        "other:wide",
    ]


def test_a_run_is_set_against_the_one_that_differs_in_one_thing() -> None:
    rows = (
        "sp1024 baseline (control) | 1.5086", "sp4096, tied | 1.3217",
        "sp4096, 10L tied | 1.3259", "sp4096, untied (best) | 1.2970",
    )  # fmt: skip
    assert found(table("Config | val_bpb", *rows, title="Ablation"))[1:] == [
        ("num_layers", 0.0042),
        ("tied_embeddings", -0.0247),
    ]


@pytest.mark.parametrize(
    ("labels", "at", "near"),
    [
        (["base", "A, B", "A, C"], 2, 1),
        (["A / clean", "A, B", "A, C"], 2, 0),  # as near to the control
        (["lr=1, r=8", "lr=2, r=4", "lr=2, r=2"], 2, 0),  # a sweep
        (["base", "A", "B"], 2, 0),
    ],
)
def test_which_run_is_nearest(labels: list[str], at: int, near: int) -> None:
    assert nearest_before(labels, at, 0) == near


def test_runs_that_share_a_part_vary_one_run() -> None:
    assert varies_one_run(["fused + WD=1.0", "fused + WD=2.0 (this)"], 0)
    assert not varies_one_run(["fused", "fused + WD=2.0"], 0)  # the control lists nothing


def test_a_history_is_read_by_what_each_row_added() -> None:
    rows = (
        "#1 | 1.2196 | first", "#2 | 1.2065 | + XSA(4)", "#3 | 1.1980 | + zeta loss",
        "This PR | 1.1941 | cleaned up",
    )  # fmt: skip
    assert found(table("PR | Score | What changed", *rows, title="Evolution")) == [
        ("xsa_layers", -0.0131),
        ("other:zeta_loss", -0.0085),
    ]


def test_a_rounded_change_counts_from_the_run_that_most_count_from() -> None:
    rows = (
        "baseline | 1.0819 | -", "slope 0.3 | 1.0822 | +0.000", "slope 0.0 | 1.0837 | +0.002",
        "gate width 32 | 1.0788 | -0.003",
    )  # fmt: skip
    assert [delta for _, delta in found(table("Run | val_bpb | Δ", *rows))][1:] == [
        0.0018,
        -0.0031,
    ]


def test_the_second_of_two_runs_is_the_new_one() -> None:
    text = table("Method | val_bpb", "Uniform rates | 1.1257", "Guided rates | 1.1252")
    assert found(text) == [("other:guided_rates", -0.0005)]


def test_all_changes_together_are_no_control() -> None:
    rows = ("kitchen sink (all below) | 0.934", "TTT_EPOCHS=40 | 0.9947", "BIGRAM=8192 | 0.9997")
    assert found(table("Config | 5-min BPB", *rows, title="Ablation")) == []


def test_a_ranking_of_code_names_tells_no_change() -> None:
    rows = ("1 | 03_wide | 1.932", "2 | 10_mirror_recur | 1.944", "3 | 08_swiglu_deep | 1.945")
    assert found(table("Rank | Run | val_bpb", *rows)) == []


def test_one_more_baseline_is_no_change() -> None:
    rows = ("Naive baseline | 1.2244", "4-hour GPT baseline | 1.2074", "Folded GPT | 1.1908")
    assert found(table("Run | val_bpb", *rows)) == [("other:folded_gpt", -0.0336)]


def test_a_setting_called_the_default_is_the_control() -> None:
    rows = ("topk 0.05 | 1.41", "topk 0.10 (default) | 1.405", "topk 0.15 | 1.355")
    read = found(table("Config | val_bpb", *rows, title="Sparse"))
    assert [delta for _, delta in read] == [0.005, -0.05]


def test_two_runs_stand_side_by_side_at_each_stage() -> None:
    rows = (
        "pre-quant | 1.0698 | 1.0674 | -0.0024", "post-quant | 1.0788 | 1.0771 | -0.0017",
        "TTT | 1.0675 | 1.0639 | -0.0036",
    )  # fmt: skip
    read = found(table("Stage | SP8192 raw | CaseOps SP8192 | Δ", *rows))
    assert [delta for name, delta in read if name == "caseops"] == [-0.0024, -0.0017, -0.0036]


def test_a_window_after_test_time_training_is_told_as_such() -> None:
    rows = ("1 | 1.1447 | 1.1528 | 1.1303", "2 | 1.1449 | 1.1534 | 1.1313")
    read = found(table("Seed | Pre-TTT BPB | Post-TTT BPB | Sliding BPB", *rows))
    assert dict(read)["sliding_window_eval"] == pytest.approx(-0.0223)


def test_the_mean_over_seeds_tells_a_stage_rather_than_one_run() -> None:
    one = "| Metric | Value |\n|---|---|\n| Sliding window val_bpb | 1.1247 |\n"
    one += "| Legal TTT val_bpb | 1.1227 |"
    rows = ("1 | 1.1226 | 1.1247", "2 | 1.1230 | 1.1251")
    each = table("Seed | legal_ttt_val_bpb | sliding window bpb", *rows)
    assert found(f"{one}\n\n{each}") == [("ttt", -0.0021)]


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("2:4 structured sparsity", "pruning"),
        ("Star-ReLU MLP=1536", "activation"),
        ("Total batch 2^17", "train_batch_tokens"),
        ("Remove RoPE", "rope_dims"),
        ("an additional layer", "num_layers"),
        ("untied (best)", "tied_embeddings"),
        ("SP12k + CO", "vocab_size"),
        ("bigram=8192 + trigram=8192", "bigram_hash"),
        ("Gradient clipping at 0.5", "grad_clip"),
        ("Without the skips", "unet_skips"),
    ],
)
def test_a_change_in_plain_words(text: str, variable: str) -> None:
    assert changes_in(text)[0][0] == variable


@pytest.mark.parametrize("text", [
    "EMA hidden state", "sliding window attention", "codebook EMA", "activation-aware GPTQ",
    "a GPTQ-quantized start", "extended to 9-gram",
])  # fmt: skip
def test_a_namesake_is_another_thing(text: str) -> None:
    assert changes_in(text) == []


def test_what_a_row_names_first_is_its_subject_though_unknown() -> None:
    read = found(table("Change | Δ bpb", "Zeta loss + late QAT | +0.0032", "EMA | -0.0010"))
    assert read == [("other:bundle", 0.0032), ("ema", -0.001)]


def test_minutes_in_a_title_are_no_minimum() -> None:
    text = table("Config | 5-min BPB", "baseline | 1.0133", "zeta | 0.9947")
    assert columns_of(parse_document(text).tables[0]).bpb == (1,)


def test_each_of_several_runs_is_beaten_by_its_own_margin() -> None:
    text = "Beats PR #870 (0.0935) by 0.013 BPB and PR #913 (0.0887) by 0.008 BPB."
    assert [one.delta for one in all_beaten(text, 0.0804)] == [-0.0131, -0.0083]
    assert all_beaten("Beats PR #870 (0.0935) by 0.013 BPB.", 0.0804) == []


def test_a_baseline_and_ours_need_no_claimed_score() -> None:
    read = set_against("Post-EMA val_bpb: baseline 2.3477, ours 2.3208 (delta -0.027)", "", None)
    assert read is not None
    assert read.delta == -0.0269


def test_a_score_with_the_baseline_in_brackets_is_set_against_it() -> None:
    read = set_against("best local result: 1.5290 BPB (vs 1.5540 baseline), in all", "", 1.4)
    assert read is not None
    assert read.delta == -0.025


def test_a_move_below_a_title_is_of_what_it_names() -> None:
    text = "**Test-Time Training:**\n\n- Improves from 1.0740 BPB baseline to 1.0707 BPB final"
    assert found(text, 1.0707) == [("ttt", -0.0033)]


def test_a_row_called_by_the_score_it_had_is_of_what_the_title_names() -> None:
    rows = ("1.354 | torch 9L | -0.126", "1.211 | torch 11L | -0.137")
    read = found(table("NN BPB | Model | Δ adaptive", *rows, title="Gain of the n-gram cache"))
    assert read == [("ngram_mix", -0.126), ("ngram_mix", -0.137)]


def test_ours_is_set_against_the_default() -> None:
    text = table("Batch size | val_bpb", "2^19 (default) | 1.476", "2^16 (ours) | 1.197")
    assert found(text) == [("train_batch_tokens", -0.279)]
