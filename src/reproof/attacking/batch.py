"""The images under attack, and what their attacks share."""

from __future__ import annotations

from dataclasses import dataclass

from eagerpy.astensor import astensor
from eagerpy.tensor.tensor import Tensor as EagerTensor
from torch import Tensor


@dataclass
class Batch:
    """The images under attack, and what their attacks share."""

    images: Tensor
    labels: Tensor
    positions: list[int]
    clean_gradient: tuple[EagerTensor, EagerTensor] | None = None
    """Loss and gradient at the clean images: where FGSM ends and BIM and MIM begin, whatever the epsilon. Nobody
    reads the loss, which after `select` is still the whole batch's."""
    zero_gradients: int | None = None

    def select(self, rows: Tensor) -> Batch:
        """Return the batch of some of the images. rows: bool (n,)."""
        gradient = self.clean_gradient
        if gradient is not None:
            gradient = gradient[0], astensor(gradient[1].raw[rows])
        positions = [position for position, kept in zip(self.positions, rows.tolist(), strict=True) if kept]
        return Batch(self.images[rows], self.labels[rows], positions, gradient, self.zero_gradients)
