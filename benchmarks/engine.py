"""The engine against its promises: overhead, cost of a campaign, speed of a step, parity.

    python benchmarks/engine.py [--quick] [--part overhead,scales,campaign,speed,…]
                                [--scale fast] [--backend torch-cpu-bfloat16] [--json]

overhead   starting a run in a warm process, beside what a process of its own pays before its first
           step: the trainer's own program (nothing compiled on a CPU; MLX's compiler with its disk
           cache warm), and the plain script of `plain_gpt` under torch.compile, its disk cache
           warm; runs of three steps end to end; graphs made when hyperparameters change
scales     the same end to end beside the trainer's own program, at every scale, for torch and MLX
campaign   24 interventions × 2 seeds of 10 steps, beside a loop that starts every arm, and with it
           every control, as a subprocess; then the same again, and one that overlaps
speed      a step, beside the plain eager float32 loop of the same model; what a bfloat16 matrix
           product reaches here, and where a step's time goes
memory     resident memory over 100 runs in one process
parity     every entry of the catalog: torch beside MLX, tokens ahead, its switch off
faults     the tests that cover what may go wrong

Both sides of a comparison run in turns, on one thread each, on the embedded corpus with its
validation cut to a few thousand tokens: both would otherwise spend a run of a few steps on
validation. The exit status is 1 where a promise is not kept. The last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from engine_campaign import campaign_cost
from engine_memory import memory
from engine_overhead import overhead, recompilations, setting
from engine_parity import parity
from engine_scales import by_scale, show_scales
from engine_speed import PLAIN, step_speed

from scripts.causal.cli import run_command
from scripts.causal.files import InputError
from trainers.api import load_trainer

TESTS = Path(__file__).parents[1] / "tests" / "causal"
MLX_SCALE = "tiny"  # on a CPU, MLX multiplies matrices a hundred times slower than torch
FAULTS = {  # what goes wrong → tests, as file::test
    "kill -9 at random moments, tables identical": (
        "test_run_pipeline.py::test_killed_or_out_of_time_it_goes_on_to_the_same_tables",
        "campaign/test_runner_faults.py::test_killed_at_any_moment_it_comes_to_the_same_end",
    ),
    "a full disk": ("campaign/test_run.py::test_a_full_disk_is_no_outcome",),
    "a Ray node killed": (
        "campaign/test_ray_executor.py::test_a_node_killed_in_the_middle_loses_nothing",
    ),
    "two campaigns on one ledger": (
        "campaign/test_runner_faults.py::test_two_runners_share_one_ledger",
    ),
    "PostgreSQL restarted": (
        "campaign/test_runner_faults.py::test_a_server_restarted_in_the_middle_is_waited_for",
    ),
    "NaN at step k": (
        "trainers/gpt/test_gpt_trainer.py::test_a_run_that_diverges_fails_with_its_step",
        "campaign/test_run.py::test_a_diverged_run_is_an_outcome",
    ),
    "out of memory": (
        "trainers/gpt/test_gpt_trainer.py::test_running_out_of_memory_is_an_outcome_of_the_run",
    ),
    "a script that hangs": (
        "trainers/test_script.py::"
        "test_a_run_that_says_nothing_is_killed_with_everything_it_started",
    ),
    "a script that prints garbage": (
        "trainers/test_script_log.py::test_garbage_gives_a_score_that_can_be_or_a_reason",
        "trainers/test_script.py::test_a_run_that_goes_wrong_fails_with_its_reason",
    ),
}


def measure_overhead(scale: str, backend: str, quick: bool) -> dict[str, Any]:
    """Start runs of three steps in process and as subprocesses."""
    rounds = 2 if quick else 7
    with setting(steps=3, val_tokens=8192) as place:
        found = {"torch": overhead(place, backend, scale, rounds, compiled=not quick)}
        if "mlx-cpu-float32" in place.trainer.backends():
            with setting(steps=3, val_tokens=1024, exactly=True) as less:
                mlx = overhead(less, "mlx-cpu-float32", MLX_SCALE, rounds, compiled=False)
            found["mlx"] = mlx
        return found | {"recompilations": recompilations()}


def measure_scales(scale: str, backend: str, quick: bool) -> list[dict[str, Any]]:
    """Runs of three steps at every scale, whatever scale is asked for."""
    rounds = 1 if quick else 3
    found = [by_scale(backend, rounds)]
    if "mlx-cpu-float32" in load_trainer("gpt").backends():
        found.append(by_scale("mlx-cpu-float32", rounds))
    return found


def measure_campaign(scale: str, backend: str, quick: bool) -> dict[str, Any]:
    """A campaign and a second one that shares two thirds of it."""
    with setting(steps=10, val_tokens=8192) as place:
        return campaign_cost(
            place,
            backend,
            "tiny" if quick else scale,
            interventions=3 if quick else 24,
            seeds=(42, 1337),
            sample=1 if quick else 48,
        )


def measure_speed(scale: str, backend: str, quick: bool) -> dict[str, Any]:
    """The plain loop and the engine's, in the backend asked for and in float32."""
    trainer = load_trainer("gpt")
    names = list(dict.fromkeys([backend, "torch-cpu-float32"]))
    config, data = trainer.resolve(scale, {}), trainer.default_data()
    return step_speed(config, data, names, 8 if quick else 100) | {"scale": scale}


def measure_memory(scale: str, backend: str, quick: bool) -> list[dict[str, Any]]:
    """Many runs in one process, for each backend."""
    runs, found = 6 if quick else 100, [memory(backend, 6 if quick else 100)]
    if "mlx-cpu-float32" in load_trainer("gpt").backends():
        found.append(memory("mlx-cpu-float32", runs))
    return found


def measure_parity(scale: str, backend: str, quick: bool) -> list[dict[str, Any]]:
    """The catalog, entry by entry."""
    with setting(steps=6, val_tokens=2048) as place:
        return parity(place, 6 if quick else None)


def name_faults(scale: str, backend: str, quick: bool) -> dict[str, list[str]]:
    """The tests by fault; those that are not there are left out."""
    return {fault: [test for test in tests if _is_there(test)] for fault, tests in FAULTS.items()}


def _is_there(test: str) -> bool:
    path, _, name = test.partition("::")
    file = TESTS / path
    return file.is_file() and f"def {name}(" in file.read_text(encoding="utf-8")


PARTS: dict[str, Callable[[str, str, bool], Any]] = {
    "overhead": measure_overhead,
    "scales": measure_scales,
    "campaign": measure_campaign,
    "speed": measure_speed,
    "memory": measure_memory,
    "parity": measure_parity,
    "faults": name_faults,
}


# --------------------------------------------------------------------------------------------
# What was promised


def judge(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each promise whose part was measured: the figure, the bound, and whether it is kept."""
    told: dict[str, dict[str, Any]] = {}

    def least(name: str, figure: float, bound: float) -> None:
        told[name] = {"figure": figure, "at_least": bound, "kept": bool(figure >= bound)}

    def most(name: str, figure: float, bound: float) -> None:
        told[name] = {"figure": figure, "at_most": bound, "kept": bool(figure <= bound)}

    if part := found.get("overhead"):
        for family in ("torch", "mlx"):
            rows = part.get(family, {}).get("rows", {})
            for name in [name for name in rows if name != "in process"]:
                row = rows[name]
                least(f"{family}: start, times less than {name}", row["times_before"], 20)
                if "compile" in name:  # what the prototype started for each run
                    least(f"{family}: three steps, times less than {name}", row["times_whole"], 7)
        for family, counts in part["recompilations"].items():
            most(f"{family}: graphs for new hyperparameters", counts["graphs_for_changes"], 0)
    for part in found.get("scales", []):
        best = max(part["rows"], key=lambda name: part["rows"][name]["times"])
        name = f"{part['backend']}: three steps, times less, best at {best}"
        least(name, part["rows"][best]["times"], 7)
    if part := found.get("campaign"):
        least("campaign: times fewer runs", part["times_fewer_runs"], 1.9)
        least("campaign: times less wall time", part["times_less_wall"], 5)
        most("campaign: runs of the same again", part["again_runs"], 0)
        new = part["second_new_interventions"] * part["seeds"]
        most("campaign: runs of the overlapping one", part["second_runs"], new)
    if part := found.get("speed"):
        row = part["loops"][part["profile_of"]]
        least("speed: times the plain loop's quickest step", row["times_plain_quickest_ms"], 3)
        apart = part["curve_gap"][part["profile_of"]]
        most("speed: curves apart, nats", apart, part["curve_gap_of_two_starts"])
    for part in found.get("memory", []):
        most(f"memory: {part['backend']}, KB more per run", part["growth_kb_per_run"], 50)
    if rows := found.get("parity"):
        measured = [row for row in rows if "error" not in row]
        most("parity: entries not measured", len(rows) - len(measured), 0)
        most("parity: largest gap, nats", max(row.get("gap", 0.0) for row in measured), 1e-4)
        most("parity: largest look ahead, nats", max(row["ahead"] for row in measured), 1e-6)
        most("parity: entries that leave a trace", sum(not row["neutral"] for row in measured), 0)
    if part := found.get("faults"):
        most("faults: without a test", sum(not tests for tests in part.values()), 0)
    return told


# --------------------------------------------------------------------------------------------
# Tables


def show_overhead(part: dict[str, Any]) -> None:
    """Seconds of each way to start a run."""
    for family in ("torch", "mlx"):
        if family not in part:
            continue
        told = part[family]
        print(f"{told['backend']}, scale {told['scale']}, 3 steps, medians of {told['rounds']}")
        print(f"{'':30}{'before step 1':>15}{'times':>8}{'whole run':>12}{'times':>8}")
        for name, row in told["rows"].items():
            print(
                f"{name:30}{row['before']:13.3f} s{row.get('times_before', 1):8.1f}"
                f"{row['whole']:10.3f} s{row.get('times_whole', 1):8.1f}"
            )
    for family, counts in part["recompilations"].items():
        print(
            f"{family}: {counts['graphs']} graphs for the architecture, "
            f"{counts['graphs_for_changes']} more for {counts['changes']} hyperparameters changed"
        )


def show_campaign(part: dict[str, Any]) -> None:
    """Runs and seconds of campaign and loop."""
    what = f"{part['interventions']} interventions × {part['seeds']} seeds, {part['steps']} steps"
    print(f"{what}, scale {part['scale']}, {part['backend']}, one core")
    for name, reason in part["left_out"].items():
        print(f"not among them: {name}: {reason}")
    timed = f"{part['loop_arms_timed']} arms timed"
    if part["loop_is_extrapolated"]:
        timed += ", EXTRAPOLATED to all"
    rows = [
        ("campaign in process", part["runs"], part["seconds"], ""),
        ("loop of subprocesses", part["loop_runs"], part["loop_seconds"], timed),
        ("the campaign again", part["again_runs"], part["again_seconds"], ""),
        (
            f"another, {part['second_new_interventions']} of {part['second_interventions']} new",
            part["second_runs"],
            part["second_seconds"],
            "",
        ),
    ]
    for name, runs, seconds, note in rows:
        print(f"{name:30}{runs:6} runs{seconds:10.1f} s   {note}")
    fewer, less = part["times_fewer_runs"], part["times_less_wall"]
    print(f"{fewer:.2f} times fewer runs, {less:.1f} times less wall time")


def show_speed(part: dict[str, Any]) -> None:
    """Milliseconds of a step by loop, and where they go."""
    print(f"scale {part['scale']}, {part['flops_per_step'] / 1e9:.2f} GFLOP a step")
    columns = {"quickest": "quickest_ms", "its CPU time": "quickest_processor_ms"}
    columns["median CPU time"] = "median_processor_ms"
    print(" " * 30 + "".join(f"{name:>17}{'times':>7}" for name in columns) + "  of peak")
    for name, row in part["loops"].items():
        cells = (f"{row[k]:14.1f} ms{row[f'times_plain_{k}']:7.2f}" for k in columns.values())
        peak = ""
        if "of_peak" in row:
            peak = f"{row['of_peak']:9.0%} of {row['peak_gflops']:.0f} GFLOP/s"
        print(f"{name:30}{''.join(cells)}{peak}")
    whole = sum(part["profile_ms"].values())
    print(f"a step of {part['profile_of']} under the profiler, which costs time itself:")
    for name, value in sorted(part["profile_ms"].items(), key=lambda item: -item[1]):
        print(f"  {name:28}{value:9.1f} ms{value / whole:7.0%}")
    for name, apart in part["curve_gap"].items():
        print(f"{name} and {PLAIN}: losses {apart:.6f} nats apart on average")
    print(f"{PLAIN} from two starts: {part['curve_gap_of_two_starts']:.6f}")


def show_memory(part: list[dict[str, Any]]) -> None:
    """Resident memory at both ends."""
    for row in part:
        print(
            f"{row['backend']}: {row['settled_mb']:.1f} MB once settled, {row['last_mb']:.1f} MB "
            f"after {row['runs']} runs ({row['growth_kb_per_run']:+.1f} KB a run)"
        )


def show_parity(part: list[dict[str, Any]]) -> None:
    """A line for each entry."""
    print(f"{'entry':34}{'stage':10}{'|torch − MLX|':>14}{'look ahead':>12}{'off = control':>15}")
    for row in part:
        if "error" in row:
            print(f"{row['id']:34}{row['stage']:10}not measured: {row['error']}")
            continue
        gap = f"{row['gap']:.1e}" if "gap" in row else "no MLX"
        same = "to the bit" if row["neutral"] else "DIFFERS"
        print(f"{row['id']:34}{row['stage']:10}{gap:>14}{row['ahead']:12.1e}{same:>15}")


def show_faults(part: dict[str, list[str]]) -> None:
    """The tests by fault."""
    for fault, tests in part.items():
        for line, test in enumerate(tests or ["NO TEST"]):
            print(f"{fault if not line else '':46}{test}")


SHOW: dict[str, Callable[[Any], None]] = {
    "overhead": show_overhead,
    "scales": show_scales,
    "campaign": show_campaign,
    "speed": show_speed,
    "memory": show_memory,
    "parity": show_parity,
    "faults": show_faults,
}


def main(
    part: Annotated[str, typer.Option(help="comma-separated parts")] = ",".join(PARTS),
    scale: Annotated[str, typer.Option(help="scale of overhead, campaign and speed")] = "fast",
    backend: Annotated[str, typer.Option(help="torch backend (default: this CPU's best)")] = "",
    quick: Annotated[bool, typer.Option(help="a tenth of everything: does it run?")] = False,
    json_only: Annotated[bool, typer.Option("--json", help="print the JSON line only")] = False,
) -> None:
    """Measure the engine beside what it is compared with, in one run."""
    wanted = [name.strip() for name in part.split(",")]
    if unknown := [name for name in wanted if name not in PARTS]:
        raise InputError(f"no part {unknown[0]!r}", where="--part", mend=", ".join(PARTS))
    known = [name for name in load_trainer("gpt").backends() if name.startswith("torch-cpu")]
    chosen = backend or known[0]
    if chosen not in known:
        raise InputError(f"no backend {chosen!r}", where="--backend", mend=", ".join(known))
    found: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    for name in wanted:
        started = time.perf_counter()
        found[name] = PARTS[name](scale, chosen, quick)
        seconds[name] = round(time.perf_counter() - started, 1)
        if not json_only:
            print(f"\n{name}  ({seconds[name]:.0f} s, load {os.getloadavg()[0]:.1f})")
            SHOW[name](found[name])
    promises = judge(found)
    if not json_only:
        print("\npromises")
        for name, row in promises.items():
            bound = f"≥ {row['at_least']:g}" if "at_least" in row else f"≤ {row['at_most']:.4g}"
            print(f"{name:58}{row['figure']:12.5g}  {bound:12}{'' if row['kept'] else 'MISSED'}")
    print(json.dumps(found | {"promises": promises, "quick": quick, "seconds": seconds}))
    if not quick and not all(row["kept"] for row in promises.values()):
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(main)
