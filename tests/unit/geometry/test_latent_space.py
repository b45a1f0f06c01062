from __future__ import annotations

import numpy as np
import pytest
import torch

from reproof.geometry import latent_space
from reproof.geometry.latent_space import Masses


def made(
    centroids: list[list[float]], deviations: list[list[float]], classes: list[int] | None = None
) -> Masses:
    labels = classes if classes is not None else list(range(len(centroids)))
    return Masses(torch.tensor(centroids), torch.tensor(deviations), torch.tensor(labels))


class TestMasses:
    def test_by_hand(self) -> None:
        features = torch.tensor([[0.0, 0.0], [10.0, 1.0], [2.0, 4.0], [10.0, 5.0], [4.0, 8.0]])
        found = latent_space.masses(features, torch.tensor([0, 1, 0, 1, 0]), 2)
        assert found.centroids.tolist() == [[2.0, 4.0], [10.0, 3.0]]
        assert found.classes.tolist() == [0, 1]
        # Squared distances of class 0: 20, 0, 20; its mean is over the three images, not over two.
        torch.testing.assert_close(found.spreads, torch.tensor([(40 / 3) ** 0.5, 2.0]))
        torch.testing.assert_close(
            found.deviations, torch.tensor([[(8 / 3) ** 0.5, (32 / 3) ** 0.5], [0.0, 2.0]])
        )

    def test_a_class_with_too_few_images_is_named(self) -> None:
        with pytest.raises(ValueError, match="class 1 has 0 images for 1"):
            latent_space.masses(torch.zeros(2, 3), torch.tensor([0, 2]), 3)

    def test_several_centroids_belong_to_their_class(self) -> None:
        generator = torch.Generator().manual_seed(0)
        places = torch.tensor([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0], [8.0, 8.0]])
        blob = torch.arange(200) % 4
        points = places[blob] + 0.1 * torch.randn(200, 2, generator=generator)
        found = latent_space.masses(points, blob // 2, 2, 2, generator)
        assert found.classes.tolist() == [0, 0, 1, 1]
        for label in (0, 1):
            own = sorted(found.centroids[found.classes == label].round().tolist())
            assert own == sorted(places[2 * label : 2 * label + 2].tolist())
        assert float(found.spreads.max()) < 0.2


class TestKMeans:
    @pytest.mark.parametrize("seed", range(5))
    def test_finds_known_blobs(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        centres = 20 * torch.eye(5)
        truth = torch.randint(5, (300,), generator=generator)
        points = centres[truth] + torch.randn(300, 5, generator=generator)
        cluster = latent_space.k_means(points, 5, generator)
        pairs = {(int(one), int(other)) for one, other in zip(truth, cluster, strict=True)}
        assert len(pairs) == 5

    def test_no_cluster_is_empty_even_where_points_coincide(self) -> None:
        cluster = latent_space.k_means(torch.tensor([[0.0], [0.0], [0.0], [1.0]]), 3)
        assert set(cluster.tolist()) == {0, 1, 2}

    def test_more_clusters_than_points_are_refused(self) -> None:
        with pytest.raises(ValueError, match="2 points do not make 3 clusters"):
            latent_space.k_means(torch.zeros(2, 1), 3)


class TestForces:
    def test_equation_2_by_hand(self) -> None:
        # d = 2, σ = 3 and 0.5: 3 · 0.5 / 4 · (∓2).
        found = made([[0.0, 0.0], [2.0, 0.0]], [[3.0, 0.0], [0.3, 0.4]])
        expected = torch.tensor([[-0.75, 0.0], [0.75, 0.0]], dtype=torch.float64)
        torch.testing.assert_close(latent_space.anti_gravity(found), expected)
        torch.testing.assert_close(latent_space.anti_gravity(found, "eq3"), 4 * expected)

    def test_per_coordinate_by_hand(self) -> None:
        # Coordinates are multiplied each for itself: 3 · 0.3 · (-2) / 8 and 1 · 0.4 · (-2) / 8.
        found = made([[0.0, 0.0], [2.0, 2.0]], [[3.0, 1.0], [0.3, 0.4]])
        expected = torch.tensor([[-0.225, -0.1], [0.225, 0.1]], dtype=torch.float64)
        torch.testing.assert_close(latent_space.anti_gravity(found, per_coordinate=True), expected)

    @pytest.mark.parametrize("law", ["eq2", "eq3"])
    @pytest.mark.parametrize("per_coordinate", [False, True])
    def test_agrees_with_loops_over_pairs(self, law: latent_space.Law, per_coordinate: bool) -> None:
        generator = np.random.default_rng(0)
        centroids = generator.normal(100, 2, size=(6, 4))
        deviations = generator.uniform(0.5, 2, size=(6, 4))
        owners = [0, 0, 1, 1, 2, 2]
        expected = np.zeros((6, 4))
        for i in range(6):
            for j in range(6):
                if owners[i] == owners[j]:
                    continue
                away = centroids[i] - centroids[j]
                mass = deviations[i] * deviations[j]
                if not per_coordinate:
                    mass = np.sqrt((deviations[i] ** 2).sum() * (deviations[j] ** 2).sum())
                expected[i] += mass * away / ((away**2).sum() if law == "eq2" else 1.0)
        found = Masses(torch.tensor(centroids), torch.tensor(deviations), torch.tensor(owners))
        forces = latent_space.anti_gravity(found, law, per_coordinate=per_coordinate)
        np.testing.assert_allclose(forces.numpy(), expected, rtol=1e-9)

    def test_close_classes_push_harder_and_by_the_printed_equation_3_far_ones_do(self) -> None:
        found = made([[0.0], [1.0], [100.0]], [[1.0], [1.0], [1.0]])
        near, _, far = latent_space.anti_gravity(found).abs().flatten().tolist()
        assert near > 10 * far
        near, _, far = latent_space.anti_gravity(found, "eq3").abs().flatten().tolist()
        assert far > near

    def test_wider_classes_push_harder(self) -> None:
        narrow = latent_space.anti_gravity(made([[0.0], [1.0]], [[1.0], [1.0]]))
        wide = latent_space.anti_gravity(made([[0.0], [1.0]], [[1.0], [3.0]]))
        torch.testing.assert_close(wide, 3 * narrow)

    def test_centroids_of_one_class_do_not_push_each_other(self) -> None:
        found = made([[0.0], [1.0], [9.0]], [[1.0], [1.0], [1.0]], [0, 0, 1])
        forces = latent_space.anti_gravity(found).flatten()
        torch.testing.assert_close(forces[0], torch.tensor(-1 / 9, dtype=torch.float64))
        torch.testing.assert_close(forces[1], torch.tensor(-1 / 8, dtype=torch.float64))

    def test_coincident_centroids_push_nowhere(self) -> None:
        found = made([[1.0], [1.0], [3.0]], [[1.0], [1.0], [1.0]])
        forces = latent_space.anti_gravity(found)
        assert bool(torch.isfinite(forces).all())
        torch.testing.assert_close(forces[:, 0], torch.tensor([-0.5, -0.5, 1.0], dtype=torch.float64))


class TestRelocation:
    def test_the_largest_force_moves_by_g_and_the_others_in_proportion(self) -> None:
        centroids = torch.tensor([[1.0, 1.0], [2.0, 2.0]])
        forces = torch.tensor([[3.0, 4.0], [-1.0, 0.0]], dtype=torch.float64)
        moved = latent_space.relocate(centroids, forces, 10.0)
        torch.testing.assert_close(moved, torch.tensor([[7.0, 9.0], [0.0, 2.0]]))
        assert centroids.tolist() == [[1.0, 1.0], [2.0, 2.0]]

    def test_classes_end_further_apart(self) -> None:
        found = made([[0.0, 0.0], [1.0, 0.0], [0.0, 4.0]], [[1.0, 0.0]] * 3)
        moved = latent_space.relocate(found.centroids, latent_space.anti_gravity(found), 0.5)
        assert bool((torch.pdist(moved) > torch.pdist(found.centroids)).all())

    def test_without_a_force_they_stay(self) -> None:
        centroids = torch.tensor([[1.0], [1.0]])
        assert torch.equal(latent_space.relocate(centroids, torch.zeros(2, 1), 5.0), centroids)


class TestMetrics:
    def test_by_hand(self) -> None:
        found = made([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]], [[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]])
        assert latent_space.convergence(found) == pytest.approx(8.0)
        distances = [5.0, 1.0, 18**0.5]
        expected = [1.0, sum(distances) / 3, 5.0]
        assert latent_space.divergence(found).tolist() == pytest.approx(expected)

    def test_centroids_of_one_class_are_not_apart(self) -> None:
        found = made([[0.0], [1.0], [4.0]], [[1.0]] * 3, [0, 0, 1])
        assert latent_space.divergence(found).tolist() == pytest.approx([3.0, 3.5, 4.0])


class TestPrincipalPlane:
    def test_keeps_the_distances_of_points_in_a_plane(self) -> None:
        generator = torch.Generator().manual_seed(0)
        basis = torch.linalg.qr(torch.randn(7, 2, generator=generator)).Q
        points = 5 + torch.randn(20, 2, generator=generator) * torch.tensor([3.0, 1.0]) @ basis.T
        plane = latent_space.principal_plane(points)
        torch.testing.assert_close(torch.pdist(plane), torch.pdist(points.double()), rtol=1e-5, atol=1e-5)
        assert float(plane[:, 0].var()) > float(plane[:, 1].var())
        assert torch.equal(plane, latent_space.principal_plane(points))

    def test_its_signs_do_not_depend_on_the_decomposition(self) -> None:
        points = torch.tensor([[0.0, 0.0], [2.0, 0.1], [4.0, -0.1]])
        assert latent_space.principal_plane(points)[:, 0].diff().min() > 0
        assert latent_space.principal_plane(-points)[:, 0].diff().max() < 0

    def test_a_line_has_no_second_component(self) -> None:
        plane = latent_space.principal_plane(torch.tensor([[1.0], [3.0]]))
        assert plane.tolist() == [[-1.0, 0.0], [1.0, 0.0]]
