"""Plug-ins from folders outside the package stand beside the package's while a study names their folder, and no longer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reproof import new, plugin_folders, registry
from reproof.errors import StudyError
from reproof.plan import code_digest, page_code
from reproof.study import reader, schema

STUDY: dict[str, Any] = {
    "study": "own",
    "seeds": [0],
    "dataset": "digits",
    "datasets": {"digits": {"kind": "digits"}},
    "architecture": {"kind": "cnn6"},
    "training": {"epochs": 1, "learning_rate": 0.1},
    "models": {"calm": {"defense": {"kind": "calm_logits"}}},
    "attacks": {"shading": {"kind": "shading", "epsilons": [0.1]}},
    "suites": {"papers": {"attacks": ["shading"], "images": 10}},
    "threats": {"white_box": {"setting": "white_box", "suite": "papers"}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    for kind, name in (("attack", "shading"), ("defense", "calm_logits"), ("section", "counted")):
        new.write(kind, name, tmp_path / "mine")
    yield tmp_path / "mine"
    plugin_folders.use(())


def parse(*folders: Path, **changed: Any) -> Any:
    merged = {**STUDY, "plugins": [str(folder) for folder in folders], **changed}
    return reader.parse(merged, [("study.yaml", merged)])


def test_a_study_that_names_the_folder_finds_them_and_another_one_does_not(folder: Path) -> None:
    ours = {family: registry.names(family) for family in registry.FAMILIES}
    sections = list(page_code.sections())
    study = parse(folder)
    assert study.plugins == (str(folder),)
    assert set(registry.names("attacks")) == {*ours["attacks"], "shading"}
    assert registry.title("attacks", "shading") == "shading"
    assert registry.load("attacks", "shading").__file__ == str(folder / "attacks/shading.py")
    assert [*sections, "reproof.report.sections.counted"] == list(page_code.sections())
    assert folder / "sections/counted.html.j2" in page_code.files()
    assert "calm_logits" in json.dumps(schema.json_schema())
    with pytest.raises(StudyError, match="no kind is called 'calm_logits'"):
        parse()
    assert {family: registry.names(family) for family in registry.FAMILIES} == ours
    assert registry.title("attacks", "shading") is None


def test_their_code_is_part_of_the_digest(folder: Path) -> None:
    parse(folder)
    modules = ["reproof.stages.attack", "reproof.attacks.shading"]
    before = code_digest.digest(modules)
    path = folder / "attacks/shading.py"
    text = path.read_text()
    for changed, edit in ((False, text + "\n# a comment\n"), (True, text + "\nEXTRA = 1\n")):
        path.write_text(edit)
        code_digest._parsed.cache_clear()
        assert (code_digest.digest(modules) != before) == changed


def test_another_folder_s_plug_in_of_the_same_name_takes_its_place(folder: Path, tmp_path: Path) -> None:
    parse(folder)
    first = registry.load("attacks", "shading")
    for kind, name in (("attack", "shading"), ("defense", "calm_logits")):
        new.write(kind, name, tmp_path / "theirs")
    parse(tmp_path / "theirs")
    second = registry.load("attacks", "shading")
    assert (first.__file__, second.__file__) == (
        str(folder / "attacks/shading.py"),
        str(tmp_path / "theirs/attacks/shading.py"),
    )
    with pytest.raises(
        StudyError, match=r"theirs/attacks/shading.py has the name of .*mine/attacks/shading.py"
    ):
        parse(folder, tmp_path / "theirs")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "is no folder"),
        (lambda path: path.symlink_to(path), "is no folder"),
        (lambda path: path.mkdir(), "holds none of the folders architectures, attacks"),
        (
            lambda path: ((path / "attacks").mkdir(parents=True), (path / "attacks/fgsm.py").touch()),
            "attacks/fgsm.py has the name of .*reproof/attacks/fgsm.py",
        ),
    ],
)
def test_a_folder_that_cannot_be_used_is_named(make: Any, words: str, tmp_path: Path) -> None:
    make(tmp_path / "mine")
    with pytest.raises(StudyError, match=words):
        parse(tmp_path / "mine")
    with pytest.raises(StudyError, match="is no folder"):
        parse(tmp_path / "a\0b")
    with pytest.raises(StudyError, match="is no folder"):
        parse(tmp_path / ("mine" * 2000))
    with pytest.raises(StudyError, match="'' is no folder"):
        plugin_folders.use([""])
    plugin_folders.use(())


def test_a_folder_that_is_named_twice_is_one(folder: Path) -> None:
    parse(folder, folder)
    assert plugin_folders.used() == (folder.resolve(),)


def test_a_section_that_is_no_python_stops_the_study_at_once(folder: Path) -> None:
    (folder / "sections/.#counted.py").symlink_to("somebody@elsewhere.17")
    (folder / "sections/counted (copy).py").write_text("def (")
    parse(folder)
    (folder / "sections/counted.py").write_bytes(b'title = "\xe9"\n')
    with pytest.raises(StudyError, match=r"sections/counted\.py.*: cannot be read as Python"):
        parse(folder)


@pytest.mark.parametrize(
    ("words", "file"),
    [
        ("from ._sizes import FACTOR", "_sizes.py"),
        ("from . import _sizes", "_sizes.py"),
        ("from reproof.attacks import _sizes", "_sizes.py"),
    ],
)
def test_what_an_own_plug_in_imports_is_part_of_its_code(words: str, file: str, folder: Path) -> None:
    """The numbers of before would stand silently otherwise."""
    path = folder / "attacks/shading.py"
    path.write_text(path.read_text() + f"\n{words}\n")
    (folder / "attacks" / file).write_text("FACTOR = 1.0\n")
    parse(folder)
    assert f"reproof.attacks.{file.removesuffix('.py')}" in code_digest.reached(
        frozenset({"reproof.attacks.shading"})
    )


def test_a_network_s_package_is_followed_whole(tmp_path: Path) -> None:
    texts = {
        "network.py": "from pkg import build\nimport other.deep.inner\n",
        "pkg/__init__.py": "from .net import build\n",
        "pkg/net.py": "from . import sizes\nfrom ..beside import WIDTH\n",
        "pkg/sizes.py": "WIDTH = 3\n",
        "beside.py": "WIDTH = 3\n",
        "other/__init__.py": "",
        "other/deep/__init__.py": "",
        "other/deep/inner.py": "",
        "unrelated.py": "",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = {str(path.relative_to(tmp_path)) for path in code_digest.own_files(tmp_path / "network.py")}
    assert found == set(texts) - {"unrelated.py"}


@pytest.mark.parametrize(
    ("line", "words"),
    [("import nowhere_to_be_found", "ModuleNotFoundError: No module"), ("exit(3)", "SystemExit: 3")],
)
def test_a_plug_in_that_cannot_be_imported_is_named(line: str, words: str, folder: Path) -> None:
    (folder / "attacks/shading.py").write_text((folder / "attacks/shading.py").read_text() + f"\n{line}\n")
    parse(folder)
    with pytest.raises(StudyError, match=rf"attacks/shading.py: importing it raised {words}"):
        registry.load("attacks", "shading")


@pytest.mark.parametrize("text", ["def (\n", "x = 1\n  y = 2\n", "a\0b"])
def test_a_plug_in_that_is_no_python_is_named(text: str, folder: Path) -> None:
    (folder / "attacks/shading.py").write_text(text)
    with pytest.raises(StudyError, match=r"shading\.py.*: cannot be read as Python"):
        parse(folder)


BROKEN = {
    "attacks/broken.py": ("def (\n", "broken.py, line 1: cannot be read as Python"),
    "attacks/odd.py": ("", "odd.py: defines no class Settings"),
    "attacks/divides.py": (
        "class Settings:\n    x: int = 1 / 0\n",
        "its Settings cannot be read: ZeroDivisionError",
    ),
    "attacks/leaves.py": ("class Settings:\n    exit()\n", "its Settings cannot be read: SystemExit"),
    "defenses/unknown.py": (
        "from reproof.settings.defense import DefenseSettings\n\n\nclass Settings(DefenseSettings):\n    x: Nothing = 1\n",
        "Settings uses 'Nothing'",
    ),
    "attacks/fgsm (copy).py": ("", "fgsm (copy).py: its name should be of letters, digits and _"),
    "attacks/folder.py/inside": ("", "folder.py: cannot be read as Python"),
    "architectures/nameless.py": (
        "from reproof.settings.architecture import ArchitectureSettings\n\n\nclass Settings(ArchitectureSettings):\n"
        '    title = "x"\n\n    @classmethod\n    def title_of(cls, key, name):\n        return {}[key]\n',
        "nameless.py: its name cannot be told: KeyError",
    ),
}


def test_whoever_does_not_choose_a_broken_plug_in_works_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an editor's copies and locks, or a file that somebody has begun."""
    for name, (text, _) in BROKEN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "attacks/.#shading.py").symlink_to("somebody@elsewhere.17")
    for _ in range(2):
        parse(folder)
        found = {word for family in registry.FAMILIES for word in registry.names(family)}
        assert "shading" in found
        assert not found & {Path(name).stem for name in BROKEN}
        assert registry.title("architectures", "cnn6")
    error = capsys.readouterr().err
    assert [words for _, words in BROKEN.values() if words not in error] == []
    assert error.count("left out") == len(BROKEN)
    with pytest.raises(StudyError, match=r"broken\.py, line 1: cannot be read as Python"):
        parse(folder, attacks={"mine": {"kind": "broken"}})
