"""Read a table that a person typed in, perhaps with a spreadsheet: comma-separated values in UTF-8, a header first."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from reproof.errors import ClaimError


def rows(
    path: Path, check_header: Callable[[Sequence[str]], None]
) -> Iterator[tuple[str, int, dict[str, str]]]:
    """Yield each row after the header: its place in words, its line, its cells by column.

    What spreadsheets add is read: a mark of UTF-8 at the start, Windows' line ends, empty rows at the end. Other
    separators and encodings are errors (ClaimError), since they change numbers: 0,95 for 0.95.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ClaimError(f"{path}: is not UTF-8 ({error}). Save it again as CSV UTF-8.") from error
    except OSError as error:
        raise ClaimError(f"{path}: cannot be read: {error}") from error
    first = text.split("\n", 1)[0]
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if separator in first and "," not in first:
            raise ClaimError(
                f"{path}: its cells are separated by {name}. Save it again with commas between them."
            )
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    empty = 0
    try:
        header = next(reader, [])
        check_header(header)
        for cells in reader:
            place = f"{path}, line {reader.line_num}"
            if not any(cells):
                empty = empty or reader.line_num
                continue
            if empty:
                raise ClaimError(f"{path}, line {empty}: is empty, and rows follow it")
            if len(cells) != len(header):
                raise ClaimError(f"{place}: has {len(cells)} cells, the header has {len(header)}")
            yield place, reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise ClaimError(f"{path}, line {reader.line_num}: is no CSV: {error}") from error
