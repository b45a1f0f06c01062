"""The words of the page: no keys of the study and the claims table, numbers in the unit of their claim."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.ours import cases_here, here, needs, papers_here
from tests.plugin_copies import copy_without

from reproof import registry, wording
from reproof.claims import vocabulary
from reproof.claims.vocabulary import parts_of


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("datasets", wording.dataset),
        ("defenses", wording.defense),
        ("architectures", wording.architecture),
        ("attacks", wording.attack),
    ],
)
def test_everything_that_a_claim_may_name_has_words(
    family: registry.Family, words: Callable[[str], str]
) -> None:
    names = {key for paper in papers_here() for key in paper.terms.of(family)} | set(registry.keys(family))
    shown = [words(name) for name in names]
    assert not any("_" in text for text in shown)
    assert len(set(shown)) == len(names)


def test_closed_lists_have_words_too() -> None:
    for names, words in ((vocabulary.TRAININGS, wording.training), (vocabulary.SETTINGS, wording.setting)):
        shown = [words(name) for name in names]
        assert not any("_" in text for text in shown)
        assert len(set(shown)) == len(names)
    assert set(wording.SOURCES) == set(vocabulary.MEMBERS)
    assert set(wording.UNITS) == set(vocabulary.UNITS)
    assert wording.training("carlini_wagner") == "C&W examples"


DEFENSES = [
    ("diverse_ensemble[boosted]", "diverse ensemble (boosted)"),
    ("superimposition[beta=2,4]", "superimposition (β = 2, 4)"),
    ("defensive_features+polarised_contrastive", "defensive features with polarised contrastive loss"),
    ("undefended", "undefended"),
    ("magnet", "MagNet"),
]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        *(case for case in DEFENSES if all(here("defenses", part) for part in parts_of("defense", case[0]))),
        ("somebody_else", "somebody else"),
    ],
)
def test_defenses_are_called_as_their_files_say(name: str, words: str) -> None:
    assert wording.defense(name) == words


@pytest.mark.parametrize(
    ("name", "words", "inside"),
    [
        ("none", "No attack", "no attack"),
        ("pgd", "PGD", "PGD"),
        ("pgd_converged", "PGD converged", "PGD converged"),
        ("carlini_wagner_searched", "C&W searched", "C&W searched"),
        ("pgd_bpda", "PGD through the purifier", "PGD through the purifier"),
        *cases_here(
            "attacks", [("random_noise", "Random noise", "random noise"), ("square", "Square", "Square")]
        ),
        ("pgdx", "pgdx", "pgdx"),
        ("hill_climb", "hill climb", "hill climb"),
    ],
)
def test_config_entries_are_called_after_their_kind(name: str, words: str, inside: str) -> None:
    assert (wording.attack(name), wording.attack_inside(name)) == (words, inside)


@pytest.mark.parametrize(
    ("entry", "kind", "words"),
    [
        ("pgd", "pgd", "PGD"),
        ("pgd_converged", "pgd", "PGD converged"),
        ("pgd_bpda", "pgd", "PGD through the purifier"),
        ("pgd_bpda_longer", "pgd", "PGD through the purifier, longer"),
        ("carlini_wagner_searched", "carlini_wagner", "C&W searched"),
        ("pgdx", "pgd", "PGD (pgdx)"),
        *cases_here(
            "attacks",
            [
                ("pgd_noise", "random_noise", "Random noise (pgd noise)"),
                ("hill_climb", "square", "Square (hill climb)"),
            ],
            lambda case: case[1],
        ),
        ("hill_climb", "unheard_of", "hill climb"),
    ],
)
def test_an_entry_of_another_kind_than_its_name_is_called_by_its_kind(
    entry: str, kind: str, words: str
) -> None:
    assert wording.attack(entry, kind) == words
    if entry.startswith(kind):
        assert wording.attack(entry) == words or entry == "pgdx"


@pytest.mark.parametrize(
    ("words", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists_and_counts(words: list[str], text: str) -> None:
    assert wording.listed(words) == text
    assert wording.counted(len(words), "word") == f"{len(words)} word{'' if len(words) == 1 else 's'}"


@needs("papers/mirzaeian_dkd", "papers/mustafa_pcl", "papers/seiler_superimposition")
def test_what_is_not_built_is_called_as_papers_call_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = {"attacks": "jsma", "architectures": "vgg", "datasets": "svhn"}
    files = [f"{family}/{name}.py" for family, name in gone.items() if here(family, name)]
    copy = copy_without(tmp_path, *files)
    monkeypatch.setattr(registry, "PACKAGE", copy)
    assert wording.attack("jsma") == "JSMA"
    assert wording.architecture("vgg16") == "VGG16"
    assert wording.dataset("svhn") == "SVHN"
    assert wording.attack("pgd") == "PGD"


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.98849, "percent", "98.8"),
        (0.98849, "fraction", "0.988"),
        (-0.0152, "points", "-1.52"),
        (12.0, "images", "12"),
        (12.4, "images", "12.4"),
        (403.4, "min:s", "6:43"),
        (59.7, "min:s", "1:00"),
        (3540.0, "h:min", "00:59"),
        (3599.0, "h:min", "01:00"),
        (16 / 255, "levels", "16.0"),
        (7.0, "rounds", "7"),
        (2.5004, "distance", "2.5"),
        (None, "percent", "?"),
    ],
)
def test_measurements_are_shown_in_the_unit_of_the_claim(value: float | None, unit: str, shown: str) -> None:
    assert wording.measure(value, unit) == shown


def test_prints_get_a_unit_only_where_they_lack_one() -> None:
    texts = (
        ("98.71", "percent"),
        ("91.2%", "percent"),
        ("(67.7)", "percent"),
        ("6:43m", "min:s"),
        ("0.9885", "fraction"),
        ("-/-", "percent"),
        ("?", "images"),
    )
    shown = [wording.printed(*text) for text in texts]
    assert shown == ["98.71 %", "91.2%", "(67.7) %", "6:43m", "0.9885", "-/-", "?"]


def test_differences_have_a_sign() -> None:
    assert wording.difference(0.188) == "+18.8 points"
    assert wording.difference(-0.0059) == "−0.59 points"
    assert wording.difference(0.4142, relative=True) == "+41.4 %"
    assert wording.difference(-12.0, "min:s") == "−0:12 min"
    assert wording.difference(0.012, "fraction") == "+0.012"


def test_a_config_entry_that_is_not_named_after_its_kind_is_called_by_both() -> None:
    assert wording.attack("pgd_noise", "carlini_wagner") == "C&W (pgd noise)"
    assert wording.attack("pgd_converged", "pgd") == wording.attack("pgd_converged") == "PGD converged"
    assert wording.attack("pgd_noise", "gone_attack") == "pgd noise"
