"""What a row changes where its control, the rows above it or the submission have some of it."""

from __future__ import annotations

import pytest

from scripts.causal.leaderboard.ablations import read_ablations
from scripts.causal.leaderboard.changed import changes_in
from scripts.causal.leaderboard.document import parse_document


def found(text: str, used: tuple[str, ...] = (), final: float | None = None) -> list[object]:
    document = parse_document(f"# Run\n\n{text}\n")
    return [(a.variable, a.delta) for a in read_ablations(document, (), final, used)]


def table(header: str, *rows: str, title: str = "Ablation") -> str:
    lines = [header, "|".join("-" for _ in header.split("|")), *rows]
    return f"## {title}\n\n" + "\n".join(f"| {line} |" for line in lines)


def test_a_technique_the_control_has_is_varied_not_added() -> None:
    rows = ("TTT (control) | 1.5265", "TTT 2 steps | 1.5275", "SWA | 1.5300")
    assert found(table("Run | Final BPB", *rows)) == [
        ("other:ttt_2_steps", 0.001),
        ("swa", 0.0035),
    ]


def test_a_control_without_a_technique_has_it_not() -> None:
    rows = ("Pre-TTT baseline | 1.4859", "TTT 20ep | 1.4850")
    assert found(table("Run | BPB", *rows)) == [("ttt", -0.0009)]


def test_a_ladder_remembers_what_its_rows_added() -> None:
    rows = ("Base | 1.20", "+ TTT | 1.15", "+ SWA | 1.14", "+ Sequential Momentum TTT | 1.10")
    assert [name for name, _ in found(table("Step | val_bpb", *rows))] == [
        "ttt",
        "swa",
        "other:sequential_momentum_ttt",
    ]


def test_what_the_submission_uses_was_not_tried_and_left_out() -> None:
    rows = ("Hadamard rotation + GPTQ | -0.0002", "Focal TTT | +0.025", "EMA | +0.47")
    text = table("Technique | Delta", *rows, title="What did not work")
    assert found(text, ("gptq", "ttt")) == [
        ("other:hadamard_rotation_gptq", -0.0002),
        ("other:focal_ttt", 0.025),
        ("ema", 0.47),
    ]
    assert found(text)[1] == ("ttt", 0.025)


def test_runs_with_codes_for_names_are_what_their_columns_say() -> None:
    rows = ("S1 | 3 | no | 1.6972", "S2 | 4 | no | 1.7094", "S3 | 3 | yes | 1.7331")
    text = table("Config | mlp_mult | Compile | val_bpb", *rows, title="Architecture sweep")
    assert found(text) == [("mlp_mult", 0.0122), ("other:compile_yes", 0.0359)]


def test_a_history_goes_on_from_row_to_row() -> None:
    rows = (
        "dim=512, r=3 | 12 | 4.3253",
        "dim=768, r=3 | 14 | 3.9735",
        "dim=1024, r=3 | 16 | 3.7627",
        "dim=1024, r=3 | 40 | 3.2887",
    )
    text = table("Configuration | Steps | val_bpb", *rows, title="Scaling history")
    assert found(text) == [
        ("model_dim", -0.3518),
        ("model_dim", -0.2108),
        ("other:train_steps", -0.474),
    ]


def test_runs_of_several_lengths_are_set_against_the_shorter() -> None:
    rows = ("9000 | 1.1353 | 1.1157", "12000 | 1.1268 | 1.1079", "15000 | 1.1217 | 1.1035")
    text = table("Steps | Float base | Post-TTT BPB", *rows, title="Results")
    steps = [one for one in found(text) if one[0] == "other:train_steps"]  # type: ignore[index]
    assert steps == [("other:train_steps", -0.0078), ("other:train_steps", -0.0044)]
    course = ("500 | 1.3944", "5000 | 1.2315", "9000 | 1.2177")
    assert found(table("Step | val_bpb", *course, title="Training results")) == []


def test_a_rounded_change_is_the_difference_of_the_scores_it_was_rounded_from() -> None:
    rows = (
        "QK-Gain=3.0 | 1.4192 | -0.002",
        "Baseline | 1.4216 | —",
        "Momentum=0.95 | 1.4343 | +0.013",
        "MuonWD=0.08 | 1.4471 | +0.026",
    )
    changes = found(table("Config | val_bpb | vs Baseline", *rows))
    assert [delta for _, delta in changes] == [-0.0024, 0.0127, 0.0255]  # type: ignore[misc]
    text = "Value embeddings gain 0.014 BPB at step 2000 (1.2344 vs 1.2481)."
    assert found(f"## Findings\n\n{text}") == [("value_embedding", -0.0137)]


@pytest.mark.parametrize(
    ("text", "contrast"),
    [
        (
            "### 1. Parallel Residuals\n\nVerified standalone contribution: -0.00048 BPB.",
            ("parallel_residuals", -0.00048),
        ),
        ("**EMA helps post-GPTQ**\n- Post-GPTQ improvement: -0.0024 BPB", ("ema", -0.0024)),
        ("**Longer warmdown.** Improves BPB by 0.022 here.", ("warmdown_iters", -0.022)),
        ("- Quantization introduces a measurable gap (~0.036 BPB).", ("quant_bits", 0.036)),
        (
            "- Quantization roundtrip causes 0.047 bpb degradation (1.3283 -> 1.3752)",
            ("quant_bits", 0.0469),
        ),
        (
            "At matched steps, pause tokens beat the plain ones (1.3424 vs 1.3465).",
            ("other:pause_tokens", -0.0041),
        ),
    ],
)
def test_a_sentence_is_of_what_it_or_its_title_names(text: str, contrast: object) -> None:
    assert found(f"## Findings\n\n{text}") == [contrast]


def test_estimates_bounds_and_limits_are_no_changes() -> None:
    assert found(table("Change | Impact (est_bpb)", "EMA | -0.065", "SWA | -0.062")) == []
    assert found("## Findings\n\nInt8 clipping costs 0.0010 bpb at most.") == []
    assert found(table("Metric | Value | Limit", "val_bpb | 0.9982 | < 1.00")) == []


def test_each_part_with_a_list_of_stages_is_a_run() -> None:
    text = "\n\n".join(
        f"Replay {name}:\n\n- pre-quant EMA exact `{before}`\n- roundtrip exact `{after}`"
        for name, before, after in (
            ("reference", "1.82064983", "2.15605819"),
            ("without actorder", "1.82064982", "2.21586588"),
        )
    )
    assert found(f"## Results\n\n{text}") == [
        ("quant_bits", 0.33540836),
        ("quant_bits", 0.39521606),
    ]


def test_a_claim_below_the_only_quantized_score_is_the_raw_weights() -> None:
    text = "**val_bpb:** 1.1454\n\n**Roundtrip int8 bpb:** 1.1723"
    assert found(text, final=1.1454) == [("quant_bits", 0.0269)]


def test_a_width_and_a_back_off_have_names() -> None:
    assert [name for name, _, _ in changes_in("dim=768 (41M)")] == ["model_dim"]
    assert changes_in("dim=160") == []
    assert [name for name, _, _ in changes_in("+ Standard backoff (alpha=0.05)")] == ["ngram_mix"]


def test_a_remark_tells_of_its_row_where_no_column_does() -> None:
    rows = (
        "XSA on all layers | Standard is the last 4. -0.0016 BPB vs that in ablation. | free",
        "Partial RoPE 16/64 | Untested here. A record reports -0.0023 BPB. | later",
        "SmearGate | Gates are known from elsewhere. | free",
        "Steps | More steps overfit (16 steps gives 0.45 BPB) | no",
        "Quant gap | +0.0050 BPB | -",
    )
    assert found(table("Change | Remark | Cost in bytes", *rows, title="Key additions")) == [
        ("xsa_layers", -0.0016),
        ("rope_dims", -0.0023),
        ("quant_bits", 0.005),
    ]
    assert found(table("Change | Remark | Source", *rows[:4], title="Expected gains")) == []
