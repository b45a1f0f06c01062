"""SVHN (Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu, A. Y. Ng. Reading Digits in Natural Images with
Unsupervised Feature Learning. NIPS workshop, 2011): house numbers cropped to single digits of 32 x 32 pixels, in
colour, 73,257 to train on and 26,032 to test on. The 531,131 easier "extra" images are not used.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torchvision.datasets

from reproof.data import published
from reproof.data.dataset import Dataset
from reproof.settings.dataset import PublishedDatasetSettings


class Settings(PublishedDatasetSettings):
    """SVHN, cropped digits."""

    title: ClassVar[str] = "SVHN"
    key: ClassVar[str] = "svhn"
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    image_shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    train_available: ClassVar[int] = 73_257
    test_available: ClassVar[int] = 26_032


def prepare(settings: Settings, root: Path) -> Dataset:
    """Return SVHN with its splits, from root or downloaded into it."""
    reader = torchvision.datasets.SVHN

    def read(folder: Path, part: published.Part) -> published.Batches:
        raw = reader(folder, split=part)
        yield raw.data, raw.labels.astype(np.int64)

    files = {part: reader.split_list[part] for part in published.PARTS}
    download = published.Download(
        title=reader.__name__,
        files=tuple(published.File(name, md5, part) for part, (_, name, md5) in files.items()),
        addresses=tuple(address for address, _, _ in files.values()),
        fetch=lambda folder, part: reader(folder, split=part, download=True),
        read=read,
    )
    return published.prepare(settings, root, download)
