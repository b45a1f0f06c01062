"""What must be true of a study's attacks and suites."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import cast

from reproof import registry
from reproof.settings.attack import AttackSettings
from reproof.settings.parameters import PSNR
from reproof.settings.table_words import NO_ATTACK, WORST_CASE, WORST_IN_SETTING, WORST_UNBOUNDED
from reproof.study.messages import Mistake, unknown
from reproof.study.model import Choice, Study
from reproof.study.plug_in import defense_settings


def points_once(study: Study) -> Iterator[Mistake]:
    """An attack is measured once at each epsilon, constant or number of steps, by itself and in a suite."""
    for name, attack in study.attacks.items():
        for point in _repeated(attack):
            yield ["attacks", name], f"{point} is listed twice; list it once"
    for suite, attacks in study.suite_attacks.items():
        for name, attack in attacks.items():
            for point in _repeated(attack):
                yield ["suites", suite, "settings", name], f"{point} is listed twice; list it once"


def known_attacks(study: Study) -> Iterator[Mistake]:
    """A suite's attacks are the study's, each of them once; none has a name that tables use otherwise."""
    for name in (NO_ATTACK, WORST_CASE, WORST_IN_SETTING, WORST_UNBOUNDED):
        if name in study.attacks:
            yield ["attacks", name], f"tables call something else {name!r}; give the attack another name"
    for name, suite in study.suites.items():
        for position, attack in enumerate(suite.attacks):
            yield from unknown(["suites", name, "attacks", position], attack, study.attacks, "attack")
        if len(set(suite.attacks)) != len(suite.attacks):
            yield ["suites", name, "attacks"], "an attack stands twice"


def known_overrides(study: Study) -> Iterator[Mistake]:
    """A suite overrides settings of its own attacks."""
    for name, suite in study.suites.items():
        for attack in suite.settings:
            own = dict.fromkeys(suite.attacks)
            yield from unknown(["suites", name, "settings", attack], attack, own, "attack of it")


def known_view(study: Study) -> Iterator[Mistake]:
    """A suite's attack loss is cross-entropy on the logits, or one that a defense declares."""
    views = {"logits"}
    for kind in registry.names("defenses"):
        views.update(defense_settings(kind).attack_losses)
    for name, suite in study.suites.items():
        yield from unknown(
            ["suites", name, "view"], suite.view, dict.fromkeys(sorted(views)), "attack loss of a defense"
        )


def attacks_take_the_view(study: Study) -> Iterator[Mistake]:
    """An attack loss is maximised by attacks that follow a gradient."""
    for name, suite in study.suites.items():
        for position, attack in enumerate(suite.attacks):
            if suite.view != "logits" and not study.attacks[attack].settings.takes_view:
                yield (
                    ["suites", name, "attacks", position],
                    f"{attack} follows no gradient of a loss, so it cannot maximise the attack loss {suite.view!r}",
                )


def aggregated_on_logits(study: Study) -> Iterator[Mistake]:
    """What is made on each member alone is made on its logits."""
    for name, suite in study.suites.items():
        if suite.members == "aggregated" and suite.view != "logits":
            yield (
                ["suites", name, "view"],
                "an aggregated suite attacks each member's logits; leave the view out, or set members: joint",
            )


def aggregated_within_linf(study: Study) -> Iterator[Mistake]:
    """A sum of perturbations is cut to an L-infinity budget that is known beforehand, or to none."""
    for name, suite in study.suites.items():
        for position, attack in enumerate(suite.attacks if suite.members == "aggregated" else ()):
            settings = cast(AttackSettings, study.suite_attacks[name][attack].settings)
            if any(point.name == PSNR for point in settings.points()):
                yield (
                    ["suites", name, "attacks", position],
                    f"{attack} has psnrs, at which each member would have a budget of its own, and their "
                    "sum none; an aggregated suite takes budgets",
                )
            if settings.budget_norm != "linf" and any(
                point.epsilon is not None for point in settings.points()
            ):
                yield (
                    ["suites", name, "attacks", position],
                    f"{attack} has {settings.budget_norm} budgets, to which no sum of perturbations is cut; an "
                    "aggregated suite takes linf budgets, or attacks without any",
                )


def known_networks(study: Study) -> Iterator[Mistake]:
    """A suite's composed attacks make images on the study's models too; other attacks do not."""
    for name, suite in study.suites.items():
        for position, model in enumerate(suite.transfer_from):
            yield from unknown(["suites", name, "transfer_from", position], model, study.models, "model")
        if suite.transfer_from and not any(study.attacks[one].settings.composed for one in suite.attacks):
            yield (
                ["suites", name, "transfer_from"],
                "no attack of the suite makes images on other models by itself; leave it out, or let a black_box "
                "threat name a source",
            )


def overridden_images_are_there(study: Study) -> Iterator[Mistake]:
    """Where a suite says how many of its images an attack takes, it has as many."""
    for name, suite in study.suites.items():
        for attack, changes in suite.settings.items():
            images = study.suite_attacks[name][attack].settings.images
            if "images" in changes and images is not None and images > suite.images:
                yield (
                    ["suites", name, "settings", attack, "images"],
                    f"asks for {images} images, and the suite has {suite.images}; lower it, or raise the suite's",
                )


def _repeated(attack: Choice) -> list[str]:
    """Return the points that an attack lists twice or more, however their numbers are printed."""
    points = cast(AttackSettings, attack.settings).points()
    counts = Counter((point.name, float(point.value)) for point in points)
    return [str(point.parameters) for point in points if counts[point.name, float(point.value)] > 1]


CHECKS = (
    points_once,
    known_attacks,
    known_overrides,
    known_view,
    attacks_take_the_view,
    aggregated_on_logits,
    aggregated_within_linf,
    known_networks,
    overridden_images_are_there,
)
