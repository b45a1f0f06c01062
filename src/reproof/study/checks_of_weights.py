"""What must be true of models whose weights were trained elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from reproof import registry
from reproof.settings.values import nearest_hint
from reproof.study.checks_of_models import architecture_place
from reproof.study.messages import Mistake
from reproof.study.model import Study


def nothing_of_training(study: Study) -> Iterator[Mistake]:
    """A model that is not trained says nothing that only a training could use."""
    for name, model in study.models.items():
        own = study.source["models"][name]
        for key in ("training", "seed_offset", "beside", "members", "half_of"):
            if model.weights is not None and own.get(key):
                yield (
                    ["models", name, key],
                    f"its weights come from {model.weights.path}; it is not trained, so take this away",
                )


def publisher_is_known(study: Study) -> Iterator[Mistake]:
    """Who published a model's weights is one of the papers."""
    papers = sorted(path.parent.name for path in registry.PACKAGE.glob("papers/*/paper.yaml"))
    for name, model in study.models.items():
        if model.weights is not None and model.weights.published_by not in ("", *papers):
            wrong = model.weights.published_by
            yield (
                ["models", name, "weights", "published_by"],
                f"no paper has the key {wrong!r}; {nearest_hint(wrong, papers)}",
            )


def missing_files(study: Study) -> Iterator[Mistake]:
    """The user's own files that a study names are there: asked of a study that is to be run."""
    used = dict.fromkeys(model.dataset for model in study.models.values())
    named = [
        *((["datasets", name], file) for name in used for file in study.datasets[name].settings.files),
        *(
            ([*architecture_place(study, name), "path"], file)
            for name, model in study.models.items()
            for file in model.architecture.settings.files
        ),
        *(
            (["models", name, "weights"], model.weights.path)
            for name, model in study.models.items()
            if model.weights is not None
        ),
    ]
    for place, file in named:
        if not os.path.exists(file):  # noqa: PTH110  # Path's raises OSError for a name that is too long
            yield place, f"there is no file or folder {file} (from {Path.cwd()})"


CHECKS = (nothing_of_training, publisher_is_known)
