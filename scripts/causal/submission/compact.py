"""A program made smaller: comments and docstrings left out, then packed into a small loader.

The loader is what ships, is counted and is run. Names stay as they are: python-minifier, which
shortens them too, made the packed program of the torch trainer a twelfth smaller, 0.02 % of the
cap, for a dependency and a program that nobody can compare with its source.
"""

from __future__ import annotations

import ast
import base64
import lzma
import re
import warnings

MAX_SOURCE_BYTES = 2 * 1024 * 1024  # of a program that is parsed or unpacked
_HEAD = '"""{title}"""\nimport base64,lzma\nexec(lzma.decompress(base64.b85decode("'
_TAIL = '")))\n'
# Whole: a loader with one more statement, before or behind, is another program.
_LOADER = re.compile(
    r'"""[^"\\\n]*"""'
    + re.escape(_HEAD.partition('{title}"""')[2])
    + r'([^"\\\n]*)'
    + re.escape(_TAIL)
)


class CompactError(Exception):
    """The program cannot be made smaller without changing what it does."""


def without_comments(source: str) -> str:
    """The program without comments, docstrings and free lines; nothing that it computes changes.

    Raises:
        CompactError: it reads docstrings, its own source, or is no Python.
    """
    tree = parse_program(source)
    for node in ast.walk(tree):
        read = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
        if read in ("__doc__", "getsource", "getsourcelines"):
            raise CompactError(f"line {getattr(node, 'lineno', 0)}: `{read}` is read")
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    try:
        text = ast.unparse(tree) + "\n"
        same = ast.dump(parse_program(text)) == ast.dump(tree)
    except RecursionError as error:
        raise CompactError("is nested too deeply") from error
    if not same:
        raise CompactError("does not come back the same from ast.unparse")
    return text


def parse_program(source: str) -> ast.Module:
    """Parse a stranger's program; nothing of it is run.

    Raises:
        CompactError: it is no Python, too long, or nested too deeply.
    """
    if len(source) > MAX_SOURCE_BYTES:
        raise CompactError(f"has more than {MAX_SOURCE_BYTES:,} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a stranger's escapes and comparisons
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CompactError(f"is no Python program: {error}") from error


def imports_of(source: str) -> set[str] | None:
    """Top-level names of the packages that a program imports anywhere; None if it is no Python."""
    try:
        tree = parse_program(source)
    except CompactError:
        return None
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


def wrap(source: str, *, title: str) -> str:
    """The loader: a program of three lines that unpacks the other and runs it as itself.

    Args:
        title: its docstring; holds no quote and no backslash.
    """
    packed = lzma.compress(source.encode("utf-8"), format=lzma.FORMAT_ALONE, preset=9)
    return _HEAD.format(title=title) + base64.b85encode(packed).decode("ascii") + _TAIL


def unwrap(text: str) -> str | None:
    """The program inside a loader of this kind, unpacked and not run; None for any other text.

    Also for one that is damaged, or unpacks to more than 2 MiB.
    """
    found = _LOADER.fullmatch(text)
    if found is None:
        return None
    try:
        packed = base64.b85decode(found.group(1))
        stream = lzma.LZMADecompressor()
        data = stream.decompress(packed, MAX_SOURCE_BYTES)
        return data.decode("utf-8") if stream.eof else None
    except (ValueError, lzma.LZMAError, EOFError):
        return None


def runs_what_it_hides(program: str) -> bool:
    """Whether a program's own text ends in running other text, so that reading it is no use."""
    try:
        tree = parse_program(program)
    except CompactError:
        return True
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("exec", "eval")
        for node in ast.walk(tree)
    )
