"""The real runs behind `benchmarks/statistics.py`: kept in a ledger, so each is computed once.

A reduction of the scale `fast` with a short validation text, of about a second a run on an idle
core. Its effects mean nothing; what is wanted is how its runs scatter over seeds, how the arms of
a contrast go together, and what a change that does nothing does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.engine_overhead import cut
from interventions.catalog import Intervention, load_catalog
from scripts.causal.campaign.contrast import build_contrast
from scripts.causal.campaign.executor import InProcessExecutor
from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.planning import rescaled_schedule
from scripts.causal.campaign.platform import choose_platform
from scripts.causal.campaign.schema import Contrast, ContrastRuns, Platform, Value
from scripts.causal.cli import progress_bar
from scripts.causal.experiment_runner import run_contrasts
from trainers.api import load_trainer
from trainers.data import open_dataset

SCALE, STEPS, BATCH_TOKENS, VAL_TOKENS = "fast", 60, 1024, 16384
CHOSEN = (
    "activation_gelu",
    "activation_leaky_relu_sq",
    "activation_silu",
    "softcap_20",
    "rope_base_1000",
    "qk_gain_4",
    "muon_momentum_0.90",
    "matrix_lr_0.02",
)
NO_OPS = (30.01, 30.02, 29.99, 29.98, 30.03)
"""Of the softcap, 30 in the control: what chaos alone makes of a change that changes nothing."""


@dataclass(frozen=True)
class Bench:
    """Where the runs are computed and kept."""

    ledger: Path
    platform: Platform
    quiet: bool

    def run(self, contrasts: Sequence[Contrast], seeds: Sequence[int]) -> tuple[ContrastRuns, ...]:
        """The contrasts on the seeds, from the ledger where they are known."""
        trainer, store = load_trainer("gpt"), open_ledger(self.ledger)
        try:
            with (
                InProcessExecutor(trainer, store) as executor,
                progress_bar("real runs", quiet=self.quiet) as progress,
            ):
                return run_contrasts(
                    contrasts, seeds, "confirm", self.platform, store, executor, progress
                )
        finally:
            store.close()


def open_bench(ledger: Path, *, quiet: bool) -> Bench:
    """The bench on this machine's CPU, its data prepared."""
    trainer, folder = load_trainer("gpt"), ledger.parent / f"data-{VAL_TOKENS}"
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with progress_bar("data", quiet=quiet) as progress:
        whole = trainer.default_data(progress)
        if not folder.exists():
            cut(open_dataset(Path(whole)), folder, VAL_TOKENS)
        platform = choose_platform(trainer, "cpu", SCALE, data=str(folder), progress=progress)
    return Bench(ledger, platform, quiet)


def _contrast(intervention: Intervention) -> Contrast:
    trainer = load_trainer("gpt")
    shorter: dict[str, Value] = {
        "iterations": STEPS,
        "train_batch_tokens": BATCH_TOKENS,
        "val_tokens": VAL_TOKENS,
        "val_points": 1,
        **rescaled_schedule(trainer.resolve(SCALE, {}), STEPS),
    }
    return build_contrast(
        intervention, SCALE, trainer, matched_by="steps", control_overrides=shorter
    )


def catalog_contrasts() -> list[Contrast]:
    """A few of the catalog's, of several kinds, each as dear as the control."""
    catalog = load_catalog()
    return [_contrast(catalog[name]) for name in CHOSEN]


def no_ops() -> list[Contrast]:
    """Changes that are none: the softcap moved by less than a thousandth."""
    like = load_catalog()["softcap_20"]
    return [
        _contrast(replace(like, id=f"softcap_{value}", set={"logit_softcap": value}))
        for value in NO_OPS
    ]


def scores(runs: Sequence[ContrastRuns]) -> NDArray[np.float64]:
    """Final bpb (seeds, 1 + contrasts): the shared control first, then each treatment.

    Raises:
        KeyError: a run failed.
    """
    control = [pair.control.metrics["val_bpb"] for pair in runs[0].pairs]
    treated = [[pair.treatment.metrics["val_bpb"] for pair in each.pairs] for each in runs]
    return np.array([control, *treated]).T


def twice(bench: Bench, blocks: int, scratch: Path) -> list[ContrastRuns]:
    """Every treatment of the catalog's against itself computed anew, `blocks` times two seeds.

    The kept run is the control, the new one, in a ledger of its own, the treatment.
    """
    other = replace(bench, ledger=scratch / "ledger.sqlite")
    found = []
    for block in range(blocks):
        seeds = (1 + 2 * block, 2 + 2 * block)
        contrasts = [
            each.model_copy(update={"id": f"{each.id} {seeds}", "control": each.treatment})
            for each in catalog_contrasts()
        ]
        for kept, anew in zip(
            bench.run(contrasts, seeds), other.run(contrasts, seeds), strict=True
        ):
            pairs = [
                ours.model_copy(update={"treatment": theirs.treatment})
                for ours, theirs in zip(kept.pairs, anew.pairs, strict=True)
            ]
            found.append(kept.model_copy(update={"pairs": tuple(pairs)}))
    return found
