"""One claim argued in plain text: by a reference run's numbers, and by hand-made ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.ours import needs, needs_run, papers_here

from reproof import cli
from reproof.csv_tables import VERDICTS

ROOT = Path(__file__).parents[2]
KNOWN = {claim.claim_id: claim for paper in papers_here() for claim in paper.claims}
WORDS = ("reproduced", "lower", "higher", "undecided", "not comparable")


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def judged(name: str) -> dict[str, dict[str, object]]:
    return {
        row["claim_id"]: row for row in VERDICTS.rows(VERDICTS.read(ROOT / f"reference/{name}/verdicts.csv"))
    }


@needs_run("mnist")
@pytest.mark.parametrize("word", WORDS)
def test_it_says_the_word_of_the_table_and_why(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row for claim, row in judged("mnist").items() if claim in KNOWN and row["verdict"] == word]
    claim = str(rows[0]["claim_id"])
    assert cli.main(["judge", claim, "--reference", "mnist"]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0].startswith(f"{claim}: ")
    assert lines[-1].startswith(f"{word}, grade {rows[0]['grade']}: ")
    ((chosen,),) = [[line for line in lines if line.startswith("> ")]]
    assert chosen.startswith(f"> {rows[0]['model']}: ")
    reasons = {
        "reproduced": "within the margin",
        "lower": "outside the margin",
        "higher": "outside the margin",
        "not comparable": "another experiment",
        "undecided": "margin",
    }
    assert reasons[word] in lines[-1]


@needs_run("mnist")
@needs("papers/mustafa_pcl")
def test_it_lists_the_protocol_with_places_and_every_difference(capsys: pytest.CaptureFixture[str]) -> None:
    claim = "mustafa_pcl.table_2.mnist_eps_0_3_c_10.ours.white_box.pgd"
    assert cli.main(["judge", claim, "--reference", "mnist"]) == 0
    text = capsys.readouterr().out
    assert "  training.batch_size: 256 (Sec. 5)" in text
    assert re.search(r"^  training\.optimizer: sgd \(our reading: ", text, re.MULTILINE)
    assert "      B  epochs: 4 of 350" in text
    assert "      A  images: 1000 of 10,000" in text


@needs_run("mnist_seeds")
def test_what_was_not_measured_says_what_is_lacking(capsys: pytest.CaptureFixture[str]) -> None:
    known = judged("mnist_seeds")
    lacking = next(
        claim for claim in KNOWN.values() if claim.value is not None and claim.claim_id not in known
    )
    assert cli.main(["judge", lacking.claim_id, "--reference", "mnist_seeds"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("not measured: ")


@needs_run("mnist")
def test_an_unknown_claim_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    claim = max(KNOWN, key=len)
    assert cli.main(["judge", claim + "x", "--reference", "mnist"]) == 1
    assert f"did you mean '{claim}'?" in capsys.readouterr().err


def test_a_study_that_has_not_run_says_which_table_is_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    claim = "mustafa_pcl.table_2.mnist_eps_0_3_c_10.ours.white_box.pgd"
    assert cli.main(["judge", claim, "--config", "study=never_run"]) == 1
    assert "results/never_run/tables/summary.csv" in capsys.readouterr().err
