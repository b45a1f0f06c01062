"""Which part of a composed attack took which image: counted from outcomes, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reproof.csv_tables import PARTS
from reproof.errors import ArtifactError
from reproof.measuring.outcomes import read_outcomes
from reproof.measuring.parts import parts
from tests.hand_made_outcomes import CLEAN, at, rows, write

TRIED = {"cross-entropy": "gradient", "margin": "gradient", "Square": "score"}


def file(folder: Path, took: dict[int, str], seed: int = 0, tried: dict[str, str] | None = None) -> Path:
    """Write a composed attack's outcomes: image -> the part that took it; image 3 is wrong without an attack."""
    predictions = {image: 9 if image in took else CLEAN[image] for image in CLEAN}
    content = [
        {**row, "part": took.get(row["image"]) if row["attack"] == "all" else None}
        for row in [*rows("none", CLEAN), *at("all", 0.1, predictions, kind="strongest")]
    ]
    notes = {"net": {"all": {"parts": list((TRIED if tried is None else tried).items())}}}
    return write(folder / f"{seed}.parquet", content, seed=seed, notes=notes)


def counted(*files: Path) -> list[tuple[Any, ...]]:
    frame = parts(read_outcomes(files))
    return [(row["place"], row["part"], row["access"], row["met"], row["taken"]) for row in PARTS.rows(frame)]


def test_each_part_meets_what_the_earlier_ones_left(tmp_path: Path) -> None:
    found = counted(file(tmp_path, {0: "cross-entropy", 2: "Square"}))
    assert found == [
        (1, "cross-entropy", "gradient", 3, 1),
        (2, "margin", "gradient", 2, 0),
        (3, "Square", "score", 2, 1),
    ]


def test_seeds_are_added_up_and_the_longest_list_of_parts_counts(tmp_path: Path) -> None:
    """Where nothing is left the later parts are not tried; their places stay those of the other seed."""
    first = file(tmp_path, dict.fromkeys((0, 1, 2), "cross-entropy"), 0, {"cross-entropy": "gradient"})
    frame = parts(read_outcomes([first, file(tmp_path, {1: "margin"}, 1)]))
    assert counted(first, tmp_path / "1.parquet") == [
        (1, "cross-entropy", "gradient", 6, 3),
        (2, "margin", "gradient", 3, 1),
        (3, "Square", "score", 2, 0),
    ]
    assert set(frame["seeds"]) == {2}
    assert set(frame["parameters"]) == {"epsilon=0.1"}


def test_other_attacks_have_no_parts(tmp_path: Path) -> None:
    content = [*rows("none", CLEAN), *at("fgsm", 0.1, CLEAN)]
    assert parts(read_outcomes([write(tmp_path / "o.parquet", content)])).empty


def test_what_was_made_on_another_model_says_nothing_of_this_one(tmp_path: Path) -> None:
    content = [*rows("none", CLEAN), *at("all", 0.1, CLEAN, kind="strongest", source="other")]
    content = [{**row, "part": "margin" if row["attack"] == "all" else None} for row in content]
    moved = [{**row, "setting": "black_box"} for row in content]
    path = write(tmp_path / "o.parquet", moved, notes={"other": {"all": {"parts": list(TRIED.items())}}})
    assert parts(read_outcomes([path])).empty


def test_a_column_of_something_else_is_refused(tmp_path: Path) -> None:
    content = [{**row, "failed": None, "part": None} for row in rows("none", CLEAN)]
    path = write(tmp_path / "o.parquet", content)
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    place = table.column_names.index("part")
    pq.write_table(table.set_column(place, "part", table.column("image")), path)
    with pytest.raises(ArtifactError, match="column part should hold text"):
        read_outcomes([path])
