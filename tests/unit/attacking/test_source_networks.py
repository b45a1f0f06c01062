"""Attacks made on other models: on each in turn, or on several together; in a study, its plan, and the stages."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from reproof import artifacts
from reproof.attacking import engine, judge
from reproof.attacking.source_networks import SourceNetworks
from reproof.cli import find
from reproof.data import prepared
from reproof.data.dataset import DataDescription, Dataset, to_unit
from reproof.errors import StudyError
from reproof.measuring.measurements import measure
from reproof.measuring.outcomes import read_outcomes
from reproof.models import build
from reproof.plan import estimate
from reproof.plan.job import Job
from reproof.plan.jobs import Plan
from reproof.provenance import Run
from reproof.stages import report
from reproof.stages.attack import attack
from reproof.stages.evaluate import evaluate
from reproof.study import layers, reader
from reproof.study import model as study_model
from tests.ours import needs

pytestmark = needs("architectures/lenet", "attacks/gradient_ensemble")
FILE = "study.yaml"
PLAIN = {"defense": {"kind": "undefended"}}
STUDY: dict[str, Any] = {
    "study": "sources",
    "seeds": [0, 1],
    "dataset": "digits",
    "datasets": {
        "digits": {"kind": "digits", "test_images": 40, "validation_images": 20},
        "others": {"kind": "digits", "test_images": 60, "validation_images": 20},
    },
    "architecture": {"kind": "lenet", "width": 0.25},
    "training": {"epochs": 2, "batch_size": 64, "learning_rate": 0.01},
    "models": {
        "a": PLAIN,
        "b": {**PLAIN, "seed_offset": 100},
        "c": {**PLAIN, "architecture": {"kind": "cnn6", "width": 0.0625}, "seed_offset": 200},
        "target": {**PLAIN, "seed_offset": 300},
        "far": {**PLAIN, "dataset": "others"},
    },
    "attacks": {
        "ensemble": {"kind": "gradient_ensemble", "epsilons": [0.3], "steps": 3, "step_size": 0.5},
        "fgsm": {"kind": "fgsm", "epsilons": [0.1], "psnrs": [15]},
    },
    "suites": {
        "all": {"attacks": ["ensemble", "fgsm"], "images": 20},
        "rows": {"attacks": ["fgsm"], "images": 20},
        "ensemble": {"attacks": ["ensemble"], "images": 20},
    },
    "threats": {
        "white_box": {"setting": "white_box", "suite": "rows", "targets": ["a"]},
        "matrix": {"setting": "black_box", "suite": "rows", "sources": ["a", "b", "target"]},
        "together": {"setting": "black_box", "suite": "all", "together": ["c", "a", "b"]},
        "one": {"setting": "black_box", "suite": "ensemble", "source": "a", "targets": ["target", "a"]},
    },
}


def parse(*changes: Any) -> study_model.Study:
    merged = copy.deepcopy(STUDY)
    for change in changes:
        merged = layers.merge(merged, change)
    return reader.parse(merged, [(FILE, merged)])


def threat(**stanza: Any) -> dict[str, Any]:
    return {"threats": {"x": {"setting": "black_box", "suite": "all", **stanza}}}


def refused(*changes: Any) -> str:
    """Return the one line that such a study is refused with, after the file's name."""
    with pytest.raises(StudyError) as caught:
        parse(*changes)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{FILE}: ")
    return message.removeprefix(f"{FILE}: ")


class TestWrongThreats:
    @pytest.mark.parametrize("key", ["sources", "together"])
    def test_unknown_names_have_a_nearest(self, key: str) -> None:
        message = refused(threat(**{key: ["a", "targte"]}))
        assert message == f"threats.x.{key}[1]: no model is called 'targte'; did you mean 'target'?"

    @pytest.mark.parametrize("key", ["sources", "together"])
    def test_a_model_stands_once(self, key: str) -> None:
        assert (
            refused(threat(**{key: ["a", "b", "a"]})) == f"threats.x.{key}[2]: a stands twice; name it once"
        )

    @pytest.mark.parametrize("key", ["sources", "together"])
    def test_sources_are_of_one_data_set(self, key: str) -> None:
        assert refused(threat(**{key: ["a", "far"]})) == (
            f"threats.x.{key}[1]: far is trained on others, a on digits; name sources of one data set"
        )

    def test_several_is_more_than_one(self) -> None:
        assert refused(threat(together=["a"])).startswith("threats.x.together: ")
        assert refused(threat(together=[])).startswith("threats.x.together: ")
        assert refused(threat(sources=[])).startswith("threats.x.sources: ")

    def test_one_way_at_a_time(self) -> None:
        for keys in ({"source": "a", "sources": ["b"]}, {"sources": ["b"], "together": ["a", "c"]}):
            first, second = keys
            assert refused(threat(**keys)) == (
                f"threats.x.{second}: the threat has a {first} already; give one of source, sources and together"
            )
        assert "black_box needs a source model" in refused(threat())

    @pytest.mark.parametrize("keys", [{"sources": ["a"]}, {"together": ["a", "b"]}])
    @pytest.mark.parametrize("setting", ["white_box", "adaptive"])
    def test_only_a_black_box_has_other_sources(self, setting: str, keys: dict[str, Any]) -> None:
        message = refused(threat(setting=setting, suite="rows", **keys))
        assert message.startswith("threats.x: black_box needs a source model, and only black_box takes one")
        message = refused(threat(setting=setting, suite="rows", source="member", **keys))
        assert message.startswith("threats.x")

    @pytest.mark.parametrize("keys", [{"sources": ["a"]}, {"together": ["a", "b"]}])
    def test_suites_of_views_and_of_members_are_not_for_others(self, keys: dict[str, Any]) -> None:
        sums = {"suites": {"sums": {"attacks": ["fgsm"], "images": 20, "members": "aggregated"}}}
        message = refused(sums, {"attacks": {"fgsm": {"psnrs": []}}}, threat(suite="sums", **keys))
        assert message == (
            "threats.x.suite: an aggregated suite is made on the whole ensemble; it takes no source"
        )
        climbed = {"suites": {"joint": {"attacks": ["fgsm"], "images": 20, "view": "votes"}}}
        assert refused(climbed, threat(suite="joint", **keys)) == (
            "threats.x.suite: a suite made on another model attacks its logits, not an attack loss of a defense"
        )

    def test_a_sum_over_members_has_no_psnr(self) -> None:
        sums = {"suites": {"sums": {"attacks": ["fgsm"], "images": 20, "members": "aggregated"}}}
        assert refused(sums).startswith("suites.sums.attacks[0]: fgsm has psnrs, at which each member")

    def test_joined_names_fit_a_folder(self) -> None:
        names = [f"{letter}{'x' * 70}" for letter in "pqr"]
        models = {"models": dict.fromkeys(names, PLAIN)}
        assert parse(models, threat(together=names[:2]))
        assert refused(models, threat(together=names)).startswith(
            "threats.x.together: the joined names, a folder's, are longer than 180 characters"
        )

    def test_two_threats_that_tables_could_not_tell_apart(self) -> None:
        words = "is already in threat"
        assert words in refused(threat(suite="rows", source="a", targets=["b"])), "the matrix has that row"
        assert words in refused(threat(suite="rows", sources=["c", "b"], targets=["a"]))
        assert words in refused(threat(together=["b", "c", "a"])), "in another order they are the same"
        assert parse(threat(suite="rows", sources=["c"]))
        assert parse(threat(together=["a", "b"]))
        alone = refused(threat(suite="rows", source="b", targets=["b", "far"]))
        assert "no model meets it" in alone, "b is never its own target, nor that of other data"

    def test_an_unbounded_psnr_is_refused(self) -> None:
        assert refused({"attacks": {"fgsm": {"psnrs": [0]}}}).startswith("attacks.fgsm.psnrs[0]: ")


class TestPlan:
    def test_who_meets_whose_images(self) -> None:
        plan = Plan(parse())
        threats = plan.study.threats
        assert plan.sources("target", threats["matrix"]) == ("a", "b")
        assert plan.sources("c", threats["matrix"]) == ("a", "b", "target")
        assert plan.sources("a", threats["matrix"]) == ("b", "target")
        assert plan.sources("target", threats["together"]) == ("a+b+c",), "in the order of the study"
        assert plan.sources("b", threats["together"]) == ()
        assert set(plan.threats_on("a")) == {"white_box", "matrix"}
        assert set(plan.threats_on("target")) == {"matrix", "together", "one"}
        assert set(plan.threats_on("far")) == set(), "images of another data set"

    def test_images_are_made_once_for_all(self) -> None:
        plan = Plan(parse())
        made = [(job.slice["model"], job.slice["suite"]) for job in plan.jobs(["attack"]) if job.seed == 0]
        assert sorted(made) == [
            ("a", "ensemble"),
            ("a", "rows"),
            ("a+b+c", "all"),
            ("b", "rows"),
            ("target", "rows"),
        ]
        files = {job.outputs["adversarial"] for job in plan.jobs(["attack"])}
        needed = {path for job in plan.jobs(["evaluate"]) for path in job.inputs["adversarial"]}
        assert needed == files
        assert plan.adversarial_path("a+b+c", 1, "all") in files
        assert plan.adversarial_path("a", 1, "rows").endswith("transfer/a/seed1/rows.safetensors")

    def test_a_joint_job_reads_all_its_networks_and_knows_how_they_are_built(self) -> None:
        plan = Plan(parse())
        job = plan.attack("a+b+c", 1, "all")
        weights = [plan.train(name, 1).outputs["model"] for name in "abc"]
        assert list(job.inputs["model"]) == weights
        assert [one["model"] for one in job.slice["together"]] == ["a", "b", "c"]
        assert [one["architecture"]["kind"] for one in job.slice["together"]] == ["lenet", "lenet", "cnn6"]
        assert {
            "reproof.architectures.lenet",
            "reproof.architectures.cnn6",
            "reproof.defenses.undefended",
        } <= set(job.modules)
        assert (job.slice["model"], job.slice["dataset"]) == ("a+b+c", "digits")
        assert job.slice["skip_misclassified"] is False
        assert find(plan, "attack", job.outputs["adversarial"]) == job

    def test_one_network_s_job_is_as_it_was(self) -> None:
        job = Plan(parse()).attack("a", 0, "rows")
        assert "together" not in job.slice
        assert len(job.inputs["model"]) == 1

    def test_what_a_changed_source_makes_again(self) -> None:
        def expectations(*changes: Any) -> dict[str, str]:
            plan = Plan(parse(*changes))
            return {
                f"{job.rule} {job.name}": job.expectation
                for job in plan.jobs(("train", "attack", "evaluate"))
            }

        before = expectations()
        after = expectations({"models": {"c": {"architecture": {"kind": "cnn6", "width": 0.125}}}})
        again = {
            name for name, expectation in after.items() if before[name] != expectation and "seed 0" in name
        }
        assert {"train c seed 0", "attack a+b+c seed 0 all"} <= again
        assert not any(
            name.startswith(("attack a seed", "attack b seed", "train a", "evaluate target"))
            for name in again
        )

    def test_the_trail_leads_to_every_source_network(self) -> None:
        plan = Plan(parse())
        trails = {(trail.model, trail.source): trail for trail in report._trails(plan) if trail.seed == 0}
        assert {source for model, source in trails if model == "target"} == {"a", "b", "a+b+c"}
        steps = [(step.stage, step.path) for step in trails["target", "a+b+c"].files]
        assert [path for kind, path in steps if kind == "source model"] == [
            plan.train(name, 0).outputs["model"] for name in "abc"
        ]
        assert [path for kind, path in steps if kind == "adversarial"] == [
            plan.adversarial_path("a+b+c", 0, "all")
        ]
        files = {path for job in plan.jobs() for path in job.outputs.values()}
        assert {step.path for trail in trails.values() for step in trail.files} <= files

    def test_together_costs_what_all_of_them_cost(self) -> None:
        narrow: dict[str, Any] = {"attacks": {"fgsm": {"psnrs": []}}}
        plan = Plan(parse(narrow))

        def seconds(source: str, plan: Plan = plan) -> float:
            return estimate.cost(plan, plan.attack(source, 0, "all")).seconds - estimate.START_SECONDS

        assert seconds("a+b+c") == pytest.approx(sum(seconds(name) for name in "abc"))
        searched = Plan(parse())
        fgsm = (seconds("a", searched) - seconds("a")) / 4
        assert fgsm > 0
        assert seconds("a", searched) == pytest.approx(seconds("a") + 4 * fgsm)

    def test_it_fits_in_a_file_s_record(self) -> None:
        """A description goes through JSON unchanged: what was made is compared with what would be made."""
        job = Plan(parse()).attack("a+b+c", 0, "all")
        assert json.loads(json.dumps(job.slice)) == job.slice


DATA = DataDescription(1, 16, 16, 10, (0.5,), (0.5,))


class TestStages:
    @pytest.fixture
    def data(self) -> Dataset:
        images = torch.randint(0, 256, (40, 1, 16, 16), generator=torch.Generator().manual_seed(0))
        return Dataset(
            name="noise",
            images=images.to(torch.uint8),
            labels=torch.zeros(40, dtype=torch.int64),
            splits={"train": torch.arange(0), "validation": torch.arange(0), "test": torch.arange(40)},
            description=DATA,
        )

    @pytest.fixture
    def made(self, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
        """Return a plan whose models are there, untrained, each of them right, by its bias, on 3 of 4 images."""
        plan = Plan(parse(), root=str(tmp_path))
        monkeypatch.setattr(prepared, "read_dataset", lambda path: data)
        monkeypatch.setattr(artifacts, "verify", lambda path: "")
        for number, name in enumerate(("a", "b", "c", "target"), start=1):
            job = plan.train(name, 0)
            _, trainee = build.build(job.slice, DATA, seed=7 * number)
            last = [module for module in trainee.modules() if isinstance(module, torch.nn.Linear)][-1]
            logits = judge.predict(trainee, to_unit(data.images), 40, "cpu")
            with torch.no_grad():
                last.bias[0] += (logits[:, 1:].amax(1) - logits[:, 0]).quantile(0.75)
            artifacts.write_tensors(Path(job.outputs["model"]), trainee.state_dict(), {"network": {}})
        return plan

    def run(self, job: Job) -> Run:
        run = Run(job={})
        for path in job.outputs.values():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        {"attack": attack, "evaluate": evaluate}[job.rule](job, run)
        return run

    def loaded(self, plan: Plan, name: str) -> torch.nn.Module:
        job = plan.train(name, 0)
        return build.load(job.slice, DATA, Path(job.outputs["model"]))[1]

    def test_images_made_together_and_who_is_fooled(self, made: Plan, data: Dataset) -> None:
        job = made.attack("a+b+c", 0, "all")
        self.run(job)
        tensors, metadata = artifacts.read_tensors(Path(job.outputs["adversarial"]))
        assert tensors.keys() == {
            "labels",
            "ensemble/epsilon=0.3",
            "fooled/ensemble/epsilon=0.3",
            "fgsm/epsilon=0.1",
            "fgsm/psnr=15",
        }
        sources = [self.loaded(made, name) for name in "abc"]
        settings = made.study.attacks["ensemble"].settings
        clean, labels = to_unit(data.images[:20]), data.labels[:20]
        expected = (
            engine.AttackEngine(
                SourceNetworks(sources), seed=0, batch_size=256, device="cpu", skip_misclassified=False
            )
            .run("gradient_ensemble", settings, clean, labels, labels)
            .images["epsilon=0.3"]
        )
        assert torch.equal(tensors["ensemble/epsilon=0.3"], expected)
        wrong = torch.ones(20, dtype=torch.bool)
        right = wrong.clone()
        for source in sources:
            wrong &= source(expected).argmax(1) != labels
            right &= source(clean).argmax(1) == labels
        assert torch.equal(tensors["fooled/ensemble/epsilon=0.3"], wrong & right)
        assert 0 < int((wrong & right).sum()) < int(wrong.sum()) < 20, "a choice must show"
        budget = metadata["notes"]["fgsm"]["budgets"]["psnr=15"]
        assert abs(budget["psnr"] - 15) <= 0.05
        assert (tensors["fgsm/psnr=15"] - clean).abs().max() <= budget["epsilon"] + 1e-6
        assert "budgets" not in metadata["notes"]["ensemble"]
        assert not metadata.get("probe"), "a group of networks is nobody's model"

    def test_what_the_tables_make_of_it(self, made: Plan, data: Dataset) -> None:
        """Counted again from the images themselves: the target, on the images that fool all three sources."""
        self.run(made.attack("a+b+c", 0, "all"))
        job = made.evaluate("target", 0, "together")
        self.run(job)
        path = Path(job.outputs["outcomes"])
        tensors, _ = artifacts.read_tensors(Path(made.attack("a+b+c", 0, "all").outputs["adversarial"]))
        fools, shown = tensors["fooled/ensemble/epsilon=0.3"], tensors["ensemble/epsilon=0.3"]
        rows = pq.read_table(path).to_pylist()
        marked = {row["image"]: row["fooling_set"] for row in rows if row["attack"] == "ensemble"}
        assert marked == dict(enumerate(fools.tolist()))
        assert {row["fooling_set"] for row in rows if row["attack"] != "ensemble"} == {None}
        assert {row["source"] for row in rows if row["attack"] != "none"} == {"a+b+c"}
        target = self.loaded(made, "target")
        found = {
            row.metric: row for row in measure(read_outcomes([path])).itertuples() if row.attack == "ensemble"
        }
        for metric, images in (
            ("fooling_set_accuracy", shown[fools]),
            ("fooling_set_clean_accuracy", to_unit(data.images[:20])[fools]),
        ):
            right = int((target(images).argmax(1) == 0).sum())
            assert (found[metric].correct, found[metric].total) == (right, int(fools.sum()))
            assert (found[metric].setting, found[metric].source) == ("black_box", "a+b+c")
        assert found["accuracy"].total == 20
        same = {
            row.parameters: row for row in measure(read_outcomes([path])).itertuples() if row.attack == "fgsm"
        }
        assert same.keys() == {"epsilon=0.1", "psnr=15"}
        assert same["psnr=15"].metric == "accuracy", "no distance of its own: it is given"

    def test_wrong_clean_images_count_where_the_setting_says_so(self, made: Plan, data: Dataset) -> None:
        tensors = {}
        for clean_correct in (True, False):
            changed = {"attacks": {"ensemble": {"clean_correct": clean_correct}}}
            job = Plan(parse(changed), root=made.folder.removesuffix("/sources")).attack("a", 0, "ensemble")
            self.run(job)
            tensors[clean_correct] = artifacts.read_tensors(Path(job.outputs["adversarial"]))[0]
        images = tensors[True]["ensemble/epsilon=0.3"]
        assert torch.equal(images, tensors[False]["ensemble/epsilon=0.3"])
        net = self.loaded(made, "a")
        wrong = net(images).argmax(1) != 0
        right = net(to_unit(data.images[:20])).argmax(1) == 0
        name = "fooled/ensemble/epsilon=0.3"
        assert torch.equal(tensors[False][name], wrong)
        assert torch.equal(tensors[True][name], wrong & right)
        assert (wrong & ~right).any(), "images that the source has wrong anyway are attacked too"

    def test_a_matrix_has_a_row_for_each_source(self, made: Plan) -> None:
        for source in ("a", "b"):
            self.run(made.attack(source, 0, "rows"))
        job = made.evaluate("target", 0, "matrix")
        self.run(job)
        found = measure(read_outcomes([Path(job.outputs["outcomes"])]))
        assert set(found["source"][found["attack"] == "fgsm"]) == {"a", "b"}
        assert set(found["metric"]) == {"accuracy"}, "no fooling set of attacks that ask for none"
