"""What an attack's file declares about itself."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from reproof.settings.parameters import (
    PSNR,
    Parameters,
    Printed,
    PrintedNonNegative,
    PrintedUnitInterval,
)
from reproof.settings.values import Count, Norm, Positive, Settings


class Point(Settings):
    """One setting of an attack at which accuracy is measured: an epsilon, or a constant c."""

    name: str
    """The swept parameter's name, as in a claim: `epsilon`, `c`."""
    value: Printed
    epsilon: Printed | None
    """The budget that the threat model checks, in pixels' [0, 1]; None for attacks without one."""
    norm: Norm = "linf"
    """The norm of the budget."""

    @property
    def parameters(self) -> str:
        """Return the text that stands in outcomes, measurements and claims: `epsilon=8/255`, `c=10`.

        A budget in another norm than L-infinity names it, `norm=l2 epsilon=0.5`, so that it equals none of those.
        """
        norm: dict[str, str | float] = {} if self.norm == "linf" else {"norm": self.norm}
        return str(Parameters.of(**norm, **{self.name: self.value}))


Access = Literal["gradient", "score", "decision", "none"]
"""What an attack asks of a model: gradients, logits or probabilities, classes alone, or nothing."""


class AttackSettings(Settings):
    """What an attack's file declares about itself."""

    title: ClassVar[str]
    """What people call it: `FGSM`."""
    family: ClassVar[str]
    """How it searches, in words: attacks of one family count once where ways of attack are counted."""
    access: ClassVar[Access]
    targeted: ClassVar[bool] = False
    """Whether it goes towards classes of its own choice; every other one goes away from the true class."""
    iterative: ClassVar[bool] = False
    """Whether it takes several steps."""
    randomised: ClassVar[bool] = False
    """Whether it draws random numbers."""
    baseline: ClassVar[bool] = False
    """Whether it searches for nothing, so that every attack should find more: random noise."""
    ensemble: ClassVar[bool] = False
    """Whether it is several attacks, some without gradients: that those are masked does not show in it."""
    composed: ClassVar[bool] = False
    """Whether it makes use of all attack losses of a model's defense, and of other networks, by itself."""
    runs: ClassVar[tuple[str, ...]] = ()
    """Attacks whose files it runs; of those that are gone it does without."""
    transforms: ClassVar[bool] = False
    """Whether it changes an image as a whole (rotation, corruption) instead of adding a small perturbation."""
    norms: ClassVar[tuple[Norm, ...]] = ()
    """The norms in which it can have a budget, the usual one first; none where the attack is free of one. Of several,
    a setting `norm` or `distance` chooses."""
    takes_view: ClassVar[bool] = True
    """Whether it maximises a loss, so that a suite's `view` can stand in for cross-entropy on the logits."""
    strengthened_by: ClassVar[tuple[str, ...]] = (
        *("steps", "restarts", "samples", "queries", "binary_search_steps"),
        *("early_stop", "nested"),
    )
    """Settings of which more, or true, makes it stronger; any other one changes it in a way that is not known."""
    usual_steps: ClassVar[int | None] = None
    """Steps after which most images are fooled, of an attack that leaves each one as soon as it is; None of others."""
    swept: ClassVar[tuple[str, ...]] = ()
    """Names of the parameters that its points vary, as claims and measurements write them: `epsilon`, `c`."""
    fooling_set: ClassVar[bool] = False
    """Whether only those of its images count that fool all the networks they were made on (Seiler, Sec. V-C)."""
    images: Count | None = Field(
        None,
        description="Attack only the first so many test images of the suite (a fixed, stratified, nested order).",
    )

    @classmethod
    def follows_gradients(cls) -> bool:
        """Say whether it searches by gradients alone, so that masked ones stop it."""
        return cls.access == "gradient" and not cls.ensemble

    @property
    def budget_norm(self) -> Norm | None:
        """Return the norm of the threat model, or else of what it minimises; None where the attack is free of one."""
        chosen: Norm | None = getattr(self, "norm", None)
        return chosen or (self.norms[0] if self.norms else None)

    def points(self) -> tuple[Point, ...]:
        """Return the points at which accuracy is measured, in the order of the config entry."""
        raise TypeError(f"{type(self).__module__}: an attack's Settings defines points()")

    @property
    def averages(self) -> bool:
        """Say whether its gradients are averages over several passes, for networks that draw random numbers."""
        return int(getattr(self, "samples", 1)) > 1

    def passes(self) -> float:
        """Return how many passes forward and back an image takes at one point when nothing stops early.

        Where there are `usual_steps`, it is what an image takes in so many of them. A pass forward alone counts
        FORWARD. Here: steps times restarts, where there are such settings.
        """
        return float(getattr(self, "steps", 1) * getattr(self, "restarts", 1))


class EpsilonAttackSettings(AttackSettings):
    """An attack inside an epsilon ball, measured at one or several epsilons."""

    norms: ClassVar[tuple[Norm, ...]] = ("linf",)
    swept: ClassVar[tuple[str, ...]] = ("epsilon", PSNR)
    epsilons: tuple[PrintedUnitInterval, ...] = Field(
        min_length=1,
        description="Budgets in [0, 1] pixel units, kept as printed: 8/255, 0.03 and 0.031 are three budgets.",
    )

    psnrs: tuple[Positive, ...] = Field(
        (),
        description="Beside the budgets: mean peak signal-to-noise ratios in dB, 10 log10(1 / MSE), at each of which "
        "the attack is measured too. The budget that gives it is searched on the source (Gravity, Table IV).",
    )

    def points(self) -> tuple[Point, ...]:
        """Return one point per epsilon, and one per PSNR, whose budget is not known beforehand."""
        norm = self.budget_norm or "linf"
        return (
            *(Point(name="epsilon", value=e, epsilon=e, norm=norm) for e in self.epsilons),
            *(Point(name=PSNR, value=psnr, epsilon=None, norm=norm) for psnr in self.psnrs),
        )


class BallSettings(EpsilonAttackSettings):
    """An attack inside an epsilon ball of a norm that the config entry chooses."""

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")
    norm: Literal["linf", "l2"] = Field(
        "linf",
        description="Norm of the budgets. linf bounds every pixel's change, so 1 allows everything; l2 bounds the root "
        "of the sum of squared changes over pixels and channels, and may exceed 1.",
        exclude_if=lambda norm: norm == "linf",  # entries that do not choose are told and written as ever
    )
    epsilons: tuple[PrintedNonNegative, ...] = Field(
        min_length=1,
        description="Budgets in the norm, of pixels in [0, 1], kept as printed; L-infinity budgets are at most 1.",
    )

    @model_validator(mode="after")
    def _within_the_cube(self) -> Self:
        _check(self)
        return self


class MinimalAttackSettings(AttackSettings):
    """An attack that looks for the nearest image that fools, and may be held to budgets."""

    nested: ClassVar[bool] = True
    """What fools in one budget is what fools in a larger one, so it is searched once."""
    epsilons: tuple[PrintedNonNegative, ...] = Field(
        (),
        description="Budgets in the norm that it minimises: an image that it moves farther counts as failed. Left out, "
        "it goes as far as it must.",
        exclude_if=lambda epsilons: not epsilons,
    )

    @model_validator(mode="after")
    def _within_the_cube(self) -> Self:
        _check(self)
        return self

    def budgets(self) -> tuple[Point, ...]:
        """Return one point per epsilon."""
        norm = self.budget_norm or "linf"
        return tuple(Point(name="epsilon", value=e, epsilon=e, norm=norm) for e in self.epsilons)


class SteppedMinimalAttackSettings(MinimalAttackSettings):
    """Such an attack by steps: their number is swept, or its budgets are."""

    steps: tuple[Count, ...] = Field(
        min_length=1, description="Largest numbers of steps. Each is an attack of its own."
    )

    @model_validator(mode="after")
    def _one_list(self) -> Self:
        if self.epsilons and len(self.steps) != 1:
            raise ValueError(
                f"epsilons are given, so steps should hold one number, not {len(self.steps)}; epsilons or steps is "
                "swept, not both"
            )
        return self

    def points(self) -> tuple[Point, ...]:
        """Return one point per budget or, without any, per number of steps."""
        return self.budgets() or tuple(Point(name="steps", value=steps, epsilon=None) for steps in self.steps)


def _check(settings: BallSettings | MinimalAttackSettings) -> None:
    far = [epsilon for epsilon in settings.epsilons if epsilon > 1]
    if far and settings.budget_norm == "linf":
        raise ValueError(
            f"epsilons: {far[0]:g} should be less than or equal to 1, as no pixel in [0, 1] can move farther; only "
            "budgets in another norm, such as l2, may be larger"
        )
