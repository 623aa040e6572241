"""What a run's neighbouring stages differ by, wherever a README tells their scores."""

import pytest

from scripts.causal.leaderboard.document import parse_document
from scripts.causal.leaderboard.stage_gaps import stated_gaps
from scripts.causal.leaderboard.stage_ladders import stage_contrasts
from scripts.causal.leaderboard.stages import stage_of, stage_rows

QUANT, SLIDING, TTT = "quant_bits", "sliding_window_eval", "ttt"


def table(header: str, *rows: str) -> str:
    rule = "|".join("---" for _ in header.split("|"))
    return "\n".join(f"| {line} |" for line in (header, rule, *rows)) + "\n"


def ladder(text: str) -> list[tuple[str, float]]:
    found = stage_contrasts(parse_document(f"# Run\n\n{text}\n"))
    return [(one.variable, round(one.delta, 5)) for one in found]


@pytest.mark.parametrize(
    ("label", "stage"),
    [
        ("Quant no-TTT BPB", "quantized"),
        ("RT BPB", "quantized"),
        ("Non-overlapping", "quantized"),
        ("val_bpb (full)", "quantized"),
        ("Post-Q BPB", "quantized"),
        ("Pre-Q BPB", "raw"),
        ("3507/20000 val_bpb =", "raw"),
        ("Wallclock-stop val_bpb", "raw"),
        ("Roundtrip val_bpb (preq-TTT + INT6)", "quantized"),
        ("Improvement over TTT", None),
    ],
)
def test_the_stage_a_label_names(label: str, stage: str | None) -> None:
    assert stage_of(label) == stage


def test_settings_in_brackets_name_a_stage_and_variations_of_one_stage_do_not() -> None:
    stages = stage_rows(["Pre-quant (EMA)", "Post-quant (int6, qmax=42)", "Sliding (stride=64)"])
    assert list(stages.values()) == ["averaged", "quantized", "sliding"]
    varied = ["EMA + TTT(3ep, freeze=2)", "Causal TTT", "TTT(20ep, freeze=0)", "After int6 quant"]
    assert stage_rows(varied) == {}


def test_every_run_of_a_table_has_its_own_stages() -> None:
    text = table(
        "Config | Pre-quant | Post-quant | Gap",
        "STE | 1.1155 | 1.7996 | 0.68",
        "no STE | 1.3824 | 1.6760 | 0.29",
    )
    assert ladder(text) == [(QUANT, 0.6841), (QUANT, 0.2936)]
    text = table(
        "Metric | H100 | 4060 | Δ",
        "Pre-quant val_bpb | 1.1155 | 1.3610 | +0.2455",
        "Post-quant val_bpb | 1.7996 | 1.7892 | -0.0104",
    )
    assert ladder(text) == [(QUANT, 0.6841), (QUANT, 0.4282)]
    text = table(
        "Metric | old | new",
        "val_bpb @ step 600 | 1.146 | 1.147",
        "val_bpb @ final step | - | 1.1349",
        "Post-EMA val_bpb | 1.136 | 1.1352",
        "Int6 val_bpb | - | 1.1393",
    )
    assert ladder(text) == [("ema", 0.0003), (QUANT, 0.0041)]  # an earlier step is no stage
    ranged = table("Run | Pre-quant bpb | Post-quant bpb", "a | 1.10 | 1.12-1.15")
    assert ladder(ranged) == []


def test_a_table_of_seeds_is_one_run_and_its_last_column_what_its_score_can_be() -> None:
    rows = ("1 | {} | {} | 600", "2 | {} | {} | 600")

    def seeds(header: str, *scores: str) -> list[tuple[str, float]]:
        filled = [row.format(*scores) for row in rows]
        text = table(f"Seed | {header} | Time", *filled)
        return ladder(f"Sliding window evaluation and an n-gram cache.\n\n{text}")

    assert seeds("Sliding BPB | Non-overlap BPB", "1.2146", "1.2306") == [(SLIDING, -0.016)]
    assert seeds("Val BPB | Roundtrip BPB", "1.1650", "1.1489") == [(SLIDING, -0.0161)]
    assert seeds("Sliding Window BPB | val_bpb", "1.1199", "0.4820") == [("ngram_mix", -0.6379)]
    assert seeds("Pre-oracle bpb | Post-oracle bpb", "1.2346", "0.0281") == [
        ("ngram_mix", -1.2065)
    ]
    assert seeds("last_val_bpb | roundtrip_val_bpb", "1.2791", "1.2808") == [(QUANT, 0.0017)]


def test_the_last_step_of_a_log_is_what_the_row_after_it_quantized() -> None:
    steps = ("0 | 4.1040", "1,000 | 1.9957", "2,000 | 1.8502")
    assert ladder(table("Step | val_bpb", *steps, "Final (int8 roundtrip) | 1.85221")) == [
        (QUANT, 0.00201)
    ]
    assert ladder(table("Step | val_bpb", *steps)) == []


def test_an_earlier_step_is_no_stage_of_the_run() -> None:
    log = "```\nstep:4000/20000 val_bpb:1.1938\n{} val_bpb:{}\n```"
    assert ladder(log.format("DIAGNOSTIC post_ema", "1.1446")) == []
    assert ladder(log.format("final_int6_roundtrip", "1.1533")) == []
    assert ladder(log.format("final_int6_roundtrip", "1.2033")) == [(QUANT, 0.0095)]


def test_a_line_without_a_stage_is_of_the_one_its_introduction_names() -> None:
    text = "Pre-quant stop metrics:\n\n- `val_bpb: 1.2916`\n\n- `int6_roundtrip val_bpb: 1.3081`"
    assert ladder(text) == [(QUANT, 0.0165)]
    text = "Official baseline (pre-quant):\n\n- `val_bpb: 1.2916`\n\n- `roundtrip val_bpb: 1.3081`"
    assert ladder(text) == []
    text = "- val_bpb: **1.1921** (without TTT)\n- val_bpb: **1.1888** (with TTT)"
    assert ladder(text) == [(TTT, -0.0033)]


def test_a_headline_of_noted_scores() -> None:
    text = "**val_bpb = 1.1093** (pre-quant) | **1.1190** (int6 GPTQ) | **1.1026** (sliding)"
    assert ladder(text) == [(QUANT, 0.0097), (SLIDING, -0.0164)]
    assert ladder("val_bpb = 1.1093 (pre-quant), to be confirmed") == []


def test_a_score_told_again_with_more_decimals_is_taken() -> None:
    text = (
        "- Pre-quant bpb: 1.2202\n- Post-quant bpb: 1.2276\n"
        "- Exact: final_int8_roundtrip_exact bpb:1.22762449\n"
    )
    assert ladder(text) == [(QUANT, 0.00742)]


def test_swa_is_named_as_such() -> None:
    text = "- Pre-quant val_bpb: 1.1407\n- Post-SWA val_bpb: 1.1407 (no penalty)\n"
    assert ladder(text) == [("swa", 0.0)]


def test_places_that_share_a_score_are_one_run() -> None:
    text = table("Metric | Value", "Roundtrip bpb | 1.1500", "Sliding bpb | 1.1300")
    text += "\n```\npre-quant post-ema val_bpb:1.1400\nroundtrip val_bpb:1.1500\n```\n"
    assert ladder(text) == [(QUANT, 0.01), (SLIDING, -0.02)]


def test_what_quantization_betters_was_evaluated_with_a_window() -> None:
    text = "With sliding-window evaluation.\n\n- Pre-quant bpb: 1.2202\n- Post-quant bpb: 1.1876\n"
    assert ladder(text) == [(SLIDING, -0.0326)]
    text += "- Quantization gap: 0.0326\n"
    assert ladder(text) == [(QUANT, -0.0326)]  # as the author says


def test_gaps_in_words() -> None:
    def gaps(text: str) -> list[float]:
        return [one.delta for one in stated_gaps(parse_document(f"# Run\n\n{text}\n"))]

    assert gaps("INT6: quant gap 0.012, better than prior SOTA's 0.014") == [0.012, 0.014]
    assert gaps("The quantization gap fell: Q-gap 0.008 → 0.001.") == [0.008, 0.001]
    assert gaps("yielding only +0.002 bpb gap from quantization.") == [0.002]
    assert gaps("Quant gap: 0.012-0.014 BPB") == []  # a range
    assert gaps("This would close the quantization gap of 0.012.") == []
    assert gaps("Quantization gap: 0.012 nats") == []


@pytest.mark.parametrize("last", ["sliding window bpb", "Post-TTT bpb"])
def test_of_steps_told_as_one_quantization_made_it_worse(last: str) -> None:
    rows = ("Pre-quant bpb | 1.1402", f"{last} | 1.1433")
    assert ladder(table("Metric | Value", *rows)) == [(QUANT, 0.0031)]
