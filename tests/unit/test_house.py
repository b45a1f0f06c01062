from __future__ import annotations

import ast
import functools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from reproof import cli, registry
from reproof.claims.vocabulary import variant_of
from reproof.plan import jobs
from reproof.study import reader
from tests.ours import DELETED, papers_here

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "reproof"
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "ARTIFACT.md")
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

GENERATED = {".git", ".venv", ".snakemake", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}
GENERATED_AT_ROOT = {"results", "report", "data", "wheels"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def committed_files() -> list[Path]:
    """Return what is, or is about to be, committed; in an unpacked archive, all that no run has made."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    found = []
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if path.is_file() and not GENERATED.intersection(parts) and parts[0] not in GENERATED_AT_ROOT:
            found.append(path)
    return [path for path in found if "__pycache__" not in path.parts]


# What is committed.


def test_no_large_file_is_committed() -> None:
    large = {str(path.relative_to(ROOT)) for path in committed_files() if path.stat().st_size > 2**20}
    assert not large


MACHINE_PATH = re.compile(r"(?<![\w.<>:/-])/(?:work|root|Users/\w+|home/\w+)(?=[/\s\"'`)]|$)", re.MULTILINE)


def test_no_committed_text_names_a_place_on_somebodys_machine() -> None:
    found = {}
    for path in committed_files():
        content = path.read_bytes()
        if b"\0" not in content and (hits := MACHINE_PATH.findall(content.decode("utf-8"))):
            found[str(path.relative_to(ROOT))] = hits
    assert not found


@pytest.mark.parametrize(
    "text", ["/wor" + "k/data", "see '/roo" + "t'", "cd /hom" + "e/sam/x", "/Use" + "rs/sam/"]
)
def test_machine_paths_are_recognised(text: str) -> None:
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize(
    "text", ["workflow/root/x", "https://example.org/work/", "a/work/b", "/workflow", "</root>"]
)
def test_other_paths_are_not(text: str) -> None:
    assert not MACHINE_PATH.search(text)


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "util", "helpers", "helper", "misc", "common", "tools"}
    named = {path for path in (ROOT / "src").rglob("*.py") if path.stem.strip("_") in drawers}
    named |= {path for path in (ROOT / "src").rglob("*") if path.is_dir() and path.name in drawers}
    named |= {path for path in (ROOT / "tests").rglob("*.py") if path.stem.strip("_") in drawers}
    assert not named


def test_citation_and_changelog_name_this_version() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == VERSION
    assert citation["type"] == "software"
    assert citation["license"] == "MIT"
    assert citation["title"]
    assert citation["message"]
    assert citation["authors"] == [{"name": "The reproof contributors"}]
    entries = re.findall(r"^## \[(.+?)\](.*)$", read("CHANGELOG.md"), re.MULTILINE)
    assert [name for name, _ in entries[:2]] == ["Unreleased", VERSION]
    assert re.fullmatch(r" - \d{4}-\d{2}-\d{2}", entries[1][1])
    assert read("LICENSE").startswith("MIT License")


# What the documents promise.


def code_of(document: str) -> str:
    """Return a document's code: fenced blocks and `spans`, a line each."""
    text = read(document)
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```\w*\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*fenced, *spans])


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, ".ci/run", ".github/workflows/ci.yml", ".pre-commit-config.yaml"]
)
def test_make_targets_that_are_named_exist(document: str) -> None:
    text = code_of(document) if document in DOCUMENTS else read(document)
    named = set(re.findall(r"(?:^|run: |[#`(] ?)make ([a-z][a-z-]*)\b", text, re.MULTILINE))
    if document != ".pre-commit-config.yaml":
        assert named & {"report", "test", "check"}
    assert named <= TARGETS


def test_readme_gives_both_commands_and_the_test_command() -> None:
    code = code_of("README.md").splitlines()
    for command in ("make report", "snakemake --cores all --use-conda", "make test"):
        assert any(line.partition("#")[0].strip() == command for line in code), command


@pytest.mark.parametrize("document", DOCUMENTS)
def test_sub_commands_and_rules_that_are_named_exist(document: str) -> None:
    code = code_of(document)
    sub_commands = set(re.findall(r"python -m reproof ([a-z]+)", code))
    forced = set(re.findall(r"--forcerun ([a-z]+)", code))
    assert sub_commands | forced or document != "README.md"
    assert forced <= set(jobs.RULES)
    for command in sub_commands:
        with pytest.raises(SystemExit) as ended:
            cli.parser().parse_args([command, "--help"])
        assert ended.value.code == 0


def test_the_readme_s_own_studies_are_valid(tmp_path: Path) -> None:
    """What was removed may still stand in an example: a defense of the papers, the suite of a deleted attack."""
    base = reader.load([ROOT / "config.yaml"])
    printed = {variant_of(claim.defense) for paper in papers_here() for claim in paper.claims}
    removed = printed - set(registry.names("defenses"))
    overlays = re.findall(r"^```yaml\n(.*?)^```", read("README.md"), re.MULTILINE | re.DOTALL)
    assert len(overlays) == 3
    found = []
    for overlay in overlays:
        example = yaml.safe_load(overlay)
        models, threats = example.get("models", {}), example.get("threats", {})
        met = base.suites.keys() >= {threat["suite"] for threat in threats.values()} or not DELETED
        if met and removed.isdisjoint(stanza["defense"]["kind"] for stanza in models.values()):
            (tmp_path / "overlay.yaml").write_text(overlay, encoding="utf-8")
            found.append(reader.load([ROOT / "config.yaml", tmp_path / "overlay.yaml"]))
    *others, wide = found
    assert len(others) == 2 or DELETED
    for sources in [study for study in others if "at_once" in study.threats]:
        made_on = {
            name: jobs.Plan(sources).sources("undefended", sources.threats[name])
            for name in ("in_turn", "at_once")
        }
        assert [len(names) for names in made_on.values()] == [2, 1]
        assert made_on["at_once"] == ("undefended_2+undefended_3",)
    for ensemble in [study for study in others if "at_once" not in study.threats]:
        assert set(ensemble.models) - set(base.models) == {"one", "two", "three", "together"}
        assert jobs.Plan(ensemble).threats_on("together").keys() >= {"by_member", "white_box"}
    assert (wide.name, wide.seeds) == ("digits_wide", (0, 1, 2))
    assert wide.models.keys() == base.models.keys()
    widths = {name: model.architecture.settings.width for name, model in wide.models.items()}
    assert widths["undefended"] == 1
    assert base.models["undefended"].architecture.settings.width < 1


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_are_named_exist(document: str) -> None:
    named = set(re.findall(r"(?<![\w./<>{}*-])((?:[\w.-]+/)+[\w.-]*)(?![\w/<>{}*])", code_of(document)))
    named = {name for name in named if not re.fullmatch(r"\d+/\d+", name)}  # a part of some, no path
    committed = {name for name in named if name.split("/")[0] not in {*GENERATED, *GENERATED_AT_ROOT}}
    assert committed
    invented = set(
        re.findall(r"^# (\S+\.\S+)$", code_of(document), re.MULTILINE)
    )  # files that an example creates
    missing = {name for name in committed - invented if not (ROOT / name).exists()}
    may_be_gone = ("studies/", "src/reproof/") if DELETED else ()
    assert not {name for name in missing if not name.startswith(may_be_gone)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_between_documents_lead_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", read(document))
    assert links
    assert not {link for link in links if not (ROOT / link).exists()}


# make


MAKE_VARIABLES = (
    "PYTHON",
    "STUDY",
    "BUDGET",
    "CORES",
    "WORKERS",
    "SNAKEMAKE_FLAGS",
    "PYTEST_FLAGS",
    "CONFIRM",
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a folder with the files that make needs, and no .venv: as a zip unpacks them, which none may execute."""
    folder = tmp_path / "a copy"
    folder.mkdir()
    for name in ("Makefile", "config.yaml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "tools", folder / "tools", copy_function=shutil.copyfile)
    (folder / "src").symlink_to(ROOT / "src")
    return folder


def run(folder: Path, *command: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a command as from a fresh shell: without what an outer make has put into the environment."""
    environment = {k: v for k, v in os.environ.items() if k not in MAKE_VARIABLES and "MAKE" not in k}
    environment.pop("MFLAGS", None)
    environment.update(extra)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def disguised_python(folder: Path, disguise: str) -> str:
    """Put a python3 into a folder that runs a line before anything else; return a PATH that begins there."""
    (folder / "disguise").mkdir(parents=True)
    (folder / "disguise" / "sitecustomize.py").write_text(f"import sys\n{disguise}\n", encoding="utf-8")
    script(folder / "python3", f'PYTHONPATH="{folder}/disguise" exec "{sys.executable}" "$@"')
    return f"{folder}:{os.environ['PATH']}"


def finished_venv(folder: Path) -> Path:
    """Put a .venv there that looks finished and whose Python notes its arguments, and names a page; return its notes."""
    noting = '[ "$1" = -I ] || { echo "$@" >> notes; case "$*" in *answer*) echo told;; esac; }'
    script(folder / ".venv" / "bin" / "python", noting)
    for lock in ("requirements.lock", "requirements-dev.lock"):
        shutil.copy(folder / lock, folder / ".venv")
    return folder / "notes"


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_every_target_parses(target: str, copy: Path) -> None:
    done = run(copy, "make", "-n", target)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert not done.stderr
    assert not (copy / ".venv").exists()


def test_help_names_every_target_but_the_parts(copy: Path) -> None:
    shown = set(re.findall(r"^make ([a-z-]+)", run(copy, "make").stdout, re.MULTILINE))
    assert shown == TARGETS - {"help", "install", "install-dev"}


def test_report_runs_snakemake_and_prints_the_answer(copy: Path) -> None:
    notes = finished_venv(copy)
    done = run(copy, "make", "report")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "told"
    assert notes.read_text() == "-m snakemake --cores all\n-m reproof answer\n"


def test_report_takes_a_study_a_budget_and_a_number_of_cores(copy: Path) -> None:
    notes = finished_venv(copy)
    run(copy, "make", "report", "STUDY=bigger.yaml", "BUDGET=paper", "CORES=3")
    layers = "--configfile bigger.yaml --config budget=paper"
    assert notes.read_text() == f"-m snakemake --cores 3 {layers}\n-m reproof answer {layers}\n"


@pytest.mark.parametrize("home", ["/nonexistent", "."])
def test_report_needs_no_home_for_snakemake_s_cache(home: str, copy: Path) -> None:
    told = run(copy, "make", "-n", "report", HOME=home).stdout
    cache = f"env XDG_CACHE_HOME='{copy}/.snakemake/cache' "
    assert told.count(f"{cache}.venv/bin/python -m snakemake") == (home != ".")


def test_report_that_fails_tells_no_answer(copy: Path) -> None:
    finished_venv(copy)
    script(copy / ".venv" / "bin" / "python", '[ "$1" = -I ] || exit 7')
    done = run(copy, "make", "report")
    assert done.returncode != 0
    assert "told" not in done.stdout


def test_each_test_target_runs_its_share(copy: Path) -> None:
    notes = finished_venv(copy)
    assert run(copy, "make", "test").returncode == 0
    assert run(copy, "make", "test-quick").returncode == 0
    assert run(copy, "make", "test-release").returncode == 0
    assert notes.read_text().splitlines() == [
        f"-m pytest -n 3 --dist loadgroup -m {chosen}"
        for chosen in ("not release", "not slow and not release", "release")
    ]


def test_clean_keeps_results_and_distclean_asks(copy: Path) -> None:
    for folder in ("results/a", "report", ".mypy_cache", ".venv"):
        (copy / folder).mkdir(parents=True)
        (copy / folder / "file").write_text("x")
    for folder in ("results", "report"):
        (copy / folder / "README.md").write_text("x")
    for folder in ("tests", "benchmarks", "workflow"):
        (copy / folder).mkdir()
    assert run(copy, "make", "clean").returncode == 0
    assert not (copy / ".mypy_cache").exists()
    asked = run(copy, "make", "distclean")
    assert asked.returncode == 0
    assert "CONFIRM=yes" in asked.stdout
    assert {line.split("\t")[1] for line in asked.stdout.splitlines() if "\t" in line} == {
        "results/a",
        "report/file",
        ".venv",
    }
    assert (copy / "results" / "a" / "file").exists()
    assert run(copy, "make", "distclean", "CONFIRM=yes").returncode == 0
    left = {str(path.relative_to(copy)) for name in ("results", "report") for path in (copy / name).iterdir()}
    assert left == {"results/README.md", "report/README.md"}
    assert not (copy / ".venv").exists()


# tools/set_up.sh


def only_message(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one message of ours; make adds a line of its own, and nothing else may stand there."""
    assert done.returncode != 0
    assert not done.stdout
    ours = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(ours) == 1, done.stderr
    return ours[0]


@pytest.mark.parametrize("target", ["report", "test"])
def test_old_python_gives_one_message(target: str, copy: Path, tmp_path: Path) -> None:
    path = disguised_python(tmp_path / "bin", "sys.version_info = (3, 10, 14, 'final', 0)")
    message = only_message(run(copy, "make", target, PATH=path))
    assert "is Python 3.10; 3.11 or newer is needed" in message
    assert "PYTHON=" in message
    assert not (copy / ".venv").exists()


def test_missing_venv_module_gives_one_message(copy: Path, tmp_path: Path) -> None:
    path = disguised_python(tmp_path / "bin", "sys.modules['ensurepip'] = None")
    assert "apt install python3-venv" in only_message(run(copy, "make", "report", PATH=path))
    assert not (copy / ".venv").exists()


def test_no_python_gives_one_message(copy: Path, tmp_path: Path) -> None:
    for tool in ("sh", "make", "cat", "basename", "cmp", "env"):
        found = shutil.which(tool)
        assert found
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / tool).symlink_to(found)
    path = str(tmp_path / "bin")
    assert "there is no python3 here" in only_message(run(copy, "make", "report", PATH=path))
    assert "there is no python3.99 here" in only_message(
        run(copy, "make", "report", "PYTHON=python3.99", PATH=path)
    )


def test_install_is_believed_only_when_finished_and_of_this_lock(copy: Path, tmp_path: Path) -> None:
    """And Python may be named past an old one."""
    lock, stamp, unfinished = (
        copy / "requirements.lock",
        copy / ".venv/requirements.lock",
        copy / ".venv/unfinished",
    )
    set_up = ("sh", "tools/set_up.sh", "requirements.lock")

    lock.write_text("a-package-that-is-nowhere==1\n")
    broken = run(copy, *set_up, PIP_NO_INDEX="1", PYTHON=sys.executable)
    assert broken.returncode != 0
    assert broken.stderr.splitlines()[-1].startswith("reproof: installing failed")
    assert not stamp.exists()
    assert unfinished.exists()
    leftover = copy / ".venv" / "leftover"
    leftover.write_text("of the broken install")

    lock.write_text("# nothing to install\n")
    path = disguised_python(tmp_path / "bin", "sys.version_info = (3, 10, 14, 'final', 0)")
    mended = run(copy, "make", "install", f"PYTHON={sys.executable}", PIP_NO_INDEX="1", PATH=path)
    assert mended.returncode == 0, mended.stderr
    assert not leftover.exists()
    assert not unfinished.exists()
    assert stamp.read_text() == lock.read_text()

    code = "import reproof, pathlib; print(pathlib.Path(reproof.__file__).resolve())"
    found = run(copy, str(copy / ".venv/bin/python"), "-c", code)
    assert found.stdout.strip() == str(PACKAGE / "__init__.py")

    again = run(copy, *set_up, PIP_NO_INDEX="1")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    lock.write_text("# another lock\n")
    os.utime(lock, (0, 0))  # older than the stamp, as after unpacking an archive
    assert "Installing" in run(copy, *set_up, PIP_NO_INDEX="1").stderr
    assert stamp.read_text() == lock.read_text()


def test_what_make_runs_keeps_its_bytecode(copy: Path) -> None:
    told = run(copy, "make", "--eval", "told:; @env", "told", PYTHONDONTWRITEBYTECODE="1", KEPT="1")
    assert "KEPT=1" in told.stdout.splitlines()
    assert "PYTHONDONTWRITEBYTECODE" not in told.stdout


# One direction


LEVELS: tuple[tuple[str, ...], ...] = (
    ("errors", "settings", "fast_yaml"),
    (
        "artifacts",
        "table_schema",
        "csv_tables",
        "job_tables",
        "plugin_folders",
        "registry",
        "surroundings",
        "wording",
    ),
    ("provenance", "study"),
    ("plan", "device", "batch_size", "data"),
    ("models", "datasets"),
    ("architectures", "training", "attacking"),
    ("attacks", "geometry"),
    ("defenses",),
    ("papers", "claims", "measuring"),
    ("judging",),
    ("diagnostics", "reference"),
    ("figures", "report"),
    ("stages", "crate", "export", "new", "starters"),
    (
        "cli",
        "__main__",
        "arguments",
        "borrowed",
        "one_driver",
        "run_log",
        "snakemake_driver",
        "warm_client",
        "warm_process",
    ),
)
"""Parts of the package, earliest first; a part imports from its own level and from earlier ones only."""

NEVER = {
    # Evaluation must not share code with training: a fault common to both would hide itself.
    "attacks": {"training", "defenses", "models.build"},
    "attacking": {"training", "defenses", "models.build"},
    "training": {"attacking", "attacks"},
    # Claims meet measurements in judging alone; tables and pages are made from files, without torch.
    "claims": {"measuring", "judging"},
    "measuring": {"claims", "judging"},
    # Tables and pages are made from files.
    **{part: {"attacking", "models", "training", "data"} for part in ("diagnostics", "figures", "report")},
    "judging": {"attacking", "models", "training", "data"},
}
"""Imports that the order alone would let pass."""

WITHOUT_TORCH = (
    *("settings", "study", "plan", "claims", "measuring", "judging", "diagnostics", "figures", "report"),
)

DYNAMIC = {"registry", "plugin_folders", "architectures.file", "borrowed", "cli", "warm_process"}
"""The modules that may import by a computed name: plugins by their file's name, the user's own files, stages by their
rule's, a plan's modules."""


def level(part: str) -> int:
    (found,) = [position for position, parts in enumerate(LEVELS) if part in parts]
    return found


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Yield the modules of the package that a file imports: on top, in a function, for types only."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide what is imported"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.partition(".")[0] == "reproof":
                inner = name.removeprefix("reproof").removeprefix(".")
                while inner not in MODULES:
                    inner = inner.rpartition(".")[0]
                yield inner


@functools.cache
def graph() -> dict[str, set[str]]:
    """Return the modules that each module of the package imports."""
    return {name: set(imports(path)) for name, path in MODULES.items()}


def part(module: str) -> str:
    return module.partition(".")[0]


def test_every_module_has_its_place() -> None:
    placed = [name for parts in LEVELS for name in parts]
    assert len(placed) == len(set(placed))
    assert {part(name) for name in MODULES} - {""} <= set(placed), "give the new module a level"
    assert {part(name) for names in NEVER.values() for name in names} | set(NEVER) <= set(placed)
    assert set(WITHOUT_TORCH) <= set(placed)


def test_imports_point_backwards_only() -> None:
    forward = {
        f"{name} -> {used}"
        for name, all_used in graph().items()
        for used in all_used
        if used and (not name or level(part(used)) > level(part(name)))
    }
    assert not forward
    assert sum(map(len, graph().values())) > 50


def test_imports_that_would_mix_what_is_kept_apart_are_absent() -> None:
    mixed = {
        f"{name} -> {used}"
        for name, all_used in graph().items()
        for used in all_used
        if any(used == never or used.startswith(f"{never}.") for never in NEVER.get(part(name), ()))
    }
    assert not mixed


def test_claims_and_measurements_meet_in_judging_alone() -> None:
    meeting = {name for name, used in graph().items() if {"claims", "measuring"} <= set(map(part, used))}
    assert meeting
    assert set(map(part, meeting)) == {"judging"}


LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 450, 60


def test_no_file_is_long() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert not {name: lines for name, lines in lengths.items() if lines > LINES_OF_A_FILE}


def test_no_function_is_long_without_a_reason() -> None:
    long = {
        f"{name}.{node.name}"
        for name, path in MODULES.items()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > LINES_OF_A_FUNCTION
        and "Long: " not in (ast.get_docstring(node) or "")
    }
    assert not long


NOT_OUR_WORDS = re.compile(r"\b(ledgers?|stanzas?|climb\w*|lest|narrowed)\b", re.IGNORECASE)
"""Words that the glossary of CONTRIBUTING replaces, as far as they have no other meaning."""


def prose_of(path: Path) -> str:
    """Return what people read of a file: of code its docstrings and texts, of others all."""
    if path.suffix != ".py":
        return path.read_text(encoding="utf-8")
    constants = (node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Constant))
    return "\n".join(value for value in constants if isinstance(value, str))


def test_the_words_are_the_glossarys() -> None:
    places = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.j2"), *(ROOT / "studies").glob("*.yaml")]
    places += [*(PACKAGE / "papers").glob("*/paper.yaml"), ROOT / "benchmarks/README.md"]
    places += [ROOT / name for name in ("README.md", "config.yaml", "results/README.md", "report/README.md")]
    places.append(ROOT / "CHANGELOG.md")
    found = {
        f"{path.relative_to(ROOT)}: {hit.group()}"
        for path in places
        for hit in NOT_OUR_WORDS.finditer(prose_of(path))
    }
    assert not found
    glossary = read("CONTRIBUTING.md").partition("## Glossary")[2]
    for word in ("ledger", "stanza", "climb", "narrowed"):
        assert NOT_OUR_WORDS.search(f"a {word}")
        assert word in glossary


FAMILIES = ("architectures", "attacks", "datasets", "defenses")


def test_plugins_do_not_lean_on_each_other() -> None:
    leaning = {
        f"{name} -> {used}"
        for name, all_used in graph().items()
        for used in all_used
        if part(name) in FAMILIES and part(used) == part(name) and used != part(name)
    }
    assert not leaning, "code that two plugins share belongs in another package"


def test_folders_of_plugins_hold_plugins_only() -> None:
    folders = {path for family in FAMILIES for path in (PACKAGE / family).iterdir()}
    strange = {path.name for path in folders if path.suffix == ".py" and path.stem.startswith("_")}
    assert strange <= {"__init__.py"}
    assert {path.name for path in folders if path.suffix != ".py"} <= {"__pycache__"}


def test_no_import_goes_in_a_circle() -> None:
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for used in sorted(graph()[name]):
                if used:
                    visit(used, (*trail, name))
            done.add(name)

    for name in graph():
        visit(name, ())


def test_only_the_registry_and_the_command_line_import_by_a_computed_name() -> None:
    words = {"import_module", "__import__", "spec_from_file_location"}
    users = set()
    for name, path in MODULES.items():
        for node in ast.walk(tree(path)):
            word = (
                node.attr
                if isinstance(node, ast.Attribute)
                else node.id
                if isinstance(node, ast.Name)
                else ""
            )
            if word in words:
                users.add(name)
    assert users == {name for name in DYNAMIC if name in MODULES}


def loaded_by(code: str) -> set[str]:
    """Return the top-level packages that are in memory after some code ran in a fresh Python."""
    show = "import sys; print(' '.join({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_what_reads_and_judges_starts_without_torch() -> None:
    modules = [f"reproof.{name}" for name in MODULES if part(name) in WITHOUT_TORCH]
    assert len(modules) > 50
    assert not loaded_by(f"import {', '.join(modules)}") & {"torch", "torchvision", "foolbox"}


def test_the_whole_plan_is_made_without_torch_or_other_slow_imports() -> None:
    code = (
        "from reproof import cli\nfrom reproof.plan.jobs import Plan\n"
        "jobs = list(Plan(cli.load_study([], [])).jobs())\n"
        "assert len(jobs) > 10 and all(job.expectation for job in jobs)"
    )
    assert not loaded_by(code) & {
        "torch",
        "torchvision",
        "foolbox",
        "pandas",
        "scipy",
        "sklearn",
        "matplotlib",
        "pyarrow",
    }
