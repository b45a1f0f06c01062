"""Cheaper passes through a network that stands still, for the many gradients that an attack asks for.

While parameters need no gradient and batch norms no statistics, two kinds of layers have the same outputs and the
same gradients, up to float rounding, at a lower price on a CPU:

- PReLU, without its weight's gradient, where the maps are large (CNN-6, 128 images: 0.8 to 0.9 of a gradient's time);
- BatchNorm2d straight behind a Conv2d in a Sequential, inside that convolution's weights (ResNet-20: 0.7 to 0.85).

Whatever is not surely one of these cases passes as before: maps that want no gradient, subclasses, layers with a
forward of their own, parameters that want a gradient, training mode, autocast, torch.func, other devices. Hooks of
layers run; a convolution and a batch norm of which either has one stay apart. Weights are read at every pass; nothing
is kept from one to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules import module as layers
from torch.nn.utils.fusion import fuse_conv_bn_weights

PART = 2**16
"""Numbers that a PReLU treats at once, 256 KiB; of fewer PyTorch's own is cheaper."""


@contextmanager
def cheaper(network: nn.Module) -> Iterator[None]:
    """Let the layers of a frozen network take their cheaper passes; afterwards they are as they were."""
    changed = []
    try:
        for layer in network.modules():
            forward = FORWARDS.get(type(layer))
            if forward is not None and "forward" not in vars(layer):
                # A method, since a deep copy of the layer then has its own.
                vars(layer)["forward"] = MethodType(forward, layer)
                changed.append(layer)
        yield
    finally:
        for layer in changed:
            vars(layer).pop("forward", None)


# Torch's layers name what they are given `input`.


def _prelu(layer: nn.PReLU, input: Tensor) -> Tensor:
    weight = layer.weight
    small = input.numel() < PART or input.ndim < 2
    if small or not _still(input, weight) or len(weight) not in (1, input.shape[1]):
        return nn.PReLU.forward(layer, input)
    return cast(Tensor, _FrozenPReLU.apply(input, weight.view(-1, *[1] * (input.ndim - 2))))


def _sequence(sequence: nn.Sequential, input: Any) -> Any:
    modules = list(sequence)
    position = 0
    while position < len(modules):
        layer, position = modules[position], position + 1
        follower = modules[position] if position < len(modules) else None
        if type(layer) is nn.Conv2d and type(follower) is nn.BatchNorm2d and _join(layer, follower, input):
            input = _joined(layer, follower, input)
            position += 1
        else:
            input = layer(input)
    return input


FORWARDS: dict[type[nn.Module], Callable[..., Any]] = {nn.PReLU: _prelu, nn.Sequential: _sequence}
"""By exact type: a subclass may mean something else."""


def _still(maps: Any, *parameters: Tensor | None) -> bool:
    """Tell whether parameters are constants for maps of their own kind, on a CPU, that want a gradient."""
    if not isinstance(maps, Tensor) or maps.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    if not maps.requires_grad or not torch.is_grad_enabled() or torch._C._are_functorch_transforms_active():
        return False
    return all(
        p is None or (p.dtype == maps.dtype and p.device == maps.device and not p.requires_grad)
        for p in parameters
    )


def _join(layer: nn.Conv2d, follower: nn.BatchNorm2d, maps: Any) -> bool:
    """Tell whether a convolution and the batch norm behind it are one convolution, with nobody in between."""
    if _watched(layer) or _watched(follower) or follower.training or follower.running_mean is None:
        return False
    if not _still(maps, layer.weight, layer.bias, follower.weight, follower.bias, follower.running_mean):
        return False
    return maps.ndim == 4 and layer.out_channels == follower.num_features


def _joined(layer: nn.Conv2d, follower: nn.BatchNorm2d, maps: Tensor) -> Tensor:
    mean, variance = follower.running_mean, follower.running_var
    assert mean is not None
    assert variance is not None
    weight, bias = fuse_conv_bn_weights(
        layer.weight, layer.bias, mean, variance, follower.eps, follower.weight, follower.bias
    )
    return cast(Tensor, layer._conv_forward(maps, weight.detach(), bias.detach()))


def _watched(layer: nn.Module) -> bool:
    """Tell whether a layer has hooks, or a forward of its own."""
    own = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    everywhere = (
        layers._global_forward_hooks,
        layers._global_forward_pre_hooks,
        layers._global_backward_hooks,
        layers._global_backward_pre_hooks,
    )
    return any(own) or any(everywhere) or "forward" in vars(layer)


class _FrozenPReLU(torch.autograd.Function):
    """PReLU by operations that are vectorised; rounds as PReLU does.

    A few images at a time, so that what lies between stays in the cache: fresh memory costs more than arithmetic.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(maps, slope)
        result = torch.empty_like(maps)
        negative = None
        for source, target in _parts(maps, result):
            negative = torch.clamp_max(source, 0, out=_like(negative, source))
            torch.clamp_min(source, 0, out=target).addcmul_(negative, slope)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        maps, slope = ctx.saved_tensors
        (gradient,) = gradients
        if torch.is_grad_enabled():
            positive = torch.ops.aten.threshold_backward(gradient, maps, 0)
            return torch.addcmul(positive, gradient - positive, slope), None
        result = torch.empty_like(maps)
        negative = None
        for source, part, target in _parts(maps, gradient, result):
            torch.ops.aten.threshold_backward(part, source, 0, grad_input=target)
            negative = torch.sub(part, target, out=_like(negative, part))
            target.addcmul_(negative, slope)
        return result, None


def _parts(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield tensors of one shape (N, ...) a few images at a time."""
    step = max(1, PART // max(1, tensors[0][:1].numel()))
    return zip(*(torch.split(tensor, step) for tensor in tensors), strict=True)


def _like(spare: Tensor | None, part: Tensor) -> Tensor:
    """Return memory for one part: what the part before had, where there is enough of it."""
    return torch.empty_like(part) if spare is None else spare[: len(part)]
