"""A small network trained on scikit-learn's handwritten digits, and 64 images of which it gets most right."""

from __future__ import annotations

import functools

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn


@functools.cache
def trained() -> tuple[nn.Module, Tensor, Tensor]:
    """Return the network, frozen, and the images (64, 1, 8, 8) in [0, 1] with their labels; nobody changes them."""
    pixels, classes = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    labels = torch.tensor(classes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(256, 64), nn.ReLU(),
            nn.Linear(64, 10),
        )  # fmt: skip
        optimizer = torch.optim.Adam(net.parameters(), 3e-3)
        for _ in range(4):
            for rows in torch.randperm(1400).split(64):
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(images[rows]), labels[rows]).backward()
                optimizer.step()
    return net.eval().requires_grad_(False), images[1400:1464].contiguous(), labels[1400:1464]
