"""What others measured: reading the file, and which claims and papers a measurement is about."""

from __future__ import annotations

import csv
import dataclasses

import pytest

from reproof import registry
from reproof.claims import independent
from reproof.claims.independent import COLUMNS, FILE, NO, nearest_claim, read_independent, search, terms
from reproof.claims.vocabulary import FAMILIES, Terms
from reproof.errors import ClaimError
from reproof.report import others
from tests.hand_made_papers import claim
from tests.ours import WHOLE, is_here, needs, papers_here

ROW = {
    **{
        "defense": "prototype_conformity",
        "training": "",
        "dataset": "mnist",
        "architecture": "the authors' CNN",
    },
    **{"same_model": "p", "model": "their weights", "norm": "linf", "epsilon": "0.3", "attack": "pgd"},
    **{
        "details": "100 steps",
        "clean": "99.1",
        "robust": "0.28",
        "unit": "percent",
        "source": "A. Other, 2020",
    },
    **{"checked": "yes", "note": ""},
}
ADAPTIVE = {"attack": "", "details": "BPDA"}
CLEAN = {"attack": "none", "norm": "", "epsilon": "", "robust": "", "details": ""}


def write(folder, *rows, columns=COLUMNS):
    path = folder / "independent.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([{**ROW, **row}[column] for column in columns] for row in rows)
    return path


def measured(folder, **changes):
    (found,) = read_independent(write(folder, changes))
    return found


def test_reads_what_is_written(tmp_path):
    first, second, third = read_independent(write(tmp_path, {}, CLEAN, {**ADAPTIVE, "checked": "no"}))
    assert dataclasses.asdict(first) == {**ROW, "checked": True}
    assert (second.attack, second.norm, second.clean, second.robust) == ("none", "", "99.1", "")
    assert (third.attack, third.details, third.checked) == ("", "BPDA", False)


UNKNOWN = {
    "defense": ("prototype_confomity", "did you mean 'prototype_conformity'?"),
    "training": ("PGD", "there are: carlini_wagner, clean, fgsm, pgd"),
    "dataset": ("cifar-10", "did you mean 'cifar10'?"),
    "norm": ("l_inf", "did you mean 'linf'?"),
    "attack": ("auto_attack", "did you mean 'autoattack'?"),
    "unit": ("percents", "did you mean 'percent'?"),
    "checked": ("yess", "did you mean 'yes'?"),
}


@pytest.mark.parametrize(("column", "word", "hint"), [(c, *rest) for c, rest in UNKNOWN.items()], ids=UNKNOWN)
def test_names_line_column_and_the_nearest_word(tmp_path, column, word, hint):
    path = write(tmp_path, {**CLEAN}, {column: word})
    with pytest.raises(ClaimError) as caught:
        read_independent(path)
    assert str(caught.value) == f"{path}, line 3, column {column}: {word!r} is unknown; {hint}"


@pytest.mark.parametrize(
    ("changes", "column", "words"),
    [
        ({"architecture": ""}, "architecture", "is empty"),
        ({"source": ""}, "source", "is empty"),
        ({"model": ""}, "model", "is empty"),
        ({"source": "two  blanks"}, "source", "a blank too many"),
        ({"same_model": "No, not this"}, "same_model", "the key of the paper whose model it is"),
        ({"same_model": ""}, "same_model", "should be 'no'"),
        ({"norm": ""}, "norm", "is empty where, and only where, the attack is 'none'"),
        ({**CLEAN, "norm": "linf"}, "norm", "is empty where, and only where, the attack is 'none'"),
        ({"attack": "carlini_wagner"}, "norm", "is 'linf'; that of carlini_wagner is 'l2'"),
        ({"attack": "", "details": ""}, "details", "an attack without a key needs words"),
        ({"epsilon": "8 of 255"}, "epsilon", "'8 of 255' is no budget such as 0.3 or 8/255"),
        ({"epsilon": "0"}, "epsilon", "is no budget"),
        ({**CLEAN, "epsilon": "0.3"}, "epsilon", "should be empty where there is no attack"),
        ({**CLEAN, "clean": ""}, "clean", "is empty"),
        ({"robust": ""}, "robust", "is empty"),
        ({**CLEAN, "robust": "1"}, "robust", "should be empty where there is no attack"),
        ({"robust": "about 40"}, "robust", "'about 40' is no number printed as percent"),
        ({"robust": "-3"}, "robust", "is no number printed as percent"),
        ({"clean": "101"}, "clean", "101 percent is no share of images"),
        ({"unit": "fraction"}, "clean", "99.1 fraction is no share of images"),
    ],
)
def test_refuses_what_cannot_be_meant(tmp_path, changes, column, words):
    path = write(tmp_path, changes)
    with pytest.raises(ClaimError) as caught:
        read_independent(path)
    assert str(caught.value).startswith(f"{path}, line 2, column {column}: ")
    assert words in str(caught.value)


def test_refuses_another_header_a_short_line_and_a_line_twice(tmp_path):
    with pytest.raises(ClaimError, match="line 1: the columns are defense, training"):
        read_independent(write(tmp_path, columns=COLUMNS[1:]))
    with pytest.raises(ClaimError, match="line 3: stands already in line 2"):
        read_independent(write(tmp_path, {}, {}))
    path = write(tmp_path, {})
    path.write_text(path.read_text() + "prototype_conformity,\n")
    with pytest.raises(ClaimError, match="line 3: has 2 cells, the header has 16"):
        read_independent(path)
    with pytest.raises(ClaimError, match=r"absent\.csv: cannot be read"):
        read_independent(tmp_path / "absent.csv")


ABOUT = [
    ({}, {}, True),
    ({}, {"parameters": "epsilon=0.1"}, True),
    ({}, {"defense": "prototype_conformity[layer=1]"}, True),
    ({}, {"defense": "defensive_features"}, False),
    ({}, {"dataset": "cifar10"}, False),
    ({}, {"metric": "train_accuracy"}, False),
    ({}, {"setting": "black_box", "source": "vgg19"}, False),
    ({"training": "pgd"}, {}, False),
    ({"training": "pgd"}, {"training": "pgd"}, True),
    # An attack that searches no harder in the same norm: one step is held to several, several to an ensemble.
    ({}, {"attack": "fgsm"}, True),
    ({"attack": "fgsm"}, {}, False),
    ({"attack": "fgsm"}, {"attack": "fgsm"}, True),
    ({"attack": "bim"}, {}, True),
    ({"attack": "autoattack"}, {}, True),
    ({}, {"attack": "autoattack"}, False),
    (ADAPTIVE, {}, True),
    (ADAPTIVE, {"attack": "fgsm"}, True),
    ({**ADAPTIVE, "norm": "l2"}, {}, False),
    ({"attack": "carlini_wagner", "norm": "l2", "epsilon": ""}, {"attack": "carlini_wagner", "parameters": "c=1"}, True),
    ({}, {"attack": "carlini_wagner", "parameters": "c=1"}, False),
    # Clean accuracy is held to clean accuracy alone.
    ({}, {"attack": "none", "parameters": ""}, True),
    ({"clean": ""}, {"attack": "none", "parameters": ""}, False),
    (CLEAN, {"attack": "none", "parameters": ""}, True),
    (CLEAN, {}, False),
]  # fmt: skip


def attacks_are_here(found, claimed):
    """Say whether the attacks are here that a case is about: how hard one searches, its file says."""
    named = {side.get("attack") for side in (found, claimed)} - {None, "", "none"}
    return all(is_here(f"attacks/{name}") for name in named)


@pytest.mark.parametrize(
    ("found", "claimed", "about"), [case for case in ABOUT if attacks_are_here(*case[:2])]
)
def test_says_which_claims_it_is_about(tmp_path, found, claimed, about):
    assert measured(tmp_path, **found).of_claim(claim(**claimed)) is about


def test_the_same_model_is_one_paper_s_and_its_copies_but_no_variant(tmp_path):
    found = measured(tmp_path)
    assert found.same_as(claim())
    assert found.same_as(claim(paper="q", evidence="copied from p"))
    assert not found.same_as(claim(paper="q"))
    assert not found.same_as(claim(defense="prototype_conformity[layer=1]"))
    assert not measured(tmp_path, same_model=NO).same_as(claim())


NEARER = [
    ({}, {"attack": "fgsm"}),
    ({"parameters": "epsilon=0.1"}, {"attack": "mim"}),
    ({"attack": "fgsm"}, {"attack": "none", "parameters": ""}),
    ({"parameters": "epsilon=0.1"}, {"defense": "prototype_conformity[layer=1]"}),
    ({"parameters": "epsilon=0.1"}, {"setting": "adaptive"}),
    ({"attack": "mim", "parameters": "epsilon=0.1"}, {"attack": "fgsm"}),
    ({"parameters": "epsilon=0.2"}, {"parameters": "epsilon=0.5"}),
    ({}, {"row": "the same again"}),
]


@pytest.mark.parametrize(("better", "worse"), [case for case in NEARER if attacks_are_here(*case)])
def test_the_nearest_claim(tmp_path, better, worse):
    found = measured(tmp_path)
    best, other = claim(**better), claim(**worse)
    assert nearest_claim(found, [best, other]) is best
    if best != dataclasses.replace(other, row=best.row, claim_id=best.claim_id):
        assert nearest_claim(found, [other, best]) is best


@needs("attacks/autoattack", "attacks/bim")
def test_beside_an_ensemble_of_attacks_stands_the_one_with_a_random_start(tmp_path):
    found = measured(tmp_path, attack="autoattack")
    bim, pgd = claim(attack="bim"), claim()
    assert nearest_claim(found, [bim, pgd]) is pgd


def test_no_claim_without_a_value_and_none_that_it_is_not_about(tmp_path):
    found = measured(tmp_path)
    assert nearest_claim(found, [claim(printed="-"), claim(dataset="svhn")]) is None


@needs("attacks/autoattack", "attacks/bim")
def test_attacks_search_in_this_order():
    assert search("fgsm") < search("bim") == search("pgd") < search("autoattack") == search("")


def test_what_is_gone_is_still_a_word_and_a_slip_is_none(tmp_path, monkeypatch):
    """A file that is deleted takes no measurement with it: the page would no longer be made."""
    gone = Terms(
        attacks={"gone": "Gone Attack"}, defenses={"lost": "lost defense"}, datasets={"past": "Past"}
    )
    monkeypatch.setattr(independent, "terms", lambda: gone)
    about = {"defense": "lost", "dataset": "past"}
    found = measured(tmp_path, attack="gone", **about)
    assert others.attack(found) == "Gone Attack, L∞, ε = 0.3 (100 steps)"
    assert others.attack(measured(tmp_path, **about)) == "PGD, L∞, ε = 0.3 (100 steps)"
    assert not found.of_claim(claim())
    with pytest.raises(ClaimError, match="column attack: 'goone' is unknown; did you mean 'gone'"):
        measured(tmp_path, attack="goone", **about)


def test_terms_that_cannot_be_read_are_named(tmp_path):
    path = tmp_path / "independent.yaml"
    path.write_text("attack: {pgd: PGD}\n")
    for wrong in (path, tmp_path / "absent.yaml"):
        with pytest.raises(ClaimError, match=rf"{wrong.name}: cannot be read"):
            terms(wrong)


def test_every_word_of_the_project_s_own_file_is_among_its_terms_with_the_plug_in_s_title():
    for one in read_independent(FILE):
        assert one.defense in terms().defenses
        assert one.dataset in terms().datasets
        assert one.attack in ("", "none") or one.attack in terms().attacks
    for family in FAMILIES.values():
        for key, names in terms().of(family).items():
            assert names == (registry.title(family, key) or names[0],)


def test_the_project_s_own_file_names_papers_that_are_there_and_sources_of_others():
    found, known = read_independent(FILE), {paper.key: paper for paper in papers_here()}
    assert len(found) >= 30
    for one in found:
        if one.same_model != NO and is_here(f"papers/{one.same_model}"):
            assert one.of_paper(known[one.same_model])
        about = any(one.of_paper(paper) for paper in known.values())
        assert about or not WHOLE, f"{one.defense} on {one.dataset}"
        assert "//" not in one.source
    (released,) = [
        one for one in found if (one.defense, one.attack) == ("prototype_conformity", "autoattack")
    ]
    assert (released.clean, released.robust, released.epsilon) == ("89.16", "0.28", "8/255")
