"""A digest of the code that a job runs: syntax trees without comments, docstrings and layout."""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
_NEUTRAL = frozenset(
    {"reproof.artifacts", "reproof.provenance", "reproof.errors", "reproof.cli", "reproof.plan.code_digest"}
)
"""Modules that carry results about but make none; editing them reruns nothing."""


def digest(modules: Iterable[str], files: Iterable[Path] = ()) -> str:
    """Return a digest of these modules and every module of the package that they import, and of data files.

    modules: dotted names such as `reproof.training.loop`. Plugins are not imported by name anywhere, so a caller
    lists the ones that its job uses, and only these count.
    """
    total = hashlib.sha256()
    for name in sorted(reached(frozenset(modules))):
        total.update(f"{name} {_parsed(_source(name))[1]}\n".encode())
    for path in sorted(files):
        total.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()[:16]


@functools.cache
def reached(modules: frozenset[str]) -> frozenset[str]:
    """Return these modules and all that they import, directly or not, but for the neutral ones."""
    found: set[str] = set()
    todo = list(modules)
    while todo:
        name = todo.pop()
        if name not in found and name not in _NEUTRAL:
            found.add(name)
            todo.extend(_parsed(_source(name))[0])
    return frozenset(found)


@functools.cache
def _source(name: str) -> Path:
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def _parsed(path: Path) -> tuple[tuple[str, ...], str]:
    """Return what a module imports and the digest of its own code, of one reading."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    statements = list(_statements(tree))
    imported = tuple(_imports(statements))
    for node in (tree, *statements):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_prose(part)] or [ast.Pass()]
    return imported, hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield all statements inside a node, however deep; what expressions are made of is no statement."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        found = getattr(node, part, ())
        for inner in found if isinstance(found, list) else ():
            if isinstance(inner, ast.stmt):
                yield inner
            yield from _statements(inner)


def _imports(statements: Sequence[ast.stmt]) -> Iterator[str]:
    """Yield the package's modules that a module imports, at its top or inside its functions; not for types alone."""
    for_types = {
        part
        for node in statements
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for part in node.body
    }
    for node in statements:
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "reproof")
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "reproof":
            yield node.module
            for alias in node.names:
                if _source(name := f"{node.module}.{alias.name}").is_file():
                    yield name


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
