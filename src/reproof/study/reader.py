"""A study: YAML files in, frozen typed objects out. Every mistake in them is found here and named by key path.

A study is `config.yaml` with overlays on top, merged key by key: a mapping with another `kind` replaces the one
below it, and an entry set to null is taken away. One of the study's budgets, overlays that stand in the files
themselves, lies over the file that it stands in; on top of all lie the values of the command line. Imports no torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reproof import plugin_folders, registry
from reproof.settings.baseline import UNDEFENDED
from reproof.settings.training import TrainingSettings
from reproof.study.checks import CHECKS
from reproof.study.checks_of_weights import missing_files
from reproof.study.layers import COMMAND_LINE, lay_budget, merge, read_yaml
from reproof.study.messages import Origins
from reproof.study.model import Choice, Model, Study, SuiteSettings, ThreatSettings
from reproof.study.schema import SECTIONS, ModelEntry, StudyEntries, StudyFile, errors_of_part

UNTRAINED = TrainingSettings(epochs=1, learning_rate=1.0)
"""What stands for the training of models that are never trained, in a study that says of none."""


def load(files: Sequence[Path], overrides: Mapping[str, Any] | None = None, *, to_run: bool = False) -> Study:
    """Return the study of these files with its budget: later ones laid over earlier ones, then the overrides.

    to_run: the user's own files that it names must be there. StudyError names the file, the key path and the nearest
    right word of the first mistake found.
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
    for section in SECTIONS:
        if isinstance(merged.get(section), Mapping):
            merged[section] = {key: value for key, value in merged[section].items() if value is not None}
    study = parse(merged, layers, [str(path) for path in files], values)
    origins = Origins(layers, merged.get("budget"))
    for place, message in missing_files(study) if to_run else ():
        raise origins.mistake(place, message)
    return study


def parse(
    merged: Mapping[str, Any],
    layers: Sequence[tuple[str, Mapping[str, Any]]],
    files: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
) -> Study:
    """Return the study that a merged mapping describes; `layers` say which file a key came from.

    The mapping's budget has been laid over it already.
    """
    origins = Origins(layers, merged.get("budget"))
    _use_plug_ins(merged.get("plugins"))
    entries = _read_entries(merged, origins)
    models = {name: _model(name, entry, merged, entries, origins) for name, entry in entries.models.items()}
    study = Study(
        name=entries.study,
        title=entries.title or entries.study,
        summary=entries.summary,
        smoke=entries.smoke,
        seeds=entries.seeds,
        data_root=entries.data_root,
        datasets=entries.datasets,
        models=models,
        attacks=entries.attacks,
        suites=entries.suites,
        suite_attacks={
            name: _suite_attacks(name, suite, merged, entries, origins)
            for name, suite in entries.suites.items()
        },
        threats=entries.threats,
        attack_batch_size=entries.attack_batch_size,
        looks=entries.looks,
        keep_adversarial=entries.keep_adversarial,
        examples=entries.examples,
        deterministic=entries.deterministic,
        surfaces=entries.surfaces,
        budget=entries.budget or "",
        plugins=entries.plugins,
        source={key: value for key, value in merged.items() if key not in ("alone", "budgets")},
        files=tuple(files),
        overrides=dict(overrides or {}),
    )
    for check in CHECKS:
        for path, message in check(study):
            raise origins.mistake(path, message)
    threats = {name: _in_study_order(threat, models) for name, threat in study.threats.items()}
    return dataclasses.replace(study, threats=threats)


def _use_plug_ins(folders: Any) -> None:
    """Let the study's own plug-ins be found; what is no list of names is left to the schema, which says so."""
    named = isinstance(folders, list | tuple) and all(isinstance(folder, str) for folder in folders)
    plugin_folders.use(folders if named else ())


def _read_entries(merged: Mapping[str, Any], origins: Origins) -> StudyFile:
    """Return the study file's entries, each by itself of the right type; its budgets too, chosen or not."""
    try:
        entries = StudyFile.model_validate(dict(merged))
    except ValidationError as error:
        raise origins.refusal([], merged, error.errors(include_url=False)) from None
    for name, budget in entries.budgets.items():
        if budget is not None and (errors := errors_of_part(StudyEntries, budget)):
            raise origins.refusal(["budgets", name], budget, errors)
        for model, entry in (budget or {}).get("models", {}).items():
            training = (entry or {}).get("training") or {}
            if errors := errors_of_part(TrainingSettings, training):
                raise origins.refusal(["budgets", name, "models", model, "training"], training, errors)
    return entries


def _model(
    name: str, entry: ModelEntry, merged: Mapping[str, Any], entries: StudyFile, origins: Origins
) -> Model:
    """Return a model, whose training is laid over the study's."""
    training = entries.training
    if entry.weights is None and entry.defense is None:
        raise origins.mistake(["models", name, "defense"], "this key is missing")
    if entry.weights is not None:
        training = training or UNTRAINED
    elif training is None and entry.training is None:
        raise origins.mistake(["training"], "this key is missing")
    if entry.training is not None and entry.weights is None:
        try:
            training = TrainingSettings.model_validate(merge(merged.get("training"), entry.training))
        except ValidationError as error:
            errors = error.errors(include_url=False)
            raise origins.refusal(["models", name, "training"], entry.training, errors) from None
    assert training is not None
    return Model(
        name=name,
        title=entry.title or name.replace("_", " "),
        dataset=entry.dataset or entries.dataset,
        architecture=entry.architecture or entries.architecture,
        defense=entry.defense or _undefended(),
        training=training,
        seed_offset=entry.seed_offset,
        beside=entry.beside,
        members=entry.members,
        stands_for=entry.stands_for,
        half_of=entry.half_of or "",
        weights=entry.weights,
    )


def _undefended() -> Choice:
    return Choice(UNDEFENDED, registry.settings_class("defenses", UNDEFENDED)())


def _suite_attacks(
    name: str, suite: SuiteSettings, merged: Mapping[str, Any], entries: StudyFile, origins: Origins
) -> dict[str, Choice]:
    """Return a suite's attacks with its overrides; those that the study does not know are left to the checks."""
    found = {attack: entries.attacks[attack] for attack in suite.attacks if attack in entries.attacks}
    for attack, changes in suite.settings.items():
        if attack in found:
            kind = found[attack].kind
            entry = {key: value for key, value in merged["attacks"][attack].items() if key != "kind"}
            try:
                settings = registry.settings_class("attacks", kind).model_validate(merge(entry, changes))
            except ValidationError as error:
                errors = error.errors(include_url=False)
                raise origins.refusal(["suites", name, "settings", attack], changes, errors) from None
            found[attack] = Choice(kind, settings)
    return found


def _in_study_order(threat: ThreatSettings, models: Mapping[str, Model]) -> ThreatSettings:
    """Return a threat whose models attacked together stand in the study's order: tables call them by it."""
    if threat.together is None:
        return threat
    return threat.model_copy(update={"together": tuple(name for name in models if name in threat.together)})
