"""Of several names beside a number, the one that it is of; its sign where a thing is left out."""

from __future__ import annotations

import pytest

from scripts.causal.leaderboard.ablations import read_ablations
from scripts.causal.leaderboard.changed import changes_in
from scripts.causal.leaderboard.document import parse_document


def found(text: str) -> list[tuple[str, float]]:
    document = parse_document(f"# Run\n\n{text}\n")
    return [(a.variable, a.delta) for a in read_ablations(document)]


def rows(*lines: str, title: str = "Ablations") -> str:
    return f"## {title}\n\n| Change | Delta (bpb) |\n|---|---|\n" + "\n".join(
        f"| {line} |" for line in lines
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("QAT reduces what int5 loses from 0.070 to 0.050 (a 0.020 bpb improvement).",
         ("qat", -0.02)),
        ("The 9L stack with a hashed n-gram cache that gives -0.31 BPB over the model alone.",
         ("ngram_mix", -0.31)),
        ("### Depth Recurrence\n\nThis makes 14 layers of 12 layers, ~0.004 BPB improvement.",
         ("depth_recurrence", -0.004)),
        ("- LR x0.4: -0.05 bpb", ("matrix_lr", -0.05)),
    ],
)  # fmt: skip
def test_a_sentence_is_of_what_acts_in_it(text: str, expected: tuple[str, float]) -> None:
    assert found(text) == [expected]


@pytest.mark.parametrize("words", ["No EMA", "Without the EMA", "Remove EMA", "Disabling EMA"])
def test_doing_without_a_thing_has_the_sign_turned(words: str) -> None:
    assert found(f"- **{words}**: +0.006 BPB worse here.") == [("ema", -0.006)]


def test_what_something_is_compared_with_does_not_sign_the_change() -> None:
    text = "SmearGate hurts the fit more than its gain recovers (+0.005 BPB)."
    assert found(text) == [("smear_gate", 0.005)]


@pytest.mark.parametrize(
    ("row", "variable"),
    [
        ("SVD in the spectrum (640d 12L) | +0.090", "other:svd_in_the_spectrum"),
        ("Wider model (640d) | +0.090", "model_dim"),
        ("XSA + SwiGLU | +0.090", "other:bundle"),
        ("EMA + SWA | +0.090", "ema"),
        ("Int8 QAT | +0.090", "qat"),
    ],
)
def test_a_row_is_of_what_stands_outside_its_brackets(row: str, variable: str) -> None:
    assert found(rows(row, "SmearGate | -0.004"))[0] == (variable, 0.09)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("int3", ["quant_bits"]),
        ("d640", ["model_dim"]),
        ("depth12 again", ["num_layers"]),
        ("BIGRAM_VOCAB_SIZE 8192 → 4096", ["bigram_hash"]),
        ("Muon momentum", ["muon_momentum"]),
        ("meta-TTT", []),
        ("stride=3", []),
    ],
)
def test_what_settings_and_namesakes_are_called(text: str, names: list[str]) -> None:
    assert [name for name, _, _ in changes_in(text)] == names
