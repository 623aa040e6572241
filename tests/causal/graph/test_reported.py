import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects

from interventions.vocabulary import load_variables
from scripts.causal.graph.reported import reported_effects, seed_variance
from scripts.causal.graph.reports import collect_reports, read_contrast, read_level
from scripts.causal.leaderboard.schema import Ablation, Leaderboard, SeedResult, Source

VARIABLES = load_variables()
SEEDS = tuple(SeedResult(seed=i, val_bpb=1.2 + 0.001 * (i % 3 - 1)) for i in range(9))


def row(variable, before, after, delta, *, unit="bpb", kind="single"):
    return Ablation(
        variable=variable,
        from_=before,
        to=after,
        delta=delta,
        unit=unit,
        kind=kind,
        quote=None,
        source=Source(file="README.md", line=1),
    )


@pytest.mark.parametrize(
    ("variable", "text", "level"),
    [
        ("sliding_window_eval", "stride 64", 64),
        ("sliding_window_eval", "none", 0),
        ("sliding_window_eval", "int6 roundtrip", None),
        ("ema", "raw weights at step 6460", None),
        ("train_batch_tokens", "786,432", 786432),
        ("train_batch_tokens", "512K tokens", 512000),
        ("matrix_lr", "0.04", 0.04),
        ("bigram_hash", "0", 0),
        ("num_layers", "1.1036", None),
        ("mlp_mult", "3.5x", 3.5),
        ("depth_recurrence", "layers 4,5 repeated", True),
        ("depth_recurrence", "none (flat)", False),
        ("quant_bits", "int5 / int6 mixed", "int5_int6"),
        ("quant_bits", "unquantized", None),
        ("activation", "relu_sq (1.1459)", "relu_sq"),
        ("activation", "baseline", "relu_sq"),
        ("ttt", "Score-First", "score_first"),
        ("matrix_lr", None, None),
    ],
)
def test_levels_are_read_only_where_they_are_clear(variable, text, level):
    found = read_level(VARIABLES[variable], text)
    assert found == level
    assert isinstance(found, bool) == isinstance(level, bool)


def test_both_directions_are_one_contrast():
    variable = VARIABLES["matrix_lr"]
    up = read_contrast(variable, row("matrix_lr", "0.02", "0.03", -0.01))
    down = read_contrast(variable, row("matrix_lr", "0.03", "0.02", 0.01))
    assert up == down == ((0.02, 0.03), -0.01)


def test_taking_a_technique_out_is_the_contrast_turned_round():
    variable = VARIABLES["smear_gate"]
    out = read_contrast(variable, row("smear_gate", "SmearGate", "none", 0.004))
    assert out == ((False, True), -0.004)


@pytest.mark.parametrize("change", [{"kind": "bundle"}, {"unit": "nats"}])
def test_only_one_change_at_a_time_in_bpb_counts(change):
    assert read_contrast(VARIABLES["ema"], row("ema", None, "0.997", -0.01, **change)) is None


def test_a_quantization_penalty_is_no_contrast_of_settings():
    found = read_contrast(VARIABLES["quant_bits"], row("quant_bits", "pre-quant", "int6", 0.01))
    assert found is None


def test_the_seed_variance_is_that_of_most_submissions(submission):
    rng = np.random.default_rng(3)

    def seeds(spread):
        return tuple(
            SeedResult(seed=number, val_bpb=1.2 + spread * float(rng.standard_normal()))
            for number in range(3)
        )

    rows = [submission(number, seeds=seeds(0.001)) for number in range(60)]
    rows += [submission(number, seeds=seeds(0.3)) for number in range(60, 65)]  # not seeds at all
    variance, df = seed_variance(Leaderboard(source="", submissions=tuple(rows)))
    assert df == 130
    assert 0.0007 < variance**0.5 < 0.0014


def board(submission, effects, variable="ema"):
    return Leaderboard(
        source="",
        submissions=tuple(
            submission(i, seeds=SEEDS, ablations=(row(variable, None, "0.997", effect),))
            for i, effect in enumerate(effects)
        ),
    )


def test_several_reports_are_combined_as_statsmodels_does(submission):
    effects = [-0.004, -0.001, -0.0025, 0.001]
    leaderboard = board(submission, effects)
    (estimate,) = reported_effects(leaderboard, VARIABLES)["ema"]
    within = 2 * seed_variance(leaderboard)[0]
    reference = combine_effects(
        np.array(effects), np.full(4, within), method_re="chi2", use_t=True
    )
    assert estimate.effect == pytest.approx(reference.mean_effect_re)
    assert estimate.n == 4
    hartung_knapp = reference.conf_int(use_t=True)[3]  # random effects, estimated scale
    assert estimate.low <= hartung_knapp[0] + 1e-9
    assert estimate.high >= hartung_knapp[1] - 1e-9


def test_a_single_report_borrows_the_heterogeneity_of_the_others(submission):
    leaderboard = board(submission, [-0.01, 0.01])
    lone = submission(7, seeds=SEEDS, ablations=(row("qat", None, "on", -0.002),))
    both = Leaderboard(source="", submissions=(*leaderboard.submissions, lone))
    (estimate,) = reported_effects(both, VARIABLES)["qat"]
    assert estimate.n == 1
    assert estimate.high - estimate.low > 0.03
    alone = Leaderboard(source="", submissions=(lone,))
    assert reported_effects(alone, VARIABLES) == {}


def test_without_seeds_there_is_no_interval_and_so_no_estimate(submission):
    one = submission(1, ablations=(row("ema", None, "0.997", -0.01),))
    assert reported_effects(Leaderboard(source="", submissions=(one, one)), VARIABLES) == {}


def test_two_rows_of_one_submission_are_one_report(submission):
    twice = submission(
        1, seeds=SEEDS, ablations=(row("ema", None, "on", -0.01), row("ema", None, "on", -0.03))
    )
    other = submission(2, seeds=SEEDS, ablations=(row("ema", None, "on", 0.0),))
    found = reported_effects(Leaderboard(source="", submissions=(twice, other)), VARIABLES)
    assert found["ema"][0].n == 2
    assert found["ema"][0].effect == pytest.approx(-0.01)


def test_equal_reports_have_no_heterogeneity(submission):
    (estimate,) = reported_effects(board(submission, [-0.002, -0.002]), VARIABLES)["ema"]
    assert estimate.effect == -0.002
    assert estimate.low < -0.002 < estimate.high


def test_a_copied_number_is_no_new_evidence(submission):
    def told(number, author, effect):
        return submission(
            number, author=author, seeds=SEEDS, ablations=(row("ema", None, "0.997", effect),)
        )

    rows = (
        told(1, "ann", -0.004),
        told(2, "ann", -0.004),  # the same table once more
        told(3, "ann", -0.006),
        told(4, "bob", -0.001),
    )
    reports = collect_reports(Leaderboard(source="", submissions=rows), VARIABLES)
    (found,) = reports.by_contrast.values()
    assert sorted((one.author, one.effect) for one in found) == [
        ("ann", pytest.approx(-0.005)),
        ("bob", pytest.approx(-0.001)),
    ]
    assert sum(reports.left_out.values()) == 1


def test_a_number_that_kin_repeat_is_a_copy_and_that_of_strangers_is_not(submission):
    def told(number, author, parent):
        table = (row("ema", None, "0.997", -0.004),)
        return submission(
            number, author=author, parent_prs=(parent,), seeds=SEEDS, ablations=table
        )

    def reports(*parents):
        rows = (told(1, "ann", parents[0]), told(2, "bob", parents[1]))
        (found,) = collect_reports(
            Leaderboard(source="", submissions=rows), VARIABLES
        ).by_contrast.values()
        return [one.author for one in found]

    assert reports(7, 7) == ["ann"]
    assert reports(7, 8) == ["ann", "bob"]


def test_a_step_of_a_ladder_counts_at_twice_the_variance(submission):
    def board_of(kind):
        ablations = row("ema", None, "0.997", 0.01, kind=kind)
        rows = [
            submission(i, seeds=SEEDS, ablations=(row("ema", None, "0.997", effect),))
            for i, effect in enumerate((-0.01, -0.008))
        ]
        rows.append(submission(7, seeds=SEEDS, ablations=(ablations,)))
        return Leaderboard(source="", submissions=tuple(rows))

    single, ladder = (
        reported_effects(board_of(kind), VARIABLES)["ema"][0] for kind in ("single", "cumulative")
    )
    assert single.effect == pytest.approx(-0.008 / 3)
    assert ladder.effect == pytest.approx((-0.018 + 0.005) / 2.5)


def test_rows_that_are_no_evidence_are_counted_by_reason(submission):
    ablations = (
        row("ema", None, "0.997", -0.01, unit="nats"),
        row("ema", None, "0.997", -0.01, kind="bundle"),
        row("other:magic", None, "on", -0.01),
        row("matrix_lr", None, "0.03", -0.01),
        row("num_layers", "9", "900", -0.01),
    )
    stated = tuple(
        submission(i, techniques={"num_layers": layers}) for i, layers in enumerate(range(8, 14))
    )
    told = submission(9, seeds=SEEDS, ablations=ablations)
    reports = collect_reports(Leaderboard(source="", submissions=(*stated, told)), VARIABLES)
    assert not reports.by_contrast
    assert set(reports.left_out.values()) == {1}
    assert len(reports.left_out) == 5
    assert reports.left_out["in nats, without the factor to bpb"] == 1


def test_heterogeneity_is_on_record(submission):
    apart = board(submission, [-0.02, 0.0, 0.02])
    (estimate,) = reported_effects(apart, VARIABLES)["ema"]
    reference = combine_effects(
        np.array([-0.02, 0.0, 0.02]), np.full(3, 2 * seed_variance(apart)[0]), method_re="chi2"
    )
    assert estimate.tau**2 == pytest.approx(reference.tau2)
    assert estimate.i_squared == pytest.approx(reference.i2)
    (alike,) = reported_effects(board(submission, [-0.002, -0.002]), VARIABLES)["ema"]
    assert (alike.tau, alike.i_squared) == (0, 0)


def test_one_wild_report_among_many_does_not_move_the_mean(submission):
    rng = np.random.default_rng(4)
    effects = [float(one) for one in -0.004 + 0.001 * rng.standard_normal(15)]
    (calm,) = reported_effects(board(submission, effects), VARIABLES)["ema"]
    (wild,) = reported_effects(board(submission, [*effects, -0.4]), VARIABLES)["ema"]
    assert wild.effect == pytest.approx(calm.effect, abs=0.0005)
    assert wild.high < 0


def test_a_technique_used_in_an_unnamed_way_is_still_used():
    variable = VARIABLES["ttt"]
    used = read_contrast(variable, row("ttt", "none", "test-time trained", -0.01))
    assert used == (("none", True), -0.01)
    assert read_contrast(variable, row("ttt", "exp101", "exp105a", -0.01)) is None


def test_two_reports_that_agree_by_chance_borrow_the_scatter_of_other_contrasts(submission):
    def with_others(effects):
        pairs = {"qat": (-0.01, 0.012), "swa": (0.008, -0.009), "ttt": (-0.02, 0.004)}
        others = [
            submission(10 * k + i, seeds=SEEDS, ablations=(row(name, None, "on", effect),))
            for k, (name, both) in enumerate(pairs.items(), start=1)
            for i, effect in enumerate(both)
        ]
        agreeing = board(submission, effects).submissions
        return Leaderboard(source="", submissions=(*agreeing, *others))

    (alone,) = reported_effects(board(submission, [-0.002, -0.0021]), VARIABLES)["ema"]
    (among,) = reported_effects(with_others([-0.002, -0.0021]), VARIABLES)["ema"]
    assert among.effect == alone.effect
    half, moderated = (one.effect - one.low for one in (alone, among))
    assert moderated > half / 2
    sd = moderated * np.sqrt(2) / 12.7
    assert sd > 0.001
    (wide,) = reported_effects(board(submission, [-0.03, 0.03]), VARIABLES)["ema"]
    (calmer,) = reported_effects(with_others([-0.03, 0.03]), VARIABLES)["ema"]
    assert calmer.high - calmer.low < wide.high - wide.low
