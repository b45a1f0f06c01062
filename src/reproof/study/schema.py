"""What a study file may say, as pydantic classes: one field for each key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from reproof.settings.training import TrainingSettings
from reproof.settings.values import Count, Seed, Settings, Switch, Whole
from reproof.settings.weights import WeightsSettings, read_weights
from reproof.study.model import Choice, Name, SuiteSettings, SurfaceSettings, ThreatSettings
from reproof.study.plug_in import DefensePlugIn, PlugIn

Dataset = Annotated[Choice, PlugIn("datasets")]
Architecture = Annotated[Choice, PlugIn("architectures")]
Attack = Annotated[Choice, PlugIn("attacks")]
Defense = Annotated[Choice, DefensePlugIn("defenses")]
Weights = Annotated[
    WeightsSettings, BeforeValidator(read_weights, json_schema_input_type=WeightsSettings | str)
]

SECTIONS = ("datasets", "models", "attacks", "suites", "threats")
"""The keys under which config entries stand by name; one that a later file sets to null is taken away."""


class ModelEntry(Settings):
    """A network to train, or one whose weights are there; what it leaves out comes from the study's defaults."""

    title: str = ""
    """What the page calls it."""
    dataset: Name | None = None
    architecture: Architecture | None = None
    defense: Defense | None = None
    """How it is defended; only a model with `weights` may leave it out, and is then undefended."""
    weights: Weights | None = None
    """A file of weights that was trained elsewhere: the model is attacked and judged like any other, never trained."""
    training: dict[str, Any] | None = None
    """What it sets otherwise than the study's training."""
    seed_offset: Seed = 0
    """Added to the study's seeds where this model's weights and batches are drawn, so that two models that are
    otherwise alike differ."""
    beside: tuple[Name, ...] = ()
    """Models trained before, against which its defense trains it; they stay as they are."""
    members: tuple[Name, ...] = ()
    """Trained models that vote as one: this one is put together from them, not trained."""
    stands_for: tuple[str, ...] = ()
    """Patterns of the ids of claims, `*` for any text, that it is meant for: `mirzaeian_gravity.*`. Needed where two
    models of the study fit a claim alike; it then stands for no other claims."""
    half_of: Name | None = None
    """The model that this one is, trained half as long: it answers no claim, but says whether that one's verdicts are
    stable."""


class StudyEntries(Settings):
    """A study without its budgets."""

    study: Name
    """Name of the study: its folder under results/ and its page."""
    title: str = ""
    summary: str = ""
    smoke: Switch = False
    """True: the page warns that the study is too small for verdicts."""
    seeds: tuple[Seed, ...] = Field(min_length=1)
    data_root: str = "data"
    """Folder where real data sets are looked for or downloaded to."""
    dataset: Name
    """The models' data set where their config entry names none."""
    architecture: Architecture
    training: TrainingSettings | None = None
    """How models are trained; a study whose models all have `weights` needs none."""
    plugins: tuple[str, ...] = ()
    """Folders outside the package with own `defenses/`, `attacks/`, `architectures/`, `datasets/` and `sections/`."""
    datasets: dict[Name, Dataset] = Field(min_length=1)
    models: dict[Name, ModelEntry] = Field(min_length=1)
    attacks: dict[Name, Attack] = Field(min_length=1)
    suites: dict[Name, SuiteSettings] = Field(min_length=1)
    threats: dict[Name, ThreatSettings] = Field(min_length=1)
    attack_batch_size: Count = 256
    looks: Count = 1
    """How often verdicts are looked at before images are added where they are undecided. Each look has its share of
    the error: intervals of 95 % at one look, of 97.5 % at each of two."""
    keep_adversarial: Switch = False
    """Keep adversarial images after they were evaluated."""
    examples: Annotated[Whole, Field(ge=0, le=64)] = 6
    """Example images that the page shows per model and attack."""
    deterministic: Switch = False
    """True: GPUs use kernels that give the same bits each time, which takes longer; processors do so anyway."""
    surfaces: SurfaceSettings | None = None
    """Loss surfaces to measure and draw; none where it is left out."""


class StudyFile(StudyEntries):
    """A study of reproof: what is trained, attacked with what, on how many images, with which seeds."""

    alone: Switch = False
    """True: the study says everything itself; what files before it say is dropped."""
    budget: Name | None = None
    """Which of the budgets is laid over the study."""
    budgets: dict[Name, dict[str, Any] | None] = Field(default_factory=dict)
    """Overlays of the study, of which one is chosen: how long, how much, how many."""


def errors_of_part(whole: type[Settings], part: Any) -> list[ErrorDetails]:
    """Return pydantic's errors in a part of what a class describes, as a budget is a part of a study.

    A part need not say everything, and may set an entry to null: what only the rest can tell is no error in it.
    """
    try:
        whole.model_validate(part)
    except ValidationError as error:
        return [found for found in error.errors(include_url=False) if not _may_be_mended(found, part)]
    return []


def _may_be_mended(error: ErrorDetails, part: Any) -> bool:
    """Say whether what is laid under a part may be what an error misses."""
    place = error["loc"]
    given = error["input"]
    match error["type"]:
        case "missing":
            return True
        case "unknown_kind":
            return "kind" not in given
        case "value_error" | "too_short":  # of a whole mapping: settings that do not go together, no entries
            return isinstance(given, Mapping)
    return given is None and len(place) == 2 and place[0] in SECTIONS


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a study file, with every plug-in that there is, by which editors check and complete."""
    whole = StudyFile.model_json_schema()
    definitions = whole.pop("$defs")
    definitions |= {f"{name}Part": _part_schema(found) for name, found in definitions.items()}
    definitions["ModelEntry"]["properties"]["training"] = {"$ref": "#/$defs/TrainingSettingsPart"}
    definitions["ModelEntryPart"]["properties"]["training"] = {"$ref": "#/$defs/TrainingSettingsPart"}
    body = {key: whole["properties"][key] for key in StudyEntries.model_fields}
    definitions["Budget"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key: _part_schema(found) for key, found in body.items()},
    }
    for key in SECTIONS:
        definitions["Budget"]["properties"][key] = _section_schema(definitions["Budget"]["properties"][key])
    whole["properties"]["budgets"]["patternProperties"] = {
        "^[a-z][a-z0-9_]*$": {"anyOf": [{"$ref": "#/$defs/Budget"}, {"type": "null"}]}
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole, "$defs": definitions}


def _part_schema(schema: Any) -> Any:
    """Return the JSON schema of a part of something: nothing in it is required, and plug-ins say any of their keys."""
    if isinstance(schema, list):
        return [_part_schema(found) for found in schema]
    if not isinstance(schema, dict):
        return schema
    if "discriminator" in schema:
        return {"type": "object"}
    return {
        key: f"{found}Part" if key == "$ref" else _part_schema(found)
        for key, found in schema.items()
        if key not in ("required", "minProperties")
    }


def _section_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a section of which entries may be taken away: set to null."""
    entries = {
        pattern: {"anyOf": [found, {"type": "null"}]}
        for pattern, found in schema["patternProperties"].items()
    }
    return {**schema, "patternProperties": entries}
