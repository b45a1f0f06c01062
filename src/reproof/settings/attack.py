"""What an attack's file declares about itself."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from reproof.settings.parameters import PSNR, Parameters, Printed, PrintedUnitInterval
from reproof.settings.values import Count, Norm, Positive, Settings


class Point(Settings):
    """One setting of an attack at which accuracy is measured: an epsilon, or a constant c."""

    name: str
    """The swept parameter's name, as in a claim: `epsilon`, `c`."""
    value: Printed
    epsilon: Printed | None
    """The budget that the threat model checks, in pixels' [0, 1]; None for attacks without one."""

    @property
    def parameters(self) -> str:
        """Return the text that stands in outcomes, measurements and claims: `epsilon=8/255`, `c=10`."""
        return str(Parameters.of(**{self.name: self.value}))


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
    norm: ClassVar[Norm | None] = None
    """The threat model's norm; None where the attack is free of one."""
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

    norm: ClassVar[Norm | None] = "linf"
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
        return (
            *(Point(name="epsilon", value=e, epsilon=e) for e in self.epsilons),
            *(Point(name=PSNR, value=psnr, epsilon=None) for psnr in self.psnrs),
        )
