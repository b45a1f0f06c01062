from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from reproof.plan import code_digest
from tests.ours import here


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package in place of ours: a imports b, b imports c inside a function; d stands alone."""
    (tmp_path / "sub").mkdir()
    files = {
        "a.py": '"""A."""\nfrom reproof import b\nfrom reproof.sub import e\n\ndef f(x):\n    """F."""\n    return x + 1\n',
        "b.py": "def g():\n    from reproof.c import h\n    return h()\n",
        "c.py": "def h():\n    return 3\n",
        "d.py": "x = 1\n",
        "provenance.py": "y = 1\n",
        "__init__.py": "",
        "sub/__init__.py": "",
        "sub/e.py": "import reproof.provenance\n\nclass E:\n    deviations: tuple = ('one',)\n    size = 1\n"
        "    title: ClassVar[str] = 'E'\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code_digest, "PACKAGE", tmp_path)
    return tmp_path


def digest(*files: Path) -> str:
    for found in vars(code_digest).values():
        if hasattr(found, "cache_clear"):
            found.cache_clear()
    return code_digest.digest(["reproof.a"], files)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_text_is_parsed_once(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one Python: the next one's syntax trees may have other words. Notes that are lost or spoilt are made anew."""
    before = digest()
    notes = package / "__pycache__/parsed.json"
    parse = code_digest._parse
    parsed: list[str] = []

    def count(text: bytes, name: str) -> code_digest.Parsed:
        parsed.append(Path(name).name)
        return parse(text, name)

    monkeypatch.setattr(code_digest, "_parse", count)
    assert digest() == before
    assert parsed == []
    edit(package / "c.py", "return 3", "return 4")
    assert digest() != before
    assert parsed == ["c.py"]
    edit(package / "c.py", "return 4", "return 3")
    for spoilt in ("", "5", "[", "[]"):
        notes.write_text(spoilt)
        parsed.clear()
        assert digest() == before
        assert len(parsed) == 5, spoilt
    parsed.clear()
    with monkeypatch.context() as patch:
        patch.setattr("sys.version", "another")
        assert digest() == before
    assert len(parsed) == 5
    shutil.rmtree(notes.parent)
    notes.parent.write_text("no folder can be made here")
    assert digest() == before


def test_a_name_that_becomes_a_module_counts_although_no_text_changed(package: Path) -> None:
    edit(package / "a.py", "import e\n", "import e, later\n")
    before = digest()
    (package / "sub/later.py").write_text("z = 1\n")
    between = digest()
    assert between != before
    edit(package / "sub/later.py", "1", "2")
    assert digest() != between


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("a.py", '"""A."""', '"""Another docstring."""  # and a comment'),
        ("a.py", '    """F."""\n', ""),
        ("a.py", "x + 1", "(x   +\n        1)"),
        ("d.py", "x = 1", "x = 2"),
        ("provenance.py", "y = 1", "y = 2"),
        ("sub/e.py", "'one'", "'one, said better'"),
        ("sub/e.py", "'E'", "'Called better'"),
    ],
)
def test_what_changes_no_result_changes_no_digest(package: Path, file: str, old: str, new: str) -> None:
    before = digest()
    edit(package / file, old, new)
    assert digest() == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("a.py", "x + 1", "x + 2"),
        ("b.py", "return h()", "return h() + 1"),
        ("c.py", "return 3", "return 4"),
        ("sub/e.py", "size = 1", "size = 2"),
        ("sub/__init__.py", "", "x = 1\n"),
    ],
)
def test_code_that_a_job_runs_changes_its_digest(package: Path, file: str, old: str, new: str) -> None:
    before = digest()
    (package / file).write_text((package / file).read_text().replace(old, new) if old else new)
    assert digest() != before


def test_data_files_count_by_content(package: Path) -> None:
    path = package / "claims.csv"
    path.write_text("a")
    before = digest(path)
    path.touch()
    assert digest(path) == before
    path.write_text("b")
    assert digest(path) != before
    assert before != digest()


def test_training_digest_of_the_project_holds_the_loop_and_the_chosen_plugins_only() -> None:
    found = code_digest.reached(
        frozenset({"reproof.stages.train", "reproof.architectures.cnn6", "reproof.defenses.undefended"})
    )
    assert {"reproof.training.loop", "reproof.models.build", "reproof.models.layers"} <= found
    assert "reproof.defenses.pgd_training" not in found
    assert "reproof.attacking.engine" not in found
    assert "reproof.report" not in found


def test_a_new_setting_of_attacks_by_gradient_ascent_changes_their_own_jobs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "reproof"
    shutil.copytree(code_digest.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "papers"))
    monkeypatch.setattr(code_digest, "PACKAGE", copy)
    jobs = {
        **{
            stage: [f"reproof.stages.{stage}"]
            for stage in ("assemble", "surface", "evaluate", "tabulate", "draw")
        },
        "prepare": ["reproof.stages.prepare", "reproof.datasets.digits"],
        "train": ["reproof.stages.train", "reproof.architectures.cnn6", "reproof.defenses.undefended"],
        **{
            kind: ["reproof.stages.attack", f"reproof.attacks.{kind}"]
            for kind in here("attacks", "fgsm", "jsma", "bim", "pgd")
        },
    }

    def digests() -> dict[str, str]:
        for found in vars(code_digest).values():
            if hasattr(found, "cache_clear"):
                found.cache_clear()
        return {name: code_digest.digest(modules) for name, modules in jobs.items()}

    before = digests()
    edit(
        copy / "settings" / "gradient_ascent.py",
        "    def passes(self)",
        "    patience: Count = Field(1, description='A new one.')\n\n    def passes(self)",
    )
    after = digests()
    assert {name for name in jobs if before[name] != after[name]} == set(here("attacks", "bim", "pgd"))


@pytest.mark.parametrize("stage", ["prepare", "train", "assemble", "attack", "evaluate", "tabulate", "draw"])
def test_what_only_decides_which_jobs_there_are_is_no_part_of_their_code(stage: str) -> None:
    """What a plan or a study says of a job stands in the job's slice; an edit of the rest must rerun no training."""
    found = code_digest.reached(frozenset({f"reproof.stages.{stage}"}))
    assert "reproof.plan.job" in found
    assert not found & {
        "reproof.plan.jobs",
        "reproof.study.reader",
        "reproof.plan.estimate",
        "reproof.stages.report",
    }


def test_what_is_imported_for_types_alone_is_no_part_of_the_code(package: Path) -> None:
    (package / "f.py").write_text(
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from reproof.d import x\nelse:\n    import reproof.c\n"
    )
    digest()
    assert code_digest.reached(frozenset({"reproof.f"})) == {"reproof.f", "reproof.c"}
