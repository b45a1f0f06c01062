"""Figures of ensembles: how far their members' latent spaces lie apart, beside how often they are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reproof import artifacts, wording
from reproof.figures.style import DASHES, MARKERS, SERIES, legend, render, unreadable

Row = Mapping[str, str]


class Ensemble(NamedTuple):
    """An ensemble of a study, as far as figures tell it from others."""

    title: str
    kind: str
    """Its defense's name in claims, without the kind of vote."""
    members: tuple[str, ...]
    swept: str
    """The setting of its members that a paper sweeps, such as ζ; empty where there is none."""
    at: float | None
    """That setting's value."""


def latent_separation(
    ensembles: Mapping[str, Ensemble], files: Mapping[str, Path], summary: Sequence[Row]
) -> str | None:
    """Draw latent space separation (Mirzaeian, DKD, Eq. 6) and clean accuracy of ensembles (as its Fig. 5).

    files: model -> separation.csv of one seed. Where ensembles of one kind differ in the setting that the paper
    sweeps, they make a curve over it, and the others lines across; otherwise each is a point. Of ensembles with
    the same members the first is drawn. None where there is no ensemble.
    """
    accuracy = {
        row["model"]: tuple(100 * (wording.number(row[key]) or 0.0) for key in ("value", "low", "high"))
        for row in summary
        if row["attack"] == "none" and row["metric"] == "accuracy"
    }
    shown: dict[tuple[str, ...], str] = {}
    for name in files:
        if name in accuracy:
            shown.setdefault(ensembles[name].members, name)
    if not shown:
        return None
    margins = {name: _margin(files[name]) for name in shown.values()}
    curves: dict[str, list[str]] = {}
    for name in shown.values():
        curves.setdefault(ensembles[name].kind, []).append(name)
    swept = next(
        (
            ensembles[names[0]].swept
            for names in curves.values()
            if len({ensembles[name].at for name in names}) > 1
        ),
        "",
    )

    def paint(figure: Figure) -> None:
        axes = figure.subplots(1, 2)
        for position, (kind, names) in enumerate(curves.items()):
            style = {
                "color": SERIES[position],
                "marker": MARKERS[position],
                "linestyle": DASHES[position],
                "label": wording.defense(kind),
            }
            alone = {ensembles[name].at for name in names} == {None}
            if swept and alone:
                axes[0].axhline(margins[names[0]], **{**style, "marker": None})
                axes[1].axhline(accuracy[names[0]][0], **{**style, "marker": None})
                continue
            if swept:
                names = sorted(names, key=lambda name: ensembles[name].at or 0.0)
                places = [ensembles[name].at or 0.0 for name in names]
            else:
                style["linestyle"] = "none"
                places = [float(list(shown.values()).index(name)) for name in names]
            axes[0].plot(places, [margins[name] for name in names], **style)
            values = [accuracy[name] for name in names]
            reach = [[v[0] - v[1] for v in values], [v[2] - v[0] for v in values]]
            axes[1].errorbar(places, [v[0] for v in values], yerr=reach, elinewidth=0.7, **style)
        axes[0].set_ylim(bottom=0)
        for panel, heading in zip(axes, ("latent space separation, LSS", "clean accuracy, %"), strict=True):
            panel.set_title(heading)
            panel.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            if swept:
                panel.set_xlabel(wording.SYMBOLS.get(swept, swept))
            else:
                panel.set_xticks(range(len(shown)), [""] * len(shown))
                panel.set_xlim(-0.6, len(shown) - 0.4)
        legend(figure, axes)

    return render(
        "separation",
        "Separation of the members’ latent spaces",
        "Left: the mean over members of the margin 2 / ‖W‖ of a hard-margin linear SVM between a member's latent "
        "vectors of the test images and all other members' (Eq. 6 of the DKD paper), 0 where they cannot be separated; "
        "it grows with the features' scale. Right: the vote's clean accuracy with its 95 % interval.",
        paint,
        (7.2, 3.1),
    )


def _margin(path: Path) -> float:
    rows = {(row["first"], row["second"]): row["margin"] for row in artifacts.read_csv(path)}
    try:
        return float(rows["mean", ""])
    except (KeyError, ValueError) as error:
        raise unreadable(path, error) from error
