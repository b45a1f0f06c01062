"""What of the user's environment reaches a job."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reproof import surroundings
from reproof.errors import SurroundingsError

ODD = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "MATPLOTLIBRC": "/nowhere",
    "GIT_DIR": "/nowhere",
    "MKL_CBWR": "COMPATIBLE",
    "OMP_PROC_BIND": "true",
    "SNAKEMAKE_PROFILE": "x",
    "LC_ALL": "tr_TR.ISO-8859-9",
    "LANG": "tr_TR",
    "XDG_CONFIG_HOME": "/nowhere",
    "CUDA_LAUNCH_BLOCKING": "1",
    "TORCH_LOGS": "all",
    "NVIDIA_TF32_OVERRIDE": "1",
}
KEPT = {
    "PATH": "/bin",
    "HOME": "/here",
    "TMPDIR": "/tmp/a",
    "CUDA_VISIBLE_DEVICES": "0",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "SLURM_JOB_ID": "7",
    "https_proxy": "http://proxy",
    "REPROOF_WARM": "0",
    "LD_LIBRARY_PATH": "/opt/lib",
}


def test_a_job_keeps_what_is_listed_and_nothing_else() -> None:
    environment = ODD | KEPT
    surroundings.clear(environment)
    assert environment == KEPT | {"LC_ALL": "C.UTF-8", "MPLBACKEND": "agg"}


def test_every_variable_that_is_passed_has_its_reason() -> None:
    assert all(reason for reason in surroundings.PASSED.values())
    listed = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    for names, reason in surroundings.PASSED.items():
        assert reason in listed, reason
        assert all(f"`{name}`" in listed for name in names.split())


def test_another_python_than_the_environment_s_is_refused(tmp_path: Path) -> None:
    surroundings.require_environment({}, prefix="/usr")
    link = tmp_path / "link"
    link.symlink_to(sys.prefix)
    surroundings.require_environment({surroundings.CONDA: str(link)}, prefix=sys.prefix)
    with pytest.raises(SurroundingsError, match=f"environment {tmp_path}, and runs in .*python"):
        surroundings.require_environment({surroundings.CONDA: str(tmp_path)}, prefix=sys.prefix)


def shell(
    root: Path, command: str, *, conda: bool = False, outer: str = "", **environment: str
) -> tuple[int, str]:
    """Run a command after the words that a job's shell begins with; return status and what it said."""
    words = surroundings.shell_words(
        root, conda=conda, outer_prefix=outer, outer_path=environment.get("PYTHONPATH", ""),
        no_user_site="PYTHONNOUSERSITE" in environment,
    ).format()  # fmt: skip
    done = subprocess.run(
        ["bash", "-c", words + command], capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], **environment},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["plain", "a b", "it's", "a{b}", "a$b"])
def test_our_modules_are_found_wherever_the_checkout_lies(name: str, tmp_path: Path) -> None:
    (tmp_path / name / "src").mkdir(parents=True)
    (tmp_path / name / "src/ours.py").write_text("print('found')\n")
    assert shell(tmp_path / name, f"{sys.executable} -c 'import ours'") == (0, "found\n")


def test_python_is_left_alone_by_its_own_variables(tmp_path: Path) -> None:
    asked = f"{sys.executable} -c 'import sys, os; print(sys.flags.optimize, os.environ.get(\"PYTHONPATH\"))'"
    odd = {
        "PYTHONOPTIMIZE": "2",
        "PYTHONWARNINGS": "error",
        "PYTHONSTARTUP": "/nowhere",
        "PYTHONHASHSEED": "x",
    }
    status, said = shell(tmp_path, asked, **odd, PYTHONPATH="/theirs")
    assert (status, said) == (0, f"0 {tmp_path}/src:/theirs\n"), "their packages may be all there are"
    status, said = shell(tmp_path, "echo ${{PYTHONNOUSERSITE:-unset}}".format(), **odd)
    assert (status, said) == (0, "unset\n"), "as may those of their own account"
    assert shell(tmp_path, "echo $PYTHONNOUSERSITE", PYTHONNOUSERSITE="yes") == (0, "1\n")


def test_a_conda_environment_has_all_it_needs(tmp_path: Path) -> None:
    """Conda may leave its folder behind others on PATH; ours comes first, and nothing of another Python's is seen."""
    inside = {"CONDA_PREFIX": str(tmp_path / "made"), "PYTHONPATH": "/theirs"}
    asked = f"echo $PATH $PYTHONPATH $PYTHONNOUSERSITE ${surroundings.CONDA}"
    status, said = shell(tmp_path, asked, conda=True, outer="/base", **inside)
    path, packages, no_user_site, named = said.split()
    assert (status, path.split(":")[0]) == (0, f"{tmp_path}/made/bin")
    assert (packages, no_user_site, named) == (f"{tmp_path}/src", "1", f"{tmp_path}/made")


@pytest.mark.parametrize("outer", ["", "/base"])
def test_a_job_stops_where_conda_did_not_activate(outer: str, tmp_path: Path) -> None:
    active = {"CONDA_PREFIX": outer} if outer else {}
    status, said = shell(tmp_path, "echo ran", conda=True, outer=outer, **active)
    assert status == 1
    assert said.startswith("reproof: conda did not activate")
    assert "ran" not in said.splitlines()
