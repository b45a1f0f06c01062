"""The claims table: every claim against a second transcription, against the others, and against a typist's mistakes."""

from __future__ import annotations

import collections
import csv
import functools
import importlib
import random
import re
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from reproof import registry
from reproof.claims import consistency
from reproof.claims import paper as paper_module
from reproof.claims.claim import TransferSource, claim_id
from reproof.claims.paper import FOLDER, papers, select
from reproof.claims.reader import read_claims
from reproof.claims.vocabulary import (
    CERTAINTIES,
    COLUMNS,
    FAMILIES,
    LOST,
    METRICS,
    NO_ATTACK,
    NOT_CLAIMED,
    SETTINGS,
    TEXT,
    TRAININGS,
    variant_of,
)
from reproof.errors import ClaimError
from reproof.judging.statements import judge_statements
from reproof.settings.adversarial_training import AdversarialTraining
from reproof.settings.training import TrainingSettings
from reproof.settings.values import format_number
from reproof.study.model import ThreatSettings
from tests.ours import WHOLE, needs, papers_here

PAPERS = papers_here()
TERMS = {
    column: sorted({key for paper in PAPERS for key in paper.terms.of(family)})
    for column, family in FAMILIES.items()
}
KEYS = [paper.key for paper in PAPERS]
COUNTS = {
    "mustafa_pcl": {
        "Table 2": 220,
        "Table 3": 54,
        "Table 4": 35,
        "Table 5": 32,
        "Table 6": 16,
        "Table 7": 24,
        "Table 8": 108,
        "Table 9": 96,
    },
    "hassanin_dfl": {
        "Table 1": 24,
        "Table 2": 24,
        "Table 3": 24,
        "Table 4": 24,
        "Table 5": 18,
        "Table 6": 6,
        "Figure 1": 3,
        "Figure 5": 3,
    },
    "seiler_superimposition": {"Table I": 24, "Table II": 72, "Table III": 60},
    "mirzaeian_dkd": {"Table 2": 132, "Table 3": 140, "Table 4": 72, "Fig. 5": 8},
    "mirzaeian_gravity": {"Table II": 120, "Table III": 108, "Table IV": 40},
}
"""What the papers print, counted by rows times columns; the numbers of the prose come on top."""
PROSE = {
    "mustafa_pcl": 11,
    "hassanin_dfl": 3,
    "seiler_superimposition": 12,
    "mirzaeian_dkd": 2,
    "mirzaeian_gravity": 4,
}
NOT_MEASURABLE = {
    "mustafa_pcl": 1,
    "hassanin_dfl": 12,
    "seiler_superimposition": 42,
    "mirzaeian_dkd": 0,
    "mirzaeian_gravity": 0,
}
"""Numbers that no study measures, each with its reason in paper.yaml."""
NOTES = {
    "mustafa_pcl": {
        "attack_of_athalye": 2,
        "baseline_origin": 31,
        "cascade": 1,
        "copied_budgets": 31,
        "copied_dashes": 24,
        "copied_song": 16,
        "equivalent_rules": 2,
        "figure_4": 1,
        "last_column": 1,
        "madry_network": 19,
        "network_taken": 121,
        "not_in_text": 3,
        "other_epsilon": 12,
        "own_run_or_copy": 60,
        "read_twice": 1,
        "repeats_table_2": 34,
        "repeats_table_4": 2,
        "run_together": 4,
        "star_is_fgsm": 18,
        "star_is_pgd": 18,
        "star_unclear": 36,
        "table_5_model": 16,
        "table_6_model": 7,
        "wide_resnet_of_madry": 1,
    },
    "hassanin_dfl": {
        "c_of_mustafa": 6,
        "depth_study": 9,
        "dynamic": 24,
        "figure_lost": 3,
        "losses_shown": 3,
        "mustafa_cifar10": 6,
        "mustafa_mnist": 6,
        "own_attack": 39,
        "same_as_dynamic": 6,
        "softmax_row": 12,
        "which_depth": 1,
    },
    "seiler_superimposition": {
        "beta_label": 4,
        "cited_number": 1,
        "combined_sources": 15,
        "figure_attack": 1,
        "figure_network": 2,
        "figure_vat": 1,
        "fixed_alpha": 4,
        "from_to": 2,
        "never_reached": 3,
        "one_image": 1,
    },
    "mirzaeian_dkd": {
        "by_gain": 42,
        "by_order": 70,
        "classifier_unnamed": 36,
        "clean_of_a_row": 4,
        "either_row": 10,
        "figure_lost": 8,
        "first_row": 12,
        "gain_moved": 20,
        "gain_not_table_3": 3,
        "gain_of_largest": 24,
        "lost_two": 2,
        "no_defense_network": 12,
        "ri_deepfool": 1,
        "three_of_five": 3,
        "zeta_of_mnist": 1,
    },
    "mirzaeian_gravity": {
        "chosen_with_pgd": 2,
        "clean_printed_twice": 16,
        "is_ours": 19,
        "is_ours_p": 5,
        "mean_icd": 1,
        "network_of_mustafa": 60,
        "repeated_from_table_iii": 2,
        "repeated_in_table_iv": 2,
        "star_dropped": 36,
        "ye_is_yu": 24,
    },
}
"""How many claims carry each note."""
SUMS = {
    "mustafa_pcl": {
        "Table 2": "11794.88",
        "Table 3": "2556.79",
        "Table 4": "1448.0",
        "Table 5": "1992.4",
        "Table 6": "761.25",
        "Table 7": "1110.19",
        "Table 8": "5309.5",
        "Table 9": "6370.9",
        "Text": "382.69",
    },
    "hassanin_dfl": {
        "Table 1": "1206.74",
        "Table 2": "834.26",
        "Table 3": "1213.70",
        "Table 4": "811.82",
        "Table 5": "1040.26",
        "Table 6": "465.91",
        "Figure 1": "0",
        "Figure 5": "0",
        "Text": "137.3",
    },
    "seiler_superimposition": {
        "Table I": "0",
        "Table II": "5795.7",
        "Table III": "4190.81",
        "Text": "350.50",
    },
    "mirzaeian_dkd": {
        "Table 2": "38546.98",
        "Table 3": "118.5010",
        "Table 4": "55.6165",
        "Fig. 5": "0",
        "Text": "1.4",
    },
    "mirzaeian_gravity": {"Table II": "7329.75", "Table III": "7798.62", "Table IV": "3410.69", "Text": "30"},
}
"""All printed numbers of a table added up, times such as 6:43m left out."""
TYPED = tuple(name for name in COLUMNS if name not in ("claim_id", "paper", "value", "note"))
"""The columns that the second transcription holds."""


def second(key):
    """Return the second transcription's cells of a paper, by table, row and column."""
    module = importlib.import_module(f"tests.second_transcription.{key}")
    cells = [cell for table in module.TABLES for cell in table.cells()]
    found = {(cell["table"], cell["row"], cell["column"]): cell for cell in cells}
    assert len(found) == len(cells)
    return found


SECOND = {key: second(key) for key in KEYS}


def disagreements(folder, key):
    """Return where a paper's claims.csv and its second transcription differ, in any column."""
    with (folder / key / "claims.csv").open(encoding="utf-8", newline="") as file:
        rows = {(row["table"], row["row"], row["column"]): row for row in csv.DictReader(file)}
    other = SECOND[key]
    found = [f"{place}: only in one of the two" for place in rows.keys() ^ other.keys()]
    for place in rows.keys() & other.keys():
        found += [
            f"{place}, {name}: {rows[place][name]!r} and {other[place][name]!r}"
            for name in TYPED
            if rows[place][name] != other[place][name]
        ]
    return found


@pytest.mark.parametrize("key", KEYS)
def test_every_cell_agrees_with_a_second_transcription(key):
    assert disagreements(FOLDER, key) == []


def test_the_second_transcription_covers_every_claim():
    assert (
        sum(map(len, SECOND.values()))
        == sum(len(paper.claims) for paper in PAPERS)
        >= (1_450 if WHOLE else 0)
    )
    for paper in PAPERS:
        assert {claim.table for claim in paper.claims} == {place[0] for place in SECOND[paper.key]}


def test_counts_per_paper_and_table():
    found = {
        paper.key: {name: table.cells for name, table in paper.tables.items() if name != TEXT}
        for paper in PAPERS
    }
    assert found == {key: COUNTS[key] for key in KEYS}
    assert list(found) == [key for key in COUNTS if key in KEYS], "oldest paper first"
    prose = {paper.key: paper.tables[TEXT].cells for paper in PAPERS if TEXT in paper.tables}
    assert prose == {key: count for key, count in PROSE.items() if key in KEYS}
    text = consistency.summary(PAPERS)
    for paper in PAPERS:
        for name, table in paper.tables.items():
            assert re.search(rf"^{paper.key} +{name} +{table.cells} ", text, re.MULTILINE), (paper.key, name)
        counted = re.search(rf"^{paper.key} +all tables .* (\d+)$", text, re.MULTILINE)
        assert counted is not None
        assert int(counted[1]) == NOT_MEASURABLE[paper.key]


def test_sums_of_the_printed_numbers():
    number = re.compile(r"\(?(-?\d+(?:\.\d+)?) ?%?\)?")
    for paper in PAPERS:
        found = dict.fromkeys(paper.tables, Decimal(0))
        for claim in paper.claims:
            match = number.fullmatch(claim.printed)
            found[claim.table] += Decimal(match[1]) if match else 0
        assert {name: str(total) for name, total in found.items()} == SUMS[paper.key]


@needs("papers/mirzaeian_dkd")
def test_gains_that_dkd_prints_are_the_differences_that_it_prints():
    """A.I. of Table 2 is boosted less plain accuracy of Table 3 at the largest budget; three cells are on record."""
    (paper,) = [paper for paper in PAPERS if paper.key == "mirzaeian_dkd"]
    accuracy = {claim.quantity: claim.value for claim in paper.claims if claim.table == "Table 3"}
    gains = [claim for claim in paper.claims if claim.metric == "accuracy_gain"]
    unlike, compared = [], 0
    for claim in gains:
        boosted = (*claim.quantity[:-1], "accuracy")
        plain = (*boosted[:2], boosted[2].removesuffix("[boosted]"), *boosted[3:])
        values = [accuracy[key] for key in (boosted, plain)]
        if None in values:
            continue
        compared += 1
        if abs(values[0] - values[1] - claim.value) > 1e-9:
            unlike.append((claim.dataset, claim.defense, claim.attack))
    assert (len(gains), compared) == (24, 24)
    assert unlike == [
        ("mnist", "independent_ensemble[boosted]", "deepfool"),
        ("cifar10", "distilled_ensemble[boosted]", "carlini_wagner"),
        ("cifar10", "diverse_ensemble[boosted]", "carlini_wagner"),
    ]


@needs(*(f"papers/{key}" for key in COUNTS))
def test_what_cannot_all_be_right_is_on_record():
    assert [str(found) for found in consistency.uncovered(PAPERS)] == []
    kinds = collections.Counter(found.kind for found in consistency.anomalies(PAPERS))
    assert len(kinds) >= 5 or not WHOLE, "the checks find something, so that an empty list means something"


def test_a_contradiction_struck_out_leaves_its_anomalies_open():
    """Each contradiction whose cells hold an anomaly of their own is needed."""
    every = consistency.anomalies(PAPERS)
    for paper in PAPERS:
        for position, found in enumerate(paper.contradictions):
            ids = {claim.claim_id for claim in select(found.cells, paper, PAPERS)}
            inside = [a for a in every if {a.first.claim_id, a.second.claim_id} <= ids]
            if not inside:
                continue
            rest = (*paper.contradictions[:position], *paper.contradictions[position + 1 :])
            without = [
                p if p is not paper else paper.model_copy(update={"contradictions": rest}) for p in PAPERS
            ]
            others = any(
                {inside[0].first.claim_id, inside[0].second.claim_id}
                <= {claim.claim_id for claim in select(other.cells, p, PAPERS)}
                for p in without
                for other in p.contradictions
            )
            assert others or consistency.uncovered(without), found.places
            break


PLACE = re.compile(
    r"Table|Figure|Sec\.|Eq\.|Fig\.|Algorithm|Abstract|abstract|title|Index Terms|caption|Conclusion|public code|References"
)


def test_forty_contradictions_with_places_to_be_found():
    assert sum(len(paper.contradictions) for paper in PAPERS) >= (40 if WHOLE else 0)
    for paper in PAPERS:
        assert len(paper.contradictions) >= 8, paper.key
        assert len(paper.readings) >= 10, paper.key
        assert len(paper.statements) >= 5, paper.key
        for found in paper.contradictions:
            assert all(PLACE.search(place) for place in found.places), found.places
            assert found.meaning.endswith((".", "?")), found.meaning


def alike(claim, other):
    """Say whether two prints agree after rounding to the coarser one; a dash agrees with a dash."""
    if claim.value is None or other.value is None:
        return claim.value is other.value
    return abs(other.value - claim.value) <= max(other.half_digit, claim.half_digit) + 1e-9


def test_copied_numbers_equal_their_origin_or_are_on_record():
    by_paper = {paper.key: paper for paper in PAPERS}
    checked = 0
    for paper in PAPERS:
        for claim in paper.claims:
            origin = by_paper.get(claim.evidence.removeprefix("copied from "))
            if not claim.copied or origin is None:
                continue
            same = [other for other in origin.claims if other.quantity == claim.quantity]
            assert same, f"{claim.claim_id}: {origin.key} prints no such quantity"
            assert any(alike(claim, other) for other in same), (
                f"{claim.claim_id}: {same[0].claim_id} has another"
            )
            checked += 1
    assert checked >= (130 if WHOLE else 0)


def test_settings_of_readings():
    """A reading's setting is a field of what it names, where that is built, and names a defense otherwise."""
    for paper in PAPERS:
        for reading in paper.readings:
            first, _, rest = reading.setting.partition(".")
            if first == "training":
                known = set(TrainingSettings.model_fields)
                known |= {f"adversarial.{name}" for name in AdversarialTraining.model_fields}
            elif first == "attacks":
                kind, _, rest = rest.partition(".")
                if kind not in registry.names("attacks"):
                    assert kind in paper.terms.attacks, reading.setting
                    continue
                known = set(registry.settings_class("attacks", kind).model_fields)
            elif first == "threats":
                known = set(ThreatSettings.model_fields)
            elif first in registry.names("defenses"):
                known = set(registry.settings_class("defenses", first).model_fields)
            else:
                assert reading.setting in ("none", "seeds") or first in (
                    *TERMS["defense"],
                    "datasets",
                    "architectures",
                )
                continue
            assert rest in known, reading.setting


@pytest.mark.parametrize("key", KEYS)
def test_terms_are_of_what_the_claims_name_and_of_nothing_else(key):
    """Variants of a defense go by its name; what two defenses make together has a name of its own."""
    (paper,) = [paper for paper in PAPERS if paper.key == key]
    sources = [
        s for claim in paper.claims if claim.setting == "black_box" for s in TransferSource.read(claim.source)
    ]
    for column, family in FAMILIES.items():
        named = {getattr(claim, column) for claim in paper.claims}
        if column in ("architecture", "defense"):
            named |= {getattr(source, column) for source in sources}
        assert set(paper.terms.of(family)) == {variant_of(word) for word in named} - {NO_ATTACK}, column
        names = [name for several in paper.terms.of(family).values() for name in several]
        assert len(names) == len(set(names)) + (key == "hassanin_dfl" and column == "defense"), "AT is two"
    assert paper.short_name.endswith(str(paper.year)) or f" {paper.year} (" in paper.short_name


def test_short_names_tell_papers_apart():
    assert len({paper.short_name for paper in PAPERS}) == len(PAPERS)


def test_every_statement_is_about_cells_with_numbers_or_about_a_lost_figure_alone():
    """None is settled by a lack of pairs, and some hold in print while others do not."""
    found = {one.statement_id: one for one in judge_statements(PAPERS, [])}
    of_figures = {
        f"{paper.key}.{statement.key}"
        for paper in PAPERS
        for statement in paper.statements
        if all(
            claim.table.startswith("Fig")
            for claim in select([*statement.left, *statement.right], paper, PAPERS)
        )
    }
    assert {found[one].in_print for one in of_figures} == {"not measured"}, (
        "their words are all that is there"
    )
    assert len(of_figures) == sum({"hassanin_dfl": 3, "mirzaeian_dkd": 4}.get(key, 0) for key in KEYS)
    found = [one for name, one in found.items() if name not in of_figures]
    assert all(one.print_pairs > 0 and one.in_print in ("holds", "does not hold") for one in found)
    words = collections.Counter(one.in_print for one in found)
    assert min(words["holds"], words["does not hold"]) >= (30 if WHOLE else 0)
    assert {one.measured for one in found} == {"not measured"}


WORDS = {
    "dataset": TERMS["dataset"],
    "architecture": TERMS["architecture"],
    "defense": TERMS["defense"],
    "training": TRAININGS,
    "setting": SETTINGS,
    "source": ("", "vgg19", "vgg13*5", "lenet", "member"),
    "attack": [NO_ATTACK, *TERMS["attack"]],
    "metric": tuple(METRICS),
    "unit": ("percent", "fraction", "points", "images"),
    "evidence": ("measured", "copied from mustafa_pcl", "copied from Yu et al. [43]"),
    "certainty": CERTAINTIES,
}


def slip(row, column, paper, rng):
    """Return the row with one mistake that a typist might make in this column, as hard to see as can be."""
    row = dict(row)
    if column in WORDS:
        row[column] = rng.choice([word for word in WORDS[column] if word != row[column]])
        if column == "unit" and row["value"]:  # the value read in the wrong unit
            number = re.search(r"[\d.]+", row["printed"])[0]
            scale = {"percent": 100, "points": 100}.get(row["unit"], 1)
            row["value"] = format_number(float(number) / scale)
    elif column == "paper":
        row["paper"] = rng.choice([key for key in KEYS if key != paper.key] or ["another"])
    elif column == "table":
        row["table"] = rng.choice([name for name in paper.tables if name != row["table"]])
    elif column == "note":
        keys = row["note"].split()
        others = [key for key in paper.notes if key not in keys]
        row["note"] = " ".join(keys[1:]) if keys else rng.choice(others)
    elif column in ("claim_id", "row", "column"):
        position = rng.randrange(len(row[column]))
        row[column] = row[column][:position] + rng.choice("x7") + row[column][position + 1 :]
    else:  # parameters, printed, value: a wrong digit
        places = [match.start() for match in re.finditer(r"\d", row[column])]
        if not places:
            row[column] = {"parameters": "epsilon=0.3", "printed": "12.3", "value": "0.123"}[column]
        else:
            position = rng.choice(places)
            digit = rng.choice([d for d in "0123456789" if d != row[column][position]])
            row[column] = row[column][:position] + digit + row[column][position + 1 :]
        if column == "printed" and row["unit"] in ("percent", "fraction"):
            number = float(re.search(r"[\d.]+", row["printed"])[0])
            row["value"] = format_number(round(number / 100, 10) if row["unit"] == "percent" else number)
    if column in ("paper", "table", "row", "column"):
        row["claim_id"] = claim_id(row["paper"], row["table"], row["row"], row["column"])
    return row


def notes(path):
    """Return how many claims carry each note."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return dict(sorted(collections.Counter(key for row in rows for key in row["note"].split()).items()))


def faults(folder, key):
    """Return what the checks of this file say of a copy of the claims table."""
    try:
        read_claims(folder / key / "claims.csv", next(paper.terms for paper in PAPERS if paper.key == key))
    except ClaimError as error:
        return [str(error)]
    found = disagreements(folder, key)
    if notes(folder / key / "claims.csv") != NOTES[key]:
        found.append("notes")
    if not found:
        try:
            papers(folder)
        except ClaimError as error:
            found.append(str(error))
    return found


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Return a copy of the papers' folder."""
    return Path(shutil.copytree(FOLDER, tmp_path_factory.mktemp("claims") / "papers"))


@pytest.mark.parametrize("key", KEYS)
def test_a_seeded_mistake_in_any_column_is_caught(copy, key, monkeypatch):
    whole, once = paper_module._read_paper, functools.cache(paper_module._read_paper)
    monkeypatch.setattr(  # the other papers stay as they are
        paper_module, "_read_paper", lambda folder: (whole if folder.name == key else once)(folder)
    )
    (paper,) = [paper for paper in PAPERS if paper.key == key]
    path = copy / key / "claims.csv"
    text = path.read_text(encoding="utf-8")
    assert faults(copy, key) == []
    rows = list(csv.DictReader(text.splitlines()))
    rng = random.Random(key)
    for column in COLUMNS:
        if column == "note" and not paper.notes:
            continue
        for position in rng.sample(range(len(rows)), 4):
            wrong = slip(rows[position], column, paper, rng)
            if wrong == rows[position]:
                continue
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows([*rows[:position], wrong, *rows[position + 1 :]])
            changed = {
                name: (rows[position][name], wrong[name])
                for name in COLUMNS
                if rows[position][name] != wrong[name]
            }
            assert faults(copy, key), f"{rows[position]['claim_id']}: {changed} was not caught"
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("key", KEYS)
def test_every_note_is_used_as_often_as_counted(key):
    (paper,) = [paper for paper in PAPERS if paper.key == key]
    assert notes(FOLDER / key / "claims.csv") == NOTES[key]
    assert set(NOTES[key]) == set(paper.notes)


def test_dashes_and_lost_cells_are_few():
    empty = [claim for paper in PAPERS for claim in paper.claims if claim.value is None]
    assert all(claim.printed in (*NOT_CLAIMED, LOST) for claim in empty)
    assert sum(claim.printed == LOST for claim in empty if not claim.table.startswith("Fig")) <= 10
