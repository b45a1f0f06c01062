"""Figures of ensembles: how far their members' latent spaces lie apart, beside how often they are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reproof import wording
from reproof.figures.style import DASHES, MARKERS, SERIES, legend, render, unreadable
from reproof.job_tables import SEPARATION


class DrawnEnsemble(NamedTuple):
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
    ensembles: Mapping[str, DrawnEnsemble], files: Mapping[str, Path], summary: pd.DataFrame
) -> str | None:
    """Draw latent space separation (Mirzaeian, DKD, Eq. 6) and clean accuracy of ensembles (as its Fig. 5).

    files: model -> separation.csv of one seed. Where ensembles of one kind differ in the setting that the paper
    sweeps, they make a curve over it, and the others lines across; otherwise each is a point. Of ensembles with
    the same members the first is drawn. None where there is no ensemble.
    """
    shown = _shown(ensembles, files, summary)
    if shown.empty:
        return None
    several = shown.groupby("kind", sort=False)["at"].nunique(dropna=False) > 1
    kinds = list(several.index)
    swept = next((str(shown["swept"][shown["kind"] == kind].iloc[0]) for kind in kinds if several[kind]), "")

    def paint(figure: Figure) -> None:
        axes = figure.subplots(1, 2)
        for position, kind in enumerate(kinds):
            _paint_kind(axes, shown[shown["kind"] == kind], position, bool(swept))
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


def _shown(
    ensembles: Mapping[str, DrawnEnsemble], files: Mapping[str, Path], summary: pd.DataFrame
) -> pd.DataFrame:
    """Return the ensembles to draw, in order: kind, swept setting and its value, margin, and accuracy in percent."""
    clean = summary[(summary["attack"] == "none") & (summary["metric"] == "accuracy")]
    clean = clean.drop_duplicates("model", keep="last").set_index("model")[["value", "low", "high"]]
    listed = pd.DataFrame(
        [(name, one.members, one.kind, one.swept, one.at) for name, one in ensembles.items()],
        columns=["model", "members", "kind", "swept", "at"],
    ).set_index("model")
    names = [name for name in files if name in clean.index]
    shown = listed.loc[names].drop_duplicates("members")
    shown = shown.join(100 * clean.fillna(0.0))
    return shown.assign(
        at=shown["at"].astype("float64"),
        margin=[_margin(files[str(name)]) for name in shown.index],
        place=[float(place) for place in range(len(shown))],
    )


def _paint_kind(axes: Sequence[Axes], ensembles: pd.DataFrame, position: int, swept: bool) -> None:
    """Draw the ensembles of one kind: a curve, a line across, or points."""
    style: dict[str, Any] = {
        "color": SERIES[position],
        "marker": MARKERS[position],
        "linestyle": DASHES[position],
        "label": wording.defense(ensembles["kind"].iloc[0]),
    }
    if swept and ensembles["at"].isna().all():
        for panel, name in zip(axes, ("margin", "value"), strict=True):
            panel.axhline(float(ensembles[name].iloc[0]), **{**style, "marker": None})
        return
    if swept:
        ensembles = ensembles.assign(place=ensembles["at"].fillna(0.0)).sort_values("place", kind="stable")
    else:
        style["linestyle"] = "none"
    axes[0].plot(ensembles["place"], ensembles["margin"], **style)
    value = ensembles["value"]
    reach = [value - ensembles["low"], ensembles["high"] - value]
    axes[1].errorbar(ensembles["place"], value, yerr=reach, elinewidth=0.7, **style)


def _margin(path: Path) -> float:
    table = SEPARATION.read(path)
    mean = table["margin"][(table["first"] == "mean") & (table["second"] == "")]
    if len(mean) != 1 or mean.isna().any():
        raise unreadable(path, ValueError("it holds no mean margin"))
    return float(mean.iloc[0])
