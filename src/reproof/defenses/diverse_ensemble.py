"""A. Mirzaeian, M. Sabokrou, M. Khalooei, J. Kosecka, H. Homayoun, T. Mohsenin, A. Sasan. Learning Diverse Latent
Representations for Improving the Resilience to Adversarial Attacks. arXiv:2006.15127, ISQED 2021.

Networks join an ensemble one by one (DKD); each learns the labels while a penalty on the cosine between its latent
vectors and those of all earlier, frozen networks (Eq. 2 to 4) turns it to another latent space. They vote, so that
what leads one of them astray should leave the majority alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from reproof.errors import StudyError
from reproof.models.defense import Progress, Trainee
from reproof.models.voting import VotingDefense
from reproof.settings.cost import ADVERSARIAL_STEP, FORWARD
from reproof.settings.defense import Undertaking, VotingSettings
from reproof.settings.values import UnitInterval

SHORTEST = 1e-6
"""Length up to which a latent vector counts as zero, and has no direction."""


class Settings(VotingSettings):
    """Settings of a network that is trained with earlier ones as frozen peers, and of the vote with them."""

    title: ClassVar[str] = "diverse ensemble"
    paper: ClassVar[str] = "mirzaeian_dkd"
    learns_beside: ClassVar[bool] = True
    swept: ClassVar[str] = "zeta"

    layer: str | None = None
    """The feature that is the latent space, j of Eq. 2, of all networks; maps are flattened. None: each network's
    last one, before the logits (Sec. 3: close to the output; the paper names none)."""
    similarity: Literal["signed", "absolute"] = "signed"
    """signed: the cosine as in Eq. 2, which is smallest where one vector is the other's opposite; absolute: its
    absolute value, smallest where they are orthogonal. After a ReLU the two are the same."""
    zeta: UnitInterval = 0.9
    """ζ of Eq. 3 and 4, weight of the similarity; 1 - ζ is that of the cross-entropy (Sec. 4.1: 0.9 for MNIST, 0.5
    for CIFAR-10)."""

    def relative_cost(self) -> float:
        """Return a step's cost with one frozen peer: its pass forward; each further one adds as much.

        How many there are is the config entry's, not the method's, to say.
        """
        return 1 + FORWARD * ADVERSARIAL_STEP

    def misfits(self, asked: Undertaking) -> list[tuple[str, str]]:
        """Return a layer that the network lacks."""
        return [("layer", message)] if (message := asked.unknown_feature(self.layer)) else []


class DiverseEnsemble(VotingDefense[Settings]):
    """Cross-entropy, and the similarity to the latent vectors of the networks that were trained before."""

    deviations: ClassVar[tuple[str, ...]] = (
        "The similarity of Eq. 2 is one cosine per image, averaged over the batch; a latent vector of zeros is "
        "similar to none.",
        "The indices of Eq. 4 are read as one layer in all networks, and as a sum over the main and all earlier "
        "auxiliary networks divided by their number.",
        "The main network votes too, so that an ensemble of three has two auxiliary networks.",
    )

    def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
        """Return (1 - ζ) L_C + ζ / i times the sum of the similarities to the i frozen peers, per image (Eq. 4).

        Without peers it is the cross-entropy (Eq. 1). The frozen networks are differentiated only where
        the images ask for a gradient. StudyError when a network lacks the layer, or its latent space is of another
        size.
        """
        if not self.peers:
            return super().loss(trainee, images, labels, progress)
        logits, features = trainee.classifier.logits_and_features(images)
        own = self.latent(features)
        similarity = torch.zeros(len(images), device=images.device)
        for network in self.peers:
            with torch.set_grad_enabled(torch.is_grad_enabled() and images.requires_grad):
                other = self.latent(network.features(images))
            if other.shape != own.shape:
                raise StudyError(
                    f"diverse_ensemble: latent vectors of {own.shape[1]} and of {other.shape[1]} numbers have no "
                    "cosine; give all networks of the ensemble one structure, or name a layer of one size"
                )
            similarity = similarity + self.similarity(own, other)
        zeta = self.settings.zeta
        loss = nn.functional.cross_entropy(logits, labels, reduction="none")
        return (1 - zeta) * loss + zeta / len(self.peers) * similarity

    def latent(self, features: Mapping[str, Tensor]) -> Tensor:
        """Return the latent vectors (N, D) of a network: its feature `layer`, or its last one, flattened."""
        layer = self.settings.layer
        if layer is None:
            return list(features.values())[-1].flatten(1)
        if layer not in features:
            raise StudyError(
                f"diverse_ensemble.layer: no feature is called {layer!r}; this network's are {', '.join(features)}"
            )
        return features[layer].flatten(1)

    def similarity(self, first: Tensor, second: Tensor) -> Tensor:
        """Return Eq. 2 per image (N,), or its absolute value. first, second: latent vectors (N, D)."""
        found = cosine(first, second)
        return found.abs() if self.settings.similarity == "absolute" else found


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Return the cosine (N,) in [-1, 1], up to rounding, between the rows of (N, D) and (N, D), in float32.

    0, with a gradient of 0, where a vector is not longer than SHORTEST.
    """
    first, second = first.float(), second.float()
    lengths = torch.linalg.vector_norm(first, dim=1), torch.linalg.vector_norm(second, dim=1)
    able = torch.minimum(*lengths) > SHORTEST
    product = torch.where(able, lengths[0] * lengths[1], 1.0)
    return torch.where(able, (first * second).sum(dim=1) / product, 0.0)
