"""What figures and page read out of the tables' `parameters`, such as `norm=linf epsilon=0.3`, in one place."""

from __future__ import annotations

import math
from fractions import Fraction

from reproof import wording


def epsilon_text(parameters: str) -> str:
    """Return epsilon as the table has it; empty where there is none."""
    return wording.parameter(parameters, "epsilon") or ""


def epsilon(parameters: str) -> float:
    """Return epsilon; NaN where there is none."""
    text = epsilon_text(parameters)
    return number(text) if text else math.nan


def number(text: str) -> float:
    """Return what a parameter's text means, which may be a fraction: 8/255."""
    return float(Fraction(text))


def norm(parameters: str) -> str:
    """Return the norm's key; empty where there is none."""
    return wording.parameter(parameters, "norm") or ""


def without_epsilon(parameters: str) -> str:
    """Return all that is said beside epsilon."""
    return " ".join(item for item in parameters.split() if not item.startswith("epsilon="))


def numbers(parameters: str) -> tuple[float, ...]:
    """Return every number, in order; they sort budgets by size."""
    found = []
    for item in parameters.split():
        try:
            found.append(number(item.partition("=")[2]))
        except ValueError:
            continue
    return tuple(found)


def largest_first(parameters: str) -> tuple[float, str]:
    """Return an order in which larger budgets come first, and more decibels, which are smaller budgets, last."""
    size = (numbers(parameters) or (0.0,))[-1]
    return size if parameters.startswith("psnr=") else -size, parameters
