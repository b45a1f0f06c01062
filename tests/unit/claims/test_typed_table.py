"""Tables that a person typed in, as spreadsheets save them."""

from __future__ import annotations

from pathlib import Path

import pytest

from reproof.claims import typed_table
from reproof.errors import ClaimError


def read(path: Path, content: str | bytes) -> list[tuple[int, dict[str, str]]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [(line, cells) for _, line, cells in typed_table.rows(path, lambda header: None)]


PLAIN = [(2, {"a": "1", "b": "x, y"}), (3, {"a": "", "b": "é"})]


@pytest.mark.parametrize(
    "content",
    [
        'a,b\n1,"x, y"\n,é\n',
        '\ufeffa,b\n1,"x, y"\n,é\n',
        'a,b\r\n1,"x, y"\r\n,é\r\n',
        'a,b\n1,"x, y"\n,é',
        'a,b\n1,"x, y"\n,é\n,\n\n,\n',
    ],
)
def test_what_a_spreadsheet_adds_is_read(content: str, tmp_path: Path) -> None:
    assert read(tmp_path / "t.csv", content) == PLAIN


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a;b\n1;0,95\n", "separated by semicolons"),
        ("a\tb\n1\t2\n", "separated by tabs"),
        ("a,b\n1,é\n".encode("latin-1"), "is not UTF-8 .* Save it again as CSV UTF-8"),
        ("a,b\n1,é\n".encode("utf-16"), "is not UTF-8"),
        ("a,b\n,\n1,2\n", "line 2: is empty, and rows follow it"),
        ("a,b\n1\n", "line 2: has 1 cells, the header has 2"),
        ('a,b\n1,"2\n', "is no CSV"),
    ],
)
def test_what_would_change_numbers_is_told(content: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ClaimError, match=message) as caught:
        read(tmp_path / "t.csv", content)
    assert str(tmp_path / "t.csv") in str(caught.value)
