"""Weights from elsewhere: how they are wrapped, nested and named is undone; outcomes are those of the network itself."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from reproof import cli, registry
from reproof.data.dataset import DataDescription
from reproof.errors import ModelError
from reproof.models import own_weights
from reproof.models.defense import Trainee
from reproof.settings.weights import WeightsSettings
from reproof.stages import attack as attack_stage
from tests import own_things
from tests.ours import needs

DATA = DataDescription(1, 16, 16, 4, (0.5,), (0.2,))


def ours(width: float = 0.0625) -> Trainee:
    module = registry.load("architectures", "cnn6")
    torch.manual_seed(1)
    return Trainee(module.build(module.Settings(width=width), DATA)).eval()


def weights() -> dict[str, Tensor]:
    """Return weights of that network, all different from those that it is built with."""
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.rand(tensor.shape, generator=generator) + 0.1
        for name, tensor in ours().classifier.state_dict().items()
    }


def fitted(path: Path, **settings: Any) -> dict[str, Tensor]:
    chosen, trainee = WeightsSettings(path=str(path), **settings), ours()
    own_weights.fit(trainee, own_weights.read(path, chosen), chosen)
    return trainee.classifier.state_dict()


def without(state: dict[str, Tensor], *names: str) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if name not in names}


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in weights().items()}


SAVED: dict[str, tuple[Any, dict[str, Any]]] = {
    "as it is": (weights, {}),
    "of DataParallel": (lambda: prefixed("module."), {}),
    "compiled": (lambda: prefixed("_orig_mod."), {}),
    "of DataParallel, compiled": (lambda: prefixed("_orig_mod.module."), {}),
    "of a larger module": (lambda: prefixed("backbone."), {}),
    "nested": (lambda: {"epoch": 3, "state_dict": weights(), "optimizer": {"state": {0: {"step": torch.ones(1)}}}}, {}),
    "nested twice, one of two": (lambda: {"nets": {"a": weights(), "b": {"x": torch.ones(1)}}}, {"key": "nets.a"}),
    "in double precision": (lambda: {name: tensor.double() for name, tensor in weights().items()}, {}),
    "under other names": (
        lambda: {name.replace("layer", "conv_"): tensor for name, tensor in weights().items()},
        {"names": {r"^conv_(\d)": r"layer\1"}},
    ),
    "without its normalisation": (lambda: without(weights(), "mean", "std"), {"mean": [0.25], "std": [0.125]}),
}  # fmt: skip


@pytest.mark.parametrize("name", SAVED)
def test_however_it_is_saved_it_is_put_in_place(name: str, tmp_path: Path) -> None:
    make, settings = SAVED[name]
    torch.save(make(), tmp_path / "w.pth")
    wanted = weights()
    if "mean" in settings:
        wanted |= {"mean": torch.full((1, 1, 1, 1), 0.25), "std": torch.full((1, 1, 1, 1), 0.125)}
    found = fitted(tmp_path / "w.pth", **settings)
    assert found.keys() == wanted.keys()
    for key, tensor in found.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, wanted[key]), key


def own(*places: str) -> Trainee:
    """Return what trains a network whose layers stand at these places."""
    network = nn.Module()
    for place in places:
        *outer, last = place.split(".")
        inside = network
        for name in outer:
            inside = inside._modules.setdefault(name, nn.Module())  # type: ignore[assignment]
        inside.add_module(last, nn.Linear(2, 3))
    return SimpleNamespace(classifier=SimpleNamespace(weights_belong_to=network))  # type: ignore[return-value]


@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.", "_orig_mod.module.", "net."])
@pytest.mark.parametrize(
    "places", [("module.a", "module.b"), ("_orig_mod.a",), ("module.module",), ("module.a", "b")]
)
def test_what_wraps_a_network_is_taken_off_only_where_its_own_names_do_not_begin_so(
    wrapper: str, places: tuple[str, ...]
) -> None:
    trainee = own(*places)
    state = trainee.classifier.weights_belong_to.state_dict()
    saved = {f"{wrapper}{name}": torch.rand_like(tensor) for name, tensor in state.items()}
    own_weights.fit(trainee, saved, WeightsSettings(path="w.pt"))
    for name, tensor in trainee.classifier.weights_belong_to.state_dict().items():
        assert torch.equal(tensor, saved[f"{wrapper}{name}"])


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "_orig_mod.module."])
def test_a_factory_may_return_what_is_wrapped_and_the_file_be_of_the_network_alone(wrapper: str) -> None:
    trainee = own(f"{wrapper}a", f"{wrapper}b.c")
    network = trainee.classifier.weights_belong_to
    state = {name: torch.rand_like(tensor) for name, tensor in network.state_dict().items()}
    saved = {name.removeprefix(wrapper).replace("a.", "first."): tensor for name, tensor in state.items()}
    own_weights.fit(trainee, saved, WeightsSettings(path="w.pt", names={r"^first\.": "a."}))
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_a_prefix_that_fits_neither_way_stays_in_the_message() -> None:
    saved = {f"module.{name}": torch.ones(1) for name in ("conv.weight", "conv.bias")}
    with pytest.raises(ModelError, match=r"unexpected \(2\): module.conv.weight, module.conv.bias"):
        own_weights.fit(own("a"), saved, WeightsSettings(path="w.pt"))


def test_names_that_become_one_are_refused() -> None:
    saved = {"a.weight": torch.ones(3, 2), "a.bias": torch.ones(3), "b.bias": torch.ones(3)}
    with pytest.raises(ModelError, match=r"`names` makes two entries 'a.bias', one of them of 'b.bias'"):
        own_weights.fit(own("a"), saved, WeightsSettings(path="w.pt", names={"^b": "a"}))


def test_weights_that_were_averaged_have_an_average_count_of_batches() -> None:
    trainee = Trainee(ours().classifier)
    trainee.classifier.add_module("norm", nn.BatchNorm2d(2))
    state = trainee.classifier.state_dict() | {"norm.num_batches_tracked": torch.tensor(2.5)}
    own_weights.fit(trainee, state, WeightsSettings(path="w.pt"))


def test_safetensors_are_read_alike(tmp_path: Path) -> None:
    save_file(prefixed("module."), tmp_path / "w.safetensors")
    assert all(
        torch.equal(tensor, weights()[key]) for key, tensor in fitted(tmp_path / "w.safetensors").items()
    )


def test_old_files_lack_a_count_of_batches_and_nothing_else_may_be_missing() -> None:
    trainee = Trainee(ours().classifier)
    trainee.classifier.add_module("norm", nn.BatchNorm2d(2))
    state = trainee.classifier.state_dict()
    settings = WeightsSettings(path="w.pt")
    own_weights.fit(trainee, without(state, "norm.num_batches_tracked"), settings)
    with pytest.raises(ModelError, match=r"missing \(1\): norm.running_var"):
        own_weights.fit(trainee, without(state, "norm.running_var"), settings)


def test_all_that_does_not_fit_stands_in_one_message_with_the_remedy() -> None:
    state = without(weights(), "mean", "std", "classify.bias") | {"fc.bias": torch.ones(4)}
    state["classify.weight"] = torch.ones(5, 4)
    with pytest.raises(ModelError) as caught:
        own_weights.fit(ours(), state, WeightsSettings(path="w.pt"))
    message = str(caught.value)
    assert "missing (3): mean, std, classify.bias;" in message
    assert "unexpected (1): fc.bias;" in message
    assert re.search(
        r"of another shape \(1\): classify.weight is \(5, 4\) and should be \(4, \d+\)\.", message
    )
    assert "`mean` and `std`" in message


def test_a_long_list_is_cut_and_counted() -> None:
    with pytest.raises(ModelError, match=r"missing \(\d\d\): .* and \d+ more"):
        own_weights.fit(ours(), {"x": torch.ones(1)}, WeightsSettings(path="w.pt"))


def test_nothing_is_put_in_place_of_a_file_that_does_not_fit() -> None:
    trainee, state = ours(), without(weights(), "mean")
    before = {key: tensor.clone() for key, tensor in trainee.state_dict().items()}
    with pytest.raises(ModelError):
        own_weights.fit(trainee, state, WeightsSettings(path="w.pt"))
    assert all(torch.equal(tensor, before[key]) for key, tensor in trainee.state_dict().items())


CHAIN = """\
study: tiny
seeds: [0]
dataset: digits
datasets: {digits: {kind: digits, image_size: 8, test_images: 40, validation_images: 20}}
architecture: {kind: cnn6, width: 0.0625}
training: {epochs: 1, optimizer: adam, learning_rate: 2e-3}
models: {net: {DEFENSE}}
attacks: {pgd: {kind: pgd, epsilons: [0.1, 0.3], steps: 3}}
suites: {papers: {attacks: [pgd], images: 40}, own: {attacks: [pgd], images: 20, view: joint}}
threats: {white_box: {setting: white_box, suite: papers}, adaptive: {setting: adaptive, suite: own}}
"""
ADAPTIVE = (", own: {attacks: [pgd], images: 20, view: joint}", ", adaptive: {setting: adaptive, suite: own}")
OUTCOMES = Path("results/tiny/outcomes/net/seed0")


def attack(model: str, *threats: tuple[str, str]) -> dict[str, bytes]:
    """Make the model and its outcomes as a workflow would, and return these."""
    text = CHAIN.replace("DEFENSE", model)
    if len(threats) == 1:
        for part in ADAPTIVE:
            text = text.replace(part, "")
    Path("config.yaml").write_text(text)
    for rule in ("prepare", "load" if "weights" in model else "train"):
        assert cli.main([rule]) == 0
    for threat, suite in threats:
        assert cli.main(["attack", f"results/tiny/adversarial/net/seed0/{suite}.safetensors"]) == 0
        assert cli.main(["evaluate", str(OUTCOMES / f"{threat}.parquet")]) == 0
    return {threat: (OUTCOMES / f"{threat}.parquet").read_bytes() for threat, _ in threats}


@needs("defenses/prototype_conformity")
def test_a_network_of_ours_that_is_exported_and_loaded_has_the_same_outcomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the byte: its file as it is, whole with class centres; and the network's weights alone, in a file of torch."""
    monkeypatch.chdir(tmp_path)
    seen: list[set[str]] = []
    engine = attack_stage.AttackEngine

    def watched(*arguments: Any, **named: Any) -> Any:
        seen.append(set(named["attack_losses"]))
        return engine(*arguments, **named)

    monkeypatch.setattr(attack_stage, "AttackEngine", watched)
    defense, both = "defense: {kind: prototype_conformity}", (("white_box", "papers"), ("adaptive", "own"))
    before = attack(defense, *both)
    shutil.copy("results/tiny/models/net/seed0/model.safetensors", "mine.safetensors")
    shutil.rmtree("results")
    assert attack(f"{defense}, weights: {{path: mine.safetensors, whole: true}}", *both) == before
    network = {
        name.removeprefix("classifier."): tensor
        for name, tensor in own_weights.read(Path("mine.safetensors"), WeightsSettings(path="x")).items()
        if name.startswith("classifier.")
    }
    torch.save({"state_dict": network}, "mine.pth")
    shutil.rmtree("results")
    assert attack(f"{defense}, weights: mine.pth", both[0]) == {"white_box": before["white_box"]}
    assert not list(Path("results").rglob("history.csv"))
    assert seen[:4] == [seen[0]] * 4
    assert "joint" in seen[0]
    assert seen[4:] == [set()], "class centres that are not in the file are nobody's to attack"
    assert re.search(r"reproof: net: \d+ of 40 clean test images are right", capsys.readouterr().err)
    network["classify.bias"] = network["classify.bias"] + 1e3 * torch.arange(10)
    torch.save(network, "mine.pth")
    shutil.rmtree("results")
    assert attack(f"{defense}, weights: mine.pth", both[0]) != {"white_box": before["white_box"]}, (
        "another file"
    )


def test_own_things_are_what_they_say() -> None:
    images, labels = own_things.stripes(40)
    assert images.shape == (40, 1, 16, 16)
    assert labels.max() == 3
