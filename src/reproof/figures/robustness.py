"""Figures of the summary: accuracy against epsilon, and cost against robustness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, MultipleLocator, NullLocator

from reproof import wording
from reproof.figures import parameters
from reproof.figures.kinds import attack_order, papers_attack
from reproof.figures.style import (
    DASHES,
    INK,
    MARKERS,
    SERIES,
    across,
    arrange,
    label_points,
    legend,
    panel_size,
    panels,
    render,
    wrapped,
)
from reproof.settings.table_words import NO_ATTACK, WORST_CASE, WORST_IN_SETTING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

FAR = 0.5
"""Curves that reach so far are drawn over the root of epsilon: otherwise all that happens lies in a corner."""
_CURVE = ["epsilon", "value", "low", "high"]
WORST_CASE_WORDS = " The thick line counts an image only if no attack of the study fooled it."
_LINE = 0.165
"""Inches between the lines of a list of models."""


def accuracy_against_epsilon(
    summary: pd.DataFrame,
    titles: Mapping[str, str],
    setting: str,
    source: str = "",
    chance: Mapping[str, float] | None = None,
    norm: str = "linf",
) -> str | None:
    """Draw accuracy against epsilon in one norm, a panel per model (as Mustafa Fig. 4), those that differ most first.

    A panel shows the worst case per image and the papers' attack (kinds.papers_attack) in full, every other attack as
    a faint line. The thick line is the worst case; of a model that refuses images a dotted one is the share that no
    attack made wrong and accepted. source: the model that black-box attacks were made on, or several
    joined by `+` where they were made on all of them at once. chance: model -> accuracy at chance level, in [0, 1],
    drawn as a line across. None where no attack of this setting was measured at two budgets.
    """
    summary = summary[summary["model"].isin(list(titles)) & summary["value"].notna()]
    accuracy = summary[summary["metric"] == "accuracy"]
    accuracy = accuracy.assign(**{end: accuracy[end].fillna(accuracy["value"]) for end in ("low", "high")})
    points = _points(accuracy, setting, source, norm)
    if not (points.groupby(["model", "attack"])["epsilon"].nunique() > 1).any():
        return None
    clean = accuracy[accuracy["attack"] == "none"].assign(epsilon=0.0)
    curves = _curves(points, ["model", "attack"])
    mistaken = summary[(summary["metric"] == "wrong_accepted") & (summary["attack"] == WORST_CASE)]
    kept = _curves(_points(mistaken, setting, source, norm), ["model"])
    starts = _curves(clean.drop_duplicates("model", keep="last"), ["model"])
    models = [model for model in titles if (points["model"] == model).any()]
    own = {model: papers_attack(attack for name, attack in curves if name == model) for model in models}
    attacks = sorted({*own.values()} - {WORST_CASE}, key=attack_order)
    models.sort(key=lambda model: -_gap(curves, model, own[model]))
    far = norm == "linf" and bool((points["epsilon"] >= FAR).any())

    def paint(figure: Figure) -> None:
        axes = panels(figure, len(models), sharey=True)
        for panel, model in zip(axes, models, strict=True):
            start = starts.get((model,), np.empty((0, len(_CURVE))))
            lines = {
                attack: np.concatenate([start, one])
                for (name, attack), one in curves.items()
                if name == model
            }
            _paint_lines(panel, lines, own[model], attacks.index(own[model]) if own[model] in attacks else 0)
            if (model,) in kept:
                _paint_kept(panel, kept[model,])
            if chance is not None and model in chance:
                _paint_chance(panel, chance[model])
            panel.set_title(wrapped(titles[model]))
            _scale(panel, far, norm)
        for panel in axes[:: across(len(models))]:
            panel.set_ylabel("accuracy, %")
        arrange(figure, axes, legend(figure, axes))

    return render(
        "_".join(filter(None, ("accuracy_against_epsilon", setting, source, norm if norm != "linf" else ""))),
        f"Accuracy against ε, {_words(setting, source, norm, titles)}",
        _caption(_named(curves, attacks), setting, far=far, kept=bool(kept)),
        paint,
        panel_size(len(models)),
    )


def _caption(named: Sequence[str], setting: str, *, far: bool, kept: bool) -> str:
    return (
        f"Each panel is a model. In full: {wording.listed(named)}; faint: every other attack, from no attack at ε = 0 "
        "to the largest budget. The panels in which these differ most, or that differ most from the others, come "
        "first. Bars are 95 % intervals."
        + (" The axis grows with the root of ε." if far else "")
        + (WORST_CASE_WORDS if setting == "white_box" else "")
        + (" A refused image is not right; the dotted line counts it as held." if kept else "")
    )


def _words(setting: str, source: str, norm: str, titles: Mapping[str, str]) -> str:
    """Return which attacks a figure is about: `white-box`, `black-box from VGG-19, L2 budgets`."""
    sources = " + ".join(titles.get(name, name) for name in source.split("+"))
    words = wording.setting(setting) + (f" from {sources}" if source else "")
    words += "" if norm == "linf" else f", {wording.NORMS[norm]} budgets"
    return f"{words[0].lower()}{words[1:]}"


def _points(accuracy: pd.DataFrame, setting: str, source: str, norm: str) -> pd.DataFrame:
    """Return what was measured within a norm's budget in a setting, with its epsilon; the worst case is white-box."""
    accuracy = accuracy[accuracy["parameters"].map(parameters.budget_norm) == norm]
    measured = accuracy.assign(epsilon=accuracy["parameters"].map(parameters.epsilon).astype("float64"))
    measured = measured[measured["epsilon"].notna() & ~measured["attack"].isin([NO_ATTACK, WORST_IN_SETTING])]
    made_on = measured["source"]
    own = (made_on == source) if source else (made_on == "") | (made_on == measured["model"])
    worst = (measured["attack"] == WORST_CASE) & (setting == "white_box")
    return measured[((measured["setting"] == setting) & own) | worst]


def _curves(points: pd.DataFrame, by: list[str]) -> dict[tuple[str, ...], NDArray[np.float64]]:
    """Return each curve's points, (N, 4): epsilon, value, low, high, in this order."""
    points = points.sort_values(["epsilon", "value"], kind="stable")
    numbers = points[_CURVE].to_numpy(dtype=float)
    keys = points[by].itertuples(index=False, name=None)
    places: dict[tuple[str, ...], list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    return {key: numbers[found] for key, found in places.items()}


def _paint_curve(panel: Axes, attack: str, curve: NDArray[np.float64], position: int) -> None:
    """Draw one attack's accuracies. curve: (N, 4), see `_curves`. position: the attack's place in the legend."""
    epsilon, value, low, high = curve.T
    worst = attack == WORST_CASE
    panel.errorbar(
        epsilon,
        100 * value,
        yerr=100 * np.clip(np.stack([value - low, high - value]), 0, None),
        color=INK if worst else SERIES[position % len(SERIES)],
        marker=None if worst else MARKERS[(position + position // len(SERIES)) % len(MARKERS)],
        linestyle=DASHES[0] if worst else DASHES[position % len(DASHES)],
        linewidth=2.2 if worst else 1.2,
        elinewidth=0.7,
        capsize=0,
        label=wording.attack(attack),
        zorder=3 if worst else 2,
    )


def _paint_lines(panel: Axes, lines: Mapping[str, NDArray[np.float64]], own: str, position: int) -> None:
    """Draw the papers' attack and the worst case in full, the others faintly. lines: attack -> (N, 4), see `_curves`.

    position: that of the papers' attack in the legend.
    """
    for attack, line in lines.items():
        if attack not in (own, WORST_CASE):
            _paint_other(panel, line)
    for attack in dict.fromkeys((own, WORST_CASE)):
        if attack in lines:
            _paint_curve(panel, attack, lines[attack], position)


def _named(curves: Mapping[tuple[str, ...], object], attacks: Sequence[str]) -> list[str]:
    """Return what is drawn in full, in words."""
    worst = ["the worst case per image"] if any(attack == WORST_CASE for _, attack in curves) else []
    return [*worst, *(f"{wording.attack(attack)} as its entry in the study has it" for attack in attacks)]


def _gap(curves: Mapping[tuple[str, ...], NDArray[np.float64]], model: str, own: str) -> float:
    """Return how far the papers' attack lies above the worst case at most; without a worst case, from the middle."""
    curve = curves.get((model, own))
    if curve is None:
        return 0.0
    worst = curves.get((model, WORST_CASE))
    if worst is None:
        ends = [found[-1, 1] for (_, attack), found in curves.items() if attack == own]
        return float(abs(curve[-1, 1] - np.median(ends)))
    below = dict(worst[:, :2])
    return max((value - below[epsilon] for epsilon, value in curve[:, :2] if epsilon in below), default=0.0)


def _paint_other(panel: Axes, curve: NDArray[np.float64]) -> None:
    """Draw an attack that is there for comparison. curve: (N, 4), see `_curves`."""
    panel.plot(
        curve[:, 0], 100 * curve[:, 1], color=INK, alpha=0.25, linewidth=0.8, label="other attacks", zorder=1
    )


def _paint_kept(panel: Axes, mistaken: NDArray[np.float64]) -> None:
    """Draw what is right or refused under every attack. mistaken: the shares of the rest, (N, 4), see `_curves`."""
    epsilon, value, _, _ = mistaken.T
    style: Any = {"linestyle": (0, (1, 1)), "linewidth": 2.2}
    panel.plot(epsilon, 100 * (1 - value), color=INK, label="worst case, right or refused", zorder=3, **style)


def _paint_chance(panel: Axes, chance: float) -> None:
    style: Any = {"linestyle": (0, (1, 2)), "linewidth": 1.0}
    panel.axhline(100 * chance, color=INK, label="chance level", zorder=1, **style)


def _scale(panel: Axes, far: bool, norm: str) -> None:
    panel.set_ylim(-3, 103)
    if far:
        panel.set_xscale("function", functions=(_root, np.square))
    panel.set_xlim(left=0)
    panel.yaxis.set_major_locator(MultipleLocator(25))
    panel.xaxis.set_major_locator(
        FixedLocator([0, 0.1, 0.3, 1]) if far else MaxNLocator(4, steps=[1, 2, 5, 10])
    )
    panel.set_xlabel("ε" if norm == "linf" else f"ε, {wording.NORMS[norm]}")


def _root(values: NDArray[np.float64]) -> NDArray[np.float64]:
    roots: NDArray[np.float64] = np.sqrt(np.maximum(values, 0))
    return roots


def cost_against_robustness(
    summary: pd.DataFrame, titles: Mapping[str, str], training_seconds: Mapping[str, float]
) -> str | None:
    """Draw worst-case accuracy against the seconds of training, at the L∞ budget that tells the models apart best.

    None where fewer than two models have both.
    """
    timed = [model for model in titles if training_seconds.get(model, 0) > 0]
    accuracy = summary[summary["metric"] == "accuracy"]
    worst = accuracy[(accuracy["attack"] == WORST_CASE) & accuracy["model"].isin(timed)]
    worst = worst[worst["parameters"].map(parameters.budget_norm) == "linf"]
    worst = worst.assign(epsilon=worst["parameters"].map(parameters.epsilon).astype("float64"))
    table = worst.pivot_table(index="model", columns="epsilon", values="value", aggfunc="last")
    models = [model for model in timed if model in table.index]
    shared = table.dropna(axis="columns")
    if len(models) < 2 or shared.empty:
        return None
    spread = shared.max() - shared.min()
    epsilon = spread[spread == spread.max()].index.max()
    places = [(training_seconds[model], 100 * float(shared.loc[model, epsilon])) for model in models]

    def paint(figure: Figure) -> None:
        panel = figure.subplots()
        panel.plot(*zip(*places, strict=True), color=SERIES[0], marker="o", linestyle="none")
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_locator(NullLocator())
        panel.margins(x=0.08)
        panel.set_ylim(-5, 105)
        panel.yaxis.set_major_locator(MultipleLocator(25))
        panel.set_xlabel("seconds of training")
        panel.set_ylabel("worst case per image, accuracy in %")
        _list_beside(panel, [titles[model] for model in models])
        label_points(panel, places, [str(position + 1) for position in range(len(models))])

    return render(
        "cost_against_robustness",
        "Cost against robustness",
        "Seconds of training, averaged over seeds, against accuracy in the worst case per image over every "
        f"attack up to ε = {epsilon:g}. Seconds depend on the machine; compare them within the figure only.",
        paint,
        (8.6, max(3.6, 0.75 + _LINE * len(models))),
    )


def _list_beside(panel: Axes, names: Sequence[str]) -> None:
    """Write a numbered list of names to the right of a panel."""
    where: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center"}
    for position, name in enumerate(names):
        down = -72 * _LINE * (position + 0.5)
        panel.annotate(str(position + 1), (1, 1), xytext=(26, down), ha="right", fontsize=8.5, **where)
        panel.annotate(name, (1, 1), xytext=(33, down), fontsize=8.5, **where)
