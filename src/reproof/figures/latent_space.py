"""Figures of latent spaces: features of clean and of adversarial images on two components."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.path import Path as MatplotlibPath
from matplotlib.textpath import TextPath

from reproof import wording
from reproof.figures.kinds import baselines, strong_ascents
from reproof.figures.style import SERIES, arrange, legend, render, unreadable

if TYPE_CHECKING:
    from numpy.typing import NDArray

_POINTS_SHOWN = 200
_CLASSES_SHOWN = 10


def latent_space(model: str, title: str, outcomes: Path, class_names: Sequence[str]) -> str | None:
    """Draw clean and adversarial features on the first two principal components (as Mustafa Fig. 1).

    Shows PGD, or else another attack, at its largest budget, in L∞ before other norms; the first 200 images, the first
    ten classes. Each point is the digit of its true class. None where the outcomes hold no such attack.
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
        named = any(name != str(index) for index, name in enumerate(names))
        arrange(figure, list(axes), legend(figure, list(axes)) if named else 0)

    return render(
        f"latent_space_{model}",
        f"Latent space of {title}",
        "Penultimate features of test images, projected on the first two principal components of the clean "
        "ones. Each mark is the number of the image's true class; a defense that works keeps the right panel "
        "like the left.",
        paint,
        (7.2, 3.3),
    )


@functools.cache
def _glyph(character: str) -> MatplotlibPath:
    """Return a character's outline, centred, as a marker."""
    outline = TextPath((0, 0), character)
    centre = (outline.vertices.min(axis=0) + outline.vertices.max(axis=0)) / 2
    return MatplotlibPath(outline.vertices - centre, outline.codes)


def _attacked_rows(path: Path) -> tuple[str, str, dict[str, NDArray[Any]]] | None:
    """Read the rows of the attack that the latent figure shows, ordered by image."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = ["image", "label", "attack", "kind", "setting", "norm", "parameters", "epsilon"]
    wanted += [f"{kind}_{what}" for kind in ("clean", "adversarial") for what in ("prediction", "x", "y")]
    try:
        with path.open("rb") as file:
            table = pq.read_table(file, columns=wanted)
    except (OSError, pa.ArrowInvalid) as error:
        raise unreadable(path, error) from error
    columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in wanted}
    kinds = set(columns["kind"])
    usable = (columns["attack"] != "none") & ~np.isin(columns["kind"], list(baselines(kinds)))
    usable &= columns["setting"] != "black_box"
    usable &= ~np.isnan(columns["epsilon"].astype(float)) & ~np.isnan(columns["adversarial_x"])
    strong = strong_ascents(kinds)
    candidates = {
        (kind in strong, norm == "linf", float(epsilon), kind in strong and name == kind, name, parameters)
        for kind, norm, epsilon, name, parameters in zip(
            *(columns[key][usable] for key in ("kind", "norm", "epsilon", "attack", "parameters")),
            strict=True,
        )
    }
    if not candidates:
        return None
    *_, attack, parameters = max(candidates)
    chosen = usable & (columns["attack"] == attack) & (columns["parameters"] == parameters)
    order = np.flatnonzero(chosen)[np.argsort(columns["image"][chosen], kind="stable")]
    return str(attack), str(parameters), {name: column[order] for name, column in columns.items()}
