"""The protocols of Hassanin, of Mirzaeian's DKD and of Seiler, against the papers read a second time."""

from __future__ import annotations

import dataclasses
import functools
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter

from reproof import registry
from reproof.claims.claim import Claim, TransferSource
from reproof.claims.paper import Paper
from reproof.claims.protocol import Stated, normal
from reproof.settings.adversarial_training import AdversarialTraining
from reproof.settings.training import TrainingSettings
from reproof.settings.values import Settings
from tests.ours import WHOLE, built_here, cases_here, here, papers_here

KEYS = here("papers", "hassanin_dfl", "mirzaeian_dkd", "seiler_superimposition")
BESIDE = ("images", "seeds", "training_images", "defense.members")
"""Settings that belong to no plug-in."""
HASSANIN_OWN = "table_1.adversarial_training.proposed_method"
HASSANIN_CIFAR10 = "table_5.adversarial_training"
SEILER_OWN = "table_ii.our_proposed_method_with_kl_lambda_10.alpha_b_2_4.five_models.adv"
SEILER_VAT = "table_ii.virtual_adversarial_training_vat_with_i_3_and_lambda_1.eps_15.one_model.adv"

PRINTED = {
    "hassanin_dfl": [
        (f"{HASSANIN_OWN}.fgsm", "training.epochs", 50, "Sec. 4.1"),
        ("table_4.no_defense.proposed_method_dfl.pgd_10", "training.epochs", 100, "Sec. 4.1"),
        (f"{HASSANIN_OWN}.pgd_10", "training.learning_rate", 0.1, "Sec. 4.1"),
        ("table_2.no_defense.proposed_method.candw", "training.batch_size", 64, "Sec. 4.1"),
        (f"{HASSANIN_OWN}.fgsm", "training.adversarial.epsilon", 0.3, "Sec. 4.1"),
        (f"{HASSANIN_CIFAR10}.pcl.pgd_10", "training.adversarial.epsilon", 0.03, "Sec. 4.1"),
        (f"{HASSANIN_CIFAR10}.dfl.pgd_10", "training.adversarial.steps", 10, "4.1"),
        (f"{HASSANIN_CIFAR10}.dfl.candw", "training.adversarial.constant", 0.1, "Sec. 4.1"),
        (f"{HASSANIN_CIFAR10}.dfl.candw", "training.adversarial.steps", 10, "Sec. 4.1"),
        (f"{HASSANIN_CIFAR10}.dfl_pcl.fgsm", "training.adversarial.augment", True, "Sec. 3.1"),
        ("table_3.no_defense.proposed_method_dfl.fgsm", "defense.kernel", 1, "Sec. 4.1"),
        (f"{HASSANIN_OWN}.candw", "defense.built_on.kernel", 1, "Sec. 4.1"),
        (f"{HASSANIN_CIFAR10}.pcl.fgsm", "defense.weight", 1, "Eq. 5"),
        (f"{HASSANIN_CIFAR10}.pcl.fgsm", "defense.distance", "euclidean", "Eq. 4"),
        ("table_3.adversarial_training.resnet_50.pgd_10", "architecture.depth", 50, "Sec. 4.1"),
        ("table_3.adversarial_training.resnet_50.pgd_10", "architecture.block", "bottleneck", "Sec. 4.1"),
        ("table_1.no_defense.proposed_method.pgd_10", "attack.steps", 10, "PGD-10"),
        (
            "text.sec_4_4.accuracy_of_the_shallower_network_with_dfl.claim",
            "architecture.depth",
            34,
            "Sec. 4.4",
        ),
    ],
    "mirzaeian_dkd": [
        ("table_3.fgsm.0_1.mnist.dkd", "training.epochs", 100, "Table 1"),
        ("table_3.fgsm.0_1.mnist.kd_star", "training.batch_size", 64, "Table 1"),
        ("table_4.no_defense.cifar10.jsma", "training.batch_size", 128, "Table 1"),
        ("table_2.fgsm.0_04.cifar10.ri", "training.optimizer", "adam", "Table 1"),
        ("table_2.fgsm.0_04.cifar10.kd", "training.learning_rate", 0.0001, "Table 1"),
        ("table_2.candw.200.mnist.dkd", "defense.zeta", 0.9, "Sec. 4.1"),
        ("table_4.dkd_star_standalone.cifar10.candw", "defense.zeta", 0.5, "Sec. 4.1"),
        ("table_3.no_attack.mnist.ri", "defense.members", 3, "captions"),
        ("table_3.no_attack.cifar10.kd_star", "defense.members", 3, "captions"),
        ("table_4.dkd_star_aggregate.mnist.fgsm_0_04", "defense.members", 3, "captions"),
        ("table_2.jsma.200.mnist.dkd_star", "defense.boosted", True, "Sec. 3.1"),
        ("table_3.jsma.1.mnist.dkd", "defense.similarity", "signed", "Eq. 2"),
        ("table_3.jsma.1.mnist.dkd", "architecture.width", 1, "Table 1"),
        ("table_4.magnet_22.cifar10.clean", "architecture.width", 1, "Table 1"),
        ("table_3.fgsm.0_04.cifar10.ref", "architecture.depth", 16, "Sec. 4.2"),
        ("table_4.defense_gan_33.mnist.candw", "training.learning_rate", 0.0001, "Table 1"),
    ],
    "seiler_superimposition": [
        (SEILER_OWN, "attack.steps", 20, "Sec. III"),
        (SEILER_OWN, "attack.step_size", 1 / 16, "Sec. III"),
        (SEILER_OWN, "attack.random_start", False, "Eq. 3"),
        (SEILER_OWN, "defense.weight", 10, "Table"),
        (SEILER_OWN, "defense.beta", [2, 4], "Table II"),
        (SEILER_OWN.replace("b_2_4", "b_2_10"), "defense.beta", [2, 10], "Table II"),
        (SEILER_OWN, "defense.divergence", "forward", "Sec. IV"),
        (SEILER_OWN, "defense.joint_pass", False, "Sec. IV"),
        (SEILER_OWN, "seeds", 1, "Sec. V-C"),
        ("text.fig_1.confidence_in_the_original_image.claim", "images", 1, "Fig. 1"),
        ("table_i.alpha_0_4.median_time_p_epoch", "defense.alpha", 0.4, "Table I"),
        (SEILER_VAT, "defense.steps", 3, "Sec. VI"),
        (SEILER_VAT, "defense.weight", 1, "Sec. VI"),
        (SEILER_VAT, "defense.epsilon", 15, "Table"),
        ("table_i.pgd_i_7.time_until_60_acc", "defense.steps", 7, "Table II"),
        ("table_i.pgd_i_3.time_until_60_acc", "defense.steps", 3, "Table II"),
        ("table_i.pgd_i_3.median_time_p_epoch", "defense.epsilon", 8 / 255, "Table II"),
        ("table_i.pgd_i_3.median_time_p_epoch", "defense.step_size", 0.25, "Table II"),
        ("table_i.base.median_time_p_epoch", "architecture.batch_norm", True, "Sec. V-B"),
        ("table_i.base.median_time_p_epoch", "architecture.global_average_pooling", True, "Sec. V-B"),
        ("table_iii.base_models.resnet32.vggnet13.adv", "architecture.depth", 32, "Sec. VI"),
    ],
}
"""Claim, setting, value and part of the place, typed from the papers and not from their files."""
READ = {
    "hassanin_dfl": [
        (f"{HASSANIN_OWN}.fgsm", "training.optimizer", ["sgd"], ["adam"]),
        (f"{HASSANIN_OWN}.fgsm", "training.schedule", ["constant"], ["cosine"]),
        (f"{HASSANIN_OWN}.fgsm", "training_images", [60000, 59000], [30000]),
        (f"{HASSANIN_CIFAR10}.dfl.fgsm", "training_images", [50000, 49000], [10000]),
        (f"{HASSANIN_CIFAR10}.pcl.fgsm", "defense.inter_sign", ["minus", "plus"], []),
        (f"{HASSANIN_CIFAR10}.pcl.fgsm", "defense.centre_learning_rate", [0.5, 0.1], [0.01]),
        (f"{HASSANIN_CIFAR10}.dfl.candw", "training.adversarial.learning_rate", [0.1, 1], [0.01, None]),
        (f"{HASSANIN_CIFAR10}.dfl.candw", "attack.steps", [10, 1000], [100]),
        ("table_3.no_defense.proposed_method_dfl.candw", "attack.learning_rate", [1, 0.01], [0.1]),
        ("table_6.adversarial_training.wideresnet.fgsm", "architecture.depth", [28], [10, 40]),
        ("table_6.adversarial_training.wideresnet.fgsm", "architecture.widening", [10], [1]),
        ("table_4.adversarial_training.dynamic_53.fgsm", "defense.epsilon", ["0.03", "8/255"], [0.3]),
    ],
    "mirzaeian_dkd": [
        ("table_2.candw.200.mnist.dkd", "attack.binary_search_steps", [5], [1, 9]),
        ("table_2.candw.200.mnist.dkd", "attack.learning_rate", [0.005], [0.01]),
        ("table_2.jsma.200.mnist.dkd", "attack.direction", ["decrease", "both"], ["increase"]),
        ("table_2.deep_fool.200.mnist.dkd", "attack.overshoot", [0.05, 0.02], [0]),
        ("table_3.no_attack.mnist.ref", "training.epochs", [100], [50]),
        ("table_3.no_attack.cifar10.ref", "training.batch_size", [128], [64]),
        ("table_3.no_attack.mnist.kd", "defense.temperature", [1], [4]),
        ("table_3.no_attack.mnist.kd", "defense.ties", ["main", "error"], []),
        ("table_4.magnet_22.cifar10.clean", "defense.temperatures", [[10, 40]], [[]]),
        ("table_4.magnet_22.mnist.clean", "defense.temperatures", [[]], [[10, 40]]),
        ("table_4.no_defense.cifar10.clean", "training.augmentation", ["none", "crop_flip"], []),
    ],
    "seiler_superimposition": [
        (SEILER_OWN, "training.epochs", [50, 42, 100], [41, 10]),
        (SEILER_OWN, "training_images", [72000, 67500], [400000]),
        (SEILER_OWN, "defense.fold", [False, True], []),
        (SEILER_OWN, "attack.clean_correct", [True, False], []),
        (SEILER_OWN, "defense.method", [3, None], [1, 2]),
        ("table_i.alpha_0_4.median_time_p_epoch", "defense.method", [2, None], [3]),
        (SEILER_VAT, "defense.norm", ["l2", "linf"], []),
        ("table_iii.base_models.resnet50.vggnet13.adv", "architecture.stem_pool", [True], []),
    ],
}
"""Claim, setting, values that are readings of it, and values that are not."""
COUNTED = (
    "accuracy",
    "accuracy_gain",
    "failed_majorities",
    "fooling_set_accuracy",
    "fooling_set_clean_accuracy",
    "latent_separation",
    "separating_weight",
    "sweep_accuracy_gain",
)
"""What is measured on all test images; not so training errors, times, and what is of a picture."""
EPOCHS = {
    ("hassanin_dfl", "mnist"): (50, 60000, 10000),
    ("hassanin_dfl", "cifar10"): (100, 50000, 10000),
    ("mirzaeian_dkd", "mnist"): (100, 60000, 10000),
    ("mirzaeian_dkd", "cifar10"): (100, 50000, 10000),
    ("seiler_superimposition", "ilsvrc"): (50, 72000, 18000),
}
"""Epochs, training images and test images of every experiment on a data set, as printed or first read."""
ATTACKS = {
    ("hassanin_dfl", "pgd"): {"steps": 10},
    ("hassanin_dfl", "carlini_wagner"): {"steps": 10},
    ("seiler_superimposition", "gradient_ensemble"): {"steps": 20, "step_size": 0.0625},
}
"""What is said of every attack of a kind; the steps of DKD's are parameters of its claims."""


@functools.cache
def _papers() -> dict[str, Paper]:
    return {paper.key: paper for paper in papers_here() if paper.key in KEYS}


def _stated(key: str, claim_id: str) -> dict[str, Stated]:
    paper = _papers()[key]
    claim = next(claim for claim in paper.claims if claim.claim_id == f"{key}.{claim_id}")
    return paper.protocol_of(claim)


@pytest.mark.parametrize(
    ("key", "claim_id", "setting", "value", "place"),
    cases_here("papers", [(key, *row) for key, rows in PRINTED.items() for row in rows]),
)
def test_what_is_printed(key: str, claim_id: str, setting: str, value: object, place: str) -> None:
    stated = _stated(key, claim_id)[setting]
    assert normal(stated.value) == normal(value)
    assert place in stated.place
    assert not stated.reading


@pytest.mark.parametrize(
    ("key", "claim_id", "setting", "readings", "others"),
    cases_here("papers", [(key, *row) for key, rows in READ.items() for row in rows]),
)
def test_what_is_read(
    key: str, claim_id: str, setting: str, readings: list[object], others: list[object]
) -> None:
    stated = _stated(key, claim_id)[setting]
    assert len(stated.reading.split()) >= 2
    assert not stated.place
    assert [value for value in readings if not stated.allows(value)] == []
    assert [value for value in others if stated.allows(value)] == []


@functools.cache
def _measured() -> list[tuple[Claim, dict[str, Stated]]]:
    """Return the claims that a paper's authors measured on its own experiments, with the protocol of each."""
    return [
        (claim, paper.protocol_of(claim))
        for paper in _papers().values()
        for claim in paper.claims
        if not claim.copied
    ]


def _built() -> list[tuple[Claim, dict[str, Stated]]]:
    """Return those of which all is built here; only they can be held to what plug-ins say of themselves."""
    return [(claim, stated) for claim, stated in _measured() if built_here(claim)]


def test_every_measured_claim_has_its_amount_of_training() -> None:
    """None is left out: where a paper does not print it, it is read."""
    amounts: dict[tuple[str, str], set[tuple[Any, ...]]] = {}
    for claim, stated in _measured():
        names = ("training.epochs", "training_images", *(["images"] if claim.metric in COUNTED else []))
        found = tuple(normal(stated[name].value) for name in names)
        amounts.setdefault((claim.paper, claim.dataset), set()).add(found)
    others = {("hassanin_dfl", "cifar10"), ("seiler_superimposition", "ilsvrc")}
    assert amounts == {
        place: {amount, amount[:2]} if place in others else {amount}
        for place, amount in cases_here("papers", EPOCHS.items(), lambda case: case[0][0])
    }
    assert all(
        ("images" in stated) == (claim.metric in (*COUNTED, "confidence", "strongest_epsilon"))
        for claim, stated in _measured()
    )


def test_every_claim_has_what_is_said_of_its_attack() -> None:
    found = {}
    for claim, stated in _measured():
        names = ATTACKS.get((claim.paper, claim.attack), {})
        values = {name: normal(stated[f"attack.{name}"].value) for name in names}
        assert values == names
        found[claim.paper, claim.attack] = values
    assert {key for key in ATTACKS if key[0] in KEYS} <= set(found)


def test_copied_claims_have_no_protocol_of_the_copier() -> None:
    copied = [
        paper.protocol_of(claim) for paper in _papers().values() for claim in paper.claims if claim.copied
    ]
    assert copied
    assert not any(copied)


def _kind(family: registry.Family, key: str) -> str:
    """Return the file of the plug-in that claims know by a key, variants left out: `vgg` of vgg13."""
    key = key.partition("[")[0]
    if family != "architectures":
        return key
    return next(
        name for name in registry.names(family) if registry.settings_class(family, name).title_of(key, name)
    )


def _sections(claim: Claim) -> dict[str, tuple[str, type[Settings]]]:
    """Return the sections of a claim's protocol: prefix -> the plug-in's name in claims, and its settings."""
    return _sections_of(claim.dataset, claim.architecture, claim.defense, claim.attack)


@functools.cache
def _sections_of(
    dataset: str, architecture: str, name: str, attack: str
) -> dict[str, tuple[str, type[Settings]]]:
    *beneath, defense = name.split("+")
    plug_ins: dict[str, tuple[registry.Family, str]] = {
        "architecture": ("architectures", architecture),
        "defense": ("defenses", defense),
    }
    if beneath:
        plug_ins["defense.built_on"] = ("defenses", beneath[0])
    if attack != "none":
        plug_ins["attack"] = ("attacks", attack)
    found: dict[str, tuple[str, type[Settings]]] = {
        prefix: (key, registry.settings_class(family, _kind(family, key)))
        for prefix, (family, key) in plug_ins.items()
    }
    return {
        **found,
        "dataset": ("", registry.settings_class("datasets", dataset)),
        "training": ("", TrainingSettings),
        "training.adversarial": ("", AdversarialTraining),
    }


def _values(stated: dict[str, Stated], prefix: str) -> dict[str, object]:
    """Return the settings of one section, without those of a section inside it."""
    return {
        name.removeprefix(f"{prefix}."): one.value
        for name, one in stated.items()
        if name not in BESIDE and name.rpartition(".")[0] == prefix
    }


def test_every_setting_is_one_of_the_claims_plug_in() -> None:
    unknown = {
        (claim.claim_id, name)
        for claim, stated in _built()
        for name in stated
        if name not in BESIDE
        and name.rpartition(".")[2] not in _sections(claim)[name.rpartition(".")[0]][1].model_fields
    }
    assert unknown == set()


def test_values_make_the_plug_in_that_the_claim_names() -> None:
    """A misspelled word, a value out of range and the settings of another variant would all be refused here."""
    checked = set()
    for claim, stated in _built():
        for prefix, (key, declared) in _sections(claim).items():
            values = _values(stated, prefix)
            if prefix == "attack" or not values:
                continue
            made = declared.model_validate(values)
            if key:
                family = "architectures" if prefix == "architecture" else "defenses"
                assert made.key(_kind(family, key)) == key, claim.claim_id
            checked.add((prefix, key))
    stacked = {"defense.built_on"} if any("+" in claim.defense for claim, _ in _built()) else set()
    assert {prefix for prefix, _ in checked} >= {"architecture", "defense", "training", *stacked}


def test_other_readings_are_legal_values_too() -> None:
    checked = set()
    for claim, stated in _built():
        for name, one in stated.items():
            if name in BESIDE:
                continue
            prefix, _, field = name.rpartition(".")
            declared = _sections(claim)[prefix][1]
            if (case := (declared, field, str(one))) in checked:
                continue
            checked.add(case)
            described = declared.model_fields[field]
            adapter: TypeAdapter[object] = TypeAdapter(Annotated[described.annotation, described])
            for value in (one.value, *one.alternatives):
                adapter.validate_python(tuple(value) if isinstance(value, list) else value)
    assert len(checked) > (100 if WHOLE else 20)


def test_adversarial_training_stands_where_the_training_is_not_the_defenses_own() -> None:
    """Hassanin's columns were trained on their own attack; dynamic and PGD training bring theirs along."""
    for claim, stated in _built():
        own = registry.settings_class("defenses", _kind("defenses", claim.defense.split("+")[-1])).trains_on
        added = claim.paper == "hassanin_dfl" and claim.training != "clean" and "dynamic" not in claim.defense
        assert added or claim.training in ("clean", own)
        values = _values(stated, "training.adversarial")
        assert values.get("attack") == (claim.training if added else None), claim.claim_id
        assert ("epsilon" in values) == (added and claim.training != "carlini_wagner")


def test_every_entry_and_every_setting_in_it_counts_for_a_claim() -> None:
    """None is of no claim, and none is replaced by later ones wherever it stands."""
    used = {(claim.paper, name, id(one)) for claim, stated in _measured() for name, one in stated.items()}
    for paper in _papers().values():
        for experiment in paper.protocol:
            assert any(experiment.is_of(claim) for claim in paper.claims), experiment.of
            for name, one in experiment.settings.items():
                assert (paper.key, name, id(one)) in used, (experiment.of, name)


def test_networks_that_images_were_made_on_have_a_protocol_too() -> None:
    """A judge asks for it with the source in the claim's place, undefended and not attacked."""
    asked = set()
    for claim, _ in _measured():
        if claim.setting != "black_box":
            continue
        for source in (one.architecture for one in TransferSource.read(claim.source)):
            values = {"architecture": source, "defense": "undefended", "training": "clean"}
            itself = {"setting": "white_box", "source": "", "attack": "none", "parameters": ""}
            stated = _papers()[claim.paper].protocol_of(dataclasses.replace(claim, **values, **itself))
            assert {"training.epochs", "training.learning_rate", "training_images"} <= set(stated)
            assert {"architecture.depth", "architecture.width"} & set(stated)
            asked.add((claim.paper, source))
    assert asked == {
        (paper, source)
        for paper, sources in {
            "mirzaeian_dkd": ("lenet", "vgg16"),
            "seiler_superimposition": ("vgg13", "resnet32", "resnet50_7x7"),
        }.items()
        if paper in KEYS
        for source in sources
    }


def test_facts_of_the_old_lists_are_kept() -> None:
    facts = {
        (paper.key, fact.name)
        for paper in _papers().values()
        for experiment in paper.protocol
        for fact in experiment.facts
    }
    kept = [
        ("hassanin_dfl", "ε"),
        ("hassanin_dfl", "second backbone"),
        ("mirzaeian_dkd", "software"),
        ("mirzaeian_dkd", "device"),
        ("mirzaeian_dkd", "iterations of DeepFool, C&W, JSMA"),
        ("seiler_superimposition", "device"),
        ("seiler_superimposition", "split"),
    ]
    assert facts >= set(cases_here("papers", kept))
