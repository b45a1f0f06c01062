"""Somebody's own network, weights, images and plug-ins, outside the package, for tests that attack them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

NETWORK = '''"""Networks of somebody's own."""

import torchvision
from blocks import small_network


def small(classes=4):
    return small_network(classes)


def resnet18(classes=2):
    return torchvision.models.resnet18(num_classes=classes)
'''
BLOCKS = """from torch import nn


def small_network(classes):
    return nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 8 * 8, classes))
"""


def small_network(seed: int = 0) -> nn.Sequential:
    """Return what NETWORK's `small` returns, with weights of its own."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 8 * 8, 4))


def stripes(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images (N, 1, 16, 16) of four kinds of stripes in noise, and their labels."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    y, x = np.mgrid[0:16, 0:16]
    waves = np.stack([np.sin(d) * 0.4 + 0.5 for d in (y, x, x + y, x - y)])
    images = 0.6 * waves[labels] + 0.4 * generator.random((count, 16, 16))
    return (images * 255).round().astype(np.uint8)[:, None], labels.astype(np.int64)


def train(network: nn.Module, images: np.ndarray, labels: np.ndarray, steps: int = 60) -> nn.Module:
    """Return the network, trained somewhere else than here."""
    inputs, targets = torch.from_numpy(images).float() / 255, torch.from_numpy(labels)
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimiser.step()
    return network.eval()


def write_photographs(folder: Path, count: int, side: int = 40, mode: str = "RGB") -> None:
    """Write images of two classes, `day` and `night`, one folder each."""
    generator = np.random.default_rng(3)
    for name, light in (("day", 150), ("night", 20)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            shape = (side, side, 3) if mode == "RGB" else (side, side)
            pixels = generator.integers(light, light + 100, shape, dtype=np.uint8)
            Image.fromarray(pixels, mode=mode).save(folder / name / f"{number}.png")


def write_code(folder: Path) -> None:
    """Write the file of networks and the one that it imports."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "network.py").write_text(NETWORK)
    (folder / "blocks.py").write_text(BLOCKS)
