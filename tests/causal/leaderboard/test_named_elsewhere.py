"""Changes that a README names in a heading, in bold or beside another run, not where it counts."""

from __future__ import annotations

import pytest
from small_readme import table

from scripts.causal.leaderboard.ablations import read_ablations
from scripts.causal.leaderboard.document import parse_document
from scripts.causal.leaderboard.stages import stage_of


def found(text: str, final: float | None = None) -> list[tuple[str, float]]:
    document = parse_document(f"# Run\n\n{text}\n")
    return [(a.variable, a.delta) for a in read_ablations(document, final=final)]


@pytest.mark.parametrize(
    ("text", "contrast"),
    [
        ("### 6. LR Floor (0.05)\n\nImpact: ~0.001 BPB.", ("other:lr_floor", -0.001)),
        (
            "### 1. Shard Loader\n\n**Effect:** +36 steps, better BPB (1.0860 vs 1.0866).",
            ("other:shard_loader", -0.0006),
        ),
        (
            "- **Trigram hashing**: did not improve over pairs (1.0532 vs 1.0320)",
            ("other:trigram_hashing", 0.0212),
        ),
        (
            "- **Two windows**, one after another. Drops val_bpb from 1.0230 to 1.0140.",
            ("other:two_windows", -0.009),
        ),
        ("JEPA is still worse: **1.6132 vs 1.5861**.", ("other:jepa", 0.0271)),
        ("SLOT tunes an offset. It gave -0.0037 BPB (1.1125 → 1.1088).", ("slot", -0.0037)),
        (
            "### MuonEq-R\n\nEven rows. Zero-byte cost, ~0.001 BPB improvement.",
            ("optimizer", -0.001),
        ),
    ],
)
def test_what_stands_above_or_before_a_change_names_it(
    text: str, contrast: tuple[str, float]
) -> None:
    assert found(text) == [contrast]


def test_of_two_pairs_the_one_of_scores_counts() -> None:
    text = "QAT reduces the gap (0.005 vs 0.009 BPB) but hurts in all (1.1466 vs 1.1374)."
    assert found(text) == [("qat", 0.0092)]


def test_three_changes_with_one_pair_of_scores_are_a_bundle() -> None:
    text = "- BigramHash + SmearGate + OrthoInit made it worse (1.2166 vs 1.2047)"
    assert found(text) == [("other:bundle", 0.0119)]


def test_what_the_whole_submission_gained_is_a_bundle_within_the_clock_or_not() -> None:
    text = "This submission improves by -0.0044 BPB, from 600 more steps within the 600s cap."
    assert found(text) == [("other:bundle", -0.0044)]
    assert found("This submission improves by -0.0044 BPB, within noise.") == []


def test_an_improvement_over_a_baseline_is_counted_from_its_score() -> None:
    text = "Compared to the baseline (1.2244), this is a 0.030 BPB improvement."
    assert found(text, final=1.19422) == [("other:bundle", -0.03018)]


def test_a_verdict_states_its_change_without_a_unit() -> None:
    rows = (
        "Polar express | PR #1 | DEAD: +0.013 pre-quant",
        "Logit rescale | own | Worse (+0.001)",
        "Floor | own | WIN -0.005, not shipped",
        "Fused kernel | own | +0.25 ms",
        "Splits | own | within noise (+0.0001)",
    )
    assert found(table("Lever | Source | Verdict", *rows)) == [
        ("other:polar_express", 0.013),
        ("other:logit_rescale", 0.001),
        ("other:floor", -0.005),
    ]


def test_each_runs_gap_and_gain_is_read_from_two_runs_side_by_side() -> None:
    rows = (
        "Layers | 16 | 16",
        "Steps | 4,292 | 4,544",
        "Eval path | TTT | sliding window",
        "Final val_bpb | 1.1036 | 1.0902",
        "Quant gap | +0.023 | +0.013",
        "Sliding gain | 0.012 | 0.016",
    )
    assert {("quant_bits", 0.023), ("quant_bits", 0.013), ("sliding_window_eval", -0.012)} <= set(
        found(table(" | Prior | This", *rows, title="Previous submission"))
    )


def test_distances_to_others_do_not_tell_what_the_author_calls_better() -> None:
    others = table(
        "Baseline | BPB | Δ BPB",
        "Our #1019 (SOTA) | 1.11474 | -0.00952",
        "Our #549 | 1.11938 | -0.01417",
    )
    own = table("Vocab | BPB | Δ BPB", "4096 | 1.0977 | —", "4608 | 1.0970 | -0.0007")
    assert set(found(f"{own}\n\n{others}")) == {
        ("vocab_size", -0.0007),
        ("other:bundle", -0.00952),
        ("other:bundle", -0.01417),
    }


def test_runs_stopped_early_are_set_against_the_baseline_among_them() -> None:
    rows = (
        "Baseline | 1.2244 | -",
        "JEPA | 1.2258 | -",
        "10 layers + JEPA | 1.1931 | 1.1611",
        "9 layers + JEPA | 1.2080 | 1.1740",
    )
    read = found(table("Config | val_bpb (chunked) | val_bpb (sliding)", *rows, title="Ablations"))
    assert ("other:jepa", 0.0014) in read
    assert not any(abs(delta - 0.0313) < 1e-6 for _, delta in read)


def test_rows_are_set_against_the_row_called_none() -> None:
    rows = ("none | 1.9816", "polar | 1.9835")
    assert found(table("Backend | val_bpb", *rows, title="Capped")) == [("other:polar", 0.0019)]


@pytest.mark.parametrize(
    ("label", "stage"),
    [
        ("Pre-EMA last val_bpb", "raw"),
        ("Post-EMA pre-quant", "averaged"),
        ("Raw val_bpb", "raw"),
        ("Post-quantization (no eval-time tricks)", "quantized"),
        ("Post-quant eval time", None),
        ("Post-EMA val_loss / val_bpb", None),
    ],
)
def test_a_label_names_its_stage(label: str, stage: str | None) -> None:
    assert stage_of(label) == stage


def test_a_closing_row_of_differences_is_no_run() -> None:
    rows = (
        "1 | Baseline | 1.2231 | 1.2305",
        "2 | Pattention | 1.3662 | 1.3771",
        "Δ | (2 - 1) | +0.1431 | +0.1466",
    )
    read = found(table("# | Config | pre-quant val_bpb | int8 val_bpb", *rows))
    assert [delta for name, delta in read if name == "quant_bits"] == [0.0074, 0.0109]
