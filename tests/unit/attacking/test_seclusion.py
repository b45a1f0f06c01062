from __future__ import annotations

import torch
from torch import Tensor

from reproof.attacking.gradient import counting
from reproof.attacking.seclusion import safely


def test_logits_are_the_library_s_own_and_what_was_asked() -> None:
    """The library writes into them. An infinite pixel shows that without a gradient nothing is added."""
    kept = torch.tensor([[1.0, -2.0, 3.0]])
    ask = safely(lambda images: kept)
    answer = ask(torch.full((1, 1, 2, 2), torch.inf))
    assert answer.tolist() == kept.tolist()
    answer.zero_()
    assert kept.tolist() == [[1, -2, 3]]
    assert ask(torch.zeros(0, 1, 2, 2)).shape == (0, 3)


def test_a_model_without_a_gradient_has_one_of_zero() -> None:
    images = torch.rand(2, 1, 2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(safely(constant)(images).sum(), images)
    assert torch.equal(gradient, torch.zeros(2, 1, 2, 2))
    (gradient,) = torch.autograd.grad(safely(bright)(images)[:, 0].sum(), images)
    assert torch.equal(gradient, torch.ones(2, 1, 2, 2))


def test_a_gradient_that_is_no_number_is_mended_and_counted() -> None:
    """The root of a black pixel; what the library asks of the other image, and in between, stays as it is."""
    images = torch.tensor([[0.0, 0.25], [0.25, 0.25]]).view(2, 1, 1, 2).requires_grad_()
    with counting() as tally:
        answer = safely(lambda shown: bright(shown.sqrt().square()))(images)
        (gradient,) = torch.autograd.grad(answer[:, 0].sum(), images)
    assert gradient.flatten(1).tolist() == [[0, 1], [1, 1]]
    assert (tally.taken, tally.broken) == (2, 1)
    assert images.grad is None


def constant(images: Tensor) -> Tensor:
    return torch.ones(len(images), 3)


def bright(images: Tensor) -> Tensor:
    brightness = images.flatten(1).sum(dim=1)
    return torch.stack([brightness, -brightness], dim=1)
