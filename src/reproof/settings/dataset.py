"""What a data set's file declares about itself."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from reproof.settings.values import Count, Number, Seed, Settings, Whole


class DatasetSettings(Settings):
    """What a data set's file declares about itself."""

    title: ClassVar[str]
    """What people call it: `CIFAR-10`."""
    key: ClassVar[str]
    """The name that claims use: digits, mnist, cifar10."""
    downloads: ClassVar[bool] = False
    """Whether its files must be fetched before it can be prepared."""
    streams: ClassVar[bool] = False
    """Whether its file defines prepare_to, which writes images too many for memory, instead of prepare."""

    may_repeat: ClassVar[bool] = False
    """Whether an image may stand in the training and the test images both: as somebody published it, who cannot be
    asked to mend it. The record counts such images."""
    may_be_dark: ClassVar[bool] = False
    """Whether a split need have no pixel in the brighter half: its images are known to be levels from 0 to 255."""

    @property
    def files(self) -> tuple[str, ...]:
        """Return the user's own files and folders that `prepare` reads, relative to the project's folder."""
        return ()

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


class OwnImagesSettings(DatasetSettings):
    """Images of the user's own, in files whose place the study names."""

    downloads: ClassVar[bool] = True

    classes: tuple[str, ...] = Field(min_length=2)
    """Names of the classes, in the order of the network's logits."""
    image_shape: tuple[Count, Count, Count]
    """Channels (1 or 3), height and width of the images."""
    range: tuple[Number, Number] | None = None
    """What black and white are in the files: [0, 16], [-1, 1]. null: levels from 0 to 255, or, of arrays of floats,
    [0, 1] where no pixel is brighter than 1; what may be neither is refused."""
    test_images: Count
    """Size of the test split, the beginning of a fixed stratified order."""
    validation_images: Annotated[Whole, Field(ge=0)] = 0
    """Size of the validation split."""
    train_images: Annotated[Whole, Field(ge=0)] = 0
    """Size of the training split; none are needed where no model is trained."""
    split_seed: Seed = 0
    """Seed of the splits; it has nothing to do with the seeds of training."""

    @model_validator(mode="after")
    def _plain(self) -> OwnImagesSettings:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes should have different names")
        if self.image_shape[0] not in (1, 3):
            raise ValueError(
                "image_shape should begin with 1 channel (grey) or 3 (colour), then height and width"
            )
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError("range should be what black is, then what white is: a larger number")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order of the labels."""
        return self.classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return an image's channels, height and width."""
        return self.image_shape

    def sizes(self) -> dict[str, int]:
        """Return the number of images of each split."""
        return {"train": self.train_images, "validation": self.validation_images, "test": self.test_images}


class PublishedDatasetSettings(DatasetSettings):
    """A data set whose authors published a part to train on and a part to test on."""

    downloads: ClassVar[bool] = True
    may_repeat: ClassVar[bool] = True
    may_be_dark: ClassVar[bool] = True
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
    split_seed: Seed = 0
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
