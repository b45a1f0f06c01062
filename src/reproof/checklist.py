"""N. Carlini, A. Athalye, N. Papernot, W. Brendel, J. Rauber, D. Tsipras, I. Goodfellow, A. Madry, A. Kurakin. On
Evaluating Adversarial Robustness. arXiv 1902.06705, 2019: its checklist (Sec. 3), answered from a study's data.

Every answer is computed from the study's settings, its outcomes, its red flags and its verdicts; none is typed in.
`yes`: done, and nothing speaks against it. `partly`: done for a part, and the evidence says for which. `no`: not done,
or done with a result against it; the evidence tells the two apart. Imports no torch.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np

from reproof import wording
from reproof.intervals import mcnemar_one_sided, wilson
from reproof.red_flags import ALPHA, Flag
from reproof.tables import Outcomes, Trial, worst_case
from reproof.verdicts import Verdict

Answer = Literal["yes", "partly", "no", "does not apply"]
ANSWERS: tuple[Answer, ...] = ("yes", "partly", "no", "does not apply")
COLUMNS = ("item", "group", "section", "model", "answer", "evidence")
MANY_DRAWS = 10_000
"""Draws of random noise per image that the checklist asks for (Sec. 4.11)."""
WORKS_AT = 0.5
"""An attack is taken to work when it fools so large a share of some model's images."""

FAMILIES = {
    "fgsm": "gradient signs",
    "bim": "gradient signs",
    "mim": "gradient signs",
    "pgd": "gradient signs",
    "gradient_ensemble": "gradient signs",
    "carlini_wagner": "optimised distance",
    "deepfool": "nearest boundary",
    "jsma": "saliency of pixels",
    "square": "random search by scores",
    "random_noise": "random noise",
    "autoattack": "an ensemble of attacks",
}
"""Kind of attack -> how it searches; kinds that search alike count once."""
SCORE_BASED = ("square",)
LABEL_BASED = ("random_noise",)
"""Kinds that ask a model for nothing but its class."""
TARGETED = ("autoattack", "jsma")
"""Kinds that go towards a class, of their own choice; every other one goes away from the true class."""


@dataclass(frozen=True)
class Subject:
    """What the study says of a model, as far as the checklist asks."""

    dataset: str
    architecture: str
    defense: str
    training: str
    """As in the tables."""
    added_training: str
    """Adversarial examples that the study adds to the defense; empty where it adds none."""
    classes: int
    views: tuple[str, ...] = ()
    """Losses that an adaptive attacker climbs."""
    members: int = 0
    """Trained networks that vote in it; 0 for a single network."""

    @property
    def components(self) -> frozenset[str]:
        """Return what was added to an undefended network, each of which can be left out alone."""
        added = set(self.defense.split("+")) - {"undefended"}
        return frozenset(added | ({self.added_training} if self.added_training else set()))

    @property
    def place(self) -> tuple[str, str]:
        """Return data set and architecture."""
        return self.dataset, self.architecture


@dataclass(frozen=True)
class Facts:
    """What the study says."""

    models: Mapping[str, Subject]
    attacks: Mapping[str, Mapping[str, Any]]
    """Stanza -> its settings, with `kind`."""
    threats: Mapping[str, str]
    """Threat -> its setting: white_box, adaptive, black_box."""


@dataclass(frozen=True)
class Reply:
    """One item's answer for one model, or for the whole study where `model` is empty."""

    item: str
    model: str
    answer: Answer
    evidence: str
    """One sentence with its numbers."""


@dataclass(frozen=True)
class Item:
    """One question. Its words are ours, its place is the paper's."""

    key: str
    group: str
    section: str
    words: str


Found = tuple[Answer, str]
Results = list[tuple[Trial, Outcomes]]
"""The trials of one name, one for each seed."""

SEVERE, PITFALLS, SPECIAL = "Common severe flaws", "Common pitfalls", "Special cases"
ITEMS = tuple(
    Item(*texts)
    for texts in (
        ("threat_model", SEVERE, "2.2", "The attacker’s goal, knowledge and budgets are stated."),
        ("adaptive", SEVERE, "2.5", "Attacks are adapted to the defense: its own loss is attacked."),
        ("end_to_end", SEVERE, "2.5", "The whole defense is attacked, end to end."),
        ("strongest", SEVERE, "4.3", "The strongest known attacks are among those applied."),
        ("release", SEVERE, "2.6", "Code and trained models can be had."),
        ("clean_accuracy", SEVERE, "4.2", "Accuracy without an attack is reported."),
        (
            "refusals",
            SEVERE,
            "4.2",
            "Of a model that may refuse an image, refusals are reported over thresholds.",
        ),
        ("iterative", SEVERE, "5.2", "Iterative attacks are at least as strong as a single step."),
        ("steps", SEVERE, "4.8", "Attacks have converged: more steps find few images more."),
        ("restarts", SEVERE, "4.8", "Attacks start at random, several times."),
        ("monotone", SEVERE, "5.2", "A larger budget never leaves more images standing."),
        ("guessing", SEVERE, "5.2", "A large budget brings accuracy down to guessing."),
        ("curve", SEVERE, "5.3", "Accuracy is shown over a range of budgets, up to where none is left."),
        ("distortion", SEVERE, "5.3", "Of attacks without a budget the distortion is reported."),
        ("adaptive_best", SEVERE, "5.4", "Adaptive attacks leave no more standing than any other."),
        ("combination", SEVERE, "5.4", "Black-box, transfer and random attacks are run too."),
        ("hyper_parameters", SEVERE, "5.7", "All settings of the attacks are reported."),
        ("diverse", PITFALLS, "4.3", "The attacks search in different ways."),
        (
            "gradient_free",
            PITFALLS,
            "4.4",
            "An attack by scores and one by labels alone find no more than gradients.",
        ),
        ("substitute", PITFALLS, "4.5", "Attacks transferred from a similar model are run."),
        ("transfer_weaker", PITFALLS, "4.5", "Transferred attacks succeed less often than white-box ones."),
        ("randomness", PITFALLS, "4.6", "Of a random defense, gradients are averaged over its randomness."),
        ("not_differentiable", PITFALLS, "4.7", "What cannot be differentiated is approximated by what can."),
        ("explored", PITFALLS, "4.9", "Several settings of an attack are tried."),
        (
            "prior_work",
            PITFALLS,
            "5.1",
            "Earlier work is compared with, alike, and differences are explained.",
        ),
        ("broader", PITFALLS, "4.10", "Broader threats are tested: other norms, rotations, corruptions."),
        ("provable", SPECIAL, "4.1", "Provable bounds are looked into."),
        ("noise", SPECIAL, "4.11", "Random noise in the budget is tried often, and finds less."),
        ("targeted", SPECIAL, "4.12", "Targeted and untargeted attacks are used."),
        ("ablation", SPECIAL, "4.13", "Components are removed, one by one and together."),
        ("undefended", SPECIAL, "4.13", "The attacks succeed against a similar, undefended model."),
        ("validated", SPECIAL, "4.14", "Each attack is shown to work against some model."),
        ("domains", SPECIAL, "5.5", "Data other than images are tried."),
        (
            "per_example",
            SPECIAL,
            "5.6",
            "Success is counted per image over all attacks, not averaged over them.",
        ),
    )
)
"""The checklist, in its order."""


@dataclass(frozen=True)
class _Case:
    """A model and all that was seen of it."""

    name: str
    subject: Subject
    seeds: Sequence[Outcomes]
    trials: Mapping[str, Results]
    flags: Mapping[str, Flag]
    facts: Facts
    all_cases: Mapping[str, _Case]

    def chosen(self, *settings: str) -> list[Results]:
        """Return the trials of these settings, random noise left out."""
        return [r for r in self.trials.values() if _of(r).setting in settings and not _noise(r)]

    def setting_of(self, results: Results, name: str) -> Any:
        """Return a setting of the trials' stanza; None where it has no such setting."""
        return self.facts.attacks.get(_of(results).attack, {}).get(name)


def facts(stated: Mapping[str, Any], attacks: Mapping[str, Mapping[str, Any]]) -> Facts:
    """Return what a job's slice of the study says. stated: `models` and `threats`, as plain JSON values."""
    models = {
        name: Subject(**{**words, "views": tuple(words["views"])}) for name, words in stated["models"].items()
    }
    return Facts(models, attacks, stated["threats"])


def answer(
    facts: Facts, outcomes: Iterable[Outcomes], flags: Iterable[Flag], verdicts: Sequence[Verdict] = ()
) -> list[Reply]:
    """Return the answer to every item: one per model, or one for the study, in the order of ITEMS and models."""
    raised: dict[str, dict[str, Flag]] = defaultdict(dict)
    for flag in flags:
        raised[flag.model][flag.gate] = flag
    seeds: dict[str, list[Outcomes]] = defaultdict(list)
    for one in outcomes:
        seeds[one.model].append(one)
    cases: dict[str, _Case] = {}
    for name, subject in facts.models.items():
        found = sorted(seeds[name], key=lambda one: one.seed)
        trials: dict[str, Results] = defaultdict(list)
        for one in found:
            for trial in one.trials:
                trials[trial.name].append((trial, one))
        if found:
            cases[name] = _Case(name, subject, found, dict(trials), raised[name], facts, cases)
    replies = []
    for item in ITEMS:
        if item.key in _OF_STUDY:
            replies.append(Reply(item.key, "", *_OF_STUDY[item.key](facts, cases, verdicts)))
        else:
            replies += [Reply(item.key, name, *_OF_MODEL[item.key](case)) for name, case in cases.items()]
    return [replace(r, evidence=r.evidence[0].upper() + r.evidence[1:]) for r in replies]


def table_rows(replies: Iterable[Reply]) -> list[dict[str, Any]]:
    """Return the answers in the columns of checklist.csv."""
    items = {item.key: item for item in ITEMS}
    return [
        {
            "item": reply.item,
            "group": items[reply.item].group,
            "section": items[reply.item].section,
            "model": reply.model,
            "answer": reply.answer,
            "evidence": reply.evidence,
        }
        for reply in replies
    ]


# Of a model.


def _adaptive(case: _Case) -> Found:
    views = case.subject.views
    if not views:
        if not case.subject.components:
            return "does not apply", "It defends with nothing."
        return "partly", "The method declares no loss beyond its logits, which the white-box attacks climb."
    climbed = {_of(results).view for results in case.chosen("adaptive")}
    left = [view for view in views if view not in climbed]
    if not climbed:
        return "no", f"No attack climbs what the method declares: {_listed(views)}."
    if left:
        return "partly", f"Attacks climb {_listed(sorted(climbed))}, and none climbs {_listed(left)}."
    return "yes", f"{_counted(len(case.chosen('adaptive')), 'adaptive measurement')} climb {_listed(views)}."


def _end_to_end(case: _Case) -> Found:
    climbed = {_of(results).view for results in case.chosen("adaptive")}
    if "bpda" in case.subject.views:
        if "bpda" in climbed:
            return "yes", "Attacks go through the purifier and the classifier behind it (view bpda)."
        return "no", "Attacks differentiate the classifier alone; none goes through the purifier before it."
    if case.subject.members:
        joint = [r for r in case.chosen("white_box", "adaptive") if _of(r).elsewhere in ("", "members")]
        if joint:
            return "yes", f"{_counted(len(joint), 'measurement')} attack all {case.subject.members} members."
        return "no", f"No attack is made on all {case.subject.members} members at once."
    plain = [results for results in case.chosen("white_box") if not _of(results).elsewhere]
    if plain:
        return (
            "yes",
            f"{_counted(len(plain), 'white-box measurement')} differentiate the network as deployed.",
        )
    return "no", "No white-box attack was run."


def _strongest(case: _Case) -> Found:
    own = [results for results in case.chosen("white_box", "adaptive") if not _of(results).elsewhere]
    if not own:
        return "no", "No white-box attack was run."
    if any(_of(results).kind == "autoattack" for results in own):
        best = min((r for r in own if _of(r).kind == "autoattack"), key=_share)
        return "yes", f"AutoAttack was run: {_leaves(best)}."
    budgeted = [results for results in own if _of(results).epsilon is not None]
    best = min(budgeted or own, key=_share)
    return "partly", f"AutoAttack was not run; the strongest that was: {_leaves(best)}."


def _clean_accuracy(case: _Case) -> Found:
    right = sum(int(one.clean.sum()) for one in case.seeds)
    total = sum(len(one.clean) for one in case.seeds)
    seeds = _counted(len(case.seeds), "seed")
    return "yes", f"{right} of {total} test images are classified correctly without an attack ({seeds})."


def _refusals(case: _Case) -> Found:
    refused = [one.clean_refused for one in case.seeds if one.clean_refused is not None]
    if not refused:
        return "does not apply", "It answers every image."
    count, total = sum(int(each.sum()) for each in refused), sum(map(len, refused))
    return "partly", f"{count} of {total} clean images are refused, at one threshold alone."


def _gate(name: str, lacking: str) -> Callable[[_Case], Found]:
    def read(case: _Case) -> Found:
        flag = case.flags.get(name)
        if flag is None:
            return "no", f"Not checked: {lacking}."
        return ("yes" if flag.raised is False else "no"), flag.evidence

    return read


def _restarts(case: _Case) -> Found:
    flag = case.flags.get("more_restarts")
    if flag is not None and flag.raised is not None:
        return ("no" if flag.raised else "yes"), flag.evidence
    own = case.chosen("white_box", "adaptive")
    started = [case.setting_of(results, "restarts") or 1 for results in own if _of(results).kind == "pgd"]
    auto = "; AutoAttack starts at random points too" if any(_of(r).kind == "autoattack" for r in own) else ""
    if not started and not auto:
        return "no", "No attack with a random start was run."
    most = max(started, default=0)
    return "partly", (
        f"PGD starts at {_counted(most, 'random point')} of the ball{auto}; more starts were not compared with fewer."
    )


def _guessing(case: _Case) -> Found:
    chance = 1 / case.subject.classes
    budgeted = [results for results in case.trials.values() if _of(results).epsilon is not None]
    if not budgeted:
        return "no", "No attack with a budget was run."
    largest = max(_epsilon(results) for results in budgeted)
    best = min((r for r in budgeted if _epsilon(r) == largest), key=lambda r: (_accuracy(r), _of(r).name))
    correct, total = _correct(best)
    reached = wilson(correct, total)[0] <= chance
    words = f"{_named(_of(best))} leaves {correct} of {total} images right; guessing is 1 in {case.subject.classes}."
    return ("yes" if reached else "no"), words


def _curve(case: _Case) -> Found:
    curves: dict[tuple[str, ...], list[Results]] = defaultdict(list)
    for results in case.chosen("white_box", "adaptive", "black_box"):
        if _of(results).epsilon is not None:
            trial = _of(results)
            curves[trial.setting, trial.elsewhere, trial.attack].append(results)
    if not curves:
        return "no", "No attack with a budget was run."
    longest = max(curves.values(), key=lambda found: (len(found), -min(map(_accuracy, found))))
    trial, last = _of(longest[0]), max(longest, key=_epsilon)
    correct, total = _correct(last)
    words = (
        f"{wording.attack(trial.attack)} at {_counted(len(longest), 'budget')} up to ε = {_epsilon(last):g}, "
        f"where {correct} of {total} images are right."
    )
    if len(longest) < 3:
        return "no", words
    return ("yes" if correct == 0 else "partly"), words


def _distortion(case: _Case) -> Found:
    free = [r for r in case.trials.values() if _of(r).epsilon is None and _of(r).setting != "black_box"]
    if not free:
        return "does not apply", "No attack without a budget was run."
    fooled = [(r, distance) for r in free if (distance := _distance(r)) is not None]
    if not fooled:
        return "partly", f"None of {_counted(len(free), 'measurement')} without a budget fooled an image."
    results, distance = min(fooled, key=lambda pair: (_accuracy(pair[0]), pair[1]))
    answer: Answer = "yes" if len(fooled) == len(free) else "partly"
    return answer, (
        f"{len(fooled)} of {len(free)} measurements without a budget have a mean L2 distance; "
        f"{_named(_of(results))}: {distance:.3g}."
    )


def _adaptive_best(case: _Case) -> Found:
    if not case.subject.views:
        return "does not apply", "The method declares no loss of its own."
    adaptive = [r for r in case.chosen("adaptive") if _of(r).epsilon is not None]
    others = [r for r in case.trials.values() if _of(r).setting != "adaptive"]
    pairs = []
    for other in others:
        rivals = [r for r in adaptive if _budget(r) == _budget(other)]
        found = [(own, paired) for own in rivals if (paired := _paired(own, other)) is not None]
        if found:
            own, paired = min(found, key=lambda pair: (pair[1][0], _of(pair[0]).name))
            pairs.append((mcnemar_one_sided(paired[2], paired[3]), own, other, paired))
    if not pairs:
        return "no", "Not checked: no adaptive and other attack share a budget."
    p, own, other, (left, kept, *_rest, total) = min(pairs, key=lambda pair: (pair[0], _of(pair[2]).name))
    corrected = min(1.0, p * len(pairs))
    words = (
        f"{_named(_of(own))} leaves {left} of {total} images, {_named(_of(other))} leaves {kept} "
        f"(p = {corrected:.2g}, {_counted(len(pairs), 'comparison')})."
    )
    return ("no" if corrected < ALPHA else "yes"), words


def _combination(case: _Case) -> Found:
    kinds = {_of(results).kind for results in case.trials.values()}
    ways = {
        "transfer": any(_of(results).setting == "black_box" for results in case.trials.values()),
        "random noise": bool(kinds & set(LABEL_BASED)),
        "search by scores": bool(kinds & set(SCORE_BASED)),
    }
    run, lacking = [w for w, done in ways.items() if done], [w for w, done in ways.items() if not done]
    if not lacking:
        return "yes", f"Run: {_listed(run)}."
    if not run:
        return "no", f"Not run: {_listed(lacking)}."
    return "partly", f"Run: {_listed(run)}; not run: {_listed(lacking)}."


def _diverse(case: _Case) -> Found:
    kinds = sorted({_of(r).kind for r in case.trials.values() if not _noise(r)})
    families = sorted({FAMILIES.get(kind, wording.attack(kind)) for kind in kinds})
    if not families:
        return "no", "No attack was run."
    ways = _counted(len(families), "way")
    words = f"{_counted(len(kinds), 'kind')} of attack search in {ways}: {_listed(families)}."
    return ("yes" if len(families) > 2 else "partly" if len(families) == 2 else "no"), words


def _gradient_free(case: _Case) -> Found:
    scores = [r for r in case.trials.values() if _of(r).kind in SCORE_BASED]
    labels = [r for r in case.trials.values() if _of(r).kind in LABEL_BASED]
    if not scores and not labels:
        return "no", "Every attack of the study climbs a gradient."
    best = min(scores or labels, key=_share)
    told = _leaves(best)
    if not scores:
        return "partly", f"{told}; no attack by scores was run."
    flag = case.flags.get("white_box_vs_gradient_free")
    if flag is None or flag.raised is None:
        return "partly", f"{told}; no attack by gradients is compared with it."
    words = f"{flag.evidence} {'One' if labels else 'None'} asks for labels alone."
    return ("no" if flag.raised else "yes" if labels else "partly"), words


def _substitute(case: _Case) -> Found:
    sources = sorted({_of(r).source for r in case.trials.values() if _of(r).setting == "black_box"})
    if not sources:
        return "no", "No attack was transferred to it."
    known = {
        source: [case.facts.models[name] for name in source.split("+") if name in case.facts.models]
        for source in sources
    }
    alike = [s for s in sources if any(m.architecture == case.subject.architecture for m in known[s])]
    networks = sorted({wording.architecture(m.architecture) for found in known.values() for m in found})
    words = (
        f"Transferred from {_counted(len(sources), 'source')} ({_listed(networks)}), "
        f"{len(alike)} of its own network."
    )
    return ("yes" if alike else "partly"), words


def _randomness(case: _Case) -> Found:
    flag = case.flags.get("randomness")
    if flag is None or flag.raised is None:
        return "no", flag.evidence if flag else "Not checked: no such gate was looked at."
    if not any(one.probe.get("random") for one in case.seeds):
        return "does not apply", flag.evidence
    return ("no" if flag.raised else "yes"), flag.evidence


def _not_differentiable(case: _Case) -> Found:
    hidden = [view for view in ("bpda", "votes", "mean_logits") if view in case.subject.views]
    if not hidden:
        return "does not apply", "Its network can be differentiated throughout."
    climbed = {_of(results).view for results in case.chosen("adaptive")}
    done = [view for view in hidden if view in climbed]
    if not done:
        return "no", f"No attack climbs {_listed(hidden)}."
    if len(done) < len(hidden):
        return (
            "partly",
            f"Attacks climb {_listed(done)}, none {_listed([v for v in hidden if v not in done])}.",
        )
    return "yes", f"Attacks climb {_listed(done)} in its place."


def _explored(case: _Case) -> Found:
    tried: dict[str, set[str]] = defaultdict(set)
    for results in case.chosen("white_box", "adaptive"):
        settings = case.facts.attacks.get(_of(results).attack, {})
        rest = {k: v for k, v in settings.items() if k not in ("kind", "epsilons", "images", "psnrs")}
        tried[_of(results).kind].add(repr(sorted(rest.items())))
    several = [wording.attack(kind) for kind, found in sorted(tried.items()) if len(found) > 1]
    if not tried:
        return "no", "No white-box attack was run."
    if not several:
        return "no", f"Each of {_counted(len(tried), 'kind')} of attack was run with one choice of settings."
    return "yes", f"More than one choice of settings beside the budget: {_listed(several)}."


def _noise_item(case: _Case) -> Found:
    flag = case.flags.get("white_box_vs_noise")
    draws = [case.setting_of(r, "repeats") or 1 for r in case.trials.values() if _noise(r)]
    if flag is None or flag.raised is None or not draws:
        return "no", flag.evidence if flag else "Not checked: no random noise was tried."
    if flag.raised:
        return "no", flag.evidence
    words = f"Up to {max(draws)} draws per image. {flag.evidence}"
    return ("yes" if max(draws) >= MANY_DRAWS else "partly"), words


def _targeted(case: _Case) -> Found:
    kinds = sorted({_of(r).kind for r in case.trials.values() if not _noise(r)})
    towards = [wording.attack(kind) for kind in kinds if kind in TARGETED]
    away = [wording.attack(kind) for kind in kinds if kind not in TARGETED]
    if not kinds:
        return "no", "No attack was run."
    if towards and away:
        return "yes", f"Towards a class: {_listed(towards)}; away from the true one: {_listed(away)}."
    words = _listed(towards or away)
    return "partly", f"Only {'towards a class' if towards else 'away from the true class'}: {words}."


def _ablation(case: _Case) -> Found:
    own = case.subject.components
    if not own:
        return "does not apply", "It defends with nothing."
    wanted = [frozenset(part) for size in range(len(own)) for part in combinations(sorted(own), size)]
    there = {s.components for s in case.facts.models.values() if s.place == case.subject.place}
    found = [part for part in wanted if part in there]
    words = (
        f"{len(found)} of {len(wanted)} models with fewer of its {_counted(len(own), 'component')} "
        "are in the study, on the same data and network."
    )
    return ("yes" if len(found) == len(wanted) else "partly" if found else "no"), words


def _undefended(case: _Case) -> Found:
    if not case.subject.components:
        return "does not apply", "It is undefended itself."
    others = [
        other
        for other in case.all_cases.values()
        if not other.subject.components
        and not other.subject.members
        and other.subject.place == case.subject.place
    ]
    strongest = [
        min(attacked, key=lambda r: (_accuracy(r), _of(r).name))
        for other in others
        if (attacked := [r for r in other.chosen("white_box") if _of(r).epsilon is not None])
    ]
    if not strongest:
        return "no", "No undefended model of its data set and network was attacked within a budget."
    best = min(strongest, key=_accuracy)
    correct, total = _correct(best)
    works = wilson(correct, total)[0] <= 1 / case.subject.classes
    words = f"Of an undefended {wording.architecture(case.subject.architecture)} on the same data, {_leaves(best)}."
    return ("yes" if works else "no"), words


def _per_example(case: _Case) -> Found:
    budgets = {_budget(r) for r in case.trials.values()} - {None}
    if not budgets:
        return "does not apply", "No attack with a budget was run."
    norm, epsilon = max((b for b in budgets if b is not None), key=lambda b: (b[0] == "linf", b[1], b[0]))
    inside = [r for r in case.trials.values() if _budget(r) is not None and _of(r).norm == norm]
    stood = [worst_case(one, norm, epsilon) for one in case.seeds if _within(one, norm, epsilon)]
    left, total = sum(int(each.sum()) for each in stood), sum(map(len, stood))
    single = min(inside, key=lambda r: (_share(r), _of(r).name))
    return "yes", (
        f"{left} of {total} images withstand all {_counted(len(inside), 'measurement')} up to "
        f"{wording.NORMS.get(norm, norm)} ε = {epsilon:g}; the strongest of them alone: {_leaves(single)}."
    )


# Of the study.

Cases = Mapping[str, _Case]


def _threat_model(facts: Facts, cases: Cases, verdicts: Sequence[Verdict]) -> Found:
    trials = [_of(results) for case in cases.values() for results in case.trials.values()]
    if not trials:
        return "no", "No attack was measured."
    settings = Counter(facts.threats.values())
    counts = ", ".join(f"{count} {wording.setting(name).lower()}" for name, count in sorted(settings.items()))
    norms: dict[str, set[float]] = defaultdict(set)
    for trial in trials:
        if trial.epsilon is not None:
            norms[trial.norm].add(trial.epsilon)
    budgets = _listed(
        [f"{wording.NORMS.get(n, n)} budgets from {min(e):g} to {max(e):g}" for n, e in sorted(norms.items())]
    )
    free = sorted({wording.attack(trial.attack) for trial in trials if trial.epsilon is None})
    without = f"; without a budget: {_listed(free)}" if free else ""
    threats = _counted(len(facts.threats), "threat")
    return "yes", f"{threats} ({counts}); any wrong class is the goal; {budgets or 'no budget'}{without}."


def _release(facts: Facts, cases: Cases, verdicts: Sequence[Verdict]) -> Found:
    runs = sum(len(case.seeds) for case in cases.values())
    return "partly", (
        f"Each of {_counted(len(cases), 'model')} ({_counted(runs, 'run')} over all seeds) is made again by one "
        "command, at a commit that its record names; trained weights are not published."
    )


def _hyper_parameters(facts: Facts, cases: Cases, verdicts: Sequence[Verdict]) -> Found:
    run = {_of(results).attack for case in cases.values() for results in case.trials.values()}
    settings = sum(len(facts.attacks.get(name, {})) - 1 for name in run if name in facts.attacks)
    unknown = sorted(run - set(facts.attacks))
    if unknown or not run:
        return "no", f"No settings are known of {_listed(unknown)}." if unknown else "No attack was measured."
    return (
        "yes",
        f"{_counted(settings, 'setting')} of {_counted(len(run), 'attack')} are listed, defaults too.",
    )


def _prior_work(facts: Facts, cases: Cases, verdicts: Sequence[Verdict]) -> Found:
    defenses = {subject.defense for name, subject in facts.models.items() if name in cases} - {"undefended"}
    judged = [v for v in verdicts if v.verdict in ("reproduced", "lower", "higher")]
    shown = [v for v in verdicts if v.verdict == "not comparable"]
    against = [v for v in judged if v.verdict != "reproduced"]
    explained = [v for v in against if v.differences]
    words = (
        f"{_counted(len(defenses), 'defense')} meet the same attacks; {_counted(len(judged), 'claim')} judged, "
        f"{len(against)} not reproduced, of which {len(explained)} name a difference of budget; "
        f"{len(shown)} measured elsewhere."
    )
    if len(defenses) < 2:
        return "no", words
    return ("yes" if judged and len(explained) == len(against) else "partly"), words


def _broader(facts: Facts, cases: Cases, verdicts: Sequence[Verdict]) -> Found:
    norms = sorted({_of(r).norm for case in cases.values() for r in case.trials.values()} - {""})
    kinds = {_of(r).kind for case in cases.values() for r in case.trials.values()}
    names = _listed([wording.NORMS.get(norm, norm) for norm in norms])
    other = sorted(kinds - set(FAMILIES))
    if other:
        return "yes", f"Norms {names}, and {_listed([wording.attack(kind) for kind in other])}."
    return ("partly" if len(norms) > 1 else "no"), (
        f"Attacks by {names or 'no norm'}; no rotation, no common corruption."
    )


def _provable(facts: Facts, cases: Cases, verdicts: Sequence[Verdict]) -> Found:
    return (
        "no",
        f"None of {_counted(len(cases), 'model')} has a certified bound; all numbers are upper bounds.",
    )


def _validated(facts: Facts, cases: Cases, verdicts: Sequence[Verdict]) -> Found:
    best: dict[str, float] = {}
    for case in cases.values():
        for results in case.trials.values():
            clean = sum(int(one.clean_on(trial.images).sum()) for trial, one in results)
            if clean and not _noise(results):
                kind, fooled = _of(results).kind, 1 - _standing(results)[0] / clean
                best[kind] = max(best.get(kind, 0.0), fooled)
    if not best:
        return "no", "No attack was measured."
    weak = [f"{wording.attack(k)} ({100 * v:.0f} %)" for k, v in sorted(best.items()) if v < WORKS_AT]
    strong = f"{len(best) - len(weak)} of {_counted(len(best), 'kind')} of attack"
    words = f"{strong} fool at least half of some model’s images"
    return ("partly", f"{words}; less than that: {_listed(weak)}.") if weak else ("yes", f"{words}.")


def _domains(facts: Facts, cases: Cases, verdicts: Sequence[Verdict]) -> Found:
    names = sorted({wording.dataset(case.subject.dataset) for case in cases.values()})
    return "no", f"All data are images: {_listed(names) or 'none was measured'}."


_OF_MODEL: Mapping[str, Callable[[_Case], Found]] = {
    "adaptive": _adaptive,
    "end_to_end": _end_to_end,
    "strongest": _strongest,
    "clean_accuracy": _clean_accuracy,
    "refusals": _refusals,
    "iterative": _gate("iterative_vs_single_step", "no such gate was looked at"),
    "steps": _gate("more_steps", "no such gate was looked at"),
    "restarts": _restarts,
    "monotone": _gate("monotone_in_epsilon", "no such gate was looked at"),
    "guessing": _guessing,
    "curve": _curve,
    "distortion": _distortion,
    "adaptive_best": _adaptive_best,
    "combination": _combination,
    "diverse": _diverse,
    "gradient_free": _gradient_free,
    "substitute": _substitute,
    "transfer_weaker": _gate("white_box_vs_transfer", "no such gate was looked at"),
    "randomness": _randomness,
    "not_differentiable": _not_differentiable,
    "explored": _explored,
    "noise": _noise_item,
    "targeted": _targeted,
    "ablation": _ablation,
    "undefended": _undefended,
    "per_example": _per_example,
}
_OF_STUDY: Mapping[str, Callable[[Facts, Cases, Sequence[Verdict]], Found]] = {
    "threat_model": _threat_model,
    "release": _release,
    "hyper_parameters": _hyper_parameters,
    "prior_work": _prior_work,
    "broader": _broader,
    "provable": _provable,
    "validated": _validated,
    "domains": _domains,
}


# Trials and words.


def _of(results: Results) -> Trial:
    return results[0][0]


def _noise(results: Results) -> bool:
    return _of(results).kind in LABEL_BASED


def _budget(results: Results) -> tuple[str, float] | None:
    trial = _of(results)
    return None if trial.epsilon is None else (trial.norm, trial.epsilon)


def _epsilon(results: Results) -> float:
    return _of(results).epsilon or 0.0


def _within(one: Outcomes, norm: str, epsilon: float) -> bool:
    return any(t.norm == norm and t.epsilon is not None and t.epsilon <= epsilon for t in one.trials)


def _standing(results: Results) -> tuple[int, int]:
    """Return how many images are right both clean and under the attack, and of how many."""
    stood = sum(int((one.clean_on(trial.images) & trial.correct).sum()) for trial, one in results)
    return stood, sum(len(trial.images) for trial, _ in results)


def _share(results: Results) -> float:
    stood, total = _standing(results)
    return stood / total


def _correct(results: Results) -> tuple[int, int]:
    return sum(int(trial.correct.sum()) for trial, _ in results), sum(len(t.images) for t, _ in results)


def _accuracy(results: Results) -> float:
    correct, total = _correct(results)
    return correct / total


def _distance(results: Results) -> float | None:
    """Return the mean L2 distance of the images that the attack fooled; None where it fooled none."""
    fooled = [trial.l2[one.clean_on(trial.images) & ~trial.correct] for trial, one in results]
    together = np.concatenate(fooled)
    return float(together.mean()) if len(together) else None


def _paired(first: Results, second: Results) -> tuple[int, int, int, int, int] | None:
    """Return how many images stand under each, under the one alone, the other alone, and how many both have."""
    others = {one.seed: trial for trial, one in second}
    left = right = only_left = only_right = total = 0
    for trial, one in first:
        if one.seed not in others:
            continue
        other = others[one.seed]
        shared = np.intersect1d(trial.images, other.images, assume_unique=True)
        clean = one.clean_on(shared)
        stands = clean & trial.correct[np.searchsorted(trial.images, shared)]
        other_stands = clean & other.correct[np.searchsorted(other.images, shared)]
        left, right = left + int(stands.sum()), right + int(other_stands.sum())
        only_left += int((stands & ~other_stands).sum())
        only_right += int((other_stands & ~stands).sum())
        total += len(shared)
    return (left, right, only_left, only_right, total) if total else None


def _named(trial: Trial) -> str:
    """Return a trial for people: `white-box PGD at ε = 0.3`."""
    words = f"{wording.setting(trial.setting).lower()} {wording.attack(trial.attack)}"
    return f"{words} at {wording.parameters(trial.parameters)}" if trial.parameters else words


def _leaves(results: Results) -> str:
    stood, total = _standing(results)
    return f"{_named(_of(results))} leaves {stood} of {total} images standing"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _listed(words: Iterable[str]) -> str:
    """Return `a, b and c`."""
    *first, last = [*words] or [""]
    return f"{', '.join(first)} and {last}" if first else last
