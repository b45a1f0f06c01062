"""How far an attack may move an image, measured on what it returned: a broken budget raises, never counts."""

from __future__ import annotations

import torch
from torch import Tensor

from reproof.errors import BudgetError
from reproof.settings.values import Norm

TOLERANCE = 1e-6
"""Float rounding forgiven at the edge of the ball and of [0, 1]; three orders below one grey level of 255. Of a budget
above 1, a share of it."""


def distances(clean: Tensor, perturbed: Tensor) -> dict[Norm, Tensor]:
    """Return each image's distance: linf, l2 and l1 float32 (N,), l0 int64 (N,), pixels with any changed channel.

    BudgetError when the two do not compare: another shape, another type, a number that is not finite.
    """
    _compare(clean, perturbed, "distances")
    difference = (perturbed.detach() - clean.detach()).flatten(2).double()
    return {
        "linf": difference.abs().amax(dim=(1, 2)).float(),
        "l2": difference.flatten(1).norm(dim=1).float(),
        "l1": difference.abs().sum(dim=(1, 2)).float(),
        "l0": difference.ne(0).any(dim=1).sum(dim=1),
    }


def admit(images: Tensor, where: str) -> Tensor:
    """Return images to attack, those within rounding of the edge of [0, 1] put inside; a new tensor.

    Libraries stop at such an image without a word, and arctanh has no value there. BudgetError when an image lies
    outside, or the images are no float32 (N, C, H, W) of finite numbers.
    """
    if images.dtype != torch.float32:
        raise BudgetError(
            f"{where} are {images.dtype}; give torch.float32 in [0, 1], grey levels divided by 255"
        )
    check(images, images, None, None, where)
    return images.detach().clamp(0, 1)


def within(clean: Tensor, perturbed: Tensor, norm: Norm, epsilon: float) -> Tensor:
    """Return which images lie within epsilon of their clean ones, bool (N,), as `check` measures it."""
    return distances(clean, perturbed)[norm].double() <= _allowed(epsilon)


def check(clean: Tensor, perturbed: Tensor, norm: Norm | None, epsilon: float | None, where: str) -> None:
    """Raise BudgetError unless every image is comparable, inside [0, 1] and within epsilon of its clean one.

    The message names `where` (the attack and its point), the worst image, its distance and the budget. norm
    and epsilon are None for attacks without a budget; the rest is checked all the same.
    """
    _compare(clean, perturbed, where)
    if not len(clean):
        return
    outside = torch.maximum(-perturbed, perturbed - 1).flatten(1).amax(dim=1)
    worst = int(outside.argmax())
    if outside[worst] > TOLERANCE:
        raise BudgetError(f"{where}: image {worst} leaves [0, 1] by {float(outside[worst]):.3g}")
    if norm is None or epsilon is None:
        return
    distance = distances(clean, perturbed)[norm].double()
    worst, allowed = int(distance.argmax()), _allowed(epsilon)
    if distance[worst] > allowed:
        over = int((distance > allowed).sum())
        raise BudgetError(
            f"{where}: image {worst} lies at {norm} distance {float(distance[worst]):.8g}, "
            f"over the budget of {epsilon:.8g}; {over} of {len(distance)} images are over"
        )


def _allowed(epsilon: float) -> float:
    return epsilon + TOLERANCE * max(1.0, epsilon)


def _compare(clean: Tensor, perturbed: Tensor, where: str) -> None:
    if perturbed.shape != clean.shape or perturbed.ndim != 4:
        raise BudgetError(
            f"{where}: images of shape {tuple(perturbed.shape)} came back for clean ones of shape "
            f"{tuple(clean.shape)}; both should be (N, C, H, W)"
        )
    if perturbed.dtype != torch.float32 or clean.dtype != torch.float32:
        raise BudgetError(
            f"{where}: images are {clean.dtype} and {perturbed.dtype}; both should be torch.float32"
        )
    for name, images in (("clean", clean), ("perturbed", perturbed)):
        finite = images.isfinite().flatten(1).all(dim=1)
        if not finite.all():
            worst = int((~finite).nonzero()[0])
            raise BudgetError(f"{where}: {name} image {worst} has pixels that are not finite numbers")
