"""This project's plug-ins, page sections and papers, for tests that name some of them as examples.

A user may have deleted one: its cases then go from the shared tests, and nothing else may. That none is missing
otherwise is tested in tests/unit/test_ours.py.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

import pytest

from reproof import registry
from reproof.claims.claim import Claim, TransferSource
from reproof.claims.paper import Paper, papers
from reproof.claims.vocabulary import not_built

DELETED: tuple[str, ...] = ()
"""What was deleted from this project, as `attacks/jsma`."""
OURS = {
    "architectures": "cnn6 dkd_cifar10 dkd_mnist file lenet resnet vgg wide_resnet",
    "attacks": "apgd autoattack bim carlini_wagner deepfool fgsm fmn gradient_ensemble jsma mim pgd random_noise square "
    "strongest",
    "datasets": "arrays cifar10 cifar100 digits fashion_mnist folder ilsvrc mnist svhn",
    "defenses": "adaptive_diversity adaptive_gravity decision_surface defense_gan defensive_features "
    "distilled_ensemble diverse_ensemble domain_adaptation dynamic_training fgsm_training independent_ensemble "
    "input_gradient magnet pgd_training pixel_defend polarised_contrastive prototype_conformity superimposition "
    "undefended virtual_adversarial",
    "papers": "hassanin_dfl mirzaeian_dkd mirzaeian_gravity mustafa_pcl seiler_superimposition",
    "sections": "answer breakdowns checklist claim_finder claims_overview clean_and_robust conclusions contradictions "
    "defenses_against_attacks figures "
    "glossary independent interpretations paper_tables provenance red_flags reference_runs run_again statements strongest "
    "study_run transfer verdicts",
}
"""What shared tests may name. A new plug-in of the project is entered here once one of them does."""
WORDS = [f"{family}/{name}" for family, names in OURS.items() for name in names.split()]
WHOLE = all(word.startswith("sections/") for word in DELETED)
"""Whether nothing is deleted that claims and protocols are about: then sums over all of them hold."""
PACKAGE = registry.PACKAGE


@functools.cache
def papers_here() -> tuple[Paper, ...]:
    """Return all papers that are here: a test process reads them once."""
    return tuple(papers())


def is_here(word: str) -> bool:
    """Say whether `family/name` is here; ValueError where it is none of ours."""
    if word not in WORDS:
        raise ValueError(f"{word} is none of ours: a slip, or missing in tests/ours.py")
    family, name = word.split("/")
    if family == "papers":
        return (PACKAGE / family / name).is_dir()
    return (PACKAGE / ("report/sections" if family == "sections" else family) / f"{name}.py").is_file()


def networks() -> list[str]:
    """Return the architectures that are all in their own file: `file` is made of what a user's says."""
    return [
        name
        for name in registry.names("architectures")
        if not any(
            field.is_required()
            for field in registry.settings_class("architectures", name).model_fields.values()
        )
    ]


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


def built_here(claim: Claim) -> bool:
    """Say whether all is here that a claim is about: also the networks its images are made on, and whom it copies."""
    sources = TransferSource.read(claim.source) if claim.setting == "black_box" else ()
    copied = claim.evidence.removeprefix("copied from ")
    return not (
        claim.not_built
        or f"papers/{copied}" in DELETED
        or any(not_built("architecture", one.architecture) for one in sources)
        or any(not_built("defense", one.defense) for one in sources)
    )


def chooses(entry: Any, kinds: Collection[str]) -> bool:
    """Say whether a config entry, or one inside it, is of one of these kinds."""
    if isinstance(entry, dict):
        return entry.get("kind") in kinds or any(chooses(value, kinds) for value in entry.values())
    return False


def needs_run(name: str) -> pytest.MarkDecorator:
    """Return the mark of a test that judges by a reference run: without all that it ran, it is no study any more."""
    return pytest.mark.skipif(not can_be_judged(name), reason=f"what reference/{name} ran was deleted")


def can_be_judged(name: str) -> bool:
    """Say whether all is here that a reference run chose."""
    about = PACKAGE.parents[1] / "reference" / name / "about.json"
    lost = {word.split("/")[1] for word in DELETED if not word.startswith(("papers/", "sections/"))}
    return not chooses(json.loads(about.read_text(encoding="utf-8"))["settings"], lost)


def needs(*words: str) -> pytest.MarkDecorator:
    """Return the mark of a test that is about several of ours at once: without all of them it is about nothing."""
    missing = [word for word in words if not is_here(word)]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)}: deleted")
