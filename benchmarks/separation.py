"""What Latent Space Separation costs, and how right it is: sets with a known margin, and networks' features.

Prints the CPU seconds of one thread, the memory that it takes beside the latents, the margin, its relative error
where the margin is known, and the gap between the bounds that every answer comes with. The features are those of
`dkd_mnist` for 16 x 16 digits, trained here for some seconds, on noisy copies of the digits: of networks trained
apart, of one and itself, and between: one and itself a step later or mixed with 0.1 % of another, which nearly
overlap and take longest, and networks trained apart with their means moved together, which overlap.

    PYTHONPATH=src OMP_NUM_THREADS=1 python benchmarks/separation.py [--images 10000] [--size 200] [--steps 300]
"""

from __future__ import annotations

import argparse
import copy
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reproof import registry
from reproof.data.dataset import Dataset
from reproof.geometry.latent_separation import separation, total
from reproof.models.classifier import Classifier

Array = NDArray[np.float64]
NOISE = 0.2


def slabs(count: int, size: int, width: float) -> tuple[Array, Array]:
    """Return clouds behind two parallel planes, `width` apart, turned and moved: the margin is the width."""
    rng = np.random.default_rng(0)
    clouds = rng.normal(size=(2, count, size))
    for cloud, side in zip(clouds, (1, -1), strict=True):
        cloud[:, 0] = side * (np.abs(cloud[:, 0]) + width / 2)
        cloud[:size, 0] = side * width / 2
        cloud[size - 1, 1:] = -cloud[: size - 1, 1:].sum(axis=0)  # the faces' means are opposite each other
    turn = np.linalg.qr(rng.normal(size=(size, size)))[0]
    first, second = clouds @ turn + rng.normal(size=size)
    return first, second


def grazing(count: int, size: int, distance: float) -> tuple[Array, Array]:
    """Return normal clouds whose middles lie so far apart that their hulls nearly meet."""
    first, second = np.random.default_rng(1).normal(size=(2, count, size))
    second[:, 0] += distance
    return first, second


def train(classifier: Classifier, data: Dataset, steps: int, seed: int) -> None:
    """Train in place on noisy digits."""
    torch.manual_seed(seed)
    optimiser = torch.optim.Adam(classifier.parameters(), 1e-3)
    classifier.train()
    for _ in range(steps):
        rows = data.splits["train"][torch.randint(len(data.splits["train"]), (64,))]
        images = data.images[rows].float() / 255
        images = (images + NOISE * torch.randn_like(images)).clamp(0, 1)
        loss = torch.nn.functional.cross_entropy(classifier(images), data.labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    classifier.eval()


def networks(steps: int) -> tuple[dict[str, Classifier], Dataset]:
    """Return three networks trained apart and the first one further trained, and the digits."""
    dataset = registry.load("datasets", "digits")
    data: Dataset = dataset.prepare(registry.settings_class("datasets", "digits")(image_size=16), Path())
    architecture = registry.load("architectures", "dkd_mnist")
    found = {}
    for seed, name in enumerate(("first", "second", "third")):
        torch.manual_seed(seed)
        found[name] = architecture.build(architecture.Settings(), data.description)
        train(found[name], data, steps, seed)
    found["further"] = copy.deepcopy(found["first"])
    train(found["further"], data, 1, 9)
    return found, data


@torch.no_grad()
def latents(classifier: Classifier, data: Dataset, count: int) -> Array:
    """Return the last layer's features of noisy digits, float32, the same digits for every network."""
    generator = torch.Generator().manual_seed(1)
    rows = torch.randint(len(data.images), (count,), generator=generator)
    noise = NOISE * torch.randn(count, *data.images.shape[1:], generator=generator)
    images = (data.images[rows].float() / 255 + noise).clamp(0, 1)
    parts = [classifier.features(part)["fc2"] for part in images.split(500)]
    return torch.cat(parts).numpy()


def report(name: str, work: Callable[[], tuple[float, float]], known: float | None = None) -> None:
    """Print a row. work: returns a margin and its gap."""
    started = time.process_time()
    margin, gap = work()
    seconds = time.process_time() - started
    tracemalloc.start()
    work()
    memory = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    error = "" if known is None else f"{abs(margin / known - 1) if known else abs(margin):.1e}"
    print(f"{name:<44} {seconds:8.2f} {memory:8.0f} {margin:12.6g} {error:>9} {gap:9.1e}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="time, memory and error of Latent Space Separation")
    parser.add_argument("--images", type=int, default=10000, help="rows of each set")
    parser.add_argument("--size", type=int, default=200, help="dimensions of the drawn sets")
    parser.add_argument("--steps", type=int, default=300, help="of each network's training")
    chosen = parser.parse_args()
    torch.set_num_threads(1)

    def pair(first: Array, second: Array) -> Callable[[], tuple[float, float]]:
        def work() -> tuple[float, float]:
            found = separation(first, second)
            return found.margin, found.gap

        return work

    print(f"{chosen.images} rows a set, one thread")
    print(f"{'sets':<44} {'seconds':>8} {'MiB':>8} {'margin':>12} {'error':>9} {'gap':>9}")
    for width in (1.0, 1e-3, 1e-6):
        first, second = slabs(chosen.images, chosen.size, width)
        report(f"slabs {width:g} apart", pair(first, second), width)
    report("a cloud and itself", pair(first, first), 0.0)
    for distance in (5.0, 5.5, 6.0, 8.0):
        report(f"clouds, middles {distance:g} apart", pair(*grazing(chosen.images, chosen.size, distance)))
    trained, data = networks(chosen.steps)
    features = {name: latents(classifier, data, chosen.images) for name, classifier in trained.items()}
    report("networks trained apart", pair(features["first"], features["second"]))
    report("a network and itself, one step later", pair(features["first"], features["further"]))
    mixed = 0.999 * features["first"] + 0.001 * features["second"]
    report("a network and itself, mixed with another", pair(features["first"], mixed))
    centred = [features[name] - features[name].mean(axis=0) for name in ("first", "second")]
    report("networks trained apart, centred", pair(*centred))
    report("a network and itself", pair(features["first"], features["first"]), 0.0)

    def ensemble(*names: str) -> Callable[[], tuple[float, float]]:
        def work() -> tuple[float, float]:
            found = total({name: features[name] for name in names})
            return found.margin, max(own.gap for own in found.members.values())

        return work

    report("Eq. 6, three networks trained apart", ensemble("first", "second", "third"))
    report("Eq. 6, the same one step later among them", ensemble("first", "second", "further"))


if __name__ == "__main__":
    main()
