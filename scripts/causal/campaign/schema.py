"""The forms of a campaign's files: the contrasts chosen, their raw runs, and the verdicts."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from interventions.catalog import BPB
from scripts.causal.forms import Record

Value = bool | int | float | str
Phase = Literal["screen", "confirm"]
MatchedBy = Literal["flops", "steps", "wall_time"]
Verdict = Literal[
    "confirmed_better",
    "confirmed_worse",
    "equivalent",
    "inconclusive",
    "screened_out",
    "failed",
]


class Contrast(Record):
    """A treatment against a control: full configurations that differ in the fields named.

    Attributes:
        id: catalog id of the intervention; ``a+b`` where two are made together.
        variable: vocabulary id of the variable that is varied; ``v+w`` where two are.
        label: a few words for people.
        changes: field → value in the treatment.
        control: the control's complete configuration.
        treatment: the treatment's complete configuration.
        stage: first stage of a run that differs between the arms.
        matched_by: what the arms have in common: flops or wall_time (a dearer or slower step
            means fewer steps), or steps.
        flops_per_pair: training FLOPs of one seed of both arms, shared stages counted once.
        reason: why it was chosen, in words.
        step_seconds: measured duration of a training step of control and treatment, where the
            arms are matched by it.
        parts: ids of the changes made together, where it makes several.
        outcome: the metric that its effect is a difference of, in bpb, lower is better.
    """

    id: str
    variable: str
    label: str
    changes: dict[str, Value]
    control: dict[str, Value]
    treatment: dict[str, Value]
    stage: Literal["train", "average", "quantize", "evaluate"]
    matched_by: MatchedBy
    flops_per_pair: float
    reason: str
    step_seconds: tuple[float, float] | None = None
    parts: tuple[str, ...] = ()
    outcome: str = BPB

    @property
    def of_bpb(self) -> bool:
        """Whether it asks what everything else asks: by how much validation bpb changes."""
        return self.outcome == BPB

    @property
    def outcome_words(self) -> str:
        """What its effect is a difference of."""
        return "validation bpb" if self.of_bpb else self.outcome.replace("_", " ")


class Precision(Record):
    """What a cycle's confirmation can show, told before any of its runs.

    Attributes:
        sd, df: expected standard deviation in bpb of one paired difference, and the degrees of
            freedom that the test will have.
        pairs: fresh seeds of a contrast that is not decided earlier.
        alpha: two-sided level of Holm's hardest step, at the last look.
        power: chance of confirming a true effect of the campaign's MDE.
        detectable: true effect in bpb that is confirmed with a chance of 80 %.
        origin: where `sd` comes from.
    """

    sd: float
    df: float
    pairs: int
    alpha: float
    power: float
    detectable: float
    origin: str


class Selection(Record):
    """``selection.json``: the contrasts of a cycle in the order of their worth."""

    schema_version: Literal[1] = 1
    cycle: int
    contrasts: tuple[Contrast, ...]
    passed_over: dict[str, str] = {}
    precision: Precision | None = None


class Platform(Record):
    """Where the runs of a file were computed."""

    trainer: str
    backend: str
    scale: str
    data: str
    machine: str


class ArmRun(Record):
    """One arm at one seed, as the ledger has it.

    Attributes:
        key: key of the run's last stage.
        metrics: val_bpb (the final one), post_quant_bpb and pre_quant_bpb (of the plain
            evaluation), artifact_bytes, parameters, tokens, flops, seconds; empty when the run
            failed.
        curves: step, train_loss; val_step, val_tokens, val_bpb.
        failure: why the run has no result, in words.
    """

    key: str
    metrics: dict[str, float] = {}
    curves: dict[str, list[float]] = {}
    failure: str | None = None


class Pair(Record):
    """Control and treatment of one contrast at one seed."""

    seed: int
    control: ArmRun
    treatment: ArmRun


class ContrastRuns(Record):
    """All pairs of one contrast in one phase."""

    contrast: Contrast
    phase: Phase
    pairs: tuple[Pair, ...]


class FactorialRuns(Record):
    """A screen of many changes at once.

    Attributes:
        factors: the changes, each as the contrast it is by itself.
        levels: for each mirrored pair of runs the factors that its treatment makes (1) and does
            not (0); its control does the opposite.
        runs: the mirrored pairs, in the order of `levels`.
    """

    factors: tuple[Contrast, ...]
    levels: tuple[tuple[int, ...], ...]
    runs: tuple[ContrastRuns, ...]

    @model_validator(mode="after")
    def _fits(self) -> FactorialRuns:
        sizes = {len(row) for row in self.levels}
        if len(self.levels) != len(self.runs) or sizes != {len(self.factors)}:
            raise ValueError("levels must have a row for each pair and a column for each factor")
        if any(level not in (0, 1) for row in self.levels for level in row):
            raise ValueError("a level must be 0 or 1")
        return self


class RawRuns(Record):
    """``raw_runs.json``: everything one cycle (or one experiment_runner call) ran.

    Attributes:
        parts: runs of single changes on the seeds of a pair, for what the two do to each other;
            not contrasts of the cycle.
        factorial: the screen of several changes at once, where there was one.
        looks: how many of its fresh seeds a contrast has at each planned look, the last one all;
            empty for a single look at the end. One that was clear at a look has no later seeds.
    """

    schema_version: Literal[1] = 1
    cycle: int
    platform: Platform
    screen_seeds: tuple[int, ...]
    confirm_seeds: tuple[int, ...]
    runs: tuple[ContrastRuns, ...]
    parts: tuple[ContrastRuns, ...] = ()
    factorial: FactorialRuns | None = None
    looks: tuple[int, ...] = ()


class Interval(Record):
    """A two-sided interval at the stated level."""

    level: float
    low: float
    high: float


class StageEffects(Record):
    """A difference in bpb split by the stage it arises in; the parts add up to it.

    Attributes:
        training: of the weights that are quantized, averaging included.
        quantization: what rounding them adds.
        evaluation: what the way of evaluating adds (sliding window, test-time training).
    """

    training: float
    quantization: float
    evaluation: float = 0.0


class Course(Record):
    """An effect along a run: mean over seeds and its band at each point, and where it heads.

    Attributes:
        low, high: of the band; empty below two seeds.
        horizon: the effect drawn to `stats.trend.HORIZON` × the run's tokens, with its band.
    """

    effect: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    trend: Literal["steady", "may_flip", "unknown"]
    horizon: tuple[float, float, float] | None = None


class EffectCourses(Record):
    """An effect against training tokens, split by stage on the validation subset.

    Attributes:
        tokens: of the control; `tokens_per_parameter` where its size is known.
        level: of the bands.
        outcome: after int8 where the runs were looked at so, else as `training`.
        training: of the weights as trained.
        quantization: what rounding them adds.
    """

    tokens: tuple[float, ...]
    tokens_per_parameter: tuple[float, ...] = ()
    level: float
    outcome: Course
    training: Course
    quantization: Course | None = None


class CarryRule(Record):
    """A rule of `scripts.causal.stats.carry` as it came out."""

    name: str
    holds: bool
    words: str


class CarryOver(Record):
    """Whether the sign of an effect is claimed of full scale.

    Attributes:
        direction: what is claimed; None is silence.
        rules: every rule with its figures.
        words: the decision and its reasons in a sentence.
    """

    direction: Literal["better", "worse"] | None
    rules: tuple[CarryRule, ...]
    words: str


class ScaleTransfer(Record):
    """How effects at one scale were found to carry over to another.

    Attributes:
        coefficient: effect there per unit of effect here, with its interval at `level`; a bound
            is None where the effects do not bound it.
        spread: sd of single contrasts about the line, bpb.
        same_sign: how many of the `contrasts` have one sign at both.
    """

    here: str
    there: str
    coefficient: float
    low: float | None
    high: float | None
    level: float
    spread: float
    contrasts: int
    same_sign: int
    words: str


class MainEffect(Record):
    """What a factorial screen says of one change, on average over the other changes, in bpb.

    Attributes:
        interval: by least squares with the seed as block.
        runs: of the whole screen.
        changes: that it screens.
        resolution: IV: clear of interactions of two changes, not of three.
    """

    effect: float
    standard_error: float
    df: float
    interval: Interval | None
    runs: int
    changes: int
    resolution: str


class InteractionResult(Record):
    """Whether two changes made together do what they do apart, added up.

    Attributes:
        alone: mean effect of each of the contrast's parts by itself, bpb, on the same seeds.
        effect: what both bring beyond the sum of the two, bpb; below 0 they reinforce each other.
        interval: of the moderated t at the family's confidence.
        p, p_equivalence: raw; adjusted by Holm within the cycle's interactions.
        sd, df: of one seed's interaction, moderated.
        seeds: those at which all four runs have a result.
    """

    alone: tuple[float, float]
    effect: float
    interval: Interval | None
    p: float | None
    p_adjusted: float | None
    p_equivalence: float | None
    p_equivalence_adjusted: float | None
    sd: float
    df: float
    seeds: tuple[int, ...]
    answer: Literal["reinforce", "hinder", "add_up", "cannot_tell"]
    words: str


class ContrastResult(Record):
    """The verdict on one contrast with all it rests on.

    Attributes:
        effect: mean paired difference in val_bpb on the seeds of `phase`, treatment minus
            control; None when no pair is complete.
        interval: of the moderated paired t at the family's confidence; where looks are planned,
            at the level of the last one taken (a repeated interval, which covers at the stated
            confidence whatever made the contrast stop).
        p_moderated, p_plain, p_sign_flip: two-sided raw p-values; None where undefined.
        p_adjusted: Holm-adjusted within the cycle's confirmatory family: p_moderated, or with
            several looks the sequential p-value that they give together.
        p_equivalence: TOST p-value against ±mde.
        p_equivalence_adjusted: Holm-adjusted p_equivalence, the one a verdict rests on.
        df, sd: degrees of freedom and standard deviation of the moderated test.
        power: probability of confirming a true effect of size mde at this many seeds.
        detectable: true effect in bpb that these seeds confirm with a chance of 80 %.
        looks_taken, looks_planned: how many of the planned looks decided it.
        seeds_used, seeds_discarded: seeds of `phase`; discarded ones with the reason.
        screen_effect: mean paired difference on the screening seeds.
        correlation: measured correlation of the arms over seeds; None below 3 pairs.
        trend: the effect against training tokens points towards zero fast enough that it
            may change sign with longer training.
        transfer: what the verdict does and does not say about full scale, in words.
        courses: the effect along the run, by stage.
        carry: whether its sign is claimed of full scale, by which rules.
        interaction: of a pair whose two changes were run alone on the same seeds.
        main_effect: of a change that was screened together with others.
    """

    contrast: Contrast
    cycle: int
    verdict: Verdict
    phase: Phase
    effect: float | None
    interval: Interval | None
    p_moderated: float | None
    p_plain: float | None
    p_sign_flip: float | None
    p_adjusted: float | None
    p_equivalence: float | None
    df: float | None
    sd: float | None
    power: float | None
    mde: float
    seeds_used: tuple[int, ...]
    seeds_discarded: dict[int, str]
    screen_effect: float | None
    stage_effects: StageEffects | None
    correlation: float | None
    trend: Literal["steady", "may_flip", "unknown"]
    transfer: str
    words: str
    p_equivalence_adjusted: float | None = None
    courses: EffectCourses | None = None
    carry: CarryOver | None = None
    interaction: InteractionResult | None = None
    main_effect: MainEffect | None = None
    detectable: float | None = None
    looks_taken: int = 1
    looks_planned: int = 1


class VariancePrior(Record):
    """What the moderated t borrows: variance `scale`² with `df` degrees of freedom.

    Attributes:
        pooled: root of the lenders' mean variance, what a difference is expected to scatter by.
            With few `df`, `scale` lies well below it: that is how the inverse chi-square, which
            allows for some far noisier contrasts, is scaled.
    """

    scale: float
    df: float
    origin: str
    pooled: float | None = None


class AblationResults(Record):
    """``ablation_results.json``: verdicts of one cycle or of a whole campaign.

    Attributes:
        correlation: of the arms over seeds, pooled over the contrasts that differ in training;
            `correlation_df` degrees of freedom. Pairing spares this share of the variance.
    """

    schema_version: Literal[1] = 1
    alpha: float
    alpha_spent: float
    alpha_left: float
    mde: float
    platform: Platform
    prior: VariancePrior | None
    results: tuple[ContrastResult, ...]
    transfers: tuple[ScaleTransfer, ...] = ()
    correlation: float | None = None
    correlation_df: int = 0
