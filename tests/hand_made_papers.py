"""Papers of a few cells, written to a folder as the papers in the claims table are."""

from __future__ import annotations

import csv
from decimal import Decimal

import yaml

from reproof.claims import reader
from reproof.claims.claim import Claim, claim_id
from reproof.claims.paper import papers
from reproof.claims.vocabulary import COLUMNS, Terms

CELL = {
    "paper": "p",
    "table": "Table 1",
    "row": "Ours",
    "column": "PGD",
    "dataset": "mnist",
    "architecture": "cnn6",
    "defense": "prototype_conformity",
    "training": "clean",
    "setting": "white_box",
    "source": "",
    "attack": "pgd",
    "parameters": "epsilon=0.3",
    "metric": "accuracy",
    "printed": "19.9",
    "unit": "percent",
    "evidence": "measured",
    "certainty": "certain",
    "note": "",
}
TERMS = {
    "datasets": {"mnist": "MNIST", "cifar10": "CIFAR-10", "svhn": "SVHN"},
    "architectures": {
        "lenet": "LeNet",
        "resnet32": "ResNet-32",
        "resnet110": "ResNet-110",
        "vgg13": "VGG-13",
        "vgg16": "VGG-16",
        "vgg19": "VGG-19",
    },
    "defenses": {
        CELL["defense"]: "Ours",
        "adaptive_gravity": "Gravity",
        "defensive_features": "DFL",
        "distilled_ensemble": "Distilled",
        "diverse_ensemble": "DKD",
        "fgsm_training": "AdvTrain",
        "magnet": "MagNet",
        "pgd_training": "Madry",
        "pixel_defend": "PixelDefend",
        "polarised_contrastive": "PCT",
        "superimposition": "SI",
    },
    "attacks": {"bim": "BIM", "deepfool": "DeepFool", "gradient_ensemble": "I-FGSM", "mim": "MIM"},
}
"""Words of the tests' examples, which read whether their plug-ins' files are here or not."""
DESCRIPTION = {
    "title": "A paper",
    "short_name": "Author 2019",
    "year": 2019,
    "citation": "A. Author. A paper.",
    "summary": "One. Two.",
    "threat_model": "L-infinity.",
    "terms": TERMS,
    "readings": [],
    "contradictions": [],
}


def cell(**changes: str) -> dict[str, str]:
    """Return a line of claims.csv; its id follows from its labels, and its value from a printed percentage."""
    made = {**CELL, **changes}
    made.setdefault("claim_id", claim_id(*(made[name] for name in ("paper", "table", "row", "column"))))
    if "value" not in made:
        empty = made["printed"] in ("-", "-/-", "?")
        made["value"] = "" if empty else str(float(Decimal(made["printed"].strip("()%")) / 100))
    return made


def claim(**changes) -> Claim:
    """Return the same as a claim; `value` is a number, or None."""
    made = cell(**changes)
    return Claim(**{**made, "value": float(made["value"]) if made["value"] not in ("", None) else None})


def write_claims(folder, *cells, columns=COLUMNS):
    """Write claims.csv and return its path."""
    path = folder / "claims.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([made.get(column, "") for column in columns] for made in cells)
    return path


def read_claims(path):
    """Return the file's claims, read with the terms of the examples."""
    return reader.read_claims(path, Terms.model_validate(TERMS))


def shapes(cells):
    """Return the `tables` of paper.yaml that these cells have."""
    found = {}
    for made in cells:
        found.setdefault(made["table"], []).append(made)
    return {
        name: {
            "caption": "Accuracy",
            "rows": len({made["row"] for made in own}),
            "columns": len({made["column"] for made in own}),
            "cells": len(own),
        }
        for name, own in found.items()
    }


def write_paper(folder, *changes, key="p", **description):
    """Write a paper's folder: a cell for each of the changes; `description` goes into paper.yaml."""
    cells = [cell(**{"paper": key, **change}) for change in changes]
    (folder / key).mkdir()
    write_claims(folder / key, *cells)
    content = {**DESCRIPTION, "tables": shapes(cells), **description}
    (folder / key / "paper.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder / key


def read_paper(folder, *changes, **description):
    """Return such a paper, read."""
    write_paper(folder, *changes, **description)
    (found,) = papers(folder)
    return found
