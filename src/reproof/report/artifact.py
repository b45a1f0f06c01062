"""What is made of the reference runs and committed: the tables of ARTIFACT.md, and the picture of the README.

ARTIFACT.md tells a committee claims, experiments and expected results.

The file is typed by people but for the parts between `<!-- NAME: made by ... -->` and `<!-- end -->`. Those are made
from the papers' claims and the reference runs, so that a newer reference run renews them.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from reproof import artifacts, reference, wording
from reproof.claims import consistency
from reproof.claims.paper import Paper
from reproof.claims.paper import papers as read_papers
from reproof.errors import ArtifactError
from reproof.plan.jobs import Plan
from reproof.reference import Reference
from reproof.report import answer_files, pictures
from reproof.report.answer import Answer, Headline, PaperAnswer, answer
from reproof.report.contents import ReportData, empty
from reproof.report.evidence import Evidence, attacked_directly
from reproof.report.verdict_words import JUDGED

CORES = 2
"""For so many the minutes of an experiment are told."""
STYLE = re.compile(r"^(?:\.c-|\.w-|svg\.picture).*$", re.MULTILINE)
"""The page's rules for its pictures."""
PART = re.compile(r"(<!-- (\w+): made by .*? -->\n).*?(<!-- end -->)", re.DOTALL)


def renew(plan: Plan) -> str:
    """Write ARTIFACT.md and the picture anew and say which of them changed. plan: of the default study."""
    papers, references = read_papers(), reference.read_all(Path(reference.FOLDER))
    path = Path("ARTIFACT.md")
    text = filled(path.read_text(encoding="utf-8"), papers, references, len(list(plan.jobs())))
    made = {path: text, Path(reference.FOLDER) / "answer.svg": picture(papers, references)}
    changed = [
        str(path)
        for path, new in made.items()
        if not path.exists() or path.read_text(encoding="utf-8") != new
    ]
    for path, new in made.items():
        artifacts.write_text(path, new)
    return f"{', '.join(changed) or 'nothing'} changed"


def filled(text: str, papers: Sequence[Paper], references: Sequence[Reference], jobs: int) -> str:
    """Return ARTIFACT.md with its made parts as they should be. jobs: of the default study.

    ArtifactError where the file asks for a part that nobody makes, or lacks one.
    """
    told = answer(_without_a_run(papers, references))
    checked = _checked(papers)
    parts: Mapping[str, Callable[[], Iterator[str]]] = {
        "kick": lambda: _kick(checked, jobs),
        "answer": lambda: _code(answer_files.in_lines(json.loads(answer_files.as_json(told)))),
        "claims": lambda: _claims(told, checked, references),
        "experiments": lambda: _experiments(references, jobs),
        "results": lambda: _results(told),
    }
    asked = [found[2] for found in PART.finditer(text)]
    if sorted(asked) != sorted(parts):
        raise ArtifactError(
            f"the parts of ARTIFACT.md are {', '.join(asked)}; they should be {', '.join(parts)}"
        )

    def made(found: re.Match[str]) -> str:
        lines = "\n".join(parts[found[2]]()).strip("\n")
        return f"{found[1]}\n{lines}\n\n{found[3]}"

    return PART.sub(made, text)


def picture(papers: Sequence[Paper], references: Sequence[Reference]) -> str:
    """Return the answer's pictures side by side as one SVG: each paper's claims against the reference runs' numbers."""
    told = answer(_without_a_run(papers, references))
    shown = [(paper, drawn) for paper in told.papers if (drawn := pictures.dots(paper.evidence))]
    css = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    rules = [re.search(r"^:root \{.*?^\}", css, re.MULTILINE | re.DOTALL), *STYLE.finditer(css)]
    side, head = pictures.SIZE, 24
    panels = "\n".join(
        f'<text class="name" x="{side * place + pictures.LEFT}" y="16">{paper.name}</text>\n'
        + str(pictures.scatter(paper.name, paper.key, _plain(drawn), linked=False)).replace(
            "<svg ", f'<svg x="{side * place}" y="{head}" width="{side}" height="{side}" ', 1
        )
        for place, (paper, drawn) in enumerate(shown)
    )
    width, height = side * max(len(shown), 1), side + head
    style = "\n".join(found[0] for found in rules if found)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
        f"<style>\n{style}\n.name {{ font: bold 13px var(--sans); fill: var(--ink); }}\n</style>\n"
        f'<rect width="{width}" height="{height}" fill="#fdfdfb"/>\n{panels}\n</svg>\n'
    )


def _plain(drawn: Sequence[pictures.Dot]) -> list[pictures.Dot]:
    """Return dots without the words that a page shows when one points at them."""
    return [dataclasses.replace(dot, words="") for dot in drawn]


def _without_a_run(papers: Sequence[Paper], references: Sequence[Reference]) -> ReportData:
    """Return what a page would show that has the reference runs alone."""
    return ReportData(
        study="",
        title="",
        description="",
        settings={},
        data_set={},
        seeds=(),
        models=(),
        attacks=(),
        threats=(),
        summary=empty("summary"),
        measurements=empty("measurements"),
        verdicts=empty("verdicts"),
        papers=papers,
        trails=(),
        records={},
        references=references,
    )


def _code(lines: Iterator[str]) -> Iterator[str]:
    yield "```text"
    yield from lines
    yield "```"


def _kick(checked: str, jobs: int) -> Iterator[str]:
    """Yield what the first three commands end with."""
    yield "| command | it ends with |"
    yield "|---|---|"
    yield f"| `claims --check` | `{checked}` |"
    yield f"| `plan` | a table of jobs whose `total` is {jobs} |"
    yield "| `snakemake` | `4 of 4 jobs done in ...` |"


def _checked(papers: Sequence[Paper]) -> str:
    """Return what `claims --check` ends with."""
    every = consistency.anomalies(papers)
    left = len(consistency.uncovered(papers, every))
    return f"{len(every) - left} anomalies are explained by a contradiction on record, {left} are not"


# Claims.


def _claims(told: Answer, checked: str, references: Sequence[Reference]) -> Iterator[str]:
    """Yield the claims: the chain, one for each paper, and what holds for all of them."""
    numbered = _numbers(references)
    seeds = wording.listed(numbered[run.title] for run in references if len(run.about["seeds"]) > 1)
    every = wording.listed(numbered.values())
    claims = [
        (
            "One command rebuilds, attacks and judges every defense of the papers, and every number leads to its file.",
            "E1",
            "the lines below, and a page on which no number is stamped STALE",
            "none",
        ),
        *(_of_paper(paper, numbered) for paper in told.papers),
        (
            "All attacks together leave less than the papers claim for their own defenses, within the same budget.",
            every,
            _left_of_all(told),
            "two numbers fewer",
        ),
        (
            "What the seed alone changes is small beside what the papers claim.",
            seeds,
            _of_seeds(references),
            "up to a third of the numbers",
        ),
        (
            "Every printed number is on record as printed, and every one that cannot be right is explained.",
            "E2",
            f"`{checked}`",
            "none",
        ),
        (
            "Verdicts follow from numbers and printed claims by fixed rules.",
            "E3",
            "`no file changed`",
            "none",
        ),
    ]
    for number, (says, experiment, expected, tolerated) in enumerate(claims, 1):
        yield from ("", f"**C{number}.** {says}", "")
        yield f"- Experiment: {experiment or 'none yet'}"
        yield f"- Expected: {expected}"
        yield f"- Tolerated: {tolerated}"


def _numbers(references: Sequence[Reference]) -> dict[str, str]:
    """Return, by a reference run's title, the number of the experiment that makes it anew."""
    return {run.title: f"E{number}" for number, run in enumerate(references, 4)}


def _of_paper(paper: PaperAnswer, numbered: Mapping[str, str]) -> tuple[str, str, str, str]:
    runs = {one.run for one in paper.evidence}
    tested = wording.listed(number for run, number in numbered.items() if run in runs)
    says = f"{paper.name}: {_cell(paper.thesis)} What is claimed here is how its numbers fell."
    return (
        says,
        tested,
        _cell(" ".join(paper.verdict)),
        "each number within its interval; a word may become undecided",
    )


def _direct(told: Answer) -> list[Evidence]:
    """Return the evidence on proposed defenses under attacks that have the network, where they were judged."""
    every = [one for paper in told.papers for one in paper.evidence if one.word in JUDGED]
    chosen = {claim.claim_id for claim in attacked_directly(one.claim for one in every)}
    return [one for one in every if one.claim.claim_id in chosen]


def _left_of_all(told: Answer) -> str:
    pairs = [
        (one.claim.value, one.left)
        for one in _direct(told)
        if one.left is not None and one.claim.value is not None
    ]
    below = sum(left.high < claimed for claimed, left in pairs)
    return f"in {below} of the {len(pairs)} numbers that they were run for"


def _of_seeds(references: Sequence[Reference]) -> str:
    """Return how often the seeds of a run disagreed about the word."""
    told = []
    for run in references:
        if len(run.about["seeds"]) > 1:
            verdicts = run.tables["verdicts"]
            words = verdicts[verdicts["verdict"].isin(JUDGED)]["seed_words"]
            apart = sum(len(set(each.split(", "))) > 1 for each in words)
            told.append(
                f"the {len(run.about['seeds'])} seeds say different words of {apart} of the {len(words)} numbers"
            )
    return wording.listed(told) or "nothing yet"


# Experiments.


def _experiments(references: Sequence[Reference], jobs: int) -> Iterator[str]:
    names = wording.listed(f"`{run.name}`" for run in references)
    first = references[0].name if references else "NAME"
    rows = [
        (
            f"E1: the default study, {jobs} jobs",
            "make report",
            "15 min",
            "digits of 16 x 16 pixels and narrow networks: a rehearsal of the whole chain, no verdict on a paper",
        ),
        ("E2: the claims tables", ".venv/bin/python -m reproof claims --check", "5 s", "no"),
        (
            f"E3: judging anew, of {names}",
            f".venv/bin/python -m reproof reference --judge {first}",
            "10 s each",
            "no",
        ),
    ]
    for run, number in zip(references, _numbers(references).values(), strict=True):
        models = wording.counted(len(run.about["models"]), "model")
        seeds = wording.counted(len(run.about["seeds"]), "seed")
        rows.append(
            (
                f"{number}: {run.title} ({models}, {seeds})",
                f".venv/bin/{run.about['command']}",
                wording.duration(sum(run.about["core_seconds"].values()) / CORES),
                _scaled(run),
            )
        )
    yield "| experiment | command | time on two cores | scaled down |"
    yield "|---|---|---|---|"
    for title, command, time, scaled in rows:
        yield f"| {title} | `{command}` | {time} | {scaled} |"


def _scaled(run: Reference) -> str:
    """Return what of a run is less than the papers', and where the whole is."""
    shares = run.tables["verdicts"]["training_share"].dropna()
    tested = run.tables["summary"]["total"].dropna()
    least, most = (100 * float(share) for share in (shares.min(), shares.max()))
    epochs = f"{least:.2g} % to {most:.2g} % of the papers' epochs" if len(shares) else "fewer epochs"
    return (
        f"{epochs}, up to {int(tested.max()):,} test images: days of one GPU become hours of two cores; in full: "
        "`studies/paper.yaml`"
    )


# Expected results.


def _results(told: Answer) -> Iterator[str]:
    """Yield the headlines with what was measured and what a rerun may give."""
    yield "| claim | headline | claimed | expected | tolerated | word expected |"
    yield "|---|---|---|---|---|---|"
    for number, paper in enumerate(told.papers, 2):
        for one in paper.headlines:
            yield f"| C{number} | {' | '.join(_headline(one))} |"


def _headline(one: Headline) -> Iterator[str]:
    yield _cell(f"{one.about} ({one.claim.table})")
    yield _cell(one.claimed)
    if one.evidence is None:
        yield from ("not measured", "–", "–")
        return
    yield _cell(one.measured)
    yield _cell(one.evidence.interval or "–")
    word = one.verdict.word
    spare = "" if word in ("undecided", "not comparable") else ", or undecided"
    yield f"{word}{spare} (grade {one.verdict.grade})"


def _cell(text: str) -> str:
    """Return a text on one line in which no bar ends a cell."""
    return " ".join(text.split()).replace("|", "\\|")
