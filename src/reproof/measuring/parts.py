"""Which part of a composed attack took which image. Imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from reproof.csv_tables import PARTS
from reproof.measuring.outcomes import Outcomes, Trial
from reproof.settings.parameters import Parameters


def parts(outcomes: Iterable[Outcomes]) -> pd.DataFrame:
    """Return what each part of each composed attack met and took, its seeds pooled (csv_tables.PARTS).

    The first part meets the images that are right without an attack, each later one those that the earlier ones left.
    """
    seen: dict[tuple[str, ...], list[tuple[Trial, Outcomes]]] = defaultdict(list)
    for one in outcomes:
        for trial in one.trials:
            if not trial.elsewhere and parts_of(trial, one):
                seen[
                    one.study,
                    one.dataset,
                    one.model,
                    trial.setting,
                    trial.source,
                    trial.attack,
                    trial.parameters,
                ].append((trial, one))
    order = sorted(seen, key=lambda key: (*key[:-1], Parameters.parse(key[-1])))
    return PARTS.frame(
        {**dict(zip(_KEY, key, strict=True)), "seeds": len(seen[key]), **row}
        for key in order
        for row in _rows(seen[key])
    )


_KEY = ("study", "dataset", "model", "setting", "source", "attack", "parameters")


def parts_of(trial: Trial, one: Outcomes) -> Mapping[str, str]:
    """Return an attack's parts in their order, and how each searches; none of an attack that is not composed."""
    note = one.notes.get(trial.threat, {}).get(trial.source, {}).get(trial.attack, {})
    return dict(note.get("parts", ()))


def _rows(seen: Sequence[tuple[Trial, Outcomes]]) -> Iterable[dict[str, object]]:
    # Each seed tried the first so many of the same parts.
    names = max((parts_of(*each) for each in seen), key=len)
    left = sum(int(one.clean_on(trial.images).sum()) for trial, one in seen)
    for place, (name, access) in enumerate(names.items(), start=1):
        taken = sum(trial.taken_by.count(name) for trial, _ in seen)
        yield {"place": place, "part": name, "access": access, "met": left, "taken": taken}
        left -= taken
