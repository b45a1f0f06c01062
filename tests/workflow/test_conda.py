"""`--use-conda` with a conda and without one. The stand-in makes environments that see this Python's packages."""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from project import TINY, Project, clone, kill, wait_for, warm_processes, words

from reproof import artifacts

STAND_IN = """\
#!{python}
import json, os, subprocess, sys, time
base = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
with open(os.path.join(base, "calls.log"), "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
words = sys.argv[1:]
if words[:1] == ["info"]:
    print(json.dumps({{"conda_version": "24.7.1", "conda_prefix": base, "root_prefix": base, "platform": "linux-64",
                       "channels": [], "envs_dirs": [os.path.join(base, "envs")]}}))
elif words[:1] == ["--version"]:
    print("conda 24.7.1")
elif words[:2] == ["config", "--get"]:
    print(json.dumps({{"get": {{"channel_priority": "strict"}}}}))
elif "create" in words:
    prefix = words[words.index("--prefix") + 1] if "--prefix" in words else words[words.index("-p") + 1]
    if os.path.exists(os.path.join(base, "slow")):  # the first time only
        os.remove(os.path.join(base, "slow"))
        with open(os.path.join(base, "at_work"), "w") as log:
            log.write(str(os.getpid()))
        while True:
            os.makedirs(prefix, exist_ok=True)
            open(os.path.join(prefix, "of_the_dead"), "w").close()
            time.sleep(0.01)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True)
    found = subprocess.run([os.path.join(prefix, "bin/python"), "-c", "import site; print(site.getsitepackages()[0])"],
                           capture_output=True, text=True, check=True).stdout.strip()
    with open(os.path.join(found, "outer.pth"), "w") as file:
        file.write({packages!r})
    os.makedirs(os.path.join(prefix, "conda-meta"), exist_ok=True)
    open(os.path.join(prefix, "conda-meta", "history"), "w").close()
"""
# As conda does: where an environment is active, the new one takes its place on PATH, wherever that is.
ACTIVATE = """\
if [ -n "${CONDA_PREFIX:-}" ]; then PATH="${PATH//"$CONDA_PREFIX/bin"/"$1/bin"}"; else PATH="$1/bin:$PATH"; fi
export PATH CONDA_PREFIX="$1"
"""


def stand_in(folder: Path) -> Path:
    (folder / "bin").mkdir(parents=True)
    packages = "".join(f"{path}\n" for path in sys.path if path.endswith("site-packages"))
    conda = folder / "bin/conda"
    conda.write_text(STAND_IN.format(python=sys.executable, packages=packages))
    conda.chmod(conda.stat().st_mode | stat.S_IXUSR)
    (folder / "bin/activate").write_text(ACTIVATE)
    return folder


def without_conda(path: str) -> str:
    return os.pathsep.join(part for part in path.split(os.pathsep) if not (Path(part) / "conda").exists())


def test_use_conda_without_conda_runs_in_this_python(fresh: Callable[..., Project]) -> None:
    project = fresh(environment={"PATH": without_conda(os.environ["PATH"])})
    printed = project.make("--use-conda", "results/tiny/data/digits.safetensors")
    assert "no conda here" in printed
    assert (project.path / "results/tiny/data/digits.safetensors").exists()


def test_use_conda_with_conda_builds_the_environment_and_runs_there(tmp_path: Path) -> None:
    base = stand_in(tmp_path / "conda")
    path = os.pathsep.join([str(base / "bin"), without_conda(os.environ["PATH"])])
    # `base` is active, as after `conda init`; torch without CUDA is asked for; and the checkout's name has braces.
    active = {"PATH": path, "CONDA_PREFIX": str(base), "TORCH": "cpu"}
    project = clone(tmp_path / "a{b}", TINY, active)
    run = project.start("--use-conda", "results/tiny/models/plain/seed0/model.safetensors")
    pythons: set[str] = set()
    while run.poll() is None:
        pythons |= {words(process)[0] for process in warm_processes(project)}
        time.sleep(0.2)
    printed = (project.path / "driver.log").read_text()
    assert run.returncode == 0, printed
    assert "no conda here" not in printed
    calls = (base / "calls.log").read_text()
    (made_of,) = re.findall(r"^env create .*--file (\S+)", calls, re.MULTILINE)
    assert (project.path / made_of).read_text() == (project.path / "environment-cpu.yml").read_text()
    environments = list((project.path / ".snakemake/conda").glob("*_/bin/python"))
    assert len(environments) == 1, "one environment for all rules"
    assert pythons == {str(environments[0])}, "its own Python is kept warm"
    python = str(environments[0].relative_to(project.path))
    for record in ("models/plain/seed0/record.json", "data/digits.record.json"):
        assert artifacts.read_json(project.path / "results/tiny" / record)["python"] == python
    project.environment["TORCH"] = ""
    assert project.pending("results/tiny/models/plain/seed0/model.safetensors") == {}, (
        "conda or not, and with which torch, reruns nothing"
    )


@pytest.mark.release
def test_a_conda_that_outlives_its_killed_driver_does_not_fill_the_next_run_s_environment(
    fresh: Callable[..., Project], tmp_path: Path
) -> None:
    base = stand_in(tmp_path / "conda")
    (base / "slow").touch()
    path = os.pathsep.join([str(base / "bin"), without_conda(os.environ["PATH"])])
    project = fresh(environment={"PATH": path, "CONDA_PREFIX": str(base), "TORCH": ""})
    data = "results/tiny/data/digits.safetensors"
    run = project.start("--use-conda", data)
    assert wait_for((base / "at_work").exists, 120), (project.path / "driver.log").read_text()
    kill(run.pid)
    run.wait()
    conda = int((base / "at_work").read_text())
    assert Path(f"/proc/{conda}").exists(), "it outlives its driver"
    try:
        project.make("--use-conda", data)
        assert not Path(f"/proc/{conda}/cwd").exists()
    finally:
        kill(conda)
    (made,) = (project.path / ".snakemake/conda").glob("*_/bin/python")
    assert not (made.parents[1] / "of_the_dead").exists()
    made_of = made.parents[1].with_suffix(".yaml")
    assert made_of.read_text() == (project.path / "environment.yml").read_text()
    record = artifacts.read_json(project.path / "results/tiny/data/digits.record.json")
    assert record["python"] == str(made.relative_to(project.path))


@pytest.mark.release
def test_a_conda_that_does_not_activate_ends_the_run(fresh: Callable[..., Project], tmp_path: Path) -> None:
    base = stand_in(tmp_path / "conda")
    (base / "bin/activate").write_text("")
    path = os.pathsep.join([str(base / "bin"), without_conda(os.environ["PATH"])])
    project = fresh(environment={"PATH": path, "CONDA_PREFIX": str(base)})
    done = project.run("--use-conda", "results/tiny/data/digits.safetensors")
    assert done.returncode != 0
    assert (
        f"conda did not activate the job's environment: CONDA_PREFIX is still '{base}'"
        in done.stdout + done.stderr
    )
    assert not (project.path / "results/tiny/data/digits.safetensors").exists()
