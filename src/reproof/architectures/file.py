"""A network of the user's own: a factory in a Python file outside the package returns it.

The file's function is called with `arguments` and returns an `nn.Module` from images (N, C, H, W) to logits (N, K).
The network normalises images in [0, 1] itself, or `mean` and `std` say how they are normalised before it. The file may
import others beside it; all of them are part of the code of every job that builds the network.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from reproof.data.dataset import DataDescription
from reproof.errors import ModelError
from reproof.models.classifier import Classifier
from reproof.settings.architecture import ArchitectureSettings
from reproof.settings.values import Positive, UnitInterval

_numbers = itertools.count()
_imported: dict[str, dict[str, ModuleType]] = {}
"""Folder -> the modules that its networks imported from it, by name."""


class Settings(ArchitectureSettings):
    """A network of a file outside the package."""

    title: ClassVar[str] = "own network"
    example: ClassVar[dict[str, Any]] = {"path": "studies/own/network.py"}

    path: str = Field(pattern=r"\.py$")
    """The Python file, relative to the project's folder."""
    factory: str = "build"
    """The function in it that returns the network."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """What the function is called with, by name."""
    mean: tuple[UnitInterval, ...] | None = Field(None, min_length=1)
    """What is subtracted from each channel of images in [0, 1]; null: the network normalises itself."""
    std: tuple[Positive, ...] | None = Field(None, min_length=1)
    """What each channel is divided by afterwards."""
    latent: dict[str, str] = Field(default_factory=dict)
    """Name of a latent feature -> the network's module whose output it is (`penultimate: avgpool`), the one that feeds
    the last layer last. Without any, the logits stand for them."""
    million_multiply_adds: Positive = 100.0
    """What the plan counts for one image; its estimate of time alone depends on it."""

    @model_validator(mode="after")
    def _both(self) -> Settings:
        if len(self.std or ()) != len(self.mean or ()):
            raise ValueError("mean and std go together, a number of each for each channel")
        return self

    @property
    def files(self) -> tuple[str, ...]:
        """Return the file that holds its code."""
        return (self.path,)

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of its latent features."""
        return tuple(self.latent) or ("logits",)

    def key(self, name: str) -> str:
        """Return `own_` and the file's name, so that it is no network that claims know."""
        stem = self.path.replace("\\", "/").rpartition("/")[2].removesuffix(".py")
        return "own_" + "".join(letter if letter.isalnum() else "_" for letter in stem.lower())

    @classmethod
    def title_of(cls, key: str, name: str) -> str | None:
        """Return `own network (my net)` for the key of my_net.py."""
        if key == name:
            return cls.title
        stem = key.removeprefix("own_")
        return f"{cls.title} ({stem.replace('_', ' ')})" if stem != key and stem else None

    def layers(self, channels: int, height: int, width: int, classes: int) -> list[tuple[int, int]]:
        """Return one layer that costs what `million_multiply_adds` says: only building it would tell."""
        return [(1, round(1e6 * self.million_multiply_adds))]


class OwnNetwork(Classifier):
    """A network of somebody else's, seen as one of ours."""

    any_memory_format: ClassVar[bool] = False

    def __init__(self, settings: Settings, data: DataDescription, network: nn.Module):
        neutral = (0.0,) * data.channels, (1.0,) * data.channels
        mean, std = settings.mean or neutral[0], settings.std or neutral[1]
        super().__init__(
            DataDescription(data.channels, data.height, data.width, data.classes, tuple(mean), tuple(std))
        )
        self.normalises_itself = settings.mean is None
        self.folder = str(Path(settings.path).parent.absolute())
        self.network = network
        self.latent = dict(settings.latent)
        self.feature_shapes = {}

    @property
    def weights_belong_to(self) -> nn.Module:
        """Return the user's network."""
        return self.network

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K)."""
        with _beside(self.folder):  # it may import something only now
            logits: Tensor = self.network(images if self.normalises_itself else self.normalise(images))
        return logits

    def logits_and_features(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits and what the named modules put out on the way."""
        seen: dict[str, Tensor] = {}

        def keep(name: str) -> Any:
            return lambda _module, _inputs, output: seen.__setitem__(name, output)

        hooks = [
            self.network.get_submodule(place).register_forward_hook(keep(name))
            for name, place in self.latent.items()
        ]
        try:
            logits = self(images)
        finally:
            for hook in hooks:
                hook.remove()
        features = {name: seen[name] for name in self.latent if name in seen}
        if features:
            last = list(features)[-1]
            features[last] = features[last].flatten(1)
        return logits, features or {"logits": logits}


def build(settings: Settings, data: DataDescription) -> Classifier:
    """Return what the file's factory returns, seen as one of ours; ModelError says what is wrong with it."""
    path = Path(settings.path)
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file")
    folder = str(path.parent.absolute())
    _imported.pop(folder, None)  # the files may have changed
    importlib.invalidate_caches()
    with _beside(folder):
        network = _made(settings, path)
    if settings.mean is not None and len(settings.mean) != data.channels:
        raise ModelError(f"{path}: mean has {len(settings.mean)} values for {data.channels} channels")
    modules = dict(network.named_modules(remove_duplicate=False))
    for name, place in settings.latent.items():
        if place not in modules:
            raise ModelError(f"{path}: latent {name!r}: the network has no module {place!r}")
    own = OwnNetwork(settings, data, network)
    own.feature_shapes = _try(own, data, f"{path}: {settings.factory}")
    _require_tensors(network, f"{path}: {settings.factory}")
    return own


def _made(settings: Settings, path: Path) -> nn.Module:
    """Return what the factory returns."""
    function = getattr(_load(path), settings.factory, None)
    if not callable(function):
        raise ModelError(f"{path}: holds no function {settings.factory!r}")
    try:
        network = function(**settings.arguments)
    except (Exception, SystemExit) as error:
        raise ModelError(f"{path}: {settings.factory} raised {_words(error)}") from error
    if not isinstance(network, nn.Module):
        raise ModelError(
            f"{path}: {settings.factory} returned {type(network).__name__}, and should return a torch.nn.Module"
        )
    return network


def _try(own: OwnNetwork, data: DataDescription, where: str) -> dict[str, tuple[int, ...]]:
    """Show the network two images, check what it answers, and return its features' shapes."""
    images = torch.full((2, data.channels, data.height, data.width), 0.5)
    shown = images.clone()
    modes = [(module, module.training) for module in own.modules()]
    own.eval()
    try:
        with torch.no_grad():
            logits, features = own.logits_and_features(images)
    except (Exception, SystemExit) as error:
        size = f"{data.channels} x {data.height} x {data.width}"
        raise ModelError(
            f"{where}: the network raised {_words(error)} when it was shown images of {size}"
        ) from error
    finally:
        for module, training in modes:
            module.training = training
    if not torch.equal(images, shown):
        raise ModelError(
            f"{where}: the network changes the images that it is shown; let it change a copy, as in images - mean"
        )
    if not isinstance(logits, Tensor):
        raise ModelError(
            f"{where}: the network returns {type(logits).__name__}, and should return logits alone"
        )
    if logits.shape != (2, data.classes):
        raise ModelError(
            f"{where}: for 2 images the network returns {tuple(logits.shape)}, and should return logits of shape "
            f"{(2, data.classes)}: one for each class of the data set"
        )
    if logits.dtype != torch.float32:
        raise ModelError(f"{where}: the network's logits are {logits.dtype}, and should be torch.float32")
    _require_each(own.latent, features, where)
    return {name: tuple(feature.shape[1:]) for name, feature in features.items()}


def _require_each(latent: dict[str, str], features: dict[str, Tensor], where: str) -> None:
    for name in latent:
        if not isinstance(features.get(name), Tensor) or len(features[name]) != 2:
            raise ModelError(
                f"{where}: latent {name!r}: {latent[name]!r} gives no tensor with a row for each image"
            )


def _require_tensors(network: nn.Module, where: str) -> None:
    try:
        state = network.state_dict()
    except Exception as error:
        raise ModelError(f"{where}: the network's state_dict() raised {_words(error)}") from error
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise ModelError(
                f"{where}: the network keeps {name}, {type(value).__name__}, beside its tensors (get_extra_state), and "
                "no file of weights holds that; make it a buffer (register_buffer)"
            )


@contextmanager
def _beside(folder: str) -> Iterator[None]:
    """Let the files of a folder be imported meanwhile, and by nobody else: another folder has others of the name."""
    own = _imported.setdefault(folder, {})
    hidden = {name: sys.modules[name] for name in own if name in sys.modules}
    sys.modules.update(own)
    count = len(sys.modules)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with suppress(ValueError):  # the user's code may have changed it
            sys.path.remove(folder)
        added = itertools.islice(reversed(sys.modules), max(0, len(sys.modules) - count))
        own.update({name: sys.modules[name] for name in list(added) if _lies_in(folder, name)})
        for name in own:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)


def _lies_in(folder: str, name: str) -> bool:
    """Say whether a module is a file of a folder or of a package in it; what is installed below it is not."""
    file, top = getattr(sys.modules[name], "__file__", None), Path(folder, name.partition(".")[0])
    return file is not None and (Path(file) == top.with_suffix(".py") or Path(file).is_relative_to(top))


def _load(path: Path) -> ModuleType:
    """Run the user's file as a module of its own."""
    specification = importlib.util.spec_from_file_location(f"reproof_own_{next(_numbers)}", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[module.__name__] = module
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ModelError(f"{path}: importing it raised {_words(error)}") from error
    return module


def _words(error: BaseException) -> str:
    lines: Sequence[str] = str(error).splitlines() or [""]
    words = f"{type(error).__name__}: {lines[0]}"
    if isinstance(error, SystemExit):
        words += " (what the file does as a program belongs under `if __name__ == '__main__'`)"
    return words
