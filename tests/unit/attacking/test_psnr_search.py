"""Attacks at equal PSNR: closed forms, the search, and what the engine's images then have."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from reproof import registry
from reproof.attacking import engine, judge
from reproof.attacking.psnr_search import NEAR, RESOLUTION, mean_psnr, psnr, run_all, search
from reproof.errors import StudyError
from tests.ours import here


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 16, generator=torch.Generator().manual_seed(0)))

    def forward(self, images):
        return images.flatten(1) @ self.weight.T


@pytest.fixture
def grey():
    """Images that no attack within 0.35 pushes to 0 or 1."""
    return 0.4 + 0.2 * torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def run(kind, images, *, skip=False, labels=None, model=None, **stanza):
    model = model or Linear()
    settings = registry.settings_class("attacks", kind)(**stanza)
    clean = judge.predict(model, images, 100, "cpu").argmax(1)
    labels = clean if labels is None else labels
    attacking = engine.AttackEngine(model, seed=0, batch_size=3, device="cpu", skip_misclassified=skip)
    return run_all(attacking, kind, settings, images, labels, clean, what=kind)


def test_of_an_image_by_hand():
    clean = torch.zeros(3, 1, 2, 2)
    moved = clean.clone()
    moved[0] += 0.1
    moved[1, 0, 0, 0] = 1.0
    values = psnr(clean, moved)
    assert values[0].item() == pytest.approx(20, abs=1e-5)
    assert values[1].item() == pytest.approx(10 * math.log10(4))
    assert values[2].item() == math.inf
    assert mean_psnr(clean, moved) == pytest.approx((20 + 10 * math.log10(4)) / 2, abs=1e-5), (
        "of those that moved"
    )
    assert mean_psnr(clean, clean) == math.inf


@pytest.mark.parametrize("wanted", [10, 20, 26.5])
def test_fgsm_far_from_the_edges_has_a_closed_form(grey, wanted):
    """Every pixel moves by ε, so PSNR = -20 log10 ε, and the first try is right."""
    crafted, budgets = run("fgsm", grey, epsilons=[0.1], psnrs=[wanted])
    found = budgets[f"psnr={wanted}"]
    assert found.epsilon == pytest.approx(10 ** (-wanted / 20), rel=1e-9)
    assert found.psnr == pytest.approx(wanted, abs=1e-3)
    assert found.tries == 1
    moved = (crafted.images[f"psnr={wanted}"] - grey).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, found.epsilon), rtol=0, atol=1e-5)
    assert set(crafted.images) == {"epsilon=0.1", f"psnr={wanted}"}


def test_an_l2_budget_is_searched_as_one(grey):
    """Where no pixel is cut off, an L2 distance of d has an MSE of d²/16."""
    crafted, budgets = run("pgd", grey, epsilons=[0.1], psnrs=[20], norm="l2", steps=40)
    found = budgets["norm=l2 psnr=20"]
    assert set(crafted.images) == {"norm=l2 epsilon=0.1", "norm=l2 psnr=20"}
    assert found.epsilon == pytest.approx(4 * 10 ** (-20 / 20), rel=0.02)
    assert abs(found.psnr - 20) <= NEAR
    lengths = (crafted.images["norm=l2 psnr=20"] - grey).flatten(1).norm(dim=1)
    assert (lengths <= found.epsilon + 1e-6).all()
    assert lengths.mean() > 0.98 * found.epsilon


@pytest.mark.parametrize("kind", here("attacks", "fgsm", "bim", "pgd", "random_noise"))
def test_attacks_that_do_not_move_every_pixel_as_far_as_they_may(kind):
    """Near the edges, or with random starts, the budget is above the closed form; the PSNR is the wanted one."""
    images = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    crafted, budgets = run(kind, images, epsilons=[0.1], psnrs=[15])
    found = budgets["psnr=15"]
    assert abs(found.psnr - 15) <= NEAR
    assert found.epsilon > 10 ** (-15 / 20) + 1e-3
    assert found.tries <= 8
    made = crafted.images["psnr=15"]
    assert mean_psnr(images, made) == pytest.approx(found.psnr)
    assert (made - images).abs().max() <= found.epsilon + 1e-6
    alone, _ = run(kind, images, epsilons=[0.1])
    assert torch.equal(crafted.images["epsilon=0.1"], alone.images["epsilon=0.1"])
    assert (
        crafted.seconds.keys()
        == crafted.predictions.keys()
        == crafted.unchanged.keys()
        == {
            "epsilon=0.1",
            "psnr=15",
        }
    )


def test_images_that_were_not_attacked_are_left_out_of_the_mean(grey):
    labels = judge.predict(Linear(), grey, 100, "cpu").argmax(1)
    labels[:3] = (labels[:3] + 1) % 3
    crafted, budgets = run("fgsm", grey, labels=labels, skip=True, epsilons=[0.1], psnrs=[20])
    assert crafted.attacked == 5
    assert torch.equal(crafted.images["psnr=20"][:3], grey[:3])
    assert budgets["psnr=20"].psnr == pytest.approx(20, abs=1e-3)


def test_what_cannot_be_reached_is_said(grey):
    """At ε = 1 a pixel of 0.5 moves by 0.5 at most: 6 dB."""
    half = torch.full_like(grey, 0.5)
    assert run("fgsm", half, epsilons=[0.1], psnrs=[6.1])[1]["psnr=6.1"].psnr == pytest.approx(6.1, abs=NEAR)
    with pytest.raises(
        StudyError, match=r"fgsm at psnr=3: cannot reach a PSNR of 3 dB; at epsilon = 1 .* 6.02 dB"
    ):
        run("fgsm", half, epsilons=[0.1], psnrs=[3])

    class Flat(nn.Module):
        def forward(self, images):
            return 0 * images.flatten(1)[:, :2] + torch.tensor([1.0, 0.0])

    with pytest.raises(StudyError, match="it is still inf dB"):
        run("fgsm", grey, model=Flat(), epsilons=[0.1], psnrs=[20])


SHAPES = {
    "closed form": lambda e: -20 * math.log10(e),
    "half of the pixels": lambda e: -20 * math.log10(e) + 3,
    "a tenth of the way": lambda e: -20 * math.log10(e) + 19,
    "levels off": lambda e: -20 * math.log10(e) + 15 * e,
    "steep at the end": lambda e: max(-20 * math.log10(e), 29 if e < 0.9 else 0),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_search_ends_near_or_at_the_nearest_budget(shape):
    tried = []

    def attempt(epsilon):
        tried.append(epsilon)
        return SHAPES[shape](epsilon), f"made at {epsilon}"

    found, made = search(22.0, attempt, "it")
    assert made == f"made at {found.epsilon}"
    assert found.psnr == SHAPES[shape](found.epsilon)
    assert found.tries == len(tried) == len(set(tried)) <= 45
    assert all(0 < epsilon <= 1 for epsilon in tried)
    if shape != "steep at the end":
        assert abs(found.psnr - 22) <= NEAR
    else:
        nearest = min(abs(SHAPES[shape](epsilon) - 22) for epsilon in tried)
        assert abs(found.psnr - 22) == nearest
        below, above = max(e for e in tried if e < 0.9), min(e for e in tried if e >= 0.9)
        assert above - below <= RESOLUTION


def test_points_say_what_they_are():
    settings = registry.settings_class("attacks", "fgsm")(epsilons=[0.1], psnrs=[20, 26.5])
    assert [(p.parameters, p.epsilon) for p in settings.points()] == [
        ("epsilon=0.1", 0.1),
        ("psnr=20", None),
        ("psnr=26.5", None),
    ]
