"""Weights that were trained elsewhere: read without executing anything, and fitted into a network of ours.

What does not fit is said in one message: names that are missing, names that nobody asks for, shapes that differ.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reproof.errors import ModelError
from reproof.models.defense import Trainee
from reproof.settings.weights import WeightsSettings

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
EXTRA = "_extra_state"
"""What the name of a module's own state beside its tensors ends with (`get_extra_state`)."""
SHOWN = 10
"""Names that a message lists of each kind; of more it says how many."""
WRAPPERS = frozenset({"module", "_orig_mod", ""})
"""What torch puts before every name of a network that DataParallel or torch.compile wrapped, and nothing."""
OPTIONAL = "num_batches_tracked"
"""A count of batch norms that changes no answer in evaluation; files of old versions of torch lack it."""
NORMALISATION = ("mean", "std")
"""Buffers of our architectures that files from elsewhere lack."""


def read(path: Path, settings: WeightsSettings) -> dict[str, Tensor]:
    """Return a file's state dict, by its own names; ModelError says what is wrong with it."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if size == 0:
        raise ModelError(f"{path}: the file is empty")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    found = _state(path, content, settings.key)
    for name, value in found.items():
        if problem := _unusable(value):
            raise ModelError(f"{path}: {name} {problem}")
    return found


def fit(trainee: Trainee, found: Mapping[str, Tensor], settings: WeightsSettings) -> None:
    """Put a state dict into a network; ModelError lists what does not fit, or names what holds no weights.

    With `settings.whole` it is all that the defense trains, else the deployed network's. What several names of the
    network share may have any of them in the file.
    """
    target = trainee if settings.whole else trainee.classifier.weights_belong_to
    wanted = target.state_dict()
    given = _named_alike(found, wanted, settings)
    if settings.mean is not None and settings.std is not None:
        for name, values in zip(NORMALISATION, (settings.mean, settings.std), strict=True):
            if name not in wanted or len(values) != wanted[name].numel():
                raise ModelError(
                    f"{settings.path}: {name} has {len(values)} values, and this network takes "
                    + (f"{wanted[name].numel()}" if name in wanted else "none: its own file normalises")
                )
            given[name] = torch.tensor(values).view_as(wanted[name])
    shared = _shared(wanted)
    missing = [
        name
        for name in wanted
        if not (name.endswith(OPTIONAL) or any(other in given for other in shared[name]))
    ]
    unexpected = [name for name in given if name not in wanted]
    both = [name for name in wanted if name in given]
    shapes = [
        f"{name} is {tuple(given[name].shape)} and should be {tuple(wanted[name].shape)}"
        for name in both
        if given[name].shape != wanted[name].shape
    ]
    kinds = [
        f"{name} is {given[name].dtype} and should be {wanted[name].dtype}"
        for name in both
        if _kind(given[name]) != _kind(wanted[name]) and not name.endswith(OPTIONAL)
    ]
    if missing or unexpected or shapes or kinds:
        raise ModelError(_misfit(settings, missing, unexpected, shapes, kinds))
    put = {name: given[name].to(wanted[name].dtype) for name in both}
    for name in both:
        if problem := _changed(name, given, put, shared[name]):
            raise ModelError(f"{settings.path}: {name} {problem}")
    try:
        target.load_state_dict(put, strict=False)
    except Exception as error:  # of a module's own that loads in its own way
        reason = (str(error).splitlines() or [""])[0]
        raise ModelError(
            f"{settings.path}: the network does not take it: {type(error).__name__}: {reason}"
        ) from error


def _unusable(value: Any) -> str:
    """Return why an entry of a file is no weights that can be put into a network; empty where it is."""
    if not isinstance(value, Tensor):
        return (
            f"is {_type(value)}, which a module keeps beside its tensors (get_extra_state); only tensors are read. "
            "Make it a buffer of the network where answers depend on it, and take it out of the file"
        )
    if value.layout != torch.strided or value.is_nested:
        return f"is no dense tensor ({value.layout}); save it as one: tensor.to_dense()"
    if value.is_quantized or (value.is_floating_point() and value.dtype not in FLOATS):
        return f"is {value.dtype}; weights should be floats of 16, 32 or 64 bits, not quantised"
    if value.is_meta:
        return "has a shape and no values (it was saved from the device meta)"
    if not bool(value.isfinite().all()):
        return "holds NaN or infinity, so nothing can be predicted with it"
    return ""


def _changed(name: str, given: Mapping[str, Tensor], put: Mapping[str, Tensor], same: Sequence[str]) -> str:
    """Return why the network cannot take a tensor's values as they are; empty where it can.

    put: the tensors in the network's own precision. same: the names that are one tensor in the network.
    """
    value, held = given[name], put[name]
    if name.endswith(OPTIONAL):
        return ""
    if not bool((held.isfinite() if held.is_floating_point() else held == value).all()):
        return (
            f"holds values that are too large for the network's {held.dtype} ({float(value.abs().max()):g}): "
            "was it trained to an end, and saved whole?"
        )
    if name.endswith("running_var") and bool((held < 0).any()):
        return "holds negative variances, of which no root can be taken"
    for other in same:
        if other in put and not torch.equal(put[other], held):
            return f"and {other} are one tensor in the network, and two that differ in the file"
    return ""


def _shared(wanted: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Return, for each name of a network's, all names of the same tensor: a layer that stands in two places."""
    places: dict[Any, list[str]] = {}
    for name, tensor in wanted.items():
        alone = name if tensor.numel() == 0 else ""
        place = (tensor.data_ptr(), tensor.shape, tensor.stride(), alone)
        places.setdefault(place, []).append(name)
    return {name: names for names in places.values() for name in names}


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


def _state(path: Path, content: Any, key: str | None) -> dict[str, Any]:
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
            f"{path}: holds no state dict, a mapping of names to tensors (it is {_type(content)})"
        )
    if len(states) > 1:
        raise ModelError(
            f"{path}: holds several state dicts; choose one with `key`: {', '.join(sorted(states))}"
        )
    return next(iter(states.values()))


def _states(content: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every mapping of names to tensors, with its place in the file; beside them may stand modules' own state."""
    if not isinstance(content, Mapping):
        return
    named = all(isinstance(name, str) for name in content)
    tensors = [isinstance(value, Tensor) for value in content.values()]
    if named and any(tensors):
        others = [name for name, tensor in zip(content, tensors, strict=True) if not tensor]
        if all(name.endswith(EXTRA) for name in others):
            yield place, dict(content)
            return
    for name, value in content.items():
        if isinstance(name, str):
            yield from _states(value, f"{place}.{name}" if place else name)


def _named_alike(
    found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], settings: WeightsSettings
) -> dict[str, Tensor]:
    """Return a state dict by the network's names, as far as it has them.

    First words that all names have in common (torch's WRAPPERS, a larger module's) are taken away, and WRAPPERS that
    the network's names have are put before them, as far as more names fit then. `settings.names` is applied to what is
    left of the file's.
    """
    forms = [
        [(outer + _renamed(name.removeprefix(inner), settings.names), name) for name in found]
        for inner in _common_words(found)
        for outer in _common_words(wanted)
        if set(outer.split(".")) <= WRAPPERS
    ]
    fits = [len({new for new, _ in form} & wanted.keys()) for form in forms]
    best = fits.index(max(fits))
    named: dict[str, Tensor] = {}
    for new, old in forms[best]:
        if new in named:
            raise ModelError(f"{settings.path}: `names` makes two entries {new!r}, one of them of {old!r}")
        named[new] = found[old]
    return named


def _common_words(names: Iterable[str]) -> list[str]:
    """Return what all names begin with, word by word: nothing, `module.`, `module.net.`"""
    left, found = list(names), [""]
    while left and all("." in name for name in left) and len({name.partition(".")[0] for name in left}) == 1:
        found.append(f"{found[-1]}{left[0].partition('.')[0]}.")
        left = [name.partition(".")[2] for name in left]
    return found


def _renamed(name: str, names: Mapping[str, str]) -> str:
    """Return a name changed by regular expressions, one after the other."""
    for pattern, words in names.items():
        name = re.sub(pattern, words, name)
    return name


def _misfit(
    settings: WeightsSettings,
    missing: Sequence[str],
    unexpected: Sequence[str],
    shapes: Sequence[str],
    kinds: Sequence[str],
) -> str:
    titles = ("missing", missing), ("unexpected", unexpected), ("of another shape", shapes)
    parts = [
        f"{title} ({len(names)}): {_listed(names)}"
        for title, names in (*titles, ("of another type", kinds))
        if names
    ]
    hint = ""
    if set(missing) >= set(NORMALISATION):
        hint += " Its normalisation is said with `mean` and `std` under `weights`."
    if any(name.startswith(("classifier.", "auxiliary.")) for name in unexpected):
        hint += " A file of all that a defense trains needs `whole: true`."
    elif missing and unexpected:
        hint += " Names are changed with `names` under `weights`."
    if kinds:
        hint += " Save the network's own weights, not quantised ones."
    return f"{settings.path}: does not fit the network. {'; '.join(parts)}.{hint}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _kind(tensor: Tensor) -> str:
    if tensor.dtype == torch.bool or tensor.is_complex():
        return str(tensor.dtype)
    return "float" if tensor.is_floating_point() else "whole"


def _type(value: Any) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
