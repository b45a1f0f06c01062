"""Balls of L-infinity and L2 against their formulas, and uniform points against the ball's own law."""

from __future__ import annotations

import pytest
import torch

from reproof.attacking import ball, threat_model
from reproof.attacking.image_noise import ImageNoise


def images(count: int = 5, size: int = 4) -> torch.Tensor:
    return torch.rand(count, 2, size, size, generator=torch.Generator().manual_seed(0))


def test_in_l2_what_lies_outside_goes_straight_back_to_the_edge_and_the_rest_stays() -> None:
    clean = torch.full((3, 1, 1, 2), 0.5)
    moved = clean + torch.tensor([[0.3, 0.4], [0.03, 0.04], [-0.06, 0.08]])[:, None, None]
    found = ball.project(clean, moved, "l2", 0.1)
    torch.testing.assert_close(
        (found - clean).flatten(1), torch.tensor([[0.06, 0.08], [0.03, 0.04], [-0.06, 0.08]])
    )
    assert torch.equal(found[1], moved[1])
    assert torch.equal(ball.project(clean, found, "l2", 0.1)[1], found[1])
    own = ball.project(clean, moved, "l2", torch.tensor([0.25, 0.005, 9.0]))
    torch.testing.assert_close(
        (own - clean).flatten(1), torch.tensor([[0.15, 0.2], [0.003, 0.004], [-0.06, 0.08]])
    )


def test_in_linf_each_pixel_is_cut_by_itself() -> None:
    clean, moved = images(), 2 * images(10)[5:] - 0.5
    found = ball.project(clean, moved, "linf", 0.1)
    assert torch.equal(found, (clean + (moved - clean).clamp(-0.1, 0.1)).clamp(0, 1))
    own = torch.tensor([0.1, 0.2, 0.3, 0.0, 1.0])
    for row, epsilon in enumerate(own.tolist()):
        alone = ball.project(clean[row : row + 1], moved[row : row + 1], "linf", epsilon)
        torch.testing.assert_close(ball.project(clean, moved, "linf", own)[row : row + 1], alone)


@pytest.mark.parametrize("size", [4, 224])
@pytest.mark.parametrize("epsilon", [0.0, 0.5, 3.0, 12.0])
def test_what_is_put_inside_is_inside_for_the_threat_model(size: int, epsilon: float) -> None:
    clean = images(2, size)
    moved = clean + 3 * (images(4, size)[2:] - 0.5)
    threat_model.check(clean, ball.project(clean, moved, "l2", epsilon), "l2", epsilon, "here")


def test_the_steepest_step_has_length_one_however_small_the_gradient_is() -> None:
    gradients = images() - 0.5
    gradients[1] *= 1e-30
    gradients[2] = 0
    found = ball.steepest(gradients, "l2")
    lengths = found.flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.tensor([1.0, 1, 0, 1, 1]))
    torch.testing.assert_close(found[0], gradients[0] / gradients[0].norm())
    assert torch.equal(ball.steepest(gradients, "linf"), gradients.sign())


def test_uniform_points_of_an_l2_ball_fill_it_by_volume() -> None:
    """The share within a radius r is r^D: points on the surface, or at a uniform radius, would not be so spread."""
    count, values = 1500, 3
    noise = ImageNoise("key", range(count))
    points = ball.uniform(noise, torch.zeros(count, values, 1, 1), "l2", 0).flatten(1)
    volumes = points.norm(dim=1).pow(values).sort().values
    expected = (torch.arange(count) + 0.5) / count
    assert (volumes - expected).abs().max() < 1.63 / count**0.5, "Kolmogorov and Smirnov, at 1 in 100"
    assert points.mean(dim=0).abs().max() < 4 * (1 / (values + 2) / count) ** 0.5
    octants = ((points > 0).long() * torch.tensor([1, 2, 4])).sum(dim=1).bincount(minlength=8)
    assert (octants - count / 8).abs().max() < 4 * (count / 8) ** 0.5


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_uniform_points_belong_to_their_images(norm: str) -> None:
    like, noise = images(), ImageNoise("key", range(5))
    points = ball.uniform(noise, like, norm, 3)  # type: ignore[arg-type]
    rows = torch.tensor([4, 1])
    assert torch.equal(ball.uniform(noise.select(rows), like[rows], norm, 3), points[rows])  # type: ignore[arg-type]
    assert not torch.equal(ball.uniform(noise, like, norm, 4), points)  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", ["l1", "l0"])
def test_there_are_no_other_balls(norm: str) -> None:
    clean, noise = images(), ImageNoise("key", range(5))
    for call in (
        lambda: ball.project(clean, clean, norm, 0.1),  # type: ignore[arg-type]
        lambda: ball.steepest(clean, norm),  # type: ignore[arg-type]
        lambda: ball.uniform(noise, clean, norm, 0),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=f"linf and l2, not (of|in) {norm}|linf and l2, not {norm}"):
            call()
