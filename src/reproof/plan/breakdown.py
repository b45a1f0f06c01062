"""What a study's cost is made of, by model and by attack, and how much fits into so many hours. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from reproof.plan import estimate, worth
from reproof.plan.job import Job
from reproof.plan.jobs import RULES, Plan
from reproof.plan.machine import CORE, GPU, Machine
from reproof.wording import counted, duration

By = Literal["model", "attack"]
CONTEXT_BYTES = 2**29
"""What a process takes of a GPU's memory before its first tensor, about."""


def text(plan: Plan, by: By) -> str:
    """Return a study's time on one core and on a GPU, a line a model or an attack, the dearest on a GPU first."""
    parts = {machine.name: _seconds(plan, by, machine) for machine in (CORE, GPU)}
    core, gpu = parts[CORE.name], parts[GPU.name]
    total = sum(gpu.values())
    width = max(len(name) for name in (*gpu, "total", by))
    lines = [f"{by:<{width}} {'core time':>14} {'GPU time':>14} {'share':>8}"]
    ranked = sorted(gpu, key=lambda name: -gpu[name])
    for name, here, there in (
        *((name, core[name], gpu[name]) for name in ranked),
        ("total", sum(core.values()), total),
    ):
        lines.append(
            f"{name:<{width}} {duration(here):>14} {duration(there):>14} {100 * there / total:>6.1f} %"
        )
    return "\n".join([*lines, "", f"Study {plan.study.name!r}: {_basis()}.", *memory(plan)])


def _basis() -> str:
    measured = "of jobs that were done on such a machine the measured time; the others"
    return f"{measured} estimated, {estimate.basis(CORE)}, and {estimate.basis(GPU)}"


def _seconds(plan: Plan, by: By, machine: Machine) -> dict[str, float]:
    """Return what each model, or each attack, takes; and the rest, so that the sum is that of all jobs."""
    found: dict[str, float] = {}
    for job in plan.jobs(RULES):
        seconds = estimate.cost(plan, job, machine).seconds
        for name, share in _shares(plan, job, by, machine).items():
            found[name] = found.get(name, 0.0) + share * seconds
    return found


def _shares(plan: Plan, job: Job, by: By, machine: Machine) -> Mapping[str, float]:
    """Return to what a job's time counts, and to which share."""
    if by == "model":
        return {str(job.slice["model"]) if "model" in job.slice else "data, tables and page": 1.0}
    if job.rule == "attack":
        parts = estimate.attack_seconds(plan, job.slice, machine)
        total = sum(parts.values())
        return {name: seconds / total for name, seconds in parts.items()}
    return {{"train": "training", "evaluate": "evaluation"}.get(job.rule, "all else"): 1.0}


def memory(plan: Plan) -> list[str]:
    """Return how many jobs a GPU takes at once, by the records of those that were done on one; nothing without any."""
    records = [record for job in plan.jobs(RULES) if (record := estimate.record_of(job)) is not None]
    held = [record for record in records if "device_memory_bytes" in record]
    if not held:
        return []
    most = max(int(record["device_memory_bytes"]) for record in held)
    total = min(int(record["device_total_bytes"]) for record in held)
    return [
        f"The largest of {counted(len(held), 'job')} on a GPU took {most / 2**30:.1f} of {total / 2**30:.0f} GiB: "
        f"--resources gpu={packed(most, total)} fits on one. Packed, their times are no measurements."
    ]


def packed(most: int, total: int) -> int:
    """Return how many jobs a GPU of so many bytes takes at once, of which each takes at most `most`."""
    return max(1, total // (most + CONTEXT_BYTES))


def fitting(plan: Plan, hours: float, machine: Machine, first: Sequence[str] = ()) -> str:
    """Return which models are through after so many hours of one job at a time, in their order of worth."""
    limit, passed, lines, out = 3600 * hours, 0.0, [], []
    for through in worth.order(plan, machine, first):
        passed += through.seconds
        if passed > limit:
            out.append(through)
            continue
        lines.append(f"{duration(passed):>14}  {through.model} ({counted(len(through.jobs), 'job')})")
    head = (
        f"Study {plan.study.name!r}: {len(lines)} of {len(plan.study.models)} models are through in "
        f"{duration(limit)}, one job at a time, those first that take least. Estimated {estimate.basis(machine)}:"
    )
    rest = sum(one.seconds for one in out)
    left = [f"Not: {', '.join(one.model for one in out)} ({duration(rest)} more)."] if out else []
    return "\n".join([head, *lines, *left])
