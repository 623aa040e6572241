"""A Matplotlib figure as SVG that sits in a page and takes the page's colours and fonts."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

# Colours of the light theme. In a page each becomes var(--name), so that dark mode changes it.
PALETTE = {
    "ink": "#1f2530",
    "muted": "#6a7180",
    "rule": "#d9d6cf",
    "band": "#eceae4",
    "control": "#7b8494",
    "treatment": "#2f6f9f",
    "better": "#2c7a58",
    "worse": "#b0483c",
    "same": "#52699c",
    "open": "#8b8375",
}
SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11.0,
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and selected
    "svg.hashsalt": "causal-golf",  # the same figure is the same file
    "text.parse_math": False,  # a label with $ signs is a label
    "axes.unicode_minus": True,
    "axes.edgecolor": PALETTE["rule"],
    "axes.labelcolor": PALETTE["muted"],
    "xtick.color": PALETTE["muted"],
    "ytick.color": PALETTE["muted"],
    "text.color": PALETTE["ink"],
}
# Figures are drawn at 72 dots per inch, so that a point is a pixel of the page.
DPI = 72
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def figure(width: float, height: float) -> Figure:
    """An empty figure, size in pixels of the page."""
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI)


def standalone(drawing: Figure) -> str:
    """The figure as the text of an SVG file, on white."""
    buffer = io.StringIO()
    _save(drawing, buffer, format="svg", metadata=_METADATA, facecolor="white")
    return buffer.getvalue()


def save_png(drawing: Figure, path: Path) -> None:
    """Write the figure as PNG, on white, two pixels to a point."""
    _save(drawing, path, format="png", metadata={"Software": None}, dpi=2 * DPI, facecolor="white")


def _save(drawing: Figure, target: io.StringIO | Path, **options: Any) -> None:
    with rc_context(SETTINGS), warnings.catch_warnings():
        # A letter that the layout font lacks is drawn by the reader's own font.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        drawing.savefig(target, **options)


def inline(drawing: Figure, name: str, description: str) -> Markup:
    """The figure as an ``<svg>`` element.

    Args:
        drawing: the figure.
        name: prefix of its element ids; one per figure of a page.
        description: what a reader who cannot see it is told.
    """
    ElementTree.register_namespace("", _SVG)
    buffer = io.StringIO()
    _save(drawing, buffer, format="svg", metadata=_METADATA, transparent=True)
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in [*parent.findall("{*}style"), *parent.findall("{*}metadata")]:
            parent.remove(child)
    used = set(
        re.findall(r"#([\w-]+)", " ".join(v for e in root.iter() for v in e.attrib.values()))
    )
    for element in root.iter():
        if (target := element.attrib.pop(_XLINK, None)) is not None:
            element.set("href", target)
        identity = element.attrib.pop("id", None)
        if identity in used:
            element.set("id", f"{name}-{identity}")
        for key, value in element.attrib.items():
            if key == "href":
                element.set(key, value.replace("#", f"#{name}-"))
            elif key in ("style", "clip-path", "fill", "stroke"):
                element.set(key, _themed(value.replace("url(#", f"url(#{name}-")))
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.set("role", "img")
    root.set("aria-label", description)
    # ElementTree escaped every text and attribute on the way out.
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _themed(style: str) -> str:
    for name, colour in PALETTE.items():
        style = style.replace(colour, f"var(--{name})")
    # The page's own font, at the size the figure was laid out with.
    return re.sub(r" ?font-family: [^;]+;", "", style)
