"""Every way to quantize that there is: the run's own, and what the catalog can set instead.

A quantizer is what it is for a campaign, values of the configuration's fields that the QUANTIZE
stage reads; so whatever the trainer learns to do, and the catalog names, appears here by itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from interventions.catalog import load_catalog
from scripts.causal.campaign.contrast import parse_fields, unknown_name
from scripts.causal.campaign.schema import Value
from scripts.causal.diagnostics.subject import Subject
from trainers.api import StageKind
from trainers.engine import Weights
from trainers.workbench import WEIGHTS_FILE, Workbench

OWN = "own"  # the quantizer that the run itself is configured with


def quantizers(config: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
    """Name → the fields that it changes in this configuration."""
    known = {
        entry.id: entry.apply(config)
        for entry in load_catalog().values()
        if entry.stage == StageKind.QUANTIZE
    }
    return {OWN: {}, **known}


def chosen_quantizers(
    names: list[str], config: Mapping[str, Value]
) -> dict[str, dict[str, Value]]:
    """The quantizers of these names, or given as ``field=value[,field=value]``; none for all.

    Raises:
        InputError: an unknown name or field.
    """
    known = quantizers(config)
    for name in names:
        if name not in known and "=" not in name:
            raise unknown_name("quantizer", name, known)
    given = {name: known.get(name) for name in names} if names else known
    return {
        name: parse_fields(name, config) if changes is None else changes
        for name, changes in given.items()
    }


def stored(
    subject: Subject, bench: Workbench, changes: Mapping[str, Value]
) -> tuple[int, Weights]:
    """Quantize a checkpoint as a run with these changes would.

    Returns:
        Bytes of the artifact, and the weights that it gives back.

    Raises:
        InputError: the trainer knows no such fields or values, or lacks a library.
        RunFailed: the weights cannot be stored that way.
    """
    spec = replace(subject.spec, config={**subject.spec.config, **changes})
    (plan,) = (plan for plan in subject.trainer.stages(spec) if plan.kind is StageKind.QUANTIZE)
    with tempfile.TemporaryDirectory() as folder:
        exact, output = subject.path.parent, Path(folder, "stored")
        output.mkdir()
        if subject.path.name != WEIGHTS_FILE:  # no stage's folder, where all lies that it left
            exact = Path(folder, "exact")
            exact.mkdir()
            (exact / WEIGHTS_FILE).symlink_to(subject.path.absolute())
        result = subject.trainer.execute(plan, exact, output)
        return round(result.metrics["artifact_bytes"]), bench.stored_weights(output)
