"""Figures of what training leaves: curves of every epoch, and the tables that a method writes of itself."""

from __future__ import annotations

import csv
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, MultipleLocator, NullLocator

from reproof import wording
from reproof.figures.kinds import trains_plainly
from reproof.figures.style import (
    DASHES,
    INK,
    RAMP,
    SERIES,
    across,
    label_points,
    legend,
    panel_size,
    render,
    unreadable,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_CLASSES_SHOWN = 10
_LAYERS = ("head", "tail")
_HISTORY = ("epoch", "loss", "train_accuracy", "validation_accuracy")
_ROUNDS = (
    "round",
    "accuracy",
    *(f"{layer}_{measure}" for layer in _LAYERS for measure in ("icc", "icd_min")),
    "passed",
    "pareto",
    "pgd_accuracy",
    "chosen",
)


class Identity(NamedTuple):
    """What tells a model from others, by the names of claims."""

    dataset: str
    architecture: str
    defense: str
    training: str
    """The adversarial examples that it trains on: clean, fgsm, pgd."""


def training_curves(histories: Mapping[str, Path], titles: Mapping[str, str]) -> str | None:
    """Draw loss and accuracies against epochs, two panels per model. None where there is no history."""
    curves = _histories(histories)
    if not curves:
        return None
    models = list(curves)
    wide = across(len(models))
    blocks = math.ceil(len(models) / wide)

    def paint(figure: Figure) -> None:
        grid = figure.subplots(2 * blocks, wide, squeeze=False, sharex=False)
        used: list[Axes] = []
        for position in range(blocks * wide):
            block, column = divmod(position, wide)
            accuracy, loss = grid[2 * block][column], grid[2 * block + 1][column]
            if position >= len(models):
                accuracy.remove()
                loss.remove()
                continue
            history = curves[models[position]]
            for key, colour, dash, label in (
                ("train_accuracy", SERIES[1], DASHES[1], "accuracy on what was trained on"),
                ("validation_accuracy", SERIES[0], DASHES[0], "accuracy on validation images"),
            ):
                accuracy.plot(history["epoch"], 100 * history[key], color=colour, linestyle=dash, label=label)
            loss.plot(history["epoch"], history["loss"], color=SERIES[2], linestyle=DASHES[3], label="loss")
            accuracy.set_ylim(-3, 103)
            accuracy.yaxis.set_major_locator(MultipleLocator(50))
            accuracy.set_title(wrapped(titles[models[position]]))
            accuracy.tick_params(labelbottom=False)
            loss.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
            for panel in (accuracy, loss):
                _count(panel)
            if position + wide >= len(models):
                loss.set_xlabel("epoch")
            if column == 0:
                accuracy.set_ylabel("accuracy, %")
                loss.set_ylabel("loss")
            used += [accuracy, loss]
        legend(figure, used)

    return render(
        "training_curves",
        "Training curves",
        "Above: accuracy on what was trained on (adversarial images too) and on validation images. Below: "
        "the method's own loss, whose scale differs between methods.",
        paint,
        panel_size(len(models), 3.0 if blocks < 4 else 2.4),
    )


def networks_compared(
    histories: Mapping[str, Path], identities: Mapping[str, Identity]
) -> dict[str, str | None]:
    """Draw loss, error and accuracy of several networks with and without a method (as Hassanin Figs. 1, 3, 5, 6).

    A figure per data set, a column per network. `comparable` says what is drawn.
    """
    figures: dict[str, str | None] = {}
    for dataset in dict.fromkeys(identity.dataset for identity in identities.values()):
        chosen = comparable({m: i for m, i in identities.items() if m in histories and i.dataset == dataset})
        if chosen:
            curves = _histories({model: histories[model] for model in chosen})
            figures[f"training_by_network_{dataset}"] = _networks(dataset, curves, chosen)
    return figures


def comparable(identities: Mapping[str, Identity]) -> dict[str, Identity]:
    """Return the models of one data set that show what a method does to networks of several kinds.

    Networks that occur without a method (undefended, or with adversarial training alone) and with one, and of
    their methods those that another of these networks has too, with what is combined from them.
    """
    chosen = dict(identities)
    while True:
        networks: dict[str, set[str]] = {}
        defenses: dict[str, set[str]] = {}
        for identity in chosen.values():
            networks.setdefault(identity.architecture, set()).add(identity.defense)
            defenses.setdefault(identity.defense, set()).add(identity.architecture)
        shared = {name for name, found in defenses.items() if len(found) > 1}
        combined = {name for name in defenses if "+" in name and set(name.split("+")) & shared}
        shown = shared | combined | {part for name in combined for part in name.split("+")}
        kept = {
            model: identity
            for model, identity in chosen.items()
            if identity.defense in shown
            and any(trains_plainly(name) for name in networks[identity.architecture] & shown)
            and len(networks[identity.architecture] & shown) > 1
        }
        if kept.keys() == chosen.keys():
            return kept
        chosen = kept


def _networks(
    dataset: str, curves: Mapping[str, Mapping[str, NDArray[Any]]], identities: Mapping[str, Identity]
) -> str | None:
    models = [model for model in identities if model in curves]
    networks = sorted({identities[model].architecture for model in models}, key=_by_depth)
    defenses = list(dict.fromkeys(identities[model].defense for model in models))
    trainings = sorted({identities[model].training for model in models})
    if len(networks) < 2:
        return None

    def words(identity: Identity) -> str:
        defense = wording.defense(identity.defense)
        return f"{defense}, on {wording.training(identity.training)}" if len(trainings) > 1 else defense

    def paint(figure: Figure) -> None:
        headings = ("loss", "error in training, %", "validation accuracy, %")
        grid = figure.subplots(3, len(networks), squeeze=False, sharey="row")
        for column, network in zip(grid.T, networks, strict=True):
            for model in (model for model in models if identities[model].architecture == network):
                identity, history = identities[model], curves[model]
                quantities = (
                    history["loss"],
                    100 - 100 * history["train_accuracy"],
                    100 * history["validation_accuracy"],
                )
                for panel, quantity in zip(column, quantities, strict=True):
                    panel.plot(
                        history["epoch"],
                        quantity,
                        color=SERIES[defenses.index(identity.defense) % len(SERIES)],
                        linestyle=DASHES[trainings.index(identity.training) % len(DASHES)],
                        label=words(identity),
                    )
            column[0].set_title(wrapped(wording.architecture(network)))
            column[0].yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            for panel in column[1:]:
                panel.set_ylim(-3, 103)
                panel.yaxis.set_major_locator(MultipleLocator(25))
            for panel in column:
                _count(panel)
        for panel, heading in zip(grid[:, 0], headings, strict=True):
            panel.set_ylabel(heading)
        for panel in grid[-1]:
            panel.set_xlabel("epoch")
        legend(figure, list(grid.flat))

    return render(
        f"training_by_network_{dataset}",
        f"Networks with and without a defense, {wording.dataset(dataset)}",
        "Each column is a network. Above: the method's own loss, whose scale differs between methods. Middle: "
        "error on what was trained on, adversarial images too. Below: accuracy on validation images.",
        paint,
        (0.9 + 2.25 * max(len(networks), 2), 5.8),
    )


def _by_depth(architecture: str) -> tuple[str, int]:
    name = architecture.rstrip("0123456789")
    return name, int(architecture.removeprefix(name) or 0)


def rounds(model: str, title: str, path: Path) -> str | None:
    """Draw what each round of Adaptive-Gravity reached and how one was chosen (as Mirzaeian's gravity, Fig. 4).

    path: rounds.csv. None where it holds no round.
    """
    table = _table(path, _ROUNDS)
    number = table["round"]
    if not len(number):
        return None
    order = np.argsort(number, kind="stable")
    table = {name: values[order] for name, values in table.items()}
    number = table["round"]
    steps = _ramp_steps(len(number))
    passed, front, chosen = (table[key] == 1 for key in ("passed", "pareto", "chosen"))
    attacked = ~np.isnan(table["pgd_accuracy"])
    spread, distance = (_normalised(table, measure) for measure in ("icc", "icd_min"))

    def paint(figure: Figure) -> None:
        below = "PPPGGG" if attacked.any() else ".PPPP."
        letters = {"icd": "D", "icc": "C", "accuracy": "A", "plane": "P", "pgd": "G"}
        mosaic = figure.subplot_mosaic(f"DDCCAA;{below}", height_ratios=(1, 1.35))
        axes = {name: mosaic[letter] for name, letter in letters.items() if letter in mosaic}
        for name, column, heading in (
            ("icd", "icd_min", "least distance of centroids, ICD"),
            ("icc", "icc", "spread around centroids, ICC"),
        ):
            for position, layer in enumerate(_LAYERS):
                axes[name].plot(
                    number,
                    table[f"{layer}_{column}"],
                    color=SERIES[position],
                    linestyle=DASHES[position],
                    label=f"{layer} layer",
                )
            _scale(axes[name], np.concatenate([table[f"{layer}_{column}"] for layer in _LAYERS]))
            axes[name].set_title(heading)
        axes["accuracy"].plot(number, 100 * table["accuracy"], color=SERIES[2], label="validation accuracy")
        if passed.any():
            axes["accuracy"].axhline(
                100 * table["accuracy"][passed].min(),
                color=SERIES[8],
                linestyle=DASHES[2],
                label="lowest accuracy that passed",
            )
        axes["accuracy"].set_title("validation accuracy, %")
        axes["accuracy"].yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        for name in ("icd", "icc", "accuracy"):
            for place in number[chosen]:
                axes[name].axvline(place, color=INK, linewidth=0.8, linestyle=DASHES[1])
            _count(axes[name])
            axes[name].set_xlabel("round")
        plane = axes["plane"]
        along = np.flatnonzero(front)[np.argsort(spread[front], kind="stable")]
        plane.plot(spread[along], distance[along], color=INK, linewidth=0.8, label="Pareto front")
        _mark_rounds(plane, spread, distance, number, steps, passed)
        _ring(plane, spread[chosen], distance[chosen])
        plane.set_xlabel("normalised ICC (less is denser)")
        plane.set_ylabel("normalised ICD (more is wider)")
        plane.grid(visible=True, axis="x")
        shown = [axes[name] for name in ("icd", "accuracy", "plane")]
        if attacked.any():
            reached = 100 * table["pgd_accuracy"]
            _mark_rounds(axes["pgd"], number, reached, number, steps, passed, attacked)
            _ring(axes["pgd"], number[chosen & attacked], reached[chosen & attacked])
            axes["pgd"].set_ylim(0, 1.15 * float(np.nanmax(reached)) or 1.0)
            axes["pgd"].set_xlim(axes["accuracy"].get_xlim())
            _count(axes["pgd"])
            axes["pgd"].set_xlabel("round")
            axes["pgd"].set_ylabel("accuracy under PGD, %")
        legend(figure, shown)
        named = np.flatnonzero(front | chosen)
        label_points(
            plane,
            [(float(spread[i]), float(distance[i])) for i in named],
            [f"{number[i]:g}" for i in named],
            list(zip(spread.tolist(), distance.tolist(), strict=True)),
        )

    picked = " and ".join(f"{place:g}" for place in number[chosen])
    return render(
        f"rounds_{model}",
        f"Rounds of {title}",
        (f"Round {picked} was chosen: the dashed upright line, and the ring. " if picked else "")
        + "ICD is the least distance between two classes' centroids, ICC the sum of the classes' spreads. In the "
        "plane both are products of head and tail, divided by the products of their largest values; colours run "
        "from the first round to the last, rounds of too little accuracy are hollow, and the numbers are the rounds "
        "of the Pareto front." + (" Lower right: the rounds that PGD attacked." if attacked.any() else ""),
        paint,
        (9.6, 6.2),
    )


def _normalised(table: Mapping[str, NDArray[Any]], measure: str) -> NDArray[Any]:
    """Return head times tail of each round, divided by the largest head times the largest tail (Sec. III-A)."""
    head, tail = (table[f"{layer}_{measure}"] for layer in _LAYERS)
    largest = np.nanmax(head) * np.nanmax(tail) if not (np.isnan(head).all() or np.isnan(tail).all()) else 1.0
    scaled: NDArray[Any] = head * tail / (largest or 1.0)
    return scaled


def _ramp_steps(count: int) -> NDArray[Any]:
    """Return the step of the ramp for each of so many in order: the first step for the first, the last for the last."""
    steps: NDArray[Any] = np.rint(np.linspace(0, len(RAMP) - 1, count)).astype(int)
    return steps


def _mark_rounds(
    panel: Axes,
    x: NDArray[Any],
    y: NDArray[Any],
    number: NDArray[Any],
    steps: NDArray[Any],
    filled: NDArray[Any],
    shown: NDArray[Any] | None = None,
) -> None:
    """Mark each round in its colour, hollow where it did not pass; first, middle and last enter the legend."""
    named = {0, (len(number) - 1) // 2, len(number) - 1}
    for position, step in enumerate(steps):
        if shown is None or shown[position]:
            panel.plot(
                x[position],
                y[position],
                color=RAMP[step],
                marker="o",
                linestyle="none",
                fillstyle="full" if filled[position] else "none",
                label=f"round {number[position]:g}" if position in named else None,
            )


def _ring(panel: Axes, x: NDArray[Any], y: NDArray[Any]) -> None:
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
    table = _table(path, ("round", "class", "x", "y"), ("layer",))
    layers = [layer for layer in _LAYERS if (table["layer"] == layer).any()]
    if not layers:
        return None
    numbers = np.unique(table["round"])
    steps = _ramp_steps(max(len(numbers) - 1, 1))

    def paint(figure: Figure) -> None:
        axes = figure.subplots(1, len(layers), squeeze=False)[0]
        ends = [
            _paint_paths(panel, layer, table, numbers, steps)
            for panel, layer in zip(axes, layers, strict=True)
        ]
        legend(figure, list(axes))
        for panel, layer, found in zip(axes, layers, ends, strict=True):
            label_points(
                panel,
                [place for _, place in found],
                [class_names[label] if label < len(class_names) else str(label) for label, _ in found],
                list(zip(*(table[axis][table["layer"] == layer].tolist() for axis in "xy"), strict=True)),
            )

    return render(
        f"centroid_paths_{model}",
        f"Centroids of {title}",
        f"Each line is the way of a class's centroid from round {numbers[0]:g} (square) to round {numbers[-1]:g} "
        "(disc), on two principal components; colours run from the first round to the last.",
        paint,
        (0.6 + 3.9 * len(layers), 4.2),
    )


def _paint_paths(
    panel: Axes,
    layer: str,
    table: Mapping[str, NDArray[Any]],
    numbers: NDArray[Any],
    steps: NDArray[Any],
) -> list[tuple[int, tuple[float, float]]]:
    """Draw a layer's paths and return where each class's ends; the k-th row of a class in a round is its k-th centroid.

    One line for each colour holds all classes.
    """
    paths: dict[tuple[int, int], list[tuple[int, tuple[float, float]]]] = {}
    here = np.flatnonzero((table["layer"] == layer) & (table["class"] < _CLASSES_SHOWN))
    met: Counter[tuple[int, int]] = Counter()
    for index in here[np.argsort(table["round"][here], kind="stable")]:
        label, at = int(table["class"][index]), int(np.searchsorted(numbers, table["round"][index]))
        paths.setdefault((label, met[label, at]), []).append(
            (at, (float(table["x"][index]), float(table["y"][index])))
        )
        met[label, at] += 1
    pieces: dict[int, list[tuple[float, float]]] = {}
    for path in paths.values():
        for (begun, before), (_, after) in itertools.pairwise(path):
            piece = pieces.setdefault(int(steps[begun]), [])
            piece += [after] if piece and piece[-1] == before else [(math.nan, math.nan), before, after]
    for step in sorted(pieces):
        x, y = zip(*pieces[step], strict=True)
        panel.plot(x, y, color=RAMP[step], linewidth=1.2)
    for places, marker, step, words in (
        ([path[0][1] for path in paths.values()], "s", steps[0], f"round {numbers[0]:g}"),
        ([path[-1][1] for path in paths.values()], "o", steps[-1], f"round {numbers[-1]:g}"),
    ):
        x, y = zip(*places, strict=True)
        panel.plot(x, y, color=RAMP[step], marker=marker, linestyle="none", label=words)
    panel.set_title(f"{layer} layer")
    panel.set_aspect("equal", adjustable="datalim")
    panel.grid(visible=False)
    panel.margins(0.1)
    panel.set_xlabel("first component")
    if layer == _LAYERS[0]:
        panel.set_ylabel("second component")
    return [(label, path[-1][1]) for (label, _), path in paths.items()]


def _scale(panel: Axes, values: NDArray[Any]) -> None:
    """Give a panel a logarithmic scale where its values lie too far apart for a linear one."""
    positive = values[values > 0]
    if len(positive) and positive.max() > 20 * positive.min():
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_locator(NullLocator())
    else:
        panel.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


def _count(panel: Axes) -> None:
    """Give a panel whole numbers along its horizontal axis."""
    panel.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))


def _histories(files: Mapping[str, Path]) -> dict[str, dict[str, NDArray[Any]]]:
    """Return the columns of each history that has an epoch."""
    tables = {model: _table(path, _HISTORY) for model, path in files.items()}
    return {model: table for model, table in tables.items() if len(table["epoch"])}


def _table(path: Path, numbers: Sequence[str], words: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """Return columns of a CSV file, empty cells of numbers as NaN; ArtifactError where it lacks one."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = {*numbers, *words} - {*(reader.fieldnames or ())}
            if missing:
                raise ValueError(f"it has no column {', '.join(sorted(missing))}")
            rows = list(reader)
            return {name: np.array([float(row[name] or "nan") for row in rows]) for name in numbers} | {
                name: np.array([row[name] for row in rows], dtype=str) for name in words
            }
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise unreadable(path, error) from error
