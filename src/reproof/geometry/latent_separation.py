"""Latent Space Separation: how far apart networks put the same images (Mirzaeian et al. 2021, "Learning Diverse
Latent Representations for Improving the Resilience to Adversarial Attacks", Sec. 4.1, Eq. 5 and 6).

LSS of two networks is 2 / ‖W‖, the margin of the linear support vector machine (SVM) with a hard margin that
tells the latent vectors of one from those of the other. That margin is the distance between the convex hulls of
the two sets, and so it is found here: by SimpleSVM (Vishwanathan, Smola, Murty 2003), an active-set method that
ends after finitely many steps, like Wolfe's for the nearest point of a polytope (1976). It keeps points of both
sets of which none is superfluous, finds the nearest points of the planes through them by a QR decomposition in
float64, drops points whose weights would be negative, and adds the point that lies deepest on the wrong side.
There is no penalty C that only tends to a hard margin, and no sampling.

Every answer is checked on all points. From below: the width of the gap that the hyperplane leaves between the two
sets is reached, whatever led to it; it is the reported margin. From above: no margin is wider than the distance
between any two points of the two hulls; the closest pair found is `Separation.bound`. The two agree to 1e-12 of
the margin, or to about 1e-14 of the data's spread where that is more (a margin of a millionth of the spread is known
to eight digits); `Separation.gap` says how well. Sets whose hulls come closer than RESOLUTION times the spread
count as inseparable, and LSS is then 0: a hard margin has no solution there, and the paper names no value. Where
rounding ends the search without a hyperplane, LSS is 0 too, and `bound` says what it is at most.

Features are taken as they are: only one translation and one power of two, both exact to rounding, are applied to
all of them and undone at the end. LSS therefore grows with the features' scale, as in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

RESOLUTION = 1e-11
"""Hulls that come closer than this, as a share of the spread, touch: rounding hides what is smaller.
The spread is the largest distance of a point from the middle between the sets' means, up to a power of two."""

_PRECISION = 1e-12
_CANDIDATES = 50
_PATIENCE = 10
"""Rounds that find no new row to look at, and so can only mend what rounding has left."""


@dataclass(frozen=True, eq=False)
class Separation:
    """The widest gap that a hyperplane leaves between two sets of points."""

    margin: float
    """2 / ‖W‖, the width of the gap, in the features' units; 0 where no hyperplane separates."""
    separable: bool
    """Whether a hyperplane separates the sets."""
    bound: float
    """Distance between the closest pair found of points of the two hulls; no margin is wider."""
    support: int
    """Support vectors that fix the hyperplane; of inseparable sets, points whose hulls meet."""
    normal: Array
    """(d,): W / ‖W‖, towards the first set; zeros where no hyperplane separates."""
    offset: float
    """Where the hyperplane lies: points of the first set have x · normal - offset of margin / 2 or more,
    those of the second -margin / 2 or less, to rounding."""

    @property
    def gap(self) -> float:
        """Return what is uncertain of the margin, as a share of its bound: 0 of inseparable sets that touch."""
        return (self.bound - self.margin) / self.bound if self.separable else 0.0


class Row(TypedDict):
    """A pair of networks, and Eq. 5 between them."""

    first: str
    second: str
    margin: float
    separable: bool
    gap: float
    support: int


@dataclass(frozen=True, eq=False)
class TotalSeparation:
    """An ensemble's LSS (Eq. 6)."""

    members: dict[str, Separation]
    """Each member against all others together, in the order given."""

    @property
    def margin(self) -> float:
        """Return the mean over members, in which one that cannot be separated counts as 0."""
        return sum(found.margin for found in self.members.values()) / len(self.members)

    @property
    def separable(self) -> bool:
        """Return whether every member can be separated from the others."""
        return all(found.separable for found in self.members.values())


def separation(first: ArrayLike, second: ArrayLike) -> Separation:
    """Return the margin between two networks' latent vectors (Eq. 5).

    first: (n, d) and second: (m, d), n, m, d at least 1, finite; no order of rows, and no row twice, matters.
    ValueError where they are not so. Takes about 24 (n + m) d bytes, and for 20,000 x 200 on one core a second;
    ten where the hulls nearly meet.
    """
    one, other = _vectors(first, "the first set"), _vectors(second, "the second set")
    if one.shape[1] != other.shape[1]:
        raise ValueError(f"vectors of {one.shape[1]} and {other.shape[1]} dimensions have no common space")
    return _separate(one, other)


def pairwise(latents: Mapping[str, ArrayLike]) -> list[Row]:
    """Return Eq. 5 for every two networks, in the order given.

    latents: each network's vectors (n, d), two networks or more of one d (ValueError).
    """
    vectors = _members(latents)
    rows: list[Row] = []
    for first, second in combinations(vectors, 2):
        found = _separate(vectors[first], vectors[second])
        rows.append(
            Row(
                first=first,
                second=second,
                margin=found.margin,
                separable=found.separable,
                gap=found.gap,
                support=found.support,
            )
        )
    return rows


def total(latents: Mapping[str, ArrayLike]) -> TotalSeparation:
    """Return an ensemble's LSS: each member's margin to all others together, and their mean (Eq. 6).

    latents: each network's vectors (n, d), two networks or more of one d (ValueError).
    """
    vectors = _members(latents)
    return TotalSeparation(
        {
            name: _separate(own, np.concatenate([vectors[other] for other in vectors if other != name]))
            for name, own in vectors.items()
        }
    )


def _vectors(values: ArrayLike, name: str) -> Array:
    vectors = np.asarray(values, dtype=np.float64)
    if vectors.ndim != 2 or vectors.size == 0:
        raise ValueError(f"{name} should be vectors (n, d), not of shape {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise ValueError(f"{name} has values that are not finite")
    return vectors


def _members(latents: Mapping[str, ArrayLike]) -> dict[str, Array]:
    if len(latents) < 2:
        raise ValueError(f"separation is between two networks or more, not {len(latents)}")
    vectors = {name: _vectors(values, name) for name, values in latents.items()}
    sizes = {name: own.shape[1] for name, own in vectors.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ValueError(f"the networks' latent spaces differ in their dimensions: {listed}")
    return vectors


def _separate(first: Array, second: Array) -> Separation:
    _, unit = np.frexp(max(np.abs(first).max(), np.abs(second).max()))
    points = np.concatenate([np.ldexp(first, -unit), np.ldexp(second, -unit)])
    count = len(first)
    centre = (points[:count].mean(axis=0) + points[count:].mean(axis=0)) / 2
    points -= centre
    _, spread = np.frexp(np.sqrt(np.einsum("nd,nd->n", points, points).max()))
    points = np.ldexp(points, -spread, out=points)
    np.negative(points[count:], out=points[count:])
    face = _nearest(points, count)

    nearest = face.weights @ points[face.members]
    bound = float(np.linalg.norm(nearest))
    scores = points @ face.normal
    lowest, highest = scores[:count].min(), -scores[count:].min()
    length = float(np.linalg.norm(face.normal))
    margin = (lowest - highest) / length if length > 0 else 0.0
    scale = np.ldexp(1.0, int(unit + spread))
    if bound <= RESOLUTION or margin <= RESOLUTION / 2:
        normal = np.zeros(points.shape[1])
        return Separation(0.0, False, float(scale * bound), len(face.members), normal, 0.0)
    normal = face.normal / length
    middle = (lowest + highest) / (2 * length)
    offset = scale * middle + np.ldexp(normal @ centre, unit)
    bound = max(bound, margin)
    return Separation(
        float(scale * margin), True, float(scale * bound), len(face.members), normal, float(offset)
    )


def _nearest(points: Array, count: int) -> _Face:
    """Return the face with the shortest vector from a point of the second hull to one of the first.

    points: (n + m, d), the first set's and behind them the negatives of the second's, so that the vector is a
    sum of one point of each hull. A working set of rows is searched in each step, all of them between rounds.
    """
    sides = (slice(0, count), slice(count, len(points)))
    towards = points[:count].mean(axis=0) + points[count:].mean(axis=0)
    start = [side.start + int((points[side] @ towards).argmin()) for side in sides]
    face = _Face(points, count, start)
    working, idle = np.array(start), 0
    while not face.touches:
        scores = points @ face.normal
        reached = sum(scores[side].min() for side in sides)
        if reached >= (1 - _PRECISION) * face.squared:
            break
        deepest = [side.start + _smallest(scores[side], _CANDIDATES) for side in sides]
        grown = np.union1d(working, np.concatenate(deepest))
        moved = face.descend(grown)
        idle = 0 if len(grown) > len(working) else idle + 1
        if idle and (not moved or idle > _PATIENCE):
            break
        working = grown
        face.factorise()
    return face


def _smallest(scores: Array, count: int) -> NDArray[np.intp]:
    """Return where the smallest scores are, in any order."""
    count = min(count, len(scores))
    return np.argpartition(scores, count - 1)[:count]


class _Face:
    """Points of both sets, affinely independent, and the shortest sum of one point of each hull of them.

    The first two members, one of each side, are the origins of the two planes; `directions` lead from them to the
    other members, decomposed as `basis` (orthonormal columns) times `triangle`.
    """

    def __init__(self, points: Array, count: int, members: list[int]):
        self.points, self.count = points, count
        self.rounding = 4 * float(np.finfo(np.float64).eps) * float(np.sqrt(points.shape[1]))
        self.members = members
        self.weights = np.ones(2)
        self.factorise()

    def _is_first(self, members: list[int]) -> NDArray[np.bool_]:
        return np.array(members, dtype=np.intp) < self.count

    def _origin(self, member: int) -> Array:
        origin: Array = self.points[self.members[0 if member < self.count else 1]]
        return origin

    def factorise(self) -> None:
        """Decompose afresh; each side's heaviest member becomes its origin, because it stays longest."""
        first = self._is_first(self.members)
        order = [int(np.where(side, self.weights, -1.0).argmax()) for side in (first, ~first)]
        order += [place for place in range(len(self.members)) if place not in order]
        self.members = [self.members[place] for place in order]
        self.weights = self.weights[order]
        others = self.members[2:]
        directions = np.empty((self.points.shape[1], len(others)))
        for place, member in enumerate(others):
            directions[:, place] = self.points[member] - self._origin(member)
        self.basis, self.triangle = np.linalg.qr(directions)
        self._solve()

    def _solve(self) -> None:
        """Find the shortest sum over both planes: `normal`, and `wanted`, its weights, which may be negative."""
        # scipy.linalg takes a quarter of a second to import; whoever wants no separation should not wait.
        from scipy.linalg import solve_triangular

        start = self.points[self.members[0]] + self.points[self.members[1]]
        along = self.basis.T @ start
        self.normal = start - self.basis @ along
        self.normal -= self.basis @ (self.basis.T @ self.normal)
        self.squared = float(self.normal @ self.normal)
        steps: Any = -solve_triangular(self.triangle, along) if len(along) else along
        first = self._is_first(self.members[2:])
        self.wanted = np.concatenate([[1 - steps[first].sum(), 1 - steps[~first].sum()], steps])

    @property
    def touches(self) -> bool:
        """Whether the two hulls of the members meet, to rounding."""
        return self.squared <= RESOLUTION**2 / 4

    def descend(self, rows: NDArray[np.intp]) -> bool:
        """Add points, of these rows, until none lies on the wrong side or rounding hides what is gained.

        Return whether any was added.
        """
        moved = False
        searched = self.points[rows]
        split = int(np.searchsorted(rows, self.count))
        while not self.touches:
            depth, member = self._deepest(rows, searched @ self.normal, split)
            length = float(np.sqrt(self.squared))
            if depth <= max(_PRECISION / 4 * length, self.rounding) * length or self._spans(member):
                break
            before = self.squared
            self._add(member)
            moved = True
            if self.squared >= before:
                break
        return moved

    def _deepest(self, rows: NDArray[np.intp], scores: Array, split: int) -> tuple[float, int]:
        """Return how far the worst row lies before its side's plane, and which it is."""
        levels = self.points[self.members[:2]] @ self.normal
        places = [int(scores[:split].argmin()), split + int(scores[split:].argmin())]
        depths = levels - scores[places]
        worst = int(depths.argmax())
        return float(depths[worst]), int(rows[places[worst]])

    def _spans(self, member: int) -> bool:
        """Whether a point lies in its side's plane, to rounding, so that it cannot be added."""
        direction = self.points[member] - self._origin(member)
        for _ in range(2):
            direction -= self.basis @ (self.basis.T @ direction)
        return float(np.linalg.norm(direction)) <= self.rounding

    def _add(self, member: int) -> None:
        """Add a point, go to the new shortest sum, and drop on the way what is superfluous there."""
        from scipy.linalg import qr_insert

        direction = self.points[member] - self._origin(member)
        size = self.triangle.shape[1]
        if size:
            self.basis, self.triangle = qr_insert(self.basis, self.triangle, direction, size, "col")
        else:
            self.basis, self.triangle = np.linalg.qr(direction[:, None])
        self.members.append(member)
        self.weights = np.append(self.weights, 0.0)
        self._solve()
        while (self.wanted <= 0).any():
            self._drop()
        self.weights = self.wanted

    def _drop(self) -> None:
        """Go towards the shortest sum as far as no weight is negative, and drop the member that becomes 0."""
        from scipy.linalg import qr_delete

        falling = np.flatnonzero(self.wanted <= 0)
        shares = self.weights[falling] / np.maximum(self.weights[falling] - self.wanted[falling], 1e-300)
        place, share = int(falling[shares.argmin()]), float(shares.min())
        self.weights = np.delete(self.weights + share * (self.wanted - self.weights), place)
        self.members.pop(place)
        if place < 2:
            self.factorise()
            return
        basis, triangle = qr_delete(self.basis, self.triangle, place - 2, 1, "col")
        size = len(self.members) - 2
        self.basis, self.triangle = basis[:, :size], triangle[:size]
        self._solve()
