"""What must be true of a study's models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from reproof import registry
from reproof.settings.architecture import ArchitectureSettings
from reproof.settings.dataset import DatasetSettings
from reproof.settings.defense import DefenseSettings, Undertaking
from reproof.settings.source_names import AGGREGATED, MEMBER
from reproof.settings.values import nearest_hint
from reproof.study.messages import Mistake, unknown
from reproof.study.model import Model, Study
from reproof.study.plug_in import defense_settings


def known_dataset(study: Study) -> Iterator[Mistake]:
    """A model's data set is one of the study's."""
    for name, model in study.models.items():
        yield from unknown(["models", name, "dataset"], model.dataset, study.datasets, "data set")


def free_name(study: Study) -> Iterator[Mistake]:
    """No model has a name that tables use for the members of an ensemble."""
    for name in study.models:
        if name in (MEMBER, AGGREGATED):
            yield ["models", name], f"tables call members of an ensemble {name!r}; give it another name"


def built_on_fits(study: Study) -> Iterator[Mistake]:
    """A defense is built on another only where it trains one network and does not shape it itself."""
    for name, model in study.models.items():
        if model.built_on is None:
            continue
        place, kind, declared = ["models", name, "defense", "built_on"], model.defense.kind, _declared(model)
        if declared.shapes_network:
            yield place, f"{kind} shapes the network itself, so it is built on none"
        if declared.networks > 1:
            yield place, f"{kind} trains several networks together, so it is built on none"


def company_is_taken(study: Study) -> Iterator[Mistake]:
    """Only a defense that votes has members, and only one that learns from others has models beside it."""
    for name, model in study.models.items():
        for key, names in _company(model):
            if names and not _takes(model.defense.kind, key):
                takers = [kind for kind in registry.names("defenses") if _takes(kind, key)]
                yield (
                    ["models", name, key],
                    f"{model.defense.kind} takes none; {' and '.join(takers)} do",
                )


def company_is_trained(study: Study) -> Iterator[Mistake]:
    """What stands beside a model, or votes in it, is another trained model of the same data, named once."""
    models = study.models
    for name, model in models.items():
        for key, names in _company(model):
            for position, other in enumerate(names):
                place = ["models", name, key, position]
                yield from unknown(place, other, models, "model")
                if other not in models:
                    continue
                if names.count(other) > 1:
                    yield place, f"{other} stands twice; name it once"
                elif other == name:
                    yield place, f"{other} cannot stand here itself; name other models"
                elif models[other].members:
                    yield place, f"{other} is an ensemble itself; name models that are trained"
                elif models[other].dataset != model.dataset:
                    yield (
                        place,
                        f"{other} is trained on {models[other].dataset}, not on {model.dataset}; name models of one "
                        "data set",
                    )


def nobody_waits_for_itself(study: Study) -> Iterator[Mistake]:
    """Models that learn from each other can be trained one after the other."""
    for name, model in study.models.items():
        for key, names in _company(model):
            for position, other in enumerate(names):
                if name in _trained_before(study, other):
                    yield (
                        ["models", name, key, position],
                        f"{other} is trained after {name}; take one out of the other's beside",
                    )


def votes_have_members(study: Study) -> Iterator[Mistake]:
    """A defense that votes says who votes, or whom its network is trained beside."""
    for name, model in study.models.items():
        declared = _declared(model)
        if declared.votes and not (model.members or model.beside):
            beside = ", or the models that it is trained beside" if declared.learns_beside else ""
            yield (
                ["models", name, "defense"],
                f"{model.defense.kind} needs members, the trained models that vote{beside}",
            )


def ensembles_are_only_put_together(study: Study) -> Iterator[Mistake]:
    """An ensemble has members enough, and nothing that only a training could use."""
    for name, model in study.models.items():
        if not model.members:
            continue
        if model.beside or model.built_on or len(model.members) < 2:
            yield (
                ["models", name, "members"],
                "an ensemble has at least two members, and neither beside nor built_on",
            )
        if model.seed_offset:
            yield ["models", name, "seed_offset"], "an ensemble is not trained; set its members' instead"


def members_are_plain_networks(study: Study) -> Iterator[Mistake]:
    """A member is a plain network of the ensemble's architecture, trained as the ensemble's entry says."""
    for name, model in study.models.items():
        for position, other in enumerate(model.members):
            place, member = ["models", name, "members", position], study.models[other]
            declared = _declared(member)
            if member.architecture != model.architecture:
                yield (
                    place,
                    f"{other} is another network than the ensemble's architecture says; give both the same",
                )
            if member.built_on is not None or declared.shapes_network or declared.networks > 1:
                yield (
                    place,
                    f"the defense of {other} changes its network, and a member is a plain network of the "
                    "architecture; name another model",
                )
            if member.training_key != model.training_key:
                yield (
                    place,
                    f"{other} is trained on {member.training_key} examples, the ensemble by its config entry on "
                    f"{model.training_key} ones, as tables would say; give it the members' training",
                )


def images_are_large_enough(study: Study) -> Iterator[Mistake]:
    """A network's layers leave something of the images."""
    for name, model in study.models.items():
        _, height, width = _data(study, model).shape
        least = cast(ArchitectureSettings, model.architecture.settings).smallest_side
        if min(height, width) < least:
            yield (
                architecture_place(study, name),
                f"{model.architecture.kind} needs images of at least {least} x {least} pixels; those of "
                f"{model.dataset} have {height} x {width}",
            )


def crops_hold_images(study: Study) -> Iterator[Mistake]:
    """A random crop always shows a part of the image, not its black border alone."""
    for name, model in study.models.items():
        _, height, width = _data(study, model).shape
        if (
            model.weights is None
            and model.training.augmentation != "none"
            and model.training.padding >= min(height, width)
        ):
            yield (
                _training_place(study, name, "padding"),
                f"should be less than the images' {min(height, width)} pixels, not {model.training.padding}; a crop "
                f"of {model.dataset} could show nothing but the border",
            )


def enough_images_to_train_on(study: Study) -> Iterator[Mistake]:
    """A model is trained on two images or more."""
    for name, model in study.models.items():
        if _data(study, model).sizes()["train"] < 2 and not (model.members or model.weights):
            yield ["datasets", model.dataset], f"training {name} needs at least two training images"


def defense_fits_its_training(study: Study) -> Iterator[Mistake]:
    """A defense can be trained as long, on such images, of such a network, as the study says."""
    for name, model in study.models.items():
        asked, place = _undertaking(study, model), ["models", name, "defense"]
        if model.members or model.weights:
            continue
        for key, message in _declared(model).misfits(asked):
            yield [*place, *([key] if key else [])], message
        beneath = model.built_on
        for key, message in beneath.settings.misfits(asked) if beneath is not None else ():
            yield [*place, "built_on", *([key] if key else [])], message


def _undertaking(study: Study, model: Model) -> Undertaking:
    data, adversarial = _data(study, model), model.training.adversarial
    architecture = cast(ArchitectureSettings, model.architecture.settings)
    return Undertaking(
        epochs=model.training.epochs,
        replaced=0.0 if adversarial is None or adversarial.augment else adversarial.share,
        train_images=data.sizes()["train"],
        classes=len(data.class_names),
        height=data.shape[1],
        width=data.shape[2],
        features=() if model.built_on is not None else architecture.features,
        residual=architecture.residual,
    )


def halves_are_of_models(study: Study) -> Iterator[Mistake]:
    """A model trained half as long as another is like it: in data, network, defense, and half of its epochs."""
    for name, model in study.models.items():
        if not model.half_of:
            continue
        other = study.models.get(model.half_of)
        if other is None or other is model:
            yield (
                ["models", name, "half_of"],
                f"there is no other model {model.half_of!r}; {nearest_hint(model.half_of, study.models)}",
            )
        elif _kind(study, model) != _kind(study, other):
            yield ["models", name, "half_of"], f"{model.half_of!r} is another kind of model"
        elif not model.members and 2 * model.training.epochs != other.training.epochs:
            yield (
                ["models", name, "half_of"],
                f"trains {model.training.epochs} epochs; half of {model.half_of!r} are "
                f"{other.training.epochs / 2:g}",
            )
        elif model.members and not _members_are_halves(study, model, other):
            yield (
                ["models", name, "members"],
                f"should be those of {model.half_of!r}, in their order, each trained half as long (its `half_of`)",
            )
        elif changed := _otherwise(model, other):
            yield (
                ["models", name, *changed],
                f"differs from {model.half_of!r} by more than the length of training",
            )


def _members_are_halves(study: Study, model: Model, whole: Model) -> bool:
    """Say whether an ensemble's members are another one's, each trained half as long."""
    return [study.models[name].half_of for name in model.members] == list(whole.members)


def _otherwise(model: Model, whole: Model) -> list[str]:
    """Return where two models differ by more than how long they are trained; nothing where they do not."""
    if model.architecture != whole.architecture:
        return ["architecture"]
    if _without_lengths(model.defense.dump()) != _without_lengths(whole.defense.dump()):
        return ["defense"]
    own, others = (one.training.model_dump(mode="json") for one in (model, whole))
    differing = [
        key for key in own if _without_lengths({key: own[key]}) != _without_lengths({key: others[key]})
    ]
    return ["training", differing[0]] if differing and not model.members else []


def _without_lengths(dumped: dict[str, Any]) -> dict[str, Any]:
    """Return settings without those that are counted in epochs, or in rounds of several."""
    return {
        key: _without_lengths(value) if isinstance(value, dict) else value
        for key, value in dumped.items()
        if not any(word in key for word in ("epochs", "rounds", "milestones", "checkpoint"))
    }


def _kind(study: Study, model: Model) -> tuple[str, ...]:
    return model.dataset, model.architecture_key, model.defense_key, model.training_key


def _company(model: Model) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return ("beside", model.beside), ("members", model.members)


def _takes(defense: str, key: str) -> bool:
    return defense_settings(defense).votes if key == "members" else defense_settings(defense).learns_beside


def _declared(model: Model) -> DefenseSettings:
    return cast(DefenseSettings, model.defense.settings)


def _data(study: Study, model: Model) -> DatasetSettings:
    return cast(DatasetSettings, study.datasets[model.dataset].settings)


def _trained_before(study: Study, model: str) -> set[str]:
    """Return a model and all that it is trained beside, at any remove."""
    found, todo = set(), [model]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += study.models[name].beside
    return found


def architecture_place(study: Study, model: str) -> Sequence[Any]:
    """Return where a model's architecture is said: in its own entry, or for all."""
    own = study.source["models"][model].get("architecture") is not None
    return ["models", model, "architecture"] if own else ["architecture"]


def _training_place(study: Study, model: str, key: str) -> Sequence[Any]:
    """Return where a key of a model's training is said: in its own entry, or for all."""
    own = study.source["models"][model].get("training") or {}
    return ["models", model, "training", key] if key in own else ["training", key]


CHECKS = (
    known_dataset,
    free_name,
    built_on_fits,
    company_is_taken,
    company_is_trained,
    nobody_waits_for_itself,
    votes_have_members,
    ensembles_are_only_put_together,
    members_are_plain_networks,
    images_are_large_enough,
    crops_hold_images,
    enough_images_to_train_on,
    defense_fits_its_training,
    halves_are_of_models,
)
