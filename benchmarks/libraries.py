"""Our engine beside Foolbox, torchattacks, ART, adv-lib, secml-torch and pyautoattack: one network, one budget.

Trains LeNet, CNN-6 and a narrow ResNet-20 on scikit-learn's digits (seconds), runs each attack with each library in
turn, on one thread, and prints one table: what accuracy is left, how far the fooled images lie, and processor time as a
ratio to ours, measured in the same round. Timed is all from the clean images to the classes of the attacked ones. At
the end: of each attack on each network the fastest other library, and our time as a share of its.

    PYTHONPATH=src OMP_NUM_THREADS=1 python benchmarks/libraries.py [--only pgd10 cw] [--networks CNN-6] [--images 20]

Foolbox and pyautoattack are requirements of this project. The others are optional and lie beside it, since they ask for
other versions of what it has; adv-lib's visdom, which draws curves, can be left out:

    pip install --no-deps --target DIR adv-lib secml-torch torchattacks adversarial-robustness-toolbox six requests \
        urllib3 idna certifi charset_normalizer
    PYTHONPATH=src:DIR OMP_NUM_THREADS=1 python benchmarks/libraries.py
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import logging
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from compared import ours
from compared.runs import APGD_STEPS, CW_STEPS, FMN_STEPS, Attacked, Run
from networks import NETWORKS, Scene, prepare
from torch import Tensor

from reproof import registry
from reproof.attacking import judge, threat_model
from reproof.settings.values import Norm

OTHERS = ("foolbox", "torchattacks", "art", "adv_lib", "secml", "pyautoattack")
SLOW = 4
"""A library that takes so many times our time in the first round is not run again."""
FEW = 15
"""One image in so many is left, or is not, by chance: random starts differ."""
NEAR = 1.02
"""Mean distances that differ by so much are the same."""


@dataclass(frozen=True)
class Comparison:
    """An attack that is compared."""

    title: str
    norm: Norm
    minimal: bool = False
    """Whether it looks for the nearest image that fools: then distances have to be equal as well."""
    images: float = 1
    """Share of the images that it is run on."""
    budget: float = 1
    """Share of the network's L-infinity budget that it is run at."""
    rounds: int = 3
    """More for what is short."""


COMPARISONS = {
    "pgd10": Comparison("PGD-10", "linf", rounds=9),
    "pgd100": Comparison("PGD-100", "linf"),
    "pgd10-l2": Comparison("PGD-10, L2", "l2", rounds=9),
    "pgd100-l2": Comparison("PGD-100, L2", "l2"),
    "epsilons": Comparison("PGD-10, six epsilons", "linf"),
    "apgd": Comparison(f"APGD-{APGD_STEPS}", "linf"),
    "cw": Comparison(f"C&W-{CW_STEPS}, L2", "l2", minimal=True),
    "deepfool": Comparison("DeepFool, L2", "l2", minimal=True),
    "fmn": Comparison(f"FMN-{FMN_STEPS}, L2", "l2", minimal=True),
    "jsma": Comparison("JSMA", "l0", minimal=True, images=1 / 2),
    "autoattack": Comparison("AutoAttack", "linf", images=1 / 4, budget=1.5, rounds=2),
}


@dataclass(frozen=True)
class Row:
    """What one library's runs came to."""

    run: Run
    left: float
    """Share of the images that are right, or of those that do not reach their targets."""
    distance: float
    """Mean of the fooled images."""
    ratios: tuple[float, ...]
    """Processor time as multiples of ours, a round each."""
    note: str
    """Why it is not counted; empty where it is."""


def load(name: str) -> ModuleType | None:
    """Return a library's runs, or None where it is not installed."""
    try:
        return importlib.import_module(f"compared.with_{name}")
    except ModuleNotFoundError as error:
        print(f"without {name} ({error}); the top of this file says how to install it beside the project")
        return None


def spend(work: Callable[[], Attacked]) -> tuple[float, Attacked]:
    """Return the processor seconds that some work takes, and what it made."""
    started = time.process_time()
    made = work()
    return time.process_time() - started, made


def measure(scene: Scene, attacked: Attacked, norm: Norm) -> tuple[float, float]:
    """Return the share of images that is left, and the mean distance of the fooled ones.

    An all-zero image is Foolbox's mark of a failure. Of several epsilons' images, the mean.
    """
    shares, means = [], []
    for found in [attacked] if isinstance(attacked, Tensor) else attacked:
        blank = (found == 0).flatten(1).all(dim=1)
        kept = torch.where(blank[:, None, None, None], scene.images, found.detach()).contiguous()
        classes = judge.classes(scene.network, kept, len(kept), "cpu")
        fooled = classes != scene.labels if scene.targets is None else classes == scene.targets
        distance = threat_model.distances(scene.images[fooled], kept[fooled])[norm].double()
        shares.append(1 - float(fooled.double().mean()))
        means.append(float(distance.mean()) if len(distance) else math.nan)
    return statistics.mean(shares), statistics.mean(means)


def compare(comparison: Comparison, scene: Scene, runs: Sequence[Run]) -> list[Row]:
    """Run everything in turn, some rounds long; the first run is the one that the others are compared with."""
    firsts = [spend(run.work) for run in runs]
    results = [measure(scene, attacked, comparison.norm) for _, attacked in firsts]
    seconds = [[took] for took, _ in firsts]
    again = [number for number, (took,) in enumerate(seconds) if took <= SLOW * seconds[0][0]]
    for turn in range(1, comparison.rounds):
        start = turn % len(again)  # another one begins, as who comes after whom may matter
        for number in again[start:] + again[:start]:
            seconds[number].append(spend(runs[number].work)[0])
    rows = []
    for run, spent, result in zip(runs, seconds, results, strict=True):
        ratios = tuple(took / own for took, own in zip(spent, seconds[0], strict=False))
        note = run.differs or unequal(comparison, len(scene.images), result, results[0])
        rows.append(Row(run, *result, ratios, note))
    return rows


def unequal(comparison: Comparison, images: int, found: tuple[float, float], own: tuple[float, float]) -> str:
    """Return how a library's result differs from ours by more than chance; empty where it does not.

    found, own: share of the images that is left, and mean distance.
    """
    by_chance = max(1, images // FEW) / images + 1e-9
    if abs(found[0] - own[0]) > by_chance:
        return "leaves more" if found[0] > own[0] else "leaves less"
    if comparison.minimal and not 1 / NEAR <= found[1] / own[1] <= NEAR:
        return "ends farther" if found[1] > own[1] else "ends nearer"
    return ""


def table(network: str, comparison: Comparison, rows: Sequence[Row]) -> None:
    """Print the lines of one attack on one network."""
    for row in rows:
        ratios = (statistics.median(row.ratios), min(row.ratios), max(row.ratios))
        times = " | ".join(f"{ratio:.2f}" for ratio in ratios)
        print(
            f"| {network} | {comparison.title} | {row.run.name} | {row.left:.2f} "
            f"| {row.distance:.3f} ({comparison.norm}) | {times} | {row.note} |",
            flush=True,
        )


def verdict(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the fastest other library that is counted, and our time as a share of its: median, least and most.

    What reaches more than ours is counted too: it would be no excuse to be slower than that.
    """
    counted = [
        row
        for row in rows
        if not row.run.name.startswith("ours") and row.note in ("", "leaves less", "ends nearer")
    ]
    if not counted:
        return "none is comparable", "", "", ""
    fastest = min(counted, key=lambda row: statistics.median(row.ratios))
    shares = [1 / ratio for ratio in fastest.ratios]
    name = fastest.run.name + (f" ({fastest.note})" if fastest.note else "")
    return name, *(f"{share:.2f}" for share in (statistics.median(shares), min(shares), max(shares)))


def compare_all(chosen: argparse.Namespace) -> None:
    """Print the table of all attacks and libraries, then the summary."""
    module = registry.load("datasets", "digits")
    data = module.prepare(module.Settings(image_size=chosen.size), Path("unused"))
    others = [library for library in map(load, OTHERS) if library is not None]
    versions = ", ".join(f"{other.NAME} {importlib.metadata.version(other.PACKAGE)}" for other in others)
    print(
        f"torch {torch.__version__}, {versions}; digits of {chosen.size} x {chosen.size}, {chosen.images} images"
    )
    print(
        "\n| network | attack | library | left | distance | time to ours | least | most | not counted, as it |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    summary = []
    for name in chosen.networks:
        whole = prepare(NETWORKS[name], data, chosen.epochs, chosen.images)
        for key in chosen.only:
            comparison = COMPARISONS[key]
            scene = whole.first(math.ceil(comparison.images * len(whole.images)), comparison.budget)
            runs = [run for library in (ours, *others) for run in library.runs(scene).get(key, [])]
            judged = scene.towards_next() if key == "jsma" else scene
            rows = compare(comparison, judged, runs)
            table(name, comparison, rows)
            summary.append((name, comparison.title, *verdict(rows)))
    print("\n| network | attack | fastest other library | ours to it | least | most |")
    print("|---|---|---|---|---|---|")
    for line in summary:
        print("| " + " | ".join(line) + " |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="our engine beside other libraries, in one run")
    parser.add_argument("--size", type=int, default=16, help="height and width of the digits")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=6, help="of training")
    usual = [name for name in COMPARISONS if name != "pgd100-l2"]
    parser.add_argument("--only", nargs="+", choices=COMPARISONS, default=usual)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    torch.set_num_threads(1)
    logging.getLogger("auto-attack").disabled = True
    started = time.process_time()
    compare_all(parser.parse_args())
    print(f"\n{(time.process_time() - started) / 60:.1f} minutes of processor time")


if __name__ == "__main__":
    main()
