"""The engine judges: budgets, failed samples, skipping, seeds, and nothing left behind in the classifier."""

from __future__ import annotations

from types import SimpleNamespace

import foolbox
import pytest
import torch
from foolbox.attacks.base import FixedEpsilonAttack, MinimizationAttack
from torch import nn

from reproof import registry
from reproof.attacking import engine, judge, threat_model
from reproof.errors import BudgetError, ReproofError, StudyError
from reproof.settings.attack import AttackSettings, EpsilonAttackSettings, Point
from tests.ours import here


class Net(nn.Module):
    """Convolution, batch norm, dropout: everything that goes wrong when a model is left in training mode."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.body = nn.Sequential(
                nn.Conv2d(3, 6, 3, padding=1),
                nn.BatchNorm2d(6),
                nn.Tanh(),
                nn.Dropout(0.5),
                nn.Conv2d(6, 4, 3),
            )
            self.graphs = 0
            with torch.no_grad():
                self.body[4].bias -= (
                    self.eval()(torch.rand(64, 3, 6, 6)).mean(0) / 20
                )  # so that answers differ

    def forward(self, images):
        self.graphs += len(images) if torch.is_grad_enabled() else 0
        return self.body(images).flatten(2).mean(2) * 20


@pytest.fixture
def net():
    return Net().eval()


@pytest.fixture
def images():
    return torch.rand(11, 3, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels(net, images):
    """What the net answers, but for images 2, 3 and 9."""
    answers = judge.predict(net, images, 11, "cpu").argmax(1)
    assert len(answers.unique()) > 1
    answers[[2, 3, 9]] += 1
    return answers % 4


def craft(net, images, labels, kind="pgd", settings=None, clean=None, **options):
    if settings is None:
        settings = registry.settings_class("attacks", kind)(epsilons=[0.05])
    if clean is None:
        clean = judge.predict(net, images, 11, "cpu").argmax(1)
    chosen = {"seed": 0, "batch_size": 4, "device": "cpu", "skip_misclassified": True} | options
    return engine.AttackEngine(net, **chosen).run(kind, settings, images, labels, clean)


@pytest.fixture
def plug(monkeypatch):
    """Put an attack in the place of a plugin."""

    def plug(attack):
        plugin = SimpleNamespace(build=lambda settings, point: attack)
        monkeypatch.setattr(engine.registry, "load", lambda family, name: plugin)

    return plug


class Shift(FixedEpsilonAttack):
    """Brighten by epsilon and a bit more."""

    distance = foolbox.distances.linf

    def __init__(self, extra=0.0, factor=1.0):
        self.extra, self.factor = extra, factor

    def run(self, model, inputs, criterion, *, epsilon, **kwargs):
        return inputs + epsilon * self.factor + self.extra


class Jump(MinimizationAttack):
    """Return images of one colour, whatever they were."""

    distance = foolbox.distances.l2

    def __init__(self, value):
        self.value = value

    def run(self, model, inputs, criterion, *, early_stop=None, **kwargs):
        return torch.full_like(inputs, self.value)


class FreeSettings(AttackSettings):
    def points(self):
        return (Point(name="c", value=1, epsilon=None),)


BUDGET = EpsilonAttackSettings(epsilons=[0.1])


@pytest.mark.parametrize("extra", [2e-6, 0.01, float("nan")])
def test_an_attack_over_its_budget_raises(plug, net, labels, extra):
    plug(Shift(extra))
    with pytest.raises(BudgetError, match=r"toy at epsilon=0.1, .*image \d"):
        craft(net, torch.full((11, 3, 6, 6), 0.5), labels, "toy", BUDGET)


def test_an_attack_that_leaves_the_unit_interval_raises(plug, net, labels):
    plug(Shift())
    with pytest.raises(BudgetError, match=r"leaves \[0, 1\]"):
        craft(net, torch.full((11, 3, 6, 6), 0.95), labels, "toy", BUDGET)


def test_rounding_at_the_edge_is_put_inside(plug, net, labels):
    plug(Shift(extra=5e-7))
    clean = torch.full((11, 3, 6, 6), 0.5)
    found = craft(net, clean, labels, "toy", BUDGET, skip_misclassified=False).images["epsilon=0.1"]
    assert (found - clean).abs().max() <= torch.tensor(0.6) - 0.5
    assert (found - clean).min() > 0.0999
    clean = torch.full((11, 3, 6, 6), 0.9)
    assert craft(net, clean, labels, "toy", BUDGET).images["epsilon=0.1"].max() <= 1
    for beyond, edge in ((1 + 5e-7, 1), (-5e-7, 0)):
        plug(Jump(beyond))
        answer = int(judge.predict(net, torch.full((1, 3, 6, 6), beyond), 1, "cpu").argmax())
        wrong = torch.full_like(labels, (answer + 1) % 4)
        jumped = craft(net, clean, wrong, "toy", FreeSettings(), skip_misclassified=False).images["c=1"]
        assert torch.equal(jumped, torch.full_like(jumped, edge)), "in no ball either"


def test_an_attack_that_does_nothing_is_noticed(plug, net, images, labels):
    plug(Shift(factor=0.0))
    result = craft(net, images, labels, "toy", BUDGET)
    assert (result.attacked, result.unchanged) == (8, {"epsilon=0.1": 8})
    working = craft(net, images, labels, "toy", EpsilonAttackSettings(epsilons=[0.0]))
    assert working.unchanged == {"epsilon=0": 8}


def test_one_that_works_leaves_none_unchanged(net, images, labels):
    assert craft(net, images, labels).unchanged == {"epsilon=0.05": 0}


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_failed_samples_of_attacks_without_a_budget_get_their_original_back(plug, net, images, labels, value):
    plug(Jump(value))
    answer = int(judge.predict(net, torch.full((1, 3, 6, 6), value), 1, "cpu").argmax())
    labels = torch.full_like(labels, answer)
    labels[::2] = (answer + 1) % 4
    result = craft(net, images, labels, "toy", FreeSettings(), skip_misclassified=False)
    found, predicted = result.images["c=1"], result.predictions["c=1"]
    clean = judge.predict(net, images, 11, "cpu").argmax(1)
    # An all-zero image is Foolbox's mark of failure even where it is misclassified.
    fooled = (labels != answer) & (value > 0)
    assert torch.equal(found[~fooled], images[~fooled])
    assert (found[fooled] == value).all()
    assert torch.equal(predicted, torch.where(fooled, answer, clean))
    assert result.unchanged["c=1"] == int((~fooled).sum())


def test_foolboxs_own_carlini_wagner_is_judged_right(plug, net, images, labels):
    """Trap 1 for any attack of Foolbox's that a later file may use."""
    plug(foolbox.attacks.L2CarliniWagnerAttack(1, 20, 1e-2, 0, 1e-6, False))
    clean = judge.predict(net, images, 11, "cpu").argmax(1)
    result = craft(net, images, labels, "toy", FreeSettings())
    assert torch.equal(result.predictions["c=1"], clean)
    assert torch.equal(result.images["c=1"], images)


def test_skipping_changes_no_prediction_and_no_attacked_image(net, images, labels):
    settings = registry.settings_class("attacks", "pgd")(epsilons=[0.02, 0.05])
    skipping = craft(net, images, labels, settings=settings)
    graphs, net.graphs = net.graphs, 0
    complete = craft(net, images, labels, settings=settings, skip_misclassified=False)
    assert graphs == 8 * 20
    assert net.graphs == 11 * 20
    right = torch.ones(11, dtype=torch.bool)
    right[[2, 3, 9]] = False
    for name in ("epsilon=0.02", "epsilon=0.05"):
        torch.testing.assert_close(skipping.images[name][right], complete.images[name][right])
        assert torch.equal(skipping.images[name][~right], images[~right])
        assert (skipping.predictions[name][~right] != labels[~right]).all()
        assert torch.equal(skipping.predictions[name][right], complete.predictions[name][right])
        moved = (skipping.images[name] != images).flatten(1).any(1)
        assert torch.equal(moved, right), "every result lies in its own image's place"
    assert (skipping.predictions["epsilon=0.05"] != labels).sum() > 3, "the attack fools something"


def test_predictions_are_those_of_the_returned_images(net, images, labels):
    result = craft(net, images, labels)
    again = judge.predict(net, result.images["epsilon=0.05"], 3, "cpu").argmax(1)
    assert torch.equal(result.predictions["epsilon=0.05"], again)
    assert result.images["epsilon=0.05"].dtype == torch.float32


def test_a_false_claim_that_an_image_is_wrong_spares_it_nothing(net, images, labels):
    claimed = (labels + 1) % 4
    result = craft(net, images, labels, clean=claimed)
    assert result.attacked == 8
    honest = craft(net, images, labels)
    assert torch.equal(result.predictions["epsilon=0.05"], honest.predictions["epsilon=0.05"])


def test_nothing_to_attack_is_no_error(net, images, labels):
    clean = judge.predict(net, images, 11, "cpu").argmax(1)
    result = craft(net, images, (clean + 1) % 4)
    assert result.attacked == 0
    assert result.gradient_zero_share is None
    assert torch.equal(result.images["epsilon=0.05"], images)
    assert torch.equal(result.predictions["epsilon=0.05"], clean)


@pytest.mark.parametrize("kind", registry.names("attacks"))
def test_the_classifier_comes_back_as_it_was(net, images, labels, kind):
    declared = registry.settings_class("attacks", kind)
    budget = {"epsilons": [0.05]} if "epsilons" in declared.model_fields else {}
    settings = declared(**(getattr(declared, "example", {}) | budget))
    net.train()
    net.body[2].eval()
    net.body[0].bias.requires_grad_(False)
    net.body[4].bias.grad = marker = torch.ones(4)
    before = {name: (value, value.clone()) for name, value in net.state_dict(keep_vars=True).items()}
    craft(net, images, labels, kind, settings)
    assert [m.training for m in net.modules()] == [True, True, True, True, False, True, True]
    assert [n for n, p in net.named_parameters() if not p.requires_grad] == ["body.0.bias"]
    assert net.body[4].bias.grad is marker
    assert torch.equal(marker, torch.ones(4))
    assert all(p.grad is None for n, p in net.named_parameters() if n != "body.4.bias")
    for name, value in net.state_dict(keep_vars=True).items():
        assert value is before[name][0]
        assert torch.equal(value, before[name][1]), name
        assert value.is_contiguous()


def test_the_classifier_comes_back_after_an_error_too(plug, net, images, labels):
    class Broken(Shift):
        def run(self, model, inputs, criterion, *, epsilon, **kwargs):
            assert not any(p.requires_grad for p in net.parameters())
            assert not net.training
            for parameter in net.parameters():
                parameter.grad = torch.ones_like(parameter)
            raise RuntimeError("broken")

    plug(Broken())
    net.train()
    with pytest.raises(RuntimeError, match="broken"):
        craft(net, images, labels, "toy", BUDGET)
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    assert all(p.grad is None for p in net.parameters())


def test_parameters_outside_the_classifier_get_no_gradient(net, images, labels):
    centres = nn.Parameter(torch.randn(4))
    craft(net, images, labels, attack_loss=lambda x, y: (net(x) * centres).sum(1))
    assert centres.grad is None


def test_inputs_are_not_mutated(net, images, labels):
    clean = judge.predict(net, images, 11, "cpu").argmax(1)
    kept = [value.clone() for value in (images, labels, clean)]
    result = craft(net, images, labels, clean=clean)
    result.images["epsilon=0.05"].zero_()
    result.predictions["epsilon=0.05"].zero_()
    assert all(torch.equal(a, b) for a, b in zip(kept, (images, labels, clean), strict=True))


@pytest.mark.parametrize("kind", here("attacks", "pgd", "random_noise"))
def test_draws_depend_on_seed_and_image_alone(net, images, labels, kind):
    first = craft(net, images, labels, kind).images["epsilon=0.05"]
    torch.rand(7)
    assert torch.equal(craft(net, images, labels, kind).images["epsilon=0.05"], first)
    assert not torch.equal(craft(net, images, labels, kind, seed=1).images["epsilon=0.05"], first)
    for batch_size in (1, 5, 100):
        other = craft(net, images, labels, kind, batch_size=batch_size).images["epsilon=0.05"]
        torch.testing.assert_close(other, first, rtol=0, atol=1e-6)
    fewer = craft(net, images[:6], labels[:6], kind).images["epsilon=0.05"]
    torch.testing.assert_close(fewer, first[:6], rtol=0, atol=1e-6)


class GlobalNoise(Shift):
    """Draw from torch's global generator, as Foolbox's own attacks do."""

    def run(self, model, inputs, criterion, *, epsilon, **kwargs):
        return (inputs + epsilon * (torch.rand_like(inputs) * 2 - 1)).clamp(0, 1)


def test_attacks_that_draw_globally_are_seeded_and_disturb_nothing(plug, net, images, labels):
    plug(GlobalNoise())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = craft(net, images, labels, "toy", BUDGET).images["epsilon=0.1"]
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(craft(net, images, labels, "toy", BUDGET).images["epsilon=0.1"], first)
    assert not torch.equal(craft(net, images, labels, "toy", BUDGET, seed=1).images["epsilon=0.1"], first)
    other = craft(net, images, labels, "other", BUDGET).images["epsilon=0.1"]
    assert not torch.equal(other, first)
    every = craft(net, images, labels, "toy", BUDGET, skip_misclassified=False).images["epsilon=0.1"]
    assert torch.equal(every[4:8], first[4:8]), "who is skipped in other batches changes nothing"


class Shaky(nn.Module):
    """A network whose answers hang on what it draws from torch's global generator."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        logits = self.net(images)
        return logits + 10 * torch.rand_like(logits)


def test_networks_that_draw_are_skipped_and_judged_by_the_seed_alone(plug, net, images, labels):
    plug(GlobalNoise())
    found = []
    for state, seed in ((5, 0), (6, 0), (6, 1)):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        result = craft(Shaky(net), images, labels, "toy", BUDGET, clean=(labels + 1) % 4, seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
        found.append((result.attacked, result.predictions["epsilon=0.1"].tolist()))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("kind", here("attacks", "fgsm", "bim", "mim"))
def test_batch_size_and_memory_format_do_not_change_deterministic_attacks(net, images, labels, kind):
    first = craft(net, images, labels, kind)
    for options in ({"batch_size": 1}, {"batch_size": 50}, {"channels_last": False}):
        other = craft(net, images, labels, kind, **options)
        torch.testing.assert_close(
            other.images["epsilon=0.05"], first.images["epsilon=0.05"], rtol=0, atol=1e-6
        )


def test_views_of_the_wrong_shape_and_attacks_without_one_are_refused(net, images, labels):
    with pytest.raises(StudyError, match="one loss per image"):
        craft(net, images, labels, attack_loss=lambda x, y: net(x))
    for kind in here("attacks", "carlini_wagner", "random_noise"):
        declared = registry.settings_class("attacks", kind)
        chosen = {"epsilons": [0.1]} if kind == "random_noise" else declared.example
        with pytest.raises(StudyError, match=f"{kind} cannot take a view"):
            craft(net, images, labels, kind, declared(**chosen), attack_loss=lambda x, y: net(x).sum(1))
        with pytest.raises(ValueError, match="view"):
            declared(**chosen, view="joint")


def test_a_view_decides_where_the_attack_goes(net, images, labels):
    clean = images.clamp(0.1, 0.9)
    result = craft(
        net, clean, labels, "fgsm", attack_loss=lambda x, y: -x.flatten(1).sum(1), skip_misclassified=False
    )
    torch.testing.assert_close(result.images["epsilon=0.05"], clean - 0.05)


class Masked(nn.Module):
    """Gradients that vanish on dark images: a dead ReLU, and softmax saturated beyond float32."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def forward(self, images):
        bright = images.flatten(1).mean(1)
        score = (bright - 0.5).relu() * self.scale
        return torch.stack([score + self.scale, 0 * score], 1)


def test_the_share_of_zero_gradients_is_measured():
    images = torch.tensor([0.1, 0.2, 0.3, 0.8]).view(4, 1, 1, 1).expand(4, 1, 3, 3).contiguous()
    labels = torch.zeros(4, dtype=torch.long)
    for kind in here("attacks", "fgsm", "bim", "mim", "pgd"):
        shares = [
            craft(Masked(s), images, labels, kind, batch_size=2).gradient_zero_share for s in (1.0, 1e4)
        ]
        assert shares == [0.75, 1.0], kind
    for kind in here("attacks", "random_noise"):
        assert craft(Masked(), images, labels, kind).gradient_zero_share is None


def test_a_loss_without_gradient_is_refused(net, images, labels):
    with pytest.raises(StudyError, match="no gradient"):
        craft(net, images, labels, attack_loss=lambda x, y: net(x.round().detach()).sum(1))


def test_points_that_repeat_are_refused(net, images, labels):
    with pytest.raises(StudyError, match="twice"):
        craft(net, images, labels, settings=registry.settings_class("attacks", "pgd")(epsilons=[0.1, 0.1]))


def test_images_outside_the_unit_interval_are_refused(net, images, labels):
    with pytest.raises(BudgetError, match="images to attack"):
        craft(net, images * 255, labels)


def test_progress_counts_to_the_end(net, images, labels):
    seen = []
    settings = registry.settings_class("attacks", "fgsm")(epsilons=[0.1, 0.2])
    result = craft(
        net, images, labels, "fgsm", settings, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(d, 22) for d in (4, 8, 12, 16, 19, 22)]
    assert result.seconds.keys() == {"epsilon=0.1", "epsilon=0.2"}
    assert all(value > 0 for value in result.seconds.values())


def test_parts_in_training_are_in_evaluation_mode_for_the_time(net):
    net.eval()
    net.body[2].train()
    with judge.frozen(net, channels_last=False):
        assert not any(module.training for module in net.modules())
        net.body[0].train()
    assert [module for module in net.modules() if module.training] == [net.body[2]]


def test_predict_is_the_deployed_classifier_and_refuses_nan(net, images):
    net.train()
    logits = judge.predict(net, images, 4, "cpu")
    assert net.training
    net.eval()
    torch.testing.assert_close(logits, net(images).detach())
    assert logits.device.type == "cpu"
    assert not logits.requires_grad
    net.body[4].bias.data[0] = torch.nan
    with pytest.raises(ReproofError, match="NaN"):
        judge.predict(net, images, 4, "cpu")


def test_distances_of_the_result_are_within_every_epsilon(net, images, labels):
    settings = registry.settings_class("attacks", "pgd")(epsilons=["8/255", 0.03, 0.031])
    result = craft(net, images, labels, settings=settings)
    for point in settings.points():
        found = threat_model.distances(images, result.images[point.parameters])["linf"]
        assert found.max() <= point.epsilon + 1e-7
