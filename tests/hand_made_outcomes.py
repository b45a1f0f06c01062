"""Outcomes files of a few images, written as evaluate jobs write them."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq

# Four test images of labels 0, 1, 2, 3; the last is misclassified clean.
LABELS = {0: 0, 1: 1, 2: 2, 3: 3}
CLEAN = {0: 0, 1: 1, 2: 2, 3: 7}
TYPES = {
    "image": pa.int32(),
    "label": pa.int16(),
    "clean_prediction": pa.int16(),
    "adversarial_prediction": pa.int16(),
    "epsilon": pa.float64(),
    "l2": pa.float32(),
    "failed": pa.bool_(),
    "nearest_prototype": pa.int16(),
}


def rows(
    attack, predictions, parameters="", *, epsilon=None, norm="linf", kind=None, source="net", l2=1.0, **other
):
    return [
        {
            "image": image,
            "label": LABELS[image],
            "setting": "white_box",
            "threat": "white_box",
            "source": "" if attack == "none" else source,
            "attack": attack,
            "kind": kind or attack,
            "view": "" if attack == "none" else "logits",
            "norm": "" if attack == "none" else norm,
            "parameters": parameters,
            "epsilon": epsilon,
            "clean_prediction": CLEAN[image],
            "adversarial_prediction": prediction,
            "l2": l2 if isinstance(l2, float) else l2[image],
            **other,
        }
        for image, prediction in predictions.items()
    ]


def at(attack, epsilon, predictions, **other):
    return rows(attack, predictions, f"epsilon={epsilon}", epsilon=epsilon, **other)


def write(path, content, **identity):
    whose = {
        "study": "tiny",
        "dataset": "mnist",
        "architecture": "cnn6",
        "defense": "undefended",
        "training": "clean",
        "model": "net",
        "seed": 0,
        "threat": "white_box",
        **identity,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {n: pa.array([r[n] for r in content], type=TYPES.get(n, pa.string())) for n in content[0]}
    )
    pq.write_table(table.replace_schema_metadata({"reproof": json.dumps(whose)}), path)
    return path


WHITE = [
    *rows("none", CLEAN),
    *at("fgsm", 0.1, {0: 0, 1: 1, 2: 5, 3: 7}),
    *at("fgsm", 0.3, {0: 0, 1: 5, 2: 2, 3: 7}),
    *at("pgd", 0.3, {0: 0, 1: 1, 2: 2}),
    *rows("carlini_wagner", {0: 9, 1: 9}, "c=10", norm="l2", l2={0: 1.5, 1: 2.5}),
]
# Image 3 is right by accident once it is perturbed.
BLACK = [
    {**row, "setting": "black_box", "threat": "black_box"}
    for row in [*rows("none", CLEAN), *at("fgsm", 0.3, {0: 5, 1: 1, 2: 2, 3: 3}, source="vgg19")]
]
