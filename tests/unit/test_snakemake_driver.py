from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.cli import parse_config
from snakemake.persistence import PersistenceBase
from snakemake.settings.types import ConfigSettings

from reproof import cli, one_driver, snakemake_driver, warm_client
from reproof.errors import ArtifactError, SurroundingsError

ROOT = Path(snakemake_driver.__file__).parents[2]


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


def test_job_ends_when_its_driver_is_gone() -> None:
    gone = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"])
    code = "from reproof import cli; import time; cli._end_with_driver(); time.sleep(60)"
    environment = {**os.environ, warm_client.DRIVER: f"{os.uname().nodename}:{gone.pid}"}
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
        warm_client.DRIVER: value,
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


def asked_for(*methods: str) -> SimpleNamespace:
    return SimpleNamespace(deployment_settings=SimpleNamespace(deployment_method=map(Method, methods)))


@pytest.mark.parametrize(
    ("torch", "file"),
    [
        (None, "environment.yml"),
        ("", "environment.yml"),
        ("pypi", "environment.yml"),
        ("cpu", "environment-cpu.yml"),
    ],
)
def test_torch_chooses_the_file_of_conda_s_environment(
    torch: str | None, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake fills in braces."""
    monkeypatch.delenv("TORCH", raising=False)
    if torch is not None:
        monkeypatch.setenv("TORCH", torch)
    chosen = snakemake_driver.environment_file(asked_for("CONDA"), Path("/a{b}"))
    assert chosen.format(b="filled in") == f"/a{{b}}/{file}"
    assert (ROOT / file).is_file()


def test_a_torch_that_nobody_has_is_refused_where_conda_would_make_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the words of tools/set_up.sh. Without conda the variable may be another program's."""
    monkeypatch.setenv("TORCH", "gpu")
    with pytest.raises(SurroundingsError) as refused:
        snakemake_driver.environment_file(asked_for("APPTAINER", "CONDA"), ROOT)
    words = re.findall(r'die "(there is no TORCH=.*)"', (ROOT / "tools/set_up.sh").read_text())
    assert words == [str(refused.value).replace("=gpu:", "=$torch:")]
    chosen = snakemake_driver.environment_file(asked_for("APPTAINER"), Path("/here"))
    assert chosen == "/here/environment.yml"


def test_every_rule_with_a_command_runs_in_the_environment_that_torch_chooses() -> None:
    texts = [path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")]
    commands, chosen = (
        sum(len(re.findall(words, text)) for text in texts)
        for words in (r"\n +shell:\n", r"\n +conda:\n +ENVIRONMENT\n")
    )
    assert commands == chosen > 5


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


# What the pinned Snakemake's internals are taken to mean (the table in snakemake_driver.py).

SNAKEFILE = """
import json
from collections.abc import Iterator
from pathlib import Path

def told():
    deployment = workflow.deployment_settings
    return {
        "configfiles": [str(path) for path in workflow.config_settings.configfiles],
        "config_args": workflow.config_settings.config_args,
        "main": workflow.is_main_process,
        "conda": [method.name for method in deployment.deployment_method],
    }

if workflow.is_main_process:
    Path("first.json").write_text(json.dumps(told()))
    deployment = workflow.deployment_settings
    deployment.deployment_method = set(deployment.deployment_method) - set(deployment.deployment_method)
else:
    Path("inside.json").write_text(json.dumps(told()))

def gpus(wildcards):
    before = dict(workflow.global_resources)
    if workflow.is_main_process and "gpu" not in before:
        workflow.register_resource("gpu", 1)
        Path("local.json").write_text(json.dumps([workflow.local_exec, sorted(map(str, before))]))
    return 1

rule all:
    input: "one", "two", "locks", "anew"

rule locks:
    output: "locks"
    shell: "ls .snakemake/locks > {output}"

rule anew:
    output: touch("anew")
    run: pass

rule work:
    output: "{name,one|two}"
    conda: "environment.yml"
    resources: gpu=gpus
    shell: "mkdir held && sleep 0.3 && rmdir held && touch {output}"
"""


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small workflow that the pinned Snakemake has run."""
    folder = tmp_path_factory.mktemp("internals")
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "overlay.yaml").write_text("seeds: [1]\n")
    (folder / "environment.yml").write_text("dependencies: []\n")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", "--use-conda", "--configfile", "overlay.yaml",
         "--config", "keep_adversarial=true", "surfaces=null", "training={epochs: 3}"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_config_args_are_what_was_typed_and_configfiles_are_absolute(driven: Path) -> None:
    told = json.loads((driven / "first.json").read_text())
    assert told["config_args"] == ["keep_adversarial=true", "surfaces=null", "training={epochs: 3}"]
    assert told["configfiles"] == [str(driven / "overlay.yaml")]


def test_a_job_that_snakemake_starts_anew_is_not_the_main_process_and_has_the_same_arguments(
    driven: Path,
) -> None:
    """A `run:` job is a Snakemake of its own, as every job on a cluster is."""
    first, inside = (json.loads((driven / f"{name}.json").read_text()) for name in ("first", "inside"))
    assert (first["main"], inside["main"]) == (True, False)
    assert inside["config_args"] == first["config_args"]
    assert inside["configfiles"] == first["configfiles"]


def test_conda_that_is_taken_back_is_not_used(driven: Path) -> None:
    """This workflow ran to its end, and no environment was made for it."""
    assert json.loads((driven / "first.json").read_text())["conda"] == ["CONDA"]
    assert not list((driven / ".snakemake").glob("conda/*"))


def test_a_resource_that_is_registered_late_limits_the_jobs_of_this_machine(driven: Path) -> None:
    """Two jobs that make the same folder, with two cores: without the limit one of them fails."""
    local, known = json.loads((driven / "local.json").read_text())
    assert local is True
    assert "gpu" not in known
    assert "_cores" in known


def test_our_params_are_written_as_snakemake_writes_them_with_pandas() -> None:
    """A digest is a word; with another way of writing it, all jobs would run again."""
    written = PersistenceBase._serialize_param_builtin
    both = SimpleNamespace(_serialize_param_builtin=lambda value: written(None, value))
    for value in ("0123456789abcdef", ""):
        assert written(None, value) == PersistenceBase._serialize_param_pandas(both, value) == repr(value)


def test_a_plan_imports_no_pandas(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(
        "import sys\nfrom pathlib import Path\nfrom reproof import snakemake_driver as driver\n"
        "driver.prepare(workflow, driver.Plan(driver.load_study([], [])))\n"
        "rule all:\n    input: 'made'\nrule make:\n    output: 'made'\n    params: job='word'\n    shell: 'touch made'\n"
        "import atexit\natexit.register(lambda: Path('told').write_text(str('pandas' in sys.modules)))\n"
    )
    (tmp_path / "config.yaml").write_text(
        (Path(snakemake_driver.__file__).parents[2] / "config.yaml").read_text()
    )
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(snakemake_driver.__file__).parents[1])},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "told").read_text() == "False"


def test_locks_lie_where_we_remove_them(driven: Path) -> None:
    assert "output.lock" in (driven / "locks").read_text()
    assert not (driven / ".snakemake/locks").exists()


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("keep_adversarial=true", ("keep_adversarial", True)),
        ("surfaces=null", ("surfaces", None)),
        ("surfaces={points: 5}", ("surfaces", {"points": 5})),
        ("surfaces={'points': 5, 'clip': False}", ("surfaces", {"points": 5, "clip": False})),
        ("seeds=[0, 1]", ("seeds", [0, 1])),
        ("study=other", ("study", "other")),
        ("looks=", ("looks", None)),
    ],
)
def test_both_entrances_read_a_value_alike(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, typed: str, read: tuple[str, object]
) -> None:
    """As Snakemake's own parser has it, `true` and `null` are words and 5 is a text."""
    seen: list[object] = []

    def load(files: list[Path], overrides: dict[str, object], *, to_run: bool) -> SimpleNamespace:
        assert to_run
        seen.append(([str(file) for file in files], overrides))
        return SimpleNamespace(name="tiny", models={}, surfaces=None)

    monkeypatch.chdir(tmp_path)
    for name in ("config.yaml", "more.yaml"):
        (tmp_path / name).write_text("seeds: [0]\n")
    monkeypatch.setattr(cli.reader, "load", load)
    settings = ConfigSettings(
        config=parse_config([typed]),
        configfiles=[tmp_path / "config.yaml", tmp_path / "more.yaml"],
        config_args=[typed],
    )
    with contextlib.suppress(AttributeError):
        snakemake_driver.read_plan(SimpleNamespace(config_settings=settings))
    cli.load_study([Path("more.yaml")], [typed])
    assert seen == [(["config.yaml", "more.yaml"], dict([read]))] * 2


@pytest.mark.parametrize("fails", ["read_plan", "prepare", "environment_file"])
def test_what_ends_the_reading_of_the_snakefile_is_one_message(
    fails: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*words: object) -> None:
        raise ArtifactError("in words")

    root = Path(snakemake_driver.__file__).parents[2]
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("read_plan", "prepare", "environment_file"):
        monkeypatch.setattr(snakemake_driver, name, refuse if name == fails else lambda *words: None)
    first, _, _ = (root / "workflow/rules/study.smk").read_text().partition("shell.prefix(")
    with pytest.raises(SystemExit):
        exec(first, {"workflow": SimpleNamespace(basedir=root)})
    assert capsys.readouterr().err == "reproof: ArtifactError: in words\n"


def test_a_bare_snakemake_lays_nothing_over_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []
    monkeypatch.setattr(snakemake_driver, "load_study", lambda *words: given.append(words))
    with contextlib.suppress(AttributeError):
        snakemake_driver.read_plan(SimpleNamespace(config_settings=ConfigSettings(config=parse_config(None))))
    ((overlays, values),) = given
    assert (overlays, list(values)) == ([], [])


def test_what_asks_for_a_gpu_asks_for_time_too() -> None:
    """A cluster's partition is chosen by both."""
    rules = Path(snakemake_driver.__file__).parents[2] / "workflow/rules"
    texts = [path.read_text() for path in rules.glob("*.smk")]
    asked = [text.count("gpu=lambda wildcards: driver.gpus(workflow),") for text in texts]
    both = [
        len(
            re.findall(
                r"gpu=lambda wildcards: driver.gpus\(workflow\),\n\s+runtime=driver.LONG_MINUTES,", text
            )
        )
        for text in texts
    ]
    assert asked == both
    assert sum(both) == 4


@pytest.mark.parametrize(("given", "name"), [("", "reproof-tiny"), (None, "reproof-tiny"), ("mine", "mine")])
def test_a_run_holds_its_folder_while_snakemake_holds_its_locks_and_names_its_jobs_on_a_cluster(
    given: str | None,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(one_driver, "LOOK_SECONDS", 0.1)
    held: list[str] = []

    @contextlib.contextmanager
    def lock(self: object) -> Iterator[None]:
        held.append("Snakemake's")
        yield
        held.append("given back")

    monkeypatch.setattr(PersistenceBase, "lock", lock)
    flow = SimpleNamespace(executor_settings=SimpleNamespace(jobname_prefix=given))
    snakemake_driver._hold(flow, Path("results/tiny"))
    assert not Path("results").exists(), "a dry run only looks"
    with PersistenceBase.lock(SimpleNamespace()):
        assert held == ["Snakemake's"]
        assert flow.executor_settings.jobname_prefix == name
        with (
            pytest.raises(SystemExit),
            PersistenceBase.lock(SimpleNamespace()),
        ):
            pass
    assert held == ["Snakemake's", "given back"]
    assert capsys.readouterr().err.startswith(
        "reproof: ArtifactError: results/tiny is in use: another run works there"
    )
