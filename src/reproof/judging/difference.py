"""What tells a measurement from the claim beside it, as data; a sentence is made of it where a person reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Literal, NamedTuple

from reproof.claims.protocol import Grade


class Difference(NamedTuple):
    """One difference between what a study did and what the paper says it did, or why nothing was measured.

    kind is one of these; here and there are texts, as in tables and claims (names, numbers, parameters), several of
    them joined by `, `. A setting that the paper does not print has no there.

    | kind | here | there |
    |---|---|---|
    | dataset, architecture | what was measured on | the claim's |
    | dataset.NAME, architecture.NAME, defense.NAME | the study's value of a setting | the paper's |
    | training.NAME, training_images | the same | the paper's |
    | source | what images were made on, as claims write it | the claim's |
    | source.KIND | the same as KIND, of what images were made on | the paper's |
    | source.twin | a network that images were made on | another one, or the target, with the same weights |
    | weights | nothing: it was trained elsewhere, in a way that is not known | nothing |
    | protocol | nothing: what the paper says of its training is not typed in | nothing |
    | attack.NAME | the study's value of the attack's setting NAME | the paper's |
    | attack.ATTACK.NAME | the same of a statement, which may be about several attacks | the paper's |
    | images, seeds | the study's number | the paper's |
    | undefended | nothing: a time is compared with the undefended network's, and there is none | nothing |
    | lacks.defense | nothing | the claim's |
    | lacks.training, lacks.setting, lacks.attack, lacks.metric | what the study has instead | the claim's |
    | lacks.parameters | those that were run | the claim's |
    | lacks.members | the members that were attacked; the empty text: the whole ensemble | the claim's |
    | lacks.model | the model of the cell's row or column, which did not meet its attack | nothing |
    | lacks.fooling_set | nothing: no image fools all the sources | the attack |
    | lacks.dataset | nothing; beside another one | the claim's |
    | pairs | pairs of a statement that can be compared | its pairs |
    | compared | nothing: not all that a statement compares with was measured | nothing |
    | zero_share | nothing: a share of a measured 0 is no number | nothing |

    A source is written `vgg19:fgsm_training:fgsm*2 + lenet`.
    """

    kind: str
    here: str
    there: str
    grade: Grade | Literal[""] = ""
    """The best grade of an experiment that differs so; empty where nothing was measured, or of a statement."""


def dump(differences: Iterable[Difference]) -> str:
    """Return differences as the JSON text of a table's cell; the empty text for none."""
    listed = [list(difference) for difference in differences]
    return json.dumps(listed, ensure_ascii=False) if listed else ""


def load(text: str) -> tuple[Difference, ...]:
    """Return the differences that `dump` wrote."""
    return tuple(Difference(*parts) for parts in json.loads(text)) if text else ()
