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
