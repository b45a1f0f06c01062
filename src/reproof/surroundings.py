"""What of the user's environment reaches a job: one list; the rest is cleared, so that none of it is in a result.

A notebook's MPLBACKEND stops figures, MKL_CBWR changes numbers, GIT_DIR names another repository. Jobs clear all that
before they import what reads it; what Python itself reads, the shell that starts them clears (`shell_words`).
"""

from __future__ import annotations

import fnmatch
import os
import shlex
import subprocess
import sys
from collections.abc import MutableMapping
from pathlib import Path

from reproof.errors import SurroundingsError

PASSED: dict[str, str] = {
    "PATH HOME USER LOGNAME SHELL TMPDIR TMP TEMP TEMPDIR PWD": "where things lie, and who works",
    "LD_LIBRARY_PATH LD_PRELOAD": "how programs are loaded here",
    "CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER NVIDIA_VISIBLE_DEVICES": "which GPUs may be used",
    "OMP_NUM_THREADS GOTO_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS VECLIB_MAXIMUM_THREADS "
    "NUMEXPR_NUM_THREADS": "the job's threads, set by Snakemake",
    "OMP_WAIT_POLICY PYTHONUNBUFFERED PYTHONPATH PYTHONNOUSERSITE PYTHONHASHSEED PYTHONDONTWRITEBYTECODE": (
        "set by the job's shell"
    ),
    "CONDA_PREFIX": "which environment a job should run in",
    "SLURM_*": "the cluster's job",
    "*_proxy *_PROXY SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE": "how a download gets out",
    "REPROOF_*": "our own",
}
"""Names of environment variables that a job keeps, as patterns, and why."""
SET: dict[str, str] = {"LC_ALL": "C.UTF-8", "MPLBACKEND": "agg"}
"""What every job gets instead of the user's."""
CONDA = "REPROOF_CONDA"
"""Environment variable with the conda environment in which a job should run."""


def clear(environment: MutableMapping[str, str] = os.environ) -> None:
    """Remove what is not in PASSED, and set what is in SET."""
    patterns = " ".join(PASSED).split()
    for name in list(environment):
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            del environment[name]
    environment.update(SET)


def require_environment(environment: MutableMapping[str, str] = os.environ, prefix: str = sys.prefix) -> None:
    """Refuse to work in another Python than the conda environment's that was asked for: SurroundingsError."""
    wanted = environment.get(CONDA)
    if wanted and Path(prefix).resolve() != Path(wanted).resolve():
        raise SurroundingsError(
            f"this job should run in the conda environment {wanted}, and runs in {sys.executable}. Something puts "
            "another Python in front on PATH when a shell starts (BASH_ENV, a module system): take it out there."
        )


def shell_words(root: Path, *, conda: bool, outer_prefix: str, outer_path: str, no_user_site: bool) -> str:
    """Return what a job's shell begins with, after conda's activation: our modules are found, and Python is left alone.

    conda: jobs run in an environment that conda activates; the shell goes on only where it did. outer_prefix: the
    environment that was active before, '' for none. outer_path: the user's PYTHONPATH, which jobs in their own Python
    may need; an environment of conda has all it needs. no_user_site: the user's own packages are out of sight already.
    """
    words = ["set -euo pipefail", "unset ${!PYTHON*}"]
    paths = [str(root / "src")]
    if conda:
        complaint = (
            "reproof: conda did not activate the job's environment: CONDA_PREFIX is still "
            f"'{outer_prefix}'. See that `conda activate` works in bash, then run the same command again."
        )
        words += [
            f'if [ "${{CONDA_PREFIX:-}}" = {shlex.quote(outer_prefix)} ]; '
            f"then echo {shlex.quote(complaint)} >&2; exit 1; fi",
            f'export PATH="$CONDA_PREFIX/bin:$PATH" {CONDA}="$CONDA_PREFIX"',
        ]
    elif outer_path:
        paths.append(outer_path)
    if conda or no_user_site:
        words.append("export PYTHONNOUSERSITE=1")
    joined = shlex.quote(os.pathsep.join(paths))
    words.append(f"export PYTHONPATH={joined} PYTHONUNBUFFERED=1 PYTHONHASHSEED=0 OMP_WAIT_POLICY=passive")
    # Snakemake fills in what stands in braces: a checkout may have them in its name, and bash needs its own.
    return "; ".join([*words, ""]).replace("{", "{{").replace("}", "}}")


def count_gpus() -> int:
    """Return how many GPUs jobs may use, without importing torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return len([entry for entry in chosen.split(",") if entry.strip() not in ("", "-1")])
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines())
