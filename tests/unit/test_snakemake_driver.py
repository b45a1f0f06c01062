from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from reproof import cli, snakemake_driver


@pytest.mark.parametrize(("chosen", "count"), [("", 0), ("-1", 0), ("0", 1), ("0,1,2", 3), ("GPU-abc,1", 2)])
def test_gpus_that_the_user_chose(monkeypatch: pytest.MonkeyPatch, chosen: str, count: int) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert snakemake_driver.count_gpus() == count


def test_gpus_that_the_machine_lists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert snakemake_driver.count_gpus() == 0
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: x)'\necho 'GPU 1: B (UUID: y)'\n")
    program.chmod(0o755)
    assert snakemake_driver.count_gpus() == 2
    program.write_text("#!/bin/sh\nexit 9\n")
    assert snakemake_driver.count_gpus() == 0


def test_stale_locks_go_only_when_no_driver_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ".snakemake"
    (folder / "locks").mkdir(parents=True)
    lock = folder / "locks/0.output.lock"
    lock.write_text("results/x\n")
    holder = subprocess.Popen(
        [sys.executable, "-c", "import fcntl,sys,time\nf=open(sys.argv[1],'w')\nfcntl.flock(f,fcntl.LOCK_EX)\n"
         "print('held',flush=True)\ntime.sleep(60)", str(folder / "reproof.lock")],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        snakemake_driver._drop_stale_locks(folder)
        assert lock.exists(), "a live driver keeps its locks"
        holder.kill()
    monkeypatch.setattr(snakemake_driver, "_held", [])
    snakemake_driver._drop_stale_locks(folder)
    assert not lock.exists()
    for file in snakemake_driver._held:
        file.close()


def test_job_ends_when_its_driver_is_gone() -> None:
    gone = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"])
    code = "from reproof import cli; import time; cli._end_with_driver(); time.sleep(60)"
    environment = {**os.environ, cli.DRIVER: f"{os.uname().nodename}:{gone.pid}"}
    environment["PYTHONPATH"] = str(Path(snakemake_driver.__file__).parents[1])
    started = time.monotonic()
    job = subprocess.Popen([sys.executable, "-c", code], env=environment)
    gone.wait()
    assert job.wait(timeout=30) == 1
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("value", ["", "otherhost:1", "nonsense"])
def test_job_without_a_driver_on_this_machine_lives(value: str) -> None:
    code = (
        "from reproof import cli; import threading; cli._end_with_driver(); print(threading.active_count())"
    )
    environment = {
        **os.environ,
        cli.DRIVER: value,
        "PYTHONPATH": str(Path(snakemake_driver.__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


def test_conda_is_dropped_only_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def workflow() -> SimpleNamespace:
        return SimpleNamespace(
            deployment_settings=SimpleNamespace(
                deployment_method=frozenset({Method("CONDA"), Method("APPTAINER")})
            ),
            is_main_process=True,
        )

    monkeypatch.setenv("PATH", str(tmp_path))
    flow = workflow()
    snakemake_driver._do_without_conda(flow)
    assert {method.name for method in flow.deployment_settings.deployment_method} == {"APPTAINER"}
    assert "no conda here" in capsys.readouterr().err
    program = tmp_path / "conda"
    program.write_text('#!/bin/sh\necho \'{"conda_version": "24"}\'\n')
    program.chmod(0o755)
    flow = workflow()
    snakemake_driver._do_without_conda(flow)
    assert {method.name for method in flow.deployment_settings.deployment_method} == {"APPTAINER", "CONDA"}
    assert capsys.readouterr().err == ""


class Method:
    def __init__(self, name: str):
        self.name = name


class Flow:
    """As much of Snakemake's workflow as the GPU count needs."""

    def __init__(self, *, local: bool, main: bool = True, given: int | None = None):
        self.local_exec, self.is_main_process = local, main
        self.global_resources = {} if given is None else {"gpu": given}

    def register_resource(self, name: str, value: int) -> None:
        self.global_resources[name] = value


def test_gpus_of_this_machine_are_the_limit_here_and_not_on_a_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    here, cluster, packed, inside = (
        Flow(local=True), Flow(local=False), Flow(local=True, given=4), Flow(local=True, main=False),
    )  # fmt: skip
    for flow in (here, cluster, packed, inside):
        assert snakemake_driver.gpus(flow) == 1
    assert here.global_resources == {"gpu": 2}
    assert cluster.global_resources == {}
    assert packed.global_resources == {"gpu": 4}, "what the command line says stays"
    assert inside.global_resources == {}
