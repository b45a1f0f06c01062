"""Figures of loss surfaces: every loss in its cell, one scale for all panels, medians and shares of all images."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from made_up_study import frame
from matplotlib.figure import Figure
from tests.ours import needs

from reproof.errors import ArtifactError
from reproof.figures import draw as figures_draw
from reproof.figures import robustness
from reproof.figures import surfaces as figures_surfaces
from reproof.figures.surfaces import (
    FLOOR,
    Lines,
    Surface,
    Surroundings,
    decision_surfaces,
    draw,
    loss_against_epsilon,
)
from reproof.report.contents import empty

AROUND = Surroundings("Vulnerable", own=False, clipped=True)
SVG = "{http://www.w3.org/2000/svg}"
GRID_1, GRID_2 = (-0.1, 0.0, 0.1), (-0.1, 0.1, 0.3, 0.5)
EPSILONS = (0.0, 0.2, 1.0)


def write(
    path: Path,
    *,
    images: int = 4,
    factor: float = 1.0,
    epsilons: tuple[float, ...] = EPSILONS,
    right: Callable[[float, float], bool] = lambda along, up: up < 0.2,
) -> Path:
    """Write a job's CSV, shuffled: the surface's loss is factor (1 + ε1 + 10 ε2), image i's factor (i + ε)."""
    rows: list[list[Any]] = [
        [
            "surface",
            7,
            along,
            up,
            factor * (1 + along + 10 * (up + 0.1)),
            "true" if right(along, up) else "false",
        ]
        for along, up in itertools.product(GRID_1, GRID_2)
    ]
    rows += [
        [
            "line",
            image,
            "",
            epsilon,
            factor * (image + epsilon),
            "true" if epsilon < 0.5 or image else "false",
        ]
        for image, epsilon in itertools.product(range(images), epsilons)
    ]
    order = np.random.default_rng(0).permutation(len(rows))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["kind", "image", "epsilon_1", "epsilon_2", "loss", "correct"])
        writer.writerows([rows[position] for position in order])
    return path


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Figure]]:
    """Keep the figures that are painted, with their captions."""
    kept: list[tuple[str, Figure]] = []

    def render(
        name: str, title: str, description: str, paint: Callable[[Figure], None], size: Any, **_: Any
    ) -> str:
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        kept.append((description, figure))
        return name

    monkeypatch.setattr(figures_surfaces, "render", render)
    return kept


def points(line: Any) -> tuple[list[float], list[float]]:
    """Return a painted line's x and y."""
    return [float(x) for x in line.get_xdata()], [float(y) for y in line.get_ydata()]


def test_a_file_is_read_whatever_the_order_of_its_rows(tmp_path: Path) -> None:
    surface, lines = figures_surfaces.read(write(tmp_path / "a.csv", images=12))
    assert surface.image == 7
    assert surface.epsilons_1.tolist() == list(GRID_1)
    assert surface.epsilons_2.tolist() == list(GRID_2)
    assert surface.losses == pytest.approx(
        np.array([[1 + along + 10 * (up + 0.1) for along in GRID_1] for up in GRID_2])
    )
    assert surface.correct.tolist() == [[True] * 3, [True] * 3, [False] * 3, [False] * 3]
    assert lines.losses == pytest.approx(np.array([[i + e for e in EPSILONS] for i in range(12)]))
    assert lines.correct[:, -1].tolist() == [False] + [True] * 11


@pytest.mark.parametrize(
    ("old", "new"),
    [("surface,7", "surface,8"), ("true", "perhaps"), ("loss", "lost"), ("line", "other")],
)
def test_a_file_that_is_not_whole_is_named(tmp_path: Path, old: str, new: str) -> None:
    path = write(tmp_path / "broken.csv")
    text = path.read_text()
    path.write_text(text.replace(old, new, 1) if old != "line" else text.replace(old, new))
    with pytest.raises(ArtifactError, match=r"broken\.csv"):
        figures_surfaces.read(path)


def test_a_point_that_is_missing_is_no_zero(tmp_path: Path) -> None:
    path = write(tmp_path / "short.csv")
    lines = path.read_text().splitlines()
    for kind in ("surface", "line"):
        gone = next(line for line in lines if line.startswith(kind))
        path.write_text("\n".join(line for line in lines if line != gone) + "\n")
        with pytest.raises(ArtifactError, match=r"short\.csv"):
            figures_surfaces.read(path)


def test_heat_maps_share_one_scale_and_lie_where_their_epsilons_say(
    tmp_path: Path, drawn: list[tuple[str, Figure]]
) -> None:
    paths = {
        "low": write(tmp_path / "low.csv", factor=0.001),
        "high": write(tmp_path / "high.csv", factor=50),
    }
    read = {name: figures_surfaces.read(path)[0] for name, path in paths.items()}
    decision_surfaces(read, AROUND)
    ((caption, figure),) = drawn
    panels = [panel for panel in figure.axes if panel.get_title()]
    assert [panel.get_title() for panel in panels] == ["low", "high"]
    images = [panel.images[0] for panel in panels]
    highest = 50 * (1 + 0.1 + 6)
    for image in images:
        assert image.get_clim() == pytest.approx((FLOOR, highest))
    assert f"to {highest:.3g}" in caption
    shown = np.asarray(images[1].get_array())
    assert shown == pytest.approx(read["high"].losses), "a row per ε2, from low to high"
    assert images[1].origin == "lower"
    assert np.asarray(images[0].get_array()).min() == pytest.approx(FLOOR)
    left, right, bottom, top = images[0].get_extent()
    assert (left, right) == pytest.approx((255 * -0.15, 255 * 0.15))
    assert (bottom, top) == pytest.approx((255 * -0.2, 255 * 0.6))
    for panel in panels:
        assert panel.get_xlim() == pytest.approx((left, right))
        assert panel.get_ylim() == pytest.approx((bottom, top))


def test_the_boundary_lies_between_right_and_wrong(tmp_path: Path, drawn: list[tuple[str, Figure]]) -> None:
    cases: dict[str, Callable[[float, float], bool]] = {
        "half": lambda along, up: up < 0.2,
        "never": lambda along, up: False,
        "always": lambda along, up: True,
    }
    read = {
        name: figures_surfaces.read(write(tmp_path / name, right=right))[0] for name, right in cases.items()
    }
    decision_surfaces(read, AROUND)
    panels = {panel.get_title(): panel for panel in drawn[0][1].axes if panel.get_title()}
    assert list(panels) == ["half", "never\n(wrong everywhere)", "always\n(right everywhere)"]
    contours = {title: panel.collections for title, panel in panels.items()}
    assert [len(found) for found in contours.values()] == [2, 0, 0]
    heights = np.concatenate([path.vertices for path in contours["half"][0].get_paths()])[:, 1]
    assert heights == pytest.approx(255 * 0.2), "half way between 0.1 and 0.3"


def test_captions_say_what_was_moved_and_how(tmp_path: Path, drawn: list[tuple[str, Figure]]) -> None:
    surface, lines = figures_surfaces.read(write(tmp_path / "a.csv"))
    for clipped, own in itertools.product((True, False), repeat=2):
        around = Surroundings("Vulnerable", own=own, clipped=clipped)
        decision_surfaces({"A": surface}, around)
        loss_against_epsilon({"A": lines}, around)
        (first, _), (second, _) = drawn[-2:]
        assert "test image 7" in first
        assert "L₁ is the loss of Vulnerable" in first
        assert ("both directions are the same" in first) == own
        for caption in (first, second):
            assert ("put back into [0, 1]" in caption) == clipped
            assert ("left outside" in caption) == (not clipped)


def test_lines_medians_and_shares(tmp_path: Path, drawn: list[tuple[str, Figure]]) -> None:
    lines = figures_surfaces.read(write(tmp_path / "a.csv", images=5))[1]
    loss_against_epsilon({"A": lines, "B": lines}, AROUND)
    caption, figure = drawn[0]
    above, _, below, _ = figure.axes
    thin = [line for line in above.get_lines() if line.get_linewidth() < 1]
    (thick,) = [line for line in above.get_lines() if line.get_linewidth() > 1]
    assert len(thin) == 5
    assert "each of 5 test images" in caption
    assert np.asarray(thin[3].get_xdata()) == pytest.approx([0, 51, 255])
    assert np.asarray(thin[3].get_ydata()) == pytest.approx([3, 3.2, 4])
    assert np.asarray(thin[0].get_ydata()) == pytest.approx([FLOOR, 0.2, 1])
    assert np.asarray(thick.get_ydata()) == pytest.approx([2, 2.2, 3])
    assert above.get_yscale() == "log"
    share, dot = below.get_lines()
    assert np.asarray(share.get_ydata()) == pytest.approx([0, 0, 20])
    assert points(dot)[0] == [255]
    assert points(dot)[1] == pytest.approx([20])


def test_many_images_are_thinned_and_the_median_is_that_of_all(drawn: list[tuple[str, Figure]]) -> None:
    losses = np.tile(np.arange(1.0, 129.0)[:, None], (1, 33))
    lines = Lines(np.linspace(0, 0.5, 33), losses, losses < 65)
    loss_against_epsilon({f"model {number}": lines for number in range(6)}, AROUND)
    caption, figure = drawn[0]
    panel = figure.axes[0]
    thin = [line for line in panel.get_lines() if line.get_linewidth() < 1]
    (thick,) = [line for line in panel.get_lines() if line.get_linewidth() > 1]
    assert 10 < len(thin) < 128
    assert f"the first {len(thin)} of 128 test images" in caption
    assert np.asarray(thick.get_ydata()) == pytest.approx(64.5)
    assert "median over 128" in caption


def test_panels_of_an_uneven_grid_keep_their_axes(drawn: list[tuple[str, Figure]]) -> None:
    lines = Lines(np.array([0.0, 0.5]), np.ones((3, 2)), np.ones((3, 2), dtype=bool))
    loss_against_epsilon({f"m{number}": lines for number in range(7)}, AROUND)
    panels = drawn[0][1].axes
    assert len(panels) == 2 * 7
    assert sorted(panel.get_title() for panel in panels if panel.get_title()) == [f"m{n}" for n in range(7)]


def test_files_stay_small_and_are_the_same_bytes_twice(tmp_path: Path) -> None:
    """As large as the paper's: six models, 25 x 25 points, 128 images, 33 epsilons, and losses without order."""
    generator = np.random.default_rng(1)
    spaced = np.linspace(-1, 1, 25)
    surfaces, lines = {}, {}
    for number in range(6):
        ragged = 0.5 * generator.random((25, 25))
        surfaces[f"Model {number}"] = Surface(
            0, spaced, spaced, generator.exponential(3, (25, 25)), ragged + spaced[:, None] < 0.5
        )
        lines[f"Model {number}"] = Lines(
            np.linspace(0, 0.5, 33), generator.exponential(3, (128, 33)), generator.random((128, 33)) < 0.5
        )
    once, again = (
        (decision_surfaces(surfaces, AROUND), loss_against_epsilon(lines, AROUND)) for _ in range(2)
    )
    assert once == again
    for svg in once:
        assert len(svg) < 150_000
        assert not re.search(r"#01020[3-6]|#040506", svg), "colours come from the page"
        root = ElementTree.fromstring(svg)
        texts = list(root.iter(f"{SVG}text"))
        assert texts
        assert all("fill: currentColor" in (text.get("style") or "") for text in texts)


def test_both_stand_among_the_study_s_figures_in_the_models_order(
    tmp_path: Path, drawn: list[tuple[str, Figure]]
) -> None:
    files = {name: write(tmp_path / f"{name}.csv") for name in ("b", "a")}
    titles = {"a": "First", "b": "Second", "c": "Not measured"}
    made = figures_draw.draw(
        figures_draw.FigureInputs(
            summary=empty("summary"), titles=titles, class_names={}, surfaces=files, surroundings=AROUND
        )
    )
    assert list(made) == ["loss_surfaces", "loss_against_epsilon"]
    for _, figure in drawn:
        assert [panel.get_title() for panel in figure.axes if panel.get_title()] == ["First", "Second"]
    assert draw({}, titles, None) == {}
    assert (
        figures_draw.draw(figures_draw.FigureInputs(summary=empty("summary"), titles=titles, class_names={}))
        == {}
    )


# Robustness curves (Mustafa, Fig. 4).


def curve_rows(attack: str, values: dict[float, float], **more: str) -> list[dict[str, str]]:
    return [
        {"model": "m", "metric": "accuracy", "setting": "white_box", "source": "", "attack": attack,
         "parameters": f"epsilon={epsilon}" if attack != "none" else "", "value": str(value), "low": str(value),
         "high": str(value), **more}
        for epsilon, value in values.items()
    ]  # fmt: skip


@pytest.fixture
def curves(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Figure]]:
    kept: list[tuple[str, Figure]] = []

    def render(name: str, title: str, description: str, paint: Callable[[Figure], None], size: Any) -> str:
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        kept.append((title, figure))
        return name

    monkeypatch.setattr(robustness, "render", render)
    return kept


def test_a_curve_reaches_the_largest_budget_and_chance_lies_across(curves: list[tuple[str, Figure]]) -> None:
    summary = curve_rows("none", {0.0: 0.98}) + curve_rows("pgd", {0.3: 0.4, 0.1: 0.8, 1.0: 0.0})
    names = [str(digit) for digit in range(4)]
    figures_draw.draw(
        figures_draw.FigureInputs(
            summary=frame("summary", summary), titles={"m": "M"}, class_names={"m": names}
        )
    )
    panel = curves[0][1].axes[0]
    lines = {line.get_label(): line for line in panel.get_lines()}
    chance = lines["chance level"]
    assert points(chance)[1] == [25, 25], "one in four"
    assert panel.get_xlim()[1] >= 1
    (curve,) = [line for line in panel.get_lines() if len(points(line)[0]) == 4]
    assert points(curve)[0] == [0, 0.1, 0.3, 1]
    assert np.asarray(curve.get_ydata()) == pytest.approx([98, 80, 40, 0])
    labels = panel.get_legend_handles_labels()[1]
    assert sorted(labels) == ["PGD", "chance level"]


@needs("attacks/pgd")
def test_of_many_attacks_a_panel_shows_two_in_full(curves: list[tuple[str, Figure]]) -> None:
    summary = [row for n in range(18) for row in curve_rows(f"attack_{n:02}", {0.1: 0.5, 0.2: 0.4})]
    summary += curve_rows("pgd_longer", {0.1: 0.3, 0.2: 0.1}) + curve_rows("pgd", {0.1: 0.4, 0.2: 0.2})
    summary += curve_rows("worst_case", {0.1: 0.2, 0.2: 0.0}, setting="all")
    robustness.accuracy_against_epsilon(frame("summary", summary), {"m": "M"}, "white_box")
    panel = curves[0][1].axes[0]
    assert set(panel.get_legend_handles_labels()[1]) == {"PGD", "Worst case", "other attacks"}
    faint = [line for line in panel.get_lines() if line.get_alpha() is not None]
    assert len(faint) == 19
    assert {line.get_label() for line in faint} == {"other attacks"}


@needs("attacks/pgd")
def test_panels_in_which_the_worst_case_lies_farthest_below_come_first(
    curves: list[tuple[str, Figure]],
) -> None:
    left = {"near": 0.35, "far": 0.0, "middle": 0.2}
    summary = []
    for model, value in left.items():
        summary += curve_rows("pgd", {0.1: 0.4, 0.2: 0.2}, model=model)
        summary += curve_rows("worst_case", {0.1: value, 0.2: value / 2}, setting="all", model=model)
    titles = {model: model.title() for model in left}
    robustness.accuracy_against_epsilon(frame("summary", summary), titles, "white_box")
    assert [panel.get_title() for panel in curves[0][1].axes] == ["Far", "Middle", "Near"]


def test_images_made_on_several_models_are_named_by_all_of_them(curves: list[tuple[str, Figure]]) -> None:
    summary = curve_rows("bim", {0.1: 0.5, 0.2: 0.4}, setting="black_box", source="a+b")
    titles = {"m": "M", "a": "One", "b": "Two"}
    assert figures_draw.draw(
        figures_draw.FigureInputs(summary=frame("summary", summary), titles=titles, class_names={})
    ) == {"accuracy_against_epsilon_black_box_a+b": "accuracy_against_epsilon_black_box_a+b"}
    assert curves[0][0].endswith("from One + Two")
