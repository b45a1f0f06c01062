"""Batches that have no room on the device are halved, and the results are those of smaller batches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from reproof import registry
from reproof.attacking import judge
from reproof.attacking.engine import AttackEngine, AttackResult
from reproof.batch_size import GPU_IMAGES, BatchSize, at_first, in_batches
from reproof.errors import ReproofError
from tests.tiny_classifier import TinyClassifier


class Cramped(TinyClassifier):
    """A network on a device that has room for so many images at once; with a gradient, for half of them.

    patience: how often it finds room for more, as a device does before it is full.
    """

    room = 4
    patience = 0

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        if len(images) > self.room // (2 if images.requires_grad else 1):
            self.patience -= 1
            if self.patience < 0:
                raise torch.OutOfMemoryError("CUDA out of memory")
        return super().logits_and_features(images)


@pytest.fixture
def network() -> Cramped:
    torch.manual_seed(0)
    return Cramped().eval()


IMAGES = torch.rand(11, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_predictions_go_on_in_halves_and_say_so(network: Cramped, capsys: pytest.CaptureFixture[str]) -> None:
    found = judge.classes(network, IMAGES, 10, "cpu")
    network.room = 100
    assert torch.equal(found, judge.classes(network, IMAGES, 4, "cpu"))
    said = capsys.readouterr().err
    assert "predictions: 10 images at once have no room on the device; from here on 5" in said
    assert "5 images at once have no room on the device; from here on 2" in said


def test_a_batch_once_halved_stays_so() -> None:
    asked: list[int] = []

    def call(images: Tensor) -> Tensor:
        asked.append(len(images))
        if len(images) > 3:
            raise torch.OutOfMemoryError
        return images.sum(dim=1)

    rows = torch.arange(20.0).view(10, 2)
    found = in_batches(call, rows, 6, "cpu", "sums")
    assert asked == [6, 3, 3, 3, 1]
    assert torch.equal(torch.cat(found), rows.sum(dim=1))
    assert in_batches(lambda images: len(images), rows[:0], 6, "cpu", "sums") == [0]


def test_a_gpu_is_shown_more_at_once() -> None:
    assert at_first(256, torch.device("cuda", 1)) == GPU_IMAGES
    assert at_first(9000, torch.device("cuda", 1)) == 9000
    assert at_first(256, torch.device("cpu")) == 256


def test_where_one_image_has_no_room_it_ends() -> None:
    def call(images: Tensor) -> Tensor:
        raise torch.OutOfMemoryError

    with pytest.raises(ReproofError, match="sums: not even one image has room"):
        in_batches(call, torch.ones(3, 2), 2, "cpu", "sums")
    size = BatchSize(2, "sums")
    size.halve(torch.OutOfMemoryError(), 2)
    assert (size.images, size.halved) == (1, True)


@pytest.mark.parametrize(("kind", "passes"), [("fgsm", 1), ("pgd", 7)])
def test_an_attack_in_halves_makes_and_counts_what_it_does_in_small_batches(
    network: Cramped, kind: str, passes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images, classes, tallies: what a batch had counted before it had no room, at whichever pass, is not counted twice."""
    declared = registry.settings_class("attacks", kind)
    few = {"steps": 2} if "steps" in declared.model_fields else {}
    settings = declared(epsilons=[0.05, 0.3], **few)
    network.room = 100
    labels = judge.classes(network, IMAGES, 11, "cpu")

    def crafted(room: int, batch_size: int, patience: int = 0) -> AttackResult:
        network.room, network.patience = room, patience
        engine = AttackEngine(
            network, device="cpu", batch_size=batch_size, seed=0, skip_misclassified=True, channels_last=False
        )
        return engine.run(kind, settings, IMAGES, labels, labels)

    expected = crafted(100, 2)
    assert expected.batch_size is None
    assert expected.gradients.taken > 0
    for patience in range(passes):
        found = crafted(5, 8, patience)
        assert found.batch_size in (1, 2)
        assert "images at once have no room on the device" in capsys.readouterr().err
        for name, images in expected.images.items():
            torch.testing.assert_close(found.images[name], images)
            assert torch.equal(found.predictions[name], expected.predictions[name])
        assert (found.unchanged, found.attacked) == (expected.unchanged, expected.attacked)
        assert found.zero_gradients == expected.zero_gradients
        assert found.gradients == expected.gradients
