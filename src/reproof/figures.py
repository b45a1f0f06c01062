"""Figures as SVG text: the same bytes for the same inputs, and colours that follow the page's colour scheme.

Text stays text (`svg.fonttype: none`) in `currentColor`; lines use CSS variables (`--series-1`, ...) with
the printed colour as fallback, so that an inlined figure turns dark with its page and a file still shows.
Ids carry the figure's name, so that many figures can share one page. Imports no torch and no pyplot.
"""

from __future__ import annotations

import csv
import io
import math
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.path import Path as MatplotlibPath
from matplotlib.textpath import TextPath
from matplotlib.ticker import LogLocator, MaxNLocator, MultipleLocator, NullLocator

from reproof import wording
from reproof.errors import ArtifactError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

Row = Mapping[str, str]
"""A row of a CSV table, as csv.DictReader gives it."""

_INK, _FAINT = "#010203", "#040506"
_SERIES = (
    "#0067a5",
    "#c04a00",
    "#00785a",
    "#a03c78",
    "#8a6100",
    "#6a3d9a",
    "#1a86b8",
    "#6d7000",
    "#b5123e",
    "#5f6670",
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 1.2)))
_COLOURS = {_INK: "currentColor", _FAINT: "var(--figure-faint, #d3d3d3)"} | {
    colour: f"var(--series-{position}, {colour})" for position, colour in enumerate(_SERIES, 1)
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.edgecolor": _INK,
    "axes.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _FAINT,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "text.parse_math": False,
}
_POINTS_SHOWN = 200
_CLASSES_SHOWN = 10
_EXAMPLES_SHOWN = 6
_ATTACKS_SHOWN = 3


@dataclass(frozen=True)
class FigureInputs:
    """What figures are drawn from: table rows, and files that earlier rules wrote."""

    summary: Sequence[Row]
    """Rows of tables/summary.csv."""
    titles: Mapping[str, str]
    """Model's name -> its title, in the order in which models are shown."""
    class_names: Sequence[str]
    """The data set's class names, in the order of the labels."""
    histories: Mapping[str, Path] = field(default_factory=dict)
    """Model's name -> history.csv of one seed."""
    outcomes: Mapping[str, Path] = field(default_factory=dict)
    """Model's name -> outcomes parquet of its white-box threat, one seed."""
    examples: Mapping[str, Path] = field(default_factory=dict)
    """Model's name -> examples.safetensors of its white-box threat, one seed."""
    training_seconds: Mapping[str, float] = field(default_factory=dict)
    """Model's name -> seconds spent on training it. They differ from run to run: leave them empty for figures
    that should be the same bytes in two runs, and call `cost_against_robustness` where the page is made."""


def draw(inputs: FigureInputs) -> dict[str, str]:
    """Return every figure that the inputs allow, name -> SVG text, in the page's order."""
    figures: dict[str, str | None] = {}
    for setting in ("white_box", "adaptive"):
        figures[f"accuracy_against_epsilon_{setting}"] = accuracy_against_epsilon(
            inputs.summary, inputs.titles, setting
        )
    transferred = {row["source"] for row in inputs.summary if row["setting"] == "black_box"}
    for source in sorted(transferred):
        figures[f"accuracy_against_epsilon_black_box_{source}"] = accuracy_against_epsilon(
            inputs.summary, inputs.titles, "black_box", source
        )
    for model, path in _in_order(inputs.outcomes, inputs.titles):
        figures[f"latent_space_{model}"] = latent_space(model, inputs.titles[model], path, inputs.class_names)
    figures["training_curves"] = training_curves(
        dict(_in_order(inputs.histories, inputs.titles)), inputs.titles
    )
    for model, path in _in_order(inputs.examples, inputs.titles):
        figures[f"examples_{model}"] = example_images(model, inputs.titles[model], path, inputs.class_names)
    figures["cost_against_robustness"] = cost_against_robustness(
        inputs.summary, inputs.titles, inputs.training_seconds
    )
    return {name: svg for name, svg in figures.items() if svg is not None}


def _in_order(files: Mapping[str, Path], titles: Mapping[str, str]) -> list[tuple[str, Path]]:
    return [(model, files[model]) for model in titles if model in files]


def accuracy_against_epsilon(
    summary: Sequence[Row], titles: Mapping[str, str], setting: str, source: str = ""
) -> str | None:
    """Draw accuracy against epsilon, a panel per model and a line per attack (as Mustafa Fig. 4).

    The thick line is the worst case per image. source: the model that black-box attacks were made on. None where
    no attack of this setting was measured at two budgets.
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
            (row["setting"] == setting and (setting != "black_box" or row["source"] == source))
            or (row["attack"] == "worst_case" and setting == "white_box")
        ):
            curves.setdefault(row["model"], {}).setdefault(row["attack"], []).append(
                (epsilon, value, low, high)
            )
    models = [model for model in titles if model in curves]
    if not any(len({p[0] for p in points}) > 1 for model in models for points in curves[model].values()):
        return None
    attacks = sorted({name for model in models for name in curves[model]}, key=_attack_order)

    def paint(figure: Figure) -> None:
        axes = _panels(figure, len(models), sharey=True)
        for panel, model in zip(axes, models, strict=True):
            for position, name in enumerate(attacks):
                points = sorted(curves[model].get(name, []))
                if model in clean and points:
                    points = [(0.0, *clean[model]), *points]
                if not points:
                    continue
                x, y, low, high = (np.array(column) for column in zip(*points, strict=True))
                worst = name == "worst_case"
                colour = _INK if worst else _SERIES[position % len(_SERIES)]
                panel.errorbar(
                    x,
                    100 * y,
                    yerr=100 * np.clip(np.stack([y - low, high - y]), 0, None),
                    color=colour,
                    marker=None if worst else _MARKERS[position % len(_MARKERS)],
                    linestyle=_DASHES[0] if worst else _DASHES[position % len(_DASHES)],
                    linewidth=2.2 if worst else 1.2,
                    elinewidth=0.7,
                    capsize=0,
                    label=wording.attack(name),
                    zorder=3 if worst else 2,
                )
            panel.set_title(_wrapped(titles[model]))
            panel.set_ylim(-3, 103)
            panel.set_xlim(left=0)
            panel.yaxis.set_major_locator(MultipleLocator(25))
            panel.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            panel.set_xlabel("ε")
        for panel in axes[:: _columns(len(models))]:
            panel.set_ylabel("accuracy, %")
        _legend(figure, axes, len(attacks))

    words = wording.setting(setting) + (f" from {titles.get(source, source)}" if source else "")
    worst_case_words = " The thick line counts an image only if no attack of the study fooled it."
    return render(
        f"accuracy_against_epsilon_{setting}" + (f"_{source}" if source else ""),
        f"Accuracy against ε, {words[0].lower()}{words[1:]}",
        "Each panel is a model, each line an attack, from no attack at ε = 0 to the largest budget measured. "
        "Bars are 95 % intervals." + (worst_case_words if setting == "white_box" else ""),
        paint,
        _panel_size(len(models)),
    )


def _attack_order(name: str) -> tuple[int, str]:
    known = ("random_noise", "fgsm", "bim", "mim", "pgd")
    if name == "worst_case":
        return (len(known) + 1, name)
    return (known.index(name) if name in known else len(known), name)


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
                    color=_SERIES[label],
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
            _legend(figure, list(axes), 5)

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
        raise _unreadable(path, error) from error
    columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in wanted}
    usable = (columns["attack"] != "none") & (columns["kind"] != "random_noise")
    usable &= columns["setting"] != "black_box"
    usable &= ~np.isnan(columns["epsilon"].astype(float)) & ~np.isnan(columns["adversarial_x"])
    candidates = {
        (kind == "pgd", float(epsilon), name == "pgd", name, parameters)
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


def training_curves(histories: Mapping[str, Path], titles: Mapping[str, str]) -> str | None:
    """Draw loss and accuracies against epochs, two panels per model. None where there is no history."""
    curves = {model: _history(path) for model, path in histories.items()}
    curves = {model: rows for model, rows in curves.items() if rows}
    if not curves:
        return None
    models = list(curves)
    columns = _columns(len(models))
    blocks = math.ceil(len(models) / columns)

    def paint(figure: Figure) -> None:
        grid = figure.subplots(2 * blocks, columns, squeeze=False, sharex=False)
        used: list[Axes] = []
        for position in range(blocks * columns):
            block, column = divmod(position, columns)
            accuracy, loss = grid[2 * block][column], grid[2 * block + 1][column]
            if position >= len(models):
                accuracy.remove()
                loss.remove()
                continue
            rows = curves[models[position]]
            epochs = [row["epoch"] for row in rows]
            for key, colour, dash, label in (
                ("train_accuracy", _SERIES[1], _DASHES[1], "accuracy on what was trained on"),
                ("validation_accuracy", _SERIES[0], _DASHES[0], "accuracy on validation images"),
            ):
                accuracy.plot(
                    epochs, [100 * row[key] for row in rows], color=colour, linestyle=dash, label=label
                )
            loss.plot(
                epochs, [row["loss"] for row in rows], color=_SERIES[2], linestyle=_DASHES[3], label="loss"
            )
            accuracy.set_ylim(-3, 103)
            accuracy.yaxis.set_major_locator(MultipleLocator(50))
            accuracy.set_title(_wrapped(titles[models[position]]))
            accuracy.tick_params(labelbottom=False)
            loss.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
            for panel in (accuracy, loss):
                panel.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
            loss.set_xlabel("epoch")
            if column == 0:
                accuracy.set_ylabel("accuracy, %")
                loss.set_ylabel("loss")
            used += [accuracy, loss]
        _legend(figure, used, 3)

    return render(
        "training_curves",
        "Training curves",
        "Above: accuracy on what was trained on (adversarial images too) and on validation images. Below: "
        "the method's own loss, whose scale differs between methods.",
        paint,
        (0.7 + 2.25 * columns, 0.6 + 3.0 * blocks),
    )


def _history(path: Path) -> list[dict[str, float]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                {key: float(value) if value else math.nan for key, value in row.items()}
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(path, error) from error


def example_images(model: str, title: str, examples: Path, class_names: Sequence[str]) -> str | None:
    """Draw some test images: clean, under up to three attacks, and what each attack added, amplified.

    None where the file holds no adversarial images. Shows each attack at its largest budget.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(examples)
    except (SafetensorError, OSError) as error:
        raise _unreadable(examples, error) from error
    clean = _unit(tensors["clean"])[:_EXAMPLES_SHOWN]
    labels = tensors["labels"][:_EXAMPLES_SHOWN]
    strongest: dict[str, str] = {}
    for key in sorted(tensors):
        attack, slash, parameters = key.partition("/")
        if slash and attack != "predictions" and _size(parameters) >= _size(strongest.get(attack, "")):
            strongest[attack] = parameters
    attacks = sorted(strongest, key=_attack_order)[-_ATTACKS_SHOWN:]
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


def _unreadable(path: Path, error: Exception) -> ArtifactError:
    return ArtifactError(f"{path} cannot be read ({error}). Delete it and run snakemake again.")


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

    def paint(figure: Figure) -> None:
        panel = figure.subplots()
        for position, model in enumerate(models):
            panel.scatter(
                training_seconds[model],
                100 * worst[model][epsilon],
                s=42,
                marker=_MARKERS[position % len(_MARKERS)],
                color=_SERIES[position % len(_SERIES)],
                label=titles[model],
                zorder=2,
            )
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_ylim(-3, 103)
        panel.yaxis.set_major_locator(MultipleLocator(25))
        panel.set_xlabel("seconds of training")
        panel.set_ylabel("worst case per image, accuracy in %")
        panel.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))

    return render(
        "cost_against_robustness",
        "Cost against robustness",
        "Seconds of training, averaged over seeds, against accuracy in the worst case per image over every "
        f"attack up to ε = {epsilon:g}. Seconds depend on the machine; compare them within the figure only.",
        paint,
        (7.2, 3.6),
    )


def _wrapped(title: str) -> str:
    """Return a title in lines that fit a small panel."""
    return textwrap.fill(title, 26, break_long_words=False)


def _columns(count: int) -> int:
    return math.ceil(count / math.ceil(count / 4))


def _panel_size(count: int) -> tuple[float, float]:
    columns = _columns(count)
    return 0.7 + 2.25 * columns, 0.6 + 2.05 * math.ceil(count / columns)


def _panels(figure: Figure, count: int, sharey: bool) -> list[Axes]:
    columns = _columns(count)
    grid = figure.subplots(math.ceil(count / columns), columns, squeeze=False, sharey=sharey)
    panels: list[Axes] = list(grid.flat)
    for spare in panels[count:]:
        spare.remove()
    return panels[:count]


def _legend(figure: Figure, axes: Sequence[Axes], columns: int) -> None:
    """Put one legend for all panels under the figure."""
    entries: dict[str, Any] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=min(columns, 7))


def render(
    name: str,
    title: str,
    description: str,
    paint: Callable[[Figure], None],
    size: tuple[float, float],
    constrained: bool = True,
) -> str:
    """Return a painted figure as SVG text that is deterministic, accessible and fit to be inlined.

    size: inches. constrained: let matplotlib lay the panels out.
    """
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained" if constrained else None)
        paint(figure)
        text = io.StringIO()
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=no_metadata)
    return _tidy(text.getvalue(), name.replace("_", "-"), title, description)


_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_DECIMALS = re.compile(r"-?\d+\.\d{3,}")
_FONT = re.compile(r"font-family:[^;]*;?\s*|font: ?")


def _tidy(svg: str, name: str, title: str, description: str) -> str:
    """Drop what a page cannot use, prefix ids, shorten numbers, put CSS variables for colours."""
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for key in list(element.attrib):
            plain = key.rpartition("}")[2]
            element.attrib[plain] = element.attrib.pop(key)
    for parent in list(root.iter()):
        for child in list(parent):
            invisible = child.tag == "path" and child.get("style", "").strip() == "fill: none"
            if child.tag in ("metadata", "style") or invisible:
                parent.remove(child)
    used = {
        reference
        for element in root.iter()
        for value in element.attrib.values()
        for reference in (*_REFERENCE.findall(value), *([value[1:]] if value.startswith("#") else []))
    }
    for element in root.iter():
        _tidy_element(element, name, used)
    for element in root.iter():
        _hoist_style(element)
    _drop_empty(root)
    width, height = (float(item) for item in root.attrib["viewBox"].split()[2:])
    root.attrib.clear()
    root.attrib.update(
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": "figure",
            "viewBox": f"0 0 {width:g} {height:g}",
            "width": f"{width * 4 / 3:.0f}",
            "height": f"{height * 4 / 3:.0f}",
            "role": "img",
            "aria-labelledby": f"figure-{name}-title figure-{name}-description",
            "style": "stroke-linejoin: round; font-family: var(--figure-font, system-ui, sans-serif)",
        }
    )
    labels = []
    for tag, words, suffix in (("title", title, "title"), ("desc", description, "description")):
        label = ElementTree.Element(tag, {"id": f"figure-{name}-{suffix}"})
        label.text = words
        labels.append(label)
    root[:0] = labels
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _tidy_element(element: ElementTree.Element, name: str, used: set[str]) -> None:
    attributes = element.attrib
    if attributes.get("id") not in used:
        attributes.pop("id", None)
    if not (element.text or "").strip():
        element.text = None
    element.tail = None
    for key, value in list(attributes.items()):
        if key == "href":
            attributes[key] = value.replace("\n", "") if value.startswith("data:") else f"#{name}-{value[1:]}"
            continue
        if key == "id":
            attributes[key] = f"{name}-{value}"
            continue
        value = _REFERENCE.sub(rf"url(#{name}-\1)", " ".join(value.split()))
        if key == "style":
            value = _FONT.sub("", value)
            for colour, replacement in _COLOURS.items():
                value = value.replace(colour, replacement)
            if element.tag == "text" and "fill" not in value:
                value = f"{value.rstrip('; ')}; fill: currentColor".lstrip("; ")
        if key in ("d", "x", "y", "transform", "points", "width", "height"):
            value = _DECIMALS.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), value)
        if key == "transform" and value.startswith("rotate(-0 "):
            del attributes[key]
            continue
        attributes[key] = value


def _hoist_style(element: ElementTree.Element) -> None:
    """Write a style that all marks of a group share once, on the group."""
    marks = list(element)
    if len(marks) < 2 or element.tag != "g" or "style" in element.attrib:
        return
    styles = {mark.get("style") for mark in marks if mark.tag == "use"}
    if len(styles) == 1 and None not in styles and all(mark.tag == "use" for mark in marks):
        element.attrib["style"] = str(marks[0].get("style"))
        for mark in marks:
            del mark.attrib["style"]


def _drop_empty(element: ElementTree.Element) -> None:
    for child in list(element):
        _drop_empty(child)
        if child.tag in ("g", "defs") and len(child) == 0:
            element.remove(child)
