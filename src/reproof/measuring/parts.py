"""Which part of a composed attack took which image. Imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

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
            if _names(trial, one):
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


def _names(trial: Trial, one: Outcomes) -> Sequence[str]:
    """Return the names of an attack's parts in their order; none of an attack that is not composed."""
    note = one.notes.get(trial.threat, {}).get(trial.source, {}).get(trial.attack, {})
    return tuple(note.get("parts", ()))


def _rows(seen: Sequence[tuple[Trial, Outcomes]]) -> Iterable[dict[str, object]]:
    names = max(
        (_names(*each) for each in seen), key=len
    )  # each seed's are the first so many of the same parts
    left = sum(int(one.clean_on(trial.images).sum()) for trial, one in seen)
    for place, name in enumerate(names, start=1):
        taken = sum(trial.taken_by.count(name) for trial, _ in seen)
        yield {"place": place, "part": name, "met": left, "taken": taken}
        left -= taken
