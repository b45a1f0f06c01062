"""What is said of the run as a whole: how much was done, and whether the networks do what they were trained for."""

from __future__ import annotations

import dataclasses

import made_up_study
import pytest
from made_up_study import frame, rows_of
from tests.ours import needs

from reproof.report.page import flat
from reproof.report.shared import Shared


@needs("sections/study_run")
@pytest.mark.parametrize(
    ("accuracy", "words"),
    [
        (0.5, "each does better than twice chance level"),
        (0.2, "at most twice chance level: undefended"),
        (0.1, "at most twice chance level: undefended"),
    ],
)
def test_a_network_that_learned_nothing_is_named(
    tree: made_up_study.Tree, accuracy: float, words: str
) -> None:
    from reproof.report.sections.study_run import build

    data = made_up_study.report_data(tree)
    rows = [
        {**row, "value": accuracy}
        if (row["model"], row["attack"], row["metric"]) == ("undefended", "none", "accuracy")
        else row
        for row in rows_of(data.summary)
    ]
    told = build(Shared(dataclasses.replace(data, summary=frame("summary", rows))))["behaviour"]
    jobs = {(record["command"], record["started"]) for record in data.records.values()}
    assert told.startswith(f"{len(jobs)} jobs made what is shown here.")
    assert f" {100 * accuracy:.1f} to 9" in told
    assert told.endswith(f"; {words}.")


def test_settings_are_told_in_words_and_empty_ones_left_out() -> None:
    settings = {
        "kind": "pgd",
        "psnrs": [],
        "loss": "cross_entropy",
        "early_stop": False,
        "start": None,
        "at": [0.1, 1],
    }
    assert flat(settings) == "loss cross entropy; early stop no; start none; at 0.1, 1"
    assert flat({"weights": "my_net.pt, trained elsewhere"}) == "weights my_net.pt, trained elsewhere"
