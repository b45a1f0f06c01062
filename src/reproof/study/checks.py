"""What must be true of a study beyond the types of its values: a list of checks, each of one thing.

A check may count on those that stand before it: that a name is known is checked before what it names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from reproof.study.checks_of_models import CHECKS as OF_MODELS
from reproof.study.checks_of_suites import CHECKS as OF_SUITES
from reproof.study.checks_of_threats import CHECKS as OF_THREATS
from reproof.study.checks_of_weights import CHECKS as OF_WEIGHTS
from reproof.study.messages import Mistake, unknown
from reproof.study.model import Study


def seeds_once(study: Study) -> Iterator[Mistake]:
    """Each seed makes one run."""
    if len(set(study.seeds)) != len(study.seeds):
        yield ["seeds"], "a seed stands twice"


def default_dataset(study: Study) -> Iterator[Mistake]:
    """The models' data set, where they name none, is one of the study's."""
    yield from unknown(["dataset"], study.source["dataset"], study.datasets, "data set")


CHECKS: tuple[Callable[[Study], Iterator[Mistake]], ...] = (
    seeds_once,
    default_dataset,
    *OF_WEIGHTS,
    *OF_MODELS,
    *OF_SUITES,
    *OF_THREATS,
)
"""In the order in which a person would read the file; the first mistake is the one that is reported."""
