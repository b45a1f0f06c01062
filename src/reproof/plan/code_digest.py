"""A digest of the code that a job runs: syntax trees without comments, docstrings and layout."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reproof import plugin_folders
from reproof.errors import StudyError
from reproof.plan import file_digest

PACKAGE = Path(__file__).parents[1]
_NEUTRAL = frozenset(
    {
        *("reproof.artifacts", "reproof.provenance", "reproof.errors", "reproof.cli"),
        *("reproof.plan.code_digest", "reproof.plan.file_digest", "reproof.plugin_folders"),
    }
)
"""Modules that carry results about but make none; editing them reruns nothing."""
_VERSION = 2
"""Of what is remembered of a text."""
MOST = 5000
"""Texts that are remembered."""


def digest(modules: Iterable[str], files: Iterable[Path] = ()) -> str:
    """Return a digest of these modules and every module of the package that they import, and of data files.

    modules: dotted names such as `reproof.training.loop`. Plugins are not imported by name anywhere, so a caller
    lists the ones that its job uses, and only these count.
    """
    total = hashlib.sha256()
    for name in sorted(reached(frozenset(modules))):
        total.update(f"{name} {_parsed(_source(name)).digest}\n".encode())
    for path in sorted(files):
        own = _parsed(path).digest if path.suffix == ".py" else file_digest.of(path)
        total.update(f"{path.name} {own}\n".encode())
    _memory().keep()
    return total.hexdigest()[:16]


def reached(modules: frozenset[str]) -> frozenset[str]:
    """Return these modules and all that they import, directly or not, but for the neutral ones."""
    return _reached(modules, plugin_folders.used())


@functools.cache
def _reached(modules: frozenset[str], _folders: tuple[Path, ...]) -> frozenset[str]:
    found: set[str] = set()
    todo = list(modules)
    while todo:
        name = todo.pop()
        if name not in found and name not in _NEUTRAL:
            found.add(name)
            parsed = _parsed(_source(name))
            todo.extend(one for one in parsed.imported if not one.startswith("."))
            named = [_absolute(one, name) for one in (*parsed.imported, *parsed.named)]
            todo.extend(filter(_is_module, named))
    return frozenset(found)


def _absolute(imported: str, module: str) -> str:
    """Return the full name of what a module imports, as `.name` or `..name` too."""
    words = imported.lstrip(".")
    dots = len(imported) - len(words)
    return ".".join([*module.split(".")[:-dots], words]) if dots else imported


@functools.cache
def _is_module(name: str) -> bool:
    return _source(name).is_file()


def _source(name: str) -> Path:
    return _found(name, plugin_folders.used())


@functools.cache
def _found(name: str, _folders: tuple[Path, ...]) -> Path:
    path = PACKAGE.joinpath(*name.split(".")[1:])
    if path.is_dir():
        return path / "__init__.py"
    file = path.with_suffix(".py")
    return file if file.is_file() else plugin_folders.file_of(name) or file


def own_files(path: Path) -> tuple[Path, ...]:
    """Return a Python file of the user's and the files beside it that it imports, directly or not.

    StudyError where it is missing or is no Python.
    """
    found: dict[Path, None] = {}
    todo = [path]
    while todo:
        file = todo.pop()
        if file in found:
            continue
        found[file] = None
        try:
            tree = ast.parse(file.read_bytes(), filename=str(file))
        except (SyntaxError, ValueError, OSError) as error:
            raise StudyError(f"{file}: cannot be read as Python: {error}") from error
        for node in _statements(tree):
            names, base = [], path.parent
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [".".join(filter(None, (node.module, alias.name))) for alias in node.names]
                base = file.parents[node.level - 1] if node.level else base
            for name in names:
                todo += _beside(base, name.split("."))
    return tuple(found)


def _beside(base: Path, parts: Sequence[str]) -> Iterator[Path]:
    """Yield the files that an import of `a.b.c` runs, as far as they lie below a folder: of a, of a.b, of a.b.c."""
    for end in range(1, len(parts) + 1):
        place = base.joinpath(*parts[:end])
        yield from (one for one in (place.with_suffix(".py"), place / "__init__.py") if one.is_file())


class Parsed(NamedTuple):
    """What a module's text says, whatever other modules there are."""

    digest: str
    """Of its own code."""
    imported: list[str]
    """The package's modules that it imports."""
    named: list[str]
    """What it takes from these by name: modules, where there are such files."""


class Memory:
    """What texts said when they were parsed, beside the bytecode: reading costs a hundredth of parsing."""

    def __init__(self, path: Path):
        self.path = path
        self.new = False
        self.known: dict[str, list[Any]] = {}
        with contextlib.suppress(OSError, ValueError, TypeError):
            self.known = dict(json.loads(path.read_text(encoding="utf-8")))

    def parsed(self, text: bytes, name: str) -> Parsed:
        """Return what a module's text says, parsed only if no run has done so with this Python."""
        key = hashlib.sha256(f"{sys.version} {_VERSION}".encode() + text).hexdigest()
        if key not in self.known:
            self.known[key], self.new = list(_parse(text, name)), True
        return Parsed(*self.known[key])

    def keep(self) -> None:
        """Write what was parsed anew, where that is possible; far more than there are modules is forgotten first."""
        if self.new:
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(exist_ok=True)
                temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}")
                temporary.write_text(
                    json.dumps(self.known if len(self.known) < MOST else {}), encoding="utf-8"
                )
                temporary.replace(self.path)
            self.new = False


@functools.cache
def _memory() -> Memory:
    return Memory(PACKAGE / "__pycache__" / "parsed.json")


@functools.cache
def _parsed(path: Path) -> Parsed:
    return _memory().parsed(path.read_bytes(), str(path))


def _parse(text: bytes, name: str) -> Parsed:
    tree = ast.parse(text, filename=name)
    statements = list(_statements(tree))
    imported, named = _imports(statements)
    for node in (tree, *statements):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_prose(part)] or [ast.Pass()]
    return Parsed(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imported, named)


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield all statements inside a node, however deep; what expressions are made of is no statement."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        found = getattr(node, part, ())
        for inner in found if isinstance(found, list) else ():
            if isinstance(inner, ast.stmt):
                yield inner
            yield from _statements(inner)


def _imports(statements: Sequence[ast.stmt]) -> tuple[list[str], list[str]]:
    """Return the package's modules that a module imports, at its top or inside its functions; not for types alone.

    Second what it takes from them by name, which may be modules too.
    """
    for_types = {
        part
        for node in statements
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for part in node.body
    }
    imported, named = [], []
    for node in statements:
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names if alias.name.split(".")[0] == "reproof"]
        elif isinstance(node, ast.ImportFrom) and node.level:  # in a plug-in of somebody's own
            dots = "." * node.level + (f"{node.module}." if node.module else "")
            imported += [dots[:-1]] if node.module else []
            named += [f"{dots}{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "reproof":
            imported.append(node.module)
            named += [f"{node.module}.{alias.name}" for alias in node.names]
    return imported, named


def _is_prose(node: ast.stmt) -> bool:
    """Say whether a statement only tells people something: a docstring, a plug-in's title, its list of deviations."""
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        if node.target.id in ("family", "title"):
            return ast.unparse(node.annotation).startswith("ClassVar")
        return node.target.id == "deviations"
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
