"""What tells a measurement from the claim beside it, as data; a sentence is made of it where a person reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple


class Difference(NamedTuple):
    """One difference between what a study did and what the paper says it did, or why nothing was measured.

    kind is one of these; here and there are texts, as in tables and claims (names, numbers, parameters), several of
    them joined by `, `:

    | kind | here | there |
    |---|---|---|
    | dataset | what was measured on | the claim's |
    | architecture | what was measured on; a narrower one: `cnn6 (width 0.25)` | the claim's |
    | source | what images were made on, as claims write it; widths as above | the claim's |
    | counted_images | images a count was made among | the paper's |
    | images, epochs, training_images, seeds | the study's number | the paper's |
    | attack.NAME | the study's value of the attack's setting NAME | the paper's |
    | attack.ATTACK.NAME | the same of a statement, which may be about several attacks | the paper's |
    | lacks.defense | nothing | the claim's |
    | lacks.training, lacks.setting, lacks.attack, lacks.metric | what the study has instead | the claim's |
    | lacks.parameters | those that were run | the claim's |
    | lacks.members | the members that were attacked; the empty text: the whole ensemble | the claim's |
    | lacks.fooling_set | nothing: no image fools all the sources | the attack |
    | lacks.dataset | nothing; beside another one | the claim's |
    | pairs | pairs of a statement that were measured | its pairs |
    | compared | nothing: not all that a statement compares with was measured | nothing |
    | zero_share | nothing: a share of a measured 0 is no number | nothing |

    A source is written `vgg19:fgsm_training:fgsm*2 + lenet`.
    """

    kind: str
    here: str
    there: str


def dump(differences: Iterable[Difference]) -> str:
    """Return differences as the JSON text of a table's cell; the empty text for none."""
    listed = [list(difference) for difference in differences]
    return json.dumps(listed, ensure_ascii=False) if listed else ""


def load(text: str) -> tuple[Difference, ...]:
    """Return the differences that `dump` wrote."""
    return tuple(Difference(*parts) for parts in json.loads(text)) if text else ()
