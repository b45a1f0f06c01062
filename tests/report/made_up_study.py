"""A complete results tree with made-up numbers, small and the same every time, and the page's data from it.

Nothing here was trained: accuracies are chosen so that every kind of verdict, a red flag, a stale file, a
missing cell and a title that looks like HTML occur. Tables are counted from the outcomes written beside them.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from reproof import csv_tables
from reproof.claims.claim import Claim
from reproof.claims.independent import IndependentMeasurement
from reproof.claims.paper import Contradiction, Paper, PaperTable, Reading, Statement
from reproof.claims.protocol import Experiment
from reproof.claims.vocabulary import LOST, METRICS
from reproof.figures import draw
from reproof.judging.difference import Difference, dump
from reproof.measuring.intervals import wilson
from reproof.report import DrawnFigure, ReportData, ShownAttack, ShownModel, ShownThreat, Trail, TrailFile

IMAGES = 40
CLASSES = 10
BUDGETS = (0.1, 0.2, 0.3)
SEED = 0
COMMIT = "0123456789abcdef0123456789abcdef01234567"
HOSTILE = "<script>alert('title')</script>"
"""A model's title: the page must show it as text."""
STALE = {
    "results/made_up/models/pgd_training/seed0/model.safetensors": "the code that makes it has changed since"
}
"""What tests say of a file that no longer fits the code."""

ATTACKS: dict[str, dict[str, Any]] = {
    "fgsm": {"kind": "fgsm", "epsilons": [0.1, 0.2, 0.3]},
    "pgd": {"kind": "pgd", "epsilons": [0.1, 0.2, 0.3], "steps": 10, "step_size": 0.1},
    "carlini_wagner": {"kind": "carlini_wagner", "constants": [1.0, 10.0], "steps": 100},
    "random_noise": {"kind": "random_noise", "epsilons": [0.1, 0.2, 0.3]},
    "pgd_adaptive": {"kind": "pgd", "view": "joint", "epsilons": [0.3], "steps": 10},
}
THREATS = {
    "white_box": ("white_box", "papers", ("fgsm", "pgd", "carlini_wagner", "random_noise"), ""),
    "adaptive": ("adaptive", "adaptive", ("pgd_adaptive",), ""),
    "black_box": ("black_box", "transfer", ("fgsm", "pgd"), "vgg19"),
}


def frame(table: str, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows, their cells typed or as texts, as a frame; cells that a row lacks are empty."""
    columns = csv_tables.SCHEMAS[table].columns
    return csv_tables.SCHEMAS[table].frame(
        [{column.name: _typed(row.get(column.name), column.kind) for column in columns} for row in rows]
    )


def _typed(cell: Any, kind: str) -> Any:
    if kind == "text":
        return "" if cell is None else str(cell)
    if cell is None or cell is pd.NA or cell == "" or cell != cell:
        return None
    if kind == "flag":
        return {"true": True, "false": False}.get(cell, cell)
    return int(cell) if kind == "whole" else float(cell)


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a frame's rows, so that a test can change some and make a frame of them again."""
    return [{str(name): cell for name, cell in row.items()} for row in table.to_dict("records")]


@dataclass(frozen=True)
class MadeUpModel:
    """A model, how many of the 40 images it gets right clean, and how many per attack and parameters."""

    name: str
    title: str
    defense: str
    training: str
    architecture: str
    clean: int
    correct: Mapping[tuple[str, str, str], int]
    deviations: tuple[str, ...] = ()
    seconds: float = 10.0
    transferred: bool = True
    adaptive: bool = False


def _counts(
    fgsm: Sequence[int], pgd: Sequence[int], noise: Sequence[int], c: Sequence[int]
) -> dict[Any, int]:
    budgets = ("epsilon=0.1", "epsilon=0.2", "epsilon=0.3")
    counts = {}
    for attack, values in (("fgsm", fgsm), ("pgd", pgd), ("random_noise", noise)):
        counts |= {("white_box", attack, p): v for p, v in zip(budgets, values, strict=True)}
    counts |= {("white_box", "carlini_wagner", p): v for p, v in zip(("c=1", "c=10"), c, strict=True)}
    for attack, values in (("fgsm", fgsm), ("pgd", pgd)):
        counts |= {("black_box", attack, p): min(39, v + 9) for p, v in zip(budgets, values, strict=True)}
    return counts


MODELS = (
    MadeUpModel(
        "undefended",
        "undefended",
        "undefended",
        "clean",
        "cnn6",
        39,
        _counts((20, 8, 2), (9, 1, 0), (38, 36, 33), (12, 0)),
    ),
    MadeUpModel(
        "pgd_training",
        "PGD training (Madry)",
        "pgd_training",
        "pgd",
        "cnn6",
        37,
        _counts((34, 30, 24), (33, 27, 19), (37, 37, 36), (30, 21)),
        seconds=64.0,
    ),
    MadeUpModel(
        "prototype_conformity",
        "prototype conformity",
        "prototype_conformity",
        "clean",
        "cnn6",
        38,
        # Under FGSM at 0.3 15 of 40 stay right: 37.5 %, Wilson [24.2, 53.0]. PGD is weaker there: a red flag.
        _counts((31, 22, 15), (30, 20, 17), (38, 37, 35), (26, 11))
        | {("adaptive", "pgd_adaptive", "epsilon=0.3"): 4},
        deviations=(
            "Features are projected to 64 dimensions; the paper is silent.",
            "Rates are halved: <b>not bold</b>.",
        ),
        seconds=21.5,
        adaptive=True,
    ),
    MadeUpModel(
        "hostile",
        HOSTILE,
        "prototype_conformity",
        "fgsm",
        "cnn6",
        36,
        _counts((33, 28, 20), (31, 24, 14), (36, 36, 35), (28, 17)),
        seconds=33.0,
    ),
    MadeUpModel(
        "vgg19",
        "VGG-19 (source)",
        "undefended",
        "clean",
        "vgg19",
        38,
        _counts((18, 7, 3), (8, 2, 1), (37, 35, 31), (10, 1)),
        seconds=48.0,
        transferred=False,
    ),
)


def _claim(paper: str, number: int, table: str, row: str, column: str, printed: str, **facts: Any) -> Claim:
    known = {
        "dataset": "digits",
        "architecture": "cnn6",
        "defense": "prototype_conformity",
        "training": "clean",
        "setting": "white_box",
        "source": "",
        "attack": "none",
        "parameters": "",
        "metric": "accuracy",
        "unit": "percent",
        "evidence": "measured",
        "certainty": "certain",
        "note": "",
    } | facts
    if "value" not in known:
        known["value"] = None if printed in ("-", LOST) else float(printed) / 100
    return Claim(f"{paper}.{number}", paper, table, row, column, printed=printed, **known)


def _shapes(claims: Sequence[Claim], captions: Mapping[str, str]) -> dict[str, PaperTable]:
    shapes = {}
    for name, caption in captions.items():
        own = [claim for claim in claims if claim.table == name]
        rows, columns = len({claim.row for claim in own}), len({claim.column for claim in own})
        shapes[name] = PaperTable(caption=caption, rows=rows, columns=columns, cells=len(own))
    return shapes


def papers() -> list[Paper]:
    """Return the two made-up papers, the older first."""
    return [paper(), other_paper()]


def independent() -> tuple[IndependentMeasurement, ...]:
    """Return what nobody measured: the made-up paper's model, another one, and clean accuracy alone."""
    linf = IndependentMeasurement(
        **{"defense": "prototype_conformity", "training": "", "dataset": "mnist", "architecture": HOSTILE},
        **{
            "same_model": "made_up",
            "model": "its weights",
            "norm": "linf",
            "epsilon": "0.3",
            "attack": "autoattack",
        },
        **{
            "details": "1,000 images",
            "clean": "98.7",
            "robust": "0.28",
            "unit": "percent",
            "source": "somebody/else",
        },
        checked=True,
        note="A remark.",
    )
    return (
        linf,
        replace(linf, same_model="no", model="another network", attack="pgd", robust="12.3", checked=False),
        replace(
            linf,
            **{
                "defense": "undefended",
                "same_model": "no",
                "model": "trained anew",
                "norm": "",
                "epsilon": "",
            },
            **{"attack": "none", "details": "", "robust": ""},
        ),
    )


def paper() -> Paper:
    """Return a made-up paper whose two tables hold every kind of verdict."""
    claims: list[Claim] = []

    def claim(table: str, row: str, column: str, printed: str, **facts: Any) -> None:
        claims.append(_claim("made_up", len(claims), table, row, column, printed, **facts))

    at = {"parameters": "epsilon=0.3"}
    for group, dataset in (("Digits (ε = 0.3, c = 10)", "digits"), ("MNIST (ε = 0.3, c = 10)", "mnist")):
        for label, defense in (("Softmax", "undefended"), ("Ours", "prototype_conformity")):
            ours = defense == "prototype_conformity"
            same = {"dataset": dataset, "defense": defense}
            row = f"{group} · {label}"
            claim("Table 1", row, "No Attack", "95.0" if ours else "97.5", **same)
            claim("Table 1", row, "White-Box · FGSM", "60.00" if ours else "4.9", **same, **at, attack="fgsm")
            claim("Table 1", row, "White-Box · PGD", "19.9" if ours else "0.0", **same, **at, attack="pgd")
            claim(
                "Table 1",
                row,
                "White-Box · C&W",
                "29.1" if ours else "-",
                **same,
                parameters="c=10",
                attack="carlini_wagner",
            )
            black = {"setting": "black_box", "source": "vgg19", "note": "transfer", "attack": "pgd"}
            claim("Table 1", row, "Black-Box · PGD", "69.5" if ours else "11.9", **same, **at, **black)
    for attack, title in (("pgd", "PGD"), ("deepfool", "DeepFool")):
        for epsilon in ("0.2", "0.3"):
            facts = {"attack": attack, "parameters": f"epsilon={epsilon}"}
            row = f"{title} · ε = {epsilon}"
            copied = {"evidence": "copied from the first paper", "defense": "undefended"}
            claim("Table 2", row, "Baseline", "6.3", **facts | copied)
            if epsilon == "0.2":
                claim(
                    "Table 2",
                    row,
                    "Other [17]",
                    "-",
                    **facts | {"defense": "fgsm_training", "training": "fgsm"},
                )
            claim("Table 2", row, "Ours_f*", "78.8", **facts | {"training": "fgsm"})
            if attack == "pgd" and epsilon == "0.3":
                claim("Table 2", row, "Ours_p*", "80.2", **facts | {"training": "pgd"})
    return Paper(
        key="made_up",
        title="A made-up paper on hidden spaces",
        short_name="Made up 2001",
        year=2001,
        citation="Nobody. A made-up paper on hidden spaces. Nowhere, 2001.",
        summary="It claims what the tests need; nobody wrote it.",
        threat_model="L-infinity on [0, 1].",
        tables=_shapes(
            claims, {"Table 1": "Two settings on two data sets", "Table 2": "Comparison with another defense"}
        ),
        notes={"transfer": "transfer from VGG-19"},
        budgets={},
        attacks={},
        hyper_parameters=(),
        protocol=protocol(),
        readings=(Reading(gap="Eq. 1 has no weight.", choice="1", reason="The simplest.", setting="weight"),),
        contradictions=(
            Contradiction(
                places=("Table 1", "the text"), values=("19.9", "20.9"), meaning="Two numbers for one run."
            ),
        ),
        claims=tuple(claims),
    )


def protocol() -> tuple[Experiment, ...]:
    """Return what the first paper says of its experiments: printed, read, with other readings, and beside settings."""
    return (
        Experiment.model_validate(
            {
                "of": {"table": "*"},
                "settings": {
                    "training.epochs": {"is": 350, "place": "Sec. 5"},
                    "training.nesterov": {"is": False, "reading": "Not named."},
                    "training.weight_decay": {
                        "is": 1e-4,
                        "or": [0, "5e-4"],
                        "reading": "The made_up code has it.",
                    },
                    "images": {"is": 10000, "place": "Table 1"},
                },
            }
        ),
        Experiment.model_validate(
            {
                "of": {"defense": "prototype_conformity", "training": ["fgsm", "pgd"], "dataset": "cifar*"},
                "settings": {
                    "training.adversarial.attack": {
                        "is": "pgd",
                        "or": ["fgsm"],
                        "reading": "Both are named.",
                    },
                    "training.adversarial.epsilon": {"is": "8/255", "place": "Sec. 5.1 <b>"},
                    "training.milestones": {"is": [100, 200], "place": "Sec. 5.1"},
                    "training.gradient_clip": {"is": None, "reading": "None is named."},
                },
                "facts": [{"name": "device", "value": "One GPU", "place": "Sec. 5.2"}],
            }
        ),
    )


PROSE = "Text"
NOTE = "The printed column heading is cut off."


def other_paper() -> Paper:
    """Return a second made-up paper: copied, lost and doubtful cells, every unit, prose, statements."""
    claims: list[Claim] = []

    def claim(table: str, row: str, column: str, printed: str, **facts: Any) -> None:
        claims.append(_claim("invented_other", len(claims), table, row, column, printed, **facts))

    at = {"parameters": "epsilon=0.3"}
    share = {"unit": "fraction"}
    base = {"evidence": "copied from made_up", "defense": "undefended"}
    cited = {"evidence": "copied from Yu et al. [43]", "defense": "decision_surface"}
    # 0: undefended clean, 1: ours clean, 2: decision surface clean
    claim("Table I", "No Attacks", "Baseline", "0.9750", value=0.975, **share, **base)
    claim("Table I", "No Attacks", "Ours*", "0.9500", value=0.95, **share)
    claim("Table I", "No Attacks", "Yu [43]", "0.8310", value=0.831, **share, **cited, certainty="likely")
    # 3, 4, 5: FGSM; 6, 7: PGD, where the third column is blank; 8, 9: FGSM again, under the heading printed anew
    fgsm = {"attack": "fgsm", **at, **share}
    claim("Table I", "FGSM · ε = 0.3", "Baseline", "0.0490", value=0.049, **fgsm, **base)
    claim("Table I", "FGSM · ε = 0.3", "Ours*", "0.6000", value=0.6, **fgsm, certainty="unsure", note="cut")
    claim("Table I", "FGSM · ε = 0.3", "Yu [43]", LOST, **fgsm, **cited, certainty="lost", note="cut")
    pgd = {"attack": "pgd", **at, **share}
    claim("Table I", "PGD · ε = 0.3", "Baseline", "-", **pgd, **base)
    claim("Table I", "PGD · ε = 0.3", "Ours*", "0.1990", value=0.199, **pgd)
    again = {"attack": "fgsm", "parameters": "epsilon=0.2", **share}
    claim("Table I", "FGSM · ε = 0.2", "Baseline", "0.2000", value=0.2, **again, **base)
    claim("Table I", "FGSM · ε = 0.2", "Ours*", "0.5500", value=0.55, **again)
    # 10 to 14: one row each of images, points, min:s, h:min, and a pair of dashes.
    ensemble = {"defense": "diverse_ensemble[boosted]", "dataset": "cifar10", "architecture": "dkd_cifar10"}
    images = {"metric": "failed_majorities", "unit": "images", "attack": "fgsm", **at}
    claim("Table II", "Failed majorities", "Ours", "12", value=12.0, **images)
    claim("Table II", "Failed majorities", "Boosted", "7", value=7.0, **images | ensemble)
    points = {"metric": "accuracy_gain", "unit": "points", "attack": "fgsm", **at}
    claim("Table II", "A.I.(%)", "Ours", "1.52", value=0.0152, **points)
    minutes = {"metric": "epoch_seconds", "unit": "min:s"}
    claim("Table II", "Epoch", "Ours", "6:43m", value=403.0, **minutes)
    hours = {"metric": "seconds_to_accuracy", "unit": "h:min", "parameters": "accuracy=0.5"}
    claim("Table II", "Time to 50 %", "Ours", "00:59h", value=3540.0, **hours)
    claim("Table II", "Time to 50 %", "Boosted", "-/-", value=None, **hours | ensemble)
    # 16, 17: nothing of it was measured, so that it is folded.
    beta = {
        "defense": "superimposition[beta=2,4]",
        "training": "pgd",
        "architecture": "resnet32",
        "attack": "mim",
    }
    claim(
        "Table III",
        "SVHN",
        "Ours",
        "33.3",
        **beta | {"defense": "adaptive_gravity"},
        **at,
        dataset="svhn",
        note="cut",
    )
    claim("Table III", "CIFAR-10", "Ours", "44.4", **beta, **at, dataset="cifar10", setting="black_box",
          source="vgg13*3 + resnet50:pgd_training")  # fmt: skip
    # 18 to 20: numbers of the prose.
    claim(PROSE, "Abstract · clean accuracy of ours", "Claim", "95.0", value=0.95)
    claim(PROSE, "Sec. 5 · grey levels at which one step is best", "Claim", "16", value=16 / 255, unit="levels",
          metric="strongest_epsilon", dataset="cifar10", attack="fgsm")  # fmt: skip
    claim(PROSE, "Sec. 5 · what Yu reach", "Claim", "83.1", **cited)
    every = tuple(Reading(gap=f"Gap {i}.", choice="none", reason="None.", setting="none") for i in range(3))
    return Paper(
        key="invented_other",
        title="An invented paper on ensembles",
        short_name="Invented other 2002",
        year=2002,
        citation="Nobody else. An invented paper on ensembles. Nowhere, 2002.",
        summary="It prints what the first does not.",
        threat_model="L-infinity on [0, 1], and time.",
        tables=_shapes(
            claims,
            {
                "Table I": "In fractions",
                "Table II": "In other units",
                "Table III": "Not measured",
                PROSE: "Numbers of the prose",
            },
        ),
        notes={"cut": NOTE},
        budgets={},
        attacks={},
        hyper_parameters=(),
        readings=every,
        contradictions=(
            Contradiction(
                places=("Sec. 2", "Made up, Sec. 3"),
                values=("a", "b"),
                meaning="Names another paper only.",
                papers=("made_up",),
            ),
            Contradiction(
                places=("Table I", "Sec. 5", "Abstract"),
                values=("one number", "and another"),
                meaning="Three places, two numbers.",
                cells=("*",),
            ),
            Contradiction(
                places=("Table I", "an older table"),
                values=("0.6000", "60.00"),
                meaning="One number with two precisions.",
                papers=("made_up",),
                cells=("4", "made_up.6"),
            ),
        ),
        statements=(
            Statement(
                key="ours_wins",
                place="Sec. 5.1",
                words="ours is more accurate than the baseline under FGSM",
                left=("4", "9"),
                right=("3", "8"),
                pair_by=("attack", "parameters"),
                relation="more",
                margin=0.1,
                holds_for="all",
            ),
            Statement(
                key="trivial_impact",
                place="Abstract",
                words="no loss of clean accuracy",
                left=("1",),
                right=("0",),
                against="best",
                relation="about",
            ),
            Statement(
                key="above_half",
                place="Sec. 6",
                words="the boosted vote is wrong on fewer than ten images",
                left=("11",),
                value=10,
                relation="less",
                holds_for="some",
            ),
            Statement(
                key="relative_gain",
                place="Sec. 7",
                words="<i>three times</i> the accuracy of the older paper",
                left=("7",),
                right=("made_up.2",),
                against="worst",
                relation="more",
                margin=2.0,
                scale="relative",
                holds_for="mean",
            ),
        ),
        claims=tuple(claims),
    )


def _statement_row(name: str, **told: Any) -> dict[str, str]:
    """Return a row of statements.csv by hand; `statements.judge_statements` is neither used nor tested."""
    ends = ("pairs", "holding", "left", "right", "difference")
    row = {"statement_id": f"invented_other.{name}", "paper": "invented_other", "place": ""}
    for kind in ("in_print", "measured"):
        row[kind] = "not measured"
        row |= {f"{kind.removeprefix('in_')}_{end}": "0" if end in ends[:2] else "" for end in ends}
    return (
        row
        | {"judgement": "", "grade": "", "differences": ""}
        | {key: str(value) for key, value in told.items()}
    )


def _ids(kind: str, pairs: int, holding: int, left: str, right: str, difference: float) -> dict[str, Any]:
    ends = (pairs, holding, left, right, difference)
    names = ("pairs", "holding", "left", "right", "difference")
    return {f"{kind}_{name}": end for name, end in zip(names, ends, strict=True)}


def statements() -> list[dict[str, str]]:
    """Return what tables/statements.csv holds: every kind of judgement."""
    own = "invented_other."
    return [
        _statement_row(
            "ours_wins",
            in_print="holds",
            **_ids("print", 2, 2, own + "9", own + "8", 0.35),
            measured="does not hold",
            **_ids("measured", 2, 1, own + "4", own + "3", 0.05),
            judgement="does not hold",
            grade="A",
        ),
        _statement_row(
            "trivial_impact",
            in_print="does not hold",
            **_ids("print", 1, 0, own + "1", own + "0", -0.025),
            measured="not comparable",
            **_ids("measured", 1, 1, own + "1", own + "0", -0.001),
            judgement="holds",
            differences=dump([Difference("dataset", "digits", "mnist")]),
        ),
        _statement_row(
            "above_half",
            in_print="holds",
            **_ids("print", 1, 1, own + "11", "", -3),
            differences=dump([Difference("lacks.defense", "", "diverse_ensemble[boosted]")]),
        ),
        _statement_row(
            "relative_gain",
            in_print="does not hold",
            **_ids("print", 3, 0, own + "7", "made_up.2", 1.985),
            measured="undecided",
            **_ids("measured", 1, 0, own + "7", "made_up.2", 1.2),
            judgement="undecided",
            grade="B",
            differences=dump([Difference("pairs", "1", "3")]),
        ),
    ]


@dataclass
class Tree:
    """The results tree as written."""

    root: Path
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    measurements: list[dict[str, str]] = field(default_factory=list)
    summary: list[dict[str, str]] = field(default_factory=list)
    verdicts: list[dict[str, str]] = field(default_factory=list)
    statements: list[dict[str, str]] = field(default_factory=list)
    classes: list[dict[str, str]] = field(default_factory=list)
    images: list[dict[str, str]] = field(default_factory=list)
    fooled_in: dict[str, np.ndarray] = field(default_factory=dict)
    """Model -> its images, those that withstand most first."""
    drawn: dict[str, str] = field(default_factory=dict)

    def path(self, text: str) -> Path:
        """Return a file's place under the root, its folder made."""
        path = self.root / text
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def write(root: Path) -> Tree:
    """Write the whole tree under `root`."""
    tree = Tree(root)
    rng = np.random.default_rng(SEED)
    images = np.sort(rng.random((IMAGES, 1, 12, 12), dtype=np.float32), axis=-1)
    labels = np.arange(IMAGES, dtype=np.int16) % CLASSES
    data = "results/made_up/data/digits.safetensors"
    save_file({"images": (images * 255).astype(np.uint8), "labels": labels}, tree.path(data))
    _record(tree, "prepare", [data], [], 1.5)
    for model in MODELS:
        _write_model(tree, model, data)
        _write_outcomes(tree, model, images, labels)
    _write_tables(tree)
    inputs = draw.FigureInputs(
        summary=frame("summary", tree.summary),
        titles={model.name: model.title for model in MODELS},
        class_names={m.name: [str(index) for index in range(CLASSES)] for m in MODELS},
        histories={m.name: tree.path(f"results/made_up/models/{m.name}/seed0/history.csv") for m in MODELS},
        outcomes={
            m.name: tree.path(f"results/made_up/outcomes/{m.name}/seed0/white_box.parquet") for m in MODELS
        },
        examples={
            m.name: tree.path(f"results/made_up/outcomes/{m.name}/seed0/white_box.examples.safetensors")
            for m in MODELS
        },
    )
    tree.drawn = draw.draw(inputs)
    for name, svg in tree.drawn.items():
        tree.path(f"results/made_up/figures/{name}.svg").write_text(svg, encoding="utf-8")
        _record(
            tree, "draw", [f"results/made_up/figures/{name}.svg"], ["results/made_up/tables/summary.csv"], 2.0
        )
    return tree


def _record(tree: Tree, rule: str, files: Sequence[str], inputs: Sequence[str], seconds: float) -> None:
    digests = {name: hashlib.sha256(tree.path(name).read_bytes()).hexdigest() for name in (*files, *inputs)}
    record = {
        "rule": rule,
        "job": {"study": "made_up"},
        "digest": "f00dcafe",
        "command": f"snakemake --cores all --force {files[0]}",
        "commit": COMMIT,
        "dirty": rule == "draw",
        "seed": SEED if rule not in ("prepare", "tabulate", "draw") else None,
        "versions": {"python": "3.11.2", "torch": "2.14.1", "foolbox": "3.3.4", "numpy": "2.4.6"},
        "device": "CPU: a made-up processor",
        "threads": 2,
        "started": "2000-01-01T00:00:00+00:00",
        "seconds": seconds,
        "peak_memory_bytes": 600_000_000,
        "inputs": {name: digests[name] for name in inputs},
        "files": {
            Path(name).name: {"sha256": digests[name], "bytes": tree.path(name).stat().st_size}
            for name in files
        },
    }
    target = tree.path(files[0])
    name = (
        f"{target.name.split('.')[0]}.record.json"
        if rule in ("prepare", "attack", "evaluate", "draw")
        else "record.json"
    )
    target.with_name(name).write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
    for file in files:
        tree.records[file] = record


def _write_model(tree: Tree, model: MadeUpModel, data: str) -> None:
    folder = f"results/made_up/models/{model.name}/seed0"
    save_file({"weight": np.zeros(4, dtype=np.float32)}, tree.path(f"{folder}/model.safetensors"))
    with tree.path(f"{folder}/history.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["epoch", "loss", "train_accuracy", "validation_accuracy", "learning_rate"])
        for epoch in range(1, 13):
            done = 1 - 0.75**epoch
            writer.writerow(
                [
                    epoch,
                    2.3 * (1 - done) + 0.02,
                    0.1 + 0.88 * done,
                    0.1 + done * (model.clean / IMAGES - 0.1),
                    0.05,
                ]
            )
    _record(tree, "train", [f"{folder}/model.safetensors", f"{folder}/history.csv"], [data], model.seconds)


def _threats(model: MadeUpModel) -> Iterator[tuple[str, str, str, tuple[str, ...], str]]:
    for threat, (setting, suite, attacks, source) in THREATS.items():
        if (setting == "adaptive" and not model.adaptive) or (
            setting == "black_box" and not model.transferred
        ):
            continue
        yield threat, setting, suite, attacks, source


def _points(attack: str) -> Iterator[tuple[str, float | None]]:
    stanza = ATTACKS[attack]
    for epsilon in stanza.get("epsilons", ()):
        yield f"epsilon={epsilon:g}", epsilon
    for constant in stanza.get("constants", ()):
        yield f"c={constant:g}", None


def _write_outcomes(tree: Tree, model: MadeUpModel, images: np.ndarray, labels: np.ndarray) -> None:
    rng = np.random.default_rng(sum(map(ord, model.name)))
    centres = np.stack([np.cos(np.arange(CLASSES) * 0.63), np.sin(np.arange(CLASSES) * 0.63)], axis=1) * 4
    clean_place = centres[labels] + rng.normal(0, 0.45, (IMAGES, 2))
    order = tree.fooled_in[model.name] = rng.permutation(IMAGES)

    def predictions(correct: int) -> np.ndarray:
        """The first so many images of a fixed order are right: what fools more, fools the same and others."""
        guessed = (labels + 1) % CLASSES
        guessed[order[:correct]] = labels[order[:correct]]
        return guessed

    for threat, setting, suite, attacks, source in _threats(model):
        columns: dict[str, list[Any]] = {}
        examples = {"clean": (images[:6] * 255).astype(np.uint8), "labels": labels[:6].astype(np.int64)}

        def add(columns: dict[str, list[Any]] = columns, **values: Any) -> None:
            for key, value in values.items():
                many = value.tolist() if isinstance(value, np.ndarray) else [value] * IMAGES
                columns.setdefault(key, []).extend(many)

        def rows(
            attack: str, parameters: str, epsilon: float | None, correct: int, place: np.ndarray, **same: Any
        ) -> None:
            add(
                image=np.arange(IMAGES),
                label=labels,
                attack=attack,
                parameters=parameters,
                epsilon=epsilon,
                clean_prediction=predictions(model.clean),
                adversarial_prediction=predictions(correct),
                clean_x=clean_place[:, 0],
                clean_y=clean_place[:, 1],
                adversarial_x=place[:, 0],
                adversarial_y=place[:, 1],
                **same,
            )

        none = {
            "setting": "white_box",
            "threat": threat,
            "source": "",
            "kind": "none",
            "view": "",
            "norm": "",
        }
        rows("none", "", None, model.clean, clean_place, **none, linf=0.0, l2=0.0, l0=0.0)
        for attack in attacks:
            for parameters, epsilon in _points(attack):
                if (setting, attack, parameters) not in model.correct:
                    continue
                correct = model.correct[setting, attack, parameters]
                fooled = predictions(correct) != labels
                place = np.where(fooled[:, None], centres[(labels + 1) % CLASSES] * 0.8, clean_place)
                place = place + rng.normal(0, 0.4, (IMAGES, 2))
                rows(
                    attack,
                    parameters,
                    epsilon,
                    correct,
                    place,
                    setting=setting,
                    threat=threat,
                    source=source or model.name,
                    kind=ATTACKS[attack]["kind"],
                    view=ATTACKS[attack].get("view", "logits"),
                    norm="linf" if epsilon else "",
                    linf=epsilon or 0.4,
                    l2=2.5,
                    l0=100.0,
                )
                size = epsilon or 0.15
                noise = np.sign(rng.normal(size=images[:6].shape)).astype(np.float32)
                examples[f"{attack}/{parameters}"] = np.clip(images[:6] + size * noise, 0, 1).astype(
                    np.float32
                )
                examples[f"predictions/{attack}/{parameters}"] = predictions(correct)[:6].astype(np.int64)
        stem = f"results/made_up/outcomes/{model.name}/seed0/{threat}"
        adversarial = f"results/made_up/adversarial/{source or model.name}/seed0/{suite}.safetensors"
        if adversarial not in tree.records:
            save_file({"images": images[:1]}, tree.path(adversarial))
            _record(tree, "attack", [adversarial], [], 7.25)
        table = pa.table(columns)
        pq.write_table(table, tree.path(f"{stem}.parquet"))
        save_file(examples, tree.path(f"{stem}.examples.safetensors"))
        _record(tree, "evaluate", [f"{stem}.parquet", f"{stem}.examples.safetensors"], [adversarial], 3.0)
        _count(tree, model, threat, table)


TABLES = ("measurements", "summary", "verdicts", "statements", "red_flags", "per_class", "per_image")
KEY = ("study", "dataset", "architecture", "defense", "training")
PLACE = ("setting", "source", "attack", "parameters", "metric")
VALUE = ("value", "correct", "total", "low", "high", "model")


def _row(model: MadeUpModel, place: Sequence[str], correct: int, total: int) -> dict[str, str]:
    low, high = wilson(correct, total)
    known = ("made_up", "digits", model.architecture, model.defense, model.training)
    values = (correct / total, correct, total, low, high, model.name)
    return dict(zip((*KEY, *PLACE, *VALUE), (*known, *place, *map(str, values)), strict=True))


def _count(tree: Tree, model: MadeUpModel, threat: str, table: pa.Table) -> None:
    """Count one outcomes file into measurements."""
    right: dict[tuple[str, str, str, str], int] = {}
    for row in table.to_pylist():
        if row["attack"] == "none" and threat != "white_box":
            continue
        key = (row["setting"], row["source"], row["attack"], row["parameters"])
        right[key] = right.get(key, 0) + (row["adversarial_prediction"] == row["label"])
    for key, correct in right.items():
        tree.measurements.append({**_row(model, (*key, "accuracy"), correct, IMAGES), "seed": str(SEED)})
        if key[2] == "carlini_wagner":
            length = {**_row(model, (*key, "l2_mean"), 1, 2), "value": "2.5", "seed": str(SEED)}
            tree.measurements.append(length | dict.fromkeys(("correct", "total", "low", "high"), ""))


def least(model: MadeUpModel, budget: float, setting: str = "") -> int:
    """Return how many images withstand all attacks up to a budget, or all of a setting: the least of their counts.

    They are fooled in one order.
    """
    reached = [
        count
        for (where, _, p), count in model.correct.items()
        if p.startswith("eps") and float(p[8:]) <= budget and setting in ("", where)
    ]
    return min([model.clean, *reached])


def _break_down(tree: Tree) -> None:
    """Count classes and images from the order in which each model is fooled."""
    defenses = [model for model in MODELS if model.defense != "undefended"]
    for model in MODELS:
        for parameters, right in (
            ("", model.clean),
            *((f"norm=linf epsilon={budget:g}", least(model, budget)) for budget in BUDGETS),
        ):
            setting, attack = ("all", "worst_case") if parameters else ("white_box", "none")
            for label in range(CLASSES):
                correct = sum(image % CLASSES == label for image in tree.fooled_in[model.name][:right])
                total = IMAGES // CLASSES
                low, high = wilson(correct, total)
                place = (setting, "", attack, parameters, label, correct, total, low, high)
                names = (
                    "setting",
                    "source",
                    "attack",
                    "parameters",
                    "label",
                    "correct",
                    "total",
                    "low",
                    "high",
                )
                known = {"study": "made_up", "dataset": "digits", "model": model.name, "seeds": "1"}
                tree.classes.append(known | dict(zip(names, map(str, place), strict=True)))
    for budget in BUDGETS:
        for image in range(IMAGES):
            fates = []
            for model in defenses:
                rank = tree.fooled_in[model.name].tolist().index(image)
                fates.append(
                    "held"
                    if rank < least(model, budget)
                    else "lost"
                    if rank < model.clean
                    else "misclassified"
                )
            holders = [model.name for model, fate in zip(defenses, fates, strict=True) if fate == "held"]
            tree.images.append(
                {
                    "study": "made_up",
                    "dataset": "digits",
                    "norm": "linf",
                    "epsilon": f"{budget:g}",
                    "image": str(image),
                    "label": str(image % CLASSES),
                    "networks": str(len(defenses)),
                    **{fate: str(fates.count(fate)) for fate in ("lost", "held", "misclassified")},
                    "holder": holders[0] if len(holders) == 1 else "",
                }
            )


def _write_tables(tree: Tree) -> None:
    _break_down(tree)
    for model in MODELS:
        for budget in BUDGETS:
            settings = sorted({setting for setting, _, p in model.correct if p.startswith("eps")})
            for setting in ("", *settings):
                attack = "worst_case_in_setting" if setting else "worst_case"
                place = (setting or "all", "", attack, f"norm=linf epsilon={budget:g}", "accuracy")
                left = least(model, budget, setting)
                tree.measurements.append({**_row(model, place, left, IMAGES), "seed": str(SEED)})
        free = min(count for (_, _, p), count in model.correct.items() if p.startswith("c="))
        place = ("all", "", "worst_case_unbounded", "", "accuracy")
        tree.measurements.append({**_row(model, place, free, IMAGES), "seed": str(SEED)})
    # What is counted in images, or timed, instead of being a share.
    ours = next(model for model in MODELS if model.name == "prototype_conformity")
    for attack, parameters, metric, value in (
        ("fgsm", "epsilon=0.3", "failed_majorities", "3.0"),
        ("fgsm", "epsilon=0.3", "accuracy_gain", "0.031"),
        ("none", "", "epoch_seconds", "61.2"),
        ("none", "accuracy=0.5", "seconds_to_accuracy", "7260.0"),
    ):
        row = {**_row(ours, ("white_box", "", attack, parameters, metric), 1, 2), "value": value}
        tree.measurements.append(
            row | {"seed": str(SEED)} | dict.fromkeys(("correct", "total", "low", "high"), "")
        )
    tree.measurements.sort(key=lambda row: [row[key] for key in ("model", *PLACE)])
    for row in tree.measurements:
        pooled = {key: value for key, value in row.items() if key != "seed"}
        tree.summary.append(pooled | {"seeds": "1", "value_min": row["value"], "value_max": row["value"]})
    tree.verdicts += [_verdict(tree, claim) for each in papers() for claim in each.claims]
    tree.statements += statements()
    folder = "results/made_up/tables"
    for name, rows in (
        ("measurements", tree.measurements),
        ("summary", tree.summary),
        ("verdicts", tree.verdicts),
        ("statements", tree.statements),
        ("per_class", tree.classes),
        ("per_image", tree.images),
        ("red_flags", flags()),
    ):
        text = csv_tables.SCHEMAS[name].text(frame(name, rows))
        tree.path(f"{folder}/{name}.csv").write_text(text, encoding="utf-8")
    names = [f"{folder}/{name}.csv" for name in TABLES]
    _record(tree, "tabulate", names, [], 0.75)


def flags() -> list[dict[str, Any]]:
    """Return what tables/red_flags.csv holds: a check that was passed, one raised, one not made."""
    told = (
        ("undefended", "iterative", False, "FGSM leaves 5.0 % and PGD 0.0 % of the same 40 images."),
        (
            "prototype_conformity",
            "iterative",
            True,
            "FGSM leaves 37.5 % and PGD 42.5 % of the same 40 images.",
        ),
        ("prototype_conformity", "transfer", None, "No transfer attack was run."),
    )
    return [dict(zip(("model", "gate", "raised", "evidence"), each, strict=True)) for each in told]


def _verdict(tree: Tree, claim: Claim) -> dict[str, Any]:
    """Return a verdict by a simple rule that gives every word and grade; `judging` is neither used nor tested."""
    row: dict[str, Any] = {
        "claim_id": claim.claim_id,
        "claimed": claim.value,
        "verdict": "not measured",
        "paper": claim.paper,
        "table": claim.table,
        "row": claim.row,
        "column": claim.column,
    }
    if claim.value is None:
        return row | {"verdict": "not claimed"}
    keys = ("defense", "training", "setting", "attack", "parameters", "metric")
    found = [
        s
        for s in tree.summary
        if s["architecture"] == "cnn6" and all(s[k] == getattr(claim, k) for k in keys)
    ]
    if not found:
        lacking = [Difference("lacks.attack", "", claim.attack)]
        if claim.defense not in {model.defense for model in MODELS}:
            lacking = [Difference("lacks.defense", "", claim.defense)]
        if claim.dataset != "digits":
            lacking.append(Difference("lacks.dataset", "", claim.dataset))
        return row | {"differences": dump(lacking)}
    measured = found[0]
    row |= {name: measured[name] for name in csv_tables.KEY}
    if not METRICS[claim.metric].share:
        judged = {"grade": "A", "verdict": "lower" if claim.value > float(measured["value"]) else "higher"}
        if METRICS[claim.metric].compared != "time":
            return row | judged | {"measured": measured["value"], "margin": claim.value / 10}
        if claim.metric == "epoch_seconds":  # claimed three times the undefended epoch, measured twice
            return (
                row | judged | {"measured": 2.0, "low": 2.0, "high": 2.0, "margin": 0.75, "verdict": "lower"}
            )
        without = Difference("undefended", "", "", "C")
        return row | {"measured": measured["value"], "verdict": "not comparable", "grade": "C",
                      "differences": dump([without])}  # fmt: skip
    value = float(measured["value"])
    row |= {
        "measured": value,
        "low": measured["low"],
        "high": measured["high"],
        **_left(tree, claim, measured["model"]),
    }
    row |= {"margin": 0.02, "grade": "A", "source_accuracy": 0.95 if claim.setting == "black_box" else None}
    differences = [Difference("images", "40", "10000", "A")]
    near = abs(value - claim.value) < 0.1
    word = "reproduced" if near else "lower" if value < claim.value else "higher"
    if claim.dataset != "digits":
        differences.insert(0, Difference("dataset", "digits", claim.dataset, "C"))
        row |= {"grade": "C", "margin": 0.02}
        word = "not comparable"
    elif claim.attack == "carlini_wagner":
        differences.insert(0, Difference("attack.steps", "100", "1000", "B"))
        row |= {"grade": "B", "undecided_by": "attack"}
        word = "undecided"
    elif claim.training == "fgsm":
        differences.insert(0, Difference("training.epochs", "12", "350", "B"))
        row |= {"grade": "B", "training_share": 12 / 350}
        if claim.parameters == "epsilon=0.2":
            row |= {"undecided_by": "seeds", "seed_words": "lower, lower, reproduced"}
            word = "undecided"
        else:
            row |= {"seed_words": ", ".join([word] * 3), "stable": "yes"}
    elif claim.setting == "black_box":
        differences.insert(0, Difference("source.training.epochs", "3", "200", "B"))
        row |= {"grade": "B", "stable": "no" if word == "higher" else ""}
    elif claim.defense == "undefended" and claim.attack == "none" and claim.paper == "made_up":
        row["undecided_by"] = "images"
        word = "undecided"
    return row | {"verdict": word, "differences": dump(differences)}


def _left(tree: Tree, claim: Claim, model: str) -> dict[str, Any]:
    """Return what is left of a model within a claim's budget, in the claim's setting and in all."""
    found = {}
    for name, setting in (("strongest", claim.setting), ("overall", "all")):
        for row in tree.summary:
            place = (row["model"], row["setting"], row["parameters"])
            if place == (model, setting, f"norm=linf {claim.parameters}"):
                ends = ("value", "low", "high") if setting == "all" else ("attack", "parameters", *_ENDS)
                found |= {f"{name}_{end}": row[end] for end in ends}
    return found


_ENDS = ("value", "low", "high")


def report_data(tree: Tree, stale: Mapping[str, str] | None = None) -> ReportData:
    """Return the tree as the page's data."""
    data = "results/made_up/data/digits.safetensors"
    trails = []
    for model in MODELS:
        for threat, setting, suite, attacks, source in _threats(model):
            files = [TrailFile("data", data)]
            if source:
                files.append(
                    TrailFile("source model", f"results/made_up/models/{source}/seed0/model.safetensors")
                )
            files += [
                TrailFile("model", f"results/made_up/models/{model.name}/seed0/model.safetensors"),
                TrailFile(
                    "adversarial",
                    f"results/made_up/adversarial/{source or model.name}/seed0/{suite}.safetensors",
                ),
                TrailFile("outcome", f"results/made_up/outcomes/{model.name}/seed0/{threat}.parquet"),
                TrailFile("table", "results/made_up/tables/measurements.csv"),
            ]
            trails.append(Trail(model.name, SEED, setting, tuple(files), source, attacks))
    return ReportData(
        study="made_up",
        title="A made-up study of handwritten digits",
        description="Numbers chosen by hand to show every kind of cell that the page can hold.",
        settings={"study": "made_up", "seeds": [SEED], "attacks": ATTACKS},
        data_set={
            "images": "1,797 of 8 x 8 pixels, 10 classes",
            "split": "1,257 training, 180 validation, 360 test",
        },
        seeds=(SEED,),
        models=[
            ShownModel(
                model.name,
                model.title,
                "digits",
                model.architecture,
                model.defense,
                model.training,
                {"epochs": 12, "training images": "1,257"},
                {"training": {"learning_rate": 0.05}},
                model.deviations,
            )
            for model in MODELS
        ],
        attacks=[ShownAttack(name, stanza["kind"], stanza) for name, stanza in ATTACKS.items()],
        threats=[
            ShownThreat(name, setting, suite, IMAGES, attacks, source)
            for name, (setting, suite, attacks, source) in THREATS.items()
        ],
        summary=frame("summary", tree.summary),
        measurements=frame("measurements", tree.measurements),
        verdicts=frame("verdicts", tree.verdicts),
        statements=frame("statements", tree.statements),
        classes=frame("per_class", tree.classes),
        images=frame("per_image", tree.images),
        class_names={"digits": tuple("0123456789")},
        papers=papers(),
        trails=trails,
        records=tree.records,
        flags=frame("red_flags", flags()),
        gates={
            "iterative": "Iterative attacks are at least as strong as one step in the same budget",
            "transfer": "White-box at least as strong as transfer",
        },
        figures=[
            DrawnFigure.from_svg(name, svg, f"results/made_up/figures/{name}.svg")
            for name, svg in tree.drawn.items()
        ],
        tables={name: f"results/made_up/tables/{name}.csv" for name in TABLES},
        independent=independent(),
        warning=f"A smoke study of {IMAGES} images; its numbers are no verdict on any paper.",
        stale=stale or {},
        rerun="snakemake --cores all",
    )
