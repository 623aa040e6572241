"""Contrasts that tables, sentences and stage ladders report."""

from __future__ import annotations

import pytest

from scripts.causal.leaderboard.ablations import read_ablations
from scripts.causal.leaderboard.document import parse_document
from scripts.causal.leaderboard.schema import Ablation
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.table_roles import role_of
from scripts.causal.leaderboard.tables import columns_of


def ablations(text: str, facts: list[Fact] | None = None) -> list[Ablation]:
    return read_ablations(parse_document(text), facts or [])


def found(text: str) -> list[tuple[str, float, str]]:
    return [(a.variable, a.delta, a.kind) for a in ablations(text)]


def table(*rows: str, title: str = "Ablation") -> str:
    columns = rows[0].count("|") + 1
    lines = [f"# Run\n\n## {title}\n", f"| {rows[0]} |", "|" + "---|" * columns]
    return "\n".join([*lines, *(f"| {row} |" for row in rows[1:])]) + "\n"


@pytest.mark.parametrize(
    ("text", "role"),
    [
        (table("Seed | val_bpb", "42 | 1.12", "7 | 1.13"), "seeds"),
        (table("Metric | Baseline | Ours", "val_bpb | 1.20 | 1.19"), "versus"),
        (table("Change | val_bpb", "base | 1.20", "+ EMA | 1.19", "+ XSA | 1.18"), "ladder"),
        (table("Change | Delta", "no EMA | +0.01", "without XSA | +0.02"), "leave_one_out"),
        (table("Change | Delta bpb", "EMA | -0.01", "XSA | -0.02"), "deltas"),
        (table("Stage | val_bpb", "pre-quant | 1.20", "int6 roundtrip | 1.21"), "stages"),
        (table("LR | val_bpb", "0.02 (default) | 1.20", "0.03 | 1.21"), "sweep"),
        (table("Metric | Value", "TTT gain | -0.003", "Steps | 7000"), "metrics"),
        (table("Parameter | Value", "layers | 11", "dim | 512"), "metrics"),
        (table("Change | Expected delta", "EMA | -0.01"), "none"),
        (table("Change | Delta", "EMA | -0.01", title="Future work"), "none"),
    ],
)
def test_the_role_of_a_table(text: str, role: str) -> None:
    only = parse_document(text).tables[0]
    assert role_of(only, columns_of(only)) == role


def test_an_author_who_writes_gains_as_positive_numbers_is_turned_round() -> None:
    text = table(
        "Technique | val_bpb | Δ vs baseline", "EMA | 1.1950 | +0.0050", "XSA | 1.2030 | -0.0030"
    )
    assert found(text) == [("ema", -0.005, "single"), ("xsa_layers", 0.003, "single")]


def test_the_numbers_of_one_table_tell_the_sign_of_another() -> None:
    text = table(
        "Technique | val_bpb | Δ", "EMA | 1.1950 | +0.0050", "XSA | 1.1970 | +0.0030"
    ) + table("Technique | Δ", "SmearGate | -0.0040", title="Negative results").removeprefix(
        "# Run"
    )
    assert ("smear_gate", 0.004, "single") in found(text)


def test_a_ladder_that_counts_from_its_first_row_becomes_steps() -> None:
    text = table(
        "Change | val_bpb | Delta",
        "baseline | 1.2000 | -",
        "+ EMA | 1.1900 | -0.0100",
        "+ SmearGate | 1.1850 | -0.0150",
    )
    assert found(text) == [("ema", -0.01, "cumulative"), ("smear_gate", -0.005, "cumulative")]


def test_rows_that_end_in_both_are_no_ladder() -> None:
    text = table(
        "Change | val_bpb | Delta",
        "baseline | 1.2000 | -",
        "+ EMA | 1.1900 | -0.0100",
        "+ SmearGate | 1.1950 | -0.0050",
        "+ Both | 1.1870 | -0.0130",
    )
    assert [delta for _, delta, _ in found(text)] == [-0.01, -0.005, -0.013]


def test_with_before_without_is_a_gain_of_what_is_there() -> None:
    text = table("Metric | With SmearGate | Without SmearGate", "Sliding BPB | 1.1855 | 1.1947")
    assert found(text) == [("smear_gate", -0.0092, "single")]


def test_a_technique_named_in_an_aside_is_not_the_subject() -> None:
    text = table(
        "Change | Delta bpb", "Lower confidence, stride 128 | +0.005", "EMA (stride 64) | -0.002"
    )
    assert [name for name, _, _ in found(text)] == ["other:lower_confidence_stride", "ema"]


def test_nats_stay_nats() -> None:
    facts = [Fact(("val_bpb",), 1.2, 1), Fact(("val_loss",), 2.0, 2)]
    (only,) = ablations("# Run\n\nSmearGate improves the loss by 0.010 nats.\n", facts)
    assert (only.variable, only.delta, only.unit) == ("smear_gate", -0.01, "nats")


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("EMA improves val_bpb by 0.003.", ("ema", -0.003, "single")),
        ("CTW degrades BPB by +0.005 at depth 4.", ("ngram_mix", 0.005, "single")),
        ("EMA: -0.24 BPB worse here.", ("ema", 0.24, "single")),
        ("QAT hurts at this scale (1.1466 vs 1.1374 overall).", ("qat", 0.0092, "single")),
        ("EMA and SmearGate together give -0.004 BPB.", ("other:bundle", -0.004, "bundle")),
        ("vs merged PR #1855 (1.06108): -0.00261 BPB / -0.00571 nats",
         ("other:bundle", -0.00261, "bundle")),
    ],
)  # fmt: skip
def test_a_sentence_with_one_change(sentence: str, expected: tuple[str, float, str]) -> None:
    assert found(f"# Run\n\n{sentence}\n") == [expected]


def test_a_sentence_with_several_changes_gives_each_its_own() -> None:
    text = "# Run\n\nSmearGate gives -0.003 bpb, EMA gives -0.001 bpb.\n"
    assert found(text) == [("smear_gate", -0.003, "single"), ("ema", -0.001, "single")]


def test_this_refers_to_the_heading() -> None:
    text = "# Run\n\n### XSA on all layers\n\nThis was a free -0.0016 BPB improvement.\n"
    assert found(text) == [("xsa_layers", -0.0016, "single")]


@pytest.mark.parametrize(
    "text",
    [
        "# Run\n\n## Next steps\n\n- EMA, ~0.0006 bpb gain\n",
        "# Run\n\nEMA would give -0.003 bpb.\n",
        "# Run\n\nEMA beats it by ≥ 0.001 BPB.\n",
        "# Run\n\nTTT loss: 1.9406 → 1.9335\n",
    ],
)
def test_what_was_not_measured_is_no_contrast(text: str) -> None:
    assert found(text) == []


def test_the_score_without_a_technique_is_set_against_the_submission_s() -> None:
    document = parse_document("# Run\n\nThe same stack without SmearGate gives 1.1459.\n")
    (only,) = read_ablations(document, [], 1.1444)
    assert (only.variable, only.delta) == ("smear_gate", -0.0015)


def test_stages_before_and_after_quantization_and_mixing() -> None:
    text = table(
        "Seed | Pre-quant EMA | Post-TTT pre-quant | Quantized | Sliding BPB | N-gram BPB",
        "42 | 1.0900 | 1.0800 | 1.0950 | 1.0700 | 0.9000",
        "Std | 0.0002 | 0.0001 | 0.0002 | 0.0001 | 0.0001",
    )
    assert [(name, delta) for name, delta, _ in found(text)] == [
        ("ttt", -0.01), ("quant_bits", 0.015), ("sliding_window_eval", -0.025),
        ("ngram_mix", -0.17),
    ]  # fmt: skip


def test_a_rounded_repetition_gives_way_to_the_exact_number() -> None:
    text = (
        table("Metric | Value", "Pre-quant val_bpb | 1.2013", "Post-quant val_bpb | 1.2029")
        + "\nQuantization gap: 0.002 BPB\n"
    )
    assert [(name, delta) for name, delta, _ in found(text)] == [("quant_bits", 0.0016)]


def test_other_submissions_rows_are_no_contrasts_of_this_one() -> None:
    text = table(
        "Submission | val_bpb | Gap from baseline",
        "SOTA (PR #195) | 1.1428 | -0.082",
        "PR #162 (our base) | 1.1458 | -0.079",
        "This run | 1.2774 | +0.053",
        title="Where this sits",
    )
    assert found(text) == [("other:bundle", 0.053, "bundle")]


def test_a_sweep_of_numbers_is_named_by_its_column_and_measured_from_its_reference() -> None:
    text = table("N-gram order | bpb", "9 (previous) | 0.517", "11 | 0.353", "12 | 0.322")
    assert found(text) == [
        ("other:n_gram_order", -0.164, "single"),
        ("other:n_gram_order", -0.195, "single"),
    ]
    course = table(
        "Step | Base | TC | Δ", "1000 | 1.38 | 1.37 | -0.01", "2000 | 1.35 | 1.33 | -0.02"
    )
    assert all("step" not in variable for variable, _, _ in found(course))


def test_a_sweep_without_a_control_is_measured_from_zero_else_from_its_first_row() -> None:
    text = table("SLOT LR | bpb", "0.1 | 1.130", "0.2 | 1.120", "0.4 | 1.125", title="Sweep")
    assert [delta for _, delta, _ in found(text)] == [-0.01, -0.005]
    ranked = table("Dropout | bpb", "0.2 | 1.120", "0.4 | 1.125", "0.0 | 1.130", title="Scores")
    assert [delta for _, delta, _ in found(ranked)] == [-0.01, -0.005]
    coded = table("Run | bpb", "AB3_011 | 1.130", "**AB3_100** | **1.120**", title="Sweep")
    assert found(coded) == []


def test_where_labels_repeat_a_row_varies_the_cells_that_differ_from_the_control() -> None:
    text = table(
        "Similarity | Decay | Quant gap delta | bpb",
        "cosine | 0.95 | +0.0018 | 1.439",
        "cosine | 0.99 | +0.0032 | 1.442",
        "L2 | 0.95 | +0.0007 | 1.458",
        title="Sweep",
    )
    assert found(text) == [
        ("other:decay", 0.003, "single"),
        ("other:similarity_l2", 0.019, "single"),
    ]


def test_a_run_stopped_early_is_compared_where_both_were_scored() -> None:
    text = table(
        "Change | Pre-quant bpb | Final bpb", "none | 1.05 | 1.040", "SmearGate | 1.062 | not run"
    ).replace("1.05 ", "1.050 ")
    text = text.replace("| SmearGate", "| LeakyReLU | 1.051 | 1.042 |\n| SmearGate")
    assert found(text) == [("activation", 0.002, "single"), ("smear_gate", 0.012, "single")]


LISTED = """# Run

## Experiments

Baseline:

- Naive: `val_bpb 1.3208`, size 10 MB

XSA:

- `XSA 2L`: `1.3187`
- `XSA 5L`: `1.3158`

Worked forward from there:

1. First model: 1.1808
2. +EMA: 1.1619
3. +SmearGate: 1.1527
4. LR sweep: 1.1500

## What failed

- **Label smoothing** (+0.029): no overfitting here.
- **Causal convolution** (+0.011): slow.
"""


def test_lists_of_runs_are_read_as_tables() -> None:
    assert found(LISTED) == [
        ("xsa_layers", -0.0021, "single"),
        ("xsa_layers", -0.005, "single"),
        ("ema", -0.0189, "cumulative"),
        ("smear_gate", -0.0092, "cumulative"),
        ("other:lr_sweep", -0.0027, "cumulative"),
        ("other:label_smoothing", 0.029, "single"),
        ("other:causal_convolution", 0.011, "single"),
    ]


@pytest.mark.parametrize(
    "items",
    [
        "- 42: 1.0801\n- 1337: 1.0799\n",
        "- val_loss: 1.9844\n- val_bpb: 1.1753\n",
        "- Leaderboard record: 1.1194\n- Naive submission: 1.2244\n",
    ],
)
def test_lists_of_seeds_metrics_and_other_submissions_are_no_runs(items: str) -> None:
    assert found(f"# Run\n\n## Ablation\n\nSeeds and scores:\n\n{items}") == []


def test_gains_in_a_table_of_settings_are_each_column_s() -> None:
    text = table(
        "Parameter | Ours | Theirs", "LR | 1.0 | 0.002", "TTT gain | -0.041 BPB | -0.0025 BPB"
    )
    assert found(text) == [("ttt", -0.041, "single"), ("ttt", -0.0025, "single")]


def test_runs_are_set_against_the_baseline_whatever_their_names() -> None:
    rows = ("Pause tokens | 1.3318", "Baseline | 1.3094", "Latent keys | 1.3223")
    text = table("Experiment | bpb", *rows, title="Results")
    assert [delta for _, delta, _ in found(text)] == [0.0224, 0.0129]
    whole = ("This submission | 1.8838", "Naive baseline | 1.2244", "Leaderboard top | 1.0810")
    assert found(table("Who | bpb", *whole, title="Results")) == []


def test_a_course_of_one_run_is_no_sweep() -> None:
    rows = ("1000 | 1.3 | start", "2000 | 1.2500 | start", "3000 | 1.2310 | peak")
    assert found(table("Step | bpb | Phase", *rows, title="Config")) == []


def test_additions_that_mostly_raise_the_score_are_alternatives() -> None:
    rows = ("Five layers | 1.3125", "+ rotary | 1.3187", "+ SmearGate | 1.3095", "+ SWA | 1.3239")
    changes = [(name, delta) for name, delta, _ in found(table("Run | bpb", *rows))]
    assert changes == [("other:rotary", 0.0062), ("smear_gate", -0.003), ("swa", 0.0114)]


def test_a_rounded_change_is_computed_anew_from_its_scores() -> None:
    rows = ("Baseline | 1.2244 | -", "EMA | 1.2213 | -0.003", "~XSA | ~1.21 | -0.012")
    assert [delta for _, delta, _ in found(table("Change | bpb | Δ", *rows))] == [-0.0031, -0.012]


def test_rows_are_named_by_what_was_changed_not_by_date_code_or_verdict() -> None:
    rows = ("2026-03-29 | {} | −0.040 | win", "2026-04-08 | {} | +0.002 | loss")
    text = table("Date | Change | Δ BPB | Verdict", rows[0].format("GPTQ"), rows[1].format("SLOT"))
    assert found(text) == [("gptq", -0.04, "single"), ("slot", 0.002, "single")]
    coded = table("Run | Config | Δ BPB", "CL1-02 | loops=5 | +0.0691", "CL1-03 | no SWA | +0.01")
    assert [variable for variable, _, _ in found(coded)] == ["depth_recurrence", "swa"]


def test_a_history_goes_on_from_the_row_before_past_what_was_discarded() -> None:
    text = table(
        "# | val_bpb | Description",
        "1 | 1.678 | baseline",
        "2 | 1.588 | seq_len=1024 | ",
        "3 | 1.600 | EMA (discard)",
        "4 | 1.352 | batch_tokens=393K",
        title="History",
    )
    assert [(v, d) for v, d, _ in found(text)] == [
        ("train_seq_len", -0.09),
        ("ema", 0.012),
        ("train_batch_tokens", -0.236),
    ]


def test_a_bare_statement_belongs_to_the_technique_in_the_heading() -> None:
    text = "# R\n\n## Gated attention\n\nA learned gate per head. Provides -0.003 BPB on top.\n"
    assert found(text) == [("gated_attention", -0.003, "single")]
    item = "# R\n\n- **MuonEq-R** — scales rows. Zero-byte cost, ~0.001 BPB improvement.\n"
    assert found(item) == [("optimizer", -0.001, "single")]
    quoted = "# R\n\n## Value residual\n\nThe first. #413 showed -0.015 BPB in a dev ablation.\n"
    assert found(quoted) == [("value_residual", -0.015, "single")]


def test_what_a_gain_is_larger_than_is_not_its_subject() -> None:
    text = (
        "# R\n\nMore shards improved BPB by 0.23 - far more than SmearGate and MLP 3x combined.\n"
    )
    assert all(variable != "smear_gate" for variable, _, _ in found(text))


def test_training_before_quantization_is_a_stage_of_its_own() -> None:
    text = (
        "# R\n\n| Seed | post-EMA bpb | post-PreQuantTTT bpb | quantized bpb | sliding bpb |\n"
        "|---|---|---|---|---|\n| 1 | 1.0754 | 1.0289 | 1.0518 | 1.0397 |\n"
    )
    assert found(text) == [
        ("ttt", -0.0465, "single"),
        ("quant_bits", 0.0229, "single"),
        ("sliding_window_eval", -0.0121, "single"),
    ]
