"""Quantizers and coders against their promises, on a model trained here.

    python benchmarks/compression.py [--quick] [--part table,knob,late,faults,large] [--json]
                                     [--output results/compression]

table   quantizer × coder: bytes, bits for a parameter, bpb gap, seconds; the Pareto front, drawn;
        what our best makes of the bytes of int6 + lzma, of the gap of int8 + zlib (at once, and
        with training as it quantizes), and of the bits of the best merged record; and the bits
        below which no code of normal weights gets there
knob    how close under a cap the knob ends
late    the same training with its last steps on the grid that is exported: bytes and gap, beside
        our best quantizing of the plain model at that gap
faults  round trips, and artifacts cut off, with a bit turned over or with bytes added
large   11 layers × 512 packed under 16,000,000 bytes: seconds and peak memory

The model (3 layers × 64, MLP × 3, trained as long for its 176,972 parameters as the upstream
baseline, `compression_model`) is trained on the first call, twenty minutes of one free core (as
long again for `late`), and kept in the output folder by its key. Then the table takes an hour, two
more where training as it quantizes needs further tries, and all else a quarter of one. Gaps are of
all of validation, in float32: on a part of it the sign of small ones is chance. `divergence` is of
predictions from the trained model's, in nats. Calibration reads training tokens only. The exit
status is 1 where a promise is not kept. The last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from compression_bound import least_bits
from compression_divergence import fewer_at_divergence
from compression_faults import faults
from compression_large import large
from compression_late import late
from compression_model import Subject, subject
from compression_picture import draw
from compression_tuned import tuned_at_gap

from scripts.causal.cli import run_command
from scripts.causal.files import InputError, write_json
from trainers.gpt.quantizing import recipe_under
from trainers.quantize.artifact import read_artifact, restored
from trainers.quantize.header import CODERS
from trainers.quantize.int8 import ArtifactError, quantize
from trainers.quantize.pack import BEST, pack, parts_of
from trainers.quantize.recipe import Recipe, quantized

CURVED = Recipe(clip="curvature", k=0.001, compensated=True)
OURS = replace(CURVED, trellis=64)
RECIPES = {
    "int8 per row": Recipe(),
    "int6 per row": Recipe("int6"),
    "int6 per row, packed": Recipe("int6", packed=True),
    "int6 per 64": Recipe("int6", grouped=True),
    "int6 best of 5 clips": Recipe("int6", "percentile"),
    "int6 GPTQ": Recipe("int6", compensated=True),
    "int6 embedding int8": Recipe("int6_int8"),
    "int5 per row": Recipe("int5"),
    "int5 per row, packed": Recipe("int5", packed=True),
    "int5 per 64": Recipe("int5", grouped=True),
    "int5 GPTQ": Recipe("int5", compensated=True),
    "int5 AWQ + GPTQ": Recipe("int5", compensated=True, activation_aware=True),
    "int5 GPTQ + LQER": Recipe("int5", compensated=True, correction_rank=4),
    "int6 SDClip 12.85": Recipe("int6", "deviation", 12.85),
    "int6 SDClip 12.85 GPTQ": Recipe("int6", "deviation", 12.85, compensated=True),
    "curvature, to nearest": replace(CURVED, compensated=False),
    "curvature 0.0004": replace(CURVED, k=0.0004),
    "curvature 0.001": CURVED,
    "curvature 0.001, trellis": OURS,
    "curvature 0.0025": replace(CURVED, k=0.0025),
    "ternary": Recipe("ternary", packed=True),
}
QUICK = (
    *("int8 per row", "int6 per row", "int5 per row", "int5 GPTQ"),
    *("curvature 0.001", "curvature 0.001, trellis"),
)
OURS_CODER = BEST
RECORD_BITS, RECORD_GAP = 3.53, 0.0087  # record 2026-04-27, 35.95 M parameters
CAP_BITS = (6.0, 5.0, 4.0, 3.53, 3.0, 2.5)


@dataclass(frozen=True)
class Row:
    """One quantizer under one coder."""

    quantizer: str
    coder: str
    bytes: int
    bits: float
    gap: float
    quantize_seconds: float
    code_seconds: float


def measure_table(model: Subject, quick: bool) -> dict[str, Any]:
    """Every quantizer, evaluated once, under every coder; then the comparisons."""
    rows, coders = (
        list[Row](),
        [c for c in (*CODERS, BEST) if c != "raw" and not (quick and c == "lzma")],
    )
    for name, recipe in RECIPES.items():
        if quick and name not in QUICK:
            continue
        started = time.perf_counter()
        arrays = quantized(model.weights, recipe, model.inputs)
        seconds, gap = time.perf_counter() - started, None
        for coder in coders:
            started = time.perf_counter()
            try:
                packed = pack(arrays, coder)
            except ArtifactError:  # the coder's package is not installed
                continue
            took = time.perf_counter() - started
            if gap is None:
                gap = model.gap(read_artifact(packed))
            rows.append(_row(model, name, coder, len(packed), gap, seconds, took))
    shipped = quantize(model.weights)
    as_shipped = read_artifact(shipped)
    gap = model.gap(as_shipped)  # its small tensors are float32, those above float16
    rows.append(_row(model, "int8, as shipped", "zlib", len(shipped), gap, 0.0, 0.0))
    compared = _compared(model, rows, model.divergence(as_shipped), quick)
    tuned = compared["tuned_at_its_gap"]
    figures = (tuned["bytes"], round(tuned["bits"], 4), tuned["gap"], tuned["seconds"], 0.0)
    rows.append(Row("trellis, distilled", OURS_CODER, *figures))
    found = {"rows": [vars(row) for row in rows], "front": [vars(row) for row in _front(rows)]}
    return found | compared | {"constriction_bytes": _constriction(model)}


def _row(
    model: Subject, name: str, coder: str, size: int, gap: float, seconds: float, took: float
) -> Row:
    bits = 8 * size / model.parameters
    return Row(name, coder, size, round(bits, 4), gap, round(seconds, 3), round(took, 3))


def _front(rows: list[Row]) -> list[Row]:
    """Rows that none is both smaller and closer than, from the smallest on."""
    front = list[Row]()
    for row in sorted(rows, key=lambda row: (row.bytes, row.gap)):
        if not front or row.gap < front[-1].gap:
            front.append(row)
    return front


def _compared(
    model: Subject, rows: list[Row], int8_divergence: float, quick: bool
) -> dict[str, Any]:
    def least(quantizers: tuple[str, ...], coder: str) -> Row | None:
        those = [row for row in rows if row.quantizer in quantizers and row.coder == coder]
        return min(those, key=lambda row: row.bytes, default=None)

    def gap_of(name: str) -> float | None:
        return next((row.gap for row in rows if row.quantizer == name), None)

    told: dict[str, Any] = {}
    if int6 := least(("int6 per row", "int6 per row, packed"), "lzma"):
        ours = _under(model, int6.bytes)
        told["int6_lzma"] = vars(int6)
        told["at_its_bytes"] = ours | {"times_its_gap": ours["gap"] / int6.gap}
    int8 = next(row for row in rows if row.quantizer == "int8, as shipped")
    theirs = vars(int8) | {"divergence": int8_divergence}
    told["int8_zlib"] = theirs
    ours = _at_gap(model, int8.gap)
    stored = restored(parts_of(quantized(model.weights, replace(OURS, k=ours["k"]), model.inputs)))
    ours["divergence"] = model.divergence(stored)
    told["at_its_gap"] = ours | _spared(model, ours, theirs)
    tuned = tuned_at_gap(model, int8.gap, OURS, OURS_CODER, quick=quick)
    told["tuned_at_its_gap"] = tuned | _spared(model, tuned, theirs)
    if min(ours["gap"], int8.gap) > 0:  # on few tokens a gap may be below nothing
        floor = least_bits(model.weights, model.inputs, stored, measured=ours["gap"], gap=int8.gap)
        told["normal_weights_at_its_gap"] = {"bits": floor, "fewer_bytes": 1 - floor / int8.bits}
    told["at_the_records_bits"] = _under(model, int(RECORD_BITS * model.parameters / 8)) | {
        "record_bits": RECORD_BITS,
        "record_gap": RECORD_GAP,
    }
    for bits in ("int6", "int5"):
        nearest, compensated = gap_of(f"{bits} per row"), gap_of(f"{bits} GPTQ")
        if nearest is not None and compensated is not None:
            told[f"gptq_{bits}"] = {"nearest": nearest, "gptq": compensated}
    return told


def _under(model: Subject, cap: int) -> dict[str, Any]:
    """Our artifact just under a cap."""
    recipe = recipe_under(cap, OURS, model.weights, model.inputs, OURS_CODER)
    return _told(model, recipe)


def _told(model: Subject, recipe: Recipe) -> dict[str, Any]:
    packed = pack(quantized(model.weights, recipe, model.inputs), OURS_CODER)
    gap = model.gap(read_artifact(packed))
    bits = 8 * len(packed) / model.parameters
    return {"k": recipe.k, "bytes": len(packed), "bits": bits, "gap": gap}


def _spared(model: Subject, ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    return {
        "fewer_bytes": 1 - ours["bytes"] / theirs["bytes"],
        "fewer_at_its_divergence": fewer_at_divergence(ours, theirs, model.parameters),
    }


def _at_gap(model: Subject, gap: float) -> dict[str, Any]:
    """Our smallest artifact found whose gap is no larger: the gap goes as the knob squared."""
    best: dict[str, Any] | None = None
    k = OURS.k
    for _ in range(8):
        told = _told(model, replace(OURS, k=k))
        if told["gap"] <= gap and (best is None or told["bytes"] < best["bytes"]):
            best = told
        if best is told and told["gap"] > 0.95 * gap:  # a fifth of the gap is 2 % of the bytes
            break
        k *= float(np.clip(np.sqrt(0.97 * max(gap, 1e-6) / max(told["gap"], 1e-6)), 0.2, 2.0))
    return best or told


def _constriction(model: Subject) -> int | None:
    """Bytes of our codes under constriction's range coder, each matrix with its own histogram."""
    try:
        import constriction
    except ImportError:
        return None
    total = 0
    for array in quantized(model.weights, OURS, model.inputs):
        if not array.role.startswith("code"):
            continue
        symbols = array.values.reshape(-1).astype(np.int32)
        symbols -= symbols.min()
        share = np.bincount(symbols).astype(np.float32) + np.float32(1e-3)
        family = constriction.stream.model.Categorical(share / share.sum(), perfect=False)
        encoder = constriction.stream.queue.RangeEncoder()
        encoder.encode(symbols, family)
        total += encoder.get_compressed().nbytes + 2 * len(share)
    return total


def measure_knob(model: Subject, quick: bool) -> list[dict[str, Any]]:
    """Bytes under caps, with the knob of the curvature steps and with SDClip's."""
    found = []
    deviation = Recipe("int8", "deviation", 25.0)
    for name, recipe in (("curvature", OURS), ("deviation", deviation)):
        for bits in CAP_BITS[:2] if quick else CAP_BITS:
            cap = int(bits * model.parameters / 8)
            solved = recipe_under(cap, recipe, model.weights, model.inputs, "ans")
            size = len(pack(quantized(model.weights, solved, model.inputs), "ans"))
            row = {"clip": name, "cap": cap, "cap_bits": bits, "k": solved.k, "bytes": size}
            found.append(row | {"left": 1 - size / cap})
    return found


def measure_faults(model: Subject, quick: bool) -> dict[str, Any]:
    """Mutations of an artifact of this model."""
    return faults(model.weights, model.inputs, OURS, 40 if quick else 1000)


COMPARED = (
    *("int6_lzma", "at_its_bytes", "int8_zlib", "at_its_gap", "tuned_at_its_gap"),
    "normal_weights_at_its_gap",
    "at_the_records_bits",
)
PARTS: dict[str, Callable[[Subject, bool], Any]] = {
    "table": measure_table,
    "knob": measure_knob,
    "faults": measure_faults,
}
LARGE, LATE = "large", "late"  # needs no trained model; needs a second one
KNOWN = (*PARTS, LATE, LARGE)


def measure_late(model: Subject, output: Path, backend: str, quick: bool) -> dict[str, Any]:
    """Late training on the grid, and quantizing afterwards at its gap."""
    told = late(model, output, backend=backend, quick=quick)
    after = _at_gap(model, told["gap"])
    return {**told, "afterwards": after, "fewer_bytes": 1 - told["bytes"] / after["bytes"]}


def judge(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each promise whose part was measured: the figure, the bound, and whether it is kept."""
    told: dict[str, dict[str, Any]] = {}

    def least(name: str, figure: float, bound: float) -> None:
        told[name] = {"figure": figure, "at_least": bound, "kept": bool(figure >= bound)}

    def most(name: str, figure: float, bound: float) -> None:
        told[name] = {"figure": figure, "at_most": bound, "kept": bool(figure <= bound)}

    if part := found.get("table"):
        if "at_its_bytes" in part:
            ratio = part["at_its_bytes"]["times_its_gap"]
            most("gap, times that of int6 + lzma at its bytes", ratio, 0.5)
        fewer = max(
            ours["fewer_bytes"] if ours["gap"] <= part["int8_zlib"]["gap"] else 0.0
            for ours in (part["at_its_gap"], part["tuned_at_its_gap"])
        )
        least("fewer bytes than int8 + zlib at its gap", fewer, 0.4)
        for bits in ("int6", "int5"):
            if pair := part.get(f"gptq_{bits}"):
                most(f"{bits} GPTQ's gap, times the nearest's", pair["gptq"] / pair["nearest"], 1)
    if rows := found.get("knob"):
        most("largest share of a cap left", max(row["left"] for row in rows), 0.005)
        least("smallest share of a cap left", min(row["left"] for row in rows), 0.0)
    if part := found.get("faults"):
        most("mutations that were not caught", part["not_caught"], 0)
        most("round trips that were not exact", part["not_exact"], 0)
    if part := found.get("large"):
        most("bytes of 11 × 512", part["bytes"], 16_000_000)
    return told


def show_table(part: dict[str, Any]) -> None:
    """Rows, the front, and the comparisons."""
    front = {(row["quantizer"], row["coder"]) for row in part["front"]}
    print(f"{'quantizer':26}{'coder':8}{'bytes':>11}{'bits':>8}{'gap bpb':>11}{'s':>8}{'s':>8}")
    for row in part["rows"]:
        mark = "  front" if (row["quantizer"], row["coder"]) in front else ""
        print(
            f"{row['quantizer']:26}{row['coder']:8}{row['bytes']:11,}{row['bits']:8.3f}"
            f"{row['gap']:11.5f}{row['quantize_seconds']:8.2f}{row['code_seconds']:8.2f}{mark}"
        )
    for name in COMPARED:
        if name in part:
            print(f"{name:28}{json.dumps(part[name])}")
    print(f"codes of {OURS.clip} {OURS.k} under constriction: {part['constriction_bytes']} bytes")


def show_knob(part: list[dict[str, Any]]) -> None:
    """A line for each cap."""
    for row in part:
        left = f"{row['left']:.3%} left"
        print(f"{row['clip']:12}cap {row['cap']:10,}{row['bytes']:12,} bytes  {left}")


def show_lines(part: dict[str, Any]) -> None:
    """A line for each figure."""
    for name, value in part.items():
        print(f"{name:40}{value}")


SHOW: dict[str, Callable[[Any], None]] = {
    "table": show_table,
    "knob": show_knob,
    "late": show_lines,
    "faults": show_lines,
    "large": show_lines,
}


def main(
    part: Annotated[str, typer.Option(help="comma-separated parts")] = ",".join(KNOWN),
    output: Annotated[Path, typer.Option(help="folder of model, table and picture")] = Path(
        "results/compression"
    ),
    backend: Annotated[str, typer.Option(help="torch backend of the training")] = "",
    val_tokens: Annotated[int, typer.Option(help="validation tokens; 0: all of them")] = 0,
    quick: Annotated[bool, typer.Option(help="a tiny model, few rows: does it run?")] = False,
    json_only: Annotated[bool, typer.Option("--json", help="print the JSON line only")] = False,
) -> None:
    """Measure quantizers and coders beside what they are compared with, in one run."""
    wanted = [name.strip() for name in part.split(",")]
    if unknown := [name for name in wanted if name not in KNOWN]:
        raise InputError(f"no part {unknown[0]!r}", where="--part", mend=", ".join(KNOWN))
    found: dict[str, Any] = {}
    if set(wanted) - {LARGE}:
        model = subject(output, backend=backend, val_tokens=val_tokens, quick=quick)
        found["model"] = model.described
    seconds: dict[str, float] = {}
    for name in wanted:
        started = time.perf_counter()
        if name == LARGE:
            found[name] = large(quick)
        elif name == LATE:
            found[name] = measure_late(model, output, backend, quick)
        else:
            found[name] = PARTS[name](model, quick)
        seconds[name] = round(time.perf_counter() - started, 1)
        if not json_only:
            print(f"\n{name}  ({seconds[name]:.0f} s, load {os.getloadavg()[0]:.1f})")
            SHOW[name](found[name])
    if "table" in found:
        draw(found["table"], output)
    promises = judge(found)
    if not json_only:
        print("\npromises")
        for name, row in promises.items():
            bound = f"≥ {row['at_least']:g}" if "at_least" in row else f"≤ {row['at_most']:.4g}"
            print(f"{name:58}{row['figure']:12.5g}  {bound:12}{'' if row['kept'] else 'MISSED'}")
    told = found | {"promises": promises, "quick": quick, "seconds": seconds}
    write_json(output / "compression.json", told)
    print(json.dumps(told))
    if not quick and not all(row["kept"] for row in promises.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(main)
