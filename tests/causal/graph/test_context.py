import pytest

from scripts.causal.graph.context import NONE_NAMED, THIRDS, days, read_context
from scripts.causal.graph.design import build_design
from scripts.causal.graph.lineage import parent_rows
from scripts.causal.leaderboard.schema import Leaderboard


def read(submissions, rows=None):
    chosen = range(len(submissions)) if rows is None else rows
    columns = read_context(submissions, parent_rows(submissions), chosen)
    return {one.id: list(one.cells) for one in columns}


@pytest.mark.parametrize("text", [None, "", "soon", "2026-13-01"])
def test_what_is_no_date_is_none(text):
    assert days(text) is None


def test_without_any_number_a_missing_date_is_the_median(submission):
    rows = [submission(i, date=f"2026-04-0{i}") for i in (1, 2, 9)]
    rows.append(submission(4, date=None))
    nameless = [one.model_copy(update={"pr": None}) for one in rows]
    assert read(nameless)["date"][3] == days("2026-04-02")


def test_the_two_spellings_of_a_track_are_one(submission):
    tracks = ["track_10min_16mb", "10min_16mb", None]
    cells = read([submission(i, track=track) for i, track in enumerate(tracks)])["track"]
    assert cells == ["10min_16mb", "10min_16mb", "unstated"]


def test_ancestors_are_counted_through_submissions_that_are_no_rows(submission):
    line = [
        submission(1),
        submission(2, None, parent_prs=(1001,)),
        submission(3, parent_prs=(1002,)),
        submission(4, parent_prs=(7,)),
    ]
    assert read(line, [0, 2, 3])["ancestors"] == [0.0, 2.0, 0.0]


def test_the_score_built_on_is_as_stated_else_as_read_else_said_to_be_unknown(submission):
    rows = [
        submission(1, 1.0),
        submission(2, 1.2, base_bpb=1.1),
        submission(3, 1.2, base_bpb=1.3),
        submission(4, 1.2, parent_prs=(1001,)),
        submission(5, 1.2, parent_prs=(7,)),
    ]
    assert read(rows)["parent_bpb"] == [NONE_NAMED, THIRDS[1], THIRDS[2], THIRDS[0], NONE_NAMED]


def test_an_authors_earlier_submissions_are_those_of_lower_number(submission):
    rows = [submission(number, author="Ada ") for number in (5, 1, 2, 3, 4)]
    rows.append(submission(9, author="ada"))
    rows.append(submission(8, author=None))
    assert read(rows)["earlier"] == [
        "4 or more",
        "none",
        *["1 to 3"] * 3,
        "4 or more",
        "author unnamed",
    ]


def test_context_that_does_not_vary_is_set_aside_with_the_reason(submission):
    rows = [submission(i, 1 + i / 100) for i in range(20)]
    design = build_design(Leaderboard(source="test", submissions=tuple(rows)))
    reasons = {one.variable: one.reason for one in design.excluded}
    assert reasons["ancestors"] == "the same in all 20 scored submissions"
    assert "date" in design.columns
    assert design.columns["date"].tier == 0


def test_context_that_two_rows_differ_in_tells_nothing(submission):
    rows = [submission(i, 1 + i / 100, track="a" if i < 2 else "b") for i in range(20)]
    design = build_design(Leaderboard(source="test", submissions=tuple(rows)))
    found = {one.variable: one for one in design.excluded}["track"]
    assert (found.cause, found.reason) == (
        "too_few",
        "only 2 of 20 submissions differ from the rest",
    )
