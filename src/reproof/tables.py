"""Outcomes per image -> measurements with counts -> summary over seeds -> verdicts. Imports no torch."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from reproof import intervals
from reproof.claims import Paper
from reproof.errors import ArtifactError
from reproof.settings import AGGREGATED, MEMBER, PSNR, format_number
from reproof.statements import StatementVerdict, judge_statements
from reproof.verdicts import TOLERANCE, Budget, Measurement, Summary, Verdict, judge

if TYPE_CHECKING:
    import pyarrow as pa

Row = TypeVar("Row", Measurement, Summary, Verdict)
Bools = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

BOOSTED = "[boosted]"
"""What the name of a defense ends with whose vote is boosted."""
WORST_UNBOUNDED = "worst_case_unbounded"
"""The attack, in the tables, of the worst case under all attacks that have no epsilon."""
REFUSED = -1
"""The prediction of an image that a model answers with no class (classifier.REFUSED, which imports torch)."""
IDENTITY = ("study", "dataset", "architecture", "defense", "training", "model", "seed", "threat")
"""What the metadata of an outcomes file says."""
_LABELS = ("setting", "threat", "source", "attack", "kind", "view", "norm", "parameters")
_NUMBERS = ("image", "label", "clean_prediction", "adversarial_prediction", "l2", "epsilon")

MEASUREMENT_COLUMNS = tuple(field.name for field in fields(Measurement))
SUMMARY_COLUMNS = tuple(field.name for field in fields(Summary))
VERDICT_COLUMNS = tuple(field.name for field in fields(Verdict))
STATEMENT_COLUMNS = tuple(field.name for field in fields(StatementVerdict))


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

    @property
    def unbounded(self) -> bool:
        """Say whether the attack goes as far as it must; one that is made at a given PSNR does not."""
        return self.epsilon is None and not self.parameters.startswith(f"{PSNR}=")

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


@dataclass(frozen=True)
class Tables:
    """The tables of a study, rows sorted; statements in the order of the papers."""

    measurements: list[Measurement]
    summary: list[Summary]
    verdicts: list[Verdict]
    statements: list[StatementVerdict]

    def files(self) -> dict[str, str]:
        """Return each table's file name and its text."""
        return {
            "measurements.csv": to_csv(map(asdict, self.measurements), MEASUREMENT_COLUMNS),
            "summary.csv": to_csv(map(asdict, self.summary), SUMMARY_COLUMNS),
            "verdicts.csv": to_csv(map(asdict, self.verdicts), VERDICT_COLUMNS),
            "statements.csv": to_csv(map(asdict, self.statements), STATEMENT_COLUMNS),
        }


def tabulate(
    outcomes: Sequence[Outcomes],
    papers: Sequence[Paper],
    budgets: Mapping[str, Budget],
    attacks: Mapping[str, Mapping[str, Any]] | None = None,
    tolerance: float = TOLERANCE,
    *,
    narrowed: Mapping[tuple[str, str, str, str], Mapping[str, Any]] | None = None,
) -> Tables:
    """Return the tables of a study. Cells where the paper prints a dash, or that are lost, get no verdict.

    budgets: model -> what it was given. attacks: stanza -> the study's settings of that attack. narrowed: (model,
    setting, source, attack) -> its settings there, where a suite sets them otherwise.
    """
    measurements = measure(outcomes)
    summary = summarise(measurements)
    verdicts = [
        judge(claim, summary, tolerance, budgets=budgets, paper=paper, attacks=attacks, narrowed=narrowed)
        for paper in papers
        for claim in paper.claims
        if claim.value is not None
    ]
    verdicts.sort(key=lambda verdict: verdict.claim_id)
    return Tables(measurements, summary, verdicts, judge_statements(papers, verdicts))


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
    file = _File(path, identity, {}, {}, {}, failed, fooling_set)
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
    trials: dict[tuple[str, ...], tuple[Trial, Path]] = {}
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
            if trial.attack == "none":
                clean_images.update(trial.images.tolist())
                clean_trial = trial
                continue
            key = (trial.setting, trial.source, trial.attack, trial.parameters)
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
    found = tuple(trials[key][0] for key in sorted(trials))
    complete = clean_trial if clean_trial is not None and len(clean_trial.images) == len(images) else None
    refuses = any(trial.refused.any() for trial in (*found, *([complete] if complete else [])))
    return Outcomes(
        **whose,
        images=images,
        clean=clean,
        trials=found,
        clean_refused=complete.refused if complete and refuses else None,
        clean_failed=complete.failed if complete else None,
        members=tuple(first.identity.get("members", ())),
        labels=np.array([known[image][0] for image in images.tolist()], dtype="i8"),
        notes={file.identity["threat"]: file.identity.get("notes", {}) for file in files},
        probe=next((kept for file in files if (kept := file.identity.get("probe"))), {}),
    )


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
        epsilon = float(columns["epsilon"][chosen[0]])
        yield Trial(
            **{name: file.words[name][file.indices[name][chosen[0]]] for name in _LABELS},
            epsilon=None if np.isnan(epsilon) else epsilon,
            images=columns["image"][chosen],
            correct=columns["adversarial_prediction"][chosen] == columns["label"][chosen],
            refused=columns["adversarial_prediction"][chosen] == REFUSED,
            failed=None if file.failed is None else file.failed[chosen],
            l2=columns["l2"][chosen],
            model=file.identity["model"],
            fooling_set=_fooling_set(file, chosen),
        )


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


def measure(outcomes: Iterable[Outcomes]) -> list[Measurement]:
    """Return the measurements of each model and seed, sorted.

    Accuracy under one attack is the share of its images whose adversarial version is classified correctly.
    The worst case of a norm and epsilon is the share classified correctly clean and under every attack in
    that budget, whatever its threat, over the images that all of those attacks share; `worst_case_unbounded`
    is the same of all attacks that have no epsilon, however far they go. `l2_mean`: the mean
    distance of the images that were correct and no longer are, for attacks without epsilon; none, no row.
    `refused`: the share that a model answers with no class, where it ever does. `failed_majorities`: the number
    of images on which an ensemble finds no majority. `fooling_set_accuracy`, `fooling_set_clean_accuracy`: of the
    images that fool all the networks they were made on, the share that another model classifies correctly, and
    the share of their clean originals; no row where no image does. `accuracy_gain`: how much more accurate a
    boosted vote is than the plain one of the same members. An ensemble that is attacked through each member in turn
    has a row for each, and one of source `member`: their mean, with the interval of as many images.
    """
    outcomes = list(outcomes)
    found = _gains(outcomes)
    for one in outcomes:
        clean_place = ("white_box", "", "none", "")
        found.append(_counted(one, *clean_place, one.clean))
        found += _unsettled(one, clean_place, one.clean_refused, one.clean_failed)
        found += _means_over_members(one)
        for trial in one.trials:
            place = (trial.setting, trial.source, trial.attack, trial.parameters)
            found.append(_counted(one, *place, trial.correct))
            found += _unsettled(
                one, place, trial.refused if one.clean_refused is not None else None, trial.failed
            )
            found += _on_fooling_set(one, trial, place)
            fooled = one.clean_on(trial.images) & ~trial.correct
            if trial.unbounded and fooled.any():
                distance = float(trial.l2[fooled].mean())
                found.append(_row(one, *place, "l2_mean", distance, None, None, None))
        for norm, epsilon in budgets(one):
            stood = worst_case(one, norm, epsilon)
            found.append(_counted(one, *worst_case_place(norm, epsilon), stood))
        stood = worst_case_unbounded(one)
        if len(stood):
            found.append(_counted(one, "all", "", WORST_UNBOUNDED, "", stood))
    return sorted(found, key=_order)


Place = tuple[str, str, str, str]
"""Setting, source, attack and parameters of a measurement."""


def _unsettled(
    one: Outcomes, place: Place, refused: Bools | None, failed: Bools | None
) -> Iterable[Measurement]:
    """Yield how many images are refused, and on how many no majority is found, where a model does so."""
    if refused is not None:
        count, total = int(refused.sum()), len(refused)
        interval = intervals.wilson(count, total)
        yield _row(one, *place, "refused", count / total, count, total, interval)
    if failed is not None:
        count, total = int(failed.sum()), len(failed)
        low, high = intervals.wilson(count, total)
        yield _row(one, *place, "failed_majorities", count, None, total, (low * total, high * total))


def _on_fooling_set(one: Outcomes, trial: Trial, place: Place) -> Iterable[Measurement]:
    """Yield what a model makes of the images that fool all of other networks (Seiler, Tables II and III).

    A model that the images were made on is wrong on all of them, by their choice; it has no row.
    """
    fools = trial.fooling_set
    if fools is None or not fools.any() or trial.setting != "black_box":
        return
    clean = one.clean_on(trial.images)
    for metric, correct in (
        ("fooling_set_accuracy", trial.correct),
        ("fooling_set_clean_accuracy", clean),
    ):
        count, total = int(correct[fools].sum()), int(fools.sum())
        yield _row(one, *place, metric, count / total, count, total, intervals.wilson(count, total))


def _means_over_members(one: Outcomes) -> Iterable[Measurement]:
    """Yield the mean accuracy over the members that an ensemble was attacked through, one at a time."""
    groups: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    for trial in one.trials:
        if trial.setting == "white_box" and trial.elsewhere not in ("", AGGREGATED):
            groups[trial.attack, trial.parameters].append(trial)
    for (attack, parameters), trials in sorted(groups.items()):
        count, total = sum(int(trial.correct.sum()) for trial in trials), len(trials[0].images)
        value = count / (len(trials) * total)
        # The members meet the same images, so the interval is that of one of them, not of all together.
        interval = intervals.wilson(round(value * total), total)
        yield _row(one, "white_box", MEMBER, attack, parameters, "accuracy", value, None, total, interval)


def _gains(outcomes: Sequence[Outcomes]) -> list[Measurement]:
    """Return what the boosted votes gain over the plain ones under the same images."""
    found = []
    plain = {(o.dataset, o.architecture, o.training, o.seed, o.members, o.defense): o for o in outcomes}
    for one in outcomes:
        key = (one.dataset, one.architecture, one.training, one.seed, one.members)
        other = plain.get((*key, one.defense.removesuffix(BOOSTED)))
        if other is None or not one.defense.endswith(BOOSTED):
            continue
        both = {(t.setting, t.source, t.attack, t.parameters): t for t in other.trials}
        for trial in one.trials:
            place = (trial.setting, trial.source, trial.attack, trial.parameters)
            before = both.get(place)
            if (
                before is None
                or trial.setting != "black_box"
                or not np.array_equal(before.images, trial.images)
            ):
                continue  # of a white-box attack each vote has images of its own
            worse, better = (before.correct & ~trial.correct).sum(), (trial.correct & ~before.correct).sum()
            total = len(trial.images)
            interval = intervals.paired(int(worse), int(better), total)
            value = (int(better) - int(worse)) / total
            found.append(_row(one, *place, "accuracy_gain", value, None, total, interval))
    return found


def budgets(outcomes: Outcomes) -> list[tuple[str, float]]:
    """Return every norm and epsilon in which a model was attacked, sorted."""
    return sorted({(t.norm, t.epsilon) for t in outcomes.trials if t.norm and t.epsilon is not None})


def worst_case_place(norm: str, epsilon: float) -> Place:
    """Return setting, source, attack and parameters of a budget's worst case in the tables."""
    return "all", "", "worst_case", f"norm={norm} epsilon={format_number(epsilon)}"


def shared_images(outcomes: Outcomes, norm: str, epsilon: float) -> Integers:
    """Return the images that all attacks of the norm within epsilon share, sorted; ArtifactError for none."""
    inside = _within(outcomes, norm, epsilon)
    shared = _shared(inside)
    if not len(shared):
        names = ", ".join(trial.name for trial in inside)
        raise ArtifactError(f"model {outcomes.model} seed {outcomes.seed}: no image is shared by {names}")
    return shared


def worst_case(outcomes: Outcomes, norm: str, epsilon: float) -> Bools:
    """Return which of the images that all attacks of the norm within epsilon share withstand them all."""
    return _stood(outcomes, _within(outcomes, norm, epsilon), shared_images(outcomes, norm, epsilon))


def worst_case_unbounded(outcomes: Outcomes) -> Bools:
    """Return which of the images that all attacks without an epsilon share withstand them all; empty for none."""
    free = [trial for trial in outcomes.trials if trial.unbounded]
    return _stood(outcomes, free, _shared(free))


def _within(outcomes: Outcomes, norm: str, epsilon: float) -> list[Trial]:
    return [
        trial
        for trial in outcomes.trials
        if trial.norm == norm and trial.epsilon is not None and trial.epsilon <= epsilon
    ]


def _shared(trials: Sequence[Trial]) -> Integers:
    shared = trials[0].images if trials else np.array([], dtype="i8")
    for trial in trials[1:]:
        shared = np.intersect1d(shared, trial.images, assume_unique=True)
    return shared


def _stood(outcomes: Outcomes, trials: Sequence[Trial], images: Integers) -> Bools:
    stood = outcomes.clean_on(images)
    for trial in trials:
        stood = stood & trial.correct[np.searchsorted(trial.images, images)]
    return stood


def _counted(
    one: Outcomes, setting: str, source: str, attack: str, parameters: str, correct: Bools
) -> Measurement:
    count, total = int(correct.sum()), len(correct)
    interval = intervals.wilson(count, total)
    return _row(one, setting, source, attack, parameters, "accuracy", count / total, count, total, interval)


def _row(
    one: Outcomes,
    setting: str,
    source: str,
    attack: str,
    parameters: str,
    metric: str,
    value: float,
    correct: int | None,
    total: int | None,
    interval: intervals.Interval | None,
) -> Measurement:
    low, high = interval if interval is not None else (None, None)
    return Measurement(
        study=one.study,
        dataset=one.dataset,
        architecture=one.architecture,
        defense=one.defense,
        training=one.training,
        seed=one.seed,
        setting=setting,
        source=source,
        attack=attack,
        parameters=parameters,
        metric=metric,
        value=value,
        correct=correct,
        total=total,
        low=low,
        high=high,
        model=one.model,
    )


def summarise(measurements: Iterable[Measurement]) -> list[Summary]:
    """Return one row per quantity over its seeds: the mean, pooled counts, the wider of the two intervals."""
    found = []
    for _, group in itertools.groupby(sorted(measurements, key=_order), key=_order_without_seed):
        rows = list(group)
        first = rows[0]
        if len({row.seed for row in rows}) < len(rows):
            raise ArtifactError(
                f"model {first.model}: {first.attack} {first.parameters} is measured twice for a seed"
            )
        values = [row.value for row in rows]
        counts = [
            (row.correct, row.total) for row in rows if row.correct is not None and row.total is not None
        ]
        correct = sum(count for count, _ in counts) if counts else None
        totals = [row.total for row in rows if row.total is not None]
        total = sum(totals) if totals else None
        interval = intervals.seed_spread(values)
        if len(rows) == 1 and first.low is not None and first.high is not None:
            interval = first.low, first.high
        if correct is not None and total is not None:
            interval = intervals.combined(correct, total, values)
        shared = {name: value for name, value in asdict(first).items() if name not in _PER_SEED}
        found.append(
            Summary(
                **shared,
                seeds=len(rows),
                value=float(np.mean(values)),
                correct=correct,
                total=total,
                low=interval[0] if interval else None,
                high=interval[1] if interval else None,
                value_min=min(values),
                value_max=max(values),
            )
        )
    return found


_PER_SEED = ("seed", "value", "correct", "total", "low", "high")


def _order_without_seed(row: Measurement) -> tuple[Any, ...]:
    return (
        row.study,
        row.dataset,
        row.architecture,
        row.defense,
        row.training,
        row.model,
        row.setting,
        row.source,
        row.attack,
        _natural(row.parameters),
        row.metric,
    )


def _order(row: Measurement) -> tuple[Any, ...]:
    return (*_order_without_seed(row), row.seed)


def _natural(parameters: str) -> tuple[tuple[str, float, str], ...]:
    """Return an order in which c=2 comes before c=10."""
    parts = []
    for part in parameters.split():
        name, _, text = part.partition("=")
        try:
            parts.append((name, float(text), ""))
        except ValueError:
            parts.append((name, 0.0, text))
    return tuple(parts)


def to_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return the rows as CSV; floats read back the same, None is an empty cell, lines end in a newline."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[column]) for column in columns])
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


_WHOLE = ("seed", "seeds", "correct", "total")
_REAL = (
    "value",
    "low",
    "high",
    "value_min",
    "value_max",
    "claimed",
    "measured",
    "strongest_value",
    "strongest_low",
    "strongest_high",
)


def from_csv(text: str, kind: type[Row], origin: str) -> list[Row]:
    """Return the rows that `to_csv` wrote; ArtifactError names `origin` where they are not."""
    expected = [field.name for field in fields(kind)]
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if reader.fieldnames != expected:
        raise ArtifactError(
            f"{origin}: its columns are not those of {kind.__name__.lower()} ({', '.join(expected)})"
        )
    rows: list[Row] = []
    try:
        for cells in reader:
            if None in cells or None in cells.values():
                raise ArtifactError(f"{origin}, line {reader.line_num}: has too many or too few cells")
            rows.append(kind(**{name: _value(name, cell) for name, cell in cells.items()}))
    except (csv.Error, ValueError) as error:
        raise ArtifactError(f"{origin}, line {reader.line_num}: {error}") from error
    return rows


def _value(name: str, cell: str) -> Any:
    if name in _WHOLE:
        return int(cell) if cell else None
    if name in _REAL:
        return float(cell) if cell else None
    return cell
