"""README's five minutes: the script, the study and what is exported, on a few images, to the tables."""

from __future__ import annotations

import csv
import json
import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from reproof import cli, export
from reproof.csv_tables import MEASUREMENTS, SCHEMAS, SUMMARY
from tests.ours import needs

ROOT = Path(__file__).parents[2]
FEW = """\
keep_adversarial: true
attacks:
  square: {queries: 5}
  square_longer: {queries: 10}
  carlini_wagner: {steps: 20}
  strongest: {steps: 3, targets: 1, queries: 5}
  autoattack: {kind: autoattack, epsilons: [26/255], queries: 5}
suites:
  papers: {images: 20}
  longer: {images: 4}
  minimal: {images: 4}
  strongest: {images: 4, attacks: [strongest, autoattack]}
"""
CHOSEN = ("--configfile", "studies/own_model.yaml", "few.yaml")

pytestmark = needs(
    *("architectures/file", "datasets/arrays", "datasets/folder", "attacks/strongest", "attacks/square"),
    *("attacks/deepfool", "attacks/autoattack", "attacks/mim", "attacks/bim", "attacks/random_noise"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project in which README's script and the study's jobs up to the tables were done."""
    path = tmp_path_factory.mktemp("five_minutes")
    shutil.copytree(
        ROOT / "studies/own", path / "studies/own", ignore=shutil.ignore_patterns("*.pt", "*.npz")
    )
    for name in ("config.yaml", "studies/own_model.yaml"):
        shutil.copy(ROOT / name, path / name)
    (path / "few.yaml").write_text(FEW)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(path)
        patched.syspath_prepend(str(path / "studies/own"))
        runpy.run_path("studies/own/train.py")
        sys.modules.pop("network", None)
        for rule in ("prepare", "load"):
            assert cli.main([rule, *CHOSEN]) == 0
        for threat in ("papers", "longer", "minimal", "strongest"):
            made = f"results/own_model/adversarial/mine/seed0/{threat}.safetensors"
            assert cli.main(["attack", made, *CHOSEN]) == 0
            assert (
                cli.main(["evaluate", f"results/own_model/outcomes/mine/seed0/{threat}.parquet", *CHOSEN])
                == 0
            )
        assert cli.main(["tabulate", *CHOSEN]) == 0
        assert cli.main(["export", "given", *CHOSEN]) == 0
    return path


PLACES = {
    "clean_acc": ("none", ""),
    "autoattack_acc": ("autoattack", "epsilon=EPS"),
    "external": ("worst_case", "norm=linf epsilon=EPS"),
}


def rows(folder: Path, table: str) -> list[dict[str, str]]:
    with (folder / f"results/own_model/tables/{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_readme_names_the_script_and_the_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    part = text.split("## Attack your own model in five minutes")[1].split("\n## ")[0]
    assert ".venv/bin/python studies/own/train.py" in part
    assert "make report STUDY=studies/own_model.yaml" in part
    assert "--forcerun attack --config keep_adversarial=true" in part, (
        "the attacks of that run left no images"
    )


def test_the_network_is_as_good_here_as_where_it_was_trained(folder: Path) -> None:
    record = json.loads((folder / "results/own_model/models/mine/seed0/record.json").read_text())
    clean = record["notes"]["clean"]
    assert clean["total"] == 500
    assert clean["correct"] > 400
    assert not clean["at_chance_level"]
    found = runpy.run_path(str(folder / "studies/own/network.py"))["build"]()
    found.load_state_dict(torch.load(folder / "studies/own/weights.pt", weights_only=True))
    with np.load(folder / "studies/own/test.npz") as arrays:
        right = found.eval()(torch.from_numpy(arrays["images"])).argmax(1).numpy() == arrays["labels"]
    assert abs(right.mean() - clean["correct"] / clean["total"]) < 0.03, "500 of the 597 images"


def test_it_meets_the_papers_attacks_the_strongest_and_the_checklist(folder: Path) -> None:
    met = {row["attack"] for row in rows(folder, "measurements") if row["metric"] == "accuracy"}
    assert met >= {
        "fgsm",
        "bim",
        "mim",
        "pgd",
        "carlini_wagner",
        "deepfool",
        "strongest",
        "worst_case",
        "none",
    }
    assert {row["model"] for row in rows(folder, "red_flags")} == {"mine"}
    assert {row["model"] for row in rows(folder, "checklist")} >= {"mine"}


def test_exported_tables_say_what_each_column_holds(folder: Path) -> None:
    package = json.loads((folder / "given/tables/datapackage.json").read_text())
    resources = {resource["name"]: resource for resource in package["resources"]}
    assert set(resources) == set(SCHEMAS)
    for name, resource in resources.items():
        copy = (folder / "given/tables" / resource["path"]).read_bytes()
        assert copy == (folder / f"results/own_model/tables/{name}.csv").read_bytes()
        header = copy.decode().splitlines()[0].split(",")
        assert [field["name"] for field in resource["schema"]["fields"]] == header
    fields = {field["name"]: field for field in resources["measurements"]["schema"]["fields"]}
    assert all(field["description"] for field in fields.values())
    assert fields["correct"]["type"] == "integer"
    assert fields["value"]["type"] == "number"
    assert set(export.MEANINGS) == {*MEASUREMENTS.names, *SUMMARY.names}


def test_exported_model_info_has_robustbench_s_keys_and_the_measured_numbers(folder: Path) -> None:
    infos = {
        info["eps"]: info
        for info in map(
            json.loads, (path.read_text() for path in (folder / "given/robustbench/Linf").iterdir())
        )
    }
    assert set(infos) == {"0.1", "26/255", "0.3", "1"}
    known = {
        "link",
        "name",
        "authors",
        "additional_data",
        "number_forward_passes",
        "dataset",
        "venue",
        "architecture",
    }
    measured = {
        (row["attack"], row["parameters"]): float(row["value"])
        for row in rows(folder, "summary")
        if row["metric"] == "accuracy" and row["setting"] in ("white_box", "all")
    }
    totals = {
        (row["attack"], row["parameters"]): row["total"]
        for row in rows(folder, "summary")
        if row["metric"] == "accuracy" and row["setting"] in ("white_box", "all")
    }
    for eps, info in infos.items():
        numbers = {"clean_acc", "external"} | ({"autoattack_acc"} if eps == "26/255" else set())
        assert set(info) == known | numbers | {"eps", "footnote"}
        assert info["clean_acc"] == f"{100 * measured['none', '']:.2f}"
        assert info["footnote"] == "Test images: " + ", ".join(
            f"{key} on {totals[place[0], place[1].replace('EPS', eps)]}"
            for key, place in PLACES.items()
            if key in numbers
        )
    assert infos["0.1"]["footnote"] == "Test images: clean_acc on 500, external on 4", (
        "seldom on the same ones"
    )
    found = infos["26/255"]
    assert found["autoattack_acc"] == f"{100 * measured['autoattack', 'epsilon=26/255']:.2f}"
    assert infos["0.1"]["external"] == f"{100 * measured['worst_case', 'norm=linf epsilon=0.1']:.2f}"
    assert (found["name"], found["architecture"], found["additional_data"]) == (
        "My model",
        "own network (network)",
        False,
    )


def test_exported_images_fool_as_the_predictions_beside_them_say(folder: Path) -> None:
    files = sorted((folder / "given/adversarial").iterdir())
    names = [re.sub(r"^mine-seed0-(papers|longer|minimal|strongest)-", "", path.stem) for path in files]
    assert {"fgsm-epsilon=0.1", "pgd-epsilon=1", "carlini_wagner-c=10", "autoattack-epsilon=26_255"} <= set(
        names
    )
    network = runpy.run_path(str(folder / "studies/own/network.py"))["build"]()
    network.load_state_dict(torch.load(folder / "studies/own/weights.pt", weights_only=True))
    network.eval()
    measured = {
        (row["attack"], row["parameters"]): int(row["correct"])
        for row in rows(folder, "measurements")
        if row["metric"] == "accuracy" and row["setting"] == "white_box"
    }
    for path, name in zip(files, names, strict=True):
        with np.load(path, allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in arrays.files}
        assert found["images"].dtype == np.uint8
        for shown, predictions in (("images", "clean_predictions"), ("adversarial", "predictions")):
            pixels = torch.from_numpy(found[shown]).float() / (255 if shown == "images" else 1)
            assert network(pixels).argmax(1).tolist() == found[predictions].tolist(), path.name
        attack, _, parameters = name.partition("-")
        parameters = parameters.replace("_255", "/255")
        assert int((found["predictions"] == found["labels"]).sum()) == measured[attack, parameters]
        if parameters == "epsilon=0.1":
            assert np.abs(found["adversarial"] - found["images"] / np.float32(255)).max() <= 0.1 + 1e-6


def test_without_images_the_message_says_how_to_keep_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    images = Path("results/own_model/adversarial")
    images.rename("elsewhere")
    assert cli.main(["export", str(tmp_path / "deep/given"), *CHOSEN]) == 1
    Path("elsewhere").rename(images)
    assert "--forcerun attack --config keep_adversarial=true" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [], "all or nothing"
    before = sorted(Path("given").rglob("*"))
    assert cli.main(["export", "given", *CHOSEN]) == 1
    assert "export: given is there already" in capsys.readouterr().err
    assert sorted(Path("given").rglob("*")) == before
    assert cli.main(["export", str(tmp_path / "given"), "--model", "nine", *CHOSEN]) == 1
    assert "no model is called 'nine'; did you mean 'mine'?" in capsys.readouterr().err
