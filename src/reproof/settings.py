"""Base classes and number types of everything a study's YAML can say. Imports no torch."""

from __future__ import annotations

import difflib
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator
from pydantic_core import PydanticCustomError

Norm = Literal["linf", "l2", "l0"]


def parse_number(value: Any) -> Any:
    """Return the number that a YAML scalar means; YAML itself reads `8/255` and `1e-3` as strings.

    Anything that is neither a number nor such a string raises ValueError.
    """
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")
    if isinstance(value, str):
        try:
            return float(Fraction(value.replace(" ", ""))) if "/" in value else float(value)
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"should be a number such as 0.3, 8/255 or 1e-3, not {value!r}") from None
    if not isinstance(value, int | float):
        raise ValueError("should be a number")
    return value


def parse_count(value: Any) -> Any:
    """Return the whole number that a YAML scalar means; `1e3` is one thousand."""
    number = parse_number(value)
    if number != int(number):
        raise ValueError(f"should be a whole number, not {value!r}")
    return int(number)


def format_number(value: float) -> str:
    """Return the shortest text that reads back as the same float (0.3, 1e-06, 8.0 as 8)."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def scaled(size: int, width: float) -> int:
    """Return a layer's channels or units at a width multiplier: the nearest whole number, at least 1."""
    return max(1, round(size * width))


Number = Annotated[float, BeforeValidator(parse_number, json_schema_input_type=float | str)]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
UnitInterval = Annotated[Number, Field(ge=0, le=1)]
Whole = Annotated[int, BeforeValidator(parse_count, json_schema_input_type=int | str)]
Count = Annotated[Whole, Field(ge=1)]
Flag = Annotated[bool, Strict()]


def _rising(value: Any) -> Any:
    if isinstance(value, tuple) and value[0] > value[1]:
        raise ValueError("epsilon's range should go from low to high")
    return value


Budget = Annotated[tuple[NonNegative, NonNegative] | NonNegative, AfterValidator(_rising)]
"""An L-infinity budget in [0, 1]: one number, or [low, high], to be drawn from uniformly per image."""


class Settings(BaseModel):
    """Frozen settings; unknown keys are errors, and so are infinite numbers and NaN.

    The schema shows a field's docstring: of plugins because `registry` reads it, elsewhere where a class asks
    pydantic for it. Pydantic looks for it slowly, and every job would wait.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _know_every_key(cls, data: Any) -> Any:
        """Refuse an unknown key and name the nearest right one, which pydantic's own message lacks."""
        for key in data if isinstance(data, dict) else ():
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), list(cls.model_fields), n=1)
                hint = (
                    f"did you mean {near[0]!r}?"
                    if near
                    else f"there are: {', '.join(sorted(cls.model_fields))}"
                )
                raise PydanticCustomError(
                    "unknown_key", "unknown key {key}; {hint}", {"key": repr(key), "hint": hint}
                )
        return data


class Point(Settings):
    """One setting of an attack at which accuracy is measured: an epsilon, or a constant c."""

    name: str
    """The swept parameter's name, as in a claim: `epsilon`, `c`."""
    value: float
    epsilon: float | None
    """The budget that the threat model checks, in pixels' [0, 1]; None for attacks without one."""

    @property
    def parameters(self) -> str:
        """Return the text that stands in outcomes, measurements and claims: `epsilon=0.3`, `c=10`."""
        return f"{self.name}={format_number(self.value)}"


PSNR = "psnr"
"""Name of the points at which an attack's images have a given mean PSNR."""
MEMBER = "member"
"""Source of a white_box threat that is made on each member of an ensemble in turn; tables name their mean so."""
AGGREGATED = "members"
"""What tables name as the source of an aggregated suite: all members of the ensemble together."""
ADVERSARIAL_STEP = 0.75
"""Cost of a gradient to the images, as a share of a training step on them: CNN-6's epochs take 1.76 (FGSM),
3.24 (3 steps of PGD) and 6.2 (7 steps) times as long as undefended ones."""


class AdversarialTraining(Settings, use_attribute_docstrings=True):
    """Train on adversarial examples made in the loop (Madry 2018; Kurakin 2017; Mustafa, Algorithm 1)."""

    attack: Literal["fgsm", "pgd", "carlini_wagner"]
    epsilon: Budget | None = None
    """L-infinity budget in [0, 1]: one number, or [low, high], drawn uniformly per image. C&W has none."""
    share: UnitInterval = 0.5
    """Share of each batch that is replaced by (or, with augment, added as) adversarial examples."""
    augment: Flag = False
    """True: the adversarial examples come on top of the whole clean batch (Mustafa, Algorithm 1, line 13)."""
    steps: Count = 10
    """Steps of PGD or C&W; FGSM takes one."""
    step_size: Positive | None = None
    """PGD's step as a fraction of epsilon; None is 2.5 / steps (Madry)."""
    constant: Positive | None = None
    """C&W's c, weight of the margin beside the squared L2 distance; None is 0.1 (Hassanin, Sec. 4.1)."""
    learning_rate: Positive | None = None
    """C&W's rate; None is 0.01."""
    random_start: Flag = True
    """Start PGD from a random point of the ball."""
    objective: Literal["cross_entropy", "defense"] = "cross_entropy"
    """What the inner maximisation climbs: cross-entropy, or the defense's own loss (Mustafa, Algorithm 1)."""
    labels: Literal["true", "predicted"] = "true"
    """`predicted` avoids label leaking (Kurakin 2017, Sec. 4)."""
    mode: Literal["train", "eval"] = "eval"
    """Mode of batch norm and dropout while the examples are made."""
    weight: Positive = 1.0
    """Weight of an adversarial example beside a clean one (λ of Kurakin 2017, Eq. 1)."""

    def passes(self, step: float = 1.0) -> float:
        """Return what the examples add to the cost of a training step. step: that cost without them."""
        gradients = 1 if self.attack == "fgsm" else self.steps
        climbed = step if self.objective == "defense" else 1.0
        # C&W looks at where its last step led, and predicted labels need a prediction.
        forward = FORWARD * ((self.attack == "carlini_wagner") + (self.labels == "predicted"))
        return self.share * (ADVERSARIAL_STEP * (gradients * climbed + forward) + self.augment * step)

    @model_validator(mode="after")
    def _consistent(self) -> AdversarialTraining:
        if self.attack == "carlini_wagner":
            if self.epsilon is not None:
                raise ValueError("epsilon belongs to fgsm and pgd; C&W has a constant")
            if self.objective != "cross_entropy":
                raise ValueError("objective belongs to fgsm and pgd; C&W minimises a margin of the logits")
        elif self.epsilon is None:
            raise ValueError(f"epsilon is missing; {self.attack} needs a budget")
        elif self.constant is not None or self.learning_rate is not None:
            raise ValueError(f"constant and learning_rate belong to carlini_wagner, not {self.attack}")
        return self


class ArchitectureSettings(Settings):
    """What an architecture's file declares about itself."""

    def key(self, name: str) -> str:
        """Return the name under which claims and measurements know this architecture: variants apart."""
        return name

    def layers(self, channels: int, height: int, width: int, classes: int) -> list[tuple[int, int]]:
        """Return each convolution's and linear layer's weights and the positions where each weight is used.

        channels, height, width: of an image. A linear layer uses its weights once, at one position.
        """
        raise TypeError(f"{type(self).__module__}: an architecture's Settings defines layers()")

    def multiply_adds(self, channels: int, height: int, width: int, classes: int) -> float:
        """Return the multiply-adds of convolutions and linear layers in one forward pass of one image."""
        layers = self.layers(channels, height, width, classes)
        return float(sum(weights * positions for weights, positions in layers))


class DefenseSettings(Settings):
    """What a defense's file declares about itself, readable without importing torch."""

    views: ClassVar[tuple[str, ...]] = ()
    """Names of the losses, beside plain cross-entropy on the logits, that an adaptive attacker climbs."""
    paper: ClassVar[str] = ""
    """Key of the paper under papers/ that proposes it; empty where papers only compare with it."""
    trains_on: ClassVar[str] = "clean"
    """Adversarial examples that the method itself trains on: clean, fgsm, pgd."""
    shapes_network: ClassVar[bool] = False
    """Whether all it does is to change the network, so that another defense can be built on it."""
    traces: ClassVar[tuple[str, ...]] = ()
    """Names of the CSV tables that its training leaves beside the history, such as one row per round."""
    votes: ClassVar[bool] = False
    """Whether a model of it can be put together from trained ones (a stanza's `members`), which then vote."""
    learns_beside: ClassVar[bool] = False
    """Whether a network is trained against frozen ones that were trained before (a stanza's `beside`)."""

    swept: ClassVar[str] = ""
    """The setting that its paper sweeps in a figure; empty where there is none."""

    @property
    def networks(self) -> int:
        """Return how many networks are trained together in one model."""
        return 1

    def key(self, name: str) -> str:
        """Return the name under which claims and measurements know this method: variants apart."""
        return name

    def passes(self) -> float:
        """Return what a training step costs, an undefended one being 1; a method with more overrides it.

        Adversarial examples that the method itself trains on count; those of the study's training do not.
        """
        return 1.0


class VotingSettings(DefenseSettings):
    """Settings of an ensemble of trained networks that vote (Mirzaeian, DKD, Sec. 3.1)."""

    votes: ClassVar[bool] = True
    views: ClassVar[tuple[str, ...]] = ("mean_logits", "votes")

    boosted: Flag = Field(
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
        return f"{name}[boosted]" if self.boosted else name


FORWARD = 0.4
"""Cost of a pass forward, as a share of a pass forward and back to the images."""


class AttackSettings(Settings):
    """What an attack's file declares about itself."""

    norm: ClassVar[Norm | None] = None
    """The threat model's norm; None where the attack is free of one."""
    takes_view: ClassVar[bool] = True
    """Whether it climbs a gradient, so that a suite's `view` can stand in for cross-entropy on the logits."""
    usual_steps: ClassVar[int | None] = None
    """Steps after which most images are fooled, of an attack that leaves each one as soon as it is; None of others."""
    fooling_set: ClassVar[bool] = False
    """Whether only those of its images count that fool all the networks they were made on (Seiler, Sec. V-C)."""
    images: Count | None = Field(
        None,
        description="Attack only the first so many test images of the suite (a fixed, stratified, nested order).",
    )

    def points(self) -> tuple[Point, ...]:
        """Return the points at which accuracy is measured, in the order of the stanza."""
        raise TypeError(f"{type(self).__module__}: an attack's Settings defines points()")

    def passes(self) -> float:
        """Return how many passes forward and back an image takes at one point when nothing stops early.

        Where there are `usual_steps`, it is what an image takes in so many of them. A pass forward alone counts
        FORWARD. Here: steps times restarts, where there are such settings.
        """
        return float(getattr(self, "steps", 1) * getattr(self, "restarts", 1))


class EpsilonAttackSettings(AttackSettings):
    """An attack inside an epsilon ball, measured at one or several epsilons."""

    norm: ClassVar[Norm | None] = "linf"
    epsilons: tuple[UnitInterval, ...] = Field(
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


class ClimbingSettings(EpsilonAttackSettings):
    """An attack that climbs a loss in several steps inside an epsilon ball."""

    early_stop: Flag = Field(
        False,
        description="True: an image is left as soon as an iterate is misclassified, and that iterate counts. Robust "
        "accuracy then means right at every iterate, which is never above what the last one alone leaves.",
    )
    nested: Flag = Field(
        False,
        description="True: epsilons are attacked in rising order, and an image that one of them fooled keeps that "
        "image at the larger ones. Accuracy then falls with epsilon by construction, and shows nothing by it.",
    )
    loss: Literal["cross_entropy", "margin"] = Field(
        "cross_entropy",
        description="What is climbed where a suite names no view: cross-entropy, or the largest other logit minus the "
        "label's, whose gradient does not vanish where the network is sure (Carlini and Wagner 2017, f of Sec. IV).",
    )
    samples: Count = Field(
        1,
        description="Passes over which each step's gradient is averaged, for networks that draw random numbers when "
        "they are asked (expectation over transformation: Athalye, Carlini and Wagner 2018, Sec. 4.2).",
    )

    def passes(self) -> float:
        """Return the steps times restarts times samples, at one point, when nothing stops early."""
        return super().passes() * self.samples


class DatasetSettings(Settings):
    """What a data set's file declares about itself."""

    key: ClassVar[str] = ""
    """The name that claims use: digits, mnist, cifar10."""
    downloads: ClassVar[bool] = False
    """Whether its files must be fetched before it can be prepared."""
    streams: ClassVar[bool] = False
    """Whether its file defines prepare_to, which writes images too many for memory, instead of prepare."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order of the labels."""
        return ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return an image's channels, height and width."""
        raise TypeError(f"{type(self).__module__}: a data set's Settings defines shape")

    def sizes(self) -> dict[str, int]:
        """Return the number of images of each split: train, validation, test."""
        raise TypeError(f"{type(self).__module__}: a data set's Settings defines sizes()")


class PublishedDatasetSettings(DatasetSettings, use_attribute_docstrings=True):
    """A data set whose authors published a part to train on and a part to test on."""

    downloads: ClassVar[bool] = True
    image_shape: ClassVar[tuple[int, int, int]]
    """An image's channels, height and width."""
    train_available: ClassVar[int]
    """Images of the part to train on; the validation split is taken out of it."""
    test_available: ClassVar[int]
    """Images of the part to test on."""

    train_images: Count | None = None
    """Size of the training split, the beginning of a fixed stratified order; null: all that validation leaves."""
    validation_images: Count = 5000
    """Size of the validation split, out of the part to train on, for every choice that must not see the test split."""
    test_images: Count | None = None
    """Size of the test split, the beginning of a fixed stratified order; null: the whole part to test on."""
    split_seed: Annotated[Whole, Field(ge=0)] = 0
    """Seed of the splits; it has nothing to do with the seeds of training."""

    @model_validator(mode="after")
    def _enough(self) -> PublishedDatasetSettings:
        if self.validation_images + (self.train_images or 1) > self.train_available:
            wanted = f"{self.validation_images} + {self.train_images or 'at least 1'}"
            raise ValueError(
                f"validation_images + train_images ({wanted}) should be at most {self.train_available}, "
                "the images of the part to train on"
            )
        if self.test_images is not None and self.test_images > self.test_available:
            raise ValueError(
                f"test_images ({self.test_images}) should be at most {self.test_available}, "
                "the images of the part to test on"
            )
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return an image's channels, height and width."""
        return self.image_shape

    def sizes(self) -> dict[str, int]:
        """Return the number of images of each split."""
        return {
            "train": self.train_images or self.train_available - self.validation_images,
            "validation": self.validation_images,
            "test": self.test_images or self.test_available,
        }
