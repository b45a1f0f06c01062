"""Whether a file is what the plan expects: what its record says of its job beside what the plan says of it.

Snakemake decides by its own notes, which lie in .snakemake and can be gone, and by file times, which a copy does not
keep. A record lies beside its file and goes where that goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reproof import artifacts
from reproof.errors import ArtifactError
from reproof.plan.job import Job
from reproof.plan.jobs import Plan


def difference(record: Mapping[str, Any], job: Job, files: Mapping[str, str] | None = None) -> str:
    """Return why what a record describes is not what a job makes; empty where it is.

    files: what `digests` returns of all records, for an input that was made anew since.
    """
    if maker := _other_maker(record, job):
        return maker
    if record.get("digest") != job.digest:
        return "the code that makes it has changed since"
    if record.get("job") != json.loads(json.dumps(job.slice)):
        return "the study's settings for it have changed since"
    for path, digest in record.get("inputs", {}).items():
        if files is not None and files.get(path, digest) != digest:
            return f"{path}, which it was made from, has been made anew since"
    return ""


def digests(records: Iterable[tuple[Job, Mapping[str, Any]]]) -> dict[str, str]:
    """Return the SHA-256 of each file that jobs made, by its path, as their records say."""
    return {
        str(path): listed["sha256"]
        for job, record in records
        for path, listed in _recorded(record, job).items()
    }


def _other_maker(record: Mapping[str, Any], job: Job) -> str:
    if (record.get("rule"), record.get("name")) == (job.rule, job.name):
        return ""
    return f"it was made by another job ({record.get('rule')} {record.get('name')})"


def outdated(plan: Plan) -> Iterator[str]:
    """Yield the record of each finished job that the plan expects otherwise, whose inputs are others by now, whose
    files have another size, or that does not list one of its files.

    A record that cannot be read is one: the job that made it has to run again.
    """
    finished = [
        (job, _read(Path(job.outputs["record"])))
        for job in plan.jobs()
        if "record" in job.outputs and Path(job.outputs["record"]).exists()
    ]
    files = digests(finished)
    for job, record in finished:
        if difference(record, job, files) or _resized(record, job) or _unlisted(record, job):
            yield job.outputs["record"]


def _read(path: Path) -> dict[str, Any]:
    """Return a record; nothing of one that is damaged."""
    try:
        return artifacts.read_record(path)
    except ArtifactError:
        return {}


def _resized(record: Mapping[str, Any], job: Job) -> bool:
    files = _recorded(record, job)
    return any(path.exists() and path.stat().st_size != listed["bytes"] for path, listed in files.items())


def _unlisted(record: Mapping[str, Any], job: Job) -> list[Path]:
    """Return a job's files that are there and that its record says nothing of."""
    made = {Path(path) for output, path in job.outputs.items() if output != "record"}
    return sorted(path for path in made - _recorded(record, job).keys() if path.exists())


def _recorded(record: Mapping[str, Any], job: Job) -> dict[Path, Any]:
    """Return the files of a record, with what it says of each; they lie beside it."""
    folder = Path(job.outputs["record"]).parent
    return {folder / name: listed for name, listed in record.get("files", {}).items()}


def verify(plan: Plan) -> tuple[int, list[str]]:
    """Read all files of a study's results; return how many, and what is wrong with each that is not as recorded.

    A byte that changed while size and time stayed is found here alone: a run looks at records, sizes and times.
    A job's file that no record lists is not as recorded. Images that were removed once they had been shown are not
    missed. The page has no record.
    """
    count, wrong = 0, []
    for job in plan.jobs():
        if "record" not in job.outputs:
            continue
        path = Path(job.outputs["record"])
        try:
            record = artifacts.read_record(path) if path.exists() else {}
        except ArtifactError as error:
            wrong.append(str(error))
            continue
        listed = [file for file in _recorded(record, job) if file.exists() or job.rule != "attack"]
        count += len(listed)
        for file in [*listed, *_unlisted(record, job)]:
            try:
                artifacts.verify(file, path)
            except ArtifactError as error:
                wrong.append(str(error))
    return count, wrong


def check_inputs(plan: Plan, job: Job) -> None:
    """Refuse inputs of a job that another job made: ArtifactError, with the remedy.

    Those that only the code or the settings of before made are taken: the page stamps what rests on them.
    """
    makers = {path: maker for maker in plan.jobs() for path in maker.outputs.values()}
    for paths in job.inputs.values():
        for path in paths:
            if path not in makers or not artifacts.record_path(Path(path)).exists():
                continue  # whoever reads it says that it is missing
            if reason := _other_maker(artifacts.read_record(artifacts.record_path(Path(path))), makers[path]):
                raise ArtifactError(
                    f"{path}: {reason}. Run the same snakemake command again: it is made anew."
                )
