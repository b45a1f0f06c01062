"""Every command of README and ARTIFACT.md is run by a test, or the text says how long it takes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = re.compile(
    r"(?:\w+=\S+ )*(?:\.venv/bin/)?(?:make|snakemake|python|pip|git|docker|apptainer|timeout|sh|tools/\S+\.sh) \S"
)
TIME = re.compile(r"\b(?:seconds?|minutes?|hours?|days?|\d+ (?:s|min|h))\b")
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```\n", re.MULTILINE | re.DOTALL)

RUN = {
    "python -m reproof open": "report/test_answer_files.py::test_open_says_where_the_page_is_if_there_is_no_browser",
    "python -m reproof answer": "report/test_answer_files.py::test_the_answer_ends_with_the_page_and_its_size",
    "python -m reproof plan": "workflow/test_chain.py::test_plan_prints_jobs_time_and_disk",
    "python -m reproof verify": "unit/plan/test_freshness.py::test_a_file_of_another_size_is_made_anew_and_one_byte_is_found_when_asked",
    "python -m reproof artifact": "unit/test_artifact.py::test_the_command_renews_what_is_out_of_date",
    "python -m reproof claims --summary": "unit/claims/test_consistency.py::test_the_command_does_both",
    "python -m reproof claims --check": "unit/claims/test_consistency.py::test_the_command_does_both",
    "python -m reproof judge CLAIM --reference mnist": "report/test_explanation.py::test_it_lists_the_protocol_with_places_and_every_difference",
    "snakemake --cores all --touch": "workflow/project.py::make_in_one_process",
    "make report PYTHON=python3.12": "unit/test_house.py::test_no_python_gives_one_message",
    "make distclean": "unit/test_house.py::test_clean_keeps_results_and_distclean_asks",
}
"""Commands without a time, and what runs them: a function of a test's file, which names their last words."""


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a document with what is said about it: its line's comment, its sentence, its table's row.

    Of a block with one command the paragraphs before and after it count as well.
    """
    for block in FENCE.finditer(text):
        if block[1] in ("yaml", "text", "python"):
            continue
        lines = [line.strip() for line in block[2].splitlines() if PROGRAM.match(line.strip())]
        around = ""
        if len(lines) == 1:
            around = (
                text[: block.start()].split("\n\n")[-2:][0] + text[block.end() :].strip().partition("\n\n")[0]
            )
        for line in lines:
            command, _, comment = line.partition("#")
            yield command.strip(), comment + around
    rest = FENCE.sub("", text)
    parts = re.split(r"\n\n|\n(?= *- |\|)", rest)
    for part in (
        piece for one in parts for piece in ([one] if one[:1] == "|" else re.split(r"(?<=[.;])\s", one))
    ):
        for span in re.findall(r"`([^`]+)`", re.sub(r"\s+", " ", part)):
            if PROGRAM.match(span) and span != "snakemake ...":
                yield span, re.sub(r"`[^`]+`", "", part)


def name_of(command: str) -> str:
    bare = re.sub(r"^\.venv/bin/", "", command)
    return re.sub(r"reproof judge \S+", "reproof judge CLAIM", bare)


def unmarked(text: str) -> list[str]:
    """Return a document's commands that nothing runs, and whose time is said nowhere in it."""
    found = [(name_of(command), said) for command, said in commands(text)]
    timed = {command for command, said in found if TIME.search(said)}
    return sorted({command for command, _ in found} - timed - set(RUN))


@pytest.mark.parametrize(("document", "count"), [("README.md", 60), ("ARTIFACT.md", 25)])
def test_commands_are_run_by_a_test_or_say_how_long_they_take(document: str, count: int) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    assert len(list(commands(text))) > count
    assert unmarked(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "```\nmake nothing\n```\n",
        "```\nmake report    # the page\nmake report CORES=2    # in minutes\n```\n",
        "It takes minutes. Then `make\nreport` again.\n",
        "| `python -m reproof new` | a file |\n| x | minutes |\n",
        "- minutes\n- `.venv/bin/snakemake -n`\n",
    ],
)
def test_a_command_without_a_time_is_noticed(text: str) -> None:
    assert len(unmarked(text)) == 1


@pytest.mark.parametrize("command", RUN)
def test_what_runs_a_command_is_there_and_names_it(command: str) -> None:
    file, _, name = RUN[command].partition("::")
    source = (ROOT / "tests" / file).read_text(encoding="utf-8")
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    (found,) = [node for node in functions if node.name == name]
    last = command.split()[-1].partition("=")[0]
    assert last in (ast.get_source_segment(source, found) or "")
    documents = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "ARTIFACT.md")]
    assert command in {name_of(each) for text in documents for each, _ in commands(text)}
