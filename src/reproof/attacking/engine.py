"""Run an attack and judge it: the engine, not the attack, decides what counts.

It predicts again on the images that come back, raises where a budget is broken, gives failed samples of
attacks without a budget their original back, and saves work that changes no result: no gradients of
parameters, no attack on images that are misclassified already, one gradient at the clean images for all
epsilons. Where the settings ask for it, an image that a smaller epsilon fooled is not attacked again (`nested`).
An attack that looks for the nearest image knows no budget: where there is one, what it moved farther has failed.
"""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from reproof import registry
from reproof.attacking import checkpoint, threat_model
from reproof.attacking.batch import Attack, Batch, Taken
from reproof.attacking.decisions import draws_at_random
from reproof.attacking.gradient import Tally, counting
from reproof.attacking.image_noise import ImageNoise
from reproof.attacking.judge import classes, frozen, judge
from reproof.batch_size import BatchSize
from reproof.errors import StudyError
from reproof.models.attack_loss import Loss
from reproof.models.classifier import REFUSED, takes_channels_last
from reproof.models.fast_inference import cheaper
from reproof.settings.attack import AttackSettings, MinimalAttackSettings, Point
from reproof.settings.values import Norm, format_number

PROBED = 64
"""Images, at most, by which an engine tells whether a classifier draws random numbers."""


@dataclass
class AttackResult:
    """One attack's images and how they are classified, each under its point's parameters (`epsilon=0.3`)."""

    images: dict[str, Tensor]
    """float32 (N, C, H, W) on the CPU, in the order of the clean images."""
    predictions: dict[str, Tensor]
    """int64 (N,): the classifier's classes for these very images, predicted again in float32."""
    seconds: dict[str, float]
    unchanged: dict[str, int]
    """How many of the attacked images came back as they were. All of them, at a budget above zero: the attack
    did nothing (or, without a budget, failed everywhere)."""
    attacked: int
    """How many images were attacked; the others were misclassified already and came back as they were."""
    zero_gradients: int | None = None
    """Attacked images whose gradient was exactly zero where the first point's attack began; None for attacks that
    follow none."""
    gradients: Tally = field(default_factory=Tally)
    """The gradients that the attack took, and how many of them were broken."""
    taken: dict[str, Taken] = field(default_factory=dict)
    """Of a composed attack, at each point: which part took which image, by its number."""

    batch_size: int | None = None
    """Images in a batch where the device had no room for as many as were asked for; None where it had."""

    @classmethod
    def of_clean(cls, images: Tensor, labels: Tensor, points: Sequence[Point]) -> AttackResult:
        """Return the result of an attack that leaves all images, and right, at each of the points."""
        names = [point.parameters for point in points]
        clean = images.detach().cpu()
        return cls(
            {name: clean.clone(memory_format=torch.contiguous_format) for name in names},
            {name: labels.cpu().clone() for name in names},
            dict.fromkeys(names, 0.0),
            dict.fromkeys(names, 0),
            len(images),
        )

    @property
    def gradient_zero_share(self) -> float | None:
        """Return the share of the attacked images whose gradient was exactly zero where the attack began.

        None for attacks that follow no gradient. A red flag of masked gradients.
        """
        return None if self.zero_gradients is None else self.zero_gradients / self.attacked

    @property
    def gradient_broken_share(self) -> float | None:
        """Return the share of the gradients that were no finite numbers; None for attacks that took none."""
        return self.gradients.broken / self.gradients.taken if self.gradients.taken else None

    def keep(self, point: Point, rows: Tensor, images: Tensor, predictions: Tensor) -> None:
        """Put the images of some rows, and their classes, in their places."""
        self.images[point.parameters][rows] = images.cpu()
        self.predictions[point.parameters][rows] = predictions.cpu()

    def refused_at_least(
        self, point: Point, rows: Tensor, images: Tensor, predictions: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return images and classes, with those that a smaller budget left refused in place of those that are right."""
        before = self.predictions[point.parameters][rows].to(labels.device)
        lost = (predictions == labels) & (before == REFUSED)
        if not lost.any():
            return images, predictions
        kept = self.images[point.parameters][rows].to(images.device)
        return torch.where(lost[:, None, None, None], kept, images), torch.where(lost, before, predictions)

    def note(self, point: Point, taken: Taken, fooled: Sequence[int]) -> None:
        """Note which parts of a composed attack were tried, and which of them took the images that count as fooled."""
        kept = self.taken.get(point.parameters, Taken())
        for part, access in taken.parts.items():
            kept.note(part, access, [position for position in fooled if taken.by.get(position) == part])

    def tallies(self) -> AttackResult:
        """Return a copy of all that is counted up over batches."""
        return copy.deepcopy(replace(self, images={}, predictions={}))

    def take_back(self, before: AttackResult) -> None:
        """Count as it was counted before; images and classes stay until a batch puts others in their places."""
        self.seconds, self.unchanged, self.taken = before.seconds, before.unchanged, before.taken
        self.zero_gradients, self.gradients = before.zero_gradients, before.gradients

    def add_points(self, other: AttackResult) -> None:
        """Take over what another result of this attack has at other points."""
        self.images.update(other.images)
        self.predictions.update(other.predictions)
        self.seconds.update(other.seconds)
        self.unchanged.update(other.unchanged)
        self.taken.update(other.taken)
        self.gradients.taken += other.gradients.taken
        self.gradients.broken += other.gradients.broken


@dataclass(frozen=True)
class _Task:
    """One attack at its points, in the order in which they are attacked."""

    kind: str
    norm: Norm | None
    attacks: Sequence[tuple[Point, Attack]]
    nested: Sequence[Point]
    """The points, smallest first, of which a fooled image keeps its image at all larger ones."""
    minimal: bool
    """Whether it goes as far as it must, whatever the budget."""


class AttackEngine:
    """Attacks a classifier by any attack, and judges what comes back.

    classifier: what is attacked and asked, images to logits; where an attack loss needs more than the classifier, the
    module that holds all of it (a Trainee), so that all of it is in evaluation mode. It is moved to the device.
    attack_loss: what attacks maximise instead of cross-entropy on the logits.
    attack_losses, networks: what composed attacks use beside the logits: all attack losses of the defense, and other
    networks of the same data, which are frozen.
    seed: with kind, point and image it decides every draw; the global generators come back as they were.
    skip_misclassified: attack only images that are classified correctly; the others come back as they are.
    channels_last: memory format while attacking; None takes it where it gains, for convolutions on a CPU.
    progress: called with how many images, counted at each point, are done, and of how many.
    """

    def __init__(
        self,
        classifier: nn.Module,
        *,
        device: torch.device | str,
        batch_size: int,
        seed: int,
        skip_misclassified: bool,
        attack_loss: Loss | None = None,
        attack_losses: Mapping[str, Loss] | None = None,
        networks: Mapping[str, nn.Module] | None = None,
        channels_last: bool | None = None,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.device = torch.device(device)
        self.classifier = classifier.to(self.device)
        self.batch_size = batch_size
        self.seed = seed
        self.skip_misclassified = skip_misclassified
        self.attack_loss = attack_loss
        self.attack_losses = attack_losses or {}
        self.networks = {
            name: one.to(self.device).eval().requires_grad_(False) for name, one in (networks or {}).items()
        }
        if channels_last is None:
            convolves = any(isinstance(module, nn.Conv2d) for module in classifier.modules())
            channels_last = self.device.type == "cpu" and convolves and takes_channels_last(classifier)
        self.channels_last = channels_last
        self.progress = progress

    def run(
        self,
        kind: str,
        settings: AttackSettings,
        images: Tensor,
        labels: Tensor,
        clean_predictions: Tensor,
        points: Sequence[Point] | None = None,
    ) -> AttackResult:
        """Attack the classifier at every point of an attack's settings.

        images: float32 (N, C, H, W) in [0, 1]; what rounding put outside is put inside. labels: (N,).
        clean_predictions: (N,), the kept ones; those that claim a mistake are checked before an image is skipped.
        points: those to attack at; None are the settings' own.
        BudgetError when an attack leaves its threat model; StudyError when it cannot be run as asked.
        """
        images = threat_model.admit(images, f"{kind}: the images to attack")
        if labels.shape != images.shape[:1] or clean_predictions.shape != labels.shape:
            raise ValueError("labels and clean predictions should be one per image")
        points = settings.points() if points is None else points
        task = self._task(kind, settings, points)
        result = AttackResult.of_clean(images, labels, points)
        if settings.composed:
            result.taken = {point.parameters: Taken() for point in points}
        active, refused = torch.ones(len(images), dtype=torch.bool), None
        if self.skip_misclassified:
            skipped, wrong = self._misclassified(images, labels.cpu(), clean_predictions.cpu())
            if settings.composed and (wrong == REFUSED).any():  # they may still be made wrong and accepted
                refused = torch.zeros_like(active).index_fill(0, skipped[wrong == REFUSED], True)
                skipped, wrong = skipped[wrong != REFUSED], wrong[wrong != REFUSED]
            active[skipped] = False
            for predictions in result.predictions.values():
                predictions[skipped] = wrong
        result.attacked = int(active.sum())
        random = getattr(settings, "early_stop", False) and self._draws_at_random(images)
        size, done, rows = BatchSize(self.batch_size, kind), 0, torch.arange(len(images))
        while done < len(images):
            part, before = rows[done : done + size.images], result.tallies()
            batch = self._batch(images, labels, part[active[part]])
            batch = replace(batch, random=random, past_refusals=settings.composed)
            if refused is not None:
                batch = replace(batch, refused=refused[list(batch.noise.positions)].to(self.device))
            try:
                self._attack_at_all_points(task, batch, part, result)
            except torch.OutOfMemoryError as error:
                size.halve(error, len(part))
                result.take_back(before)  # of these images all is done again
                continue
            done += len(part)
        result.batch_size = size.images if size.halved else None
        return result

    def _attack_at_all_points(self, task: _Task, batch: Batch, rows: Tensor, result: AttackResult) -> None:
        """Attack a batch at every point. rows: of all images that are done then, skipped ones too."""
        points, first = len(task.attacks), int(rows[0])
        for number, (point, attack) in enumerate(task.attacks, 1):
            started = time.perf_counter() + checkpoint.spared()
            if len(batch.images):
                batch = self._attack(task, point, attack, batch, first, result)
            result.seconds[point.parameters] += time.perf_counter() - started + checkpoint.spared()
            if self.progress is not None:
                total = points * len(result.images[point.parameters])
                self.progress(points * first + number * len(rows), total)
        if batch.first_gradients.zero is not None:
            result.zero_gradients = (result.zero_gradients or 0) + batch.first_gradients.zero

    def _task(self, kind: str, settings: AttackSettings, points: Sequence[Point]) -> _Task:
        """Return what is to be done, the nested points last, in rising order of epsilon.

        Points that a setting other than epsilon names, such as a PSNR, stand for themselves; they come before any image
        leaves.
        """
        names = [point.parameters for point in points]
        if len(set(names)) != len(names):
            raise StudyError(f"attack {kind}: a point is listed twice: {', '.join(names)}")
        if self.attack_loss is not None and not settings.takes_view:
            raise StudyError(
                f"attack {kind} cannot take a view: it maximises no loss per image; leave `view` out"
            )
        nested = [point for point in points if point.name == "epsilon" and getattr(settings, "nested", False)]
        nested.sort(key=lambda point: point.value)
        order = [*(point for point in points if point not in nested), *nested]
        attacks = [(point, _build(kind, settings, point)) for point in order]
        minimal = isinstance(settings, MinimalAttackSettings) or any(
            getattr(attack, "minimal", False) for _, attack in attacks
        )
        return _Task(kind, settings.budget_norm, attacks, nested, minimal)

    def _misclassified(
        self, images: Tensor, labels: Tensor, clean_predictions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the rows of images that the classifier gets wrong, as was claimed, and its classes for them."""
        (claimed,) = (clean_predictions != labels).nonzero(as_tuple=True)
        if not len(claimed):
            return claimed, claimed
        with _seeded(f"{self.seed}/clean", self.device):
            found = classes(self.classifier, images[claimed], self.batch_size, self.device)
        wrong = found != labels[claimed]
        return claimed[wrong], found[wrong]

    def _draws_at_random(self, images: Tensor) -> bool:
        """Say whether the classifier answers the same images otherwise when it is asked again."""
        shown = images[: min(PROBED, self.batch_size)].to(self.device)
        with frozen(self.classifier, channels_last=False), _seeded(f"{self.seed}/probe", self.device):
            return len(shown) > 0 and draws_at_random(self.classifier, shown)

    def _batch(self, images: Tensor, labels: Tensor, rows: Tensor) -> Batch:
        return Batch(
            self.classifier,
            images[rows].to(self.device),
            labels[rows].to(self.device),
            ImageNoise("", rows.tolist()),
            attack_loss=self.attack_loss,
            attack_losses=self.attack_losses,
            networks=self.networks,
        )

    def _attack(
        self, task: _Task, point: Point, attack: Attack, batch: Batch, first: int, result: AttackResult
    ) -> Batch:
        """Attack a batch at one point, judge it, put it into the result; return the batch for the next point."""
        positions = torch.tensor(batch.noise.positions)
        where = f"{task.kind} at {point.parameters}, {len(positions)} images from number {positions[0]} on"
        # By its number: a budget draws the same noise however it is printed.
        key = f"{self.seed}/{task.kind}/{point.name}={format_number(float(point.value))}"
        batch = replace(
            batch, noise=ImageNoise(key, batch.noise.positions), epsilon=point.epsilon, taken=Taken()
        )
        if self.channels_last:
            batch = replace(batch, images=batch.images.contiguous(memory_format=torch.channels_last))
        with (
            frozen(self.classifier, self.channels_last),
            cheaper(self.classifier),
            _seeded(f"{key}/{first}", self.device),
            counting() as gradients,
            checkpoint.within(f"{key}, {point.epsilon!r}, from image {first}"),
        ):
            found = checkpoint.step(attack.perturb, batch).detach()
        result.gradients.taken += gradients.taken
        result.gradients.broken += gradients.broken
        if task.minimal and task.norm is not None and point.epsilon is not None:
            near = threat_model.within(batch.images, found, task.norm, point.epsilon)
            found = torch.where(near[:, None, None, None], found, batch.images)
        with _seeded(f"{key}/{first}/judged", self.device):
            found, predicted = judge(batch, found, task.norm, where)
        found, predicted = result.refused_at_least(point, positions, found, predicted, batch.labels)
        result.keep(point, positions, found, predicted)
        result.note(point, batch.taken, positions[(predicted != batch.labels).cpu()].tolist())
        result.unchanged[point.parameters] += int((found == batch.images).flatten(1).all(dim=1).sum())
        if point not in task.nested:
            return batch
        wrong = predicted != batch.labels
        for larger in task.nested[task.nested.index(point) + 1 :]:
            result.keep(larger, positions[wrong.cpu()], found[wrong], predicted[wrong])
            result.note(larger, batch.taken, positions[wrong.cpu()].tolist())
        return batch.select(~batch.won(predicted, batch.labels))


def _build(kind: str, settings: AttackSettings, point: Point) -> Attack:
    """Return what an attack's file builds; attacks of Foolbox, which takes long to import, as one of ours."""
    built = registry.load("attacks", kind).build(settings, point)
    if not hasattr(built, "perturb"):
        from reproof.attacking.foolbox_adapter import adapt

        built = adapt(built, kind)
    attack: Attack = built
    return attack


@contextmanager
def _seeded(key: str, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators for attacks and networks that draw from them; then they are as they were."""
    number = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=7).digest())
    cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.default_generator.manual_seed(number)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(number)
        yield
