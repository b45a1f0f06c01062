"""Fill the page from the results tree and render it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reproof import artifacts, csv_tables, reference, registry
from reproof.claims import paper
from reproof.claims.independent import read_independent
from reproof.diagnostics.sanity_check import CHECKS
from reproof.judging.study_facts import StudyFacts
from reproof.plan import freshness
from reproof.plan.job import Job
from reproof.plan.jobs import Plan
from reproof.provenance import ROOT, Run
from reproof.report import (
    DrawnFigure,
    ReportData,
    ShownAttack,
    ShownModel,
    ShownThreat,
    Trail,
    TrailFile,
    answer_files,
    render,
)
from reproof.report.answer import answer
from reproof.report.conclusions import conclusions
from reproof.report.contents import THIS_RUN
from reproof.report.shared import Shared
from reproof.settings.source_names import MEMBER, parts
from reproof.study import reader


def report(job: Job, run: Run) -> None:
    """Do the report job (plan.jobs.Plan.report)."""
    source = job.slice
    plan = Plan(
        reader.parse(source["study"], [("study", source["study"])], source["files"], source["overrides"])
    )
    data = gather(plan, job, run)
    found = answer(data)
    artifacts.write_text(Path(job.outputs["answer"]), answer_files.as_json(found))
    artifacts.write_text(Path(job.outputs["answer_text"]), answer_files.as_markdown(found))
    artifacts.write_text(Path(job.outputs["page"]), render(data))


def gather(plan: Plan, job: Job, run: Run) -> ReportData:
    """Return everything that the page shows, read from the results tree and verified."""
    chosen = plan.study
    tables = {name: path for name, path in plan.tabulate().outputs.items() if name != "record"}
    frames = {name: csv_tables.SCHEMAS[name].read(run.read(Path(path))) for name, path in tables.items()}
    records, stale = _records(plan)
    references = reference.read_all(ROOT / reference.FOLDER)
    prepared = {
        name: records[plan.data_path(name)]["notes"]
        for name in chosen.datasets
        if plan.data_path(name) in records
    }
    return ReportData(
        study=chosen.name,
        title=chosen.title,
        description=chosen.summary,
        settings=chosen.source,
        data_set=data_words(prepared),
        seeds=chosen.seeds,
        models=[_model(plan, name, records) for name in chosen.models],
        attacks=list(_attacks(plan)),
        threats=list(_threats(plan)),
        summary=frames["summary"],
        measurements=frames["measurements"],
        verdicts=frames["verdicts"],
        statements=frames["statements"],
        classes=frames["per_class"],
        images=frames["per_image"],
        parts=frames["parts"],
        class_names={
            dataset.settings.key: dataset.settings.class_names for dataset in chosen.datasets.values()
        },
        checklist=frames["checklist"],
        papers=paper.papers(),
        trails=list(_trails(plan)),
        figures=list(_figures(plan, run, records)),
        records=records,
        flags=frames["red_flags"],
        gates={name: check.shows.rstrip(".") for name, check in CHECKS.items()},
        tables=tables,
        warning=" ".join(_warnings(plan, records)),
        stale=stale,
        references=references,
        recipes={
            THIS_RUN: StudyFacts.read(plan.tabulate().slice),
            **{each.title: reference.facts(each) for each in references},
        },
        independent=read_independent(),
        rerun=job.rerun,
    )


def _warnings(plan: Plan, records: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield what a reader must know before any number: a rehearsal, a network that knows no more than chance."""
    chosen = plan.study
    if chosen.smoke:
        yield (
            f"{chosen.title} is a smoke study: small data, small networks, short training. It shows that every part "
            "runs and how the page reads. The numbers of this run are no verdict on the papers; a verdict beside the "
            "name of a reference run is that run’s."
        )
    for name in plan.loaded:
        notes = records[plan.load(name, chosen.seeds[0]).outputs["model"]]["notes"]
        clean = notes["clean"]
        if unsteady := notes.get("depends_on"):
            yield (
                f"What {chosen.models[name].title} answers depends on {unsteady} too, so its numbers would be others "
                "at another try."
            )
        if clean["at_chance_level"]:
            yield (
                f"{chosen.models[name].title} is right for {clean['correct']} of {clean['total']} clean test images; "
                f"one answer for all would be for {100 * clean['largest_class']:.1f} % of them. Before any attack "
                "means something, look at its normalisation, the order of classes and colour channels, and its weights."
            )


def _figures(plan: Plan, run: Run, records: dict[str, Mapping[str, Any]]) -> Iterator[DrawnFigure]:
    """Yield the figures as they were drawn, adding the record behind each."""
    index = Path(plan.draw().outputs["figures"])
    for name in json.loads(run.read(index).read_text(encoding="utf-8")):
        path = run.read(index.with_name(f"{name}.svg"))
        records[str(path)] = records[str(index)]
        yield DrawnFigure.from_svg(name, path.read_text(encoding="utf-8"), str(path))


def _attacks(plan: Plan) -> Iterator[ShownAttack]:
    for name, attack in plan.study.attacks.items():
        settings = {key: value for key, value in attack.dump().items() if value is not None}
        yield ShownAttack(name, attack.kind, settings)


def _threats(plan: Plan) -> Iterator[ShownThreat]:
    for name, threat in plan.study.threats.items():
        suite = plan.study.suites[threat.suite]
        yield ShownThreat(
            name,
            threat.setting,
            threat.suite,
            suite.images,
            suite.attacks,
            ", ".join(threat.makers(target="")) or threat.source or "",
            "" if suite.view == "logits" else suite.view,
        )


def findings(plan: Plan) -> dict[str, list[tuple[str, str]]]:
    """Return the page's sentences on what a finished study found, paper by paper, as plain text."""
    job = plan.report()
    shared = Shared(gather(plan, job, Run(job=job.description)))
    return {
        told.key: [(finding.term, finding.words.striptags()) for finding in told.findings]
        for told in conclusions(shared)
    }


def _records(plan: Plan) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
    """Return each artifact's record by the artifact's path, and why an artifact no longer fits study or code."""
    records: dict[str, Mapping[str, Any]] = {}
    stale: dict[str, str] = {}
    rules = ("prepare", "train", "load", "assemble", "attack", "evaluate", "surface", "tabulate", "draw")
    finished = [(made, artifacts.read_record(Path(made.outputs["record"]))) for made in plan.jobs(rules)]
    files = freshness.digests(finished)
    for made, record in finished:
        reason = freshness.difference(record, made, files)
        for name, path in made.outputs.items():
            if name != "record":
                records[path] = record
                if reason:
                    stale[path] = reason
    return records, stale


def data_words(prepared: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return what was run on, in words; each data set under its name where there are several."""
    words = {}
    for name, notes in prepared.items():
        place = f"{name}, " if len(prepared) > 1 else ""
        splits, size = notes["splits"], f"{notes['height']} x {notes['width']} pixels"
        words[f"{place}images"] = f"{notes['images']:,} of {size}, {notes['classes']} classes"
        words[f"{place}split"] = (
            f"{splits['train']:,} training, {splits['validation']:,} validation, {splits['test']:,} test"
        )
        if notes.get("remarks"):
            words[f"{place}read as"] = "; ".join(notes["remarks"])
        if twins := notes.get("test_images_among_training"):
            words[f"{place}repeated"] = (
                f"{twins:,} test images stand among the training images too, as published"
            )
    return words


def _model(plan: Plan, name: str, records: Mapping[str, Mapping[str, Any]]) -> ShownModel:
    chosen = plan.study.models[name]
    training = chosen.training
    record = records[plan.make(name, plan.study.seeds[0]).outputs["model"]]
    data = records[plan.data_path(chosen.dataset)]["notes"]
    width = getattr(chosen.architecture.settings, "width", 1.0)
    return ShownModel(
        name=name,
        title=chosen.title,
        dataset=plan.study.datasets[chosen.dataset].settings.key,
        architecture=chosen.architecture_key,
        defense=chosen.defense_key,
        training=chosen.training_key,
        resources={
            **({"width": width} if width != 1 else {}),
            **(
                {"weights": f"{chosen.weights.path}, trained elsewhere"}
                if chosen.weights is not None
                else {"epochs": plan.epochs(chosen), "training images": f"{data['splits']['train']:,}"}
            ),
            "parameters": f"{record['notes']['parameters']:,}",
            "seeds": len(plan.study.seeds),
        },
        settings={
            "architecture": chosen.architecture.dump(),
            "defense": chosen.defense.dump(),
            **({"members": list(chosen.members)} if chosen.members else {}),
            **({"frozen peer models": list(chosen.beside)} if chosen.beside else {}),
            **({"seed_offset": chosen.seed_offset} if chosen.seed_offset else {}),
            **(
                {"weights": chosen.weights.model_dump(mode="json")}
                if chosen.weights is not None
                else {}
                if chosen.members
                else {"training": training.model_dump(mode="json")}
            ),
        },
        deviations=tuple(sentence for kind in chosen.defense_kinds for sentence in registry.deviations(kind)),
    )


def _trails(plan: Plan) -> Iterator[Trail]:
    """Yield the files behind every number: data, model, adversarial images, outcomes, tables."""
    for target in plan.study.models:
        for seed in plan.study.seeds:
            for name, threat in plan.threats_on(target).items():
                sources = plan.sources(target, threat)
                together = {MEMBER: sources} if threat.source == MEMBER else {}
                apart = {plan.source_name(source, threat): (source,) for source in sources}
                for label, made_on in {**together, **apart}.items():
                    yield Trail(
                        model=target,
                        seed=seed,
                        setting=threat.setting,
                        files=tuple(_files(plan, target, seed, name, made_on)),
                        source=label,
                        attacks=plan.study.suites[threat.suite].attacks,
                    )


def _files(plan: Plan, target: str, seed: int, threat: str, sources: Sequence[str]) -> Iterator[TrailFile]:
    """Yield the files behind what a target is measured to do with a threat's images, made on these models."""
    suite = plan.study.threats[threat].suite
    yield TrailFile("data", plan.data_path(plan.study.models[target].dataset))
    for source in sources:
        for model in parts(source):
            if model != target:
                yield TrailFile("source model", plan.make(model, seed).outputs["model"])
    yield TrailFile("model", plan.make(target, seed).outputs["model"])
    for source in sources:
        yield TrailFile("adversarial", plan.adversarial_path(source, seed, suite))
    yield TrailFile("outcome", plan.outcome_path(target, seed, threat))
    yield TrailFile("table", plan.table_path("measurements"))
