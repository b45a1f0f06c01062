"""What a machine takes for a pass through a network: one core of a server, or a GPU. Imports no torch.

A core is fitted to measurements. A GPU is calculated: no faster than its arithmetic at a stated utilisation, and no
faster than kernels can be started, which is what holds small networks up.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """How fast one is."""

    name: str
    gpu: bool
    multiply_adds_per_second: float
    """In float32."""
    bfloat16: float
    """How many times faster it multiplies in bfloat16."""
    layer_seconds: float
    """What each layer takes beside its arithmetic: on a core for an image, on a GPU for a batch, at the same time."""

    def forward_seconds(self, multiply_adds: float, layers: int, batch: int, precision: str) -> float:
        """Return the seconds of one image's pass forward, in a batch of so many images."""
        if not self.gpu:
            return multiply_adds / self.multiply_adds_per_second + layers * self.layer_seconds
        speed = self.multiply_adds_per_second * (self.bfloat16 if precision == "bfloat16" else 1.0)
        return max(multiply_adds / speed, layers * self.layer_seconds / batch)


MULTIPLY_ADDS_PER_SECOND = 7e10
LAYER_SECONDS = 1e-5
"""One image's pass forward takes its multiply-adds and, in each layer, as long as this. Fitted to the
processor time of one thread on a server's core (float32, 28 x 28 pixels, batches of 64, the best of 15):
training steps and gradients to the images of LeNet, CNN-6, VGG-16 and 19, ResNet-18, 20 and 110, of widths
1/8 to 1, agree within a factor of 2. Without the layers' part, ResNet-110 of width 1/4 would take 15 times
its estimate."""
CORE = Machine("one core", False, MULTIPLY_ADDS_PER_SECOND, 1.0, LAYER_SECONDS)

FLOPS, BFLOAT16_FLOPS = 67e12, 989e12
"""NVIDIA's data sheet of the H200 SXM: float32 without tensor cores, and dense bfloat16 with them, a second."""
UTILISATION = 0.3
"""Share of them that is assumed to be reached; nothing was measured."""
KERNELS, LAUNCH_SECONDS = 4, 5e-6
"""Kernels that a layer's pass starts (convolution, norm, rectifier, sum), and what starting one takes at least."""
GPU = Machine(
    "one H200", True, FLOPS / 2 * UTILISATION, BFLOAT16_FLOPS / FLOPS, KERNELS * LAUNCH_SECONDS
)  # a multiply-add is two operations
