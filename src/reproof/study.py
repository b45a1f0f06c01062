"""A study: YAML files in, frozen typed objects out. Every mistake in them is found here and named by key path.

A study is `config.yaml` with overlays on top, merged key by key: a mapping with another `kind` replaces the one
below it, and a stanza set to null is taken away. One of the study's budgets, overlays that stand in the files
themselves, lies over the file that it stands in; on top of all lie the values of the command line. Imports no torch.
"""

from __future__ import annotations

import ast
import difflib
import functools
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, cast, get_type_hints

import yaml
from pydantic import AfterValidator, Field, StringConstraints, ValidationError, create_model

from reproof import registry
from reproof.errors import StudyError
from reproof.settings import (
    AGGREGATED,
    MEMBER,
    PSNR,
    ArchitectureSettings,
    AttackSettings,
    Count,
    DefenseSettings,
    Flag,
    NonNegative,
    Number,
    Settings,
    UnitInterval,
    Whole,
)
from reproof.training_settings import TrainingSettings

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Setting = Literal["white_box", "black_box", "adaptive"]
STANZAS = ("datasets", "models", "attacks", "suites", "threats")
COMMAND_LINE = "--config"


class SuiteSettings(Settings, use_attribute_docstrings=True):
    """A named group of attacks that one job makes, on the same images."""

    attacks: tuple[str, ...] = Field(min_length=1)
    """Names of attack stanzas."""
    images: Count
    """The first so many images of the test split (its order is fixed, stratified and nested)."""
    view: str = "logits"
    """What is differentiated: `logits` (cross-entropy on them), or a view that a defense declares. Only models
    whose defense has the view stand under the suite."""
    members: Literal["joint", "aggregated"] = "joint"
    """How an ensemble of `members` is attacked: through all of them at once, or with the sum of the perturbations that
    the attack makes on each of them alone (Mirzaeian, DKD, Sec. 4.3). Only ensembles stand under the latter."""
    settings: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """Attack -> what this suite sets otherwise than the attack's stanza: other epsilons under the same name."""


class ThreatSettings(Settings, use_attribute_docstrings=True):
    """Who attacks whom: a suite, made on the target itself or on another model, shown to every target."""

    setting: Setting
    """white_box: made on the target; adaptive: made on it through its defense's own views; black_box: on others, which
    one of `source`, `sources` and `together` names."""
    suite: str
    source: str | None = None
    """The model on which a black_box suite is made; `member` in a white_box threat: each member of an ensemble in
    turn (Mirzaeian, DKD, Sec. 4.3, standalone)."""
    sources: tuple[str, ...] | None = Field(None, min_length=1)
    """The models on each of which a black_box suite is made, one after the other: the rows of a transfer matrix
    (Mustafa, Table 6). A target meets the images of all of them but itself."""
    together: tuple[str, ...] | None = Field(None, min_length=2)
    """The models on all of which at once a black_box suite is made (Seiler, Sec. III): `gradient_ensemble` adds up
    their normalised gradients (Eq. 2); other attacks meet the logarithm of their mean softmax. Tables call the
    source by the names in the study's order, joined by `+`."""
    targets: tuple[str, ...] | None = None
    """Models to attack; all where it is left out. A source of a black_box threat is never its own target."""
    dataset: str | None = None
    """Attack only models of this data set; of every one where it is left out."""
    exclude: tuple[str, ...] = ()
    """Models to leave out."""

    @property
    def others(self) -> tuple[str, ...]:
        """Return the models that a black_box threat names as sources, however it uses them."""
        if self.setting != "black_box":
            return ()
        return (*([self.source] if self.source else []), *(self.sources or ()), *(self.together or ()))

    def makers(self, target: str) -> tuple[str, ...]:
        """Return the sources whose images a target meets, of a black_box threat: those that it is no part of."""
        joined = (JOINT.join(self.together),) if self.together else ()
        one = (self.source,) if self.source else ()
        return tuple(
            source for source in (*one, *(self.sources or ()), *joined) if target not in parts(source)
        )


JOINT = "+"
"""What joins the names of models on which images are made together: `a+b+c`."""
LONGEST = 180
"""Characters of such a name: it is a folder's, and part of a log file's, of which file systems allow 255."""


def parts(source: str) -> tuple[str, ...]:
    """Return the models that a source consists of: one, or those on which images are made together."""
    return tuple(source.split(JOINT))


def _a_range(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] >= value[1]:
        raise ValueError("a range should go from low to high")
    return value


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(low >= high for low, high in itertools.pairwise(values)):
        raise ValueError("epsilons should ascend, each of them once")
    return values


Shift = Annotated[Number, Field(ge=-1, le=1)]
ShiftRange = Annotated[tuple[Shift, Shift], AfterValidator(_a_range)]


class SurfaceSettings(Settings, use_attribute_docstrings=True):
    """Loss surfaces: a model's loss as test images move in adversarial directions (Seiler, Fig. 5 and 6).

    The first seed's networks are measured. Shifts are in units of the pixels' [0, 1]; the paper's, in 0..255, are
    the defaults.
    """

    models: tuple[Name, ...] | None = None
    """Models to measure, all of one data set; none where it is left out."""
    beside: Name | None = None
    """The undefended model whose loss gives direction 1, ∇L1; needed where models are named. Where it is one of
    them, its own two directions are the same, and its surface depends on ε1 + ε2 alone."""
    image: Annotated[Whole, Field(ge=0)] = 0
    """Which test image the surface is laid around, counted from 0 (Fig. 5)."""
    points: Annotated[Whole, Field(ge=2)] = 25
    """Points of the surface in each direction; from low to high, evenly spaced."""
    range_1: ShiftRange = (-16 / 255, 16 / 255)
    """ε1, low and high: how far along sign(∇L1) of the model beside (Fig. 5)."""
    range_2: ShiftRange = (-8 / 255, 32 / 255)
    """ε2, low and high: how far along sign(∇L2) of the model itself (Fig. 5)."""
    images: Count = 128
    """The first so many test images are moved along sign(∇L) of the model itself (Fig. 6)."""
    epsilons: Annotated[tuple[UnitInterval, ...], Field(min_length=2), AfterValidator(_ascending)] = tuple(
        level / 255 for level in range(0, 129, 4)
    )
    """How far they are moved, ascending (Fig. 6)."""
    clip: Flag = True
    """Put moved pixels back into [0, 1]; the paper does not say whether it does."""


@dataclass(frozen=True)
class Choice:
    """A plugin and its settings, as a stanza `{kind: ..., ...}` chose them."""

    kind: str
    settings: Any

    def dump(self) -> dict[str, Any]:
        """Return the stanza as plain JSON values."""
        return {"kind": self.kind, **self.settings.model_dump(mode="json")}


@dataclass(frozen=True)
class Model:
    """A network to train: data, architecture, defense and training."""

    name: str
    title: str
    dataset: str
    architecture: Choice
    defense: Choice
    training: TrainingSettings
    built_on: Choice | None = None
    """A defense that only shapes the network, on which this model's defense is built."""
    seed_offset: int = 0
    """What is added to the study's seeds for this model."""
    beside: tuple[str, ...] = ()
    """Models trained before, against which its defense trains it."""
    members: tuple[str, ...] = ()
    """Trained models that it is put together from; it is not trained itself."""

    @property
    def defense_kinds(self) -> tuple[str, ...]:
        """Return the files of the model's defense: what it is built on, then the defense itself."""
        return (*([self.built_on.kind] if self.built_on else []), self.defense.kind)

    @property
    def defense_stanza(self) -> dict[str, Any]:
        """Return the defense's stanza as plain JSON values."""
        beneath = {} if self.built_on is None else {"built_on": self.built_on.dump()}
        return {**self.defense.dump(), **beneath}

    @property
    def traces(self) -> tuple[str, ...]:
        """Return the names of the tables that the training leaves beside its history."""
        return cast(DefenseSettings, self.defense.settings).traces

    @property
    def networks(self) -> int:
        """Return how many networks it consists of."""
        return len(self.members) or cast(DefenseSettings, self.defense.settings).networks

    @property
    def views(self) -> tuple[str, ...]:
        """Return the losses that an adaptive attacker climbs; those of a vote are an ensemble's, not a member's."""
        declared = cast(DefenseSettings, self.defense.settings)
        return () if declared.votes and not self.members else declared.views

    @property
    def architecture_key(self) -> str:
        """Return the architecture's name in claims: `cnn6`, `resnet110`."""
        return cast(ArchitectureSettings, self.architecture.settings).key(self.architecture.kind)

    @property
    def defense_key(self) -> str:
        """Return the defense's name in claims: `prototype_conformity[released_code]`."""
        choices = [self.defense] if self.built_on is None else [self.built_on, self.defense]
        keys = [cast(DefenseSettings, choice.settings).key(choice.kind) for choice in choices]
        return "+".join(keys) + ("[member]" if self.beside else "")

    @property
    def training_key(self) -> str:
        """Return the adversarial examples that it trains on, as in claims: clean, fgsm, pgd."""
        if self.training.adversarial is not None:
            return self.training.adversarial.attack
        return cast(DefenseSettings, self.defense.settings).trains_on


@dataclass(frozen=True)
class Study:
    """Everything a study says, checked."""

    name: str
    title: str
    summary: str
    smoke: bool
    seeds: tuple[int, ...]
    data_root: str
    datasets: dict[str, Choice]
    models: dict[str, Model]
    attacks: dict[str, Choice]
    suites: dict[str, SuiteSettings]
    suite_attacks: dict[str, dict[str, Choice]]
    """Suite -> its attacks, with what the suite sets otherwise."""
    threats: dict[str, ThreatSettings]
    attack_batch_size: int
    tolerance: float
    keep_adversarial: bool
    examples: int
    surfaces: SurfaceSettings | None
    """Whose loss is measured around test images; None where nobody's is."""
    budget: str
    """The budget that was laid over the files; empty where they have none."""
    source: Mapping[str, Any]
    """The merged YAML, from which `parse` makes this study again."""
    files: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> list[str]:
        """Return the command line's words with which Snakemake and the sub-commands read this study."""
        words = []
        if len(self.files) > 1:
            words += ["--configfile", *self.files[1:]]
        if self.overrides:
            words.append(COMMAND_LINE)
        for key, value in self.overrides.items():
            plain = isinstance(value, str) and yaml.safe_load(value) == value
            words.append(f"{key}={value if plain else json.dumps(value)}")
        return words


class _Loader(yaml.SafeLoader):
    """YAML without duplicate keys, which PyYAML would let pass."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} stands twice", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a study file's mapping; StudyError names file, line and column of what is wrong."""
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise StudyError(f"{path}: there is no such study file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise StudyError(f"{path}{place}: not valid YAML: {getattr(error, 'problem', error)}") from error
    if not isinstance(value, dict):
        raise StudyError(f"{path}: a study is a mapping (key: value); this file holds {type(value).__name__}")
    return value


def merge(base: Any, overlay: Any) -> Any:
    """Return `overlay` laid over `base`: mappings key by key, anything else replaced."""
    if not (isinstance(base, Mapping) and isinstance(overlay, Mapping)):
        return overlay
    if "kind" in overlay and overlay["kind"] != base.get("kind"):
        return overlay
    return {**base, **{key: merge(base.get(key), value) for key, value in overlay.items()}}


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
            Flag,
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
            Flag,
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
            Flag,
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
    shaping = [name for name in names if _declared(name).shapes_network]
    if not shaping:
        return _alternatives("defenses", names)
    description = "A defense that only shapes the network, on which this one is built."
    beneath = _alternatives("defenses", shaping)
    return _alternatives("defenses", names, built_on=(beneath | None, Field(None, description=description)))


def _declared(defense: str) -> type[DefenseSettings]:
    return cast(type[DefenseSettings], registry.settings_class("defenses", defense))


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a study file, generated from the types."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **study_file_class().model_json_schema(by_alias=True),
    }


def load(files: Sequence[Path], overrides: Mapping[str, Any] | None = None) -> Study:
    """Return the study of these files with its budget: later ones laid over earlier ones, then the overrides.

    StudyError names the file, the key path and the nearest right word of the first mistake found.
    """
    values = dict(overrides or {})
    merged: dict[str, Any] = {}
    layers: list[tuple[str, Mapping[str, Any]]] = []
    for path in files:
        layer = read_yaml(path)
        if layer.get("alone") is True:
            merged, layers = {}, []
        merged = merge(merged, layer)
        layers.append((str(path), layer))
    layers.append((COMMAND_LINE, values))
    merged = _lay_budget(merge(merged, values), layers)
    for section in STANZAS:
        if isinstance(merged.get(section), Mapping):
            merged[section] = {key: value for key, value in merged[section].items() if value is not None}
    return parse(merged, layers, [str(path) for path in files], values)


def _lay_budget(merged: Mapping[str, Any], layers: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the study with its budget laid over it. What is no mapping is left to `parse`, which says so.

    What a file says of the budget lies over that file, and under later ones: they have the last word.
    """
    budgets, name = merged.get("budgets") or {}, merged.get("budget")
    if not isinstance(budgets, Mapping):
        return dict(merged)
    budgets = {key: overlay for key, overlay in budgets.items() if overlay is not None}
    if name is None and not budgets:
        return dict(merged)
    where = [file for file, layer in layers if "budget" in layer or (name is None and "budgets" in layer)][-1]
    if name is None:
        raise StudyError(f"{where}: budget: which of the budgets? there are: {', '.join(budgets)}")
    if not budgets:
        raise StudyError(f"{where}: budget: no budget is called {name!r}; this study has none")
    if name not in budgets:
        raise StudyError(f"{where}: budget: no budget is called {name!r}; {_hint(str(name), budgets)}")
    removed = [position for position, (_, layer) in enumerate(layers) if _piece(layer, name) is REMOVED]
    laid: dict[str, Any] = {}
    for position, (file, layer) in enumerate(layers):
        piece = _piece(layer, name) if not removed or position > removed[-1] else None
        parts = [layer, piece] if file != COMMAND_LINE else [piece, layer]
        for part in parts:
            if isinstance(part, Mapping):
                laid = merge(laid, part)
    return laid


REMOVED: Final = "removed"


def _piece(layer: Mapping[str, Any], name: str) -> Any:
    """Return what a layer says of a budget; REMOVED where it sets it to null, None where it says nothing."""
    budgets = layer.get("budgets")
    if not isinstance(budgets, Mapping) or name not in budgets:
        return None
    return REMOVED if budgets[name] is None else budgets[name]


def parse(
    merged: Mapping[str, Any],
    layers: Sequence[tuple[str, Mapping[str, Any]]],
    files: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
) -> Study:
    """Return the study that a merged mapping describes; `layers` say which file a key came from.

    The mapping's budget has been laid over it already.
    """
    budget = merged.get("budget")
    chosen = ["budgets", budget] if budget is not None else []

    def find(path: Sequence[Any]) -> tuple[str, list[Any]]:
        """Return the file that a key came from, and the key's path there: in the file, or in its chosen budget."""
        for length in range(len(path), 0, -1):
            found = []
            for position, (name, layer) in enumerate(layers):
                if _reaches(layer, path[:length]):
                    found.append((position, 2 if name == COMMAND_LINE else 0, name, list(path)))
                if chosen and _reaches(layer, [*chosen, *path[:length]]):
                    found.append((position, 1, name, [*chosen, *path]))
            if found:
                return max(found, key=lambda entry: entry[:2])[2:]
        files = [name for name, _ in layers if name != COMMAND_LINE]
        return (files or ["study"])[-1], list(path)

    def fail(path: Sequence[Any], message: str, unknown: Sequence[Any] = ()) -> StudyError:
        file, there = find([*path, *unknown])
        there = there[: len(there) - len(unknown)]
        return StudyError(f"{file}: {_dotted(there)}: {message}" if there else f"{file}: {message}")

    def refuse(base: Sequence[Any], data: Any, error: ValidationError) -> StudyError:
        """Return the first error. base: the path of what was validated; data: what the files say there."""
        first = error.errors(include_url=False)[0]
        unknown = [ast.literal_eval(first["ctx"]["key"])] if first["type"] == "unknown_key" else []
        return fail([*base, *_real_path(data, first["loc"])], _sentence(first), unknown)

    try:
        raw: Any = study_file_class().model_validate(dict(merged))
    except ValidationError as error:
        raise refuse([], merged, error) from None

    def choice(stanza: Any) -> Choice:
        settings = registry_class(stanza)
        return Choice(stanza.kind, settings)

    def registry_class(stanza: Any) -> Settings:
        family = next(f for f in registry.FAMILIES if isinstance(stanza, registry.BASES[f]))
        cls = registry.settings_class(family, stanza.kind)
        return cls.model_validate(stanza.model_dump(exclude={"kind", "built_on"}, exclude_unset=True))

    def known(path: Sequence[Any], name: str, among: Mapping[str, Any], what: str) -> str:
        if name not in among:
            raise fail(path, f"no {what} is called {name!r}; {_hint(name, among)}")
        return name

    def narrow(suite: str, attack: str, changes: Mapping[str, Any]) -> Choice:
        stanza = {key: value for key, value in merged["attacks"][attack].items() if key != "kind"}
        cls = registry.settings_class("attacks", attacks[attack].kind)
        try:
            return Choice(attacks[attack].kind, cls.model_validate(merge(stanza, changes)))
        except ValidationError as error:
            raise refuse(["suites", suite, "settings", attack], changes, error) from None

    if len(set(raw.seeds)) != len(raw.seeds):
        raise fail(["seeds"], "a seed stands twice")
    known(["dataset"], raw.dataset, raw.datasets, "data set")

    models: dict[str, Model] = {}
    for name, stanza in raw.models.items():
        dataset = known(["models", name, "dataset"], stanza.dataset or raw.dataset, raw.datasets, "data set")
        training = raw.training
        if stanza.training is not None:
            defaults = merged["training"]
            try:
                training = TrainingSettings.model_validate(merge(defaults, stanza.training))
            except ValidationError as error:
                raise refuse(["models", name, "training"], stanza.training, error) from None
        beneath = choice(built_on) if (built_on := getattr(stanza.defense, "built_on", None)) else None
        if beneath is not None and cast(DefenseSettings, stanza.defense).shapes_network:
            raise fail(
                ["models", name, "defense", "built_on"],
                f"{stanza.defense.kind} shapes the network itself, so it is built on none",
            )
        if beneath is not None and cast(DefenseSettings, stanza.defense).networks > 1:
            raise fail(
                ["models", name, "defense", "built_on"],
                f"{stanza.defense.kind} trains several networks together, so it is built on none",
            )
        models[name] = Model(
            name=name,
            title=stanza.title or name.replace("_", " "),
            dataset=dataset,
            architecture=choice(stanza.architecture or raw.architecture),
            defense=choice(stanza.defense),
            training=training,
            built_on=beneath,
            seed_offset=stanza.seed_offset,
            beside=stanza.beside,
            members=stanza.members,
        )
    for name, model in models.items():
        if name in (MEMBER, AGGREGATED):
            raise fail(["models", name], f"tables call members of an ensemble {name!r}; give it another name")
        for path, message in _wrong_company(model, models):
            raise fail(["models", name, *path], message)
    attacks = {name: choice(stanza) for name, stanza in raw.attacks.items()}
    suite_attacks: dict[str, dict[str, Choice]] = {}
    views = {"logits"}
    for name in registry.names("defenses"):
        views.update(_declared(name).views)
    for name, suite in raw.suites.items():
        known(["suites", name, "view"], suite.view, dict.fromkeys(sorted(views)), "view of a defense")
        for position, attack_name in enumerate(suite.attacks):
            known(["suites", name, "attacks", position], attack_name, attacks, "attack")
            if suite.view != "logits" and not attacks[attack_name].settings.takes_view:
                raise fail(
                    ["suites", name, "attacks", position],
                    f"{attack_name} climbs no gradient of a loss, so it cannot attack the view {suite.view!r}",
                )
        if len(set(suite.attacks)) != len(suite.attacks):
            raise fail(["suites", name, "attacks"], "an attack stands twice")
        if suite.members == "aggregated" and suite.view != "logits":
            raise fail(
                ["suites", name, "view"],
                "an aggregated suite attacks each member's logits; leave the view out, or set members: joint",
            )
        for attack_name in suite.settings:
            known(
                ["suites", name, "settings", attack_name],
                attack_name,
                dict.fromkeys(suite.attacks),
                "attack of it",
            )
        suite_attacks[name] = {
            attack_name: narrow(name, attack_name, suite.settings.get(attack_name, {}))
            for attack_name in suite.attacks
        }
        for position, attack_name in enumerate(suite.attacks if suite.members == "aggregated" else ()):
            settings = cast(AttackSettings, suite_attacks[name][attack_name].settings)
            if any(point.name == PSNR for point in settings.points()):
                raise fail(
                    ["suites", name, "attacks", position],
                    f"{attack_name} has psnrs, at which each member would have a budget of its own, and their "
                    "sum none; an aggregated suite takes budgets",
                )
            if settings.norm != "linf" and any(point.epsilon is not None for point in settings.points()):
                raise fail(
                    ["suites", name, "attacks", position],
                    f"{attack_name} has {settings.norm} budgets, to which no sum of perturbations is cut; an "
                    "aggregated suite takes linf budgets, or attacks without any",
                )
    threats = dict(raw.threats)
    for name, threat in raw.threats.items():
        here = ["threats", name]
        known([*here, "suite"], threat.suite, raw.suites, "suite")
        if threat.dataset is not None:
            known([*here, "dataset"], threat.dataset, raw.datasets, "data set")
        by_member = threat.setting == "white_box" and threat.source == MEMBER
        named = [key for key in ("source", "sources", "together") if getattr(threat, key) is not None]
        if not (by_member and named == ["source"]) and (threat.setting == "black_box") != bool(named):
            raise fail(
                here,
                "black_box needs a source model, and only black_box takes one (white_box takes 'member')",
            )
        if len(named) > 1:
            raise fail(
                [*here, named[1]],
                f"the threat has a {named[0]} already; give one of source, sources and together",
            )
        if raw.suites[threat.suite].members == "aggregated" and named:
            raise fail(
                [*here, "suite"], "an aggregated suite is made on the whole ensemble; it takes no source"
            )
        if named and raw.suites[threat.suite].view != "logits":
            raise fail(
                [*here, "suite"], "a suite made on another model attacks its logits, not a defense's view"
            )
        for position, source in enumerate(threat.others):
            place = [*here, *named, *([] if named == ["source"] else [position])]
            known(place, source, models, "model")
            if threat.others.index(source) < position:
                raise fail(place, f"{source} stands twice; name it once")
            first_source = threat.others[0]
            if models[source].dataset != models[first_source].dataset:
                raise fail(
                    place,
                    f"{source} is trained on {models[source].dataset}, {first_source} on "
                    f"{models[first_source].dataset}; name sources of one data set",
                )
        if threat.together is not None:
            threats[name] = threat.model_copy(
                update={"together": tuple(model for model in models if model in threat.together)}
            )
            if len(JOINT.join(threat.together)) > LONGEST:
                raise fail(
                    [*here, "together"],
                    f"the joined names, a folder's, are longer than {LONGEST} characters; give the models shorter ones",
                )
        for key, names in (("targets", threat.targets or ()), ("exclude", threat.exclude)):
            for position, target in enumerate(names):
                known([*here, key, position], target, models, "model")

    for (first, one), (second, other) in itertools.combinations(threats.items(), 2):
        if one.setting == other.setting:
            both = set(raw.suites[one.suite].attacks) & set(raw.suites[other.suite].attacks)
            if both and _places(one, models, raw.suites) & _places(other, models, raw.suites):
                raise fail(
                    ["threats", second],
                    f"attack {sorted(both)[0]!r} is already in threat {first!r} with the same setting, so the tables "
                    "could not tell the two apart; give the attack another name, or the threats other targets",
                )

    for path, message in _wrong_surfaces(raw.surfaces, models):
        raise fail(["surfaces", *path], message)

    return Study(
        name=raw.study,
        title=raw.title or raw.study,
        summary=raw.summary,
        smoke=raw.smoke,
        seeds=raw.seeds,
        data_root=raw.data_root,
        datasets={name: choice(stanza) for name, stanza in raw.datasets.items()},
        models=models,
        attacks=attacks,
        suites=dict(raw.suites),
        suite_attacks=suite_attacks,
        threats=threats,
        attack_batch_size=raw.attack_batch_size,
        tolerance=raw.tolerance,
        keep_adversarial=raw.keep_adversarial,
        examples=raw.examples,
        surfaces=raw.surfaces,
        budget=raw.budget or "",
        source={key: value for key, value in merged.items() if key not in ("alone", "budgets")},
        files=tuple(files),
        overrides=dict(overrides or {}),
    )


def _wrong_company(model: Model, models: Mapping[str, Model]) -> Iterator[tuple[list[Any], str]]:
    """Yield what is wrong with a model's `beside` and `members`: the path inside its stanza, and a sentence."""
    declared = cast(DefenseSettings, model.defense.settings)
    for key, names, able in (
        ("beside", model.beside, declared.learns_beside),
        ("members", model.members, declared.votes),
    ):
        if names and not able:
            takers = [name for name in registry.names("defenses") if _takes(name, key)]
            yield [key], f"{model.defense.kind} takes none; {' and '.join(takers)} do"
        for position, name in enumerate(names):
            if name not in models:
                yield [key, position], f"no model is called {name!r}; {_hint(name, models)}"
            elif names.count(name) > 1:
                yield [key, position], f"{name} stands twice; name it once"
            elif name == model.name:
                yield [key, position], f"{name} cannot stand here itself; name other models"
            elif models[name].members:
                yield [key, position], f"{name} is an ensemble itself; name models that are trained"
            elif models[name].dataset != model.dataset:
                yield (
                    [key, position],
                    f"{name} is trained on {models[name].dataset}, not on {model.dataset}; name models of one data set",
                )
            elif model.name in _trained_before(models[name], models):
                yield (
                    [key, position],
                    f"{name} is trained after {model.name}; take one out of the other's beside",
                )
    if declared.votes and not (model.members or model.beside):
        beside = ", or the models that it is trained beside" if declared.learns_beside else ""
        yield ["defense"], f"{model.defense.kind} needs members, the trained models that vote{beside}"
    if not model.members:
        return
    if model.beside or model.built_on or len(model.members) < 2:
        yield ["members"], "an ensemble has at least two members, and neither beside nor built_on"
    if model.seed_offset:
        yield ["seed_offset"], "an ensemble is not trained; set its members' instead"
    for position, name in enumerate(model.members):
        for message in _no_plain_network(models[name], model):
            yield ["members", position], message


def _wrong_surfaces(
    surfaces: SurfaceSettings | None, models: Mapping[str, Model]
) -> Iterator[tuple[list[Any], str]]:
    """Yield what is wrong with the surfaces' models: the path inside their stanza, and a sentence."""
    if surfaces is None:
        return
    names = surfaces.models or ()
    places: list[tuple[list[Any], str]] = [
        (["models", position], name) for position, name in enumerate(names)
    ]
    places += [(["beside"], surfaces.beside)] if surfaces.beside is not None else []
    for path, name in places:
        if name not in models:
            yield path, f"no model is called {name!r}; {_hint(name, models)}"
    if len(set(names)) != len(names):
        yield ["models"], "a model stands twice; name it once"
    if not names:
        return
    if surfaces.beside is None:
        yield ["beside"], "direction 1 is taken from an undefended model; name one"
        return
    beside = models[surfaces.beside]
    if beside.defense.kind != "undefended" or beside.built_on is not None or beside.training_key != "clean":
        yield ["beside"], f"{beside.name} is defended, and direction 1 is taken from an undefended model"
    for position, name in enumerate(names):
        if models[name].dataset != beside.dataset:
            yield (
                ["models", position],
                f"{name} is trained on {models[name].dataset}, and {beside.name}, which gives direction 1, on "
                f"{beside.dataset}; name models of one data set",
            )


def _no_plain_network(member: Model, ensemble: Model) -> Iterator[str]:
    """Yield why a model cannot be a member of an ensemble."""
    declared = cast(DefenseSettings, member.defense.settings)
    if member.architecture != ensemble.architecture:
        yield f"{member.name} is another network than the ensemble's architecture says; give both the same"
    if member.built_on is not None or declared.shapes_network or declared.networks > 1:
        yield (
            f"the defense of {member.name} changes its network, and a member is a plain network of the "
            "architecture; name another model"
        )
    if member.training_key != ensemble.training_key:
        yield (
            f"{member.name} is trained on {member.training_key} examples, the ensemble by its stanza on "
            f"{ensemble.training_key} ones, as tables would say; give it the members' training"
        )


def _takes(defense: str, key: str) -> bool:
    return _declared(defense).votes if key == "members" else _declared(defense).learns_beside


def _trained_before(model: Model, models: Mapping[str, Model]) -> set[str]:
    """Return a model and all that it is trained beside, at any remove."""
    found, todo = set(), [model.name]
    while todo:
        name = todo.pop()
        if name in models and name not in found:
            found.add(name)
            todo += models[name].beside
    return found


def _places(
    threat: ThreatSettings, models: Mapping[str, Model], suites: Mapping[str, SuiteSettings]
) -> set[tuple[str, str, str]]:
    """Return where a threat's numbers stand in tables, beside setting and attack: target, source, way of attack."""
    suite = suites[threat.suite]
    ensembles = threat.source == MEMBER or suite.members == "aggregated"
    return {
        (name, source, suite.members)
        for name in threat.targets or models
        if name not in threat.exclude
        and threat.dataset in (None, models[name].dataset)
        and (models[name].members or not ensembles)
        and (threat.others or threat.source == MEMBER or suite.view in ("logits", *models[name].views))
        for source in (threat.makers(name) if threat.others else (threat.source or "",))
        if not threat.others or models[parts(source)[0]].dataset == models[name].dataset
    }


def _hint(word: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"


def _reaches(layer: Any, path: Sequence[Any]) -> bool:
    for key in path:
        if (isinstance(layer, Mapping) and key in layer) or (
            isinstance(layer, list) and isinstance(key, int) and key < len(layer)
        ):
            layer = layer[key]
        else:
            return False
    return True


def _dotted(path: Sequence[Any]) -> str:
    return re.sub(r"\.\[", "[", ".".join(f"[{key}]" if isinstance(key, int) else str(key) for key in path))


def _real_path(data: Any, loc: Sequence[Any]) -> list[Any]:
    """Return pydantic's location without the tags that its unions add: only keys that the data has.

    A key that is missing from the data stands last and is kept.
    """
    path: list[Any] = []
    for position, key in enumerate(loc):
        if (isinstance(data, Mapping) and key in data and key != "[key]") or (
            isinstance(data, list | tuple) and isinstance(key, int) and key < len(data)
        ):
            data = data[key]
            path.append(key)
        elif (
            position == len(loc) - 1
            and isinstance(data, Mapping)
            and isinstance(key, str)
            and key.isidentifier()
        ):
            path.append(key)
    return path


def _sentence(error: Any) -> str:
    """Return one plain sentence for a pydantic error."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "this key is missing"
    if kind == "union_tag_not_found":
        return f"the key 'kind' is missing; it is one of {context.get('discriminator', '')}".replace(
            "'kind'", "kind", 1
        )
    if kind == "union_tag_invalid":
        expected = [word.strip("' ") for word in context["expected_tags"].split(",")]
        near = difflib.get_close_matches(str(context["tag"]), expected, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(expected)}"
        return f"no kind is called {context['tag']!r}; {hint}"
    message = error["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if kind in ("value_error", "unknown_key"):
        return str(message)
    return f"{message} (it is {error['input']!r})"
