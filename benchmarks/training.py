"""What a defense costs: an epoch of each beside an undefended one, on CNN-6 and random images.

Prints one table of medians over interleaved repeats of this process's CPU time on one thread, so that a busy
machine disturbs all rows alike. `bare` is the undefended epoch in plain PyTorch over batches made beforehand:
what the training loop adds to it is the loop's own overhead. Every defense runs with its default settings;
where it has a time of cross-entropy alone, that time is over.

    PYTHONPATH=src python benchmarks/training.py [--width 0.25] [--images 512] [--repeats 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from reproof import registry
from reproof.classifier import Classifier
from reproof.data import DataDescription, Dataset, to_unit
from reproof.defense import Defense
from reproof.training import train
from reproof.training_settings import TrainingSettings

DESCRIPTION = DataDescription(channels=1, height=28, width=28, classes=10, mean=(0.13,), std=(0.31,))
BASELINE = "undefended"
LEARNING_RATE, BATCH_SIZE = 1e-6, 64


def build_classifier(width: float) -> Classifier:
    settings = registry.settings_class("architectures", "cnn6")(width=width)
    classifier: Classifier = registry.load("architectures", "cnn6").build(settings, DESCRIPTION)
    return classifier


def make_data(count: int) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 1, 28, 28), generator=generator).to(torch.uint8)
    everything = torch.arange(count)
    splits = {"train": everything, "validation": everything[:0], "test": everything[:0]}
    return Dataset("random", images, everything % DESCRIPTION.classes, splits, DESCRIPTION)


def epoch_of(name: str, width: float, data: Dataset) -> Callable[[], Any]:
    """Return a function that trains one epoch of a defense by the loop."""
    declared = registry.settings_class("defenses", name)
    settings = declared(**({"warmup_epochs": 0} if "warmup_epochs" in declared.model_fields else {}))
    defense = registry.load_class("defenses", name, Defense)(settings)
    trainee = defense.build(build_classifier(width), DESCRIPTION)
    training = TrainingSettings(
        epochs=1, batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE, validation=False, gradient_clip=None
    )
    return lambda: train(defense, trainee, data, training, seed=0, progress=False)


def bare_epoch(width: float, data: Dataset) -> Callable[[], None]:
    """Return a function that trains one epoch in plain PyTorch, on batches made beforehand."""
    classifier = build_classifier(width).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(classifier.parameters(), lr=LEARNING_RATE, momentum=0.9)
    images = to_unit(data.images).contiguous(memory_format=torch.channels_last)
    batches = list(zip(images.split(BATCH_SIZE), data.labels.split(BATCH_SIZE), strict=True))

    def run() -> None:
        for images, labels in batches:
            loss = nn.functional.cross_entropy(classifier(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description="an epoch of each defense beside an undefended one")
    parser.add_argument("--width", type=float, default=0.25, help="of CNN-6")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = make_data(chosen.images)
    rows = {"bare": bare_epoch(chosen.width, data)}
    rows |= {name: epoch_of(name, chosen.width, data) for name in registry.names("defenses")}
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for repeat in range(chosen.repeats + 1):
        for name, run in rows.items():
            started = time.process_time()
            run()
            if repeat > 0:
                seconds[name].append(time.process_time() - started)
    print(f"CNN-6, width {chosen.width:g}, {chosen.images} images, batches of {BATCH_SIZE}, one thread")
    print(f"{'':24}{'seconds':>10}{'ratio':>8}{'from':>8}{'to':>8}")
    for name, measured in seconds.items():
        ratios = [one / base for one, base in zip(measured, seconds[BASELINE], strict=True)]
        middle = statistics.median(ratios)
        print(
            f"{name:24}{statistics.median(measured):10.3f}{middle:8.2f}{min(ratios):8.2f}{max(ratios):8.2f}"
        )


if __name__ == "__main__":
    main()
