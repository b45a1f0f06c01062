"""Figures of example images: clean, under attack, and what the attack added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from reproof import wording
from reproof.figures import parameters
from reproof.figures.kinds import attack_order
from reproof.figures.style import render, unreadable

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXAMPLES_SHOWN = 6
_ATTACKS_SHOWN = 3


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
    rows = [("clean", clean, [_class(class_names, label) for label in labels])]
    for attack, text in _strongest(tensors).items():
        key = f"{attack}/{text}"
        images = _unit(tensors[key])[: len(clean)]
        predictions = tensors[f"predictions/{key}"][: len(clean)]
        marks = [
            f"{'✓' if prediction == label else '✗'} {_class(class_names, prediction)}"
            for prediction, label in zip(predictions, labels, strict=True)
        ]
        added = images - clean
        factor = 0.5 / max(float(np.abs(added).max()), 1e-6)
        rows.append((f"{wording.attack(attack)}\n{wording.parameters(text)}", images, marks))
        rows.append((f"what it added\n× {factor:.1f}, grey is 0", 0.5 + factor * added, [""] * len(clean)))
    if len(rows) == 1:
        return None
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


def _strongest(tensors: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """Return the attacks to show, each with its largest budget: the last three in the order of legends."""
    strongest: dict[str, str] = {}
    for key in sorted(tensors):
        attack, slash, text = key.partition("/")
        if slash and attack != "predictions" and _size(text) >= _size(strongest.get(attack, "")):
            strongest[attack] = text
    return {attack: strongest[attack] for attack in sorted(strongest, key=attack_order)[-_ATTACKS_SHOWN:]}


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


def _size(text: str) -> float:
    return next(iter(parameters.numbers(text)), -1.0)


def _class(names: Sequence[str], label: Any) -> str:
    return names[int(label)] if 0 <= int(label) < len(names) else str(int(label))
