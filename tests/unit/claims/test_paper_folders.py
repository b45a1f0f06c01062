"""Reading a paper's folder: what paper.yaml must say, and what names other claims and papers."""

from __future__ import annotations

import shutil

import pytest
import yaml

from reproof.claims.paper import FOLDER, papers, select
from reproof.errors import ClaimError
from tests.hand_made_papers import claim, read_paper, shapes, write_paper
from tests.ours import papers_here

CLEAN = {"column": "No Attack", "attack": "none", "parameters": "", "printed": "98.7"}
BIM = {"column": "BIM", "attack": "bim"}
STATEMENT = {"key": "x", "place": "Sec. 1", "words": "more", "left": ["*"], "value": 0.5, "relation": "more"}
CONTRADICTION = {"places": ["Table 1"], "values": ["19.9"], "meaning": "Unclear."}


def test_finds_papers_by_folder(tmp_path):
    for name in ("b_paper", "a_paper"):
        write_paper(tmp_path, CLEAN, {}, key=name)
    found = papers(tmp_path)
    assert [one.key for one in found] == ["a_paper", "b_paper"]
    assert found[1].claims[1] == claim(paper="b_paper")


def test_the_oldest_paper_comes_first_then_the_key(tmp_path):
    for name, year in (("a", 2022), ("c", 2019), ("d", 2018), ("b", 2019)):
        write_paper(tmp_path, {}, key=name, year=year)
    assert [one.key for one in papers(tmp_path)] == ["d", "b", "c", "a"]


def rewritten(folder, **changes):
    path = folder / "paper.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


FIGURE = {"name": "Fig. 1", "shows": "x", "drawn": ["rounds_"]}
TABLE = {"caption": "x", "rows": 1, "columns": 2, "cells": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contradiction": []}, "'contradiction'.*did you mean 'contradictions'"),
        ({"black_box_source": "vgg19"}, "unknown key 'black_box_source'"),
        ({"year": 19}, "year: .*1950"),
        ({"budgets": {"mnist": {"epochs": 350}}}, "unknown key 'budgets'"),
        ({"claims": []}, "claims: is not written here"),
        ({"key": "p"}, "key: is not written here"),
        ({"readings": [{"gap": "x"}]}, "readings.0.choice"),
        ({"tables": {"Table 7": TABLE}}, "tables: has no caption for 'Table 1', which claims.csv names"),
        ({"tables": {"Table 1": "Accuracy"}}, "tables.Table 1"),
        ({"tables": {"Table 1": TABLE | {"rows": 2}}}, "tables.Table 1.rows: is 2; claims.csv has 1"),
        ({"tables": {"Table 1": TABLE | {"columns": 1}}}, "tables.Table 1.columns: is 1; claims.csv has 2"),
        ({"tables": {"Table 1": TABLE | {"cells": 3}}}, "tables.Table 1.cells: is 3; claims.csv has 2"),
        ({"tables": {"Table 1": TABLE, "Text": TABLE}}, "tables.Text.rows: is 1; claims.csv has 0"),
        ({"figures": [{"name": "Fig. 1", "shows": "x", "drawn": []}]}, "figures.0.drawn"),
        ({"figures": [FIGURE | {"statements": ["y"]}]}, "figures.0.statements: 'y' is unknown"),
        ({"figures": [FIGURE | {"claims": ["table_9.*"]}]}, "figures.0.claims: 'table_9.*' fits no claim"),
        ({"unmeasurable": [{"claims": ["*"]}]}, "unmeasurable.0.reason"),
        ({"unmeasurable": [{"claims": ["*"], "reason": ""}]}, "unmeasurable.0.reason"),
        ({"unmeasurable": [{"claims": [], "reason": "x"}]}, "unmeasurable.0.claims"),
        ({"contradictions": [CONTRADICTION | {"places": []}]}, "contradictions.0.places"),
        ({"contradictions": [CONTRADICTION | {"values": []}]}, "contradictions.0.values"),
        ({"contradictions": [CONTRADICTION | {"papers": ["q"]}]}, "0.papers: there is no other paper 'q'"),
        ({"contradictions": [CONTRADICTION | {"papers": ["p"]}]}, "0.papers: there is no other paper 'p'"),
        ({"statements": [STATEMENT, STATEMENT]}, "statements: the key 'x' stands twice"),
        ({"statements": [STATEMENT | {"key": "Gain"}]}, "statements.0.key"),
        ({"statements": [STATEMENT | {"left": []}]}, "statements.0.left"),
        ({"statements": [STATEMENT | {"right": ["*"]}]}, "statements.0: needs either right or value"),
        ({"statements": [STATEMENT | {"value": None}]}, "statements.0: needs either right or value"),
        ({"statements": [STATEMENT | {"pair_by": ["atack"]}]}, "statements.0: pair_by: 'atack'.*'attack'"),
        ({"statements": [STATEMENT | {"relation": "equal"}]}, "statements.0.relation"),
        ({"statements": [STATEMENT | {"against": "mean"}]}, "statements.0.against"),
        ({"statements": [STATEMENT | {"scale": "log"}]}, "statements.0.scale"),
        ({"statements": [STATEMENT | {"holds_for": "most"}]}, "statements.0.holds_for"),
        ({"statements": [STATEMENT | {"tolerance": -0.1}]}, "statements.0.tolerance"),
    ],
)
def test_refuses_a_wrong_description(tmp_path, change, message):
    rewritten(write_paper(tmp_path, CLEAN, {}), **change)
    with pytest.raises(ClaimError, match=message) as caught:
        papers(tmp_path)
    assert str(tmp_path / "p" / "paper.yaml") in str(caught.value)


def test_a_value_of_nothing_is_a_value(tmp_path):
    (statement,) = read_paper(tmp_path, {}, statements=[STATEMENT | {"value": 0}]).statements
    assert statement.value == 0


def test_slack_of_statements(tmp_path):
    given = [{}, {"relation": "about"}, {"tolerance": 0}, {"relation": "about", "tolerance": 0.1}]
    statements = [STATEMENT | {"key": f"x{number}"} | one for number, one in enumerate(given)]
    found = read_paper(tmp_path, {}, statements=statements).statements
    assert [one.slack for one in found] == [0.0005, 0.005, 0, 0.1]


@pytest.mark.parametrize(
    ("content", "message"),
    [("- a\n- b\n", "should be a mapping"), ("a: [", "cannot be read"), ("", "mapping")],
)
def test_refuses_what_is_no_description(tmp_path, content, message):
    (write_paper(tmp_path, {}) / "paper.yaml").write_text(content)
    with pytest.raises(ClaimError, match=rf"paper\.yaml: .*{message}"):
        papers(tmp_path)


def test_refuses_a_folder_that_is_not_the_claims_paper(tmp_path):
    folder = write_paper(tmp_path, {}).rename(tmp_path / "other")
    with pytest.raises(
        ClaimError, match=r"claim p\.table_1\.ours\.pgd, column paper: is 'p'; the folder is called 'other'"
    ):
        papers(tmp_path)
    (folder / "paper.yaml").unlink()
    with pytest.raises(ClaimError, match=r"other/paper\.yaml: missing"):
        papers(tmp_path)


def test_refuses_a_folder_without_claims(tmp_path):
    (write_paper(tmp_path, {}) / "claims.csv").unlink()
    with pytest.raises(ClaimError, match=r"claims\.csv: cannot be read"):
        papers(tmp_path)


def test_other_folders_are_no_papers(tmp_path):
    (tmp_path / "__pycache__").mkdir()
    assert papers(tmp_path) == []


def test_notes_are_keys_of_the_paper(tmp_path):
    notes = {"odd": "It is odd.", "old": "It is old."}
    found = read_paper(tmp_path, CLEAN, {"note": "old odd"}, notes=notes)
    assert [found.note(one) for one in found.claims] == ["", "It is old. It is odd."]
    rewritten(tmp_path / "p", notes={"odds": "x", "old": "x"})
    with pytest.raises(ClaimError) as caught:
        papers(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'p' / 'claims.csv'}, claim p.table_1.ours.pgd, column note: paper.yaml has no note 'odd'; "
        "did you mean 'odds'?"
    )


def test_copies_name_a_paper_that_is_there_or_authors(tmp_path):
    write_paper(tmp_path, {}, key="first_paper")
    write_paper(
        tmp_path,
        {"evidence": "copied from first_paper"},
        CLEAN | {"evidence": "copied from Yu et al. [43]"},
        key="second_paper",
    )
    assert [one.copied for paper in papers(tmp_path) for one in paper.claims] == [False, True, True]
    write_paper(tmp_path, {"evidence": "copied from frist_paper"}, key="third_paper")
    with pytest.raises(ClaimError) as caught:
        papers(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'third_paper' / 'claims.csv'}, claim third_paper.table_1.ours.pgd, column evidence: "
        "there is no paper 'frist_paper'; did you mean 'first_paper'?"
    )


def test_copied_from_nobody(tmp_path):
    write_paper(tmp_path, {"evidence": "copied from nobody"})
    with pytest.raises(ClaimError, match="column evidence: there is no paper 'nobody'"):
        papers(tmp_path)


def ids(found):
    return [one.claim_id for one in found]


@pytest.fixture
def two(tmp_path):
    for key, year in (("b_paper", 2018), ("a_paper", 2020)):
        write_paper(tmp_path, CLEAN, {}, BIM, {"row": "Ours pgd", "training": "pgd"}, key=key, year=year)
    return papers(tmp_path)


PATTERNS = {
    "table_1.ours.pgd": ["a_paper.table_1.ours.pgd"],
    "b_paper.table_1.ours.pgd": ["b_paper.table_1.ours.pgd"],
    "table_1.*.pgd": ["a_paper.table_1.ours.pgd", "a_paper.table_1.ours_pgd.pgd"],
    "*pgd*": ["a_paper.table_1.ours.pgd", "a_paper.table_1.ours_pgd.pgd"],
    "b_paper.*.b*m": ["b_paper.table_1.ours.bim"],
    "table_1.ours.*": [f"a_paper.table_1.ours.{name}" for name in ("no_attack", "pgd", "bim")],
    "table_1.ours": [],
    "ours.pgd": [],
    "ble_1.ours.pgd": [],
    "table_1.ours_.gd": [],
    "table_1.ours.p.d": [],
    "table_1.ours.[a-z]gd": [],
    "table_1.ours.p?d": [],
    "table_1.ours.(pgd|bim)": [],
    "table_1.ours.PGD": [],
    "table_1.ours.pgd$": [],
}


@pytest.mark.parametrize(("pattern", "expected"), PATTERNS.items(), ids=PATTERNS)
def test_a_star_is_the_only_wildcard(two, pattern, expected):
    own = next(one for one in two if one.key == "a_paper")
    assert ids(select([pattern], own, two)) == expected


def test_patterns_choose_in_the_claims_tables_order_and_once(two):
    own = next(one for one in two if one.key == "a_paper")
    found = select(["table_1.ours.bim", "table_1.ours.*", "b_paper.table_1.ours.pgd"], own, two)
    assert ids(found) == [
        "b_paper.table_1.ours.pgd",
        "a_paper.table_1.ours.no_attack",
        "a_paper.table_1.ours.pgd",
        "a_paper.table_1.ours.bim",
    ]
    assert select([], own, two) == []


PLACES = {
    "contradictions.1.cells": {
        "contradictions": [CONTRADICTION, CONTRADICTION | {"papers": ["first"], "cells": ["*", "{}"]}]
    },
    "statements.0.left": {"statements": [STATEMENT | {"left": ["*", "{}"]}]},
    "statements.1.right": {
        "statements": [STATEMENT, STATEMENT | {"key": "y", "value": None, "right": ["*", "{}"]}]
    },
}


@pytest.mark.parametrize(("place", "change"), PLACES.items(), ids=PLACES)
@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("table_1.ours.pdg", "; did you mean 'second.table_1.ours.pgd'?"),
        ("first.table_1.ours.*.eps", ""),
        ("first.table_1.ours.pgd2", "; did you mean 'first.table_1.ours.pgd'?"),
        ("frist.table_1.ours.pgd", "; did you mean"),
    ],
)
def test_a_pattern_fits_some_claim(tmp_path, place, change, pattern, hint):
    write_paper(tmp_path, {}, key="first")
    folder = write_paper(tmp_path, {}, BIM, key="second")

    def filled(pattern):
        return yaml.safe_load(yaml.safe_dump(change).replace("'{}'", f"'{pattern}'"))

    rewritten(folder, **filled("first.table_1.ours.pgd"))
    papers(tmp_path)
    rewritten(folder, **filled(pattern))
    with pytest.raises(ClaimError) as caught:
        papers(tmp_path)
    assert str(caught.value).startswith(f"{folder / 'paper.yaml'}: {place}: '{pattern}' fits no claim{hint}")


def test_a_contradiction_names_the_papers_of_its_cells(tmp_path):
    write_paper(tmp_path, {}, key="first")
    folder = write_paper(tmp_path, {}, key="second")
    rewritten(folder, contradictions=[CONTRADICTION | {"cells": ["first.*"]}])
    with pytest.raises(
        ClaimError, match=r"contradictions\.0\.papers: must name 'first', of which its cells are"
    ):
        papers(tmp_path)


def test_tables_keep_their_order(tmp_path):
    cells = [{"table": name} for name in ("Table II", "Table I", "Text")]
    path = write_paper(tmp_path, *cells) / "paper.yaml"
    tables = shapes(
        [{"table": name, "row": "Ours", "column": "PGD"} for name in ("Table II", "Table I", "Text")]
    )
    content = yaml.safe_load(path.read_text()) | {"tables": tables}
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    assert list(papers(tmp_path)[0].tables) == ["Table II", "Table I", "Text"]


def test_what_names_an_absent_paper_is_left_out_and_a_typing_error_is_none(tmp_path):
    about = {"papers": ["first"], "cells": ["first.table_1.ours.pgd", "table_1.ours.pgd"]}
    folder = write_paper(
        tmp_path,
        {"evidence": "copied from first"},
        key="second",
        others=["first"],
        contradictions=[CONTRADICTION | {"cells": ["table_1.*"]}, CONTRADICTION | about],
        statements=[STATEMENT, STATEMENT | {"key": "y", "left": ["first.*"]}],
    )
    (alone,) = papers(tmp_path)
    assert [one.cells for one in alone.contradictions] == [("table_1.*",)]
    assert [one.key for one in alone.statements] == ["x"]
    assert [one.copied for one in alone.claims] == [True]
    rewritten(folder, contradictions=[CONTRADICTION | about | {"cells": ["table_1.oars.pgd", "first.*"]}])
    with pytest.raises(ClaimError, match=r"contradictions\.0\.cells: 'table_1\.oars\.pgd' fits no claim"):
        papers(tmp_path)
    rewritten(folder, contradictions=[CONTRADICTION | about])
    write_paper(tmp_path, {}, key="first")
    assert [len(one.contradictions) for one in papers(tmp_path)] == [0, 1]
    rewritten(folder, contradictions=[CONTRADICTION | about | {"cells": ["first.table_1.oars.pgd"]}])
    with pytest.raises(ClaimError, match=r"'first\.table_1\.oars\.pgd' fits no claim; did you mean"):
        papers(tmp_path)
    rewritten(folder, contradictions=[CONTRADICTION | {"cells": ["frist.table_1.ours.pgd"]}])
    with pytest.raises(ClaimError, match=r"'frist\.table_1\.ours\.pgd' fits no claim"):
        papers(tmp_path)


@pytest.mark.parametrize("gone", [one.key for one in papers_here()])
def test_the_other_papers_read_without_one_of_them(tmp_path, gone):
    whole = papers_here()
    shutil.copytree(FOLDER, tmp_path / "papers", ignore=shutil.ignore_patterns(gone))
    found = papers(tmp_path / "papers")
    assert [one.key for one in found] == [one.key for one in whole if one.key != gone]
    kept = {one.key: one for one in found}
    for paper in whole:
        if paper.key == gone:
            continue
        assert kept[paper.key].claims == paper.claims
        for left, before in (
            (kept[paper.key].contradictions, paper.contradictions),
            (kept[paper.key].statements, paper.statements),
        ):
            assert [one for one in before if one not in left] == [one for one in before if gone in repr(one)]


def test_claims_that_no_study_can_measure_carry_the_reason(tmp_path):
    entries = [
        {"claims": "table_1.ours.bim", "reason": "lost"},
        {"claims": ["p.table_1.ours.b*"], "reason": "later"},
    ]
    paper = read_paper(tmp_path, CLEAN, BIM, unmeasurable=entries)
    assert [paper.reason_not_measurable(one) for one in paper.claims] == ["", "lost"]


@pytest.mark.parametrize("pattern", ["table_1.ours.bin", "other.table_1.ours.bim"])
def test_what_cannot_be_measured_is_a_claim_of_the_paper_itself(tmp_path, pattern):
    write_paper(tmp_path, BIM, key="other")
    entries = [{"claims": ["table_1.ours.bim", pattern], "reason": "lost"}]
    write_paper(tmp_path, BIM, key="p", unmeasurable=entries)
    with pytest.raises(
        ClaimError, match=rf"unmeasurable\.0\.claims: '{pattern}' fits no claim of this paper"
    ):
        papers(tmp_path)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("p.table_1.ours.pgd", ""),
        (
            "p.table_1.ours.pdg",
            "'p.table_1.ours.pdg' is no claim of this paper; did you mean 'p.table_1.ours.pgd'?",
        ),
        ("p.table_1.ours.bim", "'p.table_1.ours.bim' is no number that its authors measured"),
        ("p.table_1.ours.mim", "'p.table_1.ours.mim' is no number that its authors measured"),
    ],
    ids=["own", "slip", "copied", "dash"],
)
def test_a_headline_is_a_number_that_the_paper_measured(tmp_path, key, message):
    copied = BIM | {"evidence": "copied from Yu et al. [43]"}
    write_paper(tmp_path, {}, copied, {"column": "MIM", "attack": "mim", "printed": "-"}, headlines=[key])
    if not message:
        assert papers(tmp_path)[0].headlines == (key,)
        return
    with pytest.raises(ClaimError) as caught:
        papers(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'p' / 'paper.yaml'}: headlines.0: {message}"
