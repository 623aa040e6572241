"""What the numbers of sentences are of: brackets, sources, subjects, titles, broken lines."""

from __future__ import annotations

import pytest

from scripts.causal.leaderboard.ablations import read_ablations
from scripts.causal.leaderboard.document import parse_document
from scripts.causal.leaderboard.sentences import unwrapped


def found(text: str, final: float | None = None) -> list[tuple[str, float]]:
    return [(a.variable, a.delta) for a in read_ablations(parse_document(text), [], final)]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("The ~0.18 BPB improvement comes from the n-gram cache.", ("ngram_mix", -0.18)),
        (
            "PR #650 demonstrated -0.003 BPB from shard ordering alone.",
            ("other:shard_ordering", -0.003),
        ),
        ("Delta from sequence match: -0.0018 BPB", ("ngram_mix", -0.0018)),
        ("The current record gets -0.0025 from TTT.", ("ttt", -0.0025)),
        (
            "The -0.0017 BPB improvement comes from three changes of the TTT phase.",
            ("other:bundle", -0.0017),
        ),
        ("The warmdown dropped 0.1005 BPB in 3000 steps.", ("warmdown_iters", -0.1005)),
        (
            "Doubling the tied LR was catastrophic (+0.026 BPB).",
            ("other:doubling_the_tied_lr", 0.026),
        ),
        ("RoPE 32 improves pre-quant by -0.0007.", ("rope_dims", -0.0007)),
        ("SwiGLU won, LR 0.08 beats default 0.04 by -0.025.", ("activation", -0.025)),
        ("Frozen conv weights outperform trained ones by 0.07 bpb.", None),
    ],
)
def test_a_number_is_of_what_its_clause_names(
    sentence: str, expected: tuple[str, float] | None
) -> None:
    assert found(f"# Run\n\n{sentence}\n") == ([expected] if expected else [])


def test_of_several_names_the_one_before_the_brackets_counts() -> None:
    text = (
        "# Run\n\n- Added QAT and Int6, then NorMuon (from PR #89, -0.009 BPB), sliding window.\n"
    )
    assert found(text) == [("optimizer", -0.009)]


def test_each_source_has_its_share() -> None:
    text = "# Run\n\nThe stack gained 0.006 in all: -0.004 from EMA, -0.002 from SmearGate.\n"
    assert found(text) == [("ema", -0.004), ("smear_gate", -0.002)]


def test_the_size_of_the_model_is_not_what_two_numbers_are_of() -> None:
    text = (
        "# Run\n\nSingle change: MATRIX_LR=0.03. This was the largest improvement for 10L "
        "architectures (-0.064 BPB on a small card, -0.005 BPB on the full run).\n"
    )
    assert found(text) == [("matrix_lr", -0.064)]


def test_a_chain_of_named_stages_is_read_step_by_step() -> None:
    text = (
        "# Run\n\nA matched run gives live 1.08215117 -> EMA 1.04945326\n"
        "-> quantized 1.05603004 -> post-TTT 1.04210727.\n"
    )
    assert found(text) == [
        ("ema", -0.03269791),
        ("quant_bits", 0.00657678),
        ("ttt", -0.01392277),
    ]


def test_a_stage_after_an_arrow_may_be_that_of_both_scores() -> None:
    assert found("# Run\n\nSmearGate brings BPB down (1.121 -> 1.112 post-EMA).\n") == [
        ("smear_gate", -0.009)
    ]


def test_the_gap_that_a_method_attacks_is_a_gap() -> None:
    text = "# Run\n\n- GPTQ attacks the 0.0187 BPB quantization gap (1.0415 → 1.0602).\n"
    assert found(text) == [("quant_bits", 0.0187)]


def test_a_gap_in_another_clause_makes_no_penalty_of_a_gain() -> None:
    text = "# Run\n\nSmearGate improves bpb by -0.0007 but the quantization gap grows.\n"
    assert found(text) == [("smear_gate", -0.0007)]


@pytest.mark.parametrize(
    "line",
    [
        "**Contribution:** ~0.003-0.005 BPB improvement",
        "Loop dropout reduced the gap from 0.28 bpb to 0.03 bpb.",
        "The BPB decline is largest at the end (-0.052 from step 25k).",
    ],
)
def test_ranges_ends_and_spans_of_steps_are_no_changes(line: str) -> None:
    assert found(f"# Run\n\n## EMA\n\nWe average.\n\n{line}\n") == []


def test_a_margin_on_an_earlier_run_is_of_the_whole() -> None:
    text = (
        "# Run\n\nIt joins three parts with our legal TTT recipe, improving on our prior 1.14252 "
        "(PR #526) by -0.0038 BPB.\n"
    )
    assert found(text) == [("other:bundle", -0.0038)]


def test_words_in_bold_above_a_list_name_what_a_margin_is_of() -> None:
    text = "# Run\n\n**Test-Time Training (TTT):**\n- Takes BPB from 1.07399 to 1.07068\n"
    assert found(text, 1.07068) == [("ttt", -0.00331)]


def test_a_full_line_goes_on_in_the_next_one() -> None:
    full = "delivering about a tenth of a bit over the evaluation without it"
    assert unwrapped(f"{full}\nand so on") == f"{full} and so on"
    assert unwrapped("short\nlines") == "short\nlines"
    assert unwrapped(f"{full}\n- an item") == f"{full}\n- an item"
    assert unwrapped(f"{full}\nName: value") == f"{full}\nName: value"
