"""What the files behind the page were made with, and what that cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reproof import wording
from reproof.report.cards import commit, device_words
from reproof.report.contents import ReportData
from reproof.report.section import Section
from reproof.report.shared import Shared

SECTION = Section("provenance", "Provenance", order=62, folded=True)


@dataclass(frozen=True)
class RuleCost:
    """What the jobs of one rule cost together."""

    rule: str
    jobs: int
    seconds: str
    memory: str


@dataclass(frozen=True)
class FileOrigin:
    """A commit, a device or a set of versions, and how many files came from it."""

    text: str
    files: int


def build(shared: Shared) -> dict[str, Any]:
    """Return what all files came from, and the cost of each rule."""
    return {"origins": _origins(shared.data), "costs": _costs(shared.data)}


def _costs(data: ReportData) -> list[RuleCost]:
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for record in data.records.values():
        job = f"{record.get('command')} {record.get('started')}"
        found.setdefault(str(record.get("rule", "not recorded")), {})[job] = record
    costs = []
    for rule, records in found.items():
        seconds = sum(float(record.get("seconds", 0)) for record in records.values())
        peak = max(float(record.get("peak_memory_bytes", 0)) for record in records.values())
        costs.append(RuleCost(rule, len(records), wording.duration(seconds), wording.memory(peak)))
    return costs


def _origins(data: ReportData) -> list[tuple[str, list[FileOrigin]]]:
    """Return what all files came from: commits, devices, versions, seeds, time."""

    def counted(texts: Iterable[str]) -> list[FileOrigin]:
        return [FileOrigin(text, number) for text, number in Counter(texts).items()]

    records = list(data.records.values())
    origins = [
        ("commit", counted(commit(record) for record in records)),
        ("device", counted(device_words(record) for record in records)),
        ("versions", counted(_versions(record) for record in records)),
        ("seed", counted(str(record["seed"]) for record in records if record.get("seed") is not None)),
    ]
    started = sorted(str(record["started"]) for record in records if record.get("started"))
    if started:
        first, last = (text[:16].replace("T", " ") for text in (started[0], started[-1]))
        span = f"{first} UTC (the first job) to {last} UTC (the last)"
        origins.append(("begun", [FileOrigin(span, len(records))]))
    return [(name, found) for name, found in origins if found]


def _versions(record: Mapping[str, Any]) -> str:
    versions = record.get("versions", {})
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "not recorded"
