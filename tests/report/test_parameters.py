"""What figures and page read out of parameters: fractions are numbers, and larger budgets come first."""

from __future__ import annotations

import math

from reproof.figures import parameters


def test_an_epsilon_is_a_number_however_it_is_printed() -> None:
    assert parameters.epsilon("norm=linf epsilon=8/255") == parameters.epsilon("epsilon=0.03137254901960784")
    assert parameters.epsilon("c=10") != parameters.epsilon("c=10"), "none is NaN"
    assert math.isnan(parameters.epsilon(""))
    assert parameters.epsilon_text("norm=linf epsilon=8/255") == "8/255"
    assert (parameters.norm("norm=linf epsilon=8/255"), parameters.norm("epsilon=0.1")) == ("linf", "")
    assert parameters.without_epsilon("norm=linf epsilon=8/255 steps=3") == "norm=linf steps=3"


def test_budgets_are_sorted_by_size_and_decibels_the_other_way() -> None:
    assert sorted(("epsilon=8/255", "epsilon=0.3", "epsilon=0.1"), key=parameters.largest_first) == [
        "epsilon=0.3",
        "epsilon=0.1",
        "epsilon=8/255",
    ]
    assert sorted(("psnr=40", "psnr=20", "psnr=30"), key=parameters.largest_first)[0] == "psnr=20"
    assert max(("c=2", "c=10"), key=parameters.numbers) == "c=10"
