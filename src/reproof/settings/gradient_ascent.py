"""What attacks by gradient ascent declare about themselves."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reproof.settings.attack import EpsilonAttackSettings
from reproof.settings.values import Count, Switch


class GradientAscentSettings(EpsilonAttackSettings):
    """An attack that maximises a loss in several steps inside an epsilon ball."""

    early_stop: Switch = Field(
        False,
        description="True: an image is left as soon as an iterate is misclassified, and that iterate counts. Robust "
        "accuracy then means right at every iterate, which is never above what the last one alone leaves. Who evades "
        "detectors (an attack loss that says `accepted`) goes on from an iterate that is refused.",
    )
    nested: Switch = Field(
        False,
        description="True: epsilons are attacked in rising order, and an image that one of them fooled keeps that "
        "image at the larger ones. Accuracy then falls with epsilon by construction, and shows nothing by it.",
    )
    loss: Literal["cross_entropy", "margin"] = Field(
        "cross_entropy",
        description="The form of what is maximised: cross-entropy, or the largest other logit minus the label's, "
        "whose gradient does not vanish where the network is sure (Carlini and Wagner 2017, f of Sec. IV). In an "
        "attack loss that a suite's view names, the margin takes the place of its cross-entropy.",
    )
    samples: Count = Field(
        1,
        description="Passes over which each step's gradient is averaged, for networks that draw random numbers when "
        "they are asked (expectation over transformation: Athalye, Carlini and Wagner 2018, Sec. 4.2).",
    )

    def passes(self) -> float:
        """Return the steps times restarts times samples, at one point, when nothing stops early."""
        return super().passes() * self.samples
