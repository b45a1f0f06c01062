"""The five data sets that torchvision knows: reading, splits, and everything that can be wrong with their files."""

from __future__ import annotations

import errno
import gc
import hashlib
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets
import torchvision.datasets.utils
from pydantic import ValidationError

from reproof import provenance, registry
from reproof.data import prepared, statistics
from reproof.data import published as data_published
from reproof.data.dataset import Dataset
from reproof.errors import DataError
from reproof.plan import jobs
from reproof.stages import prepare as stage
from reproof.study import layers
from reproof.study import reader as study_reader
from tests.ours import cases_here, here, needs
from tests.published import MAKERS, READERS, Published, Server, md5, publish

NAMES = tuple(MAKERS)
IDX = here("datasets", "mnist", "fashion_mnist")
FILES = [
    *(
        (name, f"{READERS[name].__name__}/raw/{file}")
        for name in IDX
        for file in registry.load("datasets", name).UNPACKED_MD5S
    ),
    *(("cifar10", f"cifar-10-batches-py/data_batch_{number}") for number in range(1, 6)),
    ("cifar10", "cifar-10-batches-py/test_batch"),
    ("cifar10", "cifar-10-batches-py/batches.meta"),
    *(("cifar100", f"cifar-100-python/{file}") for file in ("train", "test", "meta")),
    ("svhn", "train_32x32.mat"),
    ("svhn", "test_32x32.mat"),
]
FILES = cases_here("datasets", FILES)

every_name = pytest.mark.parametrize("name", NAMES)
every_file = pytest.mark.parametrize(("name", "file"), FILES)

_connect = socket.socket.connect


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Shut the network off, but for this machine; return the places that were asked for."""
    places: list[Any] = []

    def connect(self: socket.socket, address: Any) -> None:
        places.append(address)
        if address[0] != "127.0.0.1":
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        _connect(self, address)

    def look_up(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host != "127.0.0.1":
            places.append((host, port))
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))]

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setenv("no_proxy", "*")
    return places


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Return what would change if anything in a folder were written, made or removed, even for a moment."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            md5(path.read_bytes()) if path.is_file() else "",
        )
        for path in sorted([folder, *folder.rglob("*")])
    }


def refusal(published: Published, root: Path, **stanza: Any) -> str:
    with pytest.raises(DataError) as refused:
        published.prepare(root, **stanza)
    assert "Traceback" not in str(refused.value)
    return str(refused.value)


def leftovers(root: Path) -> list[str]:
    return [path.name for path in root.glob(".*")] if root.is_dir() else []


def images_of(dataset: Dataset, split: Any) -> set[bytes]:
    return {image.numpy().tobytes() for image in dataset.select(split)[0]}


class TestReading:
    @every_name
    def test_images_and_labels_are_those_of_the_files(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[Any]
    ) -> None:
        published = publish(monkeypatch, name)
        before = snapshot(published.put(tmp_path))
        dataset = published.prepare(tmp_path)
        np.testing.assert_array_equal(dataset.images, np.concatenate([published.train[0], published.test[0]]))
        np.testing.assert_array_equal(dataset.labels, np.concatenate([published.train[1], published.test[1]]))
        assert (dataset.images.dtype, dataset.labels.dtype) == (torch.uint8, torch.int64)
        assert dataset.name == name
        border = len(published.train[1])
        training = torch.cat([dataset.splits["train"], dataset.splits["validation"]])
        assert sorted(training.tolist()) == list(range(border))
        assert sorted(dataset.splits["test"].tolist()) == list(range(border, len(dataset.labels)))
        assert snapshot(tmp_path) == before
        assert asked == []

    @pytest.mark.parametrize("name", IDX)
    def test_packed_files_will_do(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[Any]
    ) -> None:
        published = publish(monkeypatch, name)
        published.put(tmp_path / "all unpacked")
        published.put(tmp_path / "all packed", packed=True)
        published.put(tmp_path / "mixed", packed=True)
        path = next(iter(published.files))
        (tmp_path / "mixed" / path).write_bytes(published.files[path])
        (tmp_path / "mixed" / f"{path}.gz").unlink()
        before = snapshot(tmp_path)
        expected = published.prepare(tmp_path / "all unpacked").images
        assert torch.equal(published.prepare(tmp_path / "all packed").images, expected)
        assert torch.equal(published.prepare(tmp_path / "mixed").images, expected)
        assert snapshot(tmp_path) == before
        assert asked == []

    @every_name
    def test_a_read_only_folder_is_enough(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever writes under data_root, by whichever call of the system, is refused."""
        published = publish(monkeypatch, name)
        published.put(tmp_path / "data")
        forbid_writing(monkeypatch, tmp_path / "data", errno.EROFS)
        assert len(published.prepare(tmp_path / "data").labels) > 0
        with pytest.raises(OSError, match="Read-only"):
            (tmp_path / "data" / "new").mkdir()

    @needs("datasets/mnist")
    def test_a_home_folder_may_be_written_as_a_tilde(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = publish(monkeypatch, "mnist")
        published.put(tmp_path / "sets")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert len(published.prepare(Path("~/sets")).labels) == 210

    @needs("datasets/cifar10")
    def test_a_relative_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        published = publish(monkeypatch, "cifar10")
        published.put(tmp_path / "sets")
        monkeypatch.chdir(tmp_path)
        assert len(published.prepare(Path("sets")).labels) == 210

    @needs("datasets/mnist")
    def test_what_older_torchvisions_left_is_not_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Torchvision by itself takes MNIST/processed/*.pt, unchecked, before anything else."""
        published = publish(monkeypatch, "mnist")
        published.put(tmp_path)
        stale = tmp_path / "MNIST" / "processed"
        stale.mkdir()
        for file in ("training.pt", "test.pt"):
            torch.save((torch.zeros(9, 28, 28, dtype=torch.uint8), torch.arange(9)), stale / file)
        assert len(torchvision.datasets.MNIST(tmp_path).data) == 9
        np.testing.assert_array_equal(published.prepare(tmp_path).images[:150], published.train[0])

    @needs("datasets/svhn")
    def test_zero_is_the_digit_zero_in_svhn(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        published = publish(monkeypatch, "svhn")
        dataset = published.prepare(published.put(tmp_path))
        assert sorted(set(dataset.labels.tolist())) == list(range(10))
        np.testing.assert_array_equal(dataset.labels[:150], published.train[1])

    @needs("datasets/cifar10")
    def test_the_prepare_job_writes_what_read_dataset_reads(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = publish(monkeypatch, "cifar10")
        published.put(tmp_path / "sets")
        config = Path(__file__).parents[3] / "config.yaml"
        values = {
            "data_root": str(tmp_path / "sets"),
            "dataset": "photographs",
            "datasets": {"photographs": {"kind": "cifar10", "validation_images": 30, "test_images": 20}},
            "suites": {name: {"images": 20} for name in layers.read_yaml(config)["suites"]},
            "surfaces": None,
        }
        job = jobs.Plan(study_reader.load([config], values), root=str(tmp_path)).prepare("photographs")
        run = provenance.Run(job.description)
        stage.prepare(job, run)
        again = prepared.read_dataset(Path(job.outputs["data"]))
        direct = published.prepare(tmp_path / "sets", validation_images=30, test_images=20)
        assert run.files == [Path(job.outputs["data"])]
        assert run.notes["splits"] == {"train": 120, "validation": 30, "test": 20}
        assert torch.equal(again.images, direct.images)
        assert torch.equal(again.labels, direct.labels)
        assert again.description == direct.description
        assert all(torch.equal(again.splits[split], direct.splits[split]) for split in direct.splits)

    @every_name
    def test_preparing_twice_writes_the_same_bytes(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = publish(monkeypatch, name)
        published.put(tmp_path / "sets")
        digests = []
        for attempt in range(2):
            torch.manual_seed(attempt)
            file = tmp_path / f"{attempt}.safetensors"
            prepared.write_dataset(file, published.prepare(tmp_path / "sets"))
            digests.append(hashlib.sha256(file.read_bytes()).hexdigest())
        assert digests[0] == digests[1]

    @needs("datasets/cifar10")
    def test_little_more_memory_than_the_images_take(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """CIFAR's files come one by one: torchvision itself would hold all of them twice."""
        labels = np.tile(np.arange(10), 200)
        published = publish(monkeypatch, "cifar10", train_labels=labels, test_labels=labels[:400])
        monkeypatch.setattr(published.module.Settings, "train_available", 2000)
        monkeypatch.setattr(published.module.Settings, "test_available", 400)
        published.put(tmp_path)
        whole = 2400 * 3 * 32 * 32

        def peak(work: Callable[[], object]) -> int:
            tracemalloc.start()
            try:
                work()
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        published.prepare(tmp_path)
        assert peak(lambda: published.prepare(tmp_path)) < 1.9 * whole
        assert peak(lambda: torchvision.datasets.CIFAR10(tmp_path, train=True)) > 1.5 * whole


def forbid_writing(monkeypatch: pytest.MonkeyPatch, root: Path, number: int) -> None:
    """Let every call that changes something under a folder fail (a test may run as root, whom no mode stops)."""
    inside = str(root)

    def guard(module: Any, name: str, changes: Callable[..., bool]) -> None:
        real = getattr(module, name)

        def guarded(*arguments: Any, **options: Any) -> Any:
            changed = arguments[1:] if name in ("link", "symlink") else arguments
            paths = [os.fspath(path) for path in changed if isinstance(path, str | os.PathLike)]
            touched = [path for path in paths if path.startswith(inside)]
            if touched and changes(*arguments, **options):
                raise OSError(number, os.strerror(number), touched[0])
            return real(*arguments, **options)

        monkeypatch.setattr(module, name, guarded)

    def writes(_file: Any, mode: str = "r", *_: Any, **__: Any) -> bool:
        return bool(set(mode) & set("wax+"))

    for name in ("mkdir", "rename", "replace", "link", "symlink", "remove", "unlink", "rmdir", "utime"):
        guard(os, name, lambda *_, **__: True)
    guard(__import__("io"), "open", writes)
    guard(__import__("builtins"), "open", writes)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a bit flipped": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "cut short": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
}


class TestWrongFiles:
    @every_file
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_a_wrong_md5_stops_before_anything_is_read(
        self,
        name: str,
        file: str,
        damage: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        asked: list[Any],
    ) -> None:
        published = publish(monkeypatch, name)
        published.put(tmp_path)
        right = published.files[file]
        wrong = DAMAGES[damage](right)
        (tmp_path / file).write_bytes(wrong)
        before = snapshot(tmp_path)
        monkeypatch.setattr(READERS[name], "__init__", lambda *_, **__: pytest.fail("a file was read"))
        message = refusal(published, tmp_path)
        for words in (
            str(tmp_path / file),
            f"md5 {md5(wrong)} instead of {md5(right)}",
            "Delete it",
            "again",
        ):
            assert words in message
        assert snapshot(tmp_path) == before
        assert asked == []

    def test_files_list_is_complete(self, monkeypatch: pytest.MonkeyPatch) -> None:
        published = [(name, file) for name in NAMES for file in publish(monkeypatch, name).files]
        assert sorted(published) == sorted(FILES)

    @pytest.mark.parametrize("position", range(4))
    @pytest.mark.parametrize("name", IDX)
    def test_a_wrong_packed_file_stops_too(
        self, name: str, position: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = publish(monkeypatch, name)
        published.put(tmp_path, packed=True)
        path = tmp_path / list(published.packed)[position]
        path.write_bytes(path.read_bytes()[:-1])
        message = refusal(published, tmp_path)
        assert f"{path} has md5 {md5(path.read_bytes())} instead of" in message

    @needs("datasets/mnist")
    def test_a_packed_file_that_holds_another_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = publish(monkeypatch, "mnist")
        published.put(tmp_path, packed=True)
        monkeypatch.setitem(published.module.UNPACKED_MD5S, "t10k-labels-idx1-ubyte", "0" * 32)
        assert "t10k-labels-idx1-ubyte.gz does not unpack to the file" in refusal(published, tmp_path)

    @needs("datasets/cifar10")
    def test_every_wrong_file_is_named_at_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        published = publish(monkeypatch, "cifar10")
        published.put(tmp_path)
        for number in (2, 4):
            (tmp_path / f"cifar-10-batches-py/data_batch_{number}").write_bytes(b"")
        message = refusal(published, tmp_path)
        assert "data_batch_2 has" in message
        assert "data_batch_4 has" in message
        assert "data_batch_3" not in message

    @needs("datasets/svhn")
    def test_a_wrong_file_stops_although_others_are_missing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[Any]
    ) -> None:
        published = publish(monkeypatch, "svhn")
        (tmp_path / "test_32x32.mat").write_bytes(b"wrong")
        assert "test_32x32.mat has md5" in refusal(published, tmp_path)
        assert asked == []

    @pytest.mark.parametrize(
        ("name", "file"), [pair for pair in FILES if pair[0].startswith("cifar")], ids=lambda part: str(part)
    )
    @pytest.mark.parametrize("trusted", [False, True])
    def test_an_unchecked_pickle_is_never_opened(
        self, name: str, file: str, trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The pickle makes a folder when it is opened. trusted: its md5 is in torchvision's list, so it goes off."""
        published = publish(monkeypatch, name)
        published.put(tmp_path)
        bomb = pickle.dumps(Bomb(str(tmp_path / "exploded")), protocol=2)
        (tmp_path / file).write_bytes(bomb)
        if trusted:
            reader, inner = READERS[name], Path(file).name
            for listed in ("train_list", "test_list"):
                rows = [[row, md5(bomb) if row == inner else right] for row, right in getattr(reader, listed)]
                monkeypatch.setattr(reader, listed, rows)
            if inner == reader.meta["filename"]:
                monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": md5(bomb)})
            with pytest.raises(TypeError):
                published.prepare(tmp_path)
        else:
            refusal(published, tmp_path)
        assert (tmp_path / "exploded").exists() == trusted

    @every_name
    def test_torchvisions_md5s_are_the_ones_that_count(self, name: str) -> None:
        """The real tables, not those of a small set: 32 hexadecimal digits for each file, from torchvision's class."""
        reader, module = READERS[name], registry.load("datasets", name)
        if name == "svhn":
            listed = [row[2] for part, row in reader.split_list.items() if part != "extra"]
            sources: list[data_published.File] = []
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(
                    data_published, "prepare", lambda _settings, _root, source: sources.extend(source.files)
                )
                module.prepare(module.Settings(), Path("nowhere"))
            assert [file.md5 for file in sources] == listed
        elif name.startswith("cifar"):
            source = data_published.cifar_download(reader)
            expected = {*(row[1] for row in (*reader.train_list, *reader.test_list)), reader.meta["md5"]}
            assert {file.md5 for file in source.files} == expected
        else:
            source = data_published.idx_download(reader, module.UNPACKED_MD5S)
            assert [f"{Path(file.path).name}.gz" for file in source.files] == [
                row[0] for row in reader.resources
            ]
            assert [file.packed_md5 for file in source.files] == [row[1] for row in reader.resources]
            assert all(len(file.md5) == 32 and file.md5 != file.packed_md5 for file in source.files)

    def test_class_names_are_torchvisions(self) -> None:
        declared = {name: registry.load("datasets", name).Settings.class_names for name in NAMES}
        told = {
            "fashion_mnist": torchvision.datasets.FashionMNIST.classes,
            "mnist": [name[0] for name in torchvision.datasets.MNIST.classes],
        }
        for name in IDX:
            assert list(declared[name]) == told[name]
        assert {name: len(set(names)) for name, names in declared.items()} == {
            name: 100 if name == "cifar100" else 10 for name in NAMES
        }


class Bomb:
    """An object whose pickle makes a folder when it is opened."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


class TestWrongLabels:
    @every_name
    @pytest.mark.parametrize("part", ["train", "test"])
    def test_a_missing_class_is_named(
        self, name: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = publish(monkeypatch, name)
        labels = (whole.train if part == "train" else whole.test)[1].copy()
        labels[labels == 3] = 4
        published = publish(monkeypatch, name, **{f"{part}_labels": labels})
        message = refusal(published, published.put(tmp_path))
        class_name = published.module.Settings.class_names[3]
        assert f"the {part} part has no image of class {class_name}. Delete " in message
        assert sum(file in message for file in published.files) == len(
            [
                file
                for file in published.files
                if (part == "train") == ("train" in file or "data_batch" in file)
            ]
        )

    @every_name
    @pytest.mark.parametrize(("part", "change"), [("train", -1), ("train", 1), ("test", -2), ("test", 1)])
    def test_another_number_of_images(
        self, name: str, part: str, change: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = publish(monkeypatch, name)
        labels = (whole.train if part == "train" else whole.test)[1]
        changed = np.resize(labels, len(labels) + change)
        published = publish(monkeypatch, name, **{f"{part}_labels": changed})
        message = refusal(published, published.put(tmp_path))
        assert f"the {part} part has {len(changed)} images instead of {len(labels)}" in message

    @every_name
    def test_a_label_beyond_the_classes(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        labels = publish(monkeypatch, name).test[1].copy()
        labels[5] = 123
        published = publish(monkeypatch, name, test_labels=labels)
        assert "the test part has labels up to 123" in refusal(published, published.put(tmp_path))


class TestDownloads:
    @every_name
    def test_a_download_is_checked_and_put_into_place(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
    ) -> None:
        published = publish(monkeypatch, name)
        server.offer(monkeypatch, published)
        root = tmp_path / "new" / "folder"
        dataset = published.prepare(root)
        np.testing.assert_array_equal(dataset.images[: len(published.train[0])], published.train[0])
        found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        assert found == published.files
        assert leftovers(root) == []
        asked_first = len(server.asked)
        assert torch.equal(published.prepare(root).images, dataset.images)
        assert len(server.asked) == asked_first

    @every_file
    def test_one_missing_file_is_fetched_and_the_others_stay(
        self, name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
    ) -> None:
        published = publish(monkeypatch, name)
        published.put(tmp_path)
        (tmp_path / file).unlink()
        before = {path: seen for path, seen in snapshot(tmp_path).items() if seen[1]}
        server.offer(monkeypatch, published)
        published.prepare(tmp_path)
        after = snapshot(tmp_path)
        assert after[file][1] == md5(published.files[file])
        assert {path: after[path] for path in before} == before
        if name == "svhn":
            assert set(server.asked) == {file}

    @every_name
    def test_without_network(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        addresses = READERS[name].mirrors if "mnist" in name else [""]
        published = publish(monkeypatch, name)
        root = tmp_path / "sets"
        message = refusal(published, root)
        for words in (str(root), "could not be downloaded", "resolution", "again", "by hand", *addresses[:1]):
            assert words in message
        for file, content in published.files.items():
            assert f"\n  {file}  (md5 {md5(content)})" in message
        assert list(root.iterdir()) == []

    @every_file
    def test_without_network_only_what_is_missing_is_asked_for(
        self, name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = publish(monkeypatch, name)
        published.put(tmp_path)
        (tmp_path / file).unlink()
        message = refusal(published, tmp_path)
        assert [line.split()[0] for line in message.splitlines()[1:]] == [file]
        assert leftovers(tmp_path) == []

    @every_name
    def test_half_a_download_is_not_believed_and_what_was_good_stays(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
    ) -> None:
        published = publish(monkeypatch, name)
        server.offer(monkeypatch, published)
        last = list(published.downloads)[-1]
        server.cuts = {last}
        message = refusal(published, tmp_path)
        lost = [
            file
            for file in published.files
            if len(published.downloads) == 1 or last.startswith(Path(file).name)
        ]
        kept = {file: content for file, content in published.files.items() if file not in lost}
        assert "could not be downloaded" in message
        assert "corrupted" in message
        assert [line.split()[0] for line in message.splitlines()[1:]] == lost
        found = {
            str(path.relative_to(tmp_path)): path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_file()
        }
        assert found == kept
        assert leftovers(tmp_path) == []
        server.cuts = set()
        assert len(published.prepare(tmp_path).labels) == len(published.train[1]) + len(published.test[1])

    @every_name
    def test_another_file_under_the_name(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
    ) -> None:
        published = publish(monkeypatch, name)
        server.offer(monkeypatch, published)
        server.holds = dict.fromkeys(server.holds, b"<html>Please log in to this network</html>")
        assert "corrupted" in refusal(published, tmp_path)
        assert leftovers(tmp_path) == []

    # Torchvision leaves the connection of a refused request open.
    @pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
    @every_name
    def test_a_server_without_the_file(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
    ) -> None:
        published = publish(monkeypatch, name)
        server.offer(monkeypatch, published)
        server.holds.clear()
        message = refusal(published, tmp_path)
        gc.collect()
        assert "could not be downloaded: " in message
        assert "404" in message

    @pytest.mark.parametrize(
        "error",
        [TimeoutError("timed out"), ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")],
        ids=lambda error: type(error).__name__,
    )
    @every_name
    def test_a_connection_that_breaks(
        self, name: str, error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
    ) -> None:
        published = publish(monkeypatch, name)
        server.offer(monkeypatch, published)
        fail_while_downloading(monkeypatch, error)
        assert f"could not be downloaded: {error}" in refusal(published, tmp_path)
        assert leftovers(tmp_path) == []

    @needs("datasets/svhn")
    def test_a_silent_server_is_left_after_a_while(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = publish(monkeypatch, "svhn")
        monkeypatch.setattr(data_published, "STALLED_SECONDS", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
            rows = {part: [address, *row[1:]] for part, row in torchvision.datasets.SVHN.split_list.items()}
            monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", rows)
            assert "timed out" in refusal(published, tmp_path)
        assert socket.getdefaulttimeout() is None

    @pytest.mark.parametrize(
        ("number", "words"),
        [
            (errno.ENOSPC, "No room is left on the disk of"),
            (errno.EDQUOT, "No room is left on the disk of"),
            (errno.EACCES, "may not be written (Permission denied): make it writable"),
            (errno.EROFS, "may not be written (Read-only file system): make it writable"),
        ],
    )
    @every_name
    def test_a_disk_that_fills_up_while_downloading(
        self,
        name: str,
        number: int,
        words: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        server: Server,
    ) -> None:
        published = publish(monkeypatch, name)
        server.offer(monkeypatch, published)
        fail_while_downloading(monkeypatch, OSError(number, os.strerror(number)))
        message = refusal(published, tmp_path)
        assert words in message
        assert str(tmp_path) in message
        assert all(file in message for file in published.files)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
    @every_name
    def test_a_folder_that_may_not_be_written(
        self,
        name: str,
        number: int,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        server: Server,
    ) -> None:
        published = publish(monkeypatch, name)
        server.offer(monkeypatch, published)
        published.put(tmp_path)
        gone = list(published.files)[-1]
        (tmp_path / gone).unlink()
        before = snapshot(tmp_path)
        forbid_writing(monkeypatch, tmp_path, number)
        message = refusal(published, tmp_path)
        assert ("make it writable" if number != errno.ENOSPC else "free some space") in message
        assert [line.split()[0] for line in message.splitlines()[1:]] == [gone]
        assert snapshot(tmp_path) == before
        assert server.asked == []

    @every_name
    def test_a_disk_that_is_full_when_files_are_moved(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
    ) -> None:
        """The first file gets its place, the second does not: one stays, nothing else does."""
        published = publish(monkeypatch, name)
        server.offer(monkeypatch, published)
        real, moved = Path.replace, []

        def replace(self: Path, target: Path) -> Path:
            moved.append(target)
            if len(moved) == 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(self, target)

        monkeypatch.setattr(Path, "replace", replace)
        message = refusal(published, tmp_path)
        assert "free some space" in message
        found = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
        assert found == [str(moved[0].relative_to(tmp_path))]
        assert found[0] not in [line.split()[0] for line in message.splitlines()[1:]]
        assert leftovers(tmp_path) == []

    @needs("datasets/mnist")
    def test_no_room_to_unpack(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        published = publish(monkeypatch, "mnist")
        published.put(tmp_path, packed=True)

        def copy(*_: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(shutil, "copyfileobj", copy)
        assert "temporary files (TMPDIR): free some space" in refusal(published, tmp_path)

    @needs("datasets/cifar10")
    def test_a_file_where_the_folder_should_be(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
    ) -> None:
        published = publish(monkeypatch, "cifar10")
        server.offer(monkeypatch, published)
        (tmp_path / "sets").write_text("notes")
        assert f"A file stands where the folder {tmp_path / 'sets'} should be" in refusal(
            published, tmp_path / "sets"
        )
        assert (tmp_path / "sets").read_text() == "notes"

    @needs("datasets/svhn")
    def test_a_folder_where_a_file_should_be(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        published = publish(monkeypatch, "svhn")
        published.put(tmp_path)
        (tmp_path / "train_32x32.mat").unlink()
        (tmp_path / "train_32x32.mat").mkdir()
        assert f"{tmp_path / 'train_32x32.mat'} cannot be read (Is a directory)" in refusal(
            published, tmp_path
        )

    @every_file
    def test_a_file_that_may_not_be_read(
        self, name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[Any]
    ) -> None:
        published = publish(monkeypatch, name)
        published.put(tmp_path)
        real = Path.open

        def open_unless_forbidden(self: Path, *arguments: Any, **options: Any) -> Any:
            if self == tmp_path / file:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
            return real(self, *arguments, **options)

        monkeypatch.setattr(Path, "open", open_unless_forbidden)
        message = refusal(published, tmp_path)
        assert f"{tmp_path / file} cannot be read (Permission denied). Make it a readable file" in message
        assert asked == []

    @needs("datasets/svhn")
    def test_what_killed_downloads_left_is_swept_and_the_living_are_left_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
    ) -> None:
        published = publish(monkeypatch, "svhn")
        server.offer(monkeypatch, published)
        done = subprocess.run(
            [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
        )
        dead, host = int(done.stdout), socket.gethostname()
        names = [f".fetching-{dead}-{host}", f".fetching-{os.getpid()}-{host}"]
        alive = [f".fetching-{os.getppid()}-{host}", f".fetching-{dead}-elsewhere", ".fetching-notes"]
        for name in (*names, *alive):
            (tmp_path / name).mkdir()
            (tmp_path / name / "train_32x32.mat").write_bytes(b"half")
        published.prepare(tmp_path)
        assert sorted(leftovers(tmp_path)) == sorted(alive)

    @needs("datasets/cifar10")
    def test_an_interrupted_download_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
    ) -> None:
        published = publish(monkeypatch, "cifar10")
        server.offer(monkeypatch, published)
        fail_while_downloading(monkeypatch, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            published.prepare(tmp_path)
        assert list(tmp_path.iterdir()) == []
        assert socket.getdefaulttimeout() is None


def fail_while_downloading(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let torchvision's download of a file break after its first bytes."""

    def retrieve(_url: str, filename: str, **_: Any) -> None:
        Path(filename).write_bytes(b"first bytes")
        raise error

    monkeypatch.setattr(torchvision.datasets.utils, "_urlretrieve", retrieve)


class TestSplits:
    @every_name
    @pytest.mark.parametrize(
        "stanza",
        [
            {},
            {"validation_images": 35},
            {"train_images": 40},
            {"test_images": 30},
            {"train_images": 1, "validation_images": 1, "test_images": 1},
            {"split_seed": 5, "train_images": 100, "validation_images": 50, "test_images": 60},
        ],
    )
    def test_sizes_are_those_that_the_settings_say(
        self, name: str, stanza: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = publish(monkeypatch, name)
        dataset = published.prepare(published.put(tmp_path), **stanza)
        said = published.module.Settings(**{"validation_images": 20, **stanza}).sizes()
        assert {split: len(indices) for split, indices in dataset.splits.items()} == said
        assert len(dataset.images) == len(dataset.labels) == sum(said.values())
        together = torch.cat(list(dataset.splits.values()))
        assert sorted(together.tolist()) == list(range(len(dataset.images)))

    @every_name
    def test_every_split_is_stratified_from_its_first_image_on(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = publish(monkeypatch, name)
        dataset = published.prepare(published.put(tmp_path), validation_images=100)
        classes = dataset.description.classes
        parts = {"train": published.train[1], "validation": published.train[1], "test": published.test[1]}
        for split, labels in parts.items():
            shares = np.bincount(labels) / len(labels)
            chosen = dataset.labels[dataset.splits[split]].numpy()
            counts = (chosen[:, None] == np.arange(classes)).cumsum(axis=0)
            off = np.abs(counts - shares * np.arange(1, len(chosen) + 1)[:, None]).max()
            assert off <= (2 if split == "train" else 1), split

    @every_name
    def test_a_smaller_test_split_begins_a_larger_one(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = publish(monkeypatch, name)
        published.put(tmp_path)
        images, labels = published.prepare(tmp_path).select("test", 37)
        small = published.prepare(tmp_path, test_images=37, train_images=11, validation_images=13)
        assert torch.equal(small.select("test")[0], images)
        assert torch.equal(small.select("test")[1], labels)

    @every_name
    def test_a_smaller_training_split_begins_a_larger_one_beside_the_same_validation_split(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = publish(monkeypatch, name)
        published.put(tmp_path)
        large, small = published.prepare(tmp_path), published.prepare(tmp_path, train_images=45)
        assert torch.equal(small.select("train")[0], large.select("train", 45)[0])
        assert torch.equal(small.select("train")[1], large.select("train", 45)[1])
        assert torch.equal(small.select("validation")[0], large.select("validation")[0])

    @every_name
    def test_no_image_stands_in_two_splits(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = publish(monkeypatch, name)
        dataset = published.prepare(published.put(tmp_path), train_images=50, test_images=25)
        train, validation, test = (images_of(dataset, split) for split in ("train", "validation", "test"))
        assert (len(train), len(validation), len(test)) == (50, 20, 25)
        assert not train & validation | train & test | validation & test
        published_tests = {image.tobytes() for image in published.test[0]}
        assert test <= published_tests
        assert not published_tests & (train | validation)

    @every_name
    def test_another_seed_gives_other_splits(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = publish(monkeypatch, name)
        published.put(tmp_path)
        one, other = published.prepare(tmp_path), published.prepare(tmp_path, split_seed=1)
        assert torch.equal(one.images, other.images)
        assert not any(torch.equal(one.splits[split], other.splits[split]) for split in one.splits)

    @needs("datasets/mnist")
    def test_the_splits_of_seed_0_are_these(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Pinned, so that no later change moves a validation image into training unseen."""
        published = publish(monkeypatch, "mnist")
        splits = published.prepare(published.put(tmp_path)).splits
        assert {split: indices[:5].tolist() for split, indices in splits.items()} == PINNED

    @every_name
    @pytest.mark.parametrize("stanza", [{}, {"train_images": 33, "split_seed": 2}])
    def test_mean_and_spread_are_those_of_the_training_split(
        self, name: str, stanza: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        published = publish(monkeypatch, name)
        dataset = published.prepare(published.put(tmp_path), **stanza)
        training = dataset.select("train")[0].numpy() / 255
        np.testing.assert_allclose(dataset.description.mean, training.mean(axis=(0, 2, 3)), rtol=1e-12)
        np.testing.assert_allclose(dataset.description.std, training.std(axis=(0, 2, 3)), rtol=1e-12)
        everything = dataset.images.numpy() / 255
        assert np.abs(dataset.description.mean - everything.mean(axis=(0, 2, 3))).min() > 1e-6

    def test_statistics_of_many_images_and_of_equal_ones(self) -> None:
        images = np.random.default_rng(0).integers(0, 256, (2500, 2, 3, 3)).astype(np.uint8)
        images[:, 1] = 7
        chosen = np.arange(0, 2500, 2)
        mean, std = statistics.mean_and_std(statistics.count_levels(images, chosen))
        np.testing.assert_allclose(mean, (images[chosen] / 255).mean(axis=(0, 2, 3)), rtol=1e-12)
        assert std[0] == pytest.approx((images[chosen, 0] / 255).std(), rel=1e-12)
        assert (mean[1], std[1]) == (7 / 255, 0)


PINNED = {
    "train": [25, 132, 92, 143, 78],
    "validation": [135, 138, 45, 65, 129],
    "test": [177, 200, 154, 202, 192],
}


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "sizes"),
        cases_here(
            "datasets",
            [
                ("mnist", (55000, 5000, 10000)),
                ("fashion_mnist", (55000, 5000, 10000)),
                ("cifar10", (45000, 5000, 10000)),
                ("cifar100", (45000, 5000, 10000)),
                ("svhn", (68257, 5000, 26032)),
            ],
        ),
    )
    def test_sizes_when_nothing_is_said(self, name: str, sizes: tuple[int, ...]) -> None:
        for declared in (registry.load("datasets", name).Settings, registry.settings_class("datasets", name)):
            assert tuple(declared().sizes().values()) == sizes
            assert declared().downloads
            assert declared().key == name

    @every_name
    @pytest.mark.parametrize(
        ("stanza", "expected"),
        [
            (
                {"train_images": 80_000},
                r"validation_images \+ train_images \(5000 \+ 80000\) should be at most",
            ),
            ({"validation_images": 73_257}, r"\(73257 \+ at least 1\) should be at most"),
            ({"train_images": 0}, "greater than or equal to 1"),
            ({"validation_images": 0}, "greater than or equal to 1"),
            ({"test_images": 26_033}, r"test_images \(26033\) should be at most"),
            ({"test_images": 0}, "greater than or equal to 1"),
            ({"split_seed": -1}, "greater than or equal to 0"),
            ({"train_images": 1.5}, "whole number"),
            ({"test_image": 3}, "did you mean 'test_images'"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, name: str, stanza: dict[str, Any], expected: str) -> None:
        for declared in (registry.load("datasets", name).Settings, registry.settings_class("datasets", name)):
            with pytest.raises(ValidationError, match=expected):
                declared.model_validate(stanza)

    @every_name
    def test_the_largest_splits_are_allowed(self, name: str) -> None:
        declared = registry.settings_class("datasets", name)
        train, test = declared.train_available, declared.test_available
        largest = declared(train_images=train - 5000, test_images=test)
        assert largest.sizes() == declared().sizes()
        assert declared(validation_images=train - 1).sizes()["train"] == 1
