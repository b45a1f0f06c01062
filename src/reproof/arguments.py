"""The words of the command line: its sub-commands and what each may be told."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from reproof.plan.jobs import RULES

DESCRIPTION = "One sub-command per rule of the workflow, and `plan`, which shows the jobs beforehand."


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    top = argparse.ArgumentParser(prog="reproof", description=DESCRIPTION)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--configfile", nargs="+", default=[], type=Path, help="studies laid over config.yaml"
    )
    shared.add_argument(
        "--config", nargs="+", default=[], metavar="KEY=VALUE", help="single values laid on top"
    )
    _add_plan(commands, shared)
    kept = commands.add_parser(
        "reference", parents=[shared], help="turn a finished run into a reference run, to be committed"
    )
    kept.add_argument("--name", help="its folder under reference/; the study's name where it is left out")
    kept.add_argument(
        "--judge", metavar="NAME", help="only set the numbers of that one beside the claims anew"
    )
    kept.add_argument(
        "--compare", metavar="NAME", help="only say which numbers moved since that one, out of its intervals"
    )
    _add_own(commands, shared)
    _add_borrow(commands, shared)
    _add_results(commands, shared)
    commands.add_parser("schema", help="print the JSON schema of a study file, for an editor")
    claims = commands.add_parser("claims", help="say what the tables of the papers' claims holds")
    claims.add_argument("--summary", action="store_true", help="count claims per paper and table (default)")
    claims.add_argument(
        "--check", action="store_true", help="list what cannot all be right and no contradiction explains"
    )
    argued = commands.add_parser(
        "judge", parents=[shared], help="say how one claim is judged: what answers it, the word, and why"
    )
    argued.add_argument("claim", help="its id, such as mustafa_pcl.table_9.pgd.eps_0_1.ours_f_star")
    argued.add_argument(
        "--reference", metavar="NAME", help="by a reference run's numbers instead of the study's own"
    )
    for rule in RULES:
        command = commands.add_parser(rule, parents=[shared], help=f"do one {rule} job, as the workflow does")
        command.add_argument(
            "output", nargs="?", help="a file that the job makes; needed where the rule has many jobs"
        )
        command.add_argument(
            "--threads", type=int, default=1, help="processor threads (results depend on it)"
        )
        command.add_argument("--expect", help="refuse unless the job's digest is this one")
    return top


def _add_plan(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the sub-command that says what a study takes."""
    planned = commands.add_parser(
        "plan", parents=[shared], help="print jobs, estimated time and disk; run nothing"
    )
    planned.add_argument("--page", action="store_true", help="print only the path of the study's page")
    planned.add_argument(
        "--minutes", type=float, help="cut the study into time slices that each end within so many minutes"
    )
    planned.add_argument("--jobs", type=int, default=1, help="with --minutes: jobs at a time")
    planned.add_argument(
        "--faster",
        type=float,
        default=1.0,
        help="with --minutes: how many times faster than one core of a server this machine is",
    )
    planned.add_argument("--gpu", action="store_true", help="hours of one GPU instead of one core")
    planned.add_argument(
        "--by",
        choices=["model", "attack"],
        help="what each model, or each attack, takes: of a core, and of a GPU",
    )
    planned.add_argument("--hours", type=float, help="say which models are through after so many hours")
    planned.add_argument("--first", nargs="+", default=[], metavar="MODEL", help="with --hours: these lead")


def _add_results(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the sub-commands for a finished study's results."""
    for name, what in {
        "answer": "print the answer of a finished study in a few lines",
        "open": "open a finished study's page in a browser",
        "verify": "compare each file of a study's results with the digest on its record",
    }.items():
        commands.add_parser(name, parents=[shared], help=what)


def _add_own(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the sub-commands for what is the user's own: to begin it, and to give it to others."""
    given = commands.add_parser(
        "export", parents=[shared], help="give a finished study's numbers and images to others"
    )
    given.add_argument("folder", help="where to write them: a folder that is not there yet")
    given.add_argument("--model", nargs="+", default=[], help="of these models alone")
    commands.add_parser(
        "artifact", help="renew ARTIFACT.md and reference/answer.svg, from claims and reference runs"
    )
    packed = commands.add_parser(
        "crate", parents=[shared], help="pack a finished run for an archive, as an RO-Crate"
    )
    packed.add_argument("folder", help="a new folder for it")
    begun = commands.add_parser("new", help="write the first files of an own plug-in or paper")
    begun.add_argument("kind", choices=["attack", "dataset", "defense", "paper", "section"])
    begun.add_argument("name", help="the file's name, such as label_smoothing")
    begun.add_argument("--folder", help="an own folder of plug-ins; the package where it is left out")


def _add_borrow(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the sub-command for a machine that is ours for minutes."""
    borrowed = commands.add_parser(
        "borrow",
        parents=[shared],
        help="carry a study to a machine without network, run it there, bring it back",
    )
    borrowed.add_argument("what", choices=["pack", "run", "bring"])
    borrowed.add_argument("folder", type=Path, help="where the parts lie that are carried")
    borrowed.add_argument("--wheels", type=Path, help="with pack: a folder of wheels to go along")
    borrowed.add_argument("--minutes", type=float, default=10.0, help="with run: until the time is up")
    borrowed.add_argument("--first", nargs="+", default=[], metavar="MODEL", help="with run: these lead")
    borrowed.add_argument("--jobs", type=int, default=1, help="with run: jobs at a time")
