# The study and its plan, for all rules; and what makes a bare `snakemake` right on any machine.

import re
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from reproof import snakemake_driver as driver
from reproof.errors import ReproofError

try:
    PLAN = driver.read_plan(workflow)
    driver.prepare(workflow, PLAN)
    ENVIRONMENT = driver.environment_file(workflow, ROOT)
except ReproofError as error:
    driver.stop(error)

shell.prefix(driver.shell_prefix(workflow, ROOT))


def train_job(wildcards):
    """Return the plan's train job for these wildcards."""
    return PLAN.train(wildcards.model, int(wildcards.seed))


def load_job(wildcards):
    """Return the plan's load job for these wildcards."""
    return PLAN.load(wildcards.model, int(wildcards.seed))


def assemble_job(wildcards):
    """Return the plan's assemble job for these wildcards."""
    return PLAN.assemble(wildcards.model, int(wildcards.seed))


def attack_job(wildcards):
    """Return the plan's attack job for these wildcards."""
    return PLAN.attack(wildcards.model, int(wildcards.seed), wildcards.suite)


def evaluate_job(wildcards):
    """Return the plan's evaluate job for these wildcards."""
    return PLAN.evaluate(wildcards.model, int(wildcards.seed), wildcards.threat)


def surface_job(wildcards):
    """Return the plan's surface job for these wildcards."""
    return PLAN.surface(wildcards.model, int(wildcards.seed))


wildcard_constraints:
    study=PLAN.study.name,
    dataset="|".join(PLAN.study.datasets),
    model="|".join(PLAN.study.models),
    seed=r"\d+",
    suite="|".join(PLAN.study.suites),
    threat="|".join(PLAN.study.threats),
