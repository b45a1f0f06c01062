"""Weights that were trained elsewhere: read without executing anything, and fitted into a network of ours.

What does not fit is said in one message: names that are missing, names that nobody asks for, shapes that differ.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reproof.errors import ModelError
from reproof.models.defense import Trainee
from reproof.settings.weights import WeightsSettings

WRAPPERS = ("module.", "_orig_mod.")
"""What torch puts before every name of a network that DataParallel or torch.compile wrapped."""
SHOWN = 10
"""Names that a message lists of each kind; of more it says how many."""
OPTIONAL = "num_batches_tracked"
"""A count of batch norms that changes no answer in evaluation; files of old versions of torch lack it."""
NORMALISATION = ("mean", "std")
"""Buffers of our architectures that files from elsewhere lack."""


def read(path: Path, settings: WeightsSettings) -> dict[str, Tensor]:
    """Return a file's state dict, its names as `settings.names` changes them; ModelError says what is wrong with it."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if size == 0:
        raise ModelError(f"{path}: the file is empty")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    found = _state(path, content, settings.key)
    for name, tensor in found.items():
        if not tensor.is_floating_point() and tensor.dtype not in (torch.int64, torch.int32, torch.bool):
            raise ModelError(f"{path}: {name} is {_kind(tensor)}; weights should be floats, not quantised")
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ModelError(f"{path}: {name} holds NaN or infinity, so nothing can be predicted with it")
    return _renamed(path, found, settings.names)


def fit(trainee: Trainee, found: Mapping[str, Tensor], settings: WeightsSettings) -> None:
    """Put a state dict into a network; ModelError lists what does not fit.

    With `settings.whole` it is all that the defense trains, else the deployed network's.
    """
    target = trainee if settings.whole else trainee.classifier.weights_belong_to
    wanted = target.state_dict()
    given = dict(_unwrapped(found, wanted))
    if settings.mean is not None and settings.std is not None:
        for name, values in zip(NORMALISATION, (settings.mean, settings.std), strict=True):
            if name not in wanted or len(values) != wanted[name].numel():
                raise ModelError(
                    f"{settings.path}: {name} has {len(values)} values, and this network takes "
                    + (f"{wanted[name].numel()}" if name in wanted else "none: its own file normalises")
                )
            given[name] = torch.tensor(values).view_as(wanted[name])
    missing = [name for name in wanted if name not in given and not name.endswith(OPTIONAL)]
    unexpected = [name for name in given if name not in wanted]
    shapes = [
        f"{name} is {tuple(given[name].shape)} and should be {tuple(wanted[name].shape)}"
        for name in wanted
        if name in given and given[name].shape != wanted[name].shape
    ]
    if missing or unexpected or shapes:
        raise ModelError(_misfit(settings, missing, unexpected, shapes))
    target.load_state_dict(
        {name: given[name].to(wanted[name].dtype) for name in wanted if name in given}, strict=False
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path}: is no whole safetensors file ({error})") from error


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "nsupported" in str(error):
            raise ModelError(
                f"{path}: holds Python objects beside tensors, and reading them would execute code of the file, which "
                "is never done here. Where you trust it, load it yourself and keep its weights alone: "
                "torch.save(network.state_dict(), ...)"
            ) from error
        raise ModelError(f"{path}: is no file of torch, or a damaged one") from error
    except Exception as error:  # of damaged files torch raises nearly everything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path}: is no file of weights of torch that can be read ({reason})") from error


def _state(path: Path, content: Any, key: str | None) -> dict[str, Tensor]:
    """Return the state dict in what a file holds: at the key, or the only one there is."""
    states = dict(_states(content))
    if key is not None:
        if key not in states:
            raise ModelError(
                f"{path}: holds no state dict at {key!r}; there are: {_listed(sorted(states)) or 'none'}"
            )
        return states[key]
    if not states:
        raise ModelError(
            f"{path}: holds no state dict, a mapping of names to tensors (it is {_kind(content)})"
        )
    if len(states) > 1:
        raise ModelError(
            f"{path}: holds several state dicts; choose one with `key`: {', '.join(sorted(states))}"
        )
    return next(iter(states.values()))


def _states(content: Any, place: str = "") -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield every mapping of names to tensors alone, with its place in the file."""
    if not isinstance(content, Mapping):
        return
    tensors = [isinstance(value, Tensor) for value in content.values()]
    if tensors and all(tensors) and all(isinstance(name, str) for name in content):
        yield place, dict(content)
        return
    for name, value in content.items():
        if isinstance(name, str):
            yield from _states(value, f"{place}.{name}" if place else name)


def _renamed(path: Path, found: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return a state dict without torch's wrappers, its names changed by regular expressions one after the other."""
    for wrapper in WRAPPERS:
        if all(name.startswith(wrapper) for name in found):
            found = {name.removeprefix(wrapper): tensor for name, tensor in found.items()}
    renamed: dict[str, Tensor] = {}
    for name, tensor in found.items():
        changed = name
        for pattern, words in names.items():
            changed = re.sub(pattern, words, changed)
        if changed in renamed:
            raise ModelError(f"{path}: `names` makes two entries {changed!r}, one of them of {name!r}")
        renamed[changed] = tensor
    return renamed


def _unwrapped(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return a state dict without the first word of all its names, where only then all of them are wanted."""
    first = {name.partition(".")[0] for name in found}
    if len(first) == 1 and not set(found) & set(wanted):
        shorter = {name.partition(".")[2]: tensor for name, tensor in found.items()}
        if set(shorter) & set(wanted):
            return shorter
    return found


def _misfit(
    settings: WeightsSettings, missing: Sequence[str], unexpected: Sequence[str], shapes: Sequence[str]
) -> str:
    parts = [
        f"{title} ({len(names)}): {_listed(names)}"
        for title, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if names
    ]
    hint = ""
    if set(missing) >= set(NORMALISATION):
        hint += " Its normalisation is said with `mean` and `std` under `weights`."
    if any(name.startswith(("classifier.", "auxiliary.")) for name in unexpected):
        hint += " A file of all that a defense trains needs `whole: true`."
    elif missing and unexpected:
        hint += " Names are changed with `names` under `weights`."
    return f"{settings.path}: does not fit the network. {'; '.join(parts)}.{hint}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _kind(value: Any) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
