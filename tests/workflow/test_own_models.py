"""Somebody's own networks, weights, images and plug-ins, through the whole chain: nothing of them lies in the package."""

from __future__ import annotations

import csv
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
import yaml
from project import ROOT, Project, clone
from tests import own_things, unfolded
from tests.ours import needs

from reproof import new
from reproof.errors import StudyError
from reproof.plan import code_digest
from reproof.plan.jobs import Plan
from reproof.study import layers, reader

pytestmark = needs("architectures/file", "datasets/folder", "datasets/arrays")

STUDY = """\
study: tiny
title: Own things
seeds: [0]
dataset: photographs
datasets:
  photographs:
    {kind: folder, path: photographs, classes: [day, night], image_shape: [3, 32, 32], test_images: 12, resize: true}
  stripes:
    kind: arrays
    path: test.npz
    train_path: train.npz
    classes: [lying, standing, rising, falling]
    image_shape: [1, 16, 16]
    test_images: 40
    validation_images: 20
    train_images: 100
architecture:
  {kind: file, path: code/network.py, factory: resnet18, mean: [0.5, 0.4, 0.3], std: [0.2, 0.2, 0.2], latent: {pooled: avgpool}}
training: {epochs: 2, batch_size: 32, optimizer: adam, learning_rate: 1e-2}
models:
  resnet18: {title: ResNet-18 of torchvision, weights: resnet18.pth}
  foreign:
    title: Foreign
    dataset: stripes
    architecture: {kind: file, path: code/network.py, factory: small}
    weights: foreign.safetensors
  ours:
    dataset: stripes
    architecture: {kind: file, path: code/network.py, factory: small}
    defense: {kind: undefended}
attacks:
  fgsm: {kind: fgsm, epsilons: [0.3]}
suites:
  papers: {attacks: [fgsm], images: 12}
threats:
  white_box: {setting: white_box, suite: papers}
"""


NEW = """
import sys
from reproof import cli

for command in sys.argv[1:]:
    if cli.main(command.split()):
        sys.exit(1)
"""


def tutorial(language: str) -> str:
    """Return the first code of a language in CONTRIBUTING's tutorial."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Something new in an hour")[1]
    return text.split(f"```{language}\n", 1)[1].split("```", 1)[0]


NEW_COMMANDS = [line.removeprefix("python -m reproof ") for line in tutorial("").splitlines()]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A study of own things, run to its end."""
    from safetensors.torch import save_file

    study = layers.merge(yaml.safe_load(STUDY), yaml.safe_load(tutorial("yaml")))
    project = clone(tmp_path_factory.mktemp("own") / "project", yaml.safe_dump(study, sort_keys=False))
    path = project.path
    own_things.write_code(path / "code")
    own_things.write_photographs(path / "photographs", 8)
    images, labels = own_things.stripes(60, seed=1)
    np.savez(path / "test.npz", images=images.transpose(0, 2, 3, 1) / 255.0, labels=labels)
    images, labels = own_things.stripes(120)
    np.savez(path / "train.npz", images=images, labels=labels)
    save_file(
        own_things.train(own_things.small_network(), images, labels).state_dict(),
        path / "foreign.safetensors",
    )
    torch.manual_seed(0)
    wrapped = torch.nn.DataParallel(torchvision.models.resnet18(num_classes=2))
    torch.save({"epoch": 3, "state_dict": wrapped.state_dict()}, path / "resnet18.pth")
    done = subprocess.run(
        [sys.executable, "-c", NEW, *NEW_COMMANDS],
        cwd=path,
        env={**project.environment, "PYTHONPATH": str(path / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote") == len(NEW_COMMANDS) + 3, "a section has two files, a paper three"
    project.make_in_one_process()
    return project


def table(project: Project, name: str) -> list[dict[str, str]]:
    with (project.path / f"results/tiny/tables/{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_nothing_is_left_to_do_and_only_ours_was_trained(project: Project) -> None:
    weights = project.path / "results/tiny/models/foreign/seed0/model.safetensors"
    before = weights.read_bytes()
    weights.unlink()
    printed = project.make(str(weights.relative_to(project.path)))
    assert weights.read_bytes() == before
    assert "1 of 1 job done" in printed
    assert "reproof: foreign: " in printed, "clean accuracy, first of all"
    assert sorted(path.parent.parent.name for path in (project.path / "results").rglob("history.csv")) == [
        "calm",
        "ours",
    ]


def test_what_is_measured_names_them(project: Project) -> None:
    rows = [row for row in table(project, "measurements") if row["parameters"] == "epsilon=0.3"]
    assert {(row["model"], row["dataset"], row["architecture"], row["defense"]) for row in rows} == {
        ("resnet18", "folder", "own_network", "undefended"),
        ("foreign", "arrays", "own_network", "undefended"),
        ("ours", "arrays", "own_network", "undefended"),
        ("calm", "two_stripes", "cnn6", "calm_logits"),
    }
    assert {row["attack"] for row in rows} >= {"shading", "fgsm"}


def test_a_foreign_network_is_as_accurate_here_as_where_it_was_trained(project: Project) -> None:
    images, labels = own_things.stripes(60, seed=1)
    network = own_things.train(own_things.small_network(), *own_things.stripes(120))
    right = float(
        (network(torch.from_numpy(images).float() / 255).argmax(1) == torch.from_numpy(labels)).float().mean()
    )
    (clean,) = [
        row
        for row in table(project, "measurements")
        if row["model"] == "foreign" and row["attack"] == "none" and row["metric"] == "accuracy"
    ]
    assert right > 0.9
    assert abs(float(clean["value"]) - right) < 0.1, "40 of the 60 images"


def test_the_page_shows_them_and_warns_of_the_untrained_one(project: Project) -> None:
    page = unfolded.read(project.path / "report/tiny.html")
    for words in (
        *("shading", "calm logits", "two stripes", "own models of ResNet-18 of torchvision, Foreign"),
        *("ResNet-18 of torchvision", "resnet18.pth", "Table 1", '<a href="#own_models">own models</a>'),
    ):
        assert words in page, words
    assert " of 12 clean test images; one answer for all would be" in page
    assert "Foreign is right for" not in page
    assert "float64 taken as [0, 1]" in page


def test_another_file_of_anybody_is_another_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a job's expectation changes with is what Snakemake runs it again for. A comment reruns nothing."""
    monkeypatch.chdir(project.path)

    def expectations() -> dict[str, str]:
        code_digest._parsed.cache_clear()
        jobs = Plan(reader.load([Path("config.yaml")])).jobs(
            ("prepare", "train", "load", "attack", "evaluate")
        )
        return {f"{job.rule} {job.name}": job.expectation for job in jobs}

    def changed(name: str, content: bytes) -> set[str]:
        path = Path(name)
        before = path.read_bytes()
        path.write_bytes(content)
        after = expectations()
        path.write_bytes(before)
        return {job for job, was in start.items() if after[job] != was}

    start = expectations()
    code, resnet = (
        Path("code/blocks.py").read_bytes(),
        {f"{rule} resnet18" for rule in ("load", "attack", "evaluate")},
    )
    assert changed("code/blocks.py", code + b"# a comment\n") == set()
    edited = {
        job.split(" seed")[0].replace(" white_box", "")
        for job in changed("code/blocks.py", code + b"EXTRA = 1\n")
    }
    assert edited > resnet
    assert edited == {
        f"{rule} {model}" for rule in ("attack", "evaluate") for model in ("resnet18", "foreign", "ours")
    } | {"load resnet18", "load foreign", "train ours"}
    calm = Path("mine/defenses/calm_logits.py").read_bytes()
    after = changed("mine/defenses/calm_logits.py", calm + b"EXTRA = 1\n")
    assert after == {"train calm seed 0", "attack calm seed 0 papers", "evaluate calm seed 0 white_box"}
    shading = Path("mine/attacks/shading.py").read_bytes()
    after = changed("mine/attacks/shading.py", shading + b"EXTRA = 1\n")
    assert after == {job for job in start if job.startswith("attack")}
    assert changed("resnet18.pth", Path("resnet18.pth").read_bytes() + b"x") == {"load resnet18 seed 0"}
    image = Path("photographs/day/0.png")
    assert changed(str(image), image.read_bytes() + b"x") == {"prepare photographs"}
    assert changed("test.npz", Path("train.npz").read_bytes()) == {"prepare stripes"}


def test_a_paper_that_is_begun_is_read_judged_and_typed_twice(project: Project) -> None:
    rows = [row for row in table(project, "verdicts") if row["paper"] == "sixth"]
    assert {(row["row"], row["column"], row["claimed"]) for row in rows} == {
        ("Baseline", "No attack", "0.98"),
        ("Baseline", "FGSM", "0.2"),
    }
    assert project.reproof("claims", "--check").returncode == 0
    second = runpy.run_path(str(project.path / "tests/second_transcription/sixth.py"))["TABLES"]
    (typed,) = second
    with (project.path / "src/reproof/papers/sixth/claims.csv").open(encoding="utf-8", newline="") as file:
        first = list(csv.DictReader(file))
    for one, other in zip(first, typed.cells(), strict=True):
        assert {key: one[key] for key in other} == other


def test_nothing_is_written_over(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path)
    for name, words in (
        ("shading", "is there already"),
        ("2nd", "should be a file's name"),
        ("../x", "should be a"),
    ):
        with pytest.raises(StudyError, match=words):
            new.write("attack", name, Path("mine"))
    with pytest.raises(StudyError, match="leave --folder out"):
        new.write("paper", "seventh", Path("mine"))


def test_results_of_another_study_are_not_exported(project: Project) -> None:
    """Another model's numbers would stand under this one's name."""
    done = project.reproof("export", "elsewhere", "--config", "training={epochs: 9}")
    assert done.returncode == 1
    assert "was made by another study or other code" in done.stderr
    assert not (project.path / "elsewhere").exists()
