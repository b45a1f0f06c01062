"""A study file's types: config entries through the registry, parts such as budgets, the JSON schema for editors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel, ValidationError

from reproof import cli, registry
from reproof.settings.values import Settings
from reproof.study import layers, plug_in, reader, schema
from reproof.study.messages import real_path, sentence
from reproof.study.model import Choice
from reproof.study.plug_in import defense_settings
from tests.ours import needs

ROOT = Path(__file__).parents[3]
ATTACKS = ", ".join(registry.names("attacks"))
SHAPING = [kind for kind in registry.names("defenses") if defense_settings(kind).shapes_network]


class Example(BaseModel):
    defense: schema.Defense
    attack: schema.Attack | None = None


def mistake(**entries: Any) -> tuple[list[Any], str]:
    """Return where the first mistake stands, and its sentence."""
    with pytest.raises(ValidationError) as caught:
        Example.model_validate({"defense": {"kind": "undefended"}, **entries})
    first = caught.value.errors()[0]
    return real_path(entries, first["loc"]), sentence(first)


def test_an_entry_is_read_into_a_choice() -> None:
    read = Example.model_validate(
        {"defense": {"kind": "undefended"}, "attack": {"kind": "fgsm", "epsilons": ["8/255"]}}
    )
    assert read.attack is not None
    assert (read.attack.kind, read.attack.settings.epsilons) == ("fgsm", (8 / 255,))
    assert type(read.attack.settings) is registry.settings_class("attacks", "fgsm")
    assert read.attack.dump()["kind"] == "fgsm"
    assert read.defense == Choice("undefended", registry.settings_class("defenses", "undefended")())


@pytest.mark.skipif(not SHAPING, reason="every defense that shapes the network was deleted")
def test_a_defense_is_built_on_one_that_shapes_the_network() -> None:
    beneath = {"kind": SHAPING[0]}
    read = Example.model_validate({"defense": {"kind": "undefended", "built_on": beneath}}).defense
    assert read.built_on is not None
    assert read.built_on.kind == SHAPING[0]
    assert Example.model_validate({"defense": read.dump()}).defense == read, "what it dumps reads back"
    path, words = mistake(defense={"kind": "undefended", "built_on": {"kind": "undefended"}})
    assert path == ["defense", "built_on"]
    assert words == f"no kind is called 'undefended'; there are: {', '.join(SHAPING)}"
    path, words = mistake(defense={"kind": "undefended", "built_on": {**beneath, "x": 1}})
    assert (path, words[:17]) == (["defense", "built_on"], "unknown key 'x'; ")


@pytest.mark.parametrize(
    ("entry", "place", "words"),
    [
        ({"kind": "fsgm"}, [], "no kind is called 'fsgm'; did you mean 'fgsm'?"),
        ({"kind": 3}, [], f"no kind is called 3; there are: {ATTACKS}"),
        ({"kind": ["fgsm"]}, [], "no kind is called ['fgsm']"),
        ({"epsilons": [0.1]}, [], f"the key 'kind' is missing; there are: {ATTACKS}"),
        ("fgsm", [], "input should be a valid dictionary (it is 'fgsm')"),
        (
            {"kind": "fgsm", "epsilons": [0.1], "epsilonss": 1},
            [],
            "unknown key 'epsilonss'; did you mean 'epsilons'?",
        ),
        ({"kind": "fgsm", "epsilons": [0.1], "knd": 1}, [], "unknown key 'knd'; did you mean 'kind'?"),
        ({"kind": "fgsm"}, ["epsilons"], "this key is missing"),
        ({"kind": "fgsm", "epsilons": [0.1, "a"]}, ["epsilons", 1], "should be a number such as"),
    ],
)
def test_a_mistake_in_an_entry_is_named_where_it_stands(entry: Any, place: list[Any], words: str) -> None:
    path, found = mistake(attack=entry)
    assert path == ["attack", *place]
    assert found.startswith(words)


def test_a_defense_s_other_key_is_a_nearest_one_too() -> None:
    assert mistake(defense={"kind": "undefended", "bult_on": 1}) == (
        ["defense"],
        "unknown key 'bult_on'; did you mean 'built_on'?",
    )


# A part of a study.


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"training": {"epochs": 3}},
        {"training": {"schedule": "step", "epochs": 3, "learning_rate": 1}},  # milestones may stand below
        {"models": {"a": None, "b": {"title": "B"}}, "suites": {"s": {"images": 3}}, "threats": {}},
        {"attacks": {"a": {"steps": 3}, "b": None}, "architecture": {"width": 0.5}},
        {"attacks": {"a": {"kind": "carlini_wagner", "constants": [1, 2], "steps": [1, 2]}}},
        {"surfaces": None},
    ],
)
def test_a_part_need_not_say_everything(part: dict[str, Any]) -> None:
    assert schema.errors_of_part(schema.StudyEntries, part) == []


@pytest.mark.parametrize(
    ("part", "place", "words"),
    [
        ({"titel": "x"}, [], "unknown key 'titel'; did you mean 'title'?"),
        ({"training": {"epochs": "some"}}, ["training", "epochs"], "should be a number"),
        ({"training": {"epoch": 3}}, ["training"], "unknown key 'epoch'; did you mean 'epochs'?"),
        ({"suites": {"s": {"image": 3}}}, ["suites", "s"], "unknown key 'image'; did you mean 'images'?"),
        ({"models": {"a": {"defense": {"kind": "undefnded"}}}}, ["models", "a", "defense"], "no kind is called"),
        ({"attacks": {"a": {"kind": "fgsm", "epsilons": [2]}}}, ["attacks", "a", "epsilons", 0], "input should be less"),
        ({"seeds": []}, ["seeds"], "tuple should have at least 1 item"),
        ({"seeds": None}, ["seeds"], "input should be a valid tuple"),
        ({"models": {"A": {}}}, ["models", "A"], "string should match pattern"),
        (3, [], "input should be a valid dictionary"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_part_is_found_as_far_as_its_keys_tell(
    part: Any, place: list[Any], words: str
) -> None:
    first = schema.errors_of_part(schema.StudyEntries, part)[0]
    assert real_path(part, first["loc"]) == place
    assert sentence(first).startswith(words)


# The JSON schema.


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return schema.json_schema()


def test_the_sub_command_prints_the_schema(made: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == made
    jsonschema.Draft202012Validator.check_schema(made)


def test_the_schema_without_a_defense_to_build_on_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plug_in.ShapingPlugIn, "kinds", lambda _: [])
    jsonschema.Draft202012Validator.check_schema(schema.json_schema())


def test_every_study_is_valid_by_the_schema(made: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(made)
    base = ROOT / "config.yaml"
    for path in [base, *sorted((ROOT / "studies").glob("*.yaml"))]:
        loaded = reader.load([base] if path == base else [base, path])
        budgets = layers.read_yaml(path).get("budgets", {})
        validator.validate(yaml.safe_load(json.dumps({**loaded.source, "budgets": budgets})))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("titel",), "x"),
        (("training", "epoch"), 3),
        (("models", "undefended", "training", "epoch"), 3),
        (("models", "undefended", "defense", "kind"), "undefnded"),
        (("models", "undefended", "defense", "weigth"), 3),
        (("attacks", "fgsm", "steps"), 3),
        (("attacks", "fgsm", "kind"), None),
        (("suites", "papers", "image"), 3),
        (("budgets", "quick", "training", "epoch"), 3),
        (("budgets", "quick", "models", "undefended", "training", "epoch"), 3),
        (("budgets", "quick", "suites", "papers", "image"), 3),
        (("budgets", "quick", "budget"), "quick"),
    ],
)
def test_a_typo_is_refused_by_the_schema(made: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    study = yaml.safe_load(json.dumps(reader.load([ROOT / "config.yaml"]).source))
    study["budgets"] = {"quick": {"training": {}, "models": {"undefended": {}}, "suites": {"papers": None}}}
    validator = jsonschema.Draft202012Validator(made)
    validator.validate(study)
    place = study
    for key in path[:-1]:
        place[key] = place.get(key) or {}
        place = place[key]
    place[path[-1]] = value
    assert list(validator.iter_errors(study))


def test_the_schema_describes_every_plug_in_and_its_settings(made: dict[str, Any]) -> None:
    (attack,) = made["properties"]["attacks"]["patternProperties"].values()
    assert [entry["properties"]["kind"]["const"] for entry in attack["oneOf"]] == registry.names("attacks")
    pgd = next(entry for entry in attack["oneOf"] if entry["title"] == "pgd")
    assert pgd["properties"]["steps"]["description"].startswith("Gradient steps")
    assert pgd["required"] == ["kind", "epsilons"]


def test_settings_without_a_file_have_a_schema_too() -> None:
    made: dict[str, Any] = {"Settings": Settings, "__name__": "typed_in"}
    exec("class Typed(Settings):\n    width: float = 1.0", made)
    assert set(made["Typed"].model_json_schema()["properties"]) == {"width"}


@needs("attacks/apgd")
def test_settings_are_described_when_another_plug_in_has_taken_their_modules_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = registry.settings_class("attacks", "apgd")
    monkeypatch.delitem(sys.modules, settings.__module__)
    assert settings.model_json_schema()["properties"]["steps"]["description"].startswith("Gradient steps")


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (
            '# coding: latin-1\nclass Own(Settings):\n    width: float = 1.0\n    """Breite, größer als 0."""\n',
            True,
        ),
        ("class Own(Settings:\n", False),
        (None, False),
    ],
)
def test_a_settings_file_in_another_encoding_is_read_and_one_that_is_gone_or_broken_hides_no_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, now: str | None, told: bool
) -> None:
    class Own(Settings):
        width: float = 1.0

    Own.__qualname__ = "Own"
    monkeypatch.setattr(Own, "declared_in", str(tmp_path / "own.py"))
    if now is not None:
        (tmp_path / "own.py").write_text(now, encoding="latin-1")
    described = Own.model_json_schema()["properties"]["width"].get("description")
    assert described == ("Breite, größer als 0." if told else None)


def test_a_whole_study_where_a_number_belongs_is_not_printed_whole() -> None:
    given = {"study": ["x" * 50] * 1000}
    told = sentence({"type": "float_type", "loc": (), "msg": "Input should be a number", "input": given})
    assert told.startswith("input should be a number (it is {'study'")
    assert told.endswith("...)")
    assert len(told) < 140
