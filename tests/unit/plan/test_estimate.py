"""The plan's cost: a small study by hand, records of earlier runs, units, and a start without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reproof import registry
from reproof.plan import estimate
from reproof.plan.estimate import START_SECONDS
from reproof.plan.job import Job
from reproof.plan.jobs import Plan
from reproof.plan.machine import LAYER_SECONDS, MULTIPLY_ADDS_PER_SECOND
from reproof.settings.adversarial_training import AdversarialTraining
from reproof.settings.defense import DefenseSettings
from reproof.study import reader

ROOT = Path(__file__).parents[3]


def declared(kind: str) -> DefenseSettings:
    settings = registry.settings_class("defenses", kind)()
    assert isinstance(settings, DefenseSettings)
    return settings


ADVERSARIAL = max(kind for kind in registry.names("defenses") if declared(kind).trains_on != "clean")
"""A defense that makes examples of its own, whichever files are there."""
OWN_PASSES = declared(ADVERSARIAL).relative_cost()

STUDY: dict[str, Any] = {
    "study": "small",
    "seeds": [0, 1],
    "dataset": "digits",
    "datasets": {
        "digits": {"kind": "digits", "image_size": 12, "test_images": 400, "validation_images": 397}
    },
    "architecture": {"kind": "cnn6"},
    "training": {"epochs": 3, "batch_size": 50, "learning_rate": 0.1},
    "models": {
        "plain": {"defense": {"kind": "undefended"}},
        "madry": {"defense": {"kind": ADVERSARIAL}},
        "both": {
            "defense": {"kind": ADVERSARIAL},
            "training": {
                "adversarial": {"attack": "pgd", "epsilon": 0.1, "steps": 8, "share": 0.5, "augment": True}
            },
        },
    },
    "attacks": {
        "fgsm": {"kind": "fgsm", "epsilons": [0.1, 0.2]},
        "pgd": {"kind": "pgd", "epsilons": [0.1, 0.2], "steps": 5, "restarts": 2},
        "carlini_wagner": {"kind": "carlini_wagner", "constants": [1], "steps": 30, "images": 20},
    },
    "suites": {"papers": {"attacks": ["fgsm", "pgd", "carlini_wagner"], "images": 100}},
    "threats": {"white_box": {"setting": "white_box", "suite": "papers", "targets": ["plain"]}},
}

# CNN-6 on 12 x 12: six convolutions of 5 x 5, two each of 32, 64 and 128 kernels on 12 x 12, 6 x 6 and 3 x 3
# positions, pooled to 1 x 1; then 128 to 512 to 64 to 10.
CONVOLUTIONS = ((800 + 25_600, 144), (51_200 + 102_400, 36), (204_800 + 409_600, 9))
LINEAR = 65_536 + 32_768 + 640
MULTIPLY_ADDS = sum(weights * positions for weights, positions in CONVOLUTIONS) + LINEAR
WEIGHTS = sum(weights for weights, _ in CONVOLUTIONS) + LINEAR
FORWARD_SECONDS = MULTIPLY_ADDS / MULTIPLY_ADDS_PER_SECOND + 9 * LAYER_SECONDS
CRAFTED = 2 * 100 + 2 * 100 + 20
ATTACK_SECONDS = (2 * 100 * (1 + 0.4) + 2 * 100 * (5 * 2 + 0.4) + 20 * (30 + 0.4)) * 2.5 * FORWARD_SECONDS


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return planned(tmp_path)


def planned(root: Path, **changes: Any) -> Plan:
    return Plan(reader.parse({**STUDY, **changes}, [("small.yaml", STUDY)]), root=str(root))


def train_seconds(passes: float) -> float:
    return START_SECONDS + 3 * 1000 * passes * 3 * FORWARD_SECONDS


def record(done: Job, **changes: Any) -> None:
    facts: dict[str, Any] = {
        "job": done.slice,
        "digest": done.digest,
        "seconds": 50.0,
        "threads": 2,
        "files": {"one": {"bytes": 1000, "sha256": ""}, "two": {"bytes": 24, "sha256": ""}},
    }
    path = Path(done.outputs["record"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**facts, **changes}))


class TestByHand:
    def test_the_data_set_takes_its_pixels_labels_and_indices(self, plan: Plan) -> None:
        assert estimate.cost(plan, plan.prepare("digits")) == estimate.Cost(START_SECONDS, 1797 * (144 + 16))

    @pytest.mark.parametrize(
        ("model", "passes"), [("plain", 1), ("madry", OWN_PASSES), ("both", 1 + 0.5 * (8 * 0.75 + 1))]
    )
    def test_training_takes_a_step_s_passes_and_the_study_s_examples_win(
        self, plan: Plan, model: str, passes: float
    ) -> None:
        found = estimate.cost(plan, plan.train(model, 0))
        assert found.seconds == pytest.approx(train_seconds(passes))
        assert found.kept_bytes == 4 * WEIGHTS + 3 * 70
        assert (found.temporary_bytes, found.measured) == (0, False)

    @pytest.mark.parametrize(
        ("defense", "adversarial", "passes"),
        [
            # 10 gradients and a last look, of half the batch.
            ({"kind": "undefended"}, {"attack": "carlini_wagner"}, 1 + 0.5 * 0.75 * 10.4),
            (
                {"kind": "undefended"},
                {"attack": "carlini_wagner", "steps": 6, "share": 1, "augment": True},
                1 + 0.75 * 6.4 + 1,
            ),
            (
                {"kind": ADVERSARIAL},
                {"attack": "fgsm", "epsilon": 0.1, "labels": "predicted"},
                1 + 0.5 * 0.75 * 1.4,
            ),
            # One of three epochs without them.
            (
                {"kind": "undefended"},
                {"attack": "fgsm", "epsilon": 0.1, "share": 1, "augment": True, "warmup_epochs": 1},
                1 + (0.75 + 1) * 2 / 3,
            ),
            (
                {"kind": "undefended"},
                {"attack": "fgsm", "epsilon": 0.1, "share": 1, "augment": True, "warmup_epochs": 1 / 3},
                1 + (0.75 + 1) * 2 / 3,
            ),
        ],
    )
    def test_training_on_the_study_s_examples(
        self, tmp_path: Path, defense: dict[str, Any], adversarial: dict[str, Any], passes: float
    ) -> None:
        models = STUDY["models"] | {
            "plain": {"defense": defense, "training": {"adversarial": adversarial}},
        }
        plan = planned(tmp_path, models=models)
        assert estimate.cost(plan, plan.train("plain", 0)).seconds == pytest.approx(train_seconds(passes))

    def test_a_dearer_loss_is_dearer_on_added_examples_and_where_they_climb_it(self) -> None:
        adversarial = AdversarialTraining(attack="pgd", epsilon=0.1, steps=4, share=0.5, augment=True)
        assert adversarial.relative_cost(3.0) == pytest.approx(0.5 * (0.75 * 4 + 3))
        climbing = adversarial.model_copy(update={"objective": "defense"})
        assert climbing.relative_cost(3.0) == pytest.approx(0.5 * (0.75 * 4 * 3 + 3))

    @pytest.mark.parametrize("keep", [False, True])
    def test_an_attack_takes_its_passes_and_leaves_its_images_only_where_they_are_kept(
        self, tmp_path: Path, keep: bool
    ) -> None:
        plan = planned(tmp_path, keep_adversarial=keep)
        found = estimate.cost(plan, plan.attack("plain", 0, "papers"))
        images = 4 * 144 * CRAFTED
        assert found.seconds == pytest.approx(START_SECONDS + ATTACK_SECONDS)
        assert (found.kept_bytes, found.temporary_bytes) == ((images, 0) if keep else (0, images))

    def test_evaluation_looks_at_the_test_images_and_at_each_adversarial_one(self, plan: Plan) -> None:
        found = estimate.cost(plan, plan.evaluate("plain", 0, "white_box"))
        assert found.seconds == pytest.approx(START_SECONDS + (400 + CRAFTED) * FORWARD_SECONDS)
        assert found.kept_bytes == 20 * (400 + CRAFTED) + 4 * 6 * (1 + 2 + 2 + 1) * 144


VOTES = next(
    kind
    for kind in registry.names("defenses")
    if getattr(registry.settings_class("defenses", kind), "votes", False)
)
TOGETHER = [
    kind
    for kind in registry.names("defenses")
    if getattr(registry.settings_class("defenses", kind)(), "networks", 1) > 1
]


def voting(root: Path, **changes: Any) -> Plan:
    """Return a plan with an ensemble of two, attacked as a whole, by its members and by their sum."""
    network = {"defense": {"kind": "undefended"}}
    return planned(
        root,
        **{
            "models": {
                "plain": network,
                "other": {**network, "seed_offset": 9},
                "both": {"defense": {"kind": VOTES}, "members": ["plain", "other"]},
            },
            "suites": {
                **STUDY["suites"],
                "sums": {"attacks": ["fgsm"], "images": 100, "members": "aggregated"},
            },
            "threats": {
                "white_box": {"setting": "white_box", "suite": "papers"},
                "standalone": {"setting": "white_box", "suite": "papers", "source": "member"},
                "aggregated": {"setting": "white_box", "suite": "sums"},
            },
            **changes,
        },
    )


class TestEnsembles:
    def test_putting_one_together_looks_at_the_test_images_with_every_member(self, tmp_path: Path) -> None:
        made = voting(tmp_path)
        seconds = 2 * 400 * (FORWARD_SECONDS + estimate.SEPARATION_SECONDS)
        expected = estimate.Cost(pytest.approx(START_SECONDS + seconds), 2 * 4 * WEIGHTS)
        assert estimate.cost(made, made.assemble("both", 0)) == expected

    def test_every_pass_is_one_of_each_member(self, tmp_path: Path) -> None:
        made = voting(tmp_path)
        alone, both = (
            estimate.cost(made, made.attack(name, 0, "papers")).seconds - START_SECONDS
            for name in ("plain", "both")
        )
        assert (alone, both) == pytest.approx((ATTACK_SECONDS, 2 * ATTACK_SECONDS))
        alone, both = (
            estimate.cost(made, made.evaluate(name, 0, "white_box")).seconds - START_SECONDS
            for name in ("plain", "both")
        )
        assert (alone, both) == pytest.approx([n * (400 + CRAFTED) * FORWARD_SECONDS for n in (1, 2)])

    def test_a_sum_is_made_of_an_attack_on_each_member(self, tmp_path: Path) -> None:
        made = voting(tmp_path)
        found = estimate.cost(made, made.attack("both", 0, "sums")).seconds - START_SECONDS
        assert found == pytest.approx(2 * 2 * 100 * (1 + 0.4) * 2.5 * FORWARD_SECONDS)

    def test_images_of_every_member_are_looked_at(self, tmp_path: Path) -> None:
        made = voting(tmp_path)
        found = estimate.cost(made, made.evaluate("both", 0, "standalone")).seconds - START_SECONDS
        assert found == pytest.approx(2 * (400 + 2 * CRAFTED) * FORWARD_SECONDS)

    def test_the_table_has_a_line_for_it_where_there_are_ensembles(self, plan: Plan, tmp_path: Path) -> None:
        assert "assemble" not in estimate.table(plan)
        (line,) = [x for x in estimate.table(voting(tmp_path)).splitlines() if x.startswith("assemble")]
        assert line.split()[1] == "2"

    @pytest.mark.parametrize("kind", TOGETHER)
    def test_networks_that_are_trained_together_answer_together(self, kind: str, tmp_path: Path) -> None:
        defense: Any = registry.settings_class("defenses", kind)()
        made = planned(
            tmp_path,
            models={"plain": {"defense": {"kind": kind}}},
            threats={"white_box": {"setting": "white_box", "suite": "papers"}},
        )
        found = estimate.cost(made, made.attack("plain", 0, "papers")).seconds - START_SECONDS
        assert found == pytest.approx(defense.networks * ATTACK_SECONDS)

    def test_each_further_network_beside_costs_a_pass_forward(self, tmp_path: Path) -> None:
        learns = next(
            kind
            for kind in registry.names("defenses")
            if getattr(registry.settings_class("defenses", kind), "learns_beside", False)
        )
        network = {"defense": {"kind": "undefended"}}
        made = planned(
            tmp_path,
            models={
                "plain": network,
                "other": network,
                "one": {"defense": {"kind": learns}, "beside": ["plain"]},
                "two": {"defense": {"kind": learns}, "beside": ["plain", "other"]},
            },
        )
        declared: Any = registry.settings_class("defenses", learns)()
        for name, passes in (
            ("one", declared.relative_cost()),
            ("two", declared.relative_cost() + 0.4 * 0.75),
        ):
            assert estimate.cost(made, made.train(name, 0)).seconds == pytest.approx(train_seconds(passes))


class TestRecords:
    def test_a_job_that_was_done_costs_what_it_cost(self, plan: Plan) -> None:
        job = plan.train("plain", 1)
        record(job)
        expected = estimate.Cost(START_SECONDS + 100, 1024, measured=True, done=True)
        assert estimate.cost(plan, job) == expected
        assert not estimate.cost(plan, plan.train("plain", 0)).measured

    def test_recorded_adversarial_images_are_removed_too(self, plan: Plan) -> None:
        job = plan.attack("plain", 0, "papers")
        record(job)
        assert estimate.cost(plan, job) == estimate.Cost(
            START_SECONDS + 100, 0, 1024, measured=True, done=True
        )

    @pytest.mark.parametrize(
        "changes", [{"digest": "0123456789abcdef"}, {"job": {"model": "plain", "seed": 1}}, {"job": None}]
    )
    def test_another_code_s_or_another_slice_s_record_is_not_used(
        self, plan: Plan, changes: dict[str, Any]
    ) -> None:
        job = plan.train("plain", 1)
        without = estimate.cost(plan, job)
        record(job, **changes)
        assert estimate.cost(plan, job) == without
        record(job)
        assert estimate.cost(plan, job) != without

    def test_a_study_that_changed_is_estimated_anew(self, plan: Plan, tmp_path: Path) -> None:
        record(plan.train("plain", 1))
        longer = planned(tmp_path, training={**STUDY["training"], "epochs": 6})
        found = estimate.cost(longer, longer.train("plain", 1))
        assert not found.measured
        assert found.seconds == pytest.approx(2 * train_seconds(1) - START_SECONDS)

    @pytest.mark.parametrize("text", ["", "{", "[]", "null"])
    def test_a_damaged_record_is_passed_over(self, plan: Plan, text: str) -> None:
        job = plan.prepare("digits")
        record(job)
        Path(job.outputs["record"]).write_text(text)
        assert not estimate.cost(plan, job).measured


class TestTable:
    def test_lines_add_up(self, plan: Plan) -> None:
        record(plan.train("madry", 0), seconds=3600.0 - START_SECONDS, threads=1, files={})
        lines = estimate.table(plan).splitlines()
        counts = {line.split()[0]: int(line.split()[1]) for line in lines[1:9]}
        assert counts == {
            "prepare": 1,
            "train": 6,
            "attack": 2,
            "evaluate": 2,
            "tabulate": 1,
            "draw": 1,
            "report": 1,
            "total": 14,
        }
        assert lines[0].split() == ["stage", "jobs", "core", "time", "disk"]
        assert lines[1].split()[2:] == ["2.5", "s", "281", "KiB"]
        assert lines[2].split()[2:4] == ["1", "h"]
        assert lines[3].split()[-2:] == ["0", "B"]
        assert lines[8].split()[2:4] == ["1", "h"]
        assert len({len(line) for line in lines[:9]}) == 1

    def test_the_sentence_says_what_was_measured_and_how_much_comes_and_goes(self, plan: Plan) -> None:
        record(plan.prepare("digits"))
        last = estimate.table(plan).splitlines()[-1]
        assert last == (
            "Study 'small': 3 models, 2 seed(s). 1 of 14 jobs were measured by an earlier run; the others "
            "are estimated, for one core and no GPU. Adversarial images are removed once they were "
            "evaluated: at most 472 KiB at a time."
        )

    def test_images_that_other_models_are_shown_stay(self, tmp_path: Path) -> None:
        threats = {
            **STUDY["threats"],
            "black_box": {"setting": "black_box", "suite": "papers", "source": "madry"},
        }
        plan = planned(tmp_path, seeds=[0], threats=threats)
        images = 4 * 144 * CRAFTED
        shown = estimate.cost(plan, plan.attack("madry", 0, "papers"))
        assert (shown.kept_bytes, shown.temporary_bytes) == (images, 0)
        own = estimate.cost(plan, plan.attack("plain", 0, "papers"))
        assert (own.kept_bytes, own.temporary_bytes) == (0, images)
        last = estimate.table(plan).splitlines()[-1]
        assert last.endswith("at most 236 KiB at a time. Those that other models are shown stay.")

    def test_a_suite_counts_with_its_own_settings(self, tmp_path: Path) -> None:
        suites = {
            "papers": {**STUDY["suites"]["papers"], "settings": {"pgd": {"epsilons": [0.1], "images": 10}}}
        }
        plan = planned(tmp_path, suites=suites)
        fewer = CRAFTED - 2 * 100 + 10
        assert estimate.cost(plan, plan.attack("plain", 0, "papers")).temporary_bytes == 4 * 144 * fewer
        seconds = estimate.cost(plan, plan.evaluate("plain", 0, "white_box")).seconds
        assert seconds == pytest.approx(START_SECONDS + (400 + fewer) * FORWARD_SECONDS)

    def test_kept_images_are_on_disk(self, tmp_path: Path) -> None:
        text = estimate.table(planned(tmp_path, keep_adversarial=True))
        assert text.endswith("Adversarial images stay on disk.")
        (line,) = [line for line in text.splitlines() if line.startswith("attack")]
        assert line.split()[-2:] == ["472", "KiB"]


def test_the_default_study_is_estimated_at_once_and_without_torch() -> None:
    code = (
        "import sys, time\n"
        "from reproof import cli\n"
        "started = time.process_time()\n"
        "status = cli.main(['plan'])\n"
        "assert time.process_time() - started < 2, 'too slow'\n"
        "assert not {'torch', 'foolbox', 'pandas', 'pyarrow', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("stage")
    assert "Study 'digits'" in done.stdout
