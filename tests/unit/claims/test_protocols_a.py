"""The protocols of prototype conformity and Adaptive-Gravity, against values typed from the papers once more."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from reproof import registry
from reproof.claims.claim import Claim
from reproof.claims.paper import Paper, select
from reproof.claims.protocol import Stated, grade_of, normal
from reproof.claims.vocabulary import variant_of
from reproof.settings.adversarial_training import AdversarialTraining
from reproof.settings.training import TrainingSettings
from tests.ours import built_here, cases_here, here, networks, papers_here

KEYS = here("papers", "mustafa_pcl", "mirzaeian_gravity")
ALL = {paper.key: paper for paper in papers_here()}
PLACE = re.compile(r"\b(Sec\.|Eq\.|Fig\.|Table|Tables|Algorithm) ?[\dIVX]")
OUTSIDE = ("training_images", "images", "seeds", "attack.view")
"""Settings that belong to no plug-in."""
CHANGE_NOTHING = ("validation", "checkpoint_seconds", "channels_last")
READING = ""
"""In the place of a place: the paper does not print it."""

M2, M3, M7 = "table_2.mnist_eps_0_3_c_10", "table_3.cifar_10_eps_8_255", "table_7"
C2, S2, F2 = (
    "table_2.cifar_10_eps_0_03_c_0_1",
    "table_2.svhn_eps_0_03_c_0_1",
    "table_2.f_mnist_eps_0_3_c_10",
)
G4 = "table_iv.mnist_eps_fgsm_0_225_eps_bim_0_1_eps_mim_0_2_eps_pgd_0_265"
C100 = "text.sec_1.cifar_100_under_pgd.claim"
LENET_ROUND = "text.sec_iii_a.iteration_chosen_for_lenet_on_mnist.claim"
RESNET_ROUND = "text.sec_iii_a.iteration_chosen_for_resnet110_on_cifar10.claim"

MUSTAFA: list[tuple[str, str, Any, str]] = [
    # Sec. 5: T' = 50 or 200, then 300; batches of 256; 0.1, times 0.1 at 200 and 250
    (f"{M2}.ours.no_attack", "training.epochs", 50 + 300, "Sec. 5"),
    (f"{M2}.ours.no_attack", "defense.warmup_epochs", 50 / 350, "Sec. 5"),
    (f"{F2}.ours.white_box.pgd", "training.epochs", 350, "Sec. 5"),
    (f"{S2}.ours.no_attack", "training.epochs", 200 + 300, "Sec. 5"),
    (f"{C2}.ours_advtrain_pgd.white_box.pgd", "defense.warmup_epochs", 200 / 500, "Sec. 5"),
    # Algorithm 1: examples are made in the loop of the joint loss alone
    (f"{M2}.ours_advtrain_fgsm.no_attack", "training.adversarial.warmup_epochs", 50 / 350, "Algorithm 1"),
    (f"{S2}.ours_advtrain_pgd.no_attack", "training.adversarial.warmup_epochs", 200 / 500, "Algorithm 1"),
    (f"{C2}.ours.no_attack", "training.batch_size", 256, "Sec. 5"),
    (f"{C2}.ours.no_attack", "training.learning_rate", 0.1, "Sec. 5"),
    (f"{C2}.ours.no_attack", "training.schedule", "step", "Sec. 5"),
    (f"{C2}.ours.no_attack", "training.gamma", 0.1, "Sec. 5"),
    (f"{C2}.ours.no_attack", "training.milestones", [400, 450], READING),
    (f"{M2}.ours.no_attack", "training.milestones", [250, 300], READING),
    (f"{M2}.ours.no_attack", "training.optimizer", "sgd", READING),
    (f"{M2}.softmax.no_attack", "training.epochs", 350, READING),
    (f"{M2}.softmax.no_attack", "training.batch_size", 256, READING),
    # Table 1
    (f"{C2}.ours.no_attack", "architecture.depth", 110, "Table 1"),
    (f"{C2}.ours.no_attack", "architecture.block", "bottleneck", "Table 1"),
    (f"{C2}.ours.no_attack", "architecture.blocks", 12, "Table 1"),
    (f"{C2}.softmax.no_attack", "architecture.hidden", 1024, "Table 1"),
    (C100, "architecture.hidden", 1024, "Table 1"),
    (f"{S2}.ours.no_attack", "defense.branch_sizes", [512, 0, 0], "Table 1"),
    (f"{M2}.ours.no_attack", "defense.branch_sizes", [], "Table 1"),
    (f"{M2}.ours.no_attack", "defense.layers", ["layer3", "layer4", "layer5"], "Table 1"),
    ("table_8.no_attack.advtrain_17_star", "architecture.block", "bottleneck", READING),
    ("table_5.cifar_10_eps_4_255.ours.clean", "architecture.block", "bottleneck", READING),
    # Eq. 5 to 7, Algorithm 1
    (f"{C2}.ours.no_attack", "defense.distance", "euclidean", "Eq. 5"),
    (f"{C2}.ours.no_attack", "defense.variant", "paper", "Eq. 5"),
    (f"{C2}.ours.no_attack", "defense.weight", 1, "Eq. 7"),
    (f"{C2}.ours.no_attack", "defense.auxiliary_cross_entropy", False, READING),
    (f"{C2}.ours_advtrain_fgsm.no_attack", "training.adversarial.augment", True, "Algorithm 1"),
    (f"{C2}.ours_advtrain_fgsm.no_attack", "training.adversarial.objective", "defense", "Algorithm 1"),
    (f"{C2}.ours_advtrain_pgd.no_attack", "training.adversarial.objective", "defense", READING),
    # Sec. 5.1
    (f"{M2}.ours_advtrain_fgsm.white_box.bim", "training.adversarial.epsilon", [0.1, 0.5], "Sec. 5.1"),
    (f"{M3}.ours_star_second.pgd", "training.adversarial.epsilon", [0.01, 0.05], "Sec. 5.1"),
    (f"{M2}.ours.white_box.bim", "attack.steps", 10, "Sec. 5.1"),
    (f"{M2}.ours.black_box.mim", "attack.step_size", 1 / 10, "Sec. 5.1"),
    (f"{C2}.ours.white_box.candw", "attack.steps", 1000, "Sec. 5.1"),
    (f"{C2}.ours.white_box.candw", "attack.learning_rate", 0.01, "Sec. 5.1"),
    (f"{C2}.ours.white_box.candw", "attack.binary_search_steps", 1, READING),
    (f"{C2}.ours.white_box.mim", "attack.decay", 1, READING),
    # Table 7
    (f"{M7}.layer_1.pgd.eps_0_03", "defense.layers", ["layer1"], "Table 7"),
    (f"{M7}.layer_3.pgd.eps_0_03", "defense.branch_sizes", [512], "Table 1"),
    (f"{M7}.layer_4_5.pgd.eps_0_03", "defense.layers", ["layer4", "layer5"], "Table 7"),
    (f"{M7}.layer_4_5.pgd.eps_0_03", "defense.branch_sizes", [], "Table 1"),
    (f"{M7}.layer_3_4_5.pgd.eps_0_03", "defense.branch_sizes", [512, 0, 0], "Table 1"),
    (f"{M7}.none.no_attack.eps_0", "training.epochs", 500, READING),
    # Others' methods
    ("table_8.no_attack.madry_et_al_22_star", "defense.epsilon", 8 / 255, READING),
    ("table_8.no_attack.madry_et_al_22_star", "defense.steps", 7, READING),
    ("table_9.no_attack.advtrain_17_star", "defense.epsilon", [0.1, 0.5], READING),
    ("table_6.advtrain_17.advtrain_17", "defense.epsilon", [0.01, 0.05], READING),
    ("table_6.vgg_19.vgg_19", "architecture.depth", 19, "Sec. 5.1"),
    ("table_6.vgg_19.vgg_19", "training.epochs", 200, READING),
    ("table_9.no_attack.ross_et_al_33", "defense.weight", 1, READING),
    # Data
    (f"{M2}.ours.no_attack", "training_images", 60_000, READING),
    (f"{S2}.ours.no_attack", "training_images", 73_257, READING),
    (f"{S2}.ours.no_attack", "images", 26_032, READING),
]
GRAVITY: list[tuple[str, str, Any, str]] = [
    # Sec. III-A, Fig. 4 and 5
    ("table_iii.no_attacks.gravity", "defense.rounds", 50, "Fig. 4"),
    ("table_iii.no_attacks.gravity", "defense.gravity", [100, 200], "Fig. 5"),
    ("table_ii.no_attacks.gravity_p", "defense.gravity", [200, 300], "Fig. 5"),
    ("table_iii.no_attacks.gravity", "defense.threshold", 0.9965, "Sec. III-A"),
    ("table_ii.no_attacks.gravity", "defense.threshold", 0.92, "Sec. III-A"),
    ("table_ii.no_attacks.gravity_f", "defense.threshold", 0.92, READING),
    (LENET_ROUND, "defense.round", None, "Sec. III-A"),
    (RESNET_ROUND, "defense.round", None, "Sec. III-A"),
    ("table_ii.no_attacks.gravity", "defense.round", None, READING),
    # Sec. II
    ("table_ii.no_attacks.gravity", "defense.centroids_per_class", 1, "Sec. II-A"),
    ("table_ii.no_attacks.gravity", "defense.gamma", None, "Eq. 4"),
    ("table_ii.no_attacks.gravity", "defense.force", "eq2", READING),
    ("table_ii.no_attacks.gravity", "defense.target", "moved", READING),
    ("table_ii.no_attacks.gravity", "defense.distance", "mean", READING),
    ("table_iii.no_attacks.gravity", "defense.layers", ["fc2", "fc1"], READING),
    # Sec. III; all else stood in Table I
    ("table_ii.no_attacks.baseline", "architecture.depth", 110, "Sec. III"),
    ("table_ii.no_attacks.baseline", "architecture.block", "basic", READING),
    ("table_ii.no_attacks.gravity", "architecture.hidden", 0, READING),
    ("table_ii.no_attacks.baseline", "training.epochs", 64_000 * 128 // 50_000 + 1, READING),
    ("table_ii.no_attacks.gravity", "training.epochs", 164 + 50 * 4, READING),
    ("table_iii.no_attacks.gravity", "training.epochs", 100 + 50 * 4, READING),
    ("table_iii.no_attacks.gravity", "defense.warmup_epochs", 100, READING),
    # Sec. III-B and III-C
    ("table_ii.pgd.eps_0_01.gravity_f", "training.adversarial.attack", "fgsm", "Sec. III-B"),
    ("table_iii.pgd.eps_0_15.gravity_p", "training.adversarial.attack", "pgd", "Sec. III-B"),
    ("table_iii.pgd.eps_0_15.gravity_p", "training.adversarial.epsilon", [0.1, 0.5], READING),
    ("table_ii.pgd.eps_0_01.gravity_f", "training.adversarial.epsilon", [0.01, 0.05], READING),
    ("table_iii.pgd.eps_0_15.baseline", "attack.steps", 10, READING),
    ("table_iii.candw.c_10.gravity", "attack.steps", 1000, READING),
    ("table_iii.candw.c_10.gravity", "attack.binary_search_steps", 1, READING),
    (f"{G4}.gravity.pgd", "attack.step_size", 0.1, READING),
    (f"{G4}.gravity.pgd", "training_images", 60_000, READING),
]

ALTERED: list[tuple[str, str, str, Any, str]] = [
    # What must not pass for the paper's experiment, with the grade that it gets
    ("mustafa_pcl", f"{C2}.ours.no_attack", "defense.distance", "squared", "C"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "defense.variant", "released_code", "C"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "defense.weight", 1e-6, "C"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "defense.warmup_epochs", 499 / 500, "C"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "defense.warmup_epochs", 1 / 7, "C"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "defense.margin", 10, "C"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "defense.layers", ["layer4", "layer5"], "C"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "defense.branch_sizes", [], "C"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "architecture.blocks", 1, "C"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "architecture.blocks", 18, "C"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "architecture.block", "basic", "C"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "training.optimizer", "adam", "B"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "training.batch_size", 4096, "B"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "training.batch_size", 128, "B"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "training.learning_rate", 0.01, "B"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "training.schedule", "cosine", "B"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "training.epochs", 4, "B"),
    ("mustafa_pcl", f"{C2}.ours.no_attack", "training.epochs", 164, "B"),
    ("mustafa_pcl", f"{M2}.ours.no_attack", "training.epochs", 500, "B"),
    ("mustafa_pcl", f"{M2}.softmax.no_attack", "training.epochs", 164, "B"),
    ("mustafa_pcl", f"{M2}.ours.no_attack", "training_images", 55_000, "B"),
    ("mustafa_pcl", f"{M2}.ours_advtrain_fgsm.no_attack", "training.adversarial.epsilon", 0.001, "C"),
    ("mustafa_pcl", f"{M2}.ours_advtrain_pgd.no_attack", "training.adversarial.steps", 1, "C"),
    ("mustafa_pcl", f"{M2}.ours_advtrain_pgd.no_attack", "training.adversarial.augment", False, "C"),
    ("mustafa_pcl", f"{C2}.ours.white_box.candw", "attack.steps", 200, "B"),
    ("mustafa_pcl", f"{C2}.ours.white_box.candw", "attack.binary_search_steps", 9, "B"),
    ("mustafa_pcl", f"{C2}.ours.white_box.pgd", "attack.steps", 100, "B"),
    ("mustafa_pcl", "table_6.vgg_19.vgg_19", "training.epochs", 3, "B"),
    ("mirzaeian_gravity", "table_ii.no_attacks.gravity", "architecture.block", "bottleneck", "C"),
    ("mirzaeian_gravity", "table_ii.no_attacks.gravity", "architecture.hidden", 1024, "C"),
    ("mirzaeian_gravity", "table_iii.no_attacks.gravity", "defense.rounds", 15, "B"),
    ("mirzaeian_gravity", "table_iii.no_attacks.gravity", "defense.gravity", [200, 300], "C"),
    ("mirzaeian_gravity", "table_iii.no_attacks.gravity", "defense.target", "teacher", "C"),
    ("mirzaeian_gravity", "table_iii.no_attacks.gravity", "defense.round", 8, "C"),
    ("mirzaeian_gravity", LENET_ROUND, "defense.round", 10, "C"),
    ("mirzaeian_gravity", "table_iii.no_attacks.gravity", "defense.epochs_per_round", 1, "B"),
    ("mirzaeian_gravity", "table_iii.no_attacks.gravity", "defense.warmup_epochs", 15, "B"),
    ("mirzaeian_gravity", "table_iii.no_attacks.baseline", "training.optimizer", "adam", "B"),
    ("mirzaeian_gravity", "table_iii.no_attacks.baseline", "training.learning_rate", 1e-4, "B"),
]

BUDGETS = {
    # Data set -> epochs of the paper's own models, training images, test images
    "mustafa_pcl": {
        "mnist": (350, 60_000, 10_000),
        "fashion_mnist": (350, 60_000, 10_000),
        "cifar10": (500, 50_000, 10_000),
        "cifar100": (500, 50_000, 10_000),
        "svhn": (500, 73_257, 26_032),
    },
    "mirzaeian_gravity": {"mnist": (None, 60_000, 10_000), "cifar10": (None, 50_000, 10_000)},
}
ATTACKS = {
    "bim": {"steps": 10, "step_size": 0.1},
    "mim": {"steps": 10, "step_size": 0.1},
    "pgd": {"steps": 10, "step_size": 0.1, "restarts": 1},
    "carlini_wagner": {"steps": 1000, "learning_rate": 0.01, "binary_search_steps": 1, "confidence": 0},
}
FACTS = {
    # What is printed and is no setting of one model: budgets, which are the claims' own, and counts of several
    "mustafa_pcl": {
        "T', epochs of cross-entropy alone": "50 (MNIST, F-MNIST), 200 (CIFAR-10, CIFAR-100, SVHN)",
        "ε of the attacks": "0.3 (MNIST, F-MNIST), 0.03 (CIFAR, SVHN)",
        "c of C&W": "10 (MNIST, F-MNIST), 0.1 (CIFAR, SVHN)",
        "source of black-box attacks": "VGG-19",
        "ε of the adaptive attacks": "8/255 (CIFAR-10), 0.3 (F-MNIST)",
        "ε of the comparison on CIFAR-100": "0.005, 0.01",
        "ε of the comparison with domain adaptation": "0.1 (F-MNIST), 0.02 (SVHN), 4/255 (CIFAR)",
        "ε of the transferability test": "0.03 (PGD)",
        "ε of the ablation": "0.03 (FGSM, PGD)",
        "ε and c of the comparison on CIFAR-10": "0.01 to 0.04; 0.001, 0.01, 0.1",
        "ε and c of the comparison on MNIST": "0.1 to 0.2; 0.1, 1, 10",
    },
    "mirzaeian_gravity": {
        "rounds of Gravity": "50, counted from 0, the given model",
        "attack that picks the round": "PGD",
        "layers whose features are moved": "2, head (l = -1) and tail (l = i), highlighted in Table I",
        "training hyper-parameters": "at the foot of Table I, an image that the text lacks",
        "attacks of the adversarial training": "FGSM, PGD; budget, steps and share not stated",
        "ε of FGSM": "0.1, 0.2 (MNIST); 0.02, 0.04 (CIFAR-10)",
        "ε of BIM, MIM, PGD": "0.1, 0.15 (MNIST); 0.01, 0.02 (CIFAR-10)",
        "c of C&W": "0.1, 1, 10 (MNIST); 0.001, 0.01, 0.1 (CIFAR-10)",
        "ε of transferred images on MNIST": "0.225 (FGSM), 0.1 (BIM), 0.2 (MIM), 0.265 (PGD)",
        "ε of transferred images on CIFAR-10": "0.01 (FGSM, BIM, MIM), 0.03 (PGD)",
        "source of black-box attacks": "VGG-19",
    },
}
ONE_MODEL = {
    "mustafa_pcl": {
        **dict.fromkeys(("Table 2", "Table 3", "Table 5", "Table 7"), "row"),
        **dict.fromkeys(("Table 4", "Table 6", "Table 8", "Table 9"), "column"),
        "Text": "cell",
    },
    "mirzaeian_gravity": {"Table II": "column", "Table III": "column", "Table IV": "row", "Text": "cell"},
}


def claim_of(paper: Paper, pattern: str) -> Claim:
    (found,) = select([pattern], paper, [paper])
    return found


@functools.cache
def asked(key: str) -> list[Claim]:
    """Return a paper's measured claims, and those with the networks that black-box images are made on in their place."""
    measured = [claim for claim in ALL[key].claims if not claim.copied]
    white = {"setting": "white_box", "source": "", "attack": "none"}
    return measured + [
        dataclasses.replace(claim, architecture="vgg19", defense="undefended", training="clean", **white)
        for claim in measured
        if claim.source == "vgg19"
    ]


@functools.cache
def built(key: str) -> list[Claim]:
    """Return those of which all is built here; only they can be held to what plug-ins say of themselves."""
    return list(filter(built_here, asked(key)))


@functools.cache
def experiments(key: str) -> dict[tuple[str, ...], tuple[Claim, dict[str, Stated]]]:
    """Return one claim of each experiment that a protocol tells apart, and what it states."""
    found: dict[tuple[str, ...], tuple[Claim, dict[str, Stated]]] = {}
    for claim in built(key):
        stated = ALL[key].protocol_of(claim)
        named = (claim.dataset, claim.architecture, claim.defense, claim.training, claim.attack)
        found.setdefault((*named, repr(sorted(stated.items()))), (claim, stated))
    return found


def declared(claim: Claim) -> dict[str, tuple[str, type[Any]]]:
    """Return the Settings that a claim's network, defense and attack have: family -> name, class."""
    (architecture,) = (
        name
        for name in networks()
        if registry.settings_class("architectures", name).title_of(claim.architecture, name) is not None
    )
    defense = variant_of(claim.defense)
    found = {
        "architecture": (architecture, registry.settings_class("architectures", architecture)),
        "defense": (defense, registry.settings_class("defenses", defense)),
    }
    if claim.attack != "none":
        found["attack"] = (claim.attack, registry.settings_class("attacks", claim.attack))
    return found


def values(stated: dict[str, Stated], prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): one.value
        for name, one in stated.items()
        if name.startswith(prefix) and "." not in name.removeprefix(prefix)
    }


@pytest.mark.parametrize(
    ("key", "pattern", "setting", "value", "place"),
    cases_here(
        "papers",
        [("mustafa_pcl", *one) for one in MUSTAFA] + [("mirzaeian_gravity", *one) for one in GRAVITY],
    ),
)
def test_what_the_paper_says(key, pattern, setting, value, place):
    stated = ALL[key].protocol_of(claim_of(ALL[key], pattern))[setting]
    assert normal(stated.value) == normal(value)
    assert stated.allows(value)
    assert place in stated.place if place else stated.reading


@pytest.mark.parametrize(("key", "pattern", "setting", "value", "grade"), cases_here("papers", ALTERED))
def test_an_altered_experiment_is_not_the_paper_s(key, pattern, setting, value, grade):
    stated = ALL[key].protocol_of(claim_of(ALL[key], pattern))[setting]
    assert not stated.allows(value)
    assert grade_of(setting, stated) == grade


@pytest.mark.parametrize(
    ("key", "pattern", "setting", "other"),
    cases_here(
        "papers",
        [
            ("mustafa_pcl", f"{C2}.ours.no_attack", "training.milestones", (200, 250)),
            ("mustafa_pcl", f"{C2}.ours.no_attack", "defense.auxiliary_cross_entropy", True),
            ("mustafa_pcl", f"{C2}.softmax.no_attack", "training.epochs", 164),
            ("mustafa_pcl", f"{C2}.softmax.no_attack", "training.batch_size", 128),
            ("mustafa_pcl", f"{M2}.ours.no_attack", "training_images", 59_000),
            ("mustafa_pcl", "table_8.no_attack.madry_et_al_22_star", "training.batch_size", 256),
            ("mirzaeian_gravity", "table_iii.no_attacks.gravity", "defense.force", "eq3"),
            ("mirzaeian_gravity", "table_iii.no_attacks.gravity", "defense.round", 10),
            ("mirzaeian_gravity", "table_ii.no_attacks.gravity_f", "defense.round", 8),
            ("mirzaeian_gravity", "table_ii.no_attacks.gravity", "training.milestones", (82,)),
        ],
    ),
)
def test_other_ways_to_write_a_value_and_other_readings_are_the_paper_s_too(key, pattern, setting, other):
    assert ALL[key].protocol_of(claim_of(ALL[key], pattern))[setting].allows(other)


def test_readings_that_go_together_are_no_others():
    rate = {
        "is": 0.05,
        "or": [0.1, 0.001],
        "reading": "usual ones",
        "where": {
            "training.optimizer": {"sgd": [0.05, 0.1], "adam": [0.001]},
            "training.epochs": {"1/7": [0.1]},
        },
    }
    stated = Stated.model_validate(rate)
    assert all(stated.allows(one) for one in (0.05, 0.1, 0.001)), "whatever the others are"
    for optimizer, allowed in (("sgd", [0.05, 0.1]), ("adam", [0.001]), ("other", [0.05, 0.1, 0.001])):
        beside = {"training.optimizer": optimizer, "training.epochs": [1, 2]}
        assert [one for one in (0.05, 0.1, 0.001) if stated.allows(one, beside)] == allowed
        assert stated.readings(beside)[0] == allowed[0]
    both = {"training.optimizer": "sgd", "training.epochs": 1 / 7}
    assert stated.readings(both) == (0.1,)
    wrong = {**rate, "where": {"training.optimizer": {"adam": [0.01]}}}
    with pytest.raises(ValidationError, match=r"adam: 0\.01 is none of the readings"):
        Stated.model_validate(wrong)


def test_a_printed_value_has_no_other_readings():
    with pytest.raises(ValidationError, match="a printed value has no other readings"):
        Stated.model_validate({"is": "euclidean", "or": [None], "place": "Eq. 5"})


@pytest.mark.parametrize("key", KEYS)
def test_every_measured_claim_has_a_training(key):
    assert {claim.source for claim in asked(key)} >= {"", "vgg19"}
    for claim in asked(key):
        stated = ALL[key].protocol_of(claim)
        assert {"training.epochs", "training.batch_size", "training.learning_rate"} <= set(stated), claim
        assert {"training_images", "images"} <= set(stated), claim
        trained_on = stated.get("training.adversarial.attack")
        if built_here(claim):
            own = registry.defense(variant_of(claim.defense)).trains_on
            assert (trained_on.value if trained_on else own) == claim.training, claim


@pytest.mark.parametrize("key", KEYS)
def test_copied_claims_are_not_held_to_the_copier_s_protocol(key):
    copied = [claim for claim in ALL[key].claims if claim.copied]
    assert copied
    assert not any(ALL[key].protocol_of(claim) for claim in copied)


@pytest.mark.parametrize("key", KEYS)
def test_settings_are_fields_with_values_that_they_can_have(key):
    """The stated settings together are a network, a defense and a training as the claim names them."""
    for claim, stated in experiments(key).values():
        training = values(stated, "training.")
        assert not set(CHANGE_NOTHING) & set(training)
        if adversarial := values(stated, "training.adversarial."):
            training["adversarial"] = adversarial
        TrainingSettings.model_validate(training)
        plug_ins = declared(claim)
        for family, word in (("architecture", claim.architecture), ("defense", claim.defense)):
            name, settings = plug_ins[family]
            assert settings.model_validate(values(stated, f"{family}.")).key(name) == word
        for setting, one in stated.items():
            family, _, field = setting.rpartition(".")
            owners = {
                "training": TrainingSettings,
                "training.adversarial": AdversarialTraining,
                **{name: settings for name, (_, settings) in plug_ins.items()},
            }
            if setting == "attack.view":
                assert {one.value, *one.alternatives} <= set(plug_ins["defense"][1].attack_losses)
            if setting in OUTSIDE:
                continue
            adapter = TypeAdapter(owners[family].model_fields[field].rebuild_annotation())
            for value in (one.value, *one.alternatives):
                adapter.validate_python(value)


@pytest.mark.parametrize("key", KEYS)
def test_every_setting_has_a_place_in_the_paper_or_a_reason(key):
    stated = [one for experiment in ALL[key].protocol for one in experiment.settings.values()]
    assert len(stated) >= 90
    for one in stated:
        if one.place:
            assert PLACE.search(one.place), one
        else:
            assert len(one.reading.split()) >= 4, one
            assert not one.reading.endswith("."), one
    facts = [fact for experiment in ALL[key].protocol for fact in experiment.facts]
    assert all(PLACE.search(fact.place) for fact in facts)


@pytest.mark.parametrize("key", KEYS)
def test_every_entry_is_of_some_claim(key):
    """An entry that no claim fits says nothing: a slip in a table's or a defense's name."""
    for experiment in ALL[key].protocol:
        assert any(experiment.is_of(claim) for claim in asked(key)), experiment.of


@pytest.mark.parametrize("key", KEYS)
def test_budgets_and_attacks_are_in_the_protocol(key):
    met = set()
    for claim in asked(key):
        stated = ALL[key].protocol_of(claim)
        epochs, train, test = BUDGETS[key][claim.dataset]
        if variant_of(claim.defense) == "prototype_conformity":
            assert stated["training.epochs"].value == epochs
        assert (stated["training_images"].value, stated["images"].value) == (train, test)
        for name, value in ATTACKS.get(claim.attack, {}).items():
            assert stated[f"attack.{name}"].value == value, claim
        met |= {claim.dataset, claim.attack}
    assert met >= {*BUDGETS[key], *ATTACKS}


@pytest.mark.parametrize("key", KEYS)
def test_what_is_no_setting_is_a_fact(key):
    facts = {fact.name: fact.value for experiment in ALL[key].protocol for fact in experiment.facts}
    assert FACTS[key].items() <= facts.items()


@pytest.mark.parametrize("key", KEYS)
def test_which_cells_are_of_one_model(key):
    assert {name: table.one_model for name, table in ALL[key].tables.items()} == ONE_MODEL[key]


@pytest.mark.parametrize("key", KEYS)
def test_clipping_is_in_no_protocol(key):
    """Neither paper prints it: what a study clips is a difference."""
    assert not any("training.gradient_clip" in experiment.settings for experiment in ALL[key].protocol)
