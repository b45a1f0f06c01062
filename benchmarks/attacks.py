"""What an attack costs, in passes forward and backward to the input: the engine beside Foolbox as called.

Prints one table of ratios to steps x (forward + backward to the input, parameters frozen), on CNN-6: medians
over repeats of this process's CPU time on one thread, each beside the bare passes just before and just after,
so that a busy machine disturbs both alike.

    PYTHONPATH=src python benchmarks/attacks.py [--width 0.25] [--images 50] [--repeats 7]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from reproof import registry
from reproof.attacking import engine as attacking_engine
from reproof.attacking import judge
from reproof.data.dataset import DataDescription

with warnings.catch_warnings():  # Foolbox 3.3.4 imports SciPy's old name of gaussian_filter
    warnings.simplefilter("ignore", DeprecationWarning)
    import foolbox

PGD_STEPS, CW_STEPS = 40, 100
EPSILON, CONSTANT = 0.3, 1.0
TARGET = 1.05


def build_classifier(width: float) -> nn.Module:
    """Return CNN-6 for 28 x 28 grey images with random weights, which cost as much as trained ones."""
    settings = registry.settings_class("architectures", "cnn6")(width=width)
    data = DataDescription(channels=1, height=28, width=28, classes=10, mean=(0.13,), std=(0.31,))
    return registry.load("architectures", "cnn6").build(settings, data).eval()


def maximise(classifier: nn.Module, images: Tensor, labels: Tensor, steps: int) -> None:
    """Take the passes that no attack can do without, and nothing else."""
    for parameter in classifier.parameters():
        parameter.requires_grad_(False)
    for _ in range(steps):
        leaf = images.clone().requires_grad_()
        torch.autograd.grad(nn.functional.cross_entropy(classifier(leaf), labels, reduction="sum"), leaf)
    for parameter in classifier.parameters():
        parameter.requires_grad_(True)


def maximise_channels_last(classifier: nn.Module, images: Tensor, labels: Tensor, steps: int) -> None:
    """Take the same passes in the memory format that the engine attacks in."""
    copied = copy.deepcopy(classifier).to(memory_format=torch.channels_last)
    maximise(copied, images.contiguous(memory_format=torch.channels_last), labels, steps)


def attack(
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor,
    clean: Tensor,
    kind: str,
    channels_last: bool | None = None,
) -> None:
    """Run one attack by the engine."""
    declared = registry.settings_class("attacks", kind)
    if kind == "pgd":
        settings = declared(epsilons=[EPSILON], steps=PGD_STEPS)
    else:
        settings = declared(constants=[CONSTANT], steps=CW_STEPS)
    attacking_engine.AttackEngine(
        classifier,
        seed=0,
        batch_size=len(images),
        device="cpu",
        skip_misclassified=True,
        channels_last=channels_last,
    ).run(kind, settings, images, labels, clean)


def call_foolbox(classifier: nn.Module, images: Tensor, labels: Tensor, kind: str) -> None:
    """Run one attack as Foolbox's documentation shows, parameters not frozen."""
    if kind == "pgd":
        attack, epsilons = foolbox.attacks.LinfPGD(rel_stepsize=0.1, steps=PGD_STEPS), [EPSILON]
    else:
        attack = foolbox.attacks.L2CarliniWagnerAttack(
            binary_search_steps=1, steps=CW_STEPS, initial_const=CONSTANT, abort_early=False
        )
        epsilons = [None]
    attack(foolbox.PyTorchModel(classifier, bounds=(0, 1), device="cpu"), images, labels, epsilons=epsilons)
    for parameter in classifier.parameters():
        parameter.grad = None


def spend(work: Callable[[], None]) -> float:
    """Return the CPU seconds that some work takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def measure(work: dict[str, tuple[int, Callable[[], None]]], repeats: int) -> dict[str, list[float]]:
    """Return each task's cost per step beside one of the first task's, which is run just before and just after it."""
    steps, bare = next(iter(work.values()))
    ratios: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, (own, task) in work.items():
            before, cost, after = spend(bare), spend(task) / own, spend(bare)
            ratios[name].append(2 * cost * steps / (before + after))
    return ratios


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="what an attack costs beside its bare passes")
    parser.add_argument("--width", type=float, default=0.25, help="CNN-6's width (the paper's: 1)")
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=7)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    classifier = build_classifier(chosen.width)
    images = torch.rand(chosen.images, 1, 28, 28)
    clean = judge.predict(classifier, images, chosen.images, "cpu").argmax(1)
    half = torch.where(torch.arange(len(images)) % 2 == 0, clean, (clean + 1) % 10)

    def engine(kind: str, labels: Tensor, channels_last: bool | None) -> Callable[[], None]:
        return lambda: attack(classifier, images, labels, clean, kind, channels_last)

    bare = f"bare forward and backward x {PGD_STEPS}"
    work: dict[str, tuple[int, float | None, Callable[[], None]]] = {
        bare: (PGD_STEPS, None, lambda: maximise(classifier, images, clean, PGD_STEPS)),
        f"bare, channels-last, x {PGD_STEPS}": (
            PGD_STEPS,
            None,
            lambda: maximise_channels_last(classifier, images, clean, PGD_STEPS),
        ),
        f"engine, PGD-{PGD_STEPS}": (PGD_STEPS, TARGET, engine("pgd", clean, None)),
        f"engine, PGD-{PGD_STEPS}, plain memory format": (PGD_STEPS, TARGET, engine("pgd", clean, False)),
        f"engine, PGD-{PGD_STEPS}, half misclassified": (PGD_STEPS, None, engine("pgd", half, None)),
        f"Foolbox as called, PGD-{PGD_STEPS}": (
            PGD_STEPS,
            None,
            lambda: call_foolbox(classifier, images, clean, "pgd"),
        ),
        f"engine, C&W-{CW_STEPS}": (CW_STEPS, TARGET, engine("carlini_wagner", clean, None)),
        f"engine, C&W-{CW_STEPS}, plain memory format": (
            CW_STEPS,
            TARGET,
            engine("carlini_wagner", clean, False),
        ),
        f"engine, C&W-{CW_STEPS}, half misclassified": (CW_STEPS, None, engine("carlini_wagner", half, None)),
        f"Foolbox as called, C&W-{CW_STEPS}": (
            CW_STEPS,
            None,
            lambda: call_foolbox(classifier, images, clean, "carlini_wagner"),
        ),
    }
    maximise(classifier, images, clean, 5)
    ratios = measure({name: (steps, task) for name, (steps, _, task) in work.items()}, chosen.repeats)
    print(f"CNN-6, width {chosen.width}, {chosen.images} images, one thread, median of {chosen.repeats}")
    print(f"{'work':<44} {'ratio':>6} {'least':>6} {'most':>6} {'target':>7}")
    for name, values in ratios.items():
        target = "" if work[name][1] is None else f"{work[name][1]:.2f}"
        print(
            f"{name:<44} {statistics.median(values):6.3f} {min(values):6.3f} {max(values):6.3f} {target:>7}"
        )


if __name__ == "__main__":
    main()
