from __future__ import annotations

from reproof.stages.report import data_words


def test_data_sets_stand_apart_where_there_are_several() -> None:
    notes = {
        "images": 1797,
        "height": 28,
        "width": 32,
        "classes": 10,
        "splits": {"train": 1197, "validation": 200, "test": 400},
    }
    assert data_words({"digits": notes}) == {
        "images": "1,797 of 28 x 32 pixels, 10 classes",
        "split": "1,197 training, 200 validation, 400 test",
    }
    several = data_words({"digits": notes, "other": {**notes, "images": 5}})
    assert list(several) == ["digits, images", "digits, split", "other, images", "other, split"]
    assert several["other, images"].startswith("5 of ")
