"""The type of a config entry `{kind: ..., ...}`: read through the registry into a plug-in and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic_core import PydanticCustomError, PydanticKnownError, core_schema

from reproof import registry
from reproof.settings.defense import DefenseSettings
from reproof.settings.values import Settings, know_every_key, nearest_hint
from reproof.study.model import Choice

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema


@dataclass(frozen=True)
class PlugIn:
    """How a field of type `Choice` is read: `kind` names a file of the family, the other keys are its settings."""

    family: registry.Family

    def kinds(self) -> list[str]:
        """Return the plug-ins that there are."""
        return registry.names(self.family)

    def choose(self, entry: Any) -> Choice:
        """Return what a config entry chooses; ValueError names what is wrong inside it."""
        if not isinstance(entry, Mapping):
            raise PydanticKnownError("dict_type")
        kind = str(entry.get("kind"))
        if kind not in (kinds := self.kinds()) and not registry.is_broken(self.family, kind):
            raise PydanticCustomError("unknown_kind", "{problem}", {"problem": _no_kind(entry, kinds)})
        settings = registry.settings_class(self.family, kind)
        know_every_key(entry, ["kind", *self.others(), *settings.model_fields])
        own = {key: value for key, value in entry.items() if key not in ("kind", *self.others())}
        return Choice(kind, settings.model_validate(own), **self.read_others(entry))

    def others(self) -> tuple[str, ...]:
        """Return the keys, beside `kind`, that are no settings of the plug-in."""
        return ()

    def read_others(self, entry: Mapping[str, Any]) -> dict[str, Choice | None]:
        """Return what these keys say, by field of `Choice`."""
        return {}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema that has pydantic call `choose`."""
        return core_schema.no_info_plain_validator_function(self.choose)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return one alternative for each plug-in that there is, told apart by `kind`."""
        return {
            "oneOf": [self.describe(kind, handler) for kind in self.kinds()],
            "discriminator": {"propertyName": "kind"},
        }

    def describe(self, kind: str, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the JSON schema of a plug-in's config entry."""
        settings = registry.settings_class(self.family, kind)
        schema = settings.__get_pydantic_json_schema__(settings.__pydantic_core_schema__, handler)
        found = handler.resolve_ref_schema(schema)
        return {
            **found,
            "title": kind,
            "properties": {"kind": {"const": kind}, **found.get("properties", {})},
            "required": ["kind", *found.get("required", ())],
        }


class DefensePlugIn(PlugIn):
    """How a defense is read, which may be built on one that only shapes the network."""

    def others(self) -> tuple[str, ...]:
        """Return the keys, beside `kind`, that are no settings of the defense."""
        return ("built_on",)

    def read_others(self, entry: Mapping[str, Any]) -> dict[str, Choice | None]:
        """Return the defense beneath; a mistake in it is named under `built_on`."""
        return {"built_on": _Beneath.model_validate({"built_on": entry.get("built_on")}).built_on}

    def describe(self, kind: str, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the JSON schema of a defense's config entry."""
        found = super().describe(kind, handler)
        if not ShapingPlugIn(self.family).kinds():  # an empty choice is no JSON schema
            return found
        beneath = _Beneath.model_json_schema()["properties"]["built_on"]
        return {**found, "properties": {**found["properties"], "built_on": beneath}}


class ShapingPlugIn(PlugIn):
    """How a defense is read that only shapes the network."""

    def kinds(self) -> list[str]:
        """Return the defenses that others can be built on."""
        return [name for name in super().kinds() if defense_settings(name).shapes_network]


class _Beneath(Settings):
    built_on: Annotated[Choice, ShapingPlugIn("defenses")] | None = None
    """A defense that only shapes the network, on which this one is built."""


def defense_settings(defense: str) -> type[DefenseSettings]:
    """Return the Settings of a defense's file."""
    return cast(type[DefenseSettings], registry.settings_class("defenses", defense))


def _no_kind(entry: Mapping[str, Any], kinds: list[str]) -> str:
    if "kind" not in entry:
        return f"the key 'kind' is missing; there are: {', '.join(kinds)}"
    return f"no kind is called {entry['kind']!r}; {nearest_hint(str(entry['kind']), kinds)}"
