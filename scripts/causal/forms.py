"""The base of every file form: immutable records, checked when read."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from scripts.causal.files import InputError, read_json, write_json


class Record(BaseModel):
    """Base of everything that is written to a file: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


FileForm = TypeVar("FileForm", bound=Record)


def parse_file(form: type[FileForm], path: Path) -> FileForm:
    """Read a JSON file into its form.

    Raises:
        InputError: missing, not JSON, or naming the first field that breaks the schema.
    """
    try:
        return form.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "top level"
        raise InputError(f"field {place}: {first['msg']}", where=path) from error


def write_file(path: Path, value: Record) -> None:
    """Write a form as JSON, atomically."""
    write_json(path, value.model_dump(mode="json"))
