"""The authors' released checkpoints: their layout is loaded as the study says, and judged as the paper's own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as f

from reproof import registry
from reproof.claims import paper as claims_paper
from reproof.data.dataset import DataDescription
from reproof.judging import experiment
from reproof.judging.study_facts import StudyFacts
from reproof.models import own_weights
from reproof.models.defense import Trainee
from reproof.plan.jobs import Plan
from reproof.study import reader
from tests.ours import needs

ROOT = Path(__file__).parents[3]
STAGES, BLOCKS = (16, 32, 64), 18

pytestmark = needs(
    *("papers/mustafa_pcl", "architectures/resnet", "datasets/cifar10", "defenses/prototype_conformity"),
    *(
        "attacks/autoattack",
        "attacks/strongest",
        "attacks/square",
        "attacks/mim",
        "attacks/bim",
        "attacks/random_noise",
    ),
)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan(reader.load([ROOT / "config.yaml", ROOT / "studies/released.yaml"]))


@pytest.fixture(scope="module")
def facts(plan: Plan) -> StudyFacts:
    return StudyFacts.read(plan.tabulate().slice)


@pytest.fixture(scope="module")
def papers() -> list[claims_paper.Paper]:
    return claims_paper.papers()


def released() -> dict[str, Tensor]:
    """Return weights of the names and shapes of the public code's `resnet(depth=110)`, drawn at random."""
    generator = torch.Generator().manual_seed(0)
    found: dict[str, Tensor] = {}

    def convolution(name: str, planes: int, channels: int, size: int) -> None:
        scale = (2 / (channels * size**2)) ** 0.5
        found[f"{name}.weight"] = scale * torch.randn(planes, channels, size, size, generator=generator)

    def norm(name: str, planes: int) -> None:
        found[f"{name}.weight"] = 0.2 + 0.3 * torch.rand(planes, generator=generator)
        found[f"{name}.bias"] = 0.1 * torch.randn(planes, generator=generator)
        found[f"{name}.running_mean"] = 0.1 * torch.randn(planes, generator=generator)
        found[f"{name}.running_var"] = 0.5 + torch.rand(planes, generator=generator)

    convolution("conv1", 16, 3, 3)
    norm("bn1", 16)
    channels = 16
    for stage, planes in enumerate(STAGES, 1):
        for block in range(BLOCKS):
            here = f"layer{stage}.{block}"
            for number, (inside, out, size) in enumerate(
                [(channels, planes, 1), (planes, planes, 3), (planes, 4 * planes, 1)], 1
            ):
                convolution(f"{here}.conv{number}", out, inside, size)
                norm(f"{here}.bn{number}", out)
            if block == 0:
                convolution(f"{here}.downsample.0", 4 * planes, channels, 1)
                norm(f"{here}.downsample.1", 4 * planes)
            channels = 4 * planes
    for name, units, inputs in (("fc", 1024, 256), ("fcf", 10, 1024)):
        found[f"{name}.weight"] = torch.randn(units, inputs, generator=generator) / inputs**0.5
        found[f"{name}.bias"] = torch.randn(units, generator=generator)
    return found


def answer(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """Return the logits of that network, written down a second time. images: in [0, 1]."""

    def normed(name: str, maps: Tensor, stride: int = 1) -> Tensor:
        convolution, norm = name, name.replace("conv", "bn").replace("downsample.0", "downsample.1")
        kernel = weights[f"{convolution}.weight"]
        maps = f.conv2d(maps, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
        return f.batch_norm(maps, mean, variance, weights[f"{norm}.weight"], weights[f"{norm}.bias"])

    mean, std = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2023, 0.1994, 0.2010])
    maps = normed("conv1", (images - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)).relu()
    for stage in (1, 2, 3):
        for block in range(BLOCKS):
            here, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            inner = normed(f"{here}.conv2", normed(f"{here}.conv1", maps).relu(), stride).relu()
            beside = normed(f"{here}.downsample.0", maps, stride) if block == 0 else maps
            maps = (normed(f"{here}.conv3", inner) + beside).relu()
    vector = f.avg_pool2d(maps, 8).flatten(1)
    vector = f.linear(vector, weights["fc.weight"], weights["fc.bias"])
    return f.linear(vector, weights["fcf.weight"], weights["fcf.bias"])


def test_its_layout_is_loaded_and_answers_alike(plan: Plan, tmp_path: Path) -> None:
    weights = released()
    state = {f"module.{name}": tensor for name, tensor in weights.items()}
    counts = {
        name.replace("running_var", "num_batches_tracked"): torch.tensor(7)
        for name in state
        if "running_var" in name
    }
    optimiser = {
        "state": {139: {"momentum_buffer": torch.ones(3)}},
        "param_groups": [{"lr": 0.01, "params": [139]}],
    }
    path = tmp_path / "robust_model.pth.tar"
    torch.save({"epoch": 400, "state_dict": state | counts, "optimizer_model": optimiser}, path)
    model = plan.study.models["prototype_conformity_pgd"]
    assert model.weights is not None
    module = registry.load("architectures", model.architecture.kind)
    neutral = DataDescription(3, 32, 32, 10, (0.0,) * 3, (1.0,) * 3)
    trainee = Trainee(module.build(model.architecture.settings, neutral)).eval()
    own_weights.fit(trainee, own_weights.read(path, model.weights), model.weights)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted, found = answer(weights, images), trainee(images)
    assert float((wanted[0] - wanted[1]).abs().max()) > 1e-3, "the images are told apart"
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_its_weights_are_judged_as_the_paper_s_own_where_the_network_is(
    facts: StudyFacts, papers: list[claims_paper.Paper]
) -> None:
    """Whatever its training. Table 1 prints 12 blocks a stage, the released network has 18: that is named, at grade B."""
    protocols = experiment.Protocols(papers)
    place = "mustafa_pcl.table_2.cifar_10_eps_0_03_c_0_1"
    claims = {claim.claim_id: claim for paper in papers for claim in paper.claims}
    for row, name in (
        ("softmax", "undefended"),
        ("ours", "prototype_conformity"),
        ("ours_advtrain_pgd", "prototype_conformity_pgd"),
    ):
        claim, model = claims[f"{place}.{row}.white_box.pgd"], facts.models[name]
        assert (claim.defense, claim.training) == (model.defense, model.training)
        stated = protocols.of(claim)
        (named,) = experiment.of_model(claim, model, stated)
        assert named == ("architecture.blocks", "18", "12", "B")
        as_printed = {**model.settings, "architecture.blocks": 12}
        printed = dataclasses.replace(model, settings=as_printed, architecture=claim.architecture)
        assert experiment.grade(experiment.of_model(claim, printed, stated)) == "A"
        unknown = dataclasses.replace(model, settings={"architecture.path": "net.py"}, architecture="own_net")
        assert experiment.of_model(claim, unknown, stated) == [
            ("architecture", "own_net", claim.architecture, "B")
        ], "a network in a file of its own, which nothing compares with Table 1"
        elsewhere = dataclasses.replace(model, weights="elsewhere")
        assert {one.kind for one in experiment.of_model(claim, elsewhere, stated)} >= {
            "weights",
            "architecture",
        }
    other = claims["mustafa_pcl.table_2.mnist_eps_0_3_c_10.softmax.no_attack"]
    (difference,) = experiment.of_model(other, facts.models["undefended"], protocols.of(other))
    assert (difference.kind, difference.grade) == ("dataset", "C")


def test_what_a_paper_does_not_print_the_released_network_tells(
    facts: StudyFacts, papers: list[claims_paper.Paper]
) -> None:
    """Table 5 does not say whose network it is of: there the blocks are a reading, and no difference."""
    protocols = experiment.Protocols(papers)
    (mustafa,) = [paper for paper in papers if paper.key == "mustafa_pcl"]
    model = facts.models["undefended"]
    silent = [
        claim
        for claim in mustafa.claims
        if claim.table == "Table 5" and claim.dataset == "cifar10" and not claim.copied
    ]
    assert silent
    for claim in silent:
        stated = protocols.of(claim)
        assert stated["architecture.blocks"].reading
        assert experiment.of_model(claim, model, stated) == []


def test_weights_of_unknown_origin_differ_by_their_training_alone(
    facts: StudyFacts, papers: list[claims_paper.Paper]
) -> None:
    protocols = experiment.Protocols(papers)
    claims = {claim.claim_id: claim for paper in papers for claim in paper.claims}
    claim = claims["mustafa_pcl.table_2.cifar_10_eps_0_03_c_0_1.softmax.white_box.pgd"]
    released = facts.models["undefended"]
    printed = {"architecture": claim.architecture, "weights": "elsewhere", "settings": {}, "chosen": ()}
    unknown = released.__class__(**{**vars(released), **printed})
    found = [one for one in experiment.of_model(claim, unknown, protocols.of(claim)) if "." not in one.kind]
    assert [(one.kind, one.grade) for one in found] == [("weights", "B")]
