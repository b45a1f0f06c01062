"""How a model is trained, as the study says it. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from reproof.settings.adversarial_training import AdversarialTraining
from reproof.settings.values import Count, NonNegative, Positive, Settings, Switch, UnitInterval, Whole


class TrainingSettings(Settings):
    """How to train. The last epoch's weights are the model: no checkpoint is ever selected."""

    epochs: Count
    """Passes over the training images."""
    batch_size: Annotated[Whole, Field(ge=2)] = 128
    """Images in a batch; a last batch of one image joins the batch before it (batch norm needs two)."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """SGD with momentum, or Adam (β₂ = 0.999)."""
    learning_rate: Positive
    """Rate that the schedule starts from; a defense may give some parameters (class centres) their own."""
    momentum: Annotated[UnitInterval, Field(lt=1)] = 0.9
    """SGD's momentum; Adam's β₁."""
    weight_decay: NonNegative = 0.0
    """L2 penalty, added to the gradient."""
    nesterov: Switch = False
    """Nesterov's momentum (SGD only)."""
    schedule: Literal["constant", "step", "cosine"] = "constant"
    """How the rate falls: never, by gamma at each milestone, or along half a cosine to zero."""
    milestones: tuple[Positive, ...] = ()
    """Epochs after which a `step` schedule multiplies the rate by gamma."""
    gamma: Annotated[Positive, Field(le=1)] = 0.1
    """Factor of the `step` schedule."""
    warmup_epochs: NonNegative = 0.0
    """The rate rises linearly over so many epochs first; fractions are allowed."""
    gradient_clip: Positive | None = None
    """Largest L2 norm of a parameter group's gradient: the network's, and apart from it each group that a defense
    trains at a rate of its own (class centres), whose gradients then take no part of the network's. None: no bound."""
    augmentation: Literal["none", "crop", "crop_flip"] = "none"
    """Random shifts (crops of the padded image), and mirror images for crop_flip."""
    padding: Count = 4
    """Pixels of black border that the random crops may reach into."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: mixed precision while training and crafting; predictions always use float32. A processor without AMX
    takes longer in bfloat16, and says so."""
    channels_last: Switch | Literal["auto"] = "auto"
    """Memory layout of images and kernels; auto means yes on CPUs and NVIDIA GPUs."""
    adversarial: AdversarialTraining | None = None
    """Adversarial training, with any defense; None leaves it to the defense."""
    validation: Switch = True
    """Measure accuracy on the validation split after each epoch. It selects nothing."""
    checkpoint_seconds: NonNegative = 60.0
    """Keep a checkpoint at the end of an epoch when the last one is at least so old; 0 keeps one per epoch.
    """

    @model_validator(mode="after")
    def _consistent(self) -> TrainingSettings:
        if self.schedule == "step" and not self.milestones:
            raise ValueError("schedule step needs milestones, such as milestones: [10, 15]")
        if self.schedule != "step" and self.milestones:
            raise ValueError(f"milestones belong to schedule step, not {self.schedule}; write milestones: []")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError("milestones should rise from one to the next")
        if self.milestones and self.milestones[-1] >= self.epochs:
            raise ValueError(f"milestones should lie below epochs ({self.epochs})")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs should be less than epochs ({self.epochs})")
        if self.adversarial is not None and self.adversarial.begins(self.epochs) >= self.epochs:
            raise ValueError(f"adversarial.warmup_epochs should be less than epochs ({self.epochs})")
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError("nesterov needs optimizer sgd and a momentum above 0")
        return self
