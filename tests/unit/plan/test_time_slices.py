"""A study in time slices: schedules worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from reproof import cli
from reproof.errors import StudyError
from reproof.plan.job import Job
from reproof.plan.jobs import RULES
from reproof.plan.time_slices import alike, cut, label
from tests.ours import needs


def attacks(batches: int, **more: Any) -> dict[str, Any]:
    """Return the slice of an attack job: random noise at two budgets on so many batches, and other attacks."""
    noise = {"kind": "random_noise", "epsilons": [0.1, 0.3]}
    return {"attacks": {"noise": noise, **more}, "images": 10 * batches, "batch_size": 10}


def job(rule: str, name: str, *reads: str, of: Mapping[str, Any] = MappingProxyType({})) -> Job:
    """Return a job that makes `name` and reads what others make."""
    facts = dict(of) if of or rule != "attack" else attacks(1)
    return Job(
        rule=rule, name=name, inputs={"files": reads}, outputs={"file": name}, slice=facts, modules=(), seed=0
    )


def names(jobs) -> list[str]:
    return [one.name for one in jobs]


def seconds(jobs, *values: float) -> dict[str, float]:
    return {label(one): value for one, value in zip(jobs, values, strict=True)}


def test_jobs_that_fit_go_into_one_piece() -> None:
    jobs = [job("prepare", "data"), job("train", "a", "data"), job("attack", "x", "a")]
    found = cut(jobs, seconds(jobs, 1, 4, 5), limit=10, workers=1)
    (time_slice,) = found.time_slices
    assert names(time_slice.ended) == ["data", "a", "x"]
    assert (time_slice.begun, time_slice.seconds) == ([], 10)
    assert (found.too_long, found.out_of_reach) == ([], [])


def test_a_job_that_would_be_cut_off_waits_for_the_next_piece_and_a_shorter_one_takes_its_place() -> None:
    jobs = [job("prepare", "data"), job("surface", "long", "data"), job("surface", "short", "data")]
    found = cut(jobs, seconds(jobs, 4, 8, 5), limit=10, workers=1)
    assert [names(time_slice.ended) for time_slice in found.time_slices] == [["data", "short"], ["long"]]
    assert [time_slice.seconds for time_slice in found.time_slices] == [9, 8]


@pytest.mark.parametrize("rule", ["train", "attack"])
def test_what_leaves_a_checkpoint_goes_on_from_there(rule: str) -> None:
    """25 seconds in time slices of 10: begun in the first, gone on with in the second, ended after 5 of the third."""
    jobs = [job(rule, "a", of=attacks(batches=3)), job("evaluate", "x", "a")]
    found = cut(jobs, seconds(jobs, 25, 5), limit=10, workers=1)
    assert [(names(time_slice.ended), names(time_slice.begun)) for time_slice in found.time_slices] == [
        ([], ["a"]),
        ([], ["a"]),
        (["a", "x"], []),
    ]
    assert found.time_slices[2].seconds == 10


def test_time_slices_that_only_go_on_with_the_same_training_stand_as_one() -> None:
    """45 and 15 seconds in time slices of 10, one after the other: five time slices of a, of which the last begins b."""
    jobs = [job("train", "a"), job("train", "b")]
    found = cut(jobs, seconds(jobs, 45, 15), limit=10, workers=1)
    told = [
        (list(numbers), names(time_slice.ended), names(time_slice.begun))
        for numbers, time_slice in alike(found.time_slices)
    ]
    assert told == [([1, 2, 3, 4], [], ["a"]), ([5], ["a"], ["b"]), ([6], ["b"], [])]


def test_workers_share_a_piece_and_what_is_read_must_be_there() -> None:
    """Two workers: a (6) beside b (3), then x of b (3); y of a (5) would end at 11, and waits."""
    jobs = [job("train", "a"), job("train", "b"), job("surface", "y", "a"), job("surface", "x", "b")]
    found = cut(jobs, seconds(jobs, 6, 3, 5, 3), limit=10, workers=2)
    assert [sorted(names(time_slice.ended)) for time_slice in found.time_slices] == [["a", "b", "x"], ["y"]]
    assert found.time_slices[0].seconds == 6
    one = cut(jobs, seconds(jobs, 6, 3, 5, 3), limit=20, workers=2)
    assert set(names(one.time_slices[0].ended)) == {"a", "b", "x", "y"}
    assert one.time_slices[0].seconds == 11


def test_what_never_fits_is_named_and_so_is_what_waits_for_it() -> None:
    jobs = [job("train", "a"), job("surface", "x", "a"), job("evaluate", "o", "x"), job("tabulate", "t", "o")]
    found = cut(jobs, seconds(jobs, 3, 11, 1, 1), limit=10, workers=2)
    assert names(found.too_long) == ["x"]
    assert names(found.out_of_reach) == ["o", "t"]
    assert [names(time_slice.ended) for time_slice in found.time_slices] == [["a"]]


@needs("attacks/pgd", "attacks/strongest", "attacks/random_noise")
def test_an_attack_of_which_one_step_is_longer_is_named() -> None:
    """A step is a batch at a budget. PGD's hundred steps at one budget take nearly all of the time, on 2 batches half."""
    long = {"long": {"kind": "pgd", "epsilons": [0.1], "steps": 100_000}}
    composed = {"all": {"kind": "strongest", "epsilons": [0.1]}}  # has steps inside
    for of, fits in ((attacks(2), 39.0), (attacks(2, **long), 19.0), (attacks(1, **composed), 1e4)):
        jobs = [job("attack", "a", of=of)]
        assert not cut(jobs, seconds(jobs, fits), limit=10, workers=1).too_long
        if fits < 1e4:
            assert cut(jobs, seconds(jobs, fits + 2), limit=10, workers=1).too_long == jobs


def test_every_job_of_a_real_study_stands_in_one_piece(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--minutes", "10", "--jobs", "2"]) == 0
    printed = capsys.readouterr().out
    assert "Too long" not in printed
    assert "timeout --signal=KILL 10m snakemake" in printed
    plan = cli.Plan(cli.load_study([], []))
    ended = {}
    for line in printed.splitlines():
        for part in line.split("  ")[-1].split(", "):
            count, _, rule = part.partition(" ")
            if count.isdigit() and rule in RULES:
                ended[rule] = ended.get(rule, 0) + int(count)
    assert ended["train"] == len(list(plan.jobs(["train"])))
    assert ended["attack"] == len(list(plan.jobs(["attack"])))


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "--minutes", "0"],
        ["plan", "--minutes", "5", "--jobs", "0"],
        ["plan", "--minutes", "5", "--faster", "0"],
        ["plan", "--minutes", "nan"],
        ["plan", "--minutes", "5", "--faster", "inf"],
        ["plan", "--hours", "nan"],
        ["borrow", "run", "trips", "--minutes", "nan"],
    ],
)
def test_senseless_limits_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 1
    assert StudyError.__name__ in capsys.readouterr().err
