"""Accounts, clocks, clusters and users' own packages that are not as on ours."""

from __future__ import annotations

import getpass
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import snakemake
import yaml

from reproof import snakemake_driver

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found"), OSError("No username set")])
def test_an_account_without_a_name_is_named_by_its_number(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.13 raises the other one."""

    def nobody() -> str:
        raise error

    for name in ("REPROOF_WARM", "REPROOF_DRIVER", "REPROOF_STUDY", "PATH"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setenv("USER", "somebody")
    monkeypatch.setattr(getpass, "getuser", nobody)
    settings = SimpleNamespace(deployment_method=set())
    plan: Any = SimpleNamespace(study=SimpleNamespace(arguments=()), folder="results/tiny")
    snakemake_driver.prepare(SimpleNamespace(is_main_process=False, deployment_settings=settings), plan)
    assert os.environ["USER"] == str(os.getuid())


@pytest.mark.parametrize(("method", "seen"), [("CONDA", (None, "1")), ("APPTAINER", ("/theirs", None))])
def test_while_conda_makes_an_environment_nothing_outside_is_seen(
    method: str, seen: tuple[str | None, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pin that pip sees in the user's own packages it does not install. Without conda they may be all there is."""
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    monkeypatch.setenv("PYTHONNOUSERSITE", "")
    monkeypatch.delenv("PYTHONNOUSERSITE")
    asked = SimpleNamespace(deployment_method=[SimpleNamespace(name=method)])
    words = snakemake_driver.shell_prefix(SimpleNamespace(deployment_settings=asked), ROOT)
    assert (os.environ.get("PYTHONPATH"), os.environ.get("PYTHONNOUSERSITE")) == seen
    assert ("/theirs" in words) == (method != "CONDA")


def test_the_readme_quotes_what_snakemake_says_of_a_clock_that_went_back() -> None:
    (quoted,) = re.findall(r"^\| `([^`]+)`, a clock that went back \|", README, re.MULTILINE)
    assert quoted in Path(snakemake.__file__).with_name("dag.py").read_text(encoding="utf-8")


def test_on_slurm_a_job_s_needs_choose_its_partition_and_its_name_does_not() -> None:
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8"))
    assert not {"set-resources", "set-threads", "default-resources.slurm_partition"} & set(profile)
    assert not any("partition" in resource for resource in profile["default-resources"])
    partitions = yaml.safe_load((ROOT / profile["slurm-partition-config"]).read_text(encoding="utf-8"))
    gpus = {name: limits["max_gpu"] for name, limits in partitions["partitions"].items()}
    assert sorted(gpus.values())[0] == 0 < max(gpus.values())
    assert all(
        limits["max_runtime"] >= snakemake_driver.LONG_MINUTES for limits in partitions["partitions"].values()
    )
    assert re.search(r"`pip install snakemake-executor-plugin-slurm==[\d.]+`", README)
