"""The section on the strongest attack: which part of it took which images, in words."""

from __future__ import annotations

import dataclasses

import made_up_study
from made_up_study import frame
from tests.ours import needs

from reproof.report.shared import Shared


@needs("sections/strongest")
def test_parts_are_called_by_plain_words_and_their_models_by_title(tree: made_up_study.Tree) -> None:
    from reproof.report.sections import strongest

    data = made_up_study.report_data(tree)
    (model, *_) = data.models
    place = {
        "model": model.name,
        "dataset": model.dataset,
        "attack": "strongest",
        "parameters": "epsilon=0.3",
    }
    told = [
        ("mean_logits, margin", 9, 4),
        (f"transfer from {model.name}", 5, 0),
        ("transfer from gone_2", 5, 5),
    ]
    parts = [
        place | {"part": part, "place": at, "met": met, "taken": taken}
        for at, (part, met, taken) in enumerate(told)
    ]
    (table,) = strongest.build(Shared(dataclasses.replace(data, parts=frame("parts", parts))))["tables"]
    (row,) = table.rows
    assert row.taken == (("mean logits, margin", 4), ("transfer from gone_2", 5))
    assert row.idle == (f"transfer from {model.title}",)
    assert (row.right, row.left) == (9, 0)
