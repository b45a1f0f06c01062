"""Our engine beside Foolbox, torchattacks and ART as their users call them: same network, same budget, one run.

Trains CNN-6 and a narrow ResNet-20 on scikit-learn's digits (seconds), runs each attack with each library in turn,
on one thread, and prints accuracy, mean distance and CPU time: medians over repeats of the ratio to the library
that stands first, measured in the same round.

    PYTHONPATH=src OMP_NUM_THREADS=1 python benchmarks/libraries.py [--images 100] [--repeats 5] [--only pgd10 jsma]
    PYTHONPATH=src OMP_NUM_THREADS=1 python benchmarks/libraries.py --cost images|epsilons|classes

torchattacks and ART are optional. They ask for old versions of other packages, so they go beside this project:

    pip install --no-deps --target DIR torchattacks adversarial-robustness-toolbox six requests urllib3 idna \
        certifi charset_normalizer tqdm
    PYTHONPATH=src:DIR OMP_NUM_THREADS=1 python benchmarks/libraries.py
"""

from __future__ import annotations

import argparse
import importlib
import math
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from reproof import registry
from reproof.attacking import engine as attacking_engine
from reproof.attacking import judge as attacking_judge
from reproof.attacking import threat_model
from reproof.data.dataset import DataDescription, Dataset, to_unit
from reproof.models import build as models_build
from reproof.settings.attack import AttackSettings
from reproof.settings.training import TrainingSettings
from reproof.settings.values import Norm
from reproof.training.loop import train

with warnings.catch_warnings():  # Foolbox 3.3.4 imports SciPy's old name of gaussian_filter
    warnings.simplefilter("ignore", DeprecationWarning)
    import foolbox

NETWORKS: dict[str, dict[str, Any]] = {
    "CNN-6": {"kind": "cnn6", "width": 0.25},
    "ResNet-20": {"kind": "resnet", "depth": 20, "width": 0.5},
}
EPSILON = 0.3
EPSILONS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
"""The papers' budgets on grey digits."""
CONSTANT, CW_STEPS = 1.0, 100
DEEPFOOL_STEPS = 50
GAMMA = 0.1
"""JSMA: share of an image's pixels that may change."""
JSMA_IMAGES = 20
Attacked = Tensor | Sequence[Tensor]
"""Attacked images, or those of several epsilons."""


@dataclass(frozen=True)
class Scene:
    """A trained network and what is attacked."""

    network: nn.Module
    images: Tensor
    labels: Tensor
    clean: Tensor
    """What the network answers to the images."""
    targets: Tensor | None = None
    """Classes that alone count as reached; None counts every wrong class."""

    def first(self, count: int) -> Scene:
        return Scene(self.network, self.images[:count], self.labels[:count], self.clean[:count])


@dataclass(frozen=True)
class Work:
    """One library's run of one attack."""

    name: str
    run: Callable[[], Attacked]
    target: float | None = None
    """At most this share of the first one's time."""


def load(name: str) -> ModuleType | None:
    """Return an optional library, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        print(f"without {name} ({error}); see the top of this file for how to install it beside the project")
        return None


def prepare(kind: dict[str, Any], data: Dataset, epochs: int, images: int) -> Scene:
    """Train a network on the digits; take test images."""
    network = {"architecture": kind, "defense": {"kind": "undefended"}}
    defense, trainee = models_build.build(network, data.description, seed=0)
    rehearsal = TrainingSettings(
        epochs=epochs,
        batch_size=64,
        optimizer="adam",
        learning_rate=2e-3,
        schedule="cosine",
        validation=False,
    )
    train(defense, trainee, data, rehearsal, seed=0, progress=False)
    stored, labels = data.select("test", images)
    unit = to_unit(stored)
    clean = attacking_judge.predict(trainee, unit, images, "cpu").argmax(1)
    return Scene(trainee.eval(), unit, labels, clean)


def engine(scene: Scene, kind: str, **settings: Any) -> Callable[[], list[Tensor]]:
    """Return our engine's run of an attack at all its points, as a study runs it."""
    declared = registry.settings_class("attacks", kind)
    assert issubclass(declared, AttackSettings)
    chosen = declared.model_validate(settings)

    def run() -> list[Tensor]:
        crafted = attacking_engine.AttackEngine(
            scene.network, seed=0, batch_size=len(scene.images), device="cpu", skip_misclassified=True
        ).run(kind, chosen, scene.images, scene.labels, scene.clean)
        return list(crafted.images.values())

    return run


def call_foolbox(scene: Scene, attack: Any, epsilons: Sequence[float | None]) -> Callable[[], list[Tensor]]:
    """Return a run as Foolbox's documentation shows it: parameters not frozen, all images."""

    def run() -> list[Tensor]:
        model = foolbox.PyTorchModel(scene.network, bounds=(0, 1), device="cpu")
        _, clipped, _ = attack(model, scene.images, scene.labels, epsilons=list(epsilons))
        forget_gradients(scene.network)
        return list(clipped)

    return run


def call_torchattacks(scene: Scene, build: Callable[[nn.Module], Any]) -> Callable[[], Tensor]:
    """Return a run as torchattacks' documentation shows it."""

    def run() -> Tensor:
        found: Tensor = build(scene.network)(scene.images, scene.labels)
        forget_gradients(scene.network)
        return found.detach()

    return run


def call_art(
    scene: Scene, build: Callable[[Any], Any], targets: Tensor | None = None, label: bool = True
) -> Callable[[], Tensor]:
    """Return a run as ART's documentation shows it. targets: classes to reach; label: tell it the true ones."""
    estimators = importlib.import_module("art.estimators.classification")
    pixels = scene.images.numpy()
    classes = None if targets is None else nn.functional.one_hot(targets, 10).numpy()
    if classes is None and label:
        classes = nn.functional.one_hot(scene.labels, 10).numpy()

    def run() -> Tensor:
        classifier = estimators.PyTorchClassifier(
            scene.network,
            nn.CrossEntropyLoss(),
            scene.images.shape[1:],
            10,
            clip_values=(0, 1),
            device_type="cpu",
        )
        found = torch.from_numpy(build(classifier).generate(pixels, classes))
        forget_gradients(scene.network)
        scene.network.eval()
        return found.float()

    return run


def forget_gradients(network: nn.Module) -> None:
    for parameter in network.parameters():
        parameter.grad = None


def pgd(scene: Scene, steps: int, share: float, torchattacks: Any, art: Any, targets: bool) -> list[Work]:
    """PGD from one random start; share: length of a step as a share of epsilon."""
    rest: dict[str, Any] = {"steps": steps, "step_size": share}
    work = [
        Work(
            "Foolbox",
            call_foolbox(scene, foolbox.attacks.LinfPGD(rel_stepsize=share, steps=steps), [EPSILON]),
        ),
        Work("ours", engine(scene, "pgd", epsilons=[EPSILON], **rest), 0.7 if targets else 1.0),
        Work(
            "ours, early_stop",
            engine(scene, "pgd", epsilons=[EPSILON], early_stop=True, **rest),
            0.5 if targets else 1.0,
        ),
    ]
    if torchattacks is not None:
        work.append(
            Work(
                "torchattacks",
                call_torchattacks(
                    scene,
                    lambda model: torchattacks.PGD(model, eps=EPSILON, alpha=share * EPSILON, steps=steps),
                ),
            )
        )
    if art is not None:
        work.append(
            Work(
                "ART",
                call_art(
                    scene,
                    lambda classifier: art.ProjectedGradientDescent(
                        classifier, eps=EPSILON, eps_step=share * EPSILON, max_iter=steps, num_random_init=1,
                        batch_size=len(scene.images), verbose=False,
                    ),
                ),
            )
        )  # fmt: skip
    return work


def several_epsilons(scene: Scene) -> list[Work]:
    """PGD-10 at six epsilons: Foolbox is called once for each, as one list of epsilons does the same work."""
    attack = foolbox.attacks.LinfPGD(rel_stepsize=0.1, steps=10)
    calls = [call_foolbox(scene, attack, [epsilon]) for epsilon in EPSILONS]
    epsilons = list(EPSILONS)
    return [
        Work("Foolbox, six runs", lambda: [call()[0] for call in calls]),
        Work("ours", engine(scene, "pgd", epsilons=epsilons)),
        Work(
            "ours, early_stop, nested",
            engine(scene, "pgd", epsilons=epsilons, early_stop=True, nested=True),
            0.45,
        ),
    ]


def carlini_wagner(scene: Scene, torchattacks: Any, art: Any) -> list[Work]:
    """C&W with one search from c = 1. ART's own optimiser has no Adam: it searches along each step's line."""
    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=1, steps=CW_STEPS, initial_const=CONSTANT, stepsize=0.01, abort_early=False
    )
    work = [
        Work("Foolbox", call_foolbox(scene, attack, [None])),
        Work("ours", engine(scene, "carlini_wagner", constants=[CONSTANT], steps=CW_STEPS), 0.8),
    ]
    if torchattacks is not None:
        work.append(
            Work(
                "torchattacks",
                call_torchattacks(
                    scene, lambda model: torchattacks.CW(model, c=CONSTANT, steps=CW_STEPS, lr=0.01)
                ),
            )
        )
    if art is not None:
        work.append(
            Work(
                "ART",
                call_art(
                    scene,
                    lambda classifier: art.CarliniL2Method(
                        classifier, binary_search_steps=1, max_iter=CW_STEPS, initial_const=CONSTANT,
                        learning_rate=0.01, batch_size=len(scene.images), verbose=False,
                    ),
                ),
            )
        )  # fmt: skip
    return work


def deepfool(scene: Scene, torchattacks: Any, art: Any) -> list[Work]:
    """DeepFool, L2, all ten classes, overshoot 0.02. torchattacks and ART work on one image at a time inside."""
    work = [
        Work(
            "Foolbox",
            call_foolbox(
                scene,
                foolbox.attacks.L2DeepFoolAttack(steps=DEEPFOOL_STEPS, candidates=10, overshoot=0.02),
                [None],
            ),
        ),
        Work("ours", engine(scene, "deepfool", steps=[DEEPFOOL_STEPS]), 0.35),
        Work("ours, contenders: null", engine(scene, "deepfool", steps=[DEEPFOOL_STEPS], contenders=None)),
    ]
    if torchattacks is not None:
        work.append(
            Work(
                "torchattacks",
                call_torchattacks(
                    scene, lambda model: torchattacks.DeepFool(model, steps=DEEPFOOL_STEPS, overshoot=0.02)
                ),
            )
        )
    if art is not None:
        work.append(
            Work(
                "ART",
                call_art(
                    scene,
                    lambda classifier: art.DeepFool(
                        classifier, max_iter=DEEPFOOL_STEPS, epsilon=0.02, nb_grads=10,
                        batch_size=len(scene.images), verbose=False,
                    ),
                    label=False,
                ),
            )
        )  # fmt: skip
    return work


def saliency(scene: Scene, torchattacks: Any, art: Any) -> list[Work]:
    """JSMA by pixels that rise to 1, towards (y + 1) mod 10, the one target that torchattacks knows.

    torchattacks has the paper's pairs, ART those by the target's logit; all may change as many pixels.
    """
    targets = (scene.labels + 1) % 10
    pairs = math.ceil(scene.images[0].numel() * GAMMA / 2)
    module = registry.load("attacks", "jsma")

    def targeted(**chosen: Any) -> Callable[[], Tensor]:
        settings = registry.settings_class("attacks", "jsma").model_validate(
            {"steps": [pairs], "theta": 1.0, "max_changes": 1, "direction": "increase", **chosen}
        )
        attack = module.build(settings, settings.points()[0])

        def run() -> Tensor:
            with attacking_judge.frozen(scene.network, channels_last=False):
                found: Tensor = attack.approach(scene.network, scene.images, targets, None)
            attacking_judge.predict(scene.network, found, len(found), "cpu")
            return found

        return run

    work = []
    if torchattacks is not None:
        work.append(
            Work(
                "torchattacks",
                call_torchattacks(scene, lambda model: torchattacks.JSMA(model, theta=1.0, gamma=GAMMA)),
            )
        )
    work += [
        Work("ours, pairs", targeted(variant="pair"), 0.1 if work else None),
        Work("ours, pairs, `target_logit`", targeted(variant="pair", saliency="target_logit")),
        Work("ours, pairs, `target_probability`", targeted(variant="pair", saliency="target_probability")),
        Work("ours, single pixels", targeted(steps=[2 * pairs])),
        Work("ours, single pixels, `both`", targeted(steps=[2 * pairs], direction="both")),
    ]
    if art is not None:
        work.append(
            Work(
                "ART",
                call_art(
                    scene,
                    lambda classifier: art.SaliencyMapMethod(
                        classifier, theta=1.0, gamma=GAMMA, batch_size=len(scene.images), verbose=False
                    ),
                    targets,
                ),
            )
        )
    return work


def spend(work: Callable[[], Attacked]) -> tuple[float, Attacked]:
    """Return the CPU seconds that some work takes, and what it made."""
    started = time.process_time()
    made = work()
    return time.process_time() - started, made


def judge(scene: Scene, attacked: Attacked, norm: Norm) -> tuple[float, float]:
    """Return the accuracy, and the mean distance of the images that are fooled and were not before.

    Where there are targets, accuracy is the share that does not reach them. An all-zero image is Foolbox's mark of a
    failure. Of several epsilons' images, the mean.
    """
    accuracies, means = [], []
    for found in [attacked] if isinstance(attacked, Tensor) else attacked:
        blank = (found == 0).flatten(1).all(dim=1)
        kept = torch.where(blank[:, None, None, None], scene.images, found.detach()).contiguous()
        predicted = attacking_judge.predict(scene.network, kept, len(kept), "cpu").argmax(1)
        right = predicted == scene.labels if scene.targets is None else predicted != scene.targets
        right &= scene.clean == scene.labels
        fooled = ~right & (scene.clean == scene.labels)
        distance = threat_model.distances(scene.images[fooled], kept[fooled])[norm].double()
        accuracies.append(float(right.double().mean()))
        means.append(float(distance.mean()) if len(distance) else math.nan)
    return statistics.mean(accuracies), statistics.mean(means)


def compare(title: str, scene: Scene, works: Sequence[Work], norm: Norm, repeats: int) -> None:
    """Run all works in turn and print their rows; times are ratios to the first."""
    rounds = [[spend(work.run) for work in works] for _ in range(repeats)]
    for number, work in enumerate(works):
        ratios = [measured[number][0] / measured[0][0] for measured in rounds]
        accuracy, distance = judge(scene, rounds[0][number][1], norm)
        target = "" if work.target is None else f"{work.target:.2f}"
        print(
            f"| {title} | {work.name} | {accuracy:.3f} | {distance:.3f} ({norm}) | {statistics.median(ratios):.2f} "
            f"| {min(ratios):.2f} | {max(ratios):.2f} | {target} |",
            flush=True,
        )


def compare_libraries(chosen: argparse.Namespace, data: Dataset) -> None:
    """Print the table of attacks and libraries."""
    torchattacks, art = load("torchattacks"), load("art.attacks.evasion")
    print(
        f"digits at {chosen.size} x {chosen.size}, {chosen.images} images, median of {chosen.repeats} ratios"
    )
    print("| attack | run | accuracy | distance of the fooled | CPU time | least | most | target |")
    print("|---|---|---|---|---|---|---|---|")
    for name, kind in NETWORKS.items():
        scene = prepare(kind, data, chosen.epochs, chosen.images)
        few = scene.first(min(JSMA_IMAGES, chosen.images))
        few = replace(few, targets=(few.labels + 1) % 10)
        tables: dict[str, Callable[[], tuple[str, Scene, list[Work], Norm]]] = {
            "pgd10": lambda s=scene: ("PGD-10", s, pgd(s, 10, 0.1, torchattacks, art, True), "linf"),
            "pgd100": lambda s=scene: ("PGD-100", s, pgd(s, 100, 0.025, torchattacks, art, False), "linf"),
            "epsilons": lambda s=scene: ("PGD-10, six epsilons", s, several_epsilons(s), "linf"),
            "cw": lambda s=scene: (f"C&W-{CW_STEPS}", s, carlini_wagner(s, torchattacks, art), "l2"),
            "deepfool": lambda s=scene: ("DeepFool", s, deepfool(s, torchattacks, art), "l2"),
            "jsma": lambda s=few: (f"JSMA, {len(s.images)} images", s, saliency(s, torchattacks, art), "l0"),
        }
        for wanted in chosen.only or tables:
            title, images, works, norm = tables[wanted]()
            compare(f"{name}, {title}", images, works, norm, chosen.repeats)


def print_costs(chosen: argparse.Namespace, data: Dataset) -> None:
    """Print how CPU time grows with images, epsilons or classes: ratios to ours at the smallest."""
    attack = foolbox.attacks.LinfPGD(rel_stepsize=0.1, steps=10)
    scene = prepare(NETWORKS["CNN-6"], data, chosen.epochs, max(chosen.images, 200))
    rows: list[tuple[str, list[Callable[[], Attacked]]]] = []
    head: list[str] = []
    if chosen.cost == "images":
        head = ["images", "ours", "ours, early_stop", "Foolbox"]
        for count in (1, 10, 50, 100, 200):
            part = scene.first(count)
            ours = [engine(part, "pgd", epsilons=[EPSILON], early_stop=early) for early in (False, True)]
            rows.append((str(count), [*ours, call_foolbox(part, attack, [EPSILON])]))
    elif chosen.cost == "epsilons":
        head = ["epsilons", "ours", "ours, early_stop, nested", "ours, FGSM", "Foolbox"]
        part = scene.first(chosen.images)
        for count in (1, 2, 4, 6):
            some = list(EPSILONS[-count:])
            ours = [
                engine(part, "pgd", epsilons=some),
                engine(part, "pgd", epsilons=some, early_stop=True, nested=True),
                engine(part, "fgsm", epsilons=some),
            ]
            rows.append((str(count), [*ours, call_foolbox(part, attack, some)]))
    else:
        head = ["classes", "ours, PGD-10", "Foolbox, PGD-10", "ours, DeepFool", "Foolbox, DeepFool"]
        for classes in (10, 50, 200):
            part = untrained(classes, scene.images[: chosen.images // 2])
            rows.append(
                (
                    str(classes),
                    [
                        engine(part, "pgd", epsilons=[EPSILON]),
                        call_foolbox(part, attack, [EPSILON]),
                        engine(part, "deepfool", steps=[10], candidates=None),
                        call_foolbox(
                            part, foolbox.attacks.L2DeepFoolAttack(steps=10, candidates=None), [None]
                        ),
                    ],
                )
            )
    measured: list[list[list[float]]] = [[[] for _ in calls] for _, calls in rows]
    for _ in range(chosen.repeats):
        for row, (_, calls) in enumerate(rows):
            for column, call in enumerate(calls):
                measured[row][column].append(spend(call)[0])
    unit = statistics.median(measured[0][0])
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for (name, _), columns in zip(rows, measured, strict=True):
        print(
            f"| {name} | " + " | ".join(f"{statistics.median(times) / unit:.2f}" for times in columns) + " |"
        )


def untrained(classes: int, images: Tensor) -> Scene:
    """Return CNN-6 with random weights and so many classes, and its own answers as labels."""
    size = images.shape[-1]
    data = DataDescription(channels=1, height=size, width=size, classes=classes, mean=(0.3,), std=(0.3,))
    settings = registry.settings_class("architectures", "cnn6")(width=0.25)
    torch.manual_seed(0)
    network = registry.load("architectures", "cnn6").build(settings, data).eval()
    answers = attacking_judge.predict(network, images, len(images), "cpu").argmax(1)
    return Scene(network, images, answers, answers)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="our engine beside other libraries, in one run")
    parser.add_argument("--size", type=int, default=28, help="height and width of the digits")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--only", nargs="+", choices=("pgd10", "pgd100", "epsilons", "cw", "deepfool", "jsma")
    )
    parser.add_argument(
        "--cost", choices=("images", "epsilons", "classes"), help="growth instead of the libraries"
    )
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    module = registry.load("datasets", "digits")
    data = module.prepare(module.Settings(image_size=chosen.size), Path("unused"))
    if chosen.cost is None:
        compare_libraries(chosen, data)
    else:
        print_costs(chosen, data)


if __name__ == "__main__":
    main()
