"""Jacobian-based Saliency Map Attack (Papernot, McDaniel, Jha, Fredrikson, Celik and Swami, 2016; Mirzaeian, DKD).

Change the values of the image that help a target class most, few of them by much, until the class changes.
`pair` is the paper's: of all pairs of values, the one with the largest product of α = Σ ∂Z_t / ∂x and
-β = -Σ Σ_{j≠t} ∂Z_j / ∂x, both sums over the pair and both above zero (Algorithm 3); Z are the logits. The best
pair is found exactly: the product grows in both sums, so each of its two values is beaten in both by at most the
other one, and only the few such values are paired. `single` is as in Foolbox 2.3.0: one value at a time, by the
gradient of the target's log-probability alone. A change is `theta` long and ends at 0 or 1.

`saliency` says by what a change is chosen, and decides how strong the attack is: at the same number of changed values
α (-β) leaves most images, the target's logit alone fewer, its probability fewest (benchmarks/README.md). A large -β is
earned by lowering classes that were no rivals; only the probability knows which class still stands in the way.
`target_logit` on pairs is the rule of the Adversarial Robustness Toolbox, which besides may change up to two values
more than γ allows, changes a value as often as it takes to 1, and goes on where no change raises the logit. Each of
these gradients costs one pass back where α and β cost two. `target_probability` on pairs is Algorithm 3 itself with
probabilities in place of logits: they sum to 1, so that β = -α (JSMA-F in Carlini and Wagner 2017; the paper's
experiments take the logits).

Foolbox 2.3.0 itself chooses only values that should fall, and spends changes on values that are 0 already; its
settings here are `direction: decrease, edges: true`. It also never looks at what its last change did.

The paper wants the target class; here any wrong class ends the attack, as the study counts any. An image that stays
right comes back as it was.

Not guaranteed: that no smaller set of values would do, or that another target would not need fewer
(`target: all` looks). Each change follows a gradient and is never taken back on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from reproof.attacking.batch import Attack, Batch
from reproof.attacking.gradient import differentiate
from reproof.attacking.jacobian import differentiate_each
from reproof.models.attack_loss import Logits
from reproof.settings.attack import Access, AttackSettings, Point
from reproof.settings.values import Count, Norm, Switch, UnitInterval

LENGTHS, HALVINGS = 50, 5  # of the line along the gradient, whose first wrong class is the target
PAIRS_AT_ONCE = 2**22  # pairs of values that are compared in one go

Variant = Literal["single", "pair"]
Direction = Literal["both", "increase", "decrease"]
Saliency = Literal["product", "target_logit", "target_probability"]
Target = Literal["auto", "random", "least_likely", "all"]


class Settings(AttackSettings):
    """JSMA's steps, which values it may change and by how much, and towards which class."""

    title: ClassVar[str] = "JSMA"
    family: ClassVar[str] = "saliency of pixels"
    access: ClassVar[Access] = "gradient"
    iterative: ClassVar[bool] = True
    targeted: ClassVar[bool] = True
    norms: ClassVar[tuple[Norm, ...]] = ("l0",)
    example: ClassVar[dict[str, Any]] = {"steps": [200]}
    takes_view: ClassVar[bool] = False
    swept: ClassVar[tuple[str, ...]] = ("steps",)
    usual_steps: ClassVar[int | None] = 60

    steps: tuple[Count, ...] = Field(min_length=1)
    """Largest numbers of changes, of one value or of one pair. Each is an attack of its own."""
    variant: Literal["single", "pair"] = "single"
    """Change one value at a time (Foolbox 2.3.0), or two by the saliency map of the paper (Algorithm 3)."""
    saliency: Literal["product", "target_logit", "target_probability"] | None = None
    """By what a change is chosen. product: α times -β, for pairs only (Algorithm 3). target_logit: the derivative of
    the target's logit alone (Adversarial Robustness Toolbox). target_probability: that of the logarithm of its
    probability (Foolbox 2.3.0). null: product for pairs, target_probability for single values."""
    theta: Annotated[UnitInterval, Field(gt=0)] = 0.1
    """Length of a change in pixels' [0, 1]: θ. The paper has 1, Foolbox 2.3.0 has 0.1."""
    max_changes: Count = 7
    """How often one value may be changed."""
    gamma: Annotated[UnitInterval, Field(gt=0)] = 1.0
    """Largest share of an image's values that may change at all: Υ (14.5 % in the paper's experiments)."""
    direction: Literal["both", "increase", "decrease"] = "both"
    """Whether values rise, fall, or do what helps more; the paper has one attack for each."""
    edges: Switch = False
    """True: a change may be spent on a value that is at its edge already, once (Foolbox 2.3.0)."""
    target: Literal["auto", "random", "least_likely", "all"] = "auto"
    """Class it goes to. auto: the first wrong one on a line along the gradient of cross-entropy (Foolbox 2.3.0);
    the second most likely one where that line leads to none. random: drawn for each image and number of steps.
    all: each in turn; the smallest set of changed values counts."""

    @model_validator(mode="after")
    def _product_of_pairs(self) -> Settings:
        if self.saliency == "product" and self.variant == "single":
            raise ValueError(
                "saliency: product is the rule for pairs; set variant: pair, or leave saliency out"
            )
        return self

    def points(self) -> tuple[Point, ...]:
        """Return one point per number of steps."""
        return tuple(Point(name="steps", value=steps, epsilon=None) for steps in self.steps)

    def passes(self) -> float:
        """Return the passes that an image usually takes, averaged over the points; it stops when fooled.

        `all` counts ten classes.
        """
        targets = 9 if self.target == "all" else 1
        backwards = 1.6 if self.variant == "pair" and self.saliency in (None, "product") else 1.0
        usual = sum(min(steps, self.usual_steps or steps) for steps in self.steps) / len(self.steps)
        return targets * backwards * usual + 5.0 * (self.target == "auto")


@dataclass(frozen=True)
class SaliencyMapAttack:
    """JSMA on the images that are left, each as if it were alone."""

    steps: int
    variant: Variant = "single"
    saliency: Saliency | None = None
    theta: float = 0.1
    max_changes: int = 7
    gamma: float = 1.0
    direction: Direction = "both"
    edges: bool = False
    target: Target = "auto"

    def perturb(self, batch: Batch) -> Tensor:
        """Return each image where it first fools, or the image itself."""
        clean = batch.images.contiguous(memory_format=torch.contiguous_format)
        labels, found = batch.labels, clean
        smallest = torch.full_like(labels, clean[0].numel() + 1) if len(clean) else labels
        for targets in self._targets(batch, clean):
            one = self.approach(batch.logits, clean, targets, labels)
            changed = (one != clean).flatten(1).sum(dim=1)
            fewer = (changed > 0) & (changed < smallest)
            smallest = torch.where(fewer, changed, smallest)
            found = torch.where(fewer[:, None, None, None], one, found)
        return found

    def _targets(self, batch: Batch, clean: Tensor) -> list[Tensor]:
        """Return the classes to go to, none of them the label: one (N,) for each attempt."""
        labels = batch.labels
        if not len(clean):
            return []
        logits = batch.logits(clean)
        others = logits.scatter(1, labels[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)
        others = others[:, :-1]
        if self.target == "all":
            return list(others.unbind(dim=1))
        if self.target == "least_likely":
            return [others[:, -1]]
        if self.target == "random":
            share = (batch.noise.uniform(clean[:, :1, :1, :1], 0).flatten() + 1) / 2
            drawn = (share * others.shape[1]).long().clamp(max=others.shape[1] - 1)
            return [drawn + (drawn >= labels)]
        return [first_along_gradient(batch.logits, clean, labels, others[:, 0])]

    def approach(self, model: Logits, clean: Tensor, targets: Tensor, labels: Tensor | None) -> Tensor:
        """Change images until they are in any wrong class; return those that get there, the others as they were.

        clean: (N, C, H, W). targets: (N,), the classes to go towards. labels: (N,); None wants the targets themselves.
        """
        best = clean.clone()
        left = torch.arange(len(clean), device=clean.device)
        values = clean.flatten(1)
        counts = torch.zeros_like(values, dtype=torch.int32)
        limit = int(self.gamma * values.shape[1] + 1e-6)
        size = 2 if self.variant == "pair" else 1
        for step in range(self.steps + 1):
            if not len(left):
                break
            leaf = values.view(-1, *clean.shape[1:]).detach().requires_grad_(step < self.steps)
            logits = model(leaf)
            predicted = logits.argmax(dim=1)
            stays = predicted != targets if labels is None else predicted == labels
            best[left[~stays]] = leaf.detach()[~stays]
            if step == self.steps:
                break
            up, down = values < 1, values > 0
            if self.edges:
                up, down = up | (counts == 0), down | (counts == 0)
            touched = counts > 0
            free = (counts < self.max_changes) & (
                touched | (touched.sum(dim=1, keepdim=True) + size <= limit)
            )
            up, down = (
                up & free & (self.direction != "decrease"),
                down & free & (self.direction != "increase"),
            )
            chosen, sign, helps = self._choose(logits, targets, leaf, up, down)
            values = values.scatter_add(1, chosen, (sign * self.theta)[:, None].expand(-1, size)).clamp(0, 1)
            counts = counts.scatter_add(1, chosen, torch.ones_like(chosen, dtype=torch.int32))
            stays &= helps
            left, values, counts, targets = (x[stays] for x in (left, values, counts, targets))
            labels = None if labels is None else labels[stays]
        return best

    def _choose(
        self, logits: Tensor, targets: Tensor, leaf: Tensor, up: Tensor, down: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return which values to change (n, 1 or 2), up or down (n,), and whether that helps at all (n,)."""
        own = logits.gather(1, targets[:, None])
        size = 2 if self.variant == "pair" else 1
        if (self.saliency or ("product" if size == 2 else "target_probability")) == "product":
            outputs = torch.cat([own, logits.sum(dim=1, keepdim=True) - own], dim=1)
            alpha, beta = differentiate_each(outputs, leaf).flatten(2).unbind(dim=1)
            best_up, score_up = best_pairs(alpha, -beta, up)
            best_down, score_down = best_pairs(-alpha, beta, down)
        else:
            rivals = 0 if self.saliency == "target_logit" else logits.logsumexp(dim=1)
            gain = differentiate((own.squeeze(1) - rivals).sum(), leaf).flatten(1)
            gains_up, best_up = gain.masked_fill(~up, -torch.inf).topk(size, dim=1)
            gains_down, best_down = (-gain).masked_fill(~down, -torch.inf).topk(size, dim=1)
            score_up, score_down = gains_up.sum(dim=1), gains_down.sum(dim=1)
        rises = score_up >= score_down
        chosen = torch.where(rises[:, None], best_up, best_down)
        return chosen, torch.where(rises, 1.0, -1.0), torch.maximum(score_up, score_down) > 0


def best_pairs(first: Tensor, second: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return, per row, the two allowed columns with the largest product of both their sums, and that product.

    first, second: (n, D). allowed: bool (n, D). Returns (n, 2) and (n,): the pair (p, q) with the largest
    (first_p + first_q) (second_p + second_q), both factors above zero; -inf where no pair has such factors.
    Exact: a column that two others match or beat in both can be exchanged for one of them.
    """
    first, second = (x.masked_fill(~allowed, -torch.inf) for x in (first, second))
    order = first.argsort(dim=1, descending=True, stable=True)
    first, second = first.gather(1, order), second.gather(1, order)
    before = torch.full_like(second[:, :1], -torch.inf)
    largest = torch.cat([before, second.cummax(dim=1).values[:, :-1]], dim=1)
    runner_up = torch.minimum(second, largest).cummax(dim=1).values
    kept = second > torch.cat([before, runner_up[:, :-1]], dim=1)
    width = max(1, int(kept.sum(dim=1).max()))
    columns = kept.int().argsort(dim=1, descending=True, stable=True)[:, :width]
    kept, first, second, order = (x.gather(1, columns) for x in (kept, first, second, order))
    upper = torch.ones(width, width, dtype=torch.bool, device=first.device).triu(1)
    rows = max(1, PAIRS_AT_ONCE // width**2)
    places, scores = [], []
    for k, a, b in zip(*(torch.split(x, rows) for x in (kept, first, second)), strict=True):
        sums = [x[:, :, None] + x[:, None, :] for x in (a, b)]
        valid = upper & k[:, :, None] & k[:, None, :] & (sums[0] > 0) & (sums[1] > 0)
        score, place = (sums[0] * sums[1]).masked_fill(~valid, -torch.inf).flatten(1).max(dim=1)
        places.append(place)
        scores.append(score)
    place = torch.cat(places)
    return order.gather(1, torch.stack([place // width, place % width], dim=1)), torch.cat(scores)


def first_along_gradient(model: Logits, clean: Tensor, labels: Tensor, fallback: Tensor) -> Tensor:
    """Return the first wrong class on a line from the image along the gradient of cross-entropy (N,).

    The line ends at a root mean square of 1; LENGTHS lengths are tried, then the interval before the first wrong
    one is halved HALVINGS times. fallback: (N,), the answer where none is wrong.
    """
    leaf = clean.detach().requires_grad_()
    gradient = differentiate(nn.functional.cross_entropy(model(leaf), labels, reduction="sum"), leaf)
    gradient = gradient / (gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() + 1e-8)

    def ask(rows: Tensor, lengths: Tensor) -> Tensor:
        with torch.no_grad():
            at = clean[rows] + lengths[:, None, None, None] * gradient[rows]
            answers: Tensor = model(at.clamp(0, 1)).argmax(dim=1)
            return answers

    reached = fallback.clone()
    lengths = torch.zeros(len(clean), device=clean.device)
    left = torch.arange(len(clean), device=clean.device)
    for number in range(1, LENGTHS + 1):
        lengths[left] = number / LENGTHS
        answers = ask(left, lengths[left])
        wrong = answers != labels[left]
        reached[left[wrong]] = answers[wrong]
        left = left[~wrong]
        if not len(left):
            break
    mask = torch.ones_like(labels, dtype=torch.bool)
    mask[left] = False
    rows = mask.nonzero().squeeze(1)
    high = lengths[rows]
    low = high - 1 / LENGTHS
    for _ in range(HALVINGS if len(rows) else 0):
        middle = (low + high) / 2
        answers = ask(rows, middle)
        wrong = answers != labels[rows]
        reached[rows] = torch.where(wrong, answers, reached[rows])
        low, high = torch.where(wrong, low, middle), torch.where(wrong, middle, high)
    return reached


def build(settings: Settings, point: Point) -> Attack:
    """Return the attack with the point's number of changes."""
    return SaliencyMapAttack(
        steps=int(point.value),
        variant=settings.variant,
        saliency=settings.saliency,
        theta=settings.theta,
        max_changes=settings.max_changes,
        gamma=settings.gamma,
        direction=settings.direction,
        edges=settings.edges,
        target=settings.target,
    )
