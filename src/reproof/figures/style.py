"""How figures look, and how they become SVG text: the same bytes for the same inputs, colours from the page's scheme.

Text stays text (`svg.fonttype: none`) in `currentColor`; lines use CSS variables (`--series-1`, `--ramp-1`, ...) with
the printed colour as fallback, so that an inlined figure turns dark with its page and a file still shows.
Ids carry the figure's name, so that many figures can share one page. Imports no torch and no pyplot.
"""

from __future__ import annotations

import io
import itertools
import math
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reproof.errors import ArtifactError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

matplotlib.rcdefaults()  # nothing of a user's matplotlibrc
SVG_DPI = 72
"""Matplotlib's for SVG: one unit is a point."""
INK, FAINT = "#010203", "#040506"
SERIES = (
    "#0067a5",
    "#c04a00",
    "#00785a",
    "#a03c78",
    "#8a6100",
    "#6a3d9a",
    "#1a86b8",
    "#6d7000",
    "#b5123e",
    "#5f6670",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1.2)))
RAMP = (
    "#2a1070",
    "#4e188a",
    "#71209c",
    "#932591",
    "#b02e7f",
    "#c43c62",
    "#cb4c45",
    "#c85d26",
    "#c16c12",
    "#b87c00",
)
"""From the first to the last of what has an order, such as rounds; darkest first on light paper."""
_COLOURS = {INK: "currentColor", FAINT: "var(--figure-faint, #d3d3d3)"} | {
    colour: f"var(--{kind}-{position}, {colour})"
    for kind, colours in (("series", SERIES), ("ramp", RAMP))
    for position, colour in enumerate(colours, 1)
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "text.parse_math": False,
}


def wrapped(title: str, width: int = 26) -> str:
    """Return a title in lines that fit a small panel."""
    return textwrap.fill(title, width, break_long_words=False)


def across(count: int) -> int:
    """Return in how many columns so many panels stand: at most four, or five where they are more than twelve."""
    return math.ceil(count / math.ceil(count / (4 if count <= 12 else 5)))


def panel_size(count: int, height: float = 2.05) -> tuple[float, float]:
    """Return a figure's size in inches for so many panels of this height."""
    wide = across(count)
    return 0.7 + (2.25 if wide < 5 else 2.05) * wide, 0.6 + height * math.ceil(count / wide)


def panels(figure: Figure, count: int, sharey: bool) -> list[Axes]:
    """Return so many panels in rows."""
    wide = across(count)
    grid = figure.subplots(math.ceil(count / wide), wide, squeeze=False, sharey=sharey)
    made: list[Axes] = list(grid.flat)
    for spare in made[count:]:
        spare.remove()
    return made[:count]


def whole_numbers(panel: Axes) -> None:
    """Give a panel whole numbers along its horizontal axis."""
    panel.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))


def legend(figure: Figure, axes: Sequence[Axes]) -> int:
    """Put one legend for all panels under the figure, in as many columns as fit its width; return its rows."""
    entries: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    widest = 0.55 + 0.075 * max(map(len, entries))
    rows = math.ceil(len(entries) / max(1, int(figure.get_figwidth() / widest)))
    figure.legend(
        entries.values(),
        entries.keys(),
        loc="outside lower center",
        ncols=math.ceil(len(entries) / rows),
    )
    return rows


def arrange(figure: Figure, axes: Sequence[Axes], legend_rows: int = 0) -> None:
    """Lay out panels of one size that share their vertical axis; call it when all is painted.

    They lie in a grid as `panels` or `figure.subplots` made it, each row below as many lines as its longest title has.
    By the numbers of lines and of characters: Matplotlib's constrained layout measures every text, several times, which
    takes longer than drawing.
    """
    figure.set_layout_engine(None)
    left, right, below = 0.4 + 0.08 * _longest_number(axes[0].yaxis), 0.16, 0.43
    # Half of an axis's last number, and half of the next one's first.
    gap = 0.03 + 0.065 * max(_longest_number(panel.xaxis) for panel in axes)
    legend_height = 0.1 + 0.2 * legend_rows if legend_rows else 0.0
    lines: dict[int, int] = {}
    places = [(panel, panel.get_subplotspec()) for panel in axes]
    for panel, place in places:
        assert place is not None
        row = place.rowspan.start
        lines[row] = max(lines.get(row, 1), 1 + panel.get_title().count("\n"))
    above = {row: 0.12 + 0.16 * count for row, count in lines.items()}
    width, height = figure.get_size_inches()
    tall = (height - legend_height - sum(above.values()) - below * len(above)) / len(above)
    for panel, place in places:
        assert place is not None
        row, column, columns = place.rowspan.start, place.colspan.start, place.get_gridspec().ncols
        wide = (width - left - right - gap * (columns - 1)) / columns
        top = height - sum(above[before] for before in range(row + 1)) - row * (tall + below)
        start = left + column * (wide + gap)
        panel.set_position((start / width, (top - tall) / height, wide / width, tall / height))


def _longest_number(axis: Axis) -> int:
    """Return how many characters the longest number along an axis has."""
    texts = axis.get_major_formatter().format_ticks(axis.get_majorticklocs().tolist())
    return max(map(len, texts), default=0)


def label_points(
    panel: Axes,
    places: Sequence[tuple[float, float]],
    texts: Sequence[str],
    others: Sequence[tuple[float, float]] = (),
) -> None:
    """Write a text beside each place, where it covers no place and no other text; a line leads to a distant one.

    others: more places to leave free. Call it when everything else is painted: the panel's size must be known.
    """
    figure: Any = panel.figure
    figure.draw_without_rendering()
    points = panel.transData.transform([*places, *others]) * 72 / figure.dpi
    left, bottom, right, top = panel.bbox.extents * 72 / figure.dpi
    taken = [(x - 3.5, y - 3.5, x + 3.5, y + 3.5) for x, y in points]
    for place, (x, y), text in zip(places, points[: len(places)], texts, strict=True):
        half = 2.7 * len(text) + 1.0

        def box(offset: tuple[float, float], x: float = x, y: float = y, half: float = half) -> Any:
            return x + offset[0] - half, y + offset[1] - 4.5, x + offset[0] + half, y + offset[1] + 4.5

        def free(offset: tuple[float, float]) -> bool:
            a, b, c, d = box(offset)
            inside = left <= a and c <= right and bottom <= b and d <= top
            return inside and not any(a < h and g < c and b < k and f < d for g, f, h, k in taken)

        offsets = [
            (round((radius + half) * math.cos(turn), 3), round((radius + 5) * math.sin(turn), 3))
            for radius in (4.5, 10, 18, 27, 37, 48, 60)
            for turn in (step * math.pi / 6 for step in (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6))
        ]
        offset = next(filter(free, offsets), offsets[0])
        taken.append(box(offset))
        distant = math.hypot(*offset) > half + 11
        note = panel.annotate(
            text,
            place,
            offset,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            zorder=5,
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": INK, "shrinkA": 0, "shrinkB": 2}
            if distant
            else None,
        )
        note.set_in_layout(False)


def unreadable(path: Path, error: Exception) -> ArtifactError:
    """Return the error that names a file which cannot be read, and what to do."""
    return ArtifactError(f"{path} cannot be read ({error}). Delete it and run snakemake again.")


def render(
    name: str,
    title: str,
    description: str,
    paint: Callable[[Figure], None],
    size: tuple[float, float],
    constrained: bool = True,
) -> str:
    """Return a painted figure as SVG text that is deterministic, accessible and fit to be inlined.

    size: inches. constrained: let matplotlib lay the panels out, if `paint` does not (`arrange`).
    """
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": name}):
        # As it is saved, so that it is laid out once: Matplotlib would do so anew, and draw twice.
        figure = Figure(figsize=size, dpi=SVG_DPI, layout="constrained" if constrained else None)
        FigureCanvasSVG(figure)
        paint(figure)
        layout = figure.get_layout_engine()
        if layout is not None:
            layout.execute(figure)
            figure.set_layout_engine(None)
        text = io.StringIO()
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=no_metadata)
    return _tidy(text.getvalue(), name.replace("_", "-"), title, description)


_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_DECIMALS = re.compile(r"-?\d+\.\d{3,}")
_FONT = re.compile(r"font-family:[^;]*;?\s*|font: ?")


def _tidy(svg: str, name: str, title: str, description: str) -> str:
    """Drop what a page cannot use, prefix ids, shorten numbers, put CSS variables for colours."""
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for key in list(element.attrib):
            plain = key.rpartition("}")[2]
            element.attrib[plain] = element.attrib.pop(key)
    for parent in list(root.iter()):
        for child in list(parent):
            unstroked = child.get("style", "").strip() == "fill: none"
            invisible = child.tag == "path" and (unstroked or not child.get("d"))
            if child.tag in ("metadata", "style") or invisible:
                parent.remove(child)
    used = {
        reference
        for element in root.iter()
        for value in element.attrib.values()
        for reference in (*_REFERENCE.findall(value), *([value[1:]] if value.startswith("#") else []))
    }
    for element in root.iter():
        _tidy_element(element, name, used)
    for element in root.iter():
        _hoist_style(element)
        _join_strokes(element)
    _drop_empty(root)
    width, height = (float(item) for item in root.attrib["viewBox"].split()[2:])
    root.attrib.clear()
    root.attrib.update(
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": "figure",
            "viewBox": f"0 0 {width:g} {height:g}",
            "width": f"{width * 4 / 3:.0f}",
            "height": f"{height * 4 / 3:.0f}",
            "role": "img",
            "aria-labelledby": f"figure-{name}-title figure-{name}-description",
            "style": "stroke-linejoin: round; font-family: var(--figure-font, system-ui, sans-serif)",
        }
    )
    labels = []
    for tag, words, suffix in (("title", title, "title"), ("desc", description, "description")):
        label = ElementTree.Element(tag, {"id": f"figure-{name}-{suffix}"})
        label.text = words
        labels.append(label)
    root[:0] = labels
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _tidy_element(element: ElementTree.Element, name: str, used: set[str]) -> None:
    attributes = element.attrib
    if attributes.get("id") not in used:
        attributes.pop("id", None)
    if not (element.text or "").strip():
        element.text = None
    element.tail = None
    for key, value in list(attributes.items()):
        if key == "href":
            attributes[key] = value.replace("\n", "") if value.startswith("data:") else f"#{name}-{value[1:]}"
            continue
        if key == "id":
            attributes[key] = f"{name}-{value}"
            continue
        value = _REFERENCE.sub(rf"url(#{name}-\1)", " ".join(value.split()))
        if key == "style":
            value = _FONT.sub("", value)
            for colour, replacement in _COLOURS.items():
                value = value.replace(colour, replacement)
            if element.tag == "text" and "fill" not in value:
                value = f"{value.rstrip('; ')}; fill: currentColor".lstrip("; ")
        if key in ("d", "x", "y", "transform", "points", "width", "height"):
            value = _DECIMALS.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), value)
        if key == "transform" and value.startswith("rotate(-0 "):
            del attributes[key]
            continue
        attributes[key] = value


def _hoist_style(element: ElementTree.Element) -> None:
    """Write a style that all marks of a group share once, on the group."""
    marks = list(element)
    if len(marks) < 2 or element.tag != "g" or "style" in element.attrib:
        return
    styles = {mark.get("style") for mark in marks if mark.tag == "use"}
    if len(styles) == 1 and None not in styles and all(mark.tag == "use" for mark in marks):
        element.attrib["style"] = str(marks[0].get("style"))
        for mark in marks:
            del mark.attrib["style"]


def _join_strokes(element: ElementTree.Element) -> None:
    """Make one path of neighbours that are stroked alike, such as the bars of all points of a line."""
    marks = list(element)
    for before, mark in itertools.pairwise(marks):
        alike = {key: value for key, value in mark.attrib.items() if key != "d"}
        stroked = before.tag == mark.tag == "path" and "fill: none" in alike.get("style", "")
        if stroked and alike == {key: value for key, value in before.attrib.items() if key != "d"}:
            mark.attrib["d"] = f"{before.attrib['d']} {mark.attrib['d']}"
            element.remove(before)


def _drop_empty(element: ElementTree.Element) -> None:
    for child in list(element):
        _drop_empty(child)
        if child.tag in ("g", "defs") and len(child) == 0:
            element.remove(child)
