"""Gap against bits for a parameter, every quantizer under every coder, with the Pareto front."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripts.causal.files import atomic_path, write_text
from scripts.causal.reporting.svg import PALETTE, figure, save_png, standalone

SMALLEST_GAP = 1e-5  # of the logarithmic axis; what is below stands on its edge


def draw(table: dict[str, Any], output: Path) -> None:
    """Write pareto.svg and pareto.png."""
    drawing = figure(760, 480)
    axes = drawing.add_subplot()

    def line(rows: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
        return [r["bits"] for r in rows], [max(SMALLEST_GAP, r["gap"]) for r in rows]

    axes.scatter(*line(table["rows"]), s=14, color=PALETTE["control"], label="quantizer × coder")
    axes.plot(*line(table["front"]), color=PALETTE["treatment"], label="Pareto front")
    for row in table["front"]:
        axes.annotate(
            f"{row['quantizer']} · {row['coder']}",
            (row["bits"], max(SMALLEST_GAP, row["gap"])),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=7,
        )
    told = table["at_the_records_bits"]
    here = (told["record_bits"], told["record_gap"])
    axes.scatter(*here, marker="*", s=90, color=PALETTE["worse"], label="best record (36 M)")
    axes.set_yscale("log")
    axes.set_xlabel("bits for a parameter, all of the artifact counted")
    axes.set_ylabel("bpb lost by quantization")
    axes.legend(frameon=False)
    drawing.tight_layout()
    write_text(output / "pareto.svg", standalone(drawing))
    with atomic_path(output / "pareto.png") as temporary:
        save_png(drawing, temporary)
