"""Hold the composed attack against attacks written once more, on a finished study's networks: a table, slowly.

    python -m tests.strength [MODEL ...]     # of config.yaml; all of them where none is named

For each model and budget: how many of the first 100 test images are right, what is left by the composed attack with its
own defaults, and how many of these then fall to PGD on cross-entropy, on the margin and towards each class
(tests/plain_attacks.py) and pyautoattack's standard evaluation, taken together. Only what ours leaves is attacked: ours
leaves at most so many more than the plain attacks would. They know the logits that have a gradient, and each image
counts as the deployed model answers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from pyautoattack import AutoAttack
from torch import Tensor

from reproof import registry
from reproof.attacking import judge
from reproof.attacking.engine import AttackEngine
from reproof.data import prepared
from reproof.data.dataset import to_unit
from reproof.models import build
from reproof.models.defense import Trainee
from reproof.plan import facts
from reproof.plan.jobs import Plan
from reproof.study import reader
from tests.plain_attacks import pgd

IMAGES, BUDGETS, BATCH = 100, (0.1, 0.3), 128


def table(names: Sequence[str]) -> Iterator[str]:
    """Yield a line for each model: right, and at each budget what ours leaves and how many of these fall to the plain attacks."""
    plan = Plan(reader.load([Path("config.yaml")]))
    for name in names or plan.study.models:
        model = plan.study.models[name]
        data = prepared.read_dataset(Path(plan.data_path(model.dataset)))
        defense, trainee = build.load(
            facts.network(model), data.description, Path(plan.make(name, 0).outputs["model"])
        )
        stored, labels = data.select("test", IMAGES)
        images = to_unit(stored)
        clean = judge.classes(trainee, images, BATCH, "cpu")
        attacker = AttackEngine(
            trainee,
            device="cpu",
            batch_size=BATCH,
            seed=0,
            skip_misclassified=True,
            attack_losses=defense.attack_losses(trainee),
        )
        settings = registry.settings_class("attacks", "strongest").model_validate({"epsilons": BUDGETS})
        ours = attacker.run("strongest", settings, images, labels, clean)
        cells = []
        for epsilon in BUDGETS:
            left = ours.predictions[f"epsilon={epsilon}"] == labels
            taken = int(left.sum()) - plain(trainee, images[left], labels[left], epsilon)
            cells.append(f"{int(left.sum()):5d} {taken:5d}")
        yield f"{name:32s} {int((clean == labels).sum()):4d}  " + "  ".join(cells)


def plain(trainee: Trainee, images: Tensor, labels: Tensor, epsilon: float) -> int:
    """Return how many images are left, each attack on what the ones before it left."""
    if not len(images):
        return 0
    trainee.eval().requires_grad_(False)

    def decide(shown: Tensor) -> Tensor:
        return judge.classes(trainee, shown, BATCH, "cpu")

    left = decide(images) == labels
    for loss, restarts in (("ce", 10), ("margin", 10), ("all", 1)):
        if not left.any():
            return 0
        rows = left.nonzero().flatten()
        left[rows] = pgd(
            trainee, decide, images[rows], labels[rows], epsilon, steps=100, restarts=restarts, loss=loss
        )
    rows = left.nonzero().flatten()
    if len(rows):
        library = AutoAttack(trainee, norm="Linf", eps=epsilon, seed=0, device="cpu")
        found, *_ = library.run_standard_evaluation(images[rows], labels[rows], batch_size=BATCH)
        left[rows] = decide(found) == labels[rows]
    return int(left.sum())


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(f"{'model':32s} {'right':>4s}  " + "  ".join(f"left taken at {e}" for e in BUDGETS), flush=True)
    for line in table(sys.argv[1:]):
        print(line, flush=True)
