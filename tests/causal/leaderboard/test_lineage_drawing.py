"""The drawing of a lineage: what it shows, where it stands, and that texts stay texts."""

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from scripts.causal.leaderboard.lineage_drawing import (
    BOX_HEIGHT,
    BOX_WIDTH,
    choose,
    draw_lineage,
    lay_out,
    to_svg,
)
from scripts.causal.leaderboard.lineage_graph import read_lineage, to_graph
from scripts.causal.leaderboard.schema import Leaderboard, Submission

HOSTILE = '</text><script>alert(1)</script> & "x" \x00\x1b \ud800'


def one(pr, *parents, **facts):
    return Submission(id=f"{pr}", pr=pr, parent_prs=parents, **facts)


def graph(*submissions):
    return to_graph(read_lineage(Leaderboard(source="x", submissions=submissions)))


@pytest.fixture
def board():
    """A trunk 10 → 20 → 30, a large family of 20, a rival 50 → 60 with the best score."""
    return graph(
        one(10, val_bpb=1.3), one(20, 10, val_bpb=1.2), one(30, 20, val_bpb=1.21),
        *(one(number, 20, val_bpb=1.25) for number in range(31, 45)),
        one(50), one(60, 50, val_bpb=1.1), one(70, val_bpb=1.0),
    )  # fmt: skip


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter() if element.text]


def test_the_most_built_upon_and_the_best_are_drawn_with_their_line(board):
    chosen = choose(board, 6)
    assert len(chosen) <= 6
    assert {"10", "20", "50", "60"} <= set(chosen)
    assert "70" not in chosen  # the best score, but of no lineage
    assert chosen.index("10") < chosen.index("20")


def test_without_scores_the_largest_family_comes_first():
    many = graph(one(10), one(20, 10), one(50), *(one(number, 50) for number in range(51, 55)))
    assert choose(many, 3)[0] == "50"
    assert "10" not in choose(many, 3)


def test_everything_linked_is_drawn_where_there_is_room(board):
    assert set(choose(board, 100)) == set(board) - {"70"}
    assert choose(graph(), 10) == choose(graph(one(10)), 10) == []


def test_parents_stand_left_and_no_boxes_overlap(board):
    chosen = choose(board, 100)
    places = lay_out(board, chosen)
    for parent, child in board.edges:
        assert places[parent].x + BOX_WIDTH < places[child].x
    boxes = sorted((place.x, place.y) for place in places.values())
    for (x0, y0), (x1, y1) in pairwise(boxes):
        assert x0 != x1 or y1 - y0 >= BOX_HEIGHT


def test_a_chain_of_thousands_is_drawn_without_recursion():
    long = graph(one(10), *(one(number, number - 1) for number in range(11, 3011)))
    assert len(lay_out(long, choose(long, 5000))) == 3001


def test_steps_are_told_in_colour_and_words():
    read = graph(
        one(10, val_bpb=1.2, techniques={"mlp_mult": 3, "swa": True}),
        one(20, 10, val_bpb=1.19, techniques={"mlp_mult": 4}, absent=("swa",)),
        one(30, 10, val_bpb=1.21, techniques={"other:new": True}),
        one(40, 99),
    )
    svg = to_svg(read, choose(read, 10))
    told = texts(svg)
    assert "−0.0100 bpb\nmlp_mult: 3 → 4\nswa: used → not used" in told
    assert "+0.0100 bpb\ntold by the child alone: 1\ntold by the parent alone: 2" in told
    assert "bpb: cannot be told" in told
    assert {"#20  1.1900", "#99", "not in the leaderboard"} <= set(told)
    assert svg.count("stroke-dasharray") == 1
    better, worse = (f'fill="{colour}">{step}<' for colour, step in (
        ("#0072B2", "−0.0100"), ("#D55E00", "+0.0100")
    ))  # fmt: skip
    assert better in svg
    assert worse in svg


def test_what_is_left_out_is_counted(board):
    chosen = ["10", "20", "30"]
    assert "+14" in texts(to_svg(board, chosen))
    assert any(
        text.startswith("Who builds on whom: 3 of 20") for text in texts(to_svg(board, chosen))
    )


def test_texts_of_readmes_can_be_no_markup(tmp_path):
    hostile = HOSTILE.encode("utf-8", "replace").decode()
    read = read_lineage(
        Leaderboard(
            source="x",
            submissions=(
                one(10, name=hostile, author=hostile, techniques={"other:<b>": hostile}),
                one(20, 10, name=hostile, date=hostile, techniques={"other:<b>": "y"}),
            ),
        )
    )
    draw_lineage(tmp_path / "l.svg", read)
    svg = (tmp_path / "l.svg").read_text()
    assert "<script" not in svg
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(svg).iter()}
    assert tags == {"svg", "rect", "text", "line", "path", "g", "title"}
    assert any("<script>alert(1)" in text for text in texts(svg))


def test_the_same_lineage_is_the_same_file(board, tmp_path):
    again = graph(*(Submission.model_validate(one(10).model_dump()),))
    assert to_svg(again, []) == to_svg(graph(one(10)), [])
    assert to_svg(board, choose(board, 9)) == to_svg(board, choose(board, 9))
