"""A campaign's confirmed contrasts, run by a script that trains nothing, put to the real test."""

import os
import sys
from datetime import date
from pathlib import Path

import pytest
from fake_script import GOOD, good_until, write_script
from literal_results import literal_contrast, literal_result

from interventions.catalog import Claim, Intervention, load_catalog
from scripts.causal import validate_at_scale
from scripts.causal.campaign.contrast import build_contrast
from scripts.causal.campaign.full_scale import plan_validation, record_to_beat
from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.plan import CampaignPlan
from scripts.causal.campaign.pool import ProcessExecutor
from scripts.causal.campaign.schema import AblationResults, Platform
from scripts.causal.campaign.validation import Validation
from scripts.causal.cli import run_command
from scripts.causal.experiment_runner import run_contrasts
from scripts.causal.files import InputError
from scripts.causal.forms import parse_file, write_file
from scripts.causal.leaderboard.schema import Leaderboard, SeedResult, Submission
from scripts.causal.run_pipeline import main as pipeline
from scripts.causal.validate_at_scale import run_validation, validate
from trainers.script import ScriptTrainer

SEEDS = (314, 999, 2025)
BOARD = Leaderboard(
    source="records",
    submissions=(
        Submission(id="track_10min_16mb/naive", pr=1, val_bpb=1.26),
        Submission(
            id="track_10min_16mb/best",
            pr=7,
            val_bpb=1.25,
            seeds=tuple(SeedResult(seed=s, val_bpb=1.25 + s / 1000) for s in (-1, 0, 1)),
        ),
        Submission(id="12/track_10min_16mb/unmerged", val_bpb=1.01),
        Submission(id="track_non_record_16mb/long", val_bpb=0.99),
    ),
)


def result_of(name, verdict):
    config = {"iterations": 400}
    contrast = literal_contrast(name, variable="matrix_lr", control=config, treatment=config)
    return literal_result(contrast, verdict, -0.01)


@pytest.fixture
def make_campaign(tmp_path):
    """Write a finished campaign with these verdicts, catalog id → verdict."""

    def make(**verdicts):
        folder = tmp_path / "results" / "trial"
        write_file(
            folder / "plan.json",
            CampaignPlan(
                name="trial",
                records="records",
                trainer="gpt",
                backend="torch-cpu-float32",
                scale="fast",
                overrides={},
                matched_by="flops",
                alpha=0.05,
                mde=0.005,
                max_cycles=1,
                max_per_cycle=1,
                max_confirm=1,
                screen_seeds=(1, 2),
                confirm_seeds=(42, 1337),
                created=date(2026, 1, 2),
                planned_runs=1,
                planned_flops=1.0,
                code_version="0",
            ),
        )
        write_file(
            folder / "ablation_results.json",
            AblationResults(
                alpha=0.05,
                alpha_spent=0.05,
                alpha_left=0.0,
                mde=0.005,
                platform=Platform(
                    trainer="gpt", backend="torch", scale="fast", data="d", machine="m"
                ),
                prior=None,
                results=tuple(result_of(name, verdict) for name, verdict in verdicts.items()),
            ),
        )
        write_file(folder / "interventions.json", BOARD)
        return folder

    return make


CATALOG = {
    "lower_lr": Intervention(
        id="lower_lr",
        variable="matrix_lr",
        label="half the rate",
        stage="train",
        multiply={"matrix_lr": 0.5},
        claims=(Claim(source="none"),),
    ),
    "smear": Intervention(
        id="smear", variable="smear_gate", label="smear", stage="train", set={"smear_gate": True}
    ),
    "gelu": Intervention(
        id="gelu", variable="activation", label="GELU", stage="train", set={"activation": "gelu"}
    ),
}


@pytest.fixture
def with_catalog(monkeypatch):
    monkeypatch.setattr(validate_at_scale, "load_catalog", lambda: CATALOG)


def platform_of(trainer, data):
    return Platform(
        trainer=trainer.name, backend="torch-cpu-1", scale="record", data=str(data), machine="box"
    )


def validated(campaign, trainer, data, ledger):
    scheme = plan_validation(campaign, trainer, CATALOG, seeds=SEEDS)
    return validate(scheme, trainer, platform_of(trainer, data), ledger, quiet=True)


@pytest.fixture
def ledger(tmp_path):
    store = open_ledger(tmp_path / "ledger.sqlite")
    yield store
    store.close()


def test_three_seeds_of_each_confirmed_contrast_and_the_rule(
    make_campaign, tmp_path, small_data, ledger
):
    campaign = make_campaign(
        lower_lr="confirmed_better", smear="confirmed_better", gelu="confirmed_worse"
    )
    trainer = ScriptTrainer(str(write_script(tmp_path)))
    found = validated(campaign, trainer, small_data, ledger)
    lower, smear = found.results
    assert (lower.id, smear.id) == ("lower_lr", "smear")
    assert lower.environment == {"MATRIX_LR": "0.02"}  # half the script's own
    assert smear.environment == {"SMEAR_GATE": "1"}
    assert len(ledger.rows()) == 9  # the control is shared
    # bpb 1.25 + 0.001 * (seed % 5): the seeds give 4, 4 and 0 thousandths.
    scores = [pair.control.metrics["val_bpb"] for pair in lower.pairs]
    assert scores == pytest.approx([1.254, 1.254, 1.25])
    control, record = lower.tests
    assert (control.against, record.against) == ("control", "record")
    assert control.improvement_bpb == pytest.approx(0.01)
    assert control.improvement_nats == pytest.approx(0.02)
    assert control.margin_bpb == pytest.approx(0.0025)
    assert control.method == "Welch"
    assert (control.p, control.passed) == (pytest.approx(0.0082, abs=1e-4), True)
    assert (record.p, record.passed) == (pytest.approx(0.026, abs=2e-3), False)
    assert record.name == "track_10min_16mb/best"
    assert record.improvement_bpb == pytest.approx(1.25 - 1.242667, abs=1e-6)
    assert lower.p_adjusted == pytest.approx(2 * record.p)
    assert "0.0200 nats (0.0100 bpb) better than the script as it stands" in lower.words
    assert any("not on eight GPUs" in line for line in found.departures)
    assert any("not on H100s" in line for line in found.departures)
    again = validated(campaign, trainer, small_data, ledger)
    assert again == found
    assert len(ledger.rows()) == 9


def test_a_clear_gain_meets_the_margin(make_campaign, tmp_path, small_data, ledger):
    text = GOOD.replace("0.01 * args.smear_gate", "0.05 * args.smear_gate")
    trainer = ScriptTrainer(str(write_script(tmp_path, text)))
    found = validated(make_campaign(smear="confirmed_better"), trainer, small_data, ledger)
    assert [test.passed for test in found.results[0].tests] == [True, True]
    assert found.results[0].faults == ()
    assert "margin met" in found.results[0].words


def test_a_failed_run_is_an_outcome_and_the_rest_goes_on(
    make_campaign, tmp_path, small_data, ledger
):
    broken = good_until(
        3,
        "if args.smear_gate and args.seed == 999: "
        "print('step:3/20 train_loss:nan train_time:30ms')",
    )
    trainer = ScriptTrainer(str(write_script(tmp_path, broken)))
    campaign = make_campaign(smear="confirmed_better", lower_lr="confirmed_better")
    smear, lower = validated(campaign, trainer, small_data, ledger).results
    assert smear.tests == ()
    assert smear.faults == ("seed 999: train: diverged: train_loss is nan at step 3",)
    assert smear.words.startswith("smear: not tested, since runs of it failed")
    assert len(lower.tests) == 2
    states = [row.status for row in ledger.rows()]
    assert (states.count("done"), states.count("failed")) == (8, 1)


def test_a_submission_over_the_cap_is_no_record(make_campaign, tmp_path, small_data, ledger):
    text = GOOD.replace("15911131 bytes", "16000001 bytes")
    trainer = ScriptTrainer(str(write_script(tmp_path, text)))
    found = validated(make_campaign(smear="confirmed_better"), trainer, small_data, ledger)
    assert found.results[0].faults[0] == "seed 314: 16,000,001 bytes, over the 16,000,000 allowed"
    assert "It cannot be submitted" in found.results[0].words


def test_what_the_script_cannot_be_told_is_passed_over_with_its_reason(make_campaign, tmp_path):
    trainer = ScriptTrainer(str(write_script(tmp_path)))
    campaign = make_campaign(smear="confirmed_better", gelu="confirmed_better")
    scheme = plan_validation(campaign, trainer, CATALOG, seeds=SEEDS)
    assert [contrast.id for contrast in scheme.contrasts] == ["smear"]
    assert "does not read 'activation'" in scheme.passed_over["gelu"]
    only = make_campaign(gelu="confirmed_better")
    with pytest.raises(InputError, match="nothing confirmed can be told to this script: gelu"):
        plan_validation(only, trainer, CATALOG, seeds=SEEDS)


def test_only_improvements_in_bpb_are_taken_and_what_is_left_is_said(make_campaign, tmp_path):
    trainer = ScriptTrainer(str(write_script(tmp_path)))
    campaign = make_campaign(
        smear="confirmed_better", lower_lr="confirmed_worse", gelu="inconclusive"
    )
    found = parse_file(AblationResults, campaign / "ablation_results.json")
    gap = literal_result(
        literal_contrast("gap", outcome="generalization_gap"), "confirmed_better", -1.0
    )
    tried = literal_result(literal_contrast("tried"), "screened_out", 0.0, phase="screen")
    write_file(
        campaign / "ablation_results.json",
        found.model_copy(update={"results": (*found.results, gap, tried)}),
    )
    scheme = plan_validation(campaign, trainer, CATALOG, seeds=SEEDS)
    assert [contrast.id for contrast in scheme.contrasts] == ["smear"]
    assert scheme.passed_over == {
        "lower_lr": "confirmed worse in the campaign",
        "gelu": "inconclusive in the campaign",
        "gap": "better in its generalization gap, not in bpb",
    }


def test_a_seed_that_a_verdict_used_is_not_fresh(make_campaign, tmp_path):
    trainer = ScriptTrainer(str(write_script(tmp_path)))
    campaign = make_campaign(smear="confirmed_better")
    found = parse_file(AblationResults, campaign / "ablation_results.json")
    pair = found.results[0].model_copy(update={"seeds_used": (999, 3)})
    write_file(campaign / "ablation_results.json", found.model_copy(update={"results": (pair,)}))
    with pytest.raises(InputError, match="seed 999 took part in the campaign"):
        plan_validation(campaign, trainer, CATALOG, seeds=SEEDS)


@pytest.mark.parametrize(
    ("verdict", "seeds", "words"),
    [
        ("inconclusive", SEEDS, "confirmed nothing better"),
        ("confirmed_better", (314, 999), "3 seeds are the least"),
        ("confirmed_better", (314, 999, 42), "seed 42 took part in the campaign"),
        ("confirmed_better", (314, 999, 2), "seed 2 took part in the campaign"),
    ],
)
def test_what_cannot_be_validated_is_said(make_campaign, tmp_path, verdict, seeds, words):
    trainer = ScriptTrainer(str(write_script(tmp_path)))
    with pytest.raises(InputError, match=words):
        plan_validation(make_campaign(smear=verdict), trainer, CATALOG, seeds=seeds)


def test_the_record_to_beat_is_the_best_merged_one_or_the_one_named():
    assert record_to_beat(BOARD).bpb == (1.249, 1.25, 1.251)
    assert record_to_beat(BOARD, "1").name == "track_10min_16mb/naive"
    assert record_to_beat(BOARD, "12").bpb == (1.01,)
    assert record_to_beat(BOARD, "long").bpb == (0.99,)
    assert record_to_beat(BOARD, "1.061").bpb == (1.061,)
    for wanted, count in (("track_10min", 3), ("8", 0), ("nan", 0), ("9.5", 0)):
        with pytest.raises(InputError, match=f"{count} submissions are meant by '{wanted}'"):
            record_to_beat(BOARD, wanted)


def run_main(main, monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["program", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        run_command(main)
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def test_without_a_gpu_the_pipeline_says_what_is_missing(
    make_campaign, tmp_path, monkeypatch, capsys, with_catalog
):
    monkeypatch.setattr(ScriptTrainer, "backends", lambda self: ["torch-cpu-1"])
    campaign = make_campaign(smear="confirmed_better")
    options = ("--validate", "--resume-from", campaign, "--script", write_script(tmp_path))
    code, _, error = run_main(pipeline, monkeypatch, capsys, *options)
    assert code == 2
    assert error.count("\n") == 1
    assert "needs CUDA GPUs (eight H100s): torch" in error
    assert "--dry-run prints the commands" in error
    assert not (campaign / "validation.json").exists()


def test_a_dry_run_prints_the_commands(
    make_campaign, tmp_path, small_data, monkeypatch, capsys, with_catalog
):
    script = write_script(tmp_path)
    campaign = make_campaign(smear="confirmed_better", gelu="confirmed_better")
    options = ("--validate", "--resume-from", campaign, "--script", script, "--dry-run")
    code, out, _ = run_main(pipeline, monkeypatch, capsys, *options, "--data", small_data)
    assert code == 0
    lines = [line for line in out.splitlines() if "torch.distributed.run" in line]
    assert len(lines) == 6
    assert lines[0].startswith(f"DATA_PATH={small_data} TOKENIZER_PATH={small_data}/")
    assert "SEED=314 RUN_ID=run" in lines[0]
    assert lines[0].endswith(f"--standalone --nproc_per_node=8 {script}")
    assert "SMEAR_GATE=1 SEED=314" in lines[1]
    assert "to beat: track_10min_16mb/best (1.2490, 1.2500, 1.2510 bpb)" in out
    assert "passed over: gelu" in out
    assert not (tmp_path / "results" / "ledger.sqlite").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--script", "train_gpt.py"), "--validate: needs a campaign (give --resume-from)"),
        (("--name", "trial"), "--validate: needs a training script (give --script)"),
        (("--name", "none", "--script", "t.py"), "plan.json: no such file"),
    ],
)
def test_what_validate_needs_is_said(options, words, monkeypatch, capsys):
    code, _, error = run_main(pipeline, monkeypatch, capsys, "--validate", *options)
    assert code == 2
    assert words in error


def test_a_rehearsal_on_the_cpu_leaves_json_and_report(
    make_campaign, tmp_path, small_data, monkeypatch, capsys, with_catalog
):
    campaign = make_campaign(smear="confirmed_better")
    options = ("--campaign", campaign, "--script", write_script(tmp_path), "--data", small_data)
    code, out, _ = run_main(
        validate_at_scale.main, monkeypatch, capsys, *options, "--platform", "cpu", "--record=7"
    )
    assert code == 0
    assert "not the competition's conditions: run on torch-cpu-1" in out
    found = parse_file(Validation, campaign / "validation.json")
    assert found.results[0].tests[1].name == "track_10min_16mb/best"
    assert len(found.script_digest) == 64
    assert found.results[0].pairs[0].treatment.curves["val_step"] == [0.0, 10.0, 20.0]
    page = (campaign / "report.html").read_text()
    assert "At full scale" in page
    assert "SMEAR_GATE=1" in page
    assert "nothing here was measured there" not in page


def test_the_shipped_catalog_can_be_told_to_a_script_that_reads_it(make_campaign, tmp_path):
    name = next(
        entry.id for entry in load_catalog().values() if set(entry.set) == {"logit_softcap"}
    )
    text = 'import os\nsoftcap = float(os.environ.get("LOGIT_SOFTCAP", 30.0))\n'
    trainer = ScriptTrainer(str(write_script(tmp_path, text)))
    campaign = make_campaign(**{name: "confirmed_better"})
    scheme = plan_validation(campaign, trainer, load_catalog(), seeds=SEEDS)
    value = load_catalog()[name].set["logit_softcap"]
    assert scheme.contrasts[0].treatment["logit_softcap"] == value


def test_no_run_is_started_before_the_campaign_is_read(tmp_path):
    with pytest.raises(InputError, match=r"plan\.json: no such file"):
        run_validation(
            tmp_path,
            write_script(tmp_path),
            data=None,
            record=None,
            seeds="314,999,2025",
            platform="cpu",
            ledger=None,
            dry_run=False,
            quiet=True,
        )
    assert not (tmp_path.parent / "ledger.sqlite").exists()


def test_arms_of_a_script_cannot_be_matched_by_flops(tmp_path):
    trainer = ScriptTrainer(str(write_script(tmp_path)))
    with pytest.raises(InputError, match=r"cannot tell the FLOPs of a step \(match by steps\)"):
        build_contrast(CATALOG["smear"], "record", trainer, matched_by="flops")


def test_worker_processes_run_scripts_too(tmp_path, small_data, ledger, monkeypatch):
    info = tmp_path / "site" / "causal_script-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: causal-script\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[causal_trainers]\nscript = trainers.script:ScriptTrainer\n"
    )
    paths = [str(info.parent), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    trainer = ScriptTrainer(str(write_script(tmp_path)))
    contrast = build_contrast(CATALOG["smear"], "record", trainer, matched_by="steps")
    with ProcessExecutor(trainer, ledger, workers=1) as executor:
        place = platform_of(trainer, small_data)
        runs = run_contrasts([contrast], (1, 2), "screen", place, ledger, executor)
    differences = [
        pair.treatment.metrics["val_bpb"] - pair.control.metrics["val_bpb"]
        for pair in runs[0].pairs
    ]
    assert differences == pytest.approx([-0.01, -0.01])
