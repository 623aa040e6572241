"""Signs, pairs of columns, grids, units and sentences, each as several authors write them."""

from __future__ import annotations

import pytest

from scripts.causal.leaderboard.ablations import read_ablations
from scripts.causal.leaderboard.changed import changes_in
from scripts.causal.leaderboard.document import parse_document


def found(text: str, final: float | None = None) -> list[tuple[str, float, str]]:
    read = read_ablations(parse_document(text), [], final)
    return [(a.variable, a.delta, a.kind) for a in read]


def table(*rows: str, title: str = "Ablation", lead: str = "") -> str:
    columns = rows[0].count("|") + 1
    lines = [f"# Run\n\n## {title}\n", lead, f"\n| {rows[0]} |", "|" + "---|" * columns]
    return "\n".join([*lines, *(f"| {row} |" for row in rows[1:])]) + "\n"


def test_steps_whose_totals_happen_to_agree_keep_their_sign() -> None:
    text = table(
        "Component | BPB | Delta",
        "Base | 1.0960 | -",
        "+ TTT | 1.0916 | -0.0044",
        "+ ETLB | 1.0897 | -0.0019",
    )
    assert found(text) == [("ttt", -0.0044, "cumulative"), ("other:etlb", -0.0019, "cumulative")]


def test_a_gain_column_beside_the_score_before_it_turns_no_other_table_round() -> None:
    seeds = table(
        "Seed | Sliding BPB | N-gram BPB | N-gram gain",
        "1 | 1.1263 | 1.0944 | -0.0319",
        "2 | 1.1268 | 1.0946 | -0.0322",
        "3 | 1.1260 | 1.0945 | -0.0315",
        title="Results",
    )
    steps = table("Change | Delta", "TTT | -0.0025", "SmearGate | +0.0010").removeprefix("# Run")
    assert ("ttt", -0.0025, "single") in found(seeds + steps)


def test_a_sliding_window_that_costs_tells_that_positive_is_better() -> None:
    text = table("Finding | Impact", "Sliding eval | +0.035 BPB", "OrthoInit | +0.003 BPB")
    assert found(text) == [
        ("sliding_window_eval", -0.035, "single"),
        ("ortho_init", -0.003, "single"),
    ]


def test_a_technique_called_delta_or_variance_is_no_closing_row() -> None:
    text = table(
        "Technique | val_bpb | Delta",
        "Muon-VS (variance-adaptive) | 1.3884 | +0.0190",
        "Deep Delta Learning | 1.3720 | +0.0030",
        "Mean | 1.3800 | +0.0110",
    )
    assert [delta for _, delta, _ in found(text)] == [0.019, 0.003]


def test_the_former_setting_s_row_is_the_change_to_the_one_chosen() -> None:
    text = table(
        "slope | BPB | Δ vs 0.30",
        "0.25 | 1.06151 | +0.00012",
        "0.30 | 1.06139 | 0",
        "0.50 (prior baseline) | 1.06212 | +0.00073",
    )
    deltas = [delta for _, delta, _ in found(text)]
    assert deltas == [0.00012, -0.00073]


@pytest.mark.parametrize(
    ("header", "rows", "expected"),
    [
        ("Baseline BPB | Distilled BPB | Delta", ("1.140 | 1.153 | +0.013",), 0.013),
        ("This PR | PR #1886 | Δ", ("1.060 | 1.065 | -0.005",), -0.005),
        ("p=0.9 BPB | p=1.0 BPB | improvement", ("1.283 | 1.287 | 0.004",), -0.004),
    ],
)
def test_each_seed_run_twice_is_one_contrast(
    header: str, rows: tuple[str, ...], expected: float
) -> None:
    text = table(
        f"Seed | {header}", *(f"{s} | {row}" for s in (1, 2) for row in rows), title="Runs"
    )
    assert [delta for _, delta, _ in found(text)] == [pytest.approx(expected)]


def test_a_last_column_that_is_no_stage_adds_what_its_title_names() -> None:
    text = table(
        "Seed | Sliding BPB | ETLB BPB",
        "1 | 1.0916 | 1.0897",
        "2 | 1.0926 | 1.0906",
        "Mean | 1.0921 | 1.0902",
        title="Results",
    )
    assert found(text) == [("other:etlb", -0.0019, "single")]


def test_a_grid_s_row_is_set_against_the_one_it_differs_from_in_one_setting() -> None:
    text = table(
        "TTT_LR | TTT_EPOCHS | GPUs | bpb",
        "0.0020 | 3 | 8 | 1.11900",
        "0.0025 | 3 | 4 | 1.11880",
        "0.0025 | 4 | 4 | 1.11860",
        title="Sweep",
    )
    assert found(text) == [
        ("other:ttt_lr", -0.0002, "single"),
        ("other:ttt_epochs", -0.0002, "single"),
    ]


def test_a_row_that_repeats_the_row_before_adds_the_rest() -> None:
    text = table(
        "Eval | val_bpb | Delta",
        "Standard | 1.2562 | -",
        "+ LoRA TTT | 1.2529 | -0.0033",
        "+ LoRA TTT + Cache LM | 1.2544 | +0.0015",
    )
    assert [name for name, _, _ in found(text)] == ["ttt", "other:cache_lm"]


def test_a_first_column_called_size_names_the_rows() -> None:
    text = table("Batch size | BPB", "524288 | 1.1324", "786432 | 1.1286", title="Sweep")
    assert [delta for _, delta, _ in found(text)] == [-0.0038]


def test_thousandths_of_bits_are_bits_in_cells_titles_and_sentences() -> None:
    cells = table("Change | val_bpb | Delta", "EMA | 1.6400 | -4.8 mBPB")
    titled = table("Change | Δ (mBPB)", "EMA | -4.80", "SmearGate | +1.20")
    assert found(cells) == [("ema", -0.0048, "single")]
    assert [delta for _, delta, _ in found(titled)] == [-0.0048, 0.0012]
    assert found("# R\n\nEMA costs +2.1 mBPB.\n") == [("ema", 0.0021, "single")]


def test_losses_without_scores_are_contrasts_in_nats() -> None:
    text = table("Variant | val_loss", "baseline | 5.4379", "SmearGate | 5.4000")
    read = read_ablations(parse_document(text), [])
    assert [(a.variable, a.delta, a.unit) for a in read] == [("smear_gate", -0.0379, "nats")]


def test_the_bpb_column_counts_where_another_is_in_nats() -> None:
    text = table("Change | Delta BPB | Delta nats", "EMA | -0.0066 | -0.0170")
    assert found(text) == [("ema", -0.0066, "single")]


def test_an_estimate_is_no_result() -> None:
    assert found(table("Change | Est. BPB gain", "EMA | -0.0020", "XSA | -0.0030")) == []


def test_a_line_that_leads_to_a_table_is_its_title() -> None:
    rows = ("TTT_CHUNK_SIZE | BPB", "36 (this) | 1.0694", "48 (default) | 1.0697", "64 | 1.0698")
    text = table(*rows, title="Method", lead="Chunk size sweep:")
    assert [delta for _, delta, _ in found(text)] == [-0.0003, 0.0001]


@pytest.mark.parametrize(
    ("sentence", "delta"),
    [
        ("EMA saves bytes at a 0.020 BPB quality penalty.", 0.02),
        ("SmearGate brings no benefit, ~0.002 bpb training-side regression.", 0.002),
        ("EMA is a free -0.003 BPB at a cost of 2 ms.", -0.003),
        ("SmearGate improves BPB from 1.1923 to 1.1837.", -0.0086),
    ],
)
def test_the_words_after_a_number_say_what_it_did(sentence: str, delta: float) -> None:
    assert [change for _, change, _ in found(f"# R\n\n{sentence}\n")] == [pytest.approx(delta)]


def test_what_the_baseline_and_ours_scored_is_one_change() -> None:
    text = "# R\n\nPre-EMA val_bpb: baseline 2.3477, ours 2.3208 (delta -0.027)\n"
    assert found(text, 2.1) == [("other:bundle", -0.0269, "bundle")]


def test_a_heading_with_a_number_is_about_itself() -> None:
    text = "# R\n\n### 1. Variable length attention (~1% faster, ~0.001 nats)\n\nText.\n"
    assert found(text) == [("other:variable_length_attention", -0.001, "single")]


def test_a_history_from_one_score_to_another_is_no_technique_s() -> None:
    assert found("# R\n\nSee the log for the full progression from 1.1708 to 1.1401.\n") == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("TTT epochs = 5", "other:ttt_epochs"),
        ("+ TTT (3 epochs)", "ttt"),
        ("LeakyReLU slope 0.5 -> 0.9", "other:activation_slope"),
        ("NUM_LAYERS optimum", "num_layers"),
    ],
)
def test_a_setting_of_a_technique_is_not_the_technique(text: str, name: str) -> None:
    assert [found for found, _, _ in changes_in(text)] == [name]
