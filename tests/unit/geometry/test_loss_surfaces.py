"""Loss surfaces: the numbers against a linear network's closed form, the job, the plan and the study's stanza."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reproof import artifacts, registry
from reproof.data import prepared
from reproof.data.dataset import DataDescription, Dataset, to_unit
from reproof.errors import ArtifactError, StudyError
from reproof.geometry.loss_surfaces import line, measure, signs, surface
from reproof.job_tables import SURFACE
from reproof.models import build
from reproof.models.classifier import REFUSED, Answers
from reproof.plan import estimate
from reproof.plan.job import Job
from reproof.plan.jobs import Plan
from reproof.provenance import Run
from reproof.settings.cost import FORWARD
from reproof.settings.defense import DefenseSettings
from reproof.stages.surface import surface as do_surface
from reproof.study import layers, model, reader
from tests.tiny_classifier import DESCRIPTION, LinearClassifier, TinyClassifier

CPU = torch.device("cpu")
PIXELS = 64


def linear(seed: int, scale: float = 0.5) -> LinearClassifier:
    generator = torch.Generator().manual_seed(seed)
    weights = scale * torch.randn(3, PIXELS, generator=generator)
    return LinearClassifier(DESCRIPTION, weights, torch.randn(3, generator=generator))


def pictures(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(9)
    return torch.rand(count, 1, 8, 8, generator=generator), torch.arange(count) % 3


def expected(network: LinearClassifier, image: Tensor, label: int) -> tuple[float, bool]:
    """Return cross-entropy and decision in float64, by numpy."""
    weights = network.weights.detach().double().numpy()
    logits = weights @ image.double().flatten().numpy() + network.bias.detach().double().numpy()
    top = logits.max()
    loss = top + np.log(np.exp(logits - top).sum()) - logits[label]
    return float(loss), int(logits.argmax()) == label


def gradient_sign(network: LinearClassifier, image: Tensor, label: int) -> Tensor:
    """Return the sign of Wᵀ(p - y), the gradient of cross-entropy on W x + b."""
    weights = network.weights.detach().double().numpy()
    logits = weights @ image.double().flatten().numpy() + network.bias.detach().double().numpy()
    chances = np.exp(logits - logits.max())
    chances /= chances.sum()
    chances[label] -= 1
    return torch.from_numpy(np.sign(weights.T @ chances)).float().reshape(1, 8, 8)


class TestNumbers:
    def test_directions_are_the_signs_of_each_image_s_own_gradient(self) -> None:
        network = linear(0)
        images, labels = pictures(7)
        found = signs(network, images, labels, batch_size=3, device=CPU)
        wanted = [
            gradient_sign(network, image, int(label)) for image, label in zip(images, labels, strict=True)
        ]
        assert torch.equal(found, torch.stack(wanted))
        assert network.weights.grad is None

    @pytest.mark.parametrize("clip", [True, False])
    def test_the_surface_is_the_closed_form_s_at_every_point(self, clip: bool) -> None:
        """ε1 goes with direction 1 and ε2 with direction 2; the ranges differ, so that a swap would show."""
        network, other = linear(0), linear(1)
        images, labels = pictures(1)
        image, label = images[0], int(labels[0])
        first, second = gradient_sign(other, image, label), gradient_sign(network, image, label)
        shifts = list(itertools.product((-0.2, 0.0, 0.1), (-0.1, 0.05, 0.3, 0.6)))
        found = surface(network, image, labels[0], first, second, shifts, clip=clip, batch_size=5, device=CPU)
        assert found.losses.dtype == torch.float32
        for (along, up), loss, correct in zip(
            shifts, found.losses.tolist(), found.correct.tolist(), strict=True
        ):
            moved = image + along * first + up * second
            wanted, right = expected(network, moved.clamp(0, 1) if clip else moved, label)
            assert loss == pytest.approx(wanted, rel=1e-4, abs=1e-5)
            assert correct == right
        assert len(set(found.correct.tolist())) == 2, "the boundary lies inside"

    def test_clipping_changes_what_is_measured(self) -> None:
        network = linear(0)
        images, labels = pictures(2)
        directions = signs(network, images, labels, batch_size=2, device=CPU)
        clipped, free = (
            line(network, images, labels, directions, 0.8, clip=clip, batch_size=2, device=CPU)
            for clip in (True, False)
        )
        assert (clipped.losses < free.losses).all()

    @pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
    def test_lines_are_the_closed_form_s_for_every_image(self, epsilon: float) -> None:
        network = linear(2)
        images, labels = pictures(5)
        before = images.clone()
        directions = signs(network, images, labels, batch_size=8, device=CPU)
        found = line(network, images, labels, directions, epsilon, clip=True, batch_size=2, device=CPU)
        assert torch.equal(images, before)
        for position in range(5):
            label = int(labels[position])
            moved = images[position] + epsilon * gradient_sign(network, images[position], label)
            loss, right = expected(network, moved.clamp(0, 1), label)
            assert float(found.losses[position]) == pytest.approx(loss, rel=1e-4, abs=1e-5)
            assert bool(found.correct[position]) == right

    def test_the_loss_is_capped_nowhere(self) -> None:
        network = linear(0, scale=500.0)
        images, labels = pictures(3)
        directions = signs(network, images, labels, batch_size=3, device=CPU)
        found = line(network, images, labels, directions, 0.5, clip=True, batch_size=3, device=CPU)
        assert float(found.losses.max()) > 1000

    def test_networks_are_measured_in_evaluation_mode(self) -> None:
        """Batch norm in training mode would make an image's loss depend on its neighbours, and drift."""
        torch.manual_seed(0)
        network = TinyClassifier(batch_norm=True).train()
        images, labels = pictures(6)
        kept = {name: value.clone() for name, value in network.state_dict().items()}
        whole = signs(network, images, labels, batch_size=6, device=CPU)
        network.train()
        single = torch.cat(
            [signs(network, images[i : i + 1], labels[i : i + 1], batch_size=1, device=CPU) for i in range(6)]
        )
        assert torch.equal(whole, single)
        network.train()
        together = measure(network, [images], [labels], device=CPU)
        apart = measure(network, torch.split(images, 1), torch.split(labels, 1), device=CPU)
        torch.testing.assert_close(together.losses, apart.losses)
        assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())

    def test_a_network_decides_by_its_answer_not_by_its_logits(self) -> None:
        class Refusing(LinearClassifier):
            def answers(self, images: Tensor) -> Answers:
                found = super().answers(images)
                return Answers(torch.full_like(found.classes, REFUSED), found.features, found.logits)

        plain = linear(0)
        images, labels = pictures(6)
        labels = plain(images).argmax(dim=1)
        refusing = Refusing(DESCRIPTION, plain.weights.detach(), plain.bias.detach())
        assert measure(plain, [images], [labels], device=CPU).correct.all()
        found = measure(refusing, [images], [labels], device=CPU)
        assert not found.correct.any()
        torch.testing.assert_close(found.losses, measure(plain, [images], [labels], device=CPU).losses)

    def test_a_vanished_gradient_is_no_direction(self) -> None:
        flat = LinearClassifier(DESCRIPTION, torch.zeros(3, PIXELS), torch.tensor([0.0, 1.0, 2.0]))
        images, labels = pictures(2)
        assert (signs(flat, images, labels, batch_size=2, device=CPU) == 0).all()

    def test_a_loss_that_is_not_finite_is_refused(self) -> None:
        broken = LinearClassifier(DESCRIPTION, torch.full((3, PIXELS), torch.nan), torch.zeros(3))
        images, labels = pictures(2)
        with pytest.raises(ArtifactError, match="not finite"):
            measure(broken, [images], [labels], device=CPU)


def other_defense() -> str:
    """Return any defense of one network: these tests stand on no certain file."""
    for name in registry.names("defenses"):
        declared = registry.settings_class("defenses", name)
        assert issubclass(declared, DefenseSettings)
        if name != "undefended" and not declared.votes and declared().networks == 1:
            return name
    raise AssertionError("no defense is left")


OTHER = other_defense()

STUDY: dict[str, Any] = {
    "study": "around",
    "seeds": [3, 4],
    "dataset": "digits",
    "datasets": {
        "digits": {"kind": "digits", "test_images": 40, "validation_images": 20},
        "others": {"kind": "digits", "test_images": 60, "validation_images": 20},
    },
    "architecture": {"kind": "cnn6", "width": 0.125},
    "training": {"epochs": 2, "batch_size": 64, "learning_rate": 0.01},
    "models": {
        "base": {"title": "Base", "defense": {"kind": "undefended"}},
        "vulnerable": {"title": "Vulnerable", "defense": {"kind": "undefended"}, "seed_offset": 10},
        "other": {"defense": {"kind": OTHER}},
        "elsewhere": {"dataset": "others", "defense": {"kind": "undefended"}},
        "hardened": {
            "defense": {"kind": "undefended"},
            "training": {"adversarial": {"attack": "pgd", "epsilon": 0.1, "steps": 2}},
        },
    },
    "attacks": {"fgsm": {"kind": "fgsm", "epsilons": [0.1]}},
    "suites": {"papers": {"attacks": ["fgsm"], "images": 20}},
    "threats": {"white_box": {"setting": "white_box", "suite": "papers"}},
    "surfaces": {
        "models": ["other", "base"],
        "beside": "vulnerable",
        "points": 3,
        "image": 4,
        "images": 6,
        "range_1": ["-16/255", "1/255"],
        "range_2": [-0.5, 1],
        "epsilons": [0, "8/255", 1],
    },
}


def parse(*changes: Any) -> model.Study:
    merged = copy.deepcopy(STUDY)
    for change in changes:
        merged = layers.merge(merged, change)
    return reader.parse(merged, [("study.yaml", merged)])


class TestStanza:
    def test_the_paper_s_numbers_are_the_defaults(self) -> None:
        found = model.SurfaceSettings()
        assert found.range_1 == pytest.approx((-16 / 255, 16 / 255))
        assert found.range_2 == pytest.approx((-8 / 255, 32 / 255))
        assert (found.epsilons[0], found.epsilons[-1]) == pytest.approx((0, 128 / 255))
        assert (found.images, found.points, found.clip) == (128, 25, True)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"models": ["other", "bse"]},
                "surfaces.models[1]: no model is called 'bse'; did you mean 'base'?",
            ),
            ({"beside": "bse"}, "surfaces.beside: no model is called 'bse'; did you mean 'base'?"),
            ({"models": ["other", "other"]}, "surfaces.models: a model stands twice"),
            ({"beside": None}, "surfaces.beside: direction 1 is taken from an undefended model; name one"),
            ({"beside": "other"}, "surfaces.beside: other is defended"),
            ({"beside": "hardened"}, "surfaces.beside: hardened is defended"),
            ({"beside": "elsewhere"}, "surfaces.models[0]: other is trained on digits, and elsewhere"),
            ({"range_1": [0.1, 0.1]}, "surfaces.range_1: a range should go from low to high"),
            ({"range_2": [0, 2]}, "surfaces.range_2"),
            ({"epsilons": [0, 0.2, 0.1]}, "surfaces.epsilons: epsilons should ascend"),
            ({"epsilons": [0.1]}, "surfaces.epsilons"),
            ({"points": 1}, "surfaces.points"),
            ({"imags": 3}, "surfaces: unknown key 'imags'; did you mean"),
        ],
    )
    def test_mistakes_are_named(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(StudyError) as caught:
            parse({"surfaces": changes})
        assert f"study.yaml: {message}" in str(caught.value)

    def test_a_budget_can_ask_for_less(self) -> None:
        merged = {**copy.deepcopy(STUDY), "budget": "quick"}
        merged["budgets"] = {"quick": {"surfaces": {"points": 2, "models": ["base"]}}}
        laid = layers.merge(
            {key: merged[key] for key in merged if key != "budgets"}, merged["budgets"]["quick"]
        )
        found = reader.parse({**laid, "budgets": merged["budgets"]}, [("study.yaml", merged)]).surfaces
        assert found is not None
        assert (found.points, found.models, found.images) == (2, ("base",), 6)


class TestPlan:
    def test_one_job_for_each_model_with_the_first_seed(self) -> None:
        made = Plan(parse())
        jobs = list(made.jobs(["surface"]))
        assert [job.name for job in jobs] == ["base seed 3", "other seed 3"]
        job = jobs[1]
        assert job.inputs == {
            "data": ("results/around/data/digits.safetensors",),
            "model": ("results/around/models/other/seed3/model.safetensors",),
            "beside": ("results/around/models/vulnerable/seed3/model.safetensors",),
        }
        assert job.outputs == {
            "surface": "results/around/surfaces/other/seed3.csv",
            "record": "results/around/surfaces/other/seed3.record.json",
        }
        assert {"reproof.stages.surface", f"reproof.defenses.{OTHER}"} <= set(job.modules)
        assert "reproof.defenses.undefended" in job.modules, "the model beside is built too"
        with pytest.raises(KeyError):
            made.surface("vulnerable", 3)

    def test_drawing_and_the_page_wait_for_them(self) -> None:
        made = Plan(parse())
        draw = made.draw()
        assert draw.slice["models"]["surfaces"] == ["base", "other"]
        assert draw.inputs["surfaces"] == tuple(
            f"results/around/surfaces/{name}/seed3.csv" for name in ("base", "other")
        )
        assert draw.slice["surroundings"] == {"beside": "Vulnerable", "own": False, "clipped": True}
        records = made.report().inputs["records"]
        assert "results/around/surfaces/other/seed3.record.json" in records
        outputs = {path for job in made.jobs() for path in job.outputs.values()}
        assert all(set(paths) <= outputs for job in made.jobs() for paths in job.inputs.values())

    @pytest.mark.parametrize("nothing", [{"surfaces": None}, {"surfaces": {"models": None}}])
    def test_nothing_is_measured_where_nothing_is_asked_for(self, nothing: dict[str, Any]) -> None:
        made = Plan(parse(nothing))
        assert list(made.jobs(["surface"])) == []
        assert made.draw().inputs["surfaces"] == ()
        assert made.draw().slice["surroundings"] is None

    def test_another_model_in_the_list_changes_no_job_of_the_others(self) -> None:
        one, two = (Plan(parse({"surfaces": {"models": names}})) for names in (["base"], ["base", "other"]))
        assert one.surface("base", 3).expectation == two.surface("base", 3).expectation
        wider = Plan(parse({"surfaces": {"clip": False}}))
        assert wider.surface("base", 3).expectation != two.surface("base", 3).expectation

    def test_the_estimate_counts_every_point(self, tmp_path: Path) -> None:
        made = Plan(parse(), root=str(tmp_path))
        few = estimate.cost(made, made.surface("base", 3))
        evaluated = estimate.cost(made, made.evaluate("base", 3, "white_box"))
        forward = (evaluated.seconds - estimate.START_SECONDS) / (40 + 20)
        rows = 3 * 3 + 6 * 3
        assert few.seconds - estimate.START_SECONDS == pytest.approx((rows + (6 + 1) / FORWARD) * forward)
        assert few.kept_bytes == estimate.SURFACE_ROW_BYTES * rows
        assert [x.split()[1] for x in estimate.table(made).splitlines() if x.startswith("surface")] == ["2"]
        none = Plan(parse({"surfaces": None}), root=str(tmp_path))
        assert "surface" not in estimate.table(none)


class TestJob:
    DATA = DataDescription(1, 16, 16, 10, (0.5,), (0.5,))

    @pytest.fixture
    def made(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
        """Return a plan whose models are there, untrained, and whose test images are noise."""
        images = torch.randint(0, 256, (40, 1, 16, 16), generator=torch.Generator().manual_seed(0))
        empty = torch.arange(0)
        data = Dataset(
            name="noise",
            images=images.to(torch.uint8),
            labels=torch.arange(40) % 10,
            splits={"train": empty, "validation": empty, "test": torch.arange(40).flip(0)},
            description=self.DATA,
        )
        monkeypatch.setattr(prepared, "read_dataset", lambda path: data)
        monkeypatch.setattr(artifacts, "verify", lambda path: "")
        made = Plan(parse(), root=str(tmp_path))
        for number, name in enumerate(("base", "vulnerable", "other"), start=1):
            _, trainee = build.build(made.train(name, 3).slice, self.DATA, number)
            weights = {key: 2 * value for key, value in trainee.state_dict().items()}
            artifacts.write_tensors(Path(made.train(name, 3).outputs["model"]), weights, {"network": {}})
        return made

    def test_what_is_written_is_the_loss_at_the_formula_s_points(self, made: Plan) -> None:
        """Made again here from the formulas, one image at a time: x + ε1 sign ∇L1 + ε2 sign ∇L2, and FGSM's line."""
        job, run = made.surface("other", 3), Run(job={})
        do_surface(job, run)
        assert run.files == [Path(job.outputs["surface"])]
        assert run.notes == {"images": 6, "zero_gradients": 0, "zero_direction_1": False}
        rows = SURFACE.rows(SURFACE.read(Path(job.outputs["surface"])))
        assert [row["kind"] for row in rows] == ["surface"] * 9 + ["line"] * 18

        own, other = (
            build.load(made.train(name, 3).slice, self.DATA, Path(made.train(name, 3).outputs["model"]))[1]
            for name in ("other", "vulnerable")
        )
        stored, labels = prepared.read_dataset(Path()).select("test", 6)
        images = to_unit(stored)

        def direction(network: nn.Module, number: int) -> Tensor:
            leaf = images[number : number + 1].clone().requires_grad_()
            loss = nn.functional.cross_entropy(network(leaf), labels[number : number + 1])
            (gradient,) = torch.autograd.grad(loss, leaf)
            return gradient.sign()

        for row in rows:
            number = int(row["image"])
            moved = images[number : number + 1] + float(row["epsilon_2"]) * direction(own, number)
            if row["kind"] == "surface":
                assert number == 4
                moved = moved + float(row["epsilon_1"]) * direction(other, number)
            else:
                assert row["epsilon_1"] is None
            with torch.no_grad():
                logits = own(moved.clamp(0, 1))
            loss = float(nn.functional.cross_entropy(logits, labels[number : number + 1]))
            assert float(row["loss"]) == pytest.approx(loss, rel=2e-3, abs=1e-5)
            assert row["correct"] == (int(logits.argmax()) == int(labels[number]))
        grid = [(float(row["epsilon_1"]), float(row["epsilon_2"])) for row in rows[:9]]
        low, high = -16 / 255, 1 / 255
        assert np.allclose(grid, list(itertools.product((low, (low + high) / 2, high), (-0.5, 0.25, 1))))
        assert np.allclose(
            [(int(row["image"]), float(row["epsilon_2"])) for row in rows[9:]],
            [(image, epsilon) for epsilon in (0, 8 / 255, 1) for image in range(6)],
        )

    def test_the_batches_size_changes_nothing(self, made: Plan) -> None:
        texts = []
        for size in (2, 256):
            job = made.surface("base", 3)
            do_surface(Job(**{**vars(job), "slice": {**job.slice, "batch_size": size}}), Run(job={}))
            texts.append(SURFACE.rows(SURFACE.read(Path(job.outputs["surface"]))))
        one, other = ([(row["image"], row["epsilon_2"], row["correct"]) for row in rows] for rows in texts)
        assert one == other
        losses = [np.array([float(row["loss"]) for row in rows]) for rows in texts]
        assert np.allclose(losses[0], losses[1], rtol=1e-3, atol=1e-5)

    @pytest.mark.parametrize("asked", [{"images": 41}, {"image": 40}])
    def test_more_images_than_there_are_is_a_mistake_of_the_study(
        self, made: Plan, asked: dict[str, int]
    ) -> None:
        job = made.surface("base", 3)
        facts = {**job.slice, "surfaces": {**job.slice["surfaces"], **asked}}
        with pytest.raises(StudyError, match="ask for 41 test images, and digits has 40"):
            do_surface(Job(**{**vars(job), "slice": facts}), Run(job={}))
