"""A. Mirzaeian, M. Sabokrou, M. Khalooei, J. Kosecka, H. Homayoun, T. Mohsenin, A. Sasan. Learning Diverse Latent
Representations for Improving the Resilience to Adversarial Attacks. arXiv:2006.15127, ISQED 2021 ("RI", random
initialisation, Sec. 4.1).

Networks of one structure are trained on their own by cross-entropy, each from its own first weights and in its own
order of the images, and vote. Nothing makes them differ but chance: what a diverse ensemble is better than this, its
diversity has earned.
"""

from __future__ import annotations

from typing import ClassVar

from reproof.models.voting import VotingDefense
from reproof.settings.defense import VotingSettings


class Settings(VotingSettings):
    """Settings of independently trained networks that vote."""

    title: ClassVar[str] = "independent ensemble"


class IndependentEnsemble(VotingDefense[Settings]):
    """A vote of networks that know nothing of each other; each is trained by cross-entropy."""

    deviations: ClassVar[tuple[str, ...]] = ()
