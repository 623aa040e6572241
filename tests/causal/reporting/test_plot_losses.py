from pathlib import Path

import pytest

from scripts.causal.campaign.schema import RawRuns
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file
from scripts.causal.plot_losses import LossCurves, plot_losses
from scripts.causal.reporting.campaign_files import load_campaign


@pytest.fixture
def runs(campaign_folder: Path) -> RawRuns:
    return parse_file(RawRuns, campaign_folder / "cycle_1" / "raw_runs.json")


def test_a_figure_per_contrast_and_format(runs: RawRuns, tmp_path: Path) -> None:
    written = plot_losses(runs.runs[:2], tmp_path / "figures", formats=("svg", "png"), mde=0.004)
    assert [path.name for path in written] == [
        "01-activation_leaky_relu_sq-confirm.svg",
        "01-activation_leaky_relu_sq-confirm.png",
        "02-activation_sin-confirm.svg",
        "02-activation_sin-confirm.png",
        "losses.json",
    ]
    text = written[0].read_text(encoding="utf-8")
    for shown in (
        "LeakyReLU(0.5)² · fresh seeds",
        "validation bpb",
        "training loss",
        "treatment − control",
    ):
        assert shown in text
    assert written[1].read_bytes().startswith(b"\x89PNG")


def test_a_contrast_cannot_choose_its_file(runs: RawRuns, tmp_path: Path) -> None:
    first = runs.runs[0]
    hostile = first.contrast.model_copy(update={"id": "../../etc/passwd"})
    one = first.model_copy(update={"contrast": hostile})
    path, curves = plot_losses([one], tmp_path / "figures")
    assert path.parent == curves.parent == tmp_path / "figures"


def test_the_numbers_of_a_figure(runs: RawRuns, tmp_path: Path) -> None:
    first = runs.runs[0]
    *_, path = plot_losses([first], tmp_path)
    (curves,) = parse_file(LossCurves, path).contrasts
    assert (curves.seeds, curves.phase) == (tuple(pair.seed for pair in first.pairs), first.phase)
    lines = [pair.control.curves["val_bpb"] for pair in first.pairs]
    assert curves.control.val_bpb is not None
    assert curves.control.val_bpb.low[-1] == min(line[-1] for line in lines)
    assert curves.control.val_bpb.high[-1] == max(line[-1] for line in lines)
    ends = [
        p.treatment.curves["val_bpb"][-1] - p.control.curves["val_bpb"][-1] for p in first.pairs
    ]
    assert curves.difference is not None
    assert [line[-1] for line in curves.difference.lines] == pytest.approx(ends)


def test_a_campaign_is_drawn_whole(campaign_folder: Path, tmp_path: Path) -> None:
    everything = load_campaign(campaign_folder).runs
    written = plot_losses(everything, tmp_path)
    assert len(parse_file(LossCurves, written[-1]).contrasts) == len(written) - 1 > 2


def test_nothing_to_draw_is_said(runs: RawRuns, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no curves"):
        plot_losses((), tmp_path)
