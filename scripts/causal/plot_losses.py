"""Raw runs → curves of every contrast: both arms with seed bands, and the paired difference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from matplotlib.figure import Figure

from scripts.causal.campaign.schema import ContrastRuns, Phase, RawRuns
from scripts.causal.cli import run_command
from scripts.causal.files import InputError, atomic_path, write_text
from scripts.causal.forms import Record, parse_file, write_file
from scripts.causal.reporting.campaign_files import load_campaign
from scripts.causal.reporting.curves import Band, arm_band, paired_difference
from scripts.causal.reporting.figures import curve_sheet
from scripts.causal.reporting.svg import save_png, standalone

Format = Literal["svg", "png"]
CURVES_FILE = "losses.json"


class Curve(Record):
    """One line per seed on a common axis, with their mean, lowest and highest.

    Attributes:
        x: training steps for the training loss, else training tokens.
    """

    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    lines: tuple[tuple[float, ...], ...]


class Arm(Record):
    """An arm's curves; None where its runs recorded none."""

    train_loss: Curve | None
    val_bpb: Curve | None


class ContrastCurves(Record):
    """What a contrast's figure shows.

    Attributes:
        difference: validation bpb, treatment minus control of the same seed.
        figures: files in this folder.
    """

    contrast: str
    label: str
    phase: Phase
    seeds: tuple[int, ...]
    control: Arm
    treatment: Arm
    difference: Curve | None
    figures: tuple[str, ...]


class LossCurves(Record):
    """``losses.json``: the curves of every contrast that has any."""

    schema_version: Literal[1] = 1
    contrasts: tuple[ContrastCurves, ...]


def plot_losses(
    runs: Sequence[ContrastRuns],
    folder: Path,
    *,
    formats: tuple[Format, ...] = ("svg",),
    mde: float | None = None,
) -> list[Path]:
    """Draw training loss, validation bpb and their paired difference for every contrast.

    Args:
        runs: the contrasts.
        folder: where the figures go, one file per contrast, phase and format.
        formats: file formats.
        mde: shades ±mde in the difference, where given.

    Returns:
        The files written: the figures, where a contrast has curves, and at last ``losses.json``
        with the numbers they show.

    Raises:
        InputError: no contrast has curves, or the folder cannot be written.
    """
    written: list[Path] = []
    curves: list[ContrastCurves] = []
    for number, contrast in enumerate(runs, start=1):
        drawing = curve_sheet(contrast, mde)
        if drawing is None:
            continue
        slug = re.sub(r"[^A-Za-z0-9_-]+", "-", contrast.contrast.id)[:60]
        names = [f"{number:02d}-{slug}-{contrast.phase}.{kind}" for kind in formats]
        for name, kind in zip(names, formats, strict=True):
            _save(drawing, folder / name, kind)
            written.append(folder / name)
        curves.append(_curves(contrast, names))
    if not written:
        raise InputError("holds no curves to draw", where=folder)
    write_file(folder / CURVES_FILE, LossCurves(contrasts=tuple(curves)))
    return [*written, folder / CURVES_FILE]


def _curves(runs: ContrastRuns, figures: Sequence[str]) -> ContrastCurves:
    def arm(name: Literal["control", "treatment"]) -> Arm:
        return Arm(
            train_loss=_curve(arm_band(runs, name, "step", "train_loss")),
            val_bpb=_curve(arm_band(runs, name, "val_tokens", "val_bpb")),
        )

    return ContrastCurves(
        contrast=runs.contrast.id,
        label=runs.contrast.label,
        phase=runs.phase,
        seeds=tuple(pair.seed for pair in runs.pairs),
        control=arm("control"),
        treatment=arm("treatment"),
        difference=_curve(paired_difference(runs)),
        figures=tuple(figures),
    )


def _curve(band: Band | None) -> Curve | None:
    if band is None:
        return None
    return Curve(
        x=tuple(band.x.tolist()),
        mean=tuple(band.mean.tolist()),
        low=tuple(band.low.tolist()),
        high=tuple(band.high.tolist()),
        lines=tuple(tuple(line) for line in band.lines.tolist()),
    )


def _save(drawing: Figure, path: Path, kind: Format) -> None:
    if kind == "svg":
        write_text(path, standalone(drawing))
        return
    with atomic_path(path) as temporary:
        save_png(drawing, temporary)


def main(
    input: Annotated[Path, typer.Option(help="raw_runs.json, or a campaign's folder.")],
    output_dir: Annotated[Path, typer.Option(help="Folder for the figures.")],
    format: Annotated[str, typer.Option(help="svg, png or both.")] = "svg",
    mde: Annotated[
        float | None, typer.Option(help="Smallest effect in bpb that matters; shades ±mde.")
    ] = None,
) -> None:
    """Draw the loss curves of both arms with seed bands, and their paired difference."""
    formats: dict[str, tuple[Format, ...]] = {
        "svg": ("svg",),
        "png": ("png",),
        "both": ("svg", "png"),
    }
    if format not in formats:
        raise InputError(f"unknown format {format!r}", where="--format", mend="svg, png or both")
    runs = load_campaign(input).runs if input.is_dir() else parse_file(RawRuns, input).runs
    for path in plot_losses(runs, output_dir, formats=formats[format], mde=mde):
        print(path)


if __name__ == "__main__":
    run_command(main)
