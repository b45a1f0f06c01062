"""What must be true of a study beyond the types of its values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from reproof import registry
from reproof.settings.defense import DefenseSettings
from reproof.settings.source_names import MEMBER, parts
from reproof.study.layers import nearest_hint
from reproof.study.model import Model, SuiteSettings, SurfaceSettings, ThreatSettings
from reproof.study.schema import defense_settings


def wrong_company(model: Model, models: Mapping[str, Model]) -> Iterator[tuple[list[Any], str]]:
    """Yield what is wrong with a model's `beside` and `members`: the path inside its stanza, and a sentence."""
    declared = cast(DefenseSettings, model.defense.settings)
    for key, names, able in (
        ("beside", model.beside, declared.learns_beside),
        ("members", model.members, declared.votes),
    ):
        if names and not able:
            takers = [name for name in registry.names("defenses") if _takes(name, key)]
            yield [key], f"{model.defense.kind} takes none; {' and '.join(takers)} do"
        for position, name in enumerate(names):
            if name not in models:
                yield [key, position], f"no model is called {name!r}; {nearest_hint(name, models)}"
            elif names.count(name) > 1:
                yield [key, position], f"{name} stands twice; name it once"
            elif name == model.name:
                yield [key, position], f"{name} cannot stand here itself; name other models"
            elif models[name].members:
                yield [key, position], f"{name} is an ensemble itself; name models that are trained"
            elif models[name].dataset != model.dataset:
                yield (
                    [key, position],
                    f"{name} is trained on {models[name].dataset}, not on {model.dataset}; name models of one data set",
                )
            elif model.name in _trained_before(models[name], models):
                yield (
                    [key, position],
                    f"{name} is trained after {model.name}; take one out of the other's beside",
                )
    if declared.votes and not (model.members or model.beside):
        beside = ", or the models that it is trained beside" if declared.learns_beside else ""
        yield ["defense"], f"{model.defense.kind} needs members, the trained models that vote{beside}"
    if not model.members:
        return
    if model.beside or model.built_on or len(model.members) < 2:
        yield ["members"], "an ensemble has at least two members, and neither beside nor built_on"
    if model.seed_offset:
        yield ["seed_offset"], "an ensemble is not trained; set its members' instead"
    for position, name in enumerate(model.members):
        for message in _no_plain_network(models[name], model):
            yield ["members", position], message


def wrong_surfaces(
    surfaces: SurfaceSettings | None, models: Mapping[str, Model]
) -> Iterator[tuple[list[Any], str]]:
    """Yield what is wrong with the surfaces' models: the path inside their stanza, and a sentence."""
    if surfaces is None:
        return
    names = surfaces.models or ()
    places: list[tuple[list[Any], str]] = [
        (["models", position], name) for position, name in enumerate(names)
    ]
    places += [(["beside"], surfaces.beside)] if surfaces.beside is not None else []
    for path, name in places:
        if name not in models:
            yield path, f"no model is called {name!r}; {nearest_hint(name, models)}"
    if len(set(names)) != len(names):
        yield ["models"], "a model stands twice; name it once"
    if not names:
        return
    if surfaces.beside is None:
        yield ["beside"], "direction 1 is taken from an undefended model; name one"
        return
    beside = models[surfaces.beside]
    if beside.defense.kind != "undefended" or beside.built_on is not None or beside.training_key != "clean":
        yield ["beside"], f"{beside.name} is defended, and direction 1 is taken from an undefended model"
    for position, name in enumerate(names):
        if models[name].dataset != beside.dataset:
            yield (
                ["models", position],
                f"{name} is trained on {models[name].dataset}, and {beside.name}, which gives direction 1, on "
                f"{beside.dataset}; name models of one data set",
            )


def _no_plain_network(member: Model, ensemble: Model) -> Iterator[str]:
    """Yield why a model cannot be a member of an ensemble."""
    declared = cast(DefenseSettings, member.defense.settings)
    if member.architecture != ensemble.architecture:
        yield f"{member.name} is another network than the ensemble's architecture says; give both the same"
    if member.built_on is not None or declared.shapes_network or declared.networks > 1:
        yield (
            f"the defense of {member.name} changes its network, and a member is a plain network of the "
            "architecture; name another model"
        )
    if member.training_key != ensemble.training_key:
        yield (
            f"{member.name} is trained on {member.training_key} examples, the ensemble by its stanza on "
            f"{ensemble.training_key} ones, as tables would say; give it the members' training"
        )


def _takes(defense: str, key: str) -> bool:
    return defense_settings(defense).votes if key == "members" else defense_settings(defense).learns_beside


def _trained_before(model: Model, models: Mapping[str, Model]) -> set[str]:
    """Return a model and all that it is trained beside, at any remove."""
    found, todo = set(), [model.name]
    while todo:
        name = todo.pop()
        if name in models and name not in found:
            found.add(name)
            todo += models[name].beside
    return found


def table_places(
    threat: ThreatSettings, models: Mapping[str, Model], suites: Mapping[str, SuiteSettings]
) -> set[tuple[str, str, str]]:
    """Return where a threat's numbers stand in tables, beside setting and attack: target, source, way of attack."""
    suite = suites[threat.suite]
    ensembles = threat.source == MEMBER or suite.members == "aggregated"
    return {
        (name, source, suite.members)
        for name in threat.targets or models
        if name not in threat.exclude
        and threat.dataset in (None, models[name].dataset)
        and (models[name].members or not ensembles)
        and (
            threat.others or threat.source == MEMBER or suite.view in ("logits", *models[name].attack_losses)
        )
        for source in (threat.makers(name) if threat.others else (threat.source or "",))
        if not threat.others or models[parts(source)[0]].dataset == models[name].dataset
    }
