"""The training log: an index for every model, tables beside it for the methods that keep some, all of them on record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reproof import artifacts, provenance
from reproof.errors import ArtifactError
from reproof.stages.draw import tables_of
from reproof.stages.train import write_training_log

TABLES = {
    "rounds": [{"round": 0, "accuracy": 0.5}, {"round": 1, "accuracy": 0.75}],
    "centroids": [{"x": 1.0}],
}


def write(folder: Path, tables: dict[str, list[dict[str, float]]]) -> Path:
    """Write a log as a train job does, with its record; return the index."""
    index = folder / "training_log.json"
    with provenance.recording(folder / "record.json", {}) as run:
        write_training_log(index, tables, run)
    return index


def read(logs: dict[str, Path]) -> dict[str, dict[str, Path]]:
    return tables_of(logs, provenance.Run(job={}))


def test_every_table_is_on_record_and_read_back(tmp_path: Path) -> None:
    index = write(tmp_path, TABLES)
    assert read({"gravity": index}) == {
        "rounds": {"gravity": tmp_path / "rounds.csv"},
        "centroids": {"gravity": tmp_path / "centroids.csv"},
    }
    assert (tmp_path / "rounds.csv").read_text() == "round,accuracy\n0,0.5\n1,0.75\n"
    listed = artifacts.read_json(tmp_path / "record.json")["files"]
    assert set(listed) == {"rounds.csv", "centroids.csv", "training_log.json"}


@pytest.mark.parametrize("tables", [{}, {"rounds": []}])
def test_a_method_without_a_log_leaves_an_empty_index(
    tmp_path: Path, tables: dict[str, list[dict[str, float]]]
) -> None:
    index = write(tmp_path, tables)
    assert json.loads(index.read_text()) == []
    assert read({"plain": index}) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["record.json", "training_log.json"]


def test_the_index_names_no_table_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that is killed while it writes leaves no index."""

    def full(path: Path, text: str) -> None:
        if path.name == "centroids.csv":
            raise ArtifactError("no room left")
        path.write_text(text)

    monkeypatch.setattr(artifacts, "write_text", full)
    with pytest.raises(ArtifactError, match="no room left"):
        write(tmp_path, TABLES)
    assert [path.name for path in tmp_path.iterdir()] == ["rounds.csv"]


def test_a_table_of_an_earlier_training_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, TABLES)
    index = write(tmp_path, {"rounds": TABLES["rounds"]})
    assert read({"gravity": index}).keys() == {"rounds"}


def test_an_edited_table_is_noticed(tmp_path: Path) -> None:
    index = write(tmp_path, TABLES)
    (tmp_path / "rounds.csv").write_text("round,accuracy\n0,0.5\n1,0.95\n")
    with pytest.raises(ArtifactError, match=r"rounds\.csv is not the file that was recorded"):
        read({"gravity": index})
    (tmp_path / "rounds.csv").unlink()
    with pytest.raises(ArtifactError, match=r"rounds\.csv is missing"):
        read({"gravity": index})
