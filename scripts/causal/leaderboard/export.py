"""The submissions as one table: a row each, the vocabulary's variables as columns."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from interventions.vocabulary import load_variables
from scripts.causal.files import InputError, atomic_path
from scripts.causal.leaderboard.schema import Leaderboard, Submission, Value

# What a spreadsheet would take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_frame(leaderboard: Leaderboard) -> pd.DataFrame:
    """Return one row per submission.

    Columns: identity, scores, then `techniques` and `absent` (the ids, space-separated), then one
    column per variable of the vocabulary and per ``other:`` technique that occurs. A variable's
    column holds the stated value: a number, a level, or true and false (used, and absent). It is
    empty where the README is silent, and for a numeric variable also where it is used without a
    stated value or absent: `techniques` and `absent` tell those apart.
    """
    rows = leaderboard.submissions
    columns: dict[str, pd.Series] = {
        "id": _strings([row.id for row in rows]),
        "also": _strings([" ".join(row.also) for row in rows]),
        "pr": pd.Series([row.pr for row in rows], dtype="Int64"),
        "name": _strings([row.name for row in rows]),
        "author": _strings([row.author for row in rows]),
        "date": _strings([row.date for row in rows]),
        "track": _strings([row.track for row in rows]),
        "val_bpb": pd.Series([row.val_bpb for row in rows], dtype="Float64"),
        "base_bpb": pd.Series([row.base_bpb for row in rows], dtype="Float64"),
        "parent_prs": _strings([" ".join(map(str, row.parent_prs)) for row in rows]),
        "seeds": _strings([" ".join(str(seed.seed) for seed in row.seeds) for row in rows]),
        "artifact_bytes": pd.Series([row.artifact_bytes for row in rows], dtype="Int64"),
        "contrasts": pd.Series([len(row.ablations) for row in rows], dtype="Int64"),
        "techniques": _strings([" ".join(row.techniques) for row in rows]),
        "absent": _strings([" ".join(row.absent) for row in rows]),
    }
    known = list(load_variables())
    named = {name for row in rows for name in (*row.techniques, *row.absent)}
    for variable in (*known, *sorted(named - set(known))):
        columns[variable] = _variable(variable, rows)
    return pd.DataFrame(columns)


def write_csv(path: Path, leaderboard: Leaderboard) -> None:
    """Write the table as CSV; a text that a spreadsheet would run as a formula gets an apostrophe.

    Raises:
        InputError: the file cannot be written.
    """
    frame = to_frame(leaderboard)
    for name in frame.columns:
        if frame[name].dtype == "string":
            guarded = frame[name].str.startswith(_FORMULA).fillna(False)
            frame[name] = frame[name].mask(guarded, "'" + frame[name])
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")


def write_parquet(path: Path, leaderboard: Leaderboard) -> None:
    """Write the table as Parquet.

    Raises:
        InputError: pyarrow is not installed, or the file cannot be written.
    """
    require_parquet()
    with atomic_path(path) as temporary:
        to_frame(leaderboard).to_parquet(temporary, engine="pyarrow", index=False)


def require_parquet() -> None:
    """Check that Parquet can be written, before anything is read.

    Raises:
        InputError: pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise InputError(
            "needs pyarrow, which is not installed", where="--parquet",
            mend='pip install "causal-golf[parquet]", or use --csv',
        )  # fmt: skip


def _variable(name: str, rows: Sequence[Submission]) -> pd.Series:
    variable = load_variables().get(name)
    values = [_value(name, row) for row in rows]
    if variable is not None and variable.kind == "numeric":
        numbers = [None if isinstance(value, bool | str) else value for value in values]
        return pd.Series(numbers, dtype="Float64")
    if all(value is None or isinstance(value, bool) for value in values):
        return pd.Series(values, dtype="boolean")
    return _strings([_written(value) for value in values])


def _value(name: str, row: Submission) -> Value | None:
    return row.techniques.get(name, False if name in row.absent else None)


def _written(value: Value | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def _strings(values: Sequence[str | None]) -> pd.Series:
    return pd.Series(list(values), dtype="string")
