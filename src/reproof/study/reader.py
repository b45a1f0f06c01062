"""A study: YAML files in, frozen typed objects out. Every mistake in them is found here and named by key path.

A study is `config.yaml` with overlays on top, merged key by key: a mapping with another `kind` replaces the one
below it, and a stanza set to null is taken away. One of the study's budgets, overlays that stand in the files
themselves, lies over the file that it stands in; on top of all lie the values of the command line. Imports no torch.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from reproof import registry
from reproof.errors import StudyError
from reproof.settings.attack import PSNR, AttackSettings
from reproof.settings.defense import DefenseSettings
from reproof.settings.source_names import AGGREGATED, JOINT, LONGEST, MEMBER
from reproof.settings.training import TrainingSettings
from reproof.settings.values import Settings
from reproof.study.checks import table_places, wrong_company, wrong_surfaces
from reproof.study.layers import COMMAND_LINE, lay_budget, merge, nearest_hint, read_yaml
from reproof.study.messages import dotted, reaches, real_path, sentence
from reproof.study.model import Choice, Model, Study
from reproof.study.schema import STANZAS, defense_settings, study_file_class


def load(files: Sequence[Path], overrides: Mapping[str, Any] | None = None) -> Study:
    """Return the study of these files with its budget: later ones laid over earlier ones, then the overrides.

    StudyError names the file, the key path and the nearest right word of the first mistake found.
    """
    values = dict(overrides or {})
    merged: dict[str, Any] = {}
    layers: list[tuple[str, Mapping[str, Any]]] = []
    for path in files:
        layer = read_yaml(path)
        if layer.get("alone") is True:
            merged, layers = {}, []
        merged = merge(merged, layer)
        layers.append((str(path), layer))
    layers.append((COMMAND_LINE, values))
    merged = lay_budget(merge(merged, values), layers)
    for section in STANZAS:
        if isinstance(merged.get(section), Mapping):
            merged[section] = {key: value for key, value in merged[section].items() if value is not None}
    return parse(merged, layers, [str(path) for path in files], values)


def parse(
    merged: Mapping[str, Any],
    layers: Sequence[tuple[str, Mapping[str, Any]]],
    files: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
) -> Study:
    """Return the study that a merged mapping describes; `layers` say which file a key came from.

    The mapping's budget has been laid over it already.
    """
    budget = merged.get("budget")
    chosen = ["budgets", budget] if budget is not None else []

    def find(path: Sequence[Any]) -> tuple[str, list[Any]]:
        """Return the file that a key came from, and the key's path there: in the file, or in its chosen budget."""
        for length in range(len(path), 0, -1):
            found = []
            for position, (name, layer) in enumerate(layers):
                if reaches(layer, path[:length]):
                    found.append((position, 2 if name == COMMAND_LINE else 0, name, list(path)))
                if chosen and reaches(layer, [*chosen, *path[:length]]):
                    found.append((position, 1, name, [*chosen, *path]))
            if found:
                return max(found, key=lambda entry: entry[:2])[2:]
        files = [name for name, _ in layers if name != COMMAND_LINE]
        return (files or ["study"])[-1], list(path)

    def fail(path: Sequence[Any], message: str, unknown: Sequence[Any] = ()) -> StudyError:
        file, there = find([*path, *unknown])
        there = there[: len(there) - len(unknown)]
        return StudyError(f"{file}: {dotted(there)}: {message}" if there else f"{file}: {message}")

    def refuse(base: Sequence[Any], data: Any, error: ValidationError) -> StudyError:
        """Return the first error. base: the path of what was validated; data: what the files say there."""
        first = error.errors(include_url=False)[0]
        unknown = [ast.literal_eval(first["ctx"]["key"])] if first["type"] == "unknown_key" else []
        return fail([*base, *real_path(data, first["loc"])], sentence(first), unknown)

    try:
        raw: Any = study_file_class().model_validate(dict(merged))
    except ValidationError as error:
        raise refuse([], merged, error) from None

    def choice(stanza: Any) -> Choice:
        settings = registry_class(stanza)
        return Choice(stanza.kind, settings)

    def registry_class(stanza: Any) -> Settings:
        family = next(f for f in registry.FAMILIES if isinstance(stanza, registry.base_of(f)))
        cls = registry.settings_class(family, stanza.kind)
        return cls.model_validate(stanza.model_dump(exclude={"kind", "built_on"}, exclude_unset=True))

    def known(path: Sequence[Any], name: str, among: Mapping[str, Any], what: str) -> str:
        if name not in among:
            raise fail(path, f"no {what} is called {name!r}; {nearest_hint(name, among)}")
        return name

    def narrow(suite: str, attack: str, changes: Mapping[str, Any]) -> Choice:
        stanza = {key: value for key, value in merged["attacks"][attack].items() if key != "kind"}
        cls = registry.settings_class("attacks", attacks[attack].kind)
        try:
            return Choice(attacks[attack].kind, cls.model_validate(merge(stanza, changes)))
        except ValidationError as error:
            raise refuse(["suites", suite, "settings", attack], changes, error) from None

    if len(set(raw.seeds)) != len(raw.seeds):
        raise fail(["seeds"], "a seed stands twice")
    known(["dataset"], raw.dataset, raw.datasets, "data set")

    models: dict[str, Model] = {}
    for name, stanza in raw.models.items():
        dataset = known(["models", name, "dataset"], stanza.dataset or raw.dataset, raw.datasets, "data set")
        training = raw.training
        if stanza.training is not None:
            defaults = merged["training"]
            try:
                training = TrainingSettings.model_validate(merge(defaults, stanza.training))
            except ValidationError as error:
                raise refuse(["models", name, "training"], stanza.training, error) from None
        beneath = choice(built_on) if (built_on := getattr(stanza.defense, "built_on", None)) else None
        if beneath is not None and cast(DefenseSettings, stanza.defense).shapes_network:
            raise fail(
                ["models", name, "defense", "built_on"],
                f"{stanza.defense.kind} shapes the network itself, so it is built on none",
            )
        if beneath is not None and cast(DefenseSettings, stanza.defense).networks > 1:
            raise fail(
                ["models", name, "defense", "built_on"],
                f"{stanza.defense.kind} trains several networks together, so it is built on none",
            )
        models[name] = Model(
            name=name,
            title=stanza.title or name.replace("_", " "),
            dataset=dataset,
            architecture=choice(stanza.architecture or raw.architecture),
            defense=choice(stanza.defense),
            training=training,
            built_on=beneath,
            seed_offset=stanza.seed_offset,
            beside=stanza.beside,
            members=stanza.members,
        )
    for name, model in models.items():
        if name in (MEMBER, AGGREGATED):
            raise fail(["models", name], f"tables call members of an ensemble {name!r}; give it another name")
        for path, message in wrong_company(model, models):
            raise fail(["models", name, *path], message)
    attacks = {name: choice(stanza) for name, stanza in raw.attacks.items()}
    suite_attacks: dict[str, dict[str, Choice]] = {}
    views = {"logits"}
    for name in registry.names("defenses"):
        views.update(defense_settings(name).views)
    for name, suite in raw.suites.items():
        known(["suites", name, "view"], suite.view, dict.fromkeys(sorted(views)), "view of a defense")
        for position, attack_name in enumerate(suite.attacks):
            known(["suites", name, "attacks", position], attack_name, attacks, "attack")
            if suite.view != "logits" and not attacks[attack_name].settings.takes_view:
                raise fail(
                    ["suites", name, "attacks", position],
                    f"{attack_name} climbs no gradient of a loss, so it cannot attack the view {suite.view!r}",
                )
        if len(set(suite.attacks)) != len(suite.attacks):
            raise fail(["suites", name, "attacks"], "an attack stands twice")
        if suite.members == "aggregated" and suite.view != "logits":
            raise fail(
                ["suites", name, "view"],
                "an aggregated suite attacks each member's logits; leave the view out, or set members: joint",
            )
        for attack_name in suite.settings:
            known(
                ["suites", name, "settings", attack_name],
                attack_name,
                dict.fromkeys(suite.attacks),
                "attack of it",
            )
        suite_attacks[name] = {
            attack_name: narrow(name, attack_name, suite.settings.get(attack_name, {}))
            for attack_name in suite.attacks
        }
        for position, attack_name in enumerate(suite.attacks if suite.members == "aggregated" else ()):
            settings = cast(AttackSettings, suite_attacks[name][attack_name].settings)
            if any(point.name == PSNR for point in settings.points()):
                raise fail(
                    ["suites", name, "attacks", position],
                    f"{attack_name} has psnrs, at which each member would have a budget of its own, and their "
                    "sum none; an aggregated suite takes budgets",
                )
            if settings.norm != "linf" and any(point.epsilon is not None for point in settings.points()):
                raise fail(
                    ["suites", name, "attacks", position],
                    f"{attack_name} has {settings.norm} budgets, to which no sum of perturbations is cut; an "
                    "aggregated suite takes linf budgets, or attacks without any",
                )
    threats = dict(raw.threats)
    for name, threat in raw.threats.items():
        here = ["threats", name]
        known([*here, "suite"], threat.suite, raw.suites, "suite")
        if threat.dataset is not None:
            known([*here, "dataset"], threat.dataset, raw.datasets, "data set")
        by_member = threat.setting == "white_box" and threat.source == MEMBER
        named = [key for key in ("source", "sources", "together") if getattr(threat, key) is not None]
        if not (by_member and named == ["source"]) and (threat.setting == "black_box") != bool(named):
            raise fail(
                here,
                "black_box needs a source model, and only black_box takes one (white_box takes 'member')",
            )
        if len(named) > 1:
            raise fail(
                [*here, named[1]],
                f"the threat has a {named[0]} already; give one of source, sources and together",
            )
        if raw.suites[threat.suite].members == "aggregated" and named:
            raise fail(
                [*here, "suite"], "an aggregated suite is made on the whole ensemble; it takes no source"
            )
        if named and raw.suites[threat.suite].view != "logits":
            raise fail(
                [*here, "suite"], "a suite made on another model attacks its logits, not a defense's view"
            )
        for position, source in enumerate(threat.others):
            place = [*here, *named, *([] if named == ["source"] else [position])]
            known(place, source, models, "model")
            if threat.others.index(source) < position:
                raise fail(place, f"{source} stands twice; name it once")
            first_source = threat.others[0]
            if models[source].dataset != models[first_source].dataset:
                raise fail(
                    place,
                    f"{source} is trained on {models[source].dataset}, {first_source} on "
                    f"{models[first_source].dataset}; name sources of one data set",
                )
        if threat.together is not None:
            threats[name] = threat.model_copy(
                update={"together": tuple(model for model in models if model in threat.together)}
            )
            if len(JOINT.join(threat.together)) > LONGEST:
                raise fail(
                    [*here, "together"],
                    f"the joined names, a folder's, are longer than {LONGEST} characters; give the models shorter ones",
                )
        for key, names in (("targets", threat.targets or ()), ("exclude", threat.exclude)):
            for position, target in enumerate(names):
                known([*here, key, position], target, models, "model")

    for (first, one), (second, other) in itertools.combinations(threats.items(), 2):
        if one.setting == other.setting:
            both = set(raw.suites[one.suite].attacks) & set(raw.suites[other.suite].attacks)
            if both and table_places(one, models, raw.suites) & table_places(other, models, raw.suites):
                raise fail(
                    ["threats", second],
                    f"attack {sorted(both)[0]!r} is already in threat {first!r} with the same setting, so the tables "
                    "could not tell the two apart; give the attack another name, or the threats other targets",
                )

    for path, message in wrong_surfaces(raw.surfaces, models):
        raise fail(["surfaces", *path], message)

    return Study(
        name=raw.study,
        title=raw.title or raw.study,
        summary=raw.summary,
        smoke=raw.smoke,
        seeds=raw.seeds,
        data_root=raw.data_root,
        datasets={name: choice(stanza) for name, stanza in raw.datasets.items()},
        models=models,
        attacks=attacks,
        suites=dict(raw.suites),
        suite_attacks=suite_attacks,
        threats=threats,
        attack_batch_size=raw.attack_batch_size,
        tolerance=raw.tolerance,
        keep_adversarial=raw.keep_adversarial,
        examples=raw.examples,
        surfaces=raw.surfaces,
        budget=raw.budget or "",
        source={key: value for key, value in merged.items() if key not in ("alone", "budgets")},
        files=tuple(files),
        overrides=dict(overrides or {}),
    )
