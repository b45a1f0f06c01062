from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from rattler import MatchSpec

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUNTIME: list[str] = PYPROJECT["project"]["dependencies"]
DEVELOPMENT: list[str] = PYPROJECT["project"]["optional-dependencies"]["dev"]
LOCKS = ("requirements.lock", "requirements-dev.lock")

MACHINES = {
    "linux-x86_64": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"},
    "linux-aarch64": {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "aarch64"},
    "macos-arm64": {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"},
}
PYTHONS = ("3.11", "3.12", "3.13")
TARGETS = [
    pytest.param(
        {**machine, "python_version": python, "python_full_version": f"{python}.2"}, id=f"{name}-{python}"
    )
    for name, machine in MACHINES.items()
    for python in PYTHONS
]


def lock_lines(name: str) -> list[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def conda_environment(name: str = "environment.yml") -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return loaded


def conda_pins() -> list[str]:
    return [entry for entry in conda_environment()["dependencies"] if isinstance(entry, str)]


def pip_pins(name: str = "environment.yml") -> list[str]:
    (section,) = [entry for entry in conda_environment(name)["dependencies"] if isinstance(entry, dict)]
    assert list(section) == ["pip"]
    pins: list[str] = section["pip"]
    return pins


def pin_of(requirement: Requirement) -> str:
    (specifier,) = requirement.specifier
    assert specifier.operator == "=="
    return specifier.version


def active(lines: list[str], target: dict[str, str]) -> dict[str, str]:
    """Return name -> version of the pins whose markers hold there; a name may be active once only."""
    pins: dict[str, str] = {}
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate(target):
            name = canonicalize_name(requirement.name)
            assert name not in pins, f"{name} is pinned twice for {target}"
            pins[name] = pin_of(requirement)
    return pins


def installed_here(pins: dict[str, str]) -> dict[str, str]:
    """Return the pins that an installation like this one has: with TORCH=cpu without what CUDA needs."""
    if not importlib.metadata.version("torch").endswith("+cpu"):
        return pins
    return {name: pin for name, pin in pins.items() if not name.startswith(("cuda-", "nvidia-", "triton"))}


def here() -> dict[str, str]:
    return {}  # packaging fills what is left out with the running interpreter's values


@pytest.mark.parametrize(
    "lines",
    [*(pytest.param(lock_lines(n), id=n) for n in LOCKS), pytest.param(pip_pins(), id="environment.yml")],
)
def test_every_line_is_one_exact_pin_and_names_no_place(lines: list[str]) -> None:
    assert len(lines) > 50
    for line in lines:
        requirement = Requirement(line)
        assert requirement.url is None
        assert not requirement.extras
        assert "*" not in pin_of(requirement)
        assert not re.search(r"://|@|^-|\\|(?<!\w)[./~]", line), line


@pytest.mark.parametrize("name", [*LOCKS, "environment.yml"])
def test_no_option_or_address_hides_in_a_comment_or_key(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"://|--?index|--?find-links|--hash|^\s*-?\s*-[re]\s", text, re.MULTILINE)


def test_direct_requirements_are_exact_pins() -> None:
    for requirement in map(Requirement, RUNTIME + DEVELOPMENT):
        assert "*" not in pin_of(requirement)
        assert requirement.url is None


def test_environment_file_parses_as_conda_would_read_it() -> None:
    environment = conda_environment()
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    specs = {
        str(spec.name.normalized): spec for spec in (MatchSpec(pin, strict=True) for pin in conda_pins())
    }
    assert set(specs) == {"python", "pip"}
    for pin, spec in zip(conda_pins(), specs.values(), strict=True):
        assert re.fullmatch(r"[a-z]+=\d+\.\d+\.\d+", pin), (
            "a conda pin is name=version, down to the last number"
        )
        assert spec.channel is None
        assert spec.build is None
    python = Version(conda_pins()[0].partition("=")[2])
    assert python in Requirement(f"python{PYPROJECT['project']['requires-python']}").specifier
    assert f"{python.major}.{python.minor}" in PYTHONS


@pytest.mark.parametrize(("name", "cpu"), [("environment.yml", False), ("environment-cpu.yml", True)])
def test_environment_files_are_what_the_tool_writes(name: str, cpu: bool) -> None:
    spec = importlib.util.spec_from_file_location(
        "export_environment", ROOT / "tools" / "export_environment.py"
    )
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text == tool.environment((ROOT / "requirements.lock").read_text(encoding="utf-8"), cpu=cpu)
    assert "#" not in text, "a comment makes every conda environment anew"


def test_environment_file_holds_the_lock() -> None:
    assert pip_pins() == lock_lines("requirements.lock")


@pytest.mark.parametrize("target", TARGETS)
def test_files_agree_on_every_machine(target: dict[str, str]) -> None:
    runtime = active(lock_lines("requirements.lock"), target)
    development = active(lock_lines("requirements-dev.lock"), target)
    assert active(pip_pins(), target) == runtime
    assert runtime.items() <= development.items()
    assert active(RUNTIME, target).items() <= runtime.items()
    assert active(DEVELOPMENT, target).items() <= development.items()


def closure(roots: list[str], pins: dict[str, str], target: dict[str, str]) -> set[str]:
    """Return all that `roots` need there, direct or not, and check that a fitting pin stands for each.

    What a package needs is read from its installed metadata. A package pinned for another machine only
    is not installed here, so nothing is known of what it needs.
    """
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(root), "") for root in roots]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({**target, "extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{requirement} is needed, but not pinned"
        assert requirement.specifier.contains(pins[name], prereleases=True), (
            f"{name}=={pins[name]}: {requirement}"
        )
        for wanted in {"", *requirement.extras}:
            if (name, wanted) in seen:
                continue
            seen.add((name, wanted))
            try:
                needs = importlib.metadata.requires(name) or []
            except importlib.metadata.PackageNotFoundError:
                continue
            waiting += [(Requirement(need), wanted) for need in needs]
    return {name for name, _ in seen}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("name", "roots"),
    [(LOCKS[0], RUNTIME), (LOCKS[1], RUNTIME + DEVELOPMENT)],
    ids=["runtime", "development"],
)
def test_locks_hold_all_that_is_needed_and_nothing_else(
    name: str, roots: list[str], target: dict[str, str]
) -> None:
    pins = installed_here(active(lock_lines(name), target))
    needed = closure(roots, pins, target)
    installed = {canonicalize_name(found.metadata["Name"]) for found in importlib.metadata.distributions()}
    # Of a package that only another Python has, nothing is known of what it needs.
    other = target["python_version"] != f"{sys.version_info.major}.{sys.version_info.minor}"
    assert needed <= set(pins)
    assert {pin for pin in set(pins) - needed if pin in installed or not other} == set()


def test_a_missing_pin_would_be_noticed() -> None:
    pins = active(lock_lines("requirements.lock"), here())
    del pins["markupsafe"]
    with pytest.raises(AssertionError, match="needed, but not pinned"):
        closure(RUNTIME, pins, here())
    pins["markupsafe"] = "0.1"
    with pytest.raises(AssertionError, match=r"markupsafe==0\.1"):
        closure(RUNTIME, pins, here())


def test_running_environment_holds_the_pins() -> None:
    found = importlib.metadata.distributions()
    installed = {canonicalize_name(d.metadata["Name"]): d.version.removesuffix("+cpu") for d in found}
    pins = installed_here(active(lock_lines("requirements-dev.lock"), here()))
    wrong = {name: (pin, installed.get(name)) for name, pin in pins.items() if installed.get(name) != pin}
    assert not wrong, "pinned and installed versions differ; `make test` installs the pins"


def test_running_python_is_supported() -> None:
    supported = Requirement(f"python{PYPROJECT['project']['requires-python']}").specifier
    assert supported.contains(".".join(map(str, sys.version_info[:3])))
    assert not supported.contains("3.10.14")
