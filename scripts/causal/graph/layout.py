"""A layered drawing by tier: where boxes stand and which way each edge takes. In inches.

The steps of Sugiyama et al. (1981): columns, a slot in every column that an edge passes, an
order that keeps linked things level, and curves through the slots, so that no edge runs behind
a box.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from scripts.causal.graph.encode import Matrix
from scripts.causal.graph.schema import CausalDag, Edge, Node

FONT_SIZE = 9.0
POINTS_PER_INCH = 72.0
BOX_HEIGHT = 0.30
PORT = 0.19
SLOT = 0.11
GAP = 0.17
PADDING = 0.12
COLUMN_GAP = 1.0
GAP_PER_BOW = 0.10
MOST_PER_COLUMN = 9
LONGEST_LABEL = 28
SWEEPS = 24
SAMPLES = 24


@dataclass(frozen=True)
class Box:
    """A node's box: centre and half-extents."""

    x: float
    y: float
    half_width: float
    half_height: float
    label: str


@dataclass(frozen=True)
class Layout:
    """Boxes by node id, a path (n, 2) per edge in the graph's order, and the drawing's size."""

    boxes: dict[str, Box]
    paths: tuple[Matrix, ...]
    tier_middles: dict[int, float]
    width: float
    height: float


@dataclass
class _Item:
    """What takes up height in a column: a node's box, or an edge passing by."""

    key: str
    height: float
    near: list[_Item] = field(default_factory=list)
    y: float = 0.0


def short_label(node: Node) -> str:
    """Return the label, cut where it would break the drawing."""
    text = " ".join(node.label.split()) or node.id
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"


def _text_width(text: str) -> float:
    path = TextPath((0, 0), text, size=FONT_SIZE, prop=FontProperties(), usetex=False)
    return float(path.get_extents().width) / POINTS_PER_INCH


def _columns(dag: CausalDag) -> list[list[Node]]:
    """Return the nodes by tier, large tiers in several columns.

    Within a tier, nodes that others of the tier point to stand in its later columns.
    """
    columns = []
    for tier in sorted({node.tier for node in dag.nodes}):
        nodes = [node for node in dag.nodes if node.tier == tier]
        inside = {node.id for node in nodes}
        entered: dict[str, int] = defaultdict(int)
        for edge in dag.edges:
            if edge.source in inside and edge.target in inside:
                entered[edge.target] += 1
                entered[edge.source] -= edge.source_mark != "arrow"
        nodes.sort(key=lambda node: entered[node.id])
        count = ceil(len(nodes) / MOST_PER_COLUMN)
        length = ceil(len(nodes) / count)
        columns += [nodes[start : start + length] for start in range(0, len(nodes), length)]
    return columns


def _stack(items: list[_Item]) -> None:
    """Put the items of a column on top of each other, centred on 0, in their order."""
    total = sum(item.height for item in items)
    y = total / 2
    for item in items:
        item.y = y - item.height / 2
        y -= item.height


def _order(columns: list[list[_Item]]) -> None:
    """Sort each column by the mean height of what its items are linked to, sweep by sweep."""
    for column in columns:
        _stack(column)
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            means = {
                item.key: float(np.mean([one.y for one in item.near])) if item.near else item.y
                for item in column
            }
            column.sort(key=lambda item: (-means[item.key], item.key))
            _stack(column)


def _smooth(points: Sequence[tuple[float, float]]) -> Matrix:
    """Return a curve through the points that is level at each of them, (n, 2)."""
    t = np.linspace(0.0, 1.0, SAMPLES)
    ease = 3 * t**2 - 2 * t**3
    parts = []
    for (x0, y0), (x1, y1) in pairwise(points):
        parts.append(np.column_stack([x0 + (x1 - x0) * t, y0 + (y1 - y0) * ease]))
    path: Matrix = np.vstack(parts)
    return path


def _bow(x: float, y0: float, y1: float, reach: float) -> Matrix:
    """Return a half-ellipse to the right from (x, y0) to (x, y1), (n, 2)."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 2 * SAMPLES)
    middle, half = (y0 + y1) / 2, (y1 - y0) / 2
    path: Matrix = np.column_stack([x + reach * np.cos(angle), middle + half * np.sin(angle)])
    return path


class _Drawing:
    """The layout while it is being made."""

    def __init__(self, dag: CausalDag):
        self.dag = dag
        self.columns = _columns(dag)
        self.place = {
            node.id: number for number, column in enumerate(self.columns) for node in column
        }
        self.items: dict[str, _Item] = {}
        self.slots: dict[int, list[_Item]] = {}
        self._make_items()
        self.ordered = self._fill_columns()
        _order(self.ordered)

    def _ends(self, edge: Edge) -> tuple[str, str]:
        """Return the edge's ends, the one further left first."""
        if self.place[edge.source] <= self.place[edge.target]:
            return edge.source, edge.target
        return edge.target, edge.source

    def _make_items(self) -> None:
        left: dict[str, int] = defaultdict(int)
        right: dict[str, int] = defaultdict(int)
        for edge in self.dag.edges:
            first, last = self._ends(edge)
            right[first] += 1
            if self.place[first] == self.place[last]:
                right[last] += 1
            else:
                left[last] += 1
        for node in self.dag.nodes:
            ports = max(left[node.id], right[node.id])
            self.items[node.id] = _Item(node.id, max(BOX_HEIGHT, PORT * ports) + GAP)

    def _fill_columns(self) -> list[list[_Item]]:
        columns = [[self.items[node.id] for node in column] for column in self.columns]
        for number, edge in enumerate(self.dag.edges):
            first, last = self._ends(edge)
            chain = [self.items[first]]
            for column in range(self.place[first] + 1, self.place[last]):
                slot = _Item(f"{last} {first} {number}", SLOT)
                columns[column].append(slot)
                chain.append(slot)
            chain.append(self.items[last])
            self.slots[number] = chain[1:-1]
            for one, other in pairwise(chain):
                one.near.append(other)
                other.near.append(one)
        return columns

    def _ports(self) -> dict[tuple[int, str], float]:
        """Return the height at which each edge meets each of its boxes, spread over the side."""
        meets: dict[tuple[str, bool], list[tuple[float, int]]] = defaultdict(list)
        for number, edge in enumerate(self.dag.edges):
            first, last = self._ends(edge)
            chain = [self.items[first], *self.slots[number], self.items[last]]
            same = self.place[first] == self.place[last]
            meets[first, True].append((chain[1].y, number))
            meets[last, same].append((chain[-2].y, number))
        ports = {}
        for (name, _), found in meets.items():
            found.sort(reverse=True)
            for place, (_, number) in enumerate(found):
                middle = (len(found) - 1) / 2
                ports[number, name] = self.items[name].y + (middle - place) * PORT
        return ports

    def finish(self) -> Layout:
        """Return the boxes and paths."""
        labels = {node.id: short_label(node) for node in self.dag.nodes}
        halves = {name: _text_width(label) / 2 + PADDING for name, label in labels.items()}
        bows: dict[int, int] = defaultdict(int)
        for edge in self.dag.edges:
            if self.place[edge.source] == self.place[edge.target]:
                bows[self.place[edge.source]] += 1
        lefts, rights, right = [], [], 0.35
        for number, column in enumerate(self.columns):
            lefts.append(right)
            rights.append(right + 2 * max(halves[node.id] for node in column))
            right = rights[-1] + COLUMN_GAP + GAP_PER_BOW * min(bows[number], 8)
        tallest = max((sum(item.height for item in column) for column in self.ordered), default=1)
        shift = tallest / 2
        boxes = {}
        for name, item in self.items.items():
            place = self.place[name]
            boxes[name] = Box(
                (lefts[place] + rights[place]) / 2,
                item.y + shift,
                halves[name],
                (item.height - GAP) / 2,
                labels[name],
            )
        tiers: dict[int, list[float]] = defaultdict(list)
        for number, column_nodes in enumerate(self.columns):
            tiers[column_nodes[0].tier] += [lefts[number], rights[number]]
        return Layout(
            boxes=boxes,
            paths=self._paths(boxes, lefts, rights, shift),
            tier_middles={tier: (min(xs) + max(xs)) / 2 for tier, xs in tiers.items()},
            width=max(rights, default=1.0) + 0.35,
            height=tallest,
        )

    def _paths(
        self,
        boxes: dict[str, Box],
        lefts: Sequence[float],
        rights: Sequence[float],
        shift: float,
    ) -> tuple[Matrix, ...]:
        ports = self._ports()
        paths = []
        for number, edge in enumerate(self.dag.edges):
            first, last = self._ends(edge)
            start = boxes[first].x + boxes[first].half_width
            y0, y1 = ports[number, first] + shift, ports[number, last] + shift
            if self.place[first] == self.place[last]:
                edge_x = max(start, boxes[last].x + boxes[last].half_width)
                path = _bow(edge_x, y0, y1, 0.25 + 0.12 * min(abs(y1 - y0), 4.0))
                lead = np.array([[start, y0]])
                tail = np.array([[boxes[last].x + boxes[last].half_width, y1]])
                path = np.vstack([lead, path, tail])
            else:
                points = [(start, y0)]
                for slot, column in zip(
                    self.slots[number],
                    range(self.place[first] + 1, self.place[last]),
                    strict=True,
                ):
                    points += [(lefts[column], slot.y + shift), (rights[column], slot.y + shift)]
                points.append((boxes[last].x - boxes[last].half_width, y1))
                path = _smooth(points)
            paths.append(path if first == edge.source else path[::-1])
        return tuple(paths)


def lay_out(dag: CausalDag) -> Layout:
    """Return a drawing with the tiers from left to right and the outcome at the right.

    Every path runs from the edge's source to its target and ends on the sides of their boxes.
    """
    return _Drawing(dag).finish()
