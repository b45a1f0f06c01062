"""The claims table's counts and anomalies, on hand-made papers; and the command that shows them."""

from __future__ import annotations

import itertools

import pytest

from reproof import cli, registry
from reproof.claims import paper as claims_paper
from reproof.claims.consistency import anomalies, summary, uncovered
from reproof.claims.paper import papers
from tests.hand_made_papers import read_paper, write_paper
from tests.plugin_copies import copy_without

BLACK = {"setting": "black_box", "source": "vgg19"}
FOOLED = {
    "setting": "black_box",
    "source": "vgg13*3",
    "attack": "gradient_ensemble",
    "metric": "fooling_set_accuracy",
}
CLEAN = {"attack": "none", "parameters": ""}
BOOSTED = {"defense": "diverse_ensemble[boosted]"}
ENSEMBLE = {"defense": "diverse_ensemble"}
FAILED = {"metric": "failed_majorities", "unit": "images"}
CARLINI = {"attack": "carlini_wagner"}

TWICE = "one quantity printed twice"
BUDGET = "more left at a larger budget"
ITERATIVE = "more left by an iterative attack than by one step"
ATTACKED = "more left under attack than without"
TRANSFER = "more left in the white box than by transfer"
NETWORKS = "more left by more source networks"
VOTE = "a boosted vote worse than the plain one"

# Kind, the first cell (20 %), the second (30 %), and what may be otherwise in the second so that nothing is odd.
PAIRS = {
    "epsilon": (
        BUDGET,
        {"parameters": "epsilon=0.1"},
        {},
        [
            {"attack": "bim"},
            {"dataset": "cifar10"},
            {"training": "pgd"},
            {"setting": "adaptive"},
            {"architecture": "lenet"},
        ],
    ),
    "numbers, not words": (
        BUDGET,
        CARLINI | {"parameters": "c=2"},
        CARLINI | {"parameters": "c=10"},
        [{"parameters": "steps=200"}],
    ),
    "steps": (
        BUDGET,
        CARLINI | {"parameters": "steps=100"},
        CARLINI | {"parameters": "steps=200"},
        [{"parameters": "c=200"}, {"parameters": "steps=50"}, {"parameters": ""}],
    ),
    "transferred": (BUDGET, BLACK | {"parameters": "epsilon=0.1"}, BLACK, [{"source": "vgg16"}]),
    "one step": (
        ITERATIVE,
        {"attack": "fgsm"},
        {"attack": "pgd"},
        [
            {"parameters": "epsilon=0.1"},
            {"attack": "carlini_wagner"},
            {"attack": "deepfool"},
            {"defense": "undefended"},
            {"setting": "adaptive"},
        ],
    ),
    "one adaptive step": (
        ITERATIVE,
        {"attack": "fgsm", "setting": "adaptive"},
        {"attack": "pgd", "setting": "adaptive"},
        [],
    ),
    "clean": (
        ATTACKED,
        CLEAN,
        {},
        [{"training": "pgd"}, {"metric": "confidence"}, {"dataset": "svhn"}, {"defense": "magnet"}],
    ),
    "clean, by transfer": (ATTACKED, CLEAN, BLACK, []),
    "clean fooling set": (
        ATTACKED,
        FOOLED | {"metric": "fooling_set_clean_accuracy"},
        FOOLED,
        [{"source": "vgg13*5"}, {"parameters": "epsilon=0.1"}, {"metric": "accuracy"}],
    ),
    "white box": (
        TRANSFER,
        BLACK,
        {},
        [{"setting": "adaptive"}, {"parameters": "epsilon=0.2"}, {"attack": "bim"}, {"metric": "confidence"}],
    ),
    "members": (TRANSFER, BLACK, {"source": "members"}, []),
    "networks": (
        NETWORKS,
        FOOLED | {"source": "vgg13"},
        FOOLED,
        [
            {"source": "vgg16*3"},
            {"source": "vgg13:fgsm_training*3"},
            {"source": "vgg13*3 + resnet32*3"},
            {"parameters": "epsilon=0.1"},
            {"metric": "accuracy"},
        ],
    ),
    "mixed networks": (
        NETWORKS,
        FOOLED | {"source": "vgg13 + resnet32"},
        FOOLED | {"source": "resnet32*2 + vgg13"},
        [{"source": "resnet32*5"}, {"source": "resnet32*2 + vgg16"}],
    ),
    "boosted": (VOTE, BOOSTED, ENSEMBLE, [{"defense": "distilled_ensemble"}, {"attack": "bim"}]),
    "boosted, of Text": (VOTE, BOOSTED | {"table": "Text"}, ENSEMBLE | {"table": "Text"}, []),
    "boosted failures": (
        VOTE,
        ENSEMBLE | FAILED | {"value": "20"},
        BOOSTED | FAILED | {"value": "30"},
        [{"defense": "distilled_ensemble[boosted]"}],
    ),
}
SOME = [(name, change) for name, pair in PAIRS.items() for change in pair[3]]


def of(folder, *cells):
    """Return a paper of cells, each in a row of its own."""
    return read_paper(folder, *({"row": f"{number}", **one} for number, one in enumerate(cells)))


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("turned", [False, True])
def test_finds_what_does_not_go_together(tmp_path, name, turned):
    kind, first, second, _ = PAIRS[name]
    cells = [first | {"printed": "20"}, second | {"printed": "30"}]
    (found,) = anomalies([of(tmp_path, *(cells[::-1] if turned else cells))])
    assert found.kind == kind
    assert {found.first.printed, found.second.printed} == {"20", "30"}
    table = "text" if first.get("table") == "Text" else "table_1"
    for one in (found.first, found.second):
        assert f"p.{table}.{one.row}.pgd ({one.printed})" in str(found)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("change", ["equal", "the other way", "dash", "another table"])
def test_lets_pass_what_goes_together(tmp_path, name, change):
    _, first, second, _ = PAIRS[name]
    first, second = first | {"printed": "20"}, second | {"printed": "30"}
    if change == "equal":
        second = {**second, **{key: first[key] for key in ("printed", "value") if key in first}}
    elif change == "the other way":
        first, second = first | {"printed": "30"}, second | {"printed": "20"}
        if "value" in first:
            first, second = first | {"value": "30"}, second | {"value": "20"}
    elif change == "dash":
        second = {**second, "printed": "-", "value": ""}
    else:
        second = second | {"table": "Table 2"}
    assert anomalies([of(tmp_path, first, second)]) == []


@pytest.mark.parametrize(("name", "change"), SOME, ids=[f"{name} {change}" for name, change in SOME])
def test_lets_pass_other_quantities(tmp_path, name, change):
    _, first, second, _ = PAIRS[name]
    paper = of(tmp_path, first | {"printed": "20"}, second | {"printed": "30"} | change)
    assert anomalies([paper]) == []


def test_iterative_attacks_may_transfer_worse(tmp_path):
    cells = [BLACK | {"attack": "fgsm", "printed": "20"}, BLACK | {"attack": "pgd", "printed": "30"}]
    assert anomalies([of(tmp_path, *cells)]) == []


@pytest.mark.parametrize(
    ("first", "second", "unlike"),
    [
        ("98.71", "98.71", False),
        ("98.71", "98.7", False),
        ("98.7", "98.71", False),
        ("98.75", "98.8", False),
        ("98.74", "98.8", True),
        ("98.71", "98.72", True),
        ("4.1", "4", False),
        ("4.1", "4.2", True),
        ("4.6", "4", True),
        ("4.5", "4", False),
        ("(4.0)", "4.00%", False),
        ("4", "-", False),
    ],
)
@pytest.mark.parametrize("where", ["tables", "papers", "prose"])
def test_one_quantity_has_one_value(tmp_path, first, second, unlike, where):
    table = "Text" if where == "prose" else "Table 1"
    other = "Table 2" if where == "tables" else table
    cells = [{"table": table, "printed": first}, {"table": other, "row": "Again", "printed": second}]
    if where == "papers":
        write_paper(tmp_path, cells[0], key="a")
        write_paper(tmp_path, cells[1], key="b")
    else:
        write_paper(tmp_path, *cells)
    found = anomalies(papers(tmp_path))
    assert [one.kind for one in found] == [TWICE] * unlike
    if unlike:
        assert [found[0].first.printed, found[0].second.printed] == [first, second]


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "cifar10"},
        {"architecture": "lenet"},
        {"defense": "undefended"},
        {"training": "fgsm"},
        {"setting": "adaptive"},
        {"source": "members"},
        {"attack": "mim"},
        {"parameters": "epsilon=0.1"},
        {"metric": "confidence"},
    ],
)
def test_another_quantity_has_another_value(tmp_path, change):
    assert anomalies([of(tmp_path, {}, {"table": "Table 2", "printed": "5"} | change)]) == []


def test_three_prints_are_three_pairs(tmp_path):
    cells = [{"table": f"Table {number}", "printed": f"{number}"} for number in (1, 2, 3)]
    found = anomalies([of(tmp_path, *cells)])
    assert [(one.first.printed, one.second.printed) for one in found] == [("1", "2"), ("1", "3"), ("2", "3")]


def test_budgets_are_compared_in_steps(tmp_path):
    """0.1 to 0.2 rises, 0.2 to 0.3 falls, and to 0.4 rises again, though not above the first."""
    cells = [
        {"parameters": f"epsilon={epsilon}", "printed": printed}
        for epsilon, printed in (("0.3", "30"), ("0.1", "50"), ("0.4", "40"), ("0.2", "60"))
    ]
    found = anomalies([of(tmp_path, *cells)])
    assert [(one.kind, one.first.epsilon, one.second.epsilon) for one in found] == [
        (BUDGET, "0.1", "0.2"),
        (BUDGET, "0.3", "0.4"),
    ]


def test_numbers_of_networks_are_compared_kind_by_kind(tmp_path):
    """VGG-13 and ResNet-32 by turns: the rise of each is seen."""
    cells = [
        FOOLED | {"source": f"{kind}*{number}", "printed": f"{number}0"}
        for number, kind in itertools.product((2, 3), ("vgg13", "resnet32"))
    ]
    found = anomalies([of(tmp_path, *cells)])
    assert [(one.kind, one.first.source, one.second.source) for one in found] == [
        (NETWORKS, "resnet32*2", "resnet32*3"),
        (NETWORKS, "vgg13*2", "vgg13*3"),
    ]


def test_a_number_that_the_prose_repeats_is_no_vote(tmp_path):
    """Two plain votes that differ are one anomaly: a quantity printed twice."""
    cells = [ENSEMBLE | {"table": "Text", "printed": printed} for printed in ("20", "30")]
    assert [one.kind for one in anomalies([of(tmp_path, *cells)])] == [TWICE]


ODD = [{"attack": "fgsm", "printed": "20"}, {"row": "0", "column": "Many", "printed": "30"}]
FGSM, PGD = "table_1.ours.pgd", "table_1.0.many"


@pytest.mark.parametrize(
    ("cells", "left"),
    [
        ([[FGSM, PGD]], 0),
        ([["*"]], 0),
        ([["p.table_1.*"]], 0),
        ([["*.pgd", "*.many"]], 0),
        ([[], [FGSM, PGD]], 0),
        ([[FGSM]], 1),
        ([[PGD]], 1),
        ([[FGSM], [PGD]], 1),
        ([[]], 1),
        ([], 1),
    ],
)
def test_a_contradiction_covers_an_anomaly_when_it_names_both_claims(tmp_path, cells, left):
    on_record = [
        {"places": ["Table 1"], "values": ["20", "30"], "meaning": "Odd.", "cells": one} for one in cells
    ]
    found = [read_paper(tmp_path, *ODD, contradictions=on_record)]
    assert len(anomalies(found)) == 1
    assert len(uncovered(found)) == left


def test_a_contradiction_of_another_paper_covers_too(tmp_path):
    write_paper(tmp_path, {"printed": "20"}, key="a")
    odd = {"places": ["Table 1"], "values": ["20"], "meaning": "Odd."}
    both = [{**odd, "papers": ["a"], "cells": ["a.*", "*"]}]
    write_paper(tmp_path, {"printed": "30"}, key="b", contradictions=both)
    found = papers(tmp_path)
    assert (len(anomalies(found)), uncovered(found)) == (1, [])
    assert uncovered(found[:1]) == []


def fill(folder):
    """Write two papers: one of two tables with copied, uncertain and empty cells, one of a single cell."""
    reading = {"gap": "g", "choice": "c", "reason": "r", "setting": "none"}
    statement = {"place": "Sec. 1", "words": "w", "left": ["*"], "value": 0, "relation": "more"}
    write_paper(
        folder,
        {"printed": "40"},
        {"column": "BIM", "attack": "bim", "evidence": "copied from Yu et al. [43]", "certainty": "likely"},
        {"column": "MIM", "attack": "mim", "printed": "?", "certainty": "lost"},
        {"column": "FGSM", "attack": "fgsm", "printed": "-"},
        {"table": "Text", "attack": "deepfool", "evidence": "copied from other"},
        key="one_paper",
        readings=[reading] * 3,
        unmeasurable=[
            {"claims": ["table_1.ours.mim", "one_paper.text.*"], "reason": "r"},
            {"claims": "table_1.ours.*im", "reason": "r"},  # one claim in two entries counts once
        ],
        contradictions=[{"places": ["a"], "values": ["b"], "meaning": "c"}] * 2,
        statements=[statement | {"key": key} for key in "abcd"],
    )
    write_paper(folder, {"dataset": "svhn"}, key="other", year=2022, readings=[reading])


def test_summary_counts(tmp_path):
    fill(tmp_path)
    lines = summary(papers(tmp_path)).splitlines()
    assert [line.split() for line in lines] == [
        ["paper", "table", "claims", "measured", "copied", "not", "certain", "empty", "not", "measurable"],
        ["one_paper", "Table", "1", "4", "3", "1", "2", "2", "1"],
        ["one_paper", "Text", "1", "0", "1", "0", "0", "1"],
        ["one_paper", "all", "tables", "5", "3", "2", "2", "2", "2"],
        ["other", "Table", "1", "1", "1", "0", "0", "0", "0"],
        ["other", "all", "tables", "1", "1", "0", "0", "0", "0"],
        ["all", "papers", "6", "4", "2", "2", "2", "2"],
        ["2", "contradictions,", "4", "readings,", "4", "statements", "of", "the", "prose"],
    ]
    assert len({len(line) for line in lines[:-1]}) == 1, "the last column ends flush"


def run(folder, monkeypatch, capsys, *arguments):
    """Run `reproof claims` on the papers of a folder, from an empty folder without a study."""
    read = papers(folder)
    (folder / "empty").mkdir()
    monkeypatch.chdir(folder / "empty")
    monkeypatch.setenv(cli.STUDY, "--configfile missing.yaml --config seeds=nonsense")
    monkeypatch.setattr(claims_paper, "papers", lambda: read)
    status = cli.main(["claims", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize("arguments", [[], ["--summary"]])
def test_the_command_counts_claims(tmp_path, monkeypatch, capsys, arguments):
    fill(tmp_path)
    write_paper(tmp_path, *ODD, key="third", year=2023)
    status, out, err = run(tmp_path, monkeypatch, capsys, *arguments)
    assert (status, err) == (0, "")
    assert out == summary(papers(tmp_path)) + "\n"
    assert out.count("\none_paper ") == 3


def test_the_command_lists_what_is_not_explained(tmp_path, monkeypatch, capsys):
    write_paper(tmp_path, *ODD)
    assert run(tmp_path, monkeypatch, capsys, "--check") == (
        1,
        f"{ITERATIVE}: p.{FGSM} (20) and p.{PGD} (30)\n"
        "0 anomalies are explained by a contradiction on record, 1 are not\n",
        "",
    )


def test_the_command_is_content_with_what_is_explained(tmp_path, monkeypatch, capsys):
    on_record = [{"places": ["Table 1"], "values": ["20"], "meaning": "Odd.", "cells": ["*"]}]
    write_paper(tmp_path, *ODD, contradictions=on_record)
    assert run(tmp_path, monkeypatch, capsys, "--check") == (
        0,
        "1 anomalies are explained by a contradiction on record, 0 are not\n",
        "",
    )


def test_the_command_does_both(tmp_path, monkeypatch, capsys):
    write_paper(tmp_path, *ODD)
    status, out, _ = run(tmp_path, monkeypatch, capsys, "--check", "--summary")
    assert status == 1
    assert out.startswith("paper")
    assert out.endswith("1 are not\n")


def test_the_command_says_what_is_wrong_with_the_claims_table(tmp_path, monkeypatch, capsys):
    folder = write_paper(tmp_path, {})
    (folder / "claims.csv").unlink()
    monkeypatch.setattr(claims_paper, "papers", lambda: papers(tmp_path))
    assert cli.main(["claims"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("reproof: ClaimError: ")
    assert "claims.csv: cannot be read" in err


OWN = '''
from typing import ClassVar
from reproof.settings.attack import Access, EpsilonAttackSettings

class Settings(EpsilonAttackSettings):
    """Own."""
    title: ClassVar[str] = "Own"
    family: ClassVar[str] = "own"
    access: ClassVar[Access] = "{access}"
    iterative: ClassVar[bool] = {iterative}
'''


@pytest.mark.parametrize(
    ("attack", "iterative", "access", "kinds"),
    [
        ("apgd", True, "gradient", [ITERATIVE]),
        ("apgd", False, "gradient", []),
        ("apgd", True, "score", []),
    ],
)
def test_an_own_attack_is_compared_by_what_it_declares(
    tmp_path, monkeypatch, attack, iterative, access, kinds
):
    text = OWN.format(access=access, iterative=iterative)
    monkeypatch.setattr(registry, "PACKAGE", copy_without(tmp_path, attacks__apgd=text))
    paper = read_paper(
        tmp_path,
        {"attack": attack, "column": "many", "printed": "30.0"},
        {"attack": "fgsm", "column": "one", "printed": "20.0"},
    )
    assert [found.kind for found in anomalies([paper])] == kinds


@pytest.mark.parametrize("gone", ["fgsm", "pgd"])
def test_of_an_attack_that_is_not_built_nothing_is_known(tmp_path, monkeypatch, gone):
    cells = (
        {"attack": "pgd", "column": "many", "printed": "30.0"},
        {"attack": "fgsm", "column": "one", "printed": "20.0"},
    )
    paper = read_paper(tmp_path, *cells)
    assert [found.kind for found in anomalies([paper])] == [ITERATIVE]
    monkeypatch.setattr(registry, "PACKAGE", copy_without(tmp_path, f"attacks/{gone}.py"))
    assert anomalies([paper]) == []
