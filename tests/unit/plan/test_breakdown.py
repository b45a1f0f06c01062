"""The plan in GPU hours, by model and by attack, what fits into hours, and the order of worth: by hand, and by sums."""

from __future__ import annotations

from pathlib import Path

import pytest

from reproof import cli
from reproof.errors import StudyError
from reproof.plan import breakdown, estimate, worth
from reproof.plan.estimate import START_SECONDS
from reproof.plan.jobs import RULES, Plan
from reproof.plan.machine import CORE, FLOPS, GPU, KERNELS, LAUNCH_SECONDS, UTILISATION
from reproof.plan.model_jobs import ON_DEVICE
from reproof.plan.time_slices import label
from reproof.wording import duration
from tests.ours import needs
from tests.unit.plan.test_estimate import MULTIPLY_ADDS, planned, record

GIB = 2**30


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return planned(tmp_path, seeds=[0])


def test_a_gpu_is_as_fast_as_its_arithmetic_or_as_kernels_start() -> None:
    """Ten layers of 1e9 multiply-adds in all: 2e9 operations at 30 % of 67e12 a second; or 40 starts for 8 images."""
    assert GPU.forward_seconds(1e9, 10, 128, "float32") == pytest.approx(2e9 / (0.3 * 67e12))
    assert GPU.forward_seconds(1e9, 10, 128, "bfloat16") == pytest.approx(2e9 / (0.3 * 989e12))
    assert GPU.forward_seconds(1e3, 10, 8, "float32") == pytest.approx(40 * 5e-6 / 8)
    assert CORE.forward_seconds(7e10, 10, 8, "bfloat16") == CORE.forward_seconds(7e10, 10, 99, "float32")


def test_training_on_a_gpu_by_hand(plan: Plan) -> None:
    """3 epochs of 1,000 images, three passes each, in batches of 50: CNN-6 at 12 x 12 is held up by its kernels."""
    starts = 9 * KERNELS * LAUNCH_SECONDS / 50
    assert starts > 2 * MULTIPLY_ADDS / (FLOPS * UTILISATION)
    found = estimate.cost(plan, plan.train("plain", 0), GPU)
    assert found.seconds == pytest.approx(START_SECONDS + 3 * 1000 * 3 * starts)


def test_a_record_measures_the_machine_that_it_names_and_no_shared_one(plan: Plan) -> None:
    job = plan.train("plain", 0)
    guessed = {machine: estimate.cost(plan, job, machine).seconds for machine in (CORE, GPU)}
    for facts, measured in (
        ({"device": "CPU: any"}, {CORE: START_SECONDS + 100.0}),
        ({"device": "GPU: any"}, {GPU: START_SECONDS + 50.0}),
        ({"device": "GPU: any", "device_shared": True}, {}),
    ):
        record(job, **facts)
        for machine in (CORE, GPU):
            found = estimate.cost(plan, job, machine)
            assert found.done
            assert found.measured == (machine in measured)
            assert found.seconds == pytest.approx(measured.get(machine, guessed[machine]))


@pytest.mark.parametrize("by", ["model", "attack"])
def test_parts_add_up_to_all_jobs_and_the_dearest_stand_first(plan: Plan, by: breakdown.By) -> None:
    found = {machine: breakdown._seconds(plan, by, machine) for machine in (CORE, GPU)}
    for machine, parts in found.items():
        whole = sum(estimate.cost(plan, job, machine).seconds for job in plan.jobs(RULES))
        assert sum(parts.values()) == pytest.approx(whole)
    names = {
        "model": {"plain", "madry", "both", "data, tables and page"},
        "attack": {"fgsm", "pgd", "carlini_wagner", "training", "evaluation", "all else"},
    }[by]
    assert set(found[GPU]) == names
    head, *lines = breakdown.text(plan, by).splitlines()
    assert head.split() == [by, "core", "time", "GPU", "time", "share"]
    shown = [line for line in lines if line.endswith("%")]
    assert shown[-1].startswith("total")
    assert shown[-1].endswith("100.0 %")
    dearest = max(found[GPU], key=lambda name: found[GPU][name])
    assert shown[0].startswith(dearest)
    assert duration(found[GPU][dearest]) in shown[0]


def test_an_attack_s_share_of_its_suite_is_that_of_its_passes(plan: Plan) -> None:
    """PGD: 200 images at 5 x 2 passes and 0.4 to judge; FGSM: 200 at 1.4; C&W: 20 at 30.4."""
    shares = breakdown._shares(plan, plan.attack("plain", 0, "papers"), "attack", CORE)
    passes = {"fgsm": 200 * 1.4, "pgd": 200 * 10.4, "carlini_wagner": 20 * 30.4}
    assert shares == pytest.approx({name: one / sum(passes.values()) for name, one in passes.items()})


def by_cost(plan: Plan, *models: str) -> list[str]:
    return sorted(models, key=lambda name: estimate.cost(plan, plan.train(name, 0)).seconds)


@needs("defenses/pgd_training")
class TestOrderOfWorth:
    def test_the_soonest_through_comes_first_and_all_that_it_needs_with_it(self, plan: Plan) -> None:
        found = worth.order(plan)
        others = by_cost(plan, "madry", "both")  # which is dearer depends on the defense that is here
        assert [one.model for one in found] == ["plain", *others]
        assert [label(job) for job in found[0].jobs] == [
            "prepare digits",
            "train plain seed 0",
            "attack plain seed 0 papers",
            "evaluate plain seed 0 white_box",
        ]
        assert [label(job) for one in found[1:] for job in one.jobs] == [
            f"train {name} seed 0" for name in others
        ]
        assert found[0].seconds == pytest.approx(
            sum(estimate.cost(plan, job).seconds for job in found[0].jobs)
        )

    def test_some_lead_and_what_is_done_is_left_out(self, plan: Plan) -> None:
        record(plan.prepare("digits"))
        Path(plan.prepare("digits").outputs["data"]).touch()
        found = worth.order(plan, first=["both"])
        assert [one.model for one in found] == ["both", "plain", "madry"]
        assert [label(job) for job in found[0].jobs] == ["train both seed 0"]
        with pytest.raises(StudyError, match="no model 'bth'; there are plain"):
            worth.order(plan, first=["bth"])

    def test_a_source_of_transfer_is_made_before_its_target(self, tmp_path: Path) -> None:
        threat = {"setting": "black_box", "suite": "papers", "source": "both", "targets": ["plain"]}
        (first, *_) = worth.order(planned(tmp_path, seeds=[0], threats={"black": threat}), first=["plain"])
        names = [label(job) for job in first.jobs]
        assert names.index("train both seed 0") < names.index("attack both seed 0 papers")
        assert names[-1] == "evaluate plain seed 0 black"

    def test_what_fits_into_hours(self, plan: Plan) -> None:
        costs = [one.seconds for one in worth.order(plan)]
        hours = (costs[0] + costs[1] + 0.5 * costs[2]) / 3600
        head, *lines = breakdown.fitting(plan, hours, CORE).splitlines()
        assert "2 of 3 models" in head
        second, third = by_cost(plan, "madry", "both")
        assert [line.split()[-3] for line in lines[:2]] == ["plain", second]
        assert duration(costs[0] + costs[1]) in lines[1]
        assert lines[2] == f"Not: {third} ({duration(costs[2])} more)."


def test_how_many_jobs_a_gpu_takes_at_once(plan: Plan) -> None:
    """80 GiB, each with 3 GiB of tensors and half a GiB besides: 22."""
    assert breakdown.packed(3 * GIB, 80 * GIB) == 22
    assert breakdown.packed(90 * GIB, 80 * GIB) == 1
    assert breakdown.memory(plan) == []
    facts = {"device": "GPU: any", "device_total_bytes": 80 * GIB}
    record(plan.train("plain", 0), **facts, device_memory_bytes=3 * GIB)
    record(plan.train("madry", 0), **facts, device_memory_bytes=1 * GIB)
    (line,) = breakdown.memory(plan)
    assert line.startswith(
        "The largest of 2 jobs on a GPU took 3.0 of 80 GiB: --resources gpu=22 fits on one."
    )
    assert line in estimate_lines(plan)


def estimate_lines(plan: Plan) -> list[str]:
    chosen = cli.parser().parse_args(["plan", "--gpu"])
    return cli.show_plan(plan, chosen).splitlines()


def test_the_table_says_whose_hours_they_are_and_what_they_rest_on(plan: Plan) -> None:
    lines = estimate_lines(plan)
    assert lines[0].split() == ["stage", "jobs", "GPU", "time", "disk"]
    assert "for one H200 at 30 % of its data sheet's speed, which nobody measured" in lines[-1]
    with pytest.raises(StudyError, match="--hours should be a number above 0"):
        cli.show_plan(plan, cli.parser().parse_args(["plan", "--hours", "0"]))


def test_deterministic_kernels_are_a_setting_of_jobs_with_a_device_alone(tmp_path: Path) -> None:
    """Where nobody asks for them, jobs are described as ever."""
    plain, repeating = planned(tmp_path), planned(tmp_path, deterministic=True)
    for one, other in zip(plain.jobs(), repeating.jobs(), strict=True):
        if one.rule == "report":
            continue  # it holds the study as it was written
        asked = {"deterministic": True} if one.rule in ON_DEVICE else {}
        assert other.slice == one.slice | asked
        assert "deterministic" not in one.slice
