"""Whether a file is what the plan expects: what its record says of its job beside what the plan says of it.

Snakemake decides by its own notes, which lie in .snakemake and can be gone, and by file times, which a copy does not
keep. A record lies beside its file and goes where that goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reproof import artifacts
from reproof.errors import ArtifactError
from reproof.plan.job import Job
from reproof.plan.jobs import Plan


def difference(record: Mapping[str, Any], job: Job) -> str:
    """Return why what a record describes is not what a job makes; empty where it is."""
    if maker := _other_maker(record, job):
        return maker
    if record.get("digest") != job.digest:
        return "the code that makes it has changed since"
    if record.get("job") != json.loads(json.dumps(job.slice)):
        return "the study's settings for it have changed since"
    return ""


def _other_maker(record: Mapping[str, Any], job: Job) -> str:
    if (record.get("rule"), record.get("name")) == (job.rule, job.name):
        return ""
    return f"it was made by another job ({record.get('rule')} {record.get('name')})"


def outdated(plan: Plan) -> Iterator[str]:
    """Yield the record of each finished job that the plan expects otherwise.

    A record that cannot be read is one: the job that made it has to run again.
    """
    for job in plan.jobs():
        path = Path(job.outputs.get("record", ""))
        if "record" not in job.outputs or not path.exists():
            continue
        try:
            record = artifacts.read_json(path)
        except ArtifactError:
            record = {}
        if not isinstance(record, dict) or difference(record, job):
            yield str(path)


def check_inputs(plan: Plan, job: Job) -> None:
    """Refuse inputs of a job that another job made: ArtifactError, with the remedy.

    Those that only the code or the settings of before made are taken: the page stamps what rests on them.
    """
    makers = {path: maker for maker in plan.jobs() for path in maker.outputs.values()}
    for paths in job.inputs.values():
        for path in paths:
            if path not in makers or not artifacts.record_path(Path(path)).exists():
                continue  # whoever reads it says that it is missing
            if reason := _other_maker(artifacts.read_json(artifacts.record_path(Path(path))), makers[path]):
                raise ArtifactError(
                    f"{path}: {reason}. Run the same snakemake command again: it is made anew."
                )
