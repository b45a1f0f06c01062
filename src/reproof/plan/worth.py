"""In which order a study's jobs are worth most: whole models, the soonest through first. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reproof.errors import StudyError
from reproof.plan import estimate
from reproof.plan.job import Job
from reproof.plan.jobs import Plan
from reproof.plan.machine import CORE, Machine
from reproof.plan.time_slices import label

WORKING = ("prepare", "train", "load", "assemble", "attack", "evaluate", "surface")
"""Rules of the jobs that a model's results take; tables and page follow when all is there."""


@dataclass(frozen=True)
class Through:
    """What is still to be done until a model is through: trained, attacked and looked at as the study asks."""

    model: str
    jobs: Sequence[Job]
    """In an order in which each stands behind those that it waits for; none of them is a job of a model before."""
    seconds: float


def order(plan: Plan, machine: Machine = CORE, first: Sequence[str] = ()) -> list[Through]:
    """Return the models in their order of worth, each with the jobs that it adds.

    Those in `first` lead, as they are given; then always the one that takes least, what models before it need being
    done. Jobs that are done take nothing and are left out. StudyError where `first` names no model.
    """
    unknown = [name for name in first if name not in plan.study.models]
    if unknown:
        raise StudyError(f"there is no model {unknown[0]!r}; there are {', '.join(plan.study.models)}")
    seconds: dict[str, float] = {}
    chains = {}
    makers = {path: job for job in plan.jobs(WORKING) for path in job.outputs.values()}
    for job in plan.jobs(WORKING):
        cost = estimate.cost(plan, job, machine)
        seconds[label(job)] = 0.0 if cost.done and _is_there(job) else cost.seconds
    for model in plan.study.models:
        chain: dict[str, Job] = {}
        for job in _results(plan, model):
            _with_needed(job, makers, seconds, chain)
        chains[model] = chain
    found: list[Through] = []
    taken: set[str] = set()
    left = [*first, *(name for name in chains if name not in first)]
    while left:
        costs = {model: sum(seconds[name] for name in chains[model] if name not in taken) for model in left}
        lead = len(found) < len(first)
        model = left[0] if lead else min(left, key=lambda name: costs[name])
        jobs = [job for name, job in chains[model].items() if name not in taken]
        found.append(Through(model, jobs, costs[model]))
        taken |= chains[model].keys()
        left.remove(model)
    return found


def _results(plan: Plan, model: str) -> Iterator[Job]:
    """Yield the jobs that end what is asked of a model."""
    for seed in plan.study.seeds:
        yield plan.make(model, seed)
        yield from (plan.evaluate(model, seed, threat) for threat in plan.threats_on(model))
    if model in plan.surfaced:
        yield plan.surface(model, plan.study.seeds[0])


def _is_there(job: Job) -> bool:
    """Say whether nothing of a job is missing that others read; of what nobody reads a record is enough."""
    return job.rule in ("evaluate", "surface") or all(Path(path).is_file() for path in job.outputs.values())


def _with_needed(job: Job, makers: dict[str, Job], seconds: dict[str, float], chain: dict[str, Job]) -> None:
    """Add a job behind those whose files it reads, unless it is done."""
    if label(job) in chain or seconds[label(job)] == 0:
        return
    for paths in job.inputs.values():
        for path in paths:
            if path in makers:
                _with_needed(makers[path], makers, seconds, chain)
    chain[label(job)] = job
