from scripts.causal.graph.lineage import lineage_clusters


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
