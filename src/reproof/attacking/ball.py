"""Balls of L-infinity and of L2 around images: putting images inside, uniform points, the steepest step."""

from __future__ import annotations

import torch
from torch import Tensor

from reproof.attacking.image_noise import ImageNoise
from reproof.settings.values import Norm

EDGE = 1 - 1e-6
"""How far towards its ends an interval of uniform numbers is used where an end would become infinite."""


def project(clean: Tensor, moved: Tensor, norm: Norm, epsilon: float | Tensor) -> Tensor:
    """Return images (N, C, H, W) put into the balls around the clean ones, and then into [0, 1].

    Neither takes an image out of the other: clipped to [0, 1] it comes nearer to its clean one. In L2 that is not the
    nearest point that is inside of both. epsilon: of all, or one for each image (N,). ValueError for another norm than
    linf and l2.
    """
    change = moved - clean
    if norm == "linf":
        if isinstance(epsilon, Tensor):
            return (clean + change.clamp(-_each(epsilon), _each(epsilon))).clamp(0, 1)
        return (clean + change.clamp(-epsilon, epsilon)).clamp(0, 1)
    if norm != "l2":
        raise ValueError(f"there are balls of linf and l2, not of {norm}")
    # In float64: an image of many pixels would otherwise leave the ball by rounding.
    lengths = change.flatten(1).double().norm(dim=1)
    shrink = (epsilon / lengths.clamp(min=torch.finfo(torch.float32).tiny)).clamp(max=1)
    inside = clean + _each(shrink.float()) * change
    return torch.where(_each(shrink < 1), inside, moved).clamp(0, 1)


def steepest(gradients: Tensor, norm: Norm) -> Tensor:
    """Return the step of length 1 in the norm that raises a linear loss most (N, C, H, W); 0 for a gradient of zero.

    linf: the gradient's sign. l2: the gradient over its L2 norm. ValueError for another norm.
    """
    if norm == "linf":
        return gradients.sign()
    if norm != "l2":
        raise ValueError(f"there are steps in linf and l2, not in {norm}")
    # Over the largest entry first: squares of tiny numbers would vanish.
    largest = gradients.abs().amax(dim=(1, 2, 3), keepdim=True)
    scaled = gradients / torch.where(largest > 0, largest, 1.0)
    lengths = scaled.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
    return scaled / torch.where(lengths > 0, lengths, 1.0)


def uniform(noise: ImageNoise, like: Tensor, norm: Norm, draw: int) -> Tensor:
    """Return a uniform point of the ball of radius 1 around zero for each image, shaped like the images (N, C, H, W).

    l2: the first D coordinates of a uniform point on the sphere in D + 2 dimensions, D being the image's values
    (Voelker, Gosmann and Stewart 2017). draw: another point for each number. ValueError for another norm.
    """
    if norm == "linf":
        return noise.uniform(like, draw)
    if norm != "l2":
        raise ValueError(f"there are balls of linf and l2, not of {norm}")
    values = like[0].numel() if len(like) else 0
    flat = noise.uniform(like.new_empty(len(like), values + 2), draw)
    normal = torch.erfinv(flat * EDGE)
    lengths: Tensor = torch.linalg.vector_norm(normal, dim=1, keepdim=True)
    return (normal[:, :values] / lengths).reshape(like.shape)


def _each(numbers: Tensor) -> Tensor:
    """Return one number per image (N,) as (N, 1, 1, 1)."""
    return numbers[:, None, None, None]
