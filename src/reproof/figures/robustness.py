"""The figures of a study, from its tables and from the files of its models.

What training leaves is drawn in `training_figures`; how figures look is said in `figure_style`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.path import Path as MatplotlibPath
from matplotlib.textpath import TextPath
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, MultipleLocator, NullLocator

from reproof import wording
from reproof.figures.kinds import attack_order, baselines, strong_ascents
from reproof.figures.style import (
    DASHES,
    INK,
    MARKERS,
    SERIES,
    across,
    label_points,
    legend,
    panel_size,
    panels,
    render,
    unreadable,
    wrapped,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


Row = Mapping[str, str]
"""A row of a CSV table, as csv.DictReader gives it."""

FAR = 0.5
"""Curves that reach so far are drawn over the root of epsilon, lest all that happens is squeezed into a corner."""
_POINTS_SHOWN = 200
_CLASSES_SHOWN = 10
_EXAMPLES_SHOWN = 6
_ATTACKS_SHOWN = 3


def in_order(files: Mapping[str, Path], titles: Mapping[str, str]) -> list[tuple[str, Path]]:
    """Return the files in the order of the study's models."""
    return [(model, files[model]) for model in titles if model in files]


def accuracy_against_epsilon(
    summary: Sequence[Row],
    titles: Mapping[str, str],
    setting: str,
    source: str = "",
    chance: Mapping[str, float] | None = None,
) -> str | None:
    """Draw accuracy against epsilon, a panel per model and a line per attack (as Mustafa Fig. 4).

    The thick line is the worst case per image. source: the model that black-box attacks were made on, or several
    joined by `+` where they were made on all of them at once. chance: model -> accuracy of guessing, in [0, 1],
    drawn as a line across. None where no attack of this setting was measured at two budgets.
    """
    curves: dict[str, dict[str, list[tuple[float, float, float, float]]]] = {}
    clean: dict[str, tuple[float, float, float]] = {}
    for row in summary:
        value, low, high = (wording.number(row[key]) for key in ("value", "low", "high"))
        if row["metric"] != "accuracy" or row["model"] not in titles or value is None:
            continue
        low, high = (value if low is None else low), (value if high is None else high)
        epsilon = wording.number(wording.parameter(row["parameters"], "epsilon"))
        if row["attack"] == "none":
            clean[row["model"]] = (value, low, high)
        elif epsilon is not None and (
            (row["setting"] == setting and row["source"] in ((source,) if source else ("", row["model"])))
            or (row["attack"] == "worst_case" and setting == "white_box")
        ):
            curves.setdefault(row["model"], {}).setdefault(row["attack"], []).append(
                (epsilon, value, low, high)
            )
    models = [model for model in titles if model in curves]
    if not any(len({p[0] for p in points}) > 1 for model in models for points in curves[model].values()):
        return None
    attacks = sorted({name for model in models for name in curves[model]}, key=attack_order)
    far = any(point[0] >= FAR for model in models for points in curves[model].values() for point in points)

    def paint(figure: Figure) -> None:
        axes = panels(figure, len(models), sharey=True)
        for panel, model in zip(axes, models, strict=True):
            for position, name in enumerate(attacks):
                points = sorted(curves[model].get(name, []))
                if model in clean and points:
                    points = [(0.0, *clean[model]), *points]
                if not points:
                    continue
                x, y, low, high = (np.array(column) for column in zip(*points, strict=True))
                worst = name == "worst_case"
                colour = INK if worst else SERIES[position % len(SERIES)]
                panel.errorbar(
                    x,
                    100 * y,
                    yerr=100 * np.clip(np.stack([y - low, high - y]), 0, None),
                    color=colour,
                    marker=None if worst else MARKERS[(position + position // len(SERIES)) % len(MARKERS)],
                    linestyle=DASHES[0] if worst else DASHES[position % len(DASHES)],
                    linewidth=2.2 if worst else 1.2,
                    elinewidth=0.7,
                    capsize=0,
                    label=wording.attack(name),
                    zorder=3 if worst else 2,
                )
            if chance is not None and model in chance:
                panel.axhline(
                    100 * chance[model],
                    color=INK,
                    linestyle=(0, (1, 2)),
                    linewidth=1.0,
                    label="chance",
                    zorder=1,
                )
            panel.set_title(wrapped(titles[model]))
            panel.set_ylim(-3, 103)
            if far:
                panel.set_xscale("function", functions=(_root, np.square))
            panel.set_xlim(left=0)
            panel.yaxis.set_major_locator(MultipleLocator(25))
            panel.xaxis.set_major_locator(
                FixedLocator([0, 0.1, 0.3, 1]) if far else MaxNLocator(4, steps=[1, 2, 5, 10])
            )
            panel.set_xlabel("ε")
        for panel in axes[:: across(len(models))]:
            panel.set_ylabel("accuracy, %")
        legend(figure, axes)

    sources = " + ".join(titles.get(name, name) for name in source.split("+"))
    words = wording.setting(setting) + (f" from {sources}" if source else "")
    worst_case_words = " The thick line counts an image only if no attack of the study fooled it."
    return render(
        f"accuracy_against_epsilon_{setting}" + (f"_{source}" if source else ""),
        f"Accuracy against ε, {words[0].lower()}{words[1:]}",
        "Each panel is a model, each line an attack, from no attack at ε = 0 to the largest budget measured. "
        "Bars are 95 % intervals."
        + (" The axis grows with the root of ε." if far else "")
        + (worst_case_words if setting == "white_box" else ""),
        paint,
        panel_size(len(models)),
    )


def _root(values: NDArray[np.float64]) -> NDArray[np.float64]:
    roots: NDArray[np.float64] = np.sqrt(np.maximum(values, 0))
    return roots


def latent_space(model: str, title: str, outcomes: Path, class_names: Sequence[str]) -> str | None:
    """Draw clean and adversarial features on the first two principal components (as Mustafa Fig. 1).

    Shows PGD, or else another attack, at its largest budget; the first 200 images, the first ten classes.
    Each point is the digit of its true class. None where the outcomes hold no such attack.
    """
    table = _attacked_rows(outcomes)
    if table is None:
        return None
    attack, parameters, columns = table
    shown = np.flatnonzero(columns["label"] < _CLASSES_SHOWN)[:_POINTS_SHOWN]
    labels = columns["label"][shown]

    def paint(figure: Figure) -> None:
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        for panel, kind, heading in zip(
            axes,
            ("clean", "adversarial"),
            ("clean", f"{wording.attack(attack)}, {wording.parameters(parameters)}"),
            strict=True,
        ):
            x, y = columns[f"{kind}_x"][shown], columns[f"{kind}_y"][shown]
            for label in sorted({int(item) for item in labels}):
                chosen = labels == label
                panel.scatter(
                    x[chosen],
                    y[chosen],
                    s=42,
                    marker=_glyph(str(label)),
                    color=SERIES[label],
                    linewidths=0.2,
                    label=class_names[label] if label < len(class_names) else str(label),
                )
            right = int((columns[f"{kind}_prediction"][shown] == labels).sum())
            panel.set_title(f"{heading}: {right} of {len(shown)} right")
            panel.grid(visible=False)
            panel.set_xlabel("first component")
        axes[0].set_ylabel("second component")
        names = [class_names[i] if i < len(class_names) else str(i) for i in range(_CLASSES_SHOWN)]
        if any(name != str(index) for index, name in enumerate(names)):
            legend(figure, list(axes))

    return render(
        f"latent_space_{model}",
        f"Latent space of {title}",
        "Penultimate features of test images, projected on the first two principal components of the clean "
        "ones. Each mark is the number of the image's true class; a defense that works keeps the right panel "
        "like the left.",
        paint,
        (7.2, 3.3),
    )


def _glyph(character: str) -> MatplotlibPath:
    """Return a character's outline, centred, as a marker."""
    outline = TextPath((0, 0), character)
    centre = (outline.vertices.min(axis=0) + outline.vertices.max(axis=0)) / 2
    return MatplotlibPath(outline.vertices - centre, outline.codes)


def _attacked_rows(path: Path) -> tuple[str, str, dict[str, NDArray[Any]]] | None:
    """Read the rows of the attack that the latent figure shows, ordered by image."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = ["image", "label", "attack", "kind", "setting", "parameters", "epsilon"]
    wanted += [f"{kind}_{what}" for kind in ("clean", "adversarial") for what in ("prediction", "x", "y")]
    try:
        with path.open("rb") as file:
            table = pq.read_table(file, columns=wanted)
    except (OSError, pa.ArrowInvalid) as error:
        raise unreadable(path, error) from error
    columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in wanted}
    usable = (columns["attack"] != "none") & ~np.isin(columns["kind"], [*baselines(set(columns["kind"]))])
    usable &= columns["setting"] != "black_box"
    usable &= ~np.isnan(columns["epsilon"].astype(float)) & ~np.isnan(columns["adversarial_x"])
    strong = strong_ascents(set(columns["kind"]))
    candidates = {
        (kind in strong, float(epsilon), kind in strong and name == kind, name, parameters)
        for kind, epsilon, name, parameters in zip(
            *(columns[key][usable] for key in ("kind", "epsilon", "attack", "parameters")), strict=True
        )
    }
    if not candidates:
        return None
    *_, attack, parameters = max(candidates)
    chosen = usable & (columns["attack"] == attack) & (columns["parameters"] == parameters)
    order = np.flatnonzero(chosen)[np.argsort(columns["image"][chosen], kind="stable")]
    return str(attack), str(parameters), {name: column[order] for name, column in columns.items()}


def example_images(model: str, title: str, examples: Path, class_names: Sequence[str]) -> str | None:
    """Draw some test images: clean, under up to three attacks, and what each attack added, amplified.

    None where the file holds no adversarial images. Shows each attack at its largest budget.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(examples)
    except (SafetensorError, OSError) as error:
        raise unreadable(examples, error) from error
    clean = _unit(tensors["clean"])[:_EXAMPLES_SHOWN]
    labels = tensors["labels"][:_EXAMPLES_SHOWN]
    strongest: dict[str, str] = {}
    for key in sorted(tensors):
        attack, slash, parameters = key.partition("/")
        if slash and attack != "predictions" and _size(parameters) >= _size(strongest.get(attack, "")):
            strongest[attack] = parameters
    attacks = sorted(strongest, key=attack_order)[-_ATTACKS_SHOWN:]
    if not attacks:
        return None
    rows = [("clean", clean, [_class(class_names, label) for label in labels])]
    for attack in attacks:
        key = f"{attack}/{strongest[attack]}"
        images = _unit(tensors[key])[: len(clean)]
        predictions = tensors[f"predictions/{key}"][: len(clean)]
        marks = [
            f"{'✓' if prediction == label else '✗'} {_class(class_names, prediction)}"
            for prediction, label in zip(predictions, labels, strict=True)
        ]
        added = images - clean
        factor = 0.5 / max(float(np.abs(added).max()), 1e-6)
        rows.append((f"{wording.attack(attack)}\n{wording.parameters(strongest[attack])}", images, marks))
        rows.append((f"what it added\n× {factor:.1f}, grey is 0", 0.5 + factor * added, [""] * len(clean)))
    mosaic, places = _mosaic([images for _, images, _ in rows])
    height, width = mosaic.shape[:2]
    margin = 1.45
    inches = 0.95 * len(clean)

    def paint(figure: Figure) -> None:
        panel = figure.add_axes((margin / (margin + inches), 0, inches / (margin + inches), 1))
        panel.imshow(mosaic, interpolation="none", aspect="auto")
        panel.set_axis_off()
        for (heading, _, marks), line in zip(rows, places, strict=True):
            for mark, (top, left, size) in zip(marks, line, strict=True):
                panel.text(left + size / 2, top - 0.04 * size, mark, ha="center", va="bottom", fontsize=8.5)
            top, left, size = line[0]
            panel.text(left - 0.1 * size, top + size / 2, heading, ha="right", va="center", fontsize=8.5)

    return render(
        f"examples_{model}",
        f"Examples for {title}",
        "Test images, the same images under attack with the class that the model then sees (✓ right, ✗ not), "
        "and what the attack added, amplified. Above a clean image: its true class.",
        paint,
        (margin + inches, inches * height / width),
        constrained=False,
    )


def _mosaic(rows: Sequence[NDArray[Any]]) -> tuple[NDArray[np.uint8], list[list[tuple[int, int, int]]]]:
    """Return all images in one, RGBA, clear between them, and where each stands: top, left, height in pixels.

    Rows of images under attack and of what was added belong together: room for a mark only above the former.
    """
    count, channels, height, width = rows[0].shape
    gap, mark = max(1, round(0.06 * height)), round(0.27 * height)
    tops = []
    bottom = 0
    for position in range(len(rows)):
        bottom += mark if position == 0 or position % 2 else gap
        tops.append(bottom)
        bottom += height
    mosaic = np.zeros((bottom + gap, count * (width + gap), 4), dtype=np.uint8)
    for top, images in zip(tops, rows, strict=True):
        for column, image in enumerate(images):
            colour = np.broadcast_to(image if channels == 3 else image[:1], (3, height, width))
            left = column * (width + gap)
            place = mosaic[top : top + height, left : left + width]
            place[..., :3] = np.round(255 * colour.clip(0, 1)).transpose(1, 2, 0)
            place[..., 3] = 255
    return mosaic, [[(top, column * (width + gap), height) for column in range(count)] for top in tops]


def _unit(images: NDArray[Any]) -> NDArray[Any]:
    scaled: NDArray[Any] = images.astype(np.float32) / (255 if images.dtype == np.uint8 else 1)
    return scaled


def _size(parameters: str) -> float:
    for item in parameters.split():
        _, _, value = item.partition("=")
        try:
            return float(value)
        except ValueError:
            continue
    return -1.0


def _class(names: Sequence[str], label: Any) -> str:
    return names[int(label)] if 0 <= int(label) < len(names) else str(int(label))


def cost_against_robustness(
    summary: Sequence[Row], titles: Mapping[str, str], training_seconds: Mapping[str, float]
) -> str | None:
    """Draw worst-case accuracy against the seconds of training, at the budget that tells the models apart best.

    None where fewer than two models have both.
    """
    worst: dict[str, dict[float, float]] = {}
    for row in summary:
        epsilon = wording.number(wording.parameter(row["parameters"], "epsilon"))
        value = wording.number(row["value"])
        if row["attack"] == "worst_case" and epsilon is not None and value is not None:
            worst.setdefault(row["model"], {})[epsilon] = value
    models = [model for model in titles if model in worst and training_seconds.get(model, 0) > 0]
    if len(models) < 2:
        return None
    shared = set.intersection(*(set(worst[model]) for model in models))
    if not shared:
        return None

    def spread(budget: float) -> tuple[float, float]:
        left = [worst[model][budget] for model in models]
        return max(left) - min(left), budget

    epsilon = max(shared, key=spread)

    places = [(training_seconds[model], 100 * worst[model][epsilon]) for model in models]
    line = 0.165  # inches between the lines of the list
    height = max(3.6, 0.75 + line * len(models))

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
        for position, model in enumerate(models):
            where: dict[str, Any] = {
                "xycoords": "axes fraction",
                "textcoords": "offset points",
                "va": "center",
            }
            down = -72 * line * (position + 0.5)
            panel.annotate(str(position + 1), (1, 1), xytext=(26, down), ha="right", fontsize=8.5, **where)
            panel.annotate(titles[model], (1, 1), xytext=(33, down), fontsize=8.5, **where)
        label_points(panel, places, [str(position + 1) for position in range(len(models))])

    return render(
        "cost_against_robustness",
        "Cost against robustness",
        "Seconds of training, averaged over seeds, against accuracy in the worst case per image over every "
        f"attack up to ε = {epsilon:g}. Seconds depend on the machine; compare them within the figure only.",
        paint,
        (8.6, height),
    )
