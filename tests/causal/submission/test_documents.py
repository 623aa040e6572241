"""README and logs say what the facts say, and text from outside stays text."""

from markdown_it import MarkdownIt

from scripts.causal.submission.documents import readme, training_log
from scripts.causal.submission.facts import Effect, SeedScore, SubmissionJson, TrainingLog

SCORE = SeedScore(
    val_bpb=2.5, val_loss=4.0, pre_quant_bpb=2.49, artifact_bytes=90_000, train_seconds=12.5
)
EFFECT = Effect("GELU", "confirmed_better", -0.0123, -0.02, -0.0046, 0.9875, 4, 0.003)


def facts(**changes) -> SubmissionJson:
    values = {
        "author": "A",
        "github_id": "a",
        "name": "One change",
        "blurb": "b",
        "date": "2026-01-02",
        "track": "non_record_16mb",
        "val_loss": 4.0,
        "val_bpb": 2.5,
        "bytes_total": 130_000,
        "bytes_code": 40_000,
        "bytes_model": 90_000,
        "seeds": (7, 8),
        "seed_results": {7: SCORE, 8: SCORE},
        "record": False,
        "backend": "torch-cpu-float32",
        "scale": "fast",
        "machine": "a machine",
        "configuration": {"activation": "gelu", "num_layers": 2},
    }
    return SubmissionJson.model_validate({**values, **changes})


def test_the_readme_carries_every_number():
    text = readme(facts(), [EFFECT], {"activation": "gelu"})
    for part in (
        "**val_bpb 2.500000** (mean of 2 seeds",
        "**130,000 bytes** of 16,000,000",
        "| 7 | 2.500000 | 2.490000 | 4.000000 | 90,000 | 12.5 |",
        "| GELU | confirmed better | -0.0123 | 98.8%: [-0.0200, -0.0046] | 4 | 0.003 |",
        "`activation` = `gelu`",
        "python train_gpt.py --eval",
    ):
        assert part in text


def test_without_effects_or_changes_the_readme_says_so():
    text = readme(facts(), [], {})
    assert "No effect was confirmed" in text
    assert "the baseline at that scale, unchanged" in text


def test_markup_in_names_stays_text():
    hostile = "<script>alert(1)</script> [x](javascript:alert) | `code`\n# heading"
    text = readme(facts(name=hostile, machine=hostile), [], {})
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert "<script" not in html
    assert "javascript:alert" not in html.replace("(javascript:alert)", "")
    assert html.count("<h1>") == 1


def test_the_log_holds_source_versions_steps_and_the_final_line():
    log = TrainingLog(
        seed=7,
        header={"torch": "2.13.0", "machine": "a machine"},
        curves={
            "step": [1.0, 2.0],
            "train_loss": [6.9, 6.5],
            "val_step": [2.0],
            "val_tokens": [8192.0],
            "val_bpb": [3.25],
        },
        score=SCORE,
    )
    lines = training_log(log, "print('the source')\n").splitlines()
    assert lines[0] == "print('the source')"
    assert "torch: 2.13.0" in lines
    assert lines.index("step:2 train_loss:6.500000") + 1 == lines.index(
        "step:2 val_subset_bpb:3.250000"
    )
    assert lines[-1] == ("final_int8_zlib_roundtrip_exact val_loss:4.00000000 val_bpb:2.50000000")
