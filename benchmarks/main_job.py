"""The main job against what it promises: its time, the cost of a second call, and kill -9.

    python benchmarks/main_job.py [--kills 5] [--seed 0] [--json] [-- PIPELINE OPTIONS]

Runs the pipeline undisturbed, runs the same command again, then runs it once more elsewhere while
killing it at random moments, and compares the final tables. PIPELINE OPTIONS default to
`--fast --max-cycles 4`.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.causal.campaign.ledger import open_ledger

PROGRAM = Path(__file__).parents[1] / "scripts" / "causal" / "run_pipeline.py"
TABLES = ("ablation_results.json", "causal_dag.json", "identifiability_report.json")
LIMITS = {"first_seconds": 600.0, "again_seconds": 15.0}


def main() -> int:
    """Measure, print, and return 0 if every promise held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the moments to kill at")
    parser.add_argument("--json", action="store_true", help="print the figures alone, as JSON")
    parser.add_argument("options", nargs="*", default=[])
    arguments = parser.parse_args()
    options = arguments.options or ["--fast", "--max-cycles", "4"]
    with tempfile.TemporaryDirectory(prefix="main-job-") as scratch:
        figures = measure(Path(scratch), options, arguments.kills, random.Random(arguments.seed))
    if not arguments.json:
        show(figures)
    print(json.dumps(figures))
    held = figures["new_runs_again"] == 0 and figures["tables_identical"]
    return 0 if held and all(figures[name] <= limit for name, limit in LIMITS.items()) else 1


def measure(
    scratch: Path, options: list[str], kills: int, moments: random.Random
) -> dict[str, Any]:
    """Return the figures of one undisturbed, one repeated and one killed campaign."""
    calm, shot = scratch / "calm", scratch / "shot"
    first = timed(calm, options)
    runs = stages(calm)
    again = timed(calm, options)
    waits = sorted(moments.uniform(3.0, 0.9 * first) for _ in range(kills))
    progress = 0.0
    for moment in waits:
        kill_after(shot, options, moment - progress)
        progress = moment
    timed(shot, options)
    return {
        "options": " ".join(options),
        "first_seconds": round(first, 1),
        "again_seconds": round(again, 1),
        "training_runs": sum(kind == "train" for kind in runs.values()),
        "new_runs_again": len(stages(calm)) - len(runs),
        "killed_after_seconds": [round(moment, 1) for moment in waits],
        "tables_identical": tables(calm) == tables(shot),
        "stages_identical": stages(calm) == stages(shot),
    }


def timed(output: Path, options: list[str]) -> float:
    """Run the pipeline to its end and return the seconds it took."""
    started = time.perf_counter()
    subprocess.run(command(output, options), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def kill_after(output: Path, options: list[str], seconds: float) -> None:
    """Start the pipeline and kill it, unless it ends before."""
    process = subprocess.Popen(
        command(output, options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(timeout=max(1.0, seconds))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()


def command(output: Path, options: list[str]) -> list[str]:
    """Return the pipeline's command line."""
    return [sys.executable, str(PROGRAM), *options, "--output", str(output), "--quiet"]


def stages(output: Path) -> dict[str, str]:
    """Return every finished stage, key → kind.

    Raises:
        RuntimeError: a stage was left unfinished.
    """
    ledger = open_ledger(output / "ledger.sqlite")
    rows = ledger.rows()
    ledger.close()
    if unfinished := [row.key for row in rows if row.finished is None]:
        raise RuntimeError(f"stages left unfinished: {unfinished}")
    return {row.key: row.kind for row in rows}


def tables(output: Path) -> dict[str, object]:
    """Return the campaign's final tables by name."""
    (campaign,) = (path.parent for path in output.glob("*/plan.json"))
    return {name: json.loads((campaign / name).read_text()) for name in TABLES}


def show(figures: dict[str, Any]) -> None:
    """Print each figure beside what was promised."""
    print(f"options            {figures['options']}")
    print(
        f"first run          {figures['first_seconds']} s (promised {LIMITS['first_seconds']:.0f})"
    )
    print(f"training runs      {figures['training_runs']}")
    print(
        f"the same again     {figures['again_seconds']} s (promised {LIMITS['again_seconds']:.0f})"
    )
    print(f"new stages again   {figures['new_runs_again']} (promised 0)")
    print(f"killed -9 after    {figures['killed_after_seconds']} s")
    print(f"final tables       {'identical' if figures['tables_identical'] else 'DIFFER'}")
    print(f"stages in ledger   {'identical' if figures['stages_identical'] else 'DIFFER'}")


if __name__ == "__main__":
    sys.exit(main())
