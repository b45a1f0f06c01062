"""What the slices of jobs say of a study's models, as plain JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reproof import registry
from reproof.plan import code_digest
from reproof.plan.threats import Threats
from reproof.settings.baseline import CLEAN
from reproof.settings.source_names import MEMBER
from reproof.study.model import Choice, Model, Study


def network(model: Model) -> dict[str, Any]:
    """Return what it takes to build a model again."""
    return {
        "model": model.name,
        "dataset": model.dataset,
        "architecture": model.architecture.dump(),
        "defense": model.defense.dump(),
        **({"members": list(model.members)} if model.members else {}),
        **({"lacks_auxiliary": True} if model.lacks_auxiliary else {}),
    }


def networks(study: Study, key: str, names: Sequence[str]) -> dict[str, Any]:
    """Return what it takes to build several models again, under a key; nothing where there are none."""
    return {key: [network(study.models[name]) for name in names]} if names else {}


def network_modules(model: Model) -> tuple[str, ...]:
    """Return the plug-ins' modules that build a model."""
    return (
        f"reproof.architectures.{model.architecture.kind}",
        *(f"reproof.defenses.{kind}" for kind in model.defense_kinds),
    )


def networks_modules(study: Study, names: Sequence[str]) -> tuple[str, ...]:
    """Return the plug-ins' modules that build several models, each once, sorted."""
    return tuple(sorted({module for name in names for module in network_modules(study.models[name])}))


def own_code(study: Study, names: Sequence[str]) -> tuple[Path, ...]:
    """Return the files outside the package whose code builds these models, each once, sorted."""
    found = {
        file
        for name in names
        for path in study.models[name].architecture.settings.files
        for file in code_digest.own_files(Path(path))
    }
    return tuple(sorted(found))


def run_by(attack: Choice) -> list[str]:
    """Return the attacks whose files an attack runs, its own first; those that are gone are left out."""
    return [attack.kind, *(kind for kind in attack.settings.runs if registry.attack(kind) is not None)]


def identity(study: Study, model: Model) -> dict[str, str]:
    """Return the names by which claims and measurements know a model."""
    return {
        "dataset": study.datasets[model.dataset].settings.key,
        "architecture": model.architecture_key,
        "defense": model.defense_key,
        "training": model.training_key,
    }


def epochs(study: Study, model: Model) -> int:
    """Return a model's epochs, of an ensemble the most that a member has; none where it is not trained here."""
    members = (study.models[name] for name in (model.members or (model.name,)))
    return max(0 if one.weights is not None else one.training.epochs for one in members)


def resources(study: Study, model: Model) -> dict[str, Any]:
    """Return what a verdict lists when it differs from what the paper spent."""
    return {
        "model": model.name,
        **identity(study, model),
        "width": getattr(model.architecture.settings, "width", 1.0),
        "epochs": epochs(study, model),
        "train_images": study.datasets[model.dataset].settings.sizes()["train"],
        "seeds": len(study.seeds),
    }


def subject(study: Study, model: Model) -> dict[str, Any]:
    """Return what the checklist asks of a model (diagnostics.checklist_case.Subject)."""
    return {
        **identity(study, model),
        "added_training": _added_training(model),
        "classes": len(study.datasets[model.dataset].settings.class_names),
        "views": list(model.attack_losses),
        "surrogates": list(model.surrogates),
        "purifies": model.defense.settings.purifies,
        "members": len(model.members),
    }


def _added_training(model: Model) -> str:
    """Return the adversarial examples of a model's training that its defense does not make itself."""
    if model.weights is not None:
        own = model.defense.settings.trains_on
        return "" if model.weights.trained_on in (own, CLEAN) else model.weights.trained_on
    return model.training.adversarial.attack if model.training.adversarial else ""


def suite_overrides(study: Study, threats: Threats) -> list[dict[str, Any]]:
    """Return the attacks whose suite sets them otherwise than their config entry, and whom they meet where.

    A suite's attack loss is one of the settings, `view`, where it is not the logits' cross-entropy.
    """
    found = []
    for target in study.models:
        for threat in threats.threats_on(target).values():
            sources = threats.sources(target, threat)
            view = study.suites[threat.suite].view
            loss = {} if view == "logits" else {"view": view}
            for attack, choice in threats.attacks_on(sources[0], threat.suite).items():
                if loss or choice != study.attacks[attack]:
                    found += [
                        {
                            "model": target,
                            "setting": threat.setting,
                            "source": threats.source_name(source, threat),
                            "attack": attack,
                            "settings": {**choice.dump(), **loss},
                        }
                        for source in (*sources, *([MEMBER] if threat.source == MEMBER else []))
                    ]
    return found


def figures(study: Study) -> dict[str, Any]:
    """Return what the study's figures say of its models."""
    models = study.models
    return {
        "study": study.name,
        "titles": {name: model.title for name, model in models.items()},
        "class_names": {
            name: list(study.datasets[model.dataset].settings.class_names) for name, model in models.items()
        },
        "identities": {name: list(identity(study, model).values()) for name, model in models.items()},
        "ensembles": {name: ensemble(study, model) for name, model in models.items() if model.members},
        "surroundings": surroundings(study),
    }


def surroundings(study: Study) -> dict[str, Any] | None:
    """Return what figures must know of the loss surfaces beside their numbers; None where there are none."""
    wanted = study.surfaces
    if wanted is None or wanted.beside is None or not wanted.models:
        return None
    return {
        "beside": study.models[wanted.beside].title,
        "own": wanted.beside in wanted.models,
        "clipped": wanted.clip,
    }


def ensemble(study: Study, model: Model) -> dict[str, Any]:
    """Return what figures tell an ensemble by; `at` is its last member's value of the setting that is swept."""
    last = study.models[model.members[-1]].defense
    swept = last.settings.swept if last.kind == model.defense.kind else ""
    return {
        "title": model.title,
        "kind": model.defense.kind,
        "members": list(model.members),
        "swept": swept,
        "at": float(getattr(last.settings, swept)) if swept else None,
    }


def separated(study: Study, model: Model) -> dict[str, Any]:
    """Return whose LSS an ensemble's is (measuring.separations.Separated), without seed and margin."""
    known = ensemble(study, model)
    own = {"study": study.name, "model": model.name, **identity(study, model)}
    return {**own, "swept": known["swept"], "at": known["at"]}


def plug_ins(study: Study) -> dict[str, Any]:
    """Return what the study's plug-ins say of themselves: a new title is shown, and nothing is trained for it."""
    models = study.models.values()
    used = {
        "architectures": (model.architecture.kind for model in models),
        "attacks": (attack.kind for attack in study.attacks.values()),
        "datasets": (dataset.kind for dataset in study.datasets.values()),
        "defenses": (kind for model in models for kind in model.defense_kinds),
    }
    return {family: registry.told(family, used[family]) for family in registry.FAMILIES}


def all_plug_ins() -> dict[str, Any]:
    """Return what every plug-in says of itself: claims are about those that the study lacks, too."""
    return {family: registry.told(family, registry.names(family)) for family in registry.FAMILIES}


def titles() -> dict[str, Any]:
    """Return what those are called that the papers' claims name, whether they are here or not."""
    return {
        family: {key: registry.title(family, key) for key in registry.terms(family)}
        for family in registry.FAMILIES
    }
