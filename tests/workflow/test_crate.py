"""A finished run as an RO-Crate: judged by the validator of its profile, and by what the records say."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from project import Project
from rdflib.plugins.shared.jsonld import context
from rocrate_validator import models, services
from rocrate_validator.utils.http import HttpRequester

from reproof import cli

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
BIOSCHEMAS = {name: f"https://bioschemas.org/{name}" for name in ("ComputationalWorkflow", "FormalParameter")}
"""Terms whose address RO-Crate changed after 1.1."""


@pytest.fixture(scope="module")
def packed(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crate") / "run"
    done = finished.reproof("crate", str(folder))
    assert done.returncode == 0, done.stderr
    assert f"{folder}: " in done.stdout
    return folder


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the validator the terms that rocrate ships, in place of those on the web."""
    text = importlib.resources.files("rocrate").joinpath("data/ro-crate.jsonld").read_text(encoding="utf-8")
    terms = json.loads(text)
    terms["@context"] = {**terms["@context"], **BIOSCHEMAS}
    answer = types.SimpleNamespace(
        status_code=200, headers={"Content-Type": "application/ld+json"}, json=lambda: terms
    )

    def known(address: object) -> None:
        assert str(address) == CONTEXT, f"{address} would have to be fetched"

    def source(address: object, *_: object, **__: object) -> tuple[Any, None]:
        known(address)
        return terms, None

    def get(_: object, address: str, **__: object) -> Any:
        known(address)
        return answer

    monkeypatch.setattr(context, "source_to_json", source)
    monkeypatch.setattr(HttpRequester, "get", get, raising=False)


def issues(folder: Path) -> list[str]:
    settings = services.ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier="provenance-run-crate",
        requirement_severity=models.Severity.REQUIRED,
    )
    return [str(issue.message) for issue in services.validate(settings).get_issues()]


def entities(folder: Path) -> dict[str, dict[str, Any]]:
    graph = json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
    return {entity["@id"]: entity for entity in graph}


def named(entity: dict[str, Any], key: str) -> list[str]:
    """Return the keys of the entities that a property names."""
    found = entity.get(key, [])
    return [one["@id"] for one in (found if isinstance(found, list) else [found])]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # rdflib's, of what the validator uses
@pytest.mark.usefixtures("offline")
def test_it_is_a_provenance_run_crate_but_for_a_planted_fault(packed: Path, tmp_path: Path) -> None:
    """One validation, which takes seconds, shows both: that the validator looks, and that it finds nothing else."""
    shutil.copytree(packed, tmp_path / "crate")
    path = tmp_path / "crate/ro-crate-metadata.json"
    told = json.loads(path.read_text())
    (orchestration,) = [one for one in told["@graph"] if one["@type"] == "OrganizeAction"]
    del orchestration["instrument"]
    path.write_text(json.dumps(told))
    (issue,) = issues(tmp_path / "crate")
    assert issue.startswith("An OrganizeAction must reference an entity representing the workflow engine")


def test_it_leads_from_the_numbers_back_to_the_data(packed: Path, finished: Project) -> None:
    found = entities(packed)
    maker = {
        made: one
        for one in found.values()
        if one["@type"] == "CreateAction" and one["@id"] != "#run"
        for made in named(one, "result")
    }
    reached, waiting = set(), ["results/tiny/tables/summary.csv"]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += named(maker[path], "object")
    assert "results/tiny/models/plain/seed0/model.safetensors" in reached
    assert "#results/tiny/adversarial/centred/seed0/papers.safetensors" in reached
    assert "#results/tiny/data/digits.safetensors" in reached, "named, though its images are left out"
    record = json.loads((finished.path / "results/tiny/models/plain/seed0/record.json").read_text())
    train = maker["results/tiny/models/plain/seed0/model.safetensors"]
    assert train["description"] == record["command"]
    assert train["startTime"] == record["started"]
    assert found[train["instrument"]["@id"]]["softwareVersion"] == record["commit"]
    assert named(found["#run"], "result")[0] == "report/tiny.html"


def test_it_holds_the_files_that_it_names_and_no_images_of_a_data_set(packed: Path) -> None:
    found = entities(packed)
    files = {key for key, one in found.items() if "File" in one["@type"]}
    there = {str(path.relative_to(packed)) for path in packed.rglob("*") if path.is_file()}
    assert there == files | {"ro-crate-metadata.json"}
    hashed = {key: one["sha256"] for key, one in found.items() if "sha256" in one and key in files}
    assert len(hashed) > 20
    assert {key: hashlib.sha256((packed / key).read_bytes()).hexdigest() for key in hashed} == hashed
    assert {Path(key).name for key in there if key.endswith(".safetensors")} == {"model.safetensors"}


def test_what_is_edited_unfinished_or_in_the_way_is_refused(
    changeable: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(changeable.path)

    def refused(*arguments: str) -> str:
        assert cli.main(["crate", "elsewhere", *arguments]) == 1
        return capsys.readouterr().err

    assert "was made by another study" in refused("--config", "training={epochs: 9}")
    history = changeable.path / "results/tiny/models/plain/seed0/history.csv"
    whole = history.read_bytes()
    history.write_bytes(whole[:-1] + b" ")
    assert "history.csv" in refused()
    history.write_bytes(whole)
    page = changeable.path / "report/tiny.html"
    page.unlink()
    assert "report/tiny.html is missing: the run is not finished" in refused()
    assert not list(changeable.path.glob("elsewhere*"))
    (changeable.path / "elsewhere").mkdir()
    (changeable.path / "elsewhere/mine").touch()
    assert "elsewhere holds something already" in refused()
    monkeypatch.setitem(sys.modules, "rocrate.rocrate", None)
    assert "`make install-dev` brings it" in refused()
