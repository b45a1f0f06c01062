"""Reading claims, and judging them against hand-made measurements."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys

import pytest
import yaml

from reproof.claims import (
    COLUMNS,
    FOLDER,
    Budget,
    Claim,
    Paper,
    Summary,
    judge,
    papers,
    read_claims,
)
from reproof.errors import ClaimError

GOOD = {
    "claim_id": "p.t1.ours.pgd",
    "paper": "p",
    "table": "Table 1",
    "row": "Ours",
    "column": "PGD",
    "dataset": "mnist",
    "architecture": "cnn6",
    "defense": "prototype_conformity",
    "training": "clean",
    "setting": "white_box",
    "attack": "pgd",
    "parameters": "epsilon=0.3",
    "metric": "accuracy",
    "printed": "19.9",
    "value": "0.199",
    "evidence": "measured",
    "note": "",
}
CLEAN = {"claim_id": "p.t1.ours.clean", "column": "No Attack", "attack": "none", "parameters": ""}
DESCRIPTION = {
    "title": "A paper",
    "citation": "A. Author. A paper.",
    "summary": "One. Two.",
    "threat_model": "L-infinity.",
    "black_box_source": "vgg19",
    "tables": {"Table 1": "Accuracy"},
    "budgets": {"mnist": {"epochs": 350, "test_images": 10000, "train_images": 60000}},
    "attacks": {"pgd": {"steps": 10, "step_size": 0.1}},
    "hyper_parameters": [],
    "readings": [],
    "contradictions": [],
}


def write(folder, *rows, columns=COLUMNS):
    path = folder / "claims.csv"
    lines = [",".join(columns)]
    lines += [
        ",".join(f'"{ {**GOOD, **row}[column] }"' for column in columns if column in GOOD) for row in rows
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def claim(**changes) -> Claim:
    return dataclasses.replace(Claim(**{**GOOD, "value": 0.199}), **changes)


def measured(correct=60, total=300, **changes) -> Summary:
    row = Summary(
        study="s",
        dataset="mnist",
        architecture="cnn6",
        defense="prototype_conformity",
        training="clean",
        seeds=1,
        setting="white_box",
        source="pcl",
        attack="pgd",
        parameters="epsilon=0.3",
        metric="accuracy",
        value=correct / total,
        correct=correct,
        total=total,
        low=correct / total - 0.03,
        high=correct / total + 0.03,
        model="pcl",
        value_min=correct / total,
        value_max=correct / total,
    )
    return dataclasses.replace(row, **changes)


def paper(**changes) -> Paper:
    return Paper.model_validate({**DESCRIPTION, "key": "p", "claims": (), **changes})


def test_reads_what_is_written(tmp_path):
    (one, clean, dash) = read_claims(
        write(
            tmp_path,
            {},
            CLEAN | {"printed": "(98.71)", "value": "0.9871"},
            {"claim_id": "p.dash", "column": "BIM", "attack": "bim", "printed": "-", "value": ""},
        )
    )
    assert one == claim()
    assert (clean.value, clean.printed) == (0.9871, "(98.71)")
    assert dash.value is None


BAD = {
    "unknown defense": (
        {"defense": "prototype_confomity"},
        "column defense.*did you mean 'prototype_conformity'",
    ),
    "unknown variant's defense": (
        {"defense": "gravity[x]"},
        "column defense.*did you mean 'adaptive_gravity'",
    ),
    "unknown attack": ({"attack": "pdg"}, "column attack.*did you mean 'pgd'"),
    "unknown data set": ({"dataset": "cifar-10"}, "column dataset.*did you mean 'cifar10'"),
    "unknown network": ({"architecture": "cnn"}, "column architecture.*did you mean 'cnn6'"),
    "unknown metric": ({"metric": "acuracy"}, "column metric.*did you mean 'accuracy'"),
    "unknown setting": ({"setting": "whitebox"}, "column setting.*did you mean 'white_box'"),
    "unknown training": ({"training": "FGSM"}, "column training.*there are: clean, fgsm, pgd"),
    "percent as value": ({"value": "19.9"}, "column value.*fractions"),
    "negative": ({"value": "-0.199", "printed": "-19.9"}, "column value"),
    "not what is printed": ({"value": "0.19"}, "column value.*printed '19.9'"),
    "tiny percentage read as fraction": ({"printed": "0.01", "value": "0.01"}, "column value.*0.0001"),
    "no number": ({"value": "x"}, "column value.*no number"),
    "infinite": ({"value": "nan"}, "column value"),
    "printed words": ({"printed": "about 20"}, "column printed"),
    "dash with a value": ({"printed": "-"}, "column value"),
    "value without print": ({"value": ""}, "column value"),
    "budget as written in print": ({"parameters": "epsilon=8/255"}, "epsilon=0.03137254901960784"),
    "budget with a zero too many": ({"parameters": "epsilon=0.30"}, "written epsilon=0.3"),
    "unknown parameter": ({"parameters": "eps=0.3"}, "column parameters.*did you mean 'epsilon'"),
    "parameter without value": ({"parameters": "epsilon"}, "column parameters.*name=number"),
    "parameters without attack": ({"attack": "none"}, "column parameters.*empty"),
    "unknown evidence": ({"evidence": "copied"}, "column evidence"),
    "blank": ({"row": " Ours"}, "column row.*blank"),
    "no row label": ({"row": ""}, "column row: is empty"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_says_what_is_wrong_and_where(tmp_path, change, message):
    path = write(tmp_path, CLEAN, change)
    with pytest.raises(ClaimError, match=message) as caught:
        read_claims(path)
    assert f"{path}, line 3" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"column": "BIM", "attack": "bim"},
            "column claim_id: the id p.t1.ours.pgd stands already in line 2",
        ),
        ({"claim_id": "q", "attack": "bim"}, "column row: the cell Table 1 / Ours / PGD stands already"),
        ({"claim_id": "q", "column": "PGD again"}, "column parameters: the quantity .* stands already"),
    ],
)
def test_refuses_duplicates(tmp_path, change, message):
    with pytest.raises(ClaimError, match=message):
        read_claims(write(tmp_path, {}, change))


def test_the_same_quantity_may_stand_in_two_tables(tmp_path):
    again = {"claim_id": "q", "table": "Table 2"}
    assert len(read_claims(write(tmp_path, {}, again))) == 2


def test_refuses_wrong_columns(tmp_path):
    with pytest.raises(ClaimError, match=r"line 1: column 'metric' is missing"):
        read_claims(write(tmp_path, {}, columns=[c for c in COLUMNS if c != "metric"]))
    with pytest.raises(ClaimError, match=r"'defence' is unknown; did you mean 'defense'"):
        read_claims(write(tmp_path, columns=["defence" if c == "defense" else c for c in COLUMNS]))
    with pytest.raises(ClaimError, match="twice"):
        read_claims(write(tmp_path, columns=[*COLUMNS, "note"]))
    path = write(tmp_path, {})
    path.write_text(path.read_text() + "p,p\n")
    with pytest.raises(ClaimError, match="line 3: has 2 cells"):
        read_claims(path)
    with pytest.raises(ClaimError, match="cannot be read"):
        read_claims(tmp_path / "missing.csv")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ClaimError, match="cannot be read"):
        read_claims(path)


def test_finds_papers_by_folder(tmp_path):
    for name in ("b_paper", "a_paper"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "paper.yaml").write_text(yaml.safe_dump(DESCRIPTION))
        write(tmp_path / name, {"paper": name})
    found = papers(tmp_path)
    assert [one.key for one in found] == ["a_paper", "b_paper"]
    assert found[1].claims == (claim(paper="b_paper"),)
    assert found[0].budgets["mnist"].epochs == 350


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contradiction": []}, "'contradiction'.*did you mean 'contradictions'"),
        ({"budgets": {"mnist": {"epochs": "many"}}}, "budgets.mnist.epochs"),
        ({"claims": []}, "claims: is not written here"),
        ({"tables": {"Table 7": "x"}}, "tables: has no caption for 'Table 1'"),
        ({"readings": [{"gap": "x"}]}, "readings.0.choice"),
    ],
)
def test_refuses_a_wrong_description(tmp_path, change, message):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "paper.yaml").write_text(yaml.safe_dump(DESCRIPTION | change))
    write(tmp_path / "p", {})
    with pytest.raises(ClaimError, match=message):
        papers(tmp_path)


def test_refuses_a_folder_that_is_not_the_claims_paper(tmp_path):
    (tmp_path / "other").mkdir()
    write(tmp_path / "other", {})
    with pytest.raises(ClaimError, match=r"paper.yaml: missing"):
        papers(tmp_path)
    (tmp_path / "other" / "paper.yaml").write_text(yaml.safe_dump(DESCRIPTION))
    with pytest.raises(ClaimError, match="is 'p'; the folder is called 'other'"):
        papers(tmp_path)


@pytest.mark.parametrize(
    ("claimed", "verdict"),
    [(0.2, "reproduced"), (0.25, "reproduced"), (0.2501, "lower"), (0.15, "reproduced"), (0.1499, "higher")],
)
def test_verdict_from_interval_and_tolerance(claimed, verdict):
    """Measured 20 % in [17, 23] with two points of tolerance: claims from 15 to 25 % are reproduced."""
    assert judge(claim(value=claimed), [measured()], 0.02).verdict == verdict


def test_tolerance_is_the_studys():
    assert judge(claim(value=0.24), [measured()], 0.0).verdict == "lower"
    assert judge(claim(value=0.24), [measured()], 0.01).verdict == "reproduced"


def test_exact_match_goes_before_everything_else():
    rows = [
        measured(dataset="digits", model="a", total=10_000, correct=2_000),
        measured(30, architecture="lenet", model="b"),
        measured(90, model="z"),
    ]
    for order in (rows, rows[::-1]):
        verdict = judge(claim(), order)
        assert (verdict.model, verdict.measured, verdict.verdict) == ("z", 0.3, "higher")
        assert verdict.differences == ""


def test_another_data_set_or_network_is_shown_and_not_judged():
    budget = {"pcl": Budget("pcl", "digits", "cnn6", 0.25, 20, 1000, 300, 1)}
    verdict = judge(claim(), [measured(dataset="digits")], budgets=budget)
    assert (verdict.verdict, verdict.measured) == ("not comparable", 0.2)
    assert verdict.differences == "dataset: digits, not mnist; architecture: cnn6 (width 0.25), not cnn6"
    narrow = judge(claim(), [measured()], budgets=budget)
    assert (narrow.verdict, narrow.differences) == (
        "not comparable",
        "architecture: cnn6 (width 0.25), not cnn6",
    )


def test_the_same_data_set_goes_before_the_same_network():
    rows = [measured(dataset="digits", model="a"), measured(architecture="lenet", model="b")]
    assert judge(claim(), rows).model == "b"
    assert judge(claim(), rows).differences == "architecture: lenet, not cnn6"


def test_the_claims_network_goes_before_others_of_the_wrong_data_set():
    """A narrow CNN-6 and a LeNet differ in as many words; the CNN-6 is nearer."""
    budgets = {"b": Budget("b", "digits", "cnn6", 0.25, 20), "a": Budget("a", "digits", "lenet", 1, 20)}
    rows = [
        measured(dataset="digits", architecture=one.architecture, model=one.model) for one in budgets.values()
    ]
    for order in (rows, rows[::-1]):
        assert judge(claim(), order, budgets=budgets).model == "b"


def test_more_images_go_before_fewer():
    rows = [measured(model="a"), measured(200, 1000, model="b")]
    for order in (rows, rows[::-1]):
        assert judge(claim(), order).model == "b"


def test_a_smaller_budget_is_listed_and_judged():
    budget = {"pcl": Budget("pcl", "mnist", "cnn6", 1, 20, 60000, 10000, 2)}
    verdict = judge(
        claim(),
        [measured(120, 600, seeds=2)],
        budgets=budget,
        paper=paper(),
        attacks={"pgd": {"kind": "pgd", "steps": 5, "step_size": 0.1}, "bim": {"steps": 99}},
    )
    assert verdict.verdict == "reproduced"
    assert verdict.differences == "images: 300 of 10000; epochs: 20 of 350; pgd steps: 5, not 10"


def test_the_papers_own_budget_has_no_differences():
    budget = {"pcl": Budget("pcl", "mnist", "cnn6", 1, 350, 60000, 10000, 1)}
    attacks = {"pgd": {"steps": 10, "step_size": 0.1}}
    verdict = judge(claim(), [measured(1990, 10_000)], budgets=budget, paper=paper(), attacks=attacks)
    assert (verdict.verdict, verdict.differences) == ("reproduced", "")


def test_transfer_from_another_source_is_another_quantity():
    asked = claim(setting="black_box")
    budgets = {
        "vgg": Budget("vgg", "mnist", "vgg19", 1, 1),
        "small": Budget("small", "mnist", "vgg19", 0.125, 1),
        "lenet": Budget("lenet", "mnist", "lenet", 1, 1),
    }
    rows = [
        measured(n, setting="black_box", source=source)
        for n, source in ((30, "lenet"), (90, "small"), (60, "vgg"))
    ]
    assert judge(asked, rows, budgets=budgets, paper=paper()).measured == 0.2
    narrow = judge(asked, rows[:2], budgets=budgets, paper=paper())
    assert narrow.measured == 0.3, "a narrow VGG-19 is nearer to the paper's source than any other network"
    verdict = judge(asked, rows[:1], budgets=budgets, paper=paper())
    assert (verdict.verdict, verdict.differences) == (
        "not comparable",
        "source: lenet, not vgg19; images: 300 of 10000",
    )
    verdict = judge(asked, rows[1:2], budgets=budgets, paper=paper())
    assert verdict.differences.startswith("source: vgg19 (width 0.125), not vgg19;")


NOT_MEASURED = {
    "defense": ({"defense": "adaptive_diversity"}, "defense adaptive_diversity was not built in this study"),
    "variant": ({"defense": "prototype_conformity[released_code]"}, "was not built"),
    "training": ({"training": "pgd"}, "was not trained on pgd examples"),
    "setting": ({"setting": "black_box"}, "setting black_box was not run"),
    "attack": ({"attack": "bim"}, "attack bim was not run in setting white_box"),
    "parameters": ({"parameters": "epsilon=0.2"}, r"pgd was not run at epsilon=0.2 \(only at epsilon=0.3\)$"),
    "metric": ({"metric": "l2_mean"}, "l2_mean was not measured"),
    "data set": (
        {"attack": "bim", "dataset": "svhn"},
        "bim was not run.*; data set svhn is not in this study",
    ),
}


@pytest.mark.parametrize(("change", "reason"), NOT_MEASURED.values(), ids=NOT_MEASURED)
def test_reason_for_no_measurement(change, reason):
    verdict = judge(claim(**change), [measured()])
    assert verdict.verdict == "not measured"
    assert (verdict.measured, verdict.low, verdict.model) == (None, None, "")
    assert re.search(reason, verdict.differences), verdict.differences


def test_nothing_measured_at_all():
    assert judge(claim(), []).verdict == "not measured"


def test_a_dash_is_no_claim():
    verdict = judge(claim(printed="-", value=None), [measured()])
    assert (verdict.verdict, verdict.measured) == ("not claimed", None)


def worst(correct, **changes):
    place = {"setting": "all", "source": "", "attack": "worst_case", "parameters": "norm=linf epsilon=0.3"}
    return measured(correct, **{**place, **changes})


def test_second_verdict_under_the_strongest_attack():
    rows = [
        measured(),
        worst(6),
        worst(60, model="other"),
        worst(60, parameters="norm=linf epsilon=0.1"),
        worst(60, parameters="norm=l2 epsilon=0.3"),
    ]
    for order in (rows, rows[::-1]):
        verdict = judge(claim(), order)
        assert verdict.verdict == "reproduced"
        assert (verdict.strongest_attack, verdict.strongest_value) == ("worst_case", 0.02)
        assert verdict.strongest_verdict == "lower"


def test_no_second_verdict_without_a_budget():
    verdict = judge(claim(attack="none", parameters=""), [measured(attack="none", parameters=""), worst(6)])
    assert (verdict.verdict, verdict.strongest_attack, verdict.strongest_verdict) == ("reproduced", "", "")
    assert verdict.strongest_value is None


def test_second_verdict_is_not_judged_on_another_data_set():
    verdict = judge(claim(), [measured(dataset="digits"), worst(6, dataset="digits")])
    assert (verdict.strongest_verdict, verdict.strongest_value) == ("not comparable", 0.02)


def test_distances_have_a_relative_tolerance():
    shares = {"correct": None, "total": None, "low": None, "high": None}
    row = dataclasses.replace(measured(), metric="l2_mean", value=2.0, **shares)
    assert judge(claim(metric="l2_mean", value=2.03), [row], 0.02).verdict == "reproduced"
    assert judge(claim(metric="l2_mean", value=2.06), [row], 0.02).verdict == "lower"


def test_imports_no_torch():
    code = "import sys; import reproof.tables, reproof.red_flags; sys.exit('torch' in sys.modules)"
    environment = {"PYTHONPATH": str(FOLDER.parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
