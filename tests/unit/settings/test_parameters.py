"""Parameters are matched and sorted as numbers, and print as they were written."""

from __future__ import annotations

import copy
import json
import pickle
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reproof import registry
from reproof.settings.attack import Point
from reproof.settings.parameters import Parameters, Printed, PrintedNumber, PrintedUnitInterval, written
from reproof.settings.values import Settings

names = st.from_regex(r"[a-z_]{1,6}", fullmatch=True)
fractions = st.tuples(st.integers(0, 10**6), st.integers(1, 10**6)).map(lambda pair: f"{pair[0]}/{pair[1]}")
finite = st.floats(allow_nan=False, allow_infinity=False)
values = fractions | finite.map(repr) | st.sampled_from(["linf", "l2", "nan", "inf", "1/0", "8/255"])
items = st.dictionaries(names, values, max_size=3).map(lambda found: tuple(found.items()))


@settings(deadline=None)
@given(items)
def test_text_reads_back_the_same(found: tuple[tuple[str, str], ...]) -> None:
    parameters = Parameters(found)
    again = Parameters.parse(str(parameters))
    assert (again, again.items, str(again)) == (parameters, found, str(parameters))


@settings(deadline=None)
@given(items, st.randoms())
def test_order_and_print_make_no_difference(found: tuple[tuple[str, str], ...], random) -> None:
    def reprinted(text: str) -> str:
        return repr(float(Fraction(text))) if "/" in text and not text.endswith("/0") else text

    shuffled = random.sample([(name, reprinted(text)) for name, text in found], len(found))
    one, other = Parameters(found), Parameters(tuple(shuffled))
    assert one == other
    assert hash(one) == hash(other)
    assert not one < other
    assert not other < one


@settings(deadline=None)
@given(st.lists(items.map(Parameters), max_size=5))
def test_sorting_is_that_of_a_total_order(found: list[Parameters]) -> None:
    backwards = found[::-1]
    assert sorted(backwards) == sorted(found)
    for one in found:
        for other in found:
            assert (one < other) + (other < one) + (one == other) == 1


def test_sorted_as_people_would() -> None:
    texts = [
        "c=10",
        "norm=linf epsilon=0.1",
        "c=2",
        "norm=l2 epsilon=0.5",
        "",
        "epsilon=8/255",
        "epsilon=0.03",
    ]
    assert [str(one) for one in sorted(map(Parameters.parse, texts))] == [
        "", "norm=l2 epsilon=0.5", "norm=linf epsilon=0.1", "c=2", "c=10", "epsilon=0.03", "epsilon=8/255"
    ]  # fmt: skip


def test_close_budgets_stay_apart_and_equal_ones_meet() -> None:
    eight = Parameters.parse("epsilon=8/255")
    assert eight == Parameters.parse("epsilon=0.03137254901960784")
    assert len({eight, Parameters.parse("epsilon=0.03"), Parameters.parse("epsilon=0.031")}) == 3
    assert eight != Parameters.parse("c=8/255")
    assert eight != Parameters.parse("epsilon=8/255 steps=1")
    assert eight != "epsilon=8/255"
    assert Parameters.parse("norm=linf") != Parameters.parse("norm=l2")
    assert Parameters.parse("x=0") != Parameters.parse("x=zero"), "a word is no number"


def test_one_parameter_as_number_and_as_text() -> None:
    found = Parameters.parse("norm=linf epsilon=8/255")
    assert (found.number("epsilon"), str(found.number("epsilon"))) == (8 / 255, "8/255")
    assert (found.text("epsilon"), found.text("norm"), found.text("c")) == ("8/255", "linf", None)
    assert (found.number("norm"), found.number("c")) == (None, None)
    assert "epsilon" in found
    assert "eps" not in found
    assert (found.without("epsilon"), found.without("c")) == (Parameters.parse("norm=linf"), found)
    assert str(Parameters.of(norm="linf", epsilon=PrintedNumber("8/255"))) == "norm=linf epsilon=8/255"
    assert str(Parameters.of(c=10.0)) == "c=10"


@pytest.mark.parametrize("text", ["0.3", "epsilon", "epsilon=", "=0.3", "epsilon=0.1 0.3"])
def test_what_says_nothing_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="should read name=value"):
        Parameters.parse(text)
    with pytest.raises(ValueError, match="'c' stands twice"):
        Parameters.parse("c=1 c=2")


@pytest.mark.parametrize(
    ("text", "value", "print"),
    [("8/255", 8 / 255, "8/255"), ("0.30", 0.3, "0.3"), ("1e-6", 1e-6, "1e-06"), ("10.0", 10.0, "10")],
)
def test_a_number_keeps_the_print_of_a_fraction(text: str, value: float, print: str) -> None:
    number = PrintedNumber(text)
    assert (number, hash(number), str(number), written(number)) == (value, hash(value), print, print)
    assert f"{number}" == print
    assert f"{number:.4f}" == f"{value:.4f}"
    assert json.dumps(number) == json.dumps(value)
    for again in (copy.copy(number), copy.deepcopy(number), pickle.loads(pickle.dumps(number))):
        assert (again, written(again)) == (value, print)
    assert type(number + 0) is float


class Swept(Settings):
    epsilons: tuple[PrintedUnitInterval, ...]
    other: Printed = 1.0


def test_settings_keep_what_was_written() -> None:
    swept = Swept.model_validate({"epsilons": ["8/255", 0.1, " 4 / 255", "1e-3", 1], "other": "1/3"})
    assert swept.epsilons == (8 / 255, 0.1, 4 / 255, 0.001, 1.0)
    dumped = swept.model_dump(mode="json")
    assert dumped == {"epsilons": ["8/255", 0.1, "4/255", 0.001, 1.0], "other": "1/3"}
    assert json.loads(json.dumps(dumped)) == dumped
    for again in (Swept.model_validate(dumped), Swept.model_validate(swept.model_dump()), swept.model_copy()):
        assert again == swept
        assert [written(epsilon) for epsilon in again.epsilons] == ["8/255", "0.1", "4/255", "0.001", "1"]
    assert swept == Swept(epsilons=(8 / 255, 0.1, 4 / 255, 0.001, 1.0), other=1 / 3), (
        "prints change no setting"
    )


@pytest.mark.parametrize("wrong", ["9/8", "-1/255", True, "x", "1/0", float("nan"), None, -0.1])
def test_settings_refuse_what_is_no_share(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Swept.model_validate({"epsilons": [wrong]})


def test_points_of_an_attack_print_its_budgets_as_written() -> None:
    chosen = registry.settings_class("attacks", "pgd").model_validate(
        {"epsilons": ["8/255", 0.3], "psnrs": [20]}
    )
    points = chosen.points()  # type: ignore[attr-defined]
    assert [point.parameters for point in points] == ["epsilon=8/255", "epsilon=0.3", "psnr=20"]
    assert [point.epsilon for point in points] == [8 / 255, 0.3, None]
    assert Point(name="c", value=10, epsilon=None).parameters == "c=10"
