"""Distances against hand-computed ones; every way to leave a threat model raises."""

from __future__ import annotations

import math

import pytest
import torch

from reproof.attacking import threat_model
from reproof.errors import BudgetError


@pytest.fixture
def clean():
    return torch.full((2, 3, 2, 2), 0.5)


def test_distances_equal_those_computed_by_hand(clean):
    perturbed = clean.clone()
    perturbed[1, 0, 0, 0] += 0.3
    perturbed[1, 2, 0, 0] -= 0.4
    perturbed[1, 1, 1, 1] += 0.1
    found = threat_model.distances(clean, perturbed)
    assert found["linf"].tolist() == pytest.approx([0, 0.4])
    assert found["l2"].tolist() == pytest.approx([0, math.sqrt(0.09 + 0.16 + 0.01)])
    assert found["l1"].tolist() == pytest.approx([0, 0.8])
    assert found["l0"].tolist() == [0, 2], "l0 counts pixels, not channels"


@pytest.mark.parametrize(("norm", "budget"), [("linf", 0.2), ("l2", 0.2 * math.sqrt(2)), ("l0", 1)])
def test_check_allows_rounding_and_nothing_more(clean, norm, budget):
    perturbed = clean.clone()
    perturbed[1, :2, 0, 0] += 0.2
    threat_model.check(clean, perturbed, norm, budget, "here")
    threat_model.check(clean, perturbed, norm, budget - 5e-7, "here")
    with pytest.raises(BudgetError):
        threat_model.check(clean, perturbed, norm, budget - 2e-6, "here")


def test_rounding_grows_with_a_budget_over_1(clean):
    perturbed = clean.clone()
    perturbed[1, :, :, 0] += 0.4  # six values: an L1 distance of 2.4
    far = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    threat_model.check(*far, "l2", 4 - 3e-6, "here")
    with pytest.raises(BudgetError):
        threat_model.check(*far, "l2", 4 - 5e-6, "here")
    threat_model.check(clean, perturbed, "l1", 2.4, "here")
    with pytest.raises(BudgetError):
        threat_model.check(clean, perturbed, "l1", 2.399, "here")


@pytest.mark.parametrize(("norm", "distance"), [("linf", 0.4), ("l2", 0.5), ("l1", 0.7), ("l0", 2)])
def test_within_agrees_with_the_check(clean, norm, distance):
    perturbed = clean.clone()
    perturbed[1, 0, 0, 0] += 0.3
    perturbed[1, 0, 0, 1] -= 0.4
    for epsilon, near in ((1.01 * distance, [True, True]), (0.99 * distance, [True, False])):
        assert threat_model.within(clean, perturbed, norm, epsilon).tolist() == near
        if not all(near):
            with pytest.raises(BudgetError, match="1 of 2 images are over"):
                threat_model.check(clean, perturbed, norm, epsilon, "here")


def test_the_message_names_attack_worst_image_distance_and_budget(clean):
    perturbed = clean.clone()
    perturbed[0] += 0.12
    perturbed[1] += 0.25
    with pytest.raises(
        BudgetError, match=r"bim at epsilon=0.1: image 1 lies at linf distance 0.25,.* 0.1; 2 of 2"
    ):
        threat_model.check(clean, perturbed, "linf", 0.1, "bim at epsilon=0.1")


@pytest.mark.parametrize("value", [-2e-6, 1 + 2e-6])
@pytest.mark.parametrize("epsilon", [1.0, None])
def test_leaving_the_unit_interval_raises_with_and_without_a_budget(clean, value, epsilon):
    perturbed = clean.clone()
    perturbed[1, 0, 1, 1] = value
    with pytest.raises(BudgetError, match=r"image 1 leaves \[0, 1\]"):
        threat_model.check(clean, perturbed, "linf" if epsilon else None, epsilon, "here")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_raise(clean, value):
    perturbed = clean.clone()
    perturbed[1, 0, 0, 0] = value
    with pytest.raises(BudgetError, match=r"perturbed image 1 .* not finite"):
        threat_model.check(clean, perturbed, "linf", 1, "here")
    with pytest.raises(BudgetError, match="not finite"):
        threat_model.distances(clean, perturbed)
    with pytest.raises(BudgetError, match="clean image 1"):
        threat_model.check(perturbed, clean, None, None, "here")


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images[:1],
        lambda images: images[:, :1],
        lambda images: images.flatten(1),
        torch.Tensor.double,
    ],
)
def test_another_shape_or_type_raises(clean, change):
    with pytest.raises(BudgetError, match=r"shape|float32"):
        threat_model.check(clean, change(clean), "linf", 1, "here")
    with pytest.raises(BudgetError, match=r"shape|float32"):
        threat_model.distances(clean, change(clean))


def test_no_images_are_within_every_budget():
    none = torch.zeros(0, 1, 2, 2)
    threat_model.check(none, none, "linf", 0.0, "here")
    assert {name: len(values) for name, values in threat_model.distances(none, none).items()} == {
        "linf": 0,
        "l2": 0,
        "l1": 0,
        "l0": 0,
    }


def test_images_within_rounding_of_the_unit_interval_are_put_inside():
    given = torch.tensor([-9e-7, 0.25, 1 + 9e-7, 1.0]).view(1, 1, 2, 2)
    kept = given.clone()
    found = threat_model.admit(given, "here")
    assert found.flatten().tolist() == [0, 0.25, 1, 1]
    assert torch.equal(given, kept)
    assert not threat_model.admit(given.requires_grad_(), "here").requires_grad


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.full((1, 1, 2, 2), 7, dtype=torch.uint8), "here are torch.uint8; give torch.float32 in"),
        (torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64), "here are torch.float64; give torch.float32"),
        (torch.full((1, 1, 2, 2), 0.5, dtype=torch.float16), "here are torch.float16; give torch.float32"),
        (torch.full((1, 1, 2, 2), -2e-6), r"here: image 0 leaves \[0, 1\] by 2e-06"),
        (torch.full((1, 1, 2, 2), 1 + 2e-6), r"here: image 0 leaves \[0, 1\]"),
        (torch.full((1, 1, 2, 2), math.nan), "image 0 has pixels that are not finite"),
        (torch.full((1, 2, 2), 0.5), "shape"),
    ],
)
def test_images_that_cannot_be_attacked_are_refused_in_one_message(images, words):
    with pytest.raises(BudgetError, match=words):
        threat_model.admit(images, "here")
