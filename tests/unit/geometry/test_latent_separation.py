"""The margin between latent spaces, against closed forms, brute force and scikit-learn's SVM."""

from __future__ import annotations

import subprocess
import sys
from itertools import chain, combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.svm import SVC

from reproof.geometry.latent_separation import RESOLUTION, Separation, pairwise, separation, total

Array = NDArray[np.float64]
SOURCE = Path(__file__).resolve().parents[3] / "src"


def rotation(size: int, rng: np.random.Generator) -> Array:
    """Return a random orthogonal matrix."""
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def slabs(count: int, size: int, width: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return two clouds behind two parallel planes, `width` apart, that face each other with their middles.

    Each cloud's points on its plane are a cross with a common middle, so the gap is as wide as the planes say.
    """
    first, second = (rng.normal(size=(count, size)) for _ in range(2))
    first[:, 0] = np.abs(first[:, 0]) + width
    second[:, 0] = -np.abs(second[:, 0])
    for cloud, plane in ((first, width), (second, 0.0)):
        cloud[: 2 * (size - 1), 0] = plane
        cloud[: 2 * (size - 1), 1:] = np.concatenate([np.eye(size - 1), -np.eye(size - 1)])
    return first, second


def subsets(count: int) -> list[tuple[int, ...]]:
    sizes = range(1, count + 1)
    return list(chain.from_iterable(combinations(range(count), size) for size in sizes))


def brute_force(first: Array, second: Array) -> float:
    """Return the distance of two hulls: the least over all support sets whose weights are not negative."""
    least = np.inf
    for one, other in product(subsets(len(first)), subsets(len(second))):
        a, b = first[list(one)], second[list(other)]
        directions = np.concatenate([a[1:] - a[0], b[0] - b[1:]]).T
        start = a[0] - b[0]
        steps = np.linalg.lstsq(directions, -start, rcond=None)[0] if directions.size else np.zeros(0)
        own, others = steps[: len(a) - 1], steps[len(a) - 1 :]
        weights = [1 - own.sum(), 1 - others.sum(), *steps]
        if min(weights) >= -1e-12:
            least = min(least, float(np.linalg.norm(start + directions @ steps)))
    return least


def check(found: Separation, first: Array, second: Array) -> None:
    """Hold the promises about a hyperplane against all points."""
    assert found.separable
    assert np.linalg.norm(found.normal) == pytest.approx(1)
    slack = 1e-12 * max(np.abs(first).max(), np.abs(second).max())
    assert (first @ found.normal - found.offset).min() >= found.margin / 2 - slack
    assert (second @ found.normal - found.offset).max() <= -found.margin / 2 + slack
    assert 0 < found.margin <= found.bound
    assert found.gap == pytest.approx(1 - found.margin / found.bound)


class TestClosedForms:
    def test_two_points_are_as_far_apart_as_they_lie(self) -> None:
        """2 / ‖W‖, not 1 / ‖W‖: the whole way from one point to the other."""
        found = separation([[1.0, 2.0]], [[4.0, 6.0]])
        assert found.margin == pytest.approx(5, rel=1e-14)
        assert found.support == 2
        np.testing.assert_allclose(found.normal, [-0.6, -0.8])
        assert found.offset == pytest.approx(-0.6 * 2.5 - 0.8 * 4)

    def test_a_point_before_a_segment(self) -> None:
        """The nearest point is inside the segment, not one of its ends."""
        found = separation([[0.0, 3.0]], [[-1.0, 0.0], [5.0, 0.0]])
        assert found.margin == pytest.approx(3, rel=1e-14)
        assert found.support == 3

    def test_a_point_beside_a_segment(self) -> None:
        found = separation([[-4.0, 4.0]], [[-1.0, 0.0], [5.0, 0.0]])
        assert found.margin == pytest.approx(5, rel=1e-14)
        assert found.support == 2

    def test_two_skew_lines_in_space(self) -> None:
        found = separation([[-1.0, 0, 0], [1.0, 0, 0]], [[0, -1.0, 0.25], [0, 1.0, 0.25]])
        assert found.margin == pytest.approx(0.25, rel=1e-14)

    @pytest.mark.parametrize("size", [2, 5, 30])
    def test_two_parallel_slabs(self, size: int) -> None:
        rng = np.random.default_rng(size)
        first, second = slabs(100, size, 0.7, rng)
        found = separation(first, second)
        assert found.margin == pytest.approx(0.7, rel=1e-10)
        np.testing.assert_allclose(np.abs(found.normal), np.eye(size)[0], atol=1e-9)
        check(found, first, second)

    @pytest.mark.parametrize("size", [2, 3, 10, 40])
    def test_a_simplex_and_its_mirror_image(self, size: int) -> None:
        """Corners e_i lie 1 / sqrt(d) from the origin, and every corner of both is a support vector."""
        found = separation(np.eye(size), -np.eye(size))
        assert found.margin == pytest.approx(2 / np.sqrt(size), rel=1e-12)
        np.testing.assert_allclose(found.normal, np.full(size, size**-0.5))

    def test_one_dimension(self) -> None:
        first, second = np.array([[3.0], [7.0], [2.5]]), np.array([[1.0], [-9.0], [1.0]])
        found = separation(first, second)
        assert found.margin == pytest.approx(1.5)
        assert found.offset == pytest.approx(1.75)
        check(found, first, second)
        assert not separation([[0.0], [2.0]], [[1.0]]).separable

    def test_more_dimensions_than_points(self) -> None:
        rng = np.random.default_rng(0)
        first, second = rng.normal(size=(3, 500)), rng.normal(size=(2, 500))
        found = separation(first, second)
        assert found.margin == pytest.approx(brute_force(first, second), rel=1e-10)
        assert found.support == 5
        check(found, first, second)

    def test_features_that_never_fire_change_nothing(self) -> None:
        first, second = slabs(50, 4, 0.5, np.random.default_rng(1))
        dead = np.zeros((50, 3))
        found = separation(np.concatenate([dead, first], 1), np.concatenate([dead, second], 1))
        assert found.margin == pytest.approx(0.5, rel=1e-12)

    def test_one_intruder_among_many_decides(self) -> None:
        """A hard margin buys no slack, and no sample of the rows will do."""
        rng = np.random.default_rng(2)
        first, second = slabs(3000, 5, 2.0, rng)
        intruder = np.array([[0.001, 0, 0, 0, 0]])
        near = separation(np.concatenate([first, intruder]), second)
        assert near.margin == pytest.approx(0.001, rel=1e-8)
        inside = separation(np.concatenate([first, -100 * intruder]), second)
        assert (inside.margin, inside.separable) == (0, False)


class TestInseparable:
    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ([[0, 0], [1, 1]], [[0, 1], [1, 0]]),
            ([[0.0], [2.0], [4.0]], [[1.0], [3.0]]),
            ([[1.0, 2.0]], [[1.0, 2.0]]),
            ([[0.0, 0.0]], [[0.0, 0.0]]),
            ([[-3, -3], [3, -3], [0, 4]], [[0.1, 0.2]]),
            ([[0, 0], [1, 0]], [[1, 0], [2, 0]]),
        ],
        ids=["XOR", "interleaved", "one point twice", "zeros", "inside", "touching"],
    )
    def test_small_sets(self, first: Any, second: Any) -> None:
        for found in (separation(first, second), separation(second, first)):
            assert (found.separable, found.margin, found.offset, found.gap) == (False, 0, 0, 0)
            assert found.bound <= 4 * RESOLUTION
            assert not found.normal.any()

    @pytest.mark.parametrize("size", [1, 2, 20, 90])
    def test_identical_sets(self, size: int) -> None:
        points = np.random.default_rng(size).normal(size=(100, size))
        assert not separation(points, points).separable
        assert not separation(points, points[::-1].copy()).separable

    def test_clouds_that_overlap(self) -> None:
        rng = np.random.default_rng(3)
        found = separation(rng.normal(size=(300, 20)), rng.normal(size=(300, 20)) + 0.5)
        assert not found.separable
        assert found.bound < 1e-10
        assert found.support == 22

    @pytest.mark.parametrize("width", [1e-3, 1e-6, 1e-8])
    def test_a_hair_decides(self, width: float) -> None:
        """Slabs that nearly touch are separable, and those that overlap by as little are not."""
        rng = np.random.default_rng(4)
        first, second = slabs(200, 8, width, rng)
        turn = rotation(8, rng)
        found = separation(first @ turn, second @ turn)
        assert found.separable
        assert found.margin == pytest.approx(width, rel=max(1e-9, 1e-12 / width))
        assert found.bound == pytest.approx(width, rel=max(1e-9, 1e-12 / width))
        assert found.gap < 1e-4
        first[:, 0] -= 2 * width
        overlapping = separation(first @ turn, second @ turn)
        assert (overlapping.separable, overlapping.margin) == (False, 0)

    def test_what_rounding_hides_counts_as_touching(self) -> None:
        assert not separation([[0.0, 1.0], [0.0, -1.0]], [[1e-13, 1.0], [1e-13, -1.0]]).separable


class TestIndependently:
    def test_brute_force_over_support_sets(self) -> None:
        rng = np.random.default_rng(5)
        outcomes = []
        for case in range(60):
            size = 1 + case % 4
            first, second = rng.normal(size=(1 + case % 5, size)), rng.normal(size=(4, size))
            second[:, 0] += rng.uniform(0, 3)
            found, expected = separation(first, second), brute_force(first, second)
            outcomes.append(found.separable)
            assert found.separable == (expected > 1e-9)
            assert found.margin == pytest.approx(expected if found.separable else 0, rel=1e-9)
        assert 10 < sum(outcomes) < 50

    def test_brute_force_on_a_grid(self) -> None:
        """Many points lie on one line or coincide, as the features of dead units do."""
        rng = np.random.default_rng(6)
        for _ in range(40):
            first = rng.integers(0, 3, size=(5, 3)).astype(float)
            second = rng.integers(0, 3, size=(5, 3)) + np.array([rng.integers(0, 4), 0, 0])
            found, expected = separation(first, second), brute_force(first, second.astype(float))
            assert found.separable == (expected > 1e-9)
            assert found.margin == pytest.approx(expected if found.separable else 0, rel=1e-9)

    @pytest.mark.parametrize("seed", range(3))
    def test_scikit_learn_s_support_vectors(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        weights = rng.normal(size=(2, 6, 10))
        hidden = rng.normal(size=(150, 6))
        first, second = (np.maximum(hidden @ weights[i] + 2 * i * rng.random(10), 0) for i in range(2))
        second[:, 0] += 6
        found = separation(first, second)
        svm = SVC(kernel="linear", C=1e9, tol=1e-9).fit(
            np.concatenate([first, second]), np.repeat([1, -1], 150)
        )
        assert svm.score(np.concatenate([first, second]), np.repeat([1, -1], 150)) == 1
        assert found.margin == pytest.approx(2 / np.linalg.norm(svm.coef_), rel=1e-5)
        np.testing.assert_allclose(found.normal, svm.coef_[0] / np.linalg.norm(svm.coef_), atol=1e-4)
        check(found, first, second)


class TestEquivariance:
    def clouds(self) -> tuple[Array, Array]:
        rng = np.random.default_rng(7)
        first, second = rng.normal(size=(2, 120, 9))
        second[:, 0] += 6
        return first, second

    def test_a_rotation_and_a_translation_change_nothing(self) -> None:
        first, second = self.clouds()
        rng = np.random.default_rng(8)
        turn, move = rotation(9, rng), 1000 * rng.normal(size=9)
        found = separation(first, second)
        moved = separation(first @ turn + move, second @ turn + move)
        assert moved.margin == pytest.approx(found.margin, rel=1e-10)
        np.testing.assert_allclose(moved.normal, found.normal @ turn, atol=1e-9)
        check(moved, first @ turn + move, second @ turn + move)

    def test_far_from_the_origin(self) -> None:
        """Where the sets lie together is no part of their spread."""
        corner = np.array([2.0**40, -(2.0**41)])
        first, second = np.array([[0, 3], [0, -3]]), np.array([[1, 2], [1, -4], [4, 0]])
        found = separation(first + corner, second + corner)
        assert found.margin == pytest.approx(1, rel=1e-12)

    @pytest.mark.parametrize("factor", [3.7, 1e-30, 1e30, 1e-150, 1e150])
    def test_it_grows_with_the_scale(self, factor: float) -> None:
        first, second = self.clouds()
        found, scaled = separation(first, second), separation(factor * first, factor * second)
        assert scaled.margin == pytest.approx(factor * found.margin, rel=1e-12)
        check(scaled, factor * first, factor * second)

    @pytest.mark.parametrize("power", [-40, -1, 5, 60])
    def test_a_power_of_two_scales_to_the_last_bit(self, power: int) -> None:
        first, second = self.clouds()
        found = separation(first, second)
        scaled = separation(np.ldexp(first, power), np.ldexp(second, power))
        assert scaled.margin == np.ldexp(found.margin, power)
        assert scaled.bound == np.ldexp(found.bound, power)

    def test_no_feature_is_standardised_by_itself(self) -> None:
        """Only a stretch along the normal widens the gap."""
        first, second = slabs(60, 4, 0.5, np.random.default_rng(9))
        along, across = np.array([8.0, 1, 1, 1]), np.array([1.0, 1, 50, 1])
        assert separation(first * across, second * across).margin == pytest.approx(0.5, rel=1e-9)
        assert separation(first * along, second * along).margin == pytest.approx(4, rel=1e-9)

    def test_order_repetition_and_sides_do_not_matter(self) -> None:
        first, second = self.clouds()
        found = separation(first, second)
        twice = separation(np.concatenate([first[::-1], first]), second[::-1])
        assert twice.margin == pytest.approx(found.margin, rel=1e-11)
        swapped = separation(second, first)
        assert swapped.margin == pytest.approx(found.margin, rel=1e-11)
        np.testing.assert_allclose(swapped.normal, -found.normal, atol=1e-9)
        assert swapped.offset == pytest.approx(-found.offset)

    def test_float32_and_read_only_vectors(self) -> None:
        first, second = (cloud.astype(np.float32) for cloud in self.clouds())
        for cloud in (first, second):
            cloud.setflags(write=False)
        found = separation(first, second)
        exact = separation(first.astype(np.float64), second.astype(np.float64))
        assert found.margin == exact.margin

    def test_vectors_stay_as_they_are(self) -> None:
        first, second = self.clouds()
        before = first.copy(), second.copy()
        separation(first, second)
        assert np.array_equal(first, before[0])
        assert np.array_equal(second, before[1])


TRIANGLE = {"main": [[0.0, 0.0]], "second": [[4.0, 0.0]], "third": [[0.0, 3.0]]}


class TestEnsembles:
    def test_pairs(self) -> None:
        rows = pairwise(TRIANGLE)
        assert [(row["first"], row["second"]) for row in rows] == [
            ("main", "second"),
            ("main", "third"),
            ("second", "third"),
        ]
        assert [row["margin"] for row in rows] == pytest.approx([4, 3, 5])
        assert all(row["separable"] and row["support"] == 2 and row["gap"] < 1e-12 for row in rows)

    def test_the_total_by_hand(self) -> None:
        """Each corner of a 3-4-5 triangle to the side before it, which is neither a pair's margin nor a mean of them."""
        found = total(TRIANGLE)
        assert {name: own.margin for name, own in found.members.items()} == pytest.approx(
            {"main": 2.4, "second": 4, "third": 3}
        )
        assert found.margin == pytest.approx((2.4 + 4 + 3) / 3)
        assert found.separable
        np.testing.assert_allclose(found.members["main"].normal, [-0.6, -0.8])

    def test_a_member_between_the_others_counts_as_zero(self) -> None:
        """Each two can be separated, and still not all."""
        latents = {"low": [[0.0]], "middle": [[1.0]], "high": [[3.0]]}
        assert [row["margin"] for row in pairwise(latents)] == pytest.approx([1, 3, 2])
        found = total(latents)
        assert [own.margin for own in found.members.values()] == pytest.approx([1, 0, 2])
        assert found.margin == pytest.approx(1)
        assert not found.separable

    def test_two_members_have_one_margin(self) -> None:
        latents = {"one": [[0.0, 1.0]], "other": [[0.0, 3.0], [1.0, 3.0]]}
        assert total(latents).margin == pytest.approx(pairwise(latents)[0]["margin"])

    def test_identical_networks(self) -> None:
        points = np.random.default_rng(10).random((50, 4))
        latents = dict.fromkeys(("a", "b", "c"), points)
        assert [row["separable"] for row in pairwise(latents)] == [False] * 3
        assert (total(latents).margin, total(latents).separable) == (0, False)


class TestErrors:
    @pytest.mark.parametrize(
        ("first", "second", "message"),
        [
            ([[1.0, 2.0]], [[1.0]], "2 and 1 dimensions"),
            ([1.0, 2.0], [[1.0]], "the first set should be vectors"),
            ([[1.0]], np.zeros((0, 1)), "the second set should be vectors"),
            (np.zeros((3, 0)), np.zeros((3, 0)), "the first set should be vectors"),
            (np.zeros((3, 2, 2)), np.zeros((3, 2)), "the first set should be vectors"),
            ([[1.0]], [[np.nan]], "the second set has values that are not finite"),
            ([[np.inf]], [[1.0]], "the first set has values that are not finite"),
        ],
    )
    def test_what_is_no_set_of_vectors(self, first: Any, second: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            separation(first, second)

    @pytest.mark.parametrize("work", [pairwise, total])
    def test_what_is_no_ensemble(self, work: Any) -> None:
        with pytest.raises(ValueError, match="main 2, second 3"):
            work({"main": np.zeros((4, 2)), "second": np.zeros((4, 3))})
        with pytest.raises(ValueError, match="two networks or more, not 1"):
            work({"main": np.zeros((4, 2))})
        with pytest.raises(ValueError, match="second has values that are not finite"):
            work({"main": np.zeros((4, 2)), "second": np.full((4, 2), np.nan)})


def test_it_imports_no_torch() -> None:
    code = (
        "import sys; from reproof.geometry.latent_separation import total;"
        "assert total({'a': [[0.0]], 'b': [[1.0]]}).margin == 1; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(SOURCE)})
