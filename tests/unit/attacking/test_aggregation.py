"""The sum of the members' perturbations, by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from reproof import registry
from reproof.attacking import engine, threat_model
from reproof.attacking.aggregation import aggregate
from reproof.data.dataset import DataDescription
from reproof.models.voting import Ensemble
from tests.tiny_classifier import LinearClassifier


def image(*pixels: float) -> Tensor:
    return torch.tensor(pixels).reshape(1, 1, 1, -1)


def moved(clean: Tensor, *steps: tuple[float, ...]) -> list[Tensor]:
    return [clean + image(*step) for step in steps]


def test_the_sum_is_cut_to_the_budget_pixel_by_pixel() -> None:
    clean = image(0.5, 0.5, 0.5, 0.5)
    crafted = moved(clean, (0.1, 0.1, -0.05, 0.02), (0.1, -0.1, -0.1, 0.03), (-0.02, 0.04, 0.0, 0.01))
    found = aggregate(clean, crafted, "linf", 0.1)
    torch.testing.assert_close(found, clean + image(0.1, 0.04, -0.1, 0.06))


def test_of_fgsm_it_is_the_sign_of_the_sum_times_epsilon() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(8, 3, 5, 5, generator=generator) * 0.6 + 0.2
    for members in (2, 3, 4, 5):
        signs = torch.randint(0, 2, (members, *clean.shape), generator=generator) * 2.0 - 1
        found = aggregate(clean, list(clean + 0.2 * signs), "linf", 0.2)
        torch.testing.assert_close(found, clean + 0.2 * signs.sum(dim=0).sign())
        if members % 2 == 0:
            assert bool((found == clean).any()), "an even number of members can cancel"
            assert bool(((signs.sum(dim=0) == 0) == torch.isclose(found, clean, atol=1e-6)).all())
        else:
            torch.testing.assert_close((found - clean).abs(), torch.full_like(clean, 0.2))


def test_a_step_that_was_cut_off_at_the_edge_weighs_what_is_left_of_it() -> None:
    clean = image(0.0, 0.05, 1.0)
    crafted = [image(0.0, 0.0, 0.7), image(0.0, 0.0, 0.7), image(0.3, 0.35, 1.0)]
    torch.testing.assert_close(aggregate(clean, crafted, "linf", 0.3), image(0.3, 0.25, 0.7))


def test_images_stay_in_their_range() -> None:
    clean = image(0.95, 0.02)
    crafted = moved(clean, (0.04, -0.02), (0.04, -0.02))
    assert torch.equal(aggregate(clean, crafted, "linf", 0.3), image(1.0, 0.0))
    assert torch.equal(aggregate(clean, crafted, None, None), image(1.0, 0.0))


def test_without_a_budget_the_sum_stays_as_it_is() -> None:
    clean = image(0.4, 0.4)
    crafted = moved(clean, (0.1, -0.05), (0.2, -0.1), (0.1, 0.0))
    for norm in ("l2", None):
        torch.testing.assert_close(aggregate(clean, crafted, norm, None), image(0.8, 0.25))


def test_members_count_alike_and_images_keep_to_themselves() -> None:
    generator = torch.Generator().manual_seed(1)
    clean = torch.rand(4, 1, 3, 3, generator=generator)
    crafted = [(clean + 0.1 * torch.randn(clean.shape, generator=generator)).clamp(0, 1) for _ in range(3)]
    whole = aggregate(clean, crafted, "linf", 0.15)
    torch.testing.assert_close(aggregate(clean, crafted[::-1], "linf", 0.15), whole)
    alone = [aggregate(clean[i : i + 1], [c[i : i + 1] for c in crafted], "linf", 0.15) for i in range(4)]
    assert torch.equal(torch.cat(alone), whole)
    torch.testing.assert_close(aggregate(clean, crafted[:1], None, None), crafted[0])


def test_nothing_that_it_is_given_changes() -> None:
    clean, crafted = image(0.5, 0.5), moved(image(0.5, 0.5), (0.3, 0.1), (0.3, 0.1))
    kept = [part.clone() for part in (clean, *crafted)]
    aggregate(clean, crafted, "linf", 0.1)
    assert all(torch.equal(part, old) for part, old in zip((clean, *crafted), kept, strict=True))


@pytest.mark.parametrize("epsilon", [8 / 255, 0.1, 0.3])
def test_it_never_leaves_the_budget(epsilon: float) -> None:
    clean = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    signs = [torch.randn(clean.shape, generator=torch.Generator().manual_seed(s)).sign() for s in (3, 4, 5)]
    found = aggregate(clean, [(clean + epsilon * s).clamp(0, 1) for s in signs], "linf", epsilon)
    threat_model.check(clean, found, "linf", epsilon, "the sum")


@pytest.mark.parametrize("norm", ["l2", "l0", None])
def test_sums_are_cut_in_one_norm_only(norm: Any) -> None:
    clean = image(0.5)
    with pytest.raises(ValueError, match="L-infinity balls only"):
        aggregate(clean, [clean, clean], norm, 0.1)


def test_two_linear_members_are_attacked_along_the_sum_of_their_signs() -> None:
    """A linear member's FGSM steps along the sign of the difference of its two classes' weights."""
    data = DataDescription(1, 1, 3, 2, (0.0,), (1.0,))
    differences = [torch.tensor([1.0, 2.0, -1.0]), torch.tensor([3.0, -1.0, -2.0])]
    members = [
        LinearClassifier(data, torch.stack([torch.zeros(3), difference]), torch.zeros(2))
        for difference in differences
    ]
    ensemble = Ensemble(members, data).eval()
    settings: Any = registry.settings_class("attacks", "fgsm").model_validate({"epsilons": [0.1]})
    clean, labels = image(0.5, 0.5, 0.5), torch.tensor([0])
    found = [
        engine.AttackEngine(member, seed=0, batch_size=4, device="cpu", skip_misclassified=False)
        .run("fgsm", settings, clean, labels, labels)
        .images["epsilon=0.1"]
        for member in ensemble.members
    ]
    torch.testing.assert_close(aggregate(clean, found, "linf", 0.1), image(0.6, 0.5, 0.4))
