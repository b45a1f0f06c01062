"""How our engine's cost grows with images, epsilons and classes, beside Foolbox's, in one run on one thread.

PYTHONPATH=src OMP_NUM_THREADS=1 python benchmarks/growth.py images|epsilons|classes
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from compared.ours import engine
from compared.runs import EPSILONS, Attacked
from compared.with_foolbox import call, foolbox
from libraries import spend
from networks import NETWORKS, Scene, prepare, untrained

from reproof import registry

EPSILON = 0.3
Table = tuple[list[str], list[tuple[str, list[Callable[[], Attacked]]]]]
"""The head, and of each line its name and what is timed."""


def by_images(scene: Scene, images: int) -> Table:
    """PGD-10 on ever more images."""
    rows: list[tuple[str, list[Callable[[], Attacked]]]] = []
    for count in (1, 10, 50, 100, 200):
        part = scene.first(count)
        ours = [engine(part, "pgd", epsilons=[EPSILON], early_stop=early) for early in (False, True)]
        rows.append((str(count), [*ours, call(part, pgd(), [EPSILON])]))
    return ["images", "ours", "ours, early_stop", "Foolbox"], rows


def by_epsilons(scene: Scene, images: int) -> Table:
    """PGD-10 at ever more epsilons."""
    part, rows = scene.first(images), []
    for count in (1, 2, 4, 6):
        some = list(EPSILONS[-count:])
        calls: list[Callable[[], Attacked]] = [
            engine(part, "pgd", epsilons=some),
            engine(part, "pgd", epsilons=some, early_stop=True, nested=True),
            engine(part, "fgsm", epsilons=some),
            call(part, pgd(), some),
        ]
        rows.append((str(count), calls))
    return ["epsilons", "ours", "ours, early_stop, nested", "ours, FGSM", "Foolbox"], rows


def by_classes(scene: Scene, images: int) -> Table:
    """PGD-10 and ten steps of DeepFool on untrained networks of ever more classes.

    Ours as it is by default: after the first step, four contenders alone.
    """
    rows = []
    for classes in (10, 50, 200):
        part = untrained(classes, scene.images[: images // 2])
        deepfool = foolbox.attacks.L2DeepFoolAttack(steps=10, candidates=None)
        calls: list[Callable[[], Attacked]] = [
            engine(part, "pgd", epsilons=[EPSILON]),
            call(part, pgd(), [EPSILON]),
            engine(part, "deepfool", steps=[10], candidates=None),
            call(part, deepfool),
        ]
        rows.append((str(classes), calls))
    return [
        "classes",
        "ours, PGD-10",
        "Foolbox, PGD-10",
        "ours, DeepFool, 4 contenders",
        "Foolbox, DeepFool",
    ], rows


def pgd() -> foolbox.attacks.LinfPGD:
    return foolbox.attacks.LinfPGD(rel_stepsize=0.1, steps=10)


TABLES: dict[str, Callable[[Scene, int], Table]] = {
    "images": by_images,
    "epsilons": by_epsilons,
    "classes": by_classes,
}


def timed(rows: Sequence[tuple[str, Sequence[Callable[[], Attacked]]]], rounds: int) -> list[list[float]]:
    """Return the median of each call's processor seconds, in interleaved rounds."""
    times: list[list[list[float]]] = [[[] for _ in calls] for _, calls in rows]
    for _ in range(rounds):
        for (_, calls), columns in zip(rows, times, strict=True):
            for work, spent in zip(calls, columns, strict=True):
                spent.append(spend(work)[0])
    return [[statistics.median(spent) for spent in columns] for columns in times]


def main() -> None:
    """Measure and print ratios to ours at the smallest."""
    parser = argparse.ArgumentParser(description="how cost grows, ours and Foolbox's")
    parser.add_argument("by", choices=TABLES)
    parser.add_argument("--size", type=int, default=16, help="height and width of the digits")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    module = registry.load("datasets", "digits")
    data = module.prepare(module.Settings(image_size=chosen.size), Path("unused"))
    scene = prepare(NETWORKS["CNN-6"], data, epochs=6, images=max(chosen.images, 200))
    head, rows = TABLES[chosen.by](scene, chosen.images)
    medians = timed(rows, chosen.rounds)
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for (name, _), columns in zip(rows, medians, strict=True):
        print(f"| {name} | " + " | ".join(f"{median / medians[0][0]:.2f}" for median in columns) + " |")


if __name__ == "__main__":
    main()
