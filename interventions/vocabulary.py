"""The causal variables of a submission, read from ``variables.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scripts.causal.files import InputError, read_text

VARIABLES_FILE = Path(__file__).with_name("variables.toml")
KINDS = ("numeric", "categorical", "binary")
GROUPS = (
    "architecture",
    "data",
    "optimization",
    "loss",
    "quantization",
    "encoding",
    "evaluation",
)
Value = bool | int | float | str


@dataclass(frozen=True)
class Variable:
    """One thing that submissions differ in.

    Attributes:
        id: the name it has everywhere, README to trainer field.
        kind: numeric, categorical or binary.
        group: the part of the pipeline it acts on; gives its tier in the causal graph.
        meaning: one line for people.
        baseline: its value in the upstream naive baseline.
        unit: unit of a numeric value, empty when it has none.
        levels: allowed values of a categorical variable.
        env: environment variable under which upstream scripts take it, if any.
    """

    id: str
    kind: str
    group: str
    meaning: str
    baseline: Value
    unit: str = ""
    levels: tuple[str, ...] = ()
    env: str | None = None

    def check(self, value: Value) -> Value:
        """Return `value` if this variable can take it.

        Raises:
            ValueError: wrong type, or a level that does not exist.
        """
        if self.kind == "categorical":
            if value not in self.levels:
                raise ValueError(f"{self.id} must be one of {list(self.levels)}, got {value!r}")
        elif self.kind == "binary":
            if not isinstance(value, bool):
                raise ValueError(f"{self.id} must be true or false, got {value!r}")
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{self.id} must be a number, got {value!r}")
        return value


@cache
def load_variables(path: Path = VARIABLES_FILE) -> dict[str, Variable]:
    """Return the vocabulary, id → variable, in file order.

    Raises:
        InputError: the file is missing or malformed, or an entry breaks its own rules.
    """
    try:
        table = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"is not valid TOML: {error}", where=path) from error
    variables = {}
    for name, entry in table.items():
        try:
            variable = Variable(id=name, **{**entry, "levels": tuple(entry.get("levels", ()))})
            if variable.kind not in KINDS or variable.group not in GROUPS:
                raise ValueError(f"kind must be one of {KINDS} and group one of {GROUPS}")
            variable.check(variable.baseline)
        except (TypeError, ValueError) as error:
            raise InputError(f"variable {name!r}: {error}", where=path) from error
        variables[name] = variable
    return variables
