"""What must be true of a study's threats, and of whom they show which images; and of its loss surfaces."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from reproof.settings.baseline import is_baseline
from reproof.settings.source_names import JOINT, LONGEST, MEMBER, parts
from reproof.study.meetings import meetings
from reproof.study.messages import Mistake, unknown
from reproof.study.model import Study, ThreatSettings

LONGEST_FILE = 255
"""Characters that file systems allow in a file's name."""


def known_suite(study: Study) -> Iterator[Mistake]:
    """A threat's suite and data set are the study's."""
    for name, threat in study.threats.items():
        yield from unknown(["threats", name, "suite"], threat.suite, study.suites, "suite")
        if threat.dataset is not None:
            yield from unknown(["threats", name, "dataset"], threat.dataset, study.datasets, "data set")


def sources_belong_to_black_boxes(study: Study) -> Iterator[Mistake]:
    """Images are made on another model where, and only where, the threat is a black box; or on each member."""
    for name, threat in study.threats.items():
        named = _named(threat)
        by_member = threat.setting == "white_box" and threat.source == MEMBER
        if not (by_member and named == ["source"]) and (threat.setting == "black_box") != bool(named):
            yield (
                ["threats", name],
                "black_box needs a source model, and only black_box takes one (white_box takes 'member')",
            )
        if len(named) > 1:
            yield (
                ["threats", name, named[1]],
                f"the threat has a {named[0]} already; give one of source, sources and together",
            )


def sources_take_the_suite(study: Study) -> Iterator[Mistake]:
    """A suite that is made on another model than its target attacks one network by its logits."""
    for name, threat in study.threats.items():
        suite, place = study.suites[threat.suite], ["threats", name, "suite"]
        if _named(threat) and suite.members == "aggregated":
            yield place, "an aggregated suite is made on the whole ensemble; it takes no source"
        if _named(threat) and suite.view != "logits":
            yield place, "a suite made on another model attacks its logits, not an attack loss of a defense"


def known_sources(study: Study) -> Iterator[Mistake]:
    """A threat's sources are models of one data set, each named once."""
    models = study.models
    for name, threat in study.threats.items():
        others, named = threat.others, _named(threat)
        for position, source in enumerate(others):
            place = ["threats", name, *named, *([] if named == ["source"] else [position])]
            yield from unknown(place, source, models, "model")
            if others.index(source) < position:
                yield place, f"{source} stands twice; name it once"
            if models[source].dataset != models[others[0]].dataset:
                yield (
                    place,
                    f"{source} is trained on {models[source].dataset}, {others[0]} on "
                    f"{models[others[0]].dataset}; name sources of one data set",
                )


def known_targets(study: Study) -> Iterator[Mistake]:
    """Who is attacked, and who is left out, are the study's models."""
    for name, threat in study.threats.items():
        for key, targets in (("targets", threat.targets or ()), ("exclude", threat.exclude)):
            for position, target in enumerate(targets):
                yield from unknown(["threats", name, key, position], target, study.models, "model")


def names_that_make_files(study: Study) -> Iterator[Mistake]:
    """The names of sources, suites and threats, joined, are names of files."""
    seed = max(study.seeds)
    for name, threat in study.threats.items():
        if threat.together is not None and len(JOINT.join(threat.together)) > LONGEST:
            yield (
                ["threats", name, "together"],
                f"the joined names, a folder's, are longer than {LONGEST} characters; give the models shorter ones",
            )
        for target, source in meetings(study, threat):
            source = target if source in ("", MEMBER) else source
            for who, what, place in (
                (source, threat.suite, ["suites", threat.suite]),
                (target, name, ["threats", name]),
            ):
                if len(f"{who}-seed{seed}-{what}.log") > LONGEST_FILE:
                    yield (
                        place,
                        f"the name, joined with {who}'s, is too long for a file; give it a shorter one",
                    )


def somebody_meets_the_threat(study: Study) -> Iterator[Mistake]:
    """A threat has a target: not its only source, on its data set, with the attack loss that is asked for."""
    for name, threat in study.threats.items():
        if not any(meetings(study, threat)):
            yield ["threats", name], f"no model meets it: {_why_nobody(study, threat)}"


def somebody_meets_the_suite(study: Study) -> Iterator[Mistake]:
    """A suite stands in a threat."""
    used = {threat.suite for threat in study.threats.values()}
    for name in study.suites:
        if name not in used:
            yield ["suites", name], f"no threat has this suite; give it one, or take it away ({name}: null)"


def suites_fit_the_test_split(study: Study) -> Iterator[Mistake]:
    """A suite asks for no more images than the test split of each data set that it is made on has."""
    for threat in study.threats.values():
        wanted = study.suites[threat.suite].images
        for dataset in dict.fromkeys(study.models[target].dataset for target, _ in meetings(study, threat)):
            available = study.datasets[dataset].settings.sizes()["test"]
            if wanted > available:
                yield (
                    ["suites", threat.suite, "images"],
                    f"asks for {wanted} test images, and {dataset} has {available}; lower it, or give the data set "
                    "more test images",
                )


def tables_tell_threats_apart(study: Study) -> Iterator[Mistake]:
    """No two threats have numbers in the same row of a table."""
    rows = {name: _rows(study, threat) for name, threat in study.threats.items()}
    for (first, one), (second, other) in itertools.combinations(study.threats.items(), 2):
        if one.setting == other.setting:
            both = set(study.suites[one.suite].attacks) & set(study.suites[other.suite].attacks)
            if both and rows[first] & rows[second]:
                yield (
                    ["threats", second],
                    f"attack {sorted(both)[0]!r} is already in threat {first!r} with the same setting, so the tables "
                    "could not tell the two apart; give the attack another name, or the threats other targets",
                )


def known_surface_models(study: Study) -> Iterator[Mistake]:
    """Loss surfaces are measured on the study's models, each named once."""
    if study.surfaces is None:
        return
    names = study.surfaces.models or ()
    for position, name in enumerate(names):
        yield from unknown(["surfaces", "models", position], name, study.models, "model")
    if study.surfaces.beside is not None:
        yield from unknown(["surfaces", "beside"], study.surfaces.beside, study.models, "model")
    if len(set(names)) != len(names):
        yield ["surfaces", "models"], "a model stands twice; name it once"


def surfaces_have_a_direction(study: Study) -> Iterator[Mistake]:
    """The first direction of loss surfaces is that of an undefended model of the same data."""
    if study.surfaces is None or not study.surfaces.models:
        return
    if study.surfaces.beside is None:
        yield ["surfaces", "beside"], "direction 1 is taken from an undefended model; name one"
        return
    beside = study.models[study.surfaces.beside]
    if beside.built_on is not None or not is_baseline(beside.defense.kind, beside.training_key):
        yield (
            ["surfaces", "beside"],
            f"{beside.name} is defended, and direction 1 is taken from an undefended model",
        )
    for position, name in enumerate(study.surfaces.models):
        if study.models[name].dataset != beside.dataset:
            yield (
                ["surfaces", "models", position],
                f"{name} is trained on {study.models[name].dataset}, and {beside.name}, which gives direction 1, on "
                f"{beside.dataset}; name models of one data set",
            )


def surfaces_fit_the_test_split(study: Study) -> Iterator[Mistake]:
    """Loss surfaces are laid around images that the test split has."""
    wanted = study.surfaces
    if wanted is None or not wanted.models:
        return
    dataset = study.models[wanted.models[0]].dataset
    available = study.datasets[dataset].settings.sizes()["test"]
    for key, needed in (("image", wanted.image + 1), ("images", wanted.images)):
        if needed > available:
            yield (
                ["surfaces", key],
                f"asks for {needed} test images, and {dataset} has {available}; lower it, or give the data set more "
                "test images",
            )


def _named(threat: ThreatSettings) -> list[str]:
    """Return the keys by which a threat names models to make its images on."""
    return [key for key in ("source", "sources", "together") if getattr(threat, key) is not None]


def _rows(study: Study, threat: ThreatSettings) -> set[tuple[Any, ...]]:
    """Return where a threat's numbers stand in tables, beside setting and attack: target, source, way of attack."""
    members = study.suites[threat.suite].members
    return {(target, frozenset(parts(source)), members) for target, source in meetings(study, threat)}


def _why_nobody(study: Study, threat: ThreatSettings) -> str:
    """Return what a threat asks of its targets."""
    suite = study.suites[threat.suite]
    asked = [
        *(["no source of its own images"] if threat.others else []),
        *([f"trained on {threat.dataset}"] if threat.dataset else []),
        *(["an ensemble"] if threat.source == MEMBER or suite.members == "aggregated" else []),
        *([f"with the attack loss {suite.view!r}"] if suite.view != "logits" else []),
    ]
    return (
        f"it needs a target that is {', '.join(asked) or 'not left out'}; name one, or take the threat away"
    )


CHECKS = (
    known_suite,
    sources_belong_to_black_boxes,
    sources_take_the_suite,
    known_sources,
    known_targets,
    names_that_make_files,
    somebody_meets_the_threat,
    somebody_meets_the_suite,
    suites_fit_the_test_split,
    tables_tell_threats_apart,
    known_surface_models,
    surfaces_have_a_direction,
    surfaces_fit_the_test_split,
)
