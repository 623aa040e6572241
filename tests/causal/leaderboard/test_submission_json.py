import pytest

from scripts.causal.files import InputError
from scripts.causal.leaderboard.submission_json import parse_submission_json


def test_every_scalar_comes_with_its_path_and_line():
    text = '{\n "name": "a \\"b\\": c",\n "seeds": [1, 2],\n "r": {"42": {\n  "val_bpb": 1.5}}\n}'
    facts = parse_submission_json(text, "x")
    assert [(f.path, f.value, f.line) for f in facts] == [
        (("name",), 'a "b": c', 2),
        (("seeds", "0"), 1, 3),
        (("seeds", "1"), 2, 3),
        (("r", "42", "val_bpb"), 1.5, 5),
    ]


def test_a_repeated_key_keeps_both_values_and_lines():
    facts = parse_submission_json('{"a": 1,\n"a": 2,\n"b": 3}', "x")
    assert [(f.path[0], f.value, f.line) for f in facts] == [("a", 1, 1), ("a", 2, 2), ("b", 3, 3)]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5_000])
def test_what_is_no_number_becomes_none(number):
    (fact,) = parse_submission_json(f'{{"val_bpb": {number}}}', "x")
    assert fact.value is None


@pytest.mark.parametrize(
    "text", ["", "[1]", '"x"', "{'a': 1}", '{"a": 1} trailing', "[" * 100_000, '{"a":' * 50_000]
)
def test_what_is_no_json_object_names_the_file(text):
    with pytest.raises(InputError, match=r"folder/submission\.json"):
        parse_submission_json(text, "folder/submission.json")
