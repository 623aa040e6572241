"""The graph as .dot, .svg and .png: by Graphviz where its `dot` is installed, else by matplotlib.

Every label is data from elsewhere and is escaped: it can neither become markup in the SVG nor
syntax in the .dot, nor mathematics in the figure.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import textwrap
from pathlib import Path

import graphviz
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyBboxPatch, Polygon

from scripts.causal.files import atomic_path, write_text
from scripts.causal.graph.encode import Matrix
from scripts.causal.graph.layout import FONT_SIZE, Box, lay_out
from scripts.causal.graph.picture import choose_drawn
from scripts.causal.graph.schema import CausalDag, Edge, Mark
from scripts.causal.graph.style import MARK_WORDS, STYLES, TIER_NAMES, line_width

_DOT_ARROWS: dict[Mark, str] = {"tail": "none", "arrow": "normal", "circle": "odot"}
_DOT_SECONDS = 60
_DASHES: dict[str, tuple[float, tuple[float, ...]]] = {
    "solid": (0, ()),
    "dashed": (0, (5, 2.5)),
    "dotted": (0, (1.2, 1.8)),
}
MARK_SIZE = 0.075
HEAD, FOOT = 0.55, 1.05


def dot_source(dag: CausalDag) -> str:
    """Return the graph in the DOT language, tiers as ranks from left to right."""
    graph = graphviz.Digraph("causal_dag")
    graph.attr(rankdir="LR", nodesep="0.18", ranksep="1.1", fontname="sans-serif", labelloc="b")
    graph.attr(label=graphviz.escape(textwrap.fill(f"{dag.statement} {MARK_WORDS}", 120)))
    graph.attr("node", shape="box", style="rounded", fontname="sans-serif", fontsize="11")
    graph.attr("edge", dir="both", fontname="sans-serif", fontsize="9")
    names = {node.id: f"n{place}" for place, node in enumerate(dag.nodes)}
    for tier in sorted({node.tier for node in dag.nodes}):
        with graph.subgraph(name=f"tier_{tier}") as rank:
            rank.attr(rank="same")
            for node in dag.nodes:
                if node.tier == tier:
                    peripheries = "2" if node.id == dag.outcome else "1"
                    rank.node(names[node.id], graphviz.escape(node.label), peripheries=peripheries)
    for edge in dag.edges:
        style = STYLES[edge.tag]
        graph.edge(
            names[edge.source],
            names[edge.target],
            arrowtail=_DOT_ARROWS[edge.source_mark],
            arrowhead=_DOT_ARROWS[edge.target_mark],
            color=style.colour,
            style=style.line,
            penwidth=f"{line_width(edge):.2f}",
        )
    return str(graph.source)


def _by_dot(source: str, kind: str) -> bytes | None:
    """Return what the system's `dot` makes of it; None when there is none or it fails."""
    program = shutil.which("dot")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, f"-T{kind}"],
            input=source.encode(),
            capture_output=True,
            timeout=_DOT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _draw_mark(axes: Axes, mark: Mark, tip: np.ndarray, behind: np.ndarray, colour: str) -> None:
    """Draw the mark with its tip at `tip`, the edge coming from `behind`; both (2,)."""
    way = (tip - behind) / max(float(np.linalg.norm(tip - behind)), 1e-9)
    if mark == "arrow":
        side = np.array([-way[1], way[0]]) * MARK_SIZE * 0.75
        back = tip - way * MARK_SIZE * 2
        axes.add_patch(Polygon(np.array([tip, back + side, back - side]), color=colour, zorder=4))
    elif mark == "circle":
        centre = (float((tip - way * MARK_SIZE)[0]), float((tip - way * MARK_SIZE)[1]))
        axes.add_patch(
            Circle(centre, MARK_SIZE, facecolor="white", edgecolor=colour, linewidth=1.4, zorder=4)
        )


def _behind(points: Matrix, tip: int) -> np.ndarray:
    """Return the first point of the path that is a mark's length away from its end `tip`."""
    far = np.linalg.norm(points - points[tip], axis=1) >= 2 * MARK_SIZE
    order = np.flatnonzero(far)
    if not len(order):
        tip = -1 - tip
        order = np.array([tip])
    found: np.ndarray = points[order[0] if tip == 0 else order[-1]]
    return found


def _draw_edge(axes: Axes, points: Matrix, edge: Edge) -> None:
    """Draw one edge along its path."""
    style = STYLES[edge.tag]
    axes.plot(
        points[:, 0],
        points[:, 1],
        color=style.colour,
        linestyle=_DASHES[style.line],
        linewidth=line_width(edge),
        zorder=2 if edge.origin == "data" else 1,
        solid_capstyle="butt",
    )
    ends = ((edge.source_mark, 0), (edge.target_mark, -1))
    for mark, tip in ends:
        _draw_mark(axes, mark, points[tip], _behind(points, tip), style.colour)


def _draw_box(axes: Axes, box: Box, outcome: bool) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (box.x - box.half_width, box.y - box.half_height),
            2 * box.half_width,
            2 * box.half_height,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor="#E8F1FA" if outcome else "white",
            edgecolor="#222222",
            linewidth=1.8 if outcome else 0.9,
            zorder=3,
        )
    )
    axes.text(
        box.x,
        box.y,
        box.label,
        ha="center",
        va="center_baseline",
        fontsize=FONT_SIZE,
        zorder=5,
        parse_math=False,
    )


def draw(dag: CausalDag) -> Figure:
    """Return the figure: tiers from left to right, a legend and the statement below."""
    layout = lay_out(dag)
    width = max(layout.width, 8.5)
    height = layout.height + HEAD + FOOT
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(-(width - layout.width) / 2, layout.width + (width - layout.width) / 2)
    axes.set_ylim(-FOOT, layout.height + HEAD)
    axes.axis("off")
    for edge, path in zip(dag.edges, layout.paths, strict=True):
        _draw_edge(axes, path, edge)
    for name, box in layout.boxes.items():
        _draw_box(axes, box, name == dag.outcome)
    for tier, x in layout.tier_middles.items():
        name = TIER_NAMES[tier] if tier < len(TIER_NAMES) else str(tier)
        axes.text(
            x, layout.height + HEAD * 0.55, name, ha="center", va="center", color="#555555",
            fontsize=FONT_SIZE, style="italic",
        )  # fmt: skip
    used = {edge.tag for edge in dag.edges}
    handles = [
        Line2D([], [], color=s.colour, linestyle=_DASHES[s.line], linewidth=s.width, label=s.words)
        for tag, s in STYLES.items()
        if tag in used
    ]
    if handles:
        axes.legend(
            handles=handles, loc="lower center", bbox_to_anchor=(0.5, (FOOT - 0.38) / height),
            ncols=len(handles), frameon=False, fontsize=FONT_SIZE - 1, handlelength=2.6,
        )  # fmt: skip
    words = textwrap.fill(dag.statement, int(width * 16), max_lines=3, placeholder=" …")
    axes.text(
        layout.width / 2, -FOOT + 0.08, f"{MARK_WORDS}\n{words}", ha="center", va="bottom",
        fontsize=FONT_SIZE - 1.5, color="#333333", parse_math=False,
    )  # fmt: skip
    return figure


def _by_matplotlib(dag: CausalDag, kind: str) -> bytes:
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "causal_dag", "svg.fonttype": "path"}):
        metadata = {"Date": None} if kind == "svg" else {}
        draw(dag).savefig(buffer, format=kind, dpi=150, metadata=metadata, facecolor="white")
    return buffer.getvalue()


def render(dag: CausalDag, folder: Path, *, system_dot: bool = True) -> tuple[Path, ...]:
    """Write ``causal_dag.dot``, ``.svg`` and ``.png`` into `folder`; return their paths.

    The .dot holds the whole graph, the pictures what `choose_drawn` takes of a large one.

    Args:
        dag: the graph.
        folder: created when missing.
        system_dot: use Graphviz's program where it is installed.

    Raises:
        InputError: the folder cannot be written.
    """
    dot = folder / "causal_dag.dot"
    write_text(dot, dot_source(dag))
    written = [dot]
    picture = choose_drawn(dag)
    part = picture.dag.model_copy(update={"statement": picture.words or dag.statement})
    source = dot_source(part)
    for kind in ("svg", "png"):
        drawn = (_by_dot(source, kind) if system_dot else None) or _by_matplotlib(part, kind)
        path = folder / f"causal_dag.{kind}"
        with atomic_path(path) as temporary:
            temporary.write_bytes(drawn)
        written.append(path)
    return tuple(written)
