"""Figures of training: curves of every epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

from reproof import wording
from reproof.figures.kinds import trains_plainly
from reproof.figures.style import (
    DASHES,
    SERIES,
    across,
    legend,
    panel_size,
    render,
    whole_numbers,
    wrapped,
)
from reproof.job_tables import HISTORY

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
                whole_numbers(panel)
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
    dataset: str, curves: Mapping[str, pd.DataFrame], identities: Mapping[str, Identity]
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
                whole_numbers(panel)
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


def _histories(files: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """Return each history that has an epoch."""
    tables = {model: HISTORY.read(path).astype({"epoch": "float64"}) for model, path in files.items()}
    return {model: table for model, table in tables.items() if len(table)}
