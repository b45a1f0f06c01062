"""Take plug-ins, page sections and papers out of a copy of the project, with their entries in the studies.

    python -m tests.plugin_deletion COPY attacks/mim defenses/magnet sections/glossary papers/mustafa_pcl

What goes with a file: its own tests, a paper's second transcription, the config entries that choose it, and what
stands on those alone. A study whose data set or usual network is gone goes too. Studies lose their comments.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from reproof.errors import StudyError
from reproof.plan.jobs import Plan
from reproof.study.layers import read_yaml
from reproof.study.model import Study
from reproof.study.reader import load
from tests.ours import WORDS, chooses

CHOOSING = ("datasets", "models", "attacks")
NAMED = (*CHOOSING, "suites", "threats")
FOUNDATIONS = {
    *("attacks/fgsm", "attacks/pgd", "attacks/carlini_wagner"),
    *("architectures/cnn6", "datasets/digits", "defenses/undefended"),
}
"""What the code, the default study and the tests stand on; CONTRIBUTING.md says why."""
Names = dict[str, set[str]]


def delete(copy: Path, gone: Iterable[str]) -> None:
    """Delete `family/name` of each from a copy of the project, whose `reproof` is the one that is imported."""
    gone = list(gone)
    if needed := FOUNDATIONS.intersection(gone):
        raise ValueError(f"the others stand on {', '.join(sorted(needed))}: see CONTRIBUTING.md")
    ours = copy / "tests/ours.py"
    listed = ours.read_text(encoding="utf-8").replace(
        "DELETED: tuple[str, ...] = ()", f"DELETED = {tuple(word for word in gone if word in WORDS)}"
    )
    ours.write_text(listed, encoding="utf-8")
    kinds: dict[str, set[str]] = {}
    for word in gone:
        family, name = word.split("/")
        _delete_files(copy, family, name)
        kinds.setdefault(family, set()).add(name)
    base = copy / "config.yaml"
    below = _delete_entries(base, kinds, {})
    for path in sorted((copy / "studies").glob("*.yaml")):
        _delete_entries(path, kinds, {} if read_yaml(path).get("alone") else below)
    for path in (base, *sorted((copy / "studies").glob("*.yaml"))):
        _delete_unused([base] if path == base else [base, path])


def _delete_files(copy: Path, family: str, name: str) -> None:
    package = copy / "src/reproof"
    files = {
        "sections": [package / f"report/sections/{name}{end}" for end in (".py", ".html.j2")],
        "papers": [copy / f"tests/second_transcription/{name}.py"],
    }.get(family, [package / family / f"{name}.py"])
    for path in files:
        path.unlink()
    if family == "papers":
        shutil.rmtree(package / "papers" / name)
    own = "report" if family == "sections" else f"unit/{family}"
    (copy / f"tests/{own}/test_{name}.py").unlink(missing_ok=True)


def _delete_entries(path: Path, kinds: Mapping[str, set[str]], below: Names) -> Names:
    """Delete the entries that choose what is gone, and what needs those; return the names that are gone."""
    study = read_yaml(path)
    gone = {section: set(below.get(section, ())) for section in NAMED}
    _thin_out(study, kinds, gone)
    used = study.get("architecture", {}).get("kind") in kinds.get("architectures", ())
    if used or study.get("dataset") in gone["datasets"]:
        path.unlink()
    else:
        _write(path, study)
    return gone


def _thin_out(layer: dict[str, Any], kinds: Mapping[str, set[str]], gone: Names) -> None:
    """Delete from a study or a budget of it; `gone` gains the names of what goes."""
    models = layer.get("models") or {}
    for section, families in (
        ("datasets", ("datasets",)),
        ("models", ("architectures", "defenses")),
        ("attacks", ("attacks",)),
    ):
        lost = set().union(*(kinds.get(family, set()) for family in families))
        gone[section] |= {name for name, entry in (layer.get(section) or {}).items() if chooses(entry, lost)}
    for entry in filter(None, models.values()):
        weights = entry.get("weights")
        if isinstance(weights, dict) and weights.get("published_by") in kinds.get("papers", ()):
            del weights["published_by"]
    attacks = kinds.get("attacks", set())
    while more := {
        name
        for name, entry in models.items()
        if name not in gone["models"]
        and entry
        and (
            gone["models"].intersection(entry.get("beside", ()))
            or gone["models"].intersection(entry.get("members", ()))
            or entry.get("dataset") in gone["datasets"]
            or ((entry.get("training") or {}).get("adversarial") or {}).get("attack") in attacks
        )
    }:
        gone["models"] |= more
    _delete_named(layer, gone)
    for name, suite in (layer.get("suites") or {}).items():
        if suite:
            _keep(suite, ("attacks",), gone["attacks"])
            _keep(suite, ("transfer_from",), gone["models"])
            for attack in gone["attacks"].intersection(suite.get("settings", ())):
                del suite["settings"][attack]
            if suite.get("attacks") == []:
                gone["suites"].add(name)
    for name, threat in (layer.get("threats") or {}).items():
        if threat and not _still_holds(threat, gone):
            gone["threats"].add(name)
    _delete_named(layer, gone)
    surfaces = layer.get("surfaces") or {}
    _keep(surfaces, ("models",), gone["models"])
    for budget in (layer.get("budgets") or {}).values():
        if budget:
            _thin_out(budget, kinds, gone)
    if surfaces.get("models") == [] or surfaces.get("beside") in gone["models"]:
        for part in (layer, *filter(None, (layer.get("budgets") or {}).values())):
            part.pop("surfaces", None)


def _delete_named(layer: dict[str, Any], gone: Names) -> None:
    for section in NAMED:
        for name in gone[section].intersection(layer.get(section) or ()):
            del layer[section][name]


def _keep(entry: dict[str, Any], keys: Iterable[str], gone: set[str]) -> None:
    for key in keys:
        if entry.get(key):
            entry[key] = [name for name in entry[key] if name not in gone]


def _still_holds(threat: dict[str, Any], gone: Names) -> bool:
    """Take the models that are gone out of a threat; return whether it is still a threat."""
    _keep(threat, ("targets", "sources", "exclude"), gone["models"])
    return not (
        threat.get("suite") in gone["suites"]
        or threat.get("source") in gone["models"]
        or threat.get("dataset") in gone["datasets"]
        or any(threat.get(key) == [] for key in ("targets", "sources"))
        or gone["models"].intersection(threat.get("together", ()))
    )


UNUSED = ("no threat has this suite", "no model meets it", "no attack loss of a defense is called")
"""What is said of suites and threats that nobody meets any more."""


def _delete_unused(files: list[Path]) -> None:
    """Delete what nothing needs any more: suites and threats that nobody meets, networks trained for others alone."""
    for budget in read_yaml(files[-1]).get("budgets") or [None]:
        while True:
            try:
                study = load(files, {"budget": budget} if budget else {})
            except StudyError as error:
                place, _, rest = str(error).partition(": ")
                section, name = rest.partition(":")[0].removesuffix(".view").split(".")[-2:]
                if not any(words in rest for words in UNUSED):
                    raise
                unused = {section: {name}}
            else:
                place, unused = str(files[-1]), {"models": _orphans(study)}
                if not unused["models"]:
                    break
            layer = read_yaml(Path(place))
            if budget and place == str(files[-1]) and "models" not in unused:
                _leave_out(layer, budget, section, name)
            else:
                _thin_out(layer, {}, {part: set(unused.get(part, ())) for part in NAMED})
            _write(Path(place), layer)


def _leave_out(layer: dict[str, Any], budget: str, section: str, name: str) -> None:
    """Leave a suite or a threat out of one budget: others may meet it, and may share what it says by an alias."""
    overlay = dict(layer["budgets"][budget] or {})
    own = dict(overlay.get(section) or {})
    own.pop(name, None)
    if name in (layer.get(section) or {}):
        own[name] = None
    layer["budgets"] = {**layer["budgets"], budget: {**overlay, section: own}}
    if section == "suites":
        for threats in (layer.get("threats") or {}, overlay.get("threats") or {}):
            for threat, entry in threats.items():
                if entry and entry.get("suite") == name:
                    _leave_out(layer, budget, "threats", threat)


def _orphans(study: Study) -> set[str]:
    """Return ensembles, members and sources that serve nobody, and that nobody attacks but by what attacks all models."""
    plan = Plan(study)
    general = {
        name
        for name, threat in study.threats.items()
        if all(choice.settings.composed for choice in study.suite_attacks[threat.suite].values())
    }
    served = {name for model in study.models.values() for name in (*model.members, *model.beside)}
    served |= {name for threat in study.threats.values() for name in threat.others}
    served |= {name for suite in study.suites.values() for name in suite.transfer_from}
    served |= {study.surfaces.beside} if study.surfaces else set()
    return {
        name
        for name, model in study.models.items()
        if (model.beside or model.members or model.seed_offset)
        and name not in served
        and not plan.threats_on(name).keys() - general
    }


def _write(path: Path, study: Mapping[str, Any]) -> None:
    path.write_text(yaml.safe_dump(dict(study), sort_keys=False, allow_unicode=True), encoding="utf-8")


if __name__ == "__main__":
    delete(Path(sys.argv[1]), sys.argv[2:])
