"""What figures and page read out of the tables' `parameters`, such as `norm=linf epsilon=0.3`."""

from __future__ import annotations

import math

from reproof.settings.parameters import Parameters, PrintedNumber


def epsilon_text(text: str) -> str:
    """Return epsilon as it was written; empty where there is none."""
    return Parameters.parse(text).text("epsilon") or ""


def epsilon(text: str) -> float:
    """Return epsilon; NaN where there is none."""
    found = Parameters.parse(text).number("epsilon")
    return math.nan if found is None else float(found)


def number(text: str) -> float:
    """Return what a parameter's text means, which may be a fraction: 8/255."""
    return float(PrintedNumber(text))


def norm(text: str) -> str:
    """Return the norm's key; empty where there is none."""
    return Parameters.parse(text).text("norm") or ""


def budget_norm(text: str) -> str:
    """Return the norm's key of a budget, which is linf where none is written."""
    return norm(text) or "linf"


def without_epsilon(text: str) -> str:
    """Return all that is said beside epsilon."""
    return str(Parameters.parse(text).without("epsilon"))


def numbers(text: str) -> tuple[float, ...]:
    """Return every number, in order; they sort budgets by size."""
    parameters = Parameters.parse(text)
    found = (parameters.number(name) for name, _ in parameters.items)
    return tuple(float(number) for number in found if number is not None)


def largest_first(text: str) -> tuple[float, str]:
    """Return an order in which larger budgets come first, and more decibels, which are smaller budgets, last."""
    size = (numbers(text) or (0.0,))[-1]
    return size if "psnr" in Parameters.parse(text) else -size, text
