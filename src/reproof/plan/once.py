"""Answers that are kept: a plan never changes, and Snakemake asks it again at every job."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

S = TypeVar("S")
P = ParamSpec("P")
T = TypeVar("T")


def once(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Keep what a method returns for each set of arguments, in the object itself."""
    place = f"_once_{method.__name__}"

    @functools.wraps(method)
    def kept(self: S, /, *arguments: P.args, **named: P.kwargs) -> T:
        answers: dict[object, T] = vars(self).setdefault(place, {})
        key = (arguments, tuple(named.items()))
        if key not in answers:
            answers[key] = method(self, *arguments, **named)
        return answers[key]

    return kept
