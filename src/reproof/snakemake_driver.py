"""What the Snakefile needs of its own Snakemake: the plan, one driver at a time, conda or not, the GPUs there are.

All that leans on Snakemake's internals stands here, which is why Snakemake is pinned. What each is taken to mean is
tested against the pinned version (tests/unit/test_snakemake_driver.py):

| internal | why it, and not what is documented |
|---|---|
| workflow.config_settings.configfiles | `config` holds their values merged; a study's layers are files |
| workflow.config_settings.config_args | `config` holds --config as Snakemake guesses: `true` and `null` become words |
| workflow.deployment_settings.deployment_method | nothing else takes --use-conda back where there is no conda |
| workflow.is_main_process | a job on a cluster reads the Snakefile too: no lock, no word twice, no warm process |
| workflow.local_exec, global_resources, register_resource() | a bare `snakemake` must not start more jobs than GPUs |
| workflow.logger_manager, its DefaultStreamHandler | `--logger` finds only what is installed, a checkout is not |
| PersistenceBase.has_metadata, params_changed | where record and plan differ, a job runs again, noted or not |
| PersistenceBase._serialize_param | it imports pandas, a tenth of a no-op run, to see that words are no tables |
| PersistenceBase.lock, .snakemake/locks | one run of a study at a time, and no `--unlock` after a kill |
| workflow.executor_settings.jobname_prefix | a Slurm job of a run that died is known by its name |
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import getpass
import json
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from snakemake.persistence import ParamsChange, PersistenceBase  # type: ignore[import-untyped]

from reproof import one_driver, surroundings
from reproof.cli import STUDY, load_study
from reproof.errors import ReproofError, SurroundingsError
from reproof.plan import freshness
from reproof.plan.jobs import RULES, Plan
from reproof.run_log import RunLog
from reproof.surroundings import count_gpus
from reproof.warm_client import DRIVER, WARM

KEPT = ("train", "load", "assemble", "evaluate", "surface", "tabulate", "draw", "report")
"""The rules whose files a finished study has."""
ENVIRONMENTS = {"pypi": "environment.yml", "cpu": "environment-cpu.yml"}
"""Of which file conda makes the jobs' environment, by what TORCH says, as it does of .venv (tools/set_up.sh)."""
LONG_MINUTES = 1440
"""What a job that asks for a GPU may take on a cluster; a training that is cut off goes on from its checkpoint."""


def read_plan(workflow: Any) -> Plan:
    """Return the plan of config.yaml with Snakemake's --configfile and --config on top.

    Both mean here what they mean to `python -m reproof`: --config is read as it was typed, as YAML.
    """
    settings = workflow.config_settings
    overlays = [_shortest(Path(path)) for path in settings.configfiles]
    return Plan(load_study([path for path in overlays if path != Path("config.yaml")], settings.config_args))


def _shortest(path: Path) -> Path:
    """Return a path relative to the working directory where it lies inside: the same on every machine."""
    return path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path


def stop(error: ReproofError) -> NoReturn:
    """End Snakemake with one message and no traceback."""
    print(f"reproof: {type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(1)


def study_arguments(plan: Plan) -> str:
    """Return the arguments with which a sub-command reads the same study.

    Jobs get them through the environment, not as `params`: where a study's file lies changes no result.
    """
    return shlex.join(plan.study.arguments)


def temporary_unless_kept(plan: Plan, path: str, temp: Callable[[str], Any]) -> Any:
    """Return an output that Snakemake removes when nobody needs it any more, unless the study keeps it."""
    return path if plan.study.keep_adversarial else temp(path)


def shell_prefix(workflow: Any, root: Path) -> str:
    """Return what every rule's shell begins with. In an environment of conda, nothing of this Python's is seen."""
    conda = _uses_conda(workflow)
    words = surroundings.shell_words(
        root,
        conda=conda,
        outer_prefix=os.environ.get("CONDA_PREFIX", ""),
        outer_path=os.environ.get("PYTHONPATH", ""),
        no_user_site="PYTHONNOUSERSITE" in os.environ,
    )
    if conda:  # nor when the environment is made: what pip sees outside, it does not install
        os.environ["PYTHONNOUSERSITE"] = "1"
        os.environ.pop("PYTHONPATH", None)
    return words


def environment_file(workflow: Any, root: Path) -> str:
    """Return which file the jobs' environment is made of, as `conda:` takes it: with torch as TORCH says.

    No function of a job's wildcards: Snakemake would ask for every job, and `--containerize` refuses those. It fills in
    what stands in braces: a checkout may have them in its name. Raise SurroundingsError for a build that nobody has,
    unless there is no conda: then TORCH may be another program's.
    """
    build = os.environ.get("TORCH") or "pypi"
    if build not in ENVIRONMENTS and _uses_conda(workflow):
        raise SurroundingsError(
            f"there is no TORCH={build}: cpu is torch without CUDA, pypi the one that PyPI has."
        )
    return str(root / ENVIRONMENTS.get(build, ENVIRONMENTS["pypi"])).replace("{", "{{").replace("}", "}}")


def _uses_conda(workflow: Any) -> bool:
    return any(method.name == "CONDA" for method in workflow.deployment_settings.deployment_method)


def prepare(workflow: Any, plan: Plan) -> None:
    """Make a bare `snakemake` right on this machine: locks, conda, the study; jobs end when this process is gone."""
    try:
        getpass.getuser()
    except (
        KeyError,
        OSError,
    ):  # an account without a name, as in a container; Snakemake and torch ask for one
        os.environ["USER"] = str(os.getuid())
    os.environ[STUDY] = study_arguments(plan)
    os.environ[DRIVER] = f"{socket.gethostname()}:{os.getpid()}"
    os.environ[WARM] = warm_folder() if workflow.is_main_process else "0"
    if os.environ[WARM] != "0":  # a warm process that was killed leaves it
        atexit.register(shutil.rmtree, os.environ[WARM], ignore_errors=True)
    os.environ["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    )
    PersistenceBase._serialize_param = PersistenceBase._serialize_param_builtin
    _do_without_conda(workflow)
    if workflow.is_main_process:
        speak(workflow, plan)
        _hold(workflow, Path(plan.folder))
        _compare_records(functools.cache(lambda: frozenset(freshness.outdated(plan))))


def _compare_records(outdated: Callable[[], frozenset[str]]) -> None:
    """Have Snakemake run a job whose record differs from the plan, whether or not it has notes of its own.

    outdated: gives the records that differ.
    """
    has_metadata, params_changed = PersistenceBase.has_metadata, PersistenceBase.params_changed

    def differing(job: Any) -> frozenset[str]:
        return outdated() & set(map(str, job.output))

    def has_notes(self: Any, job: Any) -> bool:
        return has_metadata(self, job) or bool(differing(job))

    def changes(self: Any, job: Any, file: Any = None) -> Any:
        found = params_changed(self, job, file)
        if differs := differing(job):
            found |= ParamsChange(only_old={"as recorded"}, only_new={"as planned"}, files=set(differs))
        return found or ParamsChange()  # its own names a file of a job without changes too (--list-changes)

    PersistenceBase.has_metadata, PersistenceBase.params_changed = has_notes, changes


def speak(workflow: Any, plan: Plan) -> None:
    """Put our words on the terminal in the place of Snakemake's, whose log file keeps its own (reproof.run_log).

    Nothing changes where somebody asked for something else: another logger, more or fewer words, or a dry run.
    """
    manager, wanted = workflow.logger_manager, workflow.output_settings
    handlers = [handler for handler in manager.logger.handlers if handler.name == "DefaultStreamHandler"]
    if (
        not handlers
        or wanted.dryrun
        or wanted.quiet
        or wanted.verbose
        or wanted.debug_dag
        or wanted.printshellcmds
    ):
        return
    log_file = next(iter(manager.get_logfile()), "none, as was asked")
    path = _shortest(Path(log_file)).as_posix()
    said = RunLog(wanted, handlers[0].stream, path, functools.partial(_estimates, plan))
    for handler in handlers:
        manager.logger.removeHandler(handler)
    manager.logger.addHandler(said)


def _estimates(plan: Plan) -> dict[str, float]:
    """Return how many seconds of one core each job takes by its first output, and each rule's on average."""
    from reproof.plan import estimate

    found: dict[str, float] = {}
    rules: dict[str, float] = {}
    for rule in RULES:
        costs = {
            next(iter(job.outputs.values())): estimate.cost(plan, job).seconds for job in plan.jobs([rule])
        }
        found |= costs
        rules |= {rule: sum(costs.values()) / len(costs)} if costs else {}
    return found | rules


def warm_folder() -> str:
    """Return the folder in which this driver's jobs find a warm process, made by the first one; "0" for none.

    A socket's path has at most 107 characters, and the checkout may lie deep: it stands among temporary files.
    """
    name = f"reproof-{secrets.token_hex(8)}"
    places = [Path(place, name) for place in (tempfile.gettempdir(), "/tmp")]
    usable = [
        str(path) for path in places if len(bytes(path)) < 80 and os.access(path.parent, os.W_OK | os.X_OK)
    ]
    return usable[0] if usable and sys.platform == "linux" and os.environ.get(WARM) != "0" else "0"


def gpus(workflow: Any) -> int:
    """Return how many GPUs a job asks for: one, or none where `--resources gpu=0` says that there are none.

    Where jobs run on this machine, the GPUs that it has are registered as the limit first, unless the command line
    gave one; a cluster has a limit of its own. Called when a job's resources are wanted: while the Snakefile is
    read, Snakemake does not know yet where jobs will run.
    """
    if workflow.is_main_process and workflow.local_exec and "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", count_gpus())
    return 0 if workflow.global_resources.get("gpu") == 0 else 1


def _hold(workflow: Any, folder: Path) -> None:
    """Let one run at a time work in a study's folder; what a run that died has left is ended and removed first.

    A dry run only looks, and takes no lock.
    """
    one_driver.drop_stale_locks(folder)
    lock = PersistenceBase.lock

    @contextlib.contextmanager
    def alone(self: Any) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(one_driver.only_driver(folder))
                one_driver.drop_locks(folder)
                one_driver.end_orphans()
                on_slurm = hasattr(workflow.executor_settings, "jobname_prefix")
                one_driver.cancel_orphans(folder, on_slurm)
            except ReproofError as error:
                stop(error)
            if on_slurm and not workflow.executor_settings.jobname_prefix:
                workflow.executor_settings.jobname_prefix = one_driver.job_names(folder)
            held.enter_context(lock(self))
            yield

    PersistenceBase.lock = alone


def _do_without_conda(workflow: Any) -> None:
    """Run in this Python's own environment when --use-conda is asked for and there is no conda."""
    settings = workflow.deployment_settings
    wanted = [method for method in settings.deployment_method if method.name == "CONDA"]
    if not wanted or _conda_works():
        return
    settings.deployment_method = set(settings.deployment_method) - set(wanted)
    if workflow.is_main_process:
        print("reproof: no conda here; the jobs run in this Python's own environment", file=sys.stderr)


def _conda_works() -> bool:
    try:
        done = subprocess.run(["conda", "info", "--json"], capture_output=True, check=True, timeout=60)
        return bool(json.loads(done.stdout))
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
