"""Cheaper passes through a network that stands still, for the many gradients that an attack asks for.

While parameters need no gradient and batch norms no statistics, three kinds of layers have the same outputs and
the same gradients, up to float rounding, at a lower price on a CPU:

- PReLU without its weight's gradient;
- BatchNorm2d as one multiply-add; straight behind a Conv2d in a Sequential, inside that convolution's weights;
- a convolution of few channels (the first one), whose input gradient is a matrix product and shifted sums.

Whatever is not surely one of these cases passes as before: subclasses, layers with a forward of their own,
parameters that want a gradient, training mode, autocast, other devices. Hooks of layers run, those between a
convolution and its batch norm too. Weights are read at every pass; nothing is kept from one to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules import module as layers

FEW_CHANNELS = 3
"""Up to so many input channels the matrix product gains over `convolution_backward`."""
COLUMNS = 2**22
"""Numbers that such a product may hold at once: 16 MiB."""


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


def _prelu(layer: nn.PReLU, maps: Tensor) -> Tensor:
    weight = layer.weight
    if not _still(maps, weight) or maps.ndim < 2 or len(weight) not in (1, maps.shape[1]):
        return nn.PReLU.forward(layer, maps)
    return cast(Tensor, _FrozenPReLU.apply(maps, weight.view(-1, *[1] * (maps.ndim - 2))))


def _batch_norm(layer: nn.BatchNorm2d, maps: Tensor) -> Tensor:
    if not _still(maps, layer.weight, layer.bias) or not _applies(layer, maps):
        return nn.BatchNorm2d.forward(layer, maps)
    scale, shift = _scale_and_shift(layer)
    return torch.addcmul(shift[:, None, None], maps, scale[:, None, None])


def _convolution(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    if not _still(maps, layer.weight, layer.bias) or not _has_few_channels(layer, maps):
        return nn.Conv2d.forward(layer, maps)
    return _convolve(layer, maps, layer.weight, layer.bias)


def _sequence(sequence: nn.Sequential, maps: Any) -> Any:
    modules = list(sequence)
    position = 0
    while position < len(modules):
        layer, position = modules[position], position + 1
        follower = modules[position] if position < len(modules) else None
        if _joined(layer, follower, maps):
            assert isinstance(layer, nn.Conv2d)
            assert isinstance(follower, nn.BatchNorm2d)
            scale, shift = _scale_and_shift(follower)
            bias = shift if layer.bias is None else torch.addcmul(shift, layer.bias, scale)
            maps = _convolve(layer, maps, layer.weight * scale[:, None, None, None], bias)
            position += 1
        else:
            maps = layer(maps)
    return maps


FORWARDS: dict[type[nn.Module], Callable[..., Any]] = {
    nn.PReLU: _prelu,
    nn.BatchNorm2d: _batch_norm,
    nn.Conv2d: _convolution,
    nn.Sequential: _sequence,
}
"""By exact type: a subclass may mean something else."""


def _still(maps: Any, *parameters: Tensor | None) -> bool:
    """Tell whether parameters are constants for maps of their own kind on a CPU."""
    if not isinstance(maps, Tensor) or maps.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    return all(
        p is None or (p.dtype == maps.dtype and p.device == maps.device and not p.requires_grad)
        for p in parameters
    )


def _applies(layer: nn.BatchNorm2d, maps: Tensor) -> bool:
    """Tell whether a batch norm is an affine function here, of maps that fit it."""
    mean, fits = layer.running_mean, maps.ndim == 4 and maps.shape[1] == layer.num_features
    return fits and not layer.training and mean is not None and mean.dtype == maps.dtype


def _scale_and_shift(layer: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return what a batch norm in evaluation mode multiplies each channel with and adds to it: (C,) and (C,)."""
    mean, variance = layer.running_mean, layer.running_var
    assert mean is not None
    assert variance is not None
    scale = (variance + layer.eps).rsqrt()
    if layer.affine:
        scale = scale * layer.weight
        return scale, torch.addcmul(layer.bias, mean, scale, value=-1)
    return scale, -mean * scale


def _has_few_channels(layer: nn.Conv2d, maps: Tensor) -> bool:
    if layer.in_channels > FEW_CHANNELS or maps.ndim != 4 or maps.shape[1] != layer.in_channels:
        return False
    if layer.padding_mode != "zeros" or layer.groups != 1 or isinstance(layer.padding, str):
        return False
    reaches = all(pad < size for pad, size in zip(layer.padding, layer.kernel_size, strict=True))
    return reaches and layer.stride == (1, 1) and layer.dilation == (1, 1)


def _convolve(layer: nn.Conv2d, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if maps.requires_grad and _has_few_channels(layer, maps):
        return cast(Tensor, _FrozenConvolution.apply(maps, weight, bias, layer.padding))
    return layer._conv_forward(maps, weight, bias)


def _joined(layer: nn.Module, follower: nn.Module | None, maps: Any) -> bool:
    """Tell whether two layers of a sequence are a convolution and its batch norm, with nobody in between."""
    if type(layer) is not nn.Conv2d or type(follower) is not nn.BatchNorm2d:
        return False
    if _watched(layer) or _watched(follower):
        return False
    if not _still(maps, layer.weight, layer.bias, follower.weight, follower.bias):
        return False
    mean, fits = follower.running_mean, layer.out_channels == follower.num_features
    return fits and not follower.training and mean is not None and mean.dtype == maps.dtype


def _watched(layer: nn.Module) -> bool:
    """Tell whether a layer has hooks, or a forward that is not the one set here."""
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    forward = getattr(layer.forward, "__func__", None)
    return any(hooks) or layers._has_any_global_hook() or forward is not FORWARDS[type(layer)]


class _FrozenPReLU(torch.autograd.Function):
    """PReLU by operations that are vectorised; rounds as PReLU does."""

    generate_vmap_rule = True

    @staticmethod
    def forward(maps: Tensor, slope: Tensor) -> Tensor:
        return maps.clamp_min(0).addcmul_(maps.clamp_max(0), slope)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        maps, slope = ctx.saved_tensors
        positive = torch.ops.aten.threshold_backward(gradient, maps, 0)
        return torch.addcmul(positive, gradient - positive, slope), None


class _FrozenConvolution(torch.autograd.Function):
    """A convolution of stride 1; the gradient to its input sums, for every place in the kernel, a shifted map."""

    generate_vmap_rule = True

    @staticmethod
    def forward(maps: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
        return functional.conv2d(maps, weight, bias, padding=padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        maps, weight, _, ctx.padding = inputs
        ctx.size = maps.shape[2:]
        ctx.save_for_backward(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,) = ctx.saved_tensors
        return _spread(gradient, weight, ctx.padding, ctx.size), None, None, None


def _spread(gradient: Tensor, weight: Tensor, padding: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return a convolution's input gradient (N, C, *size).

    gradient: (N, O, H, W), channels last where it costs least. weight: (O, C, h, w).
    """
    outputs, channels, tall, wide = weight.shape
    count, _, height, width = gradient.shape
    matrix = weight.permute(2, 3, 1, 0).reshape(-1, outputs)
    rows = gradient.permute(0, 2, 3, 1)
    spread = gradient.new_zeros(channels, count, height + tall - 1, width + wide - 1)
    step = max(1, COLUMNS // (len(matrix) * height * width))
    for first in range(0, count, step):
        part = rows[first : first + step]
        columns = matrix @ part.reshape(-1, outputs).t()
        columns = columns.view(tall, wide, channels, len(part), height, width)
        target = spread[:, first : first + step]
        for i in range(tall):
            for j in range(wide):
                target[:, :, i : i + height, j : j + width] += columns[i, j]
    (top, left), (inner_height, inner_width) = padding, size
    return spread[:, :, top : top + inner_height, left : left + inner_width].transpose(0, 1)
