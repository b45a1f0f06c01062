"""`TORCH=cpu`: what an installation without CUDA leaves out, and what pip then takes, from where, of made-up wheels."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.unit.test_environment import (
    MACHINES,
    TARGETS,
    active,
    conda_environment,
    here,
    lock_lines,
    pip_pins,
)

ROOT = Path(__file__).resolve().parents[2]
LINES = lock_lines("requirements.lock")
PINS = active(LINES, here())
LINUX = {"python_version": "3.11", "python_full_version": "3.11.9"}
CUDA = sorted(
    active(LINES, {**LINUX, **MACHINES["linux-x86_64"]}).keys()
    - active(
        LINES, {**LINUX, **MACHINES["linux-x86_64"], "sys_platform": "darwin", "platform_system": "Darwin"}
    ).keys()
)
"""What Linux needs and no Mac: that is how the lock's own marks tell what CUDA needs."""
INDEX = "https://download.pytorch.org/whl/cpu"

# Stands for the Python that makes .venv, and for the one in it. What pip would install of what is there it reports.
PYTHON = """\
#!/bin/sh
case "$*" in
"-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
*" install "*) echo "$@" >>pip.log
  [ ! -e pypi ] || exec {python} "$@" --dry-run --ignore-installed --quiet --report "report$(wc -l <pip.log | tr -d ' ').json" ;;
*" check") ;;
*sysconfig*) echo .venv ;;
*) exec {python} "$@" ;;
esac
"""


def wheel(folder: Path, name: str, version: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        told = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        archive.writestr(f"{stem}.dist-info/METADATA", told)
        archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    return path


@dataclass
class Folder:
    """A project's folder beside a PyPI and a PyTorch index, all made up."""

    path: Path

    def set_up(self, **chosen: str) -> subprocess.CompletedProcess[str]:
        return self.run(["sh", "tools/set_up.sh", "requirements.lock"], **chosen)

    def run(self, command: list[str], **chosen: str) -> subprocess.CompletedProcess[str]:
        unset = ("PYTHON", "TORCH", "TORCH_INDEX")
        kept = {k: v for k, v in os.environ.items() if k not in unset and not k.startswith(("PIP_", "MAKE"))}
        alone = {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": (self.path / "nothing").as_uri(),
            "PIP_FIND_LINKS": str(self.path / "pypi"),
            "PYTHON": str(self.path / "python"),
            "TORCH_INDEX": (self.path / "index").as_uri(),
        }
        environment = {**kept, **alone, **chosen}
        return subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True)

    def installed(self) -> dict[str, str]:
        reports = [json.loads(path.read_text()) for path in self.path.glob("report*.json")]
        found = [one["metadata"] for report in reports for one in report["install"]]
        return {one["name"]: one["version"] for one in found}


def made_up(folder: Folder, *names: str) -> None:
    """Make these the lock, beside what CUDA needs; wheels of them for PyPI, and builds of torch for its own index."""
    lines = [line for line in LINES if Requirement(line).name in (*names, *CUDA)]
    (folder.path / "requirements.lock").write_text("\n".join(lines))
    for name in names:
        wheel(folder.path / "pypi", name, PINS[name])
    for name in ("torch", "torchvision"):
        page = folder.path / "index" / name
        for version in (PINS[name], f"{PINS[name]}+cpu", "99.0+cpu"):
            wheel(page, name, version)
        links = [f'<a href="{path.name}">{path.name}</a>' for path in sorted(page.glob("*.whl"))]
        (page / "index.html").write_text("\n".join(links))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    (tmp_path / "python").write_text(PYTHON.format(python=sys.executable))
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "requirements.lock").write_text("\n".join(LINES))
    return Folder(tmp_path)


def test_what_cuda_needs_is_left_out_and_nothing_else(folder: Folder) -> None:
    assert {"triton", "nvidia-cublas", "cuda-toolkit"} <= set(CUDA)
    assert folder.set_up(TORCH="cpu").returncode == 0
    pins = [Requirement(line).name for line in (folder.path / ".venv/pins").read_text().splitlines()]
    wanted = [Requirement(line).name for line in LINES]
    assert pins == [name for name in wanted if name not in (*CUDA, "torch", "torchvision")]


def test_the_choice_stays_until_the_other_build_is_asked_for(folder: Folder) -> None:
    assert "up to 2 GB" in folder.set_up(TORCH="cpu").stderr
    pip = folder.path / "pip.log"
    pip.unlink()
    again = folder.set_up()
    assert (again.returncode, again.stdout, again.stderr, pip.exists()) == (0, "", "", False)
    (folder.path / ".venv/leftover").touch()
    assert "up to 6 GB" in folder.set_up(TORCH="pypi").stderr
    assert not (folder.path / ".venv/leftover").exists(), "nothing of the one is left beside the other"
    assert "--index-url" not in pip.read_text()
    assert "-r requirements.lock" in pip.read_text()


def test_the_same_versions_come_from_pytorch_s_index(folder: Folder) -> None:
    """PyPI's build of the same version, and a newer one, are at hand, too; no wheel of what CUDA needs is."""
    made_up(folder, "torch", "torchvision", "numpy")
    done = folder.set_up(TORCH="cpu")
    assert done.returncode == 0, done.stderr
    build = "+cpu" if os.uname().machine == "x86_64" else ""
    assert folder.installed() == {
        "numpy": PINS["numpy"],
        "torch": f"{PINS['torch']}+cpu",
        "torchvision": PINS["torchvision"] + build,
    }


def test_an_index_that_cannot_be_reached_ends_with_one_message(folder: Folder) -> None:
    """Not with PyPI's build of the same version, and nothing counts as installed."""
    made_up(folder, "torch", "torchvision")
    done = folder.set_up(TORCH="cpu", TORCH_INDEX=(folder.path / "elsewhere").as_uri())
    assert done.returncode == 1
    assert re.fullmatch(
        r"reproof: torch without CUDA could not be had from file://\S+/elsewhere \(see above\)\. "
        r"TORCH_INDEX names a mirror of it; TORCH=pypi takes what PyPI has, 6 GB\.",
        done.stderr.splitlines()[-1],
    )
    assert not folder.installed()
    assert (folder.path / ".venv/unfinished").exists()
    assert not (folder.path / ".venv/requirements.lock").exists()


def test_the_index_is_pytorch_s_and_a_build_that_nobody_has_is_refused(folder: Folder) -> None:
    assert f"${{TORCH_INDEX:-{INDEX}}}" in (ROOT / "tools/set_up.sh").read_text(encoding="utf-8")
    done = folder.set_up(TORCH="gpu")
    told = "reproof: there is no TORCH=gpu: cpu is torch without CUDA, pypi the one that PyPI has.\n"
    assert (done.returncode, done.stderr) == (1, told)
    assert not (folder.path / ".venv").exists()


# environment-cpu.yml: the same by conda, whose pip gets the file's own lines


def test_the_environment_without_cuda_differs_in_pip_s_lines_alone() -> None:
    files = [conda_environment(name) for name in ("environment.yml", "environment-cpu.yml")]
    for file in files:
        file["dependencies"] = [entry for entry in file["dependencies"] if isinstance(entry, str)]
    assert files[0] == files[1]


@pytest.mark.parametrize("target", TARGETS)
def test_the_environment_without_cuda_has_the_lock_s_versions(target: dict[str, str]) -> None:
    first, *lines = pip_pins("environment-cpu.yml")
    assert first == f"--extra-index-url {INDEX}"
    expected = {name: pin for name, pin in active(LINES, target).items() if name not in CUDA}
    if target["sys_platform"] == "linux":
        expected["torch"] += "+cpu"
    if (target["sys_platform"], target["platform_machine"]) == ("linux", "x86_64"):
        expected["torchvision"] += "+cpu"
    assert active(lines, target) == expected


def test_pip_takes_the_build_without_cuda_of_the_environment_s_lines(folder: Folder) -> None:
    """Though PyPI's build of the same version, and a newer one, are at hand, and conda has it look for newer ones."""
    made_up(folder, "torch", "torchvision", "numpy")
    index = (folder.path / "index").as_uri()
    used = ("--extra-index-url", *PINS.keys() & {"torch", "torchvision", "numpy"})
    lines = [line for line in pip_pins("environment-cpu.yml") if re.split("[ =]", line)[0] in used]
    (folder.path / "lines.txt").write_text("\n".join(lines).replace(INDEX, index))
    arguments = ["install", "-U", "-r", "lines.txt", "--dry-run", "--ignore-installed", "--quiet"]
    done = folder.run([sys.executable, "-m", "pip", *arguments, "--report", "report.json"])
    assert done.returncode == 0, done.stderr
    build = "+cpu" if os.uname().machine == "x86_64" else ""
    assert folder.installed() == {
        "numpy": PINS["numpy"],
        "torch": f"{PINS['torch']}+cpu",
        "torchvision": f"{PINS['torchvision']}{build}",
    }
