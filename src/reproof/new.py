"""Write the first files of an own plug-in or paper, which run as they are and say what is to be filled in."""

from __future__ import annotations

import ast
import keyword
import re
from pathlib import Path

from reproof import artifacts, registry
from reproof.errors import StudyError

STARTERS = Path(__file__).parent / "starters"
FILES: dict[str, dict[str, str]] = {
    "attack": {"attacks/NAME.py": "attack.py.txt"},
    "dataset": {"datasets/NAME.py": "dataset.py.txt"},
    "defense": {"defenses/NAME.py": "defense.py.txt"},
    "section": {"sections/NAME.py": "section.py.txt", "sections/NAME.html.j2": "section.html.j2.txt"},
    "paper": {"papers/NAME/paper.yaml": "paper.yaml.txt", "papers/NAME/claims.csv": "claims.csv.txt"},
}
"""Kind -> its files, by their place in a folder of plug-ins, and what they begin as."""
NEXT = {
    "attack": "attacks: {NAME: {kind: NAME, epsilons: [0.1]}}, and name it in a suite",
    "dataset": "datasets: {NAME: {kind: NAME}}, and name it as `dataset`, or in a model",
    "defense": "models: {NAME: {defense: {kind: NAME}}}",
    "section": "nothing: the page finds it",
    "paper": "nothing: `python -m reproof claims --check` reads it, and the page shows it",
}
"""Kind -> what a study says to use it."""


def write(kind: str, name: str, folder: Path | None) -> list[str]:
    """Write a kind's files under a name; return what to tell: the files, and what a study says to use them.

    folder: an own folder of plug-ins; None stands for the package. A paper lies in the package, and is typed in twice:
    its second transcription goes to the tests. StudyError where the name is none, or somebody has it already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise StudyError(f"new: {name!r} should be a file's name of a-z, 0-9 and _, such as label_smoothing")
    if keyword.iskeyword(name) or _class_name(name) in _taken(kind):
        raise StudyError(
            f"new: {name!r} is a word that Python or the new file has for something else; take another"
        )
    if kind == "paper" and folder is not None:
        raise StudyError("new: a paper lies with the others in the package; leave --folder out")
    targets = {_place(target.replace("NAME", name), folder): text for target, text in FILES[kind].items()}
    if kind == "paper":
        targets[registry.PACKAGE.parents[1] / "tests/second_transcription" / f"{name}.py"] = (
            "transcription.py.txt"
        )
    for path in [*targets, *(_place(target.replace("NAME", name), None) for target in FILES[kind])]:
        if path.exists():
            raise StudyError(f"new: {path} is there already, so the name is taken; nothing was written")
    for path, starter in targets.items():
        artifacts.write_text(path, _filled((STARTERS / starter).read_text(encoding="utf-8"), name))
    return [
        *(f"wrote {path}" for path in targets),
        f"in the study: {NEXT[kind].replace('NAME', name)}",
        *([f"and plugins: [{folder}]"] if folder is not None else []),
        "what to fill in is marked FILL IN",
    ]


def _place(target: str, folder: Path | None) -> Path:
    if folder is not None:
        return folder / target
    return registry.PACKAGE / target.replace("sections/", "report/sections/")


def _filled(text: str, name: str) -> str:
    words = name.replace("_", " ")
    return text.replace("NAME", name).replace("TITLE", words).replace("CLASS", _class_name(name))


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _taken(kind: str) -> set[str]:
    """Return what the class of a kind's file cannot be called: words of Python, and of what the file begins as."""
    taken = set(keyword.kwlist)
    for starter in FILES[kind].values():
        text = (STARTERS / starter).read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "CLASS" in text else ():
            if isinstance(node, ast.ImportFrom):
                taken |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ClassDef):
                taken.add(node.name)
    return taken
