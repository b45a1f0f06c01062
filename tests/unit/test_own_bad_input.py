"""Bad files of a user's own: one message each, from the command that the workflow runs first, before any training."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from reproof import cli
from tests import own_things
from tests.ours import needs

STUDY = """\
study: tiny
seeds: [0]
dataset: stripes
datasets:
  stripes: {kind: arrays, path: test.npz, classes: [a, b, c, d], image_shape: [1, 16, 16], test_images: 40}
  photographs: {kind: folder, path: photographs, classes: [day, night], image_shape: [3, 8, 8], test_images: 4}
models:
  numbers: {architecture: {kind: file, path: code/network.py, factory: small}, weights: weights.pt}
  pictures: {dataset: photographs, architecture: {kind: file, path: code/network.py}, weights: weights.pt}
architecture: {kind: cnn6}
attacks: {fgsm: {kind: fgsm, epsilons: [0.1]}}
suites: {papers: {attacks: [fgsm], images: 4}}
threats: {white_box: {setting: white_box, suite: papers}}
"""
IMAGES, LABELS = own_things.stripes(48)


class Execute:
    """What a pickle does that runs code where it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a right study of somebody's own, as the current one."""
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(STUDY)
    own_things.write_code(tmp_path / "code")
    own_things.write_photographs(tmp_path / "photographs", 3, side=8)
    np.savez("test.npz", images=IMAGES, labels=LABELS)
    torch.save(own_things.small_network().state_dict(), "weights.pt")
    return tmp_path


def prepare(name: str = "stripes") -> int:
    return cli.main(["prepare", f"results/tiny/data/{name}.safetensors"])


def load() -> int:
    return prepare() or cli.main(["load", "results/tiny/models/numbers/seed0/model.safetensors"])


def arrays(images: Any = IMAGES, labels: Any = LABELS) -> Callable[[], None]:
    return lambda: np.savez("test.npz", images=images, labels=labels)


def weights(**changes: Any) -> Callable[[], None]:
    """Save the network's weights with some of them changed; None takes one away."""

    def save() -> None:
        state: dict[str, Any] = dict(own_things.small_network().state_dict())
        for name, value in changes.items():
            state[name.replace("__", ".")] = value
        torch.save({name: value for name, value in state.items() if value is not None}, "weights.pt")

    return save


def write(name: str, content: bytes) -> Callable[[], None]:
    return lambda: (Path(name).write_bytes(content), None)[1]


def network(body: str) -> Callable[[], None]:
    return write("code/network.py", f"from torch import nn\ndef small():\n    {body}\n".encode())


def study(old: str, new: str) -> Callable[[], None]:
    def edit() -> None:
        assert old in STUDY
        Path("config.yaml").write_text(STUDY.replace(old, new))

    return edit


def image(mode: str, size: tuple[int, int] = (8, 8)) -> Callable[[], None]:
    return lambda: Image.new(mode, size).save("photographs/day/0.png")


def photographs() -> int:
    return prepare("photographs")


def float_nan() -> Any:
    images = IMAGES / 255.0
    images[3, 0, 2, 2] = np.nan
    return images


def overlapping() -> None:
    train, labels = own_things.stripes(48, seed=9)
    train[5] = IMAGES[7]
    np.savez("train.npz", images=train, labels=labels)
    Path("config.yaml").write_text(
        STUDY.replace("test_images: 40}", "test_images: 48, train_path: train.npz, train_images: 48}")
    )


SEQUENCE = "nn.Sequential(nn.Flatten(), nn.Linear({}, {}))"


@dataclass(frozen=True)
class Bad:
    """What is done to the study's files, the command that finds it, and words of its message."""

    name: str
    spoil: Callable[[], Any]
    command: Callable[[], int]
    words: tuple[str, ...]


CASES = [
    # Weights
    Bad("a pickle that would execute", lambda: torch.save({"net": Execute()}, "weights.pt"), load, ("weights.pt", "would execute code", "state_dict")),
    Bad("a plain pickle that would execute", lambda: Path("weights.pt").write_bytes(pickle.dumps(Execute(), protocol=2)), load, ("weights.pt", "would execute code")),
    Bad("a whole pickled network", lambda: torch.save(own_things.small_network(), "weights.pt"), load, ("weights.pt", "would execute code")),
    Bad("weights of another network", weights(**{"0__weight": None, "0__bias": None, "conv__weight": torch.ones(1)}), load, ("missing (2): 0.weight, 0.bias", "unexpected (1): conv.weight", "`names`")),
    Bad("weights of another shape", weights(**{"3__weight": torch.zeros(9, 512), "3__bias": torch.zeros(9)}), load, ("of another shape (2)", "3.weight is (9, 512) and should be (4, 512)")),
    Bad("NaN in weights", weights(**{"3__bias": torch.full((4,), torch.nan)}), load, ("weights.pt", "3.bias holds NaN")),
    Bad("quantised weights", weights(**{"3__bias": torch.zeros(4, dtype=torch.int8)}), load, ("3.bias is torch.int8", "not quantised")),
    Bad("an empty file of weights", write("weights.pt", b""), load, ("weights.pt", "is empty")),
    Bad("no file of weights", lambda: Path("weights.pt").unlink(), load, ("config.yaml: models.numbers.weights", "there is no file", "weights.pt")),
    Bad("a truncated file of weights", lambda: Path("weights.pt").write_bytes(Path("weights.pt").read_bytes()[:900]), load, ("weights.pt", "no file of")),
    Bad("text for weights", write("weights.pt", b"these are no weights"), load, ("weights.pt", "no file of")),
    Bad("no safetensors", lambda: (write("w.safetensors", b"\x01" * 40)(), study("weights: weights.pt", "weights: w.safetensors")()), load, ("w.safetensors", "no whole safetensors file")),
    Bad("two state dicts", lambda: torch.save({name: own_things.small_network().state_dict() for name in ("model", "ema")}, "weights.pt"), load, ("several state dicts", "`key`", "ema, model")),
    Bad("a key that is not there", study("weights: weights.pt}\n  pictures", "weights: {path: weights.pt, key: ema}}\n  pictures"), load, ("no state dict at 'ema'",)),
    Bad("no state dict", lambda: torch.save([1, 2], "weights.pt"), load, ("holds no state dict", "list")),
    Bad("a pattern that is none", study("weights: weights.pt}\n  pictures", "weights: {path: weights.pt, names: {'(': a}}}\n  pictures"), load, ("models.numbers.weights.names", "no regular expression")),
    Bad("a mean where the network's own file normalises", study("weights: weights.pt}\n  pictures", "weights: {path: weights.pt, mean: [0.5], std: [0.5]}}\n  pictures"), load, ("mean has 1 values", "its own file normalises")),
    # Networks
    Bad("a factory that raises", network("raise RuntimeError('no such layer')"), load, ("code/network.py: small raised RuntimeError: no such layer",)),
    Bad("a file that cannot be imported", write("code/network.py", b"import nowhere_to_be_found\n"), load, ("code/network.py", "ModuleNotFoundError")),
    Bad("a file that is no Python", write("code/network.py", b"def small(:\n"), load, ("code/network.py", "cannot be read as Python")),
    Bad("no such factory", study("factory: small", "factory: smal"), load, ("code/network.py", "no function 'smal'")),
    Bad("a factory that returns no network", network("return 3"), load, ("returned int", "torch.nn.Module")),
    Bad("arguments that it does not take", study("factory: small", "factory: small, arguments: {depth: 3}"), load, ("small raised TypeError", "depth")),
    Bad("logits of the wrong shape", network(f"return {SEQUENCE.format(256, 7)}"), load, ("returns (2, 7)", "(2, 4)")),
    Bad("a network for other images", network(f"return {SEQUENCE.format(64, 4)}"), load, ("raised RuntimeError", "images of 1 x 16 x 16")),
    Bad("a network that returns a tuple", network("return nn.LSTM(16, 4)"), load, ("the network raised",)),
    Bad("logits of another precision", network(f"return {SEQUENCE.format(256, 4)}.double()"), load, ("raised RuntimeError",)),
    Bad("no such module for features", study("factory: small", "factory: small, latent: {last: pool}"), load, ("latent 'last'", "no module 'pool'")),
    # Arrays
    Bad("an empty file of arrays", write("test.npz", b""), prepare, ("test.npz", "is empty")),
    Bad("a damaged file of arrays", write("test.npz", b"PK\x03\x04 and so on"), prepare, ("test.npz", "damaged")),
    Bad("a pickle among arrays", arrays(images=np.array([Execute()] * 48, dtype=object)), prepare, ("test.npz", "would execute code")),
    Bad("no such array", lambda: np.savez("test.npz", x=IMAGES, y=LABELS), prepare, ("no array 'images'", "there are: x, y")),
    Bad("floats above the range", arrays(images=IMAGES * 3.0), prepare, ("test.npz", "pixels run from", "[0, 255]")),
    Bad("normalised floats", arrays(images=IMAGES / 127.5 - 1), prepare, ("before they were normalised",)),
    Bad("NaN among pixels", arrays(images=float_nan()), prepare, ("NaN",)),
    Bad("text for images", arrays(images=IMAGES.astype(str)), prepare, ("images are <U", "uint8 or floats")),
    Bad("images of another size", arrays(images=IMAGES[:, :, :8]), prepare, ("(48, 1, 8, 16)", "(N, 1, 16, 16)")),
    Bad("floats cut to whole numbers", arrays(images=(IMAGES / 255.0).astype(np.uint8)), prepare, ("no pixel is brighter than 1",)),
    Bad("labels as strings", arrays(labels=np.array(list("abcd") * 12)), prepare, ("labels are text",)),
    Bad("labels as floats", arrays(labels=LABELS + 0.5), prepare, ("labels are float64",)),
    Bad("labels from 1", arrays(labels=LABELS + 1), prepare, ("labels run from 1 to 4", "subtract 1")),
    Bad("negative labels", arrays(labels=LABELS - 1), prepare, ("labels run from -1 to 2",)),
    Bad("labels for fewer images", arrays(labels=LABELS[:40]), prepare, ("(40,)", "48 images")),
    Bad("a class without images", arrays(labels=LABELS % 3), prepare, ("no image of 1 of the classes: d",)),
    Bad("one class only", study("classes: [a, b, c, d]", "classes: [a]"), prepare, ("datasets.stripes.classes", "at least 2")),
    Bad("1 image", arrays(images=IMAGES[:1], labels=LABELS[:1]), prepare, ("holds 1 image,", "ask for 40")),
    Bad("fewer images than classes", lambda: Path("config.yaml").write_text(STUDY.replace("images: 40", "images: 1").replace("images: 4}", "images: 1}")), prepare, ("the test split has no image of 3 of the classes",)),
    Bad("a test image among training images", overlapping, prepare, ("1 of the test images stand among the training",)),
    Bad("images alone", lambda: (np.save("test.npy", IMAGES), study("path: test.npz", "path: test.npy")()), prepare, ("test.npy", "labels_path")),
    Bad("no such file of arrays", lambda: Path("test.npz").unlink(), prepare, ("config.yaml: datasets.stripes", "no file", "test.npz")),
    # Image files
    Bad("an empty image", write("photographs/day/0.png", b""), photographs, ("day/0.png", "is empty")),
    Bad("16 bits a channel", image("I;16"), photographs, ("day/0.png", "grey of 16 bits")),
    Bad("transparency", image("RGBA"), photographs, ("day/0.png", "RGBA")),
    Bad("grey where colour is declared", image("L"), photographs, ("day/0.png: is grey, and colour",)),
    Bad("a palette", image("P"), photographs, ("day/0.png", "a palette")),
    Bad("colour where grey is declared", study("[3, 8, 8]", "[1, 8, 8]"), photographs, ("is colour, and grey",)),
    Bad("an image of another size", image("RGB", (9, 8)), photographs, ("day/0.png", "8 x 9 pixels", "resize")),
    Bad("a damaged image", lambda: Path("photographs/day/0.png").write_bytes(Path("photographs/day/0.png").read_bytes()[:60]), photographs, ("day/0.png",)),
    Bad("text that is called an image", write("photographs/day/0.png", b"no image at all"), photographs, ("day/0.png", "no image that can be read")),
    Bad("another file among images", write("photographs/day/notes.txt", b"x"), photographs, ("notes.txt", "no image file")),
    Bad("a folder that is no class", lambda: Path("photographs/dusk").mkdir(), photographs, ("day, dusk, night", "one folder for each")),
    Bad("a class without a folder", study("[day, night]", "[day, night, dusk]"), photographs, ("one folder for each",)),
    Bad("fewer images than asked for", study("test_images: 4}", "test_images: 7}"), photographs, ("holds 6 images", "ask for 7")),
    Bad("no such folder", study("path: photographs", "path: photos"), photographs, ("config.yaml: datasets.photographs", "photos")),
]  # fmt: skip


@needs("architectures/file", "datasets/arrays", "datasets/folder")
@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.name)
def test_a_bad_file_of_ones_own_is_one_message(
    bad: Bad, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad.spoil()
    assert bad.command() == 1
    printed = [line for line in capsys.readouterr().err.splitlines() if "levels from 0 to 255" not in line]
    assert len(printed) == 1, printed
    assert printed[0].startswith("reproof: ")
    for word in bad.words:
        assert word in printed[0], printed[0]
    assert not (folder / "executed").exists()
    assert not list(folder.rglob("model.safetensors"))


@needs("architectures/file", "datasets/arrays", "datasets/folder")
def test_without_a_mistake_all_of_it_is_accepted(folder: Path) -> None:
    assert load() == 0
    assert photographs() == 0


def test_there_are_many_of_them() -> None:
    assert len(CASES) >= 60
