"""A network of a user's file is seen as one of ours, and left as it is."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from reproof import registry
from reproof.attacking import judge
from reproof.attacking.engine import AttackEngine
from reproof.data.dataset import DataDescription, Dataset
from reproof.errors import ModelError
from reproof.models.classifier import Classifier
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train
from tests.ours import needs
from tests.tiny_classifier import PlainDefense

pytestmark = needs("architectures/file")
DATA = DataDescription(3, 8, 8, 4, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
NETWORK = """
from torch import nn


def build(width=4):
    import blocks

    return nn.Sequential(
        nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), blocks.last(width)
    )
"""
BLOCKS = (
    "from torch import nn\n\nBIAS = {bias}\n\n\ndef last(width):\n    return nn.Linear(width, 4, bias=BIAS)\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, bias in (("a", True), ("b", False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.py").write_text(NETWORK)
        (tmp_path / name / "blocks.py").write_text(BLOCKS.format(bias=bias))
    return tmp_path


def build(path: Path, **stanza: Any) -> Classifier:
    module = registry.load("architectures", "file")
    torch.manual_seed(0)
    made = module.build(module.Settings(path=str(path), **stanza), DATA)
    assert isinstance(made, Classifier)
    return made


def images() -> torch.Tensor:
    return torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_its_answers_are_the_network_s_own(folder: Path) -> None:
    own = build(folder / "a/net.py").eval()
    network = own.weights_belong_to
    assert isinstance(network, nn.Sequential)
    assert torch.equal(own(images()), network(images()))
    logits, features = own.logits_and_features(images())
    assert torch.equal(logits, network(images()))
    assert list(features) == list(own.feature_shapes) == ["logits"]
    assert own.feature_shapes == {"logits": (4,)}


def test_images_are_normalised_as_the_entry_says_and_not_by_the_data(folder: Path) -> None:
    own = build(folder / "a/net.py", mean=[0.5, 0.25, 0.125], std=[0.5, 1, 2]).eval()
    moved = images() - torch.tensor([0.5, 0.25, 0.125]).view(1, 3, 1, 1)
    moved = moved / torch.tensor([0.5, 1, 2]).view(1, 3, 1, 1)
    torch.testing.assert_close(own(images()), own.weights_belong_to(moved))


def test_latent_features_are_the_outputs_of_the_named_modules(folder: Path) -> None:
    own = build(folder / "a/net.py", latent={"maps": "2", "pooled": "3"}).eval()
    network = own.weights_belong_to
    assert isinstance(network, nn.Sequential)
    logits, features = own.logits_and_features(images())
    assert own.feature_shapes == {"maps": (4, 6, 6), "pooled": (4,)}
    assert torch.equal(features["maps"], network[:3](images()))
    assert torch.equal(features["pooled"], network[:5](images()))
    assert torch.equal(logits, network(images()))
    assert not any(module._forward_hooks for module in own.modules()), "none is left behind"
    twin = copy.deepcopy(own)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert torch.equal(own.features(images())["pooled"], features["pooled"]), (
        "a copy writes to none but its own"
    )


def test_trying_it_leaves_it_as_it_was(folder: Path) -> None:
    network = build(folder / "a/net.py").weights_belong_to
    assert isinstance(network, nn.Sequential)
    assert all(module.training for module in network.modules())
    state = network.state_dict()
    assert int(state["1.num_batches_tracked"]) == 0
    assert torch.equal(state["1.running_mean"], torch.zeros(4))


def test_files_of_one_name_in_two_folders_are_two(folder: Path) -> None:
    before = list(sys.path)
    first, second, again = (build(folder / name / "net.py") for name in ("a", "b", "a"))
    assert len(first.weights_belong_to.state_dict()) == len(second.weights_belong_to.state_dict()) + 1
    assert first.weights_belong_to.state_dict().keys() == again.weights_belong_to.state_dict().keys()
    assert sys.path == before
    assert "blocks" not in sys.modules


def test_what_is_imported_only_while_it_answers_is_its_own_folder_s(folder: Path) -> None:
    """Also after another network was built whose file beside it has the same name."""
    for name in "ab":
        text = NETWORK.replace("    import blocks\n", "").replace("blocks.last(width)", "Late()")
        text += "\n\nclass Late(nn.Module):\n    def forward(self, maps):\n        import blocks\n\n"
        text += "        return maps if blocks.BIAS else -maps\n"
        (folder / name / "net.py").write_text(text)
    first, second = (build(folder / name / "net.py").eval() for name in "ab")
    for _ in range(2):
        assert torch.equal(first(images()), -second(images()))
    assert "blocks" not in sys.modules
    assert not {str(folder / "a"), str(folder / "b")} & set(sys.path)


def test_a_module_of_that_name_that_is_there_already_comes_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = build(folder / "a/net.py").eval()
    other = ModuleType("blocks")
    monkeypatch.setitem(sys.modules, "blocks", other)
    own(images())
    assert sys.modules["blocks"] is other


def test_what_is_installed_below_its_folder_stays_imported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the file lies beside an environment: forgotten, torchvision could not be imported again."""
    installed = folder / "a/.venv/lib"
    installed.mkdir(parents=True)
    (installed / "far_away.py").write_text("")
    monkeypatch.syspath_prepend(installed)
    (folder / "a/net.py").write_text("import far_away\n" + NETWORK)
    build(folder / "a/net.py")
    assert "far_away" in sys.modules
    del sys.modules["far_away"]


def test_a_layer_of_two_names_is_a_latent_feature_by_either(folder: Path) -> None:
    text = NETWORK.replace("return nn.Sequential(", "net = nn.Sequential(")
    (folder / "a/net.py").write_text(
        text + "    net.again = net[4]\n    net.forward = lambda x: net[5](net[:5](x))\n    return net\n"
    )
    own = build(folder / "a/net.py", latent={"pooled": "again"}).eval()
    assert own.features(images())["pooled"].shape == (5, 4)


def test_arguments_go_to_the_factory(folder: Path) -> None:
    network = build(folder / "a/net.py", arguments={"width": 6}).weights_belong_to
    assert network.state_dict()["0.weight"].shape == (6, 3, 3, 3)


def test_a_mean_for_other_images_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="mean has 1 values for 3 channels"):
        build(folder / "a/net.py", mean=[0.5], std=[0.5])


def test_its_key_is_none_that_claims_know() -> None:
    settings = registry.settings_class("architectures", "file")(path="somewhere/My-Net.2.py")
    assert settings.key("file") == "own_my_net_2"  # type: ignore[attr-defined]
    assert registry.title("architectures", "own_my_net_2") == "own network (my net 2)"
    assert registry.title("architectures", "own_") is None


def test_one_that_flattens_by_view_is_attacked_and_trained(tmp_path: Path) -> None:
    """As LeNets are written: `view` takes images that lie channels-last for an error."""
    text = """
from torch import nn


class Flat(nn.Module):
    def forward(self, images):
        return images.view(images.size(0), -1)


def build():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), Flat(), nn.Linear(72, 4))
"""
    (tmp_path / "net.py").write_text(text)
    network, labels = build(tmp_path / "net.py"), torch.arange(5) % 4
    attacker = AttackEngine(network, device="cpu", batch_size=5, seed=0, skip_misclassified=False)
    settings = registry.settings_class("attacks", "pgd").model_validate({"epsilons": [0.1], "steps": 2})
    attacker.run("pgd", settings, images(), labels, judge.classes(network, images(), 5, "cpu"))
    stored, every = (255 * images()).to(torch.uint8), torch.arange(5)
    data = Dataset("small", stored, labels, {"train": every, "validation": every, "test": every}, DATA)
    defense = PlainDefense()
    training = TrainingSettings(epochs=1, batch_size=5, learning_rate=0.01)
    train(defense, defense.build(network, DATA), data, training, seed=0, progress=False)
