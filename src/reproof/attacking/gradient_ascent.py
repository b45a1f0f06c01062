"""Gradient ascent inside a ball: the one loop of FGSM, BIM, MIM, PGD and the gradient ensemble.

It can leave an image as soon as it is fooled, average gradients over a network's random draws, and start again.

Each epsilon has passes of its own. With all of them in one batch, an epsilon and a step size for each image, bits and
counts were the same, but little was saved. On 48 images of 16 x 16 pixels at three epsilons, PGD and BIM, one thread,
apart took so many times the processor time of together: 1.06 to 1.5 for CNN-6 of width 1/16, 0.8 to 1.35 of width 1/8,
0.9 to 1.2 of 1/4 to 1, 1.0 to 1.4 for LeNet; 13 whole attack jobs of the default study 1.08. That is not worth a second
way through starts, restarts and counts. A GPU is kept busy by a larger `attack_batch_size` instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from reproof.attacking import ball
from reproof.attacking.batch import Batch, FirstGradients
from reproof.errors import StudyError
from reproof.models.attack_loss import FORMS, AttackLoss, Logits, Loss, on_logits
from reproof.settings.values import Norm

StepRule = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]
"""Gradients (n, C, H, W), and what the rule keeps of earlier ones, to the direction of a step and what it keeps now."""


def sign(gradients: Tensor, kept: Tensor | None) -> tuple[Tensor, None]:
    """Step along the gradient's sign."""
    return gradients.sign(), None


def along(norm: Norm) -> StepRule:
    """Return the rule that takes the norm's steepest step: the gradient's sign in linf, the gradient itself in l2."""
    return lambda gradients, kept: (ball.steepest(gradients, norm), None)


def momentum_sign(decay: float) -> StepRule:
    """Return the rule that steps along the sign of a sum of gradients, each at an L1 norm of 1 (Dong 2018, Eq. 6).

    decay: what is left of the sum at each step. A zero gradient adds nothing.
    """

    def rule(gradients: Tensor, kept: Tensor | None) -> tuple[Tensor, Tensor]:
        norms = gradients.abs().sum(dim=(1, 2, 3), keepdim=True)
        total = torch.zeros_like(gradients) if kept is None else kept
        total = decay * total + gradients / torch.where(norms > 0, norms, 1.0)
        return total.sign(), total

    return rule


OWN_FORM = "cross_entropy"
"""The form with which an attack loss is what the defense declares."""


def loss_of(batch: Batch, form: str, logits: Logits) -> Loss:
    """Return what an attack maximises: a form (a key of FORMS) of the logits, or of the batch's attack loss.

    An attack loss with its own form is taken as the defense declares it. StudyError where it takes no other.
    """
    chosen = batch.attack_loss
    if chosen is None:
        return on_logits(logits).with_form(FORMS[form])
    if form == OWN_FORM:
        return chosen
    if not isinstance(chosen, AttackLoss):
        raise StudyError(f"the attack loss takes no {form}; return an AttackLoss, or leave `loss` out")
    return chosen.with_form(FORMS[form])


class LogitCache:
    """Logits that remember their last answers, so that nobody asks the network twice."""

    def __init__(self, logits: Logits):
        self.ask = logits
        self.total: Tensor | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits (n, K), and add them to those that are kept."""
        answer = self.ask(images)
        kept = answer.detach()
        self.total = kept if self.total is None else self.total + kept
        return answer

    def forget(self) -> None:
        """Forget the logits."""
        self.total = None

    def predict(self, images: Tensor, samples: int) -> Tensor:
        """Return the classes of the summed logits (n,); ask for some where the loss has not."""
        with torch.no_grad():
            for _ in range(samples if self.total is None else 0):
                self(images)
        assert self.total is not None
        return self.total.argmax(dim=1)


def maximise(
    batch: Batch,
    loss: Loss,
    *,
    steps: int,
    step_size: float | Sequence[float],
    rule: StepRule = sign,
    start: Tensor | None = None,
    aims: Tensor | None = None,
    samples: int = 1,
    shared: bool = False,
    leave: LogitCache | None = None,
    looks: int = 0,
    norm: Norm = "linf",
) -> Tensor:
    """Maximise each image's loss inside its ball and return its last iterate, (N, C, H, W) in [0, 1].

    x_m = clip(project(x_{m-1} + step direction(∇x loss)), 0, 1), the projection being that of the norm's ball.

    step_size: as a fraction of epsilon, of all steps or of each. start: images of the ball; None starts at the clean
    ones. aims: what a targeted loss is given in place of labels, (N, 2). samples: passes that each gradient is the mean
    of. shared: the loss at the clean images is the same at every point (Batch.gradient).
    leave: the logits that `loss` asks; with them an image stays at its first misclassified iterate, its start
    included, the clean image not. The pass that the gradient needs nominates it, and the deployed classifier, which may
    purify, vote or refuse, decides. Of a network that draws random numbers nobody leaves, unless the answers are
    averaged (samples): one lucky draw is no misclassified image. After the last step nobody is asked: that iterate
    counts in any case.
    looks: without `leave`, after how many steps the deployed classifier is asked about all images, whatever the logits
    say; 0: never. For logits that nominate badly, those inside a purifier; not for networks that draw.
    """
    clean, labels, epsilon = batch.images, batch.labels, batch.require_epsilon()
    moved = clean if start is None else start
    sizes = [step_size] * steps if isinstance(step_size, float | int) else step_size
    aims = labels if aims is None else aims
    best, left = clean.clone(), torch.arange(len(clean), device=clean.device)
    kept: Tensor | None = None
    for number, size in enumerate(sizes):
        if leave is not None:
            leave.forget()
        gradients = batch.gradient(loss, moved, aims, samples=samples, shared=shared)
        looked = looks > 0 and number > 0 and number % looks == 0
        if moved is not batch.images and (leave is not None or looked):
            if leave is not None:
                stays = ~fooled(batch, leave, moved, labels, samples)
            else:
                stays = ~batch.won(batch.predict(moved), labels)
            if not stays.all():
                best[left[~stays]] = moved[~stays]
                left = left[stays]
                if not len(left):
                    return best
                clean, moved, labels, aims, gradients = (
                    x[stays] for x in (clean, moved, labels, aims, gradients)
                )
                kept = None if kept is None else kept[stays]
        direction, kept = rule(gradients, kept)
        moved = ball.project(clean, moved + size * epsilon * direction, norm, epsilon)
    best[left] = moved
    return best


def fooled(batch: Batch, cache: LogitCache, moved: Tensor, labels: Tensor, samples: int) -> Tensor:
    """Return which images leave, bool (n,): those that the deployed classifier answers as the attacker wants.

    cache: the logits of the last pass over `moved` (n, C, H, W), which nominate (see `maximise`).
    """
    if batch.random and samples == 1:
        return torch.zeros_like(labels, dtype=torch.bool)
    wrong = cache.predict(moved, samples) != labels
    if wrong.any() and not batch.random:
        wrong[wrong.clone()] = batch.won(batch.predict(moved[wrong]), labels[wrong])
    return wrong


def restarted(batch: Batch, search: Callable[[Batch, int], Tensor], restarts: int) -> Tensor:
    """Return the images (N, C, H, W) of several searches; each keeps the first one that fools, or else the last one.

    search: takes a batch and the restart's number, from 0; later ones meet only images that are still right. An
    attacker for whom a refused image is not won (Batch.accepted) keeps it before one that is right, and attacks what
    is right to the end once more without evading anything, so that it is refused at least.
    """
    best = found = search(batch, 0)
    left = torch.arange(len(best), device=best.device)
    for restart in range(1, restarts):
        left = left[~batch.won(batch.predict(found), batch.labels[left])]
        if not len(left):
            break
        rest = batch.select(left)
        found = search(rest, restart)
        best[left] = _never_right_again(rest, best[left], found) if batch.accepted else found
    return _refused_at_least(batch, best, search, restarts) if batch.accepted else best


def _never_right_again(batch: Batch, before: Tensor, after: Tensor) -> Tensor:
    """Return the later version of each image; the one before where that is refused and the later one right."""
    lost = (batch.predict(after) == batch.labels) & (batch.predict(before) != batch.labels)
    return torch.where(lost[:, None, None, None], before, after)


def _refused_at_least(
    batch: Batch, best: Tensor, search: Callable[[Batch, int], Tensor], restarts: int
) -> Tensor:
    """Return the images; those that are right come from one more search, on the logits alone."""
    left = (batch.predict(best) == batch.labels).nonzero().squeeze(1)
    evading = batch.attack_loss
    if len(left) and isinstance(evading, AttackLoss):
        plain = AttackLoss(lambda images, labels: (evading.parts(images, labels)[0], None))
        rest = replace(batch.select(left), attack_loss=plain, first_gradients=FirstGradients())
        best[left] = search(rest, restarts)
    return best


@dataclass(frozen=True)
class GradientAscent:
    """An attack that maximises a loss in some restarts (`restarted`)."""

    steps: int
    step_size: float
    """As a fraction of epsilon."""
    rule: StepRule = sign
    random_start: bool = False
    """Start at a uniform point of the ball, another one at each restart."""
    restarts: int = 1
    loss: str = OWN_FORM
    """The form of what is maximised: a key of FORMS."""
    samples: int = 1
    early_stop: bool = False
    """Leave an image at its first misclassified iterate."""
    norm: Norm = "linf"
    """That of the ball."""

    def perturb(self, batch: Batch) -> Tensor:
        """Return images inside the ball around the batch's."""
        return restarted(batch, self._search, self.restarts)

    def _search(self, batch: Batch, restart: int) -> Tensor:
        """Return the images where one restart ends."""
        start = random_start(batch, restart, self.norm) if self.random_start else None
        cache = LogitCache(batch.logits) if self.early_stop else None
        loss = loss_of(batch, self.loss, cache or batch.logits)
        return maximise(
            batch,
            loss,
            steps=self.steps,
            step_size=self.step_size,
            rule=self.rule,
            start=start,
            samples=self.samples,
            shared=True,
            leave=cache,
            norm=self.norm,
        )


def random_start(batch: Batch, draw: int, norm: Norm = "linf") -> Tensor:
    """Return a uniform point of each image's ball, put into [0, 1]. draw: another one for each number."""
    point = ball.uniform(batch.noise, batch.images, norm, draw)
    return (batch.images + batch.require_epsilon() * point).clamp(0, 1)
