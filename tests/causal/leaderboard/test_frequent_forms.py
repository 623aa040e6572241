"""Forms of stated changes that many READMEs share."""

from __future__ import annotations

import pytest

from scripts.causal.leaderboard.ablations import read_ablations
from scripts.causal.leaderboard.changed import changes_in
from scripts.causal.leaderboard.contrasts import slug
from scripts.causal.leaderboard.document import parse_document


def found(text: str) -> list[tuple[str, float]]:
    return [(a.variable, a.delta) for a in read_ablations(parse_document(f"# Run\n\n{text}\n"))]


def table(header: str, *rows: str, title: str = "Ablation") -> str:
    lines = [header, "|".join("-" for _ in header.split("|")), *rows]
    return f"## {title}\n\n" + "\n".join(f"| {line} |" for line in lines)


def test_a_range_is_no_measured_change() -> None:
    rows = ("EMA | -0.002 to -0.004", "SWA | +0.002–0.005 worse", "XSA | -0.003")
    assert found(table("Technique | Δ BPB", *rows)) == [("xsa_layers", -0.003)]


def test_changes_in_a_column_of_remarks_are_read() -> None:
    rows = (
        "EMA | +0.47 BPB at this length | bad",
        "MLP 4x | Fewer steps (413 vs 439) | slow",
        "Dim 480 | crash at 60 | no",
        "SwiGLU | +0.009 BPB | no",
    )
    assert found(table("Experiment | Outcome | Lesson", *rows, title="What did not work")) == [
        ("ema", 0.47),
        ("activation", 0.009),
    ]
    rows = ("Norm of heads | -0.20 nats", "EMA | -0.03 bpb", "SWA | +0.01 bpb (worse)")
    read = read_ablations(parse_document("# Run\n\n" + table("Experiment | Outcome", *rows)))
    assert [one.unit for one in read] == ["nats", "bpb", "bpb"]


@pytest.mark.parametrize(
    ("line", "contrast"),
    [
        ("- Improvement: `0.09460089`", ("other:bundle", -0.09460089)),
        ("- probe delta vs baseline: -0.00619109", ("other:bundle", -0.00619109)),
        ("- **TTT gain: -0.035**", ("ttt", -0.035)),
        ("- SwiGLU gives -0.019", ("activation", -0.019)),
    ],
)
def test_a_change_needs_no_unit_where_its_words_say_what_it_is(
    line: str, contrast: tuple[str, float]
) -> None:
    assert found(f"## Findings\n\n{line}") == [contrast]


@pytest.mark.parametrize(
    "line",
    [
        "- Improvement: 0.2656 nats",
        "- Required improvement: 0.005",
        "- Optimize delta with 8 steps (lr=0.005)",
        "- Delta over 3 seeds: 0.0012",
    ],
)
def test_other_numbers_without_a_unit_are_no_changes(line: str) -> None:
    assert found(f"## Findings\n\n{line}") == []


def test_a_size_is_the_subject_only_where_it_is_said_to_vary() -> None:
    text = "**Helps**: at 10L 3x MLP, JEPA reduces BPB by 0.0034 (1.1965 -> 1.1931)."
    assert [name for name, _ in found(text)] != ["num_layers"]
    assert found("A wide MLP 3x instead of MLP 2x gave -0.004 bpb.") == [("mlp_mult", -0.004)]
    assert found("- The effect is small: two matched 4h pairs show a mean `-0.00134` BPB.") == []


def test_the_heading_names_what_a_comparison_is_of() -> None:
    text = "The gain (-0.009 BPB) more than compensates the slower step."
    assert found(f"## 1. 8 Layers (up from 7)\n\n{text}") == [("num_layers", -0.009)]
    gap = "Reduces int6 quantization gap from 0.0085 to 0.0059 BPB."
    assert found(f"## Full GPTQ\n\n{gap}") == [("gptq", -0.0026)]
    assert found(f"## Results\n\n{gap}") == [("other:quantization_gap", -0.0026)]


def test_a_byte_budget_beside_a_change_is_no_noise_budget() -> None:
    text = "SwiGLU costs 0.09 BPB here (the 16MB budget fits it)."
    assert found(text) == [("activation", 0.09)]


def test_parts_that_a_row_shares_with_its_control_are_not_what_it_changes() -> None:
    rows = ("SentencePiece + Muon + Krylov | 1.0959", "HNet + Muon + Krylov | 1.4270")
    assert found(table("Variant | val_bpb", *rows, title="Variants compared")) == [
        ("other:hnet", 0.3311)
    ]


def test_a_row_told_again_by_another_name_is_one_contrast() -> None:
    rows = ("Baseline | 1.4362 | -", "1-sqrt cooldown | 1.4170 | -0.0192")
    text = table("Schedule | bpb | Delta", *rows)
    again = "On one machine: -0.019 BPB improvement over linear warmdown."
    assert found(f"{text}\n\n{again}") == [("other:1_sqrt_cooldown", -0.0192)]


def test_distances_of_other_submissions_to_this_one_are_turned() -> None:
    rows = ("**This submission** | **1.0698** | -", "PR #555 | 1.0916 | +0.0218")
    turned = table("Submission | BPB | Δ vs ours", *rows, "PR #414 | 1.1233 | +0.0535")
    assert found(turned) == [("other:bundle", -0.0218), ("other:bundle", -0.0535)]
    rows = ("PR #143 | 1.0806 | -0.1321", "Merged SOTA (PR #549) | 1.1194 | -0.1709")
    assert found(table("Submission | BPB | Improvement", *rows, title="Others")) == [
        ("other:bundle", -0.1321),
        ("other:bundle", -0.1709),
    ]
    rows = ("SOTA (PR #195) | 1.1428 | -0.082", "PR #162 | 1.1458 | -0.079")
    own = "This run | 1.2774 | +0.053"
    assert ("other:bundle", -0.082) not in found(
        table("Submission | val_bpb | Gap from baseline", *rows, own)
    )


@pytest.mark.parametrize(
    ("label", "variable"),
    [
        ("Larger batch (786K)", "train_batch_tokens"),
        ("Batch size = 8K", "train_batch_tokens"),
        ("Longer warmdown", "warmdown_iters"),
        ("Longer context", "train_seq_len"),
        ("seq2048_v1", "train_seq_len"),
        ("Lower matrix LR", "matrix_lr"),
        ("lowerlr_v1", "matrix_lr"),
        ("Recurrence + FiLM", "depth_recurrence"),
        ("Quadruple loop (NUM_LOOPS=4)", "depth_recurrence"),
        ("untied embeddings", "tied_embeddings"),
        ("ema_v1", "ema"),
    ],
)
def test_plain_words_name_what_was_changed(label: str, variable: str) -> None:
    assert [name for name, _, _ in changes_in(label)] == [variable]


@pytest.mark.parametrize(
    "label", ["LR = 0.02", "1-sqrt warmdown", "loop-aware export", "kv4_both", "batch warmup norm"]
)
def test_words_for_something_else_name_nothing(label: str) -> None:
    known = {"matrix_lr", "warmdown_iters", "depth_recurrence", "num_kv_heads"}
    assert not known & {name for name, _, _ in changes_in(label)}


def test_a_value_with_a_thousands_comma_is_no_part_of_a_name() -> None:
    assert slug("Chunk Size = 65,536") == "chunk_size"
    rows = ("1,000,000 | 0.4572 | baseline", "65,536 | 0.2872 | -0.170")
    assert found(table("Chunk Size | BPB | Delta", *rows)) == [("other:chunk_size", -0.17)]


def test_the_clause_after_an_arrow_is_not_its_stage() -> None:
    text = "GPTQ improved val_bpb by -0.0086 over rounding (1.1258 -> 1.1172) and stacks with TTT."
    assert found(text) == [("gptq", -0.0086)]


def test_a_stage_that_is_said_to_be_worse_is_worse_whatever_its_sign() -> None:
    rows = (
        "MLP-only TTT | -0.062 BPB worse",
        "Mixed int5 after training | Catastrophic",
        "Before quantization | fine",
    )
    assert ("ttt", 0.062) in found(table("Experiment | Result", *rows, title="Tried"))
