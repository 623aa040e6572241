"""From an intervention to a contrast: two complete configurations and the runs they stand for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from itertools import combinations
from typing import get_args

from interventions.catalog import STAGES, Intervention
from scripts.causal.campaign.schema import Contrast, MatchedBy, Platform, Value
from scripts.causal.files import InputError
from trainers.api import Config, RunSpec, StageKind, Trainer

STEPS = "iterations"
# Points of the schedule that are counted in steps: they stay at the same fraction of the run.
SCHEDULE = ("warmup_iters", "warmdown_iters", "muon_momentum_warmup_steps")
AA_ID = "baseline"


def build_contrast(
    intervention: Intervention,
    scale: str,
    trainer: Trainer,
    matched_by: MatchedBy = "flops",
    reason: str = "",
    control_overrides: Config | None = None,
) -> Contrast:
    """Set the intervention against the control at a scale.

    The treatment is the control with the intervention's fields replaced and nothing else. Only
    when the arms are matched by FLOPs and a step of the treatment costs another amount, its steps
    change so that both arms cost the same, and the schedule's points in proportion. Matched by
    wall time the arms have equal steps still: their clocks have to be read first
    (`wall_time.match_by_wall_time`).

    Args:
        scale: the reduction both arms are resolved at.
        matched_by: what the arms have in common: training FLOPs, steps, or wall time; what the
            intervention itself asks for comes first.
        reason: why the contrast was chosen.
        control_overrides: fields of both arms replaced on top of the scale.

    Raises:
        InputError: the intervention changes nothing here, or makes a configuration that the
            trainer cannot build, or sets the number of steps that matching would change.
    """
    control = trainer.resolve(scale, {**(control_overrides or {}), **intervention.control})
    matched_by = _matching(intervention, matched_by)
    wanted = intervention.apply(control)
    treatment = trainer.resolve(scale, {**control, **wanted})
    changes = {name: value for name, value in treatment.items() if value != control.get(name)}
    if not changes:
        what = ", ".join(f"{name}={control.get(name)!r}" for name in wanted)
        raise InputError(
            f"intervention {intervention.id!r} changes nothing: the control has {what} already"
        )
    if extra := sorted(set(changes) - set(wanted)):
        raise InputError(
            f"intervention {intervention.id!r} would change {extra[0]!r} too, which it does not "
            "name"
        )
    notes = [
        f"{name} is {treatment[name]}, the nearest to {value} that can be built."
        for name, value in wanted.items()
        if treatment[name] != value
    ]
    shared = {n: value for n, value in intervention.control.items() if n not in changes}
    if shared:
        own = ", ".join(f"{name}={value}" for name, value in shared.items())
        notes.insert(0, f"A claim about {own}, which both arms have.")
    if matched_by != "steps" and treatment[STEPS] != control[STEPS]:
        what = "FLOPs" if matched_by == "flops" else "wall time"
        raise InputError(
            f"intervention {intervention.id!r} sets {STEPS!r}, which matching by {what} "
            "would undo",
            mend="match by steps",
        )
    if matched_by == "flops":
        treatment = _match_flops(trainer, scale, control, treatment)
        if treatment[STEPS] != control[STEPS]:
            notes.append(
                f"Matched by FLOPs: {treatment[STEPS]:,} steps against the control's "
                f"{control[STEPS]:,}, the schedule in proportion."
            )
    flops = run_flops(trainer, control)
    if intervention.stage == StageKind.TRAIN:
        flops += run_flops(trainer, treatment)
    return Contrast.model_validate(
        {
            "id": intervention.id,
            "variable": intervention.variable,
            "label": intervention.label,
            "changes": changes,
            "control": control,
            "treatment": treatment,
            "stage": intervention.stage,
            "matched_by": matched_by,
            "flops_per_pair": flops,
            "reason": " ".join(part for part in (reason, *notes) if part),
            "parts": intervention.parts,
            "outcome": intervention.outcome,
        }
    )


def _matching(intervention: Intervention, otherwise: MatchedBy) -> MatchedBy:
    own = (each for each in get_args(MatchedBy) if each == intervention.matched_by)
    return next(own, otherwise)


def together(*changes: Intervention) -> Intervention:
    """Return the intervention that makes all these changes at once, named ``a+b``.

    Its variable is ``v+w``: it speaks of none of them alone.

    Raises:
        InputError: two vary the same variable, change a field that both name, one excludes
            what another varies, or they ask about different controls or outcomes.
    """
    name, first = "+".join(each.id for each in changes), changes[0]
    for one, other in combinations(changes, 2):
        _require_compatible(name, one, other)
    return Intervention(
        id=name,
        variable="+".join(each.variable for each in changes),
        label=" with ".join(each.label for each in changes),
        stage=min((each.stage for each in changes), key=STAGES.index),
        set={field: value for each in changes for field, value in each.set.items()},
        multiply={field: value for each in changes for field, value in each.multiply.items()},
        add={field: value for each in changes for field, value in each.add.items()},
        parts=tuple(each.id for each in changes),
        control=first.control,
        outcome=first.outcome,
        matched_by=first.matched_by,
    )


def _require_compatible(name: str, one: Intervention, other: Intervention) -> None:
    if one.variable == other.variable:
        raise InputError(f"intervention {name!r} would vary {one.variable!r} twice")
    asked = [(each.control, each.outcome, each.matched_by) for each in (one, other)]
    if asked[0] != asked[1]:
        raise InputError(
            f"intervention {name!r} cannot be made: its changes ask about different controls, "
            "outcomes or matchings"
        )
    fields = [{*each.set, *each.multiply, *each.add} for each in (one, other)]
    if twice := sorted(fields[0] & fields[1]):
        raise InputError(f"intervention {name!r} would change {twice[0]!r} twice")
    for first, second, changed in ((one, other, fields[1]), (other, one, fields[0])):
        if barred := sorted({second.variable, *changed}.intersection(first.excludes)):
            raise InputError(
                f"intervention {name!r} cannot be made: {first.id!r} excludes {barred[0]!r}, "
                f"which {second.id!r} changes"
            )


def aa_contrast(
    scale: str, trainer: Trainer, reason: str = "", control_overrides: Config | None = None
) -> Contrast:
    """The control against itself: every difference must come out as exactly 0."""
    control = trainer.resolve(scale, control_overrides or {})
    return Contrast(
        id=AA_ID,
        variable=AA_ID,
        label="control against itself",
        changes={},
        control=control,
        treatment=control,
        stage="train",
        matched_by="flops",
        flops_per_pair=run_flops(trainer, control),
        reason=reason or "A/A: both arms are the same run.",
    )


def specs_of(contrast: Contrast, seed: int, platform: Platform) -> tuple[RunSpec, RunSpec]:
    """The runs of control and treatment at one seed."""
    control, treatment = (
        RunSpec(
            trainer=platform.trainer,
            backend=platform.backend,
            scale=platform.scale,
            config=config,
            seed=seed,
            data=platform.data,
        )
        for config in (contrast.control, contrast.treatment)
    )
    return control, treatment


def run_flops(trainer: Trainer, config: Config) -> float:
    """Training FLOPs of one run of a configuration; 0 where the trainer cannot tell."""
    return trainer.flops_per_step(config) * float(config.get(STEPS, 0))


def first_difference(trainer: Trainer, control: RunSpec, treatment: RunSpec) -> StageKind | None:
    """The first stage in which two runs differ; None when they are the same run."""
    for ours, theirs in zip(trainer.stages(control), trainer.stages(treatment), strict=False):
        if ours.key != theirs.key:
            return theirs.kind
    return None


def parse_fields(text: str, known: Config) -> dict[str, Value]:
    """Read ``field=value[,field=value]`` into values of the types that the fields have.

    Args:
        text: what the user gave.
        known: a resolved configuration, for its fields and their types.

    Raises:
        InputError: not of that form, an unknown field, one given twice, or a value that is not
            of its field's type.
    """
    values: dict[str, Value] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not value:
            raise InputError(f"expected field=value[,field=value], but got {text!r}")
        if name not in known:
            raise unknown_name("field", name, known)
        if name in values:
            raise InputError(f"field {name!r} is given twice in {text!r}")
        values[name] = _parse_value(name, value, known[name])
    return values


def unknown_name(what: str, name: str, known: Mapping[str, object]) -> InputError:
    """The error for a name that is not among the known ones, with those that look like it."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)
    return InputError(f"unknown {what} {name!r}", mend=f"known: {', '.join(close)}")


def _parse_value(name: str, text: str, example: Value) -> Value:
    try:
        if isinstance(example, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(example, int):
            return int(text)
        if isinstance(example, float):
            return float(text)
    except (KeyError, ValueError):
        words = {bool: "true or false", int: "a whole number", float: "a number"}
        raise InputError(
            f"field {name!r} must be {words[type(example)]}, but got {text!r}"
        ) from None
    return text


def with_equal_cost(
    trainer: Trainer,
    scale: str,
    control: Config,
    treatment: Config,
    costs: tuple[float, float],
) -> dict[str, Value]:
    """The treatment with as many steps as cost what the control's do.

    The schedule's points that both arms share stay at the same fraction of the run.

    Args:
        costs: of one step of control and treatment, in one unit; above 0.
    """
    ours, theirs = costs
    budget = int(control[STEPS])
    steps = max(1, round(budget * ours / theirs))
    if steps == budget:
        return dict(treatment)
    in_proportion = {
        name: round(int(treatment[name]) * steps / budget)
        for name in SCHEDULE
        if name in treatment and treatment[name] == control[name]
    }
    return trainer.resolve(scale, {**treatment, STEPS: steps, **in_proportion})


def _match_flops(
    trainer: Trainer, scale: str, control: Config, treatment: Config
) -> dict[str, Value]:
    costs = trainer.flops_per_step(control), trainer.flops_per_step(treatment)
    if not all(costs):
        raise InputError(
            f"trainer {trainer.name!r} cannot tell the FLOPs of a step", mend="match by steps"
        )
    return with_equal_cost(trainer, scale, control, treatment, costs)
