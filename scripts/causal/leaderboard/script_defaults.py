"""Hyperparameter defaults of a ``train_gpt.py``, from its syntax tree; nothing is executed."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeGuard

from interventions.aliases import load_aliases
from interventions.vocabulary import Value, Variable, load_variables
from scripts.causal.files import InputError

MAX_NODES = 400_000
_LARGEST = 2**53
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}


@dataclass(frozen=True)
class Default:
    """What a variable is when the environment does not say, and the script's line."""

    value: Value
    line: int


def read_defaults(source: str, where: str) -> dict[str, Default]:
    """Return vocabulary id → default, for every ``os.environ.get(NAME, default)`` it can tell.

    Of a name that is read several times the first counts: scripts read their settings at the top.
    Defaults that are computed from other settings are left out.

    Args:
        source: the script's text.
        where: its name in an error.

    Raises:
        InputError: the text is no Python, or nested too deeply to be parsed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a stranger's invalid escapes are not our warnings
            tree = ast.parse(source)
    except SyntaxError as error:
        raise InputError(
            f"is not Python: {error.msg}, line {error.lineno}", where=where
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError("cannot be parsed as Python", where=where) from error
    names = _names()
    variables = load_variables()
    found: dict[str, Default] = {}
    for node in _reads(tree):
        name, default = node.args
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
            continue
        variable = variables.get(names.get(name.value.lower(), ""))
        if variable is not None and variable.id not in found:
            value = _typed(variable, _constant(default))
            if value is not None:
                found[variable.id] = Default(value, node.lineno)
    return found


@cache
def _names() -> Mapping[str, str]:
    """Return lower-case environment name → vocabulary id."""
    names: dict[str, str] = {}
    for alias in load_aliases().values():
        for name in alias.env:
            names.setdefault(name.lower(), alias.variable)
        if load_variables()[alias.variable].kind == "binary":
            for name in alias.switches:
                names.setdefault(name.lower(), alias.variable)
    # The vocabulary's own names come before any other spelling.
    return names | {v.env.lower(): v.id for v in load_variables().values() if v.env}


def _reads(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield the two-argument calls of os.environ.get and os.getenv in the order of their lines."""
    calls = []
    for count, node in enumerate(ast.walk(tree)):
        if count > MAX_NODES:
            break
        if not isinstance(node, ast.Call) or len(node.args) != 2 or node.keywords:
            continue
        if _dotted(node.func) in (("os", "environ", "get"), ("os", "getenv")):
            calls.append(node)
    yield from sorted(calls, key=lambda call: (call.lineno, call.col_offset))


def _dotted(node: ast.expr) -> tuple[str, ...]:
    """Return the names of ``a.b.c``, at most three; empty for any other expression."""
    names: tuple[str, ...] = ()
    while isinstance(node, ast.Attribute) and len(names) < 3:
        names, node = (node.attr, *names), node.value
    return (node.id, *names) if isinstance(node, ast.Name) else ()


def _constant(node: ast.expr, depth: int = 0) -> Value | None:
    """Return the value of a literal or of small arithmetic on literals; else None."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, bool | int | float | str) else None
    if depth > 8:
        return None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
        known = node.func.id in ("str", "int", "float") and not node.keywords
        return _constant(node.args[0], depth + 1) if known else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _constant(node.operand, depth + 1)
        return -value if _is_number(value) else None
    if isinstance(node, ast.BinOp):
        left, right = _constant(node.left, depth + 1), _constant(node.right, depth + 1)
        if _is_number(left) and _is_number(right) and max(abs(left), abs(right)) < _LARGEST:
            return _computed(node.op, left, right)
    return None


def _computed(operator: ast.operator, left: float, right: float) -> float | None:
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    if isinstance(operator, ast.Mult):
        return left * right
    if isinstance(operator, ast.Div) and right:
        return left / right
    if isinstance(operator, ast.Pow | ast.LShift) and 0 <= right <= 40 and abs(left) <= 1024:
        return left**right if isinstance(operator, ast.Pow) else left * 2**right
    return None


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _typed(variable: Variable, raw: Value | None) -> Value | None:
    """Return a default as the variable's kind of value; None where it cannot be one."""
    if raw is None:
        return None
    text = str(raw).strip().lower()
    if variable.kind == "binary":
        return True if text in _TRUE else False if text in _FALSE else None
    if variable.kind == "categorical":
        return text if text in variable.levels else None
    try:
        number = float(text)
    except ValueError:
        return None
    alias = load_aliases().get(variable.id)
    unlikely = alias is not None and not alias.holds(number) and number != variable.baseline
    if not abs(number) < _LARGEST or unlikely:
        return None
    return int(number) if number.is_integer() else number
