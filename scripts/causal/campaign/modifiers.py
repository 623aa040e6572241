"""One contrast run in several settings: what differs between them, and whether its effect does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from scripts.causal.campaign.contrast import SCHEDULE, STEPS
from scripts.causal.campaign.measured import Measured, measure
from scripts.causal.campaign.schema import Interval, RawRuns, Value
from scripts.causal.files import InputError
from scripts.causal.forms import Record
from scripts.causal.stats import moderated, modifiers, paired
from scripts.causal.stats.family import holm
from scripts.causal.stats.moderated import Prior
from trainers.data import TRAIN_SHARDS
from trainers.shards import read_shard

Kind = Literal["scale", "data repetition", "horizon", "data", "backend", "another intervention"]
DATA_LIMIT = "train_data_tokens"
LOOKS = ("val_tokens", "val_points")
WORDS: dict[modifiers.Answer, str] = {
    "turns": "the effect turns round",
    "depends": "the effect depends on it",
    "same": "the effect is the same",
    "cannot_tell": "whether the effect depends on it cannot be told",
}


class Setting(Record):
    """Where a contrast was run.

    Attributes:
        file: the raw runs it was read from.
        epochs: how often the control went through its training data; None where unknown.
        effect: mean paired difference in val_bpb there, with its interval, on these seeds.
    """

    file: str
    scale: str
    parameters: float | None
    tokens_per_parameter: float | None
    epochs: float | None
    effect: float
    interval: Interval | None
    seeds: tuple[int, ...]


class Modifier(Record):
    """One contrast in two settings.

    Attributes:
        differs: kind of what differs → the two values, in words.
        difference: effect in the second setting minus effect in the first, bpb.
        p, p_equivalence: raw; adjusted by Holm over the file.
    """

    contrast: str
    label: str
    first: Setting
    second: Setting
    differs: dict[Kind, str]
    difference: float
    interval: Interval | None
    p: float | None
    p_adjusted: float | None
    p_equivalence: float | None
    p_equivalence_adjusted: float | None
    answer: modifiers.Answer
    words: str


class ModifierReport(Record):
    """``modifiers.json``: which effects depend on their setting."""

    schema_version: Literal[1] = 1
    alpha: float
    mde: float
    modifiers: tuple[Modifier, ...]


def find_modifiers(
    files: Sequence[tuple[str, RawRuns]],
    *,
    alpha: float,
    mde: float,
    prior: Prior | None = None,
) -> ModifierReport:
    """Compare every contrast's effect in each later file with that in the first that has it.

    Only confirmation seeds count. All comparisons are one family under Holm.

    Args:
        files: name and raw runs.
        mde: smallest difference of effects that matters, bpb.
        prior: variance that the contrasts borrow, in every setting alike.

    Raises:
        InputError: alpha or MDE out of range, or no contrast is in two files.
    """
    if not 0 < alpha < 1 or not mde > 0:
        raise InputError(f"0 < alpha < 1 and mde > 0 must hold, got {alpha} and {mde}")
    first: dict[str, tuple[str, RawRuns, Measured]] = {}
    found = []
    for name, raw in files:
        for runs in raw.runs:
            if runs.phase != "confirm" or (there := measure(runs)).estimate is None:
                continue
            here = name, raw, there
            before = first.setdefault(runs.contrast.id, here)
            if before is not here:
                found.append((before, here))
    if not found:
        raise InputError(
            "no contrast has results on confirmation seeds in two of the files",
            mend="run one contrast in two settings with experiment_runner.py",
        )
    estimates = [tuple(_estimate(there, prior) for _, _, there in pair) for pair in found]
    compared = [modifiers.compare(one, other, mde) for one, other in estimates]
    adjusted = holm([each.p for each in compared])
    alike = holm([each.p_equivalence for each in compared])
    results = []
    for places, (one, other), comparison, p, p_same in zip(
        found, estimates, compared, adjusted, alike, strict=True
    ):
        answer = modifiers.answer(
            one, other, p_adjusted=p, p_equivalence_adjusted=p_same, alpha=alpha
        )
        settings = [
            _setting(place, each, alpha) for place, each in zip(places, (one, other), strict=True)
        ]
        differs = _differences(places[0], places[1], settings)
        band = _interval(comparison.difference, alpha)
        contrast = places[0][2].contrast
        results.append(
            Modifier(
                contrast=contrast.id,
                label=contrast.label,
                first=settings[0],
                second=settings[1],
                differs=differs,
                difference=comparison.difference.mean,
                interval=band,
                p=comparison.p,
                p_adjusted=p,
                p_equivalence=comparison.p_equivalence,
                p_equivalence_adjusted=p_same,
                answer=answer,
                words=_words(contrast.label, answer, differs, settings),
            )
        )
    return ModifierReport(alpha=alpha, mde=mde, modifiers=tuple(results))


def _estimate(measured: Measured, prior: Prior | None) -> paired.Estimate:
    estimate = paired.plain_estimate(measured.differences)
    if measured.contrast.stage != "train" or not estimate.testable:
        return estimate
    return moderated.moderate(estimate, prior)


def _interval(estimate: paired.Estimate, alpha: float) -> Interval | None:
    band = paired.interval(estimate, 1 - alpha)
    return band and Interval(level=1 - alpha, low=band[0], high=band[1])


def _setting(
    place: tuple[str, RawRuns, Measured], estimate: paired.Estimate, alpha: float
) -> Setting:
    name, raw, measured = place
    size = measured.control_size
    return Setting(
        file=name,
        scale=raw.platform.scale,
        parameters=size and size[0],
        tokens_per_parameter=size and size[1],
        epochs=_epochs(raw.platform.data, measured),
        effect=estimate.mean,
        interval=_interval(estimate, alpha),
        seeds=tuple(pair.seed for pair in measured.pairs),
    )


def _epochs(data: str, measured: Measured) -> float | None:
    """Passes of the control over its training data; None where the data are not here."""
    seen = measured.pairs[0].control.metrics.get("tokens")
    limit = measured.contrast.control.get(DATA_LIMIT, 0)
    shards = sorted(Path(data).glob(TRAIN_SHARDS))
    held = sum(len(read_shard(path)) for path in shards)
    if isinstance(limit, int | float) and limit:
        held = min(held, int(limit)) if held else int(limit)
    return seen / held if seen and held else None


def _differences(
    one: tuple[str, RawRuns, Measured],
    other: tuple[str, RawRuns, Measured],
    settings: Sequence[Setting],
) -> dict[Kind, str]:
    """What differs between the two settings, by kind."""
    (_, first, here), (_, second, there) = one, other
    control, changed = here.contrast.control, there.contrast.control
    fields = {
        name: f"{_value(control.get(name))} → {_value(changed.get(name))}"
        for name in sorted({*control, *changed} - {*LOOKS, *here.contrast.changes})
        if control.get(name) != changed.get(name)
    }
    differs: dict[Kind, str] = {}
    if first.platform.scale != second.platform.scale:
        differs["scale"] = f"{_size(settings[0])} → {_size(settings[1])}"
        # A scale is all of these at once: they are not another intervention each.
        fields = {name: words for name, words in fields.items() if name == DATA_LIMIT}
    if fields.pop(DATA_LIMIT, None):
        differs["data repetition"] = " → ".join(_passes(each.epochs) for each in settings)
    horizon = [fields.pop(name) for name in (STEPS, *SCHEDULE) if name in fields]
    if horizon:
        differs["horizon"] = f"{horizon[0]} steps"
    if fields:
        differs["another intervention"] = ", ".join(f"{n}: {w}" for n, w in fields.items())
    if first.platform.data != second.platform.data:
        differs["data"] = f"{first.platform.data} → {second.platform.data}"
    if first.platform.backend != second.platform.backend:
        differs["backend"] = f"{first.platform.backend} → {second.platform.backend}"
    return differs


def _value(value: Value | None) -> str:
    return "not set" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _size(setting: Setting) -> str:
    if setting.parameters is None or setting.tokens_per_parameter is None:
        return setting.scale
    return (
        f"{setting.scale} ({setting.parameters:,.0f} parameters, "
        f"{setting.tokens_per_parameter:.3g} tokens each)"
    )


def _passes(epochs: float | None) -> str:
    return "unknown" if epochs is None else f"{epochs:.2g} epochs"


def _words(
    label: str,
    answer: modifiers.Answer,
    differs: dict[Kind, str],
    settings: Sequence[Setting],
) -> str:
    what = "; ".join(f"{kind} ({values})" for kind, values in differs.items())
    effects = (
        f"{settings[0].effect:+.5f} bpb in the first, {settings[1].effect:+.5f} in the second"
    )
    if not differs:
        return f"{label}, run twice in one setting: {effects}; {WORDS[answer]}."
    several = (
        "; more than one thing differs, so it is not told which it is" if len(differs) > 1 else ""
    )
    return f"{label} under another {what}: {WORDS[answer]} ({effects}){several}."
