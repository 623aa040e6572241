"""The submission judged by what lies on disk: its bytes are counted and its program is run."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.causal.submission.facts import CAP_BYTES

PROGRAM = "train_gpt.py"
MODEL = "model.int8.zlib"
SECONDS_LIMIT = 1800
BPB_TOLERANCE = 1e-6
KERNEL_CHOICE = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_CBWR", "ATEN_CPU_CAPABILITY")


class RefereeError(Exception):
    """The folder does not hold what it claims; the message says which claim failed."""


@dataclass(frozen=True)
class ByteCount:
    """Bytes of the files that count against the cap."""

    code: int
    model: int

    @property
    def total(self) -> int:
        """Code and model together."""
        return self.code + self.model


def count_bytes(folder: Path) -> ByteCount:
    """Count the program and the model on disk.

    Raises:
        RefereeError: together they exceed 16,000,000 bytes, or one is missing.
    """
    try:
        count = ByteCount((folder / PROGRAM).stat().st_size, (folder / MODEL).stat().st_size)
    except OSError as error:
        raise RefereeError(f"{error.filename}: missing") from error
    if count.total > CAP_BYTES:
        raise RefereeError(
            f"{count.total:,} bytes ({count.code:,} code + {count.model:,} model) "
            f"exceed the cap of {CAP_BYTES:,}"
        )
    return count


def evaluate_alone(folder: Path, *, data: Path, tokenizer: Path) -> float:
    """Run the folder's own program in evaluation mode and return the bpb it prints.

    The program runs in a copy of the folder, in isolated mode (`python -I`), with an environment
    that holds the data paths and, of the caller's, which arithmetic the machine is told to use:
    other kernels round otherwise, and test-time training makes 1e-5 bpb of that.

    Raises:
        RefereeError: it fails, takes longer than half an hour, or prints no result.
    """
    environment = {
        "PATH": os.defpath,
        "DATA_PATH": str(data.resolve()),
        "TOKENIZER_PATH": str(tokenizer.resolve()),
        "OMP_NUM_THREADS": "1",
    }
    environment |= {name: os.environ[name] for name in KERNEL_CHOICE if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="referee-") as scratch:
        alone = Path(scratch) / "submission"
        shutil.copytree(folder, alone)
        environment["HOME"] = environment["TMPDIR"] = scratch
        try:
            done = subprocess.run(
                [sys.executable, "-I", PROGRAM, "--eval"],
                cwd=alone,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SECONDS_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RefereeError(f"evaluation did not end within {SECONDS_LIMIT} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RefereeError(f"evaluation exited with code {done.returncode}: {last}")
    return _printed_bpb(done.stdout)


def compare(recorded: float, measured: float) -> None:
    """Accept the measured bpb if it is the recorded one.

    Raises:
        RefereeError: they differ by more than 1e-6.
    """
    if not math.isclose(recorded, measured, rel_tol=0.0, abs_tol=BPB_TOLERANCE):
        raise RefereeError(
            f"the folder evaluates to {measured:.8f} bpb, the ledger has {recorded:.8f}"
        )


def _printed_bpb(output: str) -> float:
    lines = output.strip().splitlines()
    try:
        bpb = float(json.loads(lines[-1])["val_bpb"])
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise RefereeError("evaluation printed no JSON line with val_bpb") from error
    if not math.isfinite(bpb):
        raise RefereeError(f"evaluation printed {bpb} as val_bpb")
    return bpb
