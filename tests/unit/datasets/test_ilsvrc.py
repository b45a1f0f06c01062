"""ILSVRC objects, from a small tree of XML and image files made here; no file of the real archive is needed."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from reproof import artifacts, registry
from reproof.data import object_crops, object_index, prepared
from reproof.data import photographs as data_photographs
from reproof.data.dataset import Dataset
from reproof.data.workers import Workers
from reproof.datasets import ilsvrc
from reproof.errors import ArtifactError, DataError
from reproof.plan.job import Job
from reproof.provenance import Run
from reproof.stages import prepare as stage

CAT, DOG, OWL = "n00000011", "n00000020", "n00000103"
SMALL = {"classes": 2, "images_per_class": 10, "image_size": 16, "validation_share": 0.1}
"""Of each class 7 to train on, 1 for validation, 2 for tests."""


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(seed: int, width: int = 40, height: int = 30) -> np.ndarray:
    """Return smooth random pixels (height, width, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def jpeg(seed: int, width: int = 40, height: int = 30) -> bytes:
    return encode(Image.fromarray(picture(seed, width, height)), "JPEG", quality=95)


def xml(objects: str, size: tuple[int, int] | None = (40, 30)) -> str:
    said = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    return f"<annotation><folder>f</folder>{said}{objects}</annotation>"


def boxed(wnid: str, *box: object) -> str:
    left, top, right, bottom = box
    return (
        f"<object><name>{wnid}</name><bndbox><xmin>{left}</xmin><xmax>{right}</xmax>"
        f"<ymin>{top}</ymin><ymax>{bottom}</ymax></bndbox></object>"
    )


class Tree:
    """A folder as ILSVRC2017_DET.tar.gz unpacks it."""

    def __init__(self, root: Path):
        self.root = root
        self.annotations = root / "ILSVRC/Annotations/DET/train"
        self.images = root / "ILSVRC/Data/DET/train"
        self.count = 0

    def add(self, name: str, annotation: str | bytes, image: bytes | None) -> None:
        path = self.annotations / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(annotation.encode() if isinstance(annotation, str) else annotation)
        path = self.images / f"{name}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        if image is not None:
            path.write_bytes(image)

    def add_good(self, wnid: str, count: int, folder: str = "good") -> Tree:
        """Add photographs with one object each."""
        for _ in range(count):
            self.count += 1
            box = boxed(wnid, self.count % 7, self.count % 5, 25 + self.count % 9, 20 + self.count % 8)
            self.add(f"{folder}/{wnid}_{self.count}", xml(box), jpeg(self.count))
        return self


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "tree")


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """Two classes of 13 objects and one of 12, some photographs with several, in nested folders; never changed."""
    made = Tree(tmp_path_factory.mktemp("usual"))
    for wnid, count in ((DOG, 10), (CAT, 9), (OWL, 12)):
        made.add_good(wnid, count, folder=f"ILSVRC2013_train/{wnid}")
    made.add("b/pair", xml(boxed(CAT, 0, 0, 19, 29) + boxed(DOG, 20, 0, 39, 29)), jpeg(100))
    made.add(
        "a/three",
        xml(boxed(CAT, 0, 0, 9, 9) + boxed(CAT, 9, 9, 29, 29) + boxed(DOG, 5, 5, 20, 20)),
        jpeg(101),
    )
    made.add("nothing", xml(""), jpeg(102))
    made.add("a/last", xml(boxed(CAT, 1, 1, 30, 20) + boxed(DOG, 3, 3, 30, 20)), jpeg(103))
    return made


def parse(**stanza: Any) -> ilsvrc.Settings:
    return ilsvrc.Settings.model_validate({**SMALL, **stanza})


def prepare(tree: Tree, workers: int = 1, **stanza: Any) -> tuple[Dataset, dict[str, Any]]:
    out = tree.root.parent / f"out{len(list(tree.root.parent.iterdir()))}.safetensors"
    notes = ilsvrc.prepare_to(parse(**stanza), tree.root, out, out.with_suffix(".working"), workers)
    assert not out.with_suffix(".working").exists()
    return prepared.read_dataset(out), notes


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several annotations, images and rows per piece, and several pieces."""
    monkeypatch.setattr(object_index, "ANNOTATIONS_AT_ONCE", 7)
    monkeypatch.setattr(ilsvrc, "_BYTES_AT_ONCE", 3 * 16 * 16 * 6)


class TestSettings:
    def test_the_papers_numbers(self) -> None:
        settings = ilsvrc.Settings()
        assert settings.shape == (3, 128, 128)
        assert settings.sizes() == {"train": 67_500, "validation": 4_500, "test": 18_000}
        assert settings.sizes()["test"] / sum(settings.sizes().values()) == 0.2
        assert len(settings.class_names) == 100
        assert (settings.downloads, settings.streams, settings.key) == (True, True, "ilsvrc")

    def test_given_classes_are_the_names(self) -> None:
        assert parse(wnids=[OWL, CAT]).class_names == (OWL, CAT)

    @pytest.mark.parametrize(
        ("stanza", "expected"),
        [
            ({"classes": 1}, "greater than or equal to 2"),
            ({"images_per_class": 2}, "greater than or equal to 3"),
            ({"wnids": [CAT]}, r"wnids \(1 of them\) should be as many as classes \(2\)"),
            ({"wnids": [CAT, CAT]}, "each class once"),
            ({"wnids": [CAT, "dog"]}, "pattern"),
            ({"test_share": 0.04}, r"leave at least one of images_per_class \(10\) in each split"),
            ({"validation_share": 0.01}, r"not \(8, 0, 2\)"),
            ({"test_share": 0.9}, "at least one"),
            ({"test_share": 0}, "greater than 0"),
            ({"image_size": 7}, "greater than or equal to 8"),
            ({"resize": "nearest"}, "bilinear"),
            ({"split_by": "folder"}, "photograph"),
            ({"smallest_box": 0}, "greater than or equal to 1"),
            ({"split_seed": -1}, "greater than or equal to 0"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, stanza: dict[str, Any], expected: str) -> None:
        for declared in (ilsvrc.Settings, registry.settings_class("datasets", "ilsvrc")):
            with pytest.raises(ValidationError, match=expected):
                declared.model_validate({**SMALL, **stanza})


class TestSplits:
    @pytest.mark.parametrize("split_by", ["photograph", "object"])
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_sizes_and_equal_counts(self, usual: Tree, split_by: str, seed: int) -> None:
        settings = parse(split_by=split_by, split_seed=seed)
        dataset, notes = prepare(usual, split_by=split_by, split_seed=seed)
        assert dataset.images.shape == (20, 3, 16, 16)
        assert dataset.images.dtype == torch.uint8
        assert {split: len(indices) for split, indices in dataset.splits.items()} == settings.sizes()
        for split, each in (("train", 7), ("validation", 1), ("test", 2)):
            assert dataset.labels[dataset.splits[split]].bincount().tolist() == [each, each]
        together = torch.cat(list(dataset.splits.values()))
        assert sorted(together.tolist()) == list(range(20))
        assert notes["splits"] == settings.sizes()
        assert (notes["images"], notes["classes"]) == (20, 2)
        assert notes["objects"] == 9 + 10 + 12 + 2 + 3 + 2

    def test_the_beginning_of_a_split_is_stratified(self, usual: Tree) -> None:
        dataset, _ = prepare(usual)
        for count in range(2, 15, 2):
            assert dataset.select("train", count)[1].bincount().tolist() == [count // 2, count // 2]

    def test_a_photograph_is_in_one_split(self, tree: Tree) -> None:
        """Each photograph has its own flat colour, so that its objects are known by it."""
        for number in range(8):
            flat = encode(Image.new("RGB", (40, 30), (number * 30, 0, 0)))
            objects = "".join(boxed(wnid, 0, 0, 9 + n, 9) for n in range(2) for wnid in (CAT, DOG))
            tree.add(f"{number}", xml(objects), flat)
        tree.add_good(CAT, 4).add_good(DOG, 4)
        apart = {}
        for split_by in ("photograph", "object"):
            dataset, notes = prepare(tree, split_by=split_by, test_share=0.4)
            where: dict[int, set[str]] = {}
            for split in dataset.splits:
                for image in dataset.select(split)[0]:
                    if not image[1:].any():
                        where.setdefault(int(image[0, 0, 0]), set()).add(split)
            apart[split_by] = max(len(splits) for splits in where.values())
            assert (dataset.labels.bincount() == 10).all()
            assert len(where) >= 4
            assert notes["photographs"] <= 16
        assert apart == {"photograph": 1, "object": pytest.approx(2.5, abs=0.5)}

    def test_two_copies_of_a_photograph_are_one(self, tree: Tree) -> None:
        for number in range(8):
            flat = encode(Image.new("RGB", (40, 30), (number * 30, 0, 0)))
            tree.add(f"one/{number}", xml(boxed(CAT, 0, 0, 9, 9)), flat)
            tree.add(f"two/copy{number}", xml(boxed(CAT, 0, 0, 19, 9)), flat)
        tree.add_good(DOG, 10)
        dataset, notes = prepare(tree)
        where: dict[int, set[str]] = {}
        for split in dataset.splits:
            images, labels = dataset.select(split)
            for image in images[labels == 0]:
                where.setdefault(int(image[0, 0, 0]), set()).add(split)
        assert len(where) < 10, "some photographs are there twice"
        assert max(len(splits) for splits in where.values()) == 1
        assert notes["photographs"] == len(where) + 10

    def test_a_photograph_that_fits_nowhere_is_replaced_and_counted(self, tree: Tree) -> None:
        tree.add("crowd", xml("".join(boxed(CAT, n, n, 20 + n, 20 + n) for n in range(9))), jpeg(900))
        tree.add("mob", xml("".join(boxed(DOG, n % 9, n % 8, 20, 20) for n in range(60))), jpeg(901))
        tree.add_good(CAT, 4).add_good(DOG, 10)
        dataset, notes = prepare(tree, wnids=[CAT, DOG])
        assert list(notes["faults"]) == [ilsvrc.NO_PART]
        assert notes["faults"][ilsvrc.NO_PART] >= 8
        assert dataset.labels.bincount().tolist() == [10, 10]

    def test_when_no_replacement_is_left_the_remedy_is_told(self, tree: Tree) -> None:
        tree.add("crowd", xml("".join(boxed(CAT, n, n, 20 + n, 20 + n) for n in range(9))), jpeg(900))
        tree.add_good(CAT, 1).add_good(DOG, 10)
        with pytest.raises(
            DataError, match=rf"{CAT}: 1 of the 10 objects .* Set split_by to object, or wnids"
        ):
            prepare(tree)
        assert len(prepare(tree, split_by="object")[0].labels) == 20

    @given(data=st.data())
    @examples(max_examples=80, deadline=None)
    def test_divide_fills_every_part_exactly(self, data: st.DataObject) -> None:
        sizes = data.draw(st.lists(st.integers(1, 6), min_size=2, max_size=4))
        classes = data.draw(st.integers(1, 4))
        labels = np.tile(np.arange(classes), sum(sizes))
        photographs = np.array(
            data.draw(st.lists(st.integers(0, 30), min_size=len(labels), max_size=len(labels)))
        )
        parts = data_photographs.divide(labels, photographs, sizes, np.random.default_rng(0))
        for photograph in np.unique(photographs):
            assert len(np.unique(parts[photographs == photograph])) == 1
        for part, size in enumerate(sizes):
            counts = np.bincount(labels[parts == part], minlength=classes)
            assert counts.max() <= size
            assert (parts < 0).any() or (counts == size).all()

    def test_divide_needs_no_replacement_when_photographs_have_one_object(self) -> None:
        labels = np.repeat([0, 1, 2], 20)
        parts = data_photographs.divide(labels, np.arange(60), (15, 1, 4), np.random.default_rng(3))
        assert [np.bincount(labels[parts == part]).tolist() for part in range(3)] == [
            [15] * 3,
            [1] * 3,
            [4] * 3,
        ]


class TestClasses:
    def test_those_with_the_most_objects_ties_by_name_labels_by_name(self, usual: Tree) -> None:
        assert prepare(usual)[1]["wnids"] == [CAT, DOG]
        tie, notes = prepare(usual, images_per_class=12)
        assert notes["wnids"] == [CAT, DOG], "13 each; the owls have 12"
        assert tie.labels.bincount().tolist() == [12, 12]

    def test_of_equal_classes_the_first_by_name(self, tree: Tree) -> None:
        tree.add_good(OWL, 10, "a").add_good(DOG, 10, "b").add_good(CAT, 10, "c")
        assert prepare(tree)[1]["wnids"] == [CAT, DOG]

    def test_given_classes_in_the_given_order(self, usual: Tree) -> None:
        dataset, notes = prepare(usual, wnids=[OWL, CAT])
        assert notes["wnids"] == [OWL, CAT]
        assert dataset.labels.bincount().tolist() == [10, 10]
        alone, _ = prepare(usual, wnids=[CAT, OWL])
        assert torch.equal(alone.images, dataset.images)
        assert torch.equal(alone.labels, 1 - dataset.labels)

    def test_small_boxes_do_not_count_for_the_choice(self, tree: Tree) -> None:
        tree.add_good(CAT, 10).add_good(DOG, 10)
        tree.add("many", xml("".join(boxed(OWL, n, 0, n + 6, 29) for n in range(30))), jpeg(1))
        notes = prepare(tree)[1]
        assert notes["wnids"] == [CAT, DOG]
        assert notes["faults"] == {object_crops.SMALL: 30}
        assert prepare(tree, smallest_box=7, split_by="object")[1]["wnids"] == [CAT, OWL]

    def test_words_of_the_development_kit(self, usual: Tree, tree: Tree) -> None:
        assert prepare(usual)[1]["class_names"] == [CAT, DOG]
        tree.add_good(CAT, 10).add_good(DOG, 10).add_good(OWL, 11)
        path = tree.root / "ILSVRC/devkit/data/map_det.txt"
        path.parent.mkdir(parents=True)
        path.write_text(f"{CAT} 1 a cat\n\n{DOG} 2 dog  \nrubbish\n")
        notes = prepare(tree)[1]
        assert notes["class_names"] == ["a cat", "dog"]
        assert notes["faults"] == {object_index.UNKNOWN_CLASS: 11}, "what the kit does not name"
        path.write_bytes(b"\xff\xfe rubbish")
        assert prepare(tree)[1]["class_names"] == [CAT, OWL]

    def test_too_few_classes(self, usual: Tree) -> None:
        with pytest.raises(DataError) as caught:
            prepare(usual, images_per_class=13, classes=3)
        assert "only 2 of the 3 classes have 13 objects" in str(caught.value)
        assert f"{OWL}, has 12" in str(caught.value)
        assert "Set classes to at most 2, or images_per_class to at most 12, or smallest_box" in str(
            caught.value
        )
        assert len(prepare(usual, images_per_class=12, classes=3)[0].labels) == 36
        with pytest.raises(
            DataError, match=r"only 3 of the 5 classes have 10 objects.* classes to at most 3"
        ):
            prepare(usual, classes=5)
        with pytest.raises(DataError, match=r"n99999999, has 0\. Set wnids to other classes"):
            prepare(usual, wnids=[CAT, "n99999999"])

    def test_a_class_that_falls_short_because_of_broken_images(self, tree: Tree) -> None:
        tree.add_good(CAT, 12).add_good(DOG, 12)
        for path in sorted(tree.images.rglob(f"{DOG}*"))[:4]:
            path.write_bytes(b"no image")
        with pytest.raises(DataError) as caught:
            prepare(tree)
        assert f"class {DOG}: 8 of the 10 objects that images_per_class asks for" in str(caught.value)
        assert "4 objects whose image is broken" in str(caught.value)
        assert "Set images_per_class to at most 8, or wnids" in str(caught.value)
        assert prepare(tree, images_per_class=8, validation_share=0.2)[0].labels.bincount().tolist() == [8, 8]

    def test_a_class_whose_last_objects_are_good_may_still_fall_short(self, tree: Tree) -> None:
        """Whichever two of eleven are broken, and whenever they are drawn."""
        tree.add_good(CAT, 10).add_good(DOG, 11)
        paths = sorted(tree.images.rglob(f"{DOG}*"))
        for broken in zip(paths[:6], paths[5:], strict=True):
            kept = [path.read_bytes() for path in broken]
            for path in broken:
                path.write_bytes(b"no image")
            with pytest.raises(DataError, match=f"class {DOG}: 9 of the 10 objects"):
                prepare(tree)
            for path, data in zip(broken, kept, strict=True):
                path.write_bytes(data)
        assert len(prepare(tree)[0].labels) == 20


class TestPixels:
    def only(self, tree: Tree, annotation: str, image: bytes, **stanza: Any) -> torch.Tensor:
        """Return the one object of class OWL, of three alike, so that each split has one."""
        tree.add("it/1", annotation, image)
        for number in (2, 3):
            tree.add(f"it/{number}", annotation, image + b"-" * number)
        tree.add_good(CAT, 3)
        dataset, _ = prepare(
            tree, images_per_class=3, test_share=0.34, validation_share=0.34, wnids=[OWL, CAT], **stanza
        )
        found = dataset.images[dataset.labels == 0]
        assert len(found) == 3
        assert torch.equal(found[0], found[1])
        return found[0]

    def test_a_box_of_the_right_size_is_copied(self, tree: Tree) -> None:
        pixels = picture(7)
        found = self.only(tree, xml(boxed(OWL, 3, 5, 18, 20)), encode(Image.fromarray(pixels)))
        assert np.array_equal(found.numpy(), pixels[5:21, 3:19].transpose(2, 0, 1))

    def test_a_jpeg_is_decoded_as_pillow_does(self, tree: Tree) -> None:
        data = jpeg(7)
        found = self.only(tree, xml(boxed(OWL, 24, 14, 39, 29)), data)
        decoded = np.asarray(Image.open(io.BytesIO(data)))
        assert np.array_equal(found.numpy(), decoded[14:30, 24:40].transpose(2, 0, 1))

    def test_scaling_averages(self, tree: Tree) -> None:
        """A box of 32 x 16 to 8 x 8: means over 4 x 2 pixels, and the proportions are not kept."""
        pixels = picture(8)
        found = self.only(
            tree,
            xml(boxed(OWL, 2, 4, 33, 19)),
            encode(Image.fromarray(pixels)),
            image_size=8,
            resize="box",
        )
        means = pixels[4:20, 2:34].reshape(8, 2, 8, 4, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
        assert np.abs(found.numpy() - means).max() <= 1

    def test_bilinear_is_a_triangle_as_wide_as_the_scale(self, tree: Tree) -> None:
        """Weights by hand along one axis: a box of 32 columns to 16, each a triangle over 4 pixels."""
        pixels = np.repeat(picture(9)[:1], 30, axis=0)
        found = self.only(tree, xml(boxed(OWL, 4, 0, 35, 15)), encode(Image.fromarray(pixels)))
        line = pixels[0, 4:36].astype(float)
        for column in range(1, 15):
            weights = np.array([1, 3, 3, 1]) / 8
            expected = weights @ line[2 * column - 1 : 2 * column + 3]
            assert np.abs(found[:, 0, column].numpy() - expected).max() <= 1

    @pytest.mark.parametrize("resize", ["bilinear", "bicubic", "lanczos", "box"])
    def test_pixels_outside_the_box_have_no_part(self, tree: Tree, resize: str) -> None:
        pixels = np.full((30, 40, 3), 255, dtype=np.uint8)
        pixels[5:25, 10:30] = 60
        found = self.only(
            tree, xml(boxed(OWL, 10, 5, 29, 24)), encode(Image.fromarray(pixels)), resize=resize
        )
        assert found.unique().tolist() == [60]

    def test_a_box_is_cut_at_the_edge(self, tree: Tree) -> None:
        pixels = picture(10)
        found = self.only(tree, xml(boxed(OWL, -5, 14, 15, 99)), encode(Image.fromarray(pixels)))
        assert np.array_equal(found.numpy(), pixels[14:30, 0:16].transpose(2, 0, 1))

    @pytest.mark.parametrize("said", [(20, 10), (4000, 3000), (0, 0), None])
    def test_an_annotation_that_lies_about_the_size(self, tree: Tree, said: tuple[int, int] | None) -> None:
        pixels = picture(11)
        found = self.only(tree, xml(boxed(OWL, 24, 14, 39, 29), said), encode(Image.fromarray(pixels)))
        assert np.array_equal(found.numpy(), pixels[14:30, 24:40].transpose(2, 0, 1))

    def test_a_box_of_broken_numbers_is_rounded(self, tree: Tree) -> None:
        pixels = picture(12)
        found = self.only(tree, xml(boxed(OWL, 2.8, "5.0", " 18 ", 1.96e1)), encode(Image.fromarray(pixels)))
        assert np.array_equal(found.numpy(), pixels[5:21, 3:19].transpose(2, 0, 1))

    @pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "PA"])
    def test_odd_modes(self, tree: Tree, mode: str) -> None:
        colours = Image.fromarray(picture(13))
        image = colours.convert("P").convert("PA") if mode == "PA" else colours.convert(mode)
        options = {"transparency": b"\x00\x80" * 20} if mode == "P" else {}
        kind = "JPEG" if mode == "CMYK" else "PNG"
        if mode == "PA":
            image = image.convert("RGBA")
        data = encode(image, kind, **options)
        found = self.only(tree, xml(boxed(OWL, 3, 5, 18, 20)), data)
        expected = Image.open(io.BytesIO(data)).convert("RGBA" if mode == "P" else "RGB").convert("RGB")
        crop = np.asarray(expected)[5:21, 3:19].transpose(2, 0, 1)
        assert np.array_equal(found.numpy(), crop)
        if mode == "L":
            assert np.array_equal(found[0], found[2])

    def test_a_note_on_orientation_is_not_followed(self, tree: Tree) -> None:
        """The boxes are counted in stored pixels, as the annotations' sizes are."""
        exif = Image.Exif()
        exif[0x0112] = 6
        image = Image.fromarray(picture(14))
        data = encode(image, "JPEG", quality=95, exif=exif)
        assert Image.open(io.BytesIO(data)).getexif()[0x0112] == 6
        found = self.only(tree, xml(boxed(OWL, 24, 14, 39, 29)), data)
        plain = np.asarray(Image.open(io.BytesIO(data)))
        assert plain.shape == (30, 40, 3)
        assert np.array_equal(found.numpy(), plain[14:30, 24:40].transpose(2, 0, 1))

    def test_mean_and_spread_are_those_of_the_training_split(self, usual: Tree) -> None:
        dataset, _ = prepare(usual)
        training = dataset.select("train")[0].numpy() / 255
        assert dataset.description.mean == pytest.approx(training.mean(axis=(0, 2, 3)), abs=1e-12)
        assert dataset.description.std == pytest.approx(training.std(axis=(0, 2, 3)), abs=1e-12)
        everything = dataset.images.numpy() / 255
        assert dataset.description.mean[0] != pytest.approx(everything.mean(axis=(0, 2, 3))[0], abs=1e-7)


GOOD = boxed(CAT, 5, 5, 25, 25)
IMAGE_FAULTS: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, object_crops.MISSING_IMAGE),
    "empty": (b"", object_crops.BROKEN_IMAGE),
    "text": (b"<html>404</html>", object_crops.BROKEN_IMAGE),
    "truncated jpeg": (jpeg(1)[:-300], object_crops.BROKEN_IMAGE),
    "header alone": (jpeg(1)[:100], object_crops.BROKEN_IMAGE),
    "truncated png": (encode(Image.fromarray(picture(1)))[:-100], object_crops.BROKEN_IMAGE),
    "another format": (encode(Image.fromarray(picture(1)), "BMP"), object_crops.BROKEN_IMAGE),
    "too many pixels": (encode(Image.new("1", (10_000, 7_000))), object_crops.BROKEN_IMAGE),
}
ANNOTATION_FAULTS: dict[str, tuple[str | bytes, dict[str, int]]] = {
    "empty file": ("", {object_crops.BROKEN_ANNOTATION: 1}),
    "cut off": (xml(GOOD)[:-20], {object_crops.BROKEN_ANNOTATION: 1}),
    "no xml": ("\0\1\2", {object_crops.BROKEN_ANNOTATION: 1}),
    "unknown encoding": (
        "<?xml version='1.0' encoding='x-no'?><annotation/>",
        {object_crops.BROKEN_ANNOTATION: 1},
    ),
    "another document": ("<html></html>", {object_crops.BROKEN_ANNOTATION: 1}),
    "entities": (
        "<!DOCTYPE a [<!ENTITY b 'bbbb'>]>" + xml(GOOD),
        {object_crops.BROKEN_ANNOTATION: 1},
    ),
    "no box": (xml(f"<object><name>{CAT}</name></object>"), {object_crops.NO_BOX: 1}),
    "half a box": (xml(GOOD.replace("<xmax>25</xmax>", "")), {object_crops.NO_BOX: 1}),
    "words for numbers": (xml(boxed(CAT, "a", 1, 2, 3)), {object_crops.NO_BOX: 1}),
    "no number": (xml(boxed(CAT, "nan", 1, 20, 30)), {object_crops.NO_BOX: 1}),
    "endless": (xml(boxed(CAT, 0, 0, "inf", 30)), {object_crops.NO_BOX: 1}),
    "enormous": (xml(boxed(CAT, 0, 0, "1e300", 30)), {object_crops.NO_BOX: 1}),
    "turned round": (xml(boxed(CAT, 25, 5, 5, 25)), {object_crops.EMPTY_BOX: 1}),
    "upside down": (xml(boxed(CAT, 5, 25, 25, 5)), {object_crops.EMPTY_BOX: 1}),
    "small": (xml(boxed(CAT, 5, 5, 11, 25)), {object_crops.SMALL: 1}),
    "unknown class": (xml(boxed("cat", 5, 5, 25, 25)), {object_index.UNKNOWN_CLASS: 1}),
    "no class": (xml(GOOD.replace(f"<name>{CAT}</name>", "")), {object_index.UNKNOWN_CLASS: 1}),
    "two in one": (
        xml(boxed(CAT, 25, 5, 5, 25) + boxed(DOG, 5, 25, 25, 5) + boxed("?", 1, 1, 20, 20)),
        {object_crops.EMPTY_BOX: 2, object_index.UNKNOWN_CLASS: 1},
    ),
}
JUDGED_BY_THE_IMAGE: dict[str, tuple[str, str]] = {
    "right": (xml(boxed(CAT, 40, 5, 60, 25)), object_crops.OUTSIDE),
    "below, by the image alone": (xml(boxed(CAT, 5, 30, 25, 60), (400, 300)), object_crops.OUTSIDE),
    "left": (xml(boxed(CAT, -30, 5, -1, 25)), object_crops.OUTSIDE),
    "small once it is cut": (xml(boxed(CAT, 33, 5, 60, 25)), object_crops.SMALL),
}


class TestFaults:
    """Each is counted and told, none is fatal; the object is replaced by another."""

    @pytest.mark.parametrize("name", IMAGE_FAULTS)
    def test_images(self, tree: Tree, capsys: pytest.CaptureFixture[str], name: str) -> None:
        data, fault = IMAGE_FAULTS[name]
        tree.add_good(CAT, 10).add_good(DOG, 10)
        for number in range(100):  # so many that some are drawn
            tree.add(f"bad/{number}", xml(GOOD), data)
        dataset, notes = prepare(tree)
        assert dataset.labels.bincount().tolist() == [10, 10]
        assert list(notes["faults"]) == [fault]
        assert 5 <= notes["faults"][fault] <= 100
        assert notes["mended"] == {}
        assert capsys.readouterr().err == f"ilsvrc: {notes['faults'][fault]} {fault}\n"

    @pytest.mark.parametrize("name", ANNOTATION_FAULTS)
    def test_annotations(self, tree: Tree, capsys: pytest.CaptureFixture[str], name: str) -> None:
        annotation, expected = ANNOTATION_FAULTS[name]
        tree.add_good(CAT, 9).add_good(DOG, 10)
        tree.add("bad/1", annotation, jpeg(50))
        with pytest.raises(DataError):  # the fault is no object
            prepare(tree)
        tree.add_good(CAT, 1, "late")
        capsys.readouterr()
        dataset, notes = prepare(tree)
        told = capsys.readouterr().err
        assert notes["faults"] == expected
        assert all(f"1 {fault}" in told or f"2 {fault}" in told for fault in expected)
        assert dataset.labels.bincount().tolist() == [10, 10]

    @pytest.mark.parametrize("name", JUDGED_BY_THE_IMAGE)
    def test_boxes_that_only_the_image_judges(self, tree: Tree, name: str) -> None:
        annotation, fault = JUDGED_BY_THE_IMAGE[name]
        tree.add_good(CAT, 10).add_good(DOG, 10)
        for number in range(100):
            tree.add(f"bad/{number}", annotation, jpeg(number))
        dataset, notes = prepare(tree)
        assert list(notes["faults"]) == [fault]
        assert dataset.labels.bincount().tolist() == [10, 10]

    def test_what_is_mended_is_told(self, tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
        tree.add_good(CAT, 10)
        for number in range(10):
            tree.add(f"{number}", xml(boxed(DOG, -3, 5, 25, 45), (50, 30)), jpeg(number))
        notes = prepare(tree)[1]
        assert notes["faults"] == {}
        assert notes["mended"][object_crops.WRONG_SIZE] == 10
        assert notes["mended"][object_crops.CUT] >= 10
        assert "10 objects whose annotation gives the image a wrong size" in capsys.readouterr().err

    def test_a_good_tree_is_told_nothing_of(self, tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
        tree.add_good(CAT, 10).add_good(DOG, 10)
        for path in tree.annotations.rglob("*.xml"):  # boxes that end inside
            path.write_text(xml(boxed(path.name[:9], 1, 1, 30, 25)))
        notes = prepare(tree)[1]
        assert (notes["faults"], notes["mended"]) == ({}, {})
        assert capsys.readouterr() == ("", "")

    def test_other_files_are_left_alone(self, tree: Tree) -> None:
        tree.add_good(CAT, 10).add_good(DOG, 10)
        (tree.annotations / "README").write_text("x")
        (tree.annotations / "good" / "folder.xml").mkdir()
        (tree.images / "good" / f"{CAT}_1.JPEG").unlink()
        (tree.images / "good" / f"{CAT}_1.JPEG").mkdir()
        tree.add_good(CAT, 1)
        notes = prepare(tree)[1]
        assert notes["annotations"] == 21
        assert notes["faults"] in ({}, {object_crops.MISSING_IMAGE: 1})

    @pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE])
    @pytest.mark.parametrize("ending", [".xml", ".JPEG"])
    def test_a_failing_disk_is_not_taken_for_a_broken_file(
        self, usual: Tree, monkeypatch: pytest.MonkeyPatch, number: int, ending: str
    ) -> None:
        opened = Path.open

        def refuse(self: Path, *arguments: Any, **named: Any) -> Any:
            if self.name.endswith(ending):
                raise OSError(number, os.strerror(number), str(self))
            return opened(self, *arguments, **named)

        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(DataError, match=rf"{ending} cannot be read \({os.strerror(number)}\)"):
            prepare(usual)

    def test_memory_that_runs_out_is_not_taken_for_a_broken_image(
        self, usual: Tree, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(data: bytes) -> Image.Image:
            raise MemoryError

        monkeypatch.setattr(object_crops, "decode", refuse)
        with pytest.raises(MemoryError):
            prepare(usual)


class TestMissing:
    def test_the_licence_and_the_layout_are_told(self, tree: Tree, usual: Tree) -> None:
        tree.root.mkdir(parents=True)
        for missing in (ilsvrc.ANNOTATIONS, ilsvrc.IMAGES):
            with pytest.raises(DataError) as caught:
                prepare(tree)
            message = str(caught.value)
            assert message.startswith(f"{tree.root / missing} is missing or empty")
            for words in (
                "licence",
                "https://image-net.org",
                "ILSVRC2017_DET.tar.gz",
                f"tar -xzf ILSVRC2017_DET.tar.gz -C {tree.root}",
                "ILSVRC/Annotations/DET/train/**.xml",
                "ILSVRC/Data/DET/train/**.JPEG",
                "data_root",
            ):
                assert words in message
            assert not list(tree.root.parent.glob("out*"))
            tree.add("x", xml(""), None)
            if missing == ilsvrc.IMAGES:
                (tree.images / "x.JPEG").write_bytes(b"")

    def test_folders_without_annotations(self, tree: Tree) -> None:
        for folder in (tree.annotations / "a/b", tree.images / "a"):
            folder.mkdir(parents=True)
        with pytest.raises(DataError, match=r"holds no \*\.xml"):
            prepare(tree)

    def test_a_folder_that_may_not_be_read(
        self, usual: Tree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        scan = os.scandir

        def refuse(folder: Path) -> Any:
            if Path(folder).name == CAT:
                raise PermissionError(errno.EACCES, "Permission denied", str(folder))
            return scan(folder)

        monkeypatch.setattr(os, "scandir", refuse)
        with pytest.raises(
            DataError, match=rf"{CAT}/? cannot be read \(Permission denied\). Make it readable"
        ):
            ilsvrc.prepare_to(parse(), usual.root, tmp_path / "o", tmp_path / "w", 1)

    def test_a_full_disk(self, usual: Tree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """While objects are kept, and while the file is written; the next run goes on."""
        replace = Path.replace
        full = {".pixels"}

        def refuse(self: Path, target: Path) -> Path:
            if Path(target).suffix in full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return replace(self, target)

        monkeypatch.setattr(Path, "replace", refuse)
        out = tmp_path / "o.safetensors"
        for ending in (".pixels", ".safetensors"):
            full = {ending}
            with pytest.raises(ArtifactError, match="no room left on the disk"):
                ilsvrc.prepare_to(parse(), usual.root, out, tmp_path / "w", 1)
            assert not out.exists()
        full = set()
        monkeypatch.setattr(object_crops, "decode", lambda data: pytest.fail("all objects were kept"))
        ilsvrc.prepare_to(parse(), usual.root, out, tmp_path / "w", 1)
        assert [path.name for path in tmp_path.iterdir()] == ["o.safetensors"]


class TestSameBytes:
    @pytest.mark.usefixtures("small_chunks")
    def test_whatever_the_number_of_workers(self, usual: Tree, tmp_path: Path) -> None:
        found = set()
        for workers in (1, 2, 3):
            path = tmp_path / f"{workers}"
            notes = ilsvrc.prepare_to(parse(), usual.root, path, tmp_path / "w", workers)
            found.add((path.read_bytes(), str(notes)))
        assert len(found) == 1

    def test_whatever_the_size_of_the_pieces(
        self, usual: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = set()
        for files, size in ((1, 1), (7, 5000), (1000, 1 << 24)):
            monkeypatch.setattr(object_index, "ANNOTATIONS_AT_ONCE", files)
            monkeypatch.setattr(ilsvrc, "_BYTES_AT_ONCE", size)
            ilsvrc.prepare_to(parse(), usual.root, tmp_path / "o", tmp_path / "w", 1)
            found.add((tmp_path / "o").read_bytes())
        assert len(found) == 1

    def test_another_seed_draws_others(self, usual: Tree) -> None:
        first, again, other = prepare(usual)[0], prepare(usual)[0], prepare(usual, split_seed=1)[0]
        assert torch.equal(first.images, again.images)
        assert not torch.equal(first.images, other.images)

    def test_the_file_is_what_write_dataset_writes(self, usual: Tree, tmp_path: Path) -> None:
        ilsvrc.prepare_to(parse(), usual.root, tmp_path / "o", tmp_path / "w", 1)
        prepared.write_dataset(tmp_path / "p", prepared.read_dataset(tmp_path / "o"))
        assert (tmp_path / "o").read_bytes() == (tmp_path / "p").read_bytes()


KILLED = """
import os, signal, sys
from pathlib import Path
from reproof.data import object_crops, object_index
from reproof.datasets import ilsvrc
where, after, root, out, working = sys.argv[1:]
object_index.ANNOTATIONS_AT_ONCE, ilsvrc._BYTES_AT_ONCE = 7, 3 * 16 * 16 * 6
module, name = {"annotations": (object_crops, "read_annotations"), "objects": (object_crops, "crop"), "images": (ilsvrc, "_at_once")}[where]
function, calls = getattr(module, name), []
def counted(task):
    calls.append(task)
    if len(calls) > int(after):
        os.kill(os.getpid(), signal.SIGKILL)
    return function(task)
setattr(module, name, counted)
settings = ilsvrc.Settings(classes=2, images_per_class=10, image_size=16, validation_share=0.1)
ilsvrc.prepare_to(settings, Path(root), Path(out), Path(working), 1)
"""


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    source = str(Path(ilsvrc.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": source}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("small_chunks")
class TestResume:
    @pytest.fixture
    def reference(self, usual: Tree, tmp_path: Path) -> bytes:
        ilsvrc.prepare_to(parse(), usual.root, tmp_path / "reference", tmp_path / "w", 1)
        return (tmp_path / "reference").read_bytes()

    @pytest.mark.parametrize(
        ("where", "after", "annotations", "objects"),
        [("annotations", 3, 3, 0), ("objects", 2, 5, 2), ("images", 7, 5, 4)],
    )
    def test_a_killed_run_goes_on(
        self,
        usual: Tree,
        reference: bytes,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        where: str,
        after: int,
        annotations: int,
        objects: int,
    ) -> None:
        out, working = tmp_path / "o.safetensors", tmp_path / "working"
        done = run(KILLED, where, after, usual.root, out, working)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not out.exists()
        kept = [path for path in working.rglob("*") if path.is_file()]
        assert (
            sum(path.suffix == ".json" for path in kept if "annotations" in path.parent.name) == annotations
        )
        assert sum(path.suffix == ".pixels" for path in kept) == objects
        calls = Counter[str]()
        self.count(monkeypatch, calls)
        ilsvrc.prepare_to(parse(), usual.root, out, working, 1)
        assert out.read_bytes() == reference
        assert calls["parse"] == 35 - 7 * annotations
        assert calls["cut"] == 20 - min(6 * objects, 20)
        assert not working.exists()
        assert not list(tmp_path.glob(".o*"))

    def count(self, monkeypatch: pytest.MonkeyPatch, calls: Counter[str]) -> None:
        for name in ("parse", "cut"):
            function = getattr(object_crops, name)

            def counted(*given: Any, _name: str = name, _function: Callable[..., Any] = function) -> Any:
                calls[_name] += 1
                return _function(*given)

            monkeypatch.setattr(object_crops, name, counted)

    @pytest.fixture
    def stopped(
        self, usual: Tree, reference: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[tuple[Path, Counter[str]]]:
        """Yield the folder of a run that ended before the last step, and counts of what is done again."""
        working, write = tmp_path / "working", artifacts.stream_tensors
        with monkeypatch.context() as patch:
            patch.setattr(
                artifacts, "stream_tensors", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt)
            )
            with pytest.raises(KeyboardInterrupt):
                ilsvrc.prepare_to(parse(), usual.root, tmp_path / "o", working, 1)
        assert artifacts.stream_tensors is write
        calls = Counter[str]()
        self.count(monkeypatch, calls)
        yield working, calls
        assert not working.exists()

    def go_on(self, usual: Tree, working: Path, **stanza: Any) -> bytes:
        out = working.with_name("o")
        ilsvrc.prepare_to(parse(**stanza), usual.root, out, working, 1)
        return out.read_bytes()

    def test_nothing_is_done_again(
        self, usual: Tree, reference: bytes, stopped: tuple[Path, Counter[str]]
    ) -> None:
        working, calls = stopped
        assert self.go_on(usual, working) == reference
        assert not calls

    @pytest.mark.parametrize(
        ("kind", "again"),
        [("annotations*/*.json", "parse"), ("objects*/*.json", "cut"), ("objects*/*.pixels", "cut")],
    )
    @pytest.mark.parametrize("damage", ["shorter", "other", "gone", "empty"])
    def test_what_is_damaged_is_made_again(
        self,
        usual: Tree,
        reference: bytes,
        stopped: tuple[Path, Counter[str]],
        kind: str,
        again: str,
        damage: str,
    ) -> None:
        working, calls = stopped
        path = sorted(working.glob(kind))[1]
        data = path.read_bytes()
        if damage == "gone":
            path.unlink()
        else:
            place = max(data.rfind(digit) for digit in b"3456789")  # another digit is as good JSON
            other = data[:place] + b"2" + data[place + 1 :]
            path.write_bytes({"shorter": data[:-1], "other": other, "empty": b""}[damage])
        assert self.go_on(usual, working) == reference
        assert list(calls) == [again]
        assert 1 <= calls[again] <= 7

    def test_a_changed_annotation_is_read_again(self, tree: Tree, tmp_path: Path) -> None:
        tree.add_good(CAT, 10).add_good(DOG, 9)
        out, working = tmp_path / "o", tmp_path / "w"
        with pytest.raises(DataError, match=f"{DOG}, has 9"):
            ilsvrc.prepare_to(parse(), tree.root, out, working, 1)
        assert working.exists(), "what was read is kept for the next try"
        path = next(tree.annotations.rglob(f"{CAT}*.xml"))
        path.write_text(path.read_text().replace("</annotation>", boxed(DOG, 1, 1, 21, 21) + "</annotation>"))
        notes = ilsvrc.prepare_to(parse(), tree.root, out, working, 1)
        assert notes["objects"] == 20

    def test_a_changed_image_is_cut_again(self, tree: Tree, tmp_path: Path) -> None:
        tree.add_good(CAT, 10).add_good(DOG, 10)
        path = next(tree.images.rglob(f"{DOG}*"))
        good = path.read_bytes()
        path.write_bytes(b"half a copy")
        out, working = tmp_path / "o", tmp_path / "w"
        with pytest.raises(DataError, match="1 objects whose image is broken"):
            ilsvrc.prepare_to(parse(), tree.root, out, working, 1)
        path.write_bytes(good)
        assert ilsvrc.prepare_to(parse(), tree.root, out, working, 1)["faults"] == {}

    def test_other_settings_throw_objects_away_and_keep_annotations(
        self, usual: Tree, stopped: tuple[Path, Counter[str]], tmp_path: Path
    ) -> None:
        working, calls = stopped
        found = self.go_on(usual, working, resize="box")
        assert calls == {"cut": 20}
        ilsvrc.prepare_to(parse(resize="box"), usual.root, tmp_path / "fresh", tmp_path / "w", 1)
        assert found == (tmp_path / "fresh").read_bytes()

    def test_other_code_throws_all_away(
        self,
        usual: Tree,
        reference: bytes,
        stopped: tuple[Path, Counter[str]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        working, calls = stopped
        monkeypatch.setattr(ilsvrc.code_digest, "digest", lambda modules: "another")
        assert self.go_on(usual, working) == reference
        assert calls == {"parse": 35, "cut": 20}


class TestWorkers:
    def test_results_come_in_the_order_of_the_tasks(self) -> None:
        with Workers(2) as workers:
            assert list(workers.spread(abs, range(-20, 0))) == list(range(20, 0, -1))
            assert list(workers.spread(str, iter([1, 2]))) == ["1", "2"]
            assert list(workers.spread(str, [])) == []

    def test_few_tasks_are_handed_out_before_results_are_taken(self) -> None:
        taken = []

        def tasks() -> Iterator[int]:
            for number in range(1000):
                taken.append(number)
                yield number

        for processes in (1, 2):
            taken.clear()
            with Workers(processes) as workers:
                results = workers.spread(abs, tasks())
                assert next(results) == 0
                assert len(taken) <= 6

    def test_an_error_of_a_worker_arrives_as_it_is(self, tmp_path: Path) -> None:
        task = object_crops.CropTask(tmp_path, (), 8, "box", 1, tmp_path / "file" / "folder")
        (tmp_path / "file").write_text("in the way")
        with (
            Workers(2) as workers,
            pytest.raises(ArtifactError, match="a file stands where a folder should be"),
        ):
            list(workers.spread(object_crops.crop, [task, task]))

    def test_a_killed_worker_is_told_with_the_remedy(self) -> None:
        with Workers(2) as workers, pytest.raises(DataError, match="with fewer threads"):
            list(workers.spread(os._exit, [9, 9]))

    def test_workers_end_with_the_process_that_started_them(self, tmp_path: Path) -> None:
        script = """
import multiprocessing, os, signal, sys, time
from reproof.data.workers import Workers
if __name__ == "__main__":
    with Workers(2) as workers:
        results = workers.spread(time.sleep, [0, 0, 600, 600, 600, 600, 600, 600])
        next(results)
        with open(sys.argv[1], "w") as file:
            print(*[child.pid for child in multiprocessing.active_children()], file=file)
        os.kill(os.getpid(), signal.SIGKILL)
"""
        command = [sys.executable, "-c", script, str(tmp_path / "children")]
        source = {"PYTHONPATH": str(Path(ilsvrc.__file__).parents[2])}
        # No pipe: workers that stay would hold it open.
        done = subprocess.run(command, env=os.environ | source, stdout=subprocess.DEVNULL, check=False)
        assert done.returncode == -signal.SIGKILL
        children = [int(pid) for pid in (tmp_path / "children").read_text().split()]
        assert len(children) == 2
        limit = time.monotonic() + 20
        while any(alive(pid) for pid in children) and time.monotonic() < limit:
            time.sleep(0.05)
        left = [pid for pid in children if alive(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left

    def test_workers_start_without_torch(self) -> None:
        done = run(
            "import sys, reproof.data.object_crops, reproof.data.workers; print('torch' in sys.modules)"
        )
        assert done.stdout == "False\n", done.stderr


def alive(pid: int) -> bool:
    """Say whether a process runs; one that ended and that nobody waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return Path("/proc/self").exists() is False and artifacts.process_lives(pid)
    return state != "Z"


MEMORY = """
import resource, sys
from pathlib import Path
from reproof.datasets import ilsvrc
root, out, working = map(Path, sys.argv[1:])
settings = ilsvrc.Settings(classes=2, images_per_class=80, image_size=512)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ilsvrc.prepare_to(settings, root, out, working, 1)
unit = 1 if sys.platform == "darwin" else 1024
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)
"""


def test_memory_does_not_grow_with_the_images(tree: Tree, tmp_path: Path) -> None:
    """126 MB of images pass through less than half of that."""
    tree.add_good(CAT, 80).add_good(DOG, 80)
    out = tmp_path / "o.safetensors"
    done = run(MEMORY, tree.root, out, tmp_path / "w")
    assert done.returncode == 0, done.stderr
    assert out.stat().st_size > 125e6
    assert int(done.stdout) < 60e6


def test_the_job_writes_the_file_and_tells_the_record(usual: Tree, tmp_path: Path) -> None:
    out = tmp_path / "data" / "crops.safetensors"
    job = Job(
        rule="prepare",
        name="crops",
        inputs={},
        outputs={"data": str(out), "record": str(out.with_suffix(".record.json"))},
        slice={
            "dataset": "crops",
            "settings": {"kind": "ilsvrc", **parse().model_dump(mode="json")},
            "data_root": str(usual.root),
        },
        modules=(),
    )
    record = Run(job=job.description, threads=2)
    stage.prepare(job, record)
    assert record.files == [out]
    assert record.notes["images"] == 20
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert len(prepared.read_dataset(out).labels) == 20


def test_bars_are_for_terminals(
    usual: Tree, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(usual)
    assert "%|" not in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    prepare(usual)
    shown = capsys.readouterr().err
    assert all(what in shown for what in ("annotations", "objects: ", "images: "))
