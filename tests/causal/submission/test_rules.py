"""Each rule on literal numbers: what breaks it, what keeps it, what leaves it open."""

from pathlib import Path

import pytest

from scripts.causal.submission.byte_rules import bytes_as_stated, under_cap
from scripts.causal.submission.claims import Claims, Score, read_log, same
from scripts.causal.submission.folder import Folder
from scripts.causal.submission.score_rules import (
    documents_agree,
    one_bytes_per_token,
    record_margin,
    seeds_make_the_mean,
)
from scripts.causal.submission.text_rules import logs_are_there, logs_hold_the_source, needs_only


def folder(**sizes: int) -> Folder:
    return Folder(Path(), {name.replace("__", "."): size for name, size in sizes.items()}, {})


def json(**stated) -> Claims:
    return Claims("submission.json", **stated)


def readme(**stated) -> Claims:
    return Claims("README.md", **stated)


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        (1.0611, 1.06107587, True),
        (1.0610, 1.06107587, True),  # cut off
        (1.0612, 1.06107587, False),
        (1.061, 1.0610, True),
        (1.0, 1.004, False),  # 1.000
        (1.338, 1.3379, True),
        (1.119, 1.1184, False),
        (0.79154485, 0.7915448454914982, True),
        (0.79154486, 0.7915448254914982, False),
    ],
)
def test_numbers_are_one_up_to_rounding(first, second, equal):
    assert same(first, second) is same(second, first) is equal


# --------------------------------------------------------------------------------------------
# Bytes


@pytest.mark.parametrize(
    ("lies", "stated", "outcome"),
    [
        (folder(train_gpt__py=1_000, model__bin=15_999_000), (), "pass"),
        (folder(train_gpt__py=1_001, model__bin=15_999_000), (), "fail"),
        (folder(train_gpt__py=1_000, model__bin=15_990_000, more__py=9_001), (), "fail"),
        # The record of 2026-04-14: its wrapper was counted, and not checked in.
        (folder(train_gpt__py=158_429), (json(model=15_868_948),), "fail"),
        (folder(train_gpt__py=48_000), (json(model=15_868_948),), "cannot tell"),
        (folder(README__md=9), (json(total=16_638_468),), "fail"),
        (folder(README__md=9), (json(total=15_900_000), readme(total=23_839_044)), "cannot tell"),
        (folder(README__md=9), (), "cannot tell"),
    ],
)
def test_the_cap_is_on_every_file_that_counts(lies, stated, outcome):
    assert under_cap(lies, stated).outcome == outcome


@pytest.mark.parametrize(
    ("lies", "stated", "text", "outcome"),
    [
        (folder(), (json(code=5, model=7, total=12),), None, "pass"),
        (folder(), (json(code=5, model=7, total=13),), None, "fail"),
        (folder(train_gpt__py=5), (json(code=6),), None, "fail"),
        (folder(train_gpt__py=5, model__bin=7), (json(total=12),), None, "pass"),
        (folder(train_gpt__py=5, model__bin=8), (json(total=12),), None, "fail"),
        (folder(), (json(total=15_978_121), readme(total=15_979_649)), "mean 15,978,121", "pass"),
        (folder(), (json(total=15_900_000), readme(total=15_965_978)), "", "fail"),
        (folder(), (json(total=15_702_333), readme(total=23_839_044)), "", "cannot tell"),
        (folder(), (), None, "cannot tell"),
    ],
)
def test_stated_bytes_are_those_on_disk_and_everywhere_the_same(lies, stated, text, outcome):
    assert bytes_as_stated(lies, stated, text).outcome == outcome


# --------------------------------------------------------------------------------------------
# Scores


def seeds(*bpb: float) -> dict[int, Score]:
    return {number: Score(value) for number, value in enumerate(bpb)}


@pytest.mark.parametrize(
    ("described", "told", "outcome"),
    [
        (json(bpb=1.0611, seeds=seeds(1.0599, 1.0612, 1.0621)), None, "pass"),
        (json(bpb=1.0599, seeds=seeds(1.0599, 1.0612, 1.0621)), None, "fail"),
        (json(bpb=1.9, seeds=seeds(1.0599, 1.0612, 1.0621)), None, "fail"),
        # 2026-03-22: submission.json has the best of the README's three seeds.
        (json(bpb=1.12278022), readme(seeds=seeds(1.1228, 1.1236, 1.1236)), "fail"),
        (json(bpb=1.2184), readme(seeds=seeds(1.1971, 1.1969)), "cannot tell"),
        (json(bpb=1.2184, seeds=seeds(1.2184)), None, "cannot tell"),
        (None, None, "cannot tell"),
    ],
)
def test_the_score_is_the_mean_of_the_seeds(described, told, outcome):
    assert seeds_make_the_mean(described, told).outcome == outcome


@pytest.mark.parametrize(
    ("claims", "text", "outcome"),
    [
        ((json(bpb=1.0611), readme(bpb=1.06107)), "", "pass"),
        ((json(bpb=1.0611), readme(bpb=1.0699)), "1.0699", "fail"),
        ((json(bpb=1.0611), readme(bpb=1.0699)), "best 1.0699, mean 1.0611", "pass"),
        ((json(bpb=1.0611), readme(bpb=1.2244)), "baseline 1.2244", "cannot tell"),
        ((json(seeds=seeds(1.0599)), readme(seeds=seeds(1.0598))), "", "fail"),
        ((json(seeds=seeds(1.0599)), readme(seeds=seeds(1.0599))), "", "pass"),
        # The README's column is that of another stage; it has the one that counts as well.
        ((json(seeds=seeds(1.0599)), readme(seeds=seeds(1.0699))), "1.0699 → 1.0599", "pass"),
        ((json(seeds=seeds(0.8104)), readme(seeds=seeds(0.2519))), "", "cannot tell"),
        ((json(bpb=1.0), Claims("ledger", bpb=1.1)), "", "fail"),
        ((json(bpb=1.0),), "1.0000", "cannot tell"),
    ],
)
def test_documents_state_the_same_scores(claims, text, outcome):
    assert documents_agree(claims, text).outcome == outcome


def test_a_log_is_held_to_its_seed():
    said = read_log("train_seed7.log", "final_int8_zlib_roundtrip val_loss:2.5 val_bpb:1.0612\n")
    assert said.seeds == {7: Score(1.0612, 2.5, None)}
    assert documents_agree((json(seeds={7: Score(1.0612)}), said), "").outcome == "pass"
    assert documents_agree((json(seeds={7: Score(1.0613)}), said), "").outcome == "fail"


def test_the_last_final_line_of_a_log_counts_and_long_lines_cost_nothing():
    text = (
        "step:1 val_loss:9.0 val_bpb:9.0\n"
        "final_int8_zlib_roundtrip val_loss:2.6 val_bpb:1.07\n"
        "Serialized model int8+zlib: 15863489 bytes\nseed: 5\n"
        "quantized_ttt_phased val_loss:2.31538446 val_bpb:1.05803761 eval_time:591446ms\n"
    )
    assert read_log("a.log", text).seeds == {5: Score(1.05803761, 2.31538446, 15863489)}
    assert read_log("a.log", "final" * 2_000_000) == Claims("a.log")


@pytest.mark.parametrize(
    ("described", "outcome"),
    [
        # 2026-04-06: the mean's nats are not those of its seeds.
        (json(bpb=1.08354, loss=2.7995, seeds={1337: Score(1.08301, 2.79749)}), "fail"),
        (json(bpb=1.08354, loss=2.79887, seeds={1337: Score(1.08301, 2.79749)}), "pass"),
        (json(bpb=1.08354, loss=2.79887), "cannot tell"),
        (None, "cannot tell"),
    ],
)
def test_bits_and_nats_are_of_one_text(described, outcome):
    assert one_bytes_per_token(described).outcome == outcome


TARGET = ("the record", (1.0810, 1.0812, 1.0808))


@pytest.mark.parametrize(
    ("is_record", "scores", "target", "outcome"),
    [
        (True, (1.0700, 1.0702, 1.0698), TARGET, "pass"),
        (True, (1.0795, 1.0797, 1.0793), TARGET, "fail"),  # 0.0039 nats
        (True, (1.0600, 1.0900, 1.0500), TARGET, "fail"),  # spread
        (True, (1.0700,), TARGET, "cannot tell"),
        (True, (1.0700, 1.0702), None, "cannot tell"),
        (False, (1.2,), TARGET, "pass"),
        (None, (1.0700, 1.0702, 1.0698), TARGET, "cannot tell"),
    ],
)
def test_a_record_beats_the_record_or_is_none(is_record, scores, target, outcome):
    mean = sum(scores) / len(scores)
    described = json(bpb=mean, loss=mean * 2.583, seeds=seeds(*scores))
    assert record_margin(is_record, described, target).outcome == outcome


# --------------------------------------------------------------------------------------------
# Texts


def test_every_seed_has_a_log():
    stated, logs = json(seeds=seeds(1.0, 1.1)), [Claims("a.log", seeds={0: Score()})]
    assert logs_are_there(stated, logs).outcome == "fail"
    assert logs_are_there(json(seeds=seeds(1.0)), logs).outcome == "pass"
    assert logs_are_there(stated, []).outcome == "cannot tell"
    assert logs_are_there(None, logs).outcome == "cannot tell"


@pytest.mark.parametrize(
    ("log", "shipped", "hidden", "outcome"),
    [
        ("x = 1\n====\nstep", "x = 1\n", False, "pass"),
        ("x = 2\n====\nstep", "x = 1\n", False, "fail"),
        ("x = 1\n", "exec(open('other').read())\n", True, "cannot tell"),
        ("exec(open('other').read())\nstep", "exec(open('other').read())\n", True, "pass"),
    ],
)
def test_a_log_begins_with_what_ships(log, shipped, hidden, outcome):
    assert logs_hold_the_source({"train.log": log}, shipped, hidden).outcome == outcome
    assert logs_hold_the_source({}, shipped, hidden).outcome == "cannot tell"


@pytest.mark.parametrize(
    ("imports", "required", "outcome"),
    [
        ({"math", "numpy", "own"}, "# for a GPU\nNumPy>=2 ; python_version > '3'\n", "pass"),
        ({"numpy", "torch"}, "numpy==2.4.6\n", "fail"),
        ({"numpy"}, None, "cannot tell"),
        (None, "numpy", "cannot tell"),
        ({"json"}, "", "pass"),
    ],
)
def test_requirements_name_what_is_imported(imports, required, outcome):
    assert needs_only(imports, required, {"own"}).outcome == outcome
