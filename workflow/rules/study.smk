# The study and its plan, for all rules; and what makes a bare `snakemake` right on any machine.

import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from reproof import driver
from reproof.errors import ReproofError

try:
    PLAN = driver.read_plan(workflow)
except ReproofError as error:
    driver.stop(error)

driver.prepare(workflow)
shell.prefix(driver.shell_prefix(ROOT))


def job_arguments(job):
    """Return what a sub-command needs to find its job, and refuse when study or code changed meanwhile."""
    return driver.arguments(job, PLAN)


wildcard_constraints:
    study=PLAN.study.name,
    dataset="|".join(PLAN.study.datasets),
    model="|".join(PLAN.study.models),
    seed=r"\d+",
    suite="|".join(PLAN.study.suites),
    threat="|".join(PLAN.study.threats),
