"""What verdicts are told of a study's models, setting by setting."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reproof.plan.experiments import IDLE, experiment
from reproof.settings.training import TrainingSettings
from reproof.study import reader

STUDY: dict[str, Any] = {
    "study": "s",
    "seeds": [0],
    "dataset": "digits",
    "datasets": {"digits": {"kind": "digits", "validation_images": 100, "test_images": 100}},
    "architecture": {"kind": "cnn6", "width": 0.25},
    "training": {"epochs": 7, "learning_rate": 0.1},
    "models": {
        "plain": {"defense": {"kind": "undefended"}},
        "other": {"defense": {"kind": "undefended"}, "training": {"epochs": 9}},
    },
    "attacks": {"fgsm": {"kind": "fgsm", "epsilons": [0.1]}},
    "suites": {"own": {"attacks": ["fgsm"], "images": 50}},
    "threats": {"own": {"setting": "white_box", "suite": "own"}},
}


def told(**models: Any) -> dict[str, dict[str, Any]]:
    source = {**STUDY, "models": {**STUDY["models"], **models}}
    study = reader.parse(source, [("study", source)])
    return {name: experiment(study, model) for name, model in study.models.items()}


def test_settings_are_named_as_in_a_protocol_and_those_not_at_their_default_are_known() -> None:
    found = told()["plain"]
    assert found["settings"]["training.epochs"] == 7
    assert found["settings"]["architecture.width"] == 0.25
    assert found["settings"]["training.momentum"] == TrainingSettings(epochs=1, learning_rate=1).momentum
    assert {"training.epochs", "training.learning_rate", "architecture.width", "training_images"} <= set(
        found["chosen"]
    )
    assert not {"training.momentum", "training.gradient_clip"} & set(found["chosen"])
    assert not {f"training.{name}" for name in IDLE} & set(found["settings"])
    assert json.loads(json.dumps(found)) == found


def test_what_null_stands_for_is_told_and_is_no_choice() -> None:
    pytest.importorskip("reproof.defenses.prototype_conformity")
    of_eq_5 = {"defense": {"kind": "prototype_conformity"}}
    released = {"defense": {"kind": "prototype_conformity", "variant": "released_code"}}
    found = told(paper=of_eq_5, released=released)
    settings = found["paper"]["settings"]
    assert (settings["defense.distance"], settings["defense.layers"]) == (
        "euclidean",
        ["layer3", "layer4", "layer5"],
    )
    assert "defense.distance" not in found["paper"]["chosen"]
    settings = found["released"]["settings"]
    assert (settings["defense.distance"], settings["defense.layers"]) == ("squared", ["layer4", "layer5"])
    assert settings["defense.contrast_weight"] == 1e-4
    assert "defense.variant" in found["released"]["chosen"]


def test_rounds_are_those_that_the_epochs_leave_room_for() -> None:
    pytest.importorskip("reproof.defenses.adaptive_gravity")
    short = {"defense": {"kind": "adaptive_gravity", "warmup_epochs": 3, "epochs_per_round": 1}}
    settings = told(gravity=short)["gravity"]["settings"]
    assert settings["defense.rounds"] == 4, "of 50 that it asks for, seven epochs and a warm-up of three"


def test_adversarial_training_is_told_only_where_there_is_some() -> None:
    trained = {
        "defense": {"kind": "undefended"},
        "training": {"adversarial": {"attack": "pgd", "epsilon": 0.1}},
    }
    found = told(trained=trained)
    assert found["trained"]["settings"]["training.adversarial.step_size"] == pytest.approx(0.25)
    assert found["trained"]["settings"]["training.adversarial.attack"] == "pgd"
    assert not [name for name in found["plain"]["settings"] if "adversarial" in name]


def test_what_images_are_is_told_and_how_many_there_are_only_once() -> None:
    source = {
        **STUDY,
        "datasets": {"digits": {**STUDY["datasets"]["digits"], "image_size": 14, "split_seed": 3}},
    }
    study = reader.parse(source, [("study", source)])
    found = experiment(study, study.models["plain"])
    of_data = {name: value for name, value in found["settings"].items() if name.startswith("dataset.")}
    assert of_data == {"dataset.image_size": 14, "dataset.resize": "bilinear"}
    assert "dataset.image_size" in found["chosen"]
    assert not any(name.startswith("dataset.") for name in told()["plain"]["chosen"])


def test_an_ensemble_has_the_training_of_its_members_and_their_number() -> None:
    pytest.importorskip("reproof.defenses.independent_ensemble")
    same = {"defense": {"kind": "undefended"}, "seed_offset": 5}
    votes = {"defense": {"kind": "independent_ensemble"}}
    found = told(
        same=same,
        alike={**votes, "members": ["plain", "same"]},
        unlike={**votes, "members": ["plain", "other"]},
    )
    alike, unlike = found["alike"]["settings"], found["unlike"]["settings"]
    assert (alike["training.epochs"], unlike["training.epochs"]) == (7, [7, 9])
    assert (alike["defense.members"], alike["training_images"]) == (
        2,
        found["plain"]["settings"]["training_images"],
    )
    assert "defense.members" in found["alike"]["chosen"]


def test_an_ensemble_s_members_say_how_they_were_trained_whatever_its_own_entry_says() -> None:
    """Only the vote is the ensemble's: ζ of its entry trains nobody."""
    pytest.importorskip("reproof.defenses.diverse_ensemble")
    pytest.importorskip("reproof.defenses.independent_ensemble")
    trained = {"defense": {"kind": "diverse_ensemble", "zeta": 0.1}}
    votes = {"kind": "diverse_ensemble", "zeta": 0.9, "boosted": True, "ties": "error"}
    found = told(
        second={**trained, "beside": ["plain"]},
        third={**trained, "beside": ["plain", "second"]},
        shallow={**trained, "beside": ["plain"]},
        diverse={"defense": votes, "members": ["plain", "second", "third"]},
        half={"defense": votes, "members": ["plain", "second", "shallow"]},
        none={"defense": votes, "members": ["plain", "other"]},
        foreign={"defense": {"kind": "independent_ensemble"}, "members": ["plain", "second", "third"]},
    )
    diverse, half, none, foreign = (found[name] for name in ("diverse", "half", "none", "foreign"))
    assert diverse["settings"]["defense.zeta"] == 0.1
    assert "defense.zeta" in diverse["chosen"]
    assert (diverse["settings"]["defense.boosted"], diverse["settings"]["defense.ties"]) == (True, "error")
    assert not {"defense.beside", "defense.trained_as"} & set(diverse["settings"])
    assert half["settings"]["defense.beside"] == [0, 1, 1], "the third was trained beside the first alone"
    assert "defense.zeta" not in none["settings"], "none of its members was trained to be diverse"
    assert none["settings"]["defense.beside"] == [0, 0]
    assert foreign["settings"]["defense.trained_as"] == ["diverse_ensemble"]
    assert {"defense.trained_as"} <= set(foreign["chosen"])


def test_members_that_are_one_network_again_are_told() -> None:
    pytest.importorskip("reproof.defenses.independent_ensemble")
    same, votes = {"defense": {"kind": "undefended"}}, {"defense": {"kind": "independent_ensemble"}}
    found = told(
        again=same,
        offset={**same, "seed_offset": 100},
        twins={**votes, "members": ["plain", "again", "offset"]},
        apart={**votes, "members": ["plain", "offset"]},
    )
    assert found["twins"]["settings"]["defense.twins"] == 1
    assert "defense.twins" in found["twins"]["chosen"]
    assert "defense.twins" not in found["apart"]["settings"]
    assert (found["again"]["seed_offset"], found["offset"]["seed_offset"]) == (0, 100)


def test_what_a_method_is_built_on_is_told_beneath_it() -> None:
    pytest.importorskip("reproof.defenses.polarised_contrastive")
    pytest.importorskip("reproof.defenses.defensive_features")
    both = {"defense": {"kind": "polarised_contrastive", "built_on": {"kind": "defensive_features"}}}
    assert any(name.startswith("defense.built_on.") for name in told(both=both)["both"]["settings"])


def test_a_model_says_what_it_stands_for_and_of_what_it_is_half() -> None:
    whole = {"defense": {"kind": "undefended"}, "training": {"epochs": 14}, "stands_for": ["p.*"]}
    half = {"defense": {"kind": "undefended"}, "half_of": "whole"}
    found = told(whole=whole, half=half)
    assert (found["whole"]["stands_for"], found["half"]["half_of"]) == (["p.*"], "whole")
