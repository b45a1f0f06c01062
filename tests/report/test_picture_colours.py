"""The colours of the pictures of claims: told apart by the colour-blind, in grey, and from the page behind them."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from reproof.report import pictures

DEFICIENCIES = {
    "none": np.eye(3),
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
    "grey": [[0.2126, 0.7152, 0.0722]] * 3,
}
"""What linear RGB looks like (G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, IEEE TVCG 2009, severity 1), and
printed without colour."""
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
STYLE = (Path(pictures.__file__).parent / "style.css").read_text(encoding="utf-8")
SCHEMES = {"light": STYLE.split("@media")[0], "dark": STYLE.split("prefers-color-scheme: dark")[1]}


def linear(scheme: str, name: str) -> np.ndarray:
    """Return a custom property's colour as linear RGB."""
    found = re.search(rf"--{name}: #([0-9a-f]{{6}})", SCHEMES[scheme])
    assert found is not None, name
    values = np.array([int(found.group(1)[at : at + 2], 16) / 255 for at in (0, 2, 4)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(colour: np.ndarray) -> np.ndarray:
    """Return linear RGB in CIE L*a*b*, in which 2.3 is a just noticeable difference."""
    ratio = XYZ @ np.clip(colour, 0, 1) / XYZ.sum(axis=1)
    root = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def property_of(word: str, kind: str) -> str:
    """Return the custom property that a word's mark is filled or drawn with."""
    found = re.search(rf"\.w-{word} {{([^}}]*)}}", STYLE)
    assert found is not None
    (name,) = re.findall(rf"{kind}: var\(--([a-z-]+)\)", found.group(1))
    return str(name)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_decided_words_differ_for_every_eye(scheme: str, deficiency: str) -> None:
    seen = {
        word: lab(np.array(DEFICIENCIES[deficiency]) @ linear(scheme, property_of(word, "fill")))
        for word in ("reproduced", "lower", "higher")
    }
    for one, other in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 12, (one, other)


def test_undecided_is_hollow_so_that_no_colour_has_to_tell_it() -> None:
    assert property_of("undecided", "fill") == "paper"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("word", ["reproduced", "lower", "higher", "undecided", "not-comparable"])
def test_every_mark_stands_out_from_the_page(scheme: str, word: str) -> None:
    """Contrast of 3:1 at least, as WCAG 2.1 asks of graphics (1.4.11)."""
    mark, paper = (float(XYZ[1] @ linear(scheme, name)) for name in (property_of(word, "stroke"), "paper"))
    assert (max(mark, paper) + 0.05) / (min(mark, paper) + 0.05) >= 3
