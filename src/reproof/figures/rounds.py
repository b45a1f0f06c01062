"""Figures of Adaptive-Gravity's rounds: what each reached, and where the classes' centroids moved."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from reproof.csv_tables import CENTROIDS, ROUNDS
from reproof.figures.style import DASHES, INK, RAMP, SERIES, label_points, legend, render, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_CLASSES_SHOWN = 10
_LAYERS = ("head", "tail")


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with whole numbers as floats, as arrays and Matplotlib take them."""
    return table.astype(dict.fromkeys(table.select_dtypes("Int64").columns, "float64"))


def rounds(model: str, title: str, path: Path) -> str | None:
    """Draw what each round of Adaptive-Gravity reached and how one was chosen (as Mirzaeian's gravity, Fig. 4).

    path: rounds.csv. None where it holds no round.
    """
    table = _numbers(ROUNDS.read(path)).sort_values("round", kind="stable", ignore_index=True)
    if table.empty:
        return None
    table = table.assign(
        spread=_normalised(table, "icc"),
        distance=_normalised(table, "icd_min"),
        colour=[RAMP[step] for step in _ramp_steps(len(table))],
        **{name: table[name] == 1 for name in ("passed", "pareto", "chosen")},
    )
    attacked = bool(table["pgd_accuracy"].notna().any())
    chosen = table[table["chosen"]]

    def paint(figure: Figure) -> None:
        below = "PPPGGG" if attacked else ".PPPP."
        letters = {"icd": "D", "icc": "C", "accuracy": "A", "plane": "P", "pgd": "G"}
        mosaic = figure.subplot_mosaic(f"DDCCAA;{below}", height_ratios=(1, 1.35))
        axes = {name: mosaic[letter] for name, letter in letters.items() if letter in mosaic}
        _paint_layers(axes["icd"], table, "icd_min", "least distance of centroids, ICD")
        _paint_layers(axes["icc"], table, "icc", "spread around centroids, ICC")
        _paint_accuracy(axes["accuracy"], table)
        for name in ("icd", "icc", "accuracy"):
            for place in chosen["round"]:
                axes[name].axvline(place, color=INK, linewidth=0.8, linestyle=DASHES[1])
            whole_numbers(axes[name])
            axes[name].set_xlabel("round")
        _paint_plane(axes["plane"], table)
        if attacked:
            _paint_attacked(axes["pgd"], table)
            axes["pgd"].set_xlim(axes["accuracy"].get_xlim())
        legend(figure, [axes[name] for name in ("icd", "accuracy", "plane")])
        places = list(zip(table["spread"], table["distance"], strict=True))
        named = table.index[table["pareto"] | table["chosen"]]
        label_points(
            axes["plane"],
            [places[i] for i in named],
            [f"{table['round'][i]:g}" for i in named],
            places,
        )

    picked = " and ".join(f"{place:g}" for place in chosen["round"])
    return render(
        f"rounds_{model}",
        f"Rounds of {title}",
        (f"Round {picked} was chosen: the dashed upright line, and the ring. " if picked else "")
        + "ICD is the least distance between two classes' centroids, ICC the sum of the classes' spreads. In the "
        "plane both are products of head and tail, divided by the products of their largest values; colours run "
        "from the first round to the last, rounds of too little accuracy are hollow, and the numbers are the rounds "
        "of the Pareto front." + (" Lower right: the rounds that PGD attacked." if attacked else ""),
        paint,
        (9.6, 6.2),
    )


def _normalised(table: pd.DataFrame, measure: str) -> pd.Series[float]:
    """Return head times tail of each round, divided by the largest head times the largest tail (Sec. III-A)."""
    head, tail = (table[f"{layer}_{measure}"] for layer in _LAYERS)
    largest = head.max() * tail.max()
    return head * tail / (1.0 if math.isnan(largest) or largest == 0 else largest)


def _ramp_steps(count: int) -> NDArray[Any]:
    """Return the step of the ramp for each of so many in order: the first step for the first, the last for the last."""
    steps: NDArray[Any] = np.rint(np.linspace(0, len(RAMP) - 1, count)).astype(int)
    return steps


def _paint_layers(panel: Axes, table: pd.DataFrame, measure: str, heading: str) -> None:
    for position, layer in enumerate(_LAYERS):
        panel.plot(
            table["round"],
            table[f"{layer}_{measure}"],
            color=SERIES[position],
            linestyle=DASHES[position],
            label=f"{layer} layer",
        )
    values = table[[f"{layer}_{measure}" for layer in _LAYERS]].to_numpy()
    positive = values[values > 0]
    if len(positive) and positive.max() > 20 * positive.min():  # too far apart for a linear scale
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_locator(NullLocator())
    else:
        panel.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    panel.set_title(heading)


def _paint_accuracy(panel: Axes, table: pd.DataFrame) -> None:
    panel.plot(table["round"], 100 * table["accuracy"], color=SERIES[2], label="validation accuracy")
    if table["passed"].any():
        panel.axhline(
            100 * float(table["accuracy"][table["passed"]].min()),
            color=SERIES[8],
            linestyle=DASHES[2],
            label="lowest accuracy that passed",
        )
    panel.set_title("validation accuracy, %")
    panel.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


def _paint_plane(panel: Axes, table: pd.DataFrame) -> None:
    front = table[table["pareto"]].sort_values("spread", kind="stable")
    panel.plot(front["spread"], front["distance"], color=INK, linewidth=0.8, label="Pareto front")
    _mark_rounds(panel, table, table["spread"], table["distance"])
    chosen = table[table["chosen"]]
    _ring(panel, chosen["spread"], chosen["distance"])
    panel.set_xlabel("normalised ICC (less is denser)")
    panel.set_ylabel("normalised ICD (more is wider)")
    panel.grid(visible=True, axis="x")


def _paint_attacked(panel: Axes, table: pd.DataFrame) -> None:
    reached = 100 * table["pgd_accuracy"]
    attacked = reached.notna()
    _mark_rounds(panel, table, table["round"], reached.where(attacked))
    ringed = table["chosen"] & attacked
    _ring(panel, table["round"][ringed], reached[ringed])
    panel.set_ylim(0, 1.15 * float(reached.max()) or 1.0)
    whole_numbers(panel)
    panel.set_xlabel("round")
    panel.set_ylabel("accuracy under PGD, %")


def _mark_rounds(panel: Axes, table: pd.DataFrame, x: pd.Series[float], y: pd.Series[float]) -> None:
    """Mark each round in its colour, hollow where it did not pass; first, middle and last enter the legend."""
    named = {0, (len(table) - 1) // 2, len(table) - 1}
    for position in table.index[y.notna()]:
        panel.plot(
            x[position],
            y[position],
            color=table["colour"][position],
            marker="o",
            linestyle="none",
            fillstyle="full" if table["passed"][position] else "none",
            label=f"round {table['round'][position]:g}" if position in named else None,
        )


def _ring(panel: Axes, x: pd.Series[float], y: pd.Series[float]) -> None:
    panel.plot(
        x,
        y,
        color=INK,
        marker="o",
        markersize=10,
        markeredgewidth=1.3,
        fillstyle="none",
        linestyle="none",
        label="chosen round" if len(x) else None,
    )


def centroid_paths(model: str, title: str, path: Path, class_names: Sequence[str]) -> str | None:
    """Draw where the classes' centroids moved in head and tail (as Mirzaeian's gravity, Fig. 5).

    path: centroids.csv. The first ten classes. None where it holds no centroid.
    """
    table = _numbers(CENTROIDS.read(path))
    layers = [layer for layer in _LAYERS if (table["layer"] == layer).any()]
    if not layers:
        return None
    numbers = sorted(table["round"].unique())
    steps = _ramp_steps(max(len(numbers) - 1, 1))
    table = table.assign(at=table["round"].map({number: at for at, number in enumerate(numbers)}))
    table = table.sort_values("round", kind="stable")
    # The k-th row of a class in a round is its k-th centroid.
    table = table.assign(centroid=table.groupby(["layer", "class", "at"]).cumcount())

    def paint(figure: Figure) -> None:
        axes = figure.subplots(1, len(layers), squeeze=False)[0]
        ends = []
        for panel, layer in zip(axes, layers, strict=True):
            own = table[(table["layer"] == layer) & (table["class"] < _CLASSES_SHOWN)]
            ends.append(_paint_paths(panel, own, numbers, steps))
            panel.set_title(f"{layer} layer")
            if layer == _LAYERS[0]:
                panel.set_ylabel("second component")
        legend(figure, list(axes))
        for panel, layer, last in zip(axes, layers, ends, strict=True):
            here = table[table["layer"] == layer]
            labels = last["class"].astype(int)
            label_points(
                panel,
                list(_places(last)),
                [class_names[label] if label < len(class_names) else str(label) for label in labels],
                list(_places(here)),
            )

    return render(
        f"centroid_paths_{model}",
        f"Centroids of {title}",
        f"Each line is the way of a class's centroid from round {numbers[0]:g} (square) to round {numbers[-1]:g} "
        "(disc), on two principal components; colours run from the first round to the last.",
        paint,
        (0.6 + 3.9 * len(layers), 4.2),
    )


def _places(table: pd.DataFrame) -> Iterable[tuple[float, float]]:
    return zip(table["x"].tolist(), table["y"].tolist(), strict=True)


def _paint_paths(
    panel: Axes, table: pd.DataFrame, numbers: Sequence[float], steps: NDArray[Any]
) -> pd.DataFrame:
    """Draw a layer's paths and return the row at which each ends. One line for each colour holds all classes."""
    paths = table.groupby(["class", "centroid"], sort=False)
    pieces: dict[int, list[tuple[float, float]]] = {}
    for _, path in paths:
        places = list(_places(path))
        for begun, before, after in zip(path["at"], places, places[1:], strict=False):
            piece = pieces.setdefault(int(steps[begun]), [])
            piece += [after] if piece and piece[-1] == before else [(math.nan, math.nan), before, after]
    for step in sorted(pieces):
        x, y = zip(*pieces[step], strict=True)
        panel.plot(x, y, color=RAMP[step], linewidth=1.2)
    first, last = paths.head(1), paths.tail(1)
    # In the order in which the classes' paths begin.
    order = {key: place for place, key in enumerate(zip(first["class"], first["centroid"], strict=True))}
    ranks = [order[key] for key in zip(last["class"], last["centroid"], strict=True)]
    last = last.assign(rank=ranks).sort_values("rank")
    for ends, marker, step, number in (
        (first, "s", steps[0], numbers[0]),
        (last, "o", steps[-1], numbers[-1]),
    ):
        panel.plot(
            ends["x"],
            ends["y"],
            color=RAMP[step],
            marker=marker,
            linestyle="none",
            label=f"round {number:g}",
        )
    panel.set_aspect("equal", adjustable="datalim")
    panel.grid(visible=False)
    panel.margins(0.1)
    panel.set_xlabel("first component")
    return last
