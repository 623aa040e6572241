"""The runner: shared controls, exact A/A, bad input named, the same end however often killed."""

import subprocess
import sys
from pathlib import Path

import pytest

import scripts.causal.experiment_runner as runner
from interventions.catalog import Intervention
from scripts.causal.campaign.contrast import aa_contrast, build_contrast
from scripts.causal.campaign.executor import InProcessExecutor
from scripts.causal.campaign.platform import choose_platform
from scripts.causal.experiment_runner import contrast_from_text, run_contrasts
from scripts.causal.files import InputError

SCRIPT = Path(runner.__file__)
SEEDS = (1, 2, 3, 4, 5, 6)


def contrast_of(toy, **fields):
    name = next(iter(fields))
    changed = Intervention(id=name, variable=name, label=name, stage="train", set=fields)
    return build_contrast(changed, "tiny", toy)


@pytest.fixture
def place(toy):
    return choose_platform(toy, scale="tiny")


class TestRunContrasts:
    def test_controls_are_shared_and_pairs_come_in_order(self, toy, ledger, place):
        contrasts = [contrast_of(toy, activation="tanh"), contrast_of(toy, model_dim=12)]
        fractions = []
        with InProcessExecutor(toy, ledger) as executor:
            results = run_contrasts(
                contrasts, (1, 2, 3), "screen", place, ledger, executor, fractions.append
            )
            again = run_contrasts(contrasts, (1, 2, 3), "screen", place, ledger, executor)
        assert [result.contrast for result in results] == contrasts
        assert {result.phase for result in results} == {"screen"}
        assert [pair.seed for pair in results[0].pairs] == [1, 2, 3]
        assert len(ledger.rows()) == 9 * 3
        assert [pair.control for pair in results[0].pairs] == [
            pair.control for pair in results[1].pairs
        ]
        keys = {pair.treatment.key for result in results for pair in result.pairs}
        assert len(keys) == 6
        assert all(row.attempts == 1 for row in ledger.rows())
        assert again == results
        assert fractions == sorted(fractions)
        assert fractions[-1] == pytest.approx(1.0)

    def test_every_contrast_has_its_first_pair_early(self, toy, ledger, place):
        contrasts = [contrast_of(toy, activation="tanh"), contrast_of(toy, model_dim=12)]
        with InProcessExecutor(toy, ledger) as executor:
            run_contrasts(contrasts, (1, 2), "confirm", place, ledger, executor)
        trained = [row for row in ledger.rows() if row.kind == "train"]
        assert [row.spec["seed"] for row in trained] == [1, 1, 1, 2, 2, 2]

    def test_the_control_against_itself_differs_by_exactly_nothing(self, toy, ledger, place):
        with InProcessExecutor(toy, ledger) as executor:
            (result,) = run_contrasts(
                [aa_contrast("tiny", toy)], SEEDS, "confirm", place, ledger, executor
            )
        for pair in result.pairs:
            assert pair.treatment == pair.control
            assert pair.treatment.metrics["val_bpb"] - pair.control.metrics["val_bpb"] == 0.0

    def test_a_failed_arm_is_in_the_results(self, toy, ledger, place):
        with InProcessExecutor(toy, ledger) as executor:
            (result,) = run_contrasts(
                [contrast_of(toy, learning_rate=5.0)], (1, 2), "confirm", place, ledger, executor
            )
        for pair in result.pairs:
            assert pair.control.failure is None
            assert pair.treatment.failure.startswith("train: diverged")


class TestContrastFromText:
    def test_the_stage_and_the_cost_of_fields_are_found(self, toy, place):
        late = contrast_from_text("quant_bits=4", "model_dim=16", toy, place)
        assert (late.stage, late.flops_per_pair) == ("quantize", 40 * 1600.0)
        assert late.control["model_dim"] == late.treatment["model_dim"] == 16
        early = contrast_from_text("activation=tanh,quant_bits=4", "baseline", toy, place)
        assert (early.stage, early.variable) == ("train", "activation")

    def test_a_catalog_entry_goes_by_its_id(self, toy, place):
        contrast = contrast_from_text("model_dim_x1.25", "baseline", toy, place)
        assert contrast.id == "model_dim_x1.25"
        assert contrast.treatment["model_dim"] == 10
        assert contrast.treatment["iterations"] == 32

    @pytest.mark.parametrize(
        ("treatment", "control", "message"),
        [
            ("activation_gelou", "baseline", "unknown intervention .*known: activation_gelu"),
            ("colour=1", "baseline", "unknown field 'colour'"),
            ("activation=tanh", "colour", "unknown intervention 'colour'"),
            ("step_seconds=0.1", "baseline", "changes nothing that a run depends on"),
            ("activation_gelu", "activation=gelu", "changes nothing"),
            ("ema_0.997+swa", "baseline", "'ema_0.997' excludes 'swa', which 'swa' changes"),
        ],
    )
    def test_what_cannot_be_built_is_named(self, toy, place, treatment, control, message):
        with pytest.raises(InputError, match=message):
            contrast_from_text(treatment, control, toy, place)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "file/raw.json"}, "file/raw.json.* cannot be written"),
        ({"ledger": "file/ledger.sqlite"}, "cannot be written"),
        ({"platform": "cuda"}, "--platform: no backend 'cuda'"),
        ({"matched_by": "time"}, "--matched-by: must be one of"),
        ({"phase": "both"}, "--phase: must be one of"),
        ({"scale": "huge"}, "no scale 'huge'"),
        ({"trainer": "none"}, "no trainer named 'none'"),
    ],
)
def test_bad_input_leaves_nothing_behind(toy_installed, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("not a folder")
    given = {"output": "out/raw.json", "trainer": "toy", "scale": "tiny", "quiet": True} | options
    with pytest.raises(InputError, match=message):
        runner.main("activation=tanh", **given | {"output": Path(given["output"])})
    assert [path for path in tmp_path.rglob("*.json*") if path.is_file()] == []


def command(folder, *more):
    return [
        *(sys.executable, str(SCRIPT), "--trainer", "toy", "--scale", "tiny", "--workers", "0"),
        *("--treatment", "activation=tanh", "--ledger", str(folder / "ledger.sqlite")),
        *("--output", str(folder / "raw.json"), *more),
    ]


def test_the_command_shows_differences_and_errors(toy_installed, tmp_path):
    done = subprocess.run(
        command(tmp_path, "--treatment", "baseline", "--seeds", "1,2"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("+0.00000") == 2
    wrong = subprocess.run(
        command(tmp_path, "--seeds", "42"), capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert wrong.stderr == (
        "error: --seeds: one seed (42) cannot tell an effect from noise "
        "(give two or more, as in --seeds 42,1337)\n"
    )
