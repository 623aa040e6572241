"""Configurations as frozen dataclasses: fields taken from files and checked, errors by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from scripts.causal.files import InputError

_Config = TypeVar("_Config")
_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}
_TYPES = {"int": int, "float": float, "bool": bool, "str": str}


def config_from(kind: type[_Config], values: Mapping[str, Any], family: str) -> _Config:
    """Return the configuration with these fields; the ones left out keep their defaults.

    Whole numbers are taken for float fields (and 3.0 for an int field), so that a value has one
    form whether it came from TOML, JSON or code.

    Raises:
        InputError: an unknown field, or what the configuration's own checks refuse.
    """
    kinds = {item.name: str(item.type) for item in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - set(kinds)):
        raise InputError(
            f"the {family} trainer has no field {unknown[0]!r}",
            mend=f"fields: {', '.join(kinds)}",
        )
    return kind(**{name: _in_type(value, kinds[name]) for name, value in values.items()})


def check_types(config: Any) -> None:
    """Refuse fields of another type than declared, and numbers that are not finite.

    Raises:
        InputError: names the field and what it got.
    """
    for item in fields(config):
        value, kind = getattr(config, item.name), str(item.type)
        if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "bool"):
            raise InputError(
                f"`{item.name}` must be {_WORDS[kind]}, but got {item.name}={value!r}"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"`{item.name}` must be finite, but got {item.name}={value!r}")


def check_ranges(config: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Refuse numbers outside their range, both ends included.

    Raises:
        InputError: names the field, its range and what it got.
    """
    for name, (low, high) in ranges.items():
        require(
            low <= getattr(config, name) <= high, f"{low:g} <= {name} <= {high:g}", config, name
        )


def require(holds: bool, rule: str, config: Any, *names: str) -> None:
    """Refuse a configuration that breaks a rule.

    Raises:
        InputError: states the rule and the values of these fields.
    """
    if not holds:
        got = ", ".join(f"{name}={getattr(config, name)!r}" for name in names)
        raise InputError(f"`{rule}` must hold, but got {got}")


def _in_type(value: Any, kind: str) -> Any:
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value
