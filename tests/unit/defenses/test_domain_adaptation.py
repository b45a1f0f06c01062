from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor, nn

from reproof.data.dataset import to_unit
from reproof.defenses.domain_adaptation import Centres, DomainAdaptation, Settings
from reproof.models.defense import Progress, Trainee
from reproof.settings.adversarial_training import AdversarialTraining
from reproof.settings.training import TrainingSettings
from reproof.training.adversarial import Batch, craft, mix_in_adversarial
from reproof.training.loop import accuracy, train
from reproof.training.randomness import generator_for
from tests.tiny_classifier import PlainDefense, build_tiny, make_data

CPU = torch.device("cpu")
CLEAN = Progress(0, 1, 0)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def setting(count: int = 12, **changes: Any) -> tuple[DomainAdaptation, Trainee, Centres, Tensor, Tensor]:
    """Return the defense, a trainee whose centres are somewhere, these centres, images and labels."""
    defense = DomainAdaptation(Settings(**changes))
    trainee = build_tiny(defense).eval()
    centres = trainee.auxiliary
    assert isinstance(centres, Centres)
    centres.positions.copy_(random(3, 3))
    images, labels = make_data().select("train", count)
    return defense, trainee, centres, to_unit(images), labels


def numpy_margin(logits: Tensor, labels: Tensor, centres: Tensor) -> NDArray[np.float64]:
    values, positions = logits.double().numpy(), centres.double().numpy()
    margins = []
    for point, label in zip(values, labels.tolist(), strict=True):
        own = np.abs(point - positions[label]).sum()
        others = [np.abs(point - c).sum() for n, c in enumerate(positions) if n != label]
        margins.append(np.mean([math.log1p(math.exp(own - other)) for other in others]))
    return np.array(margins)


def numpy_terms(clean: Tensor, adversarial: Tensor) -> tuple[float, float]:
    """Return MMD and CORAL."""
    one, other = clean.double().numpy(), adversarial.double().numpy()
    mmd = np.abs(one.mean(0) - other.mean(0)).mean()
    coral = np.abs(np.cov(one, rowvar=False) - np.cov(other, rowvar=False)).mean()
    return float(mmd), float(coral)


class TestTerms:
    defense = DomainAdaptation(Settings())

    def test_mmd_by_hand(self) -> None:
        clean = torch.tensor([[0.0, 2.0], [2.0, 4.0]])
        adversarial = torch.tensor([[1.0, 0.0], [4.0, 0.0], [4.0, 3.0]])
        # means (1, 3) and (3, 1)
        assert float(self.defense.mmd(clean, adversarial)) == pytest.approx(2)

    def test_coral_by_hand(self) -> None:
        clean = torch.tensor([[0.0, 0.0], [2.0, 4.0]])
        adversarial = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
        # covariances (2 4; 4 8) and (3 -1.5; -1.5 3); scatters (2 4; 4 8) and (6 -3; -3 6)
        assert float(self.defense.coral(clean, adversarial)) == pytest.approx((1 + 5.5 + 5.5 + 5) / 4)
        scatter = DomainAdaptation(Settings(covariance="sum"))
        assert float(scatter.coral(clean, adversarial)) == pytest.approx((4 + 7 + 7 + 2) / 4)

    def test_mmd_and_coral_agree_with_numpy(self) -> None:
        clean, adversarial = random(9, 5), 2 * random(6, 5, seed=1) + 1
        terms = [float(term(clean, adversarial)) for term in (self.defense.mmd, self.defense.coral)]
        assert terms == pytest.approx(numpy_terms(clean, adversarial), rel=1e-5)

    def test_are_zero_between_a_domain_and_itself_whatever_its_order(self) -> None:
        clean = random(8, 4)
        assert float(self.defense.mmd(clean, clean.flip(0))) == pytest.approx(0, abs=1e-6)
        assert float(self.defense.coral(clean, clean.flip(0))) == pytest.approx(0, abs=1e-6)

    def test_a_shift_is_mmd_s_and_a_stretch_is_coral_s(self) -> None:
        clean = random(8, 4)
        assert float(self.defense.mmd(clean, clean + 3)) == pytest.approx(3, rel=1e-5)
        assert float(self.defense.coral(clean, clean + 3)) == pytest.approx(0, abs=1e-5)
        stretched = clean.mean(0) + 2 * (clean - clean.mean(0))
        assert float(self.defense.mmd(clean, stretched)) == pytest.approx(0, abs=1e-6)
        assert float(self.defense.coral(clean, stretched)) > 0.5

    def test_margin_by_hand(self) -> None:
        centres = Centres(3)
        centres.positions.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 4.0]]))
        # distances of (1, 0, 1) to the centres: 1, 3, 4; its class is 0
        margin = self.defense.margin(torch.tensor([[1.0, 0.0, 1.0]]), torch.tensor([0]), centres)
        expected = (math.log1p(math.exp(1 - 3)) + math.log1p(math.exp(1 - 4))) / 2
        assert margin.tolist() == pytest.approx([expected])

    def test_margin_agrees_with_numpy(self) -> None:
        _, _, centres, _, labels = setting()
        logits = 3 * random(12, 3, seed=4)
        margin = self.defense.margin(logits, labels, centres)
        torch.testing.assert_close(
            margin.double(),
            torch.from_numpy(numpy_margin(logits, labels, centres.positions)),
            rtol=1e-5,
            atol=0,
        )

    def test_descending_margin_nears_the_own_centre_and_leaves_the_others(self) -> None:
        _, _, centres, _, labels = setting()
        logits = (3 * random(12, 3, seed=4)).requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.defense.margin(logits, labels, centres).sum(), logits)
        before, after = (
            torch.cdist(points, centres.positions, p=1)
            for points in (logits.detach(), logits.detach() - 0.01 * gradient)
        )
        advantage = [
            distances.sum(dim=1) - 3 * distances.gather(1, labels.unsqueeze(1)).squeeze(1)
            for distances in (before, after)
        ]
        assert bool((advantage[1] >= advantage[0] - 1e-6).all())
        assert float((advantage[1] - advantage[0]).mean()) > 1e-3

    @pytest.mark.parametrize("term", ["mmd", "coral"])
    def test_descending_the_others_draws_the_domains_together(self, term: str) -> None:
        clean = random(8, 4)
        adversarial = (2 * random(8, 4, seed=1) + 1).requires_grad_(True)
        apart = getattr(self.defense, term)(clean, adversarial)
        (gradient,) = torch.autograd.grad(apart, adversarial)
        nearer = adversarial.detach() - 0.1 * gradient
        assert float(getattr(self.defense, term)(clean, nearer)) < float(apart.detach())


class TestCentres:
    def test_start_at_zero_and_follow_as_in_the_paper(self) -> None:
        centres = Centres(3)
        assert not centres.positions.any()
        centres.positions.fill_(1.0)
        logits = torch.tensor([[3.0, 0.0, 0.0], [5.0, 2.0, 1.0], [0.0, 9.0, 1.0]])
        centres.follow(logits, torch.tensor([0, 0, 1]), rate=0.5)
        # class 0: Δc = ((1 - 3) + (1 - 5), (1 - 0) + (1 - 2), (1 - 0) + (1 - 1)) / 3 = (-2, 0, 1/3)
        # class 1: Δc = (1 - 0, 1 - 9, 1 - 1) / 2 = (0.5, -4, 0); class 2 has no image
        expected = torch.tensor([[2.0, 1.0, 1 - 1 / 6], [0.75, 3.0, 1.0], [1.0, 1.0, 1.0]])
        torch.testing.assert_close(centres.positions, expected)

    def test_move_in_a_step_of_training_only(self) -> None:
        defense, trainee, centres, images, labels = setting()
        kept = centres.positions.clone()
        both = Progress(0, 1, 0, crafted=6, augmented=True)
        defense.loss(trainee, images, labels, both)  # evaluation mode
        defense.loss(trainee.train(), images, labels, CLEAN)  # what crafting looks like
        defense.joint(trainee, images, labels)
        assert torch.equal(centres.positions, kept)
        torch.autograd.backward(defense.loss(trainee, images, labels, both).sum())
        assert not torch.equal(centres.positions, kept)
        moved = centres.positions.clone()
        expected = Centres(3)
        expected.positions.copy_(kept)
        expected.follow(trainee(images).detach(), labels, 0.1)
        torch.testing.assert_close(moved, expected.positions)

    def test_a_step_s_loss_uses_the_centres_before_their_move(self) -> None:
        defense, trainee, _, images, labels = setting()
        both = Progress(0, 1, 0, crafted=6, augmented=True)
        expected = defense.loss(trainee.eval(), images, labels, both)
        torch.testing.assert_close(defense.loss(trainee.train(), images, labels, both), expected)

    @pytest.mark.parametrize("mode", ["train", "eval"])
    def test_stay_while_examples_are_made_of_the_defense_s_own_loss(self, mode: str) -> None:
        defense, trainee, centres, images, labels = setting()
        kept = centres.positions.clone()
        chosen = AdversarialTraining(attack="pgd", epsilon=0.1, steps=2, objective="defense", mode=mode)
        made = craft(images, labels, chosen, defense, trainee.train(), CLEAN, generator_for(CPU, 0))
        assert not torch.equal(made, images)
        assert torch.equal(centres.positions, kept)

    def test_are_stored_with_the_weights_and_are_no_parameters(self) -> None:
        _, trainee, _, _, _ = setting()
        assert "auxiliary.positions" in trainee.state_dict()
        assert list(trainee.auxiliary.parameters()) == []

    def test_training_takes_them_to_their_classes_logits(self) -> None:
        data = make_data()
        defense = DomainAdaptation(Settings(epsilon=0.05))
        trainee = build_tiny(defense)
        chosen = TrainingSettings(epochs=10, batch_size=16, learning_rate=0.05)
        train(defense, trainee, data, chosen, seed=0, progress=False)
        assert accuracy(trainee, *data.select("test")) > 0.9
        images, labels = data.select("test")
        logits = trainee(to_unit(images)).detach()
        assert isinstance(trainee.auxiliary, Centres)
        nearest = torch.cdist(logits, trainee.auxiliary.positions, p=1).argmin(dim=1)
        assert float((nearest == labels).float().mean()) > 0.9


class TestLoss:
    @pytest.mark.parametrize("crafted", [2, 4, 6, 11])
    def test_its_mean_is_the_paper_s_sum(self, crafted: int) -> None:
        defense, trainee, centres, images, labels = setting(weight=0.7)
        loss = defense.loss(trainee, images, labels, Progress(0, 1, 0, crafted=crafted, augmented=True))
        logits = trainee(images).detach()
        cross_entropy = -logits.double().log_softmax(dim=1)[torch.arange(12), labels]
        domain = numpy_margin(logits, labels, centres.positions).mean()
        if crafted < 11:
            domain += sum(numpy_terms(logits[crafted:], logits[:crafted]))
        else:  # one image has no spread
            domain += numpy_terms(logits[11:].expand(2, 3), logits[:11])[0]
            domain += np.abs(np.cov(logits[:11].double().numpy(), rowvar=False)).mean()
        expected = cross_entropy[:crafted].mean() + cross_entropy[crafted:].mean() + 0.7 * domain
        assert float(loss.mean().detach()) == pytest.approx(float(expected), rel=1e-5)

    @pytest.mark.parametrize("crafted", [0, 12])
    def test_one_domain_alone_has_cross_entropy_and_margin(self, crafted: int) -> None:
        defense, trainee, _, images, labels = setting()
        loss = defense.loss(trainee, images, labels, Progress(0, 1, 0, crafted=crafted))
        torch.testing.assert_close(loss, defense.joint(trainee, images, labels))

    def test_no_weight_is_plain_adversarial_training(self) -> None:
        defense, trainee, _, images, labels = setting(weight=0)
        progress = Progress(0, 1, 0, crafted=6, augmented=True)
        plain = nn.functional.cross_entropy(trainee(images), labels, reduction="none")
        torch.testing.assert_close(defense.loss(trainee, images, labels, progress), 2 * plain)

    def test_the_view_is_each_image_s_own(self) -> None:
        defense, trainee, centres, images, labels = setting()
        view = defense.attack_losses(trainee)["joint"]
        logits = trainee(images).detach()
        expected = -logits.double().log_softmax(dim=1)[torch.arange(12), labels]
        expected += torch.from_numpy(numpy_margin(logits, labels, centres.positions)) / 3
        torch.testing.assert_close(view(images, labels).double(), expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(view(images[4:5], labels[4:5]), view(images, labels)[4:5])

    def test_works_in_mixed_precision(self) -> None:
        defense, trainee, _, images, labels = setting()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = defense.loss(trainee.train(), images, labels, Progress(0, 1, 0, crafted=6, augmented=True))
        assert loss.dtype == torch.float32
        torch.autograd.backward(loss.mean())


class TestAdversarialTraining:
    def test_the_batch_has_an_fgsm_example_of_every_image_before_the_images(self) -> None:
        defense, trainee, _, images, labels = setting(labels="true")
        batch = Batch(images.clone(), labels)
        chosen = defense.adversarial_training()
        mix_in_adversarial(batch, chosen, defense, trainee, CLEAN, generator_for(CPU, 0))
        assert batch.crafted == 12
        assert torch.equal(batch.images[12:], images)
        distance = (batch.images[:12] - images).flatten(1).abs().amax(dim=1)
        torch.testing.assert_close(distance, torch.full((12,), 0.1))

    def test_the_loop_says_which_images_are_adversarial(self) -> None:
        seen: list[tuple[int, int, bool]] = []

        class Watching(DomainAdaptation):
            def loss(self, trainee: Trainee, images: Tensor, labels: Tensor, progress: Progress) -> Tensor:
                seen.append((len(images), progress.crafted, progress.augmented))
                return super().loss(trainee, images, labels, progress)

        defense = Watching(Settings())
        chosen = TrainingSettings(epochs=1, batch_size=16, learning_rate=0.05)
        train(defense, build_tiny(defense), make_data(), chosen, seed=0, progress=False, train_images=32)
        assert seen == [(32, 16, True)] * 2

    def test_settings_reach_the_examples(self) -> None:
        chosen = DomainAdaptation(
            Settings(epsilon="4/255", labels="true", mode="eval")
        ).adversarial_training()
        assert (chosen.attack, chosen.epsilon, chosen.share, chosen.augment) == ("fgsm", 4 / 255, 1.0, True)
        assert (chosen.labels, chosen.mode) == ("true", "eval")

    def test_predicted_labels_cost_a_forward_pass(self) -> None:
        assert Settings(labels="true").relative_cost() == 2.75
        assert Settings().relative_cost() == pytest.approx(3.05)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epsilon": [0.3, 0.1]}, "low to high"),
        ({"weight": -1}, "greater than or equal to 0"),
        ({"centre_rate": 1.5}, "less than or equal to 1"),
        ({"covariance": "none"}, "'mean' or 'sum'"),
        ({"labels": "other"}, "'true' or 'predicted'"),
        ({"alpha": 0.1}, "unknown key 'alpha'"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings(**wrong)


def test_a_trainee_of_another_method_is_refused() -> None:
    defense = DomainAdaptation(Settings())
    images, labels = make_data().select("train", 4)
    with pytest.raises(TypeError, match="not built by domain_adaptation"):
        defense.loss(build_tiny(PlainDefense()), to_unit(images), labels, CLEAN)
