"""A figure's SVG as a page carries it: styles are classes that all figures share, coordinates lose what nobody sees."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree

from reproof.report.contents import DrawnFigure

_NUMBER = re.compile(r"-?\d+\.\d+")
_COMMAND = re.compile(r" ?([A-Za-z]) ?")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


class InlinedFigures:
    """Makes figures small; their styles are told by `css`, which belongs into the page once."""

    def __init__(self) -> None:
        self._classes: dict[str, str] = {}
        self._figures = 0

    @property
    def css(self) -> str:
        """Return the rules of all classes that figures were given so far."""
        return "\n".join(f".figure .{name} {{ {style} }}" for style, name in self._classes.items())

    def inlined(self, figure: DrawnFigure) -> str:
        """Return a figure's SVG with ids of its own, styles as classes, and coordinates to a tenth of a point."""
        self._figures += 1
        root = ElementTree.fromstring(figure.svg)
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
            element.attrib = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        found = (element.attrib["id"] for element in root.iter() if "id" in element.attrib)
        ids = {name: f"f{self._figures}-{position}" for position, name in enumerate(found)}
        for element in root.iter():
            element.attrib = {key: _shortened(key, value, ids) for key, value in element.attrib.items()}
            if element is not root and "style" in element.attrib:
                element.attrib["class"] = self._class(element.attrib.pop("style"))
        _unwrap(root)
        return ElementTree.tostring(root, encoding="unicode").replace(" />", "/>")

    def _class(self, style: str) -> str:
        plain = "; ".join(part.strip() for part in style.split(";") if part.strip())
        return self._classes.setdefault(plain, f"s{len(self._classes)}")


def _shortened(key: str, value: str, ids: dict[str, str]) -> str:
    if key in ("id", "aria-labelledby"):
        return " ".join(ids.get(name, name) for name in value.split())
    if key == "href" and value.startswith("#"):
        return f"#{ids.get(value[1:], value[1:])}"
    if key in ("d", "x", "y", "points"):
        value = _NUMBER.sub(lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), value)
    if key == "d":
        value = _COMMAND.sub(r"\1", value)
    return _REFERENCE.sub(lambda found: f"url(#{ids.get(found[1], found[1])})", value)


def _unwrap(element: ElementTree.Element) -> None:
    """Put what stands in groups without attributes in their place."""
    children: list[ElementTree.Element] = []
    for child in list(element):
        _unwrap(child)
        bare = child.tag == "g" and not child.attrib
        children += list(child) if bare else [child]
    element[:] = children


def taken_in_turns(kinds: Iterable[list[str]]) -> list[str]:
    """Return the first of each kind, then the second of each: what a page with little room shows first."""
    lists = list(kinds)
    longest = max(map(len, lists), default=0)
    return [names[place] for place in range(longest) for names in lists if place < len(names)]
