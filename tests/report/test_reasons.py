"""What tells a measurement from its claim, in words: every kind of difference, without keys."""

from __future__ import annotations

import re

import pytest
from tests.hand_made_papers import claim
from tests.ours import here, tells_of_deleted

from reproof import wording
from reproof.claims.claim import Claim
from reproof.judging import difference
from reproof.judging.difference import Difference, dump
from reproof.report import reasons

KINDS = [
    (Difference("dataset", "digits", "fashion_mnist"), {}, "data set: digits, not Fashion-MNIST"),
    (
        Difference("weights", "", "", "B"),
        {},
        "its weights were trained elsewhere, in a way that is not known here",
    ),
    (
        Difference("architecture", "cnn6 (width 0.25)", "resnet110"),
        {},
        "network: CNN-6 (width 0.25), not ResNet-110",
    ),
    (
        Difference("source", "vgg19 (width 0.0625):pgd_training", "vgg13 + resnet32*3"),
        {},
        "source: VGG-19 (width 0.0625) with PGD training, not VGG-13 and 3 ResNet-32",
    ),
    (
        Difference("dataset.image_size", "32", "128"),
        {},
        "data set’s image size: 32, not 128",
    ),
    (
        Difference("attack.view", "joint", "logits"),
        {},
        "attack loss: joint, not logits",
    ),
    (
        Difference("source.twin", "vgg_2", "vgg_1"),
        {},
        "of the source, vgg 2 is vgg 1 again, with the same seed",
    ),
    (
        Difference("source", "member", "members"),
        {},
        "source: one member at a time, not all members together",
    ),
    (Difference("architecture.blocks", "9", "18"), {}, "network’s blocks: 9, not 18"),
    (
        Difference("architecture.block", "basic_two", "none"),
        {},
        "network’s block: basic two, where the paper has none",
    ),
    (Difference("defense.distance", "l2", ""), {}, "defense’s distance: l2, which the paper does not print"),
    (Difference("defense.built_on.max_pool", "false", "true"), {}, "defense’s max pool: no, not yes"),
    (
        Difference("training.gradient_clip", "1", ""),
        {},
        "training’s gradient clip: 1, which the paper does not print",
    ),
    (
        Difference("training.milestones", "[]", "[100, 200]"),
        {},
        "training’s milestones: none, not [100, 200]",
    ),
    (
        Difference("training.adversarial.epsilon", "0.0313725", "[0.1, 0.00784314]"),
        {},
        "training’s adversarial epsilon: 8/255, not [0.1, 2/255]",
    ),
    (
        Difference("defense.warmup_epochs", "0.142857143", "0.123456789"),
        {},
        "defense’s warmup epochs: 1/7, not 0.123",
    ),
    (
        Difference("training.adversarial.attack", "pgd", "fgsm"),
        {},
        "training’s adversarial attack: PGD, not FGSM",
    ),
    (Difference("protocol", "", ""), {}, "what the paper says of its training is not typed in here"),
    (
        Difference("undefended", "", ""),
        {},
        "a time is compared as the ratio to the undefended network’s, and there is none to compare with",
    ),
    (
        Difference("source.training.epochs", "3", "200"),
        {},
        "of the source, epochs: 3 of 200",
    ),
    (
        Difference("lacks.model", "lenet_dkd", ""),
        {},
        "lenet dkd stands for all cells that the paper measured on one model, and did not meet this attack",
    ),
    (Difference("attack.kind", "pgd", "fgsm"), {}, "attack: PGD, not FGSM"),
    (
        Difference("attack.pgd.early_stop", "true", ""),
        {},
        "PGD early stop: yes, which the paper does not print",
    ),
    (Difference("images", "120", "10000"), {}, "images: 120 of 10,000"),
    (Difference("images", "1000", "1200"), {}, "images: 1000 of 1200"),
    (Difference("training.epochs", "12", "350"), {}, "epochs: 12 of 350"),
    (Difference("training_images", "55000", "60000"), {}, "training images: 55,000 of 60,000"),
    (
        Difference("training_images", "55000", ""),
        {},
        "training images: 55,000, which the paper does not print",
    ),
    (Difference("training.epochs", "400", "350"), {}, "epochs: 400, not 350"),
    (Difference("seeds", "1", "5"), {}, "seeds: 1 of 5"),
    (Difference("attack.steps", "50", "1000"), {"attack": "carlini_wagner"}, "C&W steps: 50, not 1000"),
    (Difference("attack.carlini_wagner.steps", "50", "1000"), {"attack": "pgd"}, "C&W steps: 50, not 1000"),
    (Difference("attack.step_size", "0.1", "0.03"), {"attack": "pgd"}, "PGD step size: 0.1, not 0.03"),
    (
        Difference("lacks.defense", "", "superimposition[beta=2,4]"),
        {},
        "superimposition (β = 2, 4) was not built in this study",
    ),
    (
        Difference("lacks.training", "", "fgsm"),
        {"defense": "undefended"},
        "an undefended network was not trained on FGSM examples in this study",
    ),
    (
        Difference("lacks.training", "", "clean"),
        {"defense": "adaptive_gravity"},
        "adaptive gravity was not trained on clean images alone in this study",
    ),
    (
        Difference("lacks.setting", "white_box", "black_box"),
        {"defense": "prototype_conformity[layer=4,5]"},
        "the black-box setting was not run against prototype conformity (layer = 4, 5)",
    ),
    (
        Difference("lacks.attack", "fgsm", "pgd"),
        {"setting": "white_box"},
        "PGD was not run in the white-box setting",
    ),
    (
        Difference("lacks.attack", "", "none"),
        {"setting": "adaptive"},
        "clean images were not shown in the adaptive setting",
    ),
    (
        Difference("lacks.parameters", "epsilon=0.1, epsilon=0.3", "epsilon=8/255"),
        {"attack": "fgsm"},
        "FGSM was not run at ε = 8/255 (only at ε = 0.1, ε = 0.3)",
    ),
    (
        Difference("lacks.parameters", "steps=50", ""),
        {"attack": "deepfool"},
        "DeepFool was run only at steps = 50, and the claim names none",
    ),
    (
        Difference("lacks.members", "", "members"),
        {"attack": "fgsm"},
        "FGSM was not run against all members of an ensemble together",
    ),
    (
        Difference("lacks.fooling_set", "", "gradient_ensemble"),
        {},
        "no image fools all the sources of Gradient ensemble, so nothing can be counted",
    ),
    (Difference("lacks.dataset", "", "cifar10"), {}, "data set CIFAR-10 is not in this study"),
    (Difference("pairs", "1", "3"), {}, "1 of 3 pairs can be compared"),
    (Difference("compared", "", ""), {}, "not all that it is compared with was measured"),
    (Difference("zero_share", "", ""), {}, "a share of a measured 0 is no number"),
    (Difference("lacks.metric", "", "accuracy"), {}, None),
]


def about(facts: dict[str, str]) -> Claim:
    return claim(**{"dataset": "digits", "defense": "undefended", **facts})


@pytest.mark.parametrize(("each", "facts", "words"), [case for case in KINDS if not tells_of_deleted(case)])
def test_every_kind_of_difference_has_its_sentence(
    each: Difference, facts: dict[str, str], words: str | None
) -> None:
    told = reasons.clause(each, about(facts))
    assert told == words if words is not None else told.endswith(" was not measured")
    assert "_" not in told
    assert "_" not in reasons.clause(each), "without a claim, too, it has no key"


def test_the_kinds_are_those_that_differences_have() -> None:
    """A kind that is documented and has no sentence here would end the page."""
    table = (difference.Difference.__doc__ or "").split("|---|---|---|")[1]
    listed = [re.split(r",\s*", line.split("|")[1].strip()) for line in table.splitlines() if "|" in line]
    documented = {kind for kinds in listed for kind in kinds}
    patterns = {kind: re.sub(r"[A-Z]+", "[a-z_.]+", re.escape(kind)) for kind in documented}
    told = {each.kind for each, _, _ in KINDS}
    for kind, pattern in patterns.items():
        assert any(re.fullmatch(pattern, one) for one in told), kind
    for one in told:
        assert any(re.fullmatch(pattern, one) for pattern in patterns.values()), one


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="'mood' is no kind of difference"):
        reasons.clause(Difference("mood", "a", "b"))


def test_a_clause_knows_the_data_set_that_is_lacking() -> None:
    text = dump([Difference("lacks.attack", "", "pgd"), Difference("lacks.dataset", "", "cifar10")])
    assert [clause.data_set for clause in reasons.clauses(text, about({}))] == [
        "",
        wording.dataset("cifar10"),
    ]
    assert reasons.clauses("", about({})) == ()


@pytest.mark.parametrize(
    ("kind", "there", "facts", "short"),
    [
        *(
            ("lacks.defense", name, {"defense": name}, f"{name} was not built")
            for name in here("defenses", "superimposition")
        ),
        (
            "lacks.training",
            "fgsm",
            {"defense": "undefended"},
            "an undefended network was not trained on FGSM examples",
        ),
        ("lacks.defense", "unheard_of", {"defense": "unheard_of"}, ""),
        ("lacks.attack", "pgd", {}, ""),
    ],
)
def test_a_cell_with_little_room_does_without_naming_the_study(
    kind: str, there: str, facts: dict[str, str], short: str
) -> None:
    (told,) = reasons.clauses(dump([Difference(kind, "", there)]), claim(**facts))
    assert told.short == short
    assert not short or told.words == f"{short} in this study"
