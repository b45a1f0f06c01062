"""Run an attack and judge it: the engine, not the attack, decides what counts.

It predicts again on the images that come back, raises where a budget is broken, gives failed samples of
attacks without a budget their original back, and saves work that changes no result: no gradients of
parameters, no attack on images that are misclassified already, one gradient at the clean images for all
epsilons. Where the settings ask for it, an image that a smaller epsilon fooled is not attacked again (`nested`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from eagerpy.astensor import astensor
from eagerpy.tensor.tensor import Tensor as EagerTensor
from foolbox.attacks.base import Attack, FixedEpsilonAttack, MinimizationAttack
from foolbox.attacks.gradient_descent_base import BaseGradientDescent
from foolbox.criteria import Misclassification
from foolbox.models.base import Model
from foolbox.models.pytorch import PyTorchModel
from torch import Tensor, nn

from reproof import registry
from reproof.attacking import threat_model
from reproof.attacking.batch import Batch
from reproof.attacking.ensemble import Together
from reproof.attacking.gradient import LossFunction, value_and_gradient
from reproof.attacking.gradient_ascent import Climbing
from reproof.attacking.image_noise import ImageNoise, Noisy
from reproof.attacking.judge import frozen, judge, predict
from reproof.attacking.source_networks import members_of
from reproof.errors import StudyError
from reproof.models.attack_loss import AttackLoss
from reproof.models.fast_inference import cheaper
from reproof.settings.attack import AttackSettings, Point


@dataclass(frozen=True)
class Crafted:
    """One attack's images and how they are classified, each under its point's parameters (`epsilon=0.3`)."""

    images: dict[str, Tensor]
    """float32 (N, C, H, W) on the CPU, in the order of the clean images."""
    predictions: dict[str, Tensor]
    """int64 (N,): the classifier's classes for these very images, predicted again in float32."""
    gradient_zero_share: float | None
    """Share of the attacked images whose gradient was exactly zero where the first point's attack began; None
    for attacks that climb no gradient. A red flag of masked gradients."""
    seconds: dict[str, float]
    attacked: int
    """How many images were attacked; the others were misclassified already and came back as they were."""
    unchanged: dict[str, int]
    """How many of the attacked images came back as they were. All of them, at a budget above zero: the attack
    did nothing (or, without a budget, failed everywhere)."""


def craft(
    classifier: nn.Module,
    settings: AttackSettings,
    attack_kind: str,
    images: Tensor,
    labels: Tensor,
    clean_predictions: Tensor,
    *,
    view: AttackLoss | None,
    seed: int,
    batch_size: int,
    device: torch.device | str,
    skip_misclassified: bool,
    progress: Callable[[int, int], None] | None = None,
    channels_last: bool | None = None,
    points: Sequence[Point] | None = None,
) -> Crafted:
    """Attack a classifier at every point of an attack's settings.

    classifier: what is attacked and asked, images to logits; where a view needs more than the classifier, the
    module that holds all of it (a Trainee), so that all of it is in evaluation mode.
    images: float32 (N, C, H, W) in [0, 1]. labels: (N,).
    clean_predictions: (N,), the kept ones; those that claim a mistake are checked before an image is skipped.
    view: what the attack climbs instead of cross-entropy on the logits.
    seed: with kind, point and image it decides every draw; the global generators come back as they were.
    progress: called with how many images, counted at each point, are done, and of how many.
    channels_last: memory format while crafting; None takes it where it gains, for convolutions on a CPU.
    points: those to attack at; None are the settings' own.
    BudgetError when an attack leaves its threat model; StudyError when it cannot be run as asked.
    """
    device = torch.device(device)
    threat_model.check(images, images, None, None, f"{attack_kind}: the images to attack")
    if labels.shape != images.shape[:1] or clean_predictions.shape != labels.shape:
        raise ValueError("labels and clean predictions should be one per image")
    points = settings.points() if points is None else tuple(points)
    if len({point.parameters for point in points}) != len(points):
        raise StudyError(
            f"attack {attack_kind}: a point is listed twice: {', '.join(p.parameters for p in points)}"
        )
    attacks = [registry.load("attacks", attack_kind).build(settings, point) for point in points]
    for attack in attacks:
        _require_support(attack, attack_kind, view)
    # Points that a setting other than epsilon names, such as a PSNR, stand for themselves; they come before any
    # image leaves.
    nested = sorted(
        (p for p in points if p.name == "epsilon" and getattr(settings, "nested", False)),
        key=lambda p: p.value,
    )
    order = sorted(
        zip(points, attacks, strict=True),
        key=lambda pair: nested.index(pair[0]) + 1 if pair[0] in nested else 0,
    )
    classifier.to(device)
    labels = labels.cpu()
    if channels_last is None:
        channels_last = device.type == "cpu" and any(isinstance(m, nn.Conv2d) for m in classifier.modules())

    original = torch.arange(len(images))
    if skip_misclassified:
        skipped = original[clean_predictions.cpu() != labels]
        wrong = predict(classifier, images[skipped], batch_size, device).argmax(dim=1)
        skipped, wrong = skipped[wrong != labels[skipped]], wrong[wrong != labels[skipped]]
    else:
        skipped = wrong = original[:0]
    active = torch.ones(len(images), dtype=torch.bool)
    active[skipped] = False

    result = {
        point.parameters: images.detach().cpu().clone(memory_format=torch.contiguous_format)
        for point in points
    }
    predictions = {point.parameters: labels.clone() for point in points}
    seconds = {point.parameters: 0.0 for point in points}
    unchanged = {point.parameters: 0 for point in points}
    zero_gradients, watched, done = 0, False, 0
    for name in predictions:
        predictions[name][skipped] = wrong

    for first in range(0, len(images), batch_size):
        rows = original[first : first + batch_size][active[first : first + batch_size]]
        batch = Batch(images[rows].to(device), labels[rows].to(device), rows.tolist())
        for point, attack in order:
            started = time.perf_counter()
            name = point.parameters
            if len(batch.images):
                where = (
                    f"{attack_kind} at {name}, {len(batch.images)} images from number {batch.positions[0]} on"
                )
                key = f"{seed}/{attack_kind}/{name}"
                with (
                    frozen(classifier, channels_last),
                    cheaper(classifier),
                    _seeded(f"{key}/{first}", device),
                ):
                    found = _run(classifier, attack, point, batch, view, key, channels_last)
                found, predicted = judge(classifier, attack, settings, point, batch, found, where)
                result[name][batch.positions] = found.cpu()
                predictions[name][batch.positions] = predicted.cpu()
                unchanged[name] += int((found == batch.images).flatten(1).all(dim=1).sum())
                if point in nested:
                    fooled = predicted != batch.labels
                    gone = torch.tensor(batch.positions)[fooled.cpu()]
                    for larger in nested[nested.index(point) + 1 :]:
                        result[larger.parameters][gone] = found[fooled].cpu()
                        predictions[larger.parameters][gone] = predicted[fooled].cpu()
                    batch = batch.select(~fooled)
            seconds[name] += time.perf_counter() - started
            done += len(images[first : first + batch_size])
            if progress is not None:
                progress(done, len(images) * len(points))
        if batch.zero_gradients is not None:
            watched, zero_gradients = True, zero_gradients + batch.zero_gradients
    attacked = int(active.sum())
    share = zero_gradients / attacked if watched else None
    return Crafted(result, predictions, share, seconds, attacked, unchanged)


def _require_support(attack: Attack, kind: str, view: AttackLoss | None) -> None:
    if not isinstance(attack, FixedEpsilonAttack | MinimizationAttack):
        raise StudyError(
            f"attack {kind}: build() should return a FixedEpsilonAttack or a MinimizationAttack of Foolbox"
        )
    if view is not None and not isinstance(attack, BaseGradientDescent):
        raise StudyError(
            f"attack {kind} cannot climb a view: it does not ascend a loss per image; leave `view` out"
        )


def _run(
    classifier: nn.Module,
    attack: Attack,
    point: Point,
    batch: Batch,
    view: AttackLoss | None,
    key: str,
    channels_last: bool,
) -> Tensor:
    """Return the attack's images by its `run`, which spares the passes that `__call__` spends to judge."""
    if channels_last:
        batch.images = batch.images.contiguous(memory_format=torch.channels_last)
    model = PyTorchModel(classifier, bounds=(0, 1), device=batch.images.device)
    if isinstance(attack, BaseGradientDescent):
        _direct(attack, batch, view)
    if isinstance(attack, Noisy):
        attack.noise = ImageNoise(key, batch.positions)
    if isinstance(attack, Together):
        attack.networks = members_of(classifier)
    goal = Misclassification(batch.labels)
    if isinstance(attack, FixedEpsilonAttack):
        if point.epsilon is None:
            raise StudyError(f"{type(attack).__name__} needs an epsilon; {point.parameters} has none")
        found: Tensor = attack.run(model, batch.images, goal, epsilon=point.epsilon)
    else:
        assert isinstance(attack, MinimizationAttack)
        found = attack.run(model, batch.images, goal)
    return found.detach()


def _direct(attack: BaseGradientDescent, batch: Batch, view: AttackLoss | None) -> None:
    """Make a Foolbox gradient attack climb the view; watch its gradients and share those at the clean images.

    Works on the instance, so that any of Foolbox's own gradient attacks will do.
    """
    kind = type(attack)
    hooks: dict[str, object] = {}
    if view is not None:
        chosen: AttackLoss = view

        def get_loss_fn(model: Model, labels: EagerTensor) -> LossFunction:
            def loss_fn(inputs: EagerTensor) -> EagerTensor:
                losses = chosen(inputs.raw, labels.raw)
                if losses.shape != labels.raw.shape:
                    raise StudyError(
                        f"a view should return one loss per image, not shape {tuple(losses.shape)}"
                    )
                return astensor(losses.sum())

            return loss_fn

        hooks["get_loss_fn"] = get_loss_fn
    shareable = view is not None or kind.get_loss_fn is BaseGradientDescent.get_loss_fn

    samples = attack.samples if isinstance(attack, Climbing) else 1

    def value_and_grad(loss_fn: LossFunction, x: EagerTensor) -> tuple[EagerTensor, EagerTensor]:
        shared = shareable and x.raw is batch.images
        if shared and batch.clean_gradient is not None:
            return batch.clean_gradient
        found = value_and_gradient(loss_fn, x, samples)
        if batch.zero_gradients is None:
            batch.zero_gradients = int((found[1].raw == 0).flatten(1).all(dim=1).sum())
        if shared:
            batch.clean_gradient = found
        return found

    if kind.value_and_grad in (BaseGradientDescent.value_and_grad, Climbing.value_and_grad):
        hooks["value_and_grad"] = value_and_grad
    vars(attack).update(hooks)


@contextmanager
def _seeded(key: str, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators for attacks that draw from them; afterwards they are as they were."""
    number = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=7).digest())
    cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.default_generator.manual_seed(number)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(number)
        yield
