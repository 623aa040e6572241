"""Scores, sizes and seeds that README and submission.json state differently."""

import json

import pytest

from scripts.causal.leaderboard.extract import extract_submission
from scripts.causal.leaderboard.submission_json import parse_submission_json


def extract(readme, described):
    facts = parse_submission_json(json.dumps(described), "x")
    return extract_submission("track_10min_16mb/2026-03-25_X", readme, facts)


@pytest.mark.parametrize(
    ("readme", "described", "score"),
    [
        ("# R\n\n**3-seed mean val_bpb: 1.1145 (std 0.0003)**", {"val_bpb": 1.1150}, 1.1145),
        ("# R\n\nMean val_bpb = 1.0970 (3 seeds) | 8xH100", {"val_bpb": 1.0959}, 1.0970),
        ("# R\n\n**val_bpb: 1.1375** (seed 7), all: 1.1401", {"val_bpb": 1.1401}, 1.1401),
        ("# R\n\nval_bpb: 1.3622 | 14 MB", {"val_bpb": 1.3069}, 1.3622),
        ("# R\n\nExpected val_bpb: 1.11 in the end", {"val_bpb": 1.2}, 1.2),
        ("# R\n\nval_bpb 4.49 → 2.51", {"name": "r"}, 2.51),
        ("# Tuned settings for a Baseline — 1.5096 BPB", {"name": "r"}, 1.5096),
        ("# R\n\nNear-zero bits.", {"val_bpb": 0.00000035}, 3.5e-7),
        ("# R\n\nval_bpb 1.2 is hoped for", {"val_bpb": "TBD"}, None),
        ("# R", {"val_bpb": 0.0}, None),
    ],
)
def test_the_score_that_the_author_stands_by(readme, described, score):
    assert extract(readme, described).val_bpb == score


@pytest.mark.parametrize(
    ("readme", "described", "size"),
    [
        ("- Artifact: 15,885,838 bytes (under 16MB)", {"bytes_total": 15_824_161}, 15_885_838),
        ("|M|V|\n|-|-|\n| Total bytes | 16,182,081 |", {"bytes_total": 17_396_551}, 16_182_081),
        ("- Artifact: 15,700,000 bytes, code 60,161", {"bytes_total": 15_760_161}, 15_760_161),
        ("- Artifact bytes: 15,704,123", {"bytes_total": 15_760_161}, 15_760_161),
        ("zstd-22, ~15.64MB artifact", {"bytes_total": 0}, 15_640_000),
        ("**Total (pre-compression)** ~25 MB, then less", {"name": "r"}, None),
        ("A run.", {"model_size_bytes": 11_538_710}, 11_538_710),
    ],
)  # fmt: skip
def test_the_size_with_code_of_the_largest_artifact(readme, described, size):
    assert extract("# R\n\n## Size\n\n" + readme, described).artifact_bytes == size


def test_seeds_of_another_stage_give_way_to_the_table_whose_mean_is_the_score():
    table = "# R\n\n| Seed | BPB (sliding) |\n|---|---|\n| 300 | 1.0251 |\n| 444 | 0.8469 |\n"
    described = {
        "val_bpb": 0.936,
        "seed_300": {"val_bpb": 0.6191},
        "seed_444": {"val_bpb": 0.4214},
    }
    found = extract(table, described)
    assert [(s.seed, s.val_bpb) for s in found.seeds] == [(300, 1.0251), (444, 0.8469)]
    exact = {"val_bpb": 0.936, "seed_300": {"val_bpb": 1.02509}, "seed_444": {"val_bpb": 0.84691}}
    assert [s.val_bpb for s in extract(table, exact).seeds] == [1.02509, 0.84691]


def test_a_run_that_stopped_before_quantization_has_no_final_seed_score():
    table = "# R\n\n| Seed | Pre-quant val_bpb | Post-quant val_bpb |\n|---|---|---|\n"
    assert extract(table + "| 42 | 1.2554 | - |\n", {"val_bpb": None}).seeds == ()
