"""A study as typed, frozen objects."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import AfterValidator, Field, StringConstraints

from reproof.settings.architecture import ArchitectureSettings
from reproof.settings.defense import DefenseSettings
from reproof.settings.source_names import JOINT, LONGEST, parts
from reproof.settings.table_words import Setting
from reproof.settings.training import TrainingSettings
from reproof.settings.values import Count, Number, Settings, Switch, UnitInterval, Whole
from reproof.settings.weights import WeightsSettings
from reproof.study.layers import COMMAND_LINE

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=LONGEST)]
"""A name that is a folder's or a file's too: small letters, so that no two differ by case alone."""


class SuiteSettings(Settings):
    """A named group of attacks that one job makes, on the same images."""

    attacks: tuple[str, ...] = Field(min_length=1)
    """Names of attacks."""
    images: Count
    """The first so many images of the test split (its order is fixed, stratified and nested)."""
    view: str = "logits"
    """The attack loss: `logits` (cross-entropy on them), or one that a defense declares. Only models whose defense
    declares it meet the suite."""
    members: Literal["joint", "aggregated"] = "joint"
    """How an ensemble of `members` is attacked: through all of them at once, or with the sum of the perturbations that
    the attack makes on each of them alone (Mirzaeian, DKD, Sec. 4.3). Only ensembles meet the latter."""
    transfer_from: tuple[str, ...] = ()
    """Other models on which a composed attack (`strongest`) makes images too, where they are of the same data set."""
    settings: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    """Attack -> what this suite overrides of the attack's config entry: other epsilons under the same name."""


class ThreatSettings(Settings):
    """Who attacks whom: a suite, made on the target itself or on another model, shown to every target."""

    setting: Setting
    """white_box: made on the target; adaptive: made on it with its defense's own attack losses; black_box: on others,
    which one of `source`, `sources` and `together` names."""
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


class SurfaceSettings(Settings):
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
    clip: Switch = True
    """Put moved pixels back into [0, 1]; the paper does not say whether it does."""


@dataclass(frozen=True)
class Choice:
    """A plug-in and its settings, as a config entry `{kind: ..., ...}` chose them."""

    kind: str
    settings: Any
    built_on: Choice | None = None
    """A defense that only shapes the network, on which this defense is built."""

    def dump(self) -> dict[str, Any]:
        """Return the config entry as plain JSON values."""
        beneath = {} if self.built_on is None else {"built_on": self.built_on.dump()}
        return {"kind": self.kind, **self.settings.model_dump(mode="json"), **beneath}


@dataclass(frozen=True)
class Model:
    """A network to train: data, architecture, defense and training."""

    name: str
    title: str
    dataset: str
    architecture: Choice
    defense: Choice
    training: TrainingSettings
    seed_offset: int = 0
    """What is added to the study's seeds for this model."""
    beside: tuple[str, ...] = ()
    """Models trained before, against which its defense trains it."""
    members: tuple[str, ...] = ()
    """Trained models that it is put together from; it is not trained itself."""
    stands_for: tuple[str, ...] = ()
    """Patterns of the ids of the claims that it is meant for, where several models of a study fit."""
    half_of: str = ""
    """The model that it is, trained half as long; empty for a model of its own."""
    weights: WeightsSettings | None = None
    """The file that its weights come from; it is not trained, and its `training` says nothing."""

    @property
    def built_on(self) -> Choice | None:
        """Return the defense on which this model's defense is built."""
        return self.defense.built_on

    @property
    def defense_kinds(self) -> tuple[str, ...]:
        """Return the files of the model's defense: what it is built on, then the defense itself."""
        return (*([self.built_on.kind] if self.built_on else []), self.defense.kind)

    @property
    def training_log(self) -> tuple[str, ...]:
        """Return the names of the tables that the training leaves beside its history."""
        if self.weights is not None:
            return ()
        return cast(DefenseSettings, self.defense.settings).training_log

    @property
    def networks(self) -> int:
        """Return how many networks it consists of."""
        return len(self.members) or cast(DefenseSettings, self.defense.settings).networks

    @property
    def attack_losses(self) -> tuple[str, ...]:
        """Return the attack losses that the defense declares.

        Those of a vote are an ensemble's, not a member's; weights from elsewhere lack what they are made of.
        """
        if self.lacks_auxiliary:
            return ()
        declared = cast(DefenseSettings, self.defense.settings)
        return () if declared.votes and not self.members else declared.attack_losses

    @property
    def lacks_auxiliary(self) -> bool:
        """Say whether its file holds the deployed network alone, without a defense's class centres and the like."""
        return self.weights is not None and not self.weights.whole

    @property
    def surrogates(self) -> tuple[str, ...]:
        """Return those of its attack losses that stand in for what cannot be differentiated."""
        declared = cast(DefenseSettings, self.defense.settings).surrogates
        return tuple(name for name in declared if name in self.attack_losses)

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
        if self.weights is not None:
            return self.weights.trained_on
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
    """Suite -> its attacks, with the suite's overrides."""
    threats: dict[str, ThreatSettings]
    attack_batch_size: int
    looks: int
    keep_adversarial: bool
    examples: int
    surfaces: SurfaceSettings | None
    """Whose loss is measured around test images; None: no model's."""
    budget: str
    """The budget that was laid over the files; empty where they have none."""
    source: Mapping[str, Any]
    """The merged YAML, from which `parse` makes this study again."""
    deterministic: bool = False
    """Whether GPUs use kernels that repeat to the bit."""
    plugins: tuple[str, ...] = ()
    """Folders with own plug-ins."""
    files: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def own_files(self) -> tuple[str, ...]:
        """Return the user's own files and folders that it names, whatever is in them: weights, code, images."""
        models = self.models.values()
        return tuple(
            dict.fromkeys(
                [
                    *self.plugins,
                    *(file for dataset in self.datasets.values() for file in dataset.settings.files),
                    *(file for model in models for file in model.architecture.settings.files),
                    *(model.weights.path for model in models if model.weights is not None),
                ]
            )
        )

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
