"""A study cut into time slices, each of which one call does and the next goes on from. Imports no torch.

A time slice is what a machine gets done before it is taken away. Trainings and attacks go on from their checkpoints, so
they may take several time slices; any other job that is longer than a time slice never ends, and is named. So is an
attack of which one step, on one batch at one budget, is.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reproof import registry
from reproof.plan import estimate
from reproof.plan.job import Job
from reproof.plan.jobs import RULES, Plan
from reproof.wording import duration

RESUMED = ("train", "attack")
"""Rules whose jobs go on from a checkpoint."""


@dataclass
class TimeSlice:
    """The jobs of one call."""

    ended: list[Job] = field(default_factory=list)
    begun: list[Job] = field(default_factory=list)
    """Those that the next time slice goes on with."""
    seconds: float = 0.0
    """When its last job ends; the limit where one is cut off."""


@dataclass(frozen=True)
class Cut:
    """A study's time slices, and the jobs that fit in none."""

    time_slices: Sequence[TimeSlice]
    too_long: Sequence[Job]
    """Longer than a time slice from one checkpoint to the next."""
    out_of_reach: Sequence[Job]
    """Those that wait for one that is too long."""


def cut(jobs: Sequence[Job], seconds: Mapping[str, float], limit: float, workers: int) -> Cut:
    """Return the time slices of some jobs, given in an order in which each stands behind those that it waits for.

    seconds: label of a job -> what it takes. limit: seconds of one. workers: jobs at a time. A job begins only
    where it ends in its time slice, or leaves a checkpoint; jobs begin in their order as soon as a
    worker is free and what they read is there.
    """
    maker = {path: job for job in jobs for path in job.outputs.values()}
    needs = {
        label(job): {label(maker[path]) for group in job.inputs.values() for path in group if path in maker}
        for job in jobs
    }
    left = {label(job): seconds[label(job)] for job in jobs}
    too_long = {label(job) for job in jobs if _at_one_go(job, left[label(job)]) > limit}
    lost: set[str] = set()
    for job in jobs:
        if needs[label(job)] & (too_long | lost) and label(job) not in too_long:
            lost.add(label(job))
    waiting = [job for job in jobs if label(job) not in too_long | lost]
    done: set[str] = set()
    time_slices: list[TimeSlice] = []
    while waiting:
        time_slice = TimeSlice()
        busy: list[tuple[float, str]] = []
        now = 0.0
        begun: set[str] = set()
        while True:
            for job in list(waiting):
                name = label(job)
                if len(busy) == workers:
                    break
                if name in begun or not needs[name] <= done:
                    continue
                if left[name] > limit - now and job.rule not in RESUMED:
                    continue
                begun.add(name)
                heapq.heappush(busy, (now + left[name], name))
            if not busy or busy[0][0] > limit:
                break
            now, name = heapq.heappop(busy)
            done.add(name)
            time_slice.ended += [job for job in waiting if label(job) == name]
            waiting = [job for job in waiting if label(job) != name]
            time_slice.seconds = now
        for end, name in busy:
            left[name] = end - limit
            time_slice.begun += [job for job in waiting if label(job) == name]
            time_slice.seconds = limit
        time_slices.append(time_slice)
    order = {label(job): job for job in jobs}
    return Cut(
        time_slices,
        [job for name, job in order.items() if name in too_long],
        [job for name, job in order.items() if name in lost],
    )


def _at_one_go(job: Job, seconds: float) -> float:
    """Return what of a job's seconds lies between two checkpoints at most, of a training nothing.

    Of an attack: the longest of its steps, by passes. One that is composed of others has steps inside.
    """
    if job.rule == "train":
        return 0.0
    if job.rule != "attack":
        return seconds
    total = longest = 0.0
    for entry in job.slice["attacks"].values():
        declared = registry.attack(entry["kind"])
        assert declared is not None
        settings = declared(**{key: value for key, value in entry.items() if key != "kind"})
        images = settings.images or job.slice["images"]
        work = settings.passes() * images
        total += work * len(settings.points())
        if not settings.ensemble:
            longest = max(longest, work / math.ceil(images / job.slice["batch_size"]))
    return seconds * longest / total


def alike(time_slices: Sequence[TimeSlice]) -> list[tuple[range, TimeSlice]]:
    """Return the time slices with their numbers, from 1 on; equal ones that only go on with the same jobs are one."""
    found: list[tuple[range, TimeSlice]] = []
    for number, time_slice in enumerate(time_slices, 1):
        if found:
            numbers, last = found[-1]
            if not time_slice.ended and not last.ended and time_slice.begun == last.begun:
                found[-1] = (range(numbers.start, number + 1), last)
                continue
        found.append((range(number, number + 1), time_slice))
    return found


def label(job: Job) -> str:
    """Return what tells a job from all others: `train undefended seed 0`."""
    return f"{job.rule} {job.name}"


def text(plan: Plan, minutes: float, workers: int, faster: float = 1.0) -> str:
    """Return the time slices of a study's jobs that are still to be done, one block each, and how to run them.

    faster: by how much this machine is faster than the estimates' one core; measured jobs are believed as they are.
    """
    jobs, seconds = [], {}
    for rule in RULES:
        for job in plan.jobs([rule]):
            cost = estimate.cost(plan, job)
            jobs.append(job)
            seconds[label(job)] = 0.0 if cost.done else cost.seconds / faster
    found = cut(jobs, seconds, 60 * minutes, workers)
    finished = sum(1 for value in seconds.values() if value == 0.0)
    lines = [
        f"Study {plan.study.name!r} in time slices of {duration(60 * minutes)}, "
        f"{workers} job{'s' * (workers > 1)} at a time"
        + (f", {faster:g} times as fast as one core" if faster != 1 else "")
        + f": {len(found.time_slices)} time slices; {finished} of {len(jobs)} jobs are done."
    ]
    for numbers, time_slice in alike(found.time_slices):
        counts = [
            f"{count} {rule}"
            for rule in RULES
            if (count := sum(job.rule == rule and seconds[label(job)] > 0 for job in time_slice.ended))
        ]
        span = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"
        took = f"{duration(time_slice.seconds)}{' each' if len(numbers) > 1 else ''}"
        lines.append(f"{span:>12}  {took:>15}  {', '.join(counts) or 'nothing ends'}")
        lines += [f"{'':31}begins or goes on with {label(job)}" for job in time_slice.begun]
    for job in found.too_long:
        lines.append(
            f"Too long for any time slice: {label(job)} ({duration(seconds[label(job)])}), for want of a checkpoint on "
            "the way. Take longer time slices, or lower its images or attack_batch_size."
        )
    if found.out_of_reach:
        lines.append(f"{len(found.out_of_reach)} jobs wait for those.")
    command = plan.report().rerun
    lines += [
        "",
        "Run each time slice with the same command; it goes on from what is there:",
        f"    timeout --signal=KILL {minutes:g}m {command}",
        "To go on elsewhere, take results/ and .snakemake/ along. Trainings go on from their last checkpoint "
        "(training.checkpoint_seconds), attacks behind the steps that they have done.",
    ]
    return "\n".join(lines)
