from interventions.vocabulary import load_variables
from scripts.causal.graph.context import days
from scripts.causal.graph.design import OUTCOME, build_design
from scripts.causal.leaderboard.schema import Leaderboard


def board(submissions):
    return Leaderboard(source="test", submissions=tuple(submissions))


def reasons(design):
    return {one.variable: one for one in design.excluded}


def test_one_column_per_factor_and_every_variable_accounted_for(planted):
    design = build_design(planted)
    assert design.factors == (
        "num_layers",
        "vocab_size",
        "smear_gate",
        "ema",
        "sliding_window_eval",
    )
    assert list(design.table.columns)[-1] == OUTCOME
    known = len(load_variables()) + 4  # the track, and no line to follow
    assert len(design.factors) + len(design.excluded) == known
    assert reasons(design)["track"].cause == "never_varied"


def test_unscored_submissions_are_no_rows(submission):
    design = build_design(board([submission(1, None), submission(2, 1.1)]))
    assert list(design.table.index) == ["track/002"]


def test_what_nobody_mentions_and_what_is_always_the_same_are_named(submission):
    rows = [submission(i, 1 + i / 100, techniques={"model_dim": 512}) for i in range(20)]
    found = reasons(build_design(board(rows)))
    assert found["moe"].reason == "no submission of 20 mentions it"
    assert found["model_dim"].cause == "never_varied"
    assert "all 20 submissions have the same value, 512" in found["model_dim"].reason


def test_a_value_that_only_three_depart_from_is_set_aside(submission):
    rows = [
        submission(i, 1 + i / 100, techniques={"smear_gate": i < 3, "qat": i < 4})
        for i in range(20)
    ]
    design = build_design(board(rows))
    assert reasons(design)["smear_gate"].cause == "too_few"
    assert "only 3 of 20" in reasons(design)["smear_gate"].reason
    assert design.factors == ("qat",)


def test_what_too_small_a_share_departs_from_cannot_show(submission):
    rows = [
        submission(i, 1 + i / 1000, techniques={"smear_gate": i < 5, "qat": i < 6})
        for i in range(300)
    ]
    design = build_design(board(rows))
    assert design.factors == ("qat",)
    assert "only 5 of 300 submissions" in reasons(design)["smear_gate"].reason


def test_a_copy_of_a_column_is_refused_and_named(submission):
    rows = [
        submission(
            i,
            1 + i / 100,
            date=f"2026-04-{1 + (i * 7) % 28:02d}",
            techniques={
                "smear_gate": i % 3 == 0,
                "gptq": "full" if i % 3 == 0 else "none",
                "xsa_layers": 4 if i % 3 == 0 else 0,
            },
        )
        for i in range(24)
    ]
    design = build_design(board(rows))
    assert len(design.factors) == 1
    copies = [one for one in design.excluded if one.cause == "collinear"]
    assert {one.variable for one in copies} | set(design.factors) == {
        "smear_gate",
        "gptq",
        "xsa_layers",
    }
    assert all(one.partners == design.factors for one in copies)


def test_a_function_of_several_columns_is_refused_and_they_are_named(submission):
    cells = {(0, 0): "lora", (0, 1): "score_first", (1, 0): "other", (1, 1): "none"}
    rows = [
        submission(
            i,
            1 + i / 100,
            date=f"2026-04-{1 + (i * 11) % 28:02d}",
            techniques={
                "smear_gate": i % 2 == 1,
                "qat": i // 2 % 2 == 1,
                "ttt": cells[i % 2, i // 2 % 2],
            },
        )
        for i in range(36)
    ]
    found = reasons(build_design(board(rows)))
    assert found["smear_gate"].partners == ("ttt",)
    assert found["qat"].partners == ("ttt",)
    assert "cannot be told apart from ttt" in found["qat"].reason


def test_the_most_varied_factors_stay_when_rows_are_few(submission):
    names = ["smear_gate", "qat", "swa", "ln_scale", "sdclip", "pruning"]
    rows = []
    for i in range(20):
        bits = (i * 2654435761) % 2**16
        used = {name: bool(bits >> place & 1) for place, name in enumerate(names)}
        rows.append(submission(i, 1 + i / 100, techniques=used))
    design = build_design(board(rows), most_factors=3)
    assert len(design.factors) == 3
    left = [one for one in design.excluded if "too few submissions to separate" in one.reason]
    assert left


def test_rare_levels_are_pooled(submission):
    levels = ["int8"] * 10 + ["int6"] * 8 + ["int4", "int5", "fp8", "ternary"]
    rows = [
        submission(i, 1 + i / 100, techniques={"quant_bits": level})
        for i, level in enumerate(levels)
    ]
    design = build_design(board(rows))
    assert set(design.table["quant_bits"]) == {"int8", "int6", "rare"}


def test_a_missing_date_is_that_of_the_nearest_number_and_is_counted(submission):
    rows = [
        submission(i, 1 + i / 100, date=None if i < 5 else f"2026-04-{i:02d}") for i in range(20)
    ]
    design = build_design(board(rows))
    assert design.imputed["date"] == 5
    assert design.table["date"].iloc[0] == days("2026-04-05")


def test_no_submissions_at_all_is_an_empty_table():
    design = build_design(board([]))
    assert design.factors == ()
    assert len(design.table) == 0


def test_provenance_is_told_cell_by_cell_and_unscored_parents_are_inherited_from(submission):
    rows = [submission(i, 1 + i / 100, techniques={"ema": 0.9 * (i % 2)}) for i in range(12)]
    rows.append(submission(20, None, techniques={"ema": 0.5}))
    rows.append(submission(21, 1.1, parent_prs=(1020,)))
    rows.append(submission(22, 1.1, parent_prs=(1021,)))
    rows.append(submission(23, 1.1))
    design = build_design(board(rows))
    assert design.origins["ema"][-4:] == ("stated", "inherited", "inherited", "unknown")
    assert design.table["ema"].iloc[-3:].tolist() == [0.5, 0.5, 0.0]
    assert design.imputed["ema"] == 1
    assert design.parents == (*[None] * 13, 12, None)
