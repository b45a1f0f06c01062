"""What figures ask the files of attacks and defenses: whom to draw first, and whom instead of all."""

from __future__ import annotations

from collections.abc import Iterable

from reproof import registry, wording
from reproof.claims.vocabulary import variant_of
from reproof.settings.baseline import CLEAN, UNDEFENDED
from reproof.settings.table_words import WORST_CASE


def attack_order(name: str) -> tuple[int, str]:
    """Return what sorts attacks from noise over one step and several to the worst case; other names stand behind."""
    if name == "worst_case":
        return (4, name)
    declared = registry.attack(name)
    within_budgets = (
        declared is not None and getattr(declared.model_fields.get("epsilons"), "is_required", bool)()
    )
    if declared is None or not (declared.baseline or (declared.follows_gradients() and within_budgets)):
        return (3, name)
    return (0 if declared.baseline else 2 if declared.iterative else 1, name)


def baselines(kinds: Iterable[str]) -> set[str]:
    """Return which of these attacks search for nothing: random noise."""
    return {kind for kind in kinds if (declared := registry.attack(kind)) is not None and declared.baseline}


def strong_ascents(kinds: Iterable[str]) -> set[str]:
    """Return which of these attacks follow gradients in several steps from a random start: PGD."""
    return {
        kind
        for kind in kinds
        if (declared := registry.attack(kind)) is not None
        and (declared.follows_gradients() and declared.iterative and declared.randomised)
    }


def papers_attack(names: Iterable[str]) -> str:
    """Return the attack that stands for what papers attack with: PGD as its config entry of that name has it.

    Of several entries of a kind the shortest name is the plain one; without PGD the strongest of attack_order, and
    the worst case where there is no other.
    """
    found = [name for name in names if name != WORST_CASE]
    if not found:
        return WORST_CASE
    strong = [name for name in found if strong_ascents([wording.kind_of(name)])]
    gradients = [name for name in found if attack_order(name)[0] < 3]
    return (
        min(strong, key=lambda name: (len(name), name))
        if strong
        else max(gradients or found, key=attack_order)
    )


def trains_plainly(defense: str) -> bool:
    """Say whether a defense's networks are trained with the ordinary loss, be it on adversarial examples."""
    declared = registry.defense(variant_of(defense))
    own_loss = declared is None or bool(declared.attack_losses)
    return defense == UNDEFENDED or (declared is not None and declared.trains_on != CLEAN and not own_loss)
