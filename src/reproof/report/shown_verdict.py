"""A verdict as the page shows it: word, sign and grade, and in words what it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from reproof import wording
from reproof.claims.claim import Claim
from reproof.judging import difference, experiment
from reproof.report import numbers
from reproof.report.contents import MeasuredRow
from reproof.report.verdict_words import JUDGED, STRENGTHS, VERDICTS

HAMPERED = "⚑ attack hampered"
"""An accuracy under such an attack may be too high; its card says what shows it."""


@dataclass(frozen=True)
class ShownVerdict:
    """A word with its sign and grade."""

    word: str
    symbol: str
    grade: str = ""
    """Empty where nothing was measured."""
    remarks: tuple[str, ...] = ()
    """What a cell has room for: why it is undecided, how many seeds agree, whether it is stable, the attack weak."""

    @classmethod
    def of_word(cls, word: str) -> ShownVerdict:
        """Return a verdict without a measurement."""
        return cls(word, VERDICTS[word][0] if word in VERDICTS else "?")

    @classmethod
    def of_row(cls, row: Any, claim: Claim, *, hampered: bool = False) -> ShownVerdict:
        """Return the verdict of a row of verdicts.csv. hampered: red flags show its attack too weak (HamperedRows)."""
        plain, remarks = cls.of_word(row.verdict), list(_remarks(row, claim))
        if hampered and row.verdict in JUDGED:
            remarks.append(HAMPERED)
        return cls(row.verdict, plain.symbol, row.grade, tuple(remarks))


def _remarks(row: Any, claim: Claim) -> Iterable[str]:
    if row.undecided_by == "images":
        yield "too few images"
    elif row.undecided_by == "seeds":
        yield _most(seeds(row))
    elif row.undecided_by == "attack":
        yield STRENGTHS[strength(row, claim)][0]
    elif row.verdict in JUDGED and len(seeds(row)) > 1:
        yield f"{len(seeds(row))} of {len(seeds(row))} seeds"
    if row.stable:
        yield "stable" if row.stable == "yes" else "not stable"


def facts(
    row: Any, claim: Claim, worst: Mapping[str, MeasuredRow] = MappingProxyType({})
) -> Iterable[tuple[str, str]]:
    """Yield what a card says of a measured claim's verdict, beside how the two experiments differ.

    worst: as `strongest` takes it.
    """
    graded = f"{row.verdict}, grade {row.grade}" if row.grade else row.verdict
    yield "verdict", f"{graded}, not counted: the number is copied" if claim.copied else graded
    if row.undecided_by:
        yield "undecided", why(row, claim)
    if row.verdict in JUDGED:
        if len(seeds(row)) > 1 and row.undecided_by != "seeds":
            yield "seeds", f"{len(seeds(row))} of {len(seeds(row))} seeds, each judged by itself, say so"
        yield "margin", margin(row, claim)
    if pd.notna(row.training_share):
        yield "training", f"{share(row.training_share)} of the paper’s epochs"
    if row.grade == "B" and row.verdict != "undecided":
        yield "stable", _STABLE[row.stable]
    if pd.notna(row.source_accuracy):
        yield (
            "source",
            f"{100 * row.source_accuracy:.1f} % of the clean images right, the least accurate if several",
        )
    for term, value, count in strongest(row, claim, worst):
        yield (
            f"strongest, {term}",
            f"{', '.join(filter(None, (value, count)))}: what is left under all of them together, within the same "
            "budget",
        )


_STABLE = {
    "yes": "yes: the same word at half of this training",
    "no": "no: another word at half of this training",
    "": "not known: half of this training was not measured",
}


def seeds(row: Any) -> list[str]:
    """Return each seed's own word; none of one seed."""
    return row.seed_words.split(", ") if row.seed_words else []


def why(row: Any, claim: Claim) -> str:
    """Return why a claim is undecided."""
    if row.undecided_by == "images":
        return "too few images: the interval reaches over the margin’s edge"
    if row.undecided_by == "seeds":
        return f"the seeds, each judged by itself, disagree: {_all(seeds(row))}"
    return STRENGTHS[strength(row, claim)][1]


def strength(row: Any, claim: Claim) -> str:
    """Return how strong the attack was beside the paper's: weaker, stronger or other."""
    found = experiment.strength(difference.load(row.differences), claim)
    return found if found in STRENGTHS else "other"


def margin(row: Any, claim: Claim) -> str:
    """Return how far the measurement may lie from the claim: `± 0.5 points`."""
    unit = numbers.judged_in(row, claim)
    if unit == numbers.RATIO:
        return f"± {row.margin:.2g}, as a ratio to the undefended network’s time"
    return f"± {wording.difference(row.margin, unit).removeprefix('+')}"


def strongest(
    row: Any, claim: Claim, worst: Mapping[str, MeasuredRow] = MappingProxyType({})
) -> Iterable[tuple[str, str, str]]:
    """Yield what is left under all attacks of the claim's setting, and of all settings: which, how much, its count.

    worst: setting -> the row of the summary that counts it (WorstCases); where there is none, the count is empty.
    """
    for name, setting in (("strongest", claim.setting), ("overall", "all")):
        value, low, high = (getattr(row, f"{name}_{end}") for end in ("value", "low", "high"))
        if pd.notna(value):
            words = "all settings" if setting == "all" else wording.setting(setting).lower()
            left = wording.printed(numbers.measure(value, claim.unit), claim.unit)
            count = "; ".join(text for _, text in numbers.counts(worst[setting])) if setting in worst else ""
            yield words, f"{left} {numbers.interval(low, high, claim.unit)}".strip(), count


def share(value: float) -> str:
    """Return a share of the training: `1.1 %`."""
    return f"{float(f'{100 * value:.2g}'):g} %"


def _most(words: Sequence[str]) -> str:
    """Return `2 of 3 seeds lower`."""
    word, count = Counter(words).most_common(1)[0]
    return f"{count} of {len(words)} seeds {word}"


def _all(words: Sequence[str]) -> str:
    """Return `2 of 3 seeds lower, 1 reproduced`."""
    _, *others = Counter(words).most_common()
    return ", ".join([_most(words), *(f"{count} {word}" for word, count in others)])
