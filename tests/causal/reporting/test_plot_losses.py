from pathlib import Path

import pytest

from scripts.causal.campaign.schema import RawRuns
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file
from scripts.causal.plot_losses import plot_losses


@pytest.fixture
def runs(campaign_folder: Path) -> RawRuns:
    return parse_file(RawRuns, campaign_folder / "cycle_1" / "raw_runs.json")


def test_a_figure_per_contrast_and_format(runs: RawRuns, tmp_path: Path) -> None:
    two = runs.model_copy(update={"runs": runs.runs[:2]})
    written = plot_losses(two, tmp_path / "figures", formats=("svg", "png"), mde=0.004)
    assert [path.name for path in written] == [
        "01-activation_leaky_relu_sq-confirm.svg",
        "01-activation_leaky_relu_sq-confirm.png",
        "02-activation_sin-confirm.svg",
        "02-activation_sin-confirm.png",
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
    one = runs.model_copy(update={"runs": (first.model_copy(update={"contrast": hostile}),)})
    (path,) = plot_losses(one, tmp_path / "figures")
    assert path.parent == tmp_path / "figures"


def test_nothing_to_draw_is_said(runs: RawRuns, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no curves"):
        plot_losses(runs.model_copy(update={"runs": ()}), tmp_path)
