from scripts.causal.graph.lineage import lineage_clusters, oldest_first, parent_rows


def test_siblings_and_their_parent_are_one_family(submission):
    rows = [
        submission(1),
        submission(2, parent_prs=(1001,)),
        submission(3, parent_prs=(1001, 7)),
        submission(4, parent_prs=(1003,)),
    ]
    one, two, three, four = lineage_clusters(rows)
    assert one == two == three
    assert four != three


def test_without_parents_the_author_is_the_family(submission):
    rows = [submission(1, author="ada"), submission(2, author="ada"), submission(3, author="bob")]
    labels = lineage_clusters(rows)
    assert labels[0] == labels[1] != labels[2]


def test_without_an_author_each_stands_alone(submission):
    rows = [submission(1, author=None), submission(2, author=None)]
    assert len(set(lineage_clusters(rows))) == 2


def test_the_parent_is_the_first_that_is_there_under_any_of_its_numbers(submission):
    rows = [
        submission(1).model_copy(update={"id": "55/track/a"}),
        submission(2, parent_prs=(7, 1001)),
        submission(3, parent_prs=(55,)),
        submission(4, parent_prs=(8,)),
    ]
    assert parent_rows(rows) == (None, 0, 0, None)


def test_of_several_in_one_pull_request_the_best_was_built_on(submission):
    rows = [
        submission(1, 1.2),
        submission(1, None),
        submission(1, 1.1),
        submission(2, parent_prs=(1001,)),
    ]
    assert parent_rows(rows)[3] == 2


def test_two_that_name_each_other_make_no_circle(submission):
    rows = [submission(1, parent_prs=(1002,)), submission(2, parent_prs=(1001,))]
    assert parent_rows(rows) == (None, 0)


def test_a_submission_without_a_number_has_a_parent_but_no_child(submission):
    rows = [submission(1), submission(2, parent_prs=(1001,)).model_copy(update={"pr": None})]
    assert parent_rows(rows) == (None, 0)


def test_parents_stand_before_their_children():
    assert oldest_first([1, 2, None, 0]) == (2, 1, 0, 3)
    assert oldest_first([]) == ()
