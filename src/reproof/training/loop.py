"""The only training loop: data resident on the device, adversarial examples, schedule, history, checkpoint.

Everything random is drawn from generators seeded by (seed, epoch, step), so that a run that was stopped goes
on, from the last epoch that its checkpoint holds, to the very weights of an undisturbed run (on a CPU, with
as many threads). The model is what the last epoch leaves; accuracy on the validation split is recorded and
selects nothing.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from reproof.batch_size import in_batches
from reproof.data.dataset import Dataset, to_unit
from reproof.device import channels_last, mixed_precision, slow_precision
from reproof.errors import TrainingError
from reproof.models.classifier import takes_channels_last
from reproof.models.defense import Defense, Progress, Stock, Trainee
from reproof.settings.training import TrainingSettings
from reproof.training.adversarial import Batch, mix_in_adversarial
from reproof.training.augmentation import shift_and_mirror
from reproof.training.checkpoint import Checkpoint, History, identity
from reproof.training.randomness import generator_for, seed_from
from reproof.training.schedule import clip_gradients, learning_rate_factor, make_optimizer, split_batches

_STEPS_BETWEEN_CHECKS = 50


def train(
    defense: Defense[Any],
    trainee: Trainee,
    data: Dataset,
    settings: TrainingSettings,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    train_images: int | None = None,
    progress: bool = True,
    digest: str = "",
) -> History:
    """Train in place and return the history; the trainee ends on `device`, in evaluation mode.

    The caller builds the trainee under `torch.manual_seed(seed)`; the global random state is as before on
    return. train_images: only the first so many of the training split. digest: what else a checkpoint must
    agree on, such as the job's code; a checkpoint of anything else, or a damaged one, is ignored with a
    warning. The caller deletes the checkpoint in the end. TrainingError when the loss is not
    finite or a batch does not fit.
    """
    device = torch.device(device)
    images, labels = data.select("train", train_images)
    if len(images) < 2:
        raise TrainingError(
            f"{data.name}: training needs at least two images, and {len(images)} are selected"
        )
    if (remark := slow_precision(device, settings.precision)) is not None:
        print(f"reproof: {remark}", file=sys.stderr)
    run = _Run(defense, trainee, data, images, labels, settings, seed, device)
    kept = run.checkpoint(checkpoint, digest) if checkpoint is not None else None
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        history, elapsed = kept.resume(settings.epochs) if kept is not None else ([], 0.0)
        started = saved = time.monotonic()
        for epoch in range(len(history), settings.epochs):
            history.append(run.epoch(epoch, progress))
            now = time.monotonic()
            last = epoch + 1 == settings.epochs
            if kept is not None and not last and now - saved >= settings.checkpoint_seconds:
                kept.save(history, elapsed + now - started)
                saved = now
        run.finish()
    trainee.to(memory_format=torch.contiguous_format)
    trainee.eval()
    return history


def accuracy(trainee: Trainee, images: Tensor, labels: Tensor, batch_size: int = 500) -> float:
    """Return the fraction classified correctly, in evaluation mode and float32. images: uint8."""
    was_training = trainee.training
    device = next(trainee.parameters()).device
    trainee.eval()
    with torch.inference_mode():
        parts = in_batches(
            lambda batch: trainee(to_unit(batch)).argmax(dim=1), images, batch_size, device, "validation"
        )
        correct = (torch.cat(parts) == labels.to(device)).sum()
    trainee.train(was_training)
    return int(correct) / len(images)


class _TrainingAccuracy:
    """Counts correct predictions from the logits that the loss computes anyway: on its first pass over the
    batch, which may have other images behind it.
    """

    def __init__(self, trainee: Trainee, device: torch.device):
        self.correct = torch.zeros((), dtype=torch.int64, device=device)
        self.total = 0
        self._classifier = trainee.classifier
        self._compute = trainee.classifier.logits_and_features
        self._labels: Tensor | None = None

    @contextlib.contextmanager
    def counting(self, labels: Tensor) -> Iterator[None]:
        """Count the first pass inside this context that has as many images as labels, or more."""
        self._labels = labels
        object.__setattr__(self._classifier, "logits_and_features", self._record)
        try:
            yield
        finally:
            object.__delattr__(self._classifier, "logits_and_features")
            self._labels = None

    def _record(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits, features = self._compute(images)
        if self._labels is not None and len(logits) >= len(self._labels):
            count = len(self._labels)
            self.correct += (logits[:count].detach().argmax(dim=1) == self._labels).sum()
            self.total += count
            self._labels = None
        return logits, features


class _Run:
    """One training run: what stays the same from epoch to epoch, and the optimiser."""

    def __init__(
        self,
        defense: Defense[Any],
        trainee: Trainee,
        data: Dataset,
        images: Tensor,
        labels: Tensor,
        settings: TrainingSettings,
        seed: int,
        device: torch.device,
    ):
        self.defense = defense
        self.settings = settings
        self.seed = seed
        self.device = device
        self.name = data.name
        self.images = images.to(device)
        self.labels = labels.to(device)
        self.validation = data.select("validation") if settings.validation else None
        if self.validation is not None and len(self.validation[0]) == 0:
            raise TrainingError(f"{data.name}: the validation split is empty; write validation: false")
        self.adversarial = (
            settings.adversarial if settings.adversarial is not None else defense.adversarial_training()
        )
        auto = settings.channels_last == "auto" and takes_channels_last(trainee)
        self.memory_format = channels_last(device, "auto" if auto else settings.channels_last is True)
        self.trainee = trainee.to(device).to(memory_format=self.memory_format)
        self.optimizer = make_optimizer(defense, trainee, settings)
        self.base_rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        held_out = self.validation if self.validation is not None else data.select("validation")
        self.stock = Stock(
            train=(self.images, self.labels),
            validation=(held_out[0].to(device), held_out[1].to(device)),
            batch_size=settings.batch_size,
        )
        self.steps_per_epoch = len(split_batches(torch.arange(len(images)), settings.batch_size))

    def checkpoint(self, path: Path, digest: str) -> Checkpoint:
        """Return the checkpoint of this run, whether its file is there or not."""
        data = (self.images, self.labels)
        run = identity(self.defense, self.trainee, self.settings, self.seed, self.name, data, digest)
        return Checkpoint(path, run, self.defense, self.trainee, self.optimizer)

    def epoch(self, epoch: int, show_progress: bool) -> dict[str, Any]:
        """Train one epoch and return its row of the history."""
        torch.manual_seed(seed_from(self.seed, epoch))
        start = Progress(epoch, self.settings.epochs, epoch * self.steps_per_epoch)
        self.defense.begin_epoch(self.trainee, self.stock, start)
        order = torch.randperm(
            len(self.images), generator=generator_for(torch.device("cpu"), self.seed, epoch, "order")
        )
        batches = split_batches(order.to(self.device), self.settings.batch_size)
        counter = _TrainingAccuracy(self.trainee, self.device)
        losses = torch.zeros(len(batches), device=self.device)
        rate = 0.0
        checked = 0
        self.trainee.train()
        bar = tqdm(
            batches,
            desc=f"epoch {epoch + 1}/{self.settings.epochs}",
            leave=False,
            file=sys.stderr,
            disable=not (show_progress and sys.stderr.isatty()),
        )
        for index, indices in enumerate(bar):
            step = epoch * self.steps_per_epoch + index
            factor = learning_rate_factor(self.settings, step, self.steps_per_epoch)
            rate = self.settings.learning_rate * factor
            for group, base_rate in zip(self.optimizer.param_groups, self.base_rates, strict=True):
                group["lr"] = base_rate * factor
            try:
                losses[index] = self._step(indices, Progress(epoch, self.settings.epochs, step), counter)
            except torch.OutOfMemoryError as error:
                raise TrainingError(
                    f"{self.name}: a batch of {len(indices)} images does not fit on the device; "
                    f"lower training.batch_size (now {self.settings.batch_size})"
                ) from error
            last = index + 1 == len(batches)
            if self.device.type == "cpu" or last or (index + 1) % _STEPS_BETWEEN_CHECKS == 0:
                self._check_finite(losses, checked, index + 1, epoch, rate)
                checked = index + 1
        sizes = torch.tensor([len(indices) for indices in batches], dtype=torch.float64)
        mean_loss = (losses.double().cpu() * sizes).sum() / sizes.sum()
        return {
            "epoch": epoch + 1,
            "loss": mean_loss.item(),
            "train_accuracy": counter.correct.item() / counter.total if counter.total else None,
            "validation_accuracy": accuracy(self.trainee, *self.validation) if self.validation else None,
            "learning_rate": rate,
        }

    def finish(self) -> None:
        """Let the method do what comes after the last epoch."""
        torch.manual_seed(seed_from(self.seed, "finish"))
        end = Progress(
            self.settings.epochs, self.settings.epochs, self.settings.epochs * self.steps_per_epoch
        )
        self.defense.finish(self.trainee, self.stock, end)

    def _step(self, indices: Tensor, progress: Progress, counter: _TrainingAccuracy) -> Tensor:
        """Update the weights on one batch and return its loss, detached."""
        place = (self.seed, progress.epoch, progress.step)
        raw = self.images[indices]
        if self.settings.augmentation != "none":
            mirror = self.settings.augmentation == "crop_flip"
            generator = generator_for(self.device, *place, "augmentation")
            raw = shift_and_mirror(raw, self.settings.padding, mirror, generator)
        images = to_unit(raw).contiguous(memory_format=self.memory_format)
        batch = Batch(images, self.labels[indices])
        with mixed_precision(self.device, self.settings.precision):
            if self.adversarial is not None:
                generator = generator_for(self.device, *place, "adversarial")
                mix_in_adversarial(batch, self.adversarial, self.defense, self.trainee, progress, generator)
                progress = replace(
                    progress, crafted=batch.crafted, augmented=self.adversarial.augment and batch.crafted > 0
                )
            with counter.counting(batch.labels):
                loss = batch.mean(self.defense.loss(self.trainee, batch.images, batch.labels, progress))
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if self.settings.gradient_clip is not None:
            clip_gradients(self.optimizer, self.settings.gradient_clip)
        self.optimizer.step()
        return loss.detach()

    def _check_finite(self, losses: Tensor, first: int, end: int, epoch: int, rate: float) -> None:
        finite = torch.isfinite(losses[first:end])
        if bool(finite.all()):
            return
        index = first + int((~finite).nonzero()[0])
        raise TrainingError(
            f"{self.name}: the loss is {losses[index].item()} at epoch {epoch + 1}, step {index + 1} of "
            f"{self.steps_per_epoch}, learning rate {rate:g}; lower training.learning_rate, or set "
            "training.warmup_epochs or training.gradient_clip"
        )
