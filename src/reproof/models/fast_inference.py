"""Cheaper passes through a network that stands still, for the many gradients that an attack asks for.

While parameters need no gradient and batch norms no statistics, three kinds of layers have the same outputs and
the same gradients, up to float rounding, at a lower price on a CPU:

- PReLU, without its weight's gradient, where the maps are large and want one;
- BatchNorm2d as one multiply-add; straight behind a Conv2d in a Sequential, inside that convolution's weights;
- a convolution of few channels (the first one), whose input gradient is a matrix product and shifted sums.

Whatever is not surely one of these cases passes as before: subclasses, layers with a forward of their own,
parameters that want a gradient, training mode, autocast, torch.func, other devices. Hooks of layers run; a
convolution and a batch norm of which either has one stay apart. Weights are read at every pass; nothing is kept
from one to the next.
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
PART = 2**16
"""Numbers that a PReLU treats at once, 256 KiB; of fewer PyTorch's own is cheaper."""
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


# Torch's layers name what they are given `input`.


def _prelu(layer: nn.PReLU, input: Tensor) -> Tensor:
    weight = layer.weight
    gains = torch.is_grad_enabled() and input.requires_grad and input.numel() >= PART
    if not gains or not _still(input, weight) or input.ndim < 2 or len(weight) not in (1, input.shape[1]):
        return nn.PReLU.forward(layer, input)
    return cast(Tensor, _FrozenPReLU.apply(input, weight.view(-1, *[1] * (input.ndim - 2))))


def _batch_norm(layer: nn.BatchNorm2d, input: Tensor) -> Tensor:
    still = _still(input, layer.weight, layer.bias)
    if not still or input.ndim != 4 or not _applies(layer, input, input.shape[1]):
        return nn.BatchNorm2d.forward(layer, input)
    scale, shift = _scale_and_shift(layer)
    return torch.addcmul(shift[:, None, None], input, scale[:, None, None])


def _convolution(layer: nn.Conv2d, input: Tensor) -> Tensor:
    if not _still(input, layer.weight, layer.bias) or not _has_few_channels(layer, input):
        return nn.Conv2d.forward(layer, input)
    return _convolve(layer, input, layer.weight, layer.bias)


def _sequence(sequence: nn.Sequential, input: Any) -> Any:
    modules = list(sequence)
    position = 0
    while position < len(modules):
        layer, position = modules[position], position + 1
        follower = modules[position] if position < len(modules) else None
        if _joined(layer, follower, input):
            assert isinstance(layer, nn.Conv2d)
            assert isinstance(follower, nn.BatchNorm2d)
            scale, shift = _scale_and_shift(follower)
            bias = shift if layer.bias is None else torch.addcmul(shift, layer.bias, scale)
            input = _convolve(layer, input, layer.weight * scale[:, None, None, None], bias)
            position += 1
        else:
            input = layer(input)
    return input


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
    if torch._C._are_functorch_transforms_active():
        return False
    return all(
        p is None or (p.dtype == maps.dtype and p.device == maps.device and not p.requires_grad)
        for p in parameters
    )


def _applies(layer: nn.BatchNorm2d, maps: Tensor, channels: int) -> bool:
    """Tell whether a batch norm is an affine function here, of so many channels that come of `maps`."""
    mean, fits = layer.running_mean, maps.ndim == 4 and channels == layer.num_features
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
    return cast(Tensor, layer._conv_forward(maps, weight, bias))


def _joined(layer: nn.Module, follower: nn.Module | None, maps: Any) -> bool:
    """Tell whether two layers of a sequence are a convolution and its batch norm, with nobody in between."""
    if type(layer) is not nn.Conv2d or type(follower) is not nn.BatchNorm2d:
        return False
    if _watched(layer) or _watched(follower):
        return False
    if not _still(maps, layer.weight, layer.bias, follower.weight, follower.bias):
        return False
    return _applies(follower, maps, layer.out_channels)


def _watched(layer: nn.Module) -> bool:
    """Tell whether a layer has hooks, or a forward that is not the one set here."""
    own = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    everywhere = (
        layers._global_forward_hooks,
        layers._global_forward_pre_hooks,
        layers._global_backward_hooks,
        layers._global_backward_pre_hooks,
    )
    forward = getattr(layer.forward, "__func__", None)
    return any(own) or any(everywhere) or forward is not FORWARDS[type(layer)]


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


class _FrozenConvolution(torch.autograd.Function):
    """A convolution of stride 1; the gradient to its input sums, for every place in the kernel, a shifted map."""

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]
    ) -> Tensor:
        ctx.padding, ctx.size = padding, maps.shape[2:]
        ctx.save_for_backward(weight)
        return functional.conv2d(maps, weight, bias, padding=padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (weight,), (gradient,) = ctx.saved_tensors, gradients
        return _spread(gradient, weight, ctx.padding, ctx.size), None, None, None


def _parts(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield tensors of one shape (N, ...) a few images at a time."""
    step = max(1, PART // max(1, tensors[0][:1].numel()))
    return zip(*(torch.split(tensor, step) for tensor in tensors), strict=True)


def _like(spare: Tensor | None, part: Tensor) -> Tensor:
    """Return memory for one part: what the part before had, where there is enough of it."""
    return torch.empty_like(part) if spare is None else spare[: len(part)]


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
