"""Figures of loss surfaces: how a network's loss lies around test images (as Seiler, Fig. 5 and 6)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, MultipleLocator, NullLocator

from reproof.figures.style import INK, SERIES, across, panel_size, panels, render, unreadable, wrapped
from reproof.job_tables import SURFACE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

FLOOR = 0.01
"""Losses below it are drawn as if they were this: on a logarithmic scale they would take all the room."""
_LINE_POINTS = 4000
"""So many points of thin lines a figure may hold, so that its file stays small."""


class Surroundings(NamedTuple):
    """What figures must know of the losses that they draw, beside the numbers."""

    beside: str
    """Title of the model whose loss gives direction 1."""
    own: bool
    """Whether that model is among those that are drawn."""
    clipped: bool
    """Whether moved pixels were put back into [0, 1]."""


class Surface(NamedTuple):
    """A model's loss on a grid around one test image."""

    image: int
    epsilons_1: NDArray[np.float64]
    """(P,), ascending, in [-1, 1]."""
    epsilons_2: NDArray[np.float64]
    """(Q,), ascending, in [-1, 1]."""
    losses: NDArray[np.float64]
    """(Q, P): a row per ε2."""
    correct: NDArray[np.bool_]
    """(Q, P): whether the image is classified rightly there."""


class Lines(NamedTuple):
    """A model's loss as each of N test images moves along its own gradient's sign."""

    epsilons: NDArray[np.float64]
    """(E,), ascending, in [0, 1]."""
    losses: NDArray[np.float64]
    """(N, E)."""
    correct: NDArray[np.bool_]
    """(N, E)."""


def read(path: Path) -> tuple[Surface, Lines]:
    """Return what a surface job wrote; ArtifactError, with the file's name, where it is not whole."""
    table = SURFACE.read(path)
    try:
        return _surface(table[table["kind"] == "surface"]), _lines(table[table["kind"] == "line"])
    except ValueError as error:
        raise unreadable(path, error) from error


def _surface(table: pd.DataFrame) -> Surface:
    (image,) = table["image"].unique()
    losses, correct = (_pivoted(table, "epsilon_2", "epsilon_1", name) for name in ("loss", "correct"))
    along, up = losses.columns.to_numpy(dtype=float), losses.index.to_numpy(dtype=float)
    return Surface(int(image), along, up, losses.to_numpy(), correct.to_numpy(dtype=bool))


def _lines(table: pd.DataFrame) -> Lines:
    if table.empty:
        raise ValueError("it holds no lines")
    losses, correct = (_pivoted(table, "image", "epsilon_2", name) for name in ("loss", "correct"))
    epsilons = losses.columns.to_numpy(dtype=float)
    return Lines(epsilons, losses.to_numpy(), correct.to_numpy(dtype=bool))


def _pivoted(table: pd.DataFrame, index: str, columns: str, values: str) -> pd.DataFrame:
    """Return values as a whole grid, both ways ascending; ValueError where a place is missing, twice, or no number."""
    grid = table.pivot(index=index, columns=columns, values=values)
    if grid.isna().any(axis=None):
        raise ValueError(f"its grid of {index} and {columns} has gaps")
    return grid


def draw(
    files: Mapping[str, Path], titles: Mapping[str, str], surroundings: Surroundings | None
) -> dict[str, str]:
    """Return the surfaces of all models in one figure and their lines in another; none where there are no files.

    files: model -> CSV of its surface job, in the order of the panels.
    """
    if not files or surroundings is None:
        return {}
    read_in = {name: read(path) for name, path in files.items()}
    surfaces = {titles[name]: surface for name, (surface, _) in read_in.items()}
    lines = {titles[name]: found for name, (_, found) in read_in.items()}
    return {
        "loss_surfaces": decision_surfaces(surfaces, surroundings),
        "loss_against_epsilon": loss_against_epsilon(lines, surroundings),
    }


def decision_surfaces(surfaces: Mapping[str, Surface], surroundings: Surroundings) -> str:
    """Draw a heat map of the loss per model, all in the same colours, with the decision boundary (Seiler, Fig. 5).

    surfaces: panel's title -> its surface, at least one.
    """
    top = max(10 * FLOOR, *(float(surface.losses.max()) for surface in surfaces.values()))
    images = {surface.image for surface in surfaces.values()}

    def paint(figure: Figure) -> None:
        axes = panels(figure, len(surfaces), sharey=True)
        for panel, (title, surface) in zip(axes, surfaces.items(), strict=True):
            x, y = 255 * surface.epsilons_1, 255 * surface.epsilons_2
            shown = panel.imshow(
                surface.losses.clip(FLOOR),
                norm=LogNorm(FLOOR, top),
                cmap="inferno",
                origin="lower",
                extent=(*_edges(x), *_edges(y)),
                aspect="auto",
                interpolation="none",
            )
            panel.set_xlim(*_edges(x))
            panel.set_ylim(*_edges(y))
            if surface.correct.any() and not surface.correct.all():
                for colour, width in (("#000000", 2.2), ("#ffffff", 1.0)):
                    panel.contour(x, y, surface.correct, levels=[0.5], colors=colour, linewidths=width)
            if _edges(x)[0] <= 0 <= _edges(x)[1] and _edges(y)[0] <= 0 <= _edges(y)[1]:
                _mark_image(panel)
            panel.grid(visible=False)
            panel.set_title(wrapped(title) + _everywhere(surface))
            panel.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 4, 5, 8, 10]))
            panel.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 4, 5, 8, 10]))
            panel.set_xlabel("ε₁, levels of 255")
        for panel in axes[:: across(len(surfaces))]:
            panel.set_ylabel("ε₂, levels of 255")
        _paint_bar(figure, shown, axes, top)

    numbers = " and ".join(str(image) for image in sorted(images))
    return render(
        "loss_surfaces",
        "Loss around one test image",
        f"Cross-entropy at x + ε₁ sign(∇L₁) + ε₂ sign(∇L₂) for test image {numbers}: L₁ is the loss of "
        f"{surroundings.beside}, L₂ the model's own{_clipped(surroundings)}. One scale of colours for all panels, "
        f"logarithmic, from {FLOOR:g} (and below) to {top:.3g}, the highest loss. The dot is the image itself; the "
        "white line is where the decision turns between right and wrong."
        + (
            f" Of {surroundings.beside} both directions are the same, so its surface depends on ε₁ + ε₂ alone."
            if surroundings.own
            else ""
        ),
        paint,
        _with_bar(panel_size(len(surfaces))),
    )


def _mark_image(panel: Axes) -> None:
    style: Any = {"marker": "o", "markersize": 5, "color": "#ffffff", "markeredgecolor": "#000000"}
    panel.plot([0], [0], linestyle="none", **style)


def _paint_bar(figure: Figure, shown: AxesImage, axes: Sequence[Axes], top: float) -> None:
    bar = figure.colorbar(shown, ax=axes, shrink=0.9, pad=0.02)
    assert bar.solids is not None
    bar.solids.set_rasterized(True)
    bar.outline.set_visible(False)
    bar.set_label("loss")
    bar.ax.yaxis.set_major_locator(FixedLocator(_decades(top)))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    bar.ax.yaxis.set_minor_locator(NullLocator())


def _everywhere(surface: Surface) -> str:
    """Return a second line for the title of a panel without a boundary."""
    if surface.correct.all():
        return "\n(right everywhere)"
    return "" if surface.correct.any() else "\n(wrong everywhere)"


def _with_bar(size: tuple[float, float]) -> tuple[float, float]:
    return size[0] + 0.8, size[1]


def _edges(centres: NDArray[np.float64]) -> tuple[float, float]:
    """Return where a row of cells begins and ends whose centres are evenly spaced."""
    half = float(centres[-1] - centres[0]) / (len(centres) - 1) / 2
    return float(centres[0]) - half, float(centres[-1]) + half


def _decades(top: float) -> list[float]:
    return [10.0**power for power in range(round(math.log10(FLOOR)), math.floor(math.log10(top)) + 1)]


def _clipped(surroundings: Surroundings) -> str:
    return ", pixels put back into [0, 1]" if surroundings.clipped else ", pixels left outside [0, 1] too"


def loss_against_epsilon(lines: Mapping[str, Lines], surroundings: Surroundings) -> str:
    """Draw the loss of many images against ε, and below it the share that is misclassified (Seiler, Fig. 6).

    lines: panel's title -> its lines, at least one. As many images are drawn as keep the file small; the median
    and the share are those of all.
    """
    count = len(lines)
    most = max(len(found.losses) for found in lines.values())
    per_panel = _LINE_POINTS // (count * max(len(found.epsilons) for found in lines.values()))
    drawn = min(most, max(3, per_panel))
    wide = across(count)
    rows = math.ceil(count / wide)
    top = max(10 * FLOOR, *(float(found.losses.max()) for found in lines.values()))

    def paint(figure: Figure) -> None:
        grid = figure.subplots(2 * rows, wide, squeeze=False, sharex=True, height_ratios=[3, 1.25] * rows)
        for place in range(count, rows * wide):
            for spare in (0, 1):
                grid[2 * (place // wide) + spare, place % wide].remove()
        for place, (title, found) in enumerate(lines.items()):
            row, column = 2 * (place // wide), place % wide
            above, below = grid[row, column], grid[row + 1, column]
            _paint_losses(above, found, drawn, top)
            _paint_share(below, found)
            above.set_title(wrapped(title))
            above.tick_params(labelbottom=False)
            below.tick_params(labelbottom=True)
            below.set_xlabel("ε, levels of 255")
            if column == 0:
                above.set_ylabel("loss")
                below.set_ylabel("wrong, %")
            else:
                above.tick_params(labelleft=False)
                below.tick_params(labelleft=False)

    shown = f"the first {drawn} of {most}" if drawn < most else f"{most}"
    width, height = panel_size(count, height=2.75)
    return render(
        "loss_against_epsilon",
        "Loss against ε, image by image",
        f"Cross-entropy at x + ε sign(∇L), L the model's own loss{_clipped(surroundings)}: a thin line for each of "
        f"{shown} test images, the thick line their median over {most}; losses below {FLOOR:g} are drawn there. "
        "Below: the share of the images that is misclassified; the dot marks the ε at which it is largest. A larger "
        "ε need not fool more.",
        paint,
        (width, height),
    )


def _paint_losses(panel: Axes, found: Lines, drawn: int, top: float) -> None:
    x, losses = 255 * found.epsilons, found.losses.clip(FLOOR)
    for image in losses[:drawn]:
        panel.plot(x, image, color=SERIES[0], linewidth=0.5, alpha=0.45)
    panel.plot(x, np.median(losses, axis=0), color=INK, linewidth=2.2, zorder=3)
    panel.set_yscale("log")
    panel.set_ylim(FLOOR * 0.8, top * 1.3)
    panel.set_xlim(left=0)
    panel.yaxis.set_major_locator(FixedLocator(_decades(top)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_locator(NullLocator())


def _paint_share(panel: Axes, found: Lines) -> None:
    x, wrong = 255 * found.epsilons, 100 * (1 - found.correct.mean(axis=0))
    worst = int(wrong.argmax())
    panel.plot(x, wrong, color=SERIES[1])
    panel.plot([x[worst]], [wrong[worst]], color=SERIES[1], marker="o", linestyle="none")
    panel.set_ylim(-6, 106)
    panel.yaxis.set_major_locator(MultipleLocator(50))
    panel.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 4, 8, 10]))
