"""Ensembles in a study and in its plan: who stands beside whom, who votes with whom, and what is made again."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from reproof import artifacts, registry
from reproof.cli import find
from reproof.data import prepared
from reproof.data.dataset import DataDescription, Dataset
from reproof.errors import StudyError
from reproof.job_tables import SEPARATION
from reproof.measuring.outcomes import IDENTITY
from reproof.models import build
from reproof.models.voting import Ensemble
from reproof.plan.job import Job
from reproof.plan.jobs import Plan
from reproof.provenance import Run
from reproof.settings.defense import DefenseSettings
from reproof.stages.assemble import assemble
from reproof.stages.attack import attack
from reproof.stages.train import train
from reproof.study import layers, reader
from reproof.study import model as study_model
from reproof.training import loop

FILE = "study.yaml"


def declared(kind: str) -> DefenseSettings:
    settings = registry.settings_class("defenses", kind)()
    assert isinstance(settings, DefenseSettings)
    return settings


KINDS = {kind: declared(kind) for kind in registry.names("defenses")}
VOTES = next(kind for kind, settings in KINDS.items() if settings.votes and settings.learns_beside)
TOGETHER = [kind for kind, settings in KINDS.items() if settings.networks > 1]
SHAPING = [kind for kind, settings in KINDS.items() if settings.shapes_network]

STUDY: dict[str, Any] = {
    "study": "votes",
    "seeds": [0, 1],
    "dataset": "digits",
    "datasets": {
        "digits": {"kind": "digits", "test_images": 40, "validation_images": 20},
        "others": {"kind": "digits", "test_images": 60, "validation_images": 20},
    },
    "architecture": {"kind": "cnn6", "width": 0.25},
    "training": {"epochs": 2, "batch_size": 64, "learning_rate": 0.01},
    "models": {
        "main": {"defense": {"kind": "undefended"}},
        "second": {"defense": {"kind": "undefended"}, "seed_offset": 100},
        "taught": {"defense": {"kind": VOTES}, "beside": ["main"]},
        "last": {"defense": {"kind": VOTES}, "beside": ["main", "taught"], "training": {"epochs": 3}},
        "plain": {"defense": {"kind": VOTES}, "members": ["main", "taught", "last"]},
        "boosted": {"defense": {"kind": VOTES, "boosted": True}, "members": ["main", "taught", "last"]},
    },
    "attacks": {
        "fgsm": {"kind": "fgsm", "epsilons": [0.1]},
        "carlini_wagner": {"kind": "carlini_wagner", "constants": [1], "steps": 2},
    },
    "suites": {
        "papers": {"attacks": ["fgsm"], "images": 20},
        "together": {"attacks": ["fgsm", "carlini_wagner"], "images": 20, "members": "aggregated"},
        "votes": {"attacks": ["fgsm"], "images": 20, "view": "votes"},
    },
    "threats": {
        "white_box": {"setting": "white_box", "suite": "papers"},
        "standalone": {"setting": "white_box", "suite": "papers", "source": "member"},
        "aggregated": {"setting": "white_box", "suite": "together"},
        "adaptive": {"setting": "adaptive", "suite": "votes"},
        "transfer": {"setting": "black_box", "suite": "papers", "source": "second"},
    },
}


def parse(*changes: Any) -> study_model.Study:
    merged = copy.deepcopy(STUDY)
    for change in changes:
        merged = layers.merge(merged, change)
    merged["models"] = {name: entry for name, entry in merged["models"].items() if entry is not None}
    return reader.parse(merged, [(FILE, merged)])


def plan(*changes: Any) -> Plan:
    return Plan(parse(*changes))


def refused(*changes: Any) -> str:
    """Return the one line that such a study is refused with, after the file's name."""
    with pytest.raises(StudyError) as caught:
        parse(*changes)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{FILE}: ")
    return message.removeprefix(f"{FILE}: ")


def model(name: str, **entry: Any) -> dict[str, Any]:
    return {"models": {name: {"defense": {"kind": VOTES}, **entry}}}


def threat(name: str, **entry: Any) -> dict[str, Any]:
    return {"threats": {name: entry}}


class TestWrongEntries:
    @pytest.mark.parametrize("key", ["members", "beside"])
    def test_a_defense_that_takes_none_is_told_which_do(self, key: str) -> None:
        message = refused({"models": {"x": {"defense": {"kind": "undefended"}, key: ["main", "second"]}}})
        path, _, words = message.partition(": ")
        assert path == f"models.x.{key}"
        assert words.startswith("undefended takes none; ")
        able = [k for k, s in KINDS.items() if (s.votes if key == "members" else s.learns_beside)]
        assert words.removeprefix("undefended takes none; ") == f"{' and '.join(able)} do"

    @pytest.mark.parametrize("key", ["members", "beside"])
    def test_an_unknown_name_has_a_nearest(self, key: str) -> None:
        message = refused(model("x", **{key: ["main", "secnod"]}))
        assert message == f"models.x.{key}.[1]: no model is called 'secnod'; did you mean 'second'?".replace(
            ".[", "["
        )

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ({"members": ["main", "main"]}, "members[0]: main stands twice; name it once"),
            ({"beside": ["main", "main"]}, "beside[0]: main stands twice; name it once"),
            ({"members": ["main", "x"]}, "members[1]: x cannot stand here itself; name other models"),
            ({"beside": ["x"]}, "beside[0]: x cannot stand here itself; name other models"),
            (
                {"members": ["main", "plain"]},
                "members[1]: plain is an ensemble itself; name models that are trained",
            ),
            ({"beside": ["plain"]}, "beside[0]: plain is an ensemble itself; name models that are trained"),
            (
                {},
                f"defense: {VOTES} needs members, the trained models that vote, or the models that it is trained "
                "beside",
            ),
            (
                {"members": ["main"]},
                "members: an ensemble has at least two members, and neither beside nor built_on",
            ),
            (
                {"members": ["main", "second"], "beside": ["taught"]},
                "members: an ensemble has at least two members, and neither beside nor built_on",
            ),
            (
                {"members": ["main", "second"], "seed_offset": 1},
                "seed_offset: an ensemble is not trained; set its members' instead",
            ),
            (
                {"members": ["main", "second"], "architecture": {"kind": "cnn6", "width": 0.5}},
                "members[0]: main is another network than the ensemble's architecture says; give both the same",
            ),
            (
                {"members": ["main", "second"], "dataset": "others"},
                "members[0]: main is trained on digits, not on others; name models of one data set",
            ),
            (
                {"beside": ["main"], "dataset": "others"},
                "beside[0]: main is trained on digits, not on others; name models of one data set",
            ),
            (
                {
                    "members": ["main", "second"],
                    "training": {"adversarial": {"attack": "fgsm", "epsilon": 0.1}},
                },
                "members[0]: main is trained on clean examples, the ensemble by its config entry on fgsm ones, as tables "
                "would say; give it the members' training",
            ),
        ],
    )
    def test_wrong_company_is_named_with_what_to_do(self, entry: dict[str, Any], message: str) -> None:
        assert refused(model("x", **entry)) == f"models.x.{message}"

    def test_models_that_wait_for_each_other_are_refused(self) -> None:
        one = model("one", beside=["two"])
        message = refused(one, model("two", beside=["one"]))
        assert message == "models.one.beside[0]: two is trained after one; take one out of the other's beside"
        message = refused(one, model("two", beside=["main", "three"]), model("three", beside=["one"]))
        assert "models.one.beside[0]: two is trained after one" in message

    @pytest.mark.parametrize("kind", SHAPING)
    def test_a_member_keeps_to_the_architecture(self, kind: str) -> None:
        message = "models.x.members[1]: the defense of y changes its network, and a member is a plain network"
        members = model("x", members=["main", "y"])
        assert message in refused({"models": {"y": {"defense": {"kind": kind}}}}, members)
        built = {"models": {"y": {"defense": {"kind": "undefended", "built_on": {"kind": kind}}}}}
        assert message in refused(built, members)
        ensemble = {"kind": VOTES, "built_on": {"kind": kind}}
        message = "models.x.members: an ensemble has at least two members, and neither beside nor built_on"
        assert refused({"models": {"x": {"defense": ensemble, "members": ["main", "second"]}}}, {}) == message

    @pytest.mark.parametrize("kind", TOGETHER)
    def test_networks_that_were_trained_together_are_no_member(self, kind: str) -> None:
        message = refused({"models": {"y": {"defense": {"kind": kind}}}}, model("x", members=["main", "y"]))
        assert message.startswith("models.x.members[1]: the defense of y changes its network")

    @pytest.mark.parametrize("name", ["member", "members"])
    def test_the_tables_words_for_members_name_no_model(self, name: str) -> None:
        message = refused({"models": {name: {"defense": {"kind": "undefended"}}}})
        assert message == f"models.{name}: tables call members of an ensemble {name!r}; give it another name"

    def test_a_seed_is_not_lowered(self) -> None:
        assert refused(model("x", seed_offset=-1)).startswith("models.x.seed_offset: ")

    def test_an_aggregated_suite_attacks_logits(self) -> None:
        assert refused({"suites": {"together": {"view": "votes", "attacks": ["fgsm"]}}}) == (
            "suites.together.view: an aggregated suite attacks each member's logits; leave the view out, or set "
            "members: joint"
        )

    def test_an_aggregated_suite_takes_no_source(self) -> None:
        words = "suite: an aggregated suite is made on the whole ensemble; it takes no source"
        for entry in (
            {"setting": "white_box", "source": "member"},
            {"setting": "black_box", "source": "main"},
        ):
            assert refused(threat("x", suite="together", **entry)) == f"threats.x.{words}"

    def test_members_are_a_source_of_white_box_threats_alone(self) -> None:
        message = refused(threat("x", setting="adaptive", suite="papers", source="member"))
        assert message == (
            "threats.x: black_box needs a source model, and only black_box takes one (white_box takes 'member')"
        )
        assert "threats.x: black_box needs" in refused(
            threat("x", setting="white_box", suite="papers", source="main")
        )
        message = refused(threat("x", setting="black_box", suite="papers", source="member"))
        assert message.startswith("threats.x.source: no model is called 'member'")

    def test_members_are_attacked_by_their_logits(self) -> None:
        assert refused(threat("x", setting="white_box", suite="votes", source="member")) == (
            "threats.x.suite: a suite made on another model attacks its logits, not an attack loss of a defense"
        )

    @pytest.mark.parametrize("first", ["white_box", "standalone", "aggregated"])
    def test_two_threats_that_tables_cannot_tell_apart_are_refused(self, first: str) -> None:
        message = refused({"threats": {"again": STUDY["threats"][first]}})
        assert message.startswith(f"threats.again: attack 'fgsm' is already in threat {first!r}") or (
            message.startswith(f"threats.again: attack 'carlini_wagner' is already in threat {first!r}")
        )

    def test_members_the_whole_and_their_sum_are_told_apart(self) -> None:
        """The study itself has fgsm under all three, in one setting."""
        assert {"white_box", "standalone", "aggregated"} <= set(plan().threats_on("plain"))


class TestStudy:
    def test_defaults_are_a_model_alone(self) -> None:
        chosen = parse().models["main"]
        assert (chosen.seed_offset, chosen.beside, chosen.members) == (0, (), ())

    def test_only_an_ensemble_has_the_method_s_name(self) -> None:
        models = parse().models
        name = declared(VOTES).key(VOTES)
        assert models["plain"].defense_key == name
        assert models["boosted"].defense_key == f"{name}[boosted]"
        assert models["main"].defense_key == "undefended"
        for single in ("taught", "last"):
            assert models[single].defense_key == f"{name}[member]", (
                "no claim is judged by one network of a vote"
            )

    def test_views_of_a_vote_are_an_ensemble_s(self) -> None:
        models = parse().models
        assert (
            models["plain"].attack_losses == models["boosted"].attack_losses == declared(VOTES).attack_losses
        )
        assert "votes" in models["plain"].attack_losses
        assert models["taught"].attack_losses == models["last"].attack_losses == ()

    def test_it_parses_again_from_its_own_source(self) -> None:
        made = parse()
        assert reader.parse(made.source, [("again", made.source)]) == made


class TestWhoAttacksWhom:
    def test_threats(self) -> None:
        made = plan()
        for name in ("plain", "boosted"):
            assert list(made.threats_on(name)) == list(STUDY["threats"])
        assert list(made.threats_on("taught")) == ["white_box", "transfer"]
        assert list(made.threats_on("second")) == ["white_box"], "no model is a source for itself"

    def test_sources(self) -> None:
        made = plan()
        threats = made.study.threats
        assert made.sources("plain", threats["standalone"]) == ("main", "taught", "last")
        assert made.sources("plain", threats["white_box"]) == ("plain",)
        assert made.sources("plain", threats["transfer"]) == ("second",)
        assert made.sources("main", threats["standalone"]) == ()

    def test_targets_that_have_no_members_stand_under_no_such_threat(self) -> None:
        made = plan(
            threat("standalone", targets=["main", "plain"]), threat("aggregated", targets=["main", "plain"])
        )
        assert not {"standalone", "aggregated"} & set(made.threats_on("main"))
        assert "standalone" in made.threats_on("plain")
        assert "standalone" not in made.threats_on("boosted")

    def test_suites(self) -> None:
        made = plan()
        assert made.suites_on("plain") == ["papers", "together", "votes"]
        assert made.suites_on("taught") == ["papers"]
        assert made.attacks_on("taught", "together") == {}
        assert made.attacks_on("taught", "votes") == {}
        only = plan(threat("white_box", targets=["plain"]), threat("transfer", targets=["plain"]))
        assert only.suites_on("taught") == ["papers"], "members are attacked for the ensemble's sake"

    def test_what_is_made_on_a_member_is_kept_for_the_ensemble(self) -> None:
        made = plan()
        for name in ("main", "taught", "last", "second"):
            assert made.transfers(name, "papers")
            assert made.adversarial_path(name, 0, "papers").startswith("results/votes/transfer/")
            assert made.attack(name, 0, "papers").slice["skip_misclassified"] is False
        for name, suite in (("plain", "papers"), ("plain", "together"), ("boosted", "votes")):
            assert not made.transfers(name, suite)
            assert made.adversarial_path(name, 0, suite).startswith("results/votes/adversarial/")

    def test_without_a_standalone_threat_a_member_s_images_are_its_own(self) -> None:
        merged = copy.deepcopy(STUDY)
        del merged["threats"]["standalone"]
        made = Plan(reader.parse(merged, [(FILE, merged)]))
        assert not made.transfers("taught", "papers")
        assert made.transfers("second", "papers")

    def test_evaluation_is_shown_each_member_s_images(self) -> None:
        made = plan()
        job = made.evaluate("boosted", 1, "standalone")
        assert job.slice["sources"] == ["main", "taught", "last"]
        assert job.inputs["adversarial"] == tuple(
            f"results/votes/transfer/{name}/seed1/papers.safetensors" for name in ("main", "taught", "last")
        )
        assert made.evaluate("plain", 0, "white_box").slice["sources"] == ["plain"]
        assert made.evaluate("plain", 0, "aggregated").slice["sources"] == ["members"]
        assert made.attack("plain", 0, "together").slice["aggregated"] is True
        assert "aggregated" not in made.attack("plain", 0, "papers").slice

    def test_narrowed_settings_are_found_by_what_tables_call_the_source(self) -> None:
        made = plan({"suites": {"papers": {"settings": {"fgsm": {"epsilons": [0.2]}}}}}).tabulate()
        places = {
            (row["model"], row["setting"], row["source"])
            for row in made.slice["suite_overrides"]
            if row["model"] == "plain" and row["setting"] != "adaptive"
        }
        assert places == {
            ("plain", "white_box", "plain"),
            ("plain", "white_box", "main"),
            ("plain", "white_box", "taught"),
            ("plain", "white_box", "last"),
            ("plain", "white_box", "member"),
            ("plain", "black_box", "second"),
        }
        narrower = {"suites": {"together": {"settings": {"fgsm": {"epsilons": [0.2]}}}}}
        found = {
            r["setting"]: r
            for r in plan(narrower).tabulate().slice["suite_overrides"]
            if r["model"] == "plain"
        }
        row = found.pop("white_box")
        assert (row["source"], row["attack"], row["settings"]["epsilons"]) == ("members", "fgsm", [0.2])
        assert "view" not in row["settings"]
        assert found.keys() == {"adaptive"}
        assert found["adaptive"]["settings"]["view"] == "votes", (
            "another loss is another setting of the attack"
        )


class TestJobs:
    def test_members_are_trained_and_ensembles_put_together(self) -> None:
        made = plan()
        assert made.trained == ["main", "second", "taught", "last"]
        assert made.assembled == ["plain", "boosted"]
        names = {(job.rule, job.name) for job in made.jobs(("train", "assemble"))}
        assert len(names) == 2 * (4 + 2)
        assert ("assemble", "plain seed 1") in names
        assert ("train", "plain seed 1") not in names
        assert made.make("plain", 0).rule == "assemble"
        assert made.make("taught", 0).rule == "train"

    def test_training_reads_what_stands_beside_of_the_same_seed(self) -> None:
        made = plan()
        job = made.train("last", 1)
        assert job.inputs["beside"] == tuple(
            f"results/votes/models/{name}/seed1/model.safetensors" for name in ("main", "taught")
        )
        assert [network["model"] for network in job.slice["beside"]] == ["main", "taught"]
        assert "beside" not in made.train("main", 0).inputs
        assert {"reproof.defenses.undefended", f"reproof.defenses.{VOTES}"} <= set(job.modules)

    def test_an_ensemble_is_put_together_from_its_members_of_the_same_seed(self) -> None:
        job = plan().assemble("plain", 1)
        assert job.inputs["members"] == tuple(
            f"results/votes/models/{name}/seed1/model.safetensors" for name in ("main", "taught", "last")
        )
        assert job.slice["members"] == ["main", "taught", "last"]
        assert [network["model"] for network in job.slice["networks"]] == ["main", "taught", "last"]
        assert set(job.outputs) == {"model", "separation", "record"}

    def test_no_output_has_two_makers_and_every_input_is_somebody_s_output(self) -> None:
        jobs = list(plan().jobs())
        outputs = [path for job in jobs for path in job.outputs.values()]
        assert len(outputs) == len(set(outputs))
        for job in jobs:
            for paths in job.inputs.values():
                assert set(paths) <= set(outputs), job.name

    def test_jobs_stand_in_the_order_of_the_rules(self) -> None:
        rules = [job.rule for job in plan().jobs()]
        assert rules.index("assemble") > max(i for i, rule in enumerate(rules) if rule == "train")
        assert max(i for i, rule in enumerate(rules) if rule == "assemble") < rules.index("attack")

    def test_the_page_and_the_drawing_read_what_ensembles_leave(self) -> None:
        made = plan()
        draw = made.draw()
        assert draw.slice["models"]["histories"] == made.trained
        assert draw.slice["models"]["separations"] == ["plain", "boosted"]
        assert draw.inputs["separations"] == tuple(
            f"results/votes/models/{name}/seed0/separation.csv" for name in ("plain", "boosted")
        )
        assert "results/votes/models/plain/seed1/record.json" in made.report().inputs["records"]
        experiments = made.tabulate().slice["experiments"]
        epochs = {name: experiments[name]["settings"]["training.epochs"] for name in ("main", "plain")}
        assert epochs == {"main": 2, "plain": [2, 3]}, "an ensemble's are its members'"
        assert experiments["plain"]["settings"]["defense.members"] == 3

    def test_an_ensemble_is_built_of_as_many_networks(self) -> None:
        made = plan()
        data = DataDescription(1, 16, 16, 10, (0.5,), (0.5,))
        for facts in (made.assemble("plain", 0).slice, made.attack("boosted", 0, "papers").slice):
            _, trainee = build.build(facts, data, seed=0)
            assert isinstance(trainee.classifier, Ensemble)
            assert len(trainee.classifier.members) == 3
            assert trainee.classifier.boosted == (facts["model"] == "boosted")
        _, single = build.build(made.train("taught", 0).slice, data, seed=0)
        assert not isinstance(single.classifier, Ensemble)

    def test_outcomes_say_whose_they_are(self) -> None:
        job = plan().evaluate("boosted", 0, "standalone")
        assert {name.removesuffix("_key") for name in job.slice} >= set(IDENTITY)
        assert job.slice["members"] == ["main", "taught", "last"]

    def test_a_sub_command_without_jobs_says_so(self) -> None:
        made = plan()
        assert find(made, "assemble", made.assemble("plain", 1).outputs["model"]).name == "plain seed 1"
        merged = copy.deepcopy(STUDY)
        merged["models"] = {"main": merged["models"]["main"], "second": merged["models"]["second"]}
        for key, kept in (("suites", ("papers",)), ("threats", ("white_box", "transfer"))):
            merged[key] = {name: merged[key][name] for name in kept}
        alone = Plan(reader.parse(merged, [(FILE, merged)]))
        with pytest.raises(StudyError, match="study 'votes' has no assemble job"):
            find(alone, "assemble", None)


def expectations(made: Plan) -> dict[str, str]:
    return {job.name: job.expectation for job in made.jobs(("train", "assemble", "attack", "evaluate"))}


def changed(*changes: Any) -> set[str]:
    before, after = expectations(plan()), expectations(plan(*changes))
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def made_again(*changes: Any) -> set[str]:
    """Return the names of the jobs that differ, and of all that read what they make, at any remove."""
    jobs: list[Job] = list(plan(*changes).jobs(("train", "assemble", "attack", "evaluate")))
    names = changed(*changes)
    while True:
        outputs = {path for job in jobs if job.name in names for path in job.outputs.values()}
        further = {job.name for job in jobs if outputs & {p for paths in job.inputs.values() for p in paths}}
        if further <= names:
            return names
        names |= further


class TestWhatIsMadeAgain:
    def test_a_seed_offset_changes_the_model_s_own_training_alone(self) -> None:
        assert changed({"models": {"second": {"seed_offset": 7}}}) == {"second seed 0", "second seed 1"}
        made = plan()
        assert [made.train("second", seed).slice["seed"] for seed in (0, 1)] == [100, 101]
        assert [made.train("main", seed).slice["seed"] for seed in (0, 1)] == [0, 1]
        assert [made.train("second", seed).seed for seed in (0, 1)] == [0, 1], "the study's own, as in paths"
        assert made.attack("second", 1, "papers").slice["seed"] == 1
        assert made.evaluate("second", 1, "white_box").slice["seed"] == 1

    def test_a_member_s_training_changes_all_that_contains_it(self) -> None:
        change = {"models": {"taught": {"training": {"epochs": 4}}}}
        assert changed(change) == {"taught seed 0", "taught seed 1"}
        again = made_again(change)
        assert {"last seed 0", "plain seed 0", "boosted seed 1", "plain seed 0 together"} <= again
        assert {"plain seed 0 standalone", "boosted seed 0 transfer", "boosted seed 1 adaptive"} <= again
        assert not {name for name in again if name.startswith(("main", "second"))}

    def test_the_last_member_s_training_leaves_those_beside_it(self) -> None:
        again = made_again({"models": {"last": {"training": {"epochs": 4}}}})
        assert {name for name in again if name.startswith(("main", "second", "taught"))} == set()
        assert {"last seed 0", "plain seed 0", "boosted seed 0 transfer"} <= again

    def test_a_member_s_defense_is_known_to_what_builds_it_again(self) -> None:
        again = changed({"models": {"taught": {"defense": {"candidates": 3}}}})
        assert {"taught seed 0", "last seed 0", "plain seed 0", "boosted seed 0"} <= again

    def test_another_order_beside_or_of_members_is_another_model(self) -> None:
        assert {"last seed 0", "last seed 1"} == {
            name
            for name in changed({"models": {"last": {"beside": ["taught", "main"]}}})
            if name.startswith("last seed") and len(name.split()) == 3
        }
        again = changed({"models": {"plain": {"members": ["taught", "main", "last"]}}})
        assert {"plain seed 0", "plain seed 0 white_box", "plain seed 0 together"} <= again
        assert not {name for name in again if not name.startswith("plain")}

    def test_how_an_ensemble_votes_retrains_nobody(self) -> None:
        again = made_again({"models": {"boosted": {"defense": {"candidates": 3}}}})
        assert again
        assert all(name.startswith("boosted") for name in again)

    def test_a_study_without_ensembles_is_as_it_was(self) -> None:
        """What ensembles added to a slice stands only where there are any."""
        made = plan()
        assert not {"beside", "members", "networks"} & set(made.train("main", 0).slice)
        assert set(made.train("main", 0).inputs) == {"data"}
        assert not {"members", "aggregated"} & set(made.attack("main", 0, "papers").slice)


class TestPuttingTogether:
    DATA = DataDescription(1, 16, 16, 10, (0.5,), (0.5,))

    @pytest.fixture
    def made(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
        """Return a plan whose members are there, untrained, and whose test images are noise."""
        images = torch.randint(0, 256, (40, 1, 16, 16), generator=torch.Generator().manual_seed(0))
        empty = torch.arange(0)
        data = Dataset(
            name="noise",
            images=images.to(torch.uint8),
            labels=torch.arange(40) % 10,
            splits={"train": empty, "validation": empty, "test": torch.arange(40)},
            description=self.DATA,
        )
        monkeypatch.setattr(prepared, "read_dataset", lambda path: data)
        monkeypatch.setattr(artifacts, "verify", lambda path: "")
        made = Plan(parse(), root=str(tmp_path))
        for seed, name in enumerate(("main", "taught", "last"), start=1):
            _, trainee = build.build(made.train(name, 0).slice, self.DATA, seed)
            artifacts.write_tensors(
                Path(made.train(name, 0).outputs["model"]), trainee.state_dict(), {"network": {}}
            )
        return made

    def test_the_members_weights_stand_in_the_order_of_the_entry(self, made: Plan) -> None:
        job, run = made.assemble("plain", 0), Run(job={})
        assemble(job, run)
        _, trainee = build.load(job.slice, self.DATA, Path(job.outputs["model"]))
        assert isinstance(trainee.classifier, Ensemble)
        for seed, member in enumerate(trainee.classifier.members, start=1):
            _, alone = build.build(made.train("main", 0).slice, self.DATA, seed)
            expected = alone.classifier.state_dict()
            assert all(torch.equal(value, expected[name]) for name, value in member.state_dict().items())
        assert run.notes["parameters"] == 3 * sum(p.numel() for p in alone.classifier.parameters())
        rows = SEPARATION.rows(SEPARATION.read(Path(job.outputs["separation"])))
        assert [(row["first"], row["second"]) for row in rows] == [
            ("main", "taught"),
            ("main", "last"),
            ("taught", "last"),
            ("main", "all others"),
            ("taught", "all others"),
            ("last", "all others"),
            ("mean", ""),
        ]
        assert {Path(path) for path in job.outputs.values()} - set(run.files) == {Path(job.outputs["record"])}

    def test_a_member_whose_defense_changed_the_network_is_named(self, made: Plan) -> None:
        """A study can declare some of them; the weights of the others tell."""
        path = Path(made.train("taught", 0).outputs["model"])
        job = made.assemble("plain", 0)
        wider = {**job.slice, "networks": copy.deepcopy(job.slice["networks"])}
        wider["networks"][1]["architecture"]["width"] = 0.5
        _, trainee = build.build(wider["networks"][1], self.DATA, 0)
        artifacts.write_tensors(path, trainee.state_dict(), {"network": {}})
        with pytest.raises(StudyError) as caught:
            assemble(Job(**{**vars(job), "slice": wider}), Run(job={}))
        assert str(caught.value).startswith(
            "models.plain.members: the defense of taught changes its network, and a member is a plain network"
        )
        assert not Path(job.outputs["model"]).exists()

    def test_training_goes_on_from_no_checkpoint_that_stood_beside_other_weights(
        self, made: Plan, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[tuple[str, Any]] = []

        def begin(defense: Any, *_: Any, digest: str, **__: Any) -> None:
            seen.append((digest, defense.peers))
            raise InterruptedError

        monkeypatch.setattr(loop, "train", begin)
        for name, hashed in (("last", "a"), ("last", "a"), ("last", "b"), ("main", "b")):
            monkeypatch.setattr(artifacts, "verify", lambda path, hashed=hashed: hashed + path.parts[-3])
            with pytest.raises(InterruptedError):
                train(made.train(name, 0), Run(job={}))
        first, again, other, alone = (digest for digest, _ in seen)
        assert first == again != other
        assert alone == made.train("main", 0).digest, "what stands beside nothing is as it was"
        beside = seen[0][1]
        assert len(beside) == 2
        assert not any(network.training for network in beside)
        assert not any(parameter.requires_grad for network in beside for parameter in network.parameters())
        first_weights, second_weights = (next(network.parameters()) for network in beside)
        assert not torch.equal(first_weights, second_weights)

    def test_an_aggregated_suite_is_the_sum_of_what_is_made_on_each_member(self, made: Plan) -> None:
        assemble(made.assemble("plain", 0), Run(job={}))
        crafted = {}
        for name, suite in (
            *((name, "papers") for name in ("main", "taught", "last")),
            ("plain", "together"),
        ):
            job, run = made.attack(name, 0, suite), Run(job={})
            Path(job.outputs["adversarial"]).parent.mkdir(parents=True, exist_ok=True)
            attack(job, run)
            crafted[name], _ = artifacts.read_tensors(Path(job.outputs["adversarial"]))
        clean = prepared.read_dataset(Path()).select("test", 20)[0].float() / 255
        total = sum(
            (crafted[name]["fgsm/epsilon=0.1"] - clean for name in ("main", "taught", "last")),
            torch.zeros_like(clean),
        )
        expected = (clean + total.clamp(-0.1, 0.1)).clamp(0, 1)
        torch.testing.assert_close(crafted["plain"]["fgsm/epsilon=0.1"], expected)
        assert crafted["plain"].keys() == {"labels", "fgsm/epsilon=0.1", "carlini_wagner/c=1"}
        assert run.notes["fgsm"]["attacked"] == 3 * 20, "misclassified images too, for every member"
        assert run.notes["fgsm"]["images"] == 20
        assert set(run.notes["fgsm"]["seconds"]) == {"epsilon=0.1"}
