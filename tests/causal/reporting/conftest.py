"""A believable finished campaign, written out by hand: no number in it was measured."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from scripts.causal.campaign.plan import CampaignPlan
from scripts.causal.campaign.schema import (
    AblationResults,
    ArmRun,
    Contrast,
    ContrastResult,
    ContrastRuns,
    Interval,
    Pair,
    Phase,
    Platform,
    RawRuns,
    Selection,
    StageEffects,
    VariancePrior,
    Verdict,
)
from scripts.causal.forms import write_file
from scripts.causal.graph.schema import (
    CausalDag,
    DagDiff,
    Edge,
    EdgeChange,
    Estimate,
    FciSettings,
    Identifiability,
    IdentifiabilityReport,
    Node,
    SetAside,
    Tag,
)
from scripts.causal.leaderboard.schema import Ablation, Leaderboard, Source, Submission

MDE = 0.004
PLATFORM = Platform(
    trainer="gpt",
    backend="torch-cpu-float32",
    scale="fast",
    data="embedded docstrings, 1024-piece BPE, 3f9c2a",
    machine="Linux x86_64, 2 cores",
)
BASE: dict[str, bool | int | float | str] = {
    "activation": "relu_sq",
    "num_layers": 3,
    "model_dim": 128,
    "logit_softcap": 30.0,
}
SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 220" width="900" height="220">
<g font-family="sans-serif" font-size="15" text-anchor="middle">
<text x="85" y="115">activation</text><text x="445" y="115">num_layers</text>
<text x="805" y="115">val_bpb</text>
<path d="M510 110H735M150 100C350 20 600 20 735 100" fill="none" stroke="#555"/></g></svg>
"""


def contrast(
    name: str, variable: str, label: str, changes: dict[str, bool | int | float | str]
) -> Contrast:
    return Contrast(
        id=name,
        variable=variable,
        label=label,
        changes=changes,
        control=dict(BASE),
        treatment={**BASE, **changes},
        stage="train",
        matched_by="flops",
        flops_per_pair=3.1e13,
        reason="Reported gains disagree in sign, and the data cannot tell it from depth.",
    )


CONTRASTS = {
    "leaky": contrast(
        "activation_leaky_relu_sq",
        "activation",
        "LeakyReLU(0.5)²",
        {"activation": "leaky_relu_sq"},
    ),
    "layers": contrast("num_layers_plus_2", "num_layers", "two more layers", {"num_layers": 5}),
    "softcap": contrast(
        "logit_softcap_50", "logit_softcap", "softcap 50", {"logit_softcap": 50.0}
    ),
    "sin": contrast("activation_sin", "activation", "sin", {"activation": "sin"}),
    "silu": contrast("activation_silu", "activation", "SiLU", {"activation": "silu"}),
    "wide": contrast("model_dim_x1_25", "model_dim", "width × 1.25", {"model_dim": 160}),
}


def arm(name: str, seed: int, shift: float) -> ArmRun:
    """A run whose curve falls smoothly; `shift` is what the arm adds in the end."""
    wobble = 0.003 * ((seed * 7) % 5 - 2)
    tokens = [float(131_072 * step) for step in range(0, 41, 4)]
    fall = [2.1 + 2.4 * 0.86 ** (i * 3) + wobble for i in range(11)]
    bpb = [value + shift * i / 10 for i, value in enumerate(fall)]
    steps = [float(step) for step in range(0, 640, 16)]
    return ArmRun(
        key=f"{name}-{seed}",
        metrics={
            "val_bpb": bpb[-1] + 0.004,
            "pre_quant_bpb": bpb[-1],
            "artifact_bytes": 412_113.0,
            "parameters": 262_144.0,
            "tokens": 5_242_880.0,
            "flops": 8.2e12,
            "seconds": 21.4,
        },
        curves={
            "step": steps,
            "train_loss": [4.1 + 2.8 * 0.9 ** (s / 12) + wobble for s in steps],
            "val_step": [float(64 * i) for i in range(11)],
            "val_tokens": tokens,
            "val_bpb": bpb,
        },
    )


def contrast_runs(name: str, phase: Phase, seeds: tuple[int, ...], shift: float) -> ContrastRuns:
    pairs = tuple(
        Pair(
            seed=seed,
            control=arm("control", seed, 0.0),
            treatment=arm(name, seed, shift + 0.0006 * (seed % 3 - 1)),
        )
        for seed in seeds
    )
    return ContrastRuns(contrast=CONTRASTS[name], phase=phase, pairs=pairs)


def failed_runs(name: str, seed: int) -> ContrastRuns:
    broken = ArmRun(key=f"{name}-{seed}", failure="loss is not finite at step 41")
    pair = Pair(seed=seed, control=arm("control", seed, 0.0), treatment=broken)
    return ContrastRuns(contrast=CONTRASTS[name], phase="screen", pairs=(pair,))


def result(name: str, verdict: Verdict, effect: float, words: str) -> ContrastResult:
    return ContrastResult(
        contrast=CONTRASTS[name],
        cycle=1,
        verdict=verdict,
        phase="confirm",
        effect=effect,
        interval=Interval(level=0.9833, low=effect - 0.0031, high=effect + 0.0031),
        p_moderated=0.0004 if abs(effect) > 0.005 else 0.412,
        p_plain=0.018,
        p_sign_flip=0.25,
        p_adjusted=0.0012 if abs(effect) > 0.005 else 0.824,
        p_equivalence=0.0021 if abs(effect) < 0.001 else 0.44,
        p_equivalence_adjusted=0.0042 if abs(effect) < 0.001 else 0.88,
        df=11.3,
        sd=0.0018,
        power=0.86,
        mde=MDE,
        seeds_used=(11, 12, 13),
        seeds_discarded={},
        screen_effect=effect * 1.3,
        stage_effects=StageEffects(training=effect * 0.9, quantization=effect * 0.1),
        correlation=0.74,
        trend="steady",
        transfer="Small and full scale have not been compared for this change, so its full-scale "
        "effect cannot be told.",
        words=words,
    )


def build_results() -> AblationResults:
    good = result(
        "leaky",
        "confirmed_better",
        -0.0127,
        "Lowers validation bpb by 0.0127 on three fresh seeds; luck of this size is rare "
        "(adjusted p 0.001).",
    )
    bad = result(
        "sin",
        "confirmed_worse",
        0.0214,
        "Raises validation bpb by 0.0214 on three fresh seeds (adjusted p 0.001).",
    ).model_copy(update={"trend": "may_flip"})
    flat = result(
        "softcap",
        "equivalent",
        0.0003,
        "Makes no difference of 0.004 bpb or more: the effect is 0.0003, and the equivalence "
        "test excludes anything larger.",
    )
    unclear = result(
        "layers",
        "inconclusive",
        -0.0038,
        "The difference of −0.0038 bpb may be luck: its interval reaches from −0.0069 to −0.0007.",
    ).model_copy(
        update={
            "power": 0.41,
            "seeds_used": (11, 13),
            "seeds_discarded": {12: "treatment diverged at step 212"},
        }
    )
    screened = result("silu", "screened_out", 0.0066, "").model_copy(
        update={
            "phase": "screen",
            "p_adjusted": None,
            "p_equivalence": None,
            "p_equivalence_adjusted": None,
            "power": None,
            "seeds_used": (1, 2),
            "trend": "unknown",
            "stage_effects": None,
            "words": "Worse by 0.0066 bpb in screening, so not taken to fresh seeds.",
        }
    )
    undefined = """effect interval p_moderated p_plain p_sign_flip p_adjusted p_equivalence
        p_equivalence_adjusted df sd power screen_effect stage_effects correlation"""
    failed = screened.model_copy(
        update={
            **dict.fromkeys(undefined.split()),
            "contrast": CONTRASTS["wide"],
            "verdict": "failed",
            "seeds_used": (),
            "seeds_discarded": {1: "loss is not finite at step 41"},
            "words": "No seed gave a result in both arms.",
        }
    )
    return AblationResults(
        alpha=0.05,
        alpha_spent=0.0125,
        alpha_left=0.0375,
        mde=MDE,
        platform=PLATFORM,
        prior=VariancePrior(scale=0.0021, df=9.5, origin="the contrasts of this campaign"),
        results=(unclear, bad, flat, failed, good, screened),
    )


def build_dag() -> CausalDag:
    def edge(source: str, tag: Tag, frequency: float | None, *estimates: Estimate) -> Edge:
        expert = tag == "expert_imposed"
        return Edge(
            source=source,
            target="val_bpb",
            source_mark="circle",
            target_mark="arrow",
            origin="expert" if expert else "data",
            tag=tag,
            frequency=frequency,
            estimates=estimates,
            note="every submission has the same value" if expert else "",
        )

    reported = Estimate(
        source="reported",
        before="relu_sq",
        after="leaky_relu_sq",
        effect=-0.0031,
        low=-0.0048,
        high=-0.0014,
        n=4,
    )
    observed = Estimate(
        source="observed",
        before=9,
        after=10,
        effect=-0.0089,
        low=-0.0212,
        high=0.0034,
        n=17,
        detail="on a line, adjusted for date",
    )
    names = ("activation", "num_layers", "model_dim", "logit_softcap", "val_bpb")
    return CausalDag(
        outcome="val_bpb",
        nodes=tuple(
            Node(id=n, label=n.replace("_", " "), kind="numeric", group="architecture", tier=1)
            for n in names
        ),
        edges=(
            edge("activation", "data_confirmed", 0.71, reported),
            edge("num_layers", "data_confirmed", 0.92, observed),
            edge("model_dim", "uncertain", 0.38),
            edge("logit_softcap", "expert_imposed", None),
        ),
        fci=FciSettings(
            test="mixed likelihood ratio",
            alpha=0.05,
            depth=3,
            bootstraps=100,
            cluster="lineage",
            submissions=61,
            clusters=23,
            seed=0,
        ),
        set_aside=(SetAside(variable="rope_base", reason="one submission states it"),),
        imputed={"activation": 12},
        statement="Depth and activation are linked to the score in most bootstrap graphs; for "
        "activation the direction of a common cause cannot be excluded.",
    )


@pytest.fixture(scope="session")
def build_campaign() -> Callable[[Path], Path]:
    """Writes a finished campaign into a folder of its own below the one given."""
    return write_campaign


@pytest.fixture
def campaign_folder(tmp_path: Path) -> Path:
    """A finished campaign on disk."""
    return write_campaign(tmp_path)


def write_campaign(parent: Path) -> Path:
    folder = parent / "sin-and-depth"
    results = build_results()
    write_file(
        folder / "plan.json",
        CampaignPlan(
            name="sin-and-depth",
            records="records",
            trainer="gpt",
            backend="torch-cpu-float32",
            scale="fast",
            overrides={"val_tokens": 262_144},
            matched_by="flops",
            alpha=0.05,
            mde=MDE,
            max_cycles=4,
            max_per_cycle=6,
            max_confirm=4,
            screen_seeds=(1, 2),
            confirm_seeds=(11, 12, 13),
            created=date(2026, 4, 9),
            planned_runs=48,
            planned_flops=4.1e14,
            seconds_estimate=540,
            code_version="0.1.0+637e56d",
        ),
    )
    row = Ablation.model_validate(
        {
            "variable": "activation",
            "from": "relu_sq",
            "to": "leaky_relu_sq",
            "delta": -0.0021,
            "unit": "bpb",
            "kind": "single",
            "quote": "LeakyReLU² | −0.0021",
            "source": Source(file="README.md", line=41),
        }
    )
    write_file(
        folder / "interventions.json",
        Leaderboard(
            source="records",
            submissions=(
                Submission(id="2026-03-17_Naive", author="ada", val_bpb=1.2244),
                Submission(id="2026-03-24_Leaky", author="grace", ablations=(row,)),
            ),
            unreadable={"2026-03-25_Broken": "submission.json is not valid JSON"},
        ),
    )
    write_file(folder / "causal_dag.json", build_dag())
    (folder / "causal_dag.svg").write_text(SVG)
    write_file(
        folder / "identifiability_report.json",
        IdentifiabilityReport(
            outcome="val_bpb",
            variables=(
                Identifiability(
                    variable="num_layers",
                    verdict="proceed",
                    reason="identified",
                    explanation="No common cause of depth and score is left open.",
                ),
                Identifiability(
                    variable="muon_momentum",
                    verdict="experiment_first",
                    reason="confounded",
                    explanation="Everybody who raised it also changed the warm-up.",
                    confounded_with=("warmup_steps",),
                ),
            ),
        ),
    )
    write_file(
        folder / "dag_diff.json",
        DagDiff(
            cycle=1,
            changes=(
                EdgeChange(
                    source="activation",
                    target="val_bpb",
                    before="activation o-> val_bpb [data_confirmed]",
                    after="activation --> val_bpb [experiment_confirmed]",
                ),
            ),
            unchanged=3,
        ),
    )
    write_file(folder / "ablation_results.json", results)
    cycle = folder / "cycle_1"
    write_file(cycle / "ablation_results.json", results)
    write_file(
        cycle / "selection.json",
        Selection(
            cycle=1,
            contrasts=tuple(CONTRASTS.values()),
            passed_over={"mlp_mult_4": "dearer than what is left of the budget"},
        ),
    )
    fresh = (11, 12, 13)
    write_file(
        cycle / "raw_runs.json",
        RawRuns(
            cycle=1,
            platform=PLATFORM,
            screen_seeds=(1, 2),
            confirm_seeds=fresh,
            runs=(
                contrast_runs("leaky", "confirm", fresh, -0.0127),
                contrast_runs("sin", "confirm", fresh, 0.0214),
                contrast_runs("softcap", "confirm", fresh, 0.0003),
                contrast_runs("layers", "confirm", (11, 13), -0.0038),
                contrast_runs("silu", "screen", (1, 2), 0.0066),
                failed_runs("wide", 1),
            ),
        ),
    )
    submission = folder / "submission" / "leaky"
    submission.mkdir(parents=True)
    (submission / "submission.json").write_text(
        '{"name": "leaky", "author": "ada", "val_bpb": 2.1432, "bytes_total": 431870}'
    )
    return folder
