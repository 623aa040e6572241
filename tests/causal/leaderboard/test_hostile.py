"""Whatever a README holds: no crash, no hang, no line or value that is not there."""

import json
import math
import random
import re
import time
from pathlib import Path

import pytest

from interventions.aliases import load_aliases
from interventions.vocabulary import load_variables
from scripts.causal.extract_interventions import extract_leaderboard
from scripts.causal.leaderboard.document import parse_document
from scripts.causal.leaderboard.extract import extract_submission
from scripts.causal.leaderboard.submission_json import parse_submission_json

RECORDS = Path(__file__).parents[3] / "records"
INVISIBLE = re.compile("[\x00\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069]")
README = """# Sliding **window** + SWA

val_bpb: **1.1147** (3-seed mean). Built on PR #549. No TTT.

## Architecture

- 11L, 512d, 8H/4KV GQA, MLP 3×, `LeakyReLU(0.5)²`
- [BigramHash(2048)](https://example.org/x_(y)) and EMA(0.997); XSA on the last 4 layers

## Results

| Seed | Sliding bpb | Post-TTT bpb | Artifact |
|-----:|------------:|-------------:|---------:|
| 42   | **1.1150**  | 1.1140       | 15,902,311 |
| 1337 | 1.1144      | 1.1138       | 15,899,871 |

## Ablation

| Change | val_bpb | Δ |
|--------|---------|---|
| baseline | 1.1200 | - |
| + SmearGate | 1.1180 | −0.0020 |
| + EMA | 1.1160 | −0.0020 |

```bash
NUM_LAYERS=11 SEED=42 MUON_WD=0.04 \\
torchrun train_gpt.py
```
"""
INSERTED = [
    "\x00", "\u202e", "\u2066", "\ufeff", "\r", "\r\n", "\t" * 50, "`", "```\n", "~~~\n", "[",
    "](", "|", "||||", "\n|--|\n", "\n\n", "\n---\n", "\n# ", "\n> ", "\n- ", "\n1. ",
    "<script>alert(1)</script>",
    "<!--", "-->", "<b ", "&lt;", "\\", "$$", "**", "_" * 20, "*" * 40, "9" * 400, "1e999", "-0.0",
    "0." + "0" * 300 + "1", "NaN", "∞", "١٢٣", "𝟏𝟏L", "½", "K", "ſ", "İ", "\ud7ff", "\U0010ffff",
    "{{7*7}}", "%s%n", "';--", "PR #99999999999", "seed=" + "9" * 30, "val_bpb: 1." + "1" * 50,
    "NUM_LAYERS=" + "9" * 50, " -> ", "+0.0031 BPB ",
]  # fmt: skip


def mutated(text, rng):
    """The text after one to six random edits, some of them large."""
    for _ in range(rng.randint(1, 6)):
        at, to = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        piece = rng.choice(INSERTED)
        match rng.randrange(10):
            case 0 | 1 | 2:
                text = text[:at] + piece + text[at:]
            case 3:
                text = text[:at] + text[min(to, at + 200) :]
            case 4:
                text = text[:to] + text[at : min(to, at + 500)] * rng.randint(1, 5) + text[to:]
            case 5:
                repeated = piece * rng.randint(1, 2_048 // len(piece) + 1)
                text = text[:at] + repeated + text[at:]
            case 6:
                depth = rng.randint(1, 400)
                nest = rng.choice(["> ", "- ", "  ", "[", "(", "#", "* > "])
                text = text[:at] + "\n" + nest * depth + text[at:]
            case 7:
                text = text.replace(rng.choice("|\n `#-.0"), rng.choice(["", "|", "\n", piece]))
            case 8:
                width = rng.choice([3, 70, 3000])
                head = "|a" * width + "|\n" + "|-" * width + "|\n" + "x\n" * rng.randint(1, 40)
                text = text[:at] + "\n\n" + head + text[at:]
            case 9:
                lines = text.split("\n")
                rng.shuffle(lines)
                text = "\n".join(lines)
        text = text[: 20_000 if rng.random() < 0.9 else 300_000]
    return text


def check(text, facts=()):
    """Read a README and hold the reading to what can be true."""
    size = len(text)
    start = time.process_time()
    read = extract_submission("7/track/one", text, facts)
    # 50 times the usual cost per character: a bound on growth, not on this machine's speed
    assert time.process_time() - start < 2 + 1e-4 * size
    lines = text.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    for source in [*read.sources.values(), *(found.source for found in read.ablations)]:
        assert 1 <= source.line <= lines
    for score in (read.val_bpb, read.base_bpb, *(seed.val_bpb for seed in read.seeds)):
        assert score is None or 0 < score < 20
    for name, value in read.techniques.items():
        if not name.startswith("other:"):
            assert name in load_variables()
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert math.isfinite(value)
            assert load_aliases()[name].holds(value)
    assert not set(read.techniques) & set(read.absent)
    for found in read.ablations:
        assert math.isfinite(found.delta)
        assert not INVISIBLE.search(found.quote or "")
    json.dumps(read.model_dump(mode="json"), allow_nan=False).encode()


def originals():
    texts = [path.read_text() for path in sorted(RECORDS.glob("*/*/README.md"))[::6]]
    return [README, *texts]


def mutate_and_check(first, count):
    texts = originals()
    for number in range(first, first + count):
        rng = random.Random(number)
        text = mutated(rng.choice(texts), rng)
        try:
            check(text)
        except Exception as error:
            error.add_note(f"mutation {number}: {text[:2000]!r}")
            raise


def test_mutated_readmes_are_read():
    mutate_and_check(0, 300)


@pytest.mark.slow
def test_ten_thousand_mutated_readmes_are_read():
    mutate_and_check(1_000, 10_000)


LARGE = {
    "spaces": "vocab" + " " * 400_000,
    "spaces in code": "```\nheads" + (" " * 7_000 + "\n") * 50,
    "one long line": "val_bpb 1.1234 -> 1.1233 improves EMA. " * 1_700,
    "open brackets": "[" * 200_000,
    "open links": "[a](" * 50_000,
    "open tags": "<a " * 60_000,
    "open comments": "<!-- " * 40_000,
    "backticks": "`" * 200_000,
    "stars": "*a " * 60_000,
    "quotes": ">" * 200_000,
    "nested lists": "".join("  " * min(depth, 150) + "- x\n" for depth in range(1_500)),
    "lists in one line": "- " * 30_000,
    "fences": "```\n" * 50_000,
    "thousands of columns": "|a" * 3_900 + "|\n" + "|-" * 3_900 + "|\n" + "x\n" * 10_000,
    "wide tables": ("|a" * 300 + "|\n" + "|-" * 300 + "|\n" + "x\n" * 300 + "\n") * 100,
    "many tables": "## Ablation\n\n" + "|a|bpb|\n|-|-|\n|base|1.12|\n|EMA|1.11|\n\n" * 5_000,
    "a long table": "|a|val_bpb|d|\n|-|-|-|\n" + "|+EMA|1.1234|-0.0031|\n" * 15_000,
    "digits": "9" * 300_000,
    "lines of digits": ("9" * 80 + "\n") * 4_000,
    "settings": "NUM_LAYERS=11 " * 20_000,
    "parents": "Built on PR #1234 and #1235.\n\n" * 8_000,
    "seeds": "seed 42: 1.1234\n" * 15_000,
    "words of one pattern": "11 " + "physical " * 20_000 + "layers",
    "bits": "int5 MLP, int6 attention " * 10_000,
    "carriage returns": "|a|b|\r|-|-|\r" + "x\r" * 50_000,
    "headings": "".join("#" * (i % 6 + 1) + " TTT results\n" for i in range(20_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_large_hostile_readmes_stay_within_their_time(name):
    check(LARGE[name])


def test_what_a_page_does_not_show_is_not_read():
    hidden = "<!-- EMA(0.95) and SWA -->\n\n<script>\nXSA on 7 layers\n</script>\n\n"
    read = extract_submission("t/one", f"# T\n\n{hidden}- 11L <!-- SmearGate -->\n", [])
    assert read.techniques == {"num_layers": 11}


def test_marks_that_turn_text_around_are_taken_off():
    text = "# T\n\n## Ablation\n\n- \u202eEMA\u202c improves by -0.0031 \u2066BPB\x00\n"
    (found,) = extract_submission("t/one", text, []).ablations
    assert (found.variable, found.delta) == ("ema", -0.0031)
    assert not INVISIBLE.search(found.quote)


def test_a_placeholder_is_no_score():
    read = extract_submission("t/one", "# T\n\nval_bpb: 0.0000\n\nseed 42\n", [])
    assert (read.val_bpb, read.seeds) == (None, ())


def test_lines_are_counted_as_the_parser_counts_them():
    (row,) = parse_document("# T\r\rtext\r\n\r|a|b|\r|-|-|\r|1|2|\r").tables[0].rows
    assert row.line == 7


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, "{", "", "[]", '{"a": 1e99999, "b": NaN}', "\x00",
     '{"a": "\\ud800"}', '{"val_bpb": ' + "9" * 5_000 + "}"],
)  # fmt: skip
def test_any_submission_json_is_read_or_refused_in_one_line(text):
    try:
        facts = parse_submission_json(text, "submission.json")
    except Exception as error:
        assert type(error).__name__ == "InputError"
        assert "\n" not in str(error)
    else:
        check("# T\n", facts)


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(tmp_path):
    for name, json_text in (("a", "{"), ("b", '{"val_bpb": 1.1}'), ("c", '{"val_bpb": 1.2}')):
        (tmp_path / "track" / name).mkdir(parents=True)
        (tmp_path / "track" / name / "README.md").write_bytes(b"# T\n\xff\xfe SWA \x00\n")
        (tmp_path / "track" / name / "submission.json").write_text(json_text)
    (tmp_path / "track" / "c" / "README.md").write_bytes(b"x" * (1024 * 1024 + 1))
    read = extract_leaderboard(tmp_path, keep_going=True)
    assert [submission.id for submission in read.submissions] == ["track/a", "track/b"]
    assert "not valid JSON" in read.submissions[0].problems[0]
    assert set(read.unreadable) == {"track/c"}
    assert "1,048,577 bytes" in read.unreadable["track/c"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x\n" * 20_001, "not read beyond line 20,000 (more than 20,000 lines)"),
        (LARGE["a long table"], "(more than 20,000 table cells)"),
        ("y" * 8_001, "1 lines read only to their first 8,000 characters"),
    ],
    ids=["lines", "cells", "characters"],
)
def test_what_is_cut_is_told(text, problem):
    (told,) = extract_submission("t/one", text, []).problems
    assert told.startswith("README.md: ")
    assert problem in told


def test_a_whole_readme_has_no_problem():
    assert extract_submission("t/one", "x\n" * 20_000, []).problems == ()
    assert extract_submission("t/one", README, []).problems == ()


def test_names_hold_no_mark_that_turns_or_moves_the_text():
    named = json.dumps({"name": "a\u202eb\x1b[31m\u2066c", "author": "\u200bA\x00d\u200da\x7f"})
    read = extract_submission("t/one", "# T\n", parse_submission_json(named, "submission.json"))
    assert (read.name, read.author) == ("ab[31mc", "A da")
