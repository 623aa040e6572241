"""The interventions that can be run, read from ``catalog/*.toml``: data, never code."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interventions.vocabulary import Value, Variable, load_variables
from scripts.causal.files import InputError, read_text

CATALOG_DIR = Path(__file__).with_name("catalog")
VARIABLES = "variables.toml"  # in a family's folder: variables that it alone has
STAGES = ("train", "average", "quantize", "evaluate")
HOW = ("set", "multiply", "add")
BUYS = ("bpb", "bytes")
MATCHED_BY = ("flops", "steps", "wall_time")
BPB = "val_bpb"


@dataclass(frozen=True)
class Claim:
    """What somebody published about an intervention.

    Attributes:
        source: where it says so (pull request or paper).
        delta_bpb: the published effect in bpb (negative = better), if it was one in bpb.
        note: what was measured, where it was something else or at another setting.
    """

    source: str
    delta_bpb: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Intervention:
    """A change of configuration fields, relative to whatever control it is applied to.

    Attributes:
        id: name in the catalog.
        variable: the causal variable it varies (a vocabulary id).
        label: a few words for people.
        stage: the first stage of a run that it changes; both arms share every stage before it.
        set: fields given a value; in the file, those that are no causal variable of their own
            (a threshold, a window) stand under ``with`` and are the trainer's to check.
        multiply: fields multiplied; the trainer rounds to what it can build.
        add: fields increased.
        claims: published effects.
        cost: what it costs beside the control, in words.
        excludes: variables whose mechanisms cannot be combined with it.
        buys: what it is for: bpb, or bytes at a price in bpb.
        parts: ids of the changes that it makes at once, where it makes several.
        control: fields of both arms, where it is a change to something else than the campaign's
            control.
        outcome: the metric of a run that it is judged by, in bpb, lower is better.
        matched_by: what both arms must have in common for the claim to be tested; empty to
            leave that to the campaign.
    """

    id: str
    variable: str
    label: str
    stage: str
    set: Mapping[str, Value] = field(default_factory=dict)
    multiply: Mapping[str, float] = field(default_factory=dict)
    add: Mapping[str, float] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    cost: str = ""
    excludes: tuple[str, ...] = ()
    buys: str = "bpb"
    parts: tuple[str, ...] = ()
    control: Mapping[str, Value] = field(default_factory=dict)
    outcome: str = BPB
    matched_by: str = ""

    def apply(self, control: Mapping[str, Value]) -> dict[str, Value]:
        """Return the fields that the treatment changes, given the control's configuration.

        Raises:
            InputError: a field to multiply or add to is not a number in the control.
        """
        changed: dict[str, Value] = dict(self.set)
        for name, operand, product in [
            *((name, factor, True) for name, factor in self.multiply.items()),
            *((name, term, False) for name, term in self.add.items()),
        ]:
            value = control.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(
                    f"intervention {self.id!r} needs a number in field {name!r}, got {value!r}"
                )
            result = value * operand if product else value + operand
            changed[name] = round(result) if isinstance(value, int) else result
        return changed


def catalog_of(trainer: str) -> dict[str, Intervention]:
    """Return the catalog of a model family: its own folder's, or the shared one.

    Args:
        trainer: registered name, with or without an argument.

    Raises:
        InputError: as `load_catalog`.
    """
    return load_catalog(_own_folder(trainer) or CATALOG_DIR)


def has_own_catalog(trainer: str) -> bool:
    """Whether a model family has claims of its own to test instead of the leaderboard's."""
    return _own_folder(trainer) is not None


def _own_folder(trainer: str) -> Path | None:
    families = {path.name: path for path in CATALOG_DIR.iterdir() if path.is_dir()}
    return families.get(trainer.partition(":")[0])


def load_catalog(
    folder: Path = CATALOG_DIR, variables: Mapping[str, Variable] | None = None
) -> dict[str, Intervention]:
    """Return every intervention, id → intervention, in file and entry order.

    Args:
        folder: of the entries; its `VARIABLES`, if there, adds to the vocabulary.
        variables: the vocabulary instead.

    Raises:
        InputError: no catalog file, malformed TOML, an unknown variable or field, a value the
            variable cannot take, or an id used twice.
    """
    own = folder / VARIABLES
    if variables is None:
        variables = {**load_variables(), **(load_variables(own) if own.is_file() else {})}
    known = variables
    files = sorted(path for path in folder.glob("*.toml") if path != own)
    if not files:
        raise InputError("no catalog (*.toml) in this folder", where=folder)
    catalog: dict[str, Intervention] = {}
    for path in files:
        try:
            table = tomllib.loads(read_text(path))
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"is not valid TOML: {error}", where=path) from error
        entries = table.get("intervention", [])
        if not isinstance(entries, list):
            raise InputError("`intervention` must be a list of tables", where=path)
        for entry in entries:
            try:
                intervention = _parse(entry, known)
                if intervention.id in catalog:
                    raise ValueError("the id is used twice")
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                name = entry.get("id", "without id") if isinstance(entry, dict) else entry
                message = f"missing {error}" if isinstance(error, KeyError) else str(error)
                raise InputError(f"intervention {name!r}: {message}", where=path) from error
            catalog[intervention.id] = intervention
    return catalog


def _parse(entry: Mapping[str, Any], known: Mapping[str, Variable]) -> Intervention:
    allowed = {
        "id",
        "variable",
        "label",
        "stage",
        "claim",
        "cost",
        "excludes",
        "buys",
        "with",
        "control",
        "outcome",
        "matched_by",
        *HOW,
    }
    if unknown := set(entry) - allowed:
        raise ValueError(f"unknown keys {sorted(unknown)}; allowed: {sorted(allowed)}")
    if entry["variable"] not in known:
        raise ValueError(f"unknown variable {entry['variable']!r} (see variables.toml)")
    if entry["stage"] not in STAGES:
        raise ValueError(f"stage must be one of {list(STAGES)}, got {entry['stage']!r}")
    if entry.get("buys", BUYS[0]) not in BUYS:
        raise ValueError(f"buys must be one of {list(BUYS)}, got {entry['buys']!r}")
    if (matched_by := entry.get("matched_by", "")) and matched_by not in MATCHED_BY:
        raise ValueError(f"matched_by must be one of {list(MATCHED_BY)}, got {matched_by!r}")
    fields = [name for how in HOW for name in entry.get(how, {})]
    if not fields:
        raise ValueError(f"changes nothing: give one of {list(HOW)}")
    for name in fields:
        if name not in known:
            raise ValueError(f"unknown variable {name!r} (see variables.toml)")
    for name, value in entry.get("set", {}).items():
        known[name].check(value)
    for name in entry.get("excludes", []):
        if name not in known:
            raise ValueError(f"excludes unknown variable {name!r} (see variables.toml)")
    beside, control = entry.get("with", {}), entry.get("control", {})
    if misplaced := [name for name in beside if name in known]:
        raise ValueError(f"{misplaced[0]!r} is a variable: it belongs in `set`, not in `with`")
    for name, value in {**control, **beside}.items():
        if not isinstance(value, bool | int | float | str):
            raise ValueError(f"{name} must be one plain value, got {value!r}")
    changes: dict[str, Any] = {how: dict(entry.get(how, {})) for how in HOW}
    changes["set"] |= beside
    return Intervention(
        id=entry["id"],
        variable=entry["variable"],
        label=entry["label"],
        stage=entry["stage"],
        **changes,
        claims=tuple(Claim(**claim) for claim in entry.get("claim", [])),
        cost=entry.get("cost", ""),
        excludes=tuple(entry.get("excludes", [])),
        buys=entry.get("buys", BUYS[0]),
        control=dict(control),
        outcome=str(entry.get("outcome", BPB)),
        matched_by=matched_by,
    )
