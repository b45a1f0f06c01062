"""A pretend accelerator: tensors that say they live on another device, and refuse to meet those of the processor.

Their numbers lie in ordinary memory, so that results are the processor's. Where a real GPU raises, so does this one:
operations on tensors of both sides, indices on the GPU into what is not, generators of the other side, `numpy()`. As on
CUDA, a tensor of the processor may take part where it has no dimension and the operation goes element by element, and
where it indexes. Its name is that of a device type whose backward passes torch runs in the calling thread, and of which
no backend is built in: nothing is registered with torch, and a process that is through with it is as before.

    with pretending():
        network.to(DEVICE)(images.to(DEVICE))

Autocast does nothing on it, and inference mode is `no_grad` there: torch knows neither for such tensors.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("lazy", 0)
MOVES = ("aten::_to_copy", "aten::copy_", "aten::_copy_from")
"""Operations that carry numbers from one side to the other."""
INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
"""Their indices may lie with the processor, whatever they index."""
TAKES_NUMBERS = ("aten::masked_fill", "aten::masked_fill_", "aten::fill", "aten::fill_", *INDEXING)
"""Operations beside those element by element to which a tensor without a dimension is a number."""


class MixedDevicesError(RuntimeError):
    """Tensors, or a generator, of both sides met."""


class RemoteTensor(torch.Tensor):
    """A tensor that says it is on DEVICE; `numbers` holds its numbers."""

    numbers: Tensor

    @staticmethod
    def __new__(cls, numbers: Tensor) -> RemoteTensor:
        remote: RemoteTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            numbers.size(),
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=DEVICE,
        )
        remote.numbers = numbers
        return remote

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, RemoteTensor):
            raise MixedDevicesError("data: a tensor of the processor was given to one on the accelerator")
        torch.Tensor.data.__set__(self, value)
        self.numbers = value.numbers

    def tolist(self) -> Any:
        """Return the numbers, which a GPU's tensor fetches by itself."""
        return self.numbers.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        """Raise, as a GPU's tensor does: whoever wants an array asks for `cpu()` first."""
        raise TypeError("can't convert a tensor on the accelerator to numpy; use Tensor.cpu() first")

    def __repr__(self, **_: Any) -> str:
        return f"{self.numbers!r} on {DEVICE}"


RemoteTensor.__module__ = "torch"  # eagerpy, which Foolbox stands on, tells frameworks apart by it

GENERATOR = torch.Generator
_owners: dict[int, tuple[torch.Generator, torch.device]] = {}
"""Address of a generator -> the generator, and the device that it was made for."""


def _run(func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """Run an operation on the numbers and return its result on the side where a GPU would leave it."""
    name = func._schema.name
    tensors = [*_tensors(args), *_tensors(kwargs.values())]
    remote = [one for one in tensors if isinstance(one, RemoteTensor)]
    on_device = bool(remote)
    if remote and len(remote) < len(tensors) and name not in MOVES:
        _refuse_mixed(func, name, args, tensors)
    if kwargs.get("device") is not None:
        on_device = _is_ours(kwargs["device"])
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if _draws(func):
        _refuse_foreign_generator(name, [*args, *kwargs.values()], on_device)
    shapes = [one.numbers.shape for one in remote]
    result = func(*_map(_numbers, args), **{key: _map(_numbers, value) for key, value in kwargs.items()})
    if [one.numbers.shape for one in remote] != shapes:
        raise NotImplementedError(f"{name} gives a tensor another shape in its place")
    if name == "aten::copy_":
        return args[0]
    if not on_device:
        return result
    known = {id(one.numbers): one for one in remote}

    def wrap(value: Tensor) -> Tensor:
        there = known.get(id(value))
        return RemoteTensor(value) if there is None else there

    return _map(wrap, result)


def _refuse_mixed(func: Any, name: str, args: Any, tensors: list[Tensor]) -> None:
    """Raise where tensors of the processor meet those of the accelerator, unless CUDA lets them."""
    local = [one for one in tensors if not isinstance(one, RemoteTensor)]
    if name in INDEXING and isinstance(args[0], RemoteTensor):
        indices = {id(one) for one in args[1] if one is not None}
        local = [one for one in local if id(one) not in indices]
    takes_numbers = torch.Tag.pointwise in func.tags or name in TAKES_NUMBERS
    written = args[0] if name.endswith("_") else None
    for one in local:
        if one.dim() > 0 or not takes_numbers or one is written:
            raise MixedDevicesError(
                f"{name}: a tensor of shape {tuple(one.shape)} on the processor meets one on the accelerator"
            )


@functools.cache
def _draws(func: Any) -> bool:
    """Say whether an operation takes a generator."""
    return any(argument.name == "generator" for argument in func._schema.arguments)


def _refuse_foreign_generator(name: str, values: list[Any], on_device: bool) -> None:
    for one in values:
        if isinstance(one, GENERATOR):
            owner = _owners.get(one._cdata, (one, torch.device("cpu")))[1]
            if _is_ours(owner) != on_device:
                raise MixedDevicesError(f"{name}: the generator was made for {owner}")


def _is_ours(device: Any) -> bool:
    return torch.device(device).type == DEVICE.type


def _tensors(values: Any) -> Iterator[Tensor]:
    """Yield the tensors among an operation's arguments, which may be lists."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _map(call: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Return a value with each tensor in it replaced."""
    if isinstance(value, Tensor):
        return call(value)
    if isinstance(value, list | tuple):
        return type(value)(_map(call, one) for one in value)
    return value


def _numbers(value: Tensor) -> Tensor:
    return value.numbers if isinstance(value, RemoteTensor) else value


class _Factories(TorchDispatchMode):
    """Sends here what makes tensors on DEVICE, and what draws for the processor with a generator."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or torch imports its compiler, for a second, and every operation passes through it

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        device = kwargs.get("device")
        ours = device is not None and _is_ours(device)
        if ours or _draws(func) or any(isinstance(one, RemoteTensor) for one in _tensors(args)):
            return _run(func, args, kwargs)
        return func(*args, **kwargs)


@contextlib.contextmanager
def pretending() -> Iterator[torch.device]:
    """Let DEVICE, which is yielded, work."""
    generator, autocast, enabled = torch.Generator, torch.autocast, torch.is_autocast_enabled

    class Generator:
        """A class, since annotations use it in unions."""

        def __new__(cls, device: Any = "cpu") -> Any:
            made = generator("cpu")
            _owners[made._cdata] = made, torch.device(device)
            return made

    class Autocast:
        def __new__(cls, device_type: str, *args: Any, **kwargs: Any) -> Any:
            ours = device_type == DEVICE.type
            return contextlib.nullcontext() if ours else autocast(device_type, *args, **kwargs)

    class InferenceMode:
        def __new__(cls, mode: bool = True) -> Any:
            return torch.no_grad() if mode else torch.enable_grad()

    def is_autocast_enabled(device_type: str = "cpu") -> bool:
        return device_type != DEVICE.type and enabled(device_type)

    swaps = torch.__future__.get_swap_module_params_on_conversion()
    with (
        mock.patch.object(torch, "Generator", Generator),
        mock.patch.object(torch, "autocast", Autocast),
        mock.patch.object(torch, "is_autocast_enabled", is_autocast_enabled),
        mock.patch.object(torch, "inference_mode", InferenceMode),
        _Factories(),
    ):
        torch.__future__.set_swap_module_params_on_conversion(True)
        torch._C._set_only_lift_cpu_tensors(True)
        try:
            yield DEVICE
        finally:
            torch._C._set_only_lift_cpu_tensors(False)
            torch.__future__.set_swap_module_params_on_conversion(swaps)
            _owners.clear()
