from interventions.vocabulary import load_variables
from scripts.causal.graph.coding import code_variable

VARIABLES = load_variables()


def test_an_unstated_value_is_the_baseline_and_is_counted(submission):
    rows = [submission(1, techniques={"num_layers": 11}), submission(2)]
    coded = code_variable(VARIABLES["num_layers"], rows)
    assert coded.values == (11.0, 9.0)
    assert coded.origins == ("stated", "unknown")
    assert coded.count("unknown") == 1


def test_true_for_a_number_is_used_without_value_not_one(submission):
    rows = [
        submission(1, techniques={"sliding_window_eval": True}),
        submission(2, techniques={"sliding_window_eval": 64}),
        submission(3, techniques={"sliding_window_eval": 64}),
        submission(4, techniques={"sliding_window_eval": 256}),
        submission(5),
    ]
    coded = code_variable(VARIABLES["sliding_window_eval"], rows)
    assert coded.values == (64.0, 64.0, 64.0, 256.0, 0.0)
    assert coded.count("used_without_value") == 1


def test_a_number_nobody_states_becomes_used_or_not(submission):
    rows = [submission(1, techniques={"grad_clip": True}), submission(2)]
    coded = code_variable(VARIABLES["grad_clip"], rows)
    assert (coded.kind, coded.values) == ("binary", (True, False))


def test_said_to_be_absent_is_off_even_where_the_baseline_is_on(submission):
    rows = [submission(1, absent=("unet_skips",)), submission(2)]
    coded = code_variable(VARIABLES["unet_skips"], rows)
    assert coded.values == (False, True)
    assert coded.origins == ("absent", "unknown")


def test_false_for_a_number_or_a_level_is_off(submission):
    rows = [submission(1, techniques={"ema": False, "ttt": False})]
    assert code_variable(VARIABLES["ema"], rows).values == (0.0,)
    assert code_variable(VARIABLES["ttt"], rows).values == ("none",)


def test_an_unknown_level_takes_the_commonest_stated_one(submission):
    rows = [
        submission(1, techniques={"ttt": "score_first"}),
        submission(2, techniques={"ttt": "score_first"}),
        submission(3, techniques={"ttt": "lora"}),
        submission(4, techniques={"ttt": "never heard of"}),
        submission(5, techniques={"ttt": True}),
    ]
    coded = code_variable(VARIABLES["ttt"], rows)
    assert coded.values[3:] == ("score_first", "score_first")
    assert coded.count("used_without_value") == 2


def test_words_where_a_flag_belongs_mean_that_it_is_used(submission):
    rows = [submission(1, techniques={"smear_gate": "on embeddings"})]
    assert code_variable(VARIABLES["smear_gate"], rows).values == (True,)


def test_what_a_child_leaves_unsaid_is_its_parents_down_the_line(submission):
    rows = [
        submission(1, techniques={"num_layers": 11}),
        submission(2),
        submission(3),
        submission(4, techniques={"num_layers": 13}),
    ]
    coded = code_variable(VARIABLES["num_layers"], rows, [None, 0, 1, 2])
    assert coded.values == (11.0, 11.0, 11.0, 13.0)
    assert coded.origins == ("stated", "inherited", "inherited", "stated")


def test_a_parent_that_says_nothing_gives_nothing(submission):
    coded = code_variable(VARIABLES["num_layers"], [submission(1), submission(2)], [None, 0])
    assert coded.origins == ("unknown", "unknown")


def test_what_a_parent_leaves_out_is_left_out_by_the_child(submission):
    rows = [submission(1, absent=("ema",)), submission(2)]
    coded = code_variable(VARIABLES["ema"], rows, [None, 0])
    assert coded.origins == ("absent", "inherited")


def test_a_scripts_default_comes_before_the_parents_value(submission):
    rows = [
        submission(1, techniques={"num_layers": 11}),
        submission(2, defaults={"num_layers": 10}),
        submission(3),
    ]
    coded = code_variable(VARIABLES["num_layers"], rows, [None, 0, 1])
    assert coded.values == (11.0, 10.0, 10.0)
    assert coded.origins == ("stated", "default", "inherited")


def test_a_child_may_stand_before_its_parent(submission):
    rows = [submission(3), submission(2), submission(1, techniques={"num_layers": 11})]
    coded = code_variable(VARIABLES["num_layers"], rows, [1, 2, None])
    assert coded.values == (11.0, 11.0, 11.0)


def test_a_technique_named_without_its_value_has_the_parents_before_the_usual_one(submission):
    rows = [
        submission(1, techniques={"ema": 0.99}),
        submission(2, techniques={"ema": True}),
        submission(3, techniques={"ema": 0.5}),
        submission(4, techniques={"ema": 0.5}),
        submission(5, absent=("ema",)),
        submission(6, techniques={"ema": True}),
    ]
    coded = code_variable(VARIABLES["ema"], rows, [None, 0, None, None, None, 4])
    assert (coded.values[1], coded.origins[1]) == (0.99, "inherited")
    assert (coded.values[5], coded.origins[5]) == (0.5, "used_without_value")


def test_a_guess_that_is_inherited_is_still_a_guess(submission):
    rows = [
        submission(1, techniques={"ema": True}),
        submission(2),
        submission(3, techniques={"ema": 0.99}),
    ]
    coded = code_variable(VARIABLES["ema"], rows, [None, 0, None])
    assert (coded.values[1], coded.origins[1]) == (0.99, "used_without_value")
