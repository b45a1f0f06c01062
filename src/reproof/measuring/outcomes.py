"""Outcomes files, read and checked: what was seen of each model with each seed. Imports no torch."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from reproof.errors import ArtifactError
from reproof.settings.parameters import PSNR, Parameters
from reproof.settings.table_words import NO_ATTACK

if TYPE_CHECKING:
    import pyarrow as pa

Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
REFUSED = -1
"""The prediction of an image that a model answers with no class (classifier.REFUSED, which imports torch)."""
IDENTITY = ("study", "dataset", "architecture", "defense", "training", "model", "seed", "threat")
"""What the metadata of an outcomes file says."""
_LABELS = ("setting", "threat", "source", "attack", "kind", "view", "norm", "parameters")
_NUMBERS = ("image", "label", "clean_prediction", "adversarial_prediction", "l2", "epsilon")
Place = tuple[str, str, str, str]
"""Setting, source, attack and parameters of a measurement."""


@dataclass(frozen=True)
class Trial:
    """One attack at one setting, made on one source and shown to one model; images sorted."""

    setting: str
    threat: str
    source: str
    attack: str
    kind: str
    view: str
    norm: str
    parameters: str
    epsilon: float | None
    images: Integers
    correct: Bools
    """The prediction on the adversarial image is the label."""
    refused: Bools
    """The model answered with no class."""
    failed: Bools | None
    """The members of an ensemble found no majority; None of a single network."""
    l2: Floats
    model: str = ""
    """The model that was shown the images; empty where only one can be meant."""
    fooling_set: Bools | None = None
    """Which images fool all the networks they were made on; None of attacks whose images all count."""
    nearest_prototype: Bools | None = None
    """The class of the nearest prototype is the label; None of a method without that rule."""
    taken_by: tuple[str, ...] = ()
    """Of a composed attack: the part that took each image; empty text where none did."""

    @property
    def unbounded(self) -> bool:
        """Say whether the attack goes as far as it must; one that is made at a given PSNR does not."""
        return self.epsilon is None and PSNR not in Parameters.parse(self.parameters)

    @property
    def elsewhere(self) -> str:
        """Return the model that the images were made on where it is another than the one they are shown to."""
        own = self.setting != "black_box" and self.source in ("", self.model or self.source)
        return "" if own else self.source

    @property
    def name(self) -> str:
        """Return the words that name its row of measurements.csv."""
        source = f" from {self.elsewhere}" if self.elsewhere else ""
        return f"{self.setting} {self.attack} {self.parameters}{source}".rstrip()


@dataclass(frozen=True)
class Outcomes:
    """All that was seen of one model with one seed: its clean predictions and its trials."""

    study: str
    dataset: str
    architecture: str
    defense: str
    training: str
    model: str
    seed: int
    images: Integers
    """The test images, sorted."""
    clean: Bools
    """Which of them are classified correctly without an attack."""
    trials: tuple[Trial, ...]
    clean_refused: Bools | None = None
    """Which of them are not answered, even without an attack; None where no image of the model is ever refused."""
    clean_failed: Bools | None = None
    """On which of them an ensemble finds no majority without an attack."""
    clean_nearest: Bools | None = None
    """Of which of them the nearest prototype's class is the label, without an attack."""
    members: tuple[str, ...] = ()
    """The models that an ensemble is put together from."""
    labels: Integers = field(default_factory=lambda: np.array([], dtype="i8"))
    """The images' labels, in the order of `images`."""
    notes: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    """Threat -> source -> attack -> what its job noted: `attacked`, `gradient_zero_share`, ..."""
    probe: Mapping[str, Any] = field(default_factory=dict)
    """Facts about the model at clean images (probes.probe, which imports torch); empty where none were kept."""

    def clean_on(self, images: Integers) -> Bools:
        """Return which of these images are classified correctly without an attack."""
        return self.clean[np.searchsorted(self.images, images)]

    def clean_refused_on(self, images: Integers) -> Bools:
        """Return which of these images are not answered, even without an attack."""
        if self.clean_refused is None:
            return np.zeros(len(images), dtype=bool)
        return self.clean_refused[np.searchsorted(self.images, images)]


def read_outcomes(paths: Iterable[Path]) -> list[Outcomes]:
    """Return what the parquet files say, by model and seed.

    ArtifactError names the file that is unreadable, lacks columns, repeats a row, or contradicts another: an
    image has one label and one clean prediction per model and seed, whatever attacked it.
    """
    found: dict[tuple[str, int], list[_File]] = defaultdict(list)
    for path in sorted(paths):
        file = _read(path)
        found[file.identity["model"], file.identity["seed"]].append(file)
    return [_gather(found[key]) for key in sorted(found)]


@dataclass(frozen=True)
class _File:
    """An outcomes file in columns; text is kept as words and each row's index among them."""

    path: Path
    identity: dict[str, Any]
    numbers: dict[str, npt.NDArray[Any]]
    words: dict[str, list[str]]
    indices: dict[str, Integers]
    failed: Bools | None
    """Of an ensemble that votes: where it found no majority."""
    fooling_set: tuple[Bools, Bools] | None
    """Which rows fool all their sources, and which rows say so at all; None of files without the column."""
    nearest: Integers | None = None
    """What the nearest prototype says; None of files without it."""
    parts: tuple[str | None, ...] | None = None
    """Which part of a composed attack took each row's image; None of files that hold no such attack."""


def _read(path: Path) -> _File:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(f"{path}: is no readable parquet file: {error}") from error
    identity = _identity(path, table)
    missing = [name for name in (*_LABELS, *_NUMBERS) if name not in table.column_names]
    if missing:
        raise ArtifactError(f"{path}: lacks the columns {', '.join(missing)}")
    failed = None
    if "failed" in table.column_names and table.column("failed").null_count < len(table):
        column = table.column("failed")
        if column.null_count or not pa.types.is_boolean(column.type):
            raise ArtifactError(
                f"{path}: column failed should say true or false of every row, or of none; it is {column.type}, with "
                f"{column.null_count} empty cells"
            )
        failed = column.to_numpy()
    fooling_set = None
    if "fooling_set" in table.column_names:
        column = table.column("fooling_set")
        if not pa.types.is_boolean(column.type):
            raise ArtifactError(
                f"{path}: column fooling_set should be true, false or empty; it is {column.type}"
            )
        fooling_set = column.fill_null(False).to_numpy(), column.is_valid().to_numpy()
    file = _File(path, identity, {}, {}, {}, failed, fooling_set, _nearest(path, table), _parts(path, table))
    for name in (*_LABELS, *_NUMBERS):
        column = table.column(name)
        if column.null_count and name != "epsilon":
            raise ArtifactError(f"{path}: column {name} has {column.null_count} empty cells")
        if name in _LABELS:
            encoded = column.combine_chunks().dictionary_encode()
            file.words[name] = encoded.dictionary.to_pylist()
            file.indices[name] = encoded.indices.to_numpy().astype("i8")
        else:
            # An empty epsilon becomes NaN.
            file.numbers[name] = column.to_numpy().astype("f8" if name in ("l2", "epsilon") else "i8")
    return file


def _nearest(path: Path, table: pa.Table) -> Integers | None:
    """Return what the nearest prototype says of each row; None where a file has no such column, or an empty one."""
    name = "nearest_prototype"
    if name not in table.column_names or table.column(name).null_count == len(table):
        return None
    column = table.column(name)
    if column.null_count or "int" not in str(column.type):
        raise ArtifactError(
            f"{path}: column {name} should hold a class in every row, or in none; it is {column.type}, with "
            f"{column.null_count} empty cells"
        )
    classes: Integers = column.to_numpy().astype("i8")
    return classes


def _parts(path: Path, table: pa.Table) -> tuple[str | None, ...] | None:
    """Return which part of a composed attack took each row's image; None where a file tells of none."""
    name = "part"
    if name not in table.column_names or table.column(name).null_count == len(table):
        return None
    if "string" not in str(table.column(name).type):
        raise ArtifactError(f"{path}: column {name} should hold text; it is {table.column(name).type}")
    return tuple(table.column(name).to_pylist())


def _identity(path: Path, table: pa.Table) -> dict[str, Any]:
    text = (table.schema.metadata or {}).get(b"reproof")
    try:
        identity = json.loads(text) if text is not None else None
    except ValueError:
        identity = None
    if not isinstance(identity, dict) or any(name not in identity for name in IDENTITY):
        raise ArtifactError(
            f"{path}: its metadata does not say whose outcomes these are ({', '.join(IDENTITY)})"
        )
    return identity


def _gather(files: list[_File]) -> Outcomes:
    first = files[0]
    whose = {name: first.identity[name] for name in IDENTITY if name != "threat"}
    known: dict[int, tuple[int, int]] = {}
    clean_images: set[int] = set()
    clean_trial: Trial | None = None
    trials: dict[tuple[str, str, str, Parameters], tuple[Trial, Path]] = {}
    for file in files:
        path = file.path
        for name, value in whose.items():
            if file.identity[name] != value:
                raise ArtifactError(
                    f"{path}: says {name} {file.identity[name]!r} of model {whose['model']} "
                    f"seed {whose['seed']}, {first.path} says {value!r}"
                )
        _check_images(file, known)
        for trial in _trials(file):
            if len(np.unique(trial.images)) < len(trial.images):
                raise ArtifactError(f"{path}: holds an image twice for {trial.name}")
            if trial.attack == NO_ATTACK:
                clean_images.update(trial.images.tolist())
                clean_trial = trial
                continue
            key = (trial.setting, trial.source, trial.attack, Parameters.parse(trial.parameters))
            if key in trials:
                raise ArtifactError(
                    f"{path}: holds {trial.name} of model {whose['model']} seed {whose['seed']} once more; "
                    f"{trials[key][1]} has it already. Name an attack in one suite of a setting only"
                )
            trials[key] = (trial, path)
    lacking = set(known) - clean_images
    if lacking:
        raise ArtifactError(
            f"{first.path}: {len(lacking)} images of model {whose['model']} seed {whose['seed']} "
            "were attacked and have no row without attack"
        )
    images = np.array(sorted(known), dtype="i8")
    clean = np.array([known[image][0] == known[image][1] for image in images.tolist()], dtype=bool)
    found = tuple(sorted((trial for trial, _ in trials.values()), key=_place))
    complete = clean_trial if clean_trial is not None and len(clean_trial.images) == len(images) else None
    refuses = any(trial.refused.any() for trial in (*found, *([complete] if complete else [])))
    return Outcomes(
        **whose,
        images=images,
        clean=clean,
        trials=found,
        clean_refused=complete.refused if complete and refuses else None,
        clean_failed=complete.failed if complete else None,
        clean_nearest=complete.nearest_prototype if complete else None,
        members=tuple(first.identity.get("members", ())),
        labels=np.array([known[image][0] for image in images.tolist()], dtype="i8"),
        notes={file.identity["threat"]: file.identity.get("notes", {}) for file in files},
        probe=next((kept for file in files if (kept := file.identity.get("probe"))), {}),
    )


def _place(trial: Trial) -> Place:
    return trial.setting, trial.source, trial.attack, trial.parameters


def _check_images(file: _File, known: dict[int, tuple[int, int]]) -> None:
    """Add images' labels and clean predictions to `known`; ArtifactError where they stand otherwise."""
    # 32 bits of image, 16 of label, 16 of prediction: one number per row sorts far faster than three.
    columns = [file.numbers[name] for name in ("image", "label", "clean_prediction")]
    rows = (columns[0] << 32) | ((columns[1] & 0xFFFF) << 16) | (columns[2] & 0xFFFF)
    _, unlike = np.unique(rows, return_index=True)
    for image, label, prediction in zip(*(column[unlike].tolist() for column in columns), strict=True):
        before = known.setdefault(image, (label, prediction))
        for what, old, new in zip(("label", "clean prediction"), before, (label, prediction), strict=True):
            if old != new:
                raise ArtifactError(
                    f"{file.path}: image {image} has {what} {new}, elsewhere for the same model and seed "
                    f"{old}; the files come from different runs. Delete them and run again"
                )


def _trials(file: _File) -> Iterable[Trial]:
    columns = file.numbers
    codes = np.zeros(len(columns["image"]), dtype="i8")
    for name in _LABELS:
        codes = codes * len(file.words[name]) + file.indices[name]
    for code in np.unique(codes):
        chosen = np.flatnonzero(codes == code)
        chosen = chosen[np.argsort(columns["image"][chosen], kind="stable")]
        words = {name: file.words[name][file.indices[name][chosen[0]]] for name in _LABELS}
        yield Trial(
            **words,
            epsilon=_epsilon(file, float(columns["epsilon"][chosen[0]]), words["parameters"]),
            images=columns["image"][chosen],
            correct=columns["adversarial_prediction"][chosen] == columns["label"][chosen],
            refused=columns["adversarial_prediction"][chosen] == REFUSED,
            failed=None if file.failed is None else file.failed[chosen],
            l2=columns["l2"][chosen],
            model=file.identity["model"],
            fooling_set=_fooling_set(file, chosen),
            nearest_prototype=(
                None if file.nearest is None else file.nearest[chosen] == columns["label"][chosen]
            ),
            taken_by=() if file.parts is None else tuple(file.parts[row] or "" for row in chosen.tolist()),
        )


def _epsilon(file: _File, epsilon: float, parameters: str) -> float | None:
    """Return a trial's budget, which keeps the print that its parameters have; ArtifactError where they are none."""
    if np.isnan(epsilon):
        return None
    try:
        printed = Parameters.parse(parameters).number("epsilon")
    except ValueError as error:
        raise ArtifactError(f"{file.path}: column parameters: {error}") from error
    return printed if printed == epsilon else epsilon


def _fooling_set(file: _File, chosen: Integers) -> Bools | None:
    """Return which of a trial's rows fool all their sources; None where none says so."""
    if file.fooling_set is None:
        return None
    fools, says = (part[chosen] for part in file.fooling_set)
    if says.any() and not says.all():
        raise ArtifactError(
            f"{file.path}: column fooling_set should say true or false of all rows of an attack"
        )
    return fools if says.any() else None
