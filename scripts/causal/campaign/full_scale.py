"""What of a campaign is worth H100s: confirmed contrasts, told to a script, and what to beat."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from interventions.catalog import Intervention
from scripts.causal.campaign.contrast import build_contrast, together, unknown_name
from scripts.causal.campaign.plan import CampaignPlan
from scripts.causal.campaign.published import TRACK, published_prior
from scripts.causal.campaign.schema import (
    AblationResults,
    Contrast,
    ContrastResult,
    VariancePrior,
)
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file
from scripts.causal.leaderboard.schema import Leaderboard, load_leaderboard
from trainers.script import CAP, CAP_SECONDS, ScriptTrainer
from trainers.script_process import command_line

MIN_SEEDS = 3
SCALE = "record"
MAX_BPB = 8.0


@dataclass(frozen=True)
class Target:
    """The score to beat: its runs where several are published, else the one number."""

    name: str
    bpb: tuple[float, ...]


@dataclass(frozen=True)
class Scheme:
    """What is to be run: contrasts told to the script, and what else was decided, with why not.

    `prior` is what the leaderboard's records say of the noise of a paired difference.
    """

    campaign: str
    contrasts: tuple[Contrast, ...]
    passed_over: dict[str, str]
    seeds: tuple[int, ...]
    record: Target
    scale: str = SCALE
    prior: VariancePrior | None = None

    @property
    def seconds(self) -> float:
        """What a run may train for."""
        cap = self.contrasts[0].control.get(CAP)
        return float(cap) if isinstance(cap, int | float) else CAP_SECONDS


def plan_validation(
    folder: Path,
    trainer: ScriptTrainer,
    catalog: Mapping[str, Intervention],
    *,
    seeds: tuple[int, ...],
    record: str | None = None,
    scale: str = SCALE,
) -> Scheme:
    """Tell the script what the campaign confirmed as better.

    The intervention is applied to the script's own defaults, not to the small model's: a width
    that is 0.75 times the control's stays that. Arms are matched by wall time, the script's cap.

    Args:
        folder: the campaign's.
        seeds: none of them the campaign's.
        record: a bpb, a pull request's number, or a submission's id or part of it; None for the
            leaderboard's best.
        scale: a scale of the script trainer.

    Raises:
        InputError: no finished campaign in the folder, nothing confirmed better, nothing that
            the script can be told, seeds that are not fresh, or no such record.
    """
    plan = parse_file(CampaignPlan, folder / "plan.json")
    results = parse_file(AblationResults, folder / "ablation_results.json")
    if len(seeds) < MIN_SEEDS:
        raise InputError(f"{MIN_SEEDS} seeds are the least, but got {len(seeds)}")
    decided_on = {seed for one in results.results for seed in one.seeds_used}
    if used := sorted(set(seeds) & {*plan.screen_seeds, *plan.confirm_seeds, *decided_on}):
        raise InputError(f"seed {used[0]} took part in the campaign", mend="give fresh seeds")
    passed_over = left_behind(results.results)
    better = (one for one in results.results if one.verdict == "confirmed_better")
    confirmed = [one for one in better if one.contrast.id not in passed_over]
    if not confirmed:
        raise InputError(
            "nothing to validate: this campaign has confirmed nothing better", where=folder
        )
    contrasts: list[Contrast] = []
    untold: dict[str, str] = {}
    for name in dict.fromkeys(one.contrast.id for one in confirmed):
        try:
            known = intervention_of(name, catalog)
            contrasts.append(build_contrast(known, scale, trainer, matched_by="steps"))
        except InputError as error:
            untold[name] = str(error)
    if not contrasts:
        told = "; ".join(f"{name}: {why}" for name, why in untold.items())
        raise InputError(f"nothing confirmed can be told to this script: {told}")
    board = load_leaderboard(folder / "interventions.json")
    return Scheme(
        campaign=plan.name,
        contrasts=tuple(contrasts),
        passed_over=untold | passed_over,
        seeds=seeds,
        record=record_to_beat(board, record),
        scale=scale,
        prior=published_prior(board) if scale == SCALE else None,
    )


def left_behind(results: Sequence[ContrastResult]) -> dict[str, str]:
    """What fresh seeds decided that is no improvement in bpb, and so is not worth H100s → why."""
    left: dict[str, str] = {}
    for one in results:
        if one.verdict == "confirmed_better" and not one.contrast.of_bpb:
            left[one.contrast.id] = f"better in its {one.contrast.outcome_words}, not in bpb"
        elif one.phase == "confirm" and one.verdict != "confirmed_better":
            left[one.contrast.id] = f"{one.verdict.replace('_', ' ')} in the campaign"
    return left


def intervention_of(name: str, catalog: Mapping[str, Intervention]) -> Intervention:
    """The catalog's intervention ``id``, or two at once for ``id+id``.

    Raises:
        InputError: not in the catalog.
    """
    first, plus, second = name.partition("+")
    for each in (first, second) if plus else (first,):
        if each not in catalog:
            raise unknown_name("intervention", each, catalog)
    return together(catalog[first], catalog[second]) if plus else catalog[first]


def record_to_beat(leaderboard: Leaderboard, wanted: str | None = None) -> Target:
    """The best merged submission of the ten-minute track, or the one wanted.

    Raises:
        InputError: there is none, or more than one that is meant.
    """
    if wanted is not None and (score := _score(wanted)) is not None:
        return Target(f"a score of {wanted} bpb", (score,))
    scored = [one for one in leaderboard.submissions if one.val_bpb is not None]
    if wanted is None:
        merged = [one for one in scored if one.id.startswith(f"{TRACK}/")]
        if not merged:
            raise InputError(
                f"the leaderboard has no merged submission with a score in {TRACK}",
                mend="give --record, a bpb or a submission's id",
            )
        found = [min(merged, key=lambda one: one.val_bpb or 0.0)]
    elif wanted.isdecimal():
        found = [one for one in scored if int(wanted) in one.pull_requests]
    else:
        found = [one for one in scored if one.id == wanted] or [
            one for one in scored if wanted in one.id
        ]
    if len(found) != 1:
        raise InputError(f"{len(found)} submissions are meant by {wanted!r}", where="--record")
    runs = tuple(seed.val_bpb for seed in found[0].seeds if seed.val_bpb is not None)
    return Target(found[0].id, runs if len(runs) > 1 else (found[0].val_bpb or 0.0,))


def commands(
    scheme: Scheme, trainer: ScriptTrainer, backend: str, paths: Mapping[str, str]
) -> list[tuple[str, str]]:
    """The distinct runs in the order they are started: (what it is, shell command)."""
    listed: dict[str, str] = {}
    for seed in scheme.seeds:
        for contrast in scheme.contrasts:
            for arm, config in (("control", contrast.control), (contrast.id, contrast.treatment)):
                said = {**paths, **trainer.environment(config, seed)}
                line = command_line(said, trainer.command(backend))
                listed.setdefault(line, f"{arm}, seed {seed}")
    return [(what, line) for line, what in listed.items()]


def _score(text: str) -> float | None:
    """A number with a point, as no pull request has."""
    try:
        score = float(text) if "." in text else math.nan
    except ValueError:
        return None
    return score if 0 < score < MAX_BPB else None
