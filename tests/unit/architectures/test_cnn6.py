"""CNN-6: layers and sizes against Mustafa's Table 1."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from reproof.architectures import cnn6
from reproof.errors import StudyError
from tests.network_layers import (
    count,
    describe,
    layers_of,
    receptive_field,
    standardise,
)


class TestCNN6:
    def test_parameters_by_hand(self) -> None:
        """Weights + biases + one slope per channel or unit (Mustafa, Table 1, 28 x 28, one channel)."""
        blocks = [
            (1 * 25 * 32 + 32 + 32) + (32 * 25 * 32 + 32 + 32),
            (32 * 25 * 64 + 64 + 64) + (64 * 25 * 64 + 64 + 64),
            (64 * 25 * 128 + 128 + 128) + (128 * 25 * 128 + 128 + 128),
            128 * 3 * 3 * 512 + 512 + 512,
            512 * 64 + 64 + 64,
            64 * 10 + 10,
        ]
        model = cnn6.build(cnn6.Settings(), describe(1, 28))
        assert [count(part) for part in model.children()] == blocks
        assert count(model) == 1_419_690

    def test_shapes_of_table_1(self) -> None:
        model = cnn6.build(cnn6.Settings(), describe(1, 28))
        assert model.feature_shapes == {
            "layer1": (32, 14, 14),
            "layer2": (64, 7, 7),
            "layer3": (128, 3, 3),
            "layer4": (512,),
            "layer5": (64,),
        }

    def test_width_reaches_every_layer(self) -> None:
        model = cnn6.build(cnn6.Settings(width=0.25), describe(1, 28))
        assert [shape[0] for shape in model.feature_shapes.values()] == [8, 16, 32, 128, 16]

    def test_logits_against_plain_operations(self) -> None:
        torch.manual_seed(0)
        model = cnn6.build(cnn6.Settings(width=0.25), describe(1, 28)).double()
        for prelu in layers_of(model, nn.PReLU):
            nn.init.uniform_(prelu.weight, -0.5, 0.5)
        images = torch.rand(3, 1, 28, 28, dtype=torch.float64)
        parameters = iter([value for key, value in model.state_dict().items() if key not in {"mean", "std"}])
        maps = standardise(images)
        for _ in range(3):
            for _ in range(2):
                maps = nn.functional.conv2d(maps, next(parameters), next(parameters), padding=2)
                maps = torch.where(maps >= 0, maps, maps * next(parameters).view(1, -1, 1, 1))
            n, c, h, w = maps.shape
            maps = maps[:, :, : h // 2 * 2, : w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2).amax((3, 5))
        vector = maps.reshape(3, -1)
        for _ in range(2):
            vector = vector @ next(parameters).T + next(parameters)
            vector = torch.where(vector >= 0, vector, vector * next(parameters))
        expected = vector @ next(parameters).T + next(parameters)
        torch.testing.assert_close(model(images), expected, rtol=1e-9, atol=1e-9)

    def test_too_small_images_are_refused(self) -> None:
        with pytest.raises(StudyError, match="8 x 8"):
            cnn6.build(cnn6.Settings(), describe(1, 7, 28))


@pytest.mark.parametrize(
    ("feature", "reach"),
    [
        # r' = r + (kernel - 1) * jump, the jump doubling at each pooling: 5, 9, then the pool's 10
        ("layer1", 10),
        # from 10 at jump 2: 18, 26, then the pool's 28
        ("layer2", 28),
        # from 28 at jump 4: 44, 60, then the pool's 64
        ("layer3", 64),
    ],
)
def test_receptive_fields_of_cnn6(feature: str, reach: int) -> None:
    """A max pooling lets one of its pixels through only, so that average pooling stands in for it."""
    torch.manual_seed(0)
    model = cnn6.build(cnn6.Settings(width=1 / 16), describe(1, 96))
    for block in (model.get_submodule(f"layer{i}") for i in (1, 2, 3)):
        assert isinstance(block, nn.Sequential)
        block[-1] = nn.AvgPool2d(2)
    assert receptive_field(model, feature, 96) == (reach, reach)
