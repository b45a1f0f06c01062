"""The checklist's questions that are answered for each model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import combinations

from reproof import wording
from reproof.diagnostics import composed
from reproof.diagnostics.checklist_case import (
    Answer,
    Case,
    Found,
    accuracy_under,
    answered,
    correct_under,
    distance_of,
    in_budget,
    leaves,
    paired_counts,
    robust_accuracy,
)
from reproof.diagnostics.comparison import ALPHA
from reproof.diagnostics.trials import (
    Results,
    budget_of,
    epsilon_of,
    is_noise,
    kind_of,
    named,
    size_of,
    titles,
    trial_of,
)
from reproof.measuring.intervals import mcnemar_one_sided, wilson
from reproof.measuring.worst_case import worst_case
from reproof.settings.source_names import AGGREGATED, parts
from reproof.wording import counted, listed

MANY_DRAWS = 10_000
"""Draws of random noise per image that the checklist asks for (Sec. 4.11)."""


def _adaptive(case: Case) -> Found:
    views = case.subject.views
    if not views:
        if not case.subject.components:
            return "does not apply", "It defends with nothing."
        return (
            "partly",
            "The method declares no loss beyond its logits, which the white-box attacks maximise.",
        )
    maximised = {trial_of(results).view for results in case.chosen("adaptive")}
    left = [view for view in views if view not in maximised]
    if not maximised:
        return "no", f"No attack maximises what the method declares: {listed(views)}."
    if left:
        return "partly", f"Attacks maximise {listed(sorted(maximised))}, and none maximises {listed(left)}."
    return "yes", f"{counted(len(case.chosen('adaptive')), 'adaptive measurement')} maximise {listed(views)}."


def _end_to_end(case: Case) -> Found:
    if case.subject.purifies:
        through, _ = _approximated(case)
        if through:
            return (
                "yes",
                f"Attacks go through the purifier and the classifier behind it (view {listed(through)}).",
            )
        return "no", "Attacks differentiate the classifier alone; none goes through the purifier before it."
    if case.subject.members:
        joint = [r for r in case.chosen("white_box", "adaptive") if trial_of(r).elsewhere in ("", AGGREGATED)]
        if joint:
            return "yes", f"{counted(len(joint), 'measurement')} attack all {case.subject.members} members."
        return "no", f"No attack is made on all {case.subject.members} members at once."
    plain = [results for results in case.chosen("white_box") if not trial_of(results).elsewhere]
    if plain:
        return (
            "yes",
            f"{counted(len(plain), 'white-box measurement')} differentiate the network as deployed.",
        )
    return "no", "No white-box attack was run."


def _approximated(case: Case) -> tuple[list[str], list[str]]:
    """Return the surrogates of what cannot be differentiated: those that attacks maximise, and the others."""
    maximised = {trial_of(results).view for results in case.chosen("adaptive")}
    stand_ins = case.subject.surrogates
    return [view for view in stand_ins if view in maximised], [v for v in stand_ins if v not in maximised]


def _strongest(case: Case) -> Found:
    own = [results for results in case.chosen("white_box", "adaptive") if not trial_of(results).elsewhere]
    if not own:
        return "no", "No white-box attack was run."
    ensembles = [results for results in own if kind_of(trial_of(results)).ensemble]
    if ensembles:
        best = min(ensembles, key=robust_accuracy)
        return "yes", f"{kind_of(trial_of(best)).title} was run: {leaves(best)}."
    budgeted = [results for results in own if trial_of(results).epsilon is not None]
    best = min(budgeted or own, key=robust_accuracy)
    known = titles(lambda kind: kind.ensemble)
    lacking = f"{known[0]} was not run" if len(known) == 1 else "No ensemble of attacks was run"
    return "partly", f"{lacking}; the strongest that was: {leaves(best)}."


def _clean_accuracy(case: Case) -> Found:
    right = sum(int(one.clean.sum()) for one in case.seeds)
    total = sum(len(one.clean) for one in case.seeds)
    seeds = counted(len(case.seeds), "seed")
    return "yes", f"{right} of {total} test images are classified correctly without an attack ({seeds})."


def _refusals(case: Case) -> Found:
    refused = [one.clean_refused for one in case.seeds if one.clean_refused is not None]
    if not refused:
        return "does not apply", "It answers every image."
    count, total = sum(int(each.sum()) for each in refused), sum(map(len, refused))
    return "partly", f"{count} of {total} clean images are refused, at one threshold alone."


def _checked(name: str, lacking: str) -> Callable[[Case], Found]:
    def read(case: Case) -> Found:
        flag = case.flags.get(name)
        if flag is None:
            return "no", f"Not checked: {lacking}."
        return answered(flag), flag.told

    return read


def _steps(case: Case) -> Found:
    found = [case.flags[check] for check in ("more_steps", "more_queries") if check in case.flags]
    flags = [f for f in found if f.check == "more_steps" or f.left_out or f.raised is not None]
    if not flags:
        return "no", "Not checked: no such sanity check was made."
    answers = {answered(flag) for flag in flags}
    words = " ".join(flag.told for flag in flags)
    if any(flag.raised for flag in flags) or answers == {"no"}:
        return "no", words
    return ("yes" if answers == {"yes"} else "partly"), words


def _restarts(case: Case) -> Found:
    flag = case.flags.get("more_restarts")
    if flag is not None and flag.raised is not None:
        return answered(flag), flag.told
    most: dict[str, int] = {}
    others: set[str] = set()
    for results in case.chosen("white_box", "adaptive"):
        kind = kind_of(trial_of(results))
        if kind.access == "gradient" and kind.randomised and kind.restarts:
            most[kind.title] = max(most.get(kind.title, 1), case.setting_of(results, "restarts") or 1)
        elif kind.access == "gradient" and kind.randomised:
            others.add(kind.title)
    starts = [
        f"{title} starts at {counted(most[title], 'random point')} of the ball" for title in sorted(most)
    ]
    starts += [f"{title} starts at random points{' too' if most else ''}" for title in sorted(others)]
    if not starts:
        return "no", "No attack with a random start was run."
    return "partly", f"{'; '.join(starts)}; more starts were not compared with fewer."


def _chance_level(case: Case) -> Found:
    chance = 1 / case.subject.classes
    budgeted = [results for results in case.trials.values() if trial_of(results).epsilon is not None]
    if not budgeted:
        return "no", "No attack with a budget was run."
    largest = max(map(size_of, budgeted))
    best = min(
        (r for r in budgeted if size_of(r) == largest), key=lambda r: (accuracy_under(r), trial_of(r).name)
    )
    correct, total = correct_under(best)
    reached = wilson(correct, total)[0] <= chance
    chance_level = f"the chance level is 1 in {case.subject.classes}"
    words = f"{named(trial_of(best))} leaves {correct} of {total} images right; {chance_level}."
    return ("yes" if reached else "no"), words


def _curve(case: Case) -> Found:
    curves: dict[tuple[str, ...], list[Results]] = defaultdict(list)
    for results in case.chosen("white_box", "adaptive", "black_box"):
        if trial_of(results).epsilon is not None:
            trial = trial_of(results)
            curves[trial.setting, trial.elsewhere, trial.attack, trial.norm].append(results)
    if not curves:
        return "no", "No attack with a budget was run."
    longest = max(curves.values(), key=lambda found: (len(found), -min(map(accuracy_under, found))))
    trial, last = trial_of(longest[0]), max(longest, key=epsilon_of)
    correct, total = correct_under(last)
    words = (
        f"{wording.attack(trial.attack, trial.kind)} at {counted(len(longest), 'budget')} up to "
        f"{wording.budget(epsilon_of(last), trial.norm)}, "
        f"where {correct} of {total} images are right."
    )
    if len(longest) < 3:
        return "no", words
    return ("yes" if correct == 0 else "partly"), words


def _distortion(case: Case) -> Found:
    free = [
        r for r in case.trials.values() if trial_of(r).epsilon is None and trial_of(r).setting != "black_box"
    ]
    if not free:
        return "does not apply", "No attack without a budget was run."
    fooled = [(r, distance) for r in free if (distance := distance_of(r)) is not None]
    if not fooled:
        return "partly", f"None of {counted(len(free), 'measurement')} without a budget fooled an image."
    results, distance = min(fooled, key=lambda pair: (accuracy_under(pair[0]), pair[1]))
    answer: Answer = "yes" if len(fooled) == len(free) else "partly"
    return answer, (
        f"{len(fooled)} of {len(free)} measurements without a budget have a mean L2 distance; "
        f"{named(trial_of(results))}: {distance:.3g}."
    )


def _adaptive_best(case: Case) -> Found:
    if not case.subject.views:
        return "does not apply", "The method declares no loss of its own."
    adaptive = [r for r in case.chosen("adaptive") if trial_of(r).epsilon is not None]
    others = [r for r in case.trials.values() if trial_of(r).setting != "adaptive"]
    pairs = []
    for other in others:
        rivals = [r for r in adaptive if budget_of(r) == budget_of(other)]
        found = [(own, paired) for own in rivals if (paired := paired_counts(own, other)) is not None]
        if found:
            own, paired = min(found, key=lambda pair: (pair[1][0], trial_of(pair[0]).name))
            pairs.append((mcnemar_one_sided(paired[2], paired[3]), own, other, paired))
    if not pairs:
        return "no", "Not checked: no adaptive and other attack share a budget."
    p, own, other, (left, kept, *_rest, total) = min(
        pairs, key=lambda pair: (pair[0], trial_of(pair[2]).name)
    )
    corrected = min(1.0, p * len(pairs))
    words = (
        f"{named(trial_of(own))} leaves {left} of {total} images, {named(trial_of(other))} leaves {kept} "
        f"(p = {corrected:.2g}, {counted(len(pairs), 'comparison')})."
    )
    return ("no" if corrected < ALPHA else "yes"), words


def _combination(case: Case) -> Found:
    kinds = {kind_of(trial_of(results)) for results in case.trials.values()}
    ways = {
        "transfer": any(trial_of(results).setting == "black_box" for results in case.trials.values()),
        "random noise": any(kind.baseline for kind in kinds),
        "search by scores": any(kind.access == "score" for kind in kinds),
    }
    run, lacking = [w for w, done in ways.items() if done], [w for w, done in ways.items() if not done]
    if not lacking:
        return "yes", f"Run: {listed(run)}."
    if not run:
        return "no", f"Not run: {listed(lacking)}."
    return "partly", f"Run: {listed(run)}; not run: {listed(lacking)}."


def _diverse(case: Case) -> Found:
    kinds = {trial_of(r).kind: kind_of(trial_of(r)) for r in case.trials.values() if not is_noise(r)}
    families = sorted({kind.family for kind in kinds.values()})
    if not families:
        return "no", "No attack was run."
    ways = counted(len(families), "way")
    words = f"{counted(len(kinds), 'kind')} of attack search in {ways}: {listed(families)}."
    return ("yes" if len(families) > 2 else "partly" if len(families) == 2 else "no"), words


def _gradient_free(case: Case) -> Found:
    scores = [r for r in case.trials.values() if kind_of(trial_of(r)).access == "score"]
    labels = [r for r in case.trials.values() if kind_of(trial_of(r)).access == "decision"]
    if not scores and not labels:
        flag = case.flags.get("search_after_gradients")
        if any(composed.searched(results, ("score",)) for results in case.trials.values()) and flag:
            return "no" if flag.raised else "partly", f"{flag.told} None asks for labels alone."
        return "no", "Every attack of the study follows a gradient."
    best = min(scores or labels, key=robust_accuracy)
    told = leaves(best)
    if not scores:
        return "partly", f"{told}; no attack by scores was run."
    flag = case.flags.get("white_box_vs_gradient_free")
    if flag is None or flag.raised is None:
        return "partly", f"{told}; no attack by gradients is compared with it."
    words = f"{flag.told} {'One' if labels else 'None'} asks for labels alone."
    return ("no" if flag.raised else answered(flag) if labels else "partly"), words


def _substitute(case: Case) -> Found:
    sources = sorted({trial_of(r).source for r in case.trials.values() if trial_of(r).setting == "black_box"})
    if not sources:
        return "no", "No attack was transferred to it."
    known = {
        source: [case.facts.models[name] for name in parts(source) if name in case.facts.models]
        for source in sources
    }
    alike = [s for s in sources if any(m.architecture == case.subject.architecture for m in known[s])]
    networks = sorted({wording.architecture(m.architecture) for found in known.values() for m in found})
    words = (
        f"Transferred from {counted(len(sources), 'source')} ({listed(networks)}), "
        f"{len(alike)} of its own network."
    )
    return ("yes" if alike else "partly"), words


def _randomness(case: Case) -> Found:
    flag = case.flags.get("randomness")
    if flag is None or flag.raised is None:
        return "no", flag.evidence if flag else "Not checked: no such sanity check was made."
    if not any(one.probe.get("random") for one in case.seeds):
        return "does not apply", flag.evidence
    return ("no" if flag.raised else "yes"), flag.evidence


def _not_differentiable(case: Case) -> Found:
    if not case.subject.surrogates:
        return "does not apply", "Its network can be differentiated throughout."
    done, left = _approximated(case)
    if not done:
        return "no", f"No attack maximises {listed(left)}."
    if left:
        return "partly", f"Attacks maximise {listed(done)}, none {listed(left)}."
    return "yes", f"Attacks maximise {listed(done)} in its place."


def _explored(case: Case) -> Found:
    tried: dict[str, set[str]] = defaultdict(set)
    for results in case.chosen("white_box", "adaptive"):
        settings = case.facts.attacks.get(trial_of(results).attack, {})
        rest = {k: v for k, v in settings.items() if k not in ("kind", "epsilons", "images", "psnrs")}
        tried[trial_of(results).kind].add(repr(sorted(rest.items())))
    several = [wording.attack(kind) for kind, found in sorted(tried.items()) if len(found) > 1]
    if not tried:
        return "no", "No white-box attack was run."
    if not several:
        return "no", f"Each of {counted(len(tried), 'kind')} of attack was run with one choice of settings."
    return "yes", f"More than one choice of settings beside the budget: {listed(several)}."


def _noise_item(case: Case) -> Found:
    flag = case.flags.get("white_box_vs_noise")
    draws = [case.setting_of(r, "repeats") or 1 for r in case.trials.values() if is_noise(r)]
    if flag is None or flag.raised is None or not draws:
        return "no", flag.evidence if flag else "Not checked: no random noise was tried."
    if flag.raised:
        return "no", flag.evidence
    words = f"Up to {max(draws)} draws per image. {flag.told}"
    return (answered(flag) if max(draws) >= MANY_DRAWS else "partly"), words


def _targeted(case: Case) -> Found:
    tried = {trial_of(r).kind: kind_of(trial_of(r)) for r in case.trials.values() if not is_noise(r)}
    kinds = [tried[name] for name in sorted(tried)]
    towards = [kind.title for kind in kinds if kind.targeted]
    away = [kind.title for kind in kinds if not kind.targeted]
    if not kinds:
        return "no", "No attack was run."
    if towards and away:
        return "yes", f"Towards a class: {listed(towards)}; away from the true one: {listed(away)}."
    words = listed(towards or away)
    return "partly", f"Only {'towards a class' if towards else 'away from the true class'}: {words}."


def _ablation(case: Case) -> Found:
    own = case.subject.components
    if not own:
        return "does not apply", "It defends with nothing."
    wanted = [frozenset(part) for size in range(len(own)) for part in combinations(sorted(own), size)]
    there = {s.components for s in case.facts.models.values() if s.place == case.subject.place}
    found = [part for part in wanted if part in there]
    words = (
        f"{len(found)} of {len(wanted)} models with fewer of its {counted(len(own), 'component')} "
        "are in the study, on the same data and network."
    )
    return ("yes" if len(found) == len(wanted) else "partly" if found else "no"), words


def _undefended(case: Case) -> Found:
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
        min(attacked, key=lambda r: (accuracy_under(r), trial_of(r).name))
        for other in others
        if (attacked := [r for r in other.chosen("white_box") if trial_of(r).epsilon is not None])
    ]
    if not strongest:
        return "no", "No undefended model of its data set and network was attacked within a budget."
    best = min(strongest, key=accuracy_under)
    correct, total = correct_under(best)
    works = wilson(correct, total)[0] <= 1 / case.subject.classes
    words = f"Of an undefended {wording.architecture(case.subject.architecture)} on the same data, {leaves(best)}."
    return ("yes" if works else "no"), words


def _per_example(case: Case) -> Found:
    budgets = {budget_of(r) for r in case.trials.values()} - {None}
    if not budgets:
        return "does not apply", "No attack with a budget was run."
    norm, epsilon = max((b for b in budgets if b is not None), key=lambda b: (b[0] == "linf", b[1], b[0]))
    of_norm = [r for r in case.trials.values() if budget_of(r) is not None and trial_of(r).norm == norm]
    stood = [worst_case(one, norm, epsilon) for one in case.seeds if in_budget(one, norm, epsilon)]
    left, total = sum(int(each.sum()) for each in stood), sum(map(len, stood))
    single = min(of_norm, key=lambda r: (robust_accuracy(r), trial_of(r).name))
    return "yes", (
        f"{left} of {total} images withstand all {counted(len(of_norm), 'measurement')} up to "
        f"{wording.NORMS.get(norm, norm)} {wording.budget(epsilon)}; the strongest of them alone: {leaves(single)}."
    )


OF_MODEL: Mapping[str, Callable[[Case], Found]] = {
    "adaptive": _adaptive,
    "end_to_end": _end_to_end,
    "strongest": _strongest,
    "clean_accuracy": _clean_accuracy,
    "refusals": _refusals,
    "iterative": _checked("iterative_vs_single_step", "no such sanity check was made"),
    "steps": _steps,
    "restarts": _restarts,
    "monotone": _checked("monotone_in_epsilon", "no such sanity check was made"),
    "guessing": _chance_level,
    "curve": _curve,
    "distortion": _distortion,
    "adaptive_best": _adaptive_best,
    "combination": _combination,
    "diverse": _diverse,
    "gradient_free": _gradient_free,
    "substitute": _substitute,
    "transfer_weaker": _checked("white_box_vs_transfer", "no such sanity check was made"),
    "randomness": _randomness,
    "not_differentiable": _not_differentiable,
    "explored": _explored,
    "noise": _noise_item,
    "targeted": _targeted,
    "ablation": _ablation,
    "undefended": _undefended,
    "per_example": _per_example,
}
