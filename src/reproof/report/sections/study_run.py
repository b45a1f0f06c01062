"""What was run on what: data sets, models with their two accuracies, threats, attacks."""

from __future__ import annotations

from typing import Any

from reproof import wording
from reproof.report.section import Section
from reproof.report.shared import Shared

SECTION = Section("run", "What was run", order=20, heading="What was run on what")


def build(shared: Shared) -> dict[str, Any]:
    """Return the study's parts, and each model's accuracy without attack and under the strongest."""
    data, summary = shared.data, shared.data.summary
    clean = summary[(summary["attack"] == "none") & (summary["metric"] == "accuracy")]
    return {
        "behaviour": _behaviour(shared),
        "data_set": data.data_set,
        "models": data.models,
        "seeds": data.seeds,
        "threats": data.threats,
        "attacks": data.attacks,
        "titles": data.titles,
        "attack_titles": {attack.name: attack.title for attack in data.attacks},
        "clean": shared.grids.by_model(clean),
        "strongest": shared.budgets.strongest(),
        "budgets": [
            f"{wording.dataset(dataset)}: {wording.parameters(budget)}"
            for dataset, budget in shared.budgets.shown.items()
        ],
    }


def _behaviour(shared: Shared) -> str:
    """Return in two sentences what was done, and whether the networks do what they were trained for."""
    data, summary = shared.data, shared.data.summary
    jobs = {(record.get("command"), record.get("started")) for record in data.records.values()}
    told = f"{wording.counted(len(jobs), 'job')} made what is shown here."
    clean = summary[(summary["attack"] == "none") & (summary["metric"] == "accuracy")]
    found = clean.groupby("model")["value"].mean()
    if found.empty:
        return told
    ends = f"{wording.measure(found.min())} to {wording.measure(found.max())} %"
    at_chance = [name for name in found.index if found[name] <= 2 * _chance(shared, str(name))]
    words = "each does better than twice chance level"
    if at_chance:
        words = f"at most twice chance level: {', '.join(data.titles.get(str(name), str(name)) for name in at_chance)}"
    return f"{told} Without an attack the networks classify {ends} of the images right; {words}."


def _chance(shared: Shared, model: str) -> float:
    """Return the accuracy of one answer for all images of a model's data set; 0 where its classes are not known."""
    datasets = {each.name: each.dataset for each in shared.data.models}
    classes = shared.data.class_names.get(datasets.get(model, ""), ())
    return 1 / len(classes) if classes else 0
