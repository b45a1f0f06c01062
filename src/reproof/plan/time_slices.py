"""A study cut into pieces that fit a time limit, each done by one call and gone on from by the next. Imports no torch.

A piece is what a machine gets done before it is taken away. Trainings go on from their checkpoints, so they may
take several pieces; any other job that is longer than a piece never ends, and is named.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reproof.plan import estimate
from reproof.plan.job import Job
from reproof.plan.jobs import RULES, Plan
from reproof.wording import duration

RESUMED = ("train",)
"""Rules whose jobs go on from a checkpoint."""


@dataclass
class Piece:
    """The jobs of one call."""

    ended: list[Job] = field(default_factory=list)
    begun: list[Job] = field(default_factory=list)
    """Trainings that the next piece goes on with."""
    seconds: float = 0.0
    """When its last job ends; the limit where one is cut off."""


@dataclass(frozen=True)
class Cut:
    """A study's pieces, and the jobs that fit in none."""

    pieces: Sequence[Piece]
    too_long: Sequence[Job]
    """Longer than a piece and without a checkpoint."""
    out_of_reach: Sequence[Job]
    """Those that wait for one that is too long."""


def cut(jobs: Sequence[Job], seconds: Mapping[str, float], limit: float, workers: int) -> Cut:
    """Return the pieces of some jobs, given in an order in which each stands behind those that it waits for.

    seconds: label of a job -> what it takes. limit: seconds of a piece. workers: jobs at a time. A job begins only
    where it ends in its piece, or is a training that leaves a checkpoint; jobs begin in their order as soon as a
    worker is free and what they read is there.
    """
    maker = {path: job for job in jobs for path in job.outputs.values()}
    needs = {
        label(job): {label(maker[path]) for group in job.inputs.values() for path in group if path in maker}
        for job in jobs
    }
    left = {label(job): seconds[label(job)] for job in jobs}
    too_long = {label(job) for job in jobs if left[label(job)] > limit and job.rule not in RESUMED}
    lost: set[str] = set()
    for job in jobs:
        if needs[label(job)] & (too_long | lost) and label(job) not in too_long:
            lost.add(label(job))
    waiting = [job for job in jobs if label(job) not in too_long | lost]
    done: set[str] = set()
    pieces: list[Piece] = []
    while waiting:
        piece = Piece()
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
            piece.ended += [job for job in waiting if label(job) == name]
            waiting = [job for job in waiting if label(job) != name]
            piece.seconds = now
        for end, name in busy:
            left[name] = end - limit
            piece.begun += [job for job in waiting if label(job) == name]
            piece.seconds = limit
        pieces.append(piece)
    order = {label(job): job for job in jobs}
    return Cut(
        pieces,
        [job for name, job in order.items() if name in too_long],
        [job for name, job in order.items() if name in lost],
    )


def alike(pieces: Sequence[Piece]) -> list[tuple[range, Piece]]:
    """Return the pieces with their numbers, from 1 on; those that only go on with the same trainings stand as one."""
    found: list[tuple[range, Piece]] = []
    for number, piece in enumerate(pieces, 1):
        if found:
            numbers, last = found[-1]
            if not piece.ended and not last.ended and piece.begun == last.begun:
                found[-1] = (range(numbers.start, number + 1), last)
                continue
        found.append((range(number, number + 1), piece))
    return found


def label(job: Job) -> str:
    """Return what tells a job from all others: `train undefended seed 0`."""
    return f"{job.rule} {job.name}"


def text(plan: Plan, minutes: float, workers: int, faster: float = 1.0) -> str:
    """Return the pieces of a study's jobs that are still to be done, one block each, and how to run them.

    faster: by how much this machine is faster than the estimates' one core; measured jobs are believed as they are.
    """
    jobs, seconds = [], {}
    for rule in RULES:
        for job in plan.jobs([rule]):
            cost = estimate.cost(plan, job)
            jobs.append(job)
            seconds[label(job)] = 0.0 if cost.measured else cost.seconds / faster
    found = cut(jobs, seconds, 60 * minutes, workers)
    finished = sum(1 for value in seconds.values() if value == 0.0)
    lines = [
        f"Study {plan.study.name!r} in pieces of {duration(60 * minutes)}, {workers} job{'s' * (workers > 1)} at a time"
        + (f", {faster:g} times as fast as one core" if faster != 1 else "")
        + f": {len(found.pieces)} pieces; {finished} of {len(jobs)} jobs are done."
    ]
    for numbers, piece in alike(found.pieces):
        counts = [
            f"{count} {rule}"
            for rule in RULES
            if (count := sum(job.rule == rule and seconds[label(job)] > 0 for job in piece.ended))
        ]
        span = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"
        took = f"{duration(piece.seconds)}{' each' if len(numbers) > 1 else ''}"
        lines.append(f"{span:>12}  {took:>15}  {', '.join(counts) or 'nothing ends'}")
        lines += [f"{'':31}begins or goes on with {label(job)}" for job in piece.begun]
    for job in found.too_long:
        lines.append(
            f"Too long for any piece: {label(job)} ({duration(seconds[label(job)])}), and it has no checkpoint. Lower "
            "its suite's images, or split the suite."
        )
    if found.out_of_reach:
        lines.append(f"{len(found.out_of_reach)} jobs wait for those.")
    command = plan.report().command.replace(" --force", "").rsplit(" ", 1)[0]
    lines += [
        "",
        "Run each piece with the same command; it goes on from what is there:",
        f"    timeout --signal=KILL {minutes:g}m {command}",
        "To go on elsewhere, take results/ and .snakemake/ along. Trainings go on from their last checkpoint "
        "(training.checkpoint_seconds).",
    ]
    return "\n".join(lines)
