import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from scripts.causal.campaign.schema import (
    AblationResults,
    ArmRun,
    Contrast,
    ContrastRuns,
    Pair,
    Platform,
    RawRuns,
    VariancePrior,
)
from scripts.causal.campaign.screened import choose_for_confirmation, fit_prior
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file, write_file
from scripts.causal.statistical_analysis import analyse, combine

ROOT = Path(__file__).parents[3]
PLATFORM = Platform(
    trainer="gpt", backend="torch-cpu-float32", scale="tiny", data="embedded", machine="laptop"
)
SCREEN, CONFIRM = (0, 1), (2, 3, 4)
CONTROL = {0: 2.010, 1: 2.004, 2: 2.013, 3: 2.007, 4: 2.001}
WOBBLE = {0: 0.0003, 1: -0.0002, 2: 0.0002, 3: -0.0004, 4: 0.0001}


def contrast(name, stage="train"):
    return Contrast(
        id=name,
        variable="activation",
        label=name,
        changes={"activation": name},
        control={"activation": "relu_sq"},
        treatment={"activation": name},
        stage=stage,
        matched_by="flops",
        flops_per_pair=1e12,
        reason="test",
    )


def arm(key, bpb, *, gap=0.01, drift=0.0):
    tokens = [100_000.0 * k for k in range(1, 11)]
    return ArmRun(
        key=key,
        metrics={
            "val_bpb": bpb,
            "pre_quant_bpb": bpb - gap,
            "parameters": 120_000.0,
            "tokens": 9_600_000.0,
        },
        curves={"val_tokens": tokens, "val_bpb": [bpb + drift * (10 - k) for k in range(10)]},
    )


def runs(name, phase, differences, *, stage="train", fail=(), gap=0.01, drift=0.0):
    """Pairs on the phase's seeds; `fail` names seeds at which the treatment diverged."""
    seeds = SCREEN if phase == "screen" else CONFIRM
    pairs = []
    for seed, difference in zip(seeds, differences, strict=False):
        treatment = arm(f"{name}{seed}", CONTROL[seed] + difference, gap=gap, drift=drift)
        if seed in fail:
            treatment = ArmRun(key=f"{name}{seed}", failure="diverged at step 7")
        pairs.append(Pair(seed=seed, control=arm(f"c{seed}", CONTROL[seed]), treatment=treatment))
    return ContrastRuns(contrast=contrast(name, stage), phase=phase, pairs=tuple(pairs))


def both(name, effect, wobble=1.0, **kwargs):
    return [
        runs(name, phase, [effect + wobble * WOBBLE[s] for s in seeds], **kwargs)
        for phase, seeds in (("screen", SCREEN), ("confirm", CONFIRM))
    ]


def raw(*parts, cycle=1, screen=SCREEN, confirm=CONFIRM):
    return RawRuns(
        cycle=cycle,
        platform=PLATFORM,
        screen_seeds=screen,
        confirm_seeds=confirm,
        runs=tuple(parts),
    )


FULL = raw(
    *both("gelu", -0.010, 1.3),
    *both("silu", 0.020, 0.8),
    *both("sin", 0.00005, 0.9),
    runs("sin_sq", "screen", [0.0003, 0.0001]),
)


def verdicts(results):
    return {result.contrast.id: result.verdict for result in results.results}


def only(results):
    (result,) = results.results
    return result


def test_every_contrast_ends_in_one_verdict():
    results = analyse(FULL, alpha=0.05, mde=0.002, cycles=4)
    assert verdicts(results) == {
        "gelu": "confirmed_better",
        "silu": "confirmed_worse",
        "sin": "equivalent",
        "sin_sq": "screened_out",
    }
    assert (results.alpha_spent, results.alpha_left) == pytest.approx((0.0125, 0.0375))


def test_adjusted_p_is_holms_over_the_confirmed_family_only():
    tested = [r for r in analyse(FULL, alpha=0.05, mde=0.002).results if r.phase == "confirm"]
    oracle = multipletests([r.p_moderated for r in tested], method="holm")[1]
    assert [r.p_adjusted for r in tested] == pytest.approx(list(oracle))


def test_effect_and_claims_come_from_fresh_seeds_alone():
    result = analyse(FULL, alpha=0.05, mde=0.002).results[0]
    assert result.seeds_used == CONFIRM
    assert result.effect == pytest.approx(-0.010 + 1.3 * np.mean([WOBBLE[s] for s in CONFIRM]))
    assert result.screen_effect == pytest.approx(-0.010 + 1.3 * 0.00005)
    assert result.interval.level == 0.95
    assert result.interval.low < result.effect < result.interval.high < 0
    assert result.p_sign_flip == 0.25
    assert result.correlation > 0.9


def test_screening_reports_no_p_value():
    screened = analyse(FULL, alpha=0.05, mde=0.002).results[-1]
    assert screened.phase == "screen"
    assert screened.p_moderated is screened.p_plain is screened.p_sign_flip is None
    assert screened.p_adjusted is screened.p_equivalence is screened.interval is None
    assert "proves nothing" in screened.words


def test_variance_is_the_priors_the_screens_and_its_own():
    prior = VariancePrior(scale=0.0005, df=10, origin="test")
    result = only(analyse(raw(*both("gelu", -0.01)), alpha=0.05, mde=0.002, prior=prior))
    own = np.var([WOBBLE[s] for s in CONFIRM], ddof=1)
    screen = np.var([WOBBLE[s] for s in SCREEN], ddof=1)
    assert result.df == 13
    assert result.sd**2 == pytest.approx((10 * 0.0005**2 + 2 * own + 1 * screen) / 13)


def test_quantization_contrasts_do_not_borrow_the_noise_of_training():
    prior = VariancePrior(scale=0.1, df=50, origin="test")
    part = runs("int6", "confirm", [0.0020, 0.0021, 0.0022], stage="quantize")
    assert only(analyse(raw(part), alpha=0.05, mde=0.002, prior=prior)).df == 2
    lenders = [both(f"q{k}", 0.001 * k, stage="quantize")[0] for k in range(4)]
    assert fit_prior(lenders) is None


def test_prior_comes_from_screening_pairs_and_knows_shared_controls():
    prior = fit_prior(FULL.runs)
    assert prior.df <= 0.5 * 4 / (1 + 3 / 4) + 1e-9
    assert fit_prior([part for part in FULL.runs if part.phase == "confirm"]) is None


def test_identical_arms_are_equivalent_and_divide_by_nothing():
    result = only(analyse(raw(*both("same", 0.0, wobble=0.0)), alpha=0.05, mde=0.002))
    assert (result.verdict, result.effect, result.p_moderated) == ("equivalent", 0.0, None)
    assert (result.interval.low, result.interval.high) == (0.0, 0.0)
    assert (result.stage_effects.training, result.stage_effects.quantization) == (0.0, 0.0)
    assert "identical" in result.words
    assert result.trend == "steady"


def test_two_seeds_and_one_contrast_fall_back_to_the_plain_test():
    part = runs("gelu", "confirm", [-0.0100, -0.0102])
    result = only(analyse(raw(part, screen=()), alpha=0.05, mde=0.002))
    assert result.df == 1
    assert result.p_moderated == pytest.approx(result.p_plain)
    assert result.correlation is None


def test_one_fresh_seed_claims_nothing():
    result = only(analyse(raw(runs("gelu", "confirm", [-0.5])), alpha=0.05, mde=0.002))
    assert (result.verdict, result.interval, result.p_moderated) == ("inconclusive", None, None)


def test_a_treatment_that_always_fails_is_failed_with_the_reason():
    result = only(
        analyse(raw(runs("gelu", "confirm", [0, 0, 0], fail=CONFIRM)), alpha=0.05, mde=1)
    )
    assert (result.verdict, result.effect, result.seeds_used) == ("failed", None, ())
    assert "diverged at step 7" in result.seeds_discarded[3]
    assert "diverged at step 7" in result.words


def test_a_treatment_that_failed_once_cannot_be_confirmed_better():
    part = runs("gelu", "confirm", [-0.0100, -0.0101, -0.0102], fail=(4,))
    prior = VariancePrior(scale=0.0003, df=30, origin="test")
    result = only(analyse(raw(part), alpha=0.05, mde=0.002, prior=prior))
    assert result.p_adjusted < 1e-6
    assert (result.verdict, result.seeds_used) == ("inconclusive", (2, 3))


def test_stage_effects_split_the_difference():
    part = runs("softcap", "confirm", [0.0060, 0.0062, 0.0058], gap=0.016)
    effects = only(analyse(raw(part), alpha=0.05, mde=0.002)).stage_effects
    assert effects.quantization == pytest.approx(0.006)
    assert effects.training == pytest.approx(0.0, abs=1e-9)
    assert effects.evaluation == 0.0  # nothing was said about it


def test_what_the_evaluation_gives_is_no_quantization():
    part = runs("sliding", "confirm", [-0.0300, -0.0302, -0.0298], stage="evaluate", gap=-0.02)
    for pair in part.pairs:
        for arm_run in (pair.control, pair.treatment):
            arm_run.metrics["post_quant_bpb"] = 2.0
    effects = only(analyse(raw(part), alpha=0.05, mde=0.002)).stage_effects
    assert effects.evaluation == pytest.approx(-0.03)
    assert effects.training + effects.quantization + effects.evaluation == pytest.approx(-0.03)


def test_a_shrinking_effect_is_told_with_its_verdict():
    # Ten times as large at the start, nearly gone at the end of the run.
    parts = both("gelu", -0.0040, drift=-0.004)
    parts += both("silu", 0.02) + both("sin", 0.0)
    result = analyse(raw(*parts), alpha=0.05, mde=0.002).results[0]
    assert (result.verdict, result.trend) == ("confirmed_better", "may_flip")
    assert "may flip" in result.words
    assert "may flip" in result.transfer


def test_transfer_names_where_it_was_tested_and_what_does_not_follow():
    result = analyse(FULL, alpha=0.05, mde=0.002).results[0]
    assert "scale tiny (0.12 M parameters, 80 tokens per parameter)" in result.transfer
    assert "nothing about 8×H100 follows" in result.transfer


def test_before_any_confirmation_the_promising_is_not_screened_out():
    screens = [part for part in FULL.runs if part.phase == "screen"]
    found = verdicts(analyse(raw(*screens, confirm=()), alpha=0.05, mde=0.002))
    assert found["gelu"] == "inconclusive"
    assert found["sin_sq"] == "screened_out"


def test_swapping_the_arms_mirrors_the_verdict():
    def swap(pair):
        return pair.model_copy(update={"control": pair.treatment, "treatment": pair.control})

    mirrored = FULL.model_copy(
        update={
            "runs": tuple(
                part.model_copy(update={"pairs": tuple(map(swap, part.pairs))})
                for part in FULL.runs
            )
        }
    )
    there = analyse(FULL, alpha=0.05, mde=0.002).results
    back = analyse(mirrored, alpha=0.05, mde=0.002).results
    for one, other in zip(there, back, strict=True):
        assert other.effect == pytest.approx(-one.effect)
        assert other.p_adjusted == pytest.approx(one.p_adjusted)
    assert [r.verdict for r in back[:2]] == ["confirmed_worse", "confirmed_better"]


def test_choice_takes_gains_then_harms_and_no_more_than_there_is_room_for():
    screens = [part for part in FULL.runs if part.phase == "screen"]
    assert choose_for_confirmation(screens, mde=0.002, max_confirm=9) == ["gelu", "silu"]
    assert choose_for_confirmation(screens, mde=0.002, max_confirm=1) == ["gelu"]
    diverged = runs("gelu", "screen", [-0.01, -0.01], fail=(0,))
    assert choose_for_confirmation([diverged], mde=0.002, max_confirm=9) == []


def test_cycles_add_up_to_a_campaign():
    second = FULL.model_copy(update={"cycle": 2})
    parts = [analyse(part, alpha=0.05, mde=0.002, cycles=4) for part in (FULL, second)]
    campaign = combine(parts)
    assert (campaign.alpha_spent, campaign.alpha_left) == pytest.approx((0.025, 0.025))
    assert [result.cycle for result in campaign.results] == [1] * 4 + [2] * 4
    assert combine(parts[:1]).results == parts[0].results


def test_what_does_not_add_up_is_refused():
    one = analyse(FULL, alpha=0.05, mde=0.002, cycles=1)
    two = analyse(FULL.model_copy(update={"cycle": 2}), alpha=0.05, mde=0.002, cycles=2)
    with pytest.raises(InputError, match=r"spent alpha 0\.075 of 0\.05"):
        combine([one, two])
    with pytest.raises(InputError, match="twice"):
        combine([one, one])
    with pytest.raises(InputError, match="share alpha"):
        combine([one, analyse(FULL, alpha=0.05, mde=0.003)])
    with pytest.raises(InputError, match="no cycle"):
        combine([])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (raw(*FULL.runs, screen=(0, 1, 2)), "seed 2 is both"),
        (raw(FULL.runs[0], FULL.runs[0]), "listed twice"),
        (raw(*FULL.runs, cycle=2), "runs of cycle 2"),
        (
            raw(
                ContrastRuns(
                    contrast=contrast("gelu"),
                    phase="confirm",
                    pairs=(Pair(seed=2, control=ArmRun(key="a"), treatment=arm("b", 2.0)),),
                )
            ),
            "seed 2: the control has neither",
        ),
        (raw(ContrastRuns(contrast=contrast("a"), phase="confirm", pairs=())), "no pair"),
    ],
)
def test_runs_that_cannot_be_judged_are_refused(broken, message):
    with pytest.raises(InputError, match=message):
        analyse(broken, alpha=0.05, mde=0.002)


@pytest.mark.parametrize(
    "terms",
    [
        {"alpha": 0.0, "mde": 0.002},
        {"alpha": 0.05, "mde": float("nan")},
        {"alpha": 0.05, "mde": 0.002, "cycles": 0},
        {"alpha": 0.05, "mde": 0.002, "screen_threshold": 0.7},
    ],
)
def test_senseless_terms_are_refused_by_name(terms):
    with pytest.raises(InputError):
        analyse(FULL, **terms)


def command(*arguments):
    script = str(ROOT / "scripts/causal/statistical_analysis.py")
    return subprocess.run(
        [sys.executable, script, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT
    )


def test_command_writes_what_the_library_returns(tmp_path):
    source, target = tmp_path / "raw_runs.json", tmp_path / "ablation_results.json"
    write_file(source, FULL)
    options = ("--input", source, "--output", target, "--mde", 0.002, "--alpha", 0.05)
    done = command(*options, "--cycles", 4, "--json")
    assert done.returncode == 0, done.stderr
    expected = analyse(FULL, alpha=0.05, mde=0.002, cycles=4)
    assert parse_file(AblationResults, target) == expected
    assert json.loads(done.stdout) == expected.model_dump(mode="json")


def test_command_refuses_a_file_that_screened_on_the_confirmation_seeds(tmp_path):
    source, target = tmp_path / "raw_runs.json", tmp_path / "ablation_results.json"
    tainted = tmp_path / "other.json"
    write_file(source, FULL)
    swapped = tuple(
        part.model_copy(update={"phase": "screen"})
        for part in FULL.runs
        if part.phase == "confirm"
    )
    write_file(tainted, raw(*swapped, screen=CONFIRM, confirm=()))
    options = ("--input", source, "--output", target, "--mde", 0.002, "--alpha", 0.05)
    done = command(*options, "--prior-from", tainted)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "other.json" in done.stderr
    assert "seed 2" in done.stderr
    assert not target.exists()


def test_a_nan_in_the_file_is_one_line_and_exit_code_2(tmp_path):
    source = tmp_path / "raw_runs.json"
    write_file(source, FULL)
    source.write_text(source.read_text().replace("2.013", "NaN", 1))
    target = tmp_path / "out.json"
    done = command("--input", source, "--output", target, "--mde", 0.002, "--alpha", 0.05)
    assert done.returncode == 2
    assert "val_bpb" in done.stderr
    assert not target.exists()


def test_another_outcome_is_judged_by_the_same_test_and_lends_no_noise():
    def of_spread(phase, differences):
        plain = runs("spread", phase, [0.0] * len(differences))
        pairs = []
        for pair, difference in zip(plain.pairs, differences, strict=True):
            arms = {"control": 0.4, "treatment": 0.4 + difference}
            update = {
                name: getattr(pair, name).model_copy(
                    update={"metrics": {**getattr(pair, name).metrics, "spread": value}}
                )
                for name, value in arms.items()
            }
            pairs.append(pair.model_copy(update=update))
        asked = plain.contrast.model_copy(update={"outcome": "spread"})
        return plain.model_copy(update={"contrast": asked, "pairs": tuple(pairs)})

    told = raw(of_spread("screen", [0.50, 0.51]), of_spread("confirm", [0.50, 0.52, 0.51]))
    (result,) = analyse(told, alpha=0.05, mde=0.005).results
    assert result.verdict == "confirmed_worse"
    assert result.effect == pytest.approx(0.51)
    assert result.words.startswith("spread: spread +0.51000 (")
    assert (result.courses, result.stage_effects, result.trend) == (None, None, "unknown")
    assert fit_prior([of_spread("screen", [0.50, 0.1 * k]) for k in range(3)]) is None
    missing = told.model_copy(update={"runs": (runs("x", "screen", [0.0, 0.1]),)})
    asked = missing.runs[0].contrast.model_copy(update={"outcome": "spread"})
    missing = missing.model_copy(
        update={"runs": (missing.runs[0].model_copy(update={"contrast": asked}),)}
    )
    with pytest.raises(InputError, match=r"neither metrics\.spread nor a failure"):
        analyse(missing, alpha=0.05, mde=0.005)
