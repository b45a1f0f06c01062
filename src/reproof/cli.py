"""`python -m reproof`: one sub-command per rule of the workflow, and `plan`, which shows the jobs beforehand."""

from __future__ import annotations

import argparse
import importlib
import itertools
import math
import os
import re
import shlex
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reproof import artifacts, provenance, surroundings, wording
from reproof.arguments import parser
from reproof.errors import ArtifactError, ReproofError, StudyError
from reproof.plan import freshness
from reproof.plan.job import Job
from reproof.plan.jobs import Plan
from reproof.study import layers, model, reader, schema
from reproof.warm_client import driver

STUDY = "REPROOF_STUDY"
"""Environment variable with the --configfile and --config of the Snakemake that started a job."""


def main(arguments: Sequence[str] | None = None, plan: Plan | None = None) -> int:
    """Run a sub-command; return the exit status: 0, or 1 after one message about something the user can mend.

    plan: that of the study which the arguments name, where it was read before.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    inherited = shlex.split(os.environ.get(STUDY, ""))
    if given[:1] not in (["schema"], ["claims"], ["new"], ["artifact"]) and not {
        "--configfile",
        "--config",
    } & set(given):
        given += inherited
    chosen = parser().parse_args(given)
    try:
        status = _without_study(chosen)
        if status is None:
            status = _with_study(chosen, plan or Plan(load_study(chosen.configfile, chosen.config)))
        return status
    except ReproofError as error:
        print(f"reproof: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except (
        BrokenPipeError
    ):  # whoever read our output has seen enough; nothing may be flushed into the closed pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("reproof: interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _without_study(chosen: argparse.Namespace) -> int | None:
    """Do what needs no study and return the exit status; None where the sub-command needs one."""
    match chosen.command:
        case "schema":
            print(schema_text(), end="", flush=True)
        case "new":
            from reproof import new

            own = None if chosen.folder is None else folder(chosen.folder)
            print("\n".join(new.write(chosen.kind, chosen.name, own)), flush=True)
        case "artifact":
            from reproof.report import artifact

            print(artifact.renew(Plan(load_study([], []))), flush=True)
        case "claims":
            return show_claims(summary=chosen.summary or not chosen.check, check=chosen.check)
        case "reference" if chosen.judge:
            judge_again(chosen.judge)
        case "judge" if chosen.reference:
            print(explain_by_reference(chosen.claim, chosen.reference), end="", flush=True)
        case _:
            return None
    return 0


def _with_study(chosen: argparse.Namespace, plan: Plan) -> int:
    """Do what is asked about a study, or one of its jobs; return the exit status."""
    match chosen.command:
        case "judge":
            print(explain(chosen.claim, plan), end="", flush=True)
        case "plan":
            print(show_plan(plan, chosen), flush=True)
        case "answer":
            print(show_answer(plan), flush=True)
        case "open":
            print(open_page(plan), flush=True)
        case "verify":
            return verify(plan)
        case "reference" if chosen.compare:
            from reproof import reference

            print(reference.moved(plan, chosen.compare), flush=True)
        case "reference":
            keep(plan, chosen.name or plan.study.name)
        case "borrow":
            from reproof import borrowed

            print(borrowed.asked(plan, chosen, main), flush=True)
        case "export":
            from reproof.export import export

            print("\n".join(export(plan, folder(chosen.folder), chosen.model)), flush=True)
        case "crate":
            from reproof import crate

            print("\n".join(crate.write(plan, folder(chosen.folder))), flush=True)
        case rule:
            do(find(plan, rule, chosen.output), chosen.expect, chosen.threads, plan)
    return 0


def folder(text: str) -> Path:
    """Return the folder that a word of the command line names; StudyError for an empty word."""
    if not text.strip():
        raise StudyError("the folder's name is empty; give one, or leave it out where it may be left out")
    return Path(text)


def schema_text() -> str:
    """Return the JSON schema of a study file, by which an editor checks and completes it."""
    import json

    return json.dumps(schema.json_schema(), indent=1, ensure_ascii=False) + "\n"


def show_claims(*, summary: bool, check: bool) -> int:
    """Print the counts of claims, or the anomalies that no contradiction covers; return 1 if there are any."""
    from reproof.claims import consistency, paper

    papers = paper.papers()
    if summary:
        print(consistency.summary(papers), flush=True)
    if not check:
        return 0
    every = consistency.anomalies(papers)
    left = consistency.uncovered(papers, every)
    for anomaly in left:
        print(anomaly, flush=True)
    print(
        f"{len(every) - len(left)} anomalies are explained by a contradiction on record, {len(left)} are not",
        flush=True,
    )
    return 1 if left else 0


def show_plan(plan: Plan, chosen: argparse.Namespace) -> str:
    """Return what `plan` prints: the page's path, time slices, what fits into hours, or what the study costs."""
    from reproof.plan import breakdown, estimate, time_slices
    from reproof.plan.machine import CORE, GPU

    if chosen.page:
        return plan.report().outputs["page"]
    if chosen.by is not None:
        return breakdown.text(plan, chosen.by)
    machine = GPU if chosen.gpu else CORE
    if chosen.hours is not None:
        if not 0 < chosen.hours < math.inf:
            raise StudyError("plan: --hours should be a number above 0")
        return breakdown.fitting(plan, chosen.hours, machine, chosen.first)
    if chosen.minutes is None:
        return "\n".join([estimate.table(plan, machine), *(breakdown.memory(plan) if chosen.gpu else [])])
    if not (0 < chosen.minutes < math.inf and 0 < chosen.faster < math.inf) or chosen.jobs < 1:
        raise StudyError("plan: --minutes and --faster should be numbers above 0, --jobs at least 1")
    return time_slices.text(plan, chosen.minutes, chosen.jobs, chosen.faster)


def show_answer(plan: Plan) -> str:
    """Return a finished study's answer: a line a paper, then where the page and the rest of the answer lie.

    Last, where the study, its code or a file has changed since, that this is so.
    """
    from reproof.report import answer_files

    job = plan.report()
    page = _page(plan)
    told = artifacts.read_json(Path(job.outputs["answer"]))
    try:
        lines = [*answer_files.in_lines(told)]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ArtifactError(
            f"{job.outputs['answer']} holds no answer, or one of another version: {job.rerun} makes it anew"
        ) from None
    where = (
        f"The page: {page} ({wording.memory(page.stat().st_size)})",
        f"The answer alone: {job.outputs['answer_text']}",
    )
    old = [
        f"The study, its code or a file has changed since:\n  {record}\nThis makes the answer anew:\n  {job.rerun}"
        for record in itertools.islice(freshness.outdated(plan), 1)
    ]
    return "\n".join([*lines, *where, *old])


def verify(plan: Plan) -> int:
    """Print which files of a study's results are not those on record; return 1 if there are any."""
    count, wrong = freshness.verify(plan)
    for message in wrong:
        print(message, flush=True)
    print(f"{plan.folder}: {count} files read, {len(wrong)} not as recorded", flush=True)
    return 1 if wrong else 0


def open_page(plan: Plan) -> str:
    """Open a finished study's page in the user's browser and return what happened, with the page's path."""
    import webbrowser

    page = _page(plan)
    if webbrowser.open(page.resolve().as_uri()):
        return f"opened {page}"
    return f"no browser was found here; the page is {page.resolve()}"


def _page(plan: Plan) -> Path:
    page = Path(plan.report().outputs["page"])
    if not page.is_file():
        raise ArtifactError(f"{page} is not there yet: run the study first, for example with `make report`")
    return page


def keep(plan: Plan, name: str) -> None:
    """Write a finished study's numbers and records to reference/<name>/ and say what is there.

    ArtifactError where a file of its results is not the one on record.
    """
    from reproof import reference
    from reproof.stages.report import findings

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise StudyError(f"--name {name}: should be a folder's name of a-z, 0-9 and _, such as mnist")
    if wrong := freshness.verify(plan)[1]:
        raise ArtifactError("\n".join(wrong))
    folder = Path(reference.FOLDER) / name
    reference.write(folder, reference.collect(plan, findings(plan)))
    found = reference.read(folder)
    measured = len(found.tables["verdicts"])
    print(f"{folder}: {measured} claims with a verdict, {len(found.records)} files on record", flush=True)


def judge_again(name: str) -> None:
    """Judge the claims beside a reference run's numbers by today's rules and say which of its files changed."""
    from reproof import reference

    folder = reference.named(name)
    files = reference.judge(folder)
    changed = sorted(file for file in files if files[file].encode() != (folder / file).read_bytes())
    reference.write(folder, files)
    print(f"{folder}: {', '.join(changed) or 'no file'} changed", flush=True)


def explain(claim: str, plan: Plan) -> str:
    """Return how a claim is judged by a finished study's numbers."""
    from reproof.csv_tables import SCHEMAS

    files = {kind: Path(plan.table_path(kind)) for kind in ("summary", "measurements")}
    for path in files.values():
        artifacts.verify(path)
    tables = {kind: SCHEMAS[kind].read(path) for kind, path in files.items()}
    return _explanation(claim, tables, plan, f"results/{plan.study.name}")


def explain_by_reference(claim: str, name: str) -> str:
    """Return how a claim is judged by a reference run's numbers."""
    from reproof import reference

    found = reference.read(reference.named(name))
    study = reader.parse(found.about["settings"], [(name, found.about["settings"])])
    return _explanation(claim, found.tables, Plan(study), f"{reference.FOLDER}/{name}")


def _explanation(claim: str, tables: Mapping[str, Any], plan: Plan, where: str) -> str:
    from reproof.claims import paper, vocabulary
    from reproof.errors import ClaimError
    from reproof.judging.measured import Measured
    from reproof.judging.study_facts import StudyFacts
    from reproof.judging.verdicts import Judge
    from reproof.report import explanation

    papers = paper.papers()
    known = {one.claim_id: one for each in papers for one in each.claims}
    if claim not in known:
        raise ClaimError(f"there is no claim {claim!r}{vocabulary.nearest(claim, known, 1)}")
    measured = Measured(tables["summary"], tables["measurements"])
    judge = Judge(measured, StudyFacts.read(plan.tabulate().slice), papers)
    return explanation.explain(known[claim], judge, where)


def load_study(overlays: Sequence[Path], values: Sequence[str]) -> model.Study:
    """Return the study of config.yaml with overlays and KEY=VALUE pairs on top.

    Snakemake's --config and ours are both read here, so that a value means the same to both: YAML, as in a file.
    """
    overrides: dict[str, Any] = {}
    for pair in values:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise StudyError(f"--config {pair}: should be KEY=VALUE, for example --config seeds=[0,1]")
        overrides[key] = layers.merge(overrides.get(key), layers.read_value(value, f"--config {pair}"))
    return reader.load([Path("config.yaml"), *overlays], overrides, to_run=True)


def find(plan: Plan, rule: str, output: str | None) -> Job:
    """Return the rule's job that makes an output, or its only job."""
    jobs = list(plan.jobs([rule]))
    if output is None and len(jobs) == 1:
        return jobs[0]
    for job in jobs:
        if output in job.outputs.values():
            return job
    if not jobs:
        raise StudyError(f"reproof {rule}: study {plan.study.name!r} has no {rule} job")
    example = next(iter(jobs[0].outputs.values()))
    wanted = (
        "which file?" if output is None else f"no {rule} job of study {plan.study.name!r} makes {output}."
    )
    raise StudyError(f"reproof {rule}: {wanted} For example: python -m reproof {rule} {example}")


def do(job: Job, expect: str | None, threads: int, plan: Plan) -> None:
    """Do one job and write its record."""
    if expect is not None and job.expectation != expect:
        raise StudyError(
            f"{job.rule} {job.name}: the study or the code changed while snakemake was running. "
            "Run the same snakemake command again; what is finished and unchanged is kept."
        )
    surroundings.require_environment()
    freshness.check_inputs(plan, job)
    _end_with_driver()
    stage = getattr(importlib.import_module(f"reproof.stages.{job.rule}"), job.rule)
    record = Path(job.outputs["record"]) if "record" in job.outputs else None
    if record is None:
        stage(job, provenance.Run(job=job.description, threads=threads))
        return
    with provenance.recording(record, job.description, threads) as run:
        stage(job, run)


def _end_with_driver() -> None:
    """End this job soon after the Snakemake that started it was killed: nobody waits for it any more."""
    snakemake = driver()
    if snakemake is None:
        return

    def watch() -> None:
        while artifacts.process_lives(snakemake):
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="driver-watch").start()
