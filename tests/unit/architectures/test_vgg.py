"""VGG: layers, sizes and logits, against torchvision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from pydantic import ValidationError
from torch import nn

from reproof.architectures import vgg
from tests.network_layers import (
    copy_weights,
    count,
    describe,
    layers_of,
    randomise_statistics,
    standardise,
)


class TestVGG:
    @pytest.mark.parametrize("depth", [11, 13, 16, 19])
    @pytest.mark.parametrize("batch_norm", [True, False])
    def test_parameters_of_torchvision(self, depth: int, batch_norm: bool) -> None:
        """Apart from the biases that batch norm makes idle."""
        with torch.device("meta"):
            theirs = getattr(torchvision.models, f"vgg{depth}{'_bn' if batch_norm else ''}")()
            settings = vgg.Settings(depth=depth, batch_norm=batch_norm, global_average_pooling=False)
            ours = vgg.build(settings, describe(3, 224, classes=1000))
        idle = sum(conv.bias.numel() for conv in layers_of(theirs, nn.Conv2d)) if batch_norm else 0
        assert count(ours) == count(theirs) - idle
        assert len(layers_of(ours, nn.Conv2d)) + len(layers_of(ours, nn.Linear)) == depth
        assert len(layers_of(ours, nn.BatchNorm2d)) == (depth - 3 if batch_norm else 0)
        assert ours.feature_shapes["layer5"] == (512, 7, 7)
        assert ours.feature_shapes["penultimate"] == (4096,)

    @pytest.mark.parametrize("depth", [11, 13, 16, 19])
    @pytest.mark.parametrize("batch_norm", [True, False])
    def test_logits_of_torchvision(self, depth: int, batch_norm: bool) -> None:
        """Convolutional part of torchvision, averaged and classified, on 64 x 64 (pooled to 2 x 2)."""
        torch.manual_seed(0)
        with torch.device("meta"):
            whole = getattr(torchvision.models, f"vgg{depth}{'_bn' if batch_norm else ''}")()
        stack: nn.Module = whole.features.to_empty(device="cpu")
        for conv in layers_of(stack, nn.Conv2d):
            nn.init.kaiming_normal_(conv.weight)
            nn.init.zeros_(conv.bias) if batch_norm else nn.init.normal_(conv.bias, std=0.1)
        randomise_statistics(stack)
        classify = nn.Linear(512, 10)
        theirs = nn.Sequential(stack, nn.AdaptiveAvgPool2d(1), nn.Flatten(), classify).eval()
        ours = vgg.build(vgg.Settings(depth=depth, batch_norm=batch_norm), describe(3, 64)).eval()
        idle = {
            k for k in theirs.state_dict() if batch_norm and k.endswith("bias") and is_convolution(theirs, k)
        }
        for norm in layers_of(stack, nn.BatchNorm2d):
            norm.num_batches_tracked.zero_()
        copy_weights(ours, theirs, skip=idle)
        images = torch.rand(2, 3, 64, 64)
        with torch.no_grad():
            expected, result = theirs(standardise(images)), ours(images)
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))

    def test_pooling_of_28_rounds_up(self) -> None:
        model = vgg.build(vgg.Settings(width=1 / 32), describe(1, 28))
        sizes = [shape[1:] for shape in model.feature_shapes.values()]
        assert sizes == [(14, 14), (7, 7), (4, 4), (2, 2), (1, 1), ()]

    def test_dropout_is_off_when_evaluating(self) -> None:
        torch.manual_seed(0)
        settings = vgg.Settings(depth=11, width=1 / 16, global_average_pooling=False)
        model = vgg.build(settings, describe(1, 28))
        images = torch.rand(4, 1, 28, 28)
        assert [layer.p for layer in layers_of(model, nn.Dropout)] == [0.5, 0.5]
        assert not torch.equal(model.train()(images), model(images))
        assert torch.equal(model.eval()(images), model(images))

    @pytest.mark.parametrize("stanza", [{"depth": 12}, {"dropout": 1}, {"batch_norm": 1}, {"width": -1}])
    def test_what_does_not_fit_is_refused(self, stanza: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match=next(iter(stanza))):
            vgg.Settings.model_validate(stanza)

    def test_key(self) -> None:
        assert vgg.Settings(depth=16).key("vgg") == "vgg16"


def is_convolution(module: nn.Module, key: str) -> bool:
    return isinstance(module.get_submodule(key.rpartition(".")[0]), nn.Conv2d)
