"""Every figure of a study, from its files. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from reproof import wording
from reproof.figures import ensembles as figures_ensembles
from reproof.figures import surfaces as figures_surfaces
from reproof.figures import training
from reproof.figures.examples import example_images
from reproof.figures.latent_space import latent_space
from reproof.figures.robustness import accuracy_against_epsilon, cost_against_robustness
from reproof.figures.rounds import centroid_paths, rounds


@dataclass(frozen=True)
class FigureInputs:
    """What figures are drawn from: the summary, and files that earlier rules wrote."""

    summary: pd.DataFrame
    """tables/summary.csv"""
    titles: Mapping[str, str]
    """Model's name -> its title, in the order in which models are shown."""
    class_names: Mapping[str, Sequence[str]]
    """Model's name -> its data set's class names, in the order of the labels."""
    histories: Mapping[str, Path] = field(default_factory=dict)
    """Model's name -> history.csv of one seed."""
    training_logs: Mapping[str, Mapping[str, Path]] = field(default_factory=dict)
    """Table's name (`rounds`, `centroids`) -> model's name -> CSV file of the training log of one seed."""
    identities: Mapping[str, training.Identity] = field(default_factory=dict)
    """Model's name -> what tells it from other models: networks are compared by it."""
    ensembles: Mapping[str, figures_ensembles.DrawnEnsemble] = field(default_factory=dict)
    """Model's name -> what it is an ensemble of."""
    separations: Mapping[str, Path] = field(default_factory=dict)
    """Ensemble's name -> separation.csv of one seed."""
    surfaces: Mapping[str, Path] = field(default_factory=dict)
    """Model's name -> losses around test images (CSV), one seed."""
    surroundings: figures_surfaces.Surroundings | None = None
    """What the surfaces' captions say; None where there are none."""
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
    titles, classes = inputs.titles, inputs.class_names
    chance = {model: 1 / len(names) for model, names in classes.items() if names}
    transferred = inputs.summary["source"][inputs.summary["setting"] == "black_box"]
    made_on = [
        ("white_box", ""),
        ("adaptive", ""),
        *(("black_box", one) for one in sorted(transferred.unique())),
    ]
    for setting, source in made_on:
        for norm in wording.NORMS:
            name = "_".join(filter(None, (setting, source, norm if norm != "linf" else "")))
            figures[f"accuracy_against_epsilon_{name}"] = accuracy_against_epsilon(
                inputs.summary, titles, setting, source, chance, norm
            )
    for model, path in _in_order(inputs.outcomes, titles):
        figures[f"latent_space_{model}"] = latent_space(model, titles[model], path, classes.get(model, ()))
    histories = dict(_in_order(inputs.histories, titles))
    figures["training_curves"] = training.training_curves(histories, titles)
    figures |= training.networks_compared(histories, inputs.identities)
    for model, path in _in_order(inputs.training_logs.get("rounds", {}), titles):
        figures[f"rounds_{model}"] = rounds(model, titles[model], path)
    for model, path in _in_order(inputs.training_logs.get("centroids", {}), titles):
        figures[f"centroid_paths_{model}"] = centroid_paths(
            model, titles[model], path, classes.get(model, ())
        )
    figures["separation"] = figures_ensembles.latent_separation(
        inputs.ensembles, inputs.separations, inputs.summary
    )
    figures |= figures_surfaces.draw(dict(_in_order(inputs.surfaces, titles)), titles, inputs.surroundings)
    for model, path in _in_order(inputs.examples, titles):
        figures[f"examples_{model}"] = example_images(model, titles[model], path, classes.get(model, ()))
    figures["cost_against_robustness"] = cost_against_robustness(
        inputs.summary, titles, inputs.training_seconds
    )
    return {name: svg for name, svg in figures.items() if svg is not None}


def _in_order(files: Mapping[str, Path], titles: Mapping[str, str]) -> list[tuple[str, Path]]:
    """Return the files in the order of the study's models."""
    return [(model, files[model]) for model in titles if model in files]
