"""A layered drawing by tier: where each node's box stands and how each edge bends. In inches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from scripts.causal.graph.encode import Matrix
from scripts.causal.graph.schema import CausalDag, Edge, Node

FONT_SIZE = 9.0
POINTS_PER_INCH = 72.0
BOX_HEIGHT = 0.30
ROW = 0.56
PADDING = 0.12
COLUMN_GAP = 1.15
MOST_PER_COLUMN = 10
LONGEST_LABEL = 28
SWEEPS = 8


@dataclass(frozen=True)
class Box:
    """A node's box: centre and half-extents."""

    x: float
    y: float
    half_width: float
    half_height: float
    label: str

    def contains(self, points: Matrix, margin: float = 0.0) -> np.ndarray:
        """Return which of the points (n, 2) lie in the box grown by `margin`; (n,)."""
        return (np.abs(points[:, 0] - self.x) <= self.half_width + margin) & (
            np.abs(points[:, 1] - self.y) <= self.half_height + margin
        )


@dataclass(frozen=True)
class Layout:
    """Boxes by node id, the x of each tier's middle, and the size of the drawing."""

    boxes: dict[str, Box]
    tier_middles: dict[int, float]
    width: float
    height: float


def short_label(node: Node) -> str:
    """Return the label, cut where it would break the drawing."""
    text = " ".join(node.label.split()) or node.id
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"


def _text_width(text: str) -> float:
    path = TextPath((0, 0), text, size=FONT_SIZE, prop=FontProperties(), usetex=False)
    return float(path.get_extents().width) / POINTS_PER_INCH


def _columns(nodes: Sequence[Node]) -> list[list[Node]]:
    """Split the nodes of one tier into columns of near-equal length."""
    count = ceil(len(nodes) / MOST_PER_COLUMN)
    length = ceil(len(nodes) / count)
    return [list(nodes[start : start + length]) for start in range(0, len(nodes), length)]


def _order(columns: list[list[Node]], edges: Sequence[Edge]) -> None:
    """Sort each column by the mean height of its nodes' neighbours, a few sweeps (Sugiyama)."""
    near: dict[str, list[str]] = {node.id: [] for column in columns for node in column}
    for edge in edges:
        near[edge.source].append(edge.target)
        near[edge.target].append(edge.source)
    for sweep in range(SWEEPS):
        height = {
            node.id: place - (len(column) - 1) / 2
            for column in columns
            for place, node in enumerate(column)
        }
        for column in columns if sweep % 2 == 0 else reversed(columns):
            means = {
                node.id: float(
                    np.mean([height[one] for one in near[node.id]] or [height[node.id]])
                )
                for node in column
            }
            column.sort(key=lambda node: (means[node.id], node.id))
            for place, node in enumerate(column):
                height[node.id] = place - (len(column) - 1) / 2


def lay_out(dag: CausalDag) -> Layout:
    """Return a drawing with the tiers from left to right and the outcome at the right."""
    tiers = sorted({node.tier for node in dag.nodes})
    by_tier = [[node for node in dag.nodes if node.tier == tier] for tier in tiers]
    columns = [column for nodes in by_tier for column in _columns(nodes)]
    _order(columns, dag.edges)
    longest = max((len(column) for column in columns), default=1)
    height = longest * ROW + ROW / 2
    boxes: dict[str, Box] = {}
    edge_of_tier: dict[int, tuple[float, float]] = {}
    right = 0.35
    for number, column in enumerate(columns):
        widths = {node.id: _text_width(short_label(node)) / 2 + PADDING for node in column}
        widest = max(widths.values())
        x = right + widest
        # Columns of even number stand half a row lower, so that edges between far columns do not
        # run through the boxes of the one between.
        shift = ROW / 4 if number % 2 else -ROW / 4
        for place, node in enumerate(column):
            y = height / 2 + ((len(column) - 1) / 2 - place) * ROW + shift
            boxes[node.id] = Box(x, y, widths[node.id], BOX_HEIGHT / 2, short_label(node))
        tier = column[0].tier
        left_edge = edge_of_tier.get(tier, (x - widest, 0.0))[0]
        edge_of_tier[tier] = (left_edge, x + widest)
        right = x + widest + COLUMN_GAP
    middles = {tier: (left + end) / 2 for tier, (left, end) in edge_of_tier.items()}
    return Layout(boxes, middles, right - COLUMN_GAP + 0.35, height)


def curve(layout: Layout, edge: Edge, *, samples: int = 120) -> Matrix:
    """Return the visible part of the edge's curve, (n, 2), from source to target.

    Edges within a column bow out to the side; the others bend a little, more the longer they are.
    """
    start, end = layout.boxes[edge.source], layout.boxes[edge.target]
    a, b = np.array([start.x, start.y]), np.array([end.x, end.y])
    way = b - a
    if abs(way[0]) < 1e-9:
        reach = max(start.half_width, end.half_width) + 0.35 + 0.16 * abs(way[1])
        middle = (a + b) / 2 + np.array([2 * reach, 0.0])
    else:
        middle = (a + b) / 2 + 0.12 * np.array([-way[1], way[0]])
    t = np.linspace(0.0, 1.0, samples)[:, None]
    points: Matrix = (1 - t) ** 2 * a + 2 * t * (1 - t) * middle + t**2 * b
    outside = ~(start.contains(points, 0.02) | end.contains(points, 0.02))
    return points[outside] if outside.sum() > 1 else points
