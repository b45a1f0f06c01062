"""Each check of a study finds the mistake that it is named for, and says where it stands and what to do."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from reproof import registry
from reproof.errors import StudyError
from reproof.settings.defense import DefenseSettings
from reproof.study import checks, layers, reader
from reproof.study import model as study_model
from reproof.study.messages import dotted
from tests.ours import here, needs


def first_that(**wanted: bool) -> str:
    """Return a defense that declares this of itself, whichever files are there."""
    for kind in registry.names("defenses"):
        declared = registry.settings_class("defenses", kind)()
        assert isinstance(declared, DefenseSettings)
        facts = {
            "votes": declared.votes,
            "beside": declared.learns_beside,
            "shapes": declared.shapes_network,
            "several": declared.networks > 1,
        }
        if all(facts[key] == value for key, value in wanted.items()):
            return kind
    return ABSENT


ABSENT = "absent"
"""Stands for a plug-in whose file was deleted: cases about it are left out."""
VOTES = first_that(votes=True, beside=True)
SHAPES = first_that(shapes=True)
SEVERAL = first_that(several=True)

STUDY: dict[str, Any] = {
    "study": "checked",
    "seeds": [0, 1],
    "dataset": "digits",
    "datasets": {
        "digits": {"kind": "digits", "image_size": 16, "test_images": 40, "validation_images": 20},
        "others": {"kind": "digits", "image_size": 16, "test_images": 60, "validation_images": 20},
    },
    "architecture": {"kind": "cnn6", "width": 0.25},
    "training": {"epochs": 8, "batch_size": 64, "learning_rate": 0.01},
    "models": {
        "main": {"defense": {"kind": "undefended"}},
        "second": {"defense": {"kind": "undefended"}, "seed_offset": 100},
        "taught": {"defense": {"kind": VOTES}, "beside": ["main"]},
        "votes": {"defense": {"kind": VOTES}, "members": ["main", "taught"]},
        "elsewhere": {"dataset": "others", "defense": {"kind": "undefended"}},
    },
    "attacks": {
        "fgsm": {"kind": "fgsm", "epsilons": [0.1]},
        "square": {"kind": "square", "epsilons": [0.1], "queries": 10},
        "carlini_wagner": {"kind": "carlini_wagner", "constants": [1], "steps": 2, "images": 10},
    },
    "suites": {
        "papers": {"attacks": ["fgsm", "square", "carlini_wagner"], "images": 20},
        "sums": {"attacks": ["fgsm"], "images": 20, "members": "aggregated"},
        "ballots": {"attacks": ["fgsm"], "images": 20, "view": "votes"},
    },
    "threats": {
        "white_box": {"setting": "white_box", "suite": "papers"},
        "aggregated": {"setting": "white_box", "suite": "sums"},
        "adaptive": {"setting": "adaptive", "suite": "ballots"},
        "transfer": {"setting": "black_box", "suite": "papers", "source": "second"},
    },
    "surfaces": {"models": ["main", "taught"], "beside": "second", "images": 10},
}
GONE = [kind for kind in ("square", "carlini_wagner") if kind not in registry.names("attacks")]
for kind in GONE:
    del STUDY["attacks"][kind]
    STUDY["suites"]["papers"]["attacks"].remove(kind)


if VOTES == ABSENT:  # and with it the ensemble, and whoever attacks it
    GONE += ["taught", "votes", "sums", "ballots", "aggregated", "adaptive"]
    for section in ("models", "suites", "threats"):
        STUDY[section] = {name: entry for name, entry in STUDY[section].items() if name not in GONE}
    STUDY["surfaces"]["models"].remove("taught")


GONE += [kind for kind in ("lenet", "dkd_mnist") if not here("architectures", kind)]


def stands(case: Any) -> bool:
    """Tell whether all that a case is about is there."""
    return not re.search(rf"\b({'|'.join((ABSENT, *GONE))})\b", repr(case))


def model(name: str = "x", **entry: Any) -> dict[str, Any]:
    return {"models": {name: {"defense": {"kind": "undefended"}, **entry}}}


def suite(name: str, **entry: Any) -> dict[str, Any]:
    return {"suites": {name: entry}}


def threat(name: str = "x", **entry: Any) -> dict[str, Any]:
    return {"threats": {name: entry}}


LONG = "a" * 100

MISTAKES: dict[str, list[tuple[dict[str, Any], str, str]]] = {
    "seeds_once": [({"seeds": [3, 3]}, "seeds", "a seed stands twice")],
    "default_dataset": [({"dataset": "digit"}, "dataset", "no data set is called 'digit'; did you mean 'digits'?")],
    "known_dataset": [(model(dataset="other"), "models.x.dataset", "no data set is called 'other'; did you mean 'others'?")],
    "free_name": [(model("members"), "models.members", "tables call members of an ensemble 'members'")],
    "built_on_fits": [
        (model(defense={"kind": SHAPES, "built_on": {"kind": SHAPES}}), "models.x.defense.built_on", "is built on none"),
        (model(defense={"kind": SEVERAL, "built_on": {"kind": SHAPES}}), "models.x.defense.built_on", "is built on none"),
    ],
    "company_is_taken": [
        (model(members=["main"]), "models.x.members", "undefended takes none; "),
        (model(beside=["main"]), "models.x.beside", "undefended takes none; "),
    ],
    "company_is_trained": [
        (model(defense={"kind": VOTES}, beside=["mian"]), "models.x.beside[0]", "did you mean 'main'?"),
        (model(defense={"kind": VOTES}, beside=["main", "main"]), "models.x.beside[0]", "main stands twice"),
        (model(defense={"kind": VOTES}, beside=["x"]), "models.x.beside[0]", "x cannot stand here itself"),
        (model(defense={"kind": VOTES}, beside=["votes"]), "models.x.beside[0]", "votes is an ensemble itself"),
        (model(defense={"kind": VOTES}, members=["main", "elsewhere"]), "models.x.members[1]", "elsewhere is trained on others"),
    ],
    "nobody_waits_for_itself": [
        (
            {"models": {"x": {"defense": {"kind": VOTES}, "beside": ["y"]}, "y": {"defense": {"kind": VOTES}, "beside": ["x"]}}},
            "models.x.beside[0]",
            "y is trained after x",
        )
    ],
    "votes_have_members": [(model(defense={"kind": VOTES}), "models.x.defense", "needs members, the trained models that vote")],
    "halves_are_of_models": [
        (model(half_of="mian"), "models.x.half_of", "there is no other model 'mian'; did you mean 'main'?"),
        (model(half_of="x"), "models.x.half_of", "there is no other model 'x'"),
        (model(half_of="elsewhere"), "models.x.half_of", "'elsewhere' is another kind of model"),
        (model(half_of="main"), "models.x.half_of", "half of 'main' are"),
        (model(half_of="main", training={"epochs": 4, "batch_size": 32}), "models.x.training.batch_size", "by more than the length"),
        (model(half_of="main", training={"epochs": 4}, architecture={"kind": "cnn6", "width": 0.5}), "models.x.architecture", "by more than the length"),
        (model(half_of="votes", defense={"kind": VOTES}, members=["main", "taught"]), "models.x.members", "those of 'votes', in their order"),
    ],
    "ensembles_are_only_put_together": [
        (model(defense={"kind": VOTES}, members=["main"]), "models.x.members", "an ensemble has at least two members"),
        (model(defense={"kind": VOTES}, members=["main", "second"], seed_offset=1), "models.x.seed_offset", "is not trained"),
    ],
    "members_are_plain_networks": [
        (
            model(defense={"kind": VOTES}, members=["main", "second"], architecture={"kind": "cnn6", "width": 0.5}),
            "models.x.members[0]",
            "main is another network",
        ),
        (
            model(defense={"kind": VOTES}, members=["main", "second"], training={"adversarial": {"attack": "fgsm", "epsilon": 0.1}}),
            "models.x.members[0]",
            "main is trained on clean examples, the ensemble by its config entry on fgsm ones",
        ),
    ],
    "images_are_large_enough": [
        (
            {"datasets": {"digits": {"image_size": 11}}, **model(architecture={"kind": "lenet"})},
            "models.x.architecture",
            "lenet needs images of at least 12 x 12 pixels; those of digits have 11 x 11",
        ),
        (
            {"datasets": {"digits": {"image_size": 12}}, **model(architecture={"kind": "dkd_mnist"})},
            "models.x.architecture",
            "dkd_mnist needs images of at least 16 x 16 pixels",
        ),
    ],
    "crops_hold_images": [
        ({"training": {"augmentation": "crop", "padding": 16}}, "training.padding", "should be less than the images' 16 pixels, not 16"),
        (
            {"training": {"padding": 3}, **model(training={"augmentation": "crop_flip", "padding": 40})},
            "models.x.training.padding",
            "not 40",
        ),
    ],
    "enough_images_to_train_on": [
        ({"datasets": {"others": {"test_images": 1776}}}, "datasets.others", "training elsewhere needs at least two training images")
    ],
    "defense_fits_its_training": [],  # what each defense says is tested below
    "points_once": [
        ({"attacks": {"fgsm": {"epsilons": [0.1, "8/255", 8 / 255]}}}, "attacks.fgsm", "is listed twice; list it once"),
        ({"attacks": {"carlini_wagner": {"constants": [1, 10, 1.0]}}}, "attacks.carlini_wagner", "c=1 is listed twice"),
        ({"attacks": {"carlini_wagner": {"steps": [5, 5]}}}, "attacks.carlini_wagner", "steps=5 is listed twice"),
        ({"attacks": {"fgsm": {"psnrs": [20, 20.0]}}}, "attacks.fgsm", "psnr=20 is listed twice"),
        (suite("papers", settings={"fgsm": {"epsilons": [0.2, 0.2]}}), "suites.papers.settings.fgsm", "epsilon=0.2 is listed twice"),
    ],
    "known_attacks": [
        *(
            ({"attacks": {name: {"kind": "fgsm", "epsilons": [0.1]}}}, f"attacks.{name}", f"tables call something else '{name}'")
            for name in ("none", "worst_case", "worst_case_unbounded")
        ),
        (suite("papers", attacks=["fsgm"]), "suites.papers.attacks[0]", "no attack is called 'fsgm'; did you mean 'fgsm'?"),
        (suite("papers", attacks=["fgsm", "fgsm"]), "suites.papers.attacks", "an attack stands twice"),
    ],
    "known_overrides": [(suite("sums", settings={"square": {}}), "suites.sums.settings.square", "no attack of it is called 'square'")],
    "known_view": [(suite("ballots", view="vots"), "suites.ballots.view", "no attack loss of a defense is called 'vots'; did you mean 'votes'?")],
    "attacks_take_the_view": [(suite("ballots", attacks=["square"]), "suites.ballots.attacks[0]", "square follows no gradient of a loss")],
    "aggregated_on_logits": [(suite("sums", view="votes"), "suites.sums.view", "leave the view out, or set members: joint")],
    "aggregated_within_linf": [
        (suite("sums", settings={"fgsm": {"psnrs": [20]}}), "suites.sums.attacks[0]", "an aggregated suite takes budgets"),
    ],
    "known_networks": [
        (
            suite("papers", transfer_from=["nett"]),
            "suites.papers.transfer_from[0]",
            "no model is called 'nett'",
        ),
        (
            suite("papers", transfer_from=["main"]),
            "suites.papers.transfer_from",
            "no attack of the suite makes images on other models by itself",
        ),
    ],
    "overridden_images_are_there": [
        (
            suite("papers", settings={"fgsm": {"images": 21}}),
            "suites.papers.settings.fgsm.images",
            "asks for 21 images, and the suite has 20",
        )
    ],
    "known_suite": [
        (threat("white_box", suite="paper"), "threats.white_box.suite", "no suite is called 'paper'; did you mean 'papers'?"),
        (threat("white_box", dataset="other"), "threats.white_box.dataset", "no data set is called 'other'"),
    ],
    "sources_belong_to_black_boxes": [
        (threat(setting="black_box", suite="papers"), "threats.x", "black_box needs a source model"),
        (threat(setting="white_box", suite="papers", source="main"), "threats.x", "only black_box takes one"),
        (threat("transfer", sources=["main"]), "threats.transfer.sources", "the threat has a source already"),
    ],
    "sources_take_the_suite": [
        (threat("transfer", suite="sums"), "threats.transfer.suite", "it takes no source"),
        (threat("transfer", suite="ballots"), "threats.transfer.suite", "attacks its logits, not an attack loss of a defense"),
    ],
    "known_sources": [
        (threat("transfer", source="secnd"), "threats.transfer.source", "did you mean 'second'?"),
        (threat("transfer", source=None, sources=["main", "main"]), "threats.transfer.sources[1]", "main stands twice"),
        (threat("transfer", source=None, together=["main", "elsewhere"]), "threats.transfer.together[1]", "elsewhere is trained on others"),
    ],
    "known_targets": [
        (threat("transfer", targets=["man"]), "threats.transfer.targets[0]", "did you mean 'main'?"),
        (threat("transfer", exclude=["man"]), "threats.transfer.exclude[0]", "did you mean 'main'?"),
    ],
    "names_that_make_files": [
        (
            {"models": {LONG + "a": STUDY["models"]["main"], LONG + "b": STUDY["models"]["main"]}}
            | threat("transfer", source=None, together=[LONG + "a", LONG + "b"]),
            "threats.transfer.together",
            "longer than 180 characters",
        ),
        (
            {"models": {"a" * 150: STUDY["models"]["main"]}, **threat("b" * 150, setting="black_box", suite="papers", source="main")},
            f"threats.{'b' * 150}",
            "is too long for a file",
        ),
        (
            {"models": {"a" * 150: STUDY["models"]["main"]}, "suites": {"b" * 150: STUDY["suites"]["papers"]}}
            | threat(setting="white_box", suite="b" * 150),
            f"suites.{'b' * 150}",
            "is too long for a file",
        ),
    ],
    "somebody_meets_the_threat": [
        (threat("white_box", targets=[]), "threats.white_box", "no model meets it"),
        (threat("transfer", targets=["second"]), "threats.transfer", "a target that is no source of its own images"),
        (threat("white_box", targets=["main"], exclude=["main"]), "threats.white_box", "no model meets it"),
        (threat("white_box", targets=["main"], dataset="others"), "threats.white_box", "trained on others"),
        (threat("aggregated", targets=["main"]), "threats.aggregated", "an ensemble"),
        (threat(setting="white_box", suite="papers", source="member", targets=["main"]), "threats.x", "an ensemble"),
        (threat("adaptive", targets=["main", "taught"]), "threats.adaptive", "with the attack loss 'votes'"),
        (threat("transfer", targets=["elsewhere"]), "threats.transfer", "no model meets it"),
    ],
    "somebody_meets_the_suite": [
        (suite("more", attacks=["fgsm"], images=3), "suites.more", "no threat has this suite; give it one, or take it away (more: null)")
    ],
    "suites_fit_the_test_split": [
        (suite("papers", images=41), "suites.papers.images", "asks for 41 test images, and digits has 40; lower it"),
        (
            suite("papers", images=61) | {"datasets": {"digits": {"test_images": 61}}},
            "suites.papers.images",
            "asks for 61 test images, and others has 60",
        ),
    ],
    "tables_tell_threats_apart": [
        (threat(setting="white_box", suite="papers", targets=["main"]), "threats.x", "is already in threat 'white_box'"),
        (
            {"threats": {
                "x": {"setting": "black_box", "suite": "papers", "together": ["main", "taught"]},
                "y": {"setting": "black_box", "suite": "papers", "together": ["taught", "main"]},
            }},
            "threats.y",
            "is already in threat 'x'",
        ),
    ],
    "nothing_of_training": [
        (model(weights="w.pt", seed_offset=1), "models.x.seed_offset", "its weights come from w.pt; it is not trained"),
        (model(weights={"path": "w.pt"}, training={"epochs": 3}), "models.x.training", "take this away"),
        (model(weights="w.pt", members=["main", "second"]), "models.x.members", "it is not trained"),
    ],
    "publisher_is_known": [
        (
            model(weights={"path": "w.pt", "published_by": "mustafa_plc"}),
            "models.x.weights.published_by",
            "no paper has the key 'mustafa_plc'",
        ),
    ],
    "known_surface_models": [
        ({"surfaces": {"models": ["man"]}}, "surfaces.models[0]", "did you mean 'main'?"),
        ({"surfaces": {"beside": "secnd"}}, "surfaces.beside", "did you mean 'second'?"),
        ({"surfaces": {"models": ["main", "main"]}}, "surfaces.models", "a model stands twice"),
    ],
    "surfaces_have_a_direction": [
        ({"surfaces": {"beside": None}}, "surfaces.beside", "direction 1 is taken from an undefended model; name one"),
        ({"surfaces": {"beside": "taught"}}, "surfaces.beside", "taught is defended"),
        ({"surfaces": {"models": ["elsewhere"]}}, "surfaces.models[0]", "elsewhere is trained on others"),
    ],
    "surfaces_fit_the_test_split": [
        ({"surfaces": {"image": 40}}, "surfaces.image", "asks for 41 test images, and digits has 40"),
        ({"surfaces": {"images": 41}}, "surfaces.images", "asks for 41 test images, and digits has 40"),
    ],
}  # fmt: skip
"""By check: changes of the study, the key path that it names, and words of what it says there."""

NAMED = {check.__name__: check for check in checks.CHECKS}


def parse(*changes: dict[str, Any]) -> study_model.Study:
    merged = copy.deepcopy(STUDY)
    for change in changes:
        merged = layers.merge(merged, change)
    return reader.parse(merged, [("study.yaml", merged)])


def refused(*changes: dict[str, Any]) -> str:
    with pytest.raises(StudyError) as caught:
        parse(*changes)
    message = str(caught.value)
    assert message.startswith("study.yaml: ")
    assert "\n" not in message
    return message.removeprefix("study.yaml: ")


def test_the_study_itself_is_right() -> None:
    assert parse().name == "checked"


def test_every_check_is_named_and_tested() -> None:
    assert len(NAMED) == len(checks.CHECKS)
    assert set(MISTAKES) == set(NAMED)
    assert all(check.__doc__ for check in checks.CHECKS)


@pytest.mark.parametrize(
    ("name", "change", "path", "words"),
    [
        pytest.param(name, *case, id=f"{name}-{number}")
        for name, cases in MISTAKES.items()
        for number, case in enumerate(cases)
        if stands(case)
    ],
)
def test_a_check_finds_the_mistake_that_it_is_named_for(
    name: str, change: dict[str, Any], path: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refused(change)
    assert message.startswith(f"{path}: ")
    assert words in message
    monkeypatch.setattr(reader, "CHECKS", ())
    place, found = next(NAMED[name](parse(change)))
    assert (dotted(place), found) == (path, message.removeprefix(f"{path}: ")), (
        "the others are not needed for it"
    )


# What plug-ins say of what is asked of them.


@pytest.mark.parametrize(
    ("defense", "training", "place", "words"),
    [
        ({"kind": "prototype_conformity", "layers": ["layer9"]}, {}, "layers", "no feature is called 'layer9'; this network's are layer1, layer2"),
        ({"kind": "prototype_conformity", "layers": ["layer4"], "branch_sizes": [1, 2]}, {}, "", "branch_sizes should have one size"),
        ({"kind": "adaptive_gravity", "layers": ["layer4", "layer9"]}, {}, "layers", "no feature is called 'layer9'"),
        ({"kind": "adaptive_gravity", "warmup_epochs": 8}, {}, "warmup_epochs", "leaves no epoch for a round"),
        ({"kind": "adaptive_gravity", "epochs_per_round": 2, "round": 3}, {}, "round", "is 3, and the epochs after the warm-up make 2"),
        ({"kind": "adaptive_gravity", "centroids_per_class": 9, "centroid_images": 50}, {}, "centroid_images", "50 training images are too few"),
        ({"kind": "polarised_contrastive", "layer": "layer8"}, {}, "layer", "no feature is called 'layer8'"),
        ({"kind": "diverse_ensemble", "layer": "layer8"}, {}, "layer", "no feature is called 'layer8'"),
        ({"kind": "prototype_conformity", "layers": ["layer4"], "warmup_epochs": 8}, {}, "warmup_epochs", "leaves no epoch to the loss; there are 8"),
        ({"kind": "defensive_features", "taps": "blocks"}, {}, "taps", "this network has no residual blocks"),
        (
            {"kind": "polarised_contrastive", "built_on": {"kind": "defensive_features", "taps": "blocks"}},
            {},
            "built_on.taps",
            "this network has no residual blocks",
        ),
        (
            {"kind": "pixel_defend"},
            {"adversarial": {"attack": "fgsm", "epsilon": 0.1, "share": 1}},
            "",
            "the density model learns from clean images, and no batch has any",
        ),
    ],
)  # fmt: skip
def test_a_defense_says_what_keeps_it_from_being_trained(
    defense: dict[str, Any], training: dict[str, Any], place: str, words: str
) -> None:
    kinds = [defense["kind"], *([defense["built_on"]["kind"]] if "built_on" in defense else [])]
    if here("defenses", *kinds) != kinds:
        pytest.skip("its file was deleted")
    beside = {"beside": ["main"]} if defense["kind"] == "diverse_ensemble" else {}
    message = refused(model(defense=defense, training=training, **beside))
    assert message.startswith(f"models.x.defense{f'.{place}' if place else ''}: ")
    assert words in message


@needs("architectures/lenet", "defenses/prototype_conformity")
def test_on_a_network_of_another_paper_the_study_says_where_the_loss_acts() -> None:
    message = refused(model(architecture={"kind": "lenet"}, defense={"kind": "prototype_conformity"}))
    assert message.startswith(
        "models.x.defense.layers: say where the loss acts; this network's features are conv1"
    )


def test_images_of_an_odd_size_are_not_pooled() -> None:
    if "magnet" not in registry.names("defenses"):
        pytest.skip("its file was deleted")
    odd = {"datasets": {"digits": {"image_size": 17}}}
    assert refused(odd, model(defense={"kind": "magnet"})).startswith(
        "models.x.defense.pooled: images of 17 x 17"
    )
    parse(odd, model(defense={"kind": "magnet", "pooled": False}))


def test_features_of_a_network_that_another_defense_shapes_are_not_known_beforehand() -> None:
    if "polarised_contrastive" not in registry.names("defenses") or SHAPES == ABSENT:
        pytest.skip("its file was deleted")
    parse(model(defense={"kind": "polarised_contrastive", "layer": "joined", "built_on": {"kind": SHAPES}}))


# Values out of range, which their types refuse.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": [0, -1]}, "seeds[1]: input should be greater than or equal to 0 (it is -1)"),
        ({"seeds": [10**21]}, "seeds[0]: input should be less than 4294967296"),
        ({"seeds": []}, "seeds: tuple should have at least 1 item"),
        ({"study": "a" * 181}, "study: string should have at most 180 characters"),
        ({"study": "Checked"}, "study: string should match pattern"),
        (model("Main"), "models.Main: string should match pattern"),
        ({"attacks": {"carlini_wagner": {"constants": [0]}}}, "attacks.carlini_wagner.constants[0]: input should be greater than 0"),
        ({"architecture": {"width": 0}}, "architecture.width: input should be greater than 0"),
        ({"training": {"epochs": float("inf")}}, "training.epochs: should be a whole number, not inf"),
        ({"training": {"epochs": float("nan")}}, "training.epochs: should be a whole number, not nan"),
        ({"training": {"learning_rate": "1" + "0" * 400 + "/3"}}, "training.learning_rate: should be a number"),
        ({"training": {"learning_rate": 10**400}}, "training.learning_rate: "),
        ({"training": {"schedule": "step"}}, "training: schedule step needs milestones"),
        ({"training": {"schedule": "step", "milestones": [8]}}, "training: milestones should lie below epochs (8)"),
        ({"training": {"batch_size": 1}}, "training.batch_size: input should be greater than or equal to 2"),
        ({"examples": 65}, "examples: input should be less than or equal to 64"),
        ({"surfaces": {"image": -1}}, "surfaces.image: input should be greater than or equal to 0"),
        (threat("transfer", source=None, together=["main"]), "threats.transfer.together: tuple should have at least 2 items"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_named(change: dict[str, Any], message: str) -> None:
    if not stands(change):
        pytest.skip("its file was deleted")
    assert message in refused(change)


# What is no mistake.


def test_every_committed_study_passes_every_check() -> None:
    root = Path(__file__).parents[3]
    base = root / "config.yaml"
    for path in [base, *sorted((root / "studies").glob("*.yaml"))]:
        files = [base] if path == base else [base, path]
        for budget in layers.read_yaml(path).get("budgets", {}) or [None]:
            assert reader.load(files, {"budget": budget} if budget else {}).models


def test_an_attack_may_ask_for_more_images_than_a_suite_has() -> None:
    """It attacks all that there are: a smaller budget lowers the suite alone."""
    parse({"attacks": {"fgsm": {"images": 500}}})


def test_models_attacked_together_stand_in_the_study_s_order() -> None:
    study = parse(threat("transfer", source=None, together=["second", "main"]))
    assert study.threats["transfer"].together == ("main", "second")
