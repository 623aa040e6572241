"""The lineage as an SVG drawing: parents left of their children, what each step gained by colour.

A leaderboard has thousands of submissions; drawn are the best, and those that most others build
on, each with its first parent, that one's first parent and so on, until `most` are drawn. The
layout is that of a tidy tree (Wetherell & Shannon, 1979) over each submission's first parent;
further parents are thin lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from math import inf
from pathlib import Path
from xml.sax.saxutils import escape

import networkx as nx

from scripts.causal.files import write_text
from scripts.causal.leaderboard.lineage_graph import (
    Change,
    Lineage,
    LineageEdge,
    LineageNode,
    to_graph,
)

MOST = 80
BOX_WIDTH, BOX_HEIGHT = 186, 34  # pixels, as all lengths here
COLUMN, ROW = 246, 42
MARGIN, HEAD = 16, 52
LONGEST_NAME = 30
MOST_CHANGES = 12  # of a step that its hover text lists
# Okabe & Ito's palette, safe for the colour-blind.
BETTER, WORSE, UNKNOWN, INK = "#0072B2", "#D55E00", "#9A9A9A", "#222222"
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Place:
    """Where a box stands: its upper left corner."""

    x: float
    y: float


def draw_lineage(path: Path, lineage: Lineage, *, most: int = MOST) -> int:
    """Write the drawing of the lineage's main part; return how many boxes it shows.

    Args:
        path: the .svg file.
        lineage: who builds on whom.
        most: the number of boxes that are not exceeded.

    Raises:
        InputError: the file cannot be written.
    """
    graph = to_graph(lineage)
    chosen = choose(graph, most)
    write_text(path, to_svg(graph, chosen))
    return len(chosen)


def choose(graph: nx.DiGraph[str], most: int) -> list[str]:
    """Return the nodes to draw, parents first: by turns the most built upon and the best score.

    Each comes with the line of its first parents, one that others build on with the child that is
    itself built on most; nodes without parent and child are left out.
    """
    first = _first_parents(graph, set(graph))
    linked = [name for name in graph if graph.degree(name)]
    built_on = sorted(linked, key=lambda name: _rank(graph, name))
    best = sorted(linked, key=lambda name: (_score(graph, name), name))
    chosen: set[str] = set()
    for name in chain.from_iterable(zip_longest(built_on, best)):
        heir = min(graph.successors(name), key=lambda child: _rank(graph, child), default=name)
        family = {*_line_of(first, name), *_line_of(first, heir)}
        if len(chosen | family) <= most:
            chosen |= family
    order = nx.lexicographical_topological_sort(graph, key=lambda name: _time(graph, name))
    return [name for name in order if name in chosen]


def lay_out(graph: nx.DiGraph[str], chosen: Sequence[str]) -> dict[str, Place]:
    """Return where each box stands; `chosen` has parents before children.

    A column is one more than the last of the parents' columns. Families stand below each other,
    a parent in the middle of the children that name it first.
    """
    first = _first_parents(graph, set(chosen))
    column: dict[str, int] = {}
    children: dict[str, list[str]] = {name: [] for name in chosen}
    for name in chosen:
        before = (column[parent] for parent in graph.predecessors(name) if parent in column)
        column[name] = 1 + max(before, default=-1)
        if name in first:
            children[first[name]].append(name)
    rows: dict[str, float] = {}
    bottom = 0.0
    families = sorted(
        (name for name in chosen if name not in first), key=lambda name: -_size(children, name)
    )
    for root in families:
        for name in _leaves_first(children, root):
            if children[name]:
                middle = [rows[child] for child in children[name]]
                rows[name] = (min(middle) + max(middle)) / 2
            else:
                rows[name] = bottom
                bottom += 1
    return {
        name: Place(MARGIN + COLUMN * column[name], HEAD + ROW * rows[name]) for name in chosen
    }


def to_svg(graph: nx.DiGraph[str], chosen: Sequence[str]) -> str:
    """Return the drawing as the text of an SVG file; every text from a README is escaped."""
    places = lay_out(graph, chosen)
    width = max((place.x for place in places.values()), default=0) + BOX_WIDTH + MARGIN
    height = max((place.y for place in places.values()), default=0) + BOX_HEIGHT + MARGIN
    width = max(width, 720)
    first = _first_parents(graph, set(chosen))
    edges = [
        graph.edges[parent, child]["edge"]
        for parent, child in graph.edges
        if parent in places and child in places
    ]
    edges.sort(key=lambda edge: first.get(edge.child) == edge.parent)  # first parents on top
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif">',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>',
        *_legend(len(chosen), len(graph)),
        *(_line(edge, places, first.get(edge.child) == edge.parent) for edge in edges),
        *(_box(graph, name, places, first.get(name)) for name in chosen),
        "</svg>\n",
    ]
    return "\n".join(lines)


def _rank(graph: nx.DiGraph[str], name: str) -> tuple[int, float, str]:
    """What orders nodes by how many others build on them, then by score."""
    return (-graph.out_degree(name), _score(graph, name), name)


def _score(graph: nx.DiGraph[str], name: str) -> float:
    score = _node(graph, name).val_bpb
    return score if score is not None else inf


def _time(graph: nx.DiGraph[str], name: str) -> str:
    node = _node(graph, name)
    first = node.pull_requests[0] if node.pull_requests else 0
    return f"{node.date or ''} {first:07d} {name}"


def _node(graph: nx.DiGraph[str], name: str) -> LineageNode:
    node: LineageNode = graph.nodes[name]["node"]
    return node


def _first_parents(graph: nx.DiGraph[str], chosen: set[str]) -> dict[str, str]:
    """Child → the drawn parent that it names first."""
    first = {}
    for name in chosen:
        parents = [p for p in graph.predecessors(name) if p in chosen]
        if parents:
            first[name] = min(parents, key=lambda p: (graph.edges[p, name]["edge"].place, p))
    return first


def _line_of(first: Mapping[str, str], name: str) -> Iterator[str]:
    """A node, its first parent, and so on."""
    yield name
    while name in first:
        name = first[name]
        yield name


def _size(children: Mapping[str, Sequence[str]], root: str) -> int:
    return sum(1 for _ in _leaves_first(children, root))


def _leaves_first(children: Mapping[str, Sequence[str]], root: str) -> Iterator[str]:
    """Every node of a family, children before their parent; without recursion: chains are long."""
    stack = [(root, False)]
    while stack:
        name, done = stack.pop()
        if done:
            yield name
        else:
            stack.append((name, True))
            stack.extend((child, False) for child in reversed(children[name]))


def _legend(shown: int, total: int) -> list[str]:
    words = (
        f"Who builds on whom: {shown} of {total} submissions and pull requests, those most built "
        "on and those of the best scores, with their first parents' line"
    )
    parts = [f'<text x="{MARGIN}" y="20" font-size="13" fill="{INK}">{_text(words)}</text>']
    x = MARGIN
    for colour, label in (
        (BETTER, "better than its parent"), (WORSE, "worse"), (UNKNOWN, "cannot be told"),
    ):  # fmt: skip
        parts.append(
            f'<line x1="{x}" y1="36" x2="{x + 26}" y2="36" stroke="{colour}" stroke-width="2"/>'
            f'<text x="{x + 32}" y="40" font-size="11" fill="{INK}">{label}</text>'
        )
        x += 60 + 6 * len(label)
    thin = (
        "thin line: a further parent · dashed box: not in the leaderboard · +3: more build on it"
    )
    parts.append(f'<text x="{x}" y="40" font-size="11" fill="#555555">{thin}</text>')
    return parts


def _line(edge: LineageEdge, places: Mapping[str, Place], first: bool) -> str:
    start, end = places[edge.parent], places[edge.child]
    x0, y0 = start.x + BOX_WIDTH, start.y + BOX_HEIGHT / 2
    x1, y1 = end.x, end.y + BOX_HEIGHT / 2
    bend = (COLUMN - BOX_WIDTH) * 0.6
    return (
        f'<path d="M{x0:.1f} {y0:.1f}C{x0 + bend:.1f} {y0:.1f} {x1 - bend:.1f} {y1:.1f} '
        f'{x1:.1f} {y1:.1f}" fill="none" stroke="{_colour(edge.bpb)}" '
        f'stroke-width="{1.8 if first else 0.7}"><title>{_text(_step(edge))}</title></path>'
    )


def _colour(difference: float | None) -> str:
    if not difference:
        return UNKNOWN
    return BETTER if difference < 0 else WORSE


def _step(edge: LineageEdge) -> str:
    """What a step changed, in words."""
    told = [change for change in edge.changes if change.told]
    words = [_difference(edge.bpb) + " bpb" if edge.bpb is not None else "bpb: cannot be told"]
    words += [f"{c.variable}: {_value(c.from_)} → {_value(c.to)}" for c in told[:MOST_CHANGES]]
    if len(told) > MOST_CHANGES:
        words.append(f"and {len(told) - MOST_CHANGES} more")
    words += _silent(edge.changes)
    return "\n".join(words)


def _silent(changes: Sequence[Change]) -> Iterator[str]:
    """How much only one of the two tells."""
    for side, count in (
        ("child", sum(change.from_ is None for change in changes)),
        ("parent", sum(change.to is None for change in changes)),
    ):
        if count:
            yield f"told by the {side} alone: {count}"


def _value(value: object) -> str:
    if value is True:
        return "used"
    return "not used" if value is False else str(value)


def _difference(difference: float) -> str:
    return f"{difference:+.4f}".replace("-", "−")


def _box(
    graph: nx.DiGraph[str], name: str, places: Mapping[str, Place], parent: str | None
) -> str:
    node, place = _node(graph, name), places[name]
    number = f"#{node.pull_requests[0]}" if node.pull_requests else "no PR"
    score = f"  {node.val_bpb:.4f}" if node.val_bpb is not None else ""
    more = sum(child not in places for child in graph.successors(name))
    hover = [name, *filter(None, (node.name, node.author, node.date))]
    if more:
        hover.append(f"{more} more build on it")
    told = "\n".join(hover)
    name_line = _short(node.name or node.date or ("" if node.known else "not in the leaderboard"))
    dashed = "" if node.known else ' stroke-dasharray="4 3"'
    parts = [
        f"<g><title>{_text(told)}</title>",
        f'<rect x="{place.x:.1f}" y="{place.y:.1f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" '
        f'rx="5" fill="white" stroke="{INK}" stroke-width="0.9"{dashed}/>',
        f'<text x="{place.x + 8:.1f}" y="{place.y + 14:.1f}" font-size="12" font-weight="bold" '
        f'fill="{INK}" xml:space="preserve">{_text(number + score)}</text>',
        f'<text x="{place.x + 8:.1f}" y="{place.y + 27:.1f}" font-size="9" fill="#555555">'
        f"{_text(name_line)}</text>",
    ]
    edge = graph.edges[parent, name]["edge"] if parent is not None else None
    right = place.x + BOX_WIDTH - 8
    if edge is not None and edge.bpb is not None:
        parts.append(
            f'<text x="{right:.1f}" y="{place.y + 14:.1f}" font-size="10" text-anchor="end" '
            f'fill="{_colour(edge.bpb)}">{_difference(edge.bpb)}</text>'
        )
    if more:
        parts.append(
            f'<text x="{right:.1f}" y="{place.y + 27:.1f}" font-size="9" text-anchor="end" '
            f'fill="#555555">+{more}</text>'
        )
    return "".join([*parts, "</g>"])


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"


def _text(text: str) -> str:
    """Escape a text for XML, without the characters that XML cannot hold."""
    return escape(_NOT_XML.sub("�", text))
