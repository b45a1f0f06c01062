from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from project import TINY
from pydantic import Field

from reproof import registry, study
from reproof.errors import StudyError
from reproof.plan import Plan
from reproof.settings import Count, Number, Point, Settings, format_number, parse_count, parse_number


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


@pytest.mark.parametrize("text", ["8/0", "a/255", "", "0.3.1", True, None, [1], "1/2/3"])
def test_what_is_no_number_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="number"):
        parse_number(text)


def test_counts() -> None:
    assert parse_count("1e3") == 1000
    assert parse_count(3.0) == 3
    with pytest.raises(ValueError, match="whole"):
        parse_count(2.5)


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
    assert study.merge(base, {"a": {"deep": {"q": 2}}, "b": [9]}) == {
        "a": {"kind": "x", "width": 1, "deep": {"p": 1, "q": 2}}, "b": [9], "c": 3,
    }  # fmt: skip
    assert study.merge(base, {"a": {"kind": "y", "depth": 2}})["a"] == {"kind": "y", "depth": 2}
    assert base["a"] == {"kind": "x", "width": 1, "deep": {"p": 1}}, "the base is not changed"


def load(tmp_path: Path, *overlays: str, **values: Any) -> study.Study:
    paths = []
    for number, text in enumerate((TINY, *overlays)):
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_text(text)
    return study.load(paths, values)


def test_overlay_adds_changes_and_takes_away(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        "study: other\ntraining: {epochs: 3}\nmodels:\n  centred: null\n  new: {defense: {kind: pgd_training}}\n"
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
    again = study.parse(loaded.source, [("again", loaded.source)], loaded.files)
    assert again == loaded


def test_study_is_frozen(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    with pytest.raises(AttributeError):
        loaded.name = "x"  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        loaded.suites["papers"].images = 3


def test_keys_of_claims() -> None:
    file = Path(__file__).parents[2] / "config.yaml"
    loaded = study.load([file])
    keys = {name: (m.architecture_key, m.defense_key, m.training_key) for name, m in loaded.models.items()}
    assert keys["undefended"] == ("cnn6", "undefended", "clean")
    assert keys["pgd_training"] == ("cnn6", "pgd_training", "pgd")
    assert keys["prototype_conformity_fgsm"] == ("cnn6", "prototype_conformity", "fgsm")
    assert keys["prototype_conformity_released"] == ("cnn6", "prototype_conformity[released_code]", "clean")
    assert keys["vgg19"] == ("vgg19", "undefended", "clean")


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
            declared = registry.settings_class(family, name)
            real = registry.load(family, name).Settings
            assert declared.model_json_schema() == real.model_json_schema()


def test_unknown_plugin_is_named() -> None:
    with pytest.raises(StudyError, match="did you mean 'lenet'"):
        registry.require("architectures", "lennet")
    with pytest.raises(StudyError, match="there are: bim"):
        registry.require("attacks", "zzz")
