from __future__ import annotations

import ast
import inspect
import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import TINY
from pydantic import Field

from reproof import registry
from reproof.errors import StudyError
from reproof.plan.jobs import Plan
from reproof.settings.attack import Point
from reproof.settings.defense import DefenseSettings
from reproof.settings.values import Count, Number, Settings, format_number, parse_count, parse_number
from reproof.study import layers, reader
from reproof.study import model as study_model
from tests.ours import cases_here


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8/255", 8 / 255),
        ("1e-3", 0.001),
        (" 4 / 255 ", 4 / 255),
        (0.3, 0.3),
        (1, 1),
        ("-2.5E+1", -25.0),
        ("1/3", 1 / 3),
    ],
)
def test_numbers_as_yaml_gives_them(text: Any, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize("text", ["8/0", "a/255", "", "0.3.1", True, None, [1], "1/2/3", f"{10**400}/3"])
def test_what_is_no_number_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="number"):
        parse_number(text)


def test_counts() -> None:
    assert parse_count("1e3") == 1000
    assert parse_count(3.0) == 3
    for value in (2.5, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="whole"):
            parse_count(value)


@pytest.mark.parametrize(
    ("value", "text"), [(0.3, "0.3"), (10.0, "10"), (1e-6, "1e-06"), (8 / 255, "0.03137254901960784")]
)
def test_number_text_reads_back_as_the_same_number(value: float, text: str) -> None:
    assert format_number(value) == text
    assert float(text) == value


def test_three_close_budgets_stay_three() -> None:
    names = {Point(name="epsilon", value=e, epsilon=e).parameters for e in (8 / 255, 0.03, 0.031)}
    assert len(names) == 3


def test_unknown_key_of_settings_names_the_nearest() -> None:
    class Example(Settings):
        momentum: Number = 0.9
        steps: Count = Field(1)

    with pytest.raises(ValueError, match="did you mean 'momentum'"):
        Example.model_validate({"momentun": 1})
    with pytest.raises(ValueError, match="there are: momentum, steps"):
        Example.model_validate({"zzz": 1})


def test_merge_goes_key_by_key_and_replaces_another_kind() -> None:
    base = {"a": {"kind": "x", "width": 1, "deep": {"p": 1}}, "b": [1, 2], "c": 3}
    assert layers.merge(base, {"a": {"deep": {"q": 2}}, "b": [9]}) == {
        "a": {"kind": "x", "width": 1, "deep": {"p": 1, "q": 2}}, "b": [9], "c": 3,
    }  # fmt: skip
    assert layers.merge(base, {"a": {"kind": "y", "depth": 2}})["a"] == {"kind": "y", "depth": 2}
    assert base["a"] == {"kind": "x", "width": 1, "deep": {"p": 1}}, "the base is not changed"


def load(tmp_path: Path, *overlays: str, **values: Any) -> study_model.Study:
    paths = []
    for number, text in enumerate((TINY, *overlays)):
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_text(text)
    return reader.load(paths, values)


def test_overlay_adds_changes_and_takes_away(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        "study: other\ntraining: {epochs: 3}\nmodels:\n  centred: null\n  new: {defense: {kind: undefended}}\n"
        "suites: {adaptive: null}\nthreats: {adaptive: null}\n",
    )
    assert loaded.name == "other"
    assert list(loaded.models) == ["plain", "new"]
    assert loaded.models["plain"].training.epochs == 3
    assert loaded.models["plain"].training.batch_size == 128, "what the overlay leaves out stays"
    assert list(loaded.threats) == ["white_box", "black_box"]


def test_values_on_the_command_line_come_last(tmp_path: Path) -> None:
    assert load(tmp_path, "seeds: [1]", seeds=["2", "3"]).seeds == (2, 3)


def test_model_lays_its_training_over_the_studys(tmp_path: Path) -> None:
    loaded = load(
        tmp_path, "models: {plain: {training: {epochs: 7, adversarial: {attack: fgsm, epsilon: 8/255}}}}"
    )
    plain, centred = loaded.models["plain"], loaded.models["centred"]
    assert (plain.training.epochs, centred.training.epochs) == (7, 1)
    assert plain.training.adversarial is not None
    assert plain.training.adversarial.epsilon == 8 / 255
    assert (plain.training_key, centred.training_key) == ("fgsm", "clean")


def test_study_parses_again_from_its_own_source(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    again = reader.parse(loaded.source, [("again", loaded.source)], loaded.files)
    assert again == loaded


def test_study_is_frozen(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    with pytest.raises(AttributeError):
        loaded.name = "x"  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        loaded.suites["papers"].images = 3


def test_keys_of_claims(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        "models:\n"
        "  fgsm: {defense: {kind: undefended}, training: {adversarial: {attack: fgsm, epsilon: 0.1}}}\n",
    )
    keys = {name: (m.architecture_key, m.defense_key, m.training_key) for name, m in loaded.models.items()}
    del keys["centred"]
    assert keys == {
        "plain": ("cnn6", "undefended", "clean"),
        "fgsm": ("cnn6", "undefended", "fgsm"),
    }


@pytest.mark.parametrize(
    ("architecture", "key"),
    cases_here("architectures", [("vgg", "vgg19"), ("resnet", "resnet110"), ("cnn6", "cnn6")]),
)
def test_key_of_an_architecture_says_its_depth(architecture: str, key: str, tmp_path: Path) -> None:
    depth = f", depth: {key.removeprefix(architecture)}" if key != architecture else ""
    entry = f"{{architecture: {{kind: {architecture}{depth}}}, defense: {{kind: undefended}}}}"
    assert load(tmp_path, f"models: {{deep: {entry}}}").models["deep"].architecture_key == key


def _stands_alone(kind: str) -> bool:
    settings = registry.settings_class("defenses", kind)
    return issubclass(settings, DefenseSettings) and not (settings.votes or settings.learns_beside)


@pytest.mark.parametrize("kind", list(filter(_stands_alone, registry.names("defenses"))))
def test_keys_of_claims_say_what_the_defense_itself_trains_on_and_its_variant(
    kind: str, tmp_path: Path
) -> None:
    settings = registry.settings_class("defenses", kind)()
    assert isinstance(settings, DefenseSettings)
    entry = f"{{defense: {{kind: {kind}}}, training: {{epochs: 9}}}}"
    model = load(tmp_path, f"models: {{new: {entry}}}").models["new"]
    assert (model.defense_key, model.training_key) == (settings.key(kind), settings.trains_on)


# The plan.


def test_jobs_of_the_tiny_study(tmp_path: Path) -> None:
    plan = Plan(load(tmp_path))
    made = {(job.rule, job.name) for job in plan.jobs()}
    assert made == {
        ("prepare", "digits"),
        ("train", "plain seed 0"),
        ("train", "centred seed 0"),
        ("attack", "plain seed 0 papers"),
        ("attack", "centred seed 0 papers"),
        ("attack", "centred seed 0 adaptive"),
        ("evaluate", "plain seed 0 white_box"),
        ("evaluate", "centred seed 0 white_box"),
        ("evaluate", "centred seed 0 adaptive"),
        ("evaluate", "centred seed 0 black_box"),
        ("tabulate", "tiny"),
        ("draw", "tiny"),
        ("report", "tiny"),
    }


def test_seeds_multiply_jobs_and_no_output_has_two_makers(tmp_path: Path) -> None:
    plan = Plan(load(tmp_path, "seeds: [0, 1, 2]"))
    assert len(list(plan.jobs(["train"]))) == 6
    assert len(list(plan.jobs(["evaluate"]))) == 12
    outputs = [path for job in plan.jobs() for path in job.outputs.values()]
    assert len(outputs) == len(set(outputs))


def test_every_input_is_somebodys_output(tmp_path: Path) -> None:
    jobs = list(Plan(load(tmp_path)).jobs())
    outputs = {path for job in jobs for path in job.outputs.values()}
    for job in jobs:
        for paths in job.inputs.values():
            assert set(paths) <= outputs, job.name


def test_transferred_images_are_made_for_mistaken_images_too(tmp_path: Path) -> None:
    plan = Plan(load(tmp_path))
    assert plan.attack("plain", 0, "papers").slice["skip_misclassified"] is False, (
        "it is the source of black_box"
    )
    assert plan.attack("centred", 0, "papers").slice["skip_misclassified"] is True


def test_transferred_images_lie_apart_where_they_are_kept(tmp_path: Path) -> None:
    plan = Plan(load(tmp_path))
    assert (
        plan.adversarial_path("plain", 0, "papers") == "results/tiny/transfer/plain/seed0/papers.safetensors"
    )
    assert plan.adversarial_path("centred", 0, "papers").startswith("results/tiny/adversarial/")
    assert plan.evaluate("plain", 0, "white_box").inputs["adversarial"] == (
        "results/tiny/transfer/plain/seed0/papers.safetensors",
    )


def test_undefended_model_stands_under_no_adaptive_threat(tmp_path: Path) -> None:
    plan = Plan(load(tmp_path, "threats: {adaptive: {targets: null}}"))
    assert "adaptive" not in plan.threats_on("plain")
    assert "adaptive" in plan.threats_on("centred")


def test_expectation_depends_on_the_slice_of_the_job_alone(tmp_path: Path) -> None:
    def expectations(*overlays: str) -> dict[str, str]:
        return {
            job.name: job.expectation
            for job in Plan(load(tmp_path, *overlays)).jobs(["train", "attack", "evaluate"])
        }

    before = expectations()
    after = expectations("attacks: {pgd: {steps: 3}}")
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {name for name in before if "papers" in name or "adaptive" in name or "_box" in name}
    after = expectations("models: {centred: {defense: {weight: 0.5}}}")
    assert {name for name in before if before[name] != after[name]} == {
        n for n in before if n.startswith("centred")
    }
    assert expectations("title: Other\nsmoke: false\n") == before


def test_same_study_has_the_same_expectations(tmp_path: Path) -> None:
    first = [job.expectation for job in Plan(load(tmp_path)).jobs()]
    assert [job.expectation for job in Plan(load(tmp_path)).jobs()] == first


def test_plugins_settings_are_read_without_the_rest_of_their_file() -> None:
    for family in registry.FAMILIES:
        for name in registry.names(family):
            declared = registry.settings_class(family, name).model_json_schema()
            real = registry.load(family, name).Settings.model_json_schema()
            assert undescribed(declared) == undescribed(real)


def test_fields_of_plugins_are_described_by_their_docstrings() -> None:
    for family in registry.FAMILIES:
        for name in registry.names(family):
            source = ast.parse(registry.require(family, name).read_text(encoding="utf-8"))
            (settings,) = (
                node for node in source.body if isinstance(node, ast.ClassDef) and node.name == "Settings"
            )
            written = {
                statement.target.id: inspect.cleandoc(following.value.value)
                for statement, following in itertools.pairwise(settings.body)
                if isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
                and isinstance(following.value.value, str)
            }
            fields = registry.settings_class(family, name).model_json_schema().get("properties", {})
            found = {field: schema.get("description") for field, schema in fields.items() if field in written}
            assert found == {field: written[field] for field in found}


def undescribed(schema: Any) -> Any:
    """Return a JSON schema without descriptions: those of a plugin are only read for the study's schema."""
    if isinstance(schema, dict):
        return {key: undescribed(value) for key, value in schema.items() if key != "description"}
    return [undescribed(value) for value in schema] if isinstance(schema, list) else schema


def test_unknown_plugin_is_named() -> None:
    with pytest.raises(StudyError, match="did you mean 'cnn6'"):
        registry.require("architectures", "cnn5")
    with pytest.raises(StudyError, match=f"there are: {', '.join(registry.names('attacks'))}"):
        registry.require("attacks", "zzz")


# Budgets, and studies that stand alone.

BUDGETS = """\
budget: quick
budgets:
  quick: {training: {epochs: 2}, seeds: [5]}
  paper:
    study: tiny_paper
    title: As in the paper
    training: {epochs: 9, batch_size: 16}
    models: {plain: {training: {epochs: 11}}, centred: null, wide: {defense: {kind: undefended}}}
    attacks: {pgd: {kind: fgsm, epsilons: [0.2]}}
    suites: {adaptive: null}
    threats: {adaptive: null}
"""


def test_budget_lies_over_its_file_and_under_later_ones_and_the_command_line(tmp_path: Path) -> None:
    quick = load(tmp_path, BUDGETS)
    assert (quick.models["plain"].training.epochs, quick.seeds, quick.budget) == (2, (5,), "quick")
    assert quick.name == "tiny"
    later = "training: {epochs: 7}\nseeds: [3]\n"
    mine = load(tmp_path, BUDGETS, later, budget="paper")
    assert (mine.models["wide"].training.epochs, mine.models["wide"].training.batch_size) == (7, 16)
    assert mine.models["plain"].training.epochs == 11, "a model's own word is not the study's"
    assert (mine.seeds, mine.budget, mine.name) == ((3,), "paper", "tiny_paper")
    values = load(tmp_path, BUDGETS, later, budget="paper", seeds=[1], training={"epochs": 1})
    assert (values.models["wide"].training.epochs, values.models["wide"].training.batch_size) == (1, 16)
    assert values.seeds == (1,)
    with pytest.raises(StudyError, match=r"2\.yaml: training\.epochs:"):
        load(tmp_path, BUDGETS, "training: {epochs: 0}\n", budget="paper")


def test_budget_that_was_removed_begins_anew(tmp_path: Path) -> None:
    again = load(tmp_path, BUDGETS, "budgets: {quick: null}\n", "budgets: {quick: {training: {epochs: 3}}}\n")
    assert again.models["plain"].training.epochs == 3
    assert again.seeds == load(tmp_path).seeds, "of the first `quick` nothing is left"


def test_budget_merges_like_a_file(tmp_path: Path) -> None:
    paper = load(tmp_path, BUDGETS, budget="paper")
    assert list(paper.models) == ["plain", "wide"]
    assert paper.models["plain"].title == "Plain", "what the budget leaves out stays"
    alone = load(tmp_path, "attacks: {alone: {kind: fgsm, epsilons: [0.2]}}").attacks["alone"]
    assert paper.attacks["pgd"].dump() == alone.dump(), "another kind keeps nothing of the one before it"
    assert list(paper.threats) == ["white_box", "black_box"]
    assert Plan(paper).folder == "results/tiny_paper"


def test_later_file_changes_adds_removes_and_chooses_a_budget(tmp_path: Path) -> None:
    later = (
        "budget: middle\nbudgets:\n  paper: {training: {epochs: 10}}\n  quick: null\n"
        "  middle: {training: {epochs: 4}}\n"
    )
    assert load(tmp_path, BUDGETS, later).models["plain"].training.epochs == 4
    paper = load(tmp_path, BUDGETS, later, budget="paper")
    assert (paper.models["wide"].training.epochs, paper.models["wide"].training.batch_size) == (10, 16)
    with pytest.raises(
        StudyError, match=r"--config: budget: no budget is called 'quick'; there are: paper, middle"
    ):
        load(tmp_path, BUDGETS, later, budget="quick")
    again = load(tmp_path, BUDGETS, budgets={"quick": {"training": {"epochs": 6}}})
    assert again.models["plain"].training.epochs == 6


@pytest.mark.parametrize(
    ("overlay", "values", "message"),
    [
        (BUDGETS, {"budget": "papr"}, "--config: budget: no budget is called 'papr'; did you mean 'paper'?"),
        (BUDGETS, {"budget": 3}, "--config: budget: no budget is called 3; there are: quick, paper"),
        (
            BUDGETS.replace("budget: quick", "budget: quik", 1),
            {},
            "1.yaml: budget: no budget is called 'quik'; did",
        ),
        (
            BUDGETS.replace("budget: quick\n", "", 1),
            {},
            "1.yaml: budget: which of the budgets? there are: quick, pap",
        ),
        (
            "title: none\n",
            {"budget": "paper"},
            "--config: budget: no budget is called 'paper'; this study has none",
        ),
        ("budget: paper\nbudgets: [paper]\n", {}, "1.yaml: budgets: input should be a valid dictionary"),
        (
            "budget: paper\nbudgets: {paper: 3}\n",
            {},
            "1.yaml: budgets.paper: input should be a valid dictionary",
        ),
    ],
)
def test_budget_that_is_not_there_is_named(
    tmp_path: Path, overlay: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(StudyError, match=re.escape(message)):
        load(tmp_path, overlay, **values)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs: 9", "epochs: many", "1.yaml: budgets.paper.training.epochs: should be a number"),
        ("epochs: 9", "epochs: 0", "1.yaml: budgets.paper.training.epochs: input should be greater than"),
        (
            "epochs: 9",
            "epoch: 9",
            "1.yaml: budgets.paper.training: unknown key 'epoch'; did you mean 'epochs'?",
        ),
        (
            "epochs: 11",
            "epochs: no",
            "1.yaml: budgets.paper.models.plain.training.epochs: should be a number",
        ),
        (
            "epsilons: [0.2]",
            "epsilons: [2]",
            "1.yaml: budgets.paper.attacks.pgd.epsilons[0]: input should be less",
        ),
        (
            "kind: undefended",
            "kind: undefnded",
            "1.yaml: budgets.paper.models.wide.defense: no kind is called",
        ),
        ("    suites: {adaptive: null}\n", "", "1.yaml: budgets.paper.models.centred"),
        (
            "threats: {adaptive: null}",
            "threats: {adaptive: {suite: adaptve}}",
            "1.yaml: budgets.paper.threats.adapti",
        ),
        ("study: tiny_paper", "study: Tiny", "1.yaml: budgets.paper.study: string should match"),
        (
            "    title: As",
            "    titel: As",
            "1.yaml: budgets.paper: unknown key 'titel'; did you mean 'title'?",
        ),
        ("    title: As in the paper", "    budget: quick", "1.yaml: budgets.paper: unknown key 'budget'"),
        (
            "wide: {defense: {kind: undefended}}",
            "wide: {title: Wide}",
            "1.yaml: budgets.paper.models.wide.defense",
        ),
    ],
)
def test_mistake_in_the_chosen_budget_is_named_by_its_place(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert BUDGETS.count(old) == 1
    wrong = BUDGETS.replace(old, new)
    if not new:
        wrong = wrong.replace("centred: null, ", "").replace(
            "epochs: 11}}", "epochs: 11}}, centred: {defence: 1}"
        )
    with pytest.raises(StudyError) as caught:
        load(tmp_path, wrong, "title: A later file\n", budget="paper")
    assert message in str(caught.value)


def test_mistake_in_a_budget_that_was_not_chosen_is_found_as_far_as_its_keys_tell(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"1\.yaml: budgets\.paper\.training: unknown key 'epoch'"):
        load(tmp_path, BUDGETS.replace("epochs: 9", "epoch: 9"))
    with pytest.raises(
        StudyError, match=r"1\.yaml: budgets\.paper\.models\.plain\.training\.epochs: should be"
    ):
        load(tmp_path, BUDGETS.replace("epochs: 11", "epochs: some"))


def test_mistake_beside_the_budget_is_not_laid_to_it(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"2\.yaml: training\.batch_size: should be a number"):
        load(tmp_path, BUDGETS, "training: {batch_size: some}")
    with pytest.raises(StudyError, match=r"--config: training\.epochs: should be a number"):
        load(tmp_path, BUDGETS, training={"epochs": "some"})
    wrong = BUDGETS.replace("epochs: 2", "epochs: some")
    with pytest.raises(StudyError, match=r"1\.yaml: budgets\.quick\.training\.epochs: should be a number"):
        load(tmp_path, wrong, "training: {batch_size: 3}")
    with pytest.raises(StudyError, match=r"2\.yaml: training\.epochs: should be a number"):
        load(tmp_path, wrong, "training: {epochs: some}")


def test_study_with_a_budget_parses_again_from_its_own_source(tmp_path: Path) -> None:
    loaded = load(tmp_path, BUDGETS, budget="paper")
    assert "budgets" not in loaded.source
    assert reader.parse(loaded.source, [("again", loaded.source)], loaded.files, loaded.overrides) == loaded


def test_command_of_a_job_names_files_and_values(tmp_path: Path) -> None:
    loaded = load(tmp_path, BUDGETS, budget="paper", seeds=[0, 1], title="3")
    overlay = tmp_path / "1.yaml"
    assert Plan(loaded).train("wide", 1).command == (
        f"snakemake --cores all --configfile {overlay} --config budget=paper 'seeds=[0, 1]' 'title=\"3\"' "
        "--force results/tiny_paper/models/wide/seed1/model.safetensors"
    )
    words = shlex.split(Plan(loaded).train("wide", 1).command)
    read = {pair.partition("=")[0]: yaml.safe_load(pair.partition("=")[2]) for pair in words[6:9]}
    assert read == loaded.overrides


def test_study_that_stands_alone_drops_what_stands_before_it(tmp_path: Path) -> None:
    alone = "alone: true\n" + TINY.replace("study: tiny", "study: other").replace("  plain:", "  single:")
    alone = alone.replace("source: plain", "source: single")
    below = "models: {more: {defense: {kind: undefended}}}\nlooks: 3\n"
    loaded = load(tmp_path, below, alone, "training: {epochs: 8}")
    assert (loaded.name, list(loaded.models), loaded.looks) == ("other", ["single", "centred"], 1)
    assert loaded.models["single"].training.epochs == 8, "later files are laid over it"
    assert len(loaded.files) == 4, "the command line stays as it was"
    with pytest.raises(StudyError, match=r"1\.yaml: alone"):
        load(tmp_path, "alone: maybe\n")
    with pytest.raises(StudyError, match=r"2\.yaml: datasets: this key is missing"):
        load(tmp_path, below, "alone: true\nstudy: other\nseeds: [0]\ndataset: digits\narchitecture: {kind: cnn6}\n"
             "training: {epochs: 1, learning_rate: 1}\n")  # fmt: skip


def test_suite_sets_an_attack_otherwise_under_the_same_name(tmp_path: Path) -> None:
    loaded = load(tmp_path, "suites: {adaptive: {settings: {pgd: {epsilons: [8/255], images: 7}}}}")
    plan = Plan(loaded)
    papers, adaptive = plan.attacks_on("centred", "papers"), plan.attacks_on("centred", "adaptive")
    assert papers["pgd"].settings.epsilons == (0.3,)
    assert (adaptive["pgd"].settings.epsilons, adaptive["pgd"].settings.steps) == ((8 / 255,), 2)
    assert plan.attack("centred", 0, "adaptive").slice["attacks"]["pgd"]["images"] == 7
    assert plan.evaluate("centred", 0, "adaptive").slice["attacks"]["pgd"]["epsilons"] == ["8/255"]
    assert (
        plan.attack("centred", 0, "papers").expectation
        == Plan(load(tmp_path)).attack("centred", 0, "papers").expectation
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "{pdg: {}}",
            "1.yaml: suites.adaptive.settings.pdg: no attack of it is called 'pdg'; did you mean 'pgd'?",
        ),
        (
            "{fgsm: {}}",
            "1.yaml: suites.adaptive.settings.fgsm: no attack of it is called 'fgsm'; there are: pgd",
        ),
        (
            "{pgd: {epsilons: [2]}}",
            "1.yaml: suites.adaptive.settings.pgd: epsilons: 2 should be less than or equal to 1",
        ),
        (
            "{pgd: {step: 2}}",
            "1.yaml: suites.adaptive.settings.pgd: unknown key 'step'; did you mean 'steps'?",
        ),
        ("{pgd: {kind: bim}}", "1.yaml: suites.adaptive.settings.pgd: unknown key 'kind'"),
        ("{pgd: 3}", "1.yaml: suites.adaptive.settings.pgd: input should be a valid dictionary"),
    ],
)
def test_mistake_in_what_a_suite_sets_is_named(tmp_path: Path, settings: str, message: str) -> None:
    with pytest.raises(StudyError, match=re.escape(message)):
        load(tmp_path, f"suites: {{adaptive: {{settings: {settings}}}}}")


def test_threat_keeps_to_its_data_set(tmp_path: Path) -> None:
    more = (
        "datasets: {small: {kind: digits, image_size: 12}}\n"
        "models: {other: {dataset: small, defense: {kind: undefended}}}\n"
        "suites: {small: {attacks: [pgd], images: 10}}\n"
        "threats:\n  white_box: {dataset: digits}\n  small: {setting: white_box, suite: small, dataset: small}\n"
    )
    plan = Plan(load(tmp_path, more))
    assert list(plan.threats_on("plain")) == ["white_box"]
    assert list(plan.threats_on("centred")) == ["white_box", "adaptive", "black_box"]
    assert list(plan.threats_on("other")) == ["small"]
    with pytest.raises(
        StudyError, match=r"threats\.small\.dataset: no data set is called 'smal'; did you mean 'small'"
    ):
        load(tmp_path, more.replace("dataset: small}\n", "dataset: smal}\n"))
    with pytest.raises(StudyError, match=r"threats\.small: attack 'pgd' is already in threat 'white_box'"):
        load(tmp_path, more.replace("white_box: {dataset: digits}", "white_box: {}"))


def test_yaml_merge_keys_are_read_and_keys_that_stand_twice_still_refused(tmp_path: Path) -> None:
    file = tmp_path / "merge.yaml"
    file.write_text("one: &one {a: 1, b: 2}\ntwo: {<<: *one, b: 3}\n")
    assert layers.read_yaml(file) == {"one": {"a": 1, "b": 2}, "two": {"a": 1, "b": 3}}
    file.write_text("one: &one {a: 1}\ntwo: {<<: *one, b: 3, b: 4}\n")
    with pytest.raises(StudyError, match=r"line 2.*the key 'b' stands twice"):
        layers.read_yaml(file)
    file.write_text("one: 1\n? [1, 2]\n: 3\n")
    with pytest.raises(StudyError, match=r"line 2.*no key is \[1, 2\]"):
        layers.read_yaml(file)


def test_unknown_key_is_laid_to_the_file_that_has_it(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"1\.yaml: training: unknown key 'epoch'"):
        load(tmp_path, "training: {epoch: 3}", "training: {epochs: 3}")
    with pytest.raises(StudyError, match=r"1\.yaml: unknown key 'sedes'"):
        load(tmp_path, "sedes: [3]", "seeds: [3]")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("budget: [a]", "budget"),
        ("budget: {a: b}", "budget"),
        ("budgets: {1: {}}", "budgets"),
        ("budget: quick\nbudgets: {1: {}}", "budgets"),
        ("title: 2020-13-45", "not valid YAML"),
        ("2020-13-45: x", "not valid YAML"),
        ("title: !!int abc", "not valid YAML"),
        ("title: !!bool x", "not valid YAML"),
        ("title: !!timestamp foo", "not valid YAML"),
        ("title: !!int ''", "not valid YAML"),
        ("title: !!binary aGk=", "no binary values"),
    ],
)
def test_odd_yaml_ends_in_one_message(text: str, words: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    (tmp_path / "odd.yaml").write_text(f"{text}\n", encoding="utf-8")
    alone = [path for path in sorted(root.glob("studies/*.yaml")) if "alone: true" in path.read_text("utf-8")]
    for base in (root / "config.yaml", *alone[:1]):
        with pytest.raises(StudyError, match=words):
            reader.load([base, tmp_path / "odd.yaml"])


@pytest.mark.parametrize(
    "text",
    [
        "seeds: [-1]",
        "seeds: [1234567890123456789012]",
        "models: {plain: {seed_offset: 1234567890123456789012}}",
        "training: {epochs: 1234567890123456789012}",
        "suites: {papers: {images: 1234567890123456789012}}",
        "datasets: {digits: {split_seed: -1}}",
    ],
)
def test_a_number_that_no_machine_takes_is_named_before_the_first_job(text: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"should be (less|greater) than"):
        load(tmp_path, text)
