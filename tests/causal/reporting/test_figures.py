import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts.causal.reporting.campaign_files import load_campaign
from scripts.causal.reporting.figures import (
    NARROW,
    WIDE,
    Evidence,
    ForestRow,
    difference_figure,
    forest_plot,
    loss_figure,
    validation_figure,
)
from scripts.causal.reporting.svg import inline

ROWS = [
    ForestRow(
        "a $x$ & <b>",
        "better",
        "better",
        Evidence("tested", -0.004, -0.006, -0.002),
        (Evidence("claim", -0.0021), Evidence("observed", -0.01, -0.4, 0.38)),
    ),
    ForestRow("ψ 漢字", "failed", "open", None),
]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).findall(".//{*}text")]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_labels_are_text_as_given(width: int) -> None:
    shown = texts(inline(forest_plot(ROWS, mde=0.002, width=width), "f", "forest"))
    assert "a $x$ & <b>" in shown
    assert "ψ 漢字" in shown
    assert "no complete pair" in shown


def test_the_axis_fits_the_tests_and_wide_intervals_end_in_arrows() -> None:
    axes = forest_plot(ROWS, mde=0.002).axes[0]
    low, high = axes.get_xlim()
    assert 0.004 < high < 0.02
    assert low == -high
    assert {line.get_marker() for line in axes.lines} >= {"<", ">", "o", "D"}


def test_a_wild_effect_does_not_flatten_the_others() -> None:
    rows = [
        ForestRow(str(e), "worse", "worse", Evidence("tested", e)) for e in (0.001, 0.002, 9.0)
    ]
    assert forest_plot(rows, mde=0.002).axes[0].get_xlim()[1] < 0.1


def test_a_figure_takes_the_colours_of_the_page() -> None:
    svg = inline(forest_plot(ROWS, mde=0.002), "f", "forest")
    assert "var(--better)" in svg
    assert "#2c7a58" not in svg
    assert "<style" not in svg
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_ids_of_two_figures_do_not_meet() -> None:
    first, second = (inline(forest_plot(ROWS, mde=0.002), name, "forest") for name in "ab")
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for svg, known in zip((first, second), ids, strict=True):
        assert set(re.findall(r"#([ab]-\w+)", svg)) <= known


def test_the_same_figure_is_the_same_text() -> None:
    assert inline(forest_plot(ROWS, mde=0.002), "f", "x") == inline(
        forest_plot(ROWS, mde=0.002), "f", "x"
    )


def test_curves_show_both_arms_and_the_difference(campaign_folder: Path) -> None:
    leaky = load_campaign(campaign_folder).runs[0]
    for drawing in (loss_figure(leaky), validation_figure(leaky)):
        assert drawing is not None
        axes = drawing.axes[0]
        legend = axes.get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == ["control", "treatment"]
        assert len(axes.collections) == 2  # the seed bands
    difference = difference_figure(leaky, mde=0.004)
    assert difference is not None
    assert len(difference.axes[0].lines) == 1 + 3 + 1  # zero, the seeds, their mean


def test_a_contrast_without_curves_has_no_figure(campaign_folder: Path) -> None:
    failed = load_campaign(campaign_folder).runs[-1]
    assert difference_figure(failed, mde=0.004) is None
    assert loss_figure(failed) is not None  # its control did run
