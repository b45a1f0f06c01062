"""Read and check a paper's claims.csv."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from reproof.claims import typed_table
from reproof.claims.claim import Claim, TransferSource, claim_id
from reproof.claims.vocabulary import (
    CERTAINTIES,
    COLUMNS,
    FAMILIES,
    LOST,
    MEMBERS,
    METRICS,
    NO_TERMS,
    NOT_CLAIMED,
    SETTINGS,
    TEXT,
    UNITS,
    Terms,
    check_word,
    nearest,
    parameters,
    read_print,
    trainings,
)
from reproof.errors import ClaimError
from reproof.settings.parameters import PrintedNumber
from reproof.settings.table_words import NO_ATTACK


def read_claims(path: Path, terms: Terms = NO_TERMS) -> list[Claim]:
    """Return the file's claims in its order; ClaimError names line, column and the nearest right word.

    terms: the paper's own, whose keys may stand in claims without a plugin.
    """
    claims: list[Claim] = []
    seen: dict[tuple[str, ...], tuple[int, Claim]] = {}
    for place, number, cells in typed_table.rows(path, functools.partial(_check_header, path)):
        claim = _claim(place, cells, terms)
        for column, what, key in (
            ("row", "cell", ("cell", claim.table, claim.row, claim.column)),
            ("claim_id", "id", ("id", claim.claim_id)),
            ("parameters", "quantity", ("quantity", claim.table, *claim.quantity)),
        ):
            line, first = seen.setdefault(key, (number, claim))
            if first is not claim and not (what == "quantity" and _may_repeat(claim, first)):
                raise ClaimError(
                    f"{place}, column {column}: the {what} {' / '.join(key[1:])} stands already in line {line}"
                )
        claims.append(claim)
    return claims


def _may_repeat(claim: Claim, first: Claim) -> bool:
    """Say whether a quantity may stand in a table twice: in the prose, or where the same number is printed."""
    return claim.table == TEXT or first.printed == claim.printed


def _check_header(path: Path, header: Sequence[str]) -> None:
    for name in header:
        if name not in COLUMNS:
            raise ClaimError(f"{path}, line 1: column {name!r} is unknown{nearest(name, COLUMNS)}")
        if header.count(name) > 1:
            raise ClaimError(f"{path}, line 1: column {name!r} stands twice")
    for name in COLUMNS:
        if name not in header:
            raise ClaimError(
                f"{path}, line 1: column {name!r} is missing; the columns are {', '.join(COLUMNS)}"
            )


def _claim(place: str, cells: dict[str, str], terms: Terms) -> Claim:
    for name, text in cells.items():
        if text != " ".join(text.split()):
            raise ClaimError(f"{place}, column {name}: {text!r} has a line break, or a blank too many")
    for name in ("claim_id", "paper", "table", "row", "column", "architecture", "printed"):
        if not cells[name]:
            raise ClaimError(f"{place}, column {name}: is empty")
    for name in FAMILIES:
        try:
            check_word(name, cells[name], terms)
        except ValueError as error:
            raise ClaimError(f"{place}, column {name}: {error}") from error
    for name, word, known in (
        ("training", cells["training"], trainings()),
        ("setting", cells["setting"], SETTINGS),
        ("metric", cells["metric"], tuple(METRICS)),
        ("unit", cells["unit"], METRICS[cells["metric"]].units if cells["metric"] in METRICS else UNITS),
        ("certainty", cells["certainty"], CERTAINTIES),
    ):
        if word not in known:
            raise ClaimError(f"{place}, column {name}: {word!r} is unknown{nearest(word, known)}")
    wanted = claim_id(cells["paper"], cells["table"], cells["row"], cells["column"])
    if cells["claim_id"] != wanted:
        raise ClaimError(
            f"{place}, column claim_id: {cells['claim_id']!r} should be {wanted!r}, which paper, table, row and "
            "column make"
        )
    _check_source(f"{place}, column source", cells, terms)
    _check_parameters(f"{place}, column parameters", cells["attack"], cells["metric"], cells["parameters"])
    evidence = cells["evidence"]
    if evidence != "measured" and not re.fullmatch(r"copied from \S.*", evidence):
        raise ClaimError(
            f"{place}, column evidence: {evidence!r} should be 'measured' or 'copied from <paper>'"
        )
    value = _value(place, cells)
    return Claim(
        **{field.name: cells[field.name] for field in fields(Claim) if field.name != "value"}, value=value
    )


def _check_source(place: str, cells: Mapping[str, str], terms: Terms) -> None:
    source, setting = cells["source"], cells["setting"]
    if setting == "black_box" and not source:
        raise ClaimError(f"{place}: is empty; a black_box attack names the network its images were made on")
    if setting == "black_box":
        try:
            for network in TransferSource.read(source):
                check_word("architecture", network.architecture, terms)
                check_word("defense", network.defense, terms)
                if network.training not in trainings():
                    raise ValueError(
                        f"{network.training!r} is unknown{nearest(network.training, trainings())}"
                    )
        except ValueError as error:
            raise ClaimError(f"{place}: {error}") from error
    elif source and source not in MEMBERS:
        raise ClaimError(
            f"{place}: {source!r} should be empty where the setting is {setting!r}, or, for an ensemble, one of "
            f"{', '.join(MEMBERS)}"
        )


def _check_parameters(place: str, attack: str, metric: str, text: str) -> None:
    own = METRICS[metric].parameter
    if attack == NO_ATTACK and not own:
        if text:
            raise ClaimError(f"{place}: {text!r} should be empty where the attack is {NO_ATTACK!r}")
        return
    allowed = (own,) if own else parameters()
    if own and not text:
        raise ClaimError(f"{place}: is empty; {metric} needs one such as {own}=0.5")
    seen = set()
    for part in text.split(" ") if text else ():
        name, equals, number = part.partition("=")
        if not equals:
            raise ClaimError(f"{place}: {part!r} should read name=number, such as {allowed[0]}=0.3")
        if name not in allowed:
            raise ClaimError(f"{place}: {name!r} is unknown{nearest(name, allowed)}")
        if name in seen:
            raise ClaimError(f"{place}: {name!r} stands twice")
        seen.add(name)
        try:
            written = PrintedNumber(number).text
        except (ValueError, OverflowError):
            raise ClaimError(f"{place}: {number!r} is no number such as 0.3") from None
        if written != number:
            raise ClaimError(
                f"{place}: {part!r} should be written {name}={written}, as measurements write it"
            )


def _value(place: str, cells: Mapping[str, str]) -> float | None:
    """Return the value, having checked it against the printed text and its unit."""
    printed, text, unit = cells["printed"], cells["value"], cells["unit"]
    if (printed == LOST) != (cells["certainty"] == "lost"):
        raise ClaimError(f"{place}, column certainty: is 'lost' where, and only where, {LOST!r} is printed")
    empty = printed in NOT_CLAIMED or printed == LOST
    if empty != (text == ""):
        signs = ", ".join(map(repr, (*NOT_CLAIMED, LOST)))
        raise ClaimError(f"{place}, column value: is empty where, and only where, one of {signs} is printed")
    if empty:
        return None
    one, match = read_print(printed, unit)
    if match is None:
        raise ClaimError(f"{place}, column printed: {printed!r} is no number printed as {unit}")
    try:
        value = float(text)
    except ValueError:
        raise ClaimError(f"{place}, column value: {text!r} is no number") from None
    metric = METRICS[cells["metric"]]
    if not metric.lower <= value <= metric.upper or math.isinf(value):
        upper = "∞)" if math.isinf(metric.upper) else f"{metric.upper:g}]"
        hint = "; fractions, not percentages" if metric.share else ""
        raise ClaimError(f"{place}, column value: {text} lies outside [{metric.lower:g}, {upper}{hint}")
    found = match.groupdict()
    if "large" in found:
        stands_for = one * (60 * int(found["large"]) + int(found["small"]))
    else:
        stands_for = one * float(found["number"].replace("−", "-"))
    if abs(value - stands_for) > 1e-9 * max(1.0, abs(stands_for)):
        raise ClaimError(
            f"{place}, column value: {text} does not mean the printed {printed!r} in {unit}, "
            f"which is {stands_for:g}"
        )
    return value
