"""Small data sets in the very formats in which torchvision's five are published, and a server that has them."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import pickle
import struct
import tarfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.io
import torchvision.datasets

from reproof import registry
from reproof.data.dataset import Dataset
from tests.ours import here

Part = tuple[np.ndarray, np.ndarray]
"""Images (N, C, H, W) and labels."""


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def make_part(shape: tuple[int, int, int], labels: np.ndarray, seed: int) -> Part:
    """Return images of noise, brighter in later channels, and the labels in another order."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (len(labels), *shape)).astype(np.float64)
    images *= np.linspace(0.5, 1, shape[0])[:, None, None]
    return images.astype(np.uint8), generator.permutation(labels)


@dataclass
class Published:
    """What a publisher has: files as they lie under data_root, and downloads by their place on the server."""

    name: str
    train: Part
    test: Part
    files: dict[str, bytes]
    downloads: dict[str, bytes]
    packed: dict[str, bytes] = field(default_factory=dict)
    """Files that will do instead of those that lie under data_root."""

    @property
    def module(self) -> ModuleType:
        return registry.load("datasets", self.name)

    def put(self, root: Path, *, packed: bool = False) -> Path:
        for path, content in (self.packed if packed else self.files).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        return root

    def prepare(self, root: Path, **stanza: Any) -> Dataset:
        settings = self.module.Settings(**{"validation_images": 20, **stanza})
        dataset = self.module.prepare(settings, root)
        assert isinstance(dataset, Dataset)
        return dataset


READERS: dict[str, Any] = {
    "mnist": torchvision.datasets.MNIST,
    "fashion_mnist": torchvision.datasets.FashionMNIST,
    "cifar10": torchvision.datasets.CIFAR10,
    "cifar100": torchvision.datasets.CIFAR100,
    "svhn": torchvision.datasets.SVHN,
}
"""Torchvision's class of each data set."""


def pack_idx(array: np.ndarray) -> bytes:
    header = struct.pack(">HBB", 0, 8, array.ndim) + b"".join(struct.pack(">I", size) for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


def make_idx(name: str, train: Part, test: Part) -> Published:
    unpacked = {
        "train-images-idx3-ubyte": pack_idx(train[0][:, 0]),
        "train-labels-idx1-ubyte": pack_idx(train[1]),
        "t10k-images-idx3-ubyte": pack_idx(test[0][:, 0]),
        "t10k-labels-idx1-ubyte": pack_idx(test[1]),
    }
    packed = {f"{file}.gz": gzip.compress(content, 1, mtime=0) for file, content in unpacked.items()}
    folder = f"{READERS[name].__name__}/raw"
    return Published(
        name,
        train,
        test,
        files={f"{folder}/{file}": content for file, content in unpacked.items()},
        downloads=packed,
        packed={f"{folder}/{file}": content for file, content in packed.items()},
    )


def make_cifar(name: str, train: Part, test: Part) -> Published:
    reader = READERS[name]
    labels_key = "labels" if name == "cifar10" else "fine_labels"

    def pack(part: Part) -> bytes:
        rows = {
            "data": part[0].reshape(len(part[0]), -1),
            labels_key: part[1].tolist(),
            "batch_label": "made up",
        }
        return pickle.dumps(rows, protocol=3)

    names = [row[0] for row in reader.train_list]
    batches = zip(np.array_split(train[0], len(names)), np.array_split(train[1], len(names)), strict=True)
    files = {file: pack(part) for file, part in zip(names, batches, strict=True)}
    files[reader.test_list[0][0]] = pack(test)
    files[reader.meta["filename"]] = pickle.dumps({reader.meta["key"]: ["made up"]}, protocol=3)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        for file, content in files.items():
            member = tarfile.TarInfo(f"{reader.base_folder}/{file}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return Published(
        name,
        train,
        test,
        files={f"{reader.base_folder}/{file}": content for file, content in files.items()},
        downloads={reader.filename: archive.getvalue()},
    )


def make_svhn(name: str, train: Part, test: Part) -> Published:
    files = {}
    for part, (images, labels) in {"train": train, "test": test}.items():
        packed = io.BytesIO()
        ten_for_zero = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
        scipy.io.savemat(packed, {"X": images.transpose(2, 3, 1, 0), "y": ten_for_zero})
        files[f"{part}_32x32.mat"] = packed.getvalue()
    return Published(name, train, test, files=files, downloads=dict(files))


MAKERS: dict[str, Callable[[str, Part, Part], Published]] = {
    "mnist": make_idx,
    "fashion_mnist": make_idx,
    "cifar10": make_cifar,
    "cifar100": make_cifar,
    "svhn": make_svhn,
}
MAKERS = {name: MAKERS[name] for name in here("datasets", *MAKERS)}


@functools.cache
def make(name: str, train_labels: tuple[int, ...], test_labels: tuple[int, ...]) -> Published:
    shape = registry.load("datasets", name).Settings.image_shape
    train, test = make_part(shape, np.array(train_labels), 1), make_part(shape, np.array(test_labels), 2)
    return MAKERS[name](name, train, test)


def install(monkeypatch: pytest.MonkeyPatch, published: Published) -> None:
    """Put the files' md5s where torchvision, and the data set's file, have the real ones."""
    reader, module = READERS[published.name], published.module
    sums = {
        Path(file).name: md5(content) for file, content in (published.files | published.downloads).items()
    }
    if published.packed:
        monkeypatch.setattr(module, "UNPACKED_MD5S", {file: sums[file] for file in module.UNPACKED_MD5S})
        monkeypatch.setattr(reader, "resources", [(file, sums[file]) for file, _ in reader.resources])
    elif published.name == "svhn":
        rows = {
            part: [f"http://unset/{row[1]}", row[1], sums.get(row[1])]
            for part, row in reader.split_list.items()
        }
        monkeypatch.setattr(reader, "split_list", rows)
    else:
        monkeypatch.setattr(reader, "train_list", [[file, sums[file]] for file, _ in reader.train_list])
        monkeypatch.setattr(reader, "test_list", [[file, sums[file]] for file, _ in reader.test_list])
        monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": sums[reader.meta["filename"]]})
        monkeypatch.setattr(reader, "tgz_md5", sums[reader.filename])


def publish(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    *,
    train_labels: np.ndarray | None = None,
    test_labels: np.ndarray | None = None,
) -> Published:
    """Make a small data set and let torchvision and the data set's file take it for the real one.

    Its labels can be given: what the data set's file believes of their number and classes stays as it is.
    """
    settings = registry.load("datasets", name).Settings
    classes = len(settings.class_names)
    uneven = np.concatenate([np.arange(classes), np.arange(classes // 2)])
    usual = {
        "train": np.tile(uneven, 2 if classes > 10 else 10),
        "test": np.tile(uneven, 1 if classes > 10 else 4),
    }
    monkeypatch.setattr(settings, "train_available", len(usual["train"]))
    monkeypatch.setattr(settings, "test_available", len(usual["test"]))
    train = usual["train"] if train_labels is None else train_labels
    test = usual["test"] if test_labels is None else test_labels
    published = make(name, tuple(train.tolist()), tuple(test.tolist()))
    install(monkeypatch, published)
    return published


class Server:
    """A web server on this machine: what it holds, what it cuts short, what was asked of it."""

    def __init__(self) -> None:
        self.holds: dict[str, bytes] = {}
        self.cuts: set[str] = set()
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                file = self.path.removeprefix("/")
                outer.asked.append(file)
                content = outer.holds.get(file)
                self.answer(content, 0.5 if file in outer.cuts else 1)

            def answer(self, content: bytes | None, share: float = 1) -> None:
                content, status = (b"", 404) if content is None else (content, 200)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: int(share * len(content))])

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def offer(self, monkeypatch: pytest.MonkeyPatch, published: Published) -> None:
        """Serve a data set, and send torchvision here for it."""
        known = torchvision.datasets
        self.holds |= published.downloads
        monkeypatch.setattr(known.MNIST, "mirrors", [self.address])
        monkeypatch.setattr(known.FashionMNIST, "mirrors", [self.address])
        for reader in (known.CIFAR10, known.CIFAR100):
            monkeypatch.setattr(reader, "url", f"{self.address}{reader.filename}")
        listed = {part: [f"{self.address}{row[1]}", *row[1:]] for part, row in known.SVHN.split_list.items()}
        monkeypatch.setattr(known.SVHN, "split_list", listed)

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
