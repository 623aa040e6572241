"""README and logs say what the facts say, and text from outside stays text."""

import json

from markdown_it import MarkdownIt

from scripts.causal.submission.documents import readme, requirements, training_log
from scripts.causal.submission.facts import (
    SCHEMA_FILE,
    Effect,
    ListedFile,
    SeedScore,
    Step,
    SubmissionJson,
    TrainingLog,
    json_schema,
)

SCORE = SeedScore(
    val_bpb=2.5, val_loss=4.0, pre_quant_bpb=2.49, artifact_bytes=90_000, train_seconds=12.5
)
EFFECT = Effect(
    label="GELU",
    verdict="confirmed_better",
    effect=-0.0123,
    low=-0.02,
    high=-0.0046,
    level=0.9875,
    seeds=4,
    adjusted_p=0.003,
)
FILES = {
    name: ListedFile(size=size, sha256="0" * 64)
    for name, size in (("train_gpt.py", 40_000), ("model.int6.brotli", 90_000), ("t.log", 1))
}


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
        "files": FILES,
        "same_code": True,
        "packages": {"numpy": "2.4.6"},
        "lineage": (Step(name="GELU", changes={"activation": "gelu"}, sources=("PR 877",)),),
        "effects": (),
    }
    return SubmissionJson.model_validate({**values, **changes})


def test_the_readme_carries_every_number():
    text = readme(facts(effects=(EFFECT,)))
    for part in (
        "**val_bpb 2.500000** (mean of 2 seeds",
        "**130,000 bytes** of 16,000,000",
        "| 7 | 2.500000 | 2.490000 | 4.000000 | 90,000 | 12.5 |",
        "| GELU | confirmed better | -0.0123 | 98.8%: [-0.0200, -0.0046] | 4 | 0.003 |",
        "1. GELU: `activation` = `gelu` (published: PR 877)",
        "after int6 + brotli",
        "that of seed 7, the first",
        "python train_gpt.py --eval",
    ):
        assert part in text


def test_without_effects_the_readme_says_so_and_changed_code_too():
    text = readme(facts(same_code=False))
    assert "No effect was confirmed" in text
    assert "changed since the runs were recorded" in text


def test_a_readme_answers_for_every_value_of_submission_json():
    assert readme(facts()) != readme(facts(author="B"))
    assert readme(facts()) == readme(SubmissionJson.model_validate_json(facts().model_dump_json()))


def test_requirements_pin_what_was_used():
    assert requirements({"numpy": "2.4.6", "torch": "2.13.0"}) == "numpy==2.4.6\ntorch==2.13.0\n"


def test_the_schema_that_ships_is_in_step_with_the_form():
    assert json.loads(SCHEMA_FILE.read_text()) == json_schema(), (
        "write it anew: python -m scripts.causal.submission.facts"
    )
    assert set(json_schema()["properties"]) == set(facts().model_dump(mode="json"))


def test_markup_in_names_stays_text():
    hostile = "<script>alert(1)</script> [x](javascript:alert) | `code`\n# heading"
    steps = (Step(name=hostile, sources=(hostile,)),)
    text = readme(facts(name=hostile, machine=hostile, lineage=steps))
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
    lines = training_log(log, "print('the source')\n", "model.int6.brotli").splitlines()
    assert lines[0] == "print('the source')"
    assert "torch: 2.13.0" in lines
    assert lines.index("step:2 train_loss:6.500000") + 1 == lines.index(
        "step:2 val_subset_bpb:3.250000"
    )
    assert lines[-1] == (
        "final_int6_brotli_roundtrip_exact val_loss:4.00000000 val_bpb:2.50000000"
    )
