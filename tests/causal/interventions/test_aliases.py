import pytest

from interventions.aliases import load_aliases
from interventions.vocabulary import load_variables
from scripts.causal.files import InputError


def test_every_variable_of_the_vocabulary_has_words():
    assert list(load_aliases()) == list(load_variables())
    for alias in load_aliases().values():
        assert alias.mentions or alias.numbers or alias.levels or alias.generic, alias.variable


def test_levels_are_levels_of_the_variable():
    for alias in load_aliases().values():
        for level, _ in (*alias.levels, *alias.generic):
            assert level in load_variables()[alias.variable].levels or level == "all"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[no_such_variable]\nmentions = ['x']", "unknown variable"),
        ("[swa]\nmention = ['x']", "unknown keys"),
        ("[swa]\nmentions = ['(']", "aliases of 'swa'"),
        ("[swa", "not valid TOML"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, message):
    path = tmp_path / "aliases.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_aliases(path)
