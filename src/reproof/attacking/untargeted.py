"""What an attack of our own does with Foolbox's arguments before and behind its search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from eagerpy.astensor import astensor, astensor_
from foolbox.attacks.base import T, get_criterion, raise_if_kwargs
from foolbox.criteria import Misclassification
from torch import Tensor


def unpack(
    attack: str, inputs: T, criterion: Misclassification | T, unknown: Mapping[str, Any]
) -> tuple[Tensor, Tensor, Callable[[Tensor], T]]:
    """Return images and labels as PyTorch tensors, and what turns images into the type that came in.

    attack: the name for the message. unknown: arguments that the attack has no use for; TypeError where there are
    any, ValueError where the criterion asks for a class.
    """
    raise_if_kwargs(dict(unknown))
    images, restore_type = astensor_(inputs)
    goal = get_criterion(criterion)
    if not isinstance(goal, Misclassification):
        raise ValueError(f"{attack} is untargeted here")

    def restore(found: Tensor) -> T:
        restored: T = restore_type(astensor(found))
        return restored

    return images.raw, goal.labels.raw, restore
