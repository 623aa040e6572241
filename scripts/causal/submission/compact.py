"""A program made smaller: comments and docstrings left out, then packed into a small loader.

The loader is what ships, is counted and is run. Names stay as they are: python-minifier, which
shortens them too, made the packed program of the torch trainer 33 KB instead of 36 KB, 0.02 % of
the cap, for a dependency and a program that nobody can compare with its source.
"""

from __future__ import annotations

import ast
import base64
import lzma

MAX_SOURCE_BYTES = 8 * 1024 * 1024
_HEAD = '"""{title}"""\nimport base64,lzma\nexec(lzma.decompress(base64.b85decode("'
_TAIL = '")))\n'


class CompactError(Exception):
    """The program cannot be made smaller without changing what it does."""


def without_comments(source: str) -> str:
    """The program without comments, docstrings and free lines; nothing that it computes changes.

    Raises:
        CompactError: it reads docstrings, its own source, or is no Python.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CompactError(f"is no Python program: {error}") from error
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
    text = ast.unparse(tree) + "\n"
    if ast.dump(ast.parse(text)) != ast.dump(tree):
        raise CompactError("does not come back the same from ast.unparse")
    return text


def wrap(source: str, *, title: str) -> str:
    """The loader: a program of three lines that unpacks the other and runs it as itself.

    Args:
        title: its docstring; holds no quote and no backslash.
    """
    packed = lzma.compress(source.encode("utf-8"), format=lzma.FORMAT_ALONE, preset=9)
    return _HEAD.format(title=title) + base64.b85encode(packed).decode("ascii") + _TAIL


def unwrap(text: str) -> str | None:
    """The program inside a loader of this kind, unpacked and not run; None for any other text.

    Also for one that is damaged, or unpacks to more than 8 MiB.
    """
    head, tail = _HEAD.partition("{title}")[2], _TAIL.strip()
    start, end = text.find(head), text.rstrip().rfind(tail)
    if not text.startswith('"""') or start < 0 or "\n" in text[:start] or end < start:
        return None
    try:
        packed = base64.b85decode(text[start + len(head) : end])
        stream = lzma.LZMADecompressor()
        data = stream.decompress(packed, MAX_SOURCE_BYTES)
        return data.decode("utf-8") if stream.eof else None
    except (ValueError, lzma.LZMAError, EOFError):
        return None


def runs_what_it_hides(program: str) -> bool:
    """Whether a program's own text ends in running other text, so that reading it is no use."""
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("exec", "eval")
        for node in ast.walk(tree)
    )
