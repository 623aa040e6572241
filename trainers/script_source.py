"""The text of a competition script: read, parsed, hashed with what it imports; never executed."""

from __future__ import annotations

import ast
import warnings
from functools import cache
from pathlib import Path

from scripts.causal.files import InputError, digest, read_text

MAX_SCRIPT_BYTES = 4 * 1024 * 1024


def read_source(script: Path) -> str:
    """Return a script's text.

    Raises:
        InputError: it is missing or too large.
    """
    return read_text(script, limit=MAX_SCRIPT_BYTES)


def parse(source: str, where: Path) -> ast.Module:
    """Return a script's syntax tree.

    Raises:
        InputError: the text is no Python, or nested too deeply.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a stranger's invalid escapes are not our warnings
            return ast.parse(source)
    except SyntaxError as error:
        what = f"is not Python: {error.msg}, line {error.lineno}"
        raise InputError(what, where=where) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError("cannot be parsed as Python", where=where) from error


def content_hash(script: Path) -> str:
    """Hash of a script and of the modules beside it that it imports, one through another.

    Raises:
        InputError: a file is missing, too large or no Python.
    """
    texts: dict[Path, str] = {}
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path in texts:
            continue
        texts[path] = read_source(path)
        beside = (path.parent / f"{name}.py" for name in imported(texts[path]))
        waiting += [other for other in beside if other.is_file()]
    rest = sorted((path.name, text) for path, text in texts.items() if path != script)
    return digest(texts[script], *(part for pair in rest for part in pair))


@cache
def imported(source: str) -> frozenset[str]:
    """Top-level names of the modules that a text imports.

    Raises:
        InputError: the text is no Python.
    """
    names: set[str] = set()
    for node in ast.walk(parse(source, Path("script"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return frozenset(names)
