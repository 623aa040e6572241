"""Configurations as frozen dataclasses: fields taken from files and checked, errors by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, fields
from typing import Any, NamedTuple, TypeVar

from scripts.causal.files import InputError

ARCHITECTURE, HYPERPARAMETER, SCHEDULE = "architecture", "hyperparameter", "schedule"

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


def setting(
    default: bool | int | float | str,
    role: str,
    *,
    stage: str = "train",
    env: str = "",
    within: tuple[float, float] | None = None,
    among: Sequence[float | str] | None = None,
) -> Any:
    """A field of a configuration, with what its metadata says of it.

    Args:
        role: what a change of it costs: ARCHITECTURE changes the compiled step, HYPERPARAMETER
            reaches the compiled step as a tensor, SCHEDULE is read by the loop alone.
        stage: which stage reads it first (train, average, quantize, evaluate).
        env: the environment variable that sets it; empty for its name in capitals.
        within: its least and its largest value. Bounds are wide: they keep a stranger's file from
            asking for a model no machine can hold.
        among: its levels, where there is no range but a choice.
    """
    known = {"role": role, "stage": stage, "env": env, "within": within, "among": among}
    return field(default=default, metadata=known)


class Rule(NamedTuple):
    """What must hold between fields."""

    says: str
    names: tuple[str, ...]
    holds: Callable[[Any], bool]


# Of every configuration of a run that trains in batches of whole sequences.
TRAINING_RULES = (
    Rule(
        "train_batch_tokens % train_seq_len == 0",
        ("train_batch_tokens", "train_seq_len"),
        lambda config: config.train_batch_tokens % config.train_seq_len == 0,
    ),
    Rule(
        "val_points <= iterations",
        ("val_points", "iterations"),
        lambda config: config.val_points <= config.iterations,
    ),
)


def check(config: Any, rules: Iterable[Rule]) -> None:
    """Refuse fields of another type than declared, out of their range or levels, or at odds.

    Raises:
        InputError: states the rule and the values of the fields that break it.
    """
    for item in fields(config):
        _check_type(item.name, getattr(config, item.name), str(item.type))
    for item in fields(config):
        name, value = item.name, getattr(config, item.name)
        if bounds := item.metadata["within"]:
            low, high = bounds
            _require(low <= value <= high, f"{low:g} <= {name} <= {high:g}", config, name)
        if levels := item.metadata["among"]:
            said = f"{name} in {{{', '.join(map(str, levels))}}}"
            _require(value in levels, said, config, name)
    for rule in rules:
        _require(rule.holds(config), rule.says, config, *rule.names)


def _check_type(name: str, value: object, kind: str) -> None:
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "bool"):
        raise InputError(f"`{name}` must be {_WORDS[kind]}, but got {name}={value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"`{name}` must be finite, but got {name}={value!r}")


def _require(holds: bool, says: str, config: Any, *names: str) -> None:
    if not holds:
        got = ", ".join(f"{name}={getattr(config, name)!r}" for name in names)
        raise InputError(f"`{says}` must hold, but got {got}")


def _in_type(value: Any, kind: str) -> Any:
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value
