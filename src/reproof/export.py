"""Give a finished study's numbers and images to others: RobustBench's JSON, .npz, and tables with their meaning."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reproof import artifacts, wording
from reproof.csv_tables import SCHEMAS, SUMMARY
from reproof.errors import ArtifactError, StudyError
from reproof.plan import freshness
from reproof.plan.jobs import Plan
from reproof.settings.parameters import Parameters
from reproof.settings.table_words import NO_ATTACK, WORST_CASE
from reproof.settings.values import format_number, nearest_hint
from reproof.table_schema import Column, Kind

if TYPE_CHECKING:
    import pandas as pd

MEANINGS: Mapping[str, str] = {
    "study": "name of the study",
    "dataset": "key of the data set",
    "architecture": "key of the network's structure",
    "defense": "key of the defense; undefended for none",
    "training": "adversarial examples that it was trained on; clean for none",
    "seed": "seed of weights, batches and attacks",
    "seeds": "number of seeds that are pooled",
    "setting": "white_box, black_box, adaptive, or all for what all attacks together leave",
    "source": "model that the images were made on; empty for the model itself",
    "attack": "name of the attack in the study; none for clean images",
    "parameters": "where the attack was measured, as NAME=VALUE; a budget is in pixels of [0, 1]",
    "metric": "what is measured",
    "value": "the measurement: a fraction of images, or in the metric's own unit (seconds, dB, pixels' distance)",
    "correct": "images counted for it; empty where it is no share",
    "total": "images counted at all; empty where it is no share",
    "low": "lower end of the 95 % interval, in the value's unit",
    "high": "upper end of the 95 % interval, in the value's unit",
    "model": "name of the model in the study",
    "value_min": "least value of a seed",
    "value_max": "largest value of a seed",
}
"""Column of the measurements and their summary -> what it holds, with its unit."""
TYPES: Mapping[Kind, str] = {"text": "string", "whole": "integer", "real": "number", "flag": "boolean"}
NORMS = {"linf": "Linf", "l2": "L2"}
"""Our names of the norms that RobustBench has -> its own."""


def export(plan: Plan, folder: Path, models: list[str]) -> list[str]:
    """Write what there is of these models into a new folder, all or nothing; return a line about each kind of file.

    ArtifactError where results are another study's, a table is missing or was edited, or no images were kept.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise StudyError(f"export: {folder} is there already; name another folder, or take it away")
    for name in models:
        if name not in plan.study.models:
            raise StudyError(f"export: no model is called {name!r}; {nearest_hint(name, plan.study.models)}")
    if differs := next(freshness.outdated(plan), ""):
        raise ArtifactError(
            f"{differs}: was made by another study or other code than what is to be exported. "
            f"Run {plan.report().rerun} first."
        )
    chosen = models or list(plan.study.models)
    with _whole(folder) as place:
        tables = _write_tables(plan, place)
        summary = SUMMARY.read(Path(plan.table_path("summary")))
        described = sum(_write_model_info(plan, name, summary, place) for name in chosen)
        images = sum(_write_images(plan, name, place) for name in chosen)
        if not images:
            raise ArtifactError(
                "no adversarial images are left to export: they are removed once they were evaluated. Keep them: "
                f"{plan.report().rerun} --forcerun attack --config keep_adversarial=true"
            )
    return [
        f"{folder}/tables: {tables} tables, described in datapackage.json (Frictionless)",
        f"{folder}/robustbench: {described} files of model info",
        f"{folder}/adversarial: {images} files of images, with labels and predictions",
    ]


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Yield a place to write to, which becomes the folder when the block ends well; else nothing is left of it."""
    wanted = folder.resolve()
    near = next(place for place in wanted.parents if place.is_dir())
    temporary = near / f".{wanted.name}.{os.getpid()}.part"
    try:
        yield temporary
        wanted.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(wanted)
    except OSError as error:
        raise ArtifactError(f"{folder}: could not be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_tables(plan: Plan, folder: Path) -> int:
    resources = []
    for name, schema in SCHEMAS.items():
        path = Path(plan.table_path(name))
        artifacts.verify(path)
        artifacts.write_text(folder / "tables" / path.name, path.read_text(encoding="utf-8"))
        resources.append(
            {
                "name": name,
                "path": path.name,
                "profile": "tabular-data-resource",
                "encoding": "utf-8",
                "schema": {
                    "fields": [_field(name, column) for column in schema.columns],
                    "missingValues": [""],
                },
            }
        )
    package = {"profile": "tabular-data-package", "name": plan.study.name, "title": plan.study.title}
    artifacts.write_json(folder / "tables" / "datapackage.json", {**package, "resources": resources})
    return len(resources)


def _field(table: str, column: Column) -> dict[str, str | list[str]]:
    meaning = MEANINGS.get(column.name, column.unit) if table in ("measurements", "summary") else column.unit
    flags: dict[str, list[str]] = (
        {"trueValues": ["true"], "falseValues": ["false"]} if column.kind == "flag" else {}
    )
    return {
        "name": column.name,
        "type": TYPES[column.kind],
        **({"description": meaning} if meaning else {}),
        **flags,
    }


def _write_model_info(plan: Plan, name: str, summary: pd.DataFrame, folder: Path) -> int:
    """Write what RobustBench wants to know of a model, a file for each budget that AutoAttack or all attacks had."""
    model = plan.study.models[name]
    rows = summary[(summary["model"] == name) & (summary["metric"] == "accuracy")]
    clean = rows[(rows["attack"] == NO_ATTACK) & (rows["setting"] == "white_box")]
    if clean.empty:
        return 0
    known = {
        "link": "",
        "name": model.title,
        "authors": "",
        "additional_data": False,
        "number_forward_passes": model.networks,
        "dataset": plan.study.datasets[model.dataset].settings.key,
        "venue": "Unpublished",
        "architecture": wording.architecture(model.architecture_key),
    }
    measured = _robust(plan, rows)
    for (norm, epsilon), robust in measured.items():
        found = {"clean_acc": clean.to_dict("records")[0], **robust}
        numbers = {key: f"{100 * row['value']:.2f}" for key, row in found.items()}
        file = re.sub(r"[^A-Za-z0-9.]+", "_", f"{name}_{epsilon}")
        path = folder / "robustbench" / NORMS[norm] / f"{file}.json"
        artifacts.write_json(path, {**known, "eps": epsilon, **numbers, "footnote": _footnote(found)})
    return len(measured)


def _footnote(found: Mapping[str, Mapping[Hashable, Any]]) -> str:
    """Return on how many images each number was measured: seldom on the 10,000 of RobustBench, or all on the same."""
    counts = {key: int(row["total"]) // int(row["seeds"]) for key, row in found.items()}
    seeds = max(int(row["seeds"]) for row in found.values())
    each = ", ".join(f"{key} on {count:,}" for key, count in counts.items())
    return f"Test images: {each}" + (f"; mean of {seeds} seeds" if seeds > 1 else "")


def _robust(plan: Plan, rows: pd.DataFrame) -> dict[tuple[str, str], dict[str, Mapping[Hashable, Any]]]:
    """Return AutoAttack's row and, as `external`, that of all attacks together, by norm and printed budget."""
    found: dict[tuple[str, str], dict[str, Mapping[Hashable, Any]]] = {}
    printed: dict[tuple[str, float], str] = {}
    worst: dict[tuple[str, float], Mapping[Hashable, Any]] = {}
    for row in rows.to_dict("records"):
        parameters = Parameters.parse(row["parameters"])
        epsilon, norm = parameters.number("epsilon"), parameters.text("norm") or "linf"
        if epsilon is None or norm not in NORMS:
            continue
        entry = plan.study.attacks.get(row["attack"])
        if row["attack"] == WORST_CASE:
            worst[norm, float(epsilon)] = row
        elif entry is not None and entry.kind == "autoattack" and row["setting"] == "white_box":
            printed[norm, float(epsilon)] = epsilon.text
            found[norm, epsilon.text] = {"autoattack_acc": row}
    for (norm, budget), left in worst.items():
        text = printed.get((norm, budget), format_number(budget))
        found.setdefault((norm, text), {})["external"] = left
    return found


def _write_images(plan: Plan, name: str, folder: Path) -> int:
    """Write the images that a model met and that are still there, a file for each seed, threat, attack and point."""
    written = 0
    for job in plan.outcomes():
        if job.slice["model"] != name:
            continue
        for source, path in zip(job.slice["sources"], job.inputs["adversarial"], strict=True):
            if Path(path).exists():
                for stem, arrays in _images(plan, job.slice, source, Path(path), job.outputs["outcomes"]):
                    _write_npz(folder / "adversarial" / f"{stem}.npz", arrays)
                    written += 1
    return written


def _images(
    plan: Plan, facts: Mapping[str, Any], source: str, path: Path, outcomes: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of a file and its arrays, for each attack and point that was shown to a model."""
    import pandas as pd

    from reproof.data import prepared

    for verified in (path, Path(outcomes), Path(plan.data_path(facts["dataset"]))):
        artifacts.verify(verified)
    tensors, _ = artifacts.read_tensors(path)
    data = prepared.read_dataset(Path(plan.data_path(facts["dataset"])))
    rows = pd.read_parquet(outcomes)
    own = "" if source == facts["model"] else source
    for (attack, parameters), found in rows[rows["attack"] != NO_ATTACK].groupby(
        ["attack", "parameters"], sort=True
    ):
        met = found[found["source"].isin({own, source})].sort_values("image")
        key = f"{attack}/{parameters}"
        if key not in tensors or met.empty:
            continue
        shown, labels = data.select("test", len(met))
        place = f"{facts['model']}-seed{facts['seed']}-{facts['threat']}" + (f"-from-{own}" if own else "")
        stem = re.sub(r"[^A-Za-z0-9.=+-]+", "_", f"{place}-{attack}-{parameters}")
        yield (
            stem,
            {
                "images": shown.numpy(),
                "adversarial": tensors[key][: len(met)].numpy(),
                "labels": labels.numpy(),
                "clean_predictions": met["clean_prediction"].to_numpy("int64"),
                "predictions": met["adversarial_prediction"].to_numpy("int64"),
            },
        )


def _write_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    import numpy as np

    memory = io.BytesIO()
    np.savez_compressed(memory, **arrays)
    with artifacts.writing(path) as temporary:
        temporary.write_bytes(memory.getvalue())
