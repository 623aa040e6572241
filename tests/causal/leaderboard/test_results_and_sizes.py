"""Which score, which seeds and which size are the submission's own, measured ones."""

import json

import pytest

from scripts.causal.leaderboard.extract import extract_submission
from scripts.causal.leaderboard.submission_json import parse_submission_json


def read(readme, **fields):
    facts = parse_submission_json(json.dumps(fields), "x")
    return extract_submission("track_10min_16mb/2026-03-25_X", readme, facts)


def seeds_of(found):
    return {seed.seed: seed.val_bpb for seed in found.seeds}


ROUND_TRIP = """# Run

| Seed | Val BPB | Roundtrip BPB |
|---|---|---|
| 7 | 1.1650 | 1.1480 |
| 8 | 1.1660 | 1.1490 |
| **Mean** | **1.1655** | **1.1485** |
"""


def test_the_score_after_the_round_trip_is_the_final_one():
    found = read(ROUND_TRIP, results={"mean_val_bpb": 1.1655})
    assert found.val_bpb == 1.1485
    assert seeds_of(found) == {7: 1.148, 8: 1.149}


def test_a_score_of_another_kind_after_the_final_one_stays_out():
    far = ROUND_TRIP.replace("1.1650", "0.3210").replace("1.1660", "0.3220")
    found = read(far.replace("1.1655", "0.3215"), val_bpb=0.3215)
    assert found.val_bpb == 0.3215
    assert seeds_of(found) == {7: 0.321, 8: 0.322}


def test_a_mean_that_opens_with_the_number_of_seeds_is_no_seed():
    rows = "| 7 | 1.1000 |\n| 8 | 1.1002 |\n| 3-seed mean | 1.1001 |"
    readme = f"# Run\n\n| Seed | val_bpb |\n|---|---|\n{rows}\n"
    assert seeds_of(read(readme, val_bpb=1.1001)) == {7: 1.1, 8: 1.1002}


def test_seeds_that_the_readme_adds_to_its_mean_are_the_submissions():
    readme = (
        "# Run\n\n**Final result:** `1.1200` mean TTT BPB across three logs.\n\n"
        "| Seed | BPB |\n|---|---|\n| 7 | 1.1100 |\n| 8 | 1.1200 |\n| 9 | 1.1300 |\n"
    )
    found = read(
        readme, val_bpb=1.115, seed_results={"7": {"val_bpb": 1.11}, "8": {"val_bpb": 1.12}}
    )
    assert found.val_bpb == 1.12
    assert seeds_of(found) == {7: 1.11, 8: 1.12, 9: 1.13}


def test_a_submission_json_of_another_run_gives_way_to_the_readme():
    readme = (
        "# Run\n\n**val_bpb = 1.1155** | **10.4 MB**\n\n- Total size: 10.4 MB\n\n`SEED=7 run`\n"
    )
    found = read(readme, val_bpb=1.0877, bytes_total=15_994_050, seeds={"8": {"val_bpb": 1.0877}})
    assert found.val_bpb == 1.1155
    assert found.artifact_bytes == 10_400_000
    assert 8 not in seeds_of(found)


def test_the_total_goes_before_the_model_alone():
    readme = (
        "# Run\n\n- Serialized model: 15,964,675 bytes\n"
        "- Total submission size: 16,064,921 bytes\n"
    )
    assert read(readme, val_bpb=1.2, artifact_bytes=15_964_675).artifact_bytes == 16_064_921


@pytest.mark.parametrize(
    "body",
    [
        "## Target Metrics\n\n| Metric | Now |\n|---|---|\n| Artifact size | ~14.0 MB |",
        "## Success Criteria\n\n- Model artifact ≤15.5 MB",
        "| Component | Est. Size |\n|---|---|\n| Total | ~14.3MB |",
        "Target: ≤15.9 MB artifact",
        "- Artifact ≤ 16 MB (prior identical runs: 15.0–15.8 MB)",
        "It frees ~1.8 MB for one more layer.",
    ],
)
def test_hoped_for_sizes_are_none(body):
    assert read(f"# Run\n\n{body}\n", val_bpb=None).artifact_bytes is None


def test_a_size_in_the_headline_counts_before_the_score_does():
    assert read("# Run\n\n**val_bpb: PENDING** | **~15.6 MB**\n").artifact_bytes == 15_600_000


def test_a_fence_around_pasted_json_is_no_part_of_it():
    (fact,) = parse_submission_json('```json\n{"bytes_total": 3596880}\n```\n', "x")
    assert (fact.path, fact.value, fact.line) == (("bytes_total",), 3_596_880, 2)


def test_a_mean_in_the_json_goes_before_its_best_seed_as_exactly_as_it_is_written():
    assert read("# X\n", val_bpb=1.0992244, val_bpb_mean=1.1027).val_bpb == 1.1027
    assert read("# X\n", val_bpb=1.12345678, mean_val_bpb=1.1235).val_bpb == 1.12345678


def test_a_score_that_is_still_to_be_determined_is_none():
    told = "- EMA (decay=0.997)\n- 1.3004 bpb on one shard\n"
    assert read(f"# X\n\n**val_bpb: TBD** (mean of 3 seeds)\n\n{told}").val_bpb is None
    assert read(f"# X\n\n{told}").val_bpb == 1.3004


def test_the_last_line_of_a_quoted_log_goes_before_a_json_of_another_run():
    line = "`final_int8_zlib_roundtrip_exact val_loss:2.4 val_bpb:1.20473575`\n"
    readme = "# X\n\n" + 12 * "A model.\n\n" + f"## Run\n\n* {line}"
    assert read(readme, val_bpb=1.1986).val_bpb == 1.20473575
    two = f"{readme}* {line.replace('1.2047', '1.2147')}"
    assert read(two, val_bpb=1.1986).val_bpb == 1.1986
