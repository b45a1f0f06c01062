"""AutoAttack for L-infinity and L2 (Croce and Hein, 2020): four attacks in turn, with nothing left to choose.

`standard`: APGD on cross-entropy, APGD on the targeted DLR loss and FAB, both towards 9 other classes, and Square with
5,000 queries. `rand`, for networks that draw at random: APGD on cross-entropy and on DLR, each gradient averaged over
20 passes. Steps, restarts and step sizes are the authors', whose own code pyautoattack runs.
Each part attacks only what the parts before it left. A fooled image is kept as it fooled first; one that survives
comes back as it was.

Of fewer than 10 classes all but the image's own are targets. The targeted DLR loss needs 4 classes and the untargeted
one 3 (Eq. 6 and 7): with 3 the untargeted one takes its place, with 2 APGD on cross-entropy stands alone.
The authors' checks of the model before the attack are left out: they answer with warnings, and one of them takes away
the interpreter's trace function.

Not guaranteed: that an image that survives is robust. It follows gradients of the logits, so a defense with a view of
its own needs that view attacked as well, and `standard` misjudges a network that draws at random. Random draws are
shared by a batch, so a survivor's fate can depend on what else is in it. Survivors are unchanged: no test of another
model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from pyautoattack import AutoAttack
from torch import Tensor

from reproof.attacking import checkpoint
from reproof.attacking.batch import Attack, Batch
from reproof.attacking.seclusion import LIBRARY_NORMS, safely, secluded
from reproof.settings.attack import Access, BallSettings, Point
from reproof.settings.cost import FORWARD
from reproof.settings.values import Count, Norm


class Settings(BallSettings):
    """AutoAttack's budgets; all else is the authors'."""

    title: ClassVar[str] = "AutoAttack"
    family: ClassVar[str] = "an ensemble of attacks"
    access: ClassVar[Access] = "gradient"
    iterative: ClassVar[bool] = True
    targeted: ClassVar[bool] = True
    randomised: ClassVar[bool] = True
    ensemble: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"epsilons": [0.1], "queries": 100}
    takes_view: ClassVar[bool] = False
    version: Literal["standard", "rand"] = "standard"
    """`rand` averages gradients, for a defense that draws at random; `standard` for all others."""
    queries: Count = 5000
    """Square's queries of each image in `standard`; 5,000 is the authors' and what the name stands for."""

    @property
    def averages(self) -> bool:
        """Say whether its gradients are averages: those of `rand` are."""
        return self.version == "rand"

    def passes(self) -> float:
        """Return the passes of an image of ten classes that survives to the end: an upper bound.

        An image leaves with the first part that fools it, and every target of APGD and FAB is such a part. Of a
        network without a defense most leave after the first, a fiftieth of this.
        """
        if self.version == "rand":
            return 2 * (20 * 101 + 2 * FORWARD)
        gradients = 101 + 9 * 101 + 9 * 100  # APGD's gradients, APGD's and FAB's towards nine classes
        forwards = (
            9 * 100 + 9 * 4 + self.queries
        )  # FAB looks at each step; each target starts and ends with looks
        return gradients + FORWARD * (forwards + 10)


@dataclass(frozen=True)
class EnsembleAttack:
    """pyautoattack's parts, each on what is left, as its own evaluation would run them."""

    version: Literal["standard", "rand"]
    queries: int
    norm: Norm = "linf"

    def perturb(self, batch: Batch) -> Tensor:
        """Return images inside the ball around the batch's: misclassified, or as they were."""
        clean, labels, epsilon = batch.images.detach().contiguous(), batch.labels, batch.require_epsilon()
        best = clean.clone()
        if epsilon == 0:
            return best
        with secluded() as seed:
            ask = safely(batch.logits)
            library = AutoAttack(
                ask,
                norm=LIBRARY_NORMS[self.norm],
                eps=epsilon,
                seed=seed,
                version=self.version,
                device=clean.device,
            )
            library.square.n_queries = self.queries
            logits = ask(clean)
            left = (logits.argmax(dim=1) == labels).nonzero().squeeze(1)
            for perturb in parts(library, logits.shape[1]):
                if not len(left):
                    break
                found = checkpoint.step(partial(_made_by, perturb), batch.select(left))
                fooled = ask(found).argmax(dim=1) != labels[left]
                best[left[fooled]] = found[fooled]
                left = left[~fooled]
        return best


def _made_by(perturb: Callable[[Tensor, Tensor], Tensor], batch: Batch) -> Tensor:
    return perturb(batch.images.detach().contiguous(), batch.labels)


def parts(library: AutoAttack, classes: int) -> Iterator[Callable[[Tensor, Tensor], Tensor]]:
    """Yield the version's attacks in its order, set for so many classes; each takes images and labels."""
    targets = min(9, classes - 1)
    library.apgd_targeted.n_target_classes = library.fab.n_target_classes = targets
    for name in library.attacks_to_run:
        part = "apgd-dlr" if name == "apgd-t" and classes < 4 else name
        if part == "apgd-dlr" and classes < 3:
            continue
        if part in ("apgd-ce", "apgd-dlr"):
            library.apgd.loss = part.removeprefix("apgd-")
            yield library.apgd.perturb
        elif part == "apgd-t":
            yield library.apgd_targeted.perturb
        elif part == "fab-t":
            library.fab.targeted = True
            yield library.fab.perturb
        else:
            yield library.square.perturb


def build(settings: Settings, point: Point) -> Attack:
    """Return AutoAttack in its version."""
    return EnsembleAttack(settings.version, settings.queries, settings.norm)
