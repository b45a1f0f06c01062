"""LeNet: layers and sizes, by hand."""

from __future__ import annotations

import pytest

from reproof.architectures import lenet
from reproof.errors import StudyError
from tests.network_layers import (
    count,
    describe,
)


class TestLeNet:
    def test_parameters_of_lenet_5(self) -> None:
        """LeCun 1998: C1 156, F6 10,164; C3 connected to all maps 2,416; C5 48,120; ten outputs 850."""
        model = lenet.build(lenet.Settings(), describe(1, 28))
        assert [count(part) for part in model.children()] == [156, 2416, 48120, 10164, 850]

    def test_shapes_of_lenet_5(self) -> None:
        model = lenet.build(lenet.Settings(), describe(1, 28))
        assert model.feature_shapes == {
            "conv1": (6, 14, 14),
            "conv2": (16, 5, 5),
            "fc1": (120,),
            "fc2": (84,),
        }

    def test_too_small_images_are_refused(self) -> None:
        with pytest.raises(StudyError, match="12 x 12"):
            lenet.build(lenet.Settings(), describe(1, 8))
        assert lenet.build(lenet.Settings(), describe(1, 12)).feature_shapes["conv2"] == (16, 1, 1)
