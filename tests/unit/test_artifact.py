"""ARTIFACT.md, and what archives read: up to date, valid, and their commands can be run."""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from jsonschema.validators import validator_for
from rs_metadata.core import Options, validate
from ruamel.yaml import YAML

from reproof import cli, reference, registry
from reproof.claims import paper
from reproof.errors import ArtifactError
from reproof.plan.jobs import Plan
from reproof.reference import Reference
from reproof.report import artifact
from tests.ours import DELETED

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARTIFACT.md").read_text(encoding="utf-8")
DELETED_DATA = [word.removeprefix("datasets/") for word in DELETED if word.startswith("datasets/")]
WHOLE = pytest.mark.skipif(bool(DELETED), reason="the file is about the whole project")


@pytest.fixture(scope="module")
def papers() -> list[paper.Paper]:
    return paper.papers()


@pytest.fixture(scope="module")
def references() -> list[Reference]:
    return reference.read_all(ROOT / reference.FOLDER)


@pytest.fixture(scope="module")
def plan() -> Plan:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return Plan(cli.load_study([], []))


@WHOLE
def test_it_is_up_to_date(papers: list[paper.Paper], references: list[Reference], plan: Plan) -> None:
    """After a change of claims, rules or reference runs: `python -m reproof artifact`."""
    assert artifact.filled(TEXT, papers, references, len(list(plan.jobs()))) == TEXT
    drawn = artifact.picture(papers, references)
    assert drawn == (ROOT / "reference/answer.svg").read_text(encoding="utf-8")
    shown = ElementTree.fromstring(drawn)
    assert len(shown.findall("{http://www.w3.org/2000/svg}svg")) == 4, "a picture a paper with numbers"


@WHOLE
def test_every_claim_has_what_a_committee_asks_for(references: list[Reference]) -> None:
    claims = re.findall(
        r"\*\*C(\d+)\.\*\* .+\n\n- Experiment: (.+)\n- Expected: (.+)\n- Tolerated: (.+)\n", TEXT
    )
    assert [int(number) for number, *_ in claims] == list(range(1, 11))
    experiments = dict(re.findall(r"^\| (E\d+): .+ \| `(.+)` \| [\dh].* \| .+ \|$", TEXT, re.MULTILINE))
    assert len(experiments) == 3 + len(references)
    used = {name for _, listed, *_ in claims for name in re.findall(r"E\d+", listed)}
    assert used == set(experiments)


@WHOLE
def test_a_newer_reference_run_renews_it(
    papers: list[paper.Paper], references: list[Reference], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "_checked", lambda _: "")
    first, *others = references
    verdicts = first.tables["verdicts"].copy()
    verdicts.loc[verdicts["verdict"] == "lower", "verdict"] = "higher"
    newer = dataclasses.replace(first, tables={**first.tables, "verdicts": verdicts})
    renewed = artifact.filled(TEXT, papers, [newer, *others], 7)
    assert renewed != TEXT
    assert "`total` is 7" in renewed
    assert "0 reproduced, 0 lower, 13 higher, 3 undecided" in renewed


def test_a_part_that_nobody_makes_is_refused() -> None:
    with pytest.raises(
        ArtifactError, match=r"the parts of ARTIFACT\.md are kick, claims, experiments, answer"
    ):
        artifact.filled(TEXT.replace("<!-- results:", "<!-- old:"), [], [], 0)


@WHOLE
def test_the_command_renews_what_is_out_of_date(
    papers: list[paper.Paper], plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(artifact, "_checked", lambda _: "")
    monkeypatch.setattr(artifact, "read_papers", lambda: papers)
    (tmp_path / "ARTIFACT.md").write_text(TEXT, encoding="utf-8")
    assert artifact.renew(plan) == "ARTIFACT.md, reference/answer.svg changed", (
        "there are no reference runs here"
    )
    assert (tmp_path / "ARTIFACT.md").read_text(encoding="utf-8").count("none yet") > 4
    assert artifact.renew(plan) == "nothing changed"


# Its commands, and those of codecheck.yml.


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    experiments = re.findall(r"^\| E\d+: .+? \| `(.+?)` \|", TEXT, re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) > 10
    return [*dict.fromkeys([*lines, *experiments])]


@WHOLE
@pytest.mark.parametrize("command", commands())
def test_its_commands_can_be_run(
    command: str,
    papers: list[paper.Paper],
    plan: Plan,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Those of seconds are run, of longer ones all that comes before the first job."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(paper, "papers", lambda: papers)
    program, *words = shlex.split(command, comments=True)
    if program == "docker":
        assert words[0] in ("build", "run", "cp")
    elif program == "make":
        done = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=True)
        assert "set_up.sh" in done.stdout
        for study in re.findall(r"STUDY=(\S+)", command):
            assert (ROOT / study).is_file()
    elif program.endswith("snakemake") or words[:2] == ["-m", "snakemake"]:
        assert "--cores" in words
        paths = [word for word in words if word.startswith("results/")]
        assert set(paths) <= {path for job in plan.jobs() for path in job.outputs.values()}
        check_layers(words)
    else:
        assert words[:2] == ["-m", "reproof"]
        chosen = cli.parser().parse_args(words[2:])
        if chosen.command in ("claims", "judge") and not getattr(chosen, "configfile", None):
            assert cli.main(words[2:]) == 0
            printed = capsys.readouterr().out.splitlines()
            if chosen.command == "claims":
                assert f"`{printed[-1]}`" in TEXT
            else:
                assert re.search(r"grade [AB]: .* \[.*\]", printed[-1])
        else:
            check_layers(words)


def check_layers(words: list[str]) -> None:
    """Check that the study files which a command names are there, and have its budget."""
    if "--configfile" in words:
        path = ROOT / words[words.index("--configfile") + 1]
        text = path.read_text(encoding="utf-8")
        for budget in re.findall(r"budget=(\w+)", " ".join(words)):
            assert re.search(rf"^  {budget}:", text, re.MULTILINE)


def test_a_check_of_the_code_finds_its_outputs(plan: Plan) -> None:
    listed = yaml.safe_load((ROOT / "codecheck.yml").read_text(encoding="utf-8"))
    assert listed["version"].startswith("https://codecheck.org.uk/spec/config/")
    assert listed["paper"]["title"]
    made = {path for job in plan.jobs() for path in job.outputs.values()}
    named = {one["file"] for one in listed["manifest"]}
    assert named <= made
    assert plan.report().outputs["page"] in named
    assert all(one["comment"] for one in listed["manifest"])


def test_the_container_s_recipe_is_clean_pinned_and_without_rights() -> None:
    recipe = ROOT / "Dockerfile"
    command = [str(Path(sys.executable).with_name("hadolint")), str(recipe)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    told = recipe.read_text(encoding="utf-8")
    assert re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", told, re.MULTILINE)
    assert [int(user) > 0 for user in re.findall(r"^USER (\d+)", told, re.MULTILINE)] == [True]
    copied = [
        word
        for line in re.findall(r"^COPY --chown=\S+ (.+) \S+$", told, re.MULTILINE)
        for word in line.split()
    ]
    assert {word for word in copied if word != "." and not (ROOT / word).exists()} == set()


# What archives read.


NAMED_WHEN_PUBLISHED = ("ARTIFACT.md", "README.md", "CITATION.cff", "codemeta.json", ".zenodo.json")


def errors_of(root: Path) -> set[tuple[str, str | None]]:
    report = validate(Options(root=root))
    return {(one.code, one.property) for one in report.diagnostics if one.severity.name.lower() == "error"}


def test_metadata_are_valid_and_agree() -> None:
    """Two facts are not known before the project is published: where it lies, and its DOI."""
    assert errors_of(ROOT) <= {
        ("profile.required-field", "codeRepository"),
        ("profile.required-field", "identifier"),
    }


def test_one_command_writes_doi_and_address_into_all_places(tmp_path: Path) -> None:
    for name in (*NAMED_WHEN_PUBLISHED, "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)

    def published(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "tools/published.py"), *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    def named(value: str) -> list[str]:
        return [
            file for file in NAMED_WHEN_PUBLISHED if value in (tmp_path / file).read_text(encoding="utf-8")
        ]

    assert published("--doi", "10.5281/zenodo.7").returncode == 1
    empty = published()
    assert empty.returncode == 1
    assert [line.partition(" is ")[0] for line in empty.stdout.splitlines()] == [
        f"{file}: address" for file in ("CITATION.cff", "codemeta.json", ".zenodo.json", "README.md")
    ]
    whole = published("--doi", "10.5281/zenodo.8", "--address", "https://gitlab.com/reproof/reproof")
    assert (whole.returncode, whole.stdout) == (0, "all places are filled in\n"), whole.stderr
    assert (named("zenodo.7"), named("10.5281/zenodo.8")) == ([], [*NAMED_WHEN_PUBLISHED[:4]])
    assert named("https://gitlab.com/reproof/reproof") == [*NAMED_WHEN_PUBLISHED[1:]]
    assert named("not published yet") == []
    assert errors_of(tmp_path) == set()
    assert schema_errors("citation-file-format", tmp_path / "CITATION.cff") == []
    texts = {file: (tmp_path / file).read_bytes() for file in NAMED_WHEN_PUBLISHED}
    assert published("--doi", "zenodo.9").returncode == 2
    assert (
        published("--doi", "10.5281/zenodo.8", "--address", "https://gitlab.com/reproof/reproof").returncode
        == 0
    )
    assert {file: (tmp_path / file).read_bytes() for file in texts} == texts


def schema_errors(schema: str, file: Path, **more: int) -> list[str]:
    shipped = importlib.resources.files("check_jsonschema.builtin_schemas.vendor") / f"{schema}.json"
    rules = json.loads(shipped.read_text(encoding="utf-8"))
    told = YAML(typ="safe").load(file)  # of YAML 1.2, in which `on` is a word
    return [error.message for error in validator_for(rules)(rules).iter_errors({**told, **more})]


@pytest.mark.parametrize(
    ("schema", "file"),
    [("citation-file-format", "CITATION.cff"), ("github-workflows", ".github/workflows/ci.yml")],
)
def test_the_schemas_of_others_are_met(schema: str, file: str) -> None:
    assert schema_errors(schema, ROOT / file) == []
    assert schema_errors(schema, ROOT / file, unheard_of=1)


def test_every_data_set_has_its_terms() -> None:
    text = (ROOT / "DATA_LICENCES.md").read_text(encoding="utf-8")
    keys = set(re.findall(r"^\| .+? \| `(\w+)` \| .+ \| .+ \| .+ \|$", text, re.MULTILINE))
    of_users = {"arrays", "folder"}
    assert (
        keys | set(DELETED_DATA) - of_users
        == (set(registry.names("datasets")) | set(DELETED_DATA)) - of_users
    )


def test_zenodo_gets_what_it_asks_for() -> None:
    told = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
    assert set(told) >= {"title", "description", "upload_type", "creators", "license", "access_right"}
    assert (told["upload_type"], told["access_right"]) == ("software", "open")
    assert all(set(one) <= {"name", "affiliation", "orcid"} for one in told["creators"])
