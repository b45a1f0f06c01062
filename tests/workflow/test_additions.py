"""Whoever adds a plug-in, a section or a paper adds files and edits none: all of them at once, through the chain."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from project import ROOT, Project, clone
from tests import unfolded
from tests.hand_made_papers import write_paper

ATTACK = '''\
"""Darkening: every pixel goes towards black by the whole budget. No paper of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from reproof.attacking.batch import Attack, Batch
from reproof.settings.attack import Access, EpsilonAttackSettings, Point


class Settings(EpsilonAttackSettings):
    """Darkening has nothing to set but its budgets."""

    title: ClassVar[str] = "Darkening"
    family: ClassVar[str] = "changes of brightness"
    access: ClassVar[Access] = "none"
    takes_view: ClassVar[bool] = False


@dataclass(frozen=True)
class Darkening:
    """Less light, the same for all pixels."""

    def perturb(self, batch: Batch) -> Tensor:
        """Return darker images."""
        return (batch.images - batch.require_epsilon()).clamp(0, 1)


def build(settings: Settings, point: Point) -> Attack:
    """Return the attack."""
    return Darkening()
'''

DATASET = '''\
"""Stripes that lie, stand, rise or fall, in noise: an own data set, drawn here."""

from __future__ import annotations

from typing import ClassVar

import torch

from reproof.data.dataset import DataDescription, Dataset
from reproof.settings.dataset import DatasetSettings
from reproof.settings.values import Count

SIZE = 16


class Settings(DatasetSettings):
    """The stripes."""

    title: ClassVar[str] = "Four stripes"
    key: ClassVar[str] = "stripes"
    class_names: ClassVar[tuple[str, ...]] = ("lying", "standing", "rising", "falling")
    images: Count = 320

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return an image's channels, height and width."""
        return 1, 16, 16

    def sizes(self) -> dict[str, int]:
        """Return the number of images of each split."""
        return {"train": self.images - 80, "validation": 40, "test": 40}


def prepare(settings: Settings, root: Path) -> Dataset:
    """Return the stripes with their splits."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(settings.images) % 4
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    waves = torch.stack([torch.sin(d.float()) for d in (y, x, x + y, x - y)]).mul(0.4).add(0.5)
    noise = torch.rand(settings.images, SIZE, SIZE, generator=generator)
    images = (0.5 * waves[labels] + 0.5 * noise).mul(255).round().to(torch.uint8)[:, None]
    train = settings.images - 80
    places = torch.arange(settings.images)
    return Dataset(
        name=settings.key,
        images=images,
        labels=labels,
        splits={"train": places[:train], "validation": places[train : train + 40], "test": places[train + 40 :]},
        description=DataDescription(1, SIZE, SIZE, 4, (0.5,), (0.25,)),
    )
'''

ARCHITECTURE = '''\
"""One linear layer on the pixels: an own network."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from reproof.data.dataset import DataDescription
from reproof.models.classifier import Classifier
from reproof.settings.architecture import ArchitectureSettings
from reproof.settings.values import Positive


class Settings(ArchitectureSettings):
    """Nothing but a width, as every architecture has it."""

    title: ClassVar[str] = "Linear network"
    features: ClassVar[tuple[str, ...]] = ("pixels",)
    width: Positive = 1.0

    def layers(self, channels: int, height: int, width: int, classes: int) -> list[tuple[int, int]]:
        """Return the layer's weights."""
        return [(channels * height * width * classes, 1)]


class Linear(Classifier):
    """Pixels to logits."""

    def __init__(self, settings: Settings, data: DataDescription):
        super().__init__(data)
        self.classify = nn.Linear(data.channels * data.height * data.width, data.classes)
        self.feature_shapes = {"pixels": (self.classify.in_features,)}

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits and the normalised pixels."""
        pixels = self.normalise(images).flatten(1)
        return self.classify(pixels), {"pixels": pixels}


def build(settings: Settings, data: DataDescription) -> Classifier:
    """Return the network."""
    return Linear(settings, data)
'''

SECTION = '''\
"""A section of somebody's own: how many attacks the study has."""

from __future__ import annotations

from typing import Any

from reproof.report.section import Section
from reproof.report.shared import Shared

SECTION = Section("own-count", "Counted by us", order=45, needs=("attacks",))


def build(shared: Shared) -> dict[str, Any]:
    """Return the number."""
    return {"count": len(shared.data.attacks)}
'''
TEMPLATE = "<p>This study has {{ count }} attacks of its own.</p>\n"

STUDY = """\
study: tiny
title: Own things
smoke: true
seeds: [0]
dataset: stripes
datasets:
  stripes: {kind: stripes}
architecture: {kind: linear}
training: {epochs: 8, batch_size: 32, optimizer: adam, learning_rate: 1e-2}
models:
  plain: {title: Plain, defense: {kind: undefended}}
  smooth: {title: Smooth, defense: {kind: label_smoothing}}
attacks:
  darkening: {kind: darkening, epsilons: [8/255, 0.3]}
  fgsm: {kind: fgsm, epsilons: [0.3]}
suites:
  papers: {attacks: [darkening, fgsm], images: 40}
threats:
  white_box: {setting: white_box, suite: papers}
"""
OWN = {
    "training.epochs": 8,
    "training.batch_size": 32,
    "training.optimizer": "adam",
    "training.learning_rate": 0.01,
    "training_images": 240,
    "images": 40,
}
"""What the sixth paper says of its experiments: as the study does them."""
FILES = {
    "src/reproof/attacks/darkening.py": ATTACK,
    "src/reproof/datasets/stripes.py": DATASET,
    "src/reproof/architectures/linear.py": ARCHITECTURE,
    "src/reproof/report/sections/own_count.py": SECTION,
    "src/reproof/report/sections/own_count.html.j2": TEMPLATE,
}


def label_smoothing() -> str:
    """Return CONTRIBUTING's worked example of a defense."""
    return (
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("```python\n", 1)[1].split("```", 1)[0]
    )


def claims(printed: str) -> list[dict[str, str]]:
    """Return a sixth paper's claims, about own things, and about one that nobody built."""
    own = {"dataset": "stripes", "architecture": "linear", "attack": "darkening", "printed": printed}
    return [
        {**own, "row": "Plain", "column": "0.3", "defense": "undefended", "parameters": "epsilon=0.3"},
        {**own, "row": "Smooth", "column": "8", "defense": "label_smoothing", "parameters": "epsilon=8/255"},
        {**own, "row": "Other", "column": "0.3", "defense": "label_sharpening", "parameters": "epsilon=0.3"},
    ]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A study of own things, run to its end; every file of theirs is new."""
    project = clone(tmp_path_factory.mktemp("own") / "project", STUDY)
    for name, text in {**FILES, "src/reproof/defenses/label_smoothing.py": label_smoothing()}.items():
        with (project.path / name).open("x", encoding="utf-8") as file:
            file.write(text)
    folder = project.path / "src/reproof/papers"
    write_paper(
        folder,
        *claims("100.0"),
        key="sixth",
        title="On stripes",
        short_name="Sixth 2020",
        year=2020,
        protocol=[
            {
                "of": {"dataset": "stripes"},
                "settings": {k: {"is": v, "place": "Sec. 1"} for k, v in OWN.items()},
            }
        ],
        terms={
            "datasets": {"stripes": "Stripes"},
            "architectures": {"linear": "our network"},
            "defenses": {
                "undefended": "Baseline",
                "label_smoothing": "Smoothing",
                "label_sharpening": "Sharpening",
            },
            "attacks": {"darkening": "Dimming"},
        },
    )
    project.make_in_one_process()
    return project


def table(project: Project, name: str) -> list[dict[str, str]]:
    with (project.path / f"results/tiny/tables/{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_nothing_is_left_to_do(project: Project) -> None:
    assert project.pending() == {}


def test_what_is_measured_names_them(project: Project) -> None:
    rows = [row for row in table(project, "measurements") if row["attack"] == "darkening"]
    assert {(row["dataset"], row["architecture"], row["defense"]) for row in rows} == {
        ("stripes", "linear", "undefended"),
        ("stripes", "linear", "label_smoothing"),
    }
    assert {row["parameters"] for row in rows} == {"epsilon=8/255", "epsilon=0.3"}


def test_the_sixth_paper_is_judged(project: Project) -> None:
    verdicts = {row["row"]: row for row in table(project, "verdicts") if row["paper"] == "sixth"}
    measured = {
        (row["model"], row["parameters"]): row["value"]
        for row in table(project, "summary")
        if row["attack"] == "darkening"
    }
    for model, name, parameters in (
        ("plain", "Plain", "epsilon=0.3"),
        ("smooth", "Smooth", "epsilon=8/255"),
    ):
        assert verdicts[name]["verdict"] in ("undecided", "lower"), "of 40 images none is enough"
        assert (verdicts[name]["grade"], verdicts[name]["differences"]) == ("A", "")
        assert verdicts[name]["model"] == model
        assert verdicts[name]["measured"] == measured[model, parameters]
    assert verdicts["Other"]["verdict"] == "not measured"
    (kind, _, there, _), *_ = json.loads(verdicts["Other"]["differences"])
    assert (kind, there) == ("lacks.defense", "label_sharpening")


def test_the_checklist_goes_by_what_the_attack_declares(project: Project) -> None:
    evidence = " ".join(row["evidence"] for row in table(project, "checklist"))
    assert "changes of brightness" in evidence


def test_the_page_names_them_rightly(project: Project) -> None:
    page = unfolded.read(project.path / "report/tiny.html")
    for words in ("Darkening", "Four stripes", "Linear network", "label smoothing", "Sixth 2020", "8/255"):
        assert words in page, words
    assert "This study has 2 attacks of its own." in page
    assert '<a href="#own-count">Counted by us</a>' in page
    assert "Sharpening is not built here" in page


def test_a_wrong_word_in_the_sixth_paper_is_named(project: Project, tmp_path: Path) -> None:
    path = project.path / "src/reproof/papers/sixth/claims.csv"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("label_smoothing", "label_smoothin", 1), encoding="utf-8")
    done = project.reproof("claims", "--check")
    path.write_text(text, encoding="utf-8")
    assert done.returncode == 1
    assert "label_smoothin" in done.stderr
    assert "label_smoothing" in done.stderr


def test_the_plan_knows_what_they_cost(project: Project) -> None:
    done = project.reproof("plan")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    jobs = {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}
    assert jobs["train"] == jobs["attack"] == jobs["evaluate"] == 2


def test_an_attack_that_goes_again_leaves_its_claims_readable(project: Project, tmp_path: Path) -> None:
    """Deleted with its entries in the study; the paper still names it."""
    shutil.copytree(project.path, tmp_path / "project", symlinks=True)
    without = Project(tmp_path / "project", project.environment)
    (without.path / "src/reproof/attacks/darkening.py").unlink()
    without.edit("config.yaml", "  darkening: {kind: darkening, epsilons: [8/255, 0.3]}\n", "")
    without.edit("config.yaml", "[darkening, fgsm]", "[fgsm]")
    without.make_in_one_process()
    verdicts = [row for row in table(without, "verdicts") if row["paper"] == "sixth"]
    assert [row["verdict"] for row in verdicts] == ["not measured"] * 3
    page = unfolded.read(without.path / "report/tiny.html")
    assert "Dimming is not built here" in page
    assert "Darkening" not in page
