"""Sections are plug-ins: a new one is two files, a removed one leaves nothing behind, and navigation follows."""

from __future__ import annotations

import ast
import itertools
import math
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import made_up_study
import pytest
from tests.ours import needs
from tests.unfolded import render, unfolded

from reproof import registry
from reproof.report import ReportData, sections
from reproof.report.section import found_sections
from reproof.report.shared import Shared

FOLDER = Path(sections.__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
NEW = '''"""The weather."""

from reproof.report.section import Section

SECTION = Section("weather", "The weather", order=21, heading="How the weather was", needs=({needs}))


def entries(shared):
    return [("weather-rain", "Rain")]


def build(shared):
    return {{"words": f"{{len(shared.data.models)}} models, <b>no</b> rain"}}
'''
TEMPLATE = '<p id="weather-rain">{{ words }}</p>\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the folder of sections, where the page looks for them instead."""
    copy = tmp_path / "sections"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sections, "__path__", [str(copy)])
    for name in [name for name in sys.modules if name.startswith(f"{sections.__name__}.")]:
        monkeypatch.delitem(sys.modules, name)
    return copy


@pytest.fixture
def data(tree: made_up_study.Tree) -> ReportData:
    return made_up_study.report_data(tree)


def navigation(html: str) -> list[str]:
    return re.findall(r'href="#([^"]+)"', html.split("<nav")[1].split("</nav>")[0])


def dangling(html: str) -> set[str]:
    """Return what links lead to and is not on the page."""
    ids = set(re.findall(r'\bid="([^"]+)"', html))
    return set(re.findall(r'href="#([^"]+)"', html)) - ids


@needs("sections/study_run", "sections/conclusions")
def test_a_new_section_is_two_files(folder: Path, data: ReportData, monkeypatch: pytest.MonkeyPatch) -> None:
    before = navigation(render(data))
    (folder / "weather.py").write_text(NEW.format(needs='"papers",'), encoding="utf-8")
    (folder / "weather.html.j2").write_text(TEMPLATE, encoding="utf-8")
    html = render(data)
    monkeypatch.delitem(sys.modules, f"{sections.__name__}.weather")
    assert '<section id="weather">\n<h2>How the weather was</h2>\n' in html
    assert f'<p id="weather-rain">{len(data.models)} models, &lt;b&gt;no&lt;/b&gt; rain</p>' in html
    assert '<a href="#weather">The weather</a>' in html
    shown = navigation(html)
    place = shown.index("weather")
    assert shown[place - 1 : place + 3] == ["run", "weather", "weather-rain", "found"], "in its order"
    assert [name for name in shown if not name.startswith("weather")] == before
    assert html.index('<section id="run">') < html.index('<section id="weather">')
    assert html.index('<section id="weather">') < html.index('<section id="found">')


def test_a_section_whose_needs_are_not_met_is_left_out(
    folder: Path, data: ReportData, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "weather.py").write_text(NEW.format(needs='"references",'), encoding="utf-8")
    (folder / "weather.html.j2").write_text(TEMPLATE, encoding="utf-8")
    html = render(data)
    monkeypatch.delitem(sys.modules, f"{sections.__name__}.weather")
    assert "weather" not in html


@pytest.mark.parametrize("name", NAMES)
def test_a_removed_section_leaves_nothing_behind(name: str, folder: Path, data: ReportData) -> None:
    (folder / f"{name}.py").unlink()
    (folder / f"{name}.html.j2").unlink()
    gone = registry_section(name)
    html = render(data)
    assert gone not in navigation(html)
    assert f'<section id="{gone}">' not in html
    assert dangling(html) == set()
    assert html.count("<section id=") == len(navigation_of_sections(html)) + 1, "the cards beside"


def registry_section(name: str) -> str:
    """Return the id that a section's file declares."""
    found = re.search(
        r'SECTION = Section\(\s*"([\w-]+)"', (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    )
    assert found is not None
    return found.group(1)


def navigation_of_sections(html: str) -> list[str]:
    return re.findall(
        r'<li><a href="#([^"]+)"', re.sub(r'<ol class="inner">.*?</ol>', "", html.split("</nav>")[0])
    )


def test_the_page_as_it_is_has_no_dangling_link(html: str) -> None:
    assert dangling(unfolded(html)) == set()


ORDER = (
    "claims tables references independent fell run found statements contradictions interpretations figures strongest "
    "matrix classes flags checklist transfer again provenance verdicts glossary"
)


def test_claims_come_first_then_the_run_the_papers_the_attacks_and_how_to_make_it_again(html: str) -> None:
    shown = re.findall(r'<section id="([^"]+)">', html)
    known = [name for name in ORDER.split() if name in shown]
    assert [name for name in shown if name in known] == known
    assert len(known) > 5
    groups = re.findall(r'<p class="group">(.*?)</p>\s*<section id="([^"]+)">', html)
    assert len(groups) == len(dict(groups)), "each group's name stands over its first section, once"
    assert groups[0] == ("The claims", known[0])


def test_only_sections_lie_in_their_folder_each_with_its_template(data: ReportData) -> None:
    files = {path.name for path in FOLDER.iterdir() if path.name not in ("__init__.py", "__pycache__")}
    assert files == {f"{name}{end}" for name in NAMES for end in (".py", ".html.j2")}
    modules = registry.found_in(sections)
    declared = [module.SECTION for module in modules]
    assert (
        len({section.id for section in declared})
        == len({section.order for section in declared})
        == len(NAMES)
    )
    needs = {need for section in declared for need in section.needs}
    assert all(hasattr(data, need) for need in needs)
    assert len(found_sections(Shared(data))) <= len(NAMES)


def test_nothing_outside_their_folder_imports_a_section() -> None:
    """Else the page could not do without it."""
    package = FOLDER.parents[1]
    others = [path for path in package.rglob("*.py") if FOLDER not in path.parents]
    imported = {
        f"{path.relative_to(package)}: {name}"
        for path in others
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [f"{node.module}.{alias.name}" for alias in node.names]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
        if name.startswith(f"{sections.__name__}.")
    }
    assert len(others) > 50
    assert imported == set()


WITHOUT = """
import os, pickle, sys
from pathlib import Path

import jinja2, matplotlib.figure, numpy, pandas, pyarrow.parquet, pydantic, yaml  # once for every child

folder, tree = map(Path, sys.argv[1:3])
for names in sys.argv[3:]:
    files = [folder / f"{name}{end}" for name in names.split(",") for end in (".py", ".html.j2")]
    texts = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    if not os.fork():
        import made_up_study
        import reproof.stages.report
        from tests.unfolded import render
        assert Path(reproof.stages.report.__file__).parents[1] == folder.parents[1]
        html = render(made_up_study.report_data(pickle.loads(tree.read_bytes())))
        print(names, html.count("<section id="), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, names
    for file, text in zip(files, texts):
        file.write_bytes(text)
"""


def apart(names: Sequence[str]) -> list[list[str]]:
    """Return groups so that of any two names each is in one without the other: rows and columns of a square."""
    side = math.isqrt(len(names) - 1) + 1
    return [list(names[start : start + side]) for start in range(0, len(names), side)] + [
        list(names[start::side]) for start in range(side)
    ]


def test_groups_part_any_two() -> None:
    for count in (2, 3, 4, 5, 22, 25, 26):
        names = [str(number) for number in range(count)]
        groups = apart(names)
        assert all(
            any(one in group and other not in group for group in groups)
            for one, other in itertools.permutations(names, 2)
        )


@pytest.mark.release
@pytest.mark.slow
def test_the_page_is_made_where_a_section_s_files_are_not_there(
    tree: made_up_study.Tree, tmp_path: Path
) -> None:
    """In a copy of the package, and in processes that never saw them: the job of the page, and what it imports.

    Several are gone at once, so that each is there while any other is not.
    """
    package, here = FOLDER.parents[1], Path(__file__).parent
    shutil.copytree(package, tmp_path / "src" / "reproof", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tree.pickle").write_bytes(pickle.dumps(tree))
    copy = tmp_path / "src" / "reproof" / "report" / "sections"
    made = subprocess.run(
        [
            sys.executable,
            "-c",
            WITHOUT,
            str(copy),
            str(tmp_path / "tree.pickle"),
            *map(",".join, apart(NAMES)),
        ],
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "PYTHONPATH": os.pathsep.join(map(str, (tmp_path / "src", here, here.parents[1]))),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    counts = dict(line.split() for line in made.stdout.splitlines())
    assert {name for group in counts for name in group.split(",")} == set(NAMES)
    whole = len(found_sections(Shared(made_up_study.report_data(tree)))) + 1
    gone = {group: whole - int(count) for group, count in counts.items()}
    assert all(0 <= missing <= len(group.split(",")) for group, missing in gone.items()), (
        "but those, where shown"
    )
    assert sum(gone.values()) == 2 * (whole - 1), "each was left out twice"


def test_keys_scroll_whatever_is_wider_than_the_page_and_captions_are_no_landmarks() -> None:
    report = Path(sections.__file__).parent.parent
    for path in (*report.glob("sections/*.j2"), *report.glob("templates/*.j2")):
        text = path.read_text(encoding="utf-8")
        assert 'role="region"' not in text, path.name
        for tag in re.findall(r'<pre\b[^>]*>|<div class="(?:scroll|canvas)[^>]*>', text):
            assert 'tabindex="0"' in tag, f"{path.name}: {tag}"
