"""Per class and per image, on networks whose fate on every image can be counted by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from reproof.csv_tables import MEASUREMENTS, PER_CLASS, PER_IMAGE
from reproof.errors import ArtifactError
from reproof.measuring import breakdown
from reproof.measuring.intervals import seed_spread, wilson
from reproof.measuring.measurements import measure
from reproof.measuring.outcomes import Outcomes, Trial
from reproof.settings.parameters import PrintedNumber
from tests.hand_made_tables import rows as rows_of

# Six test images under numbers with gaps, as a split has them; two classes.
IMAGES = (2, 3, 5, 8, 13, 21)
LABELS = (0, 1, 1, 0, 1, 1)


def trial(attack: str, epsilon: float | None, right: dict[int, bool], norm: str = "linf") -> Trial:
    images = np.array(sorted(right), dtype="i8")
    return Trial(
        setting="white_box",
        threat="white_box",
        source="",
        attack=attack,
        kind=attack,
        view="logits",
        norm=norm,
        parameters="c=1" if epsilon is None else f"epsilon={epsilon:g}",
        epsilon=epsilon,
        images=images,
        correct=np.array([right[image] for image in sorted(right)]),
        refused=np.zeros(len(right), dtype=bool),
        failed=None,
        l2=np.ones(len(right)),
    )


def network(
    model: str,
    clean: str,
    *trials: Trial,
    seed: int = 0,
    defense: str = "pgd_training",
    training: str = "pgd",
    dataset: str = "digits",
    labels: tuple[int, ...] = LABELS,
) -> Outcomes:
    return Outcomes(
        study="tiny",
        dataset=dataset,
        architecture="cnn6",
        defense=defense,
        training=training,
        model=model,
        seed=seed,
        images=np.array(IMAGES, dtype="i8"),
        clean=fates(clean),
        trials=trials,
        labels=np.array(labels, dtype="i8"),
    )


def per_class(*outcomes: Outcomes) -> list[SimpleNamespace]:
    return rows_of(PER_CLASS, breakdown.per_class(outcomes))


def per_image(*outcomes: Outcomes) -> list[SimpleNamespace]:
    return rows_of(PER_IMAGE, breakdown.per_image(outcomes))


def fates(text: str) -> np.ndarray:
    return np.array([letter == "+" for letter in text])


def on(text: str, images: tuple[int, ...] = IMAGES) -> dict[int, bool]:
    """Return image -> right, from a sign for each image."""
    return dict(zip(images, fates(text).tolist(), strict=True))


# Image 21 is wrong clean and right by accident under attack; 3 falls to FGSM alone and 8 to PGD alone.
STRONG = network(
    "strong",
    "+++++-",
    trial("fgsm", 0.1, on("++++++")),
    trial("fgsm", 0.3, on("+-++++")),
    trial("pgd", 0.3, on("+++-++")),
    trial("carlini_wagner", None, on("------"), "l2"),
)
# Met under PGD at 0.3 on four of the images only.
WEAK = network(
    "weak",
    "++-+++",
    trial("fgsm", 0.3, on("++++-+")),
    trial("pgd", 0.3, on("---+", (2, 3, 5, 8))),
)


def class_counts(*outcomes: Outcomes) -> dict[tuple[str, str, str, int], tuple[int, int]]:
    return {
        (row.model, row.attack, row.parameters, row.label): (row.correct, row.total)
        for row in per_class(*outcomes)
    }


def test_classes_by_hand() -> None:
    assert class_counts(STRONG) == {
        ("strong", "none", "", 0): (2, 2),
        ("strong", "none", "", 1): (3, 4),
        ("strong", "worst_case", "norm=linf epsilon=0.1", 0): (2, 2),
        ("strong", "worst_case", "norm=linf epsilon=0.1", 1): (3, 4),
        # Of class 0 image 2 stands and 8 falls; of class 1 5 and 13 stand, 3 falls, 21 was wrong before.
        ("strong", "worst_case", "norm=linf epsilon=0.3", 0): (1, 2),
        ("strong", "worst_case", "norm=linf epsilon=0.3", 1): (2, 4),
    }


def test_classes_count_the_images_that_all_attacks_share() -> None:
    found = class_counts(WEAK)
    assert found["weak", "none", "", 1] == (3, 4)
    assert found["weak", "worst_case", "norm=linf epsilon=0.3", 0] == (1, 2)
    # Images 13 and 21 met no PGD; 3 falls, and 5 was wrong before.
    assert found["weak", "worst_case", "norm=linf epsilon=0.3", 1] == (0, 2)


def test_classes_add_up_to_the_worst_case_of_the_summary() -> None:
    rows = per_class(STRONG, WEAK)
    for measured in rows_of(MEASUREMENTS, measure([STRONG, WEAK])):
        if measured.attack in ("none", "worst_case"):
            place = (measured.model, measured.setting, measured.attack, measured.parameters)
            own = [row for row in rows if (row.model, row.setting, row.attack, row.parameters) == place]
            assert sum(row.correct for row in own) == measured.correct
            assert sum(row.total for row in own) == measured.total


def test_seeds_are_pooled_and_their_spread_widens_the_interval() -> None:
    seeds = [
        network("strong", "++++++", trial("fgsm", 0.3, on(signs)), seed=seed)
        for seed, signs in enumerate(("++++++", "+--+--", "++++-+"))
    ]
    (row,) = [row for row in per_class(*seeds) if row.attack == "worst_case" and row.label == 1]
    assert (row.seeds, row.correct, row.total) == (3, 4 + 0 + 3, 12)
    spread = seed_spread([1.0, 0.0, 0.75])
    assert spread is not None
    assert (row.low, row.high) == (max(0.0, spread[0]), min(1.0, spread[1]))
    (alone,) = [row for row in per_class(*seeds[:1]) if row.attack == "none" and row.label == 0]
    assert (alone.low, alone.high) == wilson(2, 2)


def test_budgets_come_by_size_and_norms_apart() -> None:
    both = network(
        "strong",
        "++++++",
        trial("pgd", 1.0, on("------")),
        trial("pgd", 0.3, on("+-++++")),
        trial("fgsm", 0.05, on("++++++")),
        trial("pgd_l2", 0.3, on("++++--"), "l2"),
    )
    rows = [row for row in per_class(both) if row.label == 1]
    assert [(row.parameters, row.correct) for row in rows] == [
        ("", 4),
        ("norm=l2 epsilon=0.3", 2),
        ("norm=linf epsilon=0.05", 4),
        ("norm=linf epsilon=0.3", 3),
        ("norm=linf epsilon=1", 0),
    ]


def test_images_by_hand() -> None:
    rows = {row.image: row for row in per_image(STRONG, WEAK) if row.epsilon == "0.3"}
    counts = {
        image: (row.label, row.networks, row.lost, row.held, row.misclassified, row.holder)
        for image, row in rows.items()
    }
    assert counts == {
        2: (0, 2, 1, 1, 0, "strong"),
        3: (1, 2, 2, 0, 0, ""),
        5: (1, 2, 0, 1, 1, "strong"),
        8: (0, 2, 1, 1, 0, "weak"),
        # Only one network met these under every attack; of 21 it was wrong before, however lucky under attack.
        13: (1, 1, 0, 1, 0, "strong"),
        21: (1, 1, 0, 0, 1, ""),
    }


def test_an_image_that_two_models_hold_has_no_lone_holder() -> None:
    def holding(model: str, signs: str, seed: int = 0) -> Outcomes:
        return network(model, "++++++", trial("pgd", 0.3, on(signs)), seed=seed)

    networks = [
        holding("a", "+---+-"), holding("a", "+--+--", 1), holding("b", "++----"), holding("c", "+-+---")
    ]  # fmt: skip
    rows = per_image(*networks)
    assert [row.held for row in rows] == [4, 1, 1, 1, 1, 0]
    assert [row.holder for row in rows] == ["", "b", "c", "a", "a", ""]
    # The order of the files says nothing.
    assert per_image(*networks[::-1]) == rows


def test_undefended_networks_say_nothing_of_defenses() -> None:
    plain = network(
        "plain", "++++++", trial("pgd", 0.3, on("------")), defense="undefended", training="clean"
    )
    trained = network(
        "trained", "++++++", trial("pgd", 0.3, on("+-----")), defense="undefended", training="pgd"
    )
    assert per_image(plain) == []
    rows = per_image(plain, trained)
    assert [row.networks for row in rows] == [1] * 6
    assert [row.lost for row in rows] == [0, 1, 1, 1, 1, 1]
    assert {row.model for row in per_class(plain)} == {"plain"}


def test_data_sets_stand_apart() -> None:
    other = network("other", "++++++", trial("pgd", 0.3, on("------")), dataset="mnist", labels=(4,) * 6)
    rows = per_image(STRONG, other)
    assert {(row.dataset, row.epsilon) for row in rows} == {
        ("digits", "0.1"),
        ("digits", "0.3"),
        ("mnist", "0.3"),
    }
    assert {row.networks for row in rows} == {1}


def test_one_number_for_two_images_is_named() -> None:
    other = network("other", "++++++", trial("pgd", 0.3, on("++++++")), labels=(0, 1, 1, 0, 7, 1))
    with pytest.raises(ArtifactError, match=r"test image 13 of digits has label 7 for model other and 1 for"):
        per_image(STRONG, other)


def test_tables_hold_every_row_once() -> None:
    classes, images = per_class(STRONG, WEAK), per_image(STRONG, WEAK)
    assert len(classes) == 6 + 4
    assert len(images) == 6 + 6
    keys = [(row.model, row.attack, row.parameters, row.label) for row in classes]
    assert len(set(keys)) == len(keys)
    assert all(row.networks == row.lost + row.held + row.misclassified for row in images)
    assert (per_class(WEAK, STRONG), per_image(WEAK, STRONG)) == (classes, images)


def test_a_budget_keeps_its_print() -> None:
    """Another model's longer print of the same number is the same budget."""
    first = network("a", "++++++", trial("pgd", PrintedNumber("8/255"), on("+-----")))
    second = network("b", "++++++", trial("pgd", 8 / 255, on("-+----")))
    assert {row.parameters for row in per_class(first)} == {"", "norm=linf epsilon=8/255"}
    assert {(row.epsilon, row.networks) for row in per_image(first, second)} == {("8/255", 2)}


def test_nothing_attacked_is_no_image() -> None:
    rows = per_class(network("strong", "+++++-"))
    assert [(row.attack, row.label) for row in rows] == [("none", 0), ("none", 1)]
    assert per_image(network("strong", "+++++-")) == []
