"""What a competition script can be told: the environment variables it reads, as fields.

Read from its syntax tree; nothing is executed. A variable that the script does not read would
change nothing, silently, and a contrast would become an A/A test: so only what is read is a field.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from interventions.vocabulary import load_variables
from scripts.causal.files import InputError
from trainers.api import Config, ConfigValue
from trainers.script_source import parse, read_source

ENV_FILE = Path(__file__).with_name("script_env.toml")
# What a run is about, set by the trainer, and what torchrun sets: never a field.
RESERVED = frozenset(
    (
        *("SEED", "RUN_ID", "DATA_PATH", "TOKENIZER_PATH", "PATH", "HOME", "TMPDIR", "USER"),
        *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    )
)
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
Kind = Literal["bool", "int", "float", "text"]


@dataclass(frozen=True)
class Setting:
    """One environment variable that a script reads.

    Attributes:
        env: its name.
        field: the configuration field it stands for.
        kind: what the script makes of it.
        default: what it is when the environment does not say; None where that is computed.
        levels: vocabulary level → what the script takes for it.
    """

    env: str
    field: str
    kind: Kind
    default: ConfigValue | None
    levels: Mapping[str, str]

    def text(self, value: ConfigValue) -> str:
        """The value as the environment is to say it.

        Raises:
            InputError: the script cannot take it.
        """
        if isinstance(value, str) and value in self.levels:
            return self.levels[value]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.kind == "bool" and isinstance(value, bool):
            return str(int(value))
        if self.kind == "int" and number and float(value).is_integer():
            return str(int(value))
        if self.kind == "float" and number:
            return repr(value)
        # Variables that are read as text may hold anything, and so may those of unknown use.
        if self.kind == "text" and not self.levels:
            return str(int(value)) if isinstance(value, bool) else str(value)
        wants = {"bool": "true or false", "int": "a whole number", "float": "a number"}
        known = wants.get(self.kind, f"one of {', '.join(self.levels)}")
        raise InputError(f"the script takes {known} as {self.env}, but got {self.field}={value!r}")


def read_settings(script: Path) -> dict[str, Setting]:
    """Return what a script reads from the environment: field → setting, in the script's order.

    Raises:
        InputError: the file is missing, too large or no Python.
    """
    reads = _reads(parse(read_source(script), script))
    fields = _fields_of(reads)
    settings = {}
    for name, (kind, default) in reads.items():
        if name in RESERVED:
            continue
        field = fields.get(name, name)
        setting = _setting(name, field, kind, default)
        settings[field] = setting
    return settings


def environment(settings: Mapping[str, Setting], config: Config) -> dict[str, str]:
    """Return what the environment must say for a configuration: only what is not the default.

    Raises:
        InputError: a field that the script does not read, or a value that it cannot take.
    """
    said = {}
    for field, value in config.items():
        if field not in settings:
            raise unread(field)
        setting = settings[field]
        text = setting.text(value)
        if setting.default is None or setting.text(setting.default) != text:
            said[setting.env] = text
    return dict(sorted(said.items()))


def unread(field: str) -> InputError:
    """The error for a field that a script does not read."""
    names = " or ".join(env_names(field)) or "no variable is known for it"
    return InputError(f"the script does not read {field!r} from the environment ({names})")


@cache
def env_names(field: str) -> tuple[str, ...]:
    """The environment variables under which scripts take a field, most usual first."""
    variable = load_variables().get(field)
    first = [variable.env] if variable is not None and variable.env else []
    return (*first, *_table().get(field, {}).get("names", ()))


@cache
def _table() -> Mapping[str, Mapping[str, list[str] | dict[str, str]]]:
    return tomllib.loads(ENV_FILE.read_text(encoding="utf-8"))


def _fields_of(reads: Mapping[str, object]) -> dict[str, str]:
    """Environment variable → field, for those that a field stands for."""
    fields: dict[str, str] = {}
    for field in dict.fromkeys([*load_variables(), *_table()]):
        read = next((name for name in env_names(field) if name in reads), None)
        if read is not None:
            fields.setdefault(read, field)
    return fields


def _setting(env: str, field: str, kind: Kind, default: ConfigValue | None) -> Setting:
    levels = _table().get(field, {}).get("levels", {})
    assert isinstance(levels, Mapping)
    variable = load_variables().get(field)
    if variable is not None and variable.kind == "binary":
        kind = "bool"
    value = _typed(default, kind)
    named = {text: level for level, text in levels.items()}
    if levels and value is not None:
        value = named.get(str(value), value)
    return Setting(env, field, kind, value, dict(levels))


def _typed(default: ConfigValue | None, kind: Kind) -> ConfigValue | None:
    if default is None:
        return None
    text = str(default).strip()
    try:
        if kind == "bool":
            known = {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}
            return known.get(text.lower())
        if kind == "int":
            return int(text)
        return float(text) if kind == "float" else text
    except ValueError:
        return None


# Below here: the syntax tree


def _reads(tree: ast.Module) -> dict[str, tuple[Kind, ConfigValue | None]]:
    """Environment variable → how it is read first, in the order of the script's lines."""
    readers = _readers(tree)
    casts: dict[ast.expr, Kind] = {}
    found: list[tuple[int, int, str, Kind, ConfigValue | None]] = []
    for node in ast.walk(tree):  # parents come before their children
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
            kinds: dict[str, Kind] = {"bool": "bool", "int": "int", "float": "float"}
            kind = casts.get(node) or kinds.get(node.func.id)
            if kind is not None:
                casts[node.args[0]] = kind
        for name, default, typed in _read(node, readers):
            assert isinstance(node, ast.expr)
            place = node.lineno, node.col_offset
            found.append((*place, name, casts.get(node, typed or "text"), default))
    reads: dict[str, tuple[Kind, ConfigValue | None]] = {}
    for _, _, name, kind, default in sorted(found, key=lambda read: read[:2]):
        reads.setdefault(name, (kind, default))
    return reads


def _readers(tree: ast.Module) -> dict[str, Kind | None]:
    """Names of the script's own shorthands for os.environ.get, and what they make of it."""
    readers: dict[str, Kind | None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _is_get(node.value):
            readers |= {name.id: None for name in node.targets if isinstance(name, ast.Name)}
        if isinstance(node, ast.FunctionDef) and node.args.args:
            first = node.args.args[0].arg
            for inner in ast.walk(node):
                if (
                    isinstance(inner, ast.Call)
                    and _is_get(inner.func)
                    and inner.args
                    and isinstance(inner.args[0], ast.Name)
                    and inner.args[0].id == first
                ):
                    readers[node.name] = _returned_kind(node)
    return readers


def _returned_kind(function: ast.FunctionDef) -> Kind | None:
    """What a shorthand's annotation says that it returns."""
    kinds: dict[str, Kind] = {"bool": "bool", "int": "int", "float": "float"}
    return kinds.get(function.returns.id) if isinstance(function.returns, ast.Name) else None


def _read(
    node: ast.AST, readers: Mapping[str, Kind | None]
) -> Iterator[tuple[str, ConfigValue | None, Kind | None]]:
    """Yield the variable that an expression reads, with its literal default."""
    if isinstance(node, ast.Call) and node.args:
        own = isinstance(node.func, ast.Name) and node.func.id in readers
        if (own or _is_get(node.func)) and (name := _name(node.args[0])):
            typed = readers[node.func.id] if own and isinstance(node.func, ast.Name) else None
            literal = _literal(node.args[1]) if len(node.args) > 1 else None
            yield name, literal, typed or _kind_of(literal)
    elif (
        isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Load)
        and _dotted(node.value) == "os.environ"
        and (name := _name(node.slice))
    ):
        yield name, None, None


def _is_get(node: ast.expr) -> bool:
    return _dotted(node) in ("os.environ.get", "os.getenv", "environ.get", "getenv")


def _dotted(node: ast.expr) -> str:
    names: list[str] = []
    while isinstance(node, ast.Attribute) and len(names) < 3:
        names, node = [node.attr, *names], node.value
    return ".".join([node.id, *names]) if isinstance(node, ast.Name) else ""


def _name(node: ast.expr) -> str | None:
    """A literal that can be the name of a variable, and nothing else a shell might take."""
    literal = node.value if isinstance(node, ast.Constant) else None
    return literal if isinstance(literal, str) and _NAME.fullmatch(literal) else None


def _literal(node: ast.expr) -> ConfigValue | None:
    sign = -1 if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else 1
    inner = node.operand if isinstance(node, ast.UnaryOp) else node
    if isinstance(inner, ast.Call) and _dotted(inner.func) == "str" and len(inner.args) == 1:
        inner = inner.args[0]
    if not isinstance(inner, ast.Constant):
        return None
    value = inner.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return sign * value
    return value if isinstance(value, bool | str) else None


def _kind_of(literal: ConfigValue | None) -> Kind | None:
    """What a default that is no text says of a variable that no cast surrounds."""
    if isinstance(literal, bool):
        return "bool"
    if isinstance(literal, int):
        return "int"
    return "float" if isinstance(literal, float) else None
