"""This project's plug-ins, page sections and papers, for tests that name some of them as examples.

A user may have deleted one: its cases then go from the shared tests, and nothing else may. That none is missing
otherwise is tested in tests/unit/test_ours.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from reproof import registry

DELETED: tuple[str, ...] = ()
"""What was deleted from this project, as `attacks/jsma`."""
OURS = {
    "architectures": "cnn6 dkd_cifar10 dkd_mnist lenet resnet vgg wide_resnet",
    "attacks": "apgd autoattack bim carlini_wagner deepfool fgsm fmn gradient_ensemble jsma mim pgd random_noise square "
    "strongest",
    "datasets": "cifar10 cifar100 digits fashion_mnist ilsvrc mnist svhn",
    "defenses": "adaptive_diversity adaptive_gravity decision_surface defense_gan defensive_features "
    "distilled_ensemble diverse_ensemble domain_adaptation dynamic_training fgsm_training independent_ensemble "
    "input_gradient magnet pgd_training pixel_defend polarised_contrastive prototype_conformity superimposition "
    "undefended virtual_adversarial",
    "papers": "hassanin_dfl mirzaeian_dkd mirzaeian_gravity mustafa_pcl seiler_superimposition",
    "sections": "breakdowns checklist claims_overview conclusions contradictions defenses_against_attacks figures "
    "glossary independent interpretations paper_tables provenance red_flags reference_runs run_again statements strongest study_run "
    "transfer",
}
WORDS = [f"{family}/{name}" for family, names in OURS.items() for name in names.split()]
EXPERIMENTS = [word for word in WORDS if not word.startswith("sections/")]
"""All that claims and protocols are about."""
PACKAGE = registry.PACKAGE


def is_here(word: str) -> bool:
    """Say whether `family/name` is here; ValueError where it is none of ours."""
    if word not in WORDS:
        raise ValueError(f"{word} is none of ours: a slip, or missing in tests/ours.py")
    family, name = word.split("/")
    if family == "papers":
        return (PACKAGE / family / name).is_dir()
    return (PACKAGE / ("report/sections" if family == "sections" else family) / f"{name}.py").is_file()


def here(family: str, *names: str) -> list[str]:
    """Return those of the names whose files are here."""
    return [name for name in names if is_here(f"{family}/{name}")]


def cases_here(
    family: str, cases: Iterable[Any], name: Callable[[Any], str] = lambda case: case[0]
) -> list[Any]:
    """Return those of the cases whose plug-in is here; `name` tells which that is, by default their first item."""
    return [case for case in cases if here(family, name(case))]


def tells_of_deleted(case: Any) -> bool:
    """Say whether one of the words of a case is that of a deleted plug-in, of an architecture with any depth."""
    names = "|".join(word.split("/")[1] for word in DELETED)
    return bool(DELETED) and re.search(rf"(?<![a-z0-9_])({names})[0-9]*(?![a-z0-9_])", repr(case)) is not None


def needs(*words: str) -> pytest.MarkDecorator:
    """Return the mark of a test that is about several of ours at once: without all of them it is about nothing."""
    missing = [word for word in words if not is_here(word)]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)}: deleted")
