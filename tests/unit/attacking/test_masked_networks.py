"""Networks whose gradient is masked on purpose raise the flags that they should; honest ones raise none.

Everything is real: trained digits networks, the attacks, the probe, the outcomes' files, the gates.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reproof import registry
from reproof.attacking import engine, evaluation, judge, probes
from reproof.data.dataset import Dataset, to_unit
from reproof.diagnostics import red_flags
from reproof.errors import StudyError
from reproof.measuring import outcomes as measuring_outcomes
from reproof.measuring import parts
from reproof.models.classifier import Classifier
from reproof.settings.attack import AttackSettings
from tests.ours import here, needs
from tests.tiny_classifier import TinyClassifier

COUNT = 100
BUDGETS = [0.1, 0.2]
QUIET = frozenset(
    (
        "autoattack_vs_gradients",
        "adaptive_vs_plain",
        "plain_vs_adaptive",
        "adaptive_vs_strongest",
        "search_after_gradients",
    )
)
"""The gates that the attacks below cannot check."""
ATTACKS: dict[str, dict[str, Any]] = {
    "random_noise": {"kind": "random_noise", "epsilons": BUDGETS},
    "fgsm": {"kind": "fgsm", "epsilons": [*BUDGETS, 1.0]},
    "pgd": {"kind": "pgd", "epsilons": [*BUDGETS, 1.0], "steps": 10, "step_size": 0.25},
    "pgd_long": {"kind": "pgd", "epsilons": BUDGETS, "steps": 40, "step_size": 0.1},
    "pgd_restarts": {"kind": "pgd", "epsilons": BUDGETS, "steps": 10, "step_size": 0.25, "restarts": 4},
    "square": {"kind": "square", "epsilons": BUDGETS, "queries": 200},
    "square_longer": {"kind": "square", "epsilons": BUDGETS[:1], "queries": 600},
}
ATTACKS = {name: stanza for name, stanza in ATTACKS.items() if here("attacks", stanza["kind"])}


class Small(TinyClassifier):
    """The tiny classifier, wide enough for digits."""

    def __init__(self, data: Dataset):
        super().__init__(data.description, size=12)


class Masked(Classifier):
    """A trained network behind something that changes its images on the way in, or its logits on the way out."""

    def __init__(
        self,
        inside: Classifier,
        data: Dataset,
        *,
        before: Callable[[Tensor], Tensor] = lambda images: images,
        after: Callable[[Tensor], Tensor] = lambda logits: logits,
    ):
        super().__init__(data.description)
        self.inside, self.before, self.after = inside, before, after
        self.feature_shapes = inside.feature_shapes

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits, features = self.inside.logits_and_features(self.before(images))
        return self.after(logits), features


@functools.cache
def digits() -> Dataset:
    module = registry.load("datasets", "digits")
    found: Dataset = module.prepare(module.Settings(image_size=8), Path("unused"))
    return found


@functools.cache
def trained(seed: int = 0, *, epsilon: float = 0.0, levels: bool = False) -> Classifier:
    """Return a network trained on digits: on PGD examples within epsilon, on images of two levels."""
    torch.manual_seed(seed)
    return fit(Small(digits()), epsilon=epsilon, levels=levels)


def fit(
    network: Classifier,
    *,
    epsilon: float = 0.0,
    levels: bool = False,
    noise: float = 0.0,
    smoothing: float = 0.0,
    decay: float = 0.0,
) -> Classifier:
    """Train a network on digits, frozen afterwards. noise: the spread of what is added to images while training."""
    network.train()
    stored, labels = digits().select("train")
    images = to_unit(stored)
    images = (images > 0.5).float() if levels else images
    optimiser = torch.optim.Adam(network.parameters(), lr=4e-3, weight_decay=decay)
    for _ in range(16 if epsilon else 10):
        for chosen in torch.split(torch.randperm(len(images)), 64):
            batch, right = images[chosen], labels[chosen]
            batch = batch + noise * torch.randn_like(batch) if noise else batch
            found = batch + epsilon * (2 * torch.rand_like(batch) - 1) if epsilon else batch
            for _ in range(3 if epsilon else 0):
                found = found.detach().requires_grad_()
                loss = nn.functional.cross_entropy(network(found), right)
                (gradient,) = torch.autograd.grad(loss, found)
                moved = found + 0.5 * epsilon * gradient.sign()
                found = (batch + (moved - batch).clamp(-epsilon, epsilon)).clamp(0, 1)
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(network(found.detach()), right, label_smoothing=smoothing)
            torch.autograd.backward(loss)
            optimiser.step()
    return network.eval().requires_grad_(False)


def settings_of(stanza: dict[str, Any]) -> AttackSettings:
    declared = registry.settings_class("attacks", stanza["kind"])
    found = declared.model_validate({key: value for key, value in stanza.items() if key != "kind"})
    assert isinstance(found, AttackSettings)
    return found


STRONGEST: dict[str, Any] = {
    "kind": "strongest", "epsilons": BUDGETS, "steps": 20, "restarts": 1, "targets": 3, "autoattack": False, "queries": 200,
}  # fmt: skip


def made_on(
    classifier: Classifier, stanzas: dict[str, dict[str, Any]]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return what an attack job stores: images, and what it notes of each attack. Composed ones know an honest network."""
    stored, labels = digits().select("test", COUNT)
    images = to_unit(stored)
    clean = judge.predict(classifier, images, COUNT, "cpu").argmax(1)
    tensors, notes = {"labels": labels}, {}
    for name, stanza in stanzas.items():
        crafted = engine.AttackEngine(
            classifier,
            seed=0,
            batch_size=COUNT,
            device="cpu",
            skip_misclassified=True,
            networks={"other": trained(1)} if stanza["kind"] == "strongest" else None,
        ).run(stanza["kind"], settings_of(stanza), images, labels, clean)
        tensors |= {f"{name}/{parameters}": found for parameters, found in crafted.images.items()}
        notes[name] = {
            "attacked": crafted.attacked,
            "gradient_zero_share": crafted.gradient_zero_share,
            "gradient_broken_share": crafted.gradient_broken_share,
            "unchanged": crafted.unchanged,
        }
        for parameters, taken in crafted.taken.items():
            names = list(taken.parts)
            by = [names.index(taken.by[row]) if row in taken.by else -1 for row in range(COUNT)]
            tensors[f"taken/{name}/{parameters}"] = torch.tensor(by, dtype=torch.int16)
            tried = {**dict(notes[name].get("parts", ())), **taken.parts}
            notes[name]["parts"] = list(tried.items())
    return tensors, notes


@functools.cache
def transferred() -> dict[str, Tensor]:
    """Return images made on an honest network with other weights than the one inside the masked ones."""
    return made_on(trained(1), {"transfer": ATTACKS["pgd"]})[0]


def flags(
    classifier: Classifier, folder: Path, stanzas: dict[str, dict[str, Any]] | None = None
) -> dict[str, red_flags.Flag]:
    """Attack a classifier as a study does, write its outcomes, and read what the gates say."""
    stanzas = ATTACKS if stanzas is None else stanzas
    data = digits()
    stored, labels = data.select("test", COUNT)
    tensors, notes = made_on(classifier, stanzas)
    probe = probes.probe(classifier, to_unit(stored), labels, seed=0, batch_size=50, device="cpu")
    common = {"study": "s", "dataset": "digits", "architecture": "a", "defense": "d", "training": "clean"}
    for threat, setting, source, made, attacks in (
        ("white_box", "white_box", "net", tensors, stanzas),
        ("black_box", "black_box", "other", transferred(), {"transfer": ATTACKS["pgd"]}),
    ):
        torch.manual_seed(0)  # as loading a network does: a random one answers alike in every threat's file
        judged = evaluation.evaluate(
            classifier, data, {source: made}, attacks,
            setting=setting, threat=threat, view="logits", examples=0, device=torch.device("cpu"),
            parts={source: {name: [part for part, _ in note["parts"]] for name, note in notes.items() if "parts" in note}},
        )  # fmt: skip
        own = {"notes": {source: notes}, "probe": probe} if source == "net" else {}
        identity = {**common, "model": "net", "seed": 0, "threat": threat, **own}
        evaluation.write(folder / f"{threat}.parquet", judged.rows, identity)
    outcomes = measuring_outcomes.read_outcomes(sorted(folder.glob("*.parquet")))
    dumped = {name: {"kind": s["kind"], **settings_of(s).model_dump()} for name, s in stanzas.items()}
    return {flag.check: flag for flag in red_flags.find(outcomes, dumped)}


def raised(found: dict[str, red_flags.Flag]) -> set[str]:
    return {gate for gate, flag in found.items() if flag.raised}


def through_levels(images: Tensor) -> Tensor:
    """Return images of two levels; the gradient of rounding is zero everywhere."""
    return images.round()


def steep_sigmoid(images: Tensor) -> Tensor:
    """Return about the same two levels, by a sigmoid so steep that float32 rounds its gradient to nothing."""
    return torch.sigmoid(1000 * (images - 0.51))


def noisy(images: Tensor) -> Tensor:
    """Return images with the noise of a layer that is random at test time."""
    return images + 0.1 * torch.randn_like(images)


def in_part(images: Tensor) -> Tensor:
    """Return the images as they are, without a gradient at 10 of the 64 pixels."""
    hidden = torch.randperm(64, generator=torch.Generator().manual_seed(0)).view(1, 1, 8, 8) < 10
    return torch.where(hidden, images.detach(), images)


@needs("attacks/random_noise", "attacks/square")
@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_an_honest_network_raises_none(epsilon: float, tmp_path: Path) -> None:
    found = flags(trained(epsilon=epsilon), tmp_path)
    assert {gate: flag.evidence for gate, flag in found.items() if flag.raised} == {}
    assert {gate for gate, flag in found.items() if flag.raised is None} == QUIET


HARDLY = frozenset(
    ("white_box_vs_transfer", "white_box_vs_gradient_free", "paper_attack_vs_worst_case", "unbounded_budget")
)
"""What every network raises whose gradients do not lead to the examples that there are."""
MASKED: dict[str, tuple[Callable[[Dataset], Classifier], frozenset[str]]] = {
    "logits times 1,000": (
        lambda data: Masked(trained(), data, after=lambda logits: 1000 * logits),
        HARDLY | {"zero_gradients", "saturated_loss", "unmoved_images"},
    ),
    "steepened sigmoid": (
        lambda data: Masked(trained(levels=True), data, before=steep_sigmoid),
        HARDLY | {"misleading_gradients"},
    ),
    "rounded input": (
        lambda data: Masked(trained(levels=True), data, before=through_levels),
        HARDLY | {"zero_gradients", "white_box_vs_noise", "unmoved_images"},
    ),
}


class InBFloat16(Masked):
    """The network inside, in the arithmetic of mixed precision."""

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast("cpu", torch.bfloat16):
            logits, features = super().logits_and_features(images)
        return logits.float(), features


def of_levels(values: Tensor) -> Tensor:
    """Return values in [0, 1] on 8 bits, with the gradient of what does nothing, as training for 8 bits has it."""
    return values + ((values * 255).round() / 255 - values).detach()


class InEightBits(Masked):
    """The network inside, its images and activations on 8 bits."""

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        def on_bits(module: nn.Module, inputs: Any, values: Tensor) -> Tensor:
            scale = float(values.detach().abs().max()) / 127
            found: Tensor = torch.fake_quantize_per_tensor_affine(values, scale, 0, -128, 127)
            return found

        hooks = [
            self.inside.get_submodule(name).register_forward_hook(on_bits) for name in self.feature_shapes
        ]
        try:
            return super().logits_and_features(of_levels(images))
        finally:
            for hook in hooks:
                hook.remove()


class Decided(Masked):
    """The decision of the network inside, beside a slope that is the network's own and has nothing to do with it."""

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits, features = super().logits_and_features(images)
        slope = 0.1 * torch.randn(64, 10, generator=torch.Generator().manual_seed(5))
        jumps = nn.functional.one_hot(logits.argmax(dim=1), 10).float()
        return 8 * jumps + (images.flatten(1) - 0.5) @ slope, features


def with_a_class_never_answered(logits: Tensor) -> Tensor:
    return torch.cat([logits, torch.full_like(logits[:, :1], -1e9)], dim=1)


FORETOLD: dict[str, tuple[Callable[[Dataset], Classifier], int, int]] = {
    "bfloat16": (lambda data: InBFloat16(trained(), data), 0, 5),
    "8 bits": (lambda data: InEightBits(trained(), data), 0, 5),
    "8 bits, adversarially trained": (lambda data: InEightBits(trained(epsilon=0.2), data), 0, 5),
    "images on 8 bits": (lambda data: Masked(trained(), data, before=of_levels), 0, 5),
    "tiny logits": (lambda data: Masked(trained(), data, after=lambda logits: 1e-22 * logits), 0, 0),
    "a gradient in part": (lambda data: Masked(trained(), data, before=in_part), 45, 100),
    "a gradient in part of tiny logits": (
        lambda data: Masked(trained(), data, before=in_part, after=lambda logits: 1e-22 * logits), 45, 100,
    ),
    "a gradient in part beside a masked class": (
        lambda data: Masked(trained(), data, before=in_part, after=with_a_class_never_answered), 45, 100,
    ),
}  # fmt: skip
"""Networks, and the fewest and the most of COUNT images at which the gradient is to be called misleading."""


@pytest.mark.parametrize("name", FORETOLD)
def test_jumps_of_few_digits_are_told_from_a_gradient_that_is_missing(name: str) -> None:
    build, fewest, most = FORETOLD[name]
    stored, labels = digits().select("test", COUNT)
    probe = probes.probe(build(digits()), to_unit(stored), labels, seed=0, batch_size=50, device="cpu")
    assert probe["compared"] == COUNT
    assert fewest <= probe["misled"] <= most
    assert (probe["followed"], probe["astray"]) == (probes.WAYS, 0)


def test_a_true_gradient_that_leads_nowhere_is_misleading() -> None:
    """Each small step is foretold: only the way to an image of another class tells."""
    stored, labels = digits().select("test", COUNT)
    network = Decided(trained(), digits())
    probe = probes.probe(network, to_unit(stored), labels, seed=0, batch_size=50, device="cpu")
    assert (probe["compared"], probe["followed"], probe["astray"]) == (COUNT, probes.WAYS, probes.WAYS)
    assert probe["misled"] <= 5


@needs("attacks/random_noise", "attacks/square")
@pytest.mark.parametrize("name", MASKED)
def test_a_masked_gradient_raises_what_it_should(name: str, tmp_path: Path) -> None:
    build, expected = MASKED[name]
    found = flags(build(digits()), tmp_path)
    # Restarts and queries may or may not find clearly more where a gradient is left at a few pixels.
    assert raised(found) - {"more_restarts", "more_queries"} == expected
    unasked = QUIET | ({"misleading_gradients"} if name == "rounded input" else set())  # there is none at all
    assert {gate for gate, flag in found.items() if flag.raised is None} == unasked


def test_gradients_that_are_no_numbers_are_a_flag(tmp_path: Path) -> None:
    """The answers are those of an honest network; every fifth row of its gradient is NaN."""

    class Poison(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, logits: Tensor) -> Tensor:
            return logits.clone()

        @staticmethod
        def backward(context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
            return gradient.masked_fill(torch.arange(len(gradient))[:, None] % 5 == 0, torch.nan)

    found = flags(Masked(trained(), digits(), after=Poison.apply), tmp_path)
    assert {"broken_gradients", "zero_gradients"} <= raised(found)
    assert "NaN or infinite" in found["broken_gradients"].evidence


def test_softmax_twice_is_a_flag(tmp_path: Path) -> None:
    found = flags(Masked(trained(), digits(), after=lambda logits: logits.softmax(dim=1)), tmp_path)
    assert "probabilities" in raised(found)


def test_a_random_layer_is_a_flag_unless_an_attack_averages_over_it(tmp_path: Path) -> None:
    network = Masked(trained(), digits(), before=noisy)
    few = {name: ATTACKS[name] for name in ("fgsm", "pgd")}
    assert raised(flags(network, tmp_path, few)) == {"randomness"}
    averaging = few | {"pgd_averaged": {**ATTACKS["pgd"], "samples": 8}}
    found = flags(network, tmp_path, averaging)
    # The papers' attack, of one sample, leaves more than the averaged one: that is its own weakness.
    assert raised(found) <= {"paper_attack_vs_worst_case", "more_steps"}
    assert "PGD averaged" in found["randomness"].evidence


@needs("attacks/random_noise", "attacks/square")
def test_a_detached_input_says_what_to_do_and_is_a_flag_under_a_search(tmp_path: Path) -> None:
    """Attacks that climb refuse a loss without gradient; a search alone needs none, and says that there is none."""
    network = Masked(trained(), digits(), before=torch.detach)
    with pytest.raises(StudyError, match="attack without gradients"):
        made_on(network, {"pgd": ATTACKS["pgd"]})
    found = flags(network, tmp_path, {name: ATTACKS[name] for name in ("random_noise", "square")})
    assert raised(found) == {"zero_gradients"}
    assert found["zero_gradients"].evidence.startswith("Of the clean images, 100 of 100")
    assert "does not depend on the image" in found["zero_gradients"].evidence
    assert found["white_box_vs_gradient_free"].raised is None


class Undeclared(Masked):
    """A purifier that nobody declares, and of its answers the class alone; who asks for a gradient meets neither."""

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        if images.requires_grad:
            return self.inside.logits_and_features(images)
        logits, features = super().logits_and_features(images)
        return 8 * nn.functional.one_hot(logits.argmax(dim=1), 10).float(), features


DISGUISED: dict[str, Callable[[Dataset], Classifier]] = {
    "a hidden purifier that ends in a class": lambda data: Undeclared(
        trained(levels=True), data, before=through_levels
    ),
    "a flat softmax": lambda data: Masked(trained(), data, after=lambda logits: logits / 1000),
    "a steep softmax": lambda data: Masked(trained(), data, after=lambda logits: 1000 * logits),
    "an input that is detached": lambda data: Masked(trained(), data, before=torch.detach),
    "an input of 16 levels": lambda data: Masked(trained(), data, before=lambda x: (15 * x).round() / 15),
    "noise": lambda data: Masked(trained(), data, before=noisy),
    "a gradient at 85 % of the pixels": lambda data: Masked(trained(), data, before=in_part),
}


def left_by_the_strongest(network: Classifier) -> int:
    stored, labels = digits().select("test", COUNT)
    images = to_unit(stored)
    clean = judge.classes(network, images, COUNT, "cpu")
    attacker = engine.AttackEngine(
        network,
        seed=0,
        batch_size=COUNT,
        device="cpu",
        skip_misclassified=True,
        networks={"other": trained(1)},
    )
    found = attacker.run("strongest", settings_of(STRONGEST), images, labels, clean)
    return int((found.predictions["epsilon=0.1"] == labels).sum())


@functools.cache
def left_of_the_network_behind() -> int:
    return left_by_the_strongest(trained())


@needs("attacks/square", "attacks/strongest")
@pytest.mark.parametrize("name", DISGUISED)
def test_a_disguised_network_falls_to_the_strongest_attack_or_is_flagged(name: str, tmp_path: Path) -> None:
    """What the disguise hides is no robustness: as few are left as of the network behind it, or a flag is up."""
    network = DISGUISED[name](digits())
    left = left_by_the_strongest(network)
    if left > left_of_the_network_behind() + 5:
        assert raised(flags(network, tmp_path, {"strongest": STRONGEST})), left


@needs("attacks/square", "attacks/strongest")
@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_the_strongest_attack_raises_nothing_on_an_honest_network(epsilon: float, tmp_path: Path) -> None:
    found = flags(trained(epsilon=epsilon), tmp_path, {"strongest": STRONGEST})
    assert raised(found) == set()
    assert found["search_after_gradients"].raised is False
    # The files keep the parts in their order, and each image's by its name.
    table = parts.parts(measuring_outcomes.read_outcomes(sorted(tmp_path.glob("*.parquet"))))
    first = table[table["place"] == 1]
    assert set(first["part"]) == {"cross-entropy"}
    assert int(first["taken"].sum()) > int(table["taken"].sum()) / 2
