"""What a defense's file declares about itself, readable without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from reproof.settings.baseline import CLEAN
from reproof.settings.table_words import BOOSTED
from reproof.settings.values import Settings, Switch, Whole


@dataclass(frozen=True)
class Undertaking:
    """What a study asks of a defense beside its own settings: how long it is trained, on what, on which network."""

    epochs: int
    replaced: float
    """Share of each batch whose clean images give way to adversarial examples."""
    train_images: int
    classes: int
    height: int
    width: int
    features: tuple[str, ...]
    """Names of the network's features, its last one last; empty where they are not known beforehand."""
    residual: bool
    """Whether the network is made of residual blocks."""

    def unknown_feature(self, name: str | None) -> str:
        """Return what is wrong with a feature's name in a sentence; empty where it may be right."""
        if name is None or not self.features or name in self.features:
            return ""
        return f"no feature is called {name!r}; this network's are {', '.join(self.features)}"


class DefenseSettings(Settings):
    """What a defense's file declares about itself, readable without importing torch."""

    title: ClassVar[str]
    """What people call it, as inside a sentence: `prototype conformity`, `MagNet`."""
    attack_losses: ClassVar[tuple[str, ...]] = ()
    """Names of its attack losses: what, beside cross-entropy on the logits, an adaptive attacker maximises."""
    surrogates: ClassVar[tuple[str, ...]] = ()
    """Those attack losses that stand in for what cannot be differentiated: a vote, a purifier."""
    purifies: ClassVar[bool] = False
    """Whether images are changed before the network sees them, past which plain attacks differentiate it."""
    endings: ClassVar[Mapping[str, str]] = {}
    """What the end of an attack's name means in words: `pgd_bpda` is `PGD through the purifier`."""
    paper: ClassVar[str] = ""
    """Key of the paper under papers/ that proposes it; empty where papers only compare with it."""
    trains_on: ClassVar[str] = CLEAN
    """Adversarial examples that the method itself trains on: clean, fgsm, pgd."""
    shapes_network: ClassVar[bool] = False
    """Whether all it does is to change the network, so that another defense can be built on it."""
    training_log: ClassVar[tuple[str, ...]] = ()
    """Names of the CSV tables that its training leaves beside the history, such as one row per round."""
    votes: ClassVar[bool] = False
    """Whether a model of it can be put together from trained ones (the config entry's `members`), which then vote."""
    learns_beside: ClassVar[bool] = False
    """Whether a network is trained against frozen peer models (the config entry's `beside`)."""

    swept: ClassVar[str] = ""
    """The setting that its paper sweeps in a figure; empty where there is none."""

    @property
    def networks(self) -> int:
        """Return how many networks are trained together in one model."""
        return 1

    def key(self, name: str) -> str:
        """Return the name under which claims and measurements know this method: variants apart."""
        return name

    def misfits(self, asked: Undertaking) -> list[tuple[str, str]]:
        """Return what keeps the method from being trained so: a setting's name, or nothing, and a sentence."""
        return []

    def relative_cost(self) -> float:
        """Return what a training step costs relative to an undefended one; a method with more overrides it.

        Adversarial examples that the method itself trains on count; those of the study's training do not.
        """
        return 1.0


class PurifierSettings(DefenseSettings):
    """Settings of a purifier, which changes images before the network sees them."""

    attack_losses: ClassVar[tuple[str, ...]] = ("bpda",)
    surrogates: ClassVar[tuple[str, ...]] = ("bpda",)
    purifies: ClassVar[bool] = True
    endings: ClassVar[Mapping[str, str]] = {"bpda": "through the purifier"}


class VotingSettings(DefenseSettings):
    """Settings of an ensemble of trained networks that vote (Mirzaeian, DKD, Sec. 3.1)."""

    votes: ClassVar[bool] = True
    attack_losses: ClassVar[tuple[str, ...]] = ("mean_logits", "votes")
    surrogates: ClassVar[tuple[str, ...]] = ("votes", "mean_logits")

    boosted: Switch = Field(
        False,
        description="True: where the first choices have no majority, the networks' first `candidates` vote "
        "(Sec. 3.1). It names the ensemble in claims: `[boosted]`.",
    )
    candidates: Annotated[Whole, Field(ge=2)] = Field(
        2,
        description="n: classes that each network votes for in the boosted vote; the paper does not say how many.",
    )
    ties: Literal["main", "error"] = Field(
        "main",
        description="What is answered where no majority is found: the first member's class, or nothing, which "
        "counts as an error. The paper does not say.",
    )

    def key(self, name: str) -> str:
        """Return the name, with `[boosted]` for that vote."""
        return f"{name}{BOOSTED}" if self.boosted else name
