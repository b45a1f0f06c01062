"""Reference runs: what a large run found, as small CSV and JSON that are committed and shown by every report.

`collect` turns a finished `results/<study>` into them, `read` gives them back, `judge` sets their numbers beside the
claims anew. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reproof import artifacts, plugin_folders
from reproof.csv_tables import KEY, MEASUREMENTS, RECORDS, SCHEMAS, SUMMARY
from reproof.errors import ArtifactError, StudyError
from reproof.judging import tables
from reproof.judging.study_facts import StudyFacts
from reproof.plan.job import Job
from reproof.plan.jobs import Plan
from reproof.settings.values import nearest_hint
from reproof.study import reader
from reproof.study.layers import COMMAND_LINE

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "reference"
ABOUT = "about.json"
UNMEASURED = {"verdicts": "verdict", "statements": "measured"}
"""Table -> the column that says `not measured` of what a reference leaves out: there is nothing to keep."""
LEFT_OUT = ("per_image",)
"""Tables that grow with the number of images."""
RULES = ("prepare", "train", "load", "assemble", "attack", "evaluate", "tabulate")
"""The rules whose records are kept, as far as a study has such jobs; those that make the page add no number."""
PLACE = "data_root"
"""The one setting that says where something lies on a machine; it changes no number and is left out."""
OWN_ATTACKS = "Under its own attacks"
"""What a finding is about that counts verdicts. A reference keeps none: rules change, and the page counts anew."""
ABOUT_KEYS = ("budget", "models", "seeds", "settings", "study", "title")
"""What about.json tells of every run."""
TABLES = ("measurements", "red_flags", "statements", "summary", "verdicts")
"""The tables that every run has."""
RecordRow = Mapping[str, Any]
"""A row of records.csv, by column."""


@dataclass(frozen=True)
class Reference:
    """One reference run, as it lies under reference/<name>/."""

    name: str
    """Its folder's name."""
    about: Mapping[str, Any]
    """Study, budget, models, devices, commits, versions: about.json."""
    tables: Mapping[str, pd.DataFrame]
    """Table by its name (csv_tables.SCHEMAS): summary, measurements, verdicts, statements, red_flags and others."""
    records: Mapping[str, RecordRow]
    """Path of an artifact, as it was under results/ -> its row of records.csv (csv_tables.RECORDS)."""

    @property
    def title(self) -> str:
        """Return what people call it: `MNIST, budget cpu`."""
        budget = f", budget {self.about['budget']}" if self.about["budget"] else ""
        return f"{self.about['title']}{budget}"


def collect(plan: Plan, found: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, str]:
    """Return the files of a reference run, name -> text, from a finished study's results.

    found: paper's key -> the sentences on what the run found: what each is about, and its words. ArtifactError when a
    file is missing, was edited, or was made by other code or settings than these.
    """
    records = {}
    for job in (job for rule in RULES for job in plan.jobs([rule])):
        record = _fitting(job)
        for kind, path in job.outputs.items():
            if kind != "record":
                records[path] = record
    texts = {}
    for kind, path in plan.tabulate().outputs.items():
        if kind not in ("record", *LEFT_OUT):
            artifacts.verify(Path(path))
            texts[f"{kind}.csv"] = _text(kind, SCHEMAS[kind].read(Path(path)))
    rows = RECORDS.frame(_brief(path, record) for path, record in records.items())
    texts[f"{RECORDS.name}.csv"] = RECORDS.text(rows)
    jobs = list({id(record): record for record in records.values()}.values())
    return _with_about(texts, {**_about(plan, jobs), "found": _lasting(found)})


def judge(folder: Path) -> dict[str, str]:
    """Return the files of a reference run, name -> text, with the claims judged by today's rules.

    The numbers are those of its own summary, and what the study did is made again from its settings. What it
    found, in sentences, stays: its page makes those, from all that it ran.
    """
    about = _about_of(folder)
    files = {name: _verified(folder, name, digest) for name, digest in about["files"].items()}
    study = reader.parse(about["settings"], [(str(folder / ABOUT), about["settings"])])
    summary = SUMMARY.parse(files["summary.csv"], str(folder / "summary.csv"))
    measured = MEASUREMENTS.parse(files["measurements.csv"], str(folder / "measurements.csv"))
    facts = StudyFacts.read(Plan(study).tabulate().slice)
    verdicts, statements, _ = tables.judge_claims(summary, measured, facts)
    judged = {"verdicts": verdicts, "statements": statements}
    texts = {**files, **{f"{kind}.csv": _text(kind, judged[kind]) for kind in judged}}
    return _with_about(texts, {**about, "found": _lasting(about["found"])})


def facts(run: Reference) -> StudyFacts:
    """Return the settings of a run's models and attacks; none where a plug-in that it used is no longer here."""
    folders, settings = plugin_folders.used(), run.about["settings"]
    try:
        study = reader.parse(settings, [(f"{FOLDER}/{run.name}/{ABOUT}", settings)])
        return StudyFacts.read(Plan(study).tabulate().slice)
    except StudyError:
        return StudyFacts()
    finally:
        plugin_folders.use([str(folder) for folder in folders])


def _lasting(found: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, list[list[str]]]:
    """Return what a run found without what counts verdicts."""
    return {
        key: [list(finding) for finding in findings if finding[0] != OWN_ATTACKS]
        for key, findings in found.items()
    }


def _text(kind: str, table: pd.DataFrame) -> str:
    """Return a table as CSV, without the rows of what was not measured."""
    column = UNMEASURED.get(kind)
    return SCHEMAS[kind].text(table if column is None else table[table[column] != "not measured"])


def _with_about(texts: Mapping[str, str], about: Mapping[str, Any]) -> dict[str, str]:
    """Return files and, last, the one that lists their hashes: without it a folder is known to be unfinished."""
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    listed = {**about, "files": hashes}
    return {**texts, ABOUT: json.dumps(listed, indent=1, ensure_ascii=False) + "\n"}


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write a reference's files and remove tables that it no longer has."""
    for name, text in files.items():
        artifacts.write_text(folder / name, text)
    for old in folder.glob("*.csv"):
        if old.name not in files:
            old.unlink()


def read_all(folder: Path) -> list[Reference]:
    """Return the reference runs under a folder, by name; none where there is no such folder."""
    return [read(path) for path in sorted(folder.glob("[!.]*")) if path.is_dir()]


def named(name: str) -> Path:
    """Return the folder of a reference run; StudyError with the nearest name where there is none."""
    known = sorted(path.parent.name for path in Path(FOLDER).glob(f"[!.]*/{ABOUT}"))
    if name not in known:
        raise StudyError(f"no reference run is called {name!r}; {nearest_hint(name, known)}")
    return Path(FOLDER) / name


def read(folder: Path) -> Reference:
    """Return one reference run; ArtifactError names a file that is missing, damaged or was edited."""
    about = _about_of(folder)
    found = {}
    for name, digest in about["files"].items():
        path = folder / name
        schema = {**SCHEMAS, RECORDS.name: RECORDS}.get(path.stem)
        if schema is None:
            raise ArtifactError(f"{folder / ABOUT} lists {name}, which is no table; {_remedy(folder)}")
        found[path.stem] = schema.parse(_verified(folder, name, digest), str(path))
    records = {row["path"]: row for row in RECORDS.rows(found.pop(RECORDS.name, RECORDS.frame([])))}
    return Reference(folder.name, about, found, records)


def moved(plan: Plan, name: str) -> str:
    """Return, a line each, which numbers of a finished study lie outside the intervals of a reference run."""
    path = Path(plan.table_path("summary"))
    artifacts.verify(path)
    common, lines = compare(read(named(name)), SUMMARY.read(path))
    told = f"{common:,} numbers are in both, {len(lines)} of them outside the interval in {FOLDER}/{name}"
    return "\n".join([*lines, told])


def compare(found: Reference, summary: pd.DataFrame) -> tuple[int, list[str]]:
    """Return how many shares of images a run has in common with a reference run, and those that moved, a line each.

    Moved is what lies outside the reference's 95 % interval. The study's name may be another one.
    """
    key = [name for name in KEY if name != "study"]
    both = found.tables["summary"].merge(summary, on=key, suffixes=("", "_here"))
    both = both[both["total"].notna() & both["low"].notna()]
    outside = both[(both["value_here"] < both["low"] - 1e-9) | (both["value_here"] > both["high"] + 1e-9)]
    lines = [
        f"{' '.join(filter(None, (row[name] for name in key)))}: {row['value_here']:.4f}, was {row['value']:.4f} "
        f"[{row['low']:.4f}, {row['high']:.4f}]"
        for row in outside.to_dict("records")
    ]
    return len(both), lines


def _about_of(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / ABOUT).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{folder / ABOUT} cannot be read ({error}); {_remedy(folder)}") from error
    if not isinstance(about, dict) or not isinstance(about.get("files"), dict):
        raise ArtifactError(f"{folder / ABOUT} lists no files; {_remedy(folder)}")
    missing = [key for key in ABOUT_KEYS if key not in about]
    missing += [f"{table}.csv" for table in TABLES if f"{table}.csv" not in about["files"]]
    if missing:
        raise ArtifactError(f"{folder / ABOUT} says nothing of {', '.join(missing)}; {_remedy(folder)}")
    return about


def _verified(folder: Path, name: str, digest: str) -> str:
    """Return a file's text; ArtifactError where it is not the one that about.json lists."""
    path = folder / name
    if not path.is_file():
        raise ArtifactError(f"{path} is missing, and {ABOUT} lists it; {_remedy(folder)}")
    if artifacts.sha256(path) != digest:
        raise ArtifactError(f"{path} is not the file that {ABOUT} lists: it was edited; {_remedy(folder)}")
    return path.read_bytes().decode()


def _remedy(folder: Path) -> str:
    return f"take it from git again (git checkout -- {folder}), or make it anew with `python -m reproof reference`"


def _fitting(job: Job) -> dict[str, Any]:
    """Return a job's record; ArtifactError unless it was made by this code and this study."""
    record = artifacts.read_record(Path(job.outputs["record"]))
    where = f"{job.rule} {job.name}"
    if record["digest"] != job.digest:
        raise ArtifactError(
            f"{where}: the code that makes it has changed since. Run snakemake again, then this."
        )
    if _elsewhere(record["job"]) != _elsewhere(json.loads(json.dumps(job.slice))):
        raise ArtifactError(f"{where}: the study says something else since. Run snakemake again, then this.")
    found: dict[str, Any] = record
    return found


def _elsewhere(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's slice of the study without the place of the data."""
    return {key: value for key, value in facts.items() if key != PLACE}


def _brief(path: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file's row of records.csv."""
    own = {name: record.get(name, "") for name in RECORDS.names}
    listed = record["files"].get(Path(path).name, {})
    return {
        **own,
        "path": path,
        "command": _portable(record["command"]),
        "sha256": listed.get("sha256", ""),
    }


def _about(plan: Plan, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a reader must know of the run before its numbers."""
    study = plan.study
    seconds: Counter[str] = Counter()
    for record in records:
        seconds[record["rule"]] += record["seconds"] * record["threads"]
    prepared = {
        name: artifacts.read_record(Path(plan.prepare(name).outputs["record"]))["notes"]
        for name in sorted({model.dataset for model in study.models.values()})
    }
    started = sorted(record["started"] for record in records)
    return {
        "study": study.name,
        "title": study.title,
        "summary": study.summary,
        "budget": study.budget,
        "smoke": study.smoke,
        "seeds": list(study.seeds),
        "looks": study.looks,
        "command": _portable(plan.report().rerun),
        "settings": {key: value for key, value in study.source.items() if key != PLACE},
        "data": prepared,
        "models": {
            name: {
                "title": model.title,
                "dataset": study.datasets[model.dataset].settings.key,
                "architecture": model.architecture_key,
                "width": getattr(model.architecture.settings, "width", 1.0),
                "defense": model.defense_key,
                "training": model.training_key,
                "epochs": plan.epochs(model),
            }
            for name, model in study.models.items()
        },
        "commits": dict(Counter(record["commit"] for record in records)),
        "changed_code": any(record["dirty"] is not False for record in records),
        "devices": dict(Counter(record["device"] for record in records)),
        "versions": _alike(record["versions"] for record in records),
        "first_started": started[0],
        "last_started": started[-1],
        "core_seconds": {rule: round(total, 1) for rule, total in seconds.items()},
    }


def _portable(command: str) -> str:
    """Return a command without the folder in which one machine keeps its data sets."""
    words = [word for word in shlex.split(command) if not word.startswith(f"{PLACE}=")]
    empty = [
        position
        for position, word in enumerate(words)
        if word == COMMAND_LINE and (words[position + 1 :] or ["--"])[0].startswith("--")
    ]
    return shlex.join(word for position, word in enumerate(words) if position not in empty)


def _alike(versions: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return each package's version; several, separated by commas, where the jobs had different ones."""
    found: dict[str, set[str]] = {}
    for one in versions:
        for package, version in one.items():
            found.setdefault(package, set()).add(version)
    return {package: ", ".join(sorted(several)) for package, several in sorted(found.items())}
