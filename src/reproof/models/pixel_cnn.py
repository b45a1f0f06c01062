"""A PixelCNN over grey levels, and the greedy search for likely images that it allows (PixelDefend).

A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu. Pixel Recurrent Neural Networks. ICML 2016: masked convolutions
and residual blocks. T. Salimans, A. Karpathy, X. Chen, D. P. Kingma. PixelCNN++. ICLR 2017: the discretised mixture of
logistics. P. Ramachandran et al. Fast Generation for Convolutional Autoregressive Models. ICLR 2017 (workshop): what
every layer has computed is kept, so that a step computes each layer at one pixel alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_SMALLEST_SCALE = 0.05
"""Smallest scale of a logistic, in grey levels; the level it lies on then has all of its probability."""


class CausalConv2d(nn.Module):
    """A convolution whose output at a pixel sees rows above it, what is left of it, and of itself some channels.

    Features lie in as many groups as there are colours. At the pixel itself group g sees groups up to g, or, with
    `strict`, up to g - 1: masks B and A of van den Oord 2016, Sec. 3.4. The kernel's rows below the pixel, which
    the masks would make zero, are left out.
    """

    def __init__(self, inputs: int, outputs: int, radius: int, groups: int, *, strict: bool):
        super().__init__()
        self.radius = radius
        kernel = nn.Conv2d(inputs, outputs, (radius + 1, 2 * radius + 1))
        mask = torch.ones_like(kernel.weight)
        mask[:, :, radius, radius + 1 :] = 0
        into, out_of = torch.arange(outputs) * groups // outputs, torch.arange(inputs) * groups // inputs
        seen = out_of < into[:, None] if strict else out_of <= into[:, None]
        mask[:, :, radius, radius] = seen.float()
        self.mask: Tensor
        self.register_buffer("mask", mask, persistent=False)
        self.weight = nn.Parameter(
            kernel.weight.detach() * (3 * mask.numel() / mask.sum().clamp(min=1)).sqrt()
        )
        self.bias = nn.Parameter(
            kernel.bias.detach().clone() if kernel.bias is not None else torch.zeros(outputs)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, outputs, H, W) of maps (N, inputs, H, W); beyond the edge everything is 0."""
        padded = nn.functional.pad(maps, (self.radius, self.radius, self.radius, 0)) if self.radius else maps
        return nn.functional.conv2d(padded, self.weight * self.mask, self.bias)


class Block(nn.Module):
    """A residual block: a 3 x 3 and a 1 x 1 convolution, each after a ReLU."""

    def __init__(self, size: int, groups: int):
        super().__init__()
        self.look = CausalConv2d(size, size, 1, groups, strict=False)
        self.add = CausalConv2d(size, size, 0, groups, strict=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, size, H, W) of maps of that shape."""
        found: Tensor = self.add(self.look(maps.relu()).relu())
        return maps + found


class PixelCNN(nn.Module):
    """p(x) = Π p(level | levels before it), in raster order, the colours of a pixel one after the other.

    A strict convolution, residual blocks and a 1 x 1 convolution that gives each value
    a mixture of logistics over the levels. Levels are float tensors that hold whole numbers from 0 to `levels` - 1.
    """

    def __init__(self, channels: int, *, levels: int, width: int, blocks: int, radius: int, mixtures: int):
        super().__init__()
        self.channels, self.levels, self.mixtures = channels, levels, mixtures
        hidden = width * channels
        self.first = CausalConv2d(channels, hidden, radius, channels, strict=True)
        self.blocks = nn.ModuleList(Block(hidden, channels) for _ in range(blocks))
        self.last = CausalConv2d(hidden, channels * 3 * mixtures, 0, channels, strict=False)
        with torch.no_grad():
            # The mixture begins spread over the levels, whatever the image.
            self.last.weight.mul_(0.3)
            start = self.last.bias.view(channels, 3, mixtures).zero_()
            start[:, 1] = torch.linspace(-1, 1, mixtures + 2)[1:-1]

    def forward(self, levels: Tensor) -> Tensor:
        """Return the mixtures' parameters (N, C, 3, K, H, W) of levels (N, C, H, W); see `log_probability`."""
        maps = self.first(self._centred(levels))
        for block in self.blocks:
            maps = block(maps)
        found: Tensor = self.last(maps.relu())
        return found.view(-1, self.channels, 3, self.mixtures, *levels.shape[2:])

    def negative_log_likelihood(self, levels: Tensor) -> Tensor:
        """Return -log p(x) of levels (N, C, H, W), per image, in nats for each of the C·H·W values."""
        logarithms = log_probability(self(levels).movedim(2, 0), levels.unsqueeze(2), self.levels, dim=2)
        return -logarithms.flatten(1).mean(dim=1)

    def purify(self, values: Tensor, reach: float) -> Tensor:
        """Return each value's most probable level within `reach`, found in raster order (Song 2018, Alg. 1).

        values: (N, C, H, W) in levels, not necessarily whole; reach: in levels, at least a half. Every choice is
        made after those before it. Computed in double precision, so that no choice depends on the batch.
        """
        search = _Search(self, values.double(), reach)
        _, channels, height, width = values.shape
        for row in range(height):
            for column in range(width):
                for channel in range(channels):
                    search.choose(channel, row, column)
        return search.levels()

    def _centred(self, levels: Tensor) -> Tensor:
        return levels * (2 / (self.levels - 1)) - 1


class _Search:
    """The state of a greedy search: the levels chosen so far, and what each layer has computed of them.

    A layer's inputs are kept as (N, H + r, W + 2r, features) with the zeros of its padding, so that what one pixel
    sees is a slice, and the layer at that pixel is a product of matrices. Features of colours that are still to be
    chosen are not yet right; the masks keep every product from them until they are.
    """

    def __init__(self, model: PixelCNN, values: Tensor, reach: float):
        self.model = model
        count, _, height, width = values.shape
        self.low = (values - reach).ceil().clamp(min=0)
        self.high = (values + reach).floor().clamp(max=model.levels - 1)
        self.offsets = torch.arange(int((self.high - self.low).max()) + 1, device=values.device)
        self.layers = []
        blocks = [block for block in model.blocks if isinstance(block, Block)]
        for layer in (model.first, *(block.look for block in blocks)):
            inputs = layer.weight.shape[1]
            shape = (count, height + layer.radius, width + 2 * layer.radius, inputs)
            self.layers.append((layer.radius, values.new_zeros(shape), *_matrix(layer)))
        self.add = [_matrix(block.add) for block in blocks]
        self.last = _matrix(model.last)

    def choose(self, channel: int, row: int, column: int) -> None:
        """Choose the level of one value of every image, after all those before it have been chosen."""
        maps = self._layer(0, row, column)
        for index, (weight, bias) in enumerate(self.add, start=1):
            radius, cache, *_ = self.layers[index]
            cache[:, row + radius, column + radius] = maps.relu()
            maps = maps + torch.addmm(bias, self._layer(index, row, column).relu(), weight)
        size = 3 * self.model.mixtures
        weight, bias = (part[..., channel * size : (channel + 1) * size] for part in self.last)
        found = torch.addmm(bias, maps.relu(), weight).view(-1, 3, self.model.mixtures, 1).movedim(1, 0)
        candidates = self.low[:, channel, row, column, None] + self.offsets
        logarithms = log_probability(found, candidates.unsqueeze(1), self.model.levels, dim=1)
        outside = candidates > self.high[:, channel, row, column, None]
        best = logarithms.masked_fill(outside, -torch.inf).argmax(dim=1, keepdim=True)
        radius, cache, *_ = self.layers[0]
        chosen = self.model._centred(candidates.gather(1, best).squeeze(1))
        cache[:, row + radius, column + radius, channel] = chosen

    def levels(self) -> Tensor:
        """Return the levels chosen so far (N, C, H, W), as float64; unchosen ones are the middle level."""
        radius, cache, *_ = self.layers[0]
        inner = cache[:, radius:, radius : cache.shape[2] - radius]
        return ((inner.permute(0, 3, 1, 2) + 1) * ((self.model.levels - 1) / 2)).round()

    def _layer(self, index: int, row: int, column: int) -> Tensor:
        """Return a convolution's output (N, features) at one pixel."""
        radius, cache, weight, bias = self.layers[index]
        seen = cache[:, row : row + radius + 1, column : column + 2 * radius + 1]
        return torch.addmm(bias, seen.flatten(1), weight)


def log_probability(mixture: Tensor, levels: Tensor, count: int, dim: int) -> Tensor:
    """Return log P(level) under mixtures of logistics, each rounded to the nearest of `count` levels.

    mixture: (3, ...): logits of the weights, means (-1 the darkest level, 1 the brightest) and logarithms of the
    scales, with the components along `dim` of what is left. levels: whole numbers, of a shape that broadcasts, with
    size 1 along `dim`, which goes. The darkest and the brightest level get the tails (Salimans 2017, Eq. 2).
    """
    weights, means, scales = mixture.to(torch.promote_types(mixture.dtype, torch.float32)).unbind(0)
    half = (count - 1) / 2
    inverse = 1 / (half / 8 * scales.exp()).clamp(_SMALLEST_SCALE, 8 * half)
    centre = half + half * means
    below, above = (levels - 0.5 - centre) * inverse, (levels + 0.5 - centre) * inverse
    # log(σ(above) - σ(below)), without a difference of nearly equal numbers
    log_below, log_above = nn.functional.logsigmoid(-below), nn.functional.logsigmoid(above)
    between = log_below + log_above + (-torch.expm1(-inverse)).log()
    inside = torch.where(levels == 0, log_above, torch.where(levels == count - 1, log_below, between))
    return torch.logsumexp(weights.log_softmax(dim=dim) + inside, dim=dim)


def _matrix(layer: CausalConv2d) -> tuple[Tensor, Tensor]:
    """Return a convolution as a matrix (r + 1 · 2r + 1 · inputs, outputs) and a bias, in double precision."""
    kernel = (layer.weight * layer.mask).detach().double()
    return kernel.permute(2, 3, 1, 0).flatten(0, 2).contiguous(), layer.bias.detach().double()
