"""What passes through a network cost beside each other."""

from __future__ import annotations

ADVERSARIAL_STEP = 0.75
"""Cost of a gradient to the images, as a share of a training step on them: CNN-6's epochs take 1.76 (FGSM),
3.24 (3 steps of PGD) and 6.2 (7 steps) times as long as undefended ones."""


FORWARD = 0.4
"""Cost of a pass forward, as a share of a pass forward and back to the images."""
