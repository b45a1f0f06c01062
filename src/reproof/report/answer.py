"""The answer, paper by paper: what it claims, how that fell, and its headline numbers. Page, JSON and Markdown show it.

Every sentence is computed from verdicts; none says more than their words and grades do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reproof import wording
from reproof.claims.claim import Claim
from reproof.claims.independent import IndependentMeasurement, search
from reproof.claims.paper import Paper
from reproof.claims.vocabulary import METRICS
from reproof.report import numbers, others, reasons, shown_verdict
from reproof.report.contents import THIS_RUN, ReportData, rows
from reproof.report.evidence import BestEvidence, Evidence, attacked_directly, own_claims
from reproof.report.shown_verdict import ShownVerdict
from reproof.report.tally import Tally
from reproof.report.verdict_words import JUDGED
from reproof.settings.table_words import NO_ATTACK, WORST_CASE

OTHER_EXPERIMENT = "not the paper’s own experiment"
NOT_MEASURED = "not measured"
DIRECT = "its defense, attacked directly"


@dataclass(frozen=True)
class Found:
    """What others published of the very model that a claim is about."""

    printed: str
    unit: str
    attack: str
    """Empty where it is the accuracy on clean images."""
    model: str
    source: str

    @property
    def number(self) -> str:
        """Return the number with its unit."""
        return wording.printed(self.printed, self.unit)


@dataclass(frozen=True)
class Headline:
    """One of the claims that a paper stands or falls by, in four numbers."""

    claim: Claim
    about: str
    """What was claimed of what, in words."""
    claimed: str
    evidence: Evidence | None
    verdict: ShownVerdict
    why: str
    """Why it is undecided or not judged; empty where the word says all."""
    others: Found | None

    @property
    def measured(self) -> str:
        """Return what was measured, with its unit; NOT_MEASURED where nothing was."""
        return self.evidence.measured if self.evidence else NOT_MEASURED

    @property
    def left(self) -> str:
        """Return what the strongest attack leaves; empty where none was run in the claim's budget."""
        found = self.evidence.left if self.evidence else None
        return (
            wording.printed(numbers.measure(found.value, self.claim.unit), self.claim.unit) if found else ""
        )

    @property
    def left_interval(self) -> str:
        """Return its interval; empty where nothing is left to tell of."""
        found = self.evidence.left if self.evidence else None
        return numbers.interval(found.low, found.high, self.claim.unit) if found else ""

    @property
    def left_of(self) -> str:
        """Return which attacks leave that."""
        found = self.evidence.left if self.evidence else None
        return f"{found.of}, the same budget" if found else ""


@dataclass(frozen=True)
class PaperAnswer:
    """What is known of one paper."""

    key: str
    name: str
    title: str
    thesis: str
    short: str
    """The verdict in a few words: how `counted` fell."""
    of: str
    """Which numbers those are, in words; empty where none was judged."""
    verdict: tuple[str, ...]
    """The verdict in sentences, the weightiest first."""
    tally: Tally
    """How the claims fell that its authors measured, by the best evidence of each."""
    headlines: tuple[Headline, ...]
    evidence: tuple[Evidence, ...]
    """Of every claim that was measured on its own data set."""
    counted: tuple[Evidence, ...]
    """Of those that `short` counts: on its own defense, attacked directly, or of all where none of these was judged."""


@dataclass(frozen=True)
class ModelAnswer:
    """How a model of this run did, over all of its seeds."""

    name: str
    title: str
    clean: float
    """The share of test images that it gets right."""
    left: tuple[tuple[str, float], ...]
    """Budget in words, and the share that it gets right under each attack of the run within it."""


@dataclass(frozen=True)
class Answer:
    """What is known of all papers, and of this run's models."""

    study: str
    title: str
    sentence: str
    papers: tuple[PaperAnswer, ...]
    models: tuple[ModelAnswer, ...] = ()

    @property
    def judged_by(self) -> Counter[str]:
        """Return how many of the authors' own numbers each run judged, by the run's name."""
        return _judged_by(self.papers)


def answer(data: ReportData) -> Answer:
    """Return the answer from all evidence at hand: this run, the reference runs, independent publications."""
    best = BestEvidence(data)
    papers = tuple(_of_paper(paper, data, best) for paper in data.papers)
    claims = [claim for paper in data.papers for claim in own_claims(paper)]
    sentence = _sentence(_tally(claims, best), papers, _hampered(claims, best))
    return Answer(data.study, data.title, sentence, papers, tuple(_models(data)))


def _models(data: ReportData) -> Iterator[ModelAnswer]:
    accuracy = data.summary[data.summary["metric"] == "accuracy"]
    clean = {row.model: row.value for row in rows(accuracy[accuracy["attack"] == NO_ATTACK])}
    worst = accuracy[accuracy["attack"] == WORST_CASE]
    for model in data.models:
        if model.name in clean:
            own = rows(worst[worst["model"] == model.name])
            left = tuple((wording.parameters(row.parameters), row.value) for row in own)
            yield ModelAnswer(model.name, model.title, clean[model.name], left)


def _of_paper(paper: Paper, data: ReportData, best: BestEvidence) -> PaperAnswer:
    own = own_claims(paper)
    evidence = [found for claim in own if (found := best.of(claim)) is not None]
    tally = _tally(own, best)
    direct = attacked_directly(own)
    chosen = {claim.claim_id for claim in (direct if _judged(_tally(direct, best)) else own)}
    claims = {claim.claim_id: claim for claim in own}
    headlines = tuple(_headline(claims[key], data, best) for key in paper.headlines)
    short, of = _short(tally, _tally(direct, best))
    return PaperAnswer(
        key=paper.key,
        name=paper.short_name,
        title=paper.title,
        thesis=paper.thesis,
        short=short,
        of=of,
        verdict=tuple(_verdict(tally, own, direct, best)),
        tally=tally,
        headlines=headlines,
        evidence=tuple(evidence),
        counted=tuple(one for one in evidence if one.claim.claim_id in chosen),
    )


def _tally(claims: Sequence[Claim], best: BestEvidence) -> Tally:
    found = [best.of(claim) for claim in claims]
    return Tally.of(None if one is None else one.row for one in found)


# Sentences.


def _sentence(total: Tally, papers: Sequence[PaperAnswer], hampered: str) -> str:
    """Return how the claims of all papers fell together, and by which runs. hampered: how many under a weak attack."""
    claims = wording.counted(total.measured + total.unmeasured, "number")
    told = f"the {claims} that {wording.counted(len(papers), 'paper')} measured could be judged"
    if not _judged(total):
        return f"None of {told}."
    own = "" if total.total("A") else " None was tested in its paper’s own experiment (grade A)."
    return f"{_judged(total):,} of {told}, {_by_grade(total)}{hampered}.{_from(papers)}{own}"


def _judged_by(papers: Sequence[PaperAnswer]) -> Counter[str]:
    return Counter(one.run for paper in papers for one in paper.evidence if one.word in JUDGED)


def _from(papers: Sequence[PaperAnswer]) -> str:
    """Return how many of the judged numbers each run judged."""
    runs = _judged_by(papers)
    told = [f"{count} from {run if run == THIS_RUN else f'“{run}”'}" for run, count in runs.most_common()]
    return f" Of these, {wording.listed(told)}{'' if runs[THIS_RUN] else f'; none from {THIS_RUN}'}."


def _short(tally: Tally, direct: Tally) -> tuple[str, str]:
    """Return the verdict in a few words and which numbers they count: the paper's own defense, where there is one."""
    own = _judged(direct) > 0
    chosen = direct if own else tally
    if not _judged(chosen):
        return (f"not judged: {OTHER_EXPERIMENT} (grade C)" if tally.other else NOT_MEASURED), ""
    grade = "A" if chosen.total("A") else "B"
    return f"grade {grade}: {_fell(chosen, grade)}", DIRECT if own else "its numbers"


def _verdict(
    tally: Tally, counted: Sequence[Claim], direct: Sequence[Claim], best: BestEvidence
) -> Iterator[str]:
    """Yield how a paper's claims on its own defense fell, then all its own, then what was not judged."""
    own = _tally(direct, best)
    if _judged(own):
        fell = f"{_by_grade(own)}{_hampered(direct, best)}"
        yield f"Its own defense, attacked directly, {fell}.{_strongest(direct, best)}"
    total = wording.counted(tally.measured + tally.unmeasured, "own number")
    if _judged(tally):
        fell = f"{_by_grade(tally, brief=_judged(own) > 0)}{_hampered(counted, best)}"
        yield f"In all, {_judged(tally)} of its {total} could be judged, {fell}."
    else:
        yield f"None of its {total} could be judged."
    if tally.other:
        was = "was" if tally.other == 1 else "were"
        yield f"{tally.other} {was} measured in another experiment (grade C), and not judged."
    if tally.unmeasured:
        was = "was" if tally.unmeasured == 1 else "were"
        yield f"{tally.unmeasured} {was} not measured on the data set that the paper names."


def _strongest(direct: Sequence[Claim], best: BestEvidence) -> str:
    """Return in how many claims on its own defense all attacks together leave less than was claimed."""
    pairs = [
        (claim, left)
        for claim in direct
        if (found := best.of(claim)) is not None
        and found.word in JUDGED
        and (left := found.left) is not None
        and claim.value is not None
    ]
    if not pairs:
        return ""
    below = sum(left.high < claim.value for claim, left in pairs if claim.value is not None)
    return (
        f" All attacks together, within the same budget, leave less than was claimed in {below} of the "
        f"{len(pairs)} numbers that they were run for."
    )


def _hampered(claims: Sequence[Claim], best: BestEvidence) -> str:
    """Return how many of the judged numbers rest on an attack that was hampered, and how many are higher for it."""
    judged = [found for claim in claims if (found := best.of(claim)) is not None and found.word in JUDGED]
    weak = [found for found in judged if found.hampered]
    higher = sum(found.word == "higher" for found in weak)
    told = f" ({higher} of them higher)" if higher else ""
    return f"; {len(weak)} of these {len(judged)} under an attack that was hampered{told}" if weak else ""


def _judged(tally: Tally) -> int:
    return tally.total("A") + tally.total("B")


def _of_word(tally: Tally, grade: str, word: str) -> int:
    return dict(tally.same if grade == "A" else tally.near).get(word, 0)


def _by_grade(tally: Tally, *, brief: bool = False) -> str:
    """Return how claims fell at each grade that occurs: `at grade B (…): 3 reproduced, …`. brief: grades alone."""
    grades = [grade for grade in "AB" if tally.total(grade)]
    told = [f"at grade {grade}{'' if brief else f' ({_grade(tally, grade)})'}" for grade in grades]
    return "; ".join(f"{words}: {_fell(tally, grade)}" for words, grade in zip(told, grades, strict=True))


def _fell(tally: Tally, grade: str) -> str:
    """Return `3 reproduced, 2 lower, 0 higher, 1 undecided`: every word, so that nobody has to guess at one."""
    return ", ".join(f"{_of_word(tally, grade, word)} {word}" for word in JUDGED)


def _grade(tally: Tally, grade: str) -> str:
    """Return what a grade's experiments were."""
    if grade == "A":
        return "the paper’s own experiment"
    share = f", {tally.of_training}" if tally.of_training else ""
    return f"another training, strength of the attack or released network{share}"


# Headlines.


def _headline(claim: Claim, data: ReportData, best: BestEvidence) -> Headline:
    found = best.of(claim)
    verdict = (
        ShownVerdict.of_row(found.row, claim, hampered=found.hampered)
        if found
        else ShownVerdict.of_word(NOT_MEASURED)
    )
    return Headline(
        claim=claim,
        about=_about(claim),
        claimed=wording.printed(claim.printed, claim.unit),
        evidence=found,
        verdict=verdict,
        why=_why(found) if found else "",
        others=_found_by_others(claim, data),
    )


def _about(claim: Claim) -> str:
    """Return what a headline is about: data set, defense, training, attack, budget, setting."""
    if claim.attack == NO_ATTACK:
        under = "clean images" if claim.metric == "accuracy" else METRICS[claim.metric].words
    else:
        parts = (
            wording.attack(claim.attack),
            wording.parameters(claim.parameters),
            wording.setting(claim.setting).lower(),
        )
        under = ", ".join(filter(None, parts))
        if claim.source in wording.SOURCES:
            under += f", {wording.SOURCES[claim.source]}"
        elif claim.source:
            under += f" from {reasons.sources(claim.source)}"
    trained = "" if claim.training == "clean" else f" trained on {wording.training(claim.training)}"
    return f"{wording.dataset(claim.dataset)}: {wording.defense(claim.defense)}{trained}; {under}"


def _why(found: Evidence) -> str:
    if found.word == "undecided":
        return shown_verdict.why(found.row, found.claim)
    if found.grade != "C":
        return ""
    heavy = [one for one in reasons.clauses(found.row.differences, found.claim) if one.grade == "C"]
    first = f": {heavy[0].words}" if heavy else ""
    more = f", and {len(heavy) - 1} more" if len(heavy) > 1 else ""
    return f"{OTHER_EXPERIMENT}{first}{more}"


def _found_by_others(claim: Claim, data: ReportData) -> Found | None:
    """Return what others measured of this very model: of several, the attack that searches hardest, then the least."""
    fitting = [
        found
        for found in data.independent
        if found.checked and found.of_claim(claim) and found.same_as(claim) and _number(found, claim)
    ]
    if not fitting:
        return None
    chosen = min(fitting, key=lambda found: (-search(found.attack), float(_number(found, claim))))
    under = "" if claim.attack == NO_ATTACK else others.attack(chosen)
    return Found(_number(chosen, claim), chosen.unit, under, chosen.model, chosen.source)


def _number(found: IndependentMeasurement, claim: Claim) -> str:
    return found.clean if claim.attack == NO_ATTACK else found.robust
