"""The reference runs that are committed: read by schema, judged by today's rules."""

from __future__ import annotations

import json
import shutil
import types
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reproof import artifacts, cli, reference
from reproof.csv_tables import KEY, RECORDS, SCHEMAS
from reproof.errors import ArtifactError
from reproof.judging.difference import load
from tests.ours import DELETED, can_be_judged

ROOT = Path(__file__).parents[2] / reference.FOLDER
NAMES = sorted(path.name for path in ROOT.iterdir() if path.is_dir())
PAPERS = not any(word.startswith("papers/") for word in DELETED)
JUDGED = [name for name in NAMES if PAPERS and can_be_judged(name)]
"""Those that today's rules can judge: a run is judged by all that it ran, and beside the papers that it was."""


@pytest.mark.parametrize("name", NAMES)
def test_it_is_read_by_the_schemas(name: str) -> None:
    found = reference.read(ROOT / name)
    # Runs of before the composed attack have no table of its parts.
    assert set(found.tables) | {"parts"} == set(SCHEMAS) - set(reference.LEFT_OUT)
    for kind, table in found.tables.items():
        assert {column: str(dtype) for column, dtype in table.dtypes.items()} == SCHEMAS[kind].dtypes
    for path, record in found.records.items():
        assert record["path"] == path
        assert list(record) == RECORDS.names
        assert isinstance(record["seconds"], float)


@pytest.mark.parametrize("name", JUDGED)
def test_it_holds_what_today_s_rules_say_of_its_numbers(name: str) -> None:
    """After a change of the rules: `python -m reproof reference --judge NAME`."""
    judged = reference.judge(ROOT / name)
    for file, text in judged.items():
        assert text == (ROOT / name / file).read_text(encoding="utf-8"), file
    kept = reference.read(ROOT / name).about["found"]
    told = {term for findings in kept.values() for term, _ in findings}
    assert "Under its own attacks" not in told, "its counts are of the rules of its day"
    assert "Clean accuracy" in told


@pytest.mark.parametrize("name", NAMES)
def test_every_verdict_leads_to_the_one_row_that_it_judged(name: str) -> None:
    tables = reference.read(ROOT / name).tables
    summary, verdicts = tables["summary"], tables["verdicts"]
    assert not summary.duplicated(list(KEY)).any()
    both = verdicts.merge(summary, on=list(KEY), how="left", suffixes=("", "_of_row"), validate="many_to_one")
    # A count stands among as many images as the paper's; every other value is the row's, within its exact interval.
    plain = both[~both["metric"].isin(["failed_majorities"])]
    assert len(plain) > 0.8 * len(both)
    assert np.allclose(plain["value"], plain["measured"], rtol=0, atol=1e-12)
    assert (both["low"] <= both["measured"]).all()
    assert (both["measured"] <= both["high"]).all()
    kinds = Counter(difference.kind for text in verdicts["differences"] for difference in load(text))
    assert kinds["images"]
    assert not [kind for kind in kinds if kind.startswith("lacks.")], "what was not measured is left out"


def test_a_listed_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / NAMES[0]
    shutil.copytree(ROOT / NAMES[0], copy)
    about = (copy / reference.ABOUT).read_text(encoding="utf-8")
    (copy / reference.ABOUT).write_text(
        about.replace('"per_class.csv":', '"per_clas.csv":'), encoding="utf-8"
    )
    (copy / "per_class.csv").rename(copy / "per_clas.csv")
    with pytest.raises(ArtifactError, match=r"lists per_clas\.csv, which is no table"):
        reference.read(copy)


@pytest.mark.skipif(not JUDGED, reason="what a reference run ran, or a paper beside it, was deleted")
def test_the_command_judges_anew_and_says_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = JUDGED[-1]
    copy = tmp_path / reference.FOLDER / name
    shutil.copytree(ROOT / name, copy)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["reference", "--judge", name]) == 0
    assert capsys.readouterr().out == f"{reference.FOLDER}/{name}: no file changed\n"
    about = json.loads((copy / reference.ABOUT).read_text(encoding="utf-8"))
    about["settings"]["looks"] = 50
    (copy / reference.ABOUT).write_text(json.dumps(about), encoding="utf-8")
    assert cli.main(["reference", "--judge", name]) == 0
    assert "about.json, verdicts.csv changed" in capsys.readouterr().out
    undecided = [
        reference.read(one).tables["verdicts"]["verdict"].eq("undecided").sum() for one in (ROOT / name, copy)
    ]
    assert undecided[1] > undecided[0], "wider intervals decide less"
    assert cli.main(["reference", "--judge", "nothing"]) == 1
    assert f"no reference run is called 'nothing'; there are: {name}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda about: about["files"].pop("summary.csv"), r"says nothing of summary\.csv"),
        (lambda about: about.pop("budget"), "says nothing of budget"),
        (lambda about: about.update(files=[]), "lists no files"),
        (lambda about: about["files"].update({"gone.csv": ""}), r"gone\.csv"),
    ],
)
def test_what_a_reference_run_lacks_is_named_with_the_way_to_get_it_back(
    damage: Callable[[dict[str, Any]], object], words: str, tmp_path: Path
) -> None:
    copy = tmp_path / NAMES[0]
    shutil.copytree(ROOT / NAMES[0], copy)
    (tmp_path / ".ipynb_checkpoints").mkdir()
    assert [run.name for run in reference.read_all(tmp_path)] == [NAMES[0]]
    about = json.loads((copy / reference.ABOUT).read_text(encoding="utf-8"))
    damage(about)
    (copy / reference.ABOUT).write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(ArtifactError, match=words):
        reference.read(copy)
    (copy / reference.ABOUT).write_bytes(b"{\xe9")
    with pytest.raises(ArtifactError, match=r"about\.json cannot be read .*git checkout"):
        reference.judge(copy)
    shutil.copy(ROOT / NAMES[0] / reference.ABOUT, copy)
    (copy / "verdicts.csv").unlink()
    with pytest.raises(ArtifactError, match=r"verdicts\.csv is missing.*git checkout"):
        reference.read(copy)


def test_numbers_that_left_their_interval_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = reference.read(ROOT / NAMES[0])
    summary = found.tables["summary"].assign(study="renamed")
    counted = int((summary["total"].notna() & summary["low"].notna()).sum())
    assert counted > 100
    assert reference.compare(found, summary) == (counted, [])
    place = summary.index[summary["total"].notna() & (summary["high"] < 0.9)][0]
    row = summary.loc[place]
    summary.loc[place, "value"] = row["high"] - 1e-6
    assert reference.compare(found, summary) == (counted, []), "inside"
    summary.loc[place, "value"] = row["high"] + 0.01
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "summary.csv").write_text(SCHEMAS["summary"].text(summary), encoding="utf-8")
    listed = {
        "sha256": artifacts.sha256(tables / "summary.csv"),
        "bytes": (tables / "summary.csv").stat().st_size,
    }
    artifacts.write_json(tables / "record.json", {"files": {"summary.csv": listed}})
    monkeypatch.chdir(ROOT.parent)
    plan = types.SimpleNamespace(table_path=lambda kind: str(tables / f"{kind}.csv"))
    line, told = reference.moved(plan, NAMES[0]).splitlines()
    assert line.startswith(row["model"])
    assert line.endswith(f"was {row['value']:.4f} [{row['low']:.4f}, {row['high']:.4f}]")
    assert told.startswith(f"{counted:,} numbers are in both, 1 of them outside")
