"""What a defense costs: an epoch of each beside an undefended one, on CNN-6 and random images.

Prints one table of medians over interleaved repeats of this process's CPU time on one thread, so that a busy
machine disturbs all rows alike. `bare` is the undefended epoch in plain PyTorch over batches made beforehand:
what the training loop adds to it is the loop's own overhead. Every defense runs with its default settings. One
whose settings speak of epochs or rounds trains several epochs, of which only the last count: its main phase,
behind any time of cross-entropy alone, as long as one round. One that trains beside others has one frozen network
beside it. The last rows are the undefended network on adversarial examples, as a study's `training.adversarial`
asks for them.

`passes` is what the settings declare (with the adversarial examples' part), `over` the ratio divided by it;
above the target of 1.05 the row has a mark.

    PYTHONPATH=src python benchmarks/training.py [NAME ...] [--width 0.25] [--images 512] [--repeats 5]
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
from reproof.data.dataset import DataDescription, Dataset, to_unit
from reproof.errors import ReproofError
from reproof.models.classifier import Classifier
from reproof.models.defense import Defense
from reproof.settings.adversarial_training import AdversarialTraining
from reproof.settings.defense import DefenseSettings
from reproof.settings.training import TrainingSettings
from reproof.training.loop import train

DESCRIPTION = DataDescription(channels=1, height=28, width=28, classes=10, mean=(0.13,), std=(0.31,))
BARE, BASELINE = "bare", "undefended"
LEARNING_RATE, BATCH_SIZE = 1e-6, 64
TARGET = 1.05
PHASED_EPOCHS, ROUND_EPOCHS = 10, 4
HELD_OUT = 10
EXAMPLES: dict[str, dict[str, Any]] = {
    "fgsm": {"epsilon": 0.1},
    "pgd": {"epsilon": 0.1, "steps": 10},
    "carlini_wagner": {"steps": 10},
}
Run = Callable[[], float]
"""Trains, and returns the seconds of one epoch."""


def build_classifier(width: float) -> Classifier:
    settings = registry.settings_class("architectures", "cnn6")(width=width)
    classifier: Classifier = registry.load("architectures", "cnn6").build(settings, DESCRIPTION)
    return classifier


def make_data(count: int) -> Dataset:
    """Return so many random images to train on, and a few for the choices that a method makes."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count + HELD_OUT, 1, 28, 28), generator=generator).to(torch.uint8)
    everything = torch.arange(count + HELD_OUT)
    splits = {"train": everything[:count], "validation": everything[count:], "test": everything[:0]}
    return Dataset("random", images, everything % DESCRIPTION.classes, splits, DESCRIPTION)


def settings_of(name: str) -> DefenseSettings:
    """Return a defense's default settings, with rounds that fit into what is measured."""
    declared = registry.settings_class("defenses", name)
    fitting = {"epochs_per_round": ROUND_EPOCHS}
    settings = declared(**{key: value for key, value in fitting.items() if key in declared.model_fields})
    if not isinstance(settings, DefenseSettings):
        raise TypeError(f"{name}: Settings derives from DefenseSettings")
    return settings


def epoch_of(
    name: str, settings: DefenseSettings, width: float, data: Dataset, adversarial: AdversarialTraining | None
) -> Run:
    """Return a function that trains a defense by the loop; its seconds are those of its last epochs."""
    phased = any("epoch" in field or "round" in field for field in type(settings).model_fields)
    epochs, measured = (PHASED_EPOCHS, ROUND_EPOCHS) if phased else (1, 1)
    training = TrainingSettings(
        epochs=epochs,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        validation=False,
        adversarial=adversarial,
    )

    def run() -> float:
        torch.manual_seed(0)
        defense: Defense[Any] = registry.load_class("defenses", name, Defense)(settings)
        begun = note_when_epochs_begin(defense)
        networks = [build_classifier(width) for _ in range(settings.networks)]
        classifier = networks[0] if len(networks) == 1 else defense.join(networks, DESCRIPTION)
        if settings.learns_beside:
            beside = build_classifier(width).to(memory_format=torch.channels_last)
            defense.peers = [beside.requires_grad_(False).eval()]
        trainee = defense.build(classifier, DESCRIPTION)
        train(defense, trainee, data, training, seed=0, progress=False)
        return (begun[-1] - begun[-1 - measured]) / measured

    return run


def note_when_epochs_begin(defense: Defense[Any]) -> list[float]:
    """Return a list to which training adds this process's CPU time before each epoch and behind the last."""
    begun: list[float] = []

    def noting(hook: Callable[..., None]) -> Callable[..., None]:
        def noted(*arguments: Any) -> None:
            begun.append(time.process_time())
            hook(*arguments)

        return noted

    for name in ("begin_epoch", "finish"):
        setattr(defense, name, noting(getattr(defense, name)))
    return begun


def bare_epoch(width: float, data: Dataset) -> Run:
    """Return a function that trains one epoch in plain PyTorch, on batches made beforehand."""
    classifier = build_classifier(width).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(classifier.parameters(), lr=LEARNING_RATE, momentum=0.9)
    chosen, truth = data.select("train")
    images = to_unit(chosen).contiguous(memory_format=torch.channels_last)
    batches = list(zip(images.split(BATCH_SIZE), truth.split(BATCH_SIZE), strict=True))

    def run() -> float:
        started = time.process_time()
        for images, labels in batches:
            loss = nn.functional.cross_entropy(classifier(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return time.process_time() - started

    return run


def rows(names: list[str], width: float, data: Dataset) -> dict[str, tuple[float | None, Run]]:
    """Return each row's declared passes, and what it measures."""
    found: dict[str, tuple[float | None, Run]] = {BARE: (None, bare_epoch(width, data))}
    for name in (BASELINE, *(name for name in names if name != BASELINE)):
        settings = settings_of(name)
        found[name] = (settings.relative_cost(), epoch_of(name, settings, width, data, None))
    plain = settings_of(BASELINE)
    for attack, options in EXAMPLES.items():
        adversarial = AdversarialTraining.model_validate({"attack": attack, **options})
        run = epoch_of(BASELINE, plain, width, data, adversarial)
        found[f"on half {attack}"] = (plain.relative_cost() + adversarial.relative_cost(), run)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="an epoch of each defense beside an undefended one")
    known = registry.names("defenses")
    parser.add_argument("names", nargs="*", metavar="NAME", help="defenses; default: all")
    parser.add_argument("--width", type=float, default=0.25, help="of CNN-6")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    try:
        for name in chosen.names:
            registry.require("defenses", name)
    except ReproofError as error:
        parser.error(str(error))
    measured = rows(chosen.names or known, chosen.width, make_data(chosen.images))
    ratios: dict[str, list[float]] = {name: [] for name in measured}
    seconds: dict[str, list[float]] = {name: [] for name in measured}
    failures: dict[str, str] = {}
    for repeat in range(chosen.repeats + 1):
        for name, (_, run) in measured.items():
            if name in failures:
                continue
            try:
                spent = run()
            except ReproofError as error:
                failures[name] = str(error)
                continue
            if repeat > 0:
                seconds[name].append(spent)
    for name, spent_each in seconds.items():
        pairs = zip(spent_each, seconds[BASELINE], strict=False)
        ratios[name] = [one / base for one, base in pairs]
    print(f"CNN-6, width {chosen.width:g}, {chosen.images} images, batches of {BATCH_SIZE}, one thread")
    print(f"{'':26}{'seconds':>9}{'ratio':>8}{'from':>8}{'to':>8}{'passes':>8}{'over':>7}")
    for name, (passes, _) in measured.items():
        if name in failures:
            print(f"{name:26} was not measured: {failures[name]}")
            continue
        middle = statistics.median(ratios[name])
        line = f"{name:26}{statistics.median(seconds[name]):9.3f}{middle:8.2f}"
        line += f"{min(ratios[name]):8.2f}{max(ratios[name]):8.2f}"
        if passes is not None:
            line += f"{passes:8.2f}{middle / passes:7.2f}{' *' if middle / passes > TARGET else ''}"
        print(line)
    print(f"* more than {TARGET:g} times what its settings declare")


if __name__ == "__main__":
    main()
