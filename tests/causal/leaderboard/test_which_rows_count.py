"""Which rows of a table are contrasts, and what each of them is set against."""

from __future__ import annotations

from small_readme import found, table

QUANT = "quant_bits"


def test_a_remark_that_mentions_a_baseline_makes_no_control_of_its_row() -> None:
    rows = (
        "even blend | 1.10 | less is more",
        "zeta gate | 1.30 | too shy, near the baseline",
        "kappa gate (#77 style) | 1.20 | odd",
        "mu gate | 1.15 | fine",
        "nu gate | 3.10 | it compounds",
    )
    read = found(table("Setting | val_bpb | Remark", *rows, title="Mixing experiments"))
    assert read == [("other:zeta_gate", 0.2), ("other:mu_gate", 0.05), ("other:nu_gate", 2.0)]
    rows = ("alpha gate | 1.10 | kept", "beta gate | 1.30 | our baseline")
    read = found(table("Setting | val_bpb | Remark", *rows, title="Mixing experiments"))
    assert read == [("other:alpha_gate", -0.2)]


def test_a_run_may_be_ruined_by_more_than_a_bit_but_not_bettered() -> None:
    rows = ("baseline | 1.50", "zeta blend | 3.20", "kappa blend | 0.40")
    assert found(table("Run | val_bpb", *rows, title="Sweep")) == [("other:zeta_blend", 1.7)]


def test_two_runs_are_set_against_each_other_at_the_first_stage_and_the_last() -> None:
    rows = (
        "pre-quant val_bpb | 1.2000 | 1.2100",
        "quantized val_bpb | 1.2090 | 1.2230",
        "sliding window val_bpb | 1.1860 | 1.2020",
        "TTT val_bpb | 1.1840 | 1.2010",
    )
    read = found(table("Metric | baseline | zeta rows", *rows))
    assert [delta for name, delta in read if name == "other:zeta_rows"] == [0.01, 0.017]


def test_a_ladder_beside_each_run_s_gap_is_one_of_scores_too() -> None:
    rows = (
        "Start | 1.1400 | 90KB | 0.0093",
        "+ zeta rotation | 1.1410 | 70KB | 0.0091",
        "+ kappa table | 1.1370 | 50KB | 0.0084",
    )
    read = found(table("Config | Sliding BPB | Free | Quant gap", *rows, title="Ablation"))
    assert read[-2:] == [("other:zeta_rotation", 0.001), ("other:kappa_table", -0.004)]
    assert {name for name, _ in read[:-2]} == {QUANT}


def test_of_a_run_beside_this_one_the_evaluation_is_told() -> None:
    rows = ("Earlier | 1.1500 | 1.1590 | 1.1560", "This | 1.1400 | 1.1480 | 1.1440")
    read = found(table("Run | Pre-quant bpb | Post-quant bpb | TTT bpb", *rows))
    assert (QUANT, 0.008) in read
    assert (QUANT, 0.009) not in read
    assert [delta for name, delta in read if name == "ttt"] == [-0.004, -0.003]


def test_this_submission_is_set_against_the_run_it_builds_on() -> None:
    rows = ("PR #7 (previous SOTA) | 1.1240 | plain", "This submission | 1.1210 | zeta")
    both = table("Submission | val_bpb | What", *rows, title="Comparison to previous SOTA")
    assert found(both) == [("other:bundle", -0.003)]
    more = table(
        "Submission | val_bpb | What",
        "PR #5 - base | 1.1300 | plain", "PR #8 | 1.1100 | kappa", *rows[1:],
        title="Comparison",
    )  # fmt: skip
    assert found(more) == [("other:bundle", -0.009)]
    assert (
        found(table("Submission | val_bpb", "PR #5 | 1.13", "PR #8 | 1.11", "This | 1.12")) == []
    )


def test_runs_that_share_one_score_only_are_two() -> None:
    labels = ("pre-quant val_bpb", "int6 roundtrip val_bpb", "TTT val_bpb")
    one, other = (
        table("Metric | Value", *map(" | ".join, zip(labels, scores, strict=True)), title=title)
        for title, scores in (
            ("Narrow", ("1.1230", "1.1740", "1.1370")),
            ("Wide", ("1.1090", "1.1850", "1.1370")),
        )
    )
    read = found(f"{one}\n\n{other}")
    assert read == [(QUANT, 0.051), ("ttt", -0.037), (QUANT, 0.076), ("ttt", -0.048)]


def test_a_window_over_weights_of_unknown_quantization_is_a_sum() -> None:
    rows = (
        "Post-EMA val_bpb | 1.1290",
        "int6 roundtrip val_bpb | 1.1330",
        "sliding window val_bpb | 1.1090",
    )
    seeds = table(
        "Seed | Post-EMA bpb | Sliding bpb", "1 | 1.1300 | 1.1110", "2 | 1.1280 | 1.1090"
    )
    told = [(QUANT, 0.004), ("sliding_window_eval", -0.024)]
    assert found(f"{seeds}\n\n{table('Metric | Value', *rows, title='Seed 1')}") == told
    assert found(seeds) == [("sliding_window_eval", -0.019)]
    worse = table("Seed | Pre-quant bpb | Sliding bpb", "1 | 1.1300 | 1.1710", "2 | 1.128 | 1.169")
    assert found(worse) == [(QUANT, 0.041)]


def test_the_end_of_training_is_a_stage_and_a_loss_none() -> None:
    rows = (
        "val_loss (train end) | 1.9426",
        "val_bpb (train end) | 1.1505",
        "Post-EMA val_bpb | 1.1499",
        "int6 roundtrip val_bpb | 1.1585",
    )
    assert found(table("Metric | Value", *rows)) == [("ema", -0.0006), (QUANT, 0.0086)]
    rows = ("Post-EMA diagnostic | 1.1501", "Final roundtrip val_bpb | 1.1544")
    assert found(table("Metric | Value", *rows)) == [(QUANT, 0.0043)]


def test_the_control_among_code_names_and_a_setting_that_is_no_score() -> None:
    rows = (
        "plain_window | 1.0420 | baseline",
        "v0_control | 1.0340 | ok",
        "v1_wide | 1.0370 | ok",
    )
    read = found(table("Variant | BPB | Status", *rows, title="Sweep"))
    assert read[-1][1] == 0.003
    settings = table("Parameter | Baseline | This", "EMA decay | 0.997 | 0.9965")
    assert found(settings) == []
