"""A campaign against a loop that starts every arm, and with it every control, as a subprocess."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from engine_overhead import Setting, in_subprocess, own_program

from interventions.catalog import Intervention, load_catalog
from scripts.causal.campaign.contrast import build_contrast, specs_of
from scripts.causal.campaign.executor import InProcessExecutor
from scripts.causal.campaign.ledger import Ledger, open_ledger
from scripts.causal.campaign.schema import Contrast, Platform
from scripts.causal.experiment_runner import run_contrasts
from scripts.causal.files import InputError
from trainers.api import Config
from trainers.gpt.config import gpt_config
from trainers.gpt.run import schedule_of


def chosen(
    place: Setting, backend: str, scale: str, count: int
) -> tuple[list[Contrast], dict[str, str], Platform]:
    """So many contrasts spread evenly over the catalog, matched by steps, however slow they are.

    Only those that differ in training: one that begins later shares even the training run of its
    control, and would flatter the campaign. And only those whose training is another within the
    steps there are: late training on the grid that waits for a learning rate which ten steps
    never reach would be the control over again, or, where it collects curvature, no run at all.
    """
    platform = Platform(
        trainer="gpt", backend=backend, scale=scale, data=place.data, machine="this one"
    )
    found, left_out = list[Contrast](), dict[str, str]()
    for entry in load_catalog().values():
        if entry.stage == "train":
            try:
                contrast = _contrast(place, entry, scale)
            except InputError as error:  # there is no such model at this scale
                left_out[entry.id] = str(error)
                continue
            if _begins(contrast.treatment):
                found.append(contrast)
            else:
                left_out[entry.id] = "its late training on the grid never begins"
    if len(found) < count:
        raise InputError(f"the catalog has {len(found)} contrasts at scale {scale!r}, not {count}")
    picks = np.linspace(0, len(found) - 1, count).round().astype(int)
    return [found[pick] for pick in picks], left_out, platform


def _contrast(place: Setting, entry: Intervention, scale: str) -> Contrast:
    return build_contrast(
        entry, scale, place.trainer, matched_by="steps", control_overrides=place.overrides
    )


def _begins(treatment: Config) -> bool:
    """Whether late training on the grid, if it is asked for, has a step to begin at."""
    schedule = schedule_of(gpt_config(treatment))
    return not schedule.qat_below or len(schedule.quantized_steps()) > 0


def campaign_cost(
    place: Setting,
    backend: str,
    scale: str,
    *,
    interventions: int,
    seeds: Sequence[int],
    sample: int,
) -> dict[str, Any]:
    """Run a campaign in process, a sample of the loop's arms between its parts, and a second one.

    The second campaign shares two thirds of its contrasts with the first.

    Args:
        sample: pairs of the loop that are run; the loop's time is theirs times how many more
            there are.
    """
    new = max(1, interventions // 3)
    contrasts, left_out, platform = chosen(place, backend, scale, interventions + new)
    second = contrasts[new:]
    first = contrasts[:interventions]
    ledger = open_ledger(place.scratch / "campaign" / "ledger.sqlite")
    arms = [specs_of(contrast, seed, platform) for contrast in first for seed in seeds]
    every = max(1, len(arms) // sample)
    sampled = arms[::every][:sample]
    ours, theirs = 0.0, list[float]()
    # In parts, a pair of the loop after each, so that a busy machine slows both alike.
    bounds = np.linspace(0, len(first), len(sampled) + 1).round().astype(int)
    for part, pair in zip(pairwise(bounds), sampled, strict=True):
        ours += _seconds(first[slice(*part)], seeds, platform, place, ledger)
        for number, spec in enumerate(pair):
            folder = place.scratch / f"arm-{len(theirs)}-{number}"
            folder.mkdir()
            theirs.append(in_subprocess(own_program(spec, folder)).whole)
    runs = _runs(ledger)
    again = _seconds(first, seeds, platform, place, ledger)
    runs_again = _runs(ledger) - runs
    more = _seconds(second, seeds, platform, place, ledger)
    result = {
        "backend": backend,
        "scale": scale,
        "steps": place.overrides["iterations"],
        "interventions": interventions,
        "left_out": left_out,
        "seeds": len(seeds),
        "runs": runs,
        "seconds": ours,
        "loop_runs": 2 * len(arms),
        "loop_seconds": float(np.mean(theirs)) * 2 * len(arms),
        "loop_arms_timed": len(theirs),
        "loop_seconds_per_arm": float(np.mean(theirs)),
        "loop_is_extrapolated": len(theirs) < 2 * len(arms),
        "times_fewer_runs": 2 * len(arms) / runs,
        "again_runs": runs_again,
        "again_seconds": again,
        "second_interventions": len(second),
        "second_new_interventions": new,
        "second_runs": _runs(ledger) - runs - runs_again,
        "second_seconds": more,
        "cores": os.cpu_count(),
    }
    result["times_less_wall"] = result["loop_seconds"] / ours
    ledger.close()
    return result


def _seconds(
    contrasts: Sequence[Contrast],
    seeds: Sequence[int],
    platform: Platform,
    place: Setting,
    ledger: Ledger,
) -> float:
    """Run the contrasts with one core of this process."""
    if not contrasts:
        return 0.0
    started = time.perf_counter()
    with InProcessExecutor(place.trainer, ledger) as executor:
        found = run_contrasts(contrasts, seeds, "screen", platform, ledger, executor)
    taken = time.perf_counter() - started
    pairs = [pair for runs in found for pair in runs.pairs]
    failures = {arm.failure for pair in pairs for arm in (pair.control, pair.treatment)}
    if failures != {None}:
        raise RuntimeError(f"runs failed: {failures}")
    return taken


def _runs(ledger: Ledger) -> int:
    return sum(row.kind == "train" for row in ledger.rows())
