"""Tables written and read back, and files that are no such tables."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reproof.csv_tables import CENTROIDS, KEY, MEASUREMENTS, RECORDS, ROUNDS, SCHEMAS, SUMMARY, VERDICTS
from reproof.errors import ArtifactError
from reproof.job_tables import HISTORY, SEPARATION, SURFACE
from reproof.table_schema import Column, Schema, schema_of

TINY = Schema(
    "tiny",
    (Column("name", "text"), Column("count", "whole"), Column("share", "real"), Column("raised", "flag")),
)
ALL = [*SCHEMAS.values(), RECORDS, HISTORY, SEPARATION, SURFACE, ROUNDS, CENTROIDS]
HEADER = "name,count,share,raised\n"

CELLS: Mapping[str, st.SearchStrategy[Any]] = {
    # CSV of Python 3.11 does not quote a carriage return; no name of ours has one.
    "text": st.text(st.characters(codec="utf-8", exclude_characters="\r\0"))
    | st.sampled_from(["NA", "nan", "None", "NULL", "1", "1.0", "true", " x ", '"', "a,b", "a\nb", "<NA>"]),
    "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
    "real": st.none() | st.floats(allow_nan=False),
    "flag": st.none() | st.booleans(),
}


def rows_of(schema: Schema) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(
        st.fixed_dictionaries({column.name: CELLS[column.kind] for column in schema.columns}), max_size=4
    )


def same(one: Any, other: Any) -> bool:
    """Tell whether two cells are alike, -0.0 apart from 0.0."""
    return type(one) is type(other) and repr(one) == repr(other)


@settings(deadline=None)
@given(rows_of(TINY))
def test_rows_read_back_the_same(rows: list[dict[str, Any]]) -> None:
    frame = TINY.frame(rows)
    text = TINY.text(frame)
    found = TINY.parse(text, "tiny.csv")
    pd.testing.assert_frame_equal(found, frame, check_exact=True)
    assert TINY.text(found) == text
    for one, other in zip(TINY.rows(found), rows, strict=True):
        assert all(same(one[name], other[name]) for name in TINY.names), (one, other)


@pytest.mark.parametrize("schema", ALL, ids=lambda schema: schema.name)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_every_table_reads_back_the_same(schema: Schema, data: st.DataObject) -> None:
    frame = schema.frame(data.draw(rows_of(schema)))
    pd.testing.assert_frame_equal(schema.parse(schema.text(frame), schema.name), frame, check_exact=True)


@pytest.mark.parametrize("schema", ALL, ids=lambda schema: schema.name)
def test_an_empty_table_is_its_header_and_keeps_its_dtypes(schema: Schema) -> None:
    text = schema.text(schema.frame([]))
    assert text == ",".join(schema.names) + "\n"
    found = schema.parse(text, "empty.csv")
    assert {name: str(dtype) for name, dtype in found.dtypes.items()} == schema.dtypes
    assert schema.rows(found) == []


def test_columns_are_named_once_and_the_key_is_in_every_table_that_needs_it() -> None:
    for schema in ALL:
        assert len(set(schema.names)) == len(schema.names)
    for schema in (MEASUREMENTS, SUMMARY, VERDICTS):
        assert set(KEY) <= set(schema.names)
    assert {name: ",".join(schema.names) for name, schema in SCHEMAS.items()} == {
        "measurements": "study,dataset,architecture,defense,training,seed,setting,source,attack,parameters,metric,"
        "value,correct,total,low,high,model",
        "summary": "study,dataset,architecture,defense,training,seeds,setting,source,attack,parameters,metric,"
        "value,correct,total,low,high,model,value_min,value_max",
        "verdicts": "claim_id,paper,table,row,column,claimed,verdict,grade,undecided_by,seed_words,margin,"
        "training_share,stable,differences,study,model,setting,source,attack,parameters,metric,measured,low,high,"
        "source_accuracy,strongest_attack,strongest_parameters,strongest_value,strongest_low,strongest_high,"
        "overall_value,overall_low,overall_high",
        "statements": "statement_id,paper,place,in_print,print_pairs,print_holding,print_left,print_right,"
        "print_difference,measured,measured_pairs,measured_holding,measured_left,measured_right,"
        "measured_difference,judgement,grade,differences",
        "red_flags": "model,gate,raised,evidence,rows,detectable,images",
        "checklist": "item,group,section,model,answer,evidence",
        "per_class": "study,dataset,model,seeds,setting,source,attack,parameters,label,correct,total,low,high",
        "per_image": "study,dataset,norm,epsilon,image,label,networks,lost,held,misclassified,holder",
        "parts": "study,dataset,model,seeds,setting,source,attack,parameters,place,part,access,met,taken",
    }


def test_text_is_quoted_and_what_is_missing_is_an_empty_cell() -> None:
    frame = TINY.frame(
        [
            {"name": 'x, "y"', "count": None, "share": 0.1 + 0.2, "raised": None},
            {"name": "", "count": 2**53 + 1, "share": None, "raised": False},
        ]
    )
    assert TINY.text(frame) == f'{HEADER}"x, ""y""",,0.30000000000000004,\n,9007199254740993,,false\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its columns are not those of tiny"),
        ("name,count,share\nx,1,0.5\n", r"its columns are not those of tiny \(name, count, share, raised\)"),
        ("count,name,share,raised\n", "its columns are not those of tiny"),
        (HEADER + "x,1,0.5\n", "line 2: has too many or too few cells"),
        (HEADER + "x,1,0.5,true\ny,1,0.5,true,\n", "line 3: has too many or too few cells"),
        (HEADER + "x,1.5,0.5,true\n", "column count: invalid literal"),
        (HEADER + "x,many,0.5,true\n", "column count"),
        (HEADER + f"x,{2**64},0.5,true\n", "column count"),
        (HEADER + "x,1,half,true\n", "column share: could not convert"),
        (HEADER + "x,1,0.5,yes\n", "column raised: 'yes' is neither true nor false"),
        (HEADER + 'x,1,0.5,"true\n', "line 2: is no readable CSV table"),
    ],
)
def test_what_is_no_such_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tiny.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match=message) as caught:
        TINY.read(path)
    assert str(caught.value).startswith(str(path))


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"tiny\.csv cannot be read .*run snakemake again"):
        TINY.read(tmp_path / "tiny.csv")
    (tmp_path / "tiny.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(ArtifactError, match=r"tiny\.csv cannot be read"):
        TINY.read(tmp_path / "tiny.csv")


def test_only_frames_of_the_schema_are_written() -> None:
    frame = TINY.frame([{"name": "x", "count": 1, "share": 0.5, "raised": True}])
    wrong = [
        frame.drop(columns="count"),
        frame[["count", "name", "share", "raised"]],
        frame.assign(more=1),
        frame.astype({"count": "float64"}),
        frame.astype({"raised": "bool"}),
        TINY.frame([{"name": None, "count": 1, "share": 0.5, "raised": True}]),
    ]
    for other in wrong:
        with pytest.raises(TypeError, match=r"^tiny: "):
            TINY.text(other)
    with pytest.raises(KeyError, match="raised"):
        TINY.frame([{"name": "x", "count": 1, "share": 0.5}])


@settings(deadline=None)
@given(rows_of(TINY))
def test_rows_are_printed_as_their_frame_is(rows: list[dict[str, Any]]) -> None:
    assert TINY.text_of_rows(rows) == TINY.text(TINY.frame(rows))


def test_rows_are_printed_without_pandas() -> None:
    """Trainings and attacks start faster without it."""
    code = """
import sys
from reproof.job_tables import HISTORY
row = {"epoch": 1, "loss": 2.5, "train_accuracy": None, "validation_accuracy": 0.5, "learning_rate": 1e-05}
assert HISTORY.text_of_rows([row]) == ",".join(row) + "\\n1,2.5,,0.5,1e-05\\n"
assert "pandas" not in sys.modules
"""
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


def test_a_row_lacks_nothing_and_no_text() -> None:
    with pytest.raises(KeyError, match="raised"):
        TINY.text_of_rows([{"name": "x", "count": 1, "share": 0.5}])
    with pytest.raises(TypeError, match="text is missing"):
        TINY.text_of_rows([{"name": None, "count": 1, "share": 0.5, "raised": True}])


def test_a_schema_is_made_of_rows_that_nobody_declared() -> None:
    rows = [
        {"name": "x", "count": 1, "share": None, "raised": True, "never": None},
        {"name": "", "count": None, "share": 0.5, "raised": False, "never": None},
    ]
    found = schema_of("tiny", rows)
    assert found.columns == (*TINY.columns, Column("never", "real"))
    assert found.text_of_rows(rows) == "name,count,share,raised,never\nx,1,,true,\n,,0.5,false,\n"
    assert schema_of("tiny", [{"count": 1}, {"count": np.float32(1.5)}]).columns == (Column("count", "real"),)
    with pytest.raises(TypeError, match="tiny: column count holds text and whole values"):
        schema_of("tiny", [{"count": 1}, {"count": "x"}])


@pytest.mark.parametrize("rows", [[], [{"a": 1}, {"a": 2, "b": 3.0}], [{"a": 1, "b": 2}, {"a": 1}]])
def test_rows_of_an_undeclared_table_have_the_same_columns(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(TypeError, match="log: its rows should be one or more, all with the same columns"):
        schema_of("log", rows)
