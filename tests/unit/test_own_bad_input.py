"""Bad files of a user's own: one message each, from the command that the workflow runs first, before any training."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from reproof import artifacts, cli
from reproof.data import prepared
from reproof.plan.jobs import Plan
from reproof.stages.report import _warnings
from reproof.study import reader
from tests import own_things
from tests.ours import is_here, needs

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


def floats_to(brightest: float) -> Any:
    """Return the images as whole floats from 0 to `brightest`."""
    return (IMAGES / IMAGES.max() * brightest).round()


def tensors(kind: torch.dtype) -> Callable[[], None]:
    """Keep the images as safetensors of a type that NumPy lacks."""

    def save() -> None:
        images = torch.from_numpy(IMAGES / 255.0).to(kind)
        save_file({"images": images, "labels": torch.from_numpy(LABELS)}, "test.safetensors")
        study("path: test.npz", "path: test.safetensors")()

    return save


def with_norm(**changes: Any) -> Callable[[], None]:
    """Let the network have a batch norm, and save weights for it."""

    def save() -> None:
        network("return nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(256, 4))")()
        found = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(256, 4)).state_dict()
        torch.save(found | {name.replace("__", "."): value for name, value in changes.items()}, "weights.pt")

    return save


def module(body: str, forward: str = "return self.last(images.flatten(1))") -> Callable[[], None]:
    """Let the network be a class with a linear layer `last` and these lines."""
    return write(
        "code/network.py",
        f"""\
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(256, 4)
        {body}
    def forward(self, images):
        {forward}
    def get_extra_state(self):
        return {{"scale": 1}} if hasattr(self, "scaled") else torch.zeros(1)
    def set_extra_state(self, state):
        pass

def small():
    return Net()
""".encode(),
    )


def twice(**changes: Any) -> Callable[[], None]:
    """Let one layer of the network have two names, and the file something else under one of them."""

    def save() -> None:
        module("self.again = self.last")()
        linear = nn.Linear(256, 4).state_dict()
        state = {f"{name}.{part}": value for name in ("last", "again") for part, value in linear.items()}
        state |= {f"again.{part}": value for part, value in changes.items()}
        torch.save(state | {"_extra_state": torch.zeros(1)}, "weights.pt")

    return save


def quantised() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch will drop them; files hold them still
        return torch.quantize_per_tensor(torch.zeros(4), 0.1, 0, torch.qint8)


def damaged() -> None:
    np.savez_compressed("test.npz", images=IMAGES, labels=LABELS)
    content = Path("test.npz").read_bytes()
    Path("test.npz").write_bytes(content[:200] + bytes(200) + content[400:])


def dark() -> None:
    for path in Path("photographs").rglob("*.png"):
        Image.fromarray(np.asarray(Image.open(path)) // 10).save(path)


def command(*words: str) -> Callable[[], int]:
    return lambda: cli.main(list(words))


def nothing() -> None:
    pass


LAST = {f"last.{name}": value for name, value in nn.Linear(256, 4).state_dict().items()}
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
    Bad("infinity in weights that no layer has", weights(old=torch.tensor([1.0, torch.inf])), load, ("weights.pt", "old holds NaN or infinity")),
    Bad("weights of 8 bits", weights(**{"3__bias": torch.zeros(4, dtype=torch.int8)}), load, ("of another type (1)", "3.bias is torch.int8 and should be torch.float32", "not quantised")),
    Bad("whole numbers for weights", weights(**{"3__bias": torch.zeros(4, dtype=torch.int64)}), load, ("3.bias is torch.int64 and should be torch.float32",)),
    Bad("truth values for weights", weights(**{"3__bias": torch.zeros(4, dtype=torch.bool)}), load, ("3.bias is torch.bool and should be torch.float32",)),
    Bad("complex weights", weights(**{"3__bias": torch.zeros(4, dtype=torch.complex64)}), load, ("3.bias is torch.complex64 and should be torch.float32",)),
    Bad("weights of float8", weights(**{"3__bias": torch.zeros(4).to(torch.float8_e4m3fn)}), load, ("3.bias is torch.float8_e4m3fn", "not quantised")),
    Bad("quantised weights", lambda: weights(**{"3__bias": quantised()})(), load, ("3.bias is torch.qint8", "not quantised")),
    Bad("sparse weights", weights(**{"3__weight": torch.zeros(4, 512).to_sparse()}), load, ("3.weight is no dense tensor (torch.sparse_coo)", "to_dense()")),
    Bad("weights without values", weights(**{"3__bias": torch.zeros(4, device="meta")}), load, ("3.bias has a shape and no values", "meta")),
    Bad("doubles that no float holds", weights(**{"3__bias": torch.full((4,), 1e300, dtype=torch.float64)}), load, ("3.bias holds values that are too large for the network's torch.float32 (1e+300)",)),
    Bad("negative variances", with_norm(**{"0__running_var": -torch.ones(1)}), load, ("0.running_var holds negative variances",)),
    Bad("a module's own state in the file", weights(**{"3___extra_state": {"scale": 1}}), load, ("3._extra_state is dict", "get_extra_state")),
    Bad("one layer under two names with two weights", twice(bias=torch.ones(4)), load, ("last.bias and again.bias are one tensor in the network", "two that differ")),
    Bad("a folder for weights", lambda: (Path("w.pt").mkdir(), study("weights: weights.pt}\n  pictures", "weights: w.pt}\n  pictures")()), load, ("w.pt", "no file of weights")),
    Bad("a name of weights that is too long", study("weights: weights.pt}\n  pictures", f"weights: {'w' * 5000}.pt}}\n  pictures"), load, ("config.yaml: models.numbers.weights", "there is no file")),
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
    Bad("a file that ends Python", write("code/network.py", b"exit(3)\n"), load, ("code/network.py: importing it raised SystemExit: 3", "__main__")),
    Bad("a factory that ends Python", network("raise SystemExit"), load, ("small raised SystemExit",)),
    Bad("a network that ends Python", module("pass", "exit(0)"), load, ("the network raised SystemExit",)),
    Bad("a network that normalises its argument", module("pass", "return self.last(images.sub_(0.4).flatten(1))"), load, ("the network changes the images that it is shown", "a copy")),
    Bad("a network that imports what is not there", module("pass", "import nowhere_to_be_found"), load, ("the network raised ModuleNotFoundError",)),
    Bad("a network without a state", module("self.state_dict = lambda *a, **k: 1 / 0"), load, ("the network's state_dict() raised ZeroDivisionError",)),
    Bad("a network that does not take its weights", lambda: (module("self._register_load_state_dict_pre_hook(lambda *a: 1 / 0)")(), torch.save(LAST | {"_extra_state": torch.zeros(1)}, "weights.pt")), load, ("weights.pt: the network does not take it: ZeroDivisionError",)),
    Bad("a module's own state in the network", module("self.scaled = True"), load, ("keeps _extra_state, dict, beside its tensors", "register_buffer")),
    Bad("no such module for features", study("factory: small", "factory: small, latent: {last: pool}"), load, ("latent 'last'", "no module 'pool'")),
    # Arrays
    Bad("an empty file of arrays", write("test.npz", b""), prepare, ("test.npz", "is empty")),
    Bad("a damaged file of arrays", write("test.npz", b"PK\x03\x04 and so on"), prepare, ("test.npz", "damaged")),
    Bad("a text named as packed arrays", lambda: Path("test.npz").write_text("x,y\n1,2\n"), prepare, ("test.npz", "is no file of arrays")),
    Bad("a damaged file of packed arrays", damaged, prepare, ("test.npz", "is damaged")),
    Bad("a damaged header of an array", lambda: (Path("test.npy").write_bytes(b"\x93NUMPY\x01\x00\x05\x00{'a':"), study("path: test.npz", "path: test.npy, labels_path: test.npz")()), prepare, ("test.npy", "is damaged")),
    Bad("a pickle among arrays", arrays(images=np.array([Execute()] * 48, dtype=object)), prepare, ("test.npz", "would execute code")),
    Bad("no such array", lambda: np.savez("test.npz", x=IMAGES, y=LABELS), prepare, ("no array 'images'", "there are: x, y")),
    Bad("floats above the range", arrays(images=IMAGES * 3.0), prepare, ("test.npz", "pixels run from", "[0, 255]")),
    Bad("normalised floats", arrays(images=IMAGES / 127.5 - 1), prepare, ("before they were normalised",)),
    Bad("floats from 0 to 16", arrays(images=floats_to(16)), prepare, ("test.npz: the brightest pixel is 16", "`range: [0, 16]`")),
    Bad("floats from 0 to 100", arrays(images=floats_to(100)), prepare, ("the brightest pixel is 100", "`range: [0, 100]`")),
    Bad("whole numbers from 0 to 16", arrays(images=floats_to(16).astype(np.int64)), prepare, ("the brightest pixel is 16", "`range: [0, 16]`")),
    Bad("levels from 0 to 16", arrays(images=floats_to(16).astype(np.uint8)), prepare, ("data set 'stripes': the brightest pixel of the test split is 16 of 255", "`range: [BLACK, WHITE]`")),
    Bad("floats from 0 to a little more than 1", arrays(images=IMAGES / IMAGES.max() * 1.1), prepare, ("the brightest pixel is 1.1", "`range: [0, 2]`")),
    Bad("levels between whole ones", arrays(images=IMAGES * 0.999), prepare, ("the brightest pixel is 2", "`range: [0, 255]`")),
    Bad("dark floats", arrays(images=floats_to(16) / 255), prepare, ("the brightest pixel of the test split is 16 of 255",)),
    Bad("levels of 16 bits", arrays(images=IMAGES.astype(np.uint16) * 257), prepare, ("pixels run from", "`range: [BLACK, WHITE]`")),
    Bad("pixels outside the range that is said", study("test_images: 40}", "test_images: 40, range: [0, 16]}"), prepare, ("test.npz: pixels run from", "`range` says that they lie in [0, 16]")),
    Bad("a range from white to black", study("test_images: 40}", "test_images: 40, range: [1, 0]}"), prepare, ("datasets.stripes", "range should be what black is, then what white is")),
    Bad("images of bfloat16", tensors(torch.bfloat16), prepare, ("test.safetensors: images is BF16", "float32")),
    Bad("images of float8", tensors(torch.float8_e4m3fn), prepare, ("test.safetensors: images is F8_E4M3", "float32")),
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
    Bad("a folder of dark images", dark, photographs, ("data set 'photographs': the brightest pixel of the test split is", "`range: [BLACK, WHITE]`")),
    Bad("no such folder", study("path: photographs", "path: photos"), photographs, ("config.yaml: datasets.photographs", "photos")),
    # What is begun, and what is given away
    Bad("a new attack that there is", nothing, command("new", "attack", "pgd"), ("attacks/pgd.py is there already",)),
    Bad("a new attack of one's own with a name that is taken", nothing, command("new", "attack", "pgd", "--folder", "mine"), ("attacks/pgd.py is there already, so the name is taken",)),
    *[Bad("a new section with a name that is taken", nothing, command("new", "section", "glossary", "--folder", "mine"), ("sections/glossary.py is there already",))] * is_here("sections/glossary"),
    Bad("a word of Python for a new defense", nothing, command("new", "defense", "class", "--folder", "mine"), ("'class' is a word that Python",)),
    Bad("a word of Python for the class of a new defense", nothing, command("new", "defense", "none", "--folder", "mine"), ("'none' is a word that Python",)),
    Bad("a word of the file for the class of a new attack", nothing, command("new", "attack", "settings", "--folder", "mine"), ("'settings' is a word that Python or the new file has",)),
    Bad("a new attack without a name", nothing, command("new", "attack", "", "--folder", "mine"), ("'' should be a file's name",)),
    Bad("no folder for a new attack", nothing, command("new", "attack", "shading", "--folder", ""), ("the folder's name is empty",)),
    Bad("a file for the folder of a new attack", nothing, command("new", "attack", "shading", "--folder", "config.yaml"), ("config.yaml/attacks/shading.py", "a file stands where a folder should be")),
    Bad("no folder to export to", nothing, command("export", ""), ("the folder's name is empty",)),
    Bad("a folder to export to that holds something", nothing, command("export", "code"), ("code is there already",)),
    Bad("a file to export to", nothing, command("export", "config.yaml"), ("config.yaml is there already",)),
]  # fmt: skip


@needs("architectures/file", "datasets/arrays", "datasets/folder")
@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.name)
def test_a_bad_file_of_ones_own_is_one_message(
    bad: Bad, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad.spoil()
    assert bad.command() == 1
    printed = [
        line for line in capsys.readouterr().err.splitlines() if "levels from 0 to 255, (N" not in line
    ]
    assert len(printed) == 1, printed
    assert printed[0].startswith("reproof: ")
    for word in bad.words:
        assert word in printed[0], printed[0]
    assert not (folder / "executed").exists()
    assert not list(folder.rglob("model.safetensors"))
    assert not any((folder / name).exists() for name in ("mine", "attacks", "code/tables"))


@needs("architectures/file", "datasets/arrays", "datasets/folder")
def test_without_a_mistake_all_of_it_is_accepted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("photographs/day/0.png").rename(os.fsdecode(b"photographs/day/\xff\xfe.png"))
    assert load() == 0
    assert photographs() == 0
    assert "WARNING: answers" not in capsys.readouterr().err


@needs("architectures/file", "datasets/arrays", "datasets/folder")
def test_dark_images_are_scaled_as_the_study_says(folder: Path) -> None:
    dark()
    study("image_shape: [3, 8, 8]", "image_shape: [3, 8, 8], range: [0, 24]")()
    assert photographs() == 0
    made = prepared.read_dataset(Path("results/tiny/data/photographs.safetensors"))
    assert made.images.unique().tolist()[-2:] == [244, 255], "23 and 24"


UNUSUAL = {
    "one layer under two names, saved under one": (module("self.again = self.last"), LAST),
    "a state of a module that is a tensor": (module("pass"), {**LAST, "_extra_state": torch.ones(1)}),
    "names like a wrapper's": (
        module("self._orig_mod = nn.Module(); self._orig_mod.module = self.last; del self.last", "return self._orig_mod.module(images.flatten(1))"),
        {name.replace("last.", "_orig_mod.module."): value for name, value in LAST.items()},
    ),
    "an import of a neighbour in forward": (module("pass", "import blocks; assert blocks.small_network; return self.last(images.flatten(1))"), LAST),
}  # fmt: skip


@needs("architectures/file", "datasets/arrays", "datasets/folder")
@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_unusual_and_right_is_loaded_and_attacked(name: str, folder: Path) -> None:
    spoil, state = UNUSUAL[name]
    spoil()
    torch.save({"_extra_state": torch.zeros(1)} | state, "weights.pt")
    assert load() == 0
    assert cli.main(["attack", "results/tiny/adversarial/numbers/seed0/papers.safetensors"]) == 0
    found, _ = artifacts.read_tensors(Path("results/tiny/models/numbers/seed0/model.safetensors"))
    assert any(torch.equal(tensor, LAST["last.weight"]) for tensor in found.values())


@needs("architectures/file", "datasets/arrays", "datasets/folder")
@pytest.mark.parametrize(
    ("forward", "words"),
    [
        ("return nn.functional.dropout(self.last(images.flatten(1)), 0.5, training=True)", "chance: look for dropout"),
        ("return self.last(images.flatten(1) - images.flatten(1).mean(0))", "the other images of a batch: look for batch norms"),
    ],
)  # fmt: skip
def test_answers_that_depend_on_more_than_the_image_are_told_where_weights_are_read(
    forward: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module("pass", forward)()
    torch.save({"_extra_state": torch.zeros(1)} | LAST, "weights.pt")
    assert load() == 0
    assert f"WARNING: answers depend on {words}" in capsys.readouterr().err
    record = artifacts.read_json(Path("results/tiny/models/numbers/seed0/record.json"))
    assert record["notes"]["depends_on"] == words.partition(":")[0]
    plan = Plan(reader.load([Path("config.yaml")]))
    records = {plan.load("numbers", 0).outputs["model"]: record}
    plan.loaded.remove("pictures")
    assert f"depends on {words.partition(':')[0]} too" in " ".join(_warnings(plan, records))


def test_there_are_many_of_them() -> None:
    assert len(CASES) >= 110
