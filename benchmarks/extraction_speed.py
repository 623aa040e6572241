"""What reading a leaderboard costs: seconds, seconds per megabyte and memory at growing sizes.

Usage: python benchmarks/extraction_speed.py --input FOLDER [--times 1,5,20] [--json]
Each size reads the folder so many times over, in one process on one core, under new ids so that
nothing read before helps. A cost linear in bytes shows as one number of seconds per megabyte.
The last line is one JSON object.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from scripts.causal.cli import run_command
from scripts.causal.files import InputError, read_text
from scripts.causal.leaderboard.extract import extract_submission
from scripts.causal.leaderboard.schema import Submission
from scripts.causal.leaderboard.submission_json import Fact, read_submission_json


def read_folder(folder: Path, times: int) -> tuple[float, int, int]:
    """Read every README below a folder, `times` over, keeping every result as a real run does.

    Returns:
        Processor seconds, bytes of README read, submissions read.

    Raises:
        InputError: no README below the folder.
    """
    places = sorted(path.parent for path in folder.rglob("README.md"))
    if not places:
        raise InputError("holds no README.md", where=folder)
    kept: list[Submission] = []
    size = 0
    start = time.process_time()
    for copy in range(times):
        for place in places:
            try:
                text = read_text(place / "README.md")
                facts = _facts(place / "submission.json")
            except InputError:
                continue  # timed here, reported by extract_interventions
            size += len(text.encode())
            kept.append(extract_submission(f"{copy}/{place.name}", text, facts))
    return time.process_time() - start, size, len(kept)


def _facts(path: Path) -> list[Fact]:
    return read_submission_json(path) if path.is_file() else []


def peak_memory() -> int:
    """Return the process's peak resident memory so far, bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB


def main(
    input: Annotated[Path, typer.Option(help="Folder tree of submissions.")],
    times: Annotated[str, typer.Option(help="How many times over, comma-separated.")] = "1,5,20",
    json_only: Annotated[bool, typer.Option("--json", help="Print the JSON line only.")] = False,
) -> None:
    """Time the extractor on one core at growing sizes."""
    try:
        sizes = sorted({int(part) for part in times.split(",")})
    except ValueError as error:
        raise InputError(f"--times {times!r} is not a list of whole numbers") from error
    if not sizes or sizes[0] < 1:
        raise InputError(f"--times {times!r} holds a number below 1")
    rows: list[dict[str, Any]] = []
    for count in sizes:
        seconds, size, submissions = read_folder(input, count)
        rows.append(
            {
                "times": count,
                "submissions": submissions,
                "megabytes": round(size / 1e6, 3),
                "seconds": round(seconds, 2),
                "seconds_per_megabyte": round(seconds / (size / 1e6), 4),
                "peak_megabytes": round(peak_memory() / 1e6, 1),
            }
        )
        if not json_only:
            print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    growth = rows[-1]["seconds_per_megabyte"] / rows[0]["seconds_per_megabyte"]
    print(json.dumps({"sizes": rows, "growth_per_megabyte": round(growth, 3)}))


if __name__ == "__main__":
    run_command(main)
