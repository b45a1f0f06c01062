"""The checklist's questions that a study answers as a whole."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from reproof import wording
from reproof.diagnostics.checklist_case import Case, Facts, Found, robust_count
from reproof.diagnostics.trials import is_noise, kind_of, trial_of
from reproof.judging.verdicts import Verdict
from reproof.settings.baseline import UNDEFENDED
from reproof.settings.parameters import written
from reproof.wording import counted, listed

WORKS_AT = 0.5
"""An attack is taken to work when it fools so large a share of some model's images."""

Cases = Mapping[str, Case]


def _threat_model(facts: Facts, cases: Cases, verdicts: Sequence[Verdict]) -> Found:
    trials = [trial_of(results) for case in cases.values() for results in case.trials.values()]
    if not trials:
        return "no", "No attack was measured."
    settings = Counter(facts.threats.values())
    counts = ", ".join(f"{count} {wording.setting(name).lower()}" for name, count in sorted(settings.items()))
    norms: dict[str, set[float]] = defaultdict(set)
    for trial in trials:
        if trial.epsilon is not None:
            norms[trial.norm].add(trial.epsilon)
    budgets = listed(
        [
            f"{wording.NORMS.get(n, n)} budgets from {written(min(e))} to {written(max(e))}"
            for n, e in sorted(norms.items())
        ]
    )
    free = sorted({wording.attack(trial.attack, trial.kind) for trial in trials if trial.epsilon is None})
    without = f"; without a budget: {listed(free)}" if free else ""
    threats = counted(len(facts.threats), "threat")
    return "yes", f"{threats} ({counts}); any wrong class is the goal; {budgets or 'no budget'}{without}."


def _release(facts: Facts, cases: Cases, verdicts: Sequence[Verdict]) -> Found:
    runs = sum(len(case.seeds) for case in cases.values())
    return "partly", (
        f"Each of {counted(len(cases), 'model')} ({counted(runs, 'run')} over all seeds) is made again by one "
        "command, at a commit that its record names; trained weights are not published."
    )


def _hyper_parameters(facts: Facts, cases: Cases, verdicts: Sequence[Verdict]) -> Found:
    run = {trial_of(results).attack for case in cases.values() for results in case.trials.values()}
    settings = sum(len(facts.attacks.get(name, {})) - 1 for name in run if name in facts.attacks)
    unknown = sorted(run - set(facts.attacks))
    if unknown or not run:
        return "no", f"No settings are known of {listed(unknown)}." if unknown else "No attack was measured."
    return (
        "yes",
        f"{counted(settings, 'setting')} of {counted(len(run), 'attack')} are listed, defaults too.",
    )


def _prior_work(facts: Facts, cases: Cases, verdicts: Sequence[Verdict]) -> Found:
    defenses = {subject.defense for name, subject in facts.models.items() if name in cases} - {UNDEFENDED}
    judged = [v for v in verdicts if v.verdict in ("reproduced", "lower", "higher")]
    shown = [v for v in verdicts if v.verdict == "not comparable"]
    against = [v for v in judged if v.verdict != "reproduced"]
    explained = [v for v in against if v.differences]
    words = (
        f"{counted(len(defenses), 'defense')} meet the same attacks; {counted(len(judged), 'claim')} judged, "
        f"{len(against)} not reproduced, of which {len(explained)} name a difference of budget; "
        f"{len(shown)} measured elsewhere."
    )
    if len(defenses) < 2:
        return "no", words
    return ("yes" if judged and len(explained) == len(against) else "partly"), words


def _broader(facts: Facts, cases: Cases, verdicts: Sequence[Verdict]) -> Found:
    norms = sorted({trial_of(r).norm for case in cases.values() for r in case.trials.values()} - {""})
    kinds = {kind_of(trial_of(r)) for case in cases.values() for r in case.trials.values()}
    names = listed([wording.NORMS.get(norm, norm) for norm in norms])
    other = sorted(kind.title for kind in kinds if kind.transforms)
    if other:
        return "yes", f"Norms {names}, and {listed(other)}." if names else f"{listed(other)}."
    return ("partly" if len(norms) > 1 else "no"), (
        f"Attacks by {names or 'no norm'}; no rotation, no common corruption."
    )


def _provable(facts: Facts, cases: Cases, verdicts: Sequence[Verdict]) -> Found:
    return (
        "no",
        f"None of {counted(len(cases), 'model')} has a certified bound; all numbers are upper bounds.",
    )


def _validated(facts: Facts, cases: Cases, verdicts: Sequence[Verdict]) -> Found:
    best: dict[str, float] = {}
    for case in cases.values():
        for results in case.trials.values():
            clean = sum(int(one.clean_on(trial.images).sum()) for trial, one in results)
            if clean and not is_noise(results):
                kind, fooled = trial_of(results).kind, 1 - robust_count(results)[0] / clean
                best[kind] = max(best.get(kind, 0.0), fooled)
    if not best:
        return "no", "No attack was measured."
    weak = [f"{wording.attack(k)} ({100 * v:.0f} %)" for k, v in sorted(best.items()) if v < WORKS_AT]
    strong = f"{len(best) - len(weak)} of {counted(len(best), 'kind')} of attack"
    words = f"{strong} fool at least half of some model’s images"
    return ("partly", f"{words}; less than that: {listed(weak)}.") if weak else ("yes", f"{words}.")


def _domains(facts: Facts, cases: Cases, verdicts: Sequence[Verdict]) -> Found:
    names = sorted({wording.dataset(case.subject.dataset) for case in cases.values()})
    return "no", f"All data are images: {listed(names) or 'none was measured'}."


OF_STUDY: Mapping[str, Callable[[Facts, Cases, Sequence[Verdict]], Found]] = {
    "threat_model": _threat_model,
    "release": _release,
    "hyper_parameters": _hyper_parameters,
    "prior_work": _prior_work,
    "broader": _broader,
    "provable": _provable,
    "validated": _validated,
    "domains": _domains,
}
