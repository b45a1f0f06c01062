"""Geometry of latent features: class centroids and their spread, the forces between them, how far classes lie
apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Law = Literal["eq2", "eq3"]

_RESTARTS = 4
_LLOYD_STEPS = 100


@dataclass(frozen=True)
class Masses:
    """A layer's classes as masses (Mirzaeian 2022, Sec. II): M centroids, one or several for each class."""

    centroids: Tensor
    """(M, D), sorted by class."""
    deviations: Tensor
    """(M, D): each coordinate's standard deviation, over the members, from the centroid."""
    classes: Tensor
    """(M,) int64: the class of each centroid."""

    @property
    def spreads(self) -> Tensor:
        """Return σ (M,): the root of the mean squared distance of the members to their centroid."""
        spreads: Tensor = torch.linalg.vector_norm(self.deviations, dim=1)
        return spreads


def masses(
    features: Tensor,
    labels: Tensor,
    classes: int,
    per_class: int = 1,
    generator: torch.Generator | None = None,
) -> Masses:
    """Return each class's centroids, its mean or those of K-means, and its spread about them.

    features: (N, D), every class with `per_class` members at least (ValueError). labels: (N,) int64.
    generator: draws the starting points of K-means, on the CPU; one centroid needs none.
    """
    centroids, deviations = [], []
    for label in range(classes):
        members = features[labels == label].float()
        if len(members) < per_class:
            raise ValueError(f"class {label} has {len(members)} images for {per_class} centroids")
        cluster = k_means(members, per_class, generator) if per_class > 1 else None
        for index in range(per_class):
            own = members if cluster is None else members[cluster == index]
            centroids.append(own.mean(dim=0))
            deviations.append((own - centroids[-1]).square().mean(dim=0).sqrt())
    owners = torch.arange(classes, device=features.device).repeat_interleave(per_class)
    return Masses(torch.stack(centroids), torch.stack(deviations), owners)


def k_means(points: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Return the cluster of each point (N,), int64, none of the `count` empty: the best of four runs of Lloyd's.

    points: (N, D), N at least `count` (ValueError). generator: on the CPU; starts are drawn as by k-means++.
    """
    if len(points) < count:
        raise ValueError(f"{len(points)} points do not make {count} clusters")
    best, smallest = torch.zeros(len(points), dtype=torch.int64), torch.inf
    for _ in range(_RESTARTS):
        centres = _spread_out(points, count, generator)
        cluster = _occupied(_distances(points, centres))
        for _ in range(_LLOYD_STEPS):
            centres = torch.stack([points[cluster == index].mean(dim=0) for index in range(count)])
            moved = _occupied(_distances(points, centres))
            if torch.equal(moved, cluster):
                break
            cluster = moved
        centres = torch.stack([points[cluster == index].mean(dim=0) for index in range(count)])
        inertia = (points - centres[cluster]).square().sum().item()
        if inertia < smallest:
            best, smallest = cluster, inertia
    return best


def _spread_out(points: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """Return starting centres, each drawn by its squared distance to those before it (Arthur 2007)."""
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    while len(chosen) < count:
        weights = _distances(points, points[chosen]).amin(dim=1).square().cpu().double()
        if not bool(weights.sum() > 0):
            weights = torch.ones(len(points), dtype=torch.float64)
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
    return points[chosen]


def _occupied(distances: Tensor) -> Tensor:
    """Return the nearest centre of each point; an empty cluster takes the point that lies worst, of those
    that are not alone.
    """
    nearest, cluster = distances.min(dim=1)
    count = distances.shape[1]
    for index in range(count):
        sizes = torch.bincount(cluster, minlength=count)
        if sizes[index] == 0:
            free = torch.where(sizes[cluster] > 1, nearest, -1.0)
            worst = int(free.argmax())
            cluster[worst], nearest[worst] = index, 0.0
    return cluster


def _distances(points: Tensor, centres: Tensor) -> Tensor:
    return torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist")


def anti_gravity(found: Masses, law: Law = "eq2", *, per_coordinate: bool = False) -> Tensor:
    """Return the total force on each centroid (M, D), float64 on the CPU (Mirzaeian 2022, Eq. 3).

    law: eq2 sums σ_i σ_j (c_i - c_j) / d_ij² (Eq. 2), eq3 the same without d_ij², as printed. Centroids of one
    class do not push each other; coincident ones have no direction to be pushed in. per_coordinate: σ is a
    vector, multiplied coordinate by coordinate.
    """
    centroids = found.centroids.cpu().double()
    centroids = centroids - centroids.mean(dim=0)
    mass = (found.deviations if per_coordinate else found.spreads.unsqueeze(1)).cpu().double()
    distances = _distances(centroids, centroids)
    classes = found.classes.cpu()
    pushes = (classes.unsqueeze(1) != classes) & (distances > 0)
    weights = pushes.double()
    if law == "eq2":
        weights = torch.where(pushes, distances.clamp(min=1e-12).square().reciprocal(), 0.0)
    return mass * (centroids * (weights @ mass) - weights @ (mass * centroids))


def relocate(centroids: Tensor, forces: Tensor, gravity: float) -> Tensor:
    """Return centroids (M, D) moved along their forces, the one under the largest force by `gravity`
    (Mirzaeian 2022, Algorithm 1: c + G F / max |F|). Without any force they stay.
    """
    largest = torch.linalg.vector_norm(forces, dim=1).max()
    if not bool(largest > 0):
        return centroids.clone()
    moves: Tensor = (gravity * forces / largest).to(centroids)
    return centroids + moves


def convergence(found: Masses) -> float:
    """Return ICC: the sum of all σ (Mirzaeian 2022, Sec. III-A)."""
    return found.spreads.sum().item()


def divergence(found: Masses) -> Tensor:
    """Return ICD (3,): the smallest, mean and largest distance between centroids of different classes.

    Mirzaeian 2022, Sec. III-A; the mean is over the pairs. float64 on the CPU.
    """
    centroids = found.centroids.cpu().double()
    classes = found.classes.cpu()
    distances = _distances(centroids, centroids)
    between = distances[torch.triu(classes.unsqueeze(1) != classes)]
    return torch.stack([between.min(), between.mean(), between.max()])


def principal_plane(points: Tensor) -> Tensor:
    """Return coordinates (N, 2) of points (N, D) on their first two principal components, float64.

    The largest loading of each component is positive. A component that the points lack is 0.
    """
    centred = points.cpu().double()
    centred = centred - centred.mean(dim=0)
    components = torch.linalg.svd(centred, full_matrices=False).Vh[:2]
    largest = components.gather(1, components.abs().argmax(dim=1, keepdim=True))
    plane = centred @ (components * largest.sign()).T
    return torch.nn.functional.pad(plane, (0, 2 - plane.shape[1]))
