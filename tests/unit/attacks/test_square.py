"""Square asks for scores only: what it does on a linear model, without gradients, on ties and across restarts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pyautoattack.square import SquareAttack
from pydantic import ValidationError
from torch import Tensor, nn

from reproof import registry
from reproof.attacking import engine, judge, threat_model
from reproof.attacking.seclusion import LIBRARY_NORMS
from reproof.attacks.square import RandomSquaresAttack
from reproof.errors import StudyError
from reproof.settings.attack import EpsilonAttackSettings
from reproof.settings.values import Norm
from tests.unit.attacks.test_autoattack import Changed, Linear, batch, blobs


class Watched(nn.Module):
    """Counts the images that it is asked about."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model, self.asked = model, 0

    def forward(self, images: Tensor) -> Tensor:
        assert not torch.is_grad_enabled() or torch.is_inference_mode_enabled()
        self.asked += 0 if torch.is_inference_mode_enabled() else len(images)
        logits: Tensor = self.model(images)
        return logits


def craft(
    model: nn.Module, images: Tensor, labels: Tensor, seed: int = 0, **settings: Any
) -> engine.AttackResult:
    declared = registry.settings_class("attacks", "square")
    assert issubclass(declared, EpsilonAttackSettings)
    clean = judge.predict(model, images, 100, "cpu").argmax(1)
    return engine.AttackEngine(model, seed=seed, batch_size=100, device="cpu", skip_misclassified=True).run(
        "square", declared.model_validate(settings), images, labels, clean
    )


def only(by_point: dict[str, Tensor]) -> Tensor:
    (value,) = by_point.values()
    return value


def margins(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    logits = model(images).detach()
    own = logits.gather(1, labels[:, None])
    return (own - logits.scatter(1, labels[:, None], -torch.inf).amax(1, keepdim=True)).squeeze(1)


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, Tensor, Tensor]:
    net, images, labels = blobs(5)
    right = net(images).argmax(1) == labels
    return net, images[right], labels[right]


def test_it_fools_where_a_linear_model_can_be_fooled_and_ends_in_its_corner_elsewhere() -> None:
    model = Linear(2)
    with torch.no_grad():  # the smallest squares never lie in the last row or column
        model.weight.view(2, 4, 4)[:, 3, :] = 0
        model.weight.view(2, 4, 4)[:, :, 3] = 0
    model.requires_grad_(False).eval()
    images = 0.3 + 0.4 * torch.rand(10, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = model(images).argmax(1)
    direction = model.weight[1 - labels] - model.weight[labels]
    needed = margins(model, images, labels) / direction.abs().sum(1)
    nearest = needed.sort().values
    epsilon = float((nearest[4] + nearest[5]) / 2)
    assert epsilon < 0.3, "nothing reaches black or white"
    result = craft(model, images, labels, epsilons=[epsilon], queries=400)
    fooled = only(result.predictions) != labels
    assert (fooled == (needed < epsilon)).all()
    corner = images + epsilon * direction.sign().view(-1, 1, 4, 4)
    seen = direction.view(-1, 1, 4, 4) != 0
    found = only(result.images)
    torch.testing.assert_close(found[~fooled][seen[~fooled]], corner[~fooled][seen[~fooled]])


@pytest.mark.parametrize(("restarts", "queries"), [(1, 40), (1, 25), (3, 20)])
def test_survivors_cost_the_declared_queries_and_have_the_smallest_margin(
    trained: tuple[nn.Module, Tensor, Tensor], restarts: int, queries: int
) -> None:
    net, images, labels = trained
    model = Watched(net)
    result = craft(model, images, labels, epsilons=[0.001], queries=queries, restarts=restarts)
    found = only(result.images)
    assert (only(result.predictions) == labels).all()
    assert model.asked == len(images) * restarts * (queries + 2)
    assert (margins(net, found, labels) < margins(net, images, labels)).all()
    assert set(result.unchanged.values()) == {0}, (
        "an image that survives is moved, to be shown to another model"
    )


@pytest.mark.parametrize(
    ("norm", "epsilon", "share"), [("linf", 0.08, 0.8), ("linf", 0.08, 0.1), ("l2", 0.7, 0.8)]
)
def test_what_it_fools_is_what_the_library_fools(
    trained: tuple[nn.Module, Tensor, Tensor], norm: Norm, epsilon: float, share: float
) -> None:
    net, images, labels = trained
    with torch.random.fork_rng():
        torch.manual_seed(5)
        seed = int(torch.randint(2**31, ()))
        theirs = SquareAttack(
            net, norm=LIBRARY_NORMS[norm], eps=epsilon, n_queries=150, p_init=share, seed=seed, device="cpu",
            resc_schedule=True,
        ).perturb(images.clone(), labels)  # fmt: skip
        torch.manual_seed(5)
        ours = RandomSquaresAttack(queries=150, share=share, norm=norm).perturb(
            batch(net, images, labels, epsilon)
        )
    fooled = net(ours).argmax(1) != labels
    assert 0 < fooled.sum() < len(images)
    assert torch.equal(ours[fooled], theirs[fooled])
    assert torch.equal(theirs[~fooled], images[~fooled])


def test_more_queries_and_restarts_fool_more_and_a_fooled_image_is_kept(
    trained: tuple[nn.Module, Tensor, Tensor],
) -> None:
    net, images, labels = trained
    once, thrice = (craft(net, images, labels, epsilons=[0.4], queries=6, restarts=n) for n in (1, 3))
    fooled = [only(result.predictions) != labels for result in (once, thrice)]
    assert 0 < fooled[0].sum() < fooled[1].sum() < len(images)
    assert torch.equal(only(once.images)[fooled[0]], only(thrice.images)[fooled[0]])
    long = craft(net, images, labels, epsilons=[0.4], queries=150)
    assert (only(long.predictions) != labels).sum() > fooled[1].sum()
    other = craft(net, images, labels, epsilons=[0.4], queries=6, seed=1)
    assert not torch.equal(only(other.images), only(once.images))


def test_it_needs_no_gradient_and_a_hidden_one_changes_nothing(
    trained: tuple[nn.Module, Tensor, Tensor],
) -> None:
    net, images, labels = trained
    honest = craft(net, images, labels, epsilons=[0.3], queries=60)
    hidden = craft(Changed(net, detach=True), images, labels, epsilons=[0.3], queries=60)
    assert torch.equal(only(honest.images), only(hidden.images))
    assert (only(honest.predictions) != labels).any()
    assert hidden.gradient_zero_share is None


class Tied(nn.Module):
    """Answers 0 and 0 for every image but the untouched, and will not be asked about none."""

    def forward(self, images: Tensor) -> Tensor:
        assert len(images) or torch.is_inference_mode_enabled()
        clean = (images == 0.5).flatten(1).all(1).float()
        return torch.stack([clean, torch.zeros_like(clean)], 1)


def test_a_tie_is_no_error_and_no_success(capfd: pytest.CaptureFixture[str]) -> None:
    images, labels = torch.full((6, 1, 4, 4), 0.5), torch.zeros(6, dtype=torch.long)
    for kind in (1, 6):
        result = craft(Tied(), images[:kind], labels[:kind], epsilons=[0.1], queries=5, restarts=2)
        assert (only(result.predictions) == 0).all()
    assert capfd.readouterr() == ("", "")


def test_colours_stay_in_the_ball_and_generators_as_they_were() -> None:
    net, images, labels = blobs(4, channels=3)
    state = torch.get_rng_state()
    result = craft(net, images, labels, epsilons=[0.1], queries=30)
    assert torch.equal(torch.get_rng_state(), state)
    threat_model.check(images, only(result.images), "linf", 0.1, "square")


def test_no_budget_and_other_settings_are_refused(trained: tuple[nn.Module, Tensor, Tensor]) -> None:
    net, images, labels = trained
    with pytest.raises(StudyError, match="names no epsilon"):
        RandomSquaresAttack(queries=5).perturb(batch(net, images, labels))
    declared = registry.settings_class("attacks", "square")
    for wrong in ({"share": 0}, {"share": 1.5}, {"queries": 0}, {"restarts": 0}, {"view": "joint"}):
        with pytest.raises(ValidationError):
            declared.model_validate({"epsilons": [0.1], **wrong})
