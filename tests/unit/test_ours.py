"""What tests name as ours is here, and what is here is named: no case goes unseen."""

from __future__ import annotations

import pytest

from reproof import registry
from tests.ours import DELETED, PACKAGE, WORDS, cases_here, here, is_here


@pytest.mark.parametrize("word", WORDS)
def test_what_nobody_deleted_is_here(word: str) -> None:
    assert is_here(word) == (word not in DELETED), f"add {word} to DELETED in tests/ours.py, or take it out"


def test_what_is_deleted_was_ours() -> None:
    assert set(DELETED) <= set(WORDS)


@pytest.mark.parametrize("word", ["attacks/mimm", "attack/mim", "mim"])
def test_a_slip_is_no_deletion(word: str) -> None:
    with pytest.raises(ValueError, match="none of ours"):
        is_here(word)


def test_a_name_stands_for_its_file() -> None:
    for family in registry.FAMILIES:
        assert set(here(family, *(w.split("/")[1] for w in WORDS if w.startswith(family)))) <= set(
            registry.names(family)
        )
    assert cases_here("attacks", [("fgsm", 1), ("pgd", 2)]) == [("fgsm", 1), ("pgd", 2)]
    assert (PACKAGE / "attacks/fgsm.py").is_file()
