"""The list of tools/mutants.py does not rot: each edit fits its file, and each test that it names is there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tests.ours import DELETED

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("mutants", ROOT / "tools" / "mutants.py")
assert SPEC is not None
assert SPEC.loader is not None
mutants = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(mutants)
MUTANTS = mutants.read()
HERE = [one for one in MUTANTS if one.file.removesuffix(".py") not in DELETED]
GONE = {f"unit/{family}/test_{name}.py" for family, _, name in (word.partition("/") for word in DELETED)}
"""The tests of what was deleted went with it."""


@pytest.mark.parametrize("mutant", HERE, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_its_file_and_its_tests_are_there(mutant: mutants.Mutant) -> None:
    text = (ROOT / "src/reproof" / mutant.file).read_text(encoding="utf-8")
    edited = mutants.mutated(mutant, text)
    assert edited != text
    compile(edited, mutant.file, "exec")
    assert mutant.tests
    for name in [name for name in mutant.tests if name not in GONE]:
        file, *parts = name.split("::")
        tests = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert all(re.search(rf"^ *(def|class) {part}\b", tests, re.MULTILINE) for part in parts)


def test_mutants_have_names_of_their_own() -> None:
    names = [one.name for one in MUTANTS]
    assert len(names) == len(set(names)) > 60


def test_an_edit_that_fits_nowhere_or_twice_is_an_error() -> None:
    mutant = mutants.Mutant("odd", "a.py", "x", "y", ("b.py",))
    assert mutants.mutated(mutant, "a x b") == "a y b"
    for text in ("a b", "x x"):
        with pytest.raises(ValueError, match=f"odd: a.py has `x` {text.count('x')} times"):
            mutants.mutated(mutant, text)
