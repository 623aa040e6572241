"""Raw runs → a figure per contrast: both arms with their seed bands, and the paired difference."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import typer
from matplotlib.figure import Figure

from scripts.causal.campaign.schema import RawRuns
from scripts.causal.cli import run_command
from scripts.causal.files import InputError, atomic_path, write_text
from scripts.causal.forms import parse_file
from scripts.causal.reporting.figures import curve_sheet
from scripts.causal.reporting.svg import save_png, standalone

Format = Literal["svg", "png"]


def plot_losses(
    runs: RawRuns,
    folder: Path,
    *,
    formats: tuple[Format, ...] = ("svg",),
    mde: float | None = None,
) -> list[Path]:
    """Draw training loss, validation bpb and their paired difference for every contrast.

    Args:
        runs: what a cycle ran.
        folder: where the figures go, one file per contrast, phase and format.
        formats: file formats.
        mde: shades ±mde in the difference, where given.

    Returns:
        The files written; a contrast without curves has none.

    Raises:
        InputError: no contrast has curves, or the folder cannot be written.
    """
    written: list[Path] = []
    for number, contrast in enumerate(runs.runs, start=1):
        drawing = curve_sheet(contrast, mde)
        if drawing is None:
            continue
        slug = re.sub(r"[^A-Za-z0-9_-]+", "-", contrast.contrast.id)[:60]
        for kind in formats:
            path = folder / f"{number:02d}-{slug}-{contrast.phase}.{kind}"
            _save(drawing, path, kind)
            written.append(path)
    if not written:
        raise InputError("holds no curves to draw", where=folder)
    return written


def _save(drawing: Figure, path: Path, kind: Format) -> None:
    if kind == "svg":
        write_text(path, standalone(drawing))
        return
    with atomic_path(path) as temporary:
        save_png(drawing, temporary)


def main(
    input: Annotated[Path, typer.Option(help="raw_runs.json of a cycle.")],
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
    runs = parse_file(RawRuns, input)
    for path in plot_losses(runs, output_dir, formats=formats[format], mde=mde):
        print(path)


if __name__ == "__main__":
    run_command(main)
