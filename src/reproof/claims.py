"""What papers claim, what was measured, and `judge`, the only place where the two meet. Imports no torch."""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from reproof import registry
from reproof.errors import ClaimError
from reproof.settings import Count, Number, Settings, format_number, parse_number

FOLDER = Path(__file__).parent / "papers"
TOLERANCE = 0.02
"""How far outside the measured interval a claim may lie and still be reproduced: two points of accuracy."""

COLUMNS = (
    "claim_id",
    "paper",
    "table",
    "row",
    "column",
    "dataset",
    "architecture",
    "defense",
    "training",
    "setting",
    "attack",
    "parameters",
    "metric",
    "printed",
    "value",
    "evidence",
    "note",
)
DATASETS = ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "svhn", "ilsvrc")
DEFENSES = (
    "undefended",
    "fgsm_training",
    "pgd_training",
    "input_gradient",
    "decision_surface",
    "adaptive_diversity",
    "prototype_conformity",
    "adaptive_gravity",
    "defensive_features",
    "polarised_contrastive",
    "dynamic_training",
    "domain_adaptation",
    "superimposition",
    "virtual_adversarial",
    "independent",
    "distilled",
    "diverse",
    "magnet",
    "pixel_defend",
    "defense_gan",
)
ARCHITECTURES = (
    "lenet",
    "cnn6",
    "resnet18",
    "resnet32",
    "resnet34",
    "resnet50",
    "resnet110",
    "vgg16",
    "vgg19",
)
TRAININGS = ("clean", "fgsm", "pgd")
SETTINGS = ("white_box", "black_box", "adaptive")
ATTACKS = ("none", "fgsm", "bim", "mim", "pgd", "carlini_wagner", "deepfool", "jsma", "autoattack")
METRICS = ("accuracy", "l2_mean")
PARAMETERS = ("epsilon", "c")
NOT_CLAIMED = "-"
"""What `printed` holds where the paper's cell is a dash: a place in the layout without a value."""
SEPARATOR = " · "
"""Stands in `row` and `column` between a printed group heading and the label below it."""

Word = Literal["reproduced", "lower", "higher", "not comparable", "not measured", "not claimed"]


@dataclass(frozen=True)
class Claim:
    """One printed cell of a paper's table; `value` is a fraction or in SI units, None for a dash."""

    claim_id: str
    paper: str
    table: str
    row: str
    column: str
    dataset: str
    architecture: str
    defense: str
    training: str
    setting: str
    attack: str
    parameters: str
    metric: str
    printed: str
    value: float | None
    evidence: str
    note: str

    @property
    def quantity(self) -> tuple[str, ...]:
        """Return the key that a measurement of the same quantity carries."""
        return (
            self.dataset,
            self.architecture,
            self.defense,
            self.training,
            self.setting,
            self.attack,
            self.parameters,
            self.metric,
        )

    @property
    def epsilon(self) -> str | None:
        """Return the budget as written in `parameters`; None for claims without one."""
        return self.parameters.removeprefix("epsilon=") if self.parameters.startswith("epsilon=") else None


@dataclass(frozen=True)
class Measurement:
    """One row of measurements.csv: one seed, counts where the value is a share of images."""

    study: str
    dataset: str
    architecture: str
    defense: str
    training: str
    seed: int
    setting: str
    source: str
    attack: str
    parameters: str
    metric: str
    value: float
    correct: int | None
    total: int | None
    low: float | None
    high: float | None
    model: str


@dataclass(frozen=True)
class Summary:
    """One row of summary.csv: the mean over seeds, pooled counts, the wider interval."""

    study: str
    dataset: str
    architecture: str
    defense: str
    training: str
    seeds: int
    setting: str
    source: str
    attack: str
    parameters: str
    metric: str
    value: float
    correct: int | None
    total: int | None
    low: float | None
    high: float | None
    model: str
    value_min: float
    value_max: float


@dataclass(frozen=True)
class Budget:
    """What a model of the study was given; `width` is the network's share of the paper's channels."""

    model: str
    dataset: str
    architecture: str
    width: float
    epochs: int
    train_images: int | None = None
    test_images: int | None = None
    seeds: int = 1


@dataclass(frozen=True)
class Verdict:
    """A claim beside its measurement, in the columns of verdicts.csv.

    `differences`: those of the measurement that was chosen, or the reason why there is none. `strongest_*`:
    what is left of the same model under every attack of the study in the same budget, beside the same claim.
    """

    claim_id: str
    claimed: float | None
    measured: float | None
    low: float | None
    high: float | None
    verdict: Word
    differences: str
    paper: str
    table: str
    row: str
    column: str
    model: str
    strongest_attack: str
    strongest_value: float | None
    strongest_low: float | None
    strongest_high: float | None
    strongest_verdict: Word | Literal[""]


class PaperBudget(Settings):
    """What the paper gave its own models on one data set; None where it does not say."""

    epochs: Count | None = None
    train_images: Count | None = None
    test_images: Count | None = None
    seeds: Count | None = None


class HyperParameter(Settings):
    """A number that the paper states, and where."""

    name: str
    value: str
    place: str


class Reading(Settings):
    """A place where the paper is silent or unclear, what was chosen, and the setting that changes it."""

    gap: str
    choice: str
    reason: str
    setting: str


class Contradiction(Settings):
    """Places of one paper that do not agree with each other, or with its own words."""

    places: tuple[str, ...]
    values: tuple[str, ...]
    meaning: str


class Paper(Settings):
    """A paper's folder: what paper.yaml says, and the claims of claims.csv in the file's order."""

    key: str
    title: str
    citation: str
    summary: str
    threat_model: str
    black_box_source: str | None = None
    """Architecture of the model that transfer attacks are made on."""
    tables: dict[str, str]
    """A caption in our own words for each table that has claims."""
    budgets: dict[str, PaperBudget]
    """Data set -> the paper's own budget."""
    attacks: dict[str, dict[str, Number]]
    """Attack -> what the paper says of it, or is read to say, by the names of the attack's own settings."""
    hyper_parameters: tuple[HyperParameter, ...]
    readings: tuple[Reading, ...]
    contradictions: tuple[Contradiction, ...]
    claims: tuple[Claim, ...]


def papers(folder: Path = FOLDER) -> list[Paper]:
    """Return every paper found under the folder, by key; ClaimError names the file and the place."""
    found = sorted(path.parent for path in folder.glob("*/paper.yaml"))
    for path in folder.glob("*/claims.csv"):
        if path.parent not in found:
            raise ClaimError(f"{path.parent / 'paper.yaml'}: missing; every folder with claims.csv needs one")
    return [_read_paper(path) for path in found]


def _read_paper(folder: Path) -> Paper:
    path = folder / "paper.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ClaimError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ClaimError(f"{path}: should be a mapping of keys to values")
    for key in ("key", "claims"):
        if key in content:
            raise ClaimError(
                f"{path}: {key}: is not written here; it comes from the folder's name and claims.csv"
            )
    claims = read_claims(folder / "claims.csv")
    try:
        paper = Paper.model_validate({**content, "key": folder.name, "claims": claims})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ClaimError(f"{path}: {place}: {message}" if place else f"{path}: {message}") from error
    for claim in paper.claims:
        if claim.paper != paper.key:
            place = f"{folder / 'claims.csv'}, claim {claim.claim_id}, column paper"
            raise ClaimError(f"{place}: is {claim.paper!r}; the folder is called {paper.key!r}")
        if claim.table not in paper.tables:
            raise ClaimError(f"{path}: tables: has no caption for {claim.table!r}, which claims.csv names")
    return paper


def read_claims(path: Path) -> list[Claim]:
    """Return the file's claims in its order; ClaimError names line, column and the nearest right word."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ClaimError(f"{path}: cannot be read: {error}") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    claims: list[Claim] = []
    seen: dict[tuple[str, ...], int] = {}
    try:
        header = next(reader, [])
        _check_header(path, header)
        for cells in reader:
            place = f"{path}, line {reader.line_num}"
            if len(cells) != len(header):
                raise ClaimError(f"{place}: has {len(cells)} cells, the header has {len(header)}")
            claim = _claim(place, dict(zip(header, cells, strict=True)))
            for column, what, key in (
                ("claim_id", "id", ("id", claim.claim_id)),
                ("row", "cell", ("cell", claim.table, claim.row, claim.column)),
                ("parameters", "quantity", ("quantity", claim.table, *claim.quantity)),
            ):
                if key in seen:
                    raise ClaimError(
                        f"{place}, column {column}: the {what} {' / '.join(key[1:])} "
                        f"stands already in line {seen[key]}"
                    )
                seen[key] = reader.line_num
            claims.append(claim)
    except csv.Error as error:
        raise ClaimError(f"{path}, line {reader.line_num}: is no CSV: {error}") from error
    return claims


def _check_header(path: Path, header: list[str]) -> None:
    for name in header:
        if name not in COLUMNS:
            raise ClaimError(f"{path}, line 1: column {name!r} is unknown{_nearest(name, COLUMNS)}")
        if header.count(name) > 1:
            raise ClaimError(f"{path}, line 1: column {name!r} stands twice")
    for name in COLUMNS:
        if name not in header:
            raise ClaimError(
                f"{path}, line 1: column {name!r} is missing; the columns are {', '.join(COLUMNS)}"
            )


def _claim(place: str, cells: dict[str, str]) -> Claim:
    for name, text in cells.items():
        if text != text.strip():
            raise ClaimError(f"{place}, column {name}: {text!r} has a blank at its end")
    for name in ("claim_id", "paper", "table", "row", "column", "architecture", "printed"):
        if not cells[name]:
            raise ClaimError(f"{place}, column {name}: is empty")
    defense = re.sub(r"\[\w+\]$", "", cells["defense"])
    for name, word, known in (
        ("dataset", cells["dataset"], DATASETS),
        ("architecture", cells["architecture"], ARCHITECTURES),
        ("defense", defense, (*DEFENSES, *registry.names("defenses"))),
        ("training", cells["training"], TRAININGS),
        ("setting", cells["setting"], SETTINGS),
        ("attack", cells["attack"], (*ATTACKS, *registry.names("attacks"))),
        ("metric", cells["metric"], METRICS),
    ):
        if word not in known:
            raise ClaimError(f"{place}, column {name}: {word!r} is unknown{_nearest(word, known)}")
    _check_parameters(f"{place}, column parameters", cells["attack"], cells["parameters"])
    evidence = cells["evidence"]
    if evidence != "measured" and not re.fullmatch(r"copied from \S.*", evidence):
        raise ClaimError(
            f"{place}, column evidence: {evidence!r} should be 'measured' or 'copied from <paper>'"
        )
    value = _value(place, cells["metric"], cells["printed"], cells["value"])
    return Claim(
        **{field.name: cells[field.name] for field in fields(Claim) if field.name != "value"}, value=value
    )


def _check_parameters(place: str, attack: str, text: str) -> None:
    if attack == "none":
        if text:
            raise ClaimError(f"{place}: {text!r} should be empty where the attack is 'none'")
        return
    for part in text.split():
        name, equals, number = part.partition("=")
        if not equals:
            raise ClaimError(f"{place}: {part!r} should read name=number, such as epsilon=0.3")
        if name not in PARAMETERS:
            raise ClaimError(f"{place}: {name!r} is unknown{_nearest(name, PARAMETERS)}")
        try:
            written = format_number(parse_number(number))
        except (ValueError, OverflowError):
            raise ClaimError(f"{place}: {number!r} is no number such as 0.3") from None
        if written != number:
            raise ClaimError(
                f"{place}: {part!r} should be written {name}={written}, as measurements write it"
            )


def _value(place: str, metric: str, printed: str, text: str) -> float | None:
    """Return the value, having checked it against the printed text: an accuracy is printed in percent."""
    if (printed == NOT_CLAIMED) != (text == ""):
        raise ClaimError(f"{place}, column value: is empty where, and only where, {NOT_CLAIMED!r} is printed")
    if printed == NOT_CLAIMED:
        return None
    match = re.fullmatch(r"\(?(-?\d+(?:\.\d+)?) ?%?\)?", printed)
    if match is None:
        raise ClaimError(f"{place}, column printed: {printed!r} is no printed number")
    try:
        value = float(text)
    except ValueError:
        raise ClaimError(f"{place}, column value: {text!r} is no number") from None
    upper = 1.0 if metric == "accuracy" else math.inf
    if not 0 <= value <= upper or math.isinf(value):
        shown = "[0, 1]; fractions, not percentages" if metric == "accuracy" else "[0, ∞)"
        raise ClaimError(f"{place}, column value: {text} lies outside {shown}")
    stands_for = float(match[1]) / 100 if metric == "accuracy" or "%" in printed else float(match[1])
    if abs(value - stands_for) > 1e-9:
        raise ClaimError(
            f"{place}, column value: {text} does not mean the printed {printed!r}, which is {stands_for:g}"
        )
    return value


def _nearest(word: str, known: Iterable[str]) -> str:
    choices = sorted(set(known))
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(choices)}"


def judge(
    claim: Claim,
    summary_rows: Sequence[Summary],
    tolerance: float = TOLERANCE,
    *,
    budgets: Mapping[str, Budget] | None = None,
    paper: Paper | None = None,
    attacks: Mapping[str, Mapping[str, Any]] | None = None,
) -> Verdict:
    """Return the claim's verdict against a study's summary.

    A claim is reproduced when it lies in the measured interval widened by the tolerance (for metrics other
    than accuracy: by that share of the claim); `lower` and `higher` say where the measurement lies.
    Only a measurement of the same defense, training, setting, attack, parameters and metric is chosen: of the
    same data set and network first, made on a transfer source of the paper's kind (a narrower one too), then the
    one with the fewest differences. On another data set or network
    (a narrower one included), or from another transfer source, it is shown and not judged. Smaller budgets
    are listed; they change no verdict.

    budgets: model -> what the study gave it. attacks: stanza -> the study's settings of that attack.
    """
    if claim.value is None:
        return _verdict(claim, "not claimed", "the paper prints a dash")
    candidates = [row for row in summary_rows if _same_question(claim, row)]
    if not candidates:
        return _verdict(claim, "not measured", _reason(claim, summary_rows))
    budgets, attacks = budgets or {}, attacks or {}
    ranked = []
    for row in candidates:
        foreign = _foreign(claim, row, budgets, paper)
        smaller = _smaller(claim, row, budgets.get(row.model), paper, attacks.get(row.attack, {}))
        order = (
            row.dataset != claim.dataset,
            row.architecture != claim.architecture,
            _source_of_another_kind(claim, row, budgets, paper),
            len(foreign),
            len(smaller),
            -(row.total or 0),
            row.model,
            row.source,
            row.study,
            row.dataset,
        )
        ranked.append((order, row, foreign, smaller))
    _, row, foreign, smaller = min(ranked, key=lambda entry: entry[0])
    allowed = tolerance if claim.metric == "accuracy" else tolerance * claim.value
    word: Word = "not comparable" if foreign else _compare(claim.value, row, allowed)
    strongest = next((other for other in summary_rows if _is_worst_case(claim, row, other)), None)
    strongest_word: Word | Literal[""] = ""
    if strongest is not None:
        strongest_word = "not comparable" if foreign else _compare(claim.value, strongest, allowed)
    return _verdict(claim, word, "; ".join(foreign + smaller), row, strongest, strongest_word)


def _same_question(claim: Claim, row: Summary) -> bool:
    mine = (
        row.defense,
        row.training,
        row.setting,
        row.attack,
        row.parameters,
        row.metric,
    )
    return mine == (
        claim.defense,
        claim.training,
        claim.setting,
        claim.attack,
        claim.parameters,
        claim.metric,
    )


def _is_worst_case(claim: Claim, row: Summary, other: Summary) -> bool:
    return (
        claim.metric == other.metric == "accuracy"
        and other.attack == "worst_case"
        and other.parameters == f"norm=linf epsilon={claim.epsilon}"
        and (other.study, other.model) == (row.study, row.model)
    )


def _compare(claimed: float, row: Summary, tolerance: float) -> Word:
    low = row.value if row.low is None else row.low
    high = row.value if row.high is None else row.high
    rounding = 1e-12
    if claimed > high + tolerance + rounding:
        return "lower"
    if claimed < low - tolerance - rounding:
        return "higher"
    return "reproduced"


def _foreign(claim: Claim, row: Summary, budgets: Mapping[str, Budget], paper: Paper | None) -> list[str]:
    """Return the differences that make it another quantity than the claimed one."""
    differences = []
    if row.dataset != claim.dataset:
        differences.append(f"dataset: {row.dataset}, not {claim.dataset}")
    network = _network(row.architecture, budgets.get(row.model))
    if network != claim.architecture:
        differences.append(f"architecture: {network}, not {claim.architecture}")
    if (
        claim.setting == "black_box"
        and paper is not None
        and paper.black_box_source
        and row.source in budgets
    ):
        source = _network(budgets[row.source].architecture, budgets[row.source])
        if source != paper.black_box_source:
            differences.append(f"source: {source}, not {paper.black_box_source}")
    return differences


def _source_of_another_kind(
    claim: Claim, row: Summary, budgets: Mapping[str, Budget], paper: Paper | None
) -> bool:
    """Say whether a transfer attack was made on another architecture than the paper's, whatever its width."""
    if (
        claim.setting != "black_box"
        or paper is None
        or not paper.black_box_source
        or row.source not in budgets
    ):
        return False
    return budgets[row.source].architecture != paper.black_box_source


def _network(architecture: str, budget: Budget | None) -> str:
    if budget is None or budget.width == 1:
        return architecture
    return f"{architecture} (width {format_number(budget.width)})"


def _smaller(
    claim: Claim, row: Summary, budget: Budget | None, paper: Paper | None, attack: Mapping[str, Any]
) -> list[str]:
    """Return how the study's budget differs from the paper's, as far as both are known."""
    own = paper.budgets.get(claim.dataset) if paper is not None else None
    pairs: list[tuple[str, float | None, float | None]] = []
    if own is not None:
        images = row.total // row.seeds if row.total is not None else None
        pairs.append(("images", images, own.test_images))
        if budget is not None:
            pairs.append(("epochs", budget.epochs, own.epochs))
            pairs.append(("training images", budget.train_images, own.train_images))
        pairs.append(("seeds", row.seeds, own.seeds))
    differences = [
        f"{name}: {format_number(here)} of {format_number(there)}"
        for name, here, there in pairs
        if here is not None and there is not None and here != there
    ]
    for name, there in sorted(paper.attacks.get(claim.attack, {}).items() if paper is not None else ()):
        here = attack.get(name)
        if isinstance(here, int | float) and not math.isclose(here, there):
            differences.append(f"{claim.attack} {name}: {format_number(here)}, not {format_number(there)}")
    return differences


def _reason(claim: Claim, rows: Sequence[Summary]) -> str:
    """Return what the study lacks, the first thing a reader would have to add."""
    left = [row for row in rows if row.defense == claim.defense]
    reason = f"{claim.metric} was not measured"
    if not left:
        reason = f"defense {claim.defense} was not built in this study"
    elif not (left := [row for row in left if row.training == claim.training]):
        how = "clean images alone" if claim.training == "clean" else f"{claim.training} examples"
        reason = f"defense {claim.defense} was not trained on {how} in this study"
    elif not (left := [row for row in left if row.setting == claim.setting]):
        reason = f"setting {claim.setting} was not run against {claim.defense}"
    elif not (left := [row for row in left if row.attack == claim.attack]):
        reason = f"attack {claim.attack} was not run in setting {claim.setting}"
    elif not any(row.parameters == claim.parameters for row in left):
        run = ", ".join(sorted({row.parameters for row in left}))
        reason = f"parameters: {claim.attack} was not run at {claim.parameters} (only at {run})"
    if not any(row.dataset == claim.dataset for row in rows):
        reason += f"; data set {claim.dataset} is not in this study"
    return reason


def _verdict(
    claim: Claim,
    word: Word,
    differences: str,
    row: Summary | None = None,
    strongest: Summary | None = None,
    strongest_word: Word | Literal[""] = "",
) -> Verdict:
    return Verdict(
        claim_id=claim.claim_id,
        claimed=claim.value,
        measured=row.value if row else None,
        low=row.low if row else None,
        high=row.high if row else None,
        verdict=word,
        differences=differences,
        paper=claim.paper,
        table=claim.table,
        row=claim.row,
        column=claim.column,
        model=row.model if row else "",
        strongest_attack=strongest.attack if strongest else "",
        strongest_value=strongest.value if strongest else None,
        strongest_low=strongest.low if strongest else None,
        strongest_high=strongest.high if strongest else None,
        strongest_verdict=strongest_word,
    )
