"""The strongest attack of this project: all of its ways of attack in turn, each on the images that the others left.

In order of cost: PGD that converges on the cross-entropy of the logits and on their margin; on each attack loss of the
defense and on the margin in its place; through what has no gradient of its own (a purifier) with a gradient averaged
over neighbours too (Athalye, Carlini and Wagner 2018, Sec. 4); towards each of the likeliest wrong classes (Gowal et
al. 2019); AutoAttack; Square by scores (after AutoAttack's own past purifiers alone); and images made on other
networks. Where a model draws at random, each gradient is a mean over several passes (expectation over transformation).
An image leaves as soon as the deployed model gets it wrong, and the part that took it is kept; where nothing is left it
ends. One that survives comes back as the first part left it.

An image that is refused by then, or was before, is not right, but not wrong and accepted either. All parts attack it
again, past refusals, those on an attack loss that evades them first; beside them PGD that creeps away from the clean
image, since what is near it is seldom refused. What each part makes is also drawn back towards the clean image, until
the model accepts it and is wrong. Where nothing is, the refused image stays.

PGD's steps shrink from STEPS[0] to STEPS[1] of epsilon along half a cosine, from a new random point for each run. With
`nested` epsilons, an image that a smaller one took is not attacked again.

Not guaranteed: that an image that survives is robust. AutoAttack and Square share their draws over a batch, so what
they find for an image can depend on what else is in it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from reproof import registry
from reproof.attacking import checkpoint
from reproof.attacking.batch import Attack, Batch
from reproof.attacking.gradient import NoGradientError
from reproof.attacking.gradient_ascent import LogitCache, maximise, momentum_sign, random_start
from reproof.models.attack_loss import (
    AttackLoss,
    Form,
    Logits,
    Loss,
    as_attack_loss,
    margin,
    on_logits,
    targeted_margin,
)
from reproof.models.classifier import REFUSED
from reproof.settings.attack import Access, EpsilonAttackSettings, Point
from reproof.settings.cost import FORWARD
from reproof.settings.values import Count, Switch, Whole

STEPS = (0.3, 0.01)
"""PGD's first and last step, as fractions of epsilon."""
LOOKS = 5
"""After how many steps the deployed model is asked, where the logits that are followed do not tell who is fooled."""
RADIUS = 0.5
"""How far from an iterate a smoothed gradient looks, as a fraction of epsilon."""
CREEP = 1.5
"""How far the creeping steps of a run go in all, as a fraction of epsilon."""
SHARES = tuple(m / 8 for m in range(7, 0, -1))
"""What share of the way from the clean image is tried of an image that is not wrong and accepted."""
PLAIN = "logits"
"""The view of an attacker who knows of no attack loss."""


class Settings(EpsilonAttackSettings):
    """The budgets of the composed attack, and how long each of its parts goes on."""

    title: ClassVar[str] = "Strongest"
    family: ClassVar[str] = "an ensemble of attacks"
    access: ClassVar[Access] = "gradient"
    iterative: ClassVar[bool] = True
    targeted: ClassVar[bool] = True
    randomised: ClassVar[bool] = True
    ensemble: ClassVar[bool] = True
    composed: ClassVar[bool] = True
    runs: ClassVar[tuple[str, ...]] = ("autoattack", "square")
    takes_view: ClassVar[bool] = False
    early_stop: ClassVar[bool] = True
    nested: ClassVar[bool] = True
    example: ClassVar[dict[str, Any]] = {"epsilons": [0.1], "steps": 5, "autoattack": False, "queries": 20}
    steps: Count = 100
    """Gradient steps of each run of PGD."""
    restarts: Count = 5
    """Runs of PGD on each untargeted loss; later ones only on what is left."""
    targets: Whole = 9
    """Wrong classes that are aimed at, the likeliest first, a run each; at most all that there are."""
    samples: Count = 8
    """Passes that a gradient is the mean of, where the model draws at random or the gradient is smoothed."""
    autoattack: Switch = True
    """Whether AutoAttack comes after PGD, with its own settings."""
    queries: Whole = 5000
    """Queries of Square, which AutoAttack's own has too; 0 leaves it out. After AutoAttack it is run past purifiers
    alone, there with restarts."""

    def passes(self) -> float:
        """Return the passes of an image that survives to the end, of a model without attack losses: an upper bound."""
        climbing = self.steps * (2 * self.restarts + self.targets)
        authors = 101 + 9 * 101 + 9 * 100 + FORWARD * 9 * 104 if self.autoattack else 0
        return climbing + authors + FORWARD * self.queries


@dataclass(frozen=True)
class View:
    """An attack loss under its name, and how PGD follows it."""

    name: str
    loss: AttackLoss
    early: bool = True
    """Whether the logits that are followed nominate who is fooled at each iterate; else the model is asked by LOOKS."""
    smoothed: bool = False
    """Whether gradients are means over neighbours."""
    creeping: bool = False
    """Whether a run begins at the clean image and takes small steps, all alike."""

    def called(self, form: str) -> str:
        """Return what a part on it is called: `margin`, `joint`, `joint, targeted margin`."""
        if self.name == PLAIN:
            return form or "cross-entropy"
        return f"{self.name}, {form}" if form else self.name


@dataclass(frozen=True)
class Part:
    """One way of attack: images around the batch's, and what it is called on the page."""

    name: str
    perturb: Callable[[Batch], Tensor]
    access: str = "gradient"
    """How it searches: by the model's gradients, as an ensemble of attacks, by scores, or on another network."""


@dataclass(frozen=True)
class ComposedAttack:
    """The parts in turn, each on what is left."""

    settings: Settings

    def perturb(self, batch: Batch) -> Tensor:
        """Return images inside the ball around the batch's: misclassified, or as the first part left them."""
        batch = replace(batch, past_refusals=False)
        best, left = batch.images.clone(), torch.arange(len(batch.images), device=batch.images.device)
        refused = torch.zeros_like(left, dtype=torch.bool)
        if batch.refused is not None:
            refused, left = batch.refused.clone(), left[~batch.refused]
        for number, part in enumerate(self.parts(batch)):
            if not len(left):
                break
            shown = batch if len(left) == len(best) else batch.select(left)
            found = self._try(part, shown)
            stands, accepted = self._judge(shown, found)
            best[left[~stands]] = found[~stands]
            refused[left] = ~stands & ~accepted
            if number == 0:
                best[left[stands]] = found[stands]
            batch.taken.note(
                part.name,
                part.access,
                [shown.noise.positions[row] for row in (~stands).nonzero().flatten().tolist()],
            )
            left = left[stands]
        return self._past_refusals(batch, best, refused) if refused.any() else best

    def _past_refusals(self, batch: Batch, best: Tensor, refused: Tensor) -> Tensor:
        """Return the images; of the refused ones, those that a part makes wrong and accepted are so."""
        left = refused.nonzero().squeeze(1)
        batch = replace(batch, past_refusals=True)
        for part in self.parts(batch.select(left)):
            shown = batch.select(left)
            found = self._drawn_back(shown, self._try(part, shown))
            won = ~self._stands(shown, found)
            best[left[won]] = found[won]
            left = left[~won]
            if not len(left):
                break
        return best

    def _drawn_back(self, batch: Batch, found: Tensor) -> Tensor:
        """Return images; those that are not wrong and accepted, nearer to the clean ones where they are so there."""
        found, left = found.clone(), torch.arange(len(found), device=found.device)
        for share in (1.0, *SHARES):
            rows = batch.select(left)
            nearer = rows.images + share * (found[left] - rows.images) if share < 1 else found[left]
            won = ~self._stands(rows, nearer)
            found[left[won]] = nearer[won]
            left = left[~won]
            if not len(left):
                break
        return found

    def _try(self, part: Part, batch: Batch) -> Tensor:
        """Return what a part makes; random images where it finds no gradient, which is left to those that need none."""
        try:
            return part.perturb(batch)
        except NoGradientError:
            return random_start(batch, 0)

    def _stands(self, batch: Batch, images: Tensor) -> Tensor:
        """Return which images are not what is wanted, bool (n,): right, or past refusals not wrong and accepted."""
        stands, accepted = self._judge(batch, images)
        return ~accepted if batch.past_refusals else stands

    def _judge(self, batch: Batch, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return which images the deployed model gets right, and which wrong and accepts, bool (n,) each.

        Where it draws, in half of its answers, and in more than half.
        """
        asked, least = (self.settings.samples, 0.5) if batch.random else (1, 0)
        classes = torch.stack([batch.predict(images) for _ in range(asked)])
        wrong = classes != batch.labels
        right = wrong.float().mean(dim=0) <= least
        return right, (wrong & (classes != REFUSED)).float().mean(dim=0) > least

    def parts(self, batch: Batch) -> Iterator[Part]:
        """Yield the parts for a batch's model, cheapest first."""
        settings, plain, hides = self.settings, on_logits(batch.logits), _hides(batch)
        views = [View(PLAIN, plain, early=not hides)]
        losses = {name: as_attack_loss(loss, batch.logits) for name, loss in batch.attack_losses.items()}
        views += [View(name, loss) for name, loss in losses.items() if not loss.accepted]
        if batch.past_refusals:
            views = [View(name, loss) for name, loss in losses.items() if loss.accepted] + views
            for view in views:
                yield self._climb(replace(view, creeping=True), "margin", 0)
        draws = itertools.count(step=max(settings.restarts, settings.targets, 1))
        for view in views:
            yield self._climb(view, "", next(draws))
            yield self._climb(view, "margin", next(draws))
        for view in views:
            if view.loss.stands_in:
                yield self._climb(replace(view, smoothed=True, early=False), "smoothed margin", next(draws))
        for view in views if settings.targets else ():
            yield self._aim(view, "targeted margin", next(draws))
        # Past a purifier, AutoAttack would attack the network inside; its Square on a stand-in meets what is deployed.
        through: dict[str, Logits] = {PLAIN: batch.logits}
        if hides:
            through = {name: loss.logits for name, loss in losses.items() if loss.logits is not None}
        authors = settings.autoattack and registry.attack("autoattack") is not None
        for name, logits in through.items() if authors else ():
            yield self._autoattack(name, logits, batch)
        covered = authors and bool(through) and not batch.random
        if settings.queries and (hides or not covered) and registry.attack("square") is not None:
            # The search is rugged past a purifier: other squares take other images.
            restarts = settings.restarts if hides else 1
            square = self._other("square", batch, queries=settings.queries, restarts=restarts)
            yield Part("Square", partial(checkpoint.step, square.perturb), "score")
        for name, network in batch.networks.items():
            yield Part(f"transfer from {name}", self._transfer(network, next(draws)), "transfer")

    @property
    def _sizes(self) -> tuple[float, ...]:
        """Return the steps of a run, as fractions of epsilon."""
        (first, last), count = STEPS, self.settings.steps
        return tuple(last + (first - last) * (1 + math.cos(math.pi * m / count)) / 2 for m in range(count))

    def _climb(self, view: View, form: str, draw: int) -> Part:
        """Return PGD with restarts on a view: with its own form, or with the margin in its place."""
        restarts = 1 if view.smoothed or view.creeping else self.settings.restarts

        def run(shown: Batch, left: Tensor, number: int) -> Tensor:
            return self._run(shown, view, margin if form else None, draw + number)

        return self._runs(view.called(form), restarts, run)

    def _aim(self, view: View, form: str, draw: int) -> Part:
        """Return PGD towards each of the likeliest wrong classes in turn."""
        likeliest = torch.empty(0)

        def run(shown: Batch, left: Tensor, number: int) -> Tensor | None:
            nonlocal likeliest
            if number == 0:
                others = shown.logits(shown.images).scatter(1, shown.labels[:, None], -torch.inf)
                likeliest = others.argsort(dim=1, descending=True, stable=True)[:, :-1]
            if number >= likeliest.shape[1]:
                return None
            aims = torch.stack([shown.labels, likeliest[left, number]], dim=1)
            return self._run(shown, view, targeted_margin, draw + number, aims)

        return self._runs(view.called(form), self.settings.targets, run)

    def _runs(self, name: str, count: int, run: Callable[[Batch, Tensor, int], Tensor | None]) -> Part:
        """Return so many runs in turn, each on what is left. run: takes the batch, its rows and the run's number."""

        def perturb(batch: Batch) -> Tensor:
            best, left = batch.images.clone(), torch.arange(len(batch.images), device=batch.images.device)
            for number in range(count):
                shown = batch.select(left) if number else batch
                found = run(shown, left, number)
                if found is None:
                    break
                best[left] = found
                left = left[self._stands(shown, found)]
                if not len(left):
                    break
            return best

        return Part(name, perturb)

    def _run(
        self, batch: Batch, view: View, form: Form | None, draw: int, aims: Tensor | None = None
    ) -> Tensor:
        """Return where one run of PGD ends, or where an image first left it."""
        asked = None if view.smoothed else view.loss.logits
        leaves = view.early and not batch.random
        cache = LogitCache(asked or batch.logits)
        shown = view.loss if asked is None else on_logits(cache if leaves else asked)
        loss: Loss = shown if form is None else shown.with_form(form)
        if view.smoothed:
            loss = smooth(loss, RADIUS * batch.require_epsilon(), self.settings.samples)

        def climb(shown: Batch) -> Tensor:
            return maximise(
                shown,
                loss,
                steps=self.settings.steps,
                step_size=CREEP / self.settings.steps if view.creeping else self._sizes,
                start=None if view.creeping else random_start(shown, draw),
                aims=aims,
                samples=self.settings.samples if shown.random else 1,
                leave=cache if leaves else None,
                looks=0 if view.early or shown.random else LOOKS,
            )

        return checkpoint.step(climb, batch)

    def _other(self, kind: str, batch: Batch, **settings: Any) -> Attack:
        """Return another attack at the batch's budget."""
        epsilon = batch.require_epsilon()
        declared = registry.attack(kind)
        assert declared is not None
        chosen = declared.model_validate({"epsilons": [epsilon], **settings})
        attack: Attack = registry.load("attacks", kind).build(chosen, chosen.points()[0])
        return attack

    def _autoattack(self, name: str, logits: Logits, batch: Batch) -> Part:
        """Return AutoAttack on these logits."""
        version = "rand" if batch.random else "standard"
        attack = self._other("autoattack", batch, version=version, queries=max(self.settings.queries, 1))
        called = "AutoAttack" if name == PLAIN else f"AutoAttack on {name}"
        return Part(
            called, lambda shown: attack.perturb(replace(shown, classifier=Asked(logits))), "ensemble"
        )

    def _transfer(self, network: nn.Module, draw: int) -> Callable[[Batch], Tensor]:
        """Return MIM on another network, whose last iterate is shown to the model."""

        def perturb(batch: Batch) -> Tensor:
            view = on_logits(replace(batch, classifier=network).logits)
            return maximise(
                batch,
                view.with_form(margin),
                steps=self.settings.steps,
                step_size=self._sizes,
                rule=momentum_sign(1.0),
                start=random_start(batch, draw),
            )

        return partial(checkpoint.step, perturb)


def _hides(batch: Batch) -> bool:
    """Say whether the logits that are differentiated are not the deployed ones: behind a purifier.

    What fools them shows nothing then, and to ask the purifier at every step would cost more than the attack: it is
    asked every LOOKS steps.
    """
    return any(isinstance(loss, AttackLoss) and loss.stands_in for loss in batch.attack_losses.values())


class Asked(nn.Module):
    """Logits as a network, for attacks that ask one."""

    def __init__(self, logits: Logits):
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K)."""
        return self.logits(images)


def smooth(loss: Loss, radius: float, samples: int) -> Loss:
    """Return the mean of a loss over neighbours of the images, other ones each time that it is asked.

    It has a gradient where what is attacked is a step function. radius: of the L-infinity ball that neighbours are
    drawn from, the same for all images. samples: how many.
    """
    generator = torch.Generator().manual_seed(0)

    def smoothed(images: Tensor, labels: Tensor) -> Tensor:
        found = []
        for _ in range(samples):
            shift = (2 * torch.rand(images.shape[1:], generator=generator) - 1) * radius
            found.append(loss((images + shift.to(images)).clamp(0, 1), labels))
        return torch.stack(found).mean(dim=0)

    return smoothed


def build(settings: Settings, point: Point) -> Attack:
    """Return the composed attack."""
    return ComposedAttack(settings)
