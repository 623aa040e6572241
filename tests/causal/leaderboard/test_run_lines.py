"""Lists and lines of runs, each with its score, are read as the tables they stand for."""

import pytest

from scripts.causal.leaderboard.ablations import read_ablations
from scripts.causal.leaderboard.document import parse_document
from scripts.causal.leaderboard.run_lines import told_run

HISTORY = """# A model

## History

- v1 (1.2100): nine layers, int8
- v2 (1.2050): + EMA of the weights
- v3 (1.1950): + XSA on the last 3 layers
"""

LADDER = """# A model

## Ladder of local runs
Run 1: Nine layers            → 1.3400 bpb (laptop)
Run 2: + EMA                  → 1.3300 bpb
Run 3: + SmearGate            → 1.3250 bpb
"""

LOGGED = """# A model

## Width ablation

```
default:    9.1 MB, val_bpb: 1.3000
width 640:  14.9 MB, val_bpb: 1.2500
width 768:  15.9 MB, val_bpb: 1.2400
MATRIX_LR = 0.985 → bpb
```
"""


def _read(text: str) -> list[tuple[str, float]]:
    return [(one.variable, round(one.delta, 5)) for one in read_ablations(parse_document(text))]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("hi=0.75: 0.8321", ("score", "hi=0.75", "0.8321")),
        ("12 layers: around ~1.19", ("score", "12 layers", "1.19")),
        ("Run 4: + Muon → 1.2345 bpb (Δ = -0.01)", ("score", "+ Muon", "1.2345")),
        ("WD=0.05: 15.1MB (fits), 1.1414 BPB", ("score", "WD=0.05", "1.1414")),
        ("With bigrams: 400 steps → val_bpb 1.6100", ("score", "With bigrams", "1.6100")),
        ("v7 (0.9400): + mixing weight", ("score", "+ mixing weight", "0.9400")),
        ("wide model (1.2300): best of all", ("score", "wide model", "1.2300")),
        ("CACHE val_bpb: 1.2034", ("score", "CACHE", "1.2034")),
        ("Label smoothing (+0.029): too much", ("change", "Label smoothing", "+0.029")),
    ],
)
def test_a_line_tells_a_run_and_its_score(line: str, told: tuple[str, str, str]) -> None:
    assert told_run(line) == told


@pytest.mark.parametrize(
    "line",
    [
        "1 (1.1428): another's submission",
        "val_bpb: 1.1428",
        "mean val_bpb: 1.1428",
        "Seed 42: 1.1428",
        "lr: 0.022",
        "12 layers: 1.19",
        "step 500: 1.3000",
    ],
)
def test_a_line_of_a_metric_a_seed_or_a_setting_tells_no_run(line: str) -> None:
    assert told_run(line) is None


def test_a_history_of_versions_is_a_ladder() -> None:
    assert _read(HISTORY) == [("ema", -0.005), ("xsa_layers", -0.01)]


def test_lines_of_a_paragraph_are_a_ladder() -> None:
    assert _read(LADDER) == [("ema", -0.01), ("smear_gate", -0.005)]


def test_lines_of_a_log_are_runs_and_its_settings_are_not() -> None:
    assert [delta for _, delta in _read(LOGGED)] == [-0.05, -0.06]


def test_a_list_of_what_is_expected_tells_no_runs() -> None:
    ladder = LADDER.replace("Ladder of local runs", "Expected ladder")
    assert _read(ladder) == []


def test_lines_of_wrapped_prose_are_no_list() -> None:
    text = "# A model\n\n## Results\nIt is a long story of models whose\nfirst → 1.3000 bpb\nand"
    assert _read(f"{text} another\nsecond → 1.2000 bpb\nwith words on every other line\n") == []
