"""What a study's models are, setting by setting, named as in a paper's protocol (claims.protocol.Experiment)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from reproof.plan.facts import identity
from reproof.settings.baseline import UNDEFENDED
from reproof.settings.defense import VotingSettings
from reproof.settings.table_words import ELSEWHERE
from reproof.settings.values import Settings
from reproof.study.model import Choice, Model, Study

Setting = tuple[str, Any, bool]
"""A setting's name, its value as JSON has it, and whether it is not the default."""
IDLE = ("validation", "checkpoint_seconds", "channels_last")
"""Settings of training that change no experiment: what is measured on the way, kept, and how memory is laid out."""
AMOUNTS = (
    *("train_images", "validation_images", "test_images", "split_seed"),
    *("images_per_class", "test_share", "validation_share"),
)
"""Settings of a data set that say how many images there are of it, and which; what `training_images` and the rows of
the tables say."""
OF_THE_VOTE = tuple(f"defense.{name}" for name in VotingSettings.model_fields)
"""Settings of an ensemble's own entry; all others of its defense are what its members were trained with."""


def experiment(study: Study, model: Model) -> dict[str, Any]:
    """Return what a verdict asks of a model (judging.study_facts.ModelFacts), plain JSON values.

    An ensemble that is put together has its members' training and their defense's settings, whatever its own entry
    says of them; where they do not agree, all their values. `defense.trained_as`, `defense.beside` and
    `defense.twins` are there only where a member is of another defense, was not trained beside all those before it,
    or is another one again, with the same seed.
    """
    found = _settings(study, model)
    return {
        "model": model.name,
        **identity(study, model),
        "settings": {name: value for name, value, _ in found},
        "chosen": sorted(name for name, _, chosen in found if chosen),
        "stands_for": list(model.stands_for),
        "half_of": model.half_of,
        "seed_offset": model.seed_offset,
        **({"weights": model.weights.published_by or ELSEWHERE} if model.weights is not None else {}),
    }


def _settings(study: Study, model: Model) -> list[Setting]:
    data = study.datasets[model.dataset].settings
    network = [
        *(one for one in _of("dataset", data) if one[0].partition(".")[2] not in AMOUNTS),
        *_of("architecture", model.architecture.settings),
    ]
    own = _of_defense(model, model.defense)
    if not model.members:
        return [*network, *own, *_of_training(study, model)]
    members = [study.models[name] for name in model.members]
    vote = [one for one in own if one[0] in OF_THE_VOTE]
    several = [[*_of_defense(one, one.defense), *_of_training(study, one)] for one in members]
    joined = [one for one in _joined(several) if one[0] not in OF_THE_VOTE]
    return [
        *network,
        *vote,
        *joined,
        *_of_company(model, members),
        ("defense.members", len(members), True),
    ]


def _of_company(model: Model, members: Sequence[Model]) -> Iterable[Setting]:
    """Yield what is unusual in how members came about: other defenses, and peers other than all earlier members."""
    kinds = sorted({one.defense.kind for one in members} - {model.defense.kind, UNDEFENDED})
    if kinds:
        yield "defense.trained_as", kinds, True
    trainings = [replace(one, name="", title="", stands_for=(), half_of="") for one in members]
    if twins := sum(one in trainings[:place] for place, one in enumerate(trainings)):
        yield "defense.twins", twins, True
    beside = [sorted(one.beside) for one in members]
    if any(beside) or model.defense.settings.learns_beside:
        earlier = [sorted(model.members[:place]) for place in range(len(members))]
        if beside != earlier:
            yield "defense.beside", [len(peers) for peers in beside], True


def _of_training(study: Study, model: Model) -> list[Setting]:
    if model.weights is not None:
        return [("weights.path", model.weights.path, False)]
    training = model.training
    found = [
        one for one in _of("training", training) if one[0].partition(".")[2] not in (*IDLE, "adversarial")
    ]
    if training.adversarial is not None:
        found += _of("training.adversarial", training.adversarial)
    images = study.datasets[model.dataset].settings.sizes()["train"]
    return [*found, ("training_images", images, True)]


def _of_defense(model: Model, choice: Choice, prefix: str = "defense") -> list[Setting]:
    beneath = [] if choice.built_on is None else _of_defense(model, choice.built_on, f"{prefix}.built_on")
    features = model.architecture.settings.features
    return [*_of(prefix, choice.settings, features, model.training.epochs), *beneath]


def _of(prefix: str, settings: Settings, features: Sequence[str] = (), epochs: int = 0) -> list[Setting]:
    """Return the settings of one family, as what they come to."""
    values = {**settings.model_dump(mode="json"), **settings.resolved(features, epochs)}
    return [
        (
            f"{prefix}.{name}",
            values[name],
            field.is_required() or getattr(settings, name) != field.get_default(call_default_factory=True),
        )
        for name, field in type(settings).model_fields.items()
    ]


def _joined(several: Iterable[list[Setting]]) -> list[Setting]:
    """Return the settings of several models as one's; of those that differ, a list of the different values."""
    found: dict[str, list[tuple[Any, bool]]] = {}
    for settings in several:
        for name, value, chosen in settings:
            found.setdefault(name, []).append((value, chosen))
    joined = []
    for name, values in found.items():
        different = [
            value for place, (value, _) in enumerate(values) if value not in [v for v, _ in values[:place]]
        ]
        chosen = any(chosen for _, chosen in values)
        joined.append(
            (name, different[0] if len(different) == 1 else different, chosen or len(different) > 1)
        )
    return joined
