"""A factorial screen of real tiny runs, from the choice to the report."""

import pytest

from interventions.catalog import load_catalog
from scripts.causal.campaign.contrast import build_contrast
from scripts.causal.campaign.executor import open_executor
from scripts.causal.campaign.ledger import open_ledger
from scripts.causal.campaign.planning import make_plan
from scripts.causal.campaign.schema import Selection
from scripts.causal.campaign.screened import fit_prior
from scripts.causal.files import InputError
from scripts.causal.forms import write_file
from scripts.causal.report import write_report
from scripts.causal.run_cycle import Campaign, experiment
from scripts.causal.run_pipeline import describe, prepare
from scripts.causal.statistical_analysis import analyse
from trainers.api import load_trainer

NAMES = ("qk_gain_4", "softcap_20", "matrix_lr_0.02", "rope_base_1000")


def plan_of(small_data, small_records, **changes):
    options = {
        "records": small_records,
        "backend": "torch-cpu-float32",
        "scale": "tiny",
        "overrides": {"vocab_size": 300},
        "data": str(small_data),
        "matched_by": "flops",
        "alpha": 0.05,
        "mde": 1e-6,  # everything is promising
        "max_cycles": 1,
        "max_per_cycle": 4,
        "max_confirm": 1,
        "screen_seeds": (1, 2),
        "confirm_seeds": (42, 1337),
        "screen_design": "factorial",
    }
    return make_plan(load_trainer("gpt"), **(options | changes))


def test_a_screen_of_four_changes_in_eight_runs(small_data, small_records, tmp_path):
    plan = plan_of(small_data, small_records)
    trainer, catalog = load_trainer("gpt"), load_catalog()
    contrasts = tuple(
        build_contrast(catalog[name], "tiny", trainer, control_overrides=plan.overrides)
        for name in NAMES
    )
    ledger = open_ledger(tmp_path / "ledger.sqlite")
    campaign = Campaign(plan, tmp_path, trainer, catalog, ledger, quiet=True)
    with open_executor(trainer, ledger, plan.backend, 0) as executor:
        chosen = Selection(cycle=1, contrasts=contrasts)
        raw = experiment(campaign, executor, chosen, prepare(campaign), 1)
    ledger.close()
    keys = {
        arm.key
        for runs in raw.factorial.runs
        for p in runs.pairs
        for arm in (p.control, p.treatment)
    }
    assert len(keys) == 8
    (confirmed,) = raw.runs
    assert (confirmed.phase, confirmed.contrast.id in NAMES) == ("confirm", True)
    results = analyse(raw, alpha=0.05, mde=plan.mde, prior=fit_prior([], [raw.factorial]))
    assert {result.contrast.id for result in results.results} == set(NAMES)
    assert sum(result.phase == "screen" for result in results.results) == 3
    assert all(result.main_effect.runs == 8 for result in results.results)

    write_file(tmp_path / "cycle_1" / "raw_runs.json", raw)
    write_file(tmp_path / "cycle_1" / "ablation_results.json", results)
    page = write_report(tmp_path).read_text()
    assert "4 changes screened together in 8 runs" in page


def test_a_dry_run_says_what_each_design_costs(small_data, small_records, capsys):
    plan = plan_of(small_data, small_records, max_per_cycle=8, mde=0.005)
    describe(plan, Selection(cycle=1, contrasts=()))
    shown = capsys.readouterr().out
    assert "screening design: factorial" in shown
    assert "one at a time 18 runs" in shown
    assert "factorial 16 runs, 0.00038 bpb, which one at a time takes 72 runs" in shown


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_per_cycle": 2}, "takes 3 to 64 changes"),
        ({"matched_by": "wall_time"}, "measured for single changes"),
        ({"screen_design": "latin"}, "--screen-design: "),
    ],
)
def test_a_screen_that_cannot_be_is_refused(small_data, small_records, changes, message):
    with pytest.raises(InputError, match=message):
        plan_of(small_data, small_records, **changes)
