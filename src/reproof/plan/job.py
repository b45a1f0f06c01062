"""One job of the workflow, as the plan describes it and as a stage is handed it.

Apart from the plan, so that an edit of what jobs there are reruns none of those that are there already.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reproof.plan import code_digest


@dataclass(frozen=True)
class Job:
    """One job of the DAG: files in and out, its own slice of the study, the modules it runs."""

    rule: str
    name: str
    inputs: dict[str, tuple[str, ...]]
    outputs: dict[str, str]
    slice: dict[str, Any]
    modules: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    """The command line's words that choose the study."""
    data_files: tuple[Path, ...] = ()
    seed: int | None = None

    @functools.cached_property
    def digest(self) -> str:
        """Return the digest of the code that this job runs."""
        return code_digest.digest(self.modules, self.data_files)

    @property
    def command(self) -> str:
        """Return the command that makes this job's files again."""
        output = next(iter(self.outputs.values()))
        return f"{self.rerun} {shlex.join(['--force', output])}"

    @property
    def rerun(self) -> str:
        """Return the command that makes the whole study again, as far as it is not done."""
        return shlex.join(["snakemake", "--cores", "all", *self.arguments])

    @property
    def description(self) -> dict[str, Any]:
        """Return what the job's record says of it, whatever machine it runs on."""
        return {
            "rule": self.rule,
            "name": self.name,
            "job": self.slice,
            "digest": self.digest,
            "command": self.command,
            "seed": self.seed,
        }

    @functools.cached_property
    def expectation(self) -> str:
        """Return a digest of all that this job depends on beside its input files: slice, code and paths.

        It is the job's `params` in Snakemake, so that a change of these and nothing else runs it again;
        the job itself refuses to start when its own view of the study and the code has another one.
        """
        facts = {**self.description, "inputs": self.inputs, "outputs": self.outputs, "command": ""}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
