"""Who leaves an attack early, what counts, and what is no number: decided by the classifier that is deployed."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from reproof import registry
from reproof.attacking import judge, probes
from reproof.attacking.engine import AttackEngine, AttackResult
from reproof.attacking.gradient import counting, usable
from reproof.data.dataset import to_unit
from reproof.errors import ReproofError
from reproof.models.classifier import REFUSED, Answers, Classifier
from reproof.models.purifier import Purified
from tests.contract.test_defenses import NAMES, attacked, make
from tests.ours import here, needs
from tests.tiny_classifier import DESCRIPTION, TinyClassifier, make_data


@functools.cache
def shown() -> tuple[Tensor, Tensor]:
    images, labels = make_data().select("train", 24)
    return to_unit(images), labels


def trained() -> TinyClassifier:
    """Return a network that is right on nearly all of the images."""
    torch.manual_seed(0)
    net = TinyClassifier()
    images, labels = shown()
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    return net.eval().requires_grad_(False)


def attack(
    net: torch.nn.Module, kind: str = "pgd", seed: int = 0, loss: Any = None, **settings: Any
) -> AttackResult:
    chosen = registry.load("attacks", kind).Settings(**settings)
    images, labels = shown()
    engine = AttackEngine(
        net, device="cpu", batch_size=64, seed=seed, skip_misclassified=False, attack_loss=loss
    )
    return engine.run(kind, chosen, images, labels, judge.classes(net, images, 64, "cpu"))


def left(result: AttackResult) -> int:
    (classes,) = result.predictions.values()
    return int((classes == shown()[1]).sum())


class Coarse(Purified):
    """A purifier that makes each pixel black or white: small steps disappear."""

    def purify(self, images: Tensor) -> Tensor:
        return images.round()


@pytest.mark.parametrize("kind", here("attacks", "bim", "mim", "pgd"))
def test_an_image_leaves_when_the_purified_model_is_fooled_and_not_its_inside(kind: str) -> None:
    """On the last version images stopped just past the inner boundary, where the purifier still held them."""
    net = Coarse(trained(), DESCRIPTION).eval()
    for epsilon in (0.1, 0.2, 0.3):
        settings: dict[str, Any] = {"epsilons": [epsilon], "steps": 30, "step_size": 0.1}
        to_the_end = attack(net, kind, **settings)
        early = attack(net, kind, early_stop=True, **settings)
        assert left(early) <= left(to_the_end)


def test_the_purifier_of_this_test_does_hold_what_its_inside_does_not() -> None:
    """Else the test above could not fail."""
    net = Coarse(trained(), DESCRIPTION).eval()
    labels = shown()[1]
    result = attack(net.classifier, epsilons=[0.3], steps=100, step_size=0.01, early_stop=True)
    inside = next(iter(result.predictions.values())) != labels
    moved = next(iter(result.images.values()))
    assert inside.sum() > 8
    assert (judge.classes(net, moved[inside], 64, "cpu") == labels[inside]).float().mean() > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_early_stop_leaves_no_more_than_the_last_iterate_of_any_defense(name: str) -> None:
    """The promise in GradientAscentSettings, over every defense, on its logits and on each of its attack losses."""
    defense = make(name)
    trainee = attacked(defense)
    views: list[Any] = [None, *defense.attack_losses(trainee).values()]
    for loss in views:
        settings: dict[str, Any] = {"epsilons": [0.15], "steps": 6, "step_size": 0.25}
        to_the_end = attack(trainee, loss=loss, **settings)
        early = attack(trainee, loss=loss, early_stop=True, **settings)
        assert left(early) <= left(to_the_end)


@pytest.mark.parametrize("name", NAMES)
def test_a_pass_with_a_gradient_answers_as_each_defense_does(name: str) -> None:
    """The plain one, or one of an attack loss that the defense declares: else its gradients are another network's."""
    defense = make(name)
    trainee = attacked(defense)
    images = shown()[0][:8]
    moved = (images + 0.2 * torch.rand(images.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    known, alike = probes.answered(trainee, moved, defense.attack_losses(trainee), 0, False)
    assert known.all()
    assert alike.all()


class Noisy(TinyClassifier):
    """A network that adds noise to its images whenever it is asked."""

    inside: TinyClassifier

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return self.inside.logits_and_features(images + 0.6 * torch.randn_like(images))


def noisy() -> Noisy:
    net = Noisy()
    net.inside = trained()
    return net.eval().requires_grad_(False)


def test_one_lucky_draw_lets_no_image_leave() -> None:
    """Of a random network the last iterate counts, as without early_stop; averaged answers may let images leave."""
    net = noisy()
    settings: dict[str, Any] = {"epsilons": [0.2], "steps": 8, "step_size": 0.25}
    whole, early = (attack(net, early_stop=early, **settings) for early in (False, True))
    for name, images in whole.images.items():
        assert torch.equal(images, early.images[name])
    averaged = attack(net, early_stop=True, samples=8, **settings)
    assert any(
        not torch.equal(images, attack(net, samples=8, **settings).images[name])
        for name, images in averaged.images.items()
    )


class Refusing(TinyClassifier):
    """A network that refuses bright images; its logits do not say so."""

    inside: TinyClassifier

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return self.inside.logits_and_features(images)

    def answers(self, images: Tensor) -> Answers:
        answers = super().answers(images)
        bright = images.flatten(1).amax(dim=1) > 0.99
        return replace(answers, classes=answers.classes.masked_fill(bright, REFUSED))


@needs("attacks/random_noise")
def test_what_is_refused_is_not_right() -> None:
    """Foolbox's minimal attacks fail on logits that are right; the refusal is what the model says all the same."""
    net = Refusing()
    net.inside = trained()
    brightest = shown()[0].clone()
    brightest[:, :, 0, 0] = 1.0
    assert judge.classes(net, brightest, 64, "cpu").eq(REFUSED).all()
    result = attack(net, "random_noise", epsilons=[1.0])
    (classes,) = result.predictions.values()
    (moved,) = result.images.values()
    bright = moved.flatten(1).amax(dim=1) > 0.99
    assert bright.any()
    assert classes[bright].eq(REFUSED).all()


class Poison(torch.autograd.Function):
    """The identity, with a NaN in the gradient of every third row."""

    @staticmethod
    def forward(context: Any, logits: Tensor) -> Tensor:
        return logits.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        rows = torch.arange(len(gradient)) % 3 == 0
        return gradient.masked_fill(rows[:, None], torch.nan)


class Broken(TinyClassifier):
    """A network whose gradient is NaN at every third image, and whose answers are as good as ever."""

    inside: TinyClassifier

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits, features = self.inside.logits_and_features(images)
        return Poison.apply(logits), features


@pytest.mark.parametrize(
    "kind", here("attacks", "fgsm", "bim", "pgd", "mim", "carlini_wagner", "deepfool", "jsma")
)
def test_gradients_that_are_no_numbers_are_counted(kind: str) -> None:
    net = Broken()
    net.inside = trained()
    settings: dict[str, Any] = {
        "carlini_wagner": {"constants": [1], "steps": 3},
        "deepfool": {"steps": [3]},
        "jsma": {"steps": [3]},
    }.get(kind, {"epsilons": [0.2]})
    broken = attack(net, kind, **settings)
    assert broken.gradient_broken_share is not None
    assert broken.gradient_broken_share > 0.1
    for images in broken.images.values():
        assert images.isfinite().all()
    whole = attack(net.inside, kind, **settings)
    assert whole.gradient_broken_share == 0


def test_a_nan_does_not_freeze_momentum_for_good() -> None:
    """One NaN in MIM's sum of gradients once stopped the image at every later step."""
    gradients = torch.tensor([[float("nan"), 1.0], [2.0, float("inf")], [-float("inf"), 0.5]])
    with counting() as tally:
        found = usable(gradients.view(3, 1, 1, 2)).view(3, 2)
    assert found.tolist() == [[0.0, 1.0], [2.0, 1.0], [-1.0, 0.5]]
    assert (tally.taken, tally.broken) == (3, 3)


@pytest.mark.parametrize(
    ("values", "mended", "broken"),
    [
        ([[3e38, 3e38], [-1.0, 2.0]], [[3e38, 3e38], [-1.0, 2.0]], 0),  # their sum overflows
        ([[float("inf"), -float("inf")], [-1.0, 2.0]], [[1.0, -1.0], [-1.0, 2.0]], 1),
        ([[0.0, 1.0], [2.0, float("nan")]], [[0.0, 1.0], [2.0, 0.0]], 1),
    ],
)
def test_only_gradients_that_are_no_numbers_count_as_broken(
    values: list[list[float]], mended: list[list[float]], broken: int
) -> None:
    with counting() as tally:
        found = usable(torch.tensor(values).view(2, 1, 1, 2)).view(2, 2)
    assert torch.equal(found, torch.tensor(mended))
    assert (tally.taken, tally.broken) == (2, broken)


@pytest.mark.parametrize(("value", "words"), [("nan", "NaN"), ("inf", "an infinite logit")])
def test_answers_that_are_no_numbers_are_refused_with_their_image(value: str, words: str) -> None:
    class Odd(Classifier):
        def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            logits = torch.zeros(len(images), 3)
            logits[5, 2] = float(value)
            return logits, {"last": logits}

    for ask in (judge.predict, judge.classes):
        with pytest.raises(ReproofError, match=f"answers image 5 with {words}"):
            ask(Odd(DESCRIPTION), shown()[0], 64, "cpu")
