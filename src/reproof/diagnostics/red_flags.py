"""Signs that an attack was hampered rather than withstood (gradient masking): the sanity checks.

Sanity checks of three sorts, each raised only where chance cannot explain it, and never by a few images:

- An attack that should be at least as strong as another is weaker: the exact paired test (McNemar), one-sided, image
  by image on the images that both attacked, over all seeds. The smallest p-value of the check's comparisons, times
  their number (Bonferroni), is below ALPHA.
- An attack that should be about as strong as another leaves clearly more: more runs or longer ones always find a
  little more, so the difference must exceed MARGIN, by its one-sided bound (Agresti and Min) at level ALPHA over the
  number of comparisons.
- A share of images exceeds what is harmless: the exact binomial test against that share, corrected alike.

An honest model's check is so raised in at most about 5 of 100 studies; how large a difference a check notices at all
is told beside it (reproof.diagnostics.power). The checks are those of Mustafa 2019 (Sec. 5.5),
Athalye, Carlini and Wagner 2018 (Sec. 3.1) and Carlini et al. 2019 (On Evaluating Adversarial Robustness, Sec. 5).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from reproof import registry, wording
from reproof.diagnostics import adaptive, composed, lengths, movement, network_checks, power
from reproof.diagnostics.comparison import (
    ALPHA,
    MARGIN,
    Comparison,
    compare,
    count_robust,
    side_of,
    side_of_all,
    together,
)
from reproof.diagnostics.sanity_check import RedFlag, at_least, unchecked
from reproof.diagnostics.trials import Kind, Results, budget_of, is_own, is_plain, kind_of, titles, trial_of
from reproof.measuring.outcomes import Outcomes, Trial

UNBOUNDED = 0.5
"""The L-infinity budget at which every image can be turned into the same grey."""


def find(
    outcomes: Iterable[Outcomes],
    attacks: Mapping[str, Mapping[str, Any]] | None = None,
    suite_overrides: Mapping[tuple[str, str, str, str], Mapping[str, Any]] | None = None,
) -> list[RedFlag]:
    """Return every sanity check of every model, by model and in the order of CHECKS.

    attacks: config entry -> the study's settings of that attack, its kind among them. suite_overrides: (model, setting,
    source, attack) -> its settings there, where a suite sets them otherwise. Without them no setting is checked.
    """
    models: dict[str, list[Outcomes]] = defaultdict(list)
    for one in outcomes:
        models[one.model].append(one)
    return [
        flag
        for model in sorted(models)
        for flag in _Evidence(model, models[model], attacks or {}, suite_overrides or {}).flags()
    ]


def table_rows(flags: Iterable[RedFlag]) -> list[dict[str, Any]]:
    """Return the flags in the columns of red_flags.csv; `raised` is None where it was not checked."""
    return [
        {
            "model": f.model,
            "gate": f.check,
            "raised": f.raised,
            "evidence": f.evidence,
            "rows": "; ".join(f.rows),
            "detectable": f.power.difference if f.power else None,
            "images": f.power.images if f.power else None,
        }
        for f in flags
    ]


class _Evidence:
    """All that was seen of one model, and what it says to each sanity check."""

    def __init__(
        self,
        model: str,
        seeds: Sequence[Outcomes],
        attacks: Mapping[str, Mapping[str, Any]],
        suite_overrides: Mapping[tuple[str, str, str, str], Mapping[str, Any]],
    ):
        self.model = model
        self.seeds = sorted(seeds, key=lambda one: one.seed)
        self.attacks = attacks
        self.suite_overrides = suite_overrides
        named: dict[str, Results] = defaultdict(list)
        for one in self.seeds:
            for trial in one.trials:
                named[trial.name].append((trial, one))
        self.trials = [named[name] for name in sorted(named)]
        self.plain = [results for results in self.trials if is_plain(trial_of(results))]
        self.probes = [one.probe for one in self.seeds if one.probe]

    def flags(self) -> Iterator[RedFlag]:
        """Yield the sanity checks in the order of CHECKS."""
        weaker, far, budget = self._weaker, self._far_weaker, " at the same budget"
        searches = titles(lambda kind: kind.searches_blindly)
        yield weaker(
            "iterative_vs_single_step",
            self._iterative(),
            f"a single step and an iterative white-box attack{budget}",
        )
        for check, others, needed in (
            ("white_box_vs_transfer", self._where(lambda t: t.setting == "black_box"), "a transfer attack"),
            ("white_box_vs_noise", self._where_kind(lambda kind: kind.baseline), "random noise"),
            (
                "white_box_vs_gradient_free",
                self._where_kind(lambda kind: kind.searches_blindly, is_own),
                f"a search without gradients{f' (such as {searches[0]})' if searches else ''}",
            ),
        ):
            yield weaker(check, self._against_strongest(others), f"a white-box attack and {needed}{budget}")
        own = self._where(is_own)
        yield far(
            "search_after_gradients",
            composed.against_search(own),
            f"composed attack that searches without gradients, after its gradients{budget}",
        )
        yield weaker("monotone_in_epsilon", self._over_epsilons(), "one attack at two budgets")
        yield self._unbounded()
        yield from self._lengths()
        ensembles = " or ".join(titles(lambda kind: kind.ensemble)) or "an ensemble of attacks"
        yield from self._adaptive(ensembles)
        yield far(
            "autoattack_vs_gradients",
            self._against_autoattack(),
            f"{ensembles} and another white-box attack{budget}",
        )
        yield self._papers()
        yield network_checks.zero_gradients(self.model, self.plain, self.probes)
        own = self._where(lambda t: is_own(t) and t.setting in ("white_box", "adaptive"))
        yield network_checks.broken_gradients(self.model, own, self.probes)
        yield network_checks.misleading_gradients(self.model, self.probes)
        yield network_checks.saturated_loss(self.model, self.plain, self.probes)
        yield network_checks.probabilities(self.model, self.probes)
        yield network_checks.randomness(self.model, self._averaging, self.probes)
        yield movement.unmoved_images(self.model, [r for r in own if kind_of(trial_of(r)).follows_gradients])

    def _adaptive(self, ensembles: str) -> Iterator[RedFlag]:
        """Yield the checks of attacks on the method's own losses. ensembles: what ensembles of attacks are called."""
        budget = " at the same budget"
        yield self._weaker(
            "adaptive_vs_plain",
            self._against_strongest(self._where(lambda t: t.setting == "adaptive")),
            f"an adaptive and a plain white-box attack{budget}",
        )
        yield self._each_loss(
            "plain_vs_adaptive",
            adaptive.against_plain(self.trials, self.plain, self._settings),
            f"an attack on the method's own loss and the same on the logits{budget}",
        )
        yield self._each_loss(
            "adaptive_vs_strongest",
            adaptive.against_ensembles(self.trials, self._settings),
            f"an iterative attack on the method's own loss and {ensembles}{budget}",
        )

    def _lengths(self) -> Iterator[RedFlag]:
        """Yield the checks whether attacks are long enough, and name those that nothing is compared with."""
        found = lengths.comparisons(self.trials, self._settings)
        alone = lengths.unchecked(self.trials, self._settings)
        for check in lengths.CHECKS:
            noun = check.removeprefix("more_")
            needed = f"one attack with fewer and with more {noun} at the same budget"
            flag = self._far_weaker(check, found[check], needed)
            if alone[check]:
                words = f"{flag.evidence} Length not checked: {wording.listed(alone[check])}."
                flag = replace(flag, evidence=words, left_out=alone[check])
            yield flag

    def _where(self, chosen: Callable[[Trial], bool]) -> list[Results]:
        return [results for results in self.trials if chosen(trial_of(results))]

    def _where_kind(
        self, declared: Callable[[Kind], bool], chosen: Callable[[Trial], bool] = lambda trial: True
    ) -> list[Results]:
        return self._where(lambda trial: declared(kind_of(trial)) and chosen(trial))

    def _averaging(self) -> list[Trial]:
        """Return the trials whose gradients are averages over several passes, sorted by name."""
        own = self._where(lambda t: is_own(t) and t.setting in ("white_box", "adaptive"))
        return [t for t in map(trial_of, own) if _averages(t.kind, self._settings(t))]

    def _settings(self, trial: Trial) -> Mapping[str, Any]:
        """Return an attack's settings on this model; nothing where the study does not tell them."""
        place = (self.model, trial.setting, trial.source, trial.attack)
        return self.suite_overrides.get(place) or self.attacks.get(trial.attack, {})

    # What is compared.

    def _iterative(self) -> list[Comparison]:
        return [
            comparison
            for strong in self.plain
            for weak in self.plain
            if kind_of(trial_of(strong)).iterative
            and not kind_of(trial_of(weak)).iterative
            and None is not budget_of(strong) == budget_of(weak)
            for comparison in compare(side_of(strong), side_of(weak))
        ]

    def _against_strongest(self, others: Sequence[Results]) -> list[Comparison]:
        """Compare each of the others with the white-box attack that leaves the fewest of its images."""
        found = []
        for other in others:
            equal = [r for r in self.plain if r is not other and budget_of(r) == budget_of(other) is not None]
            compared = [
                comparison for strong in equal for comparison in compare(side_of(strong), side_of(other))
            ]
            if compared:
                found.append(min(compared, key=lambda c: (c.first_correct / c.total, -c.total, c.first.name)))
        return found

    def _over_epsilons(self) -> list[Comparison]:
        """Compare each attack's budgets. What an unbounded one leaves is held against the chance level instead."""
        curves: dict[tuple[str, ...], list[Results]] = defaultdict(list)
        for results in self.trials:
            trial = trial_of(results)
            if trial.epsilon is not None and not _unbounded(trial):
                curves[trial.setting, trial.elsewhere, trial.attack, trial.norm].append(results)
        return [
            comparison
            for key in sorted(curves)
            for weak, strong in combinations(sorted(curves[key], key=lambda r: trial_of(r).epsilon or 0.0), 2)
            for comparison in compare(side_of(strong), side_of(weak))
        ]

    def _against_autoattack(self) -> list[Comparison]:
        ensembles = self._where_kind(lambda kind: kind.ensemble, is_own)
        found = composed.against_ensembles(ensembles)
        for results in ensembles:
            if composed.is_composed(results):
                continue
            equal = [r for r in self.plain if budget_of(r) == budget_of(results) is not None]
            if equal:
                words = f"all other plain white-box attacks at {_at(trial_of(results))} together"
                found += compare(side_of_all(equal, words), side_of(results))
        return found

    def _papers_and_all(self) -> Iterator[tuple[list[Results], list[Results]]]:
        """Yield, for each budget, the iterative attacks that are named as their kind, and all attacks up to it.

        A study gives a paper's attack the name of its kind (`pgd`), and its own variants longer ones. Budgets in which
        there is none of them, or nothing beside it, are left out.
        """
        for norm, epsilon in sorted({b for r in self.plain if (b := budget_of(r)) is not None}):
            papers = [
                r
                for r in self.plain
                if budget_of(r) == (norm, epsilon)
                and trial_of(r).attack == trial_of(r).kind
                and kind_of(trial_of(r)).iterative
            ]
            inside = [
                r for r in self.trials if (b := budget_of(r)) is not None and b[0] == norm and b[1] <= epsilon
            ]
            if papers and len(inside) > 1:
                yield papers, inside

    def _papers(self) -> RedFlag:
        """Check that the papers' strongest attack finds about what all attacks together do, or that a longer one does.

        Ten steps of a tenth of epsilon leave more than the worst case of any honest network, too: that is the attack's
        weakness, and no sign of a masked gradient. What is left of it is one where the same gradients, followed
        as long and as variously as the study does, leave it all the same. So the check is raised where both fall far
        behind all attacks together: the papers' attack, and all plain white-box attacks by gradients.
        """
        check, found, longer = "paper_attack_vs_worst_case", [], []
        for papers, inside in self._papers_and_all():
            at = _at(trial_of(papers[0]))
            everything = side_of_all(inside, f"all attacks up to {at} together")
            compared = [c for r in papers for c in compare(side_of(r), everything)]
            if compared:
                found.append(min(compared, key=lambda c: (c.first_correct / c.total, -c.total, c.first.name)))
            sides = [side_of(r) for r in inside if is_plain(trial_of(r))]
            sides += [
                composed.plain_side(r) for r in inside if is_own(trial_of(r)) and composed.is_composed(r)
            ]
            longer += compare(
                together(sides, f"all that follow the logits' gradients up to {at} together"), everything
            )
        needed = "an iterative attack with the papers' settings and a second attack in its budget"
        flag = self._far_weaker(check, found, needed)
        if not flag.raised:
            return flag
        masked = self._far_weaker(check, longer, needed)
        if masked.raised:
            return replace(flag, evidence=f"{flag.evidence} No longer one closes the gap: {masked.evidence}")
        words = f"That is the attack's own weakness: {masked.evidence}"
        return replace(flag, raised=False, evidence=f"{flag.evidence} {words}", power=masked.power)

    # How it is judged.

    def _weaker(self, check: str, comparisons: Sequence[Comparison], needed: str) -> RedFlag:
        if not comparisons:
            return unchecked(self.model, check, f"the study has no pair of {needed}")
        count = len(comparisons)
        worst = min(comparisons, key=lambda c: (c.p_value, c.first.name, c.second.name))
        corrected = min(1.0, worst.p_value * count)
        evidence = (
            f"{_sentence(worst)}; {worst.only_first} withstand only the former, {worst.only_second} only the latter "
            f"(p = {corrected:.2g}, corrected for {_counted(count)})."
        )
        suspicious = [c for c in comparisons if c.is_weaker(count)]
        noticed = power.of_comparisons(comparisons, Comparison.is_weaker)
        return RedFlag(self.model, check, bool(suspicious), evidence, _rows(suspicious or [worst]), noticed)

    def _far_weaker(self, check: str, comparisons: Sequence[Comparison], needed: str) -> RedFlag:
        if not comparisons:
            return unchecked(self.model, check, f"the study has no pair of {needed}")
        count = len(comparisons)
        worst = max(comparisons, key=lambda c: (c.least_excess(count), c.excess, c.first.name))
        least = worst.least_excess(count)
        evidence = (
            f"{_sentence(worst)}: {_points(worst.excess)} points fewer, at least {_points(max(0.0, least))} of them "
            f"no chance (95 %, corrected for {_counted(count)}); up to {100 * MARGIN:.0f} are usual."
        )
        suspicious = [c for c in comparisons if c.is_far_weaker(count)]
        noticed = power.of_comparisons(comparisons, Comparison.is_far_weaker)
        return RedFlag(self.model, check, bool(suspicious), evidence, _rows(suspicious or [worst]), noticed)

    def _each_loss(self, check: str, comparisons: Sequence[Comparison], needed: str) -> RedFlag:
        """Judge attacks on the method's own losses, and tell of each how far it is from the other one."""
        flag = self._far_weaker(check, comparisons, needed)
        if len(comparisons) < 2:
            return flag
        each = wording.listed(f"{_points(c.excess)} by {c.first.words}" for c in comparisons)
        return replace(flag, evidence=f"{flag.evidence} Left beyond it, in points: {each}.")

    def _unbounded(self) -> RedFlag:
        check = "unbounded_budget"
        reaching = [side_of(r) for r in self.plain if _unbounded(trial_of(r))]
        counted = [(side, *count_robust(side)) for side in reaching]
        counted = [(side, left, total) for side, left, total in counted if total]
        if not counted or not self.probes:
            return unchecked(
                self.model,
                check,
                f"the study has no plain white-box attack with an L∞ budget of {UNBOUNDED:g} or more",
            )
        strongest, left, total = min(counted, key=lambda item: (item[1] / item[2], -item[2], item[0].name))
        chance = max(probe["largest_class"] for probe in self.probes)
        p_value = at_least(left, total, chance)
        evidence = (
            f"{_capital(strongest.words)} leaves a robust accuracy of {left} of {total} images; one answer for "
            f"all images is right for {wording.measure(chance)} % of them (p = {p_value:.2g})."
        )
        noticed = power.of_share(chance, total, lambda count: at_least(count, total, chance) < ALPHA)
        return RedFlag(self.model, check, p_value < ALPHA, evidence, (strongest.name,), noticed)


def _unbounded(trial: Trial) -> bool:
    return trial.norm == "linf" and trial.epsilon is not None and trial.epsilon >= UNBOUNDED


def _averages(kind: str, settings: Mapping[str, Any]) -> bool:
    """Ask an attack whether with these settings its gradients are averages over several passes."""
    declared = registry.attack(kind)
    if declared is None or not settings:
        return False
    return declared.model_validate({k: v for k, v in settings.items() if k != "kind"}).averages


def _at(trial: Trial) -> str:
    return wording.budget(trial.epsilon or 0.0, trial.norm)


def _points(share: float) -> str:
    return f"{100 * share:.1f}".replace("-", "−")


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _sentence(c: Comparison) -> str:
    verbs = ["leave" if side.plural else "leaves" for side in (c.first, c.second)]
    left = f"a robust accuracy of {c.first_correct} of {c.total} images"
    if c.first.or_refused:
        left = f"{c.first_correct} of {c.total} images right or refused"
    return f"{_capital(c.first.words)} {verbs[0]} {left}, {c.second.words} {verbs[1]} {c.second_correct}"


def _counted(comparisons: int) -> str:
    return f"{comparisons} comparison" + ("s" if comparisons > 1 else "")


def _rows(comparisons: Iterable[Comparison]) -> tuple[str, ...]:
    return tuple(sorted({side.name for c in comparisons for side in (c.first, c.second) if side.name}))
