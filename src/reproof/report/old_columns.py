# ruff: noqa: D103
# mypy: ignore-errors
"""THROW-AWAY, to be deleted at the merge: tables with the old verdict columns as frames of the new schemas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from reproof import csv_tables
from reproof.claims.claim import Claim
from reproof.claims.paper import papers
from reproof.claims.vocabulary import METRICS
from reproof.judging.difference import Difference, dump
from reproof.reference import Reference

FORMS = (
    (r"dataset: (.*), not (.*)", "dataset"),
    (r"architecture: (.*), not (.*)", "architecture"),
    (r"source: (.*), not (.*)", "source"),
    (r"a count among (.*) images, not (.*)", "counted_images"),
    (r"()defense (.*) was not built in this study", "lacks.defense"),
    (r"()defense .* was not trained on clean images alone in this study", "lacks.training"),
    (r"()defense .* was not trained on (.*) examples in this study", "lacks.training"),
    (r"()setting (.*) was not run against .*", "lacks.setting"),
    (r"()attack (.*) was not run in setting .*", "lacks.attack"),
    (r"()parameters: .* was not run at (.*) \(only at (.*)\)", "lacks.parameters"),
    (r"()data set (.*) is not in this study", "lacks.dataset"),
    (r"()no image fools all the sources of (.*), so nothing can be counted", "lacks.fooling_set"),
    (r"(.*) of (.*) pairs were measured", "pairs"),
    (r"not all that it is compared with was measured()()", "compared"),
    (r"a share of a measured 0 is no number()()", "zero_share"),
    (r"(images|epochs|training images|seeds): (.*) of (.*)", "count"),
    (r"\w+ (\w+): (.*), not (.*)", "attack"),
)
MEMBERS = {
    "a whole ensemble": "",
    "single members of an ensemble": "member",
    "all members of an ensemble together": "members",
}


def framed(run: Reference) -> Any:
    """Return a reference run with frames."""
    summary = typed("summary", run.tables["summary"])
    verdicts = new_verdicts(run.tables["verdicts"], summary)
    tables = {
        name: typed(name, rows)
        for name, rows in run.tables.items()
        if name not in ("summary", "verdicts", "statements")
    }
    return Reference(run.name, run.about, {**tables, "summary": summary, "verdicts": verdicts}, run.records)  # type: ignore[arg-type]


def typed(name: str, rows: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    schema = csv_tables.SCHEMAS[name]
    text = csv_tables.to_csv(rows, schema.names)
    return schema.parse(text, name)


def new_differences(text: str) -> str:
    return dump(_difference(clause) for clause in text.split("; ") if clause)


def _sources(text: str) -> str:
    parts = []
    for part in text.split(" and "):
        found = re.fullmatch(
            r"(\d+ )?(\S+)( \(width \S+\))?( with (\S+?))?(, trained on (\S+) examples)?", part
        )
        assert found, part
        count, name, width, _, defense, _, training = found.groups()
        one = name + (width or "")
        if defense or training:
            one += f":{defense or 'undefended'}"
        if training:
            one += f":{training}"
        parts.append(one + (f"*{count.strip()}" if count else ""))
    return " + ".join(parts)


def _difference(clause: str) -> Difference:
    for form, kind in FORMS:
        found = re.fullmatch(form, clause)
        if not found:
            continue
        groups = found.groups()
        if kind == "source":
            return Difference(kind, *map(_sources, groups))
        if kind == "lacks.training":
            return Difference(kind, "", groups[1] if len(groups) > 1 else "clean")
        if kind == "lacks.parameters":
            return Difference(kind, groups[2], groups[1])
        if kind == "count":
            return Difference(groups[0].replace(" ", "_"), *groups[1:])
        if kind == "attack":
            return Difference(f"attack.{groups[0]}", *groups[1:])
        return Difference(kind, *groups[:2])
    for words, member in MEMBERS.items():
        if clause.endswith(f"was not run against {words}"):
            return Difference("lacks.members", "", member)
    for name, metric in METRICS.items():
        if clause == f"{metric.words} was not measured":
            return Difference("lacks.metric", "", name)
    raise ValueError(clause)


def new_verdicts(rows: Iterable[Mapping[str, str]], summary: pd.DataFrame) -> pd.DataFrame:
    claims: dict[str, Claim] = {claim.claim_id: claim for paper in papers() for claim in paper.claims}
    by_place: dict[tuple[str, ...], list[Any]] = {}
    for row in summary.itertuples(index=False):
        by_place.setdefault((row.model, row.setting, row.attack, row.parameters, row.metric), []).append(row)
    found = []
    for row in rows:
        claim = claims[row["claim_id"]]
        key = dict.fromkeys(csv_tables.KEY, "")
        if row["measured"]:
            place = (row["model"], claim.setting, claim.attack, claim.parameters, claim.metric)
            candidates = by_place[place]
            same = [one for one in candidates if one.value == float(row["measured"])]
            key = {name: getattr((same or candidates)[0], name) for name in csv_tables.KEY}
        strongest = f"norm=linf epsilon={claim.epsilon}" if row["strongest_attack"] else ""
        found.append(
            {
                **row,
                **key,
                "strongest_parameters": strongest,
                "differences": new_differences(row["differences"]),
            }
        )
    return typed("verdicts", found)


def new_statements(rows: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    return typed("statements", [{**row, "differences": new_differences(row["differences"])} for row in rows])
