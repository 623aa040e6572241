"""When two folders hold one submission, and what is kept of it."""

import random

from scripts.causal.leaderboard.duplicates import Fingerprint, fingerprint, merge_duplicates
from scripts.causal.leaderboard.schema import Source, Submission

NONE = Fingerprint(None, None)
DATED = "track_10min_16mb/2026-03-04_X"


def made(identity: str, **fields) -> Submission:
    head = identity.split("/")[0]
    return Submission(id=identity, **({"pr": int(head)} if head.isdigit() else {}), **fields)


def merged(*submissions: Submission, prints: dict[str, Fingerprint] | None = None):
    digests = [(prints or {}).get(s.id, NONE) for s in submissions]
    return {s.id: s.also for s in merge_duplicates(submissions, digests)}


def test_a_dated_folder_in_two_pull_requests_is_one_and_the_newer_stands():
    assert merged(made(f"5/{DATED}"), made(f"9/{DATED}"), made(f"9/{DATED}2")) == {
        f"5/{DATED}": (f"9/{DATED}",), f"9/{DATED}2": (),
    }  # fmt: skip
    assert merged(made(f"5/{DATED}"), made(f"9/{DATED}")) == {f"9/{DATED}": (f"5/{DATED}",)}


def test_the_merged_record_stands_and_takes_the_pull_requests_number():
    both = merge_duplicates(
        [made(f"5/{DATED}", val_bpb=1.3), made(f"9/{DATED}"), made(DATED, val_bpb=1.2)], [NONE] * 3
    )
    assert [(s.id, s.also, s.pr, s.val_bpb) for s in both] == [
        (DATED, (f"5/{DATED}", f"9/{DATED}"), 5, 1.2)
    ]
    assert both[0].pull_requests == (5, 9)


def test_a_plain_folder_name_needs_one_author_or_one_pull_request():
    ada, bob = {"author": "Ada"}, {"author": "bob"}
    assert len(merged(made("1/t/run_v1", **ada), made("2/t/run_v1", **bob))) == 2
    assert len(merged(made("1/t/run_v1"), made("2/t/run_v1"))) == 2
    assert len(merged(made("1/t/run_v1", **ada), made("2/t/run_v1", author="ADA"))) == 1
    assert len(merged(made("1/t/run_v1", **ada), made("1/records/t/run_v1"))) == 1
    assert len(merged(made("1/t/run_v1"), made("1/u/run_v1"))) == 2


def test_equal_files_are_one_submission_whatever_the_folder():
    one, two = made("1/t/a", val_bpb=1.1), made("2/t/b", val_bpb=1.1)
    readme, described = Fingerprint("r", None), Fingerprint(None, "d")
    assert len(merged(one, two, prints={"1/t/a": readme, "2/t/b": readme})) == 1
    assert len(merged(one, two, prints={"1/t/a": described, "2/t/b": described})) == 1
    no_score = made("1/t/a"), made("2/t/b")
    assert len(merged(*no_score, prints={"1/t/a": described, "2/t/b": described})) == 2


def test_short_texts_tell_nothing_and_line_ends_do_not_count():
    assert fingerprint("# TODO\n", b"{}") == NONE
    long = "# X\n\n" + "word " * 100
    assert fingerprint(long, b"{}") == fingerprint(long.replace("\n", "\r\n") + "\n", None)
    assert fingerprint(long, b"{}") != fingerprint(long + "more", b"{}")


def test_a_submission_is_no_child_of_its_own_copies():
    first = made(f"5/{DATED}", parent_prs=(3,))
    second = made(f"9/{DATED}", parent_prs=(5,), sources={
        "parent_prs": Source(file="README.md", line=1),
        "val_bpb": Source(file="README.md", line=2),
    })  # fmt: skip
    read = merge_duplicates([first, second], [NONE, NONE])[0]
    assert read.parent_prs == ()
    assert list(read.sources) == ["val_bpb"]


def test_the_rule_is_transitive_and_the_order_of_reading_does_not_matter():
    group = [made(f"{pr}/{DATED}") for pr in range(1, 6)] + [made("7/t/other"), made("8/t/lone")]
    prints = {f"3/{DATED}": Fingerprint("r", None), "7/t/other": Fingerprint("r", None)}
    expected = merged(*group, prints=prints)
    assert sorted(map(len, expected.values())) == [0, 5]
    for seed in range(5):
        shuffled = random.Random(seed).sample(group, len(group))
        assert merged(*shuffled, prints=prints) == expected
