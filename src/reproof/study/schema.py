"""The pydantic class of a study file, with an alternative for each plug-in."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, cast, get_type_hints

from pydantic import Field, create_model

from reproof import registry
from reproof.settings.defense import DefenseSettings
from reproof.settings.training import TrainingSettings
from reproof.settings.values import Count, NonNegative, Settings, Switch, Whole
from reproof.study.model import Name, SuiteSettings, SurfaceSettings, ThreatSettings

STANZAS = ("datasets", "models", "attacks", "suites", "threats")


@functools.cache
def study_file_class() -> type[Settings]:
    """Return the pydantic class of a study file, with one alternative for each plugin found in the folders."""
    dataset, architecture, attack = (
        _alternatives(family, registry.names(family)) for family in ("datasets", "architectures", "attacks")
    )
    defense = _defenses()
    model = create_model(
        "ModelStanza",
        __base__=Settings,
        __doc__="A network to train; what it leaves out comes from the study's defaults.",
        title=(str, Field("", description="What the page calls it.")),
        dataset=(Name | None, None),
        architecture=(architecture | None, None),
        defense=(defense, ...),
        training=(dict[str, Any] | None, None),
        seed_offset=(
            Annotated[Whole, Field(ge=0)],
            Field(
                0,
                description="Added to the study's seeds where this model's weights and batches are drawn, so that two "
                "models that are otherwise alike differ.",
            ),
        ),
        beside=(
            tuple[Name, ...],
            Field(
                (),
                description="Models trained before, against which its defense trains it; they stay as they are.",
            ),
        ),
        members=(
            tuple[Name, ...],
            Field(
                (),
                description="Trained models that vote as one: this one is put together from them, not trained.",
            ),
        ),
    )
    whole = create_model(
        "Study",
        __base__=Settings,
        __doc__="A study without its budgets.",
        study=(Name, Field(description="Name of the study: its folder under results/ and its page.")),
        title=(str, ""),
        summary=(str, ""),
        smoke=(
            Switch,
            Field(False, description="True: the page warns that the study is too small for verdicts."),
        ),
        seeds=(tuple[Whole, ...], Field(min_length=1)),
        data_root=(
            str,
            Field("data", description="Folder where real data sets are looked for or downloaded to."),
        ),
        dataset=(Name, Field(description="The models' data set where their stanza names none.")),
        architecture=(architecture, ...),
        training=(TrainingSettings, ...),
        datasets=(_stanzas(dataset), Field(min_length=1)),
        models=(_stanzas(model), Field(min_length=1)),
        attacks=(_stanzas(attack), Field(min_length=1)),
        suites=(dict[Name, SuiteSettings], Field(min_length=1)),
        threats=(dict[Name, ThreatSettings], Field(min_length=1)),
        attack_batch_size=(Count, 256),
        tolerance=(
            Annotated[NonNegative, Field(le=0.5)],
            Field(
                0.02, description="A claim is reproduced within the measured interval widened by this much."
            ),
        ),
        keep_adversarial=(
            Switch,
            Field(False, description="Keep adversarial images after they were evaluated."),
        ),
        examples=(
            Whole,
            Field(6, ge=0, le=64, description="Example images that the page shows per model and attack."),
        ),
        surfaces=(
            SurfaceSettings | None,
            Field(None, description="Loss surfaces to measure and draw; none where it is left out."),
        ),
    )
    stanza = dict[str, Any]
    training = _overlay(TrainingSettings)
    budget = _overlay(
        whole,
        architecture=stanza,
        training=training,
        datasets=_stanzas(stanza | None),
        models=_stanzas(
            _overlay(model, architecture=stanza, defense=stanza, training=training | None) | None
        ),
        attacks=_stanzas(stanza | None),
        suites=_stanzas(_overlay(SuiteSettings) | None),
        threats=_stanzas(_overlay(ThreatSettings) | None),
        surfaces=_overlay(SurfaceSettings) | None,
    )
    return create_model(
        "StudyFile",
        __base__=whole,
        __doc__="A study of reproof: what is trained, attacked with what, on how many images, with which seeds.",
        alone=(
            Switch,
            Field(
                False,
                description="True: the study says everything itself; what files before it say is dropped.",
            ),
        ),
        budget=(Name | None, Field(None, description="Which of the budgets is laid over the study.")),
        budgets=(
            _stanzas(budget | None),
            Field(
                default_factory=dict,
                description="Overlays of the study, of which one is chosen: how long, how much, how many.",
            ),
        ),
    )


def _overlay(whole: type[Settings], **others: Any) -> Any:
    """Return a class with the fields of `whole`, none of them needed. others: types that differ."""
    hints = get_type_hints(whole, include_extras=True)
    fields: dict[str, Any] = {
        name: (others.get(name, hints[name]), Field(None, description=field.description))
        for name, field in whole.model_fields.items()
    }
    return create_model(f"{whole.__name__}Overlay", __base__=Settings, **fields)


def _stanzas(member: Any) -> Any:
    """Return the type of a section of the study: a mapping from names to stanzas."""
    return dict.__class_getitem__((Name, member))


def _alternatives(family: registry.Family, names: Sequence[str], **more: Any) -> Any:
    """Return the union of a family's plugins of these names, told apart by `kind`. more: fields of each."""
    members = []
    for name in names:
        title = "".join(word.title() for word in (*name.split("_"), family[:-1])) + ("Shaped" if more else "")
        kind: Any = (Literal.__getitem__(name), ...)
        members.append(create_model(title, __base__=registry.settings_class(family, name), kind=kind, **more))
    if len(members) == 1:
        return members[0]
    return Annotated[Union.__getitem__(tuple(members)), Field(discriminator="kind")]


def _defenses() -> Any:
    """Return the union of the defenses, each of which can be built on one that only shapes the network."""
    names = registry.names("defenses")
    shaping = [name for name in names if defense_settings(name).shapes_network]
    if not shaping:
        return _alternatives("defenses", names)
    description = "A defense that only shapes the network, on which this one is built."
    beneath = _alternatives("defenses", shaping)
    return _alternatives("defenses", names, built_on=(beneath | None, Field(None, description=description)))


def defense_settings(defense: str) -> type[DefenseSettings]:
    """Return the Settings of a defense's file."""
    return cast(type[DefenseSettings], registry.settings_class("defenses", defense))


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a study file, generated from the types."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **study_file_class().model_json_schema(by_alias=True),
    }
