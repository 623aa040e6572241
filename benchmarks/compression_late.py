"""Training whose last steps go on the grid that is exported, beside quantizing afterwards."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from compression_model import Subject, trained

from trainers.api import ConfigValue, StageKind
from trainers.gpt.trainer import GptTrainer
from trainers.quantize.artifact import read_artifact
from trainers.quantize.pack import BEST

LATE: dict[str, ConfigValue] = {
    "qat": True,
    "qat_below": 0.15,
    "qat_k": 0.0006,
    "curvature_steps": True,
    "compressor": BEST,
}


def late(model: Subject, output: Path, *, backend: str, quick: bool) -> dict[str, Any]:
    """Bytes of the same training with late steps on its grid, and their gap to the plain model."""
    folder, spec = trained(output, LATE, backend=backend, quick=quick)
    trainer = GptTrainer()
    (plan,) = (plan for plan in trainer.stages(spec) if plan.kind is StageKind.QUANTIZE)
    with tempfile.TemporaryDirectory() as stored:
        trainer.execute(plan, folder, Path(stored))
        packed = (Path(stored) / trainer.artifact_file(spec.config)).read_bytes()
    bits = 8 * len(packed) / model.parameters
    return {
        "below": LATE["qat_below"],
        "k": LATE["qat_k"],
        "bytes": len(packed),
        "bits": bits,
        "gap": model.gap(read_artifact(packed)),
    }
