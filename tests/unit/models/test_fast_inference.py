"""A frozen network's cheaper passes: the same outputs and gradients, and nothing of them left behind."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from reproof import registry
from reproof.attacking import engine, judge
from reproof.data.dataset import DataDescription
from reproof.models.classifier import Classifier
from reproof.models.fast_inference import _FrozenPReLU, cheaper
from reproof.settings.attack import AttackSettings
from tests.ours import cases_here, needs

Network = TypeVar("Network", bound=nn.Module)

NETWORKS: list[tuple[str, dict[str, Any], int]] = [
    ("cnn6", {"width": 1 / 8}, 1),
    ("cnn6", {"width": 1 / 8}, 3),
    ("resnet", {"depth": 20, "width": 1 / 4}, 1),
    ("resnet", {"depth": 20, "width": 1 / 4}, 3),
    ("resnet", {"depth": 11, "block": "bottleneck", "hidden": 64, "width": 1 / 4}, 3),
    ("resnet", {"depth": 14, "pre_activation": True, "width": 1 / 4}, 1),
    ("resnet", {"depth": 18, "stem": "imagenet", "stem_pool": True, "width": 1 / 16}, 3),
    ("lenet", {}, 1),
    ("vgg", {"depth": 11, "width": 1 / 16}, 3),
    ("vgg", {"depth": 11, "width": 1 / 16, "batch_norm": False}, 1),
    ("wide_resnet", {"depth": 10, "widening": 1, "width": 1 / 2}, 3),
    ("dkd_mnist", {}, 1),
    ("dkd_cifar10", {"width": 1 / 8}, 3),
]
NETWORKS = cases_here("architectures", NETWORKS)


def build(kind: str, stanza: dict[str, Any], channels: int) -> Classifier:
    """Return a network in evaluation mode whose statistics, factors and slopes are like nobody's default."""
    declared = registry.settings_class("architectures", kind)
    known = {key: value for key, value in stanza.items() if key in declared.model_fields}
    data = DataDescription(channels, 28, 28, 10, (0.3,) * channels, (0.4,) * channels)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network: Classifier = registry.load("architectures", kind).build(declared(**known), data)
        unsettle(network)
    return network.eval()


def unsettle(network: nn.Module) -> None:
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.PReLU):
                layer.weight.uniform_(-0.5, 1.5)
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                layer.running_mean.normal_(0, 0.3)
                layer.running_var.uniform_(0.5, 2)
                if layer.affine:
                    layer.weight.uniform_(0.5, 1.5)
                    layer.bias.normal_(0, 0.3)


def draw(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(2))


def freeze(network: Network) -> Network:
    network.eval().requires_grad_(False)
    return network


def passed(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor, set[str]]:
    """Return the outputs, a curved loss's gradient to the images, and the names of the graph's operations."""
    leaf = images.clone().requires_grad_()
    outputs = network(leaf)
    weights = torch.linspace(-1, 1, outputs.numel()).reshape(outputs.shape)
    (gradient,) = torch.autograd.grad((outputs * weights + outputs.tanh()).sum(), leaf)
    seen, queue = set(), [outputs.grad_fn]
    while queue:
        node = queue.pop()
        if node is not None and node not in seen:
            seen.add(node)
            queue += [following for following, _ in node.next_functions]
    return outputs.detach(), gradient, {type(node).__name__ for node in seen}


def assert_near(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert found.shape == expected.shape
    assert expected.abs().max() > 0
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


def compare(network: nn.Module, images: Tensor) -> tuple[set[str], set[str]]:
    """Assert that outputs and gradients agree; return the operations before and now."""
    outputs, gradient, before = passed(network, images)
    with cheaper(network):
        found, slope, now = passed(network, images)
    assert_near(found, outputs, 1e-5)
    assert_near(slope, gradient, 1e-4)
    assert not any("forward" in vars(layer) for layer in network.modules())
    return before, now


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("kind", "stanza", "channels"), NETWORKS)
def test_logits_and_gradients_are_the_same(
    kind: str, stanza: dict[str, Any], channels: int, memory: torch.memory_format, monkeypatch: Any
) -> None:
    monkeypatch.setattr("reproof.models.fast_inference.PART", 1)
    network = build(kind, stanza, channels)
    freeze(network)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.clone(memory_format=memory)
    images = draw(5, channels, 28, 28).contiguous(memory_format=memory)
    before, now = compare(network, images)
    joined = {"resnet": not stanza.get("pre_activation"), "vgg": stanza.get("batch_norm", True)}
    gains = kind == "cnn6" or joined.get(kind, False)
    assert (now != before) == gains
    assert not gains or not now & {"NativeBatchNormBackward0", "PreluKernelBackward0"}


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("slopes", [1, 6])
def test_a_prelu_is_the_same_to_the_bit(slopes: int, memory: torch.memory_format) -> None:
    layer = nn.PReLU(slopes)
    unsettle(layer)
    freeze(layer)
    # More than one part of `_FrozenPReLU`, the last one smaller; and zeros, where the derivative is the slope.
    maps = (draw(11, 6, 64, 64) - 0.5).contiguous(memory_format=memory)
    maps[:, :, ::3] = 0
    before, now = passed(layer, maps), None
    with cheaper(layer):
        now = passed(layer, maps)
    assert torch.equal(now[0], before[0])
    assert torch.equal(now[1], before[1])
    assert now[0].stride() == before[0].stride()
    assert now[2] != before[2]
    compare(layer, draw(700, 6, 6, 6).flatten(2) - 0.5)


def test_small_maps_and_those_that_want_no_gradient_keep_their_prelu() -> None:
    layer = freeze(nn.PReLU(6))
    before, now = compare(layer, draw(7, 6, 5) - 0.5)
    assert now == before
    large = draw(11, 6, 64, 64) - 0.5
    with cheaper(layer), pytest.MonkeyPatch.context() as patch:
        patch.setattr(_FrozenPReLU, "apply", None)
        layer(large)
        with torch.no_grad():
            layer(large.requires_grad_())
        with pytest.raises(TypeError):
            layer(large)


def test_a_prelu_differentiates_twice() -> None:
    maps = (draw(2, 3, 4, 4).double() - 0.5).requires_grad_()
    slope = torch.tensor([0.2, -0.4, 1.3], dtype=torch.double)[:, None, None]
    assert torch.autograd.gradgradcheck(lambda x: _FrozenPReLU.apply(x**2 - 0.1, slope), (maps,))


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"eps": 0.1}])
@pytest.mark.parametrize("bias", [True, False])
def test_a_batch_norm_goes_into_the_convolution_before_it(options: dict[str, Any], bias: bool) -> None:
    layer = nn.BatchNorm2d(5, **options)
    unsettle(layer)
    network = freeze(nn.Sequential(nn.Conv2d(4, 5, 3, padding="same", stride=1, bias=bias), layer))
    images = draw(4, 4, 6, 7)
    before, now = compare(network, images)
    assert before - now == {"NativeBatchNormBackward0"}
    with cheaper(network), torch.no_grad():
        found = network(images.requires_grad_())
    assert torch.equal(found, network(images)), "without a gradient it costs more than it saves"
    alone, before = compare(freeze(nn.Sequential(layer)), draw(4, 5, 6, 7))
    assert alone == before


class Halved(nn.PReLU):
    """Not what its parent is."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) / 2


class Doubled(nn.BatchNorm2d):
    """Not what its parent is."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * 2


class Reversed(nn.Sequential):
    """Not what its parent is."""

    def forward(self, input: Tensor) -> Tensor:
        for layer in reversed(list(self)):
            input = layer(input)
        return input


@pytest.mark.parametrize(
    "network",
    [Halved(3), nn.Sequential(nn.Conv2d(4, 3, 3), Doubled(3)), Reversed(nn.Tanh(), nn.Conv2d(4, 3, 3))],
)
def test_subclasses_keep_their_own(network: nn.Module) -> None:
    before, now = compare(freeze(network), draw(2, 3 if isinstance(network, Halved) else 4, 8, 8) - 0.5)
    assert now == before


def test_parameters_that_want_a_gradient_get_it() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3)
    ).eval()
    unsettle(network)
    images = draw(3, 1, 9, 9).requires_grad_()
    for name, chosen in network.named_parameters():
        network.requires_grad_(False)
        chosen.requires_grad_(True)
        (expected,) = torch.autograd.grad(network(images).tanh().sum(), chosen)
        with cheaper(network):
            (found,) = torch.autograd.grad(network(images).tanh().sum(), chosen)
        assert expected.abs().max() > 0, name
        assert_near(found, expected, 1e-4)


def test_batch_norms_in_training_mode_use_and_update_their_statistics() -> None:
    norm = nn.BatchNorm2d(4)
    network = freeze(nn.Sequential(nn.Conv2d(1, 4, 3), norm))
    norm.train()
    images = draw(3, 1, 9, 9)
    expected = network(images)
    assert norm.running_mean is not None
    expected_mean = norm.running_mean.clone()
    norm.reset_running_stats()
    with cheaper(network):
        torch.testing.assert_close(network(images), expected)
    torch.testing.assert_close(norm.running_mean, expected_mean)
    assert norm.running_mean.abs().max() > 0


@pytest.mark.parametrize("watched", [0, 1])
def test_hooks_hear_what_they_heard(watched: int) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4), nn.Sequential(nn.Tanh()))
    unsettle(network)
    freeze(network)
    heard: list[Tensor] = []
    for index in (watched, 2, 3):
        network[index].register_forward_hook(lambda layer, given, answer: heard.append(answer.detach()))
    images = draw(3, 1, 9, 9)
    network(images)
    with cheaper(network):
        network(images)
    assert len(heard) == 6
    for before, now in zip(heard[:3], heard[3:], strict=True):
        torch.testing.assert_close(now, before)


def test_a_hook_may_change_what_a_batch_norm_is_given() -> None:
    network = freeze(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)))
    network[0].register_forward_hook(lambda layer, given, answer: answer.relu() * 3)
    compare(network, draw(3, 1, 9, 9))


class Twice(nn.Module):
    """Uses its layers twice and one without the other."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2))
        self.slope = nn.PReLU(2)

    def forward(self, images: Tensor) -> Tensor:
        once = self.slope(self.pair(self.slope(self.pair(images))))
        summed: Tensor = once + self.pair[0](images) + functional.relu(self.pair[1](images))
        return summed


def test_layers_that_are_used_more_than_once() -> None:
    network = Twice()
    unsettle(network)
    compare(freeze(network), draw(3, 2, 9, 9))


@needs("architectures/resnet")
def test_nothing_is_kept_between_passes() -> None:
    """A network whose weights change while it is attacked is asked as it is."""
    network = freeze(build("resnet", {"depth": 8, "width": 1 / 4}, 1))
    images = draw(3, 1, 28, 28)
    with cheaper(network):
        network(images)
        for parameter in network.parameters():
            parameter.data.mul_(1.1)
        found = network(images)
    assert_near(found, network(images), 1e-5)


def test_a_copy_made_meanwhile_has_weights_of_its_own() -> None:
    network = freeze(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4)))
    images = draw(3, 1, 9, 9)
    with cheaper(network):
        other = copy.deepcopy(network)
        for parameter in other.parameters():
            parameter.data.mul_(3)
        assert not torch.allclose(other(images), network(images))


def test_other_kinds_of_numbers_and_wrong_shapes_are_left_to_the_layers() -> None:
    network = freeze(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4)))
    compare(network.double(), draw(3, 1, 9, 9).double())
    for bad in (draw(3, 1, 9, 9), draw(1, 9, 9).double(), draw(3, 2, 9, 9).double()):
        with cheaper(network), pytest.raises((RuntimeError, ValueError)):
            network(bad)
    with torch.autocast("cpu", dtype=torch.bfloat16), cheaper(network.float()):
        assert network(draw(3, 1, 9, 9)).dtype == torch.bfloat16
    slopes = torch.func.vmap(torch.func.grad(lambda image: network(image[None]).tanh().sum()))
    expected = slopes(draw(3, 1, 9, 9))
    with cheaper(network):
        torch.testing.assert_close(slopes(draw(3, 1, 9, 9)), expected)


@needs("architectures/resnet")
def test_all_is_restored_after_an_error() -> None:
    network = freeze(build("resnet", {"depth": 8, "width": 1 / 4}, 1))
    own = network.modules
    kept = nn.PReLU.forward.__get__(network)
    special = nn.PReLU()
    vars(special)["forward"] = kept
    network.add_module("special", special)
    with pytest.raises(RuntimeError, match="broken"), cheaper(network), cheaper(network):
        assert sum("forward" in vars(layer) for layer in own()) > 10
        raise RuntimeError("broken")
    assert [layer for layer in own() if "forward" in vars(layer)] == [special]
    assert vars(special)["forward"] is kept


# In the engine.


@pytest.fixture(scope="module")
def trained() -> tuple[Classifier, Tensor, Tensor]:
    """A small CNN-6 that tells ten noisy patterns apart, and images it has not seen."""
    network = build("cnn6", {"width": 1 / 8}, 1)
    for layer in network.modules():
        if isinstance(layer, nn.PReLU):
            nn.init.constant_(layer.weight, 0.25)
    noise = torch.Generator().manual_seed(3)
    patterns = torch.rand(10, 1, 28, 28, generator=noise)

    def batch(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(10, (count,), generator=noise)
        shown = patterns[labels] * 0.4 + 0.3 + torch.randn(count, 1, 28, 28, generator=noise) * 0.1
        return shown.clamp(0, 1), labels

    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(40):
        images, labels = batch(64)
        optimizer.zero_grad()
        torch.autograd.backward(functional.cross_entropy(network(images), labels))
        optimizer.step()
    optimizer.zero_grad()
    return network, *batch(100)


def craft(network: nn.Module, images: Tensor, labels: Tensor) -> engine.AttackResult:
    settings = registry.settings_class("attacks", "pgd").model_validate({"epsilons": [0.005, 0.01, 0.02]})
    assert isinstance(settings, AttackSettings)
    clean = judge.predict(network, images, 50, "cpu").argmax(dim=1)
    options: dict[str, Any] = {"seed": 0, "batch_size": 50, "device": "cpu"}
    return engine.AttackEngine(network, skip_misclassified=False, **options).run(
        "pgd", settings, images, labels, clean
    )


def test_pgd_ends_where_it_ended(
    trained: tuple[Classifier, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, images, labels = trained
    assert (judge.predict(network, images, 50, "cpu").argmax(dim=1) == labels).float().mean() > 0.9
    now = craft(network, images, labels)
    monkeypatch.setattr(engine, "cheaper", lambda network: nullcontext())
    before = craft(network, images, labels)
    accuracies = []
    for name, predictions in before.predictions.items():
        accuracies.append(float((predictions == labels).float().mean()))
        assert float((now.predictions[name] == labels).float().mean()) == pytest.approx(
            accuracies[-1], abs=0.01
        )
        assert (now.predictions[name] == predictions).float().mean() >= 0.99
        moved = (now.images[name] - before.images[name]).abs()
        assert float((moved > 1e-5).float().mean()) < 0.01
    assert any(0.1 < accuracy < 0.9 for accuracy in accuracies), accuracies


def test_the_engine_climbs_cheaply_and_judges_the_network_as_it_is(
    trained: tuple[Classifier, Tensor, Tensor],
) -> None:
    network, images, labels = trained
    seen: list[tuple[bool, bool]] = []
    hook = network.register_forward_pre_hook(
        lambda layer, given: seen.append(
            (
                given[0].requires_grad,
                all("forward" in vars(m) for m in layer.modules() if type(m) is nn.PReLU),
            )
        )
    )
    craft(network, images, labels)
    hook.remove()
    assert set(seen) == {(True, True), (False, False)}
    assert not any("forward" in vars(layer) for layer in network.modules())


def test_kernels_of_one_channel_do_not_leave_the_fast_format(
    trained: tuple[Classifier, Tensor, Tensor],
) -> None:
    network, images, labels = trained
    formats: set[bool] = set()

    def note(layer: nn.Module, given: Any, answer: Tensor) -> None:
        if answer.requires_grad:
            formats.add(answer.is_contiguous(memory_format=torch.channels_last))

    (first, *_) = (m for m in network.modules() if isinstance(m, nn.Conv2d))
    hook = first.register_forward_hook(note)
    craft(network, images, labels)
    hook.remove()
    assert formats == {True}
