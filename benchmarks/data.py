"""What a batch costs beside the training step that it feeds: gathered from the resident uint8 images.

Prints one table of ratios to a bare training step (forward, backward, SGD), on random images of MNIST's and
CIFAR-10's number and shape: medians over repeats of this process's CPU time on one thread, interleaved, so
that a busy machine disturbs both alike.

    PYTHONPATH=src python benchmarks/data.py [--batches 20] [--repeats 9]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from reproof import registry
from reproof.data.dataset import DataDescription, to_unit
from reproof.training.augmentation import shift_and_mirror

BATCH_SIZE = 64
TARGET = 0.03
SHAPES = {"MNIST": (60_000, 1, 28, 28), "CIFAR-10": (50_000, 3, 32, 32)}
ROWS = (
    ("LeNet", {"kind": "lenet"}, "MNIST", False),
    ("CNN-6", {"kind": "cnn6"}, "MNIST", False),
    ("CNN-6", {"kind": "cnn6"}, "CIFAR-10", False),
    ("CNN-6", {"kind": "cnn6"}, "CIFAR-10", True),
    ("ResNet-20", {"kind": "resnet", "depth": 20}, "CIFAR-10", True),
)


def take(images: Tensor, labels: Tensor, indices: Tensor, augment: bool) -> tuple[Tensor, Tensor]:
    """Return a batch as the training loop makes it."""
    raw = images[indices]
    if augment:
        raw = shift_and_mirror(raw, 4, True, torch.Generator().manual_seed(0))
    return to_unit(raw).contiguous(memory_format=torch.channels_last), labels[indices]


def make_step(stanza: dict[str, Any], shape: tuple[int, ...]) -> Callable[[Tensor, Tensor], None]:
    """Return a function that takes one bare training step."""
    _, channels, height, width = shape
    data = DataDescription(channels, height, width, 10, mean=(0.5,) * channels, std=(0.25,) * channels)
    settings = registry.settings_class("architectures", stanza["kind"])(
        **{key: value for key, value in stanza.items() if key != "kind"}
    )
    network = registry.load("architectures", stanza["kind"]).build(settings, data).train()
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-6, momentum=0.9)

    def step(images: Tensor, labels: Tensor) -> None:
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def measure(
    stanza: dict[str, Any], shape: tuple[int, ...], augment: bool, count: int, repeats: int
) -> tuple[list[float], list[float]]:
    """Return milliseconds of CPU time per batch and per step, of each repeat but a first one to warm up."""
    images, labels = torch.randint(0, 256, shape, dtype=torch.uint8), torch.randint(0, 10, shape[:1])
    step = make_step(stanza, shape)
    taking, stepping = [], []
    for _ in range(repeats + 1):
        orders = torch.randperm(len(images))[: count * BATCH_SIZE].split(BATCH_SIZE)
        started = time.process_time()
        batches = [take(images, labels, order, augment) for order in orders]
        taken = time.process_time()
        for batch in batches:
            step(*batch)
        taking.append((taken - started) / count * 1000)
        stepping.append((time.process_time() - taken) / count * 1000)
    return taking[1:], stepping[1:]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="what a batch costs beside the step that it feeds")
    parser.add_argument("--batches", type=int, default=20, help="batches per repeat")
    parser.add_argument("--repeats", type=int, default=9)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"batches of {BATCH_SIZE}, one thread, median of {chosen.repeats}; target {TARGET:.1%} of a step")
    print(f"{'network':<10} {'images':<9} {'crop, mirror':<13} {'batch ms':>9} {'step ms':>9} {'share':>7}")
    for title, stanza, data, augment in ROWS:
        taking, stepping = measure(stanza, SHAPES[data], augment, chosen.batches, chosen.repeats)
        share = statistics.median(one / other for one, other in zip(taking, stepping, strict=True))
        print(
            f"{title:<10} {data:<9} {'yes' if augment else 'no':<13} {statistics.median(taking):9.3f} "
            f"{statistics.median(stepping):9.2f} {share:7.2%}"
        )


if __name__ == "__main__":
    main()
