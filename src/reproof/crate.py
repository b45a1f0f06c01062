"""Pack a finished run for an archive: an RO-Crate that says which job made which file from which.

It follows the profile Provenance Run Crate 0.5 (https://w3id.org/ro/wfrun/provenance/0.5): one action for the
workflow, one for each job, each with its input and output files, made from the records beside the artifacts. Images of
data sets are named with their hashes and left out: not all may be passed on.
"""

from __future__ import annotations

import datetime
import io
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reproof import artifacts, provenance
from reproof.errors import ArtifactError, StudyError
from reproof.plan import freshness
from reproof.plan.job import Job
from reproof.plan.jobs import RULES, Plan

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

PROFILES = ("process", "workflow", "provenance")
"""The profiles of Workflow Run RO-Crate, each an extension of the one before."""
PROFILE = "https://w3id.org/ro/wfrun/{}/0.5"
HASH = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}
"""What the context of RO-Crate 1.1 lacks of the terms of Workflow Run RO-Crate."""
LICENCE = "https://spdx.org/licenses/MIT"
LEFT_OUT = ("data", "adversarial", "examples")
"""Kinds of outputs that hold a data set's images: they are named, and not copied."""
SETTINGS = "study.json"
"""The file in the crate with all settings of the study, those of config.yaml and of what was laid over it."""
WORKFLOW = "Snakefile"
FORMATS: Mapping[str, str] = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".safetensors": "application/octet-stream",
    ".svg": "image/svg+xml",
}


def write(plan: Plan, folder: Path) -> list[str]:
    """Write a finished study's crate into a new folder; return what is in it, a line each.

    ArtifactError where the run is not finished, its files were edited or made by other code, or the library is missing.
    """
    try:
        from rocrate.rocrate import ROCrate
    except ModuleNotFoundError:
        raise ArtifactError(
            "a crate needs the package rocrate, which is not installed: `make install-dev` brings it"
        ) from None
    if folder.exists() and any(folder.iterdir()):
        raise StudyError(f"{folder} holds something already: name a new folder, or remove it")
    if differs := next(freshness.outdated(plan), ""):
        raise ArtifactError(
            f"{differs}: was made by another study or other code. Run {plan.report().rerun} first."
        )
    crate = ROCrate(version="1.1")
    _Writer(plan, crate, _finished(plan)).describe()
    with_part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(with_part, ignore_errors=True)
    crate.write(with_part)
    if folder.exists():
        folder.rmdir()
    with_part.rename(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return [
        f"{folder}: {len(files)} files, {size / 1e6:.1f} MB; ro-crate-metadata.json says what they are",
        "images of data sets are left out: each is named with its hash and the command that makes it again",
    ]


@dataclass(frozen=True)
class _Done:
    """A finished job."""

    job: Job
    record: Mapping[str, Any]
    hashes: Mapping[str, str]
    """Path of a file that it made -> its SHA-256."""

    @property
    def started(self) -> datetime.datetime:
        return datetime.datetime.fromisoformat(self.record["started"])

    @property
    def ended(self) -> datetime.datetime:
        return self.started + datetime.timedelta(seconds=round(self.record["seconds"]))


def _finished(plan: Plan) -> list[_Done]:
    """Return the jobs with a record, in the order of the DAG, with every file that is left verified."""
    found = []
    for job in plan.jobs():
        if "record" not in job.outputs:
            continue
        path = Path(job.outputs["record"])
        if not path.exists():
            raise ArtifactError(
                f"{path} is missing: the run is not finished. Run {plan.report().rerun} first."
            )
        record = artifacts.read_record(path)
        hashes = {str(path.parent / name): listed["sha256"] for name, listed in record["files"].items()}
        images = {job.outputs[kind] for kind in LEFT_OUT if kind in job.outputs}
        for name in hashes.keys() - images:
            artifacts.verify(Path(name))
        found.append(_Done(job, record, hashes))
    return found


@dataclass
class _Writer:
    """Puts a run into a crate."""

    plan: Plan
    crate: ROCrate
    done: list[_Done]
    named: dict[str, Any] = field(default_factory=dict)
    """Path of a file, as it is under results/ -> its entity."""

    def describe(self) -> None:
        """Add the workflow, its steps, every job with its files, and what the whole is."""
        study = self.plan.study
        first, last = min(one.started for one in self.done), max(one.ended for one in self.done)
        settings = io.StringIO(json.dumps(study.source, indent=1, ensure_ascii=False) + "\n")
        given = self.crate.add_file(
            settings, SETTINGS, properties=_about(SETTINGS, "All settings of the study")
        )
        workflow = self._workflow(study.name)
        engine = self._thing(
            "#snakemake",
            "SoftwareApplication",
            name="Snakemake",
            url="https://snakemake.readthedocs.io",
            softwareVersion=self.done[-1].record["versions"].get("snakemake", "unknown"),
        )
        steps = self._steps(workflow)
        for one in self.done:
            self._files(one)
        controls = [self._job(one, *steps[one.job.rule]) for one in self.done]
        shown = [self._report(), *(self.named[path] for path in self.done[-1].hashes if path in self.named)]
        run = self._thing(
            "#run",
            "CreateAction",
            name=f"Run of {study.title}",
            instrument=workflow,
            object=[given],
            result=shown,
            startTime=first.isoformat(),
            endTime=last.isoformat(),
            description=self.plan.report().rerun,
        )
        self._thing(
            "#orchestration",
            "OrganizeAction",
            name=f"Snakemake runs {study.name}",
            instrument=engine,
            object=controls,
            result=run,
            startTime=first.isoformat(),
            endTime=last.isoformat(),
        )
        self._root(last)
        self.crate.root_dataset.append_to("mentions", run)

    def _root(self, last: datetime.datetime) -> None:
        study = self.plan.study
        self.crate.name = f"reproof: {study.title}"
        self.crate.description = (
            study.summary or f"A run of the study {study.name}, with the record of every job."
        )
        self.crate.license = self._thing(LICENCE, "CreativeWork", name="MIT License", identifier=LICENCE)
        self.crate.datePublished = last
        self.crate.metadata.extra_contexts.append(HASH)
        profiles = [
            self._thing(PROFILE.format(name), "CreativeWork", name=f"{name.title()} Run Crate", version="0.5")
            for name in PROFILES
        ]
        base = self._thing(
            "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
            "CreativeWork",
            name="Workflow RO-Crate",
            version="1.0",
        )
        self.crate.root_dataset["conformsTo"] = [*profiles, base]

    def _workflow(self, study: str) -> Any:
        facts = {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            **_about(WORKFLOW),
            "name": f"reproof, as the study {study} ran it",
            "version": ", ".join(sorted({one.record["commit"] for one in self.done})),
        }
        workflow = self.crate.add_workflow(
            provenance.ROOT / WORKFLOW, WORKFLOW, main=True, lang="snakemake", properties=facts
        )
        for path in sorted((provenance.ROOT / "workflow" / "rules").glob("*.smk")):
            name = str(path.relative_to(provenance.ROOT))
            self.crate.add_file(path, name, properties=_about(name, "Rules of the workflow"))
        for name, title in (
            ("environment.yml", "Versions of the packages"),
            ("environment-cpu.yml", "Versions of the packages, without CUDA"),
        ):
            self.crate.add_file(provenance.ROOT / name, name, properties=_about(name, title))
        return workflow

    def _steps(self, workflow: Any) -> dict[str, tuple[Any, Any]]:
        """Return, by rule, its step of the workflow and the command that does it."""
        found = {}
        used = [rule for rule in RULES if any(one.job.rule == rule for one in self.done)]
        for position, rule in enumerate(used):
            tool = self._thing(
                f"#reproof-{rule}",
                "SoftwareApplication",
                name=f"python -m reproof {rule}",
                softwareVersion=workflow["version"],
            )
            step = self._thing(
                f"{WORKFLOW}#{rule}", "HowToStep", name=rule, position=str(position), workExample=tool
            )
            found[rule] = (step, tool)
        workflow["step"] = [step for step, _ in found.values()]
        workflow["hasPart"] = [tool for _, tool in found.values()]
        return found

    def _files(self, one: _Done) -> None:
        """Add a job's files: those that are passed on, and as names alone those that are not."""
        images = {one.job.outputs[kind] for kind in LEFT_OUT if kind in one.job.outputs}
        for path, digest in one.hashes.items():
            facts = {**_about(path), "sha256": digest}
            if path in images:
                words = f"Images, not in this crate. Made again by: {one.record['command']}"
                self.named[path] = self._thing(
                    f"#{path}", "CreativeWork", name=path, description=words, sha256=digest
                )
            else:
                self.named[path] = self._file(path, facts)
        path = one.job.outputs["record"]
        self.named[path] = self._file(path, _about(path, "Code, settings, inputs and machine of a job"))

    def _file(self, path: str, facts: dict[str, str]) -> Any:
        return self.crate.add_file(path, path, record_size=True, properties=facts)

    def _job(self, one: _Done, step: Any, tool: Any) -> Any:
        """Add the action of a job, and return the one by which Snakemake started it."""
        made = [*one.hashes, one.job.outputs["record"]]
        key = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{one.job.rule}-{one.job.name}")
        action = self._thing(
            f"#{key}",
            "CreateAction",
            name=f"{one.job.rule} {one.job.name}",
            description=one.record["command"],
            instrument=tool,
            object=[self.named[path] for path in one.record["inputs"] if path in self.named],
            result=[self.named[path] for path in made],
            startTime=one.started.isoformat(),
            endTime=one.ended.isoformat(),
        )
        self.crate.root_dataset.append_to("mentions", action)
        return self._thing(
            f"#start-{key}", "ControlAction", name=f"start {one.job.name}", instrument=step, object=action
        )

    def _report(self) -> Any:
        """Add the page and the answer beside it; return the page."""
        outputs = self.plan.report().outputs
        for path in outputs.values():
            if not Path(path).exists():
                raise ArtifactError(
                    f"{path} is missing: the run is not finished. Run {self.plan.report().rerun} first."
                )
        pages = {path: self._file(path, _about(path)) for path in outputs.values()}
        return pages[outputs["page"]]

    def _thing(self, key: str, kind: str, **facts: Any) -> Any:
        """Add an entity that is no file of the crate; a list of one is that one, as RO-Crate 1.1 wants it."""
        from rocrate.model import ContextEntity

        facts = {
            name: value[0] if isinstance(value, list) and len(value) == 1 else value
            for name, value in facts.items()
        }
        return self.crate.add(ContextEntity(self.crate, key, properties={"@type": kind, **facts}))


def _about(path: str, words: str = "") -> dict[str, str]:
    """Return what a file is called, its format, and words on it."""
    suffix = Path(path).suffix
    form = {"encodingFormat": FORMATS[suffix]} if suffix in FORMATS else {"encodingFormat": "text/plain"}
    return {"name": path, **form, **({"description": words} if words else {})}
